//! `--journal` and `--etcd`: seats, turns and answers that outlive the server, if it was built with the
//! features.

use std::time::Duration;

use taketurns::net::{EventLoop, os_entropy};
use taketurns::protocol::turns::{TurnServer, TurnServerConfig};

use super::options::wrong_usage;
use super::server::Site;
#[cfg(feature = "etcd")]
use super::standby;

/// The options for the state that outlives a server.
#[derive(Clone, Copy, Default)]
pub struct Keeping<'o> {
    /// The directory of a journal.
    pub journal: Option<&'o str>,
    /// Whether a backup was restored, with which another life begins.
    pub new_epoch: bool,
    /// Whether to set an existing journal aside.
    pub discard: bool,
    /// The file to export the journal to.
    pub export: Option<&'o str>,
    /// The file to import the journal from.
    pub import: Option<&'o str>,
    /// The etcd that several servers share.
    pub etcd: Option<Etcd<'o>>,
}

/// The members of an etcd, and who this server is there.
#[derive(Clone, Copy)]
pub struct Etcd<'o> {
    /// Their addresses, with commas between them.
    pub members: &'o str,
    pub cluster: Option<&'o str>,
    pub advertise: Option<&'o str>,
    pub user: Option<&'o str>,
    pub authorities: Option<&'o str>,
    pub certificate: Option<&'o str>,
    pub key: Option<&'o str>,
}

/// What outlives a server.
pub struct Kept {
    store: Store,
    /// The time that it has at the end.
    patience: Duration,
    /// Signals that came while the server stood by.
    #[cfg(feature = "etcd")]
    signals: Option<std::sync::mpsc::Receiver<i32>>,
}

#[allow(clippy::large_enum_variant, reason = "there is one, and which is largest depends on the features")]
enum Store {
    Memory,
    #[cfg(feature = "journal")]
    Journal(taketurns::journal::Journal),
    #[cfg(feature = "etcd")]
    Etcd(taketurns::etcd::EtcdStore),
}

impl<'o> Keeping<'o> {
    /// Ends the program if the options contradict each other.
    fn check(&self) {
        let wishes = [
            ("--new-epoch", self.new_epoch),
            ("--discard-journal", self.discard),
            ("--export", self.export.is_some()),
            ("--import", self.import.is_some()),
        ];
        let mut wished = wishes.iter().filter(|(_, is_wished)| *is_wished).map(|(option, _)| *option);
        match (self.journal, self.etcd, wished.next(), wished.next()) {
            (Some(_), Some(_), ..) => wrong_usage(format_args!("--journal and --etcd exclude each other")),
            (None, None, Some(option), _) => wrong_usage(format_args!("{option} needs --journal DIR")),
            (_, _, Some(one), Some(other)) => {
                wrong_usage(format_args!("{one} and {other} exclude each other"))
            }
            (_, Some(_), Some(option), _) if option != "--new-epoch" => {
                wrong_usage(format_args!("{option} is for a journal, and etcd has its own tools"))
            }
            (_, Some(Etcd { cluster: None, .. }), ..) => {
                wrong_usage(format_args!("--etcd needs --cluster NAME"))
            }
            _ => {}
        }
    }

