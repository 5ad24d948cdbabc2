//! The numbers of seats and rings, and their lives (M11, M12a, T28, T31).

use support::network::{World, field, find_field};
use support::secs;

use super::start::{join, line_config, line_ring, raw_config, refusal, resume, ruled};

/// M11: `seats_max` of a ring.
#[test]
fn m11_a_ring_may_be_full() {
    let (mut world, [ann, bob]) = line_ring(ruled(|rules| rules.seats_max = Some(2)), ["ann", "bob"]);
    let third = world.connect();
    world.say(third, "JOIN cid");
    assert_eq!((refusal(&mut world, third), world.is_open(third)), ("ring-full".to_owned(), false));
    join(&mut world, "cid ring=other");
    // Also while a seat is away, which its client can resume.
    world.say(bob.peer, "PING");
    world.reset(bob.peer);
    let third = world.connect();
    world.say(third, "JOIN cid");
    assert_eq!(refusal(&mut world, third), "ring-full");
    resume(&mut world, &bob);
    world.say(ann.peer, "LEAVE");
    join(&mut world, "cid");
}

fn limited(max: usize) -> World {
    let mut config = line_config();
    config.max_per_address = Some(max);
    World::new(config, 1)
}

/// M12a: seats per address, including those that are away. Resuming one's own seat does not count.
#[test]
fn m12a_an_address_has_a_limit_of_seats() {
    let mut world = limited(2);
    world.next_address = Some([192, 0, 2, 1].into());
    let ann = join(&mut world, "ann");
    let bob = join(&mut world, "bob");
    let third = world.connect();
    world.say(third, "JOIN cid");
    assert_eq!((refusal(&mut world, third), world.server().counts().turned_away), ("full".to_owned(), 1));
    world.say(bob.peer, "PING");
    world.reset(bob.peer);
    let third = world.connect();
    world.say(third, "JOIN cid");
    assert_eq!(refusal(&mut world, third), "full", "a seat that is away is one");
    resume(&mut world, &ann);
    let bob = resume(&mut world, &bob);
    // Watching takes no seat.
    let watcher = world.connect();
    world.say(watcher, "WATCH");
    assert!(world.heard(watcher)[0].starts_with("WATCHING"));
    world.next_address = Some([192, 0, 2, 2].into());
    join(&mut world, "dan");
    world.next_address = Some([192, 0, 2, 1].into());
    world.say(bob.peer, "LEAVE");
    join(&mut world, "cid");
}

/// M12a: an IPv6 network of 64 bits is one address, an IPv4 address is the same through IPv6, and loopback
/// has no limit.
#[test]
fn m12a_equivalent_addresses_count_as_one() {
    let cases: [(&str, &str, bool); 5] = [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::2", false),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", true),
        ("192.0.2.7", "::ffff:192.0.2.7", false),
        ("127.0.0.1", "127.0.0.1", true),
        ("::1", "::1", true),
    ];
    for (first, second, has_room) in cases {
        let mut world = limited(1);
        world.next_address = Some(first.parse().expect("an address"));
        join(&mut world, "ann");
        world.next_address = Some(second.parse().expect("an address"));
        let peer = world.connect();
        world.say(peer, "JOIN bob");
        let verb = if has_room { "WELCOME" } else { "BYE full" };
        assert!(world.heard(peer)[0].starts_with(verb), "{first} and {second}");
    }
}

/// M12a: raw seats count as well, and a vacant one is taken over.
#[test]
fn m12a_raw_seats_count() {
    let mut config = raw_config();
    config.max_per_address = Some(2);
    let mut world = World::new(config, 1);
    world.next_address = Some([192, 0, 2, 1].into());
    let [a, b, c] = [(); 3].map(|()| world.connect());
    assert_eq!([a, b, c].map(|peer| world.is_open(peer)), [true, true, false]);
    world.reset(a);
    let [d, e] = [(); 2].map(|()| world.connect());
    assert_eq!([d, e].map(|peer| world.is_open(peer)), [true, false]);
    world.reset(b);
    world.reset(d);
    world.drive_for(secs(61));
    let peers = [(); 3].map(|()| world.connect());
    assert_eq!(peers.map(|peer| world.is_open(peer)), [true, true, false], "forgotten seats do not count");
}

