//! Runs a future on the thread that waits for it: no runtime, and no other thread.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use mio::net::TcpStream;
use mio::{Events, Interest, Token};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::now;
use crate::time::Instant;

/// Waits for one socket on behalf of a future.
pub(super) struct Executor {
    poll: mio::Poll,
    events: Events,
    woken: Arc<Woken>,
}

impl Executor {
    /// Makes an executor that waits for `socket`.
    pub(super) fn of(socket: &mut TcpStream) -> io::Result<Executor> {
        let poll = mio::Poll::new()?;
        poll.registry().register(socket, Token(0), Interest::READABLE | Interest::WRITABLE)?;
        Ok(Executor { poll, events: Events::with_capacity(1), woken: Arc::default() })
    }

    /// Drives `future` to completion and returns its output.
    ///
    /// # Errors
    ///
    /// Returns [`TimedOut`](ErrorKind::TimedOut) if `future` is not complete at `until`, and the error of the
    /// poll if that fails.
    pub(super) fn run<F: Future>(&mut self, until: Instant, future: F) -> io::Result<F::Output> {
        let mut future = pin!(future);
        let waker = Waker::from(Arc::clone(&self.woken));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Ok(output);
            }
            let left = until.saturating_duration_since(now().instant);
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            // One part of the future may have woken another.
            if self.woken.0.swap(false, Ordering::Relaxed) {
                continue;
            }
            match self.poll.poll(&mut self.events, Some(left)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A socket, or TLS over one, that never blocks. It wakes nobody: the [`Executor`] waits for the socket.
pub(super) struct Socket(Box<dyn Stream>);

/// A non-blocking stream in both directions.
pub(super) trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

impl Socket {
    pub(super) fn new(stream: impl Stream + 'static) -> Socket {
        Socket(Box::new(stream))
    }

    /// Calls `act` on the stream; pending while that would block.
    fn attempt<T>(&mut self, mut act: impl FnMut(&mut dyn Stream) -> io::Result<T>) -> Poll<io::Result<T>> {
        loop {
            match act(&mut *self.0) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.get_mut().attempt(|stream| stream.read(buffer.initialize_unfilled()));
        read.map_ok(|bytes| buffer.advance(bytes))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().attempt(|stream| stream.write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().attempt(|stream| stream.write_vectored(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().attempt(|stream| stream.flush())
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}
