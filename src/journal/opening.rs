//! The rules by which a journal is made, opened and refused.

use std::io;

use redb::StorageBackend as _;

use super::database::Database;
use super::error::{DATABASE, Fault, ID, LOCK};
use super::files::{Files, LockFile as _};
use super::identity::{Identity, Watermark};
use crate::record::{Change, Key, MetaValue, State};
use crate::session::Epoch;

const NEW_DATABASE: &str = "turns.new";
const NEW_ID: &str = "id.new";
const OLD_DATABASE: &str = "turns.old";
const OLD_ID: &str = "id.old";

/// Files that may stand in the directory of a new journal: what is left of one that was cut off while it was made or discarded, and
/// the folder that every file system of the ext family begins with.
const HARMLESS: [&str; 6] = [LOCK, NEW_DATABASE, NEW_ID, OLD_DATABASE, OLD_ID, "lost+found"];

/// A journal that is open.
pub(super) struct Opened<F: Files> {
    // The database is closed before the lock is given back.
    database: Database,
    lock: F::Lock,
    epoch: Epoch,
    /// What was read when it was opened, until it is asked for.
    state: Option<State>,
    /// A commit has failed.
    failed: bool,
}

impl<F: Files> Opened<F> {
    pub(super) fn open(files: F, fresh: Epoch) -> Result<Opened<F>, Fault> {
        let (lock, id) = begin(&files)?;
        match (id, has(&files, DATABASE)?) {
            (None, false) => create(&files, lock, &State::new(MetaValue { epoch: fresh, forgotten_turn: 0 })),
            (Some(_), false) => Err(Fault::NoDatabase),
            (id, true) => open(&files, lock, id),
        }
    }

    pub(super) fn open_backup(files: F, fresh: Epoch) -> Result<Opened<F>, Fault> {
        let (lock, _) = begin(&files)?;
        if !has(&files, DATABASE)? {
            return Err(Fault::NoDatabase);
        }
        let (_, mut state) = look_at_database(&files)?;
        state.meta.epoch = fresh;
        let database = open_database(&files)?;
        let mut opened = Opened { database, lock, epoch: fresh, state: None, failed: false };
        let meta = [Change::Put { key: Key::Meta, value: state.meta.encode() }];
        opened.commit(&meta).map_err(Fault::system(format!("write {DATABASE}")))?;
        write_id(&files, fresh)?;
        opened.state = Some(state);
        Ok(opened)
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
        create(&files, lock, &State::new(MetaValue { epoch: fresh, forgotten_turn: 0 }))
    }

    pub(super) fn import(files: F, state: &State) -> Result<Opened<F>, Fault> {
        let (lock, id) = begin(&files)?;
        match (id, has(&files, DATABASE)?) {
            (None, false) => create(&files, lock, state),
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
            return Err(io::Error::other("a commit has failed before"));
        }
        self.failed = true;
        self.database.commit(changes)?;
        let mark = Watermark { epoch: self.epoch, commits: self.database.commits() };
        self.lock.write(mark.write().as_bytes())?;
        (self.failed, self.state) = (false, None);
        Ok(())
    }

    pub(super) fn close(self) -> io::Result<()> {
        self.database.close()
    }
}

/// Takes the lock, and reads `id`.
fn begin<F: Files>(files: &F) -> Result<(F::Lock, Option<Epoch>), Fault> {
    let lock = take_lock(files)?;
    let id = files.read(ID).map_err(Fault::system(format!("read {ID}")))?;
    match id.map(|bytes| Identity::read(&bytes)) {
        None => Ok((lock, None)),
        Some(Identity::Ours(epoch)) => Ok((lock, Some(epoch))),
        Some(Identity::Format(found)) => Err(Fault::Format { file: ID, found }),
        Some(Identity::Foreign) => {
            Err(Fault::Damaged { file: ID, what: "it is not that of a journal".to_owned() })
        }
    }
}

/// Takes the lock, of a directory that is a journal's or nobody's.
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
    // A torn write may have left anything, but nothing longer.
    let is_foreign = text.len() > Watermark { epoch: Epoch(0), commits: 0 }.write().len();
    if is_foreign && !is(ID) && !is(DATABASE) {
        return Err(Fault::Foreign(LOCK.to_owned()));
    }
    Ok(lock)
}

fn has(files: &impl Files, file: &str) -> Result<bool, Fault> {
    let names = files.names().map_err(Fault::system("list the directory"))?;
    Ok(names.iter().any(|name| name == file))
}

/// Looks at the database: how many commits it has, and its entries.
fn look_at_database(files: &impl Files) -> Result<(u64, State), Fault> {
    Database::look_at(backend(files)?)
}

fn backend<F: Files>(files: &F) -> Result<F::Backend, Fault> {
    files.backend(DATABASE, false).map_err(Fault::system(format!("open {DATABASE}")))
}

/// Opens the database of a journal that is not refused.
///
/// A life that was killed has left some of its last changes, and names of files, to the caches of the system: this life sees them, and a
/// loss of power would take them back. So all of it becomes durable before anything is told from it.
fn open_database(files: &impl Files) -> Result<Database, Fault> {
    sync(files)?;
    let backend = backend(files)?;
    backend.sync_data().map_err(Fault::system(format!("sync {DATABASE}")))?;
    Database::open(backend)
}

/// Opens a database that is there, if nothing is wrong with it.
fn open<F: Files>(files: &F, mut lock: F::Lock, id: Option<Epoch>) -> Result<Opened<F>, Fault> {
    let (stored, state) = look_at_database(files)?;
    let epoch = state.meta.epoch;
    match id {
        Some(id) if id != epoch => return Err(Fault::OtherEpoch { id, database: epoch }),
        // Without an `id`, its making was cut off after the last step but one.
        None if stored > 1 => return Err(Fault::NoId),
        Some(_) | None => {}
    }
    let text = lock.read().map_err(Fault::system(format!("read {LOCK}")))?;
    match Watermark::read(&text) {
        Some(mark) if mark.epoch == epoch && mark.commits > stored => {
            return Err(Fault::Behind { stored, durable: mark.commits });
        }
        _ => {}
    }
    if id.is_none() {
        write_id(files, epoch)?;
    }
    let database = open_database(files)?;
    Ok(Opened { database, lock, epoch, state: Some(state), failed: false })
}

/// Makes a database under another name, and gives it its own when it is whole: a crash while redb makes one leaves a file that does not
/// open. `id` comes last, so that no `id` is ever there without its database.
fn create<F: Files>(files: &F, mut lock: F::Lock, state: &State) -> Result<Opened<F>, Fault> {
    let making = || Fault::system(format!("make {NEW_DATABASE}"));
    let backend = files.backend(NEW_DATABASE, true).map_err(making())?;
    let database = Database::create(backend, state)?;
    let mark = Watermark { epoch: state.meta.epoch, commits: database.commits() };
    database.close().map_err(making())?;
    // What an earlier life has left there would contradict the new one.
    lock.write(mark.write().as_bytes())
        .and_then(|()| lock.sync())
        .map_err(Fault::system(format!("write {LOCK}")))?;
    files.rename(NEW_DATABASE, DATABASE).map_err(Fault::system(format!("rename {NEW_DATABASE}")))?;
    sync(files)?;
    write_id(files, state.meta.epoch)?;
    open(files, lock, Some(state.meta.epoch))
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
