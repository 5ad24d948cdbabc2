//! Input that a protocol has left, kept for worlds that drive it by hand, as the engine keeps it.

use std::collections::{BTreeMap, BTreeSet};

use taketurns::protocol::{ConnectionId, Links, Protocol};
use taketurns::time::Now;

#[derive(Default)]
pub struct Rests {
    rests: BTreeMap<ConnectionId, Vec<u8>>,
    /// They have finished sending, and their protocols have not heard of that.
    ended: BTreeSet<ConnectionId>,
}

impl Rests {
    /// `id` has sent `bytes`.
    pub fn hear<P: Protocol>(
        &mut self,
        protocol: &mut P,
        now: Now,
        id: ConnectionId,
        bytes: &[u8],
        links: &mut Links,
    ) {
        self.rests.entry(id).or_default().extend_from_slice(bytes);
        self.give(protocol, now, id, links);
    }

    /// `id` has finished sending.
    pub fn end<P: Protocol>(&mut self, protocol: &mut P, now: Now, id: ConnectionId, links: &mut Links) {
        self.ended.insert(id);
        self.tell_end(protocol, now, id, links);
    }

    /// Input that waits for room comes before the end.
    fn tell_end<P: Protocol>(
        &mut self,
        protocol: &mut P,
        now: Now,
        id: ConnectionId,
        links: &mut Links,
    ) -> bool {
        if !links.may_go_on(id) {
            return false;
        }
        let rest = self.rests.remove(&id).unwrap_or_default();
        self.ended.remove(&id);
        protocol.handle_end(now, id, &rest, links);
        true
    }

    /// All that was queued has been written as far as it goes: gives what was left again, where there is room
    /// or the protocol has asked for it. Whether that changed anything.
    pub fn go_on<P: Protocol>(&mut self, protocol: &mut P, now: Now, links: &mut Links) -> bool {
        let mut has_changed = false;
        while let Some(id) = links.take_reread() {
            has_changed |= self.give(protocol, now, id, links);
        }
        let ids: Vec<_> = self.rests.keys().copied().filter(|&id| links.may_go_on(id)).collect();
        for id in ids {
            has_changed |= self.give(protocol, now, id, links);
        }
        for id in self.ended.clone() {
            has_changed |= self.tell_end(protocol, now, id, links);
        }
        has_changed
    }

    /// Whether anything was consumed.
    fn give<P: Protocol>(&mut self, protocol: &mut P, now: Now, id: ConnectionId, links: &mut Links) -> bool {
        if links.is_congested(id) {
            return false;
        }
        let Some(mut rest) = self.rests.remove(&id) else { return false };
        if !links.is_open(id) {
            return false;
        }
        let used = protocol.handle_bytes(now, id, &rest, links);
        rest.drain(..used);
        if !rest.is_empty() && links.is_open(id) {
            self.rests.insert(id, rest);
        }
        used > 0
    }
}
