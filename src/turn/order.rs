//! Who is next: the queue of seats that wait for the turn, by the rank that each has (`share.rs`).
//!
//! The queue has two lanes. A seat that goes behind everybody (with equal weights, every seat after its turn)
//! is the last one of a linked list: O(1). Any other insertion (weights differ, somebody joins in the middle of a lap) goes into a
//! tree: O(log n). The next seat is the smaller of the two heads. There is no mode to switch.
//!
//! The list is a ring, and the seat whose turn it is stays in it: when it goes behind everybody, only the head moves on.

use std::collections::BTreeSet;

use super::share::Rank;
use crate::hint::{likely, unlikely};
use crate::table::growth;

/// No slot: the list is empty.
const NIL: u32 = u32::MAX;
/// In place of `next`: the slot is not here.
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
    /// The first of the list; the last one is before it.
    head: u32,
    /// The head has been taken, and waits no longer.
    head_is_taken: bool,
    /// No lower than that of the last one in the list: whoever ranks above it goes behind that one.
    tail_rank: Rank,
    tree: BTreeSet<(Rank, u32)>,
}

impl Default for Order {
    fn default() -> Self {
        Order {
            nodes: Vec::new(),
            head: NIL,
            head_is_taken: false,
            tail_rank: Rank::default(),
            tree: BTreeSet::new(),
        }
    }
}

impl Order {
    /// Whether `slot` waits.
    pub(super) fn contains(&self, slot: u32) -> bool {
        self.nodes.get(slot as usize).is_some_and(|node| node.next != OUT) && !self.is_taken(slot)
    }

    /// Whether `slot` has been taken, and is still in the list.
    fn is_taken(&self, slot: u32) -> bool {
        self.head_is_taken && self.head == slot
    }

    /// Queues `slot` by its rank. It must not wait already; that it was taken is no matter.
    #[inline]
    pub(super) fn insert(&mut self, slot: u32, rank: Rank) {
        debug_assert!(!self.contains(slot), "a seat is queued once");
        if unlikely(!self.is_taken(slot)) {
            return self.insert_newcomer(slot, rank);
        }
        self.head_is_taken = false;
        if likely(self.tail_rank < rank) {
            // Behind all others, it comes last already if the next one comes first.
            self.head = self.nodes[slot as usize].next;
            self.tail_rank = rank;
        } else {
            self.unlink(slot);
            self.insert_into_tree(slot, rank);
        }
    }

    #[inline(never)]
    fn insert_newcomer(&mut self, slot: u32, rank: Rank) {
        if self.nodes.len() <= slot as usize {
            self.nodes.reserve(growth::<Node>(self.nodes.len()));
            self.nodes.resize(slot as usize + 1, Node { prev: NIL, next: OUT });
        }
        if self.head == NIL {
            self.head = slot;
            self.nodes[slot as usize] = Node { prev: slot, next: slot };
        } else if self.tail_rank < rank {
            let (tail, head) = (self.tail(), self.head);
            self.nodes[tail as usize].next = slot;
            self.nodes[head as usize].prev = slot;
            self.nodes[slot as usize] = Node { prev: tail, next: head };
        } else {
            return self.insert_into_tree(slot, rank);
        }
        self.tail_rank = rank;
    }

    #[inline(never)]
    fn insert_into_tree(&mut self, slot: u32, rank: Rank) {
        self.nodes[slot as usize].next = TREE;
        self.tree.insert((rank, slot));
    }

    /// Takes out `slot`, which waits at `rank` or has been taken; nothing happens if it is not here.
    pub(super) fn remove(&mut self, slot: u32, rank: Rank) {
        match self.nodes.get(slot as usize).map_or(OUT, |node| node.next) {
            OUT => return,
            TREE => _ = self.tree.remove(&(rank, slot)),
            _ => self.unlink(slot),
        }
        self.nodes[slot as usize].next = OUT;
    }

    /// Takes `slot` out of the list.
    #[cold]
    fn unlink(&mut self, slot: u32) {
        let Node { prev, next } = self.nodes[slot as usize];
        self.nodes[prev as usize].next = next;
        self.nodes[next as usize].prev = prev;
        if self.head == slot {
            self.head = if next == slot { NIL } else { next };
            self.head_is_taken = false;
        }
    }

    /// Takes the slot with the lowest rank. Whoever was taken before has been queued again or removed.
    ///
    /// # Panics
    ///
    /// When none waits.
    #[inline]
    pub(super) fn take_first(&mut self, rank_of: impl Fn(u32) -> Rank) -> u32 {
        debug_assert!(!self.head_is_taken, "one at a time");
        if unlikely(self.head == NIL || !self.tree.is_empty()) {
            return self.take_first_of_both(rank_of);
        }
        self.head_is_taken = true;
        self.head
    }

