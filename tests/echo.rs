//! Timestamped echo: each sentence of docs/PROTOCOL.md without sockets, in virtual time; then the programs, as processes, with each
//! other, with Python programs that behave as the legacy ones do (`tests/legacy`), and with bare sockets.

#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "real processes need real time")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use taketurns::protocol::echo::{
    EchoClient, EchoClientConfig, EchoClientEvent, EchoEvent, EchoServer, EchoServerConfig,
};
use taketurns::protocol::{AbortReason, CloseReason, ConnectionId, DialId, Links, Origin, Protocol, Wish};
use taketurns::time::{self, Now};

#[path = "support/bare.rs"]
mod bare;
#[path = "support/log.rs"]
mod logged;
#[path = "support/process/mod.rs"]
mod process;

use bare::{PATIENCE, connect, free_address};
use logged::{listen_to_log, take_log, times_logged};
use process::folder::Folder;
use process::input::{redirected, typed};
use process::programs::{example, legacy};
use process::{Process, Stream};

const KIB64: usize = 64 * 1024;
/// What one read brings at most, as the driver has it.
const READ_BYTES_MAX: usize = 16 * 1024;
const OUT_BYTES_MAX: usize = 64 * 1024;

// ---- a server without sockets -------------------------------------------------------------------------

struct World {
    server: EchoServer,
    links: Links,
    now: Now,
    peers: Vec<Peer>,
}

struct Peer {
    id: ConnectionId,
    heard: Vec<u8>,
    reads: bool,
    /// How it ended.
    end: Option<Wish>,
}

impl World {
    fn new() -> World {
        World::with(EchoServerConfig::default())
    }

    fn keep_open() -> World {
        World::with(EchoServerConfig { keep_open: true, ..EchoServerConfig::default() })
    }

    fn with(config: EchoServerConfig) -> World {
        // It says which seconds it was given.
        let stamp = Box::new(|wall: SystemTime| {
            let seconds = wall.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
            format!("2026-11-21 16:{:02}:{:02}", seconds / 60, seconds % 60)
        });
        World {
            server: EchoServer::new(config, stamp),
            links: Links::new(OUT_BYTES_MAX),
            now: Now::ORIGIN,
            peers: Vec::new(),
        }
    }

    fn connect(&mut self) -> usize {
        let port = 40_000 + u16::try_from(self.peers.len()).expect("few peers");
        let addr = ([10, 0, 0, 1], port).into();
        let id = self.links.open(addr);
        self.peers.push(Peer { id, heard: Vec::new(), reads: true, end: None });
        self.server.handle_open(self.now, id, addr, Origin::Accepted, &mut self.links);
        self.pass();
        self.peers.len() - 1
    }

    /// One readiness brings `bytes`.
    fn say(&mut self, peer: usize, bytes: impl AsRef<[u8]>) {
        for piece in bytes.as_ref().chunks(READ_BYTES_MAX) {
            if self.peers[peer].end.is_none() {
                self.server.handle_bytes(self.now, self.peers[peer].id, piece, &mut self.links);
                self.pass();
            }
        }
    }

    fn half_close(&mut self, peer: usize) {
        if self.peers[peer].end.is_none() {
            self.server.handle_end(self.now, self.peers[peer].id, &mut self.links);
            self.pass();
        }
    }

    /// Its connection breaks.
    fn lose(&mut self, peer: usize) {
        let Peer { id, end, .. } = &mut self.peers[peer];
        *end = Some(Wish::Abort(AbortReason::Unwanted));
        let reset = CloseReason::Broken(std::io::ErrorKind::ConnectionReset);
        self.server.handle_closed(self.now, *id, reset, &mut self.links);
        self.links.remove(*id);
        self.pass();
    }

    /// The peer reads again, or does not any more.
    fn reads(&mut self, peer: usize, reads: bool) {
        self.peers[peer].reads = reads;
        self.flush(peer);
        self.pass();
    }

    fn wait(&mut self, ms: u64) {
        let until = self.now.instant + Duration::from_millis(ms);
        while let Some(due) = self.server.next_deadline().filter(|due| *due <= until) {
            self.set_time(due.max(self.now.instant));
            self.pass();
        }
        self.set_time(until);
    }

    fn set_time(&mut self, instant: time::Instant) {
        self.now = Now { instant, wall: self.now.wall + (instant - self.now.instant) };
    }

    /// As the driver does it, until nothing is due.
    fn pass(&mut self) {
        for _ in 0..10_000 {
            if self.server.next_deadline().is_some_and(|due| due <= self.now.instant) {
                self.server.handle_timeout(self.now, &mut self.links);
            }
            self.flush_touched();
            self.server.handle_flushed(self.now, &mut self.links);
            self.flush_touched();
            if self.server.next_deadline().is_none_or(|due| due > self.now.instant) {
                return;
            }
        }
        panic!("the server spins");
    }

