//! An idle server does nothing while all clients wait.
//!
//! One client has the turn but does not answer, the others wait, and all times are the defaults, none of
//! which ends within the window. Observed from outside: processor time, context switches of the server, and
//! bytes that clients can read.

use std::io;
use std::time::Duration;

use taketurns::protocol::turns::Framing;

use super::figure::Figure;
use super::memory::many_clients;
use super::process::Server;
use super::rings::Rings;
use super::serve::Setting;

/// Time for the server to return to its poll after the last `GO`.
const SETTLE: Duration = Duration::from_millis(500);
const WINDOW: Duration = Duration::from_secs(5);

/// The server's work so far.
struct Done {
    run_time: u64,
    switches: u64,
}

impl Done {
    fn of(server: &Server) -> io::Result<Done> {
        let switches =
            server.status("voluntary_ctxt_switches")? + server.status("nonvoluntary_ctxt_switches")?;
        Ok(Done { run_time: server.run_time()?, switches })
    }
}

pub fn count() -> io::Result<Vec<Figure>> {
    let clients = many_clients();
    let setting = Setting::one_ring(Framing::Raw, clients);
    let mut server = Server::start(setting)?;
    let mut rings = Rings::seat(server.addr, setting)?;
    sleep(SETTLE);
    let before = Done::of(&server)?;
    sleep(WINDOW);
    let after = Done::of(&server)?;
    let unread = rings.unread()?;
    server.end(&mut rings)?;

    let figure = |what: &str, measured: u64, advice: &str| Figure {
        what: format!("{what}, 5 s, {clients} wait"),
        measured: measured as f64,
        allowed: 0.0,
        advice: advice.to_owned(),
    };
    let timer = "find the timer that fires: strace -p, then Timers";
    Ok(vec![
        figure("ns of processor time", after.run_time - before.run_time, timer),
        figure("context switches", after.switches - before.switches, timer),
        figure("bytes sent", unread as u64, "find who sends: strace -p"),
    ])
}

#[allow(clippy::disallowed_methods, reason = "it takes time to see that nothing happens")]
fn sleep(time: Duration) {
    std::thread::sleep(time);
}
