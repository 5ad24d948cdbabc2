//! The directory of a journal: its files by name, and its lock. This is a trait so that tests can cut the
//! power of a simulated disk.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use redb::backends::FileBackend;
use redb::{DatabaseError, StorageBackend};

/// Operations on the directory of a journal.
pub(super) trait Files {
    type Lock: LockFile;
    type Backend: StorageBackend;

    /// The length of a log: a whole number of pages.
    const LOG_BYTES: usize;

    /// Returns the names of all files.
    fn names(&self) -> io::Result<Vec<OsString>>;

    /// Locks the directory through its file `name`. Returns `None` if another process has locked it.
    fn lock(&self, name: &str) -> io::Result<Option<Self::Lock>>;

    /// Returns the contents of a file, at most one byte more than a log has; `None` if there is no such file.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Creates or replaces a file with these contents, and syncs it.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Opens a file for a log or a database. With `replace`, any earlier file is replaced by an empty one.
    fn backend(&self, name: &str, replace: bool) -> io::Result<Self::Backend>;

    /// Drops a synced file from the system's caches.
    fn uncache(&self, name: &str) -> io::Result<()>;

    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes all created, renamed and removed names durable.
    fn sync(&self) -> io::Result<()>;
}

/// The lock file, which stays locked for as long as this value exists, and its short contents.
pub(super) trait LockFile: Send + 'static {
    fn read(&mut self) -> io::Result<Vec<u8>>;

    /// Overwrites its beginning, without a sync.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    fn sync(&mut self) -> io::Result<()>;
}

/// A lock is tried six times, for 50 ms in all. A child of this process that has not executed its program yet
/// still has each of its files, and so the locks that were just released.
const LOCK_RETRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Calls `lock` until it returns a value.
fn lock_patiently<T>(mut lock: impl FnMut() -> io::Result<Option<T>>) -> io::Result<Option<T>> {
    for _ in 0..LOCK_RETRIES {
        if let Some(locked) = lock()? {
            return Ok(Some(locked));
        }
        #[expect(clippy::disallowed_methods, reason = "no loop waits for it: it opens or folds a journal")]
        std::thread::sleep(LOCK_PAUSE);
    }
    lock()
}

/// A directory in the file system.
#[derive(Debug, Clone)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Opens the directory at `path`, and creates it if its parent exists.
    pub(super) fn new(path: &Path) -> io::Result<Directory> {
        let sync_name = || sync_directory(path.parent().filter(|above| !above.as_os_str().is_empty()));
        match fs::create_dir(path) {
            Ok(()) => sync_name()?,
            // It may have been created just now by a user who denies this process access to the parent.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => drop(sync_name()),
            Err(error) => return Err(error),
        }
        Ok(Directory(path.to_owned()))
    }

    /// The directory at `path`, which is not created.
    pub(super) fn found(path: &Path) -> Directory {
        Directory(path.to_owned())
    }
}

/// Opens a file. Refuses pipes and devices, because opening them may block, or they may have no end.
fn open(path: &Path, options: &OpenOptions) -> io::Result<File> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(io::Error::other("it is not a regular file")),
        _ => options.open(path),
    }
}

/// Syncs a directory; the current one if `path` is `None`.
fn sync_directory(path: Option<&Path>) -> io::Result<()> {
    // On other systems a directory cannot be opened as a file, and needs no sync.
    if cfg!(unix) { File::open(path.unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
}

impl Files for Directory {
    type Lock = File;
    type Backend = FileBackend;

    /// Room for a thousand commits of one ring. The log is read whole at the start, and its changes stay in
    /// memory until it starts over.
    const LOG_BYTES: usize = 4 * 1024 * 1024;

    fn names(&self) -> io::Result<Vec<OsString>> {
        fs::read_dir(&self.0)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn lock(&self, name: &str) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        let file = open(&self.0.join(name), options.read(true).write(true).create(true).truncate(false))?;
        let locked = lock_patiently(|| match file.try_lock() {
            Ok(()) => Ok(Some(())),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        });
        locked.map(|locked| locked.map(|()| file))
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match open(&self.0.join(name), OpenOptions::new().read(true)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut bytes = Vec::new();
        file.take(Self::LOG_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = open(&self.0.join(name), OpenOptions::new().write(true).create(true).truncate(true))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn backend(&self, name: &str, replace: bool) -> io::Result<FileBackend> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(replace).truncate(replace);
        let backend = lock_patiently(|| match FileBackend::new(open(&self.0.join(name), &options)?) {
            Ok(backend) => Ok(Some(backend)),
            Err(DatabaseError::DatabaseAlreadyOpen) => Ok(None),
            Err(error) => Err(io::Error::other(error)),
        });
        backend?.ok_or_else(|| io::Error::other(DatabaseError::DatabaseAlreadyOpen))
    }

    #[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "no other system needs it"))]
    fn uncache(&self, name: &str) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            let file = open(&self.0.join(name), OpenOptions::new().read(true))?;
            rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn sync(&self) -> io::Result<()> {
        sync_directory(Some(&self.0))
    }
}

impl LockFile for File {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        self.rewind()?;
        let mut bytes = Vec::new();
        // Slightly more than is ever written, because a file of another program may be long.
        self.take(1024).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.rewind()?;
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}
