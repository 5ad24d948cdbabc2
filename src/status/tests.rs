//! Requests and answers in virtual time, without sockets.

use std::time::Duration;

use super::*;
use crate::protocol::Intent;
use crate::status::request::Path;

struct World {
    now: Now,
    http: Http,
    links: Links,
    /// Unconsumed bytes.
    rests: ConnectionMap<Vec<u8>>,
}

impl World {
    fn new(config: StatusConfig) -> World {
        let now = Now::ORIGIN;
        World { now, http: Http::new(config), links: Links::new(1 << 20), rests: ConnectionMap::default() }
    }

    fn open(&mut self) -> ConnectionId {
        let peer = ([127, 0, 0, 1], 9).into();
        let id = self.links.open(peer);
        self.http.handle_open(self.now, id, peer, Origin::Accepted, &mut self.links);
        id
    }

    fn say(&mut self, id: ConnectionId, text: &str) {
        self.hear(id, text.as_bytes());
    }

    fn hear(&mut self, id: ConnectionId, bytes: &[u8]) {
        let mut rest = self.rests.remove(id).unwrap_or_default();
        rest.extend_from_slice(bytes);
        let used = self.http.handle_bytes(self.now, id, &rest, &mut self.links);
        self.rests.insert(id, rest.split_off(used));
    }

    fn ask(&mut self, text: &str) -> ConnectionId {
        let id = self.open();
        self.say(id, text);
        id
    }

    fn wait(&mut self, time: Duration) {
        self.now.instant += time;
        self.http.handle_timeout(self.now, &mut self.links);
    }

    fn heard(&self, id: ConnectionId) -> String {
        String::from_utf8(self.links.unsent(id).to_vec()).expect("answers are text")
    }

    /// Reads everything that was sent to `id`. Returns whether it is closed then.
    fn closes(&mut self, id: ConnectionId) -> bool {
        self.links.consume(id, self.links.unsent(id).len());
        self.http.handle_flushed(self.now, &mut self.links);
        self.links.intent_of(id) == Intent::Close
    }

    fn begin_feed(&mut self, id: ConnectionId) -> bool {
        let (asked, request) = self.http.take_request().expect("a feed was asked for");
        assert_eq!((asked, request.path), (id, Path::Events));
        self.http.begin_feed(self.now, id, request, &mut self.links)
    }
}

const GET: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
const GET_EVENTS: &str = "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn a_request_that_comes_byte_by_byte_is_one() {
    let mut world = World::new(StatusConfig::default());
    let id = world.open();
    for at in 0..GET.len() {
        assert_eq!(world.http.take_request(), None, "{at} bytes");
        world.say(id, &GET[at..=at]);
    }
    let request = Request { path: Path::Health, is_head: false };
    assert_eq!(world.http.take_request(), Some((id, request)));
    assert!(world.links.is_open(id) && world.heard(id).is_empty(), "it waits for its answer");
    assert_eq!(world.http.next_deadline(), None, "its head has come");

    world.http.answer(world.now, id, false, Answer::text("200 OK", "ok\n"), &mut world.links);
    assert_eq!(
        world.heard(id),
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\nConnection: close\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\nok\n"
    );
    assert!(world.closes(id));
}

#[test]
fn pipelined_requests_and_input_after_an_answer_are_ignored() {
    let mut world = World::new(StatusConfig::default());
    let id = world.ask(&GET.repeat(3));
    world.say(id, GET);
    assert!(world.http.take_request().is_some());
    assert_eq!(world.http.take_request(), None);
    world.http.answer(world.now, id, false, Answer::text("200 OK", "ok\n"), &mut world.links);
    let heard = world.heard(id);
    world.say(id, GET);
    assert_eq!((world.http.take_request(), world.heard(id)), (None, heard));
}

#[test]
fn a_head_request_is_answered_without_a_body_even_when_it_is_refused() {
    let mut world = World::new(StatusConfig::default());
    let id = world.ask("HEAD /metrics HTTP/1.0\r\n\r\n");
    let (_, request) = world.http.take_request().expect("it is complete");
    world.http.answer(world.now, id, request.is_head, Answer::text("200 OK", "ok\n"), &mut world.links);
    assert!(world.heard(id).contains("Content-Length: 3\r\n") && world.heard(id).ends_with("\r\n\r\n"));

    let id = world.ask("HEAD /nothing HTTP/1.0\r\n\r\n");
    assert!(
        world.heard(id).starts_with("HTTP/1.1 404 Not Found\r\n") && world.heard(id).ends_with("\r\n\r\n")
    );
    let id = world.ask("HEAD /events HTTP/1.0\r\n\r\n");
    assert!(!world.begin_feed(id), "only its head was wanted");
    assert!(world.heard(id).contains("text/event-stream") && world.heard(id).ends_with("\r\n\r\n"));
    assert!(world.closes(id) && world.http.feeds() == 0);
}

