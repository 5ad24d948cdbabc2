//! Steps that a scheduler can take in a small world.

use taketurns::turn::Demand;

/// One step. Seats are numbered as the judge lists them, rings too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A client takes a new seat in a ring, or the first one of a new ring.
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
    /// All that can be asked for a seat that is gone.
    Haunt,
    /// All that has to be refused in this state, or asks for what is so already.
    Trespass,
    /// Time goes on by one tick, and the scheduler is called if it asked for it.
    Tick,
    /// The host wants to stop.
    Drain,
}

/// Acts of a holder on its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Answer,
    Pass,
    Renew,
    /// Its answer goes to the host.
    Propose,
}

/// Acts of the host on a ring. Seats are numbered as the judge lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    Accept(Option<usize>),
    Refuse,
    Skip,
    Next(usize),
    /// By one tick.
    Extend,
    Pause,
    Resume,
}

/// The turn that a holder says it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// It does not say.
    None,
    /// The one that is held in the ring, or else the last that was.
    Current,
    /// The one before.
    Old,
    /// The one after.
    Next,
}

impl Fence {
    pub const ALL: [Fence; 4] = [Fence::None, Fence::Current, Fence::Old, Fence::Next];

    /// The turn that it names in a ring whose last turn was `last`.
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
