//! The counter protocol, sentence by sentence: first the library alone, in virtual time, then the two programs as processes,
//! against each other and against Python programs that do what the legacy ones do (`tests/legacy`).
//!
//! The sentences are those of docs/PROTOCOL.md; the name of each test begins with its sentence.

#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "real processes need real time")]

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use taketurns::protocol::counter::{
    CounterClient, CounterClientConfig, CounterClientEvent, CounterEvent, CounterId, CounterServer,
    CounterServerConfig, Parity, Record,
};
use taketurns::protocol::{
    AbortReason, CloseReason, ConnectionId, DialId, Entropy, Links, Origin, Protocol, Wish,
};
use taketurns::time::{self, Now};

#[path = "support/bare.rs"]
mod bare;
#[path = "support/log.rs"]
mod logged;
#[path = "support/process/mod.rs"]
mod process;

use bare::{PATIENCE, connect, free_address};
use logged::{listen_to_log, times_logged};
use process::folder::Folder;
use process::input::{Typist, redirected, typed};
use process::programs::{example, legacy};
use process::{Line, Process, Reading, Stream};

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn id(number: u16) -> CounterId {
    CounterId::new(number).expect("an id")
}

// ---- the server, alone ---------------------------------------------------------------------------------

/// A server, its connections, and what its peers have heard.
struct World {
    server: CounterServer,
    links: Links,
    now: Now,
    heard: HashMap<ConnectionId, Vec<u8>>,
    ended: HashMap<ConnectionId, Wish>,
    /// They do not read.
    deaf: HashSet<ConnectionId>,
    events: Vec<CounterEvent>,
    port: u16,
}

/// Bytes that count upwards: random enough for what is not about randomness.
fn counting() -> Entropy {
    let mut next = 0_u8;
    Box::new(move |bytes| {
        for byte in bytes {
            *byte = next;
            next = next.wrapping_add(1);
        }
    })
}

impl World {
    fn new() -> World {
        World::with(CounterServerConfig::default(), counting())
    }

    fn with(config: CounterServerConfig, entropy: Entropy) -> World {
        World {
            server: CounterServer::new(config, entropy),
            links: Links::new(64 * 1024),
            now: Now::ORIGIN,
            heard: HashMap::new(),
            ended: HashMap::new(),
            deaf: HashSet::new(),
            events: Vec::new(),
            port: 1000,
        }
    }

    fn connect(&mut self) -> ConnectionId {
        self.port += 1;
        let peer = ([127, 0, 0, 1], self.port).into();
        let id = self.links.open(peer);
        self.server.handle_open(self.now, id, peer, Origin::Accepted, &mut self.links);
        self.carry_out();
        id
    }

    /// A connection that has sent `bytes`, its id first.
    fn begin(&mut self, bytes: &str) -> ConnectionId {
        let id = self.connect();
        self.send(id, bytes);
        id
    }

    fn send(&mut self, id: ConnectionId, bytes: impl AsRef<[u8]>) {
        if self.links.is_open(id) {
            self.server.handle_bytes(self.now, id, bytes.as_ref(), &mut self.links);
        }
        self.carry_out();
    }

    fn end(&mut self, id: ConnectionId) {
        if self.links.is_open(id) {
            self.server.handle_end(self.now, id, &mut self.links);
        }
        self.carry_out();
    }

    /// It breaks.
    fn lose(&mut self, id: ConnectionId) {
        let reset = CloseReason::Broken(std::io::ErrorKind::ConnectionReset);
        self.server.handle_closed(self.now, id, reset, &mut self.links);
        self.links.remove(id);
        self.carry_out();
    }

    fn advance(&mut self, by: Duration) {
        self.now.instant += by;
        self.server.handle_timeout(self.now, &mut self.links);
        self.carry_out();
    }

    /// What a driver does behind every call: writes, closes, takes the events.
    fn carry_out(&mut self) {
        while let Some(id) = self.links.take_touched() {
            if !self.deaf.contains(&id) {
                let bytes = self.links.unsent(id).to_vec();
                self.links.consume(id, bytes.len());
                self.heard.entry(id).or_default().extend(bytes);
            }
            let wish = self.links.wish_of(id);
            if wish != Wish::Keep && self.ended.insert(id, wish).is_none() {
                self.server.handle_closed(self.now, id, CloseReason::Finished, &mut self.links);
                self.links.remove(id);
            }
        }
        self.events.extend(std::iter::from_fn(|| self.server.poll_event()));
    }

    /// What the peer has heard since this was last asked.
    fn heard(&mut self, id: ConnectionId) -> String {
        String::from_utf8(self.heard.remove(&id).unwrap_or_default()).expect("text")
    }

    fn is_open(&self, id: ConnectionId) -> bool {
        self.links.is_open(id)
    }

    fn record(&self, number: u16) -> Option<Record> {
        self.server.records().find(|(known, _)| *known == id(number)).map(|(_, record)| record)
    }

    fn texts(&self) -> Vec<String> {
        self.events.iter().map(ToString::to_string).collect()
    }
}

#[test]
fn c01_the_first_message_is_the_id_with_or_without_an_end() {
    for first in ["17", "17 ", "17\n", "17\r\n", " 17", "\n17\n", "017"] {
        let mut world = World::new();
        let client = world.begin(first);
        assert_eq!(world.heard(client), "0", "{first:?}");
        assert!(matches!(world.events[..], [CounterEvent::Began { number: 0, id, .. }] if id.get() == 17));
        assert_eq!(world.server.refused(), 0);
    }
}

#[test]
fn c01_ids_are_0_to_10000() {
    for number in [0, 1, 9_999, 10_000] {
        let mut world = World::new();
        let client = world.begin(&number.to_string());
        assert_eq!(world.heard(client), "0");
        assert_eq!(world.record(number), Some(Record::default()));
    }
    assert_eq!(CounterId::new(10_001), None);
}

#[test]
fn c01_white_space_before_the_id_is_nothing() {
    let mut world = World::new();
    let client = world.begin(" \r\n\t");
    assert_eq!(world.heard(client), "");
    assert!(world.is_open(client));
    world.send(client, "17");
    assert_eq!(world.heard(client), "0");
}

#[test]
fn c02_the_answer_is_the_last_number_of_that_id() {
    let mut world = World::new();
    let client = world.begin("17");
    world.send(client, "41 ");
    world.send(client, "-42 ");
    world.end(client);
    let again = world.begin("17");
    assert_eq!(world.heard(again), "-42");
    let other = world.begin("18");
    assert_eq!(world.heard(other), "0", "a new one");
}

