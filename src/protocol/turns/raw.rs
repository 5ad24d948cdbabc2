//! The raw framing, seen from the server: which messages count, and when `GO` may be sent.

use std::net::SocketAddr;

use super::carry::Accepted;
use super::server::{Drain, Session, TurnServer, log_closing};
use super::{DEFAULT_RING, TurnEvent};
use crate::hint::{likely, unlikely};
use crate::protocol::{ConnectionId, Links};
use crate::session::raw::{Extras, GO, RawAnswer, RawSession, Signal, Trial, WAIT};
use crate::session::undecided::Guess;
use crate::session::{Bye, Code, Extent, FirstWord, Reply, is_foreign};
use crate::table::{RawSeat, SeatData};
use crate::time::Now;
use crate::turn::{Grant, Held, HeldClock, Moved, Outcome, SeatId};
use crate::wire::{RawMessage, split_raw};

impl TurnServer {
    /// T1: a connection has a seat as soon as it is accepted.
    pub(super) fn raw_opened(&mut self, now: Now, id: ConnectionId, peer: SocketAddr, links: &mut Links) {
        match self.raw_seat(now, id, peer, links) {
            Ok(seated) => {
                self.open += 1;
                self.sessions.insert(id, Session::Raw(RawSession::new(seated.seat, Trial::Proven)));
                self.raw_seated(now, id, seated, links);
            }
            Err(bye) => self.turn_away(id, peer, bye, links),
        }
    }

    /// L12: the seat that a raw client of the same address left longest ago, or a new one.
    pub(super) fn raw_seat(
        &mut self,
        now: Now,
        id: ConnectionId,
        peer: SocketAddr,
        links: &mut Links,
    ) -> Result<RawSeat, Bye> {
        let ring = DEFAULT_RING.parse().expect("the default ring's name is valid");
        let address = peer.ip();
        if !self.table.has_left_by_raw(address) {
            self.vacate_silent(now, &ring, links);
        }
        let may_have_new = self.table.may_be_raw(&ring) && self.table.has_room_for(address, &ring);
        if may_have_new && !self.table.has_left_by_raw(address) {
            self.make_room(now, &ring, links);
        }
        self.table.seat_raw(now.instant, id, address, ring)
    }

    /// T4: a client that does not have the turn at once is told, once, that it waits.
    pub(super) fn raw_seated(&mut self, now: Now, id: ConnectionId, seated: RawSeat, links: &mut Links) {
        self.raw_has_seat(now, id, seated, links);
        if self.table.scheduler.held_by(seated.seat).is_none()
            && let Some(Session::Raw(raw)) = self.sessions.get_mut(id)
        {
            raw.signal = Signal::Gap;
            links.send_static(id, WAIT);
            self.waits.push(id);
        }
    }

    /// Tells the host and the hearers that a raw client has a seat, and the client of a turn that comes with
    /// it.
    fn raw_has_seat(&mut self, now: Now, id: ConnectionId, seated: RawSeat, links: &mut Links) {
        let RawSeat { seat, is_back, moved } = seated;
        self.note_seat(seat);
        self.report(TurnEvent::Seated { seat, connection: id });
        self.hear_of_seat(seat, links, |name| match is_back {
            true => Reply::Back { name },
            false => Reply::Joined { name, seat: seat.place() },
        });
        self.carry_out(now, moved, None, links);
        if moved.granted.is_none() {
            self.raw_keeps_turn(now, id, seat, links);
        }
    }

    /// M16: the client that had the seat before was lost while it held the turn, and this one holds it now.
    fn raw_keeps_turn(&mut self, now: Now, id: ConnectionId, seat: SeatId, links: &mut Links) {
        let Some(held) = self.table.scheduler.held_by(seat) else { return };
        let Some(Session::Raw(raw)) = self.sessions.get_mut(id) else { return };
        match (held.clock, raw.signal) {
            // The verdict goes first.
            (HeldClock::Judged { .. } | HeldClock::Unreleased, _) => {}
            (_, Signal::Answered) => {
                if let Some(late) = self.grant_raw_extras(now, id, seat, held.turn) {
                    self.carry_out_late(now, late, links);
                }
            }
            _ => self.raw_go(id, links),
        }
    }

