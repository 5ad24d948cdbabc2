//! A server with a store: nothing is sent that is not durable, and clients do not pay for the store's time.

use taketurns::protocol::turns::{TurnEvent, TurnServerConfig};
use taketurns::turn::HoldMax;

use super::start::{
    Member, auto_config, code, heads, holder, join, judged_config, line_config, resume, turn, watch, welcomed,
};
use support::network::{Peer, World};
use support::{ms, secs};

/// Creates a recorded ring with these members. The store has stored everything so far, and stores nothing
/// more on its own.
fn slow_ring<const N: usize>(config: TurnServerConfig, members: [&str; N]) -> (World, [Member; N]) {
    let mut world = World::recorded(config, 1);
    world.chunking = false;
    let members = members.map(|fields| join(&mut world, fields));
    for member in &members {
        world.heard(member.peer);
    }
    world.new_events();
    world.slow_store(true);
    (world, members)
}

fn answer(world: &mut World, member: &Member, turn: u64, answer: &str) {
    world.say(member.peer, &format!("ANSWER turn={turn} epoch={} :{answer}", member.epoch()));
}

fn silence(world: &mut World, peers: &[Peer]) {
    for &peer in peers {
        assert_eq!(world.heard_lines(peer), Vec::<String>::new());
    }
}

#[test]
fn a_hand_over_is_one_record_and_no_client_is_told_before_it_is_durable() {
    let (mut world, [ann, bob, _cid]) = slow_ring(line_config(), ["ann", "bob", "cid"]);
    world.slow_store(false);
    let watcher = watch(&mut world, "main");
    world.slow_store(true);
    let writes = world.deliveries().len();
    answer(&mut world, &ann, 1, "e2");
    assert_eq!(world.waiting_records(), [["6d61696e/r"]]);
    silence(&mut world, &[ann.peer, bob.peer, watcher]);
    assert_eq!((world.answers.len(), world.new_events().len()), (0, 0), "nor the host");
    world.commit();
    // T25
    let told: Vec<_> = world.deliveries()[writes..].iter().map(|write| (write.peer, write.text())).collect();
    let expected = [
        (bob.peer, "GO turn=2 within=30000\n".to_owned()),
        (ann.peer, "OK turn=1\n".to_owned()),
        (watcher, "TURN ann turn=1 :e2\nBEGIN bob turn=2 within=30000\n".to_owned()),
    ];
    assert_eq!(told, expected);
    assert_eq!(world.accepted(), ["ann:e2"]);
    let events: Vec<_> = world.new_events().iter().map(|(_, event)| format!("{event:?}")).collect();
    assert!(matches!(events.as_slice(), [granted] if granted.starts_with("Granted")), "{events:?}");
}

#[test]
fn four_seats_are_kept_in_the_entry_of_their_ring_and_others_have_their_own() {
    let (mut world, [ann, bob, _, _, eve]) = slow_ring(line_config(), ["ann", "bob", "cid", "dan", "eve"]);
    let (ring, seat) = ("6d61696e/r", |place: u64| format!("6d61696e/s/{place:016x}"));
    let mut record_of = |peer, line: &str| {
        world.say(peer, line);
        let [record] = <[Vec<String>; 1]>::try_from(world.waiting_records()).expect("one record");
        world.commit();
        record
    };
    assert_eq!(record_of(bob.peer, "REST"), [ring]);
    assert_eq!(record_of(eve.peer, "REST"), [ring, &seat(5)]);
    // Fay takes Ann's room in that entry, and keeps it in the next life.
    assert_eq!(record_of(ann.peer, "LEAVE"), [ring]);
    world.slow_store(false);
    let fay = join(&mut world, "fay");
    let kept = world.store().state().rings[&"main".parse().expect("a name")].with_ring.clone();
    assert_eq!(Vec::from_iter(kept), [2, 3, 4, 6]);
    crash(&mut world);
    let fay = resume(&mut world, &fay);
    let eve = resume(&mut world, &eve);
    world.slow_store(true);
    for (peer, record) in [(fay.peer, &[ring][..]), (eve.peer, &[ring, &seat(5)])] {
        world.say(peer, "ASK");
        assert_eq!(world.waiting_records(), [record]);
        world.commit();
    }
}

