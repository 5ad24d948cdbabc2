//! Addresses as people write them: where a server listens, and where a client connects.

use std::io;
use std::net::SocketAddr;

use log::warn;
use taketurns::net::{BadTarget, Driver, Error, Target, resolve};
use taketurns::protocol::Protocol;

/// Reads `HOST:PORT` of a server.
pub fn target(text: &str, example: &str) -> Result<Target, String> {
    match parse(text, "connect to", example)? {
        Target::Addr(addr) if addr.port() == 0 => zero(text, example),
        Target::Name { port: 0, .. } => zero(text, example),
        target => Ok(target),
    }
}

fn zero(text: &str, example: &str) -> Result<Target, String> {
    Err(format!("cannot connect to {text:?}: port 0 is nobody's, as in {example}"))
}

/// Reads `HOST:PORT`; what it should look like if it does not.
fn parse(text: &str, verb: &str, example: &str) -> Result<Target, String> {
    text.parse().map_err(|error: BadTarget| {
        let hint = match text.parse::<u16>() {
            Ok(port) => format!("{}; perhaps 127.0.0.1:{port}", BadTarget::NoHost),
            Err(_) => error.to_string(),
        };
        format!("cannot {verb} {text:?}: {hint}, as in {example}")
    })
}

/// Reads `HOST:PORT` and finds its addresses.
pub fn all(text: &str, verb: &str, example: &str) -> Result<Vec<SocketAddr>, String> {
    let target = parse(text, verb, example)?;
    resolve(&target).map_err(|error| format!("cannot {verb} {text:?}: {error}; try {example}"))
}

/// The addresses of one `--listen`: several, if it is a name that has several.
pub type Place = Vec<SocketAddr>;

/// Where to listen: as `--listen` says, else the environment variable, else the default. An address that is
/// said twice, or is one of those that another stands for, is left out: this program itself would have it
/// already.
pub fn places(options: &[String], default: &str) -> Result<Vec<Place>, String> {
    let texts = match (options, super::environment("TAKETURNS_LISTEN")) {
        ([], Some(text)) => vec![text],
        ([], None) => vec![default.to_owned()],
        (options, _) => options.to_vec(),
    };
    let places = texts.iter().map(|text| all(text, "listen on", &format!("--listen {default}")));
    let mut places = places.collect::<Result<Vec<_>, _>>()?;
    let said: Vec<SocketAddr> = places.iter().flatten().copied().collect();
    let mut nth = 0;
    for place in &mut places {
        place.retain(|addr| {
            nth += 1;
            !said[..nth - 1]
                .iter()
                .any(|before| is_covered(addr, before) || addr == before && addr.port() != 0)
                && !said[nth..].iter().any(|after| is_covered(addr, after))
        });
    }
    places.retain(|place| !place.is_empty());
    Ok(places)
}

/// Whether `wildcard` stands for all addresses of the machine, and so for `addr`.
fn is_covered(addr: &SocketAddr, wildcard: &SocketAddr) -> bool {
    wildcard.ip().is_unspecified()
        && !addr.ip().is_unspecified()
        && addr.is_ipv4() == wildcard.is_ipv4()
        && addr.port() == wildcard.port()
        && addr.port() != 0
}

/// Listens on all addresses of all `places`. Of a name, those are left out that this machine does not have:
/// many systems say that `localhost` has an address of IPv6, and have no IPv6.
pub fn listen<P: Protocol>(driver: &mut Driver<P>, places: &[Place]) -> Result<Vec<SocketAddr>, String> {
    let mut bound = Vec::new();
    for place in places {
        let before = bound.len();
        let mut missing = None;
        for &addr in place {
            match driver.listen(addr) {
                Ok(addr) => bound.push(addr),
                Err(error) if place.len() > 1 && is_missing(&error) => {
                    warn!("{error}; the other addresses of its name are listened on");
                    missing = Some(error);
                }
                Err(error) => return Err(super::advise(&error)),
            }
        }
        if let Some(error) = missing.filter(|_| bound.len() == before) {
            return Err(super::advise(&error));
        }
    }
    Ok(bound)
}

/// Whether the system has no such address.
fn is_missing(error: &Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    let Error::Listen { source, .. } = error else { return false };
    source.kind() == io::ErrorKind::AddrNotAvailable
        || cfg!(target_os = "linux") && source.raw_os_error() == Some(EAFNOSUPPORT)
}
