//! One TCP stream: reading with a budget, writing what is queued, interest derived from where it stands.

use std::io;
use std::net::Shutdown;
use std::num::NonZeroU32;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{SockRef, TcpKeepalive};

use super::{DriverConfig, socket};
use crate::hint::unlikely;
use crate::protocol::{AbortReason, DialId, Errand, Origin, Wish};

/// On epoll a read that did not fill the buffer has emptied the socket: the read that would say `WouldBlock` can be saved.
/// Where mio emulates readiness, it re-arms only on `WouldBlock`.
pub(super) const SHORT_READ_EMPTIES: bool = cfg!(any(target_os = "linux", target_os = "android"));

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: TcpStream,
    /// If this side has connected: which of its dials, counted from 1.
    dial: Option<NonZeroU32>,
    pub(super) phase: Phase,
    /// The peer has finished sending.
    pub(super) ended: bool,
    /// This side has finished sending.
    pub(super) finished: bool,
    /// The system would not take all that is queued; it says when it will.
    pub(super) blocked: bool,
    /// There may be more to read although no event will say so: the budget ran out.
    pub(super) unread: bool,
    registered: Option<Interest>,
}

/// Where a connection stands. Its deadline, if it has one, means something else in each: how long that may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
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

/// What is left to do when a protocol's wishes were carried out on the socket.
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

impl Connection {
    pub(super) fn new(socket: TcpStream, origin: Origin, phase: Phase) -> Connection {
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
            registered: None,
        }
    }

    pub(super) fn origin(&self) -> Origin {
        self.dial.map_or(Origin::Accepted, |nth| Origin::Dialed(DialId(nth.get() as usize - 1)))
    }

    /// Reads once: how many bytes, at least one, or why there are none.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ReadEnd> {
        loop {
            match socket::recv(&self.socket, buffer) {
                Ok(0) => return Err(ReadEnd::End),
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(ReadEnd::Empty),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadEnd::Broken(error.kind())),
            }
        }
    }

    /// Writes what is queued, and carries out what the protocol wants done; what is left to do then, if anything is. What was
    /// written is added to `total`.
    #[inline(always)]
    pub(super) fn run(&mut self, errand: Errand<'_>, total: &mut u64) -> Option<io::Result<Next>> {
        let unsent = errand.unsent();
        if unlikely(!self.is_idle() || !errand.is_message() || unsent.is_empty()) {
            return Some(self.run_any(errand, None, total));
        }
        match socket::send(&self.socket, unsent) {
            // Nearly always that is all.
            Ok(count) if count == unsent.len() => {
                *total += count as u64;
                errand.clear();
                None
            }
            first => Some(self.run_any(errand, Some(first), total)),
        }
    }

    /// In use, and nothing is waited for but what its peer has to say.
    fn is_idle(&self) -> bool {
        self.phase == Phase::Open && !self.blocked && self.registered == Some(Interest::READABLE)
    }

    /// `first` is what came of a first write, if one was tried.
    #[cold]
    fn run_any(
        &mut self,
        errand: Errand<'_>,
        mut first: Option<io::Result<usize>>,
        total: &mut u64,
    ) -> io::Result<Next> {
        let (wish, is_finished) = (errand.wish(), errand.is_finished());
        if let Wish::Abort(reason) = wish {
            return Ok(Next::Abort(reason));
        }
        if self.phase == Phase::Lingering {
            return Ok(Next::Nothing);
        }
        let before = *total;
        if !self.blocked {
            let write = |bytes: &[u8]| first.take().unwrap_or_else(|| socket::send(&self.socket, bytes));
            self.blocked = !errand.write_out(total, write)?;
        }
        if is_finished && !self.blocked && !std::mem::replace(&mut self.finished, true) {
            // If the connection is broken, a read says so.
            let _ = self.socket.shutdown(Shutdown::Write);
        }
        if wish == Wish::Close {
            self.phase = Phase::Closing;
            if !self.blocked {
                return Ok(Next::Linger);
            }
        }
        // Otherwise nothing has changed: it is registered for reading, and has no deadline.
        let awaits = self.blocked || self.registered.is_some_and(Interest::is_writable);
        Ok(if awaits { Next::Await { has_progress: *total > before } } else { Next::Nothing })
    }

    /// What this connection waits for, from where it stands.
    fn interest(&self) -> Interest {
        match self.phase {
            Phase::Connecting => Interest::WRITABLE,
            Phase::Open | Phase::Closing if self.blocked => Interest::READABLE | Interest::WRITABLE,
            Phase::Open | Phase::Closing | Phase::Lingering => Interest::READABLE,
        }
    }

    /// Tells the poll, if what this connection waits for has changed.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let wanted = self.interest();
        match self.registered {
            Some(registered) if registered == wanted => return Ok(()),
            Some(_) => registry.reregister(&mut self.socket, token, wanted)?,
            None => registry.register(&mut self.socket, token, wanted)?,
        }
        self.registered = Some(wanted);
        Ok(())
    }

    /// No waiting for more bytes before a write goes out, and no waiting for ever for a peer that has vanished.
    pub(super) fn set_options(&self, config: &DriverConfig) -> io::Result<()> {
        self.socket.set_nodelay(true)?;
        let socket = SockRef::from(&self.socket);
        // The system counts in whole seconds, and takes no 0.
        let second = Duration::from_secs(1);
        let keepalive = TcpKeepalive::new().with_time(config.keepalive.max(second));
        #[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd", windows))]
        let keepalive = keepalive.with_interval((config.keepalive / 3).max(second)).with_retries(3);
        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(config.user_timeout))?;
        Ok(())
    }
}
