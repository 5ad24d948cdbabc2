//! The scheduler: many rings, their limits and timers, and all their methods.

use std::time::Duration;

use slab::Slab;

use super::id::{PLACE_MAX, SLOTS_MAX};
use super::lease::Clock;
use super::ring::{Ring, RingFlags};
use super::seat::Seat;
use super::snapshot::RETURN;
use super::{
    Demand, Grant, Held, HeldClock, HostError, JoinError, LongestWait, Moved, Refusal, RingId, Rules,
    RulesError, SchedulerConfig, SeatId, TurnNumber, Weight,
};
use crate::time::{Alarm, Instant, Timers};

/// Lets the seats of many rings take turns.
///
/// Each seat carries a value `S` that belongs to its owner (a name, a connection). See the
/// [module's documentation](super) for how to drive it.
///
/// A turn costs O(1), whatever the number of seats; with different weights, O(number of different weights).
#[derive(Debug, Clone)]
pub struct Scheduler<S> {
    pub(super) config: SchedulerConfig,
    pub(super) rings: Slab<Ring<S>>,
    pub(super) lives: u64,
    pub(super) seats: usize,
    /// The highest turn number of any forgotten ring: a ring made later continues above it.
    pub(super) turn_floor: u64,
    /// The highest place of any forgotten ring: a ring made later continues above it, so that no two seats of
    /// one commit to a store share a key.
    pub(super) place_floor: u64,
    pub(super) draining: bool,
    /// The flags with which every ring begins.
    pub(super) flags: RingFlags,
    /// The end of the time in which seats of restored rings come back to their places.
    pub(super) returning: Alarm,
    /// Rings with seats that did not come back in time.
    pub(super) missed: Vec<RingId>,
    pub(super) timers: Timers<u32>,
}

/// Something whose time has run out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired<S> {
    /// A turn that lapsed or whose holder did not come back, and the next one.
    pub moved: Moved,
    /// A seat that was away for longer than its grace, with its data. Its id means nothing from now on.
    pub retired: Option<(SeatId, S)>,
}

impl<S> Scheduler<S> {
    /// Makes a scheduler without rings.
    ///
    /// # Errors
    ///
    /// Returns [`RulesError`] if the rules contradict each other.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::turn::{Scheduler, SchedulerConfig};
    ///
    /// let mut config = SchedulerConfig::default();
    /// config.max_rings = 8;
    /// let scheduler = Scheduler::<&str>::new(config)?;
    /// assert_eq!(scheduler.rings().count(), 0);
    /// # Ok::<(), taketurns::turn::RulesError>(())
    /// ```
    pub fn new(config: SchedulerConfig) -> Result<Scheduler<S>, RulesError> {
        config.check(&config.rules)?;
        Ok(Scheduler {
            config,
            rings: Slab::new(),
            lives: 0,
            seats: 0,
            turn_floor: 0,
            place_floor: 0,
            draining: false,
            flags: RingFlags::NONE,
            returning: Alarm::default(),
            missed: Vec::new(),
            timers: Timers::default(),
        })
    }

