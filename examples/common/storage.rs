//! `--journal` and `--etcd`: seats, turns and answers that outlive the server, if it was built with the
//! features.

use std::time::Duration;

use taketurns::net::{EventLoop, os_entropy};
use taketurns::protocol::turns::{TurnServer, TurnServerConfig};

use super::files::GivenFile;
use super::options::{Extra, Extras, wrong_usage};
use super::server::Site;
#[cfg(feature = "etcd")]
use super::standby;

/// The options of servers that keep their state.
pub const OF_SERVERS: &[Extra] = &[
    Extra {
        option: "--journal",
        value: "dir",
        variable: "TAKETURNS_JOURNAL",
        about: "directory of a journal, so that seats, turns and answers outlive the server; created if it is missing. Needs \
                the feature journal. Default: none, everything is in memory",
    },
    Extra {
        option: "--discard-journal",
        value: "",
        variable: "",
        about: "set the journal aside in whatever state it is, and begin a new one",
    },
    Extra {
        option: "--new-epoch",
        value: "",
        variable: "",
        about: "the journal, or etcd, is a restored backup: turns granted since then are granted again, so a new epoch begins",
    },
];

/// The options that do what functions of the library do, which its errors name as remedies.
#[cfg(feature = "store")]
const REMEDIES: [(&str, &str); 5] = [
    ("Journal::open_backup", "--new-epoch"),
    ("Journal::discard", "--discard-journal"),
    ("Journal::export", "--export"),
    ("Journal::import", "--import"),
    ("Candidate::with_new_epoch", "--new-epoch"),
];

/// Returns the text of an error of a store, with the options of this program as remedies.
#[cfg(feature = "store")]
fn advise(error: &dyn std::error::Error) -> String {
    REMEDIES.iter().fold(error.to_string(), |text, (function, option)| text.replace(function, option))
}

/// The options of servers that stand by for each other.
pub const OF_CLUSTERS: &[Extra] = &[
    Extra {
        option: "--etcd",
        value: "urls",
        variable: "TAKETURNS_ETCD",
        about: "members of an etcd, with commas between, as in http://10.0.0.1:2379,http://10.0.0.2:2379: seats, turns and \
                answers are kept there, and this server stands by while another one leads. Needs the feature etcd, and \
                --cluster. Default: none",
    },
    Extra {
        option: "--cluster",
        value: "name",
        variable: "TAKETURNS_CLUSTER",
        about: "name of the servers that stand by for each other, in etcd",
    },
    Extra {
        option: "--advertise",
        value: "addr",
        variable: "TAKETURNS_ADVERTISE",
        about: "where clients find this server, for people who look at one that stands by. Default: what it listens on",
    },
    Extra {
        option: "--etcd-user",
        value: "name",
        variable: "TAKETURNS_ETCD_USER",
        about: "user of etcd. The environment variable TAKETURNS_ETCD_PASSWORD has the password",
    },
    Extra {
        option: "--etcd-ca",
        value: "file",
        variable: "TAKETURNS_ETCD_CA",
        about: "the authorities of an etcd with TLS (PEM). Default: those of this system",
    },
    Extra {
        option: "--etcd-cert",
        value: "file",
        variable: "TAKETURNS_ETCD_CERT",
        about: "the certificate to show to etcd (PEM)",
    },
    Extra {
        option: "--etcd-key",
        value: "file",
        variable: "TAKETURNS_ETCD_KEY",
        about: "the private key of that certificate (PEM)",
    },
];

/// The options for where the state of a server is kept.
#[derive(Default)]
pub struct StorageOptions {
    /// The directory of a journal.
    journal: Option<String>,
    /// Whether a backup was restored, with which another life begins.
    new_epoch: bool,
    /// Whether to set an existing journal aside.
    discard: bool,
    /// The etcd that several servers share.
    etcd: Option<Etcd>,
}

/// The members of an etcd, and who this server is there.
#[cfg_attr(not(feature = "etcd"), expect(dead_code, reason = "this build refuses it"))]
pub struct Etcd {
    /// Their addresses, with commas between them.
    members: String,
    cluster: String,
    advertise: Option<String>,
    user: Option<String>,
    authorities: Option<GivenFile>,
    certificate: Option<GivenFile>,
    key: Option<GivenFile>,
}

