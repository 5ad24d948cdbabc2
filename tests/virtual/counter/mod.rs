//! The counter protocol, by the sentences of docs/LEGACY.md. The programs are tested in
//! `tests/programs/counter/`.
//!
//! The name of a test begins with its sentence.

// world.rs     a server without sockets, and its peers
// numbers.rs   ids, their numbers, odd and even
// limits.rs    refused input, and closed clients
// log.rs       what is logged
// client.rs    the client without sockets

mod client;
mod limits;
mod log;
mod numbers;
mod world;
