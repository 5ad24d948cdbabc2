//! The grammar of a line: a verb, perhaps a word, `key=value` fields, perhaps a text. It knows no verb.
//!
//! ```text
//! line  = verb [SP word] *(SP key "=" value) [SP ":" text]
//! verb  = 1*UPPERCASE
//! word  = 1*CHAR-but-not-":"-or-"="          ; CHAR: UTF-8 without white space and control characters
//! key   = 1*(lowercase / "-")
//! value = 1*CHAR
//! text  = *(any UTF-8 but control characters; TAB is allowed)
//! ```

/// The line breaks the grammar; the words say how, for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// The keys that either side reads, and their number.
macro_rules! keys {
    ($($key:ident = $text:literal,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Key { $($key,)* }

        const KEYS: usize = [$($text),*].len();

        impl Key {
            #[inline]
            fn of(text: &str) -> Option<Key> {
                match text { $($text => Some(Key::$key),)* _ => None }
            }
        }
    };
}

keys! {
    Ahead = "ahead",
    As = "as",
    At = "at",
    Bytes = "bytes",
    Confirm = "confirm",
    Demand = "demand",
    Epoch = "epoch",
    Hear = "hear",
    How = "how",
    Judging = "judging",
    Last = "last",
    Needs = "needs",
    Resume = "resume",
    Ring = "ring",
    Seat = "seat",
    Seats = "seats",
    State = "state",
    Token = "token",
    Turn = "turn",
    Weight = "weight",
    Within = "within",
}

/// A line that follows the grammar, taken apart. It has no `Debug`, because some lines carry secrets.
#[derive(Default)]
pub(super) struct Message<'a> {
    /// The capitals at its beginning.
    pub(super) verb: &'a str,
    /// The name or code after the verb.
    pub(super) word: Option<&'a str>,
    /// Everything after the first ` :`.
    pub(super) text: Option<&'a str>,
    values: [Option<&'a str>; KEYS],
}

impl<'a> Message<'a> {
    /// Takes apart a line without its line end. In place, because a message is large to move.
    ///
    /// # Errors
    ///
    /// Returns [`Malformed`], for example if a key occurs twice.
    pub(super) fn read(&mut self, line: &'a str) -> Result<(), Malformed> {
        let (verb, mut rest) = cut(line, |byte| byte.is_ascii_uppercase());
        if verb.is_empty() || !rest.is_empty() && !rest.starts_with(' ') {
            return Err(Malformed("a line begins with a verb in capitals, such as JOIN"));
        }
        *self = Message { verb, ..Message::default() };
        // If the whole line is plain, so is each part of it.
        let is_plain = is_plain(line.as_bytes());
        if let Some((word, after_word)) = word_of(rest) {
            if word.contains(':') || !is_plain && !is_value(word) {
                return Err(Malformed("a name or code has no ':', white space or control character"));
            }
            (self.word, rest) = (Some(word), after_word);
        }
        let (fields, mut keys) = (rest, KeySet::default());
        while let Some(after_space) = rest.strip_prefix(' ') {
            if let Some(text) = after_space.strip_prefix(':') {
                self.text = Some(text);
                break;
            }
            let (key, value, next) = field_of(after_space)?;
            if value.is_empty() || !is_plain && !is_value(value) {
                return Err(Malformed("a value is not empty and has no white space or control character"));
            }
            if let Some(known) = Key::of(key) {
                self.values[known as usize] = Some(value);
            }
            keys.insert(key);
            rest = next;
        }
        if !is_plain && self.text.is_some_and(|text| !is_text(text)) {
            return Err(Malformed("a text has no control character but TAB"));
        }
        if keys.may_have_one_twice && has_a_key_twice(fields) {
            return Err(Malformed("a key stands twice"));
        }
        Ok(())
    }

    /// The value of the field with this key.
    #[inline]
    pub(super) fn value(&self, key: Key) -> Option<&'a str> {
        self.values[key as usize]
    }
}

/// Checks that no key occurs twice, without keeping the keys. If it is not certain, they are sorted.
#[derive(Default)]
struct KeySet {
    /// One bit for all keys with the same first letter and the same parity of length.
    seen: u64,
    may_have_one_twice: bool,
}

