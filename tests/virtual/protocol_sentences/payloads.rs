//! Lines and payloads: their ends, and independence of how their bytes are split (L1, L5, L13, T26).

use super::start::{code, heads, join, line_config, line_ring, refusal, ruled};
use support::network::World;
use support::{ms, secs};
use taketurns::protocol::turns::Epoch;

/// T26: a line that is too long or not UTF-8 ends the connection with that reason.
#[test]
fn t26_lines_that_are_too_long_or_not_utf8_end_the_connection() {
    let pad = |length: usize, end: &str| format!("PING x={}{end}", "x".repeat(length - 7)).into_bytes();
    let cases: [(Vec<u8>, &str); 7] = [
        (pad(1024, "\n"), "PONG"),
        (pad(1024, "\r\n"), "PONG"),
        (pad(1025, "\n"), "too-long"),
        (vec![b'x'; 1026], "too-long"),
        (vec![b'x'; 100_000], "too-long"),
        (b"PING x=\xff\n".to_vec(), "not-utf8"),
        (b"PING x=\xc0\xaf\n".to_vec(), "not-utf8"),
    ];
    for seed in 0..10 {
        for (bytes, reply) in &cases {
            let mut world = World::new(line_config(), seed);
            let ann = join(&mut world, "ann");
            world.say_bytes(ann.peer, bytes);
            if *reply == "PONG" {
                assert_eq!(world.heard(ann.peer), ["PONG"]);
                continue;
            }
            assert_eq!(
                (refusal(&mut world, ann.peer), world.is_open(ann.peer)),
                ((*reply).to_owned(), false)
            );
            super::start::resume(&mut world, &ann);
        }
    }
}

/// T26: a `JOIN` or `WATCH` may have 8,192 bytes, because it carries a token.
#[test]
fn t26_a_join_may_be_longer() {
    for (length, end, is_taken) in [(8192, "\n", true), (8192, "\r\n", true), (8193, "\n", false)] {
        for head in ["JOIN ann token=", "WATCH token="] {
            let mut world = World::new(line_config(), 1);
            let peer = world.connect();
            world.say_bytes(peer, format!("{head}{}{end}", "x".repeat(length - head.len())).as_bytes());
            let heard = world.heard(peer);
            let expected = if is_taken { "W" } else { "BYE too-long" };
            assert!(heard[0].starts_with(expected), "{length}: {heard:?}");
        }
    }
}

/// L1: every split of the same bytes gives the same replies, even with `\r
/// `, and with payloads that look like lines.
#[test]
fn l01_every_split_of_the_bytes_means_the_same() {
    let config = ruled(|rules| rules.min_seats = 1);
    let text = |epoch: Epoch| {
        format!(
            "JOIN ann\r\nPING\nANSWER turn=1 epoch={epoch} :1\n\r\nx y z\nPASS turn=2\n\
             ANSWER turn=3 epoch={epoch} bytes=12\nLEAVE\nPING\r\n\n\
             ANSWER turn=9 bytes=6\nLEAVE\n\nXYZ bytes=3\nab\n\n\
             ANSWER turn=4 epoch={epoch} bytes=0\n\nWATCH\nLEAVE\n"
        )
    };
    let hear = |cut: Option<usize>, seed| {
        let mut world = World::new(config.clone(), seed);
        let text = text(world.server().epoch());
        let bytes = text.as_bytes();
        world.chunking = false;
        let ann = world.connect();
        match cut {
            Some(cut) => {
                world.say_bytes(ann, &bytes[..cut]);
                world.say_bytes(ann, &bytes[cut..]);
            }
            None => {
                world.chunking = seed > 0;
                world.say_bytes(ann, bytes);
            }
        }
        let answers: Vec<_> = world.answers.iter().map(|answer| answer.bytes.clone()).collect();
        (world.heard(ann)[1..].to_vec(), answers)
    };
    let whole = hear(None, 0);
    assert_eq!(whole.1, [&b"1"[..], b"LEAVE\nPING\r\n", b""]);
    assert_eq!(whole.0.len(), 16, "{:#?}", whole.0);
    for seed in 1..200 {
        assert_eq!(hear(None, seed), whole, "seed {seed}");
    }
    for cut in 1..text(Epoch(0)).len() {
        assert_eq!(hear(Some(cut), 0), whole, "cut after {cut}");
    }
}

