//! Secrets, tokens and epochs: read, written, and never shown by chance.

use std::fmt;
use std::str::FromStr;

use subtle::ConstantTimeEq;

use super::foreign::begins_tls;
use crate::protocol::Entropy;

/// The text is neither a [`Secret`] nor an [`Epoch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidHex {
    digits: usize,
}

impl fmt::Display for InvalidHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} hexadecimal digits", self.digits)
    }
}

impl std::error::Error for InvalidHex {}

/// The 128 random bits with which a client resumes its seat.
///
/// `Display` writes it as on the wire, 32 hexadecimal digits, for a client that keeps it on disk. `Debug`
/// shows nothing of it. Two secrets are compared in constant time.
#[derive(Clone, Copy)]
pub struct Secret([u8; 16]);

impl Secret {
    /// Makes a secret of these random bits.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::protocol::turns::Secret;
    ///
    /// let secret = Secret::new([7; 16]);
    /// assert_eq!(secret.to_string(), "07070707070707070707070707070707", "for a client that keeps it on disk");
    /// assert!(!format!("{secret:?}").contains("07"), "for a log");
    /// ```
    #[must_use]
    pub const fn new(bits: [u8; 16]) -> Secret {
        Secret(bits)
    }

    /// Returns the bits, to keep the secret beyond the life of this process.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::turns::Secret;
    /// assert_eq!(Secret::new([7; 16]).expose(), &[7; 16]);
    /// ```
    #[must_use]
    pub const fn expose(&self) -> &[u8; 16] {
        &self.0
    }
}

/// In constant time.
impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl FromStr for Secret {
    type Err = InvalidHex;

    fn from_str(text: &str) -> Result<Secret, InvalidHex> {
        let value = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32 && is_hex(text));
        value.map(|value| Secret(value.to_be_bytes())).ok_or(InvalidHex { digits: 32 })
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Identifies one life of a server. It is random, so the order of two epochs means nothing.
///
/// Together with a [`TurnNumber`](crate::turn::TurnNumber) it is a fence for a resource that clients act on.
/// `Display` and `Debug` write it as on the wire, 16 hexadecimal digits; `FromStr` reads 1 to 16 of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({self})")
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Epoch {
    type Err = InvalidHex;

    #[inline]
    fn from_str(text: &str) -> Result<Epoch, InvalidHex> {
        Epoch::from_hex(text.as_bytes()).ok_or(InvalidHex { digits: 16 })
    }
}

/// The value of each byte as a hexadecimal digit; 255 if it is not one.
static HEX: [u8; 256] = {
    let mut worth = [255; 256];
    let mut digit = 0;
    while digit < 16 {
        worth[b"0123456789abcdef"[digit as usize] as usize] = digit;
        worth[b"0123456789ABCDEF"[digit as usize] as usize] = digit;
        digit += 1;
    }
    worth
};

impl Epoch {
    /// Returns a random epoch, for a new life of a server.
    #[must_use]
    pub fn random(entropy: &mut Entropy) -> Epoch {
        let mut bits = [0; 8];
        entropy(&mut bits);
        Epoch(u64::from_le_bytes(bits))
    }

    /// The 16 digits that it is written with.
    pub(crate) fn digits(self) -> [u8; 16] {
        let bytes = self.0.to_be_bytes();
        let digit = |nth: usize| b"0123456789abcdef"[usize::from(bytes[nth / 2] >> (4 * (1 - nth % 2))) & 15];
        std::array::from_fn(digit)
    }

    /// Every answer carries an epoch, so it is read without the general parser.
    #[inline]
    pub(super) fn from_hex(digits: &[u8]) -> Option<Epoch> {
        let (mut value, mut worst) = (0, 0);
        for &digit in digits {
            let worth = HEX[usize::from(digit)];
            value = value << 4 | u64::from(worth);
            worst |= worth;
        }
        (worst < 16 && (1..=16).contains(&digits.len())).then_some(Epoch(value))
    }
}

/// A bearer's token, as `token=` carries it. Neither `Debug` nor `Display` shows it.
#[derive(Clone, Copy)]
pub struct Token<'a>(&'a str);

