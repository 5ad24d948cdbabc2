//! The driver on real sockets: what faults do to it, over 127.0.0.1.
//!
//! Nearly every test is one thread that makes the driver's passes by hand, so that it knows what one pass finds. What needs
//! no socket (which turn, which reply) is tested on the protocol; what needs a program, in `examples.rs`.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests use the real clock and threads"
)]

mod support {
    pub mod loopback;
    pub mod proxy;
}

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use support::loopback::{Act, End, PATIENCE, Peer, Rig, Script, any_port};
use support::proxy::Proxy;
use taketurns::net::{DriverConfig, Error, Event, EventLoop, Target, now, os_entropy};
use taketurns::protocol::turns::{Framing, TurnEvent, TurnServer, TurnServerConfig};
use taketurns::protocol::{CloseReason, ConnectionId};

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn turn_server(framing: Framing) -> TurnServer {
    let config = TurnServerConfig { framing, drain_timeout: ms(200), ..TurnServerConfig::default() };
    TurnServer::new(config, os_entropy())
}

fn line_server() -> (Rig<TurnServer>, SocketAddr) {
    let config = DriverConfig { linger_timeout: ms(100), ..DriverConfig::default() };
    Rig::listening(turn_server(Framing::Line), config)
}

fn script(config: DriverConfig) -> (Rig<Script>, SocketAddr) {
    Rig::listening(Script::default(), config)
}

/// A seat under `name`.
fn joined(rig: &mut Rig<TurnServer>, addr: SocketAddr, name: &str) -> Peer {
    let (mut peer, _) = rig.meet(addr);
    peer.send(format!("JOIN {name}\n"));
    rig.hears(&mut peer, "WELCOME");
    peer
}

/// A listening socket for which the system keeps little of what is written to its connections.
fn small_listener() -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_send_buffer_size(4096).expect("a size");
    socket.bind(&any_port().into()).expect("port 0 is free");
    socket.listen(128).expect("bound");
    socket.into()
}

/// A port that is taken, but refuses connections until it is made to listen.
fn silent_port() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&any_port().into()).expect("port 0 is free");
    let addr = socket.local_addr().ok().and_then(|addr| addr.as_socket()).expect("bound");
    (socket, addr)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).expect("small")).collect()
}

// ---- what belongs to one connection never acts on another ---------------------------------------------------------

/// mio promises only that *later* polls bring no event for a source that was deregistered. Where a slot is used again within
/// the batch, B's hang-up closes C.
#[test]
fn a_hang_up_of_a_kicked_client_does_not_hit_the_one_that_was_accepted_in_the_same_batch() {
    let (mut rig, addr) = script(DriverConfig::default());
    let (mut a, _) = rig.meet(addr);
    let (mut b, kicked) = rig.meet(addr);
    rig.driver.protocol_mut().when_told("kick", [Act::Abort(kicked)]);

    a.send("kick");
    let mut c = Peer::connect(addr);
    b.send("last words");
    b.reset();
    rig.pass(PATIENCE);
    let newcomer = rig.opened(c.local_addr()).expect("accepted in the same pass");
    assert!(rig.is_closed(kicked), "closed in the same pass");

    // The slot of B is used again from now on.
    let (mut d, last) = rig.meet(addr);
    for (peer, id) in [(&mut c, newcomer), (&mut d, last)] {
        peer.send("alive");
        rig.pass_until("heard", |rig| rig.driver.protocol().heard(id) == b"alive");
    }
    assert_eq!(rig.driver.connections(), 3);
}

#[test]
fn a_client_that_is_superseded_and_hangs_up_does_not_take_a_newcomer_with_it() {
    let (mut rig, addr) = line_server();
    let mut old = joined(&mut rig, addr, "ann");
    let secret = old.field("resume");
    let (mut new, _) = rig.meet(addr);

    new.send(format!("JOIN ann resume={secret}\n"));
    let mut newcomer = Peer::connect(addr);
    old.send("PING\n");
    old.finish_sending();
    rig.pass(PATIENCE);
    newcomer.send("JOIN bob\n");
    rig.hears(&mut newcomer, "WELCOME");
    rig.hears(&mut new, "WELCOME");
    assert_eq!(rig.ends(&mut old), End::Finished);
    new.send("PING\n");
    rig.hears(&mut new, "PONG");
}

