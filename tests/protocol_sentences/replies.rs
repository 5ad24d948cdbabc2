//! What each line gets in return: an `OK`, a `NO` with its code, and nothing dropped in silence (T23, T24, T27).

use taketurns::protocol::turns::{Code, TurnServerConfig};

use crate::start::{accepted, held, join, line_config, line_ring, refusal};
use crate::world::{World, field, secs};

/// T23: `WELCOME` says whether the answer in flight has counted; sent again it gets the same `OK`, and counts once.
#[test]
fn t23_an_answer_sent_again_is_confirmed_again_and_counts_once() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.say(ann.peer, "ann:-9223372036854775808 turn=1");
    assert_eq!(world.heard(ann.peer), ["OK turn=1"]);
    let again = join(&mut world, &format!("ann resume={}", ann.secret()));
    assert_eq!(["last", "number"].map(|key| field(&again.welcome, key)), ["1", "-9223372036854775808"]);
    let before = held(&world);
    for _ in 0..3 {
        world.say(again.peer, "ann:-9223372036854775808 turn=1");
        assert_eq!(world.heard(again.peer), ["OK turn=1"]);
    }
    world.say(again.peer, "ann:6 turn=1");
    assert_eq!(refusal(&mut world, again.peer), "stale-turn", "the first one stands");
    assert_eq!((accepted(&world).len(), held(&world)), (1, before));
    assert_eq!((world.server().counts().accepted, world.server().counts().repeated), (1, 3));
    // It is remembered while ann holds another turn too, but not once that is answered.
    world.say(bob.peer, "bob:1 turn=2");
    world.say(again.peer, "ann:-9223372036854775808 turn=1");
    assert_eq!(world.heard(again.peer), ["GO turn=3 within=30000", "OK turn=1"]);
    world.say(again.peer, "ann:7 turn=3");
    world.heard(again.peer);
    world.say(again.peer, "ann:-9223372036854775808 turn=1");
    assert_eq!(refusal(&mut world, again.peer), "stale-turn");
    world.say(again.peer, "ann:7 turn=3");
    assert_eq!(world.heard(again.peer), ["OK turn=3"]);
    assert_eq!(accepted(&world).len(), 3);
}

/// T23: an answer that did not count before the connection was lost: `last` says so, and the turn has gone on.
#[test]
fn t23_an_answer_that_was_lost_is_not_in_last() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.say(ann.peer, "ann:1 turn=1");
    world.say(bob.peer, "bob:1 turn=2");
    world.lose_up(ann.peer);
    world.say(ann.peer, "ann:2 turn=3");
    let again = join(&mut world, &format!("ann resume={}", ann.secret()));
    assert_eq!(["last", "number"].map(|key| field(&again.welcome, key)), ["1", "1"]);
    assert_eq!(again.then, ["GO turn=3 within=30000"]);
}

/// T24: every wrong answer has its code, and changes nothing.
#[test]
fn t24_wrong_answers_have_their_code_and_change_nothing() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.say(ann.peer, "ann:1 turn=1");
    world.say(bob.peer, "bob:1 turn=2");
    world.heard(ann.peer);
    world.heard(bob.peer);
    world.drive_for(secs(3));
    let before = held(&world);
    assert_eq!(before, Some((3, secs(30))), "ann holds turn 3");
    let (ann, bob) = (ann.peer, bob.peer);
    let wrong = [
        (ann, "ann:2 turn=2", "stale-turn"),
        (ann, "ann:2 turn=4", "stale-turn"),
        (ann, "ann:2 turn=0", "stale-turn"),
        (ann, "ann:2 turn=18446744073709551615", "stale-turn"),
        (ann, "PASS turn=1", "stale-turn"),
        (bob, "bob:2", "not-your-turn"),
        (bob, "bob:2 turn=3", "not-your-turn"),
        (bob, "bob:1", "not-your-turn"),
        (bob, "bob:2 turn=1", "stale-turn"),
        (bob, "PASS", "not-your-turn"),
        (bob, "PASS turn=3", "not-your-turn"),
        (ann, "ann:9223372036854775808", "bad-number"),
        (ann, "ann:-9223372036854775809 turn=3", "bad-number"),
        (ann, "ann:x", "malformed"),
        (ann, "ann:1:2", "malformed"),
        (ann, "ann:", "malformed"),
        (ann, "ann", "malformed"),
        (ann, ":1", "malformed"),
        (ann, "ann:2 turn=x", "malformed"),
        (ann, "pass", "malformed"),
        (ann, "", "malformed"),
        (ann, " ", "malformed"),
        (ann, "ann:2  turn=3", "malformed"),
    ];
    for (peer, line, code) in wrong {
        world.say(peer, line);
        assert_eq!(refusal(&mut world, peer), code, "{line:?}");
        assert_eq!(held(&world), before, "{line:?}");
    }
    assert_eq!(accepted(&world).len(), 2);
    assert_eq!(world.server().counts().refused, wrong.len() as u64);
    world.say(ann, "ann:2");
    assert_eq!(world.heard(ann), ["OK turn=3"], "unfenced counts for the current turn");
}

