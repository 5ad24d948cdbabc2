//! A journal on disk: the [`Store`] of a server that continues where its last life stopped.
//!
//! Feature `journal`. An event loop [takes it](crate::net::EventLoop::store_in); `examples/turn_server.rs`
//! with `--journal` is a program to copy from.
//!
//! | file of its directory | contents |
//! |---|---|
//! | `lock` | locked (`flock`) while a server uses the directory; how many commits were durable, and whether one has failed |
//! | `id` | the format and the [epoch](crate::session::Epoch), the life of the journal |
//! | `turns.log` | the last commits |
//! | `turns.redb` | the entries before those commits, in a database of [redb](https://docs.rs/redb) |
//! | `turns.new`, `log.new`, `id.new` | the same while they are created, until they are renamed |
//! | `turns.old`, `log.old`, `id.old` | the files that [`Journal::discard`] has set aside |
//!
//! # Rules of damage
//!
//! 1. A new journal begins in an empty directory, and nowhere else.
//! 2. A journal is refused if it lacks a file or a commit, does not open, has another epoch than its `id`,
//!    has a format that this program does not know, or has fewer commits than were durable. No journal is
//!    replaced by a new one unless that is requested.
//! 3. A directory that another process uses is refused.
//! 4. A commit that fails ends the life of the server. It is not retried, because after a failed sync no
//!    system tells what is on its disk: Linux still shows the data that it could not write, and marks it as
//!    written. So the next life rewrites the whole journal before it trusts it.
//! 5. [`Journal::export`] and [`Journal::import`] carry a state across changes of the format.
//!
//! A refusal is one line with the fault, its place and the remedies. It overwrites nothing.
//!
//! # Commits
//!
//! A commit is one frame of the log: one write and one sync. A commit for which the log has no room *folds*
//! the journal: one redb transaction stores everything that the database lacks, and the log starts over.
//! Closing the journal folds it too.
//!
//! Commits are numbered. The database knows how many it has, and a frame counts if it is the next one. After
//! a power loss the log ends with its last complete frame, and redb uses the last transaction whose pages are
//! all there. So a last commit that was *damaged later* looks like one that was cut off. The number of
//! commits in `lock` tells them apart, unless a power loss also took that number before the system had
//! written it.

mod database;
mod error;
mod files;
mod identity;
mod log;
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

/// An open, locked journal.
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
/// journal.commit(vec![Change::Put { key: Key::Meta, value: meta.encode() }])?;
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
    /// Opens the journal in `dir`. If the directory is empty, begins a new journal with the epoch `fresh`.
    /// Creates the directory if its parent exists.
    ///
    /// # Errors
    ///
    /// Returns [`JournalError`] if the rules of damage refuse the journal, or the system refuses an
    /// operation.
    pub fn open(dir: &Path, fresh: Epoch) -> Result<Journal, JournalError> {
        Journal::with(dir, |files| Opened::open(files, fresh))
    }

    /// Opens a journal that was restored from a backup, and begins another life of it with the epoch `fresh`.
    /// Turns that were granted after the backup are granted again, and the epoch tells them apart. A
    /// contradictory epoch, missing commits and a missing log are accepted.
    ///
    /// # Errors
    ///
    /// Returns [`JournalError`] if the other rules of damage refuse the journal, or the system refuses an
    /// operation.
    pub fn open_backup(dir: &Path, fresh: Epoch) -> Result<Journal, JournalError> {
        Journal::with(dir, |files| Opened::open_backup(files, fresh))
    }

    /// Sets a journal aside in whatever state it is, and begins a new one in its place, with the epoch
    /// `fresh`. The old files become `turns.old`, `log.old` and `id.old`, in place of earlier ones.
    ///
    /// # Errors
    ///
    /// Returns [`JournalError`] if another server uses the directory, if it belongs to another program, or if
    /// the system refuses an operation.
    pub fn discard(dir: &Path, fresh: Epoch) -> Result<Journal, JournalError> {
        Journal::with(dir, |files| Opened::discard(files, fresh))
    }

    /// Begins a journal from the output of [`export`](Self::export), with the same epoch.
    ///
    /// # Errors
    ///
    /// Returns [`JournalError`] for the first line that cannot be read, and if there already is a journal or
    /// the directory cannot be used.
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

    /// Writes all entries of a journal as lines of JSON, to be [imported](Self::import) or read. The journal
    /// does not change.
    ///
    /// # Errors
    ///
    /// Returns [`JournalError`] if the rules of damage refuse the journal, and with [`Fault::System`] if
    /// writing to `to` fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::journal::Journal;
    /// use taketurns::session::Epoch;
    ///
    /// # let dir = std::env::temp_dir().join(format!("taketurns-export-{}", std::process::id()));
    /// # std::fs::create_dir_all(&dir)?;
    /// drop(Journal::open(&dir.join("old"), Epoch(7))?);
    /// let mut lines = Vec::new();
    /// Journal::export(&dir.join("old"), &mut lines)?;
    /// Journal::import(&dir.join("new"), &lines[..])?;
    /// # std::fs::remove_dir_all(dir)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn export(dir: &Path, to: impl Write) -> Result<(), JournalError> {
        let state = opening::read(&Directory::found(dir));
        let written = state.and_then(|state| {
            text::write(&state, to).map_err(|error| Fault::system("write the export")(error))
        });
        written.map_err(|fault| fault.of(dir))
    }
}

impl Store for Journal {
    fn load(&mut self) -> Result<State, Lost> {
        self.opened.state().map_err(|fault| Lost::Failed(io::Error::other(fault.of(&self.dir))))
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<(), Lost> {
        let count = changes.len();
        self.opened.commit(changes).map_err(|source| {
            let (kind, doing) = (source.kind(), format!("store {count} changes"));
            Lost::Failed(io::Error::new(kind, Fault::system(doing)(source).of(&self.dir)))
        })
    }

    fn bytes(&self) -> u64 {
        self.opened.bytes()
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
