//! A journal on a disk: the [`Store`] of a server that goes on from where the last one was stopped.
//!
//! Feature `journal`. An event loop [takes it](crate::net::EventLoop::store_in); `examples/turn_server.rs`
//! with `--journal` is a program to copy from.
//!
//! | file of its directory | contents |
//! |---|---|
//! | `lock` | locked (`flock`) while a server uses the directory; how many commits were durable, and whether one has failed |
//! | `id` | the format and the [epoch](crate::session::Epoch), the life of the journal |
//! | `turns.redb` | the entries, in a database of [redb](https://docs.rs/redb) |
//! | `turns.new`, `id.new` | one of these while it is made, until it is renamed |
//! | `turns.old`, `id.old` | what [`Journal::discard`] has set aside |
//!
//! # Rules of damage
//!
//! 1. In an empty directory a new journal begins, and nowhere else.
//! 2. A journal that lacks a file, does not open, is of another epoch than its `id`, of a format that this
//!    program does not know, or has fewer commits than were durable, is refused. No journal begins anew by
//!    itself.
//! 3. A directory that another process uses is refused.
//! 4. A commit that fails is the end of the server's life. It is not tried again, because no system says what
//!    is on its disk after a sync that failed: Linux goes on to show what it could not write, and takes it
//!    for written. The next life writes all of the database anew before it believes it.
//! 5. [`Journal::export`] and [`Journal::import`] are the way over changes of the format.
//!
//! Each refusal is one line that says what, where, and the ways out, and has overwritten nothing.
//!
//! # Commits
//!
//! A commit is one transaction of redb, and one sync. redb writes changed pages to free space, then the root
//! with a checksum over all of it; after a loss of power it takes the last root whose pages are all there.
//! That means a last commit that is *damaged later* looks like one that was cut off. The number of commits in
//! `lock` tells them apart, unless the power is lost as well before the system has written that number.

mod database;
mod error;
mod files;
mod identity;
mod opening;
#[cfg(test)]
mod tests;
mod text;
mod untouched;

use std::fmt;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

pub use error::{Fault, JournalError};
use files::Directory;
use opening::Opened;

use crate::record::{Change, State};
use crate::session::Epoch;
use crate::store::{Lost, Store};

/// A journal that is open, and locked for as long.
///
/// # Examples
///
/// ```
/// use taketurns::journal::Journal;
/// use taketurns::record::{Change, Key, MetaValue};
/// use taketurns::session::Epoch;
/// use taketurns::store::Store as _;
///
/// # let dir = std::env::temp_dir().join(format!("taketurns-journal-{}", std::process::id()));
/// # let fresh = || Epoch(7);
/// let mut journal = Journal::open(&dir, fresh())?;
/// let mut meta = journal.load()?.meta;
/// meta.forgotten_turn = 5;
/// journal.commit(&[Change::Put { key: Key::Meta, value: meta.encode() }])?;
/// drop(journal); // Or the process is killed.
///
/// assert_eq!(Journal::open(&dir, fresh())?.load()?.meta, meta);
/// # std::fs::remove_dir_all(dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Journal {
    dir: PathBuf,
    opened: Opened<Directory>,
}

impl Journal {
    /// Opens the journal in `dir`, or begins one there, in the epoch `fresh`, if it is empty. A directory is
    /// made if only it is missing, and none above it.
    ///
    /// # Errors
    ///
    /// [`JournalError`], by the rules of damage.
    pub fn open(dir: &Path, fresh: Epoch) -> Result<Journal, JournalError> {
        Journal::with(dir, |files| Opened::open(files, fresh))
    }

    /// Opens a journal that is a backup, and begins another life of it, in the epoch `fresh`. Turns that were
    /// granted after the backup was made are granted again, and the epoch tells them apart. It does not mind
    /// an epoch that contradicts, and commits that are missing.
    ///
    /// # Errors
    ///
    /// [`JournalError`], by the other rules of damage.
    pub fn open_backup(dir: &Path, fresh: Epoch) -> Result<Journal, JournalError> {
        Journal::with(dir, |files| Opened::open_backup(files, fresh))
    }

    /// Sets a journal aside, whatever state it is in, and begins a new one in its place, in the epoch
    /// `fresh`. Its files are `turns.old` and `id.old` then, in place of earlier ones.
    ///
    /// # Errors
    ///
    /// [`JournalError`], when another server uses the directory, it is of another program, or the system
    /// refuses.
    pub fn discard(dir: &Path, fresh: Epoch) -> Result<Journal, JournalError> {
        Journal::with(dir, |files| Opened::discard(files, fresh))
    }

    /// Begins a journal from what [`export`](Self::export) has written, in the same epoch.
    ///
    /// # Errors
    ///
    /// [`JournalError`], when there is a journal already, or with the line that cannot be read.
    pub fn import(dir: &Path, from: impl BufRead) -> Result<Journal, JournalError> {
        let state = text::read(from).map_err(|fault| fault.of(dir))?;
        Journal::with(dir, |files| Opened::import(files, &state))
    }

    fn with(
        dir: &Path,
        open: impl FnOnce(Directory) -> Result<Opened<Directory>, Fault>,
    ) -> Result<Journal, JournalError> {
        let files = Directory::new(dir).map_err(Fault::system("make or open the directory"));
        let opened = files.and_then(open).map_err(|fault| fault.of(dir))?;
        Ok(Journal { dir: dir.to_owned(), opened })
    }

    /// Writes all entries as lines of JSON, for [`import`](Self::import) and for people.
    ///
    /// # Errors
    ///
    /// [`JournalError`], when it cannot be read; an error of `to`, in a [`Fault::System`].
    pub fn export(&mut self, to: impl Write) -> Result<(), JournalError> {
        let state = self.opened.state().map_err(|fault| fault.of(&self.dir))?;
        text::write(&state, to).map_err(|error| Fault::system("write the export")(error).of(&self.dir))
    }
}

impl Store for Journal {
    fn load(&mut self) -> Result<State, Lost> {
        self.opened.state().map_err(|fault| Lost::Failed(io::Error::other(fault.of(&self.dir))))
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), Lost> {
        let doing = || format!("store {} changes", changes.len());
        self.opened.commit(changes).map_err(|source| {
            let kind = source.kind();
            Lost::Failed(io::Error::new(kind, Fault::system(doing())(source).of(&self.dir)))
        })
    }

    fn close(self) -> Result<(), Lost> {
        self.opened.close().map_err(|source| {
            Lost::Failed(io::Error::new(source.kind(), Fault::system("close it")(source).of(&self.dir)))
        })
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("dir", &self.dir).finish_non_exhaustive()
    }
}
