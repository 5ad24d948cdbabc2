//! Time as an argument: [`Now`] comes in from outside, and what waits says when it wants to be called.
//!
//! Nothing in here, nor in the scheduler, the framing or the protocols, reads a clock. That is what lets
//! a simulation replay hours in milliseconds, and what keeps every decision of one pass at one instant.

mod budget;
mod instant;
mod timers;

use std::time::{Duration, SystemTime};

pub use budget::LineBudget;
pub use instant::Instant;
pub(crate) use instant::Nanos;
pub(crate) use timers::Deadlines;
pub(crate) use timers::{Alarm, Timers};

/// One reading of both clocks, taken once a pass.
///
/// Turns, deadlines and timeouts follow `instant` alone; a jump of the wall clock moves no turn.
/// [`wall`](Self::wall) is for what people read: log files and timestamped answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Now {
    /// Monotonic time.
    pub instant: Instant,
    /// Wall-clock time since 1970. As short as it can be, so that both times travel in registers.
    wall: Nanos,
}

impl Now {
    /// Where virtual time begins.
    pub const ORIGIN: Now = Now { instant: Instant::ORIGIN, wall: Nanos::ZERO };

    /// Both times. A `wall` before 1970 counts as 1970.
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

    /// Wall-clock time, until the year 2554.
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

/// The earlier of two deadlines, of which either may be missing.
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    Instant::earlier(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_times_fit_two_registers_and_come_out_as_they_were() {
        assert_eq!(size_of::<Now>(), 16);
        let wall = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_700);
        let now = Now::new(Instant::FAR_FUTURE, wall);
        assert_eq!((now.instant, now.wall()), (Instant::FAR_FUTURE, wall));
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Now::new(Instant::ORIGIN, early), Now::ORIGIN);
        assert_eq!(Now::ORIGIN.wall(), SystemTime::UNIX_EPOCH);
    }
}
