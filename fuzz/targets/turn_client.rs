//! Turn clients, and a server that says whatever it likes. The first byte says in which framing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taketurns::protocol::turns::{Framing, TurnClient, TurnClientConfig};
use taketurns_fuzz::session::Session;

fuzz_target!(|input: &[u8]| {
    let Some((mode, script)) = input.split_first() else { return };
    let framing = if mode & 1 == 0 { Framing::Raw } else { Framing::Line };
    let mut client = TurnClient::new(TurnClientConfig { framing, ..TurnClientConfig::default() });
    for (name, start) in [("ann", 1), ("bob", i64::MAX - 3)] {
        client.add(name.parse().expect("a name"), start, 2);
    }
    Session::client(client).play(script, |_, _| {}, |session| session.events.clear());
});
