//! Answers that the next `GO` confirms (L14).

use support::network::{Peer, World};
use support::{ms, secs};
use taketurns::protocol::turns::{Admit, Verdict};

use super::start::{
    Member, admitting_config, auto_config, heads, join, judged_config, line_config, line_ring, resume, ruled,
};

const GO: &str = "confirm=go";

fn answer(world: &mut World, member: &Member, turn: u64, answer: &str) {
    world.say_line(member.peer, &format!("ANSWER turn={turn} epoch={} :{answer}", member.epoch()));
}

fn hears(world: &mut World, peer: Peer, lines: &[&str]) {
    assert_eq!(heads(&world.heard_lines(peer)), lines);
}

/// Ann, who asks for it, and Bob and Cid, who do not.
fn three() -> (World, [Member; 3]) {
    line_ring(line_config(), ["ann confirm=go", "bob", "cid"])
}

/// L14: only the client that asked for it hears `last=`, and it hears no `OK`. Each turn is one write.
#[test]
fn l14_the_next_go_confirms_an_answer() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann confirm=go", "bob confirm=go"]);
    let before = world.deliveries().len();
    for turn in [1, 3, 5] {
        answer(&mut world, &ann, turn, "e2 e4");
        answer(&mut world, &bob, turn + 1, "e7 e5");
    }
    hears(
        &mut world,
        bob.peer,
        &["GO turn=2 within=30000", "GO turn=4 within=30000 last=2", "GO turn=6 within=30000 last=4"],
    );
    let go = |turn| format!("GO turn={turn} within=30000 last={}", turn - 2);
    hears(&mut world, ann.peer, &[&go(3), &go(5), &go(7)]);
    assert_eq!(world.deliveries().len() - before, 6, "one write a turn");
    assert_eq!(world.answers.len(), 6);
}

#[test]
fn l14_each_client_is_confirmed_as_it_asked() {
    let (mut world, [ann, bob, cid]) = three();
    answer(&mut world, &ann, 1, "a");
    answer(&mut world, &bob, 2, "b");
    answer(&mut world, &cid, 3, "c");
    hears(&mut world, ann.peer, &["GO turn=4 within=30000 last=1"]);
    hears(&mut world, bob.peer, &["GO turn=2 within=30000", "OK turn=2"]);
    hears(&mut world, cid.peer, &["GO turn=3 within=30000", "OK turn=3"]);
}

/// L14: `last=` is that of the seat, in every `GO`, whatever has become of the turns since.
#[test]
fn l14_every_go_names_the_last_answer_that_counted() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann confirm=go", "bob"]);
    answer(&mut world, &ann, 1, "a");
    answer(&mut world, &bob, 2, "b");
    hears(&mut world, ann.peer, &["GO turn=3 within=30000 last=1"]);
    world.say(ann.peer, "PASS turn=3");
    hears(&mut world, ann.peer, &["OK turn=3"]);
    answer(&mut world, &bob, 4, "b");
    world.drive_for(secs(30));
    hears(&mut world, ann.peer, &["GO turn=5 within=30000 last=1", "LAPSED turn=5"]);
    answer(&mut world, &ann, 5, "late");
    hears(&mut world, ann.peer, &["NO stale-turn turn=5"]);
    answer(&mut world, &bob, 6, "b");
    hears(&mut world, ann.peer, &["GO turn=7 within=30000 last=1"]);
}

/// L14: refusals come at once.
#[test]
fn l14_a_refusal_does_not_wait() {
    let (mut world, [ann, bob]) = line_ring(judged_config(), ["ann confirm=go", "bob"]);
    answer(&mut world, &ann, 1, "b2");
    world.refuse("taken");
    hears(&mut world, ann.peer, &["NO refused turn=1 within=30000"]);
    answer(&mut world, &ann, 7, "b2");
    hears(&mut world, ann.peer, &["NO stale-turn turn=7"]);
    answer(&mut world, &ann, 1, "a1");
    world.accept();
    hears(&mut world, ann.peer, &[]);
    answer(&mut world, &ann, 1, "b2");
    hears(&mut world, ann.peer, &["NO stale-turn turn=1"]);
    answer(&mut world, &bob, 2, "c3");
    world.accept();
    hears(&mut world, ann.peer, &["GO turn=3 within=30000 last=1"]);
}

