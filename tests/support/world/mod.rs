//! A world in virtual time: a turn server, its connections, and the peers at their other ends.
//!
//! What lives here is the network and the clock, as a driver with sockets would show them to the protocol: a pass
//! first brings everything readable, then newcomers, then the deadlines with the same `now`, then writes, then the end of what is
//! closed; slots are recycled after that. What is not here: what any of it should mean. An hour takes milliseconds, and a
//! seed replays everything.
//!
//! Peers are of three kinds: moved by hand (most tests), the oldest clients (which read only when they do not sleep, and
//! take one `recv` for one message), and those of a [`TurnClient`](taketurns::protocol::turns::TurnClient), wired back to
//! back with the server.

#![allow(dead_code, unused_imports, reason = "every test uses a part of it")]

// peer.rs       what a peer can do to its connection, and what it saw
// pass.rs       one pass of the driver, without sockets
// legacy.rs     the oldest clients
// client.rs     the connections of a TurnClient
// journal.rs    what happened, for people and as a hash

mod client;
mod journal;
mod legacy;
mod pass;
mod peer;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime};

use taketurns::protocol::turns::{Framing, TurnEvent, TurnServer, TurnServerConfig};
use taketurns::protocol::{ConnectionId, Entropy, Links, Protocol};
use taketurns::time::{Instant, Now};

use client::ClientSide;
pub(crate) use journal::{Journal, is_journal_kept, note, start_journal, take_journal};
use legacy::Legacy;
pub(crate) use peer::{Delivery, Peer};
use peer::{Kind, PeerState};

/// What a peer may have queued before it is given up; the default of the protocol.
pub(crate) const OUT_BYTES_MAX: usize = 64 * 1024;

/// What one read brings at most; the default of the driver, as are the times below.
const READ_BYTES_MAX: usize = 16 * 1024;
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
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
    pub(crate) server: TurnServer,
    links: Links,
    config: TurnServerConfig,
    out_bytes_max: usize,
    start: Instant,
    now: Now,
    pub(crate) rng: fastrand::Rng,
    entropy_seed: u64,
    peers: Vec<PeerState>,
    /// Those that something may still happen to.
    live: Vec<usize>,
    /// Also those that are gone, while the server lives.
    by_connection: HashMap<ConnectionId, Peer>,
    /// Connected, and not accepted yet.
    newcomers: VecDeque<Peer>,
    /// Peers that take bytes again.
    writable: Vec<Peer>,
    /// Connections that ended in this pass; their slots are free after it.
    gone: Vec<ConnectionId>,
    sequence: u64,
    client: Option<ClientSide>,
    server_is_up: bool,
    is_draining: bool,
    /// Every write of the server, in the order of the writes.
    pub(crate) deliveries: Vec<Delivery>,
    /// What the server has read, and how many writes it had done by then.
    pub(crate) reads: Vec<(usize, Peer, Vec<u8>)>,
    /// Every event of the server, with its time.
    pub(crate) events: Vec<(Duration, TurnEvent)>,
    events_looked: usize,
    pub(crate) passes: u64,
    /// Lines are cut at random places on their way (line framing).
    pub(crate) chunking: bool,
    /// One read brings all that has come, or any part of it.
    pub(crate) merging: bool,
    /// What is readable in one pass comes in a random order.
    pub(crate) shuffling: bool,
    /// How long at most what a peer sends is on its way.
    pub(crate) latency: Duration,
    /// What has happened, as a number: the same in two worlds only if they went the same way.
    pub(crate) hash: journal::Hash,
}

/// Some time, for what needs one and no other.
pub(crate) fn some_now() -> Now {
    Now::ORIGIN
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
        let start = Instant::ORIGIN;
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
            live: Vec::new(),
            by_connection: HashMap::new(),
            newcomers: VecDeque::new(),
            writable: Vec::new(),
            gone: Vec::new(),
            sequence: 0,
            client: None,
            server_is_up: true,
            is_draining: false,
            deliveries: Vec::new(),
            reads: Vec::new(),
            events: Vec::new(),
            events_looked: 0,
            passes: 0,
            merging: false,
            shuffling: false,
            latency: Duration::ZERO,
            hash: journal::Hash::default(),
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
        self.is_draining = true;
        self.hasten();
        self.server.drain(self.now, &mut self.links);
        self.take_events();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// The host does not want `peer` any more.
    pub(crate) fn kick_quietly(&mut self, peer: Peer) {
        if let Some(id) = self.peers[peer.0].id {
            note!(self, "the host kicks {peer}");
            self.server.kick(self.now, id, &mut self.links);
            self.take_events();
        }
    }

    /// The server dies, and every connection with it.
    pub(crate) fn kill_server(&mut self) {
        note!(self, "the server dies");
        self.server_is_up = false;
        self.links = Links::new(self.out_bytes_max);
        self.by_connection.clear();
        self.newcomers.clear();
        self.writable.clear();
        self.gone.clear();
        let at = self.elapsed();
        self.peers.iter_mut().for_each(|state| state.lose(at));
    }

    /// Another life of the server begins.
    pub(crate) fn start_server(&mut self) {
        note!(self, "the server starts");
        self.entropy_seed += 1000;
        self.server = TurnServer::new(self.config.clone(), seeded_entropy(self.entropy_seed));
        self.server_is_up = true;
        self.is_draining = false;
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
        self.links.len()
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
        let passed = instant - self.now.instant;
        self.now = Now { instant, wall: self.now.wall + passed };
    }

    /// When something will happen by itself.
    fn next_event(&self) -> Option<Instant> {
        let server = self.server.next_deadline().filter(|_| self.server_is_up);
        let peers = self.live.iter().filter_map(|&at| self.peers[at].next_event());
        let client = self.client.as_ref().and_then(ClientSide::next_event);
        server.into_iter().chain(peers).chain(client).min()
    }
}
