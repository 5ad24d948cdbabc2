//! The status of turns, in virtual time and without sockets.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::protocol::turns::{Framing, Proposal, TurnServerConfig, Verdict};
use crate::protocol::{CloseReason, ConnectionId, Links, Origin, Protocol};
use crate::record::{MetaValue, State};
use crate::session::Epoch;
use crate::turn::{HoldMax, Judging, RingId, SeatState, Weight};

/// A server without sockets, and the tally about it.
struct World {
    now: Now,
    server: TurnServer,
    links: Links,
    tally: Tally,
    proposals: Vec<Proposal>,
    clients: Vec<ConnectionId>,
}

impl World {
    fn new(configure: impl FnOnce(&mut TurnServerConfig)) -> World {
        let mut config = TurnServerConfig { framing: Some(Framing::Line), ..TurnServerConfig::default() };
        configure(&mut config);
        World::of(TurnServer::new(config, Box::new(|bytes| bytes.fill(7))).expect("valid"))
    }

    /// A server with a store.
    fn recorded() -> World {
        let config = TurnServerConfig { framing: Some(Framing::Line), ..TurnServerConfig::default() };
        let state = State::new(MetaValue { epoch: Epoch(7), forgotten_turn: 0 });
        let restored = TurnServer::restore(Now::ORIGIN, config, Box::new(|bytes| bytes.fill(7)), &state);
        World::of(restored.expect("valid"))
    }

    fn of(server: TurnServer) -> World {
        let now = Now::ORIGIN;
        let (links, tally) = (Links::new(1 << 20), Tally::new(now.instant));
        World { now, server, links, tally, proposals: Vec::new(), clients: Vec::new() }
    }

    fn open(&mut self) -> ConnectionId {
        let peer = ([127, 0, 0, 1], 9).into();
        let id = self.links.open(peer);
        self.clients.push(id);
        self.server.handle_open(self.now, id, peer, Origin::Accepted, &mut self.links);
        self.end_pass();
        id
    }

    fn join<const N: usize>(&mut self, lines: [&str; N]) -> [ConnectionId; N] {
        lines.map(|line| {
            let id = self.open();
            self.say(id, &format!("JOIN {line}\n"));
            id
        })
    }

    fn say(&mut self, id: ConnectionId, text: &str) {
        let used = self.server.handle_bytes(self.now, id, text.as_bytes(), &mut self.links);
        assert_eq!(used, text.len(), "{text:?} is complete");
        self.end_pass();
    }

    fn lose(&mut self, id: ConnectionId) {
        self.server.handle_closed(self.now, id, CloseReason::Finished, &mut self.links);
        self.end_pass();
    }

    fn end_pass(&mut self) {
        for &id in &self.clients {
            self.links.consume(id, self.links.unsent(id).len());
        }
        self.server.handle_flushed(self.now, &mut self.links);
        self.tally.note_pass(self.now.instant, self.now.instant);
        while let Some(event) = self.server.poll_event() {
            self.server.note(&event, &mut self.tally);
            if let TurnEvent::Proposed(proposal) = event {
                self.proposals.push(proposal);
            }
        }
    }

    /// All that was recorded is durable.
    fn store(&mut self) {
        while let Some(record) = self.server.poll_record(self.now) {
            self.server.handle_durable(self.now, record.seq, &mut self.links);
        }
        self.end_pass();
    }

    fn wait(&mut self, time: Duration) {
        self.server.handle_timeout(self.now, &mut self.links);
        self.now.instant += time;
        self.server.handle_timeout(self.now, &mut self.links);
        self.end_pass();
    }

    fn ring(&self) -> RingId {
        self.server.scheduler().rings().next().expect("there is one")
    }

    fn state(&self) -> Value {
        let mut state = Fields::default();
        self.server.state(self.now, &self.tally, &mut state);
        serde_json::from_str(&state.into_text()).expect("JSON")
    }

