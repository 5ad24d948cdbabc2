//! How bytes come in. Each connection and each pass has a budget, so that neither one peer nor many delay the
//! others. Bytes that a protocol does not consume are kept here.

use std::collections::VecDeque;
use std::io;

use log::{Level, warn};

use super::{Engine, Sockets};
use crate::hint::unlikely;
use crate::protocol::{CloseReason, ConnectionId, Flags, Intent, Links, Phase, Protocol};
use crate::time::Now;

/// Bytes that each connection may send in a pass, however many connections share the budget.
const SHARE_MIN: usize = 1024;

/// The most reads of one connection in a pass that bring its protocol nothing, because only its wire had
/// something to say.
const IDLE_READS_MAX: u8 = 4;

/// The end of a connection counts as this many bytes of a pass's budget, because closing a socket takes the
/// system about ten times as long as a read. So when thousands leave at once, the others do not wait for all
/// of them.
const END_BYTES: usize = 4096;

impl<P: Protocol, S: Sockets> Engine<P, S> {
    /// Continues with the connections that the last pass left over. They share the budget: if each of a
    /// thousand were read up to its own budget, the last would wait for a thousand full buffers.
    pub(super) fn read_on(&mut self, now: Now) {
        self.pass_budget = self.config.pass_read_bytes_max;
        let whole = self.buffer.len();
        let share = (self.pass_budget / self.carried_over).clamp(SHARE_MIN.min(whole), whole);
        for _ in 0..self.carried_over {
            let Some(&id) = self.unread.front() else { return };
            let budget = if self.protocol.is_awaited(id) { whole } else { share };
            if self.pass_budget < budget {
                return;
            }
            self.unread.pop_front();
            self.taken += 1;
            if let Some(link) = self.links.present_mut(id)
                && !link.paused
            {
                link.unread = false;
                self.read_seldom(now, id, budget, true);
                self.relieve(now, id);
            }
        }
    }

    /// Kept out of line, because few turns need it.
    #[cold]
    #[inline(never)]
    pub(crate) fn read_seldom(&mut self, now: Now, id: ConnectionId, budget: usize, to_end: bool) {
        self.read(now, id, budget, to_end);
    }

    /// Reads up to `budget` bytes, which fit the buffer. With `to_end`, something may be waiting that no
    /// further event will announce, such as the end of the stream, so a short read does not mean that nothing
    /// is left.
    #[inline(always)]
    pub(super) fn read(&mut self, now: Now, id: ConnectionId, mut budget: usize, to_end: bool) {
        if unlikely(self.pass_budget < budget) {
            return self.read_in_next_pass(id);
        }
        let mut is_first = true;
        loop {
            let Some(link) = self.links.link_mut(id) else { return self.counts.stale_events += 1 };
            let Some(socket) = self.streams.get_mut(id) else { return self.counts.stale_events += 1 };
            if unlikely(link.unread) {
                return self.read_handshake_later(id);
            }
            let buffer = &mut self.buffer[..budget];
            let count = match self.sockets.recv(socket, buffer) {
                Ok(count @ 1..) => count,
                end => match self.read_nothing(now, id, end) {
                    true => continue,
                    false => return,
                },
            };
            self.pass_budget -= count;
            self.counts.bytes_in += count as u64;
            if unlikely(link.flags.any(Flags::HAS_REST | Flags::WRAPPED)) {
                self.hear_more(now, id, count);
            } else if link.intent == Intent::Keep {
                let bytes = &buffer[..count];
                let used = self.protocol.handle_bytes(now, id, bytes, &mut self.links);
                if unlikely(used < count) {
                    let rest = bytes[used..].to_vec();
                    self.go_on(now, id, rest);
                }
            }
            if count < budget && S::SHORT_READ_EMPTIES && !to_end {
                return;
            }
            budget -= count;
            if !self.may_read_more(now, id, budget, std::mem::take(&mut is_first)) {
                return;
            }
        }
    }

    /// Returns whether the next read of a connection may follow at once, with `budget` bytes left. If a limit
    /// is reached, queues it to be read later.
    #[cold]
    fn may_read_more(&mut self, now: Now, id: ConnectionId, budget: usize, is_first: bool) -> bool {
        if is_first {
            self.idle_reads = 1;
        }
        if budget == 0 || self.idle_reads >= IDLE_READS_MAX {
            self.read_later(id);
            return false;
        }
        self.relieve(now, id);
        self.links.phase(id).is_some()
    }

