//! A world in virtual time: a turn server, its connections, and the peers at their other ends.
//!
//! What lives here is the network and the clock, as a driver with sockets would show them to the protocol: a pass
//! first brings everything readable, then the deadlines with the same `now`, then writes, then the end of what is closed;
//! slots are recycled after that. What is not here: what any of it should mean. An hour takes milliseconds, and a seed
//! replays everything.
//!
//! Peers are of three kinds: moved by hand (most tests), the oldest clients (which read only when they do not sleep, and
//! take one `recv` for one message), and those of a [`TurnClient`], wired back to back with the server.

#![allow(dead_code, reason = "every test uses a part of it")]

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use taketurns::protocol::turns::{
    ClientEvent, Framing, Name, TurnClient, TurnClientConfig, TurnEvent, TurnServer, TurnServerConfig,
};
use taketurns::protocol::{AbortReason, Wish};
use taketurns::protocol::{CloseReason, ConnectionId, DialId, Entropy, Links, Origin, Protocol};
use taketurns::time::Now;

/// What a peer may have queued before it is given up; the default of the protocol.
pub(crate) const OUT_BYTES_MAX: usize = 64 * 1024;

/// More passes than this at one instant: somebody spins.
const PASSES_MAX: usize = 20_000;

/// After this long a server's system finds out that a peer is gone without a word.
const FOUND_DEAD: Duration = Duration::from_secs(20);

/// How long a [`TurnClient`]'s connection takes to be dialed again.
const REDIAL: Duration = Duration::from_millis(100);

pub(crate) fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(crate) fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The value of `key=` in a line.
pub(crate) fn field<'a>(line: &'a str, key: &str) -> &'a str {
    line.split(' ')
        .find_map(|field| field.strip_prefix(key)?.strip_prefix('='))
        .unwrap_or_else(|| panic!("no {key}= in {line:?}"))
}

/// Names one connection's peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Peer(pub(crate) usize);

/// One write of the server: what it brought, to whom, when.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) at: Duration,
    pub(crate) peer: Peer,
    pub(crate) bytes: Vec<u8>,
}

impl Delivery {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// On its way to the server.
enum Up {
    Bytes(Vec<u8>),
    End,
    Reset,
}

/// On its way to one of a [`TurnClient`]'s connections.
enum Down {
    Bytes(Vec<u8>),
    End,
}

enum Kind {
    ByHand,
    Legacy(Legacy),
    /// The n-th connection of the [`TurnClient`].
    Ours(usize),
}

/// The oldest client: one `recv(1024)` compared with `==`; 1 s of sleep after its number, 100 ms after `WAIT`.
struct Legacy {
    name: String,
    number: i64,
    step: i64,
    asleep_until: Instant,
    /// How long after something came it is read, on a busy machine.
    lag: Duration,
    /// When what has come is read.
    reads_at: Instant,
    /// What came while it slept; the next `recv` takes it as one.
    kernel: Vec<u8>,
}

struct PeerState {
    /// Its connection, as the server knows it, while that exists.
    id: Option<ConnectionId>,
    addr: SocketAddr,
    up: VecDeque<(u64, Up)>,
    down: VecDeque<Down>,
    /// Everything that it received, one entry a `recv`.
    recvs: Vec<Delivery>,
    /// How many of `recvs`, and how many bytes of a line that had not ended, were looked at.
    looked: usize,
    unended: Vec<u8>,
    /// How many bytes it still takes; `None`: it reads.
    window: Option<usize>,
    /// What either side sends is lost without a trace.
    lost_up: bool,
    lost_down: bool,
    closed_at: Option<Duration>,
    /// When the server's end finds out that this peer is gone.
    found_dead_at: Option<Instant>,
    kind: Kind,
}

struct ClientSide {
    client: TurnClient,
    links: Links,
    dials: Vec<Dial>,
    events: Vec<ClientEvent>,
    draining: bool,
}

struct Dial {
    connection: Option<(ConnectionId, Peer)>,
    redial_at: Option<Instant>,
}

pub(crate) struct World {
    pub(crate) server: TurnServer,
    links: Links,
    config: TurnServerConfig,
    out_bytes_max: usize,
    start: Instant,
    now: Now,
    pub(crate) rng: fastrand::Rng,
    entropy_seed: u64,
    peers: Vec<PeerState>,
    by_connection: HashMap<ConnectionId, Peer>,
    /// Connections that ended in this pass; their slots are free after it.
    gone: Vec<ConnectionId>,
    sequence: u64,
    client: Option<ClientSide>,
    server_is_up: bool,
    /// Every write of the server, in the order of the writes.
    pub(crate) deliveries: Vec<Delivery>,
    /// Every event of the server, with its time.
    pub(crate) events: Vec<(Duration, TurnEvent)>,
    events_looked: usize,
    pub(crate) passes: u64,
    /// Lines are cut at random places on their way (line framing).
    pub(crate) chunking: bool,
    /// What is readable in one pass comes in a random order.
    pub(crate) shuffling: bool,
}

#[allow(
    clippy::disallowed_methods,
    reason = "an Instant can only be made by reading the clock; any one will do"
)]
fn some_instant() -> Instant {
    Instant::now()
}

