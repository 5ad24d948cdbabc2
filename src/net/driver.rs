//! The driver: an engine on the sockets of the system, and its events in and out of a `mio::Poll`.

use std::fmt;
use std::io;
use std::net::{self, SocketAddr};
#[cfg(feature = "web-socket")]
use std::sync::Arc;

use mio::event::Event as Readiness;
use mio::net::{TcpListener, TcpStream};
use mio::{Registry, Token};

use super::{DriverConfig, DriverCounts, Error, Event, Released, Target, TokenSpace, clock, os_entropy};
use crate::engine::{Engine, NotTaken, Ready, Wrap};
use crate::hint::likely;
use crate::protocol::{ConnectionId, DialId, Links, Protocol, Transport};
use crate::record::Record;
use crate::sockets::Key;
use crate::sockets::system::{self, MioSockets};
#[cfg(feature = "store")]
use crate::store::StoreCounts;
use crate::time::{Instant, Now};
#[cfg(feature = "web-socket")]
use crate::web_socket::{InvalidOrigin, WebSocket, WebSocketConfig};

/// Runs a [`Protocol`] on sockets that are registered with the host's `mio::Poll`.
///
/// The [module's documentation](crate::net) gives the driving contract; `examples/embed.rs` is a program to
/// copy from.
pub struct Driver<P: Protocol> {
    pub(super) engine: Engine<P, MioSockets>,
    /// The counts of the loop's store, as of the last pass.
    #[cfg(feature = "store")]
    pub(super) stored: Option<StoreCounts>,
}

impl<P: Protocol> Driver<P> {
    /// Makes a driver whose sockets are registered with `registry`, under tokens of `space`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Buffer`] if a buffer is too small for the protocol's longest messages, and
    /// [`Error::Poll`] if the registry cannot be shared.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
    /// use taketurns::mio::Poll;
    /// use taketurns::net::{Driver, DriverConfig, TokenSpace, os_entropy};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let poll = Poll::new()?;
    /// let server = TurnServer::new(TurnServerConfig::default(), os_entropy())?;
    /// let mut driver = Driver::new(poll.registry(), TokenSpace(1), server, DriverConfig::default())?;
    /// # Ok(()) }
    /// ```
    pub fn new(
        registry: &Registry,
        space: TokenSpace,
        protocol: P,
        config: DriverConfig,
    ) -> Result<Self, Error> {
        config.check(protocol.buffers_min()).map_err(Error::Buffer)?;
        let max_connections = config.max_connections.unwrap_or_else(|| super::connections_max(0));
        let config = DriverConfig { max_connections: Some(max_connections), ..config };
        let sockets =
            MioSockets::new(registry, space, config.keepalive, config.user_timeout).map_err(Error::Poll)?;
        let engine = Engine::new(sockets, protocol, config, os_entropy(), clock::now().instant);
        Ok(Driver {
            engine,
            #[cfg(feature = "store")]
            stored: None,
        })
    }

