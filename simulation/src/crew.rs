//! Many worlds: each thread plays the next one, and the first broken promise ends all of them.

use std::io::{IsTerminal as _, stderr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use support::simulation::{Played, Violation, check};

use crate::options::Options;

/// Seconds between lines of progress, on a terminal and in a log.
const PROGRESS: Duration = Duration::from_secs(1);
const PROGRESS_IN_LOG: Duration = Duration::from_secs(20);

type Report = Result<Played, Violation>;

/// The next world, and whether it is still wanted.
struct Work<'o> {
    options: &'o Options,
    next: AtomicU64,
    end: u64,
    is_over: AtomicBool,
}

/// Plays the requested worlds, with progress on standard error.
pub fn play(options: &Options) -> Result<(), Violation> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = options.threads.unwrap_or(cores).max(1);
    let end = options.from.saturating_add(options.seeds);
    let work = Work { next: AtomicU64::new(options.from), end, options, is_over: AtomicBool::new(false) };
    println!("seeds {} to {end}, {} steps each, on {threads} threads", options.from, options.steps);
    let (reports, read) = channel();
    thread::scope(|scope| {
        for _ in 0..threads {
            let reports = reports.clone();
            scope.spawn(|| work.run(reports));
        }
        drop(reports);
        let total = watch(&read, options.seeds);
        work.is_over.store(true, Ordering::Relaxed);
        total
    })
}

impl Work<'_> {
    fn run(&self, reports: Sender<Report>) {
        while !self.is_over.load(Ordering::Relaxed) {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            if seed >= self.end || reports.send(check(self.options.plan(seed))).is_err() {
                return;
            }
        }
    }
}

/// Adds up the reports of the threads, until all worlds are played or a promise is broken.
fn watch(reports: &Receiver<Report>, seeds: u64) -> Result<(), Violation> {
    let start = now();
    let pause = if stderr().is_terminal() { PROGRESS } else { PROGRESS_IN_LOG };
    let (mut worlds, mut total, mut shown) = (0, Played::default(), start);
    loop {
        match reports.recv_timeout(PROGRESS) {
            Ok(report) => {
                let played = report?;
                worlds += 1;
                total.passes += played.passes;
                total.granted += played.granted;
                total.accepted += played.accepted;
                // The order of the reports must not matter.
                total.hash = total.hash.wrapping_add(played.hash);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if shown.elapsed() >= pause {
            shown = now();
            eprintln!("{worlds} of {seeds} worlds in {:.0} s", start.elapsed().as_secs_f64());
        }
    }
    let Played { hash, passes, granted, accepted } = total;
    println!(
        "{worlds} worlds in {:.1} s: {passes} passes, {granted} turns, {accepted} answers counted; every promise kept; hash {hash:016x}",
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "it says how long it took; no world sees this clock")]
fn now() -> Instant {
    Instant::now()
}
