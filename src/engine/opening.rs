//! How connections begin: accepted from a listener, handed in by the host, or dialed.

use std::io;
use std::net::SocketAddr;

use log::{Level, debug, warn};

use super::listener::{AcceptError, Listener};
use super::pass::Timer;
use super::{Engine, Event, NotTaken, Sockets, Target, Wrap, Wrapping};
use crate::protocol::{ConnectionId, DialId, Origin, Phase, Protocol};
use crate::time::Now;

/// Newcomers that may wait if the host leaves the number to the system.
const BACKLOG_MAX: usize = 4096;

impl<P: Protocol, S: Sockets> Engine<P, S> {
    /// Accepts newcomers from the listener that `make` creates, which listens on `addr`. `make` gets the
    /// number that [`handle_knock`](Self::handle_knock) takes.
    ///
    /// # Errors
    ///
    /// Returns [`NotTaken::Draining`] while draining, and [`NotTaken::Sockets`] if `make` fails.
    pub fn listen(
        &mut self,
        addr: SocketAddr,
        make: impl FnOnce(&mut S, usize) -> io::Result<S::Listener>,
    ) -> Result<(), NotTaken> {
        self.listen_wrapped(addr, None, make)
    }

    /// Listens as [`listen`](Self::listen) does, with connections over wires that `wrap` makes, if there is
    /// one.
    ///
    /// # Errors
    ///
    /// Returns [`NotTaken::Draining`] while draining, and [`NotTaken::Sockets`] if `make` fails.
    pub fn listen_wrapped(
        &mut self,
        addr: SocketAddr,
        wrap: Option<Wrap>,
        make: impl FnOnce(&mut S, usize) -> io::Result<S::Listener>,
    ) -> Result<(), NotTaken> {
        if self.draining {
            return Err(NotTaken::Draining);
        }
        let entry = self.listeners.vacant_entry();
        let socket = make(&mut self.sockets, entry.key())?;
        entry.insert(Listener::new(socket, addr, wrap));
        self.at_once = true;
        Ok(())
    }

    /// From now on, gives newcomers of the wrapped listener on `addr` wires that `wrap` makes, for example
    /// with a renewed certificate. Returns whether there is such a listener.
    pub fn rewrap(&mut self, addr: SocketAddr, wrap: Wrap) -> bool {
        let mut wrapped = self.listeners.iter_mut().map(|(_, listener)| listener);
        let found = wrapped.find(|listener| listener.addr == addr && listener.wrap.is_some());
        found.map(|listener| listener.wrap = Some(wrap)).is_some()
    }

    #[cold]
    pub(super) fn accept(&mut self, now: Now) {
        for slot in 0..self.listeners.len() {
            let mut budget = self.config.accepts_max.max(1);
            while budget > 0 && self.may_accept(slot) {
                budget -= 1;
                self.accept_one(now, slot);
            }
        }
        let slots = 0..self.listeners.len();
        self.at_once = !self.handshakes.is_empty() || slots.into_iter().any(|slot| self.may_accept(slot));
    }

    /// Returns whether the listener may accept. Newcomers whose handshakes would have to wait stay in the
    /// system's queue.
    fn may_accept(&self, slot: usize) -> bool {
        let has_room = self.securing < self.config.handshakes_max;
        self.listeners
            .get(slot)
            .is_some_and(|listener| listener.ready && (has_room || listener.wrap.is_none()))
    }