/// M13
#[test]
fn a_turn_does_not_lapse_because_of_a_slow_store_and_gets_its_whole_time() {
    let (mut world, [ann, bob]) = slow_ring(line_config(), ["ann", "bob"]);
    answer(&mut world, &ann, 1, "x");
    world.drive_for(secs(300));
    assert_eq!((turn(&world), world.server().counts().lapsed), (Some(2), 0));
    world.commit();
    assert_eq!(world.heard_lines(bob.peer), ["GO turn=2 within=30000"]);
    world.drive_for(ms(29_999));
    silence(&mut world, &[bob.peer]);
    // The lapse is a record as well.
    world.drive_for(ms(1));
    silence(&mut world, &[bob.peer]);
    world.commit();
    assert_eq!(world.heard_lines(bob.peer), ["LAPSED turn=2"]);
    assert_eq!(world.server().counts().lapsed, 1);
}

/// A client counts its time from when it reads how much it has.
#[test]
fn time_that_is_told_again_is_that_of_when_it_is_told() {
    let mut config = judged_config();
    config.rules.hold_max = HoldMax::Unlimited;
    let (mut world, [ann, bob, _cid]) = slow_ring(config, ["ann", "bob", "cid"]);
    world.drive_for(secs(5));
    // Something to wait for, which has nothing to do with her.
    world.say(bob.peer, "REST");
    world.say(ann.peer, "RENEW");
    answer(&mut world, &ann, 1, "x");
    world.refuse("not so");
    world.say(ann.peer, "PASS turn=7");
    world.drive_for(secs(10));
    silence(&mut world, &[ann.peer]);
    world.commit();
    assert_eq!(
        heads(&world.heard_lines(ann.peer)),
        ["GO turn=1 within=20000", "NO refused turn=1 within=20000", "NO stale-turn turn=7"]
    );
    world.say(bob.peer, "ASK");
    let ring = world.ring("main");
    world.act(|server, now, links| server.extend(now, ring, secs(40), links)).expect("it is held");
    world.drive_for(secs(10));
    world.commit();
    assert_eq!(world.heard_lines(ann.peer), ["GO turn=1 within=50000"]);
    // Of a turn that is over by then, nothing is told.
    world.drive_for(secs(30));
    world.say(bob.peer, "REST");
    world.say(ann.peer, "RENEW");
    world.drive_for(secs(60));
    world.commit();
    assert_eq!(world.heard_lines(ann.peer), ["LAPSED turn=1"]);
}

/// L3
#[test]
fn an_answer_without_a_fence_does_not_count_before_the_go_that_waits() {
    let mut config = line_config();
    config.rules.turn_grace = secs(20);
    let (mut world, [ann, _bob]) = slow_ring(config, ["ann", "bob"]);
    world.reset(ann.peer);
    let peer = world.connect();
    let lines = format!("JOIN ann resume={}\nANSWER :x\n", ann.secret());
    world.say_bytes(peer, lines.as_bytes());
    world.slow_store(false);
    assert_eq!(world.accepted(), Vec::<String>::new());
    let ann = welcomed(peer, "ann", world.heard_lines(peer));
    assert_eq!(heads(&ann.then), ["GO turn=1 within=30000", "NO not-your-turn turn=1 within=30000"]);
    world.say(ann.peer, "ANSWER :x");
    assert_eq!(world.accepted(), ["ann:x"]);
}

#[test]
fn a_ping_never_waits_and_a_refusal_waits_for_earlier_replies() {
    let (mut world, [ann, bob]) = slow_ring(line_config(), ["ann", "bob"]);
    answer(&mut world, &ann, 1, "x");
    world.say(ann.peer, "PING");
    world.say(ann.peer, "RENEW");
    assert_eq!(world.heard_lines(ann.peer), ["PONG"], "its OK waits, and its refusal waits after that");
    world.say(bob.peer, "RENEW");
    assert_eq!(heads(&world.heard_lines(bob.peer)), ["NO not-your-turn"], "it has nothing that waits");
    world.commit();
    let heard = world.heard_lines(ann.peer);
    assert_eq!((heard[0].as_str(), code(&heard[1])), ("OK turn=1", "not-your-turn".to_owned()));
}

