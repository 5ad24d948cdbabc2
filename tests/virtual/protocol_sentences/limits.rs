//! Peers that are hostile, idle or do not read (A2, A3). The log is tested in `log.rs`.

use support::network::World;
use support::{ms, secs};
use taketurns::protocol::turns::{Framing, Verdict};
use taketurns::turn::Judging;

use super::start::{config, join, line_config, line_world, turn};

/// A2: a peer that sends anything it likes makes the server neither panic nor spin nor grow, in both
/// framings.
#[test]
fn a02_hostile_bytes_do_no_harm() {
    let words: [&[u8]; 29] = [
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
        b"ANSWER ",
        b" bytes=7\n",
        b"ASK\n",
        b"REST\n",
        b"RENEW\n",
        b"LEAVE\n",
        b"WATCH\n",
        b"PING\n",
        b" ",
    ];
    for framing in [Some(Framing::Raw), Some(Framing::Line), None] {
        for seed in 0..60 {
            let mut config = config(framing);
            config.rules.turn_deadline = secs(1);
            if seed % 3 == 0 {
                config.rules.judging = Judging::Host;
            }
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
                if world.rng.bool() && !world.proposals.is_empty() {
                    let verdict =
                        if world.rng.bool() { Verdict::ACCEPT } else { Verdict::Refuse { words: "no" } };
                    // It may be too late by now.
                    let _ = world.try_rule(verdict);
                }
            }
            assert!(world.server().scheduler().seats() <= 104 && world.passes < 50_000);
        }
    }
}

/// A2: a line that has begun must end in time, even if it arrives byte by byte. So must a silent newcomer.
#[test]
fn a02_a_line_that_does_not_end_closes_its_connection() {
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
    assert!(world.heard(ann.peer)[0].starts_with("BYE line-timeout :"));
    // Also for one that sends nothing more, and for one that has not joined.
    let (cid, newcomer) = (join(&mut world, "cid").peer, world.connect());
    for peer in [cid, newcomer] {
        world.say_bytes(peer, b"JO");
    }
    let started = world.elapsed();
    world.drive_for(secs(6));
    for peer in [cid, newcomer] {
        assert_eq!(world.closed_at(peer).expect("closed") - started, secs(5));
        assert!(world.heard(peer)[0].starts_with("BYE line-timeout :"));
    }
    // A client that ends its lines in time may go on for as long as it likes.
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

/// A2: an idle hour costs no passes except those for deadlines.
#[test]
fn a02_an_idle_server_sleeps() {
    let mut world = line_world();
    join(&mut world, "ann");
    world.drive_for(secs(60));
    let before = world.passes;
    world.drive_for(secs(3600));
    assert!(world.passes - before <= 4, "{} passes in an idle hour", world.passes - before);
    assert_eq!(world.next_deadline(), None);
}

/// A3: a peer that does not read is not read either, and costs no more than its maximum. The others are not
/// delayed, and the turn passes on. A9: it stays, and gets everything when it reads again.
#[test]
fn a03_a09_a_peer_that_does_not_read_costs_no_more_than_its_maximum_and_stays() {
    let mut small = line_config();
    small.answer_bytes_max = 0;
    let mut world = World::with_out_bytes_max(small, 1, 4096);
    world.chunking = false;
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(|name| join(&mut world, name));
    for member in [&ann, &bob, &cid] {
        world.heard(member.peer);
    }
    world.stop_reading(ann.peer, 0);
    for _ in 0..4096 {
        world.say(ann.peer, "PING");
        world.say(bob.peer, "PING");
        assert!(world.heard(bob.peer).contains(&"PONG".to_owned()), "others are not delayed");
    }
    world.drive_for(secs(31));
    assert_eq!(turn(&world), Some(2), "the holder that did not read has lost its turn");
    world.drive_for(secs(3600));
    assert!([&ann, &bob, &cid].iter().all(|member| world.is_open(member.peer)));
    world.read_again(ann.peer);
    let pongs = world.heard(ann.peer).iter().filter(|line| *line == "PONG").count();
    assert_eq!(pongs, 4096, "and all is answered in the end");
}

/// A3: a peer that asks for much and reads it gets all of it.
#[test]
fn a03_a_peer_that_reads_is_never_too_slow() {
    let mut world = World::with_out_bytes_max(line_config(), 1, 70_000);
    world.chunking = false;
    let ann = join(&mut world, "ann");
    world.heard(ann.peer);
    world.say_bytes(ann.peer, &b"PING\n".repeat(50_000));
    assert_eq!(world.heard(ann.peer).len(), 50_000);
    assert!(world.is_open(ann.peer));
}

/// A3: the half lines of 200 seats time out together. What a reader is told of that is several times what may
/// be queued for it.
#[test]
fn a03_a_reader_is_told_of_all_that_time_out_together() {
    const SEATS: usize = 200;
    let mut small = line_config();
    small.answer_bytes_max = 0;
    let mut world = World::with_out_bytes_max(small, 1, 4096);
    world.chunking = false;
    let reader = world.connect();
    world.say(reader, "WATCH");
    let seats: Vec<_> = (0..SEATS).map(|nth| join(&mut world, &format!("n{nth:063}")).peer).collect();
    world.heard(reader);
    seats.iter().for_each(|&peer| world.queue_bytes(peer, b"P"));
    world.drive_for(secs(10));
    assert!(seats.iter().all(|&peer| !world.is_open(peer)));
    let heard = world.heard(reader);
    let told = |word: &str| heard.iter().filter(|line| line.starts_with(word)).count();
    assert_eq!((told("AWAY "), world.is_open(reader)), (SEATS, true), "{heard:?}");
}

/// A2: a client that waits for admission cannot cost more memory meanwhile.
#[test]
fn a02_a_client_that_waits_for_the_host_cannot_fill_the_memory() {
    let mut world = World::new(super::start::admitting_config(), 1);
    world.chunking = false;
    let peer = world.connect();
    world.say(peer, "JOIN ann");
    for _ in 0..40 {
        world.say_bytes(peer, &b"PASS\n".repeat(2_000));
    }
    assert!(!world.is_open(peer), "400 KB that are not processed");
}

/// A2: complete lines that wait because their client does not read do not count as an unfinished line.
#[test]
fn a02_a_client_that_reads_late_gets_no_line_timeout() {
    let mut world = World::with_out_bytes_max(line_config(), 1, 4096);
    world.chunking = false;
    let ann = world.connect();
    world.say(ann, "JOIN ann");
    world.heard(ann);
    world.stop_reading(ann, 100);
    world.say_bytes(ann, b"PI");
    world.drive_for(secs(1));
    world.say_bytes(ann, &[&b"NG\n"[..], &b"PING\n".repeat(1000)].concat());
    world.drive_for(secs(5));
    world.read_again(ann);
    let heard = world.heard_lines(ann);
    assert_eq!((heard.len(), heard.last().map(String::as_str)), (1001, Some("PONG")));
    assert!(world.is_open(ann));
}
