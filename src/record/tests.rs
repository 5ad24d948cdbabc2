//! Property tests: values survive their byte forms, each has exactly one, and arbitrary bytes do no harm.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;

use super::*;
use crate::session::{Epoch, Name, Secret};
use crate::turn::{Demand, Demands, HoldMax, Judging, Rules, TurnNumber, Weight};

const ROUNDS: u64 = 3000;

fn number(rng: &mut Rng) -> u64 {
    rng.u64(..) >> rng.u32(..64)
}

fn perhaps<T>(rng: &mut Rng, value: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    rng.bool().then(|| value(rng))
}

fn name(rng: &mut Rng) -> Name {
    let some = ['a', 'Z', '0', '-', '/', '.', '\u{e9}', '\u{738b}'];
    let text: String = (0..rng.usize(1..=16)).map(|_| *rng.choice(&some).expect("some")).collect();
    text.parse().expect("a name")
}

fn weight(rng: &mut Rng) -> Weight {
    Weight::new(rng.u8(1..=100)).expect("1 to 100")
}

fn duration(rng: &mut Rng) -> Duration {
    Duration::from_nanos(number(rng).clamp(1_000_000, u64::MAX - 1))
}

fn turn(rng: &mut Rng, last: u64) -> Option<TurnNumber> {
    perhaps(rng, |rng| rng.u64(0..=last)).and_then(TurnNumber::new)
}

fn rules(rng: &mut Rng) -> Rules {
    let demands = [Demands::Any, Demands::Only(Demand::Always), Demands::Only(Demand::Ask)];
    let min_seats = rng.usize(1..100);
    Rules {
        min_seats,
        seats_max: perhaps(rng, |rng| rng.usize(min_seats..=u32::MAX as usize)),
        weight_max: weight(rng),
        demands: *rng.choice(&demands).expect("some"),
        turn_deadline: duration(rng),
        hold_max: match rng.u8(..3) {
            0 => HoldMax::TurnDeadline,
            1 => HoldMax::Time(duration(rng)),
            _ => HoldMax::Unlimited,
        },
        turn_grace: duration(rng),
        seat_grace: duration(rng),
        judging: if rng.bool() { Judging::Host } else { Judging::Automatic },
        judging_timeout: duration(rng),
        proposals_max: rng.u16(1..),
    }
}

fn tag(rng: &mut Rng, given: u64) -> Tag {
    Tag { whole: number(rng), part: number(rng), given: rng.u64(0..=given) }
}

fn ring(rng: &mut Rng) -> RingValue {
    let (last_turn, last_place, tags_given) = (number(rng), number(rng).max(1), number(rng));
    let lease = perhaps(rng, |_| TurnNumber::new(last_turn)).flatten().map(|turn| LeaseValue {
        place: rng.u64(1..=last_place),
        turn,
        silent: duration(rng),
        hold: perhaps(rng, duration),
        asks_again: rng.bool(),
        kept: rng.bool(),
    });
    RingValue {
        rules: rules(rng),
        last_turn,
        last_place,
        virtual_time: tag(rng, tags_given),
        tags_given,
        lease,
    }
}

fn seat(rng: &mut Rng, name: Name, ring: &RingValue) -> SeatValue {
    let standings = [Standing::Resting, Standing::Waiting, Standing::Missed];
    let answer: Vec<u8> = (0..rng.usize(..20)).map(|_| rng.u8(..)).collect();
    let hash = |rng: &mut Rng| SecretHash::of(&Secret::new(rng.u128(..).to_le_bytes()));
    SeatValue {
        name,
        weight: weight(rng),
        demand: if rng.bool() { Demand::Always } else { Demand::Ask },
        standing: *rng.choice(&standings).expect("some"),
        tag: tag(rng, ring.tags_given),
        last: turn(rng, ring.last_turn).map(|turn| LastAnswer { turn, mark: Mark::of(&answer) }),
        current: hash(rng),
        used: perhaps(rng, hash),
    }
}

