//! The protocol's side of the connections: what to write to each, and which to close.
//!
//! A protocol never sees a socket. It asks [`Links`] to send and to close; whoever owns the sockets (the driver, or a
//! simulation) carries that out. A request about a connection that is gone, or about to go, is dropped: an id is not used again
//! before 16 million others, so what belongs to one connection cannot act on another.

use std::collections::VecDeque;
use std::fmt;
use std::fmt::Write as _;
#[cfg(feature = "net")]
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use slab::Slab;

use super::connection::{ConnectionId, GENERATION_MAX, Peer};
use crate::table::growth;
use crate::wire::SendBuffer;

/// What a protocol wants done with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To go on.
    Keep,
    /// To be closed with its last words heard: write what is queued, shut the writing side down, discard what
    /// still comes for at most a second, close.
    Close,
    /// To be closed at once.
    Abort(AbortReason),
}

/// Why a connection is closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortReason {
    /// The protocol has nothing more to say to it.
    Unwanted,
    /// More than `out_bytes_max` is queued for it: it does not read.
    SlowReader,
}

#[derive(Debug)]
struct Link {
    generation: NonZeroU32,
    wish: Wish,
    /// It stands in `touched`.
    touched: bool,
    /// This side has nothing more to send; see [`Links::finish`].
    finished: bool,
    /// The peer has proven to be the right one; see [`Links::confirm`].
    confirmed: bool,
    peer: Peer,
    /// What the operating system has not taken yet. The buffer is lent by [`Links`] while there is something.
    queue: Option<Box<SendBuffer>>,
}

impl Link {
    #[inline]
    fn unsent(&self) -> &[u8] {
        self.queue.as_ref().map_or(&[], |queue| queue.unsent())
    }

    #[inline]
    fn consume(&mut self, count: usize, spare: &mut Spare) {
        let Some(queue) = &mut self.queue else { return };
        queue.consume(count);
        if queue.unsent().is_empty()
            && let Some(queue) = self.queue.take()
            && spare.len() < SPARE_MAX
        {
            spare.push(queue);
        }
    }
}

type Spare = Vec<Box<SendBuffer>>;

/// Empty buffers kept for the next that have something to send: as many as a busy pass needs at once.
const SPARE_MAX: usize = 64;

/// Every open connection of a driver, as the protocol sees them.
#[derive(Debug)]
pub struct Links {
    links: Slab<Link>,
    /// The connections with something to carry out, in the order in which it was asked for.
    touched: VecDeque<ConnectionId>,
    /// Buffers that nobody has anything in.
    spare: Spare,
    /// Bytes ever queued, for all connections: numbers each of them.
    queued: u64,
    /// That of the newest connection.
    generation: u32,
    out_bytes_max: usize,
}

impl Links {
    /// No connections yet. A peer for which more than `out_bytes_max` bytes are queued is given up.
    #[must_use]
    pub fn new(out_bytes_max: usize) -> Links {
        let (links, touched, spare) = (Slab::new(), VecDeque::new(), Vec::new());
        Links { links, touched, spare, queued: 0, generation: 0, out_bytes_max }
    }

    // For the protocol.

    /// Queues `bytes` for `id`.
    pub fn send(&mut self, id: ConnectionId, bytes: &[u8]) {
        self.send_with(id, |buffer| buffer.queue(bytes));
    }

    /// Queues `pieces` for `id`, one behind the other, as one message.
    pub fn send_pieces(&mut self, id: ConnectionId, pieces: &[&[u8]]) {
        self.send_with(id, |buffer| pieces.iter().for_each(|piece| buffer.queue(piece)));
    }

    /// Queues formatted text for `id`, without an allocation of its own: `links.send_fmt(id, format_args!("OK {n}\n"))`.
    #[expect(clippy::missing_panics_doc, reason = "a buffer in memory takes everything")]
    pub fn send_fmt(&mut self, id: ConnectionId, text: fmt::Arguments<'_>) {
        self.send_with(id, |buffer| buffer.write_fmt(text).expect("a buffer in memory takes everything"));
    }

