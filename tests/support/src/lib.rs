//! Test support: worlds in virtual time, and the other ends of real connections.
//!
//! Not here: anything that one test binary alone uses. That stands in its folder.

// network/     a turn server in virtual time, on sockets in memory
// simulation/  random worlds of it, and their judge
// rests.rs     input that a protocol has left, for tests that drive one by hand
// bare.rs      bare sockets that block
// proxy.rs     a proxy that cuts, delays and loses

pub mod bare;
pub mod network;
pub mod proxy;
pub mod rests;
pub mod simulation;

use std::time::Duration;

pub fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Printable text of `length` bytes, so that one lost or doubled would show.
pub fn text(length: usize) -> String {
    (0..length).map(|at| char::from(b'!' + u8::try_from(at * 7 % 89).expect("below 89"))).collect()
}
