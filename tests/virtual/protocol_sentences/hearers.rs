//! Hearers: their messages, and the order of all writes (T25, L8, L9).

use support::network::World;
use support::secs;

use super::start::{heads, join, line_config, line_ring, resume, ruled, watch};

/// T25, L8: first `GO` to the next holder, then the reply to the last one, then hearers.
#[test]
fn t25_writes_at_a_hand_over_come_in_order() {
    for seed in 0..20 {
        let mut world = World::new(ruled(|rules| rules.turn_deadline = secs(5)), seed);
        let observers = [(); 2].map(|()| watch(&mut world, "main"));
        let ann = join(&mut world, "ann");
        let bob = join(&mut world, "bob");
        let ends = ["ANSWER turn=1 :7", "PASS turn=2", "", "ANSWER turn=4 :8"];
        let said = ["OK turn=1\n", "OK turn=2\n", "LAPSED turn=3\n", "OK turn=4\n"];
        let seen = [
            "TURN ann turn=1 :7\n",
            "SKIP bob turn=2 how=passed\n",
            "SKIP ann turn=3 how=lapsed\n",
            "TURN bob turn=4 :8\n",
        ];
        for turn in 0..4 {
            let (holder, next, name) =
                if turn % 2 == 0 { (ann.peer, bob.peer, "bob") } else { (bob.peer, ann.peer, "ann") };
            let before = world.deliveries().len();
            if ends[turn].is_empty() {
                world.drive_for(secs(5));
            } else {
                world.say(holder, ends[turn]);
            }
            let writes: Vec<_> =
                world.deliveries()[before..].iter().map(|write| (write.peer, write.text())).collect();
            let go = format!("GO turn={} within=5000\n", turn + 2);
            let told = format!("{}BEGIN {name} turn={} within=5000\n", seen[turn], turn + 2);
            let expected = [
                (next, go),
                (holder, said[turn].to_owned()),
                (observers[0], told.clone()),
                (observers[1], told),
            ];
            assert_eq!(writes, expected);
        }
    }
}

/// T25: if both turns are on one connection, the answer is confirmed before the next turn begins.
#[test]
fn t25_on_one_connection_ok_comes_first() {
    let (mut world, [ann]) = line_ring(ruled(|rules| rules.min_seats = 1), ["ann hear=turns"]);
    world.say(ann.peer, "ANSWER turn=1 :1");
    let begin = |turn: u64| format!("BEGIN ann turn={turn} within=30000");
    assert_eq!(
        world.heard(ann.peer),
        ["OK turn=1", "GO turn=2 within=30000", "TURN ann turn=1 :1", &begin(2)]
    );
    world.drive_for(secs(30));
    assert_eq!(
        world.heard(ann.peer),
        ["LAPSED turn=2", "GO turn=3 within=30000", "SKIP ann turn=2 how=lapsed", &begin(3)]
    );
    world.say(ann.peer, "PASS");
    assert_eq!(
        world.heard(ann.peer),
        ["OK turn=3", "GO turn=4 within=30000", "SKIP ann turn=3 how=passed", &begin(4)]
    );
}

/// T25: the next holder's `GO` comes first even if the last holder is owed another reply from the same pass.
#[test]
fn t25_go_comes_first_however_much_is_owed_to_the_last_holder() {
    for seed in 0..20 {
        let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
        let before = world.deliveries().len();
        world.chunking = seed % 2 == 1;
        world.say(ann.peer, &format!("{}ANSWER turn=1 :1", "PING\n".repeat(seed)));
        let writes = &world.deliveries()[before..];
        let place = |peer, text: &str| {
            writes
                .iter()
                .position(|write| write.peer == peer && write.text().contains(text))
                .expect("written")
        };
        assert!(place(bob.peer, "GO turn=2") < place(ann.peer, "OK turn=1"), "{seed}");
    }
}

/// T25: no `GO` overtakes the `OK` of an earlier turn of the same seat.
#[test]
fn t25_no_go_overtakes_an_earlier_ok() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    (world.crowded, world.chunking) = (true, false);
    for round in 0..50 {
        let (turn, epoch) = (2 * round + 1, ann.epoch());
        world.queue(ann.peer, &format!("ANSWER turn={turn} epoch={epoch} :x"));
        world.queue(bob.peer, &format!("ANSWER turn={} epoch={epoch} :y", turn + 1));
        world.drive();
        let heard = world.heard(ann.peer);
        let place = |text: &str| heard.iter().position(|line| line.starts_with(text));
        assert!(place(&format!("OK turn={turn}")) < place(&format!("GO turn={}", turn + 2)), "{heard:?}");
    }
}

