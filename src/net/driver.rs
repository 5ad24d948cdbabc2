//! The driver: what a host asks of it, and the order of a pass. How connections begin is in `opening.rs`, how bytes come in
//! in `reading.rs`, how they go out and connections end in `closing.rs`.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{self, SocketAddr};

use mio::event::Event as Readiness;
use mio::net::TcpStream;
use mio::{Registry, Token};
use slab::Slab;

use super::addresses::Addresses;
use super::connection::{Connection, Phase};
use super::listener::Listener;
use super::reconnect::Dial;
use super::token::Key;
use super::{DriverConfig, DriverCounts, Error, Event, Target, TokenSpace, clock, os_entropy};
use crate::hint::{likely, unlikely};
use crate::protocol::{ConnectionId, ConnectionMap, DialId, Entropy, Links, Protocol};
use crate::time::{Deadlines, Instant, Now, earlier};

/// Runs a [`Protocol`] on sockets that are registered with a `mio::Poll` of the host's.
///
/// The [module's documentation](crate::net) gives the driving contract; `examples/embed.rs` is a program to copy from.
pub struct Driver<P: Protocol> {
    pub(super) protocol: P,
    pub(super) registry: Registry,
    pub(super) space: TokenSpace,
    pub(super) config: DriverConfig,
    pub(super) links: Links,
    pub(super) connections: ConnectionMap<Connection>,
    /// Of the connections that were accepted.
    pub(super) addresses: Addresses,
    pub(super) listeners: Slab<Listener>,
    /// One of them is ready.
    pub(super) accepting: bool,
    pub(super) dials: Slab<Dial>,
    pub(super) deadlines: Deadlines<Timer>,
    /// Connections that may have more to read than their budget allowed, or that of the pass.
    pub(super) unread: VecDeque<ConnectionId>,
    /// How many of `unread` are of the last pass, to be read on in this one: the first ones.
    pub(super) carried_over: usize,
    /// How many were ever taken from `unread`.
    pub(super) taken: u64,
    /// `taken` must be so much before deadlines expire that have come: see [`has_read_what_came`](Self::has_read_what_came).
    expires_after: Option<u64>,
    /// So many bytes may still be read in this pass.
    pub(super) pass_budget: usize,
    /// Connections that the system takes bytes for again.
    pub(super) writable: Vec<ConnectionId>,
    /// Connections that are gone; their slots are used again after the batch.
    pub(super) gone: Vec<ConnectionId>,
    pub(super) buffer: Box<[u8]>,
    /// So much of it is used for one read.
    pub(super) read_max: usize,
    pub(super) events: VecDeque<Event<P::Event>>,
    /// The host has taken all events of the last pass.
    pub(super) events_taken: bool,
    /// When the last pass was: what is left to do at once is due since then.
    pub(super) last_pass: Instant,
    /// So many more events of this pass are answered at once: see [`PROMPT_MAX`].
    prompt: u32,
    pub(super) draining: bool,
    pub(super) entropy: Entropy,
    pub(super) counts: DriverCounts,
}

/// What the first events of a pass cause is written before the next one is looked at: whoever hears of a turn can answer meanwhile, on
/// another processor. Where more are ready at once, writing all the rest together is quicker.
const PROMPT_MAX: u32 = 32;

/// So much is read before what it caused is looked at, where it may be cut: a line of five bytes may be told to an observer in ninety.
const PIECE_BYTES: usize = 256;

