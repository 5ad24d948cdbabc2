//! Entries of a journal: bytes that can be read are the only byte form of their value, and a state that can
//! be read survives being written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taketurns::record::{Change, HostValue, Key, Malformed, MetaValue, RingEntry, SeatValue, State};

fn value(kind: u8, bytes: &[u8]) -> Result<(), Malformed> {
    let again = match kind % 4 {
        0 => MetaValue::decode(bytes)?.encode(),
        1 => RingEntry::decode(bytes)?.encode(),
        2 => SeatValue::decode(bytes)?.encode(),
        _ => HostValue::decode(bytes)?.encode(),
    };
    assert_eq!(again, bytes);
    Ok(())
}

/// Takes the length of a part, and the part.
fn part<'i>(input: &mut &'i [u8]) -> Option<&'i [u8]> {
    let (&len, rest) = input.split_first()?;
    let (part, rest) = rest.split_at_checked(len.into())?;
    *input = rest;
    Some(part)
}

fn state(mut input: &[u8]) {
    let mut entries = Vec::new();
    while let Some(entry) = part(&mut input).zip(part(&mut input)) {
        entries.push(entry);
    }
    for (bytes, _) in &entries {
        if let Ok(key) = Key::from_bytes(bytes) {
            assert_eq!(key.to_string().as_bytes(), *bytes);
        }
    }
    match State::read(entries) {
        Ok(state) => {
            let put = |change| match change {
                Change::Put { key, value } => (key.to_string(), value),
                Change::Delete { key } => panic!("{key} is deleted"),
            };
            let puts: Vec<_> = state.puts().into_iter().map(put).collect();
            assert_eq!(State::read(puts.iter().map(|(key, value)| (key.as_bytes(), &value[..]))), Ok(state));
        }
        Err(damaged) => assert!(damaged.to_string().starts_with("entry ")),
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&kind, bytes)) = input.split_first() else { return };
    let _ = value(kind, bytes);
    state(bytes);
});