    /// Returns the protocol.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = on_a_poll!()]
    /// assert_eq!(server.protocol().clients(), 0);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn protocol(&self) -> &P {
        self.engine.protocol()
    }

    /// Returns the protocol mutably. Call it between passes: its requests to links are carried out in the
    /// next pass.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = on_a_poll!()]
    /// server.protocol_mut().lift(now(), &"main".parse()?, &"ann".parse()?);
    /// # Ok(()) }
    /// ```
    pub fn protocol_mut(&mut self) -> &mut P {
        self.engine.protocol_mut()
    }

    /// Returns whether `token` belongs to this driver. It costs one comparison.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = on_a_poll!()]
    /// assert!(!server.owns(Token(7)), "a token of the host's own");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn owns(&self, token: Token) -> bool {
        self.engine.sockets.space.owns(token)
    }

    /// Returns the number of connections, including those about to be opened or closed.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = on_a_poll!()]
    /// assert_eq!(server.connections(), 0);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn connections(&self) -> usize {
        self.engine.connections()
    }

    /// Returns the transport of a connection; `None` if it is plain TCP or does not exist.
    #[must_use]
    pub fn transport(&self, id: ConnectionId) -> Option<&Transport> {
        self.engine.links.transport(id)
    }

    /// Returns running counts.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = on_a_poll!()]
    /// assert_eq!(server.counts(), DriverCounts::default());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn counts(&self) -> DriverCounts {
        self.engine.counts()
    }

    /// Returns the counts of the [store](super::EventLoop::store_in) of this driver's loop, as of the last
    /// pass; `None` without a store.
    #[cfg(feature = "store")]
    #[must_use]
    pub fn store_counts(&self) -> Option<StoreCounts> {
        self.stored
    }

    /// Returns when the next pass is due, even without an event. It may be too early, but never too late. It
    /// is in the past if the last pass or the host has left work to do.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = on_a_poll!()]
    /// let timeout = poll_timeout(now(), server.next_deadline());
    /// assert_eq!(timeout, None, "nothing has happened, so nothing is due");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.engine.next_deadline()
    }

    /// Returns whether a deadline of this driver or of the protocol has passed. It may be too early, but
    /// never too late.
    pub(super) fn is_due(&self, now: Now) -> bool {
        self.engine.is_due(now)
    }

    /// Returns whether [`drain`](Self::drain) was called.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = on_a_poll!()]
    /// server.drain(now());
    /// assert!(server.is_draining());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.engine.is_draining()
    }

    /// Returns whether [`drain`](Self::drain) was called and every connection is closed.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = on_a_poll!()]
    /// server.drain(now());
    /// server.finish_batch(now())?;
    /// assert!(server.is_drained(), "it had no client");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.engine.is_drained()
    }

    /// Lets the host act on the protocol and its connections, for example to send text that a person has
    /// typed, and returns the result of `act`. The messages are written before this returns, as far as the
    /// peers read them. The next pass is due at once.
    ///
    /// ```
    /// use taketurns::net::{EventLoop, now, os_entropy};
    /// use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut event_loop = EventLoop::new(TurnServer::new(TurnServerConfig::default(), os_entropy())?)?;
    /// let clients = event_loop.driver_mut().act(now(), |server, _links| server.clients());
    /// assert_eq!(clients, 0);
    /// # Ok(()) }
    /// ```
    pub fn act<R>(&mut self, now: Now, act: impl FnOnce(&mut P, &mut Links) -> R) -> R {
        self.engine.act(now, act)
    }

    /// Listens on `addr`, and returns the address that it got, which differs if the port was 0. Call it once
    /// for each address.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Listen`] if the system does not let it listen on `addr`, and [`Error::Draining`]
    /// while draining.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::net::{EventLoop, os_entropy};
    /// # use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut event_loop = EventLoop::new(TurnServer::new(TurnServerConfig::default(), os_entropy())?)?;
    /// let addr = event_loop.driver_mut().listen("127.0.0.1:0".parse()?)?;
    /// assert_ne!(addr.port(), 0);
    /// # Ok(()) }
    /// ```
    pub fn listen(&mut self, addr: SocketAddr) -> Result<SocketAddr, Error> {
        self.bind(addr, None)
    }

    /// Listens as [`listen`](Self::listen) does, with connections over wires that `wrap` makes, such as TLS.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Listen`] if the system does not let it listen on `addr`, and [`Error::Draining`]
    /// while draining.
    pub fn listen_wrapped(&mut self, addr: SocketAddr, wrap: Wrap) -> Result<SocketAddr, Error> {
        self.bind(addr, Some(wrap))
    }

    /// From now on, gives newcomers of a wrapped listener wires that `wrap` makes, for example with a renewed
    /// certificate. `addr` is the address that [`listen_wrapped`](Self::listen_wrapped) returned. Returns
    /// whether there is such a listener.
    pub fn rewrap(&mut self, addr: SocketAddr, wrap: Wrap) -> bool {
        self.engine.rewrap(addr, wrap)
    }

    fn bind(&mut self, addr: SocketAddr, wrap: Option<Wrap>) -> Result<SocketAddr, Error> {
        if self.is_draining() {
            return Err(Error::Draining);
        }
        let socket = system::bind(addr, self.engine.config().backlog).map_err(NotTaken::from);
        socket.and_then(|socket| self.add(socket, wrap)).map_err(|refusal| match refusal {
            NotTaken::Sockets(source) => Error::Listen { addr, source },
            refusal => Error::handed_in(refusal),
        })
    }

    /// Accepts connections from a socket that the host has made.
    ///
    /// # Errors
    ///
    /// Returns [`Error::HandedIn`] if the socket cannot be made non-blocking or registered, and
    /// [`Error::Draining`] while draining.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = on_a_poll!()]
    /// let socket = net::TcpListener::bind("127.0.0.1:0")?; // or one that systemd passed
    /// let addr = server.listen_on(socket)?;
    /// assert_ne!(addr.port(), 0);
    /// # Ok(()) }
    /// ```
    pub fn listen_on(&mut self, socket: net::TcpListener) -> Result<SocketAddr, Error> {
        self.add(socket, None).map_err(Error::handed_in)
    }

    /// From now on, also takes WebSockets on every address that it listens on, if the protocol is one of
    /// lines. See [`web_socket`](crate::web_socket).
    ///
    /// # Errors
    ///
    /// Returns [`InvalidOrigin`] for the first invalid origin.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::web_socket::WebSocketConfig;
    /// use taketurns::{EventLoop, TurnServer, TurnServerConfig, os_entropy};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut event_loop = EventLoop::new(TurnServer::new(TurnServerConfig::default(), os_entropy())?)?;
    /// let mut web = WebSocketConfig::default();
    /// web.origins.push("https://game.example".to_owned());
    /// event_loop.driver_mut().offer_web_socket(web)?;
    /// event_loop.driver_mut().listen(([127, 0, 0, 1], 0).into())?;
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "web-socket")]
    pub fn offer_web_socket(&mut self, config: WebSocketConfig) -> Result<(), InvalidOrigin> {
        config.check()?;
        let config = Arc::new(config);
        self.engine.offer_upgrade(Box::new(move || Box::new(WebSocket::new(Arc::clone(&config)))));
        Ok(())
    }

    fn add(&mut self, socket: net::TcpListener, wrap: Option<Wrap>) -> Result<SocketAddr, NotTaken> {
        super::descriptors::reserve(self.engine.config().max_connections.unwrap_or_default());
        socket.set_nonblocking(true)?;
        let addr = socket.local_addr()?;
        // Accepted connections inherit that.
        system::free_port_early(&socket);
        let socket = TcpListener::from_std(socket);
        self.engine.listen_wrapped(addr, wrap, |sockets, slot| sockets.listen(socket, slot))?;
        Ok(addr)
    }

    /// Treats a connected socket of the host as if it had been accepted, within the same limits. A socket
    /// that is refused is closed.
    ///
    /// # Errors
    ///
    /// Returns [`Error::HandedIn`] if the socket is not connected or cannot be registered, [`Error::Full`] or
    /// [`Error::AddressFull`] if a limit is reached, and [`Error::Draining`] while draining.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = on_a_poll!()]
    /// let listener = net::TcpListener::bind("127.0.0.1:0")?;
    /// let _client = net::TcpStream::connect(listener.local_addr()?)?;
    /// let (socket, _) = listener.accept()?;
    /// server.adopt(now(), socket)?;
    /// assert_eq!(server.connections(), 1);
    /// # Ok(()) }
    /// ```
    pub fn adopt(&mut self, now: Now, socket: net::TcpStream) -> Result<ConnectionId, Error> {
        let adopt = || {
            socket.set_nonblocking(true)?;
            let peer = socket.peer_addr()?;
            system::free_port_early(&socket);
            self.engine.adopt(now, TcpStream::from_std(socket), peer)
        };
        adopt().map_err(Error::handed_in)
    }

    /// Connects to `target`, and reconnects whenever that fails or the connection is lost, until
    /// [`hang_up`](Self::hang_up). Numbers count from 0, and the number of a connection that was hung up is
    /// used again. While draining, no attempt begins.
    ///
    /// The addresses of a name are asked for before each attempt, because they may change: see
    /// [`Event::Resolve`].
    ///
    /// # Examples
    ///
    /// A program that has nothing else to do meanwhile looks names up in its loop:
    ///
    /// ```
    /// # use taketurns::net::{self, Event, EventLoop, now};
    /// # use taketurns::protocol::turns::TurnClient;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let name = format!("localhost:{}", silent.local_addr()?.port());
    /// let mut event_loop = EventLoop::new(TurnClient::new())?;
    /// event_loop.driver_mut().connect(now(), name.parse::<net::Target>()?);
    /// event_loop.run(|driver, event| match event {
    ///     Event::Resolve { target } => driver.resolved(now(), &target, net::resolve(&target)),
    ///     Event::Opened { .. } => driver.drain(now()),
    ///     _ => {}
    /// })?;
    /// # Ok(()) }
    /// ```
    pub fn connect(&mut self, now: Now, target: impl Into<Target>) -> DialId {
        self.engine.connect(now, target)
    }

    /// Connects as [`connect`](Self::connect) does, over wires that `wrap` makes, one for each attempt.
    pub fn connect_wrapped(&mut self, now: Now, target: impl Into<Target>, wrap: Wrap) -> DialId {
        self.engine.connect_wrapped(now, target, wrap)
    }

    /// Takes the addresses of `target`, for which [`Event::Resolve`] asked the host. All attempts that wait
    /// for them continue. Addresses that come too late serve the next attempt.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::net::{self, Event, EventLoop, now};
    /// use taketurns::protocol::turns::TurnClient;
    ///
    /// # fn main() -> Result<(), net::Error> {
    /// let mut event_loop = EventLoop::new(TurnClient::new())?;
    /// # event_loop.handle().drain();
    /// event_loop.run(|driver, event| {
    ///     if let Event::Resolve { target } = event {
    ///         driver.resolved(now(), &target, net::resolve(&target));
    ///     }
    /// })?;
    /// # Ok(()) }
    /// ```
    pub fn resolved(&mut self, now: Now, target: &Target, found: io::Result<Vec<SocketAddr>>) {
        self.engine.resolved(now, target, found);
    }

    /// Ends an outbound connection for good. The next one may get its number.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = on_a_poll!()]
    /// let dial = server.connect(now(), net::SocketAddr::from(([127, 0, 0, 1], 9)));
    /// server.hang_up(dial);
    /// # Ok(()) }
    /// ```
    pub fn hang_up(&mut self, dial: DialId) {
        self.engine.hang_up(dial);
    }

    /// Sends an outbound connection to `target`, to which its server has redirected it, as with
    /// [`Farewell::at`](crate::protocol::turns::Farewell::at). Once the connection is closed, the next
    /// attempt begins there without a pause. Later ones are made there as well until nothing answers, and
    /// then at the target of [`connect`](Self::connect) again.
    ///
    /// Returns `false` if the dial does not exist, and after 5 redirects in a row without a
    /// [confirmed](Links::confirm) connection. The next attempt is at the target of `connect` then, after a
    /// pause. A wrapped connection keeps its wire, so TLS expects the same name.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = on_a_poll!()]
    /// let dial = server.connect(now(), net::SocketAddr::from(([127, 0, 0, 1], 9)));
    /// assert!(server.redirect(now(), dial, "127.0.0.1:10".parse()?));
    /// # Ok(()) }
    /// ```
    pub fn redirect(&mut self, now: Now, dial: DialId, target: Target) -> bool {
        self.engine.redirect(now, dial, target)
    }

    /// Stops accepting and reconnecting, and lets the protocol finish its work. Newcomers that are already
    /// waiting are accepted, so that the protocol can tell them. [`is_drained`](Self::is_drained) tells when
    /// everything is done.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::net::{EventLoop, now, os_entropy};
    /// # use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut event_loop = EventLoop::new(TurnServer::new(TurnServerConfig::default(), os_entropy())?)?;
    /// event_loop.driver_mut().drain(now());
    /// // Returns once the holders of turns have finished, and all clients are disconnected.
    /// event_loop.run(|_driver, event| println!("{event:?}"))?;
    /// assert!(event_loop.driver().is_drained());
    /// # Ok(()) }
    /// ```
    pub fn drain(&mut self, now: Now) {
        self.engine.drain(now);
    }

    /// Gives up a connection for another driver to [adopt](Self::adopt_released), as on another thread. For
    /// the protocol it is closed, and [`Event::Closed`] says [`CloseReason::Released`]. Returns `None` if the
    /// connection was dialed, is being closed, or does not exist.
    ///
    /// The protocol forgets all that it knew of it. So release a connection while there is nothing to
    /// lose, for example while its client [waits to be admitted](crate::protocol::turns::Joining::hello).
    ///
    /// [`CloseReason::Released`]: crate::protocol::CloseReason::Released
    ///
    /// # Examples
    ///
    /// ```
    #[doc = on_a_poll!()]
    /// let listener = net::TcpListener::bind("127.0.0.1:0")?;
    /// let _client = net::TcpStream::connect(listener.local_addr()?)?;
    /// let id = server.adopt(now(), listener.accept()?.0)?;
    ///
    /// let released = server.release(now(), id).expect("it is in use");
    /// assert_eq!(server.connections(), 0);
    /// server.adopt_released(now(), released)?; // usually another one
    /// assert_eq!(server.connections(), 1);
    /// # Ok(()) }
    /// ```
    pub fn release(&mut self, now: Now, id: ConnectionId) -> Option<Released> {
        let mut released = self.engine.release(now, id)?;
        self.engine.sockets.unwatch(&mut released.socket);
        Some(released)
    }

    /// Takes over a connection of another driver, as if it had been accepted. Bytes that were not read or not
    /// written there continue here, also over a wire such as TLS. While draining, the protocol turns it away.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Full`] or [`Error::AddressFull`] if a limit is reached, and [`Error::HandedIn`] if
    /// the socket cannot be registered. The connection is closed then.
    pub fn adopt_released(&mut self, now: Now, released: Released) -> Result<ConnectionId, Error> {
        self.engine.adopt_released(now, released).map_err(Error::handed_in)
    }

    /// Gives up a connection without telling its protocol, and returns its socket for another driver on the
    /// same poll.
    #[cfg(all(feature = "status", feature = "web-socket"))]
    pub(crate) fn take_socket(&mut self, id: ConnectionId) -> Option<TcpStream> {
        let (mut socket, ..) = self.engine.detach(id)?;
        self.engine.sockets.unwatch(&mut socket);
        Some(socket)
    }

    /// Returns whether [`offer_web_socket`](Self::offer_web_socket) was called.
    #[cfg(all(feature = "status", feature = "web-socket"))]
    pub(crate) fn takes_web_sockets(&self) -> bool {
        self.engine.upgrade.is_some()
    }

    /// Takes over a connection that begins with `head`, the request of a WebSocket.
    #[cfg(all(feature = "status", feature = "web-socket"))]
    pub(crate) fn adopt_web_socket(
        &mut self,
        now: Now,
        socket: TcpStream,
        head: &mut [u8],
    ) -> Result<(), NotTaken> {
        let Some(upgrade) = &mut self.engine.upgrade else { return Ok(()) };
        let wrapping = upgrade();
        let peer = socket.peer_addr()?;
        self.engine.adopt_wrapped(now, socket, peer, wrapping, head).map(|_| ())
    }

    /// Takes in one event of the poll. Events of other sources are ignored.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = on_a_poll!()]
    /// let mut events = Events::with_capacity(256);
    /// # server.drain(now());
    /// while !server.is_drained() {
    ///     poll.poll(&mut events, poll_timeout(now(), server.next_deadline()))?;
    ///     let now = now();
    ///     events.iter().for_each(|event| server.handle_event(now, event));
    ///     server.finish_batch(now)?;
    ///     while let Some(event) = server.poll_event() {
    ///         println!("{event:?}");
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    #[inline(always)]
    pub fn handle_event(&mut self, now: Now, event: &Readiness) {
        let Some(key) = self.engine.sockets.space.key(event.token()) else { return };
        let has_more_to_say =
            || event.is_writable() || event.is_read_closed() || event.is_error() || event.is_priority();
        match key {
            // Nearly always there is input and no other news.
            Key::Connection(id) if likely(!has_more_to_say()) => self.engine.handle_readable(now, id),
            key => self.handle_ready(now, key, event.into()),
        }
    }

    #[cold]
    pub(super) fn handle_ready(&mut self, now: Now, key: Key, ready: Ready) {
        match key {
            Key::Listener(slot) => self.engine.handle_knock(slot as usize),
            Key::Connection(id) => self.engine.handle_ready(now, id, ready),
        }
    }

    /// Tells the protocol that all [records](Self::poll_record) up to the number `upto` are durable, so that
    /// it sends the messages that waited for them. Call it first in a pass; an
    /// [`EventLoop`](super::EventLoop) with a store does so.
    pub fn handle_durable(&mut self, now: Now, upto: u64) {
        self.engine.handle_durable(now, upto);
    }

    /// Returns the next record of state that must outlive the server, to be made durable in order. Call it
    /// after each pass until it returns `None`, if the protocol [was
    /// restored](crate::protocol::turns::TurnServer::restore).
    pub fn poll_record(&mut self, now: Now) -> Option<Record> {
        self.engine.poll_record(now)
    }

    /// Ends a pass: newcomers, deadlines, remaining writes, and slots that may be used again.
    ///
    /// # Errors
    ///
    /// Returns [`Error::EventsPending`] if not all events of the last pass have been taken. Take them, and
    /// call it again.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = on_a_poll!()]
    /// server.finish_batch(now())?;
    /// while let Some(event) = server.poll_event() {
    ///     println!("{event:?}");
    /// }
    /// # Ok(()) }
    /// ```
    #[inline(always)]
    pub fn finish_batch(&mut self, now: Now) -> Result<(), Error> {
        self.engine.finish_batch(now).map_err(|_| Error::EventsPending)
    }

    /// Returns the next event for the host. Call it after each pass until it returns `None`.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = on_a_poll!()]
    /// let mut events = Events::with_capacity(256);
    /// # server.drain(now());
    /// while !server.is_drained() {
    ///     poll.poll(&mut events, poll_timeout(now(), server.next_deadline()))?;
    ///     let now = now();
    ///     events.iter().for_each(|event| server.handle_event(now, event));
    ///     server.finish_batch(now)?;
    ///     while let Some(event) = server.poll_event() {
    ///         println!("{event:?}");
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event<P::Event>> {
        self.engine.poll_event()
    }
}

impl<P: Protocol> fmt::Debug for Driver<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl From<&Readiness> for Ready {
    fn from(event: &Readiness) -> Ready {
        Ready {
            readable: event.is_readable() || event.is_read_closed() || event.is_error(),
            writable: event.is_writable() || event.is_write_closed() || event.is_error(),
            // A read stops before urgent data, even if more input follows it.
            to_end: event.is_read_closed() || event.is_error() || event.is_priority(),
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
