//! `GO` and `WAIT`: to which client and when; and in the raw framing never two in one `recv` (T3 to T5, M13).

use std::time::Duration;

use support::network::World;
use support::{ms, secs};

use super::start::{held, join, line_config, line_ring, raw_config, raw_order, raw_ring, raw_world};

/// T3: the holder is told `GO` once for its turn, whatever else happens meanwhile, and no other client is.
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

/// T4: `WAIT` once for a connection that begins to wait, and none for one that gets the turn at once.
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

    let mut one = raw_config();
    one.rules.min_seats = 1;
    let mut world = World::new(one, 1);
    let alone = world.connect();
    assert_eq!(world.heard(alone), ["GO"], "it does not wait");
}

/// T4: a turn writes to one socket, whatever the number of seats.
#[test]
fn t04_a_turn_writes_to_one_socket() {
    let (mut world, peers) = raw_ring::<50>(raw_config());
    let before = world.deliveries().len();
    for turn in 0..120 {
        world.say(peers[turn % 50], "x:1");
    }
    assert_eq!(world.deliveries().len() - before, 120);
}

/// T5: the gap between `WAIT` and `GO` on a connection is kept. The deadline runs from when `GO` is sent.
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
    // Without an answer, the turn lapses at exactly that time.
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

/// T5: input before `GO`, and the time of gathering it, do not shorten the gap.
#[test]
fn t05_bytes_that_come_early_do_not_hurry_a_go() {
    let mut world = raw_world();
    let [a, _] = [world.connect(), world.connect()];
    world.say(a, "a");
    world.drive_for(ms(99));
    assert_eq!((world.heard(a), world.server().counts().refused), (vec!["WAIT".to_owned()], 1));
    world.drive_for(ms(1));
    assert_eq!(world.heard(a), ["GO"]);
}

/// T5: if a holder is lost while its `GO` is held back, that `GO` is dropped.
#[test]
fn t05_a_held_back_go_is_not_sent_to_another_client() {
    let mut world = raw_world();
    let a = world.connect();
    world.drive_for(ms(100));
    let [b, c] = [world.connect(), world.connect()];
    world.say(a, "a:1");
    world.drive_for(ms(50));
    world.reset(b);
    // C takes over the turn, with a gap of its own. Meanwhile another client takes B's seat.
    let d = world.connect();
    world.drive_for(ms(50));
    assert_eq!(
        (world.heard(c), world.heard(d)),
        (vec!["WAIT".to_owned(), "GO".to_owned()], vec!["WAIT".to_owned()])
    );
    world.drive_for(secs(10));
    assert_eq!((world.heard(c), world.heard(d)), (vec![], vec![]));
}

/// T5: nothing is sent to a client between its number and its next `GO`, whatever happens in the ring.
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

/// T5: a client that compares each `recv` with `==`, and reads only while it is awake, never gets two signals
/// at once.
#[test]
fn t05_two_signals_never_come_in_one_recv() {
    for seed in 0..100 {
        let mut world = World::new(raw_config(), seed);
        let count = 2 + world.rng.usize(0..4);
        let mut peers = Vec::new();
        for at in 0..count {
            let step = i64::try_from(count).expect("small");
            peers.push(world.connect_old(&format!("Client{at}"), i64::try_from(at).expect("small"), step));
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
                    peers[at] = world.connect_old(&format!("Client{at}x{round}"), 1000, 1);
                    world.drive_for(ms(200));
                }
                // Longer than a turn's deadline, so turns lapse, and turns are granted without writing.
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

/// T5, M13: 10,000 raw clients that leave within the gap after their `WAIT` cost about as much as ten times
/// 1,000.
#[test]
fn t05_clients_that_leave_within_the_gap_have_linear_cost() {
    /// The time of this thread only, without that of other tests.
    #[allow(clippy::disallowed_methods, reason = "this test measures the cost")]
    fn processor_time() -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(time).expect("not negative")
    }
    fn time(count: usize) -> Duration {
        let mut many = raw_config();
        many.max_clients = 20_000;
        // In one pass, because after each one the world checks all seats.
        let mut world = World::with_driver(many, 1, |driver| driver.pass_read_bytes_max = 1 << 30);
        let home = [192, 0, 2, 1].into();
        world.next_address = Some(home);
        let peers: Vec<_> = (0..count).map(|_| world.connect_quietly()).collect();
        world.drive();
        let began = processor_time();
        peers.iter().for_each(|&peer| world.reset_quietly(peer));
        world.drive();
        // And their seats are gone after the grace.
        world.drive_for(secs(61));
        assert_eq!(world.server().scheduler().seats(), 0);
        processor_time() - began
    }
    let small: Vec<_> = (0..10).map(|_| time(1_000)).collect();
    let ten_small = small.iter().min().expect("ten of them").saturating_mul(10);
    let large = (0..3).map(|_| time(10_000)).min().expect("three of them");
    assert!(large < 4 * ten_small, "10,000 took {large:?}, ten times 1,000 {ten_small:?}");
}
