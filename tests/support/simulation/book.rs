//! Both framings: what the host is told, and what must hold of that.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use taketurns::protocol::turns::{Framing, Skipped, TurnEvent};
use taketurns::turn::{RingId, SeatId};

use super::super::world::{Peer, World};
use super::conditions;

/// Numbers from here on are said only by those who may not: none of them counts.
pub(super) const FORGED: i64 = 1_000_000_000_000;

/// A seat that a client sits on, and its weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sitting {
    pub(super) ring: RingId,
    pub(super) place: u64,
    pub(super) weight: u64,
}

/// An answer that counted, and whose connection sat on the seat.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    pub(super) peer: Option<Peer>,
    pub(super) name: String,
    pub(super) turn: u64,
    pub(super) number: i64,
}

/// How many turns of others a waiting seat has seen, and how many it must bear.
#[derive(Debug, Clone, Copy)]
struct Wait {
    seen: u64,
    bound: u64,
}

#[derive(Default)]
struct RingBook {
    last_turn: u64,
    held: Option<(SeatId, u64)>,
    waits: BTreeMap<u64, Wait>,
    /// The longest wait that has been looked at.
    waited: Duration,
}

/// Follows the events of a server.
#[derive(Default)]
pub(super) struct Book {
    rings: HashMap<RingId, RingBook>,
    /// Whose connection was seated last on each seat.
    seated: HashMap<SeatId, Peer>,
    /// Who was seated since this was last taken, and on which connection.
    pub(super) moved: Vec<(String, Peer)>,
    /// Since when nobody sits on a seat.
    vacant: HashMap<SeatId, Duration>,
    /// Seats that are gone since this was last taken: their names, and whether that was before the grace was over.
    pub(super) retired: Vec<(String, bool)>,
    read: usize,
    pub(super) granted: u64,
    pub(super) accepted: u64,
    /// What was accepted, by name, in order.
    pub(super) numbers: HashMap<String, Vec<i64>>,
    /// What was accepted since this was last taken.
    pub(super) counted: Vec<Counted>,
    /// When the server went on after it had stood still, and how long that was.
    stalls: Vec<(Duration, Duration)>,
}

impl Book {
    /// The server was started again.
    pub(super) fn begin_life(&mut self) {
        self.rings.clear();
        self.seated.clear();
        self.vacant.clear();
    }

    /// The server stands still, and goes on now.
    pub(super) fn stalled(&mut self, world: &World, time: Duration) {
        self.stalls.push((world.elapsed(), time));
    }

    /// After a pass: `sitting` are those who sit where, as the wire shows it.
    pub(super) fn follow(&mut self, world: &World, sitting: &[Sitting]) {
        for (time, event) in &world.events[self.read..] {
            self.note(world, *time, event, sitting);
        }
        self.read = world.events.len();
        self.check(world, sitting);
    }

    fn note(&mut self, world: &World, time: Duration, event: &TurnEvent, sitting: &[Sitting]) {
        match event {
            TurnEvent::Seated { seat, connection, name } => {
                let peer = world.peer_of(*connection).expect("it was accepted");
                self.seated.insert(*seat, peer);
                self.moved.extend(name.map(|name| (name.as_str().to_owned(), peer)));
                self.vacant.remove(seat);
            }
            TurnEvent::Granted { seat, turn, deadline } => {
                assert!(!world.is_draining(), "L4: a turn is granted while the server drains");
                assert!(world.time_of(*deadline) > time, "L2: granted in the past");
                self.begin(*seat, turn.get(), sitting);
            }
            TurnEvent::Accepted { seat, turn, name, number } => {
                assert!(*number < FORGED, "S3: {name} has forged an answer");
                let (peer, name) = (self.seated.get(seat).copied(), name.as_str().to_owned());
                self.numbers.entry(name.clone()).or_default().push(*number);
                self.counted.push(Counted { peer, name, turn: turn.get(), number: *number });
                self.accepted += 1;
                self.end(*seat, turn.get(), true);
            }
            TurnEvent::Skipped { seat, turn, how, .. } => {
                self.end(*seat, turn.get(), *how != Skipped::Gone);
            }
            TurnEvent::Vacated { seat, .. } => {
                self.vacant.insert(*seat, time);
            }
            TurnEvent::Retired { seat, name } => {
                self.seated.remove(seat);
                let since = self.vacant.remove(seat).unwrap_or(time);
                let early = time - since < world.config().seat_grace;
                let name = name.map_or_else(String::new, |name| name.as_str().to_owned());
                self.retired.push((name, early && !conditions::is_crowded(world)));
            }
            _ => {}
        }
    }

