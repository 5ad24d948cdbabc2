//! The rules of a ring, the limits of a scheduler, and the combinations that contradict each other.

use std::fmt;
use std::time::Duration;

use super::seat::{Demand, Weight};
use crate::time::Nanos;

/// The rules for the turns of one ring.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use taketurns::turn::{Demands, Demand, HoldMax, Rules};
///
/// // A lock: seats rest until they ask, and a holder may renew for as long as it likes.
/// let mut rules = Rules::default();
/// rules.min_seats = 1;
/// rules.demands = Demands::Only(Demand::Ask);
/// rules.hold_max = HoldMax::Unlimited;
/// rules.turn_grace = Duration::from_secs(10);
/// assert!(rules.check().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Rules {
    /// The least number of occupied seats, including resting ones, for which turns are granted. Default 2.
    pub min_seats: usize,
    /// The most seats in the ring, occupied and away. Default `None`: only the limit of the scheduler
    /// applies.
    pub seats_max: Option<usize>,
    /// The greatest weight that a newcomer may choose. Default 1. The host may give more.
    pub weight_max: Weight,
    /// The demands that a newcomer may choose. Default any. The host may give another.
    pub demands: Demands,
    /// How long a holder may stay silent. Default 30 s.
    pub turn_deadline: Duration,
    /// How long a turn may last in total, however often it is renewed. Default: as long as `turn_deadline`.
    pub hold_max: HoldMax,
    /// How long a holder whose connection is lost keeps the turn. Default zero. Its clock keeps running
    /// meanwhile.
    pub turn_grace: Duration,
    /// How long a seat that is away keeps its place. Default 60 s.
    pub seat_grace: Duration,
    /// The judge of answers. Default automatic.
    pub judging: Judging,
    /// How long the answers of one turn may be judged, in total. Default 5 s.
    pub judging_timeout: Duration,
    /// Answers of one turn that the host may refuse. With the last refusal the turn lapses. Default 16.
    pub proposals_max: u16,
}

/// The shortest turn, because polls are rounded to this.
const TURN_TIME_MIN: Duration = Duration::from_millis(1);

impl Default for Rules {
    fn default() -> Self {
        Rules {
            min_seats: 2,
            seats_max: None,
            weight_max: Weight::ONE,
            demands: Demands::Any,
            turn_deadline: Duration::from_secs(30),
            hold_max: HoldMax::TurnDeadline,
            turn_grace: Duration::ZERO,
            seat_grace: Duration::from_secs(60),
            judging: Judging::Automatic,
            judging_timeout: Duration::from_secs(5),
            proposals_max: 16,
        }
    }
}

impl Rules {
    /// Checks that the rules do not contradict each other.
    ///
    /// # Errors
    ///
    /// Returns the first contradiction.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::turn::{Rules, RulesError};
    ///
    /// let mut rules = Rules::default();
    /// assert_eq!(rules.check(), Ok(()));
    /// rules.min_seats = 0;
    /// assert_eq!(rules.check(), Err(RulesError::NoSeats));
    /// ```
    pub fn check(&self) -> Result<(), RulesError> {
        let has_judge = self.judging == Judging::Host;
        match self {
            _ if self.min_seats == 0 => Err(RulesError::NoSeats),
            _ if self.seats_max.is_some_and(|max| max < self.min_seats) => Err(RulesError::NeverEnoughSeats),
            _ if self.turn_deadline < TURN_TIME_MIN => Err(RulesError::NoTime),
            _ if matches!(self.hold_max, HoldMax::Time(time) if time < TURN_TIME_MIN) => {
                Err(RulesError::NoTime)
            }
            _ if has_judge && (self.judging_timeout.is_zero() || self.proposals_max == 0) => {
                Err(RulesError::NoTimeToJudge)
            }
            _ => Ok(()),
        }
    }

    /// Returns the demand of a newcomer that asks for `wanted`, or for none. Returns `None` if the ring does
    /// not allow it.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::turn::{Demand, Demands, Rules};
    ///
    /// let mut rules = Rules::default();
    /// assert_eq!(rules.demand(None), Some(Demand::Always));
    /// rules.demands = Demands::Only(Demand::Ask);
    /// assert_eq!(rules.demand(None), Some(Demand::Ask));
    /// assert_eq!(rules.demand(Some(Demand::Always)), None);
    /// ```
    #[must_use]
    pub fn demand(&self, wanted: Option<Demand>) -> Option<Demand> {
        match self.demands {
            Demands::Any => Some(wanted.unwrap_or_default()),
            Demands::Only(only) => (wanted.unwrap_or(only) == only).then_some(only),
        }
    }

    /// Returns the weight of a newcomer that asks for `wanted`, or for none. Returns `None` if the ring does
    /// not allow it.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::turn::{Rules, Weight};
    ///
    /// let mut rules = Rules::default();
    /// assert_eq!(rules.weight(Some(3)), None, "1 is the most by default");
    /// rules.weight_max = Weight::MAX;
    /// assert_eq!(rules.weight(Some(3)), Weight::new(3));
    /// ```
    #[must_use]
    pub fn weight(&self, wanted: Option<u64>) -> Option<Weight> {
        let weight = u8::try_from(wanted.unwrap_or(1)).ok().and_then(Weight::new);
        weight.filter(|weight| *weight <= self.weight_max)
    }

    pub(super) fn terms(&self) -> Terms {
        let silent = Nanos::from(self.turn_deadline);
        let hold = match self.hold_max {
            HoldMax::TurnDeadline => silent,
            HoldMax::Time(time) => time.into(),
            HoldMax::Unlimited => Nanos::MAX,
        };
        let is_judged = self.judging == Judging::Host;
        Terms {
            min_seats: u32::try_from(self.min_seats).unwrap_or(u32::MAX),
            proposals_max: self.proposals_max,
            silent,
            time: Allowance { silent: silent.min(hold), hold },
            judging: if is_judged { self.judging_timeout.into() } else { Nanos::ZERO },
            turn_grace: self.turn_grace.into(),
            seat_grace: self.seat_grace.into(),
        }
    }

