//! The promises of the scheduler: a test for each sentence of docs/PROTOCOL.md about the turn.

use std::time::Duration;

use super::*;
use crate::time::Instant;

/// One ring whose holders are told at once, unless `tells` is off.
struct Table {
    scheduler: Scheduler<()>,
    ring: RingId,
    now: Instant,
    tells: bool,
    log: Vec<Moved>,
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn rules(change: impl FnOnce(&mut Rules)) -> Rules {
    let mut rules = Rules { weight_max: Weight::MAX, ..Rules::default() };
    change(&mut rules);
    rules
}

fn judging() -> Rules {
    rules(|rules| rules.judging = Judging::Host)
}

impl Table {
    fn new(rules: Rules) -> Table {
        let now = Instant::ORIGIN;
        let config = SchedulerConfig { max_seats: 20_000, ..SchedulerConfig::default() };
        let mut scheduler = Scheduler::new(config).expect("rules that make sense");
        let ring = scheduler.make_ring(now, rules).expect("room");
        Table { scheduler, ring, now, tells: true, log: Vec::new() }
    }

    /// A ring in which `weights` took their seats in this order.
    fn seated<const N: usize>(rules: Rules, weights: [u8; N]) -> (Table, [SeatId; N]) {
        let mut table = Table::new(rules);
        let seats = weights.map(|weight| table.join(weight));
        (table, seats)
    }

    fn settle(&mut self, moved: Moved) {
        self.log.push(moved);
        if let Some(grant) = moved.granted.filter(|_| self.tells) {
            self.scheduler.start(self.now, grant.seat, grant.turn);
        }
        self.scheduler.check_invariants().expect("invariants hold after every step");
    }

    fn join_as(&mut self, weight: u8, demand: Demand) -> SeatId {
        let weight = Weight::new(weight).expect("1 to 100");
        let (seat, moved) =
            self.scheduler.join(self.now, self.ring, weight, demand, ()).expect("there is room");
        self.settle(moved);
        seat
    }

    fn join(&mut self, weight: u8) -> SeatId {
        self.join_as(weight, Demand::Always)
    }

    fn holder(&self) -> Option<SeatId> {
        self.scheduler.held(self.ring).map(|held| held.seat)
    }

    fn turn(&self) -> u64 {
        self.scheduler.held(self.ring).expect("a turn is held").turn.get()
    }

    fn end(&mut self, outcome: Outcome) -> SeatId {
        let seat = self.holder().expect("a turn is held");
        let moved = self.scheduler.holding(seat, None).expect("the holder may act").end(self.now, outcome);
        self.settle(moved);
        seat
    }

    /// The holders of the next `count` turns, each answered.
    fn play(&mut self, count: usize) -> Vec<SeatId> {
        (0..count).map(|_| self.end(Outcome::Answered)).collect()
    }

    fn drop(&mut self, seat: SeatId) {
        let moved = self.scheduler.vacate(self.now, seat);
        self.settle(moved);
    }

    fn back(&mut self, seat: SeatId) {
        let moved = self.scheduler.occupy(self.now, seat);
        self.settle(moved);
    }

    fn leave(&mut self, seat: SeatId) {
        let (moved, ()) = self.scheduler.retire(self.now, seat).expect("it has a seat");
        self.settle(moved);
    }

    fn ask(&mut self, seat: SeatId) {
        let moved = self.scheduler.ask(self.now, seat);
        self.settle(moved);
    }

    fn rest(&mut self, seat: SeatId) -> Result<(), Refusal> {
        let moved = self.scheduler.rest(self.now, seat)?;
        self.settle(moved);
        Ok(())
    }

    fn judge(&mut self) -> Option<Instant> {
        let seat = self.holder().expect("a turn is held");
        self.scheduler.holding(seat, None).expect("the holder may act").judge(self.now)
    }

    fn judged(&mut self) -> Result<Judged<'_, ()>, HostError> {
        let held = self.scheduler.held(self.ring).expect("a turn is held");
        self.scheduler.judged(held.seat, held.turn)
    }

    fn refuse(&mut self) {
        let now = self.now;
        let moved = self.judged().expect("it is judged").refuse(now);
        self.settle(moved);
    }

    fn accept(&mut self, next: Option<SeatId>) -> Result<(), HostError> {
        let now = self.now;
        let moved = self.judged()?.accept(now, next)?;
        self.settle(moved);
        Ok(())
    }

    fn renew(&mut self) -> Result<Option<Instant>, Refusal> {
        let seat = self.holder().expect("a turn is held");
        self.scheduler.holding(seat, None)?.renew(self.now)
    }

    /// Lets time pass; everything ends at its deadline.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(deadline) = self.scheduler.next_deadline().filter(|&deadline| deadline <= until) {
            self.now = self.now.max(deadline);
            while let Some(expired) = self.scheduler.poll_expired(self.now) {
                self.settle(expired.moved);
            }
        }
        self.now = until;
    }

    fn outcomes(&mut self) -> Vec<(SeatId, Outcome)> {
        let ended = self.log.drain(..).filter_map(|moved| moved.ended);
        ended.map(|ended| (ended.seat, ended.outcome)).collect()
    }

    /// The remaining time of the turn.
    fn left(&self) -> Duration {
        let deadline = self.scheduler.held(self.ring).and_then(|held| held.deadline());
        deadline.expect("its clock runs") - self.now
    }

    fn state(&self, seat: SeatId) -> SeatState {
        self.scheduler.view(seat).expect("it has a seat").state
    }
}

// M3 to M6: judging.

#[test]
fn m3_a_proposed_answer_stops_the_clock_and_moves_nothing() {
    let (mut table, [ann, bob]) = Table::seated(judging(), [1, 1]);
    table.wait(secs(20));
    assert_eq!(table.judge(), Some(table.now + secs(5)));
    table.wait(secs(3));
    assert_eq!(
        (table.holder(), table.state(ann), table.state(bob)),
        (Some(ann), SeatState::Judged, SeatState::Waiting)
    );
    table.refuse();
    assert_eq!((table.holder(), table.turn(), table.left()), (Some(ann), 1, secs(10)), "the time left");
}

#[test]
fn m3_judging_takes_its_timeout_in_total_and_then_the_turn_lapses() {
    let (mut table, [ann, bob]) = Table::seated(judging(), [1, 1]);
    for _ in 0..2 {
        table.judge().expect("it is judged");
        table.wait(secs(2));
        table.refuse();
    }
    assert_eq!(table.judge(), Some(table.now + secs(1)));
    table.wait(secs(1));
    assert_eq!((table.outcomes(), table.holder()), (vec![(ann, Outcome::Lapsed)], Some(bob)));
}

