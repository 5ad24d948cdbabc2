//! Standard output and standard error. If one of them is closed or stuck, lines are lost, but no time.
//! Nothing else writes to them while a loop runs.

use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use log::{Level, LevelFilter, Log, Record};
use simple_logger::SimpleLogger;

use super::background::Background;
use super::files::is_same;
use super::signals;

/// The most lines that may wait for each output. Further ones are dropped and counted.
const LINES_MAX: usize = 10_000;

/// How long a program may take at its end to write its queues; and after a signal, when its sender is
/// waiting.
const PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE_AFTER_SIGNAL: Duration = Duration::from_millis(800);

/// The time from the first signal until everything must be over, even if an output is stuck.
pub const END_WITHIN: Duration = Duration::from_millis(4_700);

/// The outputs, created on first use. If both lead to the same place they share one queue, so that prints,
/// complaints and log lines appear in the order in which they happened.
static OUTPUTS: LazyLock<Outputs> = LazyLock::new(|| Outputs {
    out: Background::start(LINES_MAX, write),
    err: (!is_same(io::stdout().as_fd(), io::stderr().as_fd())).then(|| Background::start(LINES_MAX, write)),
});

/// The number of lines that standard output did not accept.
static LOST: AtomicU64 = AtomicU64::new(0);

struct Outputs {
    out: Background<Text>,
    /// `None` if it leads to the same place.
    err: Option<Background<Text>>,
}

enum Text {
    Out(String),
    Err(String),
    /// A level, a target and a message.
    Log(Level, String, String),
}

/// Prints a line on standard output.
pub fn line(text: fmt::Arguments<'_>) {
    print(format!("{text}\n"));
}

/// Prints on standard output, without a line end.
pub fn print(text: String) {
    let bytes = text.len();
    OUTPUTS.out.write(Text::Out(text), bytes);
}

/// Prints a line on standard error.
pub fn complain(text: fmt::Arguments<'_>) {
    print_error(format!("{text}\n"));
}

/// Prints on standard error.
pub fn print_error(text: String) {
    let bytes = text.len();
    errors().write(Text::Err(text), bytes);
}

/// Logs a line on standard error.
pub fn log(level: Level, target: &str, text: fmt::Arguments<'_>) {
    let text = text.to_string();
    let bytes = text.len();
    errors().write(Text::Log(level, target.to_owned(), text), bytes);
}

fn errors() -> &'static Background<Text> {
    OUTPUTS.err.as_ref().unwrap_or(&OUTPUTS.out)
}

/// Writes the queues, for a limited time, and reports losses.
pub fn finish() {
    // Standard error gets as much time as is left, to report what standard output has lost.
    let patience = if signals::has_asked() { PATIENCE_AFTER_SIGNAL } else { PATIENCE };
    let patience = patience.min(signals::left_of(END_WITHIN));
    let loss = OUTPUTS.out.flush(patience / 2);
    if let Some(loss) = loss.words(LOST.load(Ordering::Relaxed)) {
        log::warn!("standard output did not keep up: {loss}");
    }
    // If standard error is not read, its losses cannot be reported.
    let _ = errors().flush(patience / 2);
}

/// The thread's side. Returns `false` when nothing reads the output any more.
fn write(texts: &mut dyn Iterator<Item = Text>) -> bool {
    let mut goes_on = true;
    let mut batch = Vec::new();
    for text in texts {
        match text {
            Text::Out(text) => batch.extend_from_slice(text.as_bytes()),
            text => {
                goes_on &= write_out(&mut batch);
                write_err(text);
            }
        }
    }
    goes_on & write_out(&mut batch)
}

fn write_out(batch: &mut Vec<u8>) -> bool {
    if batch.is_empty() {
        // The other thread may hold the lock and be stuck.
        return true;
    }
    let mut out = io::stdout().lock();
    let written = out.write_all(batch).and_then(|()| out.flush());
    if written.is_err() {
        LOST.fetch_add(batch.iter().filter(|&&byte| byte == b'\n').count() as u64, Ordering::Relaxed);
    }
    batch.clear();
    // A full disk may have room again, but a reader that is gone stays gone.
    !written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn write_err(text: Text) {
    match text {
        Text::Log(level, target, text) => {
            let simple = SimpleLogger::new().with_level(LevelFilter::Trace);
            // It panics when a write fails, which drops the line.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                simple.log(
                    &Record::builder().level(level).target(&target).args(format_args!("{text}")).build(),
                );
            }));
        }
        // One write per line, so that nothing gets in between.
        Text::Out(text) | Text::Err(text) => _ = io::stderr().write_all(text.as_bytes()),
    }
}