/// L14: a client that asks is told at once, and once.
#[test]
fn l14_a_repeated_answer_is_confirmed_at_once() {
    let (mut world, [ann, bob, _cid]) = three();
    answer(&mut world, &ann, 1, "a");
    answer(&mut world, &ann, 1, "a");
    hears(&mut world, ann.peer, &["OK turn=1"]);
    world.say(ann.peer, "REST");
    hears(&mut world, ann.peer, &["OK"]);
    assert_eq!(world.accepted(), ["ann:a"]);
    answer(&mut world, &bob, 2, "b");
}

/// L14: the host's words come with an `OK`, and each copy of a judged answer has its reply.
#[test]
fn l14_words_of_the_host_are_not_lost() {
    let (mut world, [ann, bob]) = line_ring(judged_config(), ["ann confirm=go", "bob"]);
    answer(&mut world, &ann, 1, "b2");
    world.rule(Verdict::Accept { next: None, words: Some("well played"), state: None });
    assert_eq!(world.heard_lines(ann.peer), ["OK turn=1 :well played"]);
    answer(&mut world, &bob, 2, "c3");
    world.accept();
    hears(&mut world, ann.peer, &["GO turn=3 within=30000 last=1"]);
    answer(&mut world, &ann, 3, "a1");
    answer(&mut world, &ann, 3, "a1");
    world.accept();
    hears(&mut world, ann.peer, &["OK turn=3", "OK turn=3"]);
}

/// L14: if the same seat has the next turn, its `GO` confirms the last one, from a ring of one seat as well.
#[test]
fn l14_two_turns_in_a_row() {
    let (mut world, [ann, _bob]) = line_ring(judged_config(), ["ann confirm=go", "bob"]);
    answer(&mut world, &ann, 1, "b2");
    let next = Some(world.seat("ann"));
    world.rule(Verdict::Accept { next, words: None, state: None });
    hears(&mut world, ann.peer, &["GO turn=2 within=30000 last=1"]);
    let (mut world, [ann]) = line_ring(ruled(|rules| rules.min_seats = 1), ["ann confirm=go"]);
    for turn in 1..4 {
        answer(&mut world, &ann, turn, "x");
        hears(&mut world, ann.peer, &[&format!("GO turn={} within=30000 last={turn}", turn + 1)]);
    }
}

/// L14: a seat that rests gets its `OK` at once, because no `GO` is due. One that asked again gets a `GO`.
#[test]
fn l14_a_seat_that_rests_is_told_at_once() {
    let (mut world, [ann, _bob]) = line_ring(line_config(), ["ann demand=ask confirm=go", "bob demand=ask"]);
    world.say(ann.peer, "ASK");
    answer(&mut world, &ann, 1, "a");
    hears(&mut world, ann.peer, &["GO turn=1 within=30000", "OK turn=1"]);
    world.say(ann.peer, "ASK");
    world.say(ann.peer, "ASK");
    hears(&mut world, ann.peer, &["GO turn=2 within=30000 last=1", "WAIT ahead=0"]);
    answer(&mut world, &ann, 2, "b");
    hears(&mut world, ann.peer, &["GO turn=3 within=30000 last=2"]);
}

#[test]
fn l14_a_seat_that_rests_is_told_at_once_while_others_take_turns() {
    let (mut world, [ann, bob, cid]) = line_ring(line_config(), ["ann demand=ask confirm=go", "bob", "cid"]);
    world.say(ann.peer, "ASK");
    answer(&mut world, &bob, 1, "a");
    answer(&mut world, &cid, 2, "b");
    answer(&mut world, &ann, 3, "c");
    hears(&mut world, ann.peer, &["WAIT ahead=2", "GO turn=3 within=30000", "OK turn=3"]);
}

/// L14: a client that stops waiting is told before that is confirmed.
#[test]
fn l14_rest_tells_what_is_owed() {
    let (mut world, [ann, bob, _cid]) = three();
    answer(&mut world, &ann, 1, "a");
    world.say(ann.peer, "REST");
    hears(&mut world, ann.peer, &["OK turn=1", "OK"]);
    // By then it has been told.
    answer(&mut world, &bob, 2, "b");
    world.say(ann.peer, "ASK");
    world.say(ann.peer, "REST");
    hears(&mut world, ann.peer, &["WAIT ahead=2", "OK"]);
}