#[test]
fn a_bad_request_is_refused_with_a_line_that_says_why() {
    let mut world = World::new(StatusConfig::default());
    for (text, status, words) in [
        ("DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", "405 Method Not Allowed", "only GET and HEAD"),
        ("GET /secret HTTP/1.1\r\nHost: localhost\r\n\r\n", "404 Not Found", "the paths are /, /events"),
        (
            "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
            "400 Bad Request",
            "has no body",
        ),
        ("hello\r\n\r\n", "400 Bad Request", "not an HTTP/1 request"),
    ] {
        let id = world.ask(text);
        let heard = world.heard(id);
        assert!(heard.starts_with(&format!("HTTP/1.1 {status}\r\n")) && heard.contains(words), "{heard}");
        assert_eq!(heard.contains("Allow: GET, HEAD\r\n"), status.starts_with("405"));
        assert!(world.closes(id));
    }
    assert_eq!(world.http.take_request(), None);
}

#[test]
fn a_head_that_is_too_long_is_refused_and_not_kept() {
    let config = StatusConfig { head_bytes_max: 200, ..StatusConfig::default() };
    let mut world = World::new(config);
    let start = "GET / HTTP/1.0\r\nA: ";
    let fits = format!("{start}{}\r\n\r\n", "x".repeat(200 - start.len() - 4));
    world.ask(&fits);
    assert!(world.http.take_request().is_some(), "200 bytes are not too many");
    let id = world.ask(&format!("{start}{}\r\n\r\n", "x".repeat(201 - start.len() - 4)));
    assert!(world.heard(id).starts_with("HTTP/1.1 431 "), "201 are");

    let id = world.ask(start);
    for _ in 0..181 {
        world.say(id, "x");
    }
    assert!(world.heard(id).is_empty());
    world.say(id, "x");
    world.say(id, "x");
    assert!(world.heard(id).starts_with("HTTP/1.1 431 ") && world.heard(id).contains("at most 200 bytes"));
}

#[test]
fn a_head_that_is_too_slow_is_refused_however_its_bytes_drip() {
    let mut world = World::new(StatusConfig::default());
    let id = world.open();
    for _ in 0..5 {
        assert!(world.heard(id).is_empty());
        world.say(id, "G");
        world.wait(Duration::from_millis(999));
    }
    world.wait(Duration::from_millis(5));
    assert!(world.heard(id).starts_with("HTTP/1.1 408 Request Timeout\r\n"));
}

#[test]
fn an_answer_that_is_not_taken_in_time_is_given_up_however_its_reader_drips() {
    let mut world = World::new(StatusConfig::default());
    let id = world.ask(GET);
    assert!(world.http.take_request().is_some());
    world.wait(Duration::from_secs(60));
    world.http.answer(world.now, id, false, Answer::text("200 OK", "ok\n"), &mut world.links);
    for _ in 0..9 {
        world.wait(Duration::from_secs(1));
        world.links.consume(id, 1);
        world.http.handle_flushed(world.now, &mut world.links);
        assert_eq!(world.links.intent_of(id), Intent::Keep);
    }
    world.wait(Duration::from_secs(1));
    assert!(matches!(world.links.intent_of(id), Intent::Abort(_)));
}

