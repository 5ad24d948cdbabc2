//! The status listener on real sockets, beside servers that have something to do. What needs no socket is tested beside the code, in
//! virtual time.

#![allow(clippy::disallowed_methods, reason = "tests use the real clock and threads")]

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use serde_json::Value;
use taketurns::net::{
    Driver, DriverConfig, Error, EventLoop, Handle, TokenSpace, now, os_entropy, poll_timeout,
};
use taketurns::protocol::echo::{EchoServer, EchoServerConfig};
use taketurns::protocol::turns::{Framing, TurnServer, TurnServerConfig};
use taketurns::status::{Show, StatusConfig, StatusServer};

#[path = "support/bare.rs"]
mod bare;
#[cfg(unix)]
#[path = "support/process/mod.rs"]
mod process;

use bare::{PATIENCE, connect};

fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// A server with a status listener, in a thread of its own; it is stopped when this is dropped.
struct Server<P: Show + 'static> {
    addr: SocketAddr,
    status: SocketAddr,
    handle: Handle<P>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl<P: Show + Send + 'static> Server<P>
where
    P::Event: Send,
{
    fn start(protocol: P, config: StatusConfig) -> Server<P> {
        let mut event_loop = EventLoop::new(protocol).expect("a poll");
        let addr = event_loop.driver_mut().listen(any_port()).expect("port 0 is free");
        let status = event_loop.serve_status(any_port(), config).expect("port 0 is free");
        let handle = event_loop.handle();
        let thread = Some(std::thread::spawn(move || event_loop.run(|_, _| {})));
        Server { addr, status, handle, thread }
    }
}

impl<P: Show + 'static> Server<P> {
    fn get(&self, path: &str) -> Answer {
        ask(self.status, &format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
    }

    /// The value of a metric, with its labels as they are written.
    fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").body;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
    }

    fn wait_for_metric(&self, name: &str, wanted: f64) {
        wait_until(name, || (self.metric(name) - wanted).abs() < 1e-9);
    }
}

impl<P: Show + 'static> Drop for Server<P> {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || matches!(ended, Ok(Ok(()))), "{ended:?}");
        }
    }
}

fn turns(config: TurnServerConfig) -> TurnServer {
    TurnServer::new(TurnServerConfig { framing: Framing::Line, ..config }, os_entropy())
}

fn turn_server() -> Server<TurnServer> {
    Server::start(turns(TurnServerConfig::default()), StatusConfig::default())
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

/// An answer that has come whole.
#[derive(Debug)]
struct Answer {
    head: String,
    body: String,
}

/// Asks with `text`, and reads until the other end closes.
fn ask(addr: SocketAddr, text: &str) -> Answer {
    let mut stream = connect(addr);
    stream.write_all(text.as_bytes()).expect("it reads");
    whole_answer(stream)
}

fn whole_answer(mut stream: TcpStream) -> Answer {
    let mut all = String::new();
    stream.read_to_string(&mut all).expect("it answers and closes");
    let (head, body) = all.split_once("\r\n\r\n").expect("a head ends in an empty line");
    Answer { head: head.to_owned(), body: body.to_owned() }
}

impl Answer {
    #[track_caller]
    fn expect(&self, status: &str) {
        assert!(self.head.starts_with(&format!("HTTP/1.1 {status} ")), "wanted {status}, not {self:?}");
    }

    #[track_caller]
    fn header(&self, name: &str) -> &str {
        let value = self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.unwrap_or_else(|| panic!("no {name} in {}", self.head))
    }
}

/// A reader of the feed.
struct Reader(BufReader<TcpStream>);

impl Reader {
    /// Asks for the feed; with what it hears first.
    fn begin(addr: SocketAddr) -> (Reader, Value) {
        let mut stream = connect(addr);
        stream.write_all(b"GET /events HTTP/1.1\r\nHost: test\r\n\r\n").expect("it reads");
        let mut reader = Reader(BufReader::new(stream));
        let head = reader.paragraph();
        assert!(
            head.starts_with("HTTP/1.1 200 ") && head.contains("Content-Type: text/event-stream"),
            "{head}"
        );
        assert_eq!(reader.paragraph(), "retry: 1000\n");
        let hello = reader.message("hello");
        (reader, hello)
    }

    fn paragraph(&mut self) -> String {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            let count = self.0.read_line(&mut line).expect("the feed goes on");
            if count == 0 || line.trim_end().is_empty() {
                return text;
            }
            text += &line;
        }
    }

    fn message(&mut self, event: &str) -> Value {
        let text = self.paragraph();
        let data = text
            .strip_prefix(&format!("event: {event}\ndata: "))
            .unwrap_or_else(|| panic!("no {event}: {text:?}"));
        serde_json::from_str(data).expect("JSON")
    }

    /// Reads until `done`.
    fn state_with(&mut self, what: &str, done: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let state = self.message("state");
            if done(&state) {
                return state;
            }
            assert!(Instant::now() < deadline, "no {what} in {state}");
        }
    }
}