/// L1, M1: payloads of every size, split anywhere, arrive as they were sent.
#[test]
fn l01_payloads_of_every_size_arrive_whole() {
    let sizes = (0..40).chain([100, 1000, 1023, 1024, 1025, 4096, 16 * 1024 - 1, 16 * 1024]);
    let mut world = World::new(ruled(|rules| rules.min_seats = 1), 1);
    let ann = join(&mut world, "ann hear=turns");
    for (turn, size) in (1..).zip(sizes) {
        for _ in 0..3 {
            // A refused payload is skipped in the same way.
            let noise: Vec<u8> = (0..size).map(|_| world.rng.u8(..)).collect();
            world.say_bytes(
                ann.peer,
                &[format!("ANSWER turn=99999 bytes={size}\n").as_bytes(), &noise, b"\n"].concat(),
            );
        }
        assert!(heads(&world.heard(ann.peer)).ends_with(&[
            "NO stale-turn turn=99999".to_owned(),
            "NO stale-turn turn=99999".to_owned(),
            "NO stale-turn turn=99999".to_owned()
        ]));
        let answer: Vec<u8> = (0..size).map(|_| world.rng.u8(..)).collect();
        let message = [format!("ANSWER turn={turn} bytes={size}\n").as_bytes(), &answer, b"\n"].concat();
        world.say_bytes(ann.peer, &message);
        assert_eq!(world.answers.last().map(|last| (last.turn, &last.bytes)), Some((turn, &answer)));
        let heard = world.heard_bytes(ann.peer);
        let shown =
            std::str::from_utf8(&answer).is_ok_and(|text| !text.chars().any(|c| c.is_control() && c != '\t'));
        if !(shown && size < 900) {
            let told = [format!("TURN ann turn={turn} bytes={size}\n").as_bytes(), &answer, b"\n"].concat();
            assert!(heard.windows(told.len()).any(|part| part == told), "{size}");
        }
    }
}

/// L13: `bytes=` is framing, whatever else is wrong with its line. Text from a user is never executed as
/// commands.
#[test]
fn l13_a_payload_is_skipped_whatever_is_wrong_with_its_line() {
    for (line, expected) in [
        ("ANSWER turn=3 turn=4 bytes=6", "malformed"),
        ("ANSWER turn=3 bytes=6", "stale-turn"),
        ("ANSWER word turn=1 bytes=6", "malformed"),
        ("ANSWER turn=x bytes=6", "malformed"),
        ("XYZ bytes=6", "malformed"),
        ("PING bytes=6", "malformed"),
        ("LEAVE bytes=6", "malformed"),
        ("JOIN bob bytes=6", "malformed"),
        ("bytes=6", "malformed"),
        ("ANSWER  bytes=6", "malformed"),
        ("ANSWER turn=1 bytes=6 ", "malformed"),
        ("nonsense bytes=6", "malformed"),
    ] {
        for seed in 0..8 {
            let (mut world, [ann, _]) = line_ring(line_config(), ["ann", "bob"]);
            world.rng.seed(seed);
            world.say_bytes(ann.peer, format!("{line}\nLEAVE\n\nPING\n").as_bytes());
            let heard = world.heard(ann.peer);
            assert_eq!(heard.len(), 2, "{line:?}: {heard:?}");
            assert_eq!((code(&heard[0]).as_str(), heard[1].as_str()), (expected, "PONG"), "{line:?}");
            assert!(world.is_open(ann.peer));
        }
    }
}

