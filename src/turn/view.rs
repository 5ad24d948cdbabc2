//! The scheduler as a watcher sees it. Nothing here moves a turn.

use super::lease::Lease;
use super::ring::{Phase, Ring};
use super::seat::Standing;
use super::{Demand, RingId, Scheduler, SeatId, Weight};
use crate::time::Instant;

/// A seat, as a watcher sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeatView<'a, S> {
    /// The seat's id.
    pub seat: SeatId,
    /// Its state.
    pub state: SeatState,
    /// The number of turns that it gets for each turn of a weight-1 seat.
    pub weight: Weight,
    /// When it wants the turn.
    pub demand: Demand,
    /// The value kept with it.
    pub data: &'a S,
}

/// The state of a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SeatState {
    /// It will get the turn.
    Waiting,
    /// It does not want the turn now.
    Resting,
    /// It holds the turn.
    Holding,
    /// It holds the turn, and its answer is with the host.
    Judged,
    /// Its connection is lost; its place is kept.
    Away {
        /// Until when; `None` while its turn waits for it.
        until: Option<Instant>,
    },
}

impl<S> Scheduler<S> {
    /// Returns the seats of `ring`, in an order in which a seat keeps its place as long as it exists. The
    /// cost grows with the number of seats taken.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// assert_eq!(scheduler.seats_of(ring).map(|view| *view.data).collect::<Vec<_>>(), ["Ann", "Bob"]);
    /// # Ok(()) }
    /// ```
    pub fn seats_of(&self, ring: RingId) -> impl Iterator<Item = SeatView<'_, S>> {
        let ring = self.ring(ring);
        ring.into_iter().flat_map(|ring| {
            ring.seats.iter().filter_map(move |(at, _)| Some(ring.view(u32::try_from(at).ok()?)))
        })
    }

    /// Returns the seats of `ring` in the order in which they come: the holder, then the queue, then those
    /// that rest or are away, by number. It sorts them all: for a new watcher, not for every turn.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let _ = scheduler.holding(ann, None)?.end(now, Outcome::Answered);
    /// let roster = scheduler.roster(ring);
    /// assert_eq!((*roster[0].data, roster[0].state), ("Bob", SeatState::Holding));
    /// assert_eq!((*roster[1].data, roster[1].state), ("Ann", SeatState::Waiting));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn roster(&self, ring: RingId) -> Vec<SeatView<'_, S>> {
        let Some(ring) = self.ring(ring) else { return Vec::new() };
        let mut seats: Vec<_> = ring.lease().map(Lease::slot).into_iter().collect();
        seats.extend(ring.queue.in_order(&ring.seats).into_iter().filter(|&slot| ring.is_present(slot)));
        let is_listed = |slot: &u32| {
            let seat = &ring.seats[*slot as usize];
            ring.lease().is_some_and(|lease| lease.slot() == *slot)
                || seat.standing == Standing::Queued && ring.is_present(*slot)
        };
        let others = ring.seats.iter().filter_map(|(at, _)| u32::try_from(at).ok());
        let mut others: Vec<_> = others.filter(|slot| !is_listed(slot)).collect();
        others.sort_by_key(|&slot| ring.seats[slot as usize].place);
        seats.extend(others);
        seats.into_iter().map(|slot| ring.view(slot)).collect()
    }

    /// Returns `seat` as a watcher sees it.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let view = scheduler.view(bob).expect("his seat");
    /// assert_eq!((view.state, view.weight), (SeatState::Waiting, Weight::ONE));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn view(&self, seat: SeatId) -> Option<SeatView<'_, S>> {
        Some(self.ring(seat.ring()).filter(|ring| ring.has(seat))?.view(seat.slot()))
    }

    /// Returns the number of seats, occupied and away, in `ring`.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let _ = scheduler.vacate(now, bob);
    /// assert_eq!((scheduler.seat_count(ring), scheduler.away(ring)), (2, 1));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn seat_count(&self, ring: RingId) -> usize {
        self.ring(ring).map_or(0, |ring| ring.seats.len())
    }

    /// Returns the number of seats in `ring` whose place is kept for a client that is away.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let _ = scheduler.vacate(now, bob);
    /// assert_eq!(scheduler.away(ring), 1);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn away(&self, ring: RingId) -> usize {
        self.ring(ring).map_or(0, |ring| ring.vacant.len())
    }

    /// Returns the number of seats in `ring` that wait for the turn. Costs O(number of different weights).
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// assert_eq!(scheduler.waiting(ring), 1);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn waiting(&self, ring: RingId) -> usize {
        self.ring(ring).map_or(0, |ring| {
            let is_kept =
                matches!(ring.phase, Phase::Kept(kept) if ring.seats[kept.slot() as usize].occupied);
            ring.queue.present() as usize + usize::from(is_kept)
        })
    }

    /// Returns the sum of the weights of the seats of `ring` that are queued or hold the turn.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_seats!()]
    /// let heavy = Weight::new(3).expect("1 to 100");
    /// let _ = scheduler.join(now, ring, heavy, Demand::Always, "Cid")?;
    /// assert_eq!(scheduler.weight(ring), 5);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn weight(&self, ring: RingId) -> u64 {
        self.ring(ring).map_or(0, |ring| ring.contention.weight)
    }
}

impl<S> Ring<S> {
    fn view(&self, slot: u32) -> SeatView<'_, S> {
        let seat = &self.seats[slot as usize];
        let state = match self.lease() {
            _ if !seat.occupied => SeatState::Away { until: Some(seat.since + self.terms.seat_grace) },
            Some(lease) if lease.slot() == slot => match lease.absent_until {
                Some(_) => SeatState::Away { until: None },
                None if lease.clock.is_judged() => SeatState::Judged,
                None => SeatState::Holding,
            },
            _ if self.is_waiting(slot) => SeatState::Waiting,
            _ => SeatState::Resting,
        };
        SeatView {
            seat: self.seat_id(slot),
            state,
            weight: seat.weight,
            demand: seat.demand,
            data: &seat.data,
        }
    }
}
