//! The order of a ring: one fair queue over virtual time (start-time fair queuing).
//!
//! A seat that begins to wait gets a tag, *virtual time + 1/weight*, and the smallest tag is next. Virtual
//! time is the tag of the last turn that was granted, so it never moves back, and the tags of one weight only
//! grow: a list per weight keeps them sorted. With equal weights there is one list, and every operation is
//! O(1). Otherwise the next seat is the smallest of at most 100 heads of lists.
//!
//! The lists run through the seats themselves. A seat that is away keeps its place in its list, and is
//! dropped when it comes up.
//!
//! Seats that come back after a restart of the server have a list of their own, by tag, whatever their
//! weight. While they are expected, those that are away are passed over there, and keep their place.

use slab::Slab;

use super::seat::{Seat, Standing, Weight};
use super::snapshot::Tag;
use crate::hint::{likely, unlikely};
use crate::time::Instant;

impl Tag {
    /// Returns the tag of a seat of a weight above 1 that begins to wait at this virtual time.
    #[cold]
    fn after_part(self, weight: Weight, given: u64) -> Tag {
        let (part, carry) = self.part.overflowing_add(share(weight));
        Tag { whole: self.whole + u64::from(carry), part, given }
    }
}

/// Returns `ceil(2^64 / weight)` for a weight above 1.
fn share(weight: Weight) -> u64 {
    let weight = u128::from(weight.value());
    u64::try_from((1_u128 << 64).div_ceil(weight)).expect("a weight above 1 has a share below 2^64")
}

const NIL: u32 = u32::MAX;

/// The neighbours of a queued seat in the list of its weight. Valid only while the seat is queued. `prev` of
/// the first seat is never read, so removing it need not touch the next one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Links {
    prev: u32,
    next: u32,
}

impl Links {
    pub(super) const NONE: Links = Links { prev: NIL, next: NIL };
}

/// The queued seats of one weight, or those that came back, by tag.
#[derive(Debug, Clone)]
struct Lane {
    /// `None` for seats of any weight that came back.
    weight: Option<Weight>,
    head: u32,
    tail: u32,
    /// The number of its seats whose client is present.
    present: u32,
}

impl Lane {
    fn new(weight: Option<Weight>) -> Lane {
        Lane { weight, head: NIL, tail: NIL, present: 0 }
    }
}

/// The seats of a ring that are queued, by tag.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    /// The tag of the last turn that was granted from the queue.
    virtual_time: Tag,
    /// Tags handed out.
    given: u64,
    /// Queued seats, including those that are away.
    len: u32,
    ones: Lane,
    /// The lists of weights above 1, and of seats that came back. Empty in nearly every ring.
    heavy: Vec<Lane>,
    /// The number of the last tag that a returned seat can have; 0 in a ring that was not restored.
    returned: u64,
    /// Returned seats that are away are passed over, and keep their place.
    passes_over: bool,
}

impl Default for Queue {
    fn default() -> Self {
        let virtual_time = Tag::default();
        Queue {
            virtual_time,
            given: 0,
            len: 0,
            ones: Lane::new(Some(Weight::ONE)),
            heavy: Vec::new(),
            returned: 0,
            passes_over: false,
        }
    }
}

impl Queue {
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Returns the number of queued seats whose client is present.
    pub(super) fn present(&self) -> u32 {
        self.lanes().map(|lane| lane.present).sum()
    }

    /// Returns how far `tag` is after virtual time, in whole turns of weight 1 and units of 2^-64.
    pub(super) fn distance(&self, tag: Tag) -> (u64, u64) {
        let (part, borrow) = tag.part.overflowing_sub(self.virtual_time.part);
        (tag.whole.wrapping_sub(self.virtual_time.whole).wrapping_sub(borrow.into()), part)
    }

    /// Returns how the lists differ from their seats, if they do.
    pub(super) fn fault<S>(&self, seats: &Slab<Seat<S>>) -> Option<String> {
        let listed: usize = self.lanes().map(|lane| self.lane_slots(seats, lane).count()).sum();
        if listed != self.len as usize {
            return Some(format!("{listed} seats are in lists, {} counted", self.len));
        }
        self.lanes().find_map(|lane| self.fault_of(seats, lane))
    }