/// Returns a consistent state of up to `rings` rings with random numbers.
pub(crate) fn state(rng: &mut Rng, rings: usize) -> State {
    let meta = MetaValue { epoch: Epoch(rng.u64(..)), forgotten_turn: number(rng) };
    let mut state = State::new(meta);
    for _ in 0..rng.usize(..=rings) {
        let ring = ring(rng);
        let named: BTreeMap<u64, Name> =
            (0..rng.usize(..7)).map(|_| (rng.u64(1..=ring.last_place), name(rng))).collect();
        let mut ring = RingState::new(ring);
        for (place, name) in named {
            if ring.seats.values().all(|seat| seat.name != name) {
                ring.add_seat(place, seat(rng, name, &ring.ring));
            }
        }
        ring.host = perhaps(rng, |rng| HostValue((0..rng.usize(..200)).map(|_| rng.u8(..)).collect()));
        state.rings.insert(name(rng), ring);
    }
    state
}

fn entries(state: &State) -> Vec<(Vec<u8>, Vec<u8>)> {
    let entry = |change| match change {
        Change::Put { key, value } => (key.to_string().into_bytes(), value),
        Change::Delete { key } => panic!("{key} is deleted"),
    };
    state.puts().into_iter().map(entry).collect()
}

fn read(entries: &[(Vec<u8>, Vec<u8>)]) -> Result<State, Damaged> {
    State::read(entries.iter().map(|(key, value)| (&key[..], &value[..])))
}

#[test]
fn a_state_survives_its_byte_form() {
    for seed in 0..ROUNDS {
        let mut rng = Rng::with_seed(seed);
        let state = state(&mut rng, 3);
        let mut entries = entries(&state);
        rng.shuffle(&mut entries);
        assert_eq!(read(&entries), Ok(state), "seed {seed}");
    }
}

/// Checks that each value is written as the bytes from which it was read, so that no two byte forms mean the
/// same.
fn is_canonical(key: &Key, bytes: &[u8]) -> Result<(), Malformed> {
    let again = match key {
        Key::Meta => MetaValue::decode(bytes)?.encode(),
        Key::Ring(_) => RingEntry::decode(bytes)?.encode(),
        Key::Seat(..) => SeatValue::decode(bytes)?.encode(),
        Key::Host(_) => HostValue::decode(bytes)?.encode(),
    };
    assert_eq!(again, bytes);
    Ok(())
}

#[test]
fn truncated_or_changed_bytes_are_refused_or_canonical() {
    for seed in 0..ROUNDS / 10 {
        let mut rng = Rng::with_seed(seed);
        for change in state(&mut rng, 2).puts() {
            let Change::Put { key, value } = change else { panic!("nothing is deleted") };
            let is_host = matches!(key, Key::Host(_));
            assert_eq!(is_canonical(&key, &value), Ok(()));
            for end in 0..value.len() {
                let is_whole = is_canonical(&key, &value[..end]).is_ok();
                assert_eq!(is_whole, is_host && end > 0, "seed {seed}, {end} bytes of {value:?}");
            }
            for at in 0..value.len() {
                let mut changed = value.clone();
                changed[at] ^= rng.u8(1..);
                let _ = is_canonical(&key, &changed);
            }
            let longer = [&value[..], &[0]].concat();
            assert!(is_canonical(&key, &longer).is_err() || is_host, "seed {seed}, {value:?}");
        }
    }
}

#[test]
fn noise_is_never_more_than_an_error() {
    let mut rng = Rng::with_seed(1);
    for _ in 0..ROUNDS {
        let mut noise: Vec<u8> = (0..rng.usize(..200)).map(|_| rng.u8(..)).collect();
        if let Some(version) = noise.first_mut().filter(|_| rng.bool()) {
            *version = 2;
        }
        let oak = "oak".parse().expect("a name");
        for key in [Key::Meta, Key::Ring(oak), Key::Seat(oak, 1), Key::Host(oak)] {
            let _ = is_canonical(&key, &noise);
        }
        assert!(State::read([(&noise[..], &noise[..])]).is_err());
    }
}

