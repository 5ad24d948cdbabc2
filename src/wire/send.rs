//! Bytes that wait to be written to one peer.

use std::fmt;

/// An emptied buffer above this size is freed, because ten thousand peers that were slow once must not keep
/// ten thousand large buffers.
const KEEP_BYTES_MAX: usize = 1024;

/// A queue of bytes. Each has a number, so that "has that been written?" is one comparison.
#[derive(Debug, Clone, Default)]
pub struct SendBuffer {
    pub(crate) bytes: Vec<u8>,
    /// The number of `bytes` that have been written.
    head: usize,
    /// The number of the first unwritten byte.
    written: u64,
}

impl SendBuffer {
    /// Gives the first unsent byte the number `number`, and the others the numbers after it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::wire::SendBuffer;
    /// let mut buffer = SendBuffer::default();
    /// buffer.number_from(100);
    /// buffer.queue(b"hello");
    /// assert_eq!(buffer.queued(), 105);
    /// ```
    #[inline]
    pub fn number_from(&mut self, number: u64) {
        self.written = number;
    }

    /// Appends `bytes`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::wire::SendBuffer;
    /// let mut buffer = SendBuffer::default();
    /// buffer.queue(b"hel");
    /// buffer.queue(b"lo");
    /// assert_eq!(buffer.unsent(), b"hello");
    /// ```
    #[inline]
    pub fn queue(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the bytes that have not been written yet.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::wire::SendBuffer;
    /// assert_eq!(SendBuffer::default().unsent(), b"");
    /// ```
    #[must_use]
    #[inline]
    pub fn unsent(&self) -> &[u8] {
        &self.bytes[self.head..]
    }

    /// Notes that the first `count` unsent bytes have been written.
    ///
    /// # Panics
    ///
    /// Panics if there are fewer.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::wire::SendBuffer;
    /// let mut buffer = SendBuffer::default();
    /// buffer.queue(b"hello");
    /// buffer.consume(2); // as many as the socket took
    /// assert_eq!(buffer.unsent(), b"llo");
    /// ```
    #[inline]
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.unsent().len(), "only what is queued can be written");
        self.head += count;
        self.written += count as u64;
        if self.head == self.bytes.len() {
            self.head = 0;
            match self.bytes.capacity() {
                0..=KEEP_BYTES_MAX => self.bytes.clear(),
                _ => self.bytes = Vec::new(),
            }
        } else if self.head > self.bytes.len() / 2 {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
    }

    /// Returns the number after that of the last written byte.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::wire::SendBuffer;
    /// let mut buffer = SendBuffer::default();
    /// buffer.queue(b"hello");
    /// buffer.consume(2);
    /// assert_eq!((buffer.written(), buffer.queued()), (2, 5));
    /// ```
    #[must_use]
    #[inline]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Returns the number after that of the last queued byte.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::wire::SendBuffer;
    /// let mut buffer = SendBuffer::default();
    /// buffer.queue(b"hello");
    /// assert_eq!(buffer.queued(), 5);
    /// ```
    #[must_use]
    #[inline]
    pub fn queued(&self) -> u64 {
        self.written + self.unsent().len() as u64
    }
}

impl fmt::Write for SendBuffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.queue(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_bytes_are_gone_and_the_rest_stays_in_order() {
        let mut buffer = SendBuffer::default();
        buffer.queue(b"GO");
        buffer.queue(b"WAIT");
        buffer.consume(1);
        buffer.consume(2);
        assert_eq!(buffer.unsent(), b"AIT");
    }

    #[test]
    fn bytes_are_numbered_from_the_owners_start() {
        let mut buffer = SendBuffer::default();
        buffer.queue(b"GO");
        buffer.number_from(100);
        assert_eq!((buffer.written(), buffer.queued()), (100, 102));
        buffer.consume(1);
        assert_eq!((buffer.written(), buffer.queued()), (101, 102));
    }

    #[test]
    fn a_partly_written_buffer_does_not_grow_for_ever() {
        let mut buffer = SendBuffer::default();
        for _ in 0..10_000 {
            buffer.queue(&[0; 100]);
            buffer.consume(if buffer.unsent().len() > 500 { 200 } else { 99 });
        }
        assert!(buffer.bytes.capacity() < 4096);
    }

    #[test]
    fn a_large_buffer_is_given_back_when_empty() {
        let mut buffer = SendBuffer::default();
        buffer.queue(&[0; 60_000]);
        buffer.consume(60_000);
        assert_eq!(buffer.bytes.capacity(), 0);
    }
}
