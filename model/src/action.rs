//! The steps of a scheduler in a small world.

use taketurns::turn::Demand;

/// One step. Seats and rings are numbered in the order of the judge's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A client takes a new seat in a ring, or the first seat of a new ring.
    Join { ring: Option<usize>, weight: u8, demand: Demand },
    /// The client of a seat is back.
    Occupy(usize),
    /// The connection of a seat is lost.
    Vacate(usize),
    /// A seat is given up.
    Leave(usize),
    /// A seat wants the turn.
    Ask(usize),
    /// A seat does not want the turn any more.
    Rest(usize),
    /// A seat does something with its turn.
    Hold(usize, Fence, Deed),
    /// The holder of a ring is told of its turn.
    Tell(usize),
    /// The host does something to a ring.
    Host(usize, Rule),
    /// Everything that could be requested for a seat that is gone.
    Haunt,
    /// Everything that must be refused in this state, or that requests what is already so.
    Trespass,
    /// Time advances by one tick, and the scheduler is called if it asked for it.
    Tick,
    /// The host wants to stop.
    Drain,
    /// The server dies, and the next one goes on from what outlives it.
    Restart,
}

/// A holder's action on its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Answer,
    Pass,
    Renew,
    /// The answer goes to the host.
    Propose,
}

/// The host's action on a ring. Seats are numbered in the order of the judge's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    Accept(Option<usize>),
    Refuse,
    Skip,
    Next(usize),
    /// Extends the turn by one tick.
    Extend,
    Pause,
    Resume,
}

/// The turn that a holder's action names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// No turn.
    None,
    /// The held turn, or else the last one.
    Current,
    /// The turn before that.
    Old,
    /// The turn after that.
    Next,
}

impl Fence {
    pub const ALL: [Fence; 4] = [Fence::None, Fence::Current, Fence::Old, Fence::Next];

    /// Returns the turn that it names in a ring whose last turn was `last`.
    #[must_use]
    pub fn named(self, last: u64) -> Option<u64> {
        match self {
            Fence::None => None,
            Fence::Current => Some(last),
            Fence::Old => Some(last.saturating_sub(1)),
            Fence::Next => Some(last + 1),
        }
    }
}
