//! The counters in a file, with one `id number random` per line; `random` is `-` if there is none. A thread
//! replaces the whole file.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use log::warn;
use taketurns::protocol::counter::{CounterId, CounterServer, Record};
use taketurns::time::Instant;

use super::background::Background;
use super::files::OwnFile;
use super::signals;

/// The age at which a change is saved. With the time that saving takes, this stays below a second.
const SAVE_AFTER: Duration = Duration::from_millis(800);

/// The largest state file accepted, in bytes: 10,001 ids with two numbers each need less than half of it.
const BYTES_MAX: u64 = 1024 * 1024;

/// The most texts that may wait for a slow disk. Changes beyond that are saved later.
const TEXTS_MAX: usize = 4;

/// The time after the signal within which the last changes may be saved.
const END_WITHIN: Duration = Duration::from_secs(4);

pub struct State {
    file: OwnFile,
    texts: Background<String>,
    /// Whether the last attempt failed, which has been reported.
    is_failing: Arc<AtomicBool>,
    /// Whether anything has changed since a text was queued.
    has_changed: bool,
    /// When to save changes, or to check on a queued text; `None` if everything is saved.
    save_at: Option<Instant>,
}

impl State {
    /// Restores the contents of the file. Writes it at once, so that a failure is reported now and not when
    /// something would be lost.
    pub fn open(path: &Path, server: &mut CounterServer) -> Result<State, String> {
        let file = OwnFile::new(path, "--state");
        for (line, at) in file.read(BYTES_MAX)?.lines().zip(1..) {
            let (id, record) = parse(line).ok_or_else(|| {
                format!("cannot read {file}: line {at} is not ID NUMBER RANDOM; mend or remove the file")
            })?;
            server.restore(id, record);
        }
        file.replace(&render(server)).map_err(|why| file.failure("write", why))?;
        let is_failing = Arc::new(AtomicBool::new(false));
        let (target, failing) = (file.clone(), is_failing.clone());
        // Only the newest of the waiting texts is written.
        let texts = Background::start(TEXTS_MAX, move |texts: &mut dyn Iterator<Item = String>| {
            if let Some(text) = texts.last() {
                save(&target, &text, &failing);
            }
            true
        });
        Ok(State { file, texts, is_failing, has_changed: false, save_at: None })
    }

    /// Notes that something has changed.
    pub fn touch(&mut self, now: Instant) {
        self.has_changed = true;
        self.save_at.get_or_insert(now + SAVE_AFTER);
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.save_at
    }

    /// Saves changes that are due. A failure is reported once and retried.
    pub fn save(&mut self, now: Instant, server: &CounterServer) {
        if self.save_at.is_none_or(|at| at > now) {
            return;
        }
        let has_work = self.has_changed || self.is_failing.load(Ordering::Relaxed);
        // Also schedules the check on this attempt.
        self.save_at = has_work.then(|| now + SAVE_AFTER);
        if has_work {
            self.has_changed = !self.queue(server);
        }
    }

    /// Saves all changes, for a limited time.
    pub fn finish(mut self, server: &CounterServer) -> Result<(), String> {
        // This also makes room in the queue.
        let is_late = self.texts.flush(signals::left_of(END_WITHIN)).is_late;
        if !is_late && (self.has_changed || self.is_failing.load(Ordering::Relaxed)) {
            self.has_changed = !self.queue(server);
            self.has_changed |= self.texts.flush(signals::left_of(END_WITHIN)).is_late;
        }
        if is_late || self.has_changed || self.is_failing.load(Ordering::Relaxed) {
            return Err(format!("{}: the last changes are not saved", self.file));
        }
        Ok(())
    }

    fn queue(&self, server: &CounterServer) -> bool {
        let text = render(server);
        let bytes = text.len();
        self.texts.write(text, bytes)
    }
}

fn save(file: &OwnFile, text: &str, is_failing: &AtomicBool) {
    match file.replace(text) {
        Ok(()) => {
            if is_failing.swap(false, Ordering::Relaxed) {
                warn!("{file}: written again");
            }
        }
        Err(why) => {
            if !is_failing.swap(true, Ordering::Relaxed) {
                warn!("{file}: cannot be written ({why}); the server goes on");
            }
        }
    }
}

fn render(server: &CounterServer) -> String {
    let mut text = String::new();
    for (id, Record { number, random }) in server.records() {
        let random = random.map_or_else(|| "-".to_owned(), |random| random.to_string());
        let _ = writeln!(text, "{id} {number} {random}");
    }
    text
}

fn parse(line: &str) -> Option<(CounterId, Record)> {
    let mut fields = line.split(' ');
    let id = CounterId::new(fields.next()?.parse().ok()?)?;
    let number = fields.next()?.parse().ok()?;
    let random = match fields.next()? {
        "-" => None,
        random => Some(random.parse().ok().filter(|random| *random < 100)?),
    };
    fields.next().is_none().then_some((id, Record { number, random }))
}