/// L14: a client is told before each farewell.
#[test]
fn l14_a_farewell_tells_what_is_owed() {
    for (line, bye) in [("LEAVE", "BYE left"), ("ANSWER bytes=1 bytes=1", "BYE malformed")] {
        let (mut world, [ann, _bob, _cid]) = three();
        answer(&mut world, &ann, 1, "a");
        world.say(ann.peer, line);
        hears(&mut world, ann.peer, &["OK turn=1", bye]);
    }
    let (mut world, [ann, _bob, _cid]) = three();
    answer(&mut world, &ann, 1, "a");
    let seat = world.seat("ann");
    world.act(|server, now, links| server.remove(now, seat, links)).expect("she has a seat");
    hears(&mut world, ann.peer, &["OK turn=1", "BYE removed"]);
    // In one write, and before the end of the stream.
    let (mut world, [ann, _bob, _cid]) = three();
    world.queue(ann.peer, &format!("ANSWER turn=1 epoch={} :a", ann.epoch()));
    world.say(ann.peer, "LEAVE");
    hears(&mut world, ann.peer, &["OK turn=1", "BYE left"]);
    let (mut world, [ann, _bob, _cid]) = three();
    answer(&mut world, &ann, 1, "a");
    world.half_close(ann.peer);
    hears(&mut world, ann.peer, &["OK turn=1"]);
}

/// L14: if it leaves while its answer is judged, it is told the verdict before its farewell.
#[test]
fn l14_a_judged_answer_of_a_client_that_leaves_is_told() {
    let (mut world, [ann, bob]) = line_ring(judged_config(), ["ann confirm=go", "bob"]);
    answer(&mut world, &ann, 1, "b2");
    world.say(ann.peer, "LEAVE");
    hears(&mut world, ann.peer, &[]);
    world.accept();
    hears(&mut world, ann.peer, &["OK turn=1", "BYE left"]);
    hears(&mut world, bob.peer, &["GO turn=2 within=30000"]);
}

/// L14: nothing is owed in a server that drains.
#[test]
fn l14_a_drain_tells_what_is_owed() {
    let (mut world, [ann, bob, _cid]) = three();
    answer(&mut world, &ann, 1, "a");
    world.drain();
    hears(&mut world, ann.peer, &[]);
    answer(&mut world, &bob, 2, "b");
    hears(&mut world, ann.peer, &["OK turn=1", "BYE shutting-down"]);
    let (mut world, [ann, _bob, _cid]) = three();
    world.drain();
    answer(&mut world, &ann, 1, "a");
    hears(&mut world, ann.peer, &["OK turn=1", "BYE shutting-down"]);
}

/// L14: nothing is owed in a ring that pauses, for want of seats or by its host.
#[test]
fn l14_a_ring_that_pauses_tells_what_is_owed() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann confirm=go", "bob"]);
    answer(&mut world, &ann, 1, "a");
    world.reset(bob.peer);
    hears(&mut world, ann.peer, &["OK turn=1"]);
    let bob = resume(&mut world, &bob);
    hears(&mut world, ann.peer, &[]);
    world.say(bob.peer, "PASS turn=3");
    hears(&mut world, ann.peer, &["GO turn=4 within=30000 last=1"]);
    // The holder is the one that is left.
    world.reset(bob.peer);
    answer(&mut world, &ann, 4, "b");
    hears(&mut world, ann.peer, &["OK turn=4"]);

    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann confirm=go", "bob"]);
    answer(&mut world, &ann, 1, "a");
    let ring = world.ring("main");
    world.act(|server, now, links| server.pause(now, ring, links)).expect("it exists");
    hears(&mut world, ann.peer, &[]);
    world.heard_lines(bob.peer);
    answer(&mut world, &bob, 2, "b");
    hears(&mut world, ann.peer, &["OK turn=1"]);
    hears(&mut world, bob.peer, &["OK turn=2"]);
    world.act(|server, now, links| server.resume(now, ring, links)).expect("it exists");
    hears(&mut world, ann.peer, &["RESUMED main", "GO turn=3 within=30000 last=1"]);
}

