//! The host and the clock of a turn: pause, extend, and turns whose clock stands still for another reason
//! (M17).

use support::network::World;
use support::{ms, secs};
use taketurns::turn::Judging;

use super::start::{held, judged_config, line_config, line_ring, raw_config, raw_ring, resume, turn, watch};

/// M17: *extend* adds time, even beyond `hold_max`, and the holder is told.
#[test]
fn m17_the_host_extends_a_turn() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    let ring = world.ring("main");
    world.drive_for(secs(10));
    world.act(|server, now, links| server.extend(now, ring, secs(30), links)).expect("a turn is held");
    assert_eq!(world.heard(ann.peer), ["GO turn=1 within=50000"]);
    assert_eq!(held(&world), Some((1, secs(60))));
    world.drive_for(secs(50));
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
}

/// M17: *pause* stops a ring and its clock. The holder may answer, but no turn is granted.
#[test]
fn m17_the_host_pauses_and_resumes_a_ring() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob hear=turns"]);
    let watcher = watch(&mut world, "main");
    world.heard(watcher);
    let ring = world.ring("main");
    world.drive_for(secs(10));
    for _ in 0..2 {
        world.act(|server, now, links| server.pause(now, ring, links)).expect("a ring");
    }
    assert_eq!(world.heard(ann.peer), ["PAUSED main"]);
    assert_eq!(
        (world.heard(bob.peer), world.heard(watcher)),
        (vec!["PAUSED main".to_owned()], vec!["PAUSED main".to_owned()])
    );
    world.drive_for(secs(100));
    assert_eq!(turn(&world), Some(1));
    for _ in 0..2 {
        world.act(|server, now, links| server.resume(now, ring, links)).expect("a ring");
    }
    assert_eq!(world.heard(ann.peer), ["RESUMED main", "GO turn=1 within=20000"]);
    assert_eq!(world.heard(bob.peer), ["RESUMED main"]);
    // An answer while paused counts, but the next turn waits.
    world.act(|server, now, links| server.pause(now, ring, links)).expect("a ring");
    world.heard(ann.peer);
    world.say(ann.peer, "ANSWER turn=1 :x");
    assert_eq!((world.heard(ann.peer), turn(&world)), (vec!["OK turn=1".to_owned()], None));
    world.heard(bob.peer);
    world.act(|server, now, links| server.resume(now, ring, links)).expect("a ring");
    let heard = world.heard(bob.peer);
    assert!(
        heard.contains(&"GO turn=2 within=30000".to_owned()) && heard.contains(&"RESUMED main".to_owned()),
        "{heard:?}"
    );
    // A holder that resumes meanwhile keeps its turn.
    world.act(|server, now, links| server.pause(now, ring, links)).expect("a ring");
    let bob = resume(&mut world, &bob);
    assert_eq!(bob.then, ["GO turn=2 within=30000"]);
}

/// M17: a raw holder whose `GO` is held back is told when its gap is over, even though the ring is paused,
/// and its clock stands still.
#[test]
fn m17_a_pause_stops_the_clock_of_a_raw_turn() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    let ring = world.ring("main");
    world.drive_for(secs(10));
    world.act(|server, now, links| server.pause(now, ring, links)).expect("a ring");
    world.drive_for(secs(100));
    assert_eq!((world.heard(a), world.heard(b)), (vec![], vec![]), "raw clients are not told");
    world.act(|server, now, links| server.resume(now, ring, links)).expect("a ring");
    assert_eq!(held(&world), Some((1, world.elapsed() + secs(20))));
    world.drive_for(secs(20));
    assert_eq!(world.heard(b), ["GO"]);
}

