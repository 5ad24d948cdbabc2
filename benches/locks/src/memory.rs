//! The memory of clients that wait at the server.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::contenders::Contender;
use crate::print_rows;

const WAITING: usize = 1_000;

pub fn run(contenders: &[Contender]) -> Result<()> {
    println!("## The memory of a client that waits, with {WAITING} of them\n");
    let figures = contenders.iter().map(per_client).collect::<Result<Vec<_>>>()?;
    print_rows("kB", contenders, |nth| match figures[nth] {
        Some(bytes) => format!("{:.1}", bytes / 1e3),
        None => "none waits at the server".to_owned(),
    });
    Ok(())
}

fn per_client(contender: &Contender) -> Result<Option<f64>> {
    if !contender.queues {
        return Ok(None);
    }
    let mut holder = contender.connect("memory", 0)?;
    holder.ask()?;
    holder.wait()?;
    let before = contender.daemon.memory();
    let mut waiting = Vec::with_capacity(WAITING);
    for nth in 1..=WAITING {
        let mut lock = contender.connect("memory", nth)?;
        lock.ask()?;
        waiting.push(lock);
    }
    // Until the server has read what they ask.
    thread::sleep(Duration::from_millis(500));
    let after = contender.daemon.memory();
    Ok(Some(after.saturating_sub(before) as f64 / WAITING as f64))
}
