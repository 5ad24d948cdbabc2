//! The rules for creating, opening and refusing a journal.

use std::io;

use redb::StorageBackend as _;

use super::database::Database;
use super::error::{DATABASE, Fault, ID, LOCK};
use super::files::{Files, LockFile as _};
use super::identity::{Identity, Watermark};
use crate::record::{Change, MetaValue, State};
use crate::session::Epoch;

const NEW_DATABASE: &str = "turns.new";
const NEW_ID: &str = "id.new";
const OLD_DATABASE: &str = "turns.old";
const OLD_ID: &str = "id.old";

/// Files allowed in the directory of a new journal: remains of one whose creation or disposal was cut off,
/// and the folder in the root of every ext file system.
const HARMLESS: [&str; 6] = [LOCK, NEW_DATABASE, NEW_ID, OLD_DATABASE, OLD_ID, "lost+found"];

/// An open journal.
pub(super) struct Opened<F: Files> {
    // The database must be closed before the lock is released.
    database: Database,
    lock: F::Lock,
    epoch: Epoch,
    /// The entries that were read during opening, until they are taken.
    state: Option<State>,
    /// Whether a commit has failed.
    failed: bool,
}

impl<F: Files> Opened<F> {
    pub(super) fn open(files: F, fresh: Epoch) -> Result<Opened<F>, Fault> {
        let (lock, id) = begin(&files)?;
        match (id, has(&files, DATABASE)?) {
            (None, false) => begin_anew(files, lock, fresh),
            (Some(_), false) => Err(Fault::NoDatabase),
            (id, true) => open(&files, lock, id),
        }
    }

    pub(super) fn open_backup(files: F, fresh: Epoch) -> Result<Opened<F>, Fault> {
        let (mut lock, _) = begin(&files)?;
        if !has(&files, DATABASE)? {
            return Err(Fault::NoDatabase);
        }
        let (_, mut state) = look_at_database(&files)?;
        state.meta.epoch = fresh;
        write_anew(&files, &mut lock, &state)?;
        open(&files, lock, Some(fresh))
    }

    pub(super) fn discard(files: F, fresh: Epoch) -> Result<Opened<F>, Fault> {
        let lock = take_lock(&files)?;
        if has(&files, DATABASE)? {
            files.rename(DATABASE, OLD_DATABASE).map_err(Fault::system(format!("rename {DATABASE}")))?;
        }
        if has(&files, ID)? {
            files.rename(ID, OLD_ID).map_err(Fault::system(format!("rename {ID}")))?;
        }
        sync(&files)?;
        begin_anew(files, lock, fresh)
    }

    pub(super) fn import(files: F, state: &State) -> Result<Opened<F>, Fault> {
        let (mut lock, id) = begin(&files)?;
        match (id, has(&files, DATABASE)?) {
            (None, false) => {
                write_anew(&files, &mut lock, state)?;
                open(&files, lock, Some(state.meta.epoch))
            }
            _ => Err(Fault::NotEmpty),
        }
    }

    /// Returns all entries.
    pub(super) fn state(&mut self) -> Result<State, Fault> {
        match self.state.take() {
            Some(state) => Ok(state),
            None => self.database.read(),
        }
    }

    pub(super) fn commit(&mut self, changes: &[Change]) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier commit failed"));
        }
        self.failed = true;
        let stored = self.database.commit(changes);
        let commits = self.database.commits();
        let mark = Watermark { epoch: self.epoch, commits, has_failed: stored.is_err() };
        let marked = self.lock.write(mark.write().as_bytes());
        stored.and(marked)?;
        (self.failed, self.state) = (false, None);
        Ok(())
    }

    pub(super) fn close(self) -> io::Result<()> {
        self.database.close()
    }
}

/// Takes the lock and reads `id`.
fn begin<F: Files>(files: &F) -> Result<(F::Lock, Option<Epoch>), Fault> {
    let lock = take_lock(files)?;
    let id = files.read(ID).map_err(Fault::system(format!("read {ID}")))?;
    match id.map(|bytes| Identity::read(&bytes)) {
        None => Ok((lock, None)),
        Some(Identity::Ours(epoch)) => Ok((lock, Some(epoch))),
        Some(Identity::Format(found)) => Err(Fault::Format { file: ID, found }),
        Some(Identity::Foreign) => {
            Err(Fault::Damaged { file: ID, what: "it does not belong to a journal".to_owned() })
        }
    }
}

/// Takes the lock of a directory that is empty or has a journal.
fn take_lock<F: Files>(files: &F) -> Result<F::Lock, Fault> {
    let names = files.names().map_err(Fault::system("list the directory"))?;
    let is = |name: &str| names.iter().any(|found| found == name);
    if !is(ID) && !is(DATABASE) {
        let foreign = names.iter().find(|name| HARMLESS.iter().all(|harmless| name != harmless));
        if let Some(name) = foreign {
            return Err(Fault::Foreign(name.to_string_lossy().into_owned()));
        }
    }
    let lock = files.lock(LOCK).map_err(Fault::system(format!("lock {LOCK}")))?;
    let mut lock = lock.ok_or(Fault::InUse)?;
    let text = lock.read().map_err(Fault::system(format!("read {LOCK}")))?;
    // A torn write may leave any bytes, but not more of them.
    let is_foreign = text.len() > Watermark { epoch: Epoch(0), commits: 0, has_failed: true }.write().len();
    if is_foreign && !is(ID) && !is(DATABASE) {
        return Err(Fault::Foreign(LOCK.to_owned()));
    }
    Ok(lock)
}

