//! Connections by name: who they are to a protocol, where they come from, why they end, and a table of what
//! is known of each.

use std::fmt;
use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::NonZeroU32;

use crate::capacity::growth;
use crate::time::{Alarm, Instant, Timers};

/// Names one connection for as long as it exists. Its slot is used again, with another generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    pub(crate) slot: u32,
    pub(crate) generation: NonZeroU32,
}

/// Generations count to this and start again: they have to fit a token.
pub(super) const GENERATION_MAX: u32 = (1 << 24) - 1;

impl ConnectionId {
    /// The slot, for a table beside [`Links`]; small and dense.
    pub(crate) fn slot(self) -> usize {
        self.slot as usize
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}.{}", self.slot, self.generation)
    }
}

/// The address of a peer in half the room, since nearly all are short.
#[derive(Debug)]
pub(super) enum Peer {
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

impl From<SocketAddr> for Peer {
    fn from(addr: SocketAddr) -> Peer {
        match addr {
            SocketAddr::V4(addr) => Peer::V4(addr),
            SocketAddr::V6(addr) => Peer::V6(Box::new(addr)),
        }
    }
}

impl Peer {
    pub(super) fn addr(&self) -> SocketAddr {
        match self {
            Peer::V4(addr) => (*addr).into(),
            Peer::V6(addr) => (**addr).into(),
        }
    }
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A peer connected to us.
    Accepted,
    /// We connected; the number is that of [`Driver::connect`](crate::net::Driver::connect), the same at
    /// every reconnection.
    Dialed(DialId),
}

/// Names one outbound connection, over all its reconnections. After it was hung up, the next one has its
/// number: while the old connection is still being closed, only the [`ConnectionId`] tells the two apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DialId(pub usize);

/// The transport of a connection, as its handshake has shown it. A plain connection has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Transport {
    /// Each message of the wire is one of the protocol's, so no framing has to be guessed: a WebSocket.
    pub is_web_socket: bool,
    /// No third party can read or change its bytes: TLS. A peer that was dialed has proved its name.
    pub is_secure: bool,
    /// The names that the peer has proved by a certificate: its DNS names, in small letters, and its URIs.
    /// Empty if it has shown none.
    pub names: Box<[Box<str>]>,
}

impl Transport {
    /// Returns what is known where one wire is in the other.
    #[must_use]
    pub fn and(self, inner: Transport) -> Transport {
        Transport {
            is_web_socket: self.is_web_socket | inner.is_web_socket,
            is_secure: self.is_secure | inner.is_secure,
            names: if self.names.is_empty() { inner.names } else { self.names },
        }
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer closed it, or finished sending and was answered.
    Finished,
    /// It broke: reset, timed out, unreachable.
    Broken(io::ErrorKind),
    /// The protocol closed it.
    Unwanted,
    /// The peer did not read: too much was queued for it, or nothing was taken for too long.
    SlowReader,
    /// The peer sent more than may be kept, and the protocol could make nothing of it.
    Overlong,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Finished => f.write_str("closed by the peer"),
            CloseReason::Broken(kind) => write!(f, "broken: {kind}"),
            CloseReason::Unwanted => f.write_str("closed by this side"),
            CloseReason::SlowReader => f.write_str("closed: the peer does not read"),
            CloseReason::Overlong => f.write_str("closed: the peer's message is too long"),
        }
    }
}

/// A value for each connection, found by index: what a protocol knows about it.
#[derive(Debug, Clone)]
pub struct ConnectionMap<T> {
    entries: Vec<Option<(NonZeroU32, T)>>,
    len: usize,
}

impl<T> Default for ConnectionMap<T> {
    fn default() -> Self {
        ConnectionMap { entries: Vec::new(), len: 0 }
    }
}

impl<T> ConnectionMap<T> {
    /// Keeps `value` for `id`, in place of an earlier value in its slot.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// let mut names = ConnectionMap::default();
    /// names.insert(id, "ann");
    /// assert_eq!(names.get(id), Some(&"ann"));
    /// ```
    pub fn insert(&mut self, id: ConnectionId, value: T) {
        if self.entries.len() <= id.slot() {
            self.entries.reserve(growth::<Option<(NonZeroU32, T)>>(self.entries.len()));
            self.entries.resize_with(id.slot() + 1, || None);
        }
        self.len += usize::from(self.entries[id.slot()].replace((id.generation, value)).is_none());
    }

