//! Peers that read slowly or not at all: their queues are bounded, and they are closed in time.

use std::time::Instant;

use support::ms;
use taketurns::net::{DriverConfig, os_entropy};
use taketurns::protocol::CloseReason;
use taketurns::protocol::echo::{EchoServer, EchoServerConfig};
use taketurns::protocol::turns::{Framing, TurnServer, TurnServerConfig};

use crate::loopback::{Act, End, PATIENCE, Peer, Rig, Script, any_port};
use crate::servers::{joined, line_server, pattern, script, small_listener};

#[test]
fn a_peer_that_does_not_read_is_closed_at_its_limit_and_delays_no_other() {
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

/// One packet of a holder ends hundreds of turns, and each is reported to the observer before it can read any
/// of them.
#[test]
fn an_observer_that_reads_is_told_about_every_turn_that_one_packet_ends() {
    let mut config = TurnServerConfig::default();
    config.framing = Some(Framing::Line);
    config.rules.min_seats = 1;
    let server = TurnServer::new(config, os_entropy()).expect("limits that fit each other");
    let (mut rig, addr) = Rig::listening(server, DriverConfig::default());
    let (mut observer, id) = rig.meet(addr);
    observer.send("WATCH\n");
    rig.hears(&mut observer, "WATCHING");
    let mut holder = joined(&mut rig, addr, &"x".repeat(64));
    holder.send("PASS\n".repeat(819));
    rig.pass_until("the last turn is told, or nothing more", |rig| {
        observer.pull();
        observer.text().contains(" turn=819 how=passed") || rig.is_closed(id)
    });
    assert_eq!(observer.text().matches("SKIP").count(), 819);
    assert_eq!(rig.driver.counts().slow_readers, 0);
}

/// A line of one byte is refused with forty. The replies to one packet are several times what may be queued
/// for a peer.
#[test]
fn a_client_that_reads_gets_every_reply_even_beyond_its_queue_limit() {
    let (mut rig, addr) = line_server();
    let mut greedy = joined(&mut rig, addr, "ann");
    greedy.take();
    for round in 1..=4 {
        greedy.send([b'\n'; 4096]);
        rig.pass_until("all replies of this packet", |rig| {
            greedy.pull();
            greedy.text().matches("NO malformed").count() == round * 4096 || !rig.closed().is_empty()
        });
    }
    assert!(rig.closed().is_empty(), "{:?}", rig.closed());
}

/// L6: the first line may be a typing error of a person at a terminal. A packet full of such lines gets two
/// replies.
#[test]
fn a_newcomer_is_closed_at_its_second_malformed_line() {
    let (mut rig, addr) = line_server();
    let (mut greedy, _) = rig.meet(addr);
    greedy.send([b'\n'; 4096]);
    assert_eq!(rig.ends(&mut greedy), End::Finished);
    let heard = greedy.take();
    assert!(heard.starts_with("NO malformed") && heard.lines().count() == 2, "{heard}");
    assert!(heard.lines().nth(1).is_some_and(|line| line.starts_with("BYE malformed")), "{heard}");
}

/// It sends 150,000 empty lines at once, and reads the answers: 6 MB.
#[test]
fn an_echo_client_that_reads_gets_an_answer_to_each_of_150000_lines() {
    let config = EchoServerConfig { keep_open: true, ..EchoServerConfig::default() };
    let server = EchoServer::new(config, Box::new(|_| "2026-11-21 16:00:00".to_owned()));
    let (mut rig, addr) = Rig::listening(server, DriverConfig::default());
    let (mut peer, id) = rig.meet(addr);
    let lines = vec![b'\n'; 150_000];
    let (mut sent, mut answers) = (0, 0);
    rig.pass_until("all is answered", |rig| {
        sent += peer.offer(&lines[sent..]);
        peer.pull();
        answers += peer.take().matches('\n').count();
        answers == lines.len() || rig.is_closed(id)
    });
    assert!(!rig.is_closed(id) && rig.driver.counts().slow_readers == 0);
}

/// Its answers are not read, so it is not read either, and its queue stays bounded. It may be busy, and is
/// not closed for that.
#[test]
fn an_echo_client_that_does_not_read_is_not_read_and_gets_all_answers_when_it_does() {
    let config = EchoServerConfig { keep_open: true, ..EchoServerConfig::default() };
    let server = EchoServer::new(config, Box::new(|_| "2026-11-21 16:00:00".to_owned()));
    let (mut rig, addr) = Rig::listening(server, DriverConfig::default());
    let (mut peer, id) = rig.meet(addr);
    let lines = vec![b'\n'; 150_000];
    let mut sent = 0;
    let mut quiet_since = Instant::now();
    rig.pass_until("nothing more is read", |rig| {
        let before = rig.driver.counts().bytes_in;
        sent += peer.offer(&lines[sent..]);
        rig.pass(ms(0));
        if rig.driver.counts().bytes_in > before {
            quiet_since = Instant::now();
        }
        quiet_since.elapsed() > ms(300)
    });
    let heard = rig.driver.counts().bytes_in;
    assert!(heard < 50_000, "{heard} lines were read");
    let mut answers = 0;
    rig.pass_until("all is answered", |rig| {
        sent += peer.offer(&lines[sent..]);
        peer.pull();
        answers += peer.take().matches('\n').count();
        answers == lines.len() || rig.is_closed(id)
    });
    assert!(!rig.is_closed(id) && rig.driver.counts().slow_readers == 0);
}

/// Each of many peers sends little, but all of it is for one peer, which reads.
#[test]
fn a_reader_is_not_closed_for_what_many_peers_send_it_in_one_pass() {
    let (mut rig, addr) = script(DriverConfig::default());
    let (mut quiet, id) = rig.meet(addr);
    let mut loud: Vec<_> = (0..120).map(|_| rig.meet(addr).0).collect();
    rig.driver.protocol_mut().when_told("x", [Act::Send(id, pattern(1024))]);
    for round in 1..=2 {
        loud.iter_mut().for_each(|peer| peer.send("x"));
        rig.pass_until("all is heard, or nothing more", |rig| {
            quiet.pull();
            quiet.got.len() == round * loud.len() * 1024 || rig.is_closed(id)
        });
    }
    assert!(!rig.is_closed(id));
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

/// The system would end a connection that has accepted nothing for 4 s, even though it acknowledges all the
/// time. (It acknowledges only one probe per half second, so a shorter time would prove nothing.)
#[test]
#[cfg(target_os = "linux")]
fn a_peer_that_reads_nothing_for_longer_than_the_user_timeout_is_not_gone() {
    let config = DriverConfig { user_timeout: ms(4000), ..DriverConfig::default() };
    let mut rig = Rig::new(Script::default(), config);
    let small = rig.driver.listen_on(small_listener()).expect("it listens");
    let usual = rig.driver.listen(any_port()).expect("port 0 is free");
    // Most bytes for the first peer wait in the driver; all bytes for the second wait in the system, where
    // the driver does not see them.
    let mut peers = [(small, 60_000), (usual, 8_000)].map(|(addr, length)| {
        let peer = Peer::with_small_buffers(addr);
        let id = rig.accepted(&peer);
        rig.driver.protocol_mut().act(Act::Send(id, vec![7; length]));
        (peer, id, length)
    });
    rig.idle(ms(9000));
    for (peer, id, length) in &mut peers {
        assert!(!rig.is_closed(*id), "{length}: {:?}", rig.closed());
        rig.pass_until("all is read", |_| {
            peer.pull();
            peer.got.len() == *length
        });
    }
    // It is over, and nothing wakes the loop any more.
    rig.idle(ms(4500));
    assert_eq!(rig.driver.next_deadline(), None);
}

#[test]
fn a_peer_that_takes_nothing_for_the_stall_timeout_is_closed() {
    let config = DriverConfig { stall_timeout: Some(ms(150)), ..DriverConfig::default() };
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
    let config = DriverConfig { stall_timeout: Some(ms(800)), ..DriverConfig::default() };
    let mut rig = Rig::new(Script::default(), config);
    let addr = rig.driver.listen_on(small_listener()).expect("it listens");
    let mut peer = Peer::with_small_buffers(addr);
    let id = rig.accepted(&peer);
    rig.driver.protocol_mut().act(Act::Send(id, vec![7; 60_000]));
    let start = Instant::now();
    // In total this takes three times the stall timeout.
    while peer.got.len() < 60_000 && start.elapsed() < PATIENCE {
        rig.pass(ms(0));
        let due = start + ms(2400).mul_f64(peer.got.len() as f64 / 60_000.0);
        rig.pass_until("time to read on", |_| Instant::now() >= due);
        assert!(!rig.is_closed(id), "closed after {} bytes in {:?}", peer.got.len(), start.elapsed());
        peer.pull_some(2000);
    }
    assert_eq!(peer.got.len(), 60_000);
    rig.idle(ms(900));
    assert!(!rig.is_closed(id), "nothing is queued for it");
}
