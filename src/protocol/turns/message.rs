//! What is said on the wire: the raw signals and answers, and the lines of the line framing, both directions.
//!
//! This is the only file that knows how a message is written. Values in, text out, and back; who may say what when is the
//! server's and the client's.

use std::fmt;
use std::num::IntErrorKind;

use super::name::Name;
use crate::turn::{TurnNumber, Weight};

/// To the holder of the turn, in the raw framing.
pub const GO: &[u8] = b"GO";
/// To a client that begins to wait, in the raw framing.
pub const WAIT: &[u8] = b"WAIT";

/// The ring that a `JOIN` or `WATCH` without `ring=` means.
pub const DEFAULT_RING: &str = "main";

/// `{name}:{number}`: what the holder of a turn says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Who answers.
    pub name: Name,
    /// What.
    pub number: i64,
}

impl Answer {
    /// Whether a raw message is complete: it has a `:` with something behind it.
    #[must_use]
    pub fn is_complete(message: &[u8]) -> bool {
        memchr::memchr(b':', message).is_some_and(|colon| colon + 1 < message.len())
    }

    /// Reads a raw message.
    ///
    /// # Errors
    ///
    /// [`Code::Malformed`] or [`Code::BadNumber`].
    pub fn from_bytes(message: &[u8]) -> Result<Answer, Code> {
        Answer::parse(std::str::from_utf8(message).map_err(|_| Code::Malformed)?)
    }

    fn parse(text: &str) -> Result<Answer, Code> {
        let (name, number) = text.split_once(':').ok_or(Code::Malformed)?;
        let name = name.parse().map_err(|_| Code::Malformed)?;
        Ok(Answer { name, number: integer(number)? })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name.as_str(), self.number)
    }
}

/// Why something was refused: `NO turn=<n> <code> <words>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The line is none of the protocol's.
    Malformed,
    /// A number is out of range.
    BadNumber,
    /// The answer is for another turn than the current one, or another number for an accepted turn.
    StaleTurn,
    /// The seat does not hold the turn.
    NotYourTurn,
    /// The answer is under another name than the seat's.
    WrongName,
    /// It needs a seat, and the connection has none.
    NotJoined,
    /// The connection has a seat already, or observes.
    AlreadyJoined,
}

impl Code {
    /// Every code with its word on the wire and what it tells a person.
    const TABLE: &[(Code, &str, &str)] = &[
        (Code::Malformed, "malformed", "expected NAME:NUMBER, JOIN, PASS, LEAVE, WATCH or PING"),
        (Code::BadNumber, "bad-number", "a number is out of range"),
        (Code::StaleTurn, "stale-turn", "that turn is over or has not begun"),
        (Code::NotYourTurn, "not-your-turn", "wait for GO"),
        (Code::WrongName, "wrong-name", "answer under the name that you joined with"),
        (Code::NotJoined, "not-joined", "take a seat first: JOIN NAME"),
        (Code::AlreadyJoined, "already-joined", "this connection has a seat or observes"),
    ];

