//! A server without sockets, in virtual time, and the peers at the other ends of its connections.
//! The expected replies are in the tests.

use std::time::{Duration, SystemTime};

use support::ms;
use support::rests::Rests;
use taketurns::protocol::dispatch::Framing;
use taketurns::protocol::dispatch::{DispatchEvent, DispatchServer, DispatchServerConfig, Policy, Rejection};
use taketurns::protocol::{AbortReason, CloseReason, ConnectionId, Intent, Links, Origin, Protocol};
use taketurns::time::{self, Now};

/// The bytes that may be queued for a peer before it is closed; the driver's default.
pub(crate) const OUT_BYTES_MAX: usize = 64 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) usize);

pub(crate) struct PeerState {
    id: ConnectionId,
    /// One entry per write, with its time. For a peer that reads at once, a write is a `recv`.
    pub(crate) recvs: Vec<(Duration, String)>,
    pub(crate) looked: usize,
    pub(crate) reads: bool,
    pub(crate) closed: Option<Intent>,
}

/// A dispatch server and its peers.
pub(crate) struct World {
    pub(crate) server: DispatchServer,
    pub(crate) links: Links,
    start: time::Instant,
    pub(crate) at: Duration,
    pub(crate) peers: Vec<PeerState>,
    pub(crate) events: Vec<DispatchEvent>,
    rests: Rests,
    is_in_pass: bool,
}

impl World {
    pub(crate) fn new(config: DispatchServerConfig) -> World {
        World {
            server: DispatchServer::new(config),
            links: Links::new(OUT_BYTES_MAX),
            start: time::Instant::ORIGIN,
            at: Duration::ZERO,
            peers: Vec::new(),
            events: Vec::new(),
            rests: Rests::default(),
            is_in_pass: false,
        }
    }

    /// Creates a world with `count` clients that have been told their ranks.
    pub(crate) fn with_clients(count: usize, config: DispatchServerConfig) -> (World, Vec<Peer>) {
        let mut world =
            World::new(DispatchServerConfig { max_clients: config.max_clients.max(count), ..config });
        let peers: Vec<_> = (0..count).map(|_| world.connect()).collect();
        for (rank, &peer) in peers.iter().enumerate() {
            assert_eq!(world.heard(peer).concat().trim_end(), format!("Your rank is {rank}"));
        }
        world.pass_time(ms(50));
        world.events.clear();
        (world, peers)
    }

    pub(crate) fn now(&self) -> Now {
        Now::new(self.start + self.at, SystemTime::UNIX_EPOCH + self.at)
    }

    pub(crate) fn connect(&mut self) -> Peer {
        let port = u16::try_from(1000 + self.peers.len()).expect("few peers");
        let addr = ([127, 0, 0, 1], port).into();
        let id = self.links.open(addr);
        self.peers.push(PeerState { id, recvs: Vec::new(), looked: 0, reads: true, closed: None });
        self.server.handle_open(self.now(), id, addr, Origin::Accepted, &mut self.links);
        self.flush();
        Peer(self.peers.len() - 1)
    }

    /// Lets `peer` send `bytes` in one readiness.
    pub(crate) fn say(&mut self, peer: Peer, bytes: impl AsRef<[u8]>) {
        let id = self.peers[peer.0].id;
        if self.links.is_open(id) {
            let now = self.now();
            self.rests.hear(&mut self.server, now, id, bytes.as_ref(), &mut self.links);
        }
        self.flush();
    }

    pub(crate) fn leave(&mut self, peer: Peer) {
        self.leave_together(&[peer]);
    }

    /// Lets peers leave in the same pass.
    pub(crate) fn leave_together(&mut self, peers: &[Peer]) {
        for peer in peers {
            let now = self.now();
            self.rests.end(&mut self.server, now, self.peers[peer.0].id, &mut self.links);
        }
        self.flush();
    }

    /// Runs `act` so that everything in it arrives in one pass.
    pub(crate) fn in_one_pass(&mut self, act: impl FnOnce(&mut World)) {
        self.is_in_pass = true;
        act(self);
        self.is_in_pass = false;
        self.flush();
    }

    pub(crate) fn last_peer(&self) -> Peer {
        Peer(self.peers.len() - 1)
    }

