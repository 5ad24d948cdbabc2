//! Answers of the line protocol: fences and repetition, and no answer counts by mistake (M1, M2, T23, T24,
//! L3).

use support::network::{World, field, find_field};
use support::secs;

use super::start::{code, held, join, line_config, line_ring, refusal, resume, turn};

/// M1: an answer is bytes. The host gets each accepted one once, as it was sent.
#[test]
fn m01_an_answer_is_any_bytes() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    let answers: [&[u8]; 8] = [
        b"",
        b"e2 to e4",
        b":x",
        b"\xff\x00",
        b"two\nlines\r\n",
        b"LEAVE\n",
        "\u{fc}\t".as_bytes(),
        &[0; 16 * 1024],
    ];
    for (nth, answer) in answers.iter().enumerate() {
        let holder = if nth % 2 == 0 { ann.peer } else { bob.peer };
        let head = format!("ANSWER turn={} bytes={}\n", nth + 1, answer.len());
        world.say_bytes(holder, &[head.as_bytes(), answer, b"\n"].concat());
        assert!(world.heard(holder).contains(&format!("OK turn={}", nth + 1)));
        assert_eq!(world.answers.len(), nth + 1);
        assert_eq!(world.answers[nth].bytes, *answer);
        assert_eq!(world.answers[nth].turn, nth as u64 + 1);
    }
}

/// M2, T23: the same answer is confirmed again but counted once, in whichever form it is written.
#[test]
fn m02_an_answer_sent_again_is_confirmed_again_and_counts_once() {
    for answer in ["", "b2", "sixteen bytes, 16", "more than sixteen bytes, which are marked by a hash"] {
        let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
        let text = format!("ANSWER turn=1 :{answer}");
        let payload = format!("ANSWER turn=1 bytes={}\n{answer}", answer.len());
        world.say(ann.peer, &text);
        assert_eq!(world.heard(ann.peer), ["OK turn=1"]);
        let again = resume(&mut world, &ann);
        assert_eq!(find_field(&again.welcome, "last"), Some("1"));
        let before = held(&world);
        for form in [&text, &payload, &text] {
            world.say(again.peer, form);
            assert_eq!(world.heard(again.peer), ["OK turn=1"], "{form:?}");
        }
        for other in ["ANSWER turn=1 :another".to_owned(), format!("ANSWER turn=1 :{answer}x")] {
            world.say(again.peer, &other);
            assert_eq!(refusal(&mut world, again.peer), "stale-turn", "the first one stands: {other:?}");
        }
        let counts = world.server().counts();
        assert_eq!((world.answers.len(), held(&world), counts.accepted, counts.repeated), (1, before, 1, 3));
        // It is still remembered while Ann holds another turn, but no longer once that is answered.
        world.say(bob.peer, "ANSWER turn=2 :x");
        world.say(again.peer, &text);
        assert_eq!(world.heard(again.peer), ["GO turn=3 within=30000", "OK turn=1"]);
        world.say(again.peer, "ANSWER turn=3 :7");
        world.heard(again.peer);
        world.say(again.peer, &text);
        assert_eq!(refusal(&mut world, again.peer), "stale-turn");
        world.say(again.peer, "ANSWER turn=3 :7");
        assert_eq!(world.heard(again.peer), ["OK turn=3"]);
    }
}

/// T23: an answer that did not count before the connection was lost is not in `last`, and a `PASS` is not
/// remembered.
#[test]
fn t23_an_answer_that_was_lost_is_not_in_last() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    assert_eq!(find_field(&ann.welcome, "last"), None, "none was accepted");
    world.say(ann.peer, "ANSWER turn=1 :1");
    world.say(bob.peer, "PASS turn=2");
    world.lose_up(ann.peer);
    world.say(ann.peer, "ANSWER turn=3 :2");
    let again = resume(&mut world, &ann);
    assert_eq!(find_field(&again.welcome, "last"), Some("1"));
    assert_eq!(again.then, ["GO turn=3 within=30000"]);
    let bob = resume(&mut world, &bob);
    assert_eq!(find_field(&bob.welcome, "last"), None);
    world.say(bob.peer, "PASS turn=2");
    assert_eq!(refusal(&mut world, bob.peer), "stale-turn");
}

