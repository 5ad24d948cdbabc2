//! The text of line protocol 1, in both directions: bytes to values, and back.
//!
//! What lives here is pure: no state, no time, and nothing allocated for an answer, its `OK` and the next `GO`. What does not: the
//! turn's rules ([`turn`](crate::turn)), and the framing, which [`wire::message`](crate::wire::message) cuts without knowing a verb.

mod codes;
mod credential;
mod fields;
mod foreign;
mod name;
mod reply;
mod request;
mod sink;
#[cfg(test)]
mod tests;

pub use codes::{Bye, Code, How, UnknownCode};
pub use credential::{Epoch, InvalidHex, Redacted, Secret, Token};
pub use foreign::looks_foreign;
pub use name::{InvalidName, NAME_BYTES_MAX, Name, RawName};
pub use reply::{Reply, SeatState};
pub use request::{Content, DEFAULT_RING, Demand, Fence, Join, Request, Unreadable};
pub use sink::Sink;
