//! `rank_client`: its output and that of its server, its input, and an absent server (R11, R12). See
//! `terminal.rs` for terminals.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Instant;

use support::bare::{PATIENCE, free_address};
use support::ms;

use super::{Server, client_of, out, out_times};
use crate::process::folder::Folder;
use crate::process::input::{redirected, typed};
use crate::process::{Process, Stream};

#[test]
fn r11_r12_the_output_of_the_programs() {
    let mut server = Server::start(&[]);
    out(&mut server.process, "[STARTING] Listening for 5 clients...");
    let (mut first, mut typist) = typed(&client_of(&server.address, &[]));
    out(&mut first, "Assigned rank: 0");
    let mut second = Process::spawn(&mut client_of(&server.address, &["--stay"]));
    out(&mut second, "Assigned rank: 1");
    let mut third = redirected(&client_of(&server.address, &["--stay"]), "<&-");
    out(&mut third, "Assigned rank: 2");

    typist.types("dance\n");
    for line in [
        "[Processing]......",
        "[Received] received command dance from server:",
        "[Executing] i am danceing watch me dance",
    ] {
        out(&mut second, line);
    }
    out(&mut server.process, "Command executed by client with rank 1");
    typist.types("x\x1b[2J\n");
    first.wait_for_line("complaint", |line| line.text.starts_with("cannot send that"), PATIENCE);

    drop(typist);
    first.expect_exit(0, PATIENCE);
    out(&mut second, "New rank: 0");
    out(&mut third, "New rank: 1");
    for (client, rankings) in [(second, 2), (third, 3)] {
        client.signal("TERM");
        drop(client);
        out_times(&mut server.process, "[New ranking]", rankings);
    }
    out(&mut server.process, "0 connections");
    let lines: Vec<String> = server.process.lines(Stream::Out).iter().map(|line| shape(line)).collect();
    let expected = [
        "[STARTING] Listening for 5 clients...",
        "Server listening on A",
        "Accepted client A",
        "  0: A",
        "Accepted client A",
        "  0: A",
        "  1: A",
        "Accepted client A",
        "  0: A",
        "  1: A",
        "  2: A",
        "Command executed by client with rank 1",
        "[Disconnect] client A of rank 0",
        "[New ranking]",
        "  0: A",
        "  1: A",
    ];
    assert_eq!(lines[..expected.len()], expected);
    let rest = &lines[expected.len()..];
    assert!(rest[0].starts_with("[Disconnect] client A of rank "), "{rest:?}");
    assert_eq!(rest[1..3], ["[New ranking]", "  0: A"]);
    assert_eq!(rest[3..], ["[Disconnect] client A of rank 0", "[New ranking]", "0 connections"]);
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
}

/// Returns a line with its address replaced.
fn shape(line: &str) -> String {
    let words: Vec<_> =
        line.split(' ').map(|word| if word.starts_with("127.0.0.1:") { "A" } else { word }).collect();
    words.join(" ")
}

#[test]
fn r11_a_client_without_input_leaves() {
    let server = Server::start(&[]);
    Process::spawn(&mut client_of(&server.address, &[])).expect_exit(0, PATIENCE);
    redirected(&client_of(&server.address, &[]), "<&-").expect_exit(0, PATIENCE);
}

/// [R7] Commands from a pipe or file are 10 ms apart. The last one has no line end.
///
/// The test measures the total time. Counting reads would blame a busy machine, because a reader that is
/// scheduled late finds two commands in one `recv`.
#[test]
fn r11_all_piped_input_is_sent() {
    let commands: Vec<_> = (0..30).map(|n| format!("command {n}")).collect();
    let folder = Folder::new();
    let file = folder.path("commands");
    std::fs::write(&file, commands.join("\n")).expect("a file");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    for from_file in [true, false] {
        let (mut client, typist) = if from_file {
            (redirected(&client_of(&address, &[]), &format!("< '{}'", file.display())), None)
        } else {
            let (client, mut typist) = typed(&client_of(&address, &[]));
            typist.types(&commands.join("\n"));
            (client, Some(typist))
        };
        let (mut stream, _) = listener.accept().expect("the client comes");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time");
        let begun = Instant::now();
        stream.write_all(b"Your rank is 7").expect("the client is there");
        drop(typist);
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("commands");
        let took = begun.elapsed();
        let expected: String = commands.iter().map(|command| format!("C 7 {command}")).collect();
        assert_eq!(text, expected);
        assert!(took >= ms(10) * 29, "30 commands within {took:?}");
        drop(stream);
        client.expect_exit(0, PATIENCE);
    }
}

#[test]
fn a05_a_client_reports_an_absent_server_and_stays() {
    let address = free_address();
    let (mut client, mut typist) = typed(&client_of(&address, &[]));
    client.wait_for_line("why", |line| line.text.contains("cannot connect to"), PATIENCE);
    typist.types("early\n");
    let server = Server::start_at(&address, &[]);
    out(&mut client, "Assigned rank: 0");
    server.process.kill(PATIENCE);
    client.wait_for_line("loss", |line| line.text.contains("Disconnected"), PATIENCE);
    let server = Server::start_at(&address, &[]);
    out_times(&mut client, "Assigned rank: 0", 2);
    drop(typist);
    client.expect_exit(0, PATIENCE);
    server.process.kill(PATIENCE);

    // Piped input that cannot be sent is not dropped silently.
    let (mut client, mut typist) = typed(&client_of(&address, &[]));
    typist.types("never sent");
    drop(typist);
    client.expect_exit(1, PATIENCE);
    assert!(client.lines(Stream::Err).iter().any(|line| line.contains("not all commands were sent")));
}
