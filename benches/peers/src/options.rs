//! The options of `cargo bench -p peers --`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use argh::FromArgs;

use crate::contenders::Contender;
use crate::lines::{self, Shape};
use crate::round::Extent;

/// Measures the cost of a hand-over with taketurns and with its peers, side by side.
#[derive(FromArgs)]
pub struct Options {
    /// same-core, cross-core, rings or all (default)
    #[argh(option, default = "Scenario::All")]
    pub scenario: Scenario,

    /// numbers of clients, such as 2,16 (default 2,16,256,4000; for cross-core 2,16)
    #[argh(option, from_str_fn(parse_list))]
    clients: Option<List<usize>>,

    /// rounds, each with new processes and connections (default 7)
    #[argh(option)]
    rounds: Option<usize>,

    /// hand-overs per burst (default 500); for rings 40 times as many turns, for python 250 times fewer
    #[argh(option)]
    burst: Option<usize>,

    /// bursts of each contender per round (default 40); a quarter for cross-core, a tenth for rings
    #[argh(option)]
    bursts: Option<usize>,

    /// contenders, such as tokio,taketurns (default all); blocking is always included, for rings mio
    #[argh(option, from_str_fn(parse_list))]
    only: Option<List<Contender>>,

    /// where to write the picture, relative to the workspace (default peers/hand_over.svg in its target
    /// directory)
    #[argh(option)]
    svg: Option<PathBuf>,

    /// a test run of about 15 s, whose numbers mean little
    #[argh(switch)]
    quick: bool,

    /// ignored, because cargo passes it
    #[argh(switch, hidden_help)]
    #[allow(dead_code, reason = "cargo passes it to every benchmark")]
    bench: bool,
}

/// Serves as one contender; used by the benchmark for its own program.
#[derive(FromArgs)]
pub struct Serve {
    /// the contender to run
    #[argh(positional)]
    contender: Contender,

    /// clients per ring
    #[argh(option)]
    clients: usize,

    /// rings; if given, the line framing is used
    #[argh(option)]
    rings: Option<usize>,

    /// clients that hear the first ring
    #[argh(option, default = "0")]
    hearers: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    SameCore,
    CrossCore,
    Rings,
    All,
}

struct List<T>(Vec<T>);

impl FromStr for Scenario {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Scenario> {
        Ok(match name {
            "same-core" => Scenario::SameCore,
            "cross-core" => Scenario::CrossCore,
            "rings" => Scenario::Rings,
            "all" => Scenario::All,
            _ => bail!("no scenario is called {name:?}; take same-core, cross-core, rings or all"),
        })
    }
}

impl Options {
    pub fn wants(&self, scenario: Scenario) -> bool {
        [scenario, Scenario::All].contains(&self.scenario)
    }

    pub fn check(&self) -> Result<()> {
        let Extent { rounds, bursts, burst } = self.extent(Scenario::All);
        ensure!(rounds.min(bursts).min(burst) > 0, "--rounds, --bursts and --burst must be at least 1");
        let counts = self.clients.as_ref().map_or(&[][..], |counts| &counts.0);
        ensure!(
            counts.iter().all(|&count| count >= 2),
            "--clients must be at least 2: one hands over to another"
        );
        Ok(())
    }

    pub fn clients(&self, scenario: Scenario) -> Vec<usize> {
        match &self.clients {
            Some(List(counts)) => counts.clone(),
            None if self.quick || scenario == Scenario::CrossCore => vec![2, 16],
            None => vec![2, 16, 256, 4000],
        }
    }

    /// Uses fewer bursts where a hand-over takes longer, or a burst is longer.
    pub fn extent(&self, scenario: Scenario) -> Extent {
        let (rounds, bursts, burst) = if self.quick { (3, 4, 250) } else { (7, 40, 500) };
        let fewer = match scenario {
            Scenario::CrossCore => 4,
            Scenario::Rings => 10,
            Scenario::SameCore | Scenario::All => 1,
        };
        Extent {
            rounds: self.rounds.unwrap_or(rounds),
            bursts: self.bursts.unwrap_or(bursts).div_ceil(fewer),
            burst: self.burst.unwrap_or(burst),
        }
    }

    pub fn includes(&self, contender: Contender) -> bool {
        self.only.as_ref().is_none_or(|List(only)| only.contains(&contender))
    }

    pub fn svg(&self) -> Result<PathBuf> {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = package.ancestors().nth(2).unwrap_or(package);
        match &self.svg {
            Some(path) => Ok(workspace.join(path)),
            None => {
                // For example target/release/deps/peers.
                let program = std::env::current_exe()?;
                let target = program.ancestors().nth(3).unwrap_or(workspace);
                Ok(target.join("peers/hand_over.svg"))
            }
        }
    }
}

impl Serve {
    pub fn run(&self) -> Result<()> {
        match self.rings {
            None => self.contender.serve(self.clients),
            Some(rings) => {
                lines::serve(self.contender, Shape { rings, size: self.clients, hearers: self.hearers })
            }
        }
    }
}

fn parse_list<T: FromStr<Err: ToString>>(list: &str) -> Result<List<T>, String> {
    let parts = list.split(',').map(|part| part.trim().parse().map_err(|error: T::Err| error.to_string()));
    Ok(List(parts.collect::<Result<_, _>>()?))
}
