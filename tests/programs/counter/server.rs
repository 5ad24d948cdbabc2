//! `counter_server`: its clients, options and signals, and an unread output. Its files are tested in `log.rs`
//! and `state.rs`.

use std::fs;
use std::time::Instant;

use support::bare::{PATIENCE, free_address};

use super::{Client, Peer, Server, connect, server_command, wait_for};
use crate::process::folder::Folder;
use crate::process::programs::example;
use crate::process::{Process, Reading, Stream};

#[test]
fn c07_of_two_clients_with_one_id_the_newer_one_stays() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut older = Client::start(&server.address, &["--id", "17"]);
    older.type_line("c");
    older.wait_for("Sent 1");
    let mut newer = Client::start(&server.address, &["--id", "17"]);
    newer.type_line("c");
    older.wait_for("The connection is closed by the peer");
    newer.wait_for("Sent 2");
    // The older one may reconnect if its user wants to.
    older.type_line("c");
    newer.wait_for("The connection is closed by the peer");
    older.type_line("exit");
    older.process.expect_exit(0, PATIENCE);
}

#[test]
fn a05_an_address_in_use_is_exit_code_1() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut second = Process::spawn(&mut server_command(&folder, &server.address));
    second.expect_exit(1, PATIENCE);
    let [said] = second.lines(Stream::Err)[..] else { second.fail("one line") };
    assert!(said.contains(&server.address) && said.contains("--listen"), "{said}");
}

#[test]
fn a06_sigterm_closes_clients_and_ends_with_0() {
    let folder = Folder::new();
    let mut server = Server::start(&folder);
    let (mut peer, _) = Peer::begin(&server.address, "17");
    server.process.signal("TERM");
    assert_eq!(peer.recv(), "", "closed");
    drop(peer);
    server.process.expect_exit(0, PATIENCE);
}

#[test]
fn a08_an_unread_standard_output_does_not_stop_the_server() {
    let folder = Folder::new();
    for reading in [Reading::FirstLineThenClosed, Reading::FirstLineThenStuck] {
        let address = free_address();
        let mut command = server_command(&folder, &address);
        let mut process = Process::spawn_reading(&mut command, reading, Reading::All);
        wait_for(&mut process, "SERVER ONLINE");
        let log = folder.path("server.log");
        let start = Instant::now();
        while !fs::read_to_string(&log).is_ok_and(|log| log.contains(&address)) {
            assert!(start.elapsed() < PATIENCE, "it does not listen");
            std::thread::yield_now();
        }
        let (mut peer, _) = Peer::begin(&address, "17");
        for _ in 0..20 {
            peer.send(&"1 ".repeat(200));
            peer.send("odd ");
            assert!(peer.recv().parse::<u8>().is_ok_and(|number| number % 2 == 1));
        }
        drop(peer);
        process.signal("TERM");
        process.expect_exit(0, PATIENCE);
        // Lines beyond the budget of a second are counted.
        let log = fs::read_to_string(&log).expect("a log");
        let left_out = log
            .lines()
            .filter_map(|line| line.split_once(" INFO (")?.1.split(' ').next()?.parse::<usize>().ok());
        let shown = log.matches(" INFO client 17 ").count();
        assert_eq!((shown + left_out.sum::<usize>()) % (20 * 201 + 2), 0, "{shown}");
    }
}

/// One client more than `--max-clients` is closed without a message. It gets a place when another client has
/// left.
#[test]
fn the_number_of_clients_is_limited() {
    let folder = Folder::new();
    let mut server = Server::spawn(server_command(&folder, "127.0.0.1:0").args(["--max-clients", "1"]));
    let (peer, answer) = Peer::begin(&server.address, "17");
    assert_eq!(answer.trim(), "0");
    assert_eq!(Peer(connect(&server.address)).recv(), "", "the second client");
    drop(peer);
    server.wait_for("client 17 at ");
    assert_eq!(Peer::begin(&server.address, "18").1.trim(), "0");
}

#[test]
fn p01_wrong_usage_is_exit_code_2_and_a05_a_bad_address_1() {
    for (program, args, code) in [
        ("counter_client", &["--id", "10001"][..], 2),
        ("counter_client", &["--id", "x"], 2),
        ("counter_client", &["--id", "-1"], 2),
        ("counter_client", &["--connect", "127.0.0.1"], 1),
        ("counter_client", &["--connect", "127.0.0.1:70000"], 1),
        ("counter_client", &["--what"], 2),
        ("counter_server", &["--listen", "127.0.0.1:70000"], 1),
        ("counter_server", &["--listen", "nowhere"], 1),
        ("counter_server", &["--max-clients", "0"], 2),
        ("counter_server", &["what"], 2),
    ] {
        let folder = Folder::new();
        let mut process = Process::spawn(example(program).args(args).current_dir(&folder));
        process.expect_exit(code, PATIENCE);
        assert!(!process.lines(Stream::Err).is_empty() && process.lines(Stream::Out).is_empty());
        assert_eq!(fs::read_dir(&folder).expect("there").count(), 0, "{program} {args:?} leaves no file");
    }
}
