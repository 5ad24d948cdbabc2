//! The rules of damage, in real directories.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::changes;
use crate::journal::{Fault, Journal, JournalError};
use crate::record::{HOST_STATE_BYTES_MAX, HostValue, RingState, State, tests::state};
use crate::session::Epoch;
use crate::store::{Lost, Store as _};

const OLD: Epoch = Epoch(0x01d);
const NEW: Epoch = Epoch(0x4e3);

/// A temporary directory, removed on drop.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        static NTH: AtomicU32 = AtomicU32::new(0);
        let nth = NTH.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("taketurns-rules-{}-{nth}", std::process::id()));
        fs::create_dir(&dir).expect("a new directory");
        Dir(dir)
    }

    /// Returns a directory with a closed journal, and its state.
    fn with_journal() -> (Dir, State) {
        let dir = Dir::new();
        let mut journal = dir.open().expect("a new journal");
        let state = store_some(&mut journal, 3);
        journal.close().expect("closed");
        (dir, state)
    }

    fn open(&self) -> Result<Journal, JournalError> {
        Journal::open(&self.0, OLD)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Returns everything in it but the lock, which any attempt to open a journal creates.
    fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(&self.0).expect("a directory");
        let paths = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
        let mut contents: Vec<_> =
            paths.map(|path| (path.clone(), fs::read(path).expect("a file"))).collect();
        contents.retain(|(path, _)| !path.ends_with("lock"));
        contents.sort();
        contents
    }

    /// Checks that the journal does not open, that it says this in one line, and that nothing was
    /// overwritten.
    #[track_caller]
    fn is_refused(&self, says: &str) {
        let before = self.contents();
        let refused = |opened: Result<Journal, JournalError>| opened.expect_err("refused").to_string();
        let text = refused(self.open());
        let (begin, end) = says.split_once("...").expect("a beginning and an end");
        let rest = text.strip_prefix(&format!("journal {:?}: ", self.0)).expect("it says where");
        assert!(rest.starts_with(begin) && rest.ends_with(end) && !text.contains('\n'), "{text}");
        assert!(self.contents() == before, "something was overwritten");
        assert_eq!(refused(self.open()), text, "and it stays so");
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Stores a few states in turn and returns the last one.
fn store_some(journal: &mut Journal, commits: u64) -> State {
    let mut now = journal.load().expect("a state");
    for seed in 0..commits {
        let next = State { meta: now.meta, ..state(&mut Rng::with_seed(seed + 20), 3) };
        journal.commit(changes(&now, &next)).expect("stored");
        now = next;
    }
    now
}

fn found(journal: Result<Journal, JournalError>) -> State {
    journal.expect("it opens").load().expect("a state")
}

const BACKUP: &str = "restore a backup of the whole directory and open it with Journal::open_backup, or start over with Journal::discard";
const GO_ON: &str =
    "if this is a backup, continue from it with Journal::open_backup, or start over with Journal::discard";

#[test]
fn a_journal_begins_in_an_empty_directory_and_continues() {
    let (dir, state) = Dir::with_journal();
    assert_eq!((state.meta.epoch, found(dir.open())), (OLD, state.clone()));
    // Dropped without a close: like a killed life, except that the lock is free.
    let mut journal = Journal::open(&dir.0, NEW).expect("it opens");
    assert_eq!(journal.load().expect("a state"), state);
    let state = store_some(&mut journal, 2);
    assert_eq!((journal.load().expect("a state"), state.meta.epoch), (state.clone(), OLD));
    drop(journal);
    assert_eq!(found(dir.open()), state);
    // Only one level of directories is created.
    let inner = dir.file("a");
    assert!(Journal::open(&inner.join("b"), OLD).is_err() && !inner.exists());
    assert!(Journal::open(&inner, OLD).is_ok());
}

#[test]
fn a_journal_begins_nowhere_else() {
    let dir = Dir::new();
    fs::create_dir(dir.file("lost+found")).expect("made");
    fs::write(dir.file("PG_VERSION"), "17\n").expect("written");
    dir.is_refused(
        "the directory is neither empty nor a journal: \"PG_VERSION\" belongs to another program... use a directory that holds nothing else",
    );
    assert!(!dir.file("lock").exists());
    let discarded = Journal::discard(&dir.0, NEW).expect_err("not even then");
    assert!(matches!(discarded.fault(), Fault::Foreign(_)));
    fs::remove_file(dir.file("PG_VERSION")).expect("removed");
    assert!(dir.open().is_ok());

    let dir = Dir::new();
    fs::write(dir.file("lock"), [b'x'; 59]).expect("written");
    dir.is_refused(
        "the directory is neither empty nor a journal: \"lock\"... use a directory that holds nothing else",
    );
    let dir = Dir::new();
    let not_a_directory = dir.file("file");
    File::create(&not_a_directory).expect("made");
    let error = Journal::open(&not_a_directory, OLD).expect_err("a file").to_string();
    assert!(error.contains("cannot list the directory: Not a directory"), "{error}");
}

#[test]
fn one_server_uses_a_directory() {
    let (dir, state) = Dir::with_journal();
    let first = dir.open().expect("it opens");
    dir.is_refused("another server uses it... stop that server, or use another directory");
    assert!(Journal::discard(&dir.0, NEW).is_err() && Journal::open_backup(&dir.0, NEW).is_err());
    drop(first);
    assert_eq!(found(dir.open()), state);
}

const WITHOUT_LOG: &str = "restore it, or continue without its commits with Journal::open_backup";

#[test]
fn a_file_that_is_missing_is_refused() {
    let (dir, state) = Dir::with_journal();
    let aside = dir.0.with_extension("aside");
    fs::rename(dir.file("turns.redb"), &aside).expect("moved");
    dir.is_refused(&format!("turns.redb is missing... {BACKUP}"));
    fs::rename(&aside, dir.file("turns.redb")).expect("moved");
    fs::rename(dir.file("turns.log"), &aside).expect("moved");
    dir.is_refused(&format!("turns.log is missing... {WITHOUT_LOG}"));
    fs::rename(&aside, dir.file("turns.log")).expect("moved");
    fs::rename(dir.file("id"), &aside).expect("moved");
    dir.is_refused(&format!("id is missing, but the journal has been written to... {GO_ON}"));
    fs::rename(dir.file("turns.redb"), dir.file("aside")).expect("moved");
    dir.is_refused(&format!("turns.redb is missing... {BACKUP}"));
    fs::rename(dir.file("aside"), dir.file("turns.redb")).expect("moved");
    fs::rename(&aside, dir.file("id")).expect("moved");
    fs::remove_file(dir.file("lock")).expect("removed");
    assert_eq!(found(dir.open()), state, "the lock only helps to find faults");
}

#[test]
fn a_journal_whose_creation_was_cut_off_is_created_again_or_completed() {
    let dir = Dir::new();
    fs::write(dir.file("turns.new"), [0; 5000]).expect("written");
    fs::write(dir.file("id.new"), "taketurns jou").expect("written");
    assert_eq!(found(dir.open()).meta.epoch, OLD);
    assert!(!dir.file("turns.new").exists() && !dir.file("id.new").exists());
    fs::remove_file(dir.file("id")).expect("removed");
    assert_eq!(found(Journal::open(&dir.0, NEW)).meta.epoch, OLD, "its only commit made it");
    assert!(dir.file("id").exists());
}

#[test]
fn a_database_that_is_damaged_is_refused() {
    let (dir, state) = Dir::with_journal();
    let whole = fs::read(dir.file("turns.redb")).expect("a file");
    for (bytes, says) in [
        (&[][..], "turns.redb is empty"),
        (&whole[..1000], "turns.redb is damaged"),
        (&[7; 9000], "turns.redb is damaged"),
        (&whole[..whole.len() - 4096], "turns.redb is damaged"),
    ] {
        fs::write(dir.file("turns.redb"), bytes).expect("written");
        dir.is_refused(&format!("{says}... {BACKUP}"));
    }
    fs::write(dir.file("turns.redb"), &whole).expect("written");
    assert_eq!(found(dir.open()), state);
}

#[test]
fn a_log_that_is_damaged_or_of_another_life_is_refused() {
    let (dir, _) = Dir::with_journal();
    let mut journal = dir.open().expect("it opens");
    let state = store_some(&mut journal, 5);
    drop(journal);
    let log = fs::read(dir.file("turns.log")).expect("a file");
    let with = |at: usize, byte: u8| {
        let mut log = log.clone();
        log[at] ^= byte;
        log
    };
    let (other, _) = Dir::with_journal();
    drop(Journal::open_backup(&other.0, NEW).expect("it opens"));
    let of_other = fs::read(other.file("turns.log")).expect("a file");
    let length = log.len();
    for (bytes, says, way_out) in [
        (vec![], format!("turns.log is damaged: it has 0 bytes in place of {length}"), BACKUP),
        (log[..length - 4096].to_vec(), "turns.log is damaged: it has ".to_owned(), BACKUP),
        ([&log[..], &[0]].concat(), "turns.log is damaged: it has ".to_owned(), BACKUP),
        (vec![7; length], "turns.log is damaged: it does not belong to a journal".to_owned(), BACKUP),
        (with(4000, 1), "turns.log is damaged: it does not belong to a journal".to_owned(), BACKUP),
        (of_other, format!("turns.log has epoch {NEW}, but id has {OLD}"), GO_ON),
        (
            with(2 * 4096 + 100, 1),
            "turns.log is damaged: commit 5 is missing, but commit 6 is there".to_owned(),
            BACKUP,
        ),
        (with(5 * 4096 + 100, 1), "it ends with commit 7, but 8 commits were durable".to_owned(), GO_ON),
    ] {
        fs::write(dir.file("turns.log"), bytes).expect("written");
        dir.is_refused(&format!("{says}... {way_out}"));
    }
    fs::write(dir.file("turns.log"), &log).expect("written");
    assert_eq!(found(dir.open()), state);
}

/// The database alone is an older state, which another epoch tells from the last one.
#[test]
fn without_its_log_a_journal_is_a_backup() {
    let (dir, old) = Dir::with_journal();
    store_some(&mut dir.open().expect("it opens"), 5);
    fs::remove_file(dir.file("turns.log")).expect("removed");
    dir.is_refused(&format!("turns.log is missing... {WITHOUT_LOG}"));
    let backup = found(Journal::open_backup(&dir.0, NEW));
    assert_eq!((backup.meta.epoch, &backup.rings), (NEW, &old.rings));
    assert_eq!(found(dir.open()), backup);
}

#[test]
fn an_id_that_is_damaged_or_newer_or_of_another_life_is_refused() {
    let (dir, state) = Dir::with_journal();
    for (id, says) in [
        ("14\n".to_owned(), format!("id is damaged: it does not belong to a journal... {BACKUP}")),
        (
            "taketurns journal\nformat 3\n".to_owned(),
            "id has format 3, but this program reads format 4... run the program that wrote it, or use its Journal::export and the Journal::import of this one".to_owned(),
        ),
        (
            format!("taketurns journal\nformat 4\nepoch {NEW}\n"),
            format!("turns.redb has epoch {OLD}, but id has {NEW}... {GO_ON}"),
        ),
    ] {
        fs::write(dir.file("id"), id).expect("written");
        dir.is_refused(&says);
    }
    let error = Journal::open_backup(&dir.0, Epoch(5)).map(drop);
    assert!(error.is_ok(), "{error:?}");
    let backup = found(Journal::open(&dir.0, NEW));
    assert_eq!((backup.meta.epoch, backup.rings), (Epoch(5), state.rings));
}

#[test]
fn an_older_copy_is_refused_until_it_is_declared_a_backup() {
    let (dir, old) = Dir::with_journal();
    let copies = dir.contents();
    let mut journal = dir.open().expect("it opens");
    store_some(&mut journal, 5);
    journal.close().expect("closed");
    for (path, copy) in copies {
        fs::write(path, copy).expect("written");
    }
    dir.is_refused(&format!("it ends with commit 3, but 8 commits were durable... {GO_ON}"));
    let backup = found(Journal::open_backup(&dir.0, NEW));
    assert_eq!((backup.meta.epoch, &backup.rings), (NEW, &old.rings));
    assert_eq!(found(dir.open()), backup);
}

#[test]
fn a_journal_is_discarded_whatever_state_it_is_in() {
    for spoil in ["", "id", "turns.redb"] {
        let (dir, _) = Dir::with_journal();
        let database = fs::read(dir.file("turns.redb")).expect("a file");
        if !spoil.is_empty() {
            fs::write(dir.file(spoil), "spoilt").expect("written");
            assert!(dir.open().is_err());
        }
        let fresh = found(Journal::discard(&dir.0, NEW));
        assert_eq!((fresh.meta.epoch, fresh.rings.len()), (NEW, 0));
        assert_eq!(found(dir.open()), fresh);
        let aside = fs::read(dir.file("turns.old")).expect("the old one is set aside");
        assert!(aside == if spoil == "turns.redb" { b"spoilt".to_vec() } else { database });
    }
}

#[test]
fn an_export_is_imported_as_it_was() {
    for seed in 0..20 {
        let dir = Dir::new();
        let mut journal = dir.open().expect("a new journal");
        let now = journal.load().expect("a state");
        let next = State { meta: now.meta, ..state(&mut Rng::with_seed(seed), 4) };
        journal.commit(changes(&now, &next)).expect("stored");
        let mut text = Vec::new();
        let taken = Journal::export(&dir.0, &mut text).expect_err("a server writes it");
        assert!(matches!(taken.fault(), Fault::InUse) && text.is_empty(), "{taken}");
        drop(journal);
        let before = dir.contents();
        Journal::export(&dir.0, &mut text).expect("written");
        assert!(dir.contents() == before, "seed {seed}: something was changed");
        let taken = Journal::import(&dir.0, &text[..]).expect_err("there is one").to_string();
        assert!(taken.ends_with("there already is a journal: import into an empty directory"), "{taken}");
        let text = String::from_utf8(text).expect("text");
        for older in ["\"format\":2", "\"format\":3"] {
            let text = text.replacen("\"format\":4", older, 1);
            assert_eq!(found(Journal::import(&Dir::new().0, text.as_bytes())), next, "seed {seed}: {older}");
        }
        let other = Dir::new();
        assert_eq!(found(Journal::import(&other.0, text.as_bytes())), next, "seed {seed}");
        let mut again = Vec::new();
        Journal::export(&other.0, &mut again).expect("written");
        assert_eq!(String::from_utf8(again), Ok(text), "seed {seed}");
    }
}

/// A line of an export that was cut, changed, doubled or moved must either be an error that names a line, or
/// mean exactly what it says.
#[test]
fn an_import_that_is_spoilt_is_an_error_that_names_a_line() {
    let dir = Dir::new();
    let mut journal = dir.open().expect("a new journal");
    let now = journal.load().expect("a state");
    let is_rich =
        |state: &State| state.rings.len() == 2 && state.rings.values().all(|ring| ring.seats.len() > 1);
    let rich = (0..).map(|seed| state(&mut Rng::with_seed(seed), 2)).find(is_rich).expect("there is one");
    journal.commit(changes(&now, &State { meta: now.meta, ..rich })).expect("stored");
    drop(journal);
    let mut text = Vec::new();
    Journal::export(&dir.0, &mut text).expect("written");
    let text = String::from_utf8(text).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    let error = |text: &str| match Journal::import(&dir.file("other"), text.as_bytes()) {
        Ok(_) => panic!("it was imported: {text}"),
        Err(error) => {
            let Fault::Line { line, what } = error.fault() else { panic!("{error}") };
            assert!(!dir.file("other").exists(), "nothing begins");
            format!("{line}: {what}")
        }
    };
    for kept in 0..lines.len() {
        assert_eq!(error(&lines[..kept].join("\n")), format!("{}: the last line is missing", kept + 1));
        let without: Vec<&str> =
            lines.iter().enumerate().filter(|&(nth, _)| nth != kept).map(|(_, line)| *line).collect();
        error(&without.join("\n"));
        let twice: Vec<&str> = lines[..=kept].iter().chain(&lines[kept..]).copied().collect();
        error(&twice.join("\n"));
    }
    for (old, new, says) in [
        ("\"format\":4", "\"format\":5", "1: it has format 5, but this program reads format 4"),
        ("\"entry\":\"ring\"", "\"entry\":\"rang\"", "2: unknown variant `rang`"),
        ("\"min_seats\":", "\"min_seats\":-", "2: invalid value"),
        ("\"weight_max\":", "\"weight_max\":1000", "2: invalid value"),
        ("\"host_judges\":", "\"judges\":", "2: unknown field `judges`"),
    ] {
        let said = error(&text.replacen(old, new, 1));
        assert!(said.starts_with(says), "{said}");
    }
    let mut rng = Rng::with_seed(9);
    for _ in 0..300 {
        let mut bytes = text.clone().into_bytes();
        let at = rng.usize(..bytes.len());
        bytes[at] = rng.u8(..);
        let other = Dir::new();
        match Journal::import(&other.0, &bytes[..]) {
            Ok(_) => {}
            Err(error) => assert!(matches!(error.fault(), Fault::Line { .. }), "{error}"),
        }
    }
}

#[test]
fn an_import_without_an_end_is_an_error_after_a_line() {
    let dir = Dir::new();
    let endless = std::io::BufReader::new(std::io::repeat(b'x'));
    let Err(error) = Journal::import(&dir.file("other"), endless) else { panic!("it was imported") };
    let error = error.to_string();
    assert!(error.contains("line 1") && error.contains("262144 bytes or more"), "{error}");
}

/// A process that was forked just before holds a lock until it executes its program.
#[test]
#[expect(clippy::disallowed_methods, reason = "a lock is held for some time")]
fn a_lock_that_is_about_to_be_released_is_waited_for() {
    for name in ["lock", "turns.redb"] {
        let (dir, _) = Dir::with_journal();
        let held = File::options().read(true).write(true).open(dir.file(name)).expect("it is there");
        held.try_lock().expect("the journal is closed");
        let until = Instant::now() + Duration::from_millis(15);
        let holder = std::thread::spawn(move || {
            while Instant::now() < until {
                std::thread::yield_now();
            }
            drop(held);
        });
        let opened = dir.open().and_then(|mut journal| journal.load().map(drop).map_err(|_| unreachable!()));
        assert!(opened.is_ok(), "{name}: {:?}", opened.err());
        holder.join().expect("it only waits");
    }
}

/// Opening one for reading would block until there is a writer.
#[test]
#[cfg(unix)]
fn a_pipe_in_place_of_a_file_is_refused() {
    for name in ["lock", "id", "turns.log", "turns.redb"] {
        let dir = Dir::new();
        drop(Journal::open(&dir.0, Epoch(1)).expect("new"));
        fs::remove_file(dir.file(name)).expect("it was made");
        let made =
            std::process::Command::new("mkfifo").arg(dir.file(name)).status().expect("it is installed");
        assert!(made.success());
        let Err(error) = Journal::open(&dir.0, Epoch(1)) else { panic!("it was opened") };
        let error = error.to_string();
        assert!(error.contains(name) && error.contains("it is not a regular file"), "{error}");
    }
}

#[test]
fn a_disk_that_fails_ends_the_life_with_one_line() {
    let dir = Dir::new();
    let read_only = |is: bool| {
        let mut permissions = fs::metadata(&dir.0).expect("a directory").permissions();
        permissions.set_readonly(is);
        fs::set_permissions(&dir.0, permissions).expect("set");
    };
    read_only(true);
    if File::create(dir.file("probe")).is_ok() {
        println!("a directory that is read-only: SKIPPED, to root it is not");
        fs::remove_file(dir.file("probe")).expect("removed");
    } else {
        dir.is_refused(
            "cannot lock lock: Permission denied... check the directory and its disk, and start again",
        );
    }
    read_only(false);
    let error =
        Journal::open(Path::new("/proc/taketurns"), OLD).expect_err("nothing is made there").to_string();
    assert!(error.starts_with("journal \"/proc/taketurns\": cannot make or open the directory: "), "{error}");
}

/// `/dev/full` can be opened and read, but no byte can be written to it.
#[test]
fn an_export_onto_a_full_disk_says_so() {
    let (dir, _) = Dir::with_journal();
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        return println!("an export onto a full disk: SKIPPED, there is no /dev/full");
    };
    let error = Journal::export(&dir.0, full).expect_err("full").to_string();
    assert!(error.contains("cannot write the export: No space left on device"), "{error}");
}

/// A commit may be larger than redb's cache.
#[test]
fn the_states_of_many_hosts_are_one_commit() {
    let dir = Dir::new();
    let mut journal = dir.open().expect("a new journal");
    let mut next = journal.load().expect("a state");
    let is_one = |state: &State| state.rings.len() == 1;
    let one = (0..).map(|seed| state(&mut Rng::with_seed(seed), 1)).find(is_one).expect("there is one");
    let ring = one.rings.values().next().expect("one").clone();
    for nth in 0..200_u8 {
        let host = Some(HostValue(vec![nth; HOST_STATE_BYTES_MAX]));
        next.rings.insert(format!("ring-{nth}").parse().expect("a name"), RingState { host, ..ring.clone() });
    }
    journal.commit(next.puts()).expect("stored");
    drop(journal);
    assert!(found(dir.open()) == next);
}

#[test]
fn an_error_of_a_lost_journal_names_it() {
    let dir = Dir::new();
    let journal = dir.open().expect("a new journal");
    fs::remove_dir_all(&dir.0).expect("removed");
    journal.close().expect("a file without a name can still be written");
    let lost = Lost::Fenced.to_string();
    assert_eq!(lost, "another server has taken over");
}
