//! Legacy clients against `turn_server`, and `turn_client` against the legacy server.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use support::bare::{PATIENCE, recv};

use crate::process::programs::legacy;
use crate::process::{Process, Sent, Stream};
use crate::programs::{RawPeer, Server, assert_alternates, assert_counts, turn_client};

// ---- legacy clients against turn_server ---------------------------------------------------------------

/// [T2] [T3] [T5] [T7] The promise to deployed clients: they work unchanged.
///
/// Each client sleeps for 1 s after its number, both at the same time. One after the other would take 17 s.
#[test]
fn two_legacy_clients_send_18_numbers_in_order_within_12_seconds() {
    two_legacy_clients_send_18_numbers("raw");
}

/// [L10] [T2] The same with a server that also accepts new clients, which is the default.
#[test]
fn two_legacy_clients_send_18_numbers_to_a_server_for_all_clients() {
    two_legacy_clients_send_18_numbers("auto");
}

fn two_legacy_clients_send_18_numbers(framing: &str) {
    let mut server = Server::start(&["--framing", framing]);
    let Some(mut first) = legacy_client(&server, "Client1", 1) else { return };
    server.wait_for_connections(1);
    let Some(mut second) = legacy_client(&server, "Client2", 2) else { return };
    // The time that Python takes to start does not count.
    server.process.wait_for_sent(1, PATIENCE);
    let sent = server.process.wait_for_sent(18, Duration::from_secs(12));
    for (sent, number) in sent.iter().zip(1..) {
        let name = if number % 2 == 1 { "Client1" } else { "Client2" };
        assert_eq!(*sent, Sent { name: name.to_owned(), number });
    }
    assert_signals_came_one_by_one(&mut first);
    assert_signals_came_one_by_one(&mut second);
}

/// [T2] [T10] [T30] "The accepted numbers always alternate, also over a reconnect."
#[test]
fn alternation_holds_over_legacy_clients_that_are_killed_and_restarted() {
    alternation_holds_over_restarts("raw");
}

/// [L12] "Two raw clients alternate strictly, also over reconnects."
#[test]
fn alternation_holds_over_restarts_at_a_server_for_all_clients() {
    alternation_holds_over_restarts("auto");
}

/// [L12] "An old client and a new one alternate."
#[test]
fn a_legacy_client_and_one_of_ours_alternate() {
    let mut server = Server::start(&[]);
    let Some(mut old) = legacy_client(&server, "Old", 1) else { return };
    let _new = turn_client(&server.address, &["--clients", "1", "--name", "New", "--pace", "10ms"]);
    assert_alternates(&server.process.wait_for_sent(8, PATIENCE));
    assert_signals_came_one_by_one(&mut old);
}

fn alternation_holds_over_restarts(framing: &str) {
    let mut server = Server::start(&["--framing", framing]);
    let Some(first) = legacy_client(&server, "Client1", 1) else { return };
    server.wait_for_connections(1);
    let Some(second) = legacy_client(&server, "Client2", 2) else { return };
    // The other client has the turn when Client2 dies ...
    server.wait_for_number("Client2", 4);
    second.kill(PATIENCE);
    let Some(second) = legacy_client(&server, "Client2", 102) else { return };
    server.wait_for_number("Client2", 104);
    // ... and Client1 has the turn when it dies.
    first.kill(PATIENCE);
    let Some(first) = legacy_client(&server, "Client1", 201) else { return };
    server.wait_for_number("Client1", 203);
    server.wait_for_number("Client2", 108);
    assert_alternates(&server.process.sent());
    drop((first, second));
}

/// [T5] A `GO` right after a `WAIT` would be read together with it, as one unknown signal.
#[test]
fn a_go_is_held_back_for_100_ms_after_a_wait() {
    let mut server = Server::start(&["--framing", "raw"]);
    let mut holder = RawPeer::connect(&server.address);
    server.wait_for_connections(1);
    // Its `WAIT` comes after this instant, so a slow machine can only make the gap look longer. But a server
    // reads the clock once per pass, and that pass may have begun slightly earlier.
    let before_the_wait = Instant::now();
    let mut next = RawPeer::connect(&server.address);
    holder.answer_go("Holder:1");
    next.expect_go();
    let gap = before_the_wait.elapsed();
    assert!(gap >= Duration::from_millis(90), "GO came {gap:?} after the connection");
}

fn legacy_client(server: &Server, name: &str, start: i64) -> Option<Process> {
    let start = start.to_string();
    let args = ["127.0.0.1", server.port(), "--name", name, "--start", &start, "--step", "2"];
    Some(Process::spawn(legacy("turn_client.py")?.args(args)))
}

/// [T5] A legacy client dies if a read returns anything but exactly one signal.
fn assert_signals_came_one_by_one(client: &mut Process) {
    client.wait_for_line("GO", |line| line.text == "got GO", PATIENCE);
    for line in client.lines(Stream::Out) {
        if let Some(signal) = line.strip_prefix("got ") {
            assert!(matches!(signal, "GO" | "WAIT"), "two signals in one read: {signal}");
        }
    }
}

// ---- turn_client against the legacy server ------------------------------------------------------------

/// At the pace of the legacy client, against the original server.
#[test]
fn turn_client_works_with_a_legacy_server_at_its_default_pace() {
    against_legacy_server(&[], &["--count", "4"], 4);
}

#[test]
fn turn_client_works_with_a_legacy_server_as_fast_as_it_can() {
    against_legacy_server(&[], &["--count", "15", "--pace", "0ms"], 15);
}

/// This server sends `WAIT` all the time, so that signals run together.
#[test]
fn turn_client_works_with_an_eager_legacy_server() {
    against_legacy_server(&["--eager"], &["--count", "4", "--pace", "500ms"], 4);
}

/// "Our client must cope with `WAITWAITGO` in one read."
#[test]
fn turn_client_finds_the_go_after_waits_in_one_read() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let args = ["--framing", "raw", "--clients", "1", "--step", "2", "--count", "3", "--pace", "0ms"];
    let mut client = turn_client(&address, &args);
    let (mut stream, _) = listener.accept().expect("the client comes");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time");
    for expected in ["Client1:1", "Client1:3", "Client1:5"] {
        stream.write_all(b"WAITWAITGO").expect("the client is there");
        let mut answer = vec![0; expected.len()];
        stream.read_exact(&mut answer).expect("the client answers");
        assert_eq!(String::from_utf8_lossy(&answer), expected);
    }
    // It half-closes, and sends nothing after its last answer.
    assert_eq!(recv(&stream, &mut [0; 64]).expect("half-closed"), 0);
    drop(stream);
    client.expect_exit(0, PATIENCE);
}

fn against_legacy_server(server_options: &[&str], client_options: &[&str], count: usize) {
    let Some(mut command) = legacy("turn_server.py") else { return };
    let mut server = Process::spawn(command.arg("0").args(server_options));
    let port = server.wait_for_line("port", |line| line.stream == Stream::Out, PATIENCE).text;
    let address = format!("127.0.0.1:{port}");
    let mut client = turn_client(&address, &[&["--framing", "raw"], client_options].concat());
    client.expect_exit(0, PATIENCE);
    assert_counts(&client.sent(), &[("Client1", 1), ("Client2", 2)], 2, count);
    let sent = server.wait_for_sent(2 * count, PATIENCE);
    assert_alternates(&sent);
    assert_counts(&sent, &[("Client1", 1), ("Client2", 2)], 2, count);
}
