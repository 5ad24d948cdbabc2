//! The server side of the raw framing: which messages count, and when `GO` may be sent.

use std::net::SocketAddr;

use super::moves::Accepted;
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
    /// T1: a connection gets a seat as soon as it is accepted.
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

    /// L12: returns the seat that a raw client of the same address left longest ago, or a new one.
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

    /// T4: a client that does not get the turn at once is told, once, that it waits.
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

    /// Tells the host and the hearers that a raw client has a seat, and tells the client if it also has the
    /// turn.
    fn raw_has_seat(&mut self, now: Now, id: ConnectionId, seated: RawSeat, links: &mut Links) {
        let RawSeat { seat, is_back, moved } = seated;
        self.note_seat(seat);
        self.report(TurnEvent::Seated { seat, connection: id });
        self.announce_seat(seat, links, |name| match is_back {
            true => Reply::Back { name },
            false => Reply::Joined { name, seat: seat.place() },
        });
        self.apply_move(now, moved, None, links);
        if moved.granted.is_none() {
            self.raw_keeps_turn(now, id, seat, links);
        }
    }

    /// M16: the seat's previous client was lost while it held the turn, which this client holds now.
    fn raw_keeps_turn(&mut self, now: Now, id: ConnectionId, seat: SeatId, links: &mut Links) {
        let Some(held) = self.table.scheduler.held_by(seat) else { return };
        let Some(Session::Raw(raw)) = self.sessions.get_mut(id) else { return };
        match (held.clock, raw.signal) {
            // The verdict comes first.
            (HeldClock::Judged { .. } | HeldClock::Unreleased, _) => {}
            (_, Signal::Answered) => {
                if let Some(late) = self.grant_raw_extras(now, id, seat, held.turn) {
                    self.apply_late_answer(now, late, links);
                }
            }
            _ => self.raw_go(id, links),
        }
    }

    /// T5: the `WAIT`s of the last pass are certainly written by `now`, so their gaps begin here. The pass
    /// itself may have begun long ago if the process was suspended. Clients whose gap is over may be told
    /// about their turn.
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
                    self.announce_begin(now, &Grant { seat, turn: held.turn }, links);
                }
            }
            Signal::Quiet | Signal::Open | Signal::Answered => {}
        }
    }

    /// Handles the bytes of one readiness, together with any left over before. Returns how many of them to
    /// discard.
    #[inline(always)]
    pub(super) fn raw_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        let Some(Session::Raw(raw)) = self.sessions.get_mut(id) else { return bytes.len() };
        let is_plain =
            raw.signal == Signal::Open && raw.extras.is_none() && bytes.len() <= self.config.raw_bytes_max;
        if unlikely(!is_plain || !links.is_all_written(id)) {
            return self.raw_gather(now, id, bytes, links);
        }
        // The usual case: one readiness, one answer, under the same name as the last one.
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
                    self.apply_hand_over(now, handed, next, (bytes, name), links);
                }
                Err(moved) => {
                    let answer = Accepted { message: bytes, name, words: None, replies: 1 };
                    self.apply_move(now, moved, Some(answer), links);
                }
            }
            return bytes.len();
        }
        self.raw_other(now, id, bytes, links)
    }

    /// Handles a readiness that is not simply another answer under the same name.
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

    /// Handles a well-formed answer to a `GO`: it counts now, is judged, or counts in the seat's next turn
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
            self.apply_move(now, moved, Some(answer), links);
        }
    }

    /// Gives another try to a client that let its first `GO` lapse, and has now sent something other than an
    /// answer.
    fn raw_speaks(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        if let Some(Session::Raw(raw)) = self.sessions.get_mut(id)
            && raw.trial == Trial::Resting
        {
            raw.trial = Trial::Silent;
            let seat = raw.seat;
            self.raw_is_back(now, id, seat, links);
        }
    }

    /// Readmits a client that let its first `GO` lapse and has spoken now, in its old place if that still
    /// exists.
    fn raw_is_back(&mut self, now: Now, id: ConnectionId, seat: SeatId, links: &mut Links) {
        if self.table.scheduler.data(seat).is_some() {
            self.report(TurnEvent::Seated { seat, connection: id });
            self.announce_seat(seat, links, |name| Reply::Back { name });
            let moved = self.table.scheduler.occupy(now.instant, seat);
            self.note_seat(seat);
            return self.apply_move(now, moved, None, links);
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

    /// Counts the answer in the turn that its seat holds, or hands it to the host. Returns the move and the
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

    /// Gathers bytes that may be part of a message.
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

    /// L11: a client that was taken for a raw one because it was silent begins to speak lines, and gives up
    /// its raw seat.
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
        // The reply to its first line must begin a line.
        links.send(id, b"\n");
        self.line_opened(now, id);
        if self.drain == Drain::Done {
            // The drain was waiting for this turn only.
            self.dismiss(now, id, Bye::ShuttingDown, links);
            return Some(bytes.len());
        }
        Some(self.line_bytes(now, id, bytes, links))
    }

    /// Handles the message in `rest`, which will get no more bytes.
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

    /// Handles one message: the whole policy of the raw framing.
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
            // T9: a message that was sent before its GO was written does not count.
            (false, _) => self.refuse(id, Code::NotYourTurn, message.bytes(), links),
            (true, true) => self.raw_answer(now, id, message.bytes(), links),
            (true, false) => {
                self.refuse(id, Code::Malformed, message.bytes(), links);
                self.raw_strike(now, id, links);
                self.raw_speaks(now, id, links);
            }
        }
    }

    /// L6: notes the first bytes of a client that has not answered yet. A name may look like an HTTP method,
    /// but then its number arrives together with it.
    fn raw_says(&mut self, id: ConnectionId, bytes: &[u8]) {
        if let Some(Session::Raw(raw)) = self.sessions.get_mut(id)
            && (raw.first_word.has_begun() || RawAnswer::read(bytes.trim_ascii()).is_none())
        {
            raw.first_word.take(bytes);
        }
    }

    /// T8: gives the holder another try, unless it has used them up. A malformed answer that came too late
    /// uses up its `GO`, so the client, which waits for the next one, is told about its seat's next turn.
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

    /// Counts a strike. Returns whether it was one too many, in which case the connection is closed.
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

    fn raw_go(&mut self, id: ConnectionId, links: &mut Links) {
        let Some(Session::Raw(raw)) = self.sessions.get_mut(id) else { return };
        raw.signal = Signal::Open;
        links.send_static_first(id, GO);
        if raw.extras.is_some() {
            self.raw_gone(id, links);
        }
    }

    /// Re-reads and drops input that arrived before this `GO`.
    #[cold]
    pub(super) fn raw_gone(&mut self, id: ConnectionId, links: &mut Links) {
        if let Some(Session::Raw(RawSession { extras: Some(extras), .. })) = self.sessions.get_mut(id)
            && extras.is_early
        {
            links.reread(id);
        }
        self.raw_settle(id);
    }

    /// T9: drops the part of a message that arrived before its `GO`, so that it does not spoil the answer to
    /// it. Returns how many of `bytes` belong to it.
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

    /// Forgets gathered bytes. Returns whether they began before their `GO`.
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

    /// Cleans up after a raw connection that was closed or dismissed.
    pub(super) fn raw_left(&mut self, now: Now, id: ConnectionId, raw: RawSession, links: &mut Links) {
        let (seat, trial) = (raw.seat, raw.trial);
        self.raw_drop_extras(id, raw, links);
        if trial == Trial::Resting && self.table.scheduler.data(seat).is_some_and(SeatData::is_raw) {
            // It never spoke, so its seat is already away.
            return self.retire_seat(now, seat, links);
        }
        self.unseat(now, id, seat, links);
    }

    fn raw_drop_extras(&mut self, id: ConnectionId, raw: RawSession, links: &mut Links) {
        let Some(mut extras) = raw.extras else { return };
        self.timers.remove(&mut extras.alarm, id);
        // Its answer was too late for one turn, and the connection closes before it can count in the next.
        if let Extras { late: Some(message), .. } = *extras {
            self.refuse(id, Code::NotYourTurn, &message, links);
        }
    }
}
