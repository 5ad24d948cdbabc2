//! Clients that wait for the host to admit them.

use std::fmt;

use crate::protocol::ConnectionId;
use crate::session::line::kept;
use crate::session::{Join, Name};
use crate::turn::{Demand, Weight};

/// A client that wants to join or watch a ring, and waits for the host to [admit](super::TurnServer::admit)
/// or [forbid](super::TurnServer::forbid) it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Joining {
    /// The connection.
    pub connection: ConnectionId,
    /// The ring.
    pub ring: Name,
    /// The name that it wants to join under; `None` for one that wants to watch.
    pub name: Option<Name>,
    /// Whether it claims to have a seat there.
    pub resumes: bool,
    /// The weight that it asks for.
    pub weight: Option<u64>,
    /// The demand that it asks for.
    pub demand: Option<Demand>,
    /// Whether it wants to hear the ring.
    pub hears: bool,
    /// The token that it showed. It is not part of the debug output.
    pub token: Option<Box<str>>,
}

impl Joining {
    pub(super) fn of(connection: ConnectionId, join: &Join<'_>) -> Joining {
        let &Join { name, ring, resume, weight, demand, hears, token } = join;
        let token = kept(token);
        Joining {
            connection,
            ring,
            name: Some(name),
            resumes: resume.is_some(),
            weight,
            demand,
            hears,
            token,
        }
    }

    pub(super) fn to_watch(connection: ConnectionId, ring: Name, token: Option<Box<str>>) -> Joining {
        Joining {
            connection,
            ring,
            name: None,
            resumes: false,
            weight: None,
            demand: None,
            hears: true,
            token,
        }
    }
}

impl fmt::Debug for Joining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joining")
            .field("connection", &self.connection)
            .field("ring", &self.ring)
            .field("name", &self.name)
            .field("resumes", &self.resumes)
            .field("has_token", &self.token.is_some())
            .finish_non_exhaustive()
    }
}

/// The terms on which the host admits a client. By default, those that the client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Admit {
    /// The seat's weight, in place of the one that the client asked for. It may be above the ring's
    /// `weight_max`.
    pub weight: Option<Weight>,
    /// The seat's demand, in place of the one that the client asked for. It need not be one that the ring's
    /// rules let a client choose.
    pub demand: Option<Demand>,
    /// Whether the seat hears its ring, in place of what the client asked for.
    pub hears: Option<bool>,
    /// Whether the name belongs to exactly this client. It then takes over a seat of that name that is away,
    /// without its secret.
    pub owns_name: bool,
}
