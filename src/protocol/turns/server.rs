//! The turn server. It connects sessions (the state of each connection) with a table (the seats), and decides
//! the order in which they act.
//!
//! This file has the part that all connections share. The rules for holding the turn are in [`crate::turn`];
//! the rules for seats are in the table.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;

use super::access::Access;
use super::ledger::{Answer, AnswerId, Ledger};
use super::outbox::Outbox;
use super::proposal::{AfterTurn, Proposals};
use super::seating::address_of;
use super::{Framing, TurnConfigError, TurnCounts, TurnEvent, TurnServerConfig};
use crate::hint::unlikely;
use crate::protocol::{
    BuffersMin, CloseReason, ConnectionId, ConnectionMap, Entropy, Links, Origin, Protocol,
};
use crate::record::Record;
use crate::session::line::LineSession;
use crate::session::raw::RawSession;
use crate::session::undecided::Undecided;
use crate::session::{Bye, Code, Epoch, Name, Quoted, Redacted, Reply};
use crate::table::{SeatData, SeatName, Table};
use crate::time::{Alarm, Instant, Now, Timers, earlier};
use crate::turn::{RingId, Scheduler, SchedulerConfig, SeatId};
use crate::wire::message::Limits;

/// The server side of the turn protocol, without sockets: a [`Protocol`].
///
/// # Examples
///
/// ```
/// use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut config = TurnServerConfig::default();
/// config.rules.min_seats = 3;
/// // In a program the bytes come from the operating system: `taketurns::net::os_entropy()`.
/// let server = TurnServer::new(config, Box::new(|bytes| bytes.fill(7)))?;
/// assert_eq!(server.scheduler().seats(), 0);
/// # Ok(()) }
/// ```
pub struct TurnServer {
    pub(super) config: TurnServerConfig,
    pub(super) limits: Limits,
    pub(super) table: Table,
    pub(super) sessions: ConnectionMap<Session>,
    pub(super) timers: Timers<ConnectionId>,
    pub(super) ledger: Ledger,
    pub(super) proposals: Proposals,
    /// Raw newcomers that were told `WAIT` in this pass or the last one.
    pub(super) waits: Vec<ConnectionId>,
    /// The length of the part of `waits` that is from the last pass, so that their `WAIT` has been written.
    pub(super) waits_written: usize,
    /// Raw newcomers that must not be sent `GO` yet, and the end of their gaps.
    pub(super) gaps: VecDeque<(Instant, ConnectionId)>,
    /// When the server needs to be called, apart from the deadlines of its scheduler and timers.
    due: Option<Instant>,
    /// Connections that are not being closed.
    pub(super) open: usize,
    pub(super) drain: Drain,
    /// The seat whose `REST` is being applied. It gets the `OK` for that, and not the end of its turn.
    pub(super) rests: Option<SeatId>,
    /// Steps to take once all clients have been told about the end of a turn. Empty except while a move is
    /// applied.
    pub(super) deferred: Vec<(SeatId, AfterTurn)>,
    /// A buffer for one message to all hearers of a ring.
    pub(super) scratch: Vec<u8>,
    /// The access rules, if there are any.
    pub(super) access: Option<Box<Access>>,
    /// The replies that wait for a store; `None` without one.
    pub(super) outbox: Option<Box<Outbox>>,
}

/// A connection, by what it speaks.
#[derive(Debug)]
pub(super) enum Session {
    Raw(RawSession),
    Line(Box<LineSession>),
    /// It has not sent enough to tell.
    Undecided(Box<Undecided>),
    /// It has been sent its last message, and its input is ignored.
    Closing,
}

