//! Seats: how they are taken, how many it needs, what becomes of one that is lost (T1, T2, T10, T12, T13).
//! Seats with a name are in `names.rs`.

use log::Level;
use taketurns::protocol::turns::{Framing, Name, SeatData, Skipped, TurnEvent, TurnServerConfig};

use crate::logged::{listen_to_log, take_log};
use crate::start::{
    accepted, held, join, line_config, line_ring, line_world, raw_config, raw_order, raw_ring, refusal,
};
use crate::world::{World, ms, secs};

/// T1: accepted is seated, without a byte; the longest-vacant seat is taken first, then a new one at the end.
#[test]
fn t01_a_connection_is_seated_when_accepted_in_the_longest_vacant_seat() {
    let (mut world, [a, b, c, d]) = raw_ring(raw_config());
    assert_eq!(world.server().scheduler().seats(), 4);
    // d is lost before b: whoever comes next gets d's place, and the one after that b's.
    world.reset(d);
    world.drive_for(secs(1));
    world.reset(b);
    world.drive_for(secs(1));
    let e = world.connect();
    let f = world.connect();
    assert_eq!(world.server().scheduler().seats(), 4, "no seat was added while some were vacant");
    let g = world.connect();
    assert_eq!(world.server().scheduler().seats(), 5);
    world.drive_for(ms(100));
    world.say(a, "a:0");
    let order = raw_order(&mut world, &[a, f, c, e, g], 6);
    assert_eq!(order, [1, 2, 3, 4, 0, 1], "b's place is f's, d's is e's, and g sits at the end");
}

/// T2: no turn with fewer than `min_clients` occupied seats; the default is two.
#[test]
fn t02_turns_start_with_enough_seats_and_pause_with_fewer() {
    assert_eq!(TurnServerConfig::default().min_clients, 2);
    let mut world = World::new(TurnServerConfig { min_clients: 3, ..raw_config() }, 1);
    let [a, b] = [world.connect(), world.connect()];
    world.drive_for(secs(100));
    assert_eq!((world.heard(a), world.heard(b)), (vec!["WAIT".to_owned()], vec!["WAIT".to_owned()]));
    let c = world.connect();
    assert_eq!(world.heard(a), ["GO"]);
    world.drive_for(ms(100));
    world.heard(c);
    world.reset(c);
    world.say(a, "a:1");
    assert_eq!(accepted(&world), ["a:1"], "a turn that is granted may still be answered");
    world.drive_for(secs(10));
    assert_eq!(world.heard(b), [""; 0], "two of three: the ring is paused");
    let d = world.connect();
    assert_eq!((world.heard(b), world.heard(d)), (vec!["GO".to_owned()], vec!["WAIT".to_owned()]));

    let mut world = line_world();
    let ann = join(&mut world, "ann");
    assert_eq!(ann.then, ["WAIT ahead=0"]);
    // The seats of another ring do not count.
    join(&mut world, "bob ring=other");
    world.drive_for(secs(5));
    assert_eq!(world.heard(ann.peer), [""; 0]);
    join(&mut world, "cid");
    assert_eq!(world.heard(ann.peer), ["GO turn=1 within=30000"]);
}

/// T2: with two clients the accepted numbers alternate, also over reconnects at any moment.
#[test]
fn t02_two_clients_always_alternate_also_over_reconnects() {
    for seed in 0..100 {
        let mut world = World::new(raw_config(), seed);
        let mut numbers = [1, 2];
        let mut peers = [world.connect(), world.connect()];
        let mut lost: Option<usize> = None;
        for _ in 0..60 {
            for at in 0..2 {
                for heard in world.heard(peers[at]) {
                    // Sometimes nobody answers, because it is lost just then.
                    if heard == "GO" && world.rng.u8(0..4) > 0 {
                        world.queue(peers[at], &format!("p{at}:{}", numbers[at]));
                        numbers[at] += 2;
                    } else if heard == "GO" && lost.is_none() {
                        world.reset_quietly(peers[at]);
                        lost = Some(at);
                    }
                }
            }
            if world.rng.u8(0..6) == 0 && lost.is_none() {
                let at = world.rng.usize(0..2);
                world.reset_quietly(peers[at]);
                lost = Some(at);
            }
            let pause = world.rng.u64(0..2000);
            world.drive_for(ms(pause));
            if let Some(at) = lost.take_if(|_| world.rng.bool()) {
                peers[at] = world.connect();
            }
        }
        let accepted = world.accepted();
        let lapsed = world
            .events
            .iter()
            .any(|(_, event)| matches!(event, TurnEvent::Skipped { how: Skipped::Lapsed, .. }));
        assert!(
            lapsed || accepted.windows(2).all(|pair| pair[0].0 != pair[1].0),
            "seed {seed}: {accepted:?}"
        );
    }
}

/// T10: the turn of a lost holder passes at once, also when others were lost before it.
#[test]
fn t10_the_turn_of_a_lost_holder_passes_at_once() {
    let (mut world, [a, b, c, d]) = raw_ring(raw_config());
    world.reset(b);
    world.reset(a);
    assert_eq!((held(&world).map(|held| held.0), world.heard(c)), (Some(2), vec!["GO".to_owned()]));
    world.half_close(c);
    assert!(!world.is_open(c), "a half-closed client has said all that it will");
    assert_eq!(held(&world), None, "one is left: paused");
    let gone = world
        .new_events()
        .iter()
        .filter(|event| matches!(event, TurnEvent::Skipped { how: Skipped::Gone, .. }))
        .count();
    assert_eq!((gone, world.heard(d)), (2, vec![]));

    let (mut world, [ann, bob, _]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    world.reset(ann.peer);
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
}

/// T10 with T30: where the loss of the holder pauses the ring, it is the holder's turn again when it goes on.
#[test]
fn t10_a_loss_that_pauses_the_ring_does_not_move_its_position() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.say(a, "a:1");
    world.reset(b);
    assert_eq!(held(&world), None);
    let b = world.connect();
    world.drive_for(ms(100));
    assert_eq!((world.heard(a), world.heard(b)), (vec![], vec!["GO".to_owned()]));
    assert_eq!(held(&world).map(|held| held.0), Some(3), "turn 2 is over, and never used again");

    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.reset(ann.peer);
    let again = join(&mut world, &format!("ann resume={}", ann.secret()));
    assert_eq!(
        (again.then.as_slice(), world.heard(bob.peer)),
        (&["GO turn=2 within=30000".to_owned()][..], vec![])
    );
}

