//! `--journal`: a server that is killed comes back with the same seats, numbers and answers.

use std::fs;
use std::process::Command;
use std::time::Duration;

use support::bare::PATIENCE;

use crate::process::folder::Folder;
use crate::process::programs::example_as_here;
use crate::process::{Process, Reading};
use crate::programs::{LinePeer, Server, expect_one_complaint, field, numbers_of, turn_client};

fn path(folder: &Folder, name: &str) -> String {
    folder.path(name).into_os_string().into_string().expect("UTF-8")
}

fn turn_server(journal: &str, options: &[&str]) -> Command {
    let mut command = example_as_here("turn_server");
    command.args(["--listen", "127.0.0.1:0", "--framing", "line", "--journal", journal]).args(options);
    command
}

fn start(journal: &str, options: &[&str]) -> Server {
    Server::spawn(&mut turn_server(journal, options), Reading::All)
}

/// Runs a command that fails, and returns the one line in which it says why.
fn complaint(command: &mut Command) -> String {
    let mut process = Process::spawn(command);
    process.expect_exit(1, PATIENCE);
    expect_one_complaint(&process)
}

/// Lets Ann answer turn 1, so that Bob holds turn 2. Returns their welcomes.
fn begun(server: &Server) -> [String; 2] {
    let mut ann = LinePeer::connect(&server.address, "JOIN ann");
    let anns = ann.hears("WELCOME ann ");
    let mut bob = LinePeer::connect(&server.address, "JOIN bob");
    let bobs = bob.hears("WELCOME bob ");
    ann.hears("GO turn=1 ");
    ann.says(&format!("ANSWER turn=1 epoch={} :17", field(&anns, "epoch")));
    ann.hears("OK turn=1");
    bob.hears("GO turn=2 ");
    [anns, bobs]
}

fn resume(server: &Server, name: &str, welcome: &str) -> (LinePeer, String) {
    let mut peer =
        LinePeer::connect(&server.address, &format!("JOIN {name} resume={}", field(welcome, "resume")));
    let welcome = peer.hears_next();
    (peer, welcome)
}

#[test]
fn a_killed_server_comes_back_with_its_seats_numbers_and_answers() {
    let folder = Folder::new();
    let journal = path(&folder, "journal");
    let server = start(&journal, &[]);
    let [anns, bobs] = begun(&server);
    server.process.kill(PATIENCE);

    let mut server = start(&journal, &[]);
    let (mut bob, welcome) = resume(&server, "bob", &bobs);
    assert_eq!(
        (field(&welcome, "epoch"), field(&welcome, "seat")),
        (field(&anns, "epoch"), "2"),
        "{welcome}"
    );
    bob.hears("GO turn=2 ");
    let (mut ann, welcome) = resume(&server, "ann", &anns);
    assert_eq!(field(&welcome, "last"), "1");
    // The client may have missed the `OK`, and sends its answer again.
    ann.says(&format!("ANSWER turn=1 epoch={} :17", field(&anns, "epoch")));
    ann.hears("OK turn=1");
    bob.says(&format!("ANSWER turn=2 epoch={} :18", field(&anns, "epoch")));
    bob.hears("OK turn=2");
    ann.hears("GO turn=3 ");
    server.wait_for_number("bob", 18);
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
    assert_eq!(numbers_of(&server.process.sent(), "ann"), Vec::<i64>::new(), "it counted once");
}

/// The Rust client treats a kill like a lost connection: the epoch stays the same, so it learns the fate of
/// its answer in flight.
#[test]
fn turn_client_continues_after_kills_and_leaves_nothing_out() {
    let folder = Folder::new();
    let journal = path(&folder, "journal");
    let mut server = start(&journal, &[]);
    let address = server.address.clone();
    let client = turn_client(&address, &["--framing", "line", "--pace", "20ms"]);
    let mut printed = Vec::new();
    for _ in 0..2 {
        server.process.wait_for_sent(12, PATIENCE);
        printed.extend(server.process.kill(PATIENCE));
        server = Server::spawn(turn_server(&journal, &[]).args(["--listen", &address]), Reading::All);
    }
    server.process.wait_for_sent(12, PATIENCE);
    let on_client = client.kill(PATIENCE);
    printed.extend(server.process.kill(PATIENCE));
    for name in ["Client1", "Client2"] {
        let numbers = numbers_of(&printed, name);
        assert!(numbers.is_sorted_by(|a, b| a < b), "{name}: one counted twice, in {numbers:?}");
        let numbers = numbers_of(&on_client, name);
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 2), "{name} left one out: {numbers:?}");
    }
}

