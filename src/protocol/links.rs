//! The connections as a protocol sees them: what to write to each, and which to close.
//!
//! A protocol never sees a socket. It asks [`Links`] to send and to close, and the owner of the sockets (the
//! driver, or a simulation) carries that out. A request about a connection that is gone or about to go is
//! dropped. An id is not used again before 16 million others, so a request for one connection cannot reach
//! another.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io::Write as _;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use log::Level;
use slab::Slab;

use super::connection::{ConnectionId, GENERATION_MAX, Peer, Transport};
use super::link::{AbortReason, Comeback, Flags, Intent, Link, Phase, Queue, Spare};
use crate::capacity::growth;
use crate::hint::{likely, unlikely};
use crate::time::{Instant, LineBudget};
use crate::wire::SendBuffer;

/// Every open connection of a driver, as the protocol sees them.
#[derive(Debug)]
pub struct Links {
    links: Slab<Link>,
    /// Connections that come before those in `touched`, in the order in which they were hurried. It is nearly
    /// always emptied before anything is added, so pushing and popping is quicker than with a ring buffer.
    hurried: Vec<ConnectionId>,
    /// The number of entries of `hurried` that have been popped. It is emptied with the last one.
    popped: usize,
    /// The connections for which the protocol has asked for something, in the order in which it did.
    touched: VecDeque<ConnectionId>,
    /// Connections whose input will be given to the protocol again; see [`reread`](Self::reread).
    rereads: VecDeque<ConnectionId>,
    spare: Spare,
    /// See [`draft`](Self::draft).
    draft: Box<SendBuffer>,
    /// The lowest number that no byte of any queue has had.
    numbers: u64,
    /// The generation of the newest connection.
    generation: u32,
    out_bytes_max: usize,
    /// Whether enough is queued for some connections that it is time to write.
    pressure: Pressure,
    /// The transports of wrapped connections.
    transports: HashMap<ConnectionId, Transport>,
    upgrade: Upgrade,
    /// Bytes that a protocol keeps back for connections until a record is durable.
    held: HashMap<ConnectionId, usize>,
    /// Connections for which less is kept back now than makes them pause.
    let_go: Vec<ConnectionId>,
    log: LineBudget,
    /// The most severe level among the lines that the log's budget left out in this second.
    omitted: Level,
}

/// Queued bytes beyond which a peer is closed without having been offered them, in multiples of
/// `out_bytes_max`. A host that removes 1,000 clients at once queues 300 KiB for an observer, which is not
/// the observer's fault.
const HARD_FACTOR: usize = 16;

/// The default of [`DriverConfig::log_lines_max`](crate::engine::DriverConfig::log_lines_max).
pub const LOG_LINES_MAX: u32 = 100;

/// Whether it is time to write; see [`may_go_on`](Links::may_go_on).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pressure {
    None,
    One(ConnectionId),
    Several,
}

/// See [`Links::upgrade`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upgrade {
    No,
    Offered,
    Of(ConnectionId),
}

impl Links {
    /// Creates links without connections. The engine closes a peer that refuses bytes while more than
    /// `out_bytes_max` are queued for it. A peer with 16 times as many is closed at once, because nothing is
    /// written while a protocol keeps queueing.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::protocol::Links;
    ///
    /// let mut links = Links::new(128 * 1024);
    /// let id = links.open(([127, 0, 0, 1], 9).into());
    /// links.send(id, b"hello\n");
    /// assert_eq!(links.unsent(id), b"hello\n");
    /// ```
    #[must_use]
    pub fn new(out_bytes_max: usize) -> Links {
        Links {
            links: Slab::new(),
            hurried: Vec::new(),
            popped: 0,
            touched: VecDeque::new(),
            rereads: VecDeque::new(),
            spare: Spare::default(),
            draft: Box::default(),
            numbers: 0,
            generation: 0,
            out_bytes_max,
            pressure: Pressure::None,
            transports: HashMap::new(),
            upgrade: Upgrade::No,
            held: HashMap::new(),
            let_go: Vec::new(),
            log: LineBudget::new(LOG_LINES_MAX),
            omitted: Level::Trace,
        }
    }

    /// Sets how many log lines per second peers may cause; the default is [`LOG_LINES_MAX`].
    ///
    /// # Examples
    ///
    /// ```
    /// let mut links = taketurns::protocol::Links::new(128 * 1024).with_log_lines_max(0);
    /// assert!(!links.may_log(log::Level::Warn), "peers may cause no line at all");
    /// ```
    #[must_use]
    pub fn with_log_lines_max(self, per_second: u32) -> Links {
        Links { log: LineBudget::new(per_second), ..self }
    }
}

