//! Judges a step: its replies and effects, and then the scheduler's getters, against the promises.

use taketurns::turn::{Ended, HeldClock, JoinError, Outcome, Refusal, RingId, SeatState};

use crate::action::{Action, Deed, Rule};
use crate::judge::{Broken, Chair, Judge, Promise, demand};
use crate::laws::Laws;
use crate::world::{News, Said, World};

impl Judge {
    /// Advances every running clock by one tick.
    pub(crate) fn pass_time(&mut self) {
        for circle in &mut self.circles {
            let Some(holder) = &mut circle.holder else { continue };
            holder.absent = holder.absent.map(|left| left.saturating_sub(1));
            if holder.judged {
                holder.judging -= 1;
            } else if holder.told && !circle.paused {
                holder.silent -= 1;
                holder.hold = if holder.hold == u32::MAX { u32::MAX } else { holder.hold - 1 };
            }
        }
    }

    /// Notes that the holder of the ring at `at` was told about its turn.
    pub(crate) fn told(&mut self, at: usize) {
        if let Some(holder) = &mut self.circles[at].holder {
            holder.told = true;
        }
    }
}

impl World {
    /// Compares the scheduler's reply with the promises, and lets the judge note it.
    pub(crate) fn judge_said(&mut self, action: Action, said: Said, before: &Judge) -> Result<(), Broken> {
        match (action, said) {
            (Action::Join { weight, demand: wanted, .. }, Said::Joined(seat, name)) => {
                demand(Promise::NothingWithheld, !before.draining, || "joined while draining".to_owned())?;
                let always = wanted == taketurns::turn::Demand::Always;
                let (away_since, wants, wait) = (None, false, None);
                self.judge.joined(seat, Chair { seat, name, weight, always, away_since, wants, wait })?;
            }
            (Action::Join { ring, .. }, Said::NotJoined(error)) => {
                let expected = self.may_join(ring);
                let is_right = expected == Some(error);
                demand(Promise::NothingWithheld, is_right, || format!("{error} instead of {expected:?}"))?;
                self.news.push(News::NotJoined(error));
            }
            (Action::Occupy(at), _) => self.note_back(at),
            (Action::Vacate(at), _) => self.note_lost(at),
            (Action::Ask(at), _) => self.note_asked(at),
            (Action::Rest(at), said) => self.note_rested(at, said)?,
            (Action::Hold(at, fence, deed), Said::Acted(acted)) => {
                let seat = before.chairs[at].seat;
                let expected = match before.may_act(seat, self.named(at, fence)) {
                    Ok(_) if deed == Deed::Renew && !self.gains_time(at) => Err(Refusal::HoldMax),
                    expected => expected,
                };
                demand(Promise::AnswersCountOnce, acted == expected, || {
                    format!("{deed:?} is {acted:?} instead of {expected:?}")
                })?;
                self.news.extend(acted.err().map(News::Refused));
                self.note_held(seat.ring(), deed, acted.is_ok());
            }
            (Action::Tell(at), _) => self.judge.told(at),
            (Action::Host(at, rule), Said::Hosted(hosted)) => {
                // Any rule that changes nothing is an error, except pausing a paused ring.
                let expected = self.judge_rule(at, rule, before);
                demand(Promise::AnswersCountOnce, hosted.is_ok() == expected, || {
                    format!("{rule:?} is {hosted:?}, expected was {expected}")
                })?;
                if expected {
                    self.note_rule(at, rule);
                }
            }
            (_, Said::Haunted { counts }) => {
                demand(Promise::AnswersCountOnce, !counts, || "a seat that is gone still acts".to_owned())?;
            }
            (Action::Drain, _) => self.judge.draining = true,
            _ => {}
        }
        Ok(())
    }

    fn may_join(&self, ring: Option<usize>) -> Option<JoinError> {
        let is_full = self.judge.chairs.len() >= self.laws.max_seats;
        match ring {
            _ if self.judge.draining => Some(JoinError::Draining),
            None if self.judge.circles.len() >= self.laws.max_rings => Some(JoinError::RingsFull),
            _ => is_full.then_some(JoinError::SeatsFull),
        }
    }

