//! The driver: sockets, clock and `mio`, and nothing that a protocol could decide.
//!
//! [`Driver`] works on a `mio::Poll` of the host's. [`EventLoop`] owns a `Poll` and is a thin layer over it, for programs
//! that have nothing else to wait for. Neither starts a thread, takes a lock, installs a signal handler or a logger, or exits.
//!
//! # The driving contract
//!
//! For each pass of the host's loop:
//!
//! 1. Poll, with a timeout of at most [`poll_timeout`]`(`[`now()`]`, `[`Driver::next_deadline`]`)`.
//! 2. Read the clock, once: [`now()`].
//! 3. Give the driver each event that it [owns](Driver::owns): [`Driver::handle_event`].
//! 4. [`Driver::finish_batch`], once, also if there was no event.
//! 5. Take every event for the host: [`Driver::poll_event`] until it says `None`.
//!
//! Within a pass, readable sockets come first, then newcomers, then deadlines, then writes; only then are slots used again. So an
//! answer that arrived before the bell counts, and an event that was meant for a connection that is gone cannot hit
//! another.
//!
//! The driver asks for edge-triggered readiness, as mio does. If the host puts its `Poll` into another epoll, that one is told
//! once, too: it has to be drained until it has no event left.

mod clock;
mod config;
mod connection;
mod error;
mod event_loop;
mod listener;
mod reconnect;
mod token;

use std::collections::VecDeque;
use std::io;
use std::net::{self, SocketAddr};
use std::time::{Duration, Instant};

use log::{debug, info, warn};
use mio::event::Event as Readiness;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use slab::Slab;

pub use clock::{now, poll_timeout};
pub use config::DriverConfig;
pub use error::Error;
pub use event_loop::{EventLoop, Handle, Refused, Work};
pub use reconnect::Target;
pub use token::TokenSpace;

use crate::protocol::links::{AbortReason, Wish};
use crate::protocol::{CloseReason, ConnectionId, ConnectionMap, DialId, Entropy, Links, Origin, Protocol};
use crate::time::{Now, Timers};
use connection::{Connection, Phase, ReadEnd};
use listener::{AcceptError, Listener};
use reconnect::Dial;
use token::Key;

/// Random bytes from the operating system.
///
/// # Panics
///
/// The source does, when the system has none to give: a secret that can be guessed would be worse.
#[must_use]
pub fn os_entropy() -> Entropy {
    Box::new(|bytes| getrandom::fill(bytes).expect("the operating system gives random bytes"))
}

/// What a host hears of.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<E> {
    /// A connection was opened.
    Opened {
        /// Which.
        connection: ConnectionId,
        /// The other end.
        peer: SocketAddr,
        /// Who connected to whom.
        origin: Origin,
    },
    /// A connection is gone.
    Closed {
        /// Which.
        connection: ConnectionId,
        /// The other end.
        peer: SocketAddr,
        /// Why.
        reason: CloseReason,
    },
    /// An outbound connection could not be established; it will be tried again.
    Unreachable {
        /// Which.
        dial: DialId,
        /// Where it goes.
        target: Target,
        /// Why not.
        error: io::Error,
        /// When the next attempt begins.
        retry_in: Duration,
    },
    /// A listener accepts nobody for a while: the system has no descriptor or memory left. Those who wait are not lost.
    AcceptPaused {
        /// Which listener.
        addr: SocketAddr,
        /// What the system said.
        error: io::Error,
        /// For how long.
        pause: Duration,
    },
    /// Something that the protocol reports.
    Protocol(E),
}

/// Running counts of a [`Driver`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DriverCounts {
    /// Connections accepted.
    pub accepted: u64,
    /// Failures of `accept`, those of a single newcomer included.
    pub accept_errors: u64,
    /// Newcomers dropped because `max_connections` exist.
    pub dropped: u64,
    /// Events for connections that were gone.
    pub stale_events: u64,
    /// Peers given up because they do not read.
    pub slow_readers: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
}

