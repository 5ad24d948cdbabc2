//! TCP clients take turns: an embeddable, single-threaded event loop in which exactly one client may act at a time.
//!
//! Some things are used by one at a time: a board game, a telescope, the write access to a file, the attention of a coordinator.
//! This crate is the server that says whose turn it is, over a network, in order, through crashes, with nothing lost and nothing
//! counted twice: deadlines for those who are silent, kept seats for those who come back, a fencing number
//! for every turn, at most one answer for each, and a stated bound on how long anybody waits.
//!
//! It is *not* a web framework, a message broker or a consensus system: one process decides, in memory.
//!
//! # A server in a few lines
//!
//! ```
//! # #[cfg(feature = "net")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use taketurns::net::{Event, EventLoop, os_entropy};
//! use taketurns::protocol::turns::{TurnEvent, TurnServer, TurnServerConfig};
//!
//! let server = TurnServer::new(TurnServerConfig::default(), os_entropy());
//! let mut event_loop = EventLoop::new(server)?;
//! let addr = event_loop.driver_mut().listen(([127, 0, 0, 1], 0).into())?;
//! println!("Server listening on {addr}");
//! # event_loop.handle().drain();
//! event_loop.run(|_driver, event| {
//!     if let Event::Protocol(TurnEvent::Accepted { name, number, .. }) = event {
//!         println!("{name} sent: {number}");
//!     }
//! })?;
//! # Ok(()) }
//! # #[cfg(not(feature = "net"))]
//! # fn main() {}
//! ```
//!
//! The [guide] goes from here, step by step, to a protocol of your own. A program that has a loop of its own puts a [`net::Driver`]
//! on its own `mio::Poll` instead; the steps are in [`net`], and `examples/embed.rs` is a program to copy from.
//!
//! # What is where
//!
//! | module | what | knows nothing of |
//! |---|---|---|
//! | [`turn`] | who may hold the turn: the scheduler | names, bytes, sockets, clocks |
//! | [`wire`] | framing and bounded buffers | protocols, sockets |
//! | [`protocol`] | wire protocols: bytes in, decisions out | sockets, clocks |
//! | [`engine`] | the order of a pass, budgets, flushing, deadlines, on any sockets | clocks, which sockets |
//! | [`net`] | sockets, clock, `mio`: the driver and the event loop | who may do what |
//! | [`status`] | health, metrics, a page and a feed over HTTP, in the same loop | who may do what |
//! | [`time`] | time as an argument | clocks |
//!
//! Each uses only those above it (and `time`). The first four do no I/O: a simulation drives them in virtual time, by the very pass that the
//! driver runs in real time. Without the default feature `net` the crate is just those, and depends on nothing that does I/O.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `net` | yes | [`net`]: sockets, clock, event loop; with it `mio`, `socket2`, `getrandom`, `rlimit` and, on Linux, `rustix` |
//! | `status` | no | [`status`]: what a server does, over HTTP; with it `httparse`, `prometheus`, `serde`, `serde_json`, `sha2` and `base64` |
//!
//! # Single-threaded, no locks
//!
//! One thread owns all state, and every wait is a deadline. The library starts no thread, takes no lock, installs no signal
//! handler and no logger, and never exits. Other threads reach an event loop through its [`net::Handle`].
//!
//! # Limits
//!
//! Every buffer, queue, name, count and time has a maximum, in [`turn::SchedulerConfig`], [`protocol::turns::TurnServerConfig`],
//! [`net::DriverConfig`] or [`status::StatusConfig`], with its default and the reason for it. No peer can make a server panic, spin,
//! or grow without bound.

// Without `net` or `status` the docs still say what they would add; only the links lead nowhere then.
#![cfg_attr(not(feature = "status"), allow(rustdoc::broken_intra_doc_links))]

mod capacity;
pub mod engine;
#[cfg(all(feature = "net", any(doc, doctest)))]
pub mod guide;
mod hint;
#[cfg(feature = "net")]
pub mod net;
mod printable;
pub mod protocol;
pub mod session;
#[cfg(feature = "status")]
pub mod status;
mod table;
pub mod time;
pub mod turn;
pub mod wire;

/// The `mio` that [`net`] is built on, for hosts with a `Poll` of their own.
#[cfg(feature = "net")]
pub use mio;

#[cfg(all(doctest, feature = "net"))]
#[doc = include_str!("../README.md")]
struct Readme;
