//! Loads a `turn_server` with as many clients as a process has descriptors for, and reports how they fared.
//!
//! ```text
//! cargo build --release --examples && cargo run --release -p load                # all scenarios, some three minutes
//! cargo run --release -p load -- soak --minutes 10
//! ```
//!
//! Each line of the table is a figure with its limit. The exit code is 1 if any limit is exceeded.

// hold.rs        as many clients as possible in one ring
// stampede.rs    all of them come back at once
// joins.rs       two clients take turns while 10,000 join and leave
// quiet.rs       two clients take turns while others make trouble; uses pair.rs, trouble.rs, orders.rs
// flood.rs       two clients take turns while a thousand send more than can be read
// soak.rs        clients come, go and crash for minutes; player.rs is one of them
// mutate.rs      sessions with mistakes, at every server
// crowd.rs       the sockets of many clients
// program.rs     a server or client as a process
// processors.rs  the processors for all of these
// row.rs         a line of the table

mod crowd;
mod flood;
mod hold;
mod joins;
mod mutate;
mod orders;
mod pair;
mod player;
mod processors;
mod program;
mod quiet;
mod row;
mod soak;
mod stampede;
mod trouble;

use std::process::ExitCode;

use anyhow::Result;
use argh::FromArgs;

use crate::row::Row;

/// Load a turn_server with thousands of clients, and report how they fared.
#[derive(FromArgs)]
struct Options {
    /// the scenarios: hold, stampede, joins, quiet, flood, soak, mutate. Default: all, one by one
    #[argh(positional)]
    scenarios: Vec<String>,

    /// length of the soak, in minutes. Default: 1
    #[argh(option, arg_name = "n", default = "1.0")]
    minutes: f64,

    /// number of sessions with mistakes. Default: 20000
    #[argh(option, arg_name = "n", default = "20_000")]
    sessions: u64,

    /// the random seed of the soak and the mistakes, which their lines show. Default: random
    #[argh(option, arg_name = "n", default = "fastrand::u64(..1 << 32)")]
    seed: u64,
}

type Scenario = fn(&Options) -> Result<Vec<Row>>;

const SCENARIOS: [(&str, Scenario); 7] = [
    ("hold", |_| hold::run()),
    ("stampede", |_| stampede::run()),
    ("joins", |_| joins::run()),
    ("quiet", |_| quiet::run()),
    ("flood", |_| flood::run()),
    ("soak", |options| soak::run(options.minutes, options.seed)),
    ("mutate", |options| mutate::run(options.sessions, options.seed)),
];

fn main() -> ExitCode {
    let options: Options = argh::from_env();
    if let Some(unknown) =
        options.scenarios.iter().find(|&asked| SCENARIOS.iter().all(|(name, _)| name != asked))
    {
        eprintln!(
            "load: there is no scenario {unknown:?}: hold, stampede, joins, quiet, flood, soak and mutate are all"
        );
        return ExitCode::FAILURE;
    }
    program::raise_descriptors();
    println!("{}", row::HEAD);
    let mut all_well = true;
    for (name, scenario) in SCENARIOS {
        if options.scenarios.is_empty() || options.scenarios.iter().any(|asked| asked == name) {
            let rows = scenario(&options).unwrap_or_else(|error| vec![Row::broken(name, &error)]);
            for row in rows {
                println!("{row}");
                all_well &= row.is_well();
            }
        }
    }
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
