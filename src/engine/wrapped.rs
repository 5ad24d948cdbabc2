//! Connections whose bytes on the wire are not the protocol's. Most servers have few or none of them, so
//! everything known about them is in a map, and the path of plain bytes tests one bit.

use std::io;

use log::{Level, warn};

use super::pass::Timer;
use super::wrapping::Nested;
use super::{Engine, Input, Sockets, Wrapping};
use crate::protocol::{CloseReason, ConnectionId, Flags, Intent, Origin, Phase, Protocol};
use crate::time::Now;

/// Buffers that connections share are freed after a large message if they are larger than this.
const KEEP_BYTES_MAX: usize = 64 * 1024;

/// The wrapping of a connection, and the bytes that it has to send.
#[derive(Debug)]
pub(super) struct Wire {
    wrapping: Box<dyn Wrapping>,
    /// Bytes in the wire's form that the system has not taken yet.
    pub(super) unsent: Vec<u8>,
    /// The number of bytes at the front of the link's queue whose form is in `unsent`. They leave the queue,
    /// and count as written, when all of it is written.
    stands_for: usize,
    /// Whether the protocol knows of the connection.
    is_known: bool,
    /// Whether its transport is known.
    has_transport: bool,
    /// Whether it is one of the engine's `handshakes`.
    is_queued: bool,
    has_finished: bool,
    /// Whether the protocol has been told of the end of the input.
    has_ended: bool,
}

/// Buffers that are empty except while bytes are unwrapped or written.
#[derive(Debug, Default)]
pub(super) struct WireBuffers {
    plain: Vec<u8>,
    unsent: Vec<u8>,
}

fn give_back(buffer: &mut Vec<u8>, shared: &mut Vec<u8>) {
    let mut buffer = std::mem::take(buffer);
    if (shared.capacity() + 1..=KEEP_BYTES_MAX).contains(&buffer.capacity()) {
        buffer.clear();
        *shared = buffer;
    }
}

impl<P: Protocol, S: Sockets> Engine<P, S> {
    /// Begins the handshake of a connection. Its protocol is told of it once that is complete.
    pub(super) fn secure(&mut self, now: Now, id: ConnectionId, wrapping: Box<dyn Wrapping>) {
        let Some(link) = self.links.present_mut(id) else { return };
        // It is read when its turn comes among the handshakes.
        (link.phase, link.unread) = (Phase::Securing, true);
        self.securing += 1;
        let due = now.instant + self.config.handshake_timeout;
        self.deadlines.set(Timer::Connection(id), Some(due));
        self.wrap(now, id, wrapping, false);
        self.unwrap(now, id, &mut []);
        self.flush(now);
    }

    /// Notes input of a connection that is not read now. If that is because of its handshake, it is read at
    /// the end of this pass or of one of the next.
    #[cold]
    pub(super) fn read_handshake_later(&mut self, id: ConnectionId) {
        if self.links.phase(id) == Some(Phase::Securing)
            && let Some(wire) = self.wires.get_mut(id)
            && !std::mem::replace(&mut wire.is_queued, true)
        {
            self.handshakes.push_back(id);
            self.at_once = true;
        }
    }

    /// Continues a few handshakes, in the order in which their input came.
    pub(super) fn shake_hands(&mut self, now: Now) {
        let mut left = self.config.pass_handshakes_max.max(1);
        while left > 0
            && self.pass_budget >= self.buffer.len()
            && let Some(id) = self.handshakes.pop_front()
        {
            if self.links.phase(id) != Some(Phase::Securing) {
                continue;
            }
            left -= 1;
            self.set_securing(id, false);
            // Whether that was the end of the stream was not recorded.
            self.read_seldom(now, id, self.buffer.len(), true);
            self.set_securing(id, true);
            self.flush(now);
        }
    }

    /// Notes that a connection in its handshake waits to be read, or, if not `waits`, that it is about to be
    /// read.
    fn set_securing(&mut self, id: ConnectionId, waits: bool) {
        let Some(wire) = self.wires.get_mut(id) else { return };
        let Some(link) = self.links.present_mut(id) else { return };
        if link.phase == Phase::Securing {
            link.unread = waits;
            wire.is_queued &= waits;
        }
    }

