//! Where records are stored: the trait [`Store`], and the [`StoreThread`] that calls one, so that no loop
//! waits for a disk.
//!
//! Feature `journal`. This module has the parts that every store shares. The store on a disk is
//! [`journal`](crate::journal); records, and the rule about when their effects may be told, are in
//! [`record`](crate::record).

mod thread;

use std::fmt;
use std::io;

pub use thread::{StoreCounts, StoreThread};

use crate::record::{Change, State};

/// A place in which entries survive the server.
///
/// One thread calls it: [`load`](Self::load) once, before the server listens, then [`commit`](Self::commit)
/// over and over, then [`close`](Self::close).
pub trait Store: Send + 'static {
    /// Reads all entries.
    ///
    /// # Errors
    ///
    /// [`Lost`]: the server must not begin.
    fn load(&mut self) -> Result<State, Lost>;

    /// Stores all `changes` or none. They are durable when it returns. No key comes twice.
    ///
    /// # Errors
    ///
    /// [`Lost`]: whether they are stored is unknown, and the store is not to be called again.
    fn commit(&mut self, changes: &[Change]) -> Result<(), Lost>;

    /// Gives the store up in good order, so that the next life or another server can have it at once.
    ///
    /// # Errors
    ///
    /// [`Lost`]. All that was committed is durable nevertheless.
    fn close(self) -> Result<(), Lost>
    where
        Self: Sized;
}

/// The end of a server's life with its store: nothing that is held may be said, and every client is to be
/// closed. They resume at the next life, or at another server.
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
