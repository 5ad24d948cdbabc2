//! The limits and times of an engine and its sockets, with the reason for each default.

use std::fmt;
use std::time::Duration;

use crate::protocol::{BuffersMin, LOG_LINES_MAX};

/// Limits and times of an [`Engine`](super::Engine), and of the sockets that
/// [`net::Driver`](crate::net::Driver) gives it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DriverConfig {
    /// The most connections at once, including those about to be closed. A newcomer beyond it is dropped
    /// without a reply.
    ///
    /// So the protocol's own limit should be lower by 16, which leaves room to tell a client why it is turned
    /// away. Default `None`: a [`net::Driver`](crate::net::Driver) uses
    /// [`net::connections_max`](crate::net::connections_max)`(0)` when it is made; an engine on other sockets
    /// has no limit. A host that opens more than a listener and a few files passes that number to
    /// `connections_max`, and its result here.
    pub max_connections: Option<usize>,
    /// The most connections from one address, so that one machine cannot take every place. A newcomer beyond
    /// it is dropped without a reply.
    ///
    /// Default `None`, because clients may share an address. Loopback addresses have no limit: behind a proxy
    /// on this machine, all clients come from one. An IPv4 address counts as the same one through an IPv6
    /// socket. An IPv6 network of 64 bits counts as one address, because a machine may choose any address in
    /// it. A turn server that limits the seats of an address needs about twice as many connections for it: a
    /// client resumes on a new connection while the system still keeps the lost one.
    pub max_connections_per_address: Option<usize>,
    /// Bytes read from one connection in a pass, so that one peer cannot starve the others. Default 16 KiB; 0
    /// counts as 1.
    ///
    /// The buffer is allocated once. When many connections wait to be read, each gets an equal share of
    /// `pass_read_bytes_max`, and at least 1 KiB.
    pub read_bytes_max: usize,
    /// Bytes read in a pass from all connections that are ready. Default 64 KiB; at least `read_bytes_max`.
    /// The end of a connection counts as 4 KiB, because closing it takes the system about ten times as long
    /// as a read.
    ///
    /// The same number may be read again from connections that the previous pass left over. The limit keeps a
    /// flood from a thousand peers from delaying everyone else and from filling the memory with events. A
    /// connection that is not reached is read in a later pass, in order of arrival. A connection that the
    /// protocol [awaits](crate::protocol::Protocol::is_awaited) is read first, before the deadlines that have
    /// passed meanwhile.
    pub pass_read_bytes_max: usize,
    /// Bytes kept for a connection that its protocol has not consumed, such as the beginning of a message.
    /// Default 128 KiB, twice the longest message.
    ///
    /// A connection whose protocol leaves more is closed. One more read may be kept in addition, so this plus
    /// `read_bytes_max` is the worst case for each connection.
    pub in_bytes_max: usize,
    /// Connections accepted in a pass, so that a storm of newcomers cannot starve the clients. Default 16; 0
    /// counts as 1.
    pub accepts_max: usize,
    /// Bytes that may be queued for a peer that does not read. Default 128 KiB for each connection.
    ///
    /// With half of it queued, nothing more is read from that peer. With more than it queued, a peer is
    /// closed if its socket has refused bytes and refuses them again. A peer that has not been offered
    /// anything yet may have 16 times as much: what a host sends to 1,000 clients at once is not their fault.
    pub out_bytes_max: usize,
    /// Log lines per second that all peers together may cause. Default 100, which is about 60 KB per second.
    ///
    /// Further lines are counted, and the log says once a second how many there were.
    pub log_lines_max: u32,
    /// Bytes that may be queued for all peers that do not read, together. Default 64 MiB, which is the most
    /// for 512 of them.
    ///
    /// Beyond it, the peers that have not kept up for longest are closed. The system itself keeps up to about
    /// 190 KiB more for each.
    pub queued_bytes_max: usize,
    /// How long a peer may read nothing of what is queued for it. Default `None`, no limit.
    ///
    /// A client may be busy, stopped or suspended for any time, as long as its system answers. Without a
    /// limit, the last words to a peer are kept for `user_timeout`.
    pub stall_timeout: Option<Duration>,
    /// How long the handshake of a wrapped connection may take, such as that of TLS. Default 10 s.
    pub handshake_timeout: Duration,
    /// Wrapped connections whose handshakes may be under way at once; further newcomers wait in the system's
    /// queue. Default 1,024: each may keep some 20 KiB until it is complete.
    pub handshakes_max: usize,
    /// Handshakes that make progress in a pass, after everything that was ready has been read. Default 4; 0
    /// counts as 1.
    ///
    /// A TLS handshake takes about 0.1 ms of processor time, so 256 newcomers at once delay a turn by a few
    /// handshakes at most.
    pub pass_handshakes_max: usize,
    /// How often a wrapped connection is pinged, if its wire has pings, as WebSocket does. Default `None`.
    ///
    /// It keeps proxies from cutting a silent connection. An answer shows only that the peer's system is
    /// there.
    pub wire_ping: Option<Duration>,
    /// How long a connection stays open for its peer to read its last words. Default 1 s.
    pub linger_timeout: Duration,
    /// How long an [`EventLoop`](crate::net::EventLoop) polls without sleeping after the last event. Default
    /// zero: it sleeps at once.
    ///
    /// Waking a loop that sleeps takes most of the time of a hand-over. A loop that polls instead uses its
    /// whole processor while turns go round, and for this long after each one. Set it to a little more than
    /// clients take to answer, if a processor can be spared; see docs/PERFORMANCE.md. A host with its own
    /// `Poll` does the same with a timeout of zero. With a store, `EventLoop::run` also polls for the end of
    /// quick commits: see `StoreThread::busy_poll_until`.
    pub busy_poll: Duration,
    /// Connections that the system queues before they are accepted. Default 4,096; the system may lower it.
    pub backlog: i32,
    /// The first pause after `accept` failed because descriptors or memory ran out. It doubles each time.
    /// Default 10 ms.
    pub accept_backoff_min: Duration,
    /// The longest pause after a failed `accept`. Default 500 ms.
    pub accept_backoff_max: Duration,
    /// The shortest pause before an outbound connection is tried again. Default 100 ms.
    pub reconnect_min: Duration,
    /// The longest pause before an outbound connection is tried again. Default 2 s.
    ///
    /// A server that comes back has all its clients again after little more than that. While it is away,
    /// 10,000 clients make about 10,000 attempts per second in total.
    pub reconnect_max: Duration,
    /// How long the first attempt at an outbound connection may take. It doubles each time an attempt takes
    /// all of it. Default 1 s.
    ///
    /// It is short because nothing answers at the old address of a server that was replaced by one with
    /// another address.
    pub connect_timeout_min: Duration,
    /// The longest that an attempt may take, for slow or lossy networks. Default 10 s.
    pub connect_timeout_max: Duration,
    /// Idle time after which the system probes a peer. Default 15 s; at least 1 s.
    ///
    /// It probes three times, at intervals of a third of this time.
    pub keepalive: Duration,
    /// How long the peer's system may acknowledge nothing while bytes are under way to it. Default 20 s;
    /// Linux only.
    ///
    /// It finds peers that have vanished while something was being sent, when the system does not probe. A
    /// peer that does not read, but whose system still says that it has no room, is not affected. If such a
    /// peer vanishes, that is noticed after at most twice this time.
    pub user_timeout: Duration,
}

