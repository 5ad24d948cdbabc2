//! How a step is judged: what was said and put out against the promises, and then what the scheduler's getters say.

use taketurns::turn::{Accepted, JoinError, Outcome, Output, Refusal, RingId, SeatId, Taken, TurnNumber};

use crate::action::{Action, Fence};
use crate::judge::{Broken, Judge, Rule, demand};
use crate::laws::Laws;
use crate::world::{News, Said, World};

impl World {
    /// What was said must be what the promises say, and the judge takes note of it.
    pub(crate) fn judge_said(&mut self, action: Action, said: Said, before: &Judge) -> Result<(), Broken> {
        match (action, said) {
            (Action::Join { weight, .. }, Said::Joined(seat, name)) => {
                demand(Rule::NothingWithheld, !before.draining, || "joined while draining".to_owned())?;
                self.judge.joined(seat, name, weight)?;
            }
            (Action::Join { ring, .. }, Said::NotJoined(error)) => {
                self.judge_not_joined(ring, error, before)?
            }
            (Action::Occupy(at), _) => self.judge.occupied_again(before.chairs[at].seat),
            (Action::Vacate(at) | Action::Leave(at), _) => {
                self.judge.vacated(before.chairs[at].seat, self.tick);
            }
            (Action::HoldBack(at), _) => self.judge.held_back(before.chairs[at].seat, self.tick + 1),
            (Action::Answer(at, fence), Said::Taken(taken)) => self.judge_taken(at, fence, taken, before)?,
            (Action::Pass(at, fence), Said::Passed(passed)) => {
                let expected = before.may_end(before.chairs[at].seat, before.named(at, fence).0);
                let passed = passed.map(TurnNumber::get);
                demand(Rule::AnswersCountOnce, passed == expected, || {
                    format!("a pass is {passed:?} instead of {expected:?}")
                })?;
                self.news.extend(passed.err().map(News::Refused));
            }
            (_, Said::Haunted { counts }) => {
                demand(Rule::AnswersCountOnce, !counts, || {
                    "an answer of a seat that is gone counts".to_owned()
                })?;
            }
            (Action::Drain, _) => self.judge.draining = true,
            _ => {}
        }
        Ok(())
    }

    fn judge_not_joined(
        &mut self,
        ring: Option<usize>,
        error: JoinError,
        before: &Judge,
    ) -> Result<(), Broken> {
        let is_full = before.chairs.len() >= self.laws.max_seats
            && before.chairs.iter().all(|chair| chair.vacant_since.is_none());
        let deserted = |ring: RingId| before.occupied(ring).count() == 0;
        let no_ring = before.circles.len() >= self.laws.max_rings
            && !before.circles.iter().any(|circle| deserted(circle.ring));
        let right = match error {
            JoinError::Draining => before.draining,
            JoinError::SeatsFull => is_full,
            JoinError::RingsFull => ring.is_none() && no_ring,
            // Its last seat had to make room.
            JoinError::UnknownRing => {
                ring.is_some_and(|at| !self.scheduler.has_ring(before.circles[at].ring))
            }
            _ => false,
        };
        demand(Rule::NothingWithheld, right, || format!("a seat is refused: {error}"))?;
        self.news.push(News::NotJoined(error));
        Ok(())
    }

    fn judge_taken(
        &mut self,
        at: usize,
        fence: Fence,
        taken: Result<Taken, Refusal>,
        before: &Judge,
    ) -> Result<(), Broken> {
        let chair = &before.chairs[at];
        let (fence, number) = before.named(at, fence);
        let expected = match before.may_end(chair.seat, fence) {
            Ok(turn) => Ok((turn, false)),
            Err(_) if fence.is_some() && fence.map(|turn| (turn, number)) == chair.last => {
                Ok((fence.unwrap_or(0), true))
            }
            Err(refusal) => Err(refusal),
        };
        let taken = taken.map(|taken| match taken {
            Taken::Accepted(turn) => (turn.get(), false),
            Taken::Repeated(turn) => (turn.get(), true),
        });
        demand(Rule::AnswersCountOnce, taken == expected, || {
            format!("an answer is {taken:?} instead of {expected:?}")
        })?;
        self.news.extend(taken.err().map(News::Refused));
        self.news.extend(taken.ok().filter(|taken| taken.1).map(|_| News::Repeated { name: chair.name }));
        Ok(())
    }