    /// Has what is queued for `id` written before what was asked of other connections earlier in this pass.
    pub fn hurry(&mut self, id: ConnectionId) {
        if self.touched.front() != Some(&id) && self.contains(id) {
            self.links[id.slot()].touched = true;
            self.touched.push_front(id);
        }
    }

    /// Closes `id` once all that is queued is written and the peer had a second to read it.
    pub fn close(&mut self, id: ConnectionId) {
        self.wish(id, Wish::Close);
    }

    /// Nothing more will be sent to `id`: once all that is queued is written, its peer sees the end of the stream. What it sends is
    /// still heard.
    pub fn finish(&mut self, id: ConnectionId) {
        if let Some(link) = self.open_link(id) {
            link.finished = true;
            self.touch(id);
        }
    }

    /// Closes `id` at once; what is queued is dropped.
    pub fn abort(&mut self, id: ConnectionId) {
        self.wish(id, Wish::Abort(AbortReason::Unwanted));
    }

    /// The peer of the outbound connection `id` has shown that it is there and speaks the protocol: if it is lost now,
    /// reconnecting starts with the shortest delay again.
    pub fn confirm(&mut self, id: ConnectionId) {
        if let Some(link) = self.open_link(id) {
            link.confirmed = true;
        }
    }

    /// A mark behind all that is queued for `id` now, for [`is_written`](Self::is_written).
    #[must_use]
    pub fn mark(&self, id: ConnectionId) -> u64 {
        let Some(link) = self.link(id) else { return u64::MAX };
        link.queue.as_ref().map_or(0, |queue| queue.queued())
    }

    /// Whether all that was queued before `mark` has been handed to the operating system.
    #[must_use]
    pub fn is_written(&self, id: ConnectionId, mark: u64) -> bool {
        self.link(id).is_some_and(|link| link.queue.as_ref().is_none_or(|queue| queue.written() >= mark))
    }

    /// Where `id` is.
    #[must_use]
    pub fn peer(&self, id: ConnectionId) -> Option<SocketAddr> {
        self.link(id).map(|link| link.peer.addr())
    }

    /// Whether `id` exists and nobody has asked for its end.
    #[must_use]
    #[inline]
    pub fn is_open(&self, id: ConnectionId) -> bool {
        self.link(id).is_some_and(|link| link.wish == Wish::Keep)
    }

    // For the driver.

    /// A new connection with `peer`. Its slot may be one that was [removed](Self::remove).
    #[expect(clippy::missing_panics_doc, reason = "2^32 connections do not fit a machine")]
    pub fn open(&mut self, peer: SocketAddr) -> ConnectionId {
        self.generation = self.generation % GENERATION_MAX + 1;
        let generation = NonZeroU32::new(self.generation).expect("it counts from 1");
        let link = Link {
            generation,
            wish: Wish::Keep,
            touched: false,
            finished: false,
            confirmed: false,
            peer: Peer::from(peer),
            queue: None,
        };
        if self.links.len() == self.links.capacity() {
            self.links.reserve(growth::<Link>(self.links.len()));
        }
        let slot = u32::try_from(self.links.insert(link)).expect("fewer than 2^32 connections");
        ConnectionId { slot, generation }
    }

    /// Forgets a connection; its slot may be used again from now on.
    pub fn remove(&mut self, id: ConnectionId) {
        if self.link(id).is_some() {
            self.links.remove(id.slot());
        }
    }

    /// The next connection for which something was asked since it was last taken here.
    pub fn take_touched(&mut self) -> Option<ConnectionId> {
        let id = self.touched.pop_front()?;
        if let Some(link) = self.link_mut(id) {
            link.touched = false;
        }
        Some(id)
    }

