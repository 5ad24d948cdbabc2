//! Events of a turn server, for its host.

use super::Joining;
use super::ledger::AnswerId;
use super::proposal::Proposal;
use crate::protocol::ConnectionId;
use crate::session::{Code, How};
use crate::turn::{SeatId, TurnNumber};

/// An event of a [`TurnServer`](super::TurnServer). It carries ids: the server keeps what they name.
// The tag is as wide as the data behind it, so that a copy has no padding. Variants that need a drop come
// last, so that one comparison finds them.
#[derive(Debug)]
#[non_exhaustive]
#[repr(u64)]
pub enum TurnEvent {
    /// A client got a seat: a new one, one that was away, or one from another connection.
    Seated {
        /// The seat.
        seat: SeatId,
        /// The client's connection.
        connection: ConnectionId,
    },
    /// The connection of a seat is lost. Its place is kept for the grace.
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
    /// An answer counts. It is reported once, however often its client sends it.
    Accepted {
        /// The seat that answered.
        seat: SeatId,
        /// The turn.
        turn: TurnNumber,
        /// The answer; see [`TurnServer::answer`](super::TurnServer::answer).
        answer: AnswerId,
    },
    /// An answer is refused because there was no verdict: the host let the time pass, dropped the proposal or
    /// skipped the turn, or the server stops. If this ends the turn, [`Ended`](TurnEvent::Ended) follows.
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
    /// Bytes were refused, and nothing else has changed. A pass reports at most 4,096 of these;
    /// [`TurnServer::refused_as`](super::TurnServer::refused_as) counts all.
    Refused {
        /// The connection that they came from.
        connection: ConnectionId,
        /// The reason.
        code: Code,
    },
    /// A seat is gone: given up, removed, or away for too long. Its id means nothing from now on.
    Retired {
        /// The seat.
        seat: SeatId,
        /// Its name: the one that it was joined under, or `raw-<seat>`.
        name: Box<str>,
    },
    /// An answer waits for the host's verdict; see [`TurnServer::rule`](super::TurnServer::rule).
    Proposed(Proposal),
    /// A client wants to join or watch a ring, and waits for the host; see
    /// [`TurnServer::admit`](super::TurnServer::admit).
    Joining(Box<Joining>),
}
