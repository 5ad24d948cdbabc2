//! Restoring: a server that continues from the state of an earlier one.

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
    /// Makes a server that continues from `state` and records its changes. A driver hands the
    /// [records](crate::protocol::Protocol::poll_record) to a store, and nothing that a record caused is sent
    /// before that record is durable. For a new store, pass the state of a server that has done nothing yet.
    ///
    /// - The epoch is that of the state, and turn numbers continue. An answer that was accepted before is
    ///   confirmed again, but not counted twice.
    /// - Seats are away, but keep their places, weights and demands. Their grace starts again. Clients resume
    ///   them with their secrets, as after a lost connection. Raw clients have no secret and get new seats.
    /// - A turn that was held is still held, for the time that it had left or for
    ///   [`return_time`](TurnServerConfig::return_time), whichever is longer. Downtime does not count.
    /// - Seats that waited keep their place in the queue for `return_time` while they are away.
    /// - A ring keeps its rules, even if the configuration has others now. Pauses and removed names are
    ///   forgotten, and restored seats do not count towards any address.
    ///
    /// # Errors
    ///
    /// Returns [`RestoreError`] if limits contradict each other, or the state does not fit within them.
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
                    // The holder was a raw client, so its turn is over.
                    outbox.collect().others.insert(Key::Ring(name));
                }
            } else {
                // The ring had only raw seats, which are gone.
                outbox.collect().others.extend([Key::Meta, Key::Ring(name), Key::Host(name)]);
            }
        }
        server.outbox = Some(Box::new(outbox));
        Ok(server)
    }
}

/// A state that a server cannot continue from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestoreError {
    /// The configuration is invalid.
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
