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
    /// The seat to take; `None` for a watcher, which hears what happens in the ring and never has the turn.
    pub seat: Option<SeatRequest>,
    /// The ring. Default `main`.
    pub ring: Name,
    /// Shows the server that the client may join or watch. Default none.
    pub token: Option<Bearer>,
    /// How messages are told apart; must be the server's. Default line. A raw client has neither ring, token,
    /// weight nor demand, hears nothing but its turns, and is not pinged.
    pub framing: Framing,
    /// The time between two pings. A connection whose `PONG` does not come within another such time is
    /// closed, and dialed again. Default `None`: the client relies on TCP to notice that the server is gone.
    pub ping_interval: Option<Duration>,
    /// Whether the secret of the seat and the token may be sent in plain text to an address that is not
    /// loopback. Nothing protects them on the way. Default false: a client that loses its connection to
    /// another machine joins anew, and one that has a token gives up with
    /// [`End::PlaintextToken`](super::End::PlaintextToken).
    pub allow_plaintext_secrets: bool,
    /// The longest answer, in bytes. Default 16 KiB, as a server's.
    pub answer_bytes_max: usize,
    /// The longest payload that is taken from the server, in bytes. Default 64 KiB; keep it below
    /// [`in_bytes_max`](crate::engine::DriverConfig::in_bytes_max).
    pub payload_bytes_max: usize,
}

/// The seat that a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeatRequest {
    /// The name of the client, unique in its ring.
    pub name: Name,
    /// The turns it wants for each one of a weight-1 seat. Default 1; rings that allow no more refuse more.
    pub weight: Weight,
    /// When it wants the turn. Default always.
    pub demand: Demand,
    /// Whether it hears what happens in its ring, as [`News::Heard`](super::News::Heard). Default false.
    pub hears: bool,
}

impl SeatRequest {
    /// A seat of weight 1 that always wants the turn.
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
        SeatRequest { name, weight: Weight::ONE, demand: Demand::Always, hears: false }
    }
}

impl ClientConfig {
    /// A client with a seat under `name`, in the ring `main`.
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

    /// A client that only watches `ring`.
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
            allow_plaintext_secrets: false,
            answer_bytes_max: 16 * 1024,
            payload_bytes_max: 64 * 1024,
        }
    }

    /// Whether the framing can say all of it.
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

    /// The client as a log shows it.
    pub(super) fn shown(&self) -> Name {
        self.seat.map_or(self.ring, |seat| seat.name)
    }
}

impl From<SeatRequest> for ClientConfig {
    /// A client with this seat, in the ring `main`.
    fn from(seat: SeatRequest) -> ClientConfig {
        ClientConfig::with(Some(seat))
    }
}

/// The settings cannot be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A raw client cannot do this.
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

/// A token that a client keeps, to show it to servers. `Debug` shows nothing of it.
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
        f.write_str("a token is not empty, and has no white space or control character")
    }
}

impl std::error::Error for InvalidToken {}
