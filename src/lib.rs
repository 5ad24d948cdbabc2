//! x
pub mod time;
pub mod turn;