    /// Returns the value kept for `id`.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// let mut names = ConnectionMap::default();
    /// assert_eq!(names.get(id), None);
    /// names.insert(id, "ann");
    /// assert_eq!(names.get(id), Some(&"ann"));
    /// ```
    #[must_use]
    #[inline]
    pub fn get(&self, id: ConnectionId) -> Option<&T> {
        match self.entries.get(id.slot as usize) {
            Some(Some((generation, value))) if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    /// Returns the value kept for `id`, to be changed.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// let mut counts = ConnectionMap::default();
    /// counts.insert(id, 1);
    /// *counts.get_mut(id).expect("it was inserted") += 1;
    /// assert_eq!(counts.get(id), Some(&2));
    /// ```
    #[inline]
    pub fn get_mut(&mut self, id: ConnectionId) -> Option<&mut T> {
        match self.entries.get_mut(id.slot as usize) {
            Some(Some((generation, value))) if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    /// Takes out the value kept for `id`.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// let mut names = ConnectionMap::default();
    /// names.insert(id, "ann");
    /// assert_eq!(names.remove(id), Some("ann"));
    /// assert_eq!(names.remove(id), None);
    /// ```
    pub fn remove(&mut self, id: ConnectionId) -> Option<T> {
        self.get(id)?;
        self.len -= 1;
        self.entries[id.slot()].take().map(|(_, value)| value)
    }

    /// Returns the number of values.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// let mut names = ConnectionMap::default();
    /// names.insert(id, "ann");
    /// assert_eq!(names.len(), 1);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the next connection whose alarm is due. `alarm` finds it in the value, which may have none.
    pub(crate) fn next_due(
        &mut self,
        now: Instant,
        timers: &mut Timers<ConnectionId>,
        alarm: impl Fn(&mut T) -> Option<&mut Alarm>,
    ) -> Option<ConnectionId> {
        while let Some(id) = timers.pop(now) {
            let alarm = self.get_mut(id).and_then(&alarm);
            if alarm.is_some_and(|alarm| timers.ring(alarm, id, now)) {
                return Some(id);
            }
        }
        None
    }

    /// Returns whether there is no value.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// assert!(ConnectionMap::<&str>::default().is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Consumes the map, and returns every connection with its value.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// let mut names = ConnectionMap::default();
    /// names.insert(id, "ann");
    /// assert_eq!(names.into_entries().collect::<Vec<_>>(), [(id, "ann")]);
    /// ```
    pub fn into_entries(self) -> impl Iterator<Item = (ConnectionId, T)> {
        self.entries.into_iter().enumerate().filter_map(|(slot, entry)| {
            let (generation, value) = entry?;
            Some((named(slot, generation), value))
        })
    }

    /// Returns every connection with its value.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// let mut names = ConnectionMap::default();
    /// names.insert(id, "ann");
    /// for (id, name) in names.iter() {
    ///     links.send_fmt(id, format_args!("hello, {name}\n"));
    /// }
    /// assert_eq!(links.unsent(id), b"hello, ann\n");
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (ConnectionId, &T)> {
        self.entries.iter().enumerate().filter_map(|(slot, entry)| {
            let (generation, value) = entry.as_ref()?;
            Some((named(slot, *generation), value))
        })
    }

    /// Returns every connection with its value, to be changed.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = one_link!()]
    /// let mut counts = ConnectionMap::default();
    /// counts.insert(id, 1);
    /// counts.iter_mut().for_each(|(_, count)| *count += 1);
    /// assert_eq!(counts.get(id), Some(&2));
    /// ```
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ConnectionId, &mut T)> {
        self.entries.iter_mut().enumerate().filter_map(|(slot, entry)| {
            let (generation, value) = entry.as_mut()?;
            Some((named(slot, *generation), value))
        })
    }
}

fn named(slot: usize, generation: NonZeroU32) -> ConnectionId {
    ConnectionId { slot: u32::try_from(slot).expect("it was kept under such a slot"), generation }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_id_finds_nothing_in_a_slot_that_is_used_again() {
        let [old, new] = [1, 2].map(|n| named(3, NonZeroU32::new(n).expect("not 0")));
        let mut map = ConnectionMap::default();
        map.insert(new, 1);
        assert_eq!(map.remove(old), None);
        assert_eq!((map.get(old), map.get(new), map.len()), (None, Some(&1), 1));
        map.insert(old, 7);
        assert_eq!((map.get(new), map.len()), (None, 1), "one value a slot");
    }

    #[test]
    fn every_connection_is_listed_with_its_value() {
        let mut map = ConnectionMap::default();
        let ids = [5, 2].map(|slot| named(slot, NonZeroU32::MIN));
        ids.into_iter().zip(["ann", "bob"]).for_each(|(id, name)| map.insert(id, name));
        assert_eq!(map.iter().collect::<Vec<_>>(), [(ids[1], &"bob"), (ids[0], &"ann")]);
        map.iter_mut().filter(|(id, _)| *id == ids[0]).for_each(|(_, name)| *name = "eve");
        assert_eq!(map.into_entries().collect::<Vec<_>>(), [(ids[1], "bob"), (ids[0], "eve")]);
    }

    #[test]
    fn what_is_taken_out_leaves_the_map_empty() {
        let id = named(3, NonZeroU32::MIN);
        let mut map = ConnectionMap::default();
        assert!(map.is_empty());
        map.insert(id, 1);
        assert!(!map.is_empty());
        assert_eq!(map.remove(id), Some(1));
        assert!(map.is_empty());
    }

    #[test]
    fn a_connection_and_its_end_have_a_text_for_the_log() {
        assert_eq!(named(3, NonZeroU32::MIN).to_string(), "connection 3.1");
        for (reason, text) in [
            (CloseReason::Finished, "closed by the peer"),
            (CloseReason::Broken(io::ErrorKind::ConnectionReset), "broken: connection reset"),
            (CloseReason::Unwanted, "closed by this side"),
            (CloseReason::SlowReader, "closed: the peer does not read"),
            (CloseReason::Overlong, "closed: the peer's message is too long"),
        ] {
            assert_eq!(reason.to_string(), text);
        }
    }
}
