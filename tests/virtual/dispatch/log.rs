//! The server's log and its limits (R2, A4). The client's log is tested in `client.rs`.

use taketurns::protocol::dispatch::DispatchServerConfig;

use super::world::{World, line, raw};
use crate::logged::{listen_to_log, take_log, times_logged};

#[test]
fn r02_a_claim_of_another_rank_is_logged() {
    listen_to_log();
    let (mut world, peers) = World::with_clients(2, line());
    world.say(peers[0], "C 0 a\n");
    assert_eq!(times_logged(["claims"]), [0]);
    world.say(peers[0], "C 7 b\n");
    assert_eq!(times_logged(["claims rank 7, has rank 0"]), [1]);
}

#[test]
fn a04_all_refusals_share_the_budget_of_the_log() {
    listen_to_log();
    let (mut world, peers) = World::with_clients(2, line());
    world.say(peers[0], "C 0 dance\n");
    for _ in 0..200 {
        world.say(peers[0], "dance\n");
        world.say(peers[1], "C 1 dance\n");
        world.say(peers[0], b"\xff\n");
    }
    assert_eq!(times_logged(["refused, not a command", "[command rejected]"]), [67, 33]);
    let (mut world, _) = World::with_clients(2, DispatchServerConfig { max_clients: 2, ..raw() });
    (0..200).for_each(|_| _ = world.connect());
    assert_eq!(times_logged(["turned away"]), [100]);
}

/// L7: a client of the turn protocol may reach the wrong server and send its secrets there.
#[test]
fn l07_secrets_of_clients_of_another_protocol_are_not_logged() {
    listen_to_log();
    let secret = "0123456789abcdef0123456789abcdef";
    for said in [
        format!("JOIN ann resume={secret} token=ey.J\n"),
        format!("C 0 a\u{7f} token=ey.J resume={secret}\n"),
        format!("{secret}\u{7f}\n"),
        format!("Resume={secret} TOKEN=ey.J"),
    ] {
        for config in [raw(), line()] {
            let (mut world, peers) = World::with_clients(2, config);
            world.say(peers[0], &said);
        }
    }
    let log = take_log();
    assert!(log.len() >= 4, "{log:?}");
    assert!(log.iter().all(|(_, line)| !line.contains(&secret[..20]) && !line.contains("ey.J")), "{log:?}");
}
