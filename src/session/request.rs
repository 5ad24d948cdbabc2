//! Lines of clients: text to values, and back.

use std::fmt;

use super::codes::Code;
use super::credential::{Epoch, Token};
use super::fields::{Key, Malformed, Message, TooLarge, decimal, decimal_prefix, is_plain, is_text};
use super::name::Name;
use super::put::{put_content, put_hex, put_number};
use crate::turn::Demand;

/// The ring of a `JOIN` or `WATCH` without `ring=`.
pub const DEFAULT_RING: &str = "main";

/// A line from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request<'a> {
    /// Takes a seat, or resumes one.
    Join(Join<'a>),
    /// The answer of the turn's holder.
    Answer {
        /// The turn that it is for.
        fence: Fence,
        /// The answer.
        content: Content<'a>,
    },
    /// Gives up the turn.
    Pass {
        /// The turn; the one that is held if none is named.
        turn: Option<u64>,
    },
    /// Starts the deadline of the turn again.
    Renew {
        /// The turn; the one that is held if none is named.
        turn: Option<u64>,
    },
    /// Asks for the turn, from a resting seat.
    Ask,
    /// Gives up waiting for the turn.
    Rest,
    /// Gives up the seat, or stops watching.
    Leave,
    /// Hears the events of a ring without a seat.
    Watch {
        /// The ring.
        ring: Name,
        /// The credential of the client.
        token: Option<Token<'a>>,
    },
    /// Asks for `PONG`.
    Ping,
}

/// The contents of a `JOIN`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Join<'a> {
    /// The name of the seat.
    pub name: Name,
    /// The ring; [`DEFAULT_RING`] if the line names none.
    pub ring: Name,
    /// The secret of the seat to resume, as written. It may be invalid.
    pub resume: Option<&'a str>,
    /// The turns that it wants for each turn of a weight-1 seat; not checked.
    pub weight: Option<u64>,
    /// When it wants the turn.
    pub demand: Option<Demand>,
    /// Whether it wants to hear the events of the ring.
    pub hears: bool,
    /// Whether the next `GO` may confirm its answers, in place of an `OK`.
    pub confirms_by_go: bool,
    /// The credential of the client.
    pub token: Option<Token<'a>>,
}

/// Without the secret.
impl fmt::Debug for Join<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join")
            .field("name", &self.name)
            .field("ring", &self.ring)
            .field("resumes", &self.resume.is_some())
            .field("weight", &self.weight)
            .field("demand", &self.demand)
            .field("hears", &self.hears)
            .field("confirms_by_go", &self.confirms_by_go)
            .field("token", &self.token)
            .finish()
    }
}

/// The turn that an answer is meant for: one turn of one life of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Fence {
    /// Its number; any number, even 0, which no turn has.
    pub turn: Option<u64>,
    /// The life of the server.
    pub epoch: Option<Epoch>,
}

/// The bytes of an answer, or how many of them follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content<'a> {
    /// They stand on the line.
    Text(&'a str),
    /// They are the payload, of this size in bytes.
    Payload(usize),
}

/// A line that is not a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable {
    /// [`Code::Malformed`] or [`Code::OutOfRange`].
    pub code: Code,
    /// The reason, for a person. It repeats nothing of the line.
    pub why: &'static str,
    /// The turn that the line names, if that much can be read.
    pub turn: Option<u64>,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.why)
    }
}

impl std::error::Error for Unreadable {}