    fn metrics(&self) -> String {
        let mut metrics = Metrics::default();
        self.server.metrics(&self.tally, &mut metrics);
        metrics.into_text()
    }

    #[track_caller]
    fn expect_metric(&self, line: &str) {
        let text = self.metrics();
        let line = format!("taketurns_{line}");
        assert!(text.lines().any(|told| told == line), "no {line} in {text}");
    }

    /// Compares the counts with those from iterating over all seats.
    fn check_counts(&self) {
        let scheduler = self.server.scheduler();
        let states: Vec<_> = scheduler.seats_of(self.ring()).map(|view| view.state).collect();
        let count = |is: fn(&SeatState) -> bool| states.iter().filter(|state| is(state)).count();
        let counted = [
            ("waiting", count(|state| *state == SeatState::Waiting)),
            ("resting", count(|state| *state == SeatState::Resting)),
            ("holding", count(|state| *state == SeatState::Holding)),
            ("judged", count(|state| *state == SeatState::Judged)),
            ("away", count(|state| matches!(state, SeatState::Away { .. }))),
        ];
        assert_eq!(SeatCounts::of(scheduler, self.ring()).by_state(), counted);
    }
}

fn judged(config: &mut TurnServerConfig) {
    config.rules.judging = Judging::Host;
    config.rules.weight_max = Weight::MAX;
}

#[test]
fn every_state_of_a_seat_is_reported_and_counted() {
    let mut world = World::new(judged);
    let [ann, _, _, dora] = world.join(["ann", "bob", "cid demand=ask weight=3", "dora"]);
    world.check_counts();
    world.say(ann, "ANSWER turn=1 :e4\n");
    world.lose(dora);
    world.check_counts();
    world.wait(Duration::from_secs(1));
    let state = world.state();
    let ring = &state["rings"][0];
    assert_eq!(
        ring["seats"],
        json!([
            {"seat": 1, "name": "ann", "state": "judged", "held_us": 1_000_000},
            {"seat": 2, "name": "bob", "state": "waiting", "held_us": 0},
            {"seat": 3, "name": "cid", "state": "resting", "weight": 3, "demand": "ask", "held_us": 0},
            {"seat": 4, "name": "dora", "state": "away", "held_us": 0, "grace_left_ms": 59_000},
        ])
    );
    assert_eq!(ring["counts"], json!({"waiting": 1, "resting": 1, "holding": 0, "judged": 1, "away": 1}));
    assert_eq!(
        ring["holder"],
        json!({
            "seat": 1, "name": "ann", "turn": 1, "clock": "judged", "left_ms": 30_000, "within_ms": 30_000,
            "judging_left_ms": 4_000,
        })
    );
    assert_eq!(state["proposals_waiting"], 1);
    for (seats, count) in [("waiting", 1), ("resting", 1), ("holding", 0), ("judged", 1), ("away", 1)] {
        world.expect_metric(&format!("seats{{state=\"{seats}\"}} {count}"));
    }
    for line in ["waiting 1", "turns_held 1", "proposals_waiting 1", "rings 1"] {
        world.expect_metric(line);
    }

    let proposal = world.proposals.pop().expect("Ann's");
    world.server.rule(world.now, proposal, Verdict::ACCEPT, &mut world.links).expect("it waits");
    world.end_pass();
    world.check_counts();
    let seat = &world.state()["rings"][0]["seats"][0];
    assert_eq!(
        (&seat["state"], &seat["answer"], &seat["turn"]),
        (&"waiting".into(), &"e4".into(), &1.into())
    );
    world.expect_metric("turns_total{outcome=\"answered\"} 1");
}

