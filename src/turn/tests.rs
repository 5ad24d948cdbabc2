//! The scheduler by its promises: stories first, then random histories against a judge of its own.

use super::*;
use crate::time::Instant;

struct Table {
    scheduler: Scheduler<()>,
    start: Instant,
    now: Instant,
    ring: Option<RingId>,
    /// Every hand-over since the last look, in order.
    log: Vec<Output<()>>,
}

const DEADLINE: Duration = Duration::from_secs(30);

impl Table {
    fn new(min_seats: usize) -> Table {
        let start = Instant::ORIGIN;
        let config = SchedulerConfig { min_seats, ..SchedulerConfig::default() };
        Table { scheduler: Scheduler::new(config), start, now: start, ring: None, log: Vec::new() }
    }

    /// A ring in which `weights` took their seats in this order.
    fn seated<const N: usize>(min_seats: usize, weights: [u8; N]) -> (Table, [SeatId; N]) {
        let mut table = Table::new(min_seats);
        let seats = weights.map(|weight| table.join(weight));
        (table, seats)
    }

    fn settle(&mut self) {
        self.log.extend(std::iter::from_fn(|| self.scheduler.poll_output()));
        self.scheduler.check_invariants().expect("invariants hold after every step");
    }

    fn join(&mut self, weight: u8) -> SeatId {
        let weight = Weight::new(weight).expect("1 to 100");
        let seat = match self.ring {
            Some(ring) => self.scheduler.join(self.now, ring, weight, ()),
            None => self.scheduler.join_new_ring(self.now, weight, ()),
        };
        let seat = seat.expect("there is room");
        self.ring = Some(seat.ring());
        self.settle();
        seat
    }

    fn holder(&self) -> Option<SeatId> {
        self.scheduler.held(self.ring?).map(|held| held.seat)
    }

    fn turn(&self) -> TurnNumber {
        self.scheduler.held(self.ring.expect("a ring")).expect("a turn is held").turn
    }

    fn answer(&mut self, seat: SeatId) -> Result<Taken, Refusal> {
        let taken = self.scheduler.answer(self.now, seat, None, 1);
        self.settle();
        taken
    }

    /// Who holds the next `count` turns, each answered.
    fn play(&mut self, count: usize) -> Vec<SeatId> {
        let turn = |table: &mut Table| {
            let seat = table.holder().expect("somebody holds the turn");
            table.answer(seat).expect("the holder may answer");
            seat
        };
        (0..count).map(|_| turn(self)).collect()
    }

    fn vacate(&mut self, seat: SeatId) {
        self.scheduler.vacate(self.now, seat);
        self.settle();
    }

    fn occupy(&mut self, seat: SeatId) {
        self.scheduler.occupy(self.now, seat);
        self.settle();
    }

    fn leave(&mut self, seat: SeatId) {
        self.scheduler.leave(self.now, seat);
        self.settle();
    }

    fn wait(&mut self, duration: Duration) {
        self.now += duration;
        self.scheduler.handle_timeout(self.now);
        self.settle();
    }

    fn outcomes(&mut self) -> Vec<(SeatId, Outcome)> {
        let ended = |output| match output {
            Output::HandOver { ended: Some(ended), .. } => Some((ended.seat, ended.outcome)),
            _ => None,
        };
        self.log.drain(..).filter_map(ended).collect()
    }
}

#[test]
fn turns_start_with_enough_seats_and_go_round() {
    let mut table = Table::new(2);
    let a = table.join(1);
    assert_eq!(table.holder(), None);
    let b = table.join(1);
    let c = table.join(1);
    assert_eq!(table.play(7), [a, b, c, a, b, c, a]);
}

#[test]
fn a_newcomer_sits_at_the_end_of_the_ring() {
    let (mut table, [a, b]) = Table::seated(2, [1, 1]);
    table.play(1);
    assert_eq!(table.holder(), Some(b), "the last seat of the ring holds the turn");
    let c = table.join(1);
    assert_eq!(table.play(5), [b, c, a, b, c]);
    let d = table.join(1);
    assert_eq!(table.play(5), [a, b, c, d, a]);
}

