//! The feed: when it sends a message, and its messages, which are server-sent events with one line of JSON.

#[cfg(feature = "store")]
use super::tally::micros;
use super::tally::millis;
use super::{Fields, Show, StatusConfig, Tally};
use crate::net::Driver;
use crate::time::{Instant, Now};

/// Paces the messages. All feeds get the same ones.
#[derive(Debug, Default)]
pub(super) struct Feed {
    /// The last message, and the time when it was made.
    state: String,
    at: Option<Instant>,
    /// Whether anything has happened since.
    is_stale: bool,
}

impl Feed {
    /// Notes that something has happened.
    pub(super) fn touch(&mut self) {
        self.is_stale = true;
    }

    /// Returns when the next message is due, if the feed has a reader.
    pub(super) fn next_deadline(&self, config: &StatusConfig) -> Option<Instant> {
        let pause = if self.is_stale { config.interval } else { config.heartbeat };
        self.at.map(|at| at + pause)
    }

    /// Makes a message if one is due.
    pub(super) fn refresh<P: Show>(
        &mut self,
        now: Now,
        config: &StatusConfig,
        driver: &Driver<P>,
        tally: &mut Tally,
    ) -> bool {
        if self.next_deadline(config).is_some_and(|due| now.instant < due) {
            return false;
        }
        self.state = message("state", state(now, driver, tally));
        (self.at, self.is_stale) = (Some(now.instant), false);
        true
    }

    /// Returns the last message.
    pub(super) fn state(&self) -> &str {
        &self.state
    }
}

/// Returns the first message to a new reader.
pub(super) fn hello<P: Show>(driver: &Driver<P>) -> String {
    let mut about = Fields::default();
    about.put("server", &concat!("taketurns ", env!("CARGO_PKG_VERSION")));
    about.put("protocol", &driver.protocol().name());
    driver.protocol().about(&mut about);
    format!("retry: 1000\n\n{}", message("hello", about))
}

fn state<P: Show>(now: Now, driver: &Driver<P>, tally: &mut Tally) -> Fields {
    let mut state = Fields::default();
    state.put("uptime_ms", &millis(tally.uptime(now.instant)));
    state.put("draining", &driver.is_draining());
    if let Some(why) = driver.protocol().not_ready() {
        state.put("not_ready", &why);
    }
    state.put("connections", &driver.connections());
    driver.protocol().state(now, tally, &mut state);
    if let Some(hand_overs) = tally.recent.take() {
        state.put("hand_over", &hand_overs);
    }
    let mut counts = Fields::default();
    let driven = driver.counts();
    counts.put("bytes_in", &driven.bytes_in);
    counts.put("bytes_out", &driven.bytes_out);
    counts.put("stale_events", &driven.stale_events);
    counts.put("accept_errors", &driven.accept_errors);
    for count in driver.protocol().counts(tally) {
        counts.put(count.name, &count.value);
    }
    #[cfg(feature = "store")]
    if let Some(stored) = driver.store_counts() {
        counts.put("store_commits", &stored.commits);
        counts.put("store_mean_commit_us", &(micros(stored.busy) / stored.commits.max(1)));
        counts.put("store_records_waiting", &stored.records_waiting);
        counts.put("store_bytes", &stored.bytes);
    }
    state.put_fields("counts", counts);
    state
}

fn message(event: &str, data: Fields) -> String {
    format!("event: {event}\ndata: {}\n\n", data.into_text())
}
