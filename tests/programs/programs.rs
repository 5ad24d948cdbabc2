//! A server, a client and hand-driven peers for these tests, and checks of the numbers that programs print.
//! How programs are run is in `process/`.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use support::bare::{PATIENCE, connect, recv};

use crate::process::programs::example;
use crate::process::{Line, Process, Reading, Sent, Stream};

/// A running `turn_server`.
pub(crate) struct Server {
    pub(crate) process: Process,
    /// Its first address.
    pub(crate) address: String,
}

impl Server {
    /// Starts a server on a port that the system chooses.
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", options)
    }

    pub(crate) fn start_at(address: &str, options: &[&str]) -> Self {
        Self::spawn(example("turn_server").args(["--listen", address]).args(options), Reading::All)
    }

    pub(crate) fn spawn(command: &mut Command, out: Reading) -> Self {
        Self::spawn_reading(command, out, Reading::All)
    }

    pub(crate) fn spawn_reading(command: &mut Command, out: Reading, err: Reading) -> Self {
        let mut process = Process::spawn_reading(command, out, err);
        let address = process.wait_until("address", PATIENCE, |seen| seen.iter().find_map(listening_on));
        Self { process, address }
    }

    pub(crate) fn port(&self) -> &str {
        self.address.rsplit_once(':').expect("an address has a port").1
    }

    pub(crate) fn wait_for_output(&mut self, text: &str) {
        self.process.wait_for_line(text, |line| line.stream == Stream::Out && line.text == text, PATIENCE);
    }

    /// Waits until this many connections have been logged. Seats are given in the same order.
    pub(crate) fn wait_for_connections(&mut self, count: usize) {
        let announced = |line: &&Line| {
            line.stream == Stream::Out
                && line.text.starts_with("Client ")
                && line.text.ends_with(" connected.")
        };
        self.process.wait_until("connection", PATIENCE, |seen| {
            (seen.iter().filter(announced).count() >= count).then_some(())
        });
    }

    pub(crate) fn wait_for_number(&mut self, name: &str, number: i64) {
        self.wait_for_output(&format!("{name} sent: {number}"));
    }
}

/// A raw client that does only what a test tells it to.
pub(crate) struct RawPeer(pub(crate) TcpStream);

impl RawPeer {
    pub(crate) fn connect(address: &str) -> Self {
        Self(connect(address))
    }

    /// Reads up to the next `GO`. Only `WAIT` may come before it.
    pub(crate) fn expect_go(&mut self) {
        loop {
            let mut signal = [0; 4];
            self.0.read_exact(&mut signal[..2]).expect("a signal in time");
            if &signal[..2] == b"GO" {
                return;
            }
            self.0.read_exact(&mut signal[2..]).expect("the rest of it in time");
            assert_eq!(&signal, b"WAIT");
        }
    }

    /// Expects that nothing arrives within `time`.
    pub(crate) fn expect_silence(&mut self, time: Duration) {
        self.0.set_read_timeout(Some(time)).expect("not zero");
        let read = recv(&self.0, &mut [0; 64]).map_err(|error| error.kind());
        assert!(matches!(read, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut)), "{read:?}");
        self.0.set_read_timeout(Some(PATIENCE)).expect("not zero");
    }

    pub(crate) fn answer_go(&mut self, answer: &str) {
        self.expect_go();
        self.0.write_all(answer.as_bytes()).expect("the server is there");
    }
}

pub(crate) fn turn_client(address: &str, options: &[&str]) -> Process {
    // Only warnings, so that standard error has nothing but what users have to see.
    let always = ["--connect", address, "--log-level", "warn"];
    Process::spawn(example("turn_client").args(always).args(options))
}

pub(crate) fn listening_on(line: &Line) -> Option<String> {
    let address = line.text.strip_prefix("Server listening on ")?;
    (line.stream == Stream::Out).then(|| address.to_owned())
}

/// Returns a name with a label that is too long, so that no name server is asked.
pub(crate) fn unresolvable_name() -> String {
    format!("{}.invalid", "nowhere".repeat(10))
}

pub(crate) fn numbers_of(sent: &[Sent], name: &str) -> Vec<i64> {
    sent.iter().filter(|sent| sent.name == name).map(|sent| sent.number).collect()
}

/// Checks that two names alternate.
pub(crate) fn assert_alternates(sent: &[Sent]) {
    assert!(sent.len() >= 2, "too few numbers: {sent:?}");
    assert_ne!(sent[0].name, sent[1].name, "one name twice in a row: {sent:?}");
    for (index, turns) in sent.windows(3).enumerate() {
        assert_eq!(turns[0].name, turns[2].name, "no alternation at number {index}: {sent:?}");
        assert_ne!(turns[1].name, turns[2].name, "one name twice in a row at number {index}: {sent:?}");
    }
}

/// Checks for exactly `count` numbers of each name, from its start, and nothing else.
pub(crate) fn assert_counts(sent: &[Sent], starts: &[(&str, i64)], step: i64, count: usize) {
    assert_eq!(sent.len(), starts.len() * count, "{sent:?}");
    for (name, start) in starts {
        let expected: Vec<i64> = (0..).map(|index| start + index * step).take(count).collect();
        assert_eq!(numbers_of(sent, name), expected, "the numbers of {name}");
    }
}

/// Checks that a program printed exactly one line on standard error. Returns it.
pub(crate) fn expect_one_complaint(process: &Process) -> String {
    let lines = process.lines(Stream::Err);
    assert_eq!(lines.len(), 1, "not one line on standard error: {lines:?}");
    lines[0].to_owned()
}

/// A client of the line protocol that does only what a test tells it to.
pub(crate) struct LinePeer {
    stream: BufReader<TcpStream>,
    /// Everything that it has heard, for the message of a failed test.
    heard: Vec<String>,
}

impl LinePeer {
    /// Connects and sends `hello`, such as `JOIN ann`.
    pub(crate) fn connect(address: &str, hello: &str) -> Self {
        let mut peer = Self { stream: BufReader::new(connect(address)), heard: Vec::new() };
        peer.says(hello);
        peer
    }

    pub(crate) fn says(&mut self, line: &str) {
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes()).expect("the server is there");
    }

    /// Returns the next line.
    pub(crate) fn hears_next(&mut self) -> String {
        let mut line = String::new();
        let count = self.stream.read_line(&mut line);
        assert!(matches!(count, Ok(1..)), "{count:?}, behind {:#?}", self.heard);
        let line = line.trim_end_matches('\n').to_owned();
        self.heard.push(line.clone());
        line
    }

    /// Returns the next line that begins with `start`.
    pub(crate) fn hears(&mut self, start: &str) -> String {
        loop {
            let line = self.hears_next();
            if line.starts_with(start) {
                return line;
            }
        }
    }

    /// Reads until the server has closed the connection.
    #[cfg(feature = "etcd")]
    pub(crate) fn hears_the_end(&mut self) {
        let mut line = String::new();
        while matches!(self.stream.read_line(&mut line), Ok(1..)) {}
    }

    /// Returns whether any line so far begins with `start`.
    pub(crate) fn has_heard(&self, start: &str) -> bool {
        self.heard.iter().any(|line| line.starts_with(start))
    }
}

/// Returns the value of a field such as `turn=7`.
pub(crate) fn field<'a>(line: &'a str, key: &str) -> &'a str {
    let value = line.split(' ').find_map(|field| field.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {key}= in {line:?}"))
}
