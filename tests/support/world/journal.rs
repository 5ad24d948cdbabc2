//! What happened in a world: as a number in every run, in words only when somebody wants to read it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use taketurns::protocol::turns::TurnEvent;

use super::Net;

/// What has happened so far, as a number.
#[derive(Default)]
pub(crate) struct Hash(DefaultHasher);

impl Hash {
    pub(super) fn add(&mut self, what: impl std::hash::Hash) {
        what.hash(&mut self.0);
    }

    pub(super) fn add_event(&mut self, event: &TurnEvent) {
        match event {
            TurnEvent::Granted { seat, turn, .. } => (1, seat, turn.get()).hash(&mut self.0),
            TurnEvent::Accepted { turn, name, number, .. } => {
                (2, turn.get(), name.as_str(), number).hash(&mut self.0);
            }
            TurnEvent::Skipped { turn, how, .. } => (3, turn.get(), how.as_str()).hash(&mut self.0),
            _ => 4.hash(&mut self.0),
        }
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.finish()
    }
}

/// What is kept of the words.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Journal {
    #[default]
    None,
    /// The last so many lines.
    Last(usize),
    /// They are printed at once.
    Printed,
}

thread_local! {
    static KEPT: Cell<Journal> = const { Cell::new(Journal::None) };
    static LINES: RefCell<VecDeque<String>> = const { RefCell::new(VecDeque::new()) };
}

/// From now on this thread's worlds keep `journal`.
pub(crate) fn start_journal(journal: Journal) {
    KEPT.set(journal);
    LINES.take();
}

/// What this thread has kept since it was last asked.
pub(crate) fn take_journal() -> Vec<String> {
    LINES.take().into()
}

pub(crate) fn is_journal_kept() -> bool {
    KEPT.get() != Journal::None
}

impl Net {
    /// Use [`note!`], which costs nothing while nobody wants to know.
    #[cold]
    pub(crate) fn write_journal(&self, what: std::fmt::Arguments<'_>) {
        let line = format!("{:>10.3} s  {what}", self.elapsed().as_secs_f64());
        match KEPT.get() {
            Journal::None => {}
            Journal::Printed => println!("{line}"),
            Journal::Last(most) => LINES.with_borrow_mut(|lines| {
                lines.truncate(most);
                if lines.len() == most {
                    lines.pop_front();
                }
                lines.push_back(line);
            }),
        }
    }
}

/// Writes a line into the journal of a world, if one is kept.
macro_rules! note {
    ($world:expr, $($words:tt)*) => {
        if $crate::world::is_journal_kept() {
            $world.write_journal(format_args!($($words)*));
        }
    };
}
pub(crate) use note;
