//! The status listener's limits and times, and why each stands where it does.

use std::time::Duration;

use super::page::PAGE;
use crate::net::DriverConfig;

/// Limits and times of a [`StatusServer`](super::StatusServer).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StatusConfig {
    /// Connections at once. One more takes the place of one that has had its answer and not closed, else of
    /// one that has not sent its request, else of one that does not read its answer; of those, of the oldest.
    /// Only feeds keep theirs. Default 64: a scraper, a few probes, and people who look. Each may keep a
    /// request, or at most one text that it has not read yet.
    pub connections_max: usize,
    /// How many of them may be feeds, which stay; one more is answered 503. Default 32; at most all but one,
    /// so that a probe gets through.
    pub feeds_max: usize,
    /// The longest head of a request: its first line and its headers. A longer one is answered 431. Default 8
    /// KiB.
    pub head_bytes_max: usize,
    /// How long the head of a request may take to come; then it is answered 408. Default 5 s.
    pub head_timeout: Duration,
    /// How long the reader of an answer may take for it, and that of a feed may take nothing of it; then it
    /// is closed. Default 10 s.
    pub write_timeout: Duration,
    /// The shortest time between two messages of a feed, and the longest that the text of `/metrics` may be
    /// old. Default 100 ms: however many ask, so often are both made, because the turns wait meanwhile. Less
    /// than 1 ms counts as 1 ms.
    pub interval: Duration,
    /// The longest time between two messages of a feed, so that its reader knows that the server lives.
    /// Default 1 s; less than 1 ms counts as 1 ms.
    pub heartbeat: Duration,
    /// The page at `/`, in one file: its `<style>` and `<script>` elements, without attributes, run, images
    /// may be `data:` URLs, and it may connect to where it came from. A policy forbids everything else.
    /// Default: the page that shows the feed.
    pub page: &'static str,
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
            page: PAGE,
        }
    }
}

/// Newcomers of one pass: the connections beyond [`StatusConfig::connections_max`] that exist until others
/// have made room.
const ACCEPTS_MAX: usize = 16;

/// Shorter pauses would keep the loop busy with nothing else.
const PAUSE_MIN: Duration = Duration::from_millis(1);

impl StatusConfig {
    /// The same with pauses, and a connection, that are left to others.
    pub(super) fn with_room(self) -> StatusConfig {
        let (interval, heartbeat) = (self.interval.max(PAUSE_MIN), self.heartbeat.max(PAUSE_MIN));
        let feeds_max = self.feeds_max.min(self.connections_max.saturating_sub(1));
        StatusConfig { interval, heartbeat, feeds_max, ..self }
    }

    /// The limits as a driver needs them.
    pub(super) fn driver_config(&self) -> DriverConfig {
        DriverConfig {
            max_connections: Some(self.connections_max.saturating_add(ACCEPTS_MAX)),
            max_connections_per_address: None,
            // A request fits, and a peer that sends more waits its turn.
            read_bytes_max: 4 * 1024,
            accepts_max: ACCEPTS_MAX,
            // The largest text several times over: it is only ever queued behind the beginning of a feed.
            out_bytes_max: 1024 * 1024,
            stall_timeout: Some(self.write_timeout),
            ..DriverConfig::default()
        }
    }

    /// How many file descriptors a listener with these limits needs at most: a host leaves them out of what
    /// its own driver may have.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::net::{DriverConfig, connections_max};
    /// use taketurns::status::StatusConfig;
    ///
    /// let status = StatusConfig::default();
    /// let max_connections = Some(connections_max(status.descriptors()));
    /// let config = DriverConfig { max_connections, ..DriverConfig::default() };
    /// ```
    #[must_use]
    pub fn descriptors(&self) -> usize {
        self.connections_max.saturating_add(ACCEPTS_MAX + 1)
    }
}
