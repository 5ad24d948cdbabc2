//! The database of a journal: one redb table with the entries by key, and another with the number of commits.
//!
//! It is open for writing only while it is written to, so a killed process leaves it cleanly closed unless it
//! was killed during such a write.

use std::collections::BTreeMap;
use std::io;

use redb::{
    AccessGuard, Builder, CommitError, ReadableDatabase as _, ReadableTable as _, StorageBackend,
    StorageError, TableDefinition,
};

use super::error::{DATABASE, Fault};
use super::untouched::Untouched;
use crate::record::Change;

const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
const COMMITS: TableDefinition<'_, (), u64> = TableDefinition::new("commits");

/// Values by their keys, as they are stored.
pub(super) type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// A key and its value, borrowed from their pages.
type Entry<'t> = (AccessGuard<'t, &'static [u8]>, AccessGuard<'t, &'static [u8]>);

/// The memory that redb may use for pages, in bytes.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// Checks and reads a whole database. Returns its number of commits and its entries. The file does not
/// change, because redb makes its repairs in a copy.
pub(super) fn inspect(backend: impl StorageBackend) -> Result<(u64, Entries), Fault> {
    let backend = Untouched::new(backend).map_err(Fault::system(format!("read {DATABASE}")))?;
    if StorageBackend::len(&backend).map_err(Fault::system(format!("read {DATABASE}")))? == 0 {
        return Err(Fault::Empty);
    }
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    let redb = builder.create_with_backend(backend).map_err(|error| fault(error.into()))?;
    read(&redb).map_err(fault)
}

fn read(redb: &redb::Database) -> Result<(u64, Entries), redb::Error> {
    let transaction = redb.begin_read()?;
    let commits = transaction.open_table(COMMITS)?.get(())?.map_or(0, |commits| commits.value());
    let copied = |entry: Result<Entry<'_>, StorageError>| {
        let (key, value) = entry?;
        Ok((key.value().to_vec(), value.value().to_vec()))
    };
    let entries: Result<Entries, redb::Error> =
        transaction.open_table(ENTRIES)?.iter()?.map(copied).collect();
    Ok((commits, entries?))
}

/// Stores all changes durably, or none of them, and with them the number of commits. Creates a database in an
/// empty file.
pub(super) fn store(backend: impl StorageBackend, commits: u64, changes: &[Change]) -> io::Result<()> {
    let stored = || -> Result<(), redb::Error> {
        let redb = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend)?;
        write_changes(&redb, commits, changes)?;
        Ok(redb.close()?)
    };
    stored().map_err(|error| match error {
        redb::Error::Io(source) => source,
        error => io::Error::other(error),
    })
}

fn write_changes(redb: &redb::Database, commits: u64, changes: &[Change]) -> Result<(), redb::Error> {
    let transaction = redb.begin_write()?;
    {
        let mut entries = transaction.open_table(ENTRIES)?;
        for change in changes {
            let key = change.key().to_string();
            match change {
                Change::Put { value, .. } => drop(entries.insert(key.as_bytes(), &value[..])?),
                Change::Delete { .. } => drop(entries.remove(key.as_bytes())?),
            }
        }
        transaction.open_table(COMMITS)?.insert((), commits)?;
    }
    transaction.commit().map_err(|error: CommitError| error.into())
}

/// Returns the fault for an error that redb returned while it opened or read a file.
fn fault(error: redb::Error) -> Fault {
    match error {
        redb::Error::DatabaseAlreadyOpen => Fault::InUse,
        redb::Error::UpgradeRequired(found) => Fault::Format { file: DATABASE, found: found.into() },
        redb::Error::Io(source) if source.kind() != io::ErrorKind::InvalidData => {
            Fault::System { doing: format!("read {DATABASE}"), source }
        }
        error => Fault::Damaged { file: DATABASE, what: error.to_string() },
    }
}
