//! Clients of many rings that reconnect each time, and their histories. The only evidence is the messages
//! that they have read over all lives of all servers.

#![allow(clippy::disallowed_types, reason = "its clients have a thread each, and one history")]

use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::bare::PATIENCE;

use crate::programs::field;

/// The clients of a ring.
const EACH: usize = 2;

/// A server that is silent for so long is given up, where there are others.
const SILENCE: Duration = Duration::from_millis(1500);

/// Plays `rings` of clients at servers that are tried in turn, while `afflict` does something to these. At
/// the end every ring has to go on.
pub(crate) fn judged(rings: usize, addresses: &[String], afflict: impl FnOnce(&History)) -> History {
    let history = History::default();
    thread::scope(|scope| {
        let end = End(&history);
        for nth in 0..EACH * rings {
            let client = Client { nth, history: &history, secret: None, confirmed: None, in_flight: None };
            scope.spawn(move || {
                // A client that finds a broken promise ends the whole test.
                let _end = End(client.history);
                client.play(addresses);
            });
        }
        join_all(&history, rings);
        afflict(&history);
        let before = history.answers.lock().expect("no client panicked").clone();
        let last = |answers: &HashMap<Turn, usize>, ring: usize| {
            answers.keys().filter(|turn| turn.0 == ring).map(|turn| turn.1).max()
        };
        let give_up = Instant::now() + PATIENCE;
        for ring in 0..rings {
            while last(&history.answers.lock().expect("no client panicked"), ring) <= last(&before, ring) {
                assert!(Instant::now() < give_up, "ring {ring} does not go on");
                history.assert_goes_on();
                pause(Duration::from_millis(5));
            }
        }
        drop(end);
    });
    history
}

/// A client's first `JOIN` may be stored although its `WELCOME` is lost, and then its name is taken. So all
/// clients join before the first fault.
fn join_all(history: &History, rings: usize) {
    let give_up = Instant::now() + PATIENCE;
    while history.joined.load(Ordering::Relaxed) < (EACH * rings) as u64 {
        assert!(Instant::now() < give_up, "not all clients join");
        pause(Duration::from_millis(5));
    }
}

/// A turn of one client only: its ring and its number. The epoch is the same throughout.
type Turn = (usize, u64);

/// Everything that the clients have read, over all lives.
#[derive(Default)]
pub(crate) struct History {
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
    /// A client that finds a promise broken ends all.
    pub(crate) fn assert_goes_on(&self) {
        assert!(!self.is_over.load(Ordering::Relaxed), "a promise is broken");
    }

    /// Answers that were confirmed so far.
    pub(crate) fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed)
    }

    fn note(&self, told: &Mutex<HashMap<Turn, usize>>, turn: Turn, client: usize) {
        let before = *told.lock().expect("no client panicked").entry(turn).or_insert(client);
        assert_eq!(before, client, "two clients for {turn:?}");
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resumed = self.resumed.load(Ordering::Relaxed);
        write!(f, "{} answers confirmed, {resumed} seats resumed", self.confirmed())
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
    fn play(mut self, addresses: &[String]) {
        let silence = (addresses.len() > 1).then_some(SILENCE);
        for address in addresses.iter().cycle() {
            if self.history.is_over.load(Ordering::Relaxed) {
                return;
            }
            // A server that is absent or is killed meanwhile is not an error.
            if self.live(address, silence).is_err() {
                thread::yield_now();
            }
        }
    }

    fn ring(&self) -> usize {
        self.nth / EACH
    }

    fn live(&mut self, address: &str, silence: Option<Duration>) -> std::io::Result<()> {
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
        let mut heard_at = Instant::now();
        loop {
            match lines.read_line(&mut line) {
                Ok(0) => return Ok(()),
                Ok(_) if line.ends_with('\n') => {
                    heard_at = Instant::now();
                    self.hear(line.trim_end(), &socket)?;
                    line.clear();
                }
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    // It was stopped, perhaps, and another one leads.
                    if silence.is_some_and(|silence| heard_at.elapsed() > silence) {
                        return Ok(());
                    }
                }
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
            "WAIT" | "BYE" => {}
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

pub(crate) fn pause(time: Duration) {
    let _ = std::sync::mpsc::channel::<()>().1.recv_timeout(time);
}

/// Ends the clients even if a life does not begin.
struct End<'h>(&'h History);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}
