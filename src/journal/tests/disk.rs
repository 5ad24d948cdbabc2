//! A disk that loses power. It keeps any part of the unsynced changes, in any order, down to parts of a
//! sector.

#![allow(clippy::disallowed_types, reason = "redb wants a backend that threads may share")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use fastrand::Rng;
use redb::StorageBackend;

use crate::journal::files::{Files, LockFile};
use crate::journal::log::PAGE;

/// The error number of a disk without room.
pub(super) const ENOSPC: i32 = 28;

/// The error number of a disk that fails.
pub(super) const EIO: i32 = 5;

/// The number of bytes that the disk writes as a unit, unless the write is torn.
const SECTOR: usize = 512;

/// A directory on such a disk. Clones share it.
#[derive(Clone)]
pub(super) struct Disk(Arc<Mutex<Platter>>);

#[derive(Clone, Default)]
struct Platter {
    files: Vec<Content>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Names that were created or changed but not synced, in order.
    unsynced_names: Vec<Naming>,
    /// The number of changes until the power is lost.
    fuse: Option<usize>,
    dark: bool,
    /// Whether it claims to sync without doing so.
    lies: bool,
    /// The number of syncs until one fails. Later ones succeed.
    failing_sync: Option<usize>,
    /// The number of writes until one fails. Later ones succeed.
    failing_write: Option<usize>,
    /// The number of syncs and writes that were tried.
    tries: usize,
}

#[derive(Clone, Default)]
struct Content {
    durable: Vec<u8>,
    current: Vec<u8>,
    /// In order of time.
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Clone)]
enum Naming {
    Link(String, usize),
    Rename(String, String),
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Naming::Link(name, file) => drop(names.insert(name.clone(), *file)),
            Naming::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}

impl Content {
    fn change(&mut self, change: Change) {
        apply(&change, &mut self.current);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        self.unsynced.drain(..).for_each(|change| apply(&change, &mut self.durable));
    }

    /// Behaves like Linux: data that could not be written counts as written, and the next sync succeeds.
    fn fail_to_sync(&mut self) {
        self.unsynced.clear();
    }

    /// Loses power. Each sector of each change is kept, lost or torn, and a file may have any length that it
    /// had.
    fn lose(&mut self, rng: &mut Rng) {
        // Percentages of lost and torn sectors: sometimes nearly all, sometimes nearly none.
        let lost = *rng.choice(&[0, 2, 50, 98, 100]).expect("some");
        let torn = *rng.choice(&[0, 0, 5, 50]).expect("some");
        let mut image = self.durable.clone();
        let mut lengths = vec![image.len()];
        for change in &self.unsynced {
            let (offset, bytes) = match change {
                Change::Length(length) => {
                    lengths.push(*length);
                    continue;
                }
                Change::Write { offset, bytes } => (offset, bytes),
            };
            let (mut from, end) = (*offset, offset + bytes.len());
            image.resize(image.len().max(end), 0);
            while from < end {
                let to = end.min((from / SECTOR + 1) * SECTOR);
                let part = &bytes[from - offset..to - offset];
                let kept = match rng.usize(..100) {
                    dice if dice < lost => 0,
                    _ if rng.usize(..100) < torn => rng.usize(..=part.len()),
                    _ => part.len(),
                };
                image[from..from + kept].copy_from_slice(&part[..kept]);
                from = to;
            }
            lengths.push(lengths.last().copied().unwrap_or(0).max(end));
        }
        let length = match rng.u8(..3) {
            0 => *rng.choice(&lengths).expect("some"),
            _ => *lengths.last().expect("some"),
        };
        image.resize(length, 0);
        (self.current, self.durable) = (image.clone(), image);
        self.unsynced.clear();
    }
}

fn apply(change: &Change, to: &mut Vec<u8>) {
    match change {
        Change::Length(length) => to.resize(*length, 0),
        Change::Write { offset, bytes } => {
            let end = offset + bytes.len();
            to.resize(to.len().max(end), 0);
            to[*offset..end].copy_from_slice(bytes);
        }
    }
}

fn dark() -> io::Error {
    io::Error::other("the power is lost")
}

