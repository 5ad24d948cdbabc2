//! Paths that lead to something other than a plain file (C5, C6): nothing is lost or silently replaced,
//! nothing blocks, and every failure is reported.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use support::bare::{PATIENCE, free_address};

use super::{Peer, Server, server_command, with_state};
use crate::process::folder::Folder;
use crate::process::programs::example;
use crate::process::{Process, Reading, Stream};

fn with_log(log: &Path) -> Command {
    let mut command = example("counter_server");
    command.args(["--listen", "127.0.0.1:0", "--log-file"]).arg(log);
    command
}

/// Makes the server's state `17 99 -`.
fn count(server: &Server) {
    let (mut peer, _) = Peer::begin(&server.address, "17");
    peer.send("99 odd ");
    peer.recv();
}

#[test]
fn c05_links_are_followed_even_to_a_missing_file() {
    for is_there in [true, false] {
        let folder = Folder::new();
        fs::create_dir(folder.path("volume")).expect("a folder of ours");
        let real = folder.path("volume/real");
        if is_there {
            fs::write(&real, "17 5 -\n").expect("a folder of ours");
        }
        symlink("real", folder.path("volume/other")).expect("a folder of ours");
        symlink("volume/other", folder.path("state")).expect("a folder of ours");
        let server = Server::spawn(&mut with_state(&folder, "127.0.0.1:0"));
        count(&server);
        server.stop();
        assert!(fs::symlink_metadata(folder.path("state")).expect("there").is_symlink());
        assert!(fs::symlink_metadata(folder.path("volume/other")).expect("there").is_symlink());
        assert!(fs::read_to_string(&real).expect("a state").starts_with("17 99 "));
        assert_eq!(fs::read_dir(folder.path("volume")).expect("there").count(), 2);
    }
}

#[test]
fn c05_owner_group_and_mode_of_the_state_stay() {
    let folder = Folder::new();
    let state = folder.path("state");
    fs::write(&state, "17 5 -\n").expect("a folder of ours");
    fs::set_permissions(&state, Permissions::from_mode(0o640)).expect("a file of ours");
    // Only root can give a file away.
    let _ = chown(&state, Some(1), Some(7));
    let identity = || {
        let found = fs::metadata(&state).expect("there");
        (found.mode(), found.uid(), found.gid())
    };
    let before = identity();
    let server = Server::spawn(&mut with_state(&folder, "127.0.0.1:0"));
    count(&server);
    server.stop();
    assert_eq!(identity(), before);
    assert!(fs::read_to_string(&state).expect("a state").starts_with("17 99 "));
}

#[test]
fn c05_a_path_that_is_not_a_file_is_refused_at_once_with_a_message() {
    let folder = Folder::new();
    folder.pipe("pipe");
    let _socket = std::os::unix::net::UnixListener::bind(folder.path("socket")).expect("a folder of ours");
    symlink("loop", folder.path("loop")).expect("a folder of ours");
    fs::write(folder.path("large"), "17 5 -\n".repeat(200_000)).expect("a folder of ours");
    for (path, word) in [
        ("/dev/zero".into(), "device"),
        ("/dev/null".into(), "device"),
        (folder.path("pipe"), "pipe"),
        (folder.path("socket"), ""),
        (folder.as_ref().to_owned(), "folder"),
        (folder.path("loop"), "symbolic links"),
        (folder.path("large"), "1048576 bytes"),
    ] {
        let mut server = Process::spawn(server_command(&folder, "127.0.0.1:0").arg("--state").arg(&path));
        server.expect_exit(1, PATIENCE);
        let [said] = server.lines(Stream::Err)[..] else { server.fail("one line") };
        assert!(said.contains(&*path.to_string_lossy()) && said.contains("--state"), "{said}");
        assert!(said.contains(word), "{said}");
        assert!(!Path::new("/dev/zero.new").exists());
    }
}

#[test]
fn c05_the_same_file_for_state_and_log_is_wrong_usage() {
    let folder = Folder::new();
    symlink("server.log", folder.path("link")).expect("a folder of ours");
    // A new state is written to `state.new` before it replaces the old one.
    for (state, log) in [("link", "server.log"), ("state", "state.new")] {
        let mut command = example("counter_server");
        command.args(["--listen", "127.0.0.1:0", "--log-file"]).arg(folder.path(log));
        let mut server = Process::spawn(command.arg("--state").arg(folder.path(state)));
        server.expect_exit(2, PATIENCE);
        let [said] = server.lines(Stream::Err)[..] else { server.fail("one line") };
        assert!(said.contains("the same file"), "{said}");
    }
    fs::write(folder.path("state.new"), "a log of earlier days\n").expect("a folder of ours");
    let mut command = example("counter_server");
    command.args(["--listen", "127.0.0.1:0", "--log-file"]).arg(folder.path("state.new"));
    Process::spawn(command.arg("--state").arg(folder.path("state"))).expect_exit(2, PATIENCE);
    let log = fs::read_to_string(folder.path("state.new")).expect("it is still there");
    assert_eq!(log, "a log of earlier days\n");
}

