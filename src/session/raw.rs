//! A connection that speaks the raw framing: no delimiters, and clients that compare one `recv` with `==`.
//!
//! TCP may put two signals into one `recv`, and such a client understands neither. So `GO` is held back for a
//! while after `WAIT` (T5), and at most one `GO` is unanswered on a connection (T11).

use super::{FirstWord, RawName};
use crate::time::{Alarm, Instant};
use crate::turn::SeatId;

/// To the holder of the turn, in the raw framing.
pub const GO: &[u8] = b"GO";
/// To a client that begins to wait, in the raw framing.
pub const WAIT: &[u8] = b"WAIT";

/// One connection that speaks the raw framing. As small as possible: thousands of them wait.
#[derive(Debug)]
pub(crate) struct RawSession {
    pub(crate) seat: SeatId,
    pub(crate) signal: Signal,
    /// Malformed or refused answers in a row.
    pub(crate) strikes: u8,
    pub(crate) trial: Trial,
    /// The first word of bytes that were not an answer, until its first answer.
    pub(crate) first_word: FirstWord,
    /// State that most clients do not need most of the time.
    pub(crate) extras: Option<Box<Extras>>,
}

/// The state of the `GO` of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// It was told `WAIT` less than `signal_gap` ago: no `GO` may follow yet.
    Gap,
    /// Likewise, and it holds the turn: `GO` follows when the gap is over.
    HeldBack,
    /// It has answered every `GO`, or never had one.
    Quiet,
    /// A `GO` is on its way or unanswered; it is written when nothing is queued for this connection any more.
    Open,
    /// It answered too late: [`Extras::late`] counts in its seat's next turn.
    Answered,
}

/// The evidence that a connection belongs to a raw client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trial {
    /// It has answered, or only raw clients come here.
    Proven,
    /// It was silent, and has not answered yet. It may still begin with a line.
    Silent,
    /// Likewise, and it let its first `GO` lapse: it rests and does not count until it sends something.
    Resting,
}

/// State of a message that takes more than one readiness, or came late.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// Bytes of a message that is not complete; the engine keeps them.
    pub(crate) left: usize,
    /// The end of the gather time of an incomplete message.
    pub(crate) gather_until: Option<Instant>,
    /// The message that is being gathered began before its `GO` was written.
    pub(crate) is_early: bool,
    /// While [`Signal::Answered`]: the whole message.
    pub(crate) late: Option<Box<[u8]>>,
    pub(crate) alarm: Alarm,
}

impl Extras {
    pub(crate) fn is_idle(&self) -> bool {
        self.late.is_none() && self.left == 0
    }
}

impl RawSession {
    pub(crate) fn new(seat: SeatId, trial: Trial) -> RawSession {
        let first_word = FirstWord::default();
        RawSession { seat, signal: Signal::Quiet, strikes: 0, trial, first_word, extras: None }
    }

    pub(crate) fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }
}

/// The answer of a raw client: `{name}:{number}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawAnswer<'a> {
    pub(crate) name: RawName,
    /// The number as it was written.
    pub(crate) number: &'a [u8],
}

impl<'a> RawAnswer<'a> {
    /// Returns whether a message is complete: it has a `:` with something after it.
    pub(crate) fn is_complete(message: &[u8]) -> bool {
        message.iter().position(|&byte| byte == b':').is_some_and(|colon| colon + 1 < message.len())
    }

    /// Reads a message; `None` if it is malformed.
    pub(crate) fn read(message: &'a [u8]) -> Option<RawAnswer<'a>> {
        let colon = message.iter().rposition(|&byte| byte == b':')?;
        let (name, number) = (&message[..colon], &message[colon + 1..]);
        let is_number = std::str::from_utf8(number).is_ok_and(|number| number.parse::<i64>().is_ok());
        Some(RawAnswer { name: RawName::from_bytes(name).ok()?, number }).filter(|_| is_number)
    }

    /// Returns whether a message is `name:` and a few digits, which need no full parse.
    #[inline(always)]
    pub(crate) fn is_again(message: &[u8], name: &RawName) -> bool {
        let name = name.as_bytes();
        let Some((head, [b':', digits @ ..])) = message.split_at_checked(name.len()) else { return false };
        let are_few = matches!(digits.len(), 1..=FEW_DIGITS);
        // A loop, because most names are too short for a call that compares them.
        let ((eights, rest), (others, other_rest)) = (head.as_chunks::<8>(), name.as_chunks::<8>());
        let is_same =
            eights.iter().zip(others).all(|(a, b)| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b))
                && rest.iter().zip(other_rest).all(|(a, b)| a == b);
        is_same && are_few && digits.iter().all(u8::is_ascii_digit)
    }
}

/// A number with this many digits cannot overflow.
const FEW_DIGITS: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_strictly() {
        for (good, name, number) in [
            ("Client1:1", "Client1", "1"),
            ("two words:-9223372036854775808", "two words", "-9223372036854775808"),
            ("a:+5", "a", "+5"),
            ("a:9223372036854775807", "a", "9223372036854775807"),
        ] {
            let answer = RawAnswer::read(good.as_bytes()).expect(good);
            assert_eq!((answer.name.as_str(), answer.number), (name, number.as_bytes()));
        }
        let bad: [&[u8]; 10] = [
            b"Client1",
            b":1",
            b"a:",
            b"a:1:2",
            b"a: 1",
            b"a:0x1",
            b"a\x1b[2J:1",
            b"a\xff:1",
            b"a:9223372036854775808",
            b"a:\xff",
        ];
        for bad in bad {
            assert_eq!(RawAnswer::read(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn another_plain_answer_under_a_known_name_is_one_as_well() {
        let again = |message: &str, name: &str| {
            let is_again = RawAnswer::is_again(message.as_bytes(), &name.parse().expect("valid"));
            assert!(!is_again || RawAnswer::read(message.as_bytes()).is_some(), "{message}");
            is_again
        };
        assert!(again("a:1", "a") && again("two words:0017", "two words") && again("a:999999999999999", "a"));
        for other in ["", "1", "a", "a:", ":1", "ab:1", "b:1", "a:-1", "a:1 ", "a:1\n", "a:1b", "a:b", "a::1"]
        {
            assert!(!again(other, "a"), "{other:?}");
        }
        assert!(!again("a:1000000000000000", "a"), "one digit more than is read here");
    }

    #[test]
    fn a_message_is_complete_with_something_after_its_colon() {
        assert!(RawAnswer::is_complete(b"a:1"));
        for open in [&b"a"[..], b"a:", b"", b"abc"] {
            assert!(!RawAnswer::is_complete(open));
        }
    }
}
