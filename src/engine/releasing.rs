//! Connections that go from one engine to another, as on another thread.

use std::fmt;
use std::net::SocketAddr;

use super::wrapped::Wire;
use super::{Engine, NotTaken, Sockets};
use crate::protocol::{CloseReason, ConnectionId, Intent, Origin, Phase, Protocol};
use crate::time::Now;

/// A connection that was [released](Engine::release), for another engine to
/// [adopt](Engine::adopt_released). If it is dropped, it is closed.
pub struct Released<S> {
    pub(crate) socket: S,
    peer: SocketAddr,
    wire: Option<Box<Wire>>,
    unread: Vec<u8>,
    unsent: Vec<u8>,
}

impl<S> Released<S> {
    /// The other end.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The bytes that the next protocol reads before any others.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// The bytes that were queued for the peer and not written yet. The next engine writes them first.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        &self.unsent
    }

    /// Has the next protocol read `bytes` before the [unread](Self::unread) ones: what the last one has
    /// consumed and the next one has to know.
    #[must_use]
    pub fn after(mut self, bytes: &[u8]) -> Released<S> {
        self.unread.splice(..0, bytes.iter().copied());
        self
    }
}

impl<S> fmt::Debug for Released<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Released")
            .field("peer", &self.peer)
            .field("is_wrapped", &self.wire.is_some())
            .field("unread", &self.unread.len())
            .field("unsent", &self.unsent.len())
            .finish_non_exhaustive()
    }
}

impl<P: Protocol, S: Sockets> Engine<P, S> {
    /// Gives up a connection for another engine to adopt. For the protocol it is closed, with
    /// [`CloseReason::Released`]. Returns `None` if the connection was dialed, is being closed, or does not
    /// exist.
    pub fn release(&mut self, now: Now, id: ConnectionId) -> Option<Released<S::Socket>> {
        let peer = self.links.peer(id)?;
        let is_in_use = self.links.phase(id) == Some(Phase::Open) && self.is_known(id);
        let is_ending = self.links.intent_of(id) != Intent::Keep || self.links.is_finished(id);
        if !is_in_use || is_ending || self.dialed.contains_key(&id) {
            return None;
        }
        let (unread, unsent) = (self.take_rest(id), self.links.unsent(id).to_vec());
        let wire = self.wires.remove(id);
        let (socket, origin, _) = self.detach(id)?;
        self.links.abort(id);
        self.counts.closed += 1;
        let reason = CloseReason::Released;
        self.protocol.handle_closed(now, id, reason, &mut self.links);
        self.report(super::Event::Closed { connection: id, peer, origin, reason });
        self.flush(now);
        self.at_once = true;
        Some(Released { socket, peer, wire, unread, unsent })
    }

    /// Takes over a connection of another engine, as if it had been accepted. While draining, its protocol
    /// turns it away.
    ///
    /// # Errors
    ///
    /// Returns [`NotTaken`] if a limit is reached or the sockets fail. The connection is closed then.
    pub fn adopt_released(
        &mut self,
        now: Now,
        released: Released<S::Socket>,
    ) -> Result<ConnectionId, NotTaken> {
        let Released { mut socket, peer, wire, unread, unsent } = released;
        self.has_room(peer)?;
        self.sockets.set_options(&mut socket);
        let id = self.open(socket, peer, Phase::Open)?;
        self.addresses.add(peer.ip());
        self.counts.accepted += 1;
        self.links.send(id, &unsent);
        if let Some(wire) = wire {
            let has_unsent = !wire.unsent.is_empty();
            self.insert_wire(now, id, wire);
            if has_unsent {
                self.links.hurry(id);
            }
        }
        self.opened(now, id, peer, Origin::Accepted);
        if !unread.is_empty() {
            self.take_in(now, id, &unread);
        }
        if self.draining {
            self.links.close(id);
        }
        self.flush(now);
        self.at_once = true;
        Ok(id)
    }
}
