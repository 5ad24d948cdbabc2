//! One connection: its state, the intent of its protocol, and its queued bytes.

use std::num::NonZeroU32;

use super::connection::{ConnectionId, Peer};
use crate::wire::SendBuffer;

/// The end that a protocol intends for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Intent {
    /// It continues.
    Keep,
    /// It is closed after its last bytes: the queue is written, the writing side is shut down, and further
    /// input is discarded for at most `linger_timeout` (1 s).
    Close,
    /// It is closed at once.
    Abort(AbortReason),
}

/// The reason why a connection is closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AbortReason {
    /// The protocol has nothing more to say to it.
    Unwanted,
    /// More is queued for it than allowed, and it does not read.
    SlowReader,
}

/// When to dial again after an outbound connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comeback {
    /// After a pause that is longer than the last one.
    Later,
    /// After the shortest pause: see [`Links::confirm`](super::Links::confirm).
    Soon,
    /// See [`Links::reconnect_at_once`](super::Links::reconnect_at_once).
    AtOnce,
}

/// The readiness that an engine waits for on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interest {
    /// To be established.
    Connect,
    /// To be read from.
    Read,
    /// To be read from, and to be written to again.
    ReadWrite,
}

/// The phase of a connection. Its deadline, if it has one, limits the phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Outbound, not established; the protocol has not heard of it.
    Connecting,
    /// Its handshake is not over; the protocol has not heard of it.
    Securing,
    /// In use.
    Open,
    /// The last words are queued, and input is ignored.
    Closing,
    /// The last words are written, the writing side is shut down, and further input is discarded.
    Lingering,
    /// Its socket is closed. Its slot is used again only after the batch, because an event for it may still
    /// be on its way.
    Gone,
}

/// A connection without its socket. A protocol writes to it, and the engine sends that. Thousands of them
/// wait, so each field counts.
#[derive(Debug)]
pub(crate) struct Link {
    pub(super) generation: NonZeroU32,
    pub(super) peer: Peer,
    /// Bytes that the operating system has not accepted yet.
    pub(crate) queue: Queue,

    // The protocol's side.
    pub(crate) intent: Intent,
    /// Whether the protocol has asked for something since the engine last looked at this link.
    pub(crate) touched: bool,
    /// Whether nothing more will be sent; see [`Links::finish`](super::Links::finish).
    pub(crate) finished: bool,
    pub(super) comeback: Comeback,

    // The engine's side.
    pub(crate) phase: Phase,
    /// Whether the peer has finished sending.
    pub(crate) ended: bool,
    /// Whether the writing side has been shut down, as requested by [`finished`](Self::finished).
    pub(crate) shut: bool,
    /// Whether it is not read now. A budget may have run out, so that there may be more input than events
    /// will announce; or it is paused, not established, or gone.
    pub(crate) unread: bool,
    /// Whether it is congested, and will be read again when it no longer is.
    pub(crate) paused: bool,
    pub(crate) flags: Flags,
    /// The readiness for which it is registered with the poll.
    pub(crate) watched: Option<Interest>,
}

impl Link {
    pub(super) fn new(generation: NonZeroU32, peer: Peer) -> Link {
        Link {
            generation,
            peer,
            queue: Queue::EMPTY,
            intent: Intent::Keep,
            touched: false,
            finished: false,
            comeback: Comeback::Later,
            phase: Phase::Open,
            ended: false,
            shut: false,
            unread: false,
            paused: false,
            flags: Flags::default(),
            watched: None,
        }
    }

    /// Returns whether it is the connection `id`, and more may be sent to it.
    #[inline(always)]
    pub(super) fn may_send(&self, id: ConnectionId) -> bool {
        self.generation == id.generation && self.intent == Intent::Keep && !self.finished
    }

    /// Returns whether nothing is left to do once its queue is written.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        // Without a branch between them, because every message evaluates all of them.
        (self.phase == Phase::Open)
            & (self.intent == Intent::Keep)
            & !self.finished
            & !self.flags.any(Flags::BLOCKED | Flags::WRAPPED)
            & (self.watched == Some(Interest::Read))
    }

    #[inline(always)]
    pub(crate) fn is_blocked(&self) -> bool {
        self.flags.any(Flags::BLOCKED)
    }

    /// Returns the readiness that it waits for, derived from its state.
    pub(crate) fn interest(&self) -> Interest {
        match self.phase {
            Phase::Connecting => Interest::Connect,
            Phase::Securing | Phase::Open | Phase::Closing if self.is_blocked() => Interest::ReadWrite,
            Phase::Securing | Phase::Open | Phase::Closing | Phase::Lingering | Phase::Gone => Interest::Read,
        }
    }
}

