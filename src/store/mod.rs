//! Storage of records: the trait [`Store`], and the [`StoreThread`] that calls it, so that no loop waits for
//! a disk.
//!
//! Feature `journal`. This module has the parts that every store shares. The store on a disk is
//! [`journal`](crate::journal); records, and the rule about when their effects may be told, are in
//! [`record`](crate::record).

mod thread;

use std::fmt;
use std::io;

pub use thread::{StoreCounts, StoreThread};

use crate::record::{Change, State};

/// A place where entries survive the server.
///
/// One thread calls it: [`load`](Self::load) once, before the server listens, then [`commit`](Self::commit)
/// over and over, then [`close`](Self::close).
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
    /// [`Lost`]: it is unknown whether they are stored, and the store must not be called again.
    fn commit(&mut self, changes: &[Change]) -> Result<(), Lost>;

    /// Closes the store, so that the next life or another server can open it at once.
    ///
    /// # Errors
    ///
    /// [`Lost`]. Everything that was committed is durable all the same.
    fn close(self) -> Result<(), Lost>
    where
        Self: Sized;
}

/// The store is lost, and with it the server's life: nothing that waits for it may be sent, and every client
/// has to be closed. They resume in the next life, or at another server.
#[derive(Debug)]
#[non_exhaustive]
pub enum Lost {
    /// The store failed. It is not tried again: after a failed sync no system says what is on the disk.
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