/// Requests of a protocol. Bytes for a connection that is gone or is being closed are dropped, so send last
/// words before [`close`](Self::close).
impl Links {
    /// Queues `bytes` for `id`.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// links.send(id, b"hello\n");
    /// assert_eq!(links.unsent(id), b"hello\n");
    /// ```
    #[inline]
    pub fn send(&mut self, id: ConnectionId, bytes: &[u8]) {
        let Links { links, touched, spare, numbers, out_bytes_max, pressure, .. } = self;
        let Some(link) = links.get_mut(id.slot as usize) else { return };
        if unlikely(!link.may_send(id) || bytes.is_empty()) {
            return;
        }
        touch(id, link, touched);
        // A message is always accepted into an empty queue, because it may be one long answer.
        let has_room = link.queue.is_empty();
        let buffer = link.queue.buffer(numbers, spare);
        buffer.queue(bytes);
        *numbers += bytes.len() as u64;
        let unsent = buffer.unsent().len();
        if unlikely(unsent > *out_bytes_max / 2) {
            *pressure = match *pressure {
                Pressure::None => Pressure::One(id),
                Pressure::One(other) if other == id => Pressure::One(id),
                _ => Pressure::Several,
            };
        }
        if unlikely(!has_room && unsent > out_bytes_max.saturating_mul(HARD_FACTOR)) {
            link.intent = Intent::Abort(AbortReason::SlowReader);
        }
    }

    /// Returns an empty buffer to write a message into, for [`send_draft`](Self::send_draft).
    #[inline]
    pub(crate) fn draft(&mut self) -> &mut Vec<u8> {
        debug_assert!(self.draft.bytes.is_empty(), "each draft is sent");
        &mut self.draft.bytes
    }

    /// Queues the [draft](Self::draft) for `id`, without a copy if nothing else is queued.
    #[inline]
    pub(crate) fn send_draft(&mut self, id: ConnectionId) {
        let draft = std::mem::replace(&mut self.draft, self.spare.take());
        match self.links.get_mut(id.slot as usize) {
            Some(link)
                if likely(
                    link.may_send(id)
                        && link.queue.is_empty()
                        && (1..=self.out_bytes_max / 2).contains(&draft.bytes.len()),
                ) =>
            {
                link.queue = Queue::of(draft, &mut self.numbers);
                touch(id, link, &mut self.touched);
            }
            _ => self.send_draft_behind(id, draft),
        }
    }

    #[cold]
    fn send_draft_behind(&mut self, id: ConnectionId, draft: Box<SendBuffer>) {
        self.send(id, &draft.bytes);
        self.spare.give(draft);
    }

    /// Queues `text` for `id` as [`send`](Self::send) does, without a copy if nothing else is queued.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// links.send_static(id, b"GO");
    /// assert_eq!(links.unsent(id), b"GO");
    /// ```
    #[inline]
    pub fn send_static(&mut self, id: ConnectionId, text: &'static [u8]) {
        match self.links.get_mut(id.slot()).filter(|link| link.may_send(id)) {
            Some(link) if link.queue.is_empty() => {
                link.queue = Queue::Constant(text);
                touch(id, link, &mut self.touched);
            }
            Some(_) => self.send(id, text),
            None => {}
        }
    }

    /// Combines [`send_static`](Self::send_static) and [`hurry`](Self::hurry).
    #[inline(always)]
    pub(crate) fn send_static_first(&mut self, id: ConnectionId, text: &'static [u8]) {
        match self.links.get_mut(id.slot as usize) {
            Some(link) if likely(link.may_send(id) && !link.touched && link.queue.unsent().is_empty()) => {
                link.queue = Queue::Constant(text);
                link.touched = true;
                self.hurried.push(id);
            }
            _ => self.send_behind_first(id, text),
        }
    }

    #[cold]
    fn send_behind_first(&mut self, id: ConnectionId, text: &'static [u8]) {
        self.send_static(id, text);
        self.hurry(id);
    }

    /// Queues `pieces` for `id`, in order, as one message.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// links.send_pieces(id, &[b"SAY ", b"hello", b"\n"]);
    /// assert_eq!(links.unsent(id), b"SAY hello\n");
    /// ```
    pub fn send_pieces(&mut self, id: ConnectionId, pieces: &[&[u8]]) {
        let draft = self.draft();
        pieces.iter().for_each(|piece| draft.extend_from_slice(piece));
        self.send_draft(id);
    }

