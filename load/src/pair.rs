//! Two quiet clients that take turns in a ring of their own, and how long their hand-overs take.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// Between two turns: then the server sleeps, as it does when people play.
const PACE: Duration = Duration::from_micros(500);
const PATIENCE: Duration = Duration::from_secs(5);

/// The first one has the turn.
pub struct Pair([Quiet; 2]);

struct Quiet {
    stream: BufReader<TcpStream>,
    name: &'static str,
}

impl Pair {
    pub fn join(server: SocketAddr) -> Result<Pair> {
        let mut pair = Pair([Quiet::join(server, "ann")?, Quiet::join(server, "bob")?]);
        pair.0[0].await_go()?;
        Ok(pair)
    }

    /// Takes turns for so long; the 99th percentile, in µs.
    pub fn play(&mut self, time: Duration) -> Result<f64> {
        let (begun, mut times) = (Instant::now(), Vec::new());
        while begun.elapsed() < time {
            thread::sleep(PACE);
            let before = Instant::now();
            self.0[0].answer()?;
            self.0[1].await_go()?;
            times.push(before.elapsed().as_secs_f64() * 1e6);
            self.0.swap(0, 1);
        }
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() * 99 / 100])
    }
}

impl Quiet {
    fn join(server: SocketAddr, name: &'static str) -> Result<Quiet> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut quiet = Quiet { stream: BufReader::new(stream), name };
        quiet.say(&format!("JOIN {name} ring=quiet\n"))?;
        Ok(quiet)
    }

    fn answer(&mut self) -> Result<()> {
        self.say(&format!("{}:17\n", self.name))
    }

    fn say(&mut self, line: &str) -> Result<()> {
        self.stream.get_mut().write_all(line.as_bytes()).context("a quiet client cannot write")
    }

    fn await_go(&mut self) -> Result<()> {
        let mut line = String::new();
        while !line.starts_with("GO ") {
            line.clear();
            let count = self.stream.read_line(&mut line).context("a quiet client waits for GO in vain")?;
            ensure!(count > 0, "the server closed a quiet client");
        }
        Ok(())
    }
}
