//! Names: joining under one, and coming back to it with a secret (T20 to T22).

use crate::start::{accepted, held, join, line_config, line_order, line_ring, line_world, refusal};
use crate::world::{field, ms, secs};

/// T20: whoever says neither `JOIN` nor `WATCH` never has a seat and is sent away, whatever else it says.
#[test]
fn t20_no_seat_before_a_valid_join() {
    let mut world = line_world();
    let talker = world.connect();
    let silent = world.connect();
    world.drive_for(secs(1));
    let observer = world.connect();
    world.say(observer, "WATCH");
    for line in ["PING", "ann:1", "PASS", "LEAVE", "JOIN", "JOIN a:b", "JOIN a weight=0", "GET / HTTP/1.1"] {
        world.say(talker, line);
        world.drive_for(secs(1));
    }
    assert_eq!((world.heard(talker).len(), world.server().scheduler().seats()), (8, 0));
    // Half a line does not help either.
    world.say_bytes(talker, b"JOIN ann");
    world.drive_for(ms(999));
    assert!(world.is_open(talker) && world.is_open(silent));
    world.drive_for(ms(1));
    for peer in [talker, silent] {
        assert_eq!(
            (refusal(&mut world, peer), world.closed_at(peer)),
            ("hello-timeout".to_owned(), Some(secs(10)))
        );
    }
    let ann = join(&mut world, "ann");
    world.drive_for(secs(20));
    assert!(world.is_open(ann.peer) && world.is_open(observer));
}

/// T20, with the commands table: how a seat begins.
#[test]
fn t20_a_valid_join_is_welcomed() {
    let mut world = line_world();
    let ann = join(&mut world, "ann");
    let welcome = &ann.welcome;
    let keys: Vec<_> = welcome.split(' ').map(|field| field.split('=').next().unwrap_or_default()).collect();
    assert_eq!(keys, ["WELCOME", "seat", "ring", "epoch", "resume", "last", "number"]);
    let values = ["seat", "ring", "last", "number"].map(|key| field(welcome, key));
    assert_eq!(values, ["1", "main", "0", "0"]);
    assert_eq!(ann.then, ["WAIT ahead=0"]);
    let bob = join(&mut world, "bob colour=red weight=2 ring=main later=1");
    assert_eq!(field(&bob.welcome, "seat"), "2", "unknown fields are ignored");
    assert_eq!(bob.then, ["WAIT ahead=1"]);
    let cid = join(&mut world, "cid");
    assert_eq!(cid.then, ["WAIT ahead=2"]);
    assert_eq!(world.heard(ann.peer), ["GO turn=1 within=30000"]);
}

/// T21: which names there are, and that each sits in its ring once.
#[test]
fn t21_names_are_checked_and_unique_in_their_ring() {
    let mut world = line_world();
    let long = "n".repeat(64);
    join(&mut world, "ann");
    join(&mut world, &long);
    join(&mut world, "J\u{f6}rg");
    join(&mut world, "ann ring=other");
    join(&mut world, "Ann");
    let taken = world.connect();
    world.say(taken, "JOIN ann");
    assert_eq!((refusal(&mut world, taken), world.is_open(taken)), ("name-taken".to_owned(), false));
    let newcomer = world.connect();
    for name in ["", "a:b", ":", "a\u{7}b", "a\u{85}", "a\tb", &format!("{long}n"), "two words"] {
        world.say(newcomer, &format!("JOIN {name}"));
        assert_eq!(refusal(&mut world, newcomer), "malformed", "{name:?}");
    }
    assert!(world.is_open(newcomer));
}

/// T21: a `JOIN` without secret under a vacant seat's name takes a new seat at the end, and the old one is gone.
#[test]
fn t21_joining_under_a_vacant_seats_name_starts_at_the_end() {
    let (mut world, [ann, bob, cid]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    world.reset(bob.peer);
    let again = join(&mut world, "bob");
    assert_eq!((field(&again.welcome, "seat"), world.server().scheduler().seats()), ("4", 3));
    let members = [ann, again, cid];
    assert_eq!(line_order(&mut world, &members, 6).join(" "), "ann cid bob ann cid bob");
    let thief = world.connect();
    world.say(thief, &format!("JOIN bob resume={}", bob.secret()));
    assert_eq!(refusal(&mut world, thief), "bad-secret", "the old seat's secret is worth nothing");
    assert!(world.is_open(members[1].peer));
}

/// T21: an answer under another name than the joined one is refused.
#[test]
fn t21_an_answer_under_another_name_is_refused() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    let before = held(&world);
    for line in ["bob:1", "bob:1 turn=1", "Ann:1"] {
        world.say(ann.peer, line);
        assert_eq!(refusal(&mut world, ann.peer), "wrong-name");
    }
    assert_eq!((held(&world), world.heard(bob.peer)), (before, vec![]));
    world.say(ann.peer, "ann:1 turn=1");
    assert_eq!(world.heard(ann.peer), ["OK turn=1"]);
}

