//! The reply to each line: nothing is dropped silently (T27, L4), and lines that neither answer nor join.

use support::network::{World, field};
use support::secs;

use super::start::{code, heads, held, join, line_config, line_ring, refusal, watch};

/// T27, L4: every line gets a reply, and every refusal has a code and words.
#[test]
fn t27_nothing_is_dropped_silently() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    let observer = watch(&mut world, "main");
    let lines = [
        "",
        "GO",
        "OK turn=1",
        "JOIN",
        "JOIN zoe",
        "JOIN ann",
        "WATCH",
        "WATCH ring=a:b",
        "PASS",
        "PASS turn=99",
        "PASS now",
        "RENEW",
        "zoe:1",
        "ANSWER turn=99 :1",
        "ANSWER :1",
        "ANSWER bytes=1\nx",
        "LEAVE now",
        "PING now",
        "PING :now",
        "ASK :now",
        "\u{202e}",
    ];
    for line in lines {
        for peer in [bob.peer, observer] {
            world.say(peer, line);
            refusal(&mut world, peer);
        }
    }
    for (line, codes) in [
        ("PASS", "not-joined"),
        ("ANSWER :1", "not-joined"),
        ("ANSWER turn=1 bytes=1\nx", "not-joined"),
        ("RENEW", "not-joined"),
        ("ASK", "not-joined"),
        ("REST", "not-joined"),
        ("LEAVE", "not-joined"),
        ("JOIN zoe weight=2", "out-of-range"),
        ("JOIN zoe weight=99999999999999999999", "out-of-range"),
        ("JOIN", "malformed"),
    ] {
        let newcomer = world.connect();
        world.say(newcomer, line);
        assert_eq!(
            (refusal(&mut world, newcomer), world.is_open(newcomer)),
            (codes.to_owned(), true),
            "{line:?}"
        );
    }
    for line in ["JOIN zoe", "WATCH"] {
        world.say(bob.peer, line);
        assert_eq!(refusal(&mut world, bob.peer), "already-joined");
    }
    assert_eq!(held(&world).map(|held| held.0), Some(1));
    assert!([ann.peer, bob.peer, observer].iter().all(|&peer| world.is_open(peer)));
}

/// L4: a refusal names the turn that its line named, or else the held turn, or else none; and the time if
/// that turn is held.
#[test]
fn l04_a_refusal_names_the_turn_of_its_line_or_the_one_that_is_held() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    for (line, no) in [
        ("PASS turn=99", "NO stale-turn turn=99"),
        ("ANSWER turn=99 :x", "NO stale-turn turn=99"),
        ("RENEW turn=7", "NO stale-turn turn=7"),
        ("ANSWER turn=1 epoch=0123456789abcdef :x", "NO stale-turn turn=1 within=30000"),
        ("ANSWER turn=2 turn=1 :x", "NO malformed turn=1 within=30000"),
        ("ANSWER turn=x :x", "NO malformed turn=1 within=30000"),
        ("JOIN zoe", "NO already-joined turn=1 within=30000"),
        ("zoe:1", "NO malformed turn=1 within=30000"),
        ("SAY turn=5", "NO malformed turn=5"),
    ] {
        world.say(ann.peer, line);
        assert_eq!(heads(&world.heard(ann.peer)), [no], "{line}");
    }
    for (line, no) in [("PASS", "NO not-your-turn"), ("PASS turn=1", "NO not-your-turn turn=1")] {
        world.say(bob.peer, line);
        assert_eq!(heads(&world.heard(bob.peer)), [no], "{line}");
    }
    world.say_bytes(ann.peer, b"PASS turn=1");
    world.half_close(ann.peer);
    assert_eq!(heads(&world.heard(ann.peer))[0], "NO malformed turn=1 within=30000");
}

/// T27: `ANSWER :4` may be the beginning of `ANSWER :42`, so a line that has not ended when its client
/// finishes does not count.
#[test]
fn t27_a_last_line_without_an_end_is_refused() {
    for last in ["ANSWER :4", "ANSWER turn=1 bytes=4\n1234", "ANSWER turn=1 bytes=4\n12"] {
        let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
        for peer in [ann.peer, bob.peer] {
            world.say_bytes(peer, last.as_bytes());
            world.half_close(peer);
            let heard = world.heard(peer);
            assert!(heard.iter().any(|line| line.starts_with("NO ")), "{last:?}: {heard:?}");
            assert!(!world.is_open(peer));
        }
        assert_eq!(world.answers, []);
    }
}