/// A code and the reason for a person.
type Refusal = (Code, &'static str);

const fn malformed(why: &'static str) -> Refusal {
    (Code::Malformed, why)
}

impl From<Malformed> for Refusal {
    fn from(Malformed(why): Malformed) -> Refusal {
        malformed(why)
    }
}

impl<'a> Request<'a> {
    /// Reads a line without its end.
    ///
    /// # Errors
    ///
    /// Returns [`Unreadable`] if the line is no request. A payload that it announces has to be skipped then.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::protocol::turns::{Code, Request};
    ///
    /// assert_eq!(Request::parse("ASK"), Ok(Request::Ask));
    /// assert_eq!(Request::parse("DANCE").map_err(|error| error.code), Err(Code::Malformed));
    /// ```
    #[inline]
    pub fn parse(line: &'a str) -> Result<Request<'a>, Unreadable> {
        if let Some(answer) = plain_answer(line) {
            return Ok(answer);
        }
        read(line).map_err(|refusal| {
            let (code, why) = explained(line, refusal);
            Unreadable { code, why, turn: Request::turn_named(line) }
        })
    }

    /// Reads an answer as programs write it, if it is all of `input`: `ANSWER turn=7 epoch=`, the digits of
    /// the server's own `epoch`, ` :`, printable ASCII, LF. Anything else is `None`, and is left to
    /// `split_line` and [`parse`](Self::parse).
    #[inline]
    pub(crate) fn whole_answer<'i>(input: &'i [u8], epoch: &[u8; 16]) -> Option<(u64, &'i [u8])> {
        let rest = input.strip_suffix(b"\n")?.strip_prefix(b"ANSWER turn=")?;
        let (turn, rest) = decimal_prefix(rest)?;
        let (key, rest) = rest.split_first_chunk::<7>()?;
        let (digits, rest) = rest.split_first_chunk::<16>()?;
        let (colon, text) = rest.split_first_chunk::<2>()?;
        let is_one = key == b" epoch=" && digits == epoch && colon == b" :" && is_plain(text);
        is_one.then_some((turn, text))
    }

    /// Returns the turn that a line names, even if the rest of the line cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::turns::Request;
    /// assert_eq!(Request::turn_named("ANSWER turn=7 colour :e2 e4"), Some(7));
    /// ```
    #[must_use]
    pub fn turn_named(line: &str) -> Option<u64> {
        let mut turns = head_of(line).split(' ').filter_map(|field| field.strip_prefix("turn="));
        // A line that names two names neither.
        let (Some(turn), None) = (turns.next(), turns.next()) else { return None };
        decimal(turn)?.ok()
    }

    /// Writes the line and its end. A payload that it announces must be written after it, followed by LF.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::turns::Request;
    /// let mut out = Vec::new();
    /// Request::Pass { turn: None }.encode(&mut out);
    /// assert_eq!(out, b"PASS\n");
    /// ```
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Request::Join(ref join) => join.put(out),
            Request::Answer { fence, content } => return put_answer(out, fence, content),
            Request::Pass { turn } => put_turn(out, b"PASS", turn),
            Request::Renew { turn } => put_turn(out, b"RENEW", turn),
            Request::Ask => out.extend_from_slice(b"ASK"),
            Request::Rest => out.extend_from_slice(b"REST"),
            Request::Leave => out.extend_from_slice(b"LEAVE"),
            Request::Watch { ring, token } => {
                out.extend_from_slice(b"WATCH ring=");
                out.extend_from_slice(ring.as_bytes());
                put_token(out, token);
            }
            Request::Ping => out.extend_from_slice(b"PING"),
        }
        out.extend_from_slice(b"\n");
    }

    /// Writes an answer of any bytes: as text on the line if possible, otherwise as a payload.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::protocol::turns::{Fence, Request};
    ///
    /// let (mut short, mut long) = (Vec::new(), Vec::new());
    /// Request::encode_answer(&mut short, Fence::default(), b"e2 e4");
    /// assert_eq!(short, b"ANSWER :e2 e4\n");
    /// Request::encode_answer(&mut long, Fence::default(), b"two\nlines");
    /// assert_eq!(long, b"ANSWER bytes=9\ntwo\nlines\n");
    /// ```
    pub fn encode_answer(out: &mut Vec<u8>, fence: Fence, answer: &[u8]) {
        let start = out.len();
        put_fence(out, fence);
        put_content(out, start, answer);
    }
}

