//! Ranked dispatch: clients get ranks by arrival, and a command goes to a client of lower rank, which
//! executes it.
//!
//! Rank 0 is the highest; a lower rank is a larger number. docs/LEGACY.md in the repository gives every
//! sentence a number, and the code refers to them (R3, R7).

mod client;
mod message;
mod server;

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

pub use client::{DispatchClient, DispatchClientEvent};
pub use message::{COMMAND_BYTES_MAX, Command, InvalidCommand};
pub use server::DispatchServer;

pub use crate::wire::Framing;

/// A client's place in the order of arrival; 0 is the highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(pub usize);

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The choice of the client that gets a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Policy {
    /// The closest lower rank.
    #[default]
    Next,
    /// The lower-ranked client with the smallest load; of equals the one that has waited for longest.
    LeastLoaded,
}

/// The text is not a [`Policy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownPolicy;

impl fmt::Display for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown policy: expected next or least-loaded")
    }
}

impl std::error::Error for UnknownPolicy {}

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Policy, UnknownPolicy> {
        match text {
            "next" => Ok(Policy::Next),
            "least-loaded" => Ok(Policy::LeastLoaded),
            _ => Err(UnknownPolicy),
        }
    }
}

/// Limits and times of a [`DispatchServer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DispatchServerConfig {
    /// How messages are told apart. Default raw.
    pub framing: Framing,
    /// The choice of the client that gets a command. Default the closest lower rank.
    pub policy: Policy,
    /// Clients; one more is told `Server full`. Default 5.
    pub max_clients: usize,
    /// Raw framing: the least time between two messages to one client, so that it never reads both in one
    /// `recv`. Default 10 ms.
    pub signal_gap: Duration,
    /// Raw framing: messages that wait for the gap, for each client; a further command is refused, and only
    /// the newest rank waits beside them. Default 64, of 1,024 bytes at most.
    pub waiting_max: usize,
    /// Raw framing: the load of a client is the number of commands sent to it within this time. Default 10 s.
    pub load_window: Duration,
    /// Line framing: commands that a client has not done yet; a further one is refused. Default 1,024.
    pub undone_max: usize,
    /// Line framing: how long a line that has begun may take to end. Default 5 s.
    pub line_timeout: Duration,
}

impl Default for DispatchServerConfig {
    fn default() -> Self {
        DispatchServerConfig {
            framing: Framing::Raw,
            policy: Policy::Next,
            max_clients: 5,
            signal_gap: Duration::from_millis(10),
            waiting_max: 64,
            load_window: Duration::from_secs(10),
            undone_max: 1024,
            line_timeout: Duration::from_secs(5),
        }
    }
}

/// Running counts of a [`DispatchServer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DispatchCounts {
    /// Commands that went to a client.
    pub dispatched: u64,
    /// Commands that went to no client; see [`Rejection`].
    pub rejected: u64,
    /// Messages that were no command.
    pub refused: u64,
    /// Connections that were told `Server full`.
    pub turned_away: u64,
}

/// An event of a [`DispatchServer`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DispatchEvent {
    /// A client was given a rank.
    Ranked {
        /// Its address.
        peer: SocketAddr,
        /// Its rank.
        rank: Rank,
    },
    /// A client is gone. Those below it move up at the end of the pass.
    Left {
        /// Its address.
        peer: SocketAddr,
        /// The rank that it had, as it was told.
        rank: Rank,
    },
    /// Clients have left in this pass, and the others have their new ranks: see [`DispatchServer::ranks`].
    MovedUp,
    /// A command went to a client.
    Dispatched {
        /// The rank of its sender.
        from: Rank,
        /// The rank of the client that executes it.
        to: Rank,
    },
    /// A command went to no client. No more than 4,096 of these and of the next come from one pass:
    /// [`DispatchServer::counts`] has all.
    Rejected {
        /// The rank of its sender.
        from: Rank,
        /// The reason.
        reason: Rejection,
    },
    /// Bytes that are no command were refused.
    Refused {
        /// The address of their sender.
        peer: SocketAddr,
    },
}

/// The reason why a command goes to no client: the line framing's `X {reason}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// No client is ranked lower.
    LowestRank,
    /// Too much waits for the client that would get it.
    Busy,
    /// It is not a command.
    Malformed,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rejection::LowestRank => "lowest-rank",
            Rejection::Busy => "busy",
            Rejection::Malformed => "malformed",
        })
    }
}
