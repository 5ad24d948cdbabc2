//! The example programs, run as processes and talked to as their users do: by each other, by Python programs
//! that behave as the legacy client and server do (`tests/legacy`), and by bare sockets.
//!
//! Sentences in brackets, such as [T2], are those of docs/PROTOCOL.md. What needs exact times or rare
//! interleavings is tested on the library, in virtual time; here only what a program adds to it: options,
//! exit codes, output, signals, and that the whole holds together.

#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests run real processes against a real clock")]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

#[path = "support/bare.rs"]
mod bare;
#[path = "support/process/mod.rs"]
mod process;

use bare::{PATIENCE, connect, free_address};
#[cfg(not(feature = "status"))]
use process::programs::example_as_here;
use process::programs::{example, legacy};
use process::{Line, Process, Reading, Sent, Stream};

// ---- legacy clients against turn_server ---------------------------------------------------------------

/// [T2] [T3] [T5] [T7] The promise to clients in the field: they work unchanged.
#[test]
fn two_legacy_clients_send_18_numbers_in_order_within_12_seconds() {
    let mut server = Server::start(&[]);
    let Some(mut first) = legacy_client(&server, "Client1", 1) else { return };
    server.wait_for_connections(1);
    let Some(mut second) = legacy_client(&server, "Client2", 2) else { return };
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
    let mut server = Server::start(&[]);
    let Some(first) = legacy_client(&server, "Client1", 1) else { return };
    server.wait_for_connections(1);
    let Some(second) = legacy_client(&server, "Client2", 2) else { return };
    // The other one has the turn when Client2 dies ...
    server.wait_for_number("Client2", 4);
    second.kill(PATIENCE);
    let Some(second) = legacy_client(&server, "Client2", 102) else { return };
    server.wait_for_number("Client2", 104);
    // ... and here it is its own turn when Client1 dies.
    first.kill(PATIENCE);
    let Some(first) = legacy_client(&server, "Client1", 201) else { return };
    server.wait_for_number("Client1", 203);
    server.wait_for_number("Client2", 108);
    assert_alternates(&server.process.sent());
    drop((first, second));
}

/// [T5] A `GO` that came right behind a `WAIT` would be read with it, as one unknown signal.
#[test]
fn a_go_is_held_back_for_100_ms_behind_a_wait() {
    let mut server = Server::start(&[]);
    let mut holder = RawPeer::connect(&server.address);
    server.wait_for_connections(1);
    // Its `WAIT` comes after this instant, so that a slow machine can only make the gap look longer; but a
    // server reads the clock once a pass, and that pass may have begun a little earlier.
    let before_the_wait = Instant::now();
    let mut next = RawPeer::connect(&server.address);
    holder.answer_go("Holder:1");
    next.expect_go();
    let gap = before_the_wait.elapsed();
    assert!(gap >= Duration::from_millis(90), "GO came {gap:?} after the connection");
}

// ---- turn_client against the legacy server ------------------------------------------------------------

/// At the pace of the legacy client, against the server as it was.
#[test]
fn turn_client_works_with_a_legacy_server_at_its_default_pace() {
    against_legacy_server(&[], &["--count", "4"], 4);
}

#[test]
fn turn_client_works_with_a_legacy_server_as_fast_as_it_can() {
    against_legacy_server(&[], &["--count", "15", "--pace-ms", "0"], 15);
}

/// This server says `WAIT` all the time, so that signals run into each other.
#[test]
fn turn_client_works_with_an_eager_legacy_server() {
    against_legacy_server(&["--eager"], &["--count", "4", "--pace-ms", "500"], 4);
}

