//! A naive ring, written to the letter of docs/PROTOCOL.md, for checking the scheduler.
//!
//! It shares nothing with the scheduler. The order is a search through all seats with 128-bit tags, clocks
//! count down tick by tick, and seats stay in the list for ever.

pub mod history;
mod judge;
pub mod trace;

use judge::Judge;

/// One turn of weight 1, in virtual time.
const UNIT: u128 = 1 << 64;

/// The fewest ticks that a kept turn continues for, once.
const KEPT_TICKS_MIN: u64 = 10;

/// The rules of a ring, in ticks.
#[derive(Debug, Clone, Copy)]
pub struct Law {
    pub min_seats: usize,
    pub deadline: u64,
    /// `None`: a turn lasts as long as it is renewed.
    pub hold_max: Option<u64>,
    pub turn_grace: u64,
    pub seat_grace: u64,
    /// 0 if answers count when they are read.
    pub judging: u64,
    pub proposals: u16,
}

/// The place of a seat in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Its tag, and the number of the tag among all tags given.
    Queued(u128, u64),
    Resting,
    Missed,
    /// It has the turn, or its turn is kept.
    Holding,
    Gone,
}

#[derive(Debug, Clone)]
pub struct Chair {
    pub weight: u64,
    pub always: bool,
    /// Whether its client is connected, or holds the turn and may come back to it.
    pub occupied: bool,
    pub place: Place,
    /// The tick at which its client left.
    away_since: u64,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Answered,
    Passed,
    Lapsed,
    Skipped,
    Gone,
}

/// An event that the scheduler must report as well, in the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Ended(usize, u64, How),
    Granted(usize, u64),
    Retired(usize),
}

#[derive(Debug, Clone, Copy)]
pub struct Turn {
    pub seat: usize,
    pub number: u64,
    /// Whether its holder was told, which starts its clock.
    pub told: bool,
    /// Ticks that its holder may still stay silent.
    pub silent: u64,
    /// Ticks left in total.
    pub hold: u64,
    pub judged: bool,
    pub judging: u64,
    proposals: u16,
    /// Ticks for which the turn still waits for its lost holder.
    pub absent: Option<u64>,
    asks_again: bool,
    raised: bool,
    /// Whether it may last longer than the rules say.
    beyond: bool,
    /// Whether the host named its holder.
    named: bool,
    /// Ticks of this turn that others have to wait for.
    counted: u64,
}

#[derive(Debug, Clone)]
pub struct Oracle {
    pub law: Law,
    pub chairs: Vec<Chair>,
    pub turn: Option<Turn>,
    pub kept: Option<Turn>,
    virtual_time: u128,
    tags: u64,
    turns: u64,
    named: Option<usize>,
    pub paused: bool,
    pub draining: bool,
    tick: u64,
    pub judge: Judge,
    pub log: Vec<Event>,
}

impl Oracle {
    pub fn new(law: Law) -> Oracle {
        Oracle {
            law,
            chairs: Vec::new(),
            turn: None,
            kept: None,
            virtual_time: 0,
            tags: 0,
            turns: 0,
            named: None,
            paused: false,
            draining: false,
            tick: 0,
            judge: Judge::default(),
            log: Vec::new(),
        }
    }

    pub fn occupied(&self) -> usize {
        self.chairs.iter().filter(|chair| chair.occupied).count()
    }

    pub fn has_quorum(&self) -> bool {
        self.occupied() >= self.law.min_seats
    }

    /// Returns the queued seats, smallest tag first.
    pub fn queue(&self) -> Vec<usize> {
        let tag = |seat: &usize| match self.chairs[*seat].place {
            Place::Queued(tag, given) => Some((tag, given)),
            _ => None,
        };
        let mut queue: Vec<usize> = (0..self.chairs.len()).filter(|seat| tag(seat).is_some()).collect();
        queue.sort_by_key(tag);
        queue
    }

    fn holds(&self, seat: usize) -> bool {
        self.turn.is_some_and(|turn| turn.seat == seat)
    }

