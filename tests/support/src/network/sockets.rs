//! Sockets in memory: a pipe for each peer.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use taketurns::engine::{Interest, Sockets};
use taketurns::protocol::ConnectionId;

use super::old::Old;
use super::{Delivery, Peer};
use crate::wire::End;

#[derive(Default)]
pub struct Net {
    pub(super) pipes: Vec<Pipe>,
    /// Connected but not accepted peers: of the listener for plain text, and of the one for TLS.
    pub(super) newcomers: [VecDeque<usize>; 2],
    /// All writes of the server, in order.
    pub(super) deliveries: Vec<Delivery>,
    pub(super) at: Duration,
    /// Connections that have become writable again.
    pub(super) writable: Vec<ConnectionId>,
    pub(super) sequence: u64,
    /// The number of reads that returned bytes. A connection whose peer does not read is not read either.
    pub(super) reads: u64,
    /// Peers that may have something to be read.
    pub(super) talking: Vec<usize>,
}

/// An action of a peer on its stream.
pub(super) enum Up {
    Bytes(Vec<u8>),
    End,
    Reset,
}

pub(super) struct Pipe {
    pub(super) id: Option<ConnectionId>,
    pub(super) addr: SocketAddr,
    pub(super) listener: usize,
    pub(super) up: VecDeque<(u64, Up)>,
    /// Whether a segment may be read in this pass; each pass reads one.
    may_read: bool,
    pub(super) is_talking: bool,
    /// The last segment that was announced. As with epoll, each is announced once.
    announced: u64,
    /// Everything that it received, one entry per `recv`.
    pub(super) recvs: Vec<Delivery>,
    pub(super) looked: usize,
    pub(super) unended: Vec<u8>,
    /// The number of bytes that its system still accepts; `None` while the peer reads.
    pub(super) window: Option<usize>,
    pub(super) is_blocked: bool,
    /// Whether the next write to it fails.
    pub(super) breaks: bool,
    pub(super) lost_up: bool,
    pub(super) lost_down: bool,
    /// When the server closed its side.
    pub(super) closed_at: Option<Duration>,
    pub(super) is_gone: bool,
    pub(super) old: Option<Old>,
    /// Its end of the wire, if that is not plain text.
    pub(super) end: Option<End>,
}

impl Pipe {
    pub(super) fn new(addr: SocketAddr, listener: usize, old: Option<Old>) -> Pipe {
        Pipe {
            id: None,
            addr,
            listener,
            up: VecDeque::new(),
            may_read: false,
            is_talking: false,
            announced: 0,
            recvs: Vec::new(),
            looked: 0,
            unended: Vec::new(),
            window: None,
            is_blocked: false,
            breaks: false,
            lost_up: false,
            lost_down: false,
            closed_at: None,
            is_gone: false,
            old,
            end: None,
        }
    }
}

impl Net {
    /// Returns the readable connections, in order of arrival. Each may be read once.
    pub(super) fn begin_pass(&mut self) -> Vec<(u64, ConnectionId)> {
        let Net { pipes, talking, .. } = self;
        talking.retain(|&at| {
            let pipe = &mut pipes[at];
            pipe.is_talking = !pipe.up.is_empty() && !pipe.is_gone;
            pipe.is_talking
        });
        let mut ready = Vec::new();
        for &at in talking.iter() {
            let pipe = &mut pipes[at];
            pipe.may_read = true;
            if let Some((id, &(sequence, _))) = pipe.id.zip(pipe.up.front())
                && sequence > pipe.announced
            {
                pipe.announced = sequence;
                ready.push((sequence, id));
            }
        }
        ready.sort_unstable_by_key(|&(sequence, _)| sequence);
        ready
    }
}

impl Net {
    /// Lets bytes that are on their way arrive, so that one read returns all of them.
    pub(super) fn arrive(&mut self) {
        for &at in &self.talking {
            let up = &mut self.pipes[at].up;
            while let (Some((_, Up::Bytes(_))), Some((_, Up::Bytes(_)))) = (up.front(), up.get(1)) {
                let (Some((sequence, Up::Bytes(mut first))), Some((_, Up::Bytes(second)))) =
                    (up.pop_front(), up.pop_front())
                else {
                    return;
                };
                first.extend(second);
                up.push_front((sequence, Up::Bytes(first)));
            }
        }
    }
}

fn would_block<T>() -> io::Result<T> {
    Err(ErrorKind::WouldBlock.into())
}

impl Sockets for Net {
    type Socket = usize;
    type Listener = usize;
    const SHORT_READ_EMPTIES: bool = true;

    fn recv(&mut self, socket: &mut usize, buffer: &mut [u8]) -> io::Result<usize> {
        let pipe = &mut self.pipes[*socket];
        if !std::mem::take(&mut pipe.may_read) && !matches!(pipe.up.front(), Some((_, Up::End | Up::Reset))) {
            return would_block();
        }
        self.reads += u64::from(!pipe.up.is_empty());
        match pipe.up.front_mut() {
            None => would_block(),
            Some((_, Up::End)) => {
                pipe.up.clear();
                Ok(0)
            }
            Some((_, Up::Reset)) => {
                pipe.up.clear();
                Err(ErrorKind::ConnectionReset.into())
            }
            Some((_, Up::Bytes(bytes))) => {
                let count = bytes.len().min(buffer.len());
                buffer[..count].copy_from_slice(&bytes[..count]);
                bytes.drain(..count);
                if bytes.is_empty() {
                    pipe.up.pop_front();
                } else {
                    // The engine comes back for the rest.
                    pipe.may_read = true;
                }
                Ok(count)
            }
        }
    }

    fn send(&mut self, socket: &mut usize, bytes: &[u8]) -> io::Result<usize> {
        let pipe = &mut self.pipes[*socket];
        if pipe.breaks {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let count = pipe.window.map_or(bytes.len(), |room| room.min(bytes.len()));
        pipe.is_blocked = count < bytes.len();
        if count == 0 {
            return would_block();
        }
        pipe.window = pipe.window.map(|room| room - count);
        let delivery = Delivery { at: self.at, peer: Peer(*socket), bytes: bytes[..count].to_vec() };
        self.deliveries.push(delivery.clone());
        match &mut pipe.old {
            _ if pipe.lost_down => {}
            Some(old) => old.receive(self.at, &delivery.bytes),
            None => pipe.recvs.push(delivery),
        }
        Ok(count)
    }

    fn shutdown(&mut self, socket: &mut usize) -> io::Result<()> {
        self.pipes[*socket].closed_at.get_or_insert(self.at);
        Ok(())
    }

    fn close(&mut self, socket: usize) {
        let pipe = &mut self.pipes[socket];
        pipe.closed_at.get_or_insert(self.at);
        pipe.is_gone = true;
        pipe.up.clear();
    }

    fn watch(
        &mut self,
        id: ConnectionId,
        socket: &mut usize,
        _: Interest,
        _: Option<Interest>,
    ) -> io::Result<()> {
        self.pipes[*socket].id = Some(id);
        Ok(())
    }

    fn set_options(&mut self, _: &mut usize) {}

    fn accept(&mut self, listener: &mut usize) -> io::Result<(usize, SocketAddr)> {
        let Some(at) = self.newcomers[*listener].pop_front() else { return would_block() };
        Ok((at, self.pipes[at].addr))
    }

    fn unlisten(&mut self, _: usize) {}

    fn connect(&mut self, _: SocketAddr) -> io::Result<usize> {
        Err(ErrorKind::Unsupported.into())
    }

    fn established(&mut self, _: &mut usize) -> io::Result<bool> {
        Ok(true)
    }
}
