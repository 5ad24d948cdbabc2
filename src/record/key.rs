//! The names of entries.

use std::fmt;

use crate::session::{NAME_BYTES_MAX, Name};

/// The name of an entry.
///
/// Its byte form is printable ASCII, and unique: `m`, `<ring>/r`, `<ring>/s/<place>`, `<ring>/h`. The ring's
/// name is in lower-case hexadecimal, because a name may contain any separator. The place has 16 hexadecimal
/// digits, so that the seats of a ring are sorted. All entries of a ring are adjacent: a hand-over changes
/// one or two of them, and a store that writes pages writes one.
///
/// # Examples
///
/// ```
/// use taketurns::record::Key;
///
/// let key = Key::Seat("oak".parse()?, 7);
/// assert_eq!(key.to_string(), "6f616b/s/0000000000000007");
/// assert_eq!(Key::from_bytes(b"6f616b/s/0000000000000007"), Ok(key));
/// # Ok::<(), taketurns::session::InvalidName>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// Values that belong to no ring.
    Meta,
    /// A ring: rules, last numbers, the held turn, and up to four of its seats.
    Ring(Name),
    /// A seat of a ring, by its place.
    Seat(Name, u64),
    /// The state that the host keeps for a ring.
    Host(Name),
}

impl Key {
    /// Returns the ring that the entry belongs to.
    #[must_use]
    pub fn ring(&self) -> Option<Name> {
        match *self {
            Key::Meta => None,
            Key::Ring(ring) | Key::Seat(ring, _) | Key::Host(ring) => Some(ring),
        }
    }

    /// Parses the byte form.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidKey`] for anything that [`to_string`](ToString::to_string) does not write.
    pub fn from_bytes(bytes: &[u8]) -> Result<Key, InvalidKey> {
        Key::read(bytes).ok_or(InvalidKey)
    }

    fn read(bytes: &[u8]) -> Option<Key> {
        if bytes == b"m" {
            return Some(Key::Meta);
        }
        let (ring, kind) = bytes.split_at(bytes.iter().position(|&byte| byte == b'/')?);
        let ring = Name::from_bytes(&unhex(ring)?).ok()?;
        match kind {
            b"/r" => Some(Key::Ring(ring)),
            b"/h" => Some(Key::Host(ring)),
            seat => {
                let place = unhex(seat.strip_prefix(b"/s/")?)?.try_into().ok()?;
                Some(Key::Seat(ring, u64::from_be_bytes(place)))
            }
        }
    }
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    pairs.iter().map(|&[high, low]| Some(value(high)? << 4 | value(low)?)).collect()
}

/// The longest byte form, in bytes.
const KEY_BYTES_MAX: usize = 2 * NAME_BYTES_MAX + "/s/0000000000000000".len();

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Key::Ring(ring) | Key::Seat(ring, _) | Key::Host(ring)) = self else { return f.write_str("m") };
        // In one piece, because a commit writes the key of every change, and formatting takes its time.
        let mut text = Text { bytes: [0; KEY_BYTES_MAX], len: 0 };
        text.push_hex(ring.as_bytes());
        match self {
            Key::Seat(_, place) => {
                text.push(b"/s/");
                text.push_hex(&place.to_be_bytes());
            }
            Key::Host(_) => text.push(b"/h"),
            Key::Ring(_) | Key::Meta => text.push(b"/r"),
        }
        f.write_str(str::from_utf8(&text.bytes[..text.len]).expect("it is ASCII"))
    }
}

struct Text {
    bytes: [u8; KEY_BYTES_MAX],
    len: usize,
}

impl Text {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..][..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn push_hex(&mut self, bytes: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for byte in bytes {
            self.push(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
        }
    }
}

/// Bytes that are not the byte form of a [`Key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidKey;

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected m, <ring>/r, <ring>/s/<place> or <ring>/h, in lower-case hexadecimal")
    }
}

impl std::error::Error for InvalidKey {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_byte_form() {
        let ring: Name = "a/\u{e9}".parse().expect("a name");
        for (key, bytes) in [
            (Key::Meta, "m"),
            (Key::Ring(ring), "612fc3a9/r"),
            (Key::Host(ring), "612fc3a9/h"),
            (Key::Seat(ring, 0xabc), "612fc3a9/s/0000000000000abc"),
            (Key::Seat(ring, u64::MAX), "612fc3a9/s/ffffffffffffffff"),
        ] {
            assert_eq!((key.to_string().as_str(), Key::from_bytes(bytes.as_bytes())), (bytes, Ok(key)));
        }
        for bad in [
            &b""[..],
            b"mm",
            b"M",
            b"/r",
            b"6f",
            b"6f/",
            b"6f/x",
            b"6f/rr",
            b"6/r",
            b"6F/r",
            b"6g/r",
            b"20/r",
            b"ff/r",
            b"6f/s",
            b"6f/s/",
            b"6f/s/000000000000007",
            b"6f/s/00000000000000007",
            b"6f/s/000000000000000A",
            b"6f/s/0000000000000007/",
            b"/s/0000000000000007",
            b"\xff",
        ] {
            assert_eq!(Key::from_bytes(bad), Err(InvalidKey), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn entries_of_a_ring_are_adjacent_and_its_seats_sorted() {
        let ring = |name: &str| name.parse::<Name>().expect("a name");
        let seats = [1, 9, 10, 255, 4096].map(|place| Key::Seat(ring("oak"), place));
        let rings = [Key::Host(ring("oak")), Key::Ring(ring("oak"))].into_iter().chain(seats);
        let keys: Vec<String> =
            rings.chain([Key::Ring(ring("oaks")), Key::Meta]).map(|key| key.to_string()).collect();
        assert!(keys.is_sorted(), "{keys:?}");
    }
}
