//! Name lookups, which are never made on the thread of a loop.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};

use crate::engine::Target;

/// Returns the addresses of `target`, each once, in the order of the system's resolver.
///
/// This may block for 10 s and more, if a name server does not answer. So a program whose loop has other
/// things to do calls it on another thread when it gets [`Event::Resolve`](crate::net::Event::Resolve), and
/// passes the result to [`Driver::resolved`](crate::net::Driver::resolved).
///
/// # Errors
///
/// The error of the resolver; [`NotFound`](io::ErrorKind::NotFound) for a name without an address.
///
/// # Examples
///
/// ```
/// use taketurns::net::resolve;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert_eq!(resolve(&"127.0.0.1:5001".parse()?)?, ["127.0.0.1:5001".parse()?]);
/// # Ok(()) }
/// ```
pub fn resolve(target: &Target) -> io::Result<Vec<SocketAddr>> {
    let mut found = match target {
        Target::Addr(addr) => vec![*addr],
        Target::Name { host, port } => Vec::from_iter((host.as_str(), *port).to_socket_addrs()?),
    };
    let mut seen = std::collections::HashSet::new();
    found.retain(|addr| seen.insert(*addr));
    match found.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
        false => Ok(found),
    }
}
