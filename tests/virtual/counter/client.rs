//! The client without sockets: when it counts, when it asks, and where it continues (C10). What a user sees
//! is tested in `programs/`.

use std::collections::HashMap;
use std::time::Duration;

use support::ms;
use taketurns::protocol::counter::{CounterClient, CounterClientConfig, CounterClientEvent, Parity};
use taketurns::protocol::{CloseReason, ConnectionId, DialId, Entropy, Intent, Links, Origin, Protocol};
use taketurns::time::{self, Now};

use super::world::{counting, id};

struct Counting {
    client: CounterClient,
    links: Links,
    now: Now,
    start: time::Instant,
    connection: ConnectionId,
    /// Its messages and their times.
    written: Vec<(Duration, String)>,
    events: Vec<CounterClientEvent>,
}

impl Counting {
    /// Creates a connected client to which the server has sent nothing.
    fn begin(entropy: Entropy) -> Counting {
        let mut links = Links::new(64 * 1024);
        let now = Now::ORIGIN;
        let connection = links.open(([127, 0, 0, 1], 9).into());
        let client = CounterClient::new(CounterClientConfig::new(id(17)), entropy);
        let (written, events) = (Vec::new(), Vec::new());
        let mut world = Counting { client, links, now, start: now.instant, connection, written, events };
        world.open();
        world
    }

    /// Creates a client to which the server has answered `number`.
    fn from(number: &str) -> Counting {
        let mut world = Counting::begin(counting());
        world.answer(number);
        world
    }

    fn open(&mut self) {
        let peer = ([127, 0, 0, 1], 2004).into();
        let origin = Origin::Dialed(DialId(0));
        self.client.handle_open(self.now, self.connection, peer, origin, &mut self.links);
        self.carry_out();
    }

    fn answer(&mut self, bytes: impl AsRef<[u8]>) {
        self.client.handle_bytes(self.now, self.connection, bytes.as_ref(), &mut self.links);
        self.carry_out();
    }

    /// Lets time pass from deadline to deadline, like a driver.
    fn advance(&mut self, by: Duration) {
        let until = self.now.instant + by;
        while let Some(next) = self.client.next_deadline().filter(|&next| next <= until) {
            self.now.instant = next.max(self.now.instant);
            self.client.handle_timeout(self.now, &mut self.links);
            self.carry_out();
        }
        self.now.instant = until;
    }

    fn carry_out(&mut self) {
        while let Some(id) = self.links.take_touched() {
            let text = String::from_utf8(self.links.unsent(id).to_vec()).expect("text");
            self.links.consume(id, text.len());
            if !text.is_empty() {
                self.written.push((self.now.instant - self.start, text));
            }
        }
        self.events.extend(std::iter::from_fn(|| self.client.poll_event()));
    }

    fn written(&mut self) -> Vec<String> {
        std::mem::take(&mut self.written).into_iter().map(|(_, text)| text).collect()
    }
}

#[test]
fn c10_the_bare_id_and_nothing_more_until_the_answer() {
    let mut client = Counting::begin(counting());
    client.advance(Duration::from_secs(60));
    assert_eq!(client.written(), ["17"]);
    client.answer("41");
    assert_eq!(client.events, [CounterClientEvent::Began(41)]);
    client.advance(ms(499));
    assert_eq!(client.written(), [""; 0]);
    client.advance(ms(1));
    assert_eq!(client.written(), ["42 "]);
}

#[test]
fn c10_it_counts_every_500_ms_by_1_at_first() {
    let mut client = Counting::from("-2");
    client.written();
    client.advance(ms(2_900));
    let expected: Vec<_> = (1..=5).map(|n| (ms(500 * n), format!("{} ", n.cast_signed() - 2))).collect();
    assert_eq!(client.written, expected);
}

#[test]
fn c10_it_asks_every_3_to_5_seconds_and_takes_the_answer_as_its_increment() {
    let mut rng = fastrand::Rng::with_seed(10);
    let mut client = Counting::begin(Box::new(move |bytes| rng.fill(bytes)));
    client.answer("0");
    let (mut asked, mut increment, mut number) = (Vec::new(), 1, 0_i64);
    let mut parities = HashMap::new();
    for _ in 0..10_000 {
        let next = client.client.next_deadline().expect("it counts for ever");
        client.advance(next.saturating_duration_since(client.now.instant));
        for (at, text) in std::mem::take(&mut client.written) {
            match text.as_str() {
                "17" => {}
                "odd " | "even " => {
                    *parities.entry(text).or_insert(0) += 1;
                    asked.push(at);
                    increment = 10 + i64::from(asked.len() % 2 == 0);
                    client.answer(increment.to_string());
                }
                text => {
                    number += increment;
                    assert_eq!(text, format!("{number} "));
                }
            }
        }
    }
    let gaps: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.len() > 900);
    assert!(gaps.iter().all(|gap| (ms(3_000)..=ms(5_000)).contains(gap)));
    assert!(gaps.iter().min() < Some(&ms(3_050)) && gaps.iter().max() > Some(&ms(4_950)), "at random");
    assert!(parities.values().all(|&times| times > 400), "{parities:?}");
    assert!(client.events.contains(&CounterClientEvent::Increment(11)));
    assert!(client.events.iter().any(|event| matches!(event, CounterClientEvent::Asked(Parity::Odd))));
}

