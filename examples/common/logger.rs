//! `simple_logger` on standard error, wrapped: it panics when a write fails and blocks when its output is not
//! read. A server must not do either because of its log.

use log::{LevelFilter, Log, Metadata, Record};

use super::output;

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // mio logs every connection, and any peer can cause those.
        metadata.level() <= log::max_level() && !metadata.target().starts_with("mio")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            output::log(record.level(), record.target(), *record.args());
        }
    }

    fn flush(&self) {}
}

/// Logs to standard error, from `level` up.
pub fn start(level: LevelFilter) {
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(level);
    }
    // The panic of a failed write is caught, and its message could not be written anyway.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let message = info.payload().downcast_ref::<String>().map_or("", String::as_str);
        if !message.starts_with("failed printing to std") {
            report(info);
        }
    }));
}
