//! One connection: its handshake, and the translation between messages and lines.

use std::io;
use std::sync::Arc;

use memchr::{memchr, memchr2};

use super::frames::{self, Decoder, Heard, Kind};
use super::handshake::{self, Outcome};
use super::{Code, WebSocketConfig};
use crate::engine::{Input, Wrapping};
use crate::protocol::Transport;
use crate::session::Bye;
use crate::wire::message::announced;

/// The most bytes of messages that are framed in one step, if there are several messages.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// The longest text message. A server accepts no longer line.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// The server side of a WebSocket that carries line protocol 1; see the [module's documentation](super).
#[derive(Debug)]
pub struct WebSocket {
    state: State,
}

#[derive(Debug)]
enum State {
    Handshake {
        head: Vec<u8>,
        config: Arc<WebSocketConfig>,
    },
    Open(Open),
    /// The handshake was refused, so it was never open.
    Refused,
    Closed,
}

#[derive(Debug, Default)]
struct Open {
    decoder: Decoder,
    lines: Lines,
    /// The last `BYE` that was sent, which determines the close code.
    bye: Option<Bye>,
}

/// Turns messages into lines and payloads.
#[derive(Debug, Default)]
struct Lines {
    /// The beginning of an incomplete text message. Messages usually arrive complete, and nothing is kept.
    begun: Vec<u8>,
    /// The part of the announced payload that has not arrived, in bytes.
    payload: Option<u64>,
    /// Whether the text message has a "y", without which it has no `bytes=`.
    may_announce: bool,
    is_binary: bool,
}

impl WebSocket {
    /// Creates a connection before its handshake.
    #[must_use]
    pub fn new(config: Arc<WebSocketConfig>) -> WebSocket {
        WebSocket { state: State::Handshake { head: Vec::new(), config } }
    }
}

fn broken(words: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

impl Wrapping for WebSocket {
    fn unwrap(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, wire: &mut Vec<u8>) -> io::Result<Input> {
        match &mut self.state {
            State::Handshake { head, config } => {
                head.extend_from_slice(bytes);
                match handshake::judge(head, config) {
                    Outcome::Incomplete => Ok(Input::Open),
                    Outcome::Refused(refusal) => {
                        wire.extend_from_slice(refusal.response().as_bytes());
                        self.state = State::Refused;
                        Err(broken(format!("WebSocket: {}", refusal.words)))
                    }
                    Outcome::Taken(response, used) => {
                        wire.extend_from_slice(response.as_bytes());
                        let mut rest = head.split_off(used);
                        self.state = State::Open(Open::default());
                        self.unwrap(&mut rest, plain, wire)
                    }
                }
            }
            State::Open(open) => match open.unwrap(bytes, plain, wire) {
                Ok(Input::Open) => Ok(Input::Open),
                Ok(Input::Ended) => {
                    self.state = State::Closed;
                    Ok(Input::Ended)
                }
                Err((code, words)) => {
                    frames::close(Some(code.0), words, wire);
                    self.state = State::Closed;
                    Err(broken(format!("WebSocket, close {}: {words}", code.0)))
                }
            },
            State::Refused | State::Closed => Ok(Input::Ended),
        }
    }

    fn wrap(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> usize {
        match &mut self.state {
            State::Open(open) => open.wrap(plain, wire),
            State::Handshake { .. } | State::Refused | State::Closed => plain.len(),
        }
    }

    fn finish(&mut self, wire: &mut Vec<u8>) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Open(Open { bye: Some(bye), .. }) => {
                frames::close(Some(Code::of_bye(bye).0), bye.as_str(), wire);
            }
            State::Open(_) => frames::close(Some(Code::DONE.0), "", wire),
            State::Handshake { .. } => {
                let refusal = handshake::Refusal {
                    status: "408 Request Timeout",
                    words: "the request did not arrive in time",
                };
                wire.extend_from_slice(refusal.response().as_bytes());
                self.state = State::Refused;
            }
            State::Refused => self.state = State::Refused,
            State::Closed => {}
        }
    }

    fn ping(&mut self, wire: &mut Vec<u8>) {
        if let State::Open(_) = self.state {
            frames::ping(wire);
        }
    }

    fn transport(&self) -> Option<Transport> {
        match self.state {
            State::Handshake { .. } | State::Refused => None,
            State::Open(_) | State::Closed => Some(Transport { is_web_socket: true, ..Transport::default() }),
        }
    }
}

