//! Other protocols, recognised by the first line of a connection.
//!
//! A web page can make its reader's browser send any text to a loopback port. If only the first line were
//! refused, the following lines, which the page chose, would be carried out.

/// Returns whether the first line of a connection belongs to another protocol: an HTTP request line, a TLS
/// hello, an SSH banner, or anything with control characters or invalid UTF-8.
///
/// `bytes` are those that have arrived so far: perhaps only the beginning of the line, perhaps more than it.
/// More bytes never turn a yes into a no. A request line is recognised once it is complete.
///
/// # Examples
///
/// ```
/// use taketurns::session::looks_foreign;
///
/// assert!(looks_foreign(b"GET / HTTP/1.1\r\n"));
/// assert!(!looks_foreign(b"JOIN ann\n"));
/// ```
#[must_use]
pub fn looks_foreign(bytes: &[u8]) -> bool {
    is_foreign(bytes, Extent::Begun)
}

/// The part of a message that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// More may follow.
    Begun,
    /// All of it.
    Whole,
    /// A piece of a message that is not ours: it is too long, or it has no delimiter and may have been cut
    /// anywhere.
    Cut,
}

/// Whether the first input of a connection belongs to another protocol, as [`looks_foreign`], in any framing.
///
/// A piece is a request line if it begins or ends like one: a web page chooses the length of its address, and
/// the bytes after it.
pub(crate) fn is_foreign(message: &[u8], extent: Extent) -> bool {
    let end = memchr::memchr(b'\n', message);
    let line = &message[..end.unwrap_or(message.len())];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let is_whole = end.is_some() || extent == Extent::Whole;
    begins_tls(line)
        || line.starts_with(b"SSH-")
        || !is_clean(line, is_whole)
        || is_whole && is_http(line)
        || extent == Extent::Cut
            && (begins_request(line) && end.is_none() || ends_request(line) && end.is_some())
}

/// Whether it is the beginning of a TLS handshake.
pub(crate) fn begins_tls(message: &[u8]) -> bool {
    message.starts_with(b"\x16\x03")
}

fn begins_request(line: &[u8]) -> bool {
    let mut word = FirstWord::default();
    word.take(line);
    word == FirstWord::Method
}

/// Whether it is the end of `POST / HTTP/1.1`.
fn ends_request(line: &[u8]) -> bool {
    line.rsplit(|&byte| byte == b' ').next().is_some_and(|version| version.starts_with(b"HTTP/1."))
}

/// Whether the line has no control character but TAB, and is UTF-8 as far as it goes.
fn is_clean(line: &[u8], is_whole: bool) -> bool {
    let valid = match std::str::from_utf8(line) {
        Ok(text) => Ok(text),
        Err(error) if error.error_len().is_none() && !is_whole => {
            std::str::from_utf8(&line[..error.valid_up_to()])
        }
        Err(error) => Err(error),
    };
    valid.is_ok_and(super::fields::is_text)
}

/// Whether it is `GET <anything> HTTP/1.<x>`, or the same with another method.
fn is_http(line: &[u8]) -> bool {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(_), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    !method.is_empty() && method.iter().copied().all(may_be_in_method) && version.starts_with(b"HTTP/1.")
}

/// A web page may invent methods, such as `17` or `x`, of all bytes of an HTTP token.
fn may_be_in_method(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The first word of a connection without delimiters, whose first line may come in any number of pieces: each
/// is a message of its own, and none of them needs to look like a request line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstWord {
    /// Nothing but capitals so far. They are counted up to the length of the shortest method that is not
    /// invented.
    Capitals(u8),
    /// Another word that may be a method.
    Invented,
    /// Such a word and a space. With a `/` after that it is a method.
    Space,
    /// A method of HTTP.
    Method,
    Other,
}

/// The methods that are not invented have at least three letters.
const METHOD_BYTES_MIN: u8 = 3;

impl Default for FirstWord {
    fn default() -> FirstWord {
        FirstWord::Capitals(0)
    }
}

impl FirstWord {
    /// Takes the next piece of the line.
    pub(crate) fn take(&mut self, piece: &[u8]) {
        for &byte in if self.has_begun() { piece } else { piece.trim_ascii_start() } {
            if matches!(*self, FirstWord::Method | FirstWord::Other) {
                return;
            }
            *self = match (*self, byte) {
                (FirstWord::Capitals(capitals), b'A'..=b'Z') => {
                    FirstWord::Capitals((capitals + 1).min(METHOD_BYTES_MIN))
                }
                (FirstWord::Capitals(METHOD_BYTES_MIN), b' ') | (FirstWord::Space, b'/') => FirstWord::Method,
                (FirstWord::Capitals(1..) | FirstWord::Invented, b' ') => FirstWord::Space,
                (FirstWord::Capitals(_) | FirstWord::Invented, byte) if may_be_in_method(byte) => {
                    FirstWord::Invented
                }
                _ => FirstWord::Other,
            };
        }
    }