    pub(super) fn accept_one(&mut self, now: Now, slot: usize) {
        let listener = &mut self.listeners[slot];
        let error = match self.sockets.accept(&mut listener.socket) {
            Ok((socket, peer)) => {
                listener.relax();
                let wrapping = listener.wrap.as_mut().map(|wrap| wrap());
                return self.admit(now, socket, peer, wrapping);
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

    /// Accepts the newcomers that are already waiting, and no more, because a drain has begun and the
    /// protocol should tell them. Closing the listener would reset their connections.
    pub(super) fn turn_away_backlog(&mut self, now: Now) {
        // A negative number means as many as the system allows.
        let most = usize::try_from(self.config.backlog).map_or(BACKLOG_MAX, |backlog| backlog.max(1));
        for slot in 0..self.listeners.len() {
            // Even during a back-off: descriptors may be available again.
            self.listeners[slot].ready = true;
            let mut budget = most;
            while budget > 0 && self.listeners[slot].ready {
                budget -= 1;
                self.accept_one(now, slot);
            }
        }
        for listener in self.listeners.drain() {
            self.sockets.unlisten(listener.socket);
        }
    }

    /// Opens a connection for a newcomer, if there is room.
    fn admit(&mut self, now: Now, socket: S::Socket, peer: SocketAddr, wrapping: Option<Box<dyn Wrapping>>) {
        match self.has_room(peer).and_then(|()| self.begin(now, socket, peer, wrapping)) {
            Ok(_) => self.counts.accepted += 1,
            Err(error) => {
                let nth = match error {
                    NotTaken::Full => &mut self.counts.dropped,
                    NotTaken::AddressFull => &mut self.counts.dropped_of_address,
                    NotTaken::Draining | NotTaken::Sockets(_) => &mut self.counts.accept_errors,
                };
                *nth += 1;
                if self.links.may_log(Level::Warn) {
                    warn!("{peer}: dropped ({nth} so far): {error}");
                }
            }
        }
    }

    /// Checks that there is room for one more connection, and for one more from `peer`.
    pub(super) fn has_room(&self, peer: SocketAddr) -> Result<(), NotTaken> {
        if self.config.max_connections.is_some_and(|max| self.streams.len() >= max) {
            Err(NotTaken::Full)
        } else if !self.addresses.has_room(peer.ip()) {
            Err(NotTaken::AddressFull)
        } else {
            Ok(())
        }
    }

    /// Treats a connected socket of the host as if it had been accepted.
    ///
    /// # Errors
    ///
    /// Returns [`NotTaken`] while draining, if a limit is reached, or if the sockets fail. The socket is
    /// closed then.
    pub fn adopt(
        &mut self,
        now: Now,
        mut socket: S::Socket,
        peer: SocketAddr,
    ) -> Result<ConnectionId, NotTaken> {
        if self.draining {
            return Err(NotTaken::Draining);
        }
        self.has_room(peer)?;
        self.sockets.set_options(&mut socket);
        self.begin(now, socket, peer, None)
    }

    /// Adopts as [`adopt`](Self::adopt) does, over a wire from which `bytes` were read before.
    ///
    /// # Errors
    ///
    /// Returns [`NotTaken`] while draining, if a limit is reached, or if the sockets fail. The socket is
    /// closed then.
    pub fn adopt_wrapped(
        &mut self,
        now: Now,
        mut socket: S::Socket,
        peer: SocketAddr,
        wrapping: Box<dyn Wrapping>,
        bytes: &mut [u8],
    ) -> Result<ConnectionId, NotTaken> {
        if self.draining {
            return Err(NotTaken::Draining);
        }
        self.has_room(peer)?;
        self.sockets.set_options(&mut socket);
        let id = self.begin(now, socket, peer, Some(wrapping))?;
        self.unwrap(now, id, bytes);
        self.flush(now);
        self.at_once = true;
        Ok(id)
    }

    fn begin(
        &mut self,
        now: Now,
        socket: S::Socket,
        peer: SocketAddr,
        wrapping: Option<Box<dyn Wrapping>>,
    ) -> Result<ConnectionId, NotTaken> {
        let id = self.open(socket, peer, Phase::Open)?;
        self.addresses.add(peer.ip());
        match wrapping {
            None => self.opened(now, id, peer, Origin::Accepted),
            Some(wrapping) => self.secure(now, id, wrapping),
        }
        if self.draining {
            // This holds even if the protocol has sent something to it.
            self.links.close(id);
        }
        Ok(id)
    }

    /// Opens a connection in `phase` and watches its socket.
    pub(super) fn open(
        &mut self,
        socket: S::Socket,
        peer: SocketAddr,
        phase: Phase,
    ) -> io::Result<ConnectionId> {
        let id = self.links.open(peer);
        self.streams.insert(id, socket);
        if let Some(link) = self.links.link_mut(id) {
            (link.phase, link.unread) = (phase, phase == Phase::Connecting);
        }
        if let Err(error) = self.watch(id) {
            self.streams.remove(id);
            self.links.remove(id);
            return Err(error);
        }
        Ok(id)
    }

    pub(super) fn opened(&mut self, now: Now, connection: ConnectionId, peer: SocketAddr, origin: Origin) {
        self.report(Event::Opened { connection, peer, origin });
        self.protocol.handle_open(now, connection, peer, origin, &mut self.links);
    }

    /// Begins an attempt, or continues with its next address.
    pub(super) fn dial(&mut self, now: Now, at: usize) {
        if self.draining {
            return;
        }
        let dial = &mut self.dials[at];
        match *dial.aim() {
            Target::Addr(addr) if dial.untried.is_empty() => dial.untried.push_back(addr),
            Target::Name { .. } | Target::Several(_) if dial.untried.is_empty() => {
                return self.look_up(now, at);
            }
            _ => {}
        }
        while let Some(addr) = self.dials[at].untried.pop_front() {
            match self.begin_connecting(now, at, addr) {
                Ok(()) => return,
                Err(_) if self.dials[at].has_untried() => {}
                Err(error) => return self.dial_later(now, at, Some(error)),
            }
        }
    }

    /// Asks the host for the addresses of a name, once for all attempts that wait for it.
    fn look_up(&mut self, now: Now, at: usize) {
        let dial = &mut self.dials[at];
        dial.is_resolving = true;
        self.deadlines.set(Timer::Dial(at), Some(now.instant + self.config.connect_timeout_max));
        let target = dial.aim().clone();
        if self.lookups.insert(target.clone()) {
            self.report(Event::Resolve { target });
            self.at_once = true;
        }
    }

    /// Takes the addresses of `target`, for which [`Event::Resolve`] asked the host. All attempts that wait
    /// for them continue. Addresses that come too late serve the next attempt.
    pub fn resolved(&mut self, now: Now, target: &Target, found: io::Result<Vec<SocketAddr>>) {
        self.lookups.remove(target);
        let dials = self.dials.iter().filter(|(_, dial)| dial.connection.is_none() && dial.aim() == target);
        let dials: Vec<_> = dials.map(|(at, _)| at).collect();
        for at in dials {
            let dial = &mut self.dials[at];
            let waits = std::mem::take(&mut dial.is_resolving);
            let error = match &found {
                Ok(found) if found.is_empty() => io::ErrorKind::NotFound.into(),
                Err(error) => io::Error::new(error.kind(), error.to_string()),
                Ok(found) => {
                    dial.offer(found);
                    if waits {
                        self.deadlines.set(Timer::Dial(at), None);
                        self.dial(now, at);
                    }
                    continue;
                }
            };
            if waits {
                self.dial_later(now, at, Some(error));
            }
        }
        self.at_once = true;
    }

    /// Handles the end of a pause. If the host has not looked up a name in time, it is asked again in the
    /// next attempt.
    pub(super) fn dial_due(&mut self, now: Now, at: usize) {
        let dial = &mut self.dials[at];
        if !std::mem::take(&mut dial.is_resolving) {
            return self.dial(now, at);
        }
        self.lookups.remove(dial.aim());
        let error = io::Error::new(io::ErrorKind::TimedOut, "the name was not looked up in time");
        self.dial_later(now, at, Some(error));
    }

    pub(super) fn begin_connecting(&mut self, now: Now, at: usize, addr: SocketAddr) -> io::Result<()> {
        let socket = self.sockets.connect(addr)?;
        let id = self.open(socket, addr, Phase::Connecting)?;
        self.dialed.insert(id, DialId(at));
        self.dials[at].tried = Some(addr);
        let deadline = now.instant + self.dials[at].patience(&self.config);
        self.deadlines.set(Timer::Connection(id), Some(deadline));
        self.dials[at].connection = Some(id);
        Ok(())
    }

    pub(super) fn finish_connecting(&mut self, now: Now, id: ConnectionId) {
        match self.establish(id) {
            Ok(false) => {}
            Ok(true) => {
                let Some((peer, &dial)) = self.links.peer(id).zip(self.dialed.get(&id)) else { return };
                self.deadlines.set(Timer::Connection(id), None);
                let wrap = self.dials.get_mut(dial.0).and_then(|dial| dial.wrap.as_mut());
                match wrap.map(|wrap| wrap()) {
                    None => self.opened(now, id, peer, Origin::Dialed(dial)),
                    Some(wrapping) => self.secure(now, id, wrapping),
                }
            }
            Err(error) => self.connecting_failed(now, id, error),
        }
    }

    /// Returns whether an attempt has succeeded. The connection is then in use.
    fn establish(&mut self, id: ConnectionId) -> io::Result<bool> {
        let Some((link, socket)) = self.links.link_mut(id).zip(self.streams.get_mut(id)) else {
            return Ok(false);
        };
        if !self.sockets.established(socket)? {
            return Ok(false);
        }
        (link.phase, link.unread) = (Phase::Open, false);
        self.sockets.set_options(socket);
        self.watch(id)?;
        Ok(true)
    }

    pub(super) fn connecting_failed(&mut self, now: Now, id: ConnectionId, error: io::Error) {
        let Some((origin, _)) = self.discard(id) else { return };
        self.attempt_failed(now, id, origin, error);
    }

    /// Handles an attempt that has failed before the protocol heard of the connection.
    pub(super) fn attempt_failed(&mut self, now: Now, id: ConnectionId, origin: Origin, error: io::Error) {
        let Origin::Dialed(DialId(at)) = origin else { return };
        let Some(dial) = self.dials.get_mut(at).filter(|dial| dial.connection == Some(id)) else { return };
        dial.connection = None;
        if error.kind() == io::ErrorKind::TimedOut {
            dial.time_out();
        }
        if std::mem::take(&mut dial.is_hurried) && !self.draining {
            // It was redirected meanwhile.
            self.deadlines.set(Timer::Dial(at), Some(now.instant));
        } else if dial.has_untried() {
            self.dial(now, at);
        } else {
            self.dial_later(now, at, Some(error));
        }
    }

    /// Schedules another attempt after a pause. With an `error`, the host is told.
    pub(super) fn dial_later(&mut self, now: Now, at: usize, error: Option<io::Error>) {
        if self.draining {
            return;
        }
        let dial = &mut self.dials[at];
        let retry_in = dial.back_off(&self.config, &mut self.entropy);
        self.deadlines.set(Timer::Dial(at), Some(now.instant + retry_in));
        let target = dial.aim().clone();
        if error.is_some() {
            dial.fail();
        }
        match error {
            Some(error) => self.report(Event::Unreachable { dial: DialId(at), target, error, retry_in }),
            None if self.links.may_log(Level::Debug) => debug!("{target}: connecting again in {retry_in:?}"),
            None => {}
        }
    }
}
