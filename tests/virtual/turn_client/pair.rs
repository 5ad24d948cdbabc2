//! Our clients and our server in one virtual world, in which connections break and the server dies.

use std::collections::VecDeque;
use std::time::Duration;

use support::ms;
use support::network::{Peer, World};
use taketurns::protocol::turns::{
    ClientConfig, ClientEvent, ClientId, ClientTurn, CommandError, TurnClient, TurnServerConfig,
};
use taketurns::protocol::{CloseReason, ConnectionId, DialId, Links, Origin, Protocol};
use taketurns::time::{Instant, Now};

use super::talk::server;

/// With more rounds than this at one instant, client and server talk without end.
const ROUNDS_MAX: usize = 10_000;

/// An outbound connection, like in a driver.
struct Dial {
    connection: Option<(ConnectionId, Peer)>,
    /// When the next attempt begins.
    again_at: Duration,
    rest: Vec<u8>,
}

pub(crate) struct Pair {
    pub(crate) world: World,
    pub(crate) client: TurnClient,
    links: Links,
    dials: Vec<Dial>,
    pub(crate) events: VecDeque<ClientEvent>,
}

impl Pair {
    pub(crate) fn new(config: TurnServerConfig, seed: u64) -> Pair {
        let (client, links) = (TurnClient::new(), Links::new(64 * 1024));
        Pair { world: World::new(config, seed), client, links, dials: Vec::new(), events: VecDeque::new() }
    }

    pub(crate) fn add(&mut self, config: ClientConfig) -> ClientId {
        let id = self.client.add(config).expect("its framing can say it");
        assert!(self.client.dial(id, DialId(self.dials.len())));
        self.dials.push(Dial { connection: None, again_at: Duration::ZERO, rest: Vec::new() });
        id
    }

    fn now(&self) -> Now {
        Now::new(Instant::ORIGIN + self.world.elapsed(), Now::ORIGIN.wall())
    }

    pub(crate) fn peer(&self, at: usize) -> Option<Peer> {
        self.dials[at].connection.map(|(_, peer)| peer)
    }

    pub(crate) fn answer(&mut self, turn: &ClientTurn, answer: &str) -> Result<(), CommandError> {
        let now = self.now();
        self.client.answer(now, turn, answer.as_bytes(), &mut self.links)
    }

    pub(crate) fn pass(&mut self, turn: &ClientTurn) -> Result<(), CommandError> {
        let now = self.now();
        self.client.pass(now, turn, &mut self.links)
    }

    pub(crate) fn ask(&mut self, client: ClientId) -> Result<(), CommandError> {
        let now = self.now();
        self.client.ask(now, client, &mut self.links)
    }

    /// Breaks a connection so that both sides notice.
    pub(crate) fn break_connection(&mut self, at: usize) {
        let Some((id, peer)) = self.dials[at].connection.take() else { return };
        self.world.reset(peer);
        let (now, reason) = (self.now(), CloseReason::Broken(std::io::ErrorKind::ConnectionReset));
        self.client.handle_closed(now, id, reason, &mut self.links);
        self.links.remove(id);
        self.dials[at].rest.clear();
        self.dials[at].again_at = self.world.elapsed() + ms(100);
    }

    /// Breaks a connection so that only the client notices.
    pub(crate) fn break_client_end(&mut self, at: usize) {
        if let Some(peer) = self.peer(at) {
            self.world.lose_up(peer);
            self.world.lose_down(peer);
        }
        self.break_connection(at);
    }

    /// Lets time pass, and hands events to `host` as they happen.
    pub(crate) fn drive_for(&mut self, time: Duration, mut host: impl FnMut(&mut Pair, ClientEvent)) {
        let until = self.world.elapsed() + time;
        loop {
            self.settle(&mut host);
            let left = until.saturating_sub(self.world.elapsed());
            if left.is_zero() {
                return;
            }
            self.world.drive_for(left.min(ms(10)));
            let now = self.now();
            if self.client.next_deadline().is_some_and(|due| due <= now.instant) {
                self.client.handle_timeout(now, &mut self.links);
            }
        }
    }

    /// Runs everything that can happen now.
    fn settle(&mut self, host: &mut impl FnMut(&mut Pair, ClientEvent)) {
        for _ in 0..ROUNDS_MAX {
            let mut is_busy = false;
            for at in 0..self.dials.len() {
                is_busy |= self.dial(at) | self.exchange(at);
            }
            while let Some(event) = self.client.poll_event().or_else(|| self.events.pop_front()) {
                is_busy = true;
                host(self, event);
            }
            if !is_busy {
                return;
            }
        }
        panic!("client and server talk without end");
    }

    fn dial(&mut self, at: usize) -> bool {
        if self.dials[at].connection.is_some() || self.dials[at].again_at > self.world.elapsed() {
            return false;
        }
        let peer = self.world.connect();
        if !self.world.is_open(peer) {
            self.dials[at].again_at = self.world.elapsed() + ms(100);
            return false;
        }
        let (now, id) = (self.now(), self.links.open(server()));
        self.dials[at].connection = Some((id, peer));
        self.client.handle_open(now, id, server(), Origin::Dialed(DialId(at)), &mut self.links);
        true
    }

    /// Carries the bytes of one connection in both directions. Returns whether there were any.
    fn exchange(&mut self, at: usize) -> bool {
        let Some((id, peer)) = self.dials[at].connection else { return false };
        let now = self.now();
        let heard = self.world.heard_bytes(peer);
        if !heard.is_empty() && self.links.is_open(id) {
            let rest = &mut self.dials[at].rest;
            rest.extend_from_slice(&heard);
            let used = self.client.handle_bytes(now, id, rest, &mut self.links);
            rest.drain(..used);
        }
        let unsent = self.links.unsent(id).to_vec();
        self.links.consume(id, unsent.len());
        self.client.handle_flushed(now, &mut self.links);
        if !unsent.is_empty() {
            self.world.say_bytes(peer, &unsent);
        }
        let is_quiet = unsent.is_empty() && heard.is_empty();
        // The server's last bytes arrive before its end.
        if !self.links.is_open(id) || is_quiet && !self.world.is_open(peer) {
            self.break_connection(at);
            return true;
        }
        !is_quiet
    }
}
