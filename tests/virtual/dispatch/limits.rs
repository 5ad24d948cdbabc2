//! Refused input and closed clients: too many, too much, nonsense, not reading (R9, R10, A2, A3). The log is
//! tested in `log.rs`.

use std::time::Duration;

use support::ms;
use taketurns::protocol::dispatch::Framing;
use taketurns::protocol::dispatch::{COMMAND_BYTES_MAX, DispatchEvent, DispatchServerConfig, Rejection};
use taketurns::protocol::{Intent, Protocol};

use super::world::{NOTHING, Peer, World, assert_gaps, least_loaded, line, raw};

// ---- R9 and R10: too many, too much, nonsense ---------------------------------------------------------

#[test]
fn r09_a_client_too_many_is_told_that_the_server_is_full() {
    for (config, end) in [(raw(), ""), (line(), "\n")] {
        let mut world = World::new(DispatchServerConfig { max_clients: 2, ..config });
        let first = world.connect();
        let second = world.connect();
        let third = world.connect();
        assert_eq!(world.heard(third), [format!("Server full{end}")]);
        assert_eq!(world.peers[third.0].closed, Some(Intent::Close), "with a second to read it");
        world.pass_time(ms(20));
        assert_eq!((world.heard(first).len(), world.heard(second).len()), (1, 1), "no rank changes");
        assert_eq!(world.server.counts().turned_away, 1);
        world.leave(first);
        let fourth = world.connect();
        assert_eq!(world.heard(fourth), [format!("Your rank is 1{end}")]);
    }
}

#[test]
fn r10_a_malformed_command_is_refused_and_reaches_no_client() {
    let too_long = format!("C 0 {}", "x".repeat(COMMAND_BYTES_MAX + 1));
    let far_too_long = "C 0 ".repeat(1_000);
    let bad: &[&[u8]] = &[
        b"dance",
        b"C",
        b"C 0",
        b"C 0 ",
        b"C zero dance",
        b"C -1 dance",
        b"C 0 a\x1b[2J",
        b"C 0 a\nC 0 b",
        b"C 0 a\tb",
        b"C 0 \xc2\x85x",
        b"C 0 \xff\xfe",
        b"c 0 dance",
        b"RYour rank is now 0",
        too_long.as_bytes(),
        far_too_long.as_bytes(),
    ];
    let (mut world, peers) = World::with_clients(2, raw());
    // A peer that has sent a command is not taken for another protocol (L6).
    world.say(peers[0], "C 0 dance");
    assert_eq!(world.heard(peers[1]), [" 0 dance 0"]);
    world.pass_time(ms(100));
    world.events.clear();
    for bad in bad {
        world.say(peers[0], bad);
    }
    world.pass_time(ms(100));
    assert_eq!((world.heard(peers[0]), world.heard(peers[1])), (vec![], vec![]));
    assert_eq!(world.server.counts().refused, bad.len() as u64);
    assert!(world.events.iter().all(|event| matches!(event, DispatchEvent::Refused { .. })));
    // The client stays, and a line that a person types is one command.
    world.say(peers[0], " \r\n");
    world.say(peers[0], format!("C 0 {}\n", "x".repeat(COMMAND_BYTES_MAX)));
    assert_eq!(world.heard(peers[1]), [format!(" 0 {} 0", "x".repeat(COMMAND_BYTES_MAX))]);
    assert_eq!(world.server.counts().refused, bad.len() as u64, "whitespace alone is nothing");
}

#[test]
fn r10_the_client_stays_in_the_line_framing_too() {
    let (mut world, peers) = World::with_clients(2, line());
    world.say(peers[0], "C 0 dance\n");
    assert_eq!(
        (world.lines(peers[0]), world.lines(peers[1])),
        (vec!["A 1".into()], vec!["C 1 dance".into()])
    );
    for bad in [&b"dance\n"[..], b"C 0 a\x1b[2J\n", b"\xff\n", b"C 0 \n", &[b'x'; 5_000]] {
        world.say(peers[0], bad);
        assert_eq!(world.lines(peers[0]), ["X malformed"], "{:?}", bad.escape_ascii().to_string());
    }
    world.say(peers[0], [b'x'; 5_000]);
    assert_eq!(world.lines(peers[0]), NOTHING, "the same line, said to be too long already");
    world.say(peers[0], "\nC 0 dance\n");
    assert_eq!(world.lines(peers[1]), ["C 2 dance"]);
}

