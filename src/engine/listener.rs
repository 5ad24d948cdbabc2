//! Listening sockets, and their pauses when the system has no descriptor left.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::{DriverConfig, Wrap};

pub(crate) struct Listener<L> {
    pub(super) socket: L,
    pub(super) addr: SocketAddr,
    /// Makes the wire of each newcomer, if they are wrapped.
    pub(super) wrap: Option<Wrap>,
    /// Newcomers may be waiting. The event that announced them does not come again.
    pub(crate) ready: bool,
    /// The pause after the last `accept`; zero if it succeeded.
    backoff: Duration,
}

impl<L> Listener<L> {
    pub(super) fn new(socket: L, addr: SocketAddr, wrap: Option<Wrap>) -> Listener<L> {
        Listener { socket, addr, wrap, ready: true, backoff: Duration::ZERO }
    }

    /// Notes that `accept` succeeded.
    pub(super) fn relax(&mut self) {
        self.backoff = Duration::ZERO;
    }

    /// Notes that `accept` failed because the system lacks something, and returns how long to pause.
    pub(super) fn back_off(&mut self, config: &DriverConfig) -> Duration {
        let doubled = self.backoff.saturating_mul(2).max(config.accept_backoff_min);
        self.backoff = doubled.min(config.accept_backoff_max).max(Duration::from_millis(1));
        self.ready = false;
        self.backoff
    }
}

/// The meaning of an error of `accept`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AcceptError {
    /// No newcomer waits.
    Empty,
    /// The newcomer has already left or cannot be reached. The next one may be fine.
    Newcomer,
    /// The system lacks something, such as descriptors or memory, or the error is unknown. Try again later.
    System,
}

impl AcceptError {
    pub(super) fn of(error: &io::Error) -> AcceptError {
        use io::ErrorKind as Kind;
        const EPROTO: i32 = 71;
        match error.kind() {
            Kind::WouldBlock => AcceptError::Empty,
            Kind::Interrupted
            | Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::NetworkDown
            | Kind::NetworkUnreachable
            | Kind::HostUnreachable => AcceptError::Newcomer,
            _ if cfg!(target_os = "linux") && error.raw_os_error() == Some(EPROTO) => AcceptError::Newcomer,
            _ => AcceptError::System,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_back_off_doubles_up_to_its_maximum_and_ends_with_success() {
        let config = DriverConfig::default();
        let mut listener = Listener::new((), ([127, 0, 0, 1], 0).into(), None);
        let pauses: Vec<_> = (0..8).map(|_| listener.back_off(&config).as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 500, 500]);
        listener.relax();
        assert_eq!(listener.back_off(&config).as_millis(), 10);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn errors_of_one_newcomer_are_told_from_the_system_s() {
        let of = |errno| AcceptError::of(&io::Error::from_raw_os_error(errno));
        let (eagain, econnaborted, eproto) = (11, 103, 71);
        let (emfile, enfile, enobufs, enomem) = (24, 23, 105, 12);
        assert_eq!(of(eagain), AcceptError::Empty);
        for errno in [econnaborted, eproto] {
            assert_eq!(of(errno), AcceptError::Newcomer);
        }
        for errno in [emfile, enfile, enobufs, enomem] {
            assert_eq!(of(errno), AcceptError::System);
        }
    }
}
