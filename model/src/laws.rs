//! A small world's size, and the scheduler's rules in it. Time is counted in ticks.

use std::time::Duration;

use taketurns::time::Instant;
use taketurns::turn::{Demand, HoldMax, Judging, Rules, SchedulerConfig, Weight};

/// One tick: the time that a kept turn is raised to.
pub const TICK: Duration = Duration::from_secs(1);

/// How small a world is, and what may happen in it.
#[derive(Debug, Clone)]
pub struct Laws {
    pub name: &'static str,
    /// Of the rings and the scheduler: see [`Rules`] and [`SchedulerConfig`]. Times are in ticks.
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
    /// The weights and demands that there are.
    pub weights: &'static [u8],
    pub demands: &'static [Demand],
    /// Whether a grant waits until its holder is told, in a step of its own.
    pub tells: bool,
    /// Whether the host skips, names, extends, pauses.
    pub hosts: bool,
    /// How often a client sits down, how often time goes on, and how many turns there are, at most.
    pub connections: u32,
    pub ticks: u32,
    pub turns: u64,
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
