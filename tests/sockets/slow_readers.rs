//! Peers that do not read, or slowly: what is queued for them is bounded, and they are given up in time.

use std::time::Instant;

use taketurns::net::DriverConfig;
use taketurns::protocol::CloseReason;

use crate::loopback::{Act, End, PATIENCE, Peer, Rig, Script};
use crate::servers::{ms, pattern, script, small_listener};

#[test]
fn a_peer_that_does_not_read_is_closed_at_its_cap_and_nobody_else_is_slower() {
    let (mut rig, addr) = script(DriverConfig::default());
    let silent = Peer::with_small_buffers(addr);
    let flooded = rig.accepted(&silent);
    let (mut quiet, id) = rig.meet(addr);
    rig.driver.protocol_mut().when_told("ping", [Act::Send(id, b"pong".to_vec())]);

    for round in 0.. {
        assert!(round < 10_000, "40 MB are queued for a peer that does not read");
        rig.driver.protocol_mut().act(Act::Send(flooded, vec![7; 4096]));
        quiet.send("ping");
        rig.pass(PATIENCE);
        quiet.pull();
        assert_eq!(quiet.take(), "pong", "answered in the same pass");
        if rig.is_closed(flooded) {
            break;
        }
    }
    assert_eq!(rig.closed(), [(flooded, CloseReason::SlowReader)]);
    assert_eq!(rig.driver.counts().slow_readers, 1);
}

#[test]
fn a_peer_that_reads_slowly_gets_every_byte_in_order() {
    let config = DriverConfig { out_bytes_max: 4 << 20, ..DriverConfig::default() };
    let mut rig = Rig::new(Script::default(), config);
    let addr = rig.driver.listen_on(small_listener()).expect("it listens");
    let mut peer = Peer::with_small_buffers(addr);
    let id = rig.accepted(&peer);
    let bytes = pattern(1 << 20);
    rig.driver.protocol_mut().act(Act::Send(id, bytes.clone()));
    rig.driver.protocol_mut().act(Act::Close(id));
    rig.pass_until("the end of the stream", |_| {
        peer.pull_some(3001);
        peer.end.is_some()
    });
    assert_eq!(peer.end, Some(End::Finished));
    assert!(peer.got == bytes, "{} of {} bytes, or others", peer.got.len(), bytes.len());
    assert_eq!(rig.driver.counts().bytes_out, 1 << 20);
}

#[test]
fn a_peer_that_takes_nothing_for_the_stall_timeout_is_closed() {
    let config = DriverConfig { stall_timeout: ms(150), ..DriverConfig::default() };
    let mut rig = Rig::new(Script::default(), config);
    let addr = rig.driver.listen_on(small_listener()).expect("it listens");
    let peer = Peer::with_small_buffers(addr);
    let id = rig.accepted(&peer);
    let start = Instant::now();
    rig.driver.protocol_mut().act(Act::Send(id, vec![7; 60_000]));
    rig.pass_until("closed", |rig| rig.is_closed(id));
    assert!(start.elapsed() >= ms(150), "{:?}", start.elapsed());
    assert_eq!(rig.closed(), [(id, CloseReason::SlowReader)]);
}

#[test]
fn progress_starts_the_stall_timeout_again() {
    let config = DriverConfig { stall_timeout: ms(400), ..DriverConfig::default() };
    let mut rig = Rig::new(Script::default(), config);
    let addr = rig.driver.listen_on(small_listener()).expect("it listens");
    let mut peer = Peer::with_small_buffers(addr);
    let id = rig.accepted(&peer);
    rig.driver.protocol_mut().act(Act::Send(id, vec![7; 60_000]));
    let start = Instant::now();
    // All in all it takes three times as long as it may take nothing.
    while peer.got.len() < 60_000 && start.elapsed() < PATIENCE {
        rig.pass(ms(0));
        let due = start + ms(1200).mul_f64(peer.got.len() as f64 / 60_000.0);
        rig.pass_until("time to read on", |_| Instant::now() >= due);
        assert!(!rig.is_closed(id), "closed after {} bytes in {:?}", peer.got.len(), start.elapsed());
        peer.pull_some(2000);
    }
    assert_eq!(peer.got.len(), 60_000);
    rig.idle(ms(500));
    assert!(!rig.is_closed(id), "nothing is queued for it");
}
