//! Commands of a host, in any pass and for any ring (M17, M18, M20).

use support::network::World;
use support::{ms, secs};
use taketurns::protocol::turns::{How, TurnConfigError, TurnEvent};
use taketurns::turn::{Demand, Demands, HostError, RulesError};

use super::start::{
    heads, join, judged_config, line_config, line_order, line_ring, raw_config, raw_ring, refusal, resume,
    ruled, watch,
};

/// M17: *skip* ends the turn that is held.
#[test]
fn m17_the_host_skips_a_turn() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    let watcher = watch(&mut world, "main");
    world.heard(watcher);
    let ring = world.ring("main");
    world.act(|server, now, links| server.skip(now, ring, links)).expect("a turn is held");
    assert_eq!(world.heard(ann.peer), ["LAPSED turn=1 how=skipped"]);
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
    assert_eq!(world.heard(watcher), ["SKIP ann turn=1 how=skipped", "BEGIN bob turn=2 within=30000"]);
    let is_skipped = |event: &&(_, TurnEvent)| matches!(event.1, TurnEvent::Ended { how: How::Skipped, .. });
    assert_eq!(
        (world.new_events().iter().filter(is_skipped).count(), world.server().counts().skipped),
        (1, 1)
    );
    world.say(bob.peer, "LEAVE");
    let error = world.act(|server, now, links| server.skip(now, ring, links));
    assert_eq!(error, Err(HostError::NoTurn));
}

/// M17: *next* names the seat that gets the next turn, which may be the holder. The others keep their places.
#[test]
fn m17_the_host_names_the_next_seat() {
    let (mut world, members) = line_ring(line_config(), ["ann", "bob", "cid", "dan"]);
    let dan = world.seat("dan");
    world.act(|server, _, _| server.name_next(dan)).expect("it waits");
    assert_eq!(line_order(&mut world, &members, 6).join(" "), "ann dan bob cid ann dan");
    // The holder gets one more turn.
    let bob = world.seat("bob");
    world.act(|server, _, _| server.name_next(bob)).expect("it holds the turn");
    assert_eq!(line_order(&mut world, &members, 3).join(" "), "bob bob cid");

    let (mut world, [_, bob, _]) = line_ring(line_config(), ["ann", "bob", "cid demand=ask"]);
    world.reset(bob.peer);
    for (name, error) in [("bob", HostError::Away), ("cid", HostError::Resting)] {
        let seat = world.seat(name);
        assert_eq!(world.act(|server, _, _| server.name_next(seat)), Err(error));
    }
    let gone = world.seat("cid");
    world.act(|server, now, links| server.remove(now, gone, links)).expect("a seat");
    assert_eq!(world.act(|server, _, _| server.name_next(gone)), Err(HostError::UnknownSeat));
}

/// A client that wants a ring of another server is sent there, and one that has a seat leaves it away.
#[test]
fn the_host_sends_clients_to_another_server() {
    let (mut world, [ann, _]) = line_ring(line_config(), ["ann", "bob"]);
    let at = "10.0.2.1:5001,b.example:5001".parse().expect("a target");
    let id = world.id(ann.peer);
    world.act(|server, now, links| server.redirect(now, id, &at, links));
    let said = world.heard(ann.peer);
    assert_eq!(said, ["BYE moved at=10.0.2.1:5001,b.example:5001 :another server serves this ring"]);
    assert!(!world.is_open(ann.peer));
    let ann = resume(&mut world, &ann);
    assert!(world.is_open(ann.peer), "her seat is kept");
}

