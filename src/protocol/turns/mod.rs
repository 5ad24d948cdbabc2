//! The turn protocol: N clients take turns to send a number; exactly one may send at any time.
//!
//! Two framings of one protocol. [`Framing::Raw`] is for clients that take one `recv` as one message and know only `GO` and
//! `WAIT`; [`Framing::Line`] is for everybody else: names, fences, resumption, observers. docs/PROTOCOL.md in the
//! repository gives every sentence a number, and the code refers to them (T5, T22).
//!
//! # When the number is a move
//!
//! [`TurnServer`] takes every number of the holder's: when the host hears [`TurnEvent::Accepted`], the answer is confirmed and the next
//! `GO` is queued. A host that has to look at a number first, or to tell everybody what it did before the next holder hears `GO`, puts a
//! protocol of its own around the server. It hears every line first, and says lines of its own, which clients that do not know them
//! ignore.
//!
//! ```
//! use std::net::SocketAddr;
//! use taketurns::protocol::turns::{Code, Framing, Reply, Request, TurnEvent, TurnServer, TurnServerConfig};
//! use taketurns::protocol::{CloseReason, ConnectionId, Links, Origin, Protocol};
//! use taketurns::time::{Instant, Now};
//! use taketurns::turn::Held;
//! use taketurns::wire::split_line;
//!
//! /// Players take 1 to 3 matches; who takes the last one wins.
//! struct Nim {
//!     turns: TurnServer,
//!     matches: i64,
//!     /// Those of players and of those who watch.
//!     connections: Vec<ConnectionId>,
//! }
//!
//! impl Nim {
//!     /// The turn that `id` holds, if it does.
//!     fn held_by(&self, id: ConnectionId) -> Option<Held> {
//!         self.turns.scheduler().held_by(self.turns.seat_of(id)?)
//!     }
//!
//!     /// Whether the server may hear `line`.
//!     fn allows(&mut self, id: ConnectionId, line: &str, links: &mut Links) -> bool {
//!         let (Ok(Request::Answer { answer, fence }), Some(held)) = (Request::parse(line), self.held_by(id)) else { return true };
//!         let name = self.turns.scheduler().data(held.seat).and_then(|seat| seat.name());
//!         if name != Some(answer.name) || fence.is_some_and(|fence| fence != Some(held.turn)) {
//!             return true; // The server will refuse it.
//!         }
//!         if !(1..=3.min(self.matches)).contains(&answer.number) {
//!             let no = Reply::No { turn: held.turn.get(), code: Code::BadNumber };
//!             links.send_fmt(id, format_args!("{no}\n"));
//!             return false; // The turn is still theirs, and its deadline goes on.
//!         }
//!         self.matches -= answer.number;
//!         for &id in &self.connections {
//!             links.send_fmt(id, format_args!("SAY {answer}, {} left\n", self.matches));
//!         }
//!         true
//!     }
//! }
//!
//! impl Protocol for Nim {
//!     type Event = TurnEvent;
//!
//!     fn handle_open(&mut self, now: Now, id: ConnectionId, peer: SocketAddr, origin: Origin, links: &mut Links) {
//!         self.connections.push(id);
//!         self.turns.handle_open(now, id, peer, origin, links);
//!     }
//!
//!     fn handle_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
//!         let (length_max, mut used) = (self.turns.config().message_bytes_max, 0);
//!         while links.may_go_on(id)
//!             && let Some(line) = split_line(&bytes[used..], length_max)
//!         {
//!             let whole = &bytes[used..used + line.used];
//!             used += line.used;
//!             if line.text.is_err() || line.text.is_ok_and(|text| self.allows(id, text, links)) {
//!                 self.turns.handle_bytes(now, id, whole, links);
//!             }
//!         }
//!         // The server wants to know that a line has begun: it has to end in time.
//!         if links.may_go_on(id) && used < bytes.len() {
//!             self.turns.handle_bytes(now, id, &bytes[used..], links);
//!         }
//!         used
//!     }
//!
//!     fn handle_end(&mut self, now: Now, id: ConnectionId, rest: &[u8], links: &mut Links) {
//!         self.turns.handle_end(now, id, rest, links);
//!     }
//!
//!     fn handle_closed(&mut self, now: Now, id: ConnectionId, reason: CloseReason, links: &mut Links) {
//!         self.connections.retain(|&known| known != id);
//!         self.turns.handle_closed(now, id, reason, links);
//!     }
//!
//!     fn handle_timeout(&mut self, now: Now, links: &mut Links) {
//!         self.turns.handle_timeout(now, links);
//!     }
//!
//!     fn handle_flushed(&mut self, now: Now, links: &mut Links) {
//!         self.turns.handle_flushed(now, links);
//!     }
//!
//!     fn drain(&mut self, now: Now, links: &mut Links) {
//!         self.turns.drain(now, links);
//!     }
//!
//!     fn next_deadline(&self) -> Option<Instant> {
//!         self.turns.next_deadline()
//!     }
//!
//!     fn poll_event(&mut self) -> Option<TurnEvent> {
//!         self.turns.poll_event()
//!     }
//! }
//!
//! // One game, so one ring.
//! let config = TurnServerConfig { framing: Framing::Line, max_rings: 1, ..TurnServerConfig::default() };
//! let turns = TurnServer::new(config, Box::new(|bytes| bytes.fill(7)));
//! let mut nim = Nim { turns, matches: 21, connections: Vec::new() };
//! let (now, mut links) = (Now::ORIGIN, Links::new(64 * 1024));
//! let peer = SocketAddr::from(([127, 0, 0, 1], 9));
//! let [ann, bob] = ["ann", "bob"].map(|name| {
//!     let id = links.open(peer);
//!     nim.handle_open(now, id, peer, Origin::Accepted, &mut links);
//!     nim.handle_bytes(now, id, format!("JOIN {name}\n").as_bytes(), &mut links);
//!     id
//! });
//! nim.handle_bytes(now, ann, b"ann:4 turn=1\n", &mut links);
//! assert!(links.unsent(ann).ends_with(b"NO turn=1 bad-number a number is out of range\n"));
//! nim.handle_bytes(now, ann, b"ann:3 turn=1\n", &mut links);
//! assert!(links.unsent(ann).ends_with(b"SAY ann:3, 18 left\nOK turn=1\n"));
//! assert!(links.unsent(bob).ends_with(b"SAY ann:3, 18 left\nGO turn=2 within=30000\n"));
//! ```
//!
// server.rs   connections, draining; hand_over.rs what the scheduler decided, and the order of writes
//  ├ raw.rs   who is told what and when, and what counts, in the raw framing
//  ├ line.rs  the same in the line framing
//  ├ rooms.rs rings by name, seats by name, observers
//  └ seat.rs  what is kept with a seat: its client, its name, its secrets
// client.rs   clients that answer by themselves, any number on one loop
// request.rs  what clients say, reply.rs what the server says: text in, values out, and back
// codes.rs    why something is refused or closed; name.rs names

