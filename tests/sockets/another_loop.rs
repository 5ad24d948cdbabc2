//! An event loop inside another one, which is edge-triggered and waits for the descriptor only.
//!
//! The other loop has no timeout but the patience of the test, so anything that the descriptor and `arm` do
//! not report is waited for in vain.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use support::ms;
use taketurns::net::{DriverConfig, Event, EventLoop, now, os_entropy};
use taketurns::protocol::Protocol;
use taketurns::protocol::turns::{Framing, TurnServer, TurnServerConfig};

use crate::loopback::{Act, PATIENCE, Peer, Script, any_port};
use crate::servers::{event_loop, within_patience};

/// The result of `arm` when a pass is due.
const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

/// The other loop, with the steps from the documentation of `net`.
struct Host<P: Protocol> {
    poll: Poll,
    events: Events,
    event_loop: EventLoop<P>,
    /// The result of the last `arm`.
    due: Option<Duration>,
    passes: usize,
    wakeups: usize,
    is_over: bool,
}

impl<P: Protocol> Host<P> {
    fn new(event_loop: EventLoop<P>) -> Host<P> {
        let (poll, events) = (Poll::new().expect("a poll"), Events::with_capacity(4));
        let descriptor = event_loop.as_raw_fd();
        poll.registry()
            .register(&mut SourceFd(&descriptor), Token(0), Interest::READABLE)
            .expect("a descriptor like any other");
        Host { poll, events, event_loop, due: AT_ONCE, passes: 0, wakeups: 0, is_over: false }
    }

    /// Runs passes while `arm` requests them at once.
    fn pass(&mut self) {
        loop {
            self.is_over = !self.event_loop.run_once(Some(Duration::ZERO)).expect("events were taken");
            self.passes += 1;
            while self.event_loop.poll_event().is_some() {}
            self.due = self.event_loop.arm().expect("a timer");
            if self.is_over || self.due != AT_ONCE {
                return;
            }
        }
    }

    /// Waits for at most `timeout` for the descriptor. Returns whether it was readable.
    fn wait(&mut self, timeout: Duration) -> bool {
        assert_ne!(self.due, AT_ONCE, "a pass is due");
        let until = Instant::now() + self.due.map_or(timeout, |due| due.min(timeout));
        loop {
            let left = until.saturating_duration_since(Instant::now());
            self.poll.poll(&mut self.events, Some(left)).expect("polling goes well");
            if !self.events.is_empty() {
                self.wakeups += 1;
                return true;
            }
            if left.is_zero() {
                return self.due.is_some_and(|due| due <= timeout);
            }
        }
    }

    fn pass_until(&mut self, what: &str, mut done: impl FnMut(&mut P) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        self.pass();
        while !done(self.event_loop.driver_mut().protocol_mut()) {
            assert!(self.wait(deadline.saturating_duration_since(Instant::now())), "waited in vain: {what}");
            self.pass();
        }
    }
}

fn turns(turn_deadline: Duration, min_seats: usize) -> (Host<TurnServer>, SocketAddr) {
    let mut config = TurnServerConfig::default();
    config.framing = Some(Framing::Line);
    config.rules.turn_deadline = turn_deadline;
    config.rules.min_seats = min_seats;
    let server = TurnServer::new(config, os_entropy()).expect("limits that fit each other");
    let mut event_loop = EventLoop::new(server).expect("a poll");
    let addr = event_loop.driver_mut().listen(any_port()).expect("port 0 is free");
    (Host::new(event_loop), addr)
}

/// Two peers answer on threads of their own, so that their answers hit every point between a pass and the
/// wait.
#[test]
fn no_answer_is_lost_between_a_pass_and_the_wait() {
    const TURNS: u64 = 2_000;
    let (mut host, addr) = turns(Duration::from_secs(60), 2);
    let players = ["ann", "bob"].map(|name| std::thread::spawn(move || play(addr, name, TURNS / 2)));
    host.pass_until("all answers", |server| server.counts().accepted >= TURNS);
    for player in players {
        player.join().expect("it has answered");
    }
    assert_eq!(host.event_loop.driver().protocol().counts().lapsed, 0);
}