/// A client of the turn protocol.
struct Player {
    name: &'static str,
    stream: BufReader<TcpStream>,
}

impl Player {
    fn join(addr: SocketAddr, name: &'static str) -> Player {
        let mut stream = connect(addr);
        stream.write_all(format!("JOIN {name}\n").as_bytes()).expect("it reads");
        let mut player = Player { name, stream: BufReader::new(stream) };
        player.wait_for("WELCOME");
        player
    }

    /// Reads up to the line that begins with `word`.
    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        while !line.starts_with(word) {
            line.clear();
            let count = self.stream.read_line(&mut line).expect("the server speaks");
            assert!(count > 0, "{}: closed before {word}", self.name);
        }
    }

    fn say(&mut self, line: &str) {
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes()).expect("it reads");
    }

    fn play(&mut self, number: i64) {
        self.wait_for("GO");
        self.say(&format!("{}:{number}", self.name));
    }
}

/// Ann and Bob, who take `count` turns in all.
fn play(server: &Server<TurnServer>, count: i64) -> [Player; 2] {
    let mut players = ["ann", "bob"].map(|name| Player::join(server.addr, name));
    for number in 1..=count {
        players[usize::try_from((number + 1) % 2).expect("0 or 1")].play(number);
    }
    players
}

#[test]
fn probes_are_answered_and_everything_else_is_told_what_there_is() {
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
    let post = ask(server.status, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    post.expect("405");
    assert_eq!(post.header("Allow"), "GET, HEAD");
    let head = ask(server.status, "HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.header("Content-Length"), head.body.as_str()), ("3", ""));
}

#[test]
fn a_request_in_pieces_and_one_of_a_client_that_stops_sending_are_answered() {
    let server = turn_server();
    let mut stream = connect(server.status);
    stream.set_nodelay(true).expect("a socket");
    for byte in "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".bytes() {
        stream.write_all(&[byte]).expect("it reads");
    }
    whole_answer(stream).expect("200");
    let mut stream = connect(server.status);
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").expect("it reads");
    stream.shutdown(std::net::Shutdown::Write).expect("it is connected");
    whole_answer(stream).expect("200");
}

#[test]
fn metrics_follow_the_turns() {
    let server = turn_server();
    assert_eq!(server.get("/metrics").header("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
    let [mut ann, bob] = play(&server, 6);
    ann.wait_for("GO");
    ann.say("ann:x");
    ann.wait_for("NO");
    server.wait_for_metric("taketurns_refusals_total{code=\"malformed\"}", 1.0);
    for (name, value) in [
        ("taketurns_turns_total{outcome=\"answered\"}", 6.0),
        ("taketurns_answer_seconds_count", 6.0),
        // Each of the six went on to the other.
        ("taketurns_hand_over_seconds_count", 6.0),
        ("taketurns_seats{state=\"occupied\"}", 2.0),
        ("taketurns_seats{state=\"vacant\"}", 0.0),
        ("taketurns_waiting", 1.0),
        ("taketurns_rings", 1.0),
        ("taketurns_connections", 2.0),
        ("taketurns_connections_accepted_total", 2.0),
        ("taketurns_longest_wait_bound_seconds", 30.0),
        // Two that joined with 9 bytes, and seven lines of 6.
        ("taketurns_received_bytes_total", 60.0),
        ("taketurns_build_info{protocol=\"turns\",version=\"0.1.0\"}", 1.0),
    ] {
        assert!((server.metric(name) - value).abs() < 1e-9, "{name}");
    }
    assert!(server.metric("taketurns_hand_over_seconds_sum") > 0.0);
    drop(bob);
    server.wait_for_metric("taketurns_seats{state=\"vacant\"}", 1.0);
    server.wait_for_metric("taketurns_connections_closed_total", 1.0);
    ann.say("PASS");
    server.wait_for_metric("taketurns_turns_total{outcome=\"passed\"}", 1.0);
}

/// In the raw framing a GO is held back for a moment after WAIT, and the holder's time begins with it.
#[test]
fn a_go_that_is_held_back_is_no_hand_over() {
    let config = TurnServerConfig {
        signal_gap: Duration::from_secs(1),
        min_clients: 1,
        ..TurnServerConfig::default()
    };
    let server = Server::start(TurnServer::new(config, os_entropy()), StatusConfig::default());
    let hear = |mut client: &TcpStream, wanted: &str| {
        let mut heard = vec![0; wanted.len()];
        client.read_exact(&mut heard).expect("the server speaks");
        assert_eq!(String::from_utf8_lossy(&heard), wanted);
    };
    let mut ann = connect(server.addr);
    hear(&ann, "GO");
    let mut bob = connect(server.addr);
    hear(&bob, "WAIT");
    ann.write_all(b"ann:1").expect("it reads");
    hear(&bob, "GO");
    bob.write_all(b"bob:1").expect("it reads");
    hear(&ann, "GO");
    server.wait_for_metric("taketurns_answer_seconds_count", 2.0);
    assert!((server.metric("taketurns_hand_over_seconds_count") - 1.0).abs() < 1e-9, "Bob's to Ann");
    assert!(server.metric("taketurns_answer_seconds_sum") < 0.5, "waiting for the GO is no part of it");
}

#[test]
fn every_metric_has_a_help_and_a_type_and_is_told_once() {
    let server = turn_server();
    let text = server.get("/metrics").body;
    let named = |kind: &'static str| {
        let names = text.lines().filter_map(move |line| line.strip_prefix(kind)?.split_once(' '));
        names.map(|(name, _)| name).collect::<Vec<_>>()
    };
    let (helps, mut types) = (named("# HELP "), named("# TYPE "));
    assert_eq!(helps, types);
    assert!(types.iter().all(|name| name.starts_with("taketurns_")));
    types.sort_unstable();
    types.dedup();
    assert_eq!(helps.len(), types.len());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(types.iter().any(|name| line.starts_with(name)), "{line}");
    }
}

/// Whoever has them, reads the metrics with the parsers that count.
#[test]
fn the_parsers_of_prometheus_read_the_metrics() {
    const PYTHON: &str = "import sys\nfrom prometheus_client.parser import text_string_to_metric_families as parse\n\
        names = {sample.name for family in parse(sys.stdin.read()) for sample in family.samples}\n\
        assert {'taketurns_turns_total', 'taketurns_hand_over_seconds_bucket'} <= names, names\n";
    let server = turn_server();
    let _players = play(&server, 2);
    let text = server.get("/metrics").body;
    for (program, options) in [("python3", ["-c", PYTHON]), ("promtool", ["check", "metrics"])] {
        let mut command = Command::new(program);
        command.args(options).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            eprintln!("SKIPPED: there is no {program}");
            continue;
        };
        // It may end without having read: then what it says is why.
        let _ = child.stdin.take().expect("piped").write_all(text.as_bytes());
        let ended = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&ended.stderr);
        if said.contains("ModuleNotFoundError") {
            eprintln!("SKIPPED: Python has no prometheus_client");
            continue;
        }
        assert!(ended.status.success() && said.is_empty(), "{program}: {said}");
    }
}

