//! Random worlds of the turn protocol, each replayed by its seed; `tests/support/src/simulation/mod.rs` says
//! what must hold in them.
//!
//! `cargo run --release -p simulation` plays more of them, and traces one.

use support::simulation::{Plan, check};

const PLAIN: Plan = Plan { seed: 0, steps: 300, stored: false, wires: None };

/// Plays worlds until one breaks a promise.
fn play(seeds: impl Iterator<Item = u64>, plan: Plan) {
    for seed in seeds {
        if let Err(violation) = check(Plan { seed, ..plan }) {
            panic!("{violation}");
        }
    }
}

/// Raw clients, line clients, and both in the same rings; hosts that judge; hostile peers.
#[test]
fn random_worlds_keep_every_promise() {
    play(0..250, PLAIN);
}

/// The same with a store, and a server that dies at any moment, judged over all its lives.
#[test]
fn random_worlds_with_a_store_keep_every_promise() {
    play(0..60, Plan { stored: true, ..PLAIN });
}

/// The same with clients that come over WebSocket, too. `cargo run -p simulation` has those with TLS.
#[cfg(feature = "web-socket")]
#[test]
fn random_worlds_with_web_sockets_keep_every_promise() {
    use std::sync::Arc;
    use taketurns::web_socket::WebSocket;

    let web = || -> taketurns::engine::Wrap { Box::new(|| Box::new(WebSocket::new(Arc::default()))) };
    let wires = Some(support::wire::Wires { web, tls: None });
    play(0..60, Plan { wires, ..PLAIN });
}

/// A seed determines everything: the same seed gives the same bytes, and another one gives others.
#[test]
fn a_seed_replays_exactly() {
    for seed in 0..16 {
        let play = |seed| check(Plan { seed, steps: 200, stored: seed % 2 == 1, ..PLAIN });
        let [first, second] = [(); 2].map(|()| play(seed).expect("no promise is broken"));
        assert_eq!(first, second, "seed {seed}");
        let other = play(seed + 2).expect("no promise is broken");
        assert_ne!(first.hash, other.hash, "seed {seed}");
    }
}