/// Runs a [`Protocol`] on sockets that are registered with a `mio::Poll` of the host's.
///
/// The [module's documentation](self) gives the driving contract; `examples/embed.rs` is a program to copy from.
pub struct Driver<P: Protocol> {
    protocol: P,
    registry: Registry,
    space: TokenSpace,
    config: DriverConfig,
    links: Links,
    connections: ConnectionMap<Connection>,
    listeners: Slab<Listener>,
    dials: Vec<Dial>,
    timers: Timers<Timer>,
    /// Connections with more to read than their budget allowed.
    unread: Vec<ConnectionId>,
    /// Connections that the system takes bytes for again.
    writable: Vec<ConnectionId>,
    /// Connections that are gone; their slots are used again after the batch.
    gone: Vec<ConnectionId>,
    buffer: Box<[u8]>,
    events: VecDeque<Event<P::Event>>,
    /// The host has taken all events of the last pass.
    events_taken: bool,
    /// When the last pass was: what is left to do at once is due since then.
    last_pass: Instant,
    draining: bool,
    entropy: Entropy,
    counts: DriverCounts,
}

/// Whose alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Listener(usize),
    Dial(usize),
    Connection(ConnectionId),
}

impl<P: Protocol> Driver<P> {
    /// A driver whose sockets are registered with `registry`, under tokens of `space`.
    ///
    /// # Errors
    ///
    /// When the registry cannot be shared.
    pub fn new(
        registry: &Registry,
        space: TokenSpace,
        protocol: P,
        config: DriverConfig,
    ) -> Result<Self, Error> {
        Ok(Driver {
            protocol,
            registry: registry.try_clone().map_err(Error::Poll)?,
            space,
            links: Links::new(config.out_bytes_max),
            connections: ConnectionMap::default(),
            listeners: Slab::new(),
            dials: Vec::new(),
            timers: Timers::default(),
            unread: Vec::new(),
            writable: Vec::new(),
            gone: Vec::new(),
            buffer: vec![0; config.read_bytes_max.max(1)].into_boxed_slice(),
            events: VecDeque::new(),
            events_taken: true,
            last_pass: clock::now().instant,
            draining: false,
            entropy: os_entropy(),
            counts: DriverCounts::default(),
            config,
        })
    }

    // Getters.

    /// The protocol.
    #[must_use]
    pub fn protocol(&self) -> &P {
        &self.protocol
    }

    /// The protocol, to be changed: between passes only, so that what it asks of its links is carried out in the next one.
    pub fn protocol_mut(&mut self) -> &mut P {
        &mut self.protocol
    }

    /// Whether `token` belongs to this driver. One comparison.
    #[must_use]
    pub fn owns(&self, token: Token) -> bool {
        self.space.owns(token)
    }

    /// How many connections exist, those about to be opened or closed included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Running counts.
    #[must_use]
    pub fn counts(&self) -> DriverCounts {
        self.counts
    }

    /// When the next pass must be, whether or not there is an event; perhaps early, never late. In the past if there is
    /// work left from the last pass, or from what the host asked since.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let accepting = self.listeners.iter().any(|(_, listener)| listener.ready);
        let has_work = accepting || !self.unread.is_empty() || self.links.has_touched();
        [has_work.then_some(self.last_pass), self.timers.next(), self.protocol.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether [`drain`](Self::drain) was called and every connection is gone.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.draining && self.connections.is_empty()
    }

    // What the host asks.

    /// Listens on `addr`; the address that it got, which differs if the port was 0. May be called for several addresses.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`], with the address.
    pub fn listen(&mut self, addr: SocketAddr) -> Result<SocketAddr, Error> {
        let bound = Listener::bind(addr, &self.config).and_then(|listener| self.add(listener));
        bound.map_err(|source| Error::Listen { addr, source })
    }

    /// Accepts connections from a socket that the host has made.
    ///
    /// # Errors
    ///
    /// When the socket cannot be made non-blocking, or registered.
    pub fn listen_on(&mut self, socket: net::TcpListener) -> Result<SocketAddr, Error> {
        Listener::from_std(socket).and_then(|listener| self.add(listener)).map_err(Error::Poll)
    }

    /// Treats a connected socket of the host's as if it had been accepted.
    ///
    /// # Errors
    ///
    /// When the socket is not connected, or cannot be registered.
    pub fn adopt(&mut self, now: Now, socket: net::TcpStream) -> Result<ConnectionId, Error> {
        let adopt = || {
            socket.set_nonblocking(true)?;
            let peer = socket.peer_addr()?;
            self.open(now, TcpStream::from_std(socket), peer)
        };
        adopt().map_err(Error::Poll)
    }

