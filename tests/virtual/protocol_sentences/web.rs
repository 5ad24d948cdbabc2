//! WebSocket (W1 to W7): the same protocol, on the same address, for browsers.

use std::sync::Arc;
use std::time::Duration;

use support::network::{Peer, World, field};
use support::wire::{self, HEAD, Wires};
use support::{ms, secs};
use taketurns::protocol::turns::TurnServerConfig;
use taketurns::web_socket::WebSocket;

use super::start::{auto_config, line_config, raw_config};

fn world(config: TurnServerConfig) -> World {
    let mut world = World::new(config, 1);
    offer(&mut world);
    world
}

fn offer(world: &mut World) {
    world.offer(Wires { web: || Box::new(|| Box::new(WebSocket::new(Arc::default()))), tls: None });
}

/// Returns a frame as a browser sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    wire::frame(first, payload, [1, 2, 3, 4])
}

fn text(line: &str) -> Vec<u8> {
    frame(0x81, line.as_bytes())
}

/// Returns the server's frames: texts as they are, others with their opcode in front.
fn frames(mut bytes: Vec<u8>) -> Vec<String> {
    let show = |(first, payload): (u8, Vec<u8>)| match (first, &payload[..]) {
        (0x81, text) => String::from_utf8(text.to_vec()).expect("UTF-8"),
        (0x88, [high, low, reason @ ..]) => {
            format!("close {} {}", u16::from_be_bytes([*high, *low]), reason.escape_ascii())
        }
        (first, payload) => format!("{first:x} {}", payload.escape_ascii()),
    };
    let frames = std::iter::from_fn(|| wire::take_frame(&mut bytes)).map(show).collect();
    assert!(bytes.is_empty(), "the last frame is not complete");
    frames
}

