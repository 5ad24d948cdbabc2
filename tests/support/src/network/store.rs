//! A store in memory. It stores records at once, when told to, or like a disk.

use std::cell::OnceCell;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use taketurns::record::{Change, MetaValue, Record, Standing, State, Tag};
use taketurns::session::Epoch;
use taketurns::time::Instant;

use super::World;

#[derive(Debug)]
pub struct MemoryStore {
    /// The durable entries.
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The state that they make up, once it was asked for.
    state: OnceCell<State>,
    /// The records that are not durable.
    pub(super) waiting: VecDeque<Record>,
    pub(super) pace: Pace,
    /// The number of the last durable record, until the server has been told.
    pub(super) reached: Option<u64>,
}

/// When records become durable.
#[derive(Debug)]
pub(super) enum Pace {
    AtOnce,
    WhenTold,
    Disk(Disk),
}

/// A disk with one commit at a time. A commit takes some time, and may or may not be durable if the server
/// dies during it.
#[derive(Debug)]
pub(super) struct Disk {
    rng: fastrand::Rng,
    /// The longest time of a commit.
    longest: Duration,
    /// When the current commit ends, and how many of the waiting records it contains.
    under_way: Option<(Instant, usize)>,
}

impl MemoryStore {
    pub(super) fn new(epoch: Epoch) -> MemoryStore {
        let mut store = MemoryStore {
            entries: BTreeMap::new(),
            state: OnceCell::new(),
            waiting: VecDeque::new(),
            pace: Pace::AtOnce,
            reached: None,
        };
        store.apply(State::new(MetaValue { epoch, forgotten_turn: 0 }).puts());
        store
    }

    /// Returns the state for the next life.
    pub fn state(&self) -> &State {
        self.state.get_or_init(|| {
            let entries = self.entries.iter().map(|(key, value)| (&key[..], &value[..]));
            State::read(entries).expect("records make states that can be read")
        })
    }

    fn apply(&mut self, changes: Vec<Change>) {
        self.state.take();
        for change in changes {
            let key = change.key().to_string().into_bytes();
            match change {
                Change::Put { value, .. } => drop(self.entries.insert(key, value)),
                Change::Delete { .. } => drop(self.entries.remove(&key)),
            }
        }
    }

    /// Kills the server: records that are not durable are lost. Those of a commit that is under way may all
    /// be durable.
    pub(super) fn crash(&mut self) {
        if let Pace::Disk(disk) = &mut self.pace
            && let Some((_, records)) = disk.under_way.take()
            && disk.rng.bool()
        {
            self.commit_some(records);
        }
        self.waiting.clear();
        self.reached = None;
    }

    /// Stores the records that are due at `now`. Returns whether there were any.
    pub(super) fn work(&mut self, now: Instant) -> bool {
        match &mut self.pace {
            Pace::AtOnce => {
                let has_any = !self.waiting.is_empty();
                while self.commit() {}
                has_any
            }
            Pace::WhenTold => false,
            Pace::Disk(disk) => {
                let ended = disk.under_way.take_if(|(ends, _)| *ends <= now);
                let records = ended.map_or(0, |(_, records)| records);
                self.commit_some(records);
                self.begin(now);
                records > 0
            }
        }
    }

    /// Starts a commit of some or all waiting records if the disk is idle.
    fn begin(&mut self, now: Instant) {
        let Pace::Disk(Disk { rng, longest, under_way }) = &mut self.pace else { return };
        if under_way.is_none() && !self.waiting.is_empty() {
            // Mostly fast, but sometimes as slow as possible.
            let part = if rng.u8(0..4) == 0 { rng.f64() } else { rng.f64() / 50.0 };
            *under_way = Some((now + longest.mul_f64(part), rng.usize(1..=self.waiting.len())));
        }
    }

    /// Returns when the current commit ends.
    pub(super) fn next_event(&self) -> Option<Instant> {
        let Pace::Disk(disk) = &self.pace else { return None };
        disk.under_way.map(|(ends, _)| ends)
    }

    pub(super) fn is_behind(&self) -> bool {
        !self.waiting.is_empty() || self.reached.is_some()
    }

