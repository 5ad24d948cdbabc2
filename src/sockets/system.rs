//! The system's TCP sockets, as an engine needs them, on a `mio::Poll`.
//!
//! On Linux the system calls of a hand-over are made inline, not through the functions of the C library,
//! which have left the caches by the time a turn needs them.

use std::io;
use std::net::{self, IpAddr, Shutdown, SocketAddr};
use std::time::Duration;

use log::warn;
use mio::net::{TcpListener, TcpStream};
use mio::{Registry, Token};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

#[cfg(target_os = "linux")]
use super::silence::Silence;
use super::{Key, Sockets, TokenSpace};
use crate::protocol::{ConnectionId, Interest};
#[cfg(target_os = "linux")]
use crate::time::Instant;

/// Bytes that the system may hold unsent for a peer before it takes no more. Bytes under way do not count, so
/// this slows down no peer that reads. By default Linux keeps up to 4 MiB for a peer that does not: no limit
/// here counts that, but a container's does.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 1;

/// Bytes of input that the system keeps for a peer that is not read because it does not read itself. Linux
/// allows itself twice as much.
#[cfg(target_os = "linux")]
const UNREAD_BYTES_MAX: usize = 64 * 1024;

/// Interest in input and in urgent data. A read stops in front of urgent data, so a short read may not have
/// emptied the socket, and the poll has to report it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const READABLE: mio::Interest = mio::Interest::READABLE.add(mio::Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const READABLE: mio::Interest = mio::Interest::READABLE;

/// A listener that is registered with a poll.
#[derive(Debug)]
pub(crate) struct MioListener {
    socket: TcpListener,
    /// Whether newcomers have its options from their first moment, which saves seven system calls for each.
    /// It is set once the queue was empty: those that came before the options do not have them.
    is_inherited: bool,
}

/// Sockets that are registered with a poll, under tokens of one space.
#[derive(Debug)]
pub(crate) struct MioSockets {
    registry: Registry,
    pub(crate) space: TokenSpace,
    keepalive: TcpKeepalive,
    #[cfg(target_os = "linux")]
    silence: Silence,
    /// Whether a warning that options cannot be set has been logged.
    has_complained: bool,
}

impl MioSockets {
    pub(crate) fn new(
        registry: &Registry,
        space: TokenSpace,
        keepalive_after: Duration,
        #[cfg_attr(not(target_os = "linux"), allow(unused_variables, reason = "others have none"))]
        user_timeout_after: Duration,
    ) -> io::Result<MioSockets> {
        Ok(MioSockets {
            registry: registry.try_clone()?,
            space,
            keepalive: keepalive(keepalive_after),
            #[cfg(target_os = "linux")]
            silence: Silence::new(user_timeout(user_timeout_after)),
            has_complained: false,
        })
    }

    /// Asks the poll to report newcomers at `socket`, the listener with the number `slot`.
    pub(crate) fn listen(&mut self, mut socket: TcpListener, slot: usize) -> io::Result<MioListener> {
        let slot = u32::try_from(slot).map_err(io::Error::other)?;
        let token = self.space.token(Key::Listener(slot));
        #[cfg(target_os = "linux")]
        self.set_options_of(SockRef::from(&socket));
        self.registry.register(&mut socket, token, mio::Interest::READABLE)?;
        Ok(MioListener { socket, is_inherited: false })
    }

    /// Removes a socket from the poll, because another driver takes it over.
    pub(crate) fn unwatch(&mut self, socket: &mut TcpStream) {
        #[cfg(target_os = "linux")]
        self.silence.forget(socket);
        // Best effort: if this fails, registering it again fails too.
        let _ = self.registry.deregister(socket);
    }

