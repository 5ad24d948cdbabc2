//! A log file that never blocks a server: a thread writes the lines, and may wait for a disk or a reader. A
//! full disk is reported once, and lost lines are counted.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use log::warn;

use super::background::Background;
use super::files::{OwnFile, is_same};
use super::{output, signals};

/// The most bytes of lines that wait for a full disk to have room again. Lines beyond that are lost.
const WAITING_BYTES_MAX: usize = 256 * 1024;

/// The most lines that may wait for the thread.
const LINES_MAX: usize = 10_000;

/// How long writing the queue may take at the end.
const PATIENCE: Duration = Duration::from_secs(1);

pub struct LogFile {
    file: OwnFile,
    zone: TimeZone,
    lines: Lines,
    unwritten: Arc<AtomicU64>,
}

enum Lines {
    Own(Background<String>),
    /// The file is standard output or standard error. Those have queues of their own, and two writers of one
    /// file would overwrite each other's lines.
    Output(fn(String)),
}

impl LogFile {
    pub fn open(path: &Path) -> Result<LogFile, String> {
        let file = OwnFile::new(path, "--log-file");
        let opened = file.append()?;
        let unwritten = Arc::new(AtomicU64::new(0));
        let lines = if is_same(opened.as_fd(), io::stdout().as_fd()) {
            Lines::Output(output::print)
        } else if is_same(opened.as_fd(), io::stderr().as_fd()) {
            Lines::Output(output::print_error)
        } else {
            let mut writer = Writer {
                name: file.to_string(),
                file: opened,
                waiting: Vec::new(),
                lost: 0,
                unwritten: unwritten.clone(),
                is_failing: false,
            };
            Lines::Own(Background::start(LINES_MAX, move |lines: &mut dyn Iterator<Item = String>| {
                writer.write(lines);
                true
            }))
        };
        Ok(LogFile { file, zone: super::zone(), lines, unwritten })
    }

    /// Writes `{date} {time},{ms} INFO {text}`, in local time.
    pub fn line(&mut self, text: fmt::Arguments<'_>) {
        let now = Timestamp::now().to_zoned(self.zone.clone());
        let line = format!("{} INFO {text}\n", now.strftime("%Y-%m-%d %H:%M:%S,%3f"));
        match &self.lines {
            Lines::Own(lines) => {
                let bytes = line.len();
                lines.write(line, bytes);
            }
            Lines::Output(print) => print(line),
        }
    }

    /// Writes the rest of the queue, or reports how much of it was lost.
    pub fn finish(self) {
        let Lines::Own(lines) = self.lines else { return };
        let loss = lines.flush(PATIENCE.min(signals::left_of(super::output::END_WITHIN)));
        if let Some(loss) = loss.words(self.unwritten.load(Ordering::Relaxed)) {
            warn!("{}: {loss}", self.file);
        }
    }
}

/// The thread's side.
struct Writer {
    name: String,
    file: File,
    /// Starts in the middle of a line if the disk accepted only its beginning.
    waiting: Vec<u8>,
    /// Lines lost since this was last reported.
    lost: u64,
    /// The lost lines and those that wait for the disk.
    unwritten: Arc<AtomicU64>,
    /// Whether the last attempt failed, which has been reported.
    is_failing: bool,
}

impl Writer {
    fn write(&mut self, lines: &mut dyn Iterator<Item = String>) {
        for line in lines {
            if self.waiting.len() > WAITING_BYTES_MAX {
                self.flush();
            }
            if self.waiting.len() > WAITING_BYTES_MAX {
                self.lost += 1;
            } else {
                self.waiting.extend_from_slice(line.as_bytes());
            }
        }
        self.flush();
        let waiting = self.waiting.iter().filter(|&&byte| byte == b'\n').count();
        self.unwritten.store(self.lost + waiting as u64, Ordering::Relaxed);
    }

    fn flush(&mut self) {
        while !self.waiting.is_empty() {
            match self.file.write(&self.waiting) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    if !std::mem::replace(&mut self.is_failing, true) {
                        warn!("{}: cannot be written ({error}); the server goes on", self.name);
                    }
                    return;
                }
            }
        }
        if std::mem::take(&mut self.is_failing) {
            let lost = std::mem::take(&mut self.lost);
            warn!("{}: written again; {lost} lines were lost", self.name);
        }
    }
}
