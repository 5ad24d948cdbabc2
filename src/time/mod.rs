//! Time as an argument: [`Now`] comes in from outside, and what waits says when it wants to be called.
//!
//! Nothing in here, nor in the scheduler, the framing or the protocols, reads a clock. That is what lets
//! a simulation replay hours in milliseconds, and what keeps every decision of one pass at one instant.

mod instant;
mod timers;

use std::time::{Duration, SystemTime};

pub use instant::Instant;
pub(crate) use instant::Nanos;
pub(crate) use timers::Deadlines;
pub(crate) use timers::{Alarm, Timers};

/// One reading of both clocks, taken once a pass.
///
/// Turns, deadlines and timeouts follow `instant` alone; a jump of the wall clock moves no turn.
/// [`wall`](Self::wall) is for what people read: log files and timestamped answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    #[must_use]
    pub fn new(instant: Instant, wall: SystemTime) -> Now {
        Now { instant, wall: wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().into() }
    }

    /// Wall-clock time, until the year 2554.
    #[must_use]
    pub fn wall(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from(self.wall)
    }
}

/// The earlier of two deadlines, of which either may be missing.
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    Instant::earlier(a, b)
}