/// T24: every wrong answer has its code and changes nothing.
#[test]
fn t24_wrong_answers_have_their_code_and_change_nothing() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    let other_epoch = if ann.epoch().starts_with('0') { "1".repeat(16) } else { "0".repeat(16) };
    world.say(ann.peer, "ANSWER turn=1 :1");
    world.say(bob.peer, "ANSWER turn=2 :1");
    world.heard(ann.peer);
    world.heard(bob.peer);
    world.drive_for(secs(3));
    let before = held(&world);
    assert_eq!(before, Some((3, secs(30))), "ann holds turn 3");
    let epoch = ann.epoch().to_owned();
    let (ann, bob) = (ann.peer, bob.peer);
    let old_life = format!("ANSWER turn=3 epoch={other_epoch} :2");
    let wrong = [
        (ann, "ANSWER turn=2 :2", "stale-turn"),
        (ann, "ANSWER turn=4 :2", "stale-turn"),
        (ann, "ANSWER turn=0 :2", "stale-turn"),
        (ann, "ANSWER turn=18446744073709551615 :2", "stale-turn"),
        (ann, &old_life, "stale-turn"),
        (ann, "PASS turn=1", "stale-turn"),
        (ann, "RENEW turn=1", "stale-turn"),
        (bob, "ANSWER :2", "not-your-turn"),
        (bob, "ANSWER turn=3 :2", "not-your-turn"),
        (bob, "ANSWER turn=1 :2", "stale-turn"),
        (bob, "PASS", "not-your-turn"),
        (bob, "PASS turn=3", "not-your-turn"),
        (bob, "RENEW", "not-your-turn"),
        (ann, "ANSWER", "malformed"),
        (ann, "ANSWER x", "malformed"),
        (ann, "ANSWER turn=3 I would like to begin", "malformed"),
        (ann, "ANSWER turn=x :2", "malformed"),
        (ann, "ANSWER turn= :2", "malformed"),
        (ann, "ANSWER turn=3 turn=3 :2", "malformed"),
        (ann, "ANSWER turn=18446744073709551616 :2", "out-of-range"),
        (ann, "answer :2", "malformed"),
        (ann, "", "malformed"),
        (ann, " ", "malformed"),
        (ann, "ANSWER  turn=3 :2", "malformed"),
        (ann, "ann:2", "malformed"),
    ];
    for (peer, line, code) in wrong {
        world.say(peer, line);
        assert_eq!(refusal(&mut world, peer), code, "{line:?}");
        assert_eq!(held(&world), before, "{line:?}");
    }
    assert_eq!(world.answers.len(), 2);
    assert_eq!(world.server().counts().refused, wrong.len() as u64);
    world.say(ann, &format!("ANSWER epoch={epoch} turn=3 colour=red :2"));
    assert_eq!(world.heard(ann), ["OK turn=3"], "fields stand in any order, unknown ones are ignored");
}

/// T24: a late answer is refused, with or without a fence, even if its seat holds a later turn by then.
#[test]
fn t24_a_late_answer_never_counts() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.drive_for(secs(30));
    world.heard(ann.peer);
    world.say(ann.peer, "ANSWER turn=1 :1");
    assert_eq!(refusal(&mut world, ann.peer), "stale-turn");
    world.say(ann.peer, "ANSWER :1");
    assert_eq!(refusal(&mut world, ann.peer), "not-your-turn");
    world.say(bob.peer, "ANSWER :1");
    world.heard(ann.peer);
    world.say(ann.peer, "ANSWER turn=1 :1");
    assert_eq!(refusal(&mut world, ann.peer), "stale-turn", "the fence keeps it out of turn 3");
    assert_eq!(world.accepted(), ["bob:1"]);
}

