//! Plays random worlds of the turn protocol, each from its seed, and stops at the first broken promise.
//!
//! ```text
//! cargo run --release -p simulation -- --seeds 1000000
//! cargo run --release -p simulation -- --seeds 1000000 --stored
//! cargo run --release -p simulation --features wires -- --seeds 10000 --wired
//! cargo run --release -p simulation -- --seed 17 --trace
//! ```

// options.rs  the options
// crew.rs     many worlds, on all cores
// wires.rs    what WebSocket and TLS are made of
// The worlds and their judge are those of the tests.

mod crew;
mod options;
mod wires;

use std::process::ExitCode;

use mimalloc::MiMalloc;
use support::simulation::{self, Violation};

use crate::options::Options;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let options: Options = argh::from_env();
    if options.wired && wires::WIRES.is_none() {
        eprintln!("simulation: --wired needs a build with --features wires");
        return ExitCode::FAILURE;
    }
    let played = match options.seed {
        Some(seed) => replay(seed, &options),
        None => crew::play(&options),
    };
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(violation) => {
            eprintln!("{violation}");
            ExitCode::FAILURE
        }
    }
}

fn replay(seed: u64, options: &Options) -> Result<(), Violation> {
    let play = if options.trace { simulation::trace } else { simulation::check };
    let played = play(options.plan(seed))?;
    println!(
        "seed {seed}, {} steps: {} passes, {} turns, {} answers counted, hash {:016x}",
        options.steps, played.passes, played.granted, played.accepted, played.hash
    );
    Ok(())
}
