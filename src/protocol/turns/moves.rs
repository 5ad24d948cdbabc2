//! Applies the scheduler's moves: clients are told about them in the promised order.

use log::{Level, info};

use super::TurnEvent;
use super::outbox::{Due, Refused};
use super::proposal::AfterTurn;
use super::recording::say_now;
use super::server::{Drain, Session, TurnServer};
use crate::hint::{likely, unlikely};
use crate::protocol::{ConnectionId, Links};
use crate::session::line::{Confirm, LineSession, UNMARKED};
use crate::session::raw::{GO, Signal, Trial};
use crate::session::{Code, How, Reply};
use crate::table::{NamedRingId, SeatData, SeatName, Table};
use crate::time::Now;
use crate::turn::{Ended, Expired, Grant, HandOver, HeldClock, Moved, Outcome, RingId, SeatId, TurnNumber};

/// An accepted answer, for hearers and the host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accepted<'a> {
    /// The answer; from a raw client, its whole message.
    pub(super) message: &'a [u8],
    /// The length of the name in front of a raw answer; 0 otherwise.
    pub(super) name: usize,
    pub(super) words: Option<&'a str>,
    /// The number of times the answer was sent on this connection; each copy gets a reply.
    pub(super) replies: u32,
}

impl<'a> Accepted<'a> {
    fn content(&self) -> &'a [u8] {
        match self.name {
            0 => self.message,
            name => self.message.get(name + 1..).unwrap_or_default(),
        }
    }
}

/// A move that is being applied.
#[derive(Clone, Copy)]
struct Step<'a> {
    moved: Moved,
    /// The answer that ended the turn, if there was one.
    answer: Option<Accepted<'a>>,
    /// Whether the next holder has been told already.
    is_told: bool,
    /// The data of the seat whose turn has ended, if that seat no longer exists.
    gone: Option<&'a SeatData>,
}

/// A raw client whose answer came too late for its last turn, and counts in its current one (T11).
pub(super) struct Late {
    id: ConnectionId,
    seat: SeatId,
    message: Box<[u8]>,
}

impl TurnServer {
    /// Applies the hand-over that an answer caused; `next` is the client of the next holder. Returns whether
    /// only the client that answered is left to be told, which is up to the caller. Nearly every turn takes
    /// this path; what does not fit it is left to [`apply_move`](Self::apply_move).
    #[inline(always)]
    pub(super) fn apply_hand_over(
        &mut self,
        now: Now,
        handed: HandOver,
        next: Option<ConnectionId>,
        (message, name): (&[u8], usize),
        links: &mut Links,
    ) -> bool {
        let HandOver { seat, turn, granted, lapses } = handed;
        let answer = || Accepted { message, name, words: None, replies: 1 };
        // T25: tell the next holder before anything else is written, if it can be told right now.
        match next.and_then(|id| Some((id, self.sessions.get_mut(id)?))) {
            Some((id, Session::Raw(raw))) if likely(raw.signal == Signal::Quiet && raw.extras.is_none()) => {
                raw.signal = Signal::Open;
                links.send_static_first(id, GO);
            }
            // If both turns belong to one connection, `OK` comes before the next `GO`.
            Some((id, Session::Line(line))) if granted.seat != seat => {
                let within = lapses.nanos_since(now.instant).as_millis();
                line.go_mark = if likely(line.confirm == Confirm::AtOnce) {
                    write_go(id, granted.turn, within, links)
                } else {
                    let last = last_to_tell(line, granted.seat, &self.table);
                    write_go_and_last(id, &Reply::Go { turn: granted.turn, within, last }, links)
                };
            }
            _ => {
                self.table.scheduler.unstart(now.instant, granted);
                self.apply_move(now, handed.moved(), Some(answer()), links);
                return false;
            }
        }
        if unlikely(self.table.named_rings.hearing > 0) || unlikely(self.drain != Drain::No) {
            self.finish_hand_over(now, handed.moved(), answer(), links);
            return false;
        }
        self.ledger.handed_over(seat, turn, message, name, granted);
        true
    }

    /// Applies the rest of a hand-over with hearers or during a drain. Its next holder has been told.
    #[cold]
    fn finish_hand_over(&mut self, now: Now, moved: Moved, answer: Accepted<'_>, links: &mut Links) {
        self.apply_step(now, Step { moved, answer: Some(answer), is_told: true, gone: None }, links);
        self.finish_drain(now, links);
    }

