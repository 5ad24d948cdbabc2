//! The limits of one pass, the taking of its events, and a driver that idles without passes.

use std::net::TcpStream;
use std::time::Instant;

use support::ms;
use taketurns::net::{DriverConfig, Error, Event, now};

use crate::loopback::{Act, PATIENCE, Peer, Rig, Script};
use crate::servers::{event_loop, joined, line_server, pattern, script};

/// G6.
#[test]
fn a_chatty_peer_gets_its_budget_in_each_pass_and_the_others_are_served() {
    let config = DriverConfig { read_bytes_max: 1000, ..DriverConfig::default() };
    let (mut rig, addr) = script(config);
    let (mut chatty, loud) = rig.meet(addr);
    let (mut quiet, id) = rig.meet(addr);
    rig.driver.protocol_mut().when_told("ping", [Act::Send(id, b"pong".to_vec())]);
    let sent = chatty.offer(&pattern(100_000));

    while rig.driver.protocol().heard(loud).len() < sent {
        let before = rig.driver.protocol().heard(loud).len();
        quiet.send("ping");
        rig.pass(PATIENCE);
        quiet.pull();
        assert_eq!(quiet.take(), "pong", "answered in the same pass");
        let read = rig.driver.protocol().heard(loud).len() - before;
        assert!((1..=1000).contains(&read), "{read} bytes in one pass");
    }
    assert!(rig.driver.protocol().heard(loud) == &pattern(100_000)[..sent]);
}

#[test]
fn a_storm_of_newcomers_is_accepted_in_portions_without_another_knock() {
    let config = DriverConfig { accepts_max: 4, ..DriverConfig::default() };
    let (mut rig, addr) = script(config);
    let _peers: Vec<_> = (0..10).map(|_| Peer::connect(addr)).collect();
    let accepted: Vec<_> = (0..3)
        .map(|_| {
            rig.pass(PATIENCE);
            rig.driver.connections()
        })
        .collect();
    assert_eq!(accepted, [4, 8, 10]);
    // One more pass is needed to see that none is left.
    assert!(rig.idle(ms(50)) <= 2);
}

#[test]
fn the_backlog_takes_a_stampede_while_the_loop_is_busy() {
    let stampede = || {
        let (mut rig, addr) = script(DriverConfig::default());
        let connect = |_| TcpStream::connect_timeout(&addr, PATIENCE).map(Peer::new).expect("queued");
        let start = Instant::now();
        let _peers: Vec<_> = (0..200).map(connect).collect();
        let took = start.elapsed();
        rig.pass_until("all are accepted", |rig| rig.driver.connections() == 200);
        took
    };
    // A dropped SYN is repeated after 1 s. A busy machine may lose one occasionally, a short backlog always
    // does.
    let quickest = (0..3).map(|_| stampede()).min().expect("three");
    assert!(quickest < ms(900), "a SYN was dropped and sent again: {quickest:?}");
}

#[test]
fn beyond_the_most_connections_a_newcomer_is_dropped_and_there_is_room_again_afterwards() {
    let config = DriverConfig { max_connections: Some(1), ..DriverConfig::default() };
    let (mut rig, addr) = Rig::listening(Script::closing_at_end(), config);
    let (first, _) = rig.meet(addr);
    let mut second = Peer::connect(addr);
    rig.ends(&mut second);
    assert_eq!((rig.driver.counts().dropped, rig.driver.connections()), (1, 1));
    drop(first);
    rig.pass_until("gone", |rig| rig.driver.connections() == 0);
    rig.meet(addr);
}

#[test]
fn a_pass_begins_only_when_the_events_of_the_last_one_were_taken() {
    let (mut event_loop, addr) = event_loop();
    let mut peer = Peer::connect(addr);
    event_loop.run_once(Some(PATIENCE)).expect("the first pass");
    let error = event_loop.run_once(Some(ms(0))).expect_err("an event is pending");
    assert!(matches!(error, Error::EventsPending), "{error}");
    let Some(Event::Opened { connection: id, .. }) = event_loop.driver_mut().poll_event() else {
        panic!("the peer connected");
    };
    assert!(event_loop.run_once(Some(ms(0))).is_err(), "not until it said None");
    assert!(event_loop.driver_mut().poll_event().is_none());

    event_loop.run_once(Some(ms(0))).expect("all were taken");
    // Input that such a pass has read is still answered.
    event_loop.driver_mut().protocol_mut().when_told("ping", [Act::Send(id, b"pong".to_vec())]);
    peer.send("ping");
    assert!(event_loop.run_once(Some(ms(0))).is_err());
    let sent = event_loop.driver_mut().act(now(), |_, links| {
        links.send(id, b" and more");
        links.unsent(id).len()
    });
    assert_eq!(sent, 9, "its result is passed on");
    peer.pull();
    assert_eq!(peer.take(), "pong and more", "what the host asks for is written at once");
    assert!(event_loop.driver_mut().poll_event().is_none());
    // The protocol's reply comes with the next pass, not with the next event.
    let start = Instant::now();
    event_loop.run_once(Some(PATIENCE)).expect("all were taken");
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
}

/// G7.
#[test]
fn a_loop_with_nothing_to_do_sleeps() {
    let (mut rig, addr) = line_server();
    let mut peers: Vec<_> = (0..30).map(|at| joined(&mut rig, addr, &format!("c{at}"))).collect();
    peers.extend((0..30).map(|_| rig.meet(addr).0));
    rig.pass(ms(0));
    let deadline = rig.driver.next_deadline().expect("a turn is granted");
    assert!(deadline > now().instant + ms(500), "nothing is due soon");
    assert!(rig.idle(ms(200)) <= 2);

    // Closing and losing some peers leaves nothing behind that wakes the loop.
    peers.truncate(20);
    rig.pass_until("gone", |rig| rig.driver.connections() == 20);
    rig.idle(ms(150));
    assert!(rig.idle(ms(200)) <= 2);
}
