//! Printing that never holds the loop up: lines go through a bounded queue to a thread that writes them.

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Lines that may wait for standard output; more are dropped and counted.
const LINES_MAX: usize = 10_000;
/// How long the last lines may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Prints to standard output from a thread of its own. A closed or stuck standard output costs lines, never time.
pub struct Printer {
    lines: SyncSender<String>,
    done: Receiver<()>,
    dropped: u64,
}

impl Printer {
    #[allow(clippy::disallowed_methods, reason = "a write to standard output may block, the loop may not")]
    pub fn start() -> Printer {
        let (lines, queue) = sync_channel::<String>(LINES_MAX);
        let (finished, done) = sync_channel(1);
        std::thread::spawn(move || {
            write_all(&queue);
            let _ = finished.send(());
        });
        Printer { lines, done, dropped: 0 }
    }

    pub fn line(&mut self, text: fmt::Arguments<'_>) {
        match self.lines.try_send(format!("{text}\n")) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.dropped += 1,
        }
    }

    /// Writes what is queued, for at most a second.
    pub fn finish(self) {
        let Printer { lines, done, dropped } = self;
        drop(lines);
        let flushed = done.recv_timeout(FLUSH_TIMEOUT).is_ok();
        if dropped > 0 || !flushed {
            log::warn!(
                "standard output did not keep up: {dropped} lines were dropped, the last flush {}",
                if flushed { "was in time" } else { "was not in time" }
            );
        }
    }
}

fn write_all(queue: &Receiver<String>) {
    let mut out = BufWriter::new(io::stdout().lock());
    while let Ok(line) = queue.recv() {
        let batch = std::iter::once(line).chain(queue.try_iter());
        let written = batch.into_iter().try_for_each(|line| out.write_all(line.as_bytes()));
        if written.and_then(|()| out.flush()).is_err() {
            // Nobody reads any more. What is queued from now on is dropped by the sender.
            let (_buffer, _unwritten) = out.into_parts();
            return;
        }
    }
}