#[test]
fn a_newcomer_is_turned_away_only_when_all_others_arrived_with_it() {
    let config = StatusConfig { connections_max: 2, ..StatusConfig::default() };
    let mut world = World::new(config);
    let [first, _, third] = [world.open(), world.open(), world.open()];
    assert!(world.heard(third).starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
    assert!(world.closes(third));
    world.http.handle_closed(world.now, third, CloseReason::Finished, &mut world.links);
    world.http.handle_closed(world.now, first, CloseReason::Finished, &mut world.links);
    assert!(world.ask(GET) != first && world.http.take_request().is_some());
    assert_eq!(world.http.clients.len(), 2);
}

#[test]
fn answered_clients_give_way_before_silent_ones_and_slow_readers_come_last() {
    let config = StatusConfig { connections_max: 3, ..StatusConfig::default() };
    let mut world = World::new(config);
    let [unread, silent] = [world.ask(GET), world.open()];
    world.wait(Duration::from_millis(1));
    let answered = world.ask(GET);
    for id in [unread, answered] {
        assert_eq!(world.http.take_request().map(|(id, _)| id), Some(id));
        world.http.answer(world.now, id, false, Answer::text("200 OK", "ok\n"), &mut world.links);
    }
    assert!(world.closes(answered));
    for gone in [answered, silent, unread] {
        world.wait(Duration::from_millis(1));
        let probe = world.ask(GET);
        assert!(matches!(world.links.intent_of(gone), Intent::Abort(_)), "the next of the three");
        assert_eq!(world.http.take_request().map(|(id, _)| id), Some(probe));
    }
}

#[test]
fn feeds_never_have_all_connections() {
    let config = StatusConfig { connections_max: 2, feeds_max: 2, ..StatusConfig::default() };
    let mut world = World::new(config.with_room());
    let feed = world.ask(GET_EVENTS);
    assert!(world.begin_feed(feed));
    let other = world.ask(GET_EVENTS);
    assert!(!world.begin_feed(other));
}

#[test]
fn the_client_that_was_silent_for_longest_gives_way_to_a_newcomer() {
    let config = StatusConfig { connections_max: 3, feeds_max: 1, ..StatusConfig::default() };
    let mut world = World::new(config);
    let feed = world.ask(GET_EVENTS);
    assert!(world.begin_feed(feed));
    let first = world.ask("GET /hea");
    world.wait(Duration::from_millis(1));
    let second = world.open();
    world.wait(Duration::from_millis(1));
    let probe = world.ask(GET);
    assert!(matches!(world.links.intent_of(first), Intent::Abort(_)) && world.links.is_open(second));
    assert_eq!(world.http.take_request().map(|(id, _)| id), Some(probe));

    world.wait(Duration::from_millis(1));
    let third = world.open();
    assert!(matches!(world.links.intent_of(second), Intent::Abort(_)));
    let fourth = world.open();
    assert!(world.heard(fourth).starts_with("HTTP/1.1 503 "), "input of the same pass has not been read yet");
    assert!(world.links.is_open(feed) && world.links.is_open(probe) && world.links.is_open(third));
    for id in [first, second] {
        world.http.handle_closed(world.now, id, CloseReason::Unwanted, &mut world.links);
    }
    assert_eq!((world.http.clients.len(), world.http.feeds()), (3, 1));
}

#[test]
fn the_number_of_feeds_is_limited() {
    let config = StatusConfig { feeds_max: 1, ..StatusConfig::default() };
    let mut world = World::new(config);
    let first = world.ask(GET_EVENTS);
    assert!(world.begin_feed(first));
    assert!(
        !world.heard(first).contains("Connection: close") && !world.heard(first).contains("Content-Length")
    );
    let second = world.ask(GET_EVENTS);
    assert!(!world.begin_feed(second));
    assert!(world.heard(second).starts_with("HTTP/1.1 503 ") && world.heard(second).contains("/events"));

    // A client that stops sending has gone, and makes room.
    world.http.handle_end(world.now, first, b"", &mut world.links);
    world.http.handle_closed(world.now, first, CloseReason::Finished, &mut world.links);
    assert_eq!(world.http.feeds(), 0);
    let third = world.ask(GET_EVENTS);
    assert!(world.begin_feed(third));
    world.http.handle_closed(world.now, third, CloseReason::Finished, &mut world.links);
    assert_eq!(world.http.feeds(), 0);
}

#[test]
fn a_feed_that_is_not_read_gets_no_more() {
    let mut world = World::new(StatusConfig::default());
    let [quick, slow] = [world.ask(GET_EVENTS), world.ask(GET_EVENTS)];
    assert!(world.begin_feed(quick) && world.begin_feed(slow));
    for id in [quick, slow] {
        world.links.consume(id, world.heard(id).len());
    }
    for _ in 0..1_000 {
        world.http.feed(b"data: 1\n\n", &mut world.links);
        assert_eq!(world.heard(quick), "data: 1\n\n");
        world.links.consume(quick, 9);
    }
    assert_eq!(world.heard(slow), "data: 1\n\n");
    world.say(quick, GET);
    assert_eq!((world.http.take_request(), world.http.feeds()), (None, 1));
    assert!(world.closes(quick), "a reader has nothing to say");
}

#[test]
fn any_input_in_any_pieces_is_answered_waited_for_or_refused() {
    let mut random = fastrand::Rng::with_seed(7);
    let config = StatusConfig { head_bytes_max: 100, ..StatusConfig::default() };
    let (mut asked, mut refused, mut waiting) = (0, 0, 0);
    for _ in 0..20_000 {
        let mut world = World::new(config.clone());
        let id = world.open();
        let mut bytes =
            [GET, GET_EVENTS, "HEAD / HTTP/1.0\r\nA: b\r\n\r\n"][random.usize(0..3)].as_bytes().to_vec();
        for _ in 0..random.usize(0..4) {
            let at = random.usize(0..bytes.len());
            match random.u8(0..3) {
                0 => bytes[at] = random.u8(..),
                1 => bytes.truncate(at.max(1)),
                _ => bytes.extend_from_within(at..),
            }
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(random.usize(1..=rest.len()));
            world.hear(id, piece);
            rest = more;
        }
        let is_refused = !world.links.unsent(id).is_empty();
        let is_asked = world.http.take_request().is_some();
        assert!(!(is_refused && is_asked) && world.http.take_request().is_none());
        if let Some(Client { stage: Stage::Head { left, .. }, .. }) = world.http.clients.get(id) {
            assert!(*left <= 100 && !is_refused && !is_asked);
            waiting += 1;
        }
        (asked, refused) = (asked + u32::from(is_asked), refused + u32::from(is_refused));
    }
    assert!(asked > 1_000 && refused > 1_000 && waiting > 1_000, "{asked}, {refused}, {waiting}");
}