#[test]
fn the_feed_tells_of_turns_as_they_are_taken() {
    let server = turn_server();
    let (mut reader, hello) = Reader::begin(server.status);
    assert_eq!(hello["server"], format!("taketurns {}", env!("CARGO_PKG_VERSION")));
    let fields =
        ["protocol", "framing", "turn_deadline_ms", "seat_grace_ms", "min_clients"].map(|name| &hello[name]);
    assert_eq!(serde_json::json!(fields), serde_json::json!(["turns", "line", 30_000, 60_000, 2]));
    assert_eq!(hello["epoch"].as_str().map(str::len), Some(16));
    let state = reader.message("state");
    assert_eq!((&state["draining"], &state["connections"]), (&false.into(), &0.into()));
    assert_eq!((&state["rings"], state.get("hand_over")), (&serde_json::json!([]), None));

    let [mut ann, bob] = play(&server, 3);
    let state = reader.state_with("three turns", |state| state["turns"]["answered"] == 3);
    let ring = &state["rings"][0];
    assert_eq!((&ring["name"], &ring["turn"], &ring["occupied"]), (&"main".into(), &4.into(), &2.into()));
    assert_eq!((&ring["holder"]["seat"], &ring["holder"]["turn"]), (&2.into(), &4.into()));
    assert_eq!((&ring["holder"]["name"], &ring["holder"]["within_ms"]), (&"bob".into(), &30_000.into()));
    assert_eq!(
        ring["seats"],
        serde_json::json!([
            {"seat": 1, "state": "waiting", "name": "ann", "number": 3, "turn": 3},
            {"seat": 2, "state": "holding", "name": "bob", "number": 2, "turn": 2},
        ])
    );
    assert_eq!((&ring["seats_left_out"], &state["rings_left_out"]), (&0.into(), &0.into()));

    drop(bob);
    let state = reader.state_with("a vacant seat", |state| state["rings"][0]["vacant"] == 1);
    let ring = &state["rings"][0];
    assert_eq!((&ring["seats"][1]["state"], ring.get("holder")), (&"vacant".into(), None), "{state}");
    let left = ring["seats"][1]["grace_left_ms"].as_u64().expect("a grace");
    assert!((50_000..=60_000).contains(&left), "{left} ms");
    ann.say("ann:1");
    let state = reader.state_with("a refusal", |state| state["refusals"]["not-your-turn"] == 1);
    assert_eq!(state["turns"]["gone"], 1);
}

