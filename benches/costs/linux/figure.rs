//! One row of the table.

use std::fmt;

/// A count and the most that is allowed.
#[derive(Debug, Clone)]
pub struct Figure {
    pub what: String,
    pub measured: f64,
    pub allowed: f64,
    /// Advice for when the count is too high.
    pub advice: String,
}

impl Figure {
    pub const HEAD: &str =
        "figure                                               measured  allowed          if it is more";

    pub fn is_too_much(&self) -> bool {
        self.measured > self.allowed
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figure { what, measured, allowed, advice } = self;
        let verdict = if self.is_too_much() { "TOO MUCH" } else { "ok" };
        write!(f, "{what:<51} {measured:>9.2} {allowed:>8.2} {verdict:<8} {advice}")
    }
}
