//! The scheduler, step by step, in worlds too large to be explored: each byte chooses among the possible
//! steps, and the judge of `model/` watches. The first byte makes the world.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use model::futures::{nothing_remains, passes_go_round, silence_is_survived};
use model::laws::Laws;
use model::world::World;
use taketurns::turn::Demand;

fn laws(seed: u8) -> Laws {
    Laws {
        name: "large",
        min_seats: usize::from(seed % 4) + 1,
        max_seats: 6,
        max_rings: 3,
        deadline: 3,
        hold_max: (seed & 128 == 0).then_some(4),
        turn_grace: if seed & 4 == 0 { 0 } else { 2 },
        seat_grace: 7,
        judging: if seed & 8 == 0 { 0 } else { 2 },
        proposals: 3,
        weights: if seed & 16 == 0 { &[1] } else { &[1, 3, 100] },
        demands: if seed & 32 == 0 { &[Demand::Always] } else { &[Demand::Always, Demand::Ask] },
        tells: seed & 64 != 0,
        hosts: true,
        connections: u32::MAX,
        ticks: u32::MAX,
        turns: u64::MAX,
        restarts: 0,
        return_time: 1,
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&seed, choices)) = input.split_first() else { return };
    let mut world = World::new(Arc::new(laws(seed)));
    let mut actions = Vec::new();
    for &choice in choices.iter().take(200) {
        actions.clear();
        world.possible(&mut actions);
        let action = actions[usize::from(choice) % actions.len()];
        world.step(action).unwrap_or_else(|broken| panic!("{action:?}: {broken:?}"));
    }
    for future in [silence_is_survived, passes_go_round, nothing_remains] {
        assert_eq!(future(&world), Ok(true), "in the end");
    }
});