#[test]
fn m3_the_last_refusal_allowed_ends_the_turn_as_lapsed() {
    let mut rules = judging();
    rules.proposals_max = 3;
    let (mut table, [ann, bob]) = Table::seated(rules, [1, 1]);
    for left in [true, true, false] {
        table.judge().expect("it is judged");
        table.refuse();
        assert_eq!(table.holder() == Some(ann), left);
    }
    assert_eq!((table.outcomes(), table.holder()), (vec![(ann, Outcome::Lapsed)], Some(bob)));
}

#[test]
fn m4_a_verdict_for_a_turn_that_is_over_or_with_an_impossible_next_changes_nothing() {
    let (mut table, [ann, bob, cat]) = Table::seated(judging(), [1, 1, 1]);
    assert_eq!(table.judged().err(), Some(HostError::NotJudged), "nothing is proposed");
    table.judge().expect("it is judged");
    table.drop(cat);
    let digest = table.scheduler.digest(table.now);
    assert_eq!(table.accept(Some(cat)), Err(HostError::Away));
    let elsewhere = Table::seated(judging(), [1]).1[0];
    assert_eq!(
        table.accept(Some(elsewhere)),
        Ok(()),
        "ids of another scheduler mean nothing: this one is Ann's"
    );
    assert_ne!(table.scheduler.digest(table.now), digest);
    assert_eq!((ann, table.holder()), (elsewhere, Some(ann)));
    assert_eq!(table.judged().err(), Some(HostError::NotJudged), "that turn is over");
    assert_eq!(table.state(bob), SeatState::Waiting);
}

#[test]
fn m5_the_answer_of_a_lost_client_counts_if_it_is_accepted() {
    let (mut table, [ann, bob]) = Table::seated(judging(), [1, 1]);
    table.judge().expect("it is judged");
    table.drop(ann);
    assert_eq!((table.outcomes(), table.holder()), (vec![], Some(ann)));
    assert_eq!(table.accept(None), Ok(()));
    assert_eq!(table.outcomes(), [(ann, Outcome::Answered)]);
    table.back(ann);
    assert_eq!(table.holder(), Some(bob), "two seats are occupied again");
}

#[test]
fn m5_the_answer_of_a_lost_client_that_is_refused_ends_as_gone() {
    for rules in [false, true] {
        let (mut table, [ann, bob, _]) = Table::seated(judging(), [1, 1, 1]);
        table.judge().expect("it is judged");
        table.drop(ann);
        if rules {
            table.refuse();
        } else {
            table.wait(secs(5));
        }
        assert_eq!((table.outcomes(), table.holder()), (vec![(ann, Outcome::Gone)], Some(bob)), "{rules}");
    }
}

#[test]
fn m5_a_client_that_is_back_before_the_verdict_keeps_its_turn() {
    let (mut table, [ann, _]) = Table::seated(judging(), [1, 1]);
    table.judge().expect("it is judged");
    table.drop(ann);
    table.back(ann);
    table.refuse();
    assert_eq!((table.holder(), table.left()), (Some(ann), secs(30)));
}

#[test]
fn m6_a_judged_holder_can_not_pass_rest_or_renew() {
    let (mut table, [ann, bob]) = Table::seated(judging(), [1, 1]);
    table.judge().expect("it is judged");
    let digest = table.scheduler.digest(table.now);
    assert_eq!(table.scheduler.holding(ann, None).err(), Some(Refusal::Judging));
    assert_eq!(table.scheduler.holding(ann, Some(1)).err(), Some(Refusal::Judging));
    assert_eq!(table.scheduler.holding(ann, Some(2)).err(), Some(Refusal::StaleTurn));
    assert_eq!(table.scheduler.holding(bob, None).err(), Some(Refusal::NotYourTurn));
    assert_eq!(table.rest(ann), Err(Refusal::Judging));
    assert_eq!(table.scheduler.digest(table.now), digest, "refused requests change nothing");
}

// M8: demand.

#[test]
fn m8_a_seat_that_asks_gets_one_turn_and_rests_again() {
    let mut table = Table::new(rules(|rules| rules.min_seats = 1));
    let [ann, bob] = [(); 2].map(|()| table.join_as(1, Demand::Ask));
    assert_eq!((table.holder(), table.state(ann)), (None, SeatState::Resting));
    table.ask(bob);
    assert_eq!(table.play(1), [bob]);
    assert_eq!((table.holder(), table.state(bob)), (None, SeatState::Resting));
}

#[test]
fn m8_asking_twice_changes_nothing_and_a_holder_that_asks_gets_another_turn_after_the_others() {
    let mut table = Table::new(rules(|rules| rules.min_seats = 1));
    let [ann, bob] = [(); 2].map(|()| table.join_as(1, Demand::Ask));
    table.ask(ann);
    table.ask(bob);
    table.ask(bob);
    table.ask(ann);
    assert_eq!(table.play(3), [ann, bob, ann]);
    assert_eq!(table.holder(), None);
}

#[test]
fn m8_rest_takes_a_seat_out_until_it_asks_and_gives_up_the_turn_of_a_holder() {
    let (mut table, [ann, bob, cat]) = Table::seated(rules(|_| {}), [1, 1, 1]);
    assert_eq!(table.rest(bob), Ok(()));
    assert_eq!(table.play(3), [ann, cat, ann]);
    assert_eq!(table.rest(cat), Ok(()));
    assert_eq!(table.outcomes().last(), Some(&(cat, Outcome::Passed)));
    assert_eq!((table.holder(), table.state(cat)), (Some(ann), SeatState::Resting));
    table.ask(bob);
    assert_eq!(table.play(4), [ann, bob, ann, bob], "an always seat continues when it has asked");
}

#[test]
fn m8_resting_seats_do_not_count_for_the_bound() {
    let mut table = Table::new(rules(|rules| rules.min_seats = 1));
    let holder = table.join(1);
    for _ in 0..50 {
        table.join_as(1, Demand::Ask);
    }
    assert_eq!(table.scheduler.waiting_bound(table.ring), Some(secs(30)), "the turn that is held");
    assert_eq!(table.play(2), [holder, holder]);
}

#[test]
fn m8_the_rules_say_which_demands_may_be_chosen() {
    let only = rules(|rules| rules.demands = Demands::Only(Demand::Ask));
    assert_eq!((only.demand(None), only.demand(Some(Demand::Always))), (Some(Demand::Ask), None));
}

// M9: the order.

#[test]
fn m9_equal_weights_go_round_and_a_newcomer_is_last() {
    let (mut table, [ann, bob]) = Table::seated(rules(|_| {}), [1, 1]);
    assert_eq!(table.play(3), [ann, bob, ann]);
    let cat = table.join(1);
    assert_eq!(table.play(6), [bob, ann, cat, bob, ann, cat]);
}