/// M2
#[test]
fn a_repeated_answer_is_confirmed_no_sooner_than_the_first_one() {
    let (mut world, [ann, _bob]) = slow_ring(line_config(), ["ann", "bob"]);
    answer(&mut world, &ann, 1, "x");
    answer(&mut world, &ann, 1, "x");
    silence(&mut world, &[ann.peer]);
    world.commit();
    assert_eq!(world.heard_lines(ann.peer), ["OK turn=1"; 2]);
    assert_eq!(world.accepted().len(), 1);
}

#[test]
fn a_welcome_a_wait_a_roster_and_a_goodbye_wait() {
    let (mut world, [ann, bob]) = slow_ring(line_config(), ["ann demand=ask", "bob demand=ask"]);
    for (line, records) in [("JOIN cid", 1), ("WATCH ring=main", 1)] {
        let peer = world.connect();
        world.say_line(peer, line);
        silence(&mut world, &[peer]);
        assert_eq!(world.waiting_records().len(), records, "{line}");
    }
    world.say(ann.peer, "ASK");
    world.say(bob.peer, "LEAVE");
    silence(&mut world, &[ann.peer, bob.peer]);
    assert!(world.is_open(bob.peer), "it is closed after its last words");
    world.commit();
    assert_eq!(world.heard_lines(bob.peer), ["BYE left :goodbye"]);
    assert!(
        world.server().seat_named(&"main".parse().expect("valid"), &"bob".parse().expect("valid")).is_none()
    );
}

/// M5
#[test]
fn an_answer_counts_although_its_connection_dies_before_it_is_durable() {
    let (mut world, [ann, _bob]) = slow_ring(line_config(), ["ann", "bob"]);
    answer(&mut world, &ann, 1, "x");
    world.reset(ann.peer);
    world.slow_store(false);
    assert_eq!(world.accepted(), ["ann:x"]);
    let ann = resume(&mut world, &ann);
    assert!(ann.welcome.contains(" last=1"), "{}", ann.welcome);
}

#[test]
fn on_one_connection_an_answer_is_confirmed_before_the_next_turn_begins() {
    let mut config = line_config();
    config.rules.min_seats = 1;
    let (mut world, [ann]) = slow_ring(config, ["ann hear=turns"]);
    answer(&mut world, &ann, 1, "x");
    world.commit();
    let heard = world.heard_lines(ann.peer);
    assert_eq!(
        heads(&heard),
        ["OK turn=1", "GO turn=2 within=30000", "TURN ann turn=1", "BEGIN ann turn=2 within=30000"]
    );
}

#[test]
fn a_holder_that_is_lost_before_it_is_told_is_told_when_it_is_back() {
    let mut config = line_config();
    config.rules.turn_grace = secs(20);
    let (mut world, [ann, bob]) = slow_ring(config, ["ann", "bob"]);
    answer(&mut world, &ann, 1, "x");
    world.reset(bob.peer);
    world.drive_for(secs(10));
    let peer = world.connect();
    world.say_line(peer, &format!("JOIN bob resume={}", bob.secret()));
    silence(&mut world, &[peer]);
    world.commit();
    let bob = welcomed(peer, "bob", world.heard_lines(peer));
    assert_eq!(bob.then, ["GO turn=2 within=30000"]);
    assert_eq!(world.accepted().len(), 1);
}

#[test]
fn a_holder_that_stays_away_loses_its_turn_in_spite_of_its_store() {
    let mut config = line_config();
    config.rules.turn_grace = secs(20);
    let (mut world, [ann, bob, cid]) = slow_ring(config, ["ann", "bob", "cid"]);
    answer(&mut world, &ann, 1, "x");
    world.reset(bob.peer);
    world.drive_for(secs(20));
    world.commit();
    assert_eq!(world.heard_lines(cid.peer), ["GO turn=3 within=30000"]);
}

/// Waiting bytes count like queued ones: a client cannot make the server keep more than its limit.
#[test]
fn a_connection_with_many_waiting_bytes_is_not_read() {
    let mut config = line_config();
    config.rules.min_seats = 1;
    let (mut world, [ann]) = slow_ring(config, ["ann"]);
    answer(&mut world, &ann, 1, "x");
    let again = format!("ANSWER turn=1 epoch={} :x\n", ann.epoch());
    // Each of them must be confirmed.
    for _ in 0..1_000 {
        world.say_bytes(ann.peer, again.repeat(20).as_bytes());
    }
    let said = 20_000;
    let repeated = usize::try_from(world.server().counts().repeated).expect("few");
    assert!((1_000..said).contains(&repeated), "{repeated} of {said} were read");
    assert!(world.is_open(ann.peer));
    world.slow_store(false);
    let heard = world.heard_lines(ann.peer);
    assert_eq!(heard.iter().filter(|line| *line == "OK turn=1").count(), said + 1);
}