#[test]
fn a_large_ring_is_shown_in_part_and_the_rest_is_counted() {
    let server = turn_server();
    let mut players: Vec<_> = (0..70).map(|_| connect(server.addr)).collect();
    for (player, nth) in players.iter_mut().zip(1..) {
        player.write_all(format!("JOIN p{nth} ring=r{}\n", nth % 10 / 9).as_bytes()).expect("it reads");
    }
    for nth in 0..8 {
        let mut player = connect(server.addr);
        player.write_all(format!("JOIN x ring=x{nth}\n").as_bytes()).expect("it reads");
        players.push(player);
    }
    let (mut reader, _) = Reader::begin(server.status);
    let full = |state: &Value| {
        state["rings"].as_array().is_some_and(|rings| rings.len() == 8) && state["connections"] == 78
    };
    let state = reader.state_with("all rings", |state| full(state) && state["rings_left_out"] == 2);
    let seats = |ring: &Value| ring["seats"].as_array().expect("a list").len() as u64;
    for ring in state["rings"].as_array().expect("a list") {
        assert_eq!(
            ring["occupied"].as_u64(),
            Some(seats(ring) + ring["seats_left_out"].as_u64().expect("a number"))
        );
        assert!(seats(ring) <= 64);
    }
}

#[test]
fn the_feed_says_something_every_second_and_no_more_than_ten_times() {
    let server = turn_server();
    let (mut reader, _) = Reader::begin(server.status);
    reader.message("state");
    let begun = Instant::now();
    let before = reader.message("state");
    assert!(begun.elapsed() > Duration::from_millis(900), "nothing has happened");

    let mut players = ["ann", "bob"].map(|name| Player::join(server.addr, name));
    let (begun, mut number) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(1) {
        number += 1;
        players[usize::try_from((number + 1) % 2).expect("0 or 1")].play(number);
    }
    let mut messages = 0;
    let mut state = Value::Null;
    while state["turns"]["answered"] != number {
        state = reader.message("state");
        messages += 1;
    }
    assert!(number > 50, "{number} turns in a second");
    // By the server's clock, so that it does not matter when they are read.
    let uptime = |state: &Value| state["uptime_ms"].as_u64().expect("a number");
    let took = uptime(&state) - uptime(&before);
    assert!(messages >= 5 && messages * 100 <= took + 1, "{messages} messages in {took} ms");
}