/// The limits: with all seats taken, a newcomer replaces the seat that has been away for longest, unless it
/// would get no seat itself.
#[test]
fn m12a_a_full_server_gives_away_the_seat_that_was_left_first() {
    let mut config = line_config();
    (config.max_clients, config.max_per_address) = (2, Some(3));
    let mut world = World::new(config, 1);
    let home = |host| Some([192, 0, 2, host].into());
    let mut left = Vec::new();
    for (nth, name) in ["a", "b", "c", "d"].iter().enumerate() {
        world.next_address = home(u8::try_from(nth).expect("small") / 3);
        let member = join(&mut world, name);
        world.say(member.peer, "PING");
        world.reset(member.peer);
        world.drive_for(secs(1));
        left.push(member);
    }
    assert_eq!(world.server().scheduler().seats(), 4);
    // An address at its limit gets no seat, and takes none from others.
    world.next_address = home(0);
    let greedy = world.connect();
    world.say(greedy, "JOIN e");
    assert_eq!((refusal(&mut world, greedy), world.server().scheduler().seats()), ("full".to_owned(), 4));
    world.next_address = home(9);
    let e = join(&mut world, "e");
    assert_eq!(world.server().scheduler().seats(), 4);
    let late = world.connect();
    world.say(late, &format!("JOIN a resume={}", left[0].secret()));
    assert_eq!(refusal(&mut world, late), "bad-secret");
    resume(&mut world, &left[1]);
    assert!(world.is_open(e.peer));
}

/// T28: turns, names, quorum and deadlines of rings do not affect each other.
#[test]
fn t28_rings_are_independent() {
    let mut world = World::new(ruled(|rules| rules.turn_deadline = secs(5)), 1);
    let [ann, bob] = ["ann ring=a", "bob ring=a"].map(|fields| join(&mut world, fields));
    let [cid, ann2] = ["cid ring=b", "ann ring=b"].map(|fields| join(&mut world, fields));
    assert_eq!(world.heard(ann.peer), ["GO turn=1 within=5000"]);
    assert_eq!(world.heard(cid.peer), ["GO turn=1 within=5000"], "each ring counts its own turns");
    world.say(ann.peer, "ANSWER turn=1 :1");
    world.say(bob.peer, "ANSWER turn=2 :1");
    assert_eq!(world.heard(cid.peer), [""; 0]);
    world.say(ann2.peer, "ANSWER turn=1 :1");
    assert_eq!(refusal(&mut world, ann2.peer), "not-your-turn");
    world.say(cid.peer, "ANSWER turn=1 :1");
    assert_eq!(world.heard(ann2.peer), ["GO turn=2 within=5000"]);
    world.reset(bob.peer);
    world.say(ann2.peer, "ANSWER turn=2 :2");
    assert_eq!(world.heard(cid.peer).last().map(String::as_str), Some("GO turn=3 within=5000"));
}

