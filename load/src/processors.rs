//! The processors and priorities for the threads of this program and its servers.

use anyhow::{Context as _, Result};
use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The lowest priority.
const NICEST: i32 = 19;

/// Returns the first and the last processor that this thread may use, which may be the same.
pub fn first_and_last() -> Result<(usize, usize)> {
    let allowed = sched_getaffinity(None)?;
    let mut all = (0..CpuSet::MAX_CPU).filter(|&nth| allowed.is_set(nth));
    let first = all.next().context("no processor that this thread may use")?;
    Ok((first, all.next_back().unwrap_or(first)))
}

/// Pins this thread, and the threads and programs that it starts from now on, to one processor.
pub fn keep_to(processor: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set).with_context(|| format!("cannot keep to processor {processor}"))
}

/// Lets all other threads go before this one.
pub fn give_way() -> Result<()> {
    setpriority_process(None, NICEST).context("cannot lower the priority")
}
