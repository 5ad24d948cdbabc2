//! Rings: independent, limited, paused, made again; and the epoch of a server's life (T28, T30, T31).

use taketurns::protocol::turns::TurnServerConfig;

use crate::start::{held, join, line_config, line_ring, refusal};
use crate::world::{World, field, secs};

/// T28: rings do not touch each other: turns, names, quorum, deadlines.
#[test]
fn t28_rings_are_independent() {
    let mut world = World::new(TurnServerConfig { turn_deadline: secs(5), ..line_config() }, 1);
    let [ann, bob] = ["ann ring=a", "bob ring=a"].map(|fields| join(&mut world, fields));
    let [cid, ann2] = ["cid ring=b", "ann ring=b"].map(|fields| join(&mut world, fields));
    assert_eq!(world.heard(ann.peer), ["GO turn=1 within=5000"]);
    assert_eq!(world.heard(cid.peer), ["GO turn=1 within=5000"], "each ring counts its own turns");
    world.say(ann.peer, "ann:1 turn=1");
    world.say(bob.peer, "bob:1 turn=2");
    assert_eq!(world.heard(cid.peer), [""; 0]);
    world.say(ann2.peer, "ann:1 turn=1");
    assert_eq!(refusal(&mut world, ann2.peer), "not-your-turn");
    world.say(cid.peer, "cid:1 turn=1");
    assert_eq!(world.heard(ann2.peer), ["GO turn=2 within=5000"]);
    world.reset(bob.peer);
    world.say(ann2.peer, "ann:2 turn=2");
    assert_eq!(
        world.heard(cid.peer).last().map(String::as_str),
        Some("GO turn=3 within=5000"),
        "b goes on while a may pause"
    );
}

/// T28: a ring made again goes on above every forgotten ring's turns; (epoch, turn) never repeats.
#[test]
fn t28_a_ring_made_again_goes_on_above_all_forgotten_turns() {
    let config = TurnServerConfig { min_clients: 1, ..line_config() };
    let mut world = World::new(config, 1);
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
    world.say(a.peer, "LEAVE");
    let (b, first) = play(&mut world, "ann ring=b", 2);
    assert!(first[0] > 7, "b is made after a was forgotten, and may become a again");
    used.extend(&first);
    // The second way to be forgotten: the grace.
    world.reset(b.peer);
    world.drive_for(secs(60));
    assert_eq!(world.server().scheduler().rings().count(), 0);
    for ring in ["a", "b", "a"] {
        let (member, seen) = play(&mut world, &format!("ann ring={ring}"), 3);
        assert!(seen.iter().all(|turn| *turn > *used.iter().max().expect("some")), "{seen:?} after {used:?}");
        used.extend(&seen);
        world.say(member.peer, "LEAVE");
    }
}

/// T28: at most `max_rings`; there is room again when one is forgotten.
#[test]
fn t28_rings_are_limited() {
    let mut world = World::new(TurnServerConfig { max_rings: 2, ..line_config() }, 1);
    let ann = join(&mut world, "ann ring=a");
    join(&mut world, "ann ring=b");
    join(&mut world, "bob ring=b");
    let third = world.connect();
    world.say(third, "JOIN ann ring=c");
    assert_eq!((refusal(&mut world, third), world.is_open(third)), ("full".to_owned(), false));
    assert_eq!(world.server().counts().turned_away, 1);
    world.say(ann.peer, "LEAVE");
    join(&mut world, "ann ring=c");
}

