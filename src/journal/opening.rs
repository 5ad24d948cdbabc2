//! The rules for creating, opening and refusing a journal.

use std::io;

use redb::StorageBackend as _;

use super::database;
use super::error::{DATABASE, Fault, ID, LOCK, LOG};
use super::files::{Files, LockFile};
use super::identity::{Identity, Watermark};
use super::log::{self, Log, Replay};
use crate::record::{Change, Key, MetaValue, Pending, Record, State};
use crate::session::Epoch;

const NEW_DATABASE: &str = "turns.new";
const NEW_LOG: &str = "log.new";
const NEW_ID: &str = "id.new";
const OLD_DATABASE: &str = "turns.old";
const OLD_LOG: &str = "log.old";
const OLD_ID: &str = "id.old";

/// Files allowed in the directory of a new journal: remains of one whose creation or disposal was cut off,
/// and the folder in the root of every ext file system.
const HARMLESS: [&str; 8] =
    [LOCK, NEW_DATABASE, NEW_LOG, NEW_ID, OLD_DATABASE, OLD_LOG, OLD_ID, "lost+found"];

/// An open journal.
pub(super) struct Opened<F: Files> {
    files: F,
    log: Log<F::Backend>,
    lock: F::Lock,
    epoch: Epoch,
    /// The number of the last commit.
    commits: u64,
    /// The changes of all commits that the database lacks.
    pending: Pending,
    /// The size of the database in bytes. The log's is never asked for: after a `stat`, Linux gives the next
    /// write its own time stamp, and the sync after it takes 0.1 ms longer.
    database_bytes: u64,
    /// The entries that were read during opening, until they are taken.
    state: Option<State>,
    /// Whether a commit has failed.
    failed: bool,
}

impl<F: Files> Opened<F> {
    pub(super) fn open(files: F, fresh: Epoch) -> Result<Opened<F>, Fault> {
        let (lock, id) = begin(&files)?;
        if id.is_none() && is_new(&files)? { create(files, lock, fresh) } else { open(files, lock, id) }
    }

    pub(super) fn open_backup(files: F, fresh: Epoch) -> Result<Opened<F>, Fault> {
        let (mut lock, id) = begin(&files)?;
        let Found { mut state, commits, .. } = look(&files, id, Trust::Backup)?;
        state.meta.epoch = fresh;
        write_journal(&files, &mut lock, &state, commits)?;
        open(files, lock, Some(fresh))
    }

    pub(super) fn discard(files: F, fresh: Epoch) -> Result<Opened<F>, Fault> {
        let lock = take_lock(&files)?;
        for (name, old) in [(DATABASE, OLD_DATABASE), (LOG, OLD_LOG), (ID, OLD_ID)] {
            if has(&files, name)? {
                files.rename(name, old).map_err(Fault::system(format!("rename {name}")))?;
            }
        }
        sync(&files)?;
        create(files, lock, fresh)
    }

    pub(super) fn import(files: F, state: &State) -> Result<Opened<F>, Fault> {
        let (mut lock, id) = begin(&files)?;
        if id.is_some() || !is_new(&files)? {
            return Err(Fault::NotEmpty);
        }
        write_journal(&files, &mut lock, state, 0)?;
        open(files, lock, Some(state.meta.epoch))
    }

    /// Returns all entries.
    pub(super) fn state(&mut self) -> Result<State, Fault> {
        match self.state.take() {
            Some(state) => Ok(state),
            None => Ok(look(&self.files, Some(self.epoch), Trust::Whole)?.state),
        }
    }

    pub(super) fn commit(&mut self, changes: Vec<Change>) -> io::Result<()> {
        let number = self.commits + 1;
        self.attempt(number, |this| {
            let is_in_log = this.log.append(number, &changes)?;
            this.pending.merge(Record { seq: number, changes });
            if is_in_log { Ok(()) } else { this.fold() }
        })
    }

    /// Returns the size of the database and the log.
    pub(super) fn bytes(&self) -> u64 {
        self.database_bytes + F::LOG_BYTES as u64
    }

    pub(super) fn close(mut self) -> io::Result<()> {
        self.attempt(self.commits, Opened::fold)
    }

    /// Stores everything that the database lacks, and lets the log start over. Only the next commit
    /// overwrites the log, so a fold that is cut off has changed nothing.
    fn fold(&mut self) -> io::Result<()> {
        if let Some(Record { seq, changes }) = self.pending.take() {
            database::store(self.files.backend(DATABASE, false)?, seq, &changes)?;
            // The size is only shown, so a failure does not matter.
            let bytes = self.files.backend(DATABASE, false).and_then(|file| file.len());
            self.database_bytes = bytes.unwrap_or(self.database_bytes);
            self.log.begin_again();
        }
        Ok(())
    }