#[test]
fn a_reader_hears_of_no_hand_over_from_before_it_came() {
    let server = turn_server();
    let mut players = play(&server, 6);
    server.wait_for_metric("taketurns_hand_over_seconds_count", 6.0);
    let (mut reader, _) = Reader::begin(server.status);
    assert_eq!(reader.message("state").get("hand_over"), None);
    players[0].play(7);
    let state = reader.state_with("a hand-over", |state| state.get("hand_over").is_some());
    assert_eq!(state["hand_over"]["count"], 1);
}

/// What is left of a turn has gone on meanwhile.
#[test]
fn a_reader_hears_first_how_things_stand_when_it_comes() {
    let config = StatusConfig { heartbeat: PATIENCE, ..StatusConfig::default() };
    let server = Server::start(turns(TurnServerConfig::default()), config);
    let uptime = |state: &Value| state["uptime_ms"].as_u64().expect("a number");
    let (mut first, _) = Reader::begin(server.status);
    let before = uptime(&first.message("state"));
    let begun = Instant::now();
    wait_until("a while", || begun.elapsed() > Duration::from_millis(300));
    let (mut second, _) = Reader::begin(server.status);
    let after = uptime(&second.message("state"));
    assert!(after >= before + 200, "{before} ms, and then {after} ms");
}

