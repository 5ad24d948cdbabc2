//! Figures of rounds: medians, and ratios to another contender in the same round.

use crate::rings::{Busy, BusySeries};
use crate::round::{Play, Series};

/// The median, the lowest and the highest of some figures, one per round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Spread {
    /// # Panics
    ///
    /// Without any figure.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Spread {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Spread { median, low: sorted[0], high: sorted[sorted.len() - 1] }
    }
}

/// A figure of a round, such as a percentile.
pub type Figure<R> = fn(&R) -> f64;

impl Series {
    pub fn spread(&self, figure: impl Fn(&Play) -> f64) -> Spread {
        Spread::of(self.plays.iter().map(figure))
    }

    /// Returns the ratio of `figure` to that of `base`, round by round.
    pub fn ratio(&self, base: &Series, figure: impl Fn(&Play) -> f64) -> Spread {
        Spread::of(self.plays.iter().zip(&base.plays).map(|(play, base)| figure(play) / figure(base)))
    }
}

impl Play {
    /// Returns a quantile, in µs.
    pub fn quantile(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }

    /// Returns the server's processor time per turn, in µs.
    pub fn cpu_per_turn(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.latency.len() as f64
    }
}

impl BusySeries {
    pub fn spread(&self, figure: Figure<Busy>) -> Spread {
        Spread::of(self.rounds.iter().map(figure))
    }

    pub fn ratio(&self, base: &BusySeries, figure: Figure<Busy>) -> Spread {
        Spread::of(self.rounds.iter().zip(&base.rounds).map(|(busy, base)| figure(busy) / figure(base)))
    }
}

impl Busy {
    pub fn turns_per_second(&self) -> f64 {
        self.turns as f64 / self.took.as_secs_f64()
    }

    /// Returns the server's processor time per turn, in µs.
    pub fn cpu_per_turn(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.turns as f64
    }

    /// Returns the turns per second of the busiest thread's processor time: what the server could do if each
    /// thread had a processor, and the clients were elsewhere.
    pub fn turns_per_busy_second(&self) -> f64 {
        self.turns as f64 / self.busiest.as_secs_f64()
    }
}

/// Formats a figure with three digits, or with all digits before the point.
pub fn rounded(figure: f64) -> String {
    let digits = if figure < 10.0 { 2 } else { usize::from(figure < 100.0) };
    format!("{figure:.digits$}")
}
