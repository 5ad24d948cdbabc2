//! Connections whose framing is not known yet (L10).

use support::network::{Peer, World};
use support::{ms, secs};

use super::start::{auto_config, refusal, turn};

fn world() -> World {
    World::new(auto_config(), 1)
}

/// Connects a peer that stays silent until it is taken for a raw client, and drops what it has heard.
fn raw(world: &mut World) -> Peer {
    let peer = world.connect();
    world.drive_for(ms(300));
    assert!(matches!(world.heard_raw(peer).as_slice(), [one] if one == "WAIT" || one == "GO"));
    world.drive_for(ms(100));
    world.heard_raw(peer);
    peer
}

/// L10: a connection is undecided while its bytes could begin a line, for at most `line_timeout`.
#[test]
fn l10_a_connection_is_undecided_while_a_line_may_have_begun() {
    for beginning in ["J", "JOIN", "W", "WATC", "P", "PIN"] {
        let mut world = world();
        let peer = world.connect();
        world.say_bytes(peer, beginning.as_bytes());
        world.drive_for(secs(5) - ms(1));
        assert!(world.is_open(peer) && world.heard_raw(peer).is_empty(), "{beginning}");
        assert_eq!(world.server().scheduler().seats(), 0);
        world.drive_for(ms(1));
        assert_eq!(
            (refusal(&mut world, peer), world.is_open(peer)),
            ("line-timeout".to_owned(), false),
            "{beginning}"
        );
    }
    for (line, verb) in [("JOIN ann", "WELCOME"), ("WATCH", "WATCHING"), ("PING", "PONG")] {
        for cut in 1..line.len() {
            let mut world = world();
            let peer = world.connect();
            world.say_bytes(peer, &line.as_bytes()[..cut]);
            world.drive_for(secs(1));
            world.say_bytes(peer, &line.as_bytes()[cut..]);
            world.say_bytes(peer, b"\n");
            assert!(world.heard_lines(peer)[0].starts_with(verb), "{line} cut after {cut}");
        }
    }
}

/// L10: a first read in the form of a raw answer makes the connection raw. T9 applies to that answer.
#[test]
fn l10_a_raw_answer_makes_a_connection_raw() {
    let mut world = world();
    let [a, b] = [(); 2].map(|()| world.connect());
    world.say_bytes(a, b"a:1");
    world.say_bytes(b, b"b:2");
    assert_eq!(
        (world.answers.len(), world.server().counts().refused, world.server().scheduler().seats()),
        (0, 2, 2)
    );
    world.drive_for(ms(100));
    assert_eq!(
        (world.heard_raw(a), world.heard_raw(b)),
        (vec!["WAIT".to_owned(), "GO".to_owned()], vec!["WAIT".to_owned()])
    );
    world.say_bytes(a, b"a:1");
    world.say_bytes(b, b"b:2");
    assert_eq!(world.accepted(), ["a:1", "b:2"]);
    // With a line end it is a line.
    let line = world.connect();
    world.say_bytes(line, b"a:1\n");
    assert_eq!(refusal(&mut world, line), "malformed");
}

/// L10: a connection that stays silent for `raw_after` gets a raw seat, and turns.
#[test]
fn l10_a_silent_connection_is_raw_on_trial() {
    let mut world = world();
    let a = world.connect();
    world.drive_for(ms(299));
    assert_eq!((world.heard_raw(a), world.server().scheduler().seats()), (vec![], 0));
    world.drive_for(ms(1));
    assert_eq!(world.heard_raw(a), ["WAIT"]);
    let b = world.connect();
    world.drive_for(ms(300));
    assert_eq!((world.heard_raw(a), world.heard_raw(b)), (vec!["GO".to_owned()], vec!["WAIT".to_owned()]));
    world.say_bytes(a, b"a:1");
    world.drive_for(ms(100));
    assert_eq!(world.heard_raw(b), ["GO"]);
}