    /// Applies a move and everything that follows from it.
    pub(super) fn apply_move(
        &mut self,
        now: Now,
        moved: Moved,
        answer: Option<Accepted<'_>>,
        links: &mut Links,
    ) {
        self.apply_step(now, Step { moved, answer, is_told: false, gone: None }, links);
        self.finish_drain(now, links);
    }

    /// Applies the end of whatever has expired. The caller finishes a drain afterwards: that may retire the
    /// last seats of a ring, before which each seat that is gone must have been forgotten.
    pub(super) fn apply_expired(&mut self, now: Now, expired: Expired<SeatData>, links: &mut Links) {
        let Expired { moved, retired } = expired;
        self.apply_step(now, Step { moved, answer: None, is_told: false, gone: None }, links);
        if let Some((seat, data)) = retired {
            self.forget(now, seat, &data, links);
        }
    }

    /// Takes the steps that were deferred until these turns had ended and their clients had been told.
    #[cold]
    fn apply_deferred(&mut self, now: Now, links: &mut Links) {
        while let Some((seat, after_turn)) = self.deferred.pop() {
            self.apply_after_turn(now, seat, after_turn, links);
        }
    }

    /// L10: a connection that let its first `GO` lapse in silence does not count until it speaks.
    pub(super) fn rest_on_trial(&mut self, now: Now, seat: SeatId, links: &mut Links) {
        let moved = self.table.scheduler.vacate_at_once(now.instant, seat);
        self.report(TurnEvent::Away { seat });
        self.announce_seat(seat, links, |name| Reply::Away { name });
        self.apply_step(now, Step { moved, answer: None, is_told: false, gone: None }, links);
    }

    /// Applies a move, the late answers that count because of it, and what was deferred until its end.
    fn apply_step(&mut self, now: Now, step: Step<'_>, links: &mut Links) {
        if let Some(late) = self.tell_step(now, step, links) {
            self.apply_late_answer(now, late, links);
        }
        if unlikely(!self.deferred.is_empty()) {
            self.apply_deferred(now, links);
        }
    }

    /// Applies the late answer of a raw client that got the turn, and of each that gets it because of that.
    #[cold]
    pub(super) fn apply_late_answer(&mut self, now: Now, late: Late, links: &mut Links) {
        let mut next = Some(late);
        while let Some(Late { id, seat, message }) = next.take() {
            if let Some((moved, name)) = self.raw_take(now, id, seat, &message, links) {
                let answer = Some(Accepted { message: &message, name, words: None, replies: 1 });
                let step = Step { moved, answer, is_told: false, gone: None };
                next = self.tell_step(now, step, links);
            }
        }
    }

    /// T25: tells the next holder first, then the last holder, then the hearers. If both turns belong to one
    /// connection, `OK` comes before the next `GO`.
    fn tell_step(&mut self, now: Now, step: Step<'_>, links: &mut Links) -> Option<Late> {
        let Step { moved: Moved { ended, granted }, answer, is_told, gone } = step;
        self.note_moved(&Moved { ended, granted });
        let unanswered = ended.as_ref().and_then(|ended| self.note_ended(ended, answer.as_ref(), links));
        let has_same_seat = match (&ended, &granted) {
            (Some(ended), Some(granted)) => ended.seat == granted.seat,
            _ => false,
        };
        if let Some(ended) = ended.as_ref().filter(|_| unlikely(has_same_seat)) {
            self.tell_ended(ended, granted, answer.as_ref(), unanswered, links);
        }
        let late = match granted {
            Some(Grant { seat, turn }) if is_told => {
                self.ledger.report(TurnEvent::Granted { seat, turn });
                None
            }
            Some(granted) => self.grant(now, granted, links),
            None => None,
        };
        if let Some(ended) = &ended {
            if likely(!has_same_seat) {
                self.tell_ended(ended, granted, answer.as_ref(), unanswered, links);
            }
            if unlikely(granted.is_none()) {
                self.confirm_all(ended.seat.ring(), links);
            }
            self.announce_end(ended, answer.as_ref(), gone, links);
        }
        if let Some(granted) = &granted {
            self.announce_begin(now, granted, links);
        }
        late
    }

    /// Counts and reports the end of a turn. Returns the number of its answers that still need a reply.
    #[inline]
    fn note_ended(&mut self, ended: &Ended, answer: Option<&Accepted<'_>>, links: &mut Links) -> Option<u32> {
        match answer {
            Some(answer) => {
                self.report_accepted(ended, answer);
                None
            }
            None => self.note_skipped(ended, links),
        }
    }

