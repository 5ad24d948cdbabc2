//! Whole sessions of a turn server, in the raw framing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taketurns::protocol::turns::Framing;

fuzz_target!(|script: &[u8]| taketurns_fuzz::turns::play(Framing::Raw, script));