    fn flush_touched(&mut self) {
        while let Some(id) = self.links.take_touched() {
            if let Some(peer) = self.peers.iter().position(|peer| peer.id == id) {
                self.flush(peer);
            }
        }
    }

    fn flush(&mut self, peer: usize) {
        let Peer { id, heard, reads, end } = &mut self.peers[peer];
        let id = *id;
        if end.is_some() {
            return;
        }
        let wish = self.links.wish_of(id);
        let unsent = self.links.unsent(id).len();
        assert!(unsent <= OUT_BYTES_MAX + KIB64 + 100, "{unsent} bytes are queued");
        if !matches!(wish, Wish::Abort(_)) && *reads {
            heard.extend_from_slice(self.links.unsent(id));
            self.links.consume(id, unsent);
        }
        let reason = match wish {
            Wish::Keep => return,
            Wish::Close if !self.links.unsent(id).is_empty() => return,
            Wish::Close | Wish::Abort(AbortReason::Unwanted) => CloseReason::Unwanted,
            Wish::Abort(AbortReason::SlowReader) => CloseReason::SlowReader,
        };
        *end = Some(wish);
        self.links.abort(id);
        self.server.handle_closed(self.now, id, reason, &mut self.links);
        self.links.remove(id);
    }

    fn heard(&self, peer: usize) -> String {
        String::from_utf8(self.peers[peer].heard.clone()).expect("answers are UTF-8")
    }

    fn is_open(&self, peer: usize) -> bool {
        self.peers[peer].end.is_none()
    }

    /// Whether it was closed with its last words heard (A7).
    fn is_closed_gently(&self, peer: usize) -> bool {
        self.peers[peer].end == Some(Wish::Close)
    }

    /// Checks that `peer` was answered with `message`, once, at the world's first second, and closed.
    fn assert_answered(&self, peer: usize, message: &str) {
        assert_eq!(self.heard(peer), format!("Server received at 2026-11-21 16:00:00: {message}"));
        assert!(self.is_closed_gently(peer));
    }

    fn assert_refused(&self, peer: usize, why: &str) {
        let heard = self.heard(peer);
        assert!(heard.starts_with("Error: ") && heard.ends_with('\n') && heard.contains(why), "{heard:?}");
        assert_eq!(heard.lines().count(), 1);
        assert!(self.is_closed_gently(peer));
    }

    fn events(&mut self) -> Vec<EchoEvent> {
        std::iter::from_fn(|| self.server.poll_event()).collect()
    }
}

/// Text without whitespace in which every place is another.
fn text(length: usize) -> String {
    (0..length).map(|at| char::from(b'!' + u8::try_from(at * 7 % 89).expect("below 89"))).collect()
}

fn answer(message: &str) -> String {
    format!("Server received at 2026-11-21 16:00:00: {message}\n")
}

// ---- E1: the answer ------------------------------------------------------------------------------------

