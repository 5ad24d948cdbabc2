//! Timestamped echo, by the sentences of docs/LEGACY.md. The programs are tested in `tests/programs/echo/`.
//!
//! The name of a test begins with its sentence.

// world.rs      a server without sockets, and its peers
// messages.rs   the end of a message, and its answer
// limits.rs     refused input, and closed clients
// log.rs        the log
// client.rs     the client without sockets

mod client;
mod limits;
mod log;
mod messages;
mod world;
