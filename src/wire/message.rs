//! Messages of the line protocol: a line, possibly followed by a payload whose size the line announces with
//! `bytes=`.
//!
//! The functions keep no state. The caller passes unused bytes again, followed by more, so the messages do
//! not depend on how the bytes were split.
//!
//! No verbs are known here: `bytes=` announces a payload on any line, even on one that the protocol will
//! refuse. Otherwise text that a client passes on for its user could be executed as lines.

use std::fmt;

use memchr::memchr;

/// The longest line of either side, without its end. `JOIN` and `WATCH` may be longer.
pub const LINE_BYTES_MAX: usize = 1024;

/// The longest lines and payloads that one side accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// The longest line in bytes, without its end. Default 1,024; at least 6.
    pub line_bytes_max: usize,
    /// The same for lines that begin with `JOIN` or `WATCH`, because they carry tokens. Default 8,192.
    pub hello_bytes_max: usize,
    /// The most that `bytes=` may announce: 16 times the largest answer, so that larger ones can be refused
    /// without losing the connection.
    pub payload_bytes_max: usize,
}

impl Limits {
    /// Returns the default limits for answers of at most `answer_bytes_max` bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::wire::message::Limits;
    ///
    /// assert_eq!(Limits::for_answers(16 * 1024).payload_bytes_max, 256 * 1024);
    /// ```
    #[must_use]
    pub const fn for_answers(answer_bytes_max: usize) -> Limits {
        Limits {
            line_bytes_max: LINE_BYTES_MAX,
            hello_bytes_max: 8192,
            payload_bytes_max: answer_bytes_max.saturating_mul(16),
        }
    }

    fn are_broken_by(&self, line: &[u8]) -> bool {
        let is_hello = || line.starts_with(b"JOIN ") || line.starts_with(b"WATCH ");
        line.len() > self.line_bytes_max && (line.len() > self.hello_bytes_max || !is_hello())
    }
}

/// One line, borrowed from the input.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Line<'i> {
    /// The line without its end.
    pub text: &'i str,
    /// The length of the line in the input, including its end.
    pub used: usize,
    /// The size of the payload that follows, without its LF.
    pub payload: Option<usize>,
}

/// The text is not shown, because it may contain a secret.
impl fmt::Debug for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("used", &self.used)
            .field("payload", &self.payload)
            .finish_non_exhaustive()
    }
}

/// The reason why a line is invalid. The bytes after it cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineError {
    /// It is longer than allowed, without its end.
    TooLong,
    /// It is not UTF-8.
    NotUtf8,
    /// `bytes=` occurs twice, is not a decimal number, is larger than allowed, or is on a line with a text.
    Payload,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LineError::TooLong => "the line is too long",
            LineError::NotUtf8 => "the line is not UTF-8",
            LineError::Payload => "the line does not say where its payload ends",
        })
    }
}

impl std::error::Error for LineError {}

/// Something other than LF follows a payload. The bytes after it cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoLineFeed;

impl fmt::Display for NoLineFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no line feed after the payload")
    }
}

impl std::error::Error for NoLineFeed {}

/// Splits off the first line of `input`; `None` if it has not ended yet. A CR before the LF is dropped.
///
/// # Errors
///
/// Returns [`LineError`] if the line is malformed or too long; the latter as soon as it is certain.
///
/// # Examples
///
/// ```
/// use taketurns::wire::message::{Limits, split_line, split_payload};
///
/// let limits = Limits::for_answers(1024);
/// assert_eq!(split_line(b"PI", &limits), Ok(None));
///
/// let input = b"ANSWER turn=3 bytes=4\na\nb\n\nPING\n";
/// let line = split_line(input, &limits)?.expect("it has ended");
/// assert_eq!((line.text, line.payload), ("ANSWER turn=3 bytes=4", Some(4)));
///
/// let (payload, used) = split_payload(&input[line.used..], 4)?.expect("it has come");
/// assert_eq!((payload, &input[line.used + used..]), (&b"a\nb\n"[..], &b"PING\n"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[inline]
pub fn split_line<'i>(input: &'i [u8], limits: &Limits) -> Result<Option<Line<'i>>, LineError> {
    let Some(end) = memchr(b'\n', input) else {
        let line = input.strip_suffix(b"\r").unwrap_or(input);
        return if limits.are_broken_by(line) { Err(LineError::TooLong) } else { Ok(None) };
    };
    let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
    if limits.are_broken_by(line) {
        return Err(LineError::TooLong);
    }
    let text = std::str::from_utf8(line).map_err(|_| LineError::NotUtf8)?;
    Ok(Some(Line { text, used: end + 1, payload: announced(text.as_bytes(), limits.payload_bytes_max)? }))
}

