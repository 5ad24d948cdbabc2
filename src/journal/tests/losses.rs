//! The power-loss judge: plays lives of a journal that end with a power loss at any change, even during
//! creation or recovery.
//!
//! The next life must have everything that was acknowledged, complete, and nothing else but possibly the
//! commit that was under way.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::disk::{Disk, EIO, ENOSPC};
use super::{changes, fails_at};
use crate::journal::files::Files as _;
use crate::journal::log::PAGE;
use crate::journal::opening::Opened;
use crate::record::{MetaValue, State, tests::state};
use crate::session::Epoch;

/// The number of histories in a plain `cargo test`. The variable plays more, or others:
/// `TAKETURNS_LOSSES=100000`, `TAKETURNS_LOSSES=17..18`.
const HISTORIES: u64 = 400;

fn seeds() -> std::ops::Range<u64> {
    let Ok(wanted) = std::env::var("TAKETURNS_LOSSES") else { return 0..HISTORIES };
    let number =
        |text: &str| text.parse().expect("TAKETURNS_LOSSES is a number, or two with .. between them");
    match wanted.split_once("..") {
        Some((begin, end)) => number(begin)..number(end),
        None => 0..number(&wanted),
    }
}

/// The states that the next life may find.
struct Model {
    /// `None` until the first life has begun.
    acknowledged: Option<State>,
    under_way: Option<State>,
}

impl Model {
    fn finds(&mut self, found: State, fresh: Epoch) -> Result<State, String> {
        let is_new = |state: &State| state.rings.is_empty() && state.meta.epoch.0 <= fresh.0;
        match &self.acknowledged {
            None if is_new(&found) => {}
            Some(acknowledged) if *acknowledged == found || self.under_way.as_ref() == Some(&found) => {}
            acknowledged => {
                return Err(format!(
                    "found {found:?}\nacknowledged {acknowledged:?}\nunder way {:?}",
                    self.under_way
                ));
            }
        }
        (self.acknowledged, self.under_way) = (Some(found.clone()), None);
        Ok(found)
    }
}

/// Outcomes of histories.
#[derive(Default)]
pub(super) struct Counts {
    lives: u64,
    commits: u64,
    losses: u64,
    /// Lives that ended during creation or recovery.
    cut_off: u64,
}

/// Plays a history on a disk that may lie. Returns the first error found.
fn history(seed: u64, lies: bool, counts: &mut Counts) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let mut disk = Disk::new();
    if lies {
        disk.lie();
    }
    let mut model = Model { acknowledged: None, under_way: None };
    for life in 1..=rng.u64(2..=6) {
        counts.lives += 1;
        if rng.u8(..8) > 0 {
            // Creating a journal takes about 60 changes, a commit 3, and one that folds about 50.
            let longest = *rng.choice(&[20, 80, 300]).expect("some");
            disk.set_fuse(rng.usize(..longest));
        }
        let fresh = Epoch(life);
        match Opened::open(disk.clone(), fresh) {
            Err(_) if disk.is_dark() => counts.cut_off += 1,
            Err(fault) => return Err(format!("life {life} does not begin: {fault}")),
            Ok(mut opened) => {
                let found = opened.state().map_err(|fault| format!("life {life}: {fault}"))?;
                let mut now = model.finds(found, fresh)?;
                for _ in 0..rng.u8(..20) {
                    let meta = MetaValue { epoch: now.meta.epoch, forgotten_turn: rng.u64(..) };
                    let next = State { meta, ..state(&mut rng, 2) };
                    match opened.commit(changes(&now, &next)) {
                        Ok(()) => {
                            counts.commits += 1;
                            model.acknowledged = Some(next.clone());
                            now = next;
                        }
                        Err(_) if disk.is_dark() => {
                            model.under_way = Some(next);
                            break;
                        }
                        Err(error) => return Err(format!("a commit fails: {error}")),
                    }
                }
                match rng.u8(..4) {
                    0 => drop(opened.close()),
                    _ => {
                        disk.kill();
                        drop(opened);
                    }
                }
            }
        }
        disk.kill();
        // A killed process leaves unwritten data in the system, which the next life sees, and may lose.
        disk = if rng.u8(..3) == 0 {
            disk.after_kill()
        } else {
            counts.losses += 1;
            disk.after_loss(&mut rng)
        };
    }
    Ok(())
}

