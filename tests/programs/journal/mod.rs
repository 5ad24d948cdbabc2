//! The journal in processes that are killed, on disks that are full or fail, and with two servers at once.
//!
//! The process is this test binary. It writes records as fast as it can and reports how many are durable.

mod killed;
mod writer;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use fastrand::Rng;
use taketurns::journal::Journal;
use taketurns::record::{Change, HostValue, Key};
use taketurns::session::Epoch;
use taketurns::store::Store as _;

use writer::{DIR, History, WAITING_MAX};

/// How often `cargo test` kills a process. The variable sets another number: `TAKETURNS_KILLS=1000`.
const KILLS: u32 = 200;

/// A temporary directory, removed on drop.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("taketurns-journal-{}-{name}", std::process::id()));
        fs::create_dir(&dir).expect("a new directory");
        Dir(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A writing process.
struct Writer {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Writer {
    fn start(dir: &Path) -> Writer {
        Writer::start_with(Command::new(std::env::current_exe().expect("this program")), dir)
    }

    fn start_with(mut program: Command, dir: &Path) -> Writer {
        let (_, module) = module_path!().split_once("::").expect("a module of this program");
        let writer = format!("{module}::writer::the_process_that_writes");
        let args = ["--exact", &writer, "--ignored", "--nocapture"];
        program.args(args).env(DIR, dir).env("RUST_BACKTRACE", "0");
        let mut process = program.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a process");
        let lines = BufReader::new(process.stdout.take().expect("it is piped"));
        Writer { process, lines }
    }

    /// Reads on to the next line that begins with `word`, and returns the rest of it; `None` when the process
    /// has ended.
    fn hear(&mut self, word: &str) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.lines.read_line(&mut line).expect("text") == 0 {
                return None;
            }
            if let Some(rest) = line.strip_prefix(word).filter(|rest| rest.ends_with('\n')) {
                return Some(rest.trim().to_owned());
            }
        }
    }

    fn hear_number(&mut self, word: &str) -> Option<u64> {
        self.hear(word).map(|text| text.parse().expect("a number"))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the contents of a journal that no process is using.
fn found(dir: &Path) -> u64 {
    let mut journal = Journal::open(dir, Epoch(99)).expect("it opens");
    let history = History::of(&journal.load().expect("a state"));
    history.expect("the state of a moment").last()
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let kills = std::env::var("TAKETURNS_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"));
    let dir = Dir::new("kill");
    let mut rng = Rng::with_seed(17);
    let mut acknowledged = 0;
    for kill in 0..kills {
        let mut writer = Writer::start(&dir.0);
        // A life begins by reporting the state that it found.
        let mut is_first = true;
        let mut hear = |writer: &mut Writer| {
            let durable = writer.hear_number("durable ")?;
            assert!(durable >= acknowledged, "kill {kill}: {durable} found, {acknowledged} acknowledged");
            assert!(!is_first || durable <= acknowledged + WAITING_MAX, "kill {kill}: {durable} found");
            (acknowledged, is_first) = (durable, false);
            Some(())
        };
        if rng.u8(..4) == 0 {
            // A random moment: while the process starts, opens the journal, or writes.
            let moment = Duration::from_micros(rng.u64(..30_000));
            channel::<()>().1.recv_timeout(moment).expect_err("nothing comes");
        } else {
            for _ in 0..rng.u32(1..40) {
                hear(&mut writer).expect("it goes on until it is killed");
            }
        }
        writer.process.kill().expect("it can be killed");
        // The output from before it died.
        while hear(&mut writer).is_some() {}
        writer.process.wait().expect("it has ended");
    }
    let found = found(&dir.0);
    assert!(
        (acknowledged..=acknowledged + WAITING_MAX).contains(&found),
        "{found} found, {acknowledged} acknowledged"
    );
    assert!(acknowledged > 0, "nothing was ever written");
    println!("{kills} kills, {acknowledged} records acknowledged, {found} found");
}

#[test]
fn two_processes_cannot_have_one_directory() {
    let dir = Dir::new("two");
    let mut first = Writer::start(&dir.0);
    let durable = first.hear_number("durable ").expect("it writes");
    let error = Journal::open(&dir.0, Epoch(1)).expect_err("it is in use").to_string();
    assert!(error.contains("another server uses it: stop that server"), "{error}");
    let refused = Writer::start(&dir.0).hear("refused ").expect("a line");
    assert_eq!(refused, error);
    assert!(first.hear_number("durable ").expect("it goes on") > durable);
    first.process.kill().expect("it can be killed");
    first.process.wait().expect("it has ended");
    assert!(found(&dir.0) > durable, "and the lock is gone with its process");
}

/// A small file system mounted on a directory, until this is dropped.
struct SmallDisk(Dir);

impl SmallDisk {
    fn new(size: &str) -> Option<SmallDisk> {
        let dir = Dir::new("small");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "taketurns"])
            .arg(&dir.0)
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(SmallDisk(dir))
    }

    fn resize(&self, size: &str) {
        let mut mount = Command::new("mount");
        let status = mount.args(["-o", &format!("remount,size={size}")]).arg(&self.0.0).status();
        assert!(status.expect("mount").success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0.0).status();
    }
}

