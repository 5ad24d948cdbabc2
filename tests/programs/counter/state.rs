//! The file in which `counter_server` keeps its numbers (C5): it is complete and up to date, and a file that
//! cannot be read or written is a clear error.

use std::collections::HashSet;
use std::fs;
use std::time::{Duration, Instant};

use support::bare::PATIENCE;
use support::ms;

use super::{Peer, Server, server_command, with_state};
use crate::ends::is_nohup;
use crate::process::folder::Folder;
use crate::process::{Process, Stream};

#[test]
fn c05_the_state_survives_each_signal() {
    for signal in ["TERM", "INT", "HUP"] {
        if signal == "HUP" && is_nohup() {
            continue;
        }
        let folder = Folder::new();
        let mut server = Server::spawn(&mut with_state(&folder, "127.0.0.1:0"));
        let (mut peer, _) = Peer::begin(&server.address, "17");
        peer.send("41 odd ");
        let random = peer.recv();
        server.process.signal(signal);
        server.process.expect_exit(0, PATIENCE);
        let saved = fs::read_to_string(folder.path("state")).expect("a state");
        assert_eq!(saved, format!("17 41 {random}\n"), "SIG{signal}");
        assert_eq!(fs::read_dir(&folder).expect("there").count(), 2, "no other file is left");
        let server = Server::spawn(&mut with_state(&folder, "127.0.0.1:0"));
        let (_peer, answer) = Peer::begin(&server.address, "17");
        assert_eq!(answer, "41");
    }
}

/// A server that could not save what it knew has not ended well.
#[test]
fn c05_changes_that_are_lost_at_the_end_are_an_error() {
    let folder = Folder::new();
    fs::create_dir(folder.path("inner")).expect("a folder of ours");
    let mut command = server_command(&folder, "127.0.0.1:0");
    let mut server = Server::spawn(command.arg("--state").arg(folder.path("inner").join("state")));
    let (mut peer, _) = Peer::begin(&server.address, "17");
    fs::remove_dir_all(folder.path("inner")).expect("a folder of ours");
    peer.send("41 odd ");
    peer.recv();
    server.process.signal("TERM");
    server.process.expect_exit(1, PATIENCE);
    let said = server.process.lines(Stream::Err).join("\n");
    assert!(said.contains("the last changes are not saved"), "{said}");
}

/// A client counts all the time. Whenever the server is killed, all numbers older than a second are saved.
///
/// On a slow machine or disk the server saves later and answers later, so the slowest answer is allowed for.
#[test]
fn c05_a_kill_loses_nothing_older_than_a_second() {
    let folder = Folder::new();
    let mut begin = 0_i64;
    for round in 0..4 {
        let server = Server::spawn(&mut with_state(&folder, "127.0.0.1:0"));
        let (mut peer, answer) = Peer::begin(&server.address, "17");
        let restored: i64 = answer.parse().expect("a number");
        assert!(restored >= begin, "{restored} after {begin}");
        let start = Instant::now();
        let (mut sent, mut slowest) = (Vec::new(), Duration::ZERO);
        let mut number = restored;
        while start.elapsed() < ms(1_300 + 170 * round) {
            number += 1;
            let asked = Instant::now();
            peer.send(&format!("{number} odd "));
            // The answer proves that the number before it has arrived.
            peer.recv();
            slowest = slowest.max(asked.elapsed());
            sent.push((Instant::now(), number));
            // This sets a pace and does not wait for anything: only the length of the log depends on it.
            std::thread::sleep(ms(5));
        }
        let killed = Instant::now();
        server.process.kill(PATIENCE);
        begin = sent
            .iter()
            .filter(|(at, _)| killed - *at > Duration::from_secs(1) + slowest)
            .map(|(_, number)| *number)
            .max()
            .unwrap_or(restored);
        let saved = fs::read_to_string(folder.path("state")).expect("a state");
        let saved: i64 = saved.split(' ').nth(1).and_then(|number| number.parse().ok()).expect("whole");
        assert!(saved >= begin, "{saved} is saved, {begin} is older than a second");
    }
}

/// A reader always sees the complete old or the complete new file, even during the replacement.
#[test]
fn c05_the_state_is_written_atomically() {
    let folder = Folder::new();
    let state = folder.path("state");
    let before: String = (0..=10_000).map(|id| format!("{id} {id} -\n")).collect();
    fs::write(&state, &before).expect("a directory of ours");
    let server = Server::spawn(&mut with_state(&folder, "127.0.0.1:0"));
    let (mut peer, answer) = Peer::begin(&server.address, "9999");
    assert_eq!(answer, "9999");
    let mut seen = HashSet::new();
    let start = Instant::now();
    while seen.len() < 3 {
        assert!(start.elapsed() < PATIENCE, "only {} versions seen", seen.len());
        peer.send(&format!("{} ", start.elapsed().as_nanos()));
        let text = fs::read_to_string(&state).expect("always there");
        assert_eq!(text.lines().count(), 10_001);
        assert!(text.ends_with("10000 10000 -\n"));
        seen.insert(text.lines().nth(9_999).map(str::to_owned));
    }
    drop(server);
}

#[test]
fn c05_a_malformed_state_is_a_clear_error() {
    let folder = Folder::new();
    for (text, line) in [
        (&b"17 5 -\n18 x -\n"[..], "line 2"),
        (b"10001 5 -\n", "line 1"),
        (b"17 5\n", "line 1"),
        (b"17 5 - -\n", "line 1"),
        (b"17 5 100\n", "line 1"),
        (b"17 9223372036854775808 -\n", "line 1"),
        (b"\n", "line 1"),
        (b"\xff", "UTF-8"),
    ] {
        fs::write(folder.path("state"), text).expect("a directory of ours");
        let mut server = Process::spawn(&mut with_state(&folder, "127.0.0.1:0"));
        server.expect_exit(1, PATIENCE);
        let [said] = server.lines(Stream::Err)[..] else { server.fail("one line") };
        assert!(said.contains("state") && said.contains(line), "{said}");
        assert_eq!(fs::read(folder.path("state")).expect("there"), text, "left as it was");
    }
}

#[test]
fn c05_a_state_that_cannot_be_written_is_reported_at_the_start() {
    let folder = Folder::new();
    let mut command = server_command(&folder, "127.0.0.1:0");
    let mut server = Process::spawn(command.arg("--state").arg(folder.path("missing/state")));
    server.expect_exit(1, PATIENCE);
    let [said] = server.lines(Stream::Err)[..] else { server.fail("one line") };
    assert!(said.contains("missing/state") && said.contains("--state"), "{said}");
}

/// The disk of the state is full, and later has room again: nothing is lost, even without another change.
#[test]
fn c05_a_failed_save_is_reported_once_and_retried() {
    let folder = Folder::new();
    let mut server = Server::spawn(&mut with_state(&folder, "127.0.0.1:0"));
    // A directory blocks the path of the new file.
    fs::create_dir(folder.path("state.new")).expect("a directory of ours");
    let (mut peer, _) = Peer::begin(&server.address, "17");
    peer.send("41 ");
    server.wait_for("cannot be written");
    fs::remove_dir(folder.path("state.new")).expect("empty");
    server.wait_for("written again");
    assert_eq!(fs::read_to_string(folder.path("state")).expect("a state"), "17 41 -\n");
    let said = server.process.lines(Stream::Err);
    assert_eq!(said.iter().filter(|line| line.contains("cannot be written")).count(), 1, "{said:?}");
}