#[test]
fn c03_every_split_behind_the_id_means_the_same() {
    let script = b" 5 odd 18 even -3 what? 9223372036854775807 \xff 7 odd ";
    let whole = {
        let mut world = World::new();
        let client = world.begin("17");
        world.send(client, script);
        (world.heard(client), world.texts(), world.record(17))
    };
    assert_eq!(whole.0, "0125", "0, then an odd, an even and an odd one");
    assert_eq!(whole.1.len(), 11);
    assert_eq!(whole.2, Some(Record { number: 7, random: Some(5) }));
    let pieces_mean_the_same = |cuts: &[usize]| {
        let mut world = World::new();
        let client = world.begin("17");
        let mut from = 0;
        for &cut in cuts.iter().chain([&script.len()]) {
            if cut > from {
                world.send(client, &script[from..cut]);
                from = cut;
            }
        }
        assert_eq!((world.heard(client), world.texts(), world.record(17)), whole, "cut at {cuts:?}");
    };
    for first in 1..script.len() {
        for second in first..script.len() {
            pieces_mean_the_same(&[first, second]);
        }
    }
    pieces_mean_the_same(&(1..script.len()).collect::<Vec<_>>());
}

#[test]
fn c03_messages_may_come_with_the_id() {
    let mut world = World::new();
    let client = world.begin("17 5 6 odd 7");
    assert_eq!(world.heard(client), "01");
    assert_eq!(world.record(17).map(|record| record.number), Some(6), "7 has not ended");
    world.send(client, "8 ");
    assert_eq!(world.record(17).map(|record| record.number), Some(78));
}

#[test]
fn c03_a_message_that_has_not_ended_is_none() {
    let mut world = World::new();
    let client = world.begin("17");
    world.send(client, "5 1");
    world.end(client);
    assert_eq!(world.record(17).map(|record| record.number), Some(5), "it was the beginning of 17, perhaps");
    assert!(!world.is_open(client));
}

#[test]
fn c03_a_person_may_press_enter() {
    let mut world = World::new();
    let client = world.begin("17\n");
    for line in ["5\n", "odd\r\n", "\n", "  6 \n"] {
        world.send(client, line);
    }
    assert_eq!(world.record(17), Some(Record { number: 6, random: Some(1) }));
    assert_eq!(world.server.refused(), 0);
}

#[test]
fn c04_odd_and_even_are_uniform_over_their_50_numbers() {
    let mut rng = fastrand::Rng::with_seed(4);
    let mut world = World::with(CounterServerConfig::default(), Box::new(move |bytes| rng.fill(bytes)));
    let client = world.begin("17");
    world.heard(client);
    for (word, rest) in [("odd ", 1), ("even ", 0)] {
        let mut seen = [0_u32; 100];
        for _ in 0..50_000 {
            world.send(client, word);
            let number: usize = world.heard(client).parse().expect("a number, and nothing else");
            assert_eq!(number % 2, rest);
            seen[number] += 1;
        }
        let of_parity = seen.iter().skip(rest).step_by(2);
        let chi_square: f64 = of_parity.map(|&n| (f64::from(n) - 1000.0).powi(2) / 1000.0).sum();
        // 49 degrees of freedom: more than 95 happens once in 10,000 seeds.
        assert!((15.0..95.0).contains(&chi_square), "{word}: {chi_square}");
    }
}

/// 256 is no multiple of 50.
#[test]
fn c04_no_number_is_favoured_by_the_end_of_a_byte() {
    let mut world = World::new();
    let client = world.begin("17");
    world.heard(client);
    for (word, parity) in [("odd ", 1), ("even ", 0)] {
        // All bytes once: 250 of them are answers, five for each number.
        let mut seen = HashMap::new();
        for _ in 0..250 {
            world.send(client, word);
            *seen.entry(world.heard(client).parse::<u8>().expect("a number")).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 50);
        assert!(seen.iter().all(|(number, times)| number % 2 == parity && *number < 100 && *times == 5));
    }
}

#[test]
fn c05_number_and_random_are_kept_for_every_id() {
    let mut world = World::new();
    for number in 0..100_u16 {
        let client = world.begin(&number.to_string());
        world.send(client, format!("{} ", i32::from(number) * 3));
        if number % 2 == 0 {
            world.send(client, "odd ");
        }
        world.end(client);
    }
    assert_eq!(world.server.records().count(), 100);
    for number in 0..100 {
        let record = world.record(number).expect("kept");
        assert_eq!((record.number, record.random.is_some()), (i64::from(number) * 3, number % 2 == 0));
    }
}

#[test]
fn c05_records_outlive_the_server_by_restore() {
    let mut world = World::new();
    let client = world.begin("17");
    world.send(client, "-9223372036854775808 even ");
    let mut next = World::new();
    for (id, record) in world.server.records() {
        next.server.restore(id, record);
    }
    assert_eq!(next.record(17), Some(Record { number: i64::MIN, random: Some(0) }));
    let client = next.begin("17");
    assert_eq!(next.heard(client), i64::MIN.to_string());
}

#[test]
fn c06_every_message_is_an_event_with_a_text_for_the_log() {
    let mut world = World::new();
    let client = world.begin("17");
    world.send(client, "5 odd even x\x1b[2J ");
    world.end(client);
    assert_eq!(
        world.texts(),
        [
            "client 17 connected from 127.0.0.1:1001, goes on from 0",
            "client 17 sent 5",
            "client 17 asked for odd, got 1",
            "client 17 asked for even, got 2",
            "client 17 at 127.0.0.1:1001: refused what is neither a number of 64 bits nor odd nor even: \"x\\x1b[2J\"",
            "client 17 at 127.0.0.1:1001 disconnected",
        ]
    );
}

#[test]
fn c07_the_newer_connection_wins() {
    let mut world = World::new();
    let older = world.begin("17");
    world.send(older, "5 6");
    let newer = world.begin("17");
    assert_eq!(world.heard(newer), "5");
    assert_eq!(world.ended.get(&older), Some(&Wish::Close));
    world.send(older, "7 ");
    assert_eq!(world.record(17).map(|record| record.number), Some(5), "it is not listened to any more");
    world.send(newer, "8 ");
    assert_eq!(world.record(17).map(|record| record.number), Some(8));
    let newest = world.begin("17");
    assert_eq!(world.heard(newest), "8");
    assert!(!world.is_open(newer) && world.is_open(newest));
    let ended = world.events.iter().filter(|event| matches!(event, CounterEvent::Ended { .. }));
    assert_eq!(ended.count(), 2);
}

#[test]
fn c07_other_ids_are_left_alone() {
    let mut world = World::new();
    let clients: Vec<_> = (0..50).map(|number| world.begin(&number.to_string())).collect();
    world.begin("7");
    let open: Vec<_> = clients.iter().map(|&client| world.is_open(client)).collect();
    assert_eq!(open.iter().filter(|open| !**open).count(), 1);
    assert!(!open[7]);
}

