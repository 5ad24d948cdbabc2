//! Ends of streams: resets, half-closes, last words. Ends caused by a drain are in `drain.rs`.

use std::time::Instant;

use support::ms;
use taketurns::net::DriverConfig;
use taketurns::protocol::CloseReason;

use crate::loopback::{Act, End, PATIENCE, Rig, Script};
use crate::servers::{joined, line_server, pattern, script};

#[test]
fn a_reset_of_the_holder_passes_the_turn_in_the_same_pass() {
    let (mut rig, addr) = line_server();
    let mut ann = joined(&mut rig, addr, "ann");
    let mut bob = joined(&mut rig, addr, "bob");
    let mut cid = joined(&mut rig, addr, "cid");
    rig.hears(&mut ann, "GO turn=1");
    ann.reset();
    rig.pass(PATIENCE);
    bob.pull();
    assert!(bob.text().contains("GO turn=2"), "{}", bob.text());

    bob.send("ANSWER :5\n");
    bob.reset();
    rig.pass(PATIENCE);
    cid.pull();
    assert_eq!(rig.notes, ["bob 5"], "it was there before the reset");
}

#[test]
fn after_a_half_close_complete_messages_count_and_the_replies_arrive() {
    let (mut rig, addr) = line_server();
    let mut ann = joined(&mut rig, addr, "ann");
    let mut bob = joined(&mut rig, addr, "bob");
    rig.hears(&mut ann, "GO turn=1");
    ann.take();
    ann.send("PING\nANSWER turn=1 :1\nPING\nan incomplete li");
    ann.finish_sending();
    assert_eq!(rig.ends(&mut ann), End::Finished);
    assert!(ann.text().starts_with("PONG\nOK turn=1\nPONG\n"), "{}", ann.text());
    rig.hears(&mut bob, "WAIT");
    assert_eq!(rig.notes, ["ann 1"]);
    assert!(matches!(rig.closed()[..], [(_, CloseReason::Finished)]), "{:?}", rig.closed());
}

/// The read that is saved after a short one must not be saved if the event reports the end.
#[test]
fn an_end_of_stream_that_comes_with_data_is_not_missed() {
    let budget = 64;
    for length in [0, 1, budget - 1, budget, budget + 1, 2 * budget, 10 * budget + 3] {
        let config = DriverConfig { read_bytes_max: budget, ..DriverConfig::default() };
        let (mut rig, addr) = Rig::listening(Script::closing_at_end(), config);
        let (mut peer, id) = rig.meet(addr);
        let bytes = pattern(length);
        peer.send(&bytes);
        peer.finish_sending();
        assert_eq!(rig.ends(&mut peer), End::Finished);
        assert!(rig.driver.protocol().heard(id) == bytes, "all {length} bytes");
        assert_eq!(rig.driver.protocol().ended, [id]);
        assert_eq!(rig.closed(), [(id, CloseReason::Finished)]);
    }
}

/// As above, but the data and the end arrive in different passes; and also while more is unread than a pass
/// may read.
#[test]
fn an_end_of_stream_that_comes_after_data_is_not_missed() {
    let budget = 64;
    for length in [1, budget, 5 * budget] {
        let config = DriverConfig { read_bytes_max: budget, ..DriverConfig::default() };
        let (mut rig, addr) = Rig::listening(Script::closing_at_end(), config);
        let (mut peer, id) = rig.meet(addr);
        peer.send(pattern(length));
        rig.pass(PATIENCE);
        peer.finish_sending();
        assert_eq!(rig.ends(&mut peer), End::Finished);
        assert!(rig.driver.protocol().heard(id) == pattern(length), "all {length} bytes");
    }
}

