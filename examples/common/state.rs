//! The counters in a file: one `id number random` a line, random `-` if there is none. Written beside it, synced and moved into
//! its place, so that a reader, or a server that starts after a crash, sees the old or the new one, whole.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::warn;
use taketurns::protocol::counter::{CounterId, CounterServer, Record};
use taketurns::time::Instant;

/// How old a change may be before it is saved; with the time that saving takes, less than a second.
const SAVE_AFTER: Duration = Duration::from_millis(800);

pub struct State {
    path: PathBuf,
    /// When what has changed is saved; `None` while nothing has.
    save_at: Option<Instant>,
    /// The last attempt failed, and that was said.
    failing: bool,
}

impl State {
    /// Restores what is in the file. It is written at once: that it cannot be is said now, not when something would be lost.
    pub fn open(path: &Path, server: &mut CounterServer) -> Result<State, String> {
        let describe = |verb: &str, error: io::Error| {
            format!("cannot {verb} {}: {error}; choose another with --state", path.display())
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(describe("read", error)),
        };
        for (line, at) in text.lines().zip(1..) {
            let (id, record) = parse(line).ok_or_else(|| {
                let path = path.display();
                format!("cannot read {path}: line {at} is not ID NUMBER RANDOM; mend or remove the file")
            })?;
            server.restore(id, record);
        }
        let state = State { path: path.to_owned(), save_at: None, failing: false };
        state.replace(&render(server)).map_err(|error| describe("write", error))?;
        Ok(state)
    }

    /// Something has changed.
    pub fn touch(&mut self, now: Instant) {
        self.save_at.get_or_insert(now + SAVE_AFTER);
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.save_at
    }

    /// Saves what is due, at the `end` all that has changed. A failure is reported once, and tried again.
    pub fn save(&mut self, now: Instant, end: bool, server: &CounterServer) {
        if !self.save_at.is_some_and(|at| at <= now || end) {
            return;
        }
        match self.replace(&render(server)) {
            Ok(()) => {
                self.save_at = None;
                if std::mem::take(&mut self.failing) {
                    warn!("{}: written again", self.path.display());
                }
            }
            Err(error) => {
                self.save_at = Some(now + SAVE_AFTER);
                if !std::mem::replace(&mut self.failing, true) {
                    warn!("{}: cannot be written ({error}); the server goes on", self.path.display());
                }
            }
        }
    }

    fn replace(&self, text: &str) -> io::Result<()> {
        let mut beside = self.path.as_os_str().to_owned();
        beside.push(".new");
        let mut new = File::create(&beside)?;
        new.write_all(text.as_bytes())?;
        // Otherwise a crash of the system could leave an empty file in the place of a good one.
        new.sync_data()?;
        fs::rename(&beside, &self.path)
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