#[test]
fn c08_a_bad_id_closes_the_connection() {
    let too_long = "0".repeat(33);
    for bad in [&b"10001"[..], b"-1", b"x", b"17x", b"1.5", b"99999999999999999999", b"\xff\x1b[2J", b"odd "]
    {
        let mut world = World::new();
        let client = world.connect();
        world.send(client, bad);
        assert_eq!((world.heard(client).as_str(), world.is_open(client)), ("", false), "{bad:?}");
        assert_eq!((world.server.refused(), world.server.records().count()), (1, 0));
        let [CounterEvent::Refused { id: None, what, .. }] = &world.events[..] else {
            panic!("{:?}", world.events)
        };
        assert!(what.is_ascii() && !what.contains('\x1b'), "{what}");
    }
    let mut world = World::new();
    let client = world.begin(&too_long);
    assert!(!world.is_open(client));
}

#[test]
fn c08_a_bad_word_is_refused_and_the_client_stays() {
    let mut world = World::new();
    let client = world.begin("17");
    world.heard(client);
    let bad = ["ODD", "evenodd", "1.5", "0x10", "5;6", "9223372036854775808", "-9223372036854775809", "--1"];
    for word in bad {
        world.send(client, format!("{word} "));
    }
    assert_eq!((world.server.refused(), world.is_open(client)), (bad.len() as u64, true));
    assert_eq!(world.record(17), Some(Record::default()), "nothing has changed");
    assert_eq!(world.heard(client), "", "and nothing is said");
    world.send(client, "9223372036854775807 -9223372036854775808 ");
    assert_eq!(world.record(17).map(|record| record.number), Some(i64::MIN));
}

#[test]
fn c08_a_peer_that_sends_nothing_else_fills_no_log() {
    let mut world = World::new();
    let client = world.begin("17");
    for _ in 0..100 {
        world.send(client, "x ".repeat(100));
    }
    assert_eq!(world.server.refused(), 10_000);
    let shown = world.events.iter().filter(|event| matches!(event, CounterEvent::Refused { .. })).count();
    assert_eq!(shown, 8 + 10, "8, then 16, 32, ... 8192");
}

#[test]
fn c09_more_than_32_bytes_without_a_space_close_the_connection() {
    for size in [32, 33, 34, 1000, 16 * 1024] {
        for piece in [1, 7, 33, size] {
            for end in ["", " "] {
                let message = format!("{}{end}", "0".repeat(size));
                let mut world = World::new();
                let client = world.begin("17");
                for piece in message.as_bytes().chunks(piece) {
                    world.send(client, piece);
                }
                assert_eq!(
                    world.is_open(client),
                    size <= 32,
                    "{size} bytes, {piece} at a time, then {end:?}"
                );
                assert_eq!(world.server.refused(), u64::from(size > 32));
            }
        }
    }
}

#[test]
fn c09_what_came_before_it_counts() {
    let mut world = World::new();
    let client = world.begin("17");
    world.send(client, format!("5 {} 6 ", "7".repeat(33)));
    assert_eq!(world.record(17).map(|record| record.number), Some(5));
    assert!(!world.is_open(client));
}

#[test]
fn a02_one_connection_too_many_is_turned_away() {
    let config = CounterServerConfig { max_clients: 2, ..CounterServerConfig::default() };
    let mut world = World::with(config, counting());
    let clients = [world.begin("1"), world.begin("2")];
    let third = world.begin("3");
    assert_eq!(world.ended.get(&third), Some(&Wish::Abort(AbortReason::Unwanted)));
    assert!(clients.iter().all(|&client| world.is_open(client)));
    world.end(clients[0]);
    let fourth = world.begin("4");
    assert_eq!(world.heard(fourth), "0", "there is room again");
}

#[test]
fn a02_a_connection_without_an_id_is_closed_after_10_seconds() {
    let mut world = World::new();
    let (silent, counting) = (world.begin(" "), world.begin("17"));
    let ten_seconds = world.now.instant + Duration::from_secs(10);
    assert!(world.server.next_deadline().is_some_and(|due| due <= ten_seconds), "somebody has to wake it");
    world.advance(ms(9_999));
    assert!(world.is_open(silent));
    world.advance(ms(1));
    assert!(!world.is_open(silent));
    world.advance(Duration::from_secs(100_000));
    assert!(world.is_open(counting), "who has said an id may be silent");
    assert_eq!(world.server.next_deadline(), None);
}

#[test]
fn a02_of_a_connection_that_breaks_nothing_is_kept() {
    let config = CounterServerConfig { max_clients: 2, ..CounterServerConfig::default() };
    let mut world = World::with(config, counting());
    let (silent, client) = (world.connect(), world.begin("17"));
    world.lose(silent);
    world.lose(client);
    assert!(matches!(world.events.last(), Some(CounterEvent::Ended { id, .. }) if id.get() == 17));
    assert_eq!(world.server.next_deadline(), None);
    for number in ["17", "18"] {
        let next = world.begin(number);
        assert_eq!(world.heard(next), "0", "there is room again");
    }
}

#[test]
fn a04_of_clients_turned_away_and_replaced_the_log_shows_some() {
    listen_to_log();
    let config = CounterServerConfig { max_clients: 2, ..CounterServerConfig::default() };
    let mut world = World::with(config, counting());
    world.begin("17");
    for _ in 0..20 {
        world.begin("17");
    }
    world.begin("18");
    for _ in 0..20 {
        world.connect();
    }
    assert_eq!(times_logged(["the newer connection wins", "turned away"]), [9, 9]);
}

/// Whatever comes, in whatever pieces: no panic, one record an id, and nothing kept of the connections.
#[test]
fn a02_random_bytes_do_no_harm() {
    let mut rng = fastrand::Rng::with_seed(9);
    let alphabet = b"0123456789  \n-oddeven\xff\0\x1b";
    let mut world = World::new();
    for _ in 0..2_000 {
        let client = world.connect();
        for _ in 0..rng.usize(..6) {
            let bytes: Vec<u8> =
                (0..rng.usize(1..50)).map(|_| alphabet[rng.usize(..alphabet.len())]).collect();
            world.send(client, bytes);
        }
        if rng.bool() {
            world.end(client);
        }
        world.advance(ms(rng.u64(..100)));
    }
    assert!(world.server.records().count() <= 10_001);
    world.server.drain(world.now, &mut world.links);
    world.carry_out();
    assert!(world.links.is_empty());
    assert_eq!(world.server.next_deadline(), None);
}

#[test]
fn a03_a_peer_that_does_not_read_is_given_up() {
    let mut world = World::new();
    let (deaf, other) = (world.begin("1"), world.begin("2"));
    world.heard(other);
    world.deaf.insert(deaf);
    for _ in 0..100 {
        world.send(deaf, "odd ".repeat(1_000));
    }
    assert_eq!(world.ended.get(&deaf), Some(&Wish::Abort(AbortReason::SlowReader)));
    world.send(other, "even ");
    assert!(world.heard(other).parse::<u8>().is_ok_and(|number| number % 2 == 0));
}

