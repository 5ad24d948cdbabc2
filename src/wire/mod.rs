//! Framing and bounded buffers: bytes in, messages out, and bytes that wait to be written.
//!
//! Nothing here knows a protocol or a socket. Splitting keeps no state: input goes in, and a message comes
//! out with how much of the input it used, as a slice of the input. A message whose end is missing stays with
//! the reader of the socket; see [`Protocol::handle_bytes`](crate::protocol::Protocol::handle_bytes).

mod framing;
mod line;
pub mod message;
mod raw;
mod send;

pub use framing::{Framing, UnknownFraming};
pub use line::{Line, LineError, split_line};
pub use raw::{RawMessage, split_raw};
pub use send::SendBuffer;
