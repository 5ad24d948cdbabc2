//! Two quiet clients that take turns in a ring of their own: how long their hand-overs take, and how late the
//! server notices that they are silent.

use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// The time between two turns, in which the server sleeps, as when people play.
const PACE: Duration = Duration::from_micros(500);
const PATIENCE: Duration = Duration::from_secs(5);

/// The first one has the turn.
pub struct Pair([Quiet; 2]);

struct Quiet {
    stream: BufReader<TcpStream>,
}

/// Times of hand-overs in µs, from one client's answer to the other's `GO`.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub median: f64,
    pub p99: f64,
    pub longest: f64,
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} and {:.0} µs", self.median, self.p99)
    }
}

impl Pair {
    /// Connects two clients, which join `ring`.
    pub fn join(server: SocketAddr, ring: &str) -> Result<Pair> {
        let mut pair = Pair([Quiet::join(server, "ann", ring)?, Quiet::join(server, "bob", ring)?]);
        pair.0[0].await_line("GO ")?;
        Ok(pair)
    }

    /// Takes turns for this long.
    pub fn play(&mut self, time: Duration) -> Result<Times> {
        let (begun, mut times) = (Instant::now(), Vec::new());
        while begun.elapsed() < time {
            thread::sleep(PACE);
            let before = Instant::now();
            self.0[0].answer()?;
            self.0[1].await_line("GO ")?;
            times.push(before.elapsed().as_secs_f64() * 1e6);
            self.0.swap(0, 1);
        }
        times.sort_by(f64::total_cmp);
        let [median, p99] = [50, 99].map(|percent| times[times.len() * percent / 100]);
        Ok(Times { median, p99, longest: times[times.len() - 1] })
    }

    /// Lets turns lapse for this long. Returns the most by which a turn exceeded `deadline`.
    pub fn lapse(&mut self, deadline: Duration, time: Duration) -> Result<Duration> {
        let (begun, mut latest) = (Instant::now(), Duration::ZERO);
        // The first turn began some time ago.
        self.0[1].await_line("GO ")?;
        while begun.elapsed() < time {
            self.0.swap(0, 1);
            let told = Instant::now();
            self.0[0].await_line("LAPSED ")?;
            latest = latest.max(told.elapsed().saturating_sub(deadline));
            self.0[1].await_line("GO ")?;
        }
        Ok(latest)
    }
}

impl Quiet {
    fn join(server: SocketAddr, name: &str, ring: &str) -> Result<Quiet> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut quiet = Quiet { stream: BufReader::new(stream) };
        quiet.say(&format!("JOIN {name} ring={ring}\n"))?;
        Ok(quiet)
    }

    fn answer(&mut self) -> Result<()> {
        self.say("ANSWER :17\n")
    }

    fn say(&mut self, line: &str) -> Result<()> {
        self.stream.get_mut().write_all(line.as_bytes()).context("a quiet client cannot write")
    }

    /// Reads up to the next line that begins with `beginning`.
    fn await_line(&mut self, beginning: &str) -> Result<()> {
        let mut line = String::new();
        while !line.starts_with(beginning) {
            line.clear();
            let count = self.stream.read_line(&mut line);
            let count = count.with_context(|| format!("a quiet client waits for {beginning}in vain"))?;
            ensure!(count > 0, "the server closed a quiet client");
        }
        Ok(())
    }
}
