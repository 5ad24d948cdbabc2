//! The example programs, run as processes and talked to as their users do: by each other, by Python programs
//! that behave as the legacy ones do (`tests/legacy`), and by bare sockets. And a journal, in processes that
//! are killed.
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
// echo/, dispatch/, counter/   the programs of the older protocols
// status.rs      the option that shows the status
// kept.rs        programs with a journal, killed
// journal/       a journal whose process is killed
// process/       runs programs, and watches them

mod addresses;
mod clients;
mod counter;
mod descriptors;
mod dispatch;
mod echo;
mod ends;
#[cfg(feature = "journal")]
mod journal;
#[cfg(feature = "journal")]
mod kept;
mod legacy;
mod moderator;
mod others;
mod outputs;
mod peers;
mod process;
mod programs;
mod restarts;
mod rules;
#[cfg(feature = "status")]
mod status;
mod tic_tac_toe;
mod turn_lock;
mod usage;
