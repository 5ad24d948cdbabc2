//! The turn scheduler: in every ring at most one seat holds the turn, and each gets it in order.
//!
//! What lives here is every rule about who may hold the turn. What does not: names, bytes, connections, clocks,
//! randomness. `now` is an argument, and the only way out is [`Scheduler::poll_output`].
//!
//! # Driving it
//!
//! 1. Tell it what the world did: [`join`](Scheduler::join), [`occupy`](Scheduler::occupy), [`vacate`](Scheduler::vacate),
//!    [`leave`](Scheduler::leave), [`answer`](Scheduler::answer), [`pass`](Scheduler::pass).
//! 2. When [`next_deadline`](Scheduler::next_deadline) has come, call [`handle_timeout`](Scheduler::handle_timeout).
//! 3. After each of these take every [`Output`] with [`poll_output`](Scheduler::poll_output) and carry it out.
//!
//! # Invariants
//!
//! - At most one seat of a ring holds the turn; a turn number is granted once and never used again.
//! - At most one answer counts for a turn, and it came from the seat that held it. A refused one changes nothing.
//! - While the ring is not paused, an occupied seat of weight 1 waits at most (sum of the other seats' weights) ×
//!   `turn_deadline`; a seat that joins meanwhile adds its weight.
//!
//! # Examples
//!
//! ```
//! use taketurns::time::Instant;
//! use taketurns::turn::{Outcome, Output, Scheduler, SchedulerConfig, Weight};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = Instant::ORIGIN;
//! let mut scheduler = Scheduler::new(SchedulerConfig::default());
//! let ann = scheduler.join_new_ring(now, Weight::ONE, "Ann")?;
//! let bob = scheduler.join(now, ann.ring(), Weight::ONE, "Bob")?;
//!
//! // Two seats are enough: the ring starts, and Ann is first.
//! let Some(Output::HandOver { granted: Some(grant), .. }) = scheduler.poll_output() else { panic!() };
//! assert_eq!((grant.seat, grant.turn.get()), (ann, 1));
//!
//! // Her answer is taken, and the turn is Bob's.
//! scheduler.answer(now, ann, Some(grant.turn), 17)?;
//! let Some(Output::HandOver { ended: Some(ended), granted: Some(grant) }) = scheduler.poll_output() else { panic!() };
//! assert_eq!(ended.outcome, Outcome::Answered(17));
//! assert_eq!((grant.seat, grant.turn.get()), (bob, 2));
//! # Ok(()) }
//! ```

mod digest;
mod event;
mod held_back;
mod invariants;
mod lease;
mod newcomers;
mod order;
mod ring;
mod scheduler;
mod seat;
mod share;
mod state;
mod view;

use std::time::Duration;

pub(crate) use event::{Answered, HandOver};
pub use event::{Ended, Grant, JoinError, Outcome, Output, Refusal, Taken};
pub use invariants::Violation;
pub use lease::TurnNumber;
pub use scheduler::Scheduler;
pub(crate) use seat::Spot;
pub use seat::{Accepted, SeatId, Weight};
pub use view::{SeatView, Standing};

use crate::time::Instant;

/// Limits and times of a [`Scheduler`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerConfig {
    /// Turns are granted while at least this many seats of a ring are occupied. Default 2; 0 counts as 1.
    pub min_seats: usize,
    /// Seats, occupied and vacant, of all rings together. Default 10,000; at most 150 bytes each, and what is kept with it.
    /// When it is reached, a newcomer takes the room of the longest-vacant seat, or is refused.
    pub max_seats: usize,
    /// Rings that exist at once. Default 1,024; at most 512 bytes each. When it is reached, a new ring takes the room of the one
    /// that nobody has sat in for longest, or is refused.
    pub max_rings: usize,
    /// How long a holder may stay silent before the turn passes on. Default 30 s; less than 1 ms counts as 1 ms.
    pub turn_deadline: Duration,
    /// How long a vacant seat keeps its place. Default 60 s.
    pub seat_grace: Duration,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        SchedulerConfig {
            min_seats: 2,
            max_seats: 10_000,
            max_rings: 1_024,
            turn_deadline: Duration::from_secs(30),
            seat_grace: Duration::from_secs(60),
        }
    }
}

/// Names one ring for as long as it exists; never used again for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RingId {
    slot: u32,
    /// Counts the rings ever made: tells this one from the others that had its slot.
    life: u64,
}

/// The longest that a seat of a ring has waited for the turn, beside what it was promised.
///
/// On real clocks `waited` may exceed `bound` by what each turn on the way ended late: the poll's rounding to 1 ms, the time of a
/// pass, and for how long the process was stopped; and by how long grants on the way were [held back](Scheduler::hold_back).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LongestWait {
    /// From the end of the seat's last turn (or from when it sat down, or the ring went on) to its grant.
    pub waited: Duration,
    /// The bound that held for that very wait, [`Duration::MAX`] if it does not fit.
    pub bound: Duration,
}

/// The turn, as its holder sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Who holds it.
    pub seat: SeatId,
    /// Its number.
    pub turn: TurnNumber,
    /// When it lapses.
    pub deadline: Instant,
}

#[cfg(test)]
mod tests;
