//! Times: a histogram for `/metrics`, and the latest times themselves for the feed.

use std::time::Duration;

use serde::Serialize;

use super::tally::micros;
use crate::time::{BOUNDS, Buckets, bucket_of};

/// A histogram of times.
#[derive(Debug, Clone)]
pub struct Timings {
    name: &'static str,
    help: &'static str,
    counts: Buckets<u64>,
    sum: f64,
}

impl Timings {
    /// Creates an empty histogram. Its name is `name` between `taketurns_` and `_seconds`; `help` is a
    /// sentence.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::status::Timings;
    /// let thinking = Timings::new("thinking", "From the turn to the move.");
    /// ```
    #[must_use]
    pub fn new(name: &'static str, help: &'static str) -> Timings {
        Timings { name, help, counts: Buckets::default(), sum: 0.0 }
    }

    /// Makes a histogram of times that were counted elsewhere.
    #[cfg(feature = "store")]
    pub(super) fn counted(
        name: &'static str,
        help: &'static str,
        counts: Buckets<u64>,
        sum: Duration,
    ) -> Timings {
        Timings { name, help, counts, sum: sum.as_secs_f64() }
    }

    /// Adds a time.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use taketurns::status::Timings;
    /// let mut thinking = Timings::new("thinking", "From the turn to the move.");
    /// thinking.note(Duration::from_millis(1_200));
    /// ```
    pub fn note(&mut self, time: Duration) {
        self.counts[bucket_of(time)] += 1;
        self.sum += time.as_secs_f64();
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn help(&self) -> &'static str {
        self.help
    }

    /// Returns each bound with the number of times up to it.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        bounds.zip(self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        }))
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(super) fn sum(&self) -> f64 {
        self.sum
    }
}

/// The most times kept between two messages of the feed. More would not improve the percentiles.
const RECENT_MAX: usize = 4096;

/// The latest times, kept while a feed has readers.
#[derive(Debug, Default)]
pub(super) struct Recent {
    micros: Vec<u64>,
    count: u64,
    max: u64,
}

/// A summary of the latest times.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    count: u64,
    p50_us: u64,
    p99_us: u64,
    max_us: u64,
}

impl Recent {
    pub(super) fn note(&mut self, time: Duration) {
        let time = micros(time);
        self.count += 1;
        self.max = self.max.max(time);
        if self.micros.len() < RECENT_MAX {
            self.micros.push(time);
        }
    }

    /// Summarises the times that were noted, and forgets them. Returns `None` if there are none.
    pub(super) fn take(&mut self) -> Option<Summary> {
        let Recent { micros, count, max } = self;
        if *count == 0 {
            return None;
        }
        let mut percentile = |percent: usize| {
            let at = (micros.len() - 1) * percent / 100;
            *micros.select_nth_unstable(at).1
        };
        let summary = Summary { count: *count, p50_us: percentile(50), p99_us: percentile(99), max_us: *max };
        self.clear();
        Some(summary)
    }

    /// Forgets all times.
    pub(super) fn clear(&mut self) {
        self.micros.clear();
        (self.count, self.max) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_times_are_summed_up_and_forgotten() {
        let mut recent = Recent::default();
        assert!(recent.take().is_none());
        for time in (0..=100).rev() {
            recent.note(Duration::from_micros(time));
        }
        let Summary { count, p50_us, p99_us, max_us } = recent.take().expect("there were some");
        assert_eq!((count, p50_us, p99_us, max_us), (101, 50, 99, 100));
        assert!(recent.take().is_none());
    }

    #[test]
    fn the_number_of_kept_times_is_limited() {
        let mut recent = Recent::default();
        (0..10_000).for_each(|time| recent.note(Duration::from_micros(time)));
        assert_eq!(recent.micros.len(), RECENT_MAX);
        let Summary { count, max_us, .. } = recent.take().expect("there were some");
        assert_eq!((count, max_us), (10_000, 9_999));
    }
}