#[test]
fn a_directory_that_cannot_be_used_is_refused_in_one_line() {
    let folder = Folder::new();
    let journal = path(&folder, "journal");
    let _server = start(&journal, &[]);
    let line = complaint(&mut turn_server(&journal, &[]));
    assert!(line.contains(&journal) && line.contains("another server uses it: stop that server"), "{line}");

    let others = path(&folder, "others");
    fs::create_dir(&others).expect("a folder");
    fs::write(folder.path("others/mail"), "Dear Bob").expect("a file");
    let line = complaint(&mut turn_server(&others, &[]));
    assert!(
        line.contains("\"mail\" belongs to another program: use a directory that holds nothing else"),
        "{line}"
    );

    let line = complaint(&mut turn_server("/dev/null", &[]));
    assert!(line.contains("/dev/null"), "{line}");

    // A damaged journal is only replaced on request.
    let spoilt = path(&folder, "spoilt");
    let server = start(&spoilt, &[]);
    let [anns, _] = begun(&server);
    server.process.kill(PATIENCE);
    fs::write(folder.path("spoilt/turns.redb"), "").expect("a file");
    let line = complaint(&mut turn_server(&spoilt, &[]));
    assert!(line.contains("turns.redb is empty") && line.contains("--discard-journal"), "{line}");
    let server = start(&spoilt, &["--discard-journal"]);
    let mut ann = LinePeer::connect(&server.address, "JOIN ann");
    assert_ne!(field(&ann.hears("WELCOME "), "epoch"), field(&anns, "epoch"));
}

#[test]
fn contradictory_or_incomplete_options_are_refused() {
    let folder = Folder::new();
    let journal = path(&folder, "journal");
    for (options, words) in [
        (&["--new-epoch"][..], "--new-epoch needs --journal DIR"),
        (&["--export", "x"], "--export needs --journal DIR"),
        (&["--journal", &journal, "--new-epoch", "--discard-journal"], "exclude each other"),
    ] {
        let mut process =
            Process::spawn(example_as_here("turn_server").args(["--listen", "127.0.0.1:0"]).args(options));
        process.expect_exit(2, PATIENCE);
        let line = expect_one_complaint(&process);
        assert!(line.contains(words), "{line}");
    }
    assert!(!folder.path("journal").exists());
}

#[test]
fn a_journal_moves_by_export_and_import_and_a_backup_begins_another_epoch() {
    let folder = Folder::new();
    let [journal, moved, file] = ["journal", "moved", "export.jsonl"].map(|name| path(&folder, name));
    let server = start(&journal, &[]);
    let [anns, _] = begun(&server);
    server.process.kill(PATIENCE);
    Process::spawn(&mut turn_server(&journal, &["--export", &file])).expect_exit(0, PATIENCE);
    let text = fs::read_to_string(folder.path("export.jsonl")).expect("text");
    assert!(text.lines().any(|line| line.contains("\"name\":\"ann\"")), "{text}");
    assert!(!text.contains(field(&anns, "resume")), "secrets are hashed");
    // Existing files are not overwritten.
    let line = complaint(&mut turn_server(&journal, &["--export", &file]));
    assert!(line.contains("export.jsonl"), "{line}");
    Process::spawn(&mut turn_server(&moved, &["--import", &file])).expect_exit(0, PATIENCE);
    let line = complaint(&mut turn_server(&moved, &["--import", &file]));
    assert!(line.contains("import into an empty directory"), "{line}");

    let server = start(&moved, &[]);
    let (_ann, welcome) = resume(&server, "ann", &anns);
    assert_eq!((field(&welcome, "last"), field(&welcome, "epoch")), ("1", field(&anns, "epoch")));
    server.process.kill(PATIENCE);

    let server = start(&moved, &["--new-epoch"]);
    let mut ann =
        LinePeer::connect(&server.address, &format!("JOIN ann resume={}", field(&welcome, "resume")));
    assert_ne!(field(&ann.hears("WELCOME "), "epoch"), field(&anns, "epoch"));
}

fn tables(journal: &str) -> Server {
    let mut command = example_as_here("tic_tac_toe");
    command.args(["--listen", "127.0.0.1:0", "--journal", journal]);
    Server::spawn(&mut command, Reading::All)
}

/// M23
#[test]
fn tic_tac_toe_continues_with_the_right_board() {
    let folder = Folder::new();
    let journal = path(&folder, "journal");
    let start = || tables(&journal);
    let board = |peer: &mut LinePeer| {
        peer.hears("SAY bytes=");
        let lines: Vec<String> = (0..5).map(|_| peer.hears_next()).collect();
        lines.concat().chars().filter(char::is_ascii_alphanumeric).collect::<String>()
    };
    let server = start();
    let mut ann = LinePeer::connect(&server.address, "JOIN ann ring=oak");
    let anns = ann.hears("WELCOME ");
    let mut bob = LinePeer::connect(&server.address, "JOIN bob ring=oak");
    let bobs = bob.hears("WELCOME ");
    ann.hears("GO turn=1 ");
    ann.says("ANSWER :5");
    bob.hears("GO turn=2 ");
    bob.says("ANSWER :1");
    bob.hears("OK turn=2");
    server.process.kill(PATIENCE);

    let server = start();
    let resume = |name: &str, welcome: &str| {
        LinePeer::connect(
            &server.address,
            &format!("JOIN {name} ring=oak resume={}", field(welcome, "resume")),
        )
    };
    let mut bob = resume("bob", &bobs);
    assert_eq!(board(&mut bob), "O234X6789");
    let mut ann = resume("ann", &anns);
    assert_eq!(board(&mut ann), "O234X6789");
    ann.hears("GO turn=3 ");
    ann.says("ANSWER :1");
    assert!(ann.hears("NO refused").contains("this cell is taken"));
    ann.says("ANSWER :3");
    ann.hears("OK turn=3");
    bob.hears("GO turn=4 ");
    // No move has stored the empty board since.
    ann.says("LEAVE");
    ann.hears("BYE left");
    server.process.kill(PATIENCE);

    let server = start();
    let mut cid = LinePeer::connect(&server.address, "JOIN cid ring=oak");
    assert_eq!(board(&mut cid), "123456789");
}

