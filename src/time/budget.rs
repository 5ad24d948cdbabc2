//! A limit on the lines per second that peers may cause.

use std::time::Duration;

use super::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// A budget of lines per second, for example of a log, for all that peers cause together. A budget per peer
/// would limit nothing, because a peer may come back as another one.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use taketurns::time::{Instant, LineBudget};
///
/// let mut budget = LineBudget::new(2);
/// assert_eq!([budget.admit(), budget.admit(), budget.admit()], [true, true, false]);
/// let ends = budget.next_deadline(Instant::ORIGIN).expect("a second has begun");
/// assert_eq!(ends, Instant::ORIGIN + Duration::from_secs(1));
/// assert_eq!(budget.take_omitted(ends), 1);
/// assert!(budget.admit());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineBudget {
    per_second: u32,
    /// Lines admitted in this second.
    used: u32,
    /// Lines not admitted in this second.
    omitted: u64,
    /// When this second ends; `None` until its beginning is known.
    ends: Option<Instant>,
}

impl LineBudget {
    /// Creates a budget of `per_second` lines.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::time::LineBudget;
    /// let mut budget = LineBudget::new(100);
    /// assert!(budget.admit());
    /// ```
    #[must_use]
    pub fn new(per_second: u32) -> LineBudget {
        LineBudget { per_second, used: 0, omitted: 0, ends: None }
    }

    /// Returns whether one more line may be written. Otherwise counts it as omitted.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::time::LineBudget;
    /// let mut budget = LineBudget::new(1);
    /// assert_eq!([budget.admit(), budget.admit()], [true, false]);
    /// ```
    pub fn admit(&mut self) -> bool {
        let has_room = self.used < self.per_second;
        if has_room {
            self.used += 1;
        } else {
            self.omitted += 1;
        }
        has_room
    }

    /// Returns when to call [`take_omitted`](Self::take_omitted). The first call after a line was requested
    /// begins the second.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::time::{Instant, LineBudget};
    /// let mut budget = LineBudget::new(1);
    /// assert_eq!(budget.next_deadline(Instant::ORIGIN), None);
    /// budget.admit();
    /// assert!(budget.next_deadline(Instant::ORIGIN).is_some());
    /// ```
    pub fn next_deadline(&mut self, now: Instant) -> Option<Instant> {
        if self.ends.is_none() && self.is_used() {
            self.ends = Some(now + SECOND);
        }
        self.ends
    }

    /// Ends a second that is over at `now`. Returns the number of lines that it omitted.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::time::{Instant, LineBudget};
    /// let mut budget = LineBudget::new(1);
    /// let _ = [budget.admit(), budget.admit()];
    /// let ends = budget.next_deadline(Instant::ORIGIN).expect("a second has begun");
    /// assert_eq!((budget.take_omitted(Instant::ORIGIN), budget.take_omitted(ends)), (0, 1));
    /// ```
    pub fn take_omitted(&mut self, now: Instant) -> u64 {
        match self.ends {
            Some(ends) if ends <= now => self.take_all_omitted(),
            _ => 0,
        }
    }

    /// Like [`take_omitted`](Self::take_omitted), even if the second is not over: for the end of a program.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::time::LineBudget;
    /// let mut budget = LineBudget::new(1);
    /// let _ = [budget.admit(), budget.admit()];
    /// assert_eq!(budget.take_all_omitted(), 1);
    /// ```
    pub fn take_all_omitted(&mut self) -> u64 {
        (self.used, self.ends) = (0, None);
        std::mem::take(&mut self.omitted)
    }

    /// Returns whether a line was requested in this second.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::time::LineBudget;
    /// let mut budget = LineBudget::new(1);
    /// budget.admit();
    /// assert!(budget.is_used());
    /// ```
    #[must_use]
    pub fn is_used(&self) -> bool {
        u64::from(self.used) | self.omitted != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ORIGIN + Duration::from_millis(ms)
    }

    #[test]
    fn a_second_begins_with_its_first_line_and_a_new_one_after_it() {
        let mut budget = LineBudget::new(3);
        assert_eq!((budget.next_deadline(at(0)), budget.take_omitted(at(5_000))), (None, 0));
        assert!(budget.admit());
        assert_eq!(budget.next_deadline(at(400)), Some(at(1_400)));
        assert_eq!((0..10).filter(|_| budget.admit()).count(), 2);
        assert_eq!(budget.next_deadline(at(900)), Some(at(1_400)), "it goes on");
        assert_eq!((budget.take_omitted(at(1_399)), budget.take_omitted(at(1_400))), (0, 8));
        assert_eq!(budget.next_deadline(at(1_500)), None, "nothing was asked for since");
        assert!(budget.admit());
        assert_eq!(budget.next_deadline(at(1_600)), Some(at(2_600)));
        assert_eq!(budget.take_omitted(at(9_000)), 0);
    }

    #[test]
    fn no_line_at_all_is_a_budget_too() {
        let mut budget = LineBudget::new(0);
        assert!(!budget.admit());
        assert_eq!(budget.next_deadline(at(0)), Some(at(1_000)));
        assert_eq!(budget.take_all_omitted(), 1);
    }
}
