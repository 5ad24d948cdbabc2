//! The promises, checked by a watcher that sees only the inputs and outputs of a scheduler.
//!
//! The judge holds the state that *should* be. It takes no rule from the scheduler's code, and there are no
//! tags: the holder is the seat that the outputs named, and how long a seat may wait is stated in the
//! documentation.

use taketurns::turn::{Ended, Grant, Outcome, Refusal, RingId, SeatId};

use crate::laws::Laws;

/// A promise, for the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
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

/// A broken promise, and the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub promise: Promise,
    pub seen: String,
}

/// Fails with `promise` unless `kept`.
pub(crate) fn demand(promise: Promise, kept: bool, seen: impl FnOnce() -> String) -> Result<(), Broken> {
    if kept { Ok(()) } else { Err(Broken { promise, seen: seen() }) }
}

/// The part of a wait that still matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wait {
    /// Turns of others since it began, minus the others that may have been queued then.
    pub turns: i32,
    /// The greatest weight of others that may have been queued or held the turn at the same time; 0 with
    /// equal weights.
    pub heaviest: u32,
}

/// A seat, as a watcher knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Chair {
    pub seat: SeatId,
    pub name: u8,
    pub weight: u8,
    pub always: bool,
    /// The tick since which its client is away.
    pub away_since: Option<u32>,
    /// Whether it wants the turn and does not have it. A seat that is away may have missed its turn.
    pub wants: bool,
    /// The wait so far, while it waits.
    pub wait: Option<Wait>,
}

/// A turn, as reported by the outputs. Times are the remaining ticks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder {
    pub seat: SeatId,
    pub turn: u64,
    pub told: bool,
    pub silent: u32,
    pub hold: u32,
    pub judged: bool,
    pub judging: u32,
    pub proposals: u16,
    /// Ticks for which the turn still waits for its lost client.
    pub absent: Option<u32>,
    pub asks_again: bool,
    pub raised: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Circle {
    pub ring: RingId,
    pub holder: Option<Holder>,
    /// A turn whose holder was lost below quorum.
    pub kept: Option<Holder>,
    /// The host's choice for the next turn.
    pub named: Option<SeatId>,
    pub paused: bool,
    pub last_turn: u64,
}

