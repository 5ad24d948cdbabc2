//! Running counts of a turn server.

use crate::session::How;

/// Running counts of a [`TurnServer`](super::TurnServer).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TurnCounts {
    /// Turns that were answered.
    pub accepted: u64,
    /// Answers that were sent again and confirmed again.
    pub repeated: u64,
    /// Answers that were handed to the host to judge.
    pub proposed: u64,
    /// Proposals that ended without a verdict.
    pub not_judged: u64,
    /// Turns that their holders gave up.
    pub passed: u64,
    /// Turns whose time ran out.
    pub lapsed: u64,
    /// Turns that the host ended early.
    pub skipped: u64,
    /// Turns whose holder was lost or left.
    pub gone: u64,
    /// Inputs refused.
    pub refused: u64,
    /// Connections turned away because there was no room.
    pub turned_away: u64,
    /// Connections closed because the host or a rule refused them.
    pub forbidden: u64,
}

impl TurnCounts {
    /// Counts a turn that ended without an answer.
    pub(super) fn note_ended(&mut self, how: How) {
        *match how {
            How::Passed => &mut self.passed,
            How::Lapsed => &mut self.lapsed,
            How::Gone => &mut self.gone,
            How::Skipped => &mut self.skipped,
        } += 1;
    }
}
