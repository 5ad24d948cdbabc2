//! The state of a client's turn: from `GO` to the host's answer and its status.

use super::{AnswerStatus, ClientId, News};
use crate::session::{Epoch, How};
use crate::time::Instant;
use crate::turn::TurnNumber;

/// A turn that a client has, for its host to answer: see [`News::Granted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ClientTurn {
    /// The client.
    pub client: ClientId,
    /// The life of the server, and the turn's number in it. A resource that is fenced by both refuses a
    /// client that comes too late. `None` in the raw framing, which sends neither.
    pub fence: Option<(Epoch, TurnNumber)>,
    /// The end of the turn unless it is answered, by this process's clock; `None` in the raw framing, which
    /// does not send it. It is slightly late, because the server counts from when it wrote `GO`. The server
    /// decides, so a turn may still be answered later.
    pub deadline: Option<Instant>,
    /// Tells turns of the raw framing apart.
    pub(super) nth: u64,
}

impl ClientTurn {
    /// Returns whether it is the same turn, whatever its deadline.
    fn is_same(&self, other: &ClientTurn) -> bool {
        (self.client, self.fence, self.nth) == (other.client, other.fence, other.nth)
    }

    pub(super) fn number(&self) -> Option<TurnNumber> {
        self.fence.map(|(_, turn)| turn)
    }
}

/// The turn of a client, which has at most one at a time.
#[derive(Debug, Default)]
pub(super) struct Hold {
    stage: Stage,
    /// Whether the server has said on this connection that the turn is held or judged. A turn of an earlier
    /// connection may be over.
    is_known_here: bool,
    /// The answer, while there is one. The buffer is reused.
    answer: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy)]
enum Stage {
    #[default]
    Idle,
    /// The host has been told about it.
    Held(ClientTurn),
    /// The host has answered. `is_sent`: the answer was sent, on this connection or an earlier one.
    Answered { turn: ClientTurn, is_sent: bool },
    /// The host has given it up. The server may not have been told yet.
    Passed(ClientTurn),
}

/// The action after a `GO`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Go {
    /// Only update the time: the host knows this turn.
    Known,
    /// Send the host's answer, possibly again: it answered while the turn was not known to be held.
    Answer,
    /// Send that the host has given the turn up, possibly again.
    Pass,
    /// Tell the host about the new turn, and about the end of the one before.
    New(Option<News>),
}

impl Hold {
    /// Handles the server's message that `turn` is this client's.
    pub(super) fn go(&mut self, turn: ClientTurn) -> Go {
        let was_known = std::mem::replace(&mut self.is_known_here, true);
        match &mut self.stage {
            Stage::Held(known) if known.is_same(&turn) => {
                *known = turn;
                Go::Known
            }
            Stage::Answered { turn: known, is_sent } if known.is_same(&turn) => {
                *known = turn;
                *is_sent = true;
                if was_known { Go::Known } else { Go::Answer }
            }
            Stage::Passed(known) if known.is_same(&turn) => {
                *known = turn;
                if was_known { Go::Known } else { Go::Pass }
            }
            _ => {
                let over = self.end(AnswerStatus::NotCounted, None);
                self.stage = Stage::Held(turn);
                Go::New(over)
            }
        }
    }

    /// Returns whether the host may answer `turn` or give it up.
    pub(super) fn is_open(&self, turn: &ClientTurn) -> bool {
        matches!(&self.stage, Stage::Held(known) if known.is_same(turn))
    }

    /// Returns the turn that the host has neither answered nor given up.
    pub(super) fn open_turn(&self) -> Option<ClientTurn> {
        match self.stage {
            Stage::Held(turn) => Some(turn),
            _ => None,
        }
    }

    /// Stores the host's answer to its turn. `can_send`: there is a connection. Returns whether to send the
    /// answer now.
    pub(super) fn set_answer(&mut self, answer: &[u8], can_send: bool) -> bool {
        let is_sent = can_send && self.is_known_here;
        if let Stage::Held(turn) = self.stage {
            self.answer.clear();
            self.answer.extend_from_slice(answer);
            self.stage = Stage::Answered { turn, is_sent };
        }
        is_sent
    }

