//! Commands of the host on a ring, and deadlines that pass.

use std::time::Duration;

use super::SeatId;
use super::lease::Clock;
use super::moved::{HostError, Moved, Outcome};
use super::ring::{Phase, Ring, RingFlags};
use super::rules::Rules;
use super::seat::Standing;
use crate::time::{Instant, Nanos};

impl<S> Ring<S> {
    pub(super) fn name_next(&mut self, slot: u32) -> Result<(), HostError> {
        let seat = &self.seats[slot as usize];
        match seat.standing {
            _ if !self.is_present(slot) => Err(HostError::Away),
            Standing::Resting | Standing::Missed => Err(HostError::Resting),
            Standing::Queued | Standing::Holding => {
                self.named = Some(slot);
                Ok(())
            }
        }
    }

    pub(super) fn extend(&mut self, now: Instant, by: Duration) -> Result<Option<Instant>, HostError> {
        let by = Nanos::from(by);
        let Phase::Held(lease) = &mut self.phase else { return Err(HostError::NoTurn) };
        lease.extra = lease.extra.or_beyond();
        let deadline = match &mut lease.clock {
            Clock::Running { deadline, hold_until } => {
                (*deadline, *hold_until) = (*deadline + by, *hold_until + by);
                Some(*deadline)
            }
            Clock::Unreleased(left) | Clock::Stopped(left) | Clock::Judged { left, .. } => {
                left.silent = left.silent.saturating_add(by);
                left.hold = left.hold.saturating_add(by);
                None
            }
        };
        self.settle_clock(now);
        Ok(deadline)
    }

    pub(super) fn pause(&mut self, now: Instant) {
        self.flags.insert(RingFlags::PAUSED);
        if let Phase::Held(lease) = &mut self.phase
            && let Clock::Running { .. } = lease.clock
        {
            lease.clock = Clock::Stopped(lease.clock.left(now));
        }
        self.settle_clock(now);
    }

    pub(super) fn resume(&mut self, now: Instant) -> Moved {
        self.flags.remove(RingFlags::PAUSED);
        if let Phase::Held(lease) = &mut self.phase
            && let Clock::Stopped(left) = lease.clock
        {
            lease.clock = Clock::running(now, left);
        }
        self.settle_clock(now);
        Moved { ended: None, granted: self.advance(now) }
    }

    pub(super) fn set_rules(&mut self, now: Instant, rules: Rules) -> Moved {
        let before = std::mem::replace(&mut self.terms, rules.terms());
        self.turn_time.change(
            rules.turn_time_max(),
            self.queue.given(),
            self.queue.oldest_given(&self.seats),
        );
        *self.rules = rules;
        if let Phase::Held(lease) | Phase::Kept(lease) = &mut self.phase {
            // It keeps its time, so it may last longer than a turn may now.
            lease.extra = lease.extra.or_beyond();
            if before.judging == Nanos::ZERO {
                (lease.judging_left, lease.proposals_left) = (self.terms.judging, self.terms.proposals_max);
            }
        }
        self.settle_clock(now);
        Moved { ended: None, granted: self.advance(now) }
    }

    pub(super) fn drain(&mut self) {
        self.flags.insert(RingFlags::DRAINING);
    }

    /// Ends whatever has expired first: a turn, the absence of its holder, or the grace of a vacant
    /// seat.
    pub(super) fn expire(&mut self, now: Instant) -> Option<(Moved, Option<(SeatId, S)>)> {
        if let Some(lease) = self.lease().copied() {
            let is_due = lease.deadline().is_some_and(|deadline| deadline <= now);
            let moved = match lease.clock {
                _ if !is_due => None,
                // A host that does not decide in time has refused.
                Clock::Judged { .. } => Some(self.refuse(now)),
                Clock::Running { deadline, .. } if deadline <= now => {
                    Some(self.end_present(now, Outcome::Lapsed))
                }
                Clock::Running { .. } | Clock::Unreleased(_) | Clock::Stopped(_) => {
                    Some(self.lose(now, lease.slot()))
                }
            };
            if let Some(moved) = moved {
                return Some((moved, None));
            }
        }
        let &(since, _, slot) = self.vacant.first()?;
        if since + self.terms.seat_grace > now {
            return None;
        }
        let id = self.seat_id(slot);
        let (moved, data) = self.retire(now, slot);
        Some((moved, Some((id, data))))
    }
}
