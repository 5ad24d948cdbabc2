//! Lines on the wire: in which order they are written, and where they end (T25, T26).

use taketurns::protocol::turns::TurnServerConfig;

use crate::start::{join, line_config, line_ring, refusal};
use crate::world::{World, secs};

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