/// M17, M3: a pause while an answer is judged. The verdict counts, a refusal leaves the clock stopped, and no
/// turn is granted.
#[test]
fn m17_a_pause_while_an_answer_is_judged() {
    for accepts in [true, false] {
        let (mut world, [ann, bob]) = line_ring(judged_config(), ["ann", "bob"]);
        let ring = world.ring("main");
        world.drive_for(secs(10));
        world.say(ann.peer, "ANSWER :1");
        world.act(|server, now, links| server.pause(now, ring, links)).expect("a ring");
        let ann = resume(&mut world, &ann);
        if accepts {
            world.accept();
            assert_eq!((world.heard(ann.peer), turn(&world)), (vec!["OK turn=1".to_owned()], None));
        } else {
            world.refuse("no");
            assert_eq!(world.heard(ann.peer), ["NO refused turn=1 within=20000 :no"]);
            world.drive_for(secs(100));
            assert_eq!(turn(&world), Some(1));
        }
        world.heard(bob.peer);
        world.act(|server, now, links| server.resume(now, ring, links)).expect("a ring");
        let (heard, next) =
            if accepts { (bob.peer, "GO turn=2 within=30000") } else { (ann.peer, "GO turn=1 within=20000") };
        assert!(world.heard(heard).contains(&next.to_owned()));
    }
}

/// M17, T5: a turn that is skipped before its raw holder was told is never told.
#[test]
fn m17_a_turn_that_is_skipped_while_its_go_is_held_back() {
    let mut world = World::new(raw_config(), 1);
    let [a, b] = [(); 2].map(|()| world.connect());
    let ring = world.ring("main");
    world.drive_for(ms(50));
    world.act(|server, now, links| server.skip(now, ring, links)).expect("a turn is held");
    world.drive_for(ms(50));
    assert_eq!(
        (world.heard(a), world.heard(b)),
        (vec!["WAIT".to_owned()], vec!["WAIT".to_owned(), "GO".to_owned()])
    );
    // A holder that was told keeps its GO, and may answer it in its next turn (T11).
    world.act(|server, now, links| server.skip(now, ring, links)).expect("a turn is held");
    assert_eq!(world.heard(a), ["GO"]);
    world.say(b, "b:1");
    world.say(a, "a:1");
    assert_eq!((world.accepted(), world.heard(b)), (vec!["a:1".to_owned(), "b:1".to_owned()], vec![]));
    assert_eq!(world.heard(a), ["GO"]);
}

/// M17, T11: a late raw answer is judged in its seat's next turn.
#[test]
fn m03_a_late_raw_answer_is_judged_in_its_next_turn() {
    let mut judged = raw_config();
    judged.rules.judging = Judging::Host;
    let (mut world, [a, b]) = raw_ring(judged);
    world.drive_for(secs(30));
    world.say(a, "a:1");
    assert_eq!(world.proposals.len(), 0);
    world.say(b, "b:2");
    world.accept();
    assert_eq!((world.accepted(), world.proposals.len()), (vec!["b:2".to_owned()], 1));
    world.refuse("no");
    assert_eq!(world.heard(a), ["GO"], "a strike");
    world.say(a, "a:3");
    world.accept();
    assert_eq!(world.accepted(), ["b:2", "a:3"]);
}

/// M17: a holder that leaves or is removed while its ring is paused.
#[test]
fn m17_a_holder_that_goes_while_its_ring_is_paused() {
    let (mut world, [ann, bob, _]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    let ring = world.ring("main");
    world.act(|server, now, links| server.pause(now, ring, links)).expect("a ring");
    world.say(ann.peer, "LEAVE");
    world.heard(bob.peer);
    assert_eq!(turn(&world), None);
    world.act(|server, now, links| server.resume(now, ring, links)).expect("a ring");
    let heard = world.heard(bob.peer);
    assert!(heard.contains(&"GO turn=2 within=30000".to_owned()), "{heard:?}");
    world.act(|server, now, links| server.pause(now, ring, links)).expect("a ring");
    let seat = world.seat("bob");
    world.act(|server, now, links| server.remove(now, seat, links)).expect("a seat");
    assert_eq!(turn(&world), None);
}

/// M17, M16: *extend* while the holder is lost, and while its answer is judged.
#[test]
fn m17_the_host_extends_a_turn_whose_clock_is_stopped() {
    let (mut world, [ann, _]) = line_ring(judged_config(), ["ann", "bob"]);
    let ring = world.ring("main");
    world.drive_for(secs(20));
    world.say(ann.peer, "ANSWER :1");
    world.act(|server, now, links| server.extend(now, ring, secs(30), links)).expect("a turn is held");
    assert_eq!(world.heard(ann.peer), ["GO turn=1 within=40000"]);
    world.drive_for(secs(1));
    world.refuse("no");
    assert_eq!(world.heard(ann.peer), ["NO refused turn=1 within=40000 :no"]);
}
