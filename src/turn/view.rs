//! What a scheduler shows of itself to whoever watches it. Nothing here moves a turn.

use super::{Accepted, RingId, Scheduler, SeatId};
use crate::time::Instant;

/// A seat, as a watcher sees it.
#[derive(Debug, Clone, Copy)]
pub struct SeatView<'a, S> {
    /// Which.
    pub seat: SeatId,
    /// What it does.
    pub standing: Standing,
    /// Its last answer that was accepted.
    pub last: Option<Accepted>,
    /// What is kept with it.
    pub data: &'a S,
}

/// What a seat does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It holds the turn.
    Holding,
    /// Somebody sits there and waits for the turn.
    Waiting,
    /// Nobody sits there; its place is kept.
    Vacant {
        /// Until when.
        until: Instant,
    },
}

impl<S> Scheduler<S> {
    /// The seats of `ring`, in an order in which none changes its place as long as it exists. Costs what is taken.
    pub fn seats_of(&self, ring: RingId) -> impl Iterator<Item = SeatView<'_, S>> {
        let ring = self.ring(ring);
        let seats = ring.into_iter().flat_map(|ring| ring.seats.iter().map(move |seat| (ring, seat)));
        seats.filter_map(|(ring, (at, seat))| {
            let slot = u32::try_from(at).ok()?;
            let standing = match seat.is_occupied() {
                true if ring.holds(slot) => Standing::Holding,
                true => Standing::Waiting,
                false => Standing::Vacant { until: seat.since + self.config.seat_grace },
            };
            Some(SeatView { seat: ring.seat_id(slot), standing, last: seat.last, data: &seat.data })
        })
    }

    /// The number of seats in `ring` whose place is kept for somebody who is away.
    #[must_use]
    pub fn vacant(&self, ring: RingId) -> usize {
        self.ring(ring).map_or(0, |ring| ring.vacant.len())
    }

    /// The sum of the weights of the occupied seats of `ring`.
    #[must_use]
    pub fn weight(&self, ring: RingId) -> u64 {
        self.ring(ring).map_or(0, |ring| ring.weight)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::time::Instant;
    use crate::turn::{SchedulerConfig, Weight};

    #[test]
    fn a_ring_shows_its_seats_with_what_they_do_and_have_done() {
        let now = Instant::ORIGIN;
        let mut scheduler = Scheduler::new(SchedulerConfig::default());
        let ann = scheduler.join_new_ring(now, Weight::ONE, "ann").expect("there is room");
        let [bob, cid] = ["bob", "cid"]
            .map(|name| scheduler.join(now, ann.ring(), Weight::ONE, name).expect("there is room"));
        assert_eq!((scheduler.vacant(ann.ring()), scheduler.weight(ann.ring())), (0, 3));
        scheduler.answer(now, ann, None, 17).expect("it is her turn");
        scheduler.vacate(now, cid);
        let seats: Vec<_> = scheduler.seats_of(ann.ring()).collect();
        assert_eq!(seats.iter().map(|view| view.seat).collect::<Vec<_>>(), [ann, bob, cid]);
        let until = now + Duration::from_secs(60);
        let standings: Vec<_> = seats.iter().map(|view| view.standing).collect();
        assert_eq!(standings, [Standing::Waiting, Standing::Holding, Standing::Vacant { until }]);
        assert_eq!(
            seats.iter().map(|view| view.last.map(|last| last.number)).collect::<Vec<_>>(),
            [Some(17), None, None]
        );
        assert_eq!(seats.iter().map(|view| *view.data).collect::<Vec<_>>(), ["ann", "bob", "cid"]);
        assert_eq!((scheduler.vacant(ann.ring()), scheduler.weight(ann.ring())), (1, 2));
    }
}