/// Answers `turns` times as fast as it can.
fn play(addr: SocketAddr, name: &str, turns: u64) {
    let mut stream = TcpStream::connect(addr).expect("the listener's backlog has room");
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
    stream.write_all(format!("JOIN {name}\n").as_bytes()).expect("it reads");
    for _ in 0..turns {
        while !lines.next().expect("it stays open").expect("a line in time").starts_with("GO ") {}
        stream.write_all(b"ANSWER :1\n").expect("it reads");
    }
}

#[test]
fn an_idle_loop_does_not_wake_the_other_loop() {
    let (mut host, addr) = turns(Duration::from_secs(60), 1);
    let mut peer = Peer::connect(addr);
    peer.send("JOIN ann\n");
    host.pass_until("a turn is held", |_| {
        peer.pull();
        peer.text().contains("GO turn=1")
    });
    // Acknowledgements of sent bytes may still be arriving.
    while host.wait(ms(50)) {
        host.pass();
    }
    let (wakeups, passes) = (host.wakeups, host.passes);
    assert!(!host.wait(ms(300)));
    assert_eq!((host.wakeups, host.passes), (wakeups, passes));
    #[cfg(target_os = "linux")]
    assert_eq!(host.due, None, "the descriptor tells of the deadline");
}

#[test]
fn each_deadline_wakes_the_other_loop_about_once() {
    let (mut host, addr) = turns(ms(60), 1);
    let mut peer = Peer::connect(addr);
    peer.send("JOIN ann\n");
    host.pass_until("a turn is held", |_| {
        peer.pull();
        peer.text().contains("GO turn=1")
    });
    let (began, wakeups) = (Instant::now(), host.wakeups);
    host.pass_until("ten turns have lapsed", |server| server.counts().lapsed >= 10);
    let took = began.elapsed();
    assert!(took >= ms(9 * 60), "no turn ends before its deadline, and ten did in {took:?}");
    // One more wake-up per deadline, because the timer is set too early; and once per second the loop checks
    // on its connections.
    let most = 10 * 2 + usize::try_from(took.as_secs()).expect("seconds") * 2 + 4;
    assert!(host.wakeups - wakeups <= most, "{} wake-ups in {took:?}", host.wakeups - wakeups);
}

#[test]
fn a_handle_wakes_the_other_loop_to_work_to_drain_and_to_stop() {
    for stop in [false, true] {
        within_patience("the other loop", move || {
            let (event_loop, _) = event_loop();
            let handle = event_loop.handle();
            let mut host = Host::new(event_loop);
            host.pass();
            let (sender, done) = channel();
            let thread = std::thread::spawn(move || {
                handle
                    .run(move |_, _| sender.send(()).expect("it is waited for"))
                    .expect("the loop is there");
                done.recv_timeout(PATIENCE).expect("it was done");
                if stop { handle.stop() } else { handle.drain() }
            });
            while !host.is_over {
                assert!(host.wait(PATIENCE), "waited in vain");
                host.pass();
            }
            thread.join().expect("its work was done");
            assert_eq!(host.due, AT_ONCE, "a pass would say that it is over");
        });
    }
}

