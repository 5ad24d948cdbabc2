//! Clients that act one at a time: with `taketurns`, and with what else people pick for that, each used as
//! its documentation says. All are compared in one run on one machine.
//!
//! A server that is not installed is left out, and that is said: `apt-get install redis-server postgresql
//! etcd-server zookeeper`, `npm install --prefix benches/locks/node`. `cargo bench -p locks -- --help` lists
//! the options. Linux only.

// contenders/    the servers, and how a client takes and gives their locks
// daemon.rs      a server's process
// hand_over.rs   many clients that want the same lock
// failures.rs    a holder that is killed, or stopped
// rate.rs        clients and pairs that have a lock each, and many pairs in one process
// memory.rs      clients that wait

mod contenders;
mod daemon;
mod failures;
mod hand_over;
mod memory;
mod rate;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use argh::FromArgs;

use contenders::{Contender, Group};

/// Compares what lets clients act one at a time.
#[derive(FromArgs)]
pub struct Options {
    /// the directory in which servers keep their files (default: the temporary folder)
    #[argh(option)]
    dir: Option<PathBuf>,
    /// run one part only: hand-over, rate, pairs, crowd, memory or failures
    #[argh(option)]
    only: Option<String>,
    /// compare only those whose names have one of these texts, with commas between
    #[argh(option)]
    of: Option<String>,
    /// rounds, each with everything that is compared (default 5)
    #[argh(option, default = "5")]
    rounds: usize,
    /// turns of each server per round (default 400)
    #[argh(option, default = "400")]
    turns: usize,
    /// serve turns, and keep them in a journal if --dir is given, or in --etcd
    #[argh(switch)]
    serve: bool,
    /// the members of an etcd, with --serve
    #[argh(option)]
    etcd: Option<String>,
    /// passed by `cargo bench`
    #[argh(switch)]
    #[allow(dead_code, reason = "cargo passes it to every bench")]
    bench: bool,
}

/// How long a holder that says nothing may hold, where the server has such a limit.
pub const DEADLINE: Duration = Duration::from_secs(2);

/// The most time that anything may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A temporary directory, removed on drop.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn main() -> Result<()> {
    let options: Options = argh::from_env();
    if options.serve {
        return contenders::taketurns::serve(&options);
    }
    let above = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let dir = Scratch(above.join(format!("taketurns-locks-{}", std::process::id())));
    fs::create_dir(&dir.0).with_context(|| format!("cannot make {}", dir.0.display()))?;
    let is_wanted =
        |name: &str| options.of.as_ref().is_none_or(|texts| texts.split(',').any(|text| name.contains(text)));
    let contenders = contenders::start(&dir.0, &is_wanted)?;
    let wants = |part: &str| options.only.as_deref().is_none_or(|only| only == part);
    // The first, before a server has memory left over from something else.
    if wants("memory") {
        memory::run(&contenders);
    }
    if wants("hand-over") {
        hand_over::run(&options, &contenders)?;
    }
    if wants("rate") {
        rate::of_singles(&options, &contenders);
    }
    if wants("pairs") {
        rate::of_pairs(&options, &contenders);
    }
    if wants("crowd") {
        rate::of_crowds(&options, &contenders)?;
    }
    if wants("failures") {
        failures::run(&contenders)?;
    }
    Ok(())
}

/// Returns the median, the lowest and the highest of some figures.
pub fn spread(figures: impl IntoIterator<Item = f64>) -> [f64; 3] {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    [figures[figures.len() / 2], figures[0], figures[figures.len() - 1]]
}

/// Prints the rows of a table, those in memory first: a disk costs more than anything else here.
pub fn print_rows(head: &str, contenders: &[Contender], cells: impl Fn(usize) -> String) {
    let columns = head.matches('|').count() + 1;
    println!("| | {head} |\n|---|{}", "---:|".repeat(columns));
    let groups = [
        ("in memory", Group::Memory),
        ("on the disk before the lock moves", Group::Disk),
        ("frameworks for games, in memory", Group::Games),
    ];
    for (name, group) in groups {
        println!("| **{name}** |{}", " |".repeat(columns));
        for (nth, contender) in contenders.iter().enumerate().filter(|(_, of)| of.group == group) {
            println!("| {} | {} |", contender.name, cells(nth));
        }
    }
    println!();
}