#[test]
fn a06_a_drain_closes_all_and_takes_nobody_new() {
    let mut world = World::new();
    let (client, silent) = (world.begin("17"), world.connect());
    world.server.drain(world.now, &mut world.links);
    world.carry_out();
    assert!(!world.is_open(client) && !world.is_open(silent));
    let late = world.connect();
    assert!(!world.is_open(late));
    assert_eq!(world.server.next_deadline(), None);
}

// ---- the client, alone ---------------------------------------------------------------------------------

struct Counting {
    client: CounterClient,
    links: Links,
    now: Now,
    start: time::Instant,
    connection: ConnectionId,
    /// What it wrote, and when.
    written: Vec<(Duration, String)>,
    events: Vec<CounterClientEvent>,
}

impl Counting {
    /// Connected; the server has said nothing.
    fn begin(entropy: Entropy) -> Counting {
        let mut links = Links::new(64 * 1024);
        let now = Now::ORIGIN;
        let connection = links.open(([127, 0, 0, 1], 9).into());
        let client = CounterClient::new(CounterClientConfig::new(id(17)), entropy);
        let (written, events) = (Vec::new(), Vec::new());
        let mut world = Counting { client, links, now, start: now.instant, connection, written, events };
        world.open();
        world
    }

    /// One to which the server has answered `number`.
    fn from(number: &str) -> Counting {
        let mut world = Counting::begin(counting());
        world.answer(number);
        world
    }

    fn open(&mut self) {
        let peer = ([127, 0, 0, 1], 2004).into();
        let origin = Origin::Dialed(DialId(0));
        self.client.handle_open(self.now, self.connection, peer, origin, &mut self.links);
        self.carry_out();
    }

    fn answer(&mut self, bytes: impl AsRef<[u8]>) {
        self.client.handle_bytes(self.now, self.connection, bytes.as_ref(), &mut self.links);
        self.carry_out();
    }

    /// Lets time pass, from deadline to deadline, as a driver does.
    fn advance(&mut self, by: Duration) {
        let until = self.now.instant + by;
        while let Some(next) = self.client.next_deadline().filter(|&next| next <= until) {
            self.now.instant = next.max(self.now.instant);
            self.client.handle_timeout(self.now, &mut self.links);
            self.carry_out();
        }
        self.now.instant = until;
    }

    fn carry_out(&mut self) {
        while let Some(id) = self.links.take_touched() {
            let text = String::from_utf8(self.links.unsent(id).to_vec()).expect("text");
            self.links.consume(id, text.len());
            if !text.is_empty() {
                self.written.push((self.now.instant - self.start, text));
            }
        }
        self.events.extend(std::iter::from_fn(|| self.client.poll_event()));
    }

    fn written(&mut self) -> Vec<String> {
        std::mem::take(&mut self.written).into_iter().map(|(_, text)| text).collect()
    }
}

#[test]
fn c10_the_bare_id_and_nothing_more_until_the_answer() {
    let mut client = Counting::begin(counting());
    client.advance(Duration::from_secs(60));
    assert_eq!(client.written(), ["17"]);
    client.answer("41");
    assert_eq!(client.events, [CounterClientEvent::Began(41)]);
    client.advance(ms(499));
    assert_eq!(client.written(), [""; 0]);
    client.advance(ms(1));
    assert_eq!(client.written(), ["42 "]);
}

#[test]
fn c10_it_counts_every_500_ms_by_1_at_first() {
    let mut client = Counting::from("-2");
    client.written();
    client.advance(ms(2_900));
    let expected: Vec<_> = (1..=5).map(|n| (ms(500 * n), format!("{} ", n.cast_signed() - 2))).collect();
    assert_eq!(client.written, expected);
}

#[test]
fn c10_it_asks_every_3_to_5_seconds_and_takes_the_answer_as_its_increment() {
    let mut rng = fastrand::Rng::with_seed(10);
    let mut client = Counting::begin(Box::new(move |bytes| rng.fill(bytes)));
    client.answer("0");
    let (mut asked, mut increment, mut number) = (Vec::new(), 1, 0_i64);
    let mut parities = HashMap::new();
    for _ in 0..10_000 {
        let next = client.client.next_deadline().expect("it counts for ever");
        client.advance(next.saturating_duration_since(client.now.instant));
        for (at, text) in std::mem::take(&mut client.written) {
            match text.as_str() {
                "17" => {}
                "odd " | "even " => {
                    *parities.entry(text).or_insert(0) += 1;
                    asked.push(at);
                    increment = 10 + i64::from(asked.len() % 2 == 0);
                    client.answer(increment.to_string());
                }
                text => {
                    number += increment;
                    assert_eq!(text, format!("{number} "));
                }
            }
        }
    }
    let gaps: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.len() > 900);
    assert!(gaps.iter().all(|gap| (ms(3_000)..=ms(5_000)).contains(gap)));
    assert!(gaps.iter().min() < Some(&ms(3_050)) && gaps.iter().max() > Some(&ms(4_950)), "at random");
    assert!(parities.values().all(|&times| times > 400), "{parities:?}");
    assert!(client.events.contains(&CounterClientEvent::Increment(11)));
    assert!(client.events.iter().any(|event| matches!(event, CounterClientEvent::Asked(Parity::Odd))));
}

/// Two answers that arrive together would be one number.
#[test]
fn c10_it_does_not_ask_again_before_the_answer() {
    let mut client = Counting::from("0");
    client.advance(Duration::from_secs(60));
    let asks =
        |texts: Vec<String>| texts.iter().filter(|text| text.contains('d') || text.contains('e')).count();
    assert_eq!(asks(client.written()), 1);
    client.answer("8");
    client.advance(Duration::from_secs(5));
    assert_eq!(asks(client.written()), 1);
}

#[test]
fn c10_a_server_that_took_its_time_is_not_asked_at_once() {
    let mut client = Counting::begin(counting());
    client.advance(Duration::from_secs(60));
    client.answer("0");
    client.advance(ms(2_999));
    assert!(client.written().iter().all(|text| text.trim_end().parse::<i64>().is_ok()));
}

#[test]
fn c10_the_number_stays_within_64_bits() {
    let mut client = Counting::from(&(i64::MAX - 1).to_string());
    client.advance(ms(1_500));
    assert_eq!(client.written().last(), Some(&format!("{} ", i64::MAX)));
}

#[test]
fn c10_an_answer_that_is_no_number_ends_the_connection() {
    for answer in [&b"x"[..], b"1 2", b"\xff", b"9223372036854775808"] {
        let mut client = Counting::begin(counting());
        client.answer(answer);
        assert!(!client.links.is_open(client.connection), "{answer:?}");
    }
    let mut client = Counting::begin(counting());
    client.answer(" \n");
    assert!(client.links.is_open(client.connection), "white space alone is nothing");
    client.answer("5\n");
    assert_eq!(client.events, [CounterClientEvent::Began(5)]);
}

