//! Unconsumed input, kept like in the engine, for worlds that drive a protocol by hand.

use std::collections::{BTreeMap, BTreeSet};

use taketurns::protocol::{ConnectionId, Links, Protocol};
use taketurns::time::Now;

#[derive(Default)]
pub struct Rests {
    rests: BTreeMap<ConnectionId, Vec<u8>>,
    /// Connections that have finished sending, of which their protocols have not been told.
    ended: BTreeSet<ConnectionId>,
}

impl Rests {
    /// Hands `bytes` from `id` to the protocol.
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

    /// Ends the input of `id`.
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

    /// After all queues have been written as far as possible, hands unconsumed input to the protocol again if
    /// there is room or it asked for it. Returns whether that changed anything.
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

    /// Returns whether anything was consumed.
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
