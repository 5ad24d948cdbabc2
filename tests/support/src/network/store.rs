//! A store in memory: it stores a record when it is told to, or at once.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use taketurns::record::{Change, MetaValue, Record, Standing, State, Tag};
use taketurns::session::Epoch;

use super::World;

#[derive(Debug)]
pub struct MemoryStore {
    /// The durable entries.
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Records that are not.
    pub(super) waiting: VecDeque<Record>,
    /// Records are stored only when the test says so.
    pub(super) is_slow: bool,
    /// The number of the last one that is durable, and has not been told.
    pub(super) reached: Option<u64>,
}

impl MemoryStore {
    pub(super) fn new(epoch: Epoch) -> MemoryStore {
        let mut store =
            MemoryStore { entries: BTreeMap::new(), waiting: VecDeque::new(), is_slow: false, reached: None };
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

    /// The server dies: records that are not durable are lost.
    pub(super) fn crash(&mut self) {
        self.waiting.clear();
        self.reached = None;
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
    pub fn store(&self) -> &MemoryStore {
        self.store.as_ref().expect("a world with a store")
    }

    pub fn store_mut(&mut self) -> &mut MemoryStore {
        self.store.as_mut().expect("a world with a store")
    }

    /// Records wait from now on until [`commit`](Self::commit) stores them, or are stored at once again.
    pub fn slow_store(&mut self, is_slow: bool) {
        self.store_mut().is_slow = is_slow;
        self.drive();
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
