//! Writing that never holds the loop up: what is to be written goes through a bounded queue to a thread that may block.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// How long what is queued may take at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// How much is written at once.
const BATCH_MAX: usize = 1_000;

/// A thread that writes what it is given, for a loop that must not wait. What finds the queue full is dropped and counted.
pub struct Background<T> {
    queue: SyncSender<Job<T>>,
    dropped: AtomicU64,
}

enum Job<T> {
    Write(T),
    /// All before it is written: say so.
    Flush(SyncSender<()>),
}

impl<T: Send + 'static> Background<T> {
    /// `write` is given what is queued, and says whether there is any use in going on.
    #[allow(clippy::disallowed_methods, reason = "a write may block, the loop may not")]
    pub fn start(
        length: usize,
        mut write: impl FnMut(&mut dyn Iterator<Item = T>) -> bool + Send + 'static,
    ) -> Self {
        let (queue, jobs) = sync_channel(length);
        std::thread::spawn(move || while serve(&jobs, &mut write) {});
        Background { queue, dropped: AtomicU64::new(0) }
    }

    pub fn write(&self, item: T) {
        if self.queue.try_send(Job::Write(item)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all that is queued is written, for at most a second; how much was dropped or not written in time.
    pub fn flush(&self) -> Result<(), String> {
        let (done, flushed) = sync_channel(1);
        let in_time = match self.queue.try_send(Job::Flush(done)) {
            Ok(()) => flushed.recv_timeout(FLUSH_TIMEOUT) != Err(RecvTimeoutError::Timeout),
            Err(TrySendError::Full(_)) => false,
            // The thread has given up: what it did not write is counted.
            Err(TrySendError::Disconnected(_)) => true,
        };
        match (self.dropped.load(Ordering::Relaxed), in_time) {
            (0, true) => Ok(()),
            (dropped, true) => Err(format!("{dropped} lines were dropped")),
            (dropped, false) => {
                Err(format!("{dropped} lines were dropped, and the last ones not written in time"))
            }
        }
    }
}

/// Writes what is queued by now; `false` when it is over.
fn serve<T>(jobs: &Receiver<Job<T>>, write: &mut impl FnMut(&mut dyn Iterator<Item = T>) -> bool) -> bool {
    let Ok(first) = jobs.recv() else { return false };
    let mut flush = None;
    let mut queued =
        std::iter::once(first).chain(jobs.try_iter().take(BATCH_MAX)).map_while(|job| match job {
            Job::Write(item) => Some(item),
            Job::Flush(done) => {
                flush = Some(done);
                None
            }
        });
    let goes_on = write(&mut queued);
    drop(queued);
    if let Some(done) = flush {
        let _ = done.send(());
    }
    goes_on
}
