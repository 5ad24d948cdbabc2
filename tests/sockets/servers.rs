//! Drivers, listeners and peers for the tests of this folder. `loopback.rs` has what drives them.

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::channel;

use socket2::{Domain, Socket, Type};
use support::ms;
use taketurns::net::{DriverConfig, Event, EventLoop, os_entropy};
use taketurns::protocol::turns::{Framing, TurnEvent, TurnServer, TurnServerConfig};

use crate::loopback::{PATIENCE, Peer, Rig, Script, any_port};

pub(crate) fn turn_server(framing: Option<Framing>) -> TurnServer {
    let mut config = TurnServerConfig::default();
    config.framing = framing;
    config.drain_timeout = ms(200);
    TurnServer::new(config, os_entropy()).expect("limits that fit each other")
}

pub(crate) fn line_server() -> (Rig<TurnServer>, SocketAddr) {
    let config = DriverConfig { linger_timeout: ms(100), ..DriverConfig::default() };
    let (mut rig, addr) = Rig::listening(turn_server(Some(Framing::Line)), config);
    rig.note_of = answer;
    (rig, addr)
}

pub(crate) fn script(config: DriverConfig) -> (Rig<Script>, SocketAddr) {
    Rig::listening(Script::default(), config)
}

/// Connects a peer and joins as `name`.
pub(crate) fn joined(rig: &mut Rig<TurnServer>, addr: SocketAddr, name: &str) -> Peer {
    let (mut peer, _) = rig.meet(addr);
    peer.send(format!("JOIN {name}\n"));
    rig.hears(&mut peer, "WELCOME");
    peer
}

/// Returns a listener with small buffers for its connections.
pub(crate) fn small_listener() -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_send_buffer_size(4096).expect("a size");
    socket.bind(&any_port().into()).expect("port 0 is free");
    socket.listen(128).expect("bound");
    socket.into()
}

/// Returns a port that is taken, but refuses connections until it is made to listen.
pub(crate) fn silent_port() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&any_port().into()).expect("port 0 is free");
    let addr = socket.local_addr().ok().and_then(|addr| addr.as_socket()).expect("bound");
    (socket, addr)
}

pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).expect("small")).collect()
}

/// Returns an accepted answer as `{name} {answer}`, for the notes of a rig.
pub(crate) fn answer(server: &TurnServer, event: &Event<TurnEvent>) -> Option<String> {
    let Event::Protocol(TurnEvent::Accepted { seat, answer, .. }) = event else { return None };
    let answer = server.answer(*answer).expect("its pass has just ended");
    let name = answer.raw_name.map_or_else(|| server.name_of(*seat).to_string(), str::to_owned);
    Some(format!("{name} {}", answer.text().expect("UTF-8")))
}

/// Runs `test` on a thread, and fails if it does not return in time.
pub(crate) fn within_patience<T: Send + 'static>(what: &str, test: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, done) = channel();
    std::thread::spawn(move || sender.send(test()));
    done.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("waited in vain, or it panicked: {what}"))
}

pub(crate) fn event_loop() -> (EventLoop<Script>, SocketAddr) {
    let mut event_loop = EventLoop::new(Script::default()).expect("a poll");
    let addr = event_loop.driver_mut().listen(any_port()).expect("port 0 is free");
    (event_loop, addr)
}