#[test]
fn leaving_and_joining_again_gains_no_turns() {
    let (mut table, [_, b, mut c]) = Table::seated(2, [1, 1, 1]);
    table.play(2);
    for _ in 0..20 {
        if table.holder() == Some(b) {
            return;
        }
        let holder = table.holder().expect("held");
        table.answer(holder).expect("may answer");
        if holder == c {
            table.leave(c);
            c = table.join(1);
        }
    }
    panic!("seat b starves");
}

/// Such a newcomer once sat behind those who had been one before, and one of them had two turns in a row.
#[test]
fn who_begins_with_the_next_lap_comes_before_all_who_did_so_earlier() {
    let (mut table, [a, b]) = Table::seated(1, [1, 1]);
    table.leave(a);
    let c = table.join(1);
    table.wait(DEADLINE);
    table.leave(b);
    let d = table.join(1);
    table.wait(DEADLINE);
    assert_eq!(table.holder(), Some(d));
    let e = table.join(1);
    table.leave(c);
    table.leave(e);
    let f = table.join(1);
    table.wait(DEADLINE);
    assert_eq!(table.holder(), Some(f), "there is nobody else but the last holder");
    let longest = table.scheduler.longest_wait(d.ring());
    assert!(longest.waited <= longest.bound, "{longest:?}");
}

/// Each of the two is gone while the other holds the turn, and sits at the end of the lap again when it is over.
#[test]
fn two_that_take_turns_in_leaving_and_joining_starve_nobody() {
    for others in 1..4 {
        let mut table = Table::new(2);
        let patient: Vec<_> = (0..others).map(|_| table.join(1)).collect();
        let mut hoppers = [table.join(1), table.join(1)];
        let mut turns = vec![0; others];
        for _ in 0..60 {
            let holder = table.holder().expect("held");
            table.answer(holder).expect("may answer");
            if let Some(at) = patient.iter().position(|&seat| seat == holder) {
                turns[at] += 1;
            }
            for hopper in hoppers.iter_mut().filter(|hopper| **hopper == holder) {
                table.leave(*hopper);
                *hopper = table.join(1);
            }
        }
        let seats = others + 2;
        assert!(
            turns.iter().all(|&turns| turns >= 60 / (2 * seats)),
            "{turns:?}: a lap has as many newcomers as seats"
        );
    }
}

#[test]
fn leaving_and_joining_for_ever_takes_no_memory() {
    let (mut table, [.., mut d]) = Table::seated(2, [1, 1, 1, 1]);
    for _ in 0..5_000 {
        let holder = table.holder().expect("held");
        table.answer(holder).expect("may answer");
        if holder == d {
            table.leave(d);
            d = table.join(1);
        }
    }
    let ring = table.scheduler.ring(table.ring.expect("a ring")).expect("it exists");
    let departures = ring.newcomers.remembered_departures();
    assert!(departures < 20, "{departures} departures");
}

#[test]
fn a_lost_holder_passes_the_turn_and_keeps_its_place() {
    let (mut table, [a, b, c]) = Table::seated(2, [1, 1, 1]);
    table.play(1);
    table.vacate(b);
    assert_eq!(table.holder(), Some(c));
    table.occupy(b);
    assert_eq!(table.play(5), [c, a, b, c, a]);
    assert_eq!(table.outcomes()[1], (b, Outcome::Gone));
}

#[test]
fn a_pause_does_not_move_the_position() {
    let (mut table, [a, b]) = Table::seated(2, [1, 1]);
    table.play(1);
    table.vacate(b);
    assert_eq!(table.holder(), None, "one is too few");
    table.occupy(b);
    assert_eq!(table.holder(), Some(b), "the seat after the one that last answered");
    assert_eq!(table.play(2), [b, a]);

    // The other way round: the one that waits is lost, the holder may still answer, and no new turn is granted.
    assert_eq!(table.holder(), Some(b));
    table.vacate(a);
    table.answer(b).expect("a turn that is granted may be answered");
    assert_eq!(table.holder(), None);
    table.occupy(a);
    assert_eq!(table.holder(), Some(a));
}

#[test]
fn a_pause_goes_on_behind_the_last_answer_also_with_a_newcomer() {
    let (mut table, [a, b]) = Table::seated(2, [1, 1]);
    table.play(1);
    table.leave(b);
    let c = table.join(1);
    assert_eq!(table.play(3), [c, a, c]);
}