/// "Our client must cope with `WAITWAITGO` in one read."
#[test]
fn turn_client_finds_the_go_behind_waits_in_one_read() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let args = ["--connect", &address, "--clients", "1", "--step", "2", "--count", "3", "--pace-ms", "0"];
    let mut client = Process::spawn(example("turn_client").args(args));
    let (mut stream, _) = listener.accept().expect("the client comes");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time");
    for expected in ["Client1:1", "Client1:3", "Client1:5"] {
        stream.write_all(b"WAITWAITGO").expect("the client is there");
        let mut answer = vec![0; expected.len()];
        stream.read_exact(&mut answer).expect("the client answers");
        assert_eq!(String::from_utf8_lossy(&answer), expected);
    }
    // It half-closes, and behind the last answer nothing came that nobody asked for.
    assert_eq!(stream.read(&mut [0; 64]).expect("half-closed"), 0);
    drop(stream);
    client.expect_exit(0, PATIENCE);
}

fn against_legacy_server(server_options: &[&str], client_options: &[&str], count: usize) {
    let Some(mut command) = legacy("turn_server.py") else { return };
    let mut server = Process::spawn(command.arg("0").args(server_options));
    let port = server.wait_for_line("port", |line| line.stream == Stream::Out, PATIENCE).text;
    let address = format!("127.0.0.1:{port}");
    let mut client = turn_client(&address, client_options);
    client.expect_exit(0, PATIENCE);
    assert_counts(&client.sent(), &[("Client1", 1), ("Client2", 2)], 2, count);
    let sent = server.wait_for_sent(2 * count, PATIENCE);
    assert_alternates(&sent);
    assert_counts(&sent, &[("Client1", 1), ("Client2", 2)], 2, count);
}

// ---- turn_client against turn_server ------------------------------------------------------------------

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

/// The defaults of both, which is what a newcomer tries, but for the port.
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
    let mut client = turn_client(&server.address, &["--clients", "5", "--count", "10", "--pace-ms", "0"]);
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
    let mut client = turn_client(&server.address, &[&options[..], &["--pace-ms", "0"]].concat());
    client.expect_exit(0, PATIENCE);
    assert_counts(&client.sent(), &[("Solo", 10)], 5, 3);
    assert_counts(&server.process.wait_for_sent(3, PATIENCE), &[("Solo", 10)], 5, 3);
}

/// Where nobody types, as in a container, both may come from outside; what is typed wins.
#[test]
fn a_client_has_its_server_and_name_from_the_environment_unless_told_otherwise() {
    let mut server = Server::start(&["--clients", "1"]);
    for (options, connect, name) in [
        (&[][..], &*server.address, "pod-x7f2k"),
        (&["--connect", &server.address, "--name", "Typed"], "nowhere.invalid:1", "Typed"),
    ] {
        let always = ["--log-level", "warn", "--clients", "1", "--count", "2", "--pace-ms", "0"];
        let mut command = example("turn_client");
        command.env("TAKETURNS_CONNECT", connect).env("TAKETURNS_NAME", "pod-x7f2k");
        let mut client = Process::spawn(command.args(always).args(options));
        client.expect_exit(0, PATIENCE);
        assert_counts(&client.sent(), &[(name, 1)], 1, 2);
    }
    server.process.wait_for_sent(4, PATIENCE);
}

/// The longest name leaves no room for numbers, and a pod's differs from another one's at its end.
#[test]
fn clients_of_the_longest_name_have_names_of_their_own() {
    // Were names cut to fit each by itself, the 1st and the 11th would be the same.
    let longest = "1".repeat(64);
    let mut server = Server::start(&["--framing", "line"]);
    let mut command = example("turn_client");
    command.env("TAKETURNS_CONNECT", &server.address).env("TAKETURNS_NAME", &longest);
    command.args(["--framing", "line", "--clients", "11", "--count", "1", "--pace-ms", "0"]);
    Process::spawn(&mut command).expect_exit(0, PATIENCE);
    let mut names: Vec<String> =
        server.process.wait_for_sent(11, PATIENCE).into_iter().map(|sent| sent.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 11, "{names:?}");
    assert!(names.iter().all(|name| name.starts_with(&longest[2..])), "{names:?}");
}

