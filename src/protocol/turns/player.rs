//! One client of a [`TurnClient`](super::TurnClient): where its numbers come from, and where it stands with the server.

use std::time::Duration;

use super::Framing;
use super::asked::{Asked, ClientTurn, Fate};
use super::name::Name;
use super::reply::{Epoch, Secret, Signals};
use super::request::Request;
use crate::protocol::{ConnectionId, Links};
use crate::time::{Alarm, Instant};
use crate::turn::TurnNumber;

/// A client of many.
pub(super) struct Player {
    pub(super) name: Name,
    pub(super) numbers: Numbers,
    pub(super) connection: Option<ConnectionId>,
    /// When the next number may be sent.
    pub(super) paced_until: Option<Instant>,
    pub(super) alarm: Alarm,
    pub(super) wire: Wire,
}

/// Where the numbers come from.
pub(super) enum Numbers {
    Counted { next: i64, step: i64, left: Option<u64> },
    Asked(Asked),
}

pub(super) enum Wire {
    Raw(RawWire),
    Line(LineWire),
}

#[derive(Default)]
pub(super) struct RawWire {
    pub(super) signals: Signals,
    /// That the server says other things was mentioned.
    pub(super) is_puzzled: bool,
    /// A `GO` that has not been answered.
    pub(super) has_turn: bool,
    /// Which one, of all that ever came.
    pub(super) nth: u64,
    /// The number is written once the link has written up to this mark.
    pub(super) queued: Option<u64>,
}

pub(super) struct LineWire {
    /// The server has answered the `JOIN`.
    pub(super) is_answered: bool,
    /// A `GO` that has not been answered.
    pub(super) turn: Option<TurnNumber>,
    /// For how long the server waits for the answer.
    pub(super) within: Duration,
    /// The turn for which the number was sent, while its fate is not known. Outlives the connection.
    pub(super) in_flight: Option<TurnNumber>,
    /// The server's life and the seat's secret in it. Outlive the connection.
    pub(super) seat: Option<(Epoch, Secret)>,
}

impl Player {
    pub(super) fn new(name: Name, numbers: Numbers, framing: Framing) -> Player {
        let wire = match framing {
            Framing::Raw => Wire::Raw(RawWire::default()),
            Framing::Line => Wire::Line(LineWire {
                is_answered: false,
                turn: None,
                within: Duration::ZERO,
                in_flight: None,
                seat: None,
            }),
        };
        Player { name, numbers, connection: None, paced_until: None, alarm: Alarm::default(), wire }
    }

    /// Whether it has been told `GO`, has not answered, and still can.
    pub(super) fn has_turn(&self, links: &Links) -> bool {
        let has_go = match &self.wire {
            Wire::Raw(raw) => raw.has_turn,
            Wire::Line(line) => line.turn.is_some(),
        };
        has_go && self.connection.is_some_and(|id| links.is_open(id))
    }

    /// The turn that it has, as the host hears of it. `index` is its own.
    pub(super) fn turn(&self, index: usize) -> Option<ClientTurn> {
        let (fence, within, nth) = match &self.wire {
            Wire::Raw(raw) => (None, None, raw.nth),
            // Who was not welcomed cannot have a turn.
            Wire::Line(line) => (Some((line.seat?.0, line.turn?)), Some(line.within), 0),
        };
        Some(ClientTurn { client: index, name: self.name, fence, within, nth })
    }

    /// That of the number that its host has given, if the connection is lost for good now.
    pub(super) fn fate(&self) -> Fate {
        let is_sent = match &self.wire {
            Wire::Raw(raw) => !raw.has_turn,
            Wire::Line(line) => line.in_flight.is_some(),
        };
        if is_sent { Fate::Unknown } else { Fate::Refused }
    }

    pub(super) fn give_up(&mut self, links: &mut Links) {
        let Some(id) = self.connection else { return };
        match &mut self.wire {
            Wire::Raw(_) => links.abort(id),
            Wire::Line(line) => {
                if let Some(turn) = line.turn.take() {
                    links.send_fmt(id, format_args!("{}\n", Request::Pass { fence: Some(Some(turn)) }));
                }
            }
        }
    }
}