#[test]
fn m9_a_weight_is_a_number_of_turns_for_each_of_a_weight_1_seat() {
    let (mut table, [ann, bob, cat]) = Table::seated(rules(|_| {}), [1, 2, 3]);
    let turns = table.play(600);
    for (seat, share) in [(ann, 100), (bob, 200), (cat, 300)] {
        let count = turns.iter().filter(|&&other| other == seat).count();
        assert!((share - 1..=share + 1).contains(&count), "{seat}: {count}, {share} are its share");
    }
}

#[test]
fn m9_a_seat_back_before_its_turn_has_its_old_place_and_after_it_a_new_one() {
    let (mut table, [ann, bob, cat, dan]) = Table::seated(rules(|_| {}), [1, 1, 1, 1]);
    table.drop(bob);
    table.drop(cat);
    table.back(cat);
    assert_eq!(table.play(2), [ann, cat], "Bob has missed it, and Cat has not");
    table.back(bob);
    assert_eq!(table.play(4), [dan, ann, cat, bob]);
}

#[test]
fn m9_a_holder_that_is_lost_gets_the_tag_of_any_turn_that_ends() {
    let (mut table, [ann, bob, cat]) = Table::seated(rules(|_| {}), [1, 1, 1]);
    table.drop(ann);
    assert_eq!(table.outcomes(), [(ann, Outcome::Gone)]);
    let dan = table.join(1);
    table.back(ann);
    assert_eq!(table.play(5), [bob, cat, ann, dan, bob], "Ann has the tag of when her turn ended");
}

#[test]
fn m9_an_ask_seat_that_missed_its_turn_still_asks() {
    let mut table = Table::new(rules(|rules| rules.min_seats = 1));
    let [ann, bob] = [(); 2].map(|()| table.join_as(1, Demand::Ask));
    table.ask(ann);
    table.ask(bob);
    table.drop(bob);
    assert_eq!((table.play(1), table.holder()), (vec![ann], None));
    table.back(bob);
    assert_eq!(table.holder(), Some(bob));
}

/// Turns once went to another seat than the first to ask, in 240 of 448 grants.
#[test]
fn m9_448_grants_go_in_the_order_of_asking_and_the_number_ahead_is_true() {
    let mut table = Table::new(rules(|rules| rules.min_seats = 1));
    let seats: Vec<SeatId> = (0..14).map(|_| table.join_as(1, Demand::Ask)).collect();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut asked, mut granted) = (std::collections::VecDeque::new(), 0);
    while granted < 448 {
        let resting: Vec<_> = seats.iter().copied().filter(|seat| !asked.contains(seat)).collect();
        match random.choice(resting).filter(|_| random.bool()) {
            Some(seat) => {
                table.ask(seat);
                if table.holder() != Some(seat) {
                    assert_eq!(table.scheduler.ahead_of(seat), asked.len());
                }
                asked.push_back(seat);
            }
            None if !asked.is_empty() => {
                assert_eq!(table.play(1), [asked.pop_front().expect("it asked")]);
                granted += 1;
            }
            None => {}
        }
    }
}

#[test]
fn m9_an_empty_queue_and_missed_turns_move_no_virtual_time() {
    let (mut table, [ann, bob]) = Table::seated(rules(|rules| rules.min_seats = 1), [1, 1]);
    table.drop(bob);
    table.play(1);
    let tag = |table: &Table, seat: SeatId| table.scheduler.rings[0].seats[seat.slot() as usize].tag;
    let time = |table: &Table| tag(table, ann);
    assert_eq!(table.rest(ann), Ok(()));
    let before = time(&table);
    table.back(bob);
    assert_eq!(table.holder(), Some(bob));
    table.ask(ann);
    assert!(tag(&table, ann) > before);
    assert_eq!(table.play(3), [bob, ann, bob]);
}

// M10, M11.

#[test]
fn m10_turns_are_granted_while_enough_seats_are_occupied_resting_ones_included() {
    let mut table = Table::new(rules(|rules| rules.min_seats = 3));
    let ann = table.join(1);
    let bob = table.join_as(1, Demand::Ask);
    assert_eq!((table.holder(), table.scheduler.seats_missing(table.ring)), (None, 1));
    let cat = table.join_as(1, Demand::Ask);
    assert_eq!(table.holder(), Some(ann));
    table.drop(cat);
    assert_eq!(table.play(1), [ann], "a turn that is held continues");
    assert_eq!(table.holder(), None);
    table.leave(bob);
    table.back(cat);
    assert_eq!((table.holder(), table.scheduler.seats_missing(table.ring)), (None, 1));
}

#[test]
fn m11_a_ring_has_its_own_limits_of_seats_and_weights() {
    let weight_max = Weight::new(3).expect("1 to 100");
    let rules = Rules { seats_max: Some(2), weight_max, ..Rules::default() };
    assert_eq!(
        [Some(4), Some(3), None, Some(0)].map(|wanted| rules.weight(wanted)),
        [None, Some(weight_max), Some(Weight::ONE), None]
    );
    let mut table = Table::new(rules);
    let may = |table: &Table| table.scheduler.may_join(table.ring);
    let [ann, _] = [3, 1].map(|weight| table.join(weight));
    assert_eq!(may(&table), Err(JoinError::RingFull));
    table.drop(ann);
    assert_eq!(may(&table), Err(JoinError::RingFull), "a place that is kept is a seat");
    table.leave(ann);
    assert_eq!(may(&table), Ok(()));
}

// M12: no seat gains.

/// An honest client once got 1 turn in 20,000.
#[test]
fn m12_fresh_names_that_join_before_the_old_one_drops_gain_nothing() {
    let (mut table, [honest, mut old]) = Table::seated(rules(|_| {}), [1, 1]);
    let mut turns = 0;
    for _ in 0..1_000 {
        if table.end(Outcome::Answered) == honest {
            turns += 1;
            continue;
        }
        let fresh = table.join(1);
        table.drop(old);
        old = fresh;
    }
    assert_eq!(turns, 500, "every second one");
}

#[test]
fn m12_seats_resumed_one_at_a_time_gain_nothing() {
    let (mut table, seats) = Table::seated(rules(|_| {}), [1; 12]);
    let honest = seats[0];
    seats[1..].iter().for_each(|&seat| table.drop(seat));
    table.back(seats[1]);
    let (mut turns, mut next) = (0, 1);
    for _ in 0..1_100 {
        if table.end(Outcome::Answered) == honest {
            turns += 1;
            continue;
        }
        let before = seats[next];
        next = next % 11 + 1;
        table.back(seats[next]);
        table.drop(before);
    }
    assert!(turns >= 550, "{turns} turns");
}

