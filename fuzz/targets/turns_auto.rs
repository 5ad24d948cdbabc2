//! Whole sessions of a turn server and its host, with old and new clients at one address. The first byte
//! chooses the rules.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| taketurns_fuzz::turns::play(None, input));
