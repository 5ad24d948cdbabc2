//! Code that the targets share.

// session.rs a protocol, and connections that say what a script says
// turns.rs   what must hold of the turns that a server reports

pub mod session;
pub mod turns;