    fn note_back(&mut self, at: usize) {
        let seat = self.judge.chairs[at].seat;
        if let Some(holder) = self.judge.holder_mut(seat.ring()).filter(|holder| holder.seat == seat) {
            holder.absent = None;
        }
        let chair = &mut self.judge.chairs[at];
        if chair.away_since.take().is_some() && chair.wants {
            self.judge.begins_to_want(seat);
        }
    }

    fn note_lost(&mut self, at: usize) {
        let (seat, grace, draining) = (self.judge.chairs[at].seat, self.laws.turn_grace, self.judge.draining);
        if !self.judge.is_here(&self.judge.chairs[at]) {
            return;
        }
        match self.judge.holder_mut(seat.ring()).filter(|holder| holder.seat == seat) {
            Some(holder) if holder.judged || grace > 0 && !draining => {
                (holder.absent, holder.told) = (Some(grace), true);
            }
            _ => self.judge.goes_away(seat, self.tick),
        }
    }

    fn note_asked(&mut self, at: usize) {
        let seat = self.judge.chairs[at].seat;
        let rests = !self.judge.chairs[at].wants && !self.judge.is_kept(seat);
        match self.judge.holder_mut(seat.ring()).filter(|holder| holder.seat == seat) {
            Some(holder) => holder.asks_again = true,
            None if rests => self.judge.begins_to_want(seat),
            None => {}
        }
    }

    fn note_rested(&mut self, at: usize, said: Said) -> Result<(), Broken> {
        let seat = self.judge.chairs[at].seat;
        let is_judged =
            self.judge.holder(seat.ring()).is_some_and(|holder| holder.seat == seat && holder.judged);
        let is_refused = said == Said::Acted(Err(Refusal::Judging));
        demand(Promise::AnswersCountOnce, is_refused == is_judged, || format!("to rest is {said:?}"))?;
        if !is_judged {
            self.judge.stops_wanting(seat);
            let circle = self.judge.circle_mut(seat.ring()).expect("it has a seat");
            circle.kept.take_if(|kept| kept.seat == seat);
        }
        Ok(())
    }

    fn note_held(&mut self, ring: RingId, deed: Deed, is_done: bool) {
        let deadline = self.laws.deadline;
        match (deed, self.judge.holder_mut(ring)) {
            (Deed::Renew, Some(holder)) if is_done => holder.silent = deadline.min(holder.hold),
            (Deed::Propose, Some(holder)) if is_done => holder.judged = true,
            _ => {}
        }
    }

    fn judge_rule(&self, at: usize, rule: Rule, before: &Judge) -> bool {
        let circle = &before.circles[at];
        let is_judged = circle.holder.as_ref().is_some_and(|holder| holder.judged);
        let can_be_next = |next: usize| before.can_be_next(&before.chairs[next]);
        match rule {
            Rule::Accept(next) => is_judged && next.is_none_or(can_be_next),
            Rule::Refuse => is_judged,
            Rule::Skip | Rule::Extend => circle.holder.is_some(),
            Rule::Next(next) => can_be_next(next),
            Rule::Pause | Rule::Resume => true,
        }
    }

    fn note_rule(&mut self, at: usize, rule: Rule) {
        let tick = self.tick;
        let next = match rule {
            Rule::Accept(next) => next,
            Rule::Next(next) => Some(next),
            _ => None,
        };
        let next = next.map(|next| self.judge.chairs[next].seat);
        let circle = &mut self.judge.circles[at];
        circle.named = next.or(circle.named);
        match (rule, &mut circle.holder) {
            (Rule::Pause, _) => circle.paused = true,
            (Rule::Resume, _) => circle.paused = false,
            (Rule::Extend, Some(holder)) => {
                (holder.silent, holder.hold) = (holder.silent + 1, holder.hold.saturating_add(1));
            }
            (Rule::Refuse, Some(holder)) => {
                holder.proposals -= 1;
                let is_over = holder.proposals == 0 || holder.absent == Some(0);
                let lost = (is_over && holder.absent.is_some()).then_some(holder.seat);
                holder.judged = is_over;
                lost.into_iter().for_each(|seat| self.judge.goes_away(seat, tick));
            }
            (Rule::Accept(_) | Rule::Skip, Some(holder)) if holder.absent.is_some() => {
                let seat = holder.seat;
                self.judge.goes_away(seat, tick);
            }
            _ => {}
        }
    }

