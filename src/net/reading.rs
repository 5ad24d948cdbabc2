//! How bytes come in: each connection with a budget, so that none keeps the others waiting.

use super::connection::{Phase, ReadEnd, SHORT_READ_EMPTIES};
use super::driver::Driver;
use crate::hint::unlikely;
use crate::protocol::{CloseReason, ConnectionId, Protocol};
use crate::time::Now;

impl<P: Protocol> Driver<P> {
    /// Goes on where the budget of the last pass ran out.
    pub(super) fn read_on(&mut self, now: Now) {
        for at in 0..self.carried_over {
            let id = self.unread[at];
            if let Some(connection) = self.connections.get_mut(id) {
                connection.unread = false;
                self.read(now, id, true);
            }
        }
        self.unread.drain(..self.carried_over);
    }

    /// Reads up to the length of the buffer. `to_end`: an end of stream may be waiting that no further event will announce, so
    /// that a short read does not mean that nothing is left.
    #[inline]
    pub(super) fn read(&mut self, now: Now, id: ConnectionId, to_end: bool) {
        let mut budget = self.buffer.len();
        while let Some(count) = self.read_once(now, id, budget) {
            if count < budget && SHORT_READ_EMPTIES && !to_end {
                return;
            }
            budget -= count;
            if budget == 0 {
                return self.read_later(id);
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
        self.counts.bytes_in += count as u64;
        if self.links.is_open(id) {
            self.protocol.handle_bytes(now, id, &self.buffer[..count], &mut self.links);
        }
        Some(count)
    }

    /// The budget ran out: the rest is the next pass's.
    #[cold]
    fn read_later(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.unread = true;
            self.unread.push(id);
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
