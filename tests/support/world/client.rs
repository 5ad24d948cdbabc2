//! The connections of a [`TurnClient`], wired back to back with the server: what one side writes, the other reads.

use std::io::ErrorKind;
use std::time::Duration;

use taketurns::protocol::turns::{ClientEvent, ClientTurn, Name, TurnClient, TurnClientConfig};
use taketurns::protocol::{CloseReason, ConnectionId, DialId, Links, Origin, Protocol, Wish};
use taketurns::time::Instant;
use taketurns::turn::Refusal;

use super::peer::{Down, Kind, Up};
use super::rests::Rests;
use super::{FOUND_DEAD, Peer, World};

/// How long a connection takes to be dialed again.
const REDIAL: Duration = Duration::from_millis(100);

pub(super) struct ClientSide {
    client: TurnClient,
    links: Links,
    dials: Vec<Dial>,
    events: Vec<ClientEvent>,
    draining: bool,
    rests: Rests,
}

struct Dial {
    connection: Option<(ConnectionId, Peer)>,
    redial_at: Option<Instant>,
}

impl ClientSide {
    /// When something will happen by itself.
    pub(super) fn next_event(&self) -> Option<Instant> {
        let redials = self.dials.iter().filter_map(|dial| dial.redial_at);
        redials.chain(self.client.next_deadline()).min()
    }

    /// Which of the connections is `id`, and where its other end is.
    fn find(&self, id: ConnectionId) -> Option<(usize, Peer)> {
        self.dials.iter().enumerate().find_map(|(index, dial)| {
            let (known, peer) = dial.connection?;
            (known == id).then_some((index, peer))
        })
    }
}

impl World {
    /// Adds the connections of a [`TurnClient`]: the n-th is `clients[n]`'s, and each dials at once.
    pub(crate) fn run_client(&mut self, config: TurnClientConfig, clients: &[(&str, i64, i64)]) {
        let mut client = TurnClient::new(config);
        for &(name, start, step) in clients {
            client.add(name.parse::<Name>().expect("a valid name"), start, step);
        }
        self.connect_client(client, clients.len());
    }

    /// The same with clients that ask the test for their numbers.
    pub(crate) fn run_asking_client(&mut self, config: TurnClientConfig, names: &[&str]) {
        let mut client = TurnClient::new(config);
        names.iter().for_each(|name| client.add_asked(name.parse().expect("a valid name")));
        self.connect_client(client, names.len());
    }

    pub(crate) fn answer(&mut self, turn: &ClientTurn, number: i64) -> Result<(), Refusal> {
        let side = self.client.as_mut().expect("a client runs");
        side.client.answer(turn, number, &mut side.links)
    }

    fn connect_client(&mut self, client: TurnClient, clients: usize) {
        let at_once = || Dial { connection: None, redial_at: Some(self.now.instant) };
        let dials = (0..clients).map(|_| at_once()).collect();
        let links = Links::new(self.out_bytes_max);
        self.client = Some(ClientSide {
            client,
            links,
            dials,
            events: Vec::new(),
            draining: false,
            rests: Rests::default(),
        });
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
        self.break_connection_quietly(index);
        self.drive();
    }

    pub(crate) fn break_connection_quietly(&mut self, index: usize) {
        let Some(peer) = self.client_peer(index) else { return };
        self.client_closed(index, CloseReason::Broken(ErrorKind::ConnectionReset));
        self.peers[peer.0].lost_up = false;
        self.peers[peer.0].up.clear();
        self.reset_quietly(peer);
    }

    pub(crate) fn drain_client(&mut self) {
        let now = self.now;
        let side = self.client.as_mut().expect("a client runs");
        side.draining = true;
        side.client.drain(now, &mut side.links);
        self.drive();
    }

    /// One pass of the client's driver; whether anything happened.
    pub(super) fn pass_client(&mut self) -> bool {
        let Some(mut side) = self.client.take() else { return false };
        let mut busy = false;
        for index in 0..side.dials.len() {
            busy |= self.redial(&mut side, index);
            busy |= self.read_down(&mut side, index);
        }
        if side.client.next_deadline().is_some_and(|due| due <= self.now.instant) {
            side.client.handle_timeout(self.now, &mut side.links);
            busy = true;
        }
        let mut ending = Vec::new();
        while let Some(id) = side.links.take_touched() {
            busy = true;
            let Some((index, peer)) = side.find(id) else { continue };
            self.write_up(&mut side, id, peer);
            if side.links.wish_of(id) != Wish::Keep {
                self.queue_up(peer, Up::End);
                ending.push(index);
            }
        }
        busy |= side.rests.go_on(&mut side.client, self.now, &mut side.links);
        side.client.handle_flushed(self.now, &mut side.links);
        side.events.extend(std::iter::from_fn(|| side.client.poll_event()));
        self.client = Some(side);
        for index in ending {
            self.client_closed(index, CloseReason::Finished);
        }
        busy
    }

    fn redial(&mut self, side: &mut ClientSide, index: usize) -> bool {
        let dial = &mut side.dials[index];
        if dial.redial_at.is_none_or(|due| due > self.now.instant) {
            return false;
        }
        if !self.server_is_up || self.is_draining() {
            dial.redial_at = Some(self.now.instant + REDIAL);
            return true;
        }
        let peer = self.open(Kind::Ours(index));
        let addr = self.addr(peer);
        let id = side.links.open(addr);
        side.dials[index] = Dial { connection: Some((id, peer)), redial_at: None };
        let origin = Origin::Dialed(DialId(index));
        side.client.handle_open(self.now, id, addr, origin, &mut side.links);
        true
    }

    fn read_down(&mut self, side: &mut ClientSide, index: usize) -> bool {
        let mut busy = false;
        let Some((id, peer)) = side.dials[index].connection else { return false };
        while let Some(down) = self.peers[peer.0].down.pop_front() {
            busy = true;
            match down {
                Down::Bytes(bytes) => {
                    // A stream may be cut anywhere, in both framings.
                    let mut rest = bytes.as_slice();
                    while !rest.is_empty() {
                        let cut = self.rng.usize(1..=rest.len());
                        side.rests.hear(&mut side.client, self.now, id, &rest[..cut], &mut side.links);
                        rest = &rest[cut..];
                    }
                }
                Down::End => side.rests.end(&mut side.client, self.now, id, &mut side.links),
            }
        }
        busy
    }

    fn write_up(&mut self, side: &mut ClientSide, id: ConnectionId, peer: Peer) {
        let bytes = side.links.unsent(id).to_vec();
        if !matches!(side.links.wish_of(id), Wish::Abort(_)) && !bytes.is_empty() {
            side.links.consume(id, bytes.len());
            self.queue_bytes(peer, &bytes);
        }
    }

    fn client_closed(&mut self, index: usize, reason: CloseReason) {
        let now = self.now;
        let Some(side) = &mut self.client else { return };
        let Some((id, peer)) = side.dials[index].connection.take() else { return };
        side.client.handle_closed(now, id, reason, &mut side.links);
        side.events.extend(std::iter::from_fn(|| side.client.poll_event()));
        side.links.remove(id);
        if !side.draining {
            side.dials[index].redial_at = Some(now.instant + REDIAL);
        }
        self.peers[peer.0].down.clear();
    }
}
