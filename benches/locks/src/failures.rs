//! A holder that is killed, and one that is stopped: how long the next one waits, and what the stopped one
//! learns when it goes on.
//!
//! For a server, a killed client is a connection that ends, and a stopped one a connection that says nothing.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::contenders::{Client, Contender, Lock};
use crate::{DEADLINE, print_rows};

/// After this, the next client is said to wait for ever.
const FOR_EVER: Duration = Duration::from_secs(10);

pub fn run(contenders: &[Contender]) -> Result<()> {
    println!("## A holder that fails; deadlines and leases are {DEADLINE:?}\n");
    let rows = contenders.iter().map(row).collect::<Result<Vec<_>>>()?;
    let head =
        "killed: the next one has it after | stopped: after | the stopped one goes on, gives it back, and is";
    print_rows(head, contenders, |nth| rows[nth].clone());
    Ok(())
}

fn row(contender: &Contender) -> Result<String> {
    let killed = {
        let (holder, next) = waiting(contender, "dead-killed")?;
        let begin = Instant::now();
        drop(holder);
        granted(next, begin)?.map(|(time, _)| time)
    };
    let (stopped, told) = {
        let (mut holder, next) = waiting(contender, "dead-stopped")?;
        let granted = granted(next, Instant::now())?;
        let told = match granted {
            None => "still the holder",
            Some(_) if holder.give()? => "told nothing",
            Some(_) => "told that it is not the holder",
        };
        (granted.map(|(time, _)| time), told)
    };
    let words = |time: Option<Duration>| match time {
        Some(time) => format!("{:.3} s", time.as_secs_f64()),
        None => format!("never (not in {FOR_EVER:?})"),
    };
    Ok(format!("{} | {} | {told}", words(killed), words(stopped)))
}

/// A client that holds the lock, and one that has asked for it.
fn waiting(contender: &Contender, lock: &str) -> Result<(Box<dyn Lock>, Box<dyn Lock>)> {
    let client = |nth| Client { lock, nth, of: 2, always: false };
    let (mut holder, mut next) = (contender.connect(client(0))?, contender.connect(client(1))?);
    holder.ask()?;
    holder.wait()?;
    next.ask()?;
    Ok((holder, next))
}

/// Returns how long after `begin` the client has the lock, and the client; `None` if it never has.
fn granted(mut next: Box<dyn Lock>, begin: Instant) -> Result<Option<(Duration, Box<dyn Lock>)>> {
    let (sender, received) = mpsc::channel();
    thread::spawn(move || {
        let has_it = next.wait();
        let _ = sender.send((has_it, begin.elapsed(), next));
    });
    match received.recv_timeout(FOR_EVER) {
        Ok((has_it, time, next)) => has_it.map(|()| Some((time, next))),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(None),
    }
}
