//! The only code that reads a clock, and turns a deadline into a poll timeout.

use std::time::{Duration, Instant, SystemTime};

use crate::time::Now;

/// Reads both clocks. Once a pass: everything that happens in one pass happens at one `Now`.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Now {
    Now { instant: Instant::now(), wall: SystemTime::now() }
}

/// How long `mio::Poll::poll` may sleep at `now` with this `deadline`: zero when it is past, `None` for ever.
///
/// mio rounds up to whole milliseconds, so a poll does not end before the deadline but up to 1 ms later.
#[must_use]
pub fn poll_timeout(now: Now, deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(now.instant))
}
