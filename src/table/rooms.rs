//! Rings by name: their seats by name, their hearers, their rules. The scheduler has their order and turns.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;
use slab::Slab;

use super::SeatData;
use crate::protocol::ConnectionId;
use crate::record::SEATS_WITH_RING_MAX;
use crate::session::Name;
use crate::time::Instant;
use crate::turn::{RingId, Rules, Scheduler, SeatId};

/// The name of a ring, and everything that depends on it. It exists while the ring does, or while a
/// connection hears it.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: Name,
    pub(crate) ring: Option<RingId>,
    /// The slots of the seats that were joined under a name, including those that are away. The name itself
    /// is kept with the seat: it takes 65 bytes, and thousands of seats have one. A seat that is retired is
    /// removed before another one joins, so each slot has the seat that it had when it was added.
    seats: HashTable<u32>,
    /// Those that are kept [in the ring's entry](crate::record::RingEntry) of a store, by ascending place.
    pub(crate) with_ring: Vec<SeatId>,
    /// See [`Rooms::add_hearer`].
    pub(crate) hearers: Vec<ConnectionId>,
    /// Names that the host removed, and until when they are refused.
    pub(crate) removed: HashMap<Name, Instant>,
}

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

    pub(crate) fn find_or_make(&mut self, name: Name) -> RoomId {
        *self.by_name.entry(name).or_insert_with(|| {
            let room = Room {
                name,
                ring: None,
                seats: HashTable::new(),
                with_ring: Vec::new(),
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

    /// Returns the seat in the room that was joined under `name`.
    pub(crate) fn seat_named(
        &self,
        scheduler: &Scheduler<SeatData>,
        id: RoomId,
        name: &Name,
    ) -> Option<SeatId> {
        let Room { seats, ring, .. } = self.room(id);
        let ring = (*ring)?;
        let is_named = |&slot: &u32| name_in(scheduler, ring, slot) == Some(name);
        let slot = seats.find(self.secret.hash_one(name), is_named)?;
        scheduler.seat_in(ring, *slot).map(|(seat, _)| seat)
    }

    /// Adds a seat that was joined under `name`.
    pub(crate) fn add_seat(
        &mut self,
        scheduler: &Scheduler<SeatData>,
        id: RoomId,
        seat: SeatId,
        name: &Name,
    ) {
        let secret = &self.secret;
        let hash = |&slot: &u32| {
            let name = name_in(scheduler, seat.ring(), slot);
            debug_assert!(name.is_some(), "a seat that is retired is removed before another one joins");
            name.map_or(0, |name| secret.hash_one(name))
        };
        self.rooms[id.slot()].seats.insert_unique(secret.hash_one(name), seat.slot(), hash);
    }

    /// Keeps a seat in the entry of its ring, if that has room.
    pub(crate) fn keep_with_ring(&mut self, id: RoomId, seat: SeatId) {
        let with_ring = &mut self.rooms[id.slot()].with_ring;
        if with_ring.len() < SEATS_WITH_RING_MAX {
            with_ring.push(seat);
        }
    }

    /// Forgets a seat that was joined under `name`.
    pub(crate) fn remove_seat(&mut self, id: RoomId, seat: SeatId, name: &Name) {
        let is_it = |&slot: &u32| slot == seat.slot();
        self.rooms[id.slot()].with_ring.retain(|kept| *kept != seat);
        match self.rooms[id.slot()].seats.find_entry(self.secret.hash_one(name), is_it) {
            Ok(entry) => drop(entry.remove()),
            Err(_) => debug_assert!(false, "{seat} was added when it was joined"),
        }
    }

    /// Adds `id` to the hearers of the room.
    pub(crate) fn add_hearer(&mut self, room: RoomId, id: ConnectionId) {
        self.rooms[room.slot()].hearers.push(id);
        self.hearing += 1;
    }

    pub(crate) fn remove_hearer(&mut self, room: RoomId, id: ConnectionId) {
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

fn name_in(scheduler: &Scheduler<SeatData>, ring: RingId, slot: u32) -> Option<&Name> {
    scheduler.seat_in(ring, slot)?.1.name()
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
