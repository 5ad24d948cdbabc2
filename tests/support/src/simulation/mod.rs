//! Random worlds, and a judge that knows the protocol only from outside: what is written to clients, and what
//! the host is told.
//!
//! A seed makes a world: rules, faults, clients of every kind, and what each of them does when. The shipping
//! engine, protocol and scheduler run in it, in virtual time. What must hold, whatever happens:
//!
//! - A turn is granted to one seat, once, and numbers only grow (S1, S2). At most one answer counts for a
//!   turn, and it came from the seat that held it (S3). A ring with enough seats has a holder, unless it is
//!   paused (G1), and no turn outlives its deadline (G2).
//! - While a seat waits, the others get no more turns than the order promises (M12), and the exported longest
//!   wait is within its bound (M15).
//! - The answers of a client count without gap or repetition, whatever is lost, refused, judged late or sent
//!   again (S5). A client is told nothing that is not so: an `OK` for what it did not say, a `last=` that it
//!   never had, a `GO` for a turn of another seat.
//! - Raw clients: one `recv` is one signal, at most one `GO` is unanswered, and what an old client was
//!   allowed to send counts, in order, once.
//! - A drain ends in its time (G8), and a ring of willing clients lives on after all of that.
//!
//! In a *stored* world the server records its changes, and a disk stores them, quickly or not. It dies at any
//! moment, and the next life begins from whatever was durable. In addition:
//!
//! - No `OK` that was read is lost: its turn is not granted again, and is in `last=` when its client resumes.
//! - No turn of an epoch is told to two clients, or answered twice. Numbers grow over all lives.
//! - A `GO` or an `OK` is written only if the store has what it says. A seat is given up only after its
//!   grace.
//! - No turn lapses by a slow store, and `PONG` does not wait for it.

// conditions.rs  what kind of world a seed makes
// game.rs        what happens in it
//  ├ player.rs   clients of the line protocol, as the protocol wants them
//  ├ caller.rs   raw clients
//  └ hostile.rs  peers that mean no good
// book.rs        the judge of what the host is told
// history.rs     the judge of all lives of the server together

mod book;
mod caller;
mod conditions;
mod game;
mod history;
mod hostile;
mod player;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// Result of a world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Played {
    /// The same in two runs only if they went the same way.
    pub hash: u64,
    pub passes: u64,
    pub granted: u64,
    pub accepted: u64,
}

/// A world to play.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    /// How many things happen in it.
    pub steps: usize,
    /// The server has a store, and dies often.
    pub stored: bool,
}

/// A promise was broken: where, and which.
#[derive(Debug)]
pub struct Violation {
    plan: Plan,
    step: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { plan: Plan { seed, steps, stored }, step, what } = self;
        let stored = if *stored { " --stored" } else { "" };
        writeln!(f, "a promise is broken in the world of seed {seed}, at step {step} of {steps}:")?;
        writeln!(f, "{what}")?;
        write!(
            f,
            "read what happened: cargo run --release -p simulation -- --seed {seed} --steps {steps}{stored} --trace"
        )
    }
}

thread_local! {
    static STEP: Cell<usize> = const { Cell::new(0) };
    /// Why this thread panicked, while it plays.
    static REASON: RefCell<Option<String>> = const { RefCell::new(None) };
    static IS_PLAYING: Cell<bool> = const { Cell::new(false) };
    static IS_TRACED: Cell<bool> = const { Cell::new(false) };
}

/// Prints a line of the story, if it is wanted.
macro_rules! tell {
    ($($words:tt)*) => {
        if $crate::simulation::IS_TRACED.get() {
            println!($($words)*);
        }
    };
}
use tell;

/// Plays the world of `plan`. It goes the same way every time.
///
/// # Errors
///
/// When a promise is broken.
pub fn check(plan: Plan) -> Result<Played, Violation> {
    listen_to_panics();
    STEP.set(0);
    IS_PLAYING.set(true);
    let played = panic::catch_unwind(AssertUnwindSafe(|| game::play(plan)));
    IS_PLAYING.set(false);
    played.map_err(|_| Violation { plan, step: STEP.get(), what: REASON.take().unwrap_or_default() })
}

/// As [`check`], and prints everything that happens.
///
/// # Errors
///
/// When a promise is broken.
pub fn trace(plan: Plan) -> Result<Played, Violation> {
    IS_TRACED.set(true);
    let played = check(plan);
    IS_TRACED.set(false);
    played
}

/// Keeps the message of a panic in a world for the report, in place of printing it.
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