    /// T5: the `WAIT`s of the last pass are written by `now`. That may be long after that pass began, if the
    /// process stood still meanwhile, and the gap behind them begins no sooner. Those whose gap is over may
    /// be told of their turn.
    #[inline]
    pub(super) fn raw_gaps(&mut self, now: Now, links: &mut Links) {
        if unlikely(self.waits_written > 0 || !self.gaps.is_empty()) {
            self.raw_end_gaps(now, links);
        }
    }

    #[cold]
    fn raw_end_gaps(&mut self, now: Now, links: &mut Links) {
        let until = now.instant + self.config.signal_gap;
        let written = std::mem::take(&mut self.waits_written);
        self.gaps.extend(self.waits.drain(..written).map(|id| (until, id)));
        while self.gaps.front().is_some_and(|&(until, _)| until <= now.instant) {
            let Some((_, id)) = self.gaps.pop_front() else { break };
            self.raw_end_gap(now, id, links);
        }
        self.settle_due(now.instant);
    }

    fn raw_end_gap(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        let Some(Session::Raw(raw)) = self.sessions.get_mut(id) else { return };
        let seat = raw.seat;
        match raw.signal {
            Signal::Gap => raw.signal = Signal::Quiet,
            Signal::HeldBack => {
                raw.signal = Signal::Quiet;
                if let Some(held) = self.table.scheduler.held_by(seat) {
                    self.table.scheduler.start(now.instant, seat, held.turn);
                    self.raw_go(id, links);
                    self.hear_begin(now, &Grant { seat, turn: held.turn }, links);
                }
            }
            Signal::Quiet | Signal::Open | Signal::Answered => {}
        }
    }

    // Input.

