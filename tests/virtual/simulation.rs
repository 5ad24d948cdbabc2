//! Random worlds of the turn protocol, each replayed by its seed; see `tests/support/src/simulation/mod.rs`
//! for what must hold in them.
//!
//! `cargo run --release -p simulation` plays more of them, and traces one.

use support::simulation::check;

/// Plays worlds until one breaks a promise.
fn play(seeds: impl Iterator<Item = u64>, steps: usize) {
    for seed in seeds {
        if let Err(violation) = check(seed, steps) {
            panic!("{violation}");
        }
    }
}

/// Raw clients, clients of the line protocol, and both in the same rings; hosts that judge; peers that mean
/// no good.
#[test]
fn random_worlds_keep_every_promise() {
    play(0..400, 300);
}

/// A seed says everything: the same one goes the same way, to the last byte, and another one goes another
/// way.
#[test]
fn a_seed_replays_exactly() {
    for seed in 0..40 {
        let [first, second] = [(); 2].map(|()| check(seed, 200).expect("no promise is broken"));
        assert_eq!(first, second, "seed {seed}");
        let other = check(seed + 2, 200).expect("no promise is broken");
        assert_ne!(first.hash, other.hash, "seed {seed}");
    }
}
