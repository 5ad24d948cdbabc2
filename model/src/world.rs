//! A scheduler in a small world, and the judge beside it: every step is carried out on the first, and judged by the second.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use taketurns::turn::{JoinError, Outcome, Output, Refusal, Scheduler, SeatId, Taken, TurnNumber, Weight};

use crate::action::{Action, Fence};
use crate::judge::{Broken, Judge, Rule, demand};
use crate::laws::Laws;

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    Granted {
        name: u8,
        turn: u64,
    },
    Ended {
        name: u8,
        turn: u64,
        outcome: Outcome,
    },
    Retired {
        name: u8,
    },
    /// A vacant seat had to make room.
    Evicted {
        name: u8,
    },
    Repeated {
        name: u8,
    },
    Refused(Refusal),
    NotJoined(JoinError),
    Paused,
    Drained,
}

/// What the scheduler said to a step, beside its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Nothing,
    Joined(SeatId, u8),
    NotJoined(JoinError),
    Taken(Result<Taken, Refusal>),
    Passed(Result<TurnNumber, Refusal>),
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
    /// The seat that was last given up.
    pub ghost: Option<SeatId>,
    /// What came of the step that led here.
    pub news: Vec<News>,
    pub broken: Option<Broken>,
    key: u64,
}

/// Two worlds are the same if nothing inside them differs, whatever led there.
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
    pub fn new(laws: Arc<Laws>) -> World {
        let scheduler = Scheduler::new(laws.config());
        let (judge, news) = (Judge::default(), Vec::new());
        let (tick, connections, ghost, broken, key) = (0, 0, None, None, 0);
        World { laws, scheduler, judge, tick, connections, ghost, news, broken, key }.keyed()
    }

    /// With the key of what is inside. What only a report would show is left out: the seat that was last given up, and the news.
    fn keyed(mut self) -> World {
        self.key = self.digest();
        self
    }

    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.judge, self.tick, self.connections).hash(&mut hasher);
        self.scheduler.digest(Laws::at(self.tick)).hash(&mut hasher);
        hasher.finish()
    }

    /// Everything that can happen next.
    pub fn possible(&self, actions: &mut Vec<Action>) {
        if self.broken.is_some() || self.judge.turns() > self.laws.turns {
            return;
        }
        for at in 0..self.judge.chairs.len() {
            actions.extend(self.moves_of(at).filter(|&action| !self.is_idle(action)));
        }
        if self.connections < self.laws.connections {
            actions.extend(self.joins());
        }
        actions.push(Action::Trespass);
        actions.extend((self.tick < self.laws.ticks).then_some(Action::Tick));
        actions.extend((!self.judge.draining).then_some(Action::Drain));
    }

    fn joins(&self) -> impl Iterator<Item = Action> {
        let rings = (0..self.judge.circles.len()).map(Some).chain([None]);
        rings.flat_map(|ring| self.laws.weights.iter().map(move |&weight| Action::Join { ring, weight }))
    }

    /// Everything that can be tried for a seat.
    fn moves_of(&self, at: usize) -> impl Iterator<Item = Action> {
        let is_vacant = self.judge.chairs[at].vacant_since.is_some();
        let occupy = (!is_vacant || self.connections < self.laws.connections).then_some(Action::Occupy(at));
        let is_held_back = self.judge.chairs[at].held_back.is_some_and(|until| until > self.tick);
        let holds_back = self.laws.holds_back && !is_vacant && !is_held_back;
        let hold_back = holds_back.then_some(Action::HoldBack(at));
        let answers = Fence::OF_ANSWERS.map(|fence| Action::Answer(at, fence));
        let passes = Fence::OF_PASSES.map(|fence| Action::Pass(at, fence));
        let others = [Action::Vacate(at), Action::Leave(at)].into_iter().chain(occupy).chain(hold_back);
        others.chain(answers).chain(passes)
    }

    /// Whether `action` has to be refused, or asks for what is so already.
    fn is_idle(&self, action: Action) -> bool {
        let judge = &self.judge;
        match action {
            Action::Answer(at, fence) | Action::Pass(at, fence) => {
                judge.may_end(judge.chairs[at].seat, judge.named(at, fence).0).is_err()
            }
            Action::Occupy(at) => judge.chairs[at].vacant_since.is_none(),
            Action::Vacate(at) => judge.chairs[at].vacant_since.is_some(),
            Action::Haunt | Action::Trespass => true,
            _ => false,
        }
    }

    /// The world after `action`, if it is another one, and what came of it in any case.
    #[must_use]
    pub fn after(&self, action: Action) -> (Option<World>, Vec<News>) {
        let mut next = self.clone();
        next.broken = next.step(action).err();
        let news = next.news.clone();
        let next = next.keyed();
        ((next != *self).then_some(next), news)
    }

    /// Carries `action` out and judges what comes of it.
    ///
    /// # Errors
    ///
    /// The promise that was not kept.
    pub fn step(&mut self, action: Action) -> Result<(), Broken> {
        self.news.clear();
        match action {
            Action::Trespass => self.trespass(),
            action => self.advance(action),
        }
    }

    /// All at once, since none of it changes anything.
    fn trespass(&mut self) -> Result<(), Broken> {
        let (before, digest) = (self.judge.clone(), self.digest());
        let idle = (0..before.chairs.len()).flat_map(|at| self.moves_of(at)).chain([Action::Haunt]);
        let idle: Vec<_> = idle.filter(|&action| self.is_idle(action)).collect();
        for &action in &idle {
            let said = self.act(action);
            let named = |broken: Broken| Broken { seen: format!("{action:?}: {}", broken.seen), ..broken };
            self.judge_said(action, said, &before).map_err(named)?;
        }
        let same = self.scheduler.poll_output().is_none() && self.digest() == digest;
        demand(Rule::RefusedChangesNothing, same, || format!("one of {idle:?}"))
    }

    fn advance(&mut self, action: Action) -> Result<(), Broken> {
        let before = self.judge.clone();
        let digest = self.is_idle(action).then(|| self.digest());
        let said = self.act(action);
        let outputs = std::iter::from_fn(|| self.scheduler.poll_output()).collect::<Vec<_>>();
        // Who makes room for a newcomer is gone before it sits down.
        let makes_room =
            |output: &Output<u8>| matches!((said, output), (Said::Joined(..), Output::Retired { .. }));
        let (room, outputs): (Vec<_>, Vec<_>) = outputs.into_iter().partition(makes_room);
        for output in &room {
            self.judge_output(action, output, &before)?;
        }
        self.judge_said(action, said, &before)?;
        for output in &outputs {
            self.judge_output(action, output, &before)?;
        }
        self.judge.count_waits(self.sat_down(action, said, &before))?;
        if let Some(digest) = digest {
            let same = outputs.is_empty() && self.digest() == digest;
            demand(Rule::RefusedChangesNothing, same, || format!("{said:?}, and {outputs:?}"))?;
        }
        if matches!(said, Said::NotJoined(error) if error != JoinError::UnknownRing) {
            let same = outputs.is_empty();
            demand(Rule::RefusedChangesNothing, same, || format!("{said:?}, and {outputs:?}"))?;
        }
        self.judge_state()
    }

    // What is done.

    fn act(&mut self, action: Action) -> Said {
        let now = Laws::at(self.tick);
        match action {
            Action::Join { ring, weight } => return self.join(ring, weight),
            Action::Occupy(at) => {
                let chair = &self.judge.chairs[at];
                self.connections += u32::from(chair.vacant_since.is_some());
                self.scheduler.occupy(now, chair.seat);
            }
            Action::Vacate(at) => self.scheduler.vacate(now, self.judge.chairs[at].seat),
            Action::Leave(at) => self.scheduler.leave(now, self.judge.chairs[at].seat),
            Action::Answer(at, fence) => return self.answer(at, fence),
            Action::Pass(at, fence) => {
                let (fence, _) = self.judge.named(at, fence);
                let seat = self.judge.chairs[at].seat;
                return Said::Passed(self.scheduler.pass(now, seat, fence.and_then(TurnNumber::new)));
            }
            Action::HoldBack(at) => {
                let until = Laws::at(self.tick + 1);
                self.scheduler.hold_back(now, self.judge.chairs[at].seat, until);
            }
            Action::Haunt => return self.haunt(),
            Action::Trespass => {}
            Action::Tick => self.pass_time(),
            Action::Drain => self.scheduler.drain(now),
        }
        Said::Nothing
    }

    fn join(&mut self, ring: Option<usize>, weight: u8) -> Said {
        let now = Laws::at(self.tick);
        let weight = Weight::new(weight).expect("worlds have weights from 1 to 100");
        let name = self.free_name();
        let joined = match ring {
            Some(at) => self.scheduler.join(now, self.judge.circles[at].ring, weight, name),
            None => self.scheduler.join_new_ring(now, weight, name),
        };
        self.connections += u32::from(joined.is_ok());
        joined.map_or_else(Said::NotJoined, |seat| Said::Joined(seat, name))
    }

    fn free_name(&self) -> u8 {
        let is_free = |name: &u8| !self.judge.chairs.iter().any(|chair| chair.name == *name);
        (0..=u8::MAX).find(is_free).expect("fewer seats than names")
    }

    fn answer(&mut self, at: usize, fence: Fence) -> Said {
        let (fence, number) = self.judge.named(at, fence);
        let seat = self.judge.chairs[at].seat;
        let now = Laws::at(self.tick);
        Said::Taken(self.scheduler.answer(now, seat, fence.and_then(TurnNumber::new), number))
    }

    /// All that somebody might ask who does not know yet that the seat is gone.
    fn haunt(&mut self) -> Said {
        let (Some(ghost), now) = (self.ghost, Laws::at(self.tick)) else { return Said::Nothing };
        let turn = TurnNumber::new(self.judge.turns());
        let counts = self.scheduler.answer(now, ghost, None, 1).is_ok()
            || self.scheduler.answer(now, ghost, turn, 1).is_ok()
            || self.scheduler.pass(now, ghost, None).is_ok();
        self.scheduler.occupy(now, ghost);
        self.scheduler.vacate(now, ghost);
        self.scheduler.leave(now, ghost);
        self.scheduler.hold_back(now, ghost, Laws::at(self.tick + 1));
        Said::Haunted { counts }
    }

    /// As a driver does: the scheduler is called at its own deadline, and not before.
    fn pass_time(&mut self) {
        self.tick += 1;
        let now = Laws::at(self.tick);
        if self.scheduler.next_deadline().is_some_and(|due| due <= now) {
            self.scheduler.handle_timeout(now);
        }
    }
}
