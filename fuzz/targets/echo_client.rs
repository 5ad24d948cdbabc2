//! An echo client, and a server that sends anything. `x` sets the message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taketurns::protocol::echo::{EchoClient, EchoClientConfig};
use taketurns_fuzz::session::Session;

fuzz_target!(|script: &[u8]| {
    let say = |session: &mut Session<EchoClient>, text: &[u8]| {
        session.protocol.say(&String::from_utf8_lossy(text));
    };
    let client = EchoClient::new(EchoClientConfig::default());
    Session::client(client).play(script, say, |session| session.events.clear());
});