/// A hand-over in a ring of two writes its entry, so its size is the cost of a turn in etcd, and decides how
/// many rings share a page of a journal.
#[test]
fn values_have_the_planned_sizes() {
    let mut oak = oak().rings.into_values().next().expect("a ring");
    let turn = TurnNumber::new(100_000).expect("not 0");
    (oak.ring.last_turn, oak.ring.tags_given) = (turn.get(), turn.get());
    oak.ring.virtual_time = Tag { whole: turn.get(), part: 0, given: turn.get() };
    let lease = oak.ring.lease.as_mut().expect("held");
    (lease.turn, lease.hold) = (turn, Some(Duration::from_secs(30)));
    for seat in oak.seats.values_mut() {
        let last = Some(LastAnswer { turn, mark: Mark::of(b"e2e4") });
        (seat.tag, seat.last, seat.used) = (oak.ring.virtual_time, last, None);
    }
    let size = |seats| RingEntry { ring: oak.ring.clone(), seats }.encode().len();
    let seat = oak.seats[&1];
    let pair = size(vec![(1, seat), (2, seat)]);
    assert_eq!((size(Vec::new()), seat.encode().len(), pair), (57, 41, 139));
}

/// The ring `oak` with Ann in place 1, who has answered turn 5, and Bob in place 2, who holds turn 6.
fn oak() -> State {
    let mut rng = Rng::with_seed(3);
    let [oak, ann, bob]: [Name; 3] = ["oak", "ann", "bob"].map(|name| name.parse().expect("a name"));
    let turn = |number| TurnNumber::new(number).expect("not 0");
    let lease = LeaseValue {
        place: 2,
        turn: turn(6),
        silent: Duration::from_secs(30),
        hold: None,
        asks_again: false,
        kept: false,
    };
    let tag = |given| Tag { whole: given, part: 0, given };
    let ring = RingValue {
        rules: Rules::default(),
        last_turn: 6,
        last_place: 2,
        virtual_time: tag(6),
        tags_given: 7,
        lease: Some(lease),
    };
    let last = |number| Some(LastAnswer { turn: turn(number), mark: Mark::of(b"17") });
    let seats = BTreeMap::from([
        (1, SeatValue { tag: tag(7), last: last(5), ..seat(&mut rng, ann, &ring) }),
        (2, SeatValue { tag: tag(6), last: last(4), ..seat(&mut rng, bob, &ring) }),
    ]);
    let mut state = State::new(MetaValue { epoch: Epoch(1), forgotten_turn: 0 });
    state.rings.insert(oak, RingState { seats, ..RingState::new(ring) });
    state
}

