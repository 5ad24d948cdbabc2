//! 10,000 clients join within a second, and then all leave at once, while two others take turns in a ring of
//! their own.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::crowd::Crowd;
use crate::pair::{Pair, Times};
use crate::processors;
use crate::program::{self, Server};
use crate::row::Row;

const CLIENTS: usize = 10_000;
const WITHIN: Duration = Duration::from_secs(1);
/// Each with a server of its own. The machine alone may cost one of them some milliseconds.
const ROUNDS: usize = 5;
/// The longest hand-over meanwhile.
const MS_MAX: f64 = 10.0;
/// How long to wait for all of them at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// On a thread of its own, because a thread can be pinned to a processor, and the next scenario's may not be.
pub fn run() -> Result<Vec<Row>> {
    program::ensure_descriptors(CLIENTS)?;
    let processors = processors::first_and_last()?;
    let rounds = thread::scope(|scope| {
        let measure = || (0..ROUNDS).map(|_| measure(processors)).collect::<Result<Vec<_>>>();
        scope.spawn(measure).join().expect("it does not panic")
    })?;
    let median = |figure: fn(&Round) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all[ROUNDS / 2]
    };
    let last = &rounds[ROUNDS - 1];
    let joining = format!(
        "quiet clients (line) while {CLIENTS} others join within {:.2} s: longest hand-over; in silence {:.1} ms, while they join another \
         server on the same processor {:.1} ms (medians of {ROUNDS} rounds); p99 of the last round {:.0} µs, {:.0} µs, {:.0} µs",
        last.took.as_secs_f64(),
        median(|round| round.silent.longest / 1e3),
        median(|round| round.elsewhere.longest / 1e3),
        last.joining.p99,
        last.silent.p99,
        last.elsewhere.p99,
    );
    let leaving = format!(
        "the same while all {CLIENTS} are cut at once; p99 of the last round {:.0} µs",
        last.leaving.p99
    );
    Ok(vec![
        Row::at_most(joining, median(|round| round.joining.longest / 1e3), MS_MAX, "ms"),
        Row::at_most(leaving, median(|round| round.leaving.longest / 1e3), MS_MAX, "ms"),
    ])
}

/// Hand-overs, and how long it took until all others had their seats.
struct Round {
    silent: Times,
    elsewhere: Times,
    joining: Times,
    leaving: Times,
    took: Duration,
}

fn measure((quiet, others): (usize, usize)) -> Result<Round> {
    processors::keep_to(quiet)?;
    let start = || Server::start("127.0.0.1:0", &["--framing", "line", "--quiet", "--max-clients", "12000"]);
    let (server, other) = (start()?, start()?);
    let mut pair = Pair::join(server.addr, "quiet")?;
    let silent = pair.play(WITHIN)?;
    let mut meanwhile = |at: SocketAddr| {
        thread::scope(|scope| {
            let joining = scope.spawn(move || join_all(at, others));
            let times = pair.play(WITHIN);
            anyhow::Ok((times?, joining.join().expect("it does not panic")?))
        })
    };
    let (elsewhere, _) = meanwhile(other.addr)?;
    drop(other);
    let (joining, (took, crowd)) = meanwhile(server.addr)?;
    let leaving = thread::scope(|scope| {
        scope.spawn(move || processors::keep_to(others).map(|()| drop(crowd)));
        pair.play(WITHIN)
    })?;
    Ok(Round { silent, elsewhere, joining, leaving, took })
}

/// Joins at an even pace.
fn join_all(server: SocketAddr, processor: usize) -> Result<(Duration, Crowd)> {
    processors::keep_to(processor)?;
    let mut crowd = Crowd::new(CLIENTS)?;
    let (begun, mut welcomes) = (Instant::now(), 0);
    let mut hear = |crowd: &mut Crowd, patience| -> Result<usize> {
        for heard in crowd.pass(patience)? {
            ensure!(!heard.ended, "client {} was closed", heard.nth);
            welcomes += usize::from(heard.bytes.starts_with(b"WELCOME "));
        }
        Ok(welcomes)
    };
    for nth in 0..CLIENTS {
        let due = begun + WITHIN.mul_f64(nth as f64 / CLIENTS as f64);
        while Instant::now() < due {
            hear(&mut crowd, Duration::ZERO)?;
        }
        crowd.connect(nth, server)?;
        crowd.say(nth, &format!("JOIN c{nth} ring=c{}\n", nth % 100));
    }
    while hear(&mut crowd, Duration::from_millis(10))? < CLIENTS {
        ensure!(begun.elapsed() < PATIENCE, "not all have a seat after {PATIENCE:?}");
    }
    Ok((begun.elapsed(), crowd))
}
