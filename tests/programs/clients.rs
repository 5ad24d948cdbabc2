//! `turn_client` with `turn_server`: turns, names, counts, and messages of the server. Unusable names are
//! tested here, other wrong usage in `usage.rs`.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};

use support::bare::PATIENCE;

use crate::peers::outer_address;
use crate::process::programs::example;
use crate::process::{Line, Process, Stream};
use crate::programs::{
    LinePeer, Server, assert_alternates, assert_counts, expect_one_complaint, turn_client,
};

/// [T2] [T7]
#[test]
fn raw_clients_alternate_and_end_after_their_count() {
    ours_with_ours("raw");
}

/// [T2] [T7]
#[test]
fn line_clients_alternate_and_end_after_their_count() {
    ours_with_ours("line");
}

/// The defaults of both programs, apart from the port: what a new user tries first.
#[test]
fn clients_alternate_at_the_default_pace() {
    let mut server = Server::start(&[]);
    let _client = turn_client(&server.address, &[]);
    assert_alternates(&server.process.wait_for_sent(6, PATIENCE));
}

/// [T7] "To the next occupied seat in ring order": five clients go round.
#[test]
fn five_clients_go_round_in_ring_order() {
    let mut server = Server::start(&["--clients", "5"]);
    let mut client = turn_client(&server.address, &["--clients", "5", "--count", "10", "--pace", "0ms"]);
    client.expect_exit(0, PATIENCE);
    let sent = server.process.wait_for_sent(50, PATIENCE);
    let starts = [("Client1", 1), ("Client2", 2), ("Client3", 3), ("Client4", 4), ("Client5", 5)];
    assert_counts(&sent, &starts, 5, 10);
    for (number, pair) in sent.windows(6).enumerate() {
        assert_eq!(pair[0].name, pair[5].name, "the ring order changed at number {number}: {sent:?}");
    }
}

#[test]
fn a_single_client_has_the_name_start_and_step_it_was_told() {
    let mut server = Server::start(&["--clients", "1"]);
    let options = ["--clients", "1", "--name", "Solo", "--start", "10", "--step", "5", "--count", "3"];
    let mut client = turn_client(&server.address, &[&options[..], &["--pace", "0ms"]].concat());
    client.expect_exit(0, PATIENCE);
    assert_counts(&client.sent(), &[("Solo", 10)], 5, 3);
    assert_counts(&server.process.wait_for_sent(3, PATIENCE), &[("Solo", 10)], 5, 3);
}

/// In a container there is no keyboard, so both may come from the environment. Options take precedence.
#[test]
fn a_client_has_its_server_and_name_from_the_environment_unless_told_otherwise() {
    let mut server = Server::start(&["--clients", "1"]);
    for (options, connect, name) in [
        (&[][..], &*server.address, "pod-x7f2k"),
        (&["--connect", &server.address, "--name", "Typed"], "nowhere.invalid:1", "Typed"),
    ] {
        let always = ["--log-level", "warn", "--clients", "1", "--count", "2", "--pace", "0ms"];
        let mut command = example("turn_client");
        command.env("TAKETURNS_CONNECT", connect).env("TAKETURNS_NAME", "pod-x7f2k");
        let mut client = Process::spawn(command.args(always).args(options));
        client.expect_exit(0, PATIENCE);
        assert_counts(&client.sent(), &[(name, 1)], 1, 2);
    }
    server.process.wait_for_sent(4, PATIENCE);
}

/// The longest name leaves no room for numbers, and names of pods differ at their ends.
#[test]
fn clients_of_the_longest_name_have_names_of_their_own() {
    // If each name were cut separately, the 1st and the 11th would be the same.
    let longest = "1".repeat(64);
    let mut server = Server::start(&["--framing", "line"]);
    let mut command = example("turn_client");
    command.env("TAKETURNS_CONNECT", &server.address).env("TAKETURNS_NAME", &longest);
    command.args(["--framing", "line", "--clients", "11", "--count", "1", "--pace", "0ms"]);
    Process::spawn(&mut command).expect_exit(0, PATIENCE);
    let mut names: Vec<String> =
        server.process.wait_for_sent(11, PATIENCE).into_iter().map(|sent| sent.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 11, "{names:?}");
    assert!(names.iter().all(|name| name.starts_with(&longest[2..])), "{names:?}");
}

