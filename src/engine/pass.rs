//! The order of a pass, and the methods of an engine. `opening.rs` has how connections begin, `reading.rs`
//! how bytes come in, and `closing.rs` how they go out and how connections end.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;

use slab::Slab;

use super::listener::Listener;
use super::reconnect::Dial;
use super::silence_checks::SilenceChecks;
use super::stalled::Stalled;
use super::wrapped::{Wire, WireBuffers};
use super::{DriverConfig, DriverCounts, Event, EventsPending, Sockets, Target, Wrap};
use crate::hint::{likely, unlikely};
use crate::per_address::PerAddress;
use crate::protocol::{ConnectionId, ConnectionMap, DialId, Entropy, Flags, Links, Phase, Protocol};
use crate::record::Record;
use crate::time::{Deadlines, Instant, Now, earlier};

/// Runs a [`Protocol`] on [`Sockets`]. The [module's documentation](crate::engine) describes a pass.
pub struct Engine<P: Protocol, S: Sockets> {
    pub(crate) protocol: P,
    pub(crate) sockets: S,
    pub(super) config: DriverConfig,
    pub(crate) links: Links,
    /// The sockets of the connections in `links`, until they are closed.
    pub(crate) streams: ConnectionMap<S::Socket>,
    /// The outbound connections among them.
    pub(super) dialed: HashMap<ConnectionId, DialId>,
    /// Input that was read and not consumed, for the few connections that have any.
    pub(super) rests: HashMap<ConnectionId, Vec<u8>>,
    /// The wires of the wrapped connections.
    pub(super) wires: ConnectionMap<Box<Wire>>,
    pub(super) wire_buffers: WireBuffers,
    /// The number of `wires` that the protocol does not know of yet.
    pub(super) securing: usize,
    /// The connections in their handshake that have sent something that has not been read yet.
    pub(super) handshakes: VecDeque<ConnectionId>,
    /// Makes the wrapping of a connection whose protocol asks for it, see [`Links::upgrade`].
    pub(crate) upgrade: Option<Wrap>,
    /// The addresses of the connections that were accepted.
    pub(crate) addresses: PerAddress,
    pub(crate) listeners: Slab<Listener<S::Listener>>,
    /// Whether the next pass is due at once: a listener is ready, the host has acted, or a protocol wants
    /// input again.
    pub(crate) at_once: bool,
    pub(super) dials: Slab<Dial>,
    /// Names that the host was asked to look up and has not looked up yet.
    pub(super) lookups: HashSet<Target>,
    pub(super) deadlines: Deadlines<Timer>,
    /// Connections that may have more to read than their budget, or the budget of the pass, allowed.
    pub(super) unread: VecDeque<ConnectionId>,
    /// The first `carried_over` entries of `unread` come from the previous pass; this pass continues with
    /// them.
    pub(super) carried_over: usize,
    /// Connections ever taken from `unread`.
    pub(super) taken: u64,
    /// Deadlines that have passed expire once `taken` reaches this value: see
    /// [`has_read_what_came`](Self::has_read_what_came).
    pub(super) expires_after: Option<u64>,
    /// Read budget left in this pass, in bytes.
    pub(super) pass_budget: usize,
    /// Consecutive reads that brought the protocol nothing.
    pub(super) idle_reads: u8,
    /// Connections that can be written to again.
    pub(super) writable: Vec<ConnectionId>,
    /// Connections whose sockets have refused bytes that are still queued.
    pub(super) stalled: Stalled,
    /// When to check for peers that read nothing; see [`Sockets::extend_for_busy_peers`].
    pub(super) silence_checks: SilenceChecks,
    /// Closed connections, whose slots are used again after the batch.
    pub(super) gone: Vec<ConnectionId>,
    pub(super) buffer: Box<[u8]>,
    pub(super) events: VecDeque<Event<P::Event>>,
    /// Whether the host has taken all events of the last pass.
    pub(super) events_taken: bool,
    /// The time of the last pass. Work that it left has been due since then.
    pub(super) last_pass: Instant,
    /// Events of this pass that may still be answered at once: see [`EAGER_EVENTS_MAX`].
    eager_left: u32,
    pub(super) draining: bool,
    pub(super) entropy: Entropy,
    pub(super) counts: DriverCounts,
}

