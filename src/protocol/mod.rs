//! Wire protocols: bytes in, decisions out. One module a protocol, its server and its client beside each other.
//!
//! A protocol is a [`Protocol`]: it hears what happened to connections and tells [`Links`] what to write and which
//! to close. It has no socket, no clock and no thread, so tests and simulations drive it as the
//! [driver](crate::net::Driver) does.
//!
//! | module | what for |
//! |---|---|
//! | [`turns`] | clients take turns to send a number |
//! | [`echo`] | a message comes back with the time in front |
//! | [`dispatch`] | commands go to a client of lower rank |
//! | [`counter`] | counters that outlive their connections |
//!
//! # A protocol of your own
//!
//! 1. Keep what you know of each connection in a [`ConnectionMap`]: make it in `handle_open`, take it out in `handle_closed`.
//! 2. Cut `handle_bytes` into messages with a decoder of [`wire`](crate::wire); every buffer has a maximum.
//! 3. Answer through the links; never wait. [`Links::close`] lets the peer read its last words, [`Links::abort`] does not.
//! 4. What has to happen later has a deadline: say it in `next_deadline`, act on it in `handle_timeout`.
//! 5. What the host should know is an event: queue it, and hand it out in `poll_event`.
//!
//! ```
//! use std::collections::VecDeque;
//! use std::net::SocketAddr;
//! use taketurns::protocol::{CloseReason, ConnectionId, ConnectionMap, Links, Origin, Protocol};
//! use taketurns::time::{Instant, Now};
//! use taketurns::wire::LineDecoder;
//!
//! /// Answers every line in capitals, and says goodbye to `bye`.
//! #[derive(Default)]
//! struct Shout {
//!     clients: ConnectionMap<LineDecoder>,
//!     shouted: VecDeque<String>,
//! }
//!
//! impl Protocol for Shout {
//!     type Event = String;
//!
//!     fn handle_open(&mut self, _: Now, id: ConnectionId, _: SocketAddr, _: Origin, _: &mut Links) {
//!         self.clients.insert(id, LineDecoder::new(80));
//!     }
//!
//!     fn handle_bytes(&mut self, _: Now, id: ConnectionId, mut bytes: &[u8], links: &mut Links) {
//!         let Some(decoder) = self.clients.get_mut(id) else { return };
//!         while let Some(line) = decoder.next_line(&mut bytes) {
//!             match line {
//!                 Ok("bye") => links.close(id),
//!                 Ok(line) => {
//!                     let shout = line.to_uppercase();
//!                     links.send_fmt(id, format_args!("{shout}\n"));
//!                     self.shouted.push_back(shout);
//!                 }
//!                 Err(error) => {
//!                     links.send_fmt(id, format_args!("Error: {error}\n"));
//!                     return links.close(id);
//!                 }
//!             }
//!         }
//!     }
//!
//!     fn handle_end(&mut self, _: Now, id: ConnectionId, links: &mut Links) {
//!         links.close(id);
//!     }
//!
//!     fn handle_closed(&mut self, _: Now, id: ConnectionId, _: CloseReason, _: &mut Links) {
//!         self.clients.remove(id);
//!     }
//!
//!     fn handle_timeout(&mut self, _: Now, _: &mut Links) {}
//!
//!     fn drain(&mut self, _: Now, links: &mut Links) {
//!         self.clients.iter().for_each(|(id, _)| links.close(id));
//!     }
//!
//!     fn next_deadline(&self) -> Option<Instant> {
//!         None
//!     }
//!
//!     fn poll_event(&mut self) -> Option<String> {
//!         self.shouted.pop_front()
//!     }
//! }
//!
//! // A test needs no socket: the links show what would be written. A program gives it to `net::EventLoop::new`.
//! let now = Now::ORIGIN;
//! let (mut shout, mut links) = (Shout::default(), Links::new(64 * 1024));
//! let id = links.open(([127, 0, 0, 1], 9).into());
//! shout.handle_open(now, id, ([127, 0, 0, 1], 9).into(), Origin::Accepted, &mut links);
//! shout.handle_bytes(now, id, b"hello\nb", &mut links);
//! assert_eq!(links.unsent(id), b"HELLO\n");
//! shout.handle_bytes(now, id, b"ye\n", &mut links);
//! assert!(!links.is_open(id));
//! ```
//!
//! # Input and output of your own
//!
//! Without the feature `net` the program does what the driver does. It needs the second half of [`Links`], and keeps to this:
//!
//! 1. A new connection: [`Links::open`], then `handle_open`. What it brings: `handle_bytes`, and `handle_end` at the end of the stream, both only
//!    while [`Links::is_open`].
//! 2. When `next_deadline` has come: `handle_timeout`.
//! 3. After each of these take every connection of [`Links::take_touched`]: write what is [`unsent`](Links::unsent), [`consume`](Links::consume) what was
//!    written, then look at [`wish_of`](Links::wish_of) and [`is_finished`](Links::is_finished). Then `handle_flushed`, after which there may be more to take.
//! 4. A connection that is gone, whoever ended it: `handle_closed`, then [`Links::remove`].
//! 5. Take every event by `poll_event`.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::{Shutdown, TcpListener, TcpStream};
//! use std::time::SystemTime;
//! use taketurns::protocol::turns::{Framing, TurnServer, TurnServerConfig};
//! use taketurns::protocol::{CloseReason, ConnectionMap, Links, Origin, Protocol, Wish};
//! use taketurns::time::{Instant, Now};
//!
//! /// Writes what is queued, on sockets that block, and ends what is to end.
//! fn carry_out(now: Now, protocol: &mut impl Protocol, links: &mut Links, sockets: &mut ConnectionMap<TcpStream>) {
//!     for is_flushed in [false, true] {
//!         while let Some(id) = links.take_touched() {
//!             let Some(socket) = sockets.get_mut(id) else { continue };
//!             let unsent = links.unsent(id);
//!             let (written, count) = (socket.write_all(unsent), unsent.len());
//!             links.consume(id, count);
//!             // Whoever reads from the socket sees its end, and says that it is closed. The driver would wait for the last words to be read.
//!             let _ = match links.wish_of(id) {
//!                 Wish::Keep if written.is_ok() && !links.is_finished(id) => Ok(()),
//!                 Wish::Keep if written.is_ok() => socket.shutdown(Shutdown::Write),
//!                 _ => socket.shutdown(Shutdown::Both),
//!             };
//!         }
//!         if !is_flushed {
//!             protocol.handle_flushed(now, links);
//!         }
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! // In place of `net::now()`.
//! let start = std::time::Instant::now();
//! let now = || Now { instant: Instant::ORIGIN + start.elapsed(), wall: SystemTime::now() };
//!
//! let config = TurnServerConfig { framing: Framing::Line, ..TurnServerConfig::default() };
//! let mut turns = TurnServer::new(config, Box::new(|bytes| bytes.fill(7))); // Here they have to be random.
//! let (mut links, mut sockets) = (Links::new(64 * 1024), ConnectionMap::default());
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let mut client = TcpStream::connect(listener.local_addr()?)?;
//! let (mut socket, peer) = listener.accept()?;
//! let id = links.open(peer);
//! sockets.insert(id, socket.try_clone()?);
//! turns.handle_open(now(), id, peer, Origin::Accepted, &mut links);
//!
//! client.write_all(b"PING\n")?;
//! let mut bytes = [0; 1024];
//! let count = socket.read(&mut bytes)?;
//! turns.handle_bytes(now(), id, &bytes[..count], &mut links);
//! carry_out(now(), &mut turns, &mut links, &mut sockets);
//! let count = client.read(&mut bytes)?;
//! assert_eq!(&bytes[..count], b"PONG\n");
//!
//! drop(client);
//! turns.handle_closed(now(), id, CloseReason::Finished, &mut links);
//! links.remove(id);
//! assert!(links.is_empty());
//! # Ok(()) }
//! ```

