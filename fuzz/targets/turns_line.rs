//! Whole sessions of a turn server and its host, in the line framing. The first byte chooses the rules.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taketurns::protocol::turns::Framing;

fuzz_target!(|input: &[u8]| taketurns_fuzz::turns::play(Some(Framing::Line), input));
