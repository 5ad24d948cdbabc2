//! Errors of a host. Trouble with a single peer is not here: that is an [`Event`](super::Event).

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::engine::{BufferTooSmall, NotTaken};

/// A failure of the system, or a mistake of the host.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The system does not let this program listen on the address.
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The reason.
        source: io::Error,
    },
    /// A socket that the host handed in cannot be used.
    HandedIn(io::Error),
    /// The driver is draining, so it takes no more listeners or connections.
    Draining,
    /// There are as many connections as [`max_connections`](crate::engine::DriverConfig::max_connections)
    /// allows.
    Full,
    /// The peer's address has as many as
    /// [`max_connections_per_address`](crate::engine::DriverConfig::max_connections_per_address) allows.
    AddressFull,
    /// The poll, a registration or the waker failed.
    Poll(io::Error),
    /// A buffer of the driver is too small for the protocol's longest messages.
    Buffer(BufferTooSmall),
    /// The system cannot start the thread that waits for the store.
    #[cfg(feature = "store")]
    Thread(io::Error),
    /// The store is lost: the messages that waited for it were not sent, and all connections are closed.
    #[cfg(feature = "store")]
    Store(crate::store::Lost),
    /// The host broke the driving contract: it began another pass without taking the events of the last one.
    EventsPending,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Listen { addr, source } => write!(f, "cannot listen on {addr}: {source}"),
            Error::HandedIn(source) => write!(f, "the socket that was handed in cannot be used: {source}"),
            Error::Draining => NotTaken::Draining.fmt(f),
            Error::Full => NotTaken::Full.fmt(f),
            Error::AddressFull => NotTaken::AddressFull.fmt(f),
            Error::Poll(source) => write!(f, "polling failed: {source}"),
            Error::Buffer(error) => error.fmt(f),
            #[cfg(feature = "store")]
            Error::Thread(source) => write!(f, "no thread for the store: {source}"),
            #[cfg(feature = "store")]
            Error::Store(lost) => lost.fmt(f),
            Error::EventsPending => {
                f.write_str("events of the last pass are pending: call poll_event until it returns None")
            }
        }
    }
}

impl Error {
    /// The error for a socket that the host handed in.
    pub(super) fn handed_in(refusal: NotTaken) -> Error {
        match refusal {
            NotTaken::Draining => Error::Draining,
            NotTaken::Full => Error::Full,
            NotTaken::AddressFull => Error::AddressFull,
            NotTaken::Sockets(source) => Error::HandedIn(source),
        }
    }
}

impl std::error::Error for Error {
    /// The cause of the system's error, which the text has already.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Listen { source, .. } | Error::HandedIn(source) | Error::Poll(source) => source.source(),
            #[cfg(feature = "store")]
            Error::Thread(source) => source.source(),
            #[cfg(feature = "store")]
            Error::Store(lost) => lost.source(),
            Error::Draining | Error::Full | Error::AddressFull | Error::Buffer(_) | Error::EventsPending => {
                None
            }
        }
    }
}
