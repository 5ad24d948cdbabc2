//! The scheduler, step by step, in worlds too large to be played out: each byte chooses among what can happen, and the judge of
//! `model/` watches. The first byte makes the world.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use model::futures::{answers_go_round, nothing_remains, silence_is_survived};
use model::laws::Laws;
use model::world::World;

fn laws(seed: u8) -> Laws {
    Laws {
        name: "large",
        min_seats: usize::from(seed % 4) + 1,
        max_seats: 6,
        max_rings: 3,
        deadline: 3,
        grace: 7,
        weights: if seed & 16 == 0 { &[1] } else { &[1, 3, 100] },
        holds_back: seed & 32 != 0,
        connections: u32::MAX,
        ticks: u32::MAX,
        turns: u64::MAX,
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
    for future in [silence_is_survived, answers_go_round, nothing_remains] {
        assert_eq!(future(&world), Ok(true), "in the end");
    }
});
