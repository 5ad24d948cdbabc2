//! Messages while an answer is judged, and what others are told about it (M6, M7, M18).

use support::network::World;
use support::secs;
use taketurns::protocol::turns::Verdict;
use taketurns::turn::{HeldClock, Judging};

use super::start::{heads, join, judged_config, line_ring, raw_config, raw_ring, refusal, ruled, watch};

/// M6: while an answer is judged, `PASS` and `REST` are refused, `RENEW` is told the remaining time, and
/// `PING` is answered.
#[test]
fn m06_while_judged_the_turn_cannot_be_given_up() {
    let (mut world, [ann, bob]) = line_ring(judged_config(), ["ann", "bob"]);
    world.drive_for(secs(10));
    world.say(ann.peer, "ANSWER :1");
    world.drive_for(secs(2));
    for line in ["PASS", "PASS turn=1", "REST"] {
        world.say(ann.peer, line);
        let heard = world.heard(ann.peer);
        assert_eq!(heads(&heard), ["NO judging turn=1"], "{line}");
    }
    world.say(ann.peer, "RENEW turn=1");
    assert_eq!(world.heard(ann.peer), ["GO turn=1 within=20000"]);
    world.say(ann.peer, "PING");
    assert_eq!(world.heard(ann.peer), ["PONG"]);
    world.say(ann.peer, "ANSWER turn=1 :2");
    assert_eq!(refusal(&mut world, ann.peer), "stale-turn");
    world.say(bob.peer, "ANSWER turn=1 :1");
    assert_eq!(refusal(&mut world, bob.peer), "not-your-turn");
    assert!(matches!(
        world.server().scheduler().held(world.ring("main")).map(|held| held.clock),
        Some(HeldClock::Judged { .. })
    ));
    world.accept();
    assert_eq!(world.heard(ann.peer), ["OK turn=1"]);
}

/// M6: the same answer sent again, in either form, gets its own reply after the first one's.
#[test]
fn m06_each_answer_gets_one_reply() {
    for accepts in [true, false] {
        let (mut world, [ann, _]) = line_ring(judged_config(), ["ann", "bob"]);
        for line in ["ANSWER turn=1 :abc", "ANSWER :abc", "ANSWER turn=1 bytes=3\nabc"] {
            world.say(ann.peer, line);
        }
        assert_eq!((world.heard(ann.peer), world.proposals.len()), (vec![], 1));
        let expected = if accepts {
            world.accept();
            "OK turn=1"
        } else {
            world.refuse("no");
            "NO refused turn=1 within=30000 :no"
        };
        assert_eq!(world.heard(ann.peer), [expected; 3]);
    }
}

/// M6: `LEAVE` and a removal take effect after the verdict. A `LEAVE` does not undo a removal.
#[test]
fn m06_leaving_takes_effect_after_the_verdict() {
    let (mut world, [ann, bob, cid]) = line_ring(judged_config(), ["ann", "bob", "cid"]);
    world.say(ann.peer, "ANSWER :1");
    world.say(ann.peer, "LEAVE");
    world.drive_for(secs(1));
    assert_eq!((world.heard(ann.peer), world.is_open(ann.peer)), (vec![], true));
    world.accept();
    assert_eq!(heads(&world.heard(ann.peer)), ["OK turn=1", "BYE left"]);
    assert_eq!((world.server().scheduler().seats(), world.accepted().len()), (2, 1));
    world.heard(bob.peer);
    world.say(bob.peer, "ANSWER :2");
    let seat = world.seat("bob");
    world.act(|server, now, links| server.remove(now, seat, links)).expect("a seat");
    world.say(bob.peer, "LEAVE");
    assert_eq!((world.heard(bob.peer), world.is_open(bob.peer)), (vec![], true));
    world.refuse("no");
    assert_eq!(heads(&world.heard(bob.peer)).last().map(String::as_str), Some("BYE removed"));
    let again = world.connect();
    world.say(again, "JOIN bob");
    assert_eq!(refusal(&mut world, again), "removed");
    assert!(world.is_open(cid.peer));
}

/// M7: words for the next holder that are said before the verdict arrive before its `GO`.
#[test]
fn m07_words_before_the_verdict_arrive_before_go() {
    let (mut world, [ann, bob]) = line_ring(judged_config(), ["ann", "bob hear=turns"]);
    world.say(ann.peer, "ANSWER :b2");
    let proposal = world.proposals.pop_front().expect("a proposal");
    let next = world.seat("bob");
    world
        .act(|server, now, links| {
            server.say_to_seat(next, b"ann plays b2", links).expect("short words");
            server.say_to_ring(&"main".parse().expect("a name"), b"one move", links).expect("short words");
            server.rule(now, proposal, Verdict::ACCEPT, links)
        })
        .expect("in time");
    let heard = world.heard(bob.peer);
    assert_eq!(heard[..3], ["SAY :ann plays b2", "SAY :one move", "GO turn=2 within=30000"]);
}

/// M3, T8: in the raw framing a refusal is a strike: `GO` is sent again, and three in a row end the
/// connection.
#[test]
fn m03_a_refusal_is_a_strike_for_a_raw_client() {
    let mut judged = raw_config();
    judged.rules.judging = Judging::Host;
    let (mut world, [a, b]) = raw_ring(judged);
    for round in 0..4 {
        for _ in 0..2 {
            world.say(a, "a:1");
            world.say(a, "a:1");
            assert_eq!(world.heard(a), [""; 0], "while it is judged nothing else counts");
            world.refuse("no");
            assert_eq!(world.heard(a), ["GO"]);
        }
        world.say(a, "a:1");
        world.accept();
        world.say(b, "b:2");
        world.accept();
        assert_eq!(
            (world.accepted().len(), world.heard(a)),
            (2 * (round + 1), vec!["GO".to_owned()]),
            "never three in a row"
        );
    }
    for _ in 0..3 {
        world.say(a, "a:1");
        world.refuse("no");
    }
    assert!(!world.is_open(a));
}

/// M7, T25: hearers are told after the players, and only about accepted answers.
#[test]
fn m03_hearers_are_told_about_accepted_answers_only() {
    let (mut world, [ann, _]) = line_ring(judged_config(), ["ann", "bob"]);
    let watcher = watch(&mut world, "main");
    world.say(ann.peer, "ANSWER :wrong");
    world.refuse("no");
    world.say(ann.peer, "ANSWER :right");
    world.accept();
    assert_eq!(world.heard(watcher), ["TURN ann turn=1 :right", "BEGIN bob turn=2 within=30000"]);
    let roster = world.connect();
    world.say(roster, "WATCH");
    assert_eq!(world.heard(roster)[1], "SEAT bob seat=2 state=holding");
}

/// M4: judging can be set for one ring, while the others are not judged.
#[test]
fn m18_one_ring_may_be_judged_and_another_not() {
    let mut world = World::new(ruled(|_| {}), 1);
    let mut judged = world.config().rules.clone();
    judged.judging = Judging::Host;
    world
        .act(|server, now, links| server.set_rules(now, "game".parse().expect("a name"), judged, links))
        .expect("valid");
    let ann = join(&mut world, "ann ring=game");
    join(&mut world, "bob ring=game");
    let members = ["cid", "dan"].map(|name| join(&mut world, name));
    world.say(ann.peer, "ANSWER :1");
    assert_eq!(world.proposals.len(), 1);
    let held = world.server().scheduler().held(world.ring("main")).expect("a turn");
    assert_eq!(held.turn.get(), 1);
    world.say(members[0].peer, "ANSWER :1");
    assert_eq!(world.accepted(), ["cid:1"]);
}
