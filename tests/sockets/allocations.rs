//! A turn in the steady state allocates nothing, neither in the scheduler and protocol alone, nor with driver
//! and sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use mio::{Events, Poll};
use taketurns::net::{Driver, DriverConfig, TokenSpace, now};
use taketurns::protocol::turns::{Framing, TurnServer, TurnServerConfig};
use taketurns::protocol::{Links, Origin, Protocol};
use taketurns::time::Now;

/// The number of turns after which buffers, queues and maps have reached their size.
const WARM_UP: usize = 500;
const TURNS: usize = 2_000;

fn server(framing: Option<Framing>) -> TurnServer {
    let mut config = TurnServerConfig::default();
    (config.framing, config.signal_gap) = (framing, Duration::ZERO);
    TurnServer::new(config, Box::new(|bytes| bytes.fill(7))).expect("a valid configuration")
}

#[test]
fn a_turn_of_scheduler_and_protocol_allocates_nothing() {
    for (framing, joins, answers) in [
        (Some(Framing::Raw), [""; 3], ["a:1", "b:2", "c:3"]),
        (
            Some(Framing::Line),
            ["JOIN a\n", "JOIN b\n", "JOIN c\n"],
            ["ANSWER :1\n", "ANSWER :sixteen bytes, 16\n", "ANSWER :twenty-two bytes of it\n"],
        ),
        (
            Some(Framing::Line),
            ["JOIN a\n", "JOIN b\n", "JOIN c\n"],
            ["ANSWER bytes=3\na\nb\n", "ANSWER :\n", "ANSWER :more than twenty-two bytes\n"],
        ),
        (None, ["JOIN a\n", "JOIN b\n", "JOIN c\n"], ["ANSWER :1\n"; 3]),
    ] {
        let now = Now::ORIGIN;
        let mut server = server(framing);
        let mut links = Links::new(64 * 1024);
        let ids = joins.map(|join| {
            let id = links.open(([127, 0, 0, 1], 9).into());
            server.handle_open(now, id, ([127, 0, 0, 1], 9).into(), Origin::Accepted, &mut links);
            server.handle_bytes(now, id, join.as_bytes(), &mut links);
            id
        });
        let flush = |links: &mut Links| {
            while let Some(id) = links.take_touched() {
                let count = links.unsent(id).len();
                links.consume(id, count);
            }
        };
        flush(&mut links);
        server.handle_flushed(now, &mut links);
        server.handle_timeout(now, &mut links);
        flush(&mut links);
        let mut play = |turns: usize| {
            for turn in 0..turns {
                server.handle_bytes(now, ids[turn % 3], answers[turn % 3].as_bytes(), &mut links);
                flush(&mut links);
                server.handle_flushed(now, &mut links);
                while server.poll_event().is_some() {}
            }
            server.counts().accepted
        };
        let before = play(3 * WARM_UP);
        let allocations =
            allocation_counter::measure(|| assert_eq!(play(3 * TURNS), before + 3 * TURNS as u64));
        assert_eq!(allocations.count_total, 0, "{framing:?}: {allocations:?}");
    }
}

#[test]
fn a_turn_over_sockets_allocates_nothing() {
    let mut poll = Poll::new().expect("a poll");
    let mut events = Events::with_capacity(64);
    let driver =
        Driver::new(poll.registry(), TokenSpace(1), server(Some(Framing::Raw)), DriverConfig::default());
    let mut driver = driver.expect("a driver");
    let addr = driver.listen(([127, 0, 0, 1], 0).into()).expect("port 0 is free");
    let mut pass = || {
        let timeout = Some(Duration::from_millis(10));
        poll.poll(&mut events, timeout).expect("a poll works");
        let now = now();
        events.iter().for_each(|event| driver.handle_event(now, event));
        driver.finish_batch(now).expect("events were taken");
        while driver.poll_event().is_some() {}
        driver.protocol().counts().accepted
    };
    let mut clients = [(); 2].map(|()| {
        let client = TcpStream::connect(addr).expect("the server listens");
        client.set_nodelay(true).expect("a TCP option");
        client.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket option");
        pass();
        client
    });
    // The second client's WAIT; the first one gets GO after it.
    let mut wait = [0; 4];
    clients.iter_mut().for_each(|client| client.read_exact(&mut wait).expect("WAIT"));

    let mut accepted = 0;
    let mut play = |turns: usize| {
        for turn in 0..turns {
            let client = &mut clients[turn % 2];
            let mut go = [0; 2];
            client.read_exact(&mut go).expect("GO");
            client.write_all(b"x:1").expect("the server is there");
            let before = accepted;
            while accepted == before {
                accepted = pass();
            }
        }
    };
    play(2 * WARM_UP);
    let allocations = allocation_counter::measure(|| play(2 * TURNS));
    assert_eq!(allocations.count_total, 0, "{allocations:?}");
}
