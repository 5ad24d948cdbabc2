//! Messages of the server: `write` has their text, `read` reads it.

mod read;
mod write;

use super::codes::{Bye, Code, How};
use super::credential::{Epoch, Secret};
use crate::turn::TurnNumber;

/// A message from the server.
///
/// A name in a message that was read is a word, but not necessarily a [`Name`](super::Name): escape it before
/// printing it.
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
        /// The secret for resuming the seat.
        resume: Secret,
        /// The last turn of this seat whose answer was accepted; `None` if none was.
        last: Option<TurnNumber>,
        /// The turn whose answer is being judged.
        judging: Option<TurnNumber>,
    },
    /// The connection gets the events of a ring.
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
        /// Its state.
        state: ReportedState,
        /// Its weight; `None` for 1.
        weight: Option<u8>,
    },
    /// To a new hearer, after the seats.
    Seats {
        /// The ring.
        ring: &'a str,
        /// How many seats it has, including those that were not listed.
        seats: usize,
    },
    /// The seat begins to wait.
    Wait {
        /// How many seats come before it, the holder included.
        ahead: usize,
        /// How many more seats the ring needs to continue; `None` if it needs none.
        needs: Option<usize>,
    },
    /// The client has the turn, or still has it.
    Go {
        /// Its number.
        turn: TurnNumber,
        /// The time that is left, in milliseconds.
        within: u64,
        /// The turn whose answer this confirms as well.
        last: Option<TurnNumber>,
    },
    /// The request counts.
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
        /// The turn that the line named, or else the turn that is held.
        turn: Option<u64>,
        /// The time that is left of a turn that is still held, in milliseconds.
        within: Option<u64>,
        /// The reason for a person; if there is none, the words of the code are written.
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
        /// The name that a raw client wrote; it is left out if it is not a [`Name`](super::Name).
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
    /// To hearers and the holder: the ring continues.
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
        /// The reason for a person; if there is none, the words of the code are written.
        words: Option<&'a str>,
    },
}

/// The state of a seat, as hearers of its ring are told it. The scheduler's own is
/// [`SeatState`](crate::turn::SeatState), which also says until when a seat is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReportedState {
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

impl ReportedState {
    /// All of them.
    pub const ALL: &[ReportedState] = &[
        ReportedState::Waiting,
        ReportedState::Resting,
        ReportedState::Holding,
        ReportedState::Judged,
        ReportedState::Away,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ReportedState::Waiting => "waiting",
            ReportedState::Resting => "resting",
            ReportedState::Holding => "holding",
            ReportedState::Judged => "judged",
            ReportedState::Away => "away",
        }
    }

    fn parse(word: &str) -> Option<ReportedState> {
        ReportedState::ALL.iter().copied().find(|state| state.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: &Reply<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        reply.encode(&mut out);
        out
    }

    #[test]
    fn replies_survive_being_written_and_read() {
        for line in [
            "WELCOME ann seat=3 ring=main epoch=00000000000000ff resume=000102030405060708090a0b0c0d0e0f",
            "WELCOME J\u{f6}rg seat=3 ring=x epoch=00000000000000ff resume=000102030405060708090a0b0c0d0e0f last=7 judging=8",
            "WATCHING main epoch=00000000000000ff",
            "WATCHING main epoch=00000000000000ff turn=9",
            "SEAT raw-1 seat=1 state=holding",
            "SEAT ann seat=2 state=away weight=100",
            "SEATS main seats=2",
            "WAIT ahead=2",
            "WAIT ahead=0 needs=1",
            "GO turn=8 within=30000",
            "GO turn=18446744073709551615 within=0 last=7",
            "OK",
            "OK turn=8",
            "OK turn=8 :well done",
            "OK :",
            "NO refused turn=8 within=12 :not legal",
            "NO malformed :this line",
            "LAPSED turn=9",
            "LAPSED turn=9 how=skipped",
            "SAY :hello  there",
            "BEGIN ann turn=9 within=30000",
            "TURN ann turn=9 :e2e4",
            "TURN raw-1 turn=9 as=Client1 :5",
            "SKIP bob turn=9 how=passed",
            "JOINED bob seat=4",
            "AWAY bob",
            "BACK bob",
            "LEFT bob",
            "PAUSED main",
            "RESUMED main",
            "PONG",
            "BYE moved at=[::1]:5001 :elsewhere",
            "BYE left :goodbye",
        ] {
            let reply = Reply::parse(line, None).expect(line);
            assert_eq!(String::from_utf8(written(&reply)).expect("UTF-8"), format!("{line}\n"));
        }
    }

    #[test]
    fn codes_have_words_of_their_own() {
        for &code in Code::ALL {
            let line = written(&Reply::No { code, turn: None, within: None, words: None });
            assert_eq!(line, format!("NO {code} :{}\n", code.words()).as_bytes());
        }
        for &code in Bye::ALL {
            let line = written(&Reply::Bye { code, at: None, words: None });
            assert_eq!(line, format!("BYE {code} :{}\n", code.words()).as_bytes());
        }
    }

    #[test]
    fn content_of_any_bytes_is_read_from_a_payload() {
        let say = Reply::Say { content: b"a\n\xff" };
        assert_eq!(written(&say), b"SAY bytes=3\na\n\xff\n");
        assert_eq!(Reply::parse("SAY bytes=3", Some(b"a\n\xff")), Some(say));
        let turn = TurnNumber::new(3).expect("not 0");
        let answer = Reply::Turn { name: "raw-1", turn, raw_name: Some("two words"), content: b"" };
        assert_eq!(written(&answer), b"TURN raw-1 turn=3 :\n", "that is not a name");
    }

    #[test]
    fn text_that_would_break_a_bye_is_left_out_or_escaped() {
        let long = "x".repeat(2000);
        for at in [long.as_str(), "a b", "a\nb", ""] {
            let bye = Reply::Bye { code: Bye::Moved, at: Some(at), words: Some("a\nb") };
            assert_eq!(written(&bye), b"BYE moved :a\\nb\n");
        }
    }

    #[test]
    fn messages_that_no_server_sends_are_not_read() {
        for line in [
            "",
            "NEWS from=tomorrow",
            "WELCOME ann",
            "WAIT",
            "WAIT ahead=x",
            "GO turn=0 within=1",
            "GO turn=1",
            "GO x turn=1 within=1",
            "GO turn=1 within=1 :text",
            "GO turn=1 within=1 bytes=1",
            "GO turn=1 within=1 last=0",
            "OK ann",
            "NO",
            "NO unheard-of",
            "SAY",
            "SAY ann :x",
            "SEAT ann seat=1 state=lost",
            "SEAT ann seat=1 state=away weight=256",
            "TURN ann turn=1",
            "TURN turn=1 :x",
            "SKIP bob turn=1 how=lost",
            "LAPSED turn=9 how=lost",
            "AWAY",
            "PONG :x",
            "BYE",
            "BYE unheard-of",
            "pong",
        ] {
            assert_eq!(Reply::parse(line, None), None, "{line:?}");
        }
        assert_eq!(Reply::parse("SAY :x", Some(b"y")), None);
        assert_eq!(Reply::parse("OK bytes=1", Some(b"y")), None);
    }
}
