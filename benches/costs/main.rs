//! The costs of a turn and of a connection, counted instead of timed, so that they are the same on a slow or
//! busy machine: `cargo bench --bench costs`. The exit code is 1 if anything costs more than allowed, and 2
//! if it could not be counted.
//!
//! Counted from outside: a [`TurnServer`](taketurns::protocol::turns::TurnServer) in an
//! [`EventLoop`](taketurns::net::EventLoop) with the default limits and times, in a process of its own. That
//! process is this program again, as `costs serve`; the clients are here.
//!
//! `RUSTFLAGS="-C no-prepopulate-passes" cargo test -p taketurns-benches --bench costs -- way` counts and
//! lists the functions on the way of a turn.
//!
//! Not counted: time (`hand_over.rs`), allocations (`tests/sockets/allocations.rs`), and the work of the
//! system.

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
