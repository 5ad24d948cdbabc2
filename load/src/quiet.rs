//! Two clients take turns in a ring of their own, by turns undisturbed and beside a slow reader, a chatty client and a hundred
//! that never finish a line. From a client's answer to the other's `GO` it must not take much longer for that.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::orders::Orders;
use crate::pair::Pair;
use crate::program::Server;
use crate::row::Row;
use crate::trouble::{CHATS, Made, SLOWLORIS, Trouble};

const WINDOW: Duration = Duration::from_secs(2);
/// Windows of each kind: they alternate, so that whatever else the machine does falls on both.
const WINDOWS: usize = 8;
const SETTLE: Duration = Duration::from_millis(50);
/// How much longer the 99th percentile may be beside the trouble.
const RATIO_MAX: f64 = 2.0;

pub fn run() -> Result<Vec<Row>> {
    let server = Server::start("127.0.0.1:0", &["--framing", "line", "--quiet"])?;
    let mut pair = Pair::join(server.addr)?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let orders = Orders::new();
    let Made { chats, slow_readers, slowloris } = thread::scope(|scope| {
        let maker = scope.spawn(|| Trouble::make(server.addr, &orders));
        let played = play_both(&mut pair, &mut alone, &mut beside, &orders);
        orders.end();
        let trouble = maker.join().expect("the trouble does not panic")?;
        played.map(|()| trouble)
    })?;
    let (quiet, busy) = (median(alone), median(beside));
    let story = format!(
        "p99 of a hand-over (line; the median of {WINDOWS} windows) beside a slow reader ({slow_readers} given up), another \
         client's {CHATS},000 lines a second ({chats} answered) and {SLOWLORIS} slowloris ({slowloris} closed); \
         without: {quiet:.0} µs"
    );
    Ok(vec![Row::at_most(story, busy, quiet * RATIO_MAX, "µs")])
}

/// The 99th percentile of each window goes to its kind.
fn play_both(pair: &mut Pair, alone: &mut Vec<f64>, beside: &mut Vec<f64>, orders: &Orders) -> Result<()> {
    for _ in 0..WINDOWS {
        for (order, windows) in [(Orders::rest as fn(&Orders), &mut *alone), (Orders::disturb, &mut *beside)]
        {
            order(orders);
            // What is under way from the window before belongs to neither.
            thread::sleep(SETTLE);
            windows.push(pair.play(WINDOW)?);
        }
    }
    Ok(())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