    fn fault_of<S>(&self, seats: &Slab<Seat<S>>, lane: &Lane) -> Option<String> {
        let slots: Vec<u32> = self.lane_slots(seats, lane).collect();
        let listed = || slots.iter().map(|&slot| &seats[slot as usize]);
        let links = || listed().map(|seat| seat.links.prev).skip(1).chain([lane.tail]);
        let is_linked = if slots.is_empty() { lane.tail == NIL } else { links().eq(slots.iter().copied()) };
        let is_of_it = listed().all(|seat| {
            let has_returned = seat.tag.given <= self.returned;
            let is_of_lane =
                lane.weight.map_or(has_returned, |weight| seat.weight == weight && !has_returned);
            is_of_lane && seat.standing == Standing::Queued
        });
        let is_by_age = lane.weight.is_some();
        let is_sorted =
            listed().map(|seat| seat.tag).is_sorted_by(|a, b| a < b && (!is_by_age || a.given < b.given));
        let is_ahead =
            listed().all(|seat| (seat.tag > self.virtual_time || !is_by_age) && seat.tag.given <= self.given);
        let present = listed().filter(|seat| seat.occupied).count();
        let is_sound = is_linked && is_of_it && is_sorted && is_ahead && present == lane.present as usize;
        (!is_sound).then(|| format!("{slots:?}, {present} present, in {lane:?}"))
    }

    /// Gives the seat at `slot` a tag and queues it after all others of its weight: its wait begins at `own`,
    /// by the ring's own clock.
    #[inline]
    pub(super) fn push<S>(&mut self, seats: &mut Slab<Seat<S>>, slot: u32, own: Instant, is_held: bool) {
        self.given += 1;
        let seat = &mut seats[slot as usize];
        (seat.standing, seat.turns_first) = (Standing::Queued, self.len + u32::from(is_held));
        let (weight, occupied) = (seat.weight, seat.occupied);
        if likely(occupied) {
            seat.since = own;
        }
        self.len += 1;
        let lane = if likely(weight == Weight::ONE) {
            seat.tag =
                Tag { whole: self.virtual_time.whole + 1, part: self.virtual_time.part, given: self.given };
            &mut self.ones
        } else {
            seat.tag = self.virtual_time.after_part(weight, self.given);
            self.heavy_lane(weight)
        };
        lane.present += u32::from(occupied);
        let tail = std::mem::replace(&mut lane.tail, slot);
        seat.links = Links { prev: tail, next: NIL };
        match seats.get_mut(tail as usize) {
            Some(tail) => tail.links.next = slot,
            None => lane.head = slot,
        }
    }

    /// Removes the queued seat at `slot`, wherever it is.
    #[inline(never)]
    pub(super) fn remove<S>(&mut self, seats: &mut Slab<Seat<S>>, slot: u32) {
        let seat = &seats[slot as usize];
        let Links { prev, next } = seat.links;
        let (weight, tag, occupied) = (seat.weight, seat.tag, seat.occupied);
        self.len -= 1;
        let lane = self.lane(weight, tag);
        lane.present -= u32::from(occupied);
        let is_first = lane.head == slot;
        if is_first {
            lane.head = next;
        } else {
            seats[prev as usize].links.next = next;
        }
        let lane = self.lane(weight, tag);
        match next {
            NIL => lane.tail = if is_first { NIL } else { prev },
            next => seats[next as usize].links.prev = prev,
        }
    }

    /// Removes the seat with the smallest tag, if there are only seats of weight 1 and its client is present:
    /// it gets the turn, and virtual time moves to its tag.
    #[inline(always)]
    pub(super) fn pop<S>(&mut self, seats: &mut Slab<Seat<S>>) -> Option<u32> {
        let slot = self.ones.head;
        let seat = seats.get(slot as usize).filter(|seat| seat.occupied & self.heavy.is_empty())?;
        // As `remove`, for the head of the only list.
        self.virtual_time = seat.tag;
        self.len -= 1;
        self.ones.present -= 1;
        self.ones.head = seat.links.next;
        if unlikely(self.ones.head == NIL) {
            self.ones.tail = NIL;
        }
        Some(slot)
    }

    /// Does the same for seats of any weight, including those that are away: the slot of a seat that is away
    /// is an error, and virtual time does not move.
    pub(super) fn pop_of_many<S>(&mut self, seats: &mut Slab<Seat<S>>) -> Option<Result<u32, u32>> {
        let slot = self.first(seats)?;
        self.remove(seats, slot);
        if self.returned > 0 {
            self.heavy.retain(|lane| lane.weight.is_some() || lane.head != NIL);
        }
        let seat = &seats[slot as usize];
        if !seat.occupied {
            return Some(Err(slot));
        }
        // The tag of a returned seat may be before virtual time.
        self.virtual_time = self.virtual_time.max(seat.tag);
        Some(Ok(slot))
    }

