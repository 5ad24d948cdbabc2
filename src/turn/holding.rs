//! The turn as an entry: found once, then ended, given more time, or handed to the host to judge.

use super::lease::TurnNumber;
use super::moved::{HostError, Moved, Outcome, Refusal};
use super::scheduler::Scheduler;
use super::seat::SeatId;
use crate::time::Instant;

/// The turn that a seat holds, and may act on. Made by [`Scheduler::holding`].
#[derive(Debug)]
pub struct Holding<'a, S> {
    pub(super) scheduler: &'a mut Scheduler<S>,
    pub(super) seat: SeatId,
    pub(super) turn: TurnNumber,
}

impl<S> Holding<'_, S> {
    /// Returns the turn's number.
    #[must_use]
    pub fn turn(&self) -> TurnNumber {
        self.turn
    }

    /// Returns the seat that holds it.
    #[must_use]
    pub fn seat(&self) -> SeatId {
        self.seat
    }

    /// Returns whether the host says if an answer counts.
    #[must_use]
    #[inline]
    pub fn is_judged_by_host(&self) -> bool {
        self.scheduler.rings[self.seat.ring_slot as usize].terms.judging > crate::time::Nanos::ZERO
    }

    /// Returns what is kept with the seat.
    #[must_use]
    pub fn data(&mut self) -> &mut S {
        let ring = &mut self.scheduler.rings[self.seat.ring_slot as usize];
        &mut ring.seats[self.seat.slot as usize].data
    }

    /// Ends the turn, and moves on to the next.
    #[inline]
    pub fn end(self, now: Instant, outcome: Outcome) -> Moved {
        self.scheduler.rings[self.seat.ring_slot as usize].end(now, outcome)
    }

    /// Sets the time that the holder may be silent anew, never beyond what the turn may last in all. Returns when it
    /// lapses now, or `None` while the ring is paused.
    ///
    /// # Errors
    ///
    /// [`Refusal::HoldMax`], when the turn can get no more time.
    pub fn renew(self, now: Instant) -> Result<Option<Instant>, Refusal> {
        let at = self.seat.ring_slot as usize;
        self.scheduler.rings[at].renew(now).inspect(|_| self.scheduler.arm(at))
    }

    /// Hands the answer to the host. The clock stands; returns until when the host may rule.
    #[must_use = "the host has to rule until then"]
    pub fn judge(self, now: Instant) -> Option<Instant> {
        let at = self.seat.ring_slot as usize;
        let until = self.scheduler.rings[at].judge(now);
        self.scheduler.arm(at);
        until
    }
}

/// The turn whose answer is with the host. Made by [`Scheduler::judged`].
#[derive(Debug)]
pub struct Judged<'a, S> {
    pub(super) scheduler: &'a mut Scheduler<S>,
    pub(super) seat: SeatId,
}

impl<S> Judged<'_, S> {
    /// Accepts the answer: it counts, and the turn moves on. `next` is the seat that gets the next turn, if the host
    /// names one.
    ///
    /// # Errors
    ///
    /// When `next` cannot be next. Nothing has changed then, and the answer is still judged.
    pub fn accept(self, now: Instant, next: Option<SeatId>) -> Result<Moved, HostError> {
        if let Some(next) = next {
            if next.ring() != self.seat.ring() {
                return Err(HostError::UnknownSeat);
            }
            self.scheduler.name_next(next)?;
        }
        let at = self.seat.ring_slot as usize;
        let moved = self.scheduler.rings[at].end_present(now, Outcome::Answered);
        self.scheduler.arm(at);
        Ok(moved)
    }

    /// Refuses the answer: the turn and its clock go on, unless that was the last proposal allowed, or its holder is gone.
    pub fn refuse(self, now: Instant) -> Moved {
        let at = self.seat.ring_slot as usize;
        let moved = self.scheduler.rings[at].refuse(now);
        self.scheduler.arm(at);
        moved
    }
}