#[test]
fn turn_numbers_only_grow_and_survive_the_ring() {
    let (mut table, [a, b]) = Table::seated(2, [1, 1]);
    table.play(4);
    assert_eq!(table.turn().get(), 5);
    table.leave(a);
    table.leave(b);
    assert_eq!(table.scheduler.rings().count(), 0);
    table.ring = None;
    table.join(1);
    table.join(1);
    assert_eq!(table.turn().get(), 6, "above the highest of any forgotten ring");
    assert_eq!(table.scheduler.answer(table.now, a, None, 1), Err(Refusal::NotYourTurn), "a stale seat id");
}

#[test]
fn a_silent_holder_lapses_at_its_deadline_and_not_before() {
    let (mut table, [a, b]) = Table::seated(2, [1, 1]);
    table.wait(DEADLINE - Duration::from_nanos(1));
    assert_eq!(table.holder(), Some(a));
    table.wait(Duration::from_nanos(1));
    assert_eq!(table.holder(), Some(b));
    assert_eq!(table.outcomes(), [(a, Outcome::Lapsed)]);
    assert_eq!(table.answer(a), Err(Refusal::NotYourTurn));
}

#[test]
fn a_held_back_grant_counts_its_deadline_from_the_release() {
    let mut table = Table::new(2);
    let a = table.join(1);
    let release = table.now + Duration::from_millis(100);
    table.scheduler.hold_back(table.now, a, release);
    table.join(1);
    let Some(&Output::HandOver { granted: Some(grant), .. }) = table.log.first() else { panic!("granted") };
    assert_eq!((grant.seat, grant.release, grant.deadline), (a, release, release + DEADLINE));
}

#[test]
fn a_fence_lets_only_the_current_turn_through() {
    let (mut table, [a, b]) = Table::seated(2, [1, 1]);
    table.play(3);
    let (old, current) = (TurnNumber::new(2).unwrap(), table.turn());
    let next = TurnNumber::new(current.get() + 1).unwrap();
    for stale in [TurnNumber::new(1).unwrap(), next] {
        assert_eq!(table.scheduler.answer(table.now, b, Some(stale), 9), Err(Refusal::StaleTurn));
        assert_eq!(table.scheduler.pass(table.now, b, Some(stale)), Err(Refusal::StaleTurn));
    }
    assert_eq!(table.scheduler.answer(table.now, a, Some(current), 9), Err(Refusal::NotYourTurn));
    assert_eq!(table.turn(), current, "a refused answer changes nothing");

    // b's last accepted turn is 2, with number 1.
    assert_eq!(table.scheduler.answer(table.now, b, Some(old), 1), Ok(Taken::Repeated(old)));
    assert_eq!(
        table.scheduler.answer(table.now, b, Some(old), 9),
        Err(Refusal::StaleTurn),
        "the first stands"
    );
    assert_eq!(table.scheduler.poll_output(), None, "nothing was counted twice");
    assert_eq!(table.scheduler.answer(table.now, b, Some(current), 9), Ok(Taken::Accepted(current)));
}

#[test]
fn a_passed_turn_moves_on_without_a_number() {
    let (mut table, [a, b]) = Table::seated(2, [1, 1]);
    let turn = table.turn();
    assert_eq!(table.scheduler.pass(table.now, b, None), Err(Refusal::NotYourTurn));
    assert_eq!(table.scheduler.pass(table.now, a, Some(turn)), Ok(turn));
    table.settle();
    assert_eq!(table.outcomes(), [(a, Outcome::Passed)]);
    assert_eq!(table.holder(), Some(b));
    assert_eq!(table.scheduler.last_accepted(a), None, "a pass is not an answer");
}

#[test]
fn a_vacant_seat_leaves_after_its_grace() {
    let (mut table, [a, b, c]) = Table::seated(1, [1, 1, 1]);
    table.vacate(b);
    table.wait(Duration::from_secs(1));
    table.vacate(c);
    assert_eq!(table.scheduler.longest_vacant(a.ring()), Some(b));
    table.log.clear();
    table.wait(Duration::from_secs(59));
    assert!(table.log.contains(&Output::Retired { seat: b, data: () }));
    table.occupy(c);
    table.wait(Duration::from_secs(60));
    assert_eq!(table.scheduler.seats(), 2, "an occupied seat has no grace to run out");
}

