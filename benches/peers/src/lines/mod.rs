//! Servers for many rings in the line framing, as far as a correct client can tell.
//!
//! `JOIN <name> ring=<ring>` is answered with `WELCOME`. A ring starts when all its clients are there. At a
//! hand-over, the next client is sent `GO turn=<n>`, and the one that answered `OK turn=<n>`. Those that have
//! said `WATCH ring=<ring>` hear `TURN` and `BEGIN`, in one write.

mod mio;
mod taketurns;
mod tokio;

use std::fmt;

use ::taketurns::protocol::turns::Framing;
use anyhow::{Context as _, Result};

use crate::contenders::Contender;

/// Contenders that can do this. The others are compared with the first.
pub const CONTENDERS: [Contender; 6] = [
    Contender::Mio,
    Contender::Taketurns,
    Contender::TaketurnsConfirm,
    Contender::TaketurnsLoops,
    Contender::TaketurnsRaw,
    Contender::Tokio,
];

/// The number of rings, and of clients in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub rings: usize,
    pub size: usize,
    /// Clients that hear the first ring.
    pub hearers: usize,
}

impl Shape {
    pub fn clients(self) -> usize {
        self.rings * self.size + self.hearers
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rings of {} clients", self.rings, self.size)?;
        if self.hearers > 0 { write!(f, ", which {} others hear", self.hearers) } else { Ok(()) }
    }
}

/// How clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    Raw,
    Line,
    /// Lines, with `confirm=go`.
    Confirm,
}

impl Speech {
    pub fn of(contender: Contender) -> Speech {
        match contender {
            Contender::TaketurnsRaw => Speech::Raw,
            Contender::TaketurnsConfirm => Speech::Confirm,
            _ => Speech::Line,
        }
    }
}

/// Whether the contender can serve that: raw clients know one ring, and that ring has one loop.
pub fn can_serve(contender: Contender, shape: Shape) -> bool {
    match contender {
        Contender::TaketurnsRaw => shape.rings == 1 && shape.hearers == 0,
        Contender::TaketurnsLoops => shape.rings > 1,
        Contender::TaketurnsConfirm | Contender::Tokio => shape.hearers == 0,
        _ => true,
    }
}

/// Serves until the process is killed.
pub fn serve(contender: Contender, shape: Shape) -> Result<()> {
    match contender {
        Contender::Mio => mio::serve(shape),
        Contender::Taketurns | Contender::TaketurnsConfirm => taketurns::serve(shape, Framing::Line),
        Contender::TaketurnsRaw => taketurns::serve(shape, Framing::Raw),
        Contender::TaketurnsLoops => taketurns::serve_in_two_loops(shape),
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