/// A connection that is being closed lasts up to a second.
#[test]
fn c10_nothing_is_counted_on_a_connection_that_is_being_closed() {
    let mut client = Counting::from("0");
    client.links.close(client.connection);
    client.events.clear();
    client.advance(Duration::from_secs(10));
    assert_eq!(client.events, []);
    assert_eq!(client.client.next_deadline(), None);
}

#[test]
fn c10_nothing_is_counted_without_a_connection() {
    let mut client = Counting::from("0");
    client.events.clear();
    client.client.handle_end(client.now, client.connection, &mut client.links);
    assert_eq!(client.links.wish_of(client.connection), Wish::Close, "the server has finished");
    client.client.handle_closed(client.now, client.connection, CloseReason::Finished, &mut client.links);
    assert_eq!(client.client.next_deadline(), None);
    client.advance(Duration::from_secs(10));
    assert_eq!(client.events, []);
}

#[test]
fn a06_a_drain_closes_the_clients_connection() {
    let mut client = Counting::from("0");
    client.client.drain(client.now, &mut client.links);
    assert_eq!(client.links.wish_of(client.connection), Wish::Close);
}

#[test]
fn c10_the_next_connection_goes_on_from_the_servers_number() {
    let mut client = Counting::from("10");
    client.advance(ms(500));
    let old = client.connection;
    client.links.close(old);
    client.connection = client.links.open(([127, 0, 0, 1], 9).into());
    client.written();
    client.open();
    // The end of the old one comes behind the beginning of the new one.
    client.client.handle_closed(client.now, old, CloseReason::Finished, &mut client.links);
    client.advance(Duration::from_secs(9));
    assert_eq!(client.written(), ["17"], "the answer has not come");
    client.answer("100");
    client.advance(ms(500));
    assert_eq!(client.written(), ["101 "]);
}

#[test]
fn c10_times_without_end_are_no_panic() {
    let mut config = CounterClientConfig::new(id(1));
    config.ask_max = Duration::MAX;
    config.ask_min = Duration::MAX / 2;
    let mut client = CounterClient::new(config, Box::new(|bytes| bytes.fill(0xff)));
    let mut links = Links::new(1000);
    let connection = links.open(([127, 0, 0, 1], 9).into());
    let now = Now::ORIGIN;
    client.handle_open(now, connection, ([127, 0, 0, 1], 1).into(), Origin::Dialed(DialId(0)), &mut links);
    client.handle_bytes(now, connection, b"0", &mut links);
    assert_eq!(client.next_deadline(), Some(now.instant + ms(500)));
}

// ---- the server as a program ---------------------------------------------------------------------------

struct Server {
    process: Process,
    address: String,
}

fn server_command(folder: &Folder, listen: &str) -> Command {
    let mut command = example("counter_server");
    command.args(["--listen", listen, "--log-file"]).arg(folder.path("server.log"));
    command
}

fn with_state(folder: &Folder, listen: &str) -> Command {
    let mut command = server_command(folder, listen);
    command.arg("--state").arg(folder.path("state"));
    command
}

impl Server {
    fn start(folder: &Folder) -> Server {
        Server::spawn(&mut server_command(folder, "127.0.0.1:0"))
    }

    fn spawn(command: &mut Command) -> Server {
        let mut process = Process::spawn(command);
        let says = "Waiting for new connections on ";
        let line = process.wait_for_line("address", |line| line.text.starts_with(says), PATIENCE);
        Server { process, address: line.text[says.len()..].to_owned() }
    }

    fn wait_for(&mut self, text: &str) {
        wait_for(&mut self.process, text);
    }

    fn stop(mut self) -> Process {
        self.process.signal("TERM");
        self.process.expect_exit(0, PATIENCE);
        self.process
    }
}

fn wait_for(process: &mut Process, text: &str) -> Line {
    process.wait_for_line(&format!("{text:?}"), |line| line.text.contains(text), PATIENCE)
}

struct Peer(TcpStream);

impl Peer {
    /// Sends `id`, and reads the answer.
    fn begin(address: &str, id: &str) -> (Peer, String) {
        let mut peer = Peer(connect(address));
        peer.send(id);
        let answer = peer.recv();
        (peer, answer)
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).expect("the server is there");
    }

    /// One `recv(1024)`.
    fn recv(&mut self) -> String {
        let mut bytes = [0; 1024];
        let count = self.0.read(&mut bytes).expect("an answer in time");
        String::from_utf8(bytes[..count].to_vec()).expect("text")
    }
}

/// On standard output stands what is in the file, without the time, and nothing else.
#[test]
fn c06_and_c11_the_log_has_date_time_level_and_text_in_local_time() {
    let folder = Folder::new();
    // Five hours and three quarters from Greenwich, without daylight saving.
    let mut server = Server::spawn(server_command(&folder, "127.0.0.1:0").env("TZ", "Asia/Kathmandu"));
    let (mut peer, answer) = Peer::begin(&server.address, "17");
    assert_eq!(answer, "0");
    peer.send("5 odd \x1b[31m ");
    let random = peer.recv();
    server.wait_for("refused");
    drop(peer);
    server.wait_for("disconnected");
    let process = server.stop();
    let log = fs::read_to_string(folder.path("server.log")).expect("a log");
    let mut texts = Vec::new();
    for line in log.lines() {
        let (time, text) = line.split_at(23);
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(shape, "9999-99-99 99:99:99,999", "{line}");
        texts.push(text.strip_prefix(" INFO ").expect("a level"));
    }
    assert_eq!(texts, process.lines(Stream::Out));
    assert_eq!(texts[0], "SERVER ONLINE");
    assert!(texts[1].starts_with("Waiting for new connections"));
    assert!(texts[2].starts_with("client 17 connected from 127.0.0.1:"));
    assert_eq!(
        texts[3..5],
        ["client 17 sent 5".to_owned(), format!("client 17 asked for odd, got {random}")]
    );
    assert!(texts[5].ends_with("\"\\x1b[31m\""), "escaped: {}", texts[5]);
    assert_eq!((texts.len(), process.lines(Stream::Err).len()), (7, 0));

    let minutes = |text: &str| -> i64 {
        let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().expect("a number");
        number(11..13) * 60 + number(14..16)
    };
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("later than 1970");
    let there = i64::try_from(since_1970.as_secs()).expect("a time") / 60 + 5 * 60 + 45;
    let late = (there - minutes(&log)).rem_euclid(24 * 60);
    assert!(late <= 2, "{late} minutes apart: {log}");
}

