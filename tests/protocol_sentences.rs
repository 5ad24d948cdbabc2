//! The turn protocol by its sentences: one test at least for each, named after it, in virtual time.
//!
//! They were written from docs/PROTOCOL.md, not from the code, and see the server only as its peers and its host do. What needs
//! sockets is tested in `tests/sockets.rs`, what needs processes in `tests/examples.rs`: T14 (several listen addresses), A1
//! (what is bound), A5 (errors of the system and of usage), A6 (signals), A7 (lingering close), and of A8 what
//! concerns standard output. Random worlds are in `tests/simulation.rs`.

#[path = "support/log.rs"]
mod logged;
#[path = "support/world/mod.rs"]
mod world;

use std::time::Duration;

use log::Level;
use logged::{listen_to_log, take_log};
use taketurns::protocol::turns::{
    ClientEvent, Code, Framing, Name, SeatData, Skipped, TurnClient, TurnClientConfig, TurnEvent,
    TurnServerConfig,
};
use taketurns::protocol::{CloseReason, ConnectionId, DialId, Links, Origin, Protocol};
use taketurns::time::Now;
use world::{Peer, World, field, ms, secs};

// ---- worlds to start from -----------------------------------------------------------------------------

fn raw_config() -> TurnServerConfig {
    TurnServerConfig { framing: Framing::Raw, ..TurnServerConfig::default() }
}

fn line_config() -> TurnServerConfig {
    TurnServerConfig { framing: Framing::Line, ..TurnServerConfig::default() }
}

fn raw_world() -> World {
    World::new(raw_config(), 1)
}

fn line_world() -> World {
    World::new(line_config(), 1)
}

/// A raw ring of `N` connections in this order that have heard their `WAIT`; the first has its `GO`.
fn raw_ring<const N: usize>(config: TurnServerConfig) -> (World, [Peer; N]) {
    let mut world = World::new(config, 1);
    let peers = [(); N].map(|()| world.connect());
    world.drive_for(ms(100));
    for peer in peers {
        world.heard(peer);
    }
    (world, peers)
}

/// A client of the line framing that has joined.
#[derive(Debug, Clone)]
struct Member {
    peer: Peer,
    name: String,
    welcome: String,
    /// What came behind the `WELCOME`.
    then: Vec<String>,
}

impl Member {
    fn secret(&self) -> &str {
        field(&self.welcome, "resume")
    }
}

/// A new connection says `JOIN {fields}`, and must be welcomed.
fn join(world: &mut World, fields: &str) -> Member {
    let peer = world.connect();
    world.say(peer, &format!("JOIN {fields}"));
    let mut heard = world.heard(peer);
    assert!(heard.first().is_some_and(|line| line.starts_with("WELCOME ")), "{fields}: {heard:?}");
    let welcome = heard.remove(0);
    let name = fields.split(' ').next().unwrap_or_default().to_owned();
    Member { peer, name, welcome, then: heard }
}

/// A ring of the line framing with these members, in this order. What they heard at first is dropped.
fn line_ring<const N: usize>(config: TurnServerConfig, members: [&str; N]) -> (World, [Member; N]) {
    let mut world = World::new(config, 1);
    let members = members.map(|fields| join(&mut world, fields));
    for member in &members {
        world.heard(member.peer);
    }
    (world, members)
}

/// The code of the one `NO` or `BYE` that `peer` heard last.
fn refusal(world: &mut World, peer: Peer) -> String {
    let heard = world.heard(peer);
    let [line] = heard.as_slice() else { panic!("expected one refusal, heard {heard:?}") };
    match line.split(' ').collect::<Vec<_>>().as_slice() {
        ["NO", turn, code, _words, ..] if turn.starts_with("turn=") => (*code).to_owned(),
        ["BYE", code, _words, ..] => (*code).to_owned(),
        _ => panic!("not a refusal with a code and words: {line:?}"),
    }
}

/// The turn held in the only ring, with the time at which it lapses.
fn held(world: &World) -> Option<(u64, Duration)> {
    let scheduler = world.server.scheduler();
    let ring = scheduler.rings().next()?;
    scheduler.held(ring).map(|held| (held.turn.get(), world.time_of(held.deadline)))
}

fn accepted(world: &World) -> Vec<String> {
    world.accepted().iter().map(|(name, number)| format!("{name}:{number}")).collect()
}

/// Who has the turn in the next `turns` turns, each answered at once: as indices into `peers`. Begins with the present holder.
fn raw_order(world: &mut World, peers: &[Peer], turns: usize) -> Vec<usize> {
    let mut order = Vec::new();
    for turn in 0..turns {
        let go =
            world.deliveries.iter().rposition(|write| write.bytes == b"GO").expect("somebody has heard GO");
        let holder = world.deliveries[go].peer;
        let at = peers.iter().position(|&peer| peer == holder).expect("one of these");
        order.push(at);
        world.say(holder, &format!("p{at}:{turn}"));
        let written: Vec<_> = world.deliveries[go + 1..].iter().map(world::Delivery::text).collect();
        assert_eq!(written, ["GO"], "each turn is one GO, after {order:?}");
    }
    order
}

/// Who hears `GO` in the next `turns` turns, each answered at once: by name. Begins with the present holder.
fn line_order(world: &mut World, members: &[Member], turns: usize) -> Vec<String> {
    let mut order = Vec::new();
    for turn in 0..turns {
        let (number, _) = held(world).unwrap_or_else(|| panic!("a turn is held after {order:?}"));
        let go = format!("GO turn={number} ");
        let mut holders = members.iter().filter(|member| {
            let said: Vec<u8> = world.recvs(member.peer).iter().flat_map(|recv| recv.bytes.clone()).collect();
            world.is_open(member.peer) && String::from_utf8_lossy(&said).contains(&go)
        });
        let holder = holders.next().unwrap_or_else(|| panic!("somebody has heard {go:?}"));
        assert!(holders.next().is_none(), "only one has heard {go:?}");
        let (peer, name) = (holder.peer, holder.name.clone());
        order.push(name.clone());
        world.say(peer, &format!("{name}:{turn} turn={number}"));
        assert!(world.heard(peer).contains(&format!("OK turn={number}")));
    }
    order
}

// ---- T1 to T14: what both framings share, and the raw framing -----------------------------------------

/// T1: accepted is seated, without a byte; the longest-vacant seat is taken first, then a new one at the end.
#[test]
fn t01_a_connection_is_seated_when_accepted_in_the_longest_vacant_seat() {
    let (mut world, [a, b, c, d]) = raw_ring(raw_config());
    assert_eq!(world.server.scheduler().seats(), 4);
    // d is lost before b: whoever comes next gets d's place, and the one after that b's.
    world.reset(d);
    world.drive_for(secs(1));
    world.reset(b);
    world.drive_for(secs(1));
    let e = world.connect();
    let f = world.connect();
    assert_eq!(world.server.scheduler().seats(), 4, "no seat was added while some were vacant");
    let g = world.connect();
    assert_eq!(world.server.scheduler().seats(), 5);
    world.drive_for(ms(100));
    world.say(a, "a:0");
    let order = raw_order(&mut world, &[a, f, c, e, g], 6);
    assert_eq!(order, [1, 2, 3, 4, 0, 1], "b's place is f's, d's is e's, and g sits at the end");
}

/// T2: no turn with fewer than `min_clients` occupied seats; the default is two.
#[test]
fn t02_turns_start_with_enough_seats_and_pause_with_fewer() {
    assert_eq!(TurnServerConfig::default().min_clients, 2);
    let mut world = World::new(TurnServerConfig { min_clients: 3, ..raw_config() }, 1);
    let [a, b] = [world.connect(), world.connect()];
    world.drive_for(secs(100));
    assert_eq!((world.heard(a), world.heard(b)), (vec!["WAIT".to_owned()], vec!["WAIT".to_owned()]));
    let c = world.connect();
    assert_eq!(world.heard(a), ["GO"]);
    world.drive_for(ms(100));
    world.heard(c);
    world.reset(c);
    world.say(a, "a:1");
    assert_eq!(accepted(&world), ["a:1"], "a turn that is granted may still be answered");
    world.drive_for(secs(10));
    assert_eq!(world.heard(b), [""; 0], "two of three: the ring is paused");
    let d = world.connect();
    assert_eq!((world.heard(b), world.heard(d)), (vec!["GO".to_owned()], vec!["WAIT".to_owned()]));

    let mut world = line_world();
    let ann = join(&mut world, "ann");
    assert_eq!(ann.then, ["WAIT ahead=0"]);
    // The seats of another ring do not count.
    join(&mut world, "bob ring=other");
    world.drive_for(secs(5));
    assert_eq!(world.heard(ann.peer), [""; 0]);
    join(&mut world, "cid");
    assert_eq!(world.heard(ann.peer), ["GO turn=1 within=30000"]);
}

/// T2: with two clients the accepted numbers alternate, also over reconnects at any moment.
#[test]
fn t02_two_clients_always_alternate_also_over_reconnects() {
    for seed in 0..100 {
        let mut world = World::new(raw_config(), seed);
        let mut numbers = [1, 2];
        let mut peers = [world.connect(), world.connect()];
        let mut lost: Option<usize> = None;
        for _ in 0..60 {
            for at in 0..2 {
                for heard in world.heard(peers[at]) {
                    // Sometimes nobody answers, because it is lost just then.
                    if heard == "GO" && world.rng.u8(0..4) > 0 {
                        world.queue(peers[at], &format!("p{at}:{}", numbers[at]));
                        numbers[at] += 2;
                    } else if heard == "GO" && lost.is_none() {
                        world.reset_quietly(peers[at]);
                        lost = Some(at);
                    }
                }
            }
            if world.rng.u8(0..6) == 0 && lost.is_none() {
                let at = world.rng.usize(0..2);
                world.reset_quietly(peers[at]);
                lost = Some(at);
            }
            let pause = world.rng.u64(0..2000);
            world.drive_for(ms(pause));
            if let Some(at) = lost.take_if(|_| world.rng.bool()) {
                peers[at] = world.connect();
            }
        }
        let accepted = world.accepted();
        let lapsed = world
            .events
            .iter()
            .any(|(_, event)| matches!(event, TurnEvent::Skipped { how: Skipped::Lapsed, .. }));
        assert!(
            lapsed || accepted.windows(2).all(|pair| pair[0].0 != pair[1].0),
            "seed {seed}: {accepted:?}"
        );
    }
}

/// T3: the holder hears `GO` once for its turn, whatever else happens meanwhile, and nobody else does.
#[test]
fn t03_go_is_sent_to_the_holder_once_a_turn_and_connection() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    assert_eq!(world.recvs(a).iter().filter(|recv| recv.bytes == b"GO").count(), 1);
    let c = world.connect();
    world.reset(c);
    world.drive_for(secs(20));
    assert_eq!(world.heard(a), [""; 0]);
    assert_eq!(world.heard(b), [""; 0]);
    for turn in 0..6 {
        let (holder, other) = if turn % 2 == 0 { (a, b) } else { (b, a) };
        world.say(holder, "x:1");
        assert_eq!((world.heard(other), world.heard(holder)), (vec!["GO".to_owned()], vec![]));
    }

    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    join(&mut world, "cid");
    world.say(ann.peer, "PING");
    world.drive_for(secs(10));
    assert_eq!(world.heard(ann.peer), ["PONG"], "GO was said before, and is not said again");
    assert_eq!(world.heard(bob.peer), [""; 0]);
}

/// T4: `WAIT` once for a connection that begins to wait, and none for one that has the turn at once.
#[test]
fn t04_wait_is_sent_once_to_a_connection_that_begins_to_wait() {
    let mut world = raw_world();
    let [a, b, c] = [world.connect(), world.connect(), world.connect()];
    world.drive_for(secs(25));
    let wait = |peer, world: &World| world.recvs(peer).iter().filter(|recv| recv.bytes == b"WAIT").count();
    for turn in 0..30 {
        assert_eq!(raw_order(&mut world, &[a, b, c], 1), [turn % 3]);
        world.drive_for(ms(10));
    }
    assert_eq!([a, b, c].map(|peer| wait(peer, &world)), [1, 1, 1]);

    let mut world = World::new(TurnServerConfig { min_clients: 1, ..raw_config() }, 1);
    let alone = world.connect();
    assert_eq!(world.heard(alone), ["GO"], "it does not wait");
}

/// T4: a turn writes to one socket, whatever the number of seats.
#[test]
fn t04_a_turn_writes_to_one_socket() {
    let (mut world, peers) = raw_ring::<50>(raw_config());
    let before = world.deliveries.len();
    for turn in 0..120 {
        world.say(peers[turn % 50], "x:1");
    }
    assert_eq!(world.deliveries.len() - before, 120);
}