    #[inline(never)]
    fn take_first_of_both(&mut self, rank_of: impl Fn(u32) -> Rank) -> u32 {
        let slot = self.first(rank_of).expect("whoever takes one knows that one waits");
        if slot == self.head {
            self.head_is_taken = true;
        } else {
            self.tree.pop_first();
            self.nodes[slot as usize].next = OUT;
        }
        slot
    }

    /// The slot with the lowest rank.
    pub(super) fn first(&self, rank_of: impl Fn(u32) -> Rank) -> Option<u32> {
        let list = self.list().next().map(|slot| (rank_of(slot), slot));
        let tree = self.tree.first().copied();
        list.into_iter().chain(tree).min().map(|(_, slot)| slot)
    }

    /// The last one of the list, which is not empty.
    fn tail(&self) -> u32 {
        self.nodes[self.head as usize].prev
    }

    /// How many others are in front of `slot` if it stands at `rank`; `others` wait in all. Walks the list: for what is said once a
    /// connection, not once a turn.
    pub(super) fn ahead_of(
        &self,
        slot: u32,
        rank: Rank,
        others: usize,
        rank_of: impl Fn(u32) -> Rank,
    ) -> usize {
        let is_last = self.head != NIL && self.tail() == slot;
        if is_last && self.tree.last().is_none_or(|&(last, _)| last < rank) {
            return others;
        }
        let ahead = |&other: &u32| other != slot && rank_of(other) < rank;
        let list = self.list().take_while(|other| *other == slot || ahead(other)).filter(ahead).count();
        list + self.tree.range(..(rank, slot)).filter(|&&(_, other)| other != slot).count()
    }

    /// Whether the rank by which seats go behind the last one of the list is no lower than that one's: for the invariants.
    pub(super) fn bounds_its_tail(&self, rank_of: impl Fn(u32) -> Rank) -> bool {
        self.head == NIL || rank_of(self.tail()) <= self.tail_rank
    }

    /// The slots of the list that wait, first to last.
    pub(super) fn list(&self) -> impl Iterator<Item = u32> {
        let linked = std::iter::successors((self.head != NIL).then_some(self.head), move |&slot| {
            let next = self.nodes[slot as usize].next;
            (next != self.head).then_some(next)
        });
        linked.skip(usize::from(self.head_is_taken))
    }

    /// Every queued slot with the rank that it has here, in no particular order: for the invariants.
    pub(super) fn iter(&self, rank_of: impl Fn(u32) -> Rank) -> impl Iterator<Item = (u32, Rank)> {
        let list = self.list().map(move |slot| (slot, rank_of(slot)));
        list.chain(self.tree.iter().map(|&(rank, slot)| (slot, rank)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::seat::Weight;
    use super::super::share::Share;
    use super::*;

    fn weight(w: u8) -> Weight {
        Weight::new(w).expect("1 to 100")
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
            let slot = order.take_first(|slot| rank(&shares[slot as usize], slot));
            assert_eq!(slot, turn % 50, "ring order");
            assert!(!order.contains(slot));
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
        let mut taken = None;
        for _ in 0..40_000 {
            let slot = random.u32(0..40);
            let rank = ranks[slot as usize];
            if random.u8(0..4) == 0 && taken.is_none() && !model.is_empty() {
                taken = Some(order.take_first(|slot| ranks[slot as usize]));
                assert_eq!(taken, model.pop_first().map(|(_, slot)| slot));
            } else if model.remove(&(rank, slot))
                || random.bool() && taken.take_if(|it| *it == slot).is_some()
            {
                order.remove(slot, rank);
            } else {
                taken.take_if(|it| *it == slot);
                let rank = Rank { point: random.u64(0..90), order: i64::from(slot) };
                ranks[slot as usize] = rank;
                model.insert((rank, slot));
                order.insert(slot, rank);
                let ahead = order.ahead_of(slot, rank, model.len() - 1, |slot| ranks[slot as usize]);
                assert_eq!(ahead, model.range(..(rank, slot)).count());
            }
            let rank_of = |slot: u32| ranks[slot as usize];
            assert_eq!(order.first(rank_of), model.first().map(|&(_, slot)| slot));
            assert!(order.iter(rank_of).map(|(slot, rank)| (rank, slot)).collect::<BTreeSet<_>>() == model);
            assert!(order.list().map(rank_of).is_sorted() && order.bounds_its_tail(rank_of));
            assert!((0..40).all(|slot| order.contains(slot) == model.contains(&(rank_of(slot), slot))));
        }
    }
}
