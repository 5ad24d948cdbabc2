//! Tests from inside: events that the system would not send, and answers that it would not give.

use std::io::Write as _;
use std::net::TcpListener as StdListener;
use std::net::TcpStream as StdStream;
use std::num::NonZeroU32;
use std::time::Duration;

use mio::{Events, Poll};

use super::*;
use crate::engine::EAGER_EVENTS_MAX;
use crate::net::now;
use crate::per_address::PerAddress;
use crate::protocol::{BuffersMin, CloseReason, Flags, Origin};
use crate::record::Record;

/// Reads everything, and sends nothing but `reply`.
#[derive(Default)]
struct Ear {
    reply: &'static [u8],
    heard: Vec<(ConnectionId, Vec<u8>)>,
    ended: Vec<ConnectionId>,
    closed: Vec<ConnectionId>,
    deadline: Option<Instant>,
    awaited: Vec<ConnectionId>,
}

impl Protocol for Ear {
    type Event = ();

    fn handle_open(&mut self, _: Now, _: ConnectionId, _: SocketAddr, _: Origin, _: &mut Links) {}

    fn handle_bytes(&mut self, _: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        self.heard.push((id, bytes.to_vec()));
        links.send(id, self.reply);
        bytes.len()
    }

    fn handle_end(&mut self, _: Now, id: ConnectionId, _: &[u8], links: &mut Links) {
        self.ended.push(id);
        links.close(id);
    }

    fn handle_closed(&mut self, _: Now, id: ConnectionId, _: CloseReason, _: &mut Links) {
        self.closed.push(id);
    }

    fn handle_timeout(&mut self, _: Now, _: &mut Links) {
        self.deadline = None;
    }

    fn handle_flushed(&mut self, _: Now, _: &mut Links) {}

    fn drain(&mut self, _: Now, _: &mut Links) {}

    fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn is_awaited(&self, id: ConnectionId) -> bool {
        self.awaited.contains(&id)
    }

    fn buffers_min(&self) -> BuffersMin {
        BuffersMin::default()
    }

    fn poll_event(&mut self) -> Option<()> {
        None
    }

    fn poll_record(&mut self, _: Now) -> Option<Record> {
        None
    }

    fn handle_durable(&mut self, _: Now, _: u64, _: &mut Links) {}
}

const SPACE: TokenSpace = TokenSpace(3);
const EVERYTHING: Ready = Ready { readable: true, writable: true, to_end: true };

fn driver() -> (Poll, Driver<Ear>) {
    driver_with(DriverConfig::default())
}

fn driver_with(config: DriverConfig) -> (Poll, Driver<Ear>) {
    let poll = Poll::new().expect("a poll");
    let driver = Driver::new(poll.registry(), SPACE, Ear::default(), config);
    (poll, driver.expect("a driver"))
}

fn adopted(driver: &mut Driver<Ear>) -> (StdStream, ConnectionId) {
    let listener = StdListener::bind("127.0.0.1:0").expect("port 0 is free");
    let peer = StdStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let (socket, _) = listener.accept().expect("it connected");
    let id = driver.adopt(now(), socket).expect("connected");
    (peer, id)
}

fn finish(driver: &mut Driver<Ear>) {
    driver.finish_batch(now()).expect("events were taken");
    while driver.poll_event().is_some() {}
}

fn key(id: ConnectionId) -> Key {
    Key::Connection(id)
}