    #[cfg(test)]
    pub(super) fn pass(&mut self, tag: Tag) {
        self.virtual_time = tag;
    }

    /// Notes that the client of a queued seat with this weight and tag came back or went away.
    pub(super) fn set_present(&mut self, weight: Weight, tag: Tag, present: bool) {
        let lane = self.lane(weight, tag);
        if present {
            lane.present += 1;
        } else {
            lane.present -= 1;
        }
    }

    fn first<S>(&self, seats: &Slab<Seat<S>>) -> Option<u32> {
        let heads = self.lanes().filter_map(|lane| match lane.weight {
            _ if lane.weight.is_some() || !self.passes_over => Some(lane.head).filter(|&head| head != NIL),
            None if lane.present == 0 => None,
            _ => self.lane_slots(seats, lane).find(|&slot| seats[slot as usize].occupied),
        });
        heads.min_by_key(|&head| seats[head as usize].tag)
    }

    /// Counts the seats that are present and have a smaller tag than the one at `slot`, which has just been
    /// queued.
    ///
    /// Only lighter seats can have been queued before and come after it: their lists are walked from the end,
    /// for [`WALK_MAX`] seats at most. For a seat that is further from the end the count is an estimate.
    pub(super) fn ahead_of<S>(&self, seats: &Slab<Seat<S>>, slot: u32) -> usize {
        let tag = seats[slot as usize].tag;
        self.lanes().map(|lane| ahead_in(lane, seats, tag)).sum()
    }

    /// Returns the queued slots, smallest tag first. Costs O(n log n) with different weights.
    pub(super) fn in_order<S>(&self, seats: &Slab<Seat<S>>) -> Vec<u32> {
        let mut slots: Vec<u32> = self.lanes().flat_map(|lane| self.lane_slots(seats, lane)).collect();
        if !self.heavy.is_empty() {
            slots.sort_by_key(|&slot| seats[slot as usize].tag);
        }
        slots
    }

    fn lane_slots<'a, S>(
        &self,
        seats: &'a Slab<Seat<S>>,
        lane: &Lane,
    ) -> impl Iterator<Item = u32> + use<'a, S> {
        let some = |slot: u32| (slot != NIL).then_some(slot);
        std::iter::successors(some(lane.head), move |&at| some(seats[at as usize].links.next))
    }

    /// Returns the number handed out with the tag of the longest-queued seat.
    pub(super) fn oldest_given<S>(&self, seats: &Slab<Seat<S>>) -> Option<u64> {
        let given = |slot: u32| seats[slot as usize].tag.given;
        let oldest = self.lanes().filter_map(|lane| match lane.weight {
            Some(_) => Some(lane.head).filter(|&head| head != NIL).map(given),
            None => self.lane_slots(seats, lane).map(given).min(),
        });
        oldest.min()
    }

    /// Makes the queue of a ring that was stored: `waiting` are its queued seats, all of them away, by tag.
    pub(super) fn restored<S>(
        virtual_time: Tag,
        given: u64,
        seats: &mut Slab<Seat<S>>,
        waiting: &[(Tag, u32)],
    ) -> Queue {
        let mut queue = Queue { virtual_time, given, returned: given, passes_over: true, ..Queue::default() };
        queue.len = u32::try_from(waiting.len()).expect("max_seats fits 32 bits");
        let Some((&(_, head), &(_, tail))) = waiting.first().zip(waiting.last()) else { return queue };
        let slots = || waiting.iter().map(|&(_, slot)| slot);
        let (before, after) = ([NIL].into_iter().chain(slots()), slots().skip(1).chain([NIL]));
        for ((slot, prev), next) in slots().zip(before).zip(after) {
            let seat = &mut seats[slot as usize];
            (seat.links, seat.turns_first) = (Links { prev, next }, queue.len);
        }
        queue.heavy.push(Lane { weight: None, head, tail, present: 0 });
        queue
    }

    /// Removes the seats that were restored with the ring and whose clients have not come back.
    pub(super) fn end_return<S>(&mut self, seats: &mut Slab<Seat<S>>) -> Vec<u32> {
        self.passes_over = false;
        let Some(lane) = self.heavy.iter().find(|lane| lane.weight.is_none()) else { return Vec::new() };
        let away: Vec<u32> =
            self.lane_slots(seats, lane).filter(|&slot| !seats[slot as usize].occupied).collect();
        away.iter().for_each(|&slot| self.remove(seats, slot));
        self.heavy.retain(|lane| lane.weight.is_some() || lane.head != NIL);
        away
    }

    pub(super) fn virtual_time(&self) -> Tag {
        self.virtual_time
    }

    pub(super) fn given(&self) -> u64 {
        self.given
    }

    fn lanes(&self) -> impl Iterator<Item = &Lane> {
        std::iter::once(&self.ones).chain(&self.heavy)
    }

    #[inline]
    fn lane(&mut self, weight: Weight, tag: Tag) -> &mut Lane {
        if unlikely(tag.given <= self.returned) {
            return self.lane_of_returned();
        }
        if unlikely(weight != Weight::ONE) {
            return self.heavy_lane(weight);
        }
        &mut self.ones
    }

    #[cold]
    fn lane_of_returned(&mut self) -> &mut Lane {
        let lane = self.heavy.iter_mut().find(|lane| lane.weight.is_none());
        lane.expect("the list is there while a seat is in it")
    }

    #[cold]
    fn heavy_lane(&mut self, weight: Weight) -> &mut Lane {
        let at = self.heavy.iter().position(|lane| lane.weight == Some(weight));
        let at = at.unwrap_or_else(|| {
            self.heavy.retain(|lane| lane.head != NIL);
            self.heavy.push(Lane::new(Some(weight)));
            self.heavy.len() - 1
        });
        &mut self.heavy[at]
    }
}