/// Opens a WebSocket and completes its handshake.
fn socket(world: &mut World) -> Peer {
    let peer = world.connect();
    world.say_bytes(peer, HEAD.as_bytes());
    let heard = String::from_utf8(world.heard_bytes(peer)).expect("text");
    assert!(
        heard.starts_with("HTTP/1.1 101 ")
            && heard.contains("\r\nSec-WebSocket-Protocol: taketurns.line.1\r\n")
    );
    assert!(heard.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    peer
}

fn heard(world: &mut World, peer: Peer) -> Vec<String> {
    frames(world.heard_bytes(peer))
}

/// Returns the lines that `peer` gets after it has sent `bytes`.
fn told(world: &mut World, peer: Peer, bytes: &[u8]) -> Vec<String> {
    world.say_bytes(peer, bytes);
    heard(world, peer)
}

/// W1: on the same address as lines, alone or together with raw clients, however the bytes are split.
#[test]
fn w1_a_text_message_is_a_line() {
    for config in [auto_config(), line_config()] {
        for cut in 1..HEAD.len() {
            let mut world = world(config.clone());
            let peer = world.connect();
            world.say_bytes(peer, &HEAD.as_bytes()[..cut]);
            assert!(world.heard_bytes(peer).is_empty());
            world.say_bytes(peer, &HEAD.as_bytes()[cut..]);
            assert!(world.heard_bytes(peer).starts_with(b"HTTP/1.1 101 "), "cut at {cut}");
            let told = told(&mut world, peer, &text("JOIN ann"));
            assert!(told[0].starts_with("WELCOME ann ") && !told[0].contains('\n'), "{told:?}");
        }
    }
}

/// W1: if WebSocket is off, or the client requests something else, nothing after the first line counts.
#[test]
fn w1_other_requests_are_turned_out() {
    let mut off = World::new(auto_config(), 1);
    let peer = off.connect();
    off.say_bytes(peer, format!("{HEAD}JOIN ann\n").as_bytes());
    assert!(off.heard_lines(peer)[0].starts_with("BYE not-here "));
    for head in [HEAD.replace("GET", "POST"), HEAD.replace("GET", "OPTIONS")] {
        let mut world = world(auto_config());
        let peer = world.connect();
        world.say_bytes(peer, format!("{head}JOIN ann\n").as_bytes());
        assert!(world.heard_lines(peer)[0].starts_with("BYE not-here "));
        assert_eq!((world.is_open(peer), world.server().scheduler().seats()), (false, 0));
    }
    let mut raw = world(raw_config());
    let peer = raw.connect();
    raw.say_bytes(peer, HEAD.as_bytes());
    raw.drive_for(secs(1));
    assert!(!raw.is_open(peer), "raw messages have no lines");
    let mut world = world(auto_config());
    let peer = world.connect();
    world.say_bytes(peer, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nJOIN ann\n");
    let heard = String::from_utf8(world.heard_bytes(peer)).expect("text");
    assert!(
        heard.starts_with("HTTP/1.1 426 ") && heard.ends_with("\r\n\r\nonly WebSockets are served here\n")
    );
    world.drive_for(secs(2));
    assert_eq!((world.is_open(peer), world.connections(), world.server().clients()), (false, 0, 0));
}

/// W2
#[test]
fn w2_a_payload_is_a_binary_message() {
    let mut world = world(auto_config());
    let [ann, bob] = [(); 2].map(|()| socket(&mut world));
    world.say_bytes(ann, &text("JOIN ann"));
    world.say_bytes(bob, &text("JOIN bob hear=turns"));
    heard(&mut world, ann);
    heard(&mut world, bob);
    let answer = [text("ANSWER turn=1 bytes=3"), frame(0x02, b"a"), frame(0x80, b"\nb")].concat();
    assert_eq!(told(&mut world, ann, &answer)[0], "OK turn=1");
    assert_eq!(world.accepted(), ["ann:a\nb"]);
    let heard = heard(&mut world, bob);
    let at = heard.iter().position(|line| line.starts_with("TURN ann ")).expect("it hears the turn");
    assert_eq!(&heard[at..at + 2], ["TURN ann turn=1 bytes=3", "82 a\\nb"]);
    for (said, close) in [
        ([text("ANSWER bytes=3"), frame(0x82, b"ab")].concat(), "close 1002 "),
        ([text("ANSWER bytes=3"), frame(0x82, b"abcd")].concat(), "close 1002 "),
        ([text("ANSWER bytes=3"), text("abc")].concat(), "close 1002 "),
        (frame(0x82, b"PING\n"), "close 1002 "),
        (text("PING\nLEAVE"), "close 1008 malformed"),
    ] {
        let peer = socket(&mut world);
        let told = told(&mut world, peer, &said);
        assert!(told.last().is_some_and(|last| last.starts_with(close)), "{told:?}");
        assert!(!world.is_open(peer));
    }
}

/// W3, W4: a page of another origin, or one whose name was made to resolve to this address, cannot play.
#[test]
fn w3_w4_a_page_of_another_origin_is_refused_and_nothing_of_it_counts() {
    for (field, other) in [
        ("Origin: http://10.0.0.1:5001", "Origin: http://evil.example"),
        ("Origin: http://10.0.0.1:5001", "Origin: null"),
        ("Origin: http://10.0.0.1:5001", "Origin: http://10.0.0.1:5002"),
        (
            "Host: 10.0.0.1:5001\r\nOrigin: http://10.0.0.1:5001",
            "Host: evil.example\r\nOrigin: http://evil.example",
        ),
    ] {
        let mut world = world(auto_config());
        let peer = world.connect();
        let said = [HEAD.replace(field, other).as_bytes(), &text("JOIN ann"), b"JOIN ann\n"].concat();
        world.say_bytes(peer, &said);
        let heard = String::from_utf8(world.heard_bytes(peer)).expect("text");
        assert!(heard.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{other}: {heard}");
        world.drive_for(secs(2));
        assert_eq!((world.is_open(peer), world.server().scheduler().seats()), (false, 0));
    }
    // A program other than a browser sends no origin.
    let mut world = world(auto_config());
    let peer = world.connect();
    world.say_bytes(peer, HEAD.replace("Origin: http://10.0.0.1:5001\r\n", "").as_bytes());
    assert!(world.heard_bytes(peer).starts_with(b"HTTP/1.1 101 "));
}

/// W5
#[test]
fn w5_the_close_has_the_code_of_the_goodbye() {
    let mut world = world(auto_config());
    let [ann, other, watcher] = [(); 3].map(|()| socket(&mut world));
    let welcome = told(&mut world, ann, &text("JOIN ann"))[0].clone();
    let resume = format!("JOIN ann resume={}", field(&welcome, "resume"));
    for (said, bye, close) in [
        ("JOIN ann", "BYE name-taken ", "close 1008 name-taken"),
        ("JOIN ann resume=0123456789abcdef0123456789abcdef", "BYE bad-secret ", "close 1008 bad-secret"),
        (&format!("PING {}", "x".repeat(1100)), "BYE too-long ", "close 1009 too-long"),
        ("PONG", "NO malformed ", ""),
    ] {
        let peer = socket(&mut world);
        let told = told(&mut world, peer, &text(said));
        assert!(told[0].starts_with(bye), "{told:?}");
        assert_eq!(told.get(1).map_or("", String::as_str), close);
        assert_eq!(world.is_open(peer), close.is_empty());
    }
    let told_watcher = told(&mut world, watcher, &[text("WATCH"), text("LEAVE")].concat());
    assert_eq!(told_watcher.last().map(String::as_str), Some("close 1000 left"));
    let welcome = told(&mut world, other, &text(&resume));
    assert!(welcome[0].starts_with("WELCOME ann "), "{welcome:?}");
    let told = heard(&mut world, ann);
    assert!(told[told.len() - 2].starts_with("BYE superseded "), "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("close 1008 superseded"));
    world.drain();
    world.drive_for(secs(4));
    let told = heard(&mut world, other);
    assert_eq!(told.last().map(String::as_str), Some("close 1001 shutting-down"), "{told:?}");
}

/// W5: the client's close frame ends its input, and its seat is kept.
#[test]
fn w5_a_client_that_closes_is_away() {
    let mut world = world(auto_config());
    let ann = socket(&mut world);
    world.say_bytes(ann, &text("JOIN ann"));
    heard(&mut world, ann);
    assert_eq!(told(&mut world, ann, &frame(0x88, b"\x03\xe9")), ["close 1001 "]);
    world.drive_for(secs(2));
    assert_eq!((world.connections(), world.server().scheduler().seats()), (0, 1));
    world.drive_for(secs(60));
    assert_eq!(world.server().scheduler().seats(), 0);
}

/// W6: WebSockets, lines and raw clients take turns in one ring.
#[test]
fn w6_a_browser_plays_with_all_other_clients() {
    let mut world = world(auto_config());
    let web = socket(&mut world);
    world.say_bytes(web, &text("JOIN web"));
    let line = world.connect();
    world.say_line(line, "JOIN line");
    let raw = world.connect();
    world.drive_for(ms(400));
    world.heard_raw(raw);
    for round in 0..3 {
        let first = 3 * round + 1;
        world.say_bytes(web, &text(&format!("ANSWER turn={first} :w{round}")));
        world.say_line(line, &format!("ANSWER turn={} :l{round}", first + 1));
        world.say_bytes(raw, format!("old:{round}").as_bytes());
        world.drive_for(ms(100));
    }
    assert_eq!(
        world.accepted(),
        ["web:w0", "line:l0", "old:0", "web:w1", "line:l1", "old:1", "web:w2", "line:l2", "old:2"]
    );
}

/// W6: it is never taken for a raw client, and has to join in time like any other.
#[test]
fn w6_a_socket_that_does_not_join_is_closed() {
    for config in [auto_config(), line_config()] {
        let mut world = world(config);
        let [half, silent] = [(); 2].map(|()| world.connect());
        world.say_bytes(half, &HEAD.as_bytes()[..50]);
        world.say_bytes(silent, HEAD.as_bytes());
        world.drive_for(secs(9));
        assert!(world.heard_bytes(half).is_empty() && world.is_open(half) && world.is_open(silent));
        world.heard_bytes(silent);
        world.drive_for(secs(2));
        assert!(world.heard_bytes(half).starts_with(b"HTTP/1.1 408 "));
        let told = heard(&mut world, silent);
        assert!(told[0].starts_with("BYE hello-timeout "), "{told:?}");
        assert_eq!(told[1], "close 1008 hello-timeout");
        world.drive_for(secs(2));
        assert_eq!(world.connections(), 0);
    }
}

/// W6: a message cannot begin another handshake.
#[test]
fn w6_there_is_one_handshake() {
    let mut world = world(line_config());
    let peer = socket(&mut world);
    let told = told(&mut world, peer, &text("GET / HTTP/1.1"));
    assert!(told[0].starts_with("BYE not-here "), "{told:?}");
}

/// W6: the queue of a browser that does not read is limited like any other.
#[test]
fn w6_a_browser_that_does_not_read_is_closed() {
    let mut world = World::with_driver(line_config(), 1, |driver| driver.out_bytes_max = 70_000);
    offer(&mut world);
    let peer = socket(&mut world);
    world.stop_reading(peer, 0);
    for _ in 0..20_000 {
        world.queue_bytes(peer, &frame(0x89, &[b'x'; 100]));
    }
    world.drive_for(secs(1));
    assert!(!world.is_open(peer), "it asks for more than it reads");
}

/// W7
#[test]
fn w7_pings_are_answered_and_sent_if_requested() {
    let mut world =
        World::with_driver(auto_config(), 1, |driver| driver.wire_ping = Some(Duration::from_secs(20)));
    offer(&mut world);
    let peer = socket(&mut world);
    world.say_bytes(peer, &text("JOIN ann"));
    heard(&mut world, peer);
    assert_eq!(told(&mut world, peer, &frame(0x89, b"x")), ["8a x"]);
    world.drive_for(secs(45));
    assert_eq!(heard(&mut world, peer), ["89 ", "89 "]);
    // The PING of the line protocol is a line like any other.
    assert_eq!(told(&mut world, peer, &text("PING")), ["PONG"]);
}
