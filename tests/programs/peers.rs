//! A server and its peers as a whole: many slow readers, many clients of one address, and clients that dial
//! while it ends.

use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use support::bare::{PATIENCE, recv};

use crate::process::{Line, Stream};
use crate::programs::{LinePeer, Server, field, turn_client};

/// Watches `main` without reading.
fn deaf(address: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a size");
    let address: SocketAddr = address.parse().expect("an address");
    socket.connect(&address.into()).expect("the server listens");
    let mut stream: TcpStream = socket.into();
    stream.write_all(b"WATCH\n").expect("the server is there");
    stream
}

/// Reads everything before the end, and returns whether the server has closed the connection.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a socket");
    let mut buffer = [0; 64 * 1024];
    loop {
        match recv(&*stream, &mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }
}

/// [A3] Each of 40 observers is within its own limit, but together they are not. Only the slowest are closed.
#[test]
fn observers_that_do_not_read_cost_no_more_than_one_budget() {
    let mut server = Server::start(&["--clients", "1", "--queued-max", "1MiB", "--quiet"]);
    let mut keen = LinePeer::connect(&server.address, "WATCH");
    keen.hears("WATCHING ");
    let mut deaf: Vec<_> = (0..40).map(|_| deaf(&server.address)).collect();
    server.wait_for_connections(41);
    let mut ann = LinePeer::connect(&server.address, "JOIN ann");
    let answer = "x".repeat(15_000);
    // 90 KB for each: 3.6 MB in total.
    for _ in 0..6 {
        let turn = field(&ann.hears("GO "), "turn").to_owned();
        ann.says(&format!("ANSWER turn={turn} bytes=15000\n{answer}"));
        ann.hears("OK ");
    }
    let slowest = |line: &Line| line.text.contains("it is the slowest");
    server.process.wait_for_line("that some are closed", slowest, PATIENCE);
    let closed = deaf.iter_mut().filter_map(|peer| is_closed(peer).then_some(())).count();
    assert!((20..40).contains(&closed), "{closed} of 40 are closed");
    for turn in 1..=6 {
        keen.hears(&format!("TURN ann turn={turn} "));
    }
}

/// Returns an address of this machine other than loopback.
pub(crate) fn outer_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent.
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then(|| ip.to_string())
}

/// [M12a] The limit counts seats, including those of lost clients, and not connections: a client whose
/// connection is lost resumes its seat, and its address gets no others meanwhile.
#[test]
fn an_address_has_a_limit_of_seats_and_finds_its_own_again() {
    let Some(outer) = outer_address() else { return };
    let server = Server::start_at("0.0.0.0:0", &["--max-per-address", "2", "--clients", "1"]);
    let address = format!("{outer}:{}", server.port());
    let join = |hello: &str| LinePeer::connect(&address, hello);
    let [ann, _bob] = ["JOIN ann", "JOIN bob"].map(|hello| {
        let mut peer = join(hello);
        let welcome = peer.hears("WELCOME ");
        peer.says("PING");
        peer.hears("PONG");
        (peer, field(&welcome, "resume").to_owned())
    });
    let (mut lost, mut secret) = ann;
    for _ in 0..20 {
        join("JOIN cid").hears("BYE full");
        drop(lost);
        join("JOIN cid").hears("BYE full");
        lost = join(&format!("JOIN ann resume={secret}"));
        secret = field(&lost.hears("WELCOME ann "), "resume").to_owned();
        lost.says("PING");
        lost.hears("PONG");
    }
}

/// A client dials while its server ends, as in a container: connections are refused at once for a second
/// before the address disappears.
#[test]
fn a_server_that_others_reach_refuses_connections_before_it_ends() {
    let mut here = Server::start(&[]);
    let mut reached = Server::start_at("0.0.0.0:0", &[]);
    let address = format!("127.0.0.1:{}", reached.port());
    reached.process.signal("TERM");
    reached.process.wait_until("the end of its listener", PATIENCE, |_| {
        matches!(TcpStream::connect(&address), Err(error) if error.kind() == ErrorKind::ConnectionRefused)
            .then_some(())
    });
    here.process.signal("TERM");
    here.process.expect_exit(0, PATIENCE);
    assert!(reached.process.try_wait_for_exit(Duration::from_millis(200)).is_none(), "it has ended already");
    reached.process.expect_exit(0, PATIENCE);
}

/// [T31] A planned change of servers is no reason to warn: after `shutting-down`, the new server answers
/// `bad-secret`.
#[test]
fn a_client_joins_a_new_server_without_a_warning() {
    let mut server = Server::start(&["--framing", "line"]);
    let address = server.address.clone();
    let client = turn_client(&address, &["--pace", "5ms"]);
    for _ in 0..3 {
        server.process.wait_for_sent(10, PATIENCE);
        server.process.signal("TERM");
        server.process.expect_exit(0, PATIENCE);
        server = Server::start_at(&address, &["--framing", "line"]);
    }
    server.process.wait_for_sent(10, PATIENCE);
    assert_eq!(client.lines(Stream::Err), [""; 0]);
}
