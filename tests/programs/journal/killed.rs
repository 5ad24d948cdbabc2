//! `turn_server --journal`, killed at any moment under 64 rings of clients that reconnect each time. The only
//! evidence is the messages that the clients have read over all lives.

use std::process::{Command, Stdio};
use std::time::Duration;

use fastrand::Rng;
use support::bare::{PATIENCE, free_address};

use crate::histories::{judged, pause};
use crate::process::Reading;
use crate::process::folder::Folder;
use crate::process::programs::example_as_here;
use crate::programs::Server;

/// How often `cargo test` kills it. The variable sets another number: `TAKETURNS_KILLS=1000`.
const KILLS: u32 = 15;

const RINGS: usize = 64;

#[test]
fn no_answer_is_lost_or_doubled_when_a_server_with_64_rings_is_killed() {
    let kills = std::env::var("TAKETURNS_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"));
    let (folder, address) = (Folder::new(), free_address());
    let start = || {
        let mut command = example_as_here("turn_server");
        command.args(["--listen", &address, "--framing", "line", "--quiet", "--journal"]);
        command.arg(folder.path("journal"));
        command
    };
    let mut rng = Rng::with_seed(64);
    let mut early = 0;
    let mut server = Some(Server::spawn(&mut start(), Reading::All));
    let history = judged(RINGS, std::slice::from_ref(&address), |history| {
        for _ in 0..kills {
            history.assert_goes_on();
            match server.take() {
                Some(server) => {
                    pause(Duration::from_micros(rng.u64(..60_000)));
                    drop(server.process.kill(PATIENCE));
                }
                None => kill_while_it_begins(&mut start(), &mut rng, &mut early),
            }
            server = (rng.u8(..5) > 0).then(|| Server::spawn(&mut start(), Reading::All));
        }
        // The last life is not killed, and every ring continues in it.
        server.get_or_insert_with(|| Server::spawn(&mut start(), Reading::All));
    });
    println!("{kills} kills, {early} of them while it began; {history}; 0 lost, 0 doubled");
}

/// Kills the server while it is opening its journal.
fn kill_while_it_begins(command: &mut Command, rng: &mut Rng, early: &mut u32) {
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process");
    pause(Duration::from_micros(rng.u64(..20_000)));
    *early += 1;
    let ended = process.try_wait().expect("a process");
    assert_eq!(ended, None, "it ended by itself");
    process.kill().expect("it can be killed");
    process.wait().expect("it has ended");
}
