//! Messages of the line protocol: a line, and behind it perhaps a payload whose size the line announces with `bytes=`.
//!
//! Nothing is kept between two calls. Bytes that were not used are given again with more behind them, so the same messages come out
//! however the bytes were split. A verb is not known here, so a payload is one on any line: else a text that a client passes on for
//! somebody could be carried out as lines, by announcing it on a line that is refused.

use std::fmt;

use memchr::memchr;

/// The longest line of either side, without its end, except for `JOIN` and `WATCH`.
pub const LINE_BYTES_MAX: usize = 1024;

/// The longest lines and payloads that one side takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest line in bytes, without its end. Default 1,024; at least 6.
    pub line_bytes_max: usize,
    /// The same for lines that begin with `JOIN` or `WATCH`, which carry tokens. Default 8,192.
    pub hello_bytes_max: usize,
    /// The most that `bytes=` may announce. 16 times the largest answer, so that larger ones can be refused without losing the
    /// connection.
    pub payload_bytes_max: usize,
}

impl Limits {
    /// The default limits where an answer has at most `answer_bytes_max` bytes.
    #[must_use]
    pub const fn for_answers(answer_bytes_max: usize) -> Limits {
        Limits {
            line_bytes_max: LINE_BYTES_MAX,
            hello_bytes_max: 8192,
            payload_bytes_max: answer_bytes_max.saturating_mul(16),
        }
    }

    fn of(&self, line: &[u8]) -> usize {
        if line.starts_with(b"JOIN ") || line.starts_with(b"WATCH ") {
            return self.line_bytes_max.max(self.hello_bytes_max);
        }
        self.line_bytes_max
    }
}

/// One line, borrowed from what was read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Line<'i> {
    /// The line without its end.
    pub text: &'i str,
    /// The bytes it took, its end included.
    pub used: usize,
    /// The size of the payload that follows, without its LF.
    pub payload: Option<usize>,
}

/// Without the text, which may carry a secret.
impl fmt::Debug for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("used", &self.used)
            .field("payload", &self.payload)
            .finish_non_exhaustive()
    }
}

/// The reason why a line cannot be taken. The bytes behind it are of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineError {
    /// It is longer than allowed, its end not counted.
    TooLong,
    /// It is not UTF-8.
    NotUtf8,
    /// `bytes=` stands twice, is not a decimal number, is larger than allowed, or stands beside a text.
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

/// There is something else than LF behind a payload. The bytes behind it are of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoLineFeed;

impl fmt::Display for NoLineFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no line feed behind the payload")
    }
}

impl std::error::Error for NoLineFeed {}

/// Cuts the first line off `input`; `None` if it has not ended yet. A CR before the LF is dropped.
///
/// # Errors
///
/// [`LineError`], a line that is too long as soon as it is.
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
        return if line.len() > limits.of(line) { Err(LineError::TooLong) } else { Ok(None) };
    };
    let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
    if line.len() > limits.of(line) {
        return Err(LineError::TooLong);
    }
    let text = std::str::from_utf8(line).map_err(|_| LineError::NotUtf8)?;
    Ok(Some(Line { text, used: end + 1, payload: announced(text, limits.payload_bytes_max)? }))
}

/// The payload of `bytes` bytes that `input` begins with, and how many bytes it took with its LF; `None` if it has not all come yet.
///
/// # Errors
///
/// [`NoLineFeed`]
#[inline]
pub fn split_payload(input: &[u8], bytes: usize) -> Result<Option<(&[u8], usize)>, NoLineFeed> {
    match input.get(bytes) {
        Some(b'\n') => Ok(Some((&input[..bytes], bytes + 1))),
        Some(_) => Err(NoLineFeed),
        None => Ok(None),
    }
}

/// The size that the one `bytes=` in front of the text announces.
#[inline]
fn announced(line: &str, max: usize) -> Result<Option<usize>, LineError> {
    // Few lines of programs have a "y" in them at all.
    if memchr(b'y', line.as_bytes()).is_none() {
        return Ok(None);
    }
    let mut payload = None;
    for (nth, field) in line.split(' ').enumerate() {
        if nth > 0 && field.starts_with(':') {
            return if payload.is_some() { Err(LineError::Payload) } else { Ok(None) };
        }
        let Some(size) = field.strip_prefix("bytes=") else { continue };
        let size = decimal(size).filter(|&size| payload.is_none() && size <= max);
        payload = Some(size.ok_or(LineError::Payload)?);
    }
    Ok(payload)
}

fn decimal(digits: &str) -> Option<usize> {
    digits.parse().ok().filter(|_| !digits.starts_with('+'))
}
