//! The memory of clients that wait at the server.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::contenders::{Client, Contender, Group};
use crate::print_rows;

const CLIENTS: usize = 1_000;

pub fn run(contenders: &[Contender]) {
    println!("## The memory of a client that waits, with {CLIENTS} of them\n");
    let figures: Vec<_> = contenders.iter().map(per_client).collect();
    print_rows("kB", contenders, |nth| match &figures[nth] {
        Ok(Some(bytes)) => format!("{:.1}", bytes / 1e3),
        Ok(None) => "none waits at the server".to_owned(),
        Err(error) => format!("not so many: {error}"),
    });
}

fn per_client(contender: &Contender) -> Result<Option<f64>> {
    if !contender.queues {
        return Ok(None);
    }
    // No game has a thousand players.
    let each = if contender.group == Group::Games { 2 } else { CLIENTS };
    let before = contender.daemon.memory();
    let mut clients = Vec::with_capacity(CLIENTS);
    for nth in 0..CLIENTS {
        let lock = format!("memory{}", nth / each);
        let client = Client { lock: &lock, nth: nth % each, of: each, always: false };
        let mut lock = contender.connect(client)?;
        lock.ask()?;
        if nth % each == 0 {
            lock.wait()?;
        }
        clients.push(lock);
    }
    // Until the server has read what they ask.
    thread::sleep(Duration::from_millis(500));
    let after = contender.daemon.memory();
    Ok(Some(after.saturating_sub(before) as f64 / CLIENTS as f64))
}
