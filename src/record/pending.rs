//! Records that are not with the store yet, merged by key.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{Change, Key, Record};

/// Records that wait for a store, merged into one: of each key the last change wins.
///
/// So however slow a disk is, at most one value waits for a ring and for a seat. Merging never splits a
/// record, so what is taken is still a state that the server was in.
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
    /// The number of the last record that was merged; `None` if none waits.
    seq: Option<u64>,
    changes: Vec<Change>,
    /// Where the change of a key stands in `changes`.
    places: HashMap<Key, usize>,
}

impl Pending {
    /// Adds a record, whose number is above all before it.
    pub fn merge(&mut self, record: Record) {
        debug_assert!(self.seq.is_none_or(|seq| seq < record.seq), "records come in order");
        self.seq = Some(record.seq);
        for change in record.changes {
            match self.places.entry(*change.key()) {
                Entry::Occupied(place) => self.changes[*place.get()] = change,
                Entry::Vacant(place) => {
                    place.insert(self.changes.len());
                    self.changes.push(change);
                }
            }
        }
    }

    /// Takes all that waits, as one record that stands for all: it is durable with them up to its number.
    pub fn take(&mut self) -> Option<Record> {
        let seq = self.seq.take()?;
        self.places.clear();
        Some(Record { seq, changes: std::mem::take(&mut self.changes) })
    }

    /// Whether no record waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seq.is_none()
    }

    /// Returns the number of entries whose change waits.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }
}
