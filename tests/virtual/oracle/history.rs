//! Random histories, played by the scheduler and the oracle side by side. After every step both have to
//! agree.

use std::time::Duration;

use taketurns::time::Instant;
use taketurns::turn::{
    Demand, HeldClock, HoldMax, HostError, Judging, Moved, Outcome, Refusal, RingId, Rules, Scheduler,
    SchedulerConfig, SeatId, SeatState, Weight,
};

use super::{Event, How, Law, Oracle, Place};

/// The length of a tick. Ten of them are the second to which a kept turn is extended.
const TICK: Duration = Duration::from_millis(100);

/// One step of a history. Seats are numbered in the order of their creation.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    Join { weight: u8, always: bool },
    Drop(usize),
    Back(usize),
    Ask(usize),
    Rest(usize),
    Leave(usize),
    Tell,
    Answer,
    Pass,
    Renew,
    Propose,
    Accept(Option<usize>),
    Refuse,
    Skip,
    Name(usize),
    Extend(u64),
    Pause,
    Resume,
    MinSeats(usize),
    Tick(u64),
}

#[derive(Debug)]
pub struct History {
    pub scheduler: Scheduler<usize>,
    pub ring: RingId,
    pub oracle: Oracle,
    pub seats: Vec<SeatId>,
    now: Instant,
    log: Vec<Event>,
    acts: Vec<Act>,
}

pub fn rules(law: Law) -> Rules {
    let ticks = |ticks| TICK * u32::try_from(ticks).expect("few ticks");
    let mut rules = Rules::default();
    rules.min_seats = law.min_seats;
    rules.weight_max = Weight::MAX;
    rules.turn_deadline = ticks(law.deadline);
    rules.hold_max = law.hold_max.map_or(HoldMax::Unlimited, |hold| HoldMax::Time(ticks(hold)));
    (rules.turn_grace, rules.seat_grace) = (ticks(law.turn_grace), ticks(law.seat_grace));
    if law.judging > 0 {
        rules.judging = Judging::Host;
        rules.judging_timeout = ticks(law.judging);
        rules.proposals_max = law.proposals;
    }
    rules
}

impl History {
    pub fn new(law: Law) -> History {
        let mut scheduler = Scheduler::new(SchedulerConfig::default()).expect("rules that make sense");
        let now = Instant::ORIGIN;
        let ring = scheduler.make_ring(now, rules(law)).expect("room");
        History { scheduler, ring, oracle: Oracle::new(law), seats: vec![], now, log: vec![], acts: vec![] }
    }

    /// Plays `act` on both sides. Fails with the whole history if they differ.
    pub fn play(&mut self, act: Act) {
        self.acts.push(act);
        self.carry_out(act);
        if let Err(why) = self.compare() {
            panic!("{why}, after {:?}\n{:?}", self.acts, self.oracle);
        }
    }