    /// Exports or imports the journal. Returns `false` if neither was requested.
    pub fn move_files(&self) -> Result<bool, String> {
        self.check();
        match (self.journal, self.export, self.import) {
            (Some(dir), Some(file), _) => journal::export(dir, file).map(|()| true),
            (Some(dir), _, Some(file)) => journal::import(dir, file).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Makes a server that goes on from its journal, or from etcd once no other server leads, or one that
    /// keeps everything in memory. The status of `site` shows that it stands by. `None` if a signal has ended that.
    pub fn serve(
        &self,
        config: TurnServerConfig,
        site: &mut Site,
    ) -> Result<Option<(TurnServer, Kept)>, String> {
        self.check();
        if let Some(etcd) = &self.etcd {
            site.hands_over = true;
            return etcd.serve(config, self.new_epoch, site);
        }
        let patience = config.drain_timeout;
        let (turns, store) = match self.journal {
            Some(dir) => journal::serve(self, dir, config)?,
            None => {
                let turns = TurnServer::new(config, os_entropy()).map_err(|error| error.to_string())?;
                (turns, Store::Memory)
            }
        };
        let kept = Kept {
            store,
            patience,
            #[cfg(feature = "etcd")]
            signals: None,
        };
        Ok(Some((turns, kept)))
    }
}

impl Kept {
    /// Stores the records of `event_loop`, which listens for signals by now.
    #[allow(unused_variables, reason = "without any feature there is nothing to be stored")]
    pub fn serve(self, event_loop: &mut EventLoop<TurnServer>) -> Result<(), String> {
        #[cfg(feature = "etcd")]
        if self.signals.is_some_and(|signals| signals.try_iter().any(standby::is_end)) {
            event_loop.handle().stop();
        }
        let patience = self.patience;
        match self.store {
            Store::Memory => Ok(()),
            #[cfg(feature = "journal")]
            Store::Journal(journal) => {
                event_loop.store_in(journal, patience).map_err(|error| error.to_string())
            }
            #[cfg(feature = "etcd")]
            Store::Etcd(etcd) => event_loop.store_in(etcd, patience).map_err(|error| error.to_string()),
        }
    }
}

/// Stores the last records at the end.
#[cfg(feature = "store")]
pub fn close<P: taketurns::protocol::Protocol>(event_loop: &mut EventLoop<P>) -> Result<(), String> {
    event_loop.close_store().map_err(|error| error.to_string())
}

/// Nothing is stored.
#[cfg(not(feature = "store"))]
pub fn close<P: taketurns::protocol::Protocol>(_: &mut EventLoop<P>) -> Result<(), String> {
    Ok(())
}

#[cfg(not(feature = "etcd"))]
impl Etcd<'_> {
    fn serve(
        &self,
        _: TurnServerConfig,
        _: bool,
        _: &mut Site,
    ) -> Result<Option<(TurnServer, Kept)>, String> {
        Err("cannot use --etcd: this build lacks the feature etcd; build with it, as in cargo run --release \
             --features etcd --example turn_server"
            .to_owned())
    }
}

#[cfg(feature = "etcd")]
impl Etcd<'_> {
    fn serve(
        &self,
        config: TurnServerConfig,
        new_epoch: bool,
        site: &mut Site,
    ) -> Result<Option<(TurnServer, Kept)>, String> {
        use taketurns::etcd::Candidate;
        use taketurns::net::now;
        use taketurns::store::Store as _;

        let mut candidate = Candidate::new(self.config(site.addresses())?, os_entropy())
            .map_err(|error| format!("{error}; see --etcd and --cluster"))?;
        if new_epoch {
            candidate = candidate.with_new_epoch();
        }
        let Some(elected) = standby::stand_by(candidate, site)? else { return Ok(None) };
        let standby::Elected { mut store, signals } = elected;
        let state = store.load().map_err(|lost| lost.to_string())?;
        let patience = config.drain_timeout;
        let turns = TurnServer::restore(now(), config, os_entropy(), &state)
            .map_err(|error| format!("etcd: {error}; raise the limit, as with --max-clients"))?;
        let seats: usize = state.rings.values().map(|ring| ring.seats.len()).sum();
        log::info!("this server leads: epoch {}, {} rings, {seats} seats", turns.epoch(), state.rings.len());
        Ok(Some((turns, Kept { store: Store::Etcd(store), patience, signals: Some(signals) })))
    }

