//! Ranked dispatch, by the sentences of docs/LEGACY.md. The programs are tested in
//! `tests/programs/dispatch/`.
//!
//! The name of a test begins with its sentence.

// world.rs    a server without sockets, and its peers
// ranks.rs    ranks, and the choice of the client for a command
// gap.rs      one message per `recv`
// line.rs     the line framing
// limits.rs   refused input, and closed clients
// log.rs      the log
// client.rs   the client without sockets

mod client;
mod gap;
mod limits;
mod line;
mod log;
mod ranks;
mod world;