#[test]
fn entries_that_contradict_each_other_are_refused() {
    let oak_name: Name = "oak".parse().expect("a name");
    type Spoil = fn(&mut RingState);
    let spoilt: [(Spoil, &str); 9] = [
        (
            |oak| oak.ring.virtual_time.given = 8,
            "entry 6f616b/r (ring oak): its virtual time has a tag that was never given",
        ),
        (
            |oak| oak.ring.lease.as_mut().expect("held").place = 3,
            "entry 6f616b/r (ring oak): its turn is held by a place that never existed",
        ),
        (
            |oak| oak.ring.lease.as_mut().expect("held").place = 0,
            "entry 6f616b/r (ring oak): its turn is held by a place that never existed",
        ),
        (
            |oak| oak.ring.last_turn = 5,
            "entry 6f616b/r (ring oak): its turn is not the last one that was granted",
        ),
        (
            |oak| {
                oak.seats.insert(3, oak.seats[&1]);
            },
            "entry 6f616b/s/0000000000000003 (seat 3 of ring oak): its place is 0, or above the last place of its ring",
        ),
        (
            |oak| {
                oak.seats.insert(0, oak.seats[&1]);
            },
            "entry 6f616b/s/0000000000000000 (seat 0 of ring oak): its place is 0, or above the last place of its ring",
        ),
        (
            |oak| oak.ring.tags_given = 6,
            "entry 6f616b/s/0000000000000001 (seat 1 of ring oak): its tag was never given",
        ),
        (
            |oak| (oak.ring.last_turn, oak.ring.lease) = (4, None),
            "entry 6f616b/s/0000000000000001 (seat 1 of ring oak): its last answer is for a turn that was never granted",
        ),
        (
            |oak| {
                oak.seats.insert(2, oak.seats[&1]);
            },
            "entry 6f616b/s/0000000000000002 (seat 2 of ring oak): its name belongs to another seat of its ring",
        ),
    ];
    assert_eq!(read(&entries(&oak())), Ok(oak()));
    for (spoil, says) in spoilt {
        let mut state = oak();
        spoil(state.rings.get_mut(&oak_name).expect("there"));
        assert_eq!(read(&entries(&state)).expect_err(says).to_string(), says);
    }
    let mut kept_twice = oak();
    kept_twice.rings.get_mut(&oak_name).expect("there").with_ring.insert(1);
    let both: Vec<_> = entries(&oak()).into_iter().chain(entries(&kept_twice)).collect();
    assert_eq!(
        read(&both).expect_err("twice").to_string(),
        "entry 6f616b/s/0000000000000001 (seat 1 of ring oak): it is also in the entry of its ring"
    );
    let without = |missing: &str| {
        let is_left = |(key, _): &(Vec<u8>, Vec<u8>)| key != missing.as_bytes();
        let left: Vec<_> = entries(&oak()).into_iter().filter(is_left).collect();
        read(&left).expect_err("incomplete").to_string()
    };
    assert_eq!(without("m"), "entry m: it is missing");
    assert_eq!(
        without("6f616b/r"),
        "entry 6f616b/s/0000000000000001 (seat 1 of ring oak): its ring is missing"
    );
    let host = HostValue(vec![0; HOST_STATE_BYTES_MAX + 1]).encode();
    let long = State::read([(&b"6f616b/h"[..], &host[..])]).expect_err("too long");
    assert_eq!(
        long.to_string(),
        "entry 6f616b/h (the host's state of ring oak): byte 1 is not a state of at most 65,536 bytes"
    );
    let newer = State::read([(&b"m"[..], &[3][..])]).expect_err("of another version");
    assert!(newer.is_of_another_version() && !long.is_of_another_version(), "{newer}");
    let foreign = State::read([(&b"\x1bx"[..], &b""[..])]).expect_err("no key");
    assert!(foreign.to_string().starts_with("entry \\x1bx: expected m, <ring>/r"), "{foreign}");
}

/// Merging has the same result as storing one by one: whenever a store takes the merged record, it has the
/// state of the last record.
#[test]
fn merged_records_are_the_same_state() {
    let keys: Vec<Key> = (1..6).map(|place| Key::Seat("oak".parse().expect("a name"), place)).collect();
    for seed in 0..ROUNDS {
        let mut rng = Rng::with_seed(seed);
        let (mut horizon, mut pending) = (Horizon::default(), Pending::default());
        let (mut one_by_one, mut merged) = (BTreeMap::new(), BTreeMap::new());
        let apply = |to: &mut BTreeMap<Key, Vec<u8>>, changes: &[Change]| {
            for change in changes {
                match change {
                    Change::Put { key, value } => drop(to.insert(*key, value.clone())),
                    Change::Delete { key } => drop(to.remove(key)),
                }
            }
        };
        for _ in 0..rng.usize(1..20) {
            let mut touched = keys.clone();
            rng.shuffle(&mut touched);
            touched.truncate(rng.usize(..4));
            let change = |key: Key| match rng.u8(..3) {
                0 => Change::Delete { key },
                _ => Change::Put { key, value: vec![rng.u8(..)] },
            };
            let record = Record { seq: horizon.number(), changes: touched.into_iter().map(change).collect() };
            apply(&mut one_by_one, &record.changes);
            pending.merge(record);
            assert!(pending.len() <= keys.len() && !pending.is_empty());
            if rng.u8(..3) == 0 {
                let taken = pending.take().expect("one waits");
                let mut names: Vec<Key> = taken.changes.iter().map(|change| *change.key()).collect();
                names.sort_unstable();
                assert!(names.is_sorted_by(|a, b| a < b), "seed {seed}: a key comes twice");
                apply(&mut merged, &taken.changes);
                horizon.reach(taken.seq);
                assert_eq!((horizon.waiting(), &merged), (0, &one_by_one), "seed {seed}");
            }
        }
    }
}
