//! One TCP stream: reading with a budget, writing what is queued, interest derived from where it stands.

use std::io;
use std::num::NonZeroU32;

use super::{DriverConfig, Interest, Sockets};
use crate::hint::unlikely;
use crate::protocol::{AbortReason, ConnectionId, DialId, Errand, Origin, Wish};

#[derive(Debug)]
pub(crate) struct Connection<S> {
    pub(super) socket: S,
    /// If this side has connected: which of its dials, counted from 1.
    dial: Option<NonZeroU32>,
    pub(super) phase: Phase,
    /// The peer has finished sending.
    pub(super) ended: bool,
    /// This side has finished sending.
    pub(super) finished: bool,
    /// The system would not take all that is queued; it says when it will.
    pub(crate) blocked: bool,
    /// It is not to be read now. There may be more to read although no event will say so, because a budget ran out; or it is paused, or not
    /// established.
    pub(super) unread: bool,
    /// It is congested, and read on when it is not any more.
    pub(super) paused: bool,
    /// Some of its input was not consumed, and is kept.
    pub(super) has_rest: bool,
    watched: Option<Interest>,
}

/// Where a connection stands. Its deadline, if it has one, means something else in each: how long that may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Outbound, not established; the protocol has not heard of it.
    Connecting,
    /// In use.
    Open,
    /// The last words are queued; nothing that comes is listened to.
    Closing,
    /// The last words are written and the writing side is shut down; whatever still comes is discarded.
    Lingering,
}

/// Why a read brought nothing.
#[derive(Debug)]
pub(super) enum ReadEnd {
    /// The socket is empty, for now.
    Empty,
    /// The peer has finished sending.
    End,
    /// The connection is broken.
    Broken(io::ErrorKind),
}

/// The work left after a protocol's wishes were carried out on the socket.
#[derive(Debug)]
pub(super) enum Next {
    Nothing,
    /// See to it that the poll says when the system takes bytes, or no more.
    Await {
        has_progress: bool,
    },
    /// Give the peer time for the last words.
    Linger,
    /// Close at once.
    Abort(AbortReason),
}

impl<T> Connection<T> {
    pub(super) fn new(socket: T, origin: Origin, phase: Phase) -> Connection<T> {
        let dial = match origin {
            Origin::Accepted => None,
            Origin::Dialed(DialId(at)) => {
                Some(u32::try_from(at + 1).ok().and_then(NonZeroU32::new).expect("fewer than 2^32 dials"))
            }
        };
        Connection {
            socket,
            dial,
            phase,
            ended: false,
            finished: false,
            blocked: false,
            unread: false,
            paused: false,
            has_rest: false,
            watched: None,
        }
    }

    pub(super) fn origin(&self) -> Origin {
        self.dial.map_or(Origin::Accepted, |nth| Origin::Dialed(DialId(nth.get() as usize - 1)))
    }

    /// Reads once: how many bytes, at least one, or why there are none.
    #[inline(always)]
    pub(super) fn read<S>(&mut self, sockets: &mut S, buffer: &mut [u8]) -> Result<usize, ReadEnd>
    where
        S: Sockets<Socket = T>,
    {
        loop {
            match sockets.recv(&mut self.socket, buffer) {
                Ok(0) => return Err(ReadEnd::End),
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(ReadEnd::Empty),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadEnd::Broken(error.kind())),
            }
        }
    }

    /// Writes what is queued, and carries out what the protocol wants done; what is left to do then, if anything is.
    #[inline(always)]
    pub(super) fn run<S>(
        &mut self,
        sockets: &mut S,
        errand: Errand<'_>,
        limits: Limits<'_>,
    ) -> Option<io::Result<Next>>
    where
        S: Sockets<Socket = T>,
    {
        let unsent = errand.unsent();
        if unlikely(!self.is_idle() | !errand.is_message() | unsent.is_empty()) {
            return Some(self.run_any(sockets, errand, None, limits));
        }
        match sockets.send(&mut self.socket, unsent) {
            // Nearly always that is all.
            Ok(count) if count == unsent.len() => {
                *limits.total += count as u64;
                errand.clear();
                None
            }
            first => Some(self.run_any(sockets, errand, Some(first), limits)),
        }
    }

    /// In use, and nothing is waited for but what its peer has to say.
    fn is_idle(&self) -> bool {
        (self.phase == Phase::Open) & !self.blocked & (self.watched == Some(Interest::Read))
    }

    /// `first` is what came of a first write, if one was tried.
    #[cold]
    fn run_any<S>(
        &mut self,
        sockets: &mut S,
        mut errand: Errand<'_>,
        mut first: Option<io::Result<usize>>,
        limits: Limits<'_>,
    ) -> io::Result<Next>
    where
        S: Sockets<Socket = T>,
    {
        let (wish, is_finished) = (errand.wish(), errand.is_finished());
        if let Wish::Abort(reason) = wish {
            return Ok(Next::Abort(reason));
        }
        if self.phase == Phase::Lingering {
            return Ok(Next::Nothing);
        }
        let before = *limits.total;
        let had_refused = self.blocked;
        // A peer that is to be closed for what waits for it is offered that once more.
        if !self.blocked || errand.unsent().len() > limits.config.out_bytes_max {
            let socket = &mut self.socket;
            let write = |bytes: &[u8]| first.take().unwrap_or_else(|| sockets.send(socket, bytes));
            self.blocked = !errand.write_out(limits.total, write)?;
        }
        if had_refused && self.blocked && errand.unsent().len() > limits.config.out_bytes_max {
            return Ok(Next::Abort(AbortReason::SlowReader));
        }
        if is_finished && !self.blocked && !std::mem::replace(&mut self.finished, true) {
            // If the connection is broken, a read says so.
            let _ = sockets.shutdown(&mut self.socket);
        }
        if wish == Wish::Close {
            self.phase = Phase::Closing;
            if !self.blocked {
                return Ok(Next::Linger);
            }
        }
        // Otherwise nothing has changed: it is watched for reading, and has no deadline.
        let awaits = self.blocked || self.watched == Some(Interest::ReadWrite);
        Ok(if awaits { Next::Await { has_progress: *limits.total > before } } else { Next::Nothing })
    }

    /// The readiness that this connection waits for, derived from its state.
    fn interest(&self) -> Interest {
        match self.phase {
            Phase::Connecting => Interest::Connect,
            Phase::Open | Phase::Closing if self.blocked => Interest::ReadWrite,
            Phase::Open | Phase::Closing | Phase::Lingering => Interest::Read,
        }
    }

    /// Says what this connection waits for, if that has changed.
    pub(super) fn watch<S>(&mut self, sockets: &mut S, id: ConnectionId) -> io::Result<()>
    where
        S: Sockets<Socket = T>,
    {
        let wanted = self.interest();
        if self.watched != Some(wanted) {
            sockets.watch(id, &mut self.socket, wanted, self.watched)?;
            self.watched = Some(wanted);
        }
        Ok(())
    }
}

/// The engine's side of a write.
#[derive(Debug)]
pub(super) struct Limits<'a> {
    /// Bytes written, to be counted on.
    pub(super) total: &'a mut u64,
    pub(super) config: &'a DriverConfig,
}