#[test]
fn a_host_that_does_not_judge_and_one_that_skips_are_counted() {
    let mut world = World::new(judged);
    let [ann, _] = world.join(["ann", "bob"]);
    world.say(ann, "ANSWER turn=1 :e4\n");
    world.wait(Duration::from_secs(5));
    let ring = world.ring();
    world.server.skip(world.now, ring, &mut world.links).expect("Bob holds it");
    world.end_pass();
    world.expect_metric("turns_total{outcome=\"lapsed\"} 1");
    world.expect_metric("turns_total{outcome=\"skipped\"} 1");
    let counts = Show::counts(&world.server, &world.tally);
    let counted = |name: &str| counts.iter().find(|count| count.name == name).map(|count| count.value);
    assert_eq!((counted("proposals"), counted("not_judged")), (Some(1), Some(1)));
    assert_eq!(
        world.state()["turns"],
        json!({"answered": 0, "passed": 0, "lapsed": 1, "skipped": 1, "gone": 0})
    );
}

#[test]
fn a_holder_that_is_lost_and_may_come_back_is_away_and_holds() {
    let mut world = World::new(|config| config.rules.turn_grace = Duration::from_secs(10));
    let [ann, ..] = world.join(["ann", "bob", "cid"]);
    world.lose(ann);
    world.check_counts();
    let ring = &world.state()["rings"][0];
    assert_eq!(ring["seats"][0], json!({"seat": 1, "name": "ann", "state": "away", "held_us": 0}));
    assert_eq!((&ring["holder"]["absent"], &ring["counts"]["away"]), (&true.into(), &1.into()));
    world.expect_metric("turns_held 1");
    world.wait(Duration::from_secs(10));
    world.check_counts();
    assert_eq!(world.state()["rings"][0]["holder"]["name"], "bob");
}

#[test]
fn a_hand_over_is_shown_when_it_is_stored() {
    let mut world = World::recorded();
    let [ann, bob] = world.join(["ann", "bob"]);
    let shown = |world: &World| {
        let ring = world.state()["rings"][0].clone();
        let states = [0, 1].map(|at| ring["seats"][at]["state"].as_str().expect("text").to_owned());
        let counts = ["waiting", "holding"].map(|state| ring["counts"][state].as_u64().expect("a number"));
        (ring["turn"].clone(), ring.get("holder").cloned(), states, counts)
    };
    assert_eq!(shown(&world), (0.into(), None, ["waiting"; 2].map(Into::into), [2, 0]));
    world.store();
    let running = |name, seat, turn| json!({"seat": seat, "name": name, "turn": turn, "clock": "running", "left_ms": 30_000, "within_ms": 30_000});
    let holds = ["holding", "waiting"].map(Into::into);
    assert_eq!(shown(&world), (1.into(), Some(running("ann", 1, 1)), holds.clone(), [1, 1]));
    world.say(ann, "ANSWER turn=1 :e4\n");
    let storing = json!({"seat": 1, "name": "ann", "turn": 1, "clock": "storing", "within_ms": 30_000});
    assert_eq!(shown(&world), (1.into(), Some(storing), holds, [1, 1]));
    assert_eq!(world.state()["rings"][0]["seats"][0].get("turn"), None, "nor is her answer");
    world.store();
    let moved = (2.into(), Some(running("bob", 2, 2)), ["waiting", "holding"].map(Into::into), [1, 1]);
    assert_eq!(shown(&world), moved);
    assert_eq!(world.state()["rings"][0]["seats"][0]["turn"], 1);
    world.lose(bob);
    world.store();
    world.join(["cid"]);
    assert_eq!(world.state()["rings"][0].get("holder"), None);
}

#[test]
fn a_ring_reports_why_it_has_stopped() {
    let mut world = World::new(|_| {});
    let [ann] = world.join(["ann"]);
    let ring = &world.state()["rings"][0];
    assert_eq!((&ring["needs"], &ring["paused"], ring.get("holder")), (&1.into(), &false.into(), None));
    world.wait(Duration::from_secs(2));
    world.join(["bob"]);
    world.wait(Duration::from_secs(3));
    world.server.pause(world.now, world.ring(), &mut world.links).expect("it exists");
    world.wait(Duration::from_secs(100));
    let ring = &world.state()["rings"][0];
    assert_eq!(
        (&ring["needs"], &ring["paused"], &ring["stopped_ms"]),
        (&0.into(), &true.into(), &102_000.into())
    );
    let holder = &ring["holder"];
    assert_eq!((&holder["clock"], &holder["left_ms"]), (&"paused".into(), &27_000.into()));
    world.expect_metric("longest_wait_stopped_seconds 102");
    world.lose(ann);
    world.check_counts();
}

