//! Servers for many rings in the line framing, as far as a correct client can tell.
//!
//! `JOIN <name> ring=<ring>` is answered with `WELCOME`. A ring starts when all its clients are there. At a
//! hand-over, the next client is sent `GO turn=<n>`, and the one that answered `OK turn=<n>`.

mod mio;
mod taketurns;
mod tokio;

use anyhow::{Context as _, Result};

use crate::contenders::Contender;

/// Contenders that can do this. The others are compared with the first.
pub const CONTENDERS: [Contender; 3] = [Contender::Mio, Contender::Taketurns, Contender::Tokio];

/// The number of rings, and of clients in each.
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

/// Returns the ring that a `JOIN` names.
fn ring_of(join: &str) -> Result<&str> {
    join.split(' ')
        .find_map(|field| field.strip_prefix("ring="))
        .with_context(|| format!("no ring in {join:?}"))
}
