//! `--tls-...`: the files for TLS, if the programs were built with the feature.

use taketurns::net::{Driver, Error, Target, now};
use taketurns::protocol::{DialId, Protocol};
use taketurns::time::Now;

use super::options::{Extra, Extras};

/// The options of servers.
pub const OF_SERVERS: &[Extra] = &[
    Extra {
        option: "--tls-cert",
        value: "file",
        variable: "TAKETURNS_TLS_CERT",
        about: "accept TLS 1.3 only, if built with the feature tls: the server's certificate, followed by those \
                that lead to its authority (PEM). SIGHUP reads all such files again, for new connections",
    },
    Extra {
        option: "--tls-key",
        value: "file",
        variable: "TAKETURNS_TLS_KEY",
        about: "the private key of that certificate (PEM)",
    },
    Extra {
        option: "--tls-client-ca",
        value: "file",
        variable: "TAKETURNS_TLS_CLIENT_CA",
        about: "ask clients for certificates issued by one of these authorities (PEM)",
    },
    Extra {
        option: "--tls-client-cert",
        value: "need",
        variable: "TAKETURNS_TLS_CLIENT_CERT",
        about: "required, or wanted: clients without a certificate are accepted, too. Default: required, where \
                --tls-client-ca is given",
    },
    Extra {
        option: "--tls-crl",
        value: "file",
        variable: "TAKETURNS_TLS_CRL",
        about: "the lists of revoked client certificates, one from each authority (PEM)",
    },
];

/// The options of clients.
pub const OF_CLIENTS: &[Extra] = &[
    Extra {
        option: "--tls",
        value: "",
        variable: "TAKETURNS_TLS",
        about: "speak TLS 1.3 with the server, if built with the feature tls, and check its certificate",
    },
    Extra {
        option: "--tls-ca",
        value: "file",
        variable: "TAKETURNS_TLS_CA",
        about: "the authorities of servers (PEM). Default: those of this system",
    },
    Extra {
        option: "--tls-cert",
        value: "file",
        variable: "TAKETURNS_TLS_CERT",
        about: "the certificate for servers that ask for one (PEM)",
    },
    Extra {
        option: "--tls-key",
        value: "file",
        variable: "TAKETURNS_TLS_KEY",
        about: "the private key of that certificate (PEM)",
    },
    Extra {
        option: "--tls-name",
        value: "name",
        variable: "TAKETURNS_TLS_NAME",
        about: "the name that the server's certificate must have. Default: the host of --connect",
    },
];

/// Reads files of a server again, on its caller's thread, and says so in the log. Returns what its loop has
/// to do then; nothing, if a file is bad.
pub type Reload<P> = Box<dyn FnMut() -> Option<Change<P>> + Send>;

/// A change that a loop has to make.
pub type Change<P> = Box<dyn FnOnce(&mut Driver<P>, Now) + Send>;

/// The TLS settings of a server.
#[cfg(feature = "tls")]
pub struct Listening {
    files: files::OfServer,
    acceptor: taketurns::tls::Acceptor,
}

#[cfg(not(feature = "tls"))]
pub enum Listening {}

/// How to connect to a server: with TLS or in plain text.
#[derive(Clone, Default)]
pub struct Way {
    #[cfg(feature = "tls")]
    tls: Option<(taketurns::tls::Connector, String)>,
}

#[cfg(not(feature = "tls"))]
mod absent {
    use std::net::SocketAddr;

    use super::*;

    fn refuse(extras: &Extras, first: &str) -> Result<(), String> {
        let Some(_) = extras.get(first) else { return Ok(()) };
        let lacks = super::super::options::lacks("tls");
        Err(format!("cannot speak TLS: {lacks}, or leave {first} and its environment variable out"))
    }

    impl Listening {
        pub fn read(extras: &Extras) -> Result<Option<Listening>, String> {
            refuse(extras, "--tls-cert").map(|()| None)
        }

