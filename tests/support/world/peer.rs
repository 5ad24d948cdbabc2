//! The far end of a connection: what a peer can do to it, and what it saw.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use taketurns::protocol::ConnectionId;
use taketurns::protocol::turns::Framing;
use taketurns::time::Instant;

use super::{Legacy, Net, READ_BYTES_MAX, World, note};

/// Names one connection's peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Peer(pub(crate) usize);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer {}", self.0)
    }
}

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
pub(super) enum Up {
    Bytes(Vec<u8>),
    End,
    Reset,
}

/// Something on its way to the server: the how many-th of all, and when it is there.
pub(super) struct Parcel {
    pub(super) sequence: u64,
    pub(super) at: Instant,
    pub(super) up: Up,
}

/// On its way to one of a `TurnClient`'s connections.
pub(super) enum Down {
    Bytes(Vec<u8>),
    End,
}

pub(super) enum Kind {
    ByHand,
    Legacy(Legacy),
    /// The n-th connection of the `TurnClient`.
    Ours(usize),
}

/// Where the server's end of a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not accepted yet.
    Arriving,
    Open,
    Gone,
}

pub(super) struct PeerState {
    /// Its connection, as the server knows it, while that exists.
    pub(super) id: Option<ConnectionId>,
    pub(super) phase: Phase,
    /// Its system did not take all that was to be written.
    pub(super) blocked: bool,
    /// It has finished sending, and the server has read that.
    pub(super) ended: bool,
    pub(super) addr: SocketAddr,
    pub(super) up: VecDeque<Parcel>,
    /// The engine was told that there is something to read, and has not read since.
    pub(super) is_said: bool,
    pub(super) down: VecDeque<Down>,
    /// Everything that it received, one entry a `recv`.
    pub(super) recvs: Vec<Delivery>,
    /// How many of `recvs`, and how many bytes of a line that had not ended, were looked at.
    looked: usize,
    unended: Vec<u8>,
    /// How many bytes it still takes; `None`: it reads.
    pub(super) window: Option<usize>,
    /// The next write to it fails.
    pub(super) breaks: bool,
    /// What either side sends is lost without a trace.
    pub(super) lost_up: bool,
    pub(super) lost_down: bool,
    pub(super) closed_at: Option<Duration>,
    /// When the server's end finds out that this peer is gone.
    pub(super) found_dead_at: Option<Instant>,
    pub(super) kind: Kind,
}

impl PeerState {
    /// The number of the first parcel that has come and was not told of.
    pub(super) fn unsaid(&self, now: Instant) -> Option<u64> {
        self.next_parcel().filter(|parcel| parcel.at <= now).map(|parcel| parcel.sequence)
    }

    fn next_parcel(&self) -> Option<&Parcel> {
        self.up.front().filter(|_| self.phase != Phase::Arriving && !self.is_said)
    }

    /// When something will happen to it by itself.
    pub(super) fn next_event(&self) -> Option<Instant> {
        let legacy = match &self.kind {
            Kind::Legacy(legacy) => legacy.next_event(),
            Kind::ByHand | Kind::Ours(_) => None,
        };
        let parcel = self.next_parcel().map(|parcel| parcel.at);
        [legacy, parcel, self.found_dead_at].into_iter().flatten().min()
    }

    /// Whether nothing can happen to it any more.
    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Gone && self.next_event().is_none()
    }

    /// The server's end is gone.
    pub(super) fn lose(&mut self, at: Duration) {
        if self.phase == Phase::Gone {
            return;
        }
        self.finish(at);
        (self.phase, self.id, self.found_dead_at) = (Phase::Gone, None, None);
        self.up.clear();
    }

    /// The peer sees the end of the stream.
    pub(super) fn finish(&mut self, at: Duration) {
        if self.closed_at.is_none() {
            self.closed_at = Some(at);
            self.down.push_back(Down::End);
        }
    }
}

impl World {
    // What peers do. Each comes to the server with the next pass, or after the latency.

    /// A connection comes in; what follows from that at once, happens.
    pub(crate) fn connect(&mut self) -> Peer {
        let peer = self.connect_quietly();
        self.drive();
        peer
    }

    /// `peer` sends `text`, and what follows from that at once, happens. In the line framing a `\n` is added.
    pub(crate) fn say(&mut self, peer: Peer, text: &str) {
        self.queue(peer, text);
        self.drive();
    }

    /// `peer` sends exactly `bytes`.
    pub(crate) fn say_bytes(&mut self, peer: Peer, bytes: &[u8]) {
        self.queue_bytes(peer, bytes);
        self.drive();
    }

    /// `peer` finishes sending, and still reads.
    pub(crate) fn half_close(&mut self, peer: Peer) {
        self.half_close_quietly(peer);
        self.drive();
    }

    /// `peer` is gone, and the server sees it.
    pub(crate) fn reset(&mut self, peer: Peer) {
        self.reset_quietly(peer);
        self.drive();
    }

    /// `peer` reads again, and gets what waited.
    pub(crate) fn read_again(&mut self, peer: Peer) {
        self.read_again_quietly(peer);
        self.drive();
    }
}

impl Net {
    /// A connection comes in, in the same pass as what is done next.
    pub(crate) fn connect_quietly(&mut self) -> Peer {
        self.open(Kind::ByHand)
    }

