//! Whole sessions of a dispatch server. The first byte chooses the framing and the policy.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taketurns::protocol::dispatch::{DispatchServer, DispatchServerConfig, Framing, Policy};
use taketurns_fuzz::session::Session;

fuzz_target!(|input: &[u8]| {
    let Some((mode, script)) = input.split_first() else { return };
    let config = DispatchServerConfig {
        framing: if mode & 1 == 0 { Framing::Raw } else { Framing::Line },
        policy: if mode & 2 == 0 { Policy::Next } else { Policy::LeastLoaded },
        max_clients: 6,
        waiting_max: 3,
        undone_max: 3,
        ..DispatchServerConfig::default()
    };
    let check = |session: &mut Session<DispatchServer>| {
        session.events.clear();
        let ranks: Vec<_> = session.protocol.ranks().map(|(rank, _)| rank.0).collect();
        assert!(ranks.len() <= 6 && ranks.windows(2).all(|pair| pair[0] < pair[1]), "ranks {ranks:?}");
    };
    Session::server(DispatchServer::new(config)).play(script, |_, _| {}, check);
});