        pub fn identifies_clients(&self) -> bool {
            match *self {}
        }

        pub fn asks_for_certificates(&self) -> bool {
            match *self {}
        }

        pub fn listen<P: Protocol>(&self, _: &mut Driver<P>, _: SocketAddr) -> Result<SocketAddr, Error> {
            match *self {}
        }

        pub fn into_reload<P: Protocol>(self, _: Vec<SocketAddr>) -> Reload<P> {
            match self {}
        }
    }

    impl Way {
        pub fn to(_: &Target, extras: &Extras) -> Result<Way, String> {
            refuse(extras, "--tls").map(|()| Way {})
        }

        pub fn connect<P: Protocol>(&self, driver: &mut Driver<P>, target: impl Into<Target>) -> DialId {
            driver.connect(now(), target)
        }
    }
}

#[cfg(feature = "tls")]
mod files {
    use std::net::SocketAddr;

    use super::super::files::GivenFile;
    use super::super::options::wrong_usage;
    use super::*;
    use taketurns::tls::{Acceptor, Clients, Connector, File, Identity, TlsError};

    /// The names of a server's files.
    #[derive(Clone)]
    pub struct OfServer {
        certificates: GivenFile,
        key: GivenFile,
        clients: Option<OfClients>,
    }

    #[derive(Clone)]
    struct OfClients {
        authorities: GivenFile,
        revoked: Option<GivenFile>,
        are_required: bool,
    }

    impl OfServer {
        fn named(extras: &Extras) -> Option<OfServer> {
            let (certificates, key) = pair(extras)?;
            let need = extras.get("--tls-client-cert");
            let are_required = match need.as_deref() {
                None | Some("required") => true,
                Some("wanted") => false,
                Some(_) => wrong_usage(format_args!("--tls-client-cert is required or wanted")),
            };
            let revoked = GivenFile::of(extras, "--tls-crl");
            let authorities = GivenFile::of(extras, "--tls-client-ca");
            if authorities.is_none() && (need.is_some() || revoked.is_some()) {
                wrong_usage(format_args!("--tls-client-cert and --tls-crl need --tls-client-ca"));
            }
            let clients = authorities.map(|authorities| OfClients { authorities, revoked, are_required });
            Some(OfServer { certificates, key, clients })
        }

        fn read(&self) -> Result<Acceptor, String> {
            let (certificates, key) = (self.certificates.read()?, self.key.read()?);
            let identity = Identity { certificates: &certificates, key: &key };
            let Some(of) = &self.clients else {
                return Acceptor::new(identity, None).map_err(|error| self.blame(&error));
            };
            let authorities = of.authorities.read()?;
            let revoked = of.revoked.as_ref().map(GivenFile::read).transpose()?;
            let clients = Clients {
                authorities: &authorities,
                revoked: revoked.as_deref(),
                are_required: of.are_required,
            };
            Acceptor::new(identity, Some(clients)).map_err(|error| self.blame(&error))
        }

        fn blame(&self, error: &TlsError) -> String {
            let of = self.clients.as_ref();
            let file = match error.file {
                File::Key => Some(&self.key),
                File::Authorities => of.map(|of| &of.authorities),
                File::Revoked => of.and_then(|of| of.revoked.as_ref()),
                _ => Some(&self.certificates),
            };
            format!("{}: {error}", file.unwrap_or(&self.certificates))
        }
    }

    /// Returns a certificate and its key, or neither.
    fn pair(extras: &Extras) -> Option<(GivenFile, GivenFile)> {
        match (GivenFile::of(extras, "--tls-cert"), GivenFile::of(extras, "--tls-key")) {
            (None, None) => None,
            (Some(certificates), Some(key)) => Some((certificates, key)),
            _ => wrong_usage(format_args!("--tls-cert and --tls-key need each other")),
        }
    }

