//! Commits of the journal alone, next to a plain write and `fdatasync` on the same disk in the same round.
//!
//! A record is a hand-over: a ring, and the seat that answered if that has an entry of its own. Times depend
//! on the disk and its other users, so a round's commits are compared with the same round's `fdatasync`.
//! Bytes and calls are counted, and do not depend on that.

use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use taketurns::journal::Journal;
use taketurns::record::{
    Change, Key, LastAnswer, Mark, Record, RingEntry, RingValue, SEATS_WITH_RING_MAX, SeatValue, SecretHash,
    Standing, Tag,
};
use taketurns::session::{Epoch, Name};
use taketurns::store::{Store as _, StoreThread};
use taketurns::turn::{Demand, Rules, TurnNumber, Weight};

use crate::Options;

/// The journal that is opened: 20,000 seats.
const LARGE: Size = Size { rings: 1_250, seats: 16 };

/// Records per commit.
const GROUPS: [u64; 3] = [1, 16, 256];

/// Seats that are kept in the entry of their ring.
const WITH_RING: u64 = SEATS_WITH_RING_MAX as u64;

/// The size of a plain write: about that of one record.
const PLAIN_BYTES: usize = 256;

pub fn run(options: &Options, dir: &Path) -> Result<()> {
    let mut plain = Plain::new(dir)?;
    let size = Size { rings: options.rings, seats: options.seats };
    let mut history = History { turns: 0, size };
    let mut journal = history.filled(&dir.join("journal"))?;
    let mut rounds: Vec<Vec<Series>> = Vec::new();
    for _ in 0..options.rounds {
        let mut round = vec![Series::of("write and fdatasync", options.commits, || plain.write())?];
        for group in GROUPS {
            let name = format!("commit of {group}");
            round.push(Series::of(&name, options.commits, || {
                journal.commit(history.changes(group)).context("a commit")
            })?);
        }
        let (wake, woken) = channel();
        let mut thread = StoreThread::spawn(journal, move || wake.send(()).unwrap_or_default())?;
        let mut seq = 0;
        round.push(Series::of("1 through the thread", options.commits, || {
            seq += 1;
            thread.submit(Record { seq, changes: history.changes(1) });
            thread.flush();
            while thread.durable()? < seq {
                woken.recv()?;
            }
            Ok(())
        })?);
        thread.close(Duration::from_secs(60))?;
        journal = Journal::open(&dir.join("journal"), Epoch(1))?;
        rounds.push(round);
    }
    println!("{} rings of {} seats. A record is a hand-over.\n", size.rings, size.seats);
    print(&rounds);
    println!("\nThe database has {:.1} MiB after {} turns.", mebibytes(&dir.join("journal"))?, history.turns);
    drop(journal);
    opening(dir, options.rounds)
}

/// A file that is only written and synced, which no log can avoid. It has its final length from the start, so
/// that a sync is of data only.
pub struct Plain {
    file: File,
    at: u64,
}

impl Plain {
    const BYTES: u64 = 4 * 1024 * 1024;