impl<'a> Token<'a> {
    /// Makes a token of this text; `None` if it cannot be the value of a field.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::protocol::turns::Token;
    ///
    /// assert!(Token::new("staff").is_some());
    /// assert!(Token::new("two words").is_none(), "it could not be the value of a field");
    /// ```
    #[must_use]
    pub fn new(text: &'a str) -> Option<Token<'a>> {
        super::fields::is_value(text).then_some(Token(text))
    }

    /// Returns the text, to check it or to write it to a peer.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::turns::Token;
    /// assert_eq!(Token::new("staff").map(Token::expose), Some("staff"));
    /// ```
    #[must_use]
    pub const fn expose(self) -> &'a str {
        self.0
    }
}

/// The time of a comparison depends only on the lengths.
impl PartialEq for Token<'_> {
    fn eq(&self, other: &Token<'_>) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Token<'_> {}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("...")
    }
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Displays the bytes of a peer, escaped, with `...` in place of the values of `resume=` and `token=`, and of
/// anything that looks like a secret.
///
/// It takes any bytes, because a line that is refused is logged as well, and a client may have come to the
/// wrong server. A value is hidden however its key is capitalised and wherever it stands, up to the next
/// white space or control character. More than 16 hexadecimal digits in a row are hidden without a key, too:
/// the key may have come in another segment.
#[derive(Clone, Copy)]
pub struct Redacted<'a>(pub &'a [u8]);

/// The bytes of a peer's message that a log line shows at most.
pub(crate) const SHOWN_BYTES_MAX: usize = 128;

impl<'a> Redacted<'a> {
    /// The beginning of a peer's message.
    pub(crate) fn beginning(message: &'a [u8]) -> Redacted<'a> {
        Redacted::first(message, SHOWN_BYTES_MAX)
    }

    /// The first `max` bytes of a peer's message. If they end in digits that would be hidden as a whole, the
    /// rest of those belongs to them, because fewer digits might be shown.
    fn first(message: &'a [u8], max: usize) -> Redacted<'a> {
        let (first, rest) = message.split_at(message.len().min(max));
        let before = first.iter().rev().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let after = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let cut_off = if before + after > HEX_DIGITS_SHOWN_MAX { after } else { 0 };
        Redacted(&message[..first.len() + cut_off])
    }

    /// Returns whether something is hidden.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::session::Redacted;
    ///
    /// let line = Redacted(b"JOIN ann token=sesame");
    /// assert!(line.hides());
    /// assert_eq!(line.to_string(), "JOIN ann token=...");
    /// ```
    #[must_use]
    pub fn hides(&self) -> bool {
        Redacted::cut(self.0).is_some()
    }

    /// The text before the first secret, which is shown, and the text after it.
    fn cut(text: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let mut at = 0;
        while at < text.len() {
            if let Some(key) = Redacted::secret_key(&text[at..]) {
                let (shown, value) = text.split_at(at + key);
                // A person may type spaces around the `=`.
                let value = value.trim_ascii_start();
                let end = value.iter().position(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control());
                return Some((shown, &value[end.unwrap_or(value.len())..]));
            }
            let digits = text[at..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            if digits > HEX_DIGITS_SHOWN_MAX {
                return Some((&text[..at], &text[at + digits..]));
            }
            at += digits.max(1);
        }
        None
    }

    /// The length of the key, blanks and `=` that `text` begins with, if the value must not be shown.
    fn secret_key(text: &[u8]) -> Option<usize> {
        let behind = |key: &&[u8]| {
            let (head, behind) = text.split_at_checked(key.len())?;
            head.eq_ignore_ascii_case(key).then(|| behind.trim_ascii_start())
        };
        let behind = [&b"resume"[..], b"token"].iter().find_map(behind)?;
        behind.starts_with(b"=").then(|| text.len() - behind.len() + 1)
    }
}

/// The digits of an epoch, which is not a secret.
const HEX_DIGITS_SHOWN_MAX: usize = 16;

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((shown, behind)) = Redacted::cut(rest) {
            write!(f, "{}...", shown.escape_ascii())?;
            rest = behind;
        }
        write!(f, "{}", rest.escape_ascii())
    }
}

impl fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Displays a refused message for a log line: its beginning in quotes, or the name of a protocol that people
/// cannot read.
pub(crate) struct Quoted<'a>(pub(crate) &'a [u8]);

