//! The status of a turn server: its rings, and the outcomes and times of their turns.

mod rings;
#[cfg(test)]
mod tests;

use self::rings::{RingView, SeatCounts, is_judged};
use super::metrics::float;
use super::tally::millis;
use super::{Count, Fields, Metrics, Show, Tally};
use crate::protocol::turns::{Code, SeatData, TurnCounts, TurnEvent, TurnServer};
use crate::time::{Instant, Now};
use crate::turn::{HeldClock, LongestWait, Scheduler, SeatId, TurnNumber};

/// The most rings in the feed, because a person cannot watch more at once.
const RINGS_SHOWN_MAX: usize = 8;

impl Show for TurnServer {
    fn name(&self) -> &'static str {
        "turns"
    }

    fn about(&self, about: &mut Fields) {
        let rules = &self.config().rules;
        about.put("framing", &self.config().framing.map_or("auto".to_owned(), |framing| framing.to_string()));
        about.put("epoch", &self.epoch().to_string());
        about.put("turn_deadline_ms", &millis(rules.turn_deadline));
        about.put("seat_grace_ms", &millis(rules.seat_grace));
        about.put("min_seats", &rules.min_seats);
    }

    fn note(&self, event: &TurnEvent, tally: &mut Tally) {
        match event {
            TurnEvent::Granted { seat, turn } => {
                tally.granted(*seat, *turn, is_told(self.scheduler(), *seat, *turn));
            }
            TurnEvent::Accepted { seat, turn, answer } => {
                if let Some(answer) = self.answer(*answer) {
                    tally.seats.record_answer(*seat, *turn, answer.bytes);
                }
                tally.answered(*seat);
            }
            TurnEvent::Ended { seat, .. } => tally.ended(*seat),
            TurnEvent::Retired { seat, .. } => tally.retired(*seat),
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
                name: "proposals",
                help: "Answers that went to the host to judge.",
                value: counts.proposed,
            },
            Count {
                name: "not_judged",
                help: "Answers that the host did not judge in time.",
                value: counts.not_judged,
            },
            Count {
                name: "turned_away",
                help: "Clients turned away: no room, or draining.",
                value: counts.turned_away,
            },
            Count {
                name: "forbidden",
                help: "Clients that the host or a rule refused.",
                value: counts.forbidden,
            },
        ]
    }

    fn metrics(&self, tally: &Tally, metrics: &mut Metrics) {
        let scheduler = self.scheduler();
        metrics.counters(
            "turns",
            "Turns that ended, by outcome.",
            "outcome",
            outcomes(TurnServer::counts(self)),
        );
        let told = |&code: &Code| (code.as_str(), self.refused_as(code));
        metrics.counters("refusals", "Inputs refused, by code.", "code", Code::ALL.iter().map(told));
        metrics.timings(tally.hand_overs());
        metrics.timings(tally.answers());
        let mut seats = SeatCounts::default();
        scheduler.rings().for_each(|ring| seats.add(SeatCounts::of(scheduler, ring)));
        metrics.gauge("rings", "Rings that exist.", float(scheduler.rings().count()));
        metrics.gauges(
            "seats",
            "Seats, by state.",
            ["state"],
            seats.by_state().map(|(state, count)| ([state], float(count))),
        );
        metrics.gauge("turns_held", "Turns that are held now.", float(seats.held));
        metrics.gauge("waiting", "Seats that wait for the turn.", float(seats.waiting));
        metrics.gauge(
            "proposals_waiting",
            "Answers that wait for the host's verdict.",
            float(seats.proposals),
        );
        show_longest_wait(scheduler, tally.pass_began(), metrics);
    }

    fn state(&self, now: Now, tally: &Tally, state: &mut Fields) {
        let scheduler = self.scheduler();
        let rings: Vec<_> = scheduler
            .rings()
            .take(RINGS_SHOWN_MAX)
            .map(|ring| RingView::of(self, now, tally, ring))
            .collect();
        state.put("rings", &rings);
        state.put("rings_left_out", &scheduler.rings().skip(RINGS_SHOWN_MAX).count());
        state.put("proposals_waiting", &scheduler.rings().filter(|&ring| is_judged(scheduler, ring)).count());
        let mut turns = Fields::default();
        outcomes(TurnServer::counts(self)).iter().for_each(|(outcome, count)| turns.put(outcome, count));
        state.put_fields("turns", turns);
        let mut refusals = Fields::default();
        let told = Code::ALL.iter().filter(|&&code| self.refused_as(code) > 0);
        told.for_each(|&code| refusals.put(code.as_str(), &self.refused_as(code)));
        state.put_fields("refusals", refusals);
    }
}

/// Returns whether the holder of a turn that was granted in the last pass was told in that pass. If the turn
/// has ended since, it was.
fn is_told(scheduler: &Scheduler<SeatData>, seat: SeatId, turn: TurnNumber) -> bool {
    let held = scheduler.held_by(seat).filter(|held| held.turn == turn);
    held.is_none_or(|held| held.clock != HeldClock::Unreleased)
}

fn outcomes(counts: TurnCounts) -> [(&'static str, u64); 5] {
    [
        ("answered", counts.accepted),
        ("passed", counts.passed),
        ("lapsed", counts.lapsed),
        ("skipped", counts.skipped),
        ("gone", counts.gone),
    ]
}

/// Adds the ring that came closest to breaking its promise, or, if no ring promises anything, the ring in
/// which a seat waited for longest.
fn show_longest_wait(scheduler: &Scheduler<SeatData>, now: Instant, metrics: &mut Metrics) {
    let ratio = |wait: &LongestWait| {
        let bound = wait.bound.filter(|bound| !bound.is_zero())?;
        Some(wait.waited.as_secs_f64() / bound.as_secs_f64())
    };
    let waits = scheduler.rings().map(|ring| (scheduler.longest_wait(ring), scheduler.stopped(ring, now)));
    let closest = |(wait, _): &(LongestWait, _)| (ratio(wait).unwrap_or(-1.0), wait.waited);
    let worst = waits.max_by(|a, b| {
        let (a, b) = (closest(a), closest(b));
        a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
    });
    let (wait, stopped) = worst.unwrap_or_default();
    let waited =
        "The longest wait for a turn that has ended, of the ring in which that came closest to its bound.";
    metrics.gauge("longest_wait_seconds", waited, wait.waited.as_secs_f64());
    let stood = "How long the clock of that ring, by which waits are measured, has stood: below quorum, paused, until holders were \
        told, and for what the host added.";
    metrics.gauge("longest_wait_stopped_seconds", stood, stopped.as_secs_f64());
    if let Some((bound, ratio)) = wait.bound.zip(ratio(&wait)) {
        let bounded = "The bound of that wait. Absent if the ring's rules limit no turn.";
        metrics.gauge("longest_wait_bound_seconds", bounded, bound.as_secs_f64());
        metrics.gauge("longest_wait_ratio", "That wait as a fraction of its bound.", ratio);
    }
}
