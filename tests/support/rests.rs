//! What a protocol leaves of its input, kept for worlds that drive it by hand, as the engine keeps it.

use std::collections::BTreeMap;

use taketurns::protocol::{ConnectionId, Links, Protocol};
use taketurns::time::Now;

#[derive(Default)]
pub(crate) struct Rests(BTreeMap<ConnectionId, Vec<u8>>);

impl Rests {
    /// `id` has sent `bytes`.
    pub(crate) fn hear<P: Protocol>(
        &mut self,
        protocol: &mut P,
        now: Now,
        id: ConnectionId,
        bytes: &[u8],
        links: &mut Links,
    ) {
        self.0.entry(id).or_default().extend_from_slice(bytes);
        self.give(protocol, now, id, links);
    }

    /// `id` has finished sending.
    #[allow(dead_code, reason = "some peers never do")]
    pub(crate) fn end<P: Protocol>(
        &mut self,
        protocol: &mut P,
        now: Now,
        id: ConnectionId,
        links: &mut Links,
    ) {
        let rest = self.0.remove(&id).unwrap_or_default();
        protocol.handle_end(now, id, &rest, links);
    }

    /// All that was queued has been written as far as it goes: gives what was left again, where there is room or the protocol has asked for it.
    /// Whether that changed anything.
    #[allow(dead_code, reason = "some have nothing left")]
    pub(crate) fn go_on<P: Protocol>(&mut self, protocol: &mut P, now: Now, links: &mut Links) -> bool {
        let mut has_changed = false;
        while let Some(id) = links.take_reread() {
            has_changed |= self.give(protocol, now, id, links);
        }
        let ids: Vec<_> = self.0.keys().copied().filter(|&id| links.may_go_on(id)).collect();
        for id in ids {
            has_changed |= self.give(protocol, now, id, links);
        }
        has_changed
    }

    /// Whether anything was consumed.
    fn give<P: Protocol>(&mut self, protocol: &mut P, now: Now, id: ConnectionId, links: &mut Links) -> bool {
        let Some(mut rest) = self.0.remove(&id) else { return false };
        if !links.is_open(id) {
            return false;
        }
        let used = protocol.handle_bytes(now, id, &rest, links);
        rest.drain(..used);
        if !rest.is_empty() && links.is_open(id) {
            self.0.insert(id, rest);
        }
        used > 0
    }
}
