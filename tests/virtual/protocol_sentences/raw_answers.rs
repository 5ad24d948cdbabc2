//! Answers of raw clients: their form, and whether they count (T6, T8, T9). Late answers are in
//! `raw_late.rs`.

use support::{ms, secs};
use taketurns::protocol::turns::{Code, TurnEvent};

use super::start::{held, raw_config, raw_ring, turn};
use crate::logged::{listen_to_log, take_log};

/// T6, M1: the form of an answer, without the white space around it. Its bytes are the number as it was
/// written.
#[test]
fn t06_well_formed_answers_are_accepted() {
    let long = format!("{}:7", "n".repeat(64));
    let wide = format!("{}:7", "\u{f6}".repeat(32));
    let (mut world, [a, b]) = raw_ring(raw_config());
    let answers = [
        "Client1:1",
        "a:0",
        "a:-1",
        "a:+5",
        "a:007",
        "two words:3",
        "J\u{f6}rg:5",
        "a:9223372036854775807",
        "a:-9223372036854775808",
        &long,
        &wide,
        "a:1\n",
        " \r\n\ta:2\r\n",
        "quote\"'\\:1",
    ];
    for answer in answers {
        world.say(a, answer);
        assert_eq!(world.accepted().last().map(String::as_str), Some(answer.trim()));
        world.say(b, "b:1");
    }
    assert_eq!(world.answers[0].name, "raw-1");
    assert_eq!(world.answers.len(), 2 * answers.len(), "each is reported once");
}

/// T6, T8: anything else is not an answer.
#[test]
fn t06_malformed_answers_are_refused() {
    let mut patient = raw_config();
    patient.strikes = 200;
    let (mut world, [a, b]) = raw_ring(patient);
    // Otherwise the first message would be taken for another protocol (L6).
    world.say(a, "a:1");
    world.say(b, "b:1");
    world.heard(a);
    world.heard(b);
    let long = format!("{}:7", "n".repeat(65)).into_bytes();
    let wide = format!("{}:7", "\u{f6}".repeat(33)).into_bytes();
    let huge = vec![b'x'; 5000];
    let zeros = format!("a:{}7", "0".repeat(1100)).into_bytes();
    let answers: [&[u8]; 24] = [
        b"hello",
        b"a:",
        b":",
        b":1",
        b"a:b",
        b"a:1:2",
        b"a::1",
        b"a:1.5",
        b"a:0x10",
        b"a:1 2",
        b"a: 1",
        b"a:1e3",
        b"a:--1",
        b"a:9223372036854775808",
        b"a:-9223372036854775809",
        b"a\x07b:1",
        b"a\x00:1",
        b"a\nb:1",
        b"a\xff:1",
        "a\u{85}b:1".as_bytes(),
        &long,
        &wide,
        &huge,
        &zeros,
    ];
    world.new_events();
    for answer in answers {
        world.say_bytes(a, answer);
        world.drive_for(ms(50));
        assert_eq!(world.heard(a), ["GO"], "{}", answer.escape_ascii());
        let speaker = world.id(a);
        let events = world.new_events();
        let [(_, TurnEvent::Refused { code: Code::Malformed, connection })] = events else {
            panic!("{}: {events:?}", answer.escape_ascii());
        };
        assert_eq!(*connection, speaker);
    }
    assert_eq!((world.heard(b), world.accepted().len()), (vec![], 2));
    world.say(a, "a:2");
    assert_eq!(
        world.accepted().last().map(String::as_str),
        Some("a:2"),
        "after all that it may still answer"
    );
}

