//! TCP clients take turns: an embeddable, single-threaded event loop in which at most one client of each ring
//! may act at a time.
//!
//! Some things can only be used by one client at a time: a board, an instrument, a build slot, the floor in a
//! discussion. This crate is the server that grants the turns, over a network and in order. A holder that
//! stays silent loses its turn at a deadline. A client that reconnects gets its seat back. Every turn has a
//! number to fence with, at most one answer counts for it, and the host may judge that answer first. Every
//! wait has a stated bound.
//!
//! It is *not* a web framework, a message broker or a consensus system: one process decides. Its state
//! can be kept in a journal, or in etcd, from which another process can take over.
//!
//! # A server in a few lines
//!
//! ```
//! # #[cfg(feature = "net")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use taketurns::{Event, EventLoop, TurnEvent, TurnServer, TurnServerConfig, os_entropy};
//!
//! let server = TurnServer::new(TurnServerConfig::default(), os_entropy())?;
//! let mut event_loop = EventLoop::new(server)?;
//! let addr = event_loop.driver_mut().listen(([127, 0, 0, 1], 0).into())?;
//! println!("Server listening on {addr}");
//! # event_loop.handle().drain();
//! event_loop.run(|driver, event| {
//!     let server = driver.protocol();
//!     if let Event::Protocol(TurnEvent::Accepted { seat, turn, answer }) = event
//!         && let Some(answer) = server.answer(answer)
//!     {
//!         println!("turn {turn}: {} answered {:?}", server.name_of(seat), answer.text());
//!     }
//! })?;
//! # Ok(()) }
//! # #[cfg(not(feature = "net"))]
//! # fn main() {}
//! ```
//!
//! # How do I ...?
//!
//! | task | where |
//! |---|---|
//! | refuse a move, judge an answer | [guide, 3](guide#3-judge-the-answers), [`TurnServer::rule`] |
//! | choose the next holder | [guide, 4](guide#4-rule-over-a-ring), [`TurnServer::name_next`] |
//! | give more time | [`TurnServer::extend`] |
//! | build a lock | [guide, 5](guide#5-a-lock) |
//! | authenticate clients | [guide, 6](guide#6-admit-clients), [`TurnServer::admit`] |
//! | survive a lost connection or a restart | [guide, 9](guide#9-when-things-go-wrong) |
//! | test my game in virtual time | [guide, 8](guide#8-test-in-virtual-time), [`engine`] |
//! | run it next to tokio, or in any other loop | [guide, 10](guide#10-put-it-into-your-program), [`EventLoop::arm`] |
//! | use a `mio::Poll` that my program has | [`net`], `examples/embed.rs` |
//!
//! # Modules
//!
//! | module | contents | knows nothing of |
//! |---|---|---|
//! | [`time`] | time as an argument, deadlines | clocks |
//! | [`turn`] | the scheduler: who may hold the turn | names, bytes, sockets, clocks |
//! | [`wire`] | framing and bounded buffers | verbs, sockets |
//! | [`session`] | the text of the turn protocol: bytes to values, and back | turns, sockets |
//! | [`record`] | state that outlives a server: records, keys, values | files, networks |
//! | [`protocol`] | wire protocols: bytes in, decisions out | sockets, clocks |
//! | [`engine`] | the order of a pass, budgets, flushing, deadlines, on any sockets | clocks, the kind of sockets |
//! | [`net`] | sockets, clock, `mio`: the driver and the event loop | who may do what |
//! | [`status`] | health, metrics, a page and a feed over HTTP, in the same loop | who may do what |
//! | [`tls`] | TLS in front of any protocol | sockets, who may do what |
//! | [`web_socket`] | the turn protocol in WebSocket messages, for browsers | sockets, who may do what |
//! | [`store`], [`journal`], [`etcd`] | the thread that waits for a store; records on a disk; records in etcd, shared by several servers | turns, clients |
//!
//! The modules above `net` do no I/O: a test drives them in virtual time, with the same pass that the driver
//! runs in real time. Without the default feature `net` the crate consists of these modules, and of
//! `web_socket` if it is enabled, and depends on nothing that does I/O.
//!
//! # Features
//!
//! | feature | default | addition |
//! |---|---|---|
//! | `net` | yes | [`net`]: sockets, clock, event loop; with it `mio`, `socket2`, `getrandom`, `rlimit` and, on Linux, `rustix` |
//! | `status` | no | [`status`]: the state of a server, over HTTP; with it `base64`, `httparse`, `serde` and `serde_json` |
//! | `tls` | no | [`tls`]: TLS 1.3, with certificates of both sides; with it `rustls`, `ring`, `rustls-webpki` and `rustls-native-certs` |
//! | `web-socket` | no | [`web_socket`]: the turn protocol in browsers; with it `base64`, `httparse` and `sha1` |
//! | `journal` | no | [`store`] and [`journal`]: records on a disk, with a thread that waits for it; with it `redb`, `serde` and `serde_json` |
//! | `etcd` | no | [`store`] and [`etcd`]: servers that take over from each other; with it `h2`, `http`, `prost`, `bytes`, the stream traits of `tokio` (no runtime), `serde` and `serde_json` |
//! | `store` | no | [`store`], for a store of your own; part of `journal` and `etcd` |
//!
//! The feature `net` needs a target with 64-bit pointers, because the slot and generation of a connection are
//! packed into one `mio::Token`. It does not compile for others. CI builds and tests on Linux.
//!
//! # Single-threaded, no locks
//!
//! One thread owns all state, and every wait is a deadline. The loop starts no thread, takes no lock,
//! installs no signal handler and no logger, and never exits. Other threads reach it through its
//! [`net::Handle`]. Only two features have threads: with `store` a [`store::StoreThread`] waits for a disk
//! or for etcd, and with `etcd` one more renews the lease, and short-lived ones look names up.
//!
//! # Limits
//!
//! Every buffer, queue, name, count and time has a maximum, in [`turn::Rules`], [`turn::SchedulerConfig`],
//! [`protocol::turns::TurnServerConfig`], [`net::DriverConfig`] or [`status::StatusConfig`], with its default
//! and the reason for it. No peer can make a server panic, spin, or grow without bound.
//!
//! State lives in memory: a server that restarts has another epoch and turns from 1, which its clients
//! notice. With a [`journal`], state outlives the server, and with [`etcd`] its machine.

