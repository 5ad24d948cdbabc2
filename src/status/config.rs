//! Limits and times of the status listener, with their reasons.

use std::time::Duration;

use super::page::PAGE;
use crate::net::DriverConfig;

/// Limits and times of a [`StatusServer`](super::StatusServer).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StatusConfig {
    /// The most connections at once. A further one replaces another: first one that has had its answer and
    /// not closed, then one that has not sent its request, then one that does not read its answer; of
    /// several, the oldest. Feeds are never replaced. Default 64: a scraper, a few probes, and some people.
    /// Each connection may keep a request, or at most one text that it has not read yet.
    pub connections_max: usize,
    /// The most feeds, which are connections that stay open. A further one is answered 503. Default 32; at
    /// most one less than all connections, so that a probe gets through.
    pub feeds_max: usize,
    /// The longest head of a request, which is its first line and its headers. A longer one is answered 431.
    /// Default 8 KiB.
    pub head_bytes_max: usize,
    /// How long the head of a request may take to arrive before it is answered 408. Default 5 s.
    pub head_timeout: Duration,
    /// How long a reader may take for its answer, or a feed may read nothing, before it is closed. Default 10
    /// s.
    pub write_timeout: Duration,
    /// The shortest time between two messages of a feed, and the longest age of the text of `/metrics`.
    /// Default 100 ms. It limits the work for any number of readers, because turns wait meanwhile. Less than
    /// 1 ms counts as 1 ms.
    pub interval: Duration,
    /// The longest time between two messages of a feed, which shows its reader that the server is alive.
    /// Default 1 s; less than 1 ms counts as 1 ms.
    pub heartbeat: Duration,
    /// Names of the listener, without ports, in addition to addresses, `localhost` and names that end in
    /// `.localhost`. A request for another name is answered 403, because any web page could have its own name
    /// resolve to this machine and read the answer. `/healthz` and `/readyz` reveal nothing and are answered
    /// under every name. Default: none.
    pub hosts: Vec<String>,
    /// The page at `/`, in one file. Its `<style>` and `<script>` elements without attributes are executed,
    /// images may be `data:` URLs, and it may connect to its own origin. A policy forbids everything else.
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
            hosts: Vec::new(),
            page: PAGE,
        }
    }
}

/// The most newcomers per pass: connections beyond [`StatusConfig::connections_max`] that exist until others
/// have made room.
const ACCEPTS_MAX: usize = 16;

/// Shorter pauses would keep the loop busy with nothing else.
const PAUSE_MIN: Duration = Duration::from_millis(1);

impl StatusConfig {
    /// Raises the pauses to the minimum, and leaves one connection to probes.
    pub(super) fn with_room(self) -> StatusConfig {
        let (interval, heartbeat) = (self.interval.max(PAUSE_MIN), self.heartbeat.max(PAUSE_MIN));
        let feeds_max = self.feeds_max.min(self.connections_max.saturating_sub(1));
        StatusConfig { interval, heartbeat, feeds_max, ..self }
    }

    /// Returns the limits for the driver.
    pub(super) fn driver_config(&self) -> DriverConfig {
        DriverConfig {
            max_connections: Some(self.connections_max.saturating_add(ACCEPTS_MAX)),
            max_connections_per_address: None,
            // Enough for a request. A peer that sends more has to wait its turn.
            read_bytes_max: 4 * 1024,
            accepts_max: ACCEPTS_MAX,
            // Several times the largest text, which is only ever queued after the beginning of a feed.
            out_bytes_max: 1024 * 1024,
            stall_timeout: Some(self.write_timeout),
            ..DriverConfig::default()
        }
    }

    /// Returns the most file descriptors that a listener with these limits needs. A host subtracts them from
    /// those of its own driver.
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
