//! Printing to standard output. If that is closed or stuck, it costs lines, never time.

use std::fmt;
use std::io::{self, Write};

use super::background::Background;

/// Lines that may wait for standard output; more are dropped and counted.
const LINES_MAX: usize = 10_000;

pub struct Printer(Background<String>);

impl Printer {
    pub fn start() -> Printer {
        Printer(Background::start(LINES_MAX, |lines| {
            let mut out = io::stdout().lock();
            let text: String = lines.collect();
            out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
        }))
    }

    pub fn line(&mut self, text: fmt::Arguments<'_>) {
        self.write(format!("{text}\n"));
    }

    /// Without an end of line.
    pub fn text(&mut self, text: &str) {
        self.write(text.to_owned());
    }

    fn write(&self, text: String) {
        let bytes = text.len();
        self.0.write(text, bytes);
    }

    /// Waits until what is queued is written, for at most a second.
    pub fn flush(&self) {
        // Losses are reported at the end.
        let _ = self.0.flush();
    }

    /// Writes what is queued, for at most a second.
    pub fn finish(self) {
        if let Err(loss) = self.0.flush() {
            log::warn!("standard output did not keep up: {loss}");
        }
    }
}
