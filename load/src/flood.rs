//! Two clients take turns while a thousand others send more than can be read, and others let their turns
//! lapse. The reading of a pass is bounded, and so are the delay of the two clients, the lateness of
//! deadlines, and the server's memory.

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
/// The line that each client repeats; it has no turn to pass.
const SAID: &str = "PASS\n";
const SAID_BYTES: usize = 16 * 1024;
/// Pairs that stay silent.
const SILENT: usize = 4;
const DEADLINE: Duration = Duration::from_millis(500);
/// A pass reads 64 KiB, and as much again that was left over. For refused lines of five bytes that took 18 ms
/// on the machine on which this was set.
const MS_MAX: f64 = 100.0;
const MEMORY_MAX: f64 = 32.0 * MIB;
const MIB: f64 = 1024.0 * 1024.0;

/// On a thread of its own, because a thread can be pinned to a processor, and the next scenario's may not be.
pub fn run() -> Result<Vec<Row>> {
    program::ensure_descriptors(LOUD)?;
    thread::scope(|scope| scope.spawn(measure).join().expect("it does not panic"))
}

fn measure() -> Result<Vec<Row>> {
    let (quiet, loud) = processors::first_and_last()?;
    processors::keep_to(quiet)?;
    let server = Server::start(
        "127.0.0.1:0",
        &["--framing", "line", "--quiet", "--turn-deadline", &format!("{DEADLINE:?}")],
    )?;
    let mut pair = Pair::join(server.addr, "quiet")?;
    let silent = pair.play(TIME)?;
    let before = server.memory()?;
    let (addr, over) = (server.addr, AtomicBool::new(false));
    let (beside, late, lines) = thread::scope(|scope| {
        let flood = scope.spawn(|| flood(addr, loud, &over));
        let lapses: Vec<_> = (0..SILENT).map(|nth| scope.spawn(move || lapse(addr, nth))).collect();
        let times = pair.play(TIME);
        let late: Result<Vec<_>> =
            lapses.into_iter().map(|lapse| lapse.join().expect("a silent pair does not panic")).collect();
        over.store(true, Ordering::Relaxed);
        let lines = flood.join().expect("the flood does not panic");
        anyhow::Ok((times?, late?, lines?))
    })?;
    let late = late.into_iter().max().unwrap_or_default();
    let grown = server.memory()? - before;
    let what = format!(
        "quiet clients (line) beside {LOUD} that say {} KiB again and again ({lines} lines refused): longest hand-over. p50 and p99 in \
         silence {silent}, beside them {beside}",
        SAID_BYTES / 1024
    );
    Ok(vec![
        Row::at_most(what, beside.longest / 1e3, MS_MAX, "ms"),
        Row::at_most(
            format!(
                "{SILENT} pairs in rings of their own that say nothing, beside them: how late a turn of {DEADLINE:?} lapsed at most"
            ),
            late.as_secs_f64() * 1e3,
            MS_MAX,
            "ms",
        ),
        Row::at_most(
            "the server's memory after that, beyond what it was before",
            grown / MIB,
            MEMORY_MAX / MIB,
            "MiB",
        ),
    ])
}

/// Returns the greatest lateness with which the server noticed.
fn lapse(server: SocketAddr, nth: usize) -> Result<Duration> {
    // Not all at the same time.
    thread::sleep(DEADLINE / SILENT as u32 * nth as u32);
    Pair::join(server, &format!("silent{nth}"))?.lapse(DEADLINE, TIME)
}

/// Floods until it is over. Returns how many lines were refused.
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
