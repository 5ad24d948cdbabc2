//! Files at paths that a user chose and that may lead anywhere. Links are followed, the target is checked,
//! nothing waits for a reader, and failures are described in words.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fcntl_setfl};

use super::options::Extras;

/// The most symbolic links that are followed, as many as on Linux.
const LINKS_MAX: usize = 40;

/// The most bytes of a file of options, such as certificates, rules or a token.
const OPTIONS_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A file that the user gave to an option, such as one of certificates. Its `Display` form names both.
#[derive(Clone)]
pub struct GivenFile {
    option: &'static str,
    path: String,
}

impl GivenFile {
    /// Returns the file of `option`, if there is one.
    pub fn of(extras: &Extras, option: &'static str) -> Option<GivenFile> {
        extras.get(option).map(|path| GivenFile { option, path })
    }

    /// Reads it. It may be a pipe, as in `--access <(command)`, so this waits for its writer. The error names
    /// the option and the file.
    pub fn read(&self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        File::open(&self.path)
            .and_then(|opened| opened.take(OPTIONS_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|error| format!("{self}: {error}"))?;
        match bytes.len() as u64 > OPTIONS_BYTES_MAX {
            true => Err(format!("{self}: it has more than {OPTIONS_BYTES_MAX} bytes")),
            false => Ok(bytes),
        }
    }

    /// As [`read`](Self::read), for text.
    pub fn read_text(&self) -> Result<String, String> {
        String::from_utf8(self.read()?).map_err(|_| format!("{self}: it is not UTF-8"))
    }
}

impl fmt::Display for GivenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.option, self.path)
    }
}

/// A file that belongs to the program. Errors name the file.
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

    /// Opens the file for appending, and creates it if it is missing. It may also be a pipe with a reader, or
    /// a device such as a terminal.
    pub fn append(&self) -> Result<File, String> {
        let describe = |error: io::Error| {
            // It is a pipe without a reader, or a socket.
            let hint = match fs::metadata(&self.path).map(|found| found.file_type()) {
                Ok(kind) if kind.is_fifo() => "this pipe has no reader".to_owned(),
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
        // From here on the file is used by a thread that may block.
        fcntl_setfl(&file, OFlags::APPEND).map_err(|error| describe(error.into()))?;
        Ok(file)
    }

    /// Reads the file, which may have at most `bytes_max`. A missing file counts as empty.
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

    /// Replaces the contents of the file by `text`. A reader, or a program that starts after a crash, sees
    /// the complete old or new text: it is written next to the target, synced, and renamed. Owner, group and
    /// mode are preserved. The error is the reason.
    pub fn replace(&self, text: &str) -> Result<(), String> {
        let describe = |error: io::Error| error.to_string();
        let target = self.target().map_err(describe)?;
        // A file without write permission is not replaced either.
        let old = match options().write(true).open(&target).and_then(|old| old.metadata()) {
            Ok(old) => Some(old),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(describe(error)),
        };
        old.as_ref().map_or(Ok(()), check_regular)?;
        let beside = beside(&target);
        let written = write_beside(&beside, old.as_ref(), text).and_then(|()| {
            fs::rename(&beside, &target).map_err(|error| match error.kind() {
                ErrorKind::ResourceBusy => {
                    format!("it is a mount point and cannot be replaced: mount its folder instead; {error}")
                }
                _ => describe(error),
            })
        });
        if written.is_err() {
            // It must not be mistaken for the state, or use space on a full disk.
            let _ = fs::remove_file(&beside);
        }
        written
    }

    /// Returns the end of the symbolic links at the path. It need not exist.
    fn target(&self) -> io::Result<PathBuf> {
        let mut path = self.path.clone();
        for _ in 0..LINKS_MAX {
            match fs::read_link(&path) {
                Ok(next) => path = path.parent().unwrap_or(Path::new("")).join(next),
                // It is not a link, or does not exist.
                Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => {
                    return Ok(path);
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("too many symbolic links"))
    }

    /// Returns the message for a failure to do this.
    pub fn failure(&self, verb: &str, why: impl fmt::Display) -> String {
        format!("cannot {verb} {self}: {why}; choose another with {}", self.option)
    }
}

impl fmt::Display for OwnFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

/// Returns where the contents of a file are written before they replace it.
fn beside(target: &Path) -> PathBuf {
    let mut beside = target.as_os_str().to_owned();
    beside.push(".new");
    beside.into()
}

fn write_beside(beside: &Path, old: Option<&Metadata>, text: &str) -> Result<(), String> {
    let describe = |error: io::Error| format!("{} cannot be written: {error}", beside.display());
    match fs::remove_file(beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(describe(error)),
        _ => {}
    }
    // The new file must not be readable by users that could not read the old one.
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
    // Without it, a crash of the system could leave an empty file in place of a good one.
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
    Err(format!("it is {is}, not a file"))
}

/// Returns options with which opening a file neither blocks nor makes a terminal the controlling one.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    options.custom_flags(flags.cast_signed());
    options
}

/// Returns whether `file` is where a new state is written before it replaces the one at `state`.
pub fn is_beside(state: &Path, file: &Path) -> bool {
    OwnFile::new(state, "").target().is_ok_and(|target| lead_to_one(&beside(&target), file))
}

/// Returns whether two paths lead to the same existing file.
pub fn lead_to_one(a: &Path, b: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    identity(a).is_some_and(|a| Some(a) == identity(b))
}

/// Returns whether two descriptors refer to the same file, pipe or device.
pub fn is_same(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> bool {
    let identity = |fd: BorrowedFd<'_>| {
        let found = File::from(fd.try_clone_to_owned().ok()?).metadata().ok()?;
        Some((found.dev(), found.ino(), found.rdev()))
    };
    identity(a).is_some_and(|a| Some(a) == identity(b))
}