#[test]
fn a_client_that_comes_back_before_its_old_end_is_noticed_takes_its_seat_with_the_secret() {
    let (mut rig, addr) = line_server();
    let mut old = joined(&mut rig, addr, "ann");
    let mut other = joined(&mut rig, addr, "bob");
    rig.hears(&mut old, "GO turn=1");
    let secret = old.field("resume");

    let (mut thief, _) = rig.meet(addr);
    thief.send("JOIN ann\n");
    rig.hears(&mut thief, "BYE name-taken");
    let (mut new, _) = rig.meet(addr);
    new.send(format!("JOIN ann resume={secret}\n"));
    rig.hears(&mut new, "GO turn=1");
    rig.hears(&mut old, "BYE superseded");
    old.send("ann:9 turn=1\n");
    old.finish_sending();
    assert_eq!(rig.ends(&mut old), End::Finished);
    new.send("ann:1 turn=1\n");
    rig.hears(&mut new, "OK turn=1");
    rig.hears(&mut other, "GO turn=2");
    assert_eq!(numbers(&rig), [("ann".to_owned(), 1)]);
}

fn numbers(rig: &Rig<TurnServer>) -> Vec<(String, i64)> {
    let accepted = |event: &Event<TurnEvent>| match event {
        Event::Protocol(TurnEvent::Accepted { name, number, .. }) => Some((name.to_string(), *number)),
        _ => None,
    };
    rig.log.iter().filter_map(accepted).collect()
}

// ---- peers that do not read ----------------------------------------------------------------------------------------

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

// ---- ends of streams -----------------------------------------------------------------------------------------------

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

    bob.send("bob:5\n");
    bob.reset();
    rig.pass(PATIENCE);
    cid.pull();
    assert_eq!(numbers(&rig), [("bob".to_owned(), 5)], "it was there before the reset");
}

#[test]
fn after_a_half_close_complete_messages_count_and_the_replies_arrive() {
    let (mut rig, addr) = line_server();
    let mut ann = joined(&mut rig, addr, "ann");
    let mut bob = joined(&mut rig, addr, "bob");
    rig.hears(&mut ann, "GO turn=1");
    ann.take();
    ann.send("PING\nann:1 turn=1\nPING\nan incomplete li");
    ann.finish_sending();
    assert_eq!(rig.ends(&mut ann), End::Finished);
    assert!(ann.text().starts_with("PONG\nOK turn=1\nPONG\n"), "{}", ann.text());
    rig.hears(&mut bob, "WAIT");
    assert_eq!(numbers(&rig), [("ann".to_owned(), 1)]);
    assert!(matches!(rig.closed()[..], [(_, CloseReason::Finished)]), "{:?}", rig.closed());
}

/// The read that is saved after a short one must not be saved when the event tells of the end.
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