/// T5: `GO` keeps its distance from `WAIT` on the same connection; the deadline runs from when it is sent.
#[test]
fn t05_go_is_held_back_after_wait_and_the_deadline_runs_from_its_release() {
    let mut world = raw_world();
    let a = world.connect();
    world.drive_for(ms(30));
    let b = world.connect();
    world.drive_for(ms(69));
    assert_eq!(world.heard(a), ["WAIT"]);
    world.drive_for(ms(1));
    assert_eq!(world.heard(a), ["GO"], "100 ms after WAIT, not after the grant");
    assert_eq!(held(&world), Some((1, ms(100) + secs(30))));
    world.say(a, "a:1");
    assert_eq!(world.heard(b), ["WAIT"], "b's own gap is over 30 ms later");
    world.drive_for(ms(30));
    assert_eq!(world.heard(b), ["GO"]);
    assert_eq!(held(&world), Some((2, ms(130) + secs(30))));
    // Nobody answers: the turn lapses at that very time, not before.
    world.drive_for(secs(30) - ms(1));
    assert_eq!(world.heard(a), [""; 0]);
    world.drive_for(ms(1));
    assert_eq!(world.heard(a), ["GO"]);
}

/// T5: the gap of one connection delays no other.
#[test]
fn t05_the_gap_of_one_connection_delays_no_other() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    let c = world.connect();
    world.say(a, "a:1");
    assert_eq!(world.heard(b), ["GO"], "at once, though c has just heard WAIT");
    world.say(b, "b:2");
    world.drive_for(ms(99));
    assert_eq!(world.heard(c), ["WAIT"]);
    world.drive_for(ms(1));
    assert_eq!(world.heard(c), ["GO"]);
}

/// T5: what a client says before its `GO`, and when that is gathered, makes the gap no shorter.
#[test]
fn t05_bytes_that_come_early_do_not_hurry_a_go() {
    let mut world = raw_world();
    let [a, _] = [world.connect(), world.connect()];
    world.say(a, "a");
    world.drive_for(ms(99));
    assert_eq!((world.heard(a), world.server.counts().refused), (vec!["WAIT".to_owned()], 1));
    world.drive_for(ms(1));
    assert_eq!(world.heard(a), ["GO"]);
}

/// T5: a holder that is lost while its `GO` is held back takes that `GO` with it.
#[test]
fn t05_a_go_that_is_held_back_goes_to_nobody_else() {
    let mut world = raw_world();
    let a = world.connect();
    world.drive_for(ms(100));
    let [b, c] = [world.connect(), world.connect()];
    world.say(a, "a:1");
    world.drive_for(ms(50));
    world.reset(b);
    // c takes the turn over, with a gap of its own; b's seat is taken by another client meanwhile.
    let d = world.connect();
    world.drive_for(ms(50));
    assert_eq!(
        (world.heard(c), world.heard(d)),
        (vec!["WAIT".to_owned(), "GO".to_owned()], vec!["WAIT".to_owned()])
    );
    world.drive_for(secs(10));
    assert_eq!((world.heard(c), world.heard(d)), (vec![], vec![]));
}

/// T5: between a client's number and its next `GO` nothing is sent to it, whatever happens in the ring.
#[test]
fn t05_nothing_is_sent_between_a_number_and_the_next_go() {
    let (mut world, [a, b, c]) = raw_ring(raw_config());
    world.say(a, "a:1");
    world.say(a, "a:3");
    world.reset(c);
    let d = world.connect();
    world.drive_for(secs(5));
    world.say(b, "bad");
    world.drive_for(secs(20));
    assert_eq!(world.heard(a), [""; 0]);
    world.say(b, "b:2");
    world.drive_for(ms(100));
    world.say(d, "d:3");
    assert_eq!(world.heard(a), ["GO"]);
}

/// T5: a client that compares one `recv` with `==`, and reads only when it is awake, never sees two signals in one.
#[test]
fn t05_two_signals_never_come_in_one_recv() {
    for seed in 0..100 {
        let mut world = World::new(raw_config(), seed);
        let count = 2 + world.rng.usize(0..4);
        let mut peers = Vec::new();
        for at in 0..count {
            let step = i64::try_from(count).expect("small");
            peers.push(world.connect_legacy(&format!("Client{at}"), i64::try_from(at).expect("small"), step));
            let pause = world.rng.u64(0..300);
            world.drive_for(ms(pause));
        }
        for round in 0..20 {
            let pause = world.rng.u64(0..5000);
            world.drive_for(ms(pause));
            let at = world.rng.usize(0..count);
            match world.rng.u8(0..3) {
                0 => {
                    world.reset(peers[at]);
                    let pause = world.rng.u64(0..300);
                    world.drive_for(ms(pause));
                    peers[at] = world.connect_legacy(&format!("Client{at}x{round}"), 1000, 1);
                    world.drive_for(ms(200));
                }
                // Longer than a turn's deadline: lapses, and turns that are granted without writing.
                1 => world.stall(peers[at], secs(45)),
                _ => {}
            }
        }
        world.drive_for(secs(60));
        for &peer in &peers {
            let recvs = world.recvs(peer);
            let known = |bytes: &[u8]| bytes == b"GO" || bytes == b"WAIT";
            let strange = recvs.iter().find(|recv| !known(&recv.bytes));
            assert!(strange.is_none(), "seed {seed}: {strange:?}");
            assert!(recvs.iter().any(|recv| recv.bytes == b"GO"), "seed {seed}: {peer:?} never had a turn");
        }
        let before = world.accepted().len();
        world.drive_for(secs(60));
        assert!(world.accepted().len() > before + 20, "seed {seed}: the ring lives");
    }
}

/// T6: what an answer may look like, whitespace around it dropped.
#[test]
fn t06_well_formed_answers_are_accepted() {
    let long = format!("{}:7", "n".repeat(64));
    let wide = format!("{}:7", "\u{f6}".repeat(32));
    let (mut world, [a, b]) = raw_ring(raw_config());
    let answers = [
        "Client1:1",
        "a:0",
        "a:-1",
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
        world.new_events();
        world.say(a, answer);
        let events = world.new_events();
        let name_and_number = answer.trim();
        let said = events.iter().find_map(|event| match event {
            TurnEvent::Accepted { name, number, .. } => Some(format!("{}:{number}", name.as_str())),
            _ => None,
        });
        assert_eq!(said.as_deref(), Some(name_and_number));
        world.say(b, "b:1");
    }
}

/// T6: everything else is no answer.
#[test]
fn t06_malformed_answers_are_refused() {
    let (mut world, [a, b]) = raw_ring(TurnServerConfig { strikes: 200, ..raw_config() });
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
        let events = world.new_events();
        let [TurnEvent::Refused { code: Code::Malformed | Code::BadNumber, peer, .. }] = events.as_slice()
        else {
            panic!("{}: {events:?}", answer.escape_ascii());
        };
        assert_eq!(*peer, world.addr(a));
    }
    assert_eq!((world.heard(b), accepted(&world)), (vec![], vec![]));
    world.say(a, "a:1");
    assert_eq!(accepted(&world), ["a:1"], "after all that it may still answer");
}

/// T6, and "a raw message": pieces that follow within the gather time join; whitespace alone is nothing.
#[test]
fn t06_an_answer_may_come_in_pieces() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.say(a, "Cli");
    world.drive_for(ms(20));
    world.say(a, "ent1");
    world.drive_for(ms(20));
    world.say(a, ":5");
    assert_eq!(accepted(&world), ["Client1:5"]);
    world.say(b, "b:");
    world.drive_for(ms(49));
    world.say(b, "6");
    assert_eq!(accepted(&world), ["Client1:5", "b:6"]);
    assert_eq!(world.server.counts().refused, 0);

    world.heard(a);
    world.say(a, "\r\n");
    world.drive_for(secs(1));
    assert_eq!((world.server.counts().refused, world.heard(a)), (0, vec![]), "whitespace is nothing");
    // Too late for each other: two messages, and neither is an answer.
    world.say(a, "a:");
    world.drive_for(ms(51));
    assert_eq!((world.server.counts().refused, world.heard(a)), (1, vec!["GO".to_owned()]));
    world.say(a, "7");
    world.drive_for(ms(51));
    assert_eq!((world.server.counts().refused, world.heard(a)), (2, vec!["GO".to_owned()]));
    assert_eq!(accepted(&world).len(), 2);
}

/// T7: reported once, with name and number; then the next occupied seat in ring order has the turn.
#[test]
fn t07_an_accepted_answer_is_reported_once_and_the_turn_passes_in_ring_order() {
    let (mut world, peers) = raw_ring::<5>(raw_config());
    world.reset(peers[2]);
    let order = raw_order(&mut world, &peers, 10);
    assert_eq!(order, [0, 1, 3, 4, 0, 1, 3, 4, 0, 1], "the vacant seat is passed over");
    world.drive_for(secs(1));
    let expected: Vec<_> = order.iter().zip(0..).map(|(at, number)| format!("p{at}:{number}")).collect();
    assert_eq!(accepted(&world), expected);

    let (mut world, members) = line_ring(line_config(), ["ann", "bob", "cid"]);
    assert_eq!(line_order(&mut world, &members, 7).join(" "), "ann bob cid ann bob cid ann");
    assert_eq!(accepted(&world).join(" "), "ann:0 bob:1 cid:2 ann:3 bob:4 cid:5 ann:6");
}

/// T8: a malformed answer is logged with address and escaped bytes, and counted; turn, number and deadline stay.
#[test]
fn t08_a_malformed_answer_leaves_the_turn_where_it_is() {
    listen_to_log();
    let (mut world, [a, b]) = raw_ring(raw_config());
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
    assert_eq!((world.server.counts().refused, world.heard(b)), (1, vec![]));
    world.drive_for(secs(10) - ms(51));
    assert_eq!(held(&world), Some(before), "30 s are not over");
    world.drive_for(ms(1));
    assert_eq!((held(&world).map(|held| held.0), world.heard(b)), (Some(2), vec!["GO".to_owned()]));
}

/// T8: the third malformed answer in a row closes the connection and the turn passes; a good one starts anew.
#[test]
fn t08_three_malformed_answers_in_a_row_end_the_connection() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    for _ in 0..4 {
        world.say(a, "a:x");
        world.say(a, "a:x");
        world.say(a, "a:1");
        world.say(b, "b:1");
    }
    assert_eq!(accepted(&world).len(), 8, "never three in a row");
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

/// T9: who does not hold the turn is refused and counted, is told nothing, and may stay.
#[test]
fn t09_bytes_out_of_turn_are_refused_without_a_word() {
    let (mut world, [a, b, c]) = raw_ring(raw_config());
    let before = held(&world);
    world.new_events();
    for text in ["b:1", "nonsense:", "b:2"] {
        world.say(b, text);
        world.drive_for(ms(50));
    }
    let refused = world.new_events();
    assert_eq!(refused.len(), 3);
    assert!(refused.iter().all(|event| matches!(event, TurnEvent::Refused { code: Code::NotYourTurn, .. })));
    assert_eq!((world.server.counts().refused, held(&world)), (3, before));
    assert_eq!([a, b, c].map(|peer| world.heard(peer).len()), [0, 0, 0]);
    world.say(a, "a:1");
    assert!(world.is_open(b), "that was no strike");
    world.say(b, "b:3");
    assert_eq!(accepted(&world), ["a:1", "b:3"]);
    // One more for the same turn comes too late.
    world.say(b, "b:5");
    assert_eq!((accepted(&world).len(), world.server.counts().refused), (2, 4));
}

/// T9: an answer counts only if it was read after its `GO` was written.
#[test]
fn t09_an_answer_that_was_read_before_its_go_was_written_does_not_count() {
    // In one pass with the hand-over.
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.queue(a, "a:1");
    world.queue(b, "b:2");
    world.drive();
    assert_eq!(accepted(&world), ["a:1"]);
    assert_eq!((world.heard(b), world.server.counts().refused), (vec!["GO".to_owned()], 1));
    // While its GO is held back.
    let c = world.connect();
    world.say(b, "b:4");
    world.say(c, "c:5");
    assert_eq!((accepted(&world).len(), world.heard(c)), (2, vec!["WAIT".to_owned()]));
    world.drive_for(ms(100));
    assert_eq!(world.heard(c), ["GO"]);
    world.say(c, "c:5");
    assert_eq!(accepted(&world).last().map(String::as_str), Some("c:5"));
    // While its GO waits for room in the socket.
    world.say(a, "a:7");
    world.stop_reading(a, 1);
    world.say(b, "b:8");
    world.say(c, "c:9");
    world.say(a, "a:10");
    assert_eq!(accepted(&world).last().map(String::as_str), Some("c:9"), "half a GO is no GO");
    world.read_again(a);
    world.say(a, "a:11");
    assert_eq!(accepted(&world).last().map(String::as_str), Some("a:11"));
}

