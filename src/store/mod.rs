//! Storage of records: the trait [`Store`], and [`StoreThread`], which calls it so that no loop has to wait
//! for a disk.
//!
//! Feature `journal`. This module has the parts that all stores share. The store on a disk is
//! [`journal`](crate::journal). Records, and the rule for when their effects may be told, are in
//! [`record`](crate::record).

mod thread;

use std::fmt;
use std::io;

pub use thread::{COMMIT_SECONDS, StoreCounts, StoreThread};

use crate::record::{Change, State};

/// Storage in which entries outlive the server.
///
/// It is called by one thread: [`load`](Self::load) once, before the server listens, then
/// [`commit`](Self::commit) repeatedly, then [`close`](Self::close).
pub trait Store: Send + 'static {
    /// Reads all entries.
    ///
    /// # Errors
    ///
    /// [`Lost`]: the server must not start.
    fn load(&mut self) -> Result<State, Lost>;

    /// Stores all `changes` or none, durably. No key occurs twice.
    ///
    /// # Errors
    ///
    /// [`Lost`]: whether the changes are stored is unknown, and the store must not be called again.
    fn commit(&mut self, changes: &[Change]) -> Result<(), Lost>;

    /// Returns the size of the store in bytes, for metrics. Called after each commit. 0, the default, means
    /// that the store has no size to report.
    fn bytes(&self) -> u64 {
        0
    }

    /// Closes the store, so that the next life or another server can open it at once.
    ///
    /// # Errors
    ///
    /// [`Lost`]. All commits are durable all the same.
    fn close(self) -> Result<(), Lost>
    where
        Self: Sized;
}

/// The store is lost, which ends the server's life: nothing that waits for it may be sent, and every client
/// must be closed. Clients resume in the next life, or at another server.
#[derive(Debug)]
#[non_exhaustive]
pub enum Lost {
    /// The store failed. It is not retried, because after a failed sync no system tells what is on the disk.
    Failed(io::Error),
    /// Another server has taken over.
    Fenced,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Failed(source) => source.fmt(f),
            Lost::Fenced => f.write_str("another server has taken over"),
        }
    }
}

impl std::error::Error for Lost {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Lost::Failed(source) => source.source(),
            Lost::Fenced => None,
        }
    }
}
