//! How bytes go out, and how connections end: with their last words heard, or at once.

use std::io;

use log::{Level, info};

use super::connection::{Limits, Next, Phase};
use super::pass::Timer;
use super::{Engine, Event, Sockets};
use crate::protocol::{AbortReason, CloseReason, ConnectionId, DialId, Origin, Protocol};
use crate::time::Now;

impl<P: Protocol, S: Sockets> Engine<P, S> {
    #[inline(always)]
    pub(super) fn flush_touched(&mut self, now: Now) {
        while let Some((id, errand)) = self.links.next_errand() {
            let Some(errand) = errand else { continue };
            let Some(connection) = self.connections.get_mut(id) else { continue };
            let limits = Limits { total: &mut self.counts.bytes_out, config: &self.config };
            if let Some(outcome) = connection.run(&mut self.sockets, errand, limits) {
                self.follow_up(now, id, outcome);
            }
        }
    }

    #[cold]
    fn follow_up(&mut self, now: Now, id: ConnectionId, outcome: io::Result<Next>) {
        match outcome {
            Ok(Next::Nothing) => {}
            Ok(Next::Await { has_progress }) => self.await_writable(now, id, has_progress),
            Ok(Next::Linger) => self.linger(now, id),
            Ok(Next::Abort(reason)) => {
                if reason == AbortReason::SlowReader {
                    self.note_slow_reader(id, "it does not keep up with what is written to it");
                }
                self.close(now, id, reason.into());
            }
            Err(error) => self.close(now, id, CloseReason::Broken(error.kind())),
        }
    }

    /// All is written, or the peer has time to take more, from its last progress. While draining, it has no more than the linger.
    pub(super) fn await_writable(&mut self, now: Now, id: ConnectionId, has_progress: bool) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let timer = Timer::Connection(id);
        let has_deadline = self.deadlines.of(timer).is_some();
        let patience = match connection.phase {
            _ if !connection.blocked => None,
            _ if self.draining => Some(self.config.linger_timeout),
            Phase::Closing => Some(self.config.stall_timeout.unwrap_or(self.config.user_timeout)),
            _ => self.config.stall_timeout,
        };
        match patience {
            // A drain does not wait for a drip.
            Some(patience) if !has_deadline || has_progress && !self.draining => {
                self.deadlines.set(timer, Some(now.instant + patience));
            }
            None if has_deadline => self.deadlines.set(timer, None),
            _ => {}
        }
        if let Err(error) = connection.watch(&mut self.sockets, id) {
            return self.close(now, id, CloseReason::Broken(error.kind()));
        }
        if connection.blocked {
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

    /// A drain has begun: a peer that does not read has less time from now on.
    pub(super) fn hasten(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.blocked {
            let due = now.instant + self.config.linger_timeout;
            self.deadlines.set(Timer::Connection(id), Some(due));
        }
    }

    /// The last words are written. A close with unread input would reset the connection, and the peer might never read
    /// them: so what still comes is discarded for a while.
    pub(super) fn linger(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let shut = self.sockets.shutdown(&mut connection.socket);
        if connection.ended || shut.is_err() {
            return self.close(now, id, CloseReason::Finished);
        }
        connection.phase = Phase::Lingering;
        if std::mem::take(&mut connection.paused) {
            connection.unread = false;
        }
        let due = now.instant + self.config.linger_timeout;
        self.deadlines.set(Timer::Connection(id), Some(due));
        // What has come already is not announced again.
        if let Err(error) = connection.watch(&mut self.sockets, id) {
            return self.close(now, id, CloseReason::Broken(error.kind()));
        }
        self.read_later(id);
    }

    /// The connection is gone. Its slot is used again only after the batch: an event for it may still be on its way.
    pub(crate) fn close(&mut self, now: Now, id: ConnectionId, reason: CloseReason) {
        let Some((origin, phase)) = self.discard(id) else { return };
        self.links.abort(id);
        if phase == Phase::Connecting {
            return;
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
            if self.links.comes_back_at_once(id) && !self.draining {
                // In the next pass.
                self.deadlines.set(Timer::Dial(at), Some(now.instant));
            } else {
                self.dial_later(now, at, None);
            }
        }
    }

    pub(super) fn discard(&mut self, id: ConnectionId) -> Option<(Origin, Phase)> {
        let connection = self.connections.remove(id)?;
        let (origin, phase) = (connection.origin(), connection.phase);
        if origin == Origin::Accepted
            && let Some(peer) = self.links.peer(id)
        {
            self.addresses.remove(peer);
        }
        if connection.has_rest {
            self.rests.remove(&id);
        }
        self.deadlines.set(Timer::Connection(id), None);
        self.stalled.forget(id);
        self.sockets.close(connection.socket);
        self.gone.push(id);
        Some((origin, phase))
    }

    fn note_slow_reader(&mut self, id: ConnectionId, why: &str) {
        self.counts.slow_readers += 1;
        let nth = self.counts.slow_readers;
        if let Some(peer) = self.links.peer(id)
            && self.links.may_log(Level::Info)
        {
            info!("{peer}: closed ({nth} so far), {why}");
        }
    }

    pub(super) fn out_of_time(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        match connection.phase {
            Phase::Connecting => self.connecting_failed(now, id, io::ErrorKind::TimedOut.into()),
            Phase::Open | Phase::Closing => {
                self.note_slow_reader(id, "it takes nothing of what is queued for it");
                self.close(now, id, CloseReason::SlowReader);
            }
            Phase::Lingering => self.close(now, id, CloseReason::Unwanted),
        }
    }
}

impl From<AbortReason> for CloseReason {
    fn from(reason: AbortReason) -> Self {
        match reason {
            AbortReason::Unwanted => CloseReason::Unwanted,
            AbortReason::SlowReader => CloseReason::SlowReader,
        }
    }
}
