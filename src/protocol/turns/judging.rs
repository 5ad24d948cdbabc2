//! Judging: the host's verdicts on proposed answers, and answers that end without one.

use super::TurnEvent;
use super::line::No;
use super::moves::Accepted;
use super::outbox::Refused;
use super::proposal::{AfterTurn, Open, Proposal, Unruled, Verdict};
use super::server::{Session, TurnServer};
use crate::protocol::{ConnectionId, Links};
use crate::record::HOST_STATE_BYTES_MAX;
use crate::session::{Code, Fence};
use crate::table::{LastAnswer, Mark, SeatData};
use crate::time::Now;
use crate::turn::{HostError, Judging, SeatId, TurnNumber};

/// Judging.
impl TurnServer {
    /// Rules on an answer. Anything that the host says before, for example by
    /// [`say_to_ring`](Self::say_to_ring), arrives before the next `GO`.
    ///
    /// # Errors
    ///
    /// Returns [`HostError::NotJudged`] if the turn is over, and [`HostError::TooLarge`] if the state is too
    /// large. Otherwise `next` cannot be next, and the proposal is returned so that the host can rule again.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!("config.rules.judging = Judging::Host;")]
    /// server.handle_bytes(now, ann, b"ANSWER :120\n", &mut links);
    /// while let Some(event) = server.poll_event() {
    ///     let TurnEvent::Proposed(proposal) = event else { continue };
    ///     // Only numbers count. A number above 100 gives the same seat another turn.
    ///     let seat = proposal.seat();
    ///     let verdict = match proposal.answer().number() {
    ///         Some(number) => Verdict::Accept { next: (number > 100).then_some(seat), words: None, state: None },
    ///         None => Verdict::Refuse { words: "a number, please" },
    ///     };
    ///     server.rule(now, proposal, verdict, &mut links)?;
    /// }
    /// assert!(hears(&links, ann).ends_with("OK turn=1\nGO turn=2 within=30000\n"));
    /// # Ok(()) }
    /// ```
    pub fn rule(
        &mut self,
        now: Now,
        proposal: Proposal,
        verdict: Verdict<'_>,
        links: &mut Links,
    ) -> Result<(), Unruled> {
        let (seat, turn) = (proposal.seat(), proposal.turn());
        let is_open = self.proposals.get_mut(seat).is_some_and(|open| open.turn == turn);
        if !is_open {
            return Err(Unruled { error: HostError::NotJudged, proposal: None });
        }
        match verdict {
            Verdict::Accept { state: Some(state), .. } if state.len() > HOST_STATE_BYTES_MAX => {
                Err(Unruled { error: HostError::TooLarge, proposal: Some(proposal) })
            }
            Verdict::Accept { next, words, state } => self.accept(now, proposal, next, (words, state), links),
            Verdict::Refuse { words } => {
                if let Some(open) = self.proposals.take(seat) {
                    self.refuse_proposal(now, seat, open, (Code::Refused, Some(words)), links);
                }
                Ok(())
            }
        }
    }

    /// Returns whether the host decides if an answer of `seat` counts.
    #[inline]
    pub(super) fn is_judged(&self, seat: SeatId) -> bool {
        self.table.scheduler.rules(seat.ring()).is_some_and(|rules| rules.judging == Judging::Host)
    }

    /// Hands an answer to the host. `message` is the answer; from a raw client, it begins with a name of
    /// `name` bytes.
    pub(super) fn propose(
        &mut self,
        seat: SeatId,
        turn: TurnNumber,
        answer: &[u8],
        message: &[u8],
        name: usize,
    ) {
        self.ledger.counts.proposed += 1;
        let proposal = self.proposals.add(seat, turn, Mark::of(answer), message, name);
        self.ledger.report(TurnEvent::Proposed(proposal));
    }

    fn accept(
        &mut self,
        now: Now,
        proposal: Proposal,
        next: Option<SeatId>,
        (words, state): (Option<&str>, Option<&[u8]>),
        links: &mut Links,
    ) -> Result<(), Unruled> {
        let (seat, turn) = (proposal.seat(), proposal.turn());
        let judged = self.table.scheduler.judged(seat, turn);
        let moved = match judged.and_then(|judged| judged.accept(now.instant, next)) {
            Ok(moved) => moved,
            Err(error) => return Err(Unruled { error, proposal: Some(proposal) }),
        };
        let Some(open) = self.proposals.take(seat) else { return Ok(()) };
        if let Some(line) = self.table.scheduler.data_mut(seat).and_then(SeatData::line_identity_mut) {
            line.last = Some(LastAnswer { turn, mark: open.mark });
        } else if let Some(id) = self.table.scheduler.data(seat).and_then(|data| data.client)
            && let Some(Session::Raw(raw)) = self.sessions.get_mut(id)
        {
            raw.strikes = 0;
        }
        if let Some(state) = state {
            self.note_host_state(seat.ring(), state);
        }
        let (message, name) = proposal.message();
        let answer = Accepted { message, name, words, replies: open.replies };
        self.apply_move(now, moved, Some(answer), links);
        self.apply_after_turn(now, seat, open.after_turn, links);
        Ok(())
    }