    pub(super) fn open(&mut self, kind: Kind) -> Peer {
        let peer = Peer(self.peers.len());
        let [high, low] = u16::try_from(peer.0).expect("fewer than 65,536 peers").to_be_bytes();
        let phase = if self.server_is_up { Phase::Arriving } else { Phase::Gone };
        self.peers.push(PeerState {
            id: None,
            phase,
            blocked: false,
            ended: false,
            addr: SocketAddr::from(([10, 0, high, low], 40_000)),
            up: VecDeque::new(),
            is_said: false,
            down: VecDeque::new(),
            recvs: Vec::new(),
            looked: 0,
            unended: Vec::new(),
            window: None,
            breaks: false,
            lost_up: false,
            lost_down: false,
            closed_at: None,
            found_dead_at: None,
            kind,
        });
        if phase == Phase::Arriving {
            self.live.push(peer.0);
            self.newcomers.push_back(peer);
        }
        peer
    }

    /// As [`say`](Self::say), in the same pass as what is done next.
    pub(crate) fn queue(&mut self, peer: Peer, text: &str) {
        match self.config.framing {
            Framing::Raw => self.queue_bytes(peer, text.as_bytes()),
            Framing::Line => self.queue_bytes(peer, format!("{text}\n").as_bytes()),
        }
    }

    pub(crate) fn queue_bytes(&mut self, peer: Peer, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let most = rest.len().min(READ_BYTES_MAX);
            let whole = !self.chunking || self.rng.bool();
            let cut = if whole { most } else { self.rng.usize(1..=most) };
            self.queue_up(peer, Up::Bytes(rest[..cut].to_vec()));
            rest = &rest[cut..];
        }
    }

    pub(super) fn queue_up(&mut self, peer: Peer, up: Up) {
        let most = u64::try_from(self.latency.as_millis()).expect("small");
        let delay = if most == 0 { Duration::ZERO } else { super::ms(self.rng.u64(0..=most)) };
        let state = &mut self.peers[peer.0];
        if state.lost_up || state.phase == Phase::Gone {
            return;
        }
        // A stream keeps its order.
        let before = state.up.back().map_or(self.now.instant, |parcel| parcel.at);
        let at = before.max(self.now.instant + delay);
        state.up.push_back(Parcel { sequence: self.sequence, at, up });
        self.sequence += 1;
    }

    pub(crate) fn half_close_quietly(&mut self, peer: Peer) {
        self.queue_up(peer, Up::End);
    }

    pub(crate) fn reset_quietly(&mut self, peer: Peer) {
        self.queue_up(peer, Up::Reset);
    }

    /// `peer` is gone, and what it has sent and the server has not read, with it.
    pub(crate) fn crash_quietly(&mut self, peer: Peer) {
        note!(self, "{peer} crashes");
        self.peers[peer.0].up.clear();
        self.queue_up(peer, Up::Reset);
    }

    /// `peer` is gone; that is seen when something is written to it, if not before.
    pub(crate) fn break_writes(&mut self, peer: Peer) {
        note!(self, "{peer} cannot be written to any more");
        self.peers[peer.0].breaks = true;
        self.queue_up(peer, Up::Reset);
    }

    /// From now on nothing that `peer` sends arrives.
    pub(crate) fn lose_up(&mut self, peer: Peer) {
        note!(self, "what {peer} sends is lost");
        self.peers[peer.0].lost_up = true;
    }

    /// From now on `peer` receives nothing, though the server can write.
    pub(crate) fn lose_down(&mut self, peer: Peer) {
        note!(self, "what {peer} is sent is lost");
        self.peers[peer.0].lost_down = true;
    }

    /// From now on `peer` does not read: its system takes `room` more bytes and no more.
    pub(crate) fn stop_reading(&mut self, peer: Peer, room: usize) {
        note!(self, "{peer} takes {room} more bytes");
        self.peers[peer.0].window = Some(room);
        self.writable.push(peer);
    }

    pub(crate) fn read_again_quietly(&mut self, peer: Peer) {
        note!(self, "{peer} reads again");
        self.peers[peer.0].window = None;
        self.writable.push(peer);
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

    /// Whether `peer` does not take what is written to it.
    pub(crate) fn is_blocked(&self, peer: Peer) -> bool {
        self.peers[peer.0].blocked
    }

    pub(crate) fn is_anybody_blocked(&self) -> bool {
        self.live.iter().any(|&at| self.peers[at].blocked && self.peers[at].phase != Phase::Gone)
    }

    /// Whether the connection of `peer` waits to be accepted.
    pub(crate) fn is_arriving(&self, peer: Peer) -> bool {
        self.peers[peer.0].phase == Phase::Arriving
    }

    /// When the server closed the connection of `peer`.
    pub(crate) fn closed_at(&self, peer: Peer) -> Option<Duration> {
        self.peers[peer.0].closed_at
    }

    pub(crate) fn addr(&self, peer: Peer) -> SocketAddr {
        self.peers[peer.0].addr
    }

    /// Whether `peer` has sent something that has not been read.
    pub(crate) fn has_under_way(&self, peer: Peer) -> bool {
        !self.peers[peer.0].up.is_empty()
    }
}