#[test]
fn nothing_acknowledged_is_lost_with_the_power() {
    let mut counts = Counts::default();
    for seed in seeds() {
        if let Err(why) = history(seed, false, &mut counts) {
            panic!("seed {seed}: {why}\nTAKETURNS_LOSSES={seed}..{} plays it again", seed + 1);
        }
    }
    let Counts { lives, commits, losses, cut_off } = counts;
    println!("{lives} lives, {commits} commits, {losses} losses of power; {cut_off} lives did not begin");
}

/// A life that is killed just after it has renamed `id` leaves a name that is not durable to a life that goes
/// on to store something.
#[test]
fn names_that_a_killed_life_left_are_made_durable() {
    for changes_made in 0..80 {
        let disk = Disk::new();
        disk.set_fuse(changes_made);
        let cut_off = Opened::open(disk.clone(), Epoch(1)).is_err();
        disk.kill();
        let disk = disk.after_kill();
        let mut opened = Opened::open(disk.clone(), Epoch(2)).expect("it opens");
        let now = opened.state().expect("a state");
        let next = State { meta: MetaValue { forgotten_turn: 5, ..now.meta }, ..now.clone() };
        opened.commit(changes(&now, &next)).expect("stored");
        disk.kill();
        drop(opened);
        for seed in 0..8 {
            let after = disk.after_loss(&mut Rng::with_seed(seed));
            let found = Opened::open(after, Epoch(3)).and_then(|mut opened| opened.state());
            let found = found.map_err(fails_at(changes_made)).expect("it opens");
            assert_eq!(found, next, "after {changes_made} changes, cut off {cut_off}");
        }
    }
}

/// A life that is killed at any point of a fold leaves a database that is not durable. The next life loses
/// power while it opens the journal, right after that, or after a commit.
#[test]
fn a_fold_that_a_killed_life_left_is_made_durable() {
    for changes_made in 0..60 {
        let disk = Disk::new();
        let mut opened = Opened::open(disk.clone(), Epoch(1)).expect("a new journal");
        let mut now = opened.state().expect("a state");
        let advance = |opened: &mut Opened<Disk>, now: &mut State| {
            let meta = MetaValue { forgotten_turn: now.meta.forgotten_turn + 1, ..now.meta };
            let next = State { meta, ..now.clone() };
            let stored = opened.commit(changes(now, &next));
            *now = next;
            stored
        };
        // Until the log has no room for another one.
        for _ in 1..Disk::LOG_BYTES / PAGE {
            advance(&mut opened, &mut now).expect("stored");
        }
        let before = now.clone();
        disk.set_fuse(changes_made);
        let is_cut_off = advance(&mut opened, &mut now).is_err();
        disk.kill();
        // The next life ends while it opens the journal.
        for changes_made_then in 0..5 {
            let disk = disk.after_kill();
            disk.set_fuse(changes_made_then);
            drop(Opened::open(disk.clone(), Epoch(2)));
            let after = disk.after_loss(&mut Rng::with_seed(changes_made_then as u64));
            let last = Opened::open(after, Epoch(3)).and_then(|mut opened| opened.state());
            let last = last.map_err(fails_at(changes_made)).expect("it opens");
            assert!(last == now || (is_cut_off && last == before), "{changes_made} and {changes_made_then}");
        }
        let disk = disk.after_kill();
        let mut opened =
            Opened::open(disk.clone(), Epoch(2)).map_err(fails_at(changes_made)).expect("it opens");
        let mut found = opened.state().expect("a state");
        assert!(found == now || (is_cut_off && found == before), "after {changes_made} changes");
        for _ in 0..2 {
            for seed in 0..8 {
                let after = disk.after_loss(&mut Rng::with_seed(seed));
                let last = Opened::open(after, Epoch(3)).and_then(|mut opened| opened.state());
                let last = last.map_err(fails_at(changes_made)).expect("it opens");
                assert_eq!(last, found, "after {changes_made} changes, cut off {is_cut_off}");
            }
            advance(&mut opened, &mut found).expect("stored");
        }
    }
}

/// A judge that finds no fault with a lying disk would never find any.
#[test]
fn the_judge_finds_a_disk_that_lies() {
    let found = (0..40).filter(|&seed| history(seed, true, &mut Counts::default()).is_err()).count();
    assert!(found >= 20, "{found} of 40 lies were found");
}