/// Conditions that apply to few connections. They are bits of one byte, so that testing several costs no more
/// than testing one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flags(u8);

impl Flags {
    /// The system did not accept everything that is queued, and will report when it accepts more.
    pub(crate) const BLOCKED: u8 = 1;
    /// Some of its input was not consumed and is kept.
    pub(crate) const HAS_REST: u8 = 2;
    /// Its bytes on the wire are not the protocol's own: see [`Wrapping`](crate::engine::Wrapping).
    pub(crate) const WRAPPED: u8 = 4;

    /// Returns whether any of `flags` is set.
    #[inline(always)]
    pub(crate) fn any(self, flags: u8) -> bool {
        self.0 & flags != 0
    }

    pub(crate) fn set(&mut self, flag: u8) {
        self.0 |= flag;
    }

    pub(crate) fn clear(&mut self, flag: u8) {
        self.0 &= !flag;
    }

    /// Clears `flag`. Returns whether it was set.
    pub(crate) fn take(&mut self, flag: u8) -> bool {
        let was_set = self.any(flag);
        self.clear(flag);
        was_set
    }
}

/// Bytes for one connection that the operating system has not accepted yet.
///
/// Nearly all queues are empty, and a message is nearly always sent at once. So a queue has no buffer of its
/// own: it borrows one while it needs it, and a constant message needs none.
#[derive(Debug)]
pub(crate) enum Queue {
    /// The rest of one constant message; empty if there is none.
    Constant(&'static [u8]),
    /// Never empty.
    Buffer(Box<SendBuffer>),
}

/// Empty buffers for queues to borrow.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "the boxes themselves are lent")]
pub(crate) struct Spare(Vec<Box<SendBuffer>>);

impl Spare {
    /// Enough for a busy pass: two messages per turn, and the 1,024 answers that a poll can bring. None of
    /// them keeps more than 1 KiB.
    const MAX: usize = 2_048;

    #[inline]
    pub(super) fn take(&mut self) -> Box<SendBuffer> {
        self.0.pop().unwrap_or_default()
    }

    /// Takes a buffer back, and discards its contents.
    #[inline]
    pub(super) fn give(&mut self, mut buffer: Box<SendBuffer>) {
        buffer.consume(buffer.unsent().len());
        if self.0.len() < Spare::MAX {
            self.0.push(buffer);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Queue {
    pub(super) const EMPTY: Queue = Queue::Constant(b"");

    #[inline]
    pub(crate) fn unsent(&self) -> &[u8] {
        match self {
            Queue::Constant(text) => text,
            Queue::Buffer(buffer) => buffer.unsent(),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Queue::Constant(b""))
    }

    /// Creates a queue with one non-empty message. `numbers` is the lowest number that no byte of any queue
    /// has; the bytes of the message take the next ones.
    #[inline]
    pub(super) fn of(mut message: Box<SendBuffer>, numbers: &mut u64) -> Queue {
        message.number_from(*numbers);
        *numbers += message.unsent().len() as u64;
        Queue::Buffer(message)
    }

    /// Returns a buffer with the current contents, for appending. The caller must not leave it empty.
    pub(super) fn buffer(&mut self, numbers: &mut u64, spare: &mut Spare) -> &mut SendBuffer {
        if let Queue::Constant(text) = *self {
            let mut buffer = spare.take();
            buffer.queue(text);
            *self = Queue::of(buffer, numbers);
        }
        match self {
            Queue::Buffer(buffer) => buffer,
            Queue::Constant(_) => unreachable!("it has just been given one"),
        }
    }

    /// Notes that the whole queue was written.
    #[inline]
    pub(crate) fn clear(&mut self, spare: &mut Spare) {
        if let Queue::Buffer(buffer) = std::mem::replace(self, Queue::EMPTY) {
            spare.give(buffer);
        }
    }

    /// Notes that the first `count` unsent bytes were written.
    pub(crate) fn consume(&mut self, count: usize, spare: &mut Spare) {
        match self {
            Queue::Constant(text) => *text = &text[count..],
            Queue::Buffer(buffer) if count < buffer.unsent().len() => buffer.consume(count),
            Queue::Buffer(buffer) => {
                assert_eq!(count, buffer.unsent().len(), "only what is queued can be written");
                self.clear(spare);
            }
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
}