    /// Lets `peer` read everything that waits for it, and everything after that.
    pub(crate) fn read_again(&mut self, peer: Peer) {
        let PeerState { id, reads, .. } = &mut self.peers[peer.0];
        *reads = true;
        self.links.hurry(*id);
        self.flush();
    }

    pub(crate) fn drain(&mut self) {
        self.server.drain(self.now(), &mut self.links);
        self.flush();
    }

    /// Ends a pass like the driver.
    pub(crate) fn flush(&mut self) {
        if self.is_in_pass {
            return;
        }
        loop {
            self.write();
            let now = self.now();
            self.server.handle_flushed(now, &mut self.links);
            if !self.rests.go_on(&mut self.server, now, &mut self.links) && !self.links.has_touched() {
                return;
            }
        }
    }

    fn write(&mut self) {
        while let Some(id) = self.links.take_touched() {
            let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == id) else { continue };
            let bytes = self.links.unsent(id).to_vec();
            if peer.reads && !bytes.is_empty() {
                self.links.consume(id, bytes.len());
                peer.recvs.push((self.at, String::from_utf8(bytes).expect("the server speaks UTF-8")));
            }
            let intent = match self.links.unsent(id).len() {
                // As in the engine: the socket has refused these bytes.
                OUT_BYTES_MAX.. => Intent::Abort(AbortReason::SlowReader),
                _ => self.links.intent_of(id),
            };
            if intent != Intent::Keep {
                peer.closed = Some(intent);
                let reason = match intent {
                    Intent::Abort(AbortReason::SlowReader) => CloseReason::SlowReader,
                    _ => CloseReason::Unwanted,
                };
                self.server.handle_closed(
                    Now::new(self.start + self.at, SystemTime::UNIX_EPOCH),
                    id,
                    reason,
                    &mut self.links,
                );
                self.links.remove(id);
            }
        }
        while let Some(event) = self.server.poll_event() {
            self.events.push(event);
        }
    }

    /// Lets time pass, deadline by deadline.
    pub(crate) fn pass_time(&mut self, by: Duration) {
        let end = self.at + by;
        let mut passes = 0;
        while let Some(due) = self.server.next_deadline().filter(|&due| due <= self.start + end) {
            self.at = self.at.max(due - self.start);
            self.server.handle_timeout(self.now(), &mut self.links);
            self.flush();
            passes += 1;
            assert!(passes < 20_000, "the server spins");
        }
        self.at = end;
    }

    /// Returns the messages since the last call, one per `recv`.
    pub(crate) fn heard(&mut self, peer: Peer) -> Vec<String> {
        let peer = &mut self.peers[peer.0];
        let fresh = peer.recvs[peer.looked..].iter().map(|(_, text)| text.clone()).collect();
        peer.looked = peer.recvs.len();
        fresh
    }

    /// Like [`heard`](Self::heard), in the line framing: one entry per line.
    pub(crate) fn lines(&mut self, peer: Peer) -> Vec<String> {
        let text = self.heard(peer).concat();
        assert!(text.is_empty() || text.ends_with('\n'), "only whole lines: {text:?}");
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn is_closed(&self, peer: Peer) -> bool {
        self.peers[peer.0].closed.is_some()
    }

    pub(crate) fn rejections(&self) -> Vec<Rejection> {
        let reason = |event: &DispatchEvent| match event {
            DispatchEvent::Rejected { reason, .. } => Some(*reason),
            _ => None,
        };
        self.events.iter().filter_map(reason).collect()
    }
}

pub(crate) fn raw() -> DispatchServerConfig {
    DispatchServerConfig::default()
}

pub(crate) fn line() -> DispatchServerConfig {
    DispatchServerConfig { framing: Framing::Line, ..raw() }
}

pub(crate) fn least_loaded(config: DispatchServerConfig) -> DispatchServerConfig {
    DispatchServerConfig { policy: Policy::LeastLoaded, ..config }
}

pub(crate) const NOTHING: [&str; 0] = [];

pub(crate) fn assert_gaps(world: &World) {
    for peer in &world.peers {
        for pair in peer.recvs.windows(2) {
            assert!(pair[1].0 - pair[0].0 >= ms(10), "{pair:?}");
        }
    }
}
