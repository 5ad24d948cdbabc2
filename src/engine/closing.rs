//! How bytes go out, and how connections end: after their last words were read, or at once.

use std::io;

use log::{Level, warn};

use super::pass::Timer;
use super::{Engine, Event, Interest, Sockets};
use crate::protocol::{
    AbortReason, CloseReason, ConnectionId, DialId, Flags, Intent, Origin, Phase, Protocol,
};
use crate::time::Now;

impl<P: Protocol, S: Sockets> Engine<P, S> {
    /// Writes what is queued for a connection, and carries out what its protocol has asked for. `first` is
    /// the result of a first write, if one was tried.
    #[cold]
    pub(super) fn carry_out(&mut self, now: Now, id: ConnectionId, first: Option<io::Result<usize>>) {
        let Some((link, _)) = self.links.link_and_spare(id) else { return };
        if let Intent::Abort(reason) = link.intent {
            return self.abort(now, id, reason);
        }
        if link.phase == Phase::Lingering {
            return;
        }
        let (before, had_refused) = (self.counts.bytes_out, link.is_blocked());
        // A peer that is about to be closed as a slow reader gets one more chance to read.
        if (!had_refused || link.queue.unsent().len() > self.config.out_bytes_max)
            && let Err(error) = self.write_out(id, first)
        {
            return self.close(now, id, CloseReason::Broken(error.kind()));
        }
        let Some((link, _)) = self.links.link_and_spare(id) else { return };
        let Some(socket) = self.streams.get_mut(id) else { return };
        if had_refused && link.is_blocked() && link.queue.unsent().len() > self.config.out_bytes_max {
            return self.abort(now, id, AbortReason::SlowReader);
        }
        if link.finished && !link.is_blocked() && !std::mem::replace(&mut link.shut, true) {
            // A read reports it if the connection is broken.
            let _ = self.sockets.shutdown(socket);
        }
        if link.intent == Intent::Close {
            // Only a handshake had to wait to be read.
            link.unread &= link.phase != Phase::Securing;
            link.phase = Phase::Closing;
            if !link.is_blocked() {
                return self.linger(now, id);
            }
        }
        // Otherwise nothing has changed: it is watched for input, and has no deadline.
        if link.is_blocked() || link.watched == Some(Interest::ReadWrite) {
            self.await_writable(now, id, self.counts.bytes_out > before);
        }
    }

