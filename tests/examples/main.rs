//! The example programs, run as processes and talked to as their users do: by each other, by Python programs
//! that behave as the legacy client and server do (`tests/legacy`), and by bare sockets.
//!
//! Sentences in brackets, such as [T2], are those of docs/PROTOCOL.md. What needs exact times or rare
//! interleavings is tested on the library, in virtual time; here only what a program adds to it: options,
//! exit codes, output, signals, and that the whole holds together.

#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests run real processes against a real clock")]

// programs.rs    the programs, and what their numbers must be
// legacy.rs      with the legacy client and server
// clients.rs     `turn_client` with `turn_server`
// rules.rs       what `turn_server` can be told of its rings
// restarts.rs    servers that die, stop, and come late
// addresses.rs   where a server listens
// descriptors.rs what is left to a server whose clients take all they can get
// usage.rs       options, help
// ends.rs        signals
// outputs.rs     outputs that nobody reads
// peers.rs       many that do not read, many of one address, and those that dial a server that ends
// others.rs      the other programs
// tic_tac_toe.rs a host that judges
// moderator.rs   a host that moderates
// turn_lock.rs   a lock, and all that can happen to its holder

#[path = "../support/bare.rs"]
mod bare;
#[path = "../support/process/mod.rs"]
mod process;
#[path = "../support/proxy.rs"]
mod proxy;

mod addresses;
mod clients;
mod descriptors;
mod ends;
mod legacy;
mod moderator;
mod others;
mod outputs;
mod peers;
mod programs;
mod restarts;
mod rules;
mod tic_tac_toe;
mod turn_lock;
mod usage;
