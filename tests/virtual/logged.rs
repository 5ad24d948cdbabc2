//! The log, for tests that read it.

use std::cell::RefCell;

thread_local! {
    /// The log lines of this thread. Each test has a thread of its own.
    static LOGGED: RefCell<Vec<(log::Level, String)>> = const { RefCell::new(Vec::new()) };
}

struct Listener;

impl log::Log for Listener {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LOGGED.with_borrow_mut(|logged| logged.push((record.level(), record.args().to_string())));
    }

    fn flush(&self) {}
}

/// Keeps the log lines of this thread from now on.
pub(crate) fn listen_to_log() {
    static LISTENER: Listener = Listener;
    // If another test came first, the same listener works for all.
    let _ = log::set_logger(&LISTENER);
    log::set_max_level(log::LevelFilter::Trace);
    take_log();
}

/// Returns the log lines of this thread since the last call.
pub(crate) fn take_log() -> Vec<(log::Level, String)> {
    LOGGED.take()
}

/// Returns how many of these lines contain each text.
pub(crate) fn times_logged<const N: usize>(of: [&str; N]) -> [usize; N] {
    let log = take_log();
    of.map(|text| log.iter().filter(|(_, line)| line.contains(text)).count())
}