    /// Writes until nothing is queued or the system takes no more.
    fn write_out(&mut self, id: ConnectionId, mut first: Option<io::Result<usize>>) -> io::Result<()> {
        let Some((link, spare)) = self.links.link_and_spare(id) else { return Ok(()) };
        if link.flags.any(Flags::WRAPPED) {
            return self.write_wrapped(id);
        }
        let Some(socket) = self.streams.get_mut(id) else { return Ok(()) };
        link.flags.clear(Flags::BLOCKED);
        while !link.queue.is_empty() {
            let written = match first.take() {
                Some(written) => written,
                None => self.sockets.send(socket, link.queue.unsent()),
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.counts.bytes_out += count as u64;
                    link.queue.consume(count, spare);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    link.flags.set(Flags::BLOCKED);
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn abort(&mut self, now: Now, id: ConnectionId, reason: AbortReason) {
        let reason = match reason {
            AbortReason::Unwanted => CloseReason::Unwanted,
            AbortReason::SlowReader => {
                self.note_slow_reader(id, "the peer does not read fast enough");
                CloseReason::SlowReader
            }
        };
        self.close(now, id, reason);
    }

    /// Updates the interest of a connection, if it has changed.
    pub(super) fn watch(&mut self, id: ConnectionId) -> io::Result<()> {
        let Some((link, socket)) = self.links.link_mut(id).zip(self.streams.get_mut(id)) else {
            return Ok(());
        };
        let wanted = link.interest();
        if link.watched != Some(wanted) {
            self.sockets.watch(id, socket, wanted, link.watched)?;
            link.watched = Some(wanted);
        }
        Ok(())
    }

    /// Sets the time in which the peer has to read more, counted from its last progress. While draining, that
    /// is the linger time at most.
    pub(super) fn await_writable(&mut self, now: Now, id: ConnectionId, has_progress: bool) {
        let Some(link) = self.links.present_mut(id) else { return };
        let timer = Timer::Connection(id);
        let has_deadline = self.deadlines.of(timer).is_some();
        let patience = match link.phase {
            _ if !link.is_blocked() => None,
            Phase::Securing => return,
            _ if self.draining => Some(self.config.linger_timeout),
            Phase::Closing => Some(self.config.stall_timeout.unwrap_or(self.config.user_timeout)),
            _ => self.config.stall_timeout,
        };
        match patience {
            // A drain does not wait for a peer that reads a few bytes at a time.
            Some(patience) if !has_deadline || has_progress && !self.draining => {
                self.deadlines.set(timer, Some(now.instant + patience));
            }
            None if has_deadline => self.deadlines.set(timer, None),
            _ => {}
        }
        if let Err(error) = self.watch(id) {
            return self.close(now, id, CloseReason::Broken(error.kind()));
        }
        if self.links.present_mut(id).is_some_and(|link| link.is_blocked()) {
            self.stalled.note(id, self.links.unsent(id).len());
            while let Some(slowest) = self.stalled.slowest(self.config.queued_bytes_max) {
                self.note_slow_reader(
                    slowest,
                    "it is the slowest, and too much is queued for all that do not read",
                );
                self.close(now, slowest, CloseReason::SlowReader);
            }
        } else {
            self.stalled.forget(id);
        }
        self.pause_or_resume(id);
    }

    /// Shortens the time of a peer that does not read, because a drain has begun.
    pub(super) fn hasten(&mut self, now: Now, id: ConnectionId) {
        let Some(link) = self.links.present_mut(id) else { return };
        if link.is_blocked() {
            let due = now.instant + self.config.linger_timeout;
            self.deadlines.set(Timer::Connection(id), Some(due));
        }
    }

    /// Discards further input for a while, after the last words have been written. Closing a socket with
    /// unread input would reset the connection, and the peer might never read them.
    pub(super) fn linger(&mut self, now: Now, id: ConnectionId) {
        let Some(link) = self.links.present_mut(id) else { return };
        let Some(socket) = self.streams.get_mut(id) else { return };
        let shut = self.sockets.shutdown(socket);
        if link.ended || shut.is_err() {
            return self.close(now, id, CloseReason::Finished);
        }
        link.phase = Phase::Lingering;
        if std::mem::take(&mut link.paused) {
            link.unread = false;
        }
        let due = now.instant + self.config.linger_timeout;
        self.deadlines.set(Timer::Connection(id), Some(due));
        // No event will announce the bytes that have already arrived.
        if let Err(error) = self.watch(id) {
            return self.close(now, id, CloseReason::Broken(error.kind()));
        }
        self.read_later(id);
    }

    /// Closes all connections at once, and sends nothing more.
    #[cfg(feature = "store")]
    pub(crate) fn close_all(&mut self, now: Now) {
        let all: Vec<_> = self.streams.iter().map(|(id, _)| id).collect();
        all.into_iter().for_each(|id| self.close(now, id, CloseReason::Unwanted));
    }

    /// Ends a connection. Its slot is used again only after the batch, because an event for it may still be
    /// on its way.
    pub(crate) fn close(&mut self, now: Now, id: ConnectionId, reason: CloseReason) {
        let is_known = self.is_known(id);
        let Some((origin, phase)) = self.discard(id) else { return };
        self.links.abort(id);
        if phase == Phase::Connecting {
            return;
        }
        if !is_known {
            let kind =
                if let CloseReason::Broken(kind) = reason { kind } else { io::ErrorKind::UnexpectedEof };
            return self.attempt_failed(now, id, origin, kind.into());
        }
        self.counts.closed += 1;
        self.protocol.handle_closed(now, id, reason, &mut self.links);
        if let Some(peer) = self.links.peer(id) {
            self.report(Event::Closed { connection: id, peer, origin, reason });
        }
        if let Origin::Dialed(DialId(at)) = origin
            && let Some(dial) = self.dials.get_mut(at).filter(|dial| dial.connection == Some(id))
        {
            dial.connection = None;
            if self.links.is_confirmed(id) {
                dial.relax();
            }
            let is_hurried = std::mem::take(&mut dial.is_hurried) || self.links.comes_back_at_once(id);
            if is_hurried && !self.draining {
                // In the next pass.
                self.deadlines.set(Timer::Dial(at), Some(now.instant));
            } else {
                self.dial_later(now, at, None);
            }
        }
    }

    /// Closes the socket of a connection, and returns its origin and its phase.
    pub(super) fn discard(&mut self, id: ConnectionId) -> Option<(Origin, Phase)> {
        let (socket, origin, phase) = self.detach(id)?;
        self.sockets.close(socket);
        Some((origin, phase))
    }

    /// Gives up a connection without closing its socket. The protocol is not told.
    pub(crate) fn detach(&mut self, id: ConnectionId) -> Option<(S::Socket, Origin, Phase)> {
        let socket = self.streams.remove(id)?;
        let link = self.links.link_mut(id)?;
        let phase = std::mem::replace(&mut link.phase, Phase::Gone);
        link.unread = true;
        if link.flags.take(Flags::HAS_REST) {
            self.rests.remove(&id);
        }
        if link.flags.any(Flags::WRAPPED) {
            self.forget_wire(id);
        }
        let origin = self.dialed.remove(&id).map_or(Origin::Accepted, Origin::Dialed);
        if origin == Origin::Accepted
            && let Some(peer) = self.links.peer(id)
        {
            self.addresses.remove(peer.ip());
        }
        self.deadlines.set(Timer::Connection(id), None);
        self.stalled.forget(id);
        self.gone.push(id);
        Some((socket, origin, phase))
    }

    pub(super) fn note_slow_reader(&mut self, id: ConnectionId, why: &str) {
        self.counts.slow_readers += 1;
        let nth = self.counts.slow_readers;
        if let Some(peer) = self.links.peer(id)
            && self.links.may_log(Level::Warn)
        {
            warn!("{peer}: closed ({nth} so far), {why}");
        }
    }

    pub(super) fn out_of_time(&mut self, now: Now, id: ConnectionId) {
        let Some(phase) = self.links.phase(id) else { return };
        match phase {
            Phase::Connecting => self.connecting_failed(now, id, io::ErrorKind::TimedOut.into()),
            Phase::Securing => self.handshake_timed_out(now, id),
            Phase::Open | Phase::Closing => {
                self.note_slow_reader(id, "it takes nothing of what is queued for it");
                self.close(now, id, CloseReason::SlowReader);
            }
            Phase::Lingering => self.close(now, id, CloseReason::Unwanted),
            Phase::Gone => {}
        }
    }
}
