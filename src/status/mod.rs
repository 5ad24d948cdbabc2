//! The status listener: the state of a server over HTTP, for probes, scrapers and people.
//!
//! | path | what |
//! |---|---|
//! | `/healthz` | `ok`: the loop is running |
//! | `/readyz` | `ready`, or 503 with `draining`, or with [why](Show::not_ready) the server serves nobody yet |
//! | `/metrics` | metrics in the text format of Prometheus |
//! | `/` | a page that shows the feed |
//! | `/events` | the feed: server-sent events with the current state, at most ten a second |
//!
//! It runs in the same loop as the server that it shows, without a thread or a lock. So `/healthz` is silent
//! when the loop is stuck, and every answer describes a single moment. It works after the driver in every
//! pass. Its work is bounded: connections and bytes have [limits](StatusConfig), and for all readers together
//! at most one text for `/metrics` and one for the feed are made per [tenth of a
//! second](StatusConfig::interval).
//!
//! It is not a web server: it answers `GET` and `HEAD` on these five paths, closes after every answer, and
//! changes nothing. The host may replace the page ([`StatusConfig::page`]). If the driver accepts WebSockets,
//! requests for them are handed over to it, so that such a page can take part. Nothing is authenticated or
//! encrypted: anyone who can reach the listener learns the clients' names and answers. Web pages of other
//! sites cannot reach it ([`StatusConfig::hosts`]).
//!
//! With an [`EventLoop`](crate::net::EventLoop), calling
//! [`serve_status`](crate::net::EventLoop::serve_status) is enough. A protocol reports its status through
//! [`Show`].
//!
//! # Metrics
//!
//! Names begin with `taketurns_`. Every server has those of its driver:
//!
//! | metric | meaning |
//! |---|---|
//! | `build_info{version,protocol}` | 1, with the version and the protocol |
//! | `uptime_seconds` | the age of the status listener |
//! | `draining` | 1 while the server drains |
//! | `connections`, `connections_accepted_total`, `connections_closed_total` | the clients' connections: now, and since the start |
//! | `handshakes_failed_total` | handshakes of TLS or WebSocket that failed |
//! | `connections_dropped_total{limit}` | newcomers closed because a limit was reached: of `all`, or of one `address` |
//! | `slow_readers_total` | peers closed because they do not read |
//! | `accept_errors_total`, `stale_events_total` | failures to accept; events of the poll for connections that no longer existed |
//! | `received_bytes_total`, `sent_bytes_total` | bytes read and written |
//! | `pass_seconds` | histogram: the time of a pass of the loop, without the status listener's part |
//! | `status_connections` | connections of the status listener |
//!
//! With a [store](crate::net::EventLoop::store_in) also:
//!
//! | metric | meaning |
//! |---|---|
//! | `store_commit_seconds` | histogram: the time of a commit |
//! | `store_changes_total` | entries that commits have changed |
//! | `store_records_waiting` | records that are not durable yet |
//! | `store_bytes` | room that the store takes; 0 if it does not say |
//!
//! A turn server adds:
//!
//! | metric | meaning |
//! |---|---|
//! | `turns_total{outcome}` | turns that ended: `answered`, `passed`, `lapsed`, `skipped` by the host, or `gone` with their holder |
//! | `refusals_total{code}` | inputs refused, by the code in `NO` |
//! | `repeated_answers_total` | answers sent again and confirmed again, counted once in `turns_total` |
//! | `proposals_total`, `not_judged_total` | answers that went to the host to judge; those that it did not judge in time |
//! | `forbidden_total` | clients that neither the host nor a rule of access admits |
//! | `turned_away_total` | connections turned away because there was no room, or while draining |
//! | `hand_over_seconds` | histogram: from the beginning of the pass in which a turn ended until that pass had written the next `GO` |
//! | `answer_seconds` | histogram: from the grant of a turn to its accepted answer; turns whose `GO` had to wait are left out |
//! | `rings` | rings that exist |
//! | `seats{state}` | seats that are `waiting`, `resting`, `holding`, `judged` or `away` |
//! | `waiting` | seats that wait for the turn, as in `seats` |
//! | `turns_held` | turns that are held, those of holders that are judged or away included |
//! | `proposals_waiting` | answers that wait for the host's verdict |
//! | `longest_wait_seconds` | the longest wait that has ended, of the ring in which it came closest to its bound |
//! | `longest_wait_bound_seconds`, `longest_wait_ratio` | the bound of that wait, and the wait as a part of it; absent if that ring's rules limit no turn |
//! | `longest_wait_stopped_seconds` | how long that ring's clock has stood, which no wait counts: below quorum, paused, until a `GO` was written, and for what the host added |
//!
//! An alert on `longest_wait_ratio > 1` finds a broken promise.
//!
//! The other protocols add their counts; `/metrics` explains each.
//!
//! # The feed
//!
//! A reader of `/events` is sent a message `hello` at first, and then messages `state`; each is one JSON
//! object. The page displays them, so `page.html` is an example of a reader. Names and answers in them are
//! text from peers. Answers, and the names that raw clients give, are escaped and cut to 40 characters.
//!
//! # A host with a loop of its own
//!
//! It treats a [`StatusServer`] like the driver, and calls it after the driver each time:
//!
//! ```no_run
//! use taketurns::mio::{Events, Poll};
//! use taketurns::net::{Driver, DriverConfig, TokenSpace, now, os_entropy, poll_timeout};
//! use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
//! use taketurns::status::{StatusConfig, StatusServer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut poll = Poll::new()?;
//! let mut events = Events::with_capacity(256);
//! let server = TurnServer::new(TurnServerConfig::default(), os_entropy())?;
//! let mut server = Driver::new(poll.registry(), TokenSpace(1), server, DriverConfig::default())?;
//! let mut status = StatusServer::new(poll.registry(), TokenSpace(2), StatusConfig::default())?;
//! server.listen("127.0.0.1:0".parse()?)?;
//! println!("status on http://{}/", status.listen("127.0.0.1:0".parse()?)?);
//! while !server.is_drained() {
//!     let deadlines = [server.next_deadline(), status.next_deadline()];
//!     match poll.poll(&mut events, poll_timeout(now(), deadlines.into_iter().flatten().min())) {
//!         Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
//!         polled => polled?,
//!     }
//!     let now = now();
//!     for event in &events {
//!         server.handle_event(now, event);
//!         status.handle_event(now, event);
//!     }
//!     server.finish_batch(now)?;
//!     status.finish_batch(now, &mut server)?;
//!     while let Some(event) = server.poll_event() {
//!         status.observe(&server, &event);
//!     }
//! }
//! # Ok(()) }
//! ```

// server.rs    answers and their times; the way into an event loop
//  ├ http.rs   requests and answers on connections; request.rs parses a request
//  ├ feed.rs   the messages of /events; fields.rs writes JSON
//  ├ metrics.rs, timings.rs  the text of /metrics
//  └ page.rs   the page and its policy
// show.rs      the report of a protocol on itself; tally.rs, seats.rs the record of past events
// turns/, others.rs  the reports of this crate's protocols

mod config;
mod feed;
mod fields;
mod http;
mod metrics;
mod others;
mod page;
mod request;
mod seats;
mod server;
mod show;
mod tally;
mod timings;
mod turns;

pub use config::StatusConfig;
pub use fields::Fields;
pub use metrics::Metrics;
pub use server::StatusServer;
pub use show::{Count, Show};
pub use tally::Tally;
pub use timings::Timings;
