//! A counter client, and a server that sends anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taketurns::protocol::counter::{CounterClient, CounterClientConfig, CounterId};
use taketurns_fuzz::session::{Session, entropy};

fuzz_target!(|script: &[u8]| {
    let config = CounterClientConfig::new(CounterId::new(17).expect("an id"));
    Session::client(CounterClient::new(config, entropy())).play(
        script,
        |_, _| {},
        |session| session.events.clear(),
    );
});
