//! The database of a journal: one redb table with the entries by key, and another with the number of commits.

use std::io;

use redb::{
    AccessGuard, Builder, CommitError, DatabaseError, ReadableDatabase as _, ReadableTable as _,
    StorageBackend, StorageError, TableDefinition,
};

use super::error::{DATABASE, Fault};
use super::untouched::Untouched;
use crate::record::{Change, State};

const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
const COMMITS: TableDefinition<'_, (), u64> = TableDefinition::new("commits");

/// A key and its value, borrowed from their pages; below, the same copied.
type Entry<'t> = (AccessGuard<'t, &'static [u8]>, AccessGuard<'t, &'static [u8]>);
type Bytes = (Vec<u8>, Vec<u8>);

/// The memory that redb may use for pages, in bytes. A commit touches about ten pages.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

pub(super) struct Database {
    redb: redb::Database,
    commits: u64,
}

impl Database {
    /// Creates a database with this state in an empty file. The file is complete once the database is closed.
    pub(super) fn create(backend: impl StorageBackend, state: &State) -> Result<Database, Fault> {
        let redb = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend);
        let mut database = Database { redb: redb.map_err(fault)?, commits: 0 };
        database.commit(&state.puts()).map_err(Fault::system(format!("write {DATABASE}")))?;
        Ok(database)
    }

    /// Checks and reads a whole database. Returns its number of commits and its entries. The file does not
    /// change, because redb makes its repairs in a copy.
    pub(super) fn look_at(backend: impl StorageBackend) -> Result<(u64, State), Fault> {
        let backend = Untouched::new(backend).map_err(Fault::system(format!("read {DATABASE}")))?;
        if StorageBackend::len(&backend).map_err(Fault::system(format!("read {DATABASE}")))? == 0 {
            return Err(Fault::Empty);
        }
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
        let mut database =
            Database { redb: builder.create_with_backend(backend).map_err(fault)?, commits: 0 };
        let state = database.read()?;
        Ok((database.commits, state))
    }

    /// Opens a database that passed [`look_at`](Self::look_at).
    pub(super) fn open(backend: impl StorageBackend) -> Result<Database, Fault> {
        let redb = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend);
        let mut database = Database { redb: redb.map_err(fault)?, commits: 0 };
        database.commits = database.read_commits().map_err(fault_of)?;
        Ok(database)
    }

    fn read_commits(&self) -> Result<u64, redb::Error> {
        let commits = self.redb.begin_read()?.open_table(COMMITS)?;
        Ok(commits.get(())?.map_or(0, |commits| commits.value()))
    }

    /// Reads all entries and the number of commits.
    pub(super) fn read(&mut self) -> Result<State, Fault> {
        self.commits = self.read_commits().map_err(fault_of)?;
        let entries = self.read_entries().map_err(fault_of)?;
        State::read(entries.iter().map(|(key, value)| (&key[..], &value[..]))).map_err(Fault::Entry)
    }

    fn read_entries(&self) -> Result<Vec<Bytes>, redb::Error> {
        let table = self.redb.begin_read()?.open_table(ENTRIES)?;
        let copied = |entry: Result<Entry<'_>, StorageError>| {
            let (key, value) = entry?;
            Ok((key.value().to_vec(), value.value().to_vec()))
        };
        table.iter()?.map(copied).collect()
    }

    /// Returns the number of commits, including the one that created the database.
    pub(super) fn commits(&self) -> u64 {
        self.commits
    }

    /// Stores all changes, or none of them.
    pub(super) fn commit(&mut self, changes: &[Change]) -> io::Result<()> {
        self.try_commit(changes).map_err(|error| match error {
            redb::Error::Io(source) => source,
            error => io::Error::other(error),
        })?;
        self.commits += 1;
        Ok(())
    }

    fn try_commit(&self, changes: &[Change]) -> Result<(), redb::Error> {
        let transaction = self.redb.begin_write()?;
        {
            let mut entries = transaction.open_table(ENTRIES)?;
            for change in changes {
                let key = change.key().to_string();
                match change {
                    Change::Put { value, .. } => drop(entries.insert(key.as_bytes(), &value[..])?),
                    Change::Delete { .. } => drop(entries.remove(key.as_bytes())?),
                }
            }
            transaction.open_table(COMMITS)?.insert((), self.commits + 1)?;
        }
        transaction.commit().map_err(|error: CommitError| error.into())
    }

    pub(super) fn close(self) -> io::Result<()> {
        self.redb.close().map_err(|error| match error {
            DatabaseError::Storage(StorageError::Io(source)) => source,
            error => io::Error::other(error),
        })
    }
}

fn fault(error: DatabaseError) -> Fault {
    fault_of(error.into())
}

/// Returns the fault for an error that redb returned while it opened or read a file.
fn fault_of(error: redb::Error) -> Fault {
    match error {
        redb::Error::DatabaseAlreadyOpen => Fault::InUse,
        redb::Error::UpgradeRequired(found) => Fault::Format { file: DATABASE, found: found.into() },
        redb::Error::Io(source) if source.kind() != io::ErrorKind::InvalidData => {
            Fault::System { doing: format!("read {DATABASE}"), source }
        }
        error => Fault::Damaged { file: DATABASE, what: error.to_string() },
    }
}