#[test]
fn c06_the_log_is_appended_to() {
    let folder = Folder::new();
    Server::start(&folder).stop();
    Server::start(&folder).stop();
    let log = fs::read_to_string(folder.path("server.log")).expect("a log");
    assert_eq!(log.matches("SERVER ONLINE").count(), 2);
}

#[test]
fn c06_a_log_that_cannot_be_opened_is_exit_code_1() {
    let folder = Folder::new();
    for file in [folder.path("missing/server.log"), folder.as_ref().to_owned()] {
        let mut server = Process::spawn(
            example("counter_server").args(["--listen", "127.0.0.1:0", "--log-file"]).arg(&file),
        );
        server.expect_exit(1, PATIENCE);
        let [line] = server.lines(Stream::Err)[..] else { server.fail("one line") };
        assert!(line.contains(&*file.to_string_lossy()) && line.contains("--log-file"), "{line}");
    }
}

#[test]
fn c06_a_full_disk_is_said_once_and_service_goes_on() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let mut command = example("counter_server");
    let mut server = Server::spawn(command.args(["--listen", "127.0.0.1:0", "--log-file", "/dev/full"]));
    let (mut peer, _) = Peer::begin(&server.address, "17");
    for number in 0..20 {
        peer.send(&format!("{number} odd "));
        peer.recv();
    }
    server.wait_for("client 17 sent 19");
    drop(peer);
    let process = server.stop();
    let said = process.lines(Stream::Err);
    assert_eq!(said.iter().filter(|line| line.contains("cannot be written")).count(), 1, "{said:?}");
    assert!(said.iter().any(|line| line.contains("44 lines were lost")), "counted: {said:?}");
}

#[test]
fn c05_the_state_survives_sigterm() {
    let folder = Folder::new();
    let server = Server::spawn(&mut with_state(&folder, "127.0.0.1:0"));
    let (mut peer, _) = Peer::begin(&server.address, "17");
    peer.send("41 odd ");
    let random = peer.recv();
    server.stop();
    let saved = fs::read_to_string(folder.path("state")).expect("a state");
    assert_eq!(saved, format!("17 41 {random}\n"));
    assert_eq!(fs::read_dir(&folder).expect("there").count(), 2, "nothing is left beside it");
    let server = Server::spawn(&mut with_state(&folder, "127.0.0.1:0"));
    let (_peer, answer) = Peer::begin(&server.address, "17");
    assert_eq!(answer, "41");
}

/// Somebody counts all the time; whenever the server is killed, what is older than a second is there.
#[test]
fn c05_a_kill_loses_nothing_older_than_a_second() {
    let folder = Folder::new();
    let mut begin = 0_i64;
    for round in 0..4 {
        let server = Server::spawn(&mut with_state(&folder, "127.0.0.1:0"));
        let (mut peer, answer) = Peer::begin(&server.address, "17");
        let restored: i64 = answer.parse().expect("a number");
        assert!(restored >= begin, "{restored} after {begin}");
        let start = Instant::now();
        let mut sent = Vec::new();
        let mut number = restored;
        while start.elapsed() < ms(1_300 + 170 * round) {
            number += 1;
            peer.send(&format!("{number} odd "));
            // The answer proves that the number before it has arrived.
            peer.recv();
            sent.push((Instant::now(), number));
            // A pace, not a wait: nothing depends on it but the length of the log.
            std::thread::sleep(ms(5));
        }
        let killed = Instant::now();
        server.process.kill(PATIENCE);
        begin = sent
            .iter()
            .filter(|(at, _)| killed - *at > Duration::from_secs(1))
            .map(|(_, number)| *number)
            .max()
            .expect("some are older");
        let saved = fs::read_to_string(folder.path("state")).expect("a state");
        let saved: i64 = saved.split(' ').nth(1).and_then(|number| number.parse().ok()).expect("whole");
        assert!(saved >= begin, "{saved} is saved, {begin} is older than a second");
    }
}

/// A reader sees the old or the new file, whole: also while it is replaced.
#[test]
fn c05_the_state_is_written_atomically() {
    let folder = Folder::new();
    let state = folder.path("state");
    let before: String = (0..=10_000).map(|id| format!("{id} {id} -\n")).collect();
    fs::write(&state, &before).expect("a directory of ours");
    let server = Server::spawn(&mut with_state(&folder, "127.0.0.1:0"));
    let (mut peer, answer) = Peer::begin(&server.address, "9999");
    assert_eq!(answer, "9999");
    let mut seen = HashSet::new();
    let start = Instant::now();
    while seen.len() < 3 {
        assert!(start.elapsed() < PATIENCE, "only {} versions seen", seen.len());
        peer.send(&format!("{} ", start.elapsed().as_nanos()));
        let text = fs::read_to_string(&state).expect("always there");
        assert_eq!(text.lines().count(), 10_001);
        assert!(text.ends_with("10000 10000 -\n"));
        seen.insert(text.lines().nth(9_999).map(str::to_owned));
    }
    drop(server);
}

#[test]
fn c05_a_malformed_state_is_a_clear_error() {
    let folder = Folder::new();
    for (text, line) in [
        (&b"17 5 -\n18 x -\n"[..], "line 2"),
        (b"10001 5 -\n", "line 1"),
        (b"17 5\n", "line 1"),
        (b"17 5 - -\n", "line 1"),
        (b"17 5 100\n", "line 1"),
        (b"17 9223372036854775808 -\n", "line 1"),
        (b"\n", "line 1"),
        (b"\xff", "UTF-8"),
    ] {
        fs::write(folder.path("state"), text).expect("a directory of ours");
        let mut server = Process::spawn(&mut with_state(&folder, "127.0.0.1:0"));
        server.expect_exit(1, PATIENCE);
        let [said] = server.lines(Stream::Err)[..] else { server.fail("one line") };
        assert!(said.contains("state") && said.contains(line), "{said}");
        assert_eq!(fs::read(folder.path("state")).expect("there"), text, "left as it was");
    }
}

#[test]
fn c05_a_state_that_cannot_be_written_is_said_at_the_beginning() {
    let folder = Folder::new();
    let mut command = server_command(&folder, "127.0.0.1:0");
    let mut server = Process::spawn(command.arg("--state").arg(folder.path("missing/state")));
    server.expect_exit(1, PATIENCE);
    let [said] = server.lines(Stream::Err)[..] else { server.fail("one line") };
    assert!(said.contains("missing/state") && said.contains("--state"), "{said}");
}