    /// Queues formatted text for `id`, without an allocation of its own:
    /// `links.send_fmt(id, format_args!("OK {n}\n"))`.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// links.send_fmt(id, format_args!("OK {}\n", 5));
    /// assert_eq!(links.unsent(id), b"OK 5\n");
    /// ```
    #[expect(clippy::missing_panics_doc, reason = "a buffer in memory takes everything")]
    pub fn send_fmt(&mut self, id: ConnectionId, text: fmt::Arguments<'_>) {
        self.draft().write_fmt(text).expect("a buffer in memory takes everything");
        self.send_draft(id);
    }

    /// Moves `id` to the front: what is queued for it is written before what was requested for other
    /// connections earlier in this pass, except for those that were hurried before it.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// let first = links.open(([127, 0, 0, 1], 10).into());
    /// links.send(id, b"someone else is next\n");
    /// links.send(first, b"it is your turn\n");
    /// links.hurry(first);
    /// assert_eq!(links.take_touched(), Some(first));
    /// ```
    pub fn hurry(&mut self, id: ConnectionId) {
        if self.hurried.last().or(self.touched.front()) == Some(&id) {
            return;
        }
        if let Some(link) = self.link_mut(id) {
            link.touched = true;
            self.hurried.push(id);
        }
    }

    /// Closes `id` once everything queued is written and the peer has had `linger_timeout` (1 s) to read it.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// links.send(id, b"bye\n");
    /// links.close(id);
    /// links.send(id, b"too late\n");
    /// assert_eq!(links.unsent(id), b"bye\n");
    /// ```
    pub fn close(&mut self, id: ConnectionId) {
        if let Some(link) = self.open_link(id) {
            link.intent = Intent::Close;
            self.touch(id);
        }
    }

    /// Ends the output to `id`: once everything queued is written, its peer sees the end of the stream. Its
    /// input is still read.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// links.send(id, b"the last line\n");
    /// links.finish(id);
    /// assert!(links.is_open(id), "its peer may continue sending");
    /// ```
    pub fn finish(&mut self, id: ConnectionId) {
        if let Some(link) = self.open_link(id) {
            link.finished = true;
            self.touch(id);
        }
    }

    /// Closes `id` at once, even after [`close`](Self::close). Queued bytes are dropped.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// links.abort(id);
    /// assert!(!links.is_open(id));
    /// ```
    pub fn abort(&mut self, id: ConnectionId) {
        let link = self.link_mut(id).filter(|link| matches!(link.intent, Intent::Keep | Intent::Close));
        if let Some(link) = link {
            link.intent = Intent::Abort(AbortReason::Unwanted);
            self.touch(id);
        }
    }

    /// Returns whether to handle another message of `id` now. If not, a protocol returns from
    /// [`handle_bytes`](super::Protocol::handle_bytes) with the number of bytes that it has consumed. The
    /// reason is that `id` is closed or [congested](Self::is_congested), or that much has been queued for
    /// others, which is written first. The protocol gets the rest again as soon as there is room.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// assert!(links.may_go_on(id));
    /// links.send(id, &[b'x'; 100_000]);
    /// assert!(!links.may_go_on(id), "more than half of 128 KiB waits to be written");
    /// ```
    #[must_use]
    #[inline]
    pub fn may_go_on(&self, id: ConnectionId) -> bool {
        !self.wants_flush(id)
            && self.link(id).is_some_and(|link| {
                link.intent == Intent::Keep && link.queue.unsent().len() <= self.out_bytes_max / 2
            })
            && (likely(self.held.is_empty()) || !self.is_congested(id))
    }

    /// Returns whether more than half of `out_bytes_max` waits to be written to `id`. While it does, nothing
    /// is read from `id`, and a protocol handles no more of its input.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// links.send(id, &[b'x'; 100_000]);
    /// assert!(links.is_congested(id));
    /// ```
    #[must_use]
    pub fn is_congested(&self, id: ConnectionId) -> bool {
        self.unsent(id).len() + self.held.get(&id).copied().unwrap_or(0) > self.out_bytes_max / 2
    }

    /// Counts bytes that the protocol keeps back for `id` as if they were queued: a connection with too many
    /// of them is not read.
    pub(crate) fn hold(&mut self, id: ConnectionId, count: usize) {
        let held = self.held.entry(id).or_default();
        *held += count;
        if *held > self.out_bytes_max.saturating_mul(HARD_FACTOR) {
            if let Some(link) = self.open_link(id) {
                link.intent = Intent::Abort(AbortReason::SlowReader);
                self.touch(id);
            }
        } else if self.is_congested(id)
            && let Some(link) = self.open_link(id).filter(|link| link.phase == Phase::Open)
        {
            (link.paused, link.unread) = (true, true);
        }
    }

