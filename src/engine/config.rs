//! The limits and times of an engine and its sockets, and why each stands where it does.

use std::fmt;
use std::time::Duration;

use crate::protocol::{BuffersMin, LOG_LINES_MAX};

/// Limits and times of an [`Engine`](super::Engine), and of the sockets that
/// [`net::Driver`](crate::net::Driver) gives it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DriverConfig {
    /// Connections that exist at once, those about to be closed included. A newcomer beyond this limit is
    /// dropped without a word, so the protocol's own limit should be lower by 16: a client that is turned
    /// away can still be told. Default `None`: a [`net::Driver`](crate::net::Driver) takes
    /// [`net::connections_max`](crate::net::connections_max)`(0)` when it is made; an engine on other sockets
    /// has no limit. A host that opens more than a listener and a few files passes their number to that
    /// function, and its result here.
    pub max_connections: Option<usize>,
    /// Connections that one address may have; beyond it a newcomer is dropped without a word, so that one
    /// machine cannot take all places. Loopback addresses have no limit: behind a proxy on this machine all
    /// clients come from one. An IPv4 address is the same one through an IPv6 socket; of IPv6 a whole network
    /// of 64 bits is one, since a machine may choose among its addresses. Default: none, since clients may
    /// share an address. A turn server that limits the seats of an address needs about twice as many
    /// connections for it, because a client resumes on a new connection while the system still keeps its lost
    /// one.
    pub max_connections_per_address: Option<usize>,
    /// Bytes read from one connection in a pass: one peer must not starve the others. Where many wait to be
    /// read, each has an equal share of `pass_read_bytes_max`, and at least 1 KiB. Default 16 KiB, allocated
    /// once: a message of 64 KiB takes four reads, and four peers that flood share a pass. 0 counts as 1.
    pub read_bytes_max: usize,
    /// Bytes read in a pass from all connections that were ready, and as many again from those that the last
    /// pass left over: a thousand that flood must not hold the others up, nor fill the memory with events. A
    /// connection that comes too late for it is read in one of the next passes, in the order of coming; but
    /// one whose word the protocol awaits is read first, and before the deadlines that have come meanwhile.
    /// Default 64 KiB; less than `read_bytes_max` counts as `read_bytes_max`.
    pub pass_read_bytes_max: usize,
    /// Bytes kept of what a connection has sent and its protocol has not consumed: the beginning of a
    /// message. A connection whose protocol leaves more is closed. Default 128 KiB, twice the longest
    /// message; one read comes on top, for each connection.
    pub in_bytes_max: usize,
    /// Connections accepted in a pass: a storm of newcomers must not starve the clients. Default 64; 0 counts
    /// as 1.
    pub accepts_max: usize,
    /// Bytes queued for a peer that does not read. From half of it on, nothing is read from that peer; beyond
    /// it, a peer is closed whose socket has refused bytes and refuses more. A peer that has not been written
    /// to yet may have 16 times as many, since what a host does to 1,000 clients at once is no fault of one
    /// that reads. Default 128 KiB, for each connection.
    pub out_bytes_max: usize,
    /// Lines a second that peers may cause in the log, all peers together; further ones are counted, and the
    /// log says once a second how many. Default 100: at most some 60 KB a second, whatever is sent by however
    /// many connections.
    pub log_lines_max: u32,
    /// Bytes queued for all peers whose sockets have refused some. Beyond it those are closed that have
    /// waited for longest for all of theirs to be taken, so that thousands that do not read cost no more
    /// memory than this; the system keeps up to about 190 KiB more for each. Default 64 MiB: 512 of them with
    /// as much as each may have.
    pub queued_bytes_max: usize,
    /// How long a peer may take nothing of what is queued for it. Default none: a client may be busy, stopped
    /// or suspended for as long as its system acknowledges what it is asked. Last words have `user_timeout`
    /// then.
    pub stall_timeout: Option<Duration>,
    /// How long the handshake of a wrapped connection may take, such as that of TLS. Default 10 s.
    pub handshake_timeout: Duration,
    /// Wrapped connections whose handshakes may be under way at once; further newcomers wait in the system's
    /// queue. Default 1,024: each may keep some 20 KiB until it is over.
    pub handshakes_max: usize,
    /// Connections whose handshakes go on in a pass, when what was ready has been read. Default 4: that of
    /// TLS takes some 0.1 ms of the processor, so 256 newcomers at once delay no turn by more than a few of
    /// these. 0 counts as 1.
    pub pass_handshakes_max: usize,
    /// How often wrapped connections are pinged whose wire has pings of its own, as WebSocket's has: for
    /// proxies that cut what is silent. It shows no more than that a system is there. Default none.
    pub wire_ping: Option<Duration>,
    /// How long a connection is kept for its peer to read the last words. Default 1 s.
    pub linger_timeout: Duration,
    /// How long an [`EventLoop`](crate::net::EventLoop) asks again and again whether something has come,
    /// before it sleeps until something does. A loop that sleeps has to be woken, which on a processor of its
    /// own is most of what a hand-over takes; one that asks needs all of that processor while turns go round,
    /// and for this long after each. Default zero: it sleeps at once. Worth setting to a little more than
    /// clients take to answer, where a processor can be spared; see docs/PERFORMANCE.md. A host with a `Poll`
    /// of its own does the same with a poll timeout of zero.
    pub busy_poll: Duration,
    /// Connections that the system queues before they are accepted. Default 4,096 (the system may cap it).
    pub backlog: i32,
    /// The first pause after `accept` failed for want of descriptors or memory; it doubles. Default 10 ms.
    pub accept_backoff_min: Duration,
    /// The longest such pause. Default 500 ms.
    pub accept_backoff_max: Duration,
    /// The shortest pause before an outbound connection is tried again. Default 100 ms.
    pub reconnect_min: Duration,
    /// The longest such pause. Default 2 s: a server that is back has all its clients after little more than
    /// that, and while it is away 10,000 of them knock 10,000 times a second, in all.
    pub reconnect_max: Duration,
    /// How long the first attempt at an outbound connection may take; it doubles each time that one takes all
    /// of it. Default 1 s: where a server was replaced by one with another address, nothing answers at the
    /// old one.
    pub connect_timeout_min: Duration,
    /// The longest that an attempt may take, for networks that are slow or lossy. Default 10 s.
    pub connect_timeout_max: Duration,
    /// Idle time after which the system probes a peer, and again every third of it, three times. Default 15
    /// s; at least 1 s.
    pub keepalive: Duration,
    /// How long the system of a peer may acknowledge nothing while bytes are under way to it: a peer that
    /// vanished without a word is found out by this, since probes wait meanwhile. One that reads nothing, but
    /// whose system acknowledges that it has no room, is none of those; if it vanishes then, that is noticed
    /// after up to twice as long. Default 20 s; Linux only.
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
            accepts_max: 64,
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
    /// Checks that a protocol's longest messages get through. [`net::Driver`](crate::net::Driver) does so by
    /// itself; a host that runs an [`Engine`](super::Engine) on sockets of its own calls this before.
    ///
    /// # Errors
    ///
    /// The buffer that is too small.
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

/// A buffer of a [`DriverConfig`] is too small for a protocol's longest messages, which would close the
/// connections that carry them.
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
