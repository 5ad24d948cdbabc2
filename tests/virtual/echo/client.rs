//! The client without sockets: its message, and the answers that it accepts (E7). What a user sees is tested
//! in `programs/`.

use std::time::Duration;

use taketurns::protocol::echo::{EchoClient, EchoClientConfig, EchoClientEvent};
use taketurns::protocol::{CloseReason, ConnectionId, DialId, Intent, Links, Origin, Protocol};
use taketurns::time::Now;

use super::world::{OUT_BYTES_MAX, READ_BYTES_MAX};

struct Asking {
    client: EchoClient,
    links: Links,
    now: Now,
    id: ConnectionId,
}

impl Asking {
    fn new(message: &str) -> Asking {
        let mut client = EchoClient::new(EchoClientConfig::default());
        client.say(message);
        let mut links = Links::new(OUT_BYTES_MAX);
        let id = links.open(([127, 0, 0, 1], 9).into());
        let now = Now::ORIGIN;
        client.handle_open(now, id, ([127, 0, 0, 1], 9).into(), Origin::Dialed(DialId(0)), &mut links);
        Asking { client, links, now, id }
    }

    fn hears(&mut self, bytes: &[u8]) {
        self.client.handle_bytes(self.now, self.id, bytes, &mut self.links);
    }

    /// Sets another message and dials. Returns the connection of the first.
    fn says(&mut self, message: &str) -> ConnectionId {
        self.client.say(message);
        let id = self.links.open(([127, 0, 0, 1], 9).into());
        let (dial, links) = (Origin::Dialed(DialId(0)), &mut self.links);
        self.client.handle_open(self.now, id, ([127, 0, 0, 1], 9).into(), dial, links);
        std::mem::replace(&mut self.id, id)
    }

    fn closed(&mut self, reason: CloseReason) -> EchoClientEvent {
        self.client.handle_closed(self.now, self.id, reason, &mut self.links);
        self.client.poll_event().expect("an event")
    }
}

#[test]
fn e07_the_client_sends_its_message_and_half_closes() {
    let asking = Asking::new("Grüße");
    assert_eq!(asking.links.unsent(asking.id), "Grüße".as_bytes(), "nothing behind it");
    assert!(asking.links.is_finished(asking.id) && asking.links.is_open(asking.id));
}

#[test]
fn e07_the_answer_may_come_in_any_pieces() {
    let answer = "Server received at 2026-11-21 16:00:00: Grüße".as_bytes();
    for at in 1..answer.len() {
        let mut asking = Asking::new("Grüße");
        asking.hears(&answer[..at]);
        asking.hears(&answer[at..]);
        asking.client.handle_end(asking.now, asking.id, b"", &mut asking.links);
        assert_eq!(asking.links.intent_of(asking.id), Intent::Close);
        let whole = String::from_utf8(answer.to_vec()).expect("UTF-8");
        assert_eq!(asking.closed(CloseReason::Finished), EchoClientEvent::Answered(whole));
    }
}

#[test]
fn e07_the_size_and_time_of_an_answer_are_limited() {
    let mut asking = Asking::new("x");
    for _ in 0..100 {
        asking.hears(&[b'y'; READ_BYTES_MAX]);
    }
    assert_eq!(asking.closed(CloseReason::Finished), EchoClientEvent::Answered("y".repeat(128 * 1024)));

    let mut asking = Asking::new("x");
    let due = asking.client.next_deadline().expect("it does not wait for ever");
    assert_eq!(due - asking.now.instant, Duration::from_secs(30));
    asking.client.handle_timeout(asking.now, &mut asking.links);
    assert!(asking.links.is_open(asking.id), "called early");
    asking.now.instant = due;
    asking.client.handle_timeout(asking.now, &mut asking.links);
    assert!(!asking.links.is_open(asking.id));
    assert_eq!(asking.closed(CloseReason::Unwanted), EchoClientEvent::Unanswered(CloseReason::Unwanted));
    assert_eq!(asking.client.next_deadline(), None);
}

/// The host gives up a message and sends the next one: neither the bytes nor the end of the first connection
/// belong to the second, in either order.
#[test]
fn e07_input_of_one_connection_is_no_answer_on_the_next() {
    let finished = CloseReason::Finished;
    let mut asking = Asking::new("one");
    asking.hears(b"first");
    let first = asking.says("two");
    assert!(!asking.links.is_open(first) && asking.links.is_open(asking.id));
    asking.client.handle_bytes(asking.now, first, b" and more", &mut asking.links);
    asking.hears(b"second");
    asking.client.handle_closed(asking.now, first, finished, &mut asking.links);
    assert_eq!(asking.client.poll_event(), None);
    assert!(asking.client.next_deadline().is_some(), "the second is still awaited");
    assert_eq!(asking.closed(finished), EchoClientEvent::Answered("second".to_owned()));

    // The first connection is gone before the next one opens.
    let mut asking = Asking::new("one");
    asking.hears(b"first");
    asking.client.say("two");
    asking.client.handle_closed(asking.now, asking.id, finished, &mut asking.links);
    assert_eq!(asking.client.poll_event(), None);
    asking.says("two");
    assert_eq!(asking.closed(finished), EchoClientEvent::Unanswered(finished));
}

#[test]
fn e07_an_answer_before_a_reset_is_an_answer() {
    let reset = CloseReason::Broken(std::io::ErrorKind::ConnectionReset);
    let mut asking = Asking::new("x");
    asking.hears(b"Server received");
    assert_eq!(asking.closed(reset), EchoClientEvent::Answered("Server received".to_owned()));
    assert_eq!(Asking::new("x").closed(reset), EchoClientEvent::Unanswered(reset));
}

#[test]
fn a06_a_drain_ends_the_clients_connection() {
    let mut asking = Asking::new("x");
    asking.client.drain(asking.now, &mut asking.links);
    assert!(!asking.links.is_open(asking.id));
    assert_eq!(asking.client.next_deadline(), None);
}
