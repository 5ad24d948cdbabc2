//! The status listener: what a server does, over HTTP, for probes, scrapers and people.
//!
//! | path | what |
//! |---|---|
//! | `/healthz` | `ok`: the loop goes round |
//! | `/readyz` | `ready`, or 503 `draining` |
//! | `/metrics` | metrics in the text format of Prometheus |
//! | `/` | a page that shows the feed |
//! | `/events` | the feed: server-sent events with how things stand, at most ten a second |
//!
//! It runs in the same loop as what it shows: no thread, and no lock of this crate's. So `/healthz` is silent when the loop is stuck,
//! and what is told is of one moment. Its work comes after the driver's in every pass, and is bounded: so many connections, so many
//! bytes, and no more than one text for `/metrics` and one for the feed in a [tenth of a second](StatusConfig::interval), however
//! many read them.
//!
//! It is not a web server: it answers `GET` and `HEAD` of those five paths, closes after every answer, and changes nothing. Nothing is
//! authenticated or encrypted; who can reach it learns the clients' names.
//!
//! With an [`EventLoop`](crate::net::EventLoop), [`serve_status`](crate::net::EventLoop::serve_status) is all that it takes. What a
//! protocol has to show it says by [`Show`].
//!
//! # A host with a loop of its own
//!
//! Does for a [`StatusServer`] what it does for the driver, each time after it:
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
//! let server = TurnServer::new(TurnServerConfig::default(), os_entropy());
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
//!     status.finish_batch(now, &server)?;
//!     while let Some(event) = server.poll_event() {
//!         status.observe(&server, &event);
//!     }
//! }
//! # Ok(()) }
//! ```

// server.rs    what is answered, and when; the way into an event loop
//  ├ http.rs   requests and answers as connections see them; request.rs reads one
//  ├ feed.rs   the messages of /events; fields.rs writes JSON
//  ├ metrics.rs, timings.rs  the text of /metrics
//  └ page.rs   the page, and what it may do
// show.rs      what a protocol says of itself; tally.rs, seats.rs what is kept of what happened
// turns/, others.rs  what the protocols of this crate show

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
