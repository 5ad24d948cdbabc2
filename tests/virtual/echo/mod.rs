//! Timestamped echo, by the sentences of docs/LEGACY.md. The programs are in `tests/programs/echo/`.
//!
//! The name of a test begins with its sentence.

// world.rs      a server without sockets, and its peers
// messages.rs   where a message ends, and its answer
// limits.rs     refused input, and closed clients
// log.rs        what is logged
// client.rs     the client without sockets

mod client;
mod limits;
mod log;
mod messages;
mod world;