/// An answer and the end of the stream, right after each other: the answer counts, an unfinished one does not.
#[test]
fn t10_what_came_before_the_end_of_a_stream_counts() {
    for (last, counts) in [("a:1", true), ("a:", false)] {
        let (mut world, [a, b, _c]) = raw_ring(raw_config());
        world.queue(a, last);
        world.half_close(a);
        assert_eq!((accepted(&world).len() == 1, world.is_open(a)), (counts, false));
        assert_eq!(world.heard(b), ["GO"]);
    }
    let (mut world, [ann, bob, _]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    world.queue(ann.peer, "ann:1 turn=1");
    world.half_close(ann.peer);
    assert_eq!(
        (accepted(&world).as_slice(), world.heard(ann.peer)),
        (&["ann:1".to_owned()][..], vec!["OK turn=1".to_owned()])
    );
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
    assert!(!world.is_open(ann.peer));
}

/// T12: a vacant seat keeps its place for the grace, and no longer.
#[test]
fn t12_a_vacant_seat_keeps_its_place_for_the_grace() {
    for (away, in_place) in [(ms(59_900), true), (ms(60_000), false)] {
        let (mut world, [a, b, c]) = raw_ring(TurnServerConfig { turn_deadline: secs(1000), ..raw_config() });
        world.reset(b);
        world.drive_for(away);
        assert_eq!(world.server().scheduler().seats(), if in_place { 3 } else { 2 });
        let d = world.connect();
        world.drive_for(ms(100));
        world.heard(d);
        world.say(a, "a:1");
        let next = if in_place { d } else { c };
        assert_eq!(world.heard(next), ["GO"], "away for {away:?}");
    }
    for (away, reply) in [(ms(59_999), "WELCOME"), (ms(60_000), "BYE")] {
        let (mut world, [_, bob]) = line_ring(line_config(), ["ann", "bob"]);
        let is_bob = |name: Option<Name>| name.is_some_and(|name| name.as_str() == "bob");
        let seated = world.new_events().into_iter().find_map(|event| match event {
            TurnEvent::Seated { seat, connection, name } if is_bob(name) => Some((seat, connection)),
            _ => None,
        });
        let (seat, connection) = seated.expect("bob is seated");
        let sits = |world: &World| world.server().scheduler().data(seat).and_then(SeatData::connection);
        assert_eq!(sits(&world), Some(connection));
        world.reset(bob.peer);
        assert_eq!(sits(&world), None);
        world.drive_for(away);
        let again = world.connect();
        world.say(again, &format!("JOIN bob resume={}", bob.secret()));
        let heard = world.heard(again);
        assert_eq!(heard[0].split(' ').next(), Some(reply), "away for {away:?}: {heard:?}");
    }
}

/// T12 and A2: seats whose clients were lost in one pass are forgotten in one pass, and with them their ring.
#[test]
fn t12_seats_that_were_lost_together_are_forgotten_together() {
    for framing in [Framing::Raw, Framing::Line] {
        let mut world = World::new(TurnServerConfig { framing, ..TurnServerConfig::default() }, 1);
        for round in 0..3 {
            let peers = [(); 4].map(|()| world.connect());
            for (peer, name) in peers.iter().zip('a'..).filter(|_| framing == Framing::Line) {
                world.say(*peer, &format!("JOIN {name}"));
            }
            assert_eq!(world.server().scheduler().seats(), 4, "{framing:?}, round {round}");
            peers.iter().for_each(|peer| world.reset_quietly(*peer));
            world.drive_for(secs(60));
            let scheduler = world.server().scheduler();
            assert_eq!((scheduler.seats(), scheduler.rings().count()), (0, 0), "{framing:?}, round {round}");
        }
    }
}

/// T13: one connection too many is closed at once, with a log line, and after `BYE full` in the line framing.
#[test]
fn t13_a_connection_beyond_max_clients_is_closed_at_once() {
    listen_to_log();
    let (mut world, [a, b]) = raw_ring(TurnServerConfig { max_clients: 2, ..raw_config() });
    take_log();
    let c = world.connect();
    let address = world.addr(c).to_string();
    assert!(take_log().iter().any(|(level, line)| *level <= Level::Info && line.contains(&address)));
    assert_eq!((world.is_open(c), world.heard(c), world.server().counts().turned_away), (false, vec![], 1));
    assert_eq!(world.server().clients(), 2);
    world.say(a, "a:1");
    assert_eq!(world.heard(b), ["GO"], "the others notice nothing");
    world.reset(a);
    let d = world.connect();
    assert!(world.is_open(d), "there is room again");

    let mut world = World::new(TurnServerConfig { max_clients: 2, ..line_config() }, 1);
    join(&mut world, "ann");
    world.connect();
    let third = world.connect();
    assert_eq!((refusal(&mut world, third), world.is_open(third)), ("full".to_owned(), false));
}
