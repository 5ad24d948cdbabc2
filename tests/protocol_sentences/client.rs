//! Our client with a server, over losses and restarts (T31). What it does with a server that a test plays is in `client_alone.rs`.

use std::time::Duration;

use taketurns::protocol::turns::{ClientEvent, Framing, TurnClientConfig, TurnServerConfig};

use crate::start::line_config;
use crate::world::{World, ms, secs};

pub(crate) fn client_config(framing: Framing) -> TurnClientConfig {
    TurnClientConfig { framing, pace: Duration::ZERO, ..TurnClientConfig::default() }
}

pub(crate) const TWO: [(&str, i64, i64); 2] = [("Client1", 1, 2), ("Client2", 2, 2)];

/// What the client reports as accepted.
pub(crate) fn sent(world: &World) -> Vec<(String, i64)> {
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
        let seats = world.server().scheduler().seats();
        // What client 1 sends from now on is lost; then it notices.
        let peer = world.client_peer(0).expect("connected");
        world.lose_up(peer);
        world.drive_for(secs(3));
        assert!(world.accepted().len() <= before + 2, "its answers do not arrive");
        world.break_client_end(0);
        world.drive_for(secs(5));
        assert!(world.accepted().len() > before + 4, "it came back into its seat");
        assert_eq!(world.server().scheduler().seats(), seats, "no second seat");
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
        assert_eq!(world.server().scheduler().seats(), 2);
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
