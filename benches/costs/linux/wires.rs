//! The costs of a turn and of a connection over WebSocket, TLS, and one in the other.
//!
//! Times are for a quiet machine. Everything is on one processor, where a server that works more shows most.
//! Ratios are of servers that run side by side and take the same number of turns in each round.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::time::{Duration, Instant};

use support::wire::End;

use super::calls::{LINE_MAX, PAIR_LINE};
use super::figure::Figure;
use super::memory::ONE_LINE;
use super::process::Server;
use super::rings::Rings;
use super::serve::Setting;
use super::wire::{Stream, Wire, client, server};
use super::{calls, instructions, memory, processor};

/// Instructions of a turn.
const INSTRUCTIONS_MAX: [(Wire, f64); 3] =
    [(Wire::WebSocket, 4_250.0), (Wire::Tls, 8_550.0), (Wire::Both, 11_350.0)];
/// Bytes of a waiting connection.
const BYTES_MAX: [(Wire, f64); 3] = [(Wire::WebSocket, 800.0), (Wire::Tls, 4_600.0), (Wire::Both, 4_600.0)];
/// Megabytes of a server with 10,000 clients over TLS.
const MEGABYTES_MAX: f64 = 50.0;
/// The median of a turn, as a multiple of the plain one's.
const RATIO_MAX: [(Wire, f64); 3] = [(Wire::WebSocket, 1.05), (Wire::Tls, 1.12), (Wire::Both, 1.15)];
/// The server's processor time for a connection with TLS, from its beginning to its end, as a multiple of a
/// plain one's and of the server's part of a handshake in memory.
const CONNECTION_MAX: [(Wire, f64); 2] = [(Wire::Tls, 1.4), (Wire::Mutual, 1.4)];
/// Milliseconds by which hellos that come at once delay a turn: the median of the storms.
const DELAY_MAX: f64 = 4.0;

const ROUNDS: usize = 15;
const WARM_UP: usize = 200;
const HAND_OVERS: usize = 2_000;

const CONNECTIONS: u32 = 1_000;

const STORMS: usize = 5;
const HELLOS: usize = 256;
/// Turns between two looks at who was answered.
const TURNS_BETWEEN: usize = 10;

pub fn calls() -> io::Result<Vec<Figure>> {
    [Wire::WebSocket, Wire::Tls, Wire::Both]
        .map(|wire| {
            let setting = Setting { wire, ..PAIR_LINE };
            calls::figure(&format!("system calls a turn, {wire}"), setting, LINE_MAX)
        })
        .into_iter()
        .collect()
}

pub fn instructions() -> io::Result<Vec<Figure>> {
    let figure = |(wire, allowed)| {
        Ok(Figure {
            what: format!("instructions a turn, {wire}, 2 clients"),
            measured: instructions::a_turn_of(Setting { wire, ..PAIR_LINE })?,
            allowed,
            advice: "callgrind_annotate says where, before your change and after it".to_owned(),
        })
    };
    INSTRUCTIONS_MAX.into_iter().map(figure).collect()
}

pub fn memory() -> io::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (wire, allowed) in BYTES_MAX {
        let held = memory::hold(Setting { wire, ..ONE_LINE })?;
        figures.push(held.figure(&format!("bytes a waiting connection, {wire}"), allowed));
        if wire == Wire::Tls {
            figures.push(Figure {
                what: format!("MB of the server that holds them, {wire}"),
                measured: held.after as f64 / 1e6,
                allowed: MEGABYTES_MAX,
                advice: "see rustls's state of a connection".to_owned(),
            });
        }
    }
    Ok(figures)
}

#[allow(clippy::disallowed_methods, reason = "these costs are times")]
pub fn clock() -> Instant {
    Instant::now()
}

pub fn times() -> io::Result<Vec<Figure>> {
    let mut figures = processor::on_one(|| Ok([ratios()?, connections()?].concat()))?;
    figures.push(storm()?);
    Ok(figures)
}

/// A server with two clients of the line framing.
struct Pair {
    server: Server,
    rings: Rings,
}

impl Pair {
    fn start(wire: Wire) -> io::Result<Pair> {
        Pair::seat(Server::start(Setting { wire, ..PAIR_LINE })?, wire)
    }

    fn seat(server: Server, wire: Wire) -> io::Result<Pair> {
        let rings = Rings::seat(server.addr, Setting { wire, ..PAIR_LINE })?;
        Ok(Pair { server, rings })
    }

    /// The median of so many hand-overs, in µs.
    fn median(&mut self, hand_overs: usize) -> io::Result<f64> {
        let mut took = (0..hand_overs).map(|_| self.rings.hand_over()).collect::<io::Result<Vec<_>>>()?;
        took.sort();
        Ok(took[hand_overs / 2].as_secs_f64() * 1e6)
    }
}

fn ratios() -> io::Result<Vec<Figure>> {
    let mut plain = Pair::start(Wire::Plain)?;
    let start = |(wire, allowed)| Ok((wire, allowed, Pair::start(wire)?, Vec::new()));
    let mut others = RATIO_MAX.into_iter().map(start).collect::<io::Result<Vec<_>>>()?;
    let mut medians = Vec::new();
    for _ in 0..ROUNDS {
        plain.median(WARM_UP)?;
        let median = plain.median(HAND_OVERS)?;
        medians.push(median);
        for (_, _, pair, ratios) in &mut others {
            pair.median(WARM_UP)?;
            ratios.push(pair.median(HAND_OVERS)? / median);
        }
    }
    let plain = Figure {
        what: "µs a turn, plain line: median".to_owned(),
        measured: middle(&mut medians),
        allowed: f64::INFINITY,
        advice: format!("of {ROUNDS} rounds of {HAND_OVERS}"),
    };
    let ratio = |(wire, allowed, _, mut ratios): (Wire, f64, Pair, Vec<f64>)| Figure {
        what: format!("a turn, {wire} / plain line"),
        measured: middle(&mut ratios),
        allowed,
        advice: format!("{:.3} to {:.3} in a round", ratios[0], ratios[ROUNDS - 1]),
    };
    Ok([plain].into_iter().chain(others.into_iter().map(ratio)).collect())
}

