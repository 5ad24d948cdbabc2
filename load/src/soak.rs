//! Clients come, answer, leave and crash for minutes. What the server keeps when all are gone must not grow
//! meanwhile.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use fastrand::Rng;

use crate::crowd::Crowd;
use crate::player::{Did, Player};
use crate::program::Server;
use crate::row::Row;

const CLIENTS: usize = 200;
/// How much of the time is warm-up: tables grow to what they need.
const WARM_UP: f64 = 0.3;
/// Rests in which is measured, the one behind the warm-up included.
const RESTS: u32 = 5;
/// How long seats are kept: a rest has to be longer.
const GRACE: Duration = Duration::from_secs(1);
/// So that the clients do not take a processor for themselves.
const PACE: Duration = Duration::from_millis(5);
/// Memory that may be added after the warm-up.
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
    // That all leave at once is new, too.
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
    /// Of the server, before the first client.
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

    /// All leave; what the server's memory is when it has forgotten them.
    fn rest(&mut self) -> Result<f64> {
        for nth in 0..CLIENTS {
            self.crowd.close(nth);
        }
        self.server.await_descriptors(self.descriptors, PATIENCE)?;
        thread::sleep(GRACE + Duration::from_secs(1));
        self.server.memory()
    }
}
