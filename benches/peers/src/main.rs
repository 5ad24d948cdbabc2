//! The time of a hand-over, from one client's answer to the next client's `GO`, with `taketurns` and with its
//! peers.
//!
//! Each server is a process of its own: this program again, as `serve <contender>`. The clients are blocking
//! sockets in this process. Nothing is faster than `blocking`, which only writes and reads, so the ratios to
//! it show what the rest costs.
//!
//! `cargo bench -p peers -- --help` lists the options. Linux only.

// options.rs     the options
// plan.rs        the runs: contenders, numbers of clients, cores
// compare.rs     plays the plan and prints the results
//  ├ round.rs    hand-overs one by one, and load.rs their clients
//  └ rings.rs    many rings at once, and crowd.rs their clients
// contenders/    servers of one ring, in the raw framing
// lines/         servers of many rings, in the line framing
// server.rs      a server's process, machine.rs the cores and the descriptors
// statistics.rs  medians and ratios, table.rs and plot.rs show them

mod compare;
mod contenders;
mod crowd;
mod lines;
mod load;
mod machine;
mod options;
mod plan;
mod plot;
mod rings;
mod round;
mod server;
mod statistics;
mod table;

use std::process::ExitCode;

use anyhow::Result;
use argh::FromArgs as _;

use crate::options::Serve;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("serve") => serve(&arguments[1..]),
        _ => compare::run(&argh::from_env()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    server::end_with_parent()?;
    match Serve::from_args(&["serve"], &arguments) {
        Ok(serve) => serve.run(),
        Err(exit) => anyhow::bail!(exit.output.trim_end().to_owned()),
    }
}
