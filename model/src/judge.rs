//! The promises, kept by somebody who sees nothing but what goes into a scheduler and what comes out.
//!
//! What lives here is what *should* be. No rule is taken from the scheduler's code: who holds the turn is whom the outputs
//! named, and how long somebody may wait is what the documentation says.

use taketurns::turn::{Ended, Grant, Outcome, Refusal, RingId, SeatId};

use crate::action::Fence;
use crate::laws::Laws;

/// A promise, for the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    Invariants,
    OneHolder,
    TurnsGrow,
    AnswersCountOnce,
    RefusedChangesNothing,
    NothingWithheld,
    TurnsEnd,
    PlacesAreKept,
    WaitsAreBounded,
    GettersAgree,
}

/// A promise that was not kept: which, and what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub rule: Rule,
    pub seen: String,
}

/// Fails with `rule` unless `kept`.
pub(crate) fn demand(rule: Rule, kept: bool, seen: impl FnOnce() -> String) -> Result<(), Broken> {
    if kept { Ok(()) } else { Err(Broken { rule, seen: seen() }) }
}

/// A seat, as one knows it who has watched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Chair {
    pub seat: SeatId,
    pub name: u8,
    pub weight: u8,
    /// Since which tick it is vacant.
    pub vacant_since: Option<u32>,
    /// The last turn that it answered, and with what.
    pub last: Option<(u64, i64)>,
    /// Until which tick a grant is held back.
    pub held_back: Option<u32>,
    /// While it waits: how many turns others may still have before it.
    pub patience: Option<i32>,
}

/// The turn, as the outputs told it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder {
    pub seat: SeatId,
    pub turn: u64,
    /// The tick at which it lapses.
    pub deadline: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Circle {
    pub ring: RingId,
    pub holder: Option<Holder>,
    pub last_turn: u64,
}

/// All that was ever seen, as far as it matters from now on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Judge {
    pub chairs: Vec<Chair>,
    pub circles: Vec<Circle>,
    /// The highest turn of all rings that are gone.
    pub floor: u64,
    pub draining: bool,
}

impl Judge {
    pub fn chair(&self, seat: SeatId) -> Option<&Chair> {
        self.chairs.iter().find(|chair| chair.seat == seat)
    }

    fn chair_mut(&mut self, seat: SeatId) -> Option<&mut Chair> {
        self.chairs.iter_mut().find(|chair| chair.seat == seat)
    }

    pub fn circle(&self, ring: RingId) -> Option<&Circle> {
        self.circles.iter().find(|circle| circle.ring == ring)
    }

    pub fn holder(&self, ring: RingId) -> Option<&Holder> {
        self.circle(ring)?.holder.as_ref()
    }

    /// The chairs of `ring` that somebody sits on.
    pub fn occupied(&self, ring: RingId) -> impl Iterator<Item = &Chair> {
        self.chairs.iter().filter(move |chair| chair.seat.ring() == ring && chair.vacant_since.is_none())
    }

    /// Whether a turn of `ring` must be held.
    pub fn plays(&self, ring: RingId, laws: &Laws) -> bool {
        !self.draining && self.occupied(ring).count() >= laws.min_seats
    }

    /// The sum of the weights of the chairs that somebody sits on.
    pub fn weight(&self, ring: RingId) -> i32 {
        self.occupied(ring).map(|chair| i32::from(chair.weight)).sum()
    }

    pub fn turns(&self) -> u64 {
        self.circles.iter().map(|circle| circle.last_turn).max().unwrap_or(0).max(self.floor)
    }

    /// The turn that a seat's answer names, and the number that it brings.
    pub fn named(&self, at: usize, fence: Fence) -> (Option<u64>, i64) {
        let chair = &self.chairs[at];
        let current = self.circle(chair.seat.ring()).map_or(0, |circle| circle.last_turn);
        let (last, number) = chair.last.unwrap_or((0, 0));
        let fresh = i64::try_from(current).expect("few turns");
        let (turn, number) = match fence {
            Fence::None => (None, fresh),
            Fence::Current => (Some(current), fresh),
            Fence::Old => (Some(current.saturating_sub(1)), fresh),
            Fence::Next => (Some(current + 1), fresh),
            Fence::Again => (Some(last), number),
            Fence::Changed => (Some(last), number + 1),
        };
        // There is no turn 0: who would name it says nothing.
        (turn.filter(|&turn| turn > 0), number)
    }

    /// What has to become of a fenced or unfenced move of `seat`: the turn that it ends, or why it ends none.
    pub fn may_end(&self, seat: SeatId, fence: Option<u64>) -> Result<u64, Refusal> {
        let holder = self.holder(seat.ring());
        if fence.is_some() && fence != holder.map(|holder| holder.turn) {
            return Err(Refusal::StaleTurn);
        }
        holder.filter(|holder| holder.seat == seat).map(|holder| holder.turn).ok_or(Refusal::NotYourTurn)
    }

    // What happened.

    pub fn joined(&mut self, seat: SeatId, name: u8, weight: u8) -> Result<(), Broken> {
        demand(Rule::GettersAgree, self.chair(seat).is_none(), || format!("{seat} exists already"))?;
        let (vacant_since, last, held_back, patience) = (None, None, None, None);
        self.chairs.push(Chair { seat, name, weight, vacant_since, last, held_back, patience });
        if self.circle(seat.ring()).is_none() {
            self.circles.push(Circle { ring: seat.ring(), holder: None, last_turn: self.floor });
        }
        Ok(())
    }

