//! What clients say: answers in both framings, and the lines of the line framing. Text in, values out, and back.

use std::fmt;
use std::num::IntErrorKind;

use super::codes::Code;
use super::name::Name;
use super::reply::Secret;
use crate::turn::{TurnNumber, Weight};

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
        message.iter().position(|&byte| byte == b':').is_some_and(|colon| colon + 1 < message.len())
    }

    /// Reads a raw message.
    ///
    /// # Errors
    ///
    /// [`Code::Malformed`] or [`Code::BadNumber`].
    pub fn from_bytes(message: &[u8]) -> Result<Answer, Code> {
        let (name, number) = Answer::parts(message).ok_or(Code::Malformed)?;
        let name = Name::from_bytes(name).map_err(|_| Code::Malformed)?;
        Ok(Answer { name, number: integer(number)? })
    }

    /// The number in a raw message that reads `name:` and a few digits, and nothing else: what need not be read as if nothing were known
    /// of it.
    #[inline]
    pub(super) fn again(message: &[u8], name: &Name) -> Option<i64> {
        let digits = message.strip_prefix(name.as_bytes())?.strip_prefix(b":")?;
        if digits.is_empty() || digits.len() > FEW_DIGITS {
            return None;
        }
        let mut number = 0;
        for digit in digits {
            match digit {
                b'0'..=b'9' => number = 10 * number + i64::from(digit - b'0'),
                _ => return None,
            }
        }
        Some(number)
    }

    fn parts(message: &[u8]) -> Option<(&[u8], &[u8])> {
        let colon = colon_of(message)?;
        Some((&message[..colon], &message[colon + 1..]))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name.as_str(), self.number)
    }
}

/// A line from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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
        let (first, rest) = split_field(line);
        if colon_of(first.as_bytes()).is_some() {
            let fence = fence(Fields(rest))?;
            return Ok(Request::Answer { answer: Answer::from_bytes(first.as_bytes())?, fence });
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
            "resume" => resume = Some(value.parse().ok()),
            "weight" => {
                let value = u8::try_from(integer(value.as_bytes())?).map_err(|_| Code::BadNumber)?;
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

/// So many overflow nothing.
const FEW_DIGITS: usize = 15;

/// From the end, since numbers are short; neither a name nor a number has another one. A loop, since answers are too short for a
/// search by vectors to gain anything.
fn colon_of(message: &[u8]) -> Option<usize> {
    message.iter().rposition(|&byte| byte == b':')
}

fn split_field(text: &str) -> (&str, Option<&str>) {
    match text.bytes().position(|byte| byte == b' ') {
        Some(space) => (&text[..space], Some(&text[space + 1..])),
        None => (text, None),
    }
}

fn word(text: &str) -> Result<Name, Code> {
    text.parse().ok().filter(Name::is_word).ok_or(Code::Malformed)
}

fn integer(text: &[u8]) -> Result<i64, Code> {
    // A few digits are nearly all that is ever said, and need no checks for UTF-8 and overflow: no 16 bytes overflow, digits or not.
    if (1..=16).contains(&text.len()) {
        let digits = text.iter().map(|byte| byte.wrapping_sub(b'0'));
        let (number, is_number) =
            digits.fold((0, true), |(number, ok), digit| (number * 10 + i64::from(digit), ok & (digit < 10)));
        if is_number {
            return Ok(number);
        }
    }
    let text = std::str::from_utf8(text).map_err(|_| Code::Malformed)?;
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
        ok("a:9999999999999999", 9_999_999_999_999_999);
        ok("a:9223372036854775807", i64::MAX);
        for bytes in [[0xff; 16], [b'/'; 16], [b':'; 16]] {
            assert_eq!(integer(&bytes), Err(Code::Malformed));
        }
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
    fn another_plain_answer_under_a_known_name_is_read_as_any_other() {
        let again = |message: &[u8], name: &str| Answer::again(message, &name.parse().expect("valid"));
        for (message, name, number) in [
            ("a:1", "a", 1),
            ("two words:0017", "two words", 17),
            ("a:999999999999999", "a", 999_999_999_999_999),
        ] {
            assert_eq!(again(message.as_bytes(), name), Some(number));
            let answer = Answer { name: name.parse().expect("valid"), number };
            assert_eq!(Answer::from_bytes(message.as_bytes()), Ok(answer));
        }
        for other in ["", "1", "a", "a:", ":1", "ab:1", "b:1", "a:-1", "a:1 ", "a:1\n", "a:1b", "a:b", "a::1"]
        {
            assert_eq!(again(other.as_bytes(), "a"), None, "{other:?}");
        }
        assert_eq!(again(b"a:1000000000000000", "a"), None, "one digit more than is read here");
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
}
