//! Limits and times of a turn server, and checks for contradictions among them.

use std::fmt;
use std::time::Duration;

use crate::turn::{Rules, RulesError};
use crate::wire::Framing;

/// Limits and times of a [`TurnServer`](super::TurnServer).
///
/// # Examples
///
/// ```
/// use taketurns::protocol::turns::{Framing, TurnServerConfig};
///
/// let mut config = TurnServerConfig::default();
/// config.framing = Some(Framing::Line);
/// config.rules.min_seats = 5;
/// config.max_clients = 2;
/// let error = config.check().unwrap_err();
/// assert_eq!(error.to_string(), "max_clients is 2, but a ring needs 5 seats: no turn would ever be granted");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TurnServerConfig {
    /// The framing of all clients. With [`Framing::Raw`] a connection gets a seat as soon as it is accepted;
    /// with [`Framing::Line`] a silent one never gets one. Default `None`: clients of both framings share the
    /// rings, and the first bytes of a connection, or its silence, show which framing it uses.
    pub framing: Option<Framing>,
    /// The rules of rings that have no rules of their own. Default: two seats, 30 s per turn.
    pub rules: Rules,
    /// The most connections. Any further one is turned away. Default 10,000.
    ///
    /// Each costs less than 1 KiB in addition to what the system keeps and what is queued for it. If the
    /// process may have fewer descriptors, set it to 16 less than
    /// [`net::connections_max`](crate::net::connections_max); otherwise the last clients hear no `BYE full`.
    pub max_clients: usize,
    /// The most rings. Default 1,024.
    pub max_rings: usize,
    /// The most seats from one address, including those that are away. Default `None`, because clients may
    /// share an address.
    pub max_per_address: Option<usize>,
    /// Whether the host decides on every `JOIN` and `WATCH`. Default [`Admission::Open`]. [`Admission::Host`]
    /// needs [`Framing::Line`], because raw clients give no name.
    pub admission: Admission,
    /// The longest time that a drain waits for the holders of turns. Default 3 s.
    pub drain_timeout: Duration,
    /// After a [restart](super::TurnServer::restore): how long absent seats keep their place in the queue,
    /// and the shortest time that a held turn waits for its holder. Default 10 s.
    pub return_time: Duration,
    /// How long a new connection may take to send a valid `JOIN` or `WATCH`. Default 10 s.
    pub hello_timeout: Duration,
    /// How long a line may take from its first byte to its end, and how long a payload may pause. Default
    /// 5 s.
    pub line_timeout: Duration,
    /// The longest answer, in bytes. Default 16 KiB.
    ///
    /// The `out_bytes_max` of the driver must have room for four answers, each with its line of 1,024 bytes,
    /// and its `in_bytes_max` for one; see [`DriverConfig::check`](crate::engine::DriverConfig::check).
    pub answer_bytes_max: usize,
    /// The most seats in the roster that a new hearer gets. Default 256.
    pub roster_max: usize,
    /// Raw clients: the shortest time between `WAIT` and a `GO` to the same connection, so that a client that
    /// takes each `recv` for one message never gets both at once. Default 100 ms; such a client sleeps that
    /// long anyway.
    pub signal_gap: Duration,
    /// Raw clients: how long an incomplete message waits for the rest. Default 50 ms.
    pub gather_time: Duration,
    /// Raw clients: the number of consecutive malformed answers after which the holder is disconnected.
    /// Default 3.
    pub strikes: u8,
    /// Without a `framing`: how long a connection may stay silent before it is treated as a raw client.
    /// Default 300 ms.
    pub raw_after: Duration,
    /// Raw clients: the longest message. Default 1,024 bytes.
    pub raw_bytes_max: usize,
}

impl Default for TurnServerConfig {
    fn default() -> Self {
        TurnServerConfig {
            framing: None,
            rules: Rules::default(),
            max_clients: 10_000,
            max_rings: 1_024,
            max_per_address: None,
            admission: Admission::Open,
            drain_timeout: Duration::from_secs(3),
            return_time: Duration::from_secs(10),
            hello_timeout: Duration::from_secs(10),
            line_timeout: Duration::from_secs(5),
            answer_bytes_max: 16 * 1024,
            roster_max: 256,
            signal_gap: Duration::from_millis(100),
            gather_time: Duration::from_millis(50),
            strikes: 3,
            raw_after: Duration::from_millis(300),
            raw_bytes_max: 1024,
        }
    }
}

impl TurnServerConfig {
    /// Checks that the limits do not contradict each other.
    ///
    /// # Errors
    ///
    /// Returns the first contradiction.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::protocol::turns::{Framing, TurnServerConfig};
    /// use taketurns::protocol::turns::{Admission, TurnConfigError};
    ///
    /// let mut config = TurnServerConfig::default();
    /// assert_eq!(config.check(), Ok(()));
    /// (config.framing, config.admission) = (Some(Framing::Raw), Admission::Host);
    /// assert!(config.check().is_err(), "a raw client has no name that the host could decide on");
    /// ```
    pub fn check(&self) -> Result<(), TurnConfigError> {
        self.check_rules(&self.rules)?;
        match self {
            _ if self.max_rings == 0 => Err(TurnConfigError::NoRings),
            _ if self.admission == Admission::Host && self.framing != Some(Framing::Line) => {
                Err(TurnConfigError::AdmissionOfRawClients)
            }
            _ => Ok(()),
        }
    }

    /// Checks that a ring with `rules` can grant turns in this server.
    pub(super) fn check_rules(&self, rules: &Rules) -> Result<(), TurnConfigError> {
        rules.check()?;
        let (max_clients, min_seats) = (self.max_clients, rules.min_seats);
        if max_clients < min_seats {
            return Err(TurnConfigError::TooFewClients { max_clients, min_seats });
        }
        Ok(())
    }
}

/// Whether clients may join and watch freely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Admission {
    /// Every client may.
    #[default]
    Open,
    /// The host decides on each client, within `hello_timeout`.
    Host,
}

/// A contradiction between limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TurnConfigError {
    /// The rules of rings contradict each other.
    Rules(RulesError),
    /// `max_clients` is smaller than the number of seats that a ring needs.
    TooFewClients {
        /// The limit.
        max_clients: usize,
        /// The number of seats that a ring needs.
        min_seats: usize,
    },
    /// `max_rings` is 0.
    NoRings,
    /// The host admits clients, but the framing accepts raw clients, which give no name.
    AdmissionOfRawClients,
}

impl From<RulesError> for TurnConfigError {
    fn from(error: RulesError) -> Self {
        TurnConfigError::Rules(error)
    }
}

impl fmt::Display for TurnConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TurnConfigError::Rules(error) => error.fmt(f),
            TurnConfigError::TooFewClients { max_clients, min_seats } => write!(
                f,
                "max_clients is {max_clients}, but a ring needs {min_seats} seats: no turn would ever be granted"
            ),
            TurnConfigError::NoRings => f.write_str("max_rings is 0: expected at least 1"),
            TurnConfigError::AdmissionOfRawClients => f.write_str(
                "admission by the host needs the line framing: raw clients give no name to decide on",
            ),
        }
    }
}

impl std::error::Error for TurnConfigError {}
