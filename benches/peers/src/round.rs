//! Rounds of hand-overs: all contenders are ready and play in turns, in short bursts.
//!
//! A disturbance of a second affects all of them, so the ratios within a round mean more than its times. A
//! contender that never rests plays alone, after the others.

use std::iter;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;

use crate::contenders::Contender;
use crate::load::Ring;
use crate::machine::{self, Placement};
use crate::server::Server;

/// The amount of playing.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    pub rounds: usize,
    /// Bursts of each contender per round.
    pub bursts: usize,
    /// Hand-overs per burst.
    pub burst: usize,
}

/// The results of one contender in one round.
pub struct Play {
    /// Times of hand-overs, in ns.
    pub latency: Histogram<u64>,
    /// The server's processor time, without warming up.
    pub cpu: Duration,
}

/// The results of one contender in all rounds.
pub struct Series {
    pub contender: Contender,
    pub plays: Vec<Play>,
}

/// One contender in one round.
struct Player {
    contender: Contender,
    server: Server,
    ring: Ring,
    play: Play,
}

pub fn play_rounds(
    contenders: &[Contender],
    clients: usize,
    placement: Placement,
    extent: Extent,
) -> Result<Vec<Series>> {
    let (alone, together): (Vec<Contender>, Vec<_>) =
        contenders.iter().partition(|contender| contender.plays_alone());
    let sets: Vec<&[Contender]> = iter::once(&together[..]).chain(alone.chunks(1)).collect();
    let series = |&contender| Series { contender, plays: Vec::new() };
    let mut all: Vec<Series> = sets.iter().copied().flatten().map(series).collect();
    for round in 0..extent.rounds {
        let play = |set: &&[Contender]| play_set(set, clients, placement.servers, extent, round);
        let plays =
            machine::on_core(placement.clients, || sets.iter().map(play).collect::<Result<Vec<_>>>())??;
        all.iter_mut().zip(plays.into_iter().flatten()).for_each(|(series, play)| series.plays.push(play));
    }
    Ok(all)
}

/// Plays contenders that are ready at the same time.
fn play_set(
    contenders: &[Contender],
    clients: usize,
    core: usize,
    extent: Extent,
    round: usize,
) -> Result<Vec<Play>> {
    let start =
        |&contender: &Contender| Player::start(contender, clients, core).with_context(|| contender.name());
    let mut players = contenders.iter().map(start).collect::<Result<Vec<_>>>()?;
    for burst in 0..extent.bursts {
        for nth in order(players.len(), round * extent.bursts + burst) {
            let player = &mut players[nth];
            let played = player.play(clients, extent.burst);
            played.with_context(|| format!("{} with {clients} clients", player.contender.name()))?;
        }
    }
    Ok(players.into_iter().map(|player| player.play).collect())
}

/// Returns the order of contenders, which differs between bursts but not between runs. So none always begins,
/// or always finds the caches that the same other has left.
pub fn order(players: usize, burst: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..players).collect();
    fastrand::Rng::with_seed(burst as u64).shuffle(&mut order);
    order
}

impl Player {
    fn start(contender: Contender, clients: usize, core: usize) -> Result<Player> {
        let server = Server::start(core, &["serve", contender.name(), "--clients", &clients.to_string()])?;
        let ring = Ring::join(server.addr, clients, contender.patience())?;
        let latency = Histogram::new_with_bounds(1, 60_000_000_000, 3)?;
        let play = Play { latency, cpu: Duration::ZERO };
        let mut player = Player { contender, server, ring, play };
        player.warm_up(contender.warm_up(clients))?;
        Ok(player)
    }

    fn warm_up(&mut self, hand_overs: usize) -> Result<()> {
        (0..hand_overs).try_for_each(|_| self.ring.hand_over().map(|_| ()))
    }

    fn play(&mut self, clients: usize, burst: usize) -> Result<()> {
        self.warm_up(self.contender.lead_in(clients, burst))?;
        let burst = self.contender.burst(burst);
        let cpu = self.server.cpu()?;
        for _ in 0..burst {
            let took = self.ring.hand_over()?;
            self.play.latency.record(u64::try_from(took.as_nanos())?)?;
        }
        self.play.cpu += self.server.cpu()?.saturating_sub(cpu);
        Ok(())
    }
}