impl Session {
    fn alarm(&mut self) -> Option<&mut Alarm> {
        match self {
            Session::Raw(raw) => raw.extras.as_mut().map(|extras| &mut extras.alarm),
            Session::Line(line) => Some(&mut line.alarm),
            Session::Undecided(undecided) => Some(&mut undecided.alarm),
            Session::Closing => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drain {
    No,
    /// Holders may finish until this time.
    Until(Instant),
    Done,
}

impl TurnServer {
    /// Creates a server without clients. `entropy` provides the epoch, and the secrets with which seats are
    /// resumed.
    ///
    /// # Errors
    ///
    /// Returns [`TurnConfigError`] if limits contradict each other.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::protocol::turns::{Framing, TurnServer, TurnServerConfig};
    ///
    /// let mut config = TurnServerConfig::default();
    /// config.framing = Some(Framing::Line);
    /// # #[cfg(feature = "net")]
    /// let server = TurnServer::new(config, taketurns::os_entropy())?;
    /// # Ok::<(), taketurns::protocol::turns::TurnConfigError>(())
    /// ```
    pub fn new(config: TurnServerConfig, entropy: Entropy) -> Result<TurnServer, TurnConfigError> {
        config.check()?;
        let limits = SchedulerConfig {
            rules: config.rules.clone(),
            // Room for as many seats again that are away, so that a full house does not cost a client its
            // seat when it is away for a moment.
            max_seats: config.max_clients.saturating_mul(2),
            max_rings: config.max_rings,
        };
        let scheduler = Scheduler::new(limits)?;
        Ok(TurnServer {
            limits: Limits::for_answers(config.answer_bytes_max),
            table: Table::new(scheduler, config.max_per_address, entropy),
            config,
            sessions: ConnectionMap::default(),
            timers: Timers::default(),
            ledger: Ledger::default(),
            proposals: Proposals::default(),
            waits: Vec::new(),
            waits_written: 0,
            gaps: VecDeque::new(),
            due: None,
            open: 0,
            drain: Drain::No,
            rests: None,
            deferred: Vec::new(),
            scratch: Vec::new(),
            access: None,
            outbox: None,
        })
    }

    /// Returns the limits and times.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// assert_eq!(server.config().rules.turn_deadline, Duration::from_secs(30));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn config(&self) -> &TurnServerConfig {
        &self.config
    }

    /// Returns the scheduler, which knows the holders, the queues, and the bound of each wait.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// let ring = server.ring_named(&main).expect("Ann and Bob are in it");
    /// let scheduler = server.scheduler();
    /// assert_eq!(scheduler.held(ring).map(|held| held.turn.get()), Some(1));
    /// assert_eq!(scheduler.waiting_bound(ring), Some(Duration::from_secs(60)));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn scheduler(&self) -> &Scheduler<SeatData> {
        &self.table.scheduler
    }

    /// Returns the epoch, which distinguishes this life of the server from others. Together with a turn's
    /// number it fences the work of that turn.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// let fenced = format!("ANSWER turn=1 epoch={} :e2 e4\n", server.epoch());
    /// server.handle_bytes(now, ann, fenced.as_bytes(), &mut links);
    /// assert_eq!(server.counts().accepted, 1);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.table.epoch
    }

