//! The driver on real sockets, over 127.0.0.1, and the effects of faults on it.
//!
//! Nearly every test is a single thread that runs the driver's passes by hand, so it knows what each pass
//! finds. Anything that needs no socket (which turn, which reply) is tested on the protocol; anything that
//! needs a program, in `tests/programs/`.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests use the real clock and threads"
)]

// loopback.rs       a driver, and bare sockets at its other end
// servers.rs        servers and listeners for the tests
// slots.rs          events of connections that are gone
// ends.rs           how streams end
// slow_readers.rs   peers that do not read
// passes.rs         the work of one pass, and idling without any
// listeners.rs      sockets of the host
// outbound.rs       connections that the driver makes
// drain.rs          the end of all connections
// afterlife.rs      what the system keeps of closed sockets
// event_loop.rs     the loop, and other threads
// another_loop.rs   the loop inside another one
// extremes.rs       limits and times of any size
// crowds.rs         many connections, and bytes in pieces
// process.rs        faults of the whole process
// allocations.rs    a steady turn allocates nothing
// stored.rs         a loop with a store
// status/           the status listener

mod afterlife;
mod allocations;
#[cfg(unix)]
mod another_loop;
mod crowds;
mod drain;
mod ends;
mod event_loop;
mod extremes;
mod listeners;
mod loopback;
mod outbound;
mod passes;
#[cfg(unix)]
mod process;
mod servers;
mod slots;
mod slow_readers;
#[cfg(feature = "status")]
mod status;
#[cfg(feature = "store")]
mod stored;