/// L10: a port scanner below quorum, or next to one other client, keeps no place in a full ring after it has
/// let a turn lapse in silence.
#[test]
fn l10_a_silent_connection_keeps_no_place_that_another_client_wants() {
    for is_line in [true, false] {
        let mut config = auto_config();
        config.rules.seats_max = Some(2);
        let mut world = World::new(config, 1);
        let scanner = raw(&mut world);
        world.drive_for(secs(100));
        let ann = world.connect();
        world.say_bytes(ann, b"JOIN ann\n");
        // It might be a raw client, so it gets its turn with the whole time.
        world.drive_for(secs(5));
        let early = world.connect();
        world.say_bytes(early, b"JOIN cid\n");
        assert_eq!(refusal(&mut world, early), "ring-full");
        world.drive_for(secs(60));
        assert!(world.is_open(scanner) && !world.is_open(early));
        let late = world.connect();
        if is_line {
            world.say_bytes(late, b"JOIN bob\n");
            assert!(world.heard(late)[0].starts_with("WELCOME bob"));
        } else {
            world.drive_for(ms(300));
            assert_eq!(world.heard_raw(late)[0], "WAIT");
        }
        assert!(!world.is_open(scanner) && world.is_open(ann) && world.is_open(late));
        let next = world.connect();
        world.say_bytes(next, b"JOIN dan\n");
        assert_eq!(refusal(&mut world, next), "ring-full", "a client that has not had its turn stays");
    }
}

/// L10: a silent connection costs the ring its deadline once, and not in every round. If it speaks in the
/// end, T11 applies to its late answer.
#[test]
fn l10_a_silent_connection_costs_a_ring_one_deadline() {
    let mut world = world();
    let [a, b] = [(); 2].map(|()| raw(&mut world));
    let silent = raw(&mut world);
    let mut answers = 0;
    let mut play = |world: &mut World, time| {
        let until = world.elapsed() + time;
        let before = answers;
        while world.elapsed() < until {
            let at = if world
                .deliveries()
                .iter()
                .rev()
                .find(|write| write.bytes == b"GO")
                .is_some_and(|go| go.peer == a)
            {
                a
            } else {
                b
            };
            answers += 1;
            world.say_bytes(at, b"x:1");
            world.drive_for(secs(1));
        }
        answers - before
    };
    play(&mut world, secs(40));
    let lapsed = world.server().counts().lapsed;
    assert_eq!(lapsed, 1, "its first GO");
    let accepted = world.answers.len();
    play(&mut world, secs(100));
    assert_eq!(world.server().counts().lapsed, 1, "and no other");
    assert!(world.answers.len() >= accepted + 95);
    // It does not count for the quorum either.
    let ring = world.ring("main");
    assert_eq!(world.server().scheduler().occupied(ring), 2);
    world.say_bytes(silent, b"late:7");
    assert_eq!(world.server().scheduler().occupied(ring), 3);
    play(&mut world, secs(5));
    assert!(world.accepted().contains(&"late:7".to_owned()), "it counts in its next turn");
    assert_eq!(world.server().counts().lapsed, 1);
}

/// L10: a silent client that rests and then sends something malformed counts again, too.
#[test]
fn l10_a_silent_connection_that_sends_nonsense_is_told_about_its_next_turn() {
    let mut world = world();
    let [a, b] = [(); 2].map(|()| raw(&mut world));
    world.drive_for(secs(31));
    assert_eq!((turn(&world), world.heard_raw(a)), (Some(2), vec!["GO".to_owned()]));
    world.say_bytes(a, b"hello:");
    world.drive_for(ms(60));
    assert!(world.is_open(a));
    world.say_bytes(b, b"b:1");
    world.drive_for(ms(200));
    assert_eq!(world.heard_raw(a), ["GO"]);
    world.say_bytes(a, b"a:1");
    assert_eq!(world.accepted(), ["b:1", "a:1"]);
}