    fn config(&self, listen: &[std::net::SocketAddr]) -> Result<taketurns::etcd::EtcdConfig, String> {
        use taketurns::etcd::EtcdConfig;

        let read = |file: &str| std::fs::read(file).map_err(|error| format!("{file}: {error}"));
        let members = self.members.split(',').map(str::to_owned).collect();
        let listen = listen.iter().map(std::net::SocketAddr::to_string).collect::<Vec<_>>().join(",");
        let advertise = self.advertise.map_or(listen, str::to_owned);
        let mut config = EtcdConfig::new(members, self.cluster.unwrap_or_default(), advertise);
        if let Some(user) = self.user {
            let password = super::environment("TAKETURNS_ETCD_PASSWORD").ok_or(
                "--etcd-user needs a password, which the environment variable TAKETURNS_ETCD_PASSWORD has",
            )?;
            config.user = Some((user.to_owned(), password));
        }
        config.tls.authorities = self.authorities.map(read).transpose()?;
        config.tls.identity = match (self.certificate, self.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
            _ => wrong_usage(format_args!("--etcd-cert and --etcd-key need each other")),
        };
        Ok(config)
    }
}

#[cfg(not(feature = "journal"))]
mod journal {
    use super::*;

    fn lacks<T>(dir: &str) -> Result<T, String> {
        Err(format!(
            "cannot keep a journal in {dir:?}: this build lacks the feature journal; build with it, as in \
             cargo run --release --features journal --example turn_server, or leave --journal out"
        ))
    }

    pub(super) fn export(dir: &str, _: &str) -> Result<(), String> {
        lacks(dir)
    }

    pub(super) fn import(dir: &str, _: &str) -> Result<(), String> {
        lacks(dir)
    }

    pub(super) fn serve(
        _: &Keeping<'_>,
        dir: &str,
        _: TurnServerConfig,
    ) -> Result<(TurnServer, Store), String> {
        lacks(dir)
    }
}

#[cfg(feature = "journal")]
mod journal {
    use std::fs::File;
    use std::io::{BufReader, Write as _};
    use std::path::Path;

    use log::info;
    use taketurns::journal::Journal;
    use taketurns::net::now;
    use taketurns::session::Epoch;
    use taketurns::store::Store as _;

    use super::*;

    /// Makes a server that goes on from the journal in `dir`.
    pub(super) fn serve(
        keeping: &Keeping<'_>,
        dir: &str,
        config: TurnServerConfig,
    ) -> Result<(TurnServer, Store), String> {
        let (path, fresh) = (Path::new(dir), Epoch::random(&mut os_entropy()));
        let opened = match keeping {
            _ if keeping.discard => Journal::discard(path, fresh),
            _ if keeping.new_epoch => Journal::open_backup(path, fresh),
            _ => Journal::open(path, fresh),
        };
        let mut journal = opened.map_err(|error| error.to_string())?;
        let state = journal.load().map_err(|lost| lost.to_string())?;
        let turns = TurnServer::restore(now(), config, os_entropy(), &state).map_err(|error| {
            format!("journal {dir:?}: {error}; raise the limit, as with --max-clients, or start over with --discard-journal")
        })?;
        let seats: usize = state.rings.values().map(|ring| ring.seats.len()).sum();
        info!("journal {dir:?}: epoch {}, {} rings, {seats} seats", turns.epoch(), state.rings.len());
        Ok((turns, Store::Journal(journal)))
    }

    pub(super) fn export(dir: &str, file: &str) -> Result<(), String> {
        // A refused journal leaves no file.
        let mut text = Vec::new();
        Journal::export(Path::new(dir), &mut text).map_err(|error| error.to_string())?;
        let failed = |error| {
            format!("cannot write the export to {file:?}: {error}; choose another file with --export")
        };
        // Existing files are not overwritten.
        let mut to = File::create_new(file).map_err(failed)?;
        to.write_all(&text).map_err(failed)?;
        to.sync_all().map_err(failed)
    }

    pub(super) fn import(dir: &str, file: &str) -> Result<(), String> {
        let from = File::open(file).map_err(|error| {
            format!("cannot read the export {file:?}: {error}; choose another file with --import")
        })?;
        let journal =
            Journal::import(Path::new(dir), BufReader::new(from)).map_err(|error| error.to_string())?;
        journal.close().map_err(|lost| lost.to_string())
    }
}