/// T24: a late answer is refused, fenced or not, also when its seat holds a later turn by then.
#[test]
fn t24_a_late_answer_never_counts() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.drive_for(secs(30));
    world.heard(ann.peer);
    world.say(ann.peer, "ann:1 turn=1");
    assert_eq!(refusal(&mut world, ann.peer), "stale-turn");
    world.say(ann.peer, "ann:1");
    assert_eq!(refusal(&mut world, ann.peer), "not-your-turn");
    world.say(bob.peer, "bob:1");
    world.heard(ann.peer);
    world.say(ann.peer, "ann:1 turn=1");
    assert_eq!(refusal(&mut world, ann.peer), "stale-turn", "the fence keeps it out of turn 3");
    assert_eq!(accepted(&world), ["bob:1"]);
}

/// T24, with the replies table: `NO` names the turn that was meant, and 0 where none was.
#[test]
fn t24_a_refusal_names_the_turn_that_was_meant() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    for (peer, line, turn) in [
        (ann.peer, "ann:1 turn=7", "7"),
        (bob.peer, "bob:1", "0"),
        (bob.peer, "nonsense", "0"),
        (bob.peer, "bob:1 turn=1", "1"),
    ] {
        world.say(peer, line);
        let heard = world.heard(peer);
        assert_eq!(field(&heard[0], "turn"), turn, "{line:?}: {heard:?}");
    }
}

/// T27: every line gets a reply, and every refusal has a code and words.
#[test]
fn t27_nothing_is_dropped_in_silence() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    let observer = world.connect();
    world.say(observer, "WATCH");
    world.heard(observer);
    let newcomer = world.connect();
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
        "zoe:1",
        "ann:1 turn=99",
        "bob:1",
        "bob:1 turn=1",
        "ann:99999999999999999999",
        "LEAVE now",
        "PING now",
        "\u{202e}",
    ];
    for line in lines {
        for peer in [bob.peer, observer] {
            world.say(peer, line);
            refusal(&mut world, peer);
        }
        if !matches!(line, "JOIN zoe" | "JOIN ann" | "WATCH") {
            world.say(newcomer, line);
            refusal(&mut world, newcomer);
        }
    }
    assert_eq!(held(&world).map(|held| held.0), Some(1));
    assert!(
        [ann.peer, bob.peer, observer, newcomer].map(|peer| world.is_open(peer)).iter().all(|open| *open)
    );
}

/// T27: `ann:4` may be the beginning of `ann:42`: a line that has not ended when its client finishes does not count.
#[test]
fn t27_a_last_line_without_an_end_is_refused() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    for peer in [ann.peer, bob.peer] {
        world.say_bytes(peer, b"ann:4");
        world.half_close(peer);
        assert!(world.heard(peer).contains(&format!("NO turn=0 malformed {}", Code::Malformed.words())));
    }
    assert_eq!(world.accepted(), []);
}

/// The commands table: what is neither answer nor seat.
#[test]
fn t27_pass_leave_ping_and_watch_are_answered() {
    let (mut world, [ann, bob, cid]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    world.say(bob.peer, "PING");
    assert_eq!(world.heard(bob.peer), ["PONG"]);
    world.say(ann.peer, "PASS");
    assert_eq!((world.heard(ann.peer), accepted(&world)), (vec!["OK turn=1".to_owned()], vec![]));
    world.say(bob.peer, "PASS turn=2");
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000", "OK turn=2"]);
    let watcher = world.connect();
    world.say(watcher, "WATCH");
    let epoch = field(&ann.welcome, "epoch");
    assert_eq!(world.heard(watcher), [format!("WATCHING ring=main epoch={epoch} turn=3")]);
    // Leaving ends the turn and the seat: the secret is worth nothing then.
    world.say(cid.peer, "LEAVE");
    let heard = world.heard(cid.peer);
    assert!(heard[0] == "GO turn=3 within=30000" && heard[1].starts_with("BYE left "), "{heard:?}");
    assert_eq!((world.is_open(cid.peer), world.server().scheduler().seats()), (false, 2));
    assert_eq!(world.heard(ann.peer), ["GO turn=4 within=30000"]);
    assert_eq!(world.heard(watcher), ["SKIP turn=3 cid gone"]);
    let late = world.connect();
    world.say(late, &format!("JOIN cid resume={}", cid.secret()));
    assert_eq!(refusal(&mut world, late), "bad-secret");
}

/// The commands table: an observer hears every turn's outcome in its ring, never gets a turn, and counts for no quorum.
#[test]
fn t27_an_observer_hears_every_outcome_and_never_has_a_turn() {
    let mut world = World::new(TurnServerConfig { turn_deadline: secs(5), ..line_config() }, 1);
    let watcher = world.connect();
    world.say(watcher, "WATCH ring=main");
    world.heard(watcher);
    let ann = join(&mut world, "ann");
    world.drive_for(secs(1));
    assert_eq!(world.heard(ann.peer), [""; 0], "an observer is no seat");
    let bob = join(&mut world, "bob");
    join(&mut world, "eve ring=other");
    join(&mut world, "fay ring=other");
    world.say(ann.peer, "ann:5");
    world.say(bob.peer, "PASS");
    world.drive_for(secs(5));
    world.reset(bob.peer);
    let expected =
        ["TURN turn=1 ann:5", "SKIP turn=2 bob passed", "SKIP turn=3 ann lapsed", "SKIP turn=4 bob gone"];
    assert_eq!(world.heard(watcher), expected);
    world.say(watcher, "watcher:1");
    assert_eq!(world.heard(watcher).len(), 1);
    let counts = world.server().counts();
    assert_eq!((counts.accepted, counts.passed, counts.lapsed, counts.gone, counts.refused), (1, 1, 2, 1, 1));
    assert_eq!(world.server().scheduler().seats(), 4);
}