    pub fn new(dir: &Path) -> Result<Plain> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(dir.join("plain"))?;
        file.write_all(&vec![0; Plain::BYTES as usize])?;
        file.sync_all()?;
        Ok(Plain { file, at: 0 })
    }

    pub fn write(&mut self) -> Result<()> {
        self.file.seek(SeekFrom::Start(self.at))?;
        self.file.write_all(&[7; PLAIN_BYTES])?;
        self.file.sync_data()?;
        self.at = (self.at + PLAIN_BYTES as u64) % Plain::BYTES;
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Size {
    rings: u64,
    /// Seats per ring.
    seats: u64,
}

/// Hand-overs in each ring in turn.
struct History {
    turns: u64,
    size: Size,
}

fn ring(nth: u64) -> Name {
    format!("ring-{nth}").parse().expect("a name")
}

impl History {
    /// Returns the changes of the next `records`, each in a ring of its own if there are enough.
    fn changes(&mut self, records: u64) -> Vec<Change> {
        (0..records.min(self.size.rings)).flat_map(|_| self.hand_over()).collect()
    }

    fn hand_over(&mut self) -> Vec<Change> {
        self.turns += 1;
        // Far apart, like unrelated rings.
        let nth = self.turns * 769 % self.size.rings;
        let place = self.turns / self.size.rings % self.size.seats + 1;
        let seat = (place > WITH_RING).then(|| put_seat(nth, place, self.turns));
        [put_ring(nth, self.turns, self.size)].into_iter().chain(seat).collect()
    }

    /// Creates a journal with all rings and seats.
    fn filled(&self, dir: &Path) -> Result<Journal> {
        let mut journal = Journal::open(dir, Epoch(1))?;
        for nth in 0..self.size.rings {
            let seats = (1 + WITH_RING..=self.size.seats).map(|place| put_seat(nth, place, 0));
            journal.commit([put_ring(nth, 0, self.size)].into_iter().chain(seats).collect::<Vec<_>>())?;
        }
        Ok(journal)
    }
}

fn tag(given: u64) -> Tag {
    Tag { whole: given, part: 0, given }
}

fn put_ring(nth: u64, turns: u64, size: Size) -> Change {
    let ring_value = RingValue {
        rules: Rules::default(),
        last_turn: turns,
        last_place: size.seats,
        virtual_time: tag(turns),
        tags_given: turns,
        lease: None,
    };
    let seats = (1..=size.seats.min(WITH_RING)).map(|place| (place, seat(place, turns))).collect();
    let entry = RingEntry { ring: ring_value, seats };
    Change::Put { key: Key::Ring(ring(nth)), value: entry.encode() }
}

fn put_seat(nth: u64, place: u64, turns: u64) -> Change {
    Change::Put { key: Key::Seat(ring(nth), place), value: seat(place, turns).encode() }
}

fn seat(place: u64, turns: u64) -> SeatValue {
    SeatValue {
        name: format!("client-{place}").parse().expect("a name"),
        weight: Weight::ONE,
        demand: Demand::Always,
        standing: Standing::Waiting,
        tag: tag(turns),
        last: TurnNumber::new(turns).map(|turn| LastAnswer { turn, mark: Mark::of(b"e2 e4") }),
        current: SecretHash::new([7; 16]),
        used: None,
    }
}

/// Times of several acts of one kind in one round.
struct Series {
    name: String,
    /// Sorted.
    times: Vec<Duration>,
    /// Bytes written per act.
    bytes: u64,
    /// Calls that wrote them, without syncs.
    writes: u64,
}

impl Series {
    fn of(name: &str, acts: usize, mut act: impl FnMut() -> Result<()>) -> Result<Series> {
        let before = written()?;
        let mut times = Vec::with_capacity(acts);
        for _ in 0..acts {
            let begin = Instant::now();
            act()?;
            times.push(begin.elapsed());
        }
        let after = written()?;
        times.sort_unstable();
        let each = |nth: usize| (after[nth] - before[nth]) / acts as u64;
        Ok(Series { name: name.to_owned(), times, bytes: each(0), writes: each(1) })
    }

    fn micros(&self, of_hundred: usize) -> f64 {
        self.times[self.times.len() * of_hundred / 100].as_secs_f64() * 1e6
    }
}

/// Returns the bytes that this process has written and its number of write calls; zeros if the system does
/// not count them.
fn written() -> Result<[u64; 2]> {
    let Ok(io) = fs::read_to_string("/proc/self/io") else { return Ok([0; 2]) };
    let of = |key: &str| -> Result<u64> {
        let line =
            io.lines().find_map(|line| line.strip_prefix(key)).context("a counter of /proc/self/io")?;
        Ok(line.trim().parse()?)
    };
    Ok([of("wchar:")?, of("syscw:")?])
}

/// Returns the median, the lowest and the highest of some figures.
pub fn spread(figures: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut sorted: Vec<f64> = figures.collect();
    sorted.sort_by(f64::total_cmp);
    [sorted[sorted.len() / 2], sorted[0], sorted[sorted.len() - 1]]
}

fn print(rounds: &[Vec<Series>]) {
    println!("| act | p50, µs | p99, µs | p50 by that of fdatasync (all rounds) | KiB written | writes |");
    println!("|---|---:|---:|---:|---:|---:|");
    for nth in 0..rounds[0].len() {
        let of = |figure: &dyn Fn(&Series) -> f64| spread(rounds.iter().map(|round| figure(&round[nth])))[0];
        let [middle, low, high] =
            spread(rounds.iter().map(|round| round[nth].micros(50) / round[0].micros(50)));
        println!(
            "| {} | {:.0} | {:.0} | {middle:.2} ({low:.2} to {high:.2}) | {:.1} | {:.0} |",
            rounds[0][nth].name,
            of(&|series| series.micros(50)),
            of(&|series| series.micros(99)),
            of(&|series| series.bytes as f64 / 1024.0),
            of(&|series| series.writes as f64),
        );
    }
}

/// Opens a journal that was not closed: its files are copied while it is open, as after a kill.
fn opening(dir: &Path, rounds: usize) -> Result<()> {
    let (large, mut history) = (dir.join("large"), History { turns: 0, size: LARGE });
    let mut journal = history.filled(&large)?;
    journal.commit(history.changes(16))?;
    let killed = dir.join("killed");
    let mut times = Vec::new();
    for _ in 0..rounds {
        let _ = fs::remove_dir_all(&killed);
        fs::create_dir(&killed)?;
        for file in ["id", "lock", "turns.log", "turns.redb"] {
            fs::copy(large.join(file), killed.join(file))?;
            // The server had synced them.
            File::open(killed.join(file))?.sync_all()?;
        }
        let begin = Instant::now();
        let mut opened = Journal::open(&killed, Epoch(1))?;
        let state = opened.load()?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        let seats: usize = state.rings.values().map(|ring| ring.seats.len()).sum();
        anyhow::ensure!(seats as u64 == LARGE.rings * LARGE.seats, "{seats} seats were found");
        black_box(state);
    }
    let [middle, low, high] = spread(times.into_iter());
    println!(
        "Opened after a kill, {} seats in a database of {:.1} MiB: {middle:.0} ms ({low:.0} to {high:.0})",
        LARGE.rings * LARGE.seats,
        mebibytes(&large)?
    );
    Ok(())
}

fn mebibytes(journal: &Path) -> Result<f64> {
    Ok(fs::metadata(journal.join("turns.redb"))?.len() as f64 / 1024.0 / 1024.0)
}
