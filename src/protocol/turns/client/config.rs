//! The settings of one client.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::session::{DEFAULT_RING, Name, Token};
use crate::turn::{Demand, Weight};
use crate::wire::Framing;
use crate::wire::message::{LINE_BYTES_MAX, Limits};

/// The settings of one client of a [`TurnClient`](super::TurnClient).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use taketurns::protocol::turns::{ClientConfig, SeatRequest};
/// use taketurns::turn::Demand;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let seat = SeatRequest { demand: Demand::Ask, ..SeatRequest::new("host-4711".parse()?) };
/// let config = ClientConfig {
///     ring: "gpu0".parse()?,
///     ping_interval: Some(Duration::from_secs(5)),
///     ..ClientConfig::from(seat)
/// };
/// # assert_eq!(config.seat.map(|seat| seat.demand), Some(Demand::Ask));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// The requested seat; `None` for a watcher, which hears what happens in the ring but never has the turn.
    pub seat: Option<SeatRequest>,
    /// The ring. Default `main`.
    pub ring: Name,
    /// Proves to the server that the client may join or watch. Default none.
    pub token: Option<Bearer>,
    /// How messages are delimited; must match the server. Default line. A raw client has no ring, token,
    /// weight or demand, hears nothing but its turns, and is not pinged.
    pub framing: Framing,
    /// The time between two pings. If no `PONG` arrives within another such time, the connection is closed
    /// and dialed again. Default `None`: the client relies on TCP to notice that the server is gone.
    pub ping_interval: Option<Duration>,
    /// Time until the server answers the hello. A connection without an answer is closed, and dialed again.
    /// Default 30 s: a server waits for its host at most as long. A client of several servers wants less,
    /// because one that was stopped accepts and says nothing. It cannot ping before `WELCOME`: that would say
    /// that it has the new secret.
    pub welcome_timeout: Duration,
    /// Whether the seat's secret and the token may be sent in plain text to an address other than loopback,
    /// where nothing protects them. Default false: a client that loses its connection to another machine
    /// joins again, and a client with a token gives up with
    /// [`End::PlaintextToken`](super::End::PlaintextToken).
    pub allow_plaintext_secrets: bool,
    /// The longest answer, in bytes. Default 16 KiB, like the server's.
    pub answer_bytes_max: usize,
    /// The longest payload that is accepted from the server, in bytes. Default 64 KiB; keep it below
    /// [`in_bytes_max`](crate::engine::DriverConfig::in_bytes_max).
    pub payload_bytes_max: usize,
}

/// The seat that a client requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeatRequest {
    /// The name of the client, unique in its ring.
    pub name: Name,
    /// The number of turns it gets for each one of a weight-1 seat. Default 1. A ring refuses weights above
    /// its maximum.
    pub weight: Weight,
    /// When the seat wants the turn. Default always.
    pub demand: Demand,
    /// Whether it hears what happens in its ring, as [`News::Heard`](super::News::Heard). Default false.
    pub hears: bool,
    /// Whether the server may confirm an answer with the seat's next `GO`, in place of an `OK`. Saves one
    /// write per turn, and [`News::Accepted`](super::News::Accepted) comes as late as that `GO`. Default
    /// false.
    pub confirms_by_go: bool,
}

impl SeatRequest {
    /// Returns a request for a seat of weight 1 that always wants the turn.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::turns::SeatRequest;
    /// # use taketurns::turn::{Demand, Weight};
    /// let mut seat = SeatRequest::new("ann".parse()?);
    /// assert_eq!((seat.weight, seat.demand), (Weight::ONE, Demand::Always));
    /// seat.demand = Demand::Ask; // for a lock
    /// # Ok::<(), taketurns::protocol::turns::InvalidName>(())
    /// ```
    #[must_use]
    pub fn new(name: Name) -> SeatRequest {
        SeatRequest { name, weight: Weight::ONE, demand: Demand::Always, hears: false, confirms_by_go: false }
    }
}

impl ClientConfig {
    /// Returns the settings of a client with a seat under `name` in the ring `main`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::turns::ClientConfig;
    /// let config = ClientConfig { ring: "gpu0".parse()?, ..ClientConfig::seat("ann".parse()?) };
    /// # Ok::<(), taketurns::protocol::turns::InvalidName>(())
    /// ```
    #[must_use]
    pub fn seat(name: Name) -> ClientConfig {
        ClientConfig::from(SeatRequest::new(name))
    }

    /// Returns the settings of a client that only watches `ring`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::turns::ClientConfig;
    /// let config = ClientConfig::watch("gpu0".parse()?);
    /// assert!(config.seat.is_none());
    /// # Ok::<(), taketurns::protocol::turns::InvalidName>(())
    /// ```
    #[must_use]
    pub fn watch(ring: Name) -> ClientConfig {
        ClientConfig { seat: None, ring, ..ClientConfig::with(None) }
    }

    fn with(seat: Option<SeatRequest>) -> ClientConfig {
        ClientConfig {
            seat,
            ring: DEFAULT_RING.parse().expect("the default ring's name is valid"),
            token: None,
            framing: Framing::Line,
            ping_interval: None,
            welcome_timeout: Duration::from_secs(30),
            allow_plaintext_secrets: false,
            answer_bytes_max: 16 * 1024,
            payload_bytes_max: 64 * 1024,
        }
    }

    /// Checks that the framing can express all settings.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.framing == Framing::Line {
            return Ok(());
        }
        let seat = self.seat.ok_or(ConfigError::NotInRaw("watch"))?;
        let plain = ClientConfig::from(seat).ring;
        let unsayable = [
            ("name a ring", self.ring != plain),
            ("send a token", self.token.is_some()),
            ("have a weight", seat.weight != Weight::ONE),
            ("rest until it asks", seat.demand != Demand::Always),
            ("hear what happens in its ring", seat.hears),
            ("have its answers confirmed", seat.confirms_by_go),
            ("ping", self.ping_interval.is_some()),
        ];
        match unsayable.iter().find(|(_, is_wanted)| *is_wanted) {
            Some((what, _)) => Err(ConfigError::NotInRaw(what)),
            None => Ok(()),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            line_bytes_max: LINE_BYTES_MAX,
            hello_bytes_max: LINE_BYTES_MAX,
            payload_bytes_max: self.payload_bytes_max,
        }
    }

    /// Returns the client's name in logs.
    pub(super) fn shown(&self) -> Name {
        self.seat.map_or(self.ring, |seat| seat.name)
    }
}

impl From<SeatRequest> for ClientConfig {
    /// Settings for a client with this seat, in the ring `main`.
    fn from(seat: SeatRequest) -> ClientConfig {
        ClientConfig::with(Some(seat))
    }
}

/// Settings that cannot be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The raw framing cannot express this.
    NotInRaw(&'static str),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::NotInRaw(what) => write!(f, "a client of the raw framing cannot {what}"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// A token that a client presents to servers. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer(Box<str>);

impl Bearer {
    pub(super) fn token(&self) -> Option<Token<'_>> {
        Token::new(&self.0)
    }
}

impl FromStr for Bearer {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Bearer, InvalidToken> {
        Token::new(text).map(|token| Bearer(token.expose().into())).ok_or(InvalidToken)
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer")
    }
}

/// The text cannot be sent as a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidToken;

impl fmt::Display for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token must not be empty or contain white space or control characters")
    }
}

impl std::error::Error for InvalidToken {}
