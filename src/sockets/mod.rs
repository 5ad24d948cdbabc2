//! Sockets as an engine needs them, and with the feature `net` those of the system.
//!
//! This is below the engine, which calls down to read and to write. The code that registers sockets with a
//! poll, and asks the poll, is above it: [`net`](crate::net).

#[cfg(all(feature = "net", target_os = "linux"))]
mod silence;
#[cfg(feature = "net")]
pub(crate) mod system;
#[cfg(feature = "net")]
mod token;

use std::io;
use std::net::SocketAddr;

use crate::protocol::{ConnectionId, Interest};
use crate::time::Instant;
#[cfg(feature = "net")]
pub(crate) use token::Key;
#[cfg(feature = "net")]
pub use token::TokenSpace;

/// The sockets of an [`Engine`](crate::engine::Engine): those of the operating system, or of a test.
///
/// No call blocks. A call that cannot do anything now fails with [`WouldBlock`](io::ErrorKind::WouldBlock),
/// and the owner of the sockets reports once when that changes, by
/// [`Engine::handle_ready`](crate::engine::Engine::handle_ready) and the like.
pub trait Sockets {
    /// A stream to a peer.
    type Socket;
    /// A source of newcomers.
    type Listener;

    /// Whether a read that did not fill the buffer has emptied the socket, which saves the read that would
    /// return `WouldBlock`. True on epoll, false where readiness is emulated.
    const SHORT_READ_EMPTIES: bool;

    /// Whether the system treats a peer that does not read as gone, so that
    /// [`extend_for_busy_peers`](Self::extend_for_busy_peers) has to be called.
    const EXTENDS_FOR_BUSY_PEERS: bool = false;

    /// Reads input that has arrived; returns the number of bytes, 0 at the end of the stream.
    ///
    /// # Errors
    ///
    /// Returns an error if nothing has arrived or the connection is broken.
    fn recv(&mut self, socket: &mut Self::Socket, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes as much as the socket takes; returns the number of bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if it takes nothing or the connection is broken.
    fn send(&mut self, socket: &mut Self::Socket, bytes: &[u8]) -> io::Result<usize>;

    /// Ends the writing side: the peer sees the end of the stream.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection is broken.
    fn shutdown(&mut self, socket: &mut Self::Socket) -> io::Result<()>;

    /// Closes the connection. If the peer has sent bytes that were not read, it may never read the last ones
    /// written to it.
    fn close(&mut self, socket: Self::Socket);

    /// Reports from now on when `socket`, which belongs to `id`, is ready for `interest`, even if it is ready
    /// already. Called only when the interest changes; `before` is the previous one, or `None` for a socket
    /// that is not watched yet.
    ///
    /// # Errors
    ///
    /// Returns an error if that is not possible; the connection is closed then.
    fn watch(
        &mut self,
        id: ConnectionId,
        socket: &mut Self::Socket,
        interest: Interest,
        before: Option<Interest>,
    ) -> io::Result<()>;

    /// Finds the peers that do not read although their systems answer, and makes the system wait for them. It
    /// is called for all sockets in use, some at a time, each time half of
    /// [`user_timeout`](crate::engine::DriverConfig::user_timeout) has passed, while anything is written.
    /// They were last checked at `since` or later. Returns whether any of these sockets still holds unsent
    /// bytes; then it is called again even if nothing is written.
    fn extend_for_busy_peers(&mut self, now: Instant, since: Instant, sockets: &[&Self::Socket]) -> bool {
        let _ = (now, since, sockets);
        false
    }

    /// Sets the options, such as `TCP_NODELAY`, of a stream that was dialed or handed in, as far as the
    /// system has them.
    fn set_options(&mut self, socket: &mut Self::Socket);

    /// Takes the next newcomer. Its stream already has its [options](Self::set_options).
    ///
    /// # Errors
    ///
    /// Returns an error if no newcomer waits, if the newcomer has already left, or if the system lacks
    /// something.
    fn accept(&mut self, listener: &mut Self::Listener) -> io::Result<(Self::Socket, SocketAddr)>;

    /// Stops accepting newcomers.
    fn unlisten(&mut self, listener: Self::Listener);

    /// Begins to connect to `addr`.
    ///
    /// # Errors
    ///
    /// Returns an error if that fails at once.
    fn connect(&mut self, addr: SocketAddr) -> io::Result<Self::Socket>;

    /// Returns whether an attempt to connect has succeeded.
    ///
    /// # Errors
    ///
    /// Returns an error if the attempt has failed.
    fn established(&mut self, socket: &mut Self::Socket) -> io::Result<bool>;
}