#[test]
fn weights_share_the_turns_evenly() {
    let (mut table, [a, b, c]) = Table::seated(2, [3, 1, 2]);
    let turns = table.play(60);
    let count = |seat| turns.iter().filter(|&&turn| turn == seat).count();
    assert_eq!((count(a), count(b), count(c)), (30, 10, 20));
    let letters: Vec<_> = turns[..12].iter().map(SeatId::place).collect();
    assert_eq!(letters, [1, 2, 3, 1, 3, 1, 1, 2, 3, 1, 3, 1], "spread, not in bursts");
}

#[test]
fn at_the_seat_limit_the_longest_vacant_makes_room() {
    let mut table = Table::new(1);
    table.scheduler.config.max_seats = 2;
    let (a, b) = (table.join(1), table.join(1));
    let ring = a.ring();
    assert_eq!(table.scheduler.join(table.now, ring, Weight::ONE, ()), Err(JoinError::SeatsFull));
    table.vacate(b);
    table.log.clear();
    let c = table.join(1);
    assert_eq!(table.log, [Output::Retired { seat: b, data: () }]);
    assert_ne!(b, c, "an id is never used again");
}

#[test]
fn at_the_ring_limit_the_longest_deserted_makes_room() {
    let mut table = Table::new(1);
    table.scheduler.config.max_rings = 2;
    let a = table.join(1);
    let b = table.scheduler.join_new_ring(table.now, Weight::ONE, ()).expect("room for two rings");
    let full = table.scheduler.join_new_ring(table.now, Weight::ONE, ());
    assert_eq!(full, Err(JoinError::RingsFull));
    table.vacate(b);
    let c = table.scheduler.join_new_ring(table.now, Weight::ONE, ()).expect("nobody sits in b's ring");
    table.settle();
    assert!(!table.scheduler.has_ring(b.ring()));
    assert!(table.scheduler.has_ring(a.ring()) && table.scheduler.has_ring(c.ring()));
}

#[test]
fn nobody_is_ahead_who_only_seems_to_be() {
    let (mut table, [a, b]) = Table::seated(2, [1, 1]);
    table.play(2);
    // Cho sits down while Ann's turn might still come to nothing, and so where Cho would be next; but Bob is.
    let c = table.join(1);
    let ahead = [b, c].map(|seat| table.scheduler.ahead_of(seat));
    assert_eq!((ahead, table.play(3)), ([1, 2], vec![a, b, c]));

    let (mut alone, [a]) = Table::seated(1, [1]);
    alone.play(1);
    let [b, c] = [alone.join(1), alone.join(1)];
    let ahead = [b, c].map(|seat| alone.scheduler.ahead_of(seat));
    assert_eq!((ahead, alone.play(3)), ([1, 2], vec![a, b, c]));
}

#[test]
fn no_seat_makes_room_for_a_ring_that_is_refused() {
    let config = SchedulerConfig { max_seats: 3, max_rings: 1, ..SchedulerConfig::default() };
    let (mut scheduler, now) = (Scheduler::new(config), Instant::ORIGIN);
    let a = scheduler.join_new_ring(now, Weight::ONE, ()).expect("room");
    let [b, c] = [(); 2].map(|()| scheduler.join(now, a.ring(), Weight::ONE, ()).expect("room"));
    scheduler.vacate(now, a);
    assert_eq!(scheduler.join_new_ring(now, Weight::ONE, ()), Err(JoinError::RingsFull));
    assert_eq!([a, b, c].map(|seat| scheduler.data(seat)), [Some(&()); 3], "Ann is only away");
}

#[test]
fn a_drain_lets_holders_finish_and_grants_nothing() {
    let (mut table, [a, b]) = Table::seated(2, [1, 1]);
    table.scheduler.drain(table.now);
    assert!(!table.scheduler.is_drained());
    assert_eq!(table.scheduler.join(table.now, a.ring(), Weight::ONE, ()), Err(JoinError::Draining));
    assert_eq!(table.answer(b), Err(Refusal::NotYourTurn));
    table.answer(a).expect("the holder may finish");
    assert!(table.scheduler.is_drained());
    assert_eq!(table.holder(), None);
}

