//! A server that goes on from where an earlier one was stopped.

use std::fmt;

use super::outbox::Outbox;
use super::{TurnConfigError, TurnServer, TurnServerConfig};
use crate::protocol::Entropy;
use crate::record::{Key, State};
use crate::session::Name;
use crate::time::Now;
use crate::turn::JoinError;

/// Restoring.
impl TurnServer {
    /// Makes a server that goes on from `state`, and whose changes are recorded: a driver hands the
    /// [records](crate::protocol::Protocol::poll_record) to a store, and nothing that a record caused is said
    /// before it is durable. In a new store the state is that of a server that has done nothing yet.
    ///
    /// - The epoch is that of the state, and turn numbers go on. An answer that was accepted is confirmed
    ///   again, and not counted twice.
    /// - Seats are away in their places, with their weights, demands and fresh grace. Their clients resume
    ///   them with their secrets, as after a lost connection. Raw clients have no secret and get new seats.
    /// - A turn that was held is held again, for the longer one of the time left and
    ///   [`return_time`](TurnServerConfig::return_time). The time that the server was away does not count.
    /// - For `return_time` seats that waited keep their place in the queue while they are away.
    /// - A ring keeps the rules that it had, also if the configuration has others now. Pauses and names that
    ///   were removed are forgotten, and restored seats count for no address.
    ///
    /// # Errors
    ///
    /// When limits contradict each other, or the state does not fit them.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::protocol::Protocol as _;
    /// use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
    /// use taketurns::record::{MetaValue, State};
    /// use taketurns::session::Epoch;
    /// use taketurns::time::Now;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (now, config) = (Now::ORIGIN, TurnServerConfig::default());
    /// let state = State::new(MetaValue { epoch: Epoch(7), forgotten_turn: 41 });
    /// let mut server = TurnServer::restore(now, config, Box::new(|bytes| bytes.fill(7)), &state)?;
    /// assert_eq!((server.epoch(), server.scheduler().last_turn(None)), (Epoch(7), 41));
    /// assert_eq!(server.poll_record(now), None, "nothing has changed");
    /// # Ok(()) }
    /// ```
    pub fn restore(
        now: Now,
        config: TurnServerConfig,
        entropy: Entropy,
        state: &State,
    ) -> Result<TurnServer, RestoreError> {
        let mut server = TurnServer::new(config, entropy)?;
        let mut outbox = Outbox::new();
        let return_time = server.config.return_time;
        server.table.begin_from(&state.meta);
        for (&name, ring) in &state.rings {
            let restored = server.table.restore(now.instant, name, ring, return_time);
            if restored.map_err(|error| RestoreError::Ring { ring: name, error })? {
                outbox.hosts.extend(ring.host.clone().map(|host| (name, host)));
                if ring.ring.lease.is_some_and(|lease| !ring.seats.contains_key(&lease.place)) {
                    // A raw holder's turn is over.
                    outbox.collect().others.insert(Key::Ring(name));
                }
            } else {
                // Only raw seats were in it, and they are gone.
                outbox.collect().others.extend([Key::Meta, Key::Ring(name), Key::Host(name)]);
            }
        }
        server.outbox = Some(Box::new(outbox));
        Ok(server)
    }
}

/// A state that a server cannot go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestoreError {
    /// The configuration makes no sense.
    Config(TurnConfigError),
    /// A ring does not fit the limits of the configuration.
    Ring {
        /// The name of the ring.
        ring: Name,
        /// The reason.
        error: JoinError,
    },
}

impl From<TurnConfigError> for RestoreError {
    fn from(error: TurnConfigError) -> Self {
        RestoreError::Config(error)
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::Config(error) => error.fmt(f),
            RestoreError::Ring { ring, error } => write!(f, "the stored ring {ring} does not fit: {error}"),
        }
    }
}

impl std::error::Error for RestoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RestoreError::Config(error) => std::error::Error::source(error),
            RestoreError::Ring { .. } => None,
        }
    }
}
