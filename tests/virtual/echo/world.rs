//! A server without sockets, in virtual time, and the peers at the other ends of its connections.
//! The expected replies are in the tests.

use std::time::{Duration, SystemTime};

use support::rests::Rests;
use taketurns::protocol::echo::{EchoEvent, EchoServer, EchoServerConfig};
use taketurns::protocol::{AbortReason, CloseReason, ConnectionId, Intent, Links, Origin, Protocol};
use taketurns::time::{self, Now};

pub(crate) const KIB64: usize = 64 * 1024;

/// The most bytes of one read, as in the driver.
pub(crate) const READ_BYTES_MAX: usize = 16 * 1024;

pub(crate) const OUT_BYTES_MAX: usize = 64 * 1024;

pub(crate) struct World {
    pub(crate) server: EchoServer,
    pub(crate) links: Links,
    pub(crate) now: Now,
    pub(crate) peers: Vec<Peer>,
    rests: Rests,
}

pub(crate) struct Peer {
    pub(crate) id: ConnectionId,
    pub(crate) heard: Vec<u8>,
    pub(crate) reads: bool,
    /// How the connection ended.
    pub(crate) end: Option<Intent>,
}

impl World {
    pub(crate) fn new() -> World {
        World::with(EchoServerConfig::default())
    }

    pub(crate) fn keep_open() -> World {
        World::with(EchoServerConfig { keep_open: true, ..EchoServerConfig::default() })
    }

    pub(crate) fn with(config: EchoServerConfig) -> World {
        // Shows how many seconds it was given.
        let stamp = Box::new(|wall: SystemTime| {
            let seconds = wall.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
            format!("2026-11-21 16:{:02}:{:02}", seconds / 60, seconds % 60)
        });
        World {
            server: EchoServer::new(config, stamp),
            links: Links::new(OUT_BYTES_MAX),
            now: Now::ORIGIN,
            peers: Vec::new(),
            rests: Rests::default(),
        }
    }

    pub(crate) fn connect(&mut self) -> usize {
        let port = 40_000 + u16::try_from(self.peers.len()).expect("few peers");
        let addr = ([10, 0, 0, 1], port).into();
        let id = self.links.open(addr);
        self.peers.push(Peer { id, heard: Vec::new(), reads: true, end: None });
        self.server.handle_open(self.now, id, addr, Origin::Accepted, &mut self.links);
        self.pass();
        self.peers.len() - 1
    }

    /// Lets a peer send `bytes` in one readiness.
    pub(crate) fn say(&mut self, peer: usize, bytes: impl AsRef<[u8]>) {
        for piece in bytes.as_ref().chunks(READ_BYTES_MAX) {
            if self.peers[peer].end.is_none() {
                let id = self.peers[peer].id;
                self.rests.hear(&mut self.server, self.now, id, piece, &mut self.links);
                self.pass();
            }
        }
    }

    pub(crate) fn half_close(&mut self, peer: usize) {
        if self.peers[peer].end.is_none() {
            self.rests.end(&mut self.server, self.now, self.peers[peer].id, &mut self.links);
            self.pass();
        }
    }

    /// Breaks a connection.
    pub(crate) fn lose(&mut self, peer: usize) {
        let Peer { id, end, .. } = &mut self.peers[peer];
        *end = Some(Intent::Abort(AbortReason::Unwanted));
        let reset = CloseReason::Broken(std::io::ErrorKind::ConnectionReset);
        self.server.handle_closed(self.now, *id, reset, &mut self.links);
        self.links.remove(*id);
        self.pass();
    }

    /// Makes a peer read again, or stop reading.
    pub(crate) fn reads(&mut self, peer: usize, reads: bool) {
        self.peers[peer].reads = reads;
        self.flush(peer);
        self.pass();
    }

    pub(crate) fn wait(&mut self, ms: u64) {
        let until = self.now.instant + Duration::from_millis(ms);
        while let Some(due) = self.server.next_deadline().filter(|due| *due <= until) {
            self.set_time(due.max(self.now.instant));
            self.pass();
        }
        self.set_time(until);
    }

    fn set_time(&mut self, instant: time::Instant) {
        self.now = Now::new(instant, self.now.wall() + (instant - self.now.instant));
    }

    /// Runs passes like the driver until nothing is due.
    pub(crate) fn pass(&mut self) {
        for _ in 0..10_000 {
            if self.server.next_deadline().is_some_and(|due| due <= self.now.instant) {
                self.server.handle_timeout(self.now, &mut self.links);
            }
            self.flush_touched();
            self.server.handle_flushed(self.now, &mut self.links);
            self.flush_touched();
            let goes_on = self.rests.go_on(&mut self.server, self.now, &mut self.links);
            if !goes_on
                && !self.links.has_touched()
                && self.server.next_deadline().is_none_or(|due| due > self.now.instant)
            {
                return;
            }
        }
        panic!("the server spins");
    }

    fn flush_touched(&mut self) {
        while let Some(id) = self.links.take_touched() {
            if let Some(peer) = self.peers.iter().position(|peer| peer.id == id) {
                self.flush(peer);
            }
        }
    }

    fn flush(&mut self, peer: usize) {
        let Peer { id, heard, reads, end } = &mut self.peers[peer];
        let id = *id;
        if end.is_some() {
            return;
        }
        let intent = self.links.intent_of(id);
        let unsent = self.links.unsent(id).len();
        assert!(unsent <= OUT_BYTES_MAX + KIB64 + 100, "{unsent} bytes are queued");
        if !matches!(intent, Intent::Abort(_)) && *reads {
            heard.extend_from_slice(self.links.unsent(id));
            self.links.consume(id, unsent);
        }
        let reason = match intent {
            Intent::Keep => return,
            Intent::Close if !self.links.unsent(id).is_empty() => return,
            Intent::Close | Intent::Abort(AbortReason::Unwanted) => CloseReason::Unwanted,
            Intent::Abort(AbortReason::SlowReader) => CloseReason::SlowReader,
        };
        *end = Some(intent);
        self.links.abort(id);
        self.server.handle_closed(self.now, id, reason, &mut self.links);
        self.links.remove(id);
    }

    pub(crate) fn heard(&self, peer: usize) -> String {
        String::from_utf8(self.peers[peer].heard.clone()).expect("answers are UTF-8")
    }

    pub(crate) fn is_open(&self, peer: usize) -> bool {
        self.peers[peer].end.is_none()
    }

    /// Returns whether it was closed with its last bytes read (A7).
    pub(crate) fn is_closed_gently(&self, peer: usize) -> bool {
        self.peers[peer].end == Some(Intent::Close)
    }

    /// Checks that `peer` got `message` as its only answer, at the world's first second, and was closed.
    pub(crate) fn assert_answered(&self, peer: usize, message: &str) {
        assert_eq!(self.heard(peer), format!("Server received at 2026-11-21 16:00:00: {message}"));
        assert!(self.is_closed_gently(peer));
    }

    pub(crate) fn assert_refused(&self, peer: usize, why: &str) {
        let heard = self.heard(peer);
        assert!(heard.starts_with("Error: ") && heard.ends_with('\n') && heard.contains(why), "{heard:?}");
        assert_eq!(heard.lines().count(), 1);
        assert!(self.is_closed_gently(peer));
    }

    pub(crate) fn events(&mut self) -> Vec<EchoEvent> {
        std::iter::from_fn(|| self.server.poll_event()).collect()
    }
}

pub(crate) fn answer(message: &str) -> String {
    format!("Server received at 2026-11-21 16:00:00: {message}\n")
}
