//! The data kept with a seat: its client, its name, its secrets, its last answer.

use std::fmt;
use std::net::IpAddr;

use super::mark::Mark;
use super::named_rings::NamedRingId;
use crate::protocol::ConnectionId;
use crate::record::SecretHash;
use crate::session::{Name, RawName};
use crate::turn::{SeatId, TurnNumber};

/// The data kept with a seat of a [`TurnServer`](crate::protocol::turns::TurnServer).
#[derive(Debug)]
pub struct SeatData {
    pub(crate) client: Option<ConnectionId>,
    pub(crate) named_ring: NamedRingId,
    identity: Option<Box<Identity>>,
}

/// In a box, because a raw client that has not answered yet has none.
#[derive(Debug)]
enum Identity {
    Raw(RawIdentity),
    Line(LineIdentity),
}

#[derive(Debug, Default)]
struct RawIdentity {
    /// The name in the last answer.
    name: Option<RawName>,
    /// The address that it counts for, or that it was left from.
    address: Option<IpAddr>,
}

/// The identity of a seat that was joined under a name.
#[derive(Debug)]
pub(crate) struct LineIdentity {
    pub(crate) name: Name,
    pub(crate) secrets: Secrets,
    /// The last answer that was accepted, to confirm it again.
    pub(crate) last: Option<LastAnswer>,
    /// The address that it counts for.
    pub(crate) address: IpAddr,
    /// The client has sent something valid since its first `WELCOME`, so it has its secret.
    pub(crate) has_spoken: bool,
}

/// The last answer of a seat that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastAnswer {
    /// The turn that it answered.
    pub turn: TurnNumber,
    /// Its mark.
    pub mark: Mark,
}

/// The secrets that a seat can be resumed with, hashed as they are stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Secrets {
    pub(crate) current: SecretHash,
    /// The previous secret, while the client may not have received the current one.
    pub(crate) previous: Option<SecretHash>,
}

impl SeatData {
    pub(crate) fn raw(client: ConnectionId, named_ring: NamedRingId, address: Option<IpAddr>) -> SeatData {
        let identity = address.map(|_| Box::new(Identity::Raw(RawIdentity { name: None, address })));
        SeatData { client: Some(client), named_ring, identity }
    }

    pub(crate) fn line(client: ConnectionId, named_ring: NamedRingId, identity: LineIdentity) -> SeatData {
        SeatData { client: Some(client), named_ring, identity: Some(Box::new(Identity::Line(identity))) }
    }

    /// A seat whose client is away since before this server began.
    pub(crate) fn restored(named_ring: NamedRingId, identity: LineIdentity) -> SeatData {
        SeatData { client: None, named_ring, identity: Some(Box::new(Identity::Line(identity))) }
    }

    /// Returns the connection of the client that has the seat.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// let data = server.scheduler().data(server.seat_of(ann).expect("her seat")).expect("her seat");
    /// assert_eq!(data.connection(), Some(ann));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn connection(&self) -> Option<ConnectionId> {
        self.client
    }

    /// Returns the name under which the seat was joined; `None` for the seat of a raw client.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// let data = server.scheduler().data(server.seat_of(ann).expect("her seat")).expect("her seat");
    /// assert_eq!(data.name().map(Name::as_str), Some("ann"));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn name(&self) -> Option<&Name> {
        Some(&self.line_identity()?.name)
    }

    /// Returns the name in the last answer of a raw client.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// let data = server.scheduler().data(server.seat_of(ann).expect("her seat")).expect("her seat");
    /// assert_eq!(data.raw_name(), None, "she speaks lines");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn raw_name(&self) -> Option<&RawName> {
        match self.identity.as_deref()? {
            Identity::Raw(raw) => raw.name.as_ref(),
            Identity::Line(_) => None,
        }
    }

    /// Returns whether it is the seat of a raw client.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// let data = server.scheduler().data(server.seat_of(ann).expect("her seat")).expect("her seat");
    /// assert!(!data.is_raw() && data.raw_name().is_none());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.line_identity().is_none()
    }

    /// Returns the last turn of the seat that was answered and accepted; always `None` for a raw client's.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// server.handle_bytes(now, ann, b"ANSWER :e2 e4\n", &mut links);
    /// let data = server.scheduler().data(server.seat_of(ann).expect("her seat")).expect("her seat");
    /// assert_eq!(data.last_accepted().map(TurnNumber::get), Some(1));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn last_accepted(&self) -> Option<TurnNumber> {
        Some(self.line_identity()?.last?.turn)
    }

    pub(crate) fn line_identity(&self) -> Option<&LineIdentity> {
        match self.identity.as_deref()? {
            Identity::Line(line) => Some(line),
            Identity::Raw(_) => None,
        }
    }

    pub(crate) fn line_identity_mut(&mut self) -> Option<&mut LineIdentity> {
        match self.identity.as_deref_mut()? {
            Identity::Line(line) => Some(line),
            Identity::Raw(_) => None,
        }
    }

    pub(crate) fn rename_raw(&mut self, name: RawName) {
        match self.identity.as_deref_mut() {
            Some(Identity::Raw(raw)) => raw.name = Some(name),
            Some(Identity::Line(_)) => {}
            None => {
                self.identity =
                    Some(Box::new(Identity::Raw(RawIdentity { name: Some(name), address: None })));
            }
        }
    }

    /// Notes that another raw client takes over a seat that was left from its address.
    pub(crate) fn take_over(&mut self, client: ConnectionId) {
        self.client = Some(client);
        if let Some(Identity::Raw(raw)) = self.identity.as_deref_mut() {
            raw.name = None;
        }
    }

    /// The address that the seat counts for, or was left from.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self.identity.as_deref()? {
            Identity::Raw(raw) => raw.address,
            Identity::Line(line) => Some(line.address),
        }
    }

    pub(crate) fn set_raw_address(&mut self, address: IpAddr) {
        match self.identity.as_deref_mut() {
            Some(Identity::Raw(raw)) => raw.address = Some(address),
            Some(Identity::Line(_)) => {}
            None => {
                self.identity =
                    Some(Box::new(Identity::Raw(RawIdentity { name: None, address: Some(address) })));
            }
        }
    }
}

/// Displays a seat as hearers and logs have it: by its name, or as `raw-<seat>`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeatName<'a> {
    pub(crate) seat: SeatId,
    pub(crate) name: Option<&'a Name>,
}

impl fmt::Display for SeatName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => f.write_str(name.as_str()),
            None => write!(f, "raw-{}", self.seat.place()),
        }
    }
}
