//! The option for the status listener, and its environment variable.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};

use support::bare::{PATIENCE, connect};

use crate::process::programs::example_as_here;
use crate::process::{Process, Stream};

pub(crate) fn status_of(server: &mut Process) -> SocketAddr {
    let line = server.wait_for_line(
        "address of the status",
        |line| line.text.contains("tatus on http://"),
        PATIENCE,
    );
    let addr = line.text.split_once("http://").and_then(|(_, rest)| rest.strip_suffix('/'));
    addr.and_then(|addr| addr.parse().ok()).unwrap_or_else(|| panic!("no address in {}", line.text))
}

/// Asks for `path`. Returns the lines of the answer, as they arrive.
pub(crate) fn get(addr: SocketAddr, path: &str) -> impl Iterator<Item = String> {
    get_from(addr, "localhost", path)
}

fn get_from(addr: SocketAddr, host: &str, path: &str) -> impl Iterator<Item = String> {
    let mut stream = connect(addr);
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).expect("it reads");
    BufReader::new(stream).lines().map(|line| line.expect("it speaks"))
}

#[test]
fn every_server_shows_its_status_and_ends_at_a_signal() {
    for name in ["turn_server", "echo_server", "rank_server", "counter_server"] {
        let mut command = example_as_here(name);
        command.args(["--listen", "127.0.0.1:0"]);
        if name == "counter_server" {
            command.args(["--log-file", "/dev/null"]);
        }
        // The option takes precedence.
        match name {
            "turn_server" => command.env("TAKETURNS_STATUS", "127.0.0.1:0"),
            _ => command.args(["--status", "127.0.0.1:0"]).env("TAKETURNS_STATUS", "nonsense"),
        };
        let mut server = Process::spawn(&mut command);
        let status = status_of(&mut server);
        let health = get(status, "/healthz").next().expect("an answer");
        assert!(health.starts_with("HTTP/1.1 200 "), "{name}: {health}");
        let mut feed = get(status, "/events").take(20).skip_while(|line| line != "event: hello");
        let hello = feed.nth(1).expect("a greeting");
        assert!(hello.contains("\"protocol\":\""), "{name}: {hello}");
        server.signal("TERM");
        server.expect_exit(0, PATIENCE);
    }
}

/// A page of anywhere may have its own name lead here.
#[test]
fn the_status_is_read_under_names_that_the_options_tell() {
    let answer = |status, host| get_from(status, host, "/metrics").next().expect("an answer");
    for by_option in [true, false] {
        let mut command = example_as_here("turn_server");
        command.args(["--listen", "127.0.0.1:0", "--status", "127.0.0.1:0"]);
        match by_option {
            true => command.args(["--status-host", "a.example", "--status-host=b.example"]),
            false => command.env("TAKETURNS_STATUS_HOST", "a.example, b.example"),
        };
        let mut server = Process::spawn(&mut command);
        let status = status_of(&mut server);
        for (host, code) in
            [("a.example", 200), ("b.example:80", 200), ("localhost", 200), ("evil.example", 403)]
        {
            let answer = answer(status, host);
            assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{host}: {answer}");
        }
    }
}

/// As with `--listen`, because browsers and probes try different addresses first.
#[test]
fn the_status_is_shown_on_all_addresses_of_a_name() {
    let named = "localhost:0".to_socket_addrs().expect("it has one");
    let had = named.filter(|addr| TcpListener::bind(addr).is_ok()).map(|addr| addr.is_ipv4());
    let mut command = example_as_here("turn_server");
    let mut server = Process::spawn(command.args(["--listen", "127.0.0.1:0", "--status", "localhost:0"]));
    status_of(&mut server);
    server.signal("TERM");
    server.expect_exit(0, PATIENCE);
    let lines = server.lines(Stream::Err);
    let shown = lines.iter().filter_map(|line| line.split_once("tatus on http://")?.1.strip_suffix('/'));
    let shown = shown.map(|addr| addr.parse::<SocketAddr>().expect("an address").is_ipv4());
    assert_eq!(shown.collect::<BTreeSet<_>>(), had.collect(), "{lines:?}");
}

#[test]
fn an_unusable_address_is_reported_with_the_option() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("port 0 is free");
    let addr = taken.local_addr().expect("bound").to_string();
    for (value, words) in [
        (
            "8081",
            "cannot show the status on \"8081\": there is no host; perhaps 127.0.0.1:8081, as in --status 127.0.0.1:8081",
        ),
        (addr.as_str(), "choose another with --status"),
    ] {
        let mut command = example_as_here("turn_server");
        let mut server = Process::spawn(command.args(["--listen", "127.0.0.1:0", "--status", value]));
        server.expect_exit(1, PATIENCE);
        assert!(
            server.lines(Stream::Err).iter().any(|line| line.contains(words)),
            "{:?}",
            server.lines(Stream::Err)
        );
    }
}