/// T30: a granted turn may be answered in a paused ring; the next goes to the seat behind the last answer.
#[test]
fn t30_a_paused_ring_goes_on_behind_the_last_answer() {
    let config = TurnServerConfig { min_clients: 3, ..line_config() };
    for end in ["answers", "passes", "lapses"] {
        let (mut world, [ann, bob, cid]) = line_ring(config.clone(), ["ann", "bob", "cid"]);
        world.say(ann.peer, "ann:1");
        world.heard(bob.peer);
        world.reset(cid.peer);
        assert_eq!(held(&world).map(|held| held.0), Some(2), "bob's turn stays his");
        let said = match end {
            "answers" => {
                world.say(bob.peer, "bob:2 turn=2");
                "OK turn=2"
            }
            "passes" => {
                world.say(bob.peer, "PASS");
                "OK turn=2"
            }
            _ => {
                world.drive_for(secs(30));
                "LAPSED turn=2"
            }
        };
        assert_eq!((world.heard(bob.peer), held(&world)), (vec![said.to_owned()], None), "no new turn");
        world.heard(ann.peer);
        // dan comes new, to the end: the next turn is cid's all the same, or dan's if cid stays away.
        if end == "answers" {
            let dan = join(&mut world, "dan");
            assert_eq!(dan.then, ["GO turn=3 within=30000"]);
            continue;
        }
        let again = join(&mut world, &format!("cid resume={}", cid.secret()));
        assert_eq!(again.then, ["GO turn=3 within=30000"], "behind bob comes cid");
        assert_eq!(world.heard(ann.peer), [""; 0]);
    }
}

/// T30: a turn that was lost with its holder moves nobody: neither who held it, nor who sat down meanwhile.
#[test]
fn t30_a_turn_that_ended_in_a_pause_costs_nobody_its_place() {
    let (mut world, [ann, bob, cid]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    world.say(ann.peer, "ann:1 turn=1");
    world.say(bob.peer, "bob:2 turn=2");
    // ann is away when cid answers: bob has the next turn. Then ann is back, and the others are lost.
    world.reset(ann.peer);
    world.say(cid.peer, "cid:3 turn=3");
    let ann = join(&mut world, &format!("ann resume={}", ann.secret()));
    world.reset(cid.peer);
    world.reset(bob.peer);
    assert_eq!(
        (held(&world), world.heard(ann.peer)),
        (None, vec![]),
        "bob's turn 4 has ended, and ann is alone"
    );
    // The last who answered is cid. Behind cid comes ann.
    let cid = join(&mut world, &format!("cid resume={}", cid.secret()));
    assert_eq!(
        (world.heard(ann.peer), cid.then),
        (vec!["GO turn=5 within=30000".to_owned()], vec!["WAIT ahead=1".to_owned()])
    );
}

/// T30: a ring that stands still grants nothing, however long and whatever happens in it.
#[test]
fn t30_a_paused_ring_grants_nothing() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.say(ann.peer, "ann:1");
    assert_eq!(world.heard(ann.peer), ["OK turn=1"]);
    world.reset(bob.peer);
    for _ in 0..3 {
        world.say(ann.peer, "ann:2");
        assert_eq!(refusal(&mut world, ann.peer), "not-your-turn");
        let elsewhere = format!("ann ring=x{}", world.passes);
        let again = join(&mut world, &elsewhere);
        world.reset(again.peer);
        world.drive_for(secs(19));
        assert_eq!(held(&world), None);
    }
    // bob's seat is gone with its grace: he is new, and still next, since ann answered last.
    world.drive_for(secs(19));
    world.heard(ann.peer);
    let again = join(&mut world, "bob");
    assert_eq!(
        (again.then.as_slice(), world.heard(ann.peer)),
        (&["GO turn=3 within=30000".to_owned()][..], vec![])
    );
}

/// T31: the epoch belongs to the server's life; in another one no secret is good and turns count from 1.
#[test]
fn t31_another_life_of_the_server_has_another_epoch() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    assert_eq!(field(&ann.welcome, "epoch"), field(&bob.welcome, "epoch"));
    world.say(ann.peer, "ann:1");
    world.kill_server();
    world.start_server();
    let stranger = world.connect();
    world.say(stranger, &format!("JOIN ann resume={}", ann.secret()));
    assert_eq!((refusal(&mut world, stranger), world.is_open(stranger)), ("bad-secret".to_owned(), false));
    let again = join(&mut world, "ann");
    assert_ne!(field(&again.welcome, "epoch"), field(&ann.welcome, "epoch"));
    assert_eq!(["seat", "last"].map(|key| field(&again.welcome, key)), ["1", "0"]);
    join(&mut world, "bob");
    assert_eq!(world.heard(again.peer), ["GO turn=1 within=30000"]);
}
