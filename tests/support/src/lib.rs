//! Test support: worlds in virtual time, and the other ends of real connections.
//!
//! Anything that only one test binary uses is in that binary's folder.

// network/     a turn server in virtual time, on sockets in memory
// simulation/  random worlds with it, and their judge
// rests.rs     unconsumed input, for tests that drive a protocol by hand
// bare.rs      bare sockets that block
// proxy.rs     a proxy that splits, delays and loses bytes
// wire.rs      the client's ends of WebSockets, and of wires within wires

pub mod bare;
pub mod network;
pub mod proxy;
pub mod rests;
pub mod simulation;
pub mod wire;

use std::time::Duration;

pub fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Printable text of `length` bytes in which a lost or doubled byte would show.
pub fn text(length: usize) -> String {
    (0..length).map(|at| char::from(b'!' + u8::try_from(at * 7 % 89).expect("below 89"))).collect()
}
