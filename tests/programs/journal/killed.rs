//! `turn_server --journal`, killed at any moment under 64 rings of clients that reconnect each time. The only
//! evidence is the messages that the clients have read over all lives.

#![allow(clippy::disallowed_types, reason = "its clients have a thread each, and one history")]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use support::bare::{PATIENCE, free_address};

use crate::process::Reading;
use crate::process::folder::Folder;
use crate::process::programs::example_as_here;
use crate::programs::{Server, field};

/// How often `cargo test` kills it. The variable sets another number: `TAKETURNS_KILLS=1000`.
const KILLS: u32 = 15;

const RINGS: usize = 64;
const CLIENTS: usize = 2 * RINGS;

/// A turn of one client only: its ring and its number. The epoch is the same throughout.
type Turn = (usize, u64);

/// Everything that the clients have read, over all lives.
#[derive(Default)]
struct History {
    /// The client that was granted each turn.
    holders: Mutex<HashMap<Turn, usize>>,
    /// The client whose answer was confirmed in each turn.
    answers: Mutex<HashMap<Turn, usize>>,
    epoch: Mutex<Option<String>>,
    confirmed: AtomicU64,
    joined: AtomicU64,
    resumed: AtomicU64,
    is_over: AtomicBool,
}

impl History {
    fn note(&self, told: &Mutex<HashMap<Turn, usize>>, turn: Turn, client: usize) {
        let before = *told.lock().expect("no client panicked").entry(turn).or_insert(client);
        assert_eq!(before, client, "two clients for {turn:?}");
    }
}

struct Client<'h> {
    nth: usize,
    history: &'h History,
    secret: Option<String>,
    /// The last turn whose answer was confirmed. Below, the turn whose answer has an unknown fate.
    confirmed: Option<u64>,
    in_flight: Option<u64>,
}