    /// Whether any of it has come.
    pub(crate) fn has_begun(self) -> bool {
        self != FirstWord::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREIGN: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"POST /a?b=c HTTP/1.0\n",
        b"get / HTTP/1.1\n",
        b"17 / HTTP/1.1\r\n",
        b"M-SEARCH / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"PI\x00NG\n",
        b"a:\xff1\n",
        b"J\xc3\n",
        b"a\rb\n",
        b"\x1b[2J\n",
        b"\xc2\x85\n",
    ];

    const OURS: &[&[u8]] = &[
        b"",
        b"JOIN ann\r\nGET / HTTP/1.1\r\n",
        b"Client1:1",
        "J\u{f6}rg:5\r\n".as_bytes(),
        b"ANSWER :tab\there\n",
        b"GET / HTTP/1.1 x\n",
        b"g:t / HTTP/1.1\n",
        b"PUT  5\n",
        b"a\n\x16\x03\xff",
        b"two words:3\r",
    ];

    #[test]
    fn other_protocols_are_told_by_their_first_line() {
        assert!(FOREIGN.iter().all(|line| looks_foreign(line)));
        assert!(!OURS.iter().any(|line| looks_foreign(line)));
    }

    #[test]
    fn a_request_line_without_end_is_told_by_its_method() {
        let cut = [b"POST /".as_slice(), &[b'a'; 5000]].concat();
        assert!(!looks_foreign(&cut) && !is_foreign(&cut, Extent::Whole) && is_foreign(&cut, Extent::Cut));
        for rest in [&b" / HTTP/1.1\r\nHost: x\r\n"[..], b"/ HTTP/1.0\n", b"HTTP/1.1\r\n"] {
            assert!(is_foreign(rest, Extent::Cut) && !is_foreign(rest, Extent::Begun));
        }
        let head = b"POST / HTTP/1.1";
        assert!(!looks_foreign(head) && is_foreign(head, Extent::Whole));
        assert!(!looks_foreign(b"a\xc3") && is_foreign(b"a\xc3", Extent::Whole));
        for method in ["x", "17", "patch", "M-SEARCH", "C"] {
            let cut = format!("{method} /{}", "a".repeat(5000));
            assert!(!looks_foreign(cut.as_bytes()) && is_foreign(cut.as_bytes(), Extent::Cut));
        }
        for ours in [&b"C 0 dance"[..], b"Client1:1", b"GE x", b"GET:1", b"GET x\ny", b"", b"/ /", b"x"] {
            assert!(!is_foreign(ours, Extent::Cut), "{}", ours.escape_ascii());
        }
    }

    #[test]
    fn the_first_word_is_the_same_in_any_pieces() {
        for (line, word) in [
            (&b"POST / HTTP/1.1"[..], FirstWord::Method),
            (b"\r\nGET /", FirstWord::Method),
            (b"PROPFIND ", FirstWord::Method),
            (b"17 /", FirstWord::Method),
            (b"C /", FirstWord::Method),
            (b"M-SEARCH /a", FirstWord::Method),
            (b"17 5", FirstWord::Other),
            (b"Post ", FirstWord::Space),
            (b"POST1", FirstWord::Invented),
            (b" /", FirstWord::Other),
            (b"PO", FirstWord::Capitals(2)),
            (b"POST", FirstWord::Capitals(3)),
            (b"POST\n /", FirstWord::Other),
            (b"C 0 dance", FirstWord::Other),
            (b"Client1:1", FirstWord::Other),
            (b"ANN:1 x", FirstWord::Other),
            (b" \n", FirstWord::Capitals(0)),
        ] {
            for (first, second) in (0..=line.len()).flat_map(|at| (at..=line.len()).map(move |to| (at, to))) {
                let mut pieces = FirstWord::default();
                for piece in [&line[..first], &line[first..second], &line[second..]] {
                    pieces.take(piece);
                }
                assert_eq!(pieces, word, "{}", line.escape_ascii());
            }
        }
    }

    #[test]
    fn more_bytes_turn_no_yes_into_a_no() {
        for bytes in FOREIGN.iter().chain(OURS) {
            let verdicts: Vec<bool> = (0..=bytes.len()).map(|end| looks_foreign(&bytes[..end])).collect();
            assert!(verdicts.is_sorted(), "{}", bytes.escape_ascii());
        }
    }
}
