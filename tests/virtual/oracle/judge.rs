//! A judge of M12 and M15, which counts the turns of others and the ticks of every wait, and knows nothing
//! about tags.

/// One wait, from when a seat enters the queue until its turn.
#[derive(Debug, Clone, Copy)]
struct Wait {
    seat: usize,
    weight: u64,
    /// The number of turns that others have got since.
    turns: u64,
    /// The number of others that were queued when it began.
    stood: u64,
    /// Whether a turn was held then.
    held: bool,
    /// The greatest weight of others that were queued or held the turn during the wait.
    heaviest: u64,
    /// Ticks since it began, or since its client came back.
    waited: u64,
}

impl Wait {
    fn turns_allowed(&self, has_weights: bool) -> u64 {
        self.stood + if has_weights { self.heaviest.div_ceil(self.weight) } else { 0 }
    }
}

/// The longest wait in ticks, and the most turns that might have come first, including one that was held.
#[derive(Debug, Clone, Copy, Default)]
pub struct Longest {
    pub ticks: u64,
    pub turns: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Judge {
    waits: Vec<Wait>,
    has_weights: bool,
    pub longest: Longest,
    /// A description of the first wait that was too long.
    pub broken: Option<String>,
    /// How many waits have ended. Below, how many of these after as many turns as allowed.
    pub ended: u64,
    pub met: u64,
}

impl Judge {
    pub fn began(&mut self, seat: usize, weight: u64, stood: u64, held: bool) {
        self.has_weights |= weight > 1;
        self.waits.push(Wait { seat, weight, turns: 0, stood, held, heaviest: 0, waited: 0 });
    }

    /// Notes the total weight of all seats that are queued or hold the turn.
    pub fn weighs(&mut self, weight: u64) {
        for wait in &mut self.waits {
            wait.heaviest = wait.heaviest.max(weight - wait.weight);
        }
    }

    /// Its client left. If it comes back, its wait counts from then on.
    pub fn interrupted(&mut self, seat: usize) {
        for wait in self.waits.iter_mut().filter(|wait| wait.seat == seat) {
            wait.waited = 0;
        }
    }

    pub fn waited(&mut self, seats: Vec<usize>) {
        for wait in self.waits.iter_mut().filter(|wait| seats.contains(&wait.seat)) {
            wait.waited += 1;
        }
    }

    pub fn stopped(&mut self, seat: usize) {
        self.waits.retain(|wait| wait.seat != seat);
    }

    /// Notes a grant. A turn that the host named does not count for the others.
    pub fn granted(&mut self, seat: usize, named: bool) {
        let at = self.waits.iter().position(|wait| wait.seat == seat).expect("it waited");
        let over = self.waits.remove(at);
        let allowed = over.turns_allowed(self.has_weights);
        (self.ended, self.met) = (self.ended + 1, self.met + u64::from(over.turns == allowed));
        if over.waited > self.longest.ticks {
            self.longest = Longest { ticks: over.waited, turns: allowed + u64::from(over.held) };
        }
        let has_weights = self.has_weights;
        for wait in self.waits.iter_mut().filter(|_| !named) {
            wait.turns += 1;
            if wait.turns > wait.turns_allowed(has_weights) {
                self.broken.get_or_insert_with(|| format!("{wait:?}"));
            }
        }
    }
}
