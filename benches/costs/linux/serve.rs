//! The server that is measured, and the choice of its clients.
//!
//! Starting it as a process is in `process.rs`.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use taketurns::net::{Error, Event, EventLoop, os_entropy};
use taketurns::protocol::turns::{Framing, TurnServer, TurnServerConfig};

/// The clients.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub framing: Framing,
    pub rings: usize,
    /// In each ring, which starts when all of them are taken.
    pub seats: usize,
}

impl Setting {
    pub const fn one_ring(framing: Framing, seats: usize) -> Setting {
        Setting { framing, rings: 1, seats }
    }

    /// As the arguments of `costs serve`.
    pub fn to_args(self) -> [String; 2] {
        [self.framing.to_string(), self.seats.to_string()]
    }
}

/// `costs serve FRAMING SEATS`: prints its address, and serves until the first client leaves.
///
/// All others are still there then, so that what the end costs is always the same.
pub fn serve(args: &[String]) -> Result<(), Error> {
    let [framing, seats] = args else { panic!("serve takes a framing and the number of seats") };
    raise_descriptors();
    // With them an allocation of some bytes may be seen as one of 2 MiB.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let mut config = TurnServerConfig::default();
    config.framing = Some(framing.parse().expect("a framing"));
    config.rules.min_seats = seats.parse().expect("a number of seats");
    // How many of the first lap's signals are held back depends on how quick the machine is, and must not
    // show.
    config.signal_gap = Duration::ZERO;
    let server = TurnServer::new(config, os_entropy()).expect("the limits fit each other");
    let mut event_loop = EventLoop::new(server)?;
    println!("{}", event_loop.driver_mut().listen(([127, 0, 0, 1], 0).into())?);
    let handle = event_loop.handle();
    event_loop.run(|_, event| {
        if matches!(event, Event::Closed { .. }) {
            handle.stop();
        }
    })
}

/// Raises the limit of file descriptors as far as the system lets this process, and says what it is.
pub fn raise_descriptors() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Valgrind has some for itself and refuses: then there are enough for what is counted with it.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let current = getrlimit(Resource::Nofile).current;
    current.and_then(|current| usize::try_from(current).ok()).unwrap_or(usize::MAX)
}
