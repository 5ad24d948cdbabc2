//! x
#![allow(missing_docs)]
pub mod protocol;
pub mod time;
pub mod turn;
pub mod wire;
