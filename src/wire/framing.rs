//! The two framings.

use std::fmt;
use std::str::FromStr;

/// How messages are delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Framing {
    /// Not at all: the bytes of one readiness are one message.
    #[default]
    Raw,
    /// UTF-8 lines that end in `\n`.
    Line,
}

impl FromStr for Framing {
    type Err = UnknownFraming;

    fn from_str(text: &str) -> Result<Framing, UnknownFraming> {
        match text {
            "raw" => Ok(Framing::Raw),
            "line" => Ok(Framing::Line),
            _ => Err(UnknownFraming),
        }
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Framing::Raw => "raw",
            Framing::Line => "line",
        })
    }
}

/// A text that is not a [`Framing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownFraming;

impl fmt::Display for UnknownFraming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown framing: expected raw or line")
    }
}

impl std::error::Error for UnknownFraming {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framings_have_the_names_used_in_options() {
        assert_eq!(["raw", "line"].map(str::parse), [Ok(Framing::Raw), Ok(Framing::Line)]);
        assert_eq!([Framing::Raw, Framing::Line].map(|framing| framing.to_string()), ["raw", "line"]);
        assert_eq!(["", "Raw", "lines"].map(str::parse::<Framing>), [Err(UnknownFraming); 3]);
        assert_eq!(UnknownFraming.to_string(), "unknown framing: expected raw or line");
    }
}