    /// Connects to `target`, and again whenever that fails or the connection is lost, until [`hang_up`](Self::hang_up).
    /// The first is number 0, and so on.
    pub fn connect(&mut self, now: Now, target: impl Into<Target>) -> DialId {
        let at = self.dials.len();
        self.dials.push(Dial::new(target.into()));
        self.dial(now, at);
        DialId(at)
    }

    /// Ends an outbound connection, for good. Its number is not used again.
    pub fn hang_up(&mut self, dial: DialId) {
        let Some(dialed) = self.dials.get_mut(dial.0) else { return };
        self.timers.remove(&mut dialed.alarm, Timer::Dial(dial.0));
        if let Some(id) = dialed.connection.take() {
            self.links.close(id);
        }
    }

    /// Stops accepting and reconnecting, and lets the protocol finish what is begun. [`is_drained`](Self::is_drained) says
    /// when that is done.
    pub fn drain(&mut self, now: Now) {
        if std::mem::replace(&mut self.draining, true) {
            return;
        }
        for mut listener in self.listeners.drain() {
            // Best effort: the socket is closed in any case.
            let _ = self.registry.deregister(&mut listener.socket);
        }
        for (at, dial) in self.dials.iter_mut().enumerate() {
            self.timers.remove(&mut dial.alarm, Timer::Dial(at));
        }
        let connecting = |(id, connection): (ConnectionId, &Connection)| {
            (connection.phase == Phase::Connecting).then_some(id)
        };
        let connecting: Vec<_> = self.connections.iter().filter_map(connecting).collect();
        connecting.into_iter().for_each(|id| self.links.abort(id));
        self.protocol.drain(now, &mut self.links);
    }

    // What the world did.

    /// Takes in one event of the poll. Events of other sources than this driver's are ignored.
    pub fn handle_event(&mut self, now: Now, event: &Readiness) {
        if !self.owns(event.token()) {
            return;
        }
        let readiness = Ready {
            readable: event.is_readable() || event.is_read_closed() || event.is_error(),
            writable: event.is_writable() || event.is_write_closed() || event.is_error(),
            read_closed: event.is_read_closed() || event.is_error(),
        };
        self.handle_ready(now, event.token(), readiness);
    }

    fn handle_ready(&mut self, now: Now, token: Token, ready: Ready) {
        match TokenSpace::key(token) {
            Key::Listener(slot) => match self.listeners.get_mut(slot as usize) {
                // Accepted from later in the pass, when what arrived before has been read.
                Some(listener) => listener.ready = true,
                None => self.counts.stale_events += 1,
            },
            Key::Connection(id) => match self.connections.get(id).map(|connection| connection.phase) {
                Some(Phase::Connecting) => self.finish_connecting(now, id),
                Some(_) => {
                    if ready.readable {
                        self.read(now, id, ready.read_closed);
                    }
                    if ready.writable {
                        self.writable.push(id);
                    }
                }
                None => self.counts.stale_events += 1,
            },
        }
    }

    /// Ends a pass: newcomers, deadlines, writes, and slots that may be used again.
    ///
    /// # Errors
    ///
    /// [`Error::EventsPending`] if the events of the last pass were not all taken; the pass goes on when they are.
    pub fn finish_batch(&mut self, now: Now) -> Result<(), Error> {
        if !self.events_taken {
            return Err(Error::EventsPending);
        }
        self.events_taken = false;
        self.last_pass = now.instant;
        for id in std::mem::take(&mut self.unread) {
            if let Some(connection) = self.connections.get_mut(id) {
                connection.unread = false;
                self.read(now, id, true);
            }
        }
        self.accept(now);
        self.expire(now);
        if self.protocol.next_deadline().is_some_and(|deadline| deadline <= now.instant) {
            self.protocol.handle_timeout(now, &mut self.links);
        }
        while let Some(id) = self.writable.pop() {
            if let Some(connection) = self.connections.get_mut(id) {
                connection.blocked = false;
                self.flush(now, id);
            }
        }
        self.flush_touched(now);
        self.protocol.handle_flushed(now, &mut self.links);
        self.flush_touched(now);
        for id in self.gone.drain(..) {
            self.links.remove(id);
        }
        Ok(())
    }

