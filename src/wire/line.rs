//! Lines that end in `\n`. Every split of the same bytes gives the same lines.

use std::fmt;

use memchr::memchr;

/// Cuts a byte stream into lines of UTF-8. A `\r` before the `\n` is dropped.
///
/// A line borrows its decoder, and so whatever holds that. Where the rest of a protocol is needed to act on the line, take the decoder out first,
/// `std::mem::replace(&mut talker.lines, LineDecoder::new(0))`, which allocates nothing, and put it back behind the last line.
///
/// # Examples
///
/// ```
/// use taketurns::wire::LineDecoder;
///
/// let mut decoder = LineDecoder::new(1024);
/// let mut input: &[u8] = b"PI";
/// assert_eq!(decoder.next_line(&mut input), None);
/// let mut input: &[u8] = b"NG\r\nPASS\n";
/// assert_eq!(decoder.next_line(&mut input), Some(Ok("PING")));
/// assert_eq!(decoder.next_line(&mut input), Some(Ok("PASS")));
/// assert_eq!(decoder.next_line(&mut input), None);
/// ```
#[derive(Debug)]
pub struct LineDecoder {
    /// The beginning of a line whose end has not come yet; `line_bytes_max + 2` bytes at most.
    partial: Vec<u8>,
    /// `partial` is a line that was handed out, to be dropped at the next call.
    handed_out: bool,
    line_bytes_max: usize,
}

/// Why a line cannot be taken. The stream is of no use behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineError {
    /// It is longer than allowed, its end not counted.
    TooLong,
    /// It is not UTF-8.
    NotUtf8,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LineError::TooLong => "the line is too long",
            LineError::NotUtf8 => "the line is not UTF-8",
        })
    }
}

impl std::error::Error for LineError {}

impl LineDecoder {
    /// A decoder of lines of at most `line_bytes_max` bytes, their ends not counted.
    #[must_use]
    pub fn new(line_bytes_max: usize) -> LineDecoder {
        LineDecoder { partial: Vec::new(), handed_out: false, line_bytes_max }
    }

    /// The next line of `input`, which is advanced behind it; `None` when more bytes are needed.
    ///
    /// Call it until it says `None`: only then is all of `input` taken.
    pub fn next_line<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Option<Result<&'a str, LineError>> {
        if std::mem::take(&mut self.handed_out) {
            self.partial.clear();
        }
        let Some(end) = memchr(b'\n', input) else {
            return self.keep(input).err().map(Err);
        };
        let (head, rest) = input.split_at(end);
        *input = &rest[1..];
        let line = if self.partial.is_empty() {
            head
        } else {
            if let Err(error) = self.keep(&mut &head[..]) {
                return Some(Err(error));
            }
            self.handed_out = true;
            &self.partial
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > self.line_bytes_max {
            return Some(Err(LineError::TooLong));
        }
        Some(std::str::from_utf8(line).map_err(|_| LineError::NotUtf8))
    }

    /// Whether a line has begun whose end has not come yet.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        !self.partial.is_empty() && !self.handed_out
    }

    /// Takes all of `input` as the beginning of a line, unless that could not become one.
    fn keep(&mut self, input: &mut &[u8]) -> Result<(), LineError> {
        let bytes = std::mem::take(input);
        let length = self.partial.len() + bytes.len();
        let ends_in_return = bytes.last().or(self.partial.last()) == Some(&b'\r');
        if length > self.line_bytes_max + usize::from(ends_in_return) {
            self.partial = Vec::new();
            return Err(LineError::TooLong);
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(chunks: &[&[u8]], max: usize) -> Vec<Result<String, LineError>> {
        let mut decoder = LineDecoder::new(max);
        let mut lines = Vec::new();
        for chunk in chunks {
            let mut input = *chunk;
            while let Some(line) = decoder.next_line(&mut input) {
                lines.push(line.map(str::to_owned));
                if lines.last().is_some_and(Result::is_err) {
                    return lines;
                }
            }
        }
        lines
    }

    #[test]
    fn every_split_gives_the_same_lines() {
        let streams: [&[u8]; 6] = [
            b"PING\nann:5 turn=7\r\n\n\r\nx",
            b"12345678\n12345678\r\n123456789\nnever",
            b"123456789",
            b"1234567\xff\n1",
            "\u{e9}\u{e9}\nok\n".as_bytes(),
            b"\r\r\n\r\n",
        ];
        for bytes in streams {
            let whole = decode(&[bytes], 8);
            for cut in 0..=bytes.len() {
                assert_eq!(decode(&[&bytes[..cut], &bytes[cut..]], 8), whole, "cut at {cut}: {bytes:?}");
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(decode(&single, 8), whole, "byte by byte: {bytes:?}");
        }
    }

    #[test]
    fn the_limit_counts_the_line_without_its_end() {
        assert_eq!(decode(&[b"12345678\r\n"], 8), [Ok("12345678".to_owned())]);
        assert_eq!(decode(&[b"123456789\n"], 8), [Err(LineError::TooLong)]);
        assert_eq!(decode(&[b"12345678\rX"], 8), [Err(LineError::TooLong)]);
    }

    #[test]
    fn a_line_is_partial_from_its_first_byte_to_its_end() {
        let mut decoder = LineDecoder::new(8);
        let mut is_partial_after = |mut bytes: &[u8]| {
            while decoder.next_line(&mut bytes).is_some_and(|line| line.is_ok()) {
                assert!(!decoder.is_partial());
            }
            decoder.is_partial()
        };
        assert_eq!(
            ["", "PI", "", "NG\n", "a\nb", "c", "\n", "d\n"].map(|piece| is_partial_after(piece.as_bytes())),
            [false, true, true, false, true, true, false, false]
        );
    }

    #[test]
    fn an_error_says_what_is_wrong() {
        let errors = [LineError::TooLong, LineError::NotUtf8].map(|error| error.to_string());
        assert_eq!(errors, ["the line is too long", "the line is not UTF-8"]);
    }

    #[test]
    fn an_endless_line_takes_no_more_than_the_limit() {
        let mut decoder = LineDecoder::new(1024);
        let mut refused = false;
        for _ in 0..10_000 {
            let mut input: &[u8] = &[b'a'; 300];
            refused |= matches!(decoder.next_line(&mut input), Some(Err(LineError::TooLong)));
            assert!(decoder.partial.capacity() <= 2 * 1026);
        }
        assert!(refused);
    }

    #[test]
    fn a_whole_line_is_not_copied() {
        let mut decoder = LineDecoder::new(1024);
        let bytes: &[u8] = b"PING\n";
        let mut input = bytes;
        let line = decoder.next_line(&mut input).expect("a line").expect("valid");
        assert_eq!(line.as_ptr(), bytes.as_ptr());
        assert!(!decoder.is_partial());
    }
}
