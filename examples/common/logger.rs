//! `simple_logger` on standard error, wrapped: it panics where a write fails and waits where nobody reads, and a server must do
//! neither for the sake of its log.

use std::panic::{AssertUnwindSafe, catch_unwind};

use log::{Level, LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;

use super::background::Background;

/// Lines that may wait for standard error; more are dropped.
const LINES_MAX: usize = 1_000;

struct Logger {
    level: LevelFilter,
    lines: Background<(Level, String, String)>,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let text = record.args().to_string();
            let bytes = text.len();
            self.lines.write((record.level(), record.target().to_owned(), text), bytes);
        }
    }

    fn flush(&self) {
        // If nobody reads the log, nobody reads this either.
        let _ = self.lines.flush();
    }
}

/// Logs to standard error from `level` on.
pub fn start(level: LevelFilter) {
    let simple = SimpleLogger::new().with_level(level);
    let lines = Background::<(Level, String, String)>::start(LINES_MAX, move |lines| {
        for (level, target, text) in lines {
            let write = || {
                simple.log(
                    &Record::builder().level(level).target(&target).args(format_args!("{text}")).build(),
                );
            };
            // A line that cannot be written is dropped.
            let _ = catch_unwind(AssertUnwindSafe(write));
        }
        true
    });
    if log::set_boxed_logger(Box::new(Logger { level, lines })).is_ok() {
        log::set_max_level(level);
    }
    // The wrapped panic of a failed write has nothing to say, and nowhere to say it.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let message = info.payload().downcast_ref::<String>().map_or("", String::as_str);
        if !message.starts_with("failed printing to std") {
            report(info);
        }
    }));
}
