//! Whole sessions of an echo server. The first byte decides whether connections stay open.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taketurns::protocol::echo::{EchoServer, EchoServerConfig};
use taketurns_fuzz::session::Session;

fuzz_target!(|input: &[u8]| {
    let Some((mode, script)) = input.split_first() else { return };
    let defaults = EchoServerConfig::default();
    let config = EchoServerConfig {
        keep_open: mode % 2 == 1,
        message_bytes_max: 64,
        whole_bytes_max: 256,
        max_clients: 6,
        ..defaults
    };
    let server = EchoServer::new(config, Box::new(|_| "2026-11-21 18:09:31".to_owned()));
    Session::server(server).play(script, |_, _| {}, |session| session.events.clear());
});