/// T9: the beginning of a message that came before its `GO` does not count either.
#[test]
fn t09_an_answer_that_began_before_its_go_does_not_count() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.say(b, "b:");
    world.say(a, "a:1");
    world.say(b, "2");
    world.drive_for(ms(60));
    assert_eq!(accepted(&world), ["a:1"]);
    world.say(b, "b:3");
    assert_eq!(accepted(&world), ["a:1", "b:3"]);
}

/// T9: what came before its `GO` is refused alone, and does not spoil the answer to it.
#[test]
fn t09_what_came_before_a_go_does_not_join_its_answer() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.say(b, "too early ");
    world.say(a, "a:1");
    world.say(b, "b:2");
    assert_eq!(accepted(&world), ["a:1", "b:2"]);
    assert_eq!(world.server.counts().refused, 1);
}

/// T9: nor does one that began while its `GO` was asked for, but not written.
#[test]
fn t09_an_answer_that_began_before_its_go_was_written_does_not_count() {
    // In one pass with the hand-over, behind it.
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.queue(a, "a:1");
    world.queue(b, "b:");
    world.drive();
    world.say(b, "2");
    assert_eq!(accepted(&world), ["a:1"], "half of it was read before GO was written");
    world.drive_for(ms(50));
    world.heard(b);
    world.say(b, "b:3");
    assert_eq!(accepted(&world), ["a:1", "b:3"]);
    // While GO waits for room in the socket.
    world.stop_reading(b, 1);
    world.say(a, "a:4");
    world.say(b, "b:");
    world.read_again(b);
    world.say(b, "5");
    assert_eq!(accepted(&world), ["a:1", "b:3", "a:4"]);
}

/// T10: the turn of a lost holder passes at once, also when others were lost before it.
#[test]
fn t10_the_turn_of_a_lost_holder_passes_at_once() {
    let (mut world, [a, b, c, d]) = raw_ring(raw_config());
    world.reset(b);
    world.reset(a);
    assert_eq!((held(&world).map(|held| held.0), world.heard(c)), (Some(2), vec!["GO".to_owned()]));
    world.half_close(c);
    assert!(!world.is_open(c), "a half-closed client has said all that it will");
    assert_eq!(held(&world), None, "one is left: paused");
    let gone = world
        .new_events()
        .iter()
        .filter(|event| matches!(event, TurnEvent::Skipped { how: Skipped::Gone, .. }))
        .count();
    assert_eq!((gone, world.heard(d)), (2, vec![]));

    let (mut world, [ann, bob, _]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    world.reset(ann.peer);
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
}

/// T10 with T30: where the loss of the holder pauses the ring, it is the holder's turn again when it goes on.
#[test]
fn t10_a_loss_that_pauses_the_ring_does_not_move_its_position() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.say(a, "a:1");
    world.reset(b);
    assert_eq!(held(&world), None);
    let b = world.connect();
    world.drive_for(ms(100));
    assert_eq!((world.heard(a), world.heard(b)), (vec![], vec!["GO".to_owned()]));
    assert_eq!(held(&world).map(|held| held.0), Some(3), "turn 2 is over, and never used again");

    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.reset(ann.peer);
    let again = join(&mut world, &format!("ann resume={}", ann.secret()));
    assert_eq!(
        (again.then.as_slice(), world.heard(bob.peer)),
        (&["GO turn=2 within=30000".to_owned()][..], vec![])
    );
}

/// An answer and the end of the stream, right after each other: the answer counts, an unfinished one does not.
#[test]
fn t10_what_came_before_the_end_of_a_stream_counts() {
    for (last, counts) in [("a:1", true), ("a:", false)] {
        let (mut world, [a, b, _c]) = raw_ring(raw_config());
        world.queue(a, last);
        world.half_close(a);
        assert_eq!((accepted(&world).len() == 1, world.is_open(a)), (counts, false));
        assert_eq!(world.heard(b), ["GO"]);
    }
    let (mut world, [ann, bob, _]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    world.queue(ann.peer, "ann:1 turn=1");
    world.half_close(ann.peer);
    assert_eq!(
        (accepted(&world).as_slice(), world.heard(ann.peer)),
        (&["ann:1".to_owned()][..], vec!["OK turn=1".to_owned()])
    );
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
    assert!(!world.is_open(ann.peer));
}

/// T11: a silent holder's turn passes at its deadline, not before; that is logged and reported.
#[test]
fn t11_a_silent_holder_lapses_at_its_deadline() {
    listen_to_log();
    let (mut world, [_a, b]) = raw_ring(raw_config());
    take_log();
    world.new_events();
    world.drive_for(secs(30) - ms(1));
    assert_eq!((world.heard(b), world.new_events().len()), (vec![], 0));
    world.drive_for(ms(1));
    assert_eq!(world.heard(b), ["GO"]);
    let lapsed = world
        .new_events()
        .iter()
        .filter(|event| matches!(event, TurnEvent::Skipped { how: Skipped::Lapsed, .. }))
        .count();
    let log = take_log();
    let logged = log.iter().filter(|(_, line)| line == "seat 1 lapsed").count();
    assert_eq!((lapsed, logged), (1, 1), "{log:?}");

    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.drive_for(secs(30));
    assert_eq!(world.heard(ann.peer), ["LAPSED turn=1"]);
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
    world.drive_for(secs(30));
    assert_eq!(world.heard(ann.peer), ["GO turn=3 within=30000"], "line framing: each turn has its GO");
}

/// "The order at the bell": an answer that is there in the pass of the deadline counts.
#[test]
fn t11_an_answer_at_the_bell_counts() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.skip_time(secs(40));
    world.say(a, "a:1");
    assert_eq!((accepted(&world).as_slice(), world.server.counts().lapsed), (&["a:1".to_owned()][..], 0));
    assert_eq!(world.heard(b), ["GO"]);
}

/// The process stood still from before a held-back `GO` was due until after that turn's deadline: the turn lapsed, and its
/// `GO` is not sent behind the next holder's (S1).
#[test]
fn t11_a_go_that_was_held_back_past_its_turn_is_never_sent() {
    let mut world = raw_world();
    let (a, b) = (world.connect(), world.connect());
    world.skip_time(secs(31));
    world.drive();
    assert_eq!(world.heard(a), ["WAIT"]);
    assert_eq!(world.heard(b), ["WAIT", "GO"]);
    world.say(b, "b:2");
    assert_eq!(world.heard(a), ["GO"]);
    world.say(a, "a:1");
    assert_eq!(accepted(&world), ["b:2", "a:1"]);
}

/// T11: an answer that waits for its seat's next turn is not dropped in silence when its client leaves.
#[test]
fn t11_a_late_answer_whose_client_leaves_is_refused() {
    let (mut world, [a, _b]) = raw_ring(raw_config());
    world.drive_for(secs(30));
    world.say(a, "a:1");
    assert_eq!(world.server.counts().refused, 0);
    world.half_close(a);
    assert_eq!((accepted(&world).len(), world.server.counts().refused), (0, 1));
}

/// T1, T11: who takes a vacant seat over does not lapse under the name of who sat there before.
#[test]
fn t11_a_seat_taken_over_has_no_name_yet() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.say(a, "alice:1");
    world.say(b, "bob:2");
    world.reset(a);
    world.connect();
    world.drive_for(secs(31));
    let lapsed = |event: &TurnEvent| match event {
        TurnEvent::Skipped { how: Skipped::Lapsed, name, .. } => Some(*name),
        _ => None,
    };
    assert_eq!(world.new_events().iter().find_map(lapsed), Some(None));
}

/// T6, T8: what is too long is one malformed answer, however many reads it takes.
#[test]
fn t08_a_flood_is_one_malformed_answer_for_each_gather_time() {
    let (mut world, [a, _b]) = raw_ring(raw_config());
    for _ in 0..20 {
        world.say(a, &"x".repeat(1000));
    }
    world.drive_for(ms(50));
    assert_eq!((world.heard(a), world.server.counts().refused), (vec!["GO".to_owned()], 1));
    assert!(world.is_open(a));
}

/// T11: a late answer is kept for its seat's next turn and counts there, once; what follows it is refused.
#[test]
fn t11_a_late_answer_counts_in_the_seats_next_turn() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.drive_for(secs(30));
    assert_eq!(world.heard(b), ["GO"]);
    world.say(a, "a:1");
    world.say(a, "a:3");
    assert_eq!(
        (accepted(&world).len(), world.server.counts().refused),
        (0, 1),
        "held, and further bytes refused"
    );
    world.say(b, "b:2");
    assert_eq!(accepted(&world), ["b:2", "a:1"], "it counts as soon as its seat has the turn");
    assert_eq!(
        (world.heard(a), world.heard(b)),
        (vec![], vec!["GO".to_owned()]),
        "without a GO for that turn"
    );
    world.say(b, "b:4");
    assert_eq!(world.heard(a), ["GO"], "and the next turn is an ordinary one");
    world.say(a, "a:5");
    assert_eq!(accepted(&world), ["b:2", "a:1", "b:4", "a:5"]);
}

/// T11: while a `GO` is unanswered, turns are granted without writing; an answer in such a turn counts in it.
#[test]
fn t11_a_connection_has_at_most_one_unanswered_go() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    for _ in 0..3 {
        world.drive_for(secs(30));
        world.say(b, "b:2");
        assert_eq!(world.heard(a), [""; 0], "its first GO is still open");
    }
    assert_eq!(held(&world).map(|held| held.0), Some(7), "though it has had its turns");
    world.heard(b);
    world.say(a, "a:1");
    assert_eq!(accepted(&world).last().map(String::as_str), Some("a:1"));
    assert_eq!(world.heard(b), ["GO"]);
    world.say(b, "b:4");
    assert_eq!(world.heard(a), ["GO"]);
}

/// T11: nothing that a client was allowed to send is lost, and nothing counts twice, however late it is.
#[test]
fn t11_what_a_stopped_legacy_client_sends_is_neither_lost_nor_doubled() {
    for seed in 0..50 {
        let mut world = World::new(raw_config(), seed);
        let peers = [world.connect_legacy("Client1", 1, 2), world.connect_legacy("Client2", 2, 2)];
        for _ in 0..15 {
            let (at, pause, stall) = (world.rng.usize(0..2), world.rng.u64(0..20_000), world.rng.u64(0..100));
            world.drive_for(ms(pause));
            world.stall(peers[at], secs(stall));
        }
        world.drive_for(secs(200));
        let mut next = [1, 2];
        for (name, number) in world.accepted() {
            let at = usize::from(name == "Client2");
            assert_eq!(number, next[at], "seed {seed}: {name}");
            next[at] += 2;
        }
        assert!(next[0] > 11 && next[1] > 12, "seed {seed}: the ring lives");
    }
}

/// T12: a vacant seat keeps its place for the grace, and no longer.
#[test]
fn t12_a_vacant_seat_keeps_its_place_for_the_grace() {
    for (away, in_place) in [(ms(59_900), true), (ms(60_000), false)] {
        let (mut world, [a, b, c]) = raw_ring(TurnServerConfig { turn_deadline: secs(1000), ..raw_config() });
        world.reset(b);
        world.drive_for(away);
        assert_eq!(world.server.scheduler().seats(), if in_place { 3 } else { 2 });
        let d = world.connect();
        world.drive_for(ms(100));
        world.heard(d);
        world.say(a, "a:1");
        let next = if in_place { d } else { c };
        assert_eq!(world.heard(next), ["GO"], "away for {away:?}");
    }
    for (away, reply) in [(ms(59_999), "WELCOME"), (ms(60_000), "BYE")] {
        let (mut world, [_, bob]) = line_ring(line_config(), ["ann", "bob"]);
        let is_bob = |name: Option<Name>| name.is_some_and(|name| name.as_str() == "bob");
        let seated = world.new_events().into_iter().find_map(|event| match event {
            TurnEvent::Seated { seat, connection, name } if is_bob(name) => Some((seat, connection)),
            _ => None,
        });
        let (seat, connection) = seated.expect("bob is seated");
        let sits = |world: &World| world.server.scheduler().data(seat).and_then(SeatData::connection);
        assert_eq!(sits(&world), Some(connection));
        world.reset(bob.peer);
        assert_eq!(sits(&world), None);
        world.drive_for(away);
        let again = world.connect();
        world.say(again, &format!("JOIN bob resume={}", bob.secret()));
        let heard = world.heard(again);
        assert_eq!(heard[0].split(' ').next(), Some(reply), "away for {away:?}: {heard:?}");
    }
}

