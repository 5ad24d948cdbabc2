//! Refused input and closed clients: bad ids, bad words, too long, silent, too many, not reading (C8, C9, A2,
//! A3). The log is tested in `log.rs`.

use std::time::Duration;

use support::ms;
use taketurns::protocol::counter::{CounterEvent, CounterServerConfig, Record};
use taketurns::protocol::{AbortReason, Intent, Protocol};

use super::world::{World, counting};

#[test]
fn c08_a_bad_id_closes_the_connection() {
    let too_long = "0".repeat(33);
    for bad in [&b"10001"[..], b"-1", b"x", b"17x", b"1.5", b"99999999999999999999", b"\xff\x1b[2J", b"odd "]
    {
        let mut world = World::new();
        let client = world.connect();
        world.send(client, bad);
        assert_eq!((world.heard(client).as_str(), world.is_open(client)), ("", false), "{bad:?}");
        assert_eq!((world.server.refused(), world.server.records().count()), (1, 0));
        let [CounterEvent::Refused { id: None, what, .. }] = &world.events[..] else {
            panic!("{:?}", world.events)
        };
        assert!(what.is_ascii() && !what.contains('\x1b'), "{what}");
    }
    let mut world = World::new();
    let client = world.begin(&too_long);
    assert!(!world.is_open(client));
}

/// The first bytes of another protocol are not an id.
#[test]
fn l06_another_protocol_is_closed_before_anything_after_its_first_line_counts() {
    let long = format!("17 /{} HTTP/1.1\r\n\r\n", "a".repeat(20_000));
    for head in [
        "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
        "17 / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
        &long,
        "\u{16}\u{3}\u{1}\n",
        "SSH-2.0-x\r\n",
        "17\0\n",
        "\u{1b}[2J\n",
    ] {
        for pieces in [&[&*format!("{head}17 42 ")][..], &[head, "17 42 "]] {
            let mut world = World::new();
            let page = world.connect();
            pieces.iter().for_each(|piece| world.send(page, piece));
            assert_eq!((world.is_open(page), world.heard(page).as_str()), (false, ""), "{head:?}");
            assert_eq!(world.server.records().count(), 0, "{head:?}");
        }
    }
}

#[test]
fn c08_a_bad_word_is_refused_and_the_client_stays() {
    let mut world = World::new();
    let client = world.begin("17");
    world.heard(client);
    let bad = ["ODD", "evenodd", "1.5", "0x10", "5;6", "9223372036854775808", "-9223372036854775809", "--1"];
    for word in bad {
        world.send(client, format!("{word} "));
    }
    assert_eq!((world.server.refused(), world.is_open(client)), (bad.len() as u64, true));
    assert_eq!(world.record(17), Some(Record::default()), "nothing has changed");
    assert_eq!(world.heard(client), "", "and nothing is said");
    world.send(client, "9223372036854775807 -9223372036854775808 ");
    assert_eq!(world.record(17).map(|record| record.number), Some(i64::MIN));
}

#[test]
fn c09_more_than_32_bytes_without_a_space_close_the_connection() {
    for size in [32, 33, 34, 1000, 16 * 1024] {
        for piece in [1, 7, 33, size] {
            for end in ["", " "] {
                let message = format!("{}{end}", "0".repeat(size));
                let mut world = World::new();
                let client = world.begin("17");
                for piece in message.as_bytes().chunks(piece) {
                    world.send(client, piece);
                }
                assert_eq!(
                    world.is_open(client),
                    size <= 32,
                    "{size} bytes, {piece} at a time, then {end:?}"
                );
                assert_eq!(world.server.refused(), u64::from(size > 32));
            }
        }
    }
}

#[test]
fn c09_messages_before_an_overlong_one_count() {
    let mut world = World::new();
    let client = world.begin("17");
    world.send(client, format!("5 {} 6 ", "7".repeat(33)));
    assert_eq!(world.record(17).map(|record| record.number), Some(5));
    assert!(!world.is_open(client));
}

#[test]
fn a02_one_connection_too_many_is_turned_away() {
    let config = CounterServerConfig { max_clients: 2, ..CounterServerConfig::default() };
    let mut world = World::with(config, counting());
    let clients = [world.begin("1"), world.begin("2")];
    let third = world.begin("3");
    assert_eq!(world.ended.get(&third), Some(&Intent::Abort(AbortReason::Unwanted)));
    assert!(clients.iter().all(|&client| world.is_open(client)));
    world.end(clients[0]);
    let fourth = world.begin("4");
    assert_eq!(world.heard(fourth), "0", "there is room again");
}

#[test]
fn a02_a_connection_without_an_id_is_closed_after_10_seconds() {
    let mut world = World::new();
    let (silent, counting) = (world.begin(" "), world.begin("17"));
    let ten_seconds = world.now.instant + Duration::from_secs(10);
    assert!(world.server.next_deadline().is_some_and(|due| due <= ten_seconds), "a deadline has to wake it");
    world.advance(ms(9_999));
    assert!(world.is_open(silent));
    world.advance(ms(1));
    assert!(!world.is_open(silent));
    world.advance(Duration::from_secs(100_000));
    assert!(world.is_open(counting), "a client that has sent its id may be silent");
    assert_eq!(world.server.next_deadline(), None);
}

#[test]
fn a02_nothing_is_kept_of_a_broken_connection() {
    let config = CounterServerConfig { max_clients: 2, ..CounterServerConfig::default() };
    let mut world = World::with(config, counting());
    let (silent, client) = (world.connect(), world.begin("17"));
    world.lose(silent);
    world.lose(client);
    assert!(matches!(world.events.last(), Some(CounterEvent::Ended { id, .. }) if id.get() == 17));
    assert_eq!(world.server.next_deadline(), None);
    for number in ["17", "18"] {
        let next = world.begin(number);
        assert_eq!(world.heard(next), "0", "there is room again");
    }
}

/// Any bytes in any pieces: no panic, one record per id, and nothing kept of the connections.
#[test]
fn a02_random_bytes_do_no_harm() {
    let mut rng = fastrand::Rng::with_seed(9);
    let alphabet = b"0123456789  \n-oddeven\xff\0\x1b";
    let mut world = World::new();
    for _ in 0..2_000 {
        let client = world.connect();
        for _ in 0..rng.usize(..6) {
            let bytes: Vec<u8> =
                (0..rng.usize(1..50)).map(|_| alphabet[rng.usize(..alphabet.len())]).collect();
            world.send(client, bytes);
        }
        if rng.bool() {
            world.end(client);
        }
        world.advance(ms(rng.u64(..100)));
    }
    assert!(world.server.records().count() <= 10_001);
    world.server.drain(world.now, &mut world.links);
    world.carry_out();
    assert!(world.links.is_empty());
    assert_eq!(world.server.next_deadline(), None);
}

#[test]
fn a03_a_peer_that_does_not_read_is_not_read_either() {
    let mut world = World::new();
    let (deaf, other) = (world.begin("1"), world.begin("2"));
    world.heard(other);
    world.deaf.insert(deaf);
    for _ in 0..100 {
        world.send(deaf, "odd ".repeat(1_000));
    }
    assert!(world.links.is_congested(deaf) && world.links.unsent(deaf).len() < 33 * 1024);
    world.send(other, "even ");
    assert!(world.heard(other).parse::<u8>().is_ok_and(|number| number % 2 == 0));
}