    /// Returns whether this is the first end of a connection's input: a wrapped connection has two, that of
    /// its wire and that of the stream.
    pub(super) fn is_first_end(&mut self, id: ConnectionId) -> bool {
        self.wires.get_mut(id).is_none_or(|wire| !std::mem::replace(&mut wire.has_ended, true))
    }

    pub(super) fn forget_wire(&mut self, id: ConnectionId) {
        if self.wires.remove(id).is_some_and(|wire| !wire.is_known) {
            self.one_less_is_securing();
        }
    }

    fn one_less_is_securing(&mut self) {
        self.securing -= 1;
        // Newcomers may have waited for that.
        self.at_once = true;
    }

    /// Handles the beginning of another wire in `bytes`, which the protocol has recognised and not consumed.
    #[cold]
    pub(super) fn upgrade(&mut self, now: Now, id: ConnectionId, mut bytes: Vec<u8>) {
        let Some(upgrade) = &mut self.upgrade else { return };
        let inner = upgrade();
        if let Some(wire) = self.wires.remove(id) {
            let bytes = std::mem::take(&mut bytes);
            let wrapping = Box::new(Nested::new(wire.wrapping, inner, bytes));
            self.wires.insert(id, Box::new(Wire { wrapping, has_transport: false, ..*wire }));
        } else {
            self.wrap(now, id, inner, true);
        }
        self.unwrap(now, id, &mut bytes);
    }

    fn wrap(&mut self, now: Now, id: ConnectionId, wrapping: Box<dyn Wrapping>, is_known: bool) {
        let wire = Box::new(Wire {
            wrapping,
            unsent: Vec::new(),
            stands_for: 0,
            is_known,
            has_transport: false,
            is_queued: false,
            has_finished: false,
            has_ended: false,
        });
        self.insert_wire(now, id, wire);
    }

    pub(super) fn insert_wire(&mut self, now: Now, id: ConnectionId, wire: Box<Wire>) {
        let Some(link) = self.links.present_mut(id) else { return };
        link.flags.set(Flags::WRAPPED);
        if wire.has_transport
            && let Some(transport) = wire.wrapping.transport()
        {
            self.links.set_transport(id, transport);
        }
        self.wires.insert(id, wire);
        if let Some(every) = self.config.wire_ping
            && self.deadlines.of(Timer::Ping).is_none()
        {
            self.deadlines.set(Timer::Ping, Some(now.instant + every));
        }
    }

    /// Returns whether the protocol knows of an established connection.
    pub(super) fn is_known(&self, id: ConnectionId) -> bool {
        self.wires.get(id).is_none_or(|wire| wire.is_known)
    }

    /// Takes in bytes of a wrapped connection.
    #[cold]
    pub(super) fn unwrap(&mut self, now: Now, id: ConnectionId, bytes: &mut [u8]) {
        let Some(wire) = self.wires.get_mut(id) else { return };
        let Some(phase) = self.links.phase(id).filter(|_| self.links.is_open(id)) else { return };
        let mut plain = std::mem::take(&mut self.wire_buffers.plain);
        let outcome = wire.wrapping.unwrap(bytes, &mut plain, &mut wire.unsent);
        let unsent = wire.unsent.len();
        if !wire.has_transport
            && let Some(transport) = wire.wrapping.transport()
        {
            wire.has_transport = true;
            let was_known = std::mem::replace(&mut wire.is_known, true);
            if !was_known {
                self.one_less_is_securing();
            }
            self.links.set_transport(id, transport);
            if phase == Phase::Securing {
                self.secured(now, id);
            }
        }
        if unsent > 0 {
            self.links.hurry(id);
        }
        if plain.is_empty() {
            self.idle_reads = self.idle_reads.saturating_add(1);
        } else {
            self.idle_reads = 0;
            self.take_in(now, id, &plain);
        }
        plain.clear();
        give_back(&mut plain, &mut self.wire_buffers.plain);
        if unsent > self.config.out_bytes_max {
            self.note_slow_reader(id, "the peer does not read the replies that it causes");
            return self.close(now, id, CloseReason::SlowReader);
        }
        match outcome {
            Ok(Input::Open) => {}
            Ok(Input::Ended) => self.input_ended(now, id),
            Err(error) => self.wire_broken(now, id, error),
        }
    }