    /// Counts `count` bytes less as kept back for `id`.
    pub(crate) fn let_go(&mut self, id: ConnectionId, count: usize) {
        let Some(held) = self.held.get_mut(&id) else { return };
        *held = held.saturating_sub(count);
        if *held == 0 {
            self.held.remove(&id);
        }
        // Bytes that move from here to the queue count as congestion until they are written, which nothing
        // would report. So the engine looks at this connection afterwards.
        if self.let_go.last() != Some(&id) && self.link(id).is_some_and(|link| link.paused) {
            self.let_go.push(id);
        }
    }

    /// Counts nothing as kept back for `id` any more.
    pub(crate) fn let_all_go(&mut self, id: ConnectionId) {
        self.let_go(id, usize::MAX);
    }

    /// Returns the next connection that may become readable because less is kept back for it.
    pub(crate) fn take_let_go(&mut self) -> Option<ConnectionId> {
        self.let_go.pop()
    }

    /// Hands the unconsumed input of `id` to the protocol again, at the end of this pass or right after it.
    /// Use it when a time is over, for example that for gathering a message. Without unconsumed input,
    /// nothing happens.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// links.reread(id);
    /// assert_eq!(links.take_reread(), Some(id));
    /// ```
    pub fn reread(&mut self, id: ConnectionId) {
        self.rereads.push_back(id);
    }

    /// Returns whether the engine can [`upgrade`](Self::upgrade) `id`, which it can only once.
    #[must_use]
    pub fn can_upgrade(&self, id: ConnectionId) -> bool {
        self.upgrade != Upgrade::No && self.transport(id).is_none_or(|transport| !transport.is_web_socket)
    }

    /// Makes the engine treat the input of `id` as the handshake of another transport, such as WebSocket: all
    /// bytes of this call, of which the protocol must consume none. From then on the protocol is given the
    /// bytes carried by that transport. Call it only during [`handle_bytes`](super::Protocol::handle_bytes),
    /// and if the engine [can](Self::can_upgrade).
    pub fn upgrade(&mut self, id: ConnectionId) {
        if self.can_upgrade(id) {
            self.upgrade = Upgrade::Of(id);
        }
    }

    /// Returns the transport of `id`; `None` if the protocol's bytes are sent as they are.
    #[must_use]
    pub fn transport(&self, id: ConnectionId) -> Option<&Transport> {
        self.transports.get(&id)
    }

    /// Notes that the peer of the outbound connection `id` has answered in the protocol. If the connection is
    /// lost later, reconnecting starts with the shortest pause again.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// links.confirm(id);
    /// assert!(links.is_confirmed(id));
    /// ```
    pub fn confirm(&mut self, id: ConnectionId) {
        if let Some(link) = self.open_link(id).filter(|link| link.comeback == Comeback::Later) {
            link.comeback = Comeback::Soon;
        }
    }

    /// Confirms `id` like [`confirm`](Self::confirm), and reconnects without a pause if the connection is
    /// lost now. Use it for a peer that asked for another hello, and only once: otherwise both sides could be
    /// kept busy for ever.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// links.reconnect_at_once(id);
    /// assert!(links.is_confirmed(id));
    /// ```
    pub fn reconnect_at_once(&mut self, id: ConnectionId) {
        if let Some(link) = self.open_link(id) {
            link.comeback = Comeback::AtOnce;
        }
    }

    /// Returns a mark after everything that is queued for `id` now, for [`is_written`](Self::is_written). A
    /// mark of `u64::MAX` is never reached, and an unknown connection has that.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// links.send(id, b"your turn\n");
    /// let told = links.mark(id);
    /// assert!(!links.is_written(id, told));
    /// links.consume(id, 10);
    /// assert!(links.is_written(id, told));
    /// ```
    #[must_use]
    pub fn mark(&mut self, id: ConnectionId) -> u64 {
        let Links { links, spare, numbers, .. } = self;
        match links.get_mut(id.slot()).filter(|link| link.generation == id.generation) {
            Some(link) if link.queue.is_empty() => 0,
            Some(link) => link.queue.buffer(numbers, spare).queued(),
            None => u64::MAX,
        }
    }

