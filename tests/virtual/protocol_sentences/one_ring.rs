//! Old and new clients in one ring, and clients that are taken for the wrong kind (L11, L12).

use support::network::{Peer, World};
use support::{ms, secs};

use super::start::{auto_config, held, join, refusal, watch, welcomed};

fn world() -> World {
    World::new(auto_config(), 1)
}

/// Connects a peer that stays silent until it is taken for a raw client, and drops what it has heard.
fn raw(world: &mut World) -> Peer {
    let peer = world.connect();
    world.drive_for(ms(300));
    assert!(matches!(world.heard_raw(peer).as_slice(), [one] if one == "WAIT" || one == "GO"));
    world.drive_for(ms(100));
    world.heard_raw(peer);
    peer
}

/// L11: a connection that was told `WAIT` or `GO` and then begins with a line gives up its raw seat and
/// continues with lines.
#[test]
fn l11_a_slow_person_may_still_speak_lines() {
    for told in ["WAIT", "GO"] {
        for line in ["JOIN ann", "WATCH", "PING"] {
            for cut in 0..3 {
                let mut world = world();
                let watcher = watch(&mut world, "main");
                if told == "GO" {
                    join(&mut world, "zoe demand=ask");
                }
                let ann = world.connect();
                world.drive_for(ms(500));
                assert_eq!(world.heard_raw(ann), [told]);
                world.say_bytes(ann, &line.as_bytes()[..cut]);
                world.drive_for(secs(1));
                world.say_bytes(ann, format!("{}\n", &line[cut..]).as_bytes());
                let heard = world.heard_raw(ann).concat();
                let verb = match line {
                    "PING" => "\nPONG\n",
                    "WATCH" => "\nWATCHING main ",
                    _ => "\nWELCOME ann ",
                };
                assert!(heard.starts_with(verb), "{told} {line} {cut}: {heard:?}");
                assert!(world.heard_lines(watcher).iter().any(|line| line.starts_with("LEFT raw-")));
            }
        }
    }
}

/// L11: a client that has answered stays raw, and so does one whose line does not continue.
#[test]
fn l11_a_client_that_has_answered_stays_raw() {
    let mut world = world();
    let [a, b] = [(); 2].map(|()| raw(&mut world));
    world.say_bytes(a, b"a:1");
    world.say_bytes(b, b"JO");
    world.drive_for(secs(6));
    assert_eq!(world.heard_raw(b), ["GO", "GO"], "JO was a malformed answer");
    world.say_bytes(b, b"b:1");
    world.heard_raw(a);
    world.say_bytes(a, b"JOIN ann\n");
    world.drive_for(ms(60));
    assert_eq!(world.heard_raw(a), ["GO"], "a strike");
    assert_eq!(world.accepted(), ["a:1", "b:1"]);
}

/// L12: raw and line clients take turns in the same ring, here a raw `bob` and a line `bob`.
#[test]
fn l12_old_and_new_clients_take_turns_in_one_ring() {
    let mut world = world();
    let watcher = watch(&mut world, "main");
    let line = join(&mut world, "bob");
    let old = raw(&mut world);
    let heard = world.heard_lines(watcher);
    assert_eq!(heard[..2], ["JOINED bob seat=1", "JOINED raw-2 seat=2"]);
    world.heard_lines(line.peer);
    for round in 0..5 {
        world.say_line(line.peer, &format!("ANSWER :l{round}"));
        assert_eq!(world.heard_raw(old), ["GO"]);
        world.say_bytes(old, format!("bob:{round}").as_bytes());
        let heard = world.heard_lines(line.peer);
        assert_eq!(heard.len(), 2, "{heard:?}");
    }
    let expected: Vec<_> =
        (0..5).flat_map(|round| [format!("bob:l{round}"), format!("bob:{round}")]).collect();
    assert_eq!(world.accepted(), expected);
    let names: Vec<_> = world.answers.iter().take(2).map(|answer| answer.name.clone()).collect();
    assert_eq!(names, ["bob", "raw-2"]);
    let heard = world.heard_lines(watcher);
    assert!(heard.contains(&"TURN raw-2 turn=2 as=bob :0".to_owned()), "{heard:?}");
    // A name that the protocol does not allow is left out.
    world.say_line(line.peer, "PASS");
    world.say_bytes(old, b"two words:7");
    assert!(world.heard_lines(watcher).contains(&"TURN raw-2 turn=12 :7".to_owned()));
    let roster = world.connect();
    world.say_line(roster, "WATCH");
    assert!(world.heard_lines(roster).contains(&"SEAT raw-2 seat=2 state=waiting".to_owned()));
    let thief = world.connect();
    world.say_line(thief, "JOIN raw-2");
    assert_eq!(refusal(&mut world, thief), "malformed");
}

