//! Files that a program was told to keep as its own, by a path that may lead to anything: what it leads to is
//! looked at, links are followed, nothing waits for a reader, and what cannot be done is said in words.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fcntl_setfl};

/// Symbolic links that are followed; Linux follows as many.
const LINKS_MAX: usize = 40;

/// A file of the program's own. What it does fails with words that name it.
#[derive(Clone)]
pub struct OwnFile {
    path: PathBuf,
    /// The option that named it.
    option: &'static str,
}

impl OwnFile {
    pub fn new(path: &Path, option: &'static str) -> OwnFile {
        OwnFile { path: path.to_owned(), option }
    }

    /// Opens the file to append to it, and makes it if there is none. It may be a pipe with a reader, or a
    /// device such as a terminal, too.
    pub fn append(&self) -> Result<File, String> {
        let describe = |error: io::Error| {
            // Nobody reads a pipe, or it is a socket.
            let hint = match fs::metadata(&self.path).map(|found| found.file_type()) {
                Ok(kind) if kind.is_fifo() => "nobody reads this pipe".to_owned(),
                Ok(kind) if kind.is_socket() => "it is a socket".to_owned(),
                _ => error.to_string(),
            };
            self.failure("append to", hint)
        };
        let file = options().create(true).append(true).open(&self.path).map_err(describe)?;
        let kind = file.metadata().map_err(describe)?.file_type();
        if kind.is_block_device() {
            return Err(self.failure("append to", "it is a disk"));
        }
        // From here on a thread waits, which may.
        fcntl_setfl(&file, OFlags::APPEND).map_err(|error| describe(error.into()))?;
        Ok(file)
    }

    /// Reads the file, which has at most `bytes_max`; empty if there is none.
    pub fn read(&self, bytes_max: u64) -> Result<String, String> {
        let describe = |error: io::Error| self.failure("read", error);
        let file = match options().read(true).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
            Err(error) => return Err(describe(error)),
        };
        check_regular(&file.metadata().map_err(describe)?).map_err(|why| self.failure("read", why))?;
        let mut text = String::new();
        let length = file.take(bytes_max + 1).read_to_string(&mut text).map_err(describe)?;
        match length as u64 > bytes_max {
            true => Err(self.failure("read", format_args!("it has more than {bytes_max} bytes"))),
            false => Ok(text),
        }
    }

    /// Puts `text` in the place of what is in the file. A reader, or a program that starts after a crash,
    /// sees the old or the new text, whole: it is written beside the file that the path leads to, synced, and
    /// moved. Owner, group and mode stay. The error is the reason.
    pub fn replace(&self, text: &str) -> Result<(), String> {
        let describe = |error: io::Error| error.to_string();
        let target = self.target().map_err(describe)?;
        // A file that may not be written is not replaced either.
        let old = match options().write(true).open(&target).and_then(|old| old.metadata()) {
            Ok(old) => Some(old),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(describe(error)),
        };
        old.as_ref().map_or(Ok(()), check_regular)?;
        let mut beside = target.clone().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let written = write_beside(&beside, old.as_ref(), text).and_then(|()| {
            fs::rename(&beside, &target).map_err(|error| match error.kind() {
                ErrorKind::ResourceBusy => {
                    format!("it is mounted by itself and cannot be replaced: mount its folder; {error}")
                }
                _ => describe(error),
            })
        });
        if written.is_err() {
            // Not to be taken for the state, and not to fill a full disk.
            let _ = fs::remove_file(&beside);
        }
        written
    }

    /// Where the links end that the path may lead through. There need be nothing.
    fn target(&self) -> io::Result<PathBuf> {
        let mut path = self.path.clone();
        for _ in 0..LINKS_MAX {
            match fs::read_link(&path) {
                Ok(next) => path = path.parent().unwrap_or(Path::new("")).join(next),
                // It is no link, or there is nothing.
                Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => {
                    return Ok(path);
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("too many symbolic links"))
    }

    /// The message when the program cannot do this.
    pub fn failure(&self, verb: &str, why: impl fmt::Display) -> String {
        format!("cannot {verb} {self}: {why}; choose another with {}", self.option)
    }
}

impl fmt::Display for OwnFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

fn write_beside(beside: &Path, old: Option<&Metadata>, text: &str) -> Result<(), String> {
    let describe = |error: io::Error| format!("{} cannot be written: {error}", beside.display());
    match fs::remove_file(beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(describe(error)),
        _ => {}
    }
    // Of what others may not read nothing is shown meanwhile.
    let mode = if old.is_some() { 0o600 } else { 0o666 };
    let mut new = options().write(true).create_new(true).mode(mode).open(beside).map_err(describe)?;
    if let Some(old) = old {
        let made = new.metadata().map_err(describe)?;
        let different = |old: u32, made: u32| (old != made).then_some(old);
        let (owner, group) = (different(old.uid(), made.uid()), different(old.gid(), made.gid()));
        if owner.or(group).is_some() {
            fchown(&new, owner, group)
                .map_err(|error| format!("its owner and group would be lost: {error}"))?;
        }
        new.set_permissions(Permissions::from_mode(old.mode() & 0o7777)).map_err(describe)?;
    }
    new.write_all(text.as_bytes()).map_err(describe)?;
    // Otherwise a crash of the system could leave an empty file in the place of a good one.
    new.sync_data().map_err(describe)
}

fn check_regular(found: &Metadata) -> Result<(), String> {
    let kind = found.file_type();
    let is = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(format!("it is {is} and no file"))
}

/// Opens nothing that waits for another program, and makes no terminal the program's own.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    options.custom_flags(flags.cast_signed());
    options
}

/// Whether two paths lead to the same file, which is there.
pub fn lead_to_one(a: &Path, b: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    identity(a).is_some_and(|a| Some(a) == identity(b))
}

/// Whether two descriptors lead to the same file, pipe or device.
pub fn is_same(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> bool {
    let identity = |fd: BorrowedFd<'_>| {
        let found = File::from(fd.try_clone_to_owned().ok()?).metadata().ok()?;
        Some((found.dev(), found.ino(), found.rdev()))
    };
    identity(a).is_some_and(|a| Some(a) == identity(b))
}
