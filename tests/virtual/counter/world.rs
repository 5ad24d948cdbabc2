//! A server without sockets, its connections, and the bytes that its peers have received. What these should
//! be is not decided here.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use support::rests::Rests;
use taketurns::protocol::counter::{CounterEvent, CounterId, CounterServer, CounterServerConfig, Record};
use taketurns::protocol::{CloseReason, ConnectionId, Entropy, Intent, Links, Origin, Protocol};
use taketurns::time::Now;

pub(crate) fn id(number: u16) -> CounterId {
    CounterId::new(number).expect("an id")
}

/// A server, its connections, and the bytes that its peers have received.
pub(crate) struct World {
    pub(crate) server: CounterServer,
    pub(crate) links: Links,
    pub(crate) now: Now,
    pub(crate) heard: HashMap<ConnectionId, Vec<u8>>,
    pub(crate) ended: HashMap<ConnectionId, Intent>,
    /// Peers that do not read.
    pub(crate) deaf: HashSet<ConnectionId>,
    pub(crate) events: Vec<CounterEvent>,
    port: u16,
    rests: Rests,
}

/// Bytes that count upwards, for tests that do not depend on randomness.
pub(crate) fn counting() -> Entropy {
    let mut next = 0_u8;
    Box::new(move |bytes| {
        for byte in bytes {
            *byte = next;
            next = next.wrapping_add(1);
        }
    })
}

impl World {
    pub(crate) fn new() -> World {
        World::with(CounterServerConfig::default(), counting())
    }

    pub(crate) fn with(config: CounterServerConfig, entropy: Entropy) -> World {
        World {
            server: CounterServer::new(config, entropy),
            links: Links::new(64 * 1024),
            now: Now::ORIGIN,
            heard: HashMap::new(),
            ended: HashMap::new(),
            deaf: HashSet::new(),
            events: Vec::new(),
            port: 1000,
            rests: Rests::default(),
        }
    }

    pub(crate) fn connect(&mut self) -> ConnectionId {
        self.port += 1;
        let peer = ([127, 0, 0, 1], self.port).into();
        let id = self.links.open(peer);
        self.server.handle_open(self.now, id, peer, Origin::Accepted, &mut self.links);
        self.carry_out();
        id
    }

    /// Opens a connection and sends `bytes`, which begin with an id.
    pub(crate) fn begin(&mut self, bytes: &str) -> ConnectionId {
        let id = self.connect();
        self.send(id, bytes);
        id
    }

    pub(crate) fn send(&mut self, id: ConnectionId, bytes: impl AsRef<[u8]>) {
        if self.links.is_open(id) {
            self.rests.hear(&mut self.server, self.now, id, bytes.as_ref(), &mut self.links);
        }
        self.carry_out();
    }

    pub(crate) fn end(&mut self, id: ConnectionId) {
        if self.links.is_open(id) {
            self.rests.end(&mut self.server, self.now, id, &mut self.links);
        }
        self.carry_out();
    }

    /// Breaks a connection.
    pub(crate) fn lose(&mut self, id: ConnectionId) {
        let reset = CloseReason::Broken(std::io::ErrorKind::ConnectionReset);
        self.server.handle_closed(self.now, id, reset, &mut self.links);
        self.links.remove(id);
        self.carry_out();
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.now.instant += by;
        self.server.handle_timeout(self.now, &mut self.links);
        self.carry_out();
    }

    /// Does what a driver does after every call: writes, closes, takes the events.
    pub(crate) fn carry_out(&mut self) {
        loop {
            self.write();
            if !self.rests.go_on(&mut self.server, self.now, &mut self.links) && !self.links.has_touched() {
                return;
            }
        }
    }

    fn write(&mut self) {
        while let Some(id) = self.links.take_touched() {
            if !self.deaf.contains(&id) {
                let bytes = self.links.unsent(id).to_vec();
                self.links.consume(id, bytes.len());
                self.heard.entry(id).or_default().extend(bytes);
            }
            let intent = self.links.intent_of(id);
            if intent != Intent::Keep && self.ended.insert(id, intent).is_none() {
                self.server.handle_closed(self.now, id, CloseReason::Finished, &mut self.links);
                self.links.remove(id);
            }
        }
        self.events.extend(std::iter::from_fn(|| self.server.poll_event()));
    }

    /// Returns the bytes that the peer has received since the last call.
    pub(crate) fn heard(&mut self, id: ConnectionId) -> String {
        String::from_utf8(self.heard.remove(&id).unwrap_or_default()).expect("text")
    }

    pub(crate) fn is_open(&self, id: ConnectionId) -> bool {
        self.links.is_open(id)
    }

    pub(crate) fn record(&self, number: u16) -> Option<Record> {
        self.server.records().find(|(known, _)| *known == id(number)).map(|(_, record)| record)
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.events.iter().map(ToString::to_string).collect()
    }
}