#[test]
fn an_unusable_name_ends_a_client_with_the_origin_of_the_name() {
    let too_long = "x".repeat(65);
    for (framing, name, reason) in
        [("raw", &*too_long, "1 to 64 bytes"), ("raw", "a:b", "':'"), ("line", "a b", "a space")]
    {
        let options = ["--framing", framing, "--clients", "1"];
        let mut from_environment = example("turn_client");
        from_environment.env("TAKETURNS_NAME", name).args(options);
        let mut from_option = example("turn_client");
        from_option.args(options).args(["--name", name]);
        for (mut command, source) in [(from_environment, "TAKETURNS_NAME"), (from_option, "--name")] {
            let mut client = Process::spawn(&mut command);
            client.expect_exit(2, PATIENCE);
            let said = expect_one_complaint(&client);
            assert!(said.starts_with(source) && said.contains(name) && said.contains(reason), "{said:?}");
        }
    }
}

/// A host name may have several addresses (often `::1` first), of which the server listens on only one.
#[test]
fn turn_client_connects_by_host_name() {
    let mut server = Server::start(&[]);
    let address = format!("localhost:{}", server.port());
    let mut client = turn_client(&address, &["--count", "5", "--pace", "0ms"]);
    client.expect_exit(0, PATIENCE);
    assert_alternates(&server.process.wait_for_sent(10, PATIENCE));
}

#[test]
fn a_quiet_server_prints_no_numbers() {
    let mut server = Server::start(&["--quiet"]);
    let mut client = turn_client(&server.address, &["--count", "5", "--pace", "0ms"]);
    client.expect_exit(0, PATIENCE);
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
    assert_eq!(server.process.sent(), []);
}

/// Each address is logged once when it connects and once when it disconnects.
#[test]
fn the_server_logs_connections_and_disconnections() {
    let mut server = Server::start(&[]);
    let stream = TcpStream::connect(&server.address).expect("the server listens");
    let peer = stream.local_addr().expect("connected");
    server.wait_for_output(&format!("Client {peer} connected."));
    drop(stream);
    server.wait_for_output(&format!("Client {peer} disconnected."));
}

fn ours_with_ours(framing: &str) {
    const COUNT: usize = 100;
    let mut server = Server::start(&["--framing", framing]);
    let count = COUNT.to_string();
    let options = ["--framing", framing, "--count", &count, "--pace", "0ms"];
    let mut client = turn_client(&server.address, &options);
    client.expect_exit(0, PATIENCE);
    assert_counts(&client.sent(), &[("Client1", 1), ("Client2", 2)], 2, COUNT);
    let sent = server.process.wait_for_sent(2 * COUNT, PATIENCE);
    assert_alternates(&sent);
    assert_counts(&sent, &[("Client1", 1), ("Client2", 2)], 2, COUNT);
}

/// [P2] "At its end it says `LEAVE`": the seats are gone, and no other client waits for their grace.
#[test]
fn clients_leave_their_seats_at_their_end() {
    let server = Server::start(&["--clients", "1"]);
    let mut watcher = LinePeer::connect(&server.address, "WATCH");
    turn_client(&server.address, &["--count", "3", "--pace", "0ms"]).expect_exit(0, PATIENCE);
    watcher.hears("LEFT ");
    watcher.hears("LEFT ");
    let mut client = turn_client(&server.address, &["--clients", "1", "--name", "ann", "--pace", "10ms"]);
    watcher.hears("TURN ann ");
    client.signal("TERM");
    client.expect_exit(0, PATIENCE);
    watcher.hears("LEFT ann");
    assert!(!watcher.has_heard("AWAY "));
}

