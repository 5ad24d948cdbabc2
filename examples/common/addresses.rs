//! Addresses as people write them: for servers to listen on, and for clients to connect to.

use std::io;
use std::net::{SocketAddr, TcpListener};

use log::warn;
use taketurns::net::{BadTarget, Driver, Target, resolve};
use taketurns::protocol::Protocol;

use super::tls::Listening;

/// Parses the `HOST:PORT` of a server, or of several, separated by commas.
pub fn target(text: &str, example: &str) -> Result<Target, String> {
    let target = parse(text, "connect to", example)?;
    match has_port_zero(&target) {
        true => Err(format!(
            "cannot connect to {text:?}: a server cannot have port 0; try an address such as {example}"
        )),
        false => Ok(target),
    }
}

fn has_port_zero(target: &Target) -> bool {
    match target {
        Target::Addr(addr) => addr.port() == 0,
        Target::Name { port, .. } => *port == 0,
        Target::Several(targets) => targets.iter().any(has_port_zero),
    }
}

/// Parses `HOST:PORT`. The error says what it should look like.
fn parse(text: &str, verb: &str, example: &str) -> Result<Target, String> {
    text.parse().map_err(|error: BadTarget| {
        let hint = match text.parse::<u16>() {
            Ok(port) => format!("{}; perhaps 127.0.0.1:{port}", BadTarget::NoHost),
            Err(_) => error.to_string(),
        };
        format!("cannot {verb} {text:?}: {hint}, as in {example}")
    })
}

/// Returns the addresses to listen on: those of `--listen`, else of the environment variable, else the
/// default.
pub fn to_listen_on(options: &[String], default: &str) -> Result<Vec<SocketAddr>, String> {
    let texts = match (options, super::environment("TAKETURNS_LISTEN")) {
        ([], Some(text)) => vec![text],
        ([], None) => vec![default.to_owned()],
        (options, _) => options.to_vec(),
    };
    all(&texts, "listen on", &format!("--listen {default}"))
}

/// Parses each `HOST:PORT` and finds all its addresses. Leaves out duplicates and addresses that a wildcard
/// covers, because this program would collide with itself there.
pub fn all(texts: &[String], verb: &str, example: &str) -> Result<Vec<SocketAddr>, String> {
    let found = texts.iter().map(|text| {
        let target = parse(text, verb, example)?;
        let found =
            resolve(&target).map_err(|error| format!("cannot {verb} {text:?}: {error}; try {example}"))?;
        Ok(of_this_machine(found, verb))
    });
    let said = found.collect::<Result<Vec<_>, String>>()?.concat();
    let is_first = |(nth, addr): (usize, &SocketAddr)| {
        let is_same = |before: &SocketAddr| before == addr && addr.port() != 0;
        !said[..nth].iter().any(is_same) && !said.iter().any(|other| is_covered(addr, other))
    };
    Ok(said.iter().enumerate().filter(|&it| is_first(it)).map(|(_, addr)| *addr).collect())
}

/// Returns those addresses of a name that this machine has, or all if it has none. Many systems give
/// `localhost` an IPv6 address although they have no IPv6.
fn of_this_machine(mut found: Vec<SocketAddr>, verb: &str) -> Vec<SocketAddr> {
    let missing = |addr: &SocketAddr| {
        let mut any_port = *addr;
        any_port.set_port(0);
        TcpListener::bind(any_port).err().filter(is_missing)
    };
    if found.len() > 1 && found.iter().any(|addr| missing(addr).is_none()) {
        found.retain(|addr| match missing(addr) {
            None => true,
            Some(error) => {
                warn!("cannot {verb} {addr}: {error}; the other addresses of its name are used");
                false
            }
        });
    }
    found
}

/// Returns whether `wildcard` stands for all addresses of the machine, including `addr`.
fn is_covered(addr: &SocketAddr, wildcard: &SocketAddr) -> bool {
    wildcard.ip().is_unspecified()
        && !addr.ip().is_unspecified()
        && addr.is_ipv4() == wildcard.is_ipv4()
        && addr.port() == wildcard.port()
        && addr.port() != 0
}

/// Listens on all of `addrs`.
pub fn listen<P: Protocol>(
    driver: &mut Driver<P>,
    addrs: &[SocketAddr],
    tls: Option<&Listening>,
) -> Result<Vec<SocketAddr>, String> {
    let listen = |&addr| match tls {
        Some(tls) => tls.listen(driver, addr),
        None => driver.listen(addr),
    };
    let bound: Result<Vec<_>, _> = addrs.iter().map(listen).collect();
    bound.map_err(|error| super::advise(&error))
}

/// Returns whether the system has no such address.
fn is_missing(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable
        || cfg!(target_os = "linux") && error.raw_os_error() == Some(EAFNOSUPPORT)
}
