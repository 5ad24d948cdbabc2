//! Writing that never holds the loop up: what is to be written goes through a bounded queue to a thread that
//! may block.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// How much is written at once.
const BATCH_MAX: usize = 1_000;

/// Bytes that may wait. An answer may have 16 KiB, and four times as much once it is escaped.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A thread that writes what it is given, for a loop that must not wait. What finds the queue full is dropped
/// and counted.
pub struct Background<T> {
    queue: SyncSender<Job<T>>,
    /// Bytes of what is not written yet.
    waiting: Arc<AtomicUsize>,
    dropped: AtomicU64,
}

/// Text that was not written.
pub struct Loss {
    /// Items that found the queue full.
    pub dropped: u64,
    /// The text queued last was not written in time.
    pub is_late: bool,
}

impl Loss {
    /// Returns the losses, with `more` lines that the thread could not write; `None` if nothing was.
    pub fn words(&self, more: u64) -> Option<String> {
        let late = if self.is_late { ", and the last ones not written in time" } else { "" };
        let lost = self.dropped + more;
        (lost > 0 || self.is_late).then(|| format!("{lost} lines were lost{late}"))
    }
}

enum Job<T> {
    /// With its size in bytes.
    Write(T, usize),
    /// All before it is written: say so.
    Flush(SyncSender<()>),
}

impl<T: Send + 'static> Background<T> {
    /// `write` is given what is queued, and nothing when the queue is flushed; it says whether there is any
    /// use in going on.
    #[allow(clippy::disallowed_methods, reason = "a write may block, the loop may not")]
    pub fn start(
        length: usize,
        mut write: impl FnMut(&mut dyn Iterator<Item = T>) -> bool + Send + 'static,
    ) -> Self {
        let (queue, jobs) = sync_channel(length);
        let waiting = Arc::new(AtomicUsize::new(0));
        let unwritten = waiting.clone();
        std::thread::spawn(move || while serve(&jobs, &unwritten, &mut write) {});
        Background { queue, waiting, dropped: AtomicU64::new(0) }
    }

    /// Queues `item`, which has `bytes` bytes; `false` if there is no room for it.
    pub fn write(&self, item: T, bytes: usize) -> bool {
        let waiting = self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let is_queued = waiting <= WAITING_BYTES_MAX && self.queue.try_send(Job::Write(item, bytes)).is_ok();
        if !is_queued {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        is_queued
    }

    /// Waits until all that is queued is written, for at most `patience`; what was not.
    pub fn flush(&self, patience: Duration) -> Loss {
        let (done, flushed) = sync_channel(1);
        let is_late = match self.queue.try_send(Job::Flush(done)) {
            Ok(()) => flushed.recv_timeout(patience) == Err(RecvTimeoutError::Timeout),
            Err(TrySendError::Full(_)) => true,
            // The thread has given up: what it did not write is counted.
            Err(TrySendError::Disconnected(_)) => false,
        };
        Loss { dropped: self.dropped.load(Ordering::Relaxed), is_late }
    }
}

/// Writes what is queued by now; `false` when it is over.
fn serve<T>(
    jobs: &Receiver<Job<T>>,
    waiting: &AtomicUsize,
    write: &mut impl FnMut(&mut dyn Iterator<Item = T>) -> bool,
) -> bool {
    let Ok(first) = jobs.recv() else { return false };
    let (mut flush, mut written) = (None, 0);
    let mut queued =
        std::iter::once(first).chain(jobs.try_iter().take(BATCH_MAX)).map_while(|job| match job {
            Job::Write(item, bytes) => {
                written += bytes;
                Some(item)
            }
            Job::Flush(done) => {
                flush = Some(done);
                None
            }
        });
    let goes_on = write(&mut queued);
    drop(queued);
    waiting.fetch_sub(written, Ordering::Relaxed);
    if let Some(done) = flush {
        let _ = done.send(());
    }
    goes_on
}
