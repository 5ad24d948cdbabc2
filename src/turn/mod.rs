//! The turn scheduler: in every ring at most one seat holds the turn, and each gets it in order.
//!
//! This module has every rule about who may hold the turn. It has no names, bytes, answers, connections,
//! clocks or randomness: `now` is an argument, and every move comes back as a value.
//!
//! # Driving it
//!
//! 1. Tell it what happens: [`join`](Scheduler::join), [`occupy`](Scheduler::occupy),
//!    [`vacate`](Scheduler::vacate), [`retire`](Scheduler::retire), [`ask`](Scheduler::ask),
//!    [`rest`](Scheduler::rest), and the actions of a holder: [`holding`](Scheduler::holding).
//! 2. Tell the seats that the returned [`Moved`] names, and then call [`start`](Scheduler::start): the clock
//!    of a turn runs from when its holder is told.
//! 3. When [`next_deadline`](Scheduler::next_deadline) has come, call
//!    [`poll_expired`](Scheduler::poll_expired) until it returns `None`.
//!
//! # Invariants
//!
//! - At most one seat of a ring holds the turn; a turn number is granted once and never used again.
//! - At most one answer counts for a turn, and it came from the seat that held it. A refused request changes
//!   nothing.
//! - No seat gains by leaving, joining, dropping or resuming, and no seat that waits loses by it. While a
//!   seat waits, all others together get at most as many turns as there were others in the queue when its
//!   wait began (with equal weights). With different weights: the greatest sum of the weights of others that
//!   were in the queue at the same time, divided by its own, rounded up, and one for each that was there when
//!   its wait began.
//!
//! # Examples
//!
//! ```
//! use taketurns::time::Instant;
//! use taketurns::turn::{Demand, Outcome, Rules, Scheduler, SchedulerConfig, Weight};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = Instant::ORIGIN;
//! let mut scheduler = Scheduler::new(SchedulerConfig::default())?;
//! let ring = scheduler.make_ring(now, Rules::default())?;
//! let (ann, _) = scheduler.join(now, ring, Weight::ONE, Demand::Always, "Ann")?;
//! let (bob, moved) = scheduler.join(now, ring, Weight::ONE, Demand::Always, "Bob")?;
//!
//! // Two seats are enough: the ring starts, and Ann is first. Her clock runs from when she is told.
//! let grant = moved.granted.expect("Ann's");
//! assert_eq!((grant.seat, grant.turn.get()), (ann, 1));
//! scheduler.start(now, grant.seat, grant.turn);
//!
//! // Her answer counts, and the turn is Bob's.
//! let moved = scheduler.holding(ann, Some(1))?.end(now, Outcome::Answered);
//! assert_eq!(moved.granted.map(|grant| (grant.seat, grant.turn.get())), Some((bob, 2)));
//! # Ok(()) }
//! ```

mod digest;
mod grants;
mod held;
mod holding;
mod host;
mod id;
mod invariants;
mod lease;
mod moved;
mod queue;
mod ring;
mod rules;
mod scheduler;
mod seat;
mod seating;
mod snapshot;
mod view;
mod waits;

pub use holding::{Holding, Judged};
pub use id::{RingId, SeatId, TurnNumber};
pub use invariants::Violation;
pub(crate) use moved::HandOver;
pub use moved::{Ended, Grant, Held, HeldClock, HostError, JoinError, Moved, Outcome, Refusal};
pub use rules::{Demands, HoldMax, Judging, Rules, RulesError, SchedulerConfig};
pub use scheduler::{Expired, Scheduler};
pub use seat::{Demand, Weight};
pub use snapshot::{LeaseValue, RingValue, SeatOrder, Standing, Tag};
pub use view::{SeatState, SeatView};
pub use waits::LongestWait;

#[cfg(test)]
mod tests;