#[test]
fn m12_a_seat_that_leaves_and_joins_again_loses_its_place_and_no_other_one_does() {
    let (mut table, [ann, bob, cat]) = Table::seated(rules(|_| {}), [1, 1, 1]);
    table.leave(bob);
    let bob = table.join(1);
    assert_eq!(table.play(4), [ann, cat, bob, ann]);
}

#[test]
fn m12_a_heavy_newcomer_takes_its_share_and_not_more() {
    let (mut table, [_, light]) = Table::seated(rules(|_| {}), [1, 1]);
    table.play(1);
    assert_eq!(table.play(1), [light]);
    let heavy = table.join(100);
    let first = (0..).find(|_| table.end(Outcome::Answered) == light).expect("it gets the turn");
    assert!(first <= 100 + 3, "{first} turns first");
    let turns = table.play(1_020);
    assert!(turns.iter().filter(|&&seat| seat == heavy).count() <= 1_001);
}

#[test]
fn m12_a_name_that_is_reused_is_not_the_hosts_choice() {
    let (mut table, [ann, bob, cat]) = Table::seated(rules(|_| {}), [1, 1, 1]);
    table.scheduler.name_next(ann).expect("it holds the turn");
    table.leave(ann);
    let dan = table.join(1);
    assert_eq!(dan.slot(), ann.slot(), "the newcomer has the slot of the seat that was named");
    assert_eq!(table.play(3), [bob, cat, dan]);
}

// M13: how long.

#[test]
fn m13_the_clock_starts_when_the_holder_is_told() {
    let mut table = Table::new(rules(|_| {}));
    table.tells = false;
    let [ann, bob] = [1, 1].map(|weight| table.join(weight));
    let held = table.scheduler.held(table.ring).expect("there is quorum");
    assert_eq!((held.clock, table.scheduler.next_deadline()), (HeldClock::Unreleased, None));
    assert_eq!(
        table.scheduler.holding(ann, None).err(),
        Some(Refusal::NotYourTurn),
        "it does not know of it"
    );
    table.wait(secs(100));
    assert_eq!(
        table.scheduler.start(table.now, bob, TurnNumber::new(7).expect("not 0")),
        None,
        "no such turn"
    );
    let deadline = table.scheduler.start(table.now, ann, held.turn);
    assert_eq!(deadline, Some(table.now + secs(30)));
    table.wait(secs(1));
    assert_eq!(table.scheduler.start(table.now, ann, held.turn), deadline, "told again, nothing changes");
    table.wait(secs(29));
    assert_eq!(table.outcomes().last(), Some(&(ann, Outcome::Lapsed)));
    assert_eq!(table.scheduler.stopped(table.ring, table.now), secs(100));
}

#[test]
fn m13_renewing_restarts_the_silence_and_never_exceeds_the_hold() {
    let (mut table, [ann, _]) =
        Table::seated(rules(|rules| rules.hold_max = HoldMax::Time(secs(50))), [1, 1]);
    table.wait(secs(10));
    assert_eq!(table.renew(), Ok(Some(table.now + secs(30))));
    table.wait(secs(29));
    assert_eq!(table.renew(), Ok(Some(table.now + secs(11))), "50 s in total");
    assert_eq!(table.renew(), Err(Refusal::HoldMax));
    table.wait(secs(11));
    assert_eq!(table.outcomes(), [(ann, Outcome::Lapsed)]);
}

#[test]
fn m13_renewing_gains_nothing_by_default_and_everything_without_a_hold_max() {
    let (mut table, _) = Table::seated(rules(|_| {}), [1, 1]);
    table.wait(secs(10));
    assert_eq!((table.renew(), table.left()), (Err(Refusal::HoldMax), secs(20)));
    let (mut table, [ann, _]) = Table::seated(rules(|rules| rules.hold_max = HoldMax::Unlimited), [1, 1]);
    for _ in 0..1_000 {
        table.wait(secs(20));
        assert_eq!(table.renew(), Ok(Some(table.now + secs(30))));
    }
    assert_eq!(table.holder(), Some(ann));
    assert_eq!(table.scheduler.waiting_bound(table.ring), None);
}

// M14: kept turns.

/// A turn was once held for 13 to 19 s with a deadline of 1 to 1.5 s.
#[test]
fn m14_a_holder_at_quorum_that_drops_and_resumes_1000_times_holds_for_hold_max_and_1_s_at_most() {
    let (mut table, [ann, bob]) = Table::seated(rules(|rules| rules.turn_deadline = secs(3)), [1, 1]);
    let mut held = Duration::ZERO;
    for round in 1..=1_000 {
        let step = Duration::from_millis(10);
        table.wait(step);
        held += step;
        if table.holder() != Some(ann) {
            break;
        }
        assert_eq!(table.turn(), round, "a new number each time");
        table.drop(ann);
        assert_eq!((table.holder(), table.scheduler.is_waiting(ann)), (None, false));
        table.wait(step);
        table.back(ann);
    }
    assert_eq!(table.holder(), Some(bob));
    assert!(held <= secs(4), "{held:?}");
    let longest = table.scheduler.longest_wait(table.ring);
    assert!(longest.bound.is_some_and(|bound| longest.waited <= bound), "{longest:?}");
}

#[test]
fn m14_a_kept_turn_is_first_and_continues_with_the_time_left_raised_to_1_s_once() {
    let (mut table, [ann, bob]) = Table::seated(rules(|_| {}), [1, 1]);
    table.wait(secs(10));
    table.drop(ann);
    assert_eq!(table.outcomes(), [(ann, Outcome::Gone)]);
    table.wait(secs(40));
    let cat = table.join(1);
    assert_eq!(table.holder(), Some(bob), "Ann was not there when the ring continued: that turn is over");
    table.back(ann);
    assert_eq!(table.play(3), [bob, cat, ann]);

    let (mut table, [ann, _]) = Table::seated(rules(|_| {}), [1, 1]);
    for (wait, left) in [(secs(10), secs(20)), (secs(19) + secs(1) / 2, secs(1)), (secs(1) / 2, secs(1) / 2)]
    {
        table.wait(wait);
        table.drop(ann);
        table.back(ann);
        assert_eq!((table.holder(), table.left()), (Some(ann), left));
    }
}

#[test]
fn m14_a_kept_seat_that_is_back_before_the_quorum_waits_and_may_rest() {
    let (mut table, [ann, bob, cat]) = Table::seated(rules(|rules| rules.min_seats = 3), [1, 1, 1]);
    table.drop(bob);
    table.drop(ann);
    table.back(ann);
    assert_eq!((table.state(ann), table.scheduler.is_waiting(ann)), (SeatState::Waiting, true));
    assert_eq!(table.scheduler.waiting(table.ring), 2, "she waits beside Cat");
    assert_eq!((table.scheduler.ahead_of(ann), table.scheduler.ahead_of(cat)), (0, 1));
    assert_eq!(table.rest(ann), Ok(()));
    table.back(bob);
    assert_eq!((table.holder(), table.state(ann)), (Some(bob), SeatState::Resting));
}