    /// Whether [`take_touched`](Self::take_touched) has something.
    #[must_use]
    #[inline]
    pub fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// What is queued for `id` and not written.
    #[must_use]
    #[inline]
    pub fn unsent(&self, id: ConnectionId) -> &[u8] {
        self.link(id).map_or(&[], Link::unsent)
    }

    /// The first `count` bytes of [`unsent`](Self::unsent) are written.
    pub fn consume(&mut self, id: ConnectionId, count: usize) {
        let Links { links, spare, .. } = self;
        if let Some(link) = links.get_mut(id.slot()).filter(|link| link.generation == id.generation) {
            link.consume(count, spare);
        }
    }

    /// The next connection for which something was asked, and what, unless it is gone.
    #[cfg(feature = "net")]
    #[inline]
    pub(crate) fn next_errand(&mut self) -> Option<(ConnectionId, Option<Errand<'_>>)> {
        let id = self.touched.pop_front()?;
        let mut errand = self.errand(id);
        if let Some(errand) = &mut errand {
            errand.link.touched = false;
        }
        Some((id, errand))
    }

    /// What is to be done for `id`.
    #[cfg(feature = "net")]
    #[inline]
    pub(crate) fn errand(&mut self, id: ConnectionId) -> Option<Errand<'_>> {
        let Links { links, spare, .. } = self;
        let link = links.get_mut(id.slot()).filter(|link| link.generation == id.generation)?;
        Some(Errand { link, spare })
    }

    /// What the protocol wants done with `id`.
    #[must_use]
    pub fn wish_of(&self, id: ConnectionId) -> Wish {
        self.link(id).map_or(Wish::Abort(AbortReason::Unwanted), |link| link.wish)
    }

    /// Whether [`finish`](Self::finish) was called for `id`.
    #[must_use]
    pub fn is_finished(&self, id: ConnectionId) -> bool {
        self.link(id).is_some_and(|link| link.finished)
    }

    /// Whether [`confirm`](Self::confirm) was called for `id`.
    #[must_use]
    pub fn is_confirmed(&self, id: ConnectionId) -> bool {
        self.link(id).is_some_and(|link| link.confirmed)
    }

    /// Whether `id` names a connection that exists.
    #[must_use]
    pub fn contains(&self, id: ConnectionId) -> bool {
        self.link(id).is_some()
    }

    /// How many connections exist.
    #[must_use]
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    #[inline]
    fn link(&self, id: ConnectionId) -> Option<&Link> {
        self.links.get(id.slot()).filter(|link| link.generation == id.generation)
    }

    fn link_mut(&mut self, id: ConnectionId) -> Option<&mut Link> {
        self.links.get_mut(id.slot()).filter(|link| link.generation == id.generation)
    }

    fn open_link(&mut self, id: ConnectionId) -> Option<&mut Link> {
        self.link_mut(id).filter(|link| link.wish == Wish::Keep)
    }

    fn send_with(&mut self, id: ConnectionId, queue: impl FnOnce(&mut SendBuffer)) {
        let Links { links, touched, spare, queued, out_bytes_max, .. } = self;
        let Some(link) = links.get_mut(id.slot()) else { return };
        if link.generation != id.generation || link.wish != Wish::Keep || link.finished {
            return;
        }
        let was_empty = link.queue.is_none();
        let buffer = match &mut link.queue {
            Some(buffer) => buffer,
            none => {
                let buffer = none.insert(spare.pop().unwrap_or_default());
                buffer.start_at(*queued);
                buffer
            }
        };
        let before = buffer.unsent().len();
        queue(buffer);
        *queued += (buffer.unsent().len() - before) as u64;
        // A message that finds nothing before it is always taken: it may be one long answer.
        if !was_empty && buffer.unsent().len() > *out_bytes_max {
            link.wish = Wish::Abort(AbortReason::SlowReader);
        }
        if buffer.unsent().is_empty() {
            // Nothing queued is no buffer.
            link.consume(0, spare);
        }
        touch(id, link, touched);
    }

    fn wish(&mut self, id: ConnectionId, wish: Wish) {
        if let Some(link) = self.open_link(id) {
            link.wish = wish;
            self.touch(id);
        }
    }

    fn touch(&mut self, id: ConnectionId) {
        touch(id, &mut self.links[id.slot()], &mut self.touched);
    }
}

