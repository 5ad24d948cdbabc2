//! Errors for the host of an engine.

use std::fmt;
use std::io;

/// The reason why an engine does not take a listener or a socket.
#[derive(Debug)]
#[non_exhaustive]
pub enum NotTaken {
    /// It is draining.
    Draining,
    /// There are [`max_connections`](super::DriverConfig::max_connections) already.
    Full,
    /// The peer's address has
    /// [`max_connections_per_address`](super::DriverConfig::max_connections_per_address) already.
    AddressFull,
    /// The sockets failed.
    Sockets(io::Error),
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotTaken::Draining => f.write_str("the driver is draining and accepts nothing new"),
            NotTaken::Full => f.write_str("there are max_connections already"),
            NotTaken::AddressFull => f.write_str("its address has max_connections_per_address already"),
            NotTaken::Sockets(source) => source.fmt(f),
        }
    }
}

impl std::error::Error for NotTaken {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            NotTaken::Sockets(source) => Some(source),
            NotTaken::Draining | NotTaken::Full | NotTaken::AddressFull => None,
        }
    }
}

impl From<io::Error> for NotTaken {
    fn from(error: io::Error) -> Self {
        NotTaken::Sockets(error)
    }
}
