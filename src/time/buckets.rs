//! The bounds of histograms of times.

use std::time::Duration;

/// Upper bounds in seconds, from the quickest pass to the longest deadlines.
pub(crate) const BOUNDS: [f64; 17] = [
    20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.1, 0.5, 1.0, 5.0, 10.0,
    30.0,
];

/// The number of times up to each bound and above the one before it; the last count is for times above all
/// bounds.
pub(crate) type Buckets<C> = [C; BOUNDS.len() + 1];

/// Returns the index of the bucket that counts `time`.
pub(crate) fn bucket_of(time: Duration) -> usize {
    BOUNDS.partition_point(|bound| *bound < time.as_secs_f64())
}