/// As above, but one pass finds the data and another the end; and both while more than a pass's budget is unread.
#[test]
fn an_end_of_stream_that_comes_behind_data_is_not_missed() {
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

/// A7: a close with unread input would reset the connection, and the peer might never read why.
#[test]
fn last_words_are_heard_although_input_is_unread() {
    let config = DriverConfig { read_bytes_max: 1000, linger_timeout: ms(150), ..DriverConfig::default() };
    let (mut rig, addr) = script(config);
    let (mut peer, id) = rig.meet(addr);
    peer.offer(&pattern(100_000));
    rig.driver.protocol_mut().act(Act::Send(id, b"BYE".to_vec()));
    rig.driver.protocol_mut().act(Act::Close(id));
    let start = Instant::now();
    // The peer goes on sending, and reads late.
    rig.pass_until("closed", |rig| {
        peer.offer(&[7; 500]);
        rig.is_closed(id) || start.elapsed() > ms(75)
    });
    assert!(!rig.is_closed(id), "after {:?}", start.elapsed());
    assert_eq!(rig.ends(&mut peer), End::Finished);
    assert_eq!(peer.take(), "BYE");

    rig.pass_until("closed", |rig| rig.is_closed(id));
    assert!(start.elapsed() >= ms(150), "it had its time: {:?}", start.elapsed());
    assert!(start.elapsed() < ms(150) + PATIENCE / 4, "and no more");
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

// ---- budgets -------------------------------------------------------------------------------------------------------

/// L6.
#[test]
fn a_chatty_peer_has_its_budget_in_each_pass_and_the_others_are_served() {
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
    // It takes one pass more to see that nobody is left.
    assert!(rig.idle(ms(50)) <= 2);
}

#[test]
fn the_backlog_takes_a_stampede_while_the_loop_is_busy() {
    let (mut rig, addr) = script(DriverConfig::default());
    let connect = |_| TcpStream::connect_timeout(&addr, PATIENCE).map(Peer::new).expect("queued");
    let start = Instant::now();
    let _peers: Vec<_> = (0..200).map(connect).collect();
    assert!(start.elapsed() < ms(900), "a SYN was dropped and sent again: {:?}", start.elapsed());
    rig.pass_until("all are accepted", |rig| rig.driver.connections() == 200);
}

#[test]
fn beyond_the_most_connections_a_newcomer_is_dropped_and_there_is_room_again_afterwards() {
    let config = DriverConfig { max_connections: 1, ..DriverConfig::default() };
    let (mut rig, addr) = Rig::listening(Script::closing_at_end(), config);
    let (first, _) = rig.meet(addr);
    let mut second = Peer::connect(addr);
    rig.ends(&mut second);
    assert_eq!((rig.driver.counts().dropped, rig.driver.connections()), (1, 1));
    drop(first);
    rig.pass_until("gone", |rig| rig.driver.connections() == 0);
    rig.meet(addr);
}

// ---- sockets of the host's -----------------------------------------------------------------------------------------

#[test]
fn a_client_on_each_of_several_listeners_takes_turns_in_one_ring() {
    let (mut rig, first) = Rig::listening(turn_server(Framing::Raw), DriverConfig::default());
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
    rig.pass_until("six numbers", |rig| numbers(rig).len() == 6);
    let names: Vec<_> = numbers(&rig).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["ann", "bob", "cid", "ann", "bob", "cid"]);
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

// ---- outbound connections ------------------------------------------------------------------------------------------

fn impatient() -> DriverConfig {
    DriverConfig { reconnect_min: ms(10), reconnect_max: ms(40), ..DriverConfig::default() }
}

fn unreachable(rig: &Rig<Script>) -> Vec<Duration> {
    let failed = |event: &Event<()>| match event {
        Event::Unreachable { retry_in, .. } => Some(*retry_in),
        _ => None,
    };
    rig.log.iter().filter_map(failed).collect()
}

#[test]
fn an_outbound_connection_is_tried_until_the_server_comes_and_again_when_it_goes() {
    let (silent, addr) = silent_port();
    let mut rig = Rig::new(Script::closing_at_end(), impatient());
    let start = Instant::now();
    let dial = rig.driver.connect(now(), addr);
    rig.pass_until("several attempts", |rig| unreachable(rig).len() >= 4);
    let pauses = unreachable(&rig);
    assert!(pauses.iter().all(|pause| (ms(10)..=ms(40)).contains(pause)), "{pauses:?}");
    assert!(start.elapsed() >= pauses[..pauses.len() - 1].iter().sum(), "each attempt waits for its time");
    assert!(rig.log.iter().all(|event| matches!(event,
        Event::Unreachable { dial: of, target, .. } if *of == dial && *target == Target::from(addr))));

    silent.listen(16).expect("bound");
    let server: TcpListener = silent.into();
    rig.pass_until("connected", |rig| rig.driver.protocol().dialed(dial).len() == 1);
    let (first, _) = server.accept().expect("somebody connected");
    let attempts = unreachable(&rig).len();
    drop(first);
    rig.pass_until("connected again", |rig| rig.driver.protocol().dialed(dial).len() == 2);
    assert_eq!(unreachable(&rig).len(), attempts, "a connection that was lost was not unreachable");
    let (second, _) = server.accept().expect("somebody connected");
    let mut second = Peer::new(second);

    rig.driver.hang_up(dial);
    assert_eq!(rig.ends(&mut second), End::Finished);
    drop(second);
    rig.pass_until("gone", |rig| rig.driver.connections() == 0);
    assert!(rig.idle(ms(150)) <= 2, "nothing more is tried");
    server.set_nonblocking(true).expect("a socket");
    assert!(server.accept().is_err(), "nobody connects any more");
}

/// A listener whose queue is full answers to nothing, so that a connection to it stays on its way.
fn full_listener() -> (Socket, SocketAddr, TcpStream) {
    let (socket, addr) = silent_port();
    socket.listen(0).expect("bound");
    let filler = TcpStream::connect(addr).expect("one is queued");
    (socket, addr, filler)
}

#[test]
#[cfg(target_os = "linux")]
fn an_outbound_connection_that_is_on_its_way_can_be_hung_up() {
    let (_socket, addr, _filler) = full_listener();
    let mut rig = Rig::new(Script::default(), DriverConfig::default());
    let dial = rig.driver.connect(now(), addr);
    rig.pass(ms(0));
    assert_eq!((rig.driver.connections(), rig.log.len()), (1, 0), "on its way");
    rig.driver.hang_up(dial);
    rig.pass_until("gone", |rig| rig.driver.connections() == 0);
    assert!(rig.log.is_empty(), "what was never opened is not closed: {:?}", rig.log);
    assert!(rig.driver.protocol().closed.is_empty());
}

#[test]
#[cfg(target_os = "linux")]
fn an_outbound_connection_that_stays_on_its_way_is_given_up_and_tried_again() {
    let (_socket, addr, _filler) = full_listener();
    let config = DriverConfig { connect_timeout: ms(50), ..impatient() };
    let mut rig = Rig::new(Script::default(), config);
    rig.driver.connect(now(), addr);
    rig.pass_until("two attempts", |rig| unreachable(rig).len() == 2);
    assert!(rig.driver.protocol().opened.is_empty());
    rig.driver.drain(now());
    rig.pass_until("drained", |rig| rig.driver.is_drained());
}

#[test]
fn a_drain_ends_outbound_connections_and_their_attempts() {
    let (_silent, unreachable_addr) = silent_port();
    let server = TcpListener::bind(any_port()).expect("port 0 is free");
    let mut rig = Rig::new(Script::default(), impatient());
    let dial = rig.driver.connect(now(), server.local_addr().expect("bound"));
    rig.driver.connect(now(), unreachable_addr);
    rig.pass_until("connected", |rig| rig.driver.protocol().dialed(dial).len() == 1);
    let mut peer = Peer::new(server.accept().expect("somebody connected").0);
    rig.driver.drain(now());
    assert_eq!(rig.ends(&mut peer), End::Finished);
    drop(peer);
    rig.pass_until("drained", |rig| rig.driver.is_drained());
    let attempts = unreachable(&rig).len();
    rig.idle(ms(100));
    assert_eq!(unreachable(&rig).len(), attempts);
}

/// The first pause after a connection that had proven itself is short again.
#[test]
fn a_confirmed_connection_resets_the_back_off() {
    let (silent, addr) = silent_port();
    let config = DriverConfig { reconnect_min: ms(1), reconnect_max: PATIENCE, ..DriverConfig::default() };
    let mut rig = Rig::new(Script::closing_at_end(), config);
    let dial = rig.driver.connect(now(), addr);
    rig.pass_until("some attempts", |rig| unreachable(rig).len() >= 6);
    silent.listen(16).expect("bound");
    let server: TcpListener = silent.into();
    rig.pass_until("connected", |rig| rig.driver.protocol().dialed(dial).len() == 1);
    let id = rig.driver.protocol().dialed(dial)[0];
    rig.driver.protocol_mut().act(Act::Confirm(id));
    rig.pass(ms(0));
    let lost = server.accept().expect("somebody connected");
    // Nobody listens any more: the next failures tell their pauses.
    drop(server);
    let before = unreachable(&rig).len();
    drop(lost);
    rig.pass_until("an attempt", |rig| unreachable(rig).len() > before);
    // The second in a row: at most four times the shortest.
    assert!(unreachable(&rig)[before] <= ms(4), "{:?}", unreachable(&rig));
}

// ---- shutdown ------------------------------------------------------------------------------------------------------

/// L8, T32.
#[test]
fn a_drain_ends_although_the_holder_never_answers_and_a_peer_never_reads() {
    let (mut rig, addr) = line_server();
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
    assert!(start.elapsed() < ms(1500), "a drain ends: {:?}", start.elapsed());
    for peer in [&mut holder, &mut other] {
        peer.pull();
        assert!(
            peer.text().ends_with("BYE shutting-down the server stops\n")
                || peer.text().contains("BYE shutting-down")
        );
    }
    let refused = TcpStream::connect_timeout(&addr, PATIENCE);
    assert!(refused.is_err(), "nobody is accepted any more");
}

/// Asks for replies, and reads none, until some wait in the driver.
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

/// It was about to be closed already when the drain began, and had all of the stall timeout then.
#[test]
fn a_drain_does_not_wait_for_a_peer_that_does_not_read_its_earlier_goodbye() {
    let config =
        DriverConfig { linger_timeout: ms(100), stall_timeout: PATIENCE * 2, ..DriverConfig::default() };
    let mut rig = Rig::new(turn_server(Framing::Line), config);
    let addr = rig.driver.listen_on(small_listener()).expect("it listens");
    let mut deaf = Peer::with_small_buffers(addr);
    let id = rig.accepted(&deaf);
    fill(&mut rig, &mut deaf);
    deaf.send("JOIN ann\nLEAVE\n");
    let before = rig.driver.counts().bytes_in;
    rig.pass_until("it has left", |rig| rig.driver.counts().bytes_in > before);
    assert!(!rig.is_closed(id));

    let start = Instant::now();
    rig.driver.drain(now());
    rig.pass_until("drained", |rig| rig.driver.is_drained());
    assert!(start.elapsed() < ms(2000), "a drain ends: {:?}", start.elapsed());
}

#[test]
fn a_drain_without_connections_is_over_at_once() {
    let (mut rig, _) = script(DriverConfig::default());
    assert!(!rig.driver.is_drained());
    rig.driver.drain(now());
    assert!(rig.driver.is_drained());
}

/// Runs `test` on a thread, and fails where it does not come back.
fn within_patience<T: Send + 'static>(what: &str, test: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, done) = channel();
    std::thread::spawn(move || sender.send(test()));
    done.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("waited in vain, or it panicked: {what}"))
}

