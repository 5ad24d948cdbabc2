//! Everything that is read from text: what is read can be written, and reads the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taketurns::protocol::dispatch::Command;
use taketurns::protocol::turns::{Answer, Name, Reply, Request};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(answer) = Answer::from_bytes(bytes) {
        assert_eq!(Answer::from_bytes(answer.to_string().as_bytes()), Ok(answer));
        assert!(Answer::is_complete(bytes));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Request::turn_meant(text);
    if let Ok(request) = Request::parse(text) {
        let written = request.to_string();
        let again = Request::parse(&written).expect("what is written can be read");
        assert_eq!(again.to_string(), written);
    }
    if let Some(reply) = Reply::parse(text) {
        let written = reply.to_string();
        let again = Reply::parse(&written).expect("what is written can be read");
        assert_eq!(again.to_string(), written);
    }
    if let Ok(name) = text.parse::<Name>() {
        assert_eq!(name.as_str(), text);
    }
    if let Ok(command) = text.parse::<Command>() {
        assert_eq!(command.as_str(), text);
    }
});
