//! Values that belong to no ring.

use super::codec::{Malformed, Reader, Writer};
use crate::session::Epoch;

/// The value of [`Key::Meta`](super::Key::Meta). It is written when a journal is created, and when a ring is
/// forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetaValue {
    /// The life of the journal, which restarts and take-overs preserve.
    pub epoch: Epoch,
    /// The highest turn of all forgotten rings. A ring that is created again continues after it.
    pub forgotten_turn: u64,
}

impl MetaValue {
    /// Returns the byte form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        Writer::new().u64(self.epoch.0).u64(self.forgotten_turn).finish()
    }

    /// Parses the byte form.
    ///
    /// # Errors
    ///
    /// Returns [`Malformed`], with the flaw and its position, if `bytes` are not such a value.
    pub fn decode(bytes: &[u8]) -> Result<MetaValue, Malformed> {
        let mut from = Reader::new(bytes)?;
        let epoch = Epoch(from.u64("the epoch")?);
        let forgotten_turn = from.u64("the highest turn of forgotten rings")?;
        from.finish(MetaValue { epoch, forgotten_turn })
    }
}
