//! Names: joining under a name, and its owner while the seat is away (M21, M22, T20).

use support::network::{World, field, find_field};
use support::{ms, secs};

use super::start::{heads, join, line_config, line_ring, line_world, refusal, resume, ruled};

/// T20: a connection that sends neither `JOIN` nor `WATCH` never gets a seat and is closed, whatever else it
/// sends.
#[test]
fn t20_no_seat_before_a_valid_join() {
    let mut world = line_world();
    let talker = world.connect();
    let silent = world.connect();
    world.drive_for(secs(1));
    let observer = world.connect();
    world.say(observer, "WATCH");
    for line in ["PING", "ANSWER :1", "PASS", "LEAVE", "JOIN a weight=0", "JOIN", "PING", "RENEW"] {
        world.say(talker, line);
        world.drive_for(secs(1));
    }
    assert_eq!((world.heard(talker).len(), world.server().scheduler().seats()), (8, 0));
    // An incomplete line does not help either.
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

/// T20, with the table of messages: how a seat is taken.
#[test]
fn t20_a_valid_join_is_welcomed() {
    let mut world = line_world();
    let ann = join(&mut world, "ann");
    let keys: Vec<_> =
        ann.welcome.split(' ').map(|field| field.split('=').next().unwrap_or_default()).collect();
    assert_eq!(keys, ["WELCOME", "ann", "seat", "ring", "epoch", "resume"]);
    assert_eq!(["seat", "ring"].map(|key| field(&ann.welcome, key)), ["1", "main"]);
    assert_eq!((ann.epoch().len(), ann.secret().len()), (16, 32));
    assert_eq!(ann.then, ["WAIT ahead=0 needs=1"]);
    let bob = join(&mut world, "bob colour=red weight=1 ring=main later=1");
    assert_eq!(field(&bob.welcome, "seat"), "2", "unknown fields are ignored");
    assert_eq!(bob.then, ["WAIT ahead=1"]);
    let cid = join(&mut world, "cid");
    assert_eq!(cid.then, ["WAIT ahead=2"]);
    assert_eq!(world.heard(ann.peer), ["GO turn=1 within=30000"]);
}

/// M21: valid names, each of which is unique in its ring.
#[test]
fn m21_names_are_checked_and_unique_in_their_ring() {
    let mut world = line_world();
    let long = "n".repeat(64);
    for name in [
        "ann",
        &long,
        "J\u{f6}rg",
        "ann ring=other",
        "Ann",
        "raw-",
        "raw-1a",
        "Raw-1",
        "\u{6f22}\u{5b57}",
        "a\"'\\<>",
    ] {
        join(&mut world, name);
    }
    let taken = world.connect();
    world.say(taken, "JOIN ann");
    assert_eq!((refusal(&mut world, taken), world.is_open(taken)), ("name-taken".to_owned(), false));
    let too_long = format!("{long}n");
    let wide = "\u{f6}".repeat(33);
    let bad = [
        "",
        "a:b",
        ":",
        "a=b",
        "two words",
        "raw-1",
        "raw-0017",
        &too_long,
        &wide,
        "a\u{202e}b",
        "a\u{200b}",
        "a\u{200d}b",
        "\u{feff}a",
        "a\u{ad}",
        "a\u{a0}b",
        "a\u{3000}b",
        "a\u{2028}b",
        "a\u{180e}b",
        "\u{e0041}",
        "a ring=b:c",
        "a ring=",
        "a ring=\u{200b}",
    ];
    for name in bad {
        let newcomer = world.connect();
        world.say(newcomer, &format!("JOIN {name}"));
        assert_eq!(
            (refusal(&mut world, newcomer), world.is_open(newcomer)),
            ("malformed".to_owned(), true),
            "{name:?}"
        );
    }
    assert_eq!(world.server().scheduler().seats(), 10);
}

/// M22: the name of an absent seat is kept for the grace, and no longer.
#[test]
fn m22_the_name_of_a_seat_that_is_away_is_kept() {
    for (away, code) in [(secs(60) - ms(1), "BYE name-taken"), (secs(60), "WELCOME")] {
        let (mut world, [_, bob, _]) = line_ring(line_config(), ["ann", "bob", "cid"]);
        world.say(bob.peer, "PING");
        world.reset(bob.peer);
        world.drive_for(away);
        let thief = world.connect();
        world.say(thief, "JOIN bob");
        assert!(world.heard(thief)[0].starts_with(code), "away for {away:?}");
        let owner = world.connect();
        world.say(owner, &format!("JOIN bob resume={}", bob.secret()));
        let heard = heads(&world.heard(owner));
        assert!(
            heard[0].starts_with(if code == "WELCOME" { "BYE bad-secret" } else { "WELCOME" }),
            "{heard:?}"
        );
    }
}

/// M22, M16: who is refused the name of a seat whose client is lost may be that client, and hears how to get
/// the seat.
#[test]
fn m22_a_name_that_is_kept_is_called_that() {
    let kept = "BYE name-taken :that name is kept for its client, who resumes with its secret; \
                else wait, or take another name";
    for grace in [secs(0), secs(10)] {
        let (mut world, [ann, bob]) = line_ring(ruled(|rules| rules.turn_grace = grace), ["ann", "bob"]);
        for member in [&ann, &bob] {
            let refused = |world: &mut World| {
                let other = world.connect();
                world.say(other, &format!("JOIN {}", member.name));
                world.heard(other)
            };
            world.say(member.peer, "PING");
            assert_eq!(refused(&mut world), ["BYE name-taken :another client has a seat under that name"]);
            world.reset(member.peer);
            assert_eq!(refused(&mut world), [kept], "{grace:?}");
        }
    }
}

/// M22: the name is not kept for a client that sent nothing valid after its first `WELCOME`, which may have
/// been lost.
#[test]
fn m22_a_client_whose_welcome_was_lost_may_join_again() {
    let (mut world, [ann, bob, _]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    world.reset(bob.peer);
    let again = join(&mut world, "bob");
    assert_eq!((field(&again.welcome, "seat"), world.server().scheduler().seats()), ("4", 3));
    // An unreadable line is not a sign of life.
    world.say(again.peer, "nonsense");
    world.reset(again.peer);
    let again = join(&mut world, "bob");
    // A line that is refused for another reason is one.
    world.say(again.peer, "ANSWER :too early");
    world.reset(again.peer);
    let thief = world.connect();
    world.say(thief, "JOIN bob");
    assert_eq!(refusal(&mut world, thief), "name-taken");
    let again = resume(&mut world, &again);
    world.reset(again.peer);
    let thief = world.connect();
    world.say(thief, "JOIN bob");
    assert_eq!(refusal(&mut world, thief), "name-taken", "it has spoken once, on an earlier connection");
    assert!(world.is_open(ann.peer));
}

/// M22: with 40 % of the welcomes lost, every client gets its seat in the end, and none is kept out by its
/// own name.
#[test]
fn m22_joining_works_though_welcomes_are_lost() {
    for seed in 0..200 {
        let mut world = World::new(line_config(), seed);
        let names: Vec<_> = (0..6).map(|nth| format!("c{nth}")).collect();
        let mut seated: Vec<Option<super::start::Member>> = vec![None; names.len()];
        let mut secrets: Vec<Option<String>> = vec![None; names.len()];
        for _ in 0..200 {
            let at = world.rng.usize(0..names.len());
            if seated[at].is_some() {
                continue;
            }
            let peer = world.connect();
            let (loses_up, loses_down) = (world.rng.u8(0..10) < 4, world.rng.u8(0..10) < 4);
            if loses_up {
                world.lose_up(peer);
            }
            let resume = secrets[at].as_ref().map_or(String::new(), |secret| format!(" resume={secret}"));
            world.say(peer, &format!("JOIN {}{resume}", names[at]));
            let heard = if loses_down { Vec::new() } else { world.heard(peer) };
            if heard.is_empty() {
                // It gives up, and its connection turns out to be broken.
                let pipe_is_up = !loses_up;
                if pipe_is_up {
                    world.reset(peer);
                }
                continue;
            }
            assert!(heard[0].starts_with("WELCOME "), "seed {seed}: {heard:?}");
            secrets[at] = Some(field(&heard[0], "resume").to_owned());
            world.say(peer, "PING");
            seated[at] = Some(super::start::welcomed(peer, &names[at], heard));
            if world.rng.bool() {
                world.reset(peer);
                seated[at] = None;
            }
        }
        assert_eq!(world.server().scheduler().seats(), 6, "seed {seed}");
    }
}

/// M21: a name belongs to its ring. Another ring knows neither the name nor its secret.
#[test]
fn m21_rings_have_names_of_their_own() {
    let mut world = line_world();
    let ann = join(&mut world, "ann ring=a");
    join(&mut world, "ann ring=b");
    let thief = world.connect();
    world.say(thief, &format!("JOIN ann ring=b resume={}", ann.secret()));
    assert_eq!(refusal(&mut world, thief), "bad-secret");
    assert_eq!(find_field(&ann.welcome, "last"), None);
}

/// M22, T22: an answer that is refused for its size or its time is still a valid message, so its client must
/// have its secret.
#[test]
fn m22_a_client_whose_payload_was_refused_has_spoken() {
    for message in ["ANSWER bytes=1\nx", "ANSWER turn=7 bytes=1\nx"] {
        let mut world = line_world();
        let ann = join(&mut world, "ann");
        world.say(ann.peer, message);
        world.reset(ann.peer);
        let thief = world.connect();
        world.say(thief, "JOIN ann");
        assert_eq!(refusal(&mut world, thief), "name-taken", "{message:?}");
    }
}
