//! TLS 1.3 in front of any protocol, feature `tls`: a [`Wrapping`](crate::engine::Wrapping), sans-IO, on
//! `rustls` and `ring`. No type of theirs is in this interface.
//!
//! An [`Acceptor`] is made from the files of a server, a [`Connector`] from those of a client. The files are
//! read at that time: after they have changed, a host makes another one, and a bad file changes nothing.
//!
//! - TLS 1.3 only. There are no tickets, no early data and no cache of sessions, so a certificate that is
//!   revoked or has expired is refused at the next connection.
//! - A client always checks that its server's certificate is valid for the name that it dialed.
//! - The names of a verified certificate are the peer's
//!   [`Transport::names`](crate::protocol::Transport::names).
//! - A peer that sends plain text to a server is told `BYE tls-required`.
//! - The end of the stream ends the input, with or without `close_notify`, because no protocol here treats a
//!   message without its end as complete.
//!
//! `rustls` reads the system's clock, to check the validity of certificates, and the system's source of
//! random bytes. It does no other I/O, except that [`Connector::new`] reads files if it is given no
//! authorities.
//!
//! # Examples
//!
//! ```no_run
//! use taketurns::net::{EventLoop, os_entropy};
//! use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
//! use taketurns::tls::{Acceptor, Clients, Identity};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let files = ["server.pem", "server.key", "clients.pem"].map(std::fs::read);
//! let [certificates, key, authorities] = files;
//! let identity = Identity { certificates: &certificates?, key: &key? };
//! let clients = Clients { authorities: &authorities?, revoked: None, are_required: true };
//! let acceptor = Acceptor::new(identity, Some(clients))?;
//!
//! let server = TurnServer::new(TurnServerConfig::default(), os_entropy())?;
//! let mut event_loop = EventLoop::new(server)?;
//! event_loop.driver_mut().listen_wrapped("0.0.0.0:5001".parse()?, acceptor.wrap())?;
//! # Ok(()) }
//! ```

mod connection;

use std::fmt;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{CipherSuite, ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::engine::Wrap;
use connection::Connection;

/// The proof of a name: a certificate chain and its private key, each as PEM.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    /// The certificate, followed by those that lead to its authority.
    pub certificates: &'a [u8],
    /// The private key of the first certificate, not encrypted.
    pub key: &'a [u8],
}

impl fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// How a server checks the certificates of its clients.
#[derive(Debug, Clone, Copy)]
pub struct Clients<'a> {
    /// The authorities that must have issued the certificates, as PEM.
    pub authorities: &'a [u8],
    /// Lists of revoked certificates, as PEM. If given, a certificate whose authority has no list here is
    /// refused. A list remains in force after its time for renewal has passed.
    pub revoked: Option<&'a [u8]>,
    /// Whether a client without a certificate is refused. A client with a bad one always is.
    pub are_required: bool,
}

/// Creates the TLS sessions of a server. A clone is cheap.
#[derive(Clone)]
pub struct Acceptor(Arc<ServerConfig>);