/// The bytes of a refused message that a log line shows at most. Binary ones are four times as long there.
const QUOTED_BYTES_MAX: usize = 64;

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Quoted(message) = *self;
        if begins_tls(message) {
            return f.write_str("it speaks TLS, and this address does not");
        }
        let shown = Redacted::first(message, QUOTED_BYTES_MAX);
        let more = if shown.0.len() < message.len() { "..." } else { "" };
        write!(f, "\"{shown}\"{more}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "000102030405060708090a0b0c0d0e0f";

    #[test]
    fn a_secret_is_32_hexadecimal_digits_and_never_shown_by_chance() {
        let secret: Secret = TEXT.parse().expect("a secret");
        assert_eq!(secret, Secret::new(*secret.expose()));
        assert_ne!(secret, Secret::new([7; 16]));
        assert_eq!((secret.to_string().as_str(), format!("{secret:?}").as_str()), (TEXT, "Secret"));
        let (signed, long) = (format!("+{}", &TEXT[1..]), format!("0{TEXT}"));
        for bad in ["", "ff", &TEXT[1..], &signed, &long, &TEXT.replace('f', "g")] {
            let error = bad.parse::<Secret>().expect_err(bad);
            assert_eq!(error.to_string(), "expected 32 hexadecimal digits");
        }
    }

    #[test]
    fn an_epoch_is_1_to_16_hexadecimal_digits() {
        assert_eq!((TEXT[..16].parse(), "fF".parse()), (Ok(Epoch(0x0001_0203_0405_0607)), Ok(Epoch(255))));
        assert_eq!(Epoch(255).to_string(), "00000000000000ff");
        for bad in ["", "+1", "fg", " 1", "00000000000000001", TEXT] {
            assert_eq!(bad.parse::<Epoch>(), Err(InvalidHex { digits: 16 }), "{bad:?}");
        }
    }

    #[test]
    fn a_token_is_a_value_and_is_not_shown() {
        let token = Token::new("ey.J:x=").expect("a value");
        assert_eq!((token.expose(), format!("{token} {token:?}").as_str()), ("ey.J:x=", "... Token"));
        assert!(token == Token("ey.J:x=") && token != Token("ey.J:x") && token != Token("ey.J:y="));
        assert!(["", "a b", "a\tb", "a\u{a0}b"].iter().all(|bad| Token::new(bad).is_none()));
    }

    #[test]
    fn a_logged_line_has_no_secrets_in_it() {
        for (line, shown) in [
            (&b"JOIN ann resume=0f token=ey.J ring=x"[..], "JOIN ann resume=... token=... ring=x"),
            (b"JOIN ann ReSume=0f\tTOKEN=a\xffb\r", "JOIN ann ReSume=...\\tTOKEN=...\\r"),
            (b"WATCH xtoken=resume=a", "WATCH xtoken=..."),
            (b"ANSWER :\xff\x1b", "ANSWER :\\xff\\x1b"),
            (b"JOIN ann resume= 0f ring=x", "JOIN ann resume=... ring=x"),
            (b"JOIN ann token \t= ey.J ring=x", "JOIN ann token \\t=... ring=x"),
            (b"JOIN ann token ey", "JOIN ann token ey"),
            (b"token=", "token=..."),
            (b"0123456789abcdef0123456789ABCDEF", "..."),
            (b"ume=0123456789abcdef0 ring=x", "ume=... ring=x"),
            (b"ANSWER epoch=0123456789abcdef :1", "ANSWER epoch=0123456789abcdef :1"),
            (b"toke", "toke"),
            (b"", ""),
        ] {
            assert_eq!(Redacted(line).to_string(), shown);
        }
        assert_eq!(format!("{:?}", Redacted(b"token=x")), "\"token=...\"");
    }

    #[test]
    fn a_quotation_is_short_and_hides_what_it_cuts() {
        let quoted = |message: &[u8]| Quoted(message).to_string();
        assert_eq!(quoted(b"JOIN ann token=sesame"), "\"JOIN ann token=...\"");
        assert_eq!(quoted(b""), "\"\"");
        assert_eq!(quoted(&[b'x'; 64]), format!("\"{}\"", "x".repeat(64)));
        assert_eq!(quoted(&[b'x'; 65]), format!("\"{}\"...", "x".repeat(64)));
        assert_eq!(quoted(&[0xff; 500]), format!("\"{}\"...", "\\xff".repeat(64)));
        assert_eq!(
            quoted(&[b"\x16\x03\x01", &[0; 500][..]].concat()),
            "it speaks TLS, and this address does not"
        );
        for before in 0..100 {
            let message = format!("{}{TEXT} x{}", "y".repeat(before), "z".repeat(100));
            let shown = quoted(message.as_bytes());
            assert!(!shown.contains("00"), "{shown}");
        }
    }
}
