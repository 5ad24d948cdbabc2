//! A drain ends even if some clients neither answer nor read. The loop's part is tested in `event_loop.rs`.

use std::net::TcpStream;
use std::time::Instant;

use support::ms;
use taketurns::net::{DriverConfig, now};
use taketurns::protocol::turns::{Framing, TurnServer};

use crate::loopback::{PATIENCE, Peer, Rig};
use crate::servers::{joined, script, small_listener, turn_server};

/// Without the drain, a peer that does not read would be waited for longer than a test waits.
fn config() -> DriverConfig {
    DriverConfig { linger_timeout: ms(100), stall_timeout: Some(PATIENCE * 2), ..DriverConfig::default() }
}

/// G8, T32.
#[test]
fn a_drain_ends_although_the_holder_never_answers_and_a_peer_never_reads() {
    let (mut rig, addr) = Rig::listening(turn_server(Some(Framing::Line)), config());
    let small = rig.driver.listen_on(small_listener()).expect("it listens");
    let mut holder = joined(&mut rig, addr, "ann");
    let mut other = joined(&mut rig, addr, "bob");
    let mut deaf = Peer::with_small_buffers(small);
    let id = rig.accepted(&deaf);
    rig.hears(&mut holder, "GO turn=1");
    fill(&mut rig, &mut deaf);
    assert!(!rig.is_closed(id));

    let start = Instant::now();
    rig.driver.drain(now());
    rig.pass_until("drained", |rig| rig.driver.is_drained());
    assert!(start.elapsed() >= ms(200), "the holder had its time: {:?}", start.elapsed());
    for peer in [&mut holder, &mut other] {
        peer.pull();
        assert!(
            peer.text().ends_with("BYE shutting-down the server stops\n")
                || peer.text().contains("BYE shutting-down")
        );
    }
    let refused = TcpStream::connect_timeout(&addr, PATIENCE);
    assert!(refused.is_err(), "no client is accepted any more");
}

/// Sends requests without reading the replies, until some wait in the driver.
fn fill(rig: &mut Rig<TurnServer>, deaf: &mut Peer) {
    let before = rig.driver.counts();
    let replies = |rig: &Rig<TurnServer>| {
        let now = rig.driver.counts();
        let pings = (now.bytes_in - before.bytes_in) / 5;
        pings * 5 - (now.bytes_out - before.bytes_out)
    };
    rig.pass_until("replies wait", |rig| {
        deaf.offer(&b"PING\n".repeat(200));
        replies(rig) > 8_000
    });
    assert!(replies(rig) < 60_000, "not so many that it is given up");
}

/// It was already being closed when the drain began, with the whole stall timeout ahead.
#[test]
fn a_drain_does_not_wait_for_a_slow_reader_that_was_being_closed_before() {
    let mut rig = Rig::new(turn_server(Some(Framing::Line)), config());
    let addr = rig.driver.listen_on(small_listener()).expect("it listens");
    let mut deaf = Peer::with_small_buffers(addr);
    let id = rig.accepted(&deaf);
    fill(&mut rig, &mut deaf);
    deaf.send("JOIN ann\nLEAVE\n");
    let before = rig.driver.counts().bytes_in;
    rig.pass_until("it has left", |rig| rig.driver.counts().bytes_in > before);
    assert!(!rig.is_closed(id));

    rig.driver.drain(now());
    rig.pass_until("drained", |rig| rig.driver.is_drained());
}

#[test]
fn a_drain_without_connections_is_over_at_once() {
    let (mut rig, _) = script(DriverConfig::default());
    assert!(!rig.driver.is_drained());
    rig.driver.drain(now());
    assert!(rig.driver.is_drained());
}
