//! A scheduler in a small world, and its judge: every step is carried out on the scheduler and judged by the
//! judge.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use taketurns::turn::{
    Demand, Ended, Grant, HostError, JoinError, Moved, Outcome, Refusal, Scheduler, SeatId, Weight,
};

use crate::action::{Action, Deed, Fence, Rule};
use crate::judge::{Broken, Judge, Promise, demand};
use crate::laws::Laws;

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    Granted(Grant),
    Ended(Ended),
    Retired(SeatId, u8),
    Refused(Refusal),
    NotJoined(JoinError),
    Restarted,
}

/// The scheduler's reply to a step, in addition to its news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Nothing,
    Joined(SeatId, u8),
    NotJoined(JoinError),
    Acted(Result<u64, Refusal>),
    Hosted(Result<(), HostError>),
    /// Whether anything counted.
    Haunted {
        counts: bool,
    },
}

/// One state of a small world.
#[derive(Debug, Clone)]
pub struct World {
    pub laws: Arc<Laws>,
    pub scheduler: Scheduler<u8>,
    pub judge: Judge,
    pub tick: u32,
    pub connections: u32,
    pub restarts: u32,
    /// The seat that was given up last.
    pub ghost: Option<SeatId>,
    /// The results of the step that led here.
    pub news: Vec<News>,
    pub broken: Option<Broken>,
    key: u64,
}

/// Two worlds are equal if nothing inside them differs, whatever their histories.
impl PartialEq for World {
    fn eq(&self, other: &World) -> bool {
        self.key == other.key && self.broken == other.broken
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.key, self.broken.is_some()).hash(state);
    }
}

impl World {
    /// # Panics
    ///
    /// If the laws are invalid.
    pub fn new(laws: Arc<Laws>) -> World {
        let scheduler = Scheduler::new(laws.config()).expect("laws that make sense");
        let (judge, news) = (Judge::default(), Vec::new());
        let (tick, connections, restarts, ghost, broken, key) = (0, 0, 0, None, None, 0);
        World { laws, scheduler, judge, tick, connections, restarts, ghost, news, broken, key }.keyed()
    }

