//! Tells a peer that does not read from one that has vanished, on Linux.
//!
//! `TCP_USER_TIMEOUT` ends a connection whose bytes stay unacknowledged, and so finds a peer that has
//! vanished. But it also ends one whose peer has no room, although the peer's system acknowledges each probe,
//! because the time counts from when the window closed. A busy client would be cut off and lose everything
//! that waits for it. So the sockets with unsent bytes are checked now and then. One whose window is closed,
//! and was found closed by the last probe, is given more time.
//!
//! One call tells which of many sockets have unsent bytes: with `TCP_NOTSENT_LOWAT` at one byte, a socket is
//! writable only if it has none. That also bounds the bytes that the system keeps for a peer that does not
//! read, which could be 4 MiB. The fate of the last probe is asked over netlink, as `ss` does it; where that
//! is forbidden, the system cuts off busy peers.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::time::Duration;

use log::warn;
use mio::net::TcpStream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};
use socket2::SockRef;

use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Silence {
    /// `None`: peers may be silent for as long as the system likes.
    pub(super) user_timeout: Option<Duration>,
    /// For each peer that was given more time, when its window closed at the earliest.
    closed: HashMap<RawFd, Instant>,
    /// Made when it is first needed; `Some(None)` if the system has refused one.
    netlink: Option<Option<OwnedFd>>,
}

impl Silence {
    pub(super) fn new(user_timeout: Option<Duration>) -> Silence {
        Silence { user_timeout, closed: HashMap::new(), netlink: None }
    }

    /// Forgets a closed socket, because another one will have its number.
    pub(super) fn forget(&mut self, socket: &TcpStream) {
        if !self.closed.is_empty() {
            self.closed.remove(&socket.as_raw_fd());
        }
    }

    /// Gives more time to those of `sockets` whose peers have no room. Returns whether any has unsent bytes.
    pub(super) fn extend_for_busy_peers(
        &mut self,
        now: Instant,
        since: Instant,
        sockets: &[&TcpStream],
    ) -> bool {
        let Some(user_timeout) = self.user_timeout else { return false };
        let mut polled: Vec<_> = sockets.iter().map(|&socket| PollFd::new(socket, PollFlags::OUT)).collect();
        if poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_err() {
            return false;
        }
        let mut has_waiting = false;
        for (socket, polled) in sockets.iter().zip(polled) {
            if !polled.revents().is_empty() {
                if !self.closed.is_empty() && self.closed.remove(&socket.as_raw_fd()).is_some() {
                    set_user_timeout(socket, user_timeout);
                }
                continue;
            }
            has_waiting = true;
            if self.is_closed_window(socket).unwrap_or(false) {
                let began = *self.closed.entry(socket.as_raw_fd()).or_insert(since);
                // The system counts from when the window closed.
                set_user_timeout(socket, now.saturating_duration_since(began) + user_timeout);
            }
        }
        has_waiting
    }

    /// Returns whether `socket` waits for room at its peer, and the peer's system has acknowledged the last
    /// probe.
    fn is_closed_window(&mut self, socket: &TcpStream) -> io::Result<bool> {
        let (local, peer) = (socket.local_addr()?, socket.peer_addr()?);
        let netlink = self.netlink.get_or_insert_with(|| {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let made = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::SOCK_DIAG));
            if let Err(error) = &made {
                warn!("clients that do not read will be treated as gone, because the system does not report on them: {error}");
            }
            made.ok()
        });
        let Some(netlink) = netlink else { return Ok(false) };
        rustix::net::send(&*netlink, &request(local, peer), SendFlags::NOSIGNAL)?;
        let mut reply = [0_u8; 512];
        let (count, _) = rustix::net::recv(&*netlink, &mut reply, RecvFlags::empty())?;
        Ok(has_answered_probe(&reply[..count]))
    }
}

fn set_user_timeout(socket: &TcpStream, time: Duration) {
    // Best effort: it will be checked again.
    let _ = SockRef::from(socket).set_tcp_user_timeout(Some(time));
}

/// `SOCK_DIAG_BY_FAMILY`, and the protocol that is asked about.
const BY_FAMILY: u16 = 20;
const TCP: u8 = 6;