    /// Queues `id` to be read again once the others have been, for example because its own budget is used up.
    #[cold]
    pub(super) fn read_later(&mut self, id: ConnectionId) {
        if self.links.phase(id) == Some(Phase::Securing) {
            self.read_handshake_later(id);
        } else if self.is_newly_unread(id) {
            self.unread.push_back(id);
        }
    }

    /// Queues `id` for the next pass, because the budget of this one is used up. An awaited connection goes
    /// to the front, behind those for which a deadline waits.
    #[cold]
    fn read_in_next_pass(&mut self, id: ConnectionId) {
        if !self.is_newly_unread(id) {
            return self.read_handshake_later(id);
        }
        if self.protocol.is_awaited(id) {
            let behind = self.expires_after.map_or(0, |expires| expires.saturating_sub(self.taken));
            let behind = usize::try_from(behind).unwrap_or(usize::MAX).min(self.unread.len());
            self.unread.insert(behind, id);
        } else {
            self.unread.push_back(id);
        }
    }

    fn is_newly_unread(&mut self, id: ConnectionId) -> bool {
        let link = self.links.present_mut(id);
        link.is_some_and(|link| !std::mem::replace(&mut link.unread, true))
    }

    /// Returns whether all awaited connections that had input at the time of the deadline have been read: an
    /// answer that arrived before the deadline counts. They are read before all others, so the deadline is
    /// only slightly late. Only the first deadline waits. One that passes meanwhile expires with it, because
    /// otherwise it could be put off forever.
    pub(super) fn has_read_what_came(&mut self) -> bool {
        let expires_after = match self.expires_after {
            Some(expires_after) => expires_after,
            None => self.taken + self.put_awaited_first() as u64,
        };
        let has_read = self.taken >= expires_after;
        self.expires_after = Some(expires_after).filter(|_| !has_read);
        has_read
    }

    /// Moves awaited connections to the front of `unread`; returns how many there are.
    fn put_awaited_first(&mut self) -> usize {
        let all = std::mem::take(&mut self.unread);
        let (awaited, others): (VecDeque<_>, VecDeque<_>) =
            all.into_iter().partition(|&id| self.protocol.is_awaited(id));
        let count = awaited.len();
        self.unread = awaited;
        self.unread.extend(others);
        count
    }

    /// Stops reading from a connection while its peer does not read, and resumes once it has.
    pub(super) fn pause_or_resume(&mut self, id: ConnectionId) {
        let is_congested = self.links.is_congested(id);
        let Some(link) = self.links.present_mut(id) else { return };
        if is_congested && link.is_blocked() && link.phase == Phase::Open {
            (link.paused, link.unread) = (true, true);
        } else if !is_congested && std::mem::take(&mut link.paused) {
            self.links.reread(id);
            self.unread.push_back(id);
        }
    }

    /// Handles the first `count` bytes of the buffer if the protocol cannot have them as they are: unwraps
    /// them, or appends them to the bytes that are kept.
    #[cold]
    fn hear_more(&mut self, now: Now, id: ConnectionId, count: usize) {
        let mut buffer = std::mem::take(&mut self.buffer);
        if self.links.present_mut(id).is_some_and(|link| link.flags.any(Flags::WRAPPED)) {
            self.unwrap(now, id, &mut buffer[..count]);
        } else {
            self.take_in(now, id, &buffer[..count]);
        }
        self.buffer = buffer;
    }

    /// Gives bytes to the protocol, after those that are kept.
    pub(super) fn take_in(&mut self, now: Now, id: ConnectionId, bytes: &[u8]) {
        let mut rest = self.take_rest(id);
        if !rest.is_empty() {
            rest.extend_from_slice(bytes);
            return self.hear(now, id, rest);
        }
        if self.links.is_open(id) {
            let used = give(&mut self.protocol, now, id, bytes, &mut self.links);
            if used < bytes.len() {
                self.go_on(now, id, bytes[used..].to_vec());
            }
        }
    }

    /// Gives kept input to the protocol again, for connections whose protocol has asked for it, up to about
    /// the read budget of a pass. A thousand peers that have asked for too much and then read it all at once
    /// must not delay the others.
    #[cold]
    pub(super) fn reread(&mut self, now: Now) {
        let mut budget = self.config.pass_read_bytes_max;
        for _ in 0..self.links.rereads() {
            let Some(id) = self.links.take_reread() else { return };
            let rest = self.take_rest(id);
            if !rest.is_empty() {
                budget = budget.saturating_sub(rest.len());
                self.hear(now, id, rest);
                self.relieve(now, id);
            }
            if budget == 0 {
                return;
            }
        }
    }