/// What a protocol has asked for one connection, for whoever has its socket.
#[cfg(feature = "net")]
#[derive(Debug)]
pub(crate) struct Errand<'a> {
    link: &'a mut Link,
    spare: &'a mut Spare,
}

#[cfg(feature = "net")]
impl Errand<'_> {
    pub(crate) fn wish(&self) -> Wish {
        self.link.wish
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.link.finished
    }

    /// Has `write` take what is queued, in as many calls as that needs; whether it took all. How much it took is added to
    /// `total`, also before an error.
    pub(crate) fn write_out(
        self,
        total: &mut u64,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        while let Some(queue) = &self.link.queue {
            match write(queue.unsent()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    *total += count as u64;
                    self.link.consume(count, self.spare);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

#[inline]
fn touch(id: ConnectionId, link: &mut Link, touched: &mut VecDeque<ConnectionId>) {
    if !std::mem::replace(&mut link.touched, true) {
        touched.push_back(id);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV6;

    use super::*;

    fn peer() -> SocketAddr {
        ([127, 0, 0, 1], 9).into()
    }

    #[test]
    fn marks_tell_what_has_been_written() {
        let mut links = Links::new(100);
        let id = links.open(peer());
        links.send(id, b"GO");
        let mark = links.mark(id);
        links.send(id, b"WAIT");
        links.consume(id, 1);
        assert!(!links.is_written(id, mark));
        links.consume(id, 2);
        assert!(links.is_written(id, mark));
        assert_eq!(links.unsent(id), b"AIT");
        links.consume(id, 3);
        assert_eq!(links.spare.len(), 1, "who has nothing to send keeps no buffer");
        links.send(id, b"GO");
        assert!(links.is_written(id, mark), "also when another buffer is in use");
        assert!(!links.is_written(id, links.mark(id)));
    }

    #[test]
    fn a_peer_is_remembered_to_the_last_field() {
        let mut links = Links::new(100);
        let scoped = SocketAddrV6::new("fe80::1".parse().expect("an address"), 5001, 7, 3);
        for peer in [peer(), scoped.into()] {
            let id = links.open(peer);
            assert_eq!(links.peer(id), Some(peer));
        }
    }

    #[test]
    fn what_belongs_to_one_connection_never_acts_on_another() {
        let mut links = Links::new(100);
        let old = links.open(peer());
        links.remove(old);
        let new = links.open(peer());
        assert_eq!(old.slot(), new.slot(), "the slot is used again");
        links.send(old, b"GO");
        links.close(old);
        links.remove(old);
        assert_eq!(links.unsent(new), b"");
        assert!(links.is_open(new));
        assert_eq!(links.take_touched(), None);
    }

    #[test]
    fn a_peer_that_does_not_read_is_given_up_at_its_maximum() {
        let mut links = Links::new(4);
        let id = links.open(peer());
        links.send(id, b"1234");
        assert_eq!(links.wish_of(id), Wish::Keep);
        links.send(id, b"5");
        assert_eq!(links.wish_of(id), Wish::Abort(AbortReason::SlowReader));
        links.send(id, &[0; 1000]);
        assert_eq!(links.unsent(id).len(), 5, "nothing more is queued");
    }

    #[test]
    fn touched_connections_come_in_the_order_of_the_first_request() {
        let mut links = Links::new(100);
        let (a, b) = (links.open(peer()), links.open(peer()));
        links.send(b, b"GO");
        links.send(a, b"OK");
        links.send(b, b"more");
        assert_eq!(
            [links.take_touched(), links.take_touched(), links.take_touched()],
            [Some(b), Some(a), None]
        );
    }
}
