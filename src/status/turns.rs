//! What a turn server shows: its rings, how their turns end, and how long that takes.

use serde::{Serialize, Serializer};

use super::metrics::float;
use super::tally::millis;
use super::{Count, Fields, Metrics, Show, Tally};
use crate::protocol::turns::{Code, Framing, Name, SeatData, TurnCounts, TurnEvent, TurnServer};
use crate::time::{Instant, Now};
use crate::turn::{LongestWait, RingId, Scheduler, SeatView, Standing};

/// A person sees no more of them at once.
const RINGS_SHOWN_MAX: usize = 8;
/// Of each ring.
const SEATS_SHOWN_MAX: usize = 64;

impl Show for TurnServer {
    fn name(&self) -> &'static str {
        "turns"
    }

    fn about(&self, about: &mut Fields) {
        let config = self.scheduler().config();
        let framing = match self.config().framing {
            Framing::Raw => "raw",
            Framing::Line => "line",
        };
        about.put("framing", &framing);
        about.put("epoch", &self.epoch().to_string());
        about.put("turn_deadline_ms", &millis(config.turn_deadline));
        about.put("seat_grace_ms", &millis(config.seat_grace));
        about.put("min_clients", &config.min_seats);
    }

    fn note(&self, event: &TurnEvent, tally: &mut Tally) {
        match event {
            TurnEvent::Granted { seat, deadline, .. } => {
                // In the raw framing a GO may be held back for a moment, and the deadline with it.
                let release = match *deadline {
                    Instant::FAR_FUTURE => Instant::FAR_FUTURE,
                    deadline => deadline - self.scheduler().config().turn_deadline,
                };
                tally.granted(seat.ring(), release);
            }
            TurnEvent::Accepted { seat, .. } => tally.answered(seat.ring()),
            TurnEvent::Skipped { seat, .. } => tally.ended(seat.ring()),
            _ => {}
        }
    }

    fn counts(&self, _: &Tally) -> Vec<Count> {
        let counts = TurnServer::counts(self);
        vec![
            Count {
                name: "repeated_answers",
                help: "Answers sent again, and confirmed again.",
                value: counts.repeated,
            },
            Count {
                name: "turned_away",
                help: "Clients turned away: no room, or draining.",
                value: counts.turned_away,
            },
        ]
    }

    fn metrics(&self, tally: &Tally, metrics: &mut Metrics) {
        let scheduler = self.scheduler();
        metrics.counters("turns", "Turns that ended, by how.", "outcome", outcomes(TurnServer::counts(self)));
        let told = |&code: &Code| (code.as_str(), self.refused_as(code));
        metrics.counters("refusals", "Inputs refused, by the code told.", "code", Code::ALL.iter().map(told));
        metrics.timings(tally.hand_overs());
        metrics.timings(tally.answers());
        let (rings, occupied, held) = scheduler.rings().fold((0, 0, 0), |(rings, occupied, held), ring| {
            let holds = usize::from(scheduler.held(ring).is_some());
            (rings + 1, occupied + scheduler.occupied(ring), held + holds)
        });
        let seats = [(["occupied"], float(occupied)), (["vacant"], float(scheduler.seats() - occupied))];
        metrics.gauge("rings", "Rings that exist.", float(rings));
        metrics.gauges("seats", "Seats, by whether somebody sits there.", ["state"], seats);
        metrics.gauge("turns_held", "Turns that are held at this moment.", float(held));
        metrics.gauge("waiting", "Seats that wait for the turn.", float(occupied.saturating_sub(held)));
        show_longest_wait(scheduler, metrics);
    }

    fn state(&self, now: Now, _: &Tally, state: &mut Fields) {
        let scheduler = self.scheduler();
        let rings: Vec<_> =
            scheduler.rings().take(RINGS_SHOWN_MAX).map(|ring| RingView::of(self, now, ring)).collect();
        state.put("rings", &rings);
        state.put("rings_left_out", &scheduler.rings().skip(RINGS_SHOWN_MAX).count());
        let mut turns = Fields::default();
        outcomes(TurnServer::counts(self)).iter().for_each(|(outcome, count)| turns.put(outcome, count));
        state.put_fields("turns", turns);
        let mut refusals = Fields::default();
        let told = Code::ALL.iter().filter(|&&code| self.refused_as(code) > 0);
        told.for_each(|&code| refusals.put(code.as_str(), &self.refused_as(code)));
        state.put_fields("refusals", refusals);
    }
}

