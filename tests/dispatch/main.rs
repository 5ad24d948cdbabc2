//! Ranked dispatch: every sentence on the library, in virtual time, then the example programs as processes,
//! with each other and with Python programs that behave as the legacy client and server do (`tests/legacy`).
//!
//! A test is named after the sentence of docs/PROTOCOL.md that it proves.

#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests run real processes against a real clock")]

// world.rs    a server without sockets, and its peers
// ranks.rs    ranks, and the choice of the client that gets a command
// gap.rs      one message a `recv`
// line.rs     the line framing
// limits.rs   refused input, and closed clients
// log.rs      what is logged
// client.rs   the client without sockets
// programs/   the programs, as processes

#[path = "../support/bare.rs"]
mod bare;
#[path = "../support/log.rs"]
mod logged;
#[path = "../support/process/mod.rs"]
mod process;
#[path = "../support/rests.rs"]
mod rests;

mod client;
mod gap;
mod limits;
mod line;
mod log;
mod programs;
mod ranks;
mod world;