    /// Returns an accepted answer. Returns `None` once the host has taken the events of its pass and another
    /// pass has begun.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// server.handle_bytes(now, ann, b"ANSWER :e2 e4\n", &mut links);
    /// let accepted = std::iter::from_fn(|| server.poll_event()).find_map(|event| match event {
    ///     TurnEvent::Accepted { answer, .. } => Some(answer),
    ///     _ => None,
    /// });
    /// let answer = server.answer(accepted.expect("it counts")).expect("this pass continues");
    /// assert_eq!(answer.text(), Some("e2 e4"));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn answer(&self, id: AnswerId) -> Option<Answer<'_>> {
        self.ledger.answer(id)
    }

    /// Returns the ring with this name, if it exists.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// assert!(server.ring_named(&main).is_some());
    /// assert!(server.ring_named(&"other".parse()?).is_none());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn ring_named(&self, name: &Name) -> Option<RingId> {
        self.table.ring_named(name)
    }

    /// Returns the name of `ring`.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// let seat = server.seat_of(ann).expect("she has joined");
    /// assert_eq!(server.ring_name(seat.ring()), Some(&main));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn ring_name(&self, ring: RingId) -> Option<&Name> {
        self.table.ring_name(ring)
    }

    /// Returns the seat that joined as `name` in the ring `ring`, even if it is away.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// assert_eq!(server.seat_named(&main, &"bob".parse()?), server.seat_of(bob));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn seat_named(&self, ring: &Name, name: &Name) -> Option<SeatId> {
        self.table.seat_named(ring, name)
    }

    /// Returns the name of `seat` as hearers know it: the name under which it was joined, or `raw-<seat>`.
    /// The name of a retired seat is known until the host has taken the events of that pass.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// let seat = server.seat_of(bob).expect("he has joined");
    /// assert_eq!(server.name_of(seat).to_string(), "bob");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn name_of(&self, seat: SeatId) -> impl fmt::Display + '_ {
        let held = || self.outbox.as_ref().and_then(|outbox| outbox.name_of_retired(seat));
        let retired = self.ledger.name_of_retired(seat).or_else(held);
        retired.map_or(ShownName::Seat(self.table.name_of(seat)), ShownName::Retired)
    }

    /// Returns the seat of the client on connection `id`. Returns `None` for a client that has not joined,
    /// that watches, or whose connection is being closed. The way back is [`SeatData::connection`].
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// let seat = server.seat_of(ann).expect("she has joined");
    /// let data = server.scheduler().data(seat).expect("her seat");
    /// assert_eq!(data.connection(), Some(ann));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn seat_of(&self, id: ConnectionId) -> Option<SeatId> {
        match self.sessions.get(id)? {
            Session::Raw(raw) => self.table.scheduler.data(raw.seat).map(|_| raw.seat),
            Session::Line(line) => line.seat(),
            Session::Undecided(_) | Session::Closing => None,
        }
    }

    /// Returns running counts.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// server.handle_bytes(now, ann, b"ANSWER :e2 e4\n", &mut links);
    /// assert_eq!(server.counts().accepted, 1);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn counts(&self) -> TurnCounts {
        self.ledger.counts
    }

    /// Returns the number of inputs that were refused with `code`.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// server.handle_bytes(now, bob, b"ANSWER :me first\n", &mut links);
    /// assert_eq!(server.refused_as(Code::NotYourTurn), 1);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn refused_as(&self, code: Code) -> u64 {
        self.ledger.refused_as(code)
    }

    /// Returns the number of connected clients, without those that are being closed.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// assert_eq!(server.clients(), 2);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn clients(&self) -> usize {
        self.open
    }

    /// Logs, counts and reports refused bytes. It is up to the session to tell the client.
    pub(super) fn refuse(&mut self, id: ConnectionId, code: Code, bytes: &[u8], links: &mut Links) {
        let Some(peer) = links.peer(id).filter(|_| self.sessions.get(id).is_some()) else { return };
        log_line!(links, Warn, "{peer}: refused ({code}): {}", Quoted(bytes));
        self.ledger.refused(id, code);
    }

    /// Ends all business with a connection: its seat is away, it stops hearing rings, and its input is
    /// ignored. If it speaks lines, `bye` is the last thing that it is sent.
    pub(super) fn dismiss(&mut self, now: Now, id: ConnectionId, bye: Bye, links: &mut Links) {
        self.say_goodbye(now, id, bye, None, None, links);
    }

    pub(super) fn say_goodbye(
        &mut self,
        now: Now,
        id: ConnectionId,
        bye: Bye,
        at: Option<&str>,
        words: Option<&str>,
        links: &mut Links,
    ) {
        self.confirm(id, links);
        let speaks_lines = matches!(self.sessions.get(id), Some(Session::Line(_) | Session::Undecided(_)));
        if !self.release(now, id, links) {
            return;
        }
        if let Some(peer) = links.peer(id).filter(|_| bye != Bye::Left && bye != Bye::ShuttingDown) {
            let why = Redacted(words.unwrap_or(bye.words()).as_bytes());
            log_closing(peer, format_args!("{bye}: {why}"), links);
        }
        if speaks_lines {
            self.say(id, &Reply::Bye { code: bye, at, words }, links);
            self.close(id, links);
        } else {
            links.abort(id);
        }
        self.finish_drain(now, links);
    }

    fn dismiss_all(&mut self, now: Now, links: &mut Links) {
        for seat in self.proposals.seats() {
            self.refuse_unjudged(now, seat, links);
        }
        // Watchers come last, so that they hear how the turns of the others end.
        let is_watching = |session: &Session| matches!(session, Session::Line(line) if line.is_watching());
        let (last, first): (Vec<_>, Vec<_>) =
            self.sessions.iter().map(|(id, session)| (id, is_watching(session))).partition(|&(_, last)| last);
        for (id, _) in first.into_iter().chain(last) {
            self.dismiss(now, id, Bye::ShuttingDown, links);
        }
    }

    /// Releases everything that belongs to a connection. Returns `false` if that was done before.
    pub(super) fn release(&mut self, now: Now, id: ConnectionId, links: &mut Links) -> bool {
        let Some(session) = self.sessions.get_mut(id) else { return false };
        match std::mem::replace(session, Session::Closing) {
            Session::Closing => return false,
            Session::Raw(raw) => self.raw_left(now, id, raw, links),
            Session::Line(line) => self.line_left(now, id, *line, links),
            Session::Undecided(mut undecided) => self.timers.remove(&mut undecided.alarm, id),
        }
        self.open -= 1;
        if let Some(access) = &mut self.access {
            access.admitted.remove(&id);
        }
        true
    }

    /// Notes that the client on `id` is gone, if it had `seat`.
    pub(super) fn unseat(&mut self, now: Now, id: ConnectionId, seat: SeatId, links: &mut Links) {
        let data = self.table.scheduler.data(seat);
        if data.is_some_and(|data| data.client == Some(id)) {
            let moved = self.table.leave_place(now.instant, seat, address_of(id, links));
            self.report(TurnEvent::Away { seat });
            // While the server stops this is not news, and there may be many seats.
            if self.drain != Drain::Done {
                self.announce_seat(seat, links, |name| Reply::Away { name });
            }
            self.apply_move(now, moved, None, links);
            self.clock_starts_untold(now, seat);
        }
    }

    /// Turns a new connection away.
    pub(super) fn turn_away(&mut self, id: ConnectionId, peer: SocketAddr, bye: Bye, links: &mut Links) {
        self.ledger.counts.turned_away += 1;
        let nth = self.ledger.counts.turned_away;
        log_line!(
            links,
            Info,
            "{peer}: turned away ({bye}; {nth} so far), {} clients are connected",
            self.open
        );
        match self.config.framing {
            Some(Framing::Raw) => links.abort(id),
            Some(Framing::Line) | None => {
                self.say(id, &Reply::Bye { code: bye, at: None, words: None }, links);
                self.close(id, links);
            }
        }
    }

    /// L6: closes a connection that speaks another protocol, before anything that it sends counts.
    pub(super) fn turn_out(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) {
        self.refuse(id, Code::Malformed, bytes, links);
        self.dismiss(now, id, Bye::NotHere, links);
    }

    /// Ends the drain when no turn is held any more, or when its time is up.
    #[inline]
    pub(super) fn finish_drain(&mut self, now: Now, links: &mut Links) {
        if let Drain::Until(deadline) = self.drain {
            self.drain_until(now, deadline, links);
        }
    }

    #[cold]
    fn drain_until(&mut self, now: Now, deadline: Instant, links: &mut Links) {
        if now.instant >= deadline || self.table.scheduler.is_drained() {
            self.drain = Drain::Done;
            self.dismiss_all(now, links);
            self.wait_for_store(deadline);
            self.settle_due(now.instant);
        }
    }

    /// Recomputes `due`.
    #[cold]
    pub(super) fn settle_due(&mut self, now: Instant) {
        let drained = match self.drain {
            Drain::Until(deadline) => Some(deadline),
            Drain::No | Drain::Done => None,
        };
        let at_once = self.waits_written > 0 || self.proposals.may_be_dropped;
        let gap = self.gaps.front().map(|&(until, _)| until);
        let store = self.outbox.as_ref().and_then(|outbox| outbox.give_up_at);
        self.due = earlier(earlier(earlier(drained, gap), at_once.then_some(now)), store);
    }

    #[cold]
    fn note_flushed(&mut self, now: Now) {
        if std::mem::take(&mut self.proposals.are_new) || self.proposals.has_dropped() {
            // The host is about to get proposals. The next pass refuses those that it drops.
            self.proposals.may_be_dropped = true;
        }
        self.waits_written = self.waits.len();
        self.settle_due(now.instant);
    }

    fn expire_seats(&mut self, now: Now, links: &mut Links) {
        while let Some(expired) = self.table.scheduler.poll_expired(now.instant) {
            self.apply_expired(now, expired, links);
        }
        while let Some(ring) = self.table.scheduler.poll_missed() {
            self.note_ring(ring);
        }
        self.finish_drain(now, links);
    }
}

