//! Rings by name: which seats have which names there, and who observes. Order and turns are the scheduler's.

use std::collections::HashMap;

use slab::Slab;

use super::name::Name;
use crate::protocol::ConnectionId;
use crate::turn::{RingId, SeatId};

/// A ring's name, and all that hangs on it. Exists while the ring does or somebody observes it.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: Name,
    pub(super) ring: Option<RingId>,
    /// The seats of the line framing, vacant ones too.
    pub(super) seats: HashMap<Name, SeatId>,
    pub(super) observers: Vec<ConnectionId>,
}

/// Names one room while it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RoomId(u32);

impl RoomId {
    fn slot(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug, Default)]
pub(super) struct Rooms {
    rooms: Slab<Room>,
    by_name: HashMap<Name, RoomId>,
}

impl Rooms {
    pub(super) fn find(&self, name: &Name) -> Option<RoomId> {
        self.by_name.get(name).copied()
    }

    pub(super) fn find_or_make(&mut self, name: Name) -> RoomId {
        *self.by_name.entry(name).or_insert_with(|| {
            let room = Room { name, ring: None, seats: HashMap::new(), observers: Vec::new() };
            RoomId(u32::try_from(self.rooms.insert(room)).expect("fewer than 2^32 rooms"))
        })
    }

    pub(super) fn room(&self, id: RoomId) -> &Room {
        &self.rooms[id.slot()]
    }

    pub(super) fn room_mut(&mut self, id: RoomId) -> &mut Room {
        &mut self.rooms[id.slot()]
    }

    /// The room, unless the last that hung on it is gone.
    pub(super) fn get_mut(&mut self, id: RoomId) -> Option<&mut Room> {
        self.rooms.get_mut(id.slot())
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.rooms.len(), self.by_name.len());
        self.rooms.len()
    }

    pub(super) fn name_of(&self, ring: RingId) -> Option<Name> {
        self.rooms.iter().find(|(_, room)| room.ring == Some(ring)).map(|(_, room)| room.name)
    }

    /// Forgets the room if nothing hangs on it any more.
    pub(super) fn tidy(&mut self, id: RoomId) {
        let room = &self.rooms[id.slot()];
        if room.ring.is_none() && room.observers.is_empty() {
            let room = self.rooms.remove(id.slot());
            self.by_name.remove(&room.name);
        }
    }
}
