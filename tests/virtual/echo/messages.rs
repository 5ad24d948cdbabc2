//! The end of a message and its answer, on connections that end with the answer and on those that are kept
//! open (E1, E2, E3, E6, A6). Invalid messages are tested in `limits.rs`.

use std::time::Duration;

use support::text;
use taketurns::protocol::Protocol;
use taketurns::protocol::echo::{EchoEvent, EchoServerConfig};
use taketurns::time::Now;

use super::world::{KIB64, World, answer};

// ---- E1: the answer ------------------------------------------------------------------------------------

#[test]
fn e01_the_answer_is_the_time_and_the_message_and_the_connection_is_closed() {
    let mut world = World::new();
    let ann = world.connect();
    assert_eq!(world.heard(ann), "", "nothing is said before the message");
    world.say(ann, "Hello, Grüße, 你好");
    assert_eq!(world.heard(ann), "Server received at 2026-11-21 16:00:00: Hello, Grüße, 你好");
    assert!(world.is_closed_gently(ann));
    let connection = world.peers[ann].id;
    assert_eq!(world.events(), [EchoEvent::Answered { connection, bytes: 22 }]);
}

#[test]
fn e01_the_time_is_that_of_the_answer_by_the_wall_clock() {
    let mut world = World::new();
    let ann = world.connect();
    world.wait(5_999);
    world.say(ann, "Hello");
    assert_eq!(world.heard(ann), "Server received at 2026-11-21 16:00:05: Hello");
    // A change of the clock does not affect messages that wait.
    let bob = world.connect();
    world.say(bob, text(1024));
    world.now = Now::new(world.now.instant, world.now.wall() + Duration::from_secs(3_000));
    world.wait(49);
    assert_eq!(world.heard(bob), "");
    world.wait(1);
    assert!(world.heard(bob).starts_with("Server received at 2026-11-21 16:50:06: "), "by the new clock");
}

// ---- E2: where a message ends --------------------------------------------------------------------------

#[test]
fn e02_a_message_ends_at_a_newline_and_what_follows_is_dropped() {
    for bytes in
        ["Hello\n", "Hello\r\n", "Hello\nWorld\n", "Hello\nWor", "\n\r\n Hello \t\r\nWorld", "Hello \r\r\n"]
    {
        let mut world = World::new();
        let ann = world.connect();
        world.say(ann, bytes);
        world.assert_answered(ann, "Hello");
    }
    let long = text(5_000);
    let mut world = World::new();
    let ann = world.connect();
    world.say(ann, format!("{long}\r\nmore"));
    world.assert_answered(ann, &long);
}

#[test]
fn e02_a_message_ends_at_the_half_close() {
    let long = text(5_000);
    let mut world = World::new();
    let ann = world.connect();
    world.say(ann, &long);
    assert_eq!(world.heard(ann), "");
    world.half_close(ann);
    world.assert_answered(ann, &long);
}

#[test]
fn e02_without_an_end_up_to_1023_bytes_are_complete_at_once_and_more_after_50_ms() {
    for (length, at_once) in
        [(1, true), (1_000, true), (1_023, true), (1_024, false), (1_025, false), (KIB64, false)]
    {
        let mut world = World::new();
        let ann = world.connect();
        let message = text(length);
        world.say(ann, &message);
        assert_eq!(!world.is_open(ann), at_once, "{length} bytes");
        if !at_once {
            world.wait(49);
            assert_eq!(world.heard(ann), "", "{length} bytes");
            world.wait(1);
        }
        world.assert_answered(ann, &message);
    }
}

#[test]
fn e02_each_piece_restarts_the_silence() {
    let mut world = World::new();
    let ann = world.connect();
    let message = text(1_030);
    world.say(ann, &message[..1_024]);
    for at in 1_024..1_030 {
        world.wait(49);
        assert_eq!(world.heard(ann), "");
        world.say(ann, &message[at..=at]);
    }
    world.wait(50);
    world.assert_answered(ann, &message);
}

#[test]
fn e02_every_split_of_a_long_message_gives_the_same_answer() {
    let message = text(2_500);
    for (end, half_close) in [("", false), ("", true), ("\n", false), ("\r\n", false)] {
        let bytes = format!("{message}{end}");
        for at in (1_024..bytes.len()).chain(1_024..1_030) {
            let mut world = World::new();
            let ann = world.connect();
            world.say(ann, &bytes[..at]);
            world.wait(30);
            assert_eq!(world.heard(ann), "", "split at {at}");
            world.say(ann, &bytes[at..]);
            if half_close {
                world.half_close(ann);
            }
            world.wait(50);
            world.assert_answered(ann, &message);
        }
    }
}

#[test]
fn e02_a_first_piece_of_less_than_1024_bytes_is_the_message() {
    for at in [1, 5, 1_000, 1_023] {
        let message = text(2_500);
        let mut world = World::new();
        let ann = world.connect();
        world.say(ann, &message[..at]);
        world.say(ann, &message[at..]);
        world.assert_answered(ann, &message[..at]);
    }
}

