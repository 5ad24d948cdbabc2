//! Rings and their seats, as the feed reports them.

use std::time::Duration;

use serde::Serialize;

use crate::protocol::turns::{SeatData, TurnServer};
use crate::status::Tally;
use crate::status::seats::excerpt;
use crate::status::tally::{micros, millis};
use crate::time::{Instant, Now};
use crate::turn::{
    Demand, Held, HeldClock, RingId, Scheduler, SeatId, SeatState, SeatView, TurnNumber, Weight,
};

/// The most seats per ring in the feed, because a person cannot watch more at once.
const SEATS_SHOWN_MAX: usize = 64;

#[derive(Serialize)]
pub(super) struct RingView {
    name: Option<String>,
    /// The last turn that was granted.
    turn: u64,
    paused: bool,
    /// The number of seats still missing before the ring continues.
    needs: usize,
    counts: SeatCounts,
    /// The total weight of all seats that are queued or hold the turn.
    weight: u64,
    longest_wait_ms: u64,
    /// The bound of that wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    longest_wait_bound_ms: Option<u64>,
    /// The bound of a wait that would begin now.
    #[serde(skip_serializing_if = "Option::is_none")]
    bound_ms: Option<u64>,
    /// How long the clock that measures waits has stood still.
    stopped_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<HolderView>,
    seats: Vec<SeatRow>,
    seats_left_out: usize,
}

#[derive(Serialize)]
struct HolderView {
    seat: u64,
    /// Repeated here because the holder's seat may be among those left out.
    name: String,
    turn: u64,
    /// `running`, or the reason why it stands still: `untold`, `paused`, `judged`, or `storing` while the end
    /// of the turn waits for the store.
    clock: &'static str,
    /// The time left to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_ms: Option<u64>,
    within_ms: u64,
    /// The time left to the host for judging.
    #[serde(skip_serializing_if = "Option::is_none")]
    judging_left_ms: Option<u64>,
    /// Whether its connection is lost and the turn waits for it.
    #[serde(skip_serializing_if = "is_false")]
    absent: bool,
}

#[derive(Serialize)]
struct SeatRow {
    seat: u64,
    state: &'static str,
    name: String,
    /// The name that a raw client wrote in its last answer, escaped and cut.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    raw_name: Option<String>,
    /// `None` if it is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u8>,
    /// `None` if it is `always`.
    #[serde(skip_serializing_if = "Option::is_none")]
    demand: Option<&'static str>,
    /// The last answer that counted, escaped and cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
    /// The turn of that answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    turn: Option<u64>,
    /// The total time for which it has held turns.
    held_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_left_ms: Option<u64>,
}