impl Acceptor {
    /// Reads the files of a server. Without `clients`, clients are not asked for certificates.
    ///
    /// # Errors
    ///
    /// Returns [`TlsError`], with the reason, for a file that cannot be used.
    pub fn new(identity: Identity<'_>, clients: Option<Clients<'_>>) -> Result<Acceptor, TlsError> {
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(bad(File::Certificates))?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let roots = Arc::new(roots(clients.authorities)?);
                let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                if let Some(lists) = clients.revoked {
                    verifier = verifier.with_crls(revoked(lists)?).only_check_end_entity_revocation();
                }
                if !clients.are_required {
                    verifier = verifier.allow_unauthenticated();
                }
                builder.with_client_cert_verifier(verifier.build().map_err(bad(File::Revoked))?)
            }
        };
        let (chain, key) = read(identity)?;
        let mut config = builder.with_single_cert(chain, key).map_err(bad(File::Key))?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        // Also for clients that would like ChaCha20 best.
        config.ignore_client_order = true;
        Ok(Acceptor(Arc::new(config)))
    }

    /// Returns a function that makes the session of each connection of a listener.
    #[must_use]
    pub fn wrap(&self) -> Wrap {
        let config = Arc::clone(&self.0);
        Box::new(move || Box::new(Connection::accept(&config)))
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

/// Creates the TLS sessions of a client. A clone is cheap.
///
/// # Examples
///
/// ```no_run
/// use taketurns::net::{EventLoop, now};
/// use taketurns::protocol::turns::TurnClient;
/// use taketurns::tls::Connector;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let authorities = std::fs::read("ca.pem")?;
/// let connector = Connector::new(Some(&authorities), None)?;
///
/// let mut event_loop = EventLoop::new(TurnClient::new())?;
/// let server: taketurns::net::Target = "turns.example.org:5001".parse()?;
/// let wrap = connector.wrap("turns.example.org")?; // the name in the server's certificate
/// event_loop.driver_mut().connect_wrapped(now(), server, wrap);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Connector(Arc<ClientConfig>);

impl Connector {
    /// Reads the files of a client: the authorities of its servers, as PEM, and the certificate for servers
    /// that ask for one. Without `authorities`, those of this system are used.
    ///
    /// # Errors
    ///
    /// Returns [`TlsError`], with the reason, for a file that cannot be used.
    pub fn new(authorities: Option<&[u8]>, identity: Option<Identity<'_>>) -> Result<Connector, TlsError> {
        client(&[&rustls::version::TLS13], authorities, identity).map(|config| Connector(Arc::new(config)))
    }

    /// Returns a function that makes the session of each attempt to connect to the server `name`, which is a
    /// DNS name or an address, without a port. The server's certificate must be valid for that name.
    ///
    /// # Errors
    ///
    /// Returns [`BadServerName`] if `name` is neither.
    pub fn wrap(&self, name: &str) -> Result<Wrap, BadServerName> {
        let name = ServerName::try_from(name).map_err(|_| BadServerName)?.to_owned();
        let config = Arc::clone(&self.0);
        Ok(Box::new(move || Box::new(Connection::connect(&config, name.clone()))))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

fn client(
    versions: &[&'static SupportedProtocolVersion],
    authorities: Option<&[u8]>,
    identity: Option<Identity<'_>>,
) -> Result<ClientConfig, TlsError> {
    let roots = match authorities {
        Some(authorities) => roots(authorities)?,
        None => system_roots()?,
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(bad(File::Certificates))?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = read(identity)?;
            builder.with_client_auth_cert(chain, key).map_err(bad(File::Key))?
        }
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Returns a function that makes sessions for HTTP/2 with an etcd, of which many speak no more than TLS 1.2:
/// official builds of 3.5 before 3.5.8, and of 3.4 before 3.4.18.
#[cfg(feature = "etcd")]
pub(crate) fn http2_sessions(
    authorities: Option<&[u8]>,
    identity: Option<Identity<'_>>,
    name: ServerName<'static>,
) -> Result<impl Fn() -> Result<rustls::ClientConnection, rustls::Error> + Send + use<>, TlsError> {
    let mut config = client(rustls::ALL_VERSIONS, authorities, identity)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);
    Ok(move || rustls::ClientConnection::new(Arc::clone(&config), name.clone()))
}

/// A text that is neither a DNS name nor an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadServerName;

impl fmt::Display for BadServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a DNS name or an address, without a port")
    }
}

impl std::error::Error for BadServerName {}

/// A file that cannot be used, and the reason. The text shows nothing of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsError {
    /// The file.
    pub file: File,
    why: String,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for TlsError {}

/// A file of an [`Acceptor`] or a [`Connector`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum File {
    /// The certificates of an [`Identity`].
    Certificates,
    /// Its key.
    Key,
    /// The authorities that must have issued the other side's certificate.
    Authorities,
    /// The lists of revoked certificates.
    Revoked,
}

/// Converts an error of rustls about `file`.
fn bad<E: fmt::Display>(file: File) -> impl FnOnce(E) -> TlsError {
    move |error| TlsError { file, why: error.to_string() }
}

/// AES-128-GCM comes first, because a handshake hashes a lot, and with it by SHA-256: many processors have
/// instructions for that, and few for SHA-384.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

/// Returns all items of a kind in `pem`; at least one.
fn items<T: PemObject>(file: File, pem: &[u8], kind: &str) -> Result<Vec<T>, TlsError> {
    let items: Vec<T> = T::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(bad(file))?;
    if items.is_empty() {
        return Err(TlsError { file, why: format!("it has no {kind} in PEM form") });
    }
    Ok(items)
}

fn read(identity: Identity<'_>) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = items(File::Certificates, identity.certificates, "certificate")?;
    let mut keys = items(File::Key, identity.key, "private key")?;
    Ok((chain, keys.swap_remove(0)))
}

fn revoked(pem: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    items(File::Revoked, pem, "list of revoked certificates")
}

fn roots(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in items(File::Authorities, pem, "certificate")? {
        roots.add(certificate).map_err(bad(File::Authorities))?;
    }
    Ok(roots)
}

/// Returns the authorities that this system trusts, without those that cannot be read.
fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(
            || "this system trusts no authority; name a file with some".to_owned(),
            |error| format!("the authorities of this system cannot be read: {error}"),
        );
        return Err(TlsError { file: File::Authorities, why });
    }
    Ok(roots)
}
