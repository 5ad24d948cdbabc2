//! Other protocols, and secrets that must not be written anywhere (L6, L7).

use support::network::World;
use support::{ms, secs};
use taketurns::protocol::turns::Framing;

use super::start::{
    admitting_config, auto_config, config, join, line_config, line_ring, raw_config, refusal,
};
use crate::logged::{listen_to_log, take_log};

const FOREIGN: [&[u8]; 10] = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\nJOIN ann\n",
    b"GET / HTTP/1.1\r\n",
    b"POST /a?b HTTP/1.0\nANSWER :1\nJOIN ann\nANSWER :1\n",
    b"OPTIONS * HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\nJOIN ann\n",
    b"SSH-2.0-OpenSSH_9.6\r\nJOIN ann\n",
    b"\x1b[2J\nJOIN ann\n",
    b"a:\xff1\nJOIN ann\n",
    b"JOIN a\x00nn\nJOIN ann\n",
    b"\x05\x01\x00\nJOIN ann\n",
];

/// L6: another protocol is closed at its first line, before anything after it counts.
#[test]
fn l06_another_protocol_is_closed_at_its_first_line() {
    for framing in [Some(Framing::Line), None, Some(Framing::Raw)] {
        for seed in 0..6 {
            for bytes in FOREIGN {
                let mut world = World::new(config(framing), 1);
                world.rng.seed(seed);
                world.chunking = seed > 0 && framing != Some(Framing::Raw);
                let peer = world.connect();
                world.say_bytes(peer, bytes);
                world.drive_for(ms(60));
                let shown = bytes.escape_ascii();
                assert!(!world.is_open(peer), "{framing:?}: {shown}");
                let heard = world.heard_lines(peer);
                if framing == Some(Framing::Raw) {
                    assert_eq!(heard, [""; 0], "{shown}");
                } else {
                    assert!(
                        heard.len() == 1 && heard[0].starts_with("BYE not-here "),
                        "{framing:?}: {shown}: {heard:?}"
                    );
                }
                assert!(world.answers.is_empty());
                world.drive_for(secs(61));
                assert_eq!(world.server().scheduler().seats(), 0, "{framing:?}: {shown}");
            }
        }
    }
}

/// L6: a web page chooses how long its address is, and so which of its bytes arrive alone.
#[test]
fn l06_a_request_line_that_is_longer_than_any_message_is_closed_too() {
    let framings = [Some(Framing::Line), None, Some(Framing::Raw)];
    for (framing, method) in framings.into_iter().flat_map(|framing| [(framing, "POST"), (framing, "x")]) {
        let mut single = config(framing);
        single.rules.min_seats = 1;
        let mut world = World::new(single, 1);
        let page = world.connect();
        world.say_bytes(page, format!("{method} /{}", "a".repeat(2_000)).as_bytes());
        world.drive_for(ms(60));
        assert!(!world.is_open(page), "{framing:?}: it is still heard");
        world.say_bytes(page, b" HTTP/1.1\r\n\r\n");
        world.drive_for(ms(60));
        world.say_bytes(
            page,
            if framing == Some(Framing::Raw) { b"mallory:1" } else { b"JOIN mallory\nANSWER :1\n" },
        );
        world.drive_for(secs(1));
        assert!(world.answers.is_empty(), "{framing:?}");
    }
}

/// L6: once a client has begun, such a line is merely malformed.
#[test]
fn l06_only_the_first_line_is_examined() {
    let (mut world, [ann, _]) = line_ring(line_config(), ["ann", "bob"]);
    for line in ["GET / HTTP/1.1", "SSH-2.0-x", "\u{1b}[2J"] {
        world.say(ann.peer, line);
        assert_eq!((refusal(&mut world, ann.peer), world.is_open(ann.peer)), ("malformed".to_owned(), true));
    }
    let watcher = world.connect();
    world.say(watcher, "WATCH");
    world.heard(watcher);
    world.say_bytes(watcher, b"\xff\n");
    assert_eq!(refusal(&mut world, watcher), "not-utf8");
}

/// L6: its first line is logged.
#[test]
fn l06_other_protocols_are_logged_with_their_first_line() {
    listen_to_log();
    let mut world = World::new(line_config(), 1);
    take_log();
    for _ in 0..20 {
        let peer = world.connect();
        world.say_bytes(peer, b"GET / HTTP/1.1\r\n\r\n");
    }
    let log = take_log();
    let closings = log.iter().filter(|(_, line)| line.contains("not-here")).count();
    let said = log.iter().filter(|(_, line)| line.contains("GET / HTTP/1.1")).count();
    assert_eq!((closings, said, log.len()), (20, 20, 40), "{log:?}");
}