    #[cold]
    fn note_skipped(&mut self, &Ended { seat, turn, outcome }: &Ended, links: &mut Links) -> Option<u32> {
        let how = how_of(outcome);
        if how == How::Lapsed && links.may_log(Level::Info) {
            let name = self.table.name_of(seat).to_string();
            info!("{seat} ({}) lapsed", name.as_bytes().escape_ascii());
        }
        let open = self.proposals.take(seat);
        if let Some(open) = &open {
            self.note_not_judged(seat, turn, links);
            if open.after_turn != AfterTurn::Stay {
                self.deferred.push((seat, open.after_turn.clone()));
            }
        }
        self.report(TurnEvent::Ended { seat, turn, how });
        open.map(|open| open.replies)
    }

    fn report_accepted(&mut self, ended: &Ended, answer: &Accepted<'_>) {
        let &Ended { seat, turn, .. } = ended;
        match &mut self.outbox {
            Some(outbox) => outbox.push_accepted(seat, turn, answer.message, answer.name),
            None => self.ledger.accepted(seat, turn, answer.message, answer.name),
        }
    }

    /// Tells the last holder how its turn ended.
    #[inline]
    fn tell_ended(
        &mut self,
        ended: &Ended,
        granted: Option<Grant>,
        answer: Option<&Accepted<'_>>,
        unanswered: Option<u32>,
        links: &mut Links,
    ) {
        let Some(id) = self.table.scheduler.data(ended.seat).and_then(|data| data.client) else { return };
        match self.sessions.get(id) {
            Some(Session::Line(_)) if self.rests != Some(ended.seat) => {
                let is_plain = answer.is_some_and(|answer| answer.words.is_none() && answer.replies == 1);
                if is_plain && self.owes(id, ended.seat, granted) {
                    return;
                }
                if answer.is_none() && !self.is_go_due(ended.seat, granted) {
                    // The turn may have ended before a `GO` told the client about it.
                    self.confirm(id, links);
                }
                self.tell_line(id, ended, answer, unanswered, links);
            }
            Some(Session::Raw(_)) if answer.is_none() => self.tell_raw(id, ended),
            _ => {}
        }
    }

    /// Tells a line client how its turn ended.
    #[inline]
    fn tell_line(
        &mut self,
        id: ConnectionId,
        ended: &Ended,
        answer: Option<&Accepted<'_>>,
        unanswered: Option<u32>,
        links: &mut Links,
    ) {
        let turn = ended.turn;
        if let Some(answer) = answer {
            for _ in 0..answer.replies {
                self.say(id, &Reply::Ok { turn: Some(turn), words: answer.words }, links);
            }
            return;
        }
        for _ in 0..unanswered.unwrap_or(0) {
            let no = Reply::No { code: Code::NotJudged, turn: Some(turn.get()), within: None, words: None };
            self.say(id, &no, links);
        }
        match ended.outcome {
            Outcome::Passed => self.say(id, &Reply::Ok { turn: Some(turn), words: None }, links),
            Outcome::Skipped => self.say(id, &Reply::Lapsed { turn, how: Some(How::Skipped) }, links),
            Outcome::Lapsed => self.say(id, &Reply::Lapsed { turn, how: None }, links),
            _ => {}
        }
    }

    /// L14: notes that the next `GO` will confirm an answer of `seat`. Returns `false` if its client did not
    /// ask for that, or if no `GO` is due: the seat rests, or no turn of its ring has begun.
    fn owes(&mut self, id: ConnectionId, seat: SeatId, granted: Option<Grant>) -> bool {
        self.is_go_due(seat, granted) && self.line(id).is_some_and(LineSession::owe)
    }

    fn is_go_due(&self, seat: SeatId, granted: Option<Grant>) -> bool {
        granted.is_some_and(|granted| granted.seat == seat || self.table.scheduler.is_waiting(seat))
    }

    /// L14: tells the client on `id` that its last answer counted, if no `GO` has told it and none may come.
    pub(super) fn confirm(&mut self, id: ConnectionId, links: &mut Links) {
        let Some(session) = self.line(id) else { return };
        let owed = session.settle().then(|| session.seat()).flatten();
        if let Some(turn) = owed.and_then(|seat| self.table.scheduler.data(seat)?.last_accepted()) {
            self.say(id, &Reply::Ok { turn: Some(turn), words: None }, links);
        }
    }

