//! Limits and times at their largest and smallest: each either works or is an error that names the problem.

use std::time::Duration;

use taketurns::net::{Driver, DriverConfig, Error, TokenSpace, now, os_entropy};
use taketurns::protocol::Protocol;
use taketurns::protocol::counter::{CounterServer, CounterServerConfig};
use taketurns::protocol::echo::{EchoServer, EchoServerConfig};
use taketurns::protocol::turns::{Framing, TurnServer, TurnServerConfig};

use crate::loopback::Rig;
use crate::servers::turn_server;

/// Returns the field of the driver's configuration that is too small for a protocol.
fn too_small(protocol: impl Protocol) -> &'static str {
    let poll = taketurns::mio::Poll::new().expect("a poll");
    match Driver::new(poll.registry(), TokenSpace(1), protocol, DriverConfig::default()) {
        Err(Error::Buffer(error)) => {
            assert_eq!(error.least, usize::MAX);
            error.buffer
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_without_a_limit_are_an_error() {
    for keep_open in [false, true] {
        let config =
            EchoServerConfig { message_bytes_max: usize::MAX, keep_open, ..EchoServerConfig::default() };
        assert_eq!(too_small(EchoServer::new(config, Box::new(|_| String::new()))), "in_bytes_max");
    }
    let config = CounterServerConfig { message_bytes_max: usize::MAX, ..CounterServerConfig::default() };
    assert_eq!(too_small(CounterServer::new(config, os_entropy())), "in_bytes_max");
    let set: [fn(&mut TurnServerConfig); 2] =
        [|config| config.answer_bytes_max = usize::MAX, |config| config.raw_bytes_max = usize::MAX];
    for set in set {
        let mut config = TurnServerConfig::default();
        set(&mut config);
        let server = TurnServer::new(config, os_entropy()).expect("limits that fit each other");
        assert_eq!(too_small(server), "in_bytes_max");
    }
}

/// A driver without limits accepts protocols without limits, and a peer can announce any size.
#[test]
fn no_limit_at_all_is_no_panic() {
    let any =
        || DriverConfig { in_bytes_max: usize::MAX, out_bytes_max: usize::MAX, ..DriverConfig::default() };
    let mut config = TurnServerConfig::default();
    (config.answer_bytes_max, config.raw_bytes_max) = (usize::MAX, usize::MAX);
    let server = TurnServer::new(config, os_entropy()).expect("limits that fit each other");
    let (mut rig, addr) = Rig::listening(server, any());
    let (mut peer, _) = rig.meet(addr);
    peer.send(format!("JOIN ann\nANSWER bytes={}\nPING\n", usize::MAX));
    rig.hears(&mut peer, "NO not-your-turn");

    let config =
        EchoServerConfig { message_bytes_max: usize::MAX, keep_open: true, ..EchoServerConfig::default() };
    let (mut rig, addr) = Rig::listening(EchoServer::new(config, Box::new(|_| "now".to_owned())), any());
    let (mut peer, _) = rig.meet(addr);
    peer.send("half a line\r");
    rig.pass(Duration::ZERO);
    peer.send("\n");
    rig.hears(&mut peer, "half a line");

    let config = CounterServerConfig { message_bytes_max: usize::MAX, ..CounterServerConfig::default() };
    let (mut rig, addr) = Rig::listening(CounterServer::new(config, os_entropy()), any());
    let (mut peer, _) = rig.meet(addr);
    peer.send("17 5 ");
    rig.hears(&mut peer, "0");
}

#[test]
fn the_longest_message_that_fits_a_driver_is_echoed() {
    let message_bytes_max = DriverConfig::default().in_bytes_max - 64;
    for keep_open in [false, true] {
        let config = EchoServerConfig { message_bytes_max, keep_open, ..EchoServerConfig::default() };
        let echo = EchoServer::new(config, Box::new(|_| "now".to_owned()));
        let (mut rig, addr) = Rig::listening(echo, DriverConfig::default());
        let (mut peer, _) = rig.meet(addr);
        let line = format!("{}\n", "x".repeat(message_bytes_max));
        let mut sent = 0;
        rig.pass_until("all of it", |_| {
            sent += peer.offer(&line.as_bytes()[sent..]);
            peer.pull();
            peer.got.len() > message_bytes_max
        });
        assert!(peer.text().trim_end().ends_with(&line[..message_bytes_max]));
    }
}

#[test]
fn limits_and_times_of_a_driver_may_have_any_value() {
    let set: [fn(&mut DriverConfig); 22] = [
        |config| config.read_bytes_max = 0,
        |config| config.pass_read_bytes_max = 0,
        |config| config.pass_read_bytes_max = usize::MAX,
        |config| config.in_bytes_max = usize::MAX,
        |config| config.out_bytes_max = usize::MAX,
        |config| config.queued_bytes_max = usize::MAX,
        |config| config.stall_timeout = Some(Duration::ZERO),
        |config| config.accepts_max = 0,
        |config| config.accepts_max = usize::MAX,
        |config| config.max_connections = Some(usize::MAX),
        |config| config.backlog = -1,
        |config| config.backlog = i32::MAX,
        |config| config.stall_timeout = Some(Duration::MAX),
        |config| config.linger_timeout = Duration::ZERO,
        |config| (config.connect_timeout_min, config.connect_timeout_max) = (Duration::MAX, Duration::MAX),
        |config| config.busy_poll = Duration::MAX,
        |config| (config.accept_backoff_min, config.accept_backoff_max) = (Duration::MAX, Duration::MAX),
        |config| (config.accept_backoff_min, config.accept_backoff_max) = (Duration::ZERO, Duration::ZERO),
        |config| (config.reconnect_min, config.reconnect_max) = (Duration::MAX, Duration::MAX),
        |config| (config.reconnect_min, config.reconnect_max) = (Duration::MAX, Duration::ZERO),
        |config| config.keepalive = Duration::MAX,
        |config| config.user_timeout = Duration::MAX,
    ];
    for (nth, set) in set.into_iter().enumerate() {
        let mut config = DriverConfig::default();
        set(&mut config);
        let (mut rig, addr) = Rig::listening(turn_server(Some(Framing::Line)), config);
        let (mut peer, _) = rig.meet(addr);
        peer.send("JOIN ann\nPING\n");
        rig.hears(&mut peer, "PONG");
        rig.driver.connect(now(), crate::servers::silent_port().1);
        rig.pass(Duration::ZERO);
        let late = crate::loopback::Peer::connect(addr);
        rig.driver.drain(now());
        drop(late);
        rig.hears(&mut peer, "BYE shutting-down");
        drop(peer);
        rig.pass_until("drained", |rig| rig.driver.is_drained());
        assert!(rig.driver.counts().accepted >= 1, "{nth}");
    }
}

#[test]
fn times_of_a_turn_server_may_have_any_value() {
    for time in [Duration::ZERO, Duration::MAX] {
        let mut config = TurnServerConfig::default();
        config.framing = Some(Framing::Line);
        config.rules.min_seats = 1;
        config.drain_timeout = time;
        config.rules.seat_grace = time;
        config.rules.turn_grace = time;
        if !time.is_zero() {
            config.rules.turn_deadline = time;
            config.hello_timeout = time;
            config.line_timeout = time;
        }
        let server = TurnServer::new(config, os_entropy()).expect("limits that fit each other");
        let (mut rig, addr) = Rig::listening(server, DriverConfig::default());
        let (mut peer, _) = rig.meet(addr);
        peer.send("JOIN ann\n");
        rig.hears(&mut peer, "GO turn=1");
        peer.send("ANSWER :1\nLEAVE\n");
        rig.hears(&mut peer, "BYE left");
    }
}
