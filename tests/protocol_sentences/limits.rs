//! Peers that are hostile, idle or do not read (A2, A3). What the log says of them is in `log.rs`.

use taketurns::protocol::Protocol;
use taketurns::protocol::turns::{Framing, TurnServerConfig};

use crate::start::{accepted, held, join, line_config, line_world};
use crate::world::{Peer, World, ms, secs};

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
            assert!(world.server().scheduler().seats() <= 104 && world.passes < 50_000);
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
    assert_eq!(world.server().next_deadline(), None);
}

/// A3: a peer that does not read is closed at its maximum; the others go on without delay, and the turn passes.
#[test]
fn a03_a_peer_that_does_not_read_is_not_read_either_and_closed_in_time() {
    let mut world = World::with_out_bytes_max(line_config(), 1, 4096);
    world.chunking = false;
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(|name| join(&mut world, name));
    for member in [&ann, &bob, &cid] {
        world.heard(member.peer);
    }
    world.stop_reading(ann.peer, 0);
    for _ in 0..4096 / 5 {
        world.say(ann.peer, "PING");
        world.say(bob.peer, "PING");
        assert!(world.heard(bob.peer).contains(&"PONG".to_owned()), "others are not delayed");
    }
    assert!(world.is_open(ann.peer) && world.queued(ann.peer) <= 4096 / 2 + 5, "half of what may be queued");
    world.drive_for(secs(9));
    assert!(world.is_open(ann.peer));
    world.drive_for(secs(1));
    assert!(!world.is_open(ann.peer), "it has taken nothing for 10 s");
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
    assert_eq!(accepted(&world), [] as [&str; 0], "it is to read first");
    world.drive_for(secs(10));
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

/// So many clients with long names in one ring, and an observer that reads all the time.
fn observed_crowd(count: usize) -> (World, Vec<Peer>, Peer) {
    let config = TurnServerConfig { line_timeout: secs(5), ..line_config() };
    let mut world = World::new(config, 1);
    world.chunking = false;
    let observer = world.connect();
    world.say(observer, "WATCH");
    let crowd: Vec<_> = (0..count).map(|_| world.connect_quietly()).collect();
    for (at, &peer) in crowd.iter().enumerate() {
        world.queue(peer, &format!("JOIN {at:x>60}"));
    }
    world.drive();
    world.heard(observer);
    (world, crowd, observer)
}

/// The observer has heard the end of each turn that ended.
fn assert_all_heard(world: &mut World, observer: Peer, ended: usize) {
    let heard = world.heard(observer);
    assert_eq!(heard.iter().filter(|line| line.starts_with("SKIP ")).count(), ended);
    assert!(world.is_open(observer), "it reads all the time");
}

/// A3: 3,000 clients that have begun a line are out of time in the same pass, each while it holds the turn.
#[test]
fn a03_an_observer_that_reads_hears_of_3000_that_time_out_at_once() {
    let (mut world, crowd, observer) = observed_crowd(3_000);
    crowd.iter().for_each(|&peer| world.queue_bytes(peer, b"PIN"));
    world.drive_for(secs(5));
    assert_eq!(world.server().clients(), 1, "the observer");
    assert_all_heard(&mut world, observer, 2_999);
}

/// A3: 900 clients are reset in one pass, each while it holds the turn.
#[test]
fn a03_an_observer_that_reads_hears_of_900_that_are_reset_at_once() {
    let (mut world, crowd, observer) = observed_crowd(900);
    crowd.iter().for_each(|&peer| world.reset_quietly(peer));
    world.drive();
    assert_all_heard(&mut world, observer, 899);
}

/// A3: the host removes 1,000 clients at once, each while it holds the turn.
#[test]
fn a03_an_observer_that_reads_hears_of_1000_that_are_kicked_at_once() {
    let (mut world, crowd, observer) = observed_crowd(1_000);
    world.kick_all(&crowd);
    assert_all_heard(&mut world, observer, 999);
}