/// Counts down. Returns whether it has come to the end just now.
fn counts_down(left: &mut Option<usize>) -> bool {
    let Some(now) = *left else { return false };
    *left = now.checked_sub(1);
    now == 0
}

impl Platter {
    /// Counts a change that is about to happen.
    fn tick(&mut self) -> io::Result<()> {
        self.check_power()?;
        if let Some(left) = &mut self.fuse {
            match left.checked_sub(1) {
                Some(less) => *left = less,
                None => self.dark = true,
            }
        }
        Ok(())
    }

    fn check_power(&self) -> io::Result<()> {
        if self.dark { Err(dark()) } else { Ok(()) }
    }

    /// The change during which the power is lost may itself be kept, lost or torn. A write that fails leaves
    /// its first half.
    fn change(&mut self, file: usize, mut change: Change) -> io::Result<()> {
        self.tick()?;
        self.tries += 1;
        if counts_down(&mut self.failing_write) {
            if let Change::Write { bytes, .. } = &mut change {
                bytes.truncate(bytes.len() / 2);
                self.files[file].change(change);
            }
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        self.files[file].change(change);
        self.check_power()
    }

    fn sync(&mut self, file: usize) -> io::Result<()> {
        self.tick()?;
        self.check_power()?;
        self.tries += 1;
        if counts_down(&mut self.failing_sync) {
            self.files[file].fail_to_sync();
            return Err(io::Error::from_raw_os_error(EIO));
        }
        if !self.lies {
            self.files[file].sync();
        }
        Ok(())
    }

    fn name(&mut self, naming: Naming) -> io::Result<()> {
        self.tick()?;
        naming.apply(&mut self.names);
        self.unsynced_names.push(naming);
        self.check_power()
    }

    fn make(&mut self, name: &str) -> io::Result<usize> {
        self.files.push(Content::default());
        let file = self.files.len() - 1;
        self.name(Naming::Link(name.to_owned(), file))?;
        Ok(file)
    }
}

impl Disk {
    pub(super) fn new() -> Disk {
        Disk(Arc::default())
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Makes the power fail after this many changes.
    pub(super) fn set_fuse(&self, changes: usize) {
        self.platter().fuse = Some(changes);
    }

    pub(super) fn lie(&self) {
        self.platter().lies = true;
    }

    /// Makes one sync fail, after this many others.
    pub(super) fn fail_sync(&self, after: usize) {
        self.platter().failing_sync = Some(after);
    }

    /// Makes one write fail, after this many.
    pub(super) fn fail_write(&self, after: usize) {
        self.platter().failing_write = Some(after);
    }

    /// Returns the number of syncs and writes that were tried.
    pub(super) fn tries(&self) -> usize {
        self.platter().tries
    }

    pub(super) fn is_dark(&self) -> bool {
        self.platter().dark
    }

    /// Kills the process: nothing more is written, and nothing is lost.
    pub(super) fn kill(&self) {
        self.platter().dark = true;
    }

    /// Returns the disk after the process was killed.
    pub(super) fn after_kill(&self) -> Disk {
        let mut platter = self.platter().clone();
        (platter.fuse, platter.dark) = (None, false);
        (platter.failing_sync, platter.failing_write) = (None, None);
        Disk(Arc::new(Mutex::new(platter)))
    }

    /// Returns the disk some time after the process was killed: the caches have kept only some of the pages
    /// that a failed sync could not write.
    pub(super) fn after_failure(&self, rng: &mut Rng) -> Disk {
        let disk = self.after_kill();
        let mut platter = disk.platter();
        for file in &mut platter.files {
            // A failed sync is what empties `unsynced` while `current` and `durable` differ.
            let is_clean = file.unsynced.is_empty();
            let kept = *rng.choice(&[0, 50, 100, 100]).expect("some");
            for from in (0..file.current.len().min(file.durable.len())).step_by(PAGE) {
                let to = (from + PAGE).min(file.current.len()).min(file.durable.len());
                if is_clean && rng.usize(..100) >= kept {
                    file.current[from..to].copy_from_slice(&file.durable[from..to]);
                }
            }
        }
        drop(platter);
        disk
    }

    /// Returns the disk after a power loss.
    pub(super) fn after_loss(&self, rng: &mut Rng) -> Disk {
        let disk = self.after_kill();
        let mut platter = disk.platter();
        // Names are in the file system's own journal, which preserves their order.
        let kept = rng.usize(..=platter.unsynced_names.len());
        let mut names = std::mem::take(&mut platter.durable_names);
        platter.unsynced_names.drain(..).take(kept).for_each(|naming| naming.apply(&mut names));
        (platter.names, platter.durable_names) = (names.clone(), names);
        platter.files.iter_mut().for_each(|file| file.lose(rng));
        drop(platter);
        disk
    }

    /// Returns the names and lengths of the files.
    pub(super) fn lengths(&self) -> Vec<(String, usize)> {
        let platter = self.platter();
        platter.names.iter().map(|(name, &file)| (name.clone(), platter.files[file].current.len())).collect()
    }

    /// Returns the disk with one byte changed.
    pub(super) fn with_flip(&self, name: &str, at: usize, mask: u8) -> Disk {
        self.with_damage(name, |bytes| bytes[at] ^= mask)
    }

    /// Returns the disk with one file damaged.
    pub(super) fn with_damage(&self, name: &str, damage: impl FnOnce(&mut Vec<u8>)) -> Disk {
        let disk = self.after_kill();
        let mut platter = disk.platter();
        let file = platter.names[name];
        damage(&mut platter.files[file].current);
        drop(platter);
        disk
    }

    fn open(&self, file: usize) -> SimulatedFile {
        SimulatedFile { disk: self.clone(), file }
    }
}

impl Files for Disk {
    type Lock = SimulatedFile;
    type Backend = SimulatedFile;