/// Some time, for what needs one and no other.
pub(crate) fn some_now() -> Now {
    Now { instant: some_instant(), wall: SystemTime::UNIX_EPOCH }
}

fn seeded_entropy(seed: u64) -> Entropy {
    let mut rng = fastrand::Rng::with_seed(seed);
    Box::new(move |bytes| rng.fill(bytes))
}

impl World {
    pub(crate) fn new(config: TurnServerConfig, seed: u64) -> World {
        World::with_out_bytes_max(config, seed, OUT_BYTES_MAX)
    }

    pub(crate) fn with_out_bytes_max(config: TurnServerConfig, seed: u64, out_bytes_max: usize) -> World {
        let start = some_instant();
        let wall = SystemTime::UNIX_EPOCH + secs(1_700_000_000);
        World {
            server: TurnServer::new(config.clone(), seeded_entropy(seed)),
            links: Links::new(out_bytes_max),
            chunking: config.framing == Framing::Line,
            config,
            out_bytes_max,
            start,
            now: Now { instant: start, wall },
            rng: fastrand::Rng::with_seed(seed ^ 0x5eed),
            entropy_seed: seed,
            peers: Vec::new(),
            by_connection: HashMap::new(),
            gone: Vec::new(),
            sequence: 0,
            client: None,
            server_is_up: true,
            deliveries: Vec::new(),
            events: Vec::new(),
            events_looked: 0,
            passes: 0,
            shuffling: false,
        }
    }

