//! Faults of a journal. Each is one line with the fault, its place and the remedies.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::identity::FORMAT;
use crate::record::Damaged;
use crate::session::Epoch;

/// The files of a journal.
pub(super) const LOCK: &str = "lock";
pub(super) const ID: &str = "id";
pub(super) const DATABASE: &str = "turns.redb";
pub(super) const LOG: &str = "turns.log";

/// A journal that cannot be used. Nothing in its directory has been overwritten.
#[derive(Debug)]
pub struct JournalError {
    dir: PathBuf,
    fault: Fault,
}

/// The fault of a journal.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The system refused an operation.
    System {
        /// The operation that failed.
        doing: String,
        /// The reason.
        source: io::Error,
    },
    /// Another server is using the directory.
    InUse,
    /// The directory is not empty and has no journal: this file belongs to another program.
    Foreign(String),
    /// A file is missing.
    Missing(&'static str),
    /// `id` is missing, but the journal has commits.
    NoId,
    /// The database is an empty file.
    Empty,
    /// A file has another epoch than `id`.
    OtherEpoch {
        /// The file.
        file: &'static str,
        /// Its epoch.
        found: Epoch,
        /// The epoch in `id`.
        id: Epoch,
    },
    /// The journal has fewer commits than were reported as durable.
    Behind {
        /// The number of commits in the journal.
        stored: u64,
        /// The number of commits that were reported as durable.
        durable: u64,
    },
    /// A file has a format that this program cannot read.
    Format {
        /// The file.
        file: &'static str,
        /// Its format.
        found: u64,
    },
    /// A file is damaged.
    Damaged {
        /// The file.
        file: &'static str,
        /// The damage.
        what: String,
    },
    /// An entry is damaged.
    Entry(Damaged),
    /// The directory for an import already has a journal.
    NotEmpty,
    /// A line of an import is invalid.
    Line {
        /// The number of the line, counted from 1.
        line: usize,
        /// Its fault.
        what: String,
    },
}

impl Fault {
    pub(super) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Fault {
        |source| Fault::System { doing: doing.into(), source }
    }

    pub(super) fn of(self, dir: &Path) -> JournalError {
        JournalError { dir: dir.to_owned(), fault: self }
    }

    /// Returns the remedies, for an operator.
    fn ways_out(&self) -> &'static str {
        const BACKUP: &str = "restore a backup of the whole directory and open it with Journal::open_backup, or start over with Journal::discard";
        match self {
            Fault::System { .. } => "check the directory and its disk, and start again",
            Fault::InUse => "stop that server, or use another directory",
            Fault::Foreign(_) => "use a directory that holds nothing else",
            Fault::Missing(DATABASE) | Fault::Empty | Fault::Damaged { .. } | Fault::Entry(_) => BACKUP,
            Fault::Missing(_) => "restore it, or continue without its commits with Journal::open_backup",
            Fault::NoId | Fault::OtherEpoch { .. } | Fault::Behind { .. } => {
                "if this is a backup, continue from it with Journal::open_backup, or start over with Journal::discard"
            }
            Fault::Format { .. } => {
                "run the program that wrote it, or use its Journal::export and the Journal::import of this one"
            }
            Fault::NotEmpty => "import into an empty directory",
            Fault::Line { .. } => "correct the line, or export again",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::System { doing, source } => write!(f, "cannot {doing}: {source}"),
            Fault::InUse => f.write_str("another server uses it"),
            Fault::Foreign(file) => {
                write!(f, "the directory is neither empty nor a journal: {file:?} belongs to another program")
            }
            Fault::Missing(file) => write!(f, "{file} is missing"),
            Fault::NoId => write!(f, "{ID} is missing, but the journal has been written to"),
            Fault::Empty => write!(f, "{DATABASE} is empty"),
            Fault::OtherEpoch { file, found, id } => {
                write!(f, "{file} has epoch {found}, but {ID} has {id}")
            }
            Fault::Behind { stored, durable } => {
                write!(f, "it ends with commit {stored}, but {durable} commits were durable")
            }
            Fault::Format { file, found } => {
                write!(f, "{file} has format {found}, but this program reads format {FORMAT}")
            }
            Fault::Damaged { file, what } => write!(f, "{file} is damaged: {}", what.escape_debug()),
            Fault::Entry(damaged) => write!(f, "it is damaged: {damaged}"),
            Fault::NotEmpty => f.write_str("there already is a journal"),
            Fault::Line { line, what } => write!(f, "line {line} of the import: {}", what.escape_debug()),
        }
    }
}

impl JournalError {
    /// Returns the fault.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        &self.fault
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "journal {:?}: {}: {}", self.dir, self.fault, self.fault.ways_out())
    }
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            Fault::System { source, .. } => Some(source),
            Fault::Entry(damaged) => Some(damaged),
            _ => None,
        }
    }
}
