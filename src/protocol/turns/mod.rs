//! The turn protocol: N clients take turns to send a number; exactly one may send at any time.
//!
//! Two framings of one protocol. [`Framing::Raw`] is for clients that take one `recv` as one message and know only `GO` and
//! `WAIT`; [`Framing::Line`] is for everybody else: names, fences, resumption, observers. docs/PROTOCOL.md in the
//! repository gives every sentence a number, and the code refers to them (T5, T22).

// server.rs   connections, draining; hand_over.rs what the scheduler decided, and the order of writes
//  ├ raw.rs   who is told what and when, and what counts, in the raw framing
//  ├ line.rs  the same in the line framing
//  ├ rooms.rs rings by name, seats by name, observers
//  └ seat.rs  what is kept with a seat: its client, its name, its secrets
// client.rs   clients that answer by themselves, any number on one loop
// request.rs  what clients say, reply.rs what the server says: text in, values out, and back
// codes.rs    why something is refused or closed; name.rs names

mod client;
mod codes;
mod hand_over;
mod ledger;
mod line;
mod name;
mod raw;
mod reply;
mod request;
mod rooms;
mod seat;
mod server;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

pub use client::{ClientEvent, TurnClient, TurnClientConfig};
pub use codes::{Bye, Code, Skipped};
pub use name::{InvalidName, NAME_BYTES_MAX, Name};
pub use reply::{Epoch, GO, Reply, Secret, WAIT};
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
    /// keeps, what is queued for it, and [`message_bytes_max`](Self::message_bytes_max).
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
        /// When it lapses.
        deadline: Instant,
    },
    /// An answer was accepted. Reported once for each, whatever the client sends again.
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