/// Reads an answer as programs write it, with exactly `turn=`, `epoch=` and a text, in a quarter of the
/// instructions of [`read`].
#[inline]
fn plain_answer(line: &str) -> Option<Request<'_>> {
    let rest = line.as_bytes().strip_prefix(b"ANSWER turn=")?;
    let (turn, rest) = decimal_prefix(rest)?;
    let rest = rest.strip_prefix(b" epoch=")?;
    let (epoch, rest) = rest.split_first_chunk::<16>()?;
    let epoch = Epoch::from_hex(epoch)?;
    let text = line.get(line.len() - rest.strip_prefix(b" :")?.len()..)?;
    let fence = Fence { turn: Some(turn), epoch: Some(epoch) };
    is_text(text).then_some(Request::Answer { fence, content: Content::Text(text) })
}

/// The verbs of clients.
#[derive(Clone, Copy, PartialEq)]
enum Verb {
    Join,
    Answer,
    Pass,
    Renew,
    Ask,
    Rest,
    Leave,
    Watch,
    Ping,
}

impl Verb {
    fn parse(verb: &str) -> Result<Verb, Refusal> {
        Ok(match verb {
            "JOIN" => Verb::Join,
            "ANSWER" => Verb::Answer,
            "PASS" => Verb::Pass,
            "RENEW" => Verb::Renew,
            "ASK" => Verb::Ask,
            "REST" => Verb::Rest,
            "LEAVE" => Verb::Leave,
            "WATCH" => Verb::Watch,
            "PING" => Verb::Ping,
            _ => return Err(malformed("unknown verb")),
        })
    }

    /// Checks that a word and content occur where the verb allows them, and nowhere else.
    fn check_shape(self, message: &Message<'_>) -> Result<(), Refusal> {
        let has_content = message.text.is_some() || message.value(Key::Bytes).is_some();
        match (self, message.word.is_some(), has_content) {
            (Verb::Join, false, _) => Err(malformed("JOIN needs a name, as in JOIN ann")),
            (Verb::Answer, false, true) | (Verb::Join, true, false) => Ok(()),
            (Verb::Answer, ..) => Err(malformed(NEEDS_COLON)),
            (_, _, true) => Err(malformed("only ANSWER has a text or a payload")),
            (_, true, false) => Err(malformed("only JOIN has a name; what follows other verbs is key=value")),
            (_, false, false) => Ok(()),
        }
    }
}

#[inline(never)]
fn read(line: &str) -> Result<Request<'_>, Refusal> {
    let mut message = Message::default();
    message.read(line)?;
    let message = &message;
    let verb = Verb::parse(message.verb)?;
    verb.check_shape(message)?;
    let turn = || number(message, Key::Turn, "turn= is not a number");
    Ok(match verb {
        Verb::Join => Request::Join(join(message)?),
        Verb::Answer => Request::Answer {
            fence: Fence { turn: turn()?, epoch: epoch(message)? },
            content: content(message)?,
        },
        Verb::Pass => Request::Pass { turn: turn()? },
        Verb::Renew => Request::Renew { turn: turn()? },
        Verb::Ask => Request::Ask,
        Verb::Rest => Request::Rest,
        Verb::Leave => Request::Leave,
        Verb::Watch => Request::Watch { ring: ring(message)?, token: token(message)? },
        Verb::Ping => Request::Ping,
    })
}

const NEEDS_COLON: &str = "the text of an answer begins with \":\", as in ANSWER :e2e4";

/// The part of a line before its text.
fn head_of(line: &str) -> &str {
    line.split_once(" :").map_or(line, |(head, _)| head)
}

/// Replaces the reason by a better one if the line is a common mistake of people: an answer without its
/// colon, or a name with a space in it. The grammar knows no verb, so it can only say that a field is
/// malformed.
#[cold]
fn explained(line: &str, refusal: Refusal) -> Refusal {
    let head = head_of(line);
    let mut parts = head.split(' ');
    let verb = parts.next().unwrap_or_default();
    let is_word = |part: &str| !part.is_empty() && !part.contains('=');
    match verb {
        "ANSWER" => {
            let has_content = head.len() < line.len() || parts.clone().any(|part| part.starts_with("bytes="));
            if has_content && !parts.any(is_word) { refusal } else { malformed(NEEDS_COLON) }
        }
        "JOIN" if parts.next().is_some_and(is_word) && parts.any(is_word) => {
            malformed("a name has no spaces; what follows it is key=value")
        }
        _ if verb.starts_with("ANSWER:") => malformed(NEEDS_COLON),
        _ => refusal,
    }
}

