//! The only code that reads a clock, and turns a deadline into a poll timeout.

use std::time::{Duration, SystemTime};

use crate::hint::unlikely;
use crate::time::{Instant, Now};

/// Reads both clocks. Call it once per pass, because everything in a pass happens at the same `Now`.
///
/// # Examples
///
/// ```
/// let begun = taketurns::net::now();
/// assert!(taketurns::net::now().instant >= begun.instant);
/// ```
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Now {
    Now::new(monotonic(), SystemTime::now())
}

/// Reads the monotonic clock, which counts from an origin of the system.
#[cfg(target_os = "linux")]
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
#[inline(always)]
fn monotonic() -> Instant {
    let read = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    #[allow(clippy::useless_conversion, reason = "it has 32 bits on some systems")]
    let nanos = u64::from(read.tv_nsec.cast_unsigned());
    Instant::new(read.tv_sec.cast_unsigned(), nanos)
}

#[cfg(not(target_os = "linux"))]
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
fn monotonic() -> Instant {
    use std::sync::OnceLock;
    use std::time;

    static ORIGIN: OnceLock<time::Instant> = OnceLock::new();
    Instant::ORIGIN + ORIGIN.get_or_init(time::Instant::now).elapsed()
}

/// Returns how long `mio::Poll::poll` may sleep at `now` with this `deadline`: zero if it has passed, `None`
/// if there is none.
///
/// mio rounds up to whole milliseconds, so a poll does not end before the deadline but up to 1 ms later.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use taketurns::net::{now, poll_timeout};
///
/// let now = now();
/// let soon = now.instant + Duration::from_secs(2);
/// assert_eq!(poll_timeout(now, Some(soon)), Some(Duration::from_secs(2)));
/// assert_eq!(poll_timeout(now, Some(now.instant)), Some(Duration::ZERO));
/// assert_eq!(poll_timeout(now, None), None);
/// ```
#[must_use]
pub fn poll_timeout(now: Now, deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(now.instant))
}

/// The greatest age of the wall clock's reading in [`Clock::now`].
const WALL_AGE_MAX: Duration = Duration::from_millis(1);

/// Reads the monotonic clock once a pass, and the wall clock at most once a millisecond: turns never follow
/// it, and a person reads nothing finer.
#[derive(Debug)]
pub(super) struct Clock {
    last: Now,
    /// The reading of the wall clock in `last` is recent enough until then.
    wall_until: Instant,
}

impl Clock {
    pub(super) fn new() -> Clock {
        let last = now();
        Clock { last, wall_until: last.instant }
    }

    /// Reads the clocks.
    #[inline(always)]
    pub(super) fn now(&mut self) -> Now {
        let instant = monotonic();
        self.last.instant = instant;
        if unlikely(instant >= self.wall_until) {
            self.read_wall(instant);
        }
        self.last
    }

    #[cold]
    #[allow(clippy::disallowed_methods, reason = "this is the one place")]
    fn read_wall(&mut self, instant: Instant) {
        self.last = Now::new(instant, SystemTime::now());
        self.wall_until = instant + WALL_AGE_MAX;
    }

    /// Returns the last reading.
    pub(super) fn last(&self) -> Now {
        self.last
    }
}