#[test]
fn an_event_with_an_old_generation_does_not_touch_the_new_owner_of_the_slot() {
    let (_poll, mut driver) = driver();
    let (_peer, old) = adopted(&mut driver);
    driver.engine.links.abort(old);
    finish(&mut driver);
    let (peer, new) = adopted(&mut driver);
    assert_eq!((old.slot(), driver.connections()), (new.slot(), 1), "the slot is used again");

    // The new connection has input, and so would be read if the event were taken for its own.
    (&peer).write_all(b"for later").expect("connected");
    peer.shutdown(net::Shutdown::Write).expect("connected");
    driver.handle_ready(now(), key(old), EVERYTHING);
    assert_eq!(driver.counts().stale_events, 1);
    driver.engine.read_seldom(now(), old, 1, false);
    assert_eq!(driver.counts().stale_events, 2);
    finish(&mut driver);
    assert_eq!((driver.protocol().heard.len(), driver.protocol().ended.len()), (0, 0));
    assert_eq!((driver.protocol().closed.as_slice(), driver.connections()), ([old].as_slice(), 1));

    driver.handle_ready(now(), key(new), EVERYTHING);
    assert_eq!(driver.protocol().heard, [(new, b"for later".to_vec())]);
    assert_eq!((driver.protocol().ended.as_slice(), driver.counts().stale_events), ([new].as_slice(), 2));
}

#[test]
fn the_first_events_of_a_pass_are_answered_at_once_and_the_others_together() {
    let (mut poll, mut driver) = driver();
    driver.engine.protocol.reply = b"!";
    let first = u64::from(EAGER_EVENTS_MAX);
    let peers: Vec<_> = (0..first + 3).map(|_| adopted(&mut driver).0).collect();
    let mut events = Events::with_capacity(64);
    for _ in 0..2 {
        finish(&mut driver);
        let before = driver.counts().bytes_out;
        peers.iter().for_each(|mut peer| peer.write_all(b"?").expect("connected"));
        let mut heard = 0;
        while heard < first + 3 {
            poll.poll(&mut events, Some(Duration::from_secs(5))).expect("a poll");
            assert!(!events.is_empty(), "heard {heard}");
            for event in &events {
                driver.handle_event(now(), event);
                heard += 1;
                assert_eq!(driver.counts().bytes_out - before, heard.min(first));
            }
        }
        finish(&mut driver);
        assert_eq!(driver.counts().bytes_out - before, first + 3);
    }
}

/// Eight connections that send `said` bytes each, a budget of 10 bytes for each of them, and one of `pass`
/// bytes for all.
fn talkative(pass: usize, said: usize) -> (Driver<Ear>, Vec<(StdStream, ConnectionId)>) {
    let config = DriverConfig { read_bytes_max: 10, pass_read_bytes_max: pass, ..DriverConfig::default() };
    let (_poll, mut driver) = driver_with(config);
    let mut all: Vec<_> = (0..8).map(|_| adopted(&mut driver)).collect();
    finish(&mut driver);
    for (peer, id) in &mut all {
        peer.write_all(&b"0123456789".repeat(3)[..said]).expect("connected");
        driver.handle_ready(now(), key(*id), EVERYTHING);
    }
    (driver, all)
}

#[test]
fn a_pass_has_a_read_budget_and_the_rest_is_read_first_in_the_next() {
    let (mut driver, all) = talkative(30, 30);
    let (mut peer, quiet) = adopted(&mut driver);
    let ids: Vec<_> = all.iter().map(|(_, id)| *id).collect();
    let mut heard = Vec::new();
    let mut hear = |driver: &mut Driver<Ear>| {
        let new: Vec<_> = driver.engine.protocol.heard.drain(..).collect();
        heard.extend(new.iter().map(|(_, bytes)| bytes.len()));
        new.into_iter().map(|(id, _)| ids.iter().position(|it| *it == id)).collect::<Vec<_>>()
    };
    assert_eq!(hear(&mut driver), [0, 1, 2].map(Some));
    finish(&mut driver);
    assert_eq!(hear(&mut driver), [], "that was all of this pass");
    for expected in [[0, 1, 2], [3, 4, 5], [6, 7, 0], [1, 2, 3]] {
        // A connection that was not kept waiting is read at once, but not at the expense of the others.
        peer.write_all(b"me, too").expect("connected");
        driver.handle_ready(now(), key(quiet), EVERYTHING);
        all.iter().for_each(|(_, id)| driver.handle_ready(now(), key(*id), EVERYTHING));
        assert_eq!(hear(&mut driver), [None]);
        finish(&mut driver);
        assert_eq!(hear(&mut driver), expected.map(Some));
    }
    while driver.next_deadline().is_some() {
        finish(&mut driver);
    }
    hear(&mut driver);
    assert_eq!(heard.iter().sum::<usize>(), 8 * 30 + 4 * 7);
}

