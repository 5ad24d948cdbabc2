//! Wire protocols: bytes in, decisions out. One module per protocol, with its server and its client.
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
//! 2. Cut `handle_bytes` into messages with a function of [`wire`](crate::wire), and return the number of
//!    bytes that these took. Keep no part of a message: the rest is given again, with the bytes that follow
//!    it.
//! 3. Ask [`Links::may_go_on`] between two messages, and return when it is false: much waits to be written to
//!    that peer, which comes first.
//! 4. Answer through the links; never wait. [`Links::close`] lets the peer read its last words,
//!    [`Links::abort`] does not.
//! 5. Give a deadline to what has to happen later: say it in `next_deadline`, act on it in `handle_timeout`.
//! 6. Queue an event for what the host should know, and hand it out in `poll_event`.
//!
//! A protocol whose clients take turns asks a [`Scheduler`](crate::turn::Scheduler) who may act. The
//! [guide](crate::guide) has one, complete.
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
//! [`Engine`](crate::engine::Engine) drives a protocol on whatever implements
//! [`Sockets`](crate::engine::Sockets), in the same order and with the same limits as the
//! [driver](crate::net::Driver) does.

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

/// Random bytes from a source that the caller chooses: the operating system in a server, a seeded generator
/// in a simulation that must replay.
pub type Entropy = Box<dyn FnMut(&mut [u8]) + Send>;

/// A wire protocol, as an engine drives it.
///
/// Each `handle_` method gets `now`, which is the same for everything in one pass of the loop, and the
/// [`Links`] to answer through. None of them may block, or panic, whatever a peer sends.
///
/// No method is provided, so a wrapper cannot forget to forward one.
pub trait Protocol {
    /// The events that the host hears of.
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

    /// Handles the bytes that a connection has sent, and returns the number of bytes that it consumed.
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

    /// Handles the end of a peer's input; the peer may still read. `rest` was not consumed, such as a message
    /// without an end, and is given for the last time. The connection stays half-open until the protocol
    /// closes it.
    fn handle_end(&mut self, now: Now, id: ConnectionId, rest: &[u8], links: &mut Links);

    /// Handles the end of a connection, even if this side closed it. This is the last call for it. Nothing
    /// can be sent to it, but [`Links::peer`] still returns its address.
    fn handle_closed(&mut self, now: Now, id: ConnectionId, reason: CloseReason, links: &mut Links);

    /// Handles the time of [`next_deadline`](Self::next_deadline). It may be called early, when nothing is
    /// due yet.
    fn handle_timeout(&mut self, now: Now, links: &mut Links);

    /// Handles the end of a pass: everything sent in it is written, as far as the peers read it.
    fn handle_flushed(&mut self, now: Now, links: &mut Links);

    /// Begins to stop: finishes what has begun, starts nothing new, and closes every connection within a time
    /// that the protocol sets itself. Newcomers that wait to be accepted are opened afterwards, so that they
    /// can be told and closed.
    fn drain(&mut self, now: Now, links: &mut Links);

    /// Returns when [`handle_timeout`](Self::handle_timeout) has to be called.
    fn next_deadline(&self) -> Option<Instant>;

    /// Returns whether this protocol waits for `id` until a deadline, such as for the answer of a holder. If
    /// more has arrived than a pass can read, `id` is read before the others, and a deadline expires only
    /// after all its input was read.
    fn is_awaited(&self, id: ConnectionId) -> bool;

    /// Returns the smallest buffers that the longest messages of this protocol fit into;
    /// [`BuffersMin::default()`] accepts any.
    fn buffers_min(&self) -> BuffersMin;

    /// Returns the next event for the host.
    fn poll_event(&mut self) -> Option<Self::Event>;

    /// Returns the next [record](crate::record) of state that outlives the server, to be made durable in
    /// order; `None` if there is none, which is always so in a protocol that keeps its state in memory. To be
    /// called after each pass until it says `None`.
    fn poll_record(&mut self, now: Now) -> Option<Record>;

    /// All records up to the number `upto` are durable: whatever waited for them is said now. To be called
    /// first thing in a pass.
    fn handle_durable(&mut self, now: Now, upto: u64, links: &mut Links);
}

/// The smallest buffers that a [`Protocol`] works with.
/// [`DriverConfig::check`](crate::engine::DriverConfig::check) compares them with a driver's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BuffersMin {
    /// The bytes of its longest message, which is kept until its end has arrived.
    pub in_bytes: usize,
    /// The bytes that may be queued for a peer that reads, but not at once.
    pub out_bytes: usize,
}