    /// Refuses an answer: tells the holder why, and lets its clock continue.
    fn refuse_proposal(
        &mut self,
        now: Now,
        seat: SeatId,
        open: Open,
        (code, words): (Code, Option<&str>),
        links: &mut Links,
    ) {
        let Ok(judged) = self.table.scheduler.judged(seat, open.turn) else { return };
        let moved = judged.refuse(now.instant);
        let client = self.table.scheduler.data(seat).and_then(|data| data.client);
        if let Some(id) = client {
            self.tell_refused(now, id, seat, &open, (code, words), links);
        }
        self.apply_move(now, moved, None, links);
        if let Some(id) = client {
            self.strike(now, id, moved.ended.is_none(), links);
        }
        self.apply_after_turn(now, seat, open.after_turn, links);
    }

    /// Sends a raw client `GO` again if it still has the turn, or disconnects it after too many refusals.
    fn strike(&mut self, now: Now, id: ConnectionId, goes_on: bool, links: &mut Links) {
        match self.sessions.get(id) {
            Some(Session::Raw(_)) if goes_on => self.raw_strike(now, id, links),
            Some(Session::Raw(_)) => _ = self.raw_is_struck_out(now, id, links),
            _ => {}
        }
    }

    fn tell_refused(
        &mut self,
        now: Now,
        id: ConnectionId,
        seat: SeatId,
        open: &Open,
        (code, words): (Code, Option<&str>),
        links: &mut Links,
    ) {
        if !matches!(self.sessions.get(id), Some(Session::Line(_))) {
            return;
        }
        let turn = Some(open.turn.get());
        for _ in 0..open.replies {
            let words = words.map(Into::into);
            self.say_no(now, id, Refused { seat: Some(seat), code, turn, words }, links);
        }
    }

    /// Handles an answer that arrives while one is being judged: the same answer gets its own reply, any
    /// other is too late.
    #[cold]
    pub(super) fn line_answer_again(&mut self, seat: SeatId, fence: Fence, answer: &[u8]) -> Result<(), No> {
        let open = self.proposals.get_mut(seat).ok_or((Code::StaleTurn, None))?;
        let is_same = fence.turn.is_none_or(|turn| turn == open.turn.get()) && open.mark == Mark::of(answer);
        if !is_same || open.replies >= REPLIES_MAX {
            return Err((Code::StaleTurn, None));
        }
        open.replies += 1;
        Ok(())
    }

    /// Takes a step that was deferred until the turn of `seat` had moved on, for example because its
    /// client left while its answer was being judged.
    pub(super) fn apply_after_turn(
        &mut self,
        now: Now,
        seat: SeatId,
        after_turn: AfterTurn,
        links: &mut Links,
    ) {
        let id = self.table.scheduler.data(seat).and_then(|data| data.client);
        match after_turn {
            AfterTurn::Stay => {}
            AfterTurn::Rest => self.rest_on_trial(now, seat, links),
            AfterTurn::Leave => match id {
                Some(id) => self.line_left_for_good(now, id, seat, links),
                None => self.retire_seat(now, seat, links),
            },
            AfterTurn::Clear(words) => self.retire_with(now, seat, &words, links),
            AfterTurn::Remove => self.remove_now(now, seat, links),
        }
    }

    /// Refuses the answers whose proposals the host has dropped without a verdict.
    pub(super) fn refuse_dropped(&mut self, now: Now, links: &mut Links) {
        self.proposals.may_be_dropped = false;
        while let Some((seat, open)) = self.proposals.take_dropped() {
            self.note_not_judged(seat, open.turn, links);
            self.refuse_proposal(now, seat, open, (Code::NotJudged, None), links);
        }
        self.settle_due(now.instant);
    }

    /// Refuses an answer that is still being judged when the server stops.
    pub(super) fn refuse_unjudged(&mut self, now: Now, seat: SeatId, links: &mut Links) {
        if let Some(open) = self.proposals.take(seat) {
            self.note_not_judged(seat, open.turn, links);
            self.refuse_proposal(now, seat, open, (Code::NotJudged, None), links);
        }
    }

    /// Logs, counts and reports an answer that gets no verdict (M4).
    pub(super) fn note_not_judged(&mut self, seat: SeatId, turn: TurnNumber, links: &mut Links) {
        let nth = &mut self.ledger.counts.not_judged;
        *nth += 1;
        log_line!(
            links,
            Warn,
            "{seat}: the host gave no verdict on the answer to turn {turn} ({nth} so far)"
        );
        self.ledger.report(TurnEvent::NotJudged { seat, turn });
    }
}

/// The most replies that one connection can be owed for the same answer, sent again while it is judged.
const REPLIES_MAX: u32 = 64;
