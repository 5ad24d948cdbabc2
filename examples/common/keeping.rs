//! `--journal`: seats, turns and answers that outlive the server, if it was built with the feature.

use taketurns::net::EventLoop;
use taketurns::protocol::turns::{TurnServer, TurnServerConfig};

use super::options::wrong_usage;

/// The options for a server's journal.
#[derive(Clone, Copy, Default)]
pub struct Keeping<'o> {
    /// The directory.
    pub journal: Option<&'o str>,
    /// Whether the journal is a restored backup, with which another life begins.
    pub new_epoch: bool,
    /// Whether to set an existing journal aside.
    pub discard: bool,
    /// The file to export the journal to.
    pub export: Option<&'o str>,
    /// The file to import the journal from.
    pub import: Option<&'o str>,
}

impl<'o> Keeping<'o> {
    /// Returns the directory, if the options do not contradict each other.
    fn dir(&self) -> Option<&'o str> {
        let wishes = [
            ("--new-epoch", self.new_epoch),
            ("--discard-journal", self.discard),
            ("--export", self.export.is_some()),
            ("--import", self.import.is_some()),
        ];
        let mut wished = wishes.iter().filter(|(_, is_wished)| *is_wished).map(|(option, _)| option);
        match (self.journal, wished.next(), wished.next()) {
            (None, Some(option), _) => wrong_usage(format_args!("{option} needs --journal DIR")),
            (_, Some(one), Some(other)) => wrong_usage(format_args!("{one} and {other} exclude each other")),
            (dir, ..) => dir,
        }
    }
}

#[cfg(not(feature = "journal"))]
pub use without::*;

#[cfg(not(feature = "journal"))]
mod without {
    use taketurns::net::os_entropy;
    use taketurns::protocol::Protocol;

    use super::*;

    pub struct Store;

    impl Keeping<'_> {
        pub fn move_files(&self) -> Result<bool, String> {
            match self.dir() {
                None => Ok(false),
                Some(dir) => Err(format!(
                    "cannot keep a journal in {dir:?}: this build lacks the feature journal; build with it, as in \
                     cargo run --release --features journal --example turn_server, or leave --journal out"
                )),
            }
        }

        pub fn serve(&self, config: TurnServerConfig) -> Result<(TurnServer, Option<Store>), String> {
            Ok((TurnServer::new(config, os_entropy()).map_err(|error| error.to_string())?, None))
        }
    }

    impl Store {
        pub fn serve(self, _: &mut EventLoop<TurnServer>) -> Result<(), String> {
            Ok(())
        }
    }

    /// Nothing is stored.
    pub fn close<P: Protocol>(_: &mut EventLoop<P>) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(feature = "journal")]
pub use with::*;

#[cfg(feature = "journal")]
mod with {
    use std::fs::File;
    use std::io::{BufReader, Write as _};
    use std::path::Path;
    use std::time::Duration;

    use log::info;
    use taketurns::journal::Journal;
    use taketurns::net::{now, os_entropy};
    use taketurns::protocol::Protocol;
    use taketurns::session::Epoch;
    use taketurns::store::Store as _;

    use super::*;

    /// A server's journal, and the time that it has for the last commits.
    pub struct Store(Journal, Duration);

    impl Keeping<'_> {
        /// Exports or imports the journal. Returns `false` if neither was requested.
        pub fn move_files(&self) -> Result<bool, String> {
            let Some(dir) = self.dir().map(Path::new) else { return Ok(false) };
            match (self.export, self.import) {
                (Some(file), _) => export(dir, file).map(|()| true),
                (_, Some(file)) => import(dir, file).map(|()| true),
                (None, None) => Ok(false),
            }
        }

        /// Creates a server that continues from its journal, or one that keeps everything in memory.
        pub fn serve(&self, config: TurnServerConfig) -> Result<(TurnServer, Option<Store>), String> {
            let Some(dir) = self.dir() else {
                let turns = TurnServer::new(config, os_entropy()).map_err(|error| error.to_string())?;
                return Ok((turns, None));
            };
            let (path, fresh) = (Path::new(dir), Epoch::random(&mut os_entropy()));
            let opened = match self {
                _ if self.discard => Journal::discard(path, fresh),
                _ if self.new_epoch => Journal::open_backup(path, fresh),
                _ => Journal::open(path, fresh),
            };
            let mut journal = opened.map_err(|error| error.to_string())?;
            let state = journal.load().map_err(|lost| lost.to_string())?;
            let patience = config.drain_timeout;
            let turns = TurnServer::restore(now(), config, os_entropy(), &state).map_err(|error| {
                format!("journal {dir:?}: {error}; raise the limit, as with --max-clients, or start over with --discard-journal")
            })?;
            let seats: usize = state.rings.values().map(|ring| ring.seats.len()).sum();
            info!("journal {dir:?}: epoch {}, {} rings, {seats} seats", turns.epoch(), state.rings.len());
            Ok((turns, Some(Store(journal, patience))))
        }
    }

    impl Store {
        /// Stores the records of `event_loop`.
        pub fn serve(self, event_loop: &mut EventLoop<TurnServer>) -> Result<(), String> {
            let Store(journal, patience) = self;
            event_loop.store_in(journal, patience).map_err(|error| error.to_string())
        }
    }

    /// Stores the last records at the end.
    pub fn close<P: Protocol>(event_loop: &mut EventLoop<P>) -> Result<(), String> {
        event_loop.close_store().map_err(|error| error.to_string())
    }

    fn export(dir: &Path, file: &str) -> Result<(), String> {
        // A refused journal leaves no file.
        let mut text = Vec::new();
        Journal::export(dir, &mut text).map_err(|error| error.to_string())?;
        let failed = |error| {
            format!("cannot write the export to {file:?}: {error}; choose another file with --export")
        };
        // Existing files are not overwritten.
        let mut to = File::create_new(file).map_err(failed)?;
        to.write_all(&text).map_err(failed)?;
        to.sync_all().map_err(failed)
    }

    fn import(dir: &Path, file: &str) -> Result<(), String> {
        let from = File::open(file).map_err(|error| {
            format!("cannot read the export {file:?}: {error}; choose another file with --import")
        })?;
        let journal = Journal::import(dir, BufReader::new(from)).map_err(|error| error.to_string())?;
        journal.close().map_err(|lost| lost.to_string())
    }
}