/// The number of events in a pass whose replies are written before the next event is handled. The peer can
/// then answer meanwhile, on another processor. When more events are ready, writing the remaining replies
/// together is faster.
pub(crate) const EAGER_EVENTS_MAX: u32 = 32;

/// The owner of a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Timer {
    Listener(usize),
    Dial(usize),
    Connection(ConnectionId),
    /// The end of a second for which log lines are counted.
    Log,
    SilenceCheck,
    /// See [`DriverConfig::wire_ping`].
    Ping,
}

/// Readiness of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ready {
    /// There is something to read, or the stream has ended or failed.
    pub readable: bool,
    /// It can be written to again, or an attempt to connect has succeeded or failed.
    pub writable: bool,
    /// A read that does not fill the buffer may leave something: the end of the stream, an error, or bytes
    /// after urgent data.
    pub to_end: bool,
}

impl<P: Protocol, S: Sockets> Engine<P, S> {
    /// Makes an engine without connections. `entropy` randomizes the pauses before outbound connections are
    /// tried again.
    pub fn new(
        sockets: S,
        protocol: P,
        config: DriverConfig,
        entropy: Entropy,
        now: Instant,
    ) -> Engine<P, S> {
        let read_bytes_max = config.read_bytes_max.max(1);
        let pass_read_bytes_max = config.pass_read_bytes_max.max(read_bytes_max);
        let config = DriverConfig { read_bytes_max, pass_read_bytes_max, ..config };
        Engine {
            protocol,
            sockets,
            links: Links::new(config.out_bytes_max).with_log_lines_max(config.log_lines_max),
            streams: ConnectionMap::default(),
            dialed: HashMap::new(),
            rests: HashMap::new(),
            wires: ConnectionMap::default(),
            wire_buffers: WireBuffers::default(),
            securing: 0,
            handshakes: VecDeque::new(),
            upgrade: None,
            addresses: PerAddress::new(config.max_connections_per_address),
            listeners: Slab::new(),
            at_once: false,
            dials: Slab::new(),
            lookups: HashSet::new(),
            deadlines: Deadlines::default(),
            unread: VecDeque::new(),
            carried_over: 0,
            taken: 0,
            expires_after: None,
            pass_budget: pass_read_bytes_max,
            idle_reads: 0,
            writable: Vec::new(),
            stalled: Stalled::default(),
            silence_checks: SilenceChecks::new::<S>(&config, now),
            gone: Vec::new(),
            buffer: vec![0; read_bytes_max].into_boxed_slice(),
            events: VecDeque::new(),
            events_taken: true,
            last_pass: now,
            eager_left: EAGER_EVENTS_MAX,
            draining: false,
            entropy,
            counts: DriverCounts::default(),
            config,
        }
    }

    /// Returns the protocol.
    #[must_use]
    pub fn protocol(&self) -> &P {
        &self.protocol
    }

    /// Returns the protocol mutably. Call it between passes: its requests to links are carried out in the
    /// next pass.
    pub fn protocol_mut(&mut self) -> &mut P {
        &mut self.protocol
    }

    /// Returns the sockets.
    #[must_use]
    pub fn sockets(&self) -> &S {
        &self.sockets
    }

    /// Returns the sockets mutably.
    pub fn sockets_mut(&mut self) -> &mut S {
        &mut self.sockets
    }

    /// Returns the connections as the protocol sees them.
    #[must_use]
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// Returns the limits and times in force.
    #[must_use]
    pub fn config(&self) -> &DriverConfig {
        &self.config
    }