    pub(crate) fn judge_output(
        &mut self,
        action: Action,
        output: &Output<u8>,
        before: &Judge,
    ) -> Result<(), Broken> {
        match output {
            Output::HandOver { ended, granted } => {
                if let Some(ended) = ended {
                    self.judge_outcome(action, ended.seat, ended.outcome, before)?;
                    let name = self.judge.chair(ended.seat).map_or(u8::MAX, |chair| chair.name);
                    self.judge.ended(ended)?;
                    let (turn, outcome) = (ended.turn.get(), ended.outcome);
                    self.news.push(News::Ended { name, turn, outcome });
                }
                if let Some(grant) = granted {
                    self.judge.granted(grant, self.tick, &self.laws)?;
                    let name = self.judge.chair(grant.seat).map_or(u8::MAX, |chair| chair.name);
                    self.news.push(News::Granted { name, turn: grant.turn.get() });
                } else {
                    self.news.push(if self.judge.draining { News::Drained } else { News::Paused });
                }
                Ok(())
            }
            Output::Retired { seat, data } => self.judge_retired(action, *seat, *data, before),
            other => Err(Broken { rule: Rule::GettersAgree, seen: format!("unknown: {other:?}") }),
        }
    }

    /// A turn ends only by what its holder does, by the loss of its holder, or at its deadline.
    fn judge_outcome(
        &self,
        action: Action,
        seat: SeatId,
        outcome: Outcome,
        before: &Judge,
    ) -> Result<(), Broken> {
        let of = |at: usize| before.chairs[at].seat == seat;
        let holder = before.holder(seat.ring());
        let right = match (outcome, action) {
            (Outcome::Answered(number), Action::Answer(at, fence)) => {
                of(at) && before.named(at, fence).1 == number
            }
            (Outcome::Passed, Action::Pass(at, _)) => of(at),
            (Outcome::Lapsed, Action::Tick) => holder.is_some_and(|holder| holder.deadline <= self.tick),
            (Outcome::Gone, Action::Vacate(at) | Action::Leave(at)) => of(at),
            _ => false,
        };
        demand(Rule::TurnsEnd, right, || format!("the turn of {seat} ended as {outcome:?} by {action:?}"))
    }

    /// A place is lost by leaving, at the end of its grace, or to make room in a full house.
    fn judge_retired(
        &mut self,
        action: Action,
        seat: SeatId,
        name: u8,
        before: &Judge,
    ) -> Result<(), Broken> {
        let chair = self.judge.retired(seat, name)?;
        self.ghost = Some(seat);
        let full_house = before.chairs.len() >= self.laws.max_seats;
        let full_rings = before.circles.len() >= self.laws.max_rings;
        let (right, news) = match (action, chair.vacant_since) {
            (Action::Leave(at), _) => (before.chairs[at].seat == seat, News::Retired { name }),
            (Action::Tick, Some(since)) => (since + self.laws.grace <= self.tick, News::Retired { name }),
            (Action::Join { ring, .. }, Some(since)) => {
                let deserted = ring.is_none() && full_rings && before.occupied(seat.ring()).count() == 0;
                let longest =
                    before.chairs.iter().filter_map(|chair| chair.vacant_since).min() == Some(since);
                (deserted || full_house && longest, News::Evicted { name })
            }
            _ => (false, News::Retired { name }),
        };
        self.news.push(news);
        demand(Rule::PlacesAreKept, right, || format!("{seat} is gone by {action:?}"))
    }

