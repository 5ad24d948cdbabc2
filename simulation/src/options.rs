//! The options of `cargo run --release -p simulation --`.

use argh::FromArgs;
use support::simulation::Plan;

use crate::wires;

/// Plays random worlds of the turn protocol, each from its seed, on all cores. Stops at the first broken
/// promise.
#[derive(FromArgs)]
pub struct Options {
    /// number of worlds (default 20000)
    #[argh(option, default = "20_000")]
    pub seeds: u64,

    /// the first seed (default 0)
    #[argh(option, default = "0")]
    pub from: u64,

    /// number of things that happen in each (default 1000)
    #[argh(option, default = "1000")]
    pub steps: usize,

    /// play worlds whose server has a store and dies often
    #[argh(switch)]
    pub stored: bool,

    /// play worlds whose clients come over WebSocket and TLS, too; needs --features wires
    #[argh(switch)]
    pub wired: bool,

    /// play only this one
    #[argh(option)]
    pub seed: Option<u64>,

    /// with --seed: print everything that happens
    #[argh(switch)]
    pub trace: bool,

    /// number of threads (default one per core)
    #[argh(option)]
    pub threads: Option<usize>,
}

impl Options {
    pub fn plan(&self, seed: u64) -> Plan {
        Plan { seed, steps: self.steps, stored: self.stored, wires: wires::WIRES.filter(|_| self.wired) }
    }
}