#[test]
fn while_draining_it_is_not_ready_and_then_the_loop_ends_whoever_reads() {
    let config = TurnServerConfig { drain_timeout: PATIENCE, ..TurnServerConfig::default() };
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

    ann.say("ann:1");
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

#[test]
fn neither_slow_readers_nor_half_requests_stop_turns_and_there_is_room_when_they_are_gone() {
    let config = StatusConfig {
        head_timeout: Duration::from_millis(500),
        write_timeout: Duration::from_millis(500),
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
            // One that is turned away may be gone by now.
            let _ = stream.write_all(b"GET /metrics HTT");
            stream
        })
        .collect();
    let _players = play(&server, 200);
    assert!(begun.elapsed() < PATIENCE);
    // They have not asked yet, and the first of them give way to the last.
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

/// A probe that fails ends the process.
#[test]
fn a_probe_gets_through_however_many_connections_say_nothing() {
    let config = StatusConfig { head_timeout: 2 * PATIENCE, ..StatusConfig::default() };
    let server = Server::start(turns(TurnServerConfig::default()), config);
    let silent: Vec<_> = (0..64).map(|_| connect(server.status)).collect();
    for _ in 0..3 {
        server.get("/healthz").expect("200");
        server.get("/readyz").expect("200");
    }
    drop(silent);
}

/// A pass in which a deadline comes polls more than once, and each poll may tell of the listener's sockets.
#[test]
fn no_request_is_lost_while_turns_lapse() {
    let config = TurnServerConfig { turn_deadline: Duration::from_millis(1), ..TurnServerConfig::default() };
    let server = Server::start(turns(config), StatusConfig::default());
    let players = ["ann", "bob"].map(|name| Player::join(server.addr, name));
    for _ in 0..300 {
        server.get("/healthz").expect("200");
    }
    assert!(server.metric("taketurns_turns_total{outcome=\"lapsed\"}") > 3.0);
    drop(players);
}

#[test]
fn an_echo_server_shows_its_counts_and_no_turns() {
    let echo = EchoServer::new(EchoServerConfig::default(), Box::new(|_| "now".to_owned()));
    let server = Server::start(echo, StatusConfig::default());
    let (mut reader, hello) = Reader::begin(server.status);
    assert_eq!((&hello["protocol"], hello.get("epoch")), (&"echo".into(), None));
    let mut client = connect(server.addr);
    client.write_all(b"hello").expect("it reads");
    let mut text = String::new();
    client.read_to_string(&mut text).expect("it answers and closes");
    let state = reader.state_with("an echo", |state| state["counts"]["echoed"] == 1);
    assert_eq!((state.get("rings"), state.get("turns")), (None, None));
    server.wait_for_metric("taketurns_echoed_total", 1.0);
    assert!(!server.get("/metrics").body.contains("hand_over"));
}

/// What the module's documentation shows.
#[test]
fn a_host_with_a_poll_of_its_own_serves_the_status_too() {
    let (mut poll, mut events) = (Poll::new().expect("a poll"), Events::with_capacity(64));
    let server = turns(TurnServerConfig::default());
    let mut server =
        Driver::new(poll.registry(), TokenSpace(1), server, DriverConfig::default()).expect("a driver");
    let mut status =
        StatusServer::new(poll.registry(), TokenSpace(2), StatusConfig::default()).expect("a driver");
    let addr = status.listen(any_port()).expect("port 0 is free");
    let (asked, answers) = (Instant::now(), std::sync::mpsc::channel());
    let client = std::thread::spawn(move || {
        let answer = ask(addr, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
        answers.0.send(answer).expect("the test waits for it");
    });
    let answer = loop {
        assert!(asked.elapsed() < PATIENCE, "no answer");
        let deadlines =
            [server.next_deadline(), status.next_deadline(), Some(now().instant + Duration::from_millis(5))];
        let timeout = poll_timeout(now(), deadlines.into_iter().flatten().min());
        poll.poll(&mut events, timeout).expect("polling goes well");
        let now = now();
        for event in &events {
            assert!(status.owns(event.token()));
            server.handle_event(now, event);
            status.handle_event(now, event);
        }
        server.finish_batch(now).expect("events were taken");
        status.finish_batch(now, &server).expect("events were taken");
        while let Some(event) = server.poll_event() {
            status.observe(&server, &event);
        }
        if let Ok(answer) = answers.1.try_recv() {
            break answer;
        }
    };
    answer.expect("200");
    assert!(answer.body.contains("taketurns_pass_seconds_count"));
    client.join().expect("it has its answer");
}

#[test]
fn an_address_that_is_taken_is_an_error() {
    let taken = TcpListener::bind(any_port()).expect("port 0 is free");
    let addr = taken.local_addr().expect("bound");
    let mut event_loop = EventLoop::new(turns(TurnServerConfig::default())).expect("a poll");
    let error = event_loop.serve_status(addr, StatusConfig::default()).expect_err("it is taken");
    assert!(matches!(error, Error::Listen { addr: told, .. } if told == addr));
}

#[cfg(unix)]
mod programs {
    use super::process::programs::example_as_here;
    use super::process::{Process, Stream};
    use super::*;

    fn status_of(server: &mut Process) -> SocketAddr {
        let line = server.wait_for_line(
            "address of the status",
            |line| line.text.contains("tatus on http://"),
            PATIENCE,
        );
        let addr = line.text.split_once("http://").and_then(|(_, rest)| rest.strip_suffix('/'));
        addr.and_then(|addr| addr.parse().ok()).unwrap_or_else(|| panic!("no address in {}", line.text))
    }

    #[test]
    fn every_server_shows_its_status_and_ends_at_a_signal() {
        for name in ["turn_server", "echo_server", "rank_server", "counter_server"] {
            let mut command = example_as_here(name);
            command.args(["--listen", "127.0.0.1:0"]);
            if name == "counter_server" {
                command.args(["--log-file", "/dev/null"]);
            }
            // The option has precedence.
            match name {
                "turn_server" => command.env("TAKETURNS_STATUS", "127.0.0.1:0"),
                _ => command.args(["--status", "127.0.0.1:0"]).env("TAKETURNS_STATUS", "nonsense"),
            };
            let mut server = Process::spawn(&mut command);
            let status = status_of(&mut server);
            ask(status, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").expect("200");
            let (_reader, hello) = Reader::begin(status);
            assert!(hello["protocol"].is_string(), "{name}");
            server.signal("TERM");
            server.expect_exit(0, PATIENCE);
        }
    }

    #[test]
    fn an_address_that_cannot_be_used_is_said_with_the_option() {
        let taken = TcpListener::bind(any_port()).expect("port 0 is free");
        let addr = taken.local_addr().expect("bound").to_string();
        for (value, words) in [
            (
                "8081",
                "cannot show the status on \"8081\": there is no host; perhaps 127.0.0.1:8081, as in --status 127.0.0.1:8081",
            ),
            (addr.as_str(), "choose another with --status"),
        ] {
            let mut command = example_as_here("turn_server");
            let mut server = Process::spawn(command.args(["--listen", "127.0.0.1:0", "--status", value]));
            server.expect_exit(1, PATIENCE);
            assert!(
                server.lines(Stream::Err).iter().any(|line| line.contains(words)),
                "{:?}",
                server.lines(Stream::Err)
            );
        }
    }
}
