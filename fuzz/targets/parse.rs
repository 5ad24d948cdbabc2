//! Values read from text: a value that was read can be written, and reads the same again. Lines of the turn
//! protocol are left to `turn_text`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taketurns::protocol::dispatch::Command;
use taketurns::session::{Bye, Code, Epoch, Name, RawName, Secret};

fuzz_target!(|bytes: &[u8]| {
    let raw = RawName::from_bytes(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return assert!(raw.is_err()) };
    if let Ok(name) = text.parse::<Name>() {
        assert_eq!(name.as_str(), text);
        assert!(
            raw.is_ok_and(|raw| raw.as_bytes() == bytes),
            "every name of a line client is one of a raw client"
        );
    }
    if let Ok(command) = text.parse::<Command>() {
        assert_eq!(command.as_str(), text);
    }
    if let Ok(secret) = text.parse::<Secret>() {
        assert_eq!(secret.to_string(), text.to_ascii_lowercase());
    }
    if let Ok(epoch) = text.parse::<Epoch>() {
        assert_eq!(epoch.to_string().parse(), Ok(epoch));
    }
    assert!(Code::ALL.iter().filter(|code| code.as_str() == text).count() <= 1);
    if let Ok(bye) = text.parse::<Bye>() {
        assert_eq!(bye.to_string(), text);
    }
});