#[test]
fn a_name_that_cannot_be_used_ends_a_client_and_it_says_where_the_name_came_from() {
    let too_long = "x".repeat(65);
    for (framing, name, reason) in
        [("raw", &*too_long, "1 to 64 bytes"), ("raw", "a:b", "no ':'"), ("line", "a b", "no space")]
    {
        let options = ["--framing", framing, "--clients", "1"];
        let mut from_environment = example("turn_client");
        from_environment.env("TAKETURNS_NAME", name).args(options);
        let mut from_option = example("turn_client");
        from_option.args(options).args(["--name", name]);
        for (mut command, source) in [(from_environment, "TAKETURNS_NAME"), (from_option, "--name")] {
            let mut client = Process::spawn(&mut command);
            client.expect_exit(1, PATIENCE);
            let said = expect_one_complaint(&client);
            assert!(said.starts_with(source) && said.contains(name) && said.contains(reason), "{said:?}");
        }
    }
}

/// A host name has several addresses (`::1` first, on many machines) and the server listens on one of them.
#[test]
fn turn_client_connects_by_host_name() {
    let mut server = Server::start(&[]);
    let address = format!("localhost:{}", server.port());
    let mut client = turn_client(&address, &["--count", "5", "--pace-ms", "0"]);
    client.expect_exit(0, PATIENCE);
    assert_alternates(&server.process.wait_for_sent(10, PATIENCE));
}

#[test]
fn a_quiet_server_prints_no_numbers() {
    let mut server = Server::start(&["--quiet"]);
    let mut client = turn_client(&server.address, &["--count", "5", "--pace-ms", "0"]);
    client.expect_exit(0, PATIENCE);
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
    assert_eq!(server.process.sent(), []);
}

/// Each connection is announced by its address, once when it comes and once when it goes.
#[test]
fn the_server_tells_who_comes_and_goes() {
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
    let options = ["--framing", framing, "--count", &count, "--pace-ms", "0"];
    let mut client = turn_client(&server.address, &options);
    client.expect_exit(0, PATIENCE);
    assert_counts(&client.sent(), &[("Client1", 1), ("Client2", 2)], 2, COUNT);
    let sent = server.process.wait_for_sent(2 * COUNT, PATIENCE);
    assert_alternates(&sent);
    assert_counts(&sent, &[("Client1", 1), ("Client2", 2)], 2, COUNT);
}

// ---- servers that die, and come late ------------------------------------------------------------------

/// Raw: a number is never sent twice, whatever became of the connection that it was written to.
#[test]
fn raw_clients_come_back_to_a_killed_and_restarted_server() {
    let (on_servers, _) = over_three_lives("raw");
    assert_each_name_only_grows(&on_servers);
}

/// [T31] Line: besides, nothing is left out but an answer in flight at the kill.
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

/// Kills (SIGKILL) two servers under clients that go on with a third; answers with what all the servers
/// printed, and what the clients did.
fn over_three_lives(framing: &str) -> (Vec<Sent>, Vec<Sent>) {
    let mut server = Server::start(&["--framing", framing]);
    let address = server.address.clone();
    let client = turn_client(&address, &["--framing", framing, "--pace-ms", "20"]);
    let mut on_servers = Vec::new();
    for _ in 0..2 {
        server.process.wait_for_sent(12, PATIENCE);
        let sent = server.process.kill(PATIENCE);
        assert_alternates(&sent);
        on_servers.extend(sent);
        // The port may stay in use by connections of the dead server, which must not matter.
        server = Server::start_at(&address, &["--framing", framing]);
    }
    server.process.wait_for_sent(12, PATIENCE);
    let sent = server.process.kill(PATIENCE);
    assert_alternates(&sent);
    on_servers.extend(sent);
    (on_servers, client.kill(PATIENCE))
}

