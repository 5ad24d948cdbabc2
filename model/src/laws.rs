//! A small world's size, and the scheduler's limits in it. Time is counted in ticks.

use std::time::Duration;

use taketurns::time::Instant;
use taketurns::turn::SchedulerConfig;

/// One tick.
pub const TICK: Duration = Duration::from_secs(1);

/// How small a world is, and what may happen in it.
#[derive(Debug, Clone)]
pub struct Laws {
    pub name: &'static str,
    /// Of the scheduler: see [`SchedulerConfig`]. Times are in ticks.
    pub min_seats: usize,
    pub max_seats: usize,
    pub max_rings: usize,
    pub deadline: u32,
    pub grace: u32,
    /// Which weights there are.
    pub weights: &'static [u8],
    /// Whether grants may be held back.
    pub holds_back: bool,
    /// How often anybody sits down, how often time goes on, and how many turns there are, at most.
    pub connections: u32,
    pub ticks: u32,
    pub turns: u64,
}

impl Laws {
    pub fn at(tick: u32) -> Instant {
        Instant::ORIGIN + TICK * tick
    }

    pub fn config(&self) -> SchedulerConfig {
        SchedulerConfig {
            min_seats: self.min_seats,
            max_seats: self.max_seats,
            max_rings: self.max_rings,
            turn_deadline: TICK * self.deadline,
            seat_grace: TICK * self.grace,
        }
    }
}