/// L14: a turn that is skipped while the store is awaited has confirmed nothing; the next one does.
#[test]
fn l14_a_turn_that_was_never_told_confirms_nothing() {
    let mut world = World::recorded(line_config(), 1);
    world.chunking = false;
    let [ann, bob] = ["ann confirm=go", "bob"].map(|fields| join(&mut world, fields));
    world.heard_lines(ann.peer);
    answer(&mut world, &ann, 1, "a");
    world.slow_store(true);
    answer(&mut world, &bob, 2, "b");
    let ring = world.ring("main");
    world.act(|server, now, links| server.skip(now, ring, links)).expect("it is held");
    world.commit();
    hears(&mut world, ann.peer, &["LAPSED turn=3 how=skipped"]);
    world.slow_store(false);
    world.heard_lines(bob.peer);
    answer(&mut world, &bob, 4, "b");
    hears(&mut world, ann.peer, &["GO turn=5 within=30000 last=1"]);
}

/// L14: the same, but the seat rests afterwards, so no `GO` is due.
#[test]
fn l14_a_seat_that_rests_is_told_although_its_turn_was_never_told() {
    let mut world = World::recorded(ruled(|rules| rules.min_seats = 1), 1);
    world.chunking = false;
    let ann = join(&mut world, "ann demand=ask confirm=go");
    world.say(ann.peer, "ASK");
    world.say(ann.peer, "ASK");
    world.heard_lines(ann.peer);
    world.slow_store(true);
    answer(&mut world, &ann, 1, "a");
    let ring = world.ring("main");
    world.act(|server, now, links| server.skip(now, ring, links)).expect("it is held");
    world.commit();
    hears(&mut world, ann.peer, &["OK turn=1", "LAPSED turn=2 how=skipped"]);
}

/// L14: with a store nothing is said before it is durable, whatever says it.
#[test]
fn l14_nothing_is_confirmed_before_it_is_durable() {
    for (line, heard) in [
        ("REST", &["OK turn=1", "OK"][..]),
        ("LEAVE", &["OK turn=1", "BYE left"]),
        ("ANSWER bytes=1 bytes=1", &["OK turn=1", "BYE malformed"]),
    ] {
        let mut world = World::recorded(line_config(), 1);
        world.chunking = false;
        let [ann, _, _] = ["ann confirm=go", "bob", "cid"].map(|fields| join(&mut world, fields));
        world.heard_lines(ann.peer);
        world.slow_store(true);
        answer(&mut world, &ann, 1, "a");
        world.say(ann.peer, line);
        hears(&mut world, ann.peer, &[]);
        world.slow_store(false);
        hears(&mut world, ann.peer, heard);
    }
    let mut world = World::recorded(ruled(|rules| rules.min_seats = 1), 1);
    let ann = join(&mut world, "ann confirm=go");
    world.slow_store(true);
    answer(&mut world, &ann, 1, "a");
    world.say(ann.peer, "RENEW");
    hears(&mut world, ann.peer, &["NO not-your-turn"]);
    world.slow_store(false);
    hears(&mut world, ann.peer, &["GO turn=2 within=30000 last=1"]);
}

/// L14: the wish belongs to the connection. `last=` of a `WELCOME` confirms what its connection lost.
#[test]
fn l14_a_resume_confirms_and_asks_again() {
    let (mut world, [ann, bob, _cid]) = three();
    answer(&mut world, &ann, 1, "a");
    world.reset(ann.peer);
    let ann = resume(&mut world, &ann);
    assert!(ann.welcome.ends_with(" last=1"), "{}", ann.welcome);
    world.say(ann.peer, "LEAVE");
    hears(&mut world, ann.peer, &["BYE left"]);
    // The old connection hears it as well, if it is still there.
    answer(&mut world, &bob, 2, "b");
    let (mut world, [ann, bob, cid]) = three();
    answer(&mut world, &ann, 1, "a");
    let again = resume(&mut world, &ann);
    hears(&mut world, ann.peer, &["OK turn=1", "BYE superseded"]);
    answer(&mut world, &bob, 2, "b");
    answer(&mut world, &cid, 3, "c");
    hears(&mut world, again.peer, &["GO turn=4 within=30000"]);
    answer(&mut world, &again, 4, "d");
    hears(&mut world, again.peer, &["OK turn=4"]);
}

