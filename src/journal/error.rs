//! Faults of a journal: each is one line with the fault, the place, and the ways out.

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
    /// Another server uses the directory.
    InUse,
    /// The directory is not empty, and has no journal: this file is of another program.
    Foreign(String),
    /// `id` is there, and the database is not.
    NoDatabase,
    /// The database is there, and `id` is not.
    NoId,
    /// The database is an empty file.
    Empty,
    /// The database is of another life than `id`.
    OtherEpoch {
        /// The epoch in `id`.
        id: Epoch,
        /// The epoch in the database.
        database: Epoch,
    },
    /// The database has fewer commits than were durable.
    Behind {
        /// The commits that it has.
        stored: u64,
        /// The commits that were durable.
        durable: u64,
    },
    /// A file is of a format that this program does not read.
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
    /// There is a journal where one was to be imported.
    NotEmpty,
    /// A line of an import is none.
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

    /// The remedies, for the operator.
    fn ways_out(&self) -> &'static str {
        const BACKUP: &str = "put a backup of the whole directory back and start with --new-epoch, or begin anew with --discard-journal";
        match self {
            Fault::System { .. } => "check the directory and its disk, and start again",
            Fault::InUse => "stop that server, or give this one a directory of its own",
            Fault::Foreign(_) => "give the journal a directory of its own",
            Fault::NoDatabase | Fault::Empty | Fault::Damaged { .. } | Fault::Entry(_) => BACKUP,
            Fault::NoId | Fault::OtherEpoch { .. } | Fault::Behind { .. } => {
                "if this is a backup, go on from it with --new-epoch, or begin anew with --discard-journal"
            }
            Fault::Format { .. } => {
                "start the program that wrote it, or --export with that one and --import with this one"
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
                write!(f, "it is neither empty nor a journal: {file:?} is of another program")
            }
            Fault::NoDatabase => write!(f, "{DATABASE} is missing, and {ID} says that it was there"),
            Fault::NoId => write!(f, "{ID} is missing, and {DATABASE} has been written to"),
            Fault::Empty => write!(f, "{DATABASE} is empty"),
            Fault::OtherEpoch { id, database } => {
                write!(f, "{DATABASE} is of epoch {database}, and {ID} of {id}")
            }
            Fault::Behind { stored, durable } => {
                write!(f, "{DATABASE} ends with commit {stored}, and {durable} commits were durable")
            }
            Fault::Format { file, found } => {
                write!(f, "{file} is of format {found}, and this program reads {FORMAT}")
            }
            Fault::Damaged { file, what } => write!(f, "{file} is damaged: {}", what.escape_debug()),
            Fault::Entry(damaged) => write!(f, "{DATABASE} is damaged: {damaged}"),
            Fault::NotEmpty => f.write_str("there is a journal already"),
            Fault::Line { line, what } => write!(f, "line {line} of the import: {}", what.escape_debug()),
        }
    }
}

impl JournalError {
    /// Returns what is wrong.
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