fn join<'a>(message: &Message<'a>) -> Result<Join<'a>, Refusal> {
    let name: Name = message.word.unwrap_or_default().parse().map_err(|_| malformed("not a name"))?;
    let number_of_raw = name.as_bytes().strip_prefix(b"raw-").filter(|digits| !digits.is_empty());
    if number_of_raw.is_some_and(|digits| digits.iter().all(u8::is_ascii_digit)) {
        return Err(malformed("names like raw-1 are for raw clients"));
    }
    let demand = match message.value(Key::Demand) {
        None => None,
        Some("always") => Some(Demand::Always),
        Some("ask") => Some(Demand::Ask),
        Some(_) => return Err(malformed("demand= is always or ask")),
    };
    if message.value(Key::Hear).is_some_and(|hear| hear != "turns") {
        return Err(malformed("hear= is turns"));
    }
    if message.value(Key::Confirm).is_some_and(|confirm| confirm != "go") {
        return Err(malformed("confirm= is go"));
    }
    Ok(Join {
        name,
        ring: ring(message)?,
        resume: message.value(Key::Resume),
        weight: number(message, Key::Weight, "weight= is not a number")?,
        demand,
        hears: message.value(Key::Hear).is_some(),
        confirms_by_go: message.value(Key::Confirm).is_some(),
        token: token(message)?,
    })
}

fn ring(message: &Message<'_>) -> Result<Name, Refusal> {
    message.value(Key::Ring).unwrap_or(DEFAULT_RING).parse().map_err(|_| malformed("ring= is not a name"))
}

fn token<'a>(message: &Message<'a>) -> Result<Option<Token<'a>>, Refusal> {
    message
        .value(Key::Token)
        .map(|token| Token::new(token).ok_or(malformed("token= is not a value")))
        .transpose()
}

fn epoch(message: &Message<'_>) -> Result<Option<Epoch>, Refusal> {
    let epoch = message.value(Key::Epoch).map(str::parse).transpose();
    epoch.map_err(|_| malformed("epoch= is not 1 to 16 hexadecimal digits"))
}

fn content<'a>(message: &Message<'a>) -> Result<Content<'a>, Refusal> {
    if let Some(text) = message.text {
        return Ok(Content::Text(text));
    }
    let bytes = number(message, Key::Bytes, "bytes= is not a number")?.unwrap_or_default();
    usize::try_from(bytes).map(Content::Payload).map_err(|_| (Code::OutOfRange, "bytes= is too large"))
}

fn number(message: &Message<'_>, key: Key, why: &'static str) -> Result<Option<u64>, Refusal> {
    let Some(value) = message.value(key) else { return Ok(None) };
    let number = decimal(value).ok_or(malformed(why))?;
    number.map(Some).map_err(|TooLarge| (Code::OutOfRange, "a number does not fit 64 bits"))
}

impl Join<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"JOIN ");
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(b" ring=");
        out.extend_from_slice(self.ring.as_bytes());
        if let Some(secret) = self.resume {
            out.extend_from_slice(b" resume=");
            out.extend_from_slice(secret.as_bytes());
        }
        if let Some(weight) = self.weight {
            out.extend_from_slice(b" weight=");
            put_number(out, weight);
        }
        match self.demand {
            None => {}
            Some(Demand::Always) => out.extend_from_slice(b" demand=always"),
            Some(Demand::Ask) => out.extend_from_slice(b" demand=ask"),
        }
        if self.hears {
            out.extend_from_slice(b" hear=turns");
        }
        if self.confirms_by_go {
            out.extend_from_slice(b" confirm=go");
        }
        put_token(out, self.token);
    }
}

fn put_token(out: &mut Vec<u8>, token: Option<Token<'_>>) {
    if let Some(token) = token {
        out.extend_from_slice(b" token=");
        out.extend_from_slice(token.expose().as_bytes());
    }
}

fn put_turn(out: &mut Vec<u8>, verb: &[u8], turn: Option<u64>) {
    out.extend_from_slice(verb);
    if let Some(turn) = turn {
        out.extend_from_slice(b" turn=");
        put_number(out, turn);
    }
}

