//! Ids and their numbers, odd and even, two connections with one id, and the end of all (C1 to C5, C7, A6),
//! for clients that keep to the protocol. Invalid words are tested in `limits.rs`.

use std::collections::HashMap;

use taketurns::protocol::counter::{CounterEvent, CounterId, CounterServerConfig, Record};
use taketurns::protocol::{Intent, Protocol};

use super::world::World;

#[test]
fn c01_the_first_message_is_the_id_with_or_without_an_end() {
    for first in ["17", "17 ", "17\n", "17\r\n", " 17", "\n17\n", "017"] {
        let mut world = World::new();
        let client = world.begin(first);
        assert_eq!(world.heard(client), "0", "{first:?}");
        assert!(matches!(world.events[..], [CounterEvent::Began { number: 0, id, .. }] if id.get() == 17));
        assert_eq!(world.server.refused(), 0);
    }
}

#[test]
fn c01_ids_are_0_to_10000() {
    for number in [0, 1, 9_999, 10_000] {
        let mut world = World::new();
        let client = world.begin(&number.to_string());
        assert_eq!(world.heard(client), "0");
        assert_eq!(world.record(number), Some(Record::default()));
    }
    assert_eq!(CounterId::new(10_001), None);
}

#[test]
fn c01_white_space_before_the_id_is_ignored() {
    let mut world = World::new();
    let client = world.begin(" \r\n\t");
    assert_eq!(world.heard(client), "");
    assert!(world.is_open(client));
    world.send(client, "17");
    assert_eq!(world.heard(client), "0");
}

#[test]
fn c02_the_answer_is_the_last_number_of_that_id() {
    let mut world = World::new();
    let client = world.begin("17");
    world.send(client, "41 ");
    world.send(client, "-42 ");
    world.end(client);
    let again = world.begin("17");
    assert_eq!(world.heard(again), "-42");
    let other = world.begin("18");
    assert_eq!(world.heard(other), "0", "a new one");
}

#[test]
fn c03_every_split_after_the_id_means_the_same() {
    let script = b" 5 odd 18 even -3 what? 9223372036854775807 \xff 7 odd ";
    let whole = {
        let mut world = World::new();
        let client = world.begin("17");
        world.send(client, script);
        (world.heard(client), world.texts(), world.record(17))
    };
    assert_eq!(whole.0, "0125", "0, then an odd, an even and an odd one");
    assert_eq!(whole.1.len(), 11);
    assert_eq!(whole.2, Some(Record { number: 7, random: Some(5) }));
    let pieces_mean_the_same = |cuts: &[usize]| {
        let mut world = World::new();
        let client = world.begin("17");
        let mut from = 0;
        for &cut in cuts.iter().chain([&script.len()]) {
            if cut > from {
                world.send(client, &script[from..cut]);
                from = cut;
            }
        }
        assert_eq!((world.heard(client), world.texts(), world.record(17)), whole, "cut at {cuts:?}");
    };
    for first in 1..script.len() {
        for second in first..script.len() {
            pieces_mean_the_same(&[first, second]);
        }
    }
    pieces_mean_the_same(&(1..script.len()).collect::<Vec<_>>());
}

#[test]
fn c03_messages_may_come_with_the_id() {
    let mut world = World::new();
    let client = world.begin("17 5 6 odd 7");
    assert_eq!(world.heard(client), "01");
    assert_eq!(world.record(17).map(|record| record.number), Some(6), "7 has not ended");
    world.send(client, "8 ");
    assert_eq!(world.record(17).map(|record| record.number), Some(78));
}

#[test]
fn c03_a_message_that_has_not_ended_does_not_count() {
    let mut world = World::new();
    let client = world.begin("17");
    world.send(client, "5 1");
    world.end(client);
    assert_eq!(world.record(17).map(|record| record.number), Some(5), "it was the beginning of 17, perhaps");
    assert!(!world.is_open(client));
}

#[test]
fn c03_a_person_may_press_enter() {
    let mut world = World::new();
    let client = world.begin("17\n");
    for line in ["5\n", "odd\r\n", "\n", "  6 \n"] {
        world.send(client, line);
    }
    assert_eq!(world.record(17), Some(Record { number: 6, random: Some(1) }));
    assert_eq!(world.server.refused(), 0);
}

