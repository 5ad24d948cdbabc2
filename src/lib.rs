//! x
#![allow(missing_docs)]
#[cfg(feature = "net")]
pub mod net;
pub mod protocol;
pub mod time;
pub mod turn;
pub mod wire;