    /// Gives up the turn. Returns whether to tell the server now.
    pub(super) fn pass(&mut self, can_send: bool) -> bool {
        if let Stage::Held(turn) = self.stage {
            self.stage = Stage::Passed(turn);
        }
        can_send && self.is_known_here
    }

    /// Returns the host's answer.
    pub(super) fn answer(&self) -> &[u8] {
        &self.answer
    }

    /// Returns the turn, at any stage.
    pub(super) fn turn(&self) -> Option<ClientTurn> {
        match self.stage {
            Stage::Idle => None,
            Stage::Held(turn) | Stage::Answered { turn, .. } | Stage::Passed(turn) => Some(turn),
        }
    }

    /// Returns whether the server has said on this connection that the turn is held.
    pub(super) fn is_known_here(&self) -> bool {
        self.is_known_here
    }

    /// Returns whether the turn has this number.
    pub(super) fn is(&self, number: u64) -> bool {
        self.turn().and_then(|turn| turn.number()).is_some_and(|turn| turn.get() == number)
    }

    /// Returns whether an answer was sent on this connection or is being judged, so that its own reply is
    /// still to come.
    pub(super) fn is_answered_here(&self) -> bool {
        self.is_known_here && matches!(self.stage, Stage::Answered { .. })
    }

    pub(super) fn is_passed(&self) -> bool {
        matches!(self.stage, Stage::Passed(_))
    }

    /// Ends turn `number`, whose answer the server has accepted.
    pub(super) fn accept(&mut self, number: Option<TurnNumber>) -> Option<ClientTurn> {
        match self.stage {
            Stage::Answered { turn, .. } if turn.number() == number => {
                self.stage = Stage::Idle;
                Some(turn)
            }
            _ => None,
        }
    }

    /// Notes that the server is judging the answer of turn `number`, and will send its status on this
    /// connection.
    pub(super) fn judge(&mut self, number: TurnNumber) {
        if let Stage::Answered { turn, .. } = self.stage
            && turn.number() == Some(number)
        {
            self.is_known_here = true;
        }
    }

    /// Notes that the turn was given up on this connection by a line other than `PASS`.
    pub(super) fn note_passed_here(&mut self) {
        self.is_known_here |= self.is_passed();
    }

    /// Gives the turn back to the host until `deadline`, because the answer or the `PASS` was refused.
    pub(super) fn reopen(&mut self, deadline: Option<Instant>) -> Option<ClientTurn> {
        let turn = ClientTurn { deadline, ..self.turn()? };
        self.stage = Stage::Held(turn);
        Some(turn)
    }

    /// Changes the end of the turn.
    pub(super) fn move_deadline(&mut self, deadline: Option<Instant>) {
        if let Stage::Held(turn) | Stage::Answered { turn, .. } | Stage::Passed(turn) = &mut self.stage {
            turn.deadline = deadline;
        }
    }

    /// Notes that the connection is lost.
    pub(super) fn disconnect(&mut self) {
        self.is_known_here = false;
    }

    /// Ends the turn of an earlier connection if neither `GO` nor `judging=` followed the resumption. Its
    /// answer did not count.
    pub(super) fn settle(&mut self) -> Option<News> {
        if self.is_known_here { None } else { self.end(AnswerStatus::NotCounted, None) }
    }

    /// Ends the turn for good. `status` is that of an answer that was sent; an answer that was not sent does
    /// not count.
    pub(super) fn end(&mut self, status: AnswerStatus, how: Option<How>) -> Option<News> {
        match std::mem::take(&mut self.stage) {
            Stage::Idle => None,
            Stage::Held(turn) => Some(News::Over { turn, how }),
            Stage::Passed(turn) => Some(News::Over { turn, how: how.or(Some(How::Passed)) }),
            Stage::Answered { turn, is_sent } => {
                let status = if is_sent { status } else { AnswerStatus::NotCounted };
                Some(News::Lost { turn, answer: std::mem::take(&mut self.answer).into_boxed_slice(), status })
            }
        }
    }
}
