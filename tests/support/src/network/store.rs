//! A store in memory: it stores a record when it is told to, at once, or as a disk does.

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
    /// Records that are not.
    pub(super) waiting: VecDeque<Record>,
    pub(super) pace: Pace,
    /// The number of the last one that is durable, and has not been told.
    pub(super) reached: Option<u64>,
}

/// When records become durable.
#[derive(Debug)]
pub(super) enum Pace {
    AtOnce,
    WhenTold,
    Disk(Disk),
}

/// A disk: one commit at a time, which takes a while, and is durable or not when the server dies in it.
#[derive(Debug)]
pub(super) struct Disk {
    rng: fastrand::Rng,
    /// The longest that a commit takes.
    longest: Duration,
    /// When the commit that is under way ends, and how many of the records that wait are in it.
    under_way: Option<(Instant, usize)>,
}

impl MemoryStore {
    pub(super) fn new(epoch: Epoch) -> MemoryStore {
        let mut store = MemoryStore {
            entries: BTreeMap::new(),
            waiting: VecDeque::new(),
            pace: Pace::AtOnce,
            reached: None,
        };
        store.apply(State::new(MetaValue { epoch, forgotten_turn: 0 }).puts());
        store
    }

    /// The state of the next life.
    pub fn state(&self) -> State {
        let entries = self.entries.iter().map(|(key, value)| (&key[..], &value[..]));
        State::read(entries).expect("records make states that can be read")
    }

    fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            let key = change.key().to_string().into_bytes();
            match change {
                Change::Put { value, .. } => drop(self.entries.insert(key, value)),
                Change::Delete { .. } => drop(self.entries.remove(&key)),
            }
        }
    }

    /// The server dies: records that are not durable are lost. Those of a commit under way may be durable,
    /// all of them.
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

    /// The records are stored that are to be stored at `now`; whether there were any.
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

    /// A disk that is idle takes what waits, or some of it.
    fn begin(&mut self, now: Instant) {
        let Pace::Disk(Disk { rng, longest, under_way }) = &mut self.pace else { return };
        if under_way.is_none() && !self.waiting.is_empty() {
            // Mostly quick, and at times as slow as it can be.
            let part = if rng.u8(0..4) == 0 { rng.f64() } else { rng.f64() / 50.0 };
            *under_way = Some((now + longest.mul_f64(part), rng.usize(1..=self.waiting.len())));
        }
    }

    /// When a commit ends.
    pub(super) fn next_event(&self) -> Option<Instant> {
        let Pace::Disk(disk) = &self.pace else { return None };
        disk.under_way.map(|(ends, _)| ends)
    }

    pub(super) fn is_behind(&self) -> bool {
        !self.waiting.is_empty() || self.reached.is_some()
    }

    /// All that the server would remember is stored, but for the time of turns, which is stored as it was,
    /// and for secrets that have been used meanwhile.
    pub(super) fn assert_remembers(&self, mut snapshot: State) {
        let mut state = self.state();
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

/// The store of the server.
impl World {
    pub fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// Whether the server has said something that is not durable, or has not heard that it is.
    pub fn is_behind(&self) -> bool {
        self.store.as_ref().is_some_and(|store| self.has_acted || store.is_behind())
    }

    pub fn store(&self) -> &MemoryStore {
        self.store.as_ref().expect("a world with a store")
    }

    pub fn store_mut(&mut self) -> &mut MemoryStore {
        self.store.as_mut().expect("a world with a store")
    }

    /// Records wait from now on until [`commit`](Self::commit) stores them, or are stored at once again.
    pub fn slow_store(&mut self, is_slow: bool) {
        self.store_mut().pace = if is_slow { Pace::WhenTold } else { Pace::AtOnce };
        self.drive();
    }

    /// Records are stored as by a disk from now on, and a commit takes at most `longest`.
    pub fn store_on_disk(&mut self, longest: Duration) {
        let rng = self.rng.fork();
        self.store_mut().pace = Pace::Disk(Disk { rng, longest, under_way: None });
    }

    /// Whether the grant of `turn` in `ring` would outlive the server. Of a ring that is gone nothing is
    /// asked.
    pub fn is_grant_stored(&self, ring: &str, turn: u64) -> bool {
        let state = self.store().state();
        let ring = state.rings.get(&ring.parse().expect("a name"));
        ring.is_none_or(|ring| ring.ring.last_turn >= turn)
    }

    /// Whether the answer of `client` in `turn` of `ring` would outlive the server. Of a seat that is gone
    /// nothing is asked.
    pub fn is_answer_stored(&self, ring: &str, client: &str, turn: u64) -> bool {
        let state = self.store().state();
        let ring = state.rings.get(&ring.parse().expect("a name"));
        let seat = ring.and_then(|ring| ring.seats.values().find(|seat| seat.name.as_str() == client));
        seat.is_none_or(|seat| seat.last.is_some_and(|last| last.turn.get() >= turn))
    }

    /// The store has stored all that waits, and the server acts on it.
    pub fn commit(&mut self) {
        while self.store_mut().commit() {}
        self.drive();
    }

    /// The store has stored one record.
    pub fn commit_one(&mut self) {
        assert!(self.store_mut().commit(), "a record waits");
        self.drive();
    }

    /// The records that wait, as their keys.
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
