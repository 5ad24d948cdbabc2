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
pub(crate) struct NamedRing {
    pub(crate) name: Name,
    pub(crate) ring: Option<RingId>,
    /// The slots of the seats that were joined under a name, including those that are away. The name itself
    /// is kept with the seat: it takes 65 bytes, and thousands of seats have one. A seat that is retired is
    /// removed before another one joins, so each slot has the seat that it had when it was added.
    seats: HashTable<u32>,
    /// Those that are kept [in the ring's entry](crate::record::RingEntry) of a store, by ascending place.
    pub(crate) with_ring: Vec<SeatId>,
    /// See [`NamedRings::add_hearer`].
    pub(crate) hearers: Vec<ConnectionId>,
    /// Names that the host removed, and until when they are refused.
    pub(crate) removed: HashMap<Name, Instant>,
}

/// Identifies a named ring while it exists. A [`RingId`] does not: a name can have hearers before and after
/// its ring exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NamedRingId(u32);

impl NamedRingId {
    fn slot(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug, Default)]
pub(crate) struct NamedRings {
    rings: Slab<NamedRing>,
    by_name: HashMap<Name, NamedRingId>,
    by_ring: HashMap<RingId, NamedRingId>,
    /// Hearers of all rings together, so that a turn without any costs one test.
    pub(crate) hearing: usize,
    /// The rules that the host set for rings by name, whether or not they exist.
    rules: HashMap<Name, Rules>,
    secret: RandomState,
    /// The times at which names of removed seats may be taken again, with the names of their rings, in the
    /// order of the removals.
    removals: VecDeque<(Instant, Name)>,
}

impl NamedRings {
    pub(crate) fn find(&self, name: &Name) -> Option<NamedRingId> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn find_or_make(&mut self, name: Name) -> NamedRingId {
        *self.by_name.entry(name).or_insert_with(|| {
            let named_ring = NamedRing {
                name,
                ring: None,
                seats: HashTable::new(),
                with_ring: Vec::new(),
                hearers: Vec::new(),
                removed: HashMap::new(),
            };
            NamedRingId(u32::try_from(self.rings.insert(named_ring)).expect("fewer than 2^32 named rings"))
        })
    }

    /// Returns a named ring, which must still exist.
    pub(crate) fn get(&self, id: NamedRingId) -> &NamedRing {
        &self.rings[id.slot()]
    }

    pub(crate) fn get_mut(&mut self, id: NamedRingId) -> &mut NamedRing {
        &mut self.rings[id.slot()]
    }

    /// Returns the seat in the ring that was joined under `name`.
    pub(crate) fn seat_named(
        &self,
        scheduler: &Scheduler<SeatData>,
        id: NamedRingId,
        name: &Name,
    ) -> Option<SeatId> {
        let NamedRing { seats, ring, .. } = self.get(id);
        let ring = (*ring)?;
        let is_named = |&slot: &u32| name_in(scheduler, ring, slot) == Some(name);
        let slot = seats.find(self.secret.hash_one(name), is_named)?;
        scheduler.seat_in(ring, *slot).map(|(seat, _)| seat)
    }

    /// Adds a seat that was joined under `name`.
    pub(crate) fn add_seat(
        &mut self,
        scheduler: &Scheduler<SeatData>,
        id: NamedRingId,
        seat: SeatId,
        name: &Name,
    ) {
        let secret = &self.secret;
        let hash = |&slot: &u32| {
            let name = name_in(scheduler, seat.ring(), slot);
            debug_assert!(name.is_some(), "a seat that is retired is removed before another one joins");
            name.map_or(0, |name| secret.hash_one(name))
        };
        self.rings[id.slot()].seats.insert_unique(secret.hash_one(name), seat.slot(), hash);
    }

    /// Keeps a seat in the entry of its ring, if that has room.
    pub(crate) fn keep_with_ring(&mut self, id: NamedRingId, seat: SeatId) {
        let with_ring = &mut self.rings[id.slot()].with_ring;
        if with_ring.len() < SEATS_WITH_RING_MAX {
            with_ring.push(seat);
        }
    }

