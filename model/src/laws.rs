//! The size of a small world, and the scheduler's rules in it. Time is counted in ticks.

use std::time::Duration;

use taketurns::time::Instant;
use taketurns::turn::{Demand, HoldMax, Judging, Rules, SchedulerConfig, Weight};

/// One tick: the time to which the rest of a kept turn is raised.
pub const TICK: Duration = Duration::from_secs(1);

/// The size of a world, and the events that are possible in it.
#[derive(Debug, Clone)]
pub struct Laws {
    pub name: &'static str,
    /// Rules of the rings and the scheduler: see [`Rules`] and [`SchedulerConfig`]. Times are in ticks.
    pub min_seats: usize,
    pub max_seats: usize,
    pub max_rings: usize,
    pub deadline: u32,
    pub hold_max: Option<u32>,
    pub turn_grace: u32,
    pub seat_grace: u32,
    /// How long a host may judge a turn; 0 if answers count when they are read.
    pub judging: u32,
    pub proposals: u16,
    /// The possible weights and demands.
    pub weights: &'static [u8],
    pub demands: &'static [Demand],
    /// Whether a grant waits until its holder is told, in a separate step.
    pub tells: bool,
    /// Whether the host skips, names, extends and pauses.
    pub hosts: bool,
    /// The most times that a client sits down, the most ticks, and the most turns.
    pub connections: u32,
    pub ticks: u32,
    pub turns: u64,
    /// How often the server dies at most.
    pub restarts: u32,
    /// How long seats keep their places after that, in ticks.
    pub return_time: u32,
}

impl Laws {
    pub fn at(tick: u32) -> Instant {
        Instant::ORIGIN + TICK * tick
    }

    pub fn rules(&self) -> Rules {
        let mut rules = Rules::default();
        rules.min_seats = self.min_seats;
        rules.weight_max = Weight::MAX;
        rules.turn_deadline = TICK * self.deadline;
        rules.hold_max = self.hold_max.map_or(HoldMax::Unlimited, |hold| HoldMax::Time(TICK * hold));
        (rules.turn_grace, rules.seat_grace) = (TICK * self.turn_grace, TICK * self.seat_grace);
        if self.judging > 0 {
            rules.judging = Judging::Host;
            (rules.judging_timeout, rules.proposals_max) = (TICK * self.judging, self.proposals);
        }
        rules
    }

    pub fn config(&self) -> SchedulerConfig {
        let mut config = SchedulerConfig::default();
        (config.max_seats, config.max_rings, config.rules) = (self.max_seats, self.max_rings, self.rules());
        config
    }
}
