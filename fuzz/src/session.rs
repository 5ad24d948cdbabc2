//! A protocol and its connections, played from a script. It is text, so that a seed can be read and a
//! dictionary helps.
//!
//! One step a line. `0` to `9` is a connection:
//!
//! | line | step |
//! |---|---|
//! | `0` | is opened, if it is not open |
//! | `0>JOIN ann` | sends a line; a bar in it is an end of line too, so several lines can come in one read |
//! | `0>JOIN ann resume=#3` | the same, with the last secret that connection 3 was told |
//! | `0:ann:1` | sends these bytes, with nothing after them |
//! | `0.` | has finished sending |
//! | `0!` | is reset |
//! | `0-`, `0+` | stops reading, reads again |
//! | `t100` | 100 ms go by |
//! | `d` | the host drains |
//! | `x...` | the host does something else, which the target defines |
//!
//! Any other line does nothing. This module is the network, as a driver shows it to a protocol; a protocol
//! that panics, spins, or queues without end fails here. The target checks the answers.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use support::rests::Rests;
use taketurns::protocol::{CloseReason, ConnectionId, DialId, Intent, Links, Origin, Protocol};
use taketurns::time::{Instant, Now};

/// More calls than this at one instant count as a spin.
const CALLS_MAX: usize = 1_000;

/// Bytes that may be queued for a connection, plus the longest message that may come on top.
const OUT_BYTES_MAX: usize = 4 * 1024;
const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// A protocol under fire.
pub struct Session<P: Protocol> {
    pub protocol: P,
    pub links: Links,
    pub now: Now,
    pub events: Vec<P::Event>,
    connections: [Option<Connection>; 10],
    is_client: bool,
    rests: Rests,
    /// The last secret that each connection was told.
    secrets: [Vec<u8>; 10],
}

#[derive(Clone, Copy)]
struct Connection {
    id: ConnectionId,
    reads: bool,
    has_ended: bool,
}

impl<P: Protocol> Session<P> {
    /// A server, with connections from outside.
    pub fn server(protocol: P) -> Session<P> {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let now = Now::new(Instant::ORIGIN, wall);
        let (links, events, connections) = (Links::new(OUT_BYTES_MAX), Vec::new(), [None; 10]);
        let rests = Rests::default();
        let secrets = <[Vec<u8>; 10]>::default();
        Session { protocol, links, now, events, connections, is_client: false, rests, secrets }
    }

    /// A client that has dialed the connections.
    pub fn client(protocol: P) -> Session<P> {
        Session { is_client: true, ..Session::server(protocol) }
    }

    /// Plays `script`. `extra` carries out the rest of an `x` line, and `check` is called after every step.
    pub fn play(
        &mut self,
        script: &[u8],
        mut extra: impl FnMut(&mut Session<P>, &[u8]),
        mut check: impl FnMut(&mut Session<P>),
    ) {
        for line in script.split(|&byte| byte == b'\n') {
            match line {
                [b'x', text @ ..] => extra(self, text),
                line => self.step(line),
            }
            self.settle();
            check(self);
        }
    }

    fn step(&mut self, line: &[u8]) {
        let (now, links) = (self.now, &mut self.links);
        match line {
            [b't', ms @ ..] => self.pass_time(ms),
            [b'd', ..] => self.protocol.drain(now, links),
            &[digit @ b'0'..=b'9', ref what @ ..] => self.connection_step(usize::from(digit - b'0'), what),
            _ => {}
        }
    }

    fn connection_step(&mut self, at: usize, what: &[u8]) {
        let Some(connection) = self.connections[at] else { return self.open(at) };
        let hears = !connection.has_ended && self.links.is_open(connection.id);
        match what {
            [b'>', text @ ..] if hears => {
                let lines = self.lines(text);
                self.rests.hear(&mut self.protocol, self.now, connection.id, &lines, &mut self.links);
            }
            [b':', bytes @ ..] if hears && !bytes.is_empty() => {
                self.rests.hear(&mut self.protocol, self.now, connection.id, bytes, &mut self.links);
            }
            [b'.', ..] if hears => {
                self.connections[at] = Some(Connection { has_ended: true, ..connection });
                self.rests.end(&mut self.protocol, self.now, connection.id, &mut self.links);
            }
            [b'!', ..] => self.close(at, CloseReason::Broken(std::io::ErrorKind::ConnectionReset)),
            [b'-', ..] => self.connections[at] = Some(Connection { reads: false, ..connection }),
            [b'+', ..] => self.connections[at] = Some(Connection { reads: true, ..connection }),
            _ => {}
        }
    }

    /// Returns the connection with this number, if it is open.
    pub fn connection(&self, at: usize) -> Option<ConnectionId> {
        self.connections.get(at).copied().flatten().map(|connection| connection.id)
    }

