//! Holders that are silent, and answers that are late (T11).

use support::network::World;
use support::{ms, secs};
use taketurns::protocol::turns::{How, TurnEvent};

use super::start::{held, line_config, line_ring, raw_config, raw_ring, raw_world, turn};
use crate::logged::{listen_to_log, take_log};

/// T11: the turn of a silent holder passes on at its deadline, not before. This is logged and reported.
#[test]
fn t11_a_silent_holder_lapses_at_its_deadline() {
    listen_to_log();
    let (mut world, [_a, b]) = raw_ring(raw_config());
    take_log();
    world.new_events();
    world.drive_for(secs(30) - ms(1));
    assert_eq!((world.heard(b), world.new_events().len()), (vec![], 0));
    world.drive_for(ms(1));
    assert_eq!(world.heard(b), ["GO"]);
    let lapsed = world
        .new_events()
        .iter()
        .filter(|(_, event)| matches!(event, TurnEvent::Ended { how: How::Lapsed, .. }))
        .count();
    let log = take_log();
    let logged = log.iter().filter(|(_, line)| line == "seat 1 (raw-1) lapsed").count();
    assert_eq!((lapsed, logged), (1, 1), "{log:?}");

    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.drive_for(secs(30));
    assert_eq!(world.heard(ann.peer), ["LAPSED turn=1"]);
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
    world.drive_for(secs(30));
    assert_eq!(world.heard(ann.peer), ["GO turn=3 within=30000"], "line framing: each turn has its GO");
}

/// "The order at the bell": an answer that is there in the pass of the deadline counts.
#[test]
fn t11_an_answer_at_the_bell_counts() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.skip_time(secs(40));
    world.say(a, "a:1");
    assert_eq!((world.accepted().as_slice(), world.server().counts().lapsed), (&["a:1".to_owned()][..], 0));
    assert_eq!(world.heard(b), ["GO"]);
}

/// M13: the process was suspended from before a held-back `GO` was due until long after. The clock of that
/// turn starts when its holder is told.
#[test]
fn m13_a_go_that_was_held_back_for_long_has_its_whole_time() {
    let mut world = raw_world();
    let (a, b) = (world.connect(), world.connect());
    world.skip_time(secs(31));
    world.drive();
    assert_eq!(world.heard(a), ["WAIT", "GO"]);
    assert_eq!(world.heard(b), ["WAIT"]);
    assert_eq!(held(&world), Some((1, secs(61))));
    world.say(a, "a:1");
    assert_eq!(world.heard(b), ["GO"]);
}

/// T11: an answer that waits for its seat's next turn is not dropped silently when its client leaves.
#[test]
fn t11_a_late_answer_whose_client_leaves_is_refused() {
    let (mut world, [a, _b]) = raw_ring(raw_config());
    world.drive_for(secs(30));
    world.say(a, "a:1");
    assert_eq!(world.server().counts().refused, 0);
    world.half_close(a);
    assert_eq!((world.accepted().len(), world.server().counts().refused), (0, 1));
}

/// T11: a late answer is kept for its seat's next turn and counts there, once. Anything after it is refused.
#[test]
fn t11_a_late_answer_counts_in_the_seats_next_turn() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.drive_for(secs(30));
    assert_eq!(world.heard(b), ["GO"]);
    world.say(a, "a:1");
    world.say(a, "a:3");
    assert_eq!(
        (world.accepted().len(), world.server().counts().refused),
        (0, 1),
        "held, and further bytes refused"
    );
    world.say(b, "b:2");
    assert_eq!(world.accepted(), ["b:2", "a:1"], "it counts as soon as its seat has the turn");
    assert_eq!(
        (world.heard(a), world.heard(b)),
        (vec![], vec!["GO".to_owned()]),
        "without a GO for that turn"
    );
    world.say(b, "b:4");
    assert_eq!(world.heard(a), ["GO"], "and the next turn is an ordinary one");
    world.say(a, "a:5");
    assert_eq!(world.accepted(), ["b:2", "a:1", "b:4", "a:5"]);
}

/// T11: while a `GO` is unanswered, turns are granted without writing. An answer in such a turn counts there.
#[test]
fn t11_a_connection_has_at_most_one_unanswered_go() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    for _ in 0..3 {
        world.drive_for(secs(30));
        world.say(b, "b:2");
        assert_eq!(world.heard(a), [""; 0], "its first GO is still open");
    }
    assert_eq!(turn(&world), Some(7), "though it has had its turns");
    world.heard(b);
    world.say(a, "a:1");
    assert_eq!(world.accepted().last().map(String::as_str), Some("a:1"));
    assert_eq!(world.heard(b), ["GO"]);
    world.say(b, "b:4");
    assert_eq!(world.heard(a), ["GO"]);
}

/// T11: nothing that a client was allowed to send is lost or counts twice, however late it is.
#[test]
fn t11_answers_of_a_stopped_legacy_client_are_neither_lost_nor_doubled() {
    for seed in 0..50 {
        let mut world = World::new(raw_config(), seed);
        let peers = [world.connect_old("Client1", 1, 2), world.connect_old("Client2", 2, 2)];
        for _ in 0..15 {
            let (at, pause, stall) = (world.rng.usize(0..2), world.rng.u64(0..20_000), world.rng.u64(0..100));
            world.drive_for(ms(pause));
            world.stall(peers[at], secs(stall));
        }
        world.drive_for(secs(200));
        let mut next = [1, 2];
        for answer in world.accepted() {
            let (name, number) = answer.split_once(':').expect("name:number");
            let at = usize::from(name == "Client2");
            assert_eq!(number.parse(), Ok(next[at]), "seed {seed}: {name}");
            next[at] += 2;
        }
        assert!(next[0] > 11 && next[1] > 12, "seed {seed}: the ring lives");
    }
}

/// T11, T8: a malformed late answer is a strike and closes the open `GO`, so that its client is told about
/// its next turn.
#[test]
fn t11_a_malformed_late_answer_closes_the_open_go() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.say(a, "a:1");
    world.say(b, "b:2");
    world.heard(a);
    world.heard(b);
    world.drive_for(secs(30));
    world.say(a, "a:x");
    assert_eq!((world.heard(a), world.is_open(a)), (vec![], true), "it has no turn to hear of");
    world.say(b, "b:4");
    assert_eq!(world.heard(a), ["GO"]);
    world.say(a, "a:3");
    assert_eq!(world.accepted(), ["a:1", "b:2", "b:4", "a:3"]);
    // Three in a row end the connection, late or not.
    world.say(b, "b:6");
    world.drive_for(secs(30));
    for _ in 0..3 {
        world.say(a, "a:x");
        world.say(b, "b:8");
    }
    assert!(!world.is_open(a));
}
