//! Lines that end in `\n`. Every split of the same bytes gives the same lines.

use std::fmt;

use memchr::memchr;

/// The reason why a line is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineError {
    /// It is longer than allowed, without its end.
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

/// The first line of some input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Line<'a> {
    /// The line without its end, or the reason why it is invalid.
    pub text: Result<&'a str, LineError>,
    /// The length of the line in the input, including its end. At least 1.
    pub used: usize,
    /// Whether its end has arrived. Only a line that is too long is returned without it.
    pub has_end: bool,
}

/// Finds the first line of `input`. A `\r` before the `\n` is dropped.
///
/// Returns `None` while the end of the line is missing: call it again with the same bytes and those that
/// follow. A line longer than `line_bytes_max`, without its end, is an error as soon as that is certain, so
/// that at most two bytes beyond the limit have to be kept.
///
/// # Examples
///
/// ```
/// use taketurns::wire::split_line;
///
/// let input = b"PING\r\nPASS\nLEA";
/// let first = split_line(input, 1024).unwrap();
/// assert_eq!((first.text, first.used), (Ok("PING"), 6));
/// let second = split_line(&input[6..], 1024).unwrap();
/// assert_eq!((second.text, second.used), (Ok("PASS"), 5));
/// assert_eq!(split_line(&input[11..], 1024), None);
/// ```
#[must_use]
#[inline]
pub fn split_line(input: &[u8], line_bytes_max: usize) -> Option<Line<'_>> {
    let Some(end) = memchr(b'\n', input) else { return too_long(input, line_bytes_max) };
    let line = &input[..end];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = match line.len() <= line_bytes_max {
        true => std::str::from_utf8(line).map_err(|_| LineError::NotUtf8),
        false => Err(LineError::TooLong),
    };
    Some(Line { text, used: end + 1, has_end: true })
}

/// Returns the beginning of a line that is already too long. A `\r` at its end may belong to the end of the
/// line.
fn too_long(input: &[u8], line_bytes_max: usize) -> Option<Line<'_>> {
    let line = input.strip_suffix(b"\r").unwrap_or(input);
    let is_too_long = line.len() > line_bytes_max;
    is_too_long.then_some(Line { text: Err(LineError::TooLong), used: input.len(), has_end: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the lines that a protocol reads from `chunks`, up to the first error.
    fn split(chunks: &[&[u8]], max: usize) -> Vec<Result<String, LineError>> {
        let (mut kept, mut lines) = (Vec::new(), Vec::new());
        for chunk in chunks {
            kept.extend_from_slice(chunk);
            while let Some(line) = split_line(&kept, max) {
                lines.push(line.text.map(str::to_owned));
                if line.text.is_err() {
                    return lines;
                }
                kept.drain(..line.used);
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
            let whole = split(&[bytes], 8);
            for cut in 0..=bytes.len() {
                assert_eq!(split(&[&bytes[..cut], &bytes[cut..]], 8), whole, "cut at {cut}: {bytes:?}");
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(split(&single, 8), whole, "byte by byte: {bytes:?}");
        }
    }

    #[test]
    fn the_limit_counts_the_line_without_its_end() {
        assert_eq!(split(&[b"12345678\r\n"], 8), [Ok("12345678".to_owned())]);
        assert_eq!(split(&[b"123456789\n"], 8), [Err(LineError::TooLong)]);
        assert_eq!(split(&[b"12345678\rX"], 8), [Err(LineError::TooLong)]);
    }

    #[test]
    fn a_line_that_is_too_long_is_known_before_its_end() {
        assert_eq!(split_line(b"12345678\r", 8), None, "its end may follow");
        let line = split_line(b"123456789", 8).expect("too long");
        assert_eq!((line.text, line.used, line.has_end), (Err(LineError::TooLong), 9, false));
        let line = split_line(b"123456789\nok\n", 8).expect("too long");
        assert_eq!((line.text, line.used, line.has_end), (Err(LineError::TooLong), 10, true));
    }

    #[test]
    fn an_error_has_a_text() {
        let errors = [LineError::TooLong, LineError::NotUtf8].map(|error| error.to_string());
        assert_eq!(errors, ["the line is too long", "the line is not UTF-8"]);
    }

    #[test]
    fn a_line_is_not_copied() {
        let bytes: &[u8] = b"PING\n";
        let line = split_line(bytes, 1024).expect("a line").text.expect("valid");
        assert_eq!(line.as_ptr(), bytes.as_ptr());
    }
}