    /// Returns whether everything queued before `mark` has been handed to the operating system.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// links.send(id, b"your turn\n");
    /// let told = links.mark(id);
    /// assert!(!links.is_written(id, told));
    /// ```
    #[must_use]
    pub fn is_written(&self, id: ConnectionId, mark: u64) -> bool {
        self.link(id).is_some_and(|link| match &link.queue {
            Queue::Buffer(buffer) => buffer.written() >= mark,
            // A queue with a mark has a buffer.
            Queue::Constant(_) => mark != u64::MAX,
        })
    }

    /// Returns whether a peer may cause a log line of `level` now. All peers together have one budget per
    /// second, because one peer may come back under many addresses. Lines beyond it are counted, and the
    /// engine logs once a second how many there were. A line that no logger wants costs nothing.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// if links.may_log(log::Level::Warn) {
    ///     log::warn!("{:?} said nothing that makes sense", links.peer(id));
    /// }
    /// ```
    #[cold]
    pub fn may_log(&mut self, level: Level) -> bool {
        if level > log::max_level() {
            return false;
        }
        let has_room = self.log.admit();
        if !has_room {
            self.omitted = self.omitted.min(level);
        }
        has_room
    }

    /// Returns the address of `id`.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// assert_eq!(links.peer(id), Some(([127, 0, 0, 1], 9).into()));
    /// ```
    #[must_use]
    pub fn peer(&self, id: ConnectionId) -> Option<SocketAddr> {
        self.link(id).map(|link| link.peer.addr())
    }

    /// Returns whether `id` exists, and its end was not requested.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// assert!(links.is_open(id));
    /// links.close(id);
    /// assert!(!links.is_open(id));
    /// ```
    #[must_use]
    #[inline]
    pub fn is_open(&self, id: ConnectionId) -> bool {
        self.link(id).is_some_and(|link| link.intent == Intent::Keep)
    }
}

/// Methods for the owner of the sockets: an [engine](crate::engine), or a test. A protocol, and a host that
/// acts through [`Driver::act`](crate::net::Driver::act), may look, such as at the [`unsent`](Self::unsent)
/// bytes. They must not open, remove, take or consume anything, because the driver would not notice.
impl Links {
    /// Opens a connection with `peer`. Its slot may be one that was [removed](Self::remove).
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// assert!(links.is_open(id) && links.len() == 1);
    /// ```
    #[expect(clippy::missing_panics_doc, reason = "2^32 connections do not fit a machine")]
    pub fn open(&mut self, peer: SocketAddr) -> ConnectionId {
        self.generation = self.generation % GENERATION_MAX + 1;
        let generation = NonZeroU32::new(self.generation).expect("it counts from 1");
        let link = Link::new(generation, Peer::from(peer));
        if self.links.len() == self.links.capacity() {
            self.links.reserve(growth::<Link>(self.links.len()));
        }
        let slot = u32::try_from(self.links.insert(link)).expect("fewer than 2^32 connections");
        ConnectionId { slot, generation }
    }

    /// Enables [`upgrade`](Self::upgrade).
    pub fn offer_upgrade(&mut self) {
        self.upgrade = Upgrade::Offered;
    }

    /// Returns whether [`upgrade`](Self::upgrade) was called for `id` since the last call of this.
    pub fn take_upgrade(&mut self, id: ConnectionId) -> bool {
        let wants = self.upgrade == Upgrade::Of(id);
        if wants {
            self.upgrade = Upgrade::Offered;
        }
        wants
    }

    /// Stores the transport that the handshake of `id` has established.
    pub fn set_transport(&mut self, id: ConnectionId, transport: Transport) {
        self.transports.insert(id, transport);
    }

    /// Forgets a connection. Its slot may be used again from now on.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// links.remove(id);
    /// assert!(links.is_empty());
    /// ```
    pub fn remove(&mut self, id: ConnectionId) {
        if let Some(link) = self.link(id) {
            if link.flags.any(Flags::WRAPPED) {
                self.transports.remove(&id);
            }
            self.held.remove(&id);
            self.links.remove(id.slot());
        }
    }

    /// Takes the next connection for which the protocol has requested something.
    pub fn take_touched(&mut self) -> Option<ConnectionId> {
        let id = self.next_touched()?;
        if let Some(link) = self.link_mut(id) {
            link.touched = false;
        }
        Some(id)
    }

    /// Takes a connection like [`take_touched`](Self::take_touched), but the link still counts as touched.
    #[inline(always)]
    pub(crate) fn next_touched(&mut self) -> Option<ConnectionId> {
        if let Some(&id) = self.hurried.get(self.popped) {
            self.popped += 1;
            if self.popped == self.hurried.len() {
                self.hurried.clear();
                self.popped = 0;
            }
            return Some(id);
        }
        let next = self.touched.pop_front();
        if next.is_none() {
            // Everything was taken for writing.
            self.pressure = Pressure::None;
        }
        next
    }