#[test]
fn the_next_deadline_is_never_late() {
    let (mut table, [a, b]) = Table::seated(2, [1, 1]);
    assert_eq!(table.scheduler.next_deadline(), Some(table.start + DEADLINE));
    table.wait(Duration::from_secs(20));
    table.play(1);
    assert!(table.scheduler.next_deadline() <= Some(table.now + DEADLINE));
    table.vacate(a);
    table.vacate(b);
    table.wait(Duration::from_secs(60));
    assert_eq!(table.scheduler.next_deadline(), None, "nothing to wait for");
    assert!(!table.scheduler.has_ring(a.ring()), "a ring is forgotten with its last seat");
}

#[test]
fn a_wait_is_measured_beside_the_bound_that_held_for_it() {
    let (mut table, [a, b, c]) = Table::seated(2, [1, 1, 1]);
    let ring = a.ring();
    assert_eq!(table.scheduler.longest_wait(ring), LongestWait::default());
    table.wait(DEADLINE);
    let one = LongestWait { waited: DEADLINE, bound: 2 * DEADLINE };
    assert_eq!((table.holder(), table.scheduler.longest_wait(ring)), (Some(b), one));
    table.wait(DEADLINE);
    let both = LongestWait { waited: 2 * DEADLINE, bound: 2 * DEADLINE };
    assert_eq!((table.holder(), table.scheduler.longest_wait(ring)), (Some(c), both));
    table.play(9);
    assert_eq!(table.scheduler.longest_wait(ring), both, "shorter ones change nothing");
}

#[test]
fn who_joins_adds_its_weight_to_the_bound() {
    let (mut table, [a, _, c]) = Table::seated(2, [1, 3, 1]);
    let ring = a.ring();
    assert_eq!(table.scheduler.waiting_bound(ring), 4 * DEADLINE);
    table.wait(Duration::from_secs(1));
    table.join(5);
    assert_eq!(table.scheduler.waiting_bound(ring), 9 * DEADLINE);
    table.leave(c);
    assert_eq!(table.scheduler.waiting_bound(ring), 8 * DEADLINE);
    table.scheduler.config.turn_deadline = Duration::MAX;
    assert_eq!(table.scheduler.waiting_bound(ring), Duration::MAX, "what does not fit is no panic");
    assert_eq!(table.scheduler.waiting_bound(RingId { slot: 9, life: 9 }), Duration::ZERO);
}

#[test]
fn the_bound_of_a_wait_has_who_joined_meanwhile_in_it() {
    let (mut table, [a, b]) = Table::seated(2, [1, 1]);
    table.wait(Duration::from_secs(1));
    table.join(2);
    table.wait(DEADLINE - Duration::from_secs(1));
    assert_eq!(table.holder(), Some(b));
    let waited = LongestWait { waited: DEADLINE, bound: 3 * DEADLINE };
    assert_eq!(table.scheduler.longest_wait(a.ring()), waited);
}

#[test]
fn a_pause_is_no_wait() {
    let (mut table, [a, b]) = Table::seated(2, [1, 1]);
    table.vacate(a);
    table.wait(Duration::from_secs(50));
    table.occupy(a);
    assert_eq!(table.holder(), Some(a));
    table.play(1);
    assert_eq!((table.holder(), table.scheduler.longest_wait(a.ring()).waited), (Some(b), Duration::ZERO));
}

#[test]
fn how_many_come_first_counts_the_holder_and_who_is_in_front() {
    let (mut table, [a, b, c]) = Table::seated(2, [1, 1, 1]);
    let ahead = |table: &Table| [a, b, c].map(|seat| table.scheduler.ahead_of(seat));
    assert_eq!(ahead(&table), [0, 1, 2]);
    table.play(1);
    assert_eq!(ahead(&table), [2, 0, 1]);
    table.vacate(c);
    assert_eq!(ahead(&table), [1, 0, 0], "who is vacant waits for nothing");
    table.occupy(c);
    assert_eq!(ahead(&table), [2, 0, 1], "in its old place");
}

