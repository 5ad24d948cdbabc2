//! Cuts a commit into transactions, each of which etcd takes. No I/O.
//!
//! A server may stop between two parts, so each of them has to leave a state to continue from. A ring's
//! entries stay together, unless they are too many for one transaction, as when more than a thousand seats
//! come back at once. Then
//!
//! 1. deleted seats come first (a ring may lack seats, but seats must not lack their ring), except those kept
//!    in the ring's entry;
//! 2. the ring, the state of its host and the seat that has answered, if it has its own entry, come together:
//!    at most one answer of a ring is under way, because the next turn is not told before the last one is
//!    durable;
//! 3. all other seats follow, which are newcomers or are stored again as they were.
//!
//! A ring that was forgotten and made again within one commit has its new seats above the places of the old
//! ones, so each old seat with its own entry is deleted in the first step.
//!
//! Nothing is told before the last part is durable, so nobody has heard of a part alone.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::record::{Change, Key, SeatValue};
use crate::session::Name;
use crate::turn::TurnNumber;

/// Puts and deletes in a transaction. They take etcd some 10 ms.
pub(super) const CHANGES_MAX: usize = 1000;

/// Bytes of a transaction's keys and values. etcd takes 1.5 MiB, including all that surrounds them.
const BYTES_MAX: usize = 1_000_000;

/// About the bytes of a key and what surrounds it.
const OVERHEAD: usize = 200;

/// The steps of a ring that is too large for one transaction.
const APART: u8 = 0;
const TOGETHER: u8 = 1;
const OTHERS: u8 = 2;

/// Cuts changes, in which no key occurs twice.
pub(super) fn cut(changes: Vec<Change>) -> Vec<Vec<Change>> {
    let mut parts = Parts::default();
    if fits(changes.len(), bytes(&changes)) {
        parts.add(changes);
        return parts.finish();
    }
    let mut rings: BTreeMap<Name, Vec<Change>> = BTreeMap::new();
    for change in changes {
        match *change.key() {
            // A forgotten ring may be made again only above the turn that this entry has.
            Key::Meta => parts.add(vec![change]),
            Key::Ring(ring) | Key::Seat(ring, _) | Key::Host(ring) => {
                rings.entry(ring).or_default().push(change);
            }
        }
    }
    for (_, mut apart) in rings {
        if fits(apart.len(), bytes(&apart)) {
            parts.add(apart);
            continue;
        }
        apart.sort_by_key(step);
        let mut together = apart.split_off(apart.partition_point(|change| step(change).0 == APART));
        let beside = together.partition_point(|change| step(change).0 == TOGETHER);
        // The seat with the latest answer is the first of them.
        let others = together.split_off((beside + 1).min(together.len()));
        apart.into_iter().for_each(|change| parts.add(vec![change]));
        parts.add(together);
        others.into_iter().for_each(|change| parts.add(vec![change]));
    }
    parts.finish()
}

/// The place of a change among those of its ring: its step, and within it the latest answer first.
fn step(change: &Change) -> (u8, Reverse<Option<TurnNumber>>) {
    let answered = match change {
        Change::Put { key: Key::Seat(..), value } => {
            SeatValue::decode(value).ok().and_then(|seat| seat.last).map(|last| last.turn)
        }
        _ => None,
    };
    let step = match change {
        Change::Delete { key: Key::Seat(..) } => APART,
        Change::Put { key: Key::Seat(..), .. } => OTHERS,
        _ => TOGETHER,
    };
    (step, Reverse(answered))
}

fn fits(changes: usize, bytes: usize) -> bool {
    changes <= CHANGES_MAX && bytes <= BYTES_MAX
}

fn bytes(changes: &[Change]) -> usize {
    let of = |change: &Change| match change {
        Change::Put { value, .. } => OVERHEAD + value.len(),
        Change::Delete { .. } => OVERHEAD,
    };
    changes.iter().map(of).sum()
}

#[derive(Default)]
struct Parts {
    done: Vec<Vec<Change>>,
    part: Vec<Change>,
    bytes: usize,
}

impl Parts {
    /// Adds changes that stay together to this part, or to the next one.
    fn add(&mut self, mut changes: Vec<Change>) {
        let more = bytes(&changes);
        if !self.part.is_empty() && !fits(self.part.len() + changes.len(), self.bytes + more) {
            self.done.push(std::mem::take(&mut self.part));
            self.bytes = 0;
        }
        self.part.append(&mut changes);
        self.bytes += more;
    }