/// An answer that arrived before the deadline counts, even if a pass has no time for it. But the deadline
/// waits for no other peer.
#[test]
fn a_deadline_waits_for_the_awaited_peers_whose_input_came_before_it() {
    let (mut driver, mut all) = talkative(10, 5);
    let awaited = [all[5].1, all[7].1];
    driver.engine.protocol.awaited = awaited.to_vec();
    driver.engine.protocol.deadline = Some(now().instant);
    let mut passes = 0;
    while driver.engine.protocol.deadline.is_some() {
        assert!(passes < 3, "one is read in a pass, and none before the two");
        finish(&mut driver);
        passes += 1;
        // Further bytes from an awaited peer do not put it off.
        all[5].0.write_all(b"again").expect("connected");
        driver.handle_ready(now(), key(all[5].1), EVERYTHING);
    }
    let heard = &driver.engine.protocol.heard;
    let has_been_heard = |id: ConnectionId| heard.iter().any(|(it, _)| *it == id);
    assert!(awaited.into_iter().all(has_been_heard), "{heard:?}");

    // Without a peer to wait for, the deadline expires at once.
    while driver.next_deadline().is_some() {
        finish(&mut driver);
    }
    driver.engine.protocol.deadline = Some(now().instant);
    finish(&mut driver);
    assert_eq!(driver.engine.protocol.deadline, None);
}

/// A peer that has just made room is not closed for bytes that it was not offered.
#[test]
fn queued_bytes_are_also_written_to_a_peer_that_has_made_room_in_this_pass() {
    let (_poll, mut driver) = driver();
    let [(_reader, reader), (_speaker, speaker)] = [(); 2].map(|()| adopted(&mut driver));
    finish(&mut driver);
    driver.engine.links.link_mut(reader).expect("it is there").flags.set(Flags::BLOCKED);
    driver.handle_ready(now(), key(reader), EVERYTHING);
    let much = vec![b'.'; driver.engine.config().out_bytes_max / 2 + 1];
    driver.engine.links.send(reader, &much);
    driver.engine.relieve(now(), speaker);
    assert_eq!(driver.counts().bytes_out, much.len() as u64);
}

#[test]
fn an_address_has_room_again_when_one_of_its_connections_is_gone() {
    let (_poll, mut driver) = driver();
    driver.engine.addresses = PerAddress::new(Some(2));
    driver.engine.addresses.is_exempt = |_| false;
    let addr = driver.listen(([127, 0, 0, 1], 0).into()).expect("port 0 is free");
    let knock = |driver: &mut Driver<Ear>| {
        let peer = StdStream::connect(addr).expect("it listens");
        driver.engine.at_once = true;
        driver.engine.listeners.iter_mut().for_each(|(_, listener)| listener.ready = true);
        finish(driver);
        peer
    };
    let mut peers: Vec<_> = (0..4).map(|_| knock(&mut driver)).collect();
    assert_eq!((driver.connections(), driver.counts().dropped_of_address), (2, 2));
    let heard = std::io::Read::read(&mut peers[3], &mut [0; 8]);
    assert!(matches!(heard, Ok(0)), "not a word, but {heard:?}");

    let (id, _) = driver.engine.streams.iter().next().expect("there are two");
    driver.engine.close(now(), id, CloseReason::Unwanted);
    peers.extend((0..2).map(|_| knock(&mut driver)));
    assert_eq!((driver.connections(), driver.counts().dropped_of_address), (2, 3));
    assert_eq!(driver.counts().accepted, 3);
}

