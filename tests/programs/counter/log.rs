//! The file that `counter_server` logs to (C6, C11).

use std::fs;
use std::path::Path;
use std::time::{Instant, SystemTime};

use support::bare::PATIENCE;

use super::{Peer, Server, server_command};
use crate::process::folder::Folder;
use crate::process::programs::example;
use crate::process::{Process, Stream};

/// Standard output has the same lines as the file, without the time.
#[test]
fn c06_and_c11_the_log_has_date_time_level_and_text_in_local_time() {
    let folder = Folder::new();
    // UTC+05:45, without daylight saving time.
    let mut server = Server::spawn(server_command(&folder, "127.0.0.1:0").env("TZ", "Asia/Kathmandu"));
    let (mut peer, answer) = Peer::begin(&server.address, "17");
    assert_eq!(answer, "0");
    peer.send("5 odd \x1b[31m ");
    let random = peer.recv();
    server.wait_for("refused");
    drop(peer);
    server.wait_for("disconnected");
    let process = server.stop();
    let log = fs::read_to_string(folder.path("server.log")).expect("a log");
    let mut texts = Vec::new();
    for line in log.lines() {
        let (time, text) = line.split_at(23);
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(shape, "9999-99-99 99:99:99,999", "{line}");
        texts.push(text.strip_prefix(" INFO ").expect("a level"));
    }
    assert_eq!(texts, process.lines(Stream::Out));
    assert_eq!(texts[0], "SERVER ONLINE");
    assert!(texts[1].starts_with("Waiting for new connections"));
    assert!(texts[2].starts_with("client 17 connected from 127.0.0.1:"));
    assert_eq!(
        texts[3..5],
        ["client 17 sent 5".to_owned(), format!("client 17 asked for odd, got {random}")]
    );
    assert!(texts[5].ends_with("\"\\x1b[31m\""), "escaped: {}", texts[5]);
    assert_eq!((texts.len(), process.lines(Stream::Err).len()), (7, 0));

    let minutes = |text: &str| -> i64 {
        let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().expect("a number");
        number(11..13) * 60 + number(14..16)
    };
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("later than 1970");
    let there = i64::try_from(since_1970.as_secs()).expect("a time") / 60 + 5 * 60 + 45;
    let late = (there - minutes(&log)).rem_euclid(24 * 60);
    assert!(late <= 2, "{late} minutes apart: {log}");
}

#[test]
fn c06_the_log_is_appended_to() {
    let folder = Folder::new();
    Server::start(&folder).stop();
    Server::start(&folder).stop();
    let log = fs::read_to_string(folder.path("server.log")).expect("a log");
    assert_eq!(log.matches("SERVER ONLINE").count(), 2);
}

/// A cluster keeps standard output itself.
#[test]
fn c06_the_log_may_go_nowhere() {
    let mut command = example("counter_server");
    command.args(["--listen", "127.0.0.1:0", "--log-file", "/dev/null"]);
    let server = Server::spawn(&mut command);
    assert_eq!(server.stop().lines(Stream::Err).len(), 0);
}

#[test]
fn c06_a_log_that_cannot_be_opened_is_exit_code_1() {
    let folder = Folder::new();
    for file in [folder.path("missing/server.log"), folder.as_ref().to_owned()] {
        let mut server = Process::spawn(
            example("counter_server").args(["--listen", "127.0.0.1:0", "--log-file"]).arg(&file),
        );
        server.expect_exit(1, PATIENCE);
        let [line] = server.lines(Stream::Err)[..] else { server.fail("one line") };
        assert!(line.contains(&*file.to_string_lossy()) && line.contains("--log-file"), "{line}");
    }
}

#[test]
fn c06_a_full_disk_is_reported_once_and_service_continues() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let mut command = example("counter_server");
    let mut server = Server::spawn(command.args(["--listen", "127.0.0.1:0", "--log-file", "/dev/full"]));
    let (mut peer, _) = Peer::begin(&server.address, "17");
    for number in 0..20 {
        peer.send(&format!("{number} odd "));
        peer.recv();
    }
    server.wait_for("client 17 sent 19");
    drop(peer);
    let process = server.stop();
    let said = process.lines(Stream::Err);
    assert_eq!(said.iter().filter(|line| line.contains("cannot be written")).count(), 1, "{said:?}");
    assert!(said.iter().any(|line| line.contains("44 lines were lost")), "counted: {said:?}");
}

/// Peers cause at most 1,000 lines per second, on standard output and in the log. Lines beyond that are
/// counted in both.
#[test]
fn a08_lines_about_clients_have_a_budget() {
    const SENT: usize = 5_000;
    let folder = Folder::new();
    let server = Server::start(&folder);
    let start = Instant::now();
    let (mut peer, _) = Peer::begin(&server.address, "17");
    peer.send(&"1 ".repeat(SENT));
    peer.send("odd ");
    peer.recv();
    drop(peer);
    let process = server.stop();
    let seconds = usize::try_from(start.elapsed().as_secs()).expect("seconds") + 1;
    let log = fs::read_to_string(folder.path("server.log")).expect("a log");
    let logged: Vec<_> =
        log.lines().filter_map(|line| line.split_once(" INFO ")).map(|(_, text)| text).collect();
    for lines in [process.lines(Stream::Out), logged] {
        let shown = lines.iter().filter(|line| line.starts_with("client 17 ")).count();
        let left_out =
            lines.iter().filter_map(|line| line.strip_prefix('(')?.split(' ').next()?.parse::<usize>().ok());
        assert!(shown <= 1_000 * seconds, "{shown} lines in {seconds} s");
        assert_eq!(shown + left_out.sum::<usize>(), SENT + 3, "connected, counted, asked, disconnected");
    }
}
