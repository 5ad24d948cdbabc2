//! Refused input and closed clients: too long, not UTF-8, too slow, silent, too many, not reading (E4, A2,
//! A3). The log is tested in `log.rs`.

use support::text;
use taketurns::protocol::echo::{EchoEvent, EchoServerConfig};
use taketurns::protocol::{AbortReason, Intent, Protocol};

use super::world::{KIB64, READ_BYTES_MAX, World, answer};

// ---- E4: messages that are none ------------------------------------------------------------------------

#[test]
fn e04_64_kib_are_answered_and_a_byte_more_is_an_error() {
    for end in ["", "\n", "\r\n", "half-close"] {
        for (length, fits) in [(KIB64 - 1, true), (KIB64, true), (KIB64 + 1, false), (KIB64 + 2, false)] {
            let mut world = World::new();
            let ann = world.connect();
            let message = text(length);
            world.say(ann, format!("{message}{}", if end == "half-close" { "" } else { end }));
            if end == "half-close" {
                world.half_close(ann);
            }
            world.wait(50);
            match fits {
                true => world.assert_answered(ann, &message),
                false => world.assert_refused(ann, "longer than 65536 bytes"),
            }
        }
    }
}

/// A `\r` before the newline is not part of the message, even if the newline has not arrived yet.
#[test]
fn e04_the_end_of_64_kib_may_come_in_pieces() {
    let long = text(KIB64);
    for keep_open in [false, true] {
        let mut world = if keep_open { World::keep_open() } else { World::new() };
        let ann = world.connect();
        for piece in [&*long, "\r", "\n"] {
            world.say(ann, piece);
        }
        let end = if keep_open { "\n" } else { "" };
        assert!(world.heard(ann) == format!("Server received at 2026-11-21 16:00:00: {long}{end}"));
    }
}

#[test]
fn e04_a_message_without_end_is_refused_as_soon_as_it_is_too_long() {
    for mut world in [World::new(), World::keep_open()] {
        let ann = world.connect();
        for _ in 0..4 {
            assert!(world.is_open(ann));
            world.say(ann, [b'x'; READ_BYTES_MAX]);
        }
        world.say(ann, "xx");
        world.assert_refused(ann, "longer than 65536 bytes");
        let connection = world.peers[ann].id;
        assert_eq!(world.events(), [EchoEvent::Refused { connection }]);
    }
}

#[test]
fn e04_bytes_that_are_not_utf8_are_an_error() {
    for bytes in
        [&b"\xff"[..], b"Hello \xc3", b"\xed\xa0\x80", b"\xc0\x80\n", b"ok \xf0\x9f\x98 ok\r\n", b"\xfeE\n"]
    {
        for mut world in [World::new(), World::keep_open()] {
            let ann = world.connect();
            world.say(ann, bytes);
            world.half_close(ann);
            world.assert_refused(ann, "not UTF-8");
        }
    }
}

#[test]
fn e04_after_an_error_all_input_is_ignored() {
    let mut world = World::keep_open();
    let bob = world.connect();
    world.say(bob, b"one\n\xff\ntwo\n");
    assert_eq!(world.heard(bob), format!("{}Error: the message is not UTF-8\n", answer("one")));
    assert!(world.is_closed_gently(bob));
}

// ---- A2, A3: slow, silent, too many ---------------------------------------------------------------------

#[test]
fn a02_a_message_that_drips_is_refused_after_10_s() {
    for (mut world, first) in [(World::new(), 1_024), (World::keep_open(), 1)] {
        let ann = world.connect();
        world.wait(3_000);
        world.say(ann, text(first));
        for _ in 0..249 {
            world.wait(40);
            world.say(ann, "x");
        }
        assert!(world.is_open(ann));
        world.wait(40);
        world.assert_refused(ann, "did not end in time");
        assert_eq!(world.server.next_deadline(), None, "nothing is left of it");
    }
}

#[test]
fn a02_a_connection_without_a_message_is_closed_after_10_s_despite_whitespace() {
    for drip in ["", " ", "\n", "\r\n"] {
        let mut world = World::new();
        let ann = world.connect();
        for _ in 0..9 {
            world.wait(1_000);
            world.say(ann, drip);
        }
        world.wait(999);
        assert!(world.is_open(ann));
        world.wait(1);
        assert_eq!(world.heard(ann), "");
        assert!(!world.is_open(ann), "after {drip:?}");
    }
}

#[test]
fn a02_endless_whitespace_takes_no_memory_and_is_not_a_message() {
    let mut world = World::new();
    let ann = world.connect();
    for _ in 0..100 {
        world.say(ann, [b' '; READ_BYTES_MAX]);
    }
    assert!(world.is_open(ann));
    world.say(ann, "Hello\n");
    world.assert_answered(ann, "Hello");
}

