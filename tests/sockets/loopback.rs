//! A driver on a `mio::Poll`, and bare sockets at the other end, all driven by hand on the test's own thread.
//!
//! Nothing sleeps to synchronise: [`Rig::pass_until`] runs passes until a condition holds, and panics at a
//! deadline. Bytes that a [`Peer`] has sent over loopback are in the driver's socket when `send` returns, so
//! the order of a test's lines decides what one pass finds.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use socket2::{Domain, SockRef, Socket, Type};
use taketurns::net::{Driver, DriverConfig, Event, TokenSpace, now, poll_timeout};
use taketurns::protocol::{BuffersMin, CloseReason, ConnectionId, DialId, Links, Origin, Protocol};
use taketurns::record::Record;
use taketurns::time::{self, Now};

/// For things that take milliseconds on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long a pass waits for the driver's sockets while the test waits for something else.
const SLICE: Duration = Duration::from_millis(2);

/// An unused port on loopback.
pub fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// A host with nothing but one driver.
pub struct Rig<P: Protocol> {
    poll: Poll,
    events: Events,
    pub driver: Driver<P>,
    /// All events that the driver has reported.
    pub log: Vec<Event<P::Event>>,
    /// Resolves an event while the protocol still can, which is until the next pass.
    pub note_of: fn(&P, &Event<P::Event>) -> Option<String>,
    /// The texts returned by [`note_of`](Self::note_of).
    pub notes: Vec<String>,
    /// The number of passes so far.
    pub passes: usize,
}

impl<P: Protocol> Rig<P> {
    pub fn new(protocol: P, config: DriverConfig) -> Self {
        let poll = Poll::new().expect("a poll");
        let driver = Driver::new(poll.registry(), TokenSpace(7), protocol, config).expect("a driver");
        let events = Events::with_capacity(256);
        Rig { poll, events, driver, log: Vec::new(), note_of: |_, _| None, notes: Vec::new(), passes: 0 }
    }

    /// Like [`new`](Self::new), with a listener.
    pub fn listening(protocol: P, config: DriverConfig) -> (Self, SocketAddr) {
        let mut rig = Rig::new(protocol, config);
        let addr = rig.driver.listen(any_port()).expect("port 0 is free");
        (rig, addr)
    }

    /// Runs one pass as the driving contract says, waiting for at most `timeout`. Returns the number of the
    /// driver's events.
    pub fn pass(&mut self, timeout: Duration) -> usize {
        let due = poll_timeout(now(), self.driver.next_deadline());
        let timeout = due.map_or(timeout, |due| due.min(timeout));
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            polled => polled.expect("polling goes well"),
        }
        let now = now();
        let mut owned = 0;
        for event in &self.events {
            assert!(self.driver.owns(event.token()), "the rig has no other source");
            self.driver.handle_event(now, event);
            owned += 1;
        }
        self.driver.finish_batch(now).expect("events were taken");
        while let Some(event) = self.driver.poll_event() {
            self.notes.extend((self.note_of)(self.driver.protocol(), &event));
            self.log.push(event);
        }
        self.passes += 1;
        owned
    }

    /// Runs passes until `done`. At the deadline the test fails and reports `what` it was waiting for.
    pub fn pass_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "waited in vain: {what}");
            self.pass(SLICE);
        }
    }

    /// Runs passes for this long, with as few wake-ups as the driver requests. Returns their number.
    pub fn idle(&mut self, time: Duration) -> usize {
        let (end, before) = (Instant::now() + time, self.passes);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.passes - before;
            }
            self.pass(left);
        }
    }

    /// Returns the reason for each connection that was closed.
    pub fn closed(&self) -> Vec<(ConnectionId, CloseReason)> {
        let closed = |event: &Event<P::Event>| match event {
            Event::Closed { connection, reason, .. } => Some((*connection, *reason)),
            _ => None,
        };
        self.log.iter().filter_map(closed).collect()
    }

    pub fn is_closed(&self, id: ConnectionId) -> bool {
        self.closed().iter().any(|(closed, _)| *closed == id)
    }

    /// Returns the connection with `peer`, if it was opened.
    pub fn opened(&self, peer: SocketAddr) -> Option<ConnectionId> {
        self.log.iter().rev().find_map(|event| match event {
            Event::Opened { connection, peer: opened, .. } if *opened == peer => Some(*connection),
            _ => None,
        })
    }

    /// Connects a peer and runs passes until the driver has accepted it.
    pub fn meet(&mut self, addr: SocketAddr) -> (Peer, ConnectionId) {
        let peer = Peer::connect(addr);
        let id = self.accepted(&peer);
        (peer, id)
    }

    pub fn accepted(&mut self, peer: &Peer) -> ConnectionId {
        let local = peer.local_addr();
        self.pass_until("the peer is accepted", |rig| rig.opened(local).is_some());
        self.opened(local).expect("waited for")
    }

    /// Runs passes until `peer` has received `text`, after what was [taken](Peer::take) before.
    pub fn hears(&mut self, peer: &mut Peer, text: &str) {
        self.pass_until(text, |_| {
            peer.pull();
            peer.text().contains(text)
        });
    }

    /// Runs passes until the stream of `peer` has ended in some way.
    pub fn ends(&mut self, peer: &mut Peer) -> End {
        self.pass_until("the stream ends", |_| peer.pull().is_some());
        peer.end.expect("waited for")
    }
}

