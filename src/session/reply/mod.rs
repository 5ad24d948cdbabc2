//! Messages of the server: `write` has their text, `read` reads it.

mod read;
mod write;

use super::codes::{Bye, Code, How};
use super::credential::{Epoch, Secret};
use crate::turn::TurnNumber;

/// A message from the server.
///
/// A name in a message that was read is a word, but perhaps no [`Name`](super::Name): escape it before it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply<'a> {
    /// Seated.
    Welcome {
        /// The name of the seat.
        name: &'a str,
        /// The number of the seat in its ring.
        seat: u64,
        /// The ring.
        ring: &'a str,
        /// The life of the server.
        epoch: Epoch,
        /// The secret to have the seat back with.
        resume: Secret,
        /// The last turn of this seat whose answer was accepted; `None` if none was.
        last: Option<TurnNumber>,
        /// The turn whose answer is being judged.
        judging: Option<TurnNumber>,
    },
    /// The connection hears what happens in a ring.
    Watching {
        /// The ring.
        ring: &'a str,
        /// The life of the server.
        epoch: Epoch,
        /// The last turn that was granted; `None` if none was.
        turn: Option<TurnNumber>,
    },
    /// To a new hearer: one seat of the ring.
    Seat {
        /// Its name.
        name: &'a str,
        /// Its number.
        seat: u64,
        /// What it does.
        state: SeatState,
        /// Its weight; `None` for 1.
        weight: Option<u8>,
    },
    /// To a new hearer, behind the seats.
    Seats {
        /// The ring.
        ring: &'a str,
        /// How many seats it has, those that were not told included.
        seats: usize,
    },
    /// The seat begins to wait.
    Wait {
        /// How many seats come before it, the holder included.
        ahead: usize,
        /// How many more seats have to come before the ring goes on; `None` if it does.
        needs: Option<usize>,
    },
    /// The turn is the client's, or goes on.
    Go {
        /// Its number.
        turn: TurnNumber,
        /// The time that is left, in milliseconds.
        within: u64,
        /// The turn whose answer this confirms as well.
        last: Option<TurnNumber>,
    },
    /// It counts.
    Ok {
        /// The turn, if it was about one.
        turn: Option<TurnNumber>,
        /// The words of the host.
        words: Option<&'a str>,
    },
    /// Refused; nothing has changed.
    No {
        /// The reason.
        code: Code,
        /// The turn that the line named, else the one that is held.
        turn: Option<u64>,
        /// The time that is left of a turn that is still held, in milliseconds.
        within: Option<u64>,
        /// The reason for a person; written without them, those of the code.
        words: Option<&'a str>,
    },
    /// The turn is over without an answer.
    Lapsed {
        /// Its number.
        turn: TurnNumber,
        /// How it ended, if not by its deadline.
        how: Option<How>,
    },
    /// The words of the host.
    Say {
        /// Any bytes.
        content: &'a [u8],
    },
    /// To hearers: a turn began.
    Begin {
        /// The name of its holder.
        name: &'a str,
        /// Its number.
        turn: TurnNumber,
        /// Its time, in milliseconds.
        within: u64,
    },
    /// To hearers: a turn was answered.
    Turn {
        /// The name of its holder.
        name: &'a str,
        /// Its number.
        turn: TurnNumber,
        /// The name that a raw client wrote; it is left out where it is no [`Name`](super::Name).
        raw_name: Option<&'a str>,
        /// The answer.
        content: &'a [u8],
    },
    /// To hearers: a turn ended without an answer.
    Skip {
        /// The name of its holder.
        name: &'a str,
        /// Its number.
        turn: TurnNumber,
        /// How it ended.
        how: How,
    },
    /// To hearers: a seat was taken.
    Joined {
        /// Its name.
        name: &'a str,
        /// Its number.
        seat: u64,
    },
    /// To hearers: the connection of a seat is lost, its place is kept.
    Away {
        /// Its name.
        name: &'a str,
    },
    /// To hearers: a seat that was away is back.
    Back {
        /// Its name.
        name: &'a str,
    },
    /// To hearers: a seat was given up.
    Left {
        /// Its name.
        name: &'a str,
    },
    /// To hearers and the holder: the host stopped the ring and its clock.
    Paused {
        /// The ring.
        ring: &'a str,
    },
    /// To hearers and the holder: the ring goes on.
    Resumed {
        /// The ring.
        ring: &'a str,
    },
    /// To `PING`.
    Pong,
    /// The last message of a connection.
    Bye {
        /// The reason.
        code: Bye,
        /// Where to go instead, as `host:port`.
        at: Option<&'a str>,
        /// The reason for a person; written without them, those of the code.
        words: Option<&'a str>,
    },
}

/// What a seat does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SeatState {
    /// It will get the turn.
    Waiting,
    /// It does not want the turn now.
    Resting,
    /// It has the turn.
    Holding,
    /// It has the turn, and its answer is being judged.
    Judged,
    /// Its connection is lost.
    Away,
}

impl SeatState {
    /// All of them.
    pub const ALL: &[SeatState] =
        &[SeatState::Waiting, SeatState::Resting, SeatState::Holding, SeatState::Judged, SeatState::Away];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            SeatState::Waiting => "waiting",
            SeatState::Resting => "resting",
            SeatState::Holding => "holding",
            SeatState::Judged => "judged",
            SeatState::Away => "away",
        }
    }

    fn parse(word: &str) -> Option<SeatState> {
        SeatState::ALL.iter().copied().find(|state| state.as_str() == word)
    }
}
