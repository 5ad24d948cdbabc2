//! Wires whose bytes are not the protocol's: TLS, WebSocket, or one in the other.

use std::fmt;
use std::io;

use crate::protocol::Transport;

/// Turns the bytes of a wire into those of a protocol, and back: one value for each wrapped connection. It
/// does no I/O and reads no clock; [`Engine`](super::Engine) calls it.
///
/// During the handshake, the protocol does not know of the connection. Bytes appended to `wire` are sent in
/// their order. A peer that causes more of them than it reads is closed as a slow reader.
pub trait Wrapping: Send + fmt::Debug {
    /// Takes in `bytes`, and keeps an incomplete unit at their end, up to a limit of its own. Appends the
    /// protocol's bytes to `plain`, and to `wire` the bytes that the peer has to be sent because of them. It
    /// is called without bytes before any have arrived, so that a side that speaks first can do so. `bytes`
    /// may be used to decode in place.
    ///
    /// # Errors
    ///
    /// Returns an error, with the reason for the log, if the peer breaks the rules of the wire. The last
    /// words to it are in `wire` then; `unwrap` is not called again.
    fn unwrap(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, wire: &mut Vec<u8>) -> io::Result<Input>;

    /// Appends the wire's form of the first bytes of `plain` to `wire`; returns how many bytes these are,
    /// some 16 KiB at a time, because a copy of them is kept until the socket has taken it. They are whole
    /// messages of the protocol, one or more; 0 if the end of a message is missing. When nothing may be sent,
    /// because the handshake is not complete or the wire has ended, all of `plain` is dropped.
    fn wrap(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> usize;

    /// Appends the wire's own farewell, once, unless it was sent already. Nothing follows, and `unwrap` is
    /// not called again.
    fn finish(&mut self, wire: &mut Vec<u8>);

    /// Appends a ping, which the peer answers, if the wire has pings.
    fn ping(&mut self, wire: &mut Vec<u8>) {
        let _ = wire;
    }

    /// Returns what the handshake has shown of the peer and its wire, for the protocol; `None` until the
    /// handshake is complete.
    fn transport(&self) -> Option<Transport>;
}

/// Whether more may come from a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// More may come.
    Open,
    /// The peer has finished sending, as at the end of the stream. This may be returned again.
    Ended,
}

/// Makes the wrapping of each connection of a listener, or of each attempt to connect.
pub type Wrap = Box<dyn FnMut() -> Box<dyn Wrapping> + Send>;

/// One wrapping in another: a WebSocket within TLS.
#[derive(Debug)]
pub(super) struct Nested {
    outer: Box<dyn Wrapping>,
    inner: Box<dyn Wrapping>,
    /// Bytes that the outer one has unwrapped, and the inner one has not. Empty between calls.
    between: Vec<u8>,
}

impl Nested {
    /// `between` was unwrapped before the inner one existed.
    pub(super) fn new(outer: Box<dyn Wrapping>, inner: Box<dyn Wrapping>, between: Vec<u8>) -> Nested {
        Nested { outer, inner, between }
    }

    fn send(outer: &mut dyn Wrapping, mut between: &[u8], wire: &mut Vec<u8>) {
        while !between.is_empty() {
            match outer.wrap(between, wire) {
                0 => return,
                count => between = &between[count..],
            }
        }
    }
}

impl Wrapping for Nested {
    fn unwrap(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, wire: &mut Vec<u8>) -> io::Result<Input> {
        let (mut between, mut back) = (std::mem::take(&mut self.between), Vec::new());
        let outer = self.outer.unwrap(bytes, &mut between, wire)?;
        let inner = self.inner.unwrap(&mut between, plain, &mut back);
        Nested::send(&mut *self.outer, &back, wire);
        if inner.is_err() {
            self.outer.finish(wire);
        }
        inner.map(|inner| if outer == Input::Ended { outer } else { inner })
    }

    fn wrap(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> usize {
        let mut between = Vec::new();
        let count = self.inner.wrap(plain, &mut between);
        Nested::send(&mut *self.outer, &between, wire);
        count
    }

    fn finish(&mut self, wire: &mut Vec<u8>) {
        let mut between = Vec::new();
        self.inner.finish(&mut between);
        Nested::send(&mut *self.outer, &between, wire);
        self.outer.finish(wire);
    }

    fn ping(&mut self, wire: &mut Vec<u8>) {
        let mut between = Vec::new();
        self.inner.ping(&mut between);
        Nested::send(&mut *self.outer, &between, wire);
    }

    fn transport(&self) -> Option<Transport> {
        Some(self.outer.transport()?.and(self.inner.transport()?))
    }
}
