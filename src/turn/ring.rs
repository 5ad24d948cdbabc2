//! One ring: its seats, its turn, and its own clock.
//!
//! Its methods are in the files of their topics: seats come and go in `seating.rs`, the turn that is held is
//! in `held.rs`, its moves are in `grants.rs`, and the commands of the host are in `host.rs`.

use std::collections::BTreeSet;
use std::time::Duration;

use slab::Slab;

use super::lease::{Extra, Lease};
use super::queue::Queue;
use super::rules::{Rules, Terms};
use super::seat::{Seat, Standing};
use super::waits::{Contention, Longest, TurnTime};
use super::{RingId, SeatId};
use crate::hint::{likely, unlikely};
use crate::time::{Alarm, Instant, Nanos, Timers, earlier};

/// Where the turn of a ring is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No seat holds it.
    Idle,
    /// Its holder was lost while the ring was below quorum: it is first when the ring continues. Its clock is
    /// stopped.
    Kept(Lease),
    /// A seat holds it.
    Held(Lease),
}

/// The reasons why a ring may not hand a turn over in one step. There is hardly ever one, and a single
/// comparison shows that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct RingFlags(u8);

impl RingFlags {
    pub(super) const NONE: RingFlags = RingFlags(0);
    /// No further turn is granted.
    pub(super) const DRAINING: RingFlags = RingFlags(1);
    /// The host has paused the ring.
    pub(super) const PAUSED: RingFlags = RingFlags(2);
    /// A holder is told only once its turn is recorded.
    pub(super) const RECORDED: RingFlags = RingFlags(4);

    #[inline]
    pub(super) fn is_draining(self) -> bool {
        self.0 & RingFlags::DRAINING.0 != 0
    }

    #[inline]
    pub(super) fn is_paused(self) -> bool {
        self.0 & RingFlags::PAUSED.0 != 0
    }

    pub(super) fn is_recorded(self) -> bool {
        self.0 & RingFlags::RECORDED.0 != 0
    }

    pub(super) fn insert(&mut self, flag: RingFlags) {
        self.0 |= flag.0;
    }

    pub(super) fn remove(&mut self, flag: RingFlags) {
        self.0 &= !flag.0;
    }
}

/// Seats that were passed over while they were away. They are noted only if the ring is recorded, and until
/// they are taken.
#[derive(Debug, Clone, Default)]
pub(super) struct PassedOver(Vec<u32>);

impl PassedOver {
    pub(super) fn note(&mut self, flags: RingFlags, slot: u32) {
        if flags.is_recorded() {
            self.0.push(slot);
        }
    }

    pub(super) fn take(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.0)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Ring<S> {
    pub(super) id: RingId,
    pub(super) rules: Box<Rules>,
    pub(super) terms: Terms,
    pub(super) phase: Phase,
    pub(super) seats: Slab<Seat<S>>,
    pub(super) queue: Queue,
    /// The seat that the host wants next; it is queued.
    pub(super) named: Option<u32>,
    /// The vacant seats, longest vacant first.
    pub(super) vacant: BTreeSet<(Instant, u64, u32)>,
    pub(super) occupied: u32,
    pub(super) last_turn: u64,
    pub(super) last_place: u64,
    pub(super) flags: RingFlags,
    pub(super) passed_over: PassedOver,
    /// The time from which the ring's own clock is stopped (see [`Ring::stands_from`]); the far future while
    /// nothing will stop it.
    pub(super) stands_from: Instant,
    /// How long it had been stopped before that.
    pub(super) stopped: Nanos,
    pub(super) turn_time: TurnTime,
    pub(super) contention: Contention,
    pub(super) longest_wait: Longest,
    pub(super) alarm: Alarm,
}

impl<S> Ring<S> {
    pub(super) fn new(now: Instant, id: RingId, rules: Rules, last_turn: u64, last_place: u64) -> Ring<S> {
        Ring {
            id,
            terms: rules.terms(),
            turn_time: TurnTime::new(rules.turn_time_max()),
            rules: Box::new(rules),
            phase: Phase::Idle,
            seats: Slab::new(),
            queue: Queue::default(),
            named: None,
            vacant: BTreeSet::new(),
            occupied: 0,
            last_turn,
            last_place,
            flags: RingFlags::NONE,
            passed_over: PassedOver::default(),
            stands_from: now,
            stopped: Nanos::ZERO,
            contention: Contention::default(),
            longest_wait: Longest::default(),
            alarm: Alarm::default(),
        }
    }

    #[inline]
    pub(super) fn seat_id(&self, slot: u32) -> SeatId {
        SeatId::new(self.id, slot, self.seats[slot as usize].place)
    }

    #[inline]
    pub(super) fn has_quorum(&self) -> bool {
        self.occupied >= self.terms.min_seats
    }