    fn finish(mut self) -> Vec<Vec<Change>> {
        if !self.part.is_empty() {
            self.done.push(self.part);
        }
        self.done
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;
    use crate::record::{LastAnswer, Mark, RingState, RingValue, SecretHash, State, tests};
    use crate::session::Secret;
    use crate::turn::{Demand, Standing, Tag, Weight};

    type Stored = BTreeMap<Vec<u8>, Vec<u8>>;

    fn apply(to: &mut Stored, changes: &[Change]) {
        for change in changes {
            let key = change.key().to_string().into_bytes();
            match change {
                Change::Put { value, .. } => drop(to.insert(key, value.clone())),
                Change::Delete { .. } => drop(to.remove(&key)),
            }
        }
    }

    fn read(stored: &Stored) -> Result<State, crate::record::Damaged> {
        State::read(stored.iter().map(|(key, value)| (&key[..], &value[..])))
    }

    /// The changes that make `new` of `old`.
    fn difference(old: &Stored, new: &Stored, rng: &mut Rng) -> Vec<Change> {
        let key = |bytes: &[u8]| Key::from_bytes(bytes).expect("a key");
        let puts = new.iter().filter(|(key, value)| old.get(*key) != Some(value));
        let puts = puts.map(|(bytes, value)| Change::Put { key: key(bytes), value: value.clone() });
        let gone = old.keys().filter(|bytes| !new.contains_key(*bytes));
        let mut changes: Vec<Change> =
            puts.chain(gone.map(|bytes| Change::Delete { key: key(bytes) })).collect();
        rng.shuffle(&mut changes);
        changes
    }

    /// Seats leave, come, and come back; one answers, and the next turn is granted. Or the ring is forgotten,
    /// and perhaps made again.
    fn go_on(state: &mut State, rng: &mut Rng) {
        let names: Vec<Name> = state.rings.keys().copied().collect();
        for name in names {
            if rng.u8(..6) == 0 {
                let RingValue { rules, last_turn, last_place, .. } =
                    state.rings.remove(&name).expect("a ring").ring;
                state.meta.forgotten_turn = state.meta.forgotten_turn.max(last_turn);
                if rng.bool() {
                    continue;
                }
                let (virtual_time, last_turn) =
                    (Tag { whole: 0, part: 0, given: 0 }, state.meta.forgotten_turn);
                let anew =
                    RingValue { rules, last_turn, last_place, virtual_time, tags_given: 0, lease: None };
                state.rings.insert(name, RingState::new(anew));
            }
            let oak = state.rings.get_mut(&name).expect("a ring");
            oak.seats.retain(|_, _| rng.u8(..3) > 0);
            oak.with_ring.retain(|place| oak.seats.contains_key(place));
            for _ in 0..rng.usize(..1500) {
                oak.ring.last_place += 1;
                oak.ring.tags_given += 1;
                let given = oak.ring.tags_given;
                let secret = SecretHash::of(&Secret::new(rng.u128(..).to_le_bytes()));
                let seat = SeatValue {
                    name: format!("n{}", oak.ring.last_place).parse().expect("a name"),
                    weight: Weight::ONE,
                    demand: Demand::Always,
                    standing: Standing::Waiting,
                    tag: Tag { whole: given, part: 0, given },
                    last: None,
                    current: secret,
                    used: None,
                };
                oak.add_seat(oak.ring.last_place, seat);
            }
            for seat in oak.seats.values_mut().filter(|_| rng.bool()) {
                seat.used = Some(seat.current);
            }
            oak.ring.last_turn += 1;
            oak.ring.lease = None;
            let places: Vec<u64> = oak.seats.keys().copied().collect();
            if let Some(place) = rng.choice(&places) {
                let turn = TurnNumber::new(oak.ring.last_turn).expect("not 0");
                let seat = oak.seats.get_mut(place).expect("a seat");
                seat.last = Some(LastAnswer { turn, mark: Mark::of(b"17") });
                oak.host = Some(crate::record::HostValue(turn.get().to_le_bytes().to_vec()));
            }
        }
    }

    fn stored(state: &State) -> Stored {
        let mut stored = Stored::new();
        apply(&mut stored, &state.puts());
        stored
    }

    #[test]
    fn between_two_parts_a_server_can_go_on_and_no_answer_is_apart_from_its_ring() {
        let (mut cuts, mut largest) = (0, 0);
        for seed in 0..30 {
            let mut rng = Rng::with_seed(seed);
            let mut state = tests::state(&mut rng, 3);
            for ring in state.rings.values_mut() {
                // Places begin at 1, and there is room to continue.
                ring.ring.last_place = 0;
                ring.ring.last_turn >>= 1;
                ring.ring.lease = None;
                ring.ring.tags_given >>= 1;
                ring.ring.virtual_time.given = 0;
                ring.seats.clear();
                ring.with_ring.clear();
            }
            for _ in 0..3 {
                let mut at = stored(&state);
                go_on(&mut state, &mut rng);
                let goal = stored(&state);
                let parts = cut(difference(&at, &goal, &mut rng));
                cuts += parts.len().saturating_sub(1);
                for part in &parts {
                    assert!(fits(part.len(), bytes(part)), "seed {seed}: {} changes", part.len());
                    largest = largest.max(part.len());
                    apply(&mut at, part);
                    let read = read(&at).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                    for (name, oak) in &read.rings {
                        let answered =
                            oak.seats.values().filter_map(|seat| seat.last).map(|last| last.turn.get()).max();
                        let host = oak.host.as_ref().and_then(|host| host.0[..].try_into().ok());
                        let host = host.map(u64::from_le_bytes);
                        let is_new =
                            state.rings.get(name).is_some_and(|new| Some(new.ring.last_turn) == host);
                        assert!(!is_new || answered == host, "seed {seed}: the host's state is apart");
                    }
                }
                assert_eq!(at, goal, "seed {seed}");
            }
        }
        assert!(cuts > 40 && largest == CHANGES_MAX, "{cuts} cuts, {largest} changes");
    }

    #[test]
    fn a_part_has_no_more_bytes_than_etcd_takes() {
        let host = |ring: u8| Change::Put {
            key: Key::Host(format!("r{ring}").parse().expect("a name")),
            value: vec![0; 65_000],
        };
        let parts = cut((0..40).map(host).collect());
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [15, 15, 10]);
        assert_eq!(cut(Vec::new()), Vec::<Vec<Change>>::new());
    }
}
