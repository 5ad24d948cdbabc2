//! Seats of raw clients: how they are taken, how many are needed, and what happens to those of lost clients
//! (T1, T2, T13, L12).

use log::Level;
use support::network::World;
use support::{ms, secs};
use taketurns::protocol::turns::{Framing, How, TurnEvent};

use super::start::{
    config, held, join, line_config, line_ring, line_world, raw_config, raw_order, raw_ring, refusal, turn,
};
use crate::logged::{listen_to_log, take_log};

/// T1, L12: an accepted connection has a seat without sending a byte. The seat that its address left longest
/// ago is taken first, then a new one.
#[test]
fn t01_a_connection_is_seated_when_accepted_in_the_seat_that_its_address_left_longest_ago() {
    let mut world = World::new(raw_config(), 1);
    let home = |host| Some([192, 0, 2, host].into());
    let connect = |world: &mut World, host| {
        world.next_address = home(host);
        world.connect()
    };
    let [a, b, c, d] = [1, 2, 2, 2].map(|host| connect(&mut world, host));
    let seats = [a, b, c, d].map(|peer| world.server().seat_of(world.id(peer)));
    world.drive_for(ms(100));
    // D is lost before B.
    world.reset(d);
    world.drive_for(secs(1));
    world.reset(b);
    world.drive_for(secs(1));
    let stranger = connect(&mut world, 3);
    assert_eq!(world.server().scheduler().seats(), 5, "another address gets none of them");
    let [e, f, g] = [(); 3].map(|()| connect(&mut world, 2));
    let seat_of = |world: &World, peer| world.server().seat_of(world.id(peer));
    assert_eq!(seat_of(&world, e), seats[3], "left longest ago");
    assert_eq!(seat_of(&world, f), seats[1]);
    assert_eq!(world.server().scheduler().seats(), 6, "the third one has a new seat");
    assert!(!seats.contains(&seat_of(&world, g)) && seat_of(&world, stranger).is_some());
    assert_eq!(seat_of(&world, c), seats[2], "one that is there is not disturbed");
}

/// T2, M10: no turn with fewer than `min_seats` occupied seats; the default is two.
#[test]
fn t02_turns_start_with_enough_seats_and_pause_with_fewer() {
    assert_eq!(raw_config().rules.min_seats, 2);
    let mut three = raw_config();
    three.rules.min_seats = 3;
    let mut world = World::new(three, 1);
    let [a, b] = [world.connect(), world.connect()];
    world.drive_for(secs(100));
    assert_eq!((world.heard(a), world.heard(b)), (vec!["WAIT".to_owned()], vec!["WAIT".to_owned()]));
    let c = world.connect();
    assert_eq!(world.heard(a), ["GO"]);
    world.drive_for(ms(100));
    world.heard(c);
    world.reset(c);
    world.say(a, "a:1");
    assert_eq!(world.accepted(), ["a:1"], "a turn that is granted may still be answered");
    world.drive_for(secs(10));
    assert_eq!(world.heard(b), [""; 0], "two of three: the ring is paused");
    let d = world.connect();
    assert_eq!((world.heard(b), world.heard(d)), (vec!["GO".to_owned()], vec!["WAIT".to_owned()]));

    let mut world = line_world();
    let ann = join(&mut world, "ann");
    assert_eq!(ann.then, ["WAIT ahead=0 needs=1"]);
    // The seats of another ring do not count.
    join(&mut world, "bob ring=other");
    world.drive_for(secs(5));
    assert_eq!(world.heard(ann.peer), [""; 0]);
    join(&mut world, "cid");
    assert_eq!(world.heard(ann.peer), ["GO turn=1 within=30000"]);
}

/// M14: the turn of a lost holder passes on at once, even if others were lost before it.
#[test]
fn m14_the_turn_of_a_lost_holder_passes_at_once() {
    let (mut world, [a, b, c, d]) = raw_ring(raw_config());
    world.reset(b);
    world.reset(a);
    assert_eq!((turn(&world), world.heard(c)), (Some(2), vec!["GO".to_owned()]));
    world.half_close(c);
    assert!(!world.is_open(c), "a half-closed client has said all that it will");
    assert_eq!(held(&world), None, "one is left: paused");
    let is_gone = |event: &&(_, TurnEvent)| matches!(event.1, TurnEvent::Ended { how: How::Gone, .. });
    assert_eq!(world.new_events().iter().filter(is_gone).count(), 2);
    assert_eq!(world.heard(d), [""; 0]);
}

