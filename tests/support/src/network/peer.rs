//! A peer's actions on its connection, and its observations.

use std::net::SocketAddr;
use std::time::Duration;

use taketurns::protocol::ConnectionId;
use taketurns::protocol::turns::Framing;

use super::World;
use super::old::Old;
use super::sockets::{Pipe, Up};

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer(pub(crate) usize);

/// The bytes of one write of the server, or of one `recv` of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub at: Duration,
    pub peer: Peer,
    pub bytes: Vec<u8>,
}

impl Delivery {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl World {
    /// Opens a connection, and then runs everything that follows at once.
    pub fn connect(&mut self) -> Peer {
        let peer = self.connect_quietly();
        self.drive();
        peer
    }

    /// Opens a connection in the same pass as the next action.
    pub fn connect_quietly(&mut self) -> Peer {
        self.open(None, 0)
    }

    pub(super) fn open(&mut self, old: Option<Old>, listener: usize) -> Peer {
        let peer = Peer(self.net().pipes.len());
        let [high, low] = u16::try_from(peer.0).expect("fewer than 65,536 peers").to_be_bytes();
        let ip = self.next_address.unwrap_or_else(|| [10, 0, high, low].into());
        let mut pipe = Pipe::new(SocketAddr::from((ip, 40_000)), listener, old);
        // Otherwise the connection is refused.
        let is_heard = self.server_is_up && !self.is_draining();
        pipe.is_gone = !is_heard;
        self.net_mut().pipes.push(pipe);
        if is_heard {
            self.net_mut().newcomers[listener].push_back(peer.0);
        }
        peer
    }

    /// Lets `peer` send `text`, and then runs everything that follows at once. In the line framing a `
    /// ` is added.
    pub fn say(&mut self, peer: Peer, text: &str) {
        self.queue(peer, text);
        self.drive();
    }

    /// Like [`say`](Self::say), but in the same pass as the next action.
    pub fn queue(&mut self, peer: Peer, text: &str) {
        let end = if self.config.framing == Some(Framing::Line) { "\n" } else { "" };
        self.queue_bytes(peer, format!("{text}{end}").as_bytes());
    }

    /// Lets `peer` send exactly `bytes`, over its wire.
    pub fn say_bytes(&mut self, peer: Peer, bytes: &[u8]) {
        self.queue_bytes(peer, bytes);
        self.drive();
    }

    /// Lets `peer` send one line.
    pub fn say_line(&mut self, peer: Peer, line: &str) {
        self.say_bytes(peer, format!("{line}\n").as_bytes());
    }

    pub fn queue_bytes(&mut self, peer: Peer, bytes: &[u8]) {
        if let Some(end) = &mut self.net_mut().pipes[peer.0].end {
            end.say(bytes);
            return self.send_wire(peer);
        }
        self.queue_wire_bytes(peer, bytes);
    }

    /// `peer` sends exactly `bytes`, whatever its wire is.
    pub fn queue_wire_bytes(&mut self, peer: Peer, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let is_whole = !self.chunking || self.rng.bool();
            let cut = if is_whole { rest.len() } else { self.rng.usize(1..=rest.len()) };
            self.queue_up(peer, Up::Bytes(rest[..cut].to_vec()));
            rest = &rest[cut..];
        }
    }

    pub(super) fn queue_up(&mut self, peer: Peer, up: Up) {
        let net = self.net_mut();
        net.sequence += 1;
        let sequence = net.sequence;
        let pipe = &mut net.pipes[peer.0];
        if pipe.lost_up || pipe.is_gone {
            return;
        }
        pipe.up.push_back((sequence, up));
        if !std::mem::replace(&mut pipe.is_talking, true) {
            net.talking.push(peer.0);
        }
    }

    /// Lets `peer` finish sending. It still reads.
    pub fn half_close(&mut self, peer: Peer) {
        self.queue_up(peer, Up::End);
        self.drive();
    }

    /// Resets the connection of `peer`, which the server notices.
    pub fn reset(&mut self, peer: Peer) {
        self.reset_quietly(peer);
        self.drive();
    }

    pub fn reset_quietly(&mut self, peer: Peer) {
        self.queue_up(peer, Up::Reset);
        let net = self.net_mut();
        let pipe = &mut net.pipes[peer.0];
        if let Some(end) = &mut pipe.end {
            end.is_over = true;
        }
        // A system reports a broken connection even to a server that waits for its peer to read.
        if pipe.is_blocked && !pipe.is_gone && !pipe.lost_up {
            pipe.breaks = true;
            net.writable.extend(pipe.id);
        }
    }

