//! Two raw clients alternate, whatever happens to either (T2).

use support::network::{Peer, World};
use support::{ms, secs};
use taketurns::protocol::turns::{How, TurnEvent};

use super::start::{auto_config, raw_config, raw_ring};
use taketurns::protocol::turns::TurnServerConfig;

/// A client that is restarted again and again. Its process keeps counting, and never has two connections.
struct Client {
    name: char,
    peer: Peer,
    number: i64,
    /// Whether it has no connection, or has been told nothing on it.
    is_lost: bool,
    is_connected: bool,
}

/// Plays one history, in which at most one client is broken at a time. Returns the accepted answers, and
/// whether a turn lapsed.
fn history(config: &TurnServerConfig, seed: u64, steps: usize) -> (Vec<String>, bool) {
    let mut world = World::new(config.clone(), seed);
    let homes = [[192, 0, 2, 1], [192, 0, 2, if seed.is_multiple_of(2) { 1 } else { 2 }]];
    let mut clients = ['a', 'b'].map(|name| {
        world.next_address = Some(homes[usize::from(name == 'b')].into());
        Client { name, peer: world.connect(), number: 0, is_lost: true, is_connected: true }
    });
    for _ in 0..steps {
        let is_quiet = |clients: &[Client; 2]| !clients.iter().any(|client| client.is_lost);
        for at in 0..2 {
            let heard = world.heard_raw(clients[at].peer);
            clients[at].is_lost &= heard.is_empty() || !clients[at].is_connected;
            if !heard.iter().any(|heard| heard.ends_with("GO")) {
                continue;
            }
            // Sometimes it does not answer, because it is lost at that moment; or it is lost right after its
            // answer.
            let has_time = world.rng.u8(0..4) > 0 || !is_quiet(&clients);
            if has_time {
                let client = &mut clients[at];
                client.number += 1;
                world.queue(client.peer, &format!("{}:{}", client.name, client.number));
            }
            if !has_time || world.rng.u8(0..6) == 0 && is_quiet(&clients) {
                world.reset_quietly(clients[at].peer);
                (clients[at].is_lost, clients[at].is_connected) = (true, false);
            }
        }
        if world.rng.u8(0..6) == 0 && is_quiet(&clients) {
            let at = world.rng.usize(0..2);
            world.reset_quietly(clients[at].peer);
            (clients[at].is_lost, clients[at].is_connected) = (true, false);
        }
        let pause = world.rng.u64(0..700);
        world.drive_for(ms(pause));
        for at in 0..2 {
            if !clients[at].is_connected && world.rng.bool() {
                world.next_address = Some(homes[at].into());
                clients[at].peer = world.connect();
                clients[at].is_connected = true;
            }
        }
    }
    let has_lapsed =
        world.events.iter().any(|(_, event)| matches!(event, TurnEvent::Ended { how: How::Lapsed, .. }));
    (world.accepted(), has_lapsed)
}

fn all_alternate(config: &TurnServerConfig, seeds: std::ops::Range<u64>) {
    let mut answers = 0;
    for seed in seeds.clone() {
        let (accepted, has_lapsed) = history(config, seed, 24);
        assert!(!has_lapsed, "seed {seed}: no client is silent for 30 s");
        let alternate = accepted.windows(2).all(|pair| pair[0].as_bytes()[0] != pair[1].as_bytes()[0]);
        assert!(alternate, "seed {seed}: {accepted:?}");
        answers += accepted.len();
    }
    assert!(answers as u64 > 4 * (seeds.end - seeds.start), "the rings lived: {answers} answers");
}

#[test]
fn t02_two_raw_clients_alternate_over_20_000_random_restart_histories() {
    std::thread::scope(|scope| {
        for part in 0..2 {
            scope.spawn(move || all_alternate(&raw_config(), part * 10_000..(part + 1) * 10_000));
        }
    });
}

/// L12: the same at an address that line clients use, too.
#[test]
fn l12_two_raw_clients_alternate_in_framing_auto() {
    assert_eq!(auto_config().framing, None);
    all_alternate(&auto_config(), 0..2_000);
}

/// T2: the fourth exception. Nothing tells the server which of two new connections is whose.
#[test]
fn t02_if_both_are_lost_whoever_is_back_first_may_answer_twice_in_a_row() {
    for is_holder_first in [true, false] {
        let (mut world, [ann, bob]) = raw_ring(raw_config());
        world.say(ann, "ann:1");
        assert_eq!(world.heard(bob).last().map(String::as_str), Some("GO"));
        world.reset(bob);
        world.drive_for(ms(50));
        world.reset(ann);
        world.drive_for(ms(50));
        let first = world.connect();
        world.drive_for(ms(50));
        let second = world.connect();
        world.drive_for(ms(500));
        let (first_name, second_name) = if is_holder_first { ("bob", "ann") } else { ("ann", "bob") };
        for (peer, name) in [(first, first_name), (second, second_name)] {
            assert!(world.heard(peer).iter().any(|heard| heard.ends_with("GO")), "{name} is granted a turn");
            world.say(peer, &format!("{name}:2"));
            world.drive_for(ms(500));
        }
        assert_eq!(
            world.accepted(),
            ["ann:1".to_owned(), format!("{first_name}:2"), format!("{second_name}:2")]
        );
    }
}

/// M12, M14: who drops the connection with each `GO` and comes back at once gains nothing, although the ring
/// pauses for a moment each time.
#[test]
fn m12_a_raw_holder_that_flaps_at_the_quorum_does_not_starve_the_other() {
    let (mut world, [ann, mut mallory]) = raw_ring(raw_config());
    for round in 0..20 {
        world.say(ann, &format!("ann:{round}"));
        let mut flaps = 0;
        while !world.heard(ann).iter().any(|heard| heard.ends_with("GO")) {
            flaps += 1;
            assert!(flaps <= 2, "round {round}: ann waits while mallory had {flaps} turns");
            world.drive_for(secs(29));
            world.reset(mallory);
            mallory = world.connect();
            world.drive_for(ms(500));
        }
    }
    assert_eq!(world.accepted().len(), 20);
}
