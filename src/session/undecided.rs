//! A connection whose framing is not known yet: old raw clients and clients that speak lines share one
//! address.

use super::raw::RawAnswer;
use crate::time::{Alarm, Instant, earlier};

/// A connection that has sent too little to decide.
#[derive(Debug)]
pub(crate) struct Undecided {
    /// The time at which it is treated as a raw client, if it stays silent.
    pub(crate) raw_at: Instant,
    /// The deadline by which the bytes must show a framing, once some have come.
    pub(crate) begun_until: Option<Instant>,
    pub(crate) alarm: Alarm,
}

/// The framing of a connection, as far as its first bytes show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guess {
    /// A verb of the line protocol may have begun.
    Unknown,
    /// A WebSocket handshake, over which lines will come.
    Web,
    /// The line protocol, if it is one of this server's at all.
    Line,
    /// A raw answer.
    Raw,
}

impl Undecided {
    pub(crate) fn new(raw_at: Instant) -> Undecided {
        Undecided { raw_at, begun_until: None, alarm: Alarm::default() }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        earlier(self.begun_until, self.begun_until.is_none().then_some(self.raw_at))
    }
}

/// Beginnings that only lines have.
const VERBS: [&[u8]; 3] = [b"JOIN ", b"WATCH", b"PING"];

/// The beginning of a WebSocket handshake.
pub(crate) const HANDSHAKE: &[u8] = b"GET ";

impl Guess {
    /// Judges the first bytes of a connection, which may become a WebSocket if `can_upgrade`.
    pub(crate) fn of(bytes: &[u8], can_upgrade: bool) -> Guess {
        if can_upgrade && bytes.starts_with(HANDSHAKE) {
            return Guess::Web;
        }
        if can_upgrade && HANDSHAKE.starts_with(bytes) {
            return Guess::Unknown;
        }
        if VERBS.iter().any(|verb| bytes.starts_with(verb)) {
            return Guess::Line;
        }
        if VERBS.iter().any(|verb| verb.starts_with(bytes)) {
            return Guess::Unknown;
        }
        let is_line = bytes.contains(&b'\n');
        match RawAnswer::read(bytes.trim_ascii()) {
            Some(_) if !is_line => Guess::Raw,
            _ => Guess::Line,
        }
    }

    /// Returns whether a client that was treated as raw begins to send lines.
    pub(crate) fn may_be_line(bytes: &[u8]) -> bool {
        VERBS.iter().any(|verb| bytes.starts_with(verb) || verb.starts_with(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_framing() {
        for (bytes, guess) in [
            (&b"J"[..], Guess::Unknown),
            (b"JOIN", Guess::Unknown),
            (b"JOIN ", Guess::Line),
            (b"JOIN ann\n", Guess::Line),
            (b"WATCH", Guess::Line),
            (b"PING\r\n", Guess::Line),
            (b"P", Guess::Unknown),
            (b"Client1:1", Guess::Raw),
            (b"JOIN:1", Guess::Raw),
            (b"Client1:1\n", Guess::Line),
            (b"ANSWER :x\n", Guess::Line),
            (b"GET / HTTP/1.1\r\n", Guess::Line),
            (b"Client", Guess::Line),
            (b"a:1:2", Guess::Line),
        ] {
            assert_eq!(Guess::of(bytes, false), guess, "{}", bytes.escape_ascii());
        }
        for (bytes, guess) in [
            (&b"G"[..], Guess::Unknown),
            (b"GET", Guess::Unknown),
            (b"GET / HTTP/1.1\r\n", Guess::Web),
            (b"GO", Guess::Line),
            (b"POST / HTTP/1.1\r\n", Guess::Line),
            (b"JOIN", Guess::Unknown),
        ] {
            assert_eq!(Guess::of(bytes, true), guess, "{}", bytes.escape_ascii());
        }
    }
}
