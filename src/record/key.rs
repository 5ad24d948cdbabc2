//! Names of entries.

use std::fmt;

use crate::session::Name;

/// Names an entry.
///
/// Its byte form is printable ASCII, and one key has one: `m`, `r<ring>`, `s<ring>.<place>`, `h<ring>`. The ring's name is in lower-case
/// hexadecimal, because a name may hold any separator; the place has 16 hexadecimal digits, so that the seats of a ring are in order.
///
/// # Examples
///
/// ```
/// use taketurns::record::Key;
///
/// let key = Key::Seat("oak".parse()?, 7);
/// assert_eq!(key.to_string(), "s6f616b.0000000000000007");
/// assert_eq!(Key::from_bytes(b"s6f616b.0000000000000007"), Ok(key));
/// # Ok::<(), taketurns::session::InvalidName>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// What belongs to no ring.
    Meta,
    /// A ring: rules, last numbers, the held turn.
    Ring(Name),
    /// A seat of a ring, by its place.
    Seat(Name, u64),
    /// The state that the host keeps for a ring.
    Host(Name),
}

impl Key {
    /// Reads the byte form.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`], for whatever [`to_string`](ToString::to_string) does not write.
    pub fn from_bytes(bytes: &[u8]) -> Result<Key, InvalidKey> {
        Key::read(bytes).ok_or(InvalidKey)
    }

    fn read(bytes: &[u8]) -> Option<Key> {
        match bytes.split_first()? {
            (b'm', []) => Some(Key::Meta),
            (b'r', ring) => name(ring).map(Key::Ring),
            (b'h', ring) => name(ring).map(Key::Host),
            (b's', seat) => {
                let (ring, place) = seat.split_at_checked(seat.len().checked_sub(PLACE_DIGITS)?)?;
                let place = unhex(place)?.try_into().ok().map(u64::from_be_bytes)?;
                Some(Key::Seat(name(ring.strip_suffix(b".")?)?, place))
            }
            _ => None,
        }
    }
}

const PLACE_DIGITS: usize = 16;

fn name(hex: &[u8]) -> Option<Name> {
    Name::from_bytes(&unhex(hex)?).ok()
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

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, ring, place) = match self {
            Key::Meta => return f.write_str("m"),
            Key::Ring(ring) => ('r', ring, None),
            Key::Host(ring) => ('h', ring, None),
            Key::Seat(ring, place) => ('s', ring, Some(place)),
        };
        write!(f, "{kind}")?;
        ring.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        place.map_or(Ok(()), |place| write!(f, ".{place:0PLACE_DIGITS$x}"))
    }
}

/// The bytes are not the byte form of a [`Key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidKey;

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected m, r<ring>, s<ring>.<place> or h<ring>, in lower-case hexadecimal")
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
            (Key::Ring(ring), "r612fc3a9"),
            (Key::Host(ring), "h612fc3a9"),
            (Key::Seat(ring, 0xabc), "s612fc3a9.0000000000000abc"),
            (Key::Seat(ring, u64::MAX), "s612fc3a9.ffffffffffffffff"),
        ] {
            assert_eq!((key.to_string().as_str(), Key::from_bytes(bytes.as_bytes())), (bytes, Ok(key)));
        }
        for bad in [
            &b""[..],
            b"m6f",
            b"x6f",
            b"r",
            b"r6",
            b"r6F",
            b"r6g",
            b"r20",
            b"rff",
            b"s6f",
            b"s6f0000000000000007",
            b"s6f.000000000000007",
            b"s6f.00000000000000007",
            b"s6f.000000000000000A",
            b"s.0000000000000007",
            b"\xff",
        ] {
            assert_eq!(Key::from_bytes(bad), Err(InvalidKey), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn seats_of_a_ring_are_in_order() {
        let ring: Name = "oak".parse().expect("a name");
        let keys = [1, 9, 10, 255, 4096].map(|place| Key::Seat(ring, place).to_string());
        assert!(keys.is_sorted());
    }
}