/// L12: a raw newcomer takes over the seat of a raw connection from its address, but never that of a line
/// client.
#[test]
fn l12_a_raw_newcomer_never_takes_a_line_clients_seat() {
    let mut world = world();
    world.next_address = Some([192, 0, 2, 1].into());
    let ann = join(&mut world, "ann");
    let a = raw(&mut world);
    let seat = world.server().seat_of(world.id(a));
    world.say_line(ann.peer, "PING");
    world.reset(ann.peer);
    let b = raw(&mut world);
    assert_ne!(world.server().seat_of(world.id(b)), seat);
    assert_eq!(world.server().scheduler().seats(), 3);
    world.reset(a);
    let c = raw(&mut world);
    assert_eq!(world.server().seat_of(world.id(c)), seat);
    let back = world.connect();
    world.say_line(back, &format!("JOIN ann resume={}", ann.secret()));
    let heard = world.heard_lines(back);
    assert_eq!(support::network::field(&welcomed(back, "ann", heard).welcome, "seat"), "1");
}

/// T5, L12: the gap between `WAIT` and `GO` is kept even if the turn comes from a line client.
#[test]
fn l12_the_gap_is_kept_after_a_line_client() {
    let mut world = world();
    let ann = join(&mut world, "ann");
    let old = world.connect();
    world.drive_for(ms(300));
    world.say_line(ann.peer, "ANSWER :1");
    assert_eq!(world.heard_raw(old), ["WAIT"]);
    world.drive_for(ms(100));
    assert_eq!(world.heard_raw(old), ["GO"]);
    assert_eq!(held(&world), Some((2, ms(400) + secs(30))));
}

/// L11, T32: a raw holder that turns to lines during a drain ends the drain, and is told like the others.
#[test]
fn l11_a_holder_that_turns_to_lines_ends_a_drain() {
    let mut world = world();
    let [a, b] = [(); 2].map(|()| raw(&mut world));
    world.drain();
    assert!(world.is_open(a) && world.is_open(b));
    world.say_bytes(a, b"WATCH\n");
    assert!(world.heard_lines(a).iter().any(|line| line.starts_with("BYE shutting-down ")));
    assert_eq!(world.server().clients(), 0);
}

/// M16, L12: a raw client that comes back while its seat's turn is kept is told, and gets the time that was
/// left.
#[test]
fn m16_a_raw_client_that_comes_back_in_the_grace_is_told_of_its_turn() {
    let mut config = auto_config();
    config.rules.turn_grace = secs(10);
    let mut world = World::new(config, 1);
    let watcher = watch(&mut world, "main");
    let [a, b] = [(); 2].map(|()| raw(&mut world));
    world.say_bytes(a, b"a:1");
    world.say_bytes(b, b"b:1");
    assert_eq!(held(&world).map(|(turn, _)| turn), Some(3));
    world.heard_lines(watcher);
    world.next_address = Some(world.addr(a).ip());
    world.reset(a);
    world.drive_for(secs(1));
    let again = world.connect();
    world.say_bytes(again, b"a:2");
    world.drive_for(ms(300));
    assert_eq!(world.heard_raw(again), ["GO"]);
    world.say_bytes(again, b"a:3");
    assert_eq!(world.accepted(), ["a:1", "b:1", "a:3"]);
    let heard = world.heard_lines(watcher);
    assert_eq!(heard[..2], ["AWAY raw-1", "BACK raw-1"]);
}

/// L12: hearers are told about a raw client in an absent seat like about any other that is back.
#[test]
fn l12_a_raw_client_in_a_seat_that_was_away_is_back() {
    let mut world = world();
    let watcher = watch(&mut world, "main");
    let a = raw(&mut world);
    world.next_address = Some(world.addr(a).ip());
    world.reset(a);
    raw(&mut world);
    assert_eq!(world.heard_lines(watcher)[..], ["JOINED raw-1 seat=1", "AWAY raw-1", "BACK raw-1"]);
}
