//! Framing and bounded buffers: bytes in, messages out, and bytes that wait to be written.
//!
//! Nothing here knows a protocol or a socket. Splitting keeps no state: it takes input, and returns a message
//! as a slice of that input together with the length used. The owner of the socket keeps an incomplete
//! message; see [`Protocol::handle_bytes`](crate::protocol::Protocol::handle_bytes).

mod framing;
mod line;
pub mod message;
mod raw;
mod send;

pub use framing::{Framing, UnknownFraming};
pub use line::{Line, LineError, split_line};
pub use raw::{RawMessage, split_raw};
pub use send::SendBuffer;
