//! Keeps processes on one processor, so that their order does not depend on the number of processors.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Runs `act`, and everything that it starts, on the first processor that this process may use.
pub fn on_one<T>(act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    on(|allowed| allowed.next(), act)
}

/// Runs `act`, and everything that it starts, on the last one.
#[cfg(feature = "wires")]
pub fn on_last<T>(act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    on(|allowed| allowed.last(), act)
}

fn on<T>(
    choose: impl FnOnce(&mut dyn Iterator<Item = usize>) -> Option<usize>,
    act: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let allowed = sched_getaffinity(None)?;
    let mut one = CpuSet::new();
    one.set(choose(&mut (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu))).unwrap_or(0));
    sched_setaffinity(None, &one)?;
    let done = act();
    sched_setaffinity(None, &allowed)?;
    done
}
