//! The status listener's limits and times, and why each stands where it does.

use std::time::Duration;

/// Limits and times of a [`StatusServer`](super::StatusServer).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusConfig {
    /// Connections at once; one more is answered 503, and dropped without a word when 16 of those are not gone yet. Default 64: a
    /// scraper, a few probes, and people who look. Each may keep a request, or at most one text that it has not read yet.
    pub connections_max: usize,
    /// How many of them may be feeds, which stay; one more is answered 503. Default 32: never all, so that a probe gets through.
    pub feeds_max: usize,
    /// The longest head of a request: its first line and its headers. A longer one is answered 431. Default 8 KiB.
    pub head_bytes_max: usize,
    /// How long the head of a request may take to come; then it is answered 408. Default 5 s.
    pub head_timeout: Duration,
    /// How long a reader may take nothing of what is queued for it; then it is closed. Default 10 s.
    pub write_timeout: Duration,
    /// The shortest time between two messages of a feed, and the longest that the text of `/metrics` may be old. Default 100 ms:
    /// however many ask, so often are both made, because the turns wait meanwhile.
    pub interval: Duration,
    /// The longest time between two messages of a feed, so that its reader knows that the server lives. Default 1 s.
    pub heartbeat: Duration,
}

impl Default for StatusConfig {
    fn default() -> Self {
        StatusConfig {
            connections_max: 64,
            feeds_max: 32,
            head_bytes_max: 8 * 1024,
            head_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
            interval: Duration::from_millis(100),
            heartbeat: Duration::from_secs(1),
        }
    }
}
