//! Who is next: the queue of seats that wait for the turn.
//!
//! Stride scheduling on a fixed grid. Virtual time is counted in laps of [`LAP`] points; a seat of weight `w`
//! owns `w` points in every lap, spread evenly, the first on the lap's start. The waiting seat with the lowest point is
//! next, and ties go by place. From that follow, exactly and not only on average:
//!
//! - equal weights: every seat once a lap, in the order of their places, which is ring order;
//! - any stretch of `LAP` points holds exactly `w` points of a seat, so between two turns of a weight-1
//!   seat every other seat has at most its weight in turns. That is the stated bound on waiting.
//!
//! The queue has two lanes. A seat that goes behind everybody (with equal weights, every seat after its turn)
//! is appended to a linked list: O(1). Any other insertion (weights differ, somebody joins in the middle of a lap) goes into a
//! tree: O(log n). The next seat is the smaller of the two heads. There is no mode to switch.

use std::collections::BTreeSet;

use super::seat::Weight;

/// Points in a lap: divisible by 1 to 16, so that common weights are spread without rounding.
const LAP: u64 = 720_720;

/// A seat's rank in the queue: its point on the grid, then ring order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Rank {
    pub(super) point: u64,
    /// Ring order: breaks ties between points; unique among the seats of a ring.
    pub(super) order: i64,
}

impl Rank {
    pub(super) fn lap(self) -> u64 {
        self.point / LAP
    }
}

/// A seat's claim on turns: its weight and the next of its points on the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) weight: Weight,
    lap: u64,
    /// Which of the seat's points within the lap, `0..weight`.
    nth: u8,
}

impl Share {
    /// The first claim at or after `point`.
    pub(super) fn starting_at(weight: Weight, point: u64) -> Share {
        let w = u64::from(weight.value());
        let (lap, offset) = (point / LAP, point % LAP);
        let nth = if offset == 0 { 0 } else { (offset - 1) * w / LAP + 1 };
        match u8::try_from(nth) {
            Ok(nth) if nth < weight.value() => Share { weight, lap, nth },
            _ => Share { weight, lap: lap + 1, nth: 0 },
        }
    }

    pub(super) fn point(&self) -> u64 {
        let within = match self.nth {
            0 => 0,
            nth => (u64::from(nth) * LAP).div_ceil(u64::from(self.weight.value())),
        };
        self.lap * LAP + within
    }

    /// Moves on to the next point: what a turn costs.
    pub(super) fn charge(&mut self) {
        self.nth += 1;
        if self.nth == self.weight.value() {
            (self.lap, self.nth) = (self.lap + 1, 0);
        }
    }

    /// Moves on until the seat with `order` stands behind `position`: turns missed while away are not made up for,
    /// or the seat would hold the turn many times in a row while the others starve.
    pub(super) fn catch_up(&mut self, position: Rank, order: i64) {
        if self.point() < position.point {
            *self = Share::starting_at(self.weight, position.point);
        }
        if self.point() == position.point && order <= position.order {
            self.charge();
        }
    }
}

const NIL: u32 = u32::MAX;

/// Where a slot's seat stands in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Out,
    List { prev: u32, next: u32 },
    Tree,
}

/// What a seat costs here, whether it waits or not.
#[cfg(test)]
pub(super) const NODE_BYTES: usize = size_of::<Node>();

#[derive(Debug, Clone, Copy)]
struct Node {
    rank: Rank,
    lane: Lane,
}

/// The seats that wait, by rank. Slots are those of the ring's slab.
#[derive(Debug)]
pub(super) struct Order {
    nodes: Vec<Node>,
    head: u32,
    tail: u32,
    tree: BTreeSet<(Rank, u32)>,
    len: usize,
}

impl Default for Order {
    fn default() -> Self {
        Order { nodes: Vec::new(), head: NIL, tail: NIL, tree: BTreeSet::new(), len: 0 }
    }
}

impl Order {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn contains(&self, slot: u32) -> bool {
        self.nodes.get(slot as usize).is_some_and(|node| node.lane != Lane::Out)
    }

    /// Queues `slot` by `rank`. It must not be queued already.
    pub(super) fn insert(&mut self, slot: u32, rank: Rank) {
        debug_assert!(!self.contains(slot), "a seat is queued once");
        if self.nodes.len() <= slot as usize {
            self.nodes.resize(slot as usize + 1, Node { rank: Rank::default(), lane: Lane::Out });
        }
        let lane = if self.tail == NIL {
            self.head = slot;
            Lane::List { prev: NIL, next: NIL }
        } else if self.nodes[self.tail as usize].rank < rank {
            let prev = self.tail;
            self.link_next(prev, slot);
            Lane::List { prev, next: NIL }
        } else {
            self.tree.insert((rank, slot));
            Lane::Tree
        };
        if lane != Lane::Tree {
            self.tail = slot;
        }
        self.nodes[slot as usize] = Node { rank, lane };
        self.len += 1;
    }

