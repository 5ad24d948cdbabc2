//! Remains of old sockets in the system never keep a server from its port: the table in docs/RELIABILITY.md,
//! row by row.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, SockRef, Socket, Type};
use support::ms;
use taketurns::net::{Driver, DriverConfig, EventLoop, TokenSpace, now, os_entropy};
use taketurns::protocol::turns::{Framing, TurnServer};

use crate::loopback::{Act, End, PATIENCE, Peer, Rig, Script, any_port};
use crate::servers::{script, silent_port, small_listener, turn_server};

/// Listens on the address at once, like a restarted server.
fn listen_again(addr: SocketAddr) {
    let mut again = Rig::new(Script::default(), DriverConfig::default());
    again.driver.listen(addr).expect("the port is free");
    again.meet(addr);
}

#[test]
fn a_drained_server_leaves_its_port() {
    let (mut rig, addr) = script(DriverConfig { linger_timeout: ms(50), ..DriverConfig::default() });
    let (mut reads, _) = rig.meet(addr);
    let (silent, _) = rig.meet(addr);
    rig.driver.drain(now());
    assert_eq!(rig.ends(&mut reads), End::Finished);
    drop(reads);
    rig.pass_until("drained", |rig| rig.driver.is_drained());
    listen_again(addr);
    drop(silent);
}

#[test]
fn a_server_that_is_dropped_leaves_its_port() {
    let (mut rig, addr) = script(DriverConfig::default());
    let (idle, _) = rig.meet(addr);
    let (mut unread, _) = rig.meet(addr);
    unread.send("not read");
    let in_the_backlog = Peer::connect(addr);
    drop(rig);
    listen_again(addr);
    drop((idle, unread, in_the_backlog));
}

#[test]
fn connections_that_a_server_gives_up_leave_its_port() {
    let config = DriverConfig { max_connections: Some(2), out_bytes_max: 10_000, ..DriverConfig::default() };
    let mut rig = Rig::new(Script::default(), config);
    let addr = rig.driver.listen_on(small_listener()).expect("it listens");
    // A peer that does not read, and for which more bytes wait in the system.
    let deaf = Peer::with_small_buffers(addr);
    let id = rig.accepted(&deaf);
    rig.pass_until("it is given up", |rig| {
        rig.driver.protocol_mut().act(Act::Send(id, vec![b'.'; 8_000]));
        rig.is_closed(id)
    });
    let (aborted, id) = rig.meet(addr);
    rig.driver.protocol_mut().act(Act::Abort(id));
    rig.pass_until("it is aborted", |rig| rig.is_closed(id));
    let (lingers, id) = rig.meet(addr);
    rig.driver.protocol_mut().act(Act::Close(id));
    rig.pass(ms(0));
    // And clients for which there is no room.
    let (_second, _) = rig.meet(addr);
    let mut crowd: Vec<_> = (0..3).map(|_| Peer::connect(addr)).collect();
    crowd.iter_mut().for_each(|peer| _ = rig.ends(peer));
    drop(rig);
    listen_again(addr);
    drop((deaf, aborted, lingers, crowd));
}

/// A listener of the host may lack options that our own have.
#[test]
fn a_listener_that_was_handed_in_leaves_its_port() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&any_port().into()).expect("port 0 is free");
    socket.listen(16).expect("bound");
    assert!(!socket.reuse_address().expect("a socket"));
    let mut rig = Rig::new(Script::default(), DriverConfig::default());
    let addr = rig.driver.listen_on(socket.into()).expect("it listens");
    let (mut peer, id) = rig.meet(addr);
    rig.driver.protocol_mut().act(Act::Close(id));
    assert_eq!(rig.ends(&mut peer), End::Finished);
    drop(peer);
    rig.pass_until("it is closed", |rig| rig.is_closed(id));
    drop(rig);
    listen_again(addr);
}

#[test]
fn a_connection_that_was_handed_in_leaves_its_port() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&any_port().into()).expect("port 0 is free");
    socket.listen(16).expect("bound");
    let listener = TcpListener::from(socket);
    let addr = listener.local_addr().expect("bound");
    let mut rig = Rig::new(Script::default(), DriverConfig::default());
    let mut peer = Peer::connect(addr);
    let id = rig.driver.adopt(now(), listener.accept().expect("it connected").0).expect("connected");
    drop(listener);
    listen_again(addr);
    rig.driver.protocol_mut().act(Act::Close(id));
    assert_eq!(rig.ends(&mut peer), End::Finished);
    drop(peer);
    rig.pass_until("it is closed", |rig| rig.is_closed(id));
    listen_again(addr);
}

/// The system may give one port to several clients if they connect to different servers. Ports of other tests
/// are not free at once, so this retries with another port.
fn some_attempt_succeeds(mut round: impl FnMut() -> bool) {
    assert!((0..20).any(|_| round()), "the port was never free");
}

fn is_free(addr: SocketAddr) -> bool {
    let mut again = Rig::new(Script::default(), DriverConfig::default());
    again.driver.listen(addr).is_ok()
}