/// L13: if the end of a message cannot be found, the connection is closed.
#[test]
fn l13_a_payload_whose_end_cannot_be_found_ends_the_connection() {
    for message in [
        "ANSWER bytes=3 bytes=4\nabc\n",
        "ANSWER bytes=x\n",
        "ANSWER bytes=-1\n",
        "ANSWER bytes=\n",
        "ANSWER bytes=+1\nx\n",
        "ANSWER bytes=99999999999999999999\n",
        "ANSWER bytes=262145\n",
        "ANSWER bytes=3 :abc\nabc\n",
        "ANSWER turn=1 bytes=3\nabcd\n",
        "ANSWER turn=9 bytes=3\nabcd\n",
        "XYZ bytes=3\nabcd\n",
    ] {
        for seed in 0..4 {
            let (mut world, [ann, _]) = line_ring(line_config(), ["ann", "bob"]);
            world.rng.seed(seed);
            world.say_bytes(ann.peer, format!("{message}PING\n").as_bytes());
            let heard = world.heard(ann.peer);
            assert_eq!(
                heard.last().map(|line| code(line)).as_deref(),
                Some("malformed"),
                "{message:?}: {heard:?}"
            );
            assert!(heard.last().is_some_and(|line| line.starts_with("BYE ")));
            assert!(!world.is_open(ann.peer) && world.answers.is_empty());
        }
    }
}

/// L13: at most 16 times the longest answer is skipped.
#[test]
fn l13_the_longest_skipped_payload_is_limited() {
    let (mut world, [ann, _]) = line_ring(line_config(), ["ann", "bob"]);
    let size = 16 * 16 * 1024;
    world.say_bytes(
        ann.peer,
        format!(
            "ANSWER turn=1 bytes={size}\n{}\nPING\n",
            "LEAVE\n".repeat(size / 6 + 1).get(..size).expect("long enough")
        )
        .as_bytes(),
    );
    assert_eq!(heads(&world.heard(ann.peer)), ["NO too-large turn=1 within=30000", "PONG"]);
}

/// L5: the payload of an answer that will be refused is not stored, so waiting for it costs no memory.
#[test]
fn l05_a_payload_that_will_be_refused_is_not_kept() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.chunking = false;
    for (peer, line) in [
        (bob.peer, "ANSWER bytes=16000"),
        (ann.peer, "ANSWER turn=9 bytes=16000"),
        (ann.peer, "ANSWER bytes=200000"),
    ] {
        world.say_bytes(peer, format!("{line}\n").as_bytes());
        assert_eq!(world.heard(peer).len(), 1, "{line}: it is refused before its payload comes");
        for _ in 0..4 {
            world.say_bytes(peer, &[b'x'; 4000]);
            assert_eq!(world.heard(peer), [""; 0]);
        }
        if line.ends_with("200000") {
            world.say_bytes(peer, &vec![b'x'; 184_000]);
        }
        world.say_bytes(peer, b"\nPING\n");
        assert_eq!(world.heard(peer), ["PONG"], "{line}");
    }
}

/// L5: an answer whose turn lapses while its payload arrives is refused, and the rest is skipped.
#[test]
fn l05_a_turn_that_lapses_while_its_payload_arrives() {
    let config = ruled(|rules| rules.turn_deadline = secs(4));
    let (mut world, [ann, bob]) = line_ring(config, ["ann", "bob"]);
    world.chunking = false;
    world.say_bytes(ann.peer, b"ANSWER turn=1 bytes=6\nLEA");
    world.drive_for(secs(4));
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=4000"]);
    world.say_bytes(ann.peer, b"VE\n\nPING\n");
    assert_eq!(heads(&world.heard(ann.peer)), ["LAPSED turn=1", "NO stale-turn turn=1", "PONG"]);
    assert!(world.is_open(ann.peer));
}

/// L13: a line must end within `line_timeout`, and a payload must not pause for longer than that.
#[test]
fn l13_a_payload_must_not_pause() {
    for turn in [1, 9] {
        let (mut world, [ann, _]) = line_ring(line_config(), ["ann", "bob"]);
        world.chunking = false;
        world.say_bytes(ann.peer, format!("ANSWER turn={turn} bytes=100\n").as_bytes());
        for _ in 0..5 {
            world.drive_for(secs(5) - ms(1));
            world.say_bytes(ann.peer, b"x");
            assert!(world.is_open(ann.peer), "turn {turn}");
        }
        world.drive_for(secs(5) - ms(1));
        assert!(world.is_open(ann.peer), "turn {turn}");
        world.drive_for(ms(1));
        let heard = world.heard(ann.peer);
        assert_eq!(heard.last().map(|line| code(line)).as_deref(), Some("line-timeout"), "turn {turn}");
    }
}
