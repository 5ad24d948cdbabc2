//! Many clients that want the same lock: the time from when one gives it until another one has it, and
//! whether that is the one that asked first.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::contenders::{Client, Contender, Lock};
use crate::{Options, print_rows, spread};

/// Numbers of clients, how long each holds the lock, and the share of the turns of `--turns` that are played.
const CASES: [(usize, Duration, usize); 3] =
    [(2, Duration::ZERO, 1), (16, Duration::ZERO, 1), (4, Duration::from_millis(150), 25)];

/// A request that is this much older was certainly read first.
const CERTAINLY: Duration = Duration::from_millis(2);

#[derive(Default)]
struct Figures {
    /// The median of each round, relative to that of a null echo.
    ratios: Vec<f64>,
    /// All times.
    times: Vec<Duration>,
    turns: usize,
    overtakings: usize,
    bytes: u64,
}

pub fn run(options: &Options, contenders: &[Contender]) -> Result<()> {
    let mut figures: Vec<[Figures; CASES.len()]> = contenders.iter().map(|_| Default::default()).collect();
    let mut echoes: [Vec<f64>; CASES.len()] = Default::default();
    for round in 0..options.rounds {
        for (echoes, (_, hold, share)) in echoes.iter_mut().zip(CASES) {
            echoes.push(null_echo(hold, 4 * options.turns / share)?.as_secs_f64());
        }
        for (of, contender) in figures.iter_mut().zip(contenders) {
            for ((figures, (clients, hold, share)), echoes) in of.iter_mut().zip(CASES).zip(&echoes) {
                let lock = format!("queue{round}-{clients}");
                let played = match play(contender, &lock, clients, hold, (options.turns / share).max(8)) {
                    Ok(played) => played,
                    Err(error) => {
                        println!("{}, {clients} clients, round {round}: {error}\n", contender.name);
                        continue;
                    }
                };
                figures.turns += played.times.len();
                figures.overtakings += played.overtakings;
                figures.bytes += played.bytes;
                figures.ratios.push(median(&played.times).as_secs_f64() / echoes[round]);
                figures.times.extend(played.times);
            }
        }
    }
    println!("## The hand-over of one lock\n");
    let words = echoes.iter().zip(CASES).skip(1).map(|(echoes, (_, hold, _))| {
        let [middle, low, high] = spread(echoes.iter().map(|seconds| seconds * 1e6));
        format!("{middle:.0} µs ({low:.0} to {high:.0}) with {hold:?} between two")
    });
    println!("p50 relative to a null echo: {}.", words.collect::<Vec<_>>().join(", "));
    println!("Bytes are all that loopback carries for a hand-over, with the headers of TCP and IP.\n");
    let head = CASES.map(|(clients, hold, _)| match hold {
        Duration::ZERO => format!("{clients} clients: p50 by echo | p99 ms | bytes | overtaken"),
        hold => format!("{clients} that hold it for {hold:?}: p50 by echo | p99 ms | overtaken"),
    });
    print_rows(&head.join(" | "), contenders, |nth| {
        let cells = figures[nth].iter().zip(CASES).map(|(figures, (_, hold, _))| {
            if figures.ratios.is_empty() {
                let rest = if hold.is_zero() { " | | | " } else { " | | " };
                return format!("finished no round{rest}");
            }
            let [ratio, low, high] = spread(figures.ratios.iter().copied());
            let mut times = figures.times.clone();
            times.sort();
            let p99 = times[times.len() * 99 / 100].as_secs_f64() * 1e3;
            let overtaken = 100.0 * figures.overtakings as f64 / figures.turns as f64;
            let bytes = match hold {
                Duration::ZERO => format!("{} | ", figures.bytes / figures.turns as u64),
                // Most of them would be what idle servers say meanwhile.
                _ => String::new(),
            };
            format!("{ratio:.1} ({low:.1} to {high:.1}) | {p99:.1} | {bytes}{overtaken:.1} %")
        });
        cells.collect::<Vec<_>>().join(" | ")
    });
    Ok(())
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}

/// The state that all clients of a lock share.
struct Ledger {
    /// When each asked, while it waits.
    asked: Vec<Option<Instant>>,
    given: Option<Instant>,
    left: usize,
    played: Played,
}

#[derive(Default)]
struct Played {
    times: Vec<Duration>,
    overtakings: usize,
    /// All that was sent over loopback, with the headers of TCP and IP.
    bytes: u64,
}

fn play(contender: &Contender, lock: &str, clients: usize, hold: Duration, turns: usize) -> Result<Played> {
    let client = |nth| Client { lock, nth, of: clients, always: false };
    let locks = (0..clients).map(|nth| contender.connect(client(nth))).collect::<Result<Vec<_>>>()?;
    let ledger = Mutex::new(Ledger {
        asked: vec![None; clients],
        given: None,
        left: turns,
        played: Played::default(),
    });
    let before = loopback_bytes()?;
    thread::scope(|scope| {
        let ledger = &ledger;
        let threads = locks.into_iter().enumerate();
        let threads: Vec<_> =
            threads.map(|(nth, lock)| scope.spawn(move || take_turns(nth, lock, hold, ledger))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })?;
    let mut played = ledger.into_inner().expect("no panic").played;
    played.bytes = loopback_bytes()? - before;
    Ok(played)
}

/// Returns how many bytes loopback has carried so far.
fn loopback_bytes() -> Result<u64> {
    let devices = fs::read_to_string("/proc/net/dev")?;
    let loopback = devices.lines().find_map(|line| line.trim_start().strip_prefix("lo:"));
    let bytes = loopback.and_then(|fields| fields.split_whitespace().next()).context("no loopback")?;
    Ok(bytes.parse()?)
}

fn take_turns(nth: usize, mut lock: Box<dyn Lock>, hold: Duration, ledger: &Mutex<Ledger>) -> Result<()> {
    let ledger = || ledger.lock().expect("no panic");
    loop {
        ledger().asked[nth] = Some(Instant::now());
        lock.ask()?;
        lock.wait()?;
        let now = Instant::now();
        let is_last = {
            let mut ledger = ledger();
            let Ledger { asked, given, left, played } = &mut *ledger;
            let mine = asked[nth].take().expect("it has asked");
            if let Some(given) = given {
                played.times.push(now.saturating_duration_since(*given));
                played.overtakings +=
                    usize::from(asked.iter().flatten().any(|other| *other + CERTAINLY < mine));
            }
            *left = left.saturating_sub(1);
            *left == 0
        };
        if !hold.is_zero() {
            thread::sleep(hold);
        }
        ledger().given = Some(Instant::now());
        lock.give()?;
        if is_last {
            return Ok(());
        }
    }
}

/// Returns the median time of one byte to a thread and back, over sockets, with a pause before each.
fn null_echo(pause: Duration, echoes: usize) -> Result<Duration> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let echo = thread::spawn(move || {
        let mut byte = [0];
        while server.read_exact(&mut byte).and_then(|()| server.write_all(&byte)).is_ok() {}
    });
    let mut times = Vec::with_capacity(echoes);
    for _ in 0..echoes {
        if !pause.is_zero() {
            thread::sleep(pause);
        }
        let begin = Instant::now();
        client.write_all(b"x")?;
        client.read_exact(&mut [0])?;
        times.push(begin.elapsed());
    }
    drop(client);
    echo.join().expect("no panic");
    Ok(median(&times))
}