#[test]
fn who_comes_back_to_a_paused_ring_stands_where_its_place_comes_next() {
    let (mut table, [a, b, c, d, e, f]) = Table::seated(5, [1; 6]);
    table.vacate(f);
    table.play(10);
    table.vacate(d);
    table.vacate(e);
    table.play(1);
    table.occupy(f);
    assert_eq!(table.holder(), None, "four are too few");
    assert_eq!([b, c, f, a].map(|seat| table.scheduler.ahead_of(seat)), [0, 1, 2, 3]);
    table.occupy(d);
    assert_eq!(table.play(6), [b, c, d, f, a, b]);
}

#[test]
fn a_seat_that_left_is_not_taken_for_the_one_in_its_slot() {
    let (mut table, [a, b, c]) = Table::seated(2, [1, 1, 1]);
    table.leave(a);
    assert_eq!((table.scheduler.data(a), table.holder()), (None, Some(b)));
    let d = table.join(1);
    assert_eq!((d.spot(), table.scheduler.seats()), (a.spot(), 3));
    assert!(table.scheduler.data(a).is_none() && !table.scheduler.is_occupied(a));
    table.leave(a);
    table.vacate(a);
    assert_eq!(table.play(4), [b, c, d, b]);
    assert_eq!(table.scheduler.answer(table.now, a, None, 1), Err(Refusal::NotYourTurn));
}

#[test]
fn what_is_known_of_rings_and_seats_is_theirs() {
    let mut scheduler = Scheduler::new(SchedulerConfig { min_seats: 0, ..SchedulerConfig::default() });
    let now = Instant::ORIGIN;
    assert_eq!(scheduler.config().min_seats, 1, "none is not enough");
    let ann = scheduler.join_new_ring(now, Weight::ONE, "ann").expect("room");
    let zoe = scheduler.join_new_ring(now, Weight::ONE, "zoe").expect("room");
    let bob = scheduler.join(now, ann.ring(), Weight::ONE, "bob").expect("room");
    assert_eq!(
        [ann, bob, zoe].map(|seat| scheduler.data(seat).copied()),
        [Some("ann"), Some("bob"), Some("zoe")]
    );
    assert_eq!([ann, bob, zoe].map(|seat| seat.to_string()), ["seat 1", "seat 2", "seat 1"]);
    assert_eq!(scheduler.rings().collect::<Vec<_>>(), [ann.ring(), zoe.ring()]);
    assert_eq!(
        (scheduler.occupied(ann.ring()), scheduler.occupied(zoe.ring()), scheduler.seats()),
        (2, 1, 3)
    );

    let held = scheduler.held(ann.ring()).expect("two seats are occupied");
    assert_eq!((scheduler.held_by(ann), scheduler.held_by(bob)), (Some(held), None));
    assert!(scheduler.is_occupied(bob));
    scheduler.answer(now, ann, None, 17).expect("she holds the turn");
    let turn = TurnNumber::new(1).expect("not 0");
    assert_eq!((turn.to_string(), turn.get()), ("1".to_owned(), 1));
    assert_eq!(scheduler.last_accepted(ann), Some(Accepted { turn, number: 17 }));
    assert_eq!((scheduler.last_accepted(bob), scheduler.last_accepted(zoe)), (None, None));
    assert_eq!((scheduler.last_turn(Some(ann.ring())), scheduler.last_turn(None)), (2, 0));

    scheduler.leave(now, zoe);
    *scheduler.data_mut(bob).expect("he has a seat") = "rob";
    assert_eq!((scheduler.data(bob), scheduler.data(zoe)), (Some(&"rob"), None));
    assert_eq!(scheduler.data_mut(zoe), None);
    let eve = scheduler.join_new_ring(now, Weight::ONE, "eve").expect("room");
    assert!(
        scheduler.data(zoe).is_none() && scheduler.data_mut(zoe).is_none(),
        "eve's ring is in the slot of zoe's"
    );
    assert_eq!((scheduler.data(eve), scheduler.last_turn(None)), (Some(&"eve"), 1));
}