    /// Acts upon what one readiness brought, and what was left before; returns how many bytes are of no more
    /// use.
    #[inline(always)]
    pub(super) fn raw_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        let Some(Session::Raw(raw)) = self.sessions.get_mut(id) else { return bytes.len() };
        let is_plain =
            raw.signal == Signal::Open && raw.extras.is_none() && bytes.len() <= self.config.raw_bytes_max;
        if unlikely(!is_plain || !links.is_all_written(id)) {
            return self.raw_gather(now, id, bytes, links);
        }
        // Nearly always: one readiness, one answer, under the name that the last one had.
        let seat = raw.seat;
        if let Ok(mut holding) = self.table.scheduler.holding(seat, None)
            && likely(!holding.is_judged_by_host())
            && let Some(name) = holding.data().raw_name()
            && likely(RawAnswer::is_again(bytes, name))
        {
            let name = name.as_bytes().len();
            (raw.signal, raw.strikes) = (Signal::Quiet, 0);
            match holding.hand_over(now.instant) {
                Ok((handed, next)) => {
                    let next = next.client;
                    self.carry_on(now, handed, next, (bytes, name), links);
                }
                Err(moved) => {
                    let answer = Accepted { message: bytes, name, words: None, replies: 1 };
                    self.carry_out(now, moved, Some(answer), links);
                }
            }
            return bytes.len();
        }
        self.raw_other(now, id, bytes, links)
    }

    /// One readiness, and something else than another answer under the same name.
    #[cold]
    fn raw_other(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        let message = bytes.trim_ascii();
        let Some(Session::Raw(raw)) = self.sessions.get_mut(id) else { return bytes.len() };
        if raw.first_word.has_begun() || RawAnswer::read(message).is_none() {
            return self.raw_gather(now, id, bytes, links);
        }
        self.raw_answer(now, id, message, links);
        bytes.len()
    }

    /// Takes a well-formed answer to a `GO`: it counts now, is judged, or counts in the seat's next turn
    /// (T11).
    #[cold]
    fn raw_answer(&mut self, now: Now, id: ConnectionId, message: &[u8], links: &mut Links) {
        let Some(Session::Raw(raw)) = self.sessions.get_mut(id) else { return };
        let (seat, trial) = (raw.seat, std::mem::replace(&mut raw.trial, Trial::Proven));
        if self.table.scheduler.held_by(seat).is_none() {
            raw.signal = Signal::Answered;
            raw.extras().late = Some(message.into());
            if trial == Trial::Resting {
                self.raw_is_back(now, id, seat, links);
            }
            return;
        }
        if let Some((moved, name)) = self.raw_take(now, id, seat, message, links) {
            let answer = Accepted { message, name, words: None, replies: 1 };
            self.carry_out(now, moved, Some(answer), links);
        }
    }

    /// A client that had let its first `GO` lapse has sent something that is no answer: it may try again.
    fn raw_speaks(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        if let Some(Session::Raw(raw)) = self.sessions.get_mut(id)
            && raw.trial == Trial::Resting
        {
            raw.trial = Trial::Silent;
            let seat = raw.seat;
            self.raw_is_back(now, id, seat, links);
        }
    }

    /// A client that had let its first `GO` lapse has spoken: it counts again, in its old place if that is
    /// still there.
    fn raw_is_back(&mut self, now: Now, id: ConnectionId, seat: SeatId, links: &mut Links) {
        if self.table.scheduler.data(seat).is_some() {
            self.report(TurnEvent::Seated { seat, connection: id });
            self.hear_of_seat(seat, links, |name| Reply::Back { name });
            let moved = self.table.scheduler.occupy(now.instant, seat);
            self.note_seat(seat);
            return self.carry_out(now, moved, None, links);
        }
        let Some(peer) = links.peer(id) else { return };
        match self.raw_seat(now, id, peer, links) {
            Ok(seated) => {
                if let Some(Session::Raw(raw)) = self.sessions.get_mut(id) {
                    raw.seat = seated.seat;
                }
                self.raw_has_seat(now, id, seated, links);
            }
            Err(bye) => self.dismiss(now, id, bye, links),
        }
    }

    /// Counts the answer in the turn that its seat holds, or hands it to the host; returns the move, and the
    /// length of the name.
    #[cold]
    pub(super) fn raw_take(
        &mut self,
        now: Now,
        id: ConnectionId,
        seat: SeatId,
        message: &[u8],
        links: &mut Links,
    ) -> Option<(Moved, usize)> {
        let answer = RawAnswer::read(message)?;
        let name = answer.name.as_bytes().len();
        let is_judged = self.is_judged(seat);
        let Ok(mut holding) = self.table.scheduler.holding(seat, None) else {
            self.refuse(id, Code::NotYourTurn, message, links);
            return None;
        };
        holding.data().rename_raw(answer.name);
        if let Some(Session::Raw(raw)) = self.sessions.get_mut(id) {
            raw.signal = Signal::Quiet;
            raw.strikes = if is_judged { raw.strikes } else { 0 };
        }
        if is_judged {
            let turn = holding.turn();
            let _ = holding.judge(now.instant);
            self.propose(seat, turn, answer.number, message, name);
            return None;
        }
        Some((holding.end(now.instant, Outcome::Answered), name))
    }

    /// Takes bytes that may be a part of a message.
    #[cold]
    fn raw_gather(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        if let Some(used) = self.raw_turns_to_lines(now, id, bytes, links) {
            return used;
        }
        let early = self.raw_drop_early(id, bytes, links);
        let length_max = self.config.raw_bytes_max;
        let fresh = now.instant + self.config.gather_time;
        let Some(Session::Raw(raw)) = self.sessions.get_mut(id) else { return bytes.len() };
        let has_gone = raw.signal == Signal::Open && links.is_all_written(id);
        let extras = raw.extras();
        let bytes = &bytes[early..];
        let is_early = if extras.left == 0 { !has_gone } else { extras.is_early };
        let is_over = extras.gather_until.is_some_and(|until| until <= now.instant);
        let message = split_raw(bytes, length_max, is_over, RawAnswer::is_complete);
        if message == RawMessage::Partial {
            let gather_until = extras.gather_until.or(Some(fresh));
            (extras.left, extras.is_early, extras.gather_until) = (bytes.len(), is_early, gather_until);
            self.raw_settle(id);
            return early;
        }
        self.raw_forget(id);
        self.raw_says(id, bytes);
        self.raw_message(now, id, message, is_early, links);
        early + bytes.len()
    }

    /// L11: a client that was taken for a raw one, because it was silent, begins to speak lines: it gives its
    /// raw seat up.
    fn raw_turns_to_lines(
        &mut self,
        now: Now,
        id: ConnectionId,
        bytes: &[u8],
        links: &mut Links,
    ) -> Option<usize> {
        let Some(Session::Raw(raw)) = self.sessions.get_mut(id) else { return None };
        if raw.trial == Trial::Proven || !Guess::may_be_line(bytes) {
            return None;
        }
        if Guess::of(bytes, false) == Guess::Unknown {
            let fresh = now.instant + self.config.line_timeout;
            let has_gone = raw.signal == Signal::Open && links.is_all_written(id);
            let extras = raw.extras();
            if extras.gather_until.is_some_and(|until| until <= now.instant) {
                return None;
            }
            if extras.left == 0 {
                extras.is_early = !has_gone;
            }
            (extras.left, extras.gather_until) = (bytes.len(), extras.gather_until.or(Some(fresh)));
            self.raw_settle(id);
            return Some(0);
        }
        self.open -= 1;
        let session = std::mem::replace(self.sessions.get_mut(id)?, Session::Closing);
        if let Session::Raw(raw) = session {
            let seat = raw.seat;
            self.raw_drop_extras(id, raw, links);
            self.retire_seat(now, seat, links);
        }
        // So that the reply to its first line begins a line.
        links.send(id, b"\n");
        self.line_opened(now, id);
        if self.drain == Drain::Done {
            // Its turn was the last one that the drain waited for.
            self.dismiss(now, id, Bye::ShuttingDown, links);
            return Some(bytes.len());
        }
        Some(self.line_bytes(now, id, bytes, links))
    }

    /// No more bytes will join the message in `rest`.
    pub(super) fn raw_gathered(&mut self, now: Now, id: ConnectionId, rest: &[u8], links: &mut Links) {
        let is_early = self.raw_forget(id);
        let message = split_raw(rest, self.config.raw_bytes_max, true, |_| true);
        self.raw_says(id, rest);
        self.raw_message(now, id, message, is_early, links);
    }

    pub(super) fn raw_timeout(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        let Some(Session::Raw(RawSession { extras: Some(extras), .. })) = self.sessions.get_mut(id) else {
            return;
        };
        if extras.gather_until.is_some_and(|until| until <= now.instant) {
            // If input is left after that, the alarm is set again.
            return links.reread(id);
        }
        self.raw_settle(id);
    }

    /// Acts upon one message: the whole policy of the raw framing.
    fn raw_message(
        &mut self,
        now: Now,
        id: ConnectionId,
        message: RawMessage<'_>,
        is_early: bool,
        links: &mut Links,
    ) {
        if message == RawMessage::Nothing {
            return;
        }
        let Some(Session::Raw(raw)) = self.sessions.get_mut(id) else { return };
        let is_answered = self.table.scheduler.data(raw.seat).is_some_and(|data| data.raw_name().is_some());
        let is_answer =
            !matches!(message, RawMessage::TooLong(_)) && RawAnswer::read(message.bytes()).is_some();
        let has_gone = raw.signal == Signal::Open && !is_early;
        let extent = if is_answer { Extent::Whole } else { Extent::Cut };
        let is_request = raw.first_word == FirstWord::Method;
        if !is_answered && (is_request || is_foreign(message.bytes(), extent)) {
            return self.turn_out(now, id, message.bytes(), links);
        }
        match (has_gone, is_answer) {
            // T9: nothing counts that was said before its GO was written.
            (false, _) => self.refuse(id, Code::NotYourTurn, message.bytes(), links),
            (true, true) => self.raw_answer(now, id, message.bytes(), links),
            (true, false) => {
                self.refuse(id, Code::Malformed, message.bytes(), links);
                self.raw_strike(now, id, links);
                self.raw_speaks(now, id, links);
            }
        }
    }

    /// L6: notes how a client begins that has not answered yet. A name may look like a method of HTTP, but
    /// only in one piece with its number.
    fn raw_says(&mut self, id: ConnectionId, bytes: &[u8]) {
        if let Some(Session::Raw(raw)) = self.sessions.get_mut(id)
            && (raw.first_word.has_begun() || RawAnswer::read(bytes.trim_ascii()).is_none())
        {
            raw.first_word.take(bytes);
        }
    }

    /// T8: the holder has another try, unless it has had enough of them. A malformed answer that came too
    /// late closes its `GO`, so that the client, which waits for the next one, hears of its seat's next turn.
    pub(super) fn raw_strike(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        let Some(Session::Raw(raw)) = self.sessions.get_mut(id) else { return };
        raw.signal = Signal::Quiet;
        let seat = raw.seat;
        let is_told = |held: &Held| held.clock != HeldClock::Unreleased;
        if !self.raw_is_struck_out(now, id, links)
            && self.table.scheduler.held_by(seat).as_ref().is_some_and(is_told)
        {
            self.raw_go(id, links);
        }
    }

    /// Counts a strike; returns whether that was one too many, so that the connection is closed.
    pub(super) fn raw_is_struck_out(&mut self, now: Now, id: ConnectionId, links: &mut Links) -> bool {
        let strikes = self.config.strikes;
        let Some(Session::Raw(raw)) = self.sessions.get_mut(id) else { return true };
        raw.strikes = raw.strikes.saturating_add(1);
        if raw.strikes < strikes {
            return false;
        }
        if let Some(peer) = links.peer(id) {
            log_closing(peer, format_args!("{strikes} malformed or refused answers in a row"), links);
        }
        if self.release(now, id, links) {
            links.abort(id);
            self.finish_drain(now, links);
        }
        true
    }

    // Output.

    fn raw_go(&mut self, id: ConnectionId, links: &mut Links) {
        let Some(Session::Raw(raw)) = self.sessions.get_mut(id) else { return };
        raw.signal = Signal::Open;
        links.send_static_first(id, GO);
        if raw.extras.is_some() {
            self.raw_gone(id, links);
        }
    }

    /// A `GO` is on its way: input that came before it is given once more, to be dropped.
    #[cold]
    pub(super) fn raw_gone(&mut self, id: ConnectionId, links: &mut Links) {
        if let Some(Session::Raw(RawSession { extras: Some(extras), .. })) = self.sessions.get_mut(id)
            && extras.is_early
        {
            links.reread(id);
        }
        self.raw_settle(id);
    }

    /// T9: the beginning of a message that came before its `GO` does not count, and must not spoil the answer
    /// to it. Returns how many of `bytes` belong to that.
    fn raw_drop_early(&mut self, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        let Some(Session::Raw(raw)) = self.sessions.get_mut(id) else { return 0 };
        let has_go = raw.signal == Signal::Open;
        let early =
            raw.extras.as_deref().filter(|extras| has_go && extras.is_early).map_or(0, |extras| extras.left);
        let early = early.min(bytes.len());
        if early > 0 {
            self.raw_forget(id);
            self.raw_says(id, &bytes[..early]);
            self.refuse(id, Code::NotYourTurn, bytes[..early].trim_ascii(), links);
        }
        early
    }

    /// Forgets what was gathered; returns whether that began before its `GO`.
    fn raw_forget(&mut self, id: ConnectionId) -> bool {
        let Some(Session::Raw(RawSession { extras: Some(extras), .. })) = self.sessions.get_mut(id) else {
            return false;
        };
        let is_early = extras.is_early;
        (extras.left, extras.gather_until, extras.is_early) = (0, None, false);
        self.raw_settle(id);
        is_early
    }

    /// Arms the alarm of the extras, or drops them if they are idle.
    pub(super) fn raw_settle(&mut self, id: ConnectionId) {
        let Some(Session::Raw(raw)) = self.sessions.get_mut(id) else { return };
        let Some(extras) = &mut raw.extras else { return };
        self.timers.set(&mut extras.alarm, id, extras.gather_until);
        if extras.is_idle() {
            self.timers.remove(&mut extras.alarm, id);
            raw.extras = None;
        }
    }

    /// The connection is gone or dismissed.
    pub(super) fn raw_left(&mut self, now: Now, id: ConnectionId, raw: RawSession, links: &mut Links) {
        let (seat, trial) = (raw.seat, raw.trial);
        self.raw_drop_extras(id, raw, links);
        if trial == Trial::Resting && self.table.scheduler.data(seat).is_some_and(SeatData::is_raw) {
            // It never spoke, and its place is away already.
            return self.retire_seat(now, seat, links);
        }
        self.unseat(now, id, seat, links);
    }

    fn raw_drop_extras(&mut self, id: ConnectionId, raw: RawSession, links: &mut Links) {
        let Some(mut extras) = raw.extras else { return };
        self.timers.remove(&mut extras.alarm, id);
        // It was too late for its turn, and the connection goes before it could count in the next one.
        if let Extras { late: Some(message), .. } = *extras {
            self.refuse(id, Code::NotYourTurn, &message, links);
        }
    }
}
