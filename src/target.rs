//! The address that a client connects to or a server listens on, as people write it: the one parser of
//! `HOST:PORT`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::session::is_format;

/// An address, or a name that stands for some.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// An address. An IPv4 address that is written as an IPv6 address counts as IPv4.
    Addr(SocketAddr),
    /// A name, whose addresses have to be looked up. [`net::resolve`](crate::net::resolve) does that.
    Name {
        /// A name, or an IPv6 address with the name of its zone, as `fe80::1%eth0`.
        host: String,
        /// The port.
        port: u16,
    },
    /// Several, of servers that stand by for each other: tried in turn, beginning behind the one that was
    /// tried last. None of them is a list itself.
    Several(Vec<Target>),
}

impl From<SocketAddr> for Target {
    fn from(addr: SocketAddr) -> Self {
        match addr.ip().to_canonical() {
            IpAddr::V4(ip) => Target::Addr((ip, addr.port()).into()),
            IpAddr::V6(_) => Target::Addr(addr),
        }
    }
}

/// Reads `127.0.0.1:5001`, `[::1]:5001`, `server:5001`, and link-local addresses with their zone:
/// `[fe80::1%eth0]:5001`, `[fe80::1%2]:5001`, or without brackets. Several are separated by commas.
impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        if text.contains(',') {
            return text
                .split(',')
                .map(|one| one.trim().parse())
                .collect::<Result<_, _>>()
                .map(Target::Several);
        }
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return Ok(addr.into());
        }
        let is_shown = |c: char| !c.is_whitespace() && c != '/' && !c.is_control() && !is_format(c);
        if !text.chars().all(is_shown) {
            return Err(BadTarget::BadHost);
        }
        let Some((host, port)) = text.rsplit_once(':') else { return Err(BadTarget::NoPort) };
        let (host, has_brackets) = match host.strip_prefix('[').map(|host| host.strip_suffix(']')) {
            Some(Some(host)) => (host, true),
            Some(None) => return Err(BadTarget::Brackets),
            None => (host, false),
        };
        match port {
            "" => return Err(BadTarget::NoPort),
            // Otherwise a part of it would be taken for the port.
            _ if host.contains(':') && !has_brackets && !host.contains('%') => {
                return Err(BadTarget::Brackets);
            }
            _ => {}
        }
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| is_number).ok_or(BadTarget::BadPort)?;
        match host {
            "" => Err(BadTarget::NoHost),
            _ if has_brackets && !host.contains(':') => Err(BadTarget::Brackets),
            _ if !host.contains(':') && ends_in_number(host) => Err(BadTarget::BadAddress),
            _ => Ok(Target::Name { host: host.to_owned(), port }),
        }
    }
}

/// Returns whether the last part of a host is a number, as in no top-level domain.
fn ends_in_number(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit_once('.').map_or("", |(_, last)| last);
    !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Addr(addr) => addr.fmt(f),
            Target::Name { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Target::Name { host, port } => write!(f, "{host}:{port}"),
            Target::Several(targets) => targets.iter().enumerate().try_for_each(|(nth, target)| {
                f.write_str(if nth > 0 { "," } else { "" })?;
                target.fmt(f)
            }),
        }
    }
}

/// The reason why a text is not a [`Target`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadTarget {
    /// There is no host before the port.
    NoHost,
    /// There is no port after the host.
    NoPort,
    /// The port is not a number of 16 bits.
    BadPort,
    /// There is white space, a slash or an invisible character in it.
    BadHost,
    /// Numbers with dots between them that are not an IPv4 address.
    BadAddress,
    /// An IPv6 address without brackets, whose end might be a port; or brackets around something else.
    Brackets,
}

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadTarget::NoHost => "there is no host",
            BadTarget::NoPort => "there is no port",
            BadTarget::BadPort => {
                "the text after the last colon is not a port: it must be a number from 0 to 65535"
            }
            BadTarget::BadHost => {
                "a host is a name or an address, without white space, slashes or invisible characters"
            }
            BadTarget::BadAddress => "an IPv4 address has four numbers from 0 to 255",
            BadTarget::Brackets => "an IPv6 address, and nothing else, stands in brackets: [::1]:5001",
        })
    }
}