fn event_loop() -> (EventLoop<Script>, SocketAddr) {
    let mut event_loop = EventLoop::new(Script::default()).expect("a poll");
    let addr = event_loop.driver_mut().listen(any_port()).expect("port 0 is free");
    (event_loop, addr)
}

#[test]
fn a_loop_that_is_drained_by_its_host_before_it_runs_returns() {
    within_patience("run", || {
        let (mut event_loop, _) = event_loop();
        event_loop.driver_mut().drain(now());
        event_loop.run(|_, _| {}).expect("polling goes well");
    });
}

#[test]
fn a_loop_that_is_drained_by_its_host_at_an_event_returns() {
    within_patience("run", || {
        let (mut event_loop, addr) = event_loop();
        drop(Peer::connect(addr));
        event_loop.driver_mut().protocol_mut().closes_at_end = true;
        let drain_when_it_is_gone = |driver: &mut taketurns::net::Driver<Script>, event| {
            if let Event::Closed { .. } = event {
                driver.drain(now());
            }
        };
        event_loop.run(drain_when_it_is_gone).expect("polling goes well");
        assert!(event_loop.driver().is_drained());
    });
}

#[test]
fn a_handle_drains_and_stops_a_loop_from_another_thread() {
    for stop in [false, true] {
        let (mut event_loop, addr) = event_loop();
        let handle = event_loop.handle();
        let mut peer = Peer::connect(addr);
        let (opened, is_open) = channel();
        let (ended, has_ended) = channel();
        std::thread::spawn(move || {
            let ran = event_loop.run(|_, event| {
                if let Event::Opened { .. } = event {
                    let _ = opened.send(());
                }
            });
            let _ = ended.send((ran.is_ok(), event_loop.driver().connections()));
        });
        is_open.recv_timeout(PATIENCE).expect("opened");
        let (work, is_done) = channel();
        handle
            .run(move |driver, _| {
                let _ = work.send(driver.connections());
            })
            .expect("the loop runs");
        assert_eq!(is_done.recv_timeout(PATIENCE), Ok(1));
        if stop {
            handle.stop();
        } else {
            handle.drain();
        }
        // For a drain the connection has to end: at the other end after it has ended at this one.
        let deadline = Instant::now() + PATIENCE;
        while peer.pull().is_none() && Instant::now() < deadline {}
        assert_eq!(peer.end, Some(End::Finished));
        drop(peer);
        assert_eq!(has_ended.recv_timeout(PATIENCE), Ok((true, usize::from(stop))));
        // The loop is gone, or about to be.
        let deadline = Instant::now() + PATIENCE;
        while handle.run(|_, _| {}).is_ok() {
            assert!(Instant::now() < deadline, "the loop is gone and takes work");
        }
    }
}