/// L10: a silent connection whose seat was forgotten gets a new one when it speaks.
#[test]
fn l10_a_silent_connection_may_speak_long_after() {
    let mut world = world();
    let [a, b] = [(); 2].map(|()| raw(&mut world));
    let c = raw(&mut world);
    world.drive_for(secs(31));
    world.say_bytes(b, b"b:1");
    for _ in 0..10 {
        world.say_bytes(c, b"c:1");
        world.say_bytes(b, b"b:1");
        world.drive_for(secs(10));
    }
    assert_eq!(world.server().scheduler().seats(), 2);
    world.say_bytes(a, b"a:9");
    assert_eq!(world.server().scheduler().seats(), 3);
    for _ in 0..4 {
        world.say_bytes(c, b"c:1");
        world.say_bytes(b, b"b:1");
    }
    assert!(world.accepted().contains(&"a:9".to_owned()));
    world.say_bytes(a, b"a:11");
    world.reset(a);
    assert_eq!(world.server().clients(), 2);
}

/// L10: an incomplete message followed by the end leaves no state.
#[test]
fn l10_a_connection_that_ends_undecided_leaves_nothing() {
    for last in ["", "JO", "a:1", "a:", "JOIN ann"] {
        let mut world = world();
        let peer = world.connect();
        world.say_bytes(peer, last.as_bytes());
        world.half_close(peer);
        world.drive_for(secs(61));
        assert!(!world.is_open(peer));
        assert_eq!(
            (world.server().clients(), world.server().scheduler().seats(), world.connections()),
            (0, 0, 0),
            "{last:?}"
        );
    }
}

/// T9, L11: a raw answer that began before its `GO` does not count, even if it could have been the beginning
/// of a line.
#[test]
fn t09_the_beginning_of_a_line_before_go_does_not_become_an_answer() {
    let mut world = world();
    let [a, b] = [(); 2].map(|()| raw(&mut world));
    world.say_bytes(b, b"P");
    world.say_bytes(a, b"a:1");
    assert_eq!(world.heard_raw(b), ["GO"]);
    world.say_bytes(b, b":1");
    world.drive_for(ms(60));
    assert_eq!(world.accepted(), ["a:1"]);
}

/// L10, M16: a client that let its first `GO` lapse rests at once, even if it is first again and holders have
/// a grace.
#[test]
fn l10_a_silent_client_gets_no_grace() {
    let mut config = auto_config();
    (config.rules.min_seats, config.rules.turn_grace) = (1, secs(10));
    let mut world = World::new(config, 1);
    let silent = world.connect();
    world.drive_for(ms(300) + secs(30));
    assert_eq!(world.heard_raw(silent), ["GO"]);
    let ann = super::start::join(&mut world, "ann");
    assert_eq!(ann.then, ["GO turn=3 within=30000"]);
    world.say_bytes(silent, b"a:1");
    world.say_line(ann.peer, "ANSWER :x");
    assert_eq!(world.accepted(), ["ann:x", "a:1"]);
}

/// L10, M8: in a ring that allows no seat to be `always`, a silent connection is not taken for a raw client,
/// and has the time of a line client.
#[test]
fn l10_a_slow_client_of_a_lock_is_not_taken_for_a_raw_one() {
    let mut config = auto_config();
    config.rules.demands = taketurns::turn::Demands::Only(taketurns::turn::Demand::Ask);
    let mut world = World::new(config, 1);
    let [slow, silent] = [(); 2].map(|()| world.connect());
    world.drive_for(secs(5));
    world.say_line(slow, "JOIN ann");
    assert!(world.heard_lines(slow)[0].starts_with("WELCOME ann "));
    world.drive_for(secs(6));
    assert_eq!(refusal(&mut world, silent), "hello-timeout");
    let raw = world.connect();
    world.say_bytes(raw, b"a:1");
    assert_eq!(refusal(&mut world, raw), "forbidden");
}
