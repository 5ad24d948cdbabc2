//! Whole sessions of a counter server.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taketurns::protocol::counter::{CounterId, CounterServer, CounterServerConfig};
use taketurns_fuzz::session::{Session, entropy};

fuzz_target!(|script: &[u8]| {
    let config = CounterServerConfig { max_clients: 6, ..CounterServerConfig::default() };
    let check = |session: &mut Session<CounterServer>| {
        session.events.clear();
        assert!(session.protocol.records().all(|(id, _)| id.get() <= CounterId::MAX));
    };
    Session::server(CounterServer::new(config, entropy())).play(script, |_, _| {}, check);
});