    /// The code on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Code::TABLE.iter().find(|row| row.0 == self).map_or("refused", |row| row.1)
    }

    fn words(self) -> &'static str {
        Code::TABLE.iter().find(|row| row.0 == self).map_or("", |row| row.2)
    }

    fn parse(word: &str) -> Option<Code> {
        Code::TABLE.iter().find(|row| row.1 == word).map(|row| row.0)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why the server closes a connection: `BYE <code> <words>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bye {
    /// The client gave its seat up.
    Left,
    /// Another client sits under that name.
    NameTaken,
    /// The secret is not that of a seat of this name, ring and epoch.
    BadSecret,
    /// The seat was resumed on another connection.
    Superseded,
    /// A line is longer than allowed.
    TooLong,
    /// A line is not UTF-8.
    NotUtf8,
    /// No valid JOIN or WATCH within the hello timeout.
    HelloTimeout,
    /// A line that was begun did not end in time.
    LineTimeout,
    /// As many clients, seats or rings as allowed.
    Full,
    /// The server stops.
    ShuttingDown,
}

impl Bye {
    const TABLE: &[(Bye, &str, &str)] = &[
        (Bye::Left, "left", "your seat is given up"),
        (Bye::NameTaken, "name-taken", "another client has a seat under that name"),
        (Bye::BadSecret, "bad-secret", "no seat with that name and secret; join without resume="),
        (Bye::Superseded, "superseded", "your seat was resumed on another connection"),
        (Bye::TooLong, "too-long", "a line is longer than allowed"),
        (Bye::NotUtf8, "not-utf8", "a line is not UTF-8"),
        (Bye::HelloTimeout, "hello-timeout", "no JOIN or WATCH came in time"),
        (Bye::LineTimeout, "line-timeout", "a line did not end in time"),
        (Bye::Full, "full", "there is no room; try again later"),
        (Bye::ShuttingDown, "shutting-down", "the server stops"),
    ];

    /// The code on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Bye::TABLE.iter().find(|row| row.0 == self).map_or("closed", |row| row.1)
    }

    fn words(self) -> &'static str {
        Bye::TABLE.iter().find(|row| row.0 == self).map_or("", |row| row.2)
    }

    fn parse(word: &str) -> Option<Bye> {
        Bye::TABLE.iter().find(|row| row.1 == word).map(|row| row.0)
    }
}

impl fmt::Display for Bye {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The 128 random bits that let a client have its seat back.
#[derive(Clone, Copy)]
pub struct Secret(pub(super) [u8; 16]);

impl Secret {
    /// Compares in constant time.
    pub(super) fn matches(&self, other: &Secret) -> bool {
        subtle::ConstantTimeEq::ct_eq(&self.0[..], &other.0[..]).into()
    }

    fn parse(text: &str) -> Option<Secret> {
        let valid = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let value = u128::from_str_radix(text, 16).ok().filter(|_| valid)?;
        Some(Secret(value.to_be_bytes()))
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Tells one life of a server from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A line from a client.
#[derive(Debug, Clone, Copy)]
pub enum Request {
    /// Take a seat.
    Join {
        /// Under which name.
        name: Name,
        /// In which ring.
        ring: Name,
        /// The secret of a seat to have back; `Some(None)` if it cannot be one.
        resume: Option<Option<Secret>>,
        /// How many turns for every one of a weight-1 seat.
        weight: Weight,
    },
    /// A number, fenced or not.
    Answer {
        /// The answer.
        answer: Answer,
        /// The turn that it means.
        fence: Option<Fence>,
    },
    /// Give the turn up.
    Pass {
        /// The turn that it means.
        fence: Option<Fence>,
    },
    /// Give the seat up.
    Leave,
    /// Observe.
    Watch {
        /// Which ring.
        ring: Name,
    },
    /// Asks for `PONG`.
    Ping,
}

/// A `turn=` that was given; `None` inside for 0, which is no turn's number.
pub type Fence = Option<TurnNumber>;

impl Request {
    /// Reads a line.
    ///
    /// # Errors
    ///
    /// [`Code::Malformed`] or [`Code::BadNumber`].
    pub fn parse(line: &str) -> Result<Request, Code> {
        let (first, rest) = line.split_once(' ').map_or((line, None), |(first, rest)| (first, Some(rest)));
        if first.contains(':') {
            let fence = fence(Fields(rest))?;
            return Ok(Request::Answer { answer: Answer::parse(first)?, fence });
        }
        match first {
            "JOIN" => {
                let (name, rest) = split_field(rest.ok_or(Code::Malformed)?);
                join(word(name)?, Fields(rest))
            }
            "PASS" => Ok(Request::Pass { fence: fence(Fields(rest))? }),
            "LEAVE" => Fields(rest).check().map(|()| Request::Leave),
            "PING" => Fields(rest).check().map(|()| Request::Ping),
            "WATCH" => {
                let mut ring = DEFAULT_RING;
                Fields(rest).each(|key, value| {
                    if key == "ring" {
                        ring = value;
                    }
                    Ok(())
                })?;
                Ok(Request::Watch { ring: word(ring)? })
            }
            _ => Err(Code::Malformed),
        }
    }

    /// The turn that a line which cannot be read, or may not be said, means by its `turn=`.
    #[must_use]
    pub fn turn_meant(line: &str) -> Option<u64> {
        line.split(' ').find_map(|field| field.strip_prefix("turn="))?.parse().ok()
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let turn = |fence: &Option<Fence>| fence.map(|fence| fence.map_or(0, TurnNumber::get));
        match self {
            Request::Join { name, ring, resume, weight } => {
                write!(f, "JOIN {} ring={}", name.as_str(), ring.as_str())?;
                if let Some(Some(secret)) = resume {
                    write!(f, " resume={secret}")?;
                }
                if *weight != Weight::ONE {
                    write!(f, " weight={}", weight.value())?;
                }
                Ok(())
            }
            Request::Answer { answer, fence } => match turn(fence) {
                Some(turn) => write!(f, "{answer} turn={turn}"),
                None => write!(f, "{answer}"),
            },
            Request::Pass { fence } => match turn(fence) {
                Some(turn) => write!(f, "PASS turn={turn}"),
                None => f.write_str("PASS"),
            },
            Request::Leave => f.write_str("LEAVE"),
            Request::Watch { ring } => write!(f, "WATCH ring={}", ring.as_str()),
            Request::Ping => f.write_str("PING"),
        }
    }
}

/// A line from the server.
#[derive(Debug, Clone, Copy)]
pub enum Reply {
    /// Seated.
    Welcome {
        /// The seat's number in its ring.
        seat: u64,
        /// The ring.
        ring: Name,
        /// The server's life.
        epoch: Epoch,
        /// What to have the seat back with.
        resume: Secret,
        /// The last turn that this seat has had accepted; 0 if none.
        last: u64,
        /// Its number; 0 if none.
        number: i64,
    },
    /// Waiting.
    Wait {
        /// The seats before this one.
        ahead: usize,
    },
    /// The turn is yours.
    Go {
        /// Its number.
        turn: TurnNumber,
        /// For how long, in milliseconds.
        within: u64,
    },
    /// Accepted.
    Ok {
        /// Which turn.
        turn: TurnNumber,
    },
    /// Refused.
    No {
        /// The turn that was meant; 0 for none.
        turn: u64,
        /// Why.
        code: Code,
    },
    /// The deadline passed.
    Lapsed {
        /// Of which turn.
        turn: TurnNumber,
    },
    /// To observers: a turn was answered.
    Turn {
        /// Which.
        turn: TurnNumber,
        /// With what.
        answer: Answer,
    },
    /// To observers: a turn ended without a number.
    Skip {
        /// Which.
        turn: TurnNumber,
        /// Whose.
        name: Name,
        /// How.
        how: Skipped,
    },
    /// To a new observer.
    Watching {
        /// The ring.
        ring: Name,
        /// The server's life.
        epoch: Epoch,
        /// The last turn granted.
        turn: u64,
    },
    /// To `PING`.
    Pong,
    /// The connection is about to be closed.
    Bye(
        /// Why.
        Bye,
    ),
}

/// How a turn ended without a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// Given up.
    Passed,
    /// Past its deadline.
    Lapsed,
    /// The connection was lost or the seat given up.
    Gone,
}

impl Skipped {
    const TABLE: &[(Skipped, &str)] =
        &[(Skipped::Passed, "passed"), (Skipped::Lapsed, "lapsed"), (Skipped::Gone, "gone")];
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Skipped::TABLE.iter().find(|row| row.0 == *self).map_or("", |row| row.1))
    }
}

impl Reply {
    /// Reads a line; `None` if it is none of the protocol's, or of a later version.
    #[must_use]
    pub fn parse(line: &str) -> Option<Reply> {
        let (first, rest) = split_field(line);
        let fields = rest.unwrap_or("");
        let field =
            |key: &str| fields.split(' ').find_map(|field| field.strip_prefix(key)?.strip_prefix('='));
        let turn = || TurnNumber::new(field("turn")?.parse().ok()?);
        let epoch = || u64::from_str_radix(field("epoch")?, 16).ok().map(Epoch);
        let ring = || field("ring")?.parse().ok();
        let nth = |n| fields.split(' ').nth(n);
        Some(match first {
            "WELCOME" => Reply::Welcome {
                seat: field("seat")?.parse().ok()?,
                ring: ring()?,
                epoch: epoch()?,
                resume: Secret::parse(field("resume")?)?,
                last: field("last")?.parse().ok()?,
                number: field("number")?.parse().ok()?,
            },
            "WAIT" => Reply::Wait { ahead: field("ahead")?.parse().ok()? },
            "GO" => Reply::Go { turn: turn()?, within: field("within")?.parse().ok()? },
            "OK" => Reply::Ok { turn: turn()? },
            "NO" => Reply::No { turn: field("turn")?.parse().ok()?, code: Code::parse(nth(1)?)? },
            "LAPSED" => Reply::Lapsed { turn: turn()? },
            "TURN" => Reply::Turn { turn: turn()?, answer: Answer::parse(nth(1)?).ok()? },
            "SKIP" => Reply::Skip {
                turn: turn()?,
                name: nth(1)?.parse().ok()?,
                how: Skipped::TABLE.iter().find(|row| Some(row.1) == nth(2))?.0,
            },
            "WATCHING" => {
                Reply::Watching { ring: ring()?, epoch: epoch()?, turn: field("turn")?.parse().ok()? }
            }
            "PONG" => Reply::Pong,
            "BYE" => Reply::Bye(Bye::parse(nth(0)?)?),
            _ => return None,
        })
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Welcome { seat, ring, epoch, resume, last, number } => {
                let ring = ring.as_str();
                write!(
                    f,
                    "WELCOME seat={seat} ring={ring} epoch={epoch} resume={resume} last={last} number={number}"
                )
            }
            Reply::Wait { ahead } => write!(f, "WAIT ahead={ahead}"),
            Reply::Go { turn, within } => write!(f, "GO turn={turn} within={within}"),
            Reply::Ok { turn } => write!(f, "OK turn={turn}"),
            Reply::No { turn, code } => write!(f, "NO turn={turn} {code} {}", code.words()),
            Reply::Lapsed { turn } => write!(f, "LAPSED turn={turn}"),
            Reply::Turn { turn, answer } => write!(f, "TURN turn={turn} {answer}"),
            Reply::Skip { turn, name, how } => write!(f, "SKIP turn={turn} {} {how}", name.as_str()),
            Reply::Watching { ring, epoch, turn } => {
                write!(f, "WATCHING ring={} epoch={epoch} turn={turn}", ring.as_str())
            }
            Reply::Pong => f.write_str("PONG"),
            Reply::Bye(bye) => write!(f, "BYE {bye} {}", bye.words()),
        }
    }
}

/// The `key=value` fields behind the first words of a line, one space before each.
struct Fields<'a>(Option<&'a str>);

impl<'a> Fields<'a> {
    fn each(self, mut take: impl FnMut(&'a str, &'a str) -> Result<(), Code>) -> Result<(), Code> {
        let Some(rest) = self.0 else { return Ok(()) };
        rest.split(' ').try_for_each(|field| {
            let (key, value) = field.split_once('=').ok_or(Code::Malformed)?;
            take(key, value)
        })
    }

    fn check(self) -> Result<(), Code> {
        self.each(|_, _| Ok(()))
    }
}

fn join(name: Name, fields: Fields<'_>) -> Result<Request, Code> {
    let (mut ring, mut resume, mut weight) = (DEFAULT_RING, None, Weight::ONE);
    fields.each(|key, value| {
        match key {
            "ring" => ring = value,
            "resume" => resume = Some(Secret::parse(value)),
            "weight" => {
                let value = u8::try_from(integer(value)?).map_err(|_| Code::BadNumber)?;
                weight = Weight::new(value).ok_or(Code::BadNumber)?;
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(Request::Join { name, ring: word(ring)?, resume, weight })
}

fn fence(fields: Fields<'_>) -> Result<Option<Fence>, Code> {
    let mut fence = None;
    fields.each(|key, value| {
        if key == "turn" {
            let number: u64 =
                value.parse().map_err(|error: std::num::ParseIntError| code_of(error.kind()))?;
            fence = Some(TurnNumber::new(number));
        }
        Ok(())
    })?;
    Ok(fence)
}

fn split_field(text: &str) -> (&str, Option<&str>) {
    text.split_once(' ').map_or((text, None), |(first, rest)| (first, Some(rest)))
}

fn word(text: &str) -> Result<Name, Code> {
    text.parse().ok().filter(Name::is_word).ok_or(Code::Malformed)
}

fn integer(text: &str) -> Result<i64, Code> {
    text.parse().map_err(|error: std::num::ParseIntError| code_of(error.kind()))
}

fn code_of(kind: &IntErrorKind) -> Code {
    match kind {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => Code::BadNumber,
        _ => Code::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_strictly() {
        let ok = |text: &str, number| {
            let answer = Answer::from_bytes(text.as_bytes()).expect("valid");
            assert_eq!((answer.to_string(), answer.number), (text.to_owned(), number));
        };
        ok("Client1:1", 1);
        ok("two words:-9223372036854775808", i64::MIN);
        for (bad, code) in [
            (&b"Client1"[..], Code::Malformed),
            (b":1", Code::Malformed),
            (b"a:", Code::Malformed),
            (b"a:1:2", Code::Malformed),
            (b"a: 1", Code::Malformed),
            (b"a:0x1", Code::Malformed),
            (b"a\x1b[2J:1", Code::Malformed),
            (b"a\xff:1", Code::Malformed),
            (b"a:9223372036854775808", Code::BadNumber),
        ] {
            assert_eq!(Answer::from_bytes(bad), Err(code), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn a_raw_message_is_complete_with_something_behind_its_colon() {
        assert!(Answer::is_complete(b"a:1"));
        for open in [&b"a"[..], b"a:", b"", b"abc"] {
            assert!(!Answer::is_complete(open));
        }
    }

    #[test]
    fn requests_survive_being_written_and_read() {
        for line in [
            "JOIN ann ring=main",
            "JOIN ann ring=lab resume=000102030405060708090a0b0c0d0e0f weight=100",
            "ann:5",
            "ann:-5 turn=7",
            "PASS",
            "PASS turn=3",
            "LEAVE",
            "WATCH ring=main",
            "PING",
        ] {
            assert_eq!(Request::parse(line).expect(line).to_string(), line);
        }
        assert!(Request::parse("JOIN ann colour=red").is_ok(), "unknown fields are ignored");
        assert!(Request::parse("PING x=").is_ok());
    }

    #[test]
    fn malformed_requests_have_a_code() {
        for line in [
            "",
            " ",
            "JOIN",
            "JOIN ",
            "JOIN a b",
            "JOIN  a",
            "join a",
            "PASS 3",
            "PASS turn=x",
            "a:1 x",
            "WATCH main",
            "a b:1",
            "JOIN a weight=x",
            "JOIN a ring=",
            "PING ",
            "a:1 turn=-1",
        ] {
            assert_eq!(Request::parse(line).err(), Some(Code::Malformed), "{line:?}");
        }
        for line in [
            "JOIN a weight=0",
            "JOIN a weight=101",
            "JOIN a weight=-1",
            "a:99999999999999999999",
            "a:1 turn=99999999999999999999",
        ] {
            assert_eq!(Request::parse(line).err(), Some(Code::BadNumber), "{line:?}");
        }
    }

    #[test]
    fn replies_survive_being_written_and_read() {
        for line in [
            "WELCOME seat=3 ring=main epoch=00000000000000ff resume=000102030405060708090a0b0c0d0e0f last=7 number=-1",
            "WAIT ahead=2",
            "GO turn=8 within=30000",
            "OK turn=8",
            "LAPSED turn=9",
            "TURN turn=8 ann:5",
            "SKIP turn=9 bob lapsed",
            "WATCHING ring=main epoch=00000000000000ff turn=9",
            "PONG",
        ] {
            assert_eq!(Reply::parse(line).expect(line).to_string(), line);
        }
        for &(code, ..) in Code::TABLE {
            let line = Reply::No { turn: 0, code }.to_string();
            assert_eq!(Reply::parse(&line).expect("known").to_string(), line);
        }
        for &(bye, ..) in Bye::TABLE {
            let line = Reply::Bye(bye).to_string();
            assert_eq!(Reply::parse(&line).expect("known").to_string(), line);
        }
        assert!(Reply::parse("NEWS from=tomorrow").is_none());
    }
}