    /// Has writes go out without waiting for more bytes, and the system find out that a peer has vanished. A
    /// connection is served even if an option cannot be set; that is logged once, because it is most likely
    /// the same for all.
    fn set_options_of(&mut self, socket: SockRef<'_>) {
        let set = [
            ("TCP_NODELAY", socket.set_tcp_nodelay(true)),
            ("SO_KEEPALIVE", socket.set_tcp_keepalive(&self.keepalive)),
            #[cfg(target_os = "linux")]
            ("TCP_USER_TIMEOUT", socket.set_tcp_user_timeout(self.silence.user_timeout)),
            #[cfg(target_os = "linux")]
            ("TCP_NOTSENT_LOWAT", socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)),
        ];
        for (option, result) in set {
            if let Err(error) = result
                && !std::mem::replace(&mut self.has_complained, true)
            {
                warn!(
                    "{option} cannot be set ({error}): connections work without it, and this is logged once"
                );
            }
        }
    }

    fn token(&self, id: ConnectionId) -> Token {
        self.space.token(Key::Connection(id))
    }
}

/// How long a silent peer is left alone. The system counts in whole seconds, from 1 to the greatest number of
/// 15 bits.
fn keepalive(time: Duration) -> TcpKeepalive {
    let (min, max) = (Duration::from_secs(1), Duration::from_secs(32_767));
    if time > max {
        warn!("a keepalive of {time:?} is more than the system allows: {max:?} is used");
    }
    let keepalive = TcpKeepalive::new().with_time(time.clamp(min, max));
    #[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd", windows))]
    let keepalive = keepalive.with_interval((time / 3).clamp(min, max)).with_retries(3);
    keepalive
}

/// How long written bytes may stay unacknowledged, in whole milliseconds of 31 bits; `None`: as long as the
/// system likes.
#[cfg(target_os = "linux")]
fn user_timeout(time: Duration) -> Option<Duration> {
    let max = Duration::from_millis(i32::MAX.unsigned_abs().into());
    if time > max {
        warn!("a user_timeout of {time:?} is more than the system allows: {max:?} is used");
    }
    (!time.is_zero()).then(|| time.clamp(Duration::from_millis(1), max))
}

/// Leaves the port that the system chose for a socket free for a server, while it is used and afterwards.
/// Otherwise the system reserves it for a minute after the connection has ended. See the table in
/// docs/RELIABILITY.md.
#[cfg(unix)]
pub(crate) fn free_port_early<'a>(socket: impl Into<SockRef<'a>>) {
    // Best effort: this only helps other programs.
    let _ = socket.into().set_reuse_address(true);
}

#[cfg(not(unix))]
pub(crate) fn free_port_early<'a>(_: impl Into<SockRef<'a>>) {}

/// A socket that listens on `addr`, with a backlog for a stampede. An address means the same on every system:
/// `[::]` is for IPv6 alone, so that `0.0.0.0` can be used as well, and an IPv4 address that is written as an
/// IPv6 address stands for that IPv4 address.
pub(crate) fn bind(addr: SocketAddr, backlog: i32) -> io::Result<net::TcpListener> {
    let addr = match addr.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, addr.port())),
        IpAddr::V6(_) => addr,
    };
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // So that a restarted server gets its port back at once. Never SO_REUSEPORT: two servers on one port are
    // two rings.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    #[cfg(target_os = "linux")]
    bound_memory(&socket);
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Bounds the input that the system keeps for each connection of `listener`: by default 6 MiB and more.
#[cfg(target_os = "linux")]
fn bound_memory(listener: &Socket) {
    // Best effort: serving does not depend on it.
    let _ = listener.set_recv_buffer_size(UNREAD_BYTES_MAX);
}

impl Sockets for MioSockets {
    type Socket = TcpStream;
    type Listener = MioListener;

    /// Where mio emulates readiness, it re-arms only on `WouldBlock`.
    const SHORT_READ_EMPTIES: bool = cfg!(any(target_os = "linux", target_os = "android"));

    #[cfg(target_os = "linux")]
    #[inline(always)]
    fn recv(&mut self, socket: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        let (count, _) = rustix::net::recv(&*socket, buffer, rustix::net::RecvFlags::empty())?;
        Ok(count)
    }

    #[cfg(not(target_os = "linux"))]
    fn recv(&mut self, socket: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(socket, buffer)
    }