/// Asks about one socket: a `nlmsghdr`, then an `inet_diag_req_v2`, without a cookie.
fn request(local: SocketAddr, peer: SocketAddr) -> [u8; 72] {
    const REQUEST: u16 = 1;
    let (family, scope) = match local {
        SocketAddr::V4(_) => (AddressFamily::INET, 0),
        SocketAddr::V6(addr) => (AddressFamily::INET6, addr.scope_id()),
    };
    let family = u8::try_from(family.as_raw()).unwrap_or(0);
    let mut bytes = [0; 72];
    let mut at = 0;
    let mut put = |piece: &[u8], length: usize| {
        bytes[at..at + piece.len()].copy_from_slice(piece);
        at += length;
    };
    put(&72_u32.to_ne_bytes(), 4);
    put(&BY_FAMILY.to_ne_bytes(), 2);
    put(&REQUEST.to_ne_bytes(), 2);
    put(&[0; 8], 8);
    put(&[family, TCP, 0, 0], 4);
    // In any state.
    put(&u32::MAX.to_ne_bytes(), 4);
    put(&local.port().to_be_bytes(), 2);
    put(&peer.port().to_be_bytes(), 2);
    for addr in [local, peer] {
        match addr {
            SocketAddr::V4(addr) => put(&addr.ip().octets(), 16),
            SocketAddr::V6(addr) => put(&addr.ip().octets(), 16),
        }
    }
    put(&scope.to_ne_bytes(), 4);
    put(&[0xff; 8], 8);
    bytes
}

/// Reads from an `inet_diag_msg`, after its `nlmsghdr`, the timer that runs, which is 4 for probes of a
/// closed window, and how many of them are unanswered.
fn has_answered_probe(reply: &[u8]) -> bool {
    match reply {
        [_, _, _, _, kind @ ..] if kind.len() >= 16 => {
            kind[..2] == BY_FAMILY.to_ne_bytes() && kind[14] == 4 && kind[15] == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::net;

    use super::*;

    /// A connection, and its peer, which does not read.
    fn pair(addr: &str) -> Option<(TcpStream, net::TcpStream)> {
        let listener = net::TcpListener::bind(addr).ok()?;
        let peer = net::TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        let (socket, _) = listener.accept().expect("a newcomer");
        socket.set_nonblocking(true).expect("a socket");
        SockRef::from(&socket).set_tcp_notsent_lowat(1).expect("a socket");
        Some((TcpStream::from_std(socket), peer))
    }

    fn user_timeout(socket: &TcpStream) -> Option<Duration> {
        SockRef::from(socket).tcp_user_timeout().expect("a socket")
    }

    /// Calls `is_so` until it returns `true`.
    #[expect(
        clippy::disallowed_methods,
        reason = "the system needs time, and does not report when it is over"
    )]
    fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
        let begin = std::time::Instant::now();
        while !is_so() {
            assert!(begin.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Tried with addresses of both families, and with an IPv4 address on an IPv6 socket.
    #[test]
    fn a_peer_that_does_not_read_gets_more_time_until_it_reads() {
        let timeout = Duration::from_secs(20);
        for addr in ["127.0.0.1:0", "[::1]:0", "[::ffff:127.0.0.1]:0"] {
            let Some((mut socket, mut peer)) = pair(addr) else { continue };
            let mut silence = Silence::new(Some(timeout));
            let now = Instant::ORIGIN + Duration::from_secs(100);
            assert!(
                !silence.extend_for_busy_peers(now, Instant::ORIGIN, &[&socket]),
                "{addr}: nothing waits"
            );
            let mut sent = 0;
            wait_until("its window is closed", || {
                loop {
                    match socket.write(&[7; 4096]) {
                        Ok(count) => sent += count,
                        Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
                    }
                }
                silence.extend_for_busy_peers(now, now - Duration::from_secs(7), &[&socket])
                    && !silence.closed.is_empty()
            });
            assert_eq!(user_timeout(&socket), Some(timeout + Duration::from_secs(7)), "{addr}");
            wait_until("it gets still more time", || {
                silence.extend_for_busy_peers(now + Duration::from_secs(10), now, &[&socket]);
                user_timeout(&socket) == Some(timeout + Duration::from_secs(17))
            });
            let mut heard = vec![0; sent];
            peer.read_exact(&mut heard).expect("all of it");
            wait_until("nothing waits", || !silence.extend_for_busy_peers(now, now, &[&socket]));
            assert_eq!((user_timeout(&socket), silence.closed.len()), (Some(timeout), 0), "{addr}");
        }
    }

    #[test]
    fn only_an_answered_probe_of_a_closed_window_counts() {
        let reply = |kind: u16, timer, retries| {
            let mut reply = vec![0_u8; 88];
            reply[4..6].copy_from_slice(&kind.to_ne_bytes());
            (reply[18], reply[19]) = (timer, retries);
            reply
        };
        assert!(has_answered_probe(&reply(BY_FAMILY, 4, 0)));
        for (kind, timer, retries) in [(2, 4, 0), (BY_FAMILY, 1, 0), (BY_FAMILY, 0, 0), (BY_FAMILY, 4, 1)] {
            assert!(!has_answered_probe(&reply(kind, timer, retries)), "{kind} {timer} {retries}");
        }
        assert!(!has_answered_probe(&[]) && !has_answered_probe(&reply(BY_FAMILY, 4, 0)[..19]));
    }
}
