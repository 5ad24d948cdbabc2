//! The counter client: counts up, reports each value, and asks for a new increment every few seconds.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::{CounterId, Parity};
use crate::protocol::{BuffersMin, CloseReason, ConnectionId, Entropy, Links, Origin, Protocol};
use crate::record::Record;
use crate::session::Redacted;
use crate::time::{Alarm, Instant, Now, Timers};

/// The id and times of a [`CounterClient`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterClientConfig {
    /// The client's id.
    pub id: CounterId,
    /// The interval at which it counts. Default 500 ms.
    pub pace: Duration,
    /// The shortest time between two requests for a new increment. Default 3 s.
    pub ask_min: Duration,
    /// The longest time between two requests. Default 5 s.
    pub ask_max: Duration,
}

impl CounterClientConfig {
    /// Returns the default settings for `id`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use taketurns::protocol::counter::{CounterClientConfig, CounterId};
    ///
    /// let id = CounterId::new(7).expect("at most 10,000");
    /// let config = CounterClientConfig { pace: Duration::from_secs(1), ..CounterClientConfig::new(id) };
    /// ```
    #[must_use]
    pub fn new(id: CounterId) -> CounterClientConfig {
        CounterClientConfig {
            id,
            pace: Duration::from_millis(500),
            ask_min: Duration::from_secs(3),
            ask_max: Duration::from_secs(5),
        }
    }
}

/// An event of a [`CounterClient`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CounterClientEvent {
    /// The server sent the number to continue from.
    Began(i64),
    /// A number was sent.
    Counted(i64),
    /// A new increment was requested.
    Asked(Parity),
    /// The new increment arrived.
    Increment(i64),
}

/// The client side of the counter protocol, without sockets: a [`Protocol`] for one connection at a time.
pub struct CounterClient {
    config: CounterClientConfig,
    entropy: Entropy,
    running: Option<Running>,
    alarm: Alarm,
    timers: Timers<()>,
    events: VecDeque<CounterClientEvent>,
}

struct Running {
    connection: ConnectionId,
    /// `None` until the server has answered.
    number: Option<i64>,
    increment: i64,
    count_at: Instant,
    ask_at: Instant,
    /// Whether a requested increment has not arrived yet. No other is requested meanwhile, because two
    /// answers might arrive as one number.
    asked: bool,
}

impl CounterClient {
    /// Creates a client without a connection. `entropy` decides when it asks, and for which parity.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::counter::{CounterClient, CounterClientConfig, CounterId};
    /// # let id = CounterId::new(7).expect("at most 10,000");
    /// // In a program the bytes come from the operating system: `taketurns::os_entropy()`.
    /// let client = CounterClient::new(CounterClientConfig::new(id), Box::new(|bytes| bytes.fill(7)));
    /// ```
    #[must_use]
    pub fn new(config: CounterClientConfig, entropy: Entropy) -> CounterClient {
        CounterClient {
            config,
            entropy,
            running: None,
            alarm: Alarm::default(),
            timers: Timers::default(),
            events: VecDeque::new(),
        }
    }

    fn random(&mut self) -> u8 {
        let mut byte = [0];
        (self.entropy)(&mut byte);
        byte[0]
    }

    fn next_ask(&mut self, now: Now) -> Instant {
        let spread = self.config.ask_max.saturating_sub(self.config.ask_min);
        let wait = self.config.ask_min.saturating_add(spread / u32::from(u8::MAX) * u32::from(self.random()));
        now.instant + wait
    }

    fn rearm(&mut self) {
        let counting = self.running.as_ref().filter(|running| running.number.is_some());
        let due = counting.map(|running| running.count_at.min(running.ask_at));
        self.timers.set(&mut self.alarm, (), due);
    }

    fn count(&mut self, now: Now, links: &mut Links) {
        let Some(Running { connection, number: Some(number), increment, count_at, .. }) = &mut self.running
        else {
            return;
        };
        if *count_at <= now.instant {
            *count_at = now.instant + self.config.pace;
            *number = number.saturating_add(*increment);
            links.send_fmt(*connection, format_args!("{number} "));
            self.events.push_back(CounterClientEvent::Counted(*number));
        }
    }