/// How a stream ended for a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Finished,
    Reset,
}

/// A non-blocking socket at the other end.
pub struct Peer {
    pub stream: TcpStream,
    /// Bytes received but not taken.
    pub got: Vec<u8>,
    pub end: Option<End>,
}

impl Peer {
    pub fn connect(addr: SocketAddr) -> Peer {
        Peer::new(TcpStream::connect(addr).expect("the listener's backlog has room"))
    }

    /// Connects a peer with small buffers in the system, which decides how small.
    pub fn with_small_buffers(addr: SocketAddr) -> Peer {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a size");
        socket.connect(&addr.into()).expect("the listener's backlog has room");
        Peer::new(socket.into())
    }

    pub fn new(stream: TcpStream) -> Peer {
        stream.set_nonblocking(true).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        Peer { stream, got: Vec::new(), end: None }
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.stream.local_addr().expect("bound")
    }

    /// Sends all of `bytes`, which must be few enough for the system to accept them at once.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        assert_eq!(self.offer(bytes), bytes.len(), "the system takes all at once");
    }

    /// Sends bytes of which the last one is urgent, and so outside the order of the stream.
    pub fn send_urgent(&self, bytes: &[u8]) {
        let sent = SockRef::from(&self.stream).send_out_of_band(bytes).expect("connected");
        assert_eq!(sent, bytes.len(), "the system takes all at once");
    }

    /// Sends as much of `bytes` as the system accepts.
    pub fn offer(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.end = Some(End::Reset);
                    break;
                }
            }
        }
        sent
    }

    /// Receives everything that has arrived.
    pub fn pull(&mut self) -> Option<End> {
        while self.end.is_none() && self.pull_some(64 * 1024) > 0 {}
        self.end
    }

    /// Receives at most `max` bytes of what has arrived. Returns their number.
    pub fn pull_some(&mut self, max: usize) -> usize {
        let mut chunk = vec![0; max];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.end = Some(End::Finished),
            Ok(count) => {
                self.got.extend_from_slice(&chunk[..count]);
                return count;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.end = Some(End::Reset),
        }
        0
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.got).into_owned()
    }

    /// Takes the received bytes.
    pub fn take(&mut self) -> String {
        let text = self.text();
        self.got.clear();
        text
    }

    /// Returns the value of the last received `key=value`.
    pub fn field(&self, key: &str) -> String {
        let text = self.text();
        let (_, value) = text.rsplit_once(&format!("{key}=")).expect("the field was received");
        value.split_whitespace().next().expect("it has a value").to_owned()
    }

    pub fn finish_sending(&self) {
        self.stream.shutdown(std::net::Shutdown::Write).expect("connected");
    }

    /// Breaks the connection without closing it properly.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("a socket");
    }
}

/// An action for a [`Script`].
#[derive(Debug, Clone)]
pub enum Act {
    Send(ConnectionId, Vec<u8>),
    Close(ConnectionId),
    Abort(ConnectionId),
    Confirm(ConnectionId),
}

