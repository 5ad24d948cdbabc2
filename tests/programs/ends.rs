//! How a server ends: the first signal drains, a second one ends it at once.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use support::bare::{PATIENCE, free_address};

use crate::outputs::full_pipe;
use crate::process::folder::Folder;
use crate::process::programs::example;
use crate::process::{Line, Process, Reading, Sent};
use crate::programs::{LinePeer, RawPeer, Server, assert_alternates, turn_client};

/// [A6] SIGTERM and SIGINT drain and exit 0, servers and clients.
#[test]
fn the_first_signal_drains_and_exits_0() {
    for signal in ["TERM", "INT", "HUP"] {
        if signal == "HUP" && is_nohup() {
            continue;
        }
        let mut server = Server::start(&[]);
        let mut client = turn_client(&server.address, &["--pace", "20ms"]);
        server.process.wait_for_sent(6, PATIENCE);
        server.process.signal(signal);
        server.process.expect_exit(0, PATIENCE);
        assert_alternates(&server.process.sent());
        client.signal(signal);
        client.expect_exit(0, PATIENCE);
    }
}

/// [A6] The same for the other servers.
#[test]
fn every_server_drains_and_exits_0_on_each_signal() {
    for program in ["tic_tac_toe", "echo_server", "rank_server", "counter_server"] {
        for signal in ["TERM", "INT", "HUP"] {
            if signal == "HUP" && is_nohup() {
                continue;
            }
            let (address, folder) = (free_address(), Folder::new());
            // The counter's log is a file in its folder.
            let mut command = example(program);
            let mut server = Process::spawn(command.args(["--listen", &address]).current_dir(&folder));
            let deadline = Instant::now() + PATIENCE;
            let mut client = loop {
                match TcpStream::connect(&address) {
                    Ok(client) => break client,
                    Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
                    Err(error) => server.fail(&error.to_string()),
                }
            };
            // Each of them answers this in its own way. From then on it hears signals.
            client.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time");
            client.write_all(b"17\n").expect("the server is there");
            client.read_exact(&mut [0]).expect("an answer");
            server.signal(signal);
            server.expect_exit(0, PATIENCE);
        }
    }
}

/// [A6, T32] A named pipe without a writer, or a file on a network that is away, keeps its reader waiting.
/// That delays neither the service nor a signal.
#[test]
fn a_file_that_keeps_its_reader_waiting_delays_nothing_but_itself() {
    if is_nohup() {
        return;
    }
    let folder = Folder::new();
    std::fs::write(folder.path("rules"), format!("sha256:{} ring=main\n", "0".repeat(64)))
        .expect("a folder of this test's");
    let rules = folder.path("rules").into_os_string().into_string().expect("UTF-8");
    let mut server = Server::start(&["--access", &rules]);
    folder.pipe("rules");
    // Of those that arrive, one is read and one waits. Several may arrive as one.
    for _ in 0..20 {
        server.process.signal("HUP");
    }
    let is_said = |line: &Line| line.text.contains("the files are still being read");
    server.process.wait_for_line("a warning", is_said, PATIENCE);
    let mut client = LinePeer::connect(&server.address, "PING");
    client.hears("PONG");
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
}

/// [T32] The holder may finish; then all clients are told and closed.
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
    // An answer of the holder counts, whether or not the server has noticed the signal. If it has not, the
    // next turn follows, until it has.
    let mut number = 1;
    loop {
        stream.write_all(format!("ANSWER :{number}\n").as_bytes()).expect("the server waits for the holder");
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
    assert_eq!(next(), None, "closed after BYE");
    drop((lines, stream));
    server.process.expect_exit(0, PATIENCE);
    let sent = server.process.sent();
    assert_eq!(sent.last(), Some(&Sent { name: "Holder".to_owned(), number }));
}

/// [A6] [T32] A drain that a silent holder holds up ends by its timeout, with exit code 0 ...
#[test]
fn a_silent_holder_delays_a_drain_for_a_limited_time() {
    let (mut server, _peers) = server_with_a_silent_holder();
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
}

/// [A6] npm and docker compose pass on a signal that the terminal has sent already.
#[test]
fn signals_that_come_together_are_one() {
    let (mut server, _peers) = server_with_a_silent_holder();
    let sent = Instant::now();
    for signal in ["INT", "TERM", "INT"] {
        server.process.signal(signal);
    }
    // A machine that took this long to send them has sent two.
    let were_together = sent.elapsed() < Duration::from_millis(300);
    let status = server.process.wait_for_exit(PATIENCE);
    assert!(status.code() == Some(0) || !were_together, "{status}");
}

/// [A6] nohup makes a program ignore SIGHUP, so that it outlives the terminal.
#[test]
fn a_program_started_with_nohup_ignores_sighup() {
    let command = example("turn_server");
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(command.get_program());
    let mut server = Server::spawn(shell.args(["--listen", "127.0.0.1:0"]), Reading::All);
    server.process.signal("HUP");
    let mut client = turn_client(&server.address, &["--count", "3", "--pace", "0ms"]);
    client.expect_exit(0, PATIENCE);
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
}

/// [T32] Unread outputs have half a second at the end, in total. Both servers end at the same time, so a busy
/// machine slows both down.
#[test]
fn a_drain_with_stuck_outputs_takes_little_longer() {
    let address = free_address();
    let mut command = example("turn_server");
    command.args(["--listen", &address, "--clients", "1"]).stdout(full_pipe()).stderr(full_pipe());
    let mut stuck = command.spawn().expect("it runs");
    let (mut other, _peers) = server_with_a_silent_holder();
    let start = Instant::now();
    let mut peer = loop {
        match TcpStream::connect(&address) {
            Ok(stream) => break RawPeer(stream),
            Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
        }
    };
    peer.0.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time");
    peer.expect_go();
    let kill = format!("kill -s TERM {}", stuck.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh runs").success());
    other.process.signal("TERM");
    other.process.expect_exit(0, PATIENCE);
    let other_ended = Instant::now();
    let status = stuck.wait().expect("it was started");
    assert_eq!(status.code(), Some(0));
    let later = other_ended.elapsed();
    assert!(later < Duration::from_millis(1_500), "{later:?} later");
}

/// [A6] ... or at once on a second signal, with the exit code of that signal.
#[test]
fn the_second_signal_exits_at_once() {
    for (signals, code) in [(["TERM", "TERM"], 143), (["INT", "INT"], 130)] {
        let (mut server, _peers) = server_with_a_silent_holder();
        server.process.signal(signals[0]);
        // Two signals at once may arrive as one, so it is sent again until it works. The exit code shows that
        // a signal ended the program, and not the drain timeout of 3 s.
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = server.process.try_wait_for_exit(Duration::from_millis(200)) {
                break status;
            }
            if Instant::now() > deadline {
                server.process.fail("nothing ended it");
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

/// Returns whether these tests, and the programs that they start, ignore SIGHUP.
pub(crate) fn is_nohup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