/// Random histories. The judge counts, for every waiting seat, the turns that others get before it, against the bound
/// as the module states it: the weights of the others when the wait began, and of those that joined meanwhile.
#[test]
fn random_histories_keep_every_promise() {
    for seed in 0..300 {
        random_history(seed, 400);
    }
}

struct Waiting {
    turns: u64,
    allowed: u64,
}

fn random_history(seed: u64, steps: u32) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut table = Table::new(random.usize(1..4));
    let heavy = random.bool();
    let mut seats: Vec<(SeatId, u8, Option<Waiting>)> = Vec::new();
    let mut granted = 0;
    for _ in 0..steps {
        let joined = match random.u8(0..20) {
            0 if seats.len() < 12 => {
                table.ring = table.ring.filter(|&ring| table.scheduler.ring(ring).is_some());
                let weight = if heavy { *random.choice(&[1, 1, 2, 5, 100]).expect("some") } else { 1 };
                let seat = table.join(weight);
                seats.push((seat, weight, None));
                Some(seat)
            }
            1 if !seats.is_empty() => {
                let (seat, ..) = seats.swap_remove(random.usize(0..seats.len()));
                table.leave(seat);
                None
            }
            2 | 3 if !seats.is_empty() => {
                table.vacate(seats[random.usize(0..seats.len())].0);
                None
            }
            4 | 5 if !seats.is_empty() => {
                let seat = seats[random.usize(0..seats.len())].0;
                let vacant = !table.scheduler.is_occupied(seat);
                table.occupy(seat);
                vacant.then_some(seat)
            }
            6 => {
                table.wait(Duration::from_secs(random.u64(0..20)));
                None
            }
            _ => {
                if let Some(holder) = table.holder() {
                    table.answer(holder).expect("the holder may answer");
                }
                None
            }
        };
        for output in std::mem::take(&mut table.log) {
            match output {
                Output::Retired { seat, .. } => seats.retain(|&(other, ..)| other != seat),
                Output::HandOver { granted: Some(grant), .. } => {
                    assert!(grant.turn.get() > granted, "seed {seed}: turn numbers grow");
                    granted = grant.turn.get();
                    for (seat, _, waiting) in &mut seats {
                        if *seat == grant.seat {
                            *waiting = None;
                        } else if let Some(waiting) = waiting {
                            waiting.turns += 1;
                        }
                    }
                }
                _ => {}
            }
        }
        let holder = table.holder();
        let occupied = |seat| table.scheduler.is_occupied(seat);
        let weights: u64 = seats.iter().filter(|s| occupied(s.0)).map(|s| u64::from(s.1)).sum();
        let joined =
            joined.and_then(|seat| seats.iter().find(|s| s.0 == seat)).map(|s| (s.0, u64::from(s.1)));
        for (seat, weight, waiting) in &mut seats {
            if !occupied(*seat) || holder == Some(*seat) {
                *waiting = None;
            } else if let Some(waiting) = waiting {
                waiting.allowed += joined.filter(|j| j.0 != *seat).map_or(0, |j| j.1);
                assert!(waiting.turns < waiting.allowed.max(1), "seed {seed}: {seat} waits too long");
            } else {
                let allowed = weights - u64::from(*weight);
                *waiting = Some(Waiting { turns: u64::from(holder.is_some()), allowed: allowed + 1 });
            }
        }
    }
}

#[test]
fn refusals_say_why() {
    let refusals = [Refusal::StaleTurn, Refusal::NotYourTurn].map(|refusal| refusal.to_string());
    assert_eq!(refusals, ["that turn is over or has not begun", "this seat does not hold the turn"]);
    let errors = [JoinError::SeatsFull, JoinError::RingsFull, JoinError::UnknownRing, JoinError::Draining];
    assert_eq!(
        errors.map(|error| error.to_string()),
        [
            "every seat is taken",
            "there are as many rings as allowed",
            "there is no such ring",
            "the server is shutting down"
        ]
    );
}

#[test]
fn seats_and_rings_are_as_small_as_the_docs_say() {
    let seat = size_of::<seat::Seat<()>>() + order::NODE_BYTES;
    assert!(seat <= 150, "{seat} bytes a seat");
    let ring = size_of::<ring::Ring<()>>();
    assert!(ring <= 512, "{ring} bytes a ring");
}
