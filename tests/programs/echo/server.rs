//! `echo_server` with bare sockets: its clock, log, options and signals.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use support::bare::{PATIENCE, recv};
use support::text;

use super::{KIB64, Server, client, echoed};
use crate::process::programs::example;
use crate::process::{Process, Stream};

#[test]
fn e05_the_server_logs_on_standard_error_and_prints_nothing() {
    let mut server = Server::start(&[]);
    let mut client = client(&server.address, &["Hello"]);
    client.expect_exit(0, PATIENCE);
    let address = server.address.clone();
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
    let log = server.process.lines(Stream::Err).join("\n");
    let mut rest = log.as_str();
    for expected in [
        &format!("bound to {address}"),
        &format!("listening on {address}"),
        "connection established with 127.0.0.1:",
        "received from 127.0.0.1:",
        "\"Hello\"",
        "sent response to 127.0.0.1:",
        "connection closed with 127.0.0.1:",
    ] {
        let at = rest.find(expected).unwrap_or_else(|| panic!("no {expected:?} in\n{log}"));
        rest = &rest[at + expected.len()..];
    }
    assert_eq!(server.process.lines(Stream::Out), [""; 0]);
}

#[test]
fn e01_the_time_is_the_servers_local_time() {
    // The second zone needs no file of the system.
    for (zone, file) in
        [("Asia/Tokyo", Some("/usr/share/zoneinfo/Asia/Tokyo")), ("TST-9:30", None), ("TST+4", None)]
    {
        if file.is_some_and(|file| !PathBuf::from(file).exists()) {
            continue;
        }
        let offset = match zone {
            "Asia/Tokyo" => jiff::tz::offset(9),
            "TST+4" => jiff::tz::offset(-4),
            _ => jiff::tz::Offset::from_seconds(9 * 3600 + 1800).expect("an offset"),
        };
        let local = || jiff::Timestamp::now().to_zoned(offset.to_time_zone()).datetime();
        let mut command = example("echo_server");
        let server = Server::spawn(command.env("TZ", zone).args(["--listen", "127.0.0.1:0"]));
        let before = local();
        let heard = server.ask(b"Hello\n");
        let after = local();
        let time = heard.strip_prefix("Server received at ").and_then(|rest| rest.strip_suffix(": Hello"));
        let time: jiff::civil::DateTime = time.expect(&heard).parse().expect(&heard);
        let second = jiff::ToSpan::seconds(1);
        assert!(before - second < time && time <= after, "{zone}: {before} < {time} <= {after}");
    }
}

#[test]
fn e02_bare_sockets_are_answered_with_and_without_an_end() {
    let server = Server::start(&[]);
    for message in ["Hello", "Hello\n", "Hello\r\n"] {
        assert_eq!(echoed(&server.ask(message.as_bytes()), ""), Some("Hello"));
    }
    for length in [1_023, 1_024, 30_000, KIB64] {
        assert_eq!(echoed(&server.ask(text(length).as_bytes()), ""), Some(text(length).as_str()));
    }
    let stream = server.connect();
    stream.shutdown(Shutdown::Write).expect("a socket");
    assert_eq!(recv(&stream, &mut [0; 9]).expect("closed, not reset"), 0);
}

#[test]
fn a07_an_error_is_read_though_much_more_was_sent() {
    let server = Server::start(&[]);
    let heard = server.ask(&vec![b'x'; 1024 * 1024]);
    assert!(heard.starts_with("Error: ") && heard.ends_with('\n'), "{heard:?}");
}

#[test]
fn e06_keep_open_answers_line_by_line_over_a_socket() {
    let server = Server::start(&["--keep-open"]);
    let mut stream = server.connect();
    let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
    for message in ["one", "two", ""] {
        stream.write_all(format!("{message}\n").as_bytes()).expect("the server reads");
        let line = lines.next().expect("an answer").expect("text");
        assert_eq!(echoed(&line, ""), Some(message));
    }
    stream.write_all(b"last").expect("the server reads");
    stream.shutdown(Shutdown::Write).expect("a socket");
    assert_eq!(echoed(&lines.next().expect("an answer").expect("text"), ""), Some("last"));
    assert!(lines.next().is_none());
    // Our client half-closes, so this mode makes no difference to it.
    let mut client = client(&server.address, &["Hello"]);
    client.expect_exit(0, PATIENCE);
    assert_eq!(echoed(client.lines(Stream::Out)[0], "Response: "), Some("Hello"));
    drop(stream);
    server.stop();
}

