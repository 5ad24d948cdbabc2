//! Events for the host, and running counts.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::Target;
use crate::protocol::{CloseReason, ConnectionId, DialId, Origin};

/// An event of an engine or a driver, for its host.
// The tag is as wide as a register, so that a copy of it copies no padding.
#[derive(Debug)]
#[non_exhaustive]
#[repr(u64)]
pub enum Event<E> {
    /// A connection was opened.
    Opened {
        /// The connection.
        connection: ConnectionId,
        /// The other end.
        peer: SocketAddr,
        /// The side that connected.
        origin: Origin,
    },
    /// A connection was closed, or released to another engine.
    Closed {
        /// The connection.
        connection: ConnectionId,
        /// The other end.
        peer: SocketAddr,
        /// The side that connected.
        origin: Origin,
        /// The reason.
        reason: CloseReason,
    },
    /// An outbound connection needs the addresses of a name. The host looks it up, preferably on another
    /// thread, and calls `resolved`. After `connect_timeout_max` without an answer the attempt fails.
    Resolve {
        /// The name and the port.
        target: Target,
    },
    /// An outbound connection could not be established; it will be tried again.
    Unreachable {
        /// The outbound connection.
        dial: DialId,
        /// Its target.
        target: Target,
        /// The failure.
        error: io::Error,
        /// The time until the next attempt.
        retry_in: Duration,
    },
    /// A listener accepts no connection for a while, because the system has no descriptor or memory left.
    /// Waiting connections are kept.
    AcceptPaused {
        /// The listener's address.
        addr: SocketAddr,
        /// The error of `accept`.
        error: io::Error,
        /// The length of the pause.
        pause: Duration,
    },
    /// An event of the protocol.
    Protocol(E),
}

/// Running counts of an [`Engine`](super::Engine).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DriverCounts {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections closed, including outbound ones.
    pub closed: u64,
    /// Failures of `accept`, including those that concern a single newcomer.
    pub accept_errors: u64,
    /// Newcomers dropped because there were `max_connections` already.
    pub dropped: u64,
    /// Newcomers dropped because their address had `max_connections_per_address` already.
    pub dropped_of_address: u64,
    /// Handshakes of wrapped connections that have failed.
    pub handshakes_failed: u64,
    /// Events for connections that no longer existed.
    pub stale_events: u64,
    /// Peers closed because they did not read.
    pub slow_readers: u64,
    /// Peers closed because their protocol could not consume what they sent.
    pub overlong: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
}

/// The host broke the driving contract: it began another pass without taking the events of the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventsPending;

impl fmt::Display for EventsPending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("events of the last pass are pending: call poll_event until it returns None")
    }
}

impl std::error::Error for EventsPending {}
