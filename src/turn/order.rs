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
use crate::table::growth;

/// Points in a lap: divisible by 1 to 16, so that common weights are spread without rounding.
const LAP: u64 = 720_720;

/// A seat's rank in the queue: its point on the grid, then ring order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
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
    point: u64,
    pub(super) weight: Weight,
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
            Ok(nth) if nth < weight.value() => Share { point: lap * LAP + within(weight, nth), weight, nth },
            _ => Share { point: (lap + 1) * LAP, weight, nth: 0 },
        }
    }

    pub(super) fn point(&self) -> u64 {
        self.point
    }

    /// Moves on to the next point: what a turn costs.
    pub(super) fn charge(&mut self) {
        let lap = self.point - within(self.weight, self.nth);
        self.nth += 1;
        if self.nth == self.weight.value() {
            (self.point, self.nth) = (lap + LAP, 0);
        } else {
            self.point = lap + within(self.weight, self.nth);
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

/// How far behind its lap's start the `nth` point of a seat of `weight` is.
fn within(weight: Weight, nth: u8) -> u64 {
    match nth {
        0 => 0,
        nth => (u64::from(nth) * LAP).div_ceil(u64::from(weight.value())),
    }
}

/// No slot: the end of the list, in either direction.
const NIL: u32 = u32::MAX;
/// In place of `next`: the slot does not wait.
const OUT: u32 = u32::MAX - 1;
/// In place of `next`: the slot waits in the tree.
const TREE: u32 = u32::MAX - 2;

/// What a seat costs here, whether it waits or not.
#[cfg(test)]
pub(super) const NODE_BYTES: usize = size_of::<Node>();

/// Where a slot's seat stands in the queue.
#[derive(Debug, Clone, Copy)]
struct Node {
    prev: u32,
    next: u32,
}

/// The seats that wait, by rank. Slots are those of the ring's slab.
///
/// Ranks are the seats', and are not kept here again, but for a bound on the last one's: whoever calls says what they are. The rank of a seat must not change
/// while it waits.
#[derive(Debug, Clone)]
pub(super) struct Order {
    nodes: Vec<Node>,
    head: u32,
    tail: u32,
    /// No lower than that of the last one in the list: whoever ranks above it goes behind that one.
    tail_rank: Rank,
    tree: BTreeSet<(Rank, u32)>,
    len: usize,
}

impl Default for Order {
    fn default() -> Self {
        Order {
            nodes: Vec::new(),
            head: NIL,
            tail: NIL,
            tail_rank: Rank::default(),
            tree: BTreeSet::new(),
            len: 0,
        }
    }
}

impl Order {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn contains(&self, slot: u32) -> bool {
        self.nodes.get(slot as usize).is_some_and(|node| node.next != OUT)
    }

    /// Queues `slot` by its rank. It must not be queued already.
    #[inline(always)]
    pub(super) fn insert(&mut self, slot: u32, rank: Rank) {
        debug_assert!(!self.contains(slot), "a seat is queued once");
        if self.nodes.len() <= slot as usize {
            self.grow(slot);
        }
        self.len += 1;
        let tail = self.tail;
        if tail == NIL {
            self.head = slot;
        } else if self.tail_rank < rank {
            self.nodes[tail as usize].next = slot;
        } else {
            return self.insert_into_tree(slot, rank);
        }
        self.nodes[slot as usize] = Node { prev: tail, next: NIL };
        (self.tail, self.tail_rank) = (slot, rank);
    }

    #[cold]
    fn grow(&mut self, slot: u32) {
        self.nodes.reserve(growth::<Node>(self.nodes.len()));
        self.nodes.resize(slot as usize + 1, Node { prev: NIL, next: OUT });
    }

    #[inline(never)]
    fn insert_into_tree(&mut self, slot: u32, rank: Rank) {
        self.nodes[slot as usize].next = TREE;
        self.tree.insert((rank, slot));
    }

    #[inline(never)]
    fn remove_from_tree(&mut self, slot: u32, rank: Rank) {
        self.tree.remove(&(rank, slot));
    }

    /// Takes `slot` out, wherever it stands; nothing happens if it does not wait.
    #[inline(always)]
    pub(super) fn remove(&mut self, slot: u32, rank: Rank) {
        let Some(node) = self.nodes.get_mut(slot as usize) else { return };
        let Node { prev, next } = *node;
        node.next = OUT;
        match next {
            OUT => return,
            TREE => self.remove_from_tree(slot, rank),
            next => self.unlink(prev, next),
        }
        self.len -= 1;
    }

    fn unlink(&mut self, prev: u32, next: u32) {
        match prev {
            NIL => self.head = next,
            prev => self.nodes[prev as usize].next = next,
        }
        match next {
            NIL => self.tail = prev,
            next => self.nodes[next as usize].prev = prev,
        }
    }

    /// The slot with the lowest rank.
    pub(super) fn first(&self, rank_of: impl Fn(u32) -> Rank) -> Option<u32> {
        let list = (self.head != NIL).then_some(self.head);
        match (list, self.tree.first()) {
            (list, None) => list,
            (None, Some(&(_, slot))) => Some(slot),
            (Some(list), Some(&tree)) => Some(tree.min((rank_of(list), list)).1),
        }
    }

    /// How many others are in front of `slot` if it stands at `rank`. Walks the list: for what is said once a connection, not once a
    /// turn.
    pub(super) fn ahead_of(&self, slot: u32, rank: Rank, rank_of: impl Fn(u32) -> Rank) -> usize {
        if self.tail == slot && self.tree.last().is_none_or(|&(last, _)| last < rank) {
            return self.len - 1;
        }
        let ahead = |&other: &u32| other != slot && rank_of(other) < rank;
        let list = self.list().take_while(|other| *other == slot || ahead(other)).filter(ahead).count();
        list + self.tree.range(..(rank, slot)).filter(|&&(_, other)| other != slot).count()
    }

    /// Whether the rank by which seats go behind the last one of the list is no lower than that one's: for the invariants.
    pub(super) fn bounds_its_tail(&self, rank_of: impl Fn(u32) -> Rank) -> bool {
        self.tail == NIL || rank_of(self.tail) <= self.tail_rank
    }

    /// The slots of the list, first to last.
    pub(super) fn list(&self) -> impl Iterator<Item = u32> {
        let waiting = |slot: u32| (slot != NIL).then_some(slot);
        std::iter::successors(waiting(self.head), move |&slot| waiting(self.nodes[slot as usize].next))
    }

    /// Every queued slot with the rank that it has here, in no particular order: for the invariants.
    pub(super) fn iter(&self, rank_of: impl Fn(u32) -> Rank) -> impl Iterator<Item = (u32, Rank)> {
        let list = self.list().map(move |slot| (slot, rank_of(slot)));
        list.chain(self.tree.iter().map(|&(rank, slot)| (slot, rank)))
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
    fn laps_are_counted_from_0_and_beyond_32_bits() {
        assert_eq!([0, LAP - 1, LAP, 3 * LAP + 1].map(|point| Rank { point, order: 1 }.lap()), [0, 0, 1, 3]);
        for lap in [1, u64::from(u32::MAX), 1 << 32, (3 << 32) + 5] {
            let mut share = Share::starting_at(weight(1), lap * LAP);
            assert_eq!(share.point(), lap * LAP);
            share.charge();
            assert_eq!(share.point(), (lap + 1) * LAP);
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
            let slot = order.first(|slot| rank(&shares[slot as usize], slot)).expect("fifty wait");
            assert_eq!(slot, turn % 50, "ring order");
            order.remove(slot, rank(&shares[slot as usize], slot));
            shares[slot as usize].charge();
            order.insert(slot, rank(&shares[slot as usize], slot));
            assert!(order.tree.is_empty(), "O(1): nothing went into the tree");
        }
    }

    #[test]
    fn both_lanes_together_stay_sorted() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut order = Order::default();
        let mut model = BTreeSet::new();
        let mut ranks = [Rank::default(); 40];
        for _ in 0..20_000 {
            let slot = random.u32(0..40);
            let rank = ranks[slot as usize];
            if model.remove(&(rank, slot)) {
                order.remove(slot, rank);
            } else {
                let rank = Rank { point: random.u64(0..90), order: i64::from(slot) };
                ranks[slot as usize] = rank;
                model.insert((rank, slot));
                let rank_of = |slot: u32| ranks[slot as usize];
                order.insert(slot, rank);
                assert_eq!(order.ahead_of(slot, rank, rank_of), model.range(..(rank, slot)).count());
            }
            assert_eq!(order.first(|slot| ranks[slot as usize]), model.first().map(|&(_, slot)| slot));
            assert_eq!(order.len(), model.len());
        }
    }
}