#[test]
fn a03_over_a_socket_64_kib_of_short_lines_are_all_answered() {
    let server = Server::start(&["--keep-open", "--log-level", "info"]);
    let mut stream = server.connect();
    let lines = KIB64 / 2;
    stream.write_all("a\n".repeat(lines).as_bytes()).expect("the server reads");
    stream.shutdown(Shutdown::Write).expect("a socket");
    let heard = BufReader::new(stream).lines().map(|line| line.expect("no reset"));
    assert_eq!(heard.inspect(|line| assert_eq!(echoed(line, ""), Some("a"))).count(), lines);
}

#[test]
fn a03_over_a_socket_a_peer_that_does_not_read_is_read_no_further_and_delays_no_other() {
    let server = Server::start(&["--keep-open"]);
    let mut stuck = server.connect();
    stuck.set_write_timeout(Some(Duration::from_millis(200))).expect("a socket");
    let line = "0123456789012345678901234567890123456789\n";
    let (lines, begun, mut written) = (line.repeat(1_000), Instant::now(), 0);
    let full = loop {
        assert!(begun.elapsed() < PATIENCE, "the server reads on: {written} bytes");
        match stuck.write(&lines.as_bytes()[written % line.len()..]) {
            Ok(count) => written += count,
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock, "it is not closed");
    let mut other = server.connect();
    other.write_all(b"Hello\n").expect("the server reads");
    other.shutdown(Shutdown::Write).expect("a socket");
    let mut heard = String::new();
    other.read_to_string(&mut heard).expect("an answer");
    assert_eq!(echoed(heard.trim_end(), ""), Some("Hello"));

    // It finally reads, and nothing is lost.
    stuck.shutdown(Shutdown::Write).expect("a socket");
    assert_eq!(BufReader::new(stuck).lines().map_while(Result::ok).count(), written.div_ceil(line.len()));
}

#[test]
fn a06_the_first_signal_drains_and_the_server_ends_with_0() {
    for signal in ["INT", "TERM"] {
        let mut server = Server::start(&[]);
        let silent = server.connect();
        server.process.wait_for_line("client", |line| line.text.contains("established"), PATIENCE);
        server.process.signal(signal);
        assert_eq!(recv(&silent, &mut [0; 9]).expect("closed, not reset"), 0);
        server.process.expect_exit(0, PATIENCE);
        assert!(TcpStream::connect(&server.address).is_err());
    }
}

#[test]
fn a01_without_an_option_the_server_listens_on_this_machine_only() {
    let mut server = Process::spawn(&mut example("echo_server"));
    // If another program has the default address, the error names that address.
    server.wait_for_line(
        "address",
        |line| line.text.contains("listen") && line.text.contains(" on 127.0.0.1:8080"),
        PATIENCE,
    );
}

#[test]
fn a05_an_address_in_use_is_one_line_and_exit_code_1() {
    let server = Server::start(&[]);
    let mut second = Process::spawn(example("echo_server").args(["--listen", &server.address]));
    second.expect_exit(1, PATIENCE);
    let said = second.lines(Stream::Err);
    assert_eq!(said.len(), 1, "{said:?}");
    for expected in [server.address.as_str(), "in use", "--listen"] {
        assert!(said[0].contains(expected), "{said:?}");
    }
}

/// Times in UTC look right until a reader compares them with a clock.
#[test]
fn e01_an_unknown_time_zone_is_reported_once_at_the_start() {
    let mut server =
        Server::spawn(example("echo_server").env("TZ", "Mars/Olympus").args(["--listen", "127.0.0.1:0"]));
    let said = "TZ=Mars/Olympus: unknown time zone, so times are in UTC";
    for _ in 0..2 {
        assert!(server.ask(b"Hello").ends_with("Hello"));
    }
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
    let lines = server.process.lines(Stream::Err);
    assert_eq!(lines.iter().filter(|line| line.contains(said)).count(), 1, "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains(said) || line.contains("WARN")));
}
