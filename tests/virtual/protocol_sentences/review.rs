//! Cases in which two sentences meet: a verdict that never comes and a client that leaves; a grace and a raw
//! newcomer.

use support::network::World;
use support::secs;
use taketurns::protocol::turns::{Framing, TurnConfigError, TurnEvent};
use taketurns::turn::Judging;

use super::start::{
    config, heads, join, judged_config, line_config, line_ring, raw_config, raw_ring, refusal, ruled,
};
use crate::logged::{listen_to_log, take_log};

/// M4, M6: `LEAVE` and a removal take effect even if the verdict never comes, or the turn is skipped.
#[test]
fn m06_leaving_takes_effect_without_a_verdict() {
    for skips in [false, true] {
        let (mut world, [ann, bob, _]) = line_ring(judged_config(), ["ann", "bob", "cid"]);
        let how = if skips { "LAPSED turn=1 how=skipped" } else { "LAPSED turn=1" };
        world.say(ann.peer, "ANSWER :1\nLEAVE");
        let ring = world.ring("main");
        if skips {
            world.act(|server, now, links| server.skip(now, ring, links)).expect("a turn");
        } else {
            world.drive_for(secs(5));
        }
        assert_eq!(heads(&world.heard(ann.peer)), ["NO not-judged turn=1", how, "BYE left"]);
        assert_eq!(world.server().scheduler().seats(), 2);
        join(&mut world, "ann");
        world.heard(bob.peer);
        world.say(bob.peer, "ANSWER :2");
        let seat = world.seat("bob");
        world.act(|server, now, links| server.remove(now, seat, links)).expect("a seat");
        world.drive_for(secs(5));
        assert_eq!(heads(&world.heard(bob.peer)).last().map(String::as_str), Some("BYE removed"));
        let again = world.connect();
        world.say(again, "JOIN bob");
        assert_eq!(refusal(&mut world, again), "removed");
    }
}

/// M6: an answer that is being judged may be repeated without a fence and as a payload, too.
#[test]
fn m06_the_judged_answer_again_as_a_payload_without_a_fence() {
    let (mut world, [ann, _]) = line_ring(judged_config(), ["ann", "bob"]);
    world.say(ann.peer, "ANSWER :abc");
    world.say(ann.peer, "ANSWER bytes=3\nabc");
    assert_eq!(world.heard(ann.peer), [""; 0]);
    world.say(ann.peer, "ANSWER bytes=3\nabd");
    assert_eq!(refusal(&mut world, ann.peer), "stale-turn");
    world.accept();
    assert_eq!(world.heard(ann.peer), ["OK turn=1"; 2]);
}

/// M4: the host is told about every answer that ends without its verdict, and the log has a line for it.
#[test]
fn m04_an_answer_without_a_verdict_is_reported_and_logged() {
    listen_to_log();
    for drops in [false, true] {
        let (mut world, [ann, _]) = line_ring(judged_config(), ["ann", "bob"]);
        take_log();
        world.say(ann.peer, "ANSWER :1");
        if drops {
            world.proposals.clear();
        }
        world.drive_for(secs(5));
        let is_not_judged = |event: &&(_, TurnEvent)| matches!(event.1, TurnEvent::NotJudged { .. });
        assert_eq!(world.events.iter().filter(is_not_judged).count(), 1, "{drops}");
        assert_eq!(world.server().counts().not_judged, 1);
        let logged = take_log().iter().filter(|(_, line)| line.contains("gave no verdict")).count();
        assert_eq!(logged, 1, "{drops}");
    }
}

/// T3, M16: a raw client that takes over the seat of a holder within its grace is sent `GO`.
#[test]
fn t03_a_turn_that_waits_for_a_raw_client_is_offered_to_the_next_one() {
    let mut graceful = raw_config();
    graceful.rules.turn_grace = secs(10);
    let (mut world, [a, b]) = raw_ring(graceful);
    world.reset(a);
    world.next_address = Some(world.addr(a).ip());
    let again = world.connect();
    assert_eq!(world.heard(again), ["GO"]);
    world.say(again, "a:1");
    assert_eq!((world.accepted(), world.heard(b)), (vec!["a:1".to_owned()], vec!["GO".to_owned()]));
}

/// L3: a second `GO` for a turn that the client already has changes its time, not which answers count.
#[test]
fn l03_an_answer_after_a_renewal_counts() {
    let config = ruled(|rules| rules.hold_max = taketurns::turn::HoldMax::Unlimited);
    let (mut world, [ann, _]) = line_ring(config, ["ann", "bob"]);
    world.chunking = false;
    world.drive_for(secs(1));
    world.say(ann.peer, "RENEW\nANSWER :1");
    assert_eq!(world.heard(ann.peer), ["GO turn=1 within=30000", "OK turn=1"]);
}

/// L6: a TLS hello is closed at once, even without a line end.
#[test]
fn l06_a_tls_hello_needs_no_line_end() {
    for framing in [Some(Framing::Line), None] {
        let mut world = World::new(config(framing), 1);
        let peer = world.connect();
        world.say_bytes(peer, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
        assert_eq!((refusal(&mut world, peer), world.is_open(peer)), ("not-here".to_owned(), false));
    }
}

/// M18: rules by which no turn could ever be granted are refused when they are set, even for a ring that does
/// not exist yet.
#[test]
fn m18_rules_that_grant_nothing_are_refused_at_once() {
    let mut small = line_config();
    small.max_clients = 4;
    let mut world = World::new(small, 1);
    let mut rules = world.config().rules.clone();
    rules.min_seats = 5;
    for name in ["main", "later"] {
        let rules = rules.clone();
        let error = world
            .act(|server, now, links| server.set_rules(now, name.parse().expect("a name"), rules, links));
        assert_eq!(error, Err(TurnConfigError::TooFewClients { max_clients: 4, min_seats: 5 }));
        join(&mut world, &format!("ann ring={name}"));
    }
    (rules.min_seats, rules.judging, rules.proposals_max) = (1, Judging::Host, 0);
    let error =
        world.act(|server, now, links| server.set_rules(now, "main".parse().expect("a name"), rules, links));
    assert!(matches!(error, Err(TurnConfigError::Rules(_))), "{error:?}");
}