    fn ask(&mut self, now: Now, links: &mut Links) {
        if self
            .running
            .as_ref()
            .is_none_or(|running| running.number.is_none() || running.ask_at > now.instant)
        {
            return;
        }
        let parity = if self.random().is_multiple_of(2) { Parity::Even } else { Parity::Odd };
        let ask_at = self.next_ask(now);
        let Some(running) = &mut self.running else { return };
        running.ask_at = ask_at;
        if std::mem::replace(&mut running.asked, true) {
            return;
        }
        links.send_fmt(running.connection, format_args!("{parity} "));
        self.events.push_back(CounterClientEvent::Asked(parity));
    }
}

impl fmt::Debug for CounterClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CounterClient")
            .field("config", &self.config)
            .field("number", &self.running.as_ref().and_then(|running| running.number))
            .finish_non_exhaustive()
    }
}

impl Protocol for CounterClient {
    type Event = CounterClientEvent;

    fn handle_open(&mut self, now: Now, id: ConnectionId, _: SocketAddr, _: Origin, links: &mut Links) {
        // An old server takes its whole first `recv` as the id, so nothing else is sent until it has
        // answered.
        links.send_fmt(id, format_args!("{}", self.config.id));
        let before = self.running.replace(Running {
            connection: id,
            number: None,
            increment: 1,
            // Both start when the answer arrives.
            count_at: now.instant,
            ask_at: now.instant,
            asked: false,
        });
        if let Some(before) = before {
            links.close(before.connection);
        }
        self.rearm();
    }

    fn handle_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        let used = bytes.len();
        let bytes = bytes.trim_ascii();
        let answer = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
        let first_ask = self.next_ask(now);
        let Some(running) = self.running.as_mut().filter(|running| running.connection == id) else {
            return used;
        };
        match (answer, running.number) {
            _ if bytes.is_empty() => {}
            (Some(number), None) => {
                links.confirm(id);
                running.number = Some(number);
                running.count_at = now.instant + self.config.pace;
                running.ask_at = first_ask;
                self.events.push_back(CounterClientEvent::Began(number));
            }
            (Some(increment), Some(_)) => {
                running.increment = increment;
                running.asked = false;
                self.events.push_back(CounterClientEvent::Increment(increment));
            }
            (None, _) => {
                log_line!(
                    links,
                    Warn,
                    "the server's answer is not a number: \"{}\"",
                    Redacted::beginning(bytes)
                );
                links.abort(id);
            }
        }
        self.rearm();
        used
    }

    fn handle_end(&mut self, _: Now, id: ConnectionId, _: &[u8], links: &mut Links) {
        links.close(id);
    }

    fn handle_closed(&mut self, _: Now, id: ConnectionId, _: CloseReason, _: &mut Links) {
        // An older connection may be closed after a newer one was opened.
        if self.running.as_ref().is_some_and(|running| running.connection == id) {
            self.running = None;
            self.timers.remove(&mut self.alarm, ());
        }
    }

    fn handle_timeout(&mut self, now: Now, links: &mut Links) {
        // A connection that is being closed may last a while, but nothing more is sent to it.
        self.running.take_if(|running| !links.is_open(running.connection));
        while self.timers.pop(now.instant).is_some() {
            if self.timers.ring(&mut self.alarm, (), now.instant) {
                self.count(now, links);
                self.ask(now, links);
                self.rearm();
            }
        }
    }

    fn handle_flushed(&mut self, _: Now, _: &mut Links) {}

    fn drain(&mut self, _: Now, links: &mut Links) {
        if let Some(running) = &self.running {
            links.close(running.connection);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn is_awaited(&self, id: ConnectionId) -> bool {
        self.running.as_ref().is_some_and(|running| running.connection == id)
    }

    fn buffers_min(&self) -> BuffersMin {
        BuffersMin::default()
    }

    fn poll_event(&mut self) -> Option<CounterClientEvent> {
        self.events.pop_front()
    }

    fn poll_record(&mut self, _: Now) -> Option<Record> {
        None
    }

    fn handle_durable(&mut self, _: Now, _: u64, _: &mut Links) {}
}
