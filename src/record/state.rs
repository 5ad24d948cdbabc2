//! All entries together: the state with which a restarted server begins.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;

use super::codec::Malformed;
use super::{
    Change, HostValue, InvalidKey, Key, MetaValue, RingEntry, RingValue, SEATS_WITH_RING_MAX, SeatValue,
};
use crate::session::Name;

/// A server's stored state: the parsed entries of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Values that belong to no ring.
    pub meta: MetaValue,
    /// The rings, by name.
    pub rings: BTreeMap<Name, RingState>,
}

/// The stored state of one ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingState {
    /// The ring itself.
    pub ring: RingValue,
    /// Its seats, by place.
    pub seats: BTreeMap<u64, SeatValue>,
    /// The places of those that are kept [in the ring's entry](RingEntry).
    pub with_ring: BTreeSet<u64>,
    /// The state that the host keeps for it.
    pub host: Option<HostValue>,
}

impl State {
    /// Returns the state of a server that has done nothing yet.
    #[must_use]
    pub fn new(meta: MetaValue) -> State {
        State { meta, rings: BTreeMap::new() }
    }

    /// Parses the entries of a store, in any order, and checks that they are consistent.
    ///
    /// # Errors
    ///
    /// Returns [`Damaged`], with the bad entry and the reason, if an entry is invalid, is missing, or
    /// contradicts the others.
    pub fn read<'e>(entries: impl IntoIterator<Item = (&'e [u8], &'e [u8])>) -> Result<State, Damaged> {
        let (mut meta, mut rings, mut seats, mut hosts) = (None, BTreeMap::new(), Vec::new(), Vec::new());
        for (key, value) in entries {
            let damaged = |why: Wrong| Damaged { key: key.to_vec(), wrong: why };
            let malformed = |why| damaged(Wrong::Value(why));
            match Key::from_bytes(key).map_err(|why| damaged(Wrong::Key(why)))? {
                Key::Meta => meta = Some(MetaValue::decode(value).map_err(malformed)?),
                Key::Ring(name) => {
                    let RingEntry { ring, seats } = RingEntry::decode(value).map_err(malformed)?;
                    let with_ring = seats.iter().map(|(place, _)| *place).collect();
                    let seats = seats.into_iter().collect();
                    rings.insert(name, RingState { ring, seats, with_ring, host: None });
                }
                Key::Seat(ring, place) => {
                    seats.push((ring, place, SeatValue::decode(value).map_err(malformed)?));
                }
                Key::Host(ring) => hosts.push((ring, HostValue::decode(value).map_err(malformed)?)),
            }
        }
        for (name, place, seat) in seats {
            let ring =
                rings.get_mut(&name).ok_or_else(|| damaged(Key::Seat(name, place), "its ring is missing"))?;
            if ring.seats.insert(place, seat).is_some() {
                return Err(damaged(Key::Seat(name, place), "it is also in the entry of its ring"));
            }
        }
        for (name, state) in hosts {
            let ring = rings.get_mut(&name).ok_or_else(|| damaged(Key::Host(name), "its ring is missing"))?;
            ring.host = Some(state);
        }
        let state = State { meta: meta.ok_or_else(|| damaged(Key::Meta, "it is missing"))?, rings };
        match state.contradiction() {
            Some((key, what)) => Err(damaged(key, what)),
            None => Ok(state),
        }
    }

    /// Returns the first entry that contradicts another one.
    pub(crate) fn contradiction(&self) -> Option<(Key, &'static str)> {
        self.rings.iter().find_map(|(&name, ring)| ring.contradiction(name))
    }

    /// Returns the changes that turn an empty store into one with this state.
    #[must_use]
    pub fn puts(&self) -> Vec<Change> {
        let mut puts = vec![Change::Put { key: Key::Meta, value: self.meta.encode() }];
        for (&name, RingState { ring, seats, with_ring, host }) in &self.rings {
            let (inside, beside): (Vec<_>, Vec<_>) = seats
                .iter()
                .map(|(&place, &seat)| (place, seat))
                .partition(|(place, _)| with_ring.contains(place));
            let entry = RingEntry { ring: ring.clone(), seats: inside };
            puts.push(Change::Put { key: Key::Ring(name), value: entry.encode() });
            puts.extend(
                beside
                    .iter()
                    .map(|&(place, seat)| Change::Put { key: Key::Seat(name, place), value: seat.encode() }),
            );
            puts.extend(host.iter().map(|host| Change::Put { key: Key::Host(name), value: host.encode() }));
        }
        puts
    }
}