#[test]
fn a02_one_client_more_than_the_maximum_is_turned_away() {
    let mut world = World::with(EchoServerConfig { max_clients: 2, ..EchoServerConfig::default() });
    let [ann, bob, zoe] = [(); 3].map(|()| world.connect());
    assert_eq!(world.peers[zoe].end, Some(Intent::Abort(AbortReason::Unwanted)));
    world.say(ann, "a");
    world.assert_answered(ann, "a");
    let cat = world.connect();
    for peer in [bob, cat] {
        world.say(peer, "b");
        world.assert_answered(peer, "b");
    }
}

#[test]
fn a02_nothing_is_kept_of_a_broken_connection() {
    for keep_open in [false, true] {
        let config = EchoServerConfig { keep_open, max_clients: 1, ..EchoServerConfig::default() };
        let mut world = World::with(config);
        let ann = world.connect();
        world.say(ann, text(2_000));
        world.lose(ann);
        assert_eq!(world.server.next_deadline(), None);
        let bob = world.connect();
        assert!(world.is_open(bob), "there is room again");
    }
}

#[test]
fn a02_random_bytes_in_random_pieces_never_break_the_server() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let keep_open = rng.bool();
        let mut world = World::with(EchoServerConfig {
            keep_open,
            message_bytes_max: 50,
            whole_bytes_max: 10,
            max_clients: 5,
            ..EchoServerConfig::default()
        });
        let mut answered = 0;
        for _ in 0..200 {
            match rng.u8(0..6) {
                0 => _ = world.connect(),
                1 => world.wait(rng.u64(0..3_000)),
                _ if world.peers.is_empty() => {}
                2 => world.half_close(rng.usize(0..world.peers.len())),
                3 => {
                    let peer = rng.usize(0..world.peers.len());
                    world.reads(peer, rng.bool());
                }
                _ => {
                    let peer = rng.usize(0..world.peers.len());
                    let alphabet = b"ab \r\n\xc3\xa4\xff";
                    let bytes: Vec<u8> =
                        (0..rng.usize(1..70)).map(|_| *rng.choice(alphabet).expect("some")).collect();
                    world.say(peer, bytes);
                }
            }
            answered += world.events().len();
        }
        if !keep_open {
            assert!(answered <= world.peers.len(), "seed {seed}: one answer per connection");
        }
        world.server.drain(world.now, &mut world.links);
        world.pass();
        for peer in 0..world.peers.len() {
            world.reads(peer, true);
        }
        assert!(world.peers.iter().all(|peer| peer.end.is_some()), "seed {seed}");
        assert_eq!(world.server.next_deadline(), None, "seed {seed}");
    }
}

#[test]
fn a03_a_peer_that_does_not_read_is_not_read_and_disturbs_no_other() {
    let mut world = World::keep_open();
    let [ann, bob] = [(); 2].map(|()| world.connect());
    world.reads(ann, false);
    let mut sent = 0;
    while sent < 256 * 1024 {
        world.say(ann, "0123456789\n".repeat(100));
        sent += 1_100;
        assert!(world.links.unsent(world.peers[ann].id).len() < 33 * 1024, "as much is queued as may be");
    }
    world.say(bob, "Hello\n");
    assert_eq!(world.heard(bob), answer("Hello"));
    world.reads(ann, true);
    assert_eq!(world.heard(ann).len(), sent / 11 * answer("0123456789").len(), "nothing is lost");
}

/// Its answers are longer than its messages, which is not its fault.
#[test]
fn a03_a_peer_that_reads_may_send_64_kib_of_lines_before_it_does() {
    for line in ["\n", "a\n", "0123456789\n", &format!("{}\n", text(20_000))] {
        let mut world = World::keep_open();
        let ann = world.connect();
        world.reads(ann, false);
        let count = KIB64 / line.len();
        world.say(ann, line.repeat(count));
        world.half_close(ann);
        assert!(world.is_open(ann));
        world.wait(5_000);
        world.reads(ann, true);
        assert_eq!(world.heard(ann).lines().count(), count);
        assert!(world.is_closed_gently(ann), "all is answered");
        assert!(world.heard(ann).split_inclusive('\n').all(|heard| heard.ends_with(line)));
    }
}

#[test]
fn a03_a_long_last_line_without_a_newline_waits_for_room_too() {
    let mut world = World::keep_open();
    let ann = world.connect();
    world.reads(ann, false);
    world.say(ann, format!("{}{}", "a\n".repeat(2_000), text(60_000)));
    world.half_close(ann);
    world.reads(ann, true);
    assert!(world.is_closed_gently(ann));
    assert!(world.heard(ann).ends_with(&answer(&text(60_000))));
}
