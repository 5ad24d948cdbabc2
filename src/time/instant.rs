//! A point in monotonic time that can be created without a clock.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A point in monotonic time: nanoseconds since an origin, which is the same for all times that a process
/// compares.
///
/// It corresponds to [`std::time::Instant`], but can be created without a clock, so that a test or a
/// simulation can begin at any time; and it takes half the space. [`net::now`](crate::net::now) reads the
/// system's clock. Without the feature `net`, use `Instant::ORIGIN + start.elapsed()`, with a
/// [`std::time::Instant`] as `start`. Arithmetic never panics, but saturates at [`ORIGIN`](Self::ORIGIN) and
/// [`FAR_FUTURE`](Self::FAR_FUTURE).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use taketurns::time::Instant;
///
/// let deadline = Instant::ORIGIN + Duration::from_secs(30);
/// assert_eq!(deadline - Instant::ORIGIN, Duration::from_secs(30));
/// assert_eq!(Instant::ORIGIN + Duration::MAX, Instant::FAR_FUTURE);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(
    /// One more than the nanoseconds, so that an optional deadline is no larger.
    NonZeroU64,
);

impl Instant {
    /// The beginning of counting, and a good start for virtual time.
    pub const ORIGIN: Instant = Instant(NonZeroU64::MIN);

    /// The last point in time, 584 years after the origin, at which additions saturate.
    pub const FAR_FUTURE: Instant = Instant(NonZeroU64::MAX);

    /// Returns the time `secs` and `nanos` after the origin.
    #[cfg(all(feature = "net", target_os = "linux"))]
    #[inline]
    pub(crate) fn new(secs: u64, nanos: u64) -> Instant {
        // No clock has run for 584 years, and none resolves single nanoseconds, so rounding to an odd number
        // costs no branch.
        Instant(NonZeroU64::MIN | secs.wrapping_mul(1_000_000_000).wrapping_add(nanos))
    }

    /// Returns the time since `earlier`; zero if that is later.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use taketurns::time::Instant;
    ///
    /// let later = Instant::ORIGIN + Duration::from_secs(5);
    /// assert_eq!(later.saturating_duration_since(Instant::ORIGIN), Duration::from_secs(5));
    /// assert_eq!(Instant::ORIGIN.saturating_duration_since(later), Duration::ZERO);
    /// ```
    #[must_use]
    #[inline]
    pub fn saturating_duration_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    /// Returns the time since `earlier`; zero if that is later.
    #[inline]
    pub(crate) fn nanos_since(self, earlier: Instant) -> Nanos {
        Nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    /// Returns the earlier of two optional times. Without a branch, because it is called several times in
    /// every pass.
    #[inline]
    pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
        // After subtracting one, a missing time is later than all others.
        let rank = |at: Option<Instant>| at.map_or(0, |at| at.0.get()).wrapping_sub(1);
        NonZeroU64::new(rank(a).min(rank(b)).wrapping_add(1)).map(Instant)
    }

    /// Returns the time since the origin.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use taketurns::time::Instant;
    /// assert_eq!((Instant::ORIGIN + Duration::from_secs(5)).since_origin(), Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn since_origin(self) -> Duration {
        self.saturating_duration_since(Instant::ORIGIN)
    }
}

/// A duration in the form in which it is added to an [`Instant`]. Anything above 584 years counts as 584
/// years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Nanos(u64);

impl Nanos {
    pub(crate) const ZERO: Nanos = Nanos(0);
    pub(crate) const MAX: Nanos = Nanos(u64::MAX);

    /// Returns whole milliseconds.
    #[inline]
    pub(crate) fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    #[inline]
    pub(crate) fn saturating_sub(self, Nanos(by): Nanos) -> Nanos {
        Nanos(self.0.saturating_sub(by))
    }

    #[inline]
    pub(crate) fn saturating_add(self, Nanos(by): Nanos) -> Nanos {
        Nanos(self.0.saturating_add(by))
    }
}

impl From<Duration> for Nanos {
    #[inline]
    fn from(duration: Duration) -> Nanos {
        let secs = duration.as_secs().saturating_mul(1_000_000_000);
        Nanos(secs.saturating_add(duration.subsec_nanos().into()))
    }
}

impl From<Nanos> for Duration {
    fn from(Nanos(nanos): Nanos) -> Duration {
        Duration::from_nanos(nanos)
    }
}

impl Add<Nanos> for Instant {
    type Output = Instant;

    #[inline]
    fn add(self, Nanos(by): Nanos) -> Instant {
        Instant(self.0.saturating_add(by))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    #[inline]
    fn add(self, by: Duration) -> Instant {
        self + Nanos::from(by)
    }
}

impl Sub<Nanos> for Instant {
    type Output = Instant;

    #[inline]
    fn sub(self, Nanos(by): Nanos) -> Instant {
        NonZeroU64::new(self.0.get().saturating_sub(by)).map_or(Instant::ORIGIN, Instant)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, by: Duration) {
        *self = *self + by;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, by: Duration) -> Instant {
        let left = self.0.get().saturating_sub(Nanos::from(by).0);
        NonZeroU64::new(left).map_or(Instant::ORIGIN, Instant)
    }
}

/// Like [`saturating_duration_since`](Instant::saturating_duration_since).
impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instant").field(&self.since_origin()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_time_does_not_panic() {
        let at = |secs| Instant::ORIGIN + Duration::from_secs(secs);
        for by in [Duration::MAX, Duration::from_secs(u64::MAX / 1_000_000_000), Duration::from_secs(1 << 40)]
        {
            assert_eq!(at(7) + by, Instant::FAR_FUTURE, "{by:?}");
        }
        assert!(at(30 * 365 * 24 * 60 * 60) < Instant::FAR_FUTURE);
        assert_eq!(at(7) - Duration::MAX, Instant::ORIGIN);
        assert_eq!(at(7) - Duration::from_secs(7), Instant::ORIGIN);
    }

    #[test]
    fn the_added_duration_is_the_difference() {
        let (start, by) = (Instant::ORIGIN + Duration::from_nanos(7), Duration::new(3, 999_999_999));
        let mut end = start;
        end += by;
        assert_eq!((end, end - start, end - by, start - end), (start + by, by, start, Duration::ZERO));
        assert_eq!(end.since_origin(), by + Duration::from_nanos(7));
        assert_eq!(format!("{:?}", Instant::ORIGIN + Duration::from_millis(1500)), "Instant(1.5s)");
    }

    #[test]
    fn an_optional_deadline_is_no_larger() {
        assert_eq!(size_of::<Option<Instant>>(), 8);
    }
}
