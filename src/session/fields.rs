//! The grammar of a line: a verb, perhaps a word, `key=value` fields, perhaps a text. Knows no verb and no key.
//!
//! ```text
//! line  = verb [SP word] *(SP key "=" value) [SP ":" text]
//! verb  = 1*UPPERCASE
//! word  = 1*CHAR-but-not-":"-or-"="          ; CHAR: UTF-8 without white space and control characters
//! key   = 1*(lowercase / "-")
//! value = 1*CHAR
//! text  = *(any UTF-8 but control characters; TAB is allowed)
//! ```

use memchr::memchr;

/// The line breaks the grammar; the words say where, for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// A line that keeps to the grammar, taken apart.
///
/// It has no `Debug`, because some lines carry secrets.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "a line may carry a secret or a token")]
pub struct Message<'a> {
    /// The capitals that it begins with.
    pub verb: &'a str,
    /// The name or code behind the verb.
    pub word: Option<&'a str>,
    /// Everything behind the first ` :`.
    pub text: Option<&'a str>,
    /// The fields, checked: one space between two of them, none around them.
    fields: &'a str,
}

impl<'a> Message<'a> {
    /// Takes a line apart, which has no line end any more.
    ///
    /// # Errors
    ///
    /// [`Malformed`], also if a key stands twice.
    pub fn parse(line: &'a str) -> Result<Message<'a>, Malformed> {
        let (verb, mut rest) = cut(line);
        if verb.is_empty() || !verb.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(Malformed("a line begins with a verb in capitals"));
        }
        let word = rest.and_then(|behind| take_word(behind, &mut rest));
        if word.is_some_and(|word| word.contains(':') || !is_value(word)) {
            return Err(Malformed("a name or code has no ':', white space or control character"));
        }
        let begin = rest;
        let mut count = 0;
        while let Some(behind) = rest
            && !behind.starts_with(':')
        {
            let (field, next) = cut(behind);
            check_field(field)?;
            (rest, count) = (next, count + 1);
        }
        let text = rest.map(|text| &text[1..]);
        if text.is_some_and(|text| !is_text(text)) {
            return Err(Malformed("a text has no control character but TAB"));
        }
        let behind_fields = rest.map_or(0, |rest| rest.len() + 1);
        let fields = begin.map_or("", |fields| &fields[..fields.len().saturating_sub(behind_fields)]);
        let message = Message { verb, word, text, fields };
        if count > 1 && message.has_a_key_twice(count) {
            return Err(Malformed("a key stands twice"));
        }
        Ok(message)
    }

    /// The fields, in the order in which they stand.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut rest = Some(self.fields).filter(|fields| !fields.is_empty());
        std::iter::from_fn(move || {
            let (field, next) = cut(rest?);
            rest = next;
            field.split_once('=')
        })
    }

    /// The value of the field with this key.
    #[must_use]
    pub fn field(&self, key: &str) -> Option<&'a str> {
        self.fields().find(|&(known, _)| known == key).map(|(_, value)| value)
    }

    /// Each pair is compared while they are few. Hello lines have room for thousands of fields, for which that would take too long.
    fn has_a_key_twice(&self, count: usize) -> bool {
        const FEW: usize = 16;
        let keys = self.fields().map(|(key, _)| key);
        if count <= FEW {
            let mut seen = [""; FEW];
            return keys.enumerate().any(|(nth, key)| {
                seen[nth] = key;
                seen[..nth].contains(&key)
            });
        }
        let mut keys: Vec<&str> = keys.collect();
        keys.sort_unstable();
        keys.windows(2).any(|pair| pair[0] == pair[1])
    }
}

/// What stands before the first space, and behind it.
#[inline]
fn cut(text: &str) -> (&str, Option<&str>) {
    match memchr(b' ', text.as_bytes()) {
        Some(space) => (&text[..space], Some(&text[space + 1..])),
        None => (text, None),
    }
}

/// The word that stands first `behind` the verb, if there is one, and then the `rest`.
fn take_word<'a>(behind: &'a str, rest: &mut Option<&'a str>) -> Option<&'a str> {
    let (first, next) = cut(behind);
    if first.is_empty() || first.starts_with(':') || first.contains('=') {
        return None;
    }
    *rest = next;
    Some(first)
}

fn check_field(field: &str) -> Result<(), Malformed> {
    if field.is_empty() {
        return Err(Malformed("fields have one space between them, and none at the end"));
    }
    let (key, value) = field.split_once('=').ok_or(Malformed("a field is key=value"))?;
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') {
        return Err(Malformed("a key has lower-case letters and '-' only"));
    }
    if !is_value(value) {
        return Err(Malformed("a value is not empty and has no white space or control character"));
    }
    Ok(())
}

/// Whether it is `1*CHAR`: UTF-8 without white space and control characters.
pub(super) fn is_value(text: &str) -> bool {
    let is_plain = text.bytes().fold(true, |ok, byte| ok & byte.is_ascii_graphic());
    !text.is_empty() && (is_plain || !text.chars().any(|c| c.is_whitespace() || c.is_control()))
}

/// Whether it can stand behind ` :`, that is, has no control character but TAB.
#[inline]
pub(super) fn is_text(text: &str) -> bool {
    let is_plain = text.bytes().fold(true, |ok, byte| ok & (b' '..=b'~').contains(&byte));
    is_plain || !text.chars().any(|c| c.is_control() && c != '\t')
}

/// The number that decimal digits, and nothing else, say.
pub(super) fn decimal(digits: &str) -> Option<Result<u64, TooLarge>> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().map_err(|_| TooLarge))
}

/// A number does not fit 64 bits.
pub(super) struct TooLarge;
