//! Listening addresses: from an option or a variable, one or several, and the message if a server cannot
//! listen.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};

use support::bare::{PATIENCE, free_address};

use crate::process::programs::example;
use crate::process::{Process, Reading, Stream};
use crate::programs::{
    RawPeer, Server, assert_alternates, assert_counts, expect_one_complaint, listening_on, unresolvable_name,
};

/// [A5] "One line on standard error that says what, where and what to do."
#[test]
fn a_second_server_on_the_port_says_so_in_one_line_and_ends() {
    let first = Server::start(&[]);
    for options in [&[][..], &["--log-level", "warn"]] {
        let mut second =
            Process::spawn(example("turn_server").args(["--listen", &first.address]).args(options));
        second.expect_exit(1, PATIENCE);
        let said = expect_one_complaint(&second);
        assert!(said.contains(&first.address), "it does not say where: {said:?}");
        assert!(said.to_lowercase().contains("address already in use"), "it does not say what: {said:?}");
        assert!(said.contains("--listen"), "it does not say what to do: {said:?}");
    }
}

/// [A5] The second of two addresses is taken: there must be no half-working server.
#[test]
fn a_server_that_gets_only_one_of_its_addresses_ends() {
    let first = Server::start(&[]);
    let args = ["--listen", "127.0.0.1:0", "--listen", &first.address];
    let mut second = Process::spawn(example("turn_server").args(args));
    second.expect_exit(1, PATIENCE);
    assert!(second.lines(Stream::Err).iter().any(|said| said.contains(&first.address)));
}

/// [A5]
#[test]
fn a_port_out_of_range_ends_a_server() {
    for address in ["127.0.0.1:70000", "127.0.0.1:-1", "127.0.0.1:http"] {
        let mut server = Process::spawn(example("turn_server").args(["--listen", address]));
        server.expect_exit(1, PATIENCE);
        let said = expect_one_complaint(&server);
        assert!(said.contains(address), "it does not say where: {said:?}");
    }
}

/// [A5]
#[test]
fn a_name_that_does_not_resolve_ends_a_server() {
    let address = format!("{}:5001", unresolvable_name());
    let mut server = Process::spawn(example("turn_server").args(["--listen", &address]));
    server.expect_exit(1, PATIENCE);
    let said = expect_one_complaint(&server);
    assert!(said.contains(&address), "it does not say where: {said:?}");
}

#[test]
fn the_listen_address_may_come_from_the_environment() {
    let address = free_address();
    let mut server = Process::spawn(example("turn_server").env("TAKETURNS_LISTEN", &address));
    let expected = format!("Server listening on {address}");
    server.wait_for_line(&expected, |line| line.stream == Stream::Out && line.text == expected, PATIENCE);
    drop(TcpStream::connect(&address).expect("the server listens there"));
}

#[test]
fn the_listen_option_wins_over_the_environment() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken_address = taken.local_addr().expect("bound").to_string();
    let mut command = example("turn_server");
    command.env("TAKETURNS_LISTEN", &taken_address).args(["--listen", "127.0.0.1:0"]);
    let server = Server::spawn(&mut command, Reading::All);
    assert_ne!(server.address, taken_address);
    drop(TcpStream::connect(&server.address).expect("the server listens there"));
}

/// [T14] "One server can listen on several addresses, all feeding the same ring."
#[test]
fn several_listeners_feed_one_ring() {
    let mut server = Server::start(&["--listen", "127.0.0.1:0"]);
    let addresses = server.process.wait_until("second address", PATIENCE, |seen| {
        let addresses: Vec<String> = seen.iter().filter_map(listening_on).collect();
        (addresses.len() == 2).then_some(addresses)
    });
    let mut first = RawPeer::connect(&addresses[0]);
    server.wait_for_connections(1);
    let mut second = RawPeer::connect(&addresses[1]);
    for turn in 0..4 {
        first.answer_go(&format!("First:{turn}"));
        second.answer_go(&format!("Second:{turn}"));
    }
    let sent = server.process.wait_for_sent(8, PATIENCE);
    assert_alternates(&sent);
    assert_counts(&sent, &[("First", 0), ("Second", 0)], 1, 4);
}

/// Returns the addresses on which a server says that it listens, once it prints no more.
fn addresses_of(args: &[&str]) -> Vec<SocketAddr> {
    let mut server = Process::spawn(example("turn_server").args(args));
    server.wait_for_line("address", |line| line.text.starts_with("Server listening on"), PATIENCE);
    server.signal("TERM");
    server.expect_exit(0, PATIENCE);
    let addresses = server.lines(Stream::Out).into_iter();
    addresses.filter_map(|line| line.strip_prefix("Server listening on ")?.parse().ok()).collect()
}

fn families(addresses: &[SocketAddr]) -> BTreeSet<bool> {
    addresses.iter().map(SocketAddr::is_ipv4).collect()
}

/// A name stands for all its addresses that this machine has.
#[test]
fn a_server_listens_on_all_addresses_of_a_name() {
    let named: Vec<SocketAddr> = "localhost:0".to_socket_addrs().expect("it has one").collect();
    let had: Vec<SocketAddr> = named.into_iter().filter(|addr| TcpListener::bind(addr).is_ok()).collect();
    let bound = addresses_of(&["--listen", "localhost:0"]);
    assert_eq!(families(&bound), families(&had), "{bound:?}");
}

/// Each of these would otherwise collide with an address of the program itself.
#[test]
fn a_duplicate_or_covered_address_is_listened_on_once() {
    let address = free_address();
    let port = address.rsplit_once(':').expect("a port").1;
    let (wildcard, mapped) = (format!("0.0.0.0:{port}"), format!("[::ffff:127.0.0.1]:{port}"));
    for (addresses, bound) in [
        ([&address, &address], &address),
        ([&address, &mapped], &address),
        ([&wildcard, &address], &wildcard),
        ([&address, &wildcard], &wildcard),
    ] {
        let args = ["--listen", addresses[0], "--listen", addresses[1]];
        assert_eq!(addresses_of(&args).iter().map(ToString::to_string).collect::<Vec<_>>(), [bound.as_str()]);
    }
    let any = "127.0.0.1:0";
    assert_eq!(addresses_of(&["--listen", any, "--listen", any]).len(), 2, "a different port each time");
}

/// A link-local address with the name of its interface, if this machine has one.
#[cfg(target_os = "linux")]
#[test]
fn an_address_may_have_a_zone_with_and_without_brackets() {
    let interfaces = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let link_local = interfaces.lines().find(|line| line.starts_with("fe80")).and_then(|line| {
        let mut fields = line.split_whitespace();
        let bits = u128::from_str_radix(fields.next()?, 16).ok()?;
        Some(format!("{}%{}", std::net::Ipv6Addr::from_bits(bits), fields.last()?))
    });
    let Some(zoned) = link_local else { return };
    for host in [format!("[{zoned}]"), zoned] {
        let mut server = Server::start_at(&format!("{host}:0"), &[]);
        let connect = format!("{host}:{}", server.port());
        let mut client = Process::spawn(example("turn_client").args(["--connect", &connect, "--count", "1"]));
        client.expect_exit(0, PATIENCE);
        server.process.wait_for_sent(2, PATIENCE);
    }
}

/// A client looks up the name on a thread of its own, and tries the addresses in turn.
#[test]
fn a_client_connects_to_a_name() {
    let server = Server::start(&[]);
    let connect = format!("localhost:{}", server.port());
    let mut client = Process::spawn(example("turn_client").args(["--connect", &connect, "--count", "1"]));
    client.expect_exit(0, PATIENCE);
}
