//! Clients that wait for the host to admit them.

use std::fmt;

use crate::protocol::ConnectionId;
use crate::session::line::kept;
use crate::session::{Join, Name, Request, Token};
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
    /// The name that it wants to join under; `None` if it wants to watch.
    pub name: Option<Name>,
    /// Whether it claims to have a seat already.
    pub resumes: bool,
    /// The weight that it requests.
    pub weight: Option<u64>,
    /// The demand that it requests.
    pub demand: Option<Demand>,
    /// Whether it wants to hear the ring.
    pub hears: bool,
    /// The token that it presented. The debug output does not show it.
    pub token: Option<Box<str>>,
    /// Its `JOIN` or `WATCH`.
    hello: Box<[u8]>,
}

impl Joining {
    /// Returns the client's `JOIN` or `WATCH`, for a server on another loop that takes the connection over:
    /// [`Driver::release`](crate::net::Driver::release). It may contain secrets.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::net::{Driver, Error, Released};
    /// use taketurns::protocol::turns::{Joining, TurnServer};
    /// use taketurns::time::Now;
    ///
    /// /// Called for each `TurnEvent::Joining` whose ring has a loop of its own.
    /// fn leaves(driver: &mut Driver<TurnServer>, now: Now, joining: &Joining) -> Option<Released> {
    ///     Some(driver.release(now, joining.connection)?.after(joining.hello()))
    /// }
    ///
    /// /// Run by `Handle::run` on the thread of that loop.
    /// fn arrives(driver: &mut Driver<TurnServer>, now: Now, released: Released) -> Result<(), Error> {
    ///     driver.adopt_released(now, released).map(|_| ())
    /// }
    /// ```
    #[must_use]
    pub fn hello(&self) -> &[u8] {
        &self.hello
    }

    pub(super) fn of(connection: ConnectionId, join: &Join<'_>) -> Joining {
        let &Join { name, ring, resume, weight, demand, hears, token, .. } = join;
        let (token, hello) = (kept(token), encoded(&Request::Join(*join)));
        Joining {
            connection,
            ring,
            name: Some(name),
            resumes: resume.is_some(),
            weight,
            demand,
            hears,
            token,
            hello,
        }
    }

    pub(super) fn to_watch(connection: ConnectionId, ring: Name, token: Option<Token<'_>>) -> Joining {
        let hello = encoded(&Request::Watch { ring, token });
        Joining {
            connection,
            ring,
            name: None,
            resumes: false,
            weight: None,
            demand: None,
            hears: true,
            token: kept(token),
            hello,
        }
    }
}

fn encoded(request: &Request<'_>) -> Box<[u8]> {
    let mut out = Vec::new();
    request.encode(&mut out);
    out.into()
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

/// The terms on which the host admits a client. By default, those that the client requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Admit {
    /// The seat's weight, in place of the requested one. It may exceed the ring's `weight_max`.
    pub weight: Option<Weight>,
    /// The seat's demand, in place of the requested one. It may be one that the ring's rules do not let
    /// clients choose.
    pub demand: Option<Demand>,
    /// Whether the seat hears its ring, in place of the client's request.
    pub hears: Option<bool>,
    /// Whether the name belongs to this client alone. If a seat of that name is away, the client takes it
    /// over without its secret.
    pub owns_name: bool,
}