// Without all features the docs still describe them; only their links are broken.
#![cfg_attr(
    not(all(
        feature = "status",
        feature = "journal",
        feature = "etcd",
        feature = "tls",
        feature = "web-socket"
    )),
    allow(rustdoc::broken_intra_doc_links)
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// This comes first, because the modules below use its macros in their examples.
#[macro_use]
mod setup;

mod capacity;
pub mod engine;
#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(all(feature = "net", any(doc, doctest)))]
pub mod guide;
mod hint;
#[cfg(any(feature = "status", feature = "web-socket"))]
mod host;
#[cfg(feature = "journal")]
pub mod journal;
#[cfg(feature = "net")]
pub mod net;
mod per_address;
mod printable;
pub mod protocol;
pub mod record;
pub mod session;
mod sockets;
#[cfg(feature = "status")]
pub mod status;
#[cfg(feature = "store")]
pub mod store;
mod table;
mod target;
pub mod time;
#[cfg(feature = "tls")]
pub mod tls;
pub mod turn;
#[cfg(feature = "web-socket")]
pub mod web_socket;
pub mod wire;

// The names that nearly every host needs.
pub use engine::{DriverConfig, Event};
#[cfg(feature = "net")]
pub use net::{Driver, EventLoop, Handle, now, os_entropy};
pub use protocol::turns::{TurnClient, TurnEvent, TurnServer, TurnServerConfig, Verdict};
pub use turn::{Rules, Scheduler};

/// The `mio` on which [`net`] is built, for hosts with a `Poll` of their own.
#[cfg(feature = "net")]
pub use mio;

#[cfg(all(doctest, feature = "net"))]
#[doc = include_str!("../README.md")]
struct Readme;

// A host may build a server on one thread and hand it to another.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Scheduler<()>>();
    is_send::<TurnServer>();
    is_send::<TurnClient>();
    is_send::<TurnEvent>();
};
#[cfg(feature = "net")]
const _: () = {
    const fn is_send<T: Send>() {}
    const fn is_shared<T: Send + Sync + 'static>() {}
    is_send::<Driver<TurnServer>>();
    is_send::<EventLoop<TurnServer>>();
    is_send::<EventLoop<TurnClient>>();
    is_shared::<Handle<TurnServer>>();
    is_shared::<net::Error>();
};
