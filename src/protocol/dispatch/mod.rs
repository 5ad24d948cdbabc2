//! Ranked dispatch: clients get ranks by order of arrival, and each command goes to a client of lower rank,
//! which executes it.
//!
//! Rank 0 is the highest; a lower rank is a larger number. docs/LEGACY.md in the repository numbers each of
//! its sentences, and the code refers to these numbers (R3, R7).

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

/// The rule by which a server chooses the client for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Policy {
    /// The next lower rank.
    #[default]
    Next,
    /// The lower-ranked client with the smallest load; among equals, the one that was chosen longest ago.
    LeastLoaded,
}

/// A text that is not a [`Policy`].
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
    /// How messages are delimited. Default raw.
    pub framing: Framing,
    /// The rule by which a client is chosen for a command. Default the next lower rank.
    pub policy: Policy,
    /// The most clients. Any further one is told `Server full`. Default 5.
    pub max_clients: usize,
    /// Raw framing: the shortest time between two messages to one client, so that it never reads both in one
    /// `recv`. Default 10 ms.
    pub signal_gap: Duration,
    /// Raw framing: the most messages that wait for the gap, per client. A further command is refused. In
    /// addition, the newest rank may wait. Default 64, each of at most 1,024 bytes.
    pub waiting_max: usize,
    /// Raw framing: a client's load is the number of commands that it was sent within this time. Default 10
    /// s.
    pub load_window: Duration,
    /// Line framing: the most commands that a client may have left to do. A further one is refused. Default
    /// 1,024.
    pub undone_max: usize,
    /// Line framing: how long a line may take from its first byte to its end. Default 5 s.
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
    /// Commands that were sent to a client.
    pub dispatched: u64,
    /// Commands that were sent to no client; see [`Rejection`].
    pub rejected: u64,
    /// Messages that were not commands.
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
    /// A client has left. Those below it move up at the end of the pass.
    Left {
        /// Its address.
        peer: SocketAddr,
        /// Its rank, as it was told.
        rank: Rank,
    },
    /// Clients left in this pass, and the others have new ranks: see [`DispatchServer::ranks`].
    MovedUp,
    /// A command was sent to a client.
    Dispatched {
        /// The rank of its sender.
        from: Rank,
        /// The rank of the client that is to execute it.
        to: Rank,
    },
    /// A command was sent to no client. A pass reports at most 4,096 of these and of
    /// [`Refused`](Self::Refused) together; [`DispatchServer::counts`] counts all of them.
    Rejected {
        /// The rank of its sender.
        from: Rank,
        /// The reason.
        reason: Rejection,
    },
    /// Bytes that are not a command were refused.
    Refused {
        /// The address of the sender.
        peer: SocketAddr,
    },
}

/// The reason why a command is sent to no client: the line framing's `X {reason}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// No client has a lower rank.
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