/// Splits off a payload of `bytes` bytes, and returns its length with the LF; `None` if it has not all
/// arrived.
///
/// # Errors
///
/// Returns [`NoLineFeed`] if another byte follows the payload.
///
/// # Examples
///
/// ```
/// use taketurns::wire::message::{NoLineFeed, split_payload};
///
/// assert_eq!(split_payload(b"hello\nmore", 5), Ok(Some((&b"hello"[..], 6))));
/// assert_eq!(split_payload(b"hel", 5), Ok(None), "the rest has not come");
/// assert_eq!(split_payload(b"hello!", 5), Err(NoLineFeed));
/// ```
#[inline]
pub fn split_payload(input: &[u8], bytes: usize) -> Result<Option<(&[u8], usize)>, NoLineFeed> {
    match input.get(bytes) {
        Some(b'\n') => Ok(Some((&input[..bytes], bytes + 1))),
        Some(_) => Err(NoLineFeed),
        None => Ok(None),
    }
}

/// Returns the size announced by the only `bytes=` before the text.
#[inline]
pub(crate) fn announced(line: &[u8], max: usize) -> Result<Option<usize>, LineError> {
    // Few lines of programs contain a "y" at all.
    if memchr(b'y', line).is_none() {
        return Ok(None);
    }
    let mut payload = None;
    for (nth, field) in line.split(|&byte| byte == b' ').enumerate() {
        if nth > 0 && field.starts_with(b":") {
            return if payload.is_some() { Err(LineError::Payload) } else { Ok(None) };
        }
        let Some(size) = field.strip_prefix(b"bytes=") else { continue };
        let size = decimal(size).filter(|&size| payload.is_none() && size <= max);
        payload = Some(size.ok_or(LineError::Payload)?);
    }
    Ok(payload)
}

