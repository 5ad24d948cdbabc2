//! The `Host` of a request. A web page can have its own name resolve to an address of the victim's machine,
//! and the browser then treats it as a page of that server. So the name must be one that the server knows.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Returns whether a server whose names are `names`, without ports, is reached as `host`, which may have a
/// port. Addresses, `localhost` and names that end in `.localhost` are always accepted: no foreign web page
/// can have them as its name.
pub(crate) fn is_known(host: &str, names: &[String]) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let Some((ip, port)) = rest.split_once(']') else { return false };
        return ip.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || port.starts_with(':'));
    }
    let name = host.split_once(':').map_or(host, |(name, _port)| name);
    let name = name.to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<Ipv4Addr>().is_ok()
        || names.iter().any(|host| host.eq_ignore_ascii_case(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_must_be_known_and_an_address_is_as_good_as_any() {
        let names = ["turns.example".to_owned()];
        for host in [
            "localhost",
            "LOCALHOST:5001",
            "a.localhost:1",
            "127.0.0.1:5001",
            "192.0.2.7",
            "[::1]:5001",
            "[::1]",
            "Turns.Example",
        ] {
            assert!(is_known(host, &names), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:5001",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "[::1",
            "[::1]x",
            "",
            "::1",
        ] {
            assert!(!is_known(host, &names), "{host}");
        }
    }
}
