//! Turns whose holder is lost: passed on, kept, or waited for (M14, M16).

use support::network::find_field;
use support::{ms, secs};
use taketurns::protocol::turns::{How, TurnEvent};

use super::start::{heads, held, join, line_config, line_order, line_ring, resume, ruled, turn, watch};

/// M14: with a quorum left, the turn passes on at once.
#[test]
fn m14_the_turn_of_a_lost_holder_passes_on() {
    let (mut world, [ann, bob, _]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    world.reset(ann.peer);
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
    let ann = resume(&mut world, &ann);
    assert_eq!(ann.then, ["WAIT ahead=2"]);
}

/// M14: below the quorum the turn is kept, with a new number and the time that was left.
#[test]
fn m14_a_turn_lost_below_the_quorum_is_kept() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    let watcher = watch(&mut world, "main");
    world.heard(watcher);
    world.drive_for(secs(12));
    world.reset(ann.peer);
    assert_eq!(held(&world), None);
    world.drive_for(secs(5));
    let again = resume(&mut world, &ann);
    assert_eq!(again.then, ["GO turn=2 within=18000"]);
    assert_eq!(world.heard(bob.peer), [""; 0]);
    let heard = world.heard(watcher);
    for line in ["SKIP ann turn=1 how=gone", "BACK ann", "BEGIN ann turn=2 within=18000"] {
        assert!(heard.contains(&line.to_owned()), "{heard:?}");
    }
    world.say(again.peer, "ANSWER turn=2 :x");
    assert_eq!(world.heard(bob.peer), ["GO turn=3 within=30000"]);
}

/// M14: if the seat is not back when the ring continues, its turn is over.
#[test]
fn m14_a_kept_turn_is_over_if_its_seat_is_not_there() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.reset(ann.peer);
    let cid = join(&mut world, "cid");
    assert_eq!(cid.then, ["WAIT ahead=1"]);
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
    let ann = resume(&mut world, &ann);
    assert_eq!(ann.then, ["WAIT ahead=2"], "after cid, who came when that turn was over");
}