/// L6, A4: what people cannot read has a name in the log, and the beginning of the rest is enough.
#[test]
fn l06_a_tls_hello_is_logged_by_its_name() {
    for config in [line_config(), auto_config(), raw_config()] {
        listen_to_log();
        let mut world = World::new(config, 1);
        take_log();
        for hello in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &[b'\xff'; 500], &[b'\x01'; 500]]
        {
            let peer = world.connect();
            world.say_bytes(peer, hello);
            world.drive_for(secs(1));
            assert!(!world.is_open(peer));
        }
        let log = take_log();
        let refusals: Vec<&str> =
            log.iter().filter_map(|(_, line)| line.split_once("refused ")).map(|(_, what)| what).collect();
        let [tls, long @ ..] = &refusals[..] else { panic!("{log:?}") };
        assert_eq!(*tls, "(malformed): it speaks TLS, and this address does not");
        assert_eq!(long.len(), 2, "{log:?}");
        assert!(long.iter().all(|line| line.len() < 4 * 64 + 30 && line.ends_with("\"...")), "{log:?}");
    }
}

/// L6: a connection that has not joined is closed at its second malformed line.
#[test]
fn l06_a_newcomer_is_closed_at_its_second_malformed_line() {
    let mut world = World::new(line_config(), 1);
    let peer = world.connect();
    for line in ["PING", "JOIN x weight=7", "hello", "PASS", "JOIN x weight=7", "PING"] {
        world.say(peer, line);
        assert!(world.is_open(peer), "{line}");
    }
    world.heard(peer);
    world.say(peer, "hello\nJOIN ann");
    assert_eq!((refusal(&mut world, peer), world.is_open(peer)), ("malformed".to_owned(), false));
    assert_eq!(world.server().scheduler().seats(), 0);
    // It hears what was wrong with that line.
    for (second, why) in [
        ("JOIN", "JOIN needs a name, as in JOIN ann"),
        ("JOIN a b", "a name has no spaces; what follows it is key=value"),
        ("ANSWER 1 2", "the text of an answer begins with \":\", as in ANSWER :e2e4"),
    ] {
        let peer = world.connect();
        world.say(peer, "join ann");
        assert_eq!(world.heard(peer), ["NO malformed :a line begins with a verb in capitals, such as JOIN"]);
        world.say(peer, second);
        let last = format!("BYE malformed :{why}; this was the second malformed line");
        assert_eq!((world.heard(peer), world.is_open(peer)), (vec![last], false));
    }
    let peer = world.connect();
    world.say(peer, "ANSWER bytes=1 bytes=1");
    assert_eq!(world.heard(peer), ["BYE malformed :the end of a message cannot be found"]);
}

/// L7: the values of `resume=` and `token=` never reach the log, an event or a reply, even from a refused
/// line.
#[test]
fn l07_secrets_are_never_logged() {
    listen_to_log();
    let secret = "0123456789abcdef0123456789abcdef";
    let lines = [
        format!("JOIN ann resume={secret}"),
        format!("JOIN a:b resume={secret}"),
        format!("JOIN ann token={secret} token={secret}"),
        format!("JOIN ann weight=x token={secret}"),
        format!("WATCH ring=: token={secret}"),
        format!("JOIN  token={secret}"),
        format!("join ann resume={secret}"),
        format!("XYZ resume={secret} bytes=2\nab"),
        format!("JOIN ann resume={secret}\u{1}"),
        format!("JOIN ann token={secret} resume={secret} :x"),
        format!("JOIN ann\ttoken={secret}"),
        format!("JOIN ann resume={secret}{}", "x".repeat(9000)),
    ];
    for line in &lines {
        let mut world = World::new(line_config(), 1);
        let newcomer = world.connect();
        world.say(newcomer, line);
        let seated = join(&mut world, "zoe");
        world.say(seated.peer, line);
        for peer in [newcomer, seated.peer] {
            let heard = world.heard(peer).join("\n");
            assert!(!heard.contains(secret), "{line:?}: {heard:?}");
        }
        let half = world.connect();
        world.say_bytes(half, line.as_bytes());
        world.half_close(half);
        let shown = format!("{:?}{:?}", world.events, world.joining);
        assert!(!shown.contains(secret), "{line:?}: {shown}");
    }
    let mut world = World::new(admitting_config(), 1);
    let peer = world.connect();
    world.say(peer, &format!("JOIN ann token={secret}"));
    assert!(!format!("{:?}", world.joining).contains(secret));
    for (_, line) in take_log() {
        assert!(!line.contains(secret), "{line}");
    }
}