#[test]
fn a_half_open_connection_can_still_be_written_to() {
    let (mut rig, addr) = script(DriverConfig::default());
    let (mut peer, id) = rig.meet(addr);
    peer.finish_sending();
    rig.pass_until("the end", |rig| rig.driver.protocol().ended == [id]);
    assert!(rig.idle(ms(50)) <= 2, "nothing spins on it");
    rig.driver.protocol_mut().act(Act::Send(id, b"still here".to_vec()));
    rig.hears(&mut peer, "still here");
    rig.driver.protocol_mut().act(Act::Close(id));
    assert_eq!(rig.ends(&mut peer), End::Finished);
    assert!(rig.is_closed(id), "it has nothing to linger for");
}

/// A7: a close with unread input would reset the connection, and the peer might never read the reason.
#[test]
fn last_words_are_heard_although_input_is_unread() {
    let config = DriverConfig { read_bytes_max: 1000, linger_timeout: ms(1200), ..DriverConfig::default() };
    let (mut rig, addr) = script(config);
    let (mut peer, id) = rig.meet(addr);
    peer.offer(&pattern(100_000));
    rig.driver.protocol_mut().act(Act::Send(id, b"BYE".to_vec()));
    rig.driver.protocol_mut().act(Act::Close(id));
    let start = Instant::now();
    // The peer continues to send, and reads late, but well before the linger ends, even on a busy machine.
    rig.pass_until("closed", |rig| {
        peer.offer(&[7; 500]);
        rig.is_closed(id) || start.elapsed() > ms(75)
    });
    assert!(!rig.is_closed(id), "after {:?}", start.elapsed());
    assert_eq!(rig.ends(&mut peer), End::Finished);
    assert_eq!(peer.take(), "BYE");

    rig.pass_until("closed", |rig| rig.is_closed(id));
    assert!(start.elapsed() >= ms(1200), "it had its time: {:?}", start.elapsed());
}

#[test]
fn a_peer_that_closes_after_the_last_words_is_not_lingered_for() {
    let config = DriverConfig { linger_timeout: PATIENCE * 10, ..DriverConfig::default() };
    let (mut rig, addr) = script(config);
    let (mut peer, id) = rig.meet(addr);
    rig.driver.protocol_mut().act(Act::Send(id, b"BYE".to_vec()));
    rig.driver.protocol_mut().act(Act::Close(id));
    assert_eq!(rig.ends(&mut peer), End::Finished);
    drop(peer);
    rig.pass_until("closed", |rig| rig.is_closed(id));
}

/// A read stops before urgent data, so it is short although more follows. The urgent byte itself is not part
/// of the stream.
#[test]
fn bytes_after_urgent_data_are_read() {
    for (before, after) in [(0, 5), (5, 5), (100, 5), (5, 100), (5, 0)] {
        let config = DriverConfig { read_bytes_max: 64, ..DriverConfig::default() };
        let (mut rig, addr) = Rig::listening(Script::closing_at_end(), config);
        let (mut peer, id) = rig.meet(addr);
        for _ in 0..3 {
            peer.send(vec![b'.'; before]);
            peer.send_urgent(b"!");
            peer.send(vec![b'.'; after]);
            let all = rig.driver.protocol().heard(id).len() + before + after;
            rig.pass_until("all is read", |rig| rig.driver.protocol().heard(id).len() == all);
        }
        assert!(rig.idle(ms(20)) <= 1, "urgent data that was read past makes no pass");
        peer.send_urgent(b"!");
        peer.send("the end");
        peer.finish_sending();
        assert_eq!(rig.ends(&mut peer), End::Finished);
        assert!(rig.driver.protocol().heard(id).ends_with(b".the end"));
    }
}

#[test]
fn an_answer_after_urgent_data_counts() {
    let (mut rig, addr) = line_server();
    let mut ann = joined(&mut rig, addr, "ann");
    let mut bob = joined(&mut rig, addr, "bob");
    rig.hears(&mut ann, "GO turn=1");
    ann.send("PING\n");
    ann.send_urgent(b"!");
    ann.send("ANSWER :1\n");
    rig.pass(PATIENCE);
    assert_eq!(rig.notes, ["ann 1"]);
    rig.hears(&mut bob, "GO turn=2");
}