/// It is read again as soon as the waiting bytes have been written.
#[test]
fn a_connection_that_had_many_waiting_bytes_is_read_again() {
    let (mut world, [ann, bob]) = slow_ring(line_config(), ["ann", "bob hear=turns"]);
    answer(&mut world, &ann, 1, "x");
    for _ in 0..world.out_bytes_max() * 3 / 4 / 900 {
        world.act_quietly(|server, _, links| {
            server.say_to_ring(&"main".parse().expect("valid"), &[b'x'; 900], links).expect("short");
        });
    }
    world.say(bob.peer, "PING");
    silence(&mut world, &[bob.peer]);
    world.commit();
    assert_eq!(world.heard_lines(bob.peer).last().map(String::as_str), Some("PONG"));
}

#[test]
fn a_drain_waits_for_the_store_but_not_for_ever() {
    for gives_up in [false, true] {
        let (mut world, [ann, bob]) = slow_ring(line_config(), ["ann", "bob"]);
        world.drain_quietly();
        answer(&mut world, &ann, 1, "x");
        assert_eq!(heads(&world.heard_lines(bob.peer)), ["BYE shutting-down"], "nothing waits for it");
        silence(&mut world, &[ann.peer]);
        if gives_up {
            world.drive_for(secs(3));
        } else {
            world.commit();
        }
        let heard = world.heard_lines(ann.peer);
        let expected: &[&str] =
            if gives_up { &["BYE shutting-down"] } else { &["OK turn=1", "BYE shutting-down"] };
        assert_eq!(heads(&heard), expected);
        world.drive_for(secs(2));
        assert_eq!(world.connections(), 0);
    }
}

/// L8: holders and the store share `drain_timeout`.
#[test]
fn a_drain_ends_in_its_time_although_its_last_answer_comes_late_and_its_store_is_slow() {
    let (mut world, [ann, _bob]) = slow_ring(line_config(), ["ann", "bob"]);
    world.drain();
    world.drive_for(ms(2_000));
    answer(&mut world, &ann, 1, "x");
    world.drive_for(ms(999));
    silence(&mut world, &[ann.peer]);
    world.drive_for(ms(1));
    assert_eq!(heads(&world.heard_lines(ann.peer)), ["BYE shutting-down"]);
}

/// M23, and `SAY` with a verdict.
#[test]
fn words_and_state_of_a_verdict_are_stored_with_its_answer() {
    let (mut world, [ann, _bob]) = slow_ring(judged_config(), ["ann hear=turns", "bob"]);
    answer(&mut world, &ann, 1, "e4");
    world.act_quietly(|server, _, links| {
        server.say_to_ring(&"main".parse().expect("valid"), b"the board", links).expect("short");
    });
    world.accept();
    silence(&mut world, &[ann.peer]);
    assert_eq!(world.waiting_records().len(), 1);
    world.commit();
    assert_eq!(
        heads(&world.heard_lines(ann.peer)),
        ["SAY", "OK turn=1", "TURN ann turn=1", "BEGIN bob turn=2 within=30000"]
    );
}

fn crash(world: &mut World) {
    world.kill_server();
    world.drive_for(secs(3_600));
    world.start_server();
    world.slow_store(false);
}