/// L14: the verdict on an answer of an earlier connection is told as the new connection asked.
#[test]
fn l14_a_judged_answer_is_confirmed_as_the_new_connection_asks() {
    for (fields, first, go) in [(GO, &[][..], " last=1"), ("", &["OK turn=1"], "")] {
        let (mut world, [ann, bob]) = line_ring(judged_config(), ["ann confirm=go", "bob"]);
        answer(&mut world, &ann, 1, "b2");
        world.reset(ann.peer);
        let ann = join(&mut world, format!("ann resume={} {fields}", ann.secret()).trim_end());
        assert!(ann.welcome.ends_with(" judging=1"), "{}", ann.welcome);
        world.accept();
        hears(&mut world, ann.peer, first);
        answer(&mut world, &bob, 2, "c3");
        world.accept();
        hears(&mut world, ann.peer, &[&format!("GO turn=3 within=30000{go}")]);
    }
}

/// L14: a client that hears hears of its own answer at once, and is confirmed by its `GO` all the same.
#[test]
fn l14_hearers_are_confirmed_by_go() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann hear=turns confirm=go", "bob"]);
    world.heard_lines(ann.peer);
    answer(&mut world, &ann, 1, "a");
    hears(&mut world, ann.peer, &["TURN ann turn=1", "BEGIN bob turn=2 within=30000"]);
    answer(&mut world, &bob, 2, "b");
    hears(
        &mut world,
        ann.peer,
        &["GO turn=3 within=30000 last=1", "TURN bob turn=2", "BEGIN ann turn=3 within=30000"],
    );
}

/// L14: `RENEW`, an extension by the host, and a resume name the last answer again.
#[test]
fn l14_a_repeated_go_names_it_again() {
    let (mut world, [ann, bob]) = line_ring(
        ruled(|rules| {
            rules.hold_max = taketurns::turn::HoldMax::Unlimited;
            rules.turn_grace = secs(10);
        }),
        ["ann confirm=go", "bob"],
    );
    answer(&mut world, &ann, 1, "a");
    answer(&mut world, &bob, 2, "b");
    world.drive_for(secs(1));
    world.say(ann.peer, "RENEW");
    let ring = world.ring("main");
    world.act(|server, now, links| server.extend(now, ring, secs(5), links)).expect("it is held");
    hears(
        &mut world,
        ann.peer,
        &["GO turn=3 within=30000 last=1", "GO turn=3 within=30000 last=1", "GO turn=3 within=35000 last=1"],
    );
    world.reset(ann.peer);
    let ann = join(&mut world, &format!("ann resume={} confirm=go", ann.secret()));
    assert_eq!(ann.then, ["GO turn=3 within=35000 last=1"]);
}

/// L14: the value is `go`. Framing `auto` and a host that admits change nothing.
#[test]
fn l14_every_way_in_takes_it() {
    let mut world = World::new(line_config(), 1);
    let peer = world.connect();
    world.say(peer, "JOIN ann confirm=later");
    hears(&mut world, peer, &["NO malformed"]);
    world.say(peer, "JOIN ann confirm=go confirm=go");
    hears(&mut world, peer, &["BYE malformed"]);

    let mut world = World::new(auto_config(), 1);
    let ann = join(&mut world, "ann confirm=go");
    let bob = world.connect();
    world.drive_for(secs(1));
    answer(&mut world, &ann, 1, "a");
    world.drive_for(ms(100));
    assert_eq!(world.heard_raw(bob), ["WAIT", "GO"]);
    world.say_bytes(bob, b"bob:1");
    hears(&mut world, ann.peer, &["GO turn=1 within=30000", "GO turn=3 within=30000 last=1"]);

    let mut config = admitting_config();
    config.rules.min_seats = 1;
    let mut world = World::new(config, 1);
    let peer = world.connect();
    world.say(peer, "JOIN ann confirm=go");
    let id = world.joining.pop_front().expect("she waits").connection;
    world.drive_for(ms(10));
    world.act(|server, now, links| server.admit(now, id, &Admit::default(), links));
    world.heard_lines(peer);
    world.say(peer, "ANSWER turn=1 :a");
    hears(&mut world, peer, &["GO turn=2 within=30000 last=1"]);
}
