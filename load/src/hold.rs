//! As many clients in one ring as a process can have: all are told to wait, and the turn goes round among
//! them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::crowd::Crowd;
use crate::program::{self, Server};
use crate::row::Row;

const LAPS: usize = 3;
/// The most clients that connect before the earlier ones have been told to wait: fewer than any listener's
/// queue holds.
const UNTOLD_MAX: usize = 100;
const PATIENCE: Duration = Duration::from_secs(10);

/// The server's memory per waiting client, in bytes.
const BYTES_MAX: f64 = 250.0;
/// The longest lap of 1,000 clients, in seconds, with everything on two busy processors.
const LAP_MAX: f64 = 0.2;

pub fn run() -> Result<Vec<Row>> {
    let mut rows = hold(10_000)?;
    rows.extend(hold(19_000)?);
    Ok(rows)
}

fn hold(clients: usize) -> Result<Vec<Row>> {
    program::ensure_descriptors(clients)?;
    let count = clients.to_string();
    let server = start(&count)?;
    let before = server.memory()?;
    let (mut crowd, first) = seat(server.addr, clients)?;
    let bytes = (server.memory()? - before) / clients as f64;
    let begun = Instant::now();
    let turns = play(&mut crowd, first, clients)?;
    let lap = begun.elapsed().as_secs_f64() / LAPS as f64;
    Ok(vec![
        Row::exactly(
            format!("{clients} connect (raw): told WAIT, and still there at the end"),
            crowd.connected(),
            clients,
        ),
        Row::exactly(format!("{clients}: turns in {LAPS} laps, in ring order"), turns, LAPS * clients),
        Row::at_most(format!("{clients}: a lap"), lap, LAP_MAX * clients as f64 / 1e3, "s"),
        Row::at_most(format!("{clients}: RssAnon a connection"), bytes, BYTES_MAX, "bytes"),
    ])
}

fn start(clients: &str) -> Result<Server> {
    let args = ["--framing", "raw", "--clients", clients, "--max-clients", clients, "--quiet"];
    Server::start("127.0.0.1:0", &args)
}

/// Connects all clients, which are told to wait. Returns the first holder.
fn seat(server: SocketAddr, clients: usize) -> Result<(Crowd, usize)> {
    let mut crowd = Crowd::new(clients)?;
    let (mut connected, mut told, mut first) = (0, 0, None);
    while told < clients || first.is_none() {
        while connected < clients && connected < told + UNTOLD_MAX {
            crowd.connect(connected, server)?;
            connected += 1;
        }
        let all = crowd.pass(PATIENCE)?;
        ensure!(!all.is_empty(), "heard nothing for {PATIENCE:?}: {told} of {connected} told to wait");
        for heard in all {
            ensure!(!heard.ended, "the server closed client {} of {connected}", heard.nth);
            told += usize::from(heard.bytes.starts_with(b"WAIT"));
            first = first.or(heard.bytes.ends_with(b"GO").then_some(heard.nth));
        }
    }
    Ok((crowd, first.expect("it was waited for")))
}

/// Lets each holder answer at once, for some laps. Returns the number of turns. The last turn is not
/// answered.
fn play(crowd: &mut Crowd, first: usize, clients: usize) -> Result<usize> {
    let (mut holder, mut turns) = (first, 0);
    while turns < LAPS * clients {
        crowd.say(holder, &format!("c{holder}:{turns}"));
        turns += 1;
        let next = (holder + 1) % clients;
        let all = crowd.pass(PATIENCE)?;
        ensure!(!all.is_empty(), "no GO for {PATIENCE:?} after {turns} turns");
        for heard in all {
            ensure!(
                heard.nth == next && heard.bytes == b"GO",
                "client {} hears {:?} in the turn of {next}",
                heard.nth,
                heard.bytes
            );
        }
        holder = next;
    }
    Ok(turns)
}
