//! The clock of a turn: its start, RENEW, and the total time (M13, M15).

use support::network::World;
use support::{ms, secs};
use taketurns::turn::HoldMax;

use super::start::{config, held, join, line_config, line_ring, raw_config, raw_ring, refusal, ruled, turn};
use taketurns::protocol::turns::Framing;

/// M13: by default `hold_max` equals `turn_deadline`, so `RENEW` has nothing to give.
#[test]
fn m13_by_default_a_turn_cannot_be_renewed() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.drive_for(secs(10));
    world.say(ann.peer, "RENEW");
    let heard = world.heard(ann.peer);
    assert!(heard[0].starts_with("NO hold-max turn=1 within=20000 :"), "{heard:?}");
    assert_eq!(held(&world), Some((1, secs(30))));
    world.drive_for(secs(20));
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
}

/// M13: `RENEW` restarts the deadline, but never beyond `hold_max`. `PING` changes nothing.
#[test]
fn m13_renew_restarts_the_deadline_up_to_hold_max() {
    let config = ruled(|rules| rules.hold_max = HoldMax::Time(secs(70)));
    let (mut world, [ann, bob]) = line_ring(config, ["ann", "bob"]);
    world.drive_for(secs(20));
    world.say(ann.peer, "PING");
    assert_eq!((world.heard(ann.peer), held(&world)), (vec!["PONG".to_owned()], Some((1, secs(30)))));
    world.say(ann.peer, "RENEW turn=1");
    assert_eq!(world.heard(ann.peer), ["GO turn=1 within=30000"]);
    world.drive_for(secs(25));
    world.say(ann.peer, "RENEW");
    assert_eq!(world.heard(ann.peer), ["GO turn=1 within=25000"], "45 s are over, and 70 are allowed");
    world.drive_for(secs(20));
    world.say(ann.peer, "RENEW");
    assert_eq!(refusal(&mut world, ann.peer), "hold-max");
    world.drive_for(secs(5) - ms(1));
    assert_eq!(turn(&world), Some(1));
    world.drive_for(ms(1));
    assert_eq!(world.heard(ann.peer), ["LAPSED turn=1"]);
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
}

/// M13, T11: the turn of a silent line client lapses. It keeps its seat, and each turn has its own `GO`.
#[test]
fn t11_a_silent_line_client_lapses() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.drive_for(secs(30) - ms(1));
    assert_eq!(world.heard(bob.peer), [""; 0]);
    world.drive_for(ms(1));
    assert_eq!(world.heard(ann.peer), ["LAPSED turn=1"]);
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
    world.drive_for(secs(30));
    assert_eq!(world.heard(ann.peer), ["GO turn=3 within=30000"]);
    assert_eq!(world.server().counts().lapsed, 2);
}

/// M13: the clock runs from the first attempt to write `GO` to the socket, even if the client does not read.
#[test]
fn m13_a_client_that_does_not_read_has_no_endless_time() {
    for framing in [Some(Framing::Raw), Some(Framing::Line)] {
        let mut world = World::new(config(framing), 1);
        let [a, b] = [(); 2].map(|()| world.connect());
        if framing == Some(Framing::Line) {
            world.say(a, "JOIN a");
            world.say(b, "JOIN b");
        }
        world.drive_for(ms(100));
        world.heard(b);
        world.stop_reading(b, 0);
        let answer = if framing == Some(Framing::Line) { "ANSWER :1" } else { "a:1" };
        world.say(a, answer);
        assert_eq!(held(&world), Some((2, world.elapsed() + secs(30))), "{framing:?}");
    }
}

/// M15: with equal weights the exported bound is (others + the one that is held) x `hold_max`, and it is
/// kept.
#[test]
fn m15_the_longest_wait_is_exported_with_its_bound() {
    let (mut world, members) = line_ring(line_config(), ["ann", "bob", "cid", "dan", "eve"]);
    let ring = world.ring("main");
    assert_eq!(world.server().scheduler().waiting_bound(ring), Some(secs(5 * 30)), "of a newcomer");
    // No client ever answers, so every turn takes its 30 s.
    world.drive_for(secs(20 * 30));
    let longest = world.server().scheduler().longest_wait(ring);
    assert_eq!((longest.waited, longest.bound), (secs(4 * 30), Some(secs(4 * 30))));
    assert!(members.iter().all(|member| world.is_open(member.peer)));
}

/// M15: the holder of a ring at quorum that disconnects and resumes does not hold the turn beyond its time.
#[test]
fn m15_dropping_and_resuming_does_not_lengthen_a_turn() {
    let config = ruled(|rules| rules.turn_deadline = secs(1));
    let (mut world, [mut ann, bob]) = line_ring(config, ["ann", "bob"]);
    let began = world.elapsed();
    for _ in 0..100 {
        world.drive_for(ms(400));
        world.reset(ann.peer);
        world.drive_for(ms(10));
        ann = super::start::resume(&mut world, &ann);
        if !world.heard(bob.peer).is_empty() {
            break;
        }
    }
    // One second, extended to one second once, and the time below quorum in between.
    assert!(world.elapsed() - began <= secs(2) + ms(500), "{:?}", world.elapsed() - began);
}

/// M15: strikes do not lengthen a turn.
#[test]
fn m15_strikes_bring_no_new_deadline() {
    let (mut world, [a, b, c]) = raw_ring(raw_config());
    world.say(a, "a:1");
    world.say(b, "b:1");
    world.heard(c);
    let until = held(&world).expect("c holds the turn").1;
    for _ in 0..2 {
        world.drive_for(secs(9));
        world.say(c, "c:x");
        assert_eq!(held(&world), Some((3, until)));
    }
    world.drive_for(secs(12));
    assert_eq!(turn(&world), Some(4));
}

/// M13: if two deadlines fall on one instant, the lapse in one ring does not delay the other.
#[test]
fn m13_rings_have_their_own_rules_and_deadlines() {
    let mut world = World::new(line_config(), 1);
    let mut quick = world.config().rules.clone();
    quick.turn_deadline = secs(2);
    world
        .act(|server, now, links| server.set_rules(now, "quick".parse().expect("a name"), quick, links))
        .expect("valid");
    let ann = join(&mut world, "ann ring=quick");
    join(&mut world, "bob ring=quick");
    let cid = join(&mut world, "cid");
    join(&mut world, "dan");
    assert_eq!(world.heard(ann.peer), ["GO turn=1 within=2000"]);
    assert_eq!(world.heard(cid.peer), ["GO turn=1 within=30000"]);
    world.drive_for(secs(2));
    assert_eq!(world.heard(ann.peer), ["LAPSED turn=1"]);
    assert_eq!(world.heard(cid.peer), [""; 0]);
}
