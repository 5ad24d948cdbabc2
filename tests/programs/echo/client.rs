//! `echo_client`: one message from the command line, or many from standard input. See `terminal.rs` for
//! terminals.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

use support::bare::{PATIENCE, free_address};
use support::text;

use super::{KIB64, Server, client, client_command, client_with_input, echoed, responses};
use crate::process::folder::Folder;
use crate::process::input::typed;
use crate::process::programs::example;
use crate::process::{Process, Stream};

#[test]
fn e07_one_shot_prints_the_response_and_logs_each_step() {
    let server = Server::start(&[]);
    let mut client = client(&server.address, &["Hello, Grüße"]);
    client.expect_exit(0, PATIENCE);
    let out = client.lines(Stream::Out);
    assert_eq!(out.len(), 1, "{out:?}");
    assert_eq!(echoed(out[0], "Response: "), Some("Hello, Grüße"), "{out:?}");
    let log = client.lines(Stream::Err).join("\n");
    for expected in ["connected to 127.0.0.1:", "sent message", "received response", "connection closed"] {
        assert!(log.contains(expected), "no {expected:?} in\n{log}");
    }
    server.stop();
}

#[test]
fn e07_one_shot_takes_a_message_of_64_kib_and_shows_an_error() {
    let server = Server::start(&[]);
    for (length, fits) in [(5_000, true), (KIB64, true), (KIB64 + 1, false)] {
        let message = text(length).replace('-', "+").replace(['"', '\'', '\\'], "_");
        let mut client = client(&server.address, &[&message]);
        client.expect_exit(0, PATIENCE);
        let out = client.lines(Stream::Out).join("\n");
        match fits {
            true => assert_eq!(echoed(&out, "Response: "), Some(message.as_str())),
            false => assert!(out.starts_with("Response: Error: "), "{out}"),
        }
    }
}

#[test]
fn e07_one_shot_reports_a_missing_answer() {
    let server = Server::start(&[]);
    let mut client = client(&server.address, &[""]);
    client.expect_exit(1, PATIENCE);
    assert_eq!(client.lines(Stream::Out), [""; 0]);
    let complaint = format!("no response from {}: closed by the peer", server.address);
    assert!(client.lines(Stream::Err).iter().any(|line| line.starts_with(&complaint)));
}

#[test]
fn a05_one_shot_without_a_server_is_one_line_and_exit_code_1() {
    let address = free_address();
    let mut client = client(&address, &["Hello"]);
    client.expect_exit(1, PATIENCE);
    let said = client.lines(Stream::Err);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with(&format!("cannot connect to {address}: ")) && said[0].contains("efused"),
        "{said:?}"
    );
    assert_eq!(client.lines(Stream::Out), [""; 0]);
}

#[test]
fn a05_bad_addresses_end_with_1_and_p01_wrong_usage_with_2() {
    for (arguments, expected, code) in [
        (&["--connect", "127.0.0.1:70000", "x"][..], "port", 1),
        (&["--connect", "localhost", "x"], "port", 1),
        (&["--connect", "no.such.host.invalid:80", "x"], "no.such.host.invalid:80", 1),
        (&["one", "two"], "Unrecognized", 2),
        (&["--bogus"], "--bogus", 2),
    ] {
        let mut client = Process::spawn(example("echo_client").args(arguments));
        client.expect_exit(code, PATIENCE);
        assert!(client.lines(Stream::Err).join("\n").contains(expected), "{arguments:?}");
    }
}

#[test]
fn e07_a_name_with_two_addresses_is_tried_on_both() {
    let server = Server::start(&[]);
    let port = server.address.rsplit_once(':').expect("an address has a port").1.to_owned();
    let mut client = client(&format!("localhost:{port}"), &["Hello"]);
    client.expect_exit(0, PATIENCE);
}

