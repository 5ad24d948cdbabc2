//! What a host hears of, and what is counted.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::Target;
use crate::protocol::{CloseReason, ConnectionId, DialId, Origin};

/// What a host hears of.
// The tag is as wide as what stands behind it, so that who copies it copies no padding.
#[derive(Debug)]
#[non_exhaustive]
#[repr(u64)]
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

/// Running counts of an [`Engine`](super::Engine).
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
    /// Peers given up because their protocol takes nothing of what they have sent.
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
        f.write_str("events of the last pass are pending: call poll_event until it says None")
    }
}

impl std::error::Error for EventsPending {}