    /// Takes `slot` out, wherever it stands; nothing happens if it does not wait.
    pub(super) fn remove(&mut self, slot: u32) {
        let Some(&Node { rank, lane }) = self.nodes.get(slot as usize) else { return };
        match lane {
            Lane::Out => return,
            Lane::List { prev, next } => {
                if prev == NIL {
                    self.head = next;
                } else {
                    self.link_next(prev, next);
                }
                if next == NIL { self.tail = prev } else { self.link_prev(next, prev) }
            }
            Lane::Tree => {
                self.tree.remove(&(rank, slot));
            }
        }
        self.nodes[slot as usize].lane = Lane::Out;
        self.len -= 1;
    }

    /// The slot whose turn is next.
    pub(super) fn first(&self) -> Option<u32> {
        let list = (self.head != NIL).then(|| (self.nodes[self.head as usize].rank, self.head));
        match (list, self.tree.first()) {
            (Some(list), Some(&tree)) => Some(list.min(tree).1),
            (Some((_, slot)), None) | (None, Some(&(_, slot))) => Some(slot),
            (None, None) => None,
        }
    }

    /// How many others are in front of `slot` if it stands at `rank`. Walks the list: for what is said once a connection, not once a
    /// turn.
    pub(super) fn ahead_of(&self, slot: u32, rank: Rank) -> usize {
        if self.tail == slot && self.tree.last().is_none_or(|&(last, _)| last < rank) {
            return self.len - 1;
        }
        let ahead = |&other: &u32| other != slot && self.nodes[other as usize].rank < rank;
        let list = self.list().take_while(|other| *other == slot || ahead(other)).filter(ahead).count();
        list + self.tree.range(..(rank, slot)).filter(|&&(_, other)| other != slot).count()
    }

    fn list(&self) -> impl Iterator<Item = u32> {
        std::iter::successors((self.head != NIL).then_some(self.head), |&slot| {
            match self.nodes[slot as usize].lane {
                Lane::List { next, .. } if next != NIL => Some(next),
                _ => None,
            }
        })
    }

    /// Every queued slot with its rank, in no particular order: for the invariants.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, Rank)> {
        let list = self.list().map(|slot| (slot, self.nodes[slot as usize].rank));
        list.chain(self.tree.iter().map(|&(rank, slot)| (slot, rank)))
    }

    fn link_next(&mut self, slot: u32, to: u32) {
        if let Lane::List { next, .. } = &mut self.nodes[slot as usize].lane {
            *next = to;
        }
    }

    fn link_prev(&mut self, slot: u32, to: u32) {
        if let Lane::List { prev, .. } = &mut self.nodes[slot as usize].lane {
            *prev = to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(w: u8) -> Weight {
        Weight::new(w).expect("1 to 100")
    }

    #[test]
    fn any_lap_holds_exactly_weight_points() {
        for w in 1..=100 {
            let mut share = Share::starting_at(weight(w), 0);
            let mut points = Vec::new();
            for _ in 0..3 * u32::from(w) {
                points.push(share.point());
                share.charge();
            }
            assert!(points.windows(2).all(|pair| pair[0] < pair[1]), "weight {w} advances");
            for &start in &points[..usize::from(w)] {
                let inside = points.iter().filter(|&&p| (start..start + LAP).contains(&p)).count();
                assert_eq!(inside, usize::from(w), "weight {w} from {start}");
            }
        }
    }

    #[test]
    fn starting_at_finds_the_first_point_not_before() {
        for w in [1, 2, 3, 7, 40, 99, 100] {
            let mut share = Share::starting_at(weight(w), 0);
            let mut before = None;
            for _ in 0..2 * u32::from(w) {
                let point = share.point();
                assert_eq!(Share::starting_at(weight(w), point), share);
                if let Some(before) = before {
                    assert_eq!(Share::starting_at(weight(w), before + 1), share);
                }
                before = Some(point);
                share.charge();
            }
        }
    }

    #[test]
    fn equal_weights_never_leave_the_list() {
        let mut order = Order::default();
        let mut shares = vec![Share::starting_at(weight(5), 0); 50];
        let rank = |share: &Share, slot: u32| Rank { point: share.point(), order: i64::from(slot) };
        for slot in 0..50 {
            order.insert(slot, rank(&shares[slot as usize], slot));
        }
        for turn in 0..500 {
            let slot = order.first().expect("fifty wait");
            assert_eq!(slot, turn % 50, "ring order");
            order.remove(slot);
            let share = &mut shares[slot as usize];
            share.charge();
            order.insert(slot, rank(share, slot));
            assert!(order.tree.is_empty(), "O(1): nothing went into the tree");
        }
    }

    #[test]
    fn both_lanes_together_stay_sorted() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut order = Order::default();
        let mut model = BTreeSet::new();
        let mut ranks = [None; 40];
        for _ in 0..20_000 {
            let slot = random.u32(0..40);
            match ranks[slot as usize].take() {
                Some(rank) => {
                    model.remove(&(rank, slot));
                    order.remove(slot);
                }
                None => {
                    let rank = Rank { point: random.u64(0..90), order: i64::from(slot) };
                    ranks[slot as usize] = Some(rank);
                    model.insert((rank, slot));
                    order.insert(slot, rank);
                    assert_eq!(order.ahead_of(slot, rank), model.range(..(rank, slot)).count());
                }
            }
            assert_eq!(order.first(), model.first().map(|&(_, slot)| slot));
            assert_eq!(order.len(), model.len());
        }
    }
}
