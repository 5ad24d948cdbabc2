//! The status server: answers requests from the state of a driver and its protocol.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Duration;

#[cfg(feature = "web-socket")]
use log::debug;
use log::warn;
use mio::event::Event as Readiness;
use mio::{Registry, Token};

use super::feed::{self, Feed};
use super::http::{Answer, Http};
use super::metrics::float;
use super::page;
use super::request::Refusal;
use super::request::{Path, Request};
use super::{Metrics, Show, StatusConfig, Tally};
use crate::net::{self, Companion, Driver, Error, Event, EventLoop, TokenSpace};
use crate::protocol::ConnectionId;
use crate::time::{Instant, Now, earlier};

/// Serves the status of a [`Driver`] on the same `mio::Poll`. With an [`EventLoop`], call
/// [`EventLoop::serve_status`]; the [module's documentation](super) shows how a host with a loop of its own
/// drives it.
pub struct StatusServer<P: Show> {
    config: StatusConfig,
    http: Driver<Http>,
    policy: String,
    tally: Tally,
    feed: Feed,
    /// The text of `/metrics`, and the time when it was made.
    metrics: Option<(Instant, String)>,
    /// The last state in the feed that does not come from events of the protocol.
    told: Told,
    of: PhantomData<fn(&P)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Told {
    connections: usize,
    is_draining: bool,
}

/// The media type of Prometheus's text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl<P: Show> StatusServer<P> {
    /// Creates a server whose sockets are registered with `registry`, under tokens of `space`, which must not
    /// be the driver's.
    ///
    /// # Errors
    ///
    /// Returns an error if the registry cannot be shared.
    pub fn new(registry: &Registry, space: TokenSpace, config: StatusConfig) -> Result<Self, Error> {
        let config = config.with_room();
        let http = Driver::new(registry, space, Http::new(config.clone()), config.driver_config())?;
        Ok(StatusServer {
            policy: page::policy(config.page),
            config,
            http,
            tally: Tally::new(net::now().instant),
            feed: Feed::default(),
            metrics: None,
            told: Told::default(),
            of: PhantomData,
        })
    }

    /// Listens on `addr`. Returns the address, which differs if the port was 0.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Listen`] if the system does not let it listen on an address.
    pub fn listen(&mut self, addr: SocketAddr) -> Result<SocketAddr, Error> {
        self.http.listen(addr)
    }

    /// Returns whether `token` belongs to this server.
    #[must_use]
    pub fn owns(&self, token: Token) -> bool {
        self.http.owns(token)
    }