#[test]
fn e07_prompting_on_a_pipe_until_a_word_or_the_end() {
    let server = Server::start(&[]);
    for (input, expected) in [
        ("one\\ntwo\\nquit\\nthree\\n", &["one", "two"][..]),
        ("one\\nexit\\ntwo\\n", &["one"]),
        ("one\\n q \\ntwo\\n", &["one"]),
        ("one\\ntwo", &["one", "two"]),
        ("\\n  \\none\\n\\n", &["one"]),
        ("one\\r\\nquitting\\nq\\n", &["one", "quitting"]),
        ("quit", &[]),
        ("", &[]),
    ] {
        let client = example("echo_client");
        let script = format!("printf '{input}' | \"$0\" --connect \"$1\"");
        let mut client = Process::spawn(
            Command::new("sh").args(["-c", &script]).arg(client.get_program()).arg(&server.address),
        );
        client.expect_exit(0, PATIENCE);
        assert_eq!(responses(&client), expected, "{input:?}");
        let out = client.lines(Stream::Out);
        assert!(
            ["quit", "exit", "q"].iter().all(|word| out[0].contains(word)),
            "a banner says how to leave: {out:?}"
        );
        assert!(out[1..].iter().any(|line| line.starts_with("Enter message to send: ")), "{out:?}");
    }
    server.stop();
}

#[test]
fn e07_prompting_ends_at_once_on_dev_null_and_closed_input_and_reads_a_file() {
    let server = Server::start(&[]);
    let folder = Folder::new();
    let file = folder.path("messages");
    std::fs::write(&file, "one\ntwo\nthree").expect("a file");
    let file = file.display();
    for (redirection, expected) in
        [("</dev/null", &[][..]), ("<&-", &[]), (&format!("<'{file}'"), &["one", "two", "three"])]
    {
        let mut client = client_with_input(&server.address, redirection);
        client.expect_exit(0, PATIENCE);
        assert_eq!(responses(&client), expected, "{redirection}");
    }
    // One-shot mode does not read its input.
    for redirection in ["Hello </dev/null", "Hello <&-", &format!("Hello <'{file}'")] {
        let mut client = client_with_input(&server.address, redirection);
        client.expect_exit(0, PATIENCE);
        assert_eq!(echoed(client.lines(Stream::Out)[0], "Response: "), Some("Hello"), "{redirection}");
    }
}

#[test]
fn e07_prompting_reports_an_absent_server_and_stays() {
    let address = free_address();
    let (mut client, mut typist) = typed(&client_command(&address, &[]));
    let complaint = format!("cannot connect to {address}: ");
    for count in 1..=2 {
        typist.types("anybody?\n");
        client.wait_until("complaint", PATIENCE, |seen| {
            (seen.iter().filter(|line| line.text.starts_with(&complaint)).count() == count).then_some(())
        });
    }
    let server = Server::spawn(example("echo_server").args(["--listen", &address]));
    typist.types("now?\n");
    client.wait_for_line(
        "response",
        |line| echoed(&line.text, "Server response: ") == Some("now?"),
        PATIENCE,
    );
    server.stop();
    typist.types("still there?\n");
    client.wait_until("third complaint", PATIENCE, |seen| {
        (seen.iter().filter(|line| line.text.starts_with(&complaint)).count() == 3).then_some(())
    });
    // At the end of input, a line without its end counts.
    typist.types("exit");
    drop(typist);
    client.expect_exit(0, PATIENCE);
}

#[test]
fn a06_a_signal_ends_a_client_that_waits_for_an_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    for signal in ["INT", "TERM"] {
        let mut client = client(&address, &["Hello"]);
        let (mut stream, _) = listener.accept().expect("the client comes");
        let mut message = String::new();
        stream.read_to_string(&mut message).expect("it half-closes");
        assert_eq!(message, "Hello");
        client.signal(signal);
        client.expect_exit(0, PATIENCE);
    }
}

#[test]
fn e07_a_servers_text_cannot_rearrange_the_terminal() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let mut client = client(&address, &["Hello"]);
    let (mut stream, _) = listener.accept().expect("the client comes");
    stream.read_to_string(&mut String::new()).expect("it half-closes");
    stream.write_all(b"\x1b[2Jfake\rx\nnext \xff\n").expect("the client reads");
    drop(stream);
    client.expect_exit(0, PATIENCE);
    assert_eq!(client.lines(Stream::Out), ["Response: \\u{1b}[2Jfake\\rx\\nnext \u{fffd}"]);
}

#[test]
fn a08_a_stuck_standard_output_does_not_stop_the_client() {
    let server = Server::start(&[]);
    for redirection in ["Hello >&-", "Hello >/dev/full", "</dev/null >&-"] {
        let mut client = client_with_input(&server.address, redirection);
        client.expect_exit(0, PATIENCE);
        assert!(!client.lines(Stream::Err).join("\n").contains("panicked"));
    }
}