    /// Returns whether its client is connected.
    pub fn is_here(&self, seat: usize) -> bool {
        let absent = self.turn.is_some_and(|turn| turn.seat == seat && turn.absent.is_some());
        self.chairs[seat].occupied && !absent
    }

    fn begin_to_wait(&mut self, seat: usize) {
        let stood = self.queue().len() as u64;
        let held = self.turn.is_some() || self.kept.is_some();
        self.tags += 1;
        let share = UNIT.div_ceil(u128::from(self.chairs[seat].weight));
        self.chairs[seat].place = Place::Queued(self.virtual_time + share, self.tags);
        self.judge.began(seat, self.chairs[seat].weight, stood, held);
        self.judge.weighs(self.weight());
    }

    /// Returns the total weight of all seats that are queued or hold the turn.
    pub fn weight(&self) -> u64 {
        let stands = |place| matches!(place, Place::Queued(..) | Place::Holding);
        self.chairs.iter().filter(|chair| stands(chair.place)).map(|chair| chair.weight).sum()
    }

    fn stop_waiting(&mut self, seat: usize, place: Place) {
        self.chairs[seat].place = place;
        self.judge.stopped(seat);
        if self.named == Some(seat) {
            self.named = None;
        }
    }

    /// Grants the turn to the next seat, if there is one and a grant is allowed.
    pub fn grant(&mut self) {
        if self.turn.is_some() || self.paused || self.draining || !self.has_quorum() {
            return;
        }
        if let Some(kept) = self.kept.take() {
            if self.chairs[kept.seat].occupied {
                return self.go_on(kept);
            }
            self.put_back(kept.seat, kept.asks_again);
        }
        if let Some(named) = self.named.take()
            && self.chairs[named].occupied
            && matches!(self.chairs[named].place, Place::Queued(..))
        {
            return self.give(named, true);
        }
        for seat in self.queue() {
            if self.chairs[seat].occupied {
                let Place::Queued(tag, _) = self.chairs[seat].place else {
                    unreachable!("it is in the queue")
                };
                self.virtual_time = tag;
                return self.give(seat, false);
            }
            self.stop_waiting(seat, Place::Missed);
        }
    }

    fn give(&mut self, seat: usize, named: bool) {
        self.judge.granted(seat, named);
        self.chairs[seat].place = Place::Holding;
        self.turns += 1;
        let hold = self.law.hold_max.unwrap_or(u64::MAX);
        self.turn = Some(Turn {
            seat,
            number: self.turns,
            told: false,
            silent: self.law.deadline.min(hold),
            hold,
            judged: false,
            judging: self.law.judging,
            proposals: self.law.proposals,
            absent: None,
            asks_again: false,
            raised: false,
            beyond: false,
            named,
            counted: 0,
        });
        self.log.push(Event::Granted(seat, self.turns));
    }

    fn go_on(&mut self, kept: Turn) {
        self.turns += 1;
        let mut turn = Turn { number: self.turns, told: false, ..kept };
        if !kept.raised && turn.silent.min(turn.hold) < KEPT_TICKS_MIN {
            turn.silent = turn.silent.max(KEPT_TICKS_MIN);
            turn.hold = turn.hold.max(KEPT_TICKS_MIN);
            (turn.raised, turn.beyond) = (true, true);
        }
        self.turn = Some(turn);
        self.log.push(Event::Granted(kept.seat, self.turns));
    }

    fn put_back(&mut self, seat: usize, asks_again: bool) {
        if self.chairs[seat].always || asks_again || self.named == Some(seat) {
            self.begin_to_wait(seat);
        } else {
            self.chairs[seat].place = Place::Resting;
        }
    }

    fn end(&mut self, how: How) {
        let turn = self.turn.take().expect("a turn is held");
        self.log.push(Event::Ended(turn.seat, turn.number, how));
        self.put_back(turn.seat, turn.asks_again);
        self.grant();
    }

    /// Ends a turn whose holder may be lost, which makes its seat vacant.
    fn end_present(&mut self, how: How) {
        let turn = self.turn.expect("a turn is held");
        if turn.absent.is_some() {
            self.go_away(turn.seat);
        }
        self.end(how);
    }

