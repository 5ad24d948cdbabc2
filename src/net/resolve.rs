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
/// Returns the error of the resolver, or [`NotFound`](io::ErrorKind::NotFound) for a name without an address.
/// For several names, returns an error only if none has an address.
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
        Target::Several(targets) => {
            let (mut found, mut failed) = (Vec::new(), None);
            for target in targets {
                match resolve(target) {
                    Ok(more) => found.extend(more),
                    Err(error) => failed = Some(error),
                }
            }
            // One name that is not known does not keep a client from the others.
            if let Some(error) = failed.filter(|_| found.is_empty()) {
                return Err(error);
            }
            found
        }
    };
    let mut seen = std::collections::HashSet::new();
    found.retain(|addr| seen.insert(*addr));
    match found.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_targets_the_ones_that_are_known_are_found_in_order() {
        let found = |text: &str| resolve(&text.parse().expect("a target"));
        let addr = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let two = found("127.0.0.2:5,no-such-host.invalid:5,127.0.0.1:5").expect("two are known");
        assert_eq!(two, [addr("127.0.0.2:5"), addr("127.0.0.1:5")]);
        assert!(found("no-such-host.invalid:5,no-such-host.invalid:6").is_err());
    }
}
