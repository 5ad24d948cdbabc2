//! How other threads reach an event loop: by a [`Handle`], whose requests arrive in the [`Inbox`] of the
//! loop.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use mio::Waker;

use super::Driver;
use crate::protocol::Protocol;
use crate::time::Now;

/// Pieces of work from other threads that may wait for the loop. It does at most as many in a pass.
const WORK_MAX: usize = 1024;

/// Work that another thread hands to the thread of a loop.
pub type Work<P> = Box<dyn FnOnce(&mut Driver<P>, Now) + Send>;

/// Reaches an [`EventLoop`](super::EventLoop) from other threads. All clones reach the same loop.
pub struct Handle<P: Protocol> {
    sender: SyncSender<Work<P>>,
    waker: Arc<Waker>,
    wanted: Arc<Wanted>,
}

impl<P: Protocol> Clone for Handle<P> {
    fn clone(&self) -> Self {
        Handle { sender: self.sender.clone(), waker: self.waker.clone(), wanted: self.wanted.clone() }
    }
}

impl<P: Protocol> Handle<P> {
    /// Makes [`EventLoop::run`](super::EventLoop::run) return after the current pass. Connections are closed
    /// when the loop is dropped.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = in_a_loop!()]
    /// event_loop.handle().stop();
    /// event_loop.run(|_driver, event| println!("{event:?}"))?; // returns after one pass
    /// # Ok(()) }
    /// ```
    pub fn stop(&self) {
        self.wanted.stop.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Begins a drain; [`EventLoop::run`](super::EventLoop::run) returns when it is done.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = in_a_loop!()]
    /// event_loop.handle().drain();
    /// event_loop.run(|_driver, event| println!("{event:?}"))?;
    /// assert!(event_loop.driver().is_drained());
    /// # Ok(()) }
    /// ```
    pub fn drain(&self) {
        self.wanted.drain.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Runs `work` on the thread of the loop, in its next pass. To return a result, `work` sends it through
    /// its own channel. A loop that was stopped or drained, and is not dropped yet, accepts work, but does it
    /// only if it is run again.
    ///
    /// # Errors
    ///
    /// Returns [`Refused`], with the work, if the loop was dropped or 1,024 pieces wait for it.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = in_a_loop!()]
    /// let handle = event_loop.handle();
    /// let thread = std::thread::spawn(move || event_loop.run(|_driver, _event| {}));
    ///
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// handle.run(move |driver, _now| {
    ///     let _ = sender.send(driver.protocol().clients());
    /// })?;
    /// assert_eq!(receiver.recv()?, 0);
    /// handle.drain();
    /// # thread.join().unwrap()?;
    /// # Ok(()) }
    /// ```
    pub fn run(&self, work: impl FnOnce(&mut Driver<P>, Now) + Send + 'static) -> Result<(), Refused<P>> {
        let handed_over = self.sender.try_send(Box::new(work));
        self.wake();
        match handed_over {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(work) | TrySendError::Disconnected(work)) => Err(Refused(work)),
        }
    }

    pub(super) fn wake(&self) {
        // If the waker fails, its loop was dropped.
        let _ = self.waker.wake();
    }
}

impl<P: Protocol> fmt::Debug for Handle<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

/// Work that an [`EventLoop`](super::EventLoop) did not accept, because it was dropped or too much work waits
/// for it.
pub struct Refused<P: Protocol>(pub Work<P>);

impl<P: Protocol> fmt::Debug for Refused<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refused")
    }
}

impl<P: Protocol> fmt::Display for Refused<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event loop is gone, or too much work waits for it")
    }
}

impl<P: Protocol> std::error::Error for Refused<P> {}

/// Requests of other threads that are never lost, however much work waits.
#[derive(Debug, Default)]
struct Wanted {
    stop: AtomicBool,
    drain: AtomicBool,
}

/// The loop's end of its handles.
pub(super) struct Inbox<P: Protocol> {
    work: Receiver<Work<P>>,
    handle: Handle<P>,
}

impl<P: Protocol> Inbox<P> {
    pub(super) fn new(waker: Waker) -> Inbox<P> {
        let (sender, work) = sync_channel(WORK_MAX);
        Inbox { work, handle: Handle { sender, waker: Arc::new(waker), wanted: Arc::default() } }
    }

    pub(super) fn handle(&self) -> Handle<P> {
        self.handle.clone()
    }

    /// Does what other threads have requested. Returns whether one of them wants the loop to stop.
    #[cold]
    pub(super) fn obey(&self, driver: &mut Driver<P>, now: Now) -> bool {
        if self.handle.wanted.drain.load(Ordering::Relaxed) {
            driver.drain(now);
        }
        let mut done = 0;
        for work in self.work.try_iter().take(WORK_MAX) {
            work(driver, now);
            done += 1;
        }
        if done == WORK_MAX {
            self.handle.wake();
        }
        self.handle.wanted.stop.load(Ordering::Relaxed)
    }
}
