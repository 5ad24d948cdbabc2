//! Coming back to a seat with its secret (T22).

use support::network::field;
use support::secs;

use super::start::{heads, held, join, line_config, line_order, line_ring, refusal, resume};

/// T22: the seat moves at once, in its old place, to the connection that has its secret. The old one is told
/// why.
#[test]
fn t22_a_seat_is_resumed_at_once_while_the_old_connection_seems_alive() {
    let (mut world, [ann, bob, cid]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    let again = resume(&mut world, &bob);
    assert_eq!(field(&again.welcome, "seat"), "2");
    assert_eq!(again.then, ["WAIT ahead=1"]);
    assert_eq!((refusal(&mut world, bob.peer), world.is_open(bob.peer)), ("superseded".to_owned(), false));
    assert_eq!(world.server().scheduler().seats(), 3);
    assert_eq!(line_order(&mut world, &[ann, again, cid], 4).join(" "), "ann bob cid ann");
}

/// T22: a holder that resumes keeps its turn, number and deadline, and gets `GO` on the new connection.
#[test]
fn t22_a_holder_that_resumes_keeps_its_turn() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    let before = held(&world);
    world.drive_for(secs(12));
    let again = resume(&mut world, &ann);
    assert_eq!(again.then, ["GO turn=1 within=18000"]);
    assert_eq!((held(&world), world.heard(bob.peer)), (before, vec![]));
    world.say(again.peer, "ANSWER turn=1 :5");
    assert_eq!(
        (world.heard(again.peer), world.accepted()),
        (vec!["OK turn=1".to_owned()], vec!["ann:5".to_owned()])
    );
}

/// T22: no further byte of the old connection is read, and its end has no effect.
#[test]
fn t22_input_of_a_superseded_connection_is_ignored() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.chunking = false;
    let again = world.connect();
    world.queue(again, &format!("JOIN ann resume={}", ann.secret()));
    world.queue(ann.peer, "ANSWER turn=1 :666");
    world.drive();
    assert_eq!((world.accepted(), world.is_open(ann.peer), world.is_open(again)), (vec![], false, true));
    assert_eq!(held(&world).map(|held| held.0), Some(1));
    world.say(again, "ANSWER turn=1 :5");
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
}

/// T22: a secret has 128 bits, and changes for every seat and after every resumption. A wrong one is refused.
#[test]
fn t22_secrets_change_at_every_resume_and_wrong_ones_are_refused() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    let mut seen = vec![ann.secret().to_owned(), bob.secret().to_owned()];
    let mut latest = ann.clone();
    for _ in 0..10 {
        latest = resume(&mut world, &latest);
        world.say(latest.peer, "PING");
        seen.push(latest.secret().to_owned());
    }
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    assert!(seen.iter().all(|secret| secret.len() == 32 && secret.bytes().all(is_hex)));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 12);

    let current = latest.secret().to_owned();
    let flipped = if current.ends_with('0') { "1" } else { "0" };
    let near = format!("{}{flipped}", &current[..31]);
    let other_ring = format!("{current} ring=other");
    for wrong in [ann.secret(), bob.secret(), &near, &other_ring, "x", &current[..31], &format!("{current}0")]
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
    assert_eq!(world.heard(latest.peer).last().map(String::as_str), Some("PONG"), "ann was not disturbed");
}

/// T22: the last secret stays valid until the first valid line on the new connection, because `WELCOME` may
/// be lost.
#[test]
fn t22_the_previous_secret_stays_valid_until_the_new_connection_speaks() {
    let (mut world, [ann, _bob]) = line_ring(line_config(), ["ann", "bob"]);
    // The WELCOME is lost repeatedly. An invalid line does not count as a sign of life.
    for _ in 0..3 {
        let lost = resume(&mut world, &ann);
        world.say(lost.peer, "not a line");
        world.reset(lost.peer);
    }
    // Both are valid now: the one that was used, and the one that was sent.
    let sent = resume(&mut world, &ann);
    let arrived = resume(&mut world, &sent);
    world.say(arrived.peer, "PING");
    for old in [ann.secret(), sent.secret()] {
        let late = world.connect();
        world.say(late, &format!("JOIN ann resume={old}"));
        assert_eq!(refusal(&mut world, late), "bad-secret");
    }
    assert!(world.is_open(arrived.peer));
    resume(&mut world, &arrived);
}

/// T22: weight, demand and rest survive a resumption; `hear=` has to be repeated.
#[test]
fn t22_a_resumption_keeps_the_properties_of_the_seat() {
    let (mut world, [ann, bob, _]) = line_ring(line_config(), ["ann demand=ask hear=turns", "bob", "cid"]);
    let again = join(&mut world, &format!("ann demand=always resume={}", ann.secret()));
    assert_eq!(again.then, [""; 0], "it rests, and does not hear");
    world.say(bob.peer, "ANSWER :1");
    assert_eq!(world.heard(again.peer), [""; 0]);
    let heard = join(&mut world, &format!("ann hear=turns resume={}", again.secret()));
    assert_eq!(heard.then.last().map(String::as_str), Some("SEATS main seats=3"));
    assert_eq!(heads(&world.heard(again.peer)), ["BYE superseded"]);
}
