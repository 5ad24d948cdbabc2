//! What a server reports to its host, and counts.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::codes::Code;
use super::name::Name;
use super::{TurnCounts, TurnEvent};
use crate::protocol::ConnectionId;
use crate::turn::{SeatId, TurnNumber};

/// Events that the host has not taken yet, and running counts.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) counts: TurnCounts,
    events: VecDeque<TurnEvent>,
    /// Inputs refused, by the code told.
    refused: [u64; Code::ALL.len()],
    /// How many refusals were reported in this pass.
    reported: usize,
}

/// A line of two bytes can be refused: thousands of clients that say nothing else must not fill the memory with events of one pass.
pub(super) const REPORTED_MAX: usize = 4096;

impl Ledger {
    #[inline(always)]
    pub(super) fn report(&mut self, event: TurnEvent) {
        self.events.push_back(event);
    }

    /// A turn that was answered.
    #[inline]
    pub(super) fn accepted(&mut self, seat: SeatId, turn: TurnNumber, name: &Name, number: i64) {
        self.counts.accepted += 1;
        self.events.push_back(TurnEvent::Accepted { seat, turn, name: *name, number });
    }

    /// An input of `peer`'s that was refused with `code`.
    pub(super) fn refused(&mut self, connection: ConnectionId, peer: SocketAddr, code: Code) {
        self.counts.refused += 1;
        self.refused[code as usize] += 1;
        self.reported += 1;
        if self.reported <= REPORTED_MAX {
            self.report(TurnEvent::Refused { connection, peer, code });
        }
    }

    pub(super) fn refused_as(&self, code: Code) -> u64 {
        self.refused[code as usize]
    }

    /// As many refusals may be reported again.
    #[inline]
    pub(super) fn pass_ended(&mut self) {
        self.reported = 0;
    }

    #[inline]
    pub(super) fn next_event(&mut self) -> Option<TurnEvent> {
        self.events.pop_front()
    }
}
