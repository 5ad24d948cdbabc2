//! The peers that have not read everything queued for them, the slowest first, and how much that is in total.

use std::collections::{BTreeMap, HashMap};

use crate::protocol::ConnectionId;

/// Has an entry for each connection whose socket has refused bytes that are still queued; none for a peer
/// that reads.
#[derive(Debug, Default)]
pub(super) struct Stalled {
    /// Ordered by when they stopped reading.
    queued: BTreeMap<u64, (ConnectionId, usize)>,
    /// The keys of `queued`.
    began: HashMap<ConnectionId, u64>,
    next: u64,
    total: usize,
}

impl Stalled {
    /// Notes that `bytes` are queued for `id`, which does not read them.
    pub(super) fn note(&mut self, id: ConnectionId, bytes: usize) {
        let began = *self.began.entry(id).or_insert(self.next);
        self.next += u64::from(began == self.next);
        let before = self.queued.insert(began, (id, bytes)).map_or(0, |(_, bytes)| bytes);
        self.total = self.total - before + bytes;
    }

    /// Forgets a connection that has read everything, or was closed.
    pub(super) fn forget(&mut self, id: ConnectionId) {
        if let Some(began) = self.began.remove(&id) {
            self.total -= self.queued.remove(&began).map_or(0, |(_, bytes)| bytes);
        }
    }

    /// Returns the connection that has not kept up for longest, if more than `bytes_max` is queued in total.
    /// The little that it may have read meanwhile does not count.
    pub(super) fn slowest(&self, bytes_max: usize) -> Option<ConnectionId> {
        let (_, &(slowest, _)) = self.queued.first_key_value().filter(|_| self.total > bytes_max)?;
        Some(slowest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Links;

    #[test]
    fn the_slowest_is_the_one_that_has_waited_for_longest() {
        let mut links = Links::new(100);
        let [ann, bob, cid] = [(); 3].map(|()| links.open(([127, 0, 0, 1], 9).into()));
        let mut stalled = Stalled::default();
        for id in [ann, bob, cid] {
            stalled.note(id, 10);
        }
        assert_eq!((stalled.slowest(30), stalled.slowest(29)), (None, Some(ann)));
        stalled.forget(ann);
        stalled.note(ann, 20);
        assert_eq!((stalled.slowest(40), stalled.slowest(39)), (None, Some(bob)), "ann begins again");
        stalled.note(bob, 1);
        assert_eq!(
            (stalled.slowest(31), stalled.slowest(30)),
            (None, Some(bob)),
            "one that takes a little stays first"
        );
        for id in [ann, bob, cid, bob] {
            stalled.forget(id);
        }
        assert!(stalled.queued.is_empty() && stalled.began.is_empty() && stalled.total == 0);
    }
}
