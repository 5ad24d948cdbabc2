//! Raw clients that answer every `GO` never let a turn lapse, whatever the host and the network do (T4, T5,
//! M3, M16, M17).

use support::network::{Peer, World};
use support::{ms, secs};
use taketurns::protocol::turns::{Framing, Verdict};
use taketurns::turn::Judging;

use super::start::config;

/// Plays one history. If every client of a ring answers `GO` at once, a turn can only lapse if its holder was
/// not told.
fn history(framing: Option<Framing>, seed: u64) -> (u64, u64) {
    let mut config = config(framing);
    let mut dice = fastrand::Rng::with_seed(seed);
    let rules = &mut config.rules;
    rules.min_seats = dice.usize(1..4);
    rules.turn_deadline = secs(20);
    rules.turn_grace = secs(dice.u64(0..3));
    rules.judging = if dice.bool() { Judging::Host } else { Judging::Automatic };
    rules.judging_timeout = secs(60);
    let mut world = World::new(config, seed);
    (world.shuffling, world.crowded) = (true, dice.bool());
    let mut peers: Vec<Peer> = Vec::new();
    for step in 0..150 {
        if peers.len() < 4 && world.rng.u8(0..3) == 0 {
            let host = world.rng.u8(1..3);
            world.next_address = Some([192, 0, 2, host].into());
            peers.push(world.connect_old_quietly("a", step, 1));
        }
        if peers.len() > 1 && world.rng.u8(0..8) == 0 {
            let at = world.rng.usize(0..peers.len());
            world.reset_quietly(peers.remove(at));
        }
        if !world.proposals.is_empty() && world.rng.bool() {
            let verdict = match world.rng.u8(0..4) {
                0 => Verdict::Refuse { words: "no" },
                _ => Verdict::ACCEPT,
            };
            let _ = world.try_rule_quietly(verdict);
        }
        let toss = world.rng.u8(0..20);
        world.act_quietly(|server, now, links| {
            let Some(ring) = server.scheduler().rings().next() else { return };
            match toss {
                0 => _ = server.pause(now, ring, links),
                1..=3 => _ = server.resume(now, ring, links),
                4 => _ = server.skip(now, ring, links),
                _ => {}
            }
        });
        let pause = world.rng.u64(0..1_500);
        world.drive_for(ms(pause));
        peers.retain(|&peer| world.is_open(peer));
    }
    let counts = world.server().counts();
    (counts.accepted, counts.lapsed)
}

#[test]
fn raw_clients_that_answer_are_told_of_every_turn() {
    for framing in [Some(Framing::Raw), None] {
        let mut total = 0;
        for seed in 0..150 {
            let (accepted, lapsed) = history(framing, seed);
            total += accepted;
            assert_eq!(lapsed, 0, "{framing:?}, seed {seed}: of {accepted} turns");
        }
        assert!(total > 1_000, "{total} turns");
    }
}
