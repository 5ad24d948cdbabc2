//! Requests and answers: probes, split requests, nonsense; and no reader waits for one that does not read or
//! is silent.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use support::bare::{PATIENCE, connect, recv};
use taketurns::protocol::turns::TurnServerConfig;
use taketurns::status::StatusConfig;

use super::peers::{Player, Reader, ask, play, whole_answer};
use super::server::{Server, turn_server, turns, wait_until};

#[test]
fn probes_are_answered_and_other_requests_are_told_the_paths() {
    let server = turn_server();
    let health = server.get("/healthz");
    health.expect("200");
    assert_eq!((health.body.as_str(), health.header("Content-Type")), ("ok\n", "text/plain; charset=utf-8"));
    assert_eq!(server.get("/readyz").body, "ready\n");
    let page = server.get("/");
    page.expect("200");
    assert_eq!(page.header("Content-Type"), "text/html; charset=utf-8");
    let policy = page.header("Content-Security-Policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-") && policy.contains("connect-src 'self'")
    );
    for answer in [&health, &page] {
        assert_eq!(answer.header("Connection"), "close");
        assert_eq!(answer.header("Cache-Control"), "no-store");
        assert_eq!(answer.header("X-Content-Type-Options"), "nosniff");
        assert_eq!(answer.header("Content-Length"), answer.body.len().to_string());
    }
    let other = server.get("/other");
    other.expect("404");
    assert!(other.body.contains("/healthz"));
    let post = ask(server.status, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc");
    post.expect("405");
    assert_eq!(post.header("Allow"), "GET, HEAD");
    let head = ask(server.status, "HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((head.header("Content-Length"), head.body.as_str()), ("3", ""));
}

#[test]
fn split_requests_and_half_closed_requests_are_answered() {
    let server = turn_server();
    let mut stream = connect(server.status);
    stream.set_nodelay(true).expect("a socket");
    for byte in "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".bytes() {
        stream.write_all(&[byte]).expect("it reads");
    }
    whole_answer(stream).expect("200");
    let mut stream = connect(server.status);
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").expect("it reads");
    stream.shutdown(std::net::Shutdown::Write).expect("it is connected");
    whole_answer(stream).expect("200");
}

#[test]
fn a_draining_loop_is_not_ready_and_ends_despite_readers() {
    let mut config = TurnServerConfig::default();
    config.drain_timeout = PATIENCE;
    let mut server = Server::start(turns(config), StatusConfig::default());
    let [mut ann, mut bob] = play(&server, 0);
    let (mut reader, _) = Reader::begin(server.status);
    ann.wait_for("GO");
    server.handle.drain();
    wait_until("not ready", || server.get("/readyz").head.starts_with("HTTP/1.1 503 "));
    assert_eq!(server.get("/readyz").body, "draining\n");
    assert_eq!(server.get("/healthz").body, "ok\n");
    assert!(server.metric("taketurns_draining") > 0.5);
    reader.state_with("draining", |state| state["draining"] == true);

    ann.say("ANSWER :1");
    ann.wait_for("BYE shutting-down");
    bob.wait_for("BYE shutting-down");
    drop((ann, bob));
    let thread = server.thread.take().expect("it runs");
    assert!(matches!(thread.join(), Ok(Ok(()))), "the feed does not keep it");
    let end = reader.0.read_to_end(&mut Vec::new());
    let is_late =
        |error: &std::io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    assert!(!end.as_ref().is_err_and(is_late), "the feed ends: {end:?}");
}

/// Probes come first, because a supervisor that would restart this process waits for them.
#[test]
fn readers_that_do_not_close_keep_no_probe_out() {
    let server = turn_server();
    for path in ["/healthz", "/metrics", "/", "/nothing", "/events"] {
        // More than the allowed connections, all of which have been answered.
        let open: Vec<_> = (0..200)
            .map(|_| {
                let mut stream = connect(server.status);
                // A connection that had to make room may be gone by now.
                let _ =
                    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
                let _ = recv(&stream, &mut [0]);
                stream
            })
            .collect();
        server.get("/healthz").expect("200");
        server.get("/readyz").expect("200");
        drop(open);
    }
}

#[test]
fn slow_readers_and_incomplete_requests_do_not_stop_turns_and_make_room_later() {
    // Long enough for all of them to connect before the first one times out.
    let config = StatusConfig {
        head_timeout: Duration::from_secs(3),
        write_timeout: Duration::from_secs(3),
        ..StatusConfig::default()
    };
    let server = Server::start(turns(TurnServerConfig::default()), config);
    let begun = Instant::now();
    let unread: Vec<_> = (0..20)
        .map(|nth| {
            let mut stream = connect(server.status);
            let path = if nth % 2 == 0 { "/metrics" } else { "/events" };
            stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).expect("it reads");
            stream
        })
        .collect();
    let halves: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = connect(server.status);
            // A connection that was turned away may be gone by now.
            let _ = stream.write_all(b"GET /metrics HTT");
            stream
        })
        .collect();
    let _players = play(&server, 200);
    assert!(begun.elapsed() < PATIENCE);
    // They have not sent their requests yet, and the first of them make room for the last.
    let told: Vec<_> = halves
        .into_iter()
        .map(|stream| {
            let mut text = String::new();
            let mut stream = stream;
            let _ = stream.read_to_string(&mut text);
            text.split(' ').nth(1).unwrap_or("nothing").to_owned()
        })
        .collect();
    let count = |status: &str| told.iter().filter(|told| *told == status).count();
    assert!(count("408") >= 30, "those that stay are told that they are slow: {told:?}");
    assert!(count("nothing") >= 1, "there is no room for all of them: {told:?}");
    drop(unread);
    wait_until("there is room again", || {
        let mut stream = connect(server.status);
        let mut text = String::new();
        let _ = stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n");
        let _ = stream.read_to_string(&mut text);
        text.ends_with("ok\n")
    });
    server.wait_for_metric("taketurns_turns_total{outcome=\"answered\"}", 200.0);
}

