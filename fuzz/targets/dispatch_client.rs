//! A dispatch client, and a server that sends anything. The first byte chooses the framing; `x` sends a
//! command.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taketurns::protocol::dispatch::{DispatchClient, Framing};
use taketurns_fuzz::session::Session;

fuzz_target!(|input: &[u8]| {
    let Some((mode, script)) = input.split_first() else { return };
    let framing = if mode & 1 == 0 { Framing::Raw } else { Framing::Line };
    let send = |session: &mut Session<DispatchClient>, text: &[u8]| {
        if let Ok(Ok(command)) = std::str::from_utf8(text).map(str::parse) {
            let _ = session.protocol.send(session.now, command, &mut session.links);
        }
    };
    Session::client(DispatchClient::new(framing)).play(script, send, |session| session.events.clear());
});