impl Client<'_> {
    /// Reconnects until the test is over.
    fn play(mut self, address: &str) {
        while !self.history.is_over.load(Ordering::Relaxed) {
            // A server that is absent or is killed meanwhile is not an error.
            if self.live(address).is_err() {
                thread::yield_now();
            }
        }
    }

    fn ring(&self) -> usize {
        self.nth / 2
    }

    fn live(&mut self, address: &str) -> std::io::Result<()> {
        let socket = match TcpStream::connect(address) {
            Ok(socket) => socket,
            Err(error) => {
                let _ = std::sync::mpsc::channel::<()>().1.recv_timeout(Duration::from_millis(5));
                return Err(error);
            }
        };
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        let resume = self.secret.as_ref().map(|secret| format!(" resume={secret}")).unwrap_or_default();
        writeln!(&socket, "JOIN client{} ring=r{}{resume}", self.nth, self.ring())?;
        let mut lines = BufReader::new(&socket);
        let mut line = String::new();
        loop {
            match lines.read_line(&mut line) {
                Ok(0) => return Ok(()),
                Ok(_) if line.ends_with('\n') => {
                    self.hear(line.trim_end(), &socket)?;
                    line.clear();
                }
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if self.history.is_over.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
    }

    fn hear(&mut self, line: &str, mut socket: &TcpStream) -> std::io::Result<()> {
        let name = format!("client{}", self.nth);
        let turn = || field(line, "turn").parse::<u64>().expect("a number");
        match line.split(' ').next().unwrap_or_default() {
            "WELCOME" => self.welcome(line),
            "GO" => {
                let turn = turn();
                assert!(
                    self.confirmed.is_none_or(|last| turn > last),
                    "{name}: {line:?}, and {:?} was confirmed",
                    self.confirmed
                );
                self.history.note(&self.history.holders, (self.ring(), turn), self.nth);
                let epoch =
                    self.history.epoch.lock().expect("no client panicked").clone().expect("a WELCOME");
                self.in_flight = Some(turn);
                writeln!(socket, "ANSWER turn={turn} epoch={epoch} :{}", self.nth)?;
            }
            "OK" => {
                let turn = turn();
                assert_eq!(self.in_flight.take(), Some(turn), "{name}: {line:?}");
                self.counted(turn);
            }
            "WAIT" => {}
            // An answer that was in flight when the turn came back may arrive after the turn has lapsed.
            "LAPSED" | "NO" => self.in_flight = None,
            _ => panic!("{name}: {line:?}"),
        }
        Ok(())
    }

    fn welcome(&mut self, line: &str) {
        let mut epoch = self.history.epoch.lock().expect("no client panicked");
        let before = epoch.get_or_insert_with(|| field(line, "epoch").to_owned());
        assert_eq!(before, field(line, "epoch"), "the epoch is that of the journal");
        drop(epoch);
        let count = match self.secret.replace(field(line, "resume").to_owned()) {
            None => &self.history.joined,
            Some(_) => &self.history.resumed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        let last = line
            .split(" last=")
            .nth(1)
            .map(|rest| rest.split(' ').next().unwrap_or_default().parse::<u64>().expect("a number"));
        let in_flight = self.in_flight.take();
        match last {
            last if last == self.confirmed => {}
            Some(last) if in_flight == Some(last) => self.counted(last),
            _ => panic!("{line:?}: {:?} was confirmed, {in_flight:?} was in flight", self.confirmed),
        }
    }

    fn counted(&mut self, turn: u64) {
        self.confirmed = Some(turn);
        self.history.note(&self.history.answers, (self.ring(), turn), self.nth);
        self.history.confirmed.fetch_add(1, Ordering::Relaxed);
    }
}

/// A client's first `JOIN` may be stored although its `WELCOME` is lost, and then its name is taken. So all
/// clients join before the first kill.
fn join_all(history: &History) {
    let give_up = Instant::now() + PATIENCE;
    while history.joined.load(Ordering::Relaxed) < CLIENTS as u64 {
        assert!(Instant::now() < give_up, "not all clients join");
        pause(Duration::from_millis(5));
    }
}

fn pause(time: Duration) {
    let _ = std::sync::mpsc::channel::<()>().1.recv_timeout(time);
}

/// Ends the clients even if a life does not begin.
struct End<'h>(&'h History);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_answer_is_lost_or_doubled_when_a_server_with_64_rings_is_killed() {
    let kills = std::env::var("TAKETURNS_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"));
    let (folder, address, history) = (Folder::new(), free_address(), History::default());
    let start = || {
        let mut command = example_as_here("turn_server");
        command.args(["--listen", &address, "--framing", "line", "--quiet", "--journal"]);
        command.arg(folder.path("journal"));
        command
    };
    let mut rng = Rng::with_seed(64);
    let mut early = 0;
    thread::scope(|scope| {
        let end = End(&history);
        let mut server = Some(Server::spawn(&mut start(), Reading::All));
        for nth in 0..CLIENTS {
            let (history, address) = (&history, address.as_str());
            let client = Client { nth, history, secret: None, confirmed: None, in_flight: None };
            scope.spawn(move || {
                // A client that finds a broken promise ends the whole test.
                let _end = End(history);
                client.play(address);
            });
        }
        join_all(&history);
        for _ in 0..kills {
            assert!(!history.is_over.load(Ordering::Relaxed), "a promise is broken");
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
        let _server = server.unwrap_or_else(|| Server::spawn(&mut start(), Reading::All));
        let before = history.answers.lock().expect("no client panicked").clone();
        let last = |answers: &HashMap<Turn, usize>, ring: usize| {
            answers.keys().filter(|turn| turn.0 == ring).map(|turn| turn.1).max()
        };
        let give_up = Instant::now() + PATIENCE;
        for ring in 0..RINGS {
            while last(&history.answers.lock().expect("no client panicked"), ring) <= last(&before, ring) {
                assert!(Instant::now() < give_up, "ring {ring} does not go on");
                pause(Duration::from_millis(5));
            }
        }
        drop(end);
    });
    let (confirmed, resumed) = (history.confirmed.into_inner(), history.resumed.into_inner());
    println!(
        "{kills} kills, {early} of them while it began; {confirmed} answers confirmed, {resumed} seats resumed; \
         0 lost, 0 doubled"
    );
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