/// The disk of the state is full, then it is not: nothing is lost, though nothing has changed since.
#[test]
fn c05_a_failed_save_is_said_once_and_tried_again() {
    let folder = Folder::new();
    let mut server = Server::spawn(&mut with_state(&folder, "127.0.0.1:0"));
    // Where it would write, a directory is in the way.
    fs::create_dir(folder.path("state.new")).expect("a directory of ours");
    let (mut peer, _) = Peer::begin(&server.address, "17");
    peer.send("41 ");
    server.wait_for("cannot be written");
    fs::remove_dir(folder.path("state.new")).expect("empty");
    server.wait_for("written again");
    assert_eq!(fs::read_to_string(folder.path("state")).expect("a state"), "17 41 -\n");
    let said = server.process.lines(Stream::Err);
    assert_eq!(said.iter().filter(|line| line.contains("cannot be written")).count(), 1, "{said:?}");
}

#[test]
fn c07_of_two_clients_with_one_id_the_newer_one_stays() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut older = Client::start(&server.address, &["--id", "17"]);
    older.type_line("c");
    older.wait_for("Sent 1");
    let mut newer = Client::start(&server.address, &["--id", "17"]);
    newer.type_line("c");
    older.wait_for("The connection is closed by the peer");
    newer.wait_for("Sent 2");
    // The older one may come back, if somebody wants that.
    older.type_line("c");
    newer.wait_for("The connection is closed by the peer");
    older.type_line("exit");
    older.process.expect_exit(0, PATIENCE);
}

#[test]
fn a05_an_address_in_use_is_exit_code_1() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut second = Process::spawn(&mut server_command(&folder, &server.address));
    second.expect_exit(1, PATIENCE);
    let [said] = second.lines(Stream::Err)[..] else { second.fail("one line") };
    assert!(said.contains(&server.address) && said.contains("--listen"), "{said}");
}

#[test]
fn a06_sigterm_closes_clients_and_ends_with_0() {
    let folder = Folder::new();
    let mut server = Server::start(&folder);
    let (mut peer, _) = Peer::begin(&server.address, "17");
    server.process.signal("TERM");
    assert_eq!(peer.recv(), "", "closed");
    drop(peer);
    server.process.expect_exit(0, PATIENCE);
}

#[test]
fn a08_standard_output_that_nobody_reads_stops_nobody() {
    let folder = Folder::new();
    for reading in [Reading::FirstLineThenClosed, Reading::FirstLineThenStuck] {
        let address = free_address();
        let mut command = server_command(&folder, &address);
        let mut process = Process::spawn_reading(&mut command, reading, Reading::All);
        wait_for(&mut process, "SERVER ONLINE");
        let log = folder.path("server.log");
        let start = Instant::now();
        while !fs::read_to_string(&log).is_ok_and(|log| log.contains(&address)) {
            assert!(start.elapsed() < PATIENCE, "it does not listen");
            std::thread::yield_now();
        }
        let (mut peer, _) = Peer::begin(&address, "17");
        for _ in 0..20 {
            peer.send(&"1 ".repeat(200));
            peer.send("odd ");
            assert!(peer.recv().parse::<u8>().is_ok_and(|number| number % 2 == 1));
        }
        drop(peer);
        process.signal("TERM");
        process.expect_exit(0, PATIENCE);
        assert_eq!(fs::read_to_string(&log).expect("a log").matches("client 17 sent 1\n").count() % 4_000, 0);
    }
}

// ---- the client as a program ---------------------------------------------------------------------------

/// A counter_client and somebody who types.
struct Client {
    process: Process,
    typist: Option<Typist>,
}

fn client_command(address: &str, options: &[&str]) -> Command {
    let mut command = example("counter_client");
    command.args(["--connect", address]).args(options);
    command
}

impl Client {
    fn start(address: &str, options: &[&str]) -> Client {
        let (process, typist) = typed(&client_command(address, options));
        Client { process, typist: Some(typist) }
    }

    fn type_line(&mut self, text: &str) {
        self.typist.as_mut().expect("somebody types").types(&format!("{text}\n"));
    }

    fn wait_for(&mut self, text: &str) -> String {
        wait_for(&mut self.process, text).text
    }
}

#[test]
fn c10_the_commands_do_what_they_say() {
    let folder = Folder::new();
    let mut server = Server::start(&folder);
    let mut client = Client::start(&server.address, &["--id", "17"]);
    for help in ["c - ", "s - ", "exit - "] {
        client.wait_for(help);
    }
    client.type_line("s");
    client.wait_for("Client isn't running!");
    client.type_line("c");
    client.wait_for("Counting from 0");
    client.wait_for("Sent 2");
    client.type_line(" c ");
    client.wait_for("Client already running!");
    client.type_line("s");
    server.wait_for("disconnected");
    client.type_line("what?");
    client.process.wait_until("help again", PATIENCE, |lines| {
        (lines.iter().filter(|line| line.text.contains("exit - ")).count() == 2).then_some(())
    });
    client.type_line("exit");
    client.process.expect_exit(0, PATIENCE);
    assert!(client.process.lines(Stream::Out).iter().any(|line| line.contains("What do you want to do?")));
}

/// A new dial has the number of the one before, whose end comes later.
#[test]
fn c10_s_and_c_at_once_go_on_from_the_servers_number() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut client = Client::start(&server.address, &["--id", "17"]);
    client.type_line("c");
    let mut last = 0;
    for round in 1..=5 {
        client.wait_for(&format!("Sent {}", last + 1));
        client.type_line("s\nc");
        let from = client.process.wait_until("new beginning", PATIENCE, |lines| {
            let begun = |line: &Line| line.text.split("Counting from ").nth(1)?.parse::<i64>().ok();
            lines.iter().filter_map(begun).nth(round)
        });
        let sent = client.process.lines(Stream::Out);
        let sent = sent.iter().filter_map(|line| line.strip_prefix("Sent ")?.parse::<i64>().ok()).max();
        assert_eq!(Some(from), sent, "from where it was");
        last = from;
    }
    client.process.expect_no_line("an end", |line| line.text.contains("connects again"), ms(1_500));
    client.wait_for(&format!("Sent {}", last + 1));
}

#[test]
fn c10_it_asks_and_counts_by_the_answer() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut client = Client::start(&server.address, &[]);
    client.type_line("c");
    client.wait_for("Asked for ");
    let by: i64 =
        client.wait_for("Counting by ").split(' ').find_map(|word| word.parse().ok()).expect("a number");
    client.process.wait_until("steps", PATIENCE, |lines| {
        let behind = lines.iter().skip_while(|line| !line.text.contains("Counting by "));
        let sent: Vec<i64> =
            behind.filter_map(|line| line.text.strip_prefix("Sent ")?.parse().ok()).take(3).collect();
        (sent.len() == 3).then(|| assert_eq!([sent[1] - sent[0], sent[2] - sent[1]], [by, by]))
    });
}