impl Etcd {
    fn read(extras: &Extras) -> Option<Etcd> {
        let Some(members) = extras.get("--etcd") else {
            if let Some(option) = extras.first_of(OF_CLUSTERS) {
                wrong_usage(format_args!("{option} needs --etcd URLS"));
            }
            return None;
        };
        let Some(cluster) = extras.get("--cluster") else {
            wrong_usage(format_args!("--etcd needs --cluster NAME"))
        };
        Some(Etcd {
            members,
            cluster,
            advertise: extras.get("--advertise"),
            user: extras.get("--etcd-user"),
            authorities: GivenFile::of(extras, "--etcd-ca"),
            certificate: GivenFile::of(extras, "--etcd-cert"),
            key: GivenFile::of(extras, "--etcd-key"),
        })
    }
}

/// The state that outlives a server, and where it goes.
pub struct Storage {
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

impl StorageOptions {
    /// Ends the program if the options contradict each other.
    pub fn read(extras: &Extras) -> StorageOptions {
        let options = StorageOptions {
            journal: extras.get("--journal"),
            new_epoch: extras.get("--new-epoch").is_some(),
            discard: extras.get("--discard-journal").is_some(),
            etcd: Etcd::read(extras),
        };
        match &options {
            StorageOptions { journal: Some(_), etcd: Some(_), .. } => {
                wrong_usage(format_args!("--journal and --etcd exclude each other"))
            }
            StorageOptions { new_epoch: true, discard: true, .. } => {
                wrong_usage(format_args!("--new-epoch and --discard-journal exclude each other"))
            }
            StorageOptions { journal: None, discard: true, .. } => {
                wrong_usage(format_args!("--discard-journal needs --journal DIR"))
            }
            StorageOptions { journal: None, etcd: None, new_epoch: true, .. } => {
                wrong_usage(format_args!("--new-epoch needs --journal DIR or --etcd URLS"))
            }
            _ => options,
        }
    }

    /// Exports the journal to a file, or imports it from one. Returns `false` if neither was requested.
    pub fn move_files(&self, export: Option<&str>, import: Option<&str>) -> Result<bool, String> {
        type Move = fn(&str, &str) -> Result<(), String>;
        let (moved, option, file): (Move, _, _) = match (export, import) {
            (None, None) => return Ok(false),
            (Some(_), Some(_)) => wrong_usage(format_args!("--export and --import exclude each other")),
            (Some(file), None) => (journal::export, "--export", file),
            (None, Some(file)) => (journal::import, "--import", file),
        };
        let others = [("--new-epoch", self.new_epoch), ("--discard-journal", self.discard)];
        if let Some((other, _)) = others.iter().find(|(_, is_given)| *is_given) {
            wrong_usage(format_args!("{other} and {option} exclude each other"));
        }
        match &self.journal {
            Some(dir) => moved(dir, file).map(|()| true),
            None => wrong_usage(format_args!("{option} needs --journal DIR")),
        }
    }