    pub fn occupied_again(&mut self, seat: SeatId) {
        if let Some(chair) = self.chair_mut(seat) {
            chair.vacant_since = None;
        }
    }

    pub fn vacated(&mut self, seat: SeatId, tick: u32) {
        if let Some(chair) = self.chair_mut(seat)
            && chair.vacant_since.is_none()
        {
            (chair.vacant_since, chair.held_back, chair.patience) = (Some(tick), None, None);
        }
    }

    pub fn held_back(&mut self, seat: SeatId, until: u32) {
        if let Some(chair) = self.chair_mut(seat) {
            chair.held_back = Some(until);
        }
    }

    // What the scheduler says.

    /// A turn ended: it must be the one that is held, and its holder's.
    pub fn ended(&mut self, ended: &Ended) -> Result<(), Broken> {
        let &Ended { seat, turn, outcome } = ended;
        let circle = self.circles.iter_mut().find(|circle| circle.ring == seat.ring());
        let holder = circle.and_then(|circle| circle.holder.take());
        let is_held = holder.is_some_and(|holder| (holder.seat, holder.turn) == (seat, turn.get()));
        demand(Rule::OneHolder, is_held, || format!("{ended:?} was not held"))?;
        if let (Outcome::Answered(number), Some(chair)) = (outcome, self.chair_mut(seat)) {
            chair.last = Some((turn.get(), number));
        }
        Ok(())
    }

    /// A turn began: nobody may hold one, its number is new, and its seat somebody's.
    pub fn granted(&mut self, grant: &Grant, tick: u32, laws: &Laws) -> Result<(), Broken> {
        let ring = grant.seat.ring();
        let plays = self.plays(ring, laws);
        demand(Rule::OneHolder, plays, || format!("{grant:?} in a ring that has to stand still"))?;
        let chair = self.chair(grant.seat).filter(|chair| chair.vacant_since.is_none());
        let chair =
            chair.ok_or_else(|| Broken { rule: Rule::OneHolder, seen: format!("{grant:?} to nobody") })?;
        let release = chair.held_back.map_or(tick, |until| until.max(tick));
        let deadline = release + laws.deadline;
        let times = (Laws::at(release), Laws::at(deadline)) == (grant.release, grant.deadline);
        demand(Rule::TurnsEnd, times, || format!("{grant:?} is not until tick {deadline}"))?;
        self.hold(grant, deadline)
    }

    fn hold(&mut self, grant: &Grant, deadline: u32) -> Result<(), Broken> {
        let (seat, turn) = (grant.seat, grant.turn.get());
        for circle in self.circles.iter_mut().filter(|circle| circle.ring == seat.ring()) {
            demand(Rule::OneHolder, circle.holder.is_none(), || format!("{grant:?} beside {circle:?}"))?;
            demand(Rule::TurnsGrow, turn > circle.last_turn, || format!("{grant:?} after {circle:?}"))?;
            circle.last_turn = turn;
            circle.holder = Some(Holder { seat, turn, deadline });
        }
        for chair in self.chairs.iter_mut().filter(|chair| chair.seat.ring() == seat.ring()) {
            chair.patience = match chair.patience {
                _ if chair.seat == seat => None,
                patience => patience.map(|turns| turns - 1),
            };
        }
        Ok(())
    }

    /// A seat left its ring, and the ring with its last one.
    pub fn retired(&mut self, seat: SeatId, name: u8) -> Result<Chair, Broken> {
        let at = self.chairs.iter().position(|chair| chair.seat == seat && chair.name == name);
        let at = at.ok_or_else(|| Broken {
            rule: Rule::PlacesAreKept,
            seen: format!("{seat} of {name} is gone, and was never there"),
        })?;
        let chair = self.chairs.remove(at);
        if !self.chairs.iter().any(|other| other.seat.ring() == seat.ring()) {
            let last = self.circle(seat.ring()).map_or(0, |circle| circle.last_turn);
            self.floor = self.floor.max(last);
            self.circles.retain(|circle| circle.ring != seat.ring());
        }
        Ok(chair)
    }

    // How long they wait.

    /// The bound on waiting, in turns: the weights of the others when a wait began, and of those who sat down meanwhile.
    pub fn count_waits(&mut self, sat_down: Option<SeatId>) -> Result<(), Broken> {
        let newcomer = sat_down.and_then(|seat| self.chair(seat)).map(|chair| (chair.seat, chair.weight));
        let weights: Vec<(RingId, i32, Option<SeatId>)> = self
            .circles
            .iter()
            .map(|circle| circle.ring)
            .map(|ring| (ring, self.weight(ring), self.holder(ring).map(|holder| holder.seat)))
            .collect();
        for chair in &mut self.chairs {
            let Some(&(ring, weight, holder)) = weights.iter().find(|entry| entry.0 == chair.seat.ring())
            else {
                continue;
            };
            let waits = chair.vacant_since.is_none() && holder != Some(chair.seat);
            chair.patience = match chair.patience {
                _ if !waits => None,
                None => Some(weight - i32::from(chair.weight) - i32::from(holder.is_some())),
                Some(turns) => {
                    let joined = newcomer.filter(|&(seat, _)| seat != chair.seat && seat.ring() == ring);
                    Some(turns + joined.map_or(0, |(_, weight)| i32::from(weight)))
                }
            };
            demand(Rule::WaitsAreBounded, chair.patience.is_none_or(|turns| turns >= 0), || {
                format!("{} has waited for more turns than the others' weights", chair.seat)
            })?;
        }
        Ok(())
    }
}
