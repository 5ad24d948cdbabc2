//! Locks taken and given a second, by clients that have one each: no other client wants it.

use std::thread;
use std::time::Instant;

use anyhow::Result;

use crate::contenders::{Contender, Lock};
use crate::{Options, print_rows, spread};

/// Numbers of simultaneous clients, each with a lock of its own.
const CLIENTS: [usize; 3] = [1, 16, 256];

pub fn run(options: &Options, contenders: &[Contender]) -> Result<()> {
    println!("## Locks taken and given a second, by clients that have one each\n");
    let mut rates = vec![vec![Vec::new(); CLIENTS.len()]; contenders.len()];
    for round in 0..options.rounds {
        for (of, contender) in rates.iter_mut().zip(contenders) {
            for (rates, &clients) in of.iter_mut().zip(&CLIENTS) {
                // As many in all with more of them.
                let each = (8 * options.turns / clients).min(options.turns / 2);
                rates.push(rate(contender, clients, each, round)?);
            }
        }
    }
    let head = CLIENTS.map(|clients| format!("{clients} clients")).join(" | ");
    print_rows(&head, contenders, |nth| {
        let cells = rates[nth].iter().map(|rates| {
            let [middle, low, high] = spread(rates.iter().copied());
            format!("{middle:.0} ({low:.0} to {high:.0})")
        });
        cells.collect::<Vec<_>>().join(" | ")
    });
    Ok(())
}

fn rate(contender: &Contender, clients: usize, each: usize, round: usize) -> Result<f64> {
    let name = |nth: usize| format!("rate{round}-{clients}-{nth}");
    let locks = (0..clients).map(|nth| contender.connect(&name(nth), 0, 1));
    let locks = locks.collect::<Result<Vec<_>>>()?;
    let begin = Instant::now();
    thread::scope(|scope| {
        let play = |mut lock: Box<dyn Lock>| {
            move || {
                (0..each).try_for_each(|_| {
                    lock.ask()?;
                    lock.wait()?;
                    lock.give().map(drop)
                })
            }
        };
        let threads: Vec<_> = locks.into_iter().map(|lock| scope.spawn(play(lock))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })?;
    Ok((clients * each) as f64 / begin.elapsed().as_secs_f64())
}
