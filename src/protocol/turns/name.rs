//! Names of clients and rings: short, without allocation, safe to print.

use std::fmt;
use std::str::FromStr;

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// A name of 1 to 64 bytes without `:` and control characters. In the line framing it has no space either; see
/// [`is_word`](Self::is_word).
///
/// Displayed, characters that could rearrange or hide what stands around them on a terminal are escaped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// UTF-8, as it was checked to be, and zeros behind it.
    bytes: [u8; NAME_BYTES_MAX],
    len: u8,
}

/// Whether a byte is printable ASCII, and no `:`.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        plain[byte as usize] = byte != b':';
        byte += 1;
    }
    plain
};

/// The text is not a [`Name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidName;

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a name has 1 to {NAME_BYTES_MAX} bytes, and no ':' or control character")
    }
}

impl std::error::Error for InvalidName {}

impl Name {
    /// The name as it came.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a name is made of nothing else")]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("a name is UTF-8")
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether it has no space, so that it can be a field of a line.
    #[must_use]
    pub fn is_word(&self) -> bool {
        !self.as_bytes().contains(&b' ')
    }

    /// Reads a name. Most are printable ASCII, and are neither decoded nor taken apart into characters.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Name, InvalidName> {
        let len = bytes.len();
        let is_plain = bytes.iter().fold(true, |ok, &byte| ok & PLAIN[usize::from(byte)]);
        let is_valid = |text: &str| !text.chars().any(|c| c == ':' || c.is_control());
        if !(1..=NAME_BYTES_MAX).contains(&len)
            || !is_plain && !std::str::from_utf8(bytes).is_ok_and(is_valid)
        {
            return Err(InvalidName);
        }
        let mut name = Name { bytes: [0; NAME_BYTES_MAX], len: u8::try_from(len).map_err(|_| InvalidName)? };
        name.bytes[..len].copy_from_slice(bytes);
        Ok(name)
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Name, InvalidName> {
        Name::from_bytes(text.as_bytes())
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, text: &str) -> bool {
        self.as_bytes() == text.as_bytes()
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, text: &&str) -> bool {
        self == *text
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::protocol::write_printable(self.as_str(), f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_printable() {
        for bad in ["", ":", "a:b", "a\nb", "\u{7f}", "\u{85}", &"x".repeat(65)] {
            assert_eq!(bad.parse::<Name>(), Err(InvalidName), "{bad:?}");
        }
        for good in ["a", "Client1", "two words", "J\u{f6}rg", &"x".repeat(64)] {
            assert_eq!(good.parse::<Name>().expect("valid").to_string(), good);
        }
        assert!(InvalidName.to_string().contains("1 to 64 bytes"));
        let is_word = |name: &str| name.parse::<Name>().expect("valid").is_word();
        assert!(is_word("Client1") && !is_word("two words"));
        let name: Name = "ann".parse().expect("valid");
        assert!(name == "ann" && name != "Ann" && name.as_ref() == "ann");
        let sneaky = "\u{202e}abc".parse::<Name>().expect("no control character");
        assert_eq!(sneaky.to_string(), "\\u{202e}abc");
        assert_eq!(format!("{sneaky:?}"), "\"\\u{202e}abc\"");
    }
}
