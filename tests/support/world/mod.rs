//! A world in virtual time: a turn server, its connections, and the peers at their other ends.
//!
//! What lives here is the network and the clock: [`Net`] has the sockets on which the server's [`Engine`] runs, so a pass is the one that programs
//! run. What is not here: what any of it should mean. An hour takes milliseconds, and a seed replays everything.
//!
//! Peers are of three kinds: moved by hand (most tests), the oldest clients (which read only when they do not sleep, and
//! take one `recv` for one message), and those of a [`TurnClient`](taketurns::protocol::turns::TurnClient), wired back to
//! back with the server.

#![allow(dead_code, unused_imports, reason = "every test uses a part of it")]

// peer.rs       what a peer can do to its connection, and what it saw
// sockets.rs    what the server's engine reads and writes
// legacy.rs     the oldest clients
// client.rs     the connections of a TurnClient
// journal.rs    what happened, for people and as a hash

mod client;
mod journal;
mod legacy;
mod peer;
#[path = "../rests.rs"]
mod rests;
mod sockets;

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, SystemTime};

use taketurns::engine::{DriverConfig, Engine, Event, Ready};
use taketurns::protocol::turns::{Framing, TurnEvent, TurnServer, TurnServerConfig};
use taketurns::protocol::{ConnectionId, Entropy, Protocol};
use taketurns::time::{Instant, Now};

use client::ClientSide;
pub(crate) use journal::{Journal, is_journal_kept, note, start_journal, take_journal};
use legacy::Legacy;
use peer::Kind;
pub(crate) use peer::{Delivery, Peer};
pub(crate) use sockets::Net;

/// What a peer may have queued before it is given up; the default of the protocol.
pub(crate) const OUT_BYTES_MAX: usize = 64 * 1024;

/// What a peer sends at most at once; the default read of the driver, as is the time below.
const READ_BYTES_MAX: usize = 16 * 1024;
pub(crate) const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// More passes than this at one instant: somebody spins.
const PASSES_MAX: usize = 20_000;

/// After this long a server's system finds out that a peer is gone without a word.
const FOUND_DEAD: Duration = Duration::from_secs(20);

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

pub(crate) struct World {
    engine: Engine<TurnServer, Net>,
    out_bytes_max: usize,
    entropy_seed: u64,
    client: Option<ClientSide>,
    /// Every event of the server, with its time.
    pub(crate) events: Vec<(Duration, TurnEvent)>,
    events_looked: usize,
    pub(crate) passes: u64,
}

/// The network is the world's as well as the engine's.
impl Deref for World {
    type Target = Net;

    fn deref(&self) -> &Net {
        self.engine.sockets()
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Net {
        self.engine.sockets_mut()
    }
}

/// Some time, for what needs one and no other.
pub(crate) fn some_now() -> Now {
    Now::ORIGIN
}

fn seeded_entropy(seed: u64) -> Entropy {
    let mut rng = fastrand::Rng::with_seed(seed);
    Box::new(move |bytes| rng.fill(bytes))
}

/// A server in its life number `seed`, on `net`.
fn engine(net: Net, seed: u64, out_bytes_max: usize) -> Engine<TurnServer, Net> {
    let config = DriverConfig { out_bytes_max, max_connections: usize::MAX, ..DriverConfig::default() };
    let server = TurnServer::new(net.config.clone(), seeded_entropy(seed));
    let start = net.now.instant;
    let mut engine = Engine::new(net, server, config, seeded_entropy(seed), start);
    let addr = ([10, 0, 0, 1], 5001).into();
    let Ok(()) = engine.listen(addr, |_, _| Ok::<_, Infallible>(()));
    engine
}

impl World {
    pub(crate) fn new(config: TurnServerConfig, seed: u64) -> World {
        World::with_out_bytes_max(config, seed, OUT_BYTES_MAX)
    }