mod asked;
mod client;
mod codes;
mod hand_over;
mod ledger;
mod line;
mod name;
mod player;
mod raw;
mod reply;
mod request;
mod rooms;
mod seat;
mod server;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

pub use asked::{ClientTurn, Fate};
pub use client::{ClientEvent, TurnClient, TurnClientConfig};
pub use codes::{Bye, Code, Skipped};
pub use name::{InvalidName, NAME_BYTES_MAX, Name};
pub use reply::{Epoch, GO, InvalidHex, Reply, Secret, WAIT};
pub use request::{Answer, DEFAULT_RING, Fence, Request};
pub use seat::SeatData;
pub use server::TurnServer;

use super::ConnectionId;
use crate::time::Instant;
use crate::turn::{SeatId, TurnNumber};
pub use crate::wire::{Framing, UnknownFraming};

/// Limits and times of a [`TurnServer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnServerConfig {
    /// How messages are told apart. Default raw.
    pub framing: Framing,
    /// Turns are granted while at least this many seats of a ring are occupied. Default 2.
    pub min_clients: usize,
    /// Connections; one more is turned away. Default 10,000; each costs less than 1 KiB beside what the system
    /// keeps, what is queued for it, and [`message_bytes_max`](Self::message_bytes_max). Where the process may have fewer descriptors, give it no
    /// more than [`DriverConfig::clients_max`](crate::net::DriverConfig::clients_max), or the last ones hear no `BYE full`.
    pub max_clients: usize,
    /// Rings (line framing). Default 1,024.
    pub max_rings: usize,
    /// How long the holder of the turn may stay silent. Default 30 s.
    pub turn_deadline: Duration,
    /// How long a vacant seat keeps its place. Default 60 s.
    pub seat_grace: Duration,
    /// How long, at most, a drain waits for the holders of turns. Default 3 s.
    pub drain_timeout: Duration,
    /// Raw framing: how long after `WAIT` a `GO` to the same connection is held back, so that a client that takes one
    /// `recv` as one message never sees both in one. Default 100 ms, for which such a client sleeps anyway.
    pub signal_gap: Duration,
    /// Raw framing: how long an incomplete message waits for the rest. Default 50 ms.
    pub gather_time: Duration,
    /// Raw framing: malformed answers in a row after which the holder is disconnected. Default 3.
    pub strikes: u8,
    /// Line framing: how long a new connection may go without a valid `JOIN` or `WATCH`. Default 10 s.
    pub hello_timeout: Duration,
    /// Line framing: how long a line that has begun may take to end. Default 5 s.
    pub line_timeout: Duration,
    /// The longest message, its end not counted. Default 1,024. A connection that has sent a message in pieces keeps
    /// up to twice as much.
    pub message_bytes_max: usize,
}