impl fmt::Debug for TurnServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnServer")
            .field("config", &self.config)
            .field("epoch", &self.table.epoch)
            .field("clients", &self.open)
            .field("seats", &self.table.scheduler.seats())
            .finish_non_exhaustive()
    }
}

/// Logs that the server closes a connection, and why.
pub(super) fn log_closing(peer: SocketAddr, why: fmt::Arguments<'_>, links: &mut Links) {
    log_line!(links, Info, "{peer}: closed ({why})");
}

impl Protocol for TurnServer {
    type Event = TurnEvent;

    fn handle_open(&mut self, now: Now, id: ConnectionId, peer: SocketAddr, _: Origin, links: &mut Links) {
        if self.drain != Drain::No {
            return self.turn_away(id, peer, Bye::ShuttingDown, links);
        }
        if self.open >= self.config.max_clients || self.outbox.as_ref().is_some_and(|outbox| outbox.is_full())
        {
            return self.turn_away(id, peer, Bye::Full, links);
        }
        match self.config.framing {
            _ if links.transport(id).is_some_and(|transport| transport.is_web_socket) => {
                self.line_opened(now, id);
            }
            Some(Framing::Raw) => self.raw_opened(now, id, peer, links),
            Some(Framing::Line) => self.line_opened(now, id),
            None => self.undecided_opened(now, id),
        }
    }