    /// Returns how long a turn may last at most, including judging, or `None` without a limit.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use taketurns::turn::{HoldMax, Judging, Rules};
    ///
    /// let mut rules = Rules::default();
    /// rules.judging = Judging::Host;
    /// assert_eq!(rules.turn_time_max(), Some(Duration::from_secs(35)));
    /// rules.hold_max = HoldMax::Unlimited;
    /// assert_eq!(rules.turn_time_max(), None);
    /// ```
    #[must_use]
    pub fn turn_time_max(&self) -> Option<Duration> {
        let hold = match self.hold_max {
            HoldMax::TurnDeadline => self.turn_deadline,
            HoldMax::Time(time) => time,
            HoldMax::Unlimited => return None,
        };
        match self.judging {
            Judging::Automatic => Some(hold),
            Judging::Host => Some(hold.saturating_add(self.judging_timeout)),
        }
    }
}

/// The rules in the form that every turn needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) min_seats: u32,
    pub(super) proposals_max: u16,
    /// How long a holder may stay silent; a renewal restores this time.
    pub(super) silent: Nanos,
    /// The time that a turn begins with.
    pub(super) time: Allowance,
    /// Time to judge a turn's proposals; zero if the host does not judge.
    pub(super) judging: Nanos,
    pub(super) turn_grace: Nanos,
    pub(super) seat_grace: Nanos,
}

/// The time that a holder has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    /// The time until it has to send something. Never more than `hold`.
    pub(super) silent: Nanos,
    /// The time in total.
    pub(super) hold: Nanos,
}

/// The demands that a ring's seats may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Demands {
    /// Each seat chooses. A seat that does not choose wants every turn.
    #[default]
    Any,
    /// All seats have this demand.
    Only(Demand),
}

/// How long a turn may last in total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum HoldMax {
    /// As long as `turn_deadline`: renewing gains nothing.
    #[default]
    TurnDeadline,
    /// This long.
    Time(Duration),
    /// As long as its holder renews it. The ring then states no bound on waiting.
    Unlimited,
}

/// The judge of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Judging {
    /// An answer counts when it is read.
    #[default]
    Automatic,
    /// An answer is proposed to the host, which accepts or refuses it.
    Host,
}

/// Limits of a [`Scheduler`](super::Scheduler), and the rules of rings that have none of their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SchedulerConfig {
    /// The most seats in total over all rings, occupied and away. Default 10,000. Each costs at most 150
    /// bytes, plus its data.
    pub max_seats: usize,
    /// The most rings at once. Default 1,024. Each costs at most 1 KiB.
    pub max_rings: usize,
    /// The rules of a ring that has none of its own.
    pub rules: Rules,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        SchedulerConfig { max_seats: 10_000, max_rings: 1_024, rules: Rules::default() }
    }
}

impl SchedulerConfig {
    /// Checks that a ring with `rules` can grant turns in such a scheduler.
    pub(super) fn check(&self, rules: &Rules) -> Result<(), RulesError> {
        rules.check()?;
        if rules.min_seats > self.max_seats {
            return Err(RulesError::NeverEnoughSeats);
        }
        Ok(())
    }
}

/// A combination of rules that contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RulesError {
    /// `min_seats` is 0.
    NoSeats,
    /// `min_seats` is above `seats_max`, or above the `max_seats` of the scheduler.
    NeverEnoughSeats,
    /// `turn_deadline` or `hold_max` is below 1 ms.
    NoTime,
    /// The host judges, and `judging_timeout` or `proposals_max` is 0.
    NoTimeToJudge,
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RulesError::NoSeats => "min_seats is 0: expected at least 1",
            RulesError::NeverEnoughSeats => {
                "min_seats is above seats_max or max_seats: no turn would ever be granted"
            }
            RulesError::NoTime => "turn_deadline or hold_max is below 1 ms",
            RulesError::NoTimeToJudge => "the host judges, but judging_timeout or proposals_max is 0",
        })
    }
}

impl std::error::Error for RulesError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_lasts_as_long_as_its_hold_and_the_judging() {
        let secs = Duration::from_secs;
        let max = |hold_max, judging| Rules { hold_max, judging, ..Rules::default() }.turn_time_max();
        assert_eq!(max(HoldMax::TurnDeadline, Judging::Automatic), Some(secs(30)));
        assert_eq!(max(HoldMax::Time(secs(50)), Judging::Host), Some(secs(55)));
        assert_eq!(max(HoldMax::Unlimited, Judging::Host), None);
    }

    #[test]
    fn no_turn_begins_with_more_silence_than_it_may_last() {
        let short = Rules { hold_max: HoldMax::Time(Duration::from_secs(2)), ..Rules::default() }.terms();
        assert_eq!(
            (short.time.silent, short.time.hold),
            (Duration::from_secs(2).into(), Duration::from_secs(2).into())
        );
        assert_eq!(short.silent, Duration::from_secs(30).into(), "an extended turn may be renewed to that");
        assert_eq!(short.judging, Nanos::ZERO, "the host does not judge");
        let many = Rules { min_seats: usize::MAX, ..Rules::default() };
        assert_eq!(many.terms().min_seats, u32::MAX);
    }

    #[test]
    fn errors_name_the_rule() {
        assert_eq!(RulesError::NoTime.to_string(), "turn_deadline or hold_max is below 1 ms");
    }
}
