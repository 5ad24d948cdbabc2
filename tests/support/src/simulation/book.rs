//! The judge of the host's events.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use taketurns::protocol::turns::TurnEvent;
use taketurns::turn::{Judging, RingId, SeatId};

use super::history::{History, Turn};
use super::tell;
use crate::network::World;

/// An accepted answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) ring: Option<String>,
    pub(super) name: String,
    pub(super) turn: u64,
    pub(super) text: String,
}

#[derive(Default)]
struct RingBook {
    last_turn: u64,
    held: Option<(SeatId, u64)>,
    /// For each waiting seat: the turns of others since it began to wait, and the most that it may see.
    waits: BTreeMap<SeatId, (u64, u64)>,
    seats: Vec<SeatId>,
}

/// Follows the events of a server.
#[derive(Default)]
pub(super) struct Book {
    rings: HashMap<RingId, RingBook>,
    events_read: usize,
    answers_read: usize,
    pub(super) granted: u64,
    pub(super) accepted: u64,
    /// Answers accepted since this was last taken.
    pub(super) counted: Vec<Counted>,
    /// Whether to compare the counted turns with the promise of M12, which is possible only if all seats have
    /// the same weight and always want the turn.
    pub(super) counts_waits: bool,
}

impl Book {
    /// Begins another life of the server, which continues with the held turns without reporting them to the
    /// host again.
    pub(super) fn begin_life(&mut self, world: &World) {
        let scheduler = world.server().scheduler();
        let restored = scheduler.rings().map(|id| {
            let held = scheduler.held(id).map(|held| (held.seat, held.turn.get()));
            (id, RingBook { held, last_turn: scheduler.last_turn(Some(id)), ..RingBook::default() })
        });
        self.rings = restored.collect();
    }

    /// Processes the events since the last call.
    pub(super) fn follow(&mut self, world: &World, history: &mut History) {
        loop {
            let answer = world.answers.get(self.answers_read);
            let is_answer = answer.is_some_and(|answer| answer.events_before <= self.events_read);
            if let Some(answer) = answer.filter(|_| is_answer) {
                self.answers_read += 1;
                let name = answer.raw_name.clone().unwrap_or_else(|| answer.name.clone());
                let text = String::from_utf8_lossy(&answer.bytes).into_owned();
                tell!("{:>10.3} s  counted: {name} turn={} {text:?}", answer.at.as_secs_f64(), answer.turn);
                let ring = answer.ring.clone();
                self.counted.push(Counted { ring, name, turn: answer.turn, text });
                self.accepted += 1;
                self.end(answer.seat, answer.turn);
            } else if let Some((at, event)) = world.events.get(self.events_read) {
                self.events_read += 1;
                tell!("{:>10.3} s  {event:?}", at.as_secs_f64());
                self.note(world, event, history);
            } else {
                break;
            }
        }
        self.check(world);
    }

