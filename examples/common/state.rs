//! The counters in a file: one `id number random` a line, random `-` if there is none. A thread replaces the
//! file as a whole.

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

/// How old a change may be before it is saved; with the time that saving takes, less than a second.
const SAVE_AFTER: Duration = Duration::from_millis(800);

/// 10,001 ids, each with two numbers, have less than half of it.
const BYTES_MAX: u64 = 1024 * 1024;

/// Texts that may wait for a slow disk; what changes while as many wait is saved later.
const TEXTS_MAX: usize = 4;

/// How long after the signal that asked for the end the last changes may be saved.
const END_WITHIN: Duration = Duration::from_secs(4);

pub struct State {
    file: OwnFile,
    texts: Background<String>,
    /// The last attempt failed, and that was said.
    is_failing: Arc<AtomicBool>,
    /// Something has changed since a text was queued.
    has_changed: bool,
    /// When what has changed is saved, or what was queued is looked after; `None` while all is saved.
    save_at: Option<Instant>,
}

impl State {
    /// Restores what is in the file. It is written at once: that it cannot be is said now, not when something
    /// would be lost.
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
        // Of those that wait the newest is written.
        let texts = Background::start(TEXTS_MAX, move |texts: &mut dyn Iterator<Item = String>| {
            if let Some(text) = texts.last() {
                save(&target, &text, &failing);
            }
            true
        });
        Ok(State { file, texts, is_failing, has_changed: false, save_at: None })
    }

    /// Something has changed.
    pub fn touch(&mut self, now: Instant) {
        self.has_changed = true;
        self.save_at.get_or_insert(now + SAVE_AFTER);
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.save_at
    }

    /// Saves what is due. A failure is reported once, and tried again.
    pub fn save(&mut self, now: Instant, server: &CounterServer) {
        if self.save_at.is_none_or(|at| at > now) {
            return;
        }
        let has_work = self.has_changed || self.is_failing.load(Ordering::Relaxed);
        // Looks after it, too.
        self.save_at = has_work.then(|| now + SAVE_AFTER);
        if has_work {
            self.has_changed = !self.queue(server);
        }
    }

    /// Saves all that has changed, for a while.
    pub fn finish(mut self, server: &CounterServer) {
        // Also so that there is room.
        let is_late = self.texts.flush(signals::left_of(END_WITHIN)).is_late;
        if !is_late && (self.has_changed || self.is_failing.load(Ordering::Relaxed)) {
            self.has_changed = !self.queue(server);
            self.has_changed |= self.texts.flush(signals::left_of(END_WITHIN)).is_late;
        }
        if is_late || self.has_changed || self.is_failing.load(Ordering::Relaxed) {
            warn!("{}: the last changes are not saved", self.file);
        }
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