#[test]
fn e01_the_answer_has_the_time_in_front_and_nothing_behind_and_the_connection_is_closed() {
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
    // A clock that was set does not disturb what waits.
    let bob = world.connect();
    world.say(bob, text(1024));
    world.now.wall += Duration::from_secs(3_000);
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
fn e02_each_piece_starts_the_silence_anew() {
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
    // It is counted where only the length tells whether more will come.
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
fn e03_a_half_close_without_a_message_is_closed_without_an_answer() {
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

// ---- E4: limits ----------------------------------------------------------------------------------------

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

/// A `\r` before the newline is no part of the message, also where the newline has not come yet.
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
fn e04_after_its_error_nothing_of_a_connection_is_heard() {
    let mut world = World::keep_open();
    let bob = world.connect();
    world.say(bob, b"one\n\xff\ntwo\n");
    assert_eq!(world.heard(bob), format!("{}Error: the message is not UTF-8\n", answer("one")));
    assert!(world.is_closed_gently(bob));
}

// ---- A2, A3: slow, silent, too many ----------------------------------------------------------------------

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
fn a02_a_connection_without_a_message_is_closed_after_10_s_and_whitespace_buys_no_time() {
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
fn a02_whitespace_without_end_takes_no_memory_and_is_no_message() {
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
    assert_eq!(world.peers[zoe].end, Some(Wish::Abort(AbortReason::Unwanted)));
    world.say(ann, "a");
    world.assert_answered(ann, "a");
    let cat = world.connect();
    for peer in [bob, cat] {
        world.say(peer, "b");
        world.assert_answered(peer, "b");
    }
}

#[test]
fn a02_of_a_connection_that_breaks_nothing_is_kept() {
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
            assert!(answered <= world.peers.len(), "seed {seed}: one answer a connection");
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
fn a03_a_peer_that_does_not_read_is_closed_and_nobody_else_is_disturbed() {
    let mut world = World::keep_open();
    let [ann, bob] = [(); 2].map(|()| world.connect());
    world.reads(ann, false);
    let mut sent = 0;
    while world.is_open(ann) {
        world.say(ann, "0123456789\n".repeat(100));
        sent += 1_100;
        assert!(sent < 256 * 1024, "it is still open");
    }
    assert_eq!(world.peers[ann].end, Some(Wish::Abort(AbortReason::SlowReader)));
    world.say(bob, "Hello\n");
    assert_eq!(world.heard(bob), answer("Hello"));
}

/// Its answers are longer than what it sends: it is not to blame for that.
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

// ---- E5: the log ---------------------------------------------------------------------------------------

/// What was logged, each line with its level in front.
fn logged() -> Vec<String> {
    take_log().into_iter().map(|(level, text)| format!("{level} {text}")).collect()
}

#[test]
fn e05_what_happens_is_logged_with_the_peers_address() {
    listen_to_log();
    let mut world = World::new();
    let ann = world.connect();
    world.say(ann, "Hello, Grüße");
    assert_eq!(
        logged(),
        [
            "INFO connection established with 10.0.0.1:40000",
            "INFO received from 10.0.0.1:40000: \"Hello, Grüße\"",
            "INFO sent response to 10.0.0.1:40000",
            "INFO connection closed with 10.0.0.1:40000",
        ]
    );
}

#[test]
fn e05_a_message_is_escaped_in_the_log_and_its_beginning_is_enough() {
    listen_to_log();
    let mut world = World::new();
    let ann = world.connect();
    world.say(ann, "\x1b[2J\r\x07\u{202e}\u{9b}fake\0");
    let bob = world.connect();
    world.say(bob, format!("a{}\n", "ä".repeat(20_000)));
    let logged = logged();
    assert!(
        logged.iter().flat_map(|line| line.chars()).all(|c| !c.is_control() && c != '\u{202e}'),
        "{logged:?}"
    );
    assert!(logged.iter().all(|line| line.len() < 300), "{logged:?}");
    assert!(logged.iter().any(|line| line.ends_with(&format!(": \"a{}...\"", "ä".repeat(63)))), "{logged:?}");
}

#[test]
fn e05_a_refusal_is_logged_without_the_bytes() {
    listen_to_log();
    let mut world = World::new();
    let ann = world.connect();
    world.say(ann, b"\x1b\xff");
    assert!(logged().contains(&"WARN 10.0.0.1:40000: refused, not UTF-8".to_owned()));
}

#[test]
fn a04_of_refused_messages_and_clients_turned_away_the_log_shows_some() {
    listen_to_log();
    let mut world = World::with(EchoServerConfig { max_clients: 1, ..EchoServerConfig::default() });
    for _ in 0..20 {
        let ann = world.connect();
        let _turned_away = world.connect();
        world.say(ann, b"\xff");
    }
    assert_eq!(times_logged(["refused", "turned away"]), [9, 9]);
}

// ---- E6: kept open --------------------------------------------------------------------------------------

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
    assert_eq!(world.heard(ann), "", "neither is it short and so complete, nor is it by silence");
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

/// Each line has its own time, also where reads never end at a line's end.
#[test]
fn e06_a_stream_of_lines_may_go_on_for_ever() {
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

// ---- A6: draining ---------------------------------------------------------------------------------------

#[test]
fn a06_a_drain_answers_what_has_come_and_closes_everybody() {
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

// ---- E7: the client without sockets -----------------------------------------------------------------------

struct Asking {
    client: EchoClient,
    links: Links,
    now: Now,
    id: ConnectionId,
}

impl Asking {
    fn new(message: &str) -> Asking {
        let mut client = EchoClient::new(EchoClientConfig::default());
        client.say(message);
        let mut links = Links::new(OUT_BYTES_MAX);
        let id = links.open(([127, 0, 0, 1], 9).into());
        let now = Now::ORIGIN;
        client.handle_open(now, id, ([127, 0, 0, 1], 9).into(), Origin::Dialed(DialId(0)), &mut links);
        Asking { client, links, now, id }
    }

    fn hears(&mut self, bytes: &[u8]) {
        self.client.handle_bytes(self.now, self.id, bytes, &mut self.links);
    }

    fn closed(&mut self, reason: CloseReason) -> EchoClientEvent {
        self.client.handle_closed(self.now, self.id, reason, &mut self.links);
        self.client.poll_event().expect("an event")
    }
}

#[test]
fn e07_the_client_sends_its_message_and_half_closes() {
    let asking = Asking::new("Grüße");
    assert_eq!(asking.links.unsent(asking.id), "Grüße".as_bytes(), "nothing behind it");
    assert!(asking.links.is_finished(asking.id) && asking.links.is_open(asking.id));
}

#[test]
fn e07_the_answer_may_come_in_any_pieces() {
    let answer = "Server received at 2026-11-21 16:00:00: Grüße".as_bytes();
    for at in 1..answer.len() {
        let mut asking = Asking::new("Grüße");
        asking.hears(&answer[..at]);
        asking.hears(&answer[at..]);
        asking.client.handle_end(asking.now, asking.id, &mut asking.links);
        assert_eq!(asking.links.wish_of(asking.id), Wish::Close);
        let whole = String::from_utf8(answer.to_vec()).expect("UTF-8");
        assert_eq!(asking.closed(CloseReason::Finished), EchoClientEvent::Answered(whole));
    }
}

#[test]
fn e07_an_answer_has_a_longest_size_and_a_longest_time() {
    let mut asking = Asking::new("x");
    for _ in 0..100 {
        asking.hears(&[b'y'; READ_BYTES_MAX]);
    }
    assert_eq!(asking.closed(CloseReason::Finished), EchoClientEvent::Answered("y".repeat(128 * 1024)));

    let mut asking = Asking::new("x");
    let due = asking.client.next_deadline().expect("it does not wait for ever");
    assert_eq!(due - asking.now.instant, Duration::from_secs(30));
    asking.client.handle_timeout(asking.now, &mut asking.links);
    assert!(asking.links.is_open(asking.id), "called early");
    asking.now.instant = due;
    asking.client.handle_timeout(asking.now, &mut asking.links);
    assert!(!asking.links.is_open(asking.id));
    assert_eq!(asking.closed(CloseReason::Unwanted), EchoClientEvent::Unanswered(CloseReason::Unwanted));
    assert_eq!(asking.client.next_deadline(), None);
}

#[test]
fn e07_an_answer_before_a_reset_is_an_answer() {
    let reset = CloseReason::Broken(std::io::ErrorKind::ConnectionReset);
    let mut asking = Asking::new("x");
    asking.hears(b"Server received");
    assert_eq!(asking.closed(reset), EchoClientEvent::Answered("Server received".to_owned()));
    assert_eq!(Asking::new("x").closed(reset), EchoClientEvent::Unanswered(reset));
}

#[test]
fn a06_a_drain_ends_the_clients_connection() {
    let mut asking = Asking::new("x");
    asking.client.drain(asking.now, &mut asking.links);
    assert!(!asking.links.is_open(asking.id));
    assert_eq!(asking.client.next_deadline(), None);
}

// ---- the programs -----------------------------------------------------------------------------------------

struct Server {
    process: Process,
    address: String,
}

impl Server {
    fn start(options: &[&str]) -> Server {
        Server::spawn(example("echo_server").args(options).args(["--listen", "127.0.0.1:0"]))
    }

    fn spawn(command: &mut Command) -> Server {
        let mut process = Process::spawn(command);
        let address = process.wait_until("address", PATIENCE, |seen| {
            seen.iter().find_map(|line| Some(line.text.split_once("listening on ")?.1.to_owned()))
        });
        Server { process, address }
    }

    fn connect(&self) -> TcpStream {
        connect(&self.address)
    }

    /// All that the server says to `bytes` before it closes.
    fn ask(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("the server reads");
        let mut heard = String::new();
        stream.read_to_string(&mut heard).expect("the server closes without a reset");
        heard
    }

    fn stop(mut self) {
        self.process.signal("TERM");
        self.process.expect_exit(0, PATIENCE);
    }
}

fn client_command(address: &str, message: &[&str]) -> Command {
    let mut command = example("echo_client");
    command.args(["--connect", address]).args(message);
    command
}

fn client(address: &str, message: &[&str]) -> Process {
    Process::spawn(&mut client_command(address, message))
}

/// The client with its standard input as `redirection` of the shell says.
fn client_with_input(address: &str, redirection: &str) -> Process {
    redirected(&client_command(address, &[]), redirection)
}

/// What follows the time in the `Response: Server received at 2026-11-21 16:00:00: Hello` of a line.
fn echoed<'a>(line: &'a str, label: &str) -> Option<&'a str> {
    let (time, message) =
        line.strip_prefix(label)?.strip_prefix("Server received at ")?.split_at_checked(19)?;
    time.parse::<jiff::civil::DateTime>().ok()?;
    message.strip_prefix(": ")
}

fn responses(process: &Process) -> Vec<&str> {
    // On a pipe the prompt stands on a line of its own.
    let lines = process.lines(Stream::Out);
    lines.into_iter().filter_map(|line| echoed(line, "Server response: ")).collect()
}

#[test]
fn e05_the_server_logs_on_standard_error_and_prints_nothing() {
    let mut server = Server::start(&[]);
    let mut client = client(&server.address, &["Hello"]);
    client.expect_exit(0, PATIENCE);
    let address = server.address.clone();
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
    let log = server.process.lines(Stream::Err).join("\n");
    let mut rest = log.as_str();
    for expected in [
        &format!("bound to {address}"),
        &format!("listening on {address}"),
        "connection established with 127.0.0.1:",
        "received from 127.0.0.1:",
        "\"Hello\"",
        "sent response to 127.0.0.1:",
        "connection closed with 127.0.0.1:",
    ] {
        let at = rest.find(expected).unwrap_or_else(|| panic!("no {expected:?} in\n{log}"));
        rest = &rest[at + expected.len()..];
    }
    assert_eq!(server.process.lines(Stream::Out), [""; 0]);
}

#[test]
fn e07_one_shot_prints_the_response_and_logs_what_it_does() {
    let server = Server::start(&[]);
    let mut client = client(&server.address, &["Hello, Grüße"]);
    client.expect_exit(0, PATIENCE);
    let out = client.lines(Stream::Out);
    assert_eq!(out.len(), 1, "{out:?}");
    assert_eq!(echoed(out[0], "Response: "), Some("Hello, Grüße"), "{out:?}");
    let log = client.lines(Stream::Err).join("\n");
    for expected in ["connected to 127.0.0.1:", "sent message", "received response", "connection closed"] {
        assert!(log.contains(expected), "no {expected:?} in\n{log}");
    }
    server.stop();
}

#[test]
fn e07_one_shot_takes_a_message_of_64_kib_and_shows_an_error() {
    let server = Server::start(&[]);
    for (length, fits) in [(5_000, true), (KIB64, true), (KIB64 + 1, false)] {
        let message = text(length).replace('-', "+").replace(['"', '\'', '\\'], "_");
        let mut client = client(&server.address, &[&message]);
        client.expect_exit(0, PATIENCE);
        let out = client.lines(Stream::Out).join("\n");
        match fits {
            true => assert_eq!(echoed(&out, "Response: "), Some(message.as_str())),
            false => assert!(out.starts_with("Response: Error: "), "{out}"),
        }
    }
}

#[test]
fn e07_one_shot_says_that_it_was_not_answered() {
    let server = Server::start(&[]);
    let mut client = client(&server.address, &[""]);
    client.expect_exit(1, PATIENCE);
    assert_eq!(client.lines(Stream::Out), [""; 0]);
    let complaint = format!("no response from {}: closed by the peer", server.address);
    assert!(client.lines(Stream::Err).iter().any(|line| line.starts_with(&complaint)));
}

#[test]
fn a05_one_shot_without_a_server_is_one_line_and_exit_code_1() {
    let address = free_address();
    let mut client = client(&address, &["Hello"]);
    client.expect_exit(1, PATIENCE);
    let said = client.lines(Stream::Err);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with(&format!("cannot connect to {address}: ")) && said[0].contains("efused"),
        "{said:?}"
    );
    assert_eq!(client.lines(Stream::Out), [""; 0]);
}

#[test]
fn a05_bad_addresses_and_wrong_usage_end_with_1() {
    for (arguments, expected) in [
        (&["--connect", "127.0.0.1:70000", "x"][..], "port"),
        (&["--connect", "localhost", "x"], "port"),
        (&["--connect", "no.such.host.invalid:80", "x"], "no.such.host.invalid:80"),
        (&["one", "two"], "Unrecognized"),
        (&["--bogus"], "--bogus"),
    ] {
        let mut client = Process::spawn(example("echo_client").args(arguments));
        client.expect_exit(1, PATIENCE);
        assert!(client.lines(Stream::Err).join("\n").contains(expected), "{arguments:?}");
    }
}

#[test]
fn e07_a_name_with_two_addresses_is_tried_on_both() {
    let server = Server::start(&[]);
    let port = server.address.rsplit_once(':').expect("an address has a port").1.to_owned();
    let mut client = client(&format!("localhost:{port}"), &["Hello"]);
    client.expect_exit(0, PATIENCE);
}

#[test]
fn e07_prompting_on_a_pipe_until_a_word_or_the_end() {
    let server = Server::start(&[]);
    for (input, expected) in [
        ("one\\ntwo\\nquit\\nthree\\n", &["one", "two"][..]),
        ("one\\nexit\\ntwo\\n", &["one"]),
        ("one\\n q \\ntwo\\n", &["one"]),
        ("one\\ntwo", &["one", "two"]),
        ("\\n  \\none\\n\\n", &["one"]),
        ("one\\r\\nquitting\\nq\\n", &["one", "quitting"]),
        ("quit", &[]),
        ("", &[]),
    ] {
        let client = example("echo_client");
        let script = format!("printf '{input}' | \"$0\" --connect \"$1\"");
        let mut client = Process::spawn(
            Command::new("sh").args(["-c", &script]).arg(client.get_program()).arg(&server.address),
        );
        client.expect_exit(0, PATIENCE);
        assert_eq!(responses(&client), expected, "{input:?}");
        let out = client.lines(Stream::Out);
        assert!(
            ["quit", "exit", "q"].iter().all(|word| out[0].contains(word)),
            "a banner says how to leave: {out:?}"
        );
        assert!(out[1..].iter().any(|line| line.starts_with("Enter message to send: ")), "{out:?}");
    }
    server.stop();
}

#[test]
fn e07_prompting_ends_at_once_on_dev_null_and_closed_input_and_reads_a_file() {
    let server = Server::start(&[]);
    let folder = Folder::new();
    let file = folder.path("messages");
    std::fs::write(&file, "one\ntwo\nthree").expect("a file");
    let file = file.display();
    for (redirection, expected) in
        [("</dev/null", &[][..]), ("<&-", &[]), (&format!("<'{file}'"), &["one", "two", "three"])]
    {
        let mut client = client_with_input(&server.address, redirection);
        client.expect_exit(0, PATIENCE);
        assert_eq!(responses(&client), expected, "{redirection}");
    }
    // One-shot does not care.
    for redirection in ["Hello </dev/null", "Hello <&-", &format!("Hello <'{file}'")] {
        let mut client = client_with_input(&server.address, redirection);
        client.expect_exit(0, PATIENCE);
        assert_eq!(echoed(client.lines(Stream::Out)[0], "Response: "), Some("Hello"), "{redirection}");
    }
}

#[test]
fn e07_prompting_says_that_the_server_is_away_and_stays() {
    let address = free_address();
    let (mut client, mut typist) = typed(&client_command(&address, &[]));
    let complaint = format!("cannot connect to {address}: ");
    for count in 1..=2 {
        typist.types("anybody?\n");
        client.wait_until("complaint", PATIENCE, |seen| {
            (seen.iter().filter(|line| line.text.starts_with(&complaint)).count() == count).then_some(())
        });
    }
    let server = Server::spawn(example("echo_server").args(["--listen", &address]));
    typist.types("now?\n");
    client.wait_for_line(
        "response",
        |line| echoed(&line.text, "Server response: ") == Some("now?"),
        PATIENCE,
    );
    server.stop();
    typist.types("still there?\n");
    client.wait_until("third complaint", PATIENCE, |seen| {
        (seen.iter().filter(|line| line.text.starts_with(&complaint)).count() == 3).then_some(())
    });
    // A line without its end is one at the end of input.
    typist.types("exit");
    drop(typist);
    client.expect_exit(0, PATIENCE);
}

#[test]
fn a06_a_signal_ends_a_client_that_waits_for_an_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    for signal in ["INT", "TERM"] {
        let mut client = client(&address, &["Hello"]);
        let (mut stream, _) = listener.accept().expect("the client comes");
        let mut message = String::new();
        stream.read_to_string(&mut message).expect("it half-closes");
        assert_eq!(message, "Hello");
        client.signal(signal);
        client.expect_exit(0, PATIENCE);
    }
}

#[test]
fn e07_a_servers_text_cannot_rearrange_the_terminal() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let mut client = client(&address, &["Hello"]);
    let (mut stream, _) = listener.accept().expect("the client comes");
    stream.read_to_string(&mut String::new()).expect("it half-closes");
    stream.write_all(b"\x1b[2Jfake\rx\nnext \xff\n").expect("the client reads");
    drop(stream);
    client.expect_exit(0, PATIENCE);
    assert_eq!(client.lines(Stream::Out), ["Response: \\u{1b}[2Jfake\\rx\\nnext \u{fffd}"]);
}

// A terminal.

/// What a terminal shows while `keys` are typed, each at a prompt, without its control bytes.
fn at_a_terminal(address: &str, log_level: &str, keys: &[&str]) -> Option<Vec<String>> {
    let mut command = legacy("echo_terminal.py")?;
    command.arg("Enter message to send: ").args(keys).arg("--").arg(example("echo_client").get_program());
    let mut person = Process::spawn(command.args(["--log-level", log_level, "--connect", address]));
    person.expect_exit(0, PATIENCE);
    let shown = person.lines(Stream::Out).into_iter().map(|line| line.trim_end_matches('\r').to_owned());
    Some(shown.filter(|line| !line.is_empty()).collect())
}

#[test]
fn e07_a_person_at_a_terminal_is_asked_again_after_each_answer() {
    let server = Server::start(&[]);
    let Some(shown) = at_a_terminal(&server.address, "off", &["one\\n", "\\n", "two\\n", "quit\\n"]) else {
        return;
    };
    assert!(shown[0].starts_with("Echo client"), "{shown:#?}");
    assert_eq!(shown[1], "Enter message to send: one");
    assert_eq!(echoed(&shown[2], "Server response: "), Some("one"), "{shown:#?}");
    assert_eq!(shown[3..5], ["Enter message to send: ", "Enter message to send: two"]);
    assert_eq!(echoed(&shown[5], "Server response: "), Some("two"));
    assert_eq!(shown[6..], ["Enter message to send: quit", "exit 0"]);
}

#[test]
fn e07_ctrl_d_and_ctrl_c_leave_the_prompt_on_a_line_of_its_own() {
    let server = Server::start(&[]);
    for key in ["\\x04", "\\x03"] {
        let Some(shown) = at_a_terminal(&server.address, "off", &["one\\n", key]) else { return };
        assert_eq!(shown.last().map(String::as_str), Some("exit 0"), "{shown:#?}");
        assert!(shown[shown.len() - 2].starts_with("Enter message to send: "), "{shown:#?}");
    }
}

/// Log and prompt are written by two threads.
#[test]
fn e07_the_log_of_a_message_stands_before_its_response_and_never_behind_a_prompt() {
    let server = Server::start(&[]);
    for _ in 0..10 {
        let keys = ["one\\n", "two\\n", "q\\n"];
        let Some(shown) = at_a_terminal(&server.address, "info", &keys) else { return };
        let order = [
            "Echo client",
            ": one",
            "connected to",
            "sent message",
            "received response",
            "connection closed",
        ];
        for (line, expected) in shown.iter().zip(order) {
            assert!(line.contains(expected), "{shown:#?}");
        }
        assert!(!shown.iter().any(|line| line.contains("Enter") && line.contains("INFO")), "{shown:#?}");
    }
}

#[test]
fn e07_a_person_is_told_that_the_server_is_away_and_asked_again() {
    let address = free_address();
    let Some(shown) = at_a_terminal(&address, "off", &["one\\n", "q\\n"]) else { return };
    assert!(shown[2].contains(&format!("cannot connect to {address}: ")), "{shown:#?}");
    assert_eq!(shown[3..], ["Enter message to send: q", "exit 0"]);
}

// The server.

#[test]
fn e01_the_time_is_the_servers_local_time() {
    // The second one needs no file of the system's.
    for (zone, file) in
        [("Asia/Tokyo", Some("/usr/share/zoneinfo/Asia/Tokyo")), ("TST-9:30", None), ("TST+4", None)]
    {
        if file.is_some_and(|file| !PathBuf::from(file).exists()) {
            continue;
        }
        let offset = match zone {
            "Asia/Tokyo" => jiff::tz::offset(9),
            "TST+4" => jiff::tz::offset(-4),
            _ => jiff::tz::Offset::from_seconds(9 * 3600 + 1800).expect("an offset"),
        };
        let local = || jiff::Timestamp::now().to_zoned(offset.to_time_zone()).datetime();
        let mut command = example("echo_server");
        let server = Server::spawn(command.env("TZ", zone).args(["--listen", "127.0.0.1:0"]));
        let before = local();
        let heard = server.ask(b"Hello\n");
        let after = local();
        let time = heard.strip_prefix("Server received at ").and_then(|rest| rest.strip_suffix(": Hello"));
        let time: jiff::civil::DateTime = time.expect(&heard).parse().expect(&heard);
        let second = jiff::ToSpan::seconds(1);
        assert!(before - second < time && time <= after, "{zone}: {before} < {time} <= {after}");
    }
}

#[test]
fn e02_bare_sockets_are_answered_with_and_without_an_end() {
    let server = Server::start(&[]);
    for message in ["Hello", "Hello\n", "Hello\r\n"] {
        assert_eq!(echoed(&server.ask(message.as_bytes()), ""), Some("Hello"));
    }
    for length in [1_023, 1_024, 30_000, KIB64] {
        assert_eq!(echoed(&server.ask(text(length).as_bytes()), ""), Some(text(length).as_str()));
    }
    let stream = server.connect();
    stream.shutdown(Shutdown::Write).expect("a socket");
    assert_eq!((&stream).read(&mut [0; 9]).expect("closed, not reset"), 0);
}

#[test]
fn a07_an_error_is_read_though_much_more_was_sent() {
    let server = Server::start(&[]);
    let heard = server.ask(&vec![b'x'; 1024 * 1024]);
    assert!(heard.starts_with("Error: ") && heard.ends_with('\n'), "{heard:?}");
}

#[test]
fn e06_keep_open_answers_line_by_line_over_a_socket() {
    let server = Server::start(&["--keep-open"]);
    let mut stream = server.connect();
    let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
    for message in ["one", "two", ""] {
        stream.write_all(format!("{message}\n").as_bytes()).expect("the server reads");
        let line = lines.next().expect("an answer").expect("text");
        assert_eq!(echoed(&line, ""), Some(message));
    }
    stream.write_all(b"last").expect("the server reads");
    stream.shutdown(Shutdown::Write).expect("a socket");
    assert_eq!(echoed(&lines.next().expect("an answer").expect("text"), ""), Some("last"));
    assert!(lines.next().is_none());
    // Our client half-closes, so it does not mind.
    let mut client = client(&server.address, &["Hello"]);
    client.expect_exit(0, PATIENCE);
    assert_eq!(echoed(client.lines(Stream::Out)[0], "Response: "), Some("Hello"));
    drop(stream);
    server.stop();
}

#[test]
fn a03_over_a_socket_64_kib_of_short_lines_are_all_answered() {
    let server = Server::start(&["--keep-open", "--log-level", "info"]);
    let mut stream = server.connect();
    let lines = KIB64 / 2;
    stream.write_all("a\n".repeat(lines).as_bytes()).expect("the server reads");
    stream.shutdown(Shutdown::Write).expect("a socket");
    let heard = BufReader::new(stream).lines().map(|line| line.expect("no reset"));
    assert_eq!(heard.inspect(|line| assert_eq!(echoed(line, ""), Some("a"))).count(), lines);
}

#[test]
fn a03_over_a_socket_a_peer_that_never_reads_is_closed() {
    let server = Server::start(&["--keep-open"]);
    let mut stuck = server.connect();
    let lines = "0123456789012345678901234567890123456789\n".repeat(1_000);
    let begun = Instant::now();
    while stuck.write_all(lines.as_bytes()).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it is still open");
        let mut other = server.connect();
        other.write_all(b"Hello\n").expect("the server reads");
        other.shutdown(Shutdown::Write).expect("a socket");
        let mut heard = String::new();
        other.read_to_string(&mut heard).expect("an answer");
        assert_eq!(echoed(heard.trim_end(), ""), Some("Hello"));
    }
}

#[test]
fn a06_the_first_signal_drains_and_the_server_ends_with_0() {
    for signal in ["INT", "TERM"] {
        let mut server = Server::start(&[]);
        let mut silent = server.connect();
        server.process.wait_for_line("client", |line| line.text.contains("established"), PATIENCE);
        server.process.signal(signal);
        assert_eq!(silent.read(&mut [0; 9]).expect("closed, not reset"), 0);
        server.process.expect_exit(0, PATIENCE);
        assert!(TcpStream::connect(&server.address).is_err());
    }
}

#[test]
fn a01_without_an_option_the_server_listens_on_this_machine_only() {
    let mut server = Process::spawn(&mut example("echo_server"));
    // If somebody else listens there, it says so with the same address.
    server.wait_for_line(
        "address",
        |line| line.text.contains("listen") && line.text.contains(" on 127.0.0.1:8080"),
        PATIENCE,
    );
}

#[test]
fn a08_a_standard_output_that_takes_nothing_does_not_stop_the_client() {
    let server = Server::start(&[]);
    for redirection in ["Hello >&-", "Hello >/dev/full", "</dev/null >&-"] {
        let mut client = client_with_input(&server.address, redirection);
        client.expect_exit(0, PATIENCE);
        assert!(!client.lines(Stream::Err).join("\n").contains("panicked"));
    }
}

#[test]
fn a05_an_address_in_use_is_one_line_and_exit_code_1() {
    let server = Server::start(&[]);
    let mut second = Process::spawn(example("echo_server").args(["--listen", &server.address]));
    second.expect_exit(1, PATIENCE);
    let said = second.lines(Stream::Err);
    assert_eq!(said.len(), 1, "{said:?}");
    for expected in [server.address.as_str(), "in use", "--listen"] {
        assert!(said[0].contains(expected), "{said:?}");
    }
}

// Legacy programs.

#[test]
fn e02_the_legacy_client_gets_its_answer_in_one_recv() {
    let server = Server::start(&[]);
    let (host, port) = server.address.rsplit_once(':').expect("an address has a port");
    for message in ["Hello", "a b", "Grüße", &text(900)] {
        let Some(mut command) = legacy("echo_client.py") else { return };
        let mut client = Process::spawn(command.args([host, port, message]));
        client.expect_exit(0, PATIENCE);
        assert_eq!(echoed(&client.lines(Stream::Out).join("\n"), "got "), Some(message));
    }
    // It reads no more than 1024 bytes of the answer, but the server had the whole message, and is not confused.
    let Some(mut command) = legacy("echo_client.py") else { return };
    let mut client = Process::spawn(command.args([host, port, &text(5_000)]));
    client.expect_exit(0, PATIENCE);
    let out = client.lines(Stream::Out).join("\n");
    assert_eq!(
        echoed(&out, "got "),
        Some(&text(5_000)[..1_024 - "Server received at 2026-11-21 16:00:00: ".len()])
    );
    server.stop();
}

#[test]
fn e07_our_client_works_with_the_legacy_server() {
    let Some(mut command) = legacy("echo_server.py") else { return };
    let mut server = Process::spawn(command.arg("0"));
    let port = server.wait_for_line("port", |line| line.stream == Stream::Out, PATIENCE).text;
    let address = format!("127.0.0.1:{port}");
    for message in ["Hello", "Grüße", &text(1_024).replace('-', "+").replace(['"', '\'', '\\'], "_")] {
        let mut client = client(&address, &[message]);
        client.expect_exit(0, PATIENCE);
        assert_eq!(echoed(&client.lines(Stream::Out).join("\n"), "Response: "), Some(message));
    }
    // That server does not take more than 1024 bytes. Whether its reset overtakes its answer is a matter of luck; our client ends.
    let mut long = client(&address, &["x".repeat(5_000).as_str()]);
    let status = long.wait_for_exit(PATIENCE);
    match status.code() {
        Some(0) => assert!(
            echoed(&long.lines(Stream::Out).join("\n"), "Response: ").is_some_and(|m| m.len() <= 1_024)
        ),
        _ => assert!(long.lines(Stream::Err).iter().any(|line| line.starts_with("no response from "))),
    }
    let mut prompting = client_with_input(&address, "</dev/null");
    prompting.expect_exit(0, PATIENCE);
}
