//! Wire protocols: bytes in, decisions out. One module a protocol, its server and its client beside each other.
//!
//! A protocol is a [`Protocol`]: it hears what happened to connections and tells [`Links`] what to write and which
//! to close. It has no socket, no clock and no thread, so tests and simulations drive it as the
//! [driver](crate::net::Driver) does.

mod connection;
pub mod counter;
pub mod dispatch;
pub mod echo;
mod links;
pub mod turns;

use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::time::Instant;

use crate::time::Now;
pub use connection::{CloseReason, ConnectionId, ConnectionMap, DialId, Origin};
pub use links::{AbortReason, Links, Wish};

/// Writes text of a peer's so that it can rearrange or hide nothing around it on a terminal.
fn write_printable(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return f.write_str(text);
    }
    text.chars().try_for_each(|c| match c {
        '\'' | '"' | '\\' => f.write_char(c),
        c => c.escape_debug().try_for_each(|c| f.write_char(c)),
    })
}

/// Random bytes from a source that the caller chooses: the operating system's in a server, a seeded generator
/// in a simulation, which then replays.
pub type Entropy = Box<dyn FnMut(&mut [u8]) + Send>;

/// What a driver needs from a wire protocol.
///
/// Each `handle_` method is told `now`, the same for all that happens in one pass of the loop, and the [`Links`]
/// to answer through. None of them blocks, and none may panic whatever a peer sends.
pub trait Protocol {
    /// What the host program hears of.
    type Event;

    /// A connection was opened.
    fn handle_open(
        &mut self,
        now: Now,
        id: ConnectionId,
        peer: SocketAddr,
        origin: Origin,
        links: &mut Links,
    );

    /// `bytes` were read from a connection: at least one, at most the driver's read budget.
    fn handle_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links);

    /// The peer has finished sending; it may still read. If the connection is not closed here, it stays half-open
    /// until the protocol closes it.
    fn handle_end(&mut self, now: Now, id: ConnectionId, links: &mut Links);

    /// The connection is gone, also if this side closed it; the last that is heard of it.
    fn handle_closed(&mut self, now: Now, id: ConnectionId, reason: CloseReason, links: &mut Links);

    /// The time of [`next_deadline`](Self::next_deadline) has come, or an earlier one: nothing may be due yet.
    fn handle_timeout(&mut self, now: Now, links: &mut Links);

    /// What was asked of the links in this pass has been written as far as the peers take it.
    fn handle_flushed(&mut self, _now: Now, _links: &mut Links) {}

    /// The host wants to stop: finish what is begun, start nothing new, close every connection within a time of
    /// the protocol's own.
    fn drain(&mut self, now: Now, links: &mut Links);

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    fn next_deadline(&self) -> Option<Instant>;

    /// The next event for the host.
    fn poll_event(&mut self) -> Option<Self::Event>;
}