impl std::error::Error for BadTarget {}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(host: &str, port: u16) -> Result<Target, BadTarget> {
        Ok(Target::Name { host: host.to_owned(), port })
    }

    #[test]
    fn a_target_is_an_address_or_a_name() {
        let addr = |text: &str| Ok(Target::Addr(text.parse().expect("an address")));
        for (text, target) in [
            ("127.0.0.1:5", addr("127.0.0.1:5")),
            ("[::1]:5", addr("[::1]:5")),
            ("[::ffff:127.0.0.1]:5", addr("127.0.0.1:5")),
            ("[fe80::1%2]:5", addr("[fe80::1%2]:5")),
            ("[fe80::1%eth0]:5", name("fe80::1%eth0", 5)),
            ("fe80::1%eth0:5", name("fe80::1%eth0", 5)),
            ("server:5001", name("server", 5001)),
            ("server:0", name("server", 0)),
            (
                "a:1,127.0.0.1:5",
                Ok(Target::Several(vec![
                    name("a", 1).expect("a name"),
                    addr("127.0.0.1:5").expect("an address"),
                ])),
            ),
            (
                "a:1, b:2 ",
                Ok(Target::Several(vec![name("a", 1).expect("a name"), name("b", 2).expect("a name")])),
            ),
            ("a:1,", Err(BadTarget::NoPort)),
            ("a:1,b", Err(BadTarget::NoPort)),
            ("", Err(BadTarget::NoPort)),
            ("5001", Err(BadTarget::NoPort)),
            ("server", Err(BadTarget::NoPort)),
            ("server:", Err(BadTarget::NoPort)),
            ("[::1]", Err(BadTarget::Brackets)),
            ("[::1]:", Err(BadTarget::NoPort)),
            (":5", Err(BadTarget::NoHost)),
            ("[]:5", Err(BadTarget::NoHost)),
            (" a:5", Err(BadTarget::BadHost)),
            ("a:5 b:5", Err(BadTarget::BadHost)),
            ("http://a:5", Err(BadTarget::BadHost)),
            ("a\u{202e}b:5", Err(BadTarget::BadHost)),
            ("a\u{200b}:5", Err(BadTarget::BadHost)),
            ("300.1.1.1:5", Err(BadTarget::BadAddress)),
            ("127.0.0.1.:5", Err(BadTarget::BadAddress)),
            ("127.1:5", Err(BadTarget::BadAddress)),
            ("server.5a:5", name("server.5a", 5)),
            ("server.:5", name("server.", 5)),
            ("fe80::1%eth0.5:5", name("fe80::1%eth0.5", 5)),
            ("server:65536", Err(BadTarget::BadPort)),
            ("server:-1", Err(BadTarget::BadPort)),
            ("127.0.0.1:+5", Err(BadTarget::BadPort)),
            ("server:http", Err(BadTarget::BadPort)),
            ("::1:5", Err(BadTarget::Brackets)),
            ("fe80::1:5001", Err(BadTarget::Brackets)),
            ("[server]:5", Err(BadTarget::Brackets)),
            ("[127.0.0.1]:5", Err(BadTarget::Brackets)),
            ("[::1:5", Err(BadTarget::Brackets)),
        ] {
            assert_eq!(text.parse::<Target>(), target, "{text:?}");
        }
    }

    #[test]
    fn a_displayed_target_is_read_as_the_same_target() {
        for text in
            ["127.0.0.1:5", "[::1]:5", "a:1,[::1]:5", "[fe80::1%eth0]:5", "fe80::1%eth0:5", "server:5001"]
        {
            let target: Target = text.parse().expect("a target");
            assert_eq!(target.to_string().parse(), Ok(target));
        }
    }
}