fn outcomes(counts: TurnCounts) -> [(&'static str, u64); 4] {
    [
        ("answered", counts.accepted),
        ("passed", counts.passed),
        ("lapsed", counts.lapsed),
        ("gone", counts.gone),
    ]
}

/// Of all rings the one that came closest to its promise.
fn show_longest_wait(scheduler: &Scheduler<SeatData>, metrics: &mut Metrics) {
    let ratio = |wait: &LongestWait| match wait.bound.is_zero() {
        true => 0.0,
        false => wait.waited.as_secs_f64() / wait.bound.as_secs_f64(),
    };
    let waits = scheduler.rings().map(|ring| scheduler.longest_wait(ring));
    let worst = waits.max_by(|a, b| ratio(a).total_cmp(&ratio(b))).unwrap_or_default();
    let waited =
        "The longest wait for a turn that has ended, of the ring in which that came closest to its bound.";
    metrics.gauge("longest_wait_seconds", waited, worst.waited.as_secs_f64());
    metrics.gauge(
        "longest_wait_bound_seconds",
        "The bound that held for that wait.",
        worst.bound.as_secs_f64(),
    );
    metrics.gauge("longest_wait_ratio", "That wait as a part of its bound.", ratio(&worst));
}

#[derive(Serialize)]
struct RingView {
    name: Option<Shown>,
    turn: u64,
    occupied: usize,
    vacant: usize,
    weight: u64,
    longest_wait_ms: u64,
    bound_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<HolderView>,
    seats: Vec<SeatRow>,
    seats_left_out: usize,
}

#[derive(Serialize)]
struct HolderView {
    seat: u64,
    /// Here too, since of many seats the holder's may be left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Shown>,
    turn: u64,
    left_ms: u64,
    within_ms: u64,
}

#[derive(Serialize)]
struct SeatRow {
    seat: u64,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    turn: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_left_ms: Option<u64>,
}

/// A name as it came: a page shows it as text.
struct Shown(Name);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl RingView {
    fn of(server: &TurnServer, now: Now, ring: RingId) -> RingView {
        let scheduler = server.scheduler();
        let left = |until: Instant| millis(until.saturating_duration_since(now.instant));
        let holder = scheduler.held(ring).map(|held| HolderView {
            seat: held.seat.place(),
            name: scheduler.data(held.seat).and_then(SeatData::name).map(Shown),
            turn: held.turn.get(),
            left_ms: left(held.deadline),
            within_ms: millis(scheduler.config().turn_deadline),
        });
        let mut seats: Vec<_> =
            scheduler.seats_of(ring).take(SEATS_SHOWN_MAX).map(|view| SeatRow::of(&view, left)).collect();
        seats.sort_by_key(|row| row.seat);
        let (occupied, vacant) = (scheduler.occupied(ring), scheduler.vacant(ring));
        RingView {
            name: server.ring_name(ring).map(Shown),
            turn: scheduler.last_turn(Some(ring)),
            occupied,
            vacant,
            weight: scheduler.weight(ring),
            longest_wait_ms: millis(scheduler.longest_wait(ring).waited),
            bound_ms: millis(scheduler.waiting_bound(ring)),
            holder,
            seats_left_out: occupied + vacant - seats.len(),
            seats,
        }
    }
}

impl SeatRow {
    fn of(view: &SeatView<'_, SeatData>, left: impl Fn(Instant) -> u64) -> SeatRow {
        let (state, grace_left_ms) = match view.standing {
            Standing::Holding => ("holding", None),
            Standing::Waiting => ("waiting", None),
            Standing::Vacant { until } => ("vacant", Some(left(until))),
        };
        SeatRow {
            seat: view.seat.place(),
            state,
            name: view.data.name().map(Shown),
            number: view.last.map(|last| last.number),
            turn: view.last.map(|last| last.turn.get()),
            grace_left_ms,
        }
    }
}