    /// Removes `peer` silently, and lets the server's system find out.
    pub fn find_dead(&mut self, peer: Peer) {
        let pipe = &mut self.net_mut().pipes[peer.0];
        pipe.lost_up = false;
        pipe.up.clear();
        self.reset_quietly(peer);
    }

    /// Removes `peer`, which is noticed at the next write to it.
    pub fn break_writes(&mut self, peer: Peer) {
        self.net_mut().pipes[peer.0].breaks = true;
    }

    /// Loses everything that `peer` sends from now on.
    pub fn lose_up(&mut self, peer: Peer) {
        self.net_mut().pipes[peer.0].lost_up = true;
    }

    /// Loses everything that is sent to `peer` from now on, although the server can write.
    pub fn lose_down(&mut self, peer: Peer) {
        self.net_mut().pipes[peer.0].lost_down = true;
    }

    /// Makes `peer` stop reading: its system accepts `room` more bytes.
    pub fn stop_reading(&mut self, peer: Peer, room: usize) {
        self.net_mut().pipes[peer.0].window = Some(room);
    }

    /// Makes `peer` read again, including the bytes that waited.
    pub fn read_again(&mut self, peer: Peer) {
        self.read_again_quietly(peer);
        self.drive();
    }

    pub fn read_again_quietly(&mut self, peer: Peer) {
        let net = self.net_mut();
        let pipe = &mut net.pipes[peer.0];
        pipe.window = None;
        net.writable.extend(pipe.id.filter(|_| !pipe.is_gone && pipe.is_blocked));
    }

    /// Returns whether writes to `peer` would block.
    pub fn is_blocked(&self, peer: Peer) -> bool {
        self.net().pipes[peer.0].is_blocked
    }

    /// Returns what `peer` has received since the last call: `recv`s if there are only raw clients, lines
    /// otherwise.
    pub fn heard(&mut self, peer: Peer) -> Vec<String> {
        if self.config.framing == Some(Framing::Raw) { self.heard_raw(peer) } else { self.heard_lines(peer) }
    }

    /// Returns the `recv`s of `peer` since the last call.
    pub fn heard_raw(&mut self, peer: Peer) -> Vec<String> {
        let pipe = &mut self.net_mut().pipes[peer.0];
        let new = pipe.recvs[pipe.looked..].iter().map(Delivery::text).collect();
        pipe.looked = pipe.recvs.len();
        new
    }

    pub fn heard_lines(&mut self, peer: Peer) -> Vec<String> {
        self.hear_wire(peer);
        let pipe = &mut self.net_mut().pipes[peer.0];
        let mut bytes = std::mem::take(&mut pipe.unended);
        pipe.recvs[pipe.looked..].iter().for_each(|recv| bytes.extend_from_slice(&recv.bytes));
        pipe.looked = pipe.recvs.len();
        let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        pipe.unended = bytes.split_off(end);
        let text = String::from_utf8(bytes).expect("the server speaks UTF-8");
        text.lines().map(str::to_owned).collect()
    }

    /// Returns all bytes that `peer` has received since the last call.
    pub fn heard_bytes(&mut self, peer: Peer) -> Vec<u8> {
        let pipe = &mut self.net_mut().pipes[peer.0];
        let bytes = pipe.recvs[pipe.looked..].iter().flat_map(|recv| recv.bytes.clone()).collect();
        pipe.looked = pipe.recvs.len();
        bytes
    }

    /// Returns all `recv`s of `peer`, from the beginning.
    pub fn recvs(&self, peer: Peer) -> &[Delivery] {
        &self.net().pipes[peer.0].recvs
    }

    /// Returns whether bytes to `peer` are lost.
    pub fn is_deaf(&self, peer: Peer) -> bool {
        self.net().pipes[peer.0].lost_down
    }

    /// Returns whether the server still has the connection open.
    pub fn is_open(&self, peer: Peer) -> bool {
        let pipe = &self.net().pipes[peer.0];
        pipe.closed_at.is_none() && !pipe.is_gone
    }

    /// Returns when the server closed the connection of `peer`.
    pub fn closed_at(&self, peer: Peer) -> Option<Duration> {
        self.net().pipes[peer.0].closed_at
    }

    pub fn addr(&self, peer: Peer) -> SocketAddr {
        self.net().pipes[peer.0].addr
    }

    pub fn id(&self, peer: Peer) -> ConnectionId {
        self.net().pipes[peer.0].id.expect("it was accepted")
    }
}