    fn begin(&mut self, seat: SeatId, turn: u64, sitting: &[Sitting]) {
        let ring = self.rings.entry(seat.ring()).or_default();
        assert_eq!(ring.held, None, "S1: granted while held");
        assert!(turn > ring.last_turn, "S2: {turn} after {}", ring.last_turn);
        ring.last_turn = turn;
        ring.held = Some((seat, turn));
        self.granted += 1;
        let sitting = sitting.iter().find(|s| (s.ring, s.place) == (seat.ring(), seat.place()));
        if let Some(wait) = ring.waits.remove(&seat.place())
            && sitting.is_some_and(|sitting| sitting.weight == 1)
        {
            assert!(wait.seen <= wait.bound, "L3: {seat} of weight 1 waited: {wait:?}");
        }
    }

    fn end(&mut self, seat: SeatId, turn: u64, counts: bool) {
        let ring = self.rings.entry(seat.ring()).or_default();
        assert_eq!(ring.held.take(), Some((seat, turn)), "S3: only the turn that is held can end, and once");
        // A turn whose holder was lost costs the others no time, and comes again after a pause.
        ring.waits.values_mut().for_each(|wait| wait.seen += u64::from(counts));
    }

    fn check(&mut self, world: &World, sitting: &[Sitting]) {
        let scheduler = world.server().scheduler();
        self.rings.retain(|ring, _| scheduler.has_ring(*ring));
        for id in scheduler.rings() {
            self.check_longest_wait(world, id);
            let ring = self.rings.entry(id).or_default();
            let held = scheduler.held(id);
            let told = held.map(|held| (held.seat, held.turn.get()));
            assert_eq!(told, ring.held, "the host is told of every turn");
            let Some(held) = held else {
                let enough = scheduler.occupied(id) >= world.config().min_clients;
                assert!(!enough || world.is_draining(), "L1: {} seats and no turn", scheduler.occupied(id));
                ring.waits.clear();
                continue;
            };
            assert!(scheduler.is_occupied(held.seat), "S1: the holder is not there");
            let is_late = world.time_of(held.deadline) < world.elapsed() && !world.is_busy();
            assert!(!is_late, "L2: a turn outlives its deadline");
            match world.is_anybody_blocked() {
                // Perhaps somebody sits there who has not heard so.
                true => ring.waits.clear(),
                false => ring.await_turns(id, held.seat, sitting),
            }
        }
    }

    /// L3 in time, as the host is told it.
    fn check_longest_wait(&mut self, world: &World, id: RingId) {
        let ring = self.rings.entry(id).or_default();
        let longest = world.server().scheduler().longest_wait(id);
        if longest.waited <= ring.waited {
            return;
        }
        ring.waited = longest.waited;
        // A wait that ended just now lasts longer by what the server stood still, and in the raw framing by the gap of each
        // holder that had only just connected.
        let since = world.elapsed().saturating_sub(longest.waited);
        let still: Duration =
            self.stalls.iter().filter(|(end, _)| *end > since).map(|(_, stall)| *stall).sum();
        let gaps = match world.config().framing {
            Framing::Raw => world
                .config()
                .signal_gap
                .mul_f64(longest.bound.div_duration_f64(world.config().turn_deadline)),
            Framing::Line => Duration::ZERO,
        };
        assert!(longest.waited <= longest.bound + still + gaps, "L3, as exported: {longest:?}");
    }

    /// Somebody sat down: whoever waits in that ring may wait for so many turns more.
    pub(super) fn joined(&mut self, ring: RingId, weight: u64) {
        let ring = self.rings.entry(ring).or_default();
        ring.waits.values_mut().for_each(|wait| wait.bound += weight);
    }
}

impl RingBook {
    /// Whoever sits here and does not hold the turn waits for it from now on, if it did not before.
    fn await_turns(&mut self, id: RingId, holder: SeatId, sitting: &[Sitting]) {
        let here = || sitting.iter().filter(|sitting| sitting.ring == id);
        let total: u64 = here().map(|sitting| sitting.weight).sum();
        self.waits.retain(|place, _| here().any(|sitting| sitting.place == *place));
        for sitting in here().filter(|sitting| sitting.place != holder.place()) {
            let bound = total - sitting.weight;
            self.waits.entry(sitting.place).or_insert(Wait { seen: 0, bound });
        }
    }
}