    pub(crate) fn with_out_bytes_max(config: TurnServerConfig, seed: u64, out_bytes_max: usize) -> World {
        World {
            engine: engine(Net::new(config, seed), seed, out_bytes_max),
            out_bytes_max,
            entropy_seed: seed,
            client: None,
            events: Vec::new(),
            events_looked: 0,
            passes: 0,
        }
    }

    /// The server under test.
    pub(crate) fn server(&self) -> &TurnServer {
        self.engine.protocol()
    }

    /// What `instant` is in the world's own time.
    pub(crate) fn time_of(&self, instant: Instant) -> Duration {
        instant - self.start
    }

    pub(crate) fn config(&self) -> &TurnServerConfig {
        &self.config
    }

    // What the host does.

    pub(crate) fn drain(&mut self) {
        self.drain_quietly();
        self.drive();
    }

    pub(crate) fn drain_quietly(&mut self) {
        note!(self, "the server drains");
        let now = self.now;
        self.engine.drain(now);
        self.take_events();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.engine.is_draining()
    }

    /// The host does not want `peer` any more.
    pub(crate) fn kick_quietly(&mut self, peer: Peer) {
        if let Some(id) = self.peers[peer.0].id {
            note!(self, "the host kicks {peer}");
            let now = self.now;
            self.engine.act(now, |server, links| server.kick(now, id, links));
            self.take_events();
        }
    }

    /// The host does not want any of `peers` any more, and says so at once.
    pub(crate) fn kick_all(&mut self, peers: &[Peer]) {
        let now = self.now;
        let ids: Vec<_> = peers.iter().filter_map(|peer| self.peers[peer.0].id).collect();
        self.engine.act(now, |server, links| ids.iter().for_each(|&id| server.kick(now, id, links)));
        self.take_events();
        self.drive();
    }

    /// The server dies, and every connection with it.
    pub(crate) fn kill_server(&mut self) {
        note!(self, "the server dies");
        let at = self.elapsed();
        self.server_is_up = false;
        self.by_connection.clear();
        self.newcomers.clear();
        self.writable.clear();
        self.peers.iter_mut().for_each(|state| state.lose(at));
    }

    /// Another life of the server begins.
    pub(crate) fn start_server(&mut self) {
        note!(self, "the server starts");
        self.entropy_seed += 1000;
        self.server_is_up = true;
        let nowhere = Net::new(self.config.clone(), 0);
        let net = std::mem::replace(self.engine.sockets_mut(), nowhere);
        self.engine = engine(net, self.entropy_seed, self.out_bytes_max);
    }

    // What the host sees.

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

    /// Whose the connection `id` is, or was in this life of the server.
    pub(crate) fn peer_of(&self, id: ConnectionId) -> Option<Peer> {
        self.by_connection.get(&id).copied()
    }

    /// How many connections the server's system keeps, those about to be closed included.
    pub(crate) fn connections(&self) -> usize {
        if self.server_is_up { self.engine.connections() } else { 0 }
    }

    /// Whether the server has not given the connection of `peer` up.
    pub(crate) fn is_open(&self, peer: Peer) -> bool {
        let is_open = |id| self.engine.links().is_open(id);
        self.is_arriving(peer) || self.peers[peer.0].id.is_some_and(is_open)
    }

    /// How many bytes the server has queued for `peer`.
    pub(crate) fn queued(&self, peer: Peer) -> usize {
        self.peers[peer.0].id.map_or(0, |id| self.engine.links().unsent(id).len())
    }

    /// No more is queued for anybody than is allowed, and who has finished sending is given up.
    pub(crate) fn check_connections(&self) {
        for &at in &self.live {
            let peer = Peer(at);
            let heard = self.peers[at].ended && self.is_open(peer);
            assert!(!heard, "T10: {peer} has finished sending and is not given up");
            let queued = self.queued(peer);
            assert!(queued <= 16 * self.out_bytes_max, "S4: {queued} bytes are queued for {peer}");
        }
    }

    // Time.

