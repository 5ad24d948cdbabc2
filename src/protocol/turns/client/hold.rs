//! Where a client stands with its turn: between a `GO`, the host's answer, and what became of that.

use super::{ClientId, Fate, News};
use crate::session::{Epoch, How};
use crate::time::Instant;
use crate::turn::TurnNumber;

/// A turn that a client has, for its host to answer: see [`News::Granted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ClientTurn {
    /// The client.
    pub client: ClientId,
    /// The server's life and the turn's number in it. A resource that is fenced by both refuses a client that
    /// comes too late. `None` in the raw framing, which says neither.
    pub fence: Option<(Epoch, TurnNumber)>,
    /// When the turn ends unless it is answered, by this process's clock; `None` in the raw framing, which
    /// does not say. It is somewhat late: the server counts from when it wrote `GO`. It decides, so a turn
    /// may be answered after it.
    pub deadline: Option<Instant>,
    /// Tells turns of the raw framing apart.
    pub(super) nth: u64,
}

impl ClientTurn {
    /// Whether it is the same turn, whenever that ends.
    fn is_same(&self, other: &ClientTurn) -> bool {
        (self.client, self.fence, self.nth) == (other.client, other.fence, other.nth)
    }

    pub(super) fn number(&self) -> Option<TurnNumber> {
        self.fence.map(|(_, turn)| turn)
    }
}

/// The turn of one client, at most one at a time.
#[derive(Debug, Default)]
pub(super) struct Hold {
    stage: Stage,
    /// The server has said on this connection that the turn is held, or judged. A turn of an earlier
    /// connection may be over.
    is_known_here: bool,
    /// The answer, while there is one. Its room is used again.
    answer: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy)]
enum Stage {
    #[default]
    Idle,
    /// The host has been told.
    Held(ClientTurn),
    /// The host has answered. `is_sent`: on this connection or an earlier one.
    Answered { turn: ClientTurn, is_sent: bool },
    /// The host has given it up. The server may not have heard of that.
    Passed(ClientTurn),
}

/// The consequence of a `GO`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Go {
    /// The host knows this turn; only its time changes.
    Known,
    /// The host has answered this turn while it was not known to be held: its answer is to be sent, perhaps
    /// again.
    Answer,
    /// The host has given it up already: that is to be said, perhaps again.
    Pass,
    /// The host has to be told; and what had been open before is over.
    New(Option<News>),
}

impl Hold {
    /// The server says that `turn` is this client's.
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
                let over = self.end(Fate::Refused, None);
                self.stage = Stage::Held(turn);
                Go::New(over)
            }
        }
    }

    /// Whether the host may answer `turn`, or give it up.
    pub(super) fn is_open(&self, turn: &ClientTurn) -> bool {
        matches!(&self.stage, Stage::Held(known) if known.is_same(turn))
    }

    /// The turn that the host has neither answered nor given up.
    pub(super) fn open_turn(&self) -> Option<ClientTurn> {
        match self.stage {
            Stage::Held(turn) => Some(turn),
            _ => None,
        }
    }

    /// The host answers the turn that it has. `can_send`: the connection is there. Returns whether the answer
    /// is to be sent now.
    pub(super) fn set_answer(&mut self, answer: &[u8], can_send: bool) -> bool {
        let is_sent = can_send && self.is_known_here;
        if let Stage::Held(turn) = self.stage {
            self.answer.clear();
            self.answer.extend_from_slice(answer);
            self.stage = Stage::Answered { turn, is_sent };
        }
        is_sent
    }

    /// The host gives up the turn that it has. Returns whether that is to be said now.
    pub(super) fn pass(&mut self, can_send: bool) -> bool {
        if let Stage::Held(turn) = self.stage {
            self.stage = Stage::Passed(turn);
        }
        can_send && self.is_known_here
    }

    /// The answer of the host.
    pub(super) fn answer(&self) -> &[u8] {
        &self.answer
    }

    /// The turn, however far it is.
    pub(super) fn turn(&self) -> Option<ClientTurn> {
        match self.stage {
            Stage::Idle => None,
            Stage::Held(turn) | Stage::Answered { turn, .. } | Stage::Passed(turn) => Some(turn),
        }
    }

    /// Whether the server has said on this connection that the turn is held.
    pub(super) fn is_known_here(&self) -> bool {
        self.is_known_here
    }

    /// Whether that is the turn numbered `number`.
    pub(super) fn is(&self, number: u64) -> bool {
        self.turn().and_then(|turn| turn.number()).is_some_and(|turn| turn.get() == number)
    }

    /// Whether an answer was sent on this connection, or is judged: its own reply is still to come.
    pub(super) fn is_answered_here(&self) -> bool {
        self.is_known_here && matches!(self.stage, Stage::Answered { .. })
    }

    pub(super) fn is_passed(&self) -> bool {
        matches!(self.stage, Stage::Passed(_))
    }

    /// The server said that it has accepted the answer of turn `number`.
    pub(super) fn accept(&mut self, number: Option<TurnNumber>) -> Option<ClientTurn> {
        match self.stage {
            Stage::Answered { turn, .. } if turn.number() == number => {
                self.stage = Stage::Idle;
                Some(turn)
            }
            _ => None,
        }
    }

    /// The server is judging the answer of turn `number`: what becomes of it is said on this connection.
    pub(super) fn judge(&mut self, number: TurnNumber) {
        if let Stage::Answered { turn, .. } = self.stage
            && turn.number() == Some(number)
        {
            self.is_known_here = true;
        }
    }

    /// A turn that was given up has been given up on this connection by another word than `PASS`.
    pub(super) fn note_passed_here(&mut self) {
        self.is_known_here |= self.is_passed();
    }

    /// The answer, or the wish to give the turn up, was refused: the host has the turn as before, until
    /// `deadline`.
    pub(super) fn reopen(&mut self, deadline: Option<Instant>) -> Option<ClientTurn> {
        let turn = ClientTurn { deadline, ..self.turn()? };
        self.stage = Stage::Held(turn);
        Some(turn)
    }

    /// The turn ends at another time.
    pub(super) fn move_deadline(&mut self, deadline: Option<Instant>) {
        if let Stage::Held(turn) | Stage::Answered { turn, .. } | Stage::Passed(turn) = &mut self.stage {
            turn.deadline = deadline;
        }
    }

    /// The connection is lost.
    pub(super) fn disconnect(&mut self) {
        self.is_known_here = false;
    }

    /// Neither `GO` nor `judging=` has come behind a resumption: the turn of the earlier connection is over,
    /// and its answer did not count.
    pub(super) fn settle(&mut self) -> Option<News> {
        if self.is_known_here { None } else { self.end(Fate::Refused, None) }
    }

    /// The turn is over for good. `fate` is that of an answer that was sent; one that was not, does not
    /// count.
    pub(super) fn end(&mut self, fate: Fate, how: Option<How>) -> Option<News> {
        match std::mem::take(&mut self.stage) {
            Stage::Idle => None,
            Stage::Held(turn) => Some(News::Over { turn, how }),
            Stage::Passed(turn) => Some(News::Over { turn, how: how.or(Some(How::Passed)) }),
            Stage::Answered { turn, is_sent } => {
                let fate = if is_sent { fate } else { Fate::Refused };
                Some(News::Lost { turn, answer: std::mem::take(&mut self.answer).into_boxed_slice(), fate })
            }
        }
    }
}
