//! Locks taken and given a second: by clients that have one each, which no other one wants, and by pairs that
//! hand one over. Each client has a thread. For servers of ours also by pairs on one poll, which takes less
//! processor time.

use std::thread;
use std::time::Instant;

use anyhow::Result;
use crowd::Crowd;

use crate::contenders::{Client, Contender, Lock};
use crate::{Options, print_rows, spread};

/// Numbers of locks.
const LOCKS: [usize; 3] = [1, 16, 256];

/// Of clients with a lock each.
pub fn of_singles(options: &Options, contenders: &[Contender]) {
    println!("## Locks taken and given a second, by clients that have one each\n");
    compare(options, contenders, 1);
}

/// Of pairs that hand a lock over.
pub fn of_pairs(options: &Options, contenders: &[Contender]) {
    println!("## Hand-overs a second, by two clients of each lock that always want it\n");
    compare(options, contenders, 2);
}

/// Of pairs that one process plays.
pub fn of_crowds(options: &Options, contenders: &[Contender]) -> Result<()> {
    println!("## Hand-overs a second, by pairs that one process plays\n");
    for contender in contenders.iter().filter(|contender| contender.is_ours()) {
        for locks in LOCKS {
            let mut crowd = Crowd::join(contender.daemon.addr, locks, &format!("crowd{locks}-"))?;
            let turns = options.turns * locks.min(32);
            let rates: Vec<f64> = (0..options.rounds).map(|_| crowd.rate(turns)).collect::<Result<_>>()?;
            let [middle, low, high] = spread(rates);
            println!("{}, {locks} locks: {middle:.0} ({low:.0} to {high:.0})", contender.name);
        }
    }
    println!();
    Ok(())
}

fn compare(options: &Options, contenders: &[Contender], clients: usize) {
    let mut rates = vec![vec![Vec::new(); LOCKS.len()]; contenders.len()];
    for round in 0..options.rounds {
        for (of, contender) in rates.iter_mut().zip(contenders) {
            for (rates, &locks) in of.iter_mut().zip(&LOCKS) {
                // As many in all with more of them.
                let each = (8 * options.turns / locks).min(options.turns / 2) / clients;
                match rate(contender, locks, clients, each, round) {
                    Ok(rate) => rates.push(rate),
                    Err(error) => println!("{}, {locks} locks: {error}\n", contender.name),
                }
            }
        }
    }
    let head = LOCKS.map(|locks| format!("{locks} locks")).join(" | ");
    print_rows(&head, contenders, |nth| {
        let cells = rates[nth].iter().map(|rates| {
            if rates.len() < options.rounds {
                return format!("finished {} rounds of {}", rates.len(), options.rounds);
            }
            let [middle, low, high] = spread(rates.iter().copied());
            format!("{middle:.0} ({low:.0} to {high:.0})")
        });
        cells.collect::<Vec<_>>().join(" | ")
    });
}

fn rate(contender: &Contender, locks: usize, clients: usize, each: usize, round: usize) -> Result<f64> {
    let connect = |nth: usize| {
        let lock = format!("rate{round}-{locks}-{clients}-{}", nth / clients);
        contender.connect(Client { lock: &lock, nth: nth % clients, of: clients, always: clients > 1 })
    };
    let all = (0..locks * clients).map(connect).collect::<Result<Vec<_>>>()?;
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
        let threads: Vec<_> = all.into_iter().map(|lock| scope.spawn(play(lock))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })?;
    Ok((locks * clients * each) as f64 / begin.elapsed().as_secs_f64())
}