    /// Makes a server that goes on from its journal, or from etcd once no other server leads, or one that
    /// keeps everything in memory. The status of `site` shows that it stands by. `None` if a signal has ended
    /// that.
    pub fn serve(
        &self,
        config: TurnServerConfig,
        site: &mut Site,
    ) -> Result<Option<(TurnServer, Storage)>, String> {
        if let Some(etcd) = &self.etcd {
            site.hands_over = true;
            return etcd.serve(config, self.new_epoch, site);
        }
        let patience = config.drain_timeout;
        let (turns, store) = match &self.journal {
            Some(dir) => journal::serve(self, dir, config)?,
            None => {
                let turns = TurnServer::new(config, os_entropy()).map_err(|error| error.to_string())?;
                (turns, Store::Memory)
            }
        };
        let storage = Storage {
            store,
            patience,
            #[cfg(feature = "etcd")]
            signals: None,
        };
        Ok(Some((turns, storage)))
    }
}

impl Storage {
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
impl Etcd {
    fn serve(
        &self,
        _: TurnServerConfig,
        _: bool,
        _: &mut Site,
    ) -> Result<Option<(TurnServer, Storage)>, String> {
        Err(format!("cannot use --etcd: {}", super::options::lacks("etcd")))
    }
}

#[cfg(feature = "etcd")]
impl Etcd {
    fn serve(
        &self,
        config: TurnServerConfig,
        new_epoch: bool,
        site: &mut Site,
    ) -> Result<Option<(TurnServer, Storage)>, String> {
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
        let state = store.load().map_err(|lost| advise(&lost))?;
        let patience = config.drain_timeout;
        let turns = TurnServer::restore(now(), config, os_entropy(), &state)
            .map_err(|error| format!("etcd: {error}; raise the limit, as with --max-clients"))?;
        let seats: usize = state.rings.values().map(|ring| ring.seats.len()).sum();
        log::info!("this server leads: epoch {}, {} rings, {seats} seats", turns.epoch(), state.rings.len());
        Ok(Some((turns, Storage { store: Store::Etcd(store), patience, signals: Some(signals) })))
    }

    fn config(&self, listen: &[std::net::SocketAddr]) -> Result<taketurns::etcd::EtcdConfig, String> {
        use taketurns::etcd::EtcdConfig;

        let members = self.members.split(',').map(|member| member.trim().to_owned()).collect();
        let listen = listen.iter().map(std::net::SocketAddr::to_string).collect::<Vec<_>>().join(",");
        let advertise = self.advertise.clone().unwrap_or(listen);
        let mut config = EtcdConfig::new(members, self.cluster.clone(), advertise);
        if let Some(user) = &self.user {
            let password = super::environment("TAKETURNS_ETCD_PASSWORD").ok_or(
                "--etcd-user needs a password, which the environment variable TAKETURNS_ETCD_PASSWORD has",
            )?;
            config.user = Some((user.clone(), password));
        }
        config.tls.authorities = self.authorities.as_ref().map(GivenFile::read).transpose()?;
        config.tls.identity = match (&self.certificate, &self.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.read()?, key.read()?)),
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
            "cannot keep a journal in {dir:?}: {}, or leave --journal out",
            super::super::options::lacks("journal")
        ))
    }

    pub(super) fn export(dir: &str, _: &str) -> Result<(), String> {
        lacks(dir)
    }

    pub(super) fn import(dir: &str, _: &str) -> Result<(), String> {
        lacks(dir)
    }

    pub(super) fn serve(
        _: &StorageOptions,
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
        options: &StorageOptions,
        dir: &str,
        config: TurnServerConfig,
    ) -> Result<(TurnServer, Store), String> {
        let (path, fresh) = (Path::new(dir), Epoch::random(&mut os_entropy()));
        let opened = match options {
            _ if options.discard => Journal::discard(path, fresh),
            _ if options.new_epoch => Journal::open_backup(path, fresh),
            _ => Journal::open(path, fresh),
        };
        let mut journal = opened.map_err(|error| advise(&error))?;
        let state = journal.load().map_err(|lost| advise(&lost))?;
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
        Journal::export(Path::new(dir), &mut text).map_err(|error| advise(&error))?;
        let failed = |error| {
            format!("cannot write the export to {file:?}: {error}; choose another file with --export")
        };
        // Existing files are not overwritten.
        let mut to = File::create_new(file).map_err(failed)?;
        to.write_all(&text).and_then(|()| to.sync_all()).map_err(|error| {
            // A part of an export is worth nothing, and would be in the way of the next attempt.
            let _ = std::fs::remove_file(file);
            failed(error)
        })
    }

    pub(super) fn import(dir: &str, file: &str) -> Result<(), String> {
        let from = File::open(file).map_err(|error| {
            format!("cannot read the export {file:?}: {error}; choose another file with --import")
        })?;
        let journal =
            Journal::import(Path::new(dir), BufReader::new(from)).map_err(|error| advise(&error))?;
        journal.close().map_err(|lost| lost.to_string())
    }
}
