//! Sockets as an engine needs them, and with the feature `net` those of the system.
//!
//! This is below the engine, which calls down to read and to write. What registers sockets with a poll, and
//! asks the poll, is above it: [`net`](crate::net).

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

/// The sockets of an [`Engine`](crate::engine::Engine): the operating system's, or a test's.
///
/// No call blocks. One that cannot do anything now fails with [`WouldBlock`](io::ErrorKind::WouldBlock), and
/// the owner of the sockets says when that changes: once, by
/// [`Engine::handle_ready`](crate::engine::Engine::handle_ready) and the like.
pub trait Sockets {
    /// A stream to a peer.
    type Socket;
    /// A source of newcomers.
    type Listener;

    /// Whether a read that did not fill the buffer has emptied the socket, so that one which would say
    /// `WouldBlock` can be saved: true on epoll, false where readiness is emulated.
    const SHORT_READ_EMPTIES: bool;

    /// Whether the system would take a peer that takes nothing for one that is gone, so that
    /// [`excuse`](Self::excuse) has to be called.
    const EXCUSES: bool = false;

    /// Reads input that has arrived; returns the number of bytes, 0 at the end of the stream.
    ///
    /// # Errors
    ///
    /// When nothing has arrived, or the connection is broken.
    fn recv(&mut self, socket: &mut Self::Socket, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes as much as the socket takes; returns the number of bytes.
    ///
    /// # Errors
    ///
    /// When it takes nothing, or the connection is broken.
    fn send(&mut self, socket: &mut Self::Socket, bytes: &[u8]) -> io::Result<usize>;

    /// Ends the writing side: the peer sees the end of the stream.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    fn shutdown(&mut self, socket: &mut Self::Socket) -> io::Result<()>;

    /// Closes the connection. If the peer has sent bytes that were not read, it may never read the last ones
    /// written to it.
    fn close(&mut self, socket: Self::Socket);

    /// From now on it is to be said when `socket`, which is that of `id`, is ready for `interest`, also if it
    /// is already. Called only when that changes; `before` is what it was, and `None` for a socket that is
    /// not watched yet.
    ///
    /// # Errors
    ///
    /// When that is not possible; the connection is closed then.
    fn watch(
        &mut self,
        id: ConnectionId,
        socket: &mut Self::Socket,
        interest: Interest,
        before: Option<Interest>,
    ) -> io::Result<()>;

    /// Finds out which peers take nothing although their systems are there, and has the system be patient
    /// with them. It is called for all sockets in use, some at a time, every half of
    /// [`user_timeout`](crate::engine::DriverConfig::user_timeout) while anything is written; they were looked at
    /// before no earlier than at `since`. Returns whether any has bytes left to take: then it is called again
    /// although nothing is written.
    fn excuse(&mut self, now: Instant, since: Instant, sockets: &[&Self::Socket]) -> bool {
        let _ = (now, since, sockets);
        false
    }

    /// Sets the options of a stream in use, such as `TCP_NODELAY`, as far as the system has them.
    fn set_options(&mut self, socket: &mut Self::Socket);

    /// Takes the next newcomer.
    ///
    /// # Errors
    ///
    /// When no newcomer waits, the newcomer is gone already, or the system lacks something.
    fn accept(&mut self, listener: &mut Self::Listener) -> io::Result<(Self::Socket, SocketAddr)>;

    /// Takes no newcomers any more.
    fn unlisten(&mut self, listener: Self::Listener);

    /// Begins to connect to `addr`.
    ///
    /// # Errors
    ///
    /// When that fails at once.
    fn connect(&mut self, addr: SocketAddr) -> io::Result<Self::Socket>;

    /// Whether a connection that was begun is established.
    ///
    /// # Errors
    ///
    /// Why it will not be.
    fn established(&mut self, socket: &mut Self::Socket) -> io::Result<bool>;
}