#[test]
fn after_a_restart_seats_numbers_and_answers_are_there() {
    let (mut world, [ann, bob, cid]) = slow_ring(line_config(), ["ann", "bob", "cid"]);
    answer(&mut world, &ann, 1, "e2");
    world.commit();
    // This one is lost together with the server.
    answer(&mut world, &bob, 2, "e4");
    crash(&mut world);
    let epoch = ann.epoch().to_owned();
    let bob = resume(&mut world, &bob);
    assert_eq!((bob.epoch(), bob.welcome.contains(" last=")), (epoch.as_str(), false), "{}", bob.welcome);
    assert_eq!(bob.then, ["GO turn=2 within=30000"], "the turn is held again, with all its time");
    let ann = resume(&mut world, &ann);
    assert!(ann.welcome.contains(" last=1"), "{}", ann.welcome);
    answer(&mut world, &ann, 1, "e2");
    assert_eq!(world.heard_lines(ann.peer), ["OK turn=1"], "M2");
    answer(&mut world, &bob, 2, "e4");
    assert_eq!(world.heard_lines(bob.peer), ["OK turn=2"]);
    let cid = resume(&mut world, &cid);
    assert_eq!(cid.then, ["WAIT ahead=1"], "he was passed over while he was away");
    assert_eq!(world.accepted(), ["ann:e2", "bob:e4"], "each counts once");
}

#[test]
fn the_first_to_come_back_does_not_overtake() {
    let (mut world, members) = slow_ring(line_config(), ["ann", "bob", "cid", "dan"]);
    crash(&mut world);
    let [ann, bob, cid, dan] = members;
    let dan = resume(&mut world, &dan);
    let cid = resume(&mut world, &cid);
    let ann = resume(&mut world, &ann);
    assert_eq!(ann.then, ["GO turn=1 within=30000"]);
    answer(&mut world, &ann, 1, "x");
    assert_eq!(world.heard_lines(cid.peer), ["GO turn=2 within=30000"], "bob is passed over, dan is behind");
    // He keeps his place: he is the next one, although he comes last.
    let bob = resume(&mut world, &bob);
    answer(&mut world, &cid, 2, "x");
    assert_eq!(world.heard_lines(bob.peer), ["GO turn=3 within=30000"]);
    answer(&mut world, &bob, 3, "x");
    assert!(world.heard_lines(dan.peer).contains(&"GO turn=4 within=30000".to_owned()));
    answer(&mut world, &dan, 4, "x");
    assert!(world.heard_lines(ann.peer).contains(&"GO turn=5 within=30000".to_owned()));
}

#[test]
fn a_seat_that_is_not_back_in_time_queues_again() {
    let (mut world, [ann, bob, cid]) = slow_ring(line_config(), ["ann", "bob", "cid"]);
    crash(&mut world);
    let ann = resume(&mut world, &ann);
    let cid = resume(&mut world, &cid);
    world.drive_for(secs(11));
    answer(&mut world, &ann, 1, "x");
    assert_eq!(turn(&world), Some(2));
    let bob = resume(&mut world, &bob);
    answer(&mut world, &cid, 2, "x");
    assert_eq!(holder(&world), Some("ann".to_owned()), "bob is behind her");
    assert_eq!(heads(&bob.then), ["WAIT ahead=2"]);
}

/// M17: it cannot be next any more.
#[test]
fn a_seat_that_is_not_back_in_time_is_not_the_hosts_choice() {
    let (mut world, members) = slow_ring(line_config(), ["ann", "bob", "cid"]);
    crash(&mut world);
    let [ann, bob, cid] = members.map(|member| resume(&mut world, &member));
    let seat = world.seat("cid");
    world.act(|server, _, _| server.name_next(seat)).expect("he waits");
    world.reset(cid.peer);
    world.drive_for(secs(11));
    let cid = resume(&mut world, &cid);
    answer(&mut world, &ann, 1, "x");
    assert!(world.heard_lines(bob.peer).contains(&"GO turn=2 within=30000".to_owned()));
    assert_eq!(heads(&cid.then), ["WAIT ahead=2"]);
}

#[test]
fn a_turn_whose_holder_stays_away_lapses() {
    let mut config = line_config();
    config.rules.turn_deadline = secs(5);
    for (deadline, lasts) in [(secs(5), secs(5)), (secs(30), secs(30))] {
        config.rules.turn_deadline = deadline;
        let (mut world, [ann, bob, cid]) = slow_ring(config.clone(), ["ann", "bob", "cid"]);
        crash(&mut world);
        let bob = resume(&mut world, &bob);
        resume(&mut world, &cid);
        world.drive_for(lasts - ms(1));
        assert_eq!(holder(&world), Some("ann".to_owned()));
        world.drive_for(ms(1));
        assert_eq!(world.heard_lines(bob.peer).last().map(|line| line.starts_with("GO turn=2 ")), Some(true));
        // She can still come back to her place.
        resume(&mut world, &ann);
    }
}