/// T25, L8: the same after `REST` and `LEAVE` of a holder, including one that hears.
#[test]
fn t25_a_holder_that_rests_or_leaves_is_told_before_hearers() {
    for (line, last) in [("REST", "OK"), ("LEAVE", "BYE left :goodbye")] {
        let (mut world, [ann, bob, _]) = line_ring(line_config(), ["ann hear=turns", "bob", "cid"]);
        let watcher = watch(&mut world, "main");
        world.chunking = false;
        let before = world.deliveries().len();
        world.say(ann.peer, line);
        let writes: Vec<_> =
            world.deliveries()[before..].iter().map(|write| (write.peer, write.text())).collect();
        assert_eq!(writes[0], (bob.peer, "GO turn=2 within=30000\n".to_owned()), "{line}");
        let place =
            |to, text: &str| writes.iter().position(|(peer, said)| *peer == to && said.contains(text));
        let (own, others) = (place(ann.peer, last), place(watcher, "BEGIN bob"));
        assert!(own.is_some() && own < others, "{line}: {writes:?}");
        // A reply also comes before the hearers' lines, and the last message comes last.
        let heard = world.heard(ann.peer);
        let at = if line == "REST" { 0 } else { heard.len() - 1 };
        assert_eq!(heard[at], last, "{heard:?}");
    }
}

/// L9: the roster for a new hearer: the holder, then the queue, then the seats that rest or are away.
#[test]
fn l09_a_new_hearer_is_told_the_seats() {
    let weighted = ruled(|rules| rules.weight_max = taketurns::turn::Weight::MAX);
    let (mut world, [ann, bob, ..]) =
        line_ring(weighted, ["ann", "bob", "cid weight=3", "dan demand=ask", "eve", "fay demand=ask"]);
    world.say(bob.peer, "PING");
    world.say(ann.peer, "ANSWER :1");
    world.reset(bob.peer);
    let watcher = world.connect();
    world.say(watcher, "WATCH ring=main");
    let heard = world.heard(watcher);
    assert!(heard[0].starts_with("WATCHING main epoch=") && heard[0].contains(" turn="), "{heard:?}");
    let seats: Vec<_> = heard[1..].iter().map(String::as_str).collect();
    assert_eq!(seats.last(), Some(&"SEATS main seats=6"));
    assert!(seats[0].ends_with("state=holding") || seats[0].contains("state=holding weight=3"), "{seats:?}");
    let states: Vec<_> = seats[..6].iter().map(|line| support::network::field(line, "state")).collect();
    let mut sorted = states.clone();
    sorted.sort_by_key(|state| ["holding", "waiting"].iter().position(|known| known == state).unwrap_or(2));
    assert_eq!(states, sorted, "{seats:?}");
    for line in
        ["SEAT bob seat=2 state=away", "SEAT dan seat=4 state=resting", "SEAT fay seat=6 state=resting"]
    {
        assert!(seats.contains(&line), "{seats:?}");
    }
    assert!(seats.iter().any(|line| line.starts_with("SEAT cid seat=3 ") && line.ends_with(" weight=3")));
    // An empty ring.
    let other = world.connect();
    world.say(other, "WATCH ring=empty");
    let heard = world.heard(other);
    assert_eq!(
        (support::network::find_field(&heard[0], "turn"), heard[1].as_str()),
        (None, "SEATS empty seats=0")
    );
}

/// L9: at most `roster_max` seats are listed, followed by the total number.
#[test]
fn l09_a_roster_is_limited() {
    let mut config = line_config();
    config.roster_max = 3;
    let mut world = World::new(config, 1);
    (0..10).for_each(|nth| drop(join(&mut world, &format!("c{nth}"))));
    let watcher = world.connect();
    world.say(watcher, "WATCH");
    let heard = world.heard(watcher);
    assert_eq!(
        (heard.len(), heard[1].as_str(), heard[4].as_str()),
        (5, "SEAT c0 seat=1 state=holding", "SEATS main seats=10")
    );
}