/// [A5] turn_client says it once and retries, also at its first connection.
#[test]
fn turn_client_says_connection_refused_once_and_works_when_the_server_comes() {
    let address = free_address();
    let mut client = turn_client(&address, &["--count", "3", "--pace-ms", "0"]);
    let refused =
        |line: &Line| line.stream == Stream::Err && line.text.to_lowercase().contains("connection refused");
    let said = client.wait_for_line("refusal", refused, PATIENCE).text;
    assert!(said.contains(&address), "it does not say where: {said:?}");
    // Time for a few more tries, which it does not talk about.
    client.expect_no_line("the end", |line| line.stream == Stream::Out, Duration::from_secs(1));
    let mut server = Server::start_at(&address, &[]);
    client.expect_exit(0, PATIENCE);
    assert_eq!(client.lines(Stream::Err).len(), 1, "said more than once: {:?}", client.lines(Stream::Err));
    assert_alternates(&server.process.wait_for_sent(6, PATIENCE));
}

/// [A5] As a name may be one that its cluster does not know yet.
#[test]
fn turn_client_says_once_that_a_name_does_not_resolve_and_stays() {
    let address = format!("{}:5001", unresolvable_name());
    let mut client = turn_client(&address, &[]);
    let names_it = |line: &Line| line.stream == Stream::Err && line.text.contains(&address);
    client.wait_for_line("complaint", names_it, PATIENCE);
    client.expect_no_line("the end", |line| line.stream == Stream::Out, Duration::from_secs(1));
    client.signal("TERM");
    client.expect_exit(0, PATIENCE);
    assert_eq!(client.lines(Stream::Err).len(), 1, "said more than once: {:?}", client.lines(Stream::Err));
}

// ---- starting: usage, addresses, ports ----------------------------------------------------------------

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

/// [A5] Several addresses, of which the second is taken: no half a server.
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

/// What a program would not do must not go by unnoticed.
#[test]
#[cfg(not(feature = "status"))]
fn without_the_feature_a_status_address_ends_a_server_with_one_line_that_names_the_feature() {
    for program in ["turn_server", "echo_server", "rank_server", "counter_server"] {
        let mut by_option = example_as_here(program);
        by_option.args(["--status", "127.0.0.1:0"]);
        let mut by_environment = example_as_here(program);
        by_environment.env("TAKETURNS_STATUS", "127.0.0.1:0");
        for mut command in [by_option, by_environment] {
            let mut process = Process::spawn(command.args(["--listen", "127.0.0.1:0"]));
            process.expect_exit(1, PATIENCE);
            let said = process.lines(Stream::Err);
            assert!(matches!(said[..], [line] if line.contains("--features status")), "{program}: {said:?}");
        }
    }
}

/// [A5] "Wrong usage: exit code 1 with the usage, as argh does."
#[test]
fn wrong_usage_ends_with_exit_code_1_and_where_to_find_the_usage() {
    let wrong: [(&str, &[&str]); 9] = [
        ("turn_server", &["--no-such-option"]),
        ("turn_server", &["--framing", "morse"]),
        ("turn_server", &["--clients", "many"]),
        ("turn_server", &["--log-level", "loud"]),
        ("turn_client", &["--no-such-option"]),
        ("turn_client", &["--framing", "morse"]),
        ("turn_client", &["--count", "-1"]),
        ("turn_demo", &["--no-such-option"]),
        ("embed", &["--no-such-option"]),
    ];
    for (program, options) in wrong {
        let mut process = Process::spawn(example(program).args(options));
        process.expect_exit(1, PATIENCE);
        let said = process.lines(Stream::Err).join("\n");
        assert!(said.contains("--help") || said.contains("Usage"), "{program} {options:?} says: {said}");
    }
}

#[test]
fn help_lists_every_option() {
    let server = [
        "--listen",
        "--framing",
        "--clients",
        "--max-clients",
        "--turn-deadline-ms",
        "--seat-grace-ms",
        "--max-per-address",
        "--quiet",
        "--log-level",
    ];
    let client = [
        "--connect",
        "--framing",
        "--clients",
        "--pace-ms",
        "--count",
        "--name",
        "--start",
        "--step",
        "--log-level",
    ];
    let programs: [(&str, &[&str]); 4] =
        [("turn_server", &server), ("turn_client", &client), ("turn_demo", &["--count"]), ("embed", &[])];
    for (program, options) in programs {
        let mut process = Process::spawn(example(program).arg("--help"));
        process.expect_exit(0, PATIENCE);
        let said = process.lines(Stream::Out).join("\n");
        assert!(said.contains("Usage"), "{program} --help says: {said}");
        for option in options {
            assert!(said.contains(option), "{program} --help does not tell of {option}: {said}");
        }
    }
}