/// T12 and A2: seats whose clients were lost in one pass are forgotten in one pass, and with them their ring.
#[test]
fn t12_seats_that_were_lost_together_are_forgotten_together() {
    for framing in [Framing::Raw, Framing::Line] {
        let mut world = World::new(TurnServerConfig { framing, ..TurnServerConfig::default() }, 1);
        for round in 0..3 {
            let peers = [(); 4].map(|()| world.connect());
            for (peer, name) in peers.iter().zip('a'..).filter(|_| framing == Framing::Line) {
                world.say(*peer, &format!("JOIN {name}"));
            }
            assert_eq!(world.server.scheduler().seats(), 4, "{framing:?}, round {round}");
            peers.iter().for_each(|peer| world.reset_quietly(*peer));
            world.drive_for(secs(60));
            let scheduler = world.server.scheduler();
            assert_eq!((scheduler.seats(), scheduler.rings().count()), (0, 0), "{framing:?}, round {round}");
        }
    }
}

/// T13: one connection too many is closed at once, with a log line, and after `BYE full` in the line framing.
#[test]
fn t13_a_connection_beyond_max_clients_is_closed_at_once() {
    listen_to_log();
    let (mut world, [a, b]) = raw_ring(TurnServerConfig { max_clients: 2, ..raw_config() });
    take_log();
    let c = world.connect();
    let address = world.addr(c).to_string();
    assert!(take_log().iter().any(|(level, line)| *level <= Level::Info && line.contains(&address)));
    assert_eq!((world.is_open(c), world.heard(c), world.server.counts().turned_away), (false, vec![], 1));
    assert_eq!(world.server.clients(), 2);
    world.say(a, "a:1");
    assert_eq!(world.heard(b), ["GO"], "the others notice nothing");
    world.reset(a);
    let d = world.connect();
    assert!(world.is_open(d), "there is room again");

    let mut world = World::new(TurnServerConfig { max_clients: 2, ..line_config() }, 1);
    join(&mut world, "ann");
    world.connect();
    let third = world.connect();
    assert_eq!((refusal(&mut world, third), world.is_open(third)), ("full".to_owned(), false));
}

// ---- T20 to T32: the line framing ---------------------------------------------------------------------

/// T20: whoever says neither `JOIN` nor `WATCH` never has a seat and is sent away, whatever else it says.
#[test]
fn t20_no_seat_before_a_valid_join() {
    let mut world = line_world();
    let talker = world.connect();
    let silent = world.connect();
    world.drive_for(secs(1));
    let observer = world.connect();
    world.say(observer, "WATCH");
    for line in ["PING", "ann:1", "PASS", "LEAVE", "JOIN", "JOIN a:b", "JOIN a weight=0", "GET / HTTP/1.1"] {
        world.say(talker, line);
        world.drive_for(secs(1));
    }
    assert_eq!((world.heard(talker).len(), world.server.scheduler().seats()), (8, 0));
    // Half a line does not help either.
    world.say_bytes(talker, b"JOIN ann");
    world.drive_for(ms(999));
    assert!(world.is_open(talker) && world.is_open(silent));
    world.drive_for(ms(1));
    for peer in [talker, silent] {
        assert_eq!(
            (refusal(&mut world, peer), world.closed_at(peer)),
            ("hello-timeout".to_owned(), Some(secs(10)))
        );
    }
    let ann = join(&mut world, "ann");
    world.drive_for(secs(20));
    assert!(world.is_open(ann.peer) && world.is_open(observer));
}

/// T20, with the commands table: how a seat begins.
#[test]
fn t20_a_valid_join_is_welcomed() {
    let mut world = line_world();
    let ann = join(&mut world, "ann");
    let welcome = &ann.welcome;
    let keys: Vec<_> = welcome.split(' ').map(|field| field.split('=').next().unwrap_or_default()).collect();
    assert_eq!(keys, ["WELCOME", "seat", "ring", "epoch", "resume", "last", "number"]);
    let values = ["seat", "ring", "last", "number"].map(|key| field(welcome, key));
    assert_eq!(values, ["1", "main", "0", "0"]);
    assert_eq!(ann.then, ["WAIT ahead=0"]);
    let bob = join(&mut world, "bob colour=red weight=2 ring=main later=1");
    assert_eq!(field(&bob.welcome, "seat"), "2", "unknown fields are ignored");
    assert_eq!(bob.then, ["WAIT ahead=1"]);
    let cid = join(&mut world, "cid");
    assert_eq!(cid.then, ["WAIT ahead=2"]);
    assert_eq!(world.heard(ann.peer), ["GO turn=1 within=30000"]);
}

/// T21: which names there are, and that each sits in its ring once.
#[test]
fn t21_names_are_checked_and_unique_in_their_ring() {
    let mut world = line_world();
    let long = "n".repeat(64);
    join(&mut world, "ann");
    join(&mut world, &long);
    join(&mut world, "J\u{f6}rg");
    join(&mut world, "ann ring=other");
    join(&mut world, "Ann");
    let taken = world.connect();
    world.say(taken, "JOIN ann");
    assert_eq!((refusal(&mut world, taken), world.is_open(taken)), ("name-taken".to_owned(), false));
    let newcomer = world.connect();
    for name in ["", "a:b", ":", "a\u{7}b", "a\u{85}", "a\tb", &format!("{long}n"), "two words"] {
        world.say(newcomer, &format!("JOIN {name}"));
        assert_eq!(refusal(&mut world, newcomer), "malformed", "{name:?}");
    }
    assert!(world.is_open(newcomer));
}

/// T21: a `JOIN` without secret under a vacant seat's name takes a new seat at the end, and the old one is gone.
#[test]
fn t21_joining_under_a_vacant_seats_name_starts_at_the_end() {
    let (mut world, [ann, bob, cid]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    world.reset(bob.peer);
    let again = join(&mut world, "bob");
    assert_eq!((field(&again.welcome, "seat"), world.server.scheduler().seats()), ("4", 3));
    let members = [ann, again, cid];
    assert_eq!(line_order(&mut world, &members, 6).join(" "), "ann cid bob ann cid bob");
    let thief = world.connect();
    world.say(thief, &format!("JOIN bob resume={}", bob.secret()));
    assert_eq!(refusal(&mut world, thief), "bad-secret", "the old seat's secret is worth nothing");
    assert!(world.is_open(members[1].peer));
}

/// T21: an answer under another name than the joined one is refused.
#[test]
fn t21_an_answer_under_another_name_is_refused() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    let before = held(&world);
    for line in ["bob:1", "bob:1 turn=1", "Ann:1"] {
        world.say(ann.peer, line);
        assert_eq!(refusal(&mut world, ann.peer), "wrong-name");
    }
    assert_eq!((held(&world), world.heard(bob.peer)), (before, vec![]));
    world.say(ann.peer, "ann:1 turn=1");
    assert_eq!(world.heard(ann.peer), ["OK turn=1"]);
}

/// T22: the seat moves at once to the connection that knows its secret, in its old place; the old one hears why.
#[test]
fn t22_a_seat_is_resumed_at_once_while_the_old_connection_seems_alive() {
    let (mut world, [ann, bob, cid]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    let again = join(&mut world, &format!("bob resume={}", bob.secret()));
    assert_eq!(field(&again.welcome, "seat"), "2");
    assert_eq!(again.then, ["WAIT ahead=1"]);
    assert_eq!((refusal(&mut world, bob.peer), world.is_open(bob.peer)), ("superseded".to_owned(), false));
    assert_eq!(world.server.scheduler().seats(), 3);
    assert_eq!(line_order(&mut world, &[ann, again, cid], 4).join(" "), "ann bob cid ann");
}

/// T22: a holder that resumes keeps its turn, number and deadline, and hears `GO` on the new connection.
#[test]
fn t22_a_holder_that_resumes_keeps_its_turn() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    let before = held(&world);
    world.drive_for(secs(12));
    let again = join(&mut world, &format!("ann resume={}", ann.secret()));
    assert_eq!(again.then, ["GO turn=1 within=18000"]);
    assert_eq!((held(&world), world.heard(bob.peer)), (before, vec![]));
    world.say(again.peer, "ann:5 turn=1");
    assert_eq!(
        (world.heard(again.peer), accepted(&world)),
        (vec!["OK turn=1".to_owned()], vec!["ann:5".to_owned()])
    );
}

/// T22 and S6: what the old connection still says after the resumption means nothing.
#[test]
fn t22_a_superseded_connection_is_not_listened_to() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.chunking = false;
    let again = world.connect();
    world.queue(again, &format!("JOIN ann resume={}", ann.secret()));
    world.queue(ann.peer, "ann:666 turn=1");
    world.drive();
    assert_eq!((accepted(&world), world.is_open(ann.peer), world.is_open(again)), (vec![], false, true));
    // Nor does its end end anything.
    assert_eq!(held(&world).map(|held| held.0), Some(1));
    world.say(again, "ann:5 turn=1");
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
}

/// T22: the secret is 128 bits, another for every seat and after every resumption; a wrong one is refused.
#[test]
fn t22_secrets_change_at_every_resume_and_wrong_ones_are_refused() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    let mut seen = vec![ann.secret().to_owned(), bob.secret().to_owned()];
    let mut latest = ann.clone();
    for _ in 0..10 {
        latest = join(&mut world, &format!("ann resume={}", latest.secret()));
        world.say(latest.peer, "PING");
        seen.push(latest.secret().to_owned());
    }
    assert!(seen.iter().all(|secret| secret.len() == 32 && secret.bytes().all(|b| b.is_ascii_hexdigit())));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 12);

    let current = latest.secret().to_owned();
    let flipped = if current.ends_with('0') { "1" } else { "0" };
    let near = format!("{}{flipped}", &current[..31]);
    let other_ring = format!("{current} ring=other");
    for wrong in
        [ann.secret(), bob.secret(), &near, &other_ring, "", "x", &current[..31], &format!("{current}0")]
    {
        let thief = world.connect();
        world.say(thief, &format!("JOIN ann resume={wrong}"));
        assert_eq!(
            (refusal(&mut world, thief), world.is_open(thief)),
            ("bad-secret".to_owned(), false),
            "{wrong:?}"
        );
    }
    let thief = world.connect();
    world.say(thief, &format!("JOIN nobody resume={current}"));
    assert_eq!(refusal(&mut world, thief), "bad-secret");
    world.say(latest.peer, "PING");
    assert_eq!(
        world.heard(latest.peer).last().map(String::as_str),
        Some("PONG"),
        "ann herself was not disturbed"
    );
}

/// T22: the secret used last stays good until the first valid line on the new connection: `WELCOME` may be lost.
#[test]
fn t22_the_previous_secret_stays_valid_until_the_new_connection_speaks() {
    let (mut world, [ann, _bob]) = line_ring(line_config(), ["ann", "bob"]);
    let resume = format!("ann resume={}", ann.secret());
    // The WELCOME is lost again and again; a line that is none does not count as a sign of life.
    for _ in 0..3 {
        let lost = join(&mut world, &resume);
        world.say(lost.peer, "not a line");
        world.reset(lost.peer);
    }
    // Either is good now: the one used, and the one that was sent.
    let sent = join(&mut world, &resume);
    let arrived = join(&mut world, &format!("ann resume={}", sent.secret()));
    world.say(arrived.peer, "PING");
    for old in [ann.secret(), sent.secret()] {
        let late = world.connect();
        world.say(late, &format!("JOIN ann resume={old}"));
        assert_eq!(refusal(&mut world, late), "bad-secret");
    }
    assert!(world.is_open(arrived.peer));
    join(&mut world, &format!("ann resume={}", arrived.secret()));
}

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
    assert_eq!((world.server.counts().accepted, world.server.counts().repeated), (1, 3));
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
    assert_eq!(world.server.counts().refused, wrong.len() as u64);
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

