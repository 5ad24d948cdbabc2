//! The costs of a turn and of a connection, counted and not timed, so that it is the same on a machine that
//! is slow or busy: `cargo bench --bench costs`. Exit code 1 if anything costs more than is allowed, 2 if it
//! could not be counted.
//!
//! Counted: a [`TurnServer`](taketurns::protocol::turns::TurnServer) in an
//! [`EventLoop`](taketurns::net::EventLoop) with the default limits and times, in a process of its own, from
//! outside. That process is this program again, as `costs serve`; the clients are here.
//!
//! `RUSTFLAGS="-C no-prepopulate-passes" cargo test -p taketurns-benches --bench costs -- way` counts and
//! lists the functions that a turn goes through.
//!
//! Not counted: time (`hand_over.rs`); allocations (`tests/sockets/allocations.rs`); what the system does for
//! its part.

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("costs: nothing is counted here, because that takes strace and /proc: Linux");
}