impl Open {
    fn unwrap(
        &mut self,
        bytes: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<Input, (Code, &'static str)> {
        let Open { decoder, lines, .. } = self;
        let (mut line_from, mut input, mut words) = (plain.len(), Input::Open, None);
        let outcome = decoder.decode(bytes, &mut |heard| {
            let told = match heard {
                // After a close frame nothing counts.
                _ if input == Input::Ended => Ok(()),
                Heard::Begin(kind) => {
                    line_from = plain.len();
                    lines.begin(kind)
                }
                Heard::Data(Kind::Text, text) => match memchr2(b'\n', b'y', text) {
                    Some(at) if memchr(b'\n', &text[at..]).is_some() => Err((Code::POLICY, "malformed")),
                    found => {
                        lines.may_announce |= found.is_some();
                        plain.extend_from_slice(text);
                        Ok(())
                    }
                },
                Heard::Data(Kind::Binary, payload) => {
                    // Bytes beyond the payload would be read as lines.
                    lines.go_on(payload.len()).map(|()| plain.extend_from_slice(payload))
                }
                Heard::End(kind) => lines.end(kind, &plain[line_from..]).map(|()| plain.push(b'\n')),
                Heard::Ping(payload) => {
                    frames::pong(payload, wire);
                    Ok(())
                }
                Heard::Close(code) => {
                    frames::close(code, "", wire);
                    input = Input::Ended;
                    Ok(())
                }
            };
            told.map_err(|(code, why)| {
                words = Some(why);
                code
            })
        });
        if let Err(code) = outcome
            && input == Input::Open
        {
            return Err((
                code,
                words.unwrap_or(if code == Code::NOT_UTF8 { "not-utf8" } else { "bad frame" }),
            ));
        }
        if decoder.is_within(Kind::Text) {
            lines.keep(&plain[line_from..])?;
        }
        Ok(input)
    }

    /// Frames the complete messages at the beginning of `plain`.
    fn wrap(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> usize {
        let mut used = 0;
        while used < PIECE_BYTES_MAX
            && let Some(at) = memchr2(b'\n', b'y', &plain[used..])
        {
            let rest = &plain[used..];
            let (end, may_announce) = match rest[at] {
                b'\n' => (Some(at), false),
                _ => (memchr(b'\n', rest), true),
            };
            let Some(line) = end.map(|end| &rest[..end]) else { break };
            let behind = used + line.len() + 1;
            let Some(bytes) = may_announce.then(|| payload_of(line)).flatten() else {
                self.note_bye(line);
                frames::message(Kind::Text, line, wire);
                used = behind;
                continue;
            };
            let Some(payload) = usize::try_from(bytes).ok().and_then(|bytes| plain[behind..].get(..=bytes))
            else {
                break;
            };
            frames::message(Kind::Text, line, wire);
            frames::message(Kind::Binary, &payload[..payload.len() - 1], wire);
            used = behind + payload.len();
        }
        used
    }

    fn note_bye(&mut self, line: &[u8]) {
        let Some(rest) = line.strip_prefix(b"BYE ") else { return };
        let code = rest.split(|&byte| byte == b' ').next().unwrap_or_default();
        self.bye = std::str::from_utf8(code).ok().and_then(|code| code.parse().ok());
    }
}

impl Lines {
    fn begin(&mut self, kind: Kind) -> Result<(), (Code, &'static str)> {
        self.begun.clear();
        self.may_announce = false;
        self.is_binary = kind == Kind::Binary;
        if self.is_binary == self.payload.is_some() {
            Ok(())
        } else if self.is_binary {
            Err((Code::BAD_FRAME, "no line has announced a payload"))
        } else {
            Err((Code::BAD_FRAME, "a payload is a binary message"))
        }
    }

    /// Counts `count` bytes of a payload that have arrived.
    fn go_on(&mut self, count: usize) -> Result<(), (Code, &'static str)> {
        let left = self.payload.and_then(|left| left.checked_sub(count as u64));
        self.payload = Some(left.ok_or((Code::BAD_FRAME, "the payload is longer than bytes= says"))?);
        Ok(())
    }

    /// Handles the end of a message, whose last part is `text`.
    fn end(&mut self, kind: Kind, text: &[u8]) -> Result<(), (Code, &'static str)> {
        if kind == Kind::Binary {
            return match self.payload.take() {
                Some(0) => Ok(()),
                _ => Err((Code::BAD_FRAME, "the payload is shorter than bytes= says")),
            };
        }
        if self.begun.is_empty() {
            self.payload = self.may_announce.then(|| payload_of(text)).flatten();
        } else {
            self.keep(text)?;
            self.payload = payload_of(&std::mem::take(&mut self.begun));
        }
        Ok(())
    }

    /// Keeps the beginning of a text.
    fn keep(&mut self, text: &[u8]) -> Result<(), (Code, &'static str)> {
        self.begun.extend_from_slice(text);
        if self.begun.len() > TEXT_BYTES_MAX { Err((Code::TOO_LONG, "too-long")) } else { Ok(()) }
    }
}

/// Returns the size of the payload that `line` announces. A line that announces one incorrectly makes the
/// server close the connection elsewhere.
fn payload_of(line: &[u8]) -> Option<u64> {
    announced(line, usize::MAX).ok().flatten().map(|bytes| bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::super::frames::tests::masked;
    use super::*;

    const HEAD: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    /// Returns the outcome of `chunks`: the bytes for the protocol, the bytes for the peer, and the end of
    /// the input or an error.
    fn unwrapped(chunks: &[&[u8]]) -> (String, Vec<u8>, Result<Input, String>) {
        let mut socket = WebSocket::new(Arc::default());
        let (mut plain, mut wire, mut outcome) = (Vec::new(), Vec::new(), Ok(Input::Open));
        for chunk in chunks {
            // An engine also passes on each piece.
            let mut piece = Vec::new();
            outcome =
                socket.unwrap(&mut chunk.to_vec(), &mut piece, &mut wire).map_err(|error| error.to_string());
            plain.append(&mut piece);
            if outcome != Ok(Input::Open) {
                break;
            }
        }
        (String::from_utf8_lossy(&plain).into_owned(), wire, outcome)
    }

    fn open() -> WebSocket {
        WebSocket { state: State::Open(Open::default()) }
    }

    fn text(line: &str) -> Vec<u8> {
        masked(0x81, line.as_bytes())
    }

    fn binary(payload: &[u8]) -> Vec<u8> {
        masked(0x82, payload)
    }

    #[test]
    fn a_text_is_a_line_and_a_payload_follows_as_a_binary_message() {
        let stream = [
            HEAD.as_bytes().to_vec(),
            text("JOIN ann"),
            text("ANSWER turn=1 bytes=3"),
            binary(b"a\nb"),
            text("ANSWER bytes=0"),
            binary(b""),
            text(""),
            masked(0x01, b"ANSWER by"),
            masked(0x89, b"?"),
            masked(0x80, b"tes=5"),
            masked(0x02, b"\xff\xfe"),
            masked(0x80, b"\n\nz"),
            text("ANSWER :bytes=2"),
            text("LEAVE"),
            masked(0x88, b"\x03\xe8"),
            text("PING"),
        ]
        .concat();
        let lines = "JOIN ann\nANSWER turn=1 bytes=3\na\nb\nANSWER bytes=0\n\n\nANSWER bytes=5\n\u{fffd}\u{fffd}\n\nz\n\
                     ANSWER :bytes=2\nLEAVE\n";
        let (plain, wire, outcome) = unwrapped(&[&stream]);
        assert_eq!((plain.as_str(), outcome), (lines, Ok(Input::Ended)));
        assert!(wire.starts_with(b"HTTP/1.1 101 ") && wire.ends_with(b"\r\n\r\n\x8a\x01?\x88\x02\x03\xe8"));
        for cut in 0..stream.len() {
            let again = unwrapped(&[&stream[..cut], &stream[cut..]]);
            assert_eq!(again, (plain.clone(), wire.clone(), Ok(Input::Ended)), "cut at {cut}");
        }
        let singly = unwrapped(&stream.chunks(1).collect::<Vec<_>>());
        assert_eq!(singly, (plain, wire, Ok(Input::Ended)));
    }

    #[test]
    fn a_bad_message_ends_the_connection_with_its_code() {
        let announced = text("ANSWER bytes=3");
        for (messages, code, reason) in [
            (text("PING\nLEAVE"), 1008, "malformed"),
            (text("PING\n"), 1008, "malformed"),
            (binary(b"PING"), 1002, "no line has announced a payload"),
            ([announced.clone(), text("abc")].concat(), 1002, "a payload is a binary message"),
            ([announced.clone(), binary(b"abcd")].concat(), 1002, "the payload is longer than bytes= says"),
            ([announced.clone(), binary(b"ab")].concat(), 1002, "the payload is shorter than bytes= says"),
            (
                [announced.clone(), binary(b"abc"), binary(b"")].concat(),
                1002,
                "no line has announced a payload",
            ),
            (masked(0x01, &[b'a'; TEXT_BYTES_MAX + 1]), 1009, "too-long"),
            (text("a").split_at(1).0.iter().copied().chain([1]).collect(), 1002, "bad frame"),
            (masked(0x81, b"\xff"), 1007, "not-utf8"),
        ] {
            let (_, wire, outcome) = unwrapped(&[HEAD.as_bytes(), &messages]);
            let error = outcome.expect_err(reason);
            assert_eq!(error, format!("WebSocket, close {code}: {reason}"));
            let mut farewell = Vec::new();
            frames::close(Some(code), reason, &mut farewell);
            assert!(wire.ends_with(&farewell), "{}", wire.escape_ascii());
        }
    }

    /// L13: otherwise text that a page passes on for its user could be executed as lines.
    #[test]
    fn no_part_of_a_payload_of_the_wrong_size_counts() {
        for payload in [&b"abc\nLEAVE\n"[..], b"ab\n", b"ab"] {
            let stream = [HEAD.as_bytes(), &text("ANSWER bytes=3"), &binary(payload)].concat();
            let (plain, _, outcome) = unwrapped(&[&stream]);
            let is_short = payload.len() < 3;
            assert_eq!(outcome.is_ok(), payload.len() == 3);
            let got = match payload.len() {
                3 => "ANSWER bytes=3\nab\n\n",
                _ if is_short => "ANSWER bytes=3\nab",
                _ => "ANSWER bytes=3\n",
            };
            assert_eq!(plain, got);
            // The payload turns out too long after its first piece, which no LF follows.
            let (plain, ..) = unwrapped(&stream.chunks(1).collect::<Vec<_>>());
            assert!(!plain.contains("LEAVE"), "{plain}");
        }
    }

    #[test]
    fn a_farewell_is_answered_once_whatever_follows_it() {
        let stream = [HEAD.as_bytes(), &masked(0x88, b"\x03\xe8"), &[0xff; 9], &masked(0x88, b"")].concat();
        let (_, wire, outcome) = unwrapped(&[&stream]);
        assert_eq!(outcome, Ok(Input::Ended));
        assert!(wire.ends_with(b"\r\n\r\n\x88\x02\x03\xe8"), "{}", wire.escape_ascii());
    }

    #[test]
    fn a_refusal_gives_the_reason_and_nothing_after_it_counts() {
        let refused = HEAD.replace("localhost", "evil.example") + "JOIN ann\n";
        let (plain, wire, outcome) = unwrapped(&[refused.as_bytes()]);
        assert_eq!((plain.as_str(), outcome.is_err()), ("", true));
        assert!(wire.starts_with(b"HTTP/1.1 403 Forbidden\r\n"), "{}", wire.escape_ascii());
    }

    #[test]
    fn lines_of_the_server_become_messages_and_payloads_binary_ones() {
        let (mut socket, mut wire) = (open(), Vec::new());
        let lines = b"GO turn=1 within=5\nSAY bytes=3\na\nb\nPONG\nSAY bytes=4\nab";
        let used = socket.wrap(lines, &mut wire);
        assert_eq!(&lines[used..], b"SAY bytes=4\nab", "the message is incomplete");
        let mut expected = Vec::new();
        frames::message(Kind::Text, b"GO turn=1 within=5", &mut expected);
        frames::message(Kind::Text, b"SAY bytes=3", &mut expected);
        frames::message(Kind::Binary, b"a\nb", &mut expected);
        frames::message(Kind::Text, b"PONG", &mut expected);
        assert_eq!(wire, expected);
        assert_eq!(socket.wrap(&lines[used..], &mut wire), 0);
        let many = b"PONG\n".repeat(10_000);
        assert!((PIECE_BYTES_MAX..PIECE_BYTES_MAX + 5).contains(&socket.wrap(&many, &mut wire)), "in pieces");
    }

    #[test]
    fn the_farewell_has_the_code_of_the_last_bye() {
        for (last, code, reason) in [
            (&b"BYE left :goodbye\n"[..], 1000, "left"),
            (b"BYE shutting-down\n", 1001, "shutting-down"),
            (b"BYE not-utf8 :x\n", 1007, "not-utf8"),
            (b"BYE superseded\n", 1008, "superseded"),
            (b"BYE too-long\n", 1009, "too-long"),
            (b"BYE ring-full\n", 1013, "ring-full"),
            (b"SAY :BYE left\n", 1000, ""),
        ] {
            let (mut socket, mut wire, mut farewell) = (open(), Vec::new(), Vec::new());
            socket.wrap(last, &mut wire);
            wire.clear();
            socket.finish(&mut wire);
            frames::close(Some(code), reason, &mut farewell);
            assert_eq!(wire, farewell);
            // Nothing follows it, and it is sent only once.
            assert_eq!(socket.wrap(b"PONG\n", &mut wire), 5);
            socket.finish(&mut wire);
            assert_eq!(wire, farewell);
        }
    }

    /// Otherwise a protocol would hear of a connection that was refused.
    #[test]
    fn a_refused_request_opens_nothing() {
        let (mut socket, mut wire) = (WebSocket::new(Arc::default()), Vec::new());
        let mut refused = HEAD.replace("localhost", "evil.example").into_bytes();
        assert!(socket.unwrap(&mut refused, &mut Vec::new(), &mut wire).is_err());
        assert_eq!((socket.transport(), socket.wrap(b"PONG\n", &mut wire)), (None, 5));
        let heard = wire.len();
        socket.finish(&mut wire);
        assert_eq!((socket.transport(), wire.len()), (None, heard));
    }

    #[test]
    fn a_handshake_that_is_given_up_is_answered() {
        let (mut socket, mut wire) = (WebSocket::new(Arc::default()), Vec::new());
        assert_eq!(socket.wrap(b"BYE hello-timeout\n", &mut wire), 18);
        socket.ping(&mut wire);
        assert!(wire.is_empty() && socket.transport().is_none());
        socket.finish(&mut wire);
        assert!(wire.starts_with(b"HTTP/1.1 408 "));
    }
}