// M15: the bound.

#[test]
fn m15_the_bound_counts_the_turns_first_and_the_one_that_is_held() {
    let (table, _) = Table::seated(rules(|_| {}), [1, 1, 1]);
    assert_eq!(table.scheduler.waiting_bound(table.ring), Some(3 * secs(30)));
    let (table, _) = Table::seated(judging(), [1, 1, 1]);
    assert_eq!(table.scheduler.waiting_bound(table.ring), Some(3 * secs(35)));
    let (table, _) = Table::seated(rules(|_| {}), [1, 2]);
    assert_eq!(table.scheduler.waiting_bound(table.ring), Some((2 + 3) * secs(30)), "weights of 3 at once");
}

#[test]
fn m15_silent_holders_are_waited_for_as_long_as_the_bound_says() {
    let (mut table, _) = Table::seated(rules(|_| {}), [1, 1, 1, 1]);
    table.wait(secs(30) * 4);
    let longest = table.scheduler.longest_wait(table.ring);
    assert_eq!(longest, LongestWait { waited: secs(90), bound: Some(secs(90)) });
}

#[test]
fn m15_time_below_quorum_in_a_pause_and_added_by_the_host_is_no_wait() {
    let (mut table, [ann, bob, cat]) = Table::seated(rules(|_| {}), [1, 1, 1]);
    table.scheduler.pause(table.now, table.ring).expect("it exists");
    table.wait(secs(1_000));
    let moved = table.scheduler.resume(table.now, table.ring).expect("it exists");
    table.settle(moved);
    table.scheduler.extend(table.now, table.ring, secs(100)).expect("a turn is held");
    table.wait(secs(130));
    assert_eq!(table.outcomes(), [(ann, Outcome::Lapsed)]);
    table.scheduler.name_next(ann).expect("it waits");
    table.play(1);
    table.wait(secs(29));
    assert_eq!(table.play(1), [ann]);
    assert_eq!(table.holder(), Some(cat));
    assert_eq!(table.scheduler.stopped(table.ring, table.now), secs(1_000 + 100 + 29));
    let longest = table.scheduler.longest_wait(table.ring);
    assert_eq!((longest.waited, longest.bound), (secs(30), Some(secs(30))), "Bob has waited for one turn");
    assert_eq!(table.state(bob), SeatState::Waiting);
}

/// The clock that measures waits was once set back at the end of such a turn, to before the beginning of
/// waits that had begun meanwhile.
#[test]
fn m15_a_wait_that_begins_in_a_turn_of_the_host_is_measured_from_its_end() {
    let (mut table, [ann, bob]) = Table::seated(rules(|rules| rules.min_seats = 1), [1, 1]);
    table.scheduler.name_next(bob).expect("it waits");
    assert_eq!(table.play(1), [ann]);
    table.wait(secs(15));
    let cat = table.join(1);
    table.wait(secs(14));
    assert_eq!(table.play(1), [bob]);
    table.wait(secs(10));
    assert_eq!((table.play(1), table.holder()), (vec![ann], Some(cat)));
    assert_eq!(table.scheduler.longest_wait(table.ring).waited, secs(10));
}

#[test]
fn m15_waits_that_began_by_other_rules_have_the_greater_bound() {
    let (mut table, _) = Table::seated(rules(|_| {}), [1, 1, 1]);
    table.wait(secs(30));
    let shorter = rules(|rules| rules.turn_deadline = secs(1));
    let moved = table.scheduler.set_rules(table.now, table.ring, shorter).expect("rules that make sense");
    table.settle(moved);
    table.wait(secs(40));
    let longest = table.scheduler.longest_wait(table.ring);
    assert_eq!(
        (longest.waited, longest.bound),
        (secs(31), Some(secs(60))),
        "29 s of the turn were the host's"
    );
    assert_eq!(table.scheduler.waiting_bound(table.ring), Some(secs(3)));
}

// M16: a grace for turns.

fn graceful() -> Rules {
    rules(|rules| rules.turn_grace = secs(10))
}

#[test]
fn m16_a_lost_holder_keeps_the_turn_for_the_grace_and_its_clock_keeps_running() {
    let (mut table, [ann, bob]) = Table::seated(graceful(), [1, 1]);
    table.drop(ann);
    table.wait(secs(9));
    assert_eq!((table.holder(), table.scheduler.occupied(table.ring)), (Some(ann), 2));
    assert_eq!(table.state(ann), SeatState::Away { until: None });
    table.back(ann);
    assert_eq!((table.left(), table.outcomes()), (secs(21), vec![]));
    table.drop(ann);
    table.wait(secs(10));
    assert_eq!((table.outcomes(), table.holder()), (vec![(ann, Outcome::Gone)], None), "kept, below quorum");
    table.back(ann);
    assert_eq!((table.holder(), table.left(), table.turn()), (Some(ann), secs(11), 2));
    table.drop(ann);
    let _ = table.join(1);
    table.wait(secs(10));
    assert_eq!((table.outcomes(), table.holder()), (vec![(ann, Outcome::Gone)], Some(bob)));
}

#[test]
fn m16_a_holder_that_comes_and_goes_before_it_is_told_does_not_hold_for_ever() {
    let mut table = Table::new(graceful());
    table.tells = false;
    let [ann, bob] = [1, 1].map(|weight| table.join(weight));
    for _ in 0..4 {
        table.drop(ann);
        table.wait(secs(9));
        table.back(ann);
    }
    assert_eq!(table.holder(), Some(bob));
}

#[test]
fn m16_after_a_refused_answer_the_turn_continues_while_the_grace_lasts() {
    let mut rules = graceful();
    (rules.judging, rules.judging_timeout) = (Judging::Host, secs(60));
    let (mut table, [ann, bob, _]) = Table::seated(rules, [1, 1, 1]);
    table.judge().expect("it is judged");
    table.drop(ann);
    table.wait(secs(4));
    table.refuse();
    assert_eq!((table.holder(), table.scheduler.next_deadline()), (Some(ann), Some(table.now + secs(6))));
    table.back(ann);
    table.judge().expect("it is judged");
    table.drop(ann);
    table.wait(secs(20));
    assert_eq!(table.holder(), Some(ann), "an answer that is judged comes before the grace");
    table.refuse();
    assert_eq!((table.outcomes(), table.holder()), (vec![(ann, Outcome::Gone)], Some(bob)));
}

// M17: the host.

