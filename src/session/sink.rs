//! Writing messages, piece by piece and without the formatting machinery.

use super::fields::is_text;
use crate::wire::SendBuffer;
use crate::wire::message::LINE_BYTES_MAX;

/// Takes the bytes of a message, in order.
pub trait Sink {
    /// Appends `bytes`.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Sink for SendBuffer {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.queue(bytes);
    }
}

/// Counts the bytes of a line as they pass, so that its text or words know the room that is left.
pub(super) struct Counted<'o, S> {
    out: &'o mut S,
    bytes: usize,
}

impl<'o, S: Sink> Counted<'o, S> {
    pub(super) fn new(out: &'o mut S) -> Counted<'o, S> {
        Counted { out, bytes: 0 }
    }

    /// How many bytes still fit behind ` :`.
    fn room(&self) -> usize {
        LINE_BYTES_MAX.saturating_sub(self.bytes + 2)
    }
}

impl<S: Sink> Sink for Counted<'_, S> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.out.put(bytes);
        self.bytes += bytes.len();
    }
}

#[inline]
pub(super) fn put_number(out: &mut impl Sink, number: u64) {
    out.put(itoa::Buffer::new().format(number).as_bytes());
}

pub(super) fn put_hex(out: &mut impl Sink, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.put(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// Ends a line with content of any bytes, as text where that can be, else as a payload behind it.
pub(super) fn put_content(out: &mut Counted<'_, impl Sink>, content: &[u8]) {
    let is_text = content.len() <= out.room() && std::str::from_utf8(content).is_ok_and(is_text);
    if is_text {
        out.put(b" :");
    } else {
        out.put(b" bytes=");
        put_number(out, content.len() as u64);
        out.put(b"\n");
    }
    out.put(content);
    out.put(b"\n");
}

/// Ends a line with words for a person: escaped where they would break the line, cut where it is full.
pub(super) fn put_words(out: &mut Counted<'_, impl Sink>, words: &str) {
    let mut room = out.room();
    out.put(b" :");
    for c in words.chars() {
        let (mut whole, mut escaped) = ([0; 4], [0; 10]);
        let piece =
            if c.is_control() && c != '\t' { escape(c, &mut escaped) } else { c.encode_utf8(&mut whole) };
        if piece.len() > room {
            break;
        }
        room -= piece.len();
        out.put(piece.as_bytes());
    }
    out.put(b"\n");
}

/// `\n`, or `\u{1b}`.
fn escape(c: char, buffer: &mut [u8; 10]) -> &str {
    let mut length = 0;
    for piece in c.escape_default() {
        length += piece.encode_utf8(&mut buffer[length..]).len();
    }
    std::str::from_utf8(&buffer[..length]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(head: usize, put: impl Fn(&mut Counted<'_, Vec<u8>>)) -> String {
        let mut out = Vec::new();
        let mut counted = Counted::new(&mut out);
        counted.put(&vec![b'H'; head]);
        put(&mut counted);
        String::from_utf8(out.split_off(head)).expect("UTF-8")
    }

    #[test]
    fn content_is_text_where_it_fits_and_a_payload_otherwise() {
        for (content, message) in [
            ("", " :\n"),
            (":a\t\u{e9}", " ::a\t\u{e9}\n"),
            ("a\nb", " bytes=3\na\nb\n"),
            ("a\r", " bytes=2\na\r\n"),
        ] {
            assert_eq!(written(3, |out| put_content(out, content.as_bytes())), message);
        }
        let long = "x".repeat(LINE_BYTES_MAX - 5);
        assert_eq!(written(3, |out| put_content(out, long.as_bytes())), format!(" :{long}\n"));
        assert_eq!(written(4, |out| put_content(out, long.as_bytes())), format!(" bytes=1019\n{long}\n"));
    }

    #[test]
    fn words_never_break_a_line() {
        assert_eq!(
            written(3, |out| put_words(out, "a\tb\r\n\u{1b}[2J\u{85}")),
            " :a\tb\\r\\n\\u{1b}[2J\\u{85}\n"
        );
        let long = "\u{e9}".repeat(LINE_BYTES_MAX);
        for head in [3, 4, LINE_BYTES_MAX - 2, 2 * LINE_BYTES_MAX] {
            let line = written(head, |out| put_words(out, &long));
            assert_eq!(
                line.chars().count(),
                3 + LINE_BYTES_MAX.saturating_sub(head + 2) / 2,
                "cut between characters"
            );
        }
    }
}
