//! The server's log and its limits (C6, C8, A4). The log file of the program is tested in
//! `programs/counter/log.rs`.

use taketurns::protocol::Protocol as _;
use taketurns::protocol::counter::{CounterEvent, CounterServerConfig};

use super::world::{World, counting};
use crate::logged::{listen_to_log, times_logged};

#[test]
fn c06_every_message_is_an_event_with_a_text_for_the_log() {
    let mut world = World::new();
    let client = world.begin("17");
    world.send(client, "5 odd even x\x1b[2J ");
    world.end(client);
    assert_eq!(
        world.texts(),
        [
            "client 17 connected from 127.0.0.1:1001, continues from 0",
            "client 17 sent 5",
            "client 17 asked for odd, got 1",
            "client 17 asked for even, got 2",
            "client 17 at 127.0.0.1:1001: refused a message that is neither a 64-bit number nor odd nor even: \"x\\x1b[2J\"",
            "client 17 at 127.0.0.1:1001 disconnected",
        ]
    );
}

#[test]
fn c08_a_peer_that_sends_nothing_else_fills_no_log() {
    let mut world = World::new();
    let client = world.begin("17");
    for _ in 0..100 {
        world.send(client, "x ".repeat(100));
        world.server.handle_flushed(world.now, &mut world.links);
    }
    assert_eq!(world.server.refused(), 10_000);
    let told = world.events.iter().filter(|event| matches!(event, CounterEvent::Refused { .. })).count();
    assert_eq!(told, 100 * 64, "64 of a pass");
}

#[test]
fn a04_clients_turned_away_and_replaced_share_the_budget_of_the_log() {
    listen_to_log();
    let config = CounterServerConfig { max_clients: 2, ..CounterServerConfig::default() };
    let mut world = World::with(config, counting());
    world.begin("17");
    for _ in 0..60 {
        world.begin("17");
    }
    world.begin("18");
    for _ in 0..60 {
        world.connect();
    }
    assert_eq!(times_logged(["the newer connection wins", "turned away"]), [60, 40]);
}

/// L7: a client of the turn protocol may reach the wrong server and send its secrets there.
#[test]
fn l07_secrets_of_clients_of_another_protocol_are_not_logged() {
    let secret = "0123456789abcdef0123456789abcdef";
    for said in
        [format!("resume={secret} "), format!("{secret} "), format!("token={secret} "), secret.to_owned()]
    {
        let mut world = World::new();
        let client = world.begin("17");
        world.send(client, &said);
        let stranger = world.connect();
        world.send(stranger, &said);
        let texts = world.texts();
        assert!(texts.iter().any(|text| text.contains("refused") && text.contains("...")), "{texts:?}");
        assert!(texts.iter().all(|text| !text.contains(&secret[..20])), "{texts:?}");
    }
}
