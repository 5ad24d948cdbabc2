//! State that outlives a server, as numbered records of small keys and values. No I/O.
//!
//! A protocol emits [`Record`]s. A store makes them durable in order, and reports "durable up to *n*".
//! **Nothing that a record caused is sent before the record is durable**: this is the output commit of
//! rollback recovery, and the contract of `Ready` in etcd's raft. So an `OK` that a client has read is never
//! lost, and no turn number is granted twice.
//!
//! A hand-over is *one* record: the turn that ended and the turn that was granted. A store commits a record
//! completely or not at all.
//!
//! This module has the record, its [keys](Key), its values and their byte forms, the records that are [not
//! stored yet](Pending), the numbers that [are durable](Horizon), and the [`State`] that all entries form
//! together. It does not know where they are stored.
//!
//! Byte forms are versioned and canonical, and a number takes as few bytes as it needs. Malformed bytes are
//! an error with the flaw and its position, never a panic: a journal may come from a failing disk, and an
//! import from a text editor.

mod codec;
mod horizon;
mod key;
mod meta;
mod pending;
mod ring;
mod seat;
mod secret;
mod state;
#[cfg(test)]
pub(crate) mod tests;

pub use codec::{Flaw, Malformed};
pub use horizon::Horizon;
pub use key::{InvalidKey, Key};
pub use meta::MetaValue;
pub use pending::Pending;
pub use ring::{HOST_STATE_BYTES_MAX, HostValue, RingEntry, SEATS_WITH_RING_MAX};
pub use seat::SeatValue;
pub use secret::SecretHash;
pub use state::{Damaged, RingState, State, Wrong};

pub use crate::table::{LastAnswer, Mark};
pub use crate::turn::{LeaseValue, RingValue, Standing, Tag};

/// One step of a server that must outlive it. A record is stored completely or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The number of the record: 1 more than that of the previous record, within one life of a server. A
    /// record that [stands for several](Pending) has the number of the last.
    pub seq: u64,
    /// The changes, each key at most once.
    pub changes: Vec<Change>,
}

/// A change of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The entry has this value from now on.
    Put {
        /// Names the entry.
        key: Key,
        /// The value in its byte form.
        value: Vec<u8>,
    },
    /// The entry is deleted. It need not have existed.
    Delete {
        /// Names the entry.
        key: Key,
    },
}

impl Change {
    /// Returns the key of the changed entry.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Change::Put { key, .. } | Change::Delete { key } => key,
        }
    }
}
