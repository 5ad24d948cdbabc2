//! Events of a turn server, for its host.

use super::Joining;
use super::ledger::AnswerId;
use super::proposal::Proposal;
use crate::protocol::ConnectionId;
use crate::session::{Code, How};
use crate::turn::{SeatId, TurnNumber};

/// An event of a [`TurnServer`](super::TurnServer). It carries ids that the server resolves.
// The tag is as wide as the data after it, so that a copy has no padding. Variants that need a drop come
// last, so that one comparison finds them.
#[derive(Debug)]
#[non_exhaustive]
#[repr(u64)]
pub enum TurnEvent {
    /// A client got a seat: a new one, one that was away, or one that another connection had.
    Seated {
        /// The seat.
        seat: SeatId,
        /// The client's connection.
        connection: ConnectionId,
    },
    /// The connection of a seat was lost. The seat is kept for its grace.
    Away {
        /// The seat.
        seat: SeatId,
    },
    /// A turn was granted. Its clock starts when its holder is told; see
    /// [`Scheduler::held`](crate::turn::Scheduler::held).
    Granted {
        /// The seat that holds it.
        seat: SeatId,
        /// Its number.
        turn: TurnNumber,
    },
    /// An answer counts. It is reported once, however often the client sends it.
    Accepted {
        /// The seat that answered.
        seat: SeatId,
        /// The turn.
        turn: TurnNumber,
        /// The answer; see [`TurnServer::answer`](super::TurnServer::answer).
        answer: AnswerId,
    },
    /// An answer was refused because it got no verdict: the host let the time pass, dropped the proposal or
    /// skipped the turn, or the server is stopping. If this ends the turn, [`Ended`](TurnEvent::Ended)
    /// follows.
    NotJudged {
        /// The seat that answered.
        seat: SeatId,
        /// The turn.
        turn: TurnNumber,
    },
    /// A turn ended without an answer.
    Ended {
        /// The seat that held it.
        seat: SeatId,
        /// The turn.
        turn: TurnNumber,
        /// How it ended.
        how: How,
    },
    /// Bytes were refused, and nothing else changed. A pass reports at most 4,096 of these;
    /// [`TurnServer::refused_as`](super::TurnServer::refused_as) counts all of them.
    Refused {
        /// The connection that sent them.
        connection: ConnectionId,
        /// The reason.
        code: Code,
    },
    /// A seat is gone: it was given up, removed, or away for too long. Its id is no longer valid.
    Retired {
        /// The seat.
        seat: SeatId,
        /// The name under which it was joined, or `raw-<seat>`.
        name: Box<str>,
    },
    /// An answer waits for the host's verdict; see [`TurnServer::rule`](super::TurnServer::rule).
    Proposed(Proposal),
    /// A client wants to join or watch a ring, and waits for the host; see
    /// [`TurnServer::admit`](super::TurnServer::admit).
    Joining(Box<Joining>),
}
