//! Bytes for one connection that the operating system has not taken yet.

use crate::wire::SendBuffer;

/// Nearly all are empty, and what is said is nearly always taken at once: so a queue has no buffer of its own, but one that is lent
/// to it while there is something in it, and a message that is a constant needs none.
#[derive(Debug)]
pub(super) enum Queue {
    /// The rest of one message; of none at all, when it is empty.
    Constant(&'static [u8]),
    /// Never empty.
    Buffer(Box<SendBuffer>),
}

/// Empty buffers, to be lent.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "it is the boxes that are lent")]
pub(super) struct Spare(Vec<Box<SendBuffer>>);

impl Spare {
    /// As many as a busy pass needs at once, for two messages a turn and the 1,024 answers that a poll brings; more are not kept. None
    /// of them keeps more than 1 KiB.
    const MAX: usize = 2_048;

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Queue {
    pub(super) const EMPTY: Queue = Queue::Constant(b"");

    #[inline]
    pub(super) fn unsent(&self) -> &[u8] {
        match self {
            Queue::Constant(text) => text,
            Queue::Buffer(buffer) => buffer.unsent(),
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Queue::Constant(b""))
    }

    /// The buffer for what is said besides: what there is already is in it. `numbers` is the lowest number that no byte of any queue
    /// has; those that are given here are taken from it. A caller that adds nothing leaves it empty: see [`tidy`](Self::tidy).
    pub(super) fn buffer(&mut self, numbers: &mut u64, spare: &mut Spare) -> &mut SendBuffer {
        if let Queue::Constant(text) = *self {
            let mut buffer = spare.0.pop().unwrap_or_default();
            buffer.start_at(*numbers);
            buffer.queue(text);
            *numbers += text.len() as u64;
            *self = Queue::Buffer(buffer);
        }
        match self {
            Queue::Buffer(buffer) => buffer,
            Queue::Constant(_) => unreachable!("it has just been given one"),
        }
    }

    /// All of it is written.
    #[inline]
    pub(super) fn clear(&mut self, spare: &mut Spare) {
        match self {
            Queue::Constant(text) => *text = b"",
            Queue::Buffer(buffer) => {
                buffer.consume(buffer.unsent().len());
                self.tidy(spare);
            }
        }
    }

    /// The first `count` bytes of what is unsent are written.
    #[inline]
    pub(super) fn consume(&mut self, count: usize, spare: &mut Spare) {
        match self {
            Queue::Constant(text) => *text = &text[count..],
            Queue::Buffer(buffer) => {
                buffer.consume(count);
                self.tidy(spare);
            }
        }
    }

    /// Gives back a buffer with nothing in it.
    pub(super) fn tidy(&mut self, spare: &mut Spare) {
        if let Queue::Buffer(buffer) = self
            && buffer.unsent().is_empty()
            && let Queue::Buffer(buffer) = std::mem::replace(self, Queue::EMPTY)
            && spare.0.len() < Spare::MAX
        {
            spare.0.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_needs_no_buffer_until_something_follows_it() {
        let (mut queue, mut spare, mut numbers) = (Queue::EMPTY, Spare::default(), 100);
        assert!(queue.is_empty());
        queue = Queue::Constant(b"WAIT");
        queue.consume(1, &mut spare);
        assert_eq!((queue.unsent(), numbers), (&b"AIT"[..], 100));
        queue.buffer(&mut numbers, &mut spare).queue(b"GO");
        assert_eq!((queue.unsent(), numbers), (&b"AITGO"[..], 103), "its last bytes have numbers now");
        queue.consume(5, &mut spare);
        assert!(queue.is_empty());
        assert_eq!(spare.len(), 1);
    }

    #[test]
    fn a_buffer_that_nothing_was_put_into_is_given_back() {
        let (mut queue, mut spare, mut numbers) = (Queue::EMPTY, Spare::default(), 0);
        queue.buffer(&mut numbers, &mut spare);
        queue.tidy(&mut spare);
        assert!(queue.is_empty());
        assert_eq!(spare.len(), 1);
    }
}
