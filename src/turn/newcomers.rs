//! Where a newcomer starts.

use std::collections::BinaryHeap;

use super::seat::order_before_all;
use super::share::Rank;

/// Keeps those who leave and join again from having the turn over and over while the others wait.
///
/// A newcomer sits at the end of the ring, and a lap that has not come round to its start gives it a turn. A client
/// that leaves after its turn and joins again would always be such a newcomer. So a lap takes in only as many newcomers as
/// the ring has seats; each further one takes over the claim of a seat that left with its turn in this lap behind it, and starts with
/// the next lap.
#[derive(Debug, Clone, Default)]
pub(super) struct Newcomers {
    lap: u64,
    admitted: usize,
    /// The next claims of seats that left after their turn in this lap, and some that are past. No more than the seats that the ring
    /// has, and those that left since the position moved.
    departed: BinaryHeap<u64>,
}

impl Newcomers {
    #[cfg(test)]
    pub(super) fn remembered_departures(&self) -> usize {
        self.departed.len()
    }

    /// All that is remembered, in an order that does not depend on the past.
    pub(super) fn claims(&self) -> (u64, usize, Vec<u64>) {
        (self.lap, self.admitted, self.departed.clone().into_sorted_vec())
    }

    /// The rank from which a newcomer starts that would sit at `end` of a ring with `occupied` seats.
    pub(super) fn admit(&mut self, end: Rank, occupied: usize) -> Rank {
        if self.lap != end.lap() {
            (self.lap, self.admitted) = (end.lap(), 0);
        }
        if self.departed.peek().is_none_or(|&claim| claim <= end.point) {
            self.departed.clear();
        }
        self.admitted += 1;
        match self.departed.peek() {
            Some(&claim) if self.admitted > occupied.max(1) => {
                self.departed.pop();
                Rank { point: claim, order: order_before_all(end.order) }
            }
            _ => end,
        }
    }

    /// A seat left whose next claim would have been `claim`.
    pub(super) fn departed(&mut self, claim: u64, position: Rank, occupied: usize) {
        if claim <= position.point {
            return;
        }
        if self.departed.len() > occupied {
            self.departed.retain(|&claim| claim > position.point);
        }
        self.departed.push(claim);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAP: u64 = 720_720;

    fn rank(point: u64, order: i64) -> Rank {
        Rank { point, order }
    }

    #[test]
    fn a_lap_takes_in_as_many_newcomers_as_the_ring_has_seats() {
        let mut newcomers = Newcomers::default();
        for _ in 0..3 {
            newcomers.departed(LAP, rank(0, 3), 2);
        }
        let mut admit = |point, order| newcomers.admit(rank(point, order), 2);
        assert_eq!([4, 5].map(|order| admit(0, order)), [rank(0, 4), rank(0, 5)]);
        assert!(
            [6, 7].map(|order| admit(0, order)).iter().all(|start| start.point == LAP),
            "with the next lap"
        );
        assert_eq!(admit(LAP - 1, 8).point, LAP, "still the same lap");
        assert_eq!(admit(LAP - 1, 9), rank(LAP - 1, 9), "as many as have left, and no more");
        assert_eq!([10, 11].map(|order| admit(LAP, order)), [rank(LAP, 10), rank(LAP, 11)], "another lap");
    }

    #[test]
    fn departures_that_are_past_are_forgotten() {
        let mut newcomers = Newcomers::default();
        newcomers.departed(5, rank(5, 1), 0);
        assert!(newcomers.departed.is_empty(), "its next turn would not have been in a later lap");
        for claim in 1..=9 {
            newcomers.departed(claim, rank(0, 1), 3);
        }
        newcomers.departed(10, rank(5, 1), 3);
        assert_eq!(newcomers.departed.clone().into_sorted_vec(), [6, 7, 8, 9, 10]);
        newcomers.admit(rank(10, 1), 3);
        assert!(newcomers.departed.is_empty());
    }
}