#[test]
fn work_for_a_loop_that_is_gone_comes_back() {
    let (event_loop, _) = event_loop();
    let handle = event_loop.handle();
    drop(event_loop);
    let (sender, done) = channel();
    let refused = handle
        .run(move |_, _| {
            let _ = sender.send(());
        })
        .expect_err("the loop is gone");
    drop(refused.0);
    assert!(done.recv().is_err(), "the work was given back, undone");
    handle.stop();
    handle.drain();
}

/// Too much work for a loop must not swallow the signal that ends it.
#[test]
fn stop_and_drain_reach_a_loop_that_has_too_much_to_do() {
    for stop in [false, true] {
        within_patience("run", move || {
            let (mut event_loop, _) = event_loop();
            let handle = event_loop.handle();
            while handle.run(|_, _| {}).is_ok() {}
            if stop {
                handle.stop();
            } else {
                handle.drain();
            }
            event_loop.run(|_, _| {}).expect("polling goes well");
        });
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_loop_that_polls_busily_serves_keeps_its_deadlines_and_sleeps_when_nothing_comes() {
    within_patience("a busy loop", || {
        let turns = TurnServerConfig { turn_deadline: ms(60), min_clients: 1, ..TurnServerConfig::default() };
        let config = DriverConfig { busy_poll: ms(20), ..DriverConfig::default() };
        let server = TurnServer::new(turns, os_entropy());
        let mut event_loop = EventLoop::with_config(server, config).expect("a poll");
        let addr = event_loop.driver_mut().listen(any_port()).expect("port 0 is free");
        let pass = |event_loop: &mut EventLoop<TurnServer>, timeout| {
            event_loop.run_once(Some(timeout)).expect("polling goes well");
            std::iter::from_fn(|| event_loop.driver_mut().poll_event()).collect::<Vec<_>>()
        };
        // The first pass looks whether somebody is waiting already.
        pass(&mut event_loop, ms(0));
        // Nobody is there: it spins for its time, then it sleeps.
        let (began, used) = (Instant::now(), processor_time());
        assert!(pass(&mut event_loop, ms(400)).is_empty());
        let (took, used) = (began.elapsed(), processor_time() - used);
        assert!(took >= ms(400), "it waited for all of its timeout, but for {took:?}");
        assert!(used > Duration::from_micros(500) && used < ms(200), "{used:?} of {took:?} spent spinning");

        // A silent client's turns lapse when they should.
        let _peer = Peer::connect(addr);
        let began = Instant::now();
        while event_loop.driver().protocol().counts().lapsed < 2 {
            pass(&mut event_loop, PATIENCE);
        }
        assert!(began.elapsed() >= ms(120), "no turn ends before its deadline");
    });
}

/// What this thread has used of a processor.
#[cfg(target_os = "linux")]
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("time does not run backwards")
}

#[test]
fn a_pass_begins_only_when_the_events_of_the_last_are_taken() {
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
    // What such a pass has read is answered nevertheless, and what is left to write is written in the next pass, not at the next event.
    event_loop.driver_mut().protocol_mut().when_told("ping", [Act::Send(id, b"pong".to_vec())]);
    peer.send("ping");
    assert!(event_loop.run_once(Some(ms(0))).is_err());
    event_loop.driver_mut().with_links(|_, links| links.send(id, b" and more"));
    assert!(event_loop.driver_mut().poll_event().is_none());
    peer.pull();
    assert_eq!(peer.take(), "pong");
    let start = Instant::now();
    event_loop.run_once(Some(PATIENCE)).expect("all were taken");
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    peer.pull();
    assert_eq!(peer.take(), " and more");
}

// ---- waiting -------------------------------------------------------------------------------------------------------

/// L7.
#[test]
fn a_loop_with_nothing_to_do_sleeps() {
    let (mut rig, addr) = line_server();
    let mut peers: Vec<_> = (0..30).map(|at| joined(&mut rig, addr, &format!("c{at}"))).collect();
    peers.extend((0..30).map(|_| rig.meet(addr).0));
    rig.pass(ms(0));
    let deadline = rig.driver.next_deadline().expect("a turn is granted");
    assert!(deadline > now().instant + ms(500), "nothing is due soon");
    assert!(rig.idle(ms(200)) <= 2);

    // Closing and losing some leaves nothing behind that wakes it.
    peers.truncate(20);
    rig.pass_until("gone", |rig| rig.driver.connections() == 20);
    rig.idle(ms(150));
    assert!(rig.idle(ms(200)) <= 2);
}

#[test]
fn through_a_proxy_that_cuts_and_delays_every_message_clients_alternate_and_nothing_is_lost() {
    for seed in 1..=3 {
        let (mut rig, addr) = line_server();
        let mut proxy = Proxy::start(addr, seed);
        let names = ["ann", "bob", "cid"];
        let mut clients: Vec<_> = names.map(|name| (name, Peer::connect(proxy.addr()), 0)).into();
        for (at, (name, peer, _)) in clients.iter_mut().enumerate() {
            peer.send(format!("JOIN {name}\n"));
            rig.pass_until("seated in this order", |rig| {
                proxy.step();
                rig.driver.protocol().scheduler().seats() == at + 1
            });
        }
        rig.pass_until("60 numbers", |rig| {
            (0..5).for_each(|_| proxy.step());
            for (name, peer, number) in &mut clients {
                peer.pull();
                if let Some((_, rest)) = peer.text().split_once("GO turn=")
                    && let Some((line, _)) = rest.split_once('\n')
                {
                    let turn = line.split(' ').next().expect("a field");
                    *number += 1;
                    peer.take();
                    peer.send(format!("{name}:{number} turn={turn}\n"));
                }
            }
            numbers(rig).len() >= 60
        });
        for (at, (name, number)) in numbers(&rig).into_iter().enumerate() {
            assert_eq!((name.as_str(), number), (names[at % 3], i64::try_from(at / 3 + 1).expect("small")));
        }
        assert_eq!(rig.driver.protocol().counts().refused, 0, "seed {seed}");
    }
}

/// Connects, disconnects and resets at random; what stays is served, and nothing is left over.
#[test]
fn thousands_of_connections_come_and_go_and_nothing_is_left_over() {
    let (mut rig, addr) = Rig::listening(Script::closing_at_end(), DriverConfig::default());
    let mut rng = fastrand::Rng::with_seed(42);
    let mut peers: Vec<Peer> = Vec::new();
    for _ in 0..3000 {
        let mut peer = Peer::connect(addr);
        peer.send("hello");
        peers.push(peer);
        if peers.len() > 50 {
            let peer = peers.swap_remove(rng.usize(..peers.len()));
            match rng.u8(..3) {
                0 => peer.reset(),
                1 => peer.finish_sending(),
                _ => drop(peer),
            }
        }
        if rng.u8(..8) == 0 {
            rig.pass(ms(0));
        }
    }
    rig.pass_until("those that left are gone", |rig| {
        peers.retain_mut(|peer| peer.pull().is_none());
        rig.driver.connections() == peers.len()
            && peers.iter().all(|peer| rig.opened(peer.local_addr()).is_some())
    });
    let opened = rig.log.iter().filter(|event| matches!(event, Event::Opened { .. })).count();
    assert_eq!(opened, rig.closed().len() + peers.len());
    for peer in &mut peers {
        let id: ConnectionId = rig.opened(peer.local_addr()).expect("it is served");
        rig.pass_until("heard", |rig| rig.driver.protocol().heard(id) == b"hello");
    }
}

// ---- faults of the whole process, in a process of its own -------------------------------------------------------------

/// The variable that tells a test that it is the child.
#[cfg(unix)]
const CHILD: &str = "TAKETURNS_TEST_CHILD";

/// This program again, to run the test `name` alone.
#[cfg(unix)]
fn child(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, "1").stdin(Stdio::null());
    command
}

