//! Plays everything that can happen to the turn scheduler in a few small worlds, and checks every promise in
//! every state.
//!
//! `cargo run --release -p model` plays all worlds, or only those named after `--`. If a promise is broken,
//! prints the shortest history and exits with 1.

// worlds.rs the worlds, and their sizes
// check.rs  one world, as the model checker sees it
// report.rs the findings

mod check;
mod report;
mod worlds;

use std::process::ExitCode;
use std::time::Instant;

use mimalloc::MiMalloc;
use model::laws::Laws;
use stateright::{Checker, HasDiscoveries, Model as _};

use crate::check::Check;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let only: Vec<String> = std::env::args().skip(1).collect();
    let worlds = worlds::all();
    if let Some(unknown) = only.iter().find(|only| !worlds.iter().any(|laws| laws.name == *only)) {
        let names: Vec<_> = worlds.iter().map(|laws| laws.name).collect();
        eprintln!("model: no world is called {unknown:?}: name one of {names:?}");
        return ExitCode::FAILURE;
    }
    report::head();
    let asked = |laws: &Laws| only.is_empty() || only.iter().any(|only| only == laws.name);
    let broken = worlds.into_iter().filter(asked).filter(|laws| !holds(laws)).count();
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Checks the world of these laws, and reports what was seen. Returns whether every promise is kept.
fn holds(laws: &Laws) -> bool {
    let started = Instant::now();
    let checker = explored(laws, std::thread::available_parallelism().map_or(1, usize::from));
    report::row(laws.name, &checker, started.elapsed());
    if checker.discoveries().is_empty() {
        return true;
    }
    // With one thread, the first finding has the shortest history.
    report::histories(&explored(laws, 1));
    false
}

fn explored(laws: &Laws, threads: usize) -> impl Checker<Check> {
    let checker = Check::new(laws.clone()).checker().threads(threads);
    checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join()
}
