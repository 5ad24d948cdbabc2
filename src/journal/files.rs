//! The directory of a journal: its files by name, and the lock on it. A trait, so that the tests can pull the
//! plug of a simulated disk.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use redb::StorageBackend;
use redb::backends::FileBackend;

/// The operations of a journal on its directory.
pub(super) trait Files {
    type Lock: LockFile;
    type Backend: StorageBackend;

    /// The names of all files.
    fn names(&self) -> io::Result<Vec<OsString>>;

    /// Locks the directory by its file `name`; `None` if another process has locked it.
    fn lock(&self, name: &str) -> io::Result<Option<Self::Lock>>;

    /// Returns what a file has in it; `None` if there is no such file.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Makes a file that has these bytes in it, in place of an earlier one, and syncs it.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Opens a file for a database; an empty one in place of an earlier one, if `anew`.
    fn backend(&self, name: &str, anew: bool) -> io::Result<Self::Backend>;

    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes names durable: those that were made, renamed and removed.
    fn sync(&self) -> io::Result<()>;
}

/// The file that is locked for as long as this exists, and a few bytes in it.
pub(super) trait LockFile: Send + 'static {
    fn read(&mut self) -> io::Result<Vec<u8>>;

    /// Overwrites its beginning. It is not synced.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    fn sync(&mut self) -> io::Result<()>;
}

/// A directory of the system.
#[derive(Debug, Clone)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// The directory at `path`, which is made if only it is missing, and none above it.
    pub(super) fn new(path: &Path) -> io::Result<Directory> {
        let sync_name = || sync_directory(path.parent().filter(|above| !above.as_os_str().is_empty()));
        match fs::create_dir(path) {
            Ok(()) => sync_name()?,
            // Perhaps it was made just now, by a user who may deny this process the directory above it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => drop(sync_name()),
            Err(error) => return Err(error),
        }
        Ok(Directory(path.to_owned()))
    }
}

/// Syncs a directory, or the current one.
fn sync_directory(path: Option<&Path>) -> io::Result<()> {
    // Elsewhere a directory cannot be opened as a file, and needs no sync.
    if cfg!(unix) { File::open(path.unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
}

impl Files for Directory {
    type Lock = File;
    type Backend = FileBackend;

    fn names(&self) -> io::Result<Vec<OsString>> {
        fs::read_dir(&self.0)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn lock(&self, name: &str) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(self.0.join(name))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.0.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create(self.0.join(name))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn backend(&self, name: &str, anew: bool) -> io::Result<FileBackend> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(anew).truncate(anew).open(self.0.join(name))?;
        FileBackend::new(file).map_err(io::Error::other)
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
        // A little more than is ever written: a file of another program may be long.
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
