//! The example programs, run as processes. They are tested with each other, with Python programs that behave
//! like the legacy ones (`tests/legacy`), and with bare sockets. Also a journal in processes that are killed.
//!
//! Sentences in brackets, such as [T2], are those of docs/PROTOCOL.md. Exact times and rare interleavings are
//! tested on the library, in virtual time. These tests cover what a program adds: options, exit codes, output
//! and signals, and that everything works together.

#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests run real processes against a real clock")]

// programs.rs    the programs, and their numbers
// legacy.rs      with the legacy client and server
// clients.rs     `turn_client` with `turn_server`
// rules.rs       the options of `turn_server` for its rings
// restarts.rs    servers that die, stop, or start late
// addresses.rs   listening addresses
// descriptors.rs a server whose clients take all the descriptors that they can get
// usage.rs       options, help
// ends.rs        signals
// outputs.rs     unread outputs
// peers.rs       many slow readers, many clients of one address, dialing a server that ends
// others.rs      the other programs
// tic_tac_toe.rs a host that judges
// moderator.rs   a host that moderates
// turn_lock.rs   a lock, and all that can happen to its holder
// echo/, dispatch/, counter/   the programs of the older protocols
// status.rs      the option for the status listener
// kept.rs        programs with a journal, killed
// journal/       a journal whose process is killed
// cluster/       servers that take over from each other through an etcd
// histories.rs   clients of many rings, judged by what they have read
// process/       runs programs, and watches them

mod addresses;
mod clients;
#[cfg(feature = "etcd")]
mod cluster;
mod counter;
mod descriptors;
mod dispatch;
mod echo;
mod ends;
#[cfg(any(feature = "journal", feature = "etcd"))]
mod histories;
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
mod spread;
#[cfg(feature = "status")]
mod status;
mod tic_tac_toe;
mod turn_lock;
mod usage;
