//! The driver: sockets, clock and `mio` for the [engine](crate::engine), which has the rest.
//!
//! [`Driver`] works on the host's own `mio::Poll`. [`EventLoop`] owns a `Poll` and is a thin layer over a
//! driver, for programs that have nothing else to wait for, or that wait [in another loop](#in-another-loop).
//! Neither starts a thread, unless the loop is given a store, and neither takes a lock, installs a signal
//! handler or a logger, or exits.
//!
//! # The driving contract
//!
//! For each pass of the host's loop:
//!
//! 1. Poll, with a timeout of at most [`poll_timeout`]`(`[`now()`]`, `[`Driver::next_deadline`]`)`. If the
//!    poll is interrupted, poll again before anything else, because it has not reported what arrived
//!    meanwhile.
//! 2. Read the clock, once: [`now()`].
//! 3. Give the driver each event that it [owns](Driver::owns): [`Driver::handle_event`].
//! 4. [`Driver::finish_batch`], once, even if there was no event.
//! 5. Take every event for the host: [`Driver::poll_event`] until it returns `None`.
//!
//! Within a pass, input is read first, then newcomers are accepted, then deadlines expire; only then are
//! slots used again. So an answer that arrived before its deadline counts, and an event for a closed
//! connection cannot reach another one. The replies to the first 32 events of a pass are written before the
//! next event is handled. All others are written together at the end, or sooner if much is queued for one
//! peer. If more has arrived than a pass may read, the rest is read in the next passes, and deadlines that
//! have passed wait for it.
//!
//! The driver asks for edge-triggered readiness, as mio does. A host that puts its `Poll` into another epoll
//! must drain it until no event is left, because it is notified only once. An [`EventLoop`] can do that for
//! the host:
//!
//! # In another loop
//!
//! An [`EventLoop`] is a descriptor (on Unix) that another loop can wait for, such as tokio's, calloop's, or
//! one around `poll(2)`. It stands for the loop's sockets, deadlines, [`Handle`] and status listener. Each
//! time it is readable, and once at the beginning:
//!
//! 1. Clear the readiness if the other loop keeps it, as tokio does. Do it before the passes, so that input
//!    that arrives during them is announced again.
//! 2. Call [`EventLoop::run_ready`] with a function for the events. It makes passes that do not wait, and
//!    returns how long the host may wait for the descriptor. It returns `Break` at the end.
//!
//! Tokio's `AsyncFd::with_interest` is deprecated, because a type may lie about its descriptor. It is safe
//! here: an event loop keeps the same descriptor open until its end.
//!
//! Calls of the driver outside a pass, such as [`Driver::act`], need step 2 after them. The guide's
//! section [Put it into your program](crate::guide#10-put-it-into-your-program) explains when to use which
//! loop.

mod clock;
mod companion;
mod descriptors;
mod driver;
mod error;
mod event_loop;
mod handle;
#[cfg(feature = "store")]
mod loop_store;
mod resolve;
mod timer;

pub use clock::{now, poll_timeout};
#[cfg(feature = "status")]
pub(crate) use companion::Companion;
pub use descriptors::connections_max;
pub use driver::Driver;
pub use error::Error;
pub use event_loop::EventLoop;
pub use handle::{Handle, Refused, Work};
pub use resolve::resolve;

pub use crate::engine::{BadTarget, DriverConfig, DriverCounts, Event, Target};
use crate::protocol::Entropy;
pub use crate::sockets::TokenSpace;

/// A connection that [`Driver::release`] has given up.
pub type Released = crate::engine::Released<mio::net::TcpStream>;

/// Random bytes from the operating system.
///
/// # Panics
///
/// Panics if the system cannot provide them: a secret that can be guessed would be worse.
///
/// # Examples
///
/// ```
/// let mut bytes = [0; 16];
/// taketurns::net::os_entropy()(&mut bytes);
/// assert_ne!(bytes, [0; 16]);
/// ```
#[must_use]
pub fn os_entropy() -> Entropy {
    Box::new(|bytes| getrandom::fill(bytes).expect("the operating system gives random bytes"))
}
