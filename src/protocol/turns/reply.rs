//! What the server says: the two signals of the raw framing, and the lines of the line framing.

use std::fmt;
use std::str::FromStr;

use super::codes::{Bye, Code, Skipped};
use super::name::Name;
use super::request::Answer;
use crate::turn::TurnNumber;

/// To the holder of the turn, in the raw framing.
pub const GO: &[u8] = b"GO";
/// To a client that begins to wait, in the raw framing.
pub const WAIT: &[u8] = b"WAIT";

/// Takes the raw signals apart, which come without delimiters and may be split or run together: `WAITWAITGO`.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// How much of the signal that has begun has come.
    matched: usize,
    begun: Option<Signal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Go,
    Wait,
}

impl Signal {
    const ALL: [(Signal, &[u8]); 2] = [(Signal::Go, GO), (Signal::Wait, WAIT)];

    fn bytes(self) -> &'static [u8] {
        match self {
            Signal::Go => GO,
            Signal::Wait => WAIT,
        }
    }
}

impl Signals {
    /// Takes one byte; the signal that it completes. What belongs to no signal is skipped.
    pub(super) fn push(&mut self, byte: u8) -> Option<Signal> {
        let begun = self.begun.filter(|signal| signal.bytes()[self.matched] == byte);
        let Some(signal) = begun else {
            self.begun =
                Signal::ALL.into_iter().find(|(_, bytes)| bytes[0] == byte).map(|(signal, _)| signal);
            self.matched = 1;
            return None;
        };
        self.matched += 1;
        if self.matched == signal.bytes().len() {
            self.begun = None;
            return Some(signal);
        }
        None
    }
}

/// The text is neither a [`Secret`] nor an [`Epoch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidHex {
    digits: usize,
}

impl fmt::Display for InvalidHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} hexadecimal digits", self.digits)
    }
}

impl std::error::Error for InvalidHex {}

/// The 128 random bits that let a client have its seat back. Displayed it is as on the wire, 32 hexadecimal digits, and so it is read back by a
/// client that has kept it on disk.
#[derive(Clone, Copy)]
pub struct Secret(pub(super) [u8; 16]);

/// In constant time.
impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        subtle::ConstantTimeEq::ct_eq(&self.0[..], &other.0[..]).into()
    }
}

impl Eq for Secret {}

impl FromStr for Secret {
    type Err = InvalidHex;

    fn from_str(text: &str) -> Result<Secret, InvalidHex> {
        let value = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32 && is_hex(text));
        value.map(|value| Secret(value.to_be_bytes())).ok_or(InvalidHex { digits: 32 })
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
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

/// Tells one life of a server from another. It is random: of two there is no earlier one.
///
/// Together with a [`TurnNumber`] it is what a resource that clients act on is fenced by, and displayed it is as on the wire, 16 hexadecimal
/// digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Epoch {
    type Err = InvalidHex;

    fn from_str(text: &str) -> Result<Epoch, InvalidHex> {
        // Leading zeros may be missing.
        let value = u64::from_str_radix(text, 16).ok().filter(|_| is_hex(text));
        value.map(Epoch).ok_or(InvalidHex { digits: 16 })
    }
}

/// A line from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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

impl Reply {
    /// Reads a line; `None` if it is none of the protocol's, or of a later version.
    #[must_use]
    pub fn parse(line: &str) -> Option<Reply> {
        let (first, fields) = line.split_once(' ').unwrap_or((line, ""));
        let field =
            |key: &str| fields.split(' ').find_map(|field| field.strip_prefix(key)?.strip_prefix('='));
        let turn = || TurnNumber::new(field("turn")?.parse().ok()?);
        let epoch = || field("epoch")?.parse().ok();
        let ring = || field("ring")?.parse().ok();
        let nth = |n| fields.split(' ').nth(n);
        Some(match first {
            "WELCOME" => Reply::Welcome {
                seat: field("seat")?.parse().ok()?,
                ring: ring()?,
                epoch: epoch()?,
                resume: field("resume")?.parse().ok()?,
                last: field("last")?.parse().ok()?,
                number: field("number")?.parse().ok()?,
            },
            "WAIT" => Reply::Wait { ahead: field("ahead")?.parse().ok()? },
            "GO" => Reply::Go { turn: turn()?, within: field("within")?.parse().ok()? },
            "OK" => Reply::Ok { turn: turn()? },
            "NO" => Reply::No { turn: field("turn")?.parse().ok()?, code: Code::parse(nth(1)?)? },
            "LAPSED" => Reply::Lapsed { turn: turn()? },
            "TURN" => Reply::Turn { turn: turn()?, answer: Answer::from_bytes(nth(1)?.as_bytes()).ok()? },
            "SKIP" => {
                Reply::Skip { turn: turn()?, name: nth(1)?.parse().ok()?, how: Skipped::parse(nth(2)?)? }
            }
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

#[cfg(test)]
mod tests {
    use super::*;

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
            let reply = Reply::parse(line).expect(line);
            assert_eq!((reply.to_string().as_str(), reply), (line, reply));
        }
        for &code in Code::ALL {
            let line = Reply::No { turn: 0, code }.to_string();
            assert_eq!(Reply::parse(&line).expect("known").to_string(), line);
        }
        for &bye in Bye::ALL {
            let line = Reply::Bye(bye).to_string();
            assert_eq!(Reply::parse(&line).expect("known").to_string(), line);
        }
        assert!(Reply::parse("NEWS from=tomorrow").is_none());
    }

    #[test]
    fn a_secret_is_32_hexadecimal_digits_an_epoch_16_and_a_secret_is_never_shown_by_chance() {
        let text = "000102030405060708090a0b0c0d0e0f";
        let secret: Secret = text.parse().expect("a secret");
        assert_ne!(secret, Secret([7; 16]));
        assert_eq!((text[..16].parse(), "ff".parse()), (Ok(Epoch(0x0001_0203_0405_0607)), Ok(Epoch(255))));
        for bad in ["", "+1", "fg", text] {
            assert_eq!(bad.parse::<Epoch>(), Err(InvalidHex { digits: 16 }));
        }
        assert_eq!((secret.to_string().as_str(), format!("{secret:?}").as_str()), (text, "Secret"));
        for bad in
            ["", "ff", &text[1..], &format!("+{}", &text[1..]), &format!("0{text}"), &text.replace('f', "g")]
        {
            let error = bad.parse::<Secret>().expect_err(bad);
            assert_eq!(error.to_string(), "expected 32 hexadecimal digits");
        }
    }

    fn signals(chunks: &[&[u8]]) -> Vec<Signal> {
        let mut signals = Signals::default();
        chunks.iter().flat_map(|chunk| chunk.iter()).filter_map(|&byte| signals.push(byte)).collect()
    }

    #[test]
    fn signals_run_together_and_split() {
        let (go, wait) = (Signal::Go, Signal::Wait);
        assert_eq!(signals(&[b"WAITWAITGO"]), [wait, wait, go]);
        assert_eq!(signals(&[b"WA", b"ITG", b"", b"O"]), [wait, go]);
        assert_eq!(signals(&[b"?WAWAITxGGO\r\nGO"]), [wait, go, go]);
    }
}
