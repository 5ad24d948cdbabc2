//! Rounds with many rings: all contenders are ready and play in turns, each as busy as possible.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::contenders::Contender;
use crate::crowd::Crowd;
use crate::lines::{Shape, Speech};
use crate::machine::{self, Placement};
use crate::round::{self, Extent};
use crate::server::Server;

/// Turns per hand-over of the other scenarios, because a burst has to be longer with many rings.
pub const TURNS_FOR_A_HAND_OVER: usize = 40;

/// The results of one contender in one round.
#[derive(Debug, Clone, Copy, Default)]
pub struct Busy {
    pub turns: usize,
    pub took: Duration,
    /// The server's processor time.
    pub cpu: Duration,
    /// That of its busiest thread.
    pub busiest: Duration,
}

/// The results of one contender in all rounds.
pub struct BusySeries {
    pub contender: Contender,
    pub rounds: Vec<Busy>,
}

/// One contender in one round.
struct Player {
    contender: Contender,
    server: Server,
    crowd: Crowd,
    busy: Busy,
}

pub fn play_rounds(
    contenders: &[Contender],
    shape: Shape,
    placement: Placement,
    extent: Extent,
) -> Result<Vec<BusySeries>> {
    let series = |&contender| BusySeries { contender, rounds: Vec::new() };
    let mut all: Vec<BusySeries> = contenders.iter().map(series).collect();
    for round in 0..extent.rounds {
        let played = machine::on_core(placement.clients, || {
            play_round(contenders, shape, placement.servers, extent, round)
        })??;
        all.iter_mut().zip(played).for_each(|(series, busy)| series.rounds.push(busy));
    }
    Ok(all)
}

fn play_round(
    contenders: &[Contender],
    shape: Shape,
    core: usize,
    extent: Extent,
    round: usize,
) -> Result<Vec<Busy>> {
    let mut players = Vec::with_capacity(contenders.len());
    for &contender in contenders {
        players.push(Player::start(contender, shape, core).with_context(|| contender.name())?);
    }
    for burst in 0..extent.bursts {
        for nth in round::order(players.len(), round * extent.bursts + burst) {
            let player = &mut players[nth];
            let played = player.play((extent.burst * TURNS_FOR_A_HAND_OVER).div_ceil(1 + shape.hearers));
            played.with_context(|| format!("{} with {shape}", player.contender.name()))?;
        }
    }
    Ok(players.into_iter().map(|player| player.busy).collect())
}

impl Player {
    fn start(contender: Contender, shape: Shape, core: usize) -> Result<Player> {
        let (rings, size) = (shape.rings.to_string(), shape.size.to_string());
        let hearers = shape.hearers.to_string();
        let args = ["serve", contender.name(), "--rings", &rings, "--clients", &size, "--hearers", &hearers];
        let server = Server::start(core, &args)?;
        let mut crowd = Crowd::join(server.addr, shape, Speech::of(contender))?;
        crowd.play(2 * shape.rings * shape.size)?;
        Ok(Player { contender, server, crowd, busy: Busy::default() })
    }

    fn play(&mut self, turns: usize) -> Result<()> {
        let before = self.server.cpu_by_thread()?;
        let (turns, took) = self.crowd.play(turns)?;
        let used = self
            .server
            .cpu_by_thread()?
            .into_iter()
            .map(|(thread, cpu)| cpu.saturating_sub(before.get(&thread).copied().unwrap_or_default()));
        let used: Vec<Duration> = used.collect();
        self.busy.cpu += used.iter().sum::<Duration>();
        self.busy.busiest += used.iter().max().copied().unwrap_or_default();
        self.busy.turns += turns;
        self.busy.took += took;
        Ok(())
    }
}