#[test]
fn an_answer_is_cut_and_forgotten_with_its_seat() {
    let mut world = World::new(|_| {});
    let [ann, bob] = world.join(["ann", "bob"]);
    world.say(ann, &format!("ANSWER turn=1 bytes=100\n\0\n{}\n", "x".repeat(98)));
    let shown = format!("\\0\\n{}…", "x".repeat(36));
    assert_eq!(world.state()["rings"][0]["seats"][0]["answer"], shown);
    world.say(bob, "ANSWER turn=2 :<b>\n");
    assert_eq!(world.state()["rings"][0]["seats"][1]["answer"], "<b>");
    let seat = world.server.seat_of(ann).expect("she has one");
    assert!(world.tally.seats.last_answer(seat).is_some());
    world.say(ann, "LEAVE\n");
    assert!(world.tally.seats.last_answer(seat).is_none());
    assert_eq!(world.state()["rings"][0]["counts"]["waiting"], 1);
}

#[test]
fn a_raw_seat_is_shown_by_its_number_and_the_name_that_it_gave() {
    let mut world = World::new(|config| config.framing = Some(Framing::Raw));
    let ids = [(); 2].map(|()| world.open());
    let ring = &world.state()["rings"][0];
    assert_eq!(ring["holder"]["clock"], "untold", "the gap after WAIT");
    world.wait(Duration::from_secs(1));
    world.say(ids[0], "\u{202e}ann:-7");
    let ring = &world.state()["rings"][0];
    assert_eq!(
        ring["seats"][0],
        json!({
            "seat": 1, "name": "raw-1", "as": "\\u{202e}ann", "state": "waiting", "answer": "-7", "turn": 1,
            "held_us": 1_000_000,
        })
    );
    assert_eq!((&ring["seats"][1]["name"], ring["seats"][1].get("as")), (&"raw-2".into(), None));
    assert!(world.metrics().contains("taketurns_answer_seconds_count 0\n"), "its GO had to wait");
    world.say(ids[1], "bob:8");
    assert!(world.metrics().contains("taketurns_answer_seconds_count 1\n"));
}

#[test]
fn no_bound_is_reported_where_no_turn_is_limited() {
    let mut world = World::new(|_| {});
    let [ann, bob] = world.join(["ann", "bob"]);
    world.wait(Duration::from_secs(6));
    world.say(ann, "ANSWER turn=1 :1\n");
    for line in ["seconds 6", "bound_seconds 30", "ratio 0.2"] {
        world.expect_metric(&format!("longest_wait_{line}"));
    }
    let ring = &world.state()["rings"][0];
    assert_eq!((&ring["longest_wait_ms"], &ring["longest_wait_bound_ms"]), (&6_000.into(), &30_000.into()));
    world.say(bob, "ANSWER turn=2 :1\n");

    let mut world = World::new(|config| config.rules.hold_max = HoldMax::Unlimited);
    let [ann, _] = world.join(["ann", "bob"]);
    world.wait(Duration::from_secs(6));
    world.say(ann, "ANSWER turn=1 :1\n");
    world.expect_metric("longest_wait_seconds 6");
    assert!(
        !world.metrics().contains("longest_wait_bound") && !world.metrics().contains("longest_wait_ratio")
    );
    let ring = &world.state()["rings"][0];
    assert_eq!((ring.get("bound_ms"), ring.get("longest_wait_bound_ms")), (None, None));
}