    pub(crate) fn judge_news(&mut self, action: Action, news: &[News], before: &Judge) -> Result<(), Broken> {
        for news in news {
            match news {
                News::Ended(ended) => {
                    self.judge_outcome(action, ended, before)?;
                    let rests = matches!(action, Action::Rest(_));
                    let wants = !rests && self.judge.wants_again(ended);
                    let keeps = self.judge.keeps(ended, &self.laws);
                    self.judge.ended(ended, wants, keeps)?;
                }
                News::Granted(grant) => self.judge.granted(grant, &self.laws)?,
                News::Retired(seat, name) => {
                    let chair = self.judge.retired(*seat, *name)?;
                    self.ghost = Some(*seat);
                    let is_right = match (action, chair.away_since) {
                        (Action::Leave(at), _) => before.chairs[at].seat == *seat,
                        (Action::Tick, Some(since)) => since + self.laws.seat_grace <= self.tick,
                        _ => false,
                    };
                    demand(Promise::PlacesAreKept, is_right, || format!("{seat} is gone by {action:?}"))?;
                }
                News::Refused(_) | News::NotJoined(_) | News::Restarted => {}
            }
        }
        for at in 0..self.judge.circles.len() {
            self.settle_idle(at);
        }
        Ok(())
    }

    /// Notes that a ring continues without granting a turn: the turn of a lost holder is over, and the host's
    /// choice is forgotten.
    fn settle_idle(&mut self, at: usize) {
        let circle = &self.judge.circles[at];
        if circle.holder.is_some() || !self.judge.plays(circle.ring, &self.laws) {
            return;
        }
        let is_away = |seat| self.judge.chair(seat).is_none_or(|chair| chair.away_since.is_some());
        let over = circle.kept.clone().filter(|kept| is_away(kept.seat));
        if let Some(kept) = over {
            self.judge.kept_is_over(&kept);
        }
        self.judge.circles[at].named = None;
    }

    /// Checks that a turn ends only by an action of its holder or the host, by the loss of its holder, or
    /// when its time is up.
    fn judge_outcome(&mut self, action: Action, ended: &Ended, before: &Judge) -> Result<(), Broken> {
        let &Ended { seat, outcome, .. } = ended;
        let of = |at: usize| before.chairs[at].seat == seat;
        let of_ring = |at: usize| before.circles[at].ring == seat.ring();
        let Some(holder) = self.judge.holder(seat.ring()).cloned() else { return Ok(()) };
        let is_lost = holder.absent == Some(0);
        let is_over = if holder.judged { holder.judging == 0 } else { holder.silent == 0 };
        let draining = self.judge.draining;
        let right = match (outcome, action) {
            (Outcome::Answered, Action::Hold(at, _, Deed::Answer)) => of(at),
            (Outcome::Answered, Action::Host(at, Rule::Accept(_))) => of_ring(at),
            (Outcome::Passed, Action::Hold(at, _, Deed::Pass) | Action::Rest(at)) => of(at),
            (Outcome::Lapsed, Action::Tick) => is_over && !(holder.judged && is_lost),
            (Outcome::Lapsed, Action::Host(at, Rule::Refuse)) => {
                of_ring(at) && holder.proposals == 0 && !is_lost
            }
            (Outcome::Skipped, Action::Host(at, Rule::Skip)) => of_ring(at),
            (Outcome::Gone, Action::Vacate(at)) => {
                of(at) && !holder.judged && (self.laws.turn_grace == 0 || draining)
            }
            (Outcome::Gone, Action::Leave(at)) => of(at),
            (Outcome::Gone, Action::Tick) => is_lost && (!holder.judged || holder.judging == 0),
            (Outcome::Gone, Action::Host(at, Rule::Refuse)) => of_ring(at) && is_lost,
            _ => false,
        };
        if action == Action::Tick && holder.absent.is_some() {
            self.judge.goes_away(seat, self.tick);
        }
        demand(Promise::TurnsEnd, right, || {
            format!("the turn of {holder:?} ended as {outcome:?} by {action:?}")
        })
    }