/// In a container a single file may be mounted, which can be written but not replaced.
#[test]
fn c05_a_state_that_is_a_mount_point_is_refused_with_a_message() {
    let folder = Folder::new();
    fs::write(folder.path("volume"), "17 5 -\n").expect("a folder of ours");
    fs::write(folder.path("state"), "").expect("a folder of ours");
    let server = with_state(&folder, "127.0.0.1:0");
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", "mount --bind \"$0\" \"$1\" || exit 77; shift; exec \"$@\""]);
    command.arg(folder.path("volume")).arg(folder.path("state")).arg(server.get_program());
    let ended = command.args(server.get_args()).output();
    let Some(ended) = ended.ok().filter(|ended| ended.status.code() == Some(1)) else {
        eprintln!("SKIPPED: nothing can be mounted here");
        return;
    };
    let said = String::from_utf8_lossy(&ended.stderr);
    if !said.contains("unshare") {
        assert!(said.contains("a mount point") && said.contains("--state"), "{said}");
    }
}

#[test]
fn c06_a_pipe_without_a_reader_is_refused_at_once() {
    let folder = Folder::new();
    folder.pipe("log");
    let mut server = Process::spawn(&mut with_log(&folder.path("log")));
    server.expect_exit(1, PATIENCE);
    let [said] = server.lines(Stream::Err)[..] else { server.fail("one line") };
    assert!(said.contains("this pipe has no reader") && said.contains("--log-file"), "{said}");
}

#[test]
fn c06_a_log_reader_that_stops_does_not_stop_the_server() {
    let folder = Folder::new();
    let log = folder.pipe("log");
    let nonblocking = 0o4000;
    let mut reader = OpenOptions::new().read(true).custom_flags(nonblocking).open(&log).expect("a pipe");
    let mut server = Server::spawn(&mut with_log(&log));
    flood(&server.address);
    flood(&server.address);
    let mut some = [0; 13];
    assert_eq!(reader.read(&mut some).expect("lines"), 13, "it was written to");
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
    let said = server.process.lines(Stream::Err).join("\n");
    assert!(said.contains("not written in time"), "{said}");
}

/// Containers use `--log-file /dev/stdout`.
#[test]
fn c06_an_unread_standard_output_as_log_file_does_not_stop_the_server() {
    let address = free_address();
    let mut command = example("counter_server");
    command.args(["--listen", &address, "--log-file", "/dev/stdout"]);
    let mut process = Process::spawn_reading(&mut command, Reading::FirstLineThenStuck, Reading::All);
    process.wait_for_line("SERVER ONLINE", |line| line.text.contains("SERVER ONLINE"), PATIENCE);
    flood(&address);
    flood(&address);
    process.signal("TERM");
    process.expect_exit(0, PATIENCE);
}

/// Printed and logged lines share one file, complete and in order; so do logged lines and complaints.
#[test]
fn c06_a_log_on_an_output_overwrites_nothing() {
    for (log, redirection) in [("/dev/stdout", "> \"$0\""), ("/dev/stderr", "> \"$0\" 2>&1")] {
        let folder = Folder::new();
        let out = folder.path("out");
        let mut shell = Command::new("sh");
        let command = with_log(Path::new(log));
        shell.args(["-c", &format!("exec \"$@\" {redirection}")]);
        shell.arg(&out).arg(command.get_program()).args(command.get_args());
        let mut process = Process::spawn(&mut shell);
        let start = Instant::now();
        while !fs::read_to_string(&out).is_ok_and(|text| text.matches("Waiting for").count() == 2) {
            assert!(start.elapsed() < PATIENCE, "{:?}", fs::read_to_string(&out));
            std::thread::yield_now();
        }
        process.signal("TERM");
        process.expect_exit(0, PATIENCE);
        let text = fs::read_to_string(&out).expect("there");
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0] == "SERVER ONLINE" && lines[1].ends_with(" INFO SERVER ONLINE"), "{lines:?}");
        assert_eq!(lines.len(), 4, "{lines:?}");
    }
}

/// `ulimit -f`: exceeding the limit would kill the process, unless the signal is ignored.
#[test]
fn c06_a_file_size_limit_is_like_a_full_disk() {
    let folder = Folder::new();
    let command = with_state(&folder, "127.0.0.1:0");
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -f 8; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    let mut server = Server::spawn(&mut shell);
    flood(&server.address);
    server.wait_for("server.log: cannot be written");
    count(&server);
    let process = server.stop();
    let said = process.lines(Stream::Err).join("\n");
    assert!(said.contains("lines were lost"), "{said}");
    assert!(
        fs::read_to_string(folder.path("state")).expect("a state").starts_with("17 99 "),
        "saved, because it is small"
    );
}

/// A client causes 67 KB of lines, which is more than a pipe holds (64 KiB on Linux) and less than the budget
/// of a second. Its answer comes after them.
fn flood(address: &str) {
    let (mut peer, _) = Peer::begin(address, "10000");
    peer.send(&format!("{} ", i64::MIN).repeat(990));
    peer.send("odd ");
    peer.recv();
}