impl RingState {
    /// Returns a ring without seats.
    #[must_use]
    pub fn new(ring: RingValue) -> RingState {
        RingState { ring, seats: BTreeMap::new(), with_ring: BTreeSet::new(), host: None }
    }

    /// Adds a seat, in the ring's entry if that has room. Returns whether its place was free.
    pub fn add_seat(&mut self, place: u64, seat: SeatValue) -> bool {
        if self.with_ring.len() < SEATS_WITH_RING_MAX {
            self.with_ring.insert(place);
        }
        self.seats.insert(place, seat).is_none()
    }

    fn contradiction(&self, name: Name) -> Option<(Key, &'static str)> {
        let RingValue { last_turn, last_place, tags_given, virtual_time, lease, .. } = &self.ring;
        if virtual_time.given > *tags_given {
            return Some((Key::Ring(name), "its virtual time has a tag that was never given"));
        }
        if let Some(lease) = lease {
            if !(1..=*last_place).contains(&lease.place) {
                return Some((Key::Ring(name), "its turn is held by a place that never existed"));
            }
            if lease.turn.get() != *last_turn {
                return Some((Key::Ring(name), "its turn is not the last one that was granted"));
            }
        }
        if self.with_ring.len() > SEATS_WITH_RING_MAX {
            return Some((Key::Ring(name), "it has too many seats in its entry"));
        }
        if !self.with_ring.iter().all(|place| self.seats.contains_key(place)) {
            return Some((Key::Ring(name), "a seat in its entry is missing"));
        }
        let mut names = BTreeSet::new();
        self.seats.iter().find_map(|(&place, seat)| {
            let what = match seat {
                _ if !(1..=*last_place).contains(&place) => {
                    "its place is 0, or above the last place of its ring"
                }
                seat if seat.tag.given > *tags_given => "its tag was never given",
                seat if seat.last.is_some_and(|last| last.turn.get() > *last_turn) => {
                    "its last answer is for a turn that was never granted"
                }
                seat if !names.insert(seat.name) => "its name belongs to another seat of its ring",
                _ => return None,
            };
            Some((Key::Seat(name, place), what))
        })
    }
}

fn damaged(key: Key, what: &'static str) -> Damaged {
    Damaged { key: key.to_string().into_bytes(), wrong: Wrong::Contradicts(what) }
}

/// An entry that no server has written, or that contradicts the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// The key, as it was stored. A seat in the entry of its ring has the key of an entry of its own.
    pub key: Vec<u8>,
    /// Its fault.
    pub wrong: Wrong,
}

/// The fault of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wrong {
    /// Its key is invalid.
    Key(InvalidKey),
    /// Its value cannot be parsed.
    Value(Malformed),
    /// It contradicts another entry.
    Contradicts(&'static str),
}

impl Damaged {
    /// Returns whether the entry was written by another version of this program.
    #[must_use]
    pub fn is_of_another_version(&self) -> bool {
        matches!(self.wrong, Wrong::Value(Malformed { flaw: super::Flaw::Version { .. }, .. }))
    }
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {}", self.key.escape_ascii())?;
        match Key::from_bytes(&self.key) {
            Ok(Key::Ring(ring)) => write!(f, " (ring {ring})")?,
            Ok(Key::Seat(ring, place)) => write!(f, " (seat {place} of ring {ring})")?,
            Ok(Key::Host(ring)) => write!(f, " (the host's state of ring {ring})")?,
            Ok(Key::Meta) | Err(InvalidKey) => {}
        }
        match &self.wrong {
            Wrong::Key(why) => write!(f, ": {why}"),
            Wrong::Value(why) => write!(f, ": {why}"),
            Wrong::Contradicts(what) => write!(f, ": {what}"),
        }
    }
}

impl std::error::Error for Damaged {}
