//! Messages without delimiters, as the oldest clients send them: the bytes of one readiness are one message.
//!
//! Only the protocol can tell whether a message is complete. If it is not, bytes that follow within the
//! gather time belong to it: the protocol leaves the bytes unconsumed, keeps that time, and requests them
//! again when it is over ([`Links::reread`](crate::protocol::Links::reread)).

/// The classified input of a raw connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RawMessage<'a> {
    /// Only whitespace, or nothing at all: no message has begun.
    Nothing,
    /// The beginning of a message, which may continue.
    Partial,
    /// A message, without the ASCII whitespace around it.
    Whole(&'a [u8]),
    /// The beginning of a message that is longer than allowed, for use in a log only.
    TooLong(&'a [u8]),
}

impl<'a> RawMessage<'a> {
    /// Returns the bytes to show of it, if there are any.
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

/// Classifies `input`, which is all that has arrived of one message.
///
/// The message is complete when `is_complete` returns true for it without surrounding whitespace, or when
/// `is_over`, which means that no more bytes will belong to it. Before that, a message of more than
/// `message_bytes_max` bytes is never complete.
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
    fn bytes_that_follow_join_an_incomplete_message() {
        assert_eq!(split_raw(b"Clie", 64, false, has_colon), RawMessage::Partial);
        assert_eq!(split_raw(b"Client1:3\n", 64, false, has_colon), RawMessage::Whole(b"Client1:3"));
    }

    #[test]
    fn the_end_of_the_gather_time_completes_a_message() {
        assert_eq!(split_raw(b"Client1 ", 64, true, has_colon), RawMessage::Whole(b"Client1"));
    }

    #[test]
    fn whitespace_alone_is_not_a_message() {
        for is_over in [false, true] {
            assert_eq!(split_raw(b" \r\n\t ", 64, is_over, has_colon), RawMessage::Nothing);
        }
    }

    #[test]
    fn a_message_over_the_limit_is_reported() {
        assert_eq!(split_raw(b"a:12", 4, false, has_colon), RawMessage::Whole(b"a:12"));
        for input in [&b"a:1234:5"[..], b"abcd:1", b"abcdefghij"] {
            assert_eq!(split_raw(input, 4, false, has_colon), RawMessage::Partial, "never complete");
            assert_eq!(split_raw(input, 4, true, has_colon), RawMessage::TooLong(&input[..4]));
        }
        assert_eq!(split_raw(b"abcd", 4, true, has_colon), RawMessage::Whole(b"abcd"), "just short enough");
    }
}
