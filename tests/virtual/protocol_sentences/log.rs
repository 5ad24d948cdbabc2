//! Log lines: escaped, and limited in number (A4, A8).

use log::Level;
use support::{ms, secs};

use super::start::{
    join, line_config, line_order, line_ring, line_world, raw_config, raw_order, raw_ring, refusal,
};
use crate::logged::{listen_to_log, take_log};

/// A4: whatever a peer sends, no control byte or non-ASCII character reaches the log.
#[test]
fn a04_bytes_from_peers_are_escaped_in_the_log() {
    listen_to_log();
    let nasty = ["\u{1b}[2J:", "x\u{7}\u{8}\u{0}", "a\u{202e}b:x", "\u{85}\u{9b}31m", "\"\n\r\t\\:"];
    let mut patient = raw_config();
    patient.strikes = 100;
    let (mut world, [a, b]) = raw_ring(patient);
    world.say(a, "a:1");
    world.say(b, "b:1");
    for text in nasty {
        world.say(a, text);
        world.say(b, text);
        world.drive_for(ms(50));
    }
    world.say(a, "sneaky\u{202e}\u{200f}:1");
    world.drive_for(secs(90));
    let mut world = line_world();
    let [ann, bob] = ["a\u{fc}nn", "bob"].map(|name| join(&mut world, name));
    for text in nasty {
        world.chunking = false;
        world.say_bytes(bob.peer, text.as_bytes());
        world.say_bytes(bob.peer, b"\n");
    }
    world.drive_for(secs(90));
    let full = world.connect();
    world.say_bytes(full, b"JOIN x\x1b\xff\n");
    drop(ann);
    let log = take_log();
    assert!(log.len() > 10);
    for (_, line) in log {
        assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{line:?}");
    }
}

/// A4: one peer that reconnects for every line has no more lines in the log than one that stays.
#[test]
fn a04_all_peers_together_have_100_lines_per_second_and_the_rest_is_counted() {
    listen_to_log();
    let mut world = line_world();
    world.chunking = false;
    for second in 0..3 {
        for _ in 0..200 {
            let peer = world.connect();
            world.say_bytes(peer, b"\xff\n");
            assert_eq!(refusal(&mut world, peer), "not-here");
        }
        let log = take_log();
        // One line each for a refusal and a closing.
        assert_eq!(log.len(), 100, "second {second}: {:?}", log.last());
        assert!(log.iter().any(|(level, line)| *level == Level::Info && line.contains(": closed (")));
        world.drive_for(ms(1_100));
        assert_eq!(
            take_log(),
            [(Level::Warn, "300 more lines about peers are left out: too many within a second".to_owned())]
        );
        world.drive_for(secs(10));
        assert_eq!(take_log(), [], "said once");
    }
}

/// A4: omissions of the last second are reported as well.
#[test]
fn a04_omitted_log_lines_are_reported_at_the_end() {
    listen_to_log();
    let mut world = line_world();
    world.chunking = false;
    let bob = join(&mut world, "bob");
    (0..101).for_each(|_| world.say(bob.peer, "nonsense"));
    world.drain();
    world.drive_for(secs(10));
    let log = take_log();
    assert_eq!((log.len(), world.connections()), (101, 0));
    assert!(log[100].1.starts_with("1 more lines"), "{:?}", log[100]);
}

/// A4: a connection that the server closes is logged with the reason; leaving and draining are not logged.
#[test]
fn a04_a_closing_is_logged_with_its_reason() {
    listen_to_log();
    let closings = || take_log().iter().filter(|(_, line)| line.contains(": closed (")).count();
    let mut world = line_world();
    for _ in 0..20 {
        let peer = world.connect();
        world.say_bytes(peer, b"\xff\n");
        assert_eq!(refusal(&mut world, peer), "not-here");
    }
    assert_eq!(closings(), 20);
    let (mut world, [ann, _]) = line_ring(line_config(), ["ann", "bob"]);
    world.say(ann.peer, "LEAVE");
    world.drain();
    world.drive_for(secs(10));
    assert_eq!((closings(), world.connections()), (0, 0));
    let (mut world, [a, _]) = raw_ring(raw_config());
    for _ in 0..3 {
        world.say(a, "not:a:number");
        world.drive_for(ms(60));
    }
    assert_eq!((closings(), world.is_open(a)), (1, false));
}

/// A8: nothing is logged per turn at info.
#[test]
fn a08_nothing_is_logged_per_turn_at_info() {
    listen_to_log();
    let (mut world, members) = line_ring(line_config(), ["ann", "bob", "cid"]);
    let (mut raw, peers) = raw_ring::<3>(raw_config());
    take_log();
    line_order(&mut world, &members, 100);
    raw_order(&mut raw, &peers, 100);
    let loud: Vec<_> = take_log().into_iter().filter(|(level, _)| *level <= Level::Info).collect();
    assert_eq!(loud, []);
}
