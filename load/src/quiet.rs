//! Two clients take turns in a ring of their own, alternately undisturbed and next to a slow reader, a chatty
//! client and a hundred that never finish a line. The time from one client's answer to the other's `GO` must
//! not grow much.
//!
//! All of this runs on one machine. So the same trouble is also made at another server, which separates the
//! effect of the machine from that of the server. And it is measured twice: with the server and the quiet
//! clients on one processor and the disturbers on another, because peers on other machines do not use the
//! server's processor; and with all of them placed by the system, as with clients on the server's machine.

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

/// Short windows of alternating kinds, so that other activity of the machine affects all kinds alike.
const WINDOW: Duration = Duration::from_millis(400);
/// Windows per kind.
const WINDOWS: usize = 20;
/// The pause between windows, so that pending work belongs to neither.
const SETTLE: Duration = Duration::from_millis(60);
/// The factor by which the 99th percentile may grow because of the trouble.
const RATIO_MAX: f64 = 2.0;

/// The place of the trouble.
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

/// On a thread of its own, because a thread can be pinned to a processor, and the next scenario's may not be.
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

/// Starts the server, and pins this thread, which plays the quiet clients.
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
        // The order varies, so that after-effects of one kind affect both others.
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

/// Returns the median of each figure over the windows of a kind.
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