    // A function of its own, because its caller has no register left for it.
    #[inline(never)]
    fn handle_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        // Two comparisons are faster than a jump table.
        if let Some(Session::Raw(_)) = self.sessions.get_mut(id) {
            self.raw_bytes(now, id, bytes, links)
        } else if let Some(Session::Line(_)) = self.sessions.get_mut(id) {
            self.line_bytes(now, id, bytes, links)
        } else if let Some(Session::Undecided(_)) = self.sessions.get_mut(id) {
            self.undecided_bytes(now, id, bytes, links)
        } else {
            bytes.len()
        }
    }

    fn handle_end(&mut self, now: Now, id: ConnectionId, rest: &[u8], links: &mut Links) {
        if let Some(Session::Undecided(_)) = self.sessions.get(id) {
            self.undecided_ended(now, id, rest, links);
        }
        match self.sessions.get(id) {
            Some(Session::Raw(_)) => self.raw_gathered(now, id, rest, links),
            Some(Session::Line(_)) => self.line_ended_input(now, id, rest, links),
            Some(Session::Undecided(_) | Session::Closing) | None => {}
        }
        self.confirm(id, links);
        if self.release(now, id, links) {
            self.close(id, links);
            self.finish_drain(now, links);
        }
    }

    fn handle_closed(&mut self, now: Now, id: ConnectionId, _: CloseReason, links: &mut Links) {
        if self.release(now, id, links) {
            self.finish_drain(now, links);
        }
        self.sessions.remove(id);
        if let Some(outbox) = &mut self.outbox {
            outbox.forget(id);
        }
    }

    fn handle_timeout(&mut self, now: Now, links: &mut Links) {
        self.raw_gaps(now, links);
        self.expire_seats(now, links);
        while let Some(id) = self.sessions.next_due(now.instant, &mut self.timers, Session::alarm) {
            match self.sessions.get(id) {
                Some(Session::Raw(_)) => self.raw_timeout(now, id, links),
                Some(Session::Line(_)) => self.line_timeout(now, id, links),
                Some(Session::Undecided(_)) => self.undecided_timeout(now, id, links),
                Some(Session::Closing) | None => {}
            }
        }
        if self.proposals.may_be_dropped {
            self.refuse_dropped(now, links);
        }
        self.give_up_on_store(now, links);
    }

    #[inline]
    fn handle_flushed(&mut self, now: Now, _: &mut Links) {
        self.ledger.pass_ended();
        if unlikely(!self.waits.is_empty()) || unlikely(self.proposals.are_open()) {
            self.note_flushed(now);
        }
    }

    fn drain(&mut self, now: Now, links: &mut Links) {
        if self.drain == Drain::No {
            self.drain = Drain::Until(now.instant + self.config.drain_timeout);
            self.settle_due(now.instant);
            self.table.scheduler.drain();
            self.finish_drain(now, links);
        }
    }

    #[inline]
    fn next_deadline(&self) -> Option<Instant> {
        let due = earlier(self.table.scheduler.next_deadline(), self.timers.next());
        if unlikely(self.due.is_some()) { earlier(due, self.due) } else { due }
    }

    fn is_awaited(&self, id: ConnectionId) -> bool {
        match self.sessions.get(id) {
            Some(Session::Raw(raw)) => self.table.scheduler.held_by(raw.seat).is_some(),
            Some(Session::Line(line)) => {
                line.seat().is_some_and(|seat| self.table.scheduler.held_by(seat).is_some())
            }
            Some(Session::Undecided(_) | Session::Closing) | None => false,
        }
    }

    #[inline]
    fn poll_event(&mut self) -> Option<TurnEvent> {
        self.ledger.next_event()
    }

    fn poll_record(&mut self, now: Now) -> Option<Record> {
        self.next_record(now)
    }

    fn handle_durable(&mut self, now: Now, upto: u64, links: &mut Links) {
        self.release_durable(now, upto, links);
    }

    /// Leaves room for four answers to a slow reader, for example those of one round for a hearer.
    fn buffers_min(&self) -> BuffersMin {
        let message = self.config.answer_bytes_max.saturating_add(self.limits.line_bytes_max);
        BuffersMin {
            // The ends of the line and of the payload.
            in_bytes: message
                .saturating_add(3)
                .max(self.limits.hello_bytes_max + 2)
                .max(self.config.raw_bytes_max),
            out_bytes: message.saturating_mul(4),
        }
    }
}

/// The name of a seat, even if it has been retired.
enum ShownName<'a> {
    Seat(SeatName<'a>),
    Retired(&'a str),
}

impl fmt::Display for ShownName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShownName::Seat(name) => name.fmt(f),
            ShownName::Retired(name) => f.write_str(name),
        }
    }
}
