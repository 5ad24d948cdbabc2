//! Code that the targets share.

// session.rs a protocol, and connections that follow a script
// turns.rs   the promises about the turns that a server reports

pub mod session;
pub mod turns;
