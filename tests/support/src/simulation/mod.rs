//! Random worlds, and a judge that knows the protocol only from outside: by what is written to clients, and
//! what is reported to the host.
//!
//! A seed makes a world: rules, faults, clients of every kind, and the time of every action. The real engine,
//! protocol and scheduler run in it, in virtual time. Whatever happens, the following must hold:
//! - A turn is granted to one seat, once, and numbers only grow (S1, S2). At most one answer counts for a
//!   turn, and it came from the seat that held it (S3). A ring with enough seats has a holder, unless it is
//!   paused (G1), and no turn outlives its deadline (G2).
//! - While a seat waits, the others get no more turns than the order promises (M12), and the exported longest
//!   wait is within its bound (M15).
//! - The answers of a client count without gap or repetition, whatever is lost, refused, judged late or
//!   repeated (S5). A client is never told anything false: an `OK` for something that it did not send, a
//!   wrong `last=`, a `GO` for another seat's turn. It is told that its answer counts once no `GO` is due,
//!   and before each farewell (L14).
//! - For raw clients, one `recv` is one signal, at most one `GO` is unanswered, and everything that an old
//!   client was allowed to send counts once and in order.
//! - A drain ends in time (G8), and afterwards a ring of willing clients continues.
//!
//! In a *stored* world the server records its changes, and a disk stores them, fast or slowly. It dies at any
//! moment, and the next life begins from whatever was durable. In addition:
//!
//! - No `OK` that was read is lost: its turn is not granted again, and is in `last=` when its client resumes.
//! - No turn of an epoch is told to two clients, or answered twice. Numbers grow over all lives.
//! - A `GO` or an `OK` is written only after the store has its cause. A seat is given up only after its
//!   grace.
//! - No turn lapses because of a slow store, and `PONG` does not wait for it.
//!
//! In a *wired* world clients of the line protocol come over WebSocket, TLS, or one in the other, with their
//! bytes cut anywhere, frames in pieces, and records in which a bit was changed. Nothing else changes.

// conditions.rs  the kind of world that a seed makes
// game.rs        the events of the world
//  ├ player.rs   correct clients of the line protocol
//  ├ caller.rs   raw clients
//  └ hostile.rs  hostile peers
// book.rs        the judge of the host's events
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

use crate::wire::Wires;

/// The result of a world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Played {
    /// Equal in two runs only if they took the same course.
    pub hash: u64,
    pub passes: u64,
    pub granted: u64,
    pub accepted: u64,
}

/// A world to play.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    /// The number of things that happen in it.
    pub steps: usize,
    /// Whether the server has a store and dies often.
    pub stored: bool,
    /// The wires that clients choose from, in addition to plain text.
    pub wires: Option<Wires>,
}

/// A broken promise, with its place.
#[derive(Debug)]
pub struct Violation {
    plan: Plan,
    step: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { plan: Plan { seed, steps, stored, wires }, step, what } = self;
        let stored = if *stored { " --stored" } else { "" };
        let (features, wired) = wires.map_or(("", ""), |_| (" --features wires", " --wired"));
        writeln!(f, "a promise is broken in the world of seed {seed}, at step {step} of {steps}:")?;
        writeln!(f, "{what}")?;
        write!(
            f,
            "read what happened: cargo run --release -p simulation{features} -- --seed {seed} --steps {steps}{stored}{wired} --trace"
        )
    }
}

thread_local! {
    static STEP: Cell<usize> = const { Cell::new(0) };
    /// The reason why this thread panicked during a game.
    static REASON: RefCell<Option<String>> = const { RefCell::new(None) };
    static IS_PLAYING: Cell<bool> = const { Cell::new(false) };
    static IS_TRACED: Cell<bool> = const { Cell::new(false) };
}

/// Prints a line of the story, if tracing is on.
macro_rules! tell {
    ($($words:tt)*) => {
        if $crate::simulation::IS_TRACED.get() {
            println!($($words)*);
        }
    };
}
use tell;

/// Plays the world of `plan`, which takes the same course every time.
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

/// Like [`check`], and prints everything that happens.
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

/// Keeps the message of a panic in a world for the report, instead of printing it.
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
