//! A protocol and its connections, played from a script: text, so that a seed can be read and a dictionary is of use.
//!
//! One step a line. `0` to `9` is a connection:
//!
//! | line | step |
//! |---|---|
//! | `0` | is opened, if it is not open |
//! | `0>JOIN ann` | sends a line; a bar in it is an end of line too, so several lines can come in one read |
//! | `0:ann:1` | sends these bytes, with nothing behind them |
//! | `0.` | has finished sending |
//! | `0!` | is reset |
//! | `0-`, `0+` | stops reading, reads again |
//! | `t100` | 100 ms go by |
//! | `d` | the host drains |
//! | `x...` | the host does something else, which is the target's |
//!
//! Everything else is nothing. What lives here is the network, as a driver shows it to a protocol; a protocol that panics, spins, or
//! queues without end fails here. What its answers should be is the target's.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use taketurns::protocol::{CloseReason, ConnectionId, DialId, Links, Origin, Protocol, Wish};
use taketurns::time::{Instant, Now};

/// More calls than this at one instant: somebody spins.
const CALLS_MAX: usize = 1_000;

/// What may be queued for a connection, and the longest message that may come on top of it.
const OUT_BYTES_MAX: usize = 4 * 1024;
const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// The most that a protocol may leave of its input, in bytes.
const IN_BYTES_MAX: usize = 128 * 1024;

/// A protocol under fire.
pub struct Session<P: Protocol> {
    pub protocol: P,
    pub links: Links,
    pub now: Now,
    pub events: Vec<P::Event>,
    connections: [Option<Connection>; 10],
    /// The input of each connection that was not consumed.
    rests: [Vec<u8>; 10],
    /// Those whose rest may be whole messages: it was left because a lot waited to be written.
    cut_off: [bool; 10],
    is_client: bool,
}

#[derive(Clone, Copy)]
struct Connection {
    id: ConnectionId,
    reads: bool,
    has_ended: bool,
}

impl<P: Protocol> Session<P> {
    /// A server, to which the connections come.
    pub fn server(protocol: P) -> Session<P> {
        let now = Now {
            instant: Instant::ORIGIN,
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        };
        let (links, events, connections) = (Links::new(OUT_BYTES_MAX), Vec::new(), [None; 10]);
        Session { protocol, links, now, events, connections, rests: Default::default(), cut_off: [false; 10], is_client: false }
    }

    /// A client, which has dialed the connections.
    pub fn client(protocol: P) -> Session<P> {
        Session { is_client: true, ..Session::server(protocol) }
    }

    /// Plays `script`. `extra` does what is behind an `x`, `check` is asked after every step.
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
                let mut lines: Vec<u8> =
                    text.iter().map(|&byte| if byte == b'|' { b'\n' } else { byte }).collect();
                lines.push(b'\n');
                self.hear(at, connection.id, &lines);
            }
            [b':', bytes @ ..] if hears && !bytes.is_empty() => {
                self.hear(at, connection.id, bytes);
            }
            [b'.', ..] if hears => {
                self.connections[at] = Some(Connection { has_ended: true, ..connection });
                let rest = std::mem::take(&mut self.rests[at]);
                self.protocol.handle_end(self.now, connection.id, &rest, &mut self.links);
            }
            [b'!', ..] => self.close(at, CloseReason::Broken(std::io::ErrorKind::ConnectionReset)),
            [b'-', ..] => self.connections[at] = Some(Connection { reads: false, ..connection }),
            [b'+', ..] => self.connections[at] = Some(Connection { reads: true, ..connection }),
            _ => {}
        }
    }

    /// Gives the protocol what has come, with what it has left before, in one piece.
    fn hear(&mut self, at: usize, id: ConnectionId, bytes: &[u8]) {
        self.rests[at].extend_from_slice(bytes);
        let used = self.protocol.handle_bytes(self.now, id, &self.rests[at], &mut self.links);
        self.rests[at].drain(..used);
        self.cut_off[at] = !self.links.may_go_on(id);
        if self.rests[at].len() > IN_BYTES_MAX && self.links.may_go_on(id) {
            self.close(at, CloseReason::Overlong);
        }
    }

    /// Gives the protocol again what it asked for, and what it left because there was no room.
    fn hear_again(&mut self) {
        let asked: Vec<_> = std::iter::from_fn(|| self.links.take_reread()).collect();
        for at in 0..self.connections.len() {
            let Some(connection) = self.connections[at] else { continue };
            let is_left = !self.rests[at].is_empty() && !connection.has_ended;
            let is_asked = asked.contains(&connection.id) || std::mem::take(&mut self.cut_off[at]);
            if is_left && is_asked && self.links.may_go_on(connection.id) {
                self.hear(at, connection.id, b"");
            }
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
            self.rests[at].clear();
            self.protocol.handle_closed(self.now, connection.id, reason, &mut self.links);
            self.links.remove(connection.id);
        }
    }

    /// At most an hour a step, and every deadline on the way at its own time.
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
            let later = self.protocol.next_deadline().is_none_or(|due| due > self.now.instant);
            assert!(later, "a deadline that has been called for is still due");
            self.settle();
        }
        self.set_time(until);
        self.protocol.handle_timeout(self.now, &mut self.links);
    }

    fn set_time(&mut self, instant: Instant) {
        self.now.wall += instant - self.now.instant;
        self.now.instant = instant;
    }

    /// Writes, closes and reports, as a driver does at the end of a pass.
    fn settle(&mut self) {
        for _ in 0..CALLS_MAX {
            if !self.links.has_touched() {
                break;
            }
            while let Some(id) = self.links.take_touched() {
                self.write(id);
            }
            self.protocol.handle_flushed(self.now, &mut self.links);
            self.close_unwanted();
            self.hear_again();
        }
        assert!(!self.links.has_touched(), "the protocol asks for more and more");
        self.events.extend(std::iter::from_fn(|| self.protocol.poll_event()));
    }

    fn write(&mut self, id: ConnectionId) {
        let unsent = self.links.unsent(id).len();
        assert!(unsent <= OUT_BYTES_MAX + MESSAGE_BYTES_MAX, "{unsent} bytes are queued");
        if self.connections.iter().flatten().any(|connection| connection.id == id && connection.reads) {
            self.links.consume(id, unsent);
        }
    }

    fn close_unwanted(&mut self) {
        for at in 0..self.connections.len() {
            match self.connections[at].map(|connection| self.links.wish_of(connection.id)) {
                None | Some(Wish::Keep) => {}
                Some(Wish::Close) => self.close(at, CloseReason::Unwanted),
                Some(Wish::Abort(_)) => self.close(at, CloseReason::SlowReader),
            }
        }
    }
}

/// Random bytes that are the same every time.
pub fn entropy() -> taketurns::protocol::Entropy {
    let mut state = 1_u64;
    Box::new(move |bytes| {
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = state.to_be_bytes()[0];
        }
    })
}
