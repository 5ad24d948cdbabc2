//! Two clients take turns in a ring of their own, by turns undisturbed and beside a slow reader, a chatty
//! client and a hundred that never finish a line. From a client's answer to the other's `GO` it must not take
//! much longer for that.
//!
//! There is only one machine for all of them. So the same trouble is also made at another server, which tells
//! what the machine does to a hand-over from what its server does. And it is measured twice: with server and
//! quiet clients on one processor and the disturbers on another, since peers on other machines neither use
//! the server's processor nor move it to theirs; and with all of them where the system places them, which
//! with clients on the server's machine is what they get.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::orders::Orders;
use crate::pair::{Pair, Times};
use crate::processors;
use crate::program::Server;
use crate::row::Row;
use crate::trouble::{ASKS, CHATS, Made, SLOWLORIS, Trouble};

/// Short, and by turns of each kind, so that whatever else the machine does falls on all kinds.
const WINDOW: Duration = Duration::from_millis(400);
/// Windows of each kind.
const WINDOWS: usize = 20;
/// Between windows: what is under way belongs to neither.
const SETTLE: Duration = Duration::from_millis(60);
/// How much longer the 99th percentile may be beside the trouble.
const RATIO_MAX: f64 = 2.0;

/// Where the trouble is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Window {
    Silent,
    /// At another server.
    Elsewhere,
    /// At the server of the quiet clients.
    Beside,
}

const KINDS: [Window; 3] = [Window::Silent, Window::Elsewhere, Window::Beside];

/// A processor for the quiet clients and their server, and one for the disturbers and the other server.
type Places = Option<(usize, usize)>;

pub fn run() -> Result<Vec<Row>> {
    let apart = processors::first_and_last()?;
    [Some(apart), None].map(measure_apart).into_iter().collect()
}

/// In a thread of its own, since a thread can be kept to a processor and the next scenario's need not be.
fn measure_apart(places: Places) -> Result<Row> {
    thread::scope(|scope| scope.spawn(|| measure(places)).join().expect("it does not panic"))
}

fn measure(places: Places) -> Result<Row> {
    let other = start_on(places.map(|(_, disturbers)| disturbers))?;
    let server = start_on(places.map(|(quiet, _)| quiet))?;
    let mut pair = Pair::join(server.addr, "quiet")?;
    let (here, elsewhere) = (Orders::new(), Orders::new());
    let (windows, made) = thread::scope(|scope| {
        let makers = [(server.addr, &here), (other.addr, &elsewhere)]
            .map(|(server, orders)| scope.spawn(move || disturb(server, orders, places)));
        let windows = play_all(&mut pair, &here, &elsewhere);
        here.end();
        elsewhere.end();
        let [made, other] = makers.map(|maker| maker.join().expect("the trouble does not panic"));
        other.and(windows.and_then(|windows| Ok((windows, made?))))
    })?;
    Ok(row(places, &windows, &made))
}

/// The server, and from now on this thread, which plays the quiet clients.
fn start_on(processor: Option<usize>) -> Result<Server> {
    processor.map_or(Ok(()), processors::keep_to)?;
    Server::start("127.0.0.1:0", &["--framing", "line", "--quiet"])
}

fn disturb(server: SocketAddr, orders: &Orders, places: Places) -> Result<Made> {
    processors::give_way()?;
    places.map_or(Ok(()), |(_, disturbers)| processors::keep_to(disturbers))?;
    Trouble::make(server, orders)
}

fn play_all(pair: &mut Pair, here: &Orders, elsewhere: &Orders) -> Result<Vec<(Window, Times)>> {
    let mut windows = Vec::new();
    for nth in 0..WINDOWS * KINDS.len() {
        // Not always in the same order: what one kind leaves behind falls on both others.
        let kind = KINDS[(nth + nth / KINDS.len()) % KINDS.len()];
        match kind {
            Window::Silent => {}
            Window::Elsewhere => elsewhere.disturb(),
            Window::Beside => here.disturb(),
        }
        thread::sleep(SETTLE);
        windows.push((kind, pair.play(WINDOW)?));
        here.rest();
        elsewhere.rest();
    }
    Ok(windows)
}

fn row(places: Places, windows: &[(Window, Times)], made: &Made) -> Row {
    let [silent, elsewhere, beside] = KINDS.map(|kind| medians(windows, kind));
    let places = places.map_or("where the system places all".to_owned(), |(quiet, disturbers)| {
        format!("quiet clients and server on processor {quiet}, the others on {disturbers}")
    });
    let Made { chats, asks, slow_readers, slowloris } = made;
    let what = format!(
        "quiet clients (line; {places}): p99 of a hand-over beside a slow reader's {ASKS},000 lines a second ({asks} said, \
         {slow_readers} times given up), another client's {CHATS},000 ({chats} answered) and {SLOWLORIS} slowloris \
         ({slowloris} closed), by p99 in silence. p50 and p99, medians of {WINDOWS} windows: in silence {silent}, with the same \
         trouble at another server {elsewhere}, beside it {beside}; beside by elsewhere {:.2}",
        beside.p99 / elsewhere.p99,
    );
    Row::at_most(what, beside.p99 / silent.p99, RATIO_MAX, "times")
}

/// The median of each figure over the windows of a kind.
fn medians(windows: &[(Window, Times)], kind: Window) -> Times {
    let figures = |figure: fn(&Times) -> f64| {
        median(windows.iter().filter(|window| window.0 == kind).map(|(_, times)| figure(times)).collect())
    };
    Times {
        median: figures(|times| times.median),
        p99: figures(|times| times.p99),
        longest: figures(|times| times.longest),
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
