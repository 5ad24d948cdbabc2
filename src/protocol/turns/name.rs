//! Names of clients and rings: short, without allocation, safe to print.

use std::fmt;
use std::str::FromStr;

use arrayvec::ArrayString;

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// A name of 1 to 64 bytes without `:` and control characters. In the line framing it has no space either; see
/// [`is_word`](Self::is_word).
///
/// Displayed, characters that could rearrange or hide what stands around them on a terminal are escaped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(ArrayString<NAME_BYTES_MAX>);

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
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has no space, so that it can be a field of a line.
    #[must_use]
    pub fn is_word(&self) -> bool {
        !self.0.contains(' ')
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Name, InvalidName> {
        // Most names are printable ASCII, and need not be taken apart into characters.
        let plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b':');
        let valid = plain || !text.chars().any(|c| c == ':' || c.is_control());
        match ArrayString::from(text) {
            Ok(name) if valid && !text.is_empty() => Ok(Name(name)),
            _ => Err(InvalidName),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::protocol::write_printable(&self.0, f)
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
        for bad in ["", "a:b", "a\nb", "\u{7f}", "\u{85}", &"x".repeat(65)] {
            assert_eq!(bad.parse::<Name>(), Err(InvalidName), "{bad:?}");
        }
        for good in ["a", "Client1", "two words", "J\u{f6}rg", &"x".repeat(64)] {
            assert_eq!(good.parse::<Name>().expect("valid").to_string(), good);
        }
        let sneaky = "\u{202e}abc".parse::<Name>().expect("no control character");
        assert_eq!(sneaky.to_string(), "\\u{202e}abc");
    }
}