impl KeySet {
    #[inline]
    fn insert(&mut self, key: &str) {
        let bytes = key.as_bytes();
        let bit = 1 << (usize::from(bytes[0] & 31) | (bytes.len() & 1) << 5);
        self.may_have_one_twice |= self.seen & bit != 0;
        self.seen |= bit;
    }
}

/// Sorts the keys, because a hello line has room for thousands, and comparing each pair would take too long.
#[cold]
fn has_a_key_twice(mut fields: &str) -> bool {
    let mut keys = Vec::new();
    while let Some(after_space) = fields.strip_prefix(' ')
        && let Ok((key, _, next)) = field_of(after_space)
    {
        keys.push(key);
        fields = next;
    }
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

/// Cuts after the leading bytes that `belong`, which must treat all non-ASCII bytes alike. A loop, because
/// most parts are too short for a vector search to gain anything.
#[inline(always)]
fn cut(text: &str, belongs: impl Fn(u8) -> bool) -> (&str, &str) {
    let (bytes, mut end) = (text.as_bytes(), 0);
    while end < bytes.len() && belongs(bytes[end]) {
        end += 1;
    }
    text.split_at(end)
}

/// The word that comes first after a verb, if there is one, and the rest.
#[inline]
fn word_of(rest: &str) -> Option<(&str, &str)> {
    let after_space = rest.strip_prefix(' ').filter(|after_space| !after_space.starts_with([' ', ':']))?;
    let (word, rest) = cut(after_space, |byte| byte != b' ' && byte != b'=');
    (!word.is_empty() && !rest.starts_with('=')).then_some((word, rest))
}

/// The key and value at the beginning of `fields`, without the space before them, and the rest.
#[inline]
fn field_of(fields: &str) -> Result<(&str, &str, &str), Malformed> {
    let (key, value) = cut(fields, |byte| byte.is_ascii_lowercase() || byte == b'-');
    match value.strip_prefix('=') {
        Some(value) if !key.is_empty() => {
            let (value, rest) = cut(value, |byte| byte != b' ');
            Ok((key, value, rest))
        }
        _ if fields.is_empty() || fields.starts_with(' ') => {
            Err(Malformed("fields have one space between them, and none at the end"))
        }
        _ => Err(Malformed("a field is key=value, its key in lower-case letters and '-'")),
    }
}

/// Whether all are printable ASCII, spaces included. Takes eight bytes at a time.
#[inline]
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // The top bit of each byte shows: in the first part a byte below 0x20, in the second one from 0x80, in
    // the third 0x7f. A byte that borrows or carries has its own bit set.
    let odd = |chunk: [u8; 8]| {
        let eight = u64::from_le_bytes(chunk);
        (eight.wrapping_sub(0x20 * ONES) | eight | eight.wrapping_add(ONES)) & (0x80 * ONES)
    };
    let (chunks, rest) = bytes.as_chunks::<8>();
    let whole = chunks.iter().fold(0, |all, &chunk| all | odd(chunk));
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    whole | odd(last) == 0
}

/// Whether it is `1*CHAR`: UTF-8 without white space and control characters.
pub(super) fn is_value(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// Whether it can follow ` :`, that is, has no control character but TAB.
#[inline]
pub(super) fn is_text(text: &str) -> bool {
    is_plain(text.as_bytes()) || !text.chars().any(|c| c.is_control() && c != '\t')
}

/// The number does not fit 64 bits.
pub(super) struct TooLarge;

/// The number that `digits` write; `None` if there is anything but decimal digits.
#[inline]
pub(super) fn decimal(digits: &str) -> Option<Result<u64, TooLarge>> {
    match decimal_prefix(digits.as_bytes()) {
        Some((number, [])) => Some(Ok(number)),
        Some(_) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().map_err(|_| TooLarge))
        }
        _ => None,
    }
}

