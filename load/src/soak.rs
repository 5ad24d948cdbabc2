//! Clients come, answer, leave and crash for minutes. The memory that the server keeps without clients must
//! not grow.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use fastrand::Rng;

use crate::crowd::Crowd;
use crate::player::{Did, Player};
use crate::program::Server;
use crate::row::Row;

const CLIENTS: usize = 200;
/// The part of the time for warming up, in which tables grow to their size.
const WARM_UP: f64 = 0.3;
/// The number of rests in which memory is measured, including the one after warming up.
const RESTS: u32 = 5;
/// How long seats are kept. A rest has to be longer.
const GRACE: Duration = Duration::from_secs(1);
/// Keeps the clients from using up a processor.
const PACE: Duration = Duration::from_millis(5);
/// The most memory that may be added after warming up.
const GROWTH_MAX: f64 = 64.0 * 1024.0;
const PATIENCE: Duration = Duration::from_secs(20);

pub fn run(minutes: f64, seed: u64) -> Result<Vec<Row>> {
    let grace = format!("{}ms", GRACE.as_millis());
    let args = [
        "--framing",
        "line",
        "--turn-deadline",
        "300ms",
        "--hold-max",
        "1s",
        "--seat-grace",
        &grace,
        "--weight-max",
        "3",
    ];
    let server = Server::start_without_cache("127.0.0.1:0", &args)?;
    let mut soak = Soak::new(&server, seed)?;
    let time = Duration::from_secs_f64(minutes * 60.0);
    soak.play(time.mul_f64(WARM_UP / 2.0))?;
    // The first time that all clients leave at once is part of the warm-up.
    soak.rest()?;
    soak.play(time.mul_f64(WARM_UP / 2.0))?;
    let (warm, mut most) = (soak.rest()?, 0.0_f64);
    for _ in 1..RESTS {
        soak.play(time.mul_f64(1.0 - WARM_UP) / (RESTS - 1))?;
        most = most.max(soak.rest()?);
    }
    let did = &soak.did;
    let unprinted = did.confirmed.saturating_sub(server.accepted());
    let memory = format!(
        "soak: RssAnon without clients, the most of {} times ({:.0} KiB after warm-up)",
        RESTS - 1,
        warm / 1024.0
    );
    Ok(vec![
        Row::exactly(
            format!("soak, {minutes} min (line; seed {seed}): {did}. Confirmed, and not printed"),
            unprinted as usize,
            0,
        ),
        Row::exactly(
            "soak: descriptors without clients, more than at first",
            server.descriptors()? - soak.descriptors,
            0,
        ),
        Row::at_most(memory, most / 1024.0, (warm + GROWTH_MAX) / 1024.0, "KiB"),
    ])
}

struct Soak<'a> {
    server: &'a Server,
    /// The server's descriptors before the first client.
    descriptors: usize,
    crowd: Crowd,
    players: Vec<Player>,
    did: Did,
    chance: Rng,
}

impl Soak<'_> {
    fn new(server: &Server, seed: u64) -> Result<Soak<'_>> {
        Ok(Soak {
            server,
            descriptors: server.descriptors()?,
            crowd: Crowd::new(CLIENTS)?,
            players: (0..CLIENTS).map(Player::new).collect(),
            did: Did::default(),
            chance: Rng::with_seed(seed),
        })
    }

    fn play(&mut self, time: Duration) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            thread::sleep(PACE);
            let Soak { server, crowd, players, did, chance, .. } = self;
            for heard in crowd.pass(Duration::ZERO)? {
                players[heard.nth].hear(&heard, crowd, did, chance);
            }
            for player in players {
                player.come_and_go(server.addr, crowd, did, chance)?;
            }
        }
        Ok(())
    }

    /// Lets all clients leave. Returns the server's memory after it has forgotten them.
    fn rest(&mut self) -> Result<f64> {
        for nth in 0..CLIENTS {
            self.crowd.close(nth);
        }
        self.server.await_descriptors(self.descriptors, PATIENCE)?;
        thread::sleep(GRACE + Duration::from_secs(1));
        self.server.memory()
    }
}