#[test]
fn a_full_disk_ends_the_life_and_the_next_one_has_everything_acknowledged() {
    let Some(disk) = SmallDisk::new("5m") else {
        return println!("a full disk: SKIPPED, it needs root to mount one");
    };
    let dir = disk.0.0.join("journal");
    let mut journal = Journal::open(&dir, Epoch(1)).expect("a new journal");
    let mut history = History::of(&journal.load().expect("a state")).expect("an empty one");
    let error = loop {
        let mut changes = history.next();
        let ring = changes.iter().find_map(|change| match change.key() {
            Key::Ring(ring) => Some(*ring),
            _ => None,
        });
        let state = HostValue(vec![7; 60_000]).encode();
        changes.push(Change::Put { key: Key::Host(ring.expect("a ring changes")), value: state });
        match journal.commit(changes) {
            Ok(()) => history.advance(),
            Err(lost) => break lost.to_string(),
        }
    };
    assert!(error.contains("No space left on device") && error.contains(&format!("{dir:?}")), "{error}");
    let again = journal.commit(history.next()).expect_err("it has failed before").to_string();
    assert!(again.contains("an earlier commit failed"), "{again}");
    drop(journal);
    disk.resize("32m");
    let after = found(&dir);
    let last = history.last();
    assert!(after == last || after == last + 1, "{after} found, {last} acknowledged");
    assert!(last > 3, "it was full before anything was written");
}

#[test]
fn a_sync_that_fails_ends_the_life_of_a_process() {
    let Ok(version) = Command::new("strace").arg("-V").output() else {
        return println!("a sync that fails: SKIPPED, there is no strace");
    };
    assert!(version.status.success());
    for when in [1, 2, 7, 30] {
        let dir = Dir::new(&format!("eio-{when}"));
        drop(Journal::open(&dir.0, Epoch(1)).expect("a new journal"));
        let mut strace = Command::new("strace");
        let inject = format!("inject=fdatasync:error=EIO:when={when}+");
        strace.args(["-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", &inject]);
        strace.arg(std::env::current_exe().expect("this program"));
        let mut writer = Writer::start_with(strace, &dir.0);
        let (mut acknowledged, mut ended) = (0, None);
        let mut line = String::new();
        while writer.lines.read_line(&mut line).expect("text") > 0 {
            if let Some(durable) = line.strip_prefix("durable ") {
                acknowledged = durable.trim().parse().expect("a number");
            } else if line.starts_with("lost ") || line.starts_with("refused ") {
                ended = Some(line.trim().to_owned());
            }
            line.clear();
        }
        let Some(ended) = ended else {
            return println!("a sync that fails: SKIPPED, strace cannot trace here");
        };
        assert!(ended.contains("Input/output error") && ended.contains(&format!("{:?}", dir.0)), "{ended}");
        let found = found(&dir.0);
        assert!(found >= acknowledged, "sync {when}: {found} found, {acknowledged} acknowledged");
    }
}