    impl Listening {
        /// Reads the files that the options name, if there are any.
        pub fn read(extras: &Extras) -> Result<Option<Listening>, String> {
            let Some(files) = OfServer::named(extras) else {
                if extras.get("--tls-client-ca").is_some() {
                    wrong_usage(format_args!("--tls-client-ca needs --tls-cert and --tls-key"));
                }
                return Ok(None);
            };
            let acceptor = files.read()?;
            Ok(Some(Listening { files, acceptor }))
        }

        /// Returns whether only clients with a certificate may take part.
        pub fn identifies_clients(&self) -> bool {
            self.files.clients.as_ref().is_some_and(|clients| clients.are_required)
        }

        /// Returns whether clients may present a certificate.
        pub fn asks_for_certificates(&self) -> bool {
            self.files.clients.is_some()
        }

        pub fn listen<P: Protocol>(
            &self,
            driver: &mut Driver<P>,
            addr: SocketAddr,
        ) -> Result<SocketAddr, Error> {
            driver.listen_wrapped(addr, self.acceptor.wrap())
        }

        /// Renews the wires of those that connect to `bound` from then on.
        pub fn into_reload<P: Protocol>(self, bound: Vec<SocketAddr>) -> Reload<P> {
            Box::new(move || match self.files.read() {
                Ok(acceptor) => {
                    log::info!("{} and the other TLS files were read again", self.files.certificates);
                    let bound = bound.clone();
                    Some(Box::new(move |driver, _| {
                        for addr in bound {
                            driver.rewrap(addr, acceptor.wrap());
                        }
                    }))
                }
                Err(message) => {
                    log::error!("{message}; the previous TLS files stay in force");
                    None
                }
            })
        }
    }

    impl Way {
        /// Reads the files that the options name, if they ask for TLS.
        pub fn to(server: &Target, extras: &Extras) -> Result<Way, String> {
            if extras.get("--tls").is_none() {
                match extras.first_of(OF_CLIENTS) {
                    Some(option) => wrong_usage(format_args!("{option} needs --tls")),
                    None => return Ok(Way::default()),
                }
            }
            let authorities = GivenFile::of(extras, "--tls-ca");
            let pem = authorities.as_ref().map(GivenFile::read).transpose()?;
            let files = pair(extras);
            let read_pair = files.as_ref().map(|(certificates, key)| Ok((certificates.read()?, key.read()?)));
            let read_pair: Option<(Vec<u8>, Vec<u8>)> =
                read_pair.transpose().map_err(|error: String| error)?;
            let identity = read_pair.as_ref().map(|(certificates, key)| Identity { certificates, key });
            let connector = Connector::new(pem.as_deref(), identity).map_err(|error| {
                let file = match (error.file, &files) {
                    (File::Certificates, Some((certificates, _))) => Some(certificates),
                    (File::Key, Some((_, key))) => Some(key),
                    _ => authorities.as_ref(),
                };
                file.map_or_else(|| format!("--tls-ca: {error}"), |file| format!("{file}: {error}"))
            })?;
            let name = extras.get("--tls-name").unwrap_or_else(|| host(server));
            if let Err(error) = connector.wrap(&name) {
                wrong_usage(format_args!("cannot check a certificate for {name:?}: {error}; see --tls-name"));
            }
            Ok(Way { tls: Some((connector, name)) })
        }

        pub fn connect<P: Protocol>(&self, driver: &mut Driver<P>, target: impl Into<Target>) -> DialId {
            let wrap = self.tls.as_ref().and_then(|(connector, name)| connector.wrap(name).ok());
            match wrap {
                Some(wrap) => driver.connect_wrapped(now(), target, wrap),
                None => driver.connect(now(), target),
            }
        }
    }

    /// Returns the name that the server's certificate must have.
    fn host(server: &Target) -> String {
        match server {
            Target::Addr(addr) => addr.ip().to_canonical().to_string(),
            Target::Name { host, .. } => host.clone(),
            // Servers that stand by for each other share a name.
            Target::Several(targets) => targets.first().map(host).unwrap_or_default(),
        }
    }
}