    fn go_away(&mut self, seat: usize) {
        self.chairs[seat].occupied = false;
        self.chairs[seat].away_since = self.tick;
        self.judge.interrupted(seat);
    }

    pub fn join(&mut self, weight: u64, always: bool) -> usize {
        let place = Place::Resting;
        self.chairs.push(Chair { weight, always, occupied: true, place, away_since: 0 });
        let seat = self.chairs.len() - 1;
        if always {
            self.begin_to_wait(seat);
        }
        self.grant();
        seat
    }

    pub fn drop(&mut self, seat: usize) {
        let (grace, draining) = (self.law.turn_grace, self.draining);
        if !self.is_here(seat) {
            return;
        }
        match &mut self.turn {
            Some(turn) if turn.seat == seat && (turn.judged || grace > 0 && !draining) => {
                turn.absent = Some(grace);
                turn.told = true;
            }
            _ => self.lose(seat),
        }
    }

    fn lose(&mut self, seat: usize) {
        self.go_away(seat);
        if !self.holds(seat) {
            return;
        }
        if self.has_quorum() || self.draining {
            return self.end(How::Gone);
        }
        let turn = self.turn.take().expect("it holds the turn");
        self.kept = Some(Turn { absent: None, ..turn });
        self.log.push(Event::Ended(seat, turn.number, How::Gone));
    }

    pub fn back(&mut self, seat: usize) {
        if let Some(turn) = &mut self.turn
            && turn.seat == seat
        {
            turn.absent = None;
        }
        if self.chairs[seat].occupied || self.chairs[seat].place == Place::Gone {
            return;
        }
        self.chairs[seat].occupied = true;
        if self.chairs[seat].place == Place::Missed {
            self.begin_to_wait(seat);
        }
        self.grant();
    }

    pub fn leave(&mut self, seat: usize) {
        if let Some(turn) = self.turn
            && turn.seat == seat
        {
            self.turn = None;
            self.log.push(Event::Ended(seat, turn.number, How::Gone));
        }
        self.kept.take_if(|kept| kept.seat == seat);
        self.stop_waiting(seat, Place::Gone);
        self.chairs[seat].occupied = false;
        self.grant();
    }

    pub fn ask(&mut self, seat: usize) {
        match &mut self.turn {
            Some(turn) if turn.seat == seat => turn.asks_again = true,
            _ if self.chairs[seat].place == Place::Resting && self.chairs[seat].occupied => {
                self.begin_to_wait(seat);
                self.grant();
            }
            _ => {}
        }
    }

    /// Returns whether the seat may rest.
    pub fn rest(&mut self, seat: usize) -> bool {
        match self.turn {
            Some(turn) if turn.seat == seat && turn.judged => return false,
            Some(turn) if turn.seat == seat => {
                self.turn = None;
                self.log.push(Event::Ended(seat, turn.number, How::Passed));
                self.stop_waiting(seat, Place::Resting);
                self.grant();
            }
            _ if self.chairs[seat].place == Place::Gone => {}
            _ => {
                self.kept.take_if(|kept| kept.seat == seat);
                self.stop_waiting(seat, Place::Resting);
            }
        }
        true
    }

    /// Tells the holder about its turn.
    pub fn tell(&mut self) {
        if let Some(turn) = &mut self.turn {
            turn.told = true;
        }
    }

    /// Lets the holder answer or pass, without judging.
    pub fn finish(&mut self, how: How) {
        self.end(how);
    }

    /// Returns whether the turn got more time.
    pub fn renew(&mut self) -> bool {
        let deadline = self.law.deadline;
        let turn = self.turn.as_mut().expect("a turn is held");
        let renewed = deadline.min(turn.hold);
        let gains = renewed > turn.silent;
        if gains {
            turn.silent = renewed;
        }
        gains
    }

    pub fn propose(&mut self) {
        self.turn.as_mut().expect("a turn is held").judged = true;
    }