/// The first line of a page's request may be anything, and the network may split it anywhere.
#[test]
fn l06_another_protocol_is_closed_before_anything_after_its_first_line_counts() {
    let long = format!("POST /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    let page = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    let tls = "\u{16}\u{3}\u{1}\n";
    let invented =
        ["17", "patch", "M-SEARCH", "C"].map(|method| format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n"));
    let cut = ["x", "C"].map(|method| format!("{method} /{} HTTP/1.1\r\n\r\n", "a".repeat(16_384)));
    let heads = [page, "GET / HTTP/1.0\r\n", &long, tls, "SSH-2.0-x\r\n", "C 0 a\u{1b}[2J\n"];
    for head in heads.into_iter().chain(invented.iter().chain(&cut).map(String::as_str)) {
        for config in [raw(), line()] {
            for cut in [false, true] {
                let end = if config.framing == Framing::Line { "\n" } else { "" };
                let (mut world, peers) = World::with_clients(2, config.clone());
                let body = format!("C 0 dance{end}");
                if cut {
                    world.say(peers[0], head);
                    assert!(world.is_closed(peers[0]), "{head:?}");
                } else {
                    world.say(peers[0], format!("{head}{body}"));
                }
                assert_eq!((world.is_closed(peers[0]), world.heard(peers[0])), (true, vec![]), "{head:?}");
                assert_eq!(world.server.counts().dispatched, 0, "{head:?}");
                assert_eq!(world.server.counts().refused, 1, "{head:?}");
                world.pass_time(ms(20));
                assert_eq!(world.heard(peers[1]), [format!("RYour rank is now 0{end}")]);
            }
        }
    }
}

/// The request line in any pieces, and the body much later.
#[test]
fn l06_a_request_line_that_comes_in_pieces_is_closed_too() {
    let rest = "\r\nHost: 127.0.0.1:5555\r\nContent-Length: 9\r\n\r\n";
    let lines = ["POST / HTTP/1.1", "x / HTTP/1.1"];
    for (line_of_page, config) in
        lines.into_iter().flat_map(|line_of_page| [(line_of_page, raw()), (line_of_page, line())])
    {
        for first in 0..=line_of_page.len() {
            for second in first..=line_of_page.len() {
                let (mut world, peers) = World::with_clients(2, config.clone());
                let last = format!("{}{rest}", &line_of_page[second..]);
                for piece in [&line_of_page[..first], &line_of_page[first..second], &last, "C 0 dance", "\n"]
                {
                    world.say(peers[0], piece);
                    world.pass_time(ms(100));
                }
                let cut = format!("{}: cut at {first} and {second}", config.framing);
                assert_eq!((world.server.counts().dispatched, world.is_closed(peers[0])), (0, true), "{cut}");
            }
        }
    }
}

#[test]
fn r10_a_displayed_command_is_escaped() {
    use taketurns::protocol::dispatch::Command;
    let command: Command = "dance\u{202e}now".parse().expect("a command");
    assert_eq!(command.to_string(), "dance\\u{202e}now");
    let invalid = "".parse::<Command>().expect_err("it is empty").to_string();
    assert!(invalid.contains("1 to 960 bytes"), "{invalid}");
}

// ---- A2 and A3: bounds --------------------------------------------------------------------------------

#[test]
fn a02_a_line_that_never_ends_is_closed_in_5_seconds() {
    for beginning in ["C", &"C".repeat(2_000)] {
        let (mut world, peers) = World::with_clients(2, line());
        world.say(peers[0], beginning);
        for _ in 0..4 {
            world.pass_time(ms(1_200));
            world.say(peers[0], "c");
        }
        assert!(!world.is_closed(peers[0]));
        world.pass_time(ms(300));
        assert!(world.is_closed(peers[0]));
        assert_eq!(world.lines(peers[0]).pop().as_deref(), Some("X line-timeout"));
        assert_eq!(world.lines(peers[1]), ["RYour rank is now 0"]);
    }
    // Each line has its own time.
    let (mut world, peers) = World::with_clients(2, line());
    for _ in 0..20 {
        world.say(peers[0], "C 0 ");
        world.pass_time(ms(3_000));
        // Its end arrives together with the beginning of the next one.
        world.say(peers[0], "x\nC 0 ");
        world.pass_time(ms(3_000));
        world.say(peers[0], "y\n");
    }
    world.pass_time(ms(60_000));
    assert!(!world.is_closed(peers[0]), "a peer may be silent between lines");
}

/// A9: a worker executes its first command for an hour and reads nothing meanwhile. It is not a slow reader,
/// and certainly not gone: what may wait for it waits, and the rest is refused as busy.
#[test]
fn a09_a_busy_worker_gets_its_commands_when_it_reads() {
    for config in [raw(), line()] {
        let is_line = config.framing == Framing::Line;
        let (mut world, peers) = World::with_clients(3, config);
        world.peers[peers[1].0].reads = false;
        let command = format!("C 0 {}{}", "x".repeat(900), if is_line { "\n" } else { "" });
        for _ in 0..200 {
            world.say(peers[0], &command);
            world.pass_time(ms(20));
        }
        world.pass_time(ms(3_600_000));
        assert!(!world.is_closed(peers[1]));
        let dispatched = world.server.counts().dispatched;
        assert!((35..40).contains(&dispatched), "{dispatched}: half of 64 KiB");
        assert_eq!(
            world.rejections(),
            vec![Rejection::Busy; 200 - usize::try_from(dispatched).expect("few")]
        );
        world.read_again(peers[1]);
        if !is_line {
            continue;
        }
        let jobs: Vec<_> = world
            .lines(peers[1])
            .iter()
            .map(|job| job.split(' ').nth(1).expect("its id").to_owned())
            .collect();
        assert_eq!(jobs.len() as u64, dispatched);
        world.heard(peers[0]);
        jobs.iter().for_each(|job| world.say(peers[1], format!("D {job}\n")));
        assert_eq!(world.lines(peers[0]), jobs.iter().map(|job| format!("O {job}")).collect::<Vec<_>>());
        world.say(peers[0], &command);
        assert_eq!(world.lines(peers[1]).len(), 1, "and there is room for more");
    }
}

/// The memory for each command must be freed.
#[test]
fn a02_an_hour_of_commands_leaves_nothing_behind() {
    for (config, end) in
        [(raw(), ""), (least_loaded(raw()), ""), (line(), "\n"), (least_loaded(line()), "\n")]
    {
        let (mut world, peers) = World::with_clients(3, config.clone());
        let mut done = 1;
        let mut play = |world: &mut World, count: usize| {
            for _ in 0..count {
                world.say(peers[0], format!("C 0 x{end}"));
                for worker in [1, 2] {
                    if !end.is_empty() && !world.heard(peers[worker]).is_empty() {
                        world.say(peers[worker], format!("D {done}\n"));
                        done += 1;
                    }
                }
                world.pass_time(ms(500));
                world.events.clear();
                world.peers.iter_mut().for_each(|peer| (peer.recvs.clear(), peer.looked = 0).0);
            }
            format!("{:?}", world.server).len()
        };
        let before = play(&mut world, 100);
        let after = play(&mut world, 7_200);
        assert!(after < before + 200, "{config:?}: from {before} to {after}");
    }
}

/// A sender without pauses, least-loaded and without a gap: the stored times are bounded.
#[test]
fn a02_the_load_window_is_bounded() {
    let config = DispatchServerConfig { signal_gap: Duration::ZERO, ..least_loaded(raw()) };
    let (mut world, peers) = World::with_clients(2, config);
    for _ in 0..10_000 {
        world.say(peers[0], "C 0 x");
        world.pass_time(Duration::from_nanos(2));
    }
    assert_eq!(world.server.counts().dispatched, 10_000);
    let instants = format!("{:?}", world.server).matches("Instant").count();
    assert!(instants < 5_000, "{instants} instants are kept");
}

/// Nothing that peers do makes the server panic, spin, or write two raw messages at once.
#[test]
fn a02_random_peers() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let is_line = random.bool();
        let config = if is_line { line() } else { raw() };
        let config = if random.bool() { least_loaded(config) } else { config };
        let mut world =
            World::new(DispatchServerConfig { max_clients: 6, undone_max: 3, waiting_max: 4, ..config });
        for _ in 0..500 {
            let open: Vec<_> =
                (0..world.peers.len()).filter(|&at| world.peers[at].closed.is_none()).map(Peer).collect();
            let peer = if open.is_empty() { None } else { Some(open[random.usize(..open.len())]) };
            match (random.u8(..12), peer) {
                (0, _) | (_, None) => drop(world.connect()),
                (1, Some(peer)) => world.leave(peer),
                (2, Some(peer)) => world.say(peer, [random.u8(..), random.u8(..), b'\n']),
                (3, Some(peer)) => world.say(peer, "C "),
                (4, Some(peer)) => world.say(peer, format!("D {}\n", random.u8(..50))),
                (5, _) => world.pass_time(ms(random.u64(..3_000))),
                (6, _) => world.pass_time(ms(random.u64(..12))),
                (_, Some(peer)) => world.say(peer, format!("C {} c{}\n", random.u8(..9), random.u8(..))),
            }
            for (at, (rank, _)) in world.server.ranks().enumerate() {
                assert_eq!(rank.0, at, "seed {seed}");
            }
        }
        if !is_line {
            assert_gaps(&world);
        }
        world.drain();
        world.pass_time(ms(1_000));
        assert!(world.server.next_deadline().is_none(), "seed {seed}");
        assert!(world.peers.iter().all(|peer| peer.closed.is_some()), "seed {seed}");
    }
}