#[test]
fn an_action_of_the_host_between_passes_makes_one_due_at_once() {
    let (mut host, addr) = {
        let (event_loop, addr) = event_loop();
        (Host::new(event_loop), addr)
    };
    let mut peer = Peer::connect(addr);
    host.pass_until("opened", |script| !script.opened.is_empty());
    let id = host.event_loop.driver().protocol().opened[0].0;
    host.event_loop.driver_mut().act(now(), |_, links| links.send(id, b"hello"));
    assert_eq!(host.event_loop.arm().expect("a timer"), AT_ONCE);
    host.pass();
    host.event_loop.driver_mut().protocol_mut().act(Act::Abort(id));
    assert_eq!(host.event_loop.arm().expect("a timer"), AT_ONCE);
    peer.pull();
    assert_eq!(peer.text(), "hello");
    host.pass();
    assert_eq!(host.event_loop.driver().protocol().closed.len(), 1);
    host.event_loop.driver_mut().drain(now());
    assert_eq!(host.event_loop.arm().expect("a timer"), AT_ONCE);
    host.pass();
    assert!(host.is_over);
}

/// More bytes than a pass reads from one connection; the system reports them only once.
#[test]
fn input_left_by_a_pass_makes_the_next_one_due_at_once() {
    let (mut host, addr) = {
        let (event_loop, addr) = event_loop();
        (Host::new(event_loop), addr)
    };
    let mut peer = Peer::connect(addr);
    host.pass_until("opened", |script| !script.opened.is_empty());
    let id = host.event_loop.driver().protocol().opened[0].0;
    let sent = peer.offer(&[b'a'; 1 << 20]);
    let (wakeups, passes) = (host.wakeups, host.passes);
    host.pass_until("all of it is read", |script| script.heard(id).len() == sent);
    assert!(host.passes - passes > host.wakeups - wakeups + 1, "{sent} bytes are more than a pass reads");
}

/// More connections are ready than a pass takes from the system, which reports only the first ones to an
/// edge-triggered loop.
#[test]
fn events_left_by_a_pass_make_the_next_one_due_at_once() {
    const PEERS: usize = 1_500;
    rlimit::increase_nofile_limit(2 * PEERS as u64 + 200).expect("up to the hard limit");
    let config = DriverConfig { max_connections: Some(PEERS + 1), ..DriverConfig::default() };
    let mut event_loop = EventLoop::with_config(Script::default(), config).expect("a poll");
    let addr = event_loop.driver_mut().listen(any_port()).expect("port 0 is free");
    let mut host = Host::new(event_loop);
    let mut peers: Vec<Peer> = Vec::new();
    for count in 1..=PEERS {
        peers.push(Peer::connect(addr));
        if count % 100 == 0 {
            host.pass_until("opened", |script| script.opened.len() == count);
        }
    }
    for _ in 0..3 {
        peers.iter_mut().for_each(|peer| peer.send("a"));
        let heard = host.event_loop.driver().protocol().portions.len();
        assert!(host.wait(PATIENCE), "there is something to read");
        host.pass_until("each was heard", |script| script.portions.len() == heard + PEERS);
    }
}

/// Its pauses are deadlines, and only the descriptor reports what happens to the connections.
#[test]
fn lost_connections_are_dialed_again_in_another_loop() {
    let listener = std::net::TcpListener::bind(any_port()).expect("port 0 is free");
    let mut host = Host::new(EventLoop::new(Script::closing_at_end()).expect("a poll"));
    let addr = listener.local_addr().expect("bound");
    let dial = host.event_loop.driver_mut().connect(now(), addr);
    for count in 1..=4 {
        host.pass_until("connected", |script| script.dialed(dial).len() == count);
        drop(listener.accept().expect("it has connected"));
        host.pass_until("closed", |script| script.closed.len() == count);
    }
}

#[test]
fn an_opened_connection_is_an_event_for_the_host_of_another_loop() {
    let (event_loop, addr) = event_loop();
    let mut host = Host::new(event_loop);
    host.pass();
    let _peer = Peer::connect(addr);
    assert!(host.wait(PATIENCE));
    host.event_loop.run_once(Some(Duration::ZERO)).expect("polling goes well");
    // Leaving events is an error of the host, as in its own loop.
    host.event_loop.run_once(Some(Duration::ZERO)).expect_err("events are pending");
    assert!(matches!(host.event_loop.poll_event(), Some(Event::Opened { .. })));
}
