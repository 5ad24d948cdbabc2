//! The server dies under 10,000 clients, and all of them come back.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::program::{self, Clients, Server};
use crate::row::Row;

const CLIENTS: usize = 10_000;
/// How long the server is away, in milliseconds. The clients' pauses have grown differently by then.
const OUTAGES: [u64; 3] = [500, 1000, 2000];
/// Seconds until all are seated again.
const SEATED_MAX: f64 = 5.0;
/// How long to wait for that at all.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn run() -> Result<Vec<Row>> {
    program::ensure_descriptors(CLIENTS)?;
    let mut server = Server::start("127.0.0.1:0", &[])?;
    let (addr, none) = (server.addr, server.descriptors()?);
    let _clients = Clients::start(addr, &["--clients", &CLIENTS.to_string(), "--pace", "100ms"])?;
    server.await_descriptors(none + CLIENTS, PATIENCE)?;
    let mut rows = Vec::new();
    for outage in OUTAGES {
        server.kill()?;
        thread::sleep(Duration::from_millis(outage));
        server = Server::start(&addr.to_string(), &[])?;
        let took = server.await_descriptors(none + CLIENTS, PATIENCE)?;
        await_turn(&server)?;
        let what =
            format!("{CLIENTS} clients after kill -9 and {outage} ms without a server (raw): all seated");
        rows.push(Row::at_most(what, took.as_secs_f64(), SEATED_MAX, "s"));
    }
    Ok(rows)
}

fn await_turn(server: &Server) -> Result<()> {
    let begun = Instant::now();
    while server.accepted() == 0 {
        ensure!(begun.elapsed() < PATIENCE, "no turn for {PATIENCE:?}");
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