    pub fn accept(&mut self, next: Option<usize>) -> bool {
        if next.is_some_and(|next| !self.name(next)) {
            return false;
        }
        self.end_present(How::Answered);
        true
    }

    pub fn refuse(&mut self) {
        let turn = self.turn.as_mut().expect("a turn is held");
        turn.judged = false;
        turn.proposals = turn.proposals.saturating_sub(1);
        if turn.absent == Some(0) {
            self.end_present(How::Gone);
        } else if turn.proposals == 0 || turn.judging == 0 {
            self.end_present(How::Lapsed);
        }
    }

    pub fn skip(&mut self) -> bool {
        let is_held = self.turn.is_some();
        if is_held {
            self.end_present(How::Skipped);
        }
        is_held
    }

    pub fn name(&mut self, seat: usize) -> bool {
        let waits = matches!(self.chairs[seat].place, Place::Queued(..) | Place::Holding);
        let can = waits && self.is_here(seat);
        if can {
            self.named = Some(seat);
        }
        can
    }

    pub fn extend(&mut self, by: u64) {
        if let Some(turn) = &mut self.turn {
            (turn.silent, turn.hold) = (turn.silent.saturating_add(by), turn.hold.saturating_add(by));
            turn.beyond = true;
        }
    }

    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
        self.grant();
    }

    pub fn change(&mut self, law: Law) {
        for turn in self.turn.iter_mut().chain(&mut self.kept) {
            turn.beyond = true;
            if self.law.judging == 0 {
                (turn.judging, turn.proposals) = (law.judging, law.proposals);
            }
        }
        self.law = law;
        self.grant();
    }

    /// Advances the time by one tick, and ends everything whose time is up.
    pub fn tick(&mut self) {
        self.tick += 1;
        if !self.stands() {
            let waiting = |chair: &Chair| chair.occupied && matches!(chair.place, Place::Queued(..));
            let seats = (0..self.chairs.len()).filter(|&seat| waiting(&self.chairs[seat]));
            self.judge.waited(seats.collect());
            self.turn.iter_mut().for_each(|turn| turn.counted += 1);
        }
        if let Some(turn) = &mut self.turn {
            turn.absent = turn.absent.map(|left| left.saturating_sub(1));
            if turn.judged {
                turn.judging -= 1;
            } else if turn.told && !self.paused {
                turn.silent -= 1;
                turn.hold = if turn.hold == u64::MAX { u64::MAX } else { turn.hold - 1 };
            }
        }
        while self.end_first() {}
    }

    /// Returns whether the waiting time of others is not the fault of any seat.
    fn stands(&self) -> bool {
        let each = self.law.hold_max.map(|hold| hold + self.law.judging);
        let blameless = |turn: Turn| {
            !turn.told || turn.named || turn.beyond && each.is_some_and(|each| turn.counted >= each)
        };
        self.paused || !self.has_quorum() || self.turn.is_some_and(blameless)
    }

    fn end_first(&mut self) -> bool {
        match self.turn {
            Some(turn) if turn.judged && turn.judging == 0 => self.refuse(),
            Some(turn) if turn.told && !turn.judged && !self.paused && turn.silent == 0 => {
                self.end_present(How::Lapsed);
            }
            Some(turn) if !turn.judged && turn.absent == Some(0) => self.lose(turn.seat),
            _ => {
                let is_over = |chair: &Chair| {
                    let is_away = !chair.occupied && chair.place != Place::Gone;
                    is_away && chair.away_since + self.law.seat_grace <= self.tick
                };
                let over = (0..self.chairs.len()).filter(|&seat| is_over(&self.chairs[seat]));
                let Some(seat) = over.min_by_key(|&seat| (self.chairs[seat].away_since, seat)) else {
                    return false;
                };
                self.leave_for_good(seat);
            }
        }
        true
    }

    /// Like the scheduler, reports the grant before the seat.
    fn leave_for_good(&mut self, seat: usize) {
        self.leave(seat);
        self.log.push(Event::Retired(seat));
    }
}