/// As in `--help | head -1`.
#[test]
fn help_that_nobody_reads_is_no_error() {
    let programs =
        ["turn", "echo", "rank", "counter"].map(|name| [format!("{name}_server"), format!("{name}_client")]);
    for program in programs.into_iter().flatten().chain(["turn_demo".to_owned(), "embed".to_owned()]) {
        let ended = example(&program).arg("--help").stdout(nobody_reads()).output().expect("it runs");
        assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()), "{program}");
    }
}

#[test]
fn an_option_that_is_not_utf8_is_said() {
    let mut process = Process::spawn(example("turn_client").arg(OsStr::from_bytes(b"--name=\xff")));
    process.expect_exit(1, PATIENCE);
    let said = process.lines(Stream::Err).join(" ");
    assert!(said.contains(r"--name=\xFF"), "{said}");
}

#[test]
fn a_host_program_whose_output_nobody_reads_ends() {
    let mut host = example("embed");
    let ended = host.stdout(nobody_reads()).output().expect("it runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.code() == Some(1) && said.contains("Broken pipe") && !said.contains("panicked"),
        "{said}"
    );
}

/// [A2] "Every limit is documented": where it is looked for first.
#[test]
fn help_of_every_server_tells_its_limits() {
    let expected = ["--max-per-address", "file descriptors", "bytes", "within", "does not read"];
    for program in ["turn_server", "echo_server", "rank_server", "counter_server"] {
        let mut process = Process::spawn(example(program).arg("--help"));
        process.expect_exit(0, PATIENCE);
        let said = process.lines(Stream::Out).join(" ");
        // Lines are broken anywhere.
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in expected {
            assert!(said.contains(words), "{program} --help does not tell of {words}: {said}");
        }
    }
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

// ---- ending -------------------------------------------------------------------------------------------

/// [A6] SIGTERM and SIGINT drain and exit 0, servers and clients.
#[test]
fn the_first_signal_drains_and_exits_0() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(&[]);
        let mut client = turn_client(&server.address, &["--pace-ms", "20"]);
        server.process.wait_for_sent(6, PATIENCE);
        server.process.signal(signal);
        server.process.expect_exit(0, PATIENCE);
        assert_alternates(&server.process.sent());
        client.signal(signal);
        client.expect_exit(0, PATIENCE);
    }
}

