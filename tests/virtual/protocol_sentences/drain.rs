//! Draining: holders may finish, and the drain ends in time (T32).

use support::network::World;
use support::{ms, secs};

use super::start::{
    heads, join, judged_config, line_config, line_ring, line_world, raw_config, raw_ring, refusal,
};

/// T32: a drain lets the holder finish, tells every client the reason, and grants nothing more.
#[test]
fn t32_a_drain_lets_the_holder_finish() {
    let (mut world, [ann, bob, cid]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    let watcher = world.connect();
    world.say(watcher, "WATCH");
    world.heard(watcher);
    let newcomer = world.connect();
    world.drive_for(secs(1));
    let late = world.connect_quietly();
    world.drain();
    assert!(
        [ann.peer, bob.peer, cid.peer, watcher, newcomer]
            .map(|peer| world.is_open(peer))
            .iter()
            .all(|open| *open)
    );
    // Nothing new begins, not even for a client that connected just before.
    assert_eq!((refusal(&mut world, late), world.is_open(late)), ("shutting-down".to_owned(), false));
    world.drive_for(secs(2));
    world.say(ann.peer, "ANSWER turn=1 :1");
    let heard = world.heard(ann.peer);
    assert_eq!(
        (heard.len(), heard[0].as_str(), world.accepted()),
        (2, "OK turn=1", vec!["ann:1".to_owned()])
    );
    assert!(heard[1].starts_with("BYE shutting-down :"));
    let seen = world.heard(watcher);
    assert!(seen[0] == "TURN ann turn=1 :1" && seen[1].starts_with("BYE shutting-down :"), "{seen:?}");
    for peer in [bob.peer, cid.peer, newcomer] {
        assert_eq!(refusal(&mut world, peer), "shutting-down", "and no GO before it");
    }
    assert_eq!(world.server().clients(), 0);
    assert!(
        [ann.peer, bob.peer, cid.peer, watcher, newcomer]
            .map(|peer| world.is_open(peer))
            .iter()
            .all(|open| !*open)
    );
}

/// T32 and L8: a silent holder delays a drain for at most `drain_timeout`. Without a holder it ends at once.
#[test]
fn t32_a_drain_ends_within_its_timeout() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.drive_for(secs(5));
    world.drain();
    world.drive_for(ms(2999));
    assert!(world.is_open(ann.peer) && world.is_open(bob.peer));
    world.drive_for(ms(1));
    for peer in [ann.peer, bob.peer] {
        assert_eq!(
            (refusal(&mut world, peer), world.closed_at(peer)),
            ("shutting-down".to_owned(), Some(secs(8)))
        );
    }
    assert_eq!(world.server().clients(), 0);

    // If the holder's own deadline comes first, or its connection is lost, there is no holder to wait for.
    let (mut world, [_, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.drive_for(secs(28));
    world.drain();
    world.drive_for(secs(2));
    assert_eq!((refusal(&mut world, bob.peer), world.server().clients()), ("shutting-down".to_owned(), 0));

    let mut world = line_world();
    let ann = join(&mut world, "ann");
    world.drain();
    assert_eq!((refusal(&mut world, ann.peer), world.server().clients()), ("shutting-down".to_owned(), 0));
}

/// T32: an observer is told how the last turns end, wherever its connection is among the others.
#[test]
fn t32_observers_hear_the_end_of_a_turn_that_the_drain_cuts_off() {
    let mut world = line_world();
    let watch = |world: &mut World| {
        let peer = world.connect();
        world.say(peer, "WATCH");
        world.heard(peer);
        peer
    };
    let first = watch(&mut world);
    join(&mut world, "ann");
    join(&mut world, "bob");
    let last = watch(&mut world);
    world.drain();
    world.drive_for(secs(4));
    for observer in [first, last] {
        let heard = heads(&world.heard(observer));
        assert!(heard.contains(&"SKIP ann turn=1 how=gone".to_owned()), "{heard:?}");
        assert_eq!(heard.last().map(String::as_str), Some("BYE shutting-down"));
    }
}

/// T32: the drain ends at the moment at which one seat's grace ends, and the last other one leaves by it.
#[test]
fn t32_a_drain_ends_together_with_the_grace_of_a_seat() {
    let mut config = judged_config();
    config.rules.seat_grace = secs(10);
    let (mut world, [ann, bob]) = line_ring(config, ["ann", "bob"]);
    world.reset(bob.peer);
    world.drive_for(secs(7));
    world.say(ann.peer, "ANSWER :1");
    world.say(ann.peer, "LEAVE");
    world.drain();
    world.drive_for(secs(3));
    assert_eq!(heads(&world.heard(ann.peer)), ["NO not-judged turn=1 within=23000", "BYE left"]);
    assert_eq!((world.server().clients(), world.server().scheduler().seats()), (0, 0));
}

/// T32 in the raw framing, which has no message for it: the answer counts, and then every connection is
/// closed.
#[test]
fn t32_a_drain_in_the_raw_framing_closes_silently() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    let c = world.connect_quietly();
    world.drain();
    assert!(!world.is_open(c));
    world.drive_for(secs(1));
    world.say(a, "a:1");
    assert_eq!(world.accepted(), ["a:1"]);
    assert_eq!(([a, b, c].map(|peer| world.heard(peer).len()), world.server().clients()), ([0, 0, 0], 0));
    assert!(!world.is_open(a) && !world.is_open(b));
}

/// T32: a `JOIN` on an older connection is refused as well, and a kept turn is not waited for.
#[test]
fn t32_a_drain_takes_no_newcomers() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    let newcomer = world.connect();
    world.drain();
    world.say(newcomer, "JOIN cid");
    assert_eq!(refusal(&mut world, newcomer), "shutting-down");
    world.reset(ann.peer);
    assert_eq!(refusal(&mut world, bob.peer), "shutting-down");
    assert_eq!(world.server().clients(), 0);
}