    /// L14: tells all clients of `ring` that wait for a `GO` to confirm an answer, if the ring has stopped.
    #[cold]
    fn confirm_all(&mut self, ring: RingId, links: &mut Links) {
        let scheduler = &self.table.scheduler;
        let has_stopped =
            scheduler.seats_missing(ring) > 0 || scheduler.is_paused(ring) || self.drain != Drain::No;
        if has_stopped {
            let clients: Vec<_> = scheduler.seats_of(ring).filter_map(|view| view.data.client).collect();
            clients.into_iter().for_each(|id| self.confirm(id, links));
        }
    }

    /// A raw client is not told that its turn has ended. A `GO` that was held back is dropped.
    #[cold]
    fn tell_raw(&mut self, id: ConnectionId, ended: &Ended) {
        let Some(Session::Raw(raw)) = self.sessions.get_mut(id) else { return };
        match raw.signal {
            Signal::HeldBack => raw.signal = Signal::Gap,
            // This is a port scanner, or a person who is thinking. It may still answer, but does not count
            // until then.
            Signal::Open if raw.trial == Trial::Silent && ended.outcome == Outcome::Lapsed => {
                raw.trial = Trial::Resting;
                self.deferred.push((ended.seat, AfterTurn::Rest));
            }
            _ => {}
        }
    }

    /// Tells the next holder that it may go, once its grant is durable.
    fn grant(&mut self, now: Now, Grant { seat, turn }: Grant, links: &mut Links) -> Option<Late> {
        self.report(TurnEvent::Granted { seat, turn });
        if let Some(outbox) = &mut self.outbox {
            outbox.push_grant(Grant { seat, turn });
            return None;
        }
        self.tell_granted(now, Grant { seat, turn }, links)
    }

    /// Like [`grant`](Self::grant), once nothing is left to be recorded.
    pub(super) fn tell_granted(
        &mut self,
        now: Now,
        Grant { seat, turn }: Grant,
        links: &mut Links,
    ) -> Option<Late> {
        let id = self.table.scheduler.data(seat)?.client?;
        match self.sessions.get_mut(id) {
            Some(Session::Raw(raw)) if likely(raw.signal == Signal::Quiet) => {
                raw.signal = Signal::Open;
                links.send_static_first(id, GO);
                self.table.scheduler.start(now.instant, seat, turn);
                if unlikely(raw.extras.is_some()) {
                    self.raw_gone(id, links);
                }
                None
            }
            Some(Session::Raw(_)) => self.grant_raw_extras(now, id, seat, turn),
            Some(Session::Line(_)) => {
                self.grant_line(now, id, seat, turn, links);
                None
            }
            _ => None,
        }
    }

    /// Grants a turn to a raw client that cannot be sent `GO` now.
    #[cold]
    pub(super) fn grant_raw_extras(
        &mut self,
        now: Now,
        id: ConnectionId,
        seat: SeatId,
        turn: TurnNumber,
    ) -> Option<Late> {
        let Some(Session::Raw(raw)) = self.sessions.get_mut(id) else { return None };
        match raw.signal {
            Signal::Gap | Signal::HeldBack | Signal::Quiet => {
                raw.signal = Signal::HeldBack;
                None
            }
            // T11: at most one GO is unanswered, so this turn begins without one.
            Signal::Open => {
                self.table.scheduler.start(now.instant, seat, turn);
                None
            }
            Signal::Answered => {
                self.table.scheduler.start(now.instant, seat, turn);
                let message = raw.extras.as_mut().and_then(|extras| extras.late.take());
                raw.signal = Signal::Quiet;
                self.raw_settle(id);
                message.map(|message| Late { id, seat, message })
            }
        }
    }

    /// Tells the holder about its turn, and starts the clock.
    pub(super) fn grant_line(
        &mut self,
        now: Now,
        id: ConnectionId,
        seat: SeatId,
        turn: TurnNumber,
        links: &mut Links,
    ) {
        self.table.scheduler.start(now.instant, seat, turn);
        if let Some(line) = self.line(id) {
            line.go_mark = UNMARKED;
        }
        self.say_go_now(now, id, seat, links);
        links.hurry(id);
    }