    /// Returns when the next pass has to run. It may be early, but never late, and is in the past if work is
    /// left.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let http = self.http.protocol();
        if http.has_requests() {
            return Some(self.tally.pass_began());
        }
        let feed = self.feed.next_deadline(&self.config).filter(|_| http.feeds() > 0);
        earlier(self.http.next_deadline(), feed)
    }

    /// Handles an event of the poll. Events of other sources are ignored.
    pub fn handle_event(&mut self, now: Now, event: &Readiness) {
        self.http.handle_event(now, event);
    }

    /// Ends a pass, after `driver` has ended its own that began at `now`: answers requests.
    ///
    /// # Errors
    ///
    /// Returns the error of [`Driver::finish_batch`] for its own connections. No case is known.
    pub fn finish_batch(&mut self, now: Now, driver: &mut Driver<P>) -> Result<(), Error> {
        if self.tally.pass_began() != now.instant {
            self.note_pass(now);
        }
        while let Some((id, request)) = self.http.protocol_mut().take_request() {
            match request.path {
                Path::Socket => self.hand_over(now, id, driver),
                _ => self.answer(now, id, request, driver),
            }
        }
        self.go_on(now, driver);
        self.http.finish_batch(now)?;
        while let Some(event) = self.http.poll_event() {
            if let Event::AcceptPaused { addr, error, pause } = event {
                warn!("{addr}: cannot accept ({error}), trying again in {pause:?}; see ulimit -n");
            }
        }
        Ok(())
    }

    /// Counts an event of `driver` that the host has taken.
    pub fn observe(&mut self, driver: &Driver<P>, event: &Event<P::Event>) {
        self.feed.touch();
        if let Event::Protocol(event) = event {
            driver.protocol().note(event, &mut self.tally);
        }
    }

    fn note_pass(&mut self, now: Now) {
        self.tally.note_pass(now.instant, net::now().instant);
    }

    fn answer(&mut self, now: Now, id: ConnectionId, request: Request, driver: &Driver<P>) {
        let is_head = request.is_head;
        let waits_for;
        let answer = match request.path {
            Path::Events => return self.begin_feed(now, id, request, driver),
            Path::Socket => return,
            Path::Page => Answer {
                content_type: "text/html; charset=utf-8",
                headers: &self.policy,
                ..Answer::text("200 OK", self.config.page)
            },
            Path::Health => Answer::text("200 OK", "ok\n"),
            Path::Ready if driver.is_draining() => Answer::text("503 Service Unavailable", "draining\n"),
            Path::Ready => match driver.protocol().not_ready() {
                None => Answer::text("200 OK", "ready\n"),
                Some(why) => {
                    waits_for = format!("{why}\n");
                    Answer::text("503 Service Unavailable", &waits_for)
                }
            },
            Path::Metrics => {
                self.refresh_metrics(now, driver);
                let text = self.metrics.as_ref().map_or("", |(_, text)| text.as_str());
                Answer { content_type: METRICS_TYPE, ..Answer::text("200 OK", text) }
            }
        };
        self.http.act(now, |http, links| http.answer(now, id, is_head, answer, links));
    }

    /// Hands over to the driver a connection that asks for a WebSocket, if the driver accepts them.
    fn hand_over(&mut self, now: Now, id: ConnectionId, driver: &mut Driver<P>) {
        #[cfg(feature = "web-socket")]
        if driver.takes_web_sockets() {
            let mut head = self.http.protocol_mut().let_go(id);
            if let Some(socket) = self.http.take_socket(id)
                && let Err(error) = driver.adopt_web_socket(now, socket, &mut head)
            {
                debug!("a WebSocket is not taken: {error}");
            }
            return;
        }
        let _ = driver;
        self.http.act(now, |http, links| http.refuse(now, id, false, Refusal::NoSocket, links));
    }

    fn begin_feed(&mut self, now: Now, id: ConnectionId, request: Request, driver: &Driver<P>) {
        // Times in a message go stale even when nothing happens. The first one that a reader gets must not be
        // as old as a heartbeat.
        self.feed.touch();
        self.say_state(now, driver);
        let state = self.feed.state();
        self.http.act(now, |http, links| {
            if http.begin_feed(now, id, request, links) {
                links.send(id, feed::hello(driver).as_bytes());
                links.send(id, state.as_bytes());
            }
        });
    }

    /// Continues the feed, if it has a reader.
    fn go_on(&mut self, now: Now, driver: &Driver<P>) {
        let told = Told { connections: driver.connections(), is_draining: driver.is_draining() };
        if std::mem::replace(&mut self.told, told) != told {
            self.feed.touch();
        }
        match self.http.protocol().feeds() {
            // Recent times are only kept for readers.
            0 => self.tally.forget_recent(),
            _ => self.say_state(now, driver),
        }
    }

    /// Sends the state to all feeds, if that is due.
    fn say_state(&mut self, now: Now, driver: &Driver<P>) {
        if self.feed.refresh(now, &self.config, driver, &mut self.tally) {
            let state = self.feed.state().as_bytes();
            self.http.act(now, |http, links| http.feed(state, links));
        }
    }

    fn refresh_metrics(&mut self, now: Now, driver: &Driver<P>) {
        let is_young = |at: &Instant| now.instant < *at + self.config.interval;
        if self.metrics.as_ref().is_some_and(|(at, _)| is_young(at)) {
            return;
        }
        let mut metrics = Metrics::default();
        show_driver(driver, self.tally.uptime(now.instant), &mut metrics);
        metrics.timings(&self.tally.passes);
        metrics.gauge(
            "status_connections",
            "Connections of the status listener.",
            float(self.http.connections()),
        );
        for count in driver.protocol().counts(&self.tally) {
            metrics.counter(count.name, count.help, count.value);
        }
        driver.protocol().metrics(&self.tally, &mut metrics);
        self.metrics = Some((now.instant, metrics.into_text()));
    }
}

