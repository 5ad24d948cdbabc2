//! The machine: its cores and their processes, its descriptors, and its description.

use std::fmt;
use std::fs;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores for the servers and for the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    pub servers: usize,
    pub clients: usize,
}

impl Placement {
    /// The last core, because the first ones serve most interrupts.
    pub fn same_core() -> Result<Placement> {
        let last = *cores()?.last().context("this process may run on no core")?;
        Ok(Placement { servers: last, clients: last })
    }

    /// The last two cores; `None` if there is only one.
    pub fn cross_core() -> Result<Option<Placement>> {
        Ok(match cores()?[..] {
            [.., clients, servers] => Some(Placement { servers, clients }),
            _ => None,
        })
    }

    pub fn is_one_core(self) -> bool {
        self.servers == self.clients
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_one_core() {
            "server and clients on one core"
        } else {
            "a core for each side"
        })
    }
}

/// Returns the cores on which this process may run.
fn cores() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect())
}

/// Runs `act` on `core`, including the threads and processes that it starts.
pub fn on_core<R>(core: usize, act: impl FnOnce() -> R) -> Result<R> {
    let before = sched_getaffinity(None)?;
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).with_context(|| format!("cannot run on core {core}"))?;
    let done = act();
    sched_setaffinity(None, &before)?;
    Ok(done)
}

/// Raises the limit of descriptors as far as possible, also for child processes. Returns the new limit.
pub fn take_descriptors() -> Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .context("cannot raise the limit of descriptors")?;
    Ok(limit.maximum.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)))
}

/// Describes the machine, so that its numbers can be compared with those of others.
pub fn describe() -> Result<String> {
    let model = fs::read_to_string("/proc/cpuinfo")?
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, model)| model.to_owned()))
        .unwrap_or_else(|| "unknown processor".to_owned());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!("{} cores, {model}, Linux {}", cores()?.len(), kernel.trim()))
}
