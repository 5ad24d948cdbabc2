//! What a host asks of the driver's sockets: several listeners, options, an address, something between two passes.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use taketurns::net::{DriverConfig, Error, now};
use taketurns::protocol::turns::Framing;

use crate::loopback::{PATIENCE, Peer, Rig, Script, any_port};
use crate::servers::{answer, ms, script, turn_server};

#[test]
fn a_client_on_each_of_several_listeners_takes_turns_in_one_ring() {
    let (mut rig, first) = Rig::listening(turn_server(Framing::Raw), DriverConfig::default());
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

/// What the host asks between passes must not wait for an event that may never come.
#[test]
fn what_is_asked_between_passes_is_carried_out_without_an_event() {
    let mut rig = Rig::new(turn_server(Framing::Raw), DriverConfig::default());
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

#[test]
fn a_keep_alive_of_a_second_is_no_reason_to_turn_everybody_away() {
    let config = DriverConfig { keepalive: Duration::from_secs(1), ..DriverConfig::default() };
    let (mut rig, addr) = script(config);
    rig.meet(addr);
}

#[test]
fn an_address_in_use_is_an_error_that_names_it() {
    let (rig, addr) = script(DriverConfig::default());
    let mut second = Rig::new(Script::default(), DriverConfig::default());
    let error = second.driver.listen(addr).expect_err("it is in use");
    assert!(matches!(error, Error::Listen { addr: at, .. } if at == addr), "{error}");
    drop(rig);
}
