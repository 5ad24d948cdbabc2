//! Outbound connections: attempts, back-off, hanging up.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::Socket;
use support::ms;
use taketurns::net::{DriverConfig, Event, Target, now};

use crate::loopback::{Act, End, PATIENCE, Peer, Rig, Script, any_port};
use crate::servers::silent_port;

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
    assert!(
        start.elapsed() >= pauses[..pauses.len() - 1].iter().sum::<Duration>(),
        "each attempt waits for its time"
    );
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

/// A listener with a full queue does not answer, so a connection to it stays pending.
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
    assert!(rig.log.is_empty(), "a connection that never opened is not closed: {:?}", rig.log);
    assert!(rig.driver.protocol().closed.is_empty());
}

/// The connection is established while the host hangs it up and dials another address under the same number.
#[test]
fn an_outbound_connection_that_was_hung_up_never_comes_up() {
    for is_noticed_first in [false, true] {
        let [given_up, wanted] = [(); 2].map(|()| TcpListener::bind(any_port()).expect("port 0 is free"));
        let mut rig = Rig::new(Script::default(), DriverConfig::default());
        let connect = |rig: &mut Rig<Script>, to: &TcpListener| {
            rig.driver.connect(now(), to.local_addr().expect("bound"))
        };
        let first = connect(&mut rig, &given_up);
        if is_noticed_first {
            // On loopback it is established at once.
            given_up.accept().expect("it has connected");
        }
        rig.driver.hang_up(first);
        let again = connect(&mut rig, &wanted);
        let _live = wanted.accept().expect("somebody connected");
        rig.pass_until("connected", |rig| !rig.driver.protocol().dialed(again).is_empty());
        rig.idle(ms(50));
        let live = rig.driver.protocol().dialed(again)[0];
        let opened: Vec<_> = rig.log.iter().map(|event| format!("{event:?}")).collect();
        assert_eq!(opened.len(), 1, "{opened:?}");
        assert!(rig.driver.connections() == 1 && !rig.is_closed(live));
        rig.driver.hang_up(again);
        rig.pass_until("gone", |rig| rig.is_closed(live));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn an_outbound_connection_that_stays_on_its_way_is_given_up_and_tried_again() {
    let (_socket, addr, _filler) = full_listener();
    let config = DriverConfig { connect_timeout_min: ms(50), ..impatient() };
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

/// After a connection that has proved itself, the first pause is short again.
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
    // Without a listener, the next failures show their pauses.
    drop(server);
    let before = unreachable(&rig).len();
    drop(lost);
    rig.pass_until("an attempt", |rig| unreachable(rig).len() > before);
    // The second pause in a row is at most four times the shortest.
    assert!(unreachable(&rig)[before] <= ms(4), "{:?}", unreachable(&rig));
}

fn name(host: &str, port: u16) -> Target {
    format!("{host}:{port}").parse().expect("a target")
}

/// Returns the names that the host was asked to look up.
fn asked(rig: &Rig<Script>) -> Vec<&Target> {
    let targets = rig.log.iter().map(|event| match event {
        Event::Resolve { target } => Some(target),
        _ => None,
    });
    targets.flatten().collect()
}

/// A slow lookup does not delay other connections, and one lookup serves all that wait for the same name.
#[test]
fn a_name_is_looked_up_once_while_other_connections_continue() {
    let server = TcpListener::bind(any_port()).expect("port 0 is free");
    let addr = server.local_addr().expect("bound");
    let (mut rig, own) = Rig::listening(Script::default(), impatient());
    let dials = [(); 3].map(|()| rig.driver.connect(now(), name("server", addr.port())));
    rig.pass_until("the name is asked for", |rig| !asked(rig).is_empty());
    assert_eq!(asked(&rig), [&name("server", addr.port())]);
    let (mut peer, id) = rig.meet(own);
    peer.send("here");
    rig.pass_until("it is heard", |rig| rig.driver.protocol().heard(id) == b"here");
    assert!(rig.idle(ms(50)) <= 2, "it waits for the host, and does not spin");

    let nowhere = silent_port();
    rig.driver.resolved(now(), &name("server", addr.port()), Ok(vec![nowhere.1, addr]));
    for dial in dials {
        rig.pass_until("connected", |rig| rig.driver.protocol().dialed(dial).len() == 1);
    }
    assert_eq!((unreachable(&rig).len(), asked(&rig).len()), (0, 1), "the second address will do");
}

#[test]
fn a_name_without_an_address_is_unreachable_and_looked_up_again() {
    let mut rig = Rig::new(Script::default(), impatient());
    let target = name("server", 5);
    for _ in 0..2 {
        rig.driver.connect(now(), target.clone());
    }
    rig.pass_until("the name is asked for", |rig| asked(rig).len() == 1);
    rig.driver.resolved(now(), &target, Err(std::io::Error::other("no such name")));
    rig.pass_until("both are told", |rig| unreachable(rig).len() == 2);
    rig.pass_until("one asks again", |rig| asked(rig).len() == 2);
    rig.driver.resolved(now(), &target, Ok(Vec::new()));
    rig.pass_until("it is told", |rig| unreachable(rig).len() >= 3);
    rig.pass_until("and so on", |rig| asked(rig).len() == 3);
    assert!(rig.log.iter().any(|event| matches!(event,
        Event::Unreachable { error, .. } if error.to_string() == "no such name")));
}

/// A host whose lookup takes too long or never ends gets errors. Its late result is used all the same.
#[test]
fn addresses_that_come_too_late_serve_the_next_attempt() {
    let server = TcpListener::bind(any_port()).expect("port 0 is free");
    let addr = server.local_addr().expect("bound");
    let config = DriverConfig { connect_timeout_max: ms(20), ..impatient() };
    let mut rig = Rig::new(Script::default(), config);
    let dial = rig.driver.connect(now(), name("server", addr.port()));
    rig.pass_until("it is asked for again", |rig| asked(rig).len() == 3);
    assert_eq!(unreachable(&rig).len(), 2);
    rig.pass_until("a pause", |rig| unreachable(rig).len() == 3);
    rig.driver.resolved(now(), &name("server", addr.port()), Ok(vec![addr]));
    rig.pass_until("connected", |rig| rig.driver.protocol().dialed(dial).len() == 1);
    assert_eq!(asked(&rig).len(), 3);
}

/// The number of a connection that was hung up is used again, and the results of a lookup for the old one
/// must not reach the new one.
#[test]
fn addresses_reach_only_dials_with_their_name() {
    let server = TcpListener::bind(any_port()).expect("port 0 is free");
    let addr = server.local_addr().expect("bound");
    let mut rig = Rig::new(Script::default(), impatient());
    let first = rig.driver.connect(now(), name("first", addr.port()));
    rig.driver.hang_up(first);
    let second = rig.driver.connect(now(), name("second", addr.port()));
    assert_eq!(first, second);
    rig.driver.resolved(now(), &name("first", addr.port()), Ok(vec![addr]));
    rig.driver.resolved(now(), &name("nobody", addr.port()), Ok(vec![addr]));
    rig.idle(ms(30));
    assert!(rig.driver.protocol().opened.is_empty());
    rig.driver.resolved(now(), &name("second", addr.port()), Ok(vec![addr]));
    rig.pass_until("connected", |rig| rig.driver.protocol().dialed(second).len() == 1);
    // While it is connected, results for the name change nothing.
    rig.driver.resolved(now(), &name("second", addr.port()), Err(std::io::ErrorKind::NotFound.into()));
    rig.driver.drain(now());
    rig.driver.resolved(now(), &name("second", addr.port()), Ok(vec![addr]));
    assert_eq!((rig.driver.protocol().opened.len(), unreachable(&rig).len()), (1, 0));
}
