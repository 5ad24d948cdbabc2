//! What kind of world a seed makes. Each has some of the faults and not others, since some hide what others would show.

use std::time::Duration;

use taketurns::protocol::turns::{Framing, TurnServerConfig};

use super::super::world::{OUT_BYTES_MAX, World, ms};

/// What may go wrong in a world, beside what its clients do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Faults {
    /// The server's process stands still for a while.
    pub(super) stalls: bool,
    /// The server drains or dies, and starts again.
    pub(super) restarts: bool,
    pub(super) kicks: bool,
    pub(super) intruders: bool,
    pub(super) slow_readers: bool,
}

/// The world of `seed`, for about so many clients.
pub(super) fn make_world(seed: u64, framing: Framing, clients: usize) -> (World, Faults) {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0xc0de);
    let faults = Faults {
        stalls: rng.u8(0..3) == 0,
        restarts: rng.u8(0..3) == 0,
        kicks: rng.u8(0..3) == 0,
        intruders: rng.u8(0..3) == 0,
        slow_readers: rng.u8(0..3) == 0,
    };
    let config = config(&mut rng, framing, clients);
    let out_bytes_max = if rng.u8(0..4) == 0 { 512 } else { OUT_BYTES_MAX };
    let mut world = World::with_out_bytes_max(config, seed, out_bytes_max);
    world.shuffling = rng.u8(0..4) > 0;
    world.merging = rng.bool();
    world.chunking = framing == Framing::Line && rng.u8(0..4) > 0;
    world.latency = match rng.u8(0..4) {
        0 | 1 => Duration::ZERO,
        2 => ms(rng.u64(1..50)),
        _ => ms(rng.u64(50..800)),
    };
    (world, faults)
}

fn config(rng: &mut fastrand::Rng, framing: Framing, clients: usize) -> TurnServerConfig {
    let usual = TurnServerConfig::default();
    TurnServerConfig {
        framing,
        min_clients: rng.usize(1..=3),
        turn_deadline: ms(rng.u64(200..4000)),
        seat_grace: ms(rng.u64(500..8000)),
        // In some worlds there is hardly room for everybody.
        max_clients: if rng.u8(0..4) == 0 { clients + rng.usize(1..3) } else { usual.max_clients },
        max_rings: if rng.u8(0..4) == 0 { rng.usize(2..4) } else { usual.max_rings },
        ..usual
    }
}

/// What happens to a server's process, if anything: sometimes it stands still for longer than a turn lasts.
pub(super) fn stall(world: &mut World, faults: Faults) -> Option<Duration> {
    let most = u64::try_from(world.config().turn_deadline.as_millis()).expect("small");
    (faults.stalls && world.rng.u8(0..40) == 0).then(|| ms(world.rng.u64(1..3 * most)))
}

/// Whether vacant seats may have to make room for others before their time.
pub(super) fn is_crowded(world: &World) -> bool {
    let usual = TurnServerConfig::default();
    world.config().max_clients < usual.max_clients || world.config().max_rings < usual.max_rings
}

/// What the host finds in order after every pass.
pub(super) fn check_limits(world: &World) {
    let config = world.config();
    let (clients, seats) = (world.server().clients(), world.server().scheduler().seats());
    assert!(clients <= config.max_clients, "S4: {clients} clients");
    assert!(seats <= 2 * config.max_clients, "S4: {seats} seats");
    assert!(world.server().scheduler().rings().count() <= config.max_rings, "S4: too many rings");
    world.check_connections();
}
