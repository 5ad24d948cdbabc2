//! The host's requests to the driver's sockets: several listeners, options, an address, actions between
//! passes.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use support::ms;
use taketurns::net::{DriverConfig, Error, now};
use taketurns::protocol::turns::Framing;

use crate::loopback::{Act, End, PATIENCE, Peer, Rig, Script, any_port};
use crate::servers::{answer, script, turn_server};

#[test]
fn a_client_on_each_of_several_listeners_takes_turns_in_one_ring() {
    let (mut rig, first) = Rig::listening(turn_server(Some(Framing::Raw)), DriverConfig::default());
    rig.note_of = answer;
    let second = rig.driver.listen_on(TcpListener::bind(any_port()).expect("port 0")).expect("it listens");
    let adopted_by = TcpListener::bind(any_port()).expect("port 0 is free");
    let third = adopted_by.local_addr().expect("bound");
    let (mut ann, _) = rig.meet(first);
    let (mut bob, _) = rig.meet(second);
    let mut cid = Peer::connect(third);
    let (socket, from) = adopted_by.accept().expect("it connected");
    let id = rig.driver.adopt(now(), socket).expect("connected");
    rig.hears(&mut cid, "WAIT");
    assert_eq!(rig.opened(from), Some(id));

    for round in 0..2 {
        for (at, peer) in [&mut ann, &mut bob, &mut cid].into_iter().enumerate() {
            rig.hears(peer, "GO");
            peer.take();
            peer.send(format!("{}:{round}", ["ann", "bob", "cid"][at]));
        }
    }
    rig.pass_until("six answers", |rig| rig.notes.len() == 6);
    assert_eq!(rig.notes, ["ann 0", "bob 0", "cid 0", "ann 1", "bob 1", "cid 1"]);
}

/// A request of the host between passes must not wait for an event that may never come.
#[test]
fn requests_between_passes_are_carried_out_without_an_event() {
    let mut rig = Rig::new(turn_server(Some(Framing::Raw)), DriverConfig::default());
    let listener = TcpListener::bind(any_port()).expect("port 0 is free");
    let mut peer = Peer::connect(listener.local_addr().expect("bound"));
    let (socket, _) = listener.accept().expect("it connected");
    rig.pass(ms(0));
    let id = rig.driver.adopt(now(), socket).expect("connected");
    let start = Instant::now();
    rig.pass(PATIENCE);
    assert!(start.elapsed() < PATIENCE / 2, "the pass was due");
    peer.pull();
    assert_eq!(peer.take(), "WAIT");

    rig.driver.drain(now());
    rig.pass(PATIENCE);
    assert!(start.elapsed() < PATIENCE / 2, "the pass was due");
    assert!(rig.is_closed(id) && rig.driver.is_drained());
}

/// The system counts keep-alive times in 15 bits of seconds, and user timeouts in 31 bits of milliseconds.
#[test]
fn times_that_the_system_cannot_represent_do_not_turn_clients_away() {
    let times = [Duration::ZERO, ms(1), Duration::from_secs(1), Duration::from_secs(32_768), Duration::MAX];
    for time in times {
        for config in [
            DriverConfig { keepalive: time, ..DriverConfig::default() },
            DriverConfig { user_timeout: time, ..DriverConfig::default() },
        ] {
            let (mut rig, addr) = script(config);
            let (mut peer, id) = rig.meet(addr);
            peer.send("here");
            rig.pass_until("it is heard", |rig| rig.driver.protocol().heard(id) == b"here");
            rig.driver.connect(now(), addr);
            rig.pass_until("both ends are there", |rig| rig.driver.protocol().opened.len() == 3);
        }
    }
}

/// A connection that is handed in has the same limits as one that is accepted.
#[test]
fn limits_apply_to_connections_that_are_handed_in() {
    let listener = TcpListener::bind(any_port()).expect("port 0 is free");
    let connected = || {
        let peer = Peer::connect(listener.local_addr().expect("bound"));
        (peer, listener.accept().expect("it connected").0)
    };
    let mut rig =
        Rig::new(Script::default(), DriverConfig { max_connections: Some(2), ..DriverConfig::default() });
    let (_first, socket) = connected();
    rig.driver.adopt(now(), socket).expect("there is room");
    let (last, socket) = connected();
    let id = rig.driver.adopt(now(), socket).expect("there is room");
    let (mut refused, socket) = connected();
    let error = rig.driver.adopt(now(), socket).expect_err("there is none");
    assert!(matches!(error, Error::Full), "{error}");
    assert_eq!((rig.ends(&mut refused), rig.driver.connections()), (End::Finished, 2));
    drop(last);
    rig.pass_until("there is room again", |rig| {
        rig.driver.protocol_mut().act(Act::Abort(id));
        rig.is_closed(id)
    });
    let (_third, socket) = connected();
    rig.driver.adopt(now(), socket).expect("there is room");
}

#[test]
fn a_draining_driver_refuses_connections_that_are_handed_in() {
    let mut rig = Rig::new(Script::default(), DriverConfig::default());
    rig.driver.drain(now());
    let listener = TcpListener::bind(any_port()).expect("port 0 is free");
    let addr = listener.local_addr().expect("bound");
    let _peer = Peer::connect(addr);
    let (socket, _) = listener.accept().expect("it connected");
    let refusals = [
        rig.driver.adopt(now(), socket).map(|_| ()),
        rig.driver.listen(any_port()).map(|_| ()),
        rig.driver.listen_on(listener).map(|_| ()),
    ];
    assert!(refusals.iter().all(|refusal| matches!(refusal, Err(Error::Draining))), "{refusals:?}");
    assert!(rig.driver.is_drained() && TcpStream::connect(addr).is_err(), "it was closed");
}

/// `[::]` means IPv6 only, whatever the system's default, so that both can be used.
#[test]
fn both_wildcards_can_be_listened_on_with_one_port() {
    let Ok(probe) = TcpListener::bind("[::1]:0") else { return };
    drop(probe);
    for order in
        [["0.0.0.0", "[::]"], ["[::]", "0.0.0.0"], ["[::ffff:0.0.0.0]", "[::]"], ["127.0.0.1", "[::]"]]
    {
        let at = |host: &str, port: u16| format!("{host}:{port}").parse().expect("an address");
        // Another program may happen to have the port of the other family.
        let both = (0..20).find_map(|_| {
            let mut rig = Rig::new(Script::default(), DriverConfig::default());
            let port = rig.driver.listen(at(order[0], 0)).expect("port 0 is free").port();
            rig.driver.listen(at(order[1], port)).ok().map(|_| (rig, port))
        });
        let (mut rig, port) = both.unwrap_or_else(|| panic!("{order:?}: not both"));
        for host in ["127.0.0.1", "[::1]"] {
            rig.meet(at(host, port));
        }
    }
}

#[test]
fn an_address_in_use_is_an_error_that_names_it() {
    let (rig, addr) = script(DriverConfig::default());
    let mut second = Rig::new(Script::default(), DriverConfig::default());
    let error = second.driver.listen(addr).expect_err("it is in use");
    assert!(matches!(error, Error::Listen { addr: at, .. } if at == addr), "{error}");
    drop(rig);
}