/// T6, and "a raw message": pieces that follow within the gather time belong together. Whitespace alone is
/// ignored.
#[test]
fn t06_an_answer_may_come_in_pieces() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.say(a, "Cli");
    world.drive_for(ms(20));
    world.say(a, "ent1");
    world.drive_for(ms(20));
    world.say(a, ":5");
    assert_eq!(world.accepted(), ["Client1:5"]);
    world.say(b, "b:");
    world.drive_for(ms(49));
    world.say(b, "6");
    assert_eq!(world.accepted(), ["Client1:5", "b:6"]);
    assert_eq!(world.server().counts().refused, 0);

    world.heard(a);
    world.say(a, "\r\n");
    world.drive_for(secs(1));
    assert_eq!((world.server().counts().refused, world.heard(a)), (0, vec![]), "whitespace is nothing");
    // Too far apart, so these are two messages, and neither is an answer.
    world.say(a, "a:");
    world.drive_for(ms(51));
    assert_eq!((world.server().counts().refused, world.heard(a)), (1, vec!["GO".to_owned()]));
    world.say(a, "7");
    world.drive_for(ms(51));
    assert_eq!((world.server().counts().refused, world.heard(a)), (2, vec!["GO".to_owned()]));
    assert_eq!(world.accepted().len(), 2);
}

/// T8: a malformed answer is logged with the address and escaped bytes, and counted. Turn, number and
/// deadline stay.
#[test]
fn t08_a_malformed_answer_leaves_the_turn_where_it_is() {
    listen_to_log();
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.say(a, "a:1");
    world.say(b, "b:1");
    world.heard(a);
    world.heard(b);
    let before = held(&world).expect("a holds the turn");
    world.drive_for(secs(20));
    take_log();
    world.say(a, "\u{1b}[2Jbad:");
    world.drive_for(ms(50));
    let log = take_log();
    let address = world.addr(a).to_string();
    assert!(
        log.iter().any(|(_, line)| line.contains(&address) && line.contains("\\x1b[2Jbad:")),
        "address and escaped bytes: {log:?}"
    );
    assert_eq!(world.heard(a), ["GO"], "once more");
    assert_eq!(held(&world), Some(before));
    assert_eq!((world.server().counts().refused, world.heard(b)), (1, vec![]));
    world.drive_for(secs(10) - ms(51));
    assert_eq!(held(&world), Some(before), "30 s are not over");
    world.drive_for(ms(1));
    assert_eq!((turn(&world), world.heard(b)), (Some(4), vec!["GO".to_owned()]));
}

/// T8: the third malformed answer in a row closes the connection, and the turn passes on. A good one resets
/// the count.
#[test]
fn t08_three_malformed_answers_in_a_row_end_the_connection() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    for _ in 0..4 {
        world.say(a, "a:x");
        world.say(a, "a:x");
        world.say(a, "a:1");
        world.say(b, "b:1");
    }
    assert_eq!(world.accepted().len(), 8, "never three in a row");
    world.heard(b);
    world.heard(a);
    for _ in 0..2 {
        world.say(a, ":");
        world.drive_for(ms(50));
        assert_eq!(world.heard(a), ["GO"]);
    }
    let c = world.connect();
    world.drive_for(ms(100));
    world.say(a, "a:x");
    assert!(!world.is_open(a));
    assert_eq!((world.heard(a), world.heard(b)), (vec![], vec!["GO".to_owned()]), "the turn passes at once");
    assert!(world.is_open(b) && world.is_open(c));
}

/// T9: an answer of a client that does not hold the turn is refused and counted. The client is told nothing,
/// and stays.
#[test]
fn t09_bytes_out_of_turn_are_refused_silently() {
    let (mut world, [a, b, c]) = raw_ring(raw_config());
    let before = held(&world);
    world.new_events();
    for text in ["b:1", "nonsense:", "b:2"] {
        world.say(b, text);
        world.drive_for(ms(50));
    }
    let refused = world.new_events();
    assert_eq!(refused.len(), 3, "{refused:?}");
    let is_early =
        |event: &(_, TurnEvent)| matches!(event.1, TurnEvent::Refused { code: Code::NotYourTurn, .. });
    assert!(refused.iter().all(is_early));
    assert_eq!((world.server().counts().refused, held(&world)), (3, before));
    assert_eq!([a, b, c].map(|peer| world.heard(peer).len()), [0, 0, 0]);
    world.say(a, "a:1");
    assert!(world.is_open(b), "that was no strike");
    world.say(b, "b:3");
    assert_eq!(world.accepted(), ["a:1", "b:3"]);
    // Another answer to the same turn comes too late.
    world.say(b, "b:5");
    assert_eq!((world.accepted().len(), world.server().counts().refused), (2, 4));
}