/// T24, with the table of replies: `NO` names the turn of the line, or else the held one; `within=` is there
/// while that turn is held.
#[test]
fn t24_a_refusal_names_the_turn_that_was_meant() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.drive_for(secs(10));
    for (peer, line, turn, within) in [
        (ann.peer, "ANSWER turn=7 :1", Some("7"), None),
        (ann.peer, "nonsense", Some("1"), Some("20000")),
        (ann.peer, "PASS turn=1 turn", Some("1"), Some("20000")),
        (bob.peer, "ANSWER :1", None, None),
        (bob.peer, "nonsense", None, None),
        (bob.peer, "ANSWER turn=1 :1", Some("1"), None),
    ] {
        world.say(peer, line);
        let heard = world.heard(peer);
        let fields = ["turn", "within"].map(|key| find_field(&heard[0], key));
        assert_eq!(fields, [turn, within], "{line:?}: {heard:?}");
    }
}

/// L3: an answer without a fence counts only if it was read after its `GO` was written, even if it follows a
/// `JOIN` into another life.
#[test]
fn l03_an_answer_without_a_fence_counts_only_after_its_go() {
    let mut one = line_config();
    one.rules.min_seats = 1;
    let mut world = World::new(one, 1);
    world.chunking = false;
    let ann = world.connect();
    world.say_bytes(ann, b"JOIN ann\nANSWER :42\n");
    let heard = world.heard(ann);
    assert_eq!(code(&heard[2]), "not-your-turn", "{heard:?}");
    assert_eq!((world.answers.len(), turn(&world)), (0, Some(1)));
    world.say(ann, "ANSWER :42");
    assert_eq!(world.heard(ann), ["OK turn=1", "GO turn=2 within=30000"]);
    // If two arrive together, the second is not meant for the second turn.
    world.say_bytes(ann, b"ANSWER :1\nANSWER :2\n");
    let heard = world.heard(ann);
    assert_eq!(
        (heard[0].as_str(), code(&heard[2]), world.answers.len()),
        ("OK turn=2", "not-your-turn".into(), 2)
    );
    // A complete fence is unambiguous, but a turn alone is not, because another life may have had the same
    // number.
    let epoch = world.server().epoch();
    let both = format!("ANSWER turn=3 epoch={epoch} :1\nANSWER turn=4 epoch={epoch} :2\nANSWER turn=5 :3\n");
    world.say_bytes(ann, both.as_bytes());
    assert_eq!(world.answers.len(), 4);
    let heard = world.heard(ann);
    assert_eq!(heard.last().map(|line| code(line)), Some("not-your-turn".into()), "{heard:?}");
    // How the last turn ended can be asked with its number alone, even before anything is written.
    world.say_bytes(ann, b"ANSWER turn=4 :2\n");
    assert_eq!(world.heard(ann), ["OK turn=4"]);
    // Nor does it count while its GO waits for room in the socket.
    world.heard(ann);
    world.stop_reading(ann, 5);
    world.say(ann, "ANSWER turn=5 :3");
    world.say(ann, "ANSWER :4");
    assert_eq!(world.answers.len(), 5);
    world.read_again(ann);
    assert!(world.heard(ann).iter().any(|line| line.starts_with("NO not-your-turn")));
    world.say(ann, "ANSWER :4");
    assert_eq!(world.answers.len(), 6);
}

/// L3, T31: an answer from another life of the server is stale, even if the turn's number is the same.
#[test]
fn l03_an_answer_of_another_life_is_stale() {
    let (mut world, [ann, _]) = line_ring(line_config(), ["ann", "bob"]);
    let line = format!("ANSWER turn=1 epoch={} :x", ann.epoch());
    world.kill_server();
    world.start_server();
    let again = join(&mut world, "ann");
    join(&mut world, "bob");
    assert_eq!(world.heard(again.peer), ["GO turn=1 within=30000"]);
    world.say(again.peer, &line);
    assert_eq!(refusal(&mut world, again.peer), "stale-turn");
    assert_ne!(field(&again.welcome, "epoch"), ann.epoch());
}
