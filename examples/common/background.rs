//! Writing that never blocks the loop: items go through a bounded queue to a thread that may block.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// The most items written at once.
const BATCH_MAX: usize = 1_000;

/// The most bytes that may wait. An answer may have 16 KiB, and four times as many once escaped.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A thread that writes items for a loop that must not block. If the queue is full, items are dropped and
/// counted.
pub struct Background<T> {
    queue: SyncSender<Job<T>>,
    /// The bytes of items that have not been written yet.
    waiting: Arc<AtomicUsize>,
    dropped: AtomicU64,
}

/// Items that were not written.
pub struct Loss {
    /// The number of items that found the queue full.
    pub dropped: u64,
    /// Whether the last items were not written in time.
    pub is_late: bool,
}

impl Loss {
    /// Describes the losses, including `more` lines that the thread could not write; `None` if there are
    /// none.
    pub fn words(&self, more: u64) -> Option<String> {
        let late = if self.is_late { ", and the last ones not written in time" } else { "" };
        let lost = self.dropped + more;
        (lost > 0 || self.is_late).then(|| format!("{lost} lines were lost{late}"))
    }
}

enum Job<T> {
    /// An item and its size in bytes.
    Write(T, usize),
    /// Reports once everything before it has been written.
    Flush(SyncSender<()>),
}

impl<T: Send + 'static> Background<T> {
    /// Starts the thread. `write` is called with the queued items, and with none when the queue is flushed.
    /// It returns whether to continue.
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

    /// Queues `item`, which has `bytes` bytes. Returns `false` if there is no room for it.
    pub fn write(&self, item: T, bytes: usize) -> bool {
        let waiting = self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let is_queued = waiting <= WAITING_BYTES_MAX && self.queue.try_send(Job::Write(item, bytes)).is_ok();
        if !is_queued {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        is_queued
    }

    /// Waits for at most `patience` until the queue has been written. Returns the losses.
    pub fn flush(&self, patience: Duration) -> Loss {
        let (done, flushed) = sync_channel(1);
        let is_late = match self.queue.try_send(Job::Flush(done)) {
            Ok(()) => flushed.recv_timeout(patience) == Err(RecvTimeoutError::Timeout),
            Err(TrySendError::Full(_)) => true,
            // The thread has given up. Unwritten items are counted elsewhere.
            Err(TrySendError::Disconnected(_)) => false,
        };
        Loss { dropped: self.dropped.load(Ordering::Relaxed), is_late }
    }
}

/// Writes everything that is queued now. Returns `false` when the thread has to end.
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