fn put_fence(out: &mut Vec<u8>, fence: Fence) {
    put_turn(out, b"ANSWER", fence.turn);
    if let Some(epoch) = fence.epoch {
        out.extend_from_slice(b" epoch=");
        put_hex(out, &epoch.0.to_be_bytes());
    }
}

fn put_answer(out: &mut Vec<u8>, fence: Fence, content: Content<'_>) {
    let start = out.len();
    put_fence(out, fence);
    match content {
        Content::Text(text) => put_content(out, start, text.as_bytes()),
        Content::Payload(bytes) => {
            out.extend_from_slice(b" bytes=");
            put_number(out, bytes as u64);
            out.extend_from_slice(b"\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fast path reads nothing that the slow one does not read, and reads the same from it.
    #[test]
    fn a_whole_answer_is_what_is_read_from_its_line() {
        let epoch = Epoch(0x0123_4567_89ab_cdef);
        let whole =
            |line: &str| Request::whole_answer(format!("{line}\n").as_bytes(), &epoch.digits()).is_some();
        for (line, turn, text) in [
            ("ANSWER turn=7 epoch=0123456789abcdef :e2e4", 7, "e2e4"),
            ("ANSWER turn=007 epoch=0123456789abcdef ::a  bytes=5 ", 7, ":a  bytes=5 "),
            ("ANSWER turn=0 epoch=0123456789abcdef :", 0, ""),
        ] {
            let bytes = format!("{line}\n");
            let read = Request::whole_answer(bytes.as_bytes(), &epoch.digits());
            assert_eq!(read, Some((turn, text.as_bytes())), "{line}");
            let fence = Fence { turn: Some(turn), epoch: Some(epoch) };
            assert_eq!(Request::parse(line), Ok(Request::Answer { fence, content: Content::Text(text) }));
        }
        for other in [
            "ANSWER turn=7 epoch=0123456789ABCDEF :a",
            "ANSWER turn=7 epoch=0123456789abcdee :a",
            "ANSWER turn=7 epoch=123456789abcdef :a",
            "ANSWER turn=7 :a",
            "ANSWER turn= epoch=0123456789abcdef :a",
            "ANSWER turn=12345678901234567890 epoch=0123456789abcdef :a",
            "ANSWER turn=7 epoch=0123456789abcdef bytes=1",
            "ANSWER turn=7 epoch=0123456789abcdef :a\r",
            "ANSWER turn=7 epoch=0123456789abcdef :a\nPING",
            "ANSWER turn=7 epoch=0123456789abcdef :a\tb",
            "ANSWER turn=7 epoch=0123456789abcdef :\u{e9}",
            "PASS turn=7",
        ] {
            assert!(!whole(other), "{other:?}");
        }
        assert_eq!(Request::whole_answer(b"ANSWER turn=7 epoch=0123456789abcdef :a", &epoch.digits()), None);
    }

    fn written(request: &Request<'_>) -> String {
        let mut out = Vec::new();
        request.encode(&mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    fn refused(line: &str) -> (Code, &'static str) {
        let unreadable = Request::parse(line).expect_err(line);
        (unreadable.code, unreadable.why)
    }

    #[test]
    fn requests_survive_being_written_and_read() {
        for line in [
            "JOIN ann ring=main",
            "JOIN J\u{f6}rg ring=lab resume=000102030405060708090a0b0c0d0e0f weight=100 demand=ask hear=turns confirm=go token=ey.x=",
            "JOIN raw-x ring=raw-1 resume=no-secret weight=0 demand=always",
            "ANSWER :e2e4",
            "ANSWER turn=7 :",
            "ANSWER turn=7 epoch=00000000000000ff ::a\tb bytes=5",
            "ANSWER epoch=00000000000000ff bytes=5",
            "PASS",
            "PASS turn=18446744073709551615",
            "RENEW turn=0",
            "ASK",
            "REST",
            "LEAVE",
            "WATCH ring=main",
            "WATCH ring=lab token=x",
            "PING",
        ] {
            assert_eq!(written(&Request::parse(line).expect(line)), format!("{line}\n"));
        }
    }

    #[test]
    fn fields_may_be_left_out_stand_in_any_order_and_be_unknown() {
        let same = |line, other| assert_eq!(Request::parse(line), Request::parse(other));
        same("JOIN ann", "JOIN ann ring=main colour=red");
        same("JOIN ann confirm=go hear=turns weight=3", "JOIN ann weight=3 hear=turns confirm=go");
        same("WATCH", "WATCH x=y ring=main");
        same(
            "ANSWER turn=12345 epoch=0123456789abcdef :e2e4",
            "ANSWER epoch=123456789ABCDEF turn=12345 :e2e4",
        );
        same("PING x=1", "PING");
    }

    #[test]
    fn a_plain_answer_is_read_as_any_other() {
        for line in [
            "ANSWER turn=12345 epoch=0123456789abcdef :e2e4",
            "ANSWER turn=0 epoch=FFFFFFFFFFFFFFFF :",
            "ANSWER turn=9999999999999999999 epoch=0123456789abcdef :\u{e9}\t:",
        ] {
            assert_eq!(plain_answer(line).as_ref(), read(line).as_ref().ok(), "{line}");
            assert!(plain_answer(line).is_some(), "{line}");
        }
        for other in [
            "ANSWER turn= epoch=0123456789abcdef :a",
            "ANSWER turn=10000000000000000000 epoch=0123456789abcdef :a",
            "ANSWER turn=1 epoch=0123456789abcde :a",
            "ANSWER turn=1 epoch=0123456789abcdef0 :a",
            "ANSWER turn=1 epoch=0123456789abcdeg :a",
            "ANSWER turn=1 epoch=0123456789abcdef",
            "ANSWER turn=1 epoch=0123456789abcdef bytes=1",
            "ANSWER turn=1 epoch=0123456789abcdef x=1 :a",
            "ANSWER turn=1 epoch=0123456789abcdef :a\r",
            "ANSWER turn=1 epoch=\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9} :a",
        ] {
            assert_eq!(plain_answer(other), None, "{other}");
        }
    }

    #[test]
    fn lines_that_are_not_requests_are_malformed() {
        for line in [
            "",
            "hello",
            "HELLO",
            "HELLO :x",
            "ann:5",
            "join ann",
            "JOIN",
            "JOIN ring=x",
            "JOIN a b",
            "JOIN  a",
            "JOIN a :x",
            "JOIN a bytes=1",
            "JOIN a\u{202e} ring=x",
            "JOIN a ring=\u{200b}",
            "JOIN a ring=",
            "JOIN a ring=x ring=x",
            "JOIN a weight=x",
            "JOIN a weight=-1",
            "JOIN a demand=never",
            "JOIN a hear=all",
            "JOIN a confirm=all",
            "JOIN raw-7",
            "JOIN raw-00000000000000000000000001",
            "ANSWER",
            "ANSWER 5",
            "ANSWER e2e4 :x",
            "ANSWER turn=3",
            "ANSWER turn=x :a",
            "ANSWER turn=-1 :a",
            "ANSWER turn=3 turn=3 :a",
            "ANSWER epoch=xyz :a",
            "ANSWER epoch=00000000000000000 :a",
            "PASS 3",
            "PASS turn=",
            "PASS :x",
            "PASS bytes=3",
            "RENEW turn=1.5",
            "ASK me",
            "REST :",
            "LEAVE now",
            "WATCH main",
            "WATCH ring=:",
            "PING ",
        ] {
            assert_eq!(refused(line).0, Code::Malformed, "{line:?}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_out_of_range() {
        for line in [
            "ANSWER turn=18446744073709551616 :a",
            "PASS turn=99999999999999999999",
            "JOIN a weight=99999999999999999999",
        ] {
            assert_eq!(refused(line).0, Code::OutOfRange, "{line:?}");
        }
    }

    #[test]
    fn a_refusal_says_why_and_which_turn_was_meant() {
        let turn = |line| Request::parse(line).expect_err(line).turn;
        assert_eq!(
            (turn("PASS turn=3 x"), turn("ANSWER turn=7"), turn("what turn=9 bytes=2")),
            (Some(3), Some(7), Some(9))
        );
        assert_eq!(
            (turn("PASS turn=x"), turn("PASS turn=99999999999999999999"), turn("PASS :a turn=3")),
            (None, None, None)
        );
        assert_eq!(Request::parse("HI").expect_err("unknown").to_string(), "malformed: unknown verb");
        for line in ["JOIN", "HI", "PASS x", "ANSWER turn=a b :", "JOIN a demand=x"] {
            assert!(refused(line).1.len() < 100);
        }
    }

    #[test]
    fn a_forgotten_colon_is_called_that() {
        for line in [
            "ANSWER",
            "ANSWER ",
            "ANSWER 5",
            "ANSWER 1 2",
            "ANSWER I would like to begin",
            "ANSWER I think: yes",
            "ANSWER 12:30",
            "ANSWER  5",
            "ANSWER 1+1=2",
            "ANSWER:e2e4",
            "ANSWER turn=7 e2e4",
            "ANSWER turn=7 epoch=00000000000000ff I am :-)",
            "ANSWER hello bytes=3",
        ] {
            assert_eq!(refused(line), (Code::Malformed, NEEDS_COLON), "{line:?}");
        }
        assert_eq!(NEEDS_COLON, "the text of an answer begins with \":\", as in ANSWER :e2e4");
        for (line, why) in [
            ("ANSWER turn=x :a b", "turn= is not a number"),
            ("ANSWER turn=x bytes=3", "turn= is not a number"),
            ("ANSWER Turn=1 :a", "a field is key=value, its key in lower-case letters and '-'"),
            ("ANSWER turn=1 turn=1 :a", "a key stands twice"),
            ("ANSWER  :a", "fields have one space between them, and none at the end"),
            ("ANSWER :a\u{7f}", "a text has no control character but TAB"),
            ("ANSWERS 5", "unknown verb"),
        ] {
            assert_eq!(refused(line).1, why, "{line:?}");
        }
    }

    #[test]
    fn a_space_in_a_name_is_called_that() {
        for line in
            ["JOIN a b", "JOIN ann smith ring=x", "JOIN ann ring", "JOIN ann ring=x smith", "JOIN a b :x"]
        {
            let why = "a name has no spaces; what follows it is key=value";
            assert_eq!(refused(line), (Code::Malformed, why), "{line:?}");
        }
        for (line, why) in [
            ("JOIN ring=x b", "a field is key=value, its key in lower-case letters and '-'"),
            ("JOIN  ann", "fields have one space between them, and none at the end"),
            ("JOIN ann :x", "only ANSWER has a text or a payload"),
        ] {
            assert_eq!(refused(line).1, why, "{line:?}");
        }
    }

    /// L7
    #[test]
    fn secrets_and_tokens_are_not_shown() {
        for line in ["JOIN ann resume=hush token=hush", "WATCH token=hush"] {
            assert!(!format!("{:?}", Request::parse(line)).contains("hush"));
        }
        for bad in [
            "JOIN ann resume=hush token=hush x",
            "JOIN ann resume=hush resume=hush",
            "JOIN ann token=hush\u{a0}",
        ] {
            let unreadable = Request::parse(bad).expect_err(bad);
            assert!(!format!("{unreadable} {unreadable:?}").contains("hush"));
        }
    }

    #[test]
    fn an_answer_of_any_bytes_can_be_written() {
        let fence = Fence { turn: Some(3), epoch: Some(Epoch(255)) };
        for (answer, message) in [
            (&b"e2e4"[..], &b"ANSWER turn=3 epoch=00000000000000ff :e2e4\n"[..]),
            (b"a\nb", b"ANSWER turn=3 epoch=00000000000000ff bytes=3\na\nb\n"),
            (b"\xff", b"ANSWER turn=3 epoch=00000000000000ff bytes=1\n\xff\n"),
        ] {
            let mut out = Vec::new();
            Request::encode_answer(&mut out, fence, answer);
            assert_eq!(out, message);
        }
    }
}