/// A protocol that records its input, and acts as the test says: in the next pass, or when a peer sends a
/// certain word.
#[derive(Debug, Default)]
pub struct Script {
    /// Actions for the next pass.
    acts: VecDeque<Act>,
    due: Option<time::Instant>,
    /// Actions for when a connection sends exactly this word.
    words: BTreeMap<Vec<u8>, Vec<Act>>,
    /// Whether to close connections at their end of stream, as most protocols do.
    pub closes_at_end: bool,
    /// Whether to keep connections open during a drain.
    pub ignores_drain: bool,
    pub opened: Vec<(ConnectionId, Origin)>,
    pub bytes: BTreeMap<ConnectionId, Vec<u8>>,
    /// The length of each portion, in order of arrival.
    pub portions: Vec<(ConnectionId, usize)>,
    pub ended: Vec<ConnectionId>,
    pub closed: Vec<(ConnectionId, CloseReason)>,
    open: Vec<ConnectionId>,
}

impl Script {
    pub fn closing_at_end() -> Script {
        Script { closes_at_end: true, ..Script::default() }
    }

    pub fn act(&mut self, act: Act) {
        self.acts.push_back(act);
        self.due = Some(time::Instant::ORIGIN);
    }

    pub fn when_told(&mut self, word: &str, acts: impl Into<Vec<Act>>) {
        self.words.insert(word.into(), acts.into());
    }

    pub fn heard(&self, id: ConnectionId) -> &[u8] {
        self.bytes.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Returns the connections of one dial, over all its reconnections.
    pub fn dialed(&self, dial: DialId) -> Vec<ConnectionId> {
        let of = |(id, origin): &(ConnectionId, Origin)| (*origin == Origin::Dialed(dial)).then_some(*id);
        self.opened.iter().filter_map(of).collect()
    }

    fn perform(act: Act, links: &mut Links) {
        match act {
            Act::Send(id, bytes) => links.send(id, &bytes),
            Act::Close(id) => links.close(id),
            Act::Abort(id) => links.abort(id),
            Act::Confirm(id) => links.confirm(id),
        }
    }
}

impl Protocol for Script {
    type Event = ();

    fn handle_open(&mut self, _: Now, id: ConnectionId, _: SocketAddr, origin: Origin, _: &mut Links) {
        self.opened.push((id, origin));
        self.open.push(id);
    }

    fn handle_bytes(&mut self, _: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        self.bytes.entry(id).or_default().extend_from_slice(bytes);
        self.portions.push((id, bytes.len()));
        for act in self.words.get(bytes).cloned().unwrap_or_default() {
            Script::perform(act, links);
        }
        bytes.len()
    }

    fn handle_end(&mut self, _: Now, id: ConnectionId, _: &[u8], links: &mut Links) {
        self.ended.push(id);
        if self.closes_at_end {
            links.close(id);
        }
    }

    fn handle_closed(&mut self, _: Now, id: ConnectionId, reason: CloseReason, _: &mut Links) {
        assert!(self.open.contains(&id), "{id} is closed, but was never opened or is closed twice");
        self.open.retain(|open| *open != id);
        self.closed.push((id, reason));
    }

    fn handle_timeout(&mut self, _: Now, links: &mut Links) {
        self.due = None;
        for act in self.acts.drain(..) {
            Script::perform(act, links);
        }
    }

    fn handle_flushed(&mut self, _: Now, _: &mut Links) {}

    fn drain(&mut self, _: Now, links: &mut Links) {
        if !self.ignores_drain {
            self.open.iter().for_each(|id| links.close(*id));
        }
    }

    fn next_deadline(&self) -> Option<time::Instant> {
        self.due
    }

    fn is_awaited(&self, _: ConnectionId) -> bool {
        false
    }

    fn buffers_min(&self) -> BuffersMin {
        BuffersMin::default()
    }

    fn poll_event(&mut self) -> Option<()> {
        None
    }

    fn poll_record(&mut self, _: Now) -> Option<Record> {
        None
    }

    fn handle_durable(&mut self, _: Now, _: u64, _: &mut Links) {}
}
