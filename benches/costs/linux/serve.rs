//! The measured server, and the choice of its clients.
//!
//! It is started as a process in `process.rs`.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use taketurns::net::{Error, Event, EventLoop, os_entropy};
use taketurns::protocol::turns::{Framing, TurnEvent, TurnServer, TurnServerConfig};

use super::wire::{self, Wire};

/// The clients of a server.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub wire: Wire,
    pub framing: Framing,
    pub rings: usize,
    /// Seats per ring, which starts when all of them are taken.
    pub seats: usize,
    /// Whether line clients have their answers confirmed by `GO`.
    pub confirm_go: bool,
    /// Connections that hear the first ring.
    pub hearers: usize,
    /// Bytes of the payload that an answer is; `None` for an answer on its line.
    pub payload: Option<usize>,
}

impl Setting {
    pub const fn one_ring(framing: Framing, seats: usize) -> Setting {
        Setting { wire: Wire::Plain, framing, rings: 1, seats, confirm_go: false, hearers: 0, payload: None }
    }

    /// Returns the arguments of `costs serve`.
    pub fn to_args(self) -> [String; 3] {
        [self.framing.to_string(), self.seats.to_string(), self.wire.to_string()]
    }
}

/// `costs serve FRAMING SEATS WIRE`: prints its address and serves until the first seat is left.
///
/// All other clients are still connected then, so the cost of the end is always the same.
pub fn serve(args: &[String]) -> Result<(), Error> {
    let [framing, seats, wire] = args else { panic!("serve takes a framing, the number of seats, a wire") };
    raise_descriptors();
    // With huge pages, an allocation of some bytes may look like one of 2 MiB.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let mut config = TurnServerConfig::default();
    config.framing = Some(framing.parse().expect("a framing"));
    config.rules.min_seats = seats.parse().expect("a number of seats");
    // The number of signals held back in the first lap depends on the machine's speed, and must not show.
    config.signal_gap = Duration::ZERO;
    let server = TurnServer::new(config, os_entropy()).expect("the limits fit each other");
    let mut event_loop = EventLoop::new(server)?;
    let wire = wire.parse().expect("a wire");
    println!("{}", wire::server::listen(event_loop.driver_mut(), wire)?);
    let handle = event_loop.handle();
    event_loop.run(|_, event| {
        if matches!(event, Event::Protocol(TurnEvent::Away { .. } | TurnEvent::Retired { .. })) {
            handle.stop();
        }
    })
}

/// Raises the limit of file descriptors as far as the system allows. Returns the new limit.
pub fn raise_descriptors() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Valgrind reserves some and refuses. The rest is enough for anything that is counted with it.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let current = getrlimit(Resource::Nofile).current;
    current.and_then(|current| usize::try_from(current).ok()).unwrap_or(usize::MAX)
}
