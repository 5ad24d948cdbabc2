//! Keeps all processes on one processor, so that their order does not depend on the number of processors.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Runs `act`, and everything that it starts, on the first processor that this process may use.
pub fn on_one<T>(act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let allowed = sched_getaffinity(None)?;
    let first = (0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu)).unwrap_or(0);
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one)?;
    let done = act();
    sched_setaffinity(None, &allowed)?;
    done
}