    /// A broken connection is an error, never a signal.
    #[cfg(target_os = "linux")]
    #[inline(always)]
    fn send(&mut self, socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(&*socket, bytes, rustix::net::SendFlags::NOSIGNAL)?)
    }

    #[cfg(not(target_os = "linux"))]
    fn send(&mut self, socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(socket, bytes)
    }

    fn shutdown(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        socket.shutdown(Shutdown::Write)
    }

    fn close(&mut self, mut socket: TcpStream) {
        #[cfg(target_os = "linux")]
        self.silence.forget(&socket);
        // Best effort: the socket is closed in any case.
        let _ = self.registry.deregister(&mut socket);
    }

    fn watch(
        &mut self,
        id: ConnectionId,
        socket: &mut TcpStream,
        interest: Interest,
        before: Option<Interest>,
    ) -> io::Result<()> {
        let token = self.token(id);
        let interest = match interest {
            Interest::Connect => mio::Interest::WRITABLE,
            Interest::Read => READABLE,
            Interest::ReadWrite => READABLE | mio::Interest::WRITABLE,
        };
        match before {
            Some(_) => self.registry.reregister(socket, token, interest),
            None => self.registry.register(socket, token, interest),
        }
    }

    const EXTENDS_FOR_BUSY_PEERS: bool = cfg!(target_os = "linux");

    #[cfg(target_os = "linux")]
    fn extend_for_busy_peers(&mut self, now: Instant, since: Instant, sockets: &[&TcpStream]) -> bool {
        self.silence.extend_for_busy_peers(now, since, sockets)
    }

    fn set_options(&mut self, socket: &mut TcpStream) {
        self.set_options_of(SockRef::from(&*socket));
    }

    fn accept(&mut self, listener: &mut MioListener) -> io::Result<(TcpStream, SocketAddr)> {
        let accepted = listener.socket.accept();
        match &accepted {
            Ok((socket, _)) if !listener.is_inherited => self.set_options_of(SockRef::from(socket)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                listener.is_inherited = cfg!(target_os = "linux");
            }
            _ => {}
        }
        accepted
    }

    fn unlisten(&mut self, mut listener: MioListener) {
        // Best effort: the socket is closed in any case.
        let _ = self.registry.deregister(&mut listener.socket);
    }

    fn connect(&mut self, addr: SocketAddr) -> io::Result<TcpStream> {
        let socket = TcpStream::connect(addr)?;
        free_port_early(&socket);
        Ok(socket)
    }

    fn established(&mut self, socket: &mut TcpStream) -> io::Result<bool> {
        established(socket)
    }
}

