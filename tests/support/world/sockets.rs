//! The server's sockets: what its engine reads from peers and writes to them, in a network that exists in memory only.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use taketurns::engine::{Interest, Ready, Sockets, Target};
use taketurns::protocol::ConnectionId;
use taketurns::protocol::turns::{Framing, TurnServerConfig};
use taketurns::time::{Instant, Now};

use super::peer::{Down, Kind, Parcel, PeerState, Phase, Up};
use super::{Delivery, Peer, journal, note, secs};

/// The network, with everybody who is connected to it.
pub(crate) struct Net {
    pub(super) config: TurnServerConfig,
    pub(super) start: Instant,
    pub(super) now: Now,
    pub(crate) rng: fastrand::Rng,
    pub(super) peers: Vec<PeerState>,
    /// Those that something may still happen to.
    pub(super) live: Vec<usize>,
    /// Also those that are gone, while the server lives.
    pub(super) by_connection: HashMap<ConnectionId, Peer>,
    /// Connected, and not accepted yet.
    pub(super) newcomers: VecDeque<Peer>,
    /// Peers that take bytes again.
    pub(super) writable: Vec<Peer>,
    pub(super) sequence: u64,
    pub(super) server_is_up: bool,
    /// Every write of the server, in the order of the writes.
    pub(crate) deliveries: Vec<Delivery>,
    /// What the server has read, and how many writes its peer had received by then.
    pub(crate) reads: Vec<(usize, Peer, Vec<u8>)>,
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

impl Net {
    /// Without a peer yet.
    pub(super) fn new(config: TurnServerConfig, seed: u64) -> Net {
        let start = Instant::ORIGIN;
        let wall = SystemTime::UNIX_EPOCH + secs(1_700_000_000);
        Net {
            chunking: config.framing == Framing::Line,
            config,
            start,
            now: Now { instant: start, wall },
            rng: fastrand::Rng::with_seed(seed ^ 0x5eed),
            peers: Vec::new(),
            live: Vec::new(),
            by_connection: HashMap::new(),
            newcomers: VecDeque::new(),
            writable: Vec::new(),
            sequence: 0,
            server_is_up: true,
            deliveries: Vec::new(),
            reads: Vec::new(),
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

    /// The connections of which something is to be said, in the order in which that happened: each once for what has come since it was last read.
    pub(super) fn take_ready(&mut self) -> Vec<(ConnectionId, Ready)> {
        let now = self.now.instant;
        let mut ready = Vec::new();
        for nth in 0..self.live.len() {
            let at = self.live[nth];
            let sequence = self.sequence;
            let state = &mut self.peers[at];
            if state.found_dead_at.take_if(|due| *due <= now).is_some() {
                state.up.push_back(Parcel { sequence, at: now, up: Up::Reset });
            }
            if let Some((id, first)) = state.id.zip(state.unsaid(now)) {
                ready.push((first, id, at));
                state.is_said = true;
            }
        }
        ready.sort_unstable();
        if self.shuffling {
            self.rng.shuffle(&mut ready);
        }
        ready.into_iter().map(|(_, id, at)| (id, self.readiness(at))).collect()
    }

    fn readiness(&mut self, at: usize) -> Ready {
        let now = self.now.instant;
        let mut has_come = self.peers[at].up.iter().take_while(|parcel| parcel.at <= now);
        let ends = has_come.any(|parcel| !matches!(parcel.up, Up::Bytes(_)));
        // An end behind some bytes is seen with them, or later.
        let read_closed = ends && (!self.merging || self.rng.bool());
        Ready { readable: true, writable: false, read_closed }
    }

    /// Those that can be written to again.
    pub(super) fn take_writable(&mut self) -> Vec<ConnectionId> {
        let peers = std::mem::take(&mut self.writable);
        peers.into_iter().filter_map(|peer| self.peers[peer.0].id).collect()
    }

    /// Another parcel for the same read, if it has come and fits.
    fn next_parcel(&mut self, peer: Peer, room: usize) -> Option<Vec<u8>> {
        let now = self.now.instant;
        let up = &mut self.peers[peer.0].up;
        let fits = |parcel: &Parcel| match &parcel.up {
            Up::Bytes(bytes) => parcel.at <= now && bytes.len() <= room,
            Up::End | Up::Reset => false,
        };
        up.front().filter(|parcel| fits(parcel))?;
        match up.pop_front()?.up {
            Up::Bytes(bytes) => Some(bytes),
            Up::End | Up::Reset => None,
        }
    }

    /// The first parcel that has come, cut where a read ends.
    fn first_parcel(&mut self, peer: Peer, room: usize) -> Option<Up> {
        let now = self.now.instant;
        let up = &mut self.peers[peer.0].up;
        up.front().filter(|parcel| parcel.at <= now)?;
        let mut parcel = up.pop_front()?;
        if let Up::Bytes(bytes) = &mut parcel.up
            && bytes.len() > room
        {
            let rest = Up::Bytes(bytes.split_off(room));
            up.push_front(Parcel { up: rest, ..parcel });
        }
        Some(parcel.up)
    }

    fn read_bytes(&mut self, peer: Peer, mut bytes: Vec<u8>, buffer: &mut [u8]) -> usize {
        while self.merging
            && self.rng.u8(0..4) > 0
            && let Some(more) = self.next_parcel(peer, buffer.len() - bytes.len())
        {
            bytes.extend(more);
        }
        let count = bytes.len();
        buffer[..count].copy_from_slice(&bytes);
        let is_over = self.peers[peer.0].closed_at.is_some();
        note!(
            self,
            "{peer} >> \"{}\"{}",
            bytes.escape_ascii(),
            if is_over { " (not listened to)" } else { "" }
        );
        if !is_over {
            self.hash.add((peer, &bytes));
            self.reads.push((self.peers[peer.0].recvs.len(), peer, bytes));
        }
        count
    }
}

impl Sockets for Net {
    type Socket = Peer;
    type Listener = ();

    const SHORT_READ_EMPTIES: bool = true;

    fn recv(&mut self, peer: &mut Peer, buffer: &mut [u8]) -> io::Result<usize> {
        let peer = *peer;
        self.peers[peer.0].is_said = false;
        match self.first_parcel(peer, buffer.len()) {
            None => Err(ErrorKind::WouldBlock.into()),
            Some(Up::Bytes(bytes)) => Ok(self.read_bytes(peer, bytes, buffer)),
            Some(Up::Reset) => Err(ErrorKind::ConnectionReset.into()),
            Some(Up::End) => {
                note!(self, "{peer} >> end");
                self.peers[peer.0].ended = true;
                Ok(0)
            }
        }
    }

    /// One write, one `recv`.
    fn send(&mut self, peer: &mut Peer, bytes: &[u8]) -> io::Result<usize> {
        let (peer, at) = (*peer, self.elapsed());
        let state = &mut self.peers[peer.0];
        if state.breaks {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let count = state.window.map_or(bytes.len(), |room| room.min(bytes.len()));
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        state.window = state.window.map(|room| room - count);
        let delivery = Delivery { at, peer, bytes: bytes[..count].to_vec() };
        let lost = state.lost_down;
        note!(self, "{peer} << \"{}\"{}", delivery.bytes.escape_ascii(), if lost { " (lost)" } else { "" });
        self.hash.add((at, peer, &delivery.bytes));
        self.deliveries.push(delivery.clone());
        let state = &mut self.peers[peer.0];
        match &mut state.kind {
            _ if lost => {}
            Kind::ByHand => state.recvs.push(delivery),
            Kind::Legacy(legacy) => legacy.receive(self.now.instant, &delivery.bytes),
            Kind::Ours(_) => state.down.push_back(Down::Bytes(delivery.bytes)),
        }
        Ok(count)
    }

    fn shutdown(&mut self, peer: &mut Peer) -> io::Result<()> {
        let at = self.elapsed();
        self.peers[peer.0].finish(at);
        Ok(())
    }

    fn close(&mut self, peer: Peer) {
        let at = self.elapsed();
        self.peers[peer.0].lose(at);
    }

    fn watch(
        &mut self,
        id: ConnectionId,
        peer: &mut Peer,
        interest: Interest,
        before: Option<Interest>,
    ) -> io::Result<()> {
        if before.is_none() {
            note!(self, "{peer} is accepted as {id}");
            self.by_connection.insert(id, *peer);
        }
        let state = &mut self.peers[peer.0];
        (state.id, state.phase) = (Some(id), Phase::Open);
        state.blocked = interest == Interest::ReadWrite;
        Ok(())
    }

    fn set_options(&mut self, _: &mut Peer) -> io::Result<()> {
        Ok(())
    }

    fn accept(&mut self, (): &mut ()) -> io::Result<(Peer, SocketAddr)> {
        let peer = self.newcomers.pop_front().ok_or(ErrorKind::WouldBlock)?;
        Ok((peer, self.peers[peer.0].addr))
    }

    fn unlisten(&mut self, (): ()) {}

    fn resolve(&mut self, _: &Target) -> io::Result<Vec<SocketAddr>> {
        Err(ErrorKind::Unsupported.into())
    }

    fn connect(&mut self, _: SocketAddr) -> io::Result<Peer> {
        Err(ErrorKind::Unsupported.into())
    }

    fn established(&mut self, _: &mut Peer) -> io::Result<bool> {
        Err(ErrorKind::Unsupported.into())
    }
}