    /// Virtual time since the world began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now.instant - self.start
    }

    /// What `instant` is in the world's own time.
    pub(crate) fn time_of(&self, instant: Instant) -> Duration {
        instant - self.start
    }

    // What peers do. Each comes to the server with the next pass.

    /// A connection comes in; what follows from that at once, happens.
    pub(crate) fn connect(&mut self) -> Peer {
        let peer = self.connect_quietly();
        self.drive();
        peer
    }

    /// A connection comes in, in the same pass as what is done next.
    pub(crate) fn connect_quietly(&mut self) -> Peer {
        self.open(Kind::ByHand)
    }

    /// One of the oldest clients connects.
    pub(crate) fn connect_legacy(&mut self, name: &str, number: i64, step: i64) -> Peer {
        let peer = self.connect_legacy_quietly(name, number, step);
        self.drive();
        peer
    }

    pub(crate) fn connect_legacy_quietly(&mut self, name: &str, number: i64, step: i64) -> Peer {
        let legacy = Legacy {
            name: name.to_owned(),
            number,
            step,
            asleep_until: self.now.instant,
            lag: ms(self.rng.u64(0..95)),
            reads_at: self.now.instant,
            kernel: Vec::new(),
        };
        self.open(Kind::Legacy(legacy))
    }

    /// `peer` sends `text`, and what follows from that at once, happens. In the line framing a `\n` is added.
    pub(crate) fn say(&mut self, peer: Peer, text: &str) {
        self.queue(peer, text);
        self.drive();
    }

    /// As [`say`](Self::say), in the same pass as what is done next.
    pub(crate) fn queue(&mut self, peer: Peer, text: &str) {
        match self.config.framing {
            Framing::Raw => self.queue_bytes(peer, text.as_bytes()),
            Framing::Line => self.queue_bytes(peer, format!("{text}\n").as_bytes()),
        }
    }

    /// `peer` sends exactly `bytes`.
    pub(crate) fn say_bytes(&mut self, peer: Peer, bytes: &[u8]) {
        self.queue_bytes(peer, bytes);
        self.drive();
    }

    pub(crate) fn queue_bytes(&mut self, peer: Peer, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let whole = !self.chunking || self.rng.bool();
            let cut =
                if whole { rest.len().min(16 * 1024) } else { self.rng.usize(1..=rest.len().min(16 * 1024)) };
            self.queue_up(peer, Up::Bytes(rest[..cut].to_vec()));
            rest = &rest[cut..];
        }
    }

    /// `peer` finishes sending, and still reads.
    pub(crate) fn half_close(&mut self, peer: Peer) {
        self.half_close_quietly(peer);
        self.drive();
    }

    pub(crate) fn half_close_quietly(&mut self, peer: Peer) {
        self.queue_up(peer, Up::End);
    }

    /// `peer` is gone, and the server sees it.
    pub(crate) fn reset(&mut self, peer: Peer) {
        self.reset_quietly(peer);
        self.drive();
    }

    pub(crate) fn reset_quietly(&mut self, peer: Peer) {
        self.queue_up(peer, Up::Reset);
    }

    /// The program of the legacy client `peer` is stopped for `time`.
    pub(crate) fn stall(&mut self, peer: Peer, time: Duration) {
        let until = self.now.instant + time;
        if let Kind::Legacy(legacy) = &mut self.peers[peer.0].kind {
            legacy.asleep_until = legacy.asleep_until.max(until);
            legacy.reads_at = legacy.reads_at.max(until);
        }
    }

    /// From now on nothing that `peer` sends arrives.
    pub(crate) fn lose_up(&mut self, peer: Peer) {
        self.peers[peer.0].lost_up = true;
    }

    /// From now on `peer` receives nothing, though the server can write.
    pub(crate) fn lose_down(&mut self, peer: Peer) {
        self.peers[peer.0].lost_down = true;
    }

    /// From now on `peer` does not read: its system takes `room` more bytes and no more.
    pub(crate) fn stop_reading(&mut self, peer: Peer, room: usize) {
        self.peers[peer.0].window = Some(room);
    }

    /// `peer` reads again, and gets what waited.
    pub(crate) fn read_again(&mut self, peer: Peer) {
        self.peers[peer.0].window = None;
        if let Some(id) = self.peers[peer.0].id {
            self.write_to(id, peer);
        }
        self.drive();
    }

    // What the host does.

    pub(crate) fn drain(&mut self) {
        self.server.drain(self.now, &mut self.links);
        self.drive();
    }

    /// The server dies, and every connection with it.
    pub(crate) fn kill_server(&mut self) {
        self.server_is_up = false;
        self.links = Links::new(self.out_bytes_max);
        self.by_connection.clear();
        self.gone.clear();
        let at = self.elapsed();
        for state in self.peers.iter_mut().filter(|state| state.id.is_some()) {
            state.id = None;
            state.up.clear();
            state.closed_at = Some(at);
            state.down.push_back(Down::End);
        }
    }

    /// Another life of the server begins.
    pub(crate) fn start_server(&mut self) {
        self.entropy_seed += 1000;
        self.server = TurnServer::new(self.config.clone(), seeded_entropy(self.entropy_seed));
        self.server_is_up = true;
    }

    // Our own client.

    /// Adds the connections of a [`TurnClient`]: the n-th is `clients[n]`'s, and each dials at once.
    pub(crate) fn run_client(&mut self, config: TurnClientConfig, clients: &[(&str, i64, i64)]) {
        let mut client = TurnClient::new(config);
        let mut dials = Vec::new();
        for &(name, start, step) in clients {
            client.add(name.parse::<Name>().expect("a valid name"), start, step);
            dials.push(Dial { connection: None, redial_at: Some(self.now.instant) });
        }
        let links = Links::new(self.out_bytes_max);
        self.client = Some(ClientSide { client, links, dials, events: Vec::new(), draining: false });
        self.drive();
    }

    pub(crate) fn client(&self) -> &TurnClient {
        &self.client.as_ref().expect("a client runs").client
    }

    pub(crate) fn client_events(&self) -> &[ClientEvent] {
        &self.client.as_ref().expect("a client runs").events
    }

    /// Where the client's n-th connection ends at the server's side.
    pub(crate) fn client_peer(&self, index: usize) -> Option<Peer> {
        self.client.as_ref().expect("a client runs").dials[index].connection.map(|(_, peer)| peer)
    }

    /// The client's n-th connection breaks at the client's end; the server sees that 20 s later.
    pub(crate) fn break_client_end(&mut self, index: usize) {
        let Some(peer) = self.client_peer(index) else { return };
        self.peers[peer.0].lost_up = true;
        self.peers[peer.0].lost_down = true;
        self.peers[peer.0].found_dead_at = Some(self.now.instant + FOUND_DEAD);
        self.client_closed(index, CloseReason::Broken(ErrorKind::TimedOut));
    }

    /// The client's n-th connection breaks, and both ends see it.
    pub(crate) fn break_connection(&mut self, index: usize) {
        let Some(peer) = self.client_peer(index) else { return };
        self.client_closed(index, CloseReason::Broken(ErrorKind::ConnectionReset));
        self.peers[peer.0].lost_up = false;
        self.peers[peer.0].up.clear();
        self.reset(peer);
    }

    pub(crate) fn drain_client(&mut self) {
        let side = self.client.as_mut().expect("a client runs");
        side.draining = true;
        side.client.drain(self.now, &mut side.links);
        self.drive();
    }

    // What was seen.

    /// What `peer` received since it was last looked at: lines in the line framing, in the raw one `recv`s.
    pub(crate) fn heard(&mut self, peer: Peer) -> Vec<String> {
        let state = &mut self.peers[peer.0];
        let new = state.recvs[state.looked..].iter();
        let heard = match self.config.framing {
            Framing::Raw => new.map(Delivery::text).collect(),
            Framing::Line => {
                let mut bytes = std::mem::take(&mut state.unended);
                new.for_each(|recv| bytes.extend_from_slice(&recv.bytes));
                let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
                state.unended = bytes.split_off(end);
                let text = String::from_utf8(bytes).expect("the server speaks UTF-8");
                text.lines().map(str::to_owned).collect()
            }
        };
        state.looked = state.recvs.len();
        heard
    }

    /// Every `recv` of `peer`, from the beginning.
    pub(crate) fn recvs(&self, peer: Peer) -> &[Delivery] {
        &self.peers[peer.0].recvs
    }

    /// Whether what the server writes to `peer` is lost.
    pub(crate) fn is_deaf(&self, peer: Peer) -> bool {
        self.peers[peer.0].lost_down
    }

    pub(crate) fn is_open(&self, peer: Peer) -> bool {
        self.peers[peer.0].id.is_some()
    }

    /// When the server closed the connection of `peer`.
    pub(crate) fn closed_at(&self, peer: Peer) -> Option<Duration> {
        self.peers[peer.0].closed_at
    }

    pub(crate) fn addr(&self, peer: Peer) -> SocketAddr {
        self.peers[peer.0].addr
    }

    /// What the server reported since this was last asked.
    pub(crate) fn new_events(&mut self) -> Vec<TurnEvent> {
        let new = self.events[self.events_looked..].iter().map(|(_, event)| event.clone()).collect();
        self.events_looked = self.events.len();
        new
    }

    /// Every accepted answer so far.
    pub(crate) fn accepted(&self) -> Vec<(String, i64)> {
        let accepted = self.events.iter().filter_map(|(_, event)| match event {
            TurnEvent::Accepted { name, number, .. } => Some((name.as_str().to_owned(), *number)),
            _ => None,
        });
        accepted.collect()
    }

    /// Whether `peer` has sent something that has not been read.
    pub(crate) fn has_under_way(&self, peer: Peer) -> bool {
        !self.peers[peer.0].up.is_empty()
    }

    // Time.

    /// Passes until nothing happens any more at this instant.
    pub(crate) fn drive(&mut self) {
        for _ in 0..PASSES_MAX {
            if !self.step() {
                return;
            }
        }
        panic!("{PASSES_MAX} passes at one instant");
    }

    /// `time` goes by, and everything in it happens when it is due.
    pub(crate) fn drive_for(&mut self, time: Duration) {
        let done = self.drive_bounded(time, |_| false);
        assert!(!done);
    }

    /// Until `is_done`, but no longer than `time`; whether it was.
    pub(crate) fn drive_bounded(
        &mut self,
        time: Duration,
        mut is_done: impl FnMut(&mut World) -> bool,
    ) -> bool {
        let until = self.now.instant + time;
        loop {
            for pass in 0.. {
                assert!(pass < PASSES_MAX, "{PASSES_MAX} passes at one instant");
                if is_done(self) {
                    return true;
                }
                if !self.step() {
                    break;
                }
            }
            if self.now.instant >= until {
                return is_done(self);
            }
            let next = self.next_event().filter(|&next| next <= until).unwrap_or(until);
            self.set_time(next);
        }
    }

    /// Time goes by in which nobody gets to do anything: the process was stopped.
    pub(crate) fn skip_time(&mut self, time: Duration) {
        self.set_time(self.now.instant + time);
    }

    fn set_time(&mut self, instant: Instant) {
        let passed = instant - self.now.instant;
        self.now = Now { instant, wall: self.now.wall + passed };
    }

    /// When something will happen by itself.
    fn next_event(&self) -> Option<Instant> {
        let server = self.server.next_deadline().filter(|_| self.server_is_up);
        let legacy = self.peers.iter().filter_map(|state| match &state.kind {
            Kind::Legacy(legacy) if !legacy.kernel.is_empty() => Some(legacy.reads_at),
            _ => None,
        });
        let client = self.client.iter().flat_map(|side| {
            let redials = side.dials.iter().filter_map(|dial| dial.redial_at);
            redials.chain(side.client.next_deadline())
        });
        let dead = self.peers.iter().filter_map(|state| state.found_dead_at);
        server.into_iter().chain(dead).chain(legacy).chain(client).min()
    }

    /// One pass of the loop; whether anything happened.
    pub(crate) fn step(&mut self) -> bool {
        self.passes += 1;
        let mut busy = self.read();
        if self.server_is_up && self.server.next_deadline().is_some_and(|due| due <= self.now.instant) {
            self.server.handle_timeout(self.now, &mut self.links);
            busy = true;
        }
        busy |= self.flush();
        busy |= self.run_legacy();
        busy |= self.pass_client();
        self.look();
        busy
    }

    fn look(&mut self) {
        let at = self.elapsed();
        while let Some(event) = self.server.poll_event() {
            self.events.push((at, event));
        }
        self.server.scheduler().check_invariants().expect("the scheduler's invariants hold after every pass");
    }

    // One pass, in its parts.

    fn open(&mut self, kind: Kind) -> Peer {
        let peer = Peer(self.peers.len());
        let [high, low] = u16::try_from(peer.0).expect("fewer than 65,536 peers").to_be_bytes();
        let addr = SocketAddr::from(([10, 0, high, low], 40_000));
        let id = self.links.open(addr);
        self.peers.push(PeerState {
            id: Some(id),
            addr,
            up: VecDeque::new(),
            down: VecDeque::new(),
            recvs: Vec::new(),
            looked: 0,
            unended: Vec::new(),
            window: None,
            lost_up: false,
            lost_down: false,
            closed_at: None,
            found_dead_at: None,
            kind,
        });
        self.by_connection.insert(id, peer);
        self.server.handle_open(self.now, id, addr, Origin::Accepted, &mut self.links);
        peer
    }

    fn queue_up(&mut self, peer: Peer, up: Up) {
        let state = &mut self.peers[peer.0];
        if !state.lost_up && state.id.is_some() {
            state.up.push_back((self.sequence, up));
            self.sequence += 1;
        }
    }

    /// Everything readable: one parcel of each peer that has any.
    fn read(&mut self) -> bool {
        for state in &mut self.peers {
            if state.found_dead_at.take_if(|due| *due <= self.now.instant).is_some() && state.id.is_some() {
                state.up.push_back((self.sequence, Up::Reset));
            }
        }
        let ready = self.peers.iter().enumerate();
        let mut ready: Vec<_> = ready
            .filter_map(|(at, state)| state.up.front().map(|&(sequence, _)| (sequence, Peer(at))))
            .collect();
        ready.sort_unstable();
        if self.shuffling {
            self.rng.shuffle(&mut ready);
        }
        for &(_, peer) in &ready {
            let state = &mut self.peers[peer.0];
            let Some((_, up)) = state.up.pop_front() else { continue };
            let Some(id) = state.id else {
                state.up.clear();
                continue;
            };
            match up {
                Up::Bytes(bytes) => self.server.handle_bytes(self.now, id, &bytes, &mut self.links),
                Up::End => self.server.handle_end(self.now, id, &mut self.links),
                Up::Reset => {
                    let reason = CloseReason::Broken(ErrorKind::ConnectionReset);
                    self.ended(id, peer);
                    self.server.handle_closed(self.now, id, reason, &mut self.links);
                }
            }
        }
        !ready.is_empty()
    }

    fn ended(&mut self, id: ConnectionId, peer: Peer) {
        let at = self.elapsed();
        let state = &mut self.peers[peer.0];
        state.id = None;
        state.up.clear();
        state.closed_at = Some(at);
        state.down.push_back(Down::End);
        self.by_connection.remove(&id);
        self.gone.push(id);
    }

    /// Writes what was asked for and ends what was asked to end, until nothing more follows from that.
    fn flush(&mut self) -> bool {
        let mut busy = false;
        loop {
            let mut ending = Vec::new();
            while let Some(id) = self.links.take_touched() {
                busy = true;
                let Some(&peer) = self.by_connection.get(&id) else { continue };
                match self.links.wish_of(id) {
                    Wish::Keep => self.write_to(id, peer),
                    Wish::Close => {
                        self.write_to(id, peer);
                        ending.push((id, peer, CloseReason::Unwanted));
                    }
                    Wish::Abort(AbortReason::Unwanted) => ending.push((id, peer, CloseReason::Unwanted)),
                    Wish::Abort(AbortReason::SlowReader) => ending.push((id, peer, CloseReason::SlowReader)),
                }
            }
            if ending.is_empty() {
                break;
            }
            for (id, peer, reason) in ending {
                self.ended(id, peer);
                self.server.handle_closed(self.now, id, reason, &mut self.links);
            }
        }
        self.server.handle_flushed(self.now, &mut self.links);
        for id in self.gone.drain(..) {
            self.links.remove(id);
        }
        busy
    }

    /// Writes what is queued for `id` as far as its peer takes it: one write, one `recv`.
    fn write_to(&mut self, id: ConnectionId, peer: Peer) {
        let at = self.elapsed();
        let state = &mut self.peers[peer.0];
        let unsent = self.links.unsent(id);
        let count = state.window.map_or(unsent.len(), |room| room.min(unsent.len()));
        if count == 0 {
            return;
        }
        let delivery = Delivery { at, peer, bytes: unsent[..count].to_vec() };
        self.links.consume(id, count);
        state.window = state.window.map(|room| room - count);
        self.deliveries.push(delivery.clone());
        if state.lost_down {
            return;
        }
        match &mut state.kind {
            Kind::ByHand => state.recvs.push(delivery),
            Kind::Legacy(legacy) => {
                if legacy.kernel.is_empty() {
                    legacy.reads_at = legacy.asleep_until.max(self.now.instant + legacy.lag);
                }
                legacy.kernel.extend_from_slice(&delivery.bytes);
            }
            Kind::Ours(_) => state.down.push_back(Down::Bytes(delivery.bytes)),
        }
    }

    fn run_legacy(&mut self) -> bool {
        let mut busy = false;
        for at in 0..self.peers.len() {
            let now = self.elapsed();
            let PeerState { kind: Kind::Legacy(legacy), recvs, .. } = &mut self.peers[at] else { continue };
            if legacy.kernel.is_empty() || legacy.reads_at > self.now.instant {
                continue;
            }
            busy = true;
            let rest = legacy.kernel.split_off(legacy.kernel.len().min(1024));
            let bytes = std::mem::replace(&mut legacy.kernel, rest);
            let mut says = None;
            match bytes.as_slice() {
                b"GO" => {
                    says = Some(format!("{}:{}", legacy.name, legacy.number));
                    legacy.number += legacy.step;
                    legacy.asleep_until = self.now.instant + secs(1);
                }
                b"WAIT" => legacy.asleep_until = self.now.instant + ms(100),
                _ => {}
            }
            recvs.push(Delivery { at: now, peer: Peer(at), bytes });
            if let Some(says) = says {
                self.queue_up(Peer(at), Up::Bytes(says.into_bytes()));
            }
        }
        busy
    }

    fn pass_client(&mut self) -> bool {
        let Some(mut side) = self.client.take() else { return false };
        let mut busy = false;
        for index in 0..side.dials.len() {
            let dial = &mut side.dials[index];
            if let Some(due) = dial.redial_at
                && due <= self.now.instant
            {
                busy = true;
                if !self.server_is_up {
                    dial.redial_at = Some(self.now.instant + REDIAL);
                    continue;
                }
                let peer = self.open(Kind::Ours(index));
                let id = side.links.open(self.peers[peer.0].addr);
                side.dials[index] = Dial { connection: Some((id, peer)), redial_at: None };
                let origin = Origin::Dialed(DialId(index));
                side.client.handle_open(self.now, id, self.peers[peer.0].addr, origin, &mut side.links);
            }
            let Some((id, peer)) = side.dials[index].connection else { continue };
            while let Some(down) = self.peers[peer.0].down.pop_front() {
                busy = true;
                match down {
                    Down::Bytes(bytes) => {
                        // A stream may be cut anywhere, in both framings.
                        let mut rest = bytes.as_slice();
                        while !rest.is_empty() {
                            let cut = self.rng.usize(1..=rest.len());
                            side.client.handle_bytes(self.now, id, &rest[..cut], &mut side.links);
                            rest = &rest[cut..];
                        }
                    }
                    Down::End => side.client.handle_end(self.now, id, &mut side.links),
                }
            }
        }
        if side.client.next_deadline().is_some_and(|due| due <= self.now.instant) {
            side.client.handle_timeout(self.now, &mut side.links);
            busy = true;
        }
        let mut ending = Vec::new();
        while let Some(id) = side.links.take_touched() {
            busy = true;
            let mut dials = side.dials.iter().enumerate();
            let found = dials.find_map(|(index, dial)| {
                let (known, peer) = dial.connection?;
                (known == id).then_some((index, peer))
            });
            let Some((index, peer)) = found else { continue };
            let bytes = side.links.unsent(id).to_vec();
            let wish = side.links.wish_of(id);
            if !matches!(wish, Wish::Abort(_)) && !bytes.is_empty() {
                side.links.consume(id, bytes.len());
                self.queue_bytes(peer, &bytes);
            }
            if wish != Wish::Keep {
                self.queue_up(peer, Up::End);
                ending.push(index);
            }
        }
        side.client.handle_flushed(self.now, &mut side.links);
        side.events.extend(std::iter::from_fn(|| side.client.poll_event()));
        self.client = Some(side);
        for index in ending {
            self.client_closed(index, CloseReason::Finished);
        }
        busy
    }

    fn client_closed(&mut self, index: usize, reason: CloseReason) {
        let Some(side) = &mut self.client else { return };
        let Some((id, peer)) = side.dials[index].connection.take() else { return };
        self.peers[peer.0].down.clear();
        side.client.handle_closed(self.now, id, reason, &mut side.links);
        side.events.extend(std::iter::from_fn(|| side.client.poll_event()));
        side.links.remove(id);
        if !side.draining {
            side.dials[index].redial_at = Some(self.now.instant + REDIAL);
        }
    }
}

// What is logged.

thread_local! {
    /// What this thread has logged: a test has a thread of its own.
    static LOGGED: RefCell<Vec<(log::Level, String)>> = const { RefCell::new(Vec::new()) };
}

struct Listener;

impl log::Log for Listener {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LOGGED.with_borrow_mut(|logged| logged.push((record.level(), record.args().to_string())));
    }

    fn flush(&self) {}
}

/// From now on what this thread logs is kept.
pub(crate) fn listen_to_log() {
    static LISTENER: Listener = Listener;
    // Another test was first: the same listener hears for all.
    let _ = log::set_logger(&LISTENER);
    log::set_max_level(log::LevelFilter::Trace);
    take_log();
}

/// What this thread has logged since it was last asked.
pub(crate) fn take_log() -> Vec<(log::Level, String)> {
    LOGGED.take()
}