/// Whose deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Timer {
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
        let read_bytes_max = config.read_bytes_max.max(1);
        let pass_read_bytes_max = config.pass_read_bytes_max.max(read_bytes_max);
        let config = DriverConfig { read_bytes_max, pass_read_bytes_max, ..config };
        let read_max = if protocol.takes_pieces() { PIECE_BYTES } else { read_bytes_max };
        Ok(Driver {
            protocol,
            registry: registry.try_clone().map_err(Error::Poll)?,
            space,
            links: Links::new(config.out_bytes_max),
            connections: ConnectionMap::default(),
            addresses: Addresses::new(config.max_connections_per_address),
            listeners: Slab::new(),
            accepting: false,
            dials: Slab::new(),
            deadlines: Deadlines::default(),
            unread: VecDeque::new(),
            carried_over: 0,
            taken: 0,
            expires_after: None,
            pass_budget: pass_read_bytes_max,
            writable: Vec::new(),
            gone: Vec::new(),
            buffer: vec![0; read_bytes_max].into_boxed_slice(),
            read_max,
            events: VecDeque::new(),
            events_taken: true,
            last_pass: clock::now().instant,
            prompt: PROMPT_MAX,
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

    /// Lets `act` do something with the protocol and its connections, such as send what a person has typed. It is carried out
    /// in the next pass, which is due at once.
    pub fn with_links<R>(&mut self, act: impl FnOnce(&mut P, &mut Links) -> R) -> R {
        act(&mut self.protocol, &mut self.links)
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
        if unlikely(self.has_leftovers() || self.links.has_touched()) {
            return Some(self.last_pass);
        }
        self.first_deadline()
    }

    /// Whether a deadline has come, of this driver or of the protocol; perhaps early, never late.
    pub(super) fn is_due(&self, now: Now) -> bool {
        self.first_deadline().is_some_and(|deadline| deadline <= now.instant)
    }

    fn first_deadline(&self) -> Option<Instant> {
        earlier(self.deadlines.next(), self.protocol.next_deadline())
    }

    /// Whether [`drain`](Self::drain) was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Whether [`drain`](Self::drain) was called and every connection is gone.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        unlikely(self.draining) && self.connections.is_empty()
    }

    // What the host asks.

    /// Listens on `addr`; the address that it got, which differs if the port was 0. May be called for several addresses.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`], with the address; also while draining.
    pub fn listen(&mut self, addr: SocketAddr) -> Result<SocketAddr, Error> {
        let bound = match self.draining {
            true => Err(io::Error::other("the driver drains")),
            false => Listener::bind(addr, &self.config).and_then(|listener| self.add(listener)),
        };
        bound.map_err(|source| Error::Listen { addr, source })
    }

    /// Accepts connections from a socket that the host has made.
    ///
    /// # Errors
    ///
    /// [`Error::HandedIn`], when the socket cannot be made non-blocking, or registered.
    pub fn listen_on(&mut self, socket: net::TcpListener) -> Result<SocketAddr, Error> {
        Listener::from_std(socket).and_then(|listener| self.add(listener)).map_err(Error::HandedIn)
    }

    /// Treats a connected socket of the host's as if it had been accepted.
    ///
    /// # Errors
    ///
    /// [`Error::HandedIn`], when the socket is not connected, or cannot be registered.
    pub fn adopt(&mut self, now: Now, socket: net::TcpStream) -> Result<ConnectionId, Error> {
        let adopt = || {
            socket.set_nonblocking(true)?;
            let peer = socket.peer_addr()?;
            self.open(now, TcpStream::from_std(socket), peer)
        };
        adopt().map_err(Error::HandedIn)
    }

    /// Connects to `target`, and again whenever that fails or the connection is lost, until [`hang_up`](Self::hang_up).
    /// The first is number 0, and so on; the number of one that was hung up is used again. While draining nothing is begun.
    pub fn connect(&mut self, now: Now, target: impl Into<Target>) -> DialId {
        let at = self.dials.insert(Dial::new(target.into()));
        self.dial(now, at);
        DialId(at)
    }

    /// Ends an outbound connection, for good. Its number is the next one's.
    pub fn hang_up(&mut self, dial: DialId) {
        let Some(dialed) = self.dials.try_remove(dial.0) else { return };
        self.deadlines.set(Timer::Dial(dial.0), None);
        if let Some(id) = dialed.connection {
            match self.connections.get(id).map(|connection| connection.phase) {
                // The protocol has not heard of it.
                Some(Phase::Connecting) => self.links.abort(id),
                _ => self.links.close(id),
            }
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
        for (at, _) in &self.dials {
            self.deadlines.set(Timer::Dial(at), None);
        }
        let all: Vec<_> = self.connections.iter().map(|(id, connection)| (id, connection.phase)).collect();
        for (id, phase) in all {
            match phase {
                Phase::Connecting => self.links.abort(id),
                Phase::Open | Phase::Closing => self.hasten(now, id),
                Phase::Lingering => {}
            }
        }
        self.protocol.drain(now, &mut self.links);
    }

    // What the world did.

    /// Takes in one event of the poll. Events of other sources than this driver's are ignored.
    #[inline(always)]
    pub fn handle_event(&mut self, now: Now, event: &Readiness) {
        let token = event.token();
        if !self.owns(token) {
            return;
        }
        match TokenSpace::key(token) {
            // Nearly always there is something to read, and no other news.
            Key::Connection(id) if likely(!has_more_to_say(event)) => {
                self.read(now, id, false);
                if likely(self.prompt > 0) {
                    self.prompt -= 1;
                    self.flush_touched(now);
                } else {
                    self.relieve(now, id);
                }
            }
            _ => self.handle_ready(now, token, Ready::from(event)),
        }
    }

    #[cold]
    fn handle_ready(&mut self, now: Now, token: Token, ready: Ready) {
        match TokenSpace::key(token) {
            Key::Listener(slot) => match self.listeners.get_mut(slot as usize) {
                // Accepted from later in the pass, when what arrived before has been read.
                // In a back-off another knock changes nothing.
                Some(listener) => {
                    listener.ready |= self.deadlines.of(Timer::Listener(slot as usize)).is_none();
                    self.accepting |= listener.ready;
                }
                None => self.counts.stale_events += 1,
            },
            Key::Connection(id) => match self.connections.get(id).map(|connection| connection.phase) {
                Some(Phase::Connecting) => self.finish_connecting(now, id),
                Some(_) => {
                    if ready.readable {
                        self.read(now, id, ready.read_closed);
                        self.relieve(now, id);
                    }
                    if ready.writable {
                        self.writable.push(id);
                    }
                }
                None => self.counts.stale_events += 1,
            },
        }
    }

    /// Ends a pass: newcomers, deadlines, what is left to write, and slots that may be used again.
    ///
    /// # Errors
    ///
    /// [`Error::EventsPending`] if the events of the last pass were not all taken; the pass goes on when they are.
    pub fn finish_batch(&mut self, now: Now) -> Result<(), Error> {
        if unlikely(!self.events_taken) {
            return Err(Error::EventsPending);
        }
        self.events_taken = false;
        self.last_pass = now.instant;
        self.prompt = PROMPT_MAX;
        if unlikely(self.has_leftovers() || self.is_due(now) || !self.writable.is_empty()) {
            self.do_chores(now);
        }
        if unlikely(self.links.has_touched()) {
            self.flush_rest(now);
        }
        self.protocol.handle_flushed(now, &mut self.links);
        if unlikely(self.links.has_touched()) {
            self.flush_rest(now);
        }
        // What is left to read now is the next pass's.
        self.carried_over = self.unread.len();
        self.pass_budget = self.config.pass_read_bytes_max;
        if unlikely(!self.gone.is_empty()) {
            self.forget_gone();
        }
        Ok(())
    }

    /// Whether the last pass has left something to read or to accept.
    fn has_leftovers(&self) -> bool {
        self.accepting || self.carried_over > 0
    }

    /// What few passes have to do before anything is written.
    #[cold]
    fn do_chores(&mut self, now: Now) {
        if self.carried_over > 0 {
            self.read_on(now);
        }
        if self.accepting {
            self.accept(now);
        }
        if !self.is_due(now) {
            self.expires_after = None;
        } else if self.has_read_what_came() {
            self.expire(now);
        }
        self.unblock();
    }

    #[cold]
    fn flush_rest(&mut self, now: Now) {
        self.flush_touched(now);
    }

    /// Writes at once if what `speaker` and others have said makes much wait for somebody, who has had no chance to read: that is not to
    /// make a slow reader of it.
    #[cold]
    pub(super) fn relieve(&mut self, now: Now, speaker: ConnectionId) {
        if self.links.take_crowd(speaker) {
            self.unblock();
            self.flush_rest(now);
        }
    }

    #[cold]
    fn forget_gone(&mut self) {
        self.gone.drain(..).for_each(|id| self.links.remove(id));
    }

    /// What is written first is for those that the system takes bytes for again.
    fn unblock(&mut self) {
        while let Some(id) = self.writable.pop() {
            if let Some(connection) = self.connections.get_mut(id) {
                connection.blocked = false;
                self.links.hurry(id);
            }
        }
    }

    // What to do now.

    /// The next event for the host. To be called until it says `None`, after every pass.
    pub fn poll_event(&mut self) -> Option<Event<P::Event>> {
        if unlikely(!self.events.is_empty()) {
            return self.events.pop_front();
        }
        let Some(event) = self.protocol.poll_event() else {
            self.events_taken = true;
            return None;
        };
        Some(Event::Protocol(event))
    }

    // Deadlines.

    /// Whether everybody has been read from who was waiting for that when a deadline was found to have come: an answer that arrived before
    /// the bell counts. Only the first deadline waits: one that comes meanwhile expires with it, or it could be put off for ever.
    fn has_read_what_came(&mut self) -> bool {
        let expires_after = *self.expires_after.get_or_insert(self.taken + self.unread.len() as u64);
        let has_read = self.taken >= expires_after;
        if has_read {
            self.expires_after = None;
        }
        has_read
    }

    #[cold]
    fn expire(&mut self, now: Now) {
        while let Some(timer) = self.deadlines.pop(now.instant) {
            match timer {
                Timer::Listener(slot) => {
                    if let Some(listener) = self.listeners.get_mut(slot) {
                        listener.ready = true;
                        self.accepting = true;
                    }
                }
                Timer::Dial(at) => self.dial(now, at),
                Timer::Connection(id) => self.out_of_time(now, id),
            }
        }
        if self.protocol.next_deadline().is_some_and(|deadline| deadline <= now.instant) {
            self.protocol.handle_timeout(now, &mut self.links);
        }
    }

    /// Queues an event behind what the protocol has reported before it.
    pub(super) fn report(&mut self, event: Event<P::Event>) {
        while let Some(earlier) = self.protocol.poll_event() {
            self.events.push_back(Event::Protocol(earlier));
        }
        self.events.push_back(event);
    }
}

impl<P: Protocol> fmt::Debug for Driver<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("space", &self.space)
            .field("config", &self.config)
            .field("connections", &self.connections.len())
            .field("draining", &self.draining)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

/// Whether it says more than that there is something to read.
fn has_more_to_say(event: &Readiness) -> bool {
    event.is_writable() || event.is_read_closed() || event.is_error()
}

/// What an event of the poll says of a connection.
#[derive(Debug, Clone, Copy)]
struct Ready {
    readable: bool,
    writable: bool,
    /// The end of the stream, or an error, is there to be read.
    read_closed: bool,
}

impl From<&Readiness> for Ready {
    fn from(event: &Readiness) -> Ready {
        Ready {
            readable: event.is_readable() || event.is_read_closed() || event.is_error(),
            writable: event.is_writable() || event.is_write_closed() || event.is_error(),
            read_closed: event.is_read_closed() || event.is_error(),
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
