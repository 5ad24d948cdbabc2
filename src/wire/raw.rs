//! Messages without delimiters, as the oldest clients send them: what one readiness brings is one message.
//!
//! Only the protocol can say whether a message is complete. If it is not, what follows within the gather time joins it; the
//! owner of the decoder keeps that time, and takes what there is with [`RawDecoder::take`] when it is over.

/// Gathers the bytes of one message.
#[derive(Debug)]
pub struct RawDecoder {
    /// The beginning of a message that is not complete; `message_bytes_max` bytes at most.
    partial: Vec<u8>,
    /// More than the maximum has come; `partial` is its beginning, and the rest is dropped until [`take`](Self::take).
    is_too_long: bool,
    message_bytes_max: usize,
}

impl RawDecoder {
    /// A decoder of messages of at most `message_bytes_max` bytes. A longer one is never complete: all that comes within its
    /// gather time belongs to it, and its beginning is handed out then, as [`RawMessage::TooLong`].
    #[must_use]
    pub fn new(message_bytes_max: usize) -> RawDecoder {
        RawDecoder { partial: Vec::new(), is_too_long: false, message_bytes_max }
    }

    /// Takes what one readiness brought; the message, if by `is_complete` it is one now.
    ///
    /// ASCII whitespace around a message is dropped, and whitespace alone is no message.
    pub fn push<'i>(
        &mut self,
        bytes: &'i [u8],
        is_complete: impl Fn(&[u8]) -> bool,
    ) -> Option<RawMessage<'i>> {
        if self.partial.is_empty() {
            let message = bytes.trim_ascii();
            if message.is_empty() {
                return None;
            }
            if message.len() <= self.message_bytes_max && is_complete(message) {
                return Some(RawMessage::Whole(message));
            }
        }
        let room = self.message_bytes_max - self.partial.len();
        self.is_too_long |= bytes.len() > room;
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if !self.is_too_long && is_complete(self.partial.trim_ascii()) { self.take() } else { None }
    }

    /// Whether a message has begun that is not complete.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    /// The gather time is over: what there is, is the message.
    pub fn take(&mut self) -> Option<RawMessage<'static>> {
        let partial = self.is_partial().then(|| std::mem::take(&mut self.partial))?;
        Some(match std::mem::take(&mut self.is_too_long) {
            true => RawMessage::TooLong(partial),
            false => RawMessage::Gathered(partial),
        })
    }
}

/// One message, borrowed from what was read or put together from pieces.
#[derive(Debug)]
pub enum RawMessage<'a> {
    /// It came whole.
    Whole(&'a [u8]),
    /// It came in pieces.
    Gathered(Vec<u8>),
    /// It is longer than allowed, and this is its beginning: good for a log, and for nothing else.
    TooLong(Vec<u8>),
}

impl RawMessage<'_> {
    /// The message without the whitespace around it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            RawMessage::Whole(bytes) => bytes,
            RawMessage::Gathered(bytes) | RawMessage::TooLong(bytes) => bytes.trim_ascii(),
        }
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
        let mut decoder = RawDecoder::new(64);
        let bytes = b" a:1 \n";
        let message = decoder.push(bytes, has_colon).expect("complete");
        assert_eq!(message.bytes(), b"a:1");
        assert!(matches!(message, RawMessage::Whole(_)), "not copied");
    }

    #[test]
    fn what_follows_joins_an_incomplete_message() {
        let mut decoder = RawDecoder::new(64);
        assert!(decoder.push(b"Clie", has_colon).is_none());
        assert!(decoder.is_partial());
        assert_eq!(decoder.push(b"nt1:3\n", has_colon).expect("complete").bytes(), b"Client1:3");
        assert!(!decoder.is_partial());
    }

    #[test]
    fn the_end_of_the_gather_time_takes_what_there_is() {
        let mut decoder = RawDecoder::new(64);
        assert!(decoder.push(b"Client1 ", has_colon).is_none());
        assert_eq!(decoder.take().expect("something").bytes(), b"Client1");
        assert!(decoder.take().is_none());
    }

    #[test]
    fn whitespace_alone_is_nothing() {
        let mut decoder = RawDecoder::new(64);
        assert!(decoder.push(b" \r\n\t ", has_colon).is_none());
        assert!(!decoder.is_partial());
    }

    #[test]
    fn a_message_over_the_limit_is_said_to_be_one() {
        let mut decoder = RawDecoder::new(4);
        assert!(matches!(decoder.push(b"a:12", has_colon), Some(RawMessage::Whole(b"a:12"))));
        for pieces in [&[&b"a:123"[..], b"4:5"][..], &[b"abc", b"d:1"], &[b"abcde", b"fghij"]] {
            assert!(pieces.iter().all(|piece| decoder.push(piece, has_colon).is_none()), "never complete");
            assert!(matches!(decoder.take(), Some(RawMessage::TooLong(bytes)) if bytes.len() == 4));
        }
        assert!(!decoder.is_partial());
        assert!(decoder.push(b"abc", has_colon).is_none() && decoder.push(b"d", has_colon).is_none());
        assert!(
            matches!(decoder.take(), Some(RawMessage::Gathered(bytes)) if bytes == b"abcd"),
            "just short enough"
        );
    }
}