#[test]
fn e02_a_character_may_be_split_over_pieces() {
    let message = "ä€😀".repeat(200);
    for at in 1_024..1_034 {
        let mut world = World::new();
        let ann = world.connect();
        world.say(ann, &message.as_bytes()[..at]);
        world.say(ann, &message.as_bytes()[at..]);
        world.wait(50);
        world.assert_answered(ann, &message);
    }
}

#[test]
fn e02_whitespace_around_a_message_is_dropped_and_inside_it_stays() {
    let mut world = World::new();
    let ann = world.connect();
    world.say(ann, " \r\n");
    world.say(ann, "\t\n");
    assert_eq!((world.heard(ann).as_str(), world.is_open(ann)), ("", true), "whitespace alone is nothing");
    world.say(ann, " a  b\t\n");
    world.assert_answered(ann, "a  b");
    // Whitespace counts where only the length decides whether more will follow.
    let bob = world.connect();
    world.say(bob, format!("{}x", " ".repeat(1_447)));
    assert_eq!(world.heard(bob), "");
    world.say(bob, "yz");
    world.wait(50);
    world.assert_answered(bob, "xyz");
}

#[test]
fn e02_a_server_that_was_held_up_does_not_blame_its_client() {
    let mut world = World::new();
    let ann = world.connect();
    let message = text(2_000);
    world.say(ann, &message);
    world.now.instant += Duration::from_secs(3_600);
    world.pass();
    world.assert_answered(ann, &message);
}

// ---- E3: nothing ---------------------------------------------------------------------------------------

#[test]
fn e03_a_half_closed_connection_without_a_message_is_closed_without_an_answer() {
    for keep_open in [false, true] {
        for bytes in [&b""[..], b" \r\n\t"] {
            if keep_open && !bytes.is_empty() {
                continue;
            }
            let mut world = World::with(EchoServerConfig { keep_open, ..EchoServerConfig::default() });
            let ann = world.connect();
            world.say(ann, bytes);
            world.half_close(ann);
            assert_eq!(world.heard(ann), "");
            assert!(world.is_closed_gently(ann));
            assert_eq!(world.events(), []);
        }
    }
}

// ---- E6: kept open -------------------------------------------------------------------------------------

#[test]
fn e06_each_line_gets_one_line_in_answer_and_the_connection_stays() {
    let mut world = World::keep_open();
    let ann = world.connect();
    world.say(ann, "one\ntwo\r\n\n  three \n");
    assert_eq!(world.heard(ann), ["one", "two", "", "  three "].map(answer).concat());
    assert!(world.is_open(ann));
    world.wait(3_600_000);
    assert!(world.is_open(ann), "it may be silent between two lines");
    world.say(ann, "four\n");
    assert!(world.heard(ann).ends_with(": four\n"));
}

#[test]
fn e06_only_a_newline_or_the_half_close_ends_a_message() {
    let mut world = World::keep_open();
    let ann = world.connect();
    world.say(ann, "Hel");
    world.wait(9_000);
    assert_eq!(world.heard(ann), "", "neither its length nor silence completes it");
    world.say(ann, "lo");
    world.half_close(ann);
    assert_eq!(world.heard(ann), "Server received at 2026-11-21 16:00:09: Hello\n");
    assert!(world.is_closed_gently(ann));
}

#[test]
fn e06_every_split_gives_the_same_answers() {
    let bytes = "one\ntwo\r\n\nGrüße\nlast".as_bytes();
    let expected = ["one", "two", "", "Grüße", "last"].map(answer).concat();
    for first in 0..=bytes.len() {
        for second in first..=bytes.len() {
            let mut world = World::keep_open();
            let ann = world.connect();
            for piece in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                world.say(ann, piece);
            }
            world.half_close(ann);
            assert_eq!(world.heard(ann), expected, "split at {first} and {second}");
            assert!(world.is_closed_gently(ann));
        }
    }
    let mut world = World::keep_open();
    let ann = world.connect();
    bytes.chunks(1).for_each(|byte| world.say(ann, byte));
    world.half_close(ann);
    assert_eq!(world.heard(ann), expected);
}

/// Each line has its own time, even if reads never end at the end of a line.
#[test]
fn e06_a_stream_of_lines_may_be_endless() {
    let mut world = World::keep_open();
    let ann = world.connect();
    world.say(ann, "be");
    for _ in 0..20 {
        world.wait(5_000);
        world.say(ann, "gun\nbe");
        assert!(world.is_open(ann), "{}", world.heard(ann));
    }
    world.wait(9_999);
    assert!(world.is_open(ann));
    world.wait(1);
    assert!(world.heard(ann).ends_with("Error: the message did not end in time\n"));
}

// ---- A6: draining --------------------------------------------------------------------------------------

#[test]
fn a06_a_drain_answers_received_messages_and_closes_all() {
    let mut world = World::new();
    let [ann, bob] = [(); 2].map(|()| world.connect());
    world.say(ann, text(2_000));
    world.server.drain(world.now, &mut world.links);
    world.pass();
    world.assert_answered(ann, &text(2_000));
    assert!(world.is_closed_gently(bob));
    let late = world.connect();
    assert!(!world.is_open(late));
    assert_eq!(world.server.next_deadline(), None);
}
