//! The server side of the line protocol: requests and their replies.

use super::moves::Accepted;
use super::outbox::Refused;
use super::recording::say_now;
use super::server::{Session, TurnServer};
use crate::hint::{likely, unlikely};
use crate::protocol::{ConnectionId, Links};
use crate::session::line::{Confirm, LineSession, Role, Step};
use crate::session::undecided::HANDSHAKE;
use crate::session::{Bye, Code, Content, Extent, Fence, Reply, Request, Unreadable, is_foreign};
use crate::table::{AnswerOutcome, SeatData, code_of};
use crate::time::Now;
use crate::turn::{Outcome, Refusal, SeatId, TurnNumber};
use crate::wire::message::{Line, split_payload};

/// The refusal of a line: its code, and words that replace the code's own.
pub(super) type No = (Code, Option<&'static str>);

impl TurnServer {
    pub(super) fn line_opened(&mut self, now: Now, id: ConnectionId) {
        let session = LineSession::new(now.instant + self.config.hello_timeout);
        self.sessions.insert(id, Session::Line(Box::new(session)));
        self.open += 1;
        self.line_rearm(id);
    }

    /// Handles the messages in `bytes`. Returns how many bytes to discard.
    #[inline(always)]
    pub(super) fn line_bytes(
        &mut self,
        now: Now,
        id: ConnectionId,
        bytes: &[u8],
        links: &mut Links,
    ) -> usize {
        match self.line_whole_answer::<false>(now, id, bytes, links) {
            Some(used) => used,
            None => self.line_bytes_otherwise(now, id, bytes, links),
        }
    }

    #[inline(never)]
    fn line_bytes_otherwise(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        match self.line_whole_answer::<true>(now, id, bytes, links) {
            Some(used) => used,
            None => self.line_messages(now, id, bytes, links),
        }
    }

    /// Handles the usual case: one readiness, one answer, written as programs write it. `BY_GO`: of clients
    /// whose answers a `GO` confirms. All others pay nothing for those.
    #[inline(always)]
    fn line_whole_answer<const BY_GO: bool>(
        &mut self,
        now: Now,
        id: ConnectionId,
        bytes: &[u8],
        links: &mut Links,
    ) -> Option<usize> {
        if let Some(Session::Line(session)) = self.sessions.get(id)
            && (session.confirm != Confirm::AtOnce) == BY_GO
            && let Some(seat) = session.seat_at_rest()
            && bytes.len() <= self.limits.line_bytes_max
            && let Some((turn, answer)) = Request::whole_answer(bytes, &self.table.epoch_digits)
            && likely(links.may_go_on(id))
        {
            let fence = Fence { turn: Some(turn), epoch: Some(self.table.epoch) };
            if let Err(no) = self.line_answer::<BY_GO>(now, id, seat, fence, answer, links) {
                let line = std::str::from_utf8(bytes.trim_ascii_end()).unwrap_or_default();
                self.line_refuse(now, id, line, no, links);
            }
            return Some(bytes.len());
        }
        None
    }

    #[inline(never)]
    fn line_messages(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            let Some(session) = self.line(id) else { return bytes.len() };
            if unlikely(!links.may_go_on(id)) {
                self.line_pauses(id);
                return if links.is_open(id) { used } else { bytes.len() };
            }
            if unlikely(matches!(session.role, Role::Admitting(_)) && !rest.is_empty()) {
                return used + TurnServer::line_while_admitting(id, rest, links);
            }
            let session = match self.sessions.get_mut(id) {
                Some(Session::Line(session)) => session,
                _ => return bytes.len(),
            };
            if unlikely(!session.has_begun)
                && HANDSHAKE.starts_with(&rest[..rest.len().min(HANDSHAKE.len())])
                && links.can_upgrade(id)
            {
                if rest.len() < HANDSHAKE.len() {
                    break;
                }
                links.upgrade(id);
                return used;
            }
            match session.step(rest, &self.limits) {
                Step::Line(line) => match self.line_message(now, id, &line, &rest[line.used..], links) {
                    Some(payload) => used += line.used + payload,
                    None => break,
                },
                Step::Skipped(count) => used += count,
                Step::Incomplete if unlikely(!session.has_begun && is_foreign(rest, Extent::Begun)) => {
                    // The beginning of a TLS connection need not contain a line end.
                    self.turn_out(now, id, rest, links);
                    return bytes.len();
                }
                Step::Incomplete => break,
                Step::Broken(bye) => {
                    self.line_broken(now, id, bye, rest, links);
                    return bytes.len();
                }
            }
        }
        self.line_goes_on(now, id, bytes.len() - used, used > 0);
        used
    }

    /// Clears the message deadline, because the server reads nothing more until its replies are written.
    #[cold]
    fn line_pauses(&mut self, id: ConnectionId) {
        if let Some(session) = self.line(id)
            && session.goes_on_until.take().is_some()
        {
            self.line_rearm(id);
        }
    }

    /// Sets the deadline for more bytes of a message that has begun.
    fn line_goes_on(&mut self, now: Now, id: ConnectionId, left: usize, has_moved: bool) {
        let until = now.instant + self.config.line_timeout;
        let Some(session) = self.line(id) else { return };
        let before = session.goes_on_until;
        let is_payload = session.is_skipping();
        // More bytes do not extend the deadline of a line. They do extend that of a payload, which may not
        // pause for longer.
        let going_on = before.filter(|_| !has_moved && !is_payload);
        session.goes_on_until = (left > 0 || is_payload).then(|| going_on.unwrap_or(until));
        if unlikely(session.goes_on_until != before) {
            self.line_rearm(id);
        }
    }

    /// Handles one line. Returns the length of its payload, or `None` if that has not all arrived.
    #[inline]
    fn line_message(
        &mut self,
        now: Now,
        id: ConnectionId,
        line: &Line<'_>,
        after_line: &[u8],
        links: &mut Links,
    ) -> Option<usize> {
        let session = self.line(id)?;
        if unlikely(!std::mem::replace(&mut session.has_begun, true))
            && is_foreign(line.text.as_bytes(), Extent::Whole)
        {
            self.turn_out(now, id, line.text.as_bytes(), links);
            return Some(after_line.len());
        }
        let request = Request::parse(line.text);
        match line.payload {
            None => {
                self.line_request(now, id, line.text, request, None, links);
                Some(0)
            }
            Some(bytes) => self.line_payload(now, id, line.text, request, (bytes, after_line), links),
        }
    }

    /// Waits for the payload of an answer that may count. Skips any other payload without keeping it.
    #[cold]
    fn line_payload(
        &mut self,
        now: Now,
        id: ConnectionId,
        line: &str,
        request: Result<Request<'_>, Unreadable>,
        (bytes, after_line): (usize, &[u8]),
        links: &mut Links,
    ) -> Option<usize> {
        let refusal = match &request {
            Ok(Request::Answer { .. }) if bytes > self.config.answer_bytes_max => {
                Some((Code::TooLarge, None))
            }
            Ok(Request::Answer { fence, .. }) => self.line_may_answer(id, *fence, links).err(),
            _ => None,
        };
        let is_answer = matches!(request, Ok(Request::Answer { .. }));
        if refusal.is_some() || !is_answer {
            if let Some(session) = self.line(id) {
                session.skip(bytes);
            }
            match refusal {
                Some(no) => {
                    self.line_has_spoken(id);
                    self.line_refuse(now, id, line, no, links);
                }
                None => self.line_request(now, id, line, request, None, links),
            }
            return Some(0);
        }
        match split_payload(after_line, bytes) {
            Ok(Some((payload, used))) => {
                self.line_request(now, id, line, request, Some(payload), links);
                Some(used)
            }
            Ok(None) => {
                // Its deadline counts from its last byte.
                let until = now.instant + self.config.line_timeout;
                let session = self.line(id)?;
                session.goes_on_until = Some(until);
                self.line_rearm(id);
                None
            }
            Err(_) => {
                self.dismiss(now, id, Bye::Malformed, links);
                Some(after_line.len())
            }
        }
    }

    /// Returns whether an answer could count or be confirmed again. Otherwise its payload is not worth
    /// keeping.
    fn line_may_answer(&mut self, id: ConnectionId, fence: Fence, links: &Links) -> Result<(), No> {
        let seat = self.line(id).and_then(|session| session.seat()).ok_or((Code::NotJoined, None))?;
        if fence.epoch.is_some_and(|epoch| epoch != self.table.epoch) {
            return Err((Code::StaleTurn, None));
        }
        let open = self.proposals.get_mut(seat).map(|open| open.turn.get());
        let last = self.table.scheduler.data(seat).and_then(SeatData::last_accepted).map(TurnNumber::get);
        if fence.turn.is_some() && (fence.turn == last || fence.turn == open) {
            return Ok(());
        }
        self.line_heard_go(id, fence, links)?;
        match self.table.scheduler.holding(seat, fence.turn) {
            // It may repeat the answer that is being judged.
            Ok(_) | Err(Refusal::Judging) => Ok(()),
            Err(refusal) => Err((code_of(refusal), None)),
        }
    }

    /// Closes a connection whose input cannot be split into messages.
    #[cold]
    fn line_broken(&mut self, now: Now, id: ConnectionId, bye: Bye, bytes: &[u8], links: &mut Links) {
        let is_first = self.line(id).is_some_and(|session| !session.has_begun);
        if is_first && is_foreign(bytes, Extent::Begun) {
            return self.turn_out(now, id, bytes, links);
        }
        self.refuse(id, Code::Malformed, bytes, links);
        self.dismiss(now, id, bye, links);
    }

    /// Handles the end of a client's input. A line without an end may be cut short (`PASS turn=1` from `PASS
    /// turn=12`), so it is refused.
    pub(super) fn line_ended_input(&mut self, now: Now, id: ConnectionId, rest: &[u8], links: &mut Links) {
        if !rest.is_empty() && self.line(id).is_some() {
            let no = (Code::Malformed, Some("the line has no end"));
            self.line_refuse(now, id, "(a line without an end)", no, links);
        }
    }

    /// Carries out a request. The whole policy of the line protocol: the effect of each request, by the role
    /// of its connection.
    #[inline]
    fn line_request(
        &mut self,
        now: Now,
        id: ConnectionId,
        line: &str,
        request: Result<Request<'_>, Unreadable>,
        payload: Option<&[u8]>,
        links: &mut Links,
    ) {
        let request = match request {
            Ok(request) => request,
            Err(unreadable) => return self.line_unreadable(now, id, line, unreadable, links),
        };
        let seat = self.line_has_spoken(id);
        let refusal = match (request, seat) {
            (Request::Answer { fence, content }, Some(seat)) => {
                let answer = match (content, payload) {
                    (Content::Text(text), _) => text.as_bytes(),
                    (Content::Payload(_), payload) => payload.unwrap_or_default(),
                };
                self.line_answer::<true>(now, id, seat, fence, answer, links)
            }
            (Request::Ping, _) => {
                say_now(id, &Reply::Pong, links);
                Ok(())
            }
            (Request::Pass { turn }, Some(seat)) => self.line_pass(now, seat, turn, links),
            (Request::Renew { turn }, Some(seat)) => self.line_renew(now, id, seat, turn, links),
            (Request::Ask, Some(seat)) => {
                self.line_ask(now, id, seat, links);
                Ok(())
            }
            (Request::Rest, Some(seat)) => self.line_rest(now, id, seat, links),
            (request, _) => self.line_seldom(now, id, request, links),
        };
        if let Err(no) = refusal {
            self.line_refuse(now, id, line, no, links);
        }
    }

    /// Notes that the client on `id` has sent a valid line. Returns its seat.
    #[inline]
    fn line_has_spoken(&mut self, id: ConnectionId) -> Option<SeatId> {
        let session = self.line(id)?;
        let seat = session.seat()?;
        if unlikely(!std::mem::replace(&mut session.has_spoken, true)) {
            self.table.note_spoken(seat);
        }
        Some(seat)
    }

    /// Handles requests that a connection makes at most once, or may not make.
    #[cold]
    fn line_seldom(
        &mut self,
        now: Now,
        id: ConnectionId,
        request: Request<'_>,
        links: &mut Links,
    ) -> Result<(), No> {
        let Some(session) = self.line(id) else { return Ok(()) };
        match (&session.role, request) {
            (Role::Newcomer { .. }, Request::Join(join)) => return self.line_join(now, id, &join, links),
            (Role::Newcomer { .. }, Request::Watch { ring, token }) => {
                self.line_wants_to_watch(now, id, ring, token, links);
            }
            (_, Request::Join(_) | Request::Watch { .. }) => return Err((Code::AlreadyJoined, None)),
            (Role::Seated { seat, .. }, Request::Leave) => {
                let seat = *seat;
                self.line_leave(now, id, seat, links);
            }
            (Role::Hearing(_), Request::Leave) => self.dismiss(now, id, Bye::Left, links),
            _ => return Err((Code::NotJoined, None)),
        }
        Ok(())
    }

    /// Refuses a line that does not belong to the protocol. A second one closes a connection that has not
    /// joined (L6).
    #[cold]
    fn line_unreadable(
        &mut self,
        now: Now,
        id: ConnectionId,
        line: &str,
        unreadable: Unreadable,
        links: &mut Links,
    ) {
        let Unreadable { code, why, .. } = unreadable;
        let Some(session) = self.line(id) else { return };
        let has_not_joined = matches!(session.role, Role::Newcomer { .. });
        let is_malformed = code == Code::Malformed && has_not_joined;
        if is_malformed && std::mem::replace(&mut session.has_erred, true) {
            self.refuse(id, code, line.as_bytes(), links);
            let words = format!("{why}; this was the second malformed line");
            return self.say_goodbye(now, id, Bye::Malformed, None, Some(&words), links);
        }
        self.line_refuse(now, id, line, (code, Some(why)), links);
    }

    #[cold]
    pub(super) fn line_refuse(
        &mut self,
        now: Now,
        id: ConnectionId,
        line: &str,
        (code, words): No,
        links: &mut Links,
    ) {
        self.refuse(id, code, line.as_bytes(), links);
        let seat = self.line(id).and_then(|session| session.seat());
        let held = seat.and_then(|seat| self.time_left(now, seat));
        let turn = Request::turn_named(line).or(held.map(|(turn, _)| turn.get()));
        // While an answer is judged, there is no time to answer in.
        let seat = seat.filter(|_| code != Code::Judging);
        self.say_no(now, id, Refused { seat, code, turn, words: words.map(Into::into) }, links);
    }

    /// `BY_GO`: whether the next `GO` may confirm the answer.
    #[inline(always)]
    fn line_answer<const BY_GO: bool>(
        &mut self,
        now: Now,
        id: ConnectionId,
        seat: SeatId,
        fence: Fence,
        answer: &[u8],
        links: &mut Links,
    ) -> Result<(), No> {
        if unlikely(answer.len() > self.config.answer_bytes_max) {
            return Err((Code::TooLarge, None));
        }
        self.line_heard_go(id, fence, links)?;
        match self.table.answer(now.instant, seat, fence, answer) {
            Ok(AnswerOutcome::HandedOver(handed, next)) => {
                let is_left = self.apply_hand_over(now, handed, next, (answer, 0), links);
                if is_left && (!BY_GO || !self.line_owes(id, seat)) {
                    say_now(id, &Reply::Ok { turn: Some(handed.turn), words: None }, links);
                }
                Ok(())
            }
            Ok(AnswerOutcome::Accepted(moved)) => {
                let accepted = Accepted { message: answer, name: 0, words: None, replies: 1 };
                self.apply_move(now, moved, Some(accepted), links);
                Ok(())
            }
            Ok(AnswerOutcome::Proposed(turn)) => {
                self.propose(seat, turn, answer, answer, 0);
                Ok(())
            }
            Ok(AnswerOutcome::Repeated(turn)) => {
                self.ledger.counts.repeated += 1;
                if let Some(session) = self.line(id) {
                    session.settle();
                }
                self.say(id, &Reply::Ok { turn: Some(turn), words: None }, links);
                Ok(())
            }
            Err(Code::Judging) => self.line_answer_again(seat, fence, answer),
            Err(code) => Err((code, None)),
        }
    }

    /// Notes that an answer of `seat` counted and a `GO` is due. Returns whether that will confirm the answer
    /// (L14).
    #[inline(never)]
    fn line_owes(&mut self, id: ConnectionId, seat: SeatId) -> bool {
        self.table.scheduler.is_waiting(seat) && self.line(id).is_some_and(LineSession::owe)
    }

    /// L3: an answer without a complete fence counts only if it was read after its `GO` was written. Another
    /// life may have had a turn with the same number.
    #[inline]
    fn line_heard_go(&mut self, id: ConnectionId, fence: Fence, links: &Links) -> Result<(), No> {
        if likely(fence.turn.is_some() && fence.epoch.is_some()) {
            return Ok(());
        }
        let Some(session) = self.line(id) else { return Err((Code::NotYourTurn, None)) };
        let (go_mark, seat) = (session.go_mark, session.seat());
        if links.is_written(id, go_mark) {
            return Ok(());
        }
        let held = seat.and_then(|seat| self.table.scheduler.held_by(seat)).map(|held| held.turn.get());
        // The client can no longer end a turn that it does not hold, but it can be told again how it ended.
        if fence.turn.is_some() && fence.turn != held { Ok(()) } else { Err((Code::NotYourTurn, None)) }
    }

    fn line_pass(&mut self, now: Now, seat: SeatId, turn: Option<u64>, links: &mut Links) -> Result<(), No> {
        let holding = self.table.scheduler.holding(seat, turn).map_err(|refusal| (code_of(refusal), None))?;
        let moved = holding.end(now.instant, Outcome::Passed);
        self.apply_move(now, moved, None, links);
        Ok(())
    }

    /// Renews the holder's lease. While its answer is being judged, its clock stands still.
    fn line_renew(
        &mut self,
        now: Now,
        id: ConnectionId,
        seat: SeatId,
        turn: Option<u64>,
        links: &mut Links,
    ) -> Result<(), No> {
        match self.table.scheduler.holding(seat, turn).map(|holding| holding.renew(now.instant)) {
            Ok(Err(refusal)) => return Err((code_of(refusal), None)),
            Ok(Ok(_)) | Err(Refusal::Judging) => self.say_go(now, id, seat, links),
            Err(refusal) => return Err((code_of(refusal), None)),
        }
        Ok(())
    }

    fn line_ask(&mut self, now: Now, id: ConnectionId, seat: SeatId, links: &mut Links) {
        let moved = self.table.scheduler.ask(now.instant, seat);
        self.note_seat(seat);
        let is_granted = moved.granted.is_some_and(|granted| granted.seat == seat);
        if !is_granted {
            self.say_wait(id, seat, links);
        }
        self.apply_move(now, moved, None, links);
    }

    fn line_rest(&mut self, now: Now, id: ConnectionId, seat: SeatId, links: &mut Links) -> Result<(), No> {
        let moved =
            self.table.scheduler.rest(now.instant, seat).map_err(|refusal| (code_of(refusal), None))?;
        self.note_seat(seat);
        self.confirm(id, links);
        // This `OK` has no turn, so that an answer that crosses it on the way does not take it for its own
        // confirmation. It precedes the lines to hearers, and follows the next holder's `GO`, which is more
        // urgent.
        self.say(id, &Reply::Ok { turn: None, words: None }, links);
        self.rests = Some(seat);
        self.apply_move(now, moved, None, links);
        self.rests = None;
        Ok(())
    }

    pub(super) fn say_wait(&mut self, id: ConnectionId, seat: SeatId, links: &mut Links) {
        let scheduler = &self.table.scheduler;
        let needs = Some(scheduler.seats_missing(seat.ring())).filter(|&needs| needs > 0);
        let ahead = scheduler.ahead_of(seat);
        self.say(id, &Reply::Wait { ahead, needs }, links);
    }

    pub(super) fn line_timeout(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        let Some(Session::Line(session)) = self.sessions.get_mut(id) else { return };
        let is_begun = session.goes_on_until.is_some_and(|until| until <= now.instant);
        match session.deadline() {
            Some(until) if until <= now.instant => {
                self.dismiss(now, id, if is_begun { Bye::LineTimeout } else { Bye::HelloTimeout }, links);
            }
            _ => self.line_rearm(id),
        }
    }

    pub(super) fn line_rearm(&mut self, id: ConnectionId) {
        let Some(Session::Line(session)) = self.sessions.get_mut(id) else { return };
        let due = session.deadline();
        self.timers.set(&mut session.alarm, id, due);
    }

    pub(super) fn line_become(&mut self, id: ConnectionId, role: Role) {
        if let Some(session) = self.line(id) {
            session.role = role;
        }
        self.line_rearm(id);
    }

    /// Answers `PING` on a connection that waits for the host. Its other lines wait, too.
    #[cold]
    fn line_while_admitting(id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        let mut used = 0;
        for ping in [&b"PING\n"[..], b"PING\r\n"] {
            while bytes[used..].starts_with(ping) && links.may_go_on(id) {
                say_now(id, &Reply::Pong, links);
                used += ping.len();
            }
        }
        used
    }

    #[inline]
    pub(super) fn line(&mut self, id: ConnectionId) -> Option<&mut LineSession> {
        match self.sessions.get_mut(id)? {
            Session::Line(session) => Some(session),
            _ => None,
        }
    }
}
