//! Connections by id: their origin, transport and end, and a table with a protocol's data about each.

use std::fmt;
use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::NonZeroU32;

use crate::capacity::growth;
use crate::time::{Alarm, Instant, Timers};

/// The id of a connection. Its slot is used again by later connections, with another generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    pub(crate) slot: u32,
    pub(crate) generation: NonZeroU32,
}

/// The last generation before they start again, so that they fit into a token.
pub(super) const GENERATION_MAX: u32 = (1 << 24) - 1;

impl ConnectionId {
    /// Returns the slot, which is small and dense, as an index for tables kept next to
    /// [`Links`](super::Links).
    pub(crate) fn slot(self) -> usize {
        self.slot as usize
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}.{}", self.slot, self.generation)
    }
}

/// The address of a peer, boxed in the rare long case to save space.
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

/// The origin of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The peer connected to us.
    Accepted,
    /// We connected. The id is that of [`Driver::connect`](crate::net::Driver::connect), and stays the same
    /// for every reconnection.
    Dialed(DialId),
}

/// The id of an outbound connection across all its reconnections. It is used again after the connection was
/// hung up. While the old one is still being closed, only the [`ConnectionId`] tells the two apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DialId(pub usize);

/// The transport of a connection, as established by its handshake. A plain connection has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Transport {
    /// Whether each message of the transport is one message of the protocol, as with WebSocket, so that no
    /// framing has to be guessed.
    pub is_web_socket: bool,
    /// Whether no third party can read or change the bytes, as with TLS. A dialed peer has proved its name.
    pub is_secure: bool,
    /// The names that the peer has proved with a certificate: DNS names in lower case, and URIs. Empty if it
    /// presented none.
    pub names: Box<[Box<str>]>,
}

impl Transport {
    /// Combines two transports, one of which carries the other.
    #[must_use]
    pub fn and(self, inner: Transport) -> Transport {
        Transport {
            is_web_socket: self.is_web_socket | inner.is_web_socket,
            is_secure: self.is_secure | inner.is_secure,
            names: if self.names.is_empty() { inner.names } else { self.names },
        }
    }
}

/// The reason why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer closed it, or finished sending and got its answer.
    Finished,
    /// It broke: it was reset, timed out, or became unreachable.
    Broken(io::ErrorKind),
    /// The protocol closed it.
    Unwanted,
    /// The peer did not read: too much was queued for it, or it accepted nothing for too long.
    SlowReader,
    /// The peer sent more than may be buffered, without a complete message.
    Overlong,
    /// It was given to another driver: see [`Driver::release`](crate::net::Driver::release).
    Released,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Finished => f.write_str("closed by the peer"),
            CloseReason::Broken(kind) => write!(f, "broken: {kind}"),
            CloseReason::Unwanted => f.write_str("closed by this side"),
            CloseReason::SlowReader => f.write_str("closed: the peer does not read"),
            CloseReason::Released => f.write_str("given to another loop"),
            CloseReason::Overlong => f.write_str("closed: the peer's message is too long"),
        }
    }
}

/// A protocol's data about each connection, found by index.
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
    /// Stores `value` for `id`, in place of any earlier value in its slot.
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

    /// Returns the value stored for `id`.
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

    /// Returns a mutable reference to the value stored for `id`.
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

    /// Removes and returns the value stored for `id`.
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

    /// Returns the next connection whose alarm is due. `alarm` finds the alarm in a value, which may have
    /// none.
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

    /// Consumes the map and returns every connection with its value.
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

    /// Returns every connection with a mutable reference to its value.
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
        assert_eq!((map.get(new), map.len()), (None, 1), "one value per slot");
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
    fn removing_the_last_value_leaves_the_map_empty() {
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