/// The board of one who was alone at the table and of one who has come since.
#[test]
fn tic_tac_toe_keeps_a_move_that_was_made_alone() {
    let folder = Folder::new();
    let journal = path(&folder, "journal");
    let start = || tables(&journal);
    let server = start();
    let mut ann = LinePeer::connect(&server.address, "JOIN ann ring=oak");
    ann.hears("WAIT ");
    let mut bob = LinePeer::connect(&server.address, "JOIN bob ring=oak");
    ann.hears("GO turn=1 ");
    ann.says("ANSWER :5");
    bob.hears("GO turn=2 ");
    ann.says("LEAVE");
    ann.hears("BYE left");
    bob.says("ANSWER :7");
    bob.hears("OK turn=2");
    let mut cid = LinePeer::connect(&server.address, "JOIN cid ring=oak");
    let welcome = cid.hears("WELCOME ");
    let secret = field(&welcome, "resume");
    server.process.kill(PATIENCE);
    let server = start();
    let mut cid = LinePeer::connect(&server.address, &format!("JOIN cid ring=oak resume={secret}"));
    cid.hears("SAY bytes=");
    let rows: Vec<String> = (0..5).map(|_| cid.hears_next()).collect();
    assert_eq!(rows.last().map(String::as_str), Some(" X | 8 | 9"), "{rows:?}");
}

/// A full disk ends the server, and nothing was confirmed that it could not store. (Only root can mount the
/// disk.)
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_the_server_in_one_line() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = Folder::new();
    fs::create_dir(folder.path("disk")).expect("a folder");
    let disk = path(&folder, "disk");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "none", &disk]).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return;
    }
    let journal = format!("{disk}/journal");
    let mut server = start(&journal, &[]);
    let mut ann = LinePeer::connect(&server.address, "JOIN ann");
    ann.hears("WELCOME ");
    let filled = fs::write(folder.path("disk/film"), vec![0; 8 << 20]);
    assert!(filled.is_err(), "the disk is full");
    // Fills the log, until the database has to grow.
    let mut confirmed = 0;
    for name in 0.. {
        let mut peer = std::net::TcpStream::connect(&server.address).expect("a listener");
        peer.set_read_timeout(Some(Duration::from_secs(10))).expect("not zero");
        use std::io::{BufRead as _, Write as _};
        let _ = writeln!(peer, "JOIN seat{name}");
        let mut line = String::new();
        let heard = std::io::BufReader::new(peer).read_line(&mut line);
        if heard.is_err() || line.is_empty() {
            break;
        }
        confirmed += 1;
        assert!(confirmed < 100_000, "the disk is not full");
    }
    let status = server.process.wait_for_exit(PATIENCE);
    let line =
        server.process.lines(crate::process::Stream::Err).last().copied().unwrap_or_default().to_owned();
    let _ = Command::new("umount").arg("-l").arg(&disk).status();
    assert_eq!(status.code(), Some(1), "{line}");
    assert!(line.contains(&journal) && line.contains("No space left"), "{line}");
}

#[cfg(feature = "status")]
#[test]
fn the_status_has_the_commits_of_the_store() {
    use std::io::{Read as _, Write as _};
    use std::time::Instant;

    let folder = Folder::new();
    let mut server = start(&path(&folder, "journal"), &["--status", "127.0.0.1:0"]);
    begun(&server);
    let status = server.process.wait_until("the status", PATIENCE, |seen| {
        seen.iter().find_map(|line| {
            Some(line.text.split_once("status on http://")?.1.trim_end_matches('/').to_owned())
        })
    });
    let metrics = || {
        let mut stream = std::net::TcpStream::connect(&status).expect("a listener");
        let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).expect("a connection");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    };
    let value = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse::<f64>().expect("a number")
    };
    // Bob's time begins when `GO` is released, which takes one more record.
    let deadline = Instant::now() + PATIENCE;
    let mut text = metrics();
    while value(&text, "taketurns_store_records_waiting") > 0.0 {
        assert!(Instant::now() < deadline, "records wait for ever: {text}");
        text = metrics();
    }
    let value = |name| value(&text, name);
    assert!(value("taketurns_store_commit_seconds_count") >= 3.0, "two joins and an answer");
    assert!(value("taketurns_store_changes_total") >= 3.0, "each of them changes the ring's entry");
    assert!(value("taketurns_store_commit_seconds_sum") > 0.0);
    // A new journal has some pages already.
    assert!(value("taketurns_store_bytes") > 4096.0);
}