    /// Returns the bytes that a `>` sends.
    fn lines(&self, text: &[u8]) -> Vec<u8> {
        let mut lines: Vec<u8> = text.iter().map(|&byte| if byte == b'|' { b'\n' } else { byte }).collect();
        lines.push(b'\n');
        if let Some(at) = lines.windows(2).position(|pair| pair[0] == b'#' && pair[1].is_ascii_digit()) {
            let secret = self.secrets[usize::from(lines[at + 1] - b'0')].clone();
            lines.splice(at..at + 2, secret);
        }
        lines
    }

    /// Remembers the secret in the bytes for a connection.
    fn note_secret(&mut self, at: usize, id: ConnectionId) {
        const KEY: &[u8] = b" resume=";
        let told = self.links.unsent(id);
        if let Some(begin) = told.windows(KEY.len()).rposition(|found| found == KEY) {
            let secret = told[begin + KEY.len()..].iter().copied();
            self.secrets[at] = secret.take_while(u8::is_ascii_hexdigit).collect();
        }
    }

    fn open(&mut self, at: usize) {
        let peer: SocketAddr = ([127, 0, 0, 1], 1024 + u16::try_from(at).expect("a digit")).into();
        let id = self.links.open(peer);
        self.connections[at] = Some(Connection { id, reads: true, has_ended: false });
        let origin = if self.is_client { Origin::Dialed(DialId(at)) } else { Origin::Accepted };
        self.protocol.handle_open(self.now, id, peer, origin, &mut self.links);
    }

    fn close(&mut self, at: usize, reason: CloseReason) {
        if let Some(connection) = self.connections[at].take() {
            self.protocol.handle_closed(self.now, connection.id, reason, &mut self.links);
            self.links.remove(connection.id);
        }
    }

    /// Lets at most an hour pass per step, and every deadline on the way at its own time.
    fn pass_time(&mut self, ms: &[u8]) {
        let digits = ms.iter().take_while(|byte| byte.is_ascii_digit()).take(7);
        let ms = digits.fold(0, |ms, digit| ms * 10 + u64::from(digit - b'0')).min(3_600_000);
        let until = self.now.instant + Duration::from_millis(ms);
        for _ in 0..CALLS_MAX {
            match self.protocol.next_deadline().filter(|&due| due <= until) {
                Some(due) => self.set_time(due.max(self.now.instant)),
                None => return self.set_time(until),
            }
            self.protocol.handle_timeout(self.now, &mut self.links);
            self.rests.go_on(&mut self.protocol, self.now, &mut self.links);
            let later = self.protocol.next_deadline().is_none_or(|due| due > self.now.instant);
            assert!(later, "a deadline that has been called for is still due");
            self.settle();
        }
        self.set_time(until);
        self.protocol.handle_timeout(self.now, &mut self.links);
    }

    fn set_time(&mut self, instant: Instant) {
        self.now = Now::new(instant, self.now.wall() + (instant - self.now.instant));
    }

    /// Writes, closes and reports, as a driver does at the end of a pass.
    fn settle(&mut self) {
        for _ in 0..CALLS_MAX {
            let goes_on = self.rests.go_on(&mut self.protocol, self.now, &mut self.links);
            if !goes_on && !self.links.has_touched() {
                break;
            }
            while let Some(id) = self.links.take_touched() {
                self.write(id);
            }
            self.protocol.handle_flushed(self.now, &mut self.links);
            self.close_unwanted();
        }
        assert!(!self.links.has_touched(), "the protocol asks for more and more");
        self.events.extend(std::iter::from_fn(|| self.protocol.poll_event()));
    }

    fn write(&mut self, id: ConnectionId) {
        let unsent = self.links.unsent(id).len();
        assert!(unsent <= 16 * OUT_BYTES_MAX + MESSAGE_BYTES_MAX, "{unsent} bytes are queued");
        let reads = |found: &Option<Connection>| found.is_some_and(|found| found.id == id && found.reads);
        if let Some(at) = self.connections.iter().position(reads) {
            self.note_secret(at, id);
            self.links.consume(id, unsent);
        }
    }

    fn close_unwanted(&mut self) {
        for at in 0..self.connections.len() {
            match self.connections[at].map(|connection| self.links.intent_of(connection.id)) {
                None | Some(Intent::Keep) => {}
                Some(Intent::Close) => self.close(at, CloseReason::Unwanted),
                Some(Intent::Abort(_)) => self.close(at, CloseReason::SlowReader),
            }
        }
    }
}

/// Random bytes, the same every time.
pub fn entropy() -> taketurns::protocol::Entropy {
    let mut state = 1_u64;
    Box::new(move |bytes| {
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = state.to_be_bytes()[0];
        }
    })
}
