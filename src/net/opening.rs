//! How connections begin: accepted from a listener, handed in by the host, or dialed.

use std::io;
use std::net::SocketAddr;

use log::{debug, warn};
use mio::Interest;
use mio::net::TcpStream;

use super::Event;
use super::connection::{Connection, Phase};
use super::driver::{Driver, Timer};
use super::listener::{AcceptError, Listener};
use super::token::Key;
use crate::protocol::{ConnectionId, DialId, Origin, Protocol, is_shown};
use crate::time::Now;

impl<P: Protocol> Driver<P> {
    // Newcomers.

    pub(super) fn add(&mut self, mut listener: Listener) -> io::Result<SocketAddr> {
        let addr = listener.addr;
        let entry = self.listeners.vacant_entry();
        let slot = u32::try_from(entry.key()).map_err(io::Error::other)?;
        let token = self.space.token(Key::Listener(slot));
        self.registry.register(&mut listener.socket, token, Interest::READABLE)?;
        entry.insert(listener);
        self.accepting = true;
        Ok(addr)
    }

    #[cold]
    pub(super) fn accept(&mut self, now: Now) {
        for slot in 0..self.listeners.len() {
            let mut budget = self.config.accepts_max.max(1);
            while budget > 0 && self.listeners.get(slot).is_some_and(|listener| listener.ready) {
                budget -= 1;
                self.accept_one(now, slot);
            }
        }
        self.accepting = self.listeners.iter().any(|(_, listener)| listener.ready);
    }

    pub(super) fn accept_one(&mut self, now: Now, slot: usize) {
        let listener = &mut self.listeners[slot];
        let error = match listener.socket.accept() {
            Ok((socket, peer)) => {
                listener.relax();
                return self.admit(now, socket, peer);
            }
            Err(error) => error,
        };
        match AcceptError::of(&error) {
            AcceptError::Empty => listener.ready = false,
            AcceptError::Newcomer => self.counts.accept_errors += 1,
            AcceptError::System => {
                self.counts.accept_errors += 1;
                let pause = listener.back_off(&self.config);
                self.deadlines.set(Timer::Listener(slot), Some(now.instant + pause));
                let addr = listener.addr;
                self.report(Event::AcceptPaused { addr, error, pause });
            }
        }
    }

    /// Opens a connection for a newcomer, if there is room. Which are dropped is logged thinly: peers could fill a disk with it.
    fn admit(&mut self, now: Now, socket: TcpStream, peer: SocketAddr) {
        if self.connections.len() >= self.config.max_connections {
            self.counts.dropped += 1;
            if is_shown(self.counts.dropped) {
                let (nth, count) = (self.counts.dropped, self.connections.len());
                warn!("{peer}: dropped ({nth} so far), {count} connections exist");
            }
        } else if !self.addresses.has_room(peer) {
            self.counts.dropped_of_address += 1;
            if is_shown(self.counts.dropped_of_address) {
                let nth = self.counts.dropped_of_address;
                warn!("{peer}: dropped ({nth} so far), its address has as many connections as one may have");
            }
        } else if let Err(error) = self.open(now, socket, peer) {
            debug!("{peer}: lost before it began: {error}");
        } else {
            self.counts.accepted += 1;
        }
    }

    pub(super) fn open(&mut self, now: Now, socket: TcpStream, peer: SocketAddr) -> io::Result<ConnectionId> {
        let mut connection = Connection::new(socket, Origin::Accepted, Phase::Open);
        connection.set_options(&self.config)?;
        let id = self.links.open(peer);
        if let Err(error) = connection.register(&self.registry, self.space.token(Key::Connection(id))) {
            self.links.remove(id);
            return Err(error);
        }
        self.connections.insert(id, connection);
        self.addresses.add(peer);
        self.opened(now, id, peer, Origin::Accepted);
        Ok(id)
    }

    pub(super) fn opened(&mut self, now: Now, connection: ConnectionId, peer: SocketAddr, origin: Origin) {
        self.report(Event::Opened { connection, peer, origin });
        self.protocol.handle_open(now, connection, peer, origin, &mut self.links);
    }

    // Outbound connections.

    /// Begins an attempt, or goes on with its next address.
    pub(super) fn dial(&mut self, now: Now, at: usize) {
        if self.draining {
            return;
        }
        loop {
            let attempt = self.dials[at].next_address().and_then(|addr| self.begin_connecting(now, at, addr));
            match attempt {
                Ok(()) => return,
                Err(_) if self.dials[at].has_untried() => {}
                Err(error) => return self.dial_later(now, at, Some(error)),
            }
        }
    }

    pub(super) fn begin_connecting(&mut self, now: Now, at: usize, addr: SocketAddr) -> io::Result<()> {
        let socket = TcpStream::connect(addr)?;
        let mut connection = Connection::new(socket, Origin::Dialed(DialId(at)), Phase::Connecting);
        let id = self.links.open(addr);
        if let Err(error) = connection.register(&self.registry, self.space.token(Key::Connection(id))) {
            self.links.remove(id);
            return Err(error);
        }
        let deadline = now.instant + self.config.connect_timeout;
        self.deadlines.set(Timer::Connection(id), Some(deadline));
        self.connections.insert(id, connection);
        self.dials[at].connection = Some(id);
        Ok(())
    }

    pub(super) fn finish_connecting(&mut self, now: Now, id: ConnectionId) {
        let Some((connection, peer)) = self.connections.get_mut(id).zip(self.links.peer(id)) else { return };
        match established(&connection.socket) {
            Ok(false) => {}
            Ok(true) => {
                let origin = connection.origin();
                self.deadlines.set(Timer::Connection(id), None);
                connection.phase = Phase::Open;
                let token = self.space.token(Key::Connection(id));
                let ready = connection
                    .set_options(&self.config)
                    .and_then(|()| connection.register(&self.registry, token));
                match ready {
                    Ok(()) => self.opened(now, id, peer, origin),
                    Err(error) => self.connecting_failed(now, id, error),
                }
            }
            Err(error) => self.connecting_failed(now, id, error),
        }
    }

    pub(super) fn connecting_failed(&mut self, now: Now, id: ConnectionId, error: io::Error) {
        let Some(origin) = self.discard(id).map(|connection| connection.origin()) else { return };
        let Origin::Dialed(DialId(at)) = origin else { return };
        let Some(dial) = self.dials.get_mut(at).filter(|dial| dial.connection == Some(id)) else { return };
        dial.connection = None;
        if dial.has_untried() {
            self.dial(now, at);
        } else {
            self.dial_later(now, at, Some(error));
        }
    }

    /// Tries again after a pause. With an `error` the host is told.
    pub(super) fn dial_later(&mut self, now: Now, at: usize, error: Option<io::Error>) {
        if self.draining {
            return;
        }
        let dial = &mut self.dials[at];
        let retry_in = dial.back_off(&self.config, &mut self.entropy);
        self.deadlines.set(Timer::Dial(at), Some(now.instant + retry_in));
        let target = dial.target.clone();
        match error {
            Some(error) => self.report(Event::Unreachable { dial: DialId(at), target, error, retry_in }),
            None => debug!("{target}: connecting again in {retry_in:?}"),
        }
    }
}

/// Whether the connection is established, or why it will not be.
pub(super) fn established(socket: &TcpStream) -> io::Result<bool> {
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    match socket.peer_addr() {
        // A port nobody listens on, out of the range that outbound connections use, can be connected to itself.
        Ok(peer) if socket.local_addr()? == peer => Err(io::ErrorKind::ConnectionRefused.into()),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}