    /// Whether `seat`, of a ring in this one's slot, is one of its seats.
    #[inline]
    pub(super) fn has(&self, seat: SeatId) -> bool {
        self.seats.get(seat.slot() as usize).is_some_and(|found| found.place == seat.place())
    }

    #[inline]
    pub(super) fn lease(&self) -> Option<&Lease> {
        match &self.phase {
            Phase::Held(lease) => Some(lease),
            Phase::Idle | Phase::Kept(_) => None,
        }
    }

    pub(super) fn lease_of(&mut self, slot: u32) -> Option<&mut Lease> {
        match &mut self.phase {
            Phase::Held(lease) if lease.slot() == slot => Some(lease),
            _ => None,
        }
    }

    /// Whether the client of the seat at `slot` is connected.
    pub(super) fn is_present(&self, slot: u32) -> bool {
        let is_absent =
            self.lease().is_some_and(|lease| lease.slot() == slot && lease.absent_until.is_some());
        self.seats[slot as usize].occupied && !is_absent
    }

    /// Whether the seat at `slot` will get the turn and does not have it, and its client is present.
    pub(super) fn is_waiting(&self, slot: u32) -> bool {
        let seat = &self.seats[slot as usize];
        let is_kept = matches!(self.phase, Phase::Kept(kept) if kept.slot() == slot);
        seat.occupied && (seat.standing == Standing::Queued || is_kept)
    }

    /// How many present seats come before the waiting `slot`, including the holder.
    pub(super) fn ahead_of(&self, slot: u32) -> usize {
        let holder = match self.phase {
            Phase::Held(_) => 1,
            Phase::Kept(kept) => usize::from(self.seats[kept.slot() as usize].occupied),
            Phase::Idle => 0,
        };
        match self.seats[slot as usize].standing {
            Standing::Queued => self.queue.ahead_of(&self.seats, slot) + holder,
            _ => 0,
        }
    }

    /// The ring's own time: it never goes back, and is stopped while no seat can be blamed for the waits of
    /// others.
    #[inline]
    pub(super) fn own_time(&self, now: Instant) -> Instant {
        now.min(self.stands_from) - self.stopped
    }

    /// How long the ring's own clock has been stopped until `now`.
    pub(super) fn stopped(&self, now: Instant) -> Nanos {
        self.stopped.saturating_add(now.nanos_since(self.stands_from))
    }

    /// Decides again whether the ring's own clock is stopped, after one of the reasons has changed.
    #[inline]
    pub(super) fn settle_clock(&mut self, now: Instant) {
        let own = self.own_time(now);
        self.stopped = self.stopped(now);
        self.stands_from = self.stands_from(now, own);
    }

    /// Returns the time from which the ring's own clock is stopped: below quorum, paused, until the holder is
    /// told, and for as long as a turn lasts by the host's will or beyond the rules.
    #[inline]
    pub(super) fn stands_from(&self, now: Instant, own: Instant) -> Instant {
        if unlikely(self.flags.is_paused() || !self.has_quorum()) {
            return now;
        }
        let Phase::Held(lease) = &self.phase else { return Instant::FAR_FUTURE };
        match lease.extra {
            Extra::None if likely(lease.clock.is_released()) => Instant::FAR_FUTURE,
            Extra::Beyond if lease.clock.is_released() => {
                let allowed = self.terms.time.hold.saturating_add(self.terms.judging);
                now + allowed.saturating_sub(own.nanos_since(lease.since))
            }
            Extra::None | Extra::Beyond | Extra::All => now,
        }
    }

    /// Returns how long a seat of weight 1 that begins to wait now waits at most.
    pub(super) fn bound_now(&self) -> Option<Duration> {
        let is_held = matches!(self.phase, Phase::Held(_) | Phase::Kept(_));
        let turns_first = self.queue.len() + u32::from(is_held);
        self.turn_time.bound(self.queue.given() + 1, self.contention.turns_first_now(turns_first))
    }

    #[inline(always)]
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline_by(self.lease().and_then(Lease::deadline))
    }

    /// Returns the same, if the turn that is held runs out at `held`.
    fn deadline_by(&self, held: Option<Instant>) -> Option<Instant> {
        let grace_ends = self.vacant.first().map(|&(since, ..)| since + self.terms.seat_grace);
        earlier(held, grace_ends)
    }

    /// Asks for the ring's next deadline after every change: that of the turn, the end of its holder's
    /// absence, or the end of the first grace.
    #[inline(always)]
    pub(super) fn arm(&mut self, timers: &mut Timers<u32>) {
        self.arm_by(timers, self.lease().and_then(Lease::deadline));
    }

    /// Does the same, for a turn that runs out at `held`.
    pub(super) fn arm_by(&mut self, timers: &mut Timers<u32>, held: Option<Instant>) {
        let deadline = self.deadline_by(held);
        timers.set(&mut self.alarm, self.id.slot(), deadline);
    }
}