/// T22: the seat moves at once to the connection that knows its secret, in its old place; the old one hears why.
#[test]
fn t22_a_seat_is_resumed_at_once_while_the_old_connection_seems_alive() {
    let (mut world, [ann, bob, cid]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    let again = join(&mut world, &format!("bob resume={}", bob.secret()));
    assert_eq!(field(&again.welcome, "seat"), "2");
    assert_eq!(again.then, ["WAIT ahead=1"]);
    assert_eq!((refusal(&mut world, bob.peer), world.is_open(bob.peer)), ("superseded".to_owned(), false));
    assert_eq!(world.server().scheduler().seats(), 3);
    assert_eq!(line_order(&mut world, &[ann, again, cid], 4).join(" "), "ann bob cid ann");
}

/// T22: a holder that resumes keeps its turn, number and deadline, and hears `GO` on the new connection.
#[test]
fn t22_a_holder_that_resumes_keeps_its_turn() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    let before = held(&world);
    world.drive_for(secs(12));
    let again = join(&mut world, &format!("ann resume={}", ann.secret()));
    assert_eq!(again.then, ["GO turn=1 within=18000"]);
    assert_eq!((held(&world), world.heard(bob.peer)), (before, vec![]));
    world.say(again.peer, "ann:5 turn=1");
    assert_eq!(
        (world.heard(again.peer), accepted(&world)),
        (vec!["OK turn=1".to_owned()], vec!["ann:5".to_owned()])
    );
}

/// T22 and S6: what the old connection still says after the resumption means nothing.
#[test]
fn t22_a_superseded_connection_is_not_listened_to() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.chunking = false;
    let again = world.connect();
    world.queue(again, &format!("JOIN ann resume={}", ann.secret()));
    world.queue(ann.peer, "ann:666 turn=1");
    world.drive();
    assert_eq!((accepted(&world), world.is_open(ann.peer), world.is_open(again)), (vec![], false, true));
    // Nor does its end end anything.
    assert_eq!(held(&world).map(|held| held.0), Some(1));
    world.say(again, "ann:5 turn=1");
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
}

/// T22: the secret is 128 bits, another for every seat and after every resumption; a wrong one is refused.
#[test]
fn t22_secrets_change_at_every_resume_and_wrong_ones_are_refused() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    let mut seen = vec![ann.secret().to_owned(), bob.secret().to_owned()];
    let mut latest = ann.clone();
    for _ in 0..10 {
        latest = join(&mut world, &format!("ann resume={}", latest.secret()));
        world.say(latest.peer, "PING");
        seen.push(latest.secret().to_owned());
    }
    assert!(seen.iter().all(|secret| secret.len() == 32 && secret.bytes().all(|b| b.is_ascii_hexdigit())));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 12);

    let current = latest.secret().to_owned();
    let flipped = if current.ends_with('0') { "1" } else { "0" };
    let near = format!("{}{flipped}", &current[..31]);
    let other_ring = format!("{current} ring=other");
    for wrong in
        [ann.secret(), bob.secret(), &near, &other_ring, "", "x", &current[..31], &format!("{current}0")]
    {
        let thief = world.connect();
        world.say(thief, &format!("JOIN ann resume={wrong}"));
        assert_eq!(
            (refusal(&mut world, thief), world.is_open(thief)),
            ("bad-secret".to_owned(), false),
            "{wrong:?}"
        );
    }
    let thief = world.connect();
    world.say(thief, &format!("JOIN nobody resume={current}"));
    assert_eq!(refusal(&mut world, thief), "bad-secret");
    world.say(latest.peer, "PING");
    assert_eq!(
        world.heard(latest.peer).last().map(String::as_str),
        Some("PONG"),
        "ann herself was not disturbed"
    );
}

/// T22: the secret used last stays good until the first valid line on the new connection: `WELCOME` may be lost.
#[test]
fn t22_the_previous_secret_stays_valid_until_the_new_connection_speaks() {
    let (mut world, [ann, _bob]) = line_ring(line_config(), ["ann", "bob"]);
    let resume = format!("ann resume={}", ann.secret());
    // The WELCOME is lost again and again; a line that is none does not count as a sign of life.
    for _ in 0..3 {
        let lost = join(&mut world, &resume);
        world.say(lost.peer, "not a line");
        world.reset(lost.peer);
    }
    // Either is good now: the one used, and the one that was sent.
    let sent = join(&mut world, &resume);
    let arrived = join(&mut world, &format!("ann resume={}", sent.secret()));
    world.say(arrived.peer, "PING");
    for old in [ann.secret(), sent.secret()] {
        let late = world.connect();
        world.say(late, &format!("JOIN ann resume={old}"));
        assert_eq!(refusal(&mut world, late), "bad-secret");
    }
    assert!(world.is_open(arrived.peer));
    join(&mut world, &format!("ann resume={}", arrived.secret()));
}