/// Raw clients cannot prove their identity, so they get new seats. But no number is used twice.
#[test]
fn raw_numbers_continue_and_the_turn_of_a_raw_holder_is_over() {
    for is_with_a_line_client in [false, true] {
        let mut world = World::recorded(auto_config(), 1);
        let [a, b] = [(); 2].map(|()| world.connect());
        world.drive_for(secs(1));
        let ann = is_with_a_line_client.then(|| join(&mut world, "ann"));
        world.say_bytes(a, b"Client1:1");
        world.drive_for(secs(1));
        assert_eq!((world.heard_raw(b).last().map(String::as_str), turn(&world)), (Some("GO"), Some(2)));
        crash(&mut world);
        let [c, _] = [(); 2].map(|()| world.connect());
        world.drive_for(secs(1));
        if let Some(ann) = ann {
            let ann = resume(&mut world, &ann);
            assert_eq!(ann.then, ["WAIT ahead=1"], "she keeps her place");
        }
        assert_eq!((world.heard_raw(c).last().map(String::as_str), turn(&world)), (Some("GO"), Some(3)));
    }
}

#[test]
fn weights_demands_and_resting_seats_come_back() {
    let mut config = line_config();
    config.rules.weight_max = taketurns::turn::Weight::MAX;
    let (mut world, [ann, bob, cid]) = slow_ring(config, ["ann weight=3", "bob demand=ask", "cid"]);
    crash(&mut world);
    let [ann, bob, cid] = [ann, bob, cid].map(|member| resume(&mut world, &member));
    assert_eq!(bob.then, Vec::<String>::new(), "it rests");
    let mut order = Vec::new();
    for number in 1..=8 {
        let name = holder(&world).expect("a turn is held");
        let member = if name == "ann" { &ann } else { &cid };
        answer(&mut world, member, number, "x");
        order.push(name);
    }
    assert_eq!(order.iter().filter(|name| *name == "ann").count(), 6, "{order:?}");
}

#[test]
fn numbers_continue_after_a_forgotten_ring() {
    let (mut world, [ann, bob]) = slow_ring(line_config(), ["ann", "bob"]);
    answer(&mut world, &ann, 1, "x");
    world.slow_store(false);
    world.say(ann.peer, "LEAVE");
    world.say(bob.peer, "LEAVE");
    crash(&mut world);
    join(&mut world, "ann");
    join(&mut world, "bob");
    assert_eq!(turn(&world), Some(3));
}

/// A holder that was lost below quorum is first when the ring continues, with a new turn number.
#[test]
fn a_kept_turn_comes_back_under_a_new_number() {
    let (mut world, [ann, bob]) = slow_ring(line_config(), ["ann", "bob"]);
    world.slow_store(false);
    world.reset(ann.peer);
    assert_eq!(turn(&world), None);
    crash(&mut world);
    let _bob = resume(&mut world, &bob);
    let ann = resume(&mut world, &ann);
    assert_eq!(ann.then, ["GO turn=2 within=30000"]);
}

#[test]
fn secrets_survive_two_lost_welcomes() {
    let (mut world, [ann, _bob]) = slow_ring(line_config(), ["ann", "bob"]);
    world.slow_store(false);
    crash(&mut world);
    for _ in 0..3 {
        // Its new secret never arrives.
        let peer = world.connect();
        world.say_line(peer, &format!("JOIN ann resume={}", ann.secret()));
        crash(&mut world);
    }
    resume(&mut world, &ann);
    let peer = world.connect();
    world.say_line(peer, &format!("JOIN ann resume={}", "0".repeat(32)));
    assert_eq!(code(&world.heard_lines(peer)[0]), "bad-secret");
}

#[test]
fn events_of_seats_wait_for_their_records() {
    let (mut world, [_ann, bob]) = slow_ring(line_config(), ["ann", "bob"]);
    world.say(bob.peer, "LEAVE");
    assert_eq!(world.new_events().len(), 0);
    world.commit();
    let events = world.new_events();
    assert!(
        events.iter().any(|(_, event)| matches!(event, TurnEvent::Retired { name, .. } if &**name == "bob"))
    );
}
