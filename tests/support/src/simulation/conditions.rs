//! The kind of world that a seed makes. Each world has only some of the faults, because some hide the effects
//! of others.

use crate::ms;
use std::time::Duration;

use taketurns::protocol::turns::{Framing, TurnServerConfig};
use taketurns::turn::{HoldMax, Judging, Weight};

use super::Plan;
use crate::network::World;

/// The faults of a world, apart from those of its clients.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conditions {
    /// The server's process is suspended at times.
    pub(super) stalls: bool,
    /// The server drains or dies, and restarts.
    pub(super) restarts: bool,
    /// The host pauses, skips, extends, names and removes.
    pub(super) host_acts: bool,
    pub(super) hostile: bool,
    pub(super) slow_readers: bool,
    /// Seats have different weights.
    pub(super) weights: bool,
    /// Some seats rest until they ask.
    pub(super) asking: bool,
    /// The server has a store and dies often.
    pub(super) stored: bool,
}

/// Creates the world of `plan`, for about `clients` clients.
pub(super) fn make_world(plan: Plan, clients: usize) -> (World, Conditions) {
    let Plan { seed, stored, wires, .. } = plan;
    let mut rng = fastrand::Rng::with_seed(seed ^ 0xc0de);
    let conditions = Conditions {
        stalls: rng.u8(0..3) == 0,
        restarts: rng.u8(0..3) == 0 || stored,
        host_acts: rng.u8(0..3) == 0,
        hostile: rng.u8(0..3) == 0,
        slow_readers: rng.u8(0..3) == 0,
        weights: rng.u8(0..3) == 0,
        asking: rng.u8(0..2) == 0,
        stored,
    };
    let config = config(&mut rng, conditions, clients);
    // What a server says in a handshake has to fit.
    let least = if wires.is_some() { 4096 } else { 512 };
    let out_bytes_max = if rng.u8(0..4) == 0 { least } else { 64 * 1024 };
    let wire_ping = wires.and_then(|_| (rng.u8(0..3) == 0).then(|| ms(700)));
    let mut world = World::with_driver(config, seed, |driver| {
        (driver.out_bytes_max, driver.wire_ping) = (out_bytes_max, wire_ping);
    });
    if let Some(wires) = wires {
        world.offer(wires);
    }
    world.shuffling = rng.u8(0..4) > 0;
    world.crowded = rng.u8(0..4) == 0;
    if stored {
        world.record(seed);
        world.store_on_disk([ms(1), ms(30), ms(500), ms(5000)][rng.usize(0..4)]);
    }
    (world, conditions)
}

fn config(rng: &mut fastrand::Rng, conditions: Conditions, clients: usize) -> TurnServerConfig {
    let mut config = TurnServerConfig::default();
    config.framing = [None, None, Some(Framing::Line), Some(Framing::Raw)][rng.usize(0..4)];
    // In some worlds there is hardly enough room for all.
    if rng.u8(0..4) == 0 {
        config.max_clients = clients + rng.usize(1..3);
    }
    let rules = &mut config.rules;
    rules.min_seats = rng.usize(1..=3);
    rules.turn_deadline = ms(rng.u64(200..4000));
    rules.seat_grace = ms(rng.u64(500..8000));
    rules.hold_max = match rng.u8(0..3) {
        0 => HoldMax::TurnDeadline,
        1 => HoldMax::Time(rules.turn_deadline * rng.u32(1..4)),
        _ => HoldMax::Unlimited,
    };
    rules.turn_grace = if rng.u8(0..3) == 0 { ms(rng.u64(1..2000)) } else { Duration::ZERO };
    if rng.u8(0..3) == 0 {
        rules.judging = Judging::Host;
        rules.judging_timeout = ms(rng.u64(50..2000));
        rules.proposals_max = rng.u16(1..6);
    }
    if conditions.weights {
        rules.weight_max = Weight::new(12).expect("1 to 100");
    }
    config
}
