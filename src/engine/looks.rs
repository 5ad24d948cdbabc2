//! Schedules when to ask the sockets which peers do not read although their systems answer.

use std::time::Duration;

use super::pass::Timer;
use super::{DriverConfig, Engine, Sockets};
use crate::protocol::Protocol;
use crate::time::{Instant, Now};

/// The rounds in which sockets are checked while anything is being written. An idle engine has none, and is
/// not woken.
#[derive(Debug)]
pub(super) struct Looks {
    /// The count of bytes written at which the last round ended, if none is under way or due. More bytes
    /// begin a round.
    pub(super) asleep_at: u64,
    /// The count of bytes written when the last round ended.
    written: u64,
    /// When the last round began, or the first byte after a pause was written, and when the round under way
    /// began.
    since: Instant,
    began: Instant,
    /// The slot at which the round under way continues.
    slot: usize,
    /// The round has found bytes that wait.
    has_waiting: bool,
}

/// Sockets checked in a pass. That takes about 100 us, or 0.5 ms if no peer reads.
const LOOKED_AT_MAX: usize = 128;

/// The pause between parts of a round, so that turns continue meanwhile.
const PAUSE: Duration = Duration::from_millis(1);

impl Looks {
    pub(super) fn new<S: Sockets>(config: &DriverConfig, now: Instant) -> Looks {
        let asleep_at = if S::EXCUSES && !config.user_timeout.is_zero() { 0 } else { u64::MAX };
        Looks { asleep_at, written: 0, since: now, began: now, slot: 0, has_waiting: false }
    }
}

impl<P: Protocol, S: Sockets> Engine<P, S> {
    /// Begins a round after half of the time for which a peer may be silent, so that a peer that has just
    /// become busy is excused in time.
    pub(super) fn look_later(&mut self, since: Instant) {
        self.looks.since = since;
        self.deadlines.set(Timer::Look, Some(since + (self.config.user_timeout / 2).max(PAUSE)));
    }

    /// Checks the next sockets of a round. The rest is left to the next passes.
    #[cold]
    pub(super) fn look(&mut self, now: Now) {
        let Engine { looks, streams, sockets, .. } = self;
        if looks.slot == 0 {
            looks.began = now.instant;
        }
        let mut some = Vec::with_capacity(LOOKED_AT_MAX);
        let from = looks.slot;
        looks.slot = 0;
        for (id, socket) in streams.iter().skip_while(|(id, _)| id.slot() < from) {
            if some.len() == LOOKED_AT_MAX {
                looks.slot = id.slot();
                break;
            }
            some.push(socket);
        }
        looks.has_waiting |= sockets.excuse(now.instant, looks.since, &some);
        if looks.slot > 0 {
            return self.deadlines.set(Timer::Look, Some(now.instant + PAUSE));
        }
        let written = self.counts.bytes_out;
        let has_written = std::mem::replace(&mut looks.written, written) != written;
        if std::mem::take(&mut looks.has_waiting) || has_written {
            let began = looks.began;
            self.look_later(began);
        } else {
            looks.asleep_at = written;
        }
    }
}
