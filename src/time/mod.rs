//! Time as an argument: [`Now`] comes in from outside, and anything that waits reports its deadline.
//!
//! Neither this module nor the scheduler, the framing or the protocols read a clock. So a simulation can
//! replay hours in milliseconds, and all decisions of a pass are made at the same instant.

#[cfg(any(feature = "store", feature = "status"))]
mod buckets;
mod budget;
mod instant;
mod timers;

use std::time::{Duration, SystemTime};

#[cfg(any(feature = "store", feature = "status"))]
pub(crate) use buckets::{BOUNDS, Buckets, bucket_of};
pub use budget::LineBudget;
pub use instant::Instant;
pub(crate) use instant::Nanos;
pub(crate) use timers::Deadlines;
pub(crate) use timers::{Alarm, Timers};

/// One reading of both clocks, taken once per pass.
///
/// Turns, deadlines and timeouts depend on `instant` only, so a jump of the wall clock moves no turn.
/// [`wall`](Self::wall) is for people: log files and timestamped answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Now {
    /// Monotonic time.
    pub instant: Instant,
    /// Wall-clock time since 1970. It is compact, so that both times travel in registers.
    wall: Nanos,
}

impl Now {
    /// The beginning of virtual time.
    pub const ORIGIN: Now = Now { instant: Instant::ORIGIN, wall: Nanos::ZERO };

    /// Combines both times. A `wall` before 1970 counts as 1970.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use taketurns::time::{Instant, Now};
    ///
    /// // A test chooses both.
    /// let now = Now::new(Instant::ORIGIN, SystemTime::UNIX_EPOCH);
    /// assert_eq!(now, Now::ORIGIN);
    /// ```
    #[must_use]
    pub fn new(instant: Instant, wall: SystemTime) -> Now {
        Now { instant, wall: wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().into() }
    }

    /// Returns the wall-clock time, until the year 2554.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::SystemTime;
    /// # use taketurns::time::Now;
    /// assert_eq!(Now::ORIGIN.wall(), SystemTime::UNIX_EPOCH);
    /// ```
    #[must_use]
    pub fn wall(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from(self.wall)
    }
}

/// Returns the earlier of two optional deadlines.
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    Instant::earlier(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_times_fit_into_two_registers_and_are_preserved() {
        assert_eq!(size_of::<Now>(), 16);
        let wall = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_700);
        let now = Now::new(Instant::FAR_FUTURE, wall);
        assert_eq!((now.instant, now.wall()), (Instant::FAR_FUTURE, wall));
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Now::new(Instant::ORIGIN, early), Now::ORIGIN);
        assert_eq!(Now::ORIGIN.wall(), SystemTime::UNIX_EPOCH);
    }
}
