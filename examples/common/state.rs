//! The counters in a file: one `id number random` a line, random `-` if there is none. Written beside it and moved into its place, so that
//! a reader, or a server that starts after a crash, sees the old or the new one, whole.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use log::warn;
use taketurns::protocol::counter::{CounterId, Record};

pub fn load(file: &Path) -> Result<Vec<(CounterId, Record)>, String> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(format!("cannot read {}: {error}; choose another with --state", file.display()));
        }
    };
    let number_of = |(at, line): (usize, &str)| {
        let problem = || {
            format!(
                "{} line {}: {line:?} is not ID NUMBER RANDOM; mend or remove the file",
                file.display(),
                at + 1
            )
        };
        parse(line).ok_or_else(problem)
    };
    text.lines().enumerate().map(number_of).collect()
}

fn parse(line: &str) -> Option<(CounterId, Record)> {
    let mut fields = line.split(' ');
    let id = CounterId::new(fields.next()?.parse().ok()?)?;
    let number = fields.next()?.parse().ok()?;
    let random = match fields.next()? {
        "-" => None,
        random => Some(random.parse().ok()?),
    };
    fields.next().is_none().then_some((id, Record { number, random }))
}

/// Saves; a failure is reported once, and the server goes on.
pub fn save(file: &Path, records: impl Iterator<Item = (CounterId, Record)>) {
    static FAILING: AtomicBool = AtomicBool::new(false);
    let mut text = String::new();
    for (id, Record { number, random }) in records {
        let random = random.map_or_else(|| "-".to_owned(), |random| random.to_string());
        let _ = writeln!(text, "{id} {number} {random}");
    }
    match replace(file, &text) {
        Ok(()) => FAILING.store(false, Ordering::Relaxed),
        Err(error) => {
            if !FAILING.swap(true, Ordering::Relaxed) {
                warn!("{}: cannot be written ({error}); the server goes on", file.display());
            }
        }
    }
}

fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let mut new = File::create(&beside)?;
    new.write_all(text.as_bytes())?;
    new.sync_data()?;
    fs::rename(&beside, file)
}
