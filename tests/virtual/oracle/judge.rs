//! A judge of M12 and M15: it counts the turns of others and the ticks of every wait, and knows no tags.

/// One wait, from when a seat begins to stand in the queue to its turn.
#[derive(Debug, Clone, Copy)]
struct Wait {
    seat: usize,
    weight: u64,
    /// Turns that others have got since.
    turns: u64,
    /// Others that stood in the queue when it began.
    stood: u64,
    /// A turn was held then.
    held: bool,
    /// The greatest weight of others that stood in the queue or held at the same time.
    heaviest: u64,
    /// Ticks since it began, or its client came back.
    waited: u64,
}

impl Wait {
    fn turns_allowed(&self, has_weights: bool) -> u64 {
        self.stood + if has_weights { self.heaviest.div_ceil(self.weight) } else { 0 }
    }
}

/// The longest wait, in ticks, and the most turns that might have come first, one that was held included.
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
    /// The first wait that was too long, in words.
    pub broken: Option<String>,
    /// How often a wait has ended, and how often after as many turns as allowed.
    pub ended: u64,
    pub met: u64,
}

impl Judge {
    pub fn began(&mut self, seat: usize, weight: u64, stood: u64, held: bool) {
        self.has_weights |= weight > 1;
        self.waits.push(Wait { seat, weight, turns: 0, stood, held, heaviest: 0, waited: 0 });
    }

    /// Everything that is queued or holds weighs `weight` now.
    pub fn weighs(&mut self, weight: u64) {
        for wait in &mut self.waits {
            wait.heaviest = wait.heaviest.max(weight - wait.weight);
        }
    }

    /// Its client went: if it comes back, it has waited from then on.
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

    /// A turn begins. One that the host named is no turn more than the others waited for.
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