    /// Calls `store`, after which there are this many commits. Refuses if a call has failed before.
    fn attempt(&mut self, commits: u64, store: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier commit failed"));
        }
        self.failed = true;
        let stored = store(self);
        let has_failed = stored.is_err();
        let mark = if has_failed { self.commits } else { commits };
        let mark = Watermark { epoch: self.epoch, commits: mark, has_failed };
        stored.and(self.lock.write(mark.write().as_bytes()))?;
        (self.failed, self.state, self.commits) = (false, None, commits);
        Ok(())
    }
}

/// Reads all entries of a journal without changing it.
pub(super) fn read(files: &impl Files) -> Result<State, Fault> {
    let (mut lock, id) = begin(files)?;
    let found = look(files, id, Trust::Whole)?;
    watermark(&mut lock, &found)?;
    Ok(found.state)
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
    let is_ours = is(ID) || is(DATABASE) || is(LOG);
    if !is_ours {
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
    if is_foreign && !is_ours {
        return Err(Fault::Foreign(LOCK.to_owned()));
    }
    Ok(lock)
}

fn has(files: &impl Files, file: &str) -> Result<bool, Fault> {
    let names = files.names().map_err(Fault::system("list the directory"))?;
    Ok(names.iter().any(|name| name == file))
}

fn is_new(files: &impl Files) -> Result<bool, Fault> {
    Ok(!has(files, DATABASE)? && !has(files, LOG)?)
}

fn backend<F: Files>(files: &F, name: &str) -> Result<F::Backend, Fault> {
    files.backend(name, false).map_err(Fault::system(format!("open {name}")))
}

/// The requirements for the files of a journal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// All of them belong together.
    Whole,
    /// They are a backup: `id` does not matter, and a log that is missing or belongs to another life is
    /// ignored.
    Backup,
}

/// The contents of a journal.
struct Found {
    state: State,
    commits: u64,
    /// The commits that the database lacks.
    records: Vec<Record>,
    /// Where the next frame goes in the log.
    at: u64,
}

/// Reads the database and the log, and changes neither.
fn look<F: Files>(files: &F, id: Option<Epoch>, trust: Trust) -> Result<Found, Fault> {
    if !has(files, DATABASE)? {
        return Err(Fault::Missing(DATABASE));
    }
    let (stored, mut entries) = database::inspect(backend(files, DATABASE)?)?;
    let meta = Key::Meta.to_string();
    let epoch = state_of(entries.get_key_value(meta.as_bytes()))?.meta.epoch;
    let is_of = |file, found| match id.unwrap_or(epoch) {
        id if trust == Trust::Whole && id != found => Err(Fault::OtherEpoch { file, found, id }),
        _ => Ok(()),
    };
    is_of(DATABASE, epoch)?;
    let log = files.read(LOG).map_err(Fault::system(format!("read {LOG}")))?;
    let Replay { commits, records, at } = match log {
        Some(log) => {
            let found = log::epoch(&log, F::LOG_BYTES)?;
            is_of(LOG, found)?;
            if found == epoch { log::replay(&log, epoch, stored)? } else { Replay::nothing(stored) }
        }
        None if id.is_some() && trust == Trust::Whole => return Err(Fault::Missing(LOG)),
        None => Replay::nothing(stored),
    };
    // If only `id` is missing, the journal's creation was cut off before its last step.
    if id.is_none() && trust == Trust::Whole && commits > 0 {
        return Err(Fault::NoId);
    }
    for change in records.iter().flat_map(|record| &record.changes) {
        let key = change.key().to_string().into_bytes();
        match change {
            Change::Put { value, .. } => drop(entries.insert(key, value.clone())),
            Change::Delete { .. } => drop(entries.remove(&key)),
        }
    }
    Ok(Found { state: state_of(&entries)?, commits, records, at })
}

fn state_of<'e>(entries: impl IntoIterator<Item = (&'e Vec<u8>, &'e Vec<u8>)>) -> Result<State, Fault> {
    State::read(entries.into_iter().map(|(key, value)| (&key[..], &value[..]))).map_err(Fault::Entry)
}

