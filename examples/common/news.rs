//! Lines about peers, which must not be able to fill a disk.

use std::fmt;
use std::time::Duration;

use taketurns::net::now;
use taketurns::time::LineBudget;

use super::log_file::LogFile;
use super::output;

/// The most lines per second, for all peers together.
pub const LINES_MAX: u32 = 1_000;

/// Prints lines that peers cause to standard output and to the log file, if there is one.
pub struct News {
    budget: LineBudget,
    log_file: Option<LogFile>,
}

impl News {
    pub fn start(log_file: Option<LogFile>) -> News {
        News { budget: LineBudget::new(LINES_MAX), log_file }
    }

    /// Prints a line that a peer has caused. Counts it instead after too many in the same second.
    pub fn line(&mut self, text: fmt::Arguments<'_>) {
        if self.budget.admit() {
            self.print(text);
        }
    }

    /// Prints a line that the server itself has caused.
    pub fn print(&mut self, text: fmt::Arguments<'_>) {
        output::line(text);
        if let Some(log_file) = &mut self.log_file {
            log_file.line(text);
        }
    }

    /// Reports the lines left out in a second that is over. Call it after every pass. Returns when to call it
    /// again.
    pub fn catch_up(&mut self) -> Option<Duration> {
        if !self.budget.is_used() {
            return None;
        }
        let now = now().instant;
        let omitted = self.budget.take_omitted(now);
        self.say_omitted(omitted);
        self.budget.next_deadline(now).map(|due| due.saturating_duration_since(now))
    }

    /// Reports the lines left out, and finishes the log file.
    pub fn finish(mut self) {
        let omitted = self.budget.take_all_omitted();
        self.say_omitted(omitted);
        self.log_file.into_iter().for_each(LogFile::finish);
    }

    fn say_omitted(&mut self, omitted: u64) {
        if omitted > 0 {
            self.print(format_args!("{}", left_out(omitted)));
        }
    }
}

/// Returns the line that replaces those that were left out.
pub fn left_out(omitted: u64) -> String {
    format!("({omitted} more lines are left out: too many within a second)")
}