    /// Returns the number of connections, including those about to be opened or closed.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.streams.len()
    }

    /// Returns running counts.
    #[must_use]
    pub fn counts(&self) -> DriverCounts {
        self.counts
    }

    /// Returns when the next pass is due, even without an event. It may be too early, but never too late. It
    /// is in the past if the last pass or the host has left work to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if unlikely(self.has_leftovers() || self.links.has_touched()) {
            return Some(self.last_pass);
        }
        self.first_deadline()
    }

    /// Returns whether a deadline of this engine or of the protocol has passed. It may be too early, but
    /// never too late.
    #[must_use]
    pub fn is_due(&self, now: Now) -> bool {
        self.first_deadline().is_some_and(|deadline| deadline <= now.instant)
    }

    fn first_deadline(&self) -> Option<Instant> {
        earlier(self.deadlines.next(), self.protocol.next_deadline())
    }

    /// Returns whether [`drain`](Self::drain) was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Returns whether [`drain`](Self::drain) was called and every connection is closed.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        unlikely(self.draining) && self.streams.is_empty()
    }

    /// Lets the host act on the protocol and its connections, for example to send text that a person has
    /// typed, and returns the result of `act`. The messages are written before this returns, as far as the
    /// peers read them. The next pass is due at once.
    pub fn act<R>(&mut self, now: Now, act: impl FnOnce(&mut P, &mut Links) -> R) -> R {
        let result = act(&mut self.protocol, &mut self.links);
        self.flush(now);
        self.at_once = true;
        result
    }

    /// Connects to `target`, and reconnects whenever that fails or the connection is lost, until
    /// [`hang_up`](Self::hang_up). Numbers count from 0, and the number of a connection that was hung up is
    /// used again. While draining, no attempt begins. The addresses of a name are asked for before each
    /// attempt, because they may change: see [`Event::Resolve`].
    pub fn connect(&mut self, now: Now, target: impl Into<Target>) -> DialId {
        self.dial_new(now, Dial::new(target.into(), None))
    }

    /// Connects as [`connect`](Self::connect) does, over wires that `wrap` makes, one for each attempt.
    pub fn connect_wrapped(&mut self, now: Now, target: impl Into<Target>, wrap: Wrap) -> DialId {
        self.dial_new(now, Dial::new(target.into(), Some(wrap)))
    }

    fn dial_new(&mut self, now: Now, dial: Dial) -> DialId {
        let at = self.dials.insert(dial);
        self.dial(now, at);
        DialId(at)
    }

    /// Sends an outbound connection to `target`, to which its server has redirected it. Once the connection
    /// is closed, the next attempt begins there without a pause. Later ones are made there as well until
    /// nothing answers, and then at the target of [`connect`](Self::connect) again.
    ///
    /// Returns `false` if the dial does not exist, and after 5 redirects in a row without a
    /// [confirmed](Links::confirm) connection. The next attempt is at the target of `connect` then, after a
    /// pause. A wrapped connection keeps its wire, so TLS expects the same name.
    pub fn redirect(&mut self, now: Now, dial: DialId, target: Target) -> bool {
        let Some(dialed) = self.dials.get_mut(dial.0) else { return false };
        if dialed.is_resolving {
            // Nothing waits for its addresses any more, so the next attempt there asks again.
            self.lookups.remove(dialed.aim());
        }
        let is_followed = dialed.redirect(target);
        if dialed.connection.is_none() && is_followed && !self.draining {
            (dialed.is_hurried, dialed.is_resolving) = (false, false);
            self.deadlines.set(Timer::Dial(dial.0), Some(now.instant));
        }
        is_followed
    }

    /// Uses `wrap` to upgrade the connections whose protocol asks for it with [`Links::upgrade`].
    pub fn offer_upgrade(&mut self, wrap: Wrap) {
        self.upgrade = Some(wrap);
        self.links.offer_upgrade();
    }

    /// Ends an outbound connection for good. The next one may get its number.
    pub fn hang_up(&mut self, dial: DialId) {
        let Some(dialed) = self.dials.try_remove(dial.0) else { return };
        self.deadlines.set(Timer::Dial(dial.0), None);
        if let Some(id) = dialed.connection {
            match self.links.phase(id) {
                // The protocol does not know of it and never will, even if it has been established by now.
                Some(Phase::Connecting | Phase::Securing) => {
                    self.discard(id);
                }
                _ => self.links.close(id),
            }
        }
    }

    /// Stops accepting and reconnecting, and lets the protocol finish its work.
    /// [`is_drained`](Self::is_drained) tells when that is done.
    pub fn drain(&mut self, now: Now) {
        if std::mem::replace(&mut self.draining, true) {
            return;
        }
        for (at, _) in &self.dials {
            self.deadlines.set(Timer::Dial(at), None);
        }
        let all: Vec<_> = self.streams.iter().map(|(id, _)| id).collect();
        for id in all {
            match self.links.phase(id) {
                Some(Phase::Connecting | Phase::Securing) => {
                    self.discard(id);
                }
                Some(Phase::Open | Phase::Closing) => self.hasten(now, id),
                Some(Phase::Lingering | Phase::Gone) | None => {}
            }
        }
        self.protocol.drain(now, &mut self.links);
        self.turn_away_backlog(now);
        self.at_once = true;
    }

    /// Handles a connection that has something to read and no other news, which is the usual case.
    #[inline(always)]
    pub fn handle_readable(&mut self, now: Now, id: ConnectionId) {
        self.read(now, id, self.buffer.len(), false);
        if likely(self.eager_left > 0) {
            self.eager_left -= 1;
            self.flush_touched(now);
        } else {
            self.relieve(now, id);
        }
    }

    /// Handles a connection that is ready. An event for one that no longer exists is counted and dropped.
    #[cold]
    pub fn handle_ready(&mut self, now: Now, id: ConnectionId, ready: Ready) {
        match self.links.phase(id) {
            Some(Phase::Connecting) => self.finish_connecting(now, id),
            Some(_) => {
                if ready.readable {
                    self.read_seldom(now, id, self.buffer.len(), ready.to_end);
                    self.relieve(now, id);
                }
                if ready.writable {
                    self.writable.push(id);
                }
            }
            None => self.counts.stale_events += 1,
        }
    }

    /// Notes that newcomers wait at the listener with the number `listener`. They are accepted later in the
    /// pass, after earlier input has been read. During a back-off this changes nothing.
    #[cold]
    pub fn handle_knock(&mut self, listener: usize) {
        let rests = self.deadlines.of(Timer::Listener(listener)).is_some();
        match self.listeners.get_mut(listener) {
            Some(listener) => {
                listener.ready |= !rests;
                self.at_once |= listener.ready;
            }
            None => self.counts.stale_events += 1,
        }
    }

    /// Tells the protocol that all records up to `upto` are durable. Call it first in a pass.
    pub fn handle_durable(&mut self, now: Now, upto: u64) {
        self.protocol.handle_durable(now, upto, &mut self.links);
        self.flush(now);
        while let Some(id) = self.links.take_let_go() {
            self.pause_or_resume(id);
        }
        self.at_once = true;
    }

    /// Returns the next record to be made durable. Call it after each pass until it returns `None`.
    pub fn poll_record(&mut self, now: Now) -> Option<Record> {
        self.protocol.poll_record(now)
    }

    /// Ends a pass: newcomers, deadlines, remaining writes, and slots that may be used again.
    ///
    /// # Errors
    ///
    /// Returns [`EventsPending`] if not all events of the last pass have been taken. Take them, and call it
    /// again.
    #[inline(always)]
    pub fn finish_batch(&mut self, now: Now) -> Result<(), EventsPending> {
        if unlikely(!self.events_taken) {
            return Err(EventsPending);
        }
        self.events_taken = false;
        self.last_pass = now.instant;
        self.eager_left = EAGER_EVENTS_MAX;
        let has_written = self.counts.bytes_out > self.silence_checks.asleep_at;
        if unlikely(self.has_leftovers() | !self.writable.is_empty() | has_written | self.is_due(now)) {
            self.do_chores(now);
        }
        if unlikely(self.links.has_touched()) {
            self.flush_rest(now);
        }
        self.protocol.handle_flushed(now, &mut self.links);
        if unlikely(self.links.has_touched()) {
            self.flush_rest(now);
        }
        if unlikely(self.links.rereads() > 0) {
            self.at_once = true;
        }
        if unlikely(self.links.has_logged()) {
            self.pace_log(now);
        }
        // The next pass reads the input that is left now.
        self.carried_over = self.unread.len();
        self.pass_budget = self.config.pass_read_bytes_max;
        if unlikely(!self.gone.is_empty()) {
            self.forget_gone();
        }
        Ok(())
    }

    /// Returns whether the last pass has left something to read, to give to the protocol again, or to accept.
    fn has_leftovers(&self) -> bool {
        // Without a branch between them, because every pass evaluates it twice.
        usize::from(self.at_once) | self.carried_over != 0
    }

    /// Does the work that few passes have, before anything is written.
    #[cold]
    fn do_chores(&mut self, now: Now) {
        if self.counts.bytes_out > self.silence_checks.asleep_at {
            self.silence_checks.asleep_at = u64::MAX;
            self.schedule_silence_check(now.instant);
        }
        self.reread(now);
        if self.carried_over > 0 {
            self.read_on(now);
        }
        if self.at_once {
            self.shake_hands(now);
            self.accept(now);
        }
        if !self.is_due(now) {
            self.expires_after = None;
        } else if self.has_read_what_came() {
            self.expire(now);
            self.reread(now);
        }
        self.unblock();
    }

    /// Logs, when it is due, how many lines about peers were left out.
    #[cold]
    fn pace_log(&mut self, now: Now) {
        let is_end = self.is_drained();
        let due = self.links.pace_log(now.instant, is_end);
        if self.deadlines.of(Timer::Log) != due {
            self.deadlines.set(Timer::Log, due);
        }
    }

    /// Writes what is queued, and carries out what the protocol has asked for.
    #[inline(always)]
    fn flush_touched(&mut self, now: Now) {
        while let Some(id) = self.links.next_touched() {
            let Some((link, spare)) = self.links.link_and_spare(id) else { continue };
            link.touched = false;
            let Some(socket) = self.streams.get_mut(id) else { continue };
            let unsent = link.queue.unsent();
            if unlikely(!link.is_plain() | unsent.is_empty()) {
                self.carry_out(now, id, None);
                continue;
            }
            match self.sockets.send(socket, unsent) {
                // Nearly always this was everything.
                Ok(count) if count == unsent.len() => {
                    self.counts.bytes_out += count as u64;
                    link.queue.clear(spare);
                }
                first => self.carry_out(now, id, Some(first)),
            }
        }
    }

    #[cold]
    fn flush_rest(&mut self, now: Now) {
        self.flush_touched(now);
    }

    /// Writes all that is queued, including the bytes for peers that have made room in this pass.
    #[cold]
    pub(super) fn flush(&mut self, now: Now) {
        self.unblock();
        self.flush_rest(now);
    }

    /// Flushes early when peers other than `speaker` have a lot queued, so that none of them is closed as a
    /// slow reader before it had a chance to read.
    #[cold]
    pub(crate) fn relieve(&mut self, now: Now, speaker: ConnectionId) {
        if self.links.wants_flush(speaker) {
            self.flush(now);
        }
    }

    #[cold]
    fn forget_gone(&mut self) {
        self.gone.drain(..).for_each(|id| self.links.remove(id));
    }

    /// Moves connections that can be written to again to the front of the order of writes.
    fn unblock(&mut self) {
        while let Some(id) = self.writable.pop() {
            if let Some(link) = self.links.present_mut(id) {
                link.flags.clear(Flags::BLOCKED);
                self.links.hurry(id);
            }
        }
    }

    /// Returns the next event for the host. Call it after each pass until it returns `None`.
    #[inline]
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

    #[cold]
    fn expire(&mut self, now: Now) {
        while let Some(timer) = self.deadlines.pop(now.instant) {
            match timer {
                Timer::Listener(slot) => {
                    if let Some(listener) = self.listeners.get_mut(slot) {
                        listener.ready = true;
                        self.at_once = true;
                    }
                }
                Timer::Dial(at) => self.dial_due(now, at),
                Timer::Connection(id) => self.out_of_time(now, id),
                // The end of the pass handles it.
                Timer::Log => {}
                Timer::SilenceCheck => self.check_silence(now),
                Timer::Ping => self.ping_all(now),
            }
        }
        if self.protocol.next_deadline().is_some_and(|deadline| deadline <= now.instant) {
            self.protocol.handle_timeout(now, &mut self.links);
        }
    }

    /// Queues an event after those that the protocol has reported before.
    pub(super) fn report(&mut self, event: Event<P::Event>) {
        while let Some(earlier) = self.protocol.poll_event() {
            self.events.push_back(Event::Protocol(earlier));
        }
        self.events.push_back(event);
    }
}

impl<P: Protocol, S: Sockets> fmt::Debug for Engine<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("config", &self.config)
            .field("connections", &self.streams.len())
            .field("draining", &self.draining)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}
