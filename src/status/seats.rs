//! The last answer of each seat, and how long it has held the turn. An entry lives as long as its seat.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::turn::{SeatId, TurnNumber};

/// The most characters of an answer that are shown.
const SHOWN_CHARS_MAX: usize = 40;

#[derive(Debug, Default)]
pub(super) struct Seats {
    seats: HashMap<SeatId, SeatActivity>,
}

#[derive(Debug, Default)]
struct SeatActivity {
    /// The last turn that the seat answered.
    turn: Option<TurnNumber>,
    /// That answer, as displayed.
    answer: String,
    /// The total time for which the seat held turns that have ended.
    held: Duration,
}

impl Seats {
    /// Records an accepted answer of `seat`.
    pub(super) fn record_answer(&mut self, seat: SeatId, turn: TurnNumber, answer: &[u8]) {
        let activity = self.seats.entry(seat).or_default();
        activity.turn = Some(turn);
        activity.answer.clear();
        write_excerpt(answer, &mut activity.answer);
    }

    pub(super) fn add_held(&mut self, seat: SeatId, time: Duration) {
        self.seats.entry(seat).or_default().held += time;
    }

    pub(super) fn total_held(&self, seat: SeatId) -> Duration {
        self.seats.get(&seat).map_or(Duration::ZERO, |activity| activity.held)
    }

    /// Returns the last answer of `seat`, as displayed, and its turn.
    pub(super) fn last_answer(&self, seat: SeatId) -> Option<(TurnNumber, &str)> {
        let activity = self.seats.get(&seat)?;
        Some((activity.turn?, &activity.answer))
    }

    pub(super) fn forget(&mut self, seat: SeatId) {
        self.seats.remove(&seat);
    }
}

/// Returns a peer's bytes as a page can display them; see [`write_excerpt`].
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let mut text = String::new();
    write_excerpt(bytes, &mut text);
    text
}

/// Appends the beginning of a peer's `bytes`, in a form that cannot hide or rearrange the text around it: at
/// most 40 characters, followed by `…` if there are more. Invisible characters and invalid UTF-8 are escaped.
fn write_excerpt(bytes: &[u8], text: &mut String) {
    // A character has at most four bytes, so one that is cut at the end of `head` comes after all that are
    // shown.
    let head = &bytes[..bytes.len().min(4 * SHOWN_CHARS_MAX + 4)];
    let mut left = SHOWN_CHARS_MAX;
    let mut escaped = String::new();
    for chunk in head.utf8_chunks() {
        let chars = chunk.valid().chars().map(Ok);
        for part in chars.chain(chunk.invalid().iter().map(|&byte| Err(byte))) {
            escaped.clear();
            // Writing to a string cannot fail.
            let _ = match part {
                Ok(c @ ('\'' | '"' | '\\')) => write!(escaped, "{c}"),
                Ok(c) => write!(escaped, "{}", c.escape_debug()),
                Err(byte) => write!(escaped, "\\x{byte:02x}"),
            };
            let len = escaped.chars().count();
            if len > left {
                text.push('…');
                return;
            }
            text.push_str(&escaped);
            left -= len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_shows_text_as_it_is_and_escapes_the_rest() {
        for (answer, shown) in [
            ("-17", "-17"),
            ("", ""),
            ("it's \"C:\\\"", "it's \"C:\\\""),
            ("Jörg 王 🎉", "Jörg 王 🎉"),
            ("<b>bold</b>", "<b>bold</b>"),
            ("two\nlines\tand\0", "two\\nlines\\tand\\0"),
            ("\u{202e}evil\u{200b}", "\\u{202e}evil\\u{200b}"),
        ] {
            assert_eq!(excerpt(answer.as_bytes()), shown);
        }
        assert_eq!(excerpt(b"a\xff\xe2\x82"), "a\\xff\\xe2\\x82");
    }

    #[test]
    fn an_excerpt_has_forty_characters_at_most_however_long_the_answer() {
        for c in ["x", "é", "王", "🎉"] {
            assert_eq!(excerpt(c.repeat(40).as_bytes()), c.repeat(40));
            assert_eq!(excerpt(c.repeat(41).as_bytes()), c.repeat(40) + "…");
            assert_eq!(excerpt(c.repeat(10_000).as_bytes()), c.repeat(40) + "…");
            assert_eq!(excerpt(format!("y{}", c.repeat(10_000)).as_bytes()), format!("y{}…", c.repeat(39)));
        }
        assert_eq!(excerpt(&[0xff; 99]), "\\xff".repeat(10) + "…");
        assert_eq!(excerpt("\u{202e}".repeat(99).as_bytes()), "\\u{202e}".repeat(5) + "…");
    }
}