    /// Returns whether [`take_touched`](Self::take_touched) would return a connection.
    #[must_use]
    #[inline]
    pub fn has_touched(&self) -> bool {
        // Without a branch between them, because every pass evaluates it three times.
        self.hurried.len() | self.touched.len() != 0
    }

    /// Returns whether much has been queued for connections other than `speaker` since the last write. It is
    /// time to write then: a peer that reads must not be closed for bytes that it was never offered.
    #[inline]
    pub(crate) fn wants_flush(&self, speaker: ConnectionId) -> bool {
        self.pressure != Pressure::None && self.pressure != Pressure::One(speaker)
    }

    /// Returns how many times [`take_reread`](Self::take_reread) would return a connection.
    #[must_use]
    #[inline]
    pub fn rereads(&self) -> usize {
        self.rereads.len()
    }

    /// Returns whether [`pace_log`](Self::pace_log) has to be called at the end of the pass.
    #[must_use]
    #[inline]
    pub fn has_logged(&self) -> bool {
        self.log.is_used()
    }

    /// Renews the budget of [`may_log`](Self::may_log) when its second is over, or with `is_end` at once, and
    /// logs how many lines it left out. Returns when to call this again.
    pub fn pace_log(&mut self, now: Instant, is_end: bool) -> Option<Instant> {
        let omitted = if is_end { self.log.take_all_omitted() } else { self.log.take_omitted(now) };
        if omitted > 0 {
            let level = std::mem::replace(&mut self.omitted, Level::Trace);
            log::log!(level, "{omitted} more lines about peers are left out: too many within a second");
        }
        self.log.next_deadline(now)
    }

    /// Takes the next connection whose unconsumed input the protocol wants again.
    pub fn take_reread(&mut self) -> Option<ConnectionId> {
        self.rereads.pop_front()
    }

    /// Returns the bytes that are queued for `id` and not written yet.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// links.send(id, b"hello\n");
    /// assert_eq!(links.unsent(id), b"hello\n");
    /// ```
    #[must_use]
    #[inline]
    pub fn unsent(&self, id: ConnectionId) -> &[u8] {
        self.link(id).map_or(&[], |link| link.queue.unsent())
    }

    /// Returns whether everything queued for `id` is written, or it is gone.
    #[must_use]
    #[inline]
    pub(crate) fn is_all_written(&self, id: ConnectionId) -> bool {
        match self.links.get(id.slot as usize) {
            Some(link) => link.generation != id.generation || link.queue.unsent().is_empty(),
            None => true,
        }
    }

    /// Notes that the first `count` bytes of [`unsent`](Self::unsent) were written.
    ///
    /// # Panics
    ///
    /// Panics if there are fewer.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// links.send(id, b"hello\n");
    /// links.consume(id, 2);
    /// assert_eq!(links.unsent(id), b"llo\n");
    /// ```
    pub fn consume(&mut self, id: ConnectionId, count: usize) {
        let Links { links, spare, .. } = self;
        if let Some(link) = links.get_mut(id.slot()).filter(|link| link.generation == id.generation) {
            link.queue.consume(count, spare);
        }
    }

    /// Returns what the protocol intends for `id`.
    #[must_use]
    pub fn intent_of(&self, id: ConnectionId) -> Intent {
        self.link(id).map_or(Intent::Abort(AbortReason::Unwanted), |link| link.intent)
    }

    /// Returns whether [`finish`](Self::finish) was called for `id`.
    #[must_use]
    pub fn is_finished(&self, id: ConnectionId) -> bool {
        self.link(id).is_some_and(|link| link.finished)
    }

    /// Returns whether [`confirm`](Self::confirm) was called for `id`.
    #[must_use]
    pub fn is_confirmed(&self, id: ConnectionId) -> bool {
        self.link(id).is_some_and(|link| link.comeback != Comeback::Later)
    }

    /// Returns whether [`reconnect_at_once`](Self::reconnect_at_once) was called for `id`.
    #[must_use]
    pub(crate) fn comes_back_at_once(&self, id: ConnectionId) -> bool {
        self.link(id).is_some_and(|link| link.comeback == Comeback::AtOnce)
    }

    /// Returns whether `id` names a connection that exists.
    #[must_use]
    pub fn contains(&self, id: ConnectionId) -> bool {
        self.link(id).is_some()
    }

