//! The driver: sockets, clock and `mio` for the [engine](crate::engine), which has the rest.
//!
//! [`Driver`] works on the host's own `mio::Poll`. [`EventLoop`] owns a `Poll` and is a thin layer over a
//! driver, for programs that have nothing else to wait for, or that wait [in another loop](#in-another-loop).
//! Neither starts a thread, takes a lock, installs a signal handler or a logger, or exits.
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
//! 4. [`Driver::finish_batch`], once, also if there was no event.
//! 5. Take every event for the host: [`Driver::poll_event`] until it says `None`.
//!
//! Within a pass, readable sockets come first, then newcomers, then deadlines; only then are slots used
//! again. So an answer that arrived before its deadline counts, and an event for a connection that is gone
//! cannot hit another. The replies to the first 32 events of a pass are written before the next event is
//! looked at; all others together at the end, or sooner once much is queued for one peer. When more has
//! arrived than a pass may read, the rest is read in the next passes, and deadlines that have come wait for
//! that.
//!
//! The driver asks for edge-triggered readiness, as mio does. A host that puts its `Poll` into another epoll
//! has to drain that one until it has no event left, because it is told once, too. An [`EventLoop`] knows how
//! to do that:
//!
//! # In another loop
//!
//! An [`EventLoop`] is a descriptor (on Unix) that another loop waits for: tokio's, calloop's, `poll(2)`. Its
//! sockets, its deadlines, its [`Handle`] and its status listener are all behind that one. Each time it is
//! readable, and once in the beginning:
//!
//! 1. Clear the readiness, if the other loop keeps it, as tokio does. Before the passes: what arrives during
//!    them is told again.
//! 2. Make a pass that does not wait: [`EventLoop::run_once`] with a timeout of zero. It returns `false` at
//!    the end.
//! 3. Take every event for the host: [`EventLoop::poll_event`] until it says `None`.
//! 4. [`EventLoop::arm`]. [`NextPass::Now`]: go on with step 2, and after eight passes let others in the host
//!    run before. (Behind a flood there is no end to them.) [`NextPass::Later`]: wait.
//!
//! Calls of the driver outside of a pass, such as [`Driver::act`], need the steps from 2 on after them. The
//! guide's section [Put it into your program](crate::guide#10-put-it-into-your-program) says when to use
//! which loop.

mod clock;
mod companion;
mod descriptors;
mod driver;
mod error;
mod event_loop;
mod handle;
mod resolve;
mod timer;

pub use clock::{now, poll_timeout};
#[cfg(feature = "status")]
pub(crate) use companion::Companion;
pub use descriptors::connections_max;
pub use driver::Driver;
pub use error::Error;
pub use event_loop::{EventLoop, NextPass};
pub use handle::{Handle, Refused, Work};
pub use resolve::resolve;

pub use crate::engine::{BadTarget, DriverConfig, DriverCounts, Event, Target};
use crate::protocol::Entropy;
pub use crate::sockets::TokenSpace;

/// Random bytes from the operating system.
///
/// # Panics
///
/// The source does, when the system has none to give: a secret that can be guessed would be worse.
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