/// L6: a page gets the seat of an old client on the same machine, but that client's messages do not vouch for
/// it.
#[test]
fn l06_a_seat_that_a_raw_client_has_left_does_not_vouch_for_the_next_one() {
    for framing in [Some(Framing::Raw), None] {
        let mut single = config(framing);
        single.rules.min_seats = 1;
        let mut world = World::new(single, 1);
        world.next_address = Some([127, 0, 0, 1].into());
        let old = world.connect();
        world.drive_for(secs(1));
        world.say_bytes(old, b"Client1:1");
        world.half_close(old);
        assert_eq!(world.accepted(), ["Client1:1"]);
        let page = world.connect();
        world.drive_for(secs(1));
        world.say_bytes(page, b"POST / HTTP/1.1\r\nHost: x\r\n\r\n");
        world.drive_for(secs(1));
        world.say_bytes(page, b"mallory:666");
        world.drive_for(secs(1));
        assert_eq!(world.accepted(), ["Client1:1"], "{framing:?}");
        assert!(!world.is_open(page), "{framing:?}");
    }
}

/// L6: the request line of a page may arrive in any pieces, long after each other, and its body long after
/// that.
#[test]
fn l06_a_request_line_that_comes_in_pieces_is_closed_too() {
    let rest = b"\r\nHost: 127.0.0.1:5001\r\nContent-Length: 11\r\n\r\n";
    let lines = [&b"POST / HTTP/1.1"[..], b"x / HTTP/1.1"];
    let framings = [Some(Framing::Raw), None, Some(Framing::Line)];
    for (line, framing) in lines.into_iter().flat_map(|line| framings.map(|framing| (line, framing))) {
        let cuts = (0..=line.len()).flat_map(|first| (first..=line.len()).map(move |second| (first, second)));
        for (first, second) in cuts {
            for pause in [ms(400), ms(20)] {
                let mut world = World::new(config(framing), 1);
                world.chunking = false;
                // Another client has the turn, so nothing from the page counts as a strike.
                let old = world.connect();
                world.drive_for(secs(1));
                let page = world.connect();
                let last = [&line[second..], rest].concat();
                for piece in [&line[..first], &line[first..second], &last] {
                    world.say_bytes(page, piece);
                    world.drive_for(pause);
                }
                world.say_bytes(old, b"Client1:1");
                world.drive_for(ms(400));
                for piece in [&b"mallory:666"[..], b"\nJOIN mallory\nANSWER :666\n"] {
                    world.say_bytes(page, piece);
                    world.drive_for(secs(1));
                }
                let cut = format!("{framing:?}: cut at {first} and {second}, {pause:?} apart");
                assert!(world.accepted().iter().all(|answer| answer == "Client1:1"), "{cut}");
                assert!(!world.is_open(page), "{cut}");
            }
        }
    }
}

/// L6: the address of a page does not play either, whichever piece of it looks like an answer.
#[test]
fn l06_no_piece_of_a_request_line_is_an_answer() {
    for pieces in [
        &["POST", " /x:5", " HTTP/1.1\r\n"][..],
        &["P", "UT", " ", "a:5"],
        &["GET", " /a:1"],
        &["17", " /a:1"],
        &["x ", "/a:1"],
    ] {
        let mut single = config(Some(Framing::Raw));
        single.rules.min_seats = 1;
        let mut world = World::new(single, 1);
        world.chunking = false;
        let page = world.connect();
        for piece in pieces {
            world.say_bytes(page, piece.as_bytes());
            world.drive_for(ms(400));
        }
        assert!(world.answers.is_empty() && !world.is_open(page), "{pieces:?}");
    }
}

/// L6: an old client may have a name that looks like the beginning of a request.
#[test]
fn l06_a_raw_name_may_look_like_a_method() {
    for (refused, name) in [(&["ANN", "ANN"][..], "GET"), (&[], "PUT x")] {
        let mut single = config(Some(Framing::Raw));
        single.rules.min_seats = 1;
        let mut world = World::new(single, 1);
        world.chunking = false;
        let old = world.connect();
        world.drive_for(secs(1));
        for message in refused {
            world.say_bytes(old, message.as_bytes());
            world.drive_for(ms(400));
        }
        world.say_bytes(old, format!("{name}:1").as_bytes());
        world.drive_for(ms(400));
        assert_eq!(world.accepted(), [format!("{name}:1")]);
    }
}
