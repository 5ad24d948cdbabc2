//! A counter with odd and even requests: clients count up and report each value. The server remembers the
//! last value of each id, and gives out random odd and even numbers.
//!
//! docs/LEGACY.md in the repository numbers each of its sentences, and the code refers to these numbers
//! (C3, C7).

mod client;
mod server;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

pub use client::{CounterClient, CounterClientConfig, CounterClientEvent};
pub use server::CounterServer;

/// The number under which a client counts: 0 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterId(u16);

impl CounterId {
    /// The highest id.
    pub const MAX: u16 = 10_000;

    /// Returns the id `id`, or `None` above 10,000.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::protocol::counter::CounterId;
    ///
    /// assert_eq!(CounterId::new(7).map(CounterId::get), Some(7));
    /// assert_eq!(CounterId::new(10_001), None);
    /// ```
    #[must_use]
    pub fn new(id: u16) -> Option<CounterId> {
        (id <= CounterId::MAX).then_some(CounterId(id))
    }

    /// Returns the id as a number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CounterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The data kept for an id, which outlives its connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Record {
    /// The last number that it reported; 0 before the first.
    pub number: i64,
    /// The last random number that it was given; `None` if it has never asked.
    pub random: Option<u8>,
}

/// Odd or even.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Parity {
    /// 1, 3, ... 99.
    Odd,
    /// 0, 2, ... 98.
    Even,
}

impl Parity {
    /// Returns the word on the wire.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::counter::Parity;
    /// assert_eq!(Parity::Odd.as_str(), "odd");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Parity::Odd => "odd",
            Parity::Even => "even",
        }
    }

    fn parse(word: &str) -> Option<Parity> {
        match word {
            "odd" => Some(Parity::Odd),
            "even" => Some(Parity::Even),
            _ => None,
        }
    }
}

impl fmt::Display for Parity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Limits and times of a [`CounterServer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterServerConfig {
    /// The most connections. Any further one is turned away. Default 10,000.
    pub max_clients: usize,
    /// How long a connection may go without an id. Default 10 s.
    pub hello_timeout: Duration,
    /// The longest message or id, without its space. A longer one closes the connection. Default 32 bytes.
    pub message_bytes_max: usize,
}

impl Default for CounterServerConfig {
    fn default() -> Self {
        CounterServerConfig {
            max_clients: 10_000,
            hello_timeout: Duration::from_secs(10),
            message_bytes_max: 32,
        }
    }
}

/// An event of a [`CounterServer`]. Its `Display` form is a line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CounterEvent {
    /// A client sent its id and was given its last number.
    Began {
        /// Its address.
        peer: SocketAddr,
        /// The client's id.
        id: CounterId,
        /// Its last number.
        number: i64,
    },
    /// A client reported a number.
    Counted {
        /// The client's id.
        id: CounterId,
        /// The number.
        number: i64,
    },
    /// A client asked for a random number.
    Gave {
        /// The client's id.
        id: CounterId,
        /// Odd or even.
        parity: Parity,
        /// The number that it got.
        random: u8,
    },
    /// Something was refused. Only the first 64 refusals of a pass are reported.
    Refused {
        /// Its address.
        peer: SocketAddr,
        /// The client's id, if it has sent one.
        id: Option<CounterId>,
        /// The message and the reason, escaped for a log.
        what: String,
    },
    /// The connection of a client ended.
    Ended {
        /// Its address.
        peer: SocketAddr,
        /// The client's id.
        id: CounterId,
    },
}

impl fmt::Display for CounterEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CounterEvent::Began { peer, id, number } => {
                write!(f, "client {id} connected from {peer}, continues from {number}")
            }
            CounterEvent::Counted { id, number } => write!(f, "client {id} sent {number}"),
            CounterEvent::Gave { id, parity, random } => {
                write!(f, "client {id} asked for {parity}, got {random}")
            }
            CounterEvent::Refused { peer, id: Some(id), what } => {
                write!(f, "client {id} at {peer}: refused {what}")
            }
            CounterEvent::Refused { peer, id: None, what } => write!(f, "{peer}: refused {what}"),
            CounterEvent::Ended { peer, id } => write!(f, "client {id} at {peer} disconnected"),
        }
    }
}