/// Everything ever seen, as far as it still matters.
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

    pub fn chair_mut(&mut self, seat: SeatId) -> Option<&mut Chair> {
        self.chairs.iter_mut().find(|chair| chair.seat == seat)
    }

    pub fn circle(&self, ring: RingId) -> Option<&Circle> {
        self.circles.iter().find(|circle| circle.ring == ring)
    }

    pub fn circle_mut(&mut self, ring: RingId) -> Option<&mut Circle> {
        self.circles.iter_mut().find(|circle| circle.ring == ring)
    }

    pub fn holder(&self, ring: RingId) -> Option<&Holder> {
        self.circle(ring)?.holder.as_ref()
    }

    pub fn holder_mut(&mut self, ring: RingId) -> Option<&mut Holder> {
        self.circle_mut(ring)?.holder.as_mut()
    }

    pub fn holds(&self, seat: SeatId) -> bool {
        self.holder(seat.ring()).is_some_and(|holder| holder.seat == seat)
    }

    pub fn is_kept(&self, seat: SeatId) -> bool {
        let kept = self.circle(seat.ring()).and_then(|circle| circle.kept.as_ref());
        kept.is_some_and(|kept| kept.seat == seat)
    }

    /// Returns whether the client of a chair is connected.
    pub fn is_here(&self, chair: &Chair) -> bool {
        let holder = self.holder(chair.seat.ring()).filter(|holder| holder.seat == chair.seat);
        chair.away_since.is_none() && holder.is_none_or(|holder| holder.absent.is_none())
    }

    pub fn occupied(&self, ring: RingId) -> usize {
        let occupied = |chair: &&Chair| chair.seat.ring() == ring && chair.away_since.is_none();
        self.chairs.iter().filter(occupied).count()
    }

    pub fn has_quorum(&self, ring: RingId, laws: &Laws) -> bool {
        self.occupied(ring) >= laws.min_seats
    }

    /// Returns whether turns of `ring` may be granted.
    pub fn plays(&self, ring: RingId, laws: &Laws) -> bool {
        let is_paused = self.circle(ring).is_some_and(|circle| circle.paused);
        !self.draining && !is_paused && self.has_quorum(ring, laws)
    }

    pub fn turns(&self) -> u64 {
        self.circles.iter().map(|circle| circle.last_turn).max().unwrap_or(0).max(self.floor)
    }

    /// Returns the turn that an action of `seat` is about, with or without a fence, or the reason why it must
    /// be refused.
    pub fn may_act(&self, seat: SeatId, fence: Option<u64>) -> Result<u64, Refusal> {
        let holder = self.holder(seat.ring()).filter(|holder| holder.told);
        if fence.is_some() && fence != holder.map(|holder| holder.turn) {
            return Err(Refusal::StaleTurn);
        }
        match holder.filter(|holder| holder.seat == seat) {
            Some(holder) if holder.judged => Err(Refusal::Judging),
            Some(holder) => Ok(holder.turn),
            None => Err(Refusal::NotYourTurn),
        }
    }

    /// Returns whether the host may name `chair` next.
    pub fn can_be_next(&self, chair: &Chair) -> bool {
        self.is_here(chair) && (chair.wants || self.holds(chair.seat) || self.is_kept(chair.seat))
    }

    // Records of events.

    pub fn joined(&mut self, seat: SeatId, chair: Chair) -> Result<(), Broken> {
        demand(Promise::GettersAgree, self.chair(seat).is_none(), || format!("{seat} exists already"))?;
        let always = chair.always;
        self.chairs.push(chair);
        if self.circle(seat.ring()).is_none() {
            let (ring, last_turn) = (seat.ring(), self.floor);
            self.circles.push(Circle {
                ring,
                holder: None,
                kept: None,
                named: None,
                paused: false,
                last_turn,
            });
        }
        if always {
            self.begins_to_want(seat);
        }
        Ok(())
    }

    /// Notes that a seat wants the turn. While its client is away, it only may be in the queue.
    pub fn begins_to_want(&mut self, seat: SeatId) {
        let ring = seat.ring();
        let others = self.chairs.iter().filter(|chair| chair.seat.ring() == ring && chair.seat != seat);
        let stood = others.filter(|chair| chair.wants).count();
        let Some(chair) = self.chair_mut(seat) else { return };
        let turns = -i32::try_from(stood).expect("few seats");
        chair.wants = true;
        chair.wait = chair.away_since.is_none().then_some(Wait { turns, heaviest: 0 });
        self.weigh(ring);
    }

    pub fn stops_wanting(&mut self, seat: SeatId) {
        if let Some(chair) = self.chair_mut(seat) {
            (chair.wants, chair.wait) = (false, None);
        }
        self.forget_name(seat);
    }

    fn forget_name(&mut self, seat: SeatId) {
        if let Some(circle) = self.circle_mut(seat.ring()) {
            circle.named.take_if(|named| *named == seat);
        }
    }

    /// Notes the total weight of the queue and the holder, for each waiting seat, if it is the highest so
    /// far.
    fn weigh(&mut self, ring: RingId) {
        let stands = |chair: &&Chair| {
            let has_turn = self.holds(chair.seat) || self.is_kept(chair.seat);
            chair.seat.ring() == ring && (chair.wants || has_turn)
        };
        let weight: u32 = self.chairs.iter().filter(stands).map(|chair| u32::from(chair.weight)).sum();
        let is_weighted = self.chairs.iter().any(|chair| chair.weight > 1);
        for chair in self.chairs.iter_mut().filter(|chair| chair.seat.ring() == ring && is_weighted) {
            if let Some(wait) = &mut chair.wait {
                wait.heaviest = wait.heaviest.max(weight - u32::from(chair.weight));
            }
        }
    }

    /// Notes that the client of a seat is lost, as far as its turn is concerned.
    pub fn goes_away(&mut self, seat: SeatId, tick: u32) {
        if let Some(chair) = self.chair_mut(seat) {
            (chair.away_since, chair.wait) = (Some(tick), None);
        }
    }

    // Comparisons with the scheduler.

    /// Checks the end of a turn, which must be the held one, and its holder's. The turn is kept if its holder
    /// was lost below quorum.
    pub fn ended(&mut self, ended: &Ended, wants: bool, keeps: bool) -> Result<(), Broken> {
        let &Ended { seat, turn, .. } = ended;
        let circle = self.circle_mut(seat.ring());
        let holder = circle.and_then(|circle| circle.holder.take());
        let is_held = holder.as_ref().is_some_and(|holder| (holder.seat, holder.turn) == (seat, turn.get()));
        demand(Promise::OneHolder, is_held, || format!("{ended:?} was not held"))?;
        if keeps {
            let circle = self.circle_mut(seat.ring()).expect("its turn was held");
            circle.kept = holder.map(|holder| Holder { absent: None, ..holder });
        } else if wants {
            self.begins_to_want(seat);
        } else {
            self.stops_wanting(seat);
        }
        Ok(())
    }

    /// Returns whether the seat of a turn that ends like this will want another one.
    pub fn wants_again(&self, ended: &Ended) -> bool {
        let circle = self.circle(ended.seat.ring());
        let asks = circle.and_then(|circle| circle.holder.as_ref()).is_some_and(|holder| holder.asks_again);
        let is_named = circle.is_some_and(|circle| circle.named == Some(ended.seat));
        self.chair(ended.seat).is_some_and(|chair| chair.always) || asks || is_named
    }

    /// Returns whether the turn of a lost holder is kept.
    pub fn keeps(&self, ended: &Ended, laws: &Laws) -> bool {
        let ring = ended.seat.ring();
        let is_judged = self.holder(ring).is_some_and(|holder| holder.judged);
        let is_lost = self.chair(ended.seat).is_some_and(|chair| chair.away_since.is_some());
        let below = !self.has_quorum(ring, laws) && !self.draining;
        ended.outcome == Outcome::Gone && is_lost && below && !is_judged
    }

    /// Checks a new turn: none may be held, its number must be new, and its seat must be waiting.
    pub fn granted(&mut self, grant: &Grant, laws: &Laws) -> Result<(), Broken> {
        let (seat, turn) = (grant.seat, grant.turn.get());
        let ring = seat.ring();
        demand(Promise::OneHolder, self.plays(ring, laws), || {
            format!("{grant:?} in a ring that stands still")
        })?;
        let is_there = self.chair(seat).is_some_and(|chair| chair.away_since.is_none());
        demand(Promise::OneHolder, is_there, || format!("{grant:?} to a seat without a client"))?;
        let circle = self.circle_mut(ring).expect("it has a seat");
        demand(Promise::OneHolder, circle.holder.is_none(), || format!("{grant:?} beside {circle:?}"))?;
        demand(Promise::TurnsGrow, turn > circle.last_turn, || format!("{grant:?} after {circle:?}"))?;
        circle.last_turn = turn;
        let hold = laws.hold_max.unwrap_or(u32::MAX);
        let fresh = Holder {
            seat,
            turn,
            told: false,
            silent: laws.deadline.min(hold),
            hold,
            judged: false,
            judging: laws.judging,
            proposals: laws.proposals,
            absent: None,
            asks_again: false,
            raised: false,
        };
        let is_kept = self.settle_kept(seat)?;
        let is_named = !is_kept && self.settle_named(seat)?;
        let circle = self.circle_mut(ring).expect("it has a seat");
        circle.holder = Some(match circle.kept.take() {
            // A tick is the second to which the rest is raised, once.
            Some(kept) if is_kept => Holder {
                turn,
                told: false,
                silent: kept.silent.max(u32::from(!kept.raised)),
                hold: kept.hold.max(u32::from(!kept.raised)),
                raised: kept.raised || kept.silent.min(kept.hold) == 0,
                ..kept
            },
            _ => fresh,
        });
        self.count(seat, is_kept || is_named)
    }

    /// A kept turn comes first if its seat is there, and is over otherwise. Returns whether this is the one.
    fn settle_kept(&mut self, seat: SeatId) -> Result<bool, Broken> {
        let circle = self.circle_mut(seat.ring()).expect("it has a seat");
        let Some(kept) = circle.kept.clone() else { return Ok(false) };
        let chair = self.chair(kept.seat).expect("else it is not kept");
        if chair.away_since.is_none() {
            demand(Promise::TurnsEnd, kept.seat == seat, || format!("{seat} goes before the kept {kept:?}"))?;
            return Ok(true);
        }
        self.kept_is_over(&kept);
        Ok(false)
    }

    pub fn kept_is_over(&mut self, kept: &Holder) {
        let is_named = self.circle(kept.seat.ring()).is_some_and(|circle| circle.named == Some(kept.seat));
        let wants = kept.asks_again || is_named || self.chair(kept.seat).is_some_and(|chair| chair.always);
        if let Some(circle) = self.circle_mut(kept.seat.ring()) {
            circle.kept = None;
        }
        if wants {
            self.begins_to_want(kept.seat);
        }
    }

    /// The host's choice comes first if it is still possible. Returns whether this is the one.
    fn settle_named(&mut self, seat: SeatId) -> Result<bool, Broken> {
        let circle = self.circle_mut(seat.ring()).expect("it has a seat");
        let named = circle.named.take().and_then(|named| self.chair(named));
        let named = named.filter(|chair| chair.wants && chair.away_since.is_none()).map(|chair| chair.seat);
        let is_first = named.is_none_or(|named| named == seat);
        demand(Promise::TurnsEnd, is_first, || {
            format!("{seat} goes before {named:?}, which the host named")
        })?;
        Ok(named.is_some())
    }

    /// Counts one more turn of others for each waiting seat, unless it is the host's choice or a kept turn.
    /// With equal weights, a seat may wait for as many turns as others were queued when it began; with
    /// weights, for as many more as their greatest total weight exceeds its own.
    fn count(&mut self, granted: SeatId, is_extra: bool) -> Result<(), Broken> {
        for chair in self.chairs.iter_mut().filter(|chair| chair.seat.ring() == granted.ring()) {
            if chair.seat == granted {
                demand(Promise::OneHolder, chair.wants || is_extra, || {
                    format!("{granted} does not want it")
                })?;
                (chair.wants, chair.wait) = (false, None);
            } else if let Some(wait) = chair.wait.as_mut().filter(|_| !is_extra) {
                wait.turns += 1;
                let allowed = wait.heaviest.div_ceil(u32::from(chair.weight));
                let is_bounded = i64::from(wait.turns) <= i64::from(allowed);
                demand(Promise::WaitsAreBounded, is_bounded, || {
                    format!("{chair:?} waits for too many turns")
                })?;
            }
        }
        Ok(())
    }

    /// Removes a seat from its ring, and the ring with its last seat.
    pub fn retired(&mut self, seat: SeatId, name: u8) -> Result<Chair, Broken> {
        self.forget_name(seat);
        let at = self.chairs.iter().position(|chair| chair.seat == seat && chair.name == name);
        let at = at.ok_or_else(|| Broken {
            promise: Promise::PlacesAreKept,
            seen: format!("{seat} of {name} is gone, and was never there"),
        })?;
        let chair = self.chairs.remove(at);
        let is_last = !self.chairs.iter().any(|other| other.seat.ring() == seat.ring());
        let circle = self.circle_mut(seat.ring()).expect("it had a seat");
        circle.kept.take_if(|kept| kept.seat == seat);
        let last_turn = circle.last_turn;
        if is_last {
            self.floor = self.floor.max(last_turn);
            self.circles.retain(|circle| circle.ring != seat.ring());
        }
        Ok(chair)
    }
}