    pub(crate) fn sat_down(&self, action: Action, said: Said, before: &Judge) -> Option<SeatId> {
        match (action, said) {
            (_, Said::Joined(seat, _)) => Some(seat),
            (Action::Occupy(at), _) => {
                let chair = &before.chairs[at];
                chair.vacant_since.map(|_| chair.seat)
            }
            _ => None,
        }
    }

    /// What holds between steps: the scheduler's own invariants, and what its getters say against what was seen.
    pub(crate) fn judge_state(&self) -> Result<(), Broken> {
        let invariants = self.scheduler.check_invariants();
        invariants.map_err(|violation| Broken { rule: Rule::Invariants, seen: violation.to_string() })?;
        for circle in &self.judge.circles {
            self.judge_ring(circle.ring)?;
        }
        for chair in &self.judge.chairs {
            let accepted = self.scheduler.last_accepted(chair.seat);
            let accepted = accepted.map(|Accepted { turn, number }| (turn.get(), number));
            let agrees = self.scheduler.is_occupied(chair.seat) == chair.vacant_since.is_none()
                && self.scheduler.data(chair.seat) == Some(&chair.name)
                && accepted == chair.last;
            demand(Rule::GettersAgree, agrees, || format!("{chair:?} is not what the scheduler says"))?;
            let kept = chair.vacant_since.is_none_or(|since| since + self.laws.grace > self.tick);
            demand(Rule::PlacesAreKept, kept, || format!("{chair:?} is kept beyond its grace"))?;
        }
        let counts = (self.scheduler.seats(), self.scheduler.rings().count());
        let agrees = counts == (self.judge.chairs.len(), self.judge.circles.len())
            && self.scheduler.last_turn(None) == self.judge.floor;
        demand(Rule::GettersAgree, agrees, || format!("{counts:?} seats and rings"))?;
        self.judge_deadline()
    }

    fn judge_ring(&self, ring: RingId) -> Result<(), Broken> {
        let (holder, held) = (self.judge.holder(ring), self.scheduler.held(ring));
        let agrees = held.map(|held| (held.seat, held.turn.get(), held.deadline))
            == holder.map(|holder| (holder.seat, holder.turn, Laws::at(holder.deadline)))
            && Some(self.scheduler.last_turn(Some(ring))) == self.judge.circle(ring).map(|it| it.last_turn)
            && self.scheduler.occupied(ring) == self.judge.occupied(ring).count();
        demand(Rule::GettersAgree, agrees, || format!("{held:?} is held, and {holder:?} was granted"))?;
        let withheld = holder.is_none() && self.judge.plays(ring, &self.laws);
        demand(Rule::NothingWithheld, !withheld, || format!("nobody holds the turn in {ring:?}"))?;
        let outlived = holder.is_some_and(|holder| holder.deadline <= self.tick);
        demand(Rule::TurnsEnd, !outlived, || format!("{holder:?} at tick {}", self.tick))?;
        let longest = self.scheduler.longest_wait(ring);
        let bounded = self.laws.holds_back || longest.waited <= longest.bound;
        demand(Rule::WaitsAreBounded, bounded, || format!("{longest:?}"))
    }

    /// The scheduler asks to be called in time for whatever is due first.
    fn judge_deadline(&self) -> Result<(), Broken> {
        let turns = self.judge.circles.iter().filter_map(|circle| circle.holder.as_ref());
        let graces = self.judge.chairs.iter().filter_map(|chair| chair.vacant_since);
        let due =
            turns.map(|holder| holder.deadline).chain(graces.map(|since| since + self.laws.grace)).min();
        let asked = self.scheduler.next_deadline();
        let in_time = due.is_none_or(|due| asked.is_some_and(|asked| asked <= Laws::at(due)));
        demand(Rule::TurnsEnd, in_time, || {
            format!("something is due at tick {due:?}, asked for is {asked:?}")
        })
    }
}