/// T25: first `GO` to the next holder, then the word to the last, then observers.
#[test]
fn t25_writes_at_a_hand_over_come_in_order() {
    for seed in 0..20 {
        let mut world = World::new(TurnServerConfig { turn_deadline: secs(5), ..line_config() }, seed);
        let observers = [(); 2].map(|()| {
            let peer = world.connect();
            world.say(peer, "WATCH");
            peer
        });
        let ann = join(&mut world, "ann");
        let bob = join(&mut world, "bob");
        let ends = ["ann:7 turn=1", "PASS turn=2", "", "bob:8 turn=4"];
        let said = ["OK turn=1\n", "OK turn=2\n", "LAPSED turn=3\n", "OK turn=4\n"];
        let seen = [
            "TURN turn=1 ann:7\n",
            "SKIP turn=2 bob passed\n",
            "SKIP turn=3 ann lapsed\n",
            "TURN turn=4 bob:8\n",
        ];
        for turn in 0..4 {
            let (holder, next) = if turn % 2 == 0 { (ann.peer, bob.peer) } else { (bob.peer, ann.peer) };
            let before = world.deliveries.len();
            if ends[turn].is_empty() {
                world.drive_for(secs(5));
            } else {
                world.say(holder, ends[turn]);
            }
            let writes: Vec<_> =
                world.deliveries[before..].iter().map(|write| (write.peer, write.text())).collect();
            let go = format!("GO turn={} within=5000\n", turn + 2);
            let expected = [
                (next, go),
                (holder, said[turn].to_owned()),
                (observers[0], seen[turn].to_owned()),
                (observers[1], seen[turn].to_owned()),
            ];
            assert_eq!(writes, expected);
        }
    }
}

/// T25: where both are one connection, its answer is confirmed before its next turn begins.
#[test]
fn t25_on_one_connection_ok_comes_first() {
    let (mut world, [ann]) = line_ring(TurnServerConfig { min_clients: 1, ..line_config() }, ["ann"]);
    world.say(ann.peer, "ann:1 turn=1");
    assert_eq!(world.heard(ann.peer), ["OK turn=1", "GO turn=2 within=30000"]);
    world.drive_for(secs(30));
    assert_eq!(world.heard(ann.peer), ["LAPSED turn=2", "GO turn=3 within=30000"]);
    world.say(ann.peer, "PASS");
    assert_eq!(world.heard(ann.peer), ["OK turn=3", "GO turn=4 within=30000"]);
}

/// T25: the next holder's `GO` is first also where the last one is owed another reply from the same pass.
#[test]
fn t25_go_comes_first_however_much_is_owed_to_the_last_holder() {
    for seed in 0..20 {
        let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
        let before = world.deliveries.len();
        world.say(ann.peer, &format!("{}ann:1 turn=1", "PING\n".repeat(seed)));
        let writes = &world.deliveries[before..];
        let place = |peer, text: &str| {
            writes
                .iter()
                .position(|write| write.peer == peer && write.text().contains(text))
                .expect("written")
        };
        assert!(place(bob.peer, "GO turn=2") < place(ann.peer, "OK turn=1"), "{seed}");
    }
}

/// T26: a line beyond the limit, or that is not UTF-8, ends the connection with its reason.
#[test]
fn t26_lines_that_are_too_long_or_not_utf8_end_the_connection() {
    let pad = |length: usize, end: &str| format!("PING x={}{end}", "x".repeat(length - 7)).into_bytes();
    let cases: [(Vec<u8>, &str); 7] = [
        (pad(1024, "\n"), "PONG"),
        (pad(1024, "\r\n"), "PONG"),
        (pad(1025, "\n"), "too-long"),
        (vec![b'x'; 1026], "too-long"),
        (vec![b'x'; 200_000], "too-long"),
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
            join(&mut world, &format!("ann resume={}", ann.secret()));
        }
    }
}

/// T26 and T20: every split of the same bytes gives the same replies, also with `\r\n`.
#[test]
fn t26_every_split_of_the_bytes_means_the_same() {
    let bytes = b"JOIN ann\r\nPING\nann:1 turn=1\n\r\nx y z\nPASS turn=2\nann:5 turn=3\nWATCH\nLEAVE\n";
    let config = TurnServerConfig { min_clients: 1, ..line_config() };
    let hear = |seed, chunking| {
        let mut world = World::new(config.clone(), seed);
        world.chunking = chunking;
        let ann = world.connect();
        world.say_bytes(ann, bytes);
        let heard = world.heard(ann);
        heard[1..].to_vec()
    };
    let whole = hear(0, false);
    assert_eq!(whole.len(), 12, "{whole:?}");
    for seed in 0..200 {
        assert_eq!(hear(seed, true), whole, "seed {seed}");
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
    assert_eq!((world.is_open(cid.peer), world.server.scheduler().seats()), (false, 2));
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
    let counts = world.server.counts();
    assert_eq!((counts.accepted, counts.passed, counts.lapsed, counts.gone, counts.refused), (1, 1, 2, 1, 1));
    assert_eq!(world.server.scheduler().seats(), 4);
}

/// T28: rings do not touch each other: turns, names, quorum, deadlines.
#[test]
fn t28_rings_are_independent() {
    let mut world = World::new(TurnServerConfig { turn_deadline: secs(5), ..line_config() }, 1);
    let [ann, bob] = ["ann ring=a", "bob ring=a"].map(|fields| join(&mut world, fields));
    let [cid, ann2] = ["cid ring=b", "ann ring=b"].map(|fields| join(&mut world, fields));
    assert_eq!(world.heard(ann.peer), ["GO turn=1 within=5000"]);
    assert_eq!(world.heard(cid.peer), ["GO turn=1 within=5000"], "each ring counts its own turns");
    world.say(ann.peer, "ann:1 turn=1");
    world.say(bob.peer, "bob:1 turn=2");
    assert_eq!(world.heard(cid.peer), [""; 0]);
    world.say(ann2.peer, "ann:1 turn=1");
    assert_eq!(refusal(&mut world, ann2.peer), "not-your-turn");
    world.say(cid.peer, "cid:1 turn=1");
    assert_eq!(world.heard(ann2.peer), ["GO turn=2 within=5000"]);
    world.reset(bob.peer);
    world.say(ann2.peer, "ann:2 turn=2");
    assert_eq!(
        world.heard(cid.peer).last().map(String::as_str),
        Some("GO turn=3 within=5000"),
        "b goes on while a may pause"
    );
}

/// T28: a ring made again goes on above every forgotten ring's turns; (epoch, turn) never repeats.
#[test]
fn t28_a_ring_made_again_goes_on_above_all_forgotten_turns() {
    let config = TurnServerConfig { min_clients: 1, ..line_config() };
    let mut world = World::new(config, 1);
    let play = |world: &mut World, fields: &str, turns: usize| {
        let member = join(world, fields);
        let mut seen = Vec::new();
        let mut heard = member.then.clone();
        for _ in 0..turns {
            let go = heard.iter().find(|line| line.starts_with("GO ")).expect("has the turn");
            seen.push(field(go, "turn").parse::<u64>().expect("a number"));
            world.say(member.peer, "PASS");
            heard = world.heard(member.peer);
        }
        (member, seen)
    };
    let (a, mut used) = play(&mut world, "ann ring=a", 7);
    world.say(a.peer, "LEAVE");
    let (b, first) = play(&mut world, "ann ring=b", 2);
    assert!(first[0] > 7, "b is made after a was forgotten, and may become a again");
    used.extend(&first);
    // The second way to be forgotten: the grace.
    world.reset(b.peer);
    world.drive_for(secs(60));
    assert_eq!(world.server.scheduler().rings().count(), 0);
    for ring in ["a", "b", "a"] {
        let (member, seen) = play(&mut world, &format!("ann ring={ring}"), 3);
        assert!(seen.iter().all(|turn| *turn > *used.iter().max().expect("some")), "{seen:?} after {used:?}");
        used.extend(&seen);
        world.say(member.peer, "LEAVE");
    }
}

/// T28: at most `max_rings`; there is room again when one is forgotten.
#[test]
fn t28_rings_are_limited() {
    let mut world = World::new(TurnServerConfig { max_rings: 2, ..line_config() }, 1);
    let ann = join(&mut world, "ann ring=a");
    join(&mut world, "ann ring=b");
    join(&mut world, "bob ring=b");
    let third = world.connect();
    world.say(third, "JOIN ann ring=c");
    assert_eq!((refusal(&mut world, third), world.is_open(third)), ("full".to_owned(), false));
    assert_eq!(world.server.counts().turned_away, 1);
    world.say(ann.peer, "LEAVE");
    join(&mut world, "ann ring=c");
}

/// T29: `w` turns for every one of a weight-1 seat, spread evenly; equal weights keep ring order.
#[test]
fn t29_weights_share_the_turns_evenly() {
    for weights in
        [vec![3, 1], vec![1, 1, 1, 1], vec![5, 2, 1], vec![2, 2, 2], vec![100, 1, 1], vec![7, 3, 3, 1]]
    {
        let mut world = World::new(line_config(), 1);
        let members: Vec<_> = weights
            .iter()
            .zip('a'..)
            .map(|(weight, name)| join(&mut world, &format!("{name} weight={weight}")))
            .collect();
        let total: usize = weights.iter().sum();
        // The first seats had turns before the last was there: a lap later that is forgotten.
        line_order(&mut world, &members, total);
        let order = line_order(&mut world, &members, 10 * total);
        for (member, &weight) in members.iter().zip(&weights) {
            let turns: Vec<_> = (0..order.len()).filter(|&at| order[at] == member.name).collect();
            let share = turns.len();
            assert!(
                share.abs_diff(10 * weight) <= 1,
                "{weights:?}: {} had {share} of {}",
                member.name,
                order.len()
            );
            let widest = turns.windows(2).map(|pair| pair[1] - pair[0]).max().expect("many turns");
            let even = total.div_ceil(weight);
            assert!(
                widest <= even + weights.len(),
                "{weights:?}: {} waits {widest} turns, evenly {even}",
                member.name
            );
        }
        if weights.iter().all(|weight| *weight == weights[0]) {
            let in_order = order.windows(members.len() + 1).all(|lap| lap[0] == lap[members.len()]);
            assert!(in_order, "ring order: {order:?}");
        }
    }
}

/// T29: between two turns of a weight-1 seat no other has more than its weight, also when seats come and go.
#[test]
fn t29_nobody_starves_when_seats_come_and_go() {
    for seed in 0..30 {
        let mut world = World::new(line_config(), seed);
        let mut members = vec![join(&mut world, "one"), join(&mut world, "heavy weight=9")];
        let mut since_one = 0;
        let mut allowed = 9;
        for round in 0..300 {
            match world.rng.u8(0..6) {
                0 if members.len() < 6 => {
                    let weight = world.rng.usize(1..=20);
                    members.push(join(&mut world, &format!("m{round} weight={weight}")));
                    allowed += weight;
                }
                1 if members.len() > 2 => {
                    let at = world.rng.usize(2..members.len());
                    let gone = members.swap_remove(at);
                    world.say(gone.peer, "LEAVE");
                }
                _ => {}
            }
            let order = line_order(&mut world, &members, 1);
            if order[0] == "one" {
                since_one = 0;
                let ring = world.server.scheduler().rings().next().expect("a ring");
                let bound = world.server.scheduler().waiting_bound(ring);
                allowed = usize::try_from(bound.as_secs() / 30).expect("small");
            } else {
                since_one += 1;
            }
            assert!(since_one <= allowed, "seed {seed}: {since_one} turns of others, {allowed} allowed");
        }
    }
}

/// T30: a granted turn may be answered in a paused ring; the next goes to the seat behind the last answer.
#[test]
fn t30_a_paused_ring_goes_on_behind_the_last_answer() {
    let config = TurnServerConfig { min_clients: 3, ..line_config() };
    for end in ["answers", "passes", "lapses"] {
        let (mut world, [ann, bob, cid]) = line_ring(config.clone(), ["ann", "bob", "cid"]);
        world.say(ann.peer, "ann:1");
        world.heard(bob.peer);
        world.reset(cid.peer);
        assert_eq!(held(&world).map(|held| held.0), Some(2), "bob's turn stays his");
        let said = match end {
            "answers" => {
                world.say(bob.peer, "bob:2 turn=2");
                "OK turn=2"
            }
            "passes" => {
                world.say(bob.peer, "PASS");
                "OK turn=2"
            }
            _ => {
                world.drive_for(secs(30));
                "LAPSED turn=2"
            }
        };
        assert_eq!((world.heard(bob.peer), held(&world)), (vec![said.to_owned()], None), "no new turn");
        world.heard(ann.peer);
        // dan comes new, to the end: the next turn is cid's all the same, or dan's if cid stays away.
        if end == "answers" {
            let dan = join(&mut world, "dan");
            assert_eq!(dan.then, ["GO turn=3 within=30000"]);
            continue;
        }
        let again = join(&mut world, &format!("cid resume={}", cid.secret()));
        assert_eq!(again.then, ["GO turn=3 within=30000"], "behind bob comes cid");
        assert_eq!(world.heard(ann.peer), [""; 0]);
    }
}

/// T30: a turn that was lost with its holder moves nobody: neither who held it, nor who sat down meanwhile.
#[test]
fn t30_a_turn_that_ended_in_a_pause_costs_nobody_its_place() {
    let (mut world, [ann, bob, cid]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    world.say(ann.peer, "ann:1 turn=1");
    world.say(bob.peer, "bob:2 turn=2");
    // ann is away when cid answers: bob has the next turn. Then ann is back, and the others are lost.
    world.reset(ann.peer);
    world.say(cid.peer, "cid:3 turn=3");
    let ann = join(&mut world, &format!("ann resume={}", ann.secret()));
    world.reset(cid.peer);
    world.reset(bob.peer);
    assert_eq!(
        (held(&world), world.heard(ann.peer)),
        (None, vec![]),
        "bob's turn 4 has ended, and ann is alone"
    );
    // The last who answered is cid. Behind cid comes ann.
    let cid = join(&mut world, &format!("cid resume={}", cid.secret()));
    assert_eq!(
        (world.heard(ann.peer), cid.then),
        (vec!["GO turn=5 within=30000".to_owned()], vec!["WAIT ahead=1".to_owned()])
    );
}

/// T30: a ring that stands still grants nothing, however long and whatever happens in it.
#[test]
fn t30_a_paused_ring_grants_nothing() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.say(ann.peer, "ann:1");
    assert_eq!(world.heard(ann.peer), ["OK turn=1"]);
    world.reset(bob.peer);
    for _ in 0..3 {
        world.say(ann.peer, "ann:2");
        assert_eq!(refusal(&mut world, ann.peer), "not-your-turn");
        let elsewhere = format!("ann ring=x{}", world.passes);
        let again = join(&mut world, &elsewhere);
        world.reset(again.peer);
        world.drive_for(secs(19));
        assert_eq!(held(&world), None);
    }
    // bob's seat is gone with its grace: he is new, and still next, since ann answered last.
    world.drive_for(secs(19));
    world.heard(ann.peer);
    let again = join(&mut world, "bob");
    assert_eq!(
        (again.then.as_slice(), world.heard(ann.peer)),
        (&["GO turn=3 within=30000".to_owned()][..], vec![])
    );
}

/// T31: the epoch belongs to the server's life; in another one no secret is good and turns count from 1.
#[test]
fn t31_another_life_of_the_server_has_another_epoch() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    assert_eq!(field(&ann.welcome, "epoch"), field(&bob.welcome, "epoch"));
    world.say(ann.peer, "ann:1");
    world.kill_server();
    world.start_server();
    let stranger = world.connect();
    world.say(stranger, &format!("JOIN ann resume={}", ann.secret()));
    assert_eq!((refusal(&mut world, stranger), world.is_open(stranger)), ("bad-secret".to_owned(), false));
    let again = join(&mut world, "ann");
    assert_ne!(field(&again.welcome, "epoch"), field(&ann.welcome, "epoch"));
    assert_eq!(["seat", "last"].map(|key| field(&again.welcome, key)), ["1", "0"]);
    join(&mut world, "bob");
    assert_eq!(world.heard(again.peer), ["GO turn=1 within=30000"]);
}

