//! `simple_logger` on standard error, wrapped: it panics where a write fails, and a server must not die of a closed log.

use std::panic::{AssertUnwindSafe, catch_unwind};

use log::{LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;

struct Guarded(SimpleLogger);

impl Log for Guarded {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        // A line that cannot be written is dropped.
        let _ = catch_unwind(AssertUnwindSafe(|| self.0.log(record)));
    }

    fn flush(&self) {}
}

/// Logs to standard error from `level` on.
pub fn start(level: LevelFilter) {
    let logger = Guarded(SimpleLogger::new().with_level(level));
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
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