/// M14: the rest of the time is raised to 1 s, once per turn.
#[test]
fn m14_the_rest_of_the_time_is_raised_to_a_second_once() {
    let (mut world, [mut ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.drive_for(secs(30) - ms(100));
    world.reset(ann.peer);
    ann = resume(&mut world, &ann);
    assert_eq!(ann.then, ["GO turn=2 within=1000"]);
    world.drive_for(ms(900));
    world.reset(ann.peer);
    ann = resume(&mut world, &ann);
    assert_eq!(ann.then, ["GO turn=3 within=100"]);
    world.drive_for(ms(100));
    assert_eq!(world.heard(ann.peer), ["LAPSED turn=3"]);
    assert_eq!(world.heard(bob.peer), ["GO turn=4 within=30000"]);
}

/// M14: if another seat is lost and the ring falls below its quorum, the holder keeps its turn and may
/// answer.
#[test]
fn m14_a_holder_may_answer_below_the_quorum() {
    for end in ["ANSWER turn=2 :x", "PASS", ""] {
        let config = ruled(|rules| rules.min_seats = 3);
        let (mut world, [ann, bob, cid]) = line_ring(config, ["ann", "bob", "cid"]);
        world.say(ann.peer, "ANSWER :1");
        world.heard(bob.peer);
        world.heard(ann.peer);
        world.reset(cid.peer);
        assert_eq!(turn(&world), Some(2), "bob's turn stays his");
        let said = if end.is_empty() { "LAPSED turn=2" } else { "OK turn=2" };
        if end.is_empty() {
            world.drive_for(secs(30));
        } else {
            world.say(bob.peer, end);
        }
        assert_eq!((world.heard(bob.peer), turn(&world)), (vec![said.to_owned()], None), "no new turn");
        assert_eq!(world.heard(ann.peer), [""; 0]);
        let cid = resume(&mut world, &cid);
        assert_eq!(cid.then, ["GO turn=3 within=30000"], "behind bob comes cid");
    }
}

/// M10: a ring below its quorum grants nothing, whatever happens in it and for however long.
#[test]
fn m10_a_ring_below_its_quorum_grants_nothing() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.say(ann.peer, "ANSWER :1");
    world.heard(ann.peer);
    world.reset(bob.peer);
    for round in 0..3 {
        world.say(ann.peer, "ANSWER :2");
        assert_eq!(super::start::refusal(&mut world, ann.peer), "not-your-turn");
        let again = join(&mut world, &format!("ann ring=x{round}"));
        world.reset(again.peer);
        world.drive_for(secs(19));
        let ring = world.ring("main");
        assert_eq!(world.server().scheduler().held(ring), None);
    }
    // Bob's seat is gone after its grace. His kept turn is over, and Ann is first.
    world.drive_for(secs(19));
    world.heard(ann.peer);
    let again = join(&mut world, "bob");
    assert_eq!(
        (again.then, world.heard(ann.peer)),
        (vec!["WAIT ahead=1".to_owned()], vec!["GO turn=3 within=30000".to_owned()])
    );
}

/// M16: with `turn_grace` a lost holder keeps its turn and counts as occupied, while its clock runs on.
#[test]
fn m16_a_lost_holder_resumes_its_turn_within_the_grace() {
    let config = ruled(|rules| rules.turn_grace = secs(10));
    let (mut world, [ann, bob, cid]) = line_ring(config, ["ann", "bob", "cid"]);
    let watcher = watch(&mut world, "main");
    world.heard(watcher);
    world.drive_for(secs(5));
    world.reset(ann.peer);
    let ring = world.ring("main");
    assert_eq!(world.server().scheduler().occupied(ring), 3);
    assert_eq!(world.heard(watcher), ["AWAY ann"]);
    let late = watch(&mut world, "main");
    world.heard(late);
    world.drive_for(secs(9));
    let again = resume(&mut world, &ann);
    assert_eq!(again.then, ["GO turn=1 within=16000"]);
    assert_eq!(world.heard(watcher), ["BACK ann"]);
    // It is lost again, and the turn passes on when the grace is over.
    world.reset(again.peer);
    world.drive_for(secs(10) - ms(1));
    assert_eq!(world.heard(bob.peer), [""; 0]);
    world.drive_for(ms(1));
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
    let is_gone = |event: &&(_, TurnEvent)| matches!(event.1, TurnEvent::Ended { how: How::Gone, .. });
    assert_eq!(world.new_events().iter().filter(is_gone).count(), 1);
    let again = resume(&mut world, &again);
    assert_eq!(again.then, ["WAIT ahead=2"]);
    let members = [again, bob, cid];
    assert_eq!(line_order(&mut world, &members, 3).join(" "), "bob cid ann");
}

/// M16: the turn's deadline also ends it within the grace. An answer that was waiting is worth nothing.
#[test]
fn m16_the_clock_runs_on_within_the_grace() {
    let config = ruled(|rules| (rules.turn_grace, rules.turn_deadline) = (secs(60), secs(10)));
    let (mut world, [ann, bob, _]) = line_ring(config, ["ann", "bob", "cid"]);
    world.reset(ann.peer);
    world.drive_for(secs(10) - ms(1));
    assert_eq!(turn(&world), Some(1));
    world.drive_for(ms(1));
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=10000"]);
    let again = resume(&mut world, &ann);
    assert_eq!(find_field(&again.welcome, "last"), None);
    assert_eq!(again.then, ["WAIT ahead=2"]);
}

/// M16: a holder whose old connection still seems alive resumes with its turn, whatever the grace.
#[test]
fn m16_a_holder_that_resumes_in_time_is_never_away() {
    let (mut world, [ann, _]) = line_ring(line_config(), ["ann", "bob"]);
    let watcher = watch(&mut world, "main");
    world.heard(watcher);
    let again = resume(&mut world, &ann);
    assert_eq!(again.then, ["GO turn=1 within=30000"]);
    assert_eq!(world.heard(watcher), [""; 0], "a resume of a seat that was not away is not told");
    assert_eq!(heads(&world.heard(ann.peer)), ["BYE superseded"]);
    // Its first answer is identified by the turn's number.
    world.say(again.peer, "ANSWER turn=1 :x");
    assert_eq!(world.heard(again.peer), ["OK turn=1"]);
}