impl Default for DriverConfig {
    fn default() -> Self {
        DriverConfig {
            max_connections: None,
            max_connections_per_address: None,
            read_bytes_max: 16 * 1024,
            pass_read_bytes_max: 64 * 1024,
            in_bytes_max: 128 * 1024,
            accepts_max: 16,
            out_bytes_max: 128 * 1024,
            log_lines_max: LOG_LINES_MAX,
            queued_bytes_max: 64 * 1024 * 1024,
            stall_timeout: None,
            handshake_timeout: Duration::from_secs(10),
            handshakes_max: 1024,
            pass_handshakes_max: 4,
            wire_ping: None,
            linger_timeout: Duration::from_secs(1),
            busy_poll: Duration::ZERO,
            backlog: 4096,
            accept_backoff_min: Duration::from_millis(10),
            accept_backoff_max: Duration::from_millis(500),
            reconnect_min: Duration::from_millis(100),
            reconnect_max: Duration::from_secs(2),
            connect_timeout_min: Duration::from_secs(1),
            connect_timeout_max: Duration::from_secs(10),
            keepalive: Duration::from_secs(15),
            user_timeout: Duration::from_secs(20),
        }
    }
}

impl DriverConfig {
    /// Checks that a protocol's longest messages fit the buffers. [`net::Driver`](crate::net::Driver) calls
    /// it itself; a host that runs an [`Engine`](super::Engine) on its own sockets calls it first.
    ///
    /// # Errors
    ///
    /// Returns [`BufferTooSmall`] for the first buffer that is too small.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::engine::DriverConfig;
    /// use taketurns::protocol::Protocol;
    /// use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut config = TurnServerConfig::default();
    /// config.answer_bytes_max = 64 * 1024;
    /// let server = TurnServer::new(config, Box::new(|bytes| bytes.fill(7)))?;
    /// let error = DriverConfig::default().check(server.buffers_min()).unwrap_err();
    /// assert_eq!(error.to_string(), "out_bytes_max is 131072 bytes, but the protocol needs 266240");
    /// # Ok(()) }
    /// ```
    pub fn check(&self, least: BuffersMin) -> Result<(), BufferTooSmall> {
        let buffers = [
            ("in_bytes_max", self.in_bytes_max, least.in_bytes),
            ("out_bytes_max", self.out_bytes_max, least.out_bytes),
        ];
        match buffers.into_iter().find(|&(_, bytes, least)| bytes < least) {
            Some((buffer, bytes, least)) => Err(BufferTooSmall { buffer, bytes, least }),
            None => Ok(()),
        }
    }
}

/// A buffer of a [`DriverConfig`] that is too small for a protocol's longest messages. Connections that carry
/// them would be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BufferTooSmall {
    /// The field of [`DriverConfig`].
    pub buffer: &'static str,
    /// Its value, in bytes.
    pub bytes: usize,
    /// The least value that will do, in bytes.
    pub least: usize,
}

impl fmt::Display for BufferTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BufferTooSmall { buffer, bytes, least } = self;
        write!(f, "{buffer} is {bytes} bytes, but the protocol needs {least}")
    }
}

impl std::error::Error for BufferTooSmall {}
