//! Wire protocols: bytes in, decisions out. Each has a module with its server and its client.
//!
//! A [`Protocol`] is told what happened to connections, and tells [`Links`] what to write and which to close.
//! It has no socket, clock or thread: an [engine](crate::engine) drives it, on sockets of the system or of a
//! test.
//!
//! | module | purpose |
//! |---|---|
//! | [`turns`] | clients take turns to answer; the host may judge |
//! | [`echo`] | a message comes back with the time in front |
//! | [`dispatch`] | commands go to a client of lower rank |
//! | [`counter`] | counters that outlive their connections |
//!
//! # A protocol of your own
//!
//! 1. Keep the state of each connection in a [`ConnectionMap`]: insert it in `handle_open`, remove it in
//!    `handle_closed`.
//! 2. Split the bytes of `handle_bytes` into messages with a function from [`wire`](crate::wire), and return
//!    the number of bytes that these took. Do not keep part of a message: it is given again, with the bytes
//!    that follow it.
//! 3. Ask [`Links::may_go_on`] between two messages, and return when it is false: that peer has much to read
//!    first.
//! 4. Answer through the links, and never wait. [`Links::close`] lets the peer read what is queued for it,
//!    [`Links::abort`] does not.
//! 5. For something that has to happen later, return its time from `next_deadline` and act on it in
//!    `handle_timeout`.
//! 6. Queue an event for everything that the host should know, and return it from `poll_event`.
//!
//! A protocol whose clients take turns asks a [`Scheduler`](crate::turn::Scheduler) which of them may act.
//! The [guide](crate::guide) has a complete one.
//!
//! ```
//! use std::collections::VecDeque;
//! use std::net::SocketAddr;
//! use taketurns::protocol::{BuffersMin, CloseReason, ConnectionId, Links, Origin, Protocol};
//! use taketurns::record::Record;
//! use taketurns::time::{Instant, Now};
//! use taketurns::wire::split_line;
//!
//! /// Answers every line in capitals, and says goodbye to `bye`.
//! #[derive(Default)]
//! struct Shout {
//!     shouted: VecDeque<String>,
//! }
//!
//! impl Protocol for Shout {
//!     type Event = String;
//!
//!     fn handle_open(&mut self, _: Now, _: ConnectionId, _: SocketAddr, _: Origin, _: &mut Links) {}
//!
//!     fn handle_bytes(&mut self, _: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
//!         let mut used = 0;
//!         while links.may_go_on(id)
//!             && let Some(line) = split_line(&bytes[used..], 80)
//!         {
//!             used += line.used;
//!             match line.text {
//!                 Ok("bye") => links.close(id),
//!                 Ok(text) => {
//!                     let shout = text.to_uppercase();
//!                     links.send_fmt(id, format_args!("{shout}\n"));
//!                     self.shouted.push_back(shout);
//!                 }
//!                 Err(error) => {
//!                     links.send_fmt(id, format_args!("Error: {error}\n"));
//!                     links.close(id);
//!                 }
//!             }
//!         }
//!         used
//!     }
//!
//!     fn handle_end(&mut self, _: Now, id: ConnectionId, _rest: &[u8], links: &mut Links) {
//!         links.close(id);
//!     }
//!
//!     fn handle_closed(&mut self, _: Now, _: ConnectionId, _: CloseReason, _: &mut Links) {}
//!
//!     fn handle_timeout(&mut self, _: Now, _: &mut Links) {}
//!
//!     fn handle_flushed(&mut self, _: Now, _: &mut Links) {}
//!
//!     fn drain(&mut self, _: Now, _: &mut Links) {} // Closes its connections, if it knows them.
//!
//!     fn next_deadline(&self) -> Option<Instant> {
//!         None
//!     }
//!
//!     fn is_awaited(&self, _: ConnectionId) -> bool {
//!         false // No deadline, so nothing is urgent.
//!     }
//!
//!     fn buffers_min(&self) -> BuffersMin {
//!         BuffersMin::default()
//!     }
//!
//!     fn poll_event(&mut self) -> Option<String> {
//!         self.shouted.pop_front()
//!     }
//!
//!     fn poll_record(&mut self, _: Now) -> Option<Record> {
//!         None // All its state is in memory.
//!     }
//!
//!     fn handle_durable(&mut self, _: Now, _: u64, _: &mut Links) {}
//! }
//!
//! // A test needs no socket: the links show what would be written. A program gives it to `net::EventLoop::new`.
//! let now = Now::ORIGIN;
//! let (mut shout, mut links) = (Shout::default(), Links::new(64 * 1024));
//! let id = links.open(([127, 0, 0, 1], 9).into());
//! shout.handle_open(now, id, ([127, 0, 0, 1], 9).into(), Origin::Accepted, &mut links);
//! assert_eq!(shout.handle_bytes(now, id, b"hello\nb", &mut links), 6);
//! assert_eq!(links.unsent(id), b"HELLO\n");
//! assert_eq!(shout.handle_bytes(now, id, b"bye\n", &mut links), 4);
//! assert!(!links.is_open(id));
//! ```
//!
//! # Sockets of your own
//!
//! Without the feature `net`, or with a network that exists in memory only, an
//! [`Engine`](crate::engine::Engine) drives a protocol on any implementation of
//! [`Sockets`](crate::engine::Sockets), in the same order and within the same limits as the
//! [driver](crate::net::Driver).

