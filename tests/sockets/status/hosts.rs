//! Hosts: another protocol, a poll of their own, an address that is taken.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use mio::{Events, Poll};
#[cfg(unix)]
use rustix::event::{PollFd, PollFlags, poll};
use support::bare::{PATIENCE, connect};
#[cfg(unix)]
use taketurns::net::{Driver, DriverConfig, Error, EventLoop, TokenSpace, now, poll_timeout};
use taketurns::protocol::echo::{EchoServer, EchoServerConfig};
use taketurns::protocol::turns::TurnServerConfig;
use taketurns::status::{StatusConfig, StatusServer};

use super::peers::{Reader, ask};
use super::server::{Server, any_port, turns};

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

/// The example of the module's documentation.
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
        let answer = ask(addr, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
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
        status.finish_batch(now, &mut server).expect("events were taken");
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

/// Waits in `poll(2)` for the loop's descriptor only.
#[test]
#[cfg(unix)]
fn a_loop_inside_another_one_serves_the_status_too() {
    let mut event_loop = EventLoop::new(turns(TurnServerConfig::default())).expect("a poll");
    let addr = event_loop.serve_status(&[any_port()], StatusConfig::default()).expect("port 0 is free")[0];
    let handle = event_loop.handle();
    let client = std::thread::spawn(move || {
        let answer = ask(addr, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        handle.stop();
        answer
    });
    while event_loop.run_once(Some(Duration::ZERO)).expect("events were taken") {
        while event_loop.poll_event().is_some() {}
        let due = event_loop.arm().expect("a timer");
        let timeout = due.unwrap_or(PATIENCE).min(PATIENCE).try_into().expect("short");
        let ready = poll(&mut [PollFd::new(&event_loop, PollFlags::IN)], Some(&timeout));
        assert!(ready.expect("polling goes well") == 1 || due.is_some(), "waited in vain");
    }
    client.join().expect("it has its answer").expect("200");
}

#[test]
fn an_address_that_is_taken_is_an_error() {
    let taken = TcpListener::bind(any_port()).expect("port 0 is free");
    let addr = taken.local_addr().expect("bound");
    let mut event_loop = EventLoop::new(turns(TurnServerConfig::default())).expect("a poll");
    let error = event_loop.serve_status(&[addr], StatusConfig::default()).expect_err("it is taken");
    assert!(matches!(error, Error::Listen { addr: told, .. } if told == addr));
}
