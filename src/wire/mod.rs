//! Framing and bounded buffers: bytes in, messages out, and bytes that wait to be written.
//!
//! Nothing here knows a protocol or a socket. Every buffer has a maximum, and none allocates in the steady state: a
//! message that arrives whole is handed on as the slice that it was read into.

mod framing;
mod line;
pub mod message;
mod raw;
mod send;

pub use framing::{Framing, UnknownFraming};
pub use line::{LineDecoder, LineError};
pub use raw::{RawDecoder, RawMessage};
pub use send::SendBuffer;