/// T28: a ring that is created again continues above all forgotten rings' turns, so (epoch, turn) never
/// repeats.
#[test]
fn t28_a_recreated_ring_continues_above_all_forgotten_turns() {
    let mut world = World::new(ruled(|rules| rules.min_seats = 1), 1);
    let play = |world: &mut World, fields: &str, turns: usize| {
        let member = join(world, fields);
        let mut seen = Vec::new();
        let mut heard = member.then.clone();
        for _ in 0..turns {
            let go = heard.iter().find(|line| line.starts_with("GO ")).expect("has the turn");
            seen.push(field(go, "turn").parse::<u64>().expect("a number"));
            world.say(member.peer, "PASS");
            heard = world.heard(member.peer);
        }
        (member, seen)
    };
    let (a, mut used) = play(&mut world, "ann ring=a", 7);
    let watcher = world.connect();
    world.say(watcher, "WATCH ring=a");
    world.say(a.peer, "LEAVE");
    let (b, first) = play(&mut world, "ann ring=b", 2);
    assert!(first[0] > 7, "b is made after a was forgotten, and may become a again");
    used.extend(&first);
    // The grace is the other way to be forgotten.
    world.reset(b.peer);
    world.drive_for(secs(60));
    assert_eq!(world.server().scheduler().rings().count(), 0);
    world.heard(watcher);
    for ring in ["a", "b", "a"] {
        let (member, seen) = play(&mut world, &format!("ann ring={ring}"), 3);
        assert!(seen.iter().all(|turn| *turn > *used.iter().max().expect("some")), "{seen:?} after {used:?}");
        used.extend(&seen);
        world.say(member.peer, "LEAVE");
    }
    let heard = world.heard(watcher);
    assert!(
        heard.iter().any(|line| line.starts_with("BEGIN ann turn=")),
        "a watcher of a ring hears its next life: {heard:?}"
    );
}

/// T28: at most `max_rings`. A new ring replaces the one that was deserted first.
#[test]
fn t28_rings_are_limited() {
    let mut config = line_config();
    config.max_rings = 2;
    let mut world = World::new(config, 1);
    let ann = join(&mut world, "ann ring=a");
    let b = join(&mut world, "ann ring=b");
    join(&mut world, "bob ring=b");
    let third = world.connect();
    world.say(third, "JOIN ann ring=c");
    assert_eq!((refusal(&mut world, third), world.is_open(third)), ("full".to_owned(), false));
    assert_eq!(world.server().counts().turned_away, 1);
    world.say(ann.peer, "PING");
    world.reset(ann.peer);
    join(&mut world, "ann ring=c");
    let late = world.connect();
    world.say(late, &format!("JOIN ann ring=a resume={}", ann.secret()));
    assert_eq!(refusal(&mut world, late), "bad-secret");
    assert!(world.is_open(b.peer));
    // Rings that are only watched do not count.
    for nth in 0..10 {
        let watcher = world.connect();
        world.say(watcher, &format!("WATCH ring=w{nth}"));
        assert!(world.heard(watcher)[0].starts_with("WATCHING"));
    }
}

/// T31: the epoch belongs to the server's life. In another life no secret is valid, and turns count from 1.
#[test]
fn t31_another_life_of_the_server_has_another_epoch() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    assert_eq!(ann.epoch(), bob.epoch());
    world.say(ann.peer, "ANSWER :1");
    world.kill_server();
    world.start_server();
    let stranger = world.connect();
    world.say(stranger, &format!("JOIN ann resume={}", ann.secret()));
    assert_eq!((refusal(&mut world, stranger), world.is_open(stranger)), ("bad-secret".to_owned(), false));
    let again = join(&mut world, "ann");
    assert_ne!(again.epoch(), ann.epoch());
    assert_eq!((field(&again.welcome, "seat"), find_field(&again.welcome, "last")), ("1", None));
    join(&mut world, "bob");
    assert_eq!(world.heard(again.peer), ["GO turn=1 within=30000"]);
}

/// T28, M22: a refused `JOIN` costs no other client its place, however full the server is.
#[test]
fn m22_a_join_that_is_refused_takes_nothing_from_others() {
    let mut config = line_config();
    config.max_clients = 2;
    let mut world = World::new(config, 1);
    let [ann, bob, cid, dan] = ["ann", "bob", "cid", "dan"].map(|name| {
        let member = join(&mut world, name);
        world.say(member.peer, "PING");
        world.reset(member.peer);
        member
    });
    let ann = super::start::resume(&mut world, &ann);
    let thief = world.connect();
    world.say(thief, "JOIN ann");
    assert_eq!(refusal(&mut world, thief), "name-taken");
    world.reset(ann.peer);
    for away in [bob, cid, dan] {
        let again = super::start::resume(&mut world, &away);
        world.reset(again.peer);
    }
}