    /// Small, so that the database is written to every few commits.
    const LOG_BYTES: usize = 6 * PAGE;

    fn names(&self) -> io::Result<Vec<OsString>> {
        self.platter().check_power()?;
        Ok(self.platter().names.keys().map(OsString::from).collect())
    }

    fn lock(&self, name: &str) -> io::Result<Option<SimulatedFile>> {
        let mut platter = self.platter();
        let file = match platter.names.get(name) {
            Some(&file) => file,
            None => platter.make(name)?,
        };
        drop(platter);
        Ok(Some(self.open(file)))
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let platter = self.platter();
        platter.check_power()?;
        Ok(platter.names.get(name).map(|&file| platter.files[file].current.clone()))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut platter = self.platter();
        let file = platter.make(name)?;
        platter.change(file, Change::Write { offset: 0, bytes: bytes.to_vec() })?;
        platter.sync(file)
    }

    fn backend(&self, name: &str, replace: bool) -> io::Result<SimulatedFile> {
        let mut platter = self.platter();
        platter.check_power()?;
        let file = if replace { platter.make(name)? } else { platter.names[name] };
        drop(platter);
        Ok(self.open(file))
    }

    fn uncache(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.platter().name(Naming::Rename(from.to_owned(), to.to_owned()))
    }

    fn sync(&self) -> io::Result<()> {
        let mut platter = self.platter();
        platter.tick()?;
        platter.check_power()?;
        if !platter.lies {
            platter.durable_names = platter.names.clone();
            platter.unsynced_names.clear();
        }
        Ok(())
    }
}

/// A file on such a disk.
pub(super) struct SimulatedFile {
    disk: Disk,
    file: usize,
}

impl fmt::Debug for SimulatedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimulatedFile({})", self.file)
    }
}

impl LockFile for SimulatedFile {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let platter = self.disk.platter();
        platter.check_power()?;
        Ok(platter.files[self.file].current.clone())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.platter().change(self.file, Change::Write { offset: 0, bytes: bytes.to_vec() })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.platter().sync(self.file)
    }
}

impl StorageBackend for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        let platter = self.disk.platter();
        platter.check_power()?;
        Ok(platter.files[self.file].current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.disk.platter();
        platter.check_power()?;
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = platter.files[self.file].current.get(from..).and_then(|rest| rest.get(..out.len()));
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.disk.platter().change(self.file, Change::Length(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.platter().sync(self.file)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.disk.platter().change(self.file, Change::Write { offset, bytes: bytes.to_vec() })
    }
}
