//! Names of clients and rings: short, without allocation, safe to print.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// A name: 1 to 64 bytes of UTF-8 without white space, `:`, `=`, control and format characters.
///
/// Format characters show nothing or rearrange the text around them, so that two names could look the same.
/// They are those of general category Cf or with the property `Default_Ignorable_Code_Point` in Unicode
/// 16.0.0: bidirectional controls, zero-width characters, variation selectors, fillers, tags.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(InlineName);

/// A name as raw clients send it: 1 to 64 bytes of UTF-8 without control characters and `:`.
///
/// `Display` escapes characters that could rearrange or hide the text around them on a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RawName(InlineName);

/// 1 to 64 bytes of UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct InlineName {
    /// Valid UTF-8, followed by zeros.
    bytes: [u8; NAME_BYTES_MAX],
    len: u8,
}

/// Why a text is not a [`Name`] or [`RawName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidName {
    /// It is empty, or longer than [`NAME_BYTES_MAX`] bytes.
    Length,
    /// It is not UTF-8.
    NotUtf8,
    /// It has this character, which is not allowed in a name.
    Character(char),
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidName::Length => write!(f, "a name must be 1 to {NAME_BYTES_MAX} bytes long"),
            InvalidName::NotUtf8 => f.write_str("a name must be valid UTF-8"),
            InvalidName::Character(' ') => f.write_str("a name may not contain a space"),
            InvalidName::Character(c) if c.is_ascii_graphic() => write!(f, "a name may not contain '{c}'"),
            InvalidName::Character(c) => write!(f, "a name may not contain {}", c.escape_unicode()),
        }
    }
}

impl std::error::Error for InvalidName {}

/// General category Cf and `Default_Ignorable_Code_Point` of Unicode 16.0.0, as ranges in ascending order.
const FORMAT_CHARACTERS: &[(char, char)] = &[
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether a byte is printable ASCII that any name may have.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        plain[byte as usize] = !matches!(byte, b':' | b'=');
        byte += 1;
    }
    plain
};

pub(crate) fn is_format(c: char) -> bool {
    let after = FORMAT_CHARACTERS.partition_point(|&(_, last)| last < c);
    FORMAT_CHARACTERS.get(after).is_some_and(|&(first, _)| first <= c)
}

impl Hash for InlineName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Most names are far shorter than the buffer.
        self.bytes[..usize::from(self.len)].hash(state);
    }
}

impl InlineName {
    /// Reads a name without any character that `is_refused`. Most names are plain ASCII, and are neither
    /// decoded nor taken apart into characters.
    #[inline]
    fn read(bytes: &[u8], is_refused: impl Fn(char) -> bool) -> Result<InlineName, InvalidName> {
        let len = u8::try_from(bytes.len()).map_err(|_| InvalidName::Length)?;
        if !(1..=NAME_BYTES_MAX).contains(&bytes.len()) {
            return Err(InvalidName::Length);
        }
        if !bytes.iter().fold(true, |ok, &byte| ok & PLAIN[usize::from(byte)]) {
            let text = std::str::from_utf8(bytes).map_err(|_| InvalidName::NotUtf8)?;
            if let Some(c) = text.chars().find(|&c| is_refused(c)) {
                return Err(InvalidName::Character(c));
            }
        }
        let mut name = InlineName { bytes: [0; NAME_BYTES_MAX], len };
        name.bytes[..bytes.len()].copy_from_slice(bytes);
        Ok(name)
    }
}

