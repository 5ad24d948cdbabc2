//! Frames of RFC 6455, without extensions: from bytes in any pieces to events, and from messages to frames.
//! Of a message, at most three bytes of a character are kept; a control frame is kept whole, because it has
//! at most 125 bytes.

use super::Code;

/// The longest header of a frame, in bytes.
const HEADER_BYTES_MAX: usize = 14;
const CONTROL_BYTES_MAX: u64 = 125;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FIN: u8 = 0x80;

/// The kind of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Binary,
}

/// An event that frames cause.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard<'b> {
    /// A message begins.
    Begin(Kind),
    /// Bytes of the message; in a text, valid so far.
    Data(Kind, &'b [u8]),
    /// The message has ended.
    End(Kind),
    Ping(&'b [u8]),
    /// The peer closes, with this code if it gave one.
    Close(Option<u16>),
}

/// Decodes the bytes of a client into [`Heard`].
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// The incomplete header.
    header: [u8; HEADER_BYTES_MAX],
    header_len: u8,
    frame: Option<Frame>,
    /// The message that has begun, possibly in an earlier frame.
    message: Option<Kind>,
    /// The incomplete control frame.
    control: Vec<u8>,
    /// The incomplete character of a text.
    character: [u8; 4],
    character_len: u8,
}

/// The frame that has begun.
#[derive(Debug, Clone, Copy)]
struct Frame {
    opcode: u8,
    is_last: bool,
    left: u64,
    mask: [u8; 4],
}