#[test]
fn m17_skip_ends_the_turn_that_is_held() {
    let (mut table, [ann, bob]) = Table::seated(rules(|_| {}), [1, 1]);
    let moved = table.scheduler.skip(table.now, table.ring).expect("a turn is held");
    table.settle(moved);
    assert_eq!((table.outcomes(), table.holder()), (vec![(ann, Outcome::Skipped)], Some(bob)));
    table.drop(ann);
    table.play(1);
    assert_eq!(table.scheduler.skip(table.now, table.ring), Err(HostError::NoTurn));
}

#[test]
fn m17_next_goes_before_the_order_and_leaves_it_as_it_is() {
    let (mut table, [ann, bob, cat, dan]) = Table::seated(rules(|_| {}), [1, 1, 1, 1]);
    table.scheduler.name_next(dan).expect("it waits");
    assert_eq!(table.play(7), [ann, dan, bob, cat, ann, dan, bob]);
}

#[test]
fn m17_the_holder_may_be_named_next_even_if_it_would_rest() {
    let mut table = Table::new(rules(|rules| rules.min_seats = 1));
    let [ann, bob] = [(); 2].map(|()| table.join_as(1, Demand::Ask));
    table.ask(ann);
    table.ask(bob);
    table.scheduler.name_next(ann).expect("it holds the turn");
    assert_eq!(table.play(3), [ann, ann, bob]);
    assert_eq!(table.holder(), None, "and then it rests");

    table.ask(ann);
    table.scheduler.name_next(ann).expect("it holds the turn");
    assert_eq!(table.rest(ann), Ok(()));
    assert_eq!(table.holder(), None, "it does not want it any more");
}

#[test]
fn m17_a_seat_that_rests_or_is_away_can_not_be_next() {
    let (mut table, [ann, bob, cat]) = Table::seated(rules(|_| {}), [1, 1, 1]);
    assert_eq!(table.rest(bob), Ok(()));
    assert_eq!(table.scheduler.name_next(bob), Err(HostError::Resting));
    table.scheduler.name_next(cat).expect("it waits");
    table.drop(cat);
    assert_eq!(table.scheduler.name_next(cat), Err(HostError::Away));
    assert_eq!(table.play(2), [ann, ann], "Cat was named, and has gone since");
    table.leave(bob);
    assert_eq!(table.scheduler.name_next(bob), Err(HostError::UnknownSeat));
}

#[test]
fn m17_extend_adds_time_to_both_clocks() {
    let (mut table, _) = Table::seated(rules(|_| {}), [1, 1]);
    table.wait(secs(10));
    let deadline = table.scheduler.extend(table.now, table.ring, secs(100));
    assert_eq!(deadline, Ok(Some(table.now + secs(120))));
    table.wait(secs(100));
    assert_eq!(table.renew(), Err(Refusal::HoldMax), "20 s are left in total, and to be silent");
    table.play(1);
    table.drop(table.holder().expect("a turn is held"));
    assert_eq!(table.scheduler.extend(table.now, table.ring, secs(1)), Err(HostError::NoTurn));
}

#[test]
fn m17_a_pause_stops_the_ring_with_its_clock_and_the_holder_may_answer() {
    let (mut table, [ann, bob]) = Table::seated(rules(|_| {}), [1, 1]);
    table.wait(secs(10));
    table.scheduler.pause(table.now, table.ring).expect("it exists");
    table.wait(secs(500));
    let held = table.scheduler.held(table.ring).expect("it is still held");
    assert_eq!((held.seat, held.clock), (ann, HeldClock::Stopped { left: secs(20) }));
    assert_eq!((table.play(1), table.holder()), (vec![ann], None));
    assert!(table.scheduler.is_paused(table.ring));
    let moved = table.scheduler.resume(table.now, table.ring).expect("it exists");
    table.settle(moved);
    assert_eq!((table.holder(), table.left()), (Some(bob), secs(30)));
    table.wait(secs(10));
    table.scheduler.pause(table.now, table.ring).expect("it exists");
    table.wait(secs(500));
    let moved = table.scheduler.resume(table.now, table.ring).expect("it exists");
    assert_eq!((moved, table.left()), (Moved::NOTHING, secs(20)), "with the time left");
}

/// Renewing once set back the time of an extended turn.
#[test]
fn m17_renewing_in_a_pause_gains_as_much_as_outside_and_loses_nothing() {
    let (mut table, _) = Table::seated(rules(|rules| rules.hold_max = HoldMax::Unlimited), [1, 1]);
    table.wait(secs(10));
    table.scheduler.pause(table.now, table.ring).expect("it exists");
    assert_eq!(table.renew(), Ok(None));
    table.scheduler.extend(table.now, table.ring, secs(5)).expect("a turn is held");
    assert_eq!(table.renew(), Err(Refusal::HoldMax));
    let moved = table.scheduler.resume(table.now, table.ring).expect("it exists");
    assert_eq!((moved, table.left()), (Moved::NOTHING, secs(35)));
}

#[test]
fn m17_the_clock_of_a_turn_that_is_told_or_refused_in_a_pause_is_stopped() {
    let mut table = Table::new(judging());
    table.tells = false;
    [1, 1].iter().for_each(|&weight| _ = table.join(weight));
    table.scheduler.pause(table.now, table.ring).expect("it exists");
    let held = table.scheduler.held(table.ring).expect("there is quorum");
    assert_eq!(table.scheduler.start(table.now, held.seat, held.turn), None);
    table.judge().expect("it is judged");
    table.refuse();
    let held = table.scheduler.held(table.ring).expect("it is still held");
    assert_eq!(held.clock, HeldClock::Stopped { left: secs(30) });
}

#[test]
fn m17_retire_removes_a_seat_wherever_it_is() {
    let (mut table, [ann, bob, cat, dan]) = Table::seated(rules(|_| {}), [1, 1, 1, 1]);
    table.drop(cat);
    table.leave(cat);
    table.leave(ann);
    assert_eq!((table.outcomes(), table.holder()), (vec![(ann, Outcome::Gone)], Some(bob)));
    assert_eq!(table.play(2), [bob, dan]);
    assert_eq!((table.scheduler.seats(), table.scheduler.is_occupied(ann)), (2, false));
    assert!(table.scheduler.retire(table.now, ann).is_none(), "it is gone");
    table.leave(bob);
    table.leave(dan);
    assert!(!table.scheduler.has_ring(table.ring), "with its last seat");
}

// M18: rules.

