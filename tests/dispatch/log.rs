//! The server's log, and its limits (R2, A4). The client's log is in `client.rs`.

use taketurns::protocol::dispatch::DispatchServerConfig;

use crate::logged::{listen_to_log, times_logged};
use crate::world::{World, line, raw};

#[test]
fn r02_a_claim_of_another_rank_is_logged() {
    listen_to_log();
    let (mut world, peers) = World::with_clients(2, line());
    world.say(peers[0], "C 0 a\n");
    assert_eq!(times_logged(["claims"]), [0]);
    world.say(peers[0], "C 7 b\n");
    assert_eq!(times_logged(["claims rank 7, has rank 0"]), [1]);
    (2..=20).for_each(|_| world.say(peers[0], "C 7 c\n"));
    assert_eq!(times_logged(["claims"]), [8], "the 2nd to 8th, and the 16th");
}

#[test]
fn a04_of_what_is_refused_the_log_shows_some() {
    listen_to_log();
    let (mut world, peers) = World::with_clients(2, line());
    world.say(peers[0], "C 0 dance\n");
    for _ in 0..20 {
        world.say(peers[0], "dance\n");
        world.say(peers[1], "C 1 dance\n");
        world.say(peers[0], b"\xff\n");
    }
    // Not a command: 40 times. Of the lowest rank: 20 times.
    assert_eq!(times_logged(["refused, not a command", "[command rejected]"]), [10, 9]);
    let (mut world, _) = World::with_clients(2, DispatchServerConfig { max_clients: 2, ..raw() });
    (0..20).for_each(|_| _ = world.connect());
    assert_eq!(times_logged(["turned away"]), [9]);
}