    /// Checks that the store has everything that the server would remember, except the times of turns, which
    /// are stored as they were, and secrets that were used meanwhile.
    pub(super) fn assert_remembers(&self, mut snapshot: State) {
        let mut state = self.state().clone();
        for state in [&mut snapshot, &mut state] {
            for ring in state.rings.values_mut() {
                if let Some(lease) = &mut ring.ring.lease {
                    (lease.silent, lease.hold) = (Duration::ZERO, None);
                }
                for (place, seat) in &mut ring.seats {
                    seat.used = None;
                    if ring.ring.lease.is_some_and(|lease| lease.place == *place) {
                        (seat.tag, seat.standing) = (Tag::default(), Standing::Waiting);
                    }
                    if seat.standing != Standing::Waiting {
                        seat.tag = Tag::default();
                    }
                }
            }
        }
        assert_eq!(state, snapshot, "what is stored, and what the server is");
    }

    fn commit_some(&mut self, records: usize) {
        for _ in 0..records {
            assert!(self.commit(), "the records of a commit wait until it ends");
        }
    }

    /// Stores the oldest record.
    pub(super) fn commit(&mut self) -> bool {
        let Some(record) = self.waiting.pop_front() else { return false };
        self.apply(record.changes);
        self.reached = Some(record.seq);
        true
    }
}

/// The server's store.
impl World {
    pub fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// Returns whether the server has caused something that is not durable, or does not know yet that it is.
    pub fn is_behind(&self) -> bool {
        self.store.as_ref().is_some_and(|store| self.has_acted || store.is_behind())
    }

    pub fn store(&self) -> &MemoryStore {
        self.store.as_ref().expect("a world with a store")
    }

    pub fn store_mut(&mut self) -> &mut MemoryStore {
        self.store.as_mut().expect("a world with a store")
    }

    /// Makes records wait until [`commit`](Self::commit) stores them, or stores them at once again.
    pub fn slow_store(&mut self, is_slow: bool) {
        self.store_mut().pace = if is_slow { Pace::WhenTold } else { Pace::AtOnce };
        self.drive();
    }

    /// Stores records like a disk from now on, with commits of at most `longest`.
    pub fn store_on_disk(&mut self, longest: Duration) {
        let rng = self.rng.fork();
        self.store_mut().pace = Pace::Disk(Disk { rng, longest, under_way: None });
    }

    /// Returns whether the grant of `turn` in `ring` would outlive the server; `true` for a ring that is
    /// gone.
    pub fn is_grant_stored(&self, ring: &str, turn: u64) -> bool {
        let state = self.store().state();
        let ring = state.rings.get(&ring.parse().expect("a name"));
        ring.is_none_or(|ring| ring.ring.last_turn >= turn)
    }

    /// Returns whether the answer of `client` in `turn` of `ring` would outlive the server; `true` for a seat
    /// that is gone.
    pub fn is_answer_stored(&self, ring: &str, client: &str, turn: u64) -> bool {
        let state = self.store().state();
        let ring = state.rings.get(&ring.parse().expect("a name"));
        let seat = ring.and_then(|ring| ring.seats.values().find(|seat| seat.name.as_str() == client));
        seat.is_none_or(|seat| seat.last.is_some_and(|last| last.turn.get() >= turn))
    }

    /// Stores all waiting records, and lets the server act on it.
    pub fn commit(&mut self) {
        while self.store_mut().commit() {}
        self.drive();
    }

    /// Stores one record, and lets the server act on it.
    pub fn commit_one(&mut self) {
        assert!(self.store_mut().commit(), "a record waits");
        self.drive();
    }

    /// Returns the keys of the waiting records.
    pub fn waiting_records(&self) -> Vec<Vec<String>> {
        let keys = |record: &Record| {
            record
                .changes
                .iter()
                .map(|change| {
                    let mark = if matches!(change, Change::Put { .. }) { "" } else { "-" };
                    format!("{mark}{}", change.key())
                })
                .collect()
        };
        self.store().waiting.iter().map(keys).collect()
    }
}