fn decimal(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|_| !digits.starts_with(b"+"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { line_bytes_max: 24, hello_bytes_max: 40, payload_bytes_max: 30 };

    /// A line and its payload.
    type Message = (String, Option<Vec<u8>>);

    /// Returns the first message of `input` and its length.
    fn first(input: &[u8]) -> Result<Option<(Message, usize)>, String> {
        let Some(line) = split_line(input, &LIMITS).map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let Some(bytes) = line.payload else { return Ok(Some(((line.text.to_owned(), None), line.used))) };
        let payload = split_payload(&input[line.used..], bytes).map_err(|error| error.to_string())?;
        Ok(payload.map(|(payload, used)| ((line.text.to_owned(), Some(payload.to_vec())), line.used + used)))
    }

    /// Returns all messages of a stream that arrives in `chunks`, up to the first error.
    fn messages(chunks: &[&[u8]]) -> Vec<Result<Message, String>> {
        let (mut kept, mut messages) = (Vec::new(), Vec::new());
        for chunk in chunks {
            kept.extend_from_slice(chunk);
            loop {
                match first(&kept) {
                    Ok(None) => break,
                    Ok(Some((message, used))) => {
                        messages.push(Ok(message));
                        kept.drain(..used);
                    }
                    Err(error) => {
                        messages.push(Err(error));
                        return messages;
                    }
                }
            }
        }
        messages
    }

    fn payload_of(line: &str) -> Result<Option<usize>, LineError> {
        let limits = Limits { line_bytes_max: 100, ..LIMITS };
        let bytes = format!("{line}\n");
        split_line(bytes.as_bytes(), &limits).map(|line| line.expect("it has ended").payload)
    }

    /// L1
    #[test]
    fn every_split_gives_the_same_messages() {
        let streams: [&[u8]; 9] = [
            b"PING\nANSWER bytes=5\n\nPING\nLEAVE\r\n\n\r\nx",
            b"ANSWER turn=3 bytes=0\n\nPASS\n",
            b"ANSWER bytes=3\nabcd\nPING\n",
            b"ANSWER bytes=3\nabc\r\nPING\n",
            b"JOIN 5678901234567890123456789012345678\nJOIN 56789012345678901234567890123456789\n",
            b"123456789012345678901234\r\n1234567890123456789012345\nPING\n",
            b"PING\n1234567\xff\nPING\n",
            "\u{e9}\u{e9}\nok\n".as_bytes(),
            b"PASS bytes=1 bytes=1\na\n",
        ];
        for bytes in streams {
            let whole = messages(&[bytes]);
            for cut in 0..=bytes.len() {
                assert_eq!(
                    messages(&[&bytes[..cut], &bytes[cut..]]),
                    whole,
                    "cut at {cut}: {}",
                    bytes.escape_ascii()
                );
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(messages(&single), whole, "byte by byte: {}", bytes.escape_ascii());
        }
    }

    #[test]
    fn the_limit_counts_a_line_without_its_end_and_is_larger_for_hello_lines() {
        for (verb, max) in [("PASS ", 24), ("JOIN ", 40), ("WATCH ", 40), ("JOINED ", 24), ("WATCHING ", 24)]
        {
            let line = format!("{verb:x<max$}");
            for end in ["", "\n", "\r\n", "\r"] {
                let taken = split_line(format!("{line}{end}").as_bytes(), &LIMITS).map(|_| ());
                assert_eq!(taken, Ok(()), "{line}{end:?}");
                let taken = split_line(format!("{line}x{end}").as_bytes(), &LIMITS).map(|_| ());
                assert_eq!(taken, Err(LineError::TooLong), "{line}x{end:?}");
            }
        }
    }

    /// L13
    #[test]
    fn one_decimal_size_announces_a_payload_on_any_line() {
        for line in [
            "ANSWER bytes=5",
            "ANSWER bytes=005 turn=3",
            "PASS bytes=5",
            "what ever  bytes=5",
            "bytes=5",
            ":x bytes=5",
        ] {
            assert_eq!(payload_of(line), Ok(Some(5)), "{line}");
        }
        assert_eq!((payload_of("A bytes=0"), payload_of("A bytes=30")), (Ok(Some(0)), Ok(Some(30))));
        for line in [
            "ANSWER :bytes=5",
            "ANSWER turn=3 :a bytes=5 bytes=x",
            "A xbytes=5",
            "A bytes",
            "A BYTES=5",
            "A x=bytes=5",
        ] {
            assert_eq!(payload_of(line), Ok(None), "{line}");
        }
    }

    /// L13
    #[test]
    fn a_payload_without_a_valid_size_is_an_error() {
        for line in [
            "ANSWER bytes=5 bytes=5",
            "ANSWER bytes=5 x bytes=",
            "ANSWER bytes=",
            "ANSWER bytes=+5",
            "ANSWER bytes=-5",
            "ANSWER bytes=5x",
            "ANSWER bytes=0x5",
            "ANSWER bytes=31",
            "ANSWER bytes=99999999999999999999999",
            "ANSWER bytes=5 :text",
            "ANSWER bytes=x :text",
            "ANSWER bytes=\u{665}",
        ] {
            assert_eq!(payload_of(line), Err(LineError::Payload), "{line}");
        }
    }

    /// L13
    #[test]
    fn a_payload_is_never_executed_as_lines() {
        let messages = messages(&[b"A turn=3 turn=4 bytes=6\nLEAVE\n\nPING\n"]);
        let refused = Ok(("A turn=3 turn=4 bytes=6".to_owned(), Some(b"LEAVE\n".to_vec())));
        assert_eq!(messages, [refused, Ok(("PING".to_owned(), None))]);
    }

    #[test]
    fn the_debug_output_of_a_line_hides_its_text() {
        let line = split_line(b"JOIN ann token=x\n", &LIMITS).expect("fine").expect("it has ended");
        assert_eq!(format!("{line:?}"), "Line { used: 17, payload: None, .. }");
    }
}
