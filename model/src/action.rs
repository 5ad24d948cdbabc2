//! What can happen to a scheduler in a small world, one step at a time.

/// One step. Seats are numbered as the judge lists them, rings too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A client takes a new seat in a ring, or the first one of a new ring.
    Join { ring: Option<usize>, weight: u8 },
    /// Somebody sits down on a seat that was taken before.
    Occupy(usize),
    /// The connection of a seat is lost.
    Vacate(usize),
    /// A seat is given up.
    Leave(usize),
    /// A seat answers.
    Answer(usize, Fence),
    /// A seat gives its turn up.
    Pass(usize, Fence),
    /// The next grant to a seat takes effect a tick from now.
    HoldBack(usize),
    /// All that can be asked for a seat, for one that is gone.
    Haunt,
    /// All that has to be refused in this state, or asks for what is so already.
    Trespass,
    /// Time goes on by one tick, and the scheduler is called if it asked for it.
    Tick,
    /// The host wants to stop.
    Drain,
}

/// Which turn an answer says that it means, and which number it brings.
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
    /// The one that the seat answered last, with the same number.
    Again,
    /// The one that the seat answered last, with another number.
    Changed,
}

impl Fence {
    /// What an answer can say.
    pub const OF_ANSWERS: [Fence; 6] =
        [Fence::None, Fence::Current, Fence::Old, Fence::Next, Fence::Again, Fence::Changed];
    /// What a pass can say.
    pub const OF_PASSES: [Fence; 3] = [Fence::None, Fence::Current, Fence::Old];
}