fn middle(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Each connection shakes hands, says something, is answered, and ends.
fn connections() -> io::Result<Vec<Figure>> {
    let plain = connection(Wire::Plain)?;
    let mut figures = vec![time("a connection, plain, with one more round trip", plain)];
    for (wire, allowed) in CONNECTION_MAX {
        let in_memory = handshake(wire);
        let connection = connection(wire)?;
        figures.push(time(&format!("a handshake in memory, {wire}"), in_memory));
        figures.push(time(&format!("a connection, {wire}"), connection));
        figures.push(Figure {
            what: format!("a connection, {wire} / plain one and handshake"),
            measured: connection / (plain + in_memory),
            allowed,
            advice: "perf record says where".to_owned(),
        });
    }
    Ok(figures)
}

fn time(what: &str, micros: f64) -> Figure {
    Figure {
        what: format!("µs of the server's processor time, {what}"),
        measured: micros,
        allowed: f64::INFINITY,
        advice: format!("of {CONNECTIONS}"),
    }
}

fn connection(wire: Wire) -> io::Result<f64> {
    let server = Server::start(Setting { wire, ..PAIR_LINE })?;
    for _ in 0..CONNECTIONS / 10 {
        ping(&server, wire)?;
    }
    let before = server.run_time()?;
    for _ in 0..CONNECTIONS {
        ping(&server, wire)?;
    }
    Ok((server.run_time()? - before) as f64 / 1e3 / f64::from(CONNECTIONS))
}

/// The time of the server's part of a handshake that needs no system.
fn handshake(wire: Wire) -> f64 {
    let mut accept = server::accept(wire);
    let mut took = Duration::ZERO;
    for _ in 0..CONNECTIONS {
        let mut client = client::end(wire).expect("it is not plain");
        let begun = clock();
        let mut server = End::new(accept());
        took += begun.elapsed();
        while !(client.is_open() && server.is_open()) {
            let begun = clock();
            server.hear(&mut std::mem::take(&mut client.wire));
            took += begun.elapsed();
            client.hear(&mut std::mem::take(&mut server.wire));
        }
    }
    took.as_secs_f64() * 1e6 / f64::from(CONNECTIONS)
}

/// A plain connection asks once more, in place of the handshake.
fn ping(server: &Server, wire: Wire) -> io::Result<()> {
    let mut stream = BufReader::new(Stream::connect(server.addr, wire)?);
    for _ in 0..if wire == Wire::Plain { 2 } else { 1 } {
        stream.get_mut().write_all(b"PING\n")?;
        let mut line = String::new();
        stream.read_line(&mut line)?;
        if line != "PONG\n" {
            return Err(io::Error::other(format!("PING hears {line:?}")));
        }
    }
    Ok(())
}

/// Two clients take turns while many others shake hands. The server has a processor of its own: otherwise the
/// system keeps a runnable client waiting, while the server has so much to do.
fn storm() -> io::Result<Figure> {
    let server = processor::on_one(|| Server::start(Setting { wire: Wire::Tls, ..PAIR_LINE }))?;
    processor::on_last(|| storm_at(server))
}

fn storm_at(server: Server) -> io::Result<Figure> {
    let mut pair = Pair::seat(server, Wire::Tls)?;
    pair.median(WARM_UP)?;
    let median = Duration::from_secs_f64(pair.median(HAND_OVERS)? / 1e6);
    let mut delays = Vec::new();
    for _ in 0..STORMS {
        let begin = |_| Stream::begin(pair.server.addr, Wire::Tls);
        let mut newcomers = (0..HELLOS).map(begin).collect::<io::Result<Vec<_>>>()?;
        let mut answered = Vec::new();
        // All of them are accepted.
        pair.median(WARM_UP)?;
        newcomers.iter_mut().try_for_each(Stream::say_hello)?;
        let mut longest = Duration::ZERO;
        let begun = clock();
        while !newcomers.is_empty() {
            for _ in 0..TURNS_BETWEEN {
                longest = longest.max(pair.rings.hand_over()?);
            }
            answered.extend(
                newcomers.extract_if(.., |newcomer| newcomer.peek(&mut [0]).is_ok_and(|count| count > 0)),
            );
            if begun.elapsed() > Duration::from_secs(20) {
                return Err(io::Error::other(format!("{} hellos are not answered", newcomers.len())));
            }
        }
        delays.push(longest.saturating_sub(median).as_secs_f64() * 1e3);
    }
    let shown: Vec<_> = delays.iter().map(|delay| format!("{delay:.1}")).collect();
    Ok(Figure {
        what: format!("ms that {HELLOS} hellos at once delay a turn, TLS"),
        measured: middle(&mut delays),
        allowed: DELAY_MAX,
        advice: format!("of {STORMS} times: {}; see pass_handshakes_max", shown.join(", ")),
    })
}
