//! The whole of a small world, explored breadth first by the model checker, so that findings have the
//! shortest history.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use model::action::Action;
use model::futures::{nothing_remains, passes_go_round, restarts_change_no_order, silence_is_survived};
use model::judge::{Broken, Promise};
use model::laws::Laws;
use model::world::{News, World};
use stateright::{Model, Property};
use taketurns::turn::Outcome;

/// Results of steps, for the report: a world in which something never happens proves less than it seems to.
pub const KINDS: [&str; 10] = [
    "granted",
    "answered",
    "passed",
    "lapsed",
    "skipped",
    "gone",
    "retired",
    "refused",
    "not joined",
    "restarted",
];

/// The promises, in the order of [`Check::properties`].
const PROMISES: [&str; 14] = [
    "the scheduler's own invariants hold",
    "at most one seat of a ring holds the turn",
    "a turn is granted once, and numbers grow",
    "at most one answer counts for a turn, its holder's",
    "what is refused changes nothing",
    "a ring with enough seats has a holder, and who may join can",
    "a turn ends by its holder, its host, or at its deadline",
    "a place is kept for its grace",
    "no seat waits for longer than the bound",
    "the getters say what the moves said",
    "in the end: all get their turn, though holders are silent",
    "in the end: all get their turn, behind those ahead of them",
    "in the end: nothing remains of those who are lost",
    "the order goes on over a restart, if all come back in time",
];

type Future = fn(&World) -> Result<bool, Broken>;

/// One world to be checked.
pub struct Check {
    pub laws: Arc<Laws>,
    seen: [AtomicU64; KINDS.len()],
    /// Which promises have been found broken. The checker keeps the last history that it finds, but the first
    /// is the shortest, so each is reported only once.
    told: [AtomicBool; PROMISES.len()],
}

impl Check {
    pub fn new(laws: Laws) -> Check {
        Check { laws: Arc::new(laws), seen: Default::default(), told: Default::default() }
    }

    /// Returns how often each of [`KINDS`] was seen.
    pub fn seen(&self) -> [u64; KINDS.len()] {
        std::array::from_fn(|kind| self.seen[kind].load(Ordering::Relaxed))
    }

    fn keeps(&self, world: &World, promise: usize, promise_kept: Promise) -> bool {
        let kept = world.broken.as_ref().is_none_or(|broken| broken.promise != promise_kept);
        kept || self.told[promise].swap(true, Ordering::Relaxed)
    }

    /// Returns whether `future` comes true. A world that is already broken is not tested.
    fn comes(&self, world: &World, promise: usize, future: Future) -> bool {
        let comes = world.broken.is_some() || future(world) == Ok(true);
        comes || self.told[promise].swap(true, Ordering::Relaxed)
    }

    fn count(&self, news: &[News]) {
        for news in news {
            self.seen[kind_of(news)].fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn kind_of(news: &News) -> usize {
    match news {
        News::Granted(_) => 0,
        News::Ended(ended) => match ended.outcome {
            Outcome::Answered => 1,
            Outcome::Passed => 2,
            Outcome::Lapsed => 3,
            Outcome::Skipped => 4,
            _ => 5,
        },
        News::Retired(..) => 6,
        News::Refused(_) => 7,
        News::NotJoined(_) => 8,
        News::Restarted => 9,
    }
}

impl Model for Check {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.laws.clone())]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.possible(actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let (next, news) = world.after(action);
        self.count(&news);
        next
    }

    fn properties(&self) -> Vec<Property<Check>> {
        vec![
            Property::always(PROMISES[0], |check, world| check.keeps(world, 0, Promise::Invariants)),
            Property::always(PROMISES[1], |check, world| check.keeps(world, 1, Promise::OneHolder)),
            Property::always(PROMISES[2], |check, world| check.keeps(world, 2, Promise::TurnsGrow)),
            Property::always(PROMISES[3], |check, world| check.keeps(world, 3, Promise::AnswersCountOnce)),
            Property::always(PROMISES[4], |check, world| {
                check.keeps(world, 4, Promise::RefusedChangesNothing)
            }),
            Property::always(PROMISES[5], |check, world| check.keeps(world, 5, Promise::NothingWithheld)),
            Property::always(PROMISES[6], |check, world| check.keeps(world, 6, Promise::TurnsEnd)),
            Property::always(PROMISES[7], |check, world| check.keeps(world, 7, Promise::PlacesAreKept)),
            Property::always(PROMISES[8], |check, world| check.keeps(world, 8, Promise::WaitsAreBounded)),
            Property::always(PROMISES[9], |check, world| check.keeps(world, 9, Promise::GettersAgree)),
            Property::always(PROMISES[10], |check, world| check.comes(world, 10, silence_is_survived)),
            Property::always(PROMISES[11], |check, world| check.comes(world, 11, passes_go_round)),
            Property::always(PROMISES[12], |check, world| check.comes(world, 12, nothing_remains)),
            Property::always(PROMISES[13], |check, world| check.comes(world, 13, restarts_change_no_order)),
        ]
    }
}