    /// Adds the key of the contents, without the seat that was given up last and the news, which only a
    /// report shows.
    fn keyed(mut self) -> World {
        self.key = self.digest();
        self
    }

    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.judge, self.tick, self.connections, self.restarts).hash(&mut hasher);
        self.scheduler.digest(Laws::at(self.tick)).hash(&mut hasher);
        hasher.finish()
    }

    /// Adds everything that can happen next.
    pub fn possible(&self, actions: &mut Vec<Action>) {
        if self.broken.is_some() || self.judge.turns() > self.laws.turns {
            return;
        }
        actions.extend(self.moves().into_iter().filter(|&action| !self.is_idle(action)));
        if self.connections < self.laws.connections {
            actions.extend(self.joins());
        }
        actions.push(Action::Trespass);
        actions.extend((self.tick < self.laws.ticks).then_some(Action::Tick));
        actions.extend((!self.judge.draining).then_some(Action::Drain));
        actions.extend((self.restarts < self.laws.restarts).then_some(Action::Restart));
    }

    fn joins(&self) -> Vec<Action> {
        let rings = (0..self.judge.circles.len()).map(Some).chain([None]);
        let kinds = || {
            self.laws.weights.iter().flat_map(|&weight| self.laws.demands.iter().map(move |&it| (weight, it)))
        };
        rings
            .flat_map(|ring| kinds().map(move |(weight, demand)| Action::Join { ring, weight, demand }))
            .collect()
    }

    /// Returns everything that can be tried for the existing seats and rings.
    fn moves(&self) -> Vec<Action> {
        let chairs = 0..self.judge.chairs.len();
        let of_rings = (0..self.judge.circles.len()).flat_map(|at| self.moves_of_ring(at));
        chairs.flat_map(|at| self.moves_of_seat(at)).chain(of_rings).collect()
    }

    fn moves_of_seat(&self, at: usize) -> Vec<Action> {
        let is_here = self.judge.is_here(&self.judge.chairs[at]);
        let mut moves = vec![Action::Leave(at)];
        if is_here || self.connections < self.laws.connections {
            moves.push(Action::Occupy(at));
        }
        if !is_here {
            return moves;
        }
        moves.extend([Action::Vacate(at), Action::Ask(at), Action::Rest(at)]);
        let answer = if self.laws.judging > 0 { Deed::Propose } else { Deed::Answer };
        moves.extend(Fence::ALL.map(|fence| Action::Hold(at, fence, answer)));
        for deed in [Deed::Pass, Deed::Renew] {
            moves.extend([Fence::Current, Fence::Old].map(|fence| Action::Hold(at, fence, deed)));
        }
        moves
    }

    fn moves_of_ring(&self, at: usize) -> Vec<Action> {
        let ring = self.judge.circles[at].ring;
        let of_ring = |other: &usize| self.judge.chairs[*other].seat.ring() == ring;
        let seats: Vec<usize> = (0..self.judge.chairs.len()).filter(of_ring).collect();
        let mut rules = Vec::new();
        if self.laws.judging > 0 {
            rules.extend([Rule::Accept(None), Rule::Refuse]);
            rules.extend(seats.iter().filter(|_| self.laws.hosts).map(|&next| Rule::Accept(Some(next))));
        }
        if self.laws.hosts {
            rules.extend(seats.iter().map(|&next| Rule::Next(next)));
            rules.extend([Rule::Skip, Rule::Pause, Rule::Resume]);
            // Otherwise the number of worlds would be infinite.
            let holder = self.judge.circles[at].holder.as_ref();
            let most = self.laws.hold_max.unwrap_or(u32::MAX);
            let is_short = holder.is_none_or(|it| it.silent <= self.laws.deadline && it.hold <= most);
            rules.extend(is_short.then_some(Rule::Extend));
        }
        let tell = self.laws.tells.then_some(Action::Tell(at));
        rules.into_iter().map(|rule| Action::Host(at, rule)).chain(tell).collect()
    }

    /// Returns whether `action` must be refused, or requests what is already so.
    fn is_idle(&self, action: Action) -> bool {
        let judge = &self.judge;
        let chair = |at: usize| &judge.chairs[at];
        match action {
            Action::Hold(at, fence, deed) => {
                let may = judge.may_act(chair(at).seat, self.named(at, fence));
                may.is_err() || deed == Deed::Renew && !self.gains_time(at)
            }
            Action::Occupy(at) => judge.is_here(chair(at)),
            Action::Vacate(at) => !judge.is_here(chair(at)),
            Action::Ask(at) => {
                let holder =
                    judge.holder(chair(at).seat.ring()).filter(|holder| holder.seat == chair(at).seat);
                chair(at).wants
                    || judge.is_kept(chair(at).seat)
                    || holder.is_some_and(|holder| holder.asks_again)
            }
            Action::Rest(at) => {
                let seat = chair(at).seat;
                let holder = judge.holder(seat.ring()).filter(|holder| holder.seat == seat);
                holder.is_some_and(|holder| holder.judged)
                    || holder.is_none() && !chair(at).wants && !judge.is_kept(seat)
            }
            Action::Tell(at) => {
                judge.circles[at].holder.as_ref().is_none_or(|holder| holder.told || holder.absent.is_some())
            }
            Action::Host(at, rule) => self.is_idle_rule(at, rule),
            Action::Haunt | Action::Trespass => true,
            Action::Join { .. } | Action::Leave(_) | Action::Tick | Action::Drain | Action::Restart => false,
        }
    }

    fn is_idle_rule(&self, at: usize, rule: Rule) -> bool {
        let circle = &self.judge.circles[at];
        let is_judged = circle.holder.as_ref().is_some_and(|holder| holder.judged);
        let can_be_next = |next: usize| self.judge.can_be_next(&self.judge.chairs[next]);
        match rule {
            Rule::Accept(next) => !is_judged || next.is_some_and(|next| !can_be_next(next)),
            Rule::Refuse => !is_judged,
            Rule::Skip | Rule::Extend => circle.holder.is_none(),
            Rule::Next(next) => !can_be_next(next),
            Rule::Pause => circle.paused,
            Rule::Resume => !circle.paused,
        }
    }

    /// Returns the turn that an action of a seat names.
    pub(crate) fn named(&self, at: usize, fence: Fence) -> Option<u64> {
        let circle = self.judge.circle(self.judge.chairs[at].seat.ring());
        // There is no turn 0, so naming it means naming none.
        fence.named(circle.map_or(0, |circle| circle.last_turn)).filter(|&turn| turn > 0)
    }

    pub(crate) fn gains_time(&self, at: usize) -> bool {
        let circle = self.judge.circle(self.judge.chairs[at].seat.ring());
        let holder = circle.and_then(|circle| circle.holder.as_ref());
        holder.is_some_and(|holder| self.laws.deadline.min(holder.hold) > holder.silent)
    }

    /// Returns the world after `action` if it differs, and the results in any case.
    #[must_use]
    pub fn after(&self, action: Action) -> (Option<World>, Vec<News>) {
        let mut next = self.clone();
        next.broken = next.step(action).err();
        let news = next.news.clone();
        let next = next.keyed();
        ((next != *self).then_some(next), news)
    }

    /// Carries out `action` and judges the results.
    ///
    /// # Errors
    ///
    /// The broken promise.
    pub fn step(&mut self, action: Action) -> Result<(), Broken> {
        self.news.clear();
        match action {
            Action::Trespass => self.trespass(),
            Action::Restart => self.restart(),
            action => self.advance(action),
        }
    }

    /// Tries all of them at once, because none of them changes anything.
    fn trespass(&mut self) -> Result<(), Broken> {
        let digest = self.digest();
        let idle = self.moves().into_iter().chain([Action::Haunt]);
        let idle: Vec<_> = idle.filter(|&action| self.is_idle(action)).collect();
        for &action in &idle {
            let before = self.judge.clone();
            let (said, news) = self.act(action);
            let named = |broken: Broken| Broken { seen: format!("{action:?}: {}", broken.seen), ..broken };
            self.judge_said(action, said, &before).map_err(named)?;
            demand(Promise::RefusedChangesNothing, news.is_empty(), || format!("{action:?}: {news:?}"))?;
        }
        let is_same = self.digest() == digest;
        demand(Promise::RefusedChangesNothing, is_same, || format!("one of {idle:?}"))
    }

    fn advance(&mut self, action: Action) -> Result<(), Broken> {
        let before = self.judge.clone();
        let digest = self.is_idle(action).then(|| self.digest());
        let (said, news) = self.act(action);
        self.judge_said(action, said, &before)?;
        self.judge_news(action, &news, &before)?;
        if let Some(digest) = digest {
            let is_same = news.is_empty() && self.digest() == digest;
            demand(Promise::RefusedChangesNothing, is_same, || format!("{said:?}, and {news:?}"))?;
        }
        self.news.extend(news);
        if !self.laws.tells {
            self.tell_all();
        }
        self.judge_state()
    }

    fn tell_all(&mut self) {
        for at in 0..self.judge.circles.len() {
            if !self.is_idle(Action::Tell(at)) {
                self.tell(at);
                self.judge.told(at);
            }
        }
    }

    fn act(&mut self, action: Action) -> (Said, Vec<News>) {
        let now = Laws::at(self.tick);
        let seat = |at: usize| self.judge.chairs[at].seat;
        let moved = match action {
            Action::Join { ring, weight, demand } => return self.join(ring, weight, demand),
            Action::Occupy(at) => {
                self.connections += u32::from(!self.judge.is_here(&self.judge.chairs[at]));
                self.scheduler.occupy(now, seat(at))
            }
            Action::Vacate(at) => self.scheduler.vacate(now, seat(at)),
            Action::Leave(at) => {
                let seat = seat(at);
                let Some((moved, name)) = self.scheduler.retire(now, seat) else {
                    return (Said::Nothing, vec![]);
                };
                let mut news = news_of(moved);
                let granted = news.pop_if(|news| matches!(news, News::Granted(_)));
                news.push(News::Retired(seat, name));
                news.extend(granted);
                return (Said::Nothing, news);
            }
            Action::Ask(at) => self.scheduler.ask(now, seat(at)),
            Action::Rest(at) => match self.scheduler.rest(now, seat(at)) {
                Ok(moved) => moved,
                Err(refusal) => return (Said::Acted(Err(refusal)), vec![]),
            },
            Action::Hold(at, fence, deed) => return self.hold(at, fence, deed),
            Action::Tell(at) => {
                self.tell(at);
                Moved::NOTHING
            }
            Action::Host(at, rule) => {
                let (hosted, moved) = match self.host(at, rule) {
                    Ok(moved) => (Ok(()), moved),
                    Err(error) => (Err(error), Moved::NOTHING),
                };
                return (Said::Hosted(hosted), news_of(moved));
            }
            Action::Haunt => return (self.haunt(), vec![]),
            Action::Trespass | Action::Restart => Moved::NOTHING,
            Action::Tick => return (Said::Nothing, self.pass_time()),
            Action::Drain => {
                self.scheduler.drain();
                Moved::NOTHING
            }
        };
        (Said::Nothing, news_of(moved))
    }

    fn join(&mut self, ring: Option<usize>, weight: u8, demand: Demand) -> (Said, Vec<News>) {
        let now = Laws::at(self.tick);
        let weight = Weight::new(weight).expect("worlds have weights from 1 to 100");
        let name = self.free_name();
        let ring = match ring {
            Some(at) => self.judge.circles[at].ring,
            None => match self.scheduler.make_ring(now, self.laws.rules()) {
                Ok(ring) => ring,
                Err(error) => return (Said::NotJoined(error), vec![]),
            },
        };
        match self.scheduler.join(now, ring, weight, demand, name) {
            Ok((seat, moved)) => {
                self.connections += 1;
                (Said::Joined(seat, name), news_of(moved))
            }
            Err(error) => {
                self.scheduler.forget_unused(ring);
                (Said::NotJoined(error), vec![])
            }
        }
    }

    fn free_name(&self) -> u8 {
        let is_free = |name: &u8| !self.judge.chairs.iter().any(|chair| chair.name == *name);
        (0..=u8::MAX).find(is_free).expect("fewer seats than names")
    }

    fn hold(&mut self, at: usize, fence: Fence, deed: Deed) -> (Said, Vec<News>) {
        let (fence, now) = (self.named(at, fence), Laws::at(self.tick));
        let holding = match self.scheduler.holding(self.judge.chairs[at].seat, fence) {
            Ok(holding) => holding,
            Err(refusal) => return (Said::Acted(Err(refusal)), vec![]),
        };
        let turn = holding.turn().get();
        let (acted, moved) = match deed {
            Deed::Answer => (Ok(turn), holding.end(now, Outcome::Answered)),
            Deed::Pass => (Ok(turn), holding.end(now, Outcome::Passed)),
            Deed::Renew => (holding.renew(now).map(|_| turn), Moved::NOTHING),
            Deed::Propose => (holding.judge(now).map(|_| turn).ok_or(Refusal::NotYourTurn), Moved::NOTHING),
        };
        (Said::Acted(acted), news_of(moved))
    }

    fn tell(&mut self, at: usize) {
        let now = Laws::at(self.tick);
        if let Some(held) = self.scheduler.held(self.judge.circles[at].ring) {
            self.scheduler.start(now, held.seat, held.turn);
        }
    }

    fn host(&mut self, at: usize, rule: Rule) -> Result<Moved, HostError> {
        let (ring, now) = (self.judge.circles[at].ring, Laws::at(self.tick));
        let held = self.scheduler.held(ring).ok_or(HostError::NotJudged);
        match rule {
            Rule::Accept(next) => {
                let next = next.map(|next| self.judge.chairs[next].seat);
                held.and_then(|held| self.scheduler.judged(held.seat, held.turn)?.accept(now, next))
            }
            Rule::Refuse => {
                held.and_then(|held| Ok(self.scheduler.judged(held.seat, held.turn)?.refuse(now)))
            }
            Rule::Skip => self.scheduler.skip(now, ring),
            Rule::Next(next) => {
                self.scheduler.name_next(self.judge.chairs[next].seat).map(|()| Moved::NOTHING)
            }
            Rule::Extend => {
                self.scheduler.extend(now, ring, Laws::at(1) - Laws::at(0)).map(|_| Moved::NOTHING)
            }
            Rule::Pause => self.scheduler.pause(now, ring).map(|()| Moved::NOTHING),
            Rule::Resume => self.scheduler.resume(now, ring),
        }
    }

    /// Tries everything that a client might request that does not know yet that its seat is gone.
    fn haunt(&mut self) -> Said {
        let (Some(ghost), now) = (self.ghost, Laws::at(self.tick)) else { return Said::Nothing };
        let counts = self.scheduler.holding(ghost, None).is_ok()
            || self.scheduler.holding(ghost, Some(self.judge.turns())).is_ok()
            || self.scheduler.rest(now, ghost).is_ok()
            || self.scheduler.name_next(ghost).is_ok()
            || self.scheduler.retire(now, ghost).is_some();
        let moved = [
            self.scheduler.occupy(now, ghost),
            self.scheduler.vacate(now, ghost),
            self.scheduler.ask(now, ghost),
        ];
        Said::Haunted { counts: counts || moved.iter().any(|moved| !moved.is_nothing()) }
    }

    /// Calls the scheduler at its own deadline and not before, like a driver.
    fn pass_time(&mut self) -> Vec<News> {
        self.tick += 1;
        self.judge.pass_time();
        let now = Laws::at(self.tick);
        let mut news = Vec::new();
        if self.scheduler.next_deadline().is_none_or(|due| due > now) {
            return news;
        }
        while let Some(expired) = self.scheduler.poll_expired(now) {
            let mut moved = news_of(expired.moved);
            let granted = moved.pop_if(|news| matches!(news, News::Granted(_)));
            news.extend(moved);
            news.extend(expired.retired.map(|(seat, name)| News::Retired(seat, name)));
            news.extend(granted);
        }
        while self.scheduler.poll_missed().is_some() {}
        news
    }
}

fn news_of(moved: Moved) -> Vec<News> {
    let ended = moved.ended.map(News::Ended);
    ended.into_iter().chain(moved.granted.map(News::Granted)).collect()
}
