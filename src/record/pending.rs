//! Records that have not been handed to the store yet, merged by key.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

use super::{Change, Record};

/// Records that wait for a store, merged into one: the last change of each key wins.
///
/// So at most one value waits for each ring and seat, however slow the disk is. Merging never splits a
/// record, so the merged record still leads to a state that the server was in.
///
/// # Examples
///
/// ```
/// use taketurns::record::{Change, Key, Pending, Record};
///
/// let put = |value: u8| vec![Change::Put { key: Key::Meta, value: vec![value] }];
/// let mut pending = Pending::default();
/// pending.merge(Record { seq: 1, changes: put(1) });
/// pending.merge(Record { seq: 2, changes: put(2) });
/// assert_eq!(pending.take(), Some(Record { seq: 2, changes: put(2) }));
/// assert_eq!(pending.take(), None);
/// ```
#[derive(Debug, Default)]
pub struct Pending {
    /// The number of the last merged record; `None` if none is waiting.
    seq: Option<u64>,
    changes: Vec<Change>,
    /// The indices in `changes`, by the hashes of their keys. Empty while only one record is waiting, as is
    /// usual between a loop and its store.
    indices: HashTable<usize>,
    hasher: RandomState,
}

impl Pending {
    /// Adds a record, which has each key at most once. Its number must be higher than any before.
    pub fn merge(&mut self, record: Record) {
        debug_assert!(self.seq.is_none_or(|seq| seq < record.seq), "records come in order");
        if self.seq.replace(record.seq).is_none() {
            self.changes = record.changes;
            return;
        }
        let Pending { changes, indices, hasher, .. } = self;
        let hash = |change: &Change| hasher.hash_one(change.key());
        if indices.is_empty() {
            for (index, change) in changes.iter().enumerate() {
                indices.insert_unique(hash(change), index, |&index| hash(&changes[index]));
            }
        }
        for change in record.changes {
            match indices.find(hash(&change), |&index| changes[index].key() == change.key()) {
                Some(&index) => changes[index] = change,
                None => {
                    indices.insert_unique(hash(&change), changes.len(), |&index| hash(&changes[index]));
                    changes.push(change);
                }
            }
        }
    }

    /// Takes all waiting records as one, which has the last number and makes all of them durable.
    pub fn take(&mut self) -> Option<Record> {
        let seq = self.seq.take()?;
        self.indices.clear();
        Some(Record { seq, changes: std::mem::take(&mut self.changes) })
    }

    /// Returns whether no record is waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seq.is_none()
    }

    /// Returns the number of waiting changes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }
}