    fn hear(&mut self, now: Now, id: ConnectionId, mut rest: Vec<u8>) {
        if self.links.is_open(id) {
            let used = give(&mut self.protocol, now, id, &rest, &mut self.links);
            rest.drain(..used);
            self.go_on(now, id, rest);
        }
    }

    /// Keeps `rest`, which the protocol has not consumed. If it stopped because a lot waits to be written, it
    /// is given `rest` again after that has been written.
    #[cold]
    fn go_on(&mut self, now: Now, id: ConnectionId, mut rest: Vec<u8>) {
        if self.links.take_upgrade(id) {
            return self.upgrade(now, id, rest);
        }
        let mut taken = 0;
        while taken < rest.len() && !self.links.may_go_on(id) {
            self.flush(now);
            if !self.links.may_go_on(id) {
                break;
            }
            let used = give(&mut self.protocol, now, id, &rest[taken..], &mut self.links);
            taken += used;
            if used == 0 {
                break;
            }
        }
        rest.drain(..taken);
        self.keep_rest(now, id, rest);
    }

    fn keep_rest(&mut self, now: Now, id: ConnectionId, rest: Vec<u8>) {
        if rest.is_empty() || !self.links.is_open(id) {
            return;
        }
        let is_congested = self.links.is_congested(id);
        if !is_congested && rest.len() > self.config.in_bytes_max {
            return self.give_up_overlong(now, id, rest.len());
        }
        let Some(link) = self.links.present_mut(id) else { return };
        link.flags.set(Flags::HAS_REST);
        if is_congested && (link.is_blocked() || link.paused) {
            (link.paused, link.unread) = (true, true);
        } else if is_congested {
            // Queued bytes are not offered to the peer before the end of this pass.
            self.links.reread(id);
        }
        self.rests.insert(id, rest);
    }

    fn give_up_overlong(&mut self, now: Now, id: ConnectionId, length: usize) {
        self.counts.overlong += 1;
        let nth = self.counts.overlong;
        if let Some(peer) = self.links.peer(id)
            && self.links.may_log(Level::Warn)
        {
            warn!(
                "{peer}: closed ({nth} so far), the protocol consumes none of the {length} bytes that it has sent"
            );
        }
        self.close(now, id, CloseReason::Overlong);
    }

    /// Takes the input that is kept for `id`.
    pub(super) fn take_rest(&mut self, id: ConnectionId) -> Vec<u8> {
        let Some(link) = self.links.link_mut(id).filter(|link| link.flags.any(Flags::HAS_REST)) else {
            return Vec::new();
        };
        link.flags.clear(Flags::HAS_REST);
        self.rests.remove(&id).unwrap_or_default()
    }

    /// Tells the protocol that the input has ended, and gives it what it has not consumed one last time.
    pub(super) fn input_ended(&mut self, now: Now, id: ConnectionId) {
        if self.links.phase(id) == Some(Phase::Open) && self.links.is_open(id) && self.is_first_end(id) {
            let rest = self.take_rest(id);
            self.protocol.handle_end(now, id, &rest, &mut self.links);
        }
    }

    /// Handles a read that brought nothing. Returns whether to read again at once (after `EINTR`).
    #[cold]
    fn read_nothing(&mut self, now: Now, id: ConnectionId, end: io::Result<usize>) -> bool {
        let Some(link) = self.links.present_mut(id) else { return false };
        match end {
            Ok(_) if link.ended => {}
            Ok(_) => {
                link.ended = true;
                self.pass_budget = self.pass_budget.saturating_sub(END_BYTES);
                match link.phase {
                    Phase::Lingering => self.close(now, id, CloseReason::Unwanted),
                    Phase::Securing => self.close(now, id, CloseReason::Finished),
                    _ => self.input_ended(now, id),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                self.pass_budget = self.pass_budget.saturating_sub(END_BYTES);
                self.close(now, id, CloseReason::Broken(error.kind()));
            }
        }
        false
    }
}

/// Gives a protocol bytes that do not come from a plain read. Not inlined, because it is called from several
/// places.
#[cold]
#[inline(never)]
fn give<P: Protocol>(protocol: &mut P, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
    protocol.handle_bytes(now, id, bytes, links)
}