/// M17: *retire* removes a seat. Its secret becomes invalid, and its name is refused for `seat_grace`, or
/// until the host lifts that.
#[test]
fn m17_the_host_removes_a_seat() {
    let (mut world, [ann, bob, _]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    let watcher = watch(&mut world, "main");
    world.heard(watcher);
    let seat = world.seat("ann");
    world.act(|server, now, links| server.remove(now, seat, links)).expect("a seat");
    assert_eq!((refusal(&mut world, ann.peer), world.is_open(ann.peer)), ("removed".to_owned(), false));
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
    let heard = world.heard(watcher);
    assert!(
        heard.contains(&"SKIP ann turn=1 how=gone".to_owned()) && heard.contains(&"LEFT ann".to_owned()),
        "{heard:?}"
    );
    let try_join = |world: &mut World, line: &str| {
        let peer = world.connect();
        world.say(peer, line);
        heads(&world.heard(peer))[0].split(" seat").next().unwrap_or_default().to_owned()
    };
    let with_secret = format!("JOIN ann resume={}", ann.secret());
    assert_eq!(try_join(&mut world, &with_secret), "BYE bad-secret");
    assert_eq!(try_join(&mut world, "JOIN ann"), "BYE removed");
    assert_eq!(try_join(&mut world, "JOIN ann ring=other"), "WELCOME ann", "another ring does not care");
    world.drive_for(secs(60) - ms(1));
    assert_eq!(try_join(&mut world, "JOIN ann"), "BYE removed");
    world.drive_for(ms(1));
    assert_eq!(try_join(&mut world, "JOIN ann"), "WELCOME ann");
    let seat = world.seat("ann");
    world.act(|server, now, links| server.remove(now, seat, links)).expect("a seat");
    world.act(|server, now, _| {
        server.lift(now, &"main".parse().expect("a name"), &"ann".parse().expect("a name"));
    });
    assert_eq!(try_join(&mut world, "JOIN ann"), "WELCOME ann");
    assert_eq!(world.act(|server, now, links| server.remove(now, seat, links)), Err(HostError::UnknownSeat));
}

/// M17: removal of a raw client, and of a seat that is away.
#[test]
fn m17_the_host_removes_raw_seats_and_seats_that_are_away() {
    let (mut world, [a, b, _]) = raw_ring(raw_config());
    let seat = world.server().seat_of(world.id(a)).expect("a seat");
    world.act(|server, now, links| server.remove(now, seat, links)).expect("a seat");
    assert_eq!((world.heard(a), world.is_open(a), world.heard(b)), (vec![], false, vec!["GO".to_owned()]));
    let (mut world, [ann, ..]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    world.reset(ann.peer);
    let seat = world.seat("ann");
    world.act(|server, now, links| server.remove(now, seat, links)).expect("a seat");
    assert_eq!(world.server().scheduler().seats(), 2);
}

/// M17: *clear* removes all seats of a ring at once, without a turn in between, and refuses no name.
#[test]
fn m17_the_host_clears_a_ring() {
    let (mut world, [ann, bob, cid, dan]) = line_ring(line_config(), ["ann", "bob", "cid", "dan"]);
    let watcher = watch(&mut world, "main");
    world.reset(dan.peer);
    let ring = world.ring("main");
    let _ = [bob.peer, cid.peer, watcher].map(|peer| world.heard(peer));
    world.act(|server, now, links| server.clear_ring(now, ring, "it is over", links)).expect("a ring");
    for seat in [&ann, &bob, &cid] {
        assert_eq!(world.heard(seat.peer), ["BYE removed :it is over"]);
        assert!(!world.is_open(seat.peer));
    }
    assert!(world.is_open(watcher) && world.server().scheduler().seats() == 0);
    assert!(
        !world.heard(watcher).iter().any(|line| line.starts_with("BEGIN")),
        "nobody had a turn meanwhile"
    );
    let again = join(&mut world, "ann");
    assert_eq!(again.then, ["WAIT ahead=0 needs=1"]);
    assert_eq!(join(&mut world, "bob").then, ["WAIT ahead=1"]);
    assert_eq!(world.heard(again.peer), ["GO turn=2 within=30000"], "turn numbers are not used again");
    let cleared = world.act(|server, now, links| server.clear_ring(now, ring, "", links));
    assert_eq!(cleared, Err(HostError::UnknownRing), "it is another ring now");
}

/// M17, M6: a seat whose answer is judged is cleared after the verdict, and hears both.
#[test]
fn m17_a_ring_is_cleared_while_an_answer_is_judged() {
    let (mut world, [ann, bob]) = line_ring(judged_config(), ["ann", "bob"]);
    world.say(ann.peer, "ANSWER :mate");
    let ring = world.ring("main");
    world.act(|server, now, links| server.clear_ring(now, ring, "ann wins", links)).expect("a ring");
    assert_eq!(
        (world.heard(ann.peer), world.heard(bob.peer)),
        (vec![], vec!["BYE removed :ann wins".into()])
    );
    world.accept();
    assert_eq!(world.heard(ann.peer), ["OK turn=1", "BYE removed :ann wins"]);
    assert_eq!((world.accepted(), world.server().scheduler().seats()), (vec!["ann:mate".to_owned()], 0));
    join(&mut world, "ann");
}

/// M17, M6: a name may be lifted while its removal waits for a verdict.
#[test]
fn m17_a_name_is_lifted_before_its_seat_is_removed() {
    for lifts in [false, true] {
        let (mut world, [ann, _]) = line_ring(judged_config(), ["ann", "bob"]);
        world.say(ann.peer, "ANSWER :1");
        let seat = world.seat("ann");
        world.act(|server, now, links| server.remove(now, seat, links)).expect("a seat");
        if lifts {
            let [ring, name] = ["main", "ann"].map(|name| name.parse().expect("a name"));
            world.act(|server, now, _| server.lift(now, &ring, &name));
        }
        world.accept();
        assert_eq!(world.heard(ann.peer), ["OK turn=1", "BYE removed :the host removed your seat"]);
        let peer = world.connect();
        world.say(peer, "JOIN ann");
        assert_eq!(world.heard(peer)[0].starts_with("WELCOME ann"), lifts);
    }
}

/// M18: the rules of a ring are set by its name, before or after it exists. An invalid combination is a typed
/// error.
#[test]
fn m18_rings_have_rules_of_their_own() {
    let mut world = World::new(line_config(), 1);
    let mut rules = world.config().rules.clone();
    (rules.min_seats, rules.seats_max) = (1, Some(2));
    world
        .act(|server, now, links| {
            server.set_rules(now, "duel".parse().expect("a name"), rules.clone(), links)
        })
        .expect("valid");
    let ann = join(&mut world, "ann ring=duel");
    assert_eq!(ann.then, ["GO turn=1 within=30000"]);
    join(&mut world, "bob ring=duel");
    let third = world.connect();
    world.say(third, "JOIN cid ring=duel");
    assert_eq!(refusal(&mut world, third), "ring-full");
    let dan = join(&mut world, "dan");
    assert_eq!(dan.then, ["WAIT ahead=0 needs=1"]);
    // If the ring exists, anything that the new rules allow happens at once.
    (rules.seats_max, rules.turn_deadline) = (Some(1), secs(7));
    world
        .act(|server, now, links| {
            server.set_rules(now, "main".parse().expect("a name"), rules.clone(), links)
        })
        .expect("valid");
    assert_eq!(world.heard(dan.peer), ["GO turn=1 within=7000"]);
    (rules.min_seats, rules.seats_max) = (5, Some(2));
    let error =
        world.act(|server, now, links| server.set_rules(now, "main".parse().expect("a name"), rules, links));
    assert_eq!(error, Err(TurnConfigError::Rules(RulesError::NeverEnoughSeats)));
}

/// M20: words and bytes for a seat, a connection, or all hearers of a ring arrive in order with everything
/// else.
#[test]
fn m20_the_host_sends_words_and_bytes() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob hear=turns"]);
    let watcher = watch(&mut world, "main");
    world.heard(watcher);
    let (seat, id, ring) = (world.seat("ann"), world.id(bob.peer), world.ring("main"));
    world.act(|server, now, links| {
        server.say_to_seat(seat, b"", links).expect("short words");
        server.say_to_seat(seat, b":a b", links).expect("short words");
        server.skip(now, ring, links).expect("a turn is held");
        server.say_to_seat(seat, "two\nlines\u{fc}".as_bytes(), links).expect("short words");
        server.say_to(id, b"bob alone", links).expect("short words");
        server.say_to_ring(&"main".parse().expect("a name"), b"\xff", links).expect("short words");
        server.say_to_ring(&"nowhere".parse().expect("a name"), b"x", links).expect("short words");
    });
    let to_ann: &[u8] = b"SAY :\nSAY ::a b\nLAPSED turn=1 how=skipped\nSAY bytes=11\ntwo\nlines\xc3\xbc\n";
    assert_eq!(String::from_utf8_lossy(&world.heard_bytes(ann.peer)), String::from_utf8_lossy(to_ann));
    let to_bob: &[u8] = b"GO turn=2 within=30000\nSKIP ann turn=1 how=skipped\nBEGIN bob turn=2 within=30000\nSAY :bob alone\nSAY bytes=1\n\xff\n";
    assert_eq!(String::from_utf8_lossy(&world.heard_bytes(bob.peer)), String::from_utf8_lossy(to_bob));
    let to_watcher: &[u8] =
        b"SKIP ann turn=1 how=skipped\nBEGIN bob turn=2 within=30000\nSAY bytes=1\n\xff\n";
    assert_eq!(world.heard_bytes(watcher), to_watcher);
    // At most as much at once as an answer may have.
    let words = [b'x'; 16 * 1024 + 1];
    world.act(|server, _, links| {
        assert_eq!(server.say_to_seat(seat, &words, links), Err(HostError::TooLarge));
        assert_eq!(server.say_to(id, &words, links), Err(HostError::TooLarge));
        assert_eq!(
            server.say_to_ring(&"main".parse().expect("a name"), &words, links),
            Err(HostError::TooLarge)
        );
        server.say_to(id, &words[1..], links).expect("as much as that");
    });
    assert!(world.heard_bytes(ann.peer).is_empty() && world.heard_bytes(watcher).is_empty());
    assert_eq!(world.heard_bytes(bob.peer).len(), "SAY bytes=16384\n\n".len() + 16 * 1024);
}

/// M17: the host closes a connection with words. Its seat is away.
#[test]
fn m17_the_host_forbids_a_connection() {
    let (mut world, [ann, bob, _]) = line_ring(ruled(|_| {}), ["ann", "bob", "cid"]);
    let id = world.id(ann.peer);
    world.act(|server, now, links| server.forbid(now, id, "not you\n\u{1b}", links));
    let heard = world.heard(ann.peer);
    assert!(heard.len() == 1 && heard[0].starts_with("BYE forbidden :not you"), "{heard:?}");
    assert!(!heard[0].contains('\u{1b}'));
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
    resume(&mut world, &ann);
}

/// M18: a ring whose rules do not allow `always` accepts no raw clients.
#[test]
fn m18_a_ring_for_seats_that_ask_accepts_no_raw_clients() {
    let mut config = raw_config();
    config.rules.demands = Demands::Only(Demand::Ask);
    let mut world = World::new(config, 1);
    let a = world.connect();
    assert_eq!((world.is_open(a), world.server().clients(), world.connections()), (false, 0, 0));
}