    fn note(&mut self, world: &World, event: &TurnEvent, history: &mut History) {
        match event {
            TurnEvent::Seated { seat, .. } => {
                let ring = self.rings.entry(seat.ring()).or_default();
                if !ring.seats.contains(seat) {
                    ring.seats.push(*seat);
                }
                ring.begin_wait(*seat);
            }
            TurnEvent::Granted { seat, turn } => {
                let may_come_late = world.has_store();
                assert!(
                    !world.is_draining() || may_come_late,
                    "G8: a turn is granted while the server drains"
                );
                self.begin(*seat, turn.get());
                let (epoch, ring) =
                    (world.server().epoch().to_string(), world.server().ring_name(seat.ring()));
                if let Some(ring) = ring {
                    history.note_grant(Turn { epoch, ring: ring.to_string(), number: turn.get() });
                }
            }
            TurnEvent::Ended { seat, turn, .. } => self.end(*seat, turn.get()),
            TurnEvent::Away { seat } => {
                if let Some(ring) = self.rings.get_mut(&seat.ring()) {
                    ring.waits.remove(seat);
                }
            }
            TurnEvent::Retired { seat, .. } => {
                if let Some(ring) = self.rings.get_mut(&seat.ring()) {
                    ring.seats.retain(|other| other != seat);
                    ring.waits.remove(seat);
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, seat: SeatId, turn: u64) {
        let counts_waits = self.counts_waits;
        let ring = self.rings.entry(seat.ring()).or_default();
        assert_eq!(ring.held, None, "S1: granted while held");
        assert!(turn > ring.last_turn, "S2: {turn} after {}", ring.last_turn);
        ring.last_turn = turn;
        ring.held = Some((seat, turn));
        self.granted += 1;
        if let Some((seen, bound)) = ring.waits.remove(&seat) {
            assert!(
                !counts_waits || seen <= bound,
                "M12: {seat} saw {seen} turns of others, and was promised {bound}"
            );
        }
        ring.waits.values_mut().for_each(|(seen, _)| *seen += 1);
    }

    fn end(&mut self, seat: SeatId, turn: u64) {
        let ring = self.rings.entry(seat.ring()).or_default();
        assert_eq!(ring.held.take(), Some((seat, turn)), "S3: only the turn that is held can end, and once");
        ring.begin_wait(seat);
    }

    fn check(&mut self, world: &World) {
        let scheduler = world.server().scheduler();
        // The last events of a ring that is gone may still be waiting for the store.
        let may_lag = world.is_behind() || world.has_store() && world.is_draining();
        self.rings.retain(|ring, _| may_lag || scheduler.has_ring(*ring));
        for id in scheduler.rings() {
            let told = self.rings.entry(id).or_default().held;
            let held = scheduler.held(id);
            assert!(
                may_lag || held.map(|held| (held.seat, held.turn.get())) == told,
                "the host is told of every turn: {held:?}, and it knows of {told:?}"
            );
            let Some(held) = held else {
                let has_enough =
                    scheduler.seats_missing(id) == 0 && scheduler.roster(id).iter().any(is_waiting);
                let may_grant = !world.is_draining() && !scheduler.is_paused(id);
                assert!(!has_enough || !may_grant, "G1: enough seats, one that waits, and no turn");
                continue;
            };
            assert!(scheduler.is_occupied(held.seat), "S1: the holder's seat is not occupied");
            let is_late = held.deadline().is_some_and(|deadline| world.time_of(deadline) < world.elapsed());
            assert!(!is_late || world.is_busy(), "G2: a turn outlives its deadline");
            self.check_longest_wait(world, id);
        }
    }

    /// Checks M15, on the exported values.
    fn check_longest_wait(&self, world: &World, id: RingId) {
        let scheduler = world.server().scheduler();
        let longest = scheduler.longest_wait(id);
        let Some(bound) = longest.bound else { return };
        // Turns that ended late because the process was suspended are not the fault of the order, nor are
        // grants that waited for the store.
        let late = world.stood_still + world.waited_for_store;
        assert!(longest.waited <= bound + late, "M15, as exported: {longest:?}, and {late:?} late");
        let is_judged = world.config().rules.judging == Judging::Host;
        let each = scheduler.rules(id).and_then(taketurns::turn::Rules::turn_time_max);
        assert!(is_judged || each.is_none_or(|each| each >= Duration::from_millis(1)));
    }
}

fn is_waiting<S>(view: &taketurns::turn::SeatView<'_, S>) -> bool {
    view.state == taketurns::turn::SeatState::Waiting
}

impl RingBook {
    /// Begins the wait of a seat: every other seat may come before it once.
    fn begin_wait(&mut self, seat: SeatId) {
        let others = self.seats.iter().filter(|other| **other != seat).count();
        let bound = u64::try_from(others).expect("small") + u64::from(self.held.is_some());
        self.waits.insert(seat, (0, bound));
    }
}