/// Clients that ask for a turn after each pause, in a ring of their own.
#[test]
fn clients_may_ask_for_each_turn() {
    let server = Server::start(&["--demand", "ask", "--clients", "1"]);
    let mut watcher = LinePeer::connect(&server.address, "WATCH ring=oak");
    let options = ["--demand", "ask", "--ring", "oak", "--clients", "3", "--count", "4", "--pace", "5ms"];
    let mut client = turn_client(&server.address, &options);
    client.expect_exit(0, PATIENCE);
    assert_counts(&client.sent(), &[("Client1", 1), ("Client2", 2), ("Client3", 3)], 3, 4);
    watcher.hears("LEFT ");
    assert!(watcher.has_heard("TURN Client3 ") && !watcher.has_heard("SKIP "));
}

/// Such a server, as `turn_lock --serve`, says nothing more to them.
#[test]
fn clients_that_do_not_ask_where_they_have_to_are_told_so_once() {
    let server = Server::start(&["--demand", "ask", "--clients", "1"]);
    let mut client = turn_client(&server.address, &[]);
    let is_advice = |line: &Line| line.stream == Stream::Err && line.text.ends_with("see --demand ask");
    client.wait_for_line("advice", is_advice, PATIENCE);
    client.signal("TERM");
    client.expect_exit(0, PATIENCE);
    expect_one_complaint(&client);
}

/// [P2] The client's end says it, and nothing else does.
#[test]
fn a_token_that_is_not_sent_in_plain_text_is_reported_once() {
    let Some(outer) = outer_address() else { return };
    let server = Server::start_at(&format!("{outer}:0"), &[]);
    for program in ["turn_client", "turn_lock"] {
        let mut command = example(program);
        command.args(["--connect", &server.address, "--log-level", "warn"]).env("TAKETURNS_TOKEN", "token");
        if program == "turn_lock" {
            command.args(["--", "true"]);
        }
        let mut client = Process::spawn(&mut command);
        client.expect_exit(1, PATIENCE);
        let said = expect_one_complaint(&client);
        assert!(said.contains("a token is not sent in plain text"), "{program} says: {said}");
    }
}

/// [L14] Each process leaves when it has its count, and so ends the ring in which the other one waits to have
/// its last number confirmed.
#[test]
fn clients_whose_numbers_are_confirmed_by_go_end_after_their_count() {
    let mut server = Server::start(&[]);
    let mut clients = ["ann", "bob"].map(|name| {
        let options = ["--clients", "1", "--name", name, "--count", "3", "--pace", "0ms", "--confirm-go"];
        turn_client(&server.address, &options)
    });
    for client in &mut clients {
        client.expect_exit(0, PATIENCE);
        assert_eq!(client.sent().len(), 3);
    }
    server.process.wait_for_sent(6, PATIENCE);
}

/// [P2] The seat belongs to another connection now, and reconnecting would take it away again.
#[test]
fn a_client_that_is_superseded_ends_with_exit_code_1_and_why() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let mut client = turn_client(&address, &["--clients", "1", "--name", "ann"]);
    let (mut server, _) = listener.accept().expect("the client comes");
    let secret = "0123456789abcdef0123456789abcdef";
    let said = format!("WELCOME ann seat=1 ring=main epoch=1f resume={secret}\nBYE superseded\n");
    server.write_all(said.as_bytes()).expect("the client is there");
    client.expect_exit(1, PATIENCE);
    let said = client.lines(Stream::Err).join("\n");
    assert!(said.ends_with("ann: superseded: the seat was resumed by another client"), "{said}");
    assert!(!said.contains(secret), "{said}");
}

/// [L7] A server may quote a client's line in its words.
#[test]
fn secrets_in_the_words_of_a_server_are_not_logged() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let mut client = turn_client(&address, &["--clients", "1"]);
    let (mut server, _) = listener.accept().expect("the client comes");
    let secret = "0123456789abcdef0123456789abcdef";
    let words = format!("JOIN ann resume={secret} is not for here");
    let said = format!("NO malformed :{words}\nBYE forbidden :{words}\n");
    server.write_all(said.as_bytes()).expect("the client is there");
    client.expect_exit(1, PATIENCE);
    let said = client.lines(Stream::Err).join("\n");
    assert_eq!(said.matches("JOIN ann resume=... is not for here").count(), 2, "{said}");
    assert!(!said.contains(secret), "{said}");
}
