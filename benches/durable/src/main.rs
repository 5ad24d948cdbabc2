//! The cost of durability, on one disk and in one run: commits of the journal, and hand-overs and turns of
//! servers with it.
//!
//! Times depend on the disk and its other users, so only figures of the same round are compared.
//!
//! `cargo bench -p durable -- --dir DIR` measures another disk than that of the temporary folder; `--only
//! turns` runs one part.

// commits.rs  the journal alone, and opening it
// turns.rs    servers with it, without it, and with `fdatasync` in the loop
// serve.rs    these servers, each a process of its own
// crowd.rs    their clients: a library, for `benches/locks` too

mod commits;
mod serve;
mod turns;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use argh::FromArgs;

use serve::Kind;

/// Measures the cost of durability, next to a plain sync on the same disk.
#[derive(FromArgs)]
pub struct Options {
    /// the directory to write in (default: the temporary folder)
    #[argh(option)]
    dir: Option<PathBuf>,
    /// run one part only: commits or turns
    #[argh(option)]
    only: Option<String>,
    /// rounds, each with everything that is compared (default 7)
    #[argh(option, default = "7")]
    rounds: usize,
    /// commits and syncs of each kind per round (default 200)
    #[argh(option, default = "200")]
    commits: usize,
    /// rings in the journal alone (default 256)
    #[argh(option, default = "256")]
    rings: u64,
    /// seats of each such ring (default 4)
    #[argh(option, default = "4")]
    seats: u64,
    /// turns of each server per round (default 40000)
    #[argh(option, default = "40000")]
    turns: usize,
    /// run a server of this kind in --dir
    #[argh(option, from_str_fn(serve::kind))]
    serve: Option<Kind>,
    /// passed by `cargo bench`
    #[argh(switch)]
    #[allow(dead_code, reason = "cargo passes it to every bench")]
    bench: bool,
}

/// A temporary directory, removed on drop.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn main() -> Result<()> {
    let options: Options = argh::from_env();
    let above = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    if let Some(kind) = options.serve {
        return serve::run(kind, &above);
    }
    let dir = Scratch(above.join(format!("taketurns-durable-{}", std::process::id())));
    fs::create_dir(&dir.0).with_context(|| format!("cannot make {}", dir.0.display()))?;
    let wants = |part: &str| options.only.as_deref().is_none_or(|only| only == part);
    if wants("commits") {
        commits::run(&options, &dir.0)?;
    }
    if wants("turns") {
        turns::run(&options, &dir.0)?;
    }
    Ok(())
}