    /// Tells the client on `id` how much time its seat's turn has left at the moment of writing.
    pub(super) fn say_go(&mut self, now: Now, id: ConnectionId, seat: SeatId, links: &mut Links) {
        if self.time_left(now, seat).is_none() {
            return;
        }
        match &mut self.outbox {
            Some(outbox) if outbox.has_some_of(id) || !outbox.is_all_durable() => {
                outbox.push_of(id, Due::Go(id, seat), links);
            }
            _ => self.say_go_now(now, id, seat, links),
        }
    }

    pub(super) fn say_go_now(&mut self, now: Now, id: ConnectionId, seat: SeatId, links: &mut Links) {
        let Some((turn, within)) = self.time_left(now, seat) else { return };
        let last = match self.sessions.get_mut(id) {
            Some(Session::Line(line)) => last_to_tell(line, seat, &self.table),
            _ => None,
        };
        say_now(id, &Reply::Go { turn, within, last }, links);
        self.mark_go(id, links);
    }

    /// Notes that the client on `id` is told about its turn: by a `GO`, or after a resume by the refusal of
    /// the judged answer. Answers without a fence count only once the first of these is written (L3).
    fn mark_go(&mut self, id: ConnectionId, links: &mut Links) {
        if let Some(line) = self.line(id).filter(|line| line.go_mark == UNMARKED) {
            line.go_mark = links.mark(id);
        }
    }

    /// Refuses a line or an answer of the client on `id`. The reply gives the time that the turn has left at
    /// the moment of writing, if the client's seat holds the turn that the reply names.
    pub(super) fn say_no(&mut self, now: Now, id: ConnectionId, refused: Refused<'_>, links: &mut Links) {
        match &mut self.outbox {
            Some(outbox) if outbox.has_some_of(id) => outbox.push_of(id, Due::No(id, refused.kept()), links),
            _ => self.say_no_now(now, id, &refused, links),
        }
    }

    pub(super) fn say_no_now(
        &mut self,
        now: Now,
        id: ConnectionId,
        refused: &Refused<'_>,
        links: &mut Links,
    ) {
        let &Refused { seat, code, turn, ref words } = refused;
        let held = seat.and_then(|seat| self.time_left(now, seat));
        let within = held.filter(|(held, _)| Some(held.get()) == turn).map(|(_, within)| within);
        say_now(id, &Reply::No { code, turn, within, words: words.as_deref() }, links);
        if within.is_some() {
            self.mark_go(id, links);
        }
    }

    /// Returns the turn that `seat` holds and the time that it has left, in milliseconds.
    pub(super) fn time_left(&self, now: Now, seat: SeatId) -> Option<(TurnNumber, u64)> {
        let held = self.table.scheduler.held_by(seat)?;
        let left = match held.clock {
            HeldClock::Running { deadline } => deadline - now.instant,
            HeldClock::Stopped { left } | HeldClock::Judged { left, .. } => left,
            HeldClock::Unreleased => return None,
        };
        Some((held.turn, u64::try_from(left.as_millis()).unwrap_or(u64::MAX)))
    }

    #[inline]
    fn has_hearers(&self, seat: SeatId) -> Option<NamedRingId> {
        let named_ring = self.table.scheduler.data(seat)?.named_ring;
        (!self.table.named_rings.get(named_ring).hearers.is_empty()).then_some(named_ring)
    }

    fn announce_end(
        &mut self,
        ended: &Ended,
        answer: Option<&Accepted<'_>>,
        gone: Option<&SeatData>,
        links: &mut Links,
    ) {
        let &Ended { seat, turn, outcome } = ended;
        let Some(data) = gone.or_else(|| self.table.scheduler.data(seat)) else { return };
        let named_ring = data.named_ring;
        if likely(self.table.named_rings.get(named_ring).hearers.is_empty()) {
            return;
        }
        let name = SeatName { seat, name: data.name() }.to_string();
        let raw_name = answer.filter(|answer| answer.name > 0).and_then(|answer| {
            let name = std::str::from_utf8(&answer.message[..answer.name]).ok()?;
            name.parse::<crate::session::Name>().is_ok().then_some(name)
        });
        let reply = match answer {
            Some(answer) => Reply::Turn { name: &name, turn, raw_name, content: answer.content() },
            None => Reply::Skip { name: &name, turn, how: how_of(outcome) },
        };
        self.send_to_hearers(named_ring, &reply, links);
    }