    /// Returns the number of connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Returns whether there is no connection.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    #[inline]
    fn link(&self, id: ConnectionId) -> Option<&Link> {
        self.links.get(id.slot()).filter(|link| link.generation == id.generation)
    }

    #[inline(always)]
    pub(crate) fn link_mut(&mut self, id: ConnectionId) -> Option<&mut Link> {
        match self.links.get_mut(id.slot as usize) {
            Some(link) if link.generation == id.generation => Some(link),
            _ => None,
        }
    }

    /// Returns a connection whose socket is still open.
    pub(crate) fn present_mut(&mut self, id: ConnectionId) -> Option<&mut Link> {
        self.link_mut(id).filter(|link| link.phase != Phase::Gone)
    }

    /// Returns the phase of `id`, unless its socket is closed.
    pub(crate) fn phase(&self, id: ConnectionId) -> Option<Phase> {
        self.link(id).map(|link| link.phase).filter(|&phase| phase != Phase::Gone)
    }

    /// Returns a connection together with the spare buffers, for writing its queue.
    #[inline(always)]
    pub(crate) fn link_and_spare(&mut self, id: ConnectionId) -> Option<(&mut Link, &mut Spare)> {
        match self.links.get_mut(id.slot as usize) {
            Some(link) if link.generation == id.generation => Some((link, &mut self.spare)),
            _ => None,
        }
    }

    fn open_link(&mut self, id: ConnectionId) -> Option<&mut Link> {
        self.link_mut(id).filter(|link| link.intent == Intent::Keep)
    }

    fn touch(&mut self, id: ConnectionId) {
        touch(id, &mut self.links[id.slot()], &mut self.touched);
    }
}