#[test]
fn c04_odd_and_even_are_uniform_over_their_50_numbers() {
    let mut rng = fastrand::Rng::with_seed(4);
    let mut world = World::with(CounterServerConfig::default(), Box::new(move |bytes| rng.fill(bytes)));
    let client = world.begin("17");
    world.heard(client);
    for (word, rest) in [("odd ", 1), ("even ", 0)] {
        let mut seen = [0_u32; 100];
        for _ in 0..50_000 {
            world.send(client, word);
            let number: usize = world.heard(client).parse().expect("a number, and nothing else");
            assert_eq!(number % 2, rest);
            seen[number] += 1;
        }
        let of_parity = seen.iter().skip(rest).step_by(2);
        let chi_square: f64 = of_parity.map(|&n| (f64::from(n) - 1000.0).powi(2) / 1000.0).sum();
        // With 49 degrees of freedom, more than 95 occurs once in 10,000 seeds.
        assert!((15.0..95.0).contains(&chi_square), "{word}: {chi_square}");
    }
}

/// 256 is not a multiple of 50.
#[test]
fn c04_no_number_is_favoured_by_the_end_of_a_byte() {
    let mut world = World::new();
    let client = world.begin("17");
    world.heard(client);
    for (word, parity) in [("odd ", 1), ("even ", 0)] {
        // All bytes once: 250 of them are answers, five for each number.
        let mut seen = HashMap::new();
        for _ in 0..250 {
            world.send(client, word);
            *seen.entry(world.heard(client).parse::<u8>().expect("a number")).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 50);
        assert!(seen.iter().all(|(number, times)| number % 2 == parity && *number < 100 && *times == 5));
    }
}

#[test]
fn c05_number_and_random_are_kept_for_every_id() {
    let mut world = World::new();
    for number in 0..100_u16 {
        let client = world.begin(&number.to_string());
        world.send(client, format!("{} ", i32::from(number) * 3));
        if number % 2 == 0 {
            world.send(client, "odd ");
        }
        world.end(client);
    }
    assert_eq!(world.server.records().count(), 100);
    for number in 0..100 {
        let record = world.record(number).expect("kept");
        assert_eq!((record.number, record.random.is_some()), (i64::from(number) * 3, number % 2 == 0));
    }
}

#[test]
fn c05_records_outlive_the_server_by_restore() {
    let mut world = World::new();
    let client = world.begin("17");
    world.send(client, "-9223372036854775808 even ");
    let mut next = World::new();
    for (id, record) in world.server.records() {
        next.server.restore(id, record);
    }
    assert_eq!(next.record(17), Some(Record { number: i64::MIN, random: Some(0) }));
    let client = next.begin("17");
    assert_eq!(next.heard(client), i64::MIN.to_string());
}

#[test]
fn c07_the_newer_connection_wins() {
    let mut world = World::new();
    let older = world.begin("17");
    world.send(older, "5 6");
    let newer = world.begin("17");
    assert_eq!(world.heard(newer), "5");
    assert_eq!(world.ended.get(&older), Some(&Intent::Close));
    world.send(older, "7 ");
    assert_eq!(world.record(17).map(|record| record.number), Some(5), "it is not listened to any more");
    world.send(newer, "8 ");
    assert_eq!(world.record(17).map(|record| record.number), Some(8));
    let newest = world.begin("17");
    assert_eq!(world.heard(newest), "8");
    assert!(!world.is_open(newer) && world.is_open(newest));
    let ended = world.events.iter().filter(|event| matches!(event, CounterEvent::Ended { .. }));
    assert_eq!(ended.count(), 2);
}

#[test]
fn c07_other_ids_are_left_alone() {
    let mut world = World::new();
    let clients: Vec<_> = (0..50).map(|number| world.begin(&number.to_string())).collect();
    world.begin("7");
    let open: Vec<_> = clients.iter().map(|&client| world.is_open(client)).collect();
    assert_eq!(open.iter().filter(|open| !**open).count(), 1);
    assert!(!open[7]);
}

#[test]
fn a06_a_drain_closes_all_and_accepts_no_newcomers() {
    let mut world = World::new();
    let (client, silent) = (world.begin("17"), world.connect());
    world.server.drain(world.now, &mut world.links);
    world.carry_out();
    assert!(!world.is_open(client) && !world.is_open(silent));
    let late = world.connect();
    assert!(!world.is_open(late));
    assert_eq!(world.server.next_deadline(), None);
}