    fn secured(&mut self, now: Now, id: ConnectionId) {
        let Some(link) = self.links.present_mut(id) else { return };
        (link.phase, link.unread) = (Phase::Open, false);
        self.deadlines.set(Timer::Connection(id), None);
        let Some(peer) = self.links.peer(id) else { return };
        let origin = self.dialed.get(&id).map_or(Origin::Accepted, |&dial| Origin::Dialed(dial));
        self.opened(now, id, peer, origin);
    }

    /// Handles a peer that has broken the rules of its wire. To its protocol it looks like a peer that hangs
    /// up.
    #[cold]
    fn wire_broken(&mut self, now: Now, id: ConnectionId, error: io::Error) {
        let Some(phase) = self.links.phase(id) else { return };
        if self.wires.get(id).is_some_and(|wire| !wire.has_transport) {
            self.counts.handshakes_failed += 1;
        }
        let is_dialed = self.dialed.contains_key(&id);
        // The host is told of a dialed connection, unless its protocol already knows of it.
        if let Some(peer) = self.links.peer(id).filter(|_| !is_dialed || phase != Phase::Securing)
            && self.links.may_log(Level::Warn)
        {
            warn!("{peer}: closed ({error})");
        }
        if phase == Phase::Securing && is_dialed {
            self.flush(now);
            return self.connecting_failed(now, id, error);
        }
        self.input_ended(now, id);
        self.links.close(id);
    }

    /// Handles a handshake that took too long.
    #[cold]
    pub(super) fn handshake_timed_out(&mut self, now: Now, id: ConnectionId) {
        self.wire_broken(now, id, io::Error::new(io::ErrorKind::TimedOut, "the handshake takes too long"));
    }

    /// Pings every wrapped connection, because proxies cut silent ones.
    #[cold]
    pub(super) fn ping_all(&mut self, now: Now) {
        let Some(every) = self.config.wire_ping else { return };
        for (id, wire) in self.wires.iter_mut() {
            // A peer that does not read is not asked whether it is there.
            if wire.is_known && wire.unsent.is_empty() {
                wire.wrapping.ping(&mut wire.unsent);
                if !wire.unsent.is_empty() {
                    self.links.hurry(id);
                }
            }
        }
        self.deadlines.set(Timer::Ping, (!self.wires.is_empty()).then(|| now.instant + every));
    }

    /// Writes what is queued for a wrapped connection until nothing is left or the system takes no more.
    pub(super) fn write_wrapped(&mut self, id: ConnectionId) -> io::Result<()> {
        let Some((link, spare)) = self.links.link_and_spare(id) else { return Ok(()) };
        let Some((socket, wire)) = self.streams.get_mut(id).zip(self.wires.get_mut(id)) else {
            return Ok(());
        };
        link.flags.clear(Flags::BLOCKED);
        if wire.unsent.capacity() == 0 {
            std::mem::swap(&mut wire.unsent, &mut self.wire_buffers.unsent);
        }
        loop {
            if wire.unsent.is_empty() {
                link.queue.consume(std::mem::take(&mut wire.stands_for), spare);
                if !link.queue.is_empty() {
                    let queued = link.queue.unsent();
                    wire.stands_for = match wire.wrapping.wrap(queued, &mut wire.unsent) {
                        0 if link.intent == Intent::Keep => break,
                        0 => queued.len(),
                        count => count,
                    };
                    continue;
                }
                // Where only this direction ends, and input is still read, the end of the stream shows it.
                let is_at_end = link.intent != Intent::Keep && !link.finished;
                if !is_at_end || std::mem::replace(&mut wire.has_finished, true) {
                    break;
                }
                wire.wrapping.finish(&mut wire.unsent);
                continue;
            }
            match self.sockets.send(socket, &wire.unsent) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.counts.bytes_out += count as u64;
                    // Nearly always this was everything.
                    if count == wire.unsent.len() {
                        wire.unsent.clear();
                    } else {
                        wire.unsent.drain(..count);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    link.flags.set(Flags::BLOCKED);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        give_back(&mut wire.unsent, &mut self.wire_buffers.unsent);
        Ok(())
    }
}
