//! The lines that a server prints about its peers, which must not be able to fill a disk with them.

use std::fmt;
use std::time::Duration;

use taketurns::net::now;
use taketurns::time::LineBudget;

use super::journal::Journal;
use super::output;

/// Lines a second, for all peers together.
pub const LINES_MAX: u32 = 1_000;

/// Lines that peers cause, on standard output and in the log file, if there is one.
pub struct News {
    budget: LineBudget,
    journal: Option<Journal>,
}

impl News {
    pub fn start(journal: Option<Journal>) -> News {
        News { budget: LineBudget::new(LINES_MAX), journal }
    }

    /// Prints a line that a peer has caused, unless too many were printed in this second. Those are counted.
    pub fn line(&mut self, text: fmt::Arguments<'_>) {
        if self.budget.admit() {
            self.print(text);
        }
    }

    /// Prints a line of the server's own.
    pub fn print(&mut self, text: fmt::Arguments<'_>) {
        output::line(text);
        if let Some(journal) = &mut self.journal {
            journal.line(text);
        }
    }

    /// Says what was left out in a second that is over. To be called after every pass; returns when to call
    /// it again.
    pub fn catch_up(&mut self) -> Option<Duration> {
        if !self.budget.is_used() {
            return None;
        }
        let now = now().instant;
        let omitted = self.budget.take_omitted(now);
        self.say_omitted(omitted);
        self.budget.next_deadline(now).map(|due| due.saturating_duration_since(now))
    }

    /// Says what was left out, and finishes the log file.
    pub fn finish(mut self) {
        let omitted = self.budget.take_all_omitted();
        self.say_omitted(omitted);
        self.journal.into_iter().for_each(Journal::finish);
    }

    fn say_omitted(&mut self, omitted: u64) {
        if omitted > 0 {
            self.print(format_args!("{}", left_out(omitted)));
        }
    }
}

/// The line that takes the place of those that were left out.
pub fn left_out(omitted: u64) -> String {
    format!("({omitted} more lines are left out: too many within a second)")
}
