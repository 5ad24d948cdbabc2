//! Timestamped echo: each sentence of docs/PROTOCOL.md without sockets, in virtual time; then the programs,
//! as processes, with each other, with Python programs that behave as the legacy ones do (`tests/legacy`),
//! and with bare sockets.
//!
//! The name of a test begins with its sentence.

#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "real processes need real time")]

// world.rs      a server without sockets, and its peers
// messages.rs   where a message ends, and its answer
// limits.rs     refused input, and closed clients
// log.rs        what is logged
// client.rs     the client without sockets
// programs/     the programs, as processes

#[path = "../support/bare.rs"]
mod bare;
#[path = "../support/log.rs"]
mod logged;
#[path = "../support/process/mod.rs"]
mod process;
#[path = "../support/rests.rs"]
mod rests;

mod client;
mod limits;
mod log;
mod messages;
mod programs;
mod world;