/// L5.
#[test]
#[cfg(unix)]
fn without_descriptors_the_loop_serves_and_recovers_without_another_knock() {
    if std::env::var_os(CHILD).is_none() {
        let name = "without_descriptors_the_loop_serves_and_recovers_without_another_knock";
        let output = child(name).output().expect("this program runs");
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        return;
    }
    let (mut rig, addr) = script(DriverConfig::default());
    let (mut client, id) = rig.meet(addr);
    rig.driver.protocol_mut().when_told("ping", [Act::Send(id, b"pong".to_vec())]);
    let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor");
    let knocking: Vec<_> = (0..40).map(|_| socket()).collect();
    let null = || std::fs::File::open("/dev/null");
    let hoard: Vec<_> = (0..60).map(|_| null().expect("a descriptor")).collect();
    let (_, hard) = rlimit::Resource::NOFILE.get().expect("a limit");
    // The standard streams, the poll and the like are below; from here on there are none.
    let used = 3 + 60 + 40 + 2;
    rlimit::Resource::NOFILE.set(used, hard).expect("lower");
    let mut rest: Vec<_> = std::iter::from_fn(|| null().ok()).collect();
    rest.extend(hoard);

    let paused = |rig: &Rig<Script>| {
        rig.log.iter().filter(|event| matches!(event, Event::AcceptPaused { .. })).count()
    };
    let (early, late) = knocking.split_at(5);
    early.iter().for_each(|socket| socket.connect(&addr.into()).expect("queued"));
    rig.pass_until("no descriptor is left", |rig| paused(rig) > 0);
    let passes = rig.idle(ms(600));
    // Pauses of 10, 20, 40 ... 500 ms, each ended by a pass that notes it and one that tries again.
    assert!(passes <= 20, "{passes} passes: it spins");
    assert_eq!(rig.driver.connections(), 1);
    // Who knocks now is queued, and no reason to hurry.
    let (passes, pauses) = (rig.passes, paused(&rig));
    for socket in late {
        socket.connect(&addr.into()).expect("queued");
        client.send("ping");
        rig.hears(&mut client, "pong");
        client.take();
    }
    println!("{} passes, {} attempts for 35 knocks", rig.passes - passes, paused(&rig) - pauses);
    assert!(paused(&rig) - pauses <= 5, "each knock made it try again: {}", paused(&rig) - pauses);

    drop(rest);
    let start = Instant::now();
    rig.pass_until("everybody is accepted", |rig| rig.driver.connections() == 41);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(rig.idle(ms(600)) <= 3, "and then it sleeps");
}