    fn carry_out(&mut self, act: Act) {
        let now = self.now;
        match act {
            Act::Join { weight, always } => {
                let (demand, weight) = (
                    if always { Demand::Always } else { Demand::Ask },
                    Weight::new(weight).expect("1 to 100"),
                );
                let number = self.oracle.join(weight.value().into(), always);
                let (seat, moved) =
                    self.scheduler.join(now, self.ring, weight, demand, number).expect("room");
                self.seats.push(seat);
                self.note(moved);
            }
            Act::Drop(seat) => {
                self.oracle.drop(seat);
                let moved = self.scheduler.vacate(now, self.seats[seat]);
                self.note(moved);
            }
            Act::Back(seat) => {
                self.oracle.back(seat);
                let moved = self.scheduler.occupy(now, self.seats[seat]);
                self.note(moved);
            }
            Act::Ask(seat) => {
                self.oracle.ask(seat);
                let moved = self.scheduler.ask(now, self.seats[seat]);
                self.note(moved);
            }
            Act::Rest(seat) => {
                let may = self.oracle.rest(seat);
                let moved = self.scheduler.rest(now, self.seats[seat]);
                assert_eq!(moved.is_ok(), may && self.oracle.chairs[seat].place != Place::Gone);
                self.note(moved.unwrap_or(Moved::NOTHING));
            }
            Act::Leave(seat) => {
                self.oracle.leave(seat);
                let (moved, data) = self.scheduler.retire(now, self.seats[seat]).expect("it has a seat");
                assert_eq!(data, seat);
                self.note(moved);
            }
            Act::Tell => {
                self.oracle.tell();
                let held = self.scheduler.held(self.ring).expect("a turn is held");
                self.scheduler.start(now, held.seat, held.turn);
            }
            Act::Answer => self.finish(How::Answered, Outcome::Answered),
            Act::Pass => self.finish(How::Passed, Outcome::Passed),
            Act::Renew => {
                let renewed = self.holding().renew(now);
                assert_eq!(renewed.is_ok(), self.oracle.renew(), "{renewed:?}");
                assert!(renewed.is_ok() || renewed == Err(Refusal::HoldMax));
            }
            Act::Propose => {
                self.oracle.propose();
                self.holding().judge(now).expect("it is judged");
            }
            Act::Accept(next) => {
                let turn = self.oracle.turn.expect("a turn is judged");
                let accepted = self.oracle.accept(next);
                let next = next.map(|next| self.seats[next]);
                let held = self.scheduler.held(self.ring).expect("a turn is judged");
                assert_eq!(held.turn.get(), turn.number);
                let judged = self.scheduler.judged(held.seat, held.turn).expect("it is judged");
                let moved = judged.accept(now, next);
                assert_eq!(moved.is_ok(), accepted);
                self.note(moved.unwrap_or(Moved::NOTHING));
            }
            Act::Refuse => {
                self.oracle.refuse();
                let held = self.scheduler.held(self.ring).expect("a turn is judged");
                let moved = self.scheduler.judged(held.seat, held.turn).expect("it is judged").refuse(now);
                self.note(moved);
            }
            Act::Skip => {
                let skipped = self.oracle.skip();
                let moved = self.scheduler.skip(now, self.ring);
                assert_eq!(moved == Err(HostError::NoTurn), !skipped);
                self.note(moved.unwrap_or(Moved::NOTHING));
            }
            Act::Name(seat) => {
                let named = self.oracle.name(seat);
                assert_eq!(self.scheduler.name_next(self.seats[seat]).is_ok(), named);
            }
            Act::Extend(by) => {
                let is_held = self.oracle.turn.is_some();
                self.oracle.extend(by);
                let by = TICK * u32::try_from(by).expect("few ticks");
                assert_eq!(self.scheduler.extend(now, self.ring, by).is_ok(), is_held);
            }
            Act::Pause => {
                self.oracle.pause(true);
                self.scheduler.pause(now, self.ring).expect("the ring exists");
            }
            Act::Resume => {
                self.oracle.pause(false);
                let moved = self.scheduler.resume(now, self.ring).expect("the ring exists");
                self.note(moved);
            }
            Act::MinSeats(min_seats) => {
                let law = Law { min_seats, ..self.oracle.law };
                self.oracle.change(law);
                let moved =
                    self.scheduler.set_rules(now, self.ring, rules(law)).expect("rules that make sense");
                self.note(moved);
            }
            Act::Tick(ticks) => (0..ticks).for_each(|_| self.tick()),
        }
    }

    fn tick(&mut self) {
        self.now += TICK;
        self.oracle.tick();
        while let Some(expired) = self.scheduler.poll_expired(self.now) {
            self.note(expired.moved);
            if let Some((seat, data)) = expired.retired {
                assert_eq!(self.seats[data], seat);
                self.log.push(Event::Retired(data));
            }
        }
        let next = self.scheduler.next_deadline();
        assert!(next.is_none_or(|next| next > self.now), "it would be polled again at once");
    }

