//! Random worlds, and a judge that knows the protocol only from outside: what is written to clients, and what the host is told.
//!
//! A seed makes a world: a configuration, faults, clients, and what each of them does when. The production scheduler and
//! protocol run in it, in virtual time. What must hold after every pass, whatever happens:
//!
//! - A turn is granted to one seat, once, and numbers only grow; at most one connection of a ring has the turn (S1, S2).
//! - At most one answer counts for a turn, and it was said by the connection on the seat that held it (S3).
//! - Seats, clients and what is queued stay within their maxima (S4).
//! - A ring with enough seats has a holder (L1), no turn outlives its deadline (L2), no seat of weight 1 waits for more
//!   turns than the weights of the others allow, nor for longer than the stated bound (L3), and a drain ends in its time (L4).
//!
//! In the line framing also: the numbers of a client count without gap or repetition, whatever is lost or sent again (S5);
//! every line gets its reply (T27); observers hear every outcome; a secret that was replaced opens nothing (T22). In the raw
//! framing: one `recv` is one signal; `WAIT` comes first or never, and `GO` not before the gap; there is at most one
//! unanswered `GO`; what a client was allowed to send counts, in order, once, and nothing else does.

#![allow(dead_code, reason = "every program uses a part of it")]

// conditions.rs  what kind of world a seed makes
// book.rs        both framings: what the host is told
// line.rs        the line framing: what happens there
//  ├ player.rs   a client, as the protocol wants it
//  └ wire.rs     what the server has written
// raw.rs         the raw framing: what happens there
//  └ caller.rs   a connection and its client
// intruder.rs    peers that mean no good

mod book;
mod caller;
mod conditions;
mod intruder;
mod line;
mod player;
mod raw;
mod wire;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use super::world::{Journal, start_journal, take_journal};

/// What came of a world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Played {
    /// The same in two runs only if they went the same way.
    pub(crate) hash: u64,
    pub(crate) passes: u64,
    pub(crate) granted: u64,
    pub(crate) accepted: u64,
}

/// How much of what happened is told about a violation.
const JOURNAL_LINES: usize = 30;

/// A promise was broken: where, which, and what had happened before.
#[derive(Debug)]
pub(crate) struct Violation {
    seed: u64,
    steps: usize,
    step: usize,
    what: String,
    journal: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { seed, steps, step, what, journal } = self;
        writeln!(f, "a promise is broken in the world of seed {seed}, at step {step} of {steps}:")?;
        writeln!(f, "{what}")?;
        writeln!(f, "the last that happened before:")?;
        journal.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        write!(
            f,
            "replay it with: cargo run --release -p simulation -- --seed {seed} --steps {steps} --trace"
        )
    }
}

thread_local! {
    static STEP: Cell<usize> = const { Cell::new(0) };
    /// Why this thread panicked, while it plays.
    static REASON: RefCell<Option<String>> = const { RefCell::new(None) };
    static IS_PLAYING: Cell<bool> = const { Cell::new(false) };
}

/// Plays the world of `seed`, `steps` actions long. It goes the same way every time.
///
/// # Errors
///
/// When a promise is broken.
pub(crate) fn check(seed: u64, steps: usize) -> Result<Played, Violation> {
    attempt(seed, steps).map_err(|_| {
        // Once more, with its journal: worlds that go well do not pay for one.
        start_journal(Journal::Last(JOURNAL_LINES));
        let again = attempt(seed, steps);
        start_journal(Journal::None);
        again.err().unwrap_or_else(|| panic!("seed {seed} went another way the second time"))
    })
}

/// As [`check`], and prints everything that happens.
///
/// # Errors
///
/// When a promise is broken.
pub(crate) fn trace(seed: u64, steps: usize) -> Result<Played, Violation> {
    start_journal(Journal::Printed);
    let played = attempt(seed, steps);
    start_journal(Journal::None);
    played
}

fn attempt(seed: u64, steps: usize) -> Result<Played, Violation> {
    listen_to_panics();
    STEP.set(0);
    IS_PLAYING.set(true);
    let played = panic::catch_unwind(AssertUnwindSafe(|| match seed % 2 {
        0 => line::play(seed, steps),
        _ => raw::play(seed, steps),
    }));
    IS_PLAYING.set(false);
    played.map_err(|_| {
        let what = REASON.take().unwrap_or_default();
        Violation { seed, steps, step: STEP.get(), what, journal: take_journal() }
    })
}

/// What panics in a world is kept for the report, and printed nowhere else.
fn listen_to_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IS_PLAYING.get() {
                REASON.set(Some(info.to_string()));
            } else {
                before(info);
            }
        }));
    });
}
