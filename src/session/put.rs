//! Writing messages, piece by piece and without the formatting machinery.

use super::fields::is_text;
use crate::wire::message::LINE_BYTES_MAX;

/// How many bytes still fit after ` :` on the line that begins at `start` and ends `out`.
fn room(out: &[u8], start: usize) -> usize {
    LINE_BYTES_MAX.saturating_sub(out.len() - start + 2)
}

#[inline]
pub(super) fn put_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

pub(super) fn put_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// Ends the line that begins at `start` with content of any bytes: as text if possible, otherwise as a
/// payload after it.
pub(super) fn put_content(out: &mut Vec<u8>, start: usize, content: &[u8]) {
    let is_text = content.len() <= room(out, start) && std::str::from_utf8(content).is_ok_and(is_text);
    if is_text {
        out.extend_from_slice(b" :");
    } else {
        out.extend_from_slice(b" bytes=");
        put_number(out, content.len() as u64);
        out.extend_from_slice(b"\n");
    }
    out.extend_from_slice(content);
    out.extend_from_slice(b"\n");
}

/// Ends the line that begins at `start` with words for a person: escaped where they would break the line, cut
/// where it is full.
pub(super) fn put_words(out: &mut Vec<u8>, start: usize, words: &str) {
    let mut room = room(out, start);
    out.extend_from_slice(b" :");
    for c in words.chars() {
        let (mut whole, mut escaped) = ([0; 4], [0; 10]);
        let piece =
            if c.is_control() && c != '\t' { escape(c, &mut escaped) } else { c.encode_utf8(&mut whole) };
        if piece.len() > room {
            break;
        }
        room -= piece.len();
        out.extend_from_slice(piece.as_bytes());
    }
    out.extend_from_slice(b"\n");
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

    /// The text that is put after a head of `head` bytes, which follows another line.
    fn written(head: usize, put: impl Fn(&mut Vec<u8>, usize)) -> String {
        let mut out = b"BEFORE\n".to_vec();
        let start = out.len();
        out.resize(start + head, b'H');
        put(&mut out, start);
        String::from_utf8(out.split_off(start + head)).expect("UTF-8")
    }

    #[test]
    fn content_is_text_where_it_fits_and_a_payload_otherwise() {
        for (content, message) in [
            ("", " :\n"),
            (":a\t\u{e9}", " ::a\t\u{e9}\n"),
            ("a\nb", " bytes=3\na\nb\n"),
            ("a\r", " bytes=2\na\r\n"),
        ] {
            assert_eq!(written(3, |out, start| put_content(out, start, content.as_bytes())), message);
        }
        let long = "x".repeat(LINE_BYTES_MAX - 5);
        assert_eq!(written(3, |out, start| put_content(out, start, long.as_bytes())), format!(" :{long}\n"));
        assert_eq!(
            written(4, |out, start| put_content(out, start, long.as_bytes())),
            format!(" bytes=1019\n{long}\n")
        );
    }

    #[test]
    fn words_never_break_a_line() {
        assert_eq!(
            written(3, |out, start| put_words(out, start, "a\tb\r\n\u{1b}[2J\u{85}")),
            " :a\tb\\r\\n\\u{1b}[2J\\u{85}\n"
        );
        let long = "\u{e9}".repeat(LINE_BYTES_MAX);
        for head in [3, 4, LINE_BYTES_MAX - 2, 2 * LINE_BYTES_MAX] {
            let line = written(head, |out, start| put_words(out, start, &long));
            assert_eq!(
                line.chars().count(),
                3 + LINE_BYTES_MAX.saturating_sub(head + 2) / 2,
                "cut between characters"
            );
        }
    }
}