#[test]
fn m18_rules_that_can_not_be_kept_are_errors_when_they_are_set() {
    let wrong = |change: fn(&mut Rules)| rules(change).check().err();
    assert_eq!(wrong(|rules| rules.min_seats = 0), Some(RulesError::NoSeats));
    assert_eq!(wrong(|rules| rules.seats_max = Some(1)), Some(RulesError::NeverEnoughSeats));
    assert_eq!(wrong(|rules| rules.turn_deadline = Duration::ZERO), Some(RulesError::NoTime));
    assert_eq!(wrong(|rules| rules.hold_max = HoldMax::Time(Duration::ZERO)), Some(RulesError::NoTime));
    let judge = |rules: &mut Rules| (rules.judging, rules.proposals_max) = (Judging::Host, 0);
    assert_eq!(wrong(judge), Some(RulesError::NoTimeToJudge));

    let config = SchedulerConfig { max_seats: 2, ..SchedulerConfig::default() };
    let five = || rules(|rules| rules.min_seats = 5);
    let mut scheduler: Scheduler<()> = Scheduler::new(config.clone()).expect("rules that make sense");
    let never = RulesError::NeverEnoughSeats;
    assert_eq!(scheduler.make_ring(Instant::ORIGIN, five()), Err(JoinError::Rules(never)));
    let ring = scheduler.make_ring(Instant::ORIGIN, Rules::default()).expect("room");
    assert_eq!(scheduler.set_rules(Instant::ORIGIN, ring, five()), Err(never));
    assert_eq!(Scheduler::<()>::new(SchedulerConfig { rules: five(), ..config }).err(), Some(never));
}

#[test]
fn m18_rules_can_be_set_for_a_ring_that_exists() {
    let (mut table, [ann, bob]) = Table::seated(rules(|_| {}), [1, 1]);
    let three = rules(|rules| (rules.min_seats, rules.turn_deadline) = (3, secs(5)));
    let moved = table.scheduler.set_rules(table.now, table.ring, three).expect("rules that make sense");
    assert_eq!((moved, table.left()), (Moved::NOTHING, secs(30)), "the turn that is held keeps its time");
    assert_eq!((table.play(1), table.holder()), (vec![ann], None));
    let two = rules(|rules| rules.turn_deadline = secs(5));
    let moved = table.scheduler.set_rules(table.now, table.ring, two).expect("rules that make sense");
    table.settle(moved);
    assert_eq!((table.holder(), table.left()), (Some(bob), secs(5)));
}

#[test]
fn m18_a_turn_during_which_the_host_begins_to_judge_can_be_judged() {
    let (mut table, [ann, _]) = Table::seated(rules(|_| {}), [1, 1]);
    let moved = table.scheduler.set_rules(table.now, table.ring, judging()).expect("rules that make sense");
    assert_eq!(moved, Moved::NOTHING);
    assert_eq!(table.judge(), Some(table.now + secs(5)));
    table.refuse();
    assert_eq!(table.holder(), Some(ann));
}

// Beyond one ring.

#[test]
fn ten_thousand_seats_ask_and_rest() {
    let mut table = Table::new(rules(|rules| rules.min_seats = 1));
    let mut random = fastrand::Rng::with_seed(9);
    let mut join = |_| {
        let demand = if random.bool() { Demand::Ask } else { Demand::Always };
        table.scheduler.join(table.now, table.ring, Weight::ONE, demand, ()).expect("room").0
    };
    let seats: Vec<SeatId> = (0..10_000).map(&mut join).collect();
    for _ in 0..50_000 {
        let seat = random.choice(&seats).copied().expect("some");
        if random.bool() {
            let _ = table.scheduler.ask(table.now, seat);
        } else {
            let _ = table.scheduler.rest(table.now, seat).expect("nothing is judged");
        }
        if let Some(held) = table.scheduler.held(table.ring) {
            table.scheduler.start(table.now, held.seat, held.turn);
            if random.bool() {
                let _ = table
                    .scheduler
                    .holding(held.seat, None)
                    .expect("its turn")
                    .end(table.now, Outcome::Answered);
            }
        }
    }
    table.scheduler.check_invariants().expect("invariants hold");
}

#[test]
fn a_drain_grants_nothing_and_ends_with_the_turns_that_are_held() {
    let (mut table, [ann, bob]) = Table::seated(graceful(), [1, 1]);
    table.scheduler.drain();
    assert!(!table.scheduler.is_drained());
    assert_eq!(table.scheduler.make_ring(table.now, Rules::default()), Err(JoinError::Draining));
    assert_eq!(table.scheduler.may_join(table.ring), Err(JoinError::Draining));
    table.drop(ann);
    assert_eq!(
        (table.outcomes(), table.holder()),
        (vec![(ann, Outcome::Gone)], None),
        "the drain does not wait for it"
    );
    assert!(table.scheduler.is_drained() && table.scheduler.is_waiting(bob));
}

#[test]
fn a_ring_is_forgotten_with_its_last_seat_and_its_numbers_are_not_used_again() {
    let (mut table, [ann, bob]) = Table::seated(rules(|_| {}), [1, 1]);
    table.play(5);
    table.leave(ann);
    table.drop(bob);
    table.wait(secs(60));
    assert!(!table.scheduler.has_ring(table.ring) && table.scheduler.next_deadline().is_none());
    assert_eq!((table.scheduler.seats(), table.scheduler.last_turn(None)), (0, 6));
    let before = table.ring;
    table.ring = table.scheduler.make_ring(table.now, rules(|_| {})).expect("room");
    let anew = [1, 1].map(|weight| table.join(weight));
    assert_eq!((table.turn(), table.scheduler.last_turn(Some(table.ring))), (7, 7));
    assert_eq!([ann, bob, anew[0], anew[1]].map(|seat| seat.place()), [1, 2, 3, 4]);
    assert_eq!((table.scheduler.occupied(before), table.scheduler.held(before)), (0, None));
    assert!(table.scheduler.data(bob).is_none(), "an old id means nothing in the new ring");
}

#[test]
fn places_are_kept_for_their_grace_in_every_ring() {
    let (mut table, [ann, bob, _]) = Table::seated(rules(|_| {}), [1, 1, 1]);
    let other =
        table.scheduler.make_ring(table.now, rules(|rules| rules.seat_grace = secs(5))).expect("room");
    let (cat, _) = table.scheduler.join(table.now, other, Weight::ONE, Demand::Always, ()).expect("room");
    table.drop(bob);
    table.wait(secs(1));
    let _ = table.scheduler.vacate(table.now, cat);
    assert_eq!(
        (table.scheduler.longest_away(), table.scheduler.longest_deserted()),
        (Some(bob), Some(other))
    );
    table.wait(secs(5));
    assert!(!table.scheduler.has_ring(other));
    table.wait(secs(53));
    assert_eq!(table.scheduler.away(table.ring), 1);
    table.wait(secs(1));
    assert_eq!((table.scheduler.away(table.ring), table.scheduler.seat_count(table.ring)), (0, 2));
    assert!(table.scheduler.view(ann).is_some() && table.scheduler.view(bob).is_none());
}

