//! Time as an argument: [`Now`] comes in from outside, and what waits says when it wants to be called.
//!
//! Nothing in here, nor in the scheduler, the framing or the protocols, reads a clock. That is what lets
//! a simulation replay hours in milliseconds, and what keeps every decision of one pass at one instant.

mod instant;
mod timers;

use std::time::SystemTime;

pub use instant::Instant;
pub(crate) use instant::Nanos;
pub(crate) use timers::Deadlines;
pub(crate) use timers::{Alarm, Timers};

/// One reading of both clocks, taken once a pass.
///
/// Turns, deadlines and timeouts follow `instant` alone; a jump of the wall clock moves no turn.
/// `wall` is for what people read: log files and timestamped answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time.
    pub instant: Instant,
    /// Wall-clock time.
    pub wall: SystemTime,
}

impl Now {
    /// Where virtual time begins.
    pub const ORIGIN: Now = Now { instant: Instant::ORIGIN, wall: SystemTime::UNIX_EPOCH };
}

/// The earlier of two deadlines, of which either may be missing.
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    Instant::earlier(a, b)
}