#[test]
fn a_slot_is_not_used_again_within_the_batch() {
    let (_poll, mut driver) = driver();
    let (_peer, old) = adopted(&mut driver);
    driver.engine.close(now(), old, CloseReason::Unwanted);
    let (_peer, new) = adopted(&mut driver);
    assert_ne!(old.slot(), new.slot());
    driver.handle_ready(now(), key(old), EVERYTHING);
    assert_eq!(driver.counts().stale_events, 1);
    finish(&mut driver);
    let (_peer, later) = adopted(&mut driver);
    assert_eq!(old.slot(), later.slot());
}

#[test]
fn events_for_unknown_or_foreign_tokens_are_dropped() {
    let (_poll, mut driver) = driver();
    let (_peer, id) = adopted(&mut driver);
    for key in [
        Key::Listener(0),
        Key::Listener(u32::MAX),
        Key::Connection(ConnectionId { slot: 9, generation: NonZeroU32::MIN }),
    ] {
        driver.handle_ready(now(), key, EVERYTHING);
    }
    assert_eq!(driver.counts().stale_events, 3);
    assert!(!driver.owns(TokenSpace(4).token(Key::Connection(id))));
    finish(&mut driver);
    assert_eq!(driver.connections(), 1);
}

#[test]
fn events_for_a_listener_that_was_drained_are_dropped() {
    let (_poll, mut driver) = driver();
    driver.listen(([127, 0, 0, 1], 0).into()).expect("port 0 is free");
    driver.drain(now());
    driver.handle_ready(now(), Key::Listener(0), EVERYTHING);
    finish(&mut driver);
    assert_eq!(driver.counts().stale_events, 1);
}

/// Two drivers on one poll: each takes only its own events.
#[test]
fn a_driver_ignores_the_events_of_another() {
    let (mut poll, mut driver) = driver();
    let other = Driver::new(poll.registry(), TokenSpace(4), Ear::default(), DriverConfig::default());
    let mut other = other.expect("a driver");
    let (peer, id) = adopted(&mut driver);
    (&peer).write_all(b"hello").expect("connected");
    let mut events = Events::with_capacity(8);
    poll.poll(&mut events, Some(Duration::from_secs(10))).expect("polling goes well");
    for event in &events {
        other.handle_event(now(), event);
        driver.handle_event(now(), event);
    }
    assert_eq!(other.counts(), DriverCounts::default());
    assert_eq!(driver.protocol().heard, [(id, b"hello".to_vec())]);
}

/// A buffer that is too small for the longest messages would one day close the connections that carry them.
#[test]
fn a_driver_with_too_small_buffers_does_not_start() {
    use crate::engine::BufferTooSmall;
    use crate::protocol::turns::{TurnServer, TurnServerConfig};

    let poll = Poll::new().expect("a poll");
    let error = |config: DriverConfig| {
        let server = TurnServer::new(TurnServerConfig::default(), os_entropy()).expect("valid");
        match Driver::new(poll.registry(), SPACE, server, config).err() {
            None => None,
            Some(Error::Buffer(BufferTooSmall { buffer, least, .. })) => Some((buffer, least)),
            Some(other) => panic!("{other}"),
        }
    };
    let least = 4 * (16 * 1024 + 1024);
    assert_eq!(error(DriverConfig { out_bytes_max: least, ..DriverConfig::default() }), None);
    let small = DriverConfig { out_bytes_max: least - 1, ..DriverConfig::default() };
    assert_eq!(error(small), Some(("out_bytes_max", least)));
    let small = DriverConfig { in_bytes_max: 16 * 1024, ..DriverConfig::default() };
    assert_eq!(error(small), Some(("in_bytes_max", 17 * 1024 + 3)));
}

/// The limit follows from the descriptors at the moment when a driver is made, not when its config is.
#[test]
fn a_driver_takes_the_connections_that_there_are_descriptors_for() {
    assert_eq!(DriverConfig::default().max_connections, None);
    let (_poll, driver) = driver_with(DriverConfig::default());
    assert!(driver.engine.config().max_connections.is_some());
    let chosen = DriverConfig { max_connections: Some(7), ..DriverConfig::default() };
    assert_eq!(driver_with(chosen).1.engine.config().max_connections, Some(7));
}