/// `EINTR`: Linux ends `epoll_wait` early when a process is continued.
#[test]
#[cfg(target_os = "linux")]
fn a_signal_during_the_poll_does_not_end_the_loop() {
    use std::io::{BufRead as _, BufReader};
    if std::env::var_os(CHILD).is_some() {
        let (mut event_loop, _) = event_loop();
        event_loop.run_once(Some(ms(0))).expect("a pass");
        while event_loop.driver_mut().poll_event().is_some() {}
        println!("\npolling");
        let start = Instant::now();
        let goes_on = event_loop.run_once(Some(PATIENCE)).expect("an interrupted poll is no failure");
        println!("interrupted={}", goes_on && start.elapsed() < PATIENCE);
        return;
    }
    let mut process = child("a_signal_during_the_poll_does_not_end_the_loop")
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program runs");
    let (sender, lines) = channel();
    let mut output = BufReader::new(process.stdout.take().expect("piped"));
    std::thread::spawn(move || {
        let mut line = String::new();
        while output.read_line(&mut line).is_ok_and(|count| count > 0) {
            if sender.send(std::mem::take(&mut line)).is_err() {
                return;
            }
        }
    });
    let mut seen = String::new();
    let deadline = Instant::now() + PATIENCE;
    while !seen.contains("interrupted=") && Instant::now() < deadline {
        // One that comes before the poll is lost, so there are several.
        if let Ok(line) = lines.recv_timeout(ms(50)) {
            seen += &line;
        } else if seen.contains("polling") {
            let script = format!("kill -STOP {0}; kill -CONT {0}", process.id());
            Command::new("sh").args(["-c", &script]).status().expect("a shell");
        }
    }
    let status = process.wait().expect("it ran");
    assert!(status.success() && seen.contains("interrupted=true"), "{seen}");
}