/// Makes a later sync fail, or a later write for lack of room: in the log, in the database, or in `lock`. The
/// disk forgets the data that it could not write, and reports success for the next sync.
fn fail(disk: &Disk, rng: &mut Rng) -> i32 {
    if rng.bool() {
        disk.fail_sync(rng.usize(..40));
        EIO
    } else {
        disk.fail_write(rng.usize(..80));
        ENOSPC
    }
}

/// A failed sync or write is the end: its commit counts as failed, no other is tried, even while the journal
/// is dropped, and the next life has everything that was acknowledged.
#[test]
fn a_failed_sync_or_write_is_never_tried_again() {
    for seed in 0..400 {
        let disk = Disk::new();
        let mut rng = Rng::with_seed(seed);
        let mut opened = Opened::open(disk.clone(), Epoch(1)).expect("a new journal");
        let code = fail(&disk, &mut rng);
        let mut now = opened.state().expect("a state");
        let failed = loop {
            let next = State { meta: now.meta, ..state(&mut rng, 2) };
            match opened.commit(changes(&now, &next)) {
                Ok(()) => now = next,
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(code), "{error}");
                    break next;
                }
            }
        };
        let tries = disk.tries();
        let again = opened.commit(changes(&now, &failed)).expect_err("it has failed before");
        assert_eq!(again.to_string(), "an earlier commit failed");
        match seed % 3 {
            0 => disk.kill(),
            1 => drop(opened),
            _ => drop(opened.close()),
        }
        assert_eq!(disk.tries(), tries, "seed {seed}: another write or sync was tried");
        let after = disk.after_loss(&mut rng);
        let mut next = Opened::open(after, Epoch(2)).map_err(fails_at(seed)).expect("it opens");
        let found = next.state().expect("a state");
        assert!(found == now || found == failed, "seed {seed}");
    }
}

/// After a failed sync the system's caches show data that is not on disk. The next life reads it, continues
/// from it, and loses power: everything that it acknowledged must still be there.
#[test]
fn caches_are_not_trusted_after_a_failed_sync() {
    for seed in 0..600 {
        let disk = Disk::new();
        let mut rng = Rng::with_seed(seed);
        let mut opened = Opened::open(disk.clone(), Epoch(1)).expect("a new journal");
        disk.fail_sync(rng.usize(..30));
        let (mut now, mut failed) = (opened.state().expect("a state"), None);
        for _ in 0..rng.u8(..30) {
            let next = State { meta: now.meta, ..state(&mut rng, 2) };
            if opened.commit(changes(&now, &next)).is_err() {
                failed = Some(next);
                break;
            }
            now = next;
        }
        // Closing may fail as well, and must not take a commit back.
        if rng.bool() {
            let _ = opened.close();
        }
        disk.kill();
        let disk = disk.after_failure(&mut rng);
        let mut opened = Opened::open(disk.clone(), Epoch(2)).map_err(fails_at(seed)).expect("it opens");
        let mut found = opened.state().expect("a state");
        assert!(found == now || failed.is_some_and(|failed| found == failed), "seed {seed}");
        for _ in 0..rng.u8(..9) {
            let next = State { meta: found.meta, ..state(&mut rng, 2) };
            opened.commit(changes(&found, &next)).expect("stored");
            found = next;
        }
        disk.kill();
        drop(opened);
        let last = Opened::open(disk.after_loss(&mut rng), Epoch(3)).and_then(|mut opened| opened.state());
        assert!(last.map_err(fails_at(seed)).expect("it opens") == found, "seed {seed}");
    }
}

/// Returns a journal of a few commits, closed or killed, and its state.
fn small_journal(commits: usize, is_closed: bool) -> (Disk, State) {
    let disk = Disk::new();
    let mut rng = Rng::with_seed(5);
    let mut opened = Opened::open(disk.clone(), Epoch(0x1234_5678_9abc_def0)).expect("a new journal");
    let mut expected = opened.state().expect("a state");
    for _ in 0..commits {
        let next = State { meta: expected.meta, ..state(&mut rng, 2) };
        opened.commit(changes(&expected, &next)).expect("stored");
        expected = next;
    }
    if is_closed {
        opened.close().expect("closed");
    } else {
        disk.kill();
    }
    (disk, expected)
}

/// Numbers of commits: with 3 all are in the log; with 8 the log has started over, and older frames follow.
const SMALL: [usize; 2] = [3, 8];

