//! The text of line protocol 1, in both directions: bytes to values, and back.
//!
//! Parsing and encoding are pure functions, which allocate nothing for an answer, its `OK` and the next `GO`.
//! `line`, `raw` and `undecided` hold the state of one connection. The rules of the turn live in
//! [`turn`](crate::turn), and framing in [`wire::message`](crate::wire::message), which knows no verb.

mod codes;
mod credential;
mod fields;
mod foreign;
pub(crate) mod line;
mod name;
mod put;
pub(crate) mod raw;
mod reply;
mod request;
#[cfg(test)]
mod tests;
pub(crate) mod undecided;

pub use codes::{Bye, Code, How, UnknownCode};
pub use credential::{Epoch, InvalidHex, Redacted, Secret, Token};
pub(crate) use credential::{Quoted, SHOWN_BYTES_MAX};
pub use foreign::looks_foreign;
pub(crate) use foreign::{Extent, FirstWord, is_foreign};
pub(crate) use name::is_format;
pub use name::{InvalidName, NAME_BYTES_MAX, Name, RawName};
pub use reply::{Reply, ReportedState};
pub use request::{Content, DEFAULT_RING, Fence, Join, Request, Unreadable};
