//! Messages without delimiters, as the oldest clients send them: what one readiness brings is one message.
//!
//! Only the protocol can say whether a message is complete. If it is not, what follows within the gather time
//! joins it: the protocol leaves the bytes unconsumed, keeps that time, and has them given again when it is
//! over ([`Links::reread`](crate::protocol::Links::reread)).

/// The input of a raw connection, told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RawMessage<'a> {
    /// Nothing but whitespace, or nothing at all: no message has begun.
    Nothing,
    /// The beginning of a message: more may join it.
    Partial,
    /// A message, without the ASCII whitespace around it.
    Whole(&'a [u8]),
    /// A message that is longer than allowed, and this is its beginning: good for a log, and for nothing
    /// else.
    TooLong(&'a [u8]),
}

impl<'a> RawMessage<'a> {
    /// The bytes to show of it, if there are any.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::wire::RawMessage;
    ///
    /// assert_eq!(RawMessage::Whole(b"ann:5").bytes(), b"ann:5");
    /// assert_eq!(RawMessage::Partial.bytes(), b"");
    /// ```
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        match self {
            RawMessage::Nothing | RawMessage::Partial => b"",
            RawMessage::Whole(bytes) | RawMessage::TooLong(bytes) => bytes,
        }
    }
}

/// Says what `input` is, which is all that has come of one message.
///
/// It is a message once `is_complete` says so of what is there without the whitespace around it, or when
/// `is_over`: nothing more will join it. One of more than `message_bytes_max` bytes is never complete before
/// that.
///
/// # Examples
///
/// ```
/// use taketurns::wire::{RawMessage, split_raw};
///
/// let has_colon = |bytes: &[u8]| bytes.contains(&b':');
/// assert_eq!(split_raw(b" a:1\n", 64, false, has_colon), RawMessage::Whole(b"a:1"));
/// assert_eq!(split_raw(b"Clie", 64, false, has_colon), RawMessage::Partial);
/// assert_eq!(split_raw(b"Clie", 64, true, has_colon), RawMessage::Whole(b"Clie"));
/// ```
#[must_use]
pub fn split_raw(
    input: &[u8],
    message_bytes_max: usize,
    is_over: bool,
    is_complete: impl FnOnce(&[u8]) -> bool,
) -> RawMessage<'_> {
    let message = input.trim_ascii();
    if message.is_empty() {
        RawMessage::Nothing
    } else if message.len() > message_bytes_max {
        if is_over { RawMessage::TooLong(&message[..message_bytes_max]) } else { RawMessage::Partial }
    } else if is_over || is_complete(message) {
        RawMessage::Whole(message)
    } else {
        RawMessage::Partial
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_colon(bytes: &[u8]) -> bool {
        bytes.contains(&b':')
    }

    #[test]
    fn one_readiness_is_one_message() {
        let bytes = b" a:1 \n";
        let RawMessage::Whole(message) = split_raw(bytes, 64, false, has_colon) else { panic!("complete") };
        assert_eq!((message, message.as_ptr()), (&b"a:1"[..], bytes[1..].as_ptr()), "not copied");
    }

    #[test]
    fn what_follows_joins_an_incomplete_message() {
        assert_eq!(split_raw(b"Clie", 64, false, has_colon), RawMessage::Partial);
        assert_eq!(split_raw(b"Client1:3\n", 64, false, has_colon), RawMessage::Whole(b"Client1:3"));
    }

    #[test]
    fn the_end_of_the_gather_time_takes_what_there_is() {
        assert_eq!(split_raw(b"Client1 ", 64, true, has_colon), RawMessage::Whole(b"Client1"));
    }

    #[test]
    fn whitespace_alone_is_nothing() {
        for is_over in [false, true] {
            assert_eq!(split_raw(b" \r\n\t ", 64, is_over, has_colon), RawMessage::Nothing);
        }
    }

    #[test]
    fn a_message_over_the_limit_is_said_to_be_one() {
        assert_eq!(split_raw(b"a:12", 4, false, has_colon), RawMessage::Whole(b"a:12"));
        for input in [&b"a:1234:5"[..], b"abcd:1", b"abcdefghij"] {
            assert_eq!(split_raw(input, 4, false, has_colon), RawMessage::Partial, "never complete");
            assert_eq!(split_raw(input, 4, true, has_colon), RawMessage::TooLong(&input[..4]));
        }
        assert_eq!(split_raw(b"abcd", 4, true, has_colon), RawMessage::Whole(b"abcd"), "just short enough");
    }
}