/// T9: an answer counts only if it was read after its `GO` was written.
#[test]
fn t09_an_answer_that_was_read_before_its_go_was_written_does_not_count() {
    // In the same pass as the hand-over.
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.crowded = true;
    world.queue(a, "a:1");
    world.queue(b, "b:2");
    world.drive();
    assert_eq!(world.accepted(), ["a:1"]);
    assert_eq!((world.heard(b), world.server().counts().refused), (vec!["GO".to_owned()], 1));
    // While its GO is held back.
    let c = world.connect();
    world.say(b, "b:4");
    world.say(a, "a:3");
    world.say(c, "c:5");
    assert_eq!((world.accepted().len(), world.heard(c)), (3, vec!["WAIT".to_owned()]));
    world.drive_for(ms(100));
    assert_eq!(world.heard(c), ["GO"]);
    world.say(c, "c:5");
    assert_eq!(world.accepted().last().map(String::as_str), Some("c:5"));
    // While its GO waits for room in the socket.
    world.say(b, "b:6");
    world.stop_reading(a, 1);
    world.say(a, "a:7");
    world.say(c, "c:9");
    world.say(b, "b:8");
    world.say(a, "a:10");
    assert_eq!(world.accepted().last().map(String::as_str), Some("b:8"), "half a GO is no GO");
    world.read_again(a);
    world.say(a, "a:11");
    assert_eq!(world.accepted().last().map(String::as_str), Some("a:11"));
}

/// T9: the beginning of a message that arrived before its `GO` does not count either.
#[test]
fn t09_an_answer_that_began_before_its_go_does_not_count() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.say(b, "b:");
    world.say(a, "a:1");
    world.say(b, "2");
    world.drive_for(ms(60));
    assert_eq!(world.accepted(), ["a:1"]);
    world.say(b, "b:3");
    assert_eq!(world.accepted(), ["a:1", "b:3"]);
}

/// T9: input before the `GO` is refused on its own, and does not spoil the answer.
#[test]
fn t09_input_before_a_go_does_not_join_its_answer() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.say(b, "too early ");
    world.say(a, "a:1");
    world.say(b, "b:2");
    assert_eq!(world.accepted(), ["a:1", "b:2"]);
    assert_eq!(world.server().counts().refused, 1);
}

/// T9: nor does a message that began while its `GO` was requested but not written.
#[test]
fn t09_an_answer_that_began_before_its_go_was_written_does_not_count() {
    // In the same pass as the hand-over, after it.
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.crowded = true;
    world.queue(a, "a:1");
    world.queue(b, "b:");
    world.drive();
    world.say(b, "2");
    assert_eq!(world.accepted(), ["a:1"], "half of it was read before GO was written");
    world.drive_for(ms(50));
    world.heard(b);
    world.say(b, "b:3");
    assert_eq!(world.accepted(), ["a:1", "b:3"]);
    // While GO waits for room in the socket.
    world.stop_reading(b, 1);
    world.say(a, "a:4");
    world.say(b, "b:");
    world.read_again(b);
    world.say(b, "5");
    assert_eq!(world.accepted(), ["a:1", "b:3", "a:4"]);
}

/// T6, T8: bytes beyond the limit are one malformed answer, however many reads they take.
#[test]
fn t08_a_flood_is_one_malformed_answer_for_each_gather_time() {
    let (mut world, [a, _b]) = raw_ring(raw_config());
    for _ in 0..20 {
        world.say(a, &"x".repeat(1000));
    }
    world.drive_for(ms(50));
    assert_eq!((world.heard(a), world.server().counts().refused), (vec!["GO".to_owned()], 1));
    assert!(world.is_open(a));
}
