//! The host of the server: its actions and its view.

use std::collections::VecDeque;
use std::time::Duration;

use taketurns::engine::Engine;
use taketurns::protocol::Links;
use taketurns::protocol::turns::{Name, TurnEvent, TurnServer, Unruled, Verdict};
use taketurns::time::Now;
use taketurns::turn::{HeldClock, RingId, SeatId};

use super::{World, engine};

/// An accepted answer, as the host sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    pub at: Duration,
    pub seat: SeatId,
    /// The name of the ring; `None` if it is gone.
    pub ring: Option<String>,
    /// The name under which the seat was joined, or `raw-<seat>`.
    pub name: String,
    /// The name in a raw answer.
    pub raw_name: Option<String>,
    pub turn: u64,
    pub bytes: Vec<u8>,
    /// The number of other events that were reported before it.
    pub events_before: usize,
}

impl Accepted {
    pub fn text(&self) -> String {
        let name = self.raw_name.as_ref().unwrap_or(&self.name);
        format!("{name}:{}", String::from_utf8_lossy(&self.bytes))
    }
}

impl World {
    /// Acts as the host, and then runs everything that follows at once.
    pub fn act<R>(&mut self, act: impl FnOnce(&mut TurnServer, Now, &mut Links) -> R) -> R {
        let result = self.act_quietly(act);
        self.drive();
        result
    }

    /// Like [`act`](Self::act), but in the same pass as the next action.
    pub fn act_quietly<R>(&mut self, act: impl FnOnce(&mut TurnServer, Now, &mut Links) -> R) -> R {
        let now = self.now;
        self.has_acted = true;
        let result = self.engine.act(now, |server, links| act(server, now, links));
        self.take_events();
        result
    }

    /// Rules on the oldest proposal.
    pub fn rule(&mut self, verdict: Verdict<'_>) {
        self.try_rule(verdict).expect("a verdict in time");
    }

    /// Like [`try_rule`](Self::try_rule), but in the same pass as the next action.
    pub fn try_rule_quietly(&mut self, verdict: Verdict<'_>) -> Result<(), Unruled> {
        let proposal = self.proposals.pop_front().expect("a proposal");
        self.act_quietly(|server, now, links| server.rule(now, proposal, verdict, links))
    }

    pub fn try_rule(&mut self, verdict: Verdict<'_>) -> Result<(), Unruled> {
        let proposal = self.proposals.pop_front().expect("a proposal");
        self.act(|server, now, links| server.rule(now, proposal, verdict, links))
    }

    pub fn accept(&mut self) {
        self.rule(Verdict::ACCEPT);
    }

    pub fn refuse(&mut self, words: &str) {
        self.rule(Verdict::Refuse { words });
    }

    pub fn ring(&self, name: &str) -> RingId {
        self.server().ring_named(&name.parse().expect("a name")).expect("a ring with this name")
    }

    pub fn seat(&self, name: &str) -> SeatId {
        let name: Name = name.parse().expect("a name");
        self.server().seat_named(&"main".parse().expect("a name"), &name).expect("a seat with this name")
    }

    pub fn drain(&mut self) {
        self.drain_quietly();
        self.drive();
    }

    pub fn drain_quietly(&mut self) {
        let now = self.now;
        self.engine.drain(now);
        self.take_events();
    }

    /// Returns whether a seat of `ring` holds the turn.
    pub fn is_held(&self, ring: &str) -> bool {
        let ring = ring.parse().ok().and_then(|name| self.server().ring_named(&name));
        ring.is_some_and(|ring| self.server().scheduler().held(ring).is_some())
    }

    pub fn is_draining(&self) -> bool {
        Engine::is_draining(&self.engine)
    }

    /// How long the holder of `turn` in `ring` may still be silent, as the server has it; not at all before
    /// it is told. `None` if that turn is over.
    pub fn time_left(&self, ring: &str, turn: u64) -> Option<Duration> {
        let ring = self.server().ring_named(&ring.parse().expect("a name"))?;
        let held = self.server().scheduler().held(ring).filter(|held| held.turn.get() == turn)?;
        Some(match held.clock {
            HeldClock::Unreleased => Duration::ZERO,
            HeldClock::Running { deadline } => deadline.saturating_duration_since(self.now.instant),
            HeldClock::Stopped { left } | HeldClock::Judged { left, .. } => left,
        })
    }

    /// Kills the server, and every connection with it.
    pub fn kill_server(&mut self) {
        self.server_is_up = false;
        if let Some(store) = &mut self.store {
            store.crash();
        }
        self.net_mut().newcomers.iter_mut().for_each(VecDeque::clear);
        let at = self.elapsed();
        for pipe in &mut self.net_mut().pipes {
            pipe.closed_at.get_or_insert(at);
            pipe.is_gone = true;
            pipe.id = None;
        }
    }

    /// Starts another life of the server.
    pub fn start_server(&mut self) {
        self.lives += 1000;
        let net = std::mem::take(self.net_mut());
        self.engine = engine(&self.config, &self.driver, self.store.as_ref(), net, self.lives, self.now);
        if let Some(wires) = self.wires {
            super::offer(&mut self.engine, wires);
        }
        self.server_is_up = true;
    }

    /// Returns the events reported since the last call, without answers, proposals and clients to admit.
    pub fn new_events(&mut self) -> &[(Duration, TurnEvent)] {
        let from = std::mem::replace(&mut self.events_looked, self.events.len());
        &self.events[from..]
    }

    /// Returns all accepted answers so far, as `name:answer`.
    pub fn accepted(&self) -> Vec<String> {
        self.answers.iter().map(Accepted::text).collect()
    }
}