    // What to do now.

    /// The next event for the host. To be called until it says `None`, after every pass.
    pub fn poll_event(&mut self) -> Option<Event<P::Event>> {
        let event = self.events.pop_front().or_else(|| self.protocol.poll_event().map(Event::Protocol));
        self.events_taken |= event.is_none();
        event
    }

    // Reading.

    fn read(&mut self, now: Now, id: ConnectionId, to_end: bool) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.unread {
            return;
        }
        let Driver { protocol, links, buffer, counts, .. } = self;
        let listened_to = connection.phase == Phase::Open;
        let end = connection.read(buffer, to_end, |bytes| {
            counts.bytes_in += bytes.len() as u64;
            if listened_to && links.is_open(id) {
                protocol.handle_bytes(now, id, bytes, links);
            }
            true
        });
        match end {
            ReadEnd::Empty => {}
            ReadEnd::Budget => {
                connection.unread = true;
                self.unread.push(id);
            }
            ReadEnd::End if connection.ended => {}
            ReadEnd::End => {
                connection.ended = true;
                if listened_to && self.links.is_open(id) {
                    self.protocol.handle_end(now, id, &mut self.links);
                } else if connection.phase == Phase::Lingering {
                    self.close(now, id, CloseReason::Unwanted);
                }
            }
            ReadEnd::Broken(kind) => self.close(now, id, CloseReason::Broken(kind)),
        }
    }

    // Newcomers.

    fn add(&mut self, mut listener: Listener) -> io::Result<SocketAddr> {
        let addr = listener.addr;
        let entry = self.listeners.vacant_entry();
        let slot = u32::try_from(entry.key()).map_err(io::Error::other)?;
        let token = self.space.token(Key::Listener(slot));
        self.registry.register(&mut listener.socket, token, Interest::READABLE)?;
        entry.insert(listener);
        Ok(addr)
    }

    fn accept(&mut self, now: Now) {
        for slot in 0..self.listeners.len() {
            let mut budget = self.config.accepts_max;
            while budget > 0 && self.listeners.get(slot).is_some_and(|listener| listener.ready) {
                budget -= 1;
                self.accept_one(now, slot);
            }
        }
    }

    fn accept_one(&mut self, now: Now, slot: usize) {
        let listener = &mut self.listeners[slot];
        let error = match listener.socket.accept() {
            Ok((socket, peer)) => {
                listener.relax();
                if self.connections.len() >= self.config.max_connections {
                    self.counts.dropped += 1;
                    warn!("{peer}: dropped, {} connections exist", self.connections.len());
                } else if let Err(error) = self.open(now, socket, peer) {
                    debug!("{peer}: lost before it began: {error}");
                } else {
                    self.counts.accepted += 1;
                }
                return;
            }
            Err(error) => error,
        };
        match AcceptError::of(&error) {
            AcceptError::Empty => listener.ready = false,
            AcceptError::Newcomer => self.counts.accept_errors += 1,
            AcceptError::System => {
                self.counts.accept_errors += 1;
                let pause = listener.back_off(&self.config);
                self.timers.set(&mut listener.alarm, Timer::Listener(slot), Some(now.instant + pause));
                let addr = listener.addr;
                self.report(Event::AcceptPaused { addr, error, pause });
            }
        }
    }

    fn open(&mut self, now: Now, socket: TcpStream, peer: SocketAddr) -> io::Result<ConnectionId> {
        let mut connection = Connection::new(socket, peer, Origin::Accepted, Phase::Open);
        connection.set_options(&self.config)?;
        let id = self.links.open();
        if let Err(error) = connection.register(&self.registry, self.space.token(Key::Connection(id))) {
            self.links.remove(id);
            return Err(error);
        }
        self.connections.insert(id, connection);
        self.opened(now, id, peer, Origin::Accepted);
        Ok(id)
    }

    fn opened(&mut self, now: Now, connection: ConnectionId, peer: SocketAddr, origin: Origin) {
        self.report(Event::Opened { connection, peer, origin });
        self.protocol.handle_open(now, connection, peer, origin, &mut self.links);
    }

    // Outbound connections.

    /// Begins an attempt, or goes on with its next address.
    fn dial(&mut self, now: Now, at: usize) {
        loop {
            let attempt = self.dials[at].next_address().and_then(|addr| self.begin_connecting(now, at, addr));
            match attempt {
                Ok(()) => return,
                Err(_) if self.dials[at].has_untried() => {}
                Err(error) => return self.dial_later(now, at, Some(error)),
            }
        }
    }

    fn begin_connecting(&mut self, now: Now, at: usize, addr: SocketAddr) -> io::Result<()> {
        let socket = TcpStream::connect(addr)?;
        let mut connection = Connection::new(socket, addr, Origin::Dialed(DialId(at)), Phase::Connecting);
        let id = self.links.open();
        if let Err(error) = connection.register(&self.registry, self.space.token(Key::Connection(id))) {
            self.links.remove(id);
            return Err(error);
        }
        let deadline = now.instant + self.config.connect_timeout;
        self.timers.set(&mut connection.alarm, Timer::Connection(id), Some(deadline));
        self.connections.insert(id, connection);
        self.dials[at].connection = Some(id);
        Ok(())
    }

    fn finish_connecting(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        match established(&connection.socket) {
            Ok(false) => {}
            Ok(true) => {
                let (peer, origin) = (connection.peer, connection.origin);
                self.timers.set(&mut connection.alarm, Timer::Connection(id), None);
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

    fn connecting_failed(&mut self, now: Now, id: ConnectionId, error: io::Error) {
        let Some(origin) = self.discard(id).map(|connection| connection.origin) else { return };
        let Origin::Dialed(DialId(at)) = origin else { return };
        if self.dials[at].connection.take() != Some(id) {
            return;
        }
        if self.dials[at].has_untried() {
            self.dial(now, at);
        } else {
            self.dial_later(now, at, Some(error));
        }
    }

    /// Tries again after a pause. With an `error` the host is told.
    fn dial_later(&mut self, now: Now, at: usize, error: Option<io::Error>) {
        if self.draining {
            return;
        }
        let dial = &mut self.dials[at];
        let retry_in = dial.back_off(&self.config, &mut self.entropy);
        self.timers.set(&mut dial.alarm, Timer::Dial(at), Some(now.instant + retry_in));
        let target = dial.target.clone();
        match error {
            Some(error) => self.report(Event::Unreachable { dial: DialId(at), target, error, retry_in }),
            None => debug!("{target}: connecting again in {retry_in:?}"),
        }
    }

    // Writing and closing.

    fn flush_touched(&mut self, now: Now) {
        while let Some(id) = self.links.take_touched() {
            self.flush(now, id);
        }
    }

    /// Writes what is queued for `id`, and carries out what the protocol wants done with it.
    fn flush(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let wish = self.links.wish_of(id);
        if let Wish::Abort(reason) = wish {
            self.counts.slow_readers += u64::from(reason == AbortReason::SlowReader);
            return self.close(now, id, reason.into());
        }
        let mut written = 0;
        if !connection.blocked {
            match connection.write(id, &mut self.links) {
                Ok(count) => written = count,
                Err(error) => return self.close(now, id, CloseReason::Broken(error.kind())),
            }
        }
        self.counts.bytes_out += written as u64;
        if wish == Wish::Close {
            connection.phase = Phase::Closing;
            if !connection.blocked {
                return self.linger(now, id);
            }
        }
        self.await_writable(now, id, written > 0);
    }

    /// All is written, or the peer has the stall timeout to take more, from its last progress. While draining, it has no
    /// more than the linger.
    fn await_writable(&mut self, now: Now, id: ConnectionId, has_progress: bool) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let stalled = connection.alarm.due().is_some();
        if connection.blocked && (has_progress || !stalled || self.draining) {
            let patience = if self.draining { self.config.linger_timeout } else { self.config.stall_timeout };
            self.timers.set(&mut connection.alarm, Timer::Connection(id), Some(now.instant + patience));
        } else if !connection.blocked && stalled {
            self.timers.set(&mut connection.alarm, Timer::Connection(id), None);
        }
        if let Err(error) = connection.register(&self.registry, self.space.token(Key::Connection(id))) {
            self.close(now, id, CloseReason::Broken(error.kind()));
        }
    }

    /// The last words are written. A close with unread input would reset the connection, and the peer might never read
    /// them: so what still comes is discarded for a while.
    fn linger(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let shut = connection.socket.shutdown(net::Shutdown::Write);
        if connection.ended || shut.is_err() {
            return self.close(now, id, CloseReason::Finished);
        }
        connection.phase = Phase::Lingering;
        let due = now.instant + self.config.linger_timeout;
        self.timers.set(&mut connection.alarm, Timer::Connection(id), Some(due));
        // What has come already is not announced again.
        if !connection.unread {
            connection.unread = true;
            self.unread.push(id);
        }
        if let Err(error) = connection.register(&self.registry, self.space.token(Key::Connection(id))) {
            self.close(now, id, CloseReason::Broken(error.kind()));
        }
    }

    /// The connection is gone. Its slot is used again only after the batch: an event for it may still be on its way.
    fn close(&mut self, now: Now, id: ConnectionId, reason: CloseReason) {
        let Some(connection) = self.discard(id) else { return };
        self.links.abort(id);
        if connection.phase == Phase::Connecting {
            return;
        }
        self.protocol.handle_closed(now, id, reason, &mut self.links);
        self.report(Event::Closed { connection: id, peer: connection.peer, reason });
        if let Origin::Dialed(DialId(at)) = connection.origin
            && self.dials[at].connection == Some(id)
        {
            self.dials[at].connection = None;
            if self.links.is_confirmed(id) {
                self.dials[at].relax();
            }
            self.dial_later(now, at, None);
        }
    }

    fn discard(&mut self, id: ConnectionId) -> Option<Connection> {
        let mut connection = self.connections.remove(id)?;
        self.timers.remove(&mut connection.alarm, Timer::Connection(id));
        // Best effort: the socket is closed in any case.
        let _ = self.registry.deregister(&mut connection.socket);
        self.gone.push(id);
        Some(connection)
    }

    // Deadlines.

    fn expire(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop(now.instant) {
            let alarm = match timer {
                Timer::Listener(slot) => self.listeners.get_mut(slot).map(|listener| &mut listener.alarm),
                Timer::Dial(at) => Some(&mut self.dials[at].alarm),
                Timer::Connection(id) => self.connections.get_mut(id).map(|connection| &mut connection.alarm),
            };
            if !alarm.is_some_and(|alarm| self.timers.ring(alarm, timer, now.instant)) {
                continue;
            }
            match timer {
                Timer::Listener(slot) => self.listeners[slot].ready = true,
                Timer::Dial(at) => self.dial(now, at),
                Timer::Connection(id) => self.out_of_time(now, id),
            }
        }
    }

    fn out_of_time(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        match connection.phase {
            Phase::Connecting => self.connecting_failed(now, id, io::ErrorKind::TimedOut.into()),
            Phase::Open | Phase::Closing => {
                info!("{}: closed, it takes nothing of what is queued for it", connection.peer);
                self.counts.slow_readers += 1;
                self.close(now, id, CloseReason::SlowReader);
            }
            Phase::Lingering => self.close(now, id, CloseReason::Unwanted),
        }
    }

    /// Queues an event behind what the protocol has reported before it.
    fn report(&mut self, event: Event<P::Event>) {
        while let Some(earlier) = self.protocol.poll_event() {
            self.events.push_back(Event::Protocol(earlier));
        }
        self.events.push_back(event);
    }
}

/// What an event of the poll says of a connection.
#[derive(Debug, Clone, Copy)]
struct Ready {
    readable: bool,
    writable: bool,
    /// The end of the stream, or an error, is there to be read.
    read_closed: bool,
}

impl From<AbortReason> for CloseReason {
    fn from(reason: AbortReason) -> Self {
        match reason {
            AbortReason::Unwanted => CloseReason::Unwanted,
            AbortReason::SlowReader => CloseReason::SlowReader,
        }
    }
}

/// Whether the connection is established, or why it will not be.
fn established(socket: &TcpStream) -> io::Result<bool> {
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

#[cfg(test)]
mod tests;