fn established(socket: &TcpStream) -> io::Result<bool> {
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    match socket.peer_addr() {
        // A port without a listener, in the range that outbound connections use, can be connected to itself.
        Ok(peer) if socket.local_addr()? == peer => {
            // It has the port that its own server wants, and would keep it for a minute after it is closed if
            // it were not reset.
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
            Err(io::ErrorKind::ConnectionRefused.into())
        }
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use mio::Poll;

    use super::*;

    fn sockets() -> MioSockets {
        let poll = Poll::new().expect("a poll");
        let minute = Duration::from_secs(60);
        MioSockets::new(poll.registry(), TokenSpace(1), minute, minute).expect("it is shared")
    }

    /// If the system gives an outbound connection the very port that it goes to, TCP connects it to itself.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_socket_that_is_connected_to_itself_is_refused() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("port 0 is free");
        let itself = socket.local_addr().expect("bound");
        socket.connect(&itself).expect("TCP allows it");
        socket.set_nonblocking(true).expect("a socket");
        let socket = TcpStream::from_std(socket.into());
        let error = established(&socket).expect_err("there is no server");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        drop(socket);
        let server = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        server.bind(&itself).expect("nothing is left of it");
    }

    #[test]
    fn options_that_cannot_be_set_are_mentioned_once_and_change_nothing_else() {
        let (_peer, socket) = std::os::unix::net::UnixStream::pair().expect("a pair");
        socket.set_nonblocking(true).expect("a socket");
        let mut no_tcp = TcpStream::from_std(net::TcpStream::from(std::os::fd::OwnedFd::from(socket)));
        let mut sockets = sockets();
        sockets.set_options(&mut no_tcp);
        assert!(sockets.has_complained);
        sockets.send(&mut no_tcp, b"still connected").expect("it is");
    }

    #[cfg(target_os = "linux")]
    fn accepted() -> (MioSockets, TcpStream, net::TcpStream) {
        let mut sockets = sockets();
        let bound = bind(SocketAddr::from(([127, 0, 0, 1], 0)), 1).expect("port 0 is free");
        let addr = bound.local_addr().expect("bound");
        let mut listener = sockets.listen(TcpListener::from_std(bound), 0).expect("a listener");
        let peer = net::TcpStream::connect(addr).expect("it listens");
        let (socket, _) = sockets.accept(&mut listener).expect("a newcomer");
        (sockets, socket, peer)
    }

    /// A listener that the host made may have had newcomers before it had any options.
    #[test]
    #[cfg(target_os = "linux")]
    fn all_newcomers_have_the_options_of_their_listener() {
        let mut sockets = sockets();
        let bound = bind(SocketAddr::from(([127, 0, 0, 1], 0)), 9).expect("port 0 is free");
        let addr = bound.local_addr().expect("bound");
        bound.set_nonblocking(true).expect("a socket");
        let connect = || net::TcpStream::connect(addr).expect("it listens");
        let _early = [connect(), connect()];
        let mut listener = sockets.listen(TcpListener::from_std(bound), 0).expect("a listener");
        let mut accept = || sockets.accept(&mut listener);
        let mut all = vec![accept().expect("a newcomer"), accept().expect("a newcomer")];
        let none = accept().expect_err("there were two");
        assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
        let _late = connect();
        all.push(accept().expect("a newcomer"));
        assert!(listener.is_inherited);
        for (socket, _) in &all {
            let socket = SockRef::from(socket);
            assert!(socket.tcp_nodelay().expect("an option"));
            assert!(socket.keepalive().expect("an option"));
            assert_eq!(socket.tcp_keepalive_time().expect("an option"), Duration::from_secs(60));
            assert_eq!(socket.tcp_keepalive_interval().expect("an option"), Duration::from_secs(20));
            assert_eq!(socket.tcp_keepalive_retries().expect("an option"), 3);
            assert_eq!(socket.tcp_user_timeout().expect("an option"), Some(Duration::from_secs(60)));
            assert_eq!(socket.tcp_notsent_lowat().expect("an option"), UNSENT_BYTES_MAX);
        }
    }

    /// The engine queues the rest, within its limits.
    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_keeps_little_for_a_peer_that_does_not_read() {
        let (mut sockets, mut socket, _silent) = accepted();
        let (mut taken, mut refusals) = (0, 0);
        // The system takes more as the peer's system acknowledges, until that has no room left.
        while refusals < 50 {
            match sockets.send(&mut socket, &[7; 16 * 1024]) {
                Ok(count) => (taken, refusals) = (taken + count, 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    refusals += 1;
                    std::thread::yield_now();
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(taken < 1 << 20, "{taken} bytes, those in the peer's system included");
    }

    /// The longer the system reads a peer, the more it lets the peer send at once, and it keeps all of that
    /// when it is no longer read.
    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_keeps_little_of_a_peer_that_is_not_read() {
        let (mut sockets, mut socket, peer) = accepted();
        peer.set_nonblocking(true).expect("a socket");
        let (mut buffer, mut read) = (vec![0; 256 * 1024], 0);
        while read < 64 << 20 {
            while io::Write::write(&mut &peer, &[7; 64 * 1024]).is_ok() {}
            while let Ok(count) = sockets.recv(&mut socket, &mut buffer) {
                read += count;
            }
        }
        assert_eq!(SockRef::from(&socket).recv_buffer_size().expect("a socket"), 2 * UNREAD_BYTES_MAX);
    }

    #[test]
    fn a_socket_that_is_not_connected_yet_is_waited_for() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_nonblocking(true).expect("a socket");
        assert!(matches!(established(&TcpStream::from_std(socket.into())), Ok(false)));
    }
}
