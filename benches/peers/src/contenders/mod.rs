//! The contenders: servers for the simplest form of the raw framing, one per file.
//!
//! They send `WAIT` to each client that connects. Once all are there, each gets `GO` in order of arrival,
//! after the one before has answered. Each is written as an expert in its library would write it, and only
//! `taketurns` examines the answers. `server.rs` turns a server into a process.

mod blocking;
mod message_io;
mod mio;
mod old;
mod taketurns;
mod threads;
mod tokio;

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::lines;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    Blocking,
    Taketurns,
    TaketurnsBusy,
    /// In the raw framing, among those that speak lines.
    TaketurnsRaw,
    /// Its clients say `confirm=go`.
    TaketurnsConfirm,
    /// With two loops.
    TaketurnsLoops,
    Mio,
    Tokio,
    TokioMulti,
    MessageIo,
    Threads,
    Python,
}

/// In the order of the tables.
pub const CONTENDERS: [Contender; 9] = [
    Contender::Blocking,
    Contender::Taketurns,
    Contender::TaketurnsBusy,
    Contender::Mio,
    Contender::Tokio,
    Contender::TokioMulti,
    Contender::MessageIo,
    Contender::Threads,
    Contender::Python,
];

impl Contender {
    pub fn name(self) -> &'static str {
        match self {
            Contender::Blocking => "blocking",
            Contender::Taketurns => "taketurns",
            Contender::TaketurnsBusy => "taketurns-busy",
            Contender::TaketurnsRaw => "taketurns-raw",
            Contender::TaketurnsConfirm => "taketurns-confirm",
            Contender::TaketurnsLoops => "taketurns-loops",
            Contender::Mio => "mio",
            Contender::Tokio => "tokio",
            Contender::TokioMulti => "tokio-multi",
            Contender::MessageIo => "message-io",
            Contender::Threads => "threads",
            Contender::Python => "python",
        }
    }

    /// Serves `clients` clients until the process is killed.
    pub fn serve(self, clients: usize) -> Result<()> {
        match self {
            Contender::Blocking => blocking::serve(clients),
            Contender::Taketurns => taketurns::serve(clients),
            Contender::TaketurnsBusy => taketurns::serve_busy(clients),
            Contender::Mio => mio::serve(clients),
            Contender::Tokio => tokio::serve(clients),
            Contender::TokioMulti => tokio::serve_multi(clients),
            Contender::MessageIo => message_io::serve(clients),
            Contender::Threads => threads::serve(clients),
            Contender::Python => old::serve(clients),
            Contender::TaketurnsRaw | Contender::TaketurnsConfirm | Contender::TaketurnsLoops => {
                anyhow::bail!("{} is compared with those that speak lines", self.name())
            }
        }
    }

    pub fn is_ours(self) -> bool {
        matches!(self, Contender::Taketurns | Contender::TaketurnsBusy)
    }

    /// Returns whether it spins while it waits, so that its clients need another core.
    pub fn needs_own_core(self) -> bool {
        self == Contender::TaketurnsBusy
    }

    /// Returns the most clients that it is made for: threads and polling limit some contenders.
    pub fn clients_max(self) -> usize {
        match self {
            Contender::Python => 256,
            Contender::Threads => 1_000,
            _ => usize::MAX,
        }
    }

    /// If there are not enough descriptors for all, contenders with the lowest ranks stay.
    pub fn rank(self) -> usize {
        use Contender::*;
        [Blocking, Taketurns, Tokio, Mio, TaketurnsBusy, TokioMulti, MessageIo, Threads, Python]
            .iter()
            .position(|&ranked| ranked == self)
            .expect("every contender has a rank")
    }

    /// Returns whether it must be played alone, because its threads never rest and would disturb the others.
    pub fn plays_alone(self) -> bool {
        self == Contender::Python
    }

    /// Returns the hand-overs per burst, if others have `burst`.
    pub fn burst(self, burst: usize) -> usize {
        burst.div_ceil(self.slowness())
    }

    /// Returns how many hand-overs of a burst are not measured, because they find the caches that others have
    /// left: one lap, unless that is longer than a burst, in which case every hand-over finds them so.
    pub fn lead_in(self, clients: usize, burst: usize) -> usize {
        let lap = if clients <= burst { clients } else { 0 };
        lap.max(burst.div_ceil(20)).div_ceil(self.slowness())
    }

    /// Returns the hand-overs for warming up: two laps, which include the `GO`s that are held back after
    /// `WAIT`; more for a small ring, a single lap for a large one.
    pub fn warm_up(self, clients: usize) -> usize {
        let hand_overs = if clients > 1_000 { clients } else { (2 * clients).max(500) };
        hand_overs / self.slowness()
    }

    /// Returns how long one of its clients may wait before it counts as failed.
    pub fn patience(self) -> Duration {
        Duration::from_secs(if self == Contender::Python { 30 } else { 5 })
    }

    fn slowness(self) -> usize {
        if self == Contender::Python { 250 } else { 1 }
    }
}

impl FromStr for Contender {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Contender> {
        let all = || CONTENDERS.into_iter().chain(lines::CONTENDERS);
        all().find(|contender| contender.name() == name).ok_or_else(|| {
            let names: Vec<_> = all().map(Contender::name).collect();
            anyhow!("no contender is called {name:?}; take some of {}", names.join(","))
        })
    }
}