fn small_journals() -> impl Iterator<Item = (usize, bool)> {
    SMALL.into_iter().flat_map(|commits| [(commits, true), (commits, false)])
}

/// Changes every byte of a small journal in turn: it must be refused, or have the same state. Tries a sample,
/// or all bytes with `TAKETURNS_FLIPS=all`.
#[test]
fn a_byte_that_is_changed_is_found_or_harmless() {
    let step = if std::env::var("TAKETURNS_FLIPS").is_ok() { 1 } else { 61 };
    for (commits, is_closed) in small_journals() {
        let (disk, expected) = small_journal(commits, is_closed);
        let mut rng = Rng::with_seed(5);
        let (mut tried, mut refused) = (0, BTreeMap::<String, usize>::new());
        for (name, bytes) in disk.lengths() {
            let is_small = bytes < 100;
            // The beginnings of files and frames.
            let is_telling = |at| at < 320 || (name == "turns.log" && at % PAGE < 40);
            for at in (0..bytes).filter(|&at| is_small || is_telling(at) || rng.usize(..step) == 0) {
                // The tenth byte tells which of two commits is the last one, so every change of it is tried.
                let mask = u8::try_from(at % 255 + 1).expect("1 to 255");
                let masks = if name == "turns.redb" && at == 9 { 1..=255 } else { mask..=mask };
                for mask in masks {
                    tried += 1;
                    match Opened::open(disk.with_flip(&name, at, mask), Epoch(1))
                        .and_then(|mut found| found.state())
                    {
                        Ok(found) => assert!(
                            found == expected,
                            "{name}, byte {at} with mask {mask}, {commits} commits, closed {is_closed}: {found:?}"
                        ),
                        Err(_) => *refused.entry(name.clone()).or_default() += 1,
                    }
                }
            }
        }
        println!(
            "{commits} commits, closed {is_closed}: {tried} of {:?}, refused {refused:?}",
            disk.lengths()
        );
        assert!(["id", "turns.log", "turns.redb"].iter().all(|&name| refused[name] > 0), "{refused:?}");
    }
}

/// Damage by disks, copies and people: zeroed or random sectors, swapped pages, changed lengths. The journal
/// must be refused or have the same state, and must never panic.
#[test]
fn damage_of_any_size_is_found_or_harmless() {
    let seeds = if std::env::var("TAKETURNS_FLIPS").is_ok() { 20_000 } else { 500 };
    for (commits, is_closed) in small_journals() {
        let (disk, expected) = small_journal(commits, is_closed);
        for name in ["turns.redb", "turns.log"] {
            let mut refused = 0;
            for seed in 0..seeds {
                let mut rng = Rng::with_seed(seed);
                let damaged = disk.with_damage(name, |bytes| {
                    for _ in 0..rng.usize(1..4) {
                        damage(bytes, &mut rng);
                    }
                });
                match Opened::open(damaged, Epoch(1)).and_then(|mut found| found.state()) {
                    Ok(found) => assert!(
                        found == expected,
                        "{name}, seed {seed}, {commits} commits, closed {is_closed}: {found:?}"
                    ),
                    Err(_) => refused += 1,
                }
            }
            println!("{name}, {commits} commits, closed {is_closed}: {refused} of {seeds} refused");
            assert!(refused > seeds / 4, "{refused} of {seeds} were refused");
        }
    }
}

fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let pages = bytes.len() / PAGE;
    if pages < 2 {
        return;
    }
    let (one, other) = (rng.usize(..pages) * PAGE, rng.usize(..pages) * PAGE);
    let sector = rng.usize(..bytes.len() / 512) * 512;
    match rng.u8(..7) {
        0 => bytes[sector..sector + 512].fill(0),
        1 => bytes[sector..sector + 512].iter_mut().for_each(|byte| *byte = rng.u8(..)),
        2 => bytes[sector..sector + 512].fill(0xff),
        3 => bytes.copy_within(one..one + PAGE, other),
        4 => bytes.truncate(rng.usize(..bytes.len())),
        5 => bytes.extend(std::iter::repeat_n(rng.u8(..), rng.usize(..3 * PAGE))),
        // The first page describes all others.
        _ => (0..rng.usize(1..8)).for_each(|_| bytes[rng.usize(..320)] = rng.u8(..)),
    }
}