/// Returns how long a holder of `ring` may be silent.
fn within(server: &TurnServer, ring: RingId) -> Duration {
    server.scheduler().rules(ring).unwrap_or(&server.config().rules).turn_deadline
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A hand-over that waits for the store. Nobody is told about it until it is durable, so the feed still shows
/// the last holder.
#[derive(Clone, Copy)]
struct Storing {
    next: Held,
    last: Option<(SeatId, TurnNumber)>,
}

impl Storing {
    fn of(server: &TurnServer, tally: &Tally, ring: RingId) -> Option<Storing> {
        let scheduler = server.scheduler();
        let next = scheduler.held(ring).filter(|held| server.is_untold(held.seat, held.turn))?;
        let is_there = |seat| seat == next.seat && !next.absent || scheduler.is_waiting(seat);
        Some(Storing { next, last: tally.holder(ring).filter(|&(seat, _)| is_there(seat)) })
    }

    fn turn(self) -> u64 {
        self.last.map_or(self.next.turn.get() - 1, |(_, turn)| turn.get())
    }

    fn has(self, seat: SeatId) -> bool {
        self.last.is_some_and(|(last, _)| last == seat)
    }

    fn holder(self, server: &TurnServer, within: Duration) -> Option<HolderView> {
        self.last.map(|(seat, turn)| HolderView {
            seat: seat.place(),
            name: server.name_of(seat).to_string(),
            turn: turn.get(),
            clock: "storing",
            left_ms: None,
            within_ms: millis(within),
            judging_left_ms: None,
            absent: false,
        })
    }

    fn correct(self, counts: &mut SeatCounts) {
        if !self.next.absent {
            counts.holding -= 1;
            counts.waiting += 1;
        }
        if self.last.is_some() {
            counts.waiting -= 1;
            counts.holding += 1;
        }
    }
}

impl RingView {
    pub(super) fn of(server: &TurnServer, now: Now, tally: &Tally, ring: RingId) -> RingView {
        let scheduler = server.scheduler();
        let storing = Storing::of(server, tally, ring);
        let mut counts = SeatCounts::of(scheduler, ring);
        if let Some(storing) = storing {
            storing.correct(&mut counts);
        }
        let rows = scheduler.seats_of(ring).take(SEATS_SHOWN_MAX);
        let row = |view| SeatRow::of(server, now.instant, tally, storing, &view);
        let mut seats: Vec<_> = rows.map(row).collect();
        seats.sort_by_key(|row| row.seat);
        let wait = scheduler.longest_wait(ring);
        RingView {
            name: server.ring_name(ring).map(|name| name.as_str().to_owned()),
            turn: storing.map_or_else(|| scheduler.last_turn(Some(ring)), Storing::turn),
            paused: scheduler.is_paused(ring),
            needs: scheduler.seats_missing(ring),
            counts,
            weight: scheduler.weight(ring),
            longest_wait_ms: millis(wait.waited),
            longest_wait_bound_ms: wait.bound.map(millis),
            bound_ms: scheduler.waiting_bound(ring).map(millis),
            stopped_ms: millis(scheduler.stopped(ring, now.instant)),
            holder: match storing {
                Some(storing) => storing.holder(server, within(server, ring)),
                None => scheduler.held(ring).map(|held| HolderView::of(server, now.instant, &held)),
            },
            seats_left_out: scheduler.seat_count(ring) - seats.len(),
            seats,
        }
    }
}

impl HolderView {
    fn of(server: &TurnServer, now: Instant, held: &Held) -> HolderView {
        let left = |until: Instant| millis(until.saturating_duration_since(now));
        let (clock, left_ms) = match held.clock {
            HeldClock::Unreleased => ("untold", None),
            HeldClock::Running { deadline } => ("running", Some(left(deadline))),
            HeldClock::Stopped { left } => ("paused", Some(millis(left))),
            HeldClock::Judged { left, .. } => ("judged", Some(millis(left))),
        };
        let judging_left_ms = match held.clock {
            HeldClock::Judged { until, .. } => Some(left(until)),
            _ => None,
        };
        HolderView {
            seat: held.seat.place(),
            name: server.name_of(held.seat).to_string(),
            turn: held.turn.get(),
            clock,
            left_ms,
            within_ms: millis(within(server, held.seat.ring())),
            judging_left_ms,
            absent: held.absent,
        }
    }
}

impl SeatRow {
    fn of(
        server: &TurnServer,
        now: Instant,
        tally: &Tally,
        storing: Option<Storing>,
        view: &SeatView<'_, SeatData>,
    ) -> SeatRow {
        let has_turn = storing.is_some_and(|storing| storing.has(view.seat));
        let (state, until) = match view.state {
            _ if has_turn => ("holding", None),
            SeatState::Holding if storing.is_some() => ("waiting", None),
            SeatState::Waiting => ("waiting", None),
            SeatState::Resting => ("resting", None),
            SeatState::Holding => ("holding", None),
            SeatState::Judged => ("judged", None),
            SeatState::Away { until } => ("away", until),
        };
        let answer = tally.seats.last_answer(view.seat);
        let turn = answer.map(|(turn, _)| turn).or(view.data.last_accepted().filter(|_| !has_turn));
        SeatRow {
            seat: view.seat.place(),
            state,
            name: server.name_of(view.seat).to_string(),
            raw_name: view.data.raw_name().map(|name| excerpt(name.as_bytes())),
            weight: Some(view.weight).filter(|&weight| weight != Weight::ONE).map(Weight::value),
            demand: (view.demand == Demand::Ask).then_some("ask"),
            answer: answer.map(|(_, answer)| answer.to_owned()),
            turn: turn.map(TurnNumber::get),
            held_us: micros(tally.held(now, view.seat)),
            grace_left_ms: until.map(|until| millis(until.saturating_duration_since(now))),
        }
    }
}

/// The number of seats in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct SeatCounts {
    pub(super) waiting: usize,
    resting: usize,
    holding: usize,
    judged: usize,
    away: usize,
    /// Turns that are held, including those of seats that are away.
    #[serde(skip)]
    pub(super) held: usize,
    /// Answers that the host is judging, including those of seats that are away.
    #[serde(skip)]
    pub(super) proposals: usize,
}

impl SeatCounts {
    /// Counts without iterating over the seats.
    pub(super) fn of(scheduler: &Scheduler<SeatData>, ring: RingId) -> SeatCounts {
        let (held, waiting) = (scheduler.held(ring), scheduler.waiting(ring));
        let count = |condition: bool| usize::from(condition);
        let (is_held, is_judged) = (held.is_some(), is_judged(scheduler, ring));
        let is_absent = held.is_some_and(|held| held.absent);
        SeatCounts {
            waiting,
            resting: scheduler.occupied(ring).saturating_sub(waiting + count(is_held)),
            holding: count(is_held && !is_judged && !is_absent),
            judged: count(is_judged && !is_absent),
            away: scheduler.away(ring) + count(is_absent),
            held: count(is_held),
            proposals: count(is_judged),
        }
    }

    pub(super) fn add(&mut self, other: SeatCounts) {
        self.waiting += other.waiting;
        self.resting += other.resting;
        self.holding += other.holding;
        self.judged += other.judged;
        self.away += other.away;
        self.held += other.held;
        self.proposals += other.proposals;
    }

    pub(super) fn by_state(&self) -> [(&'static str, usize); 5] {
        [
            ("waiting", self.waiting),
            ("resting", self.resting),
            ("holding", self.holding),
            ("judged", self.judged),
            ("away", self.away),
        ]
    }
}

/// Returns whether an answer in `ring` is being judged.
pub(super) fn is_judged(scheduler: &Scheduler<SeatData>, ring: RingId) -> bool {
    scheduler.held(ring).is_some_and(|held| matches!(held.clock, HeldClock::Judged { .. }))
}
