//! Two clients take turns while a thousand others say more than can be heard. What a pass reads is bounded, and so is how long it keeps
//! the two waiting, and what it has to remember.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::crowd::Crowd;
use crate::pair::Pair;
use crate::processors;
use crate::program::{self, Server};
use crate::row::Row;

const LOUD: usize = 1000;
const TIME: Duration = Duration::from_secs(5);
/// What each says at once: lines of a client that has no turn to pass.
const SAID: &str = "PASS\n";
const SAID_BYTES: usize = 16 * 1024;
const MS_MAX: f64 = 250.0;
const MEMORY_MAX: f64 = 32.0 * MIB;
const MIB: f64 = 1024.0 * 1024.0;

/// In a thread of its own, since a thread can be kept to a processor and the next scenario's need not be.
pub fn run() -> Result<Vec<Row>> {
    program::ensure_descriptors(LOUD)?;
    thread::scope(|scope| scope.spawn(measure).join().expect("it does not panic"))
}

fn measure() -> Result<Vec<Row>> {
    let (quiet, loud) = processors::first_and_last()?;
    processors::keep_to(quiet)?;
    let server = Server::start("127.0.0.1:0", &["--framing", "line", "--quiet"])?;
    let mut pair = Pair::join(server.addr)?;
    let silent = pair.play(TIME)?;
    let before = server.memory()?;
    let over = AtomicBool::new(false);
    let (beside, lines) = thread::scope(|scope| {
        let flood = scope.spawn(|| flood(server.addr, loud, &over));
        let times = pair.play(TIME);
        over.store(true, Ordering::Relaxed);
        let lines = flood.join().expect("the flood does not panic");
        times.and_then(|times| Ok((times, lines?)))
    })?;
    let grown = server.memory()? - before;
    let what = format!(
        "quiet clients (line) beside {LOUD} that say {} KiB again and again ({lines} lines refused): longest hand-over. p50 and p99 in \
         silence {silent}, beside them {beside}",
        SAID_BYTES / 1024
    );
    Ok(vec![
        Row::at_most(what, beside.longest / 1e3, MS_MAX, "ms"),
        Row::at_most(
            "the server's memory after that, beyond what it was before",
            grown / MIB,
            MEMORY_MAX / MIB,
            "MiB",
        ),
    ])
}

/// Until it is over; how many lines were refused.
fn flood(server: SocketAddr, processor: usize, over: &AtomicBool) -> Result<usize> {
    processors::give_way()?;
    processors::keep_to(processor)?;
    let mut crowd = Crowd::new(LOUD)?;
    for nth in 0..LOUD {
        crowd.connect(nth, server)?;
        crowd.say(nth, &format!("JOIN loud{nth} ring=loud\n"));
    }
    let (said, mut refused) = (SAID.repeat(SAID_BYTES / SAID.len()), 0);
    while !over.load(Ordering::Relaxed) {
        for nth in 0..LOUD {
            crowd.say(nth, &said);
        }
        for heard in crowd.pass(Duration::ZERO)? {
            refused += heard.bytes.windows(3).filter(|bytes| bytes == b"NO ").count();
        }
    }
    Ok(refused)
}
