//! Running counts of a turn server.

/// Running counts of a [`TurnServer`](super::TurnServer).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TurnCounts {
    /// Turns that were answered.
    pub accepted: u64,
    /// Answers that were sent again, and confirmed again.
    pub repeated: u64,
    /// Answers that went to the host to judge.
    pub proposed: u64,
    /// Proposals that ended without a verdict of the host's.
    pub not_judged: u64,
    /// Turns given up by their holder.
    pub passed: u64,
    /// Turns whose time ran out.
    pub lapsed: u64,
    /// Turns that the host ended.
    pub skipped: u64,
    /// Turns whose holder was lost or left.
    pub gone: u64,
    /// Inputs refused.
    pub refused: u64,
    /// Connections turned away because there was no room.
    pub turned_away: u64,
}