/// T32: a drain lets the holder finish, says why to everybody, and grants nothing more.
#[test]
fn t32_a_drain_lets_the_holder_finish() {
    let (mut world, [ann, bob, cid]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    let watcher = world.connect();
    world.say(watcher, "WATCH");
    world.heard(watcher);
    let newcomer = world.connect();
    world.drive_for(secs(1));
    world.drain();
    assert!(
        [ann.peer, bob.peer, cid.peer, watcher, newcomer]
            .map(|peer| world.is_open(peer))
            .iter()
            .all(|open| *open)
    );
    // Nothing begins any more.
    let late = world.connect();
    assert_eq!((refusal(&mut world, late), world.is_open(late)), ("shutting-down".to_owned(), false));
    world.drive_for(secs(2));
    world.say(ann.peer, "ann:1 turn=1");
    let heard = world.heard(ann.peer);
    assert_eq!(
        (heard.len(), heard[0].as_str(), accepted(&world)),
        (2, "OK turn=1", vec!["ann:1".to_owned()])
    );
    assert!(heard[1].starts_with("BYE shutting-down "));
    let seen = world.heard(watcher);
    assert!(seen[0] == "TURN turn=1 ann:1" && seen[1].starts_with("BYE shutting-down "), "{seen:?}");
    for peer in [bob.peer, cid.peer, newcomer] {
        assert_eq!(refusal(&mut world, peer), "shutting-down", "and no GO before it");
    }
    assert_eq!(world.server.clients(), 0);
    assert!(
        [ann.peer, bob.peer, cid.peer, watcher, newcomer]
            .map(|peer| world.is_open(peer))
            .iter()
            .all(|open| !*open)
    );
}

/// T32 and L8: a silent holder delays a drain by `drain_timeout` at most, and without a holder it ends at once.
#[test]
fn t32_a_drain_ends_within_its_timeout() {
    let (mut world, [ann, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.drive_for(secs(5));
    world.drain();
    world.drive_for(ms(2999));
    assert!(world.is_open(ann.peer) && world.is_open(bob.peer));
    world.drive_for(ms(1));
    for peer in [ann.peer, bob.peer] {
        assert_eq!(
            (refusal(&mut world, peer), world.closed_at(peer)),
            ("shutting-down".to_owned(), Some(secs(8)))
        );
    }
    assert_eq!(world.server.clients(), 0);

    // The holder's own deadline comes first, or its connection is lost: then there is nobody to wait for.
    let (mut world, [_, bob]) = line_ring(line_config(), ["ann", "bob"]);
    world.drive_for(secs(28));
    world.drain();
    world.drive_for(secs(2));
    assert_eq!((refusal(&mut world, bob.peer), world.server.clients()), ("shutting-down".to_owned(), 0));

    let mut world = line_world();
    let ann = join(&mut world, "ann");
    world.drain();
    assert_eq!((refusal(&mut world, ann.peer), world.server.clients()), ("shutting-down".to_owned(), 0));
}

/// T32: an observer hears how the last turns end, wherever its connection stands among the others.
#[test]
fn t32_observers_hear_the_end_of_a_turn_that_the_drain_cuts_off() {
    let mut world = line_world();
    let watch = |world: &mut World| {
        let peer = world.connect();
        world.say(peer, "WATCH");
        world.heard(peer);
        peer
    };
    let first = watch(&mut world);
    join(&mut world, "ann");
    join(&mut world, "bob");
    let last = watch(&mut world);
    world.drain();
    world.drive_for(secs(4));
    for observer in [first, last] {
        let heard = world.heard(observer);
        assert_eq!(heard, ["SKIP turn=1 ann gone", "BYE shutting-down the server stops"]);
    }
}

/// T32 in the raw framing, which has no word for it: the answer counts, then everybody is closed.
#[test]
fn t32_a_drain_in_the_raw_framing_closes_without_a_word() {
    let (mut world, [a, b]) = raw_ring(raw_config());
    world.drain();
    let c = world.connect();
    assert!(!world.is_open(c));
    world.drive_for(secs(1));
    world.say(a, "a:1");
    assert_eq!(accepted(&world), ["a:1"]);
    assert_eq!(([a, b, c].map(|peer| world.heard(peer).len()), world.server.clients()), ([0, 0, 0], 0));
    assert!(!world.is_open(a) && !world.is_open(b));
}

// ---- bounded waiting ----------------------------------------------------------------------------------

/// A seat of weight 1 waits at most (sum of the others' weights) x `turn_deadline`, and that is attained.
#[test]
fn bounded_waiting_is_attained_and_exported() {
    let (mut world, members) = line_ring(line_config(), ["ann", "bob weight=3", "cid weight=2"]);
    let ring = world.server.scheduler().rings().next().expect("a ring");
    assert_eq!(world.server.scheduler().waiting_bound(ring), secs(5 * 30));
    let go_times = |world: &World| -> Vec<Duration> {
        let said = world.recvs(members[0].peer).iter();
        said.filter(|recv| recv.text().contains("GO turn=")).map(|recv| recv.at).collect()
    };
    // Nobody ever answers: every turn takes its 30 s.
    world.drive_for(secs(10 * 180));
    let times = go_times(&world);
    assert!(times.len() >= 10, "{times:?}");
    for pair in times.windows(2) {
        let waited = pair[1] - pair[0] - secs(30);
        assert!(waited <= secs(150), "waited {waited:?}: {times:?}");
    }
    let longest = world.server.scheduler().longest_wait(ring);
    assert_eq!((longest.waited, longest.bound), (secs(150), secs(150)));
}

/// In the raw framing strikes and the signal gap do not lengthen the bound, but for the gap before a release.
#[test]
fn bounded_waiting_holds_over_strikes_and_gaps() {
    let (mut world, [_a, b, _c]) = raw_ring(raw_config());
    let b_first = world.elapsed();
    for _ in 0..100 {
        world.drive_for(secs(1));
        for peer in [Peer(0), Peer(2)] {
            if !world.heard(peer).is_empty() && world.rng.bool() {
                world.say(peer, "bad:");
            }
        }
        if !world.heard(b).is_empty() {
            break;
        }
    }
    assert!(world.elapsed() - b_first <= secs(60) + ms(200), "strikes bring no new deadline");
}

// ---- our client ---------------------------------------------------------------------------------------

fn client_config(framing: Framing) -> TurnClientConfig {
    TurnClientConfig { framing, pace: Duration::ZERO, ..TurnClientConfig::default() }
}

const TWO: [(&str, i64, i64); 2] = [("Client1", 1, 2), ("Client2", 2, 2)];

/// What the client reports as accepted.
fn sent(world: &World) -> Vec<(String, i64)> {
    let sent = world.client_events().iter().filter_map(|event| match event {
        ClientEvent::Sent { name, number } => Some((name.as_str().to_owned(), *number)),
        _ => None,
    });
    sent.collect()
}

/// Every name's numbers, in order, must be the sequence itself.
fn assert_no_gap_and_no_repetition(accepted: &[(String, i64)], clients: &[(&str, i64, i64)], context: &str) {
    for &(name, start, step) in clients {
        let numbers: Vec<_> =
            accepted.iter().filter(|(who, _)| who == name).map(|(_, number)| *number).collect();
        let expected: Vec<_> = (0..).map(|n| start + n * step).take(numbers.len()).collect();
        assert_eq!(numbers, expected, "{name}, {context}");
    }
}

/// Two of our clients at their default pace, in both framings: 1, 2, 3, 4 ...
#[test]
fn client_two_clients_alternate_in_both_framings() {
    for framing in [Framing::Raw, Framing::Line] {
        let mut world = World::new(TurnServerConfig { framing, ..TurnServerConfig::default() }, 3);
        world.run_client(TurnClientConfig { framing, ..TurnClientConfig::default() }, &TWO);
        world.drive_for(secs(10));
        let numbers: Vec<_> = world.accepted().iter().map(|(_, number)| *number).collect();
        assert!(numbers.len() >= 18, "{framing:?}: {numbers:?}");
        assert_eq!(numbers, (1..).take(numbers.len()).collect::<Vec<_>>(), "{framing:?}");
        assert_eq!(sent(&world), world.accepted(), "{framing:?}: what it prints is what counted");
    }
}

/// With a count the client says when it has finished, and its connections stay until the host drains.
#[test]
fn client_with_a_count_finishes_and_stays_connected() {
    for framing in [Framing::Raw, Framing::Line] {
        let mut world = World::new(TurnServerConfig { framing, ..TurnServerConfig::default() }, 3);
        world.run_client(TurnClientConfig { count: Some(3), pace: ms(100), ..client_config(framing) }, &TWO);
        assert!(world.drive_bounded(secs(60), |world| world.client().is_finished()));
        // The last number is on its way.
        for _ in 0..4 {
            world.step();
        }
        assert_eq!(world.accepted().len(), 6, "{framing:?}");
        assert_eq!(world.client_events().last(), Some(&ClientEvent::Finished));
        let peers = [0, 1].map(|index| world.client_peer(index).expect("still connected"));
        world.drain_client();
        assert!(peers.iter().all(|peer| !world.is_open(*peer)), "{framing:?}");
    }
}

/// T31 with T22 and T23: the connection is lost before the answer arrives; it is sent again, and counts once.
#[test]
fn t31_client_resumes_when_its_answer_was_lost() {
    let mut world = World::new(line_config(), 5);
    world.run_client(TurnClientConfig { pace: secs(1), ..client_config(Framing::Line) }, &TWO);
    world.drive_for(ms(5500));
    for _ in 0..6 {
        let before = world.accepted().len();
        let seats = world.server.scheduler().seats();
        // What client 1 sends from now on is lost; then it notices.
        let peer = world.client_peer(0).expect("connected");
        world.lose_up(peer);
        world.drive_for(secs(3));
        assert!(world.accepted().len() <= before + 2, "its answers do not arrive");
        world.break_client_end(0);
        world.drive_for(secs(5));
        assert!(world.accepted().len() > before + 4, "it came back into its seat");
        assert_eq!(world.server.scheduler().seats(), seats, "no second seat");
    }
    assert_no_gap_and_no_repetition(&world.accepted(), &TWO, "answers lost");
    assert_eq!(sent(&world), world.accepted());
}

/// T31 with T23: the connection is lost behind the answer, with its `OK`; `WELCOME` tells, and it is not sent again.
#[test]
fn t31_client_resumes_when_its_confirmation_was_lost() {
    let mut world = World::new(line_config(), 5);
    world.run_client(TurnClientConfig { pace: secs(1), ..client_config(Framing::Line) }, &TWO);
    world.drive_for(ms(5500));
    for round in 0..6 {
        // Nothing reaches client 1 any more once it has its GO: it answers, and never hears OK.
        let name = "Client1";
        let count = |world: &World| world.accepted().iter().filter(|(who, _)| who == name).count();
        let before = count(&world);
        let peer = world.client_peer(0).expect("connected");
        let up = world.drive_bounded(secs(10), |world| world.has_under_way(peer));
        assert!(up, "an answer is on its way");
        world.lose_down(peer);
        world.drive_for(ms(10));
        assert_eq!(count(&world), before + 1, "it counts");
        assert_eq!(
            sent(&world).iter().filter(|(who, _)| who == name).count(),
            before,
            "the client does not know"
        );
        if round % 2 == 0 {
            world.break_client_end(0);
        } else {
            world.break_connection(0);
        }
        world.drive_for(secs(5));
        assert!(count(&world) > before + 1);
    }
    assert_no_gap_and_no_repetition(&world.accepted(), &TWO, "confirmations lost");
    assert_no_gap_and_no_repetition(&sent(&world), &TWO, "as the client knows");
    assert_eq!(sent(&world).len(), world.accepted().len());
}

/// T31: another life of the server: the client is refused with its old secret, joins anew by itself, and goes on with
/// the number of whose acceptance it does not know.
#[test]
fn t31_client_joins_anew_after_the_server_was_restarted() {
    for in_flight in [false, true] {
        let mut world = World::new(line_config(), 5);
        world.run_client(TurnClientConfig { pace: secs(1), ..client_config(Framing::Line) }, &TWO);
        world.drive_for(ms(5500));
        if in_flight {
            let peer = world.client_peer(0).expect("connected");
            assert!(world.drive_bounded(secs(10), |world| world.has_under_way(peer)));
        }
        let known = sent(&world).len();
        world.kill_server();
        world.drive_for(secs(2));
        world.start_server();
        world.drive_for(secs(10));
        let refused = world
            .client_events()
            .iter()
            .filter(|event| matches!(event, ClientEvent::Bye { bye, .. } if bye.as_str() == "bad-secret"));
        assert_eq!(refused.count(), 2, "both came with their old secret first");
        assert!(sent(&world).len() > known + 10, "and went on by themselves");
        assert_no_gap_and_no_repetition(&sent(&world), &TWO, "over two lives");
        assert_eq!(world.server.scheduler().seats(), 2);
    }
}

/// T31: lives of the server come and go under clients that answer as fast as they can; nothing is lost for them.
#[test]
fn t31_client_survives_any_number_of_restarts() {
    for seed in 0..20 {
        let mut world = World::new(line_config(), seed);
        world.run_client(TurnClientConfig { pace: ms(100), ..client_config(Framing::Line) }, &TWO);
        for _ in 0..10 {
            let [pause, away, lossy] =
                [world.rng.u64(0..3000), world.rng.u64(0..2000), world.rng.u64(0..3000)];
            world.drive_for(ms(pause));
            let at = world.rng.usize(0..2);
            match world.rng.u8(0..4) {
                0 => {
                    world.kill_server();
                    world.drive_for(ms(away));
                    world.start_server();
                }
                1 => world.break_client_end(at),
                2 => world.break_connection(at),
                _ => {
                    if let Some(peer) = world.client_peer(at) {
                        world.lose_down(peer);
                        world.drive_for(ms(lossy));
                        world.break_connection(at);
                    }
                }
            }
        }
        world.drive_for(secs(5));
        let before = sent(&world).len();
        world.drive_for(secs(5));
        assert!(sent(&world).len() > before + 20, "seed {seed}: it lives");
        assert_no_gap_and_no_repetition(&sent(&world), &TWO, &format!("seed {seed}"));
    }
}

/// One client of a [`TurnClient`] by itself; the test is its server.
struct Alone {
    client: TurnClient,
    links: Links,
    now: Now,
    id: ConnectionId,
}

impl Alone {
    fn new(framing: Framing) -> Alone {
        Alone::with(client_config(framing))
    }

    fn with(config: TurnClientConfig) -> Alone {
        let mut client = TurnClient::new(config);
        client.add("ann".parse().expect("a name"), 1, 1);
        let mut links = Links::new(world::OUT_BYTES_MAX);
        let id = links.open(([127, 0, 0, 1], 9).into());
        let mut alone = Alone { client, links, now: world::some_now(), id };
        alone.opened();
        alone
    }

    fn opened(&mut self) {
        let peer = ([127, 0, 0, 1], 5001).into();
        self.client.handle_open(self.now, self.id, peer, Origin::Dialed(DialId(0)), &mut self.links);
    }

    fn lose(&mut self) {
        let reason = CloseReason::Broken(std::io::ErrorKind::ConnectionReset);
        self.client.handle_closed(self.now, self.id, reason, &mut self.links);
        self.links.remove(self.id);
    }

    fn reconnect(&mut self) {
        self.lose();
        self.id = self.links.open(([127, 0, 0, 1], 9).into());
        self.opened();
    }

    /// What it says to `bytes`.
    fn hear(&mut self, bytes: &str) -> String {
        if !bytes.is_empty() {
            self.client.handle_bytes(self.now, self.id, bytes.as_bytes(), &mut self.links);
        }
        let said = String::from_utf8(self.links.unsent(self.id).to_vec()).expect("UTF-8");
        self.links.consume(self.id, said.len());
        self.client.handle_flushed(self.now, &mut self.links);
        said
    }

    /// What it says once it is due.
    fn wake(&mut self) -> String {
        self.now.instant = self.client.next_deadline().expect("it waits for a time");
        self.client.handle_timeout(self.now, &mut self.links);
        self.hear("")
    }

    /// The numbers that it has reported as accepted since this was last asked.
    fn sent(&mut self) -> Vec<i64> {
        let events = std::iter::from_fn(|| self.client.poll_event());
        let number = |event| match event {
            ClientEvent::Sent { number, .. } => Some(number),
            _ => None,
        };
        events.filter_map(number).collect()
    }
}

/// T31: `last` says something about the answer in flight in the same epoch only.
#[test]
fn t31_client_trusts_last_in_the_same_epoch_only() {
    for (epoch, again) in [("00000000000000e1", "ann:2 turn=8\n"), ("00000000000000e2", "ann:1 turn=8\n")] {
        let mut ann = Alone::new(Framing::Line);
        assert_eq!(ann.hear(""), "JOIN ann ring=main\n");
        let secret = "0".repeat(32);
        let welcome = |epoch, last| {
            format!("WELCOME seat=1 ring=main epoch={epoch} resume={secret} last={last} number={last}\n")
        };
        ann.hear(&welcome("00000000000000e1", 0));
        assert_eq!(ann.hear("GO turn=1 within=30000\n"), "ann:1 turn=1\n");
        ann.reconnect();
        assert_eq!(ann.hear(""), format!("JOIN ann ring=main resume={secret}\n"));
        ann.hear(&welcome(epoch, 1));
        assert_eq!(ann.hear("GO turn=8 within=30000\n"), again, "epoch {epoch}");
    }
}

/// A refusal settles the fate of a number only if its turn is over by it.
#[test]
fn client_takes_a_number_back_when_its_turn_is_refused_as_over() {
    for (refusal, sent) in [
        ("NO turn=1 stale-turn that turn is over\n", &[][..]),
        ("NO turn=1 not-your-turn wait for GO\n", &[]),
        ("NO turn=1 malformed what?\n", &[1]),
        ("NO turn=9 stale-turn that turn is over\n", &[1]),
    ] {
        let mut ann = Alone::new(Framing::Line);
        assert_eq!(ann.hear("GO turn=1 within=30000\n"), "JOIN ann ring=main\nann:1 turn=1\n");
        ann.hear(refusal);
        ann.hear("OK turn=1\n");
        assert_eq!(ann.sent(), sent, "{refusal}");
    }
}

/// T11 with a pace: what has lapsed before the client could answer is not answered.
#[test]
fn client_drops_a_turn_that_lapsed_while_it_paused() {
    for (lapsed, said) in [("LAPSED turn=2\n", ""), ("LAPSED turn=9\n", "ann:2 turn=2\n")] {
        let mut ann = Alone::with(TurnClientConfig { pace: secs(1), ..client_config(Framing::Line) });
        ann.hear("GO turn=1 within=30000\nOK turn=1\n");
        assert_eq!(ann.hear("GO turn=2 within=30000\n"), "", "it pauses");
        ann.hear(lapsed);
        let (mut heard, until) = (String::new(), ann.now.instant + secs(2));
        while ann.client.next_deadline().is_some_and(|due| due <= until) {
            heard += &ann.wake();
        }
        assert_eq!(heard, said, "{lapsed}");
    }
}

/// A connection that is not one of its clients', or that comes when it is about to end, is closed.
#[test]
fn client_refuses_connections_that_are_not_its_own() {
    let mut ann = Alone::new(Framing::Line);
    let is_taken = |ann: &mut Alone, origin| {
        let peer = ([127, 0, 0, 1], 5001).into();
        let id = ann.links.open(peer);
        ann.client.handle_open(ann.now, id, peer, origin, &mut ann.links);
        ann.links.is_open(id)
    };
    assert!(!is_taken(&mut ann, Origin::Accepted));
    assert!(!is_taken(&mut ann, Origin::Dialed(DialId(1))), "there is no second client");
    ann.lose();
    assert!(is_taken(&mut ann, Origin::Dialed(DialId(0))));
    ann.client.drain(ann.now, &mut ann.links);
    assert!(!is_taken(&mut ann, Origin::Dialed(DialId(0))), "it is about to end");
}

/// A number that no connection has written is not reported; nobody else's waits for that.
#[test]
fn client_raw_reports_a_number_once_it_is_written() {
    let mut client = TurnClient::new(client_config(Framing::Raw));
    let mut links = Links::new(world::OUT_BYTES_MAX);
    let (now, peer) = (world::some_now(), ([127, 0, 0, 1], 5001).into());
    let ids = [0, 1, 2].map(|index| {
        client.add(format!("c{index}").parse().expect("a name"), 10 * (index + 1), 1);
        let id = links.open(peer);
        let origin = Origin::Dialed(DialId(usize::try_from(index).expect("small")));
        client.handle_open(now, id, peer, origin, &mut links);
        client.handle_bytes(now, id, b"GO", &mut links);
        id
    });
    let written = |client: &mut TurnClient, links: &mut Links, at: usize| {
        links.consume(ids[at], links.unsent(ids[at]).len());
        client.handle_flushed(now, links);
        client.poll_event()
    };
    let sent = |index: usize, number| {
        Some(ClientEvent::Sent { name: format!("c{index}").parse().expect("a name"), number })
    };
    client.handle_flushed(now, &mut links);
    assert_eq!(client.poll_event(), None);
    assert_eq!(written(&mut client, &mut links, 1), sent(1, 20));
    client.handle_closed(now, ids[0], CloseReason::Finished, &mut links);
    links.remove(ids[0]);
    assert_eq!(client.poll_event(), None, "it is lost, as far as the client knows");
    assert_eq!(written(&mut client, &mut links, 2), sent(2, 30));
}

/// Whoever has no connection waits for nothing.
#[test]
fn client_without_a_connection_is_not_woken() {
    let mut ann = Alone::new(Framing::Line);
    let welcome_by = ann.now.instant + Duration::from_secs(5);
    assert_eq!(
        ann.client.next_deadline(),
        Some(welcome_by),
        "then it wonders why the server does not answer"
    );
    ann.lose();
    assert_eq!(ann.client.next_deadline(), None);
}

/// What is neither `GO` nor `WAIT` is said once, in the log.
#[test]
fn client_raw_wonders_once_about_another_framing() {
    listen_to_log();
    let mut ann = Alone::new(Framing::Raw);
    ann.hear("WAITGOWAIT");
    assert_eq!(take_log(), []);
    ann.hear("BYE malformed\x1b[2J\n");
    ann.hear("what?\n");
    let log = take_log();
    assert!(
        matches!(&log[..], [(Level::Warn, line)] if line.contains("BYE malformed\\x1b[2J\\n")),
        "{log:?}"
    );
}

/// The legacy server runs its signals together, and says `WAIT` whenever it likes: one `GO` is one number.
#[test]
fn client_raw_understands_signals_that_run_together() {
    let mut ann = Alone::new(Framing::Raw);
    assert_eq!(ann.hear("WAIT"), "");
    assert_eq!(ann.hear("WAITWAITGO"), "ann:1");
    assert_eq!(ann.hear("WAITWA"), "");
    assert_eq!(ann.hear("IT"), "");
    assert_eq!(ann.hear("G"), "");
    assert_eq!(ann.hear("OWAIT"), "ann:2");
    // Half a signal belongs to its connection.
    ann.hear("G");
    ann.reconnect();
    assert_eq!(ann.hear("O"), "");
    assert_eq!(ann.hear("GO"), "ann:3");
}

/// Our raw client never sends a number twice, over any number of lost connections.
#[test]
fn client_raw_never_sends_a_number_twice() {
    for seed in 0..20 {
        let mut world = World::new(raw_config(), seed);
        world.run_client(TurnClientConfig { pace: ms(100), ..client_config(Framing::Raw) }, &TWO);
        for _ in 0..15 {
            let pause = world.rng.u64(0..3000);
            world.drive_for(ms(pause));
            let at = world.rng.usize(0..2);
            if world.rng.bool() { world.break_client_end(at) } else { world.break_connection(at) }
        }
        world.drive_for(secs(40));
        for name in ["Client1", "Client2"] {
            for list in [world.accepted(), sent(&world)] {
                let numbers: Vec<_> =
                    list.iter().filter(|(who, _)| who == name).map(|(_, number)| *number).collect();
                assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "seed {seed}: {name}: {numbers:?}");
                assert!(numbers.len() > 10, "seed {seed}: {name} lives");
            }
        }
    }
}

// ---- A: for all protocols -----------------------------------------------------------------------------

/// A2: a peer that sends what it likes makes the server neither panic nor spin nor grow, in both framings.
#[test]
fn a02_hostile_bytes_do_no_harm() {
    let words: [&[u8]; 24] = [
        b"GO",
        b"WAIT",
        b"a:1",
        b"JOIN ",
        b"JOIN ann\n",
        b" resume=",
        b" ring=",
        b" weight=101",
        b" turn=",
        b":",
        b"=",
        b"\n",
        b"\r\n",
        b"\0",
        b"\x1b[2J",
        b"\xff",
        b"\xc3",
        b"18446744073709551616",
        b"-9223372036854775809",
        b"PASS",
        b"LEAVE\n",
        b"WATCH\n",
        b"PING\n",
        b" ",
    ];
    for framing in [Framing::Raw, Framing::Line] {
        for seed in 0..100 {
            let config = TurnServerConfig { framing, turn_deadline: secs(1), ..TurnServerConfig::default() };
            let mut world = World::new(config, seed);
            world.shuffling = true;
            let mut peers: Vec<_> = (0..4).map(|_| world.connect()).collect();
            for _ in 0..100 {
                let at = world.rng.usize(0..peers.len());
                if !world.is_open(peers[at]) {
                    peers[at] = world.connect();
                }
                let mut bytes = Vec::new();
                for _ in 0..world.rng.usize(1..6) {
                    if world.rng.u8(0..4) == 0 {
                        let noise = [(); 20].map(|()| world.rng.u8(..));
                        bytes.extend_from_slice(&noise);
                    } else {
                        let at = world.rng.usize(0..words.len());
                        bytes.extend_from_slice(words[at]);
                    }
                }
                world.say_bytes(peers[at], &bytes);
                let pause = world.rng.u64(0..100);
                world.drive_for(ms(pause));
            }
            assert!(world.server.scheduler().seats() <= 104 && world.passes < 50_000);
        }
    }
}

/// A2: a line that has begun must end within its time, also if it comes byte by byte; so must a silent newcomer.
#[test]
fn a02_a_line_that_does_not_end_is_given_up() {
    let mut world = line_world();
    world.chunking = false;
    let ann = join(&mut world, "ann");
    let started = world.elapsed();
    for _ in 0..20 {
        world.say_bytes(ann.peer, b"x");
        world.drive_for(ms(500));
    }
    let closed = world.closed_at(ann.peer).expect("closed");
    assert_eq!(closed - started, secs(5));
    assert!(world.heard(ann.peer)[0].starts_with("BYE line-timeout "));
    // Also who says no more than that, and who has not joined.
    let (cid, newcomer) = (join(&mut world, "cid").peer, world.connect());
    for peer in [cid, newcomer] {
        world.say_bytes(peer, b"JO");
    }
    let started = world.elapsed();
    world.drive_for(secs(6));
    for peer in [cid, newcomer] {
        assert_eq!(world.closed_at(peer).expect("closed") - started, secs(5));
        assert!(world.heard(peer)[0].starts_with("BYE line-timeout "));
    }
    // Whoever ends its lines in time may talk for as long as it likes.
    let bob = join(&mut world, "bob");
    for _ in 0..20 {
        world.say_bytes(bob.peer, b"PI");
        world.drive_for(secs(4));
        world.say_bytes(bob.peer, b"NG\nP");
        world.drive_for(secs(4));
        world.say_bytes(bob.peer, b"ING\n");
    }
    assert!(world.is_open(bob.peer));
}

/// A2: with nothing to do nobody is woken: an idle hour costs no passes but those of what is due.
#[test]
fn a02_an_idle_server_sleeps() {
    let mut world = line_world();
    join(&mut world, "ann");
    world.drive_for(secs(60));
    let before = world.passes;
    world.drive_for(secs(3600));
    assert!(world.passes - before <= 4, "{} passes in an idle hour", world.passes - before);
    assert_eq!(world.server.next_deadline(), None);
}

/// A3: a peer that does not read is closed at its maximum; the others go on without delay, and the turn passes.
#[test]
fn a03_a_peer_that_does_not_read_is_closed_at_its_maximum() {
    let mut world = World::with_out_bytes_max(line_config(), 1, 4096);
    world.chunking = false;
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(|name| join(&mut world, name));
    for member in [&ann, &bob, &cid] {
        world.heard(member.peer);
    }
    world.stop_reading(ann.peer, 0);
    let mut asked = 0;
    while world.is_open(ann.peer) {
        world.say(ann.peer, "PING");
        asked += 1;
        assert!(asked <= 4096 / 5 + 1, "more than out_bytes_max is queued");
        world.say(bob.peer, "PING");
        assert!(world.heard(bob.peer).contains(&"PONG".to_owned()), "others are not delayed");
    }
    assert_eq!(asked, 4096 / 5 + 1);
    assert_eq!(held(&world).map(|held| held.0), Some(2), "the holder that did not read has lost its turn");
    assert!(world.is_open(bob.peer) && world.is_open(cid.peer));
}

/// A3: nothing counts that comes behind what made its connection too slow a reader, not even in the same read.
#[test]
fn a03_a_peer_that_was_given_up_is_not_listened_to_any_more() {
    let mut world = World::with_out_bytes_max(line_config(), 1, 1024);
    world.chunking = false;
    let [ann, bob] = ["ann", "bob"].map(|name| join(&mut world, name));
    world.stop_reading(ann.peer, 0);
    let mut bytes = b"PING\n".repeat(1024 / 5 + 1);
    bytes.extend_from_slice(b"ann:1 turn=1\n");
    world.say_bytes(ann.peer, &bytes);
    assert_eq!((accepted(&world), world.is_open(ann.peer)), (vec![], false));
    assert!(world.is_open(bob.peer));
}

/// A3 for observers, which are written to without having asked: one of them that sleeps harms nobody.
#[test]
fn a03_an_observer_that_does_not_read_is_closed() {
    let mut world = World::with_out_bytes_max(TurnServerConfig { min_clients: 1, ..line_config() }, 1, 4096);
    let ann = join(&mut world, "ann");
    let [lazy, keen] = [(); 2].map(|()| {
        let peer = world.connect();
        world.say(peer, "WATCH");
        world.heard(peer);
        peer
    });
    world.stop_reading(lazy, 10);
    for turn in 1..=1000 {
        world.say(ann.peer, &format!("ann:{turn}"));
        assert_eq!(world.heard(keen), [format!("TURN turn={turn} ann:{turn}")]);
    }
    assert!(!world.is_open(lazy) && world.is_open(keen));
}

/// A4: whatever a peer sends, no control byte and nothing that is not ASCII reaches the log.
#[test]
fn a04_bytes_from_peers_are_escaped_in_the_log() {
    listen_to_log();
    let nasty = ["\u{1b}[2J:", "x\u{7}\u{8}\u{0}", "a\u{202e}b:x", "\u{85}\u{9b}31m", "\"\n\r\t\\:"];
    let (mut world, [a, b]) = raw_ring(TurnServerConfig { strikes: 100, ..raw_config() });
    for text in nasty {
        world.say(a, text);
        world.say(b, text);
        world.drive_for(ms(50));
    }
    world.say(a, "sneaky\u{202e}\u{200f}:1");
    world.drive_for(secs(90));
    let mut world = line_world();
    let [ann, bob] = ["a\u{202e}nn", "bob"].map(|name| join(&mut world, name));
    for text in nasty {
        world.chunking = false;
        world.say_bytes(bob.peer, text.as_bytes());
        world.say_bytes(bob.peer, b"\n");
    }
    world.drive_for(secs(90));
    let full = world.connect();
    world.say_bytes(full, b"JOIN x\x1b\xff\n");
    drop(ann);
    let log = take_log();
    assert!(log.len() > 10);
    for (_, line) in log {
        assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{line:?}");
    }
}

/// A4: who is refused over and over does not fill the log.
#[test]
fn a04_of_the_refusals_of_a_connection_the_log_shows_ever_fewer() {
    listen_to_log();
    let refusals = || take_log().iter().filter(|(_, line)| line.contains("refused")).count();
    let (mut world, [_, raw]) = raw_ring(raw_config());
    refusals();
    for _ in 0..40 {
        world.say(raw, "not:1");
        world.drive_for(ms(60));
    }
    assert_eq!(refusals(), 10, "the 1st to 8th, the 16th and the 32nd");
    let mut world = line_world();
    let bob = join(&mut world, "bob");
    (0..40).for_each(|_| world.say(bob.peer, "nonsense"));
    assert_eq!(refusals(), 10);
    world.say(bob.peer, "PING");
    assert!(world.is_open(bob.peer));
}

/// A4: whom the server closes is logged with the reason, of all connections taken together; who leaves, or a drain, is not.
#[test]
fn a04_of_connections_closed_with_a_reason_the_log_shows_ever_fewer() {
    listen_to_log();
    let closings = || take_log().iter().filter(|(_, line)| line.contains(": closed (")).count();
    let mut world = line_world();
    for _ in 0..20 {
        let peer = world.connect();
        world.say_bytes(peer, b"\xff\n");
        assert_eq!(refusal(&mut world, peer), "not-utf8");
    }
    assert_eq!(closings(), 9, "the 1st to 8th, and the 16th");
    let (mut world, [ann, _]) = line_ring(line_config(), ["ann", "bob"]);
    world.say(ann.peer, "LEAVE");
    world.drain();
    world.drive_for(secs(10));
    assert_eq!((closings(), world.connections()), (0, 0));
    let (mut world, [a, _]) = raw_ring(raw_config());
    for _ in 0..3 {
        world.say(a, "not:a:number");
        world.drive_for(ms(60));
    }
    assert_eq!((closings(), world.is_open(a)), (1, false));
}

/// A8: nothing is logged per turn at info.
#[test]
fn a08_nothing_is_logged_per_turn_at_info() {
    listen_to_log();
    let (mut world, members) = line_ring(line_config(), ["ann", "bob", "cid"]);
    let (mut raw, peers) = raw_ring::<3>(raw_config());
    take_log();
    line_order(&mut world, &members, 100);
    raw_order(&mut raw, &peers, 100);
    let loud: Vec<_> = take_log().into_iter().filter(|(level, _)| *level <= Level::Info).collect();
    assert_eq!(loud, []);
}