/// The system may have given a client the port that a server wants, and keeps it for a minute after the
/// client has closed.
#[test]
fn a_client_leaves_its_own_port() {
    some_attempt_succeeds(|| {
        let (mut server, addr) = Rig::listening(Script::closing_at_end(), DriverConfig::default());
        let mut rig = Rig::new(Script::default(), DriverConfig::default());
        let dial = rig.driver.connect(now(), addr);
        rig.pass_until("connected", |rig| !rig.driver.protocol().opened.is_empty());
        server.pass_until("accepted", |server| !server.log.is_empty());
        let taketurns::net::Event::Opened { peer: local, .. } = server.log[0] else {
            panic!("{:?}", server.log)
        };
        let was_free = is_free(local);
        rig.driver.hang_up(dial);
        rig.pass(ms(0));
        server.pass_until("hung up", |server| !server.closed().is_empty());
        rig.pass_until("gone", |rig| rig.driver.connections() == 0);
        was_free && is_free(local)
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_connection_that_is_on_its_way_leaves_its_own_port() {
    some_attempt_succeeds(|| {
        let (socket, addr) = silent_port();
        socket.listen(0).expect("bound");
        let _filler = std::net::TcpStream::connect(addr).expect("one is queued");
        let mut rig = Rig::new(Script::default(), DriverConfig::default());
        let before = ports_on_their_way(addr);
        rig.driver.connect(now(), addr);
        let on_their_way = ports_on_their_way(addr);
        let local = on_their_way.into_iter().find(|port| !before.contains(port)).expect("one is on its way");
        let local = SocketAddr::from(([127, 0, 0, 1], local));
        let was_free = is_free(local);
        drop(rig);
        was_free && is_free(local)
    });
}

/// Returns the local ports of connections to `addr` that are not established yet, according to the system.
#[cfg(target_os = "linux")]
fn ports_on_their_way(addr: SocketAddr) -> Vec<u16> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    let (peer, syn_sent) = (format!("0100007F:{:04X}", addr.port()), "02");
    let port = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, to, state) = (fields.next()?, fields.next()?, fields.next()?);
        let port = local.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
        port.filter(|_| to == peer && state == syn_sent)
    };
    table.lines().filter_map(port).collect()
}

/// T32: a client in the backlog is told and not reset, even if it has already sent something.
#[test]
fn newcomers_in_the_backlog_are_told_that_the_server_stops() {
    for framing in [Some(Framing::Line), None] {
        let (mut rig, addr) = Rig::listening(turn_server(framing), DriverConfig::default());
        rig.meet(addr);
        let mut crowd: Vec<_> = (0..100).map(|_| Peer::connect(addr)).collect();
        crowd.iter_mut().step_by(2).for_each(|peer| peer.send("JOIN ann\nANSWER :1\n"));
        rig.driver.drain(now());
        for peer in &mut crowd {
            assert_eq!(rig.ends(peer), End::Finished, "{}", peer.text());
            let said = peer.take();
            assert!(said.starts_with("BYE shutting-down") && said.lines().count() == 1, "{said}");
        }
        drop(crowd);
        rig.pass_until("drained", |rig| rig.driver.is_drained());
        listen_again(addr);
    }
}

/// A drain accepts the waiting clients, but not an endless stream of new ones.
#[test]
fn a_drain_ends_although_newcomers_keep_coming() {
    let config = DriverConfig { backlog: 4, ..DriverConfig::default() };
    let (mut rig, addr) = Rig::listening(Script::default(), config);
    let crowd: Vec<_> = (0..4).map(|_| Peer::connect(addr)).collect();
    rig.driver.drain(now());
    assert_eq!(rig.driver.connections(), crowd.len());
    assert!(std::net::TcpStream::connect_timeout(&addr, PATIENCE).is_err());
    drop(crowd);
    rig.pass_until("drained", |rig| rig.driver.is_drained());
}

/// Without descriptors the backlog is not accepted, and the loop ends all the same.
#[test]
fn a_drain_without_room_drops_the_backlog() {
    let config = DriverConfig { max_connections: Some(1), linger_timeout: ms(50), ..DriverConfig::default() };
    let server: TurnServer = turn_server(Some(Framing::Line));
    let mut event_loop = EventLoop::with_config(server, config).expect("a loop");
    let addr = event_loop.driver_mut().listen(any_port()).expect("port 0 is free");
    let crowd: Vec<_> = (0..3).map(|_| Peer::connect(addr)).collect();
    event_loop.driver_mut().drain(now());
    event_loop.run(|_, _| {}).expect("the poll goes well");
    assert_eq!(event_loop.driver().counts().dropped, 2);
    drop((crowd, event_loop));
    listen_again(addr);
}

/// Accepted connections inherit `SO_REUSEADDR` from a driver's own listener.
#[test]
fn a_port_is_not_shared_between_two_servers() {
    let (_rig, addr) = script(DriverConfig::default());
    let poll = taketurns::mio::Poll::new().expect("a poll");
    let protocol = TurnServer::new(taketurns::protocol::turns::TurnServerConfig::default(), os_entropy());
    let mut second =
        Driver::new(poll.registry(), TokenSpace(1), protocol.expect("limits"), DriverConfig::default())
            .expect("a driver");
    second.listen(addr).expect_err("two servers on one port are two rings");
    let reused = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    SockRef::from(&reused).set_reuse_address(true).expect("a socket");
    reused.bind(&addr.into()).expect_err("it is taken");
}