impl Default for TurnServerConfig {
    fn default() -> Self {
        TurnServerConfig {
            framing: Framing::Raw,
            min_clients: 2,
            max_clients: 10_000,
            max_rings: 1_024,
            turn_deadline: Duration::from_secs(30),
            seat_grace: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(3),
            signal_gap: Duration::from_millis(100),
            gather_time: Duration::from_millis(50),
            strikes: 3,
            hello_timeout: Duration::from_secs(10),
            line_timeout: Duration::from_secs(5),
            message_bytes_max: 1024,
        }
    }
}

/// What a host hears of a [`TurnServer`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TurnEvent {
    /// A client sits on a seat: a new one, or one that was vacant or another connection's.
    Seated {
        /// The seat.
        seat: SeatId,
        /// Who sits on it now.
        connection: ConnectionId,
        /// Its name; in the raw framing none before the first answer.
        name: Option<Name>,
    },
    /// A seat has lost its client; its place is kept for the grace.
    Vacated {
        /// The seat.
        seat: SeatId,
        /// Its name, if it has said one.
        name: Option<Name>,
    },
    /// A seat is gone: given up, or vacant for too long.
    Retired {
        /// The seat. Its id means nothing from now on.
        seat: SeatId,
        /// Its name, if it has said one.
        name: Option<Name>,
    },
    /// A turn was granted.
    Granted {
        /// To whom.
        seat: SeatId,
        /// Its number.
        turn: TurnNumber,
        /// When it lapses; later, if a raw client can hear of it only later: see [`Scheduler::held`](crate::turn::Scheduler::held).
        deadline: Instant,
    },
    /// An answer was accepted. Reported once for each, whatever the client sends again. It counts, and the next turn is granted already:
    /// to refuse a number, look at it [before the server does](self#when-the-number-is-a-move).
    Accepted {
        /// Whose.
        seat: SeatId,
        /// For which turn.
        turn: TurnNumber,
        /// The name that it was given under.
        name: Name,
        /// The number.
        number: i64,
    },
    /// A turn ended without a number.
    Skipped {
        /// Whose.
        seat: SeatId,
        /// Which.
        turn: TurnNumber,
        /// The seat's name, if it has said one.
        name: Option<Name>,
        /// How.
        how: Skipped,
    },
    /// Bytes were refused; nothing else has changed. No more than 4,096 of these come from one pass:
    /// [`TurnServer::refused_as`] counts all.
    Refused {
        /// Whose.
        connection: ConnectionId,
        /// Where that is.
        peer: SocketAddr,
        /// Why.
        code: Code,
    },
}

/// Running counts of a [`TurnServer`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TurnCounts {
    /// Turns that ended with a number.
    pub accepted: u64,
    /// Answers that were sent again, and confirmed again.
    pub repeated: u64,
    /// Turns given up by their holder.
    pub passed: u64,
    /// Turns that outlived their deadline.
    pub lapsed: u64,
    /// Turns whose holder was lost or left.
    pub gone: u64,
    /// Inputs refused.
    pub refused: u64,
    /// Connections turned away because there was no room.
    pub turned_away: u64,
}

/// A seat as a log shows it.
struct Shown(SeatId, Option<Name>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(name) => write!(f, "{} ({name})", self.0),
            None => self.0.fmt(f),
        }
    }
}
