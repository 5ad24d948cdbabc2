//! How bytes come in: each connection with a budget, and each pass, so that neither one nor many keep the others waiting.

use super::connection::{Phase, ReadEnd, SHORT_READ_EMPTIES};
use super::driver::Driver;
use crate::hint::unlikely;
use crate::protocol::{CloseReason, ConnectionId, Protocol};
use crate::time::Now;

impl<P: Protocol> Driver<P> {
    /// Goes on where a budget of the last pass ran out.
    pub(super) fn read_on(&mut self, now: Now) {
        self.pass_budget = self.config.pass_read_bytes_max;
        for _ in 0..self.carried_over {
            if self.pass_budget < self.buffer.len() {
                return;
            }
            let Some(id) = self.unread.pop_front() else { return };
            self.taken += 1;
            if let Some(connection) = self.connections.get_mut(id) {
                connection.unread = false;
                self.read(now, id, true);
                self.relieve(now, id);
            }
        }
    }

    /// Reads up to the length of the buffer. `to_end`: an end of stream may be waiting that no further event will announce, so
    /// that a short read does not mean that nothing is left.
    #[inline]
    pub(super) fn read(&mut self, now: Now, id: ConnectionId, to_end: bool) {
        let mut budget = self.buffer.len();
        if unlikely(self.pass_budget < budget) {
            return self.read_later(id);
        }
        loop {
            let room = budget.min(self.read_max);
            let Some(count) = self.read_once(now, id, room) else { return };
            if count < room && SHORT_READ_EMPTIES && !to_end {
                return;
            }
            budget -= count;
            if budget == 0 {
                return self.read_later(id);
            }
            self.relieve(now, id);
            if self.connections.get(id).is_none() {
                return;
            }
        }
    }

    /// Reads once, and no more than `budget`, which is not 0: how much, if there may be more.
    #[inline(never)]
    fn read_once(&mut self, now: Now, id: ConnectionId, budget: usize) -> Option<usize> {
        let Some(connection) = self.connections.get_mut(id) else {
            self.counts.stale_events += 1;
            return None;
        };
        if unlikely(connection.unread || connection.phase == Phase::Connecting) {
            return None;
        }
        let count = match connection.read(&mut self.buffer[..budget]) {
            Ok(count) => count,
            Err(end) => {
                self.end_reading(now, id, end);
                return None;
            }
        };
        self.pass_budget -= count;
        self.counts.bytes_in += count as u64;
        if self.links.is_open(id) {
            self.protocol.handle_bytes(now, id, &self.buffer[..count], &mut self.links);
        }
        Some(count)
    }

    /// A budget ran out: the rest is for one of the next passes.
    #[cold]
    pub(super) fn read_later(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id)
            && !std::mem::replace(&mut connection.unread, true)
        {
            self.unread.push_back(id);
        }
    }

    /// A read brought nothing.
    fn end_reading(&mut self, now: Now, id: ConnectionId, end: ReadEnd) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        match end {
            ReadEnd::Empty => {}
            ReadEnd::End if connection.ended => {}
            ReadEnd::End => {
                connection.ended = true;
                if connection.phase == Phase::Open && self.links.is_open(id) {
                    self.protocol.handle_end(now, id, &mut self.links);
                } else if connection.phase == Phase::Lingering {
                    self.close(now, id, CloseReason::Unwanted);
                }
            }
            ReadEnd::Broken(kind) => self.close(now, id, CloseReason::Broken(kind)),
        }
    }
}