fn has(files: &impl Files, file: &str) -> Result<bool, Fault> {
    let names = files.names().map_err(Fault::system("list the directory"))?;
    Ok(names.iter().any(|name| name == file))
}

/// Inspects the database. Returns its number of commits and its entries.
fn look_at_database(files: &impl Files) -> Result<(u64, State), Fault> {
    Database::look_at(backend(files)?)
}

fn backend<F: Files>(files: &F) -> Result<F::Backend, Fault> {
    files.backend(DATABASE, false).map_err(Fault::system(format!("open {DATABASE}")))
}

/// Opens the database of an accepted journal with this state.
///
/// A killed life leaves some of its last changes and file names in the system's caches. This life sees them,
/// but a power loss would revert them, so everything is made durable before it is used. After a failed sync
/// the next sync does not report what was lost, so everything is then written again.
fn trusted_database<F: Files>(
    files: &F,
    lock: &mut F::Lock,
    mark: Option<Watermark>,
    stored: u64,
    state: &State,
) -> Result<Database, Fault> {
    if mark.is_some_and(|mark| mark.has_failed) {
        write_anew(files, lock, state)?;
        return Database::open(backend(files)?);
    }
    sync(files)?;
    let backend = backend(files)?;
    if let Err(source) = backend.sync_data() {
        let mark = Watermark { epoch: state.meta.epoch, commits: stored, has_failed: true };
        let _ = lock.write(mark.write().as_bytes());
        return Err(Fault::System { doing: format!("sync {DATABASE}"), source });
    }
    Database::open(backend)
}

/// Opens an existing database if it has no fault.
fn open<F: Files>(files: &F, mut lock: F::Lock, id: Option<Epoch>) -> Result<Opened<F>, Fault> {
    let (stored, state) = look_at_database(files)?;
    let epoch = state.meta.epoch;
    match id {
        Some(id) if id != epoch => return Err(Fault::OtherEpoch { id, database: epoch }),
        // If only `id` is missing, the journal's creation was cut off before its last step.
        None if stored > 1 => return Err(Fault::NoId),
        Some(_) | None => {}
    }
    let text = lock.read().map_err(Fault::system(format!("read {LOCK}")))?;
    let mark = Watermark::read(&text).filter(|mark| mark.epoch == epoch);
    if let Some(mark) = mark.filter(|mark| mark.commits > stored) {
        return Err(Fault::Behind { stored, durable: mark.commits });
    }
    let database = trusted_database(files, &mut lock, mark, stored, &state)?;
    if id.is_none() {
        write_id(files, epoch)?;
    }
    Ok(Opened { database, lock, epoch, state: Some(state), failed: false })
}

fn begin_anew<F: Files>(files: F, mut lock: F::Lock, fresh: Epoch) -> Result<Opened<F>, Fault> {
    write_anew(&files, &mut lock, &State::new(MetaValue { epoch: fresh, forgotten_turn: 0 }))?;
    open(&files, lock, Some(fresh))
}

/// Creates the database under another name and renames it when it is complete, because a crash during redb's
/// creation leaves a file that does not open. `id` comes last, so that it never exists without its database.
fn write_anew<F: Files>(files: &F, lock: &mut F::Lock, state: &State) -> Result<(), Fault> {
    let making = || Fault::system(format!("make {NEW_DATABASE}"));
    let backend = files.backend(NEW_DATABASE, true).map_err(making())?;
    let database = Database::create(backend, state)?;
    let (epoch, commits) = (state.meta.epoch, database.commits());
    database.close().map_err(making())?;
    // The mark of an earlier life would contradict the new one. Until the new database is renamed, the old
    // one must not be trusted.
    let mut mark = |has_failed| {
        let mark = Watermark { epoch, commits, has_failed };
        let written = lock.write(mark.write().as_bytes()).and_then(|()| lock.sync());
        written.map_err(Fault::system(format!("write {LOCK}")))
    };
    mark(true)?;
    files.rename(NEW_DATABASE, DATABASE).map_err(Fault::system(format!("rename {NEW_DATABASE}")))?;
    sync(files)?;
    mark(false)?;
    write_id(files, epoch)
}

fn write_id(files: &impl Files, epoch: Epoch) -> Result<(), Fault> {
    let writing = || Fault::system(format!("write {ID}"));
    files.write(NEW_ID, Identity::write(epoch).as_bytes()).map_err(writing())?;
    files.rename(NEW_ID, ID).map_err(writing())?;
    sync(files)
}

fn sync(files: &impl Files) -> Result<(), Fault> {
    files.sync().map_err(Fault::system("sync the directory"))
}