mod connection;
pub mod counter;
pub mod dispatch;
pub mod echo;
mod errand;
mod links;
mod queue;
pub mod turns;

use std::net::SocketAddr;

use crate::printable::write_printable;
use crate::time::{Instant, Now};
pub use connection::{CloseReason, ConnectionId, ConnectionMap, DialId, Origin};
pub(crate) use errand::Errand;
pub use links::{AbortReason, Links, Wish};

/// Whether the `nth` of things that a peer can cause is worth a line in the log, which peers must not fill: the 1st to 8th
/// are shown, then the 16th, the 32nd and so on.
pub(crate) fn is_shown(nth: u64) -> bool {
    nth <= 8 || nth.is_power_of_two()
}

/// How much of what a peer said a log line shows.
const SHOWN_BYTES_MAX: usize = 128;

/// Random bytes from a source that the caller chooses: the operating system's in a server, a seeded generator
/// in a simulation, which then replays.
pub type Entropy = Box<dyn FnMut(&mut [u8]) + Send>;

/// What a driver needs from a wire protocol.
///
/// Each `handle_` method is told `now`, the same for all that happens in one pass of the loop, and the [`Links`]
/// to answer through. None of them blocks, and none may panic whatever a peer sends.
pub trait Protocol {
    /// What the host program hears of.
    type Event;

    /// A connection was opened.
    fn handle_open(
        &mut self,
        now: Now,
        id: ConnectionId,
        peer: SocketAddr,
        origin: Origin,
        links: &mut Links,
    );

    /// Takes in what a connection has sent: `bytes` begins where the last call stopped consuming, and ends with what was read last. Returns how many of
    /// them it consumed.
    ///
    /// A protocol keeps no part of a message. It consumes whole messages, one after the other, while [`Links::may_go_on`] says that
    /// another one is to be handled now, and leaves the beginning of one whose end has not come. What it leaves is given again, in one piece, with what
    /// follows it; when it had stopped because `may_go_on` said so, as soon as there is room, perhaps at once; and when it asks for that by
    /// [`Links::reread`]. Nothing comes any more once the connection's end was asked for.
    ///
    /// A connection is closed whose protocol consumes nothing of
    /// [`in_bytes_max`](crate::engine::DriverConfig::in_bytes_max) bytes and more: a message that long is for the protocol to refuse before.
    fn handle_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize;

    /// The peer has finished sending; it may still read. `rest` is what it has sent and was not consumed, such as a message without an
    /// end; it is given here for the last time. If the connection is not closed here, it stays half-open until the protocol closes it.
    fn handle_end(&mut self, now: Now, id: ConnectionId, rest: &[u8], links: &mut Links);

    /// The connection is gone, also if this side closed it; the last that is heard of it. Nothing can be sent to it any more, but
    /// [`Links::peer`] still knows where it was.
    fn handle_closed(&mut self, now: Now, id: ConnectionId, reason: CloseReason, links: &mut Links);

    /// The time of [`next_deadline`](Self::next_deadline) has come, or an earlier one: nothing may be due yet.
    fn handle_timeout(&mut self, now: Now, links: &mut Links);

    /// What was asked of the links in this pass has been written as far as the peers take it.
    fn handle_flushed(&mut self, now: Now, links: &mut Links);

    /// The host wants to stop: finish what is begun, start nothing new, close every connection within a time of
    /// the protocol's own.
    fn drain(&mut self, now: Now, links: &mut Links);

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    fn next_deadline(&self) -> Option<Instant>;

    /// The next event for the host.
    fn poll_event(&mut self) -> Option<Self::Event>;
}