/// Returns the mark in `lock` if it belongs to this life. Refuses a journal that lacks a commit.
fn watermark(lock: &mut impl LockFile, found: &Found) -> Result<Option<Watermark>, Fault> {
    let text = lock.read().map_err(Fault::system(format!("read {LOCK}")))?;
    match Watermark::read(&text).filter(|mark| mark.epoch == found.state.meta.epoch) {
        Some(mark) if mark.commits > found.commits => {
            Err(Fault::Behind { stored: found.commits, durable: mark.commits })
        }
        mark => Ok(mark),
    }
}

/// Opens an existing journal if it has no fault.
fn open<F: Files>(files: F, mut lock: F::Lock, id: Option<Epoch>) -> Result<Opened<F>, Fault> {
    let mut found = look(&files, id, Trust::Whole)?;
    let has_failed = watermark(&mut lock, &found)?.is_some_and(|mark| mark.has_failed);
    let (epoch, commits) = (found.state.meta.epoch, found.commits);
    // After a failed sync the next one does not report what was lost, so everything is written again.
    if has_failed || id.is_none() {
        write_journal(&files, &mut lock, &found.state, commits)?;
        (found.records, found.at) = (Vec::new(), Replay::nothing(commits).at);
    }
    let log = trusted_log(&files, epoch, found.at).inspect_err(|_| {
        let mark = Watermark { epoch, commits, has_failed: true };
        let _ = lock.write(mark.write().as_bytes());
    })?;
    let mut pending = Pending::default();
    found.records.into_iter().for_each(|record| pending.merge(record));
    let database_bytes =
        backend(&files, DATABASE)?.len().map_err(Fault::system(format!("read {DATABASE}")))?;
    let state = Some(found.state);
    Ok(Opened { files, log, lock, epoch, commits, pending, database_bytes, state, failed: false })
}

/// Opens the log of an accepted journal.
///
/// A killed life leaves some of its last changes and file names in the system's caches. This life sees them,
/// but a power loss would revert them, so everything is made durable before it is used. The database comes
/// first: it may have commits that are durable only in the log, where the next frame overwrites them.
fn trusted_log<F: Files>(files: &F, epoch: Epoch, at: u64) -> Result<Log<F::Backend>, Fault> {
    sync(files)?;
    backend(files, DATABASE)?.sync_data().map_err(Fault::system(format!("sync {DATABASE}")))?;
    let log = Log::open(backend(files, LOG)?, epoch, at).map_err(Fault::system(format!("sync {LOG}")))?;
    // It was read or written in one piece, so Linux caches it in large pieces. A write of one page would then
    // visit all pages of its piece, and a commit would take a tenth longer.
    let _ = files.uncache(LOG);
    Ok(log)
}

fn create<F: Files>(files: F, mut lock: F::Lock, fresh: Epoch) -> Result<Opened<F>, Fault> {
    write_journal(&files, &mut lock, &State::new(MetaValue { epoch: fresh, forgotten_turn: 0 }), 0)?;
    open(files, lock, Some(fresh))
}

/// Creates a journal of this state and number of commits. Its files are created under other names and renamed
/// when they are complete, because a crash during redb's creation leaves a file that does not open.
///
/// The order of the renames leaves a complete journal at any point: the new database has all commits, so the
/// old log adds nothing to it. `id` comes last, so that it never exists without them.
fn write_journal<F: Files>(files: &F, lock: &mut F::Lock, state: &State, commits: u64) -> Result<(), Fault> {
    let making = |name| Fault::system(format!("make {name}"));
    let epoch = state.meta.epoch;
    let log = files.backend(NEW_LOG, true).and_then(|file| Log::create(&file, F::LOG_BYTES, epoch));
    log.map_err(making(NEW_LOG))?;
    let database = files.backend(NEW_DATABASE, true);
    let database = database.and_then(|file| database::store(file, commits, &state.puts()));
    database.map_err(making(NEW_DATABASE))?;
    // The mark of an earlier life would contradict the new one. Until the new files are renamed, the old ones
    // must not be trusted.
    let mut mark = |has_failed| {
        let mark = Watermark { epoch, commits, has_failed };
        let written = lock.write(mark.write().as_bytes()).and_then(|()| lock.sync());
        written.map_err(Fault::system(format!("write {LOCK}")))
    };
    mark(true)?;
    for (new, name) in [(NEW_DATABASE, DATABASE), (NEW_LOG, LOG)] {
        files.rename(new, name).map_err(Fault::system(format!("rename {new}")))?;
        sync(files)?;
    }
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
