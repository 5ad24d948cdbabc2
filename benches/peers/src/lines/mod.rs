//! The same for many rings: servers that speak the line framing, as far as a client that never errs can tell.
//!
//! `JOIN <name> ring=<ring>` is answered by `WELCOME`; a ring starts when all its clients are there. At a
//! hand-over the next client is sent `GO turn=<n>`, and the one that has answered `OK turn=<n>`.

mod mio;
mod taketurns;
mod tokio;

use anyhow::{Context as _, Result};

use crate::contenders::Contender;

/// Those that can; the first is what the others are compared with.
pub const CONTENDERS: [Contender; 3] = [Contender::Mio, Contender::Taketurns, Contender::Tokio];

/// How many rings, and of how many clients each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub rings: usize,
    pub size: usize,
}

/// Serves until the process is killed.
pub fn serve(contender: Contender, shape: Shape) -> Result<()> {
    match contender {
        Contender::Mio => mio::serve(shape),
        Contender::Taketurns => taketurns::serve(shape),
        Contender::Tokio => tokio::serve(shape),
        other => anyhow::bail!("{} does not speak the line framing", other.name()),
    }
}

/// The ring that a `JOIN` names.
fn ring_of(join: &str) -> Result<&str> {
    join.split(' ')
        .find_map(|field| field.strip_prefix("ring="))
        .with_context(|| format!("no ring in {join:?}"))
}
