//! A log file that never stops a server: lines are buffered and written once a pass; a full disk is reported once and counted.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Zoned;
use log::warn;

/// Lines that could not be written wait up to this many bytes for the disk to have room again.
const WAITING_BYTES_MAX: usize = 256 * 1024;

pub struct Journal {
    path: PathBuf,
    file: File,
    waiting: String,
    /// Lines lost, and whether that was said.
    lost: u64,
    failing: bool,
}

impl Journal {
    pub fn open(path: &Path) -> Result<Journal, String> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|error| {
            format!("cannot append to {}: {error}; choose another with --log-file", path.display())
        })?;
        Ok(Journal { path: path.to_owned(), file, waiting: String::new(), lost: 0, failing: false })
    }

    /// `{date} {time},{ms} INFO {text}`, in local time.
    pub fn line(&mut self, text: &str) {
        if self.waiting.len() > WAITING_BYTES_MAX {
            self.lost += 1;
            return;
        }
        let _ = writeln!(self.waiting, "{} INFO {text}", Zoned::now().strftime("%Y-%m-%d %H:%M:%S,%3f"));
    }

    pub fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        match self.file.write(self.waiting.as_bytes()) {
            Ok(count) => {
                self.waiting.drain(..count);
                if std::mem::take(&mut self.failing) {
                    warn!("{}: written again; {} lines were lost", self.path.display(), self.lost);
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    warn!("{}: cannot be written ({error}); the server goes on", self.path.display());
                }
            }
        }
    }
}
