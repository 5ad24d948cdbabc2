//! Schedules when to ask the sockets which peers do not read although their systems answer.

use std::time::Duration;

use super::pass::Timer;
use super::{DriverConfig, Engine, Sockets};
use crate::protocol::Protocol;
use crate::time::{Instant, Now};

/// The rounds in which sockets are checked while anything is being written. An idle engine has none, and is
/// not woken.
#[derive(Debug)]
pub(super) struct SilenceChecks {
    /// The count of bytes written at which the last round ended; `u64::MAX` while one is under way or due.
    /// More bytes begin a round.
    pub(super) asleep_at: u64,
    /// The count of bytes written when the last round ended.
    written: u64,
    /// When the last round began, or the first byte after a pause was written.
    since: Instant,
    /// When the round under way began.
    began: Instant,
    /// The slot at which the round under way continues.
    slot: usize,
    /// Whether the round has found a socket with unsent bytes.
    has_waiting: bool,
}

/// Sockets checked in a pass. That takes about 100 us, or 0.5 ms if no peer reads.
const CHECKED_MAX: usize = 128;

/// The pause between parts of a round, so that turns continue meanwhile.
const PAUSE: Duration = Duration::from_millis(1);

impl SilenceChecks {
    pub(super) fn new<S: Sockets>(config: &DriverConfig, now: Instant) -> SilenceChecks {
        let is_needed = S::EXTENDS_FOR_BUSY_PEERS && !config.user_timeout.is_zero();
        let asleep_at = if is_needed { 0 } else { u64::MAX };
        SilenceChecks { asleep_at, written: 0, since: now, began: now, slot: 0, has_waiting: false }
    }
}

impl<P: Protocol, S: Sockets> Engine<P, S> {
    /// Schedules a round after half of the time for which a peer may be silent, so that a peer that has just
    /// become busy gets more time before its own is up.
    pub(super) fn schedule_silence_check(&mut self, since: Instant) {
        self.silence_checks.since = since;
        self.deadlines.set(Timer::SilenceCheck, Some(since + (self.config.user_timeout / 2).max(PAUSE)));
    }

    /// Checks the next sockets of a round. The rest is left to the next passes.
    #[cold]
    pub(super) fn check_silence(&mut self, now: Now) {
        let Engine { silence_checks: checks, streams, sockets, .. } = self;
        if checks.slot == 0 {
            checks.began = now.instant;
        }
        let mut some = Vec::with_capacity(CHECKED_MAX);
        let from = checks.slot;
        checks.slot = 0;
        for (id, socket) in streams.iter().skip_while(|(id, _)| id.slot() < from) {
            if some.len() == CHECKED_MAX {
                checks.slot = id.slot();
                break;
            }
            some.push(socket);
        }
        checks.has_waiting |= sockets.extend_for_busy_peers(now.instant, checks.since, &some);
        if checks.slot > 0 {
            return self.deadlines.set(Timer::SilenceCheck, Some(now.instant + PAUSE));
        }
        let written = self.counts.bytes_out;
        let has_written = std::mem::replace(&mut checks.written, written) != written;
        if std::mem::take(&mut checks.has_waiting) || has_written {
            let began = checks.began;
            self.schedule_silence_check(began);
        } else {
            checks.asleep_at = written;
        }
    }
}
