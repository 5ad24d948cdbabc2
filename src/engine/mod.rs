//! The engine: everything between sockets and a protocol, written once and for any kind of socket.
//!
//! An [`Engine`] has a [`Protocol`](crate::protocol::Protocol) and the [`Sockets`] of its connections. It
//! decides the order of a pass, how much is read and accepted in one, when queued bytes are written, which
//! peers are too slow, and when an outbound connection is tried again. It has no socket of its own, reads no
//! clock and starts no thread: [`net::Driver`](crate::net::Driver) runs it on `mio`, and a test runs the same
//! engine on a network that exists only in memory, in virtual time.
//!
//! # A pass
//!
//! 1. [`Engine::handle_readable`], [`Engine::handle_ready`] and [`Engine::handle_knock`], for each socket
//!    that is ready. After each of the first 32, replies are written before the next one is looked at.
//! 2. [`Engine::finish_batch`], once. It reads the input that the budgets of the last pass have left, accepts
//!    newcomers, lets deadlines expire with the same `now`, writes what is left to write, and lets slots be
//!    used again.
//! 3. [`Engine::poll_event`], until it returns `None`.
//!
//! The next pass is due at [`Engine::next_deadline`], or as soon as an event arrives.
//!
//! A protocol consumes whole messages. The rest is kept here, for the few connections that have one, and
//! given again in one piece. Nearly always nothing is left, and the protocol sees the buffer that was read
//! into: no byte is copied.
//!
//! # Wires that are not the protocol's
//!
//! A [`Wrapping`] turns the bytes of a wire, such as TLS or WebSocket, into those of a protocol and back.
//! [`Engine::listen_wrapped`], [`Engine::adopt_wrapped`] and [`Engine::connect_wrapped`] give one to each of
//! their connections. Its handshake must be complete within
//! [`handshake_timeout`](DriverConfig::handshake_timeout); only then is the protocol told of the connection,
//! and never if the handshake fails. [`Links::transport`](crate::protocol::Links::transport) tells how the
//! connection came. A protocol that finds the handshake of another wire in its input calls
//! [`Links::upgrade`](crate::protocol::Links::upgrade), if [`Engine::offer_upgrade`] has made that possible;
//! its own deadlines continue.
//!
//! # Peers that do not read
//!
//! Once half of `out_bytes_max` is queued for a peer, its connection is congested: it is not read until the
//! peer has taken some. A peer is closed as a slow reader if its socket has refused bytes and refuses more
//! while over `out_bytes_max` is queued, if it is the slowest while more than `queued_bytes_max` is queued
//! for all together, or if 16 times `out_bytes_max` is queued before anything could be written.
//!
//! Time alone closes no peer: a client may be busy for an hour and then read. The sockets find out whether
//! its system is still there. Only last words have a deadline, because nothing else would end that
//! connection.
//!
//! # Examples
//!
//! A server without a network. Its only peer has sent `PING` and hangs up.
//!
//! ```
//! use std::io;
//! use std::net::SocketAddr;
//! use taketurns::engine::{DriverConfig, Engine, Interest, Sockets};
//! use taketurns::protocol::ConnectionId;
//! use taketurns::protocol::turns::{Framing, TurnServer, TurnServerConfig};
//! use taketurns::time::Now;
//!
//! /// Bytes that a peer sends, and bytes that it receives.
//! #[derive(Default)]
//! struct Pipe {
//!     says: Vec<u8>,
//!     hears: Vec<u8>,
//! }
//!
//! struct Pipes;
//!
//! impl Sockets for Pipes {
//!     type Socket = Pipe;
//!     type Listener = ();
//!     const SHORT_READ_EMPTIES: bool = false;
//!
//!     fn recv(&mut self, pipe: &mut Pipe, buffer: &mut [u8]) -> io::Result<usize> {
//!         let count = pipe.says.len().min(buffer.len());
//!         buffer[..count].copy_from_slice(&pipe.says[..count]);
//!         pipe.says.drain(..count);
//!         Ok(count)
//!     }
//!
//!     fn send(&mut self, pipe: &mut Pipe, bytes: &[u8]) -> io::Result<usize> {
//!         pipe.hears.extend_from_slice(bytes);
//!         Ok(bytes.len())
//!     }
//!
//!     fn shutdown(&mut self, pipe: &mut Pipe) -> io::Result<()> {
//!         assert_eq!(pipe.hears, b"PONG\n");
//!         Ok(())
//!     }
//! #   fn close(&mut self, _: Pipe) {}
//! #   fn watch(&mut self, _: ConnectionId, _: &mut Pipe, _: Interest, _: Option<Interest>) -> io::Result<()> { Ok(()) }
//! #   fn set_options(&mut self, _: &mut Pipe) {}
//! #   fn accept(&mut self, _: &mut ()) -> io::Result<(Pipe, SocketAddr)> { Err(io::ErrorKind::WouldBlock.into()) }
//! #   fn unlisten(&mut self, _: ()) {}
//! #   fn connect(&mut self, _: SocketAddr) -> io::Result<Pipe> { Err(io::ErrorKind::Unsupported.into()) }
//! #   fn established(&mut self, _: &mut Pipe) -> io::Result<bool> { Ok(true) }
//!     // ... and what it takes to listen, and to connect.
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = TurnServerConfig::default();
//! config.framing = Some(Framing::Line);
//! let server = TurnServer::new(config, Box::new(|bytes| bytes.fill(7)))?;
//! let now = Now::ORIGIN;
//! let mut engine = Engine::new(Pipes, server, DriverConfig::default(), Box::new(|bytes| bytes.fill(7)), now.instant);
//! let pipe = Pipe { says: b"PING\n".to_vec(), ..Pipe::default() };
//! let id = engine.adopt(now, pipe, ([192, 0, 2, 1], 9).into())?;
//! for _ in 0..2 {
//!     engine.handle_readable(now, id);
//!     engine.finish_batch(now)?;
//!     while let Some(event) = engine.poll_event() {
//!         println!("{event:?}");
//!     }
//! }
//! assert_eq!(engine.connections(), 0);
//! # Ok(()) }
//! ```

mod closing;
mod config;
mod error;
mod event;
mod listener;
mod opening;
mod pass;
mod reading;
mod reconnect;
mod releasing;
mod silence_checks;
mod stalled;
#[cfg(test)]
mod tests;
mod wrapped;
mod wrapping;

pub use crate::protocol::Interest;
pub use crate::sockets::Sockets;
pub use crate::target::{BadTarget, Target};
pub use config::{BufferTooSmall, DriverConfig};
pub use error::NotTaken;
pub use event::{DriverCounts, Event, EventsPending};
#[cfg(all(test, feature = "net"))]
pub(crate) use pass::EAGER_EVENTS_MAX;
pub use pass::{Engine, Ready};
pub use releasing::Released;
pub use wrapping::{Input, Wrap, Wrapping};