#[test]
fn a_ring_that_no_client_joined_can_be_forgotten_and_is_never_deserted() {
    let mut scheduler: Scheduler<()> =
        Scheduler::new(SchedulerConfig::default()).expect("rules that make sense");
    let ring = scheduler.make_ring(Instant::ORIGIN, Rules::default()).expect("room");
    assert_eq!(scheduler.longest_deserted(), None);
    scheduler.forget_unused(ring);
    assert!(!scheduler.has_ring(ring));
}

#[test]
fn a_scheduler_has_no_more_rings_and_seats_than_it_was_made_for() {
    let config = SchedulerConfig { max_seats: 3, max_rings: 2, ..SchedulerConfig::default() };
    let mut scheduler = Scheduler::new(config).expect("rules that make sense");
    let mut make_ring = |rules| scheduler.make_ring(Instant::ORIGIN, rules);
    let small = make_ring(Rules { min_seats: 1, seats_max: Some(1), ..Rules::default() }).expect("room");
    let ring = make_ring(Rules::default()).expect("room");
    assert_eq!(make_ring(Rules::default()), Err(JoinError::RingsFull));
    let mut join = |ring| {
        let joined = scheduler.join(Instant::ORIGIN, ring, Weight::ONE, Demand::Always, ());
        joined.map(|(seat, _)| seat)
    };
    join(small).expect("room");
    assert_eq!(join(small), Err(JoinError::RingFull));
    let seat = join(ring).expect("room");
    join(ring).expect("room");
    assert_eq!(join(ring), Err(JoinError::SeatsFull));
    assert!(scheduler.retire(Instant::ORIGIN, seat).is_some());
    assert_eq!(scheduler.may_join(ring), Ok(()));
}

#[test]
fn a_restored_ring_takes_no_more_seats_than_there_is_room_for() {
    let (table, seats) = Table::seated(rules(|_| {}), [1, 1, 1]);
    let value = table.scheduler.ring_value(table.now, table.ring).expect("it has seats");
    let orders = seats.map(|seat| (table.scheduler.seat_order(seat).expect("it has a seat"), ()));
    let restored = |max_seats, last_place| {
        let config = SchedulerConfig { max_seats, ..SchedulerConfig::default() };
        let mut scheduler = Scheduler::new(config).expect("rules that make sense");
        let value = RingValue { last_place, ..value.clone() };
        let (ring, _) = scheduler.restore(table.now, &value, orders, Duration::ZERO)?.expect("it has seats");
        Ok(scheduler.may_join(ring))
    };
    assert_eq!(restored(4, value.last_place), Ok(Ok(())));
    assert_eq!(restored(3, value.last_place), Ok(Err(JoinError::SeatsFull)), "there is room for just these");
    assert_eq!(restored(2, value.last_place), Err(JoinError::SeatsFull));
    let highest = (1 << 40) - 1;
    assert_eq!(restored(4, highest - 1), Ok(Ok(())));
    assert_eq!(restored(4, highest), Ok(Err(JoinError::SeatsFull)), "seats have no more numbers");
    assert_eq!(restored(4, highest + 1), Err(JoinError::SeatsFull));
}

#[test]
fn the_digest_depends_on_the_time_that_is_left() {
    let (mut table, [_, ann]) = Table::seated(rules(|_| {}), [1, 1]);
    let later = |table: &Table| table.scheduler.digest(table.now + secs(1));
    assert_ne!(later(&table), table.scheduler.digest(table.now), "of the turn");
    table.scheduler.pause(table.now, table.ring).expect("a ring");
    assert_eq!(later(&table), table.scheduler.digest(table.now));
    table.drop(ann);
    assert_ne!(later(&table), table.scheduler.digest(table.now), "of a seat that is away");
}

#[test]
fn seats_that_wait_are_counted_without_those_that_are_away() {
    let (mut table, [_, ann, bob]) = Table::seated(rules(|_| {}), [1, 1, 1]);
    assert_eq!(table.scheduler.waiting(table.ring), 2);
    table.drop(bob);
    assert_eq!(table.scheduler.waiting(table.ring), 1);
    table.leave(ann);
    assert_eq!(table.scheduler.waiting(table.ring), 0);
}

#[test]
fn endless_times_cause_no_panic() {
    let endless = rules(|rules| {
        (rules.turn_deadline, rules.seat_grace, rules.turn_grace) =
            (Duration::MAX, Duration::MAX, Duration::MAX);
        (rules.hold_max, rules.judging) = (HoldMax::Time(Duration::MAX), Judging::Host);
        rules.judging_timeout = Duration::MAX;
    });
    let (mut table, [bob, ann, _]) = Table::seated(endless, [1, 100, 1]);
    table.scheduler.extend(table.now, table.ring, Duration::MAX).expect("a turn is held");
    assert_eq!(table.holder(), Some(ann), "the heaviest is first");
    table.judge().expect("it is judged");
    table.drop(ann);
    table.now = Instant::ORIGIN + secs(1 << 33);
    table.back(ann);
    table.refuse();
    table.drop(bob);
    let _ = table.renew();
    assert_eq!(table.play(2)[0], ann);
    assert_eq!(table.scheduler.waiting_bound(table.ring), Some(Duration::MAX));
}

#[test]
fn seats_and_rings_are_as_small_as_the_docs_say() {
    let (seat, ring) = (size_of::<seat::Seat<()>>(), size_of::<ring::Ring<()>>());
    assert!(seat <= 100, "{seat} bytes a seat");
    assert!(ring <= 768, "{ring} bytes a ring");
}

#[test]
fn refusals_and_errors_say_why() {
    let said = [
        Refusal::StaleTurn.to_string(),
        Refusal::HoldMax.to_string(),
        HostError::Away.to_string(),
        JoinError::RingFull.to_string(),
        JoinError::Rules(RulesError::NoSeats).to_string(),
    ];
    assert_eq!(
        said,
        [
            "that turn is over or has not begun",
            "the turn cannot be extended any further",
            "the seat's client is away",
            "the ring has as many seats as allowed",
            "min_seats is 0: expected at least 1",
        ]
    );
}

/// Nobody learns from a seat that is gone which turn is held.
#[test]
fn a_seat_that_is_gone_has_no_turn_that_could_be_stale() {
    let (mut table, [ann, bob]) = Table::seated(rules(|rules| rules.min_seats = 1), [1, 1]);
    let (moved, ()) = table.scheduler.retire(table.now, ann).expect("she has a seat");
    assert!(!moved.is_nothing());
    table.settle(moved);
    for fence in [None, Some(1), Some(2), Some(9)] {
        assert_eq!(table.scheduler.holding(ann, fence).err(), Some(Refusal::NotYourTurn), "{fence:?}");
    }
    assert_eq!(table.scheduler.holding(bob, Some(9)).err(), Some(Refusal::StaleTurn));
}