/// The number of seats of a lane that are visited to count those ahead of another one. A client can ask for
/// that count in four bytes, as often as it likes.
const WALK_MAX: usize = 256;

/// Returns how many present seats of `lane` have a tag smaller than `tag`: an estimate if more than
/// [`WALK_MAX`] have a greater one.
fn ahead_in<S>(lane: &Lane, seats: &Slab<Seat<S>>, tag: Tag) -> usize {
    let (mut at, mut ahead) = (lane.tail, lane.present as usize);
    for _ in 0..WALK_MAX {
        let Some(seat) = seats.get(at as usize).filter(|seat| seat.tag >= tag) else { return ahead };
        ahead -= usize::from(seat.occupied);
        if at == lane.head {
            return ahead;
        }
        at = seat.links.prev;
    }
    let given_before =
        seats.get(lane.head as usize).map_or(0, |head| tag.given.saturating_sub(head.tag.given));
    usize::try_from(given_before).unwrap_or(usize::MAX).min(ahead)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::Demand;

    #[derive(Default)]
    struct Line {
        queue: Queue,
        seats: Slab<Seat<()>>,
    }

    impl Line {
        fn add(&mut self, weight: u8) -> u32 {
            let seat = Seat {
                data: (),
                place: 1,
                tag: Tag::default(),
                since: Instant::ORIGIN,
                turns_first: 0,
                links: Links::NONE,
                weight: Weight::new(weight).expect("1 to 100"),
                demand: Demand::Always,
                standing: Standing::Queued,
                occupied: true,
            };
            let slot = u32::try_from(self.seats.insert(seat)).expect("few seats");
            self.queue.push(&mut self.seats, slot, Instant::ORIGIN, false);
            slot
        }

        fn pop(&mut self) -> Option<u32> {
            let of_one = self.queue.pop(&mut self.seats);
            let popped = of_one.map(Ok).or_else(|| self.queue.pop_of_many(&mut self.seats))?;
            Some(popped.unwrap_or_else(|away| away))
        }

        fn drop(&mut self, slot: u32) {
            let seat = &mut self.seats[slot as usize];
            seat.occupied = false;
            self.queue.set_present(seat.weight, seat.tag, false);
        }

        fn check(&self) {
            assert_eq!(self.queue.fault(&self.seats), None);
        }
    }

    #[test]
    fn equal_weights_come_in_the_order_of_queuing() {
        let mut line = Line::default();
        let slots: Vec<u32> = (0..5).map(|_| line.add(1)).collect();
        line.queue.remove(&mut line.seats, slots[2]);
        line.check();
        assert_eq!(line.queue.in_order(&line.seats), [0, 1, 3, 4]);
        let popped: Vec<u32> = std::iter::from_fn(|| line.pop()).collect();
        assert_eq!((popped, line.queue.len()), (vec![0, 1, 3, 4], 0));
    }

    #[test]
    fn a_seat_may_leave_from_any_place() {
        for gone in 0..3 {
            let mut line = Line::default();
            let slots: Vec<u32> = (0..3).map(|_| line.add(1)).collect();
            line.queue.remove(&mut line.seats, slots[gone]);
            line.check();
            let last = line.add(1);
            let left: Vec<u32> =
                slots.into_iter().filter(|&slot| slot as usize != gone).chain([last]).collect();
            // Its seat is still in the slab, but not in the queue.
            line.seats[gone].standing = Standing::Resting;
            line.check();
            assert_eq!(line.queue.in_order(&line.seats), left);
        }
    }

    /// While it is there, every turn takes the long way.
    #[test]
    fn the_list_of_restored_seats_goes_with_the_last_of_them() {
        let mut line = Line::default();
        let slots: Vec<u32> = (0..3).map(|_| line.add(1)).collect();
        let waiting: Vec<_> = slots.iter().map(|&slot| (line.seats[slot as usize].tag, slot)).collect();
        line.queue = Queue::restored(Tag::default(), line.queue.given(), &mut line.seats, &waiting);
        for (tag, slot) in waiting {
            line.queue.set_present(Weight::ONE, tag, true);
            assert_eq!(line.pop(), Some(slot));
            assert_eq!(line.queue.heavy.is_empty(), slot == slots[2]);
        }
    }

    #[test]
    fn the_heaviest_is_first_and_equal_tags_go_by_age() {
        let mut line = Line::default();
        let [one, two, hundred, other_two] = [1, 2, 100, 2].map(|weight| line.add(weight));
        line.check();
        assert_eq!(line.queue.in_order(&line.seats), [hundred, two, other_two, one]);
        assert_eq!([(); 4].map(|()| line.pop()), [hundred, two, other_two, one].map(Some));
    }

    #[test]
    fn a_share_is_rounded_up_in_units_of_2_to_the_minus_64() {
        let share_of = |weight| share(Weight::new(weight).expect("2 to 100"));
        assert_eq!((share_of(2), share_of(3)), (1 << 63, u64::MAX / 3 + 1));
        let start = Tag { whole: 7, part: u64::MAX, given: 1 };
        let half = start.after_part(Weight::new(2).expect("1 to 100"), 2);
        assert_eq!(half, Tag { whole: 8, part: (1 << 63) - 1, given: 2 }, "the carry is not lost");
    }

    #[test]
    fn the_seats_ahead_are_those_present_with_a_smaller_tag() {
        let mut line = Line::default();
        let [first, second, third] = [1, 1, 1].map(|weight| line.add(weight));
        line.drop(first);
        let ahead = |line: &Line, slot| line.queue.ahead_of(&line.seats, slot);
        assert_eq!([first, second, third].map(|slot| ahead(&line, slot)), [0, 0, 1]);
        let heavy = line.add(10);
        assert_eq!([heavy, second, third].map(|slot| ahead(&line, slot)), [0, 1, 2]);
    }

    #[test]
    fn the_number_ahead_of_a_seat_far_from_the_end_is_estimated() {
        let mut line = Line::default();
        let slots: Vec<u32> = (0..1_000).map(|_| line.add(1)).collect();
        let ahead = |line: &Line, nth: usize| line.queue.ahead_of(&line.seats, slots[nth]);
        assert_eq!([0, 500, 999].map(|nth| ahead(&line, nth)), [0, 500, 999]);
        slots[1..100].iter().for_each(|&slot| line.queue.remove(&mut line.seats, slot));
        assert_eq!([0, 900].map(|nth| ahead(&line, nth)), [0, 900 - 99], "exact near the ends");
        assert_eq!(ahead(&line, 500), 500, "99 of them are gone, but the walk would be too long");
    }

    #[test]
    fn lists_of_weights_that_are_gone_make_room() {
        let mut line = Line::default();
        for weight in (2..=100).cycle().take(500) {
            line.add(weight);
            line.pop();
        }
        assert!(line.queue.heavy.len() <= 2, "{} lists", line.queue.heavy.len());
    }
}