/// A failed probe would end the process.
#[test]
fn a_probe_gets_through_despite_many_silent_connections() {
    let config = StatusConfig { head_timeout: 2 * PATIENCE, ..StatusConfig::default() };
    let server = Server::start(turns(TurnServerConfig::default()), config);
    let silent: Vec<_> = (0..64).map(|_| connect(server.status)).collect();
    for _ in 0..3 {
        server.get("/healthz").expect("200");
        server.get("/readyz").expect("200");
    }
    drop(silent);
}

/// A pass with a deadline polls more than once, and each poll may report the listener's sockets.
#[test]
fn no_request_is_lost_while_turns_lapse() {
    let mut config = TurnServerConfig::default();
    config.rules.turn_deadline = Duration::from_millis(1);
    let server = Server::start(turns(config), StatusConfig::default());
    let players = ["ann", "bob"].map(|name| Player::join(server.addr, name));
    for _ in 0..300 {
        server.get("/healthz").expect("200");
    }
    assert!(server.metric("taketurns_turns_total{outcome=\"lapsed\"}") > 3.0);
    drop(players);
}

/// A page that is served here plays at the same address.
#[test]
#[cfg(feature = "web-socket")]
fn a_web_socket_is_handed_over_to_the_driver_which_takes_it() {
    use taketurns::web_socket::WebSocketConfig;

    let request = |addr: std::net::SocketAddr| {
        format!(
            "GET /any HTTP/1.1\r\nHost: {addr}\r\nOrigin: http://{addr}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
    };
    let none = turn_server();
    let refused = ask(none.status, &request(none.status));
    refused.expect("404");
    assert_eq!(refused.body, "there are no WebSockets here\n");

    let page = "<script>1</script>";
    let config = StatusConfig { page, ..StatusConfig::default() };
    let server = Server::start_with(turns(TurnServerConfig::default()), config, |event_loop| {
        event_loop.driver_mut().offer_web_socket(WebSocketConfig::default()).expect("no origins");
    });
    assert_eq!(server.get("/").body, page);
    let mut stream = connect(server.status);
    // The first message follows the request in the same write.
    let hello = [&b"\x81\x88\0\0\0\0"[..], b"JOIN ann"].concat();
    stream.write_all(&[request(server.status).as_bytes(), &hello].concat()).expect("it reads");
    let mut heard = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while !heard.windows(8).any(|window| window == b"WELCOME ") {
        assert!(Instant::now() < deadline, "{}", heard.escape_ascii());
        let mut piece = [0; 1024];
        let count = recv(&stream, &mut piece).expect("it answers");
        assert!(count > 0, "{}", heard.escape_ascii());
        heard.extend_from_slice(&piece[..count]);
    }
    assert!(heard.starts_with(b"HTTP/1.1 101 "), "{}", heard.escape_ascii());
    // The connection now belongs to the driver, and no longer to the status listener.
    server.wait_for_metric("taketurns_connections", 1.0);
    server.wait_for_metric("taketurns_status_connections", 1.0);
    let other = request(server.status).replace("Origin: http://", "Origin: http://evil.");
    ask(server.status, &other).expect("403");
    server.wait_for_metric("taketurns_handshakes_failed_total", 1.0);
    // The same at the address of lines.
    ask(server.addr, &other).expect("403");
    server.wait_for_metric("taketurns_handshakes_failed_total", 2.0);
}