/// L9: after a resumption: `WELCOME`, the roster, then `GO` or `WAIT`.
#[test]
fn l09_after_a_resumption_comes_the_roster_and_then_go_or_wait() {
    let (mut world, [ann, bob, _]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    for (member, last) in [(&ann, "GO turn=1 within=30000"), (&bob, "WAIT ahead=1")] {
        let again = join(&mut world, &format!("{} hear=turns resume={}", member.name, member.secret()));
        let verbs: Vec<_> =
            again.then.iter().map(|line| line.split(' ').next().unwrap_or_default()).collect();
        assert_eq!(verbs, ["SEAT", "SEAT", "SEAT", "SEATS", last.split(' ').next().unwrap_or_default()]);
        assert_eq!(again.then.last().map(String::as_str), Some(last));
    }
}

/// L9: a newcomer that hears is told that it waits before the events that its arrival has caused.
#[test]
fn l09_a_newcomer_is_told_its_own_place_first() {
    let (mut world, [_]) = line_ring(line_config(), ["ann"]);
    let bob = join(&mut world, "bob hear=turns");
    let behind: Vec<_> = bob.then.iter().skip(3).map(String::as_str).collect();
    assert_eq!(behind, ["WAIT ahead=1", "BEGIN ann turn=1 within=30000"]);
}

/// L8: arrivals and departures, for hearers with and without a seat. A hearer is told about its own turns,
/// too.
#[test]
fn l08_hearers_are_told_about_arrivals_and_departures() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    let watcher = watch(&mut world, "main");
    let deaf = watch(&mut world, "other");
    let cid = join(&mut world, "cid hear=turns");
    assert_eq!(world.heard(watcher), ["JOINED cid seat=3"]);
    world.say(bob.peer, "PING");
    world.reset(bob.peer);
    assert_eq!(
        (world.heard(watcher), world.heard(cid.peer)),
        (vec!["AWAY bob".to_owned()], vec!["AWAY bob".to_owned()])
    );
    let bob = resume(&mut world, &bob);
    assert_eq!(world.heard(watcher), ["BACK bob"]);
    world.say(bob.peer, "LEAVE");
    assert_eq!(world.heard(watcher), ["LEFT bob"]);
    world.heard(cid.peer);
    world.say(ann.peer, "ANSWER :x");
    assert_eq!(
        world.heard(cid.peer),
        ["GO turn=2 within=30000", "TURN ann turn=1 :x", "BEGIN cid turn=2 within=30000"]
    );
    world.say(cid.peer, "ANSWER bytes=3\na\nb");
    assert_eq!(
        world.heard(cid.peer),
        ["OK turn=2", "TURN cid turn=2 bytes=3", "a", "b", "BEGIN ann turn=3 within=30000"]
    );
    // A seat whose grace is over has left.
    world.reset(cid.peer);
    world.heard(watcher);
    world.drive_for(secs(60));
    assert!(world.heard(watcher).contains(&"LEFT cid".to_owned()));
    assert_eq!(world.heard(deaf), [""; 0]);
}

/// L8: a hearer that falls behind is closed like any slow reader, with a line in the log. The others notice
/// nothing.
#[test]
fn l08_a_hearer_that_falls_behind_is_closed() {
    crate::logged::listen_to_log();
    let mut small = ruled(|rules| rules.min_seats = 1);
    small.answer_bytes_max = 512;
    let mut world = World::with_out_bytes_max(small, 1, 8192);
    let ann = join(&mut world, "ann");
    let [lazy, keen] = [(); 2].map(|()| watch(&mut world, "main"));
    world.stop_reading(lazy, 10);
    crate::logged::take_log();
    for turn in 1..=1000 {
        world.say(ann.peer, &format!("ANSWER :{turn}"));
        assert_eq!(heads(&world.heard(keen))[0], format!("TURN ann turn={turn}"));
    }
    assert!(!world.is_open(lazy) && world.is_open(keen));
    let address = world.addr(lazy).to_string();
    assert!(crate::logged::take_log().iter().any(|(_, line)| line.contains(&address)));
}

/// L8: hearing costs a seat nothing while nothing happens.
#[test]
fn l08_hearing_costs_nothing_while_nothing_happens() {
    let mut world = World::new(line_config(), 1);
    let ann = join(&mut world, "ann hear=turns");
    let passes = world.passes;
    world.drive_for(secs(3600));
    assert!(world.passes - passes < 5 && world.heard(ann.peer).is_empty());
}
