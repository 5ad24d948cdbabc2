//! The bytes of a turn: in the raw framing only the two of `GO`, and nothing to other clients.

use std::io;

use taketurns::protocol::turns::Framing;

use super::figure::Figure;
use super::process::Server;
use super::rings::Rings;
use super::serve::Setting;

const TURNS: usize = 1_000;
const SETTING: Setting = Setting::one_ring(Framing::Raw, 4);

pub fn count() -> io::Result<Vec<Figure>> {
    let mut server = Server::start(SETTING)?;
    let mut rings = Rings::seat(server.addr, SETTING)?;
    let others = rings.play(TURNS)? + rings.unread()?;
    server.end(&mut rings)?;
    Ok(vec![Figure {
        what: format!("bytes that are no GO, raw, {TURNS} turns"),
        measured: others as f64,
        allowed: 0.0,
        advice: "a waiting client is told something: see src/protocol/turns/raw.rs".to_owned(),
    }])
}