    /// Tells the hearers of a ring about a turn whose holder has been told.
    pub(super) fn announce_begin(&mut self, now: Now, grant: &Grant, links: &mut Links) {
        let Some(named_ring) = self.has_hearers(grant.seat) else { return };
        if let Some(outbox) = self.outbox.as_mut().filter(|outbox| !outbox.is_all_durable()) {
            let hearers = self.table.named_rings.get(named_ring).hearers.as_slice();
            outbox.push(Due::Begin(*grant, hearers.into()));
            return;
        }
        let Some((turn, within)) = self.time_left(now, grant.seat).filter(|(turn, _)| *turn == grant.turn)
        else {
            return;
        };
        let name = self.table.name_of(grant.seat).to_string();
        self.send_to_hearers(named_ring, &Reply::Begin { name: &name, turn, within }, links);
    }

    /// Tells the hearers of its ring what happened to a seat.
    pub(super) fn announce_seat(
        &mut self,
        seat: SeatId,
        links: &mut Links,
        reply: impl for<'n> FnOnce(&'n str) -> Reply<'n>,
    ) {
        if let Some(named_ring) = self.has_hearers(seat) {
            let name = self.table.name_of(seat).to_string();
            self.send_to_hearers(named_ring, &reply(&name), links);
        }
    }

    /// Sends a line to everyone who hears a ring.
    pub(super) fn send_to_hearers(&mut self, named_ring: NamedRingId, reply: &Reply<'_>, links: &mut Links) {
        self.scratch.clear();
        reply.encode(&mut self.scratch);
        for &hearer in &self.table.named_rings.get(named_ring).hearers {
            match &mut self.outbox {
                Some(outbox) if outbox.holds(hearer, reply) => {
                    let bytes = self.scratch.as_slice().into();
                    outbox.push_of(hearer, Due::Line(hearer, bytes), links);
                }
                _ => links.send(hearer, &self.scratch),
            }
        }
    }

    /// Frees the name of a seat that is gone, and forgets its ring if it was the last one.
    pub(super) fn forget(&mut self, now: Now, seat: SeatId, data: &SeatData, links: &mut Links) {
        self.note_gone(seat, data);
        let name = SeatName { seat, name: data.name() }.to_string().into_boxed_str();
        if !self.table.named_rings.get(data.named_ring).hearers.is_empty() {
            self.send_to_hearers(data.named_ring, &Reply::Left { name: &name }, links);
        }
        self.table.forget(now.instant, seat, data);
        match &mut self.outbox {
            Some(outbox) => outbox.push_event(TurnEvent::Retired { seat, name }),
            None => self.ledger.retired(seat, name),
        }
    }

    /// Retires a seat, which also ends its turn.
    pub(super) fn retire_seat(&mut self, now: Now, seat: SeatId, links: &mut Links) {
        // The proposal of a seat that is gone can no longer be accepted.
        if let Some(id) = self.table.scheduler.data(seat).and_then(|data| data.client) {
            self.confirm(id, links);
        }
        if let Some((moved, data)) = self.table.scheduler.retire(now.instant, seat) {
            self.apply_step(now, Step { moved, answer: None, is_told: false, gone: Some(&data) }, links);
            self.forget(now, seat, &data, links);
            self.finish_drain(now, links);
        }
    }
}

/// Returns how a turn without an answer ended, in the words for clients and the host.
fn how_of(outcome: Outcome) -> How {
    match outcome {
        Outcome::Passed => How::Passed,
        Outcome::Skipped => How::Skipped,
        Outcome::Gone => How::Gone,
        _ => How::Lapsed,
    }
}

/// Returns the answer that the next `GO` confirms: the last one of `seat` that was accepted (L14).
#[inline]
fn last_to_tell(line: &mut LineSession, seat: SeatId, table: &Table) -> Option<TurnNumber> {
    if line.confirm == Confirm::AtOnce {
        return None;
    }
    line.settle();
    table.scheduler.data(seat).and_then(SeatData::last_accepted)
}

/// Returns the output mark after the `GO`.
#[inline(never)]
fn write_go(id: ConnectionId, turn: TurnNumber, within: u64, links: &mut Links) -> u64 {
    Reply::Go { turn, within, last: None }.encode(links.draft());
    links.hurry(id);
    links.send_draft(id);
    links.mark(id)
}

/// Like [`write_go`], which pays nothing for `last`.
#[inline(never)]
fn write_go_and_last(id: ConnectionId, go: &Reply<'_>, links: &mut Links) -> u64 {
    go.encode(links.draft());
    links.hurry(id);
    links.send_draft(id);
    links.mark(id)
}
