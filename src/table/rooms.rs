//! Rings by name: their seats by name, their hearers, their rules. The scheduler has their order and turns.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use slab::Slab;

use crate::protocol::ConnectionId;
use crate::session::Name;
use crate::time::Instant;
use crate::turn::{RingId, Rules, SeatId};

/// The name of a ring, and everything that depends on it. It exists while the ring does, or while a
/// connection hears it.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: Name,
    pub(crate) ring: Option<RingId>,
    /// The seats that were joined under a name, including those that are away, by [key](Rooms::key): the name
    /// itself is kept with the seat.
    pub(crate) seats: HashMap<NameKey, SeatId>,
    /// See [`Rooms::hear`].
    pub(crate) hearers: Vec<ConnectionId>,
    /// Names that the host removed, and until when they are refused.
    pub(crate) removed: HashMap<Name, Instant>,
}

/// 64 bits of a keyed hash of a name, because a name takes 65 bytes and thousands of seats have one. No peer
/// knows the key of the hash. The table checks that the seat under a hash has the wanted name: in one of
/// 10^11 rings with 10,000 seats two names have the same hash, and the later one is refused as taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct NameKey(u64);

/// Identifies a room while it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RoomId(u32);

impl RoomId {
    fn slot(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug, Default)]
pub(crate) struct Rooms {
    rooms: Slab<Room>,
    by_name: HashMap<Name, RoomId>,
    by_ring: HashMap<RingId, RoomId>,
    /// Hearers of all rooms, so that a turn without any costs one test.
    pub(crate) hearing: usize,
    /// The rules that the host set for rings by name, whether or not they exist.
    rules: HashMap<Name, Rules>,
    secret: RandomState,
    /// The times at which names of removed seats may be taken again, with their rooms, in the order of the
    /// removals.
    removals: VecDeque<(Instant, Name)>,
}

impl Rooms {
    pub(crate) fn find(&self, name: &Name) -> Option<RoomId> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn key(&self, name: &Name) -> NameKey {
        NameKey(self.secret.hash_one(name))
    }

    pub(crate) fn find_or_make(&mut self, name: Name) -> RoomId {
        *self.by_name.entry(name).or_insert_with(|| {
            let room = Room {
                name,
                ring: None,
                seats: HashMap::new(),
                hearers: Vec::new(),
                removed: HashMap::new(),
            };
            RoomId(u32::try_from(self.rooms.insert(room)).expect("fewer than 2^32 rooms"))
        })
    }

    pub(crate) fn room(&self, id: RoomId) -> &Room {
        &self.rooms[id.slot()]
    }

    pub(crate) fn room_mut(&mut self, id: RoomId) -> &mut Room {
        &mut self.rooms[id.slot()]
    }

    /// Adds `id` to the hearers of the room.
    pub(crate) fn hear(&mut self, room: RoomId, id: ConnectionId) {
        self.rooms[room.slot()].hearers.push(id);
        self.hearing += 1;
    }

    pub(crate) fn stop_hearing(&mut self, room: RoomId, id: ConnectionId) {
        let hearers = &mut self.rooms[room.slot()].hearers;
        let before = hearers.len();
        hearers.retain(|&hearer| hearer != id);
        self.hearing -= before - hearers.len();
    }

    pub(crate) fn of_ring(&self, ring: RingId) -> Option<RoomId> {
        self.by_ring.get(&ring).copied()
    }

    pub(crate) fn rules(&self, name: &Name) -> Option<&Rules> {
        self.rules.get(name)
    }

    pub(crate) fn set_rules(&mut self, name: Name, rules: Rules) {
        self.rules.insert(name, rules);
    }

    pub(crate) fn set_ring(&mut self, id: RoomId, ring: Option<RingId>) {
        let room = &mut self.rooms[id.slot()];
        if let Some(before) = std::mem::replace(&mut room.ring, ring) {
            self.by_ring.remove(&before);
        }
        if let Some(ring) = ring {
            self.by_ring.insert(ring, id);
        }
    }

    /// Refuses `name` in a room until `until`. This also forgets rooms that exist only because of earlier
    /// removals.
    pub(crate) fn remove_name(&mut self, now: Instant, id: RoomId, name: Name, until: Instant) {
        while self.removals.front().is_some_and(|(until, _)| *until <= now) {
            let Some((_, room)) = self.removals.pop_front() else { break };
            if let Some(room) = self.find(&room).filter(|&room| room != id) {
                self.tidy(now, room);
            }
        }
        let room = &mut self.rooms[id.slot()];
        room.removed.retain(|_, until| *until > now);
        room.removed.insert(name, until);
        self.removals.push_back((until, room.name));
    }

    /// Forgets the room if nothing depends on it any more. Names that were removed are refused as long as the
    /// room exists.
    pub(crate) fn tidy(&mut self, now: Instant, id: RoomId) {
        let room = &mut self.rooms[id.slot()];
        room.removed.retain(|_, until| *until > now);
        if room.ring.is_none() && room.hearers.is_empty() && room.removed.is_empty() {
            let room = self.rooms.remove(id.slot());
            self.by_name.remove(&room.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rooms_of_names_that_were_removed_are_forgotten() {
        let (mut rooms, ann) = (Rooms::default(), "ann".parse::<Name>().expect("valid"));
        let grace = Duration::from_secs(60);
        let mut now = Instant::ORIGIN;
        for nth in 0..1_000 {
            let room = rooms.find_or_make(format!("r{nth}").parse().expect("valid"));
            rooms.remove_name(now, room, ann, now + grace);
            rooms.tidy(now, room);
            assert!(rooms.rooms.len() <= 61, "{} rooms after {nth} removals", rooms.rooms.len());
            now += Duration::from_secs(1);
        }
        assert_eq!((rooms.rooms.len(), rooms.by_name.len()), (rooms.removals.len(), rooms.removals.len()));
    }
}
