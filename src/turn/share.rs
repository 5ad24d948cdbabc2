//! What a seat may claim: stride scheduling on a fixed grid.
//!
//! Virtual time is counted in laps of [`LAP`] points; a seat of weight `w` owns `w` points in every lap, spread evenly, the first on
//! the lap's start. The waiting seat with the lowest point is next, and ties go by place. From that follow, exactly and not only on
//! average:
//!
//! - equal weights: every seat once a lap, in the order of their places, which is ring order;
//! - any stretch of `LAP` points holds exactly `w` points of a seat, so between two turns of a weight-1
//!   seat every other seat has at most its weight in turns. That is the stated bound on waiting.

use super::seat::Weight;
use crate::hint::unlikely;

/// Points in a lap: divisible by 1 to 16, so that common weights are spread without rounding.
const LAP: u64 = 720_720;

/// A seat's rank in the queue: its point on the grid, then ring order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub(super) struct Rank {
    pub(super) point: u64,
    /// Ring order: breaks ties between points; unique among the seats of a ring.
    pub(super) order: i64,
}

impl Rank {
    pub(super) fn lap(self) -> u64 {
        self.point / LAP
    }
}

/// A seat's claim on turns: its weight and the next of its points on the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    point: u64,
    pub(super) weight: Weight,
    /// Which of the seat's points within the lap, `0..weight`.
    nth: u8,
}

impl Share {
    /// The first claim at or after `point`.
    pub(super) fn starting_at(weight: Weight, point: u64) -> Share {
        let w = u64::from(weight.value());
        let (lap, offset) = (point / LAP, point % LAP);
        let nth = if offset == 0 { 0 } else { (offset - 1) * w / LAP + 1 };
        match u8::try_from(nth) {
            Ok(nth) if nth < weight.value() => Share { point: lap * LAP + within(weight, nth), weight, nth },
            _ => Share { point: (lap + 1) * LAP, weight, nth: 0 },
        }
    }

    pub(super) fn point(&self) -> u64 {
        self.point
    }

    /// Moves on to the next point: what a turn costs.
    #[inline]
    pub(super) fn charge(&mut self) {
        if unlikely(self.weight != Weight::ONE) {
            return self.charge_part();
        }
        self.point += LAP;
    }

    /// A turn of a seat that has several in a lap.
    #[cold]
    fn charge_part(&mut self) {
        let lap = self.point - within(self.weight, self.nth);
        self.nth += 1;
        if self.nth == self.weight.value() {
            (self.point, self.nth) = (lap + LAP, 0);
        } else {
            self.point = lap + within(self.weight, self.nth);
        }
    }

    /// Moves on until the seat with `order` stands behind `position`: turns missed while away are not made up for,
    /// or the seat would hold the turn many times in a row while the others starve.
    pub(super) fn catch_up(&mut self, position: Rank, order: i64) {
        if self.point() < position.point {
            *self = Share::starting_at(self.weight, position.point);
        }
        if self.point() == position.point && order <= position.order {
            self.charge();
        }
    }
}

/// How far behind its lap's start the `nth` point of a seat of `weight` is.
fn within(weight: Weight, nth: u8) -> u64 {
    match nth {
        0 => 0,
        nth => (u64::from(nth) * LAP).div_ceil(u64::from(weight.value())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(w: u8) -> Weight {
        Weight::new(w).expect("1 to 100")
    }

    #[test]
    fn any_lap_holds_exactly_weight_points() {
        for w in 1..=100 {
            let mut share = Share::starting_at(weight(w), 0);
            let mut points = Vec::new();
            for _ in 0..3 * u32::from(w) {
                points.push(share.point());
                share.charge();
            }
            assert!(points.windows(2).all(|pair| pair[0] < pair[1]), "weight {w} advances");
            for &start in &points[..usize::from(w)] {
                let inside = points.iter().filter(|&&p| (start..start + LAP).contains(&p)).count();
                assert_eq!(inside, usize::from(w), "weight {w} from {start}");
            }
        }
    }

    #[test]
    fn laps_are_counted_from_0_and_beyond_32_bits() {
        assert_eq!([0, LAP - 1, LAP, 3 * LAP + 1].map(|point| Rank { point, order: 1 }.lap()), [0, 0, 1, 3]);
        for lap in [1, u64::from(u32::MAX), 1 << 32, (3 << 32) + 5] {
            let mut share = Share::starting_at(weight(1), lap * LAP);
            assert_eq!(share.point(), lap * LAP);
            share.charge();
            assert_eq!(share.point(), (lap + 1) * LAP);
        }
    }

    #[test]
    fn starting_at_finds_the_first_point_not_before() {
        for w in [1, 2, 3, 7, 40, 99, 100] {
            let mut share = Share::starting_at(weight(w), 0);
            let mut before = None;
            for _ in 0..2 * u32::from(w) {
                let point = share.point();
                assert_eq!(Share::starting_at(weight(w), point), share);
                if let Some(before) = before {
                    assert_eq!(Share::starting_at(weight(w), before + 1), share);
                }
                before = Some(point);
                share.charge();
            }
        }
    }
}