    fn holding(&mut self) -> taketurns::turn::Holding<'_, usize> {
        let turn = self.oracle.turn.expect("a turn is held");
        self.scheduler.holding(self.seats[turn.seat], Some(turn.number)).expect("the holder may act")
    }

    fn finish(&mut self, how: How, outcome: Outcome) {
        let now = self.now;
        let moved = self.holding().end(now, outcome);
        self.oracle.finish(how);
        self.note(moved);
    }

    fn note(&mut self, moved: Moved) {
        let number = |seat| self.seats.iter().position(|&known| known == seat).expect("a seat that was made");
        let ended = moved.ended.map(|ended| {
            let how = match ended.outcome {
                Outcome::Answered => How::Answered,
                Outcome::Passed => How::Passed,
                Outcome::Lapsed => How::Lapsed,
                Outcome::Skipped => How::Skipped,
                Outcome::Gone => How::Gone,
                other => panic!("{other:?} is new"),
            };
            Event::Ended(number(ended.seat), ended.turn.get(), how)
        });
        let granted = moved.granted.map(|grant| Event::Granted(number(grant.seat), grant.turn.get()));
        self.log.extend(ended.into_iter().chain(granted));
    }

    fn compare(&mut self) -> Result<(), String> {
        let (ours, theirs) = (std::mem::take(&mut self.oracle.log), std::mem::take(&mut self.log));
        if ours != theirs {
            return Err(format!("the law says {ours:?}, the scheduler {theirs:?}"));
        }
        self.scheduler.check_invariants().map_err(|violation| violation.to_string())?;
        if let Some(broken) = &self.oracle.judge.broken {
            return Err(format!("M12: {broken}"));
        }
        if !self.scheduler.has_ring(self.ring) {
            return Ok(());
        }
        self.compare_clock()?;
        self.compare_waits()?;
        self.compare_seats()
    }

    fn compare_clock(&self) -> Result<(), String> {
        let held = self.scheduler.held(self.ring);
        let left = |left: Duration| u64::try_from(left.as_millis() / TICK.as_millis()).expect("few ticks");
        let theirs = held.map(|held| {
            let clock = match held.clock {
                HeldClock::Unreleased => (None, None),
                HeldClock::Running { deadline } => (Some(left(deadline - self.now)), None),
                HeldClock::Stopped { left: stopped } => (Some(left(stopped)), None),
                HeldClock::Judged { left: stopped, until } => {
                    (Some(left(stopped)), Some(left(until - self.now)))
                }
            };
            (held.seat, held.turn.get(), clock, held.absent)
        });
        let ours = self.oracle.turn.map(|turn| {
            let clock = (turn.told.then_some(turn.silent), turn.judged.then_some(turn.judging));
            (self.seats[turn.seat], turn.number, clock, turn.absent.is_some())
        });
        if ours == theirs { Ok(()) } else { Err(format!("the law has {ours:?}, the scheduler {theirs:?}")) }
    }

    /// M15: the exported wait must be the counted one, within the exported bound, which must be within the
    /// law's.
    fn compare_waits(&self) -> Result<(), String> {
        let (exported, longest) = (self.scheduler.longest_wait(self.ring), self.oracle.judge.longest);
        let ticks = |ticks: u64| TICK * u32::try_from(ticks).expect("few ticks");
        let law = self.oracle.law;
        let each = law.hold_max.map(|hold| hold + law.judging);
        let most = each.map(|each| ticks(each * longest.turns));
        let is_sound = exported.waited == ticks(longest.ticks)
            && (exported.waited.is_zero() || exported.bound.is_some() == most.is_some())
            && exported.bound.is_none_or(|bound| exported.waited <= bound)
            && exported.bound.zip(most).is_none_or(|(bound, most)| bound <= most)
            // A wait that began before weights differed may have a lower bound.
            && (exported.waited.is_zero() || exported.bound == most || self.oracle.chairs[0].weight == 1);
        if is_sound {
            Ok(())
        } else {
            Err(format!("M15: {exported:?}, counted {longest:?}, at most {most:?}"))
        }
    }

    fn compare_seats(&self) -> Result<(), String> {
        let oracle = &self.oracle;
        let queue = oracle.queue();
        let here: Vec<usize> = queue.iter().copied().filter(|&seat| oracle.is_here(seat)).collect();
        let holder = oracle.turn.map(|turn| turn.seat);
        let kept = oracle.kept.map(|kept| kept.seat).filter(|&seat| oracle.chairs[seat].occupied);
        for (number, chair) in oracle.chairs.iter().enumerate() {
            let view = self.scheduler.view(self.seats[number]);
            let state = view.map(|view| match view.state {
                SeatState::Waiting => "waiting",
                SeatState::Resting => "resting",
                SeatState::Holding => "holding",
                SeatState::Judged => "judged",
                SeatState::Away { .. } => "away",
            });
            let should = match chair.place {
                Place::Gone => None,
                _ if !oracle.is_here(number) => Some("away"),
                Place::Queued(..) => Some("waiting"),
                Place::Holding if oracle.turn.is_some_and(|turn| turn.seat == number && turn.judged) => {
                    Some("judged")
                }
                Place::Holding if holder == Some(number) => Some("holding"),
                Place::Holding => Some("waiting"),
                Place::Resting | Place::Missed => Some("resting"),
            };
            let ahead = here.iter().position(|&seat| seat == number);
            let ahead = ahead.map(|ahead| ahead + usize::from(holder.or(kept).is_some()));
            let is_ahead = ahead.is_none_or(|ahead| ahead == self.scheduler.ahead_of(self.seats[number]));
            if state != should || !is_ahead {
                return Err(format!("seat {number} is {state:?}, should be {should:?}, {ahead:?} ahead"));
            }
        }
        let mut roster: Vec<usize> = holder.into_iter().chain(here).collect();
        let others = (0..oracle.chairs.len()).filter(|&seat| oracle.chairs[seat].place != Place::Gone);
        let others: Vec<usize> = others.filter(|seat| !roster.contains(seat)).collect();
        roster.extend(others);
        let theirs: Vec<usize> = self.scheduler.roster(self.ring).iter().map(|view| *view.data).collect();
        let agrees = theirs == roster
            && self.scheduler.weight(self.ring) == oracle.weight()
            && self.scheduler.occupied(self.ring) == oracle.occupied();
        if agrees { Ok(()) } else { Err(format!("the roster is {theirs:?}, should be {roster:?}")) }
    }

    /// Returns a random seat that is not gone.
    fn some_seat(&self, random: &mut fastrand::Rng, like: impl Fn(&Oracle, usize) -> bool) -> Option<usize> {
        let is_like =
            |seat: &usize| self.oracle.chairs[*seat].place != Place::Gone && like(&self.oracle, *seat);
        let seats: Vec<usize> = (0..self.seats.len()).filter(is_like).collect();
        random.choice(seats)
    }

    /// Returns a step that is possible now.
    pub fn choose(&self, random: &mut fastrand::Rng, weights: &[u8], seats_max: usize) -> Act {
        let oracle = &self.oracle;
        let count = oracle.chairs.iter().filter(|chair| chair.place != Place::Gone).count();
        let holder = oracle.turn.filter(|turn| turn.told && !turn.judged && turn.absent.is_none());
        let judged = oracle.turn.filter(|turn| turn.judged);
        let queued = |oracle: &Oracle, seat: usize| matches!(oracle.chairs[seat].place, Place::Queued(..));
        let any = |_: &Oracle, _: usize| true;
        let away = |oracle: &Oracle, seat: usize| !oracle.is_here(seat);
        let here = |oracle: &Oracle, seat: usize| oracle.is_here(seat);
        let untold = oracle.turn.is_some_and(|turn| !turn.told && turn.absent.is_none());
        if untold && random.u8(0..8) > 0 {
            return Act::Tell;
        }
        let act = match random.u8(0..100) {
            0..14 if count < seats_max => {
                let weight = random.choice(weights.iter().copied());
                Some(Act::Join { weight: weight.expect("some"), always: random.u8(0..4) > 0 })
            }
            14..22 => self.some_seat(random, here).map(Act::Drop),
            22..34 => self.some_seat(random, away).map(Act::Back),
            34..42 => self.some_seat(random, here).map(Act::Ask),
            42..45 => self.some_seat(random, queued).map(Act::Rest),
            45..47 => self.some_seat(random, here).map(Act::Rest),
            47..50 => self.some_seat(random, any).map(Act::Leave),
            50..75 => match holder {
                Some(_) if oracle.law.judging > 0 && random.u8(0..4) > 0 => Some(Act::Propose),
                Some(_) => Some(Act::Answer),
                None if judged.is_some() && random.u8(0..3) == 0 => Some(Act::Refuse),
                None if judged.is_some() && random.u8(0..4) == 0 => {
                    self.some_seat(random, any).map(|next| Act::Accept(Some(next)))
                }
                None => judged.map(|_| Act::Accept(None)),
            },
            75..77 => holder.map(|_| Act::Pass),
            77..79 => holder.map(|_| Act::Renew),
            79 => oracle.turn.map(|_| Act::Skip),
            80..82 => self.some_seat(random, any).map(Act::Name),
            82 => Some(Act::Extend(random.u64(0..9))),
            83 => Some(Act::Pause),
            84 => Some(Act::MinSeats(random.usize(1..4))),
            85..88 => Some(Act::Resume),
            _ => None,
        };
        act.unwrap_or_else(|| Act::Tick(random.u64(1..4)))
    }
}
