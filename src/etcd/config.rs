//! Settings of a server that shares an order with others through etcd.

use std::fmt;
use std::time::Duration;

use http::uri::Authority;

use super::connection::Secure;
use super::keys::Keys;
use crate::engine::Target;

/// How to reach etcd, and how this server presents itself there.
#[derive(Clone)]
#[non_exhaustive]
pub struct EtcdConfig {
    /// The members, such as `http://10.0.0.1:2379`. If one does not answer, the next one is asked.
    pub members: Vec<String>,
    /// The name of the order: servers with the same one stand by for each other. 1 to 64 letters, digits and
    /// `-_.`.
    pub cluster: String,
    /// Where clients find this server. A server that stands by tells it with
    /// [`Step::Behind`](super::Step::Behind).
    pub advertise: String,
    /// How long a leader that is silent keeps the lead, in whole seconds. Default 5 s, at least 2 s.
    ///
    /// etcd takes up to 3 s to replace its own leader, and nobody can keep a lease alive meanwhile: with less
    /// than 5 s a healthy server may lose the lead.
    pub ttl: Duration,
    /// User and password, if etcd asks for them.
    pub user: Option<(String, String)>,
    /// TLS to members whose address begins with `https:`. Needs the feature `tls`.
    pub tls: EtcdTls,
}

/// Files for TLS to etcd, as PEM.
#[derive(Clone, Default)]
pub struct EtcdTls {
    /// The authorities of the members. Default: those of the system.
    pub authorities: Option<Vec<u8>>,
    /// The certificate to show, with those that lead to its authority, and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl EtcdConfig {
    /// Settings with the default times, without user and TLS.
    #[must_use]
    pub fn new(members: Vec<String>, cluster: impl Into<String>, advertise: impl Into<String>) -> EtcdConfig {
        EtcdConfig {
            members,
            cluster: cluster.into(),
            advertise: advertise.into(),
            ttl: Duration::from_secs(5),
            user: None,
            tls: EtcdTls::default(),
        }
    }

    pub(super) fn keys(&self) -> Result<Keys, EtcdError> {
        Keys::of(&self.cluster).ok_or_else(|| EtcdError::Cluster(self.cluster.clone()))
    }

    pub(super) fn ttl_seconds(&self) -> Result<u64, EtcdError> {
        let ttl = self.ttl;
        if ttl.subsec_nanos() > 0 || ttl < Duration::from_secs(2) {
            return Err(EtcdError::Ttl(ttl));
        }
        Ok(ttl.as_secs())
    }

    /// Returns the addresses of the members.
    pub(super) fn addresses(&self) -> Result<Vec<Address>, EtcdError> {
        if self.members.is_empty() {
            return Err(EtcdError::Member(String::new()));
        }
        self.members.iter().map(|member| self.address(member)).collect()
    }

    fn address(&self, member: &str) -> Result<Address, EtcdError> {
        let bad = || EtcdError::Member(member.to_owned());
        let url = member.strip_suffix('/').unwrap_or(member);
        let (scheme, host) = url.split_once("://").ok_or_else(bad)?;
        let is_secure = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(bad()),
        };
        let authority = host.parse::<Authority>().map_err(|_| bad())?;
        let target = match host.parse() {
            Ok(target @ (Target::Addr(_) | Target::Name { .. })) if !host.contains('@') => target,
            _ => return Err(bad()),
        };
        if is_secure && !cfg!(feature = "tls") {
            return Err(EtcdError::NoTls(member.to_owned()));
        }
        Ok(Address { url: url.to_owned(), authority, target, is_secure })
    }
}

/// The address of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// As people write it, without a slash at the end.
    pub(super) url: String,
    /// The same without its scheme.
    pub(super) authority: Authority,
    pub(super) target: Target,
    /// Whether it speaks TLS.
    pub(super) is_secure: bool,
}

/// Passwords and keys are not shown.
impl fmt::Debug for EtcdConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdConfig")
            .field("members", &self.members)
            .field("cluster", &self.cluster)
            .field("advertise", &self.advertise)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for EtcdTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdTls").finish_non_exhaustive()
    }
}

