//! A process that writes a history in which every state is different.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::channel;

use taketurns::journal::Journal;
use taketurns::record::{
    Change, Key, MetaValue, Record, RingEntry, RingValue, SeatValue, SecretHash, Standing, State, Tag,
};
use taketurns::session::{Epoch, Name};
use taketurns::store::{Store as _, StoreThread};
use taketurns::turn::{Demand, Rules, Weight};

/// The environment variable that names the directory.
pub const DIR: &str = "TAKETURNS_JOURNAL_DIR";

const RINGS: u64 = 64;

/// The most records that may wait for the disk.
pub const WAITING_MAX: u64 = 200;

/// A history in which record *n* changes ring *n* modulo 64, the seat in it, and `Meta`, which counts. So a
/// state shows how many records it contains, and whether each is complete.
pub struct History {
    last: u64,
    epoch: Epoch,
}

fn ring_of(nth: u64) -> Name {
    format!("ring-{}", nth % RINGS).parse().expect("a name")
}

/// Returns how many of the first `last` records change the ring of record `nth`.
fn changes_of(nth: u64, last: u64) -> u64 {
    let first = nth % RINGS;
    if first == 0 { last / RINGS } else { (last + RINGS - first) / RINGS }
}

impl History {
    /// Returns the history that led to this state, or an error if there is none.
    pub fn of(state: &State) -> Result<History, String> {
        let last = state.meta.forgotten_turn;
        let expected: BTreeMap<Name, u64> =
            (1..=last.min(RINGS)).map(|nth| (ring_of(nth), changes_of(nth, last))).collect();
        let found: BTreeMap<Name, u64> =
            state.rings.iter().map(|(name, ring)| (*name, ring.ring.last_turn)).collect();
        if found != expected {
            return Err(format!("after {last} records: {found:?}, and not {expected:?}"));
        }
        for (name, ring) in &state.rings {
            let tags: Vec<u64> = ring.seats.values().map(|seat| seat.tag.given).collect();
            if tags != [found[name]; 2] {
                return Err(format!("the seats of {name} have the tags {tags:?}"));
            }
        }
        Ok(History { last, epoch: state.meta.epoch })
    }

    pub fn last(&self) -> u64 {
        self.last
    }

    /// Returns the changes of the next record.
    pub fn next(&self) -> Vec<Change> {
        let nth = self.last + 1;
        let (ring, count) = (ring_of(nth), changes_of(nth, nth));
        let tag = Tag { whole: count, part: 0, given: count };
        let ring_value = RingValue {
            rules: Rules::default(),
            last_turn: count,
            last_place: 2,
            virtual_time: tag,
            tags_given: count,
            lease: None,
        };
        let seat = SeatValue {
            name: "ann".parse().expect("a name"),
            weight: Weight::ONE,
            demand: Demand::Always,
            standing: Standing::Waiting,
            tag,
            last: None,
            current: SecretHash::new([7; 16]),
            used: None,
        };
        // Seat 1 stands alone, seat 2 is kept with its ring.
        let with_ring = SeatValue { name: "bob".parse().expect("a name"), ..seat };
        let entry = RingEntry { ring: ring_value, seats: vec![(2, with_ring)] };
        let meta = MetaValue { epoch: self.epoch, forgotten_turn: nth };
        vec![
            Change::Put { key: Key::Ring(ring), value: entry.encode() },
            Change::Put { key: Key::Seat(ring, 1), value: seat.encode() },
            Change::Put { key: Key::Meta, value: meta.encode() },
        ]
    }

    pub fn advance(&mut self) {
        self.last += 1;
    }
}

#[test]
#[ignore = "the other tests start it as a process of its own"]
fn the_process_that_writes() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let mut out = std::io::stdout().lock();
    let mut say = |text: String| {
        // One write per line, so that a killed process prints a line completely or not at all.
        out.write_all(text.as_bytes()).expect("a parent that reads");
        out.flush().expect("a parent that reads");
    };
    let mut journal = match Journal::open(Path::new(&dir), Epoch(1)) {
        Ok(journal) => journal,
        Err(error) => return say(format!("\nrefused {error}\n")),
    };
    let mut history = History::of(&journal.load().expect("a state")).expect("the state of a moment");
    let begin = history.last();
    say(format!("\ndurable {begin}\n"));
    let (wake, woken) = channel();
    let mut store = StoreThread::spawn(journal, move || wake.send(()).unwrap_or_default()).expect("a thread");
    let mut said = begin;
    loop {
        while history.last() - said < WAITING_MAX {
            let changes = history.next();
            history.advance();
            store.submit(Record { seq: history.last() - begin, changes });
            store.flush();
        }
        woken.recv().expect("the thread wakes");
        match store.durable() {
            Ok(durable) if begin + durable > said => {
                said = begin + durable;
                say(format!("durable {said}\n"));
            }
            Ok(_) => {}
            Err(lost) => return say(format!("lost {lost}\n")),
        }
    }
}
