//! Outputs that are closed or not read: a server continues, and a program whose purpose is its output reports
//! it and ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::Instant;

use support::bare::{PATIENCE, free_address};

use crate::process::programs::example;
use crate::process::{Process, Reading, Stream};
use crate::programs::{LinePeer, Server, turn_client};

const OTHERS: [&str; 5] = ["turn_demo", "embed", "tic_tac_toe", "turn_lock", "moderator"];

/// For example `--help | head -1`.
#[test]
fn help_to_a_closed_output_is_not_an_error() {
    let programs =
        ["turn", "echo", "rank", "counter"].map(|name| [format!("{name}_server"), format!("{name}_client")]);
    for program in programs.into_iter().flatten().chain(OTHERS.map(str::to_owned)) {
        let ended = example(&program).arg("--help").stdout(nobody_reads()).output().expect("it runs");
        assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()), "{program}");
    }
}

/// [A8] A program with a loop of its own prints like the others: its turns do not wait for a reader.
#[test]
fn a_host_program_whose_output_is_closed_or_stuck_continues_and_ends() {
    for program in ["turn_demo", "embed"] {
        for out in [nobody_reads(), full_pipe()] {
            let mut command = example(program);
            ends_well(command.args(["--count", "2"]).stdout(out).spawn().expect("it runs"));
        }
    }
}

/// [A8]
#[test]
fn a_server_whose_standard_output_was_closed_continues_serving() {
    serves_with_output(Reading::FirstLineThenClosed, Reading::All);
}

/// [A8]
#[test]
fn a_server_whose_standard_output_is_stuck_continues_serving() {
    serves_with_output(Reading::FirstLineThenStuck, Reading::All);
}

/// [A2] Unread answers wait up to a limit in bytes, however long they are.
#[test]
fn long_unread_answers_do_not_fill_the_memory() {
    let mut command = example("turn_server");
    command.args(["--listen", "127.0.0.1:0", "--clients", "1"]);
    let mut server = Server::spawn_reading(&mut command, Reading::FirstLineThenStuck, Reading::All);
    let mut ann = LinePeer::connect(&server.address, "JOIN ann");
    // Each answer is printed as 64 KiB.
    let answer = format!("ANSWER bytes=16384\n{}", "\u{1}".repeat(16_384));
    for _ in 0..100 {
        ann.hears("GO turn=");
        ann.says(&answer);
        ann.hears("OK turn=");
    }
    ann.says("LEAVE");
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
    let said = server.process.lines(Stream::Err).join("\n");
    assert!(said.contains("did not keep up") && !said.contains(": 0 lines"), "{said}");
}

/// [A8] "A failed write of the logger is dropped."
#[test]
fn a_server_whose_standard_error_was_closed_continues_serving() {
    serves_with_output(Reading::All, Reading::FirstLineThenClosed);
}

/// Beyond A8: a standard error that is open but never read costs log lines, but no service.
#[test]
fn a_server_whose_standard_error_is_stuck_continues_serving() {
    let mut command = example("turn_server");
    command.args(["--listen", "127.0.0.1:0", "--framing", "line"]);
    let mut server = Server::spawn_reading(&mut command, Reading::All, Reading::Stuck);
    // Each connection causes 8 log lines of about 100 bytes. Together they are more than a pipe holds (64 KiB
    // on Linux).
    for nth in 0..150 {
        let mut stream = TcpStream::connect(&server.address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time");
        // A client that has not joined is closed at its second such line.
        stream.write_all(format!("JOIN peer-{nth}\n").as_bytes()).expect("the server is there");
        stream.write_all(&b"nonsense\n".repeat(8)).expect("the server is there");
        stream.write_all(b"PING\n").expect("the server is there");
        let pong = BufReader::new(stream).lines().map_while(Result::ok).any(|line| line == "PONG");
        assert!(pong, "the server goes on answering");
    }
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
}

/// [A8] The complaint that there is no server does not block either.
#[test]
fn a_client_whose_standard_error_is_full_continues_and_ends() {
    let address = free_address();
    let mut command = example("turn_client");
    command.args(["--connect", &address, "--count", "3", "--pace", "0ms"]);
    let client = command.stdout(Stdio::null()).stderr(full_pipe()).spawn().expect("it runs");
    // It has found no server by now, or will find one at once.
    let server = Server::start_at(&address, &["--quiet"]);
    ends_well(client);
    drop(server);
}

/// [A8] A client prints its numbers the same way.
#[test]
fn a_client_whose_standard_output_is_stuck_continues_and_ends() {
    let server = Server::start(&["--quiet"]);
    let mut command = example("turn_client");
    command.args(["--connect", &server.address, "--count", "3000", "--pace", "0ms"]);
    let mut client = Process::spawn_reading(&mut command, Reading::Stuck, Reading::All);
    client.expect_exit(0, PATIENCE);
}

/// 6,000 turns print more than a pipe holds (64 KiB on Linux).
fn serves_with_output(out: Reading, err: Reading) {
    let mut command = example("turn_server");
    command.args(["--listen", "127.0.0.1:0", "--log-level", "debug"]);
    let mut server = Server::spawn_reading(&mut command, out, err);
    let mut client = turn_client(&server.address, &["--count", "3000", "--pace", "0ms"]);
    client.expect_exit(0, PATIENCE);
    // It still serves the next client.
    let mut client = turn_client(&server.address, &["--count", "5", "--pace", "0ms"]);
    client.expect_exit(0, PATIENCE);
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
}

/// Waits for a program to end in time and without an error.
fn ends_well(mut program: Child) {
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match program.try_wait().expect("it was started") {
            Some(status) => break status,
            None if Instant::now() < deadline => std::thread::yield_now(),
            None => {
                let _ = program.kill();
                panic!("it is stuck");
            }
        }
    };
    assert_eq!(status.code(), Some(0));
}

/// Returns an output that accepts nothing more, because it is not read.
pub(crate) fn full_pipe() -> OwnedFd {
    let (output, reader) = UnixStream::pair().expect("two sockets");
    output.set_nonblocking(true).expect("a socket");
    while (&output).write(&[b'x'; 4096]).is_ok() {}
    while (&output).write(b"x").is_ok() {}
    output.set_nonblocking(false).expect("a socket");
    // It must stay open until the test ends.
    std::mem::forget(reader);
    output.into()
}

/// Returns an output whose other end is closed.
fn nobody_reads() -> OwnedFd {
    let (output, _) = UnixStream::pair().expect("two sockets");
    output.into()
}