    /// Forgets a seat that was joined under `name`.
    pub(crate) fn remove_seat(&mut self, id: NamedRingId, seat: SeatId, name: &Name) {
        let is_it = |&slot: &u32| slot == seat.slot();
        self.rings[id.slot()].with_ring.retain(|kept| *kept != seat);
        match self.rings[id.slot()].seats.find_entry(self.secret.hash_one(name), is_it) {
            Ok(entry) => drop(entry.remove()),
            Err(_) => debug_assert!(false, "{seat} was added when it was joined"),
        }
    }

    /// Adds `id` to the hearers of the ring.
    pub(crate) fn add_hearer(&mut self, named_ring: NamedRingId, id: ConnectionId) {
        self.rings[named_ring.slot()].hearers.push(id);
        self.hearing += 1;
    }

    pub(crate) fn remove_hearer(&mut self, named_ring: NamedRingId, id: ConnectionId) {
        let hearers = &mut self.rings[named_ring.slot()].hearers;
        let before = hearers.len();
        hearers.retain(|&hearer| hearer != id);
        self.hearing -= before - hearers.len();
    }

    pub(crate) fn of_ring(&self, ring: RingId) -> Option<NamedRingId> {
        self.by_ring.get(&ring).copied()
    }

    pub(crate) fn rules(&self, name: &Name) -> Option<&Rules> {
        self.rules.get(name)
    }

    pub(crate) fn set_rules(&mut self, name: Name, rules: Rules) {
        self.rules.insert(name, rules);
    }

    pub(crate) fn set_ring(&mut self, id: NamedRingId, ring: Option<RingId>) {
        let named_ring = &mut self.rings[id.slot()];
        if let Some(before) = std::mem::replace(&mut named_ring.ring, ring) {
            self.by_ring.remove(&before);
        }
        if let Some(ring) = ring {
            self.by_ring.insert(ring, id);
        }
    }

    /// Refuses `name` in a ring until `until`. This also forgets named rings that exist only because of
    /// earlier removals.
    pub(crate) fn remove_name(&mut self, now: Instant, id: NamedRingId, name: Name, until: Instant) {
        while self.removals.front().is_some_and(|(until, _)| *until <= now) {
            let Some((_, name)) = self.removals.pop_front() else { break };
            if let Some(other) = self.find(&name).filter(|&other| other != id) {
                self.tidy(now, other);
            }
        }
        let named_ring = &mut self.rings[id.slot()];
        named_ring.removed.retain(|_, until| *until > now);
        named_ring.removed.insert(name, until);
        self.removals.push_back((until, named_ring.name));
    }

    /// Forgets the named ring if nothing depends on it any more. Names that were removed are refused as long
    /// as it exists.
    pub(crate) fn tidy(&mut self, now: Instant, id: NamedRingId) {
        let named_ring = &mut self.rings[id.slot()];
        named_ring.removed.retain(|_, until| *until > now);
        if named_ring.ring.is_none() && named_ring.hearers.is_empty() && named_ring.removed.is_empty() {
            let named_ring = self.rings.remove(id.slot());
            self.by_name.remove(&named_ring.name);
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
    fn rings_of_names_that_were_removed_are_forgotten() {
        let (mut named, ann) = (NamedRings::default(), "ann".parse::<Name>().expect("valid"));
        let grace = Duration::from_secs(60);
        let mut now = Instant::ORIGIN;
        for nth in 0..1_000 {
            let named_ring = named.find_or_make(format!("r{nth}").parse().expect("valid"));
            named.remove_name(now, named_ring, ann, now + grace);
            named.tidy(now, named_ring);
            assert!(named.rings.len() <= 61, "{} rings after {nth} removals", named.rings.len());
            now += Duration::from_secs(1);
        }
        assert_eq!((named.rings.len(), named.by_name.len()), (named.removals.len(), named.removals.len()));
    }
}