#[test]
fn c10_standard_input_may_be_anything() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let file = folder.path("commands");
    fs::write(&file, "s\nc\nc\nexit").expect("a directory of ours");
    let command = client_command(&server.address, &["--id", "17"]);
    for input in ["< /dev/null", "<&-"] {
        redirected(&command, input).expect_exit(0, PATIENCE);
    }
    let mut client = redirected(&command, &format!("< '{}'", file.display()));
    client.expect_exit(0, PATIENCE);
    let said: Vec<_> = client.lines(Stream::Out);
    assert!(said.iter().any(|line| line.contains("Client isn't running!")), "{said:?}");
    assert!(said.iter().any(|line| line.contains("Client already running!")), "{said:?}");
    // A pipe whose writer goes away.
    let mut client = Client::start(&server.address, &["--id", "17"]);
    client.type_line("c");
    client.wait_for("Sent 1");
    client.typist = None;
    client.process.expect_exit(0, PATIENCE);
}

/// A person at a terminal sees the prompt below what happens, and `exit` ends it.
#[test]
fn c10_at_a_terminal_the_prompt_comes_back() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = example("counter_client");
    let script = r#"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen = b""
def wait_for(text):
    global seen
    while text not in seen:
        seen += os.read(terminal, 1024)
prompt = b"What do you want to do? "
wait_for(prompt)
os.write(terminal, b"c\n")
wait_for(b"\r\x1b[KSent 1\r\n" + prompt)
wait_for(b"\r\x1b[KSent 2\r\n" + prompt)
os.write(terminal, b"exit\n")
try:
    while data := os.read(terminal, 1024):
        seen += data
except OSError:
    pass
print(repr(seen))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;
    if legacy("counter_client.py").is_none() {
        return;
    }
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(client.get_program());
    let mut terminal = Process::spawn(python.args(["--connect", &server.address, "--id", "17"]));
    terminal.expect_exit(0, PATIENCE);
}

#[test]
fn a05_without_a_server_the_client_says_so_and_stays() {
    let folder = Folder::new();
    let mut server = Server::start(&folder);
    let address = server.address.clone();
    let mut client = Client::start(&address, &["--id", "17"]);
    client.type_line("c");
    client.wait_for("Sent 1");
    server.process.signal("TERM");
    client.wait_for("The connection is closed by the peer");
    server.process.expect_exit(0, PATIENCE);
    client.type_line("c");
    let said = client.wait_for("cannot connect");
    assert!(said.contains(&address) && said.contains("--connect"), "{said}");
    client.type_line("s");
    client.wait_for("Client isn't running!");
    let mut server = Server::spawn(&mut server_command(&folder, &address));
    client.type_line("c");
    server.wait_for("client 17 sent 1");
}

#[test]
fn a05_wrong_usage_is_exit_code_1() {
    for (program, args) in [
        ("counter_client", &["--id", "10001"][..]),
        ("counter_client", &["--id", "x"]),
        ("counter_client", &["--id", "-1"]),
        ("counter_client", &["--connect", "127.0.0.1"]),
        ("counter_client", &["--connect", "127.0.0.1:70000"]),
        ("counter_client", &["--what"]),
        ("counter_server", &["--listen", "127.0.0.1:70000"]),
        ("counter_server", &["--listen", "nowhere"]),
        ("counter_server", &["what"]),
    ] {
        let folder = Folder::new();
        let mut process = Process::spawn(example(program).args(args).current_dir(&folder));
        process.expect_exit(1, PATIENCE);
        assert!(!process.lines(Stream::Err).is_empty() && process.lines(Stream::Out).is_empty());
        assert_eq!(fs::read_dir(&folder).expect("there").count(), 0, "{program} {args:?} leaves no file");
    }
}

#[test]
fn a06_sigterm_ends_the_client_with_0() {
    let folder = Folder::new();
    let mut server = Server::start(&folder);
    let mut client = Client::start(&server.address, &["--id", "17"]);
    client.process.wait_for_line("help", |line| line.text.contains("exit - "), PATIENCE);
    client.type_line("c");
    client.wait_for("Sent 1");
    client.process.signal("TERM");
    client.process.expect_exit(0, PATIENCE);
    server.wait_for("client 17 sent 1");
    server.wait_for("disconnected");
}

// ---- against the legacy programs -----------------------------------------------------------------------

#[test]
fn c01_to_c04_legacy_clients_work_unchanged() {
    let folder = Folder::new();
    let mut server = Server::spawn(&mut with_state(&folder, "127.0.0.1:0"));
    let (host, port) = server.address.split_once(':').expect("HOST:PORT");
    let (host, port) = (host.to_owned(), port.to_owned());
    let start = |id: &str, options: &[&str]| {
        Some(Process::spawn(legacy("counter_client.py")?.args([&host, &port, id]).args(options)))
    };
    // One at the pace of the field, and several in a hurry.
    let Some(mut slow) = start("7", &[]) else { return };
    let mut fast: Vec<_> = ["17", "18", "19"].iter().filter_map(|id| start(id, &["--fast"])).collect();
    for client in &mut fast {
        wait_for(client, "start 0");
        client.wait_until("increments", PATIENCE, |lines| {
            (lines.iter().filter(|line| line.text.starts_with("increment ")).count() >= 5).then_some(())
        });
    }
    wait_for(&mut slow, "increment ");
    // Where it stopped, it goes on.
    let last = fast.remove(0).kill(PATIENCE);
    assert!(last.is_empty());
    server.wait_for("client 17 at");
    let on_server = server.process.wait_until("a number", PATIENCE, |lines| {
        lines.iter().rev().find_map(|line| line.text.strip_prefix("client 17 sent ")?.parse::<i64>().ok())
    });
    let Some(mut again) = start("17", &["--fast"]) else { return };
    wait_for(&mut again, &format!("start {on_server}"));
    let process = server.stop();
    assert_eq!(process.lines(Stream::Out).iter().filter(|line| line.contains("refused")).count(), 0);
    wait_for(&mut again, "closed");
}

#[test]
fn c10_counter_client_works_with_a_legacy_server() {
    let Some(mut command) = legacy("counter_server.py") else { return };
    let mut server = Process::spawn(command.arg("0"));
    let port = server.wait_for_line("port", |line| line.stream == Stream::Out, PATIENCE).text;
    let mut client = Client::start(&format!("127.0.0.1:{port}"), &["--id", "17"]);
    client.type_line("c");
    wait_for(&mut server, "17 began 0");
    client.wait_for("Counting from 0");
    wait_for(&mut server, "17 asked ");
    client.wait_for("Counting by ");
    client.type_line("s");
    wait_for(&mut server, "17 closed");
    let last = server.wait_until("a number", PATIENCE, |lines| {
        lines.iter().rev().find_map(|line| line.text.strip_prefix("17 sent ").map(str::to_owned))
    });
    client.type_line("c");
    client.wait_for(&format!("Counting from {last}"));
    client.type_line("exit");
    client.process.expect_exit(0, PATIENCE);
    assert!(!server.lines(Stream::Out).iter().any(|line| line.starts_with("bad")), "it understood all");
}