/// [T32] The holder may finish; then everybody is told, and closed.
#[test]
fn a_drain_lets_the_holder_finish_and_says_goodbye() {
    let mut server = Server::start(&["--framing", "line", "--clients", "1"]);
    let stream = TcpStream::connect(&server.address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time");
    let mut lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
    let mut next = || lines.next().map(|line| line.expect("the server speaks"));
    let mut stream = stream;
    stream.write_all(b"JOIN Holder\n").expect("the server is there");
    while !next().expect("still open").starts_with("GO ") {}
    server.process.signal("TERM");
    // Whether the server has noticed the signal or not: an answer of the holder counts. If not, the next turn
    // comes, until it has.
    let mut number = 1;
    loop {
        stream.write_all(format!("Holder:{number}\n").as_bytes()).expect("the server waits for the holder");
        let answered = next().expect("still open");
        assert!(answered.starts_with("OK turn="), "the holder may finish, but: {answered}");
        let then = std::iter::from_fn(&mut next).find(|line| !line.starts_with("WAIT")).expect("still open");
        if then.starts_with("BYE ") {
            assert!(then.starts_with("BYE shutting-down"), "{then}");
            break;
        }
        assert!(then.starts_with("GO "), "{then}");
        number += 1;
    }
    assert_eq!(next(), None, "closed behind BYE");
    drop((lines, stream));
    server.process.expect_exit(0, PATIENCE);
    let sent = server.process.sent();
    assert_eq!(sent.last(), Some(&Sent { name: "Holder".to_owned(), number }));
}

/// [A6] [T32] A drain that a silent holder keeps open ends by its timeout, with 0 ...
#[test]
fn a_silent_holder_delays_a_drain_only_for_so_long() {
    let (mut server, _peers) = server_with_a_silent_holder();
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
}

/// [A6] ... or at once by a second signal, with the code of that one.
#[test]
fn the_second_signal_exits_at_once() {
    for (signals, code) in [(["TERM", "TERM"], 143), (["INT", "INT"], 130)] {
        let (mut server, _peers) = server_with_a_silent_holder();
        server.process.signal(signals[0]);
        // Two signals at once may arrive as one: it is sent again until it works, which must be long before
        // the drain's own timeout of 3 s.
        let deadline = Instant::now() + Duration::from_millis(2500);
        let status = loop {
            if let Some(status) = server.process.try_wait_for_exit(Duration::from_millis(200)) {
                break status;
            }
            if Instant::now() > deadline {
                server.process.fail("a second signal did not end it");
            }
            server.process.signal(signals[1]);
        };
        assert_eq!(status.code(), Some(code), "{status}");
    }
}

fn server_with_a_silent_holder() -> (Server, [RawPeer; 2]) {
    let mut server = Server::start(&[]);
    let mut holder = RawPeer::connect(&server.address);
    server.wait_for_connections(1);
    let other = RawPeer::connect(&server.address);
    holder.expect_go();
    (server, [holder, other])
}

// ---- a server that is stopped for a while -------------------------------------------------------------

/// The poll ends early with `EINTR` when the process goes on, and the deadline is over by then: the answer was there first.
#[test]
fn an_answer_that_waits_while_the_server_is_stopped_counts() {
    let mut server = Server::start(&["--clients", "1", "--turn-deadline-ms", "400"]);
    let mut holder = RawPeer::connect(&server.address);
    for number in 1..=3 {
        holder.expect_go();
        server.process.signal("STOP");
        holder.0.write_all(format!("ann:{number}").as_bytes()).expect("the server is there");
        std::thread::sleep(Duration::from_millis(600));
        server.process.signal("CONT");
        server.wait_for_number("ann", number);
    }
    let lapsed = |line: &Line| line.text.contains("lapsed");
    server.process.expect_no_line("a turn that lapsed", lapsed, Duration::ZERO);
}

// ---- outputs that nobody reads ------------------------------------------------------------------------

/// [A8]
#[test]
fn a_server_whose_standard_output_was_closed_goes_on_serving() {
    serves_with_output(Reading::FirstLineThenClosed, Reading::All);
}

/// [A8]
#[test]
fn a_server_whose_standard_output_is_stuck_goes_on_serving() {
    serves_with_output(Reading::FirstLineThenStuck, Reading::All);
}

/// [A8] "A failed write of the logger is dropped."
#[test]
fn a_server_whose_standard_error_was_closed_goes_on_serving() {
    serves_with_output(Reading::All, Reading::FirstLineThenClosed);
}

/// Beyond A8: a standard error that is open but never read costs log lines, not the service.
#[test]
fn a_server_whose_standard_error_is_stuck_goes_on_serving() {
    let mut command = example("turn_server");
    command.args(["--listen", "127.0.0.1:0", "--framing", "line"]);
    let mut server = Server::spawn_reading(&mut command, Reading::All, Reading::Stuck);
    // 8 log lines of about 100 bytes for each connection: more than a pipe holds (64 KiB on Linux).
    for _ in 0..150 {
        let mut stream = TcpStream::connect(&server.address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time");
        stream.write_all(&b"nonsense\n".repeat(8)).expect("the server is there");
        stream.write_all(b"PING\n").expect("the server is there");
        let pong = BufReader::new(stream).lines().map_while(Result::ok).any(|line| line == "PONG");
        assert!(pong, "the server goes on answering");
    }
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
}

/// [A8] A client's numbers are printed in the same way.
#[test]
fn a_client_whose_standard_output_is_stuck_goes_on_and_ends() {
    let server = Server::start(&["--quiet"]);
    let mut command = example("turn_client");
    command.args(["--connect", &server.address, "--count", "3000", "--pace-ms", "0"]);
    let mut client = Process::spawn_reading(&mut command, Reading::Stuck, Reading::All);
    client.expect_exit(0, PATIENCE);
}

/// 6,000 turns print more than a pipe holds (64 KiB on Linux).
fn serves_with_output(out: Reading, err: Reading) {
    let mut command = example("turn_server");
    command.args(["--listen", "127.0.0.1:0", "--log-level", "debug"]);
    let mut server = Server::spawn_reading(&mut command, out, err);
    let mut client = turn_client(&server.address, &["--count", "3000", "--pace-ms", "0"]);
    client.expect_exit(0, PATIENCE);
    // And still there for the next.
    let mut client = turn_client(&server.address, &["--count", "5", "--pace-ms", "0"]);
    client.expect_exit(0, PATIENCE);
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
}

// ---- the other programs -------------------------------------------------------------------------------

#[test]
fn turn_demo_alternates_and_ends_by_itself() {
    let mut demo = Process::spawn(&mut example("turn_demo"));
    demo.expect_exit(0, PATIENCE);
    assert_alternates(&demo.sent());
}

#[test]
fn turn_demo_ends_after_its_count() {
    let mut demo = Process::spawn(example("turn_demo").args(["--count", "4"]));
    demo.expect_exit(0, PATIENCE);
    let sent = demo.sent();
    assert_alternates(&sent);
    assert_eq!(sent.len(), 4, "{sent:?}");
}

#[test]
fn embed_runs_and_ends_by_itself() {
    let mut embed = Process::spawn(&mut example("embed"));
    embed.expect_exit(0, PATIENCE);
    assert!(!embed.lines(Stream::Out).is_empty(), "it shows nothing");
}

// ---- helpers ------------------------------------------------------------------------------------------

/// An output that was closed at its other end.
fn nobody_reads() -> OwnedFd {
    let (output, _) = UnixStream::pair().expect("two sockets");
    output.into()
}

/// A running `turn_server`.
struct Server {
    process: Process,
    /// Its first address.
    address: String,
}

impl Server {
    /// On a port of the system's choice.
    fn start(options: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", options)
    }

    fn start_at(address: &str, options: &[&str]) -> Self {
        Self::spawn(example("turn_server").args(["--listen", address]).args(options), Reading::All)
    }

    fn spawn(command: &mut Command, out: Reading) -> Self {
        Self::spawn_reading(command, out, Reading::All)
    }

    fn spawn_reading(command: &mut Command, out: Reading, err: Reading) -> Self {
        let mut process = Process::spawn_reading(command, out, err);
        let address = process.wait_until("address", PATIENCE, |seen| seen.iter().find_map(listening_on));
        Self { process, address }
    }

    fn port(&self) -> &str {
        self.address.rsplit_once(':').expect("an address has a port").1
    }

    fn wait_for_output(&mut self, text: &str) {
        self.process.wait_for_line(text, |line| line.stream == Stream::Out && line.text == text, PATIENCE);
    }

    /// Waits until that many connections were announced: the order of seats is the order of these.
    fn wait_for_connections(&mut self, count: usize) {
        let announced = |line: &&Line| {
            line.stream == Stream::Out
                && line.text.starts_with("Client ")
                && line.text.ends_with(" connected.")
        };
        self.process.wait_until("connection", PATIENCE, |seen| {
            (seen.iter().filter(announced).count() >= count).then_some(())
        });
    }

    fn wait_for_number(&mut self, name: &str, number: i64) {
        self.wait_for_output(&format!("{name} sent: {number}"));
    }
}

/// A raw client that does only what a test tells it to.
struct RawPeer(TcpStream);

impl RawPeer {
    fn connect(address: &str) -> Self {
        Self(connect(address))
    }

    /// Reads up to and with the next `GO`; only `WAIT` may come before it.
    fn expect_go(&mut self) {
        loop {
            let mut signal = [0; 4];
            self.0.read_exact(&mut signal[..2]).expect("a signal in time");
            if &signal[..2] == b"GO" {
                return;
            }
            self.0.read_exact(&mut signal[2..]).expect("the rest of it in time");
            assert_eq!(&signal, b"WAIT");
        }
    }

    fn answer_go(&mut self, answer: &str) {
        self.expect_go();
        self.0.write_all(answer.as_bytes()).expect("the server is there");
    }
}

fn turn_client(address: &str, options: &[&str]) -> Process {
    // Warnings only, so that tests see on standard error what users have to see, and nothing else.
    let always = ["--connect", address, "--log-level", "warn"];
    Process::spawn(example("turn_client").args(always).args(options))
}

fn legacy_client(server: &Server, name: &str, start: i64) -> Option<Process> {
    let start = start.to_string();
    let args = ["127.0.0.1", server.port(), "--name", name, "--start", &start, "--step", "2"];
    Some(Process::spawn(legacy("turn_client.py")?.args(args)))
}

fn listening_on(line: &Line) -> Option<String> {
    let address = line.text.strip_prefix("Server listening on ")?;
    (line.stream == Stream::Out).then(|| address.to_owned())
}

/// Longer than a label may be, so that no name server is asked.
fn unresolvable_name() -> String {
    format!("{}.invalid", "nowhere".repeat(10))
}

fn numbers_of(sent: &[Sent], name: &str) -> Vec<i64> {
    sent.iter().filter(|sent| sent.name == name).map(|sent| sent.number).collect()
}

/// Two names, turn by turn.
fn assert_alternates(sent: &[Sent]) {
    assert!(sent.len() >= 2, "too few numbers: {sent:?}");
    assert_ne!(sent[0].name, sent[1].name, "one name twice in a row: {sent:?}");
    for (index, turns) in sent.windows(3).enumerate() {
        assert_eq!(turns[0].name, turns[2].name, "no alternation at number {index}: {sent:?}");
        assert_ne!(turns[1].name, turns[2].name, "one name twice in a row at number {index}: {sent:?}");
    }
}

/// Exactly `count` numbers of each name, from its start, and nothing else.
fn assert_counts(sent: &[Sent], starts: &[(&str, i64)], step: i64, count: usize) {
    assert_eq!(sent.len(), starts.len() * count, "{sent:?}");
    for (name, start) in starts {
        let expected: Vec<i64> = (0..).map(|index| start + index * step).take(count).collect();
        assert_eq!(numbers_of(sent, name), expected, "the numbers of {name}");
    }
}

/// No number is accepted twice, and none comes back from the past.
fn assert_each_name_only_grows(sent: &[Sent]) {
    for name in ["Client1", "Client2"] {
        let numbers = numbers_of(sent, name);
        assert!(numbers.is_sorted_by(|a, b| a < b), "the numbers of {name} do not only grow: {numbers:?}");
    }
}

/// That a program said exactly one line on standard error.
fn expect_one_complaint(process: &Process) -> String {
    let lines = process.lines(Stream::Err);
    assert_eq!(lines.len(), 1, "not one line on standard error: {lines:?}");
    lines[0].to_owned()
}

/// [T5] A legacy client that once received anything but one whole signal would be dead.
fn assert_signals_came_one_by_one(client: &mut Process) {
    client.wait_for_line("GO", |line| line.text == "got GO", PATIENCE);
    for line in client.lines(Stream::Out) {
        if let Some(signal) = line.strip_prefix("got ") {
            assert!(matches!(signal, "GO" | "WAIT"), "two signals in one read: {signal}");
        }
    }
}