/// The table of requests: `PASS`, `LEAVE`, `PING` and `WATCH`.
#[test]
fn t27_pass_leave_ping_and_watch_are_answered() {
    let (mut world, [ann, bob, cid]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    world.say(bob.peer, "PING");
    assert_eq!(world.heard(bob.peer), ["PONG"]);
    world.say(ann.peer, "PASS");
    assert_eq!((world.heard(ann.peer), world.accepted()), (vec!["OK turn=1".to_owned()], vec![]));
    world.say(bob.peer, "PASS turn=2");
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000", "OK turn=2"]);
    let watcher = world.connect();
    world.say(watcher, "WATCH");
    let epoch = field(&ann.welcome, "epoch");
    assert_eq!(world.heard(watcher)[0], format!("WATCHING main epoch={epoch} turn=3"));
    // Leaving ends the turn and the seat, and makes the secret worthless.
    world.say(cid.peer, "LEAVE");
    assert_eq!(heads(&world.heard(cid.peer)), ["GO turn=3 within=30000", "BYE left"]);
    assert_eq!((world.is_open(cid.peer), world.server().scheduler().seats()), (false, 2));
    assert_eq!(world.heard(ann.peer), ["GO turn=4 within=30000"]);
    let late = world.connect();
    world.say(late, &format!("JOIN cid resume={}", cid.secret()));
    assert_eq!(refusal(&mut world, late), "bad-secret");
    world.say(watcher, "LEAVE");
    assert_eq!(world.heard(watcher).last().map(|line| code(line)).as_deref(), Some("left"));
    assert!(!world.is_open(watcher));
}

/// L4: a payload above the limit is refused and skipped, and the turn stays. At the limit it counts.
#[test]
fn l04_a_payload_that_is_too_large_is_skipped() {
    let mut small = line_config();
    small.answer_bytes_max = 100;
    let (mut world, [ann, _]) = line_ring(small, ["ann", "bob"]);
    for size in [101, 1000, 1600] {
        world.say(ann.peer, &format!("ANSWER turn=1 bytes={size}\n{}", "x".repeat(size)));
        let heard = world.heard(ann.peer);
        assert_eq!(heads(&heard), ["NO too-large turn=1 within=30000"], "{size}");
    }
    world.say(ann.peer, &format!("ANSWER turn=1 :{}", "x".repeat(101)));
    assert_eq!(heads(&world.heard(ann.peer)), ["NO too-large turn=1 within=30000"], "as text");
    world.say(ann.peer, &format!("ANSWER turn=1 bytes=100\n{}", "x".repeat(100)));
    assert_eq!(world.heard(ann.peer), ["OK turn=1"]);
}

/// An observer never gets a turn, and does not count for the quorum.
#[test]
fn t27_an_observer_never_has_a_turn() {
    let mut short = line_config();
    short.rules.turn_deadline = secs(5);
    let mut world = World::new(short, 1);
    let watcher = watch(&mut world, "main");
    let ann = join(&mut world, "ann");
    world.drive_for(secs(1));
    assert_eq!(world.heard(ann.peer), [""; 0], "an observer is no seat");
    let bob = join(&mut world, "bob");
    join(&mut world, "eve ring=other");
    join(&mut world, "fay ring=other");
    world.say(ann.peer, "ANSWER :5");
    world.say(bob.peer, "PASS");
    world.drive_for(secs(5));
    world.reset(bob.peer);
    let outcomes: Vec<_> = world
        .heard(watcher)
        .into_iter()
        .filter(|line| line.starts_with("TURN") || line.starts_with("SKIP"))
        .collect();
    let expected = [
        "TURN ann turn=1 :5",
        "SKIP bob turn=2 how=passed",
        "SKIP ann turn=3 how=lapsed",
        "SKIP bob turn=4 how=gone",
    ];
    assert_eq!(outcomes, expected);
    world.say(watcher, "ANSWER :1");
    assert_eq!(world.heard(watcher).len(), 1);
    let counts = world.server().counts();
    assert_eq!((counts.accepted, counts.passed, counts.lapsed, counts.gone, counts.refused), (1, 1, 2, 1, 1));
    assert_eq!(world.server().scheduler().seats(), 4);
}
