//! The driver: sockets, clock and `mio`, and nothing that a protocol could decide.
//!
//! [`Driver`] works on a `mio::Poll` of the host's. [`EventLoop`] owns a `Poll` and is a thin layer over it, for programs
//! that have nothing else to wait for. Neither starts a thread, takes a lock, installs a signal handler or a logger, or exits.
//!
//! # The driving contract
//!
//! For each pass of the host's loop:
//!
//! 1. Poll, with a timeout of at most [`poll_timeout`]`(`[`now()`]`, `[`Driver::next_deadline`]`)`. If that is interrupted, poll
//!    again before anything else: it may be late by then, and has said nothing of what arrived meanwhile.
//! 2. Read the clock, once: [`now()`].
//! 3. Give the driver each event that it [owns](Driver::owns): [`Driver::handle_event`].
//! 4. [`Driver::finish_batch`], once, also if there was no event.
//! 5. Take every event for the host: [`Driver::poll_event`] until it says `None`.
//!
//! Within a pass, readable sockets come first, then newcomers, then deadlines; only then are slots used again. So an answer that
//! arrived before the bell counts, and an event that was meant for a connection that is gone cannot hit another. What the
//! first events of a pass cause is written before the next one is looked at, all else together at the end, or sooner once much waits
//! for somebody. Where so much has arrived that a pass would keep everybody waiting, the rest is read in the next ones, and deadlines
//! that have come wait for that.
//!
//! The driver asks for edge-triggered readiness, as mio does. If the host puts its `Poll` into another epoll, that one is told
//! once, too: it has to be drained until it has no event left.

mod addresses;
mod clock;
mod closing;
mod companion;
mod config;
mod connection;
mod driver;
mod error;
mod event_loop;
mod handle;
mod listener;
mod opening;
mod reading;
mod reconnect;
mod socket;
mod timer;
mod token;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

pub use clock::{now, poll_timeout};
#[cfg(feature = "status")]
pub(crate) use companion::Companion;
pub use config::DriverConfig;
pub use driver::Driver;
pub use error::Error;
pub use event_loop::EventLoop;
pub use handle::{Handle, Refused, Work};
pub use reconnect::Target;
pub use token::TokenSpace;

use crate::protocol::{CloseReason, ConnectionId, DialId, Entropy, Origin};

/// Random bytes from the operating system.
///
/// # Panics
///
/// The source does, when the system has none to give: a secret that can be guessed would be worse.
#[must_use]
pub fn os_entropy() -> Entropy {
    Box::new(|bytes| getrandom::fill(bytes).expect("the operating system gives random bytes"))
}

/// What a host hears of.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<E> {
    /// A connection was opened.
    Opened {
        /// Which.
        connection: ConnectionId,
        /// The other end.
        peer: SocketAddr,
        /// Who connected to whom.
        origin: Origin,
    },
    /// A connection is gone.
    Closed {
        /// Which.
        connection: ConnectionId,
        /// The other end.
        peer: SocketAddr,
        /// Who connected to whom.
        origin: Origin,
        /// Why.
        reason: CloseReason,
    },
    /// An outbound connection could not be established; it will be tried again.
    Unreachable {
        /// Which.
        dial: DialId,
        /// Where it goes.
        target: Target,
        /// Why not.
        error: io::Error,
        /// When the next attempt begins.
        retry_in: Duration,
    },
    /// A listener accepts nobody for a while: the system has no descriptor or memory left. Those who wait are not lost.
    AcceptPaused {
        /// Which listener.
        addr: SocketAddr,
        /// What the system said.
        error: io::Error,
        /// For how long.
        pause: Duration,
    },
    /// Something that the protocol reports.
    Protocol(E),
}

/// Running counts of a [`Driver`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DriverCounts {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections that are gone, those that this side had opened included.
    pub closed: u64,
    /// Failures of `accept`, those of a single newcomer included.
    pub accept_errors: u64,
    /// Newcomers dropped because `max_connections` exist.
    pub dropped: u64,
    /// Newcomers dropped because their address has `max_connections_per_address`.
    pub dropped_of_address: u64,
    /// Events for connections that were gone.
    pub stale_events: u64,
    /// Peers given up because they do not read.
    pub slow_readers: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
}
