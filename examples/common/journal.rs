//! A log file that never stops a server: lines are buffered and written once a pass; a full disk is reported once and counted.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use jiff::Zoned;
use log::warn;

/// Lines that could not be written wait for the disk to have room again; what exceeds this many bytes is lost.
const WAITING_BYTES_MAX: usize = 256 * 1024;

pub struct Journal {
    path: PathBuf,
    file: File,
    /// Begins in the middle of a line if the disk took only its beginning.
    waiting: Vec<u8>,
    /// Lines lost since that was last said.
    lost: u64,
    /// The last attempt failed, and that was said.
    failing: bool,
}

impl Journal {
    pub fn open(path: &Path) -> Result<Journal, String> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|error| {
            format!("cannot append to {}: {error}; choose another with --log-file", path.display())
        })?;
        Ok(Journal { path: path.to_owned(), file, waiting: Vec::new(), lost: 0, failing: false })
    }

    /// `{date} {time},{ms} INFO {text}`, in local time.
    pub fn line(&mut self, text: &str) {
        // Also without a failure: a pass may bring more than this.
        if self.waiting.len() > WAITING_BYTES_MAX {
            self.flush();
        }
        if self.waiting.len() > WAITING_BYTES_MAX {
            self.lost += 1;
            return;
        }
        let now = Zoned::now();
        let _ = writeln!(self.waiting, "{} INFO {text}", now.strftime("%Y-%m-%d %H:%M:%S,%3f"));
    }

    pub fn flush(&mut self) {
        while !self.waiting.is_empty() {
            match self.file.write(&self.waiting) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        warn!("{}: cannot be written ({error}); the server goes on", self.path.display());
                    }
                    return;
                }
            }
        }
        if std::mem::take(&mut self.failing) {
            let lost = std::mem::take(&mut self.lost);
            warn!("{}: written again; {lost} lines were lost", self.path.display());
        }
    }

    /// Writes what is left, or says how much that is.
    pub fn finish(mut self) {
        self.flush();
        let waiting = self.waiting.iter().filter(|&&byte| byte == b'\n').count();
        if self.failing {
            warn!("{}: {} lines were lost", self.path.display(), self.lost + waiting as u64);
        }
    }
}