/// Logs a line that peers can cause, while the budget for such lines lasts.
macro_rules! log_line {
    ($links:expr, $level:ident, $($text:tt)+) => {
        if $links.may_log(log::Level::$level) {
            log::log!(log::Level::$level, $($text)+);
        }
    };
}

mod connection;
pub mod counter;
pub mod dispatch;
pub mod echo;
mod link;
mod links;
pub mod turns;

use std::net::SocketAddr;

use crate::printable::write_printable;
use crate::record::Record;
use crate::time::{Instant, Now};
pub use connection::{CloseReason, ConnectionId, ConnectionMap, DialId, Origin, Transport};
pub use link::{AbortReason, Intent, Interest};
pub(crate) use link::{Flags, Phase};
pub use links::{LOG_LINES_MAX, Links};

/// Logs that a newcomer is turned away.
fn log_turned_away(peer: SocketAddr, clients: usize, links: &mut Links) {
    log_line!(links, Info, "{peer}: turned away, {clients} clients are connected");
}

/// A source of random bytes that the caller chooses: the operating system for a server, a seeded generator
/// for a simulation that must be reproducible.
pub type Entropy = Box<dyn FnMut(&mut [u8]) + Send>;

/// A wire protocol, driven by an engine.
///
/// Each `handle_` method gets `now`, which stays the same throughout a pass of the loop, and the [`Links`] to
/// answer through. None of them may block, or panic on any input of a peer.
///
/// There are no default methods, so that a wrapper cannot forget to forward one.
pub trait Protocol {
    /// The events for the host.
    type Event;

    /// Handles a new connection.
    fn handle_open(
        &mut self,
        now: Now,
        id: ConnectionId,
        peer: SocketAddr,
        origin: Origin,
        links: &mut Links,
    );

    /// Handles bytes from a connection. Returns how many of them it consumed.
    ///
    /// `bytes` begins where the last call stopped consuming, and ends with what was read last. A protocol
    /// consumes whole messages while [`Links::may_go_on`] is true, and keeps no part of a message: it leaves
    /// the beginning of a message whose end has not arrived. The rest is given again in one piece, together
    /// with the bytes that follow it; as soon as there is room, if `may_go_on` stopped it; or when it asks
    /// for it with [`Links::reread`]. Nothing is given after the protocol has asked for the end of the
    /// connection.
    ///
    /// A connection is closed if its protocol leaves more than
    /// [`in_bytes_max`](crate::engine::DriverConfig::in_bytes_max) bytes unconsumed. So a protocol refuses
    /// longer messages earlier.
    fn handle_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize;

    /// Handles the end of a peer's input; the peer may still read. `rest` is unconsumed input, such as a
    /// message without an end, which is given for the last time. The connection stays half-open until the
    /// protocol closes it.
    fn handle_end(&mut self, now: Now, id: ConnectionId, rest: &[u8], links: &mut Links);

    /// Handles the end of a connection, even if this side closed it. This is the last call for it. Nothing
    /// can be sent to it, but [`Links::peer`] still returns its address.
    fn handle_closed(&mut self, now: Now, id: ConnectionId, reason: CloseReason, links: &mut Links);

    /// Handles the time that [`next_deadline`](Self::next_deadline) returned. It may be called early, when
    /// nothing is due yet.
    fn handle_timeout(&mut self, now: Now, links: &mut Links);

    /// Handles the end of a pass: everything sent in it has been written, as far as the peers accept it.
    fn handle_flushed(&mut self, now: Now, links: &mut Links);

    /// Begins to stop: finishes what has begun, starts nothing new, and closes every connection within a time
    /// that the protocol sets itself. Newcomers that wait to be accepted are opened afterwards, so that they
    /// can be told and closed.
    fn drain(&mut self, now: Now, links: &mut Links);

    /// Returns when [`handle_timeout`](Self::handle_timeout) has to be called.
    fn next_deadline(&self) -> Option<Instant>;

    /// Returns whether this protocol has set `id` a deadline, for example for the answer of a holder. If more
    /// has arrived than a pass can read, `id` is read before the others, and a deadline expires only after
    /// all its input was read.
    fn is_awaited(&self, id: ConnectionId) -> bool;

    /// Returns the smallest buffers that fit the longest messages of this protocol. [`BuffersMin::default()`]
    /// accepts any.
    fn buffers_min(&self) -> BuffersMin;

    /// Returns the next event for the host.
    fn poll_event(&mut self) -> Option<Self::Event>;

    /// Returns the next [record](crate::record) of state that outlives the server. Records must be made
    /// durable in order. Call this after each pass until it returns `None`; a protocol that keeps its state
    /// only in memory always does.
    fn poll_record(&mut self, now: Now) -> Option<Record>;

    /// Releases everything that waited for records up to the number `upto`, because they are durable. Call
    /// this first thing in a pass.
    fn handle_durable(&mut self, now: Now, upto: u64, links: &mut Links);
}

/// The smallest buffers that a [`Protocol`] works with.
/// [`DriverConfig::check`](crate::engine::DriverConfig::check) compares them with a driver's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BuffersMin {
    /// The length of its longest message, which is kept until its end has arrived.
    pub in_bytes: usize,
    /// The number of bytes that may be queued for a peer that reads slowly.
    pub out_bytes: usize,
}
