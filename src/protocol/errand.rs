//! The work for one connection, as the owner of its socket sees it.

use std::io;

use super::links::{Link, Wish};
use super::queue::Spare;

/// The requests of a protocol for one connection, for the owner of its socket.
#[derive(Debug)]
pub(crate) struct Errand<'a> {
    pub(super) link: &'a mut Link,
    pub(super) spare: &'a mut Spare,
}

impl Errand<'_> {
    pub(crate) fn wish(&self) -> Wish {
        self.link.wish
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.link.finished
    }

    /// Whether nothing is asked for but to write.
    pub(crate) fn is_message(&self) -> bool {
        (self.link.wish == Wish::Keep) & !self.link.finished
    }

    /// Bytes that are queued and not written.
    #[inline]
    pub(crate) fn unsent(&self) -> &[u8] {
        self.link.queue.unsent()
    }

    /// All of it is written.
    #[inline]
    pub(crate) fn clear(self) {
        self.link.queue.clear(self.spare);
    }

    /// Has `write` take the queued bytes, in as many calls as that needs; returns whether it took all. The bytes taken are added to
    /// `total`, also before an error.
    pub(crate) fn write_out(
        &mut self,
        total: &mut u64,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        let Errand { link, spare } = self;
        while !link.queue.is_empty() {
            match write(link.queue.unsent()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    *total += count as u64;
                    link.queue.consume(count, spare);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use io::ErrorKind::{BrokenPipe, Interrupted, WouldBlock, WriteZero};

    use super::*;
    use crate::protocol::Links;

    #[test]
    fn an_errand_is_written_as_far_as_the_socket_takes_it() {
        let mut links = Links::new(100);
        let id = links.open(([127, 0, 0, 1], 9).into());
        links.send(id, b"HELLO");
        let mut run = |script: &[io::Result<usize>]| {
            let (mut total, mut script) = (100, script.iter());
            let mut errand = links.errand(id).expect("it is there");
            assert!(!errand.is_finished());
            let end = errand.write_out(&mut total, |_| match script.next().expect("no further call") {
                Ok(count) => Ok(*count),
                Err(error) => Err(error.kind().into()),
            });
            assert_eq!(script.len(), 0, "each call was made");
            (end.map_err(|error| error.kind()), total, links.unsent(id).to_vec())
        };
        let full = [Err(Interrupted.into()), Ok(2), Err(WouldBlock.into())];
        assert_eq!(run(&full), (Ok(false), 102, b"LLO".to_vec()));
        assert_eq!(run(&[Ok(1), Err(BrokenPipe.into())]), (Err(BrokenPipe), 101, b"LO".to_vec()));
        assert_eq!(run(&[Ok(0)]), (Err(WriteZero), 100, b"LO".to_vec()));
        assert_eq!(run(&[Ok(1), Ok(1)]), (Ok(true), 102, vec![]));
        links.finish(id);
        assert!(links.errand(id).is_some_and(|errand| errand.is_finished()));
    }
}
