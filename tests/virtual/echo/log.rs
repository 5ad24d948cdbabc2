//! The server's log and its limits (E5, A4). Where a program logs is tested in `programs/`.

use taketurns::protocol::echo::EchoServerConfig;

use super::world::World;
use crate::logged::{listen_to_log, take_log, times_logged};

/// Returns log lines with their levels in front.
fn logged() -> Vec<String> {
    take_log().into_iter().map(|(level, text)| format!("{level} {text}")).collect()
}

#[test]
fn e05_every_step_is_logged_with_the_peers_address() {
    listen_to_log();
    let mut world = World::new();
    let ann = world.connect();
    world.say(ann, "Hello, Grüße");
    assert_eq!(
        logged(),
        [
            "INFO connection established with 10.0.0.1:40000",
            "INFO received from 10.0.0.1:40000: \"Hello, Grüße\"",
            "INFO sent response to 10.0.0.1:40000",
            "INFO connection closed with 10.0.0.1:40000",
        ]
    );
}

#[test]
fn e05_the_beginning_of_a_message_is_logged_escaped() {
    listen_to_log();
    let mut world = World::new();
    let ann = world.connect();
    world.say(ann, "\x1b[2J\r\x07\u{202e}\u{9b}fake\0");
    let bob = world.connect();
    world.say(bob, format!("a{}\n", "ä".repeat(20_000)));
    let logged = logged();
    assert!(
        logged.iter().flat_map(|line| line.chars()).all(|c| !c.is_control() && c != '\u{202e}'),
        "{logged:?}"
    );
    assert!(logged.iter().all(|line| line.len() < 300), "{logged:?}");
    assert!(logged.iter().any(|line| line.ends_with(&format!(": \"a{}...\"", "ä".repeat(63)))), "{logged:?}");
}

#[test]
fn e05_a_refusal_is_logged_without_the_bytes() {
    listen_to_log();
    let mut world = World::new();
    let ann = world.connect();
    world.say(ann, b"\x1b\xff");
    assert!(logged().contains(&"WARN 10.0.0.1:40000: refused, not UTF-8".to_owned()));
}

#[test]
fn a04_all_log_lines_about_peers_share_one_budget() {
    listen_to_log();
    let mut world = World::with(EchoServerConfig { max_clients: 1, ..EchoServerConfig::default() });
    for _ in 0..200 {
        let ann = world.connect();
        let _turned_away = world.connect();
        world.say(ann, b"\xff");
    }
    assert_eq!(
        times_logged(["connection established", "turned away", "refused", "connection closed"]),
        [25; 4]
    );
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
        let mut world = World::new();
        let ann = world.connect();
        world.say(ann, &said);
    }
    let log = take_log();
    assert!(log.len() >= 4, "{log:?}");
    assert!(log.iter().all(|(_, line)| !line.contains(&secret[..20]) && !line.contains("ey.J")), "{log:?}");
}