/// T2, M14: a loss that pauses the ring does not cost the holder its turn.
#[test]
fn m14_a_loss_that_pauses_the_ring_keeps_the_turn() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.say(a, "a:1");
    world.reset(b);
    assert_eq!(held(&world), None);
    world.next_address = Some(world.addr(b).ip());
    let b = world.connect();
    world.drive_for(ms(100));
    assert_eq!((world.heard(a), world.heard(b)), (vec![], vec!["GO".to_owned()]));
    assert_eq!(turn(&world), Some(3), "turn 2 is over, and never used again");
}

/// An answer right before the end of the stream counts. An unfinished one does not.
#[test]
fn t02_an_answer_before_the_end_of_its_stream_counts() {
    for (last, counts) in [("a:1", true), ("a:", false)] {
        let (mut world, [a, b, _c]) = raw_ring(raw_config());
        world.queue(a, last);
        world.half_close(a);
        assert_eq!((world.accepted().len() == 1, world.is_open(a)), (counts, false));
        assert_eq!(world.heard(b), ["GO"]);
    }
    let (mut world, [ann, bob, _]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    world.queue(ann.peer, "ANSWER turn=1 :x");
    world.half_close(ann.peer);
    assert_eq!(
        (world.accepted(), world.heard(ann.peer)),
        (vec!["ann:x".to_owned()], vec!["OK turn=1".to_owned()])
    );
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
    assert!(!world.is_open(ann.peer));
}

/// L12, with the limits: a vacant seat keeps its place for `seat_grace`, and no longer.
#[test]
fn l12_a_raw_seat_keeps_its_place_for_the_grace() {
    for (away, in_place) in [(ms(59_900), true), (ms(60_000), false)] {
        let mut long = raw_config();
        long.rules.turn_deadline = secs(1000);
        let (mut world, [a, b, c]) = raw_ring(long);
        world.reset(b);
        world.drive_for(away);
        assert_eq!(world.server().scheduler().seats(), if in_place { 3 } else { 2 });
        world.next_address = Some(world.addr(b).ip());
        let d = world.connect();
        world.drive_for(ms(100));
        world.heard(d);
        world.say(a, "a:1");
        let next = if in_place { d } else { c };
        assert_eq!(world.heard(next), ["GO"], "away for {away:?}");
    }
}

/// A2, T28: seats whose clients were lost in one pass are forgotten in one pass, together with their ring.
#[test]
fn t28_seats_that_were_lost_together_are_forgotten_together() {
    for framing in [Some(Framing::Raw), Some(Framing::Line)] {
        let mut world = World::new(config(framing), 1);
        for round in 0..3 {
            let peers = [(); 4].map(|()| world.connect());
            for (peer, name) in peers.iter().zip('a'..).filter(|_| framing == Some(Framing::Line)) {
                world.say(*peer, &format!("JOIN {name}"));
            }
            assert_eq!(world.server().scheduler().seats(), 4, "{framing:?}, round {round}");
            peers.iter().for_each(|peer| world.reset_quietly(*peer));
            world.drive_for(secs(61));
            let scheduler = world.server().scheduler();
            assert_eq!((scheduler.seats(), scheduler.rings().count()), (0, 0), "{framing:?}, round {round}");
        }
    }
}

/// T13: one connection too many is closed at once, with a log line; line clients are told `BYE full` before.
#[test]
fn t13_a_connection_beyond_max_clients_is_closed_at_once() {
    listen_to_log();
    let mut two = raw_config();
    two.max_clients = 2;
    let (mut world, [a, b]) = raw_ring(two);
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

    for framing in [Some(Framing::Line), None] {
        let mut two = config(framing);
        two.max_clients = 2;
        let mut world = World::new(two, 1);
        join(&mut world, "ann");
        world.connect();
        let third = world.connect();
        assert_eq!((refusal(&mut world, third), world.is_open(third)), ("full".to_owned(), false));
    }
}

/// T1: raw clients take turns in a fixed order while no seat comes or goes.
#[test]
fn m09_raw_clients_go_round() {
    let (mut world, peers) = raw_ring::<5>(raw_config());
    world.reset(peers[2]);
    let order = raw_order(&mut world, &peers, 10);
    assert_eq!(order, [0, 1, 3, 4, 0, 1, 3, 4, 0, 1], "the vacant seat is passed over");
    world.drive_for(secs(1));
    let expected: Vec<_> = order.iter().zip(0..).map(|(at, number)| format!("p{at}:{number}")).collect();
    assert_eq!(world.accepted(), expected);
}