/// Returns what makes connections to a member speak TLS, if it does.
#[cfg(not(feature = "tls"))]
pub(super) fn secure(_: &EtcdConfig, address: &Address) -> Result<Option<Box<Secure>>, EtcdError> {
    assert!(!address.is_secure, "such an address is refused");
    Ok(None)
}

#[cfg(feature = "tls")]
pub(super) fn secure(config: &EtcdConfig, address: &Address) -> Result<Option<Box<Secure>>, EtcdError> {
    use std::io;

    use rustls::pki_types::ServerName;

    use super::executor::Socket;
    use crate::tls::{Identity, http2_sessions};

    if !address.is_secure {
        return Ok(None);
    }
    let failed = |why: &dyn fmt::Display| EtcdError::Tls(why.to_string());
    let identity = config.tls.identity.as_ref();
    let identity = identity.map(|(certificates, key)| Identity { certificates, key });
    let name = address.authority.host().trim_matches(['[', ']']);
    let name = ServerName::try_from(name).map_err(|error| failed(&error))?.to_owned();
    let session = http2_sessions(config.tls.authorities.as_deref(), identity, name);
    let session = session.map_err(|error| failed(&error))?;
    Ok(Some(Box::new(move |stream| {
        Ok(Socket::new(rustls::StreamOwned::new(session().map_err(io::Error::other)?, stream)))
    })))
}

/// Settings that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EtcdError {
    /// A member's address is invalid; the empty string if no member was given.
    Member(String),
    /// The address of a member needs the feature `tls`.
    NoTls(String),
    /// The name of the cluster cannot be part of a key.
    Cluster(String),
    /// The time is below 2 s, or not in whole seconds.
    Ttl(Duration),
    /// A file for TLS cannot be used.
    Tls(String),
}

impl fmt::Display for EtcdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EtcdError::Member(member) => {
                write!(f, "{member:?} is not the address of an etcd, such as http://127.0.0.1:2379")
            }
            EtcdError::NoTls(member) => write!(f, "{member}: this build lacks the feature tls"),
            EtcdError::Cluster(cluster) => {
                write!(f, "{cluster:?} cannot name a cluster: it has 1 to 64 letters, digits and -_.")
            }
            EtcdError::Ttl(ttl) => {
                write!(f, "{ttl:?} cannot be the time of a lease: it has whole seconds, 2 at least")
            }
            EtcdError::Tls(why) => write!(f, "TLS towards etcd: {why}"),
        }
    }
}

impl std::error::Error for EtcdError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_used_are_refused_and_passwords_are_not_shown() {
        let config = |member: &str| EtcdConfig::new(vec![member.to_owned()], "x", "a:1");
        let url = |member: &str| config(member).addresses().map(|found| found[0].url.clone());
        assert_eq!(url("http://[::1]:2379/"), Ok("http://[::1]:2379".to_owned()));
        assert_eq!(url("http://etcd-0.etcd:2379"), Ok("http://etcd-0.etcd:2379".to_owned()));
        for bad in [
            "",
            "127.0.0.1:2379",
            "http://",
            "http:///",
            "http://a",
            "http://a b:1",
            "http://a:1/b",
            "ftp://a:1",
            "http://u@a:1",
            "http://a:1,b:1",
        ] {
            assert_eq!(url(bad), Err(EtcdError::Member(bad.to_owned())), "{bad}");
        }
        assert_eq!(url("https://a:1").is_ok(), cfg!(feature = "tls"));
        let mut odd = config("http://a:1");
        for (ttl, is_good) in [(1, false), (2, true), (5, true)] {
            odd.ttl = Duration::from_secs(ttl);
            assert_eq!(odd.ttl_seconds().is_ok(), is_good);
        }
        odd.ttl = Duration::from_millis(2500);
        assert!(odd.ttl_seconds().is_err());
        odd.cluster = "a/b".to_owned();
        assert_eq!(odd.keys(), Err(EtcdError::Cluster("a/b".to_owned())));
        odd.user = Some(("root".to_owned(), "hidden".to_owned()));
        assert!(!format!("{odd:?}").contains("hidden"));
    }
}
