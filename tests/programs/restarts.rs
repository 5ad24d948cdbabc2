//! Servers that are killed, suspended or started late: clients continue, and no number counts twice.

use std::io::Write as _;
use std::time::Duration;

use support::bare::{PATIENCE, free_address};

use crate::process::{Line, Sent, Stream};
use crate::programs::{RawPeer, Server, assert_alternates, numbers_of, turn_client, unresolvable_name};

/// Raw: a number is never sent twice, whatever happened to the connection that it was written to.
#[test]
fn raw_clients_come_back_to_a_killed_and_restarted_server() {
    let (on_servers, _) = over_three_lives("raw");
    assert_each_name_only_grows(&on_servers);
}

/// [T31] Line: in addition, no number is left out except an answer in flight at the kill.
#[test]
fn line_clients_come_back_to_a_killed_and_restarted_server() {
    let (on_servers, on_client) = over_three_lives("line");
    assert_each_name_only_grows(&on_servers);
    assert_each_name_only_grows(&on_client);
    for name in ["Client1", "Client2"] {
        let numbers = numbers_of(&on_client, name);
        let missing: i64 = numbers.windows(2).map(|pair| (pair[1] - pair[0]) / 2 - 1).sum();
        assert!(missing <= 2, "{name} left out {missing} numbers at 2 kills: {numbers:?}");
    }
}

/// Kills (SIGKILL) two servers under clients that continue with a third. Returns everything that the servers
/// and the clients have printed.
fn over_three_lives(framing: &str) -> (Vec<Sent>, Vec<Sent>) {
    let mut server = Server::start(&["--framing", framing]);
    let address = server.address.clone();
    let client = turn_client(&address, &["--framing", framing, "--pace", "20ms"]);
    let mut on_servers = Vec::new();
    for _ in 0..2 {
        server.process.wait_for_sent(12, PATIENCE);
        let sent = server.process.kill(PATIENCE);
        assert_alternates(&sent);
        on_servers.extend(sent);
        // Connections of the dead server may keep the port in use, which must not matter.
        server = Server::start_at(&address, &["--framing", framing]);
    }
    server.process.wait_for_sent(12, PATIENCE);
    let sent = server.process.kill(PATIENCE);
    assert_alternates(&sent);
    on_servers.extend(sent);
    (on_servers, client.kill(PATIENCE))
}

/// [A5] turn_client reports it once and retries, even at its first connection.
#[test]
fn turn_client_reports_connection_refused_once_and_works_when_the_server_starts() {
    let address = free_address();
    let mut client = turn_client(&address, &["--count", "3", "--pace", "0ms"]);
    let refused =
        |line: &Line| line.stream == Stream::Err && line.text.to_lowercase().contains("connection refused");
    let said = client.wait_for_line("refusal", refused, PATIENCE).text;
    assert!(said.contains(&address), "it does not name the address: {said:?}");
    // Enough time for some more attempts, which are not reported.
    client.expect_no_line("the end", |line| line.stream == Stream::Out, Duration::from_secs(1));
    let mut server = Server::start_at(&address, &[]);
    client.expect_exit(0, PATIENCE);
    assert_eq!(
        client.lines(Stream::Err).len(),
        1,
        "reported more than once: {:?}",
        client.lines(Stream::Err)
    );
    assert_alternates(&server.process.wait_for_sent(6, PATIENCE));
}

/// [A5] A cluster may not know a name yet.
#[test]
fn turn_client_reports_once_that_a_name_does_not_resolve_and_stays() {
    let address = format!("{}:5001", unresolvable_name());
    let mut client = turn_client(&address, &[]);
    let names_it = |line: &Line| line.stream == Stream::Err && line.text.contains(&address);
    client.wait_for_line("complaint", names_it, PATIENCE);
    client.expect_no_line("the end", |line| line.stream == Stream::Out, Duration::from_secs(1));
    client.signal("TERM");
    client.expect_exit(0, PATIENCE);
    assert_eq!(
        client.lines(Stream::Err).len(),
        1,
        "reported more than once: {:?}",
        client.lines(Stream::Err)
    );
}

/// When the process continues, its poll ends early with `EINTR`, and by then the deadline has passed. But the
/// answer was there first.
#[test]
fn an_answer_that_waits_while_the_server_is_stopped_counts() {
    let mut server = Server::start(&["--clients", "1", "--turn-deadline", "1500ms"]);
    let mut holder = RawPeer::connect(&server.address);
    for number in 1..=3 {
        holder.expect_go();
        server.process.signal("STOP");
        holder.0.write_all(format!("ann:{number}").as_bytes()).expect("the server is there");
        // Longer than the deadline, which is long enough for the server to be stopped in time.
        holder.expect_silence(Duration::from_millis(1700));
        server.process.signal("CONT");
        server.wait_for_number("ann", number);
    }
    let lapsed = |line: &Line| line.text.contains("lapsed");
    server.process.expect_no_line("a turn that lapsed", lapsed, Duration::ZERO);
}

/// Checks that no number is accepted twice, and none reappears later.
fn assert_each_name_only_grows(sent: &[Sent]) {
    for name in ["Client1", "Client2"] {
        let numbers = numbers_of(sent, name);
        assert!(numbers.is_sorted_by(|a, b| a < b), "the numbers of {name} do not only grow: {numbers:?}");
    }
}
