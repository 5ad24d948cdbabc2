//! Clients that are lost while their answer is judged (M5).

use support::network::find_field;
use support::{ms, secs};
use taketurns::protocol::turns::TurnEvent;
use taketurns::turn::Judging;

use super::start::{heads, join, judged_config, line_ring, raw_config, raw_ring, resume, ruled, turn, watch};

/// M5: if accepted, the answer counts wherever its client is, and the client learns it when it resumes.
#[test]
fn m05_an_accepted_answer_of_a_lost_client_counts() {
    let (mut world, [ann, bob, _]) = line_ring(judged_config(), ["ann", "bob", "cid"]);
    world.say(ann.peer, "ANSWER turn=1 :b2");
    world.reset(ann.peer);
    world.drive_for(secs(1));
    assert_eq!((turn(&world), world.heard(bob.peer)), (Some(1), vec![]), "the turn does not end by that");
    world.accept();
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
    assert_eq!(world.accepted(), ["ann:b2"]);
    let again = resume(&mut world, &ann);
    assert_eq!(find_field(&again.welcome, "last"), Some("1"));
    assert_eq!(again.then, ["WAIT ahead=2"]);
}

/// M5: if refused, the turn ends as `gone`; with a grace, once that is over.
#[test]
fn m05_a_refused_answer_of_a_lost_client_ends_its_turn() {
    for grace in [0, 10] {
        let config = ruled(|rules| (rules.judging, rules.turn_grace) = (Judging::Host, secs(grace)));
        let (mut world, [ann, bob, _]) = line_ring(config, ["ann", "bob", "cid"]);
        let watcher = watch(&mut world, "main");
        world.heard(watcher);
        world.say(ann.peer, "ANSWER turn=1 :b2");
        world.reset(ann.peer);
        world.refuse("no");
        if grace > 0 {
            world.drive_for(secs(grace) - ms(1));
            assert_eq!(world.heard(bob.peer), [""; 0]);
            world.drive_for(ms(1));
        }
        assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
        assert_eq!(world.server().counts().gone, 1);
        assert!(world.heard(watcher).contains(&"SKIP ann turn=1 how=gone".to_owned()));
        let again = resume(&mut world, &ann);
        assert_eq!((find_field(&again.welcome, "last"), again.then), (None, vec!["WAIT ahead=2".to_owned()]));
    }
}

/// M5, M6: a client that resumes meanwhile gets `judging=`, and its `OK` or `NO` arrives on the new
/// connection.
#[test]
fn m05_a_client_that_resumes_while_judged_hears_the_verdict() {
    for (accepts, is_dead) in [(true, true), (false, true), (true, false), (false, false)] {
        let (mut world, [ann, bob]) = line_ring(judged_config(), ["ann", "bob"]);
        world.drive_for(secs(10));
        world.say(ann.peer, "ANSWER turn=1 :b2");
        world.say(ann.peer, "ANSWER turn=1 :b2");
        if is_dead {
            world.reset(ann.peer);
        }
        let again = resume(&mut world, &ann);
        assert_eq!(find_field(&again.welcome, "judging"), Some("1"));
        assert_eq!(again.then, [""; 0], "neither GO nor WAIT");
        if accepts {
            world.accept();
            assert_eq!(world.heard(again.peer), ["OK turn=1"]);
            assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
        } else {
            world.refuse("no");
            assert_eq!(world.heard(again.peer), ["NO refused turn=1 within=20000 :no"]);
            world.say(again.peer, "ANSWER turn=1 :c3");
            world.accept();
            assert_eq!(world.accepted(), ["ann:c3"]);
        }
        if !is_dead {
            assert_eq!(heads(&world.heard(ann.peer)), ["BYE superseded"]);
        }
    }
}

/// M5: a half-close after an answer, and a seat without any grace. The answer counts all the same.
#[test]
fn m05_a_judged_answer_outlives_its_seats_grace() {
    let config = ruled(|rules| (rules.judging, rules.seat_grace) = (Judging::Host, ms(0)));
    let (mut world, [ann, bob, _]) = line_ring(config, ["ann", "bob", "cid"]);
    world.say(ann.peer, "ANSWER turn=1 :b2");
    world.half_close(ann.peer);
    world.drive_for(secs(2));
    assert_eq!(turn(&world), Some(1));
    world.accept();
    assert_eq!(world.accepted(), ["ann:b2"]);
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
    world.drive_for(secs(1));
    assert_eq!(world.server().scheduler().seats(), 2, "then the seat is gone");
}

/// M5: a lost client's answer that is never judged. The turn ends, and the host is told.
#[test]
fn m05_a_turn_of_a_lost_client_that_is_never_judged_ends() {
    let (mut world, [ann, bob, _]) = line_ring(judged_config(), ["ann", "bob", "cid"]);
    world.say(ann.peer, "ANSWER turn=1 :b2");
    world.reset(ann.peer);
    world.drive_for(secs(5));
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
    let is_not_judged = |event: &&(_, TurnEvent)| matches!(event.1, TurnEvent::NotJudged { .. });
    assert_eq!(world.new_events().iter().filter(is_not_judged).count(), 1);
    assert_eq!(world.accepted(), [""; 0]);
}

/// M5: `LEAVE` during judging, and then the connection is lost: the seat is given up after the verdict.
#[test]
fn m05_a_client_that_left_and_was_lost_is_gone_after_the_verdict() {
    let (mut world, [ann, bob, _]) = line_ring(judged_config(), ["ann", "bob", "cid"]);
    world.say(ann.peer, "ANSWER turn=1 :b2");
    world.say(ann.peer, "LEAVE");
    world.reset(ann.peer);
    world.accept();
    assert_eq!((world.accepted().len(), world.heard(bob.peer).len()), (1, 1));
    assert_eq!(world.server().scheduler().seats(), 2);
    join(&mut world, "ann");
}

/// M5: this also holds for a raw client, whose seat is found again by its address.
#[test]
fn m05_a_lost_raw_clients_answer_counts() {
    let mut judged = raw_config();
    judged.rules.judging = Judging::Host;
    let (mut world, [a, b, _]) = raw_ring(judged);
    world.say(a, "a:1");
    world.reset(a);
    world.accept();
    assert_eq!((world.accepted(), world.heard(b)), (vec!["a:1".to_owned()], vec!["GO".to_owned()]));
    // A client that comes back during judging gets no GO before the verdict.
    world.say(b, "b:2");
    world.reset(b);
    world.next_address = Some(world.addr(b).ip());
    let b = world.connect();
    world.drive_for(secs(1));
    world.refuse("no");
    let heard = world.heard(b);
    assert!(heard.contains(&"GO".to_owned()), "{heard:?}");
    world.say(b, "b:4");
    world.accept();
    assert_eq!(world.accepted(), ["a:1", "b:4"]);
}