    /// Checks the state between steps: the scheduler's own invariants, and its getters against what was seen.
    pub(crate) fn judge_state(&self) -> Result<(), Broken> {
        let invariants = self.scheduler.check_invariants();
        invariants
            .map_err(|violation| Broken { promise: Promise::Invariants, seen: violation.to_string() })?;
        for circle in &self.judge.circles {
            self.judge_ring(circle.ring)?;
        }
        for chair in &self.judge.chairs {
            self.judge_chair(chair)?;
        }
        let counts = (self.scheduler.seats(), self.scheduler.rings().count());
        let agrees = counts == (self.judge.chairs.len(), self.judge.circles.len())
            && self.scheduler.last_turn(None) == self.judge.floor;
        demand(Promise::GettersAgree, agrees, || format!("{counts:?} seats and rings"))
    }

    fn judge_chair(&self, chair: &Chair) -> Result<(), Broken> {
        let judge = &self.judge;
        let holder = judge.holder(chair.seat.ring()).filter(|holder| holder.seat == chair.seat);
        let away = |until: Option<u32>| SeatState::Away { until: until.map(Laws::at) };
        let state = match (chair.away_since, holder) {
            (Some(since), _) => away(Some(since + self.laws.seat_grace)),
            (None, Some(holder)) if holder.absent.is_some() => away(None),
            (None, Some(holder)) if holder.judged => SeatState::Judged,
            (None, Some(_)) => SeatState::Holding,
            (None, None) if chair.wants || judge.is_kept(chair.seat) => SeatState::Waiting,
            (None, None) => SeatState::Resting,
        };
        let view = self.scheduler.view(chair.seat);
        let agrees = view.as_ref().is_some_and(|view| (view.state, *view.data) == (state, chair.name));
        demand(Promise::GettersAgree, agrees, || format!("{chair:?} should be {state:?}, and is {view:?}"))?;
        let kept = chair.away_since.is_none_or(|since| since + self.laws.seat_grace > self.tick);
        demand(Promise::PlacesAreKept, kept, || format!("{chair:?} is kept beyond its grace"))
    }

    fn judge_ring(&self, ring: RingId) -> Result<(), Broken> {
        let (holder, held) = (self.judge.holder(ring), self.scheduler.held(ring));
        let is_paused = self.judge.circle(ring).is_some_and(|circle| circle.paused);
        let left = |ticks: u32| Laws::at(ticks) - Laws::at(0);
        let expected = holder.map(|holder| {
            let clock = match holder {
                holder if !holder.told => HeldClock::Unreleased,
                holder if holder.judged => HeldClock::Judged {
                    left: left(holder.silent),
                    until: Laws::at(self.tick + holder.judging),
                },
                holder if is_paused => HeldClock::Stopped { left: left(holder.silent) },
                holder => HeldClock::Running { deadline: Laws::at(self.tick + holder.silent) },
            };
            (holder.seat, holder.turn, clock, holder.absent.is_some())
        });
        let agrees = held.map(|held| (held.seat, held.turn.get(), held.clock, held.absent)) == expected
            && Some(self.scheduler.last_turn(Some(ring))) == self.judge.circle(ring).map(|it| it.last_turn)
            && self.scheduler.occupied(ring) == self.judge.occupied(ring);
        demand(Promise::GettersAgree, agrees, || format!("{held:?} is held, and {expected:?} was granted"))?;
        let waits = |chair: &Chair| chair.seat.ring() == ring && chair.wants && chair.away_since.is_none();
        let is_withheld =
            holder.is_none() && self.judge.plays(ring, &self.laws) && self.judge.chairs.iter().any(waits);
        demand(Promise::NothingWithheld, !is_withheld, || format!("no seat holds the turn in {ring:?}"))?;
        let longest = self.scheduler.longest_wait(ring);
        let is_bounded = longest.bound.is_none_or(|bound| longest.waited <= bound);
        demand(Promise::WaitsAreBounded, is_bounded, || format!("{longest:?}"))
    }
}