    /// One pass of the loop; whether anything happened.
    pub(crate) fn step(&mut self) -> bool {
        self.passes += 1;
        let mut busy = self.server_is_up && self.pass_server();
        busy |= self.run_legacy();
        busy |= self.pass_client();
        self.server()
            .scheduler()
            .check_invariants()
            .expect("the scheduler's invariants hold after every pass");
        let Net { live, peers, .. } = &mut **self;
        live.retain(|&at| !peers[at].is_over());
        busy
    }

    /// What has happened since the last pass, for the server's engine.
    fn pass_server(&mut self) -> bool {
        let now = self.now;
        let ready = self.take_ready();
        let mut busy = !ready.is_empty() || self.engine.is_due(now) || self.has_leftovers();
        for (id, ready) in ready {
            match ready.read_closed {
                true => self.engine.handle_ready(now, id, ready),
                false => self.engine.handle_readable(now, id),
            }
        }
        for id in self.take_writable() {
            busy = true;
            self.engine.handle_ready(now, id, Ready { readable: false, writable: true, read_closed: false });
        }
        busy |= !self.newcomers.is_empty();
        if self.is_draining() {
            self.hand_in_newcomers();
        } else if !self.newcomers.is_empty() {
            self.engine.handle_knock(0);
        }
        self.engine.finish_batch(now).expect("events were taken");
        self.take_events();
        busy
    }

    /// A server that drains does not listen any more: its host hands in who comes nevertheless.
    fn hand_in_newcomers(&mut self) {
        let now = self.now;
        while let Some(peer) = self.newcomers.pop_front() {
            let addr = self.addr(peer);
            self.engine.adopt(now, peer, addr).expect("it is connected");
        }
    }

    /// Whether there is more to do at this instant.
    pub(crate) fn is_busy(&self) -> bool {
        self.server_is_up && self.has_leftovers()
    }

    fn has_leftovers(&self) -> bool {
        self.engine.next_deadline().is_some_and(|due| due <= self.now.instant)
    }

    fn take_events(&mut self) {
        let at = self.elapsed();
        while let Some(event) = self.engine.poll_event() {
            match event {
                Event::Protocol(event) => {
                    note!(self, "         {event:?}");
                    self.hash.add_event(&event);
                    self.events.push((at, event));
                }
                Event::Closed { connection, reason, .. } => {
                    if let Some(peer) = self.peer_of(connection) {
                        note!(self, "{peer} is gone: {reason}");
                    }
                }
                _ => {}
            }
        }
    }

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

    /// `time` goes by, as [`drive_for`](Self::drive_for) does it, beginning with a pass; `after_pass` is called after each.
    pub(crate) fn run(&mut self, time: Duration, mut after_pass: impl FnMut(&mut World)) {
        let until = self.now.instant + time;
        let mut passes = 0;
        loop {
            let busy = self.step();
            after_pass(self);
            passes += 1;
            assert!(passes < PASSES_MAX, "A2: {PASSES_MAX} passes at one instant");
            if busy {
                continue;
            }
            if self.now.instant >= until {
                return;
            }
            let next = self.next_event().filter(|&next| next <= until).unwrap_or(until);
            self.set_time(next);
            passes = 0;
        }
    }

    /// Time goes by in which the server gets to do nothing: its process was stopped.
    pub(crate) fn skip_time(&mut self, time: Duration) {
        note!(self, "the server stands still for {time:?}");
        let until = self.now.instant + time;
        // The oldest clients do not stand still.
        while let Some(due) = self.next_legacy().filter(|&due| due <= until) {
            self.set_time(due.max(self.now.instant));
            self.run_legacy();
        }
        self.set_time(until);
    }

    fn set_time(&mut self, instant: Instant) {
        let Now { instant: before, wall } = self.now;
        self.now = Now { instant, wall: wall + (instant - before) };
    }

    /// When something will happen by itself.
    fn next_event(&self) -> Option<Instant> {
        let server = self.engine.next_deadline().filter(|_| self.server_is_up);
        let peers = self.live.iter().filter_map(|&at| self.peers[at].next_event());
        let client = self.client.as_ref().and_then(ClientSide::next_event);
        server.into_iter().chain(peers).chain(client).min()
    }
}