/// Two answers that arrived together would look like one number.
#[test]
fn c10_it_does_not_ask_again_before_the_answer() {
    let mut client = Counting::from("0");
    client.advance(Duration::from_secs(60));
    let asks =
        |texts: Vec<String>| texts.iter().filter(|text| text.contains('d') || text.contains('e')).count();
    assert_eq!(asks(client.written()), 1);
    client.answer("8");
    client.advance(Duration::from_secs(5));
    assert_eq!(asks(client.written()), 1);
}

#[test]
fn c10_a_server_that_took_its_time_is_not_asked_at_once() {
    let mut client = Counting::begin(counting());
    client.advance(Duration::from_secs(60));
    client.answer("0");
    client.advance(ms(2_999));
    assert!(client.written().iter().all(|text| text.trim_end().parse::<i64>().is_ok()));
}

#[test]
fn c10_the_number_stays_within_64_bits() {
    let mut client = Counting::from(&(i64::MAX - 1).to_string());
    client.advance(ms(1_500));
    assert_eq!(client.written().last(), Some(&format!("{} ", i64::MAX)));
}

#[test]
fn c10_an_answer_that_is_no_number_ends_the_connection() {
    for answer in [&b"x"[..], b"1 2", b"\xff", b"9223372036854775808"] {
        let mut client = Counting::begin(counting());
        client.answer(answer);
        assert!(!client.links.is_open(client.connection), "{answer:?}");
    }
    let mut client = Counting::begin(counting());
    client.answer(" \n");
    assert!(client.links.is_open(client.connection), "white space alone is nothing");
    client.answer("5\n");
    assert_eq!(client.events, [CounterClientEvent::Began(5)]);
}

/// A connection that is being closed lasts up to a second.
#[test]
fn c10_nothing_is_counted_on_a_connection_that_is_being_closed() {
    let mut client = Counting::from("0");
    client.links.close(client.connection);
    client.events.clear();
    client.advance(Duration::from_secs(10));
    assert_eq!(client.events, []);
    assert_eq!(client.client.next_deadline(), None);
}

#[test]
fn c10_nothing_is_counted_without_a_connection() {
    let mut client = Counting::from("0");
    client.events.clear();
    client.client.handle_end(client.now, client.connection, b"", &mut client.links);
    assert_eq!(client.links.intent_of(client.connection), Intent::Close, "the server has finished");
    client.client.handle_closed(client.now, client.connection, CloseReason::Finished, &mut client.links);
    assert_eq!(client.client.next_deadline(), None);
    client.advance(Duration::from_secs(10));
    assert_eq!(client.events, []);
}

#[test]
fn a06_a_drain_closes_the_clients_connection() {
    let mut client = Counting::from("0");
    client.client.drain(client.now, &mut client.links);
    assert_eq!(client.links.intent_of(client.connection), Intent::Close);
}

#[test]
fn c10_the_next_connection_continues_from_the_servers_number() {
    let mut client = Counting::from("10");
    client.advance(ms(500));
    let old = client.connection;
    client.links.close(old);
    client.connection = client.links.open(([127, 0, 0, 1], 9).into());
    client.written();
    client.open();
    // The end of the old connection comes after the beginning of the new one.
    client.client.handle_closed(client.now, old, CloseReason::Finished, &mut client.links);
    client.advance(Duration::from_secs(9));
    assert_eq!(client.written(), ["17"], "the answer has not come");
    client.answer("100");
    client.advance(ms(500));
    assert_eq!(client.written(), ["101 "]);
}

/// The last bytes of an old connection, whatever they are, are not an answer to the new one.
#[test]
fn c10_input_of_an_old_connection_does_not_count_for_a_new_one() {
    let mut client = Counting::from("10");
    let old = client.connection;
    client.connection = client.links.open(([127, 0, 0, 1], 9).into());
    client.open();
    client.written();
    for words in ["7", "no number"] {
        client.client.handle_bytes(client.now, old, words.as_bytes(), &mut client.links);
        assert!(client.links.is_open(client.connection), "{words}");
        client.advance(Duration::from_secs(9));
        assert_eq!(client.written(), [""; 0], "{words}");
    }
    client.answer("100");
    client.client.handle_bytes(client.now, old, b"50", &mut client.links);
    client.advance(ms(500));
    assert_eq!(client.written(), ["101 "]);
}

#[test]
fn c10_endless_times_do_not_panic() {
    let mut config = CounterClientConfig::new(id(1));
    config.ask_max = Duration::MAX;
    config.ask_min = Duration::MAX / 2;
    let mut client = CounterClient::new(config, Box::new(|bytes| bytes.fill(0xff)));
    let mut links = Links::new(1000);
    let connection = links.open(([127, 0, 0, 1], 9).into());
    let now = Now::ORIGIN;
    client.handle_open(now, connection, ([127, 0, 0, 1], 1).into(), Origin::Dialed(DialId(0)), &mut links);
    client.handle_bytes(now, connection, b"0", &mut links);
    assert_eq!(client.next_deadline(), Some(now.instant + ms(500)));
}