/// Metrics of any driver.
fn show_driver<P: Show>(driver: &Driver<P>, uptime: Duration, metrics: &mut Metrics) {
    let counts = driver.counts();
    let about = [([env!("CARGO_PKG_VERSION"), driver.protocol().name()], 1.0)];
    metrics.gauges(
        "build_info",
        "The version, and the protocol that is served.",
        ["version", "protocol"],
        about,
    );
    metrics.gauge("uptime_seconds", "Time since the status listener was created.", uptime.as_secs_f64());
    metrics.gauge("draining", "1 while draining.", f64::from(u8::from(driver.is_draining())));
    metrics.gauge("connections", "Connections that exist.", float(driver.connections()));
    metrics.counter("connections_accepted", "Connections accepted.", counts.accepted);
    metrics.counter("connections_closed", "Connections that are gone.", counts.closed);
    let dropped = [("all", counts.dropped), ("address", counts.dropped_of_address)];
    metrics.counters(
        "connections_dropped",
        "Newcomers dropped, by the limit that was reached.",
        "limit",
        dropped,
    );
    metrics.counter(
        "handshakes_failed",
        "Handshakes of TLS or WebSocket that failed.",
        counts.handshakes_failed,
    );
    metrics.counter("slow_readers", "Peers closed because they do not read.", counts.slow_readers);
    metrics.counter("accept_errors", "Failures to accept a connection.", counts.accept_errors);
    metrics.counter(
        "stale_events",
        "Events of the poll for connections that were gone.",
        counts.stale_events,
    );
    metrics.counter("received_bytes", "Bytes read.", counts.bytes_in);
    metrics.counter("sent_bytes", "Bytes written.", counts.bytes_out);
    #[cfg(feature = "store")]
    if let Some(stored) = driver.store_counts() {
        let number = |number| float(usize::try_from(number).unwrap_or(usize::MAX));
        let took = "Time of a commit of the store.";
        metrics.timings(&super::Timings::counted("store_commit", took, stored.commits_by_time, stored.busy));
        metrics.counter("store_changes", "Entries that commits changed.", stored.changes);
        let waiting = "Records that are not durable yet.";
        metrics.gauge("store_records_waiting", waiting, number(stored.records_waiting));
        metrics.gauge("store_bytes", "Size of the store.", number(stored.bytes));
    }
}

impl<P: Show> Companion<P> for StatusServer<P> {
    fn note_pass(&mut self, now: Now) {
        self.note_pass(now);
    }

    fn handle_event(&mut self, now: Now, event: &Readiness) {
        self.handle_event(now, event);
    }

    fn finish_batch(&mut self, now: Now, driver: &mut Driver<P>) -> Result<(), Error> {
        self.finish_batch(now, driver)
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.next_deadline()
    }

    fn observe(&mut self, driver: &Driver<P>, event: &Event<P::Event>) {
        self.observe(driver, event);
    }
}

/// The driver of the loop uses space 0.
const SPACE: TokenSpace = TokenSpace(1);

impl<P: Show + 'static> EventLoop<P> {
    /// Serves the loop's status on `addrs` from now on, in place of any earlier status listener. Returns the
    /// addresses, which differ where a port was 0. A host that calls [`run_once`](Self::run_once) must take
    /// the events with [`poll_event`](Self::poll_event), or they are not counted. The loop ends when the
    /// driver is drained, even if feeds still have readers.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Listen`] if the system does not let it listen on an address.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::net::{EventLoop, os_entropy};
    /// use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
    /// use taketurns::status::StatusConfig;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = TurnServer::new(TurnServerConfig::default(), os_entropy())?;
    /// let mut event_loop = EventLoop::new(server)?;
    /// event_loop.driver_mut().listen(([127, 0, 0, 1], 0).into())?;
    /// let addrs = event_loop.serve_status(&[([127, 0, 0, 1], 0).into()], StatusConfig::default())?;
    /// println!("status on http://{}/", addrs[0]);
    /// # Ok(()) }
    /// ```
    pub fn serve_status(
        &mut self,
        addrs: &[SocketAddr],
        config: StatusConfig,
    ) -> Result<Vec<SocketAddr>, Error> {
        let mut status = StatusServer::new(self.registry(), SPACE, config)?;
        let bound = addrs.iter().map(|&addr| status.listen(addr)).collect::<Result<_, _>>()?;
        self.accompany(Box::new(status));
        Ok(bound)
    }
}

impl<P: Show> fmt::Debug for StatusServer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusServer")
            .field("config", &self.config)
            .field("http", &self.http)
            .finish_non_exhaustive()
    }
}