#[inline]
fn touch(id: ConnectionId, link: &mut Link, touched: &mut VecDeque<ConnectionId>) {
    if !std::mem::replace(&mut link.touched, true) {
        touched.push_back(id);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV6;

    use super::*;

    fn peer() -> SocketAddr {
        ([127, 0, 0, 1], 9).into()
    }

    #[test]
    fn marks_tell_what_has_been_written() {
        let mut links = Links::new(100);
        let id = links.open(peer());
        links.send(id, b"GO");
        let mark = links.mark(id);
        links.send(id, b"WAIT");
        links.consume(id, 1);
        assert!(!links.is_written(id, mark));
        links.consume(id, 2);
        assert!(links.is_written(id, mark));
        assert_eq!(links.unsent(id), b"AIT");
        links.consume(id, 3);
        assert_eq!(links.spare.len(), 1, "a connection with nothing to send keeps no buffer");
        links.send(id, b"GO");
        assert!(links.is_written(id, mark), "also when another buffer is in use");
        let behind = links.mark(id);
        assert!(!links.is_written(id, behind));
    }

    #[test]
    fn a_peer_is_remembered_to_the_last_field() {
        let mut links = Links::new(100);
        let scoped = SocketAddrV6::new("fe80::1".parse().expect("an address"), 5001, 7, 3);
        for peer in [peer(), scoped.into()] {
            let id = links.open(peer);
            assert_eq!(links.peer(id), Some(peer));
        }
    }

    #[test]
    fn requests_for_one_connection_never_act_on_another() {
        let mut links = Links::new(100);
        let old = links.open(peer());
        links.remove(old);
        let new = links.open(peer());
        assert_eq!(old.slot(), new.slot(), "the slot is used again");
        links.send(old, b"GO");
        links.close(old);
        links.remove(old);
        assert_eq!(links.unsent(new), b"");
        assert!(links.is_open(new));
        assert_eq!(links.take_touched(), None);
    }

    #[test]
    fn the_queue_of_a_peer_is_limited() {
        let mut links = Links::new(4);
        let id = links.open(peer());
        links.send(id, &[0; 60]);
        links.send(id, &[0; 4]);
        assert_eq!(links.intent_of(id), Intent::Keep);
        links.send(id, b"5");
        assert_eq!(links.intent_of(id), Intent::Abort(AbortReason::SlowReader));
        links.send(id, &[0; 1000]);
        assert_eq!(links.unsent(id).len(), 65, "nothing more is queued");
    }

    #[test]
    fn it_is_time_to_write_at_half_of_the_limit_of_a_peer() {
        let mut links = Links::new(8);
        let [a, b] = [(); 2].map(|()| links.open(peer()));
        links.send(a, b"1234");
        assert!(links.may_go_on(b) && links.may_go_on(a) && !links.is_congested(a));
        links.send(a, b"5");
        assert!(!links.wants_flush(a), "it has asked for all that itself");
        assert!(links.is_congested(a) && !links.may_go_on(a), "but has to read it first");
        assert!(links.wants_flush(b) && !links.may_go_on(b), "others are offered it first");
        while links.take_touched().is_some() {}
        assert!(links.may_go_on(b), "until it is written");
        links.send(a, b"6");
        links.send(b, b"12345");
        assert!(links.wants_flush(a) && links.wants_flush(b), "it is not the only one");
        links.close(b);
        while links.take_touched().is_some() {}
        links.consume(a, 6);
        assert!(links.may_go_on(a) && !links.may_go_on(b));
    }

    #[test]
    fn input_is_given_again_when_the_protocol_asks_for_it() {
        let mut links = Links::new(8);
        let id = links.open(peer());
        assert_eq!(links.rereads(), 0);
        links.reread(id);
        assert_eq!(links.rereads(), 1);
        assert_eq!([links.take_reread(), links.take_reread()], [Some(id), None]);
    }

    #[test]
    fn touched_connections_come_in_the_order_of_the_first_request() {
        let mut links = Links::new(100);
        let (a, b) = (links.open(peer()), links.open(peer()));
        links.send(b, b"GO");
        links.send(a, b"OK");
        links.send(b, b"more");
        assert_eq!(
            [links.take_touched(), links.take_touched(), links.take_touched()],
            [Some(b), Some(a), None]
        );
    }

    #[test]
    fn a_constant_is_copied_only_after_other_bytes() {
        let mut links = Links::new(100);
        let [a, b] = [(); 2].map(|()| links.open(peer()));
        links.send_static(a, b"WAIT");
        assert!(matches!(links.links[a.slot()].queue, Queue::Constant(b"WAIT")));
        links.send(b, b"OK");
        links.send_static(b, b"GO");
        assert_eq!((links.unsent(a), links.unsent(b)), (&b"WAIT"[..], &b"OKGO"[..]));
    }

    #[test]
    fn a_mark_in_an_empty_queue_leaves_it_empty() {
        let mut links = Links::new(100);
        let id = links.open(peer());
        let mark = links.mark(id);
        assert!(links.is_written(id, mark));
        assert!(links.links[id.slot()].queue.is_empty(), "an empty buffer would be written for ever");
    }

    #[test]
    fn connections_in_a_hurry_come_first_in_their_order() {
        let mut links = Links::new(100);
        let [a, b, c, gone] = [(); 4].map(|()| links.open(peer()));
        links.remove(gone);
        links.send(a, b"OK");
        links.hurry(b);
        links.hurry(gone);
        links.hurry(c);
        assert!(links.has_touched());
        assert_eq!([(); 4].map(|()| links.take_touched()), [Some(b), Some(c), Some(a), None]);
        assert!(!links.has_touched());
    }

    #[test]
    fn a_constant_may_come_first_whatever_else_was_asked() {
        let mut links = Links::new(100);
        let [a, b, gone] = [(); 3].map(|()| links.open(peer()));
        links.remove(gone);
        links.send(a, b"OK");
        for id in [b, gone, a] {
            links.send_static_first(id, b"GO");
        }
        assert_eq!((links.unsent(a), links.unsent(b)), (&b"OKGO"[..], &b"GO"[..]));
        assert!(!links.is_all_written(a) && links.is_all_written(gone));
        assert_eq!([links.take_touched(), links.take_touched()], [Some(b), Some(a)]);
    }

    #[test]
    fn a_request_lasts_as_long_as_its_connection() {
        let mut links = Links::new(100);
        assert!(links.is_empty());
        let [a, b] = [(); 2].map(|()| links.open(peer()));
        links.finish(a);
        links.confirm(a);
        links.send(a, b"GO");
        assert_eq!(links.unsent(a), b"", "it has nothing more to send");
        assert_eq!(
            [a, b].map(|id| (links.is_finished(id), links.is_confirmed(id))),
            [(true, true), (false, false)]
        );
        assert_eq!((links.take_touched(), links.len(), links.is_empty()), (Some(a), 2, false));
        links.remove(a);
        assert_eq!((links.contains(a), links.contains(b), links.len()), (false, true, 1));
        assert!(!links.is_finished(a) && !links.is_confirmed(a));
    }

    #[test]
    fn generations_fit_a_token_and_start_again() {
        let mut links = Links::new(100);
        links.generation = 0xff_fffe;
        let ids = [(); 2].map(|()| links.open(peer()));
        assert_eq!(ids.map(|id| id.generation.get()), [0xff_ffff, 1]);
    }
}
