//! The counter protocol, sentence by sentence: first the library alone, in virtual time, then the two
//! programs as processes, against each other and against Python programs that do what the legacy ones do
//! (`tests/legacy`).
//!
//! The sentences are those of docs/PROTOCOL.md; the name of each test begins with its sentence.

#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "real processes need real time")]

// world.rs     a server without sockets, and its peers
// numbers.rs   ids, their numbers, odd and even
// limits.rs    refused input, and closed clients
// log.rs       what is logged
// client.rs    the client without sockets
// programs/    the programs, as processes

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
mod numbers;
mod programs;
mod world;