    /// Returns the limits, and the rules of rings that have none of their own.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// assert_eq!(scheduler.config().rules.min_seats, 2);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn config(&self) -> &SchedulerConfig {
        &self.config
    }

    /// Returns the rules of `ring`.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let rules = scheduler.rules(ring).expect("the ring exists");
    /// assert_eq!(rules.turn_deadline, Duration::from_secs(30));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn rules(&self, ring: RingId) -> Option<&Rules> {
        Some(&*self.ring(ring)?.rules)
    }

    /// Returns the turn that is held in `ring`, if one is.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let held = scheduler.held(ring).expect("Ann's turn");
    /// assert_eq!((held.seat, held.turn.get()), (ann, 1));
    /// assert_eq!(held.deadline(), Some(now + Duration::from_secs(30)));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn held(&self, ring: RingId) -> Option<Held> {
        let ring = self.ring(ring)?;
        let lease = ring.lease()?;
        let left = |left: super::rules::Allowance| Duration::from(left.silent);
        let clock = match lease.clock {
            Clock::Unreleased(_) => HeldClock::Unreleased,
            Clock::Running { deadline, .. } => HeldClock::Running { deadline },
            Clock::Stopped(allowance) => HeldClock::Stopped { left: left(allowance) },
            Clock::Judged { left: allowance, until } => HeldClock::Judged { left: left(allowance), until },
        };
        Some(Held { seat: lease.seat, turn: lease.turn, clock, absent: lease.absent_until.is_some() })
    }

    /// Returns the turn that `seat` holds, if it does.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// assert!(scheduler.held_by(ann).is_some());
    /// assert!(scheduler.held_by(bob).is_none());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn held_by(&self, seat: SeatId) -> Option<Held> {
        self.held(seat.ring()).filter(|held| held.seat == seat)
    }

    /// Returns the number of the last turn granted in `ring`: 0 before the first, and for a ring that does
    /// not exist the number above which it would begin.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// assert_eq!(scheduler.last_turn(Some(ring)), 1);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn last_turn(&self, ring: Option<RingId>) -> u64 {
        ring.and_then(|ring| self.ring(ring)).map_or(self.turn_floor, |ring| ring.last_turn)
    }

    /// Returns the seat that is in this slot of `ring` now, and its data.
    pub(crate) fn seat_in(&self, ring: RingId, slot: u32) -> Option<(SeatId, &S)> {
        let ring = self.ring(ring)?;
        ring.seats.get(slot as usize).map(|seat| (ring.seat_id(slot), &seat.data))
    }

    /// Returns the data of `seat`.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// assert_eq!(scheduler.data(bob), Some(&"Bob"));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn data(&self, seat: SeatId) -> Option<&S> {
        Some(&self.seat(seat)?.data)
    }

    /// Returns the data of `seat` mutably.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// *scheduler.data_mut(bob).expect("his seat") = "Robert";
    /// assert_eq!(scheduler.data(bob), Some(&"Robert"));
    /// # Ok(()) }
    /// ```
    #[inline]
    pub fn data_mut(&mut self, seat: SeatId) -> Option<&mut S> {
        let ring = self.rings.get_mut(seat.ring().slot() as usize).filter(|ring| ring.id == seat.ring())?;
        let found = ring.seats.get_mut(seat.slot() as usize).filter(|found| found.place == seat.place())?;
        Some(&mut found.data)
    }

    /// Returns whether `ring` exists.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let _ = scheduler.retire(now, ann);
    /// let _ = scheduler.retire(now, bob);
    /// assert!(!scheduler.has_ring(ring), "a ring is forgotten with its last seat");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn has_ring(&self, ring: RingId) -> bool {
        self.ring(ring).is_some()
    }

    /// Returns whether a client has `seat`: it is present, or it was lost so recently that its absence is not
    /// decided yet.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let _ = scheduler.vacate(now, bob);
    /// assert!(!scheduler.is_occupied(bob), "his place is kept, but he is away");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_occupied(&self, seat: SeatId) -> bool {
        self.seat(seat).is_some_and(|seat| seat.occupied)
    }

    /// Returns how many present seats come before the waiting `seat`, including the holder; 0 for a seat that
    /// does not wait. The number is exact when the seat has just begun to wait, unless more than 256 lighter
    /// seats come after it.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let (cid, _) = scheduler.join(now, ring, Weight::ONE, Demand::Always, "Cid")?;
    /// assert_eq!(scheduler.ahead_of(cid), 2, "Ann, who holds the turn, and Bob");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn ahead_of(&self, seat: SeatId) -> usize {
        let ring = self.seat(seat).and(self.ring(seat.ring()));
        ring.map_or(0, |ring| ring.ahead_of(seat.slot()))
    }

    /// Returns how many more seats have to be occupied before `ring` grants turns.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// assert_eq!(scheduler.seats_missing(ring), 0);
    /// let _ = scheduler.retire(now, bob);
    /// assert_eq!(scheduler.seats_missing(ring), 1, "two seats are the minimum");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn seats_missing(&self, ring: RingId) -> usize {
        self.ring(ring).map_or(0, |ring| ring.terms.min_seats.saturating_sub(ring.occupied) as usize)
    }

    /// Returns the number of occupied seats in `ring`.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let _ = scheduler.vacate(now, bob);
    /// assert_eq!((scheduler.occupied(ring), scheduler.seats()), (1, 2));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn occupied(&self, ring: RingId) -> usize {
        self.ring(ring).map_or(0, |ring| ring.occupied as usize)
    }

    /// Returns the number of seats, occupied and away, in total over all rings.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// assert_eq!(scheduler.seats(), 2);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn seats(&self) -> usize {
        self.seats
    }

    /// Returns the rings that exist.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// assert_eq!(scheduler.rings().collect::<Vec<_>>(), [ring]);
    /// # Ok(()) }
    /// ```
    pub fn rings(&self) -> impl Iterator<Item = RingId> {
        self.rings.iter().map(|(_, ring)| ring.id)
    }

    /// Returns how long a seat of weight 1 that begins to wait now will wait at most, by the clock of the
    /// ring.
    ///
    /// The bound is (turns that may come first) × (`hold_max`, and `judging_timeout` if the host judges).
    /// `None` if the rules limit no turn, and for a ring that does not exist. [`Duration::MAX`] if it does
    /// not fit.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// // A newcomer would wait for Ann's turn and for Bob's.
    /// assert_eq!(scheduler.waiting_bound(ring), Some(Duration::from_secs(60)));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn waiting_bound(&self, ring: RingId) -> Option<Duration> {
        self.ring(ring)?.bound_now()
    }

    /// Returns the longest wait that has ended in `ring`, with the bound that held for it.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// // She answers after 7 s, and Bob's wait is over.
    /// let _ = scheduler.holding(ann, None)?.end(now + Duration::from_secs(7), Outcome::Answered);
    /// let longest = scheduler.longest_wait(ring);
    /// assert_eq!(longest.waited, Duration::from_secs(7));
    /// assert!(Some(longest.waited) <= longest.bound);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn longest_wait(&self, ring: RingId) -> LongestWait {
        self.ring(ring).map_or(LongestWait::default(), |ring| LongestWait {
            waited: ring.longest_wait.waited.into(),
            bound: ring.longest_wait.bound,
        })
    }

    /// Returns how long the own clock of `ring` has been stopped: below quorum, paused, until holders were
    /// told, and for time that the host added.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// scheduler.pause(now, ring)?;
    /// assert_eq!(scheduler.stopped(ring, now + Duration::from_secs(9)), Duration::from_secs(9));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn stopped(&self, ring: RingId, now: Instant) -> Duration {
        self.ring(ring).map_or(Duration::ZERO, |ring| ring.stopped(now).into())
    }

    /// Returns whether [`drain`](Self::drain) was called and no seat holds a turn any more.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// scheduler.drain();
    /// assert!(!scheduler.is_drained(), "Ann may still answer");
    /// let _ = scheduler.holding(ann, None)?.end(now, Outcome::Answered);
    /// assert!(scheduler.is_drained());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.draining && self.rings.iter().all(|(_, ring)| ring.lease().is_none())
    }

    /// Returns when to call [`poll_expired`](Self::poll_expired) next. It may be too early, but never too
    /// late.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// assert_eq!(scheduler.next_deadline(), Some(now + Duration::from_secs(30)));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Returns the seat that has been away for longest, over all rings.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let _ = scheduler.vacate(now, bob);
    /// assert_eq!(scheduler.longest_away(), Some(bob));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn longest_away(&self) -> Option<SeatId> {
        let longest = self
            .rings
            .iter()
            .filter_map(|(_, ring)| ring.vacant.first().map(|&(since, _, slot)| (since, ring.seat_id(slot))));
        longest.min().map(|(_, seat)| seat)
    }

    /// Returns the ring that has been without occupied seats for longest.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// assert_eq!(scheduler.longest_deserted(), None);
    /// let _ = scheduler.vacate(now, ann);
    /// let _ = scheduler.vacate(now, bob);
    /// assert_eq!(scheduler.longest_deserted(), Some(ring));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn longest_deserted(&self) -> Option<RingId> {
        let deserted = self.rings.iter().filter(|(_, ring)| ring.occupied == 0 && !ring.seats.is_empty());
        let longest = deserted.min_by_key(|(_, ring)| ring.vacant.last().map(|&(since, ..)| since));
        longest.map(|(_, ring)| ring.id)
    }

    /// Makes a ring without seats. The first [`join`](Self::join) should follow: a ring is forgotten with its
    /// last seat, not before.
    ///
    /// # Errors
    ///
    /// Returns [`JoinError`] if as many rings as allowed exist, if the rules contradict each other, and while
    /// draining.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let mut rules = Rules::default();
    /// rules.turn_deadline = Duration::from_secs(5);
    /// let quick = scheduler.make_ring(now, rules)?;
    /// let (cid, _) = scheduler.join(now, quick, Weight::ONE, Demand::Always, "Cid")?;
    /// assert_eq!(cid.ring(), quick);
    /// # Ok(()) }
    /// ```
    #[expect(clippy::missing_panics_doc, reason = "2^32 rings do not fit a machine")]
    pub fn make_ring(&mut self, now: Instant, rules: Rules) -> Result<RingId, JoinError> {
        if self.draining {
            return Err(JoinError::Draining);
        }
        if self.rings.len() >= self.config.max_rings.min(SLOTS_MAX) {
            return Err(JoinError::RingsFull);
        }
        self.config.check(&rules).map_err(JoinError::Rules)?;
        self.lives += 1;
        let entry = self.rings.vacant_entry();
        let slot = u32::try_from(entry.key()).expect("max_rings fits 32 bits");
        let id = RingId::new(slot, self.lives);
        entry.insert(Ring::new(now, id, rules, self.turn_floor, self.place_floor)).flags = self.flags;
        Ok(id)
    }

    /// Gives a client a new seat in `ring`; `data` is kept with it. The caller decides on weight and demand:
    /// [`Rules::weight`] and [`Rules::demand`] tell which ones a newcomer may choose by itself.
    ///
    /// # Errors
    ///
    /// Returns [`JoinError`] if there is no room in the ring or the scheduler, if there is no such ring, and
    /// while draining.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let (cid, moved) = scheduler.join(now, ring, Weight::ONE, Demand::Ask, "Cid")?;
    /// assert!(moved.is_nothing() && !scheduler.is_waiting(cid), "Cid rests until he asks");
    /// # Ok(()) }
    /// ```
    pub fn join(
        &mut self,
        now: Instant,
        ring: RingId,
        weight: Weight,
        demand: Demand,
        data: S,
    ) -> Result<(SeatId, Moved), JoinError> {
        self.may_join(ring)?;
        let at = ring.slot() as usize;
        let ring = &mut self.rings[at];
        let (slot, moved) = ring.join(now, weight, demand, data);
        let id = ring.seat_id(slot);
        self.seats += 1;
        self.arm(at);
        Ok((id, moved))
    }

    /// Checks whether [`join`](Self::join) would succeed.
    ///
    /// # Errors
    ///
    /// Returns the error that [`join`](Self::join) would return.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// assert_eq!(scheduler.may_join(ring), Ok(()));
    /// scheduler.drain();
    /// assert_eq!(scheduler.may_join(ring), Err(JoinError::Draining));
    /// # Ok(()) }
    /// ```
    pub fn may_join(&self, ring: RingId) -> Result<(), JoinError> {
        let ring = self.ring(ring).ok_or(JoinError::UnknownRing)?;
        match &ring.rules {
            _ if self.draining => Err(JoinError::Draining),
            rules if rules.seats_max.is_some_and(|max| ring.seats.len() >= max) => Err(JoinError::RingFull),
            _ if self.seats >= self.config.max_seats.min(SLOTS_MAX) || ring.last_place >= PLACE_MAX => {
                Err(JoinError::SeatsFull)
            }
            _ => Ok(()),
        }
    }

    /// Notes that the client of `seat` is back. Nothing happens if it is not away.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let _ = scheduler.vacate(now, bob);
    /// let _ = scheduler.occupy(now + Duration::from_secs(3), bob);
    /// assert!(scheduler.is_waiting(bob), "his place was kept");
    /// # Ok(()) }
    /// ```
    pub fn occupy(&mut self, now: Instant, seat: SeatId) -> Moved {
        self.with_seat(seat, |ring, slot| ring.occupy(now, slot)).unwrap_or_default()
    }

    /// Notes that the connection of `seat` is lost. Its place is kept for the ring's `seat_grace`; a turn
    /// that it holds ends, after the ring's `turn_grace`, or after the verdict.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let moved = scheduler.vacate(now, bob);
    /// assert!(moved.is_nothing(), "he holds no turn that could end");
    /// // Ann's turn ends with her connection. No seat is next: two occupied seats are the minimum.
    /// let moved = scheduler.vacate(now, ann);
    /// assert_eq!(moved.ended.map(|ended| ended.outcome), Some(Outcome::Gone));
    /// assert_eq!(moved.granted, None);
    /// # Ok(()) }
    /// ```
    pub fn vacate(&mut self, now: Instant, seat: SeatId) -> Moved {
        self.with_seat(seat, |ring, slot| ring.vacate(now, slot)).unwrap_or_default()
    }

    /// Vacates like [`vacate`](Self::vacate), for a client that is present and does not take its turns: it
    /// gets no `turn_grace`.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!("rules.turn_grace = Duration::from_secs(10);")]
    /// let moved = scheduler.vacate_at_once(now, ann);
    /// assert_eq!(moved.ended.map(|ended| ended.outcome), Some(Outcome::Gone));
    /// # Ok(()) }
    /// ```
    pub fn vacate_at_once(&mut self, now: Instant, seat: SeatId) -> Moved {
        self.with_seat(seat, |ring, slot| ring.lose(now, slot)).unwrap_or_default()
    }

    /// Gives up `seat`. A turn that it holds ends, and its place is gone. Returns its data. A ring is
    /// forgotten with its last seat; see [`has_ring`](Self::has_ring).
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let (moved, name) = scheduler.retire(now, ann).expect("her seat");
    /// assert_eq!((name, moved.ended.map(|ended| ended.outcome)), ("Ann", Some(Outcome::Gone)));
    /// assert_eq!(scheduler.data(ann), None, "her id means nothing from now on");
    /// # Ok(()) }
    /// ```
    pub fn retire(&mut self, now: Instant, seat: SeatId) -> Option<(Moved, S)> {
        let retired = self.with_seat(seat, |ring, slot| ring.retire(now, slot))?;
        self.seats -= 1;
        self.forget_if_empty(seat.ring().slot() as usize);
        Some(retired)
    }

    /// Notes that the holder `seat` was told of `turn`, which starts its clock. Returns when the turn lapses,
    /// or `None` while the ring is paused.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let moved = scheduler.holding(ann, None)?.end(now, Outcome::Answered);
    /// let grant = moved.granted.expect("Bob's turn");
    /// // Tell Bob, and start his clock when he has been told.
    /// let told = now + Duration::from_millis(250);
    /// assert_eq!(scheduler.start(told, grant.seat, grant.turn), Some(told + Duration::from_secs(30)));
    /// # Ok(()) }
    /// ```
    #[inline]
    pub fn start(&mut self, now: Instant, seat: SeatId, turn: TurnNumber) -> Option<Instant> {
        let at = seat.ring().slot() as usize;
        let ring = self.rings.get_mut(at).filter(|ring| ring.id == seat.ring())?;
        let deadline = ring.start(now, turn);
        if deadline.is_some() {
            ring.arm(&mut self.timers);
        }
        deadline
    }

    /// Takes back the start of a turn that was [handed over](super::Holding::hand_over) at `now`, because its
    /// holder cannot be told of it yet: its clock has not begun.
    #[cold]
    pub(crate) fn unstart(&mut self, now: Instant, granted: Grant) {
        let at = granted.seat.ring().slot() as usize;
        if let Some(ring) = self.rings.get_mut(at).filter(|ring| ring.id == granted.seat.ring()) {
            ring.unstart(now, granted.turn);
        }
    }

    /// Asks for the turn: a resting seat begins to wait, and the holder is queued again after its turn.
    /// Nothing happens otherwise.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let (cid, _) = scheduler.join(now, ring, Weight::ONE, Demand::Ask, "Cid")?;
    /// let _ = scheduler.ask(now, cid);
    /// assert!(scheduler.is_waiting(cid));
    /// # Ok(()) }
    /// ```
    pub fn ask(&mut self, now: Instant, seat: SeatId) -> Moved {
        self.with_seat(seat, |ring, slot| ring.ask(now, slot)).unwrap_or_default()
    }

    /// Rests until it asks: a seat that waits leaves the queue, and a holder gives up its turn.
    ///
    /// # Errors
    ///
    /// Returns [`Refusal::Judging`] while the seat's answer is with the host.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let moved = scheduler.rest(now, ann)?;
    /// assert_eq!(moved.ended.map(|ended| ended.outcome), Some(Outcome::Passed));
    /// assert!(!scheduler.is_waiting(ann));
    /// # Ok(()) }
    /// ```
    pub fn rest(&mut self, now: Instant, seat: SeatId) -> Result<Moved, Refusal> {
        self.with_seat(seat, |ring, slot| ring.rest(now, slot)).unwrap_or(Err(Refusal::NotYourTurn))
    }

    /// Names the seat that gets the next turn: one that waits, or the holder. After that turn the order
    /// continues.
    ///
    /// # Errors
    ///
    /// Returns [`HostError::Resting`], [`HostError::Away`] or [`HostError::UnknownSeat`] if the seat cannot
    /// be next.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let (cid, _) = scheduler.join(now, ring, Weight::ONE, Demand::Always, "Cid")?;
    /// scheduler.name_next(cid)?;
    /// let moved = scheduler.holding(ann, None)?.end(now, Outcome::Answered);
    /// assert_eq!(moved.granted.map(|grant| grant.seat), Some(cid), "and not Bob");
    /// # Ok(()) }
    /// ```
    pub fn name_next(&mut self, seat: SeatId) -> Result<(), HostError> {
        self.with_seat(seat, Ring::name_next).unwrap_or(Err(HostError::UnknownSeat))
    }

    /// Ends the turn that is held in `ring`: its outcome is [`Skipped`](super::Outcome::Skipped).
    ///
    /// # Errors
    ///
    /// Returns [`HostError::NoTurn`] if no turn is held, and [`HostError::UnknownRing`] if there is no such
    /// ring.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let moved = scheduler.skip(now, ring)?;
    /// assert_eq!(moved.ended.map(|ended| ended.outcome), Some(Outcome::Skipped));
    /// assert_eq!(moved.granted.map(|grant| grant.seat), Some(bob));
    /// # Ok(()) }
    /// ```
    pub fn skip(&mut self, now: Instant, ring: RingId) -> Result<Moved, HostError> {
        self.with_ring(ring, |ring| match ring.lease() {
            Some(_) => Ok(ring.end_present(now, super::Outcome::Skipped)),
            None => Err(HostError::NoTurn),
        })
    }

    /// Gives the turn that is held in `ring` more time. Returns when it lapses now, or `None` while its clock
    /// is stopped.
    ///
    /// # Errors
    ///
    /// Returns [`HostError::NoTurn`] if no turn is held, and [`HostError::UnknownRing`] if there is no such
    /// ring.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let deadline = scheduler.extend(now, ring, Duration::from_secs(15))?;
    /// assert_eq!(deadline, Some(now + Duration::from_secs(45)));
    /// # Ok(()) }
    /// ```
    pub fn extend(&mut self, now: Instant, ring: RingId, by: Duration) -> Result<Option<Instant>, HostError> {
        self.with_ring(ring, |ring| ring.extend(now, by))
    }

    /// Pauses `ring`: the clock of its turn stops, and no other turn is granted. The holder may still answer.
    ///
    /// # Errors
    ///
    /// Returns [`HostError::UnknownRing`] if there is no such ring.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// scheduler.pause(now + Duration::from_secs(10), ring)?;
    /// let held = scheduler.held(ring).expect("the turn is still Ann's");
    /// assert_eq!(held.clock, HeldClock::Stopped { left: Duration::from_secs(20) });
    /// # Ok(()) }
    /// ```
    pub fn pause(&mut self, now: Instant, ring: RingId) -> Result<(), HostError> {
        self.with_ring(ring, |ring| {
            ring.pause(now);
            Ok(())
        })
    }

    /// Ends a pause. The clock of the turn continues with the time that was left.
    ///
    /// # Errors
    ///
    /// Returns [`HostError::UnknownRing`] if there is no such ring.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// scheduler.pause(now + Duration::from_secs(10), ring)?;
    /// let _ = scheduler.resume(now + Duration::from_secs(600), ring)?;
    /// let held = scheduler.held(ring).expect("the turn is still Ann's");
    /// assert_eq!(held.deadline(), Some(now + Duration::from_secs(620)), "20 s were left");
    /// # Ok(()) }
    /// ```
    pub fn resume(&mut self, now: Instant, ring: RingId) -> Result<Moved, HostError> {
        self.with_ring(ring, |ring| Ok(ring.resume(now)))
    }

    /// Returns whether the host has paused `ring`.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// scheduler.pause(now, ring)?;
    /// assert!(scheduler.is_paused(ring));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_paused(&self, ring: RingId) -> bool {
        self.ring(ring).is_some_and(|ring| ring.flags.is_paused())
    }

    /// Changes the rules of `ring`, for turns granted and seats made from now on.
    ///
    /// # Errors
    ///
    /// Returns [`RulesError`] if the rules contradict each other. A ring that does not exist is no error.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let mut rules = Rules::default();
    /// rules.turn_deadline = Duration::from_secs(5);
    /// let _ = scheduler.set_rules(now, ring, rules)?;
    /// // Ann's turn keeps its time. Bob's gets the new one.
    /// let grant = scheduler.holding(ann, None)?.end(now, Outcome::Answered).granted.expect("Bob's");
    /// assert_eq!(scheduler.start(now, grant.seat, grant.turn), Some(now + Duration::from_secs(5)));
    /// # Ok(()) }
    /// ```
    pub fn set_rules(&mut self, now: Instant, ring: RingId, rules: Rules) -> Result<Moved, RulesError> {
        self.config.check(&rules)?;
        Ok(self.with_ring(ring, |ring| Ok(ring.set_rules(now, rules))).unwrap_or_default())
    }

    /// Grants no more turns. Turns that are held may still be answered, until their deadline.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// scheduler.drain();
    /// let moved = scheduler.holding(ann, None)?.end(now, Outcome::Answered);
    /// assert!(moved.ended.is_some() && moved.granted.is_none());
    /// # Ok(()) }
    /// ```
    pub fn drain(&mut self) {
        self.draining = true;
        self.rings.iter_mut().for_each(|(_, ring)| ring.drain());
    }

    /// Ends the next turn, absence or grace whose time has run out. Call it until it returns `None`.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let deadline = scheduler.next_deadline().expect("Ann holds a turn");
    /// while let Some(expired) = scheduler.poll_expired(deadline) {
    ///     let ended = expired.moved.ended.expect("her turn");
    ///     assert_eq!((ended.seat, ended.outcome), (ann, Outcome::Lapsed));
    ///     if let Some(grant) = expired.moved.granted {
    ///         // Tell its holder, and start the clock.
    ///         scheduler.start(deadline, grant.seat, grant.turn);
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn poll_expired(&mut self, now: Instant) -> Option<Expired<S>> {
        while let Some(slot) = self.timers.pop(now) {
            if slot == RETURN {
                if self.timers.ring(&mut self.returning, slot, now) {
                    self.end_return();
                }
                continue;
            }
            let at = slot as usize;
            let ring = &mut self.rings[at];
            if !self.timers.ring(&mut ring.alarm, slot, now) {
                continue;
            }
            let expired = ring.expire(now);
            let has_retired = expired.as_ref().is_some_and(|(_, retired)| retired.is_some());
            self.seats -= usize::from(has_retired);
            self.arm(at);
            self.forget_if_empty(at);
            if let Some((moved, retired)) = expired {
                return Some(Expired { moved, retired });
            }
        }
        None
    }

    #[inline]
    pub(super) fn ring(&self, id: RingId) -> Option<&Ring<S>> {
        self.rings.get(id.slot() as usize).filter(|ring| ring.id == id)
    }

    fn seat(&self, id: SeatId) -> Option<&Seat<S>> {
        let ring = self.ring(id.ring()).filter(|ring| ring.has(id))?;
        Some(&ring.seats[id.slot() as usize])
    }

    pub(super) fn arm(&mut self, at: usize) {
        self.rings[at].arm(&mut self.timers);
    }

    fn with_seat<R>(&mut self, seat: SeatId, act: impl FnOnce(&mut Ring<S>, u32) -> R) -> Option<R> {
        let at = seat.ring().slot() as usize;
        let ring = self.rings.get_mut(at).filter(|ring| ring.id == seat.ring() && ring.has(seat))?;
        let result = act(ring, seat.slot());
        ring.arm(&mut self.timers);
        Some(result)
    }

    fn with_ring<R>(
        &mut self,
        ring: RingId,
        act: impl FnOnce(&mut Ring<S>) -> Result<R, HostError>,
    ) -> Result<R, HostError> {
        let found = self.rings.get_mut(ring.slot() as usize).filter(|found| found.id == ring);
        let found = found.ok_or(HostError::UnknownRing)?;
        let result = act(found)?;
        found.arm(&mut self.timers);
        Ok(result)
    }

    /// Forgets the ring at `at` if it has no seats any more.
    fn forget_if_empty(&mut self, at: usize) {
        if self.rings[at].seats.is_empty() {
            let mut ring = self.rings.remove(at);
            self.timers.remove(&mut ring.alarm, ring.id.slot());
            self.turn_floor = self.turn_floor.max(ring.last_turn);
            self.place_floor = self.place_floor.max(ring.last_place);
        }
    }

    /// Returns whether `seat` waits for the turn.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// assert!(scheduler.is_waiting(bob));
    /// assert!(!scheduler.is_waiting(ann), "she holds the turn");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_waiting(&self, seat: SeatId) -> bool {
        self.ring(seat.ring()).filter(|ring| ring.has(seat)).is_some_and(|ring| ring.is_waiting(seat.slot()))
    }

    /// Forgets `ring` if no client has joined it since it was made.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let other = scheduler.make_ring(now, Rules::default())?;
    /// scheduler.forget_unused(other);
    /// scheduler.forget_unused(ring);
    /// assert_eq!(scheduler.rings().collect::<Vec<_>>(), [ring], "it has seats");
    /// # Ok(()) }
    /// ```
    pub fn forget_unused(&mut self, ring: RingId) {
        if self.has_ring(ring) {
            self.forget_if_empty(ring.slot() as usize);
        }
    }
}
