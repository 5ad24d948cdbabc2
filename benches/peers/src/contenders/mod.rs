//! The contenders: servers that speak the raw framing in its simplest form, one file each.
//!
//! `WAIT` to each client that connects; once all are there, `GO` to each in the order in which they came,
//! when the one before has answered. Each is written as someone who knows its library well would write it,
//! and none looks at the answer but `taketurns`. How a server becomes a process is in `server.rs`.

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    Blocking,
    Taketurns,
    TaketurnsBusy,
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
            Contender::Mio => "mio",
            Contender::Tokio => "tokio",
            Contender::TokioMulti => "tokio-multi",
            Contender::MessageIo => "message-io",
            Contender::Threads => "threads",
            Contender::Python => "python",
        }
    }

    /// Serves `clients` of them until the process is killed.
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
        }
    }

    pub fn is_ours(self) -> bool {
        matches!(self, Contender::Taketurns | Contender::TaketurnsBusy)
    }

    /// Spins while it waits, so its clients need another core.
    pub fn needs_own_core(self) -> bool {
        self == Contender::TaketurnsBusy
    }

    /// More clients than this are not what it is made for: a thread for each, and all of them poll.
    pub fn clients_max(self) -> usize {
        match self {
            Contender::Python => 256,
            Contender::Threads => 1_000,
            _ => usize::MAX,
        }
    }

    /// The lowest contenders stay if there are not enough descriptors for all.
    pub fn rank(self) -> usize {
        use Contender::*;
        [Blocking, Taketurns, Tokio, Mio, TaketurnsBusy, TokioMulti, MessageIo, Threads, Python]
            .iter()
            .position(|&ranked| ranked == self)
            .expect("every contender has a rank")
    }

    /// Its threads never rest, and would disturb the others while they are played.
    pub fn plays_alone(self) -> bool {
        self == Contender::Python
    }

    /// Hand-overs in a burst of it, where others have `burst`.
    pub fn burst(self, burst: usize) -> usize {
        burst.div_ceil(self.slowness())
    }

    /// The first hand-overs of a burst find the caches that the others have left: so many are not measured. A
    /// lap; but where that is longer than a burst, every hand-over finds them so.
    pub fn lead_in(self, clients: usize, burst: usize) -> usize {
        let lap = if clients <= burst { clients } else { 0 };
        lap.max(burst.div_ceil(20)).div_ceil(self.slowness())
    }

    /// Two laps, which take in that a `GO` is held back behind a `WAIT`; of a small ring more, of a large one
    /// a single one.
    pub fn warm_up(self, clients: usize) -> usize {
        let hand_overs = if clients > 1_000 { clients } else { (2 * clients).max(500) };
        hand_overs / self.slowness()
    }

    /// How long a client of it may wait before it has lost.
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
        CONTENDERS.into_iter().find(|contender| contender.name() == name).ok_or_else(|| {
            let names: Vec<_> = CONTENDERS.iter().map(|contender| contender.name()).collect();
            anyhow!("no contender is called {name:?}; take some of {}", names.join(","))
        })
    }
}