impl Decoder {
    /// Decodes `bytes` up to the first violation, and unmasks them in place.
    pub(super) fn decode(
        &mut self,
        mut bytes: &mut [u8],
        hear: &mut impl FnMut(Heard<'_>) -> Result<(), Code>,
    ) -> Result<(), Code> {
        loop {
            let frame = match &mut self.frame {
                Some(frame) => frame,
                None => {
                    let kept = usize::from(self.header_len);
                    let count = bytes.len().min(HEADER_BYTES_MAX - kept);
                    self.header[kept..kept + count].copy_from_slice(&bytes[..count]);
                    let Some((frame, length)) = parse(&self.header[..kept + count])? else {
                        self.header_len += u8::try_from(count).expect("a header has 14 bytes at most");
                        return Ok(());
                    };
                    self.header_len = 0;
                    bytes = &mut bytes[length - kept..];
                    self.begin(frame, hear)?;
                    self.frame.insert(frame)
                }
            };
            let count = usize::try_from(frame.left).map_or(bytes.len(), |left| left.min(bytes.len()));
            if count == 0 && frame.left > 0 {
                return Ok(());
            }
            let (payload, rest) = bytes.split_at_mut(count);
            bytes = rest;
            unmask(payload, frame.mask);
            frame.mask.rotate_left(count % 4);
            frame.left -= count as u64;
            let frame = *frame;
            if frame.left == 0 {
                self.frame = None;
            }
            self.take(frame, payload, hear)?;
        }
    }

    /// Returns whether a message of `kind` has begun but not ended.
    pub(super) fn is_within(&self, kind: Kind) -> bool {
        self.message == Some(kind)
    }

    /// Begins a frame whose header is complete.
    fn begin(
        &mut self,
        frame: Frame,
        hear: &mut impl FnMut(Heard<'_>) -> Result<(), Code>,
    ) -> Result<(), Code> {
        let kind = match (frame.opcode, self.message) {
            (TEXT, None) => Kind::Text,
            (BINARY, None) => Kind::Binary,
            (CONTINUATION, Some(_)) => return Ok(()),
            (CLOSE | PING | PONG, _) if frame.is_last && frame.left <= CONTROL_BYTES_MAX => return Ok(()),
            _ => return Err(Code::BAD_FRAME),
        };
        self.message = Some(kind);
        hear(Heard::Begin(kind))
    }

    /// Takes `payload`, which is all that has arrived of the rest of `frame`.
    fn take(
        &mut self,
        frame: Frame,
        payload: &[u8],
        hear: &mut impl FnMut(Heard<'_>) -> Result<(), Code>,
    ) -> Result<(), Code> {
        let has_ended = frame.left == 0;
        let kind = match (frame.opcode, self.message) {
            (CONTINUATION | TEXT | BINARY, Some(kind)) => kind,
            _ if has_ended && self.control.is_empty() => {
                return Decoder::control(frame.opcode, payload, hear);
            }
            _ => {
                self.control.extend_from_slice(payload);
                if !has_ended {
                    return Ok(());
                }
                return Decoder::control(frame.opcode, &std::mem::take(&mut self.control), hear);
            }
        };
        if kind == Kind::Text {
            self.check_text(payload, has_ended && frame.is_last)?;
        }
        if !payload.is_empty() {
            hear(Heard::Data(kind, payload))?;
        }
        if has_ended && frame.is_last {
            self.message = None;
            hear(Heard::End(kind))?;
        }
        Ok(())
    }

    fn control(
        opcode: u8,
        payload: &[u8],
        hear: &mut impl FnMut(Heard<'_>) -> Result<(), Code>,
    ) -> Result<(), Code> {
        match (opcode, payload) {
            (PING, payload) => hear(Heard::Ping(payload)),
            (CLOSE, []) => hear(Heard::Close(None)),
            (CLOSE, [high, low, reason @ ..]) => {
                let code = u16::from_be_bytes([*high, *low]);
                let may_be_sent = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
                if !may_be_sent {
                    return Err(Code::BAD_FRAME);
                }
                std::str::from_utf8(reason).map_err(|_| Code::NOT_UTF8)?;
                hear(Heard::Close(Some(code)))
            }
            (CLOSE, _) => Err(Code::BAD_FRAME),
            _ => Ok(()),
        }
    }

    /// Checks that a text is UTF-8 so far; `is_end` means that nothing follows `bytes`.
    fn check_text(&mut self, mut bytes: &[u8], is_end: bool) -> Result<(), Code> {
        // Nearly always, and much quicker to find out.
        if self.character_len == 0 && bytes.is_ascii() {
            return Ok(());
        }
        while self.character_len > 0 {
            let Some((&next, rest)) = bytes.split_first() else { break };
            bytes = rest;
            self.character[usize::from(self.character_len)] = next;
            self.character_len += 1;
            match std::str::from_utf8(&self.character[..usize::from(self.character_len)]) {
                Ok(_) => self.character_len = 0,
                Err(error) if error.error_len().is_some() => return Err(Code::NOT_UTF8),
                Err(_) => {}
            }
        }
        if let Err(error) = std::str::from_utf8(bytes) {
            let tail = &bytes[error.valid_up_to()..];
            if error.error_len().is_some() {
                return Err(Code::NOT_UTF8);
            }
            self.character[..tail.len()].copy_from_slice(tail);
            // There are fewer than four.
            self.character_len = u8::try_from(tail.len()).unwrap_or(0);
        }
        if is_end && self.character_len > 0 { Err(Code::NOT_UTF8) } else { Ok(()) }
    }
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let eight = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (eights, rest) = payload.as_chunks_mut::<8>();
    for bytes in eights {
        *bytes = (u64::from_ne_bytes(*bytes) ^ eight).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(eight.to_ne_bytes()) {
        *byte ^= mask;
    }
}

/// Parses the header of a client's frame at the beginning of `header`, and returns its length, too; `None`
/// while it is incomplete.
fn parse(header: &[u8]) -> Result<Option<(Frame, usize)>, Code> {
    let [first, second, ..] = *header else { return Ok(None) };
    let opcode = first & 0x0f;
    let is_masked = second & 0x80 != 0;
    let has_reserved_bits = first & 0x70 != 0;
    if has_reserved_bits || !is_masked {
        return Err(Code::BAD_FRAME);
    }
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some(mask) = header.get(2 + extended..6 + extended) else { return Ok(None) };
    let left = match extended {
        0 => u64::from(second & 0x7f),
        _ => header[2..2 + extended].iter().fold(0, |length, &byte| length << 8 | u64::from(byte)),
    };
    let is_shortest = match extended {
        0 => true,
        2 => left > 125,
        _ => left > u64::from(u16::MAX) && left >> 63 == 0,
    };
    if !is_shortest {
        return Err(Code::BAD_FRAME);
    }
    let mask = [mask[0], mask[1], mask[2], mask[3]];
    let frame = Frame { opcode, is_last: first & FIN != 0, left, mask };
    Ok(Some((frame, 6 + extended)))
}

/// Appends a complete message.
pub(super) fn message(kind: Kind, payload: &[u8], wire: &mut Vec<u8>) {
    frame(if kind == Kind::Text { TEXT } else { BINARY }, payload, wire);
}

pub(super) fn ping(wire: &mut Vec<u8>) {
    frame(PING, b"", wire);
}

pub(super) fn pong(payload: &[u8], wire: &mut Vec<u8>) {
    frame(PONG, payload, wire);
}

/// Appends a close frame. `code` is `None` in answer to one without a code.
pub(super) fn close(code: Option<u16>, reason: &str, wire: &mut Vec<u8>) {
    let mut payload = Vec::new();
    if let Some(code) = code {
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(reason.as_bytes());
    }
    frame(CLOSE, &payload, wire);
}

fn frame(opcode: u8, payload: &[u8], wire: &mut Vec<u8>) {
    wire.push(FIN | opcode);
    if let Ok(length @ 0..=125) = u8::try_from(payload.len()) {
        wire.push(length);
    } else if let Ok(length) = u16::try_from(payload.len()) {
        wire.push(126);
        wire.extend_from_slice(&length.to_be_bytes());
    } else {
        wire.push(127);
        wire.extend_from_slice(&(payload.len() as u64).to_be_bytes());
    }
    wire.extend_from_slice(payload);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns a frame as a client sends it.
    pub(in super::super) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame(first & 0x0f, payload, &mut bytes);
        bytes[0] = first;
        bytes[1] |= 0x80;
        let header = bytes.len() - payload.len();
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        bytes.splice(header..header, mask);
        bytes[header + 4..].iter_mut().enumerate().for_each(|(at, byte)| *byte ^= mask[at % 4]);
        bytes
    }

    #[derive(Debug, PartialEq, Eq, Clone)]
    enum Told {
        Message(Kind, Vec<u8>),
        Ping(Vec<u8>),
        Close(Option<u16>),
        Bad(u16),
    }

    fn told(chunks: &[&[u8]]) -> Vec<Told> {
        let (mut decoder, mut told, mut data) = (Decoder::default(), Vec::new(), Vec::new());
        for chunk in chunks {
            let outcome = decoder.decode(&mut chunk.to_vec(), &mut |heard| {
                match heard {
                    Heard::Begin(_) => {}
                    Heard::Data(_, bytes) => data.extend_from_slice(bytes),
                    Heard::End(kind) => told.push(Told::Message(kind, std::mem::take(&mut data))),
                    Heard::Ping(bytes) => told.push(Told::Ping(bytes.to_vec())),
                    Heard::Close(code) => told.push(Told::Close(code)),
                }
                Ok(())
            });
            if let Err(code) = outcome {
                told.push(Told::Bad(code.0));
                break;
            }
        }
        told
    }

    #[test]
    fn messages_come_whole_however_they_are_fragmented_and_cut() {
        let stream = [
            masked(0x81, "J\u{f6}rg \u{1f3b2}".as_bytes()),
            masked(0x01, "a\u{20ac}".as_bytes().split_at(2).0),
            masked(0x89, b"there?"),
            masked(0x00, b""),
            masked(0x80, "a\u{20ac}".as_bytes().split_at(2).1),
            masked(0x8a, b"unasked"),
            masked(0x82, &[0xff; 300]),
            masked(0x81, b""),
            masked(0x88, b"\x03\xe8bye"),
        ]
        .concat();
        let whole = [
            Told::Message(Kind::Text, "J\u{f6}rg \u{1f3b2}".into()),
            Told::Ping(b"there?".to_vec()),
            Told::Message(Kind::Text, "a\u{20ac}".into()),
            Told::Message(Kind::Binary, vec![0xff; 300]),
            Told::Message(Kind::Text, Vec::new()),
            Told::Close(Some(1000)),
        ];
        for cut in 0..=stream.len() {
            assert_eq!(told(&[&stream[..cut], &stream[cut..]]), whole, "cut at {cut}");
        }
        assert_eq!(told(&stream.chunks(1).collect::<Vec<_>>()), whole);
    }

    #[test]
    fn bad_frames_are_reported_with_their_code() {
        let long = [vec![0x82, 0xff], (1_u64 << 63).to_be_bytes().to_vec(), vec![0; 4]].concat();
        for (bytes, code) in [
            (vec![0x81, 0x01, b'a'], 1002),     // not masked
            (masked(0xc1, b"a"), 1002),         // a reserved bit
            (masked(0x83, b""), 1002),          // unknown
            (masked(0x8b, b""), 1002),          // unknown
            (masked(0x09, b""), 1002),          // a control frame in pieces
            (masked(0x89, &[b'a'; 126]), 1002), // a long one
            (masked(0x80, b"a"), 1002),         // goes on with nothing
            ([masked(0x01, b"a"), masked(0x81, b"b")].concat(), 1002),
            (vec![0x82, 0xfe, 0, 125, 0, 0, 0, 0], 1002), // a longer form than needed
            (vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0], 1002),
            (long, 1002),
            (masked(0x81, b"a\xff"), 1007),
            (masked(0x81, b"a\xe2\x82"), 1007), // it ends within a character
            (masked(0x01, b"\xed\xa0"), 1007),  // told before the text has ended
            ([masked(0x01, b"\xe2"), masked(0x00, b"a")].concat(), 1007),
            (masked(0x88, b"\x03"), 1002),
            (masked(0x88, b"\x03\xed"), 1002), // 1005 is not sent
            (masked(0x88, b"\x03\xe8\xff"), 1007),
        ] {
            assert_eq!(told(&[&bytes]).last(), Some(&Told::Bad(code)), "{}", bytes.escape_ascii());
            let singly = told(&bytes.chunks(1).collect::<Vec<_>>());
            assert_eq!(singly.last(), Some(&Told::Bad(code)), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn frames_have_the_shortest_length() {
        for (length, header) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 0xff, 0xff]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut wire = Vec::new();
            message(Kind::Text, &vec![b'a'; length], &mut wire);
            assert_eq!((&wire[..header.len()], wire.len()), (&header[..], header.len() + length));
        }
        let mut wire = Vec::new();
        ping(&mut wire);
        pong(b"a", &mut wire);
        close(None, "no", &mut wire);
        close(Some(1001), "off", &mut wire);
        assert_eq!(wire, b"\x89\0\x8a\x01a\x88\0\x88\x05\x03\xe9off");
    }
}