macro_rules! named {
    ($name:ident, $is_refused:expr) => {
        impl $name {
            /// Reads a name.
            ///
            /// # Errors
            ///
            /// Returns [`InvalidName`] if the text is no such name.
            ///
            /// # Examples
            ///
            /// ```
            /// use taketurns::protocol::turns::{InvalidName, Name, RawName};
            ///
            /// assert_eq!(Name::from_bytes(b"ann").as_ref().map(Name::as_str), Ok("ann"));
            /// assert_eq!(Name::from_bytes(b"ann:1"), Err(InvalidName::Character(':')));
            /// assert!(RawName::from_bytes(b"an n").is_ok(), "raw clients may use blanks");
            /// ```
            #[inline]
            pub fn from_bytes(bytes: &[u8]) -> Result<$name, InvalidName> {
                InlineName::read(bytes, $is_refused).map($name)
            }

            /// Returns the name as it was received.
            ///
            /// # Examples
            ///
            /// ```
            /// # use taketurns::protocol::turns::{Name, RawName};
            /// assert_eq!("ann".parse::<Name>()?.as_str(), "ann");
            /// assert_eq!("an n".parse::<RawName>()?.as_str(), "an n");
            /// # Ok::<(), taketurns::protocol::turns::InvalidName>(())
            /// ```
            #[must_use]
            pub fn as_str(&self) -> &str {
                std::str::from_utf8(self.as_bytes()).expect("a name was checked to be UTF-8")
            }

            /// Returns the bytes of the name as they were received.
            ///
            /// # Examples
            ///
            /// ```
            /// # use taketurns::protocol::turns::{Name, RawName};
            /// assert_eq!("ann".parse::<Name>()?.as_bytes(), b"ann");
            /// assert_eq!("an n".parse::<RawName>()?.as_bytes(), b"an n");
            /// # Ok::<(), taketurns::protocol::turns::InvalidName>(())
            /// ```
            #[must_use]
            pub fn as_bytes(&self) -> &[u8] {
                &self.0.bytes[..usize::from(self.0.len)]
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<$name, InvalidName> {
                $name::from_bytes(text.as_bytes())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, text: &str) -> bool {
                self.as_bytes() == text.as_bytes()
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, text: &&str) -> bool {
                self == *text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                crate::printable::write_printable(self.as_str(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
    };
}

named!(Name, |c| matches!(c, ':' | '=') || c.is_whitespace() || c.is_control() || is_format(c));
named!(RawName, |c| c == ':' || c.is_control());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_words_without_invisible_characters() {
        for bad in ["", &"x".repeat(65), &"\u{e9}".repeat(33)] {
            assert_eq!(bad.parse::<Name>(), Err(InvalidName::Length), "{bad:?}");
        }
        for bad in "\0 \t\n\r\u{b}:=\u{7f}\u{85}\u{a0}\u{ad}\u{61c}\u{1680}\u{180e}\u{200b}\u{200d}\u{200e}\u{202e}\u{2028}\u{2060}\u{2066}\u{3000}\u{3164}\u{fe0f}\u{feff}\u{e0041}".chars() {
            assert_eq!(format!("a{bad}b").parse::<Name>(), Err(InvalidName::Character(bad)), "{bad:?}");
        }
        for good in [
            "a",
            "Client1",
            "raw-7",
            "J\u{f6}rg",
            "\u{738b}",
            "a'b\"c\\",
            "\u{1f600}",
            &"x".repeat(64),
            &"\u{e9}".repeat(32),
        ] {
            let name = good.parse::<Name>().expect(good);
            assert_eq!((name.as_str(), name.to_string().as_str()), (good, good));
        }
        assert_eq!(Name::from_bytes(b"a\xff"), Err(InvalidName::NotUtf8));
    }

    #[test]
    fn raw_names_allow_everything_that_raw_clients_always_sent() {
        for good in ["Client1", "two words", "a=b", "J\u{f6}rg", " ", "\u{202e}abc"] {
            assert_eq!(good.parse::<RawName>().expect(good).as_str(), good);
        }
        for bad in ["", ":", "a:b", "a\nb", "\u{7f}", "\u{85}", &"x".repeat(65)] {
            assert!(bad.parse::<RawName>().is_err(), "{bad:?}");
        }
        let sneaky = "\u{202e}abc".parse::<RawName>().expect("no control character");
        assert_eq!(
            (sneaky.to_string(), format!("{sneaky:?}")),
            ("\\u{202e}abc".into(), "\"\\u{202e}abc\"".into())
        );
    }

    #[test]
    fn names_compare_like_their_text() {
        let [ann, bob]: [Name; 2] = ["ann", "bob"].map(|name| name.parse().expect("valid"));
        assert!(ann == "ann" && ann != "an" && ann != *"Ann" && ann.as_ref() == "ann" && ann < bob);
    }

    #[test]
    fn an_invalid_name_says_why() {
        let say = |text: &str| text.parse::<Name>().expect_err(text).to_string();
        assert_eq!(say(""), "a name must be 1 to 64 bytes long");
        assert_eq!(say("a b"), "a name may not contain a space");
        assert_eq!(say("a:b"), "a name may not contain ':'");
        assert_eq!(say("a\tb"), "a name may not contain \\u{9}");
        assert_eq!(say("\u{202e}"), "a name may not contain \\u{202e}");
    }

    #[test]
    fn the_format_characters_are_ranges_in_order() {
        assert!(FORMAT_CHARACTERS.iter().all(|(first, last)| first <= last));
        assert!(FORMAT_CHARACTERS.windows(2).all(|pair| pair[0].1 < pair[1].0));
        for &(first, last) in FORMAT_CHARACTERS {
            assert!(is_format(first) && is_format(last));
        }
        for shown in ['\u{ac}', '\u{ae}', '\u{2010}', '\u{2070}', 'a', '\u{10ffff}'] {
            assert!(!is_format(shown));
        }
    }
}