/// The number at the beginning of `bytes`, and the bytes after it. Reads 19 digits at most, which cannot
/// overflow.
#[inline]
pub(super) fn decimal_prefix(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (mut number, mut rest) = (0, bytes);
    while let [digit @ b'0'..=b'9', after_digit @ ..] = rest
        && bytes.len() - after_digit.len() <= 19
    {
        number = number * 10 + u64::from(digit - b'0');
        rest = after_digit;
    }
    (rest.len() < bytes.len()).then_some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Message<'_>, Malformed> {
        let mut message = Message::default();
        message.read(line).map(|()| message)
    }

    #[test]
    fn a_line_is_taken_apart() {
        let message = read("JOIN J\u{f6}rg turn=5 x-y=:=z at=h:1 last= :a  :b\t=\u{1f600}").map(|_| ());
        assert_eq!(
            message,
            Err(Malformed("a value is not empty and has no white space or control character"))
        );
        let message =
            read("JOIN J\u{f6}rg turn=5 x-y=:=z at=h:1 :a  :b\t=\u{1f600}").expect("by the grammar");
        assert_eq!((message.verb, message.word), ("JOIN", Some("J\u{f6}rg")));
        assert_eq!(
            (message.value(Key::Turn), message.value(Key::At), message.value(Key::As)),
            (Some("5"), Some("h:1"), None)
        );
        assert_eq!(message.text, Some("a  :b\t=\u{1f600}"));
    }

    #[test]
    fn each_part_may_be_left_out_but_the_verb() {
        for (line, word, turn, text) in [
            ("A", None, None, None),
            ("A b", Some("b"), None, None),
            ("A turn=1", None, Some("1"), None),
            ("A :", None, None, Some("")),
            ("A ::b turn=2", None, None, Some(":b turn=2")),
            ("A b turn=1 :c", Some("b"), Some("1"), Some("c")),
        ] {
            let message = read(line).expect(line);
            assert_eq!((message.word, message.value(Key::Turn), message.text), (word, turn, text), "{line}");
        }
    }

    #[test]
    fn lines_against_the_grammar_are_refused() {
        for line in [
            "",
            " ",
            ":",
            "a",
            "Join ann",
            "J\u{d6}IN ann",
            "A1",
            "A ",
            "A  b",
            "A b ",
            "A b c",
            "A b  x=1",
            "A x=1 ",
            "A x=1 b",
            "A x=",
            "A =1",
            "A X=1",
            "A x1=1",
            "A x=1 x=1",
            "A x=1 y=2 x=3",
            "A b:c",
            "A x=a\tb",
            "A x=a\u{a0}b",
            "A x=a\u{85}b",
            "A x=\u{1b}",
            "A b\tc",
            "A\tb",
            "A b\u{2028}c",
            "A :a\rb",
            "A :\u{0}",
            "A :\u{7f}",
            "A :\u{85}",
            " A",
            "A b=",
            "\u{feff}A",
        ] {
            assert!(read(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_key_that_occurs_twice_is_found_among_many() {
        // All of them have the same parity of length and the same first letter.
        let key =
            |number: usize| format!(" x{}-{}", "a".repeat(number % 26 * 2), "b".repeat(number / 26 * 2));
        let fields: String = (0..100).map(|number| key(number) + "=1").collect();
        assert!(read(&format!("A{fields}")).is_ok());
        for twice in [0, 50, 99] {
            assert!(read(&format!("A{fields}{}=2", key(twice))).is_err());
            assert!(read(&format!("A{fields} :{}=2", key(twice))).is_ok(), "a text has no fields");
        }
    }

    #[test]
    fn plain_bytes_are_told_eight_at_a_time_as_one_by_one() {
        for byte in 0..=255 {
            for (before, after) in [(0, 0), (3, 9), (7, 0), (8, 0), (0, 8), (12, 3)] {
                let bytes = [vec![b'~'; before], vec![byte], vec![b' '; after]].concat();
                assert_eq!(is_plain(&bytes), (b' '..=b'~').contains(&byte), "{}", bytes.escape_ascii());
            }
        }
        assert!(is_plain(b""));
    }

    #[test]
    fn a_number_is_decimal_digits_that_fit() {
        let read = |digits| decimal(digits).map(Result::ok);
        assert_eq!(
            (read("0"), read("007"), read("1234567890123456789")),
            (Some(Some(0)), Some(Some(7)), Some(Some(1_234_567_890_123_456_789)))
        );
        assert_eq!(
            (read("18446744073709551615"), read("00000000000000000000001")),
            (Some(Some(u64::MAX)), Some(Some(1)))
        );
        assert_eq!((read("18446744073709551616"), read("99999999999999999999999")), (Some(None), Some(None)));
        for no_number in
            ["", "+1", "-1", "1 ", "x", "1x", "1234567890123456789x", "123456789012345678901x", "\u{661}"]
        {
            assert_eq!(read(no_number), None, "{no_number}");
        }
    }
}
