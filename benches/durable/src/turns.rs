//! Hand-overs and turns of servers with a journal, compared with one without and one that syncs in its loop.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use crowd::Crowd;

use crate::Options;
use crate::commits::{Plain, spread};
use crate::serve::{Kind, SLOW, Server};

/// Pings per connection.
const PINGS: usize = 300;

pub fn run(options: &Options, dir: &Path) -> Result<()> {
    println!("\n## Turns\n");
    one_ring(options, dir)?;
    for rings in [16, 256] {
        many_rings(options, dir, rings)?;
    }
    pings(dir)
}

fn micros(times: &[Duration]) -> f64 {
    times[times.len() / 2].as_secs_f64() * 1e6
}

/// Compares the hand-over with a journal to that without one plus one sync on the same disk.
fn one_ring(options: &Options, dir: &Path) -> Result<()> {
    fs::create_dir(dir.join("sync"))?;
    let mut plain = Plain::new(&dir.join("sync"))?;
    let kinds = [Kind::Memory, Kind::SyncInTheLoop, Kind::Journal];
    let servers = kinds.map(|kind| Server::start(kind, dir, 1)).into_iter().collect::<Result<Vec<_>>>()?;
    let mut crowds =
        servers.iter().map(|server| Crowd::join(server.addr, 1, "r")).collect::<Result<Vec<_>>>()?;
    let mut rounds = Vec::new();
    let used = |nth: usize| servers[nth].processor_time();
    let before = [used(0)?, used(1)?, used(2)?];
    for _ in 0..options.rounds {
        let mut syncs = (0..options.commits)
            .map(|_| {
                let begin = Instant::now();
                plain.write()?;
                Ok(begin.elapsed())
            })
            .collect::<Result<Vec<_>>>()?;
        syncs.sort_unstable();
        let mut round = vec![micros(&syncs)];
        for crowd in &mut crowds {
            round.push(micros(&crowd.hand_overs(options.commits)?));
        }
        rounds.push(round);
    }
    let of = |nth: usize| spread(rounds.iter().map(|round| round[nth]))[0];
    println!("Hand-over p50, one ring: {:.0} µs without a journal, {:.0} µs one fdatasync.", of(1), of(0));
    for (nth, kind) in (2..).zip(["fdatasync in the loop", "a journal"]) {
        let [middle, low, high] = spread(rounds.iter().map(|round| round[nth] / (round[0] + round[1])));
        println!("With {kind}: {:.0} µs, {middle:.2} ({low:.2} to {high:.2}) of the sum.", of(nth));
    }
    let turns = (options.rounds * options.commits) as f64;
    let micros_of =
        |nth: usize| -> Result<f64> { Ok((used(nth)? - before[nth]).as_secs_f64() * 1e6 / turns) };
    let [memory, in_the_loop, journal] = [micros_of(0)?, micros_of(1)?, micros_of(2)?];
    println!(
        "Processor time of a hand-over: {memory:.0} µs without a journal, {in_the_loop:.0} µs with fdatasync in the \
         loop, {journal:.0} µs with a journal."
    );
    Ok(())
}

/// Compares turns per second with a journal to those of a server that syncs in its loop.
fn many_rings(options: &Options, dir: &Path, rings: usize) -> Result<()> {
    let kinds = [Kind::Memory, Kind::SyncInTheLoop, Kind::Journal];
    let servers =
        kinds.map(|kind| Server::start(kind, dir, rings)).into_iter().collect::<Result<Vec<_>>>()?;
    let mut crowds =
        servers.iter().map(|server| Crowd::join(server.addr, rings, "r")).collect::<Result<Vec<_>>>()?;
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        rounds.push(crowds.iter_mut().map(|crowd| crowd.rate(options.turns)).collect::<Result<Vec<f64>>>()?);
    }
    let of = |nth: usize| spread(rounds.iter().map(|round| round[nth]))[0];
    let [middle, low, high] = spread(rounds.iter().map(|round| round[2] / round[1]));
    println!(
        "Turns a second, {rings} rings: {:.0} with a journal, {:.0} with fdatasync in the loop, {:.0} in memory: \
         {middle:.2} ({low:.2} to {high:.2}) of those with fdatasync in the loop.",
        of(2),
        of(1),
        of(0)
    );
    Ok(())
}

/// Measures the time of a `PING` while every commit is slow: on a connection that waits for nothing, and on
/// one that always has a waiting `OK`.
fn pings(dir: &Path) -> Result<()> {
    let server = Server::start(Kind::SlowJournal, dir, 1)?;
    let mut crowd = Crowd::join(server.addr, 16, "r")?;
    let addr = server.addr;
    let [idle, busy] = thread::scope(|scope| -> Result<[Vec<Duration>; 2]> {
        let idle = scope.spawn(move || Pinger::join(addr, "idle", "ring=idle demand=ask")?.play(false));
        let busy = scope.spawn(move || Pinger::join(addr, "busy", "ring=busy")?.play(true));
        // The others keep the disk busy.
        while !idle.is_finished() || !busy.is_finished() {
            crowd.rate(16)?;
        }
        Ok([idle.join().expect("no panic")?, busy.join().expect("no panic")?])
    })?;
    println!(
        "PING p50 while every sync takes {SLOW:?} more: {:.0} µs, {:.0} µs on a connection whose OK is held; the \
         longest {:.0} and {:.0} µs.",
        micros(&idle),
        micros(&busy),
        idle[idle.len() - 1].as_secs_f64() * 1e6,
        busy[busy.len() - 1].as_secs_f64() * 1e6
    );
    Ok(())
}

struct Pinger {
    socket: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Pinger {
    fn join(server: SocketAddr, name: &str, fields: &str) -> Result<Pinger> {
        let socket = TcpStream::connect(server)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut pinger = Pinger { lines: BufReader::new(socket.try_clone()?), socket };
        writeln!(pinger.socket, "JOIN {name} {fields}")?;
        pinger.hear_until("WELCOME ")?;
        Ok(pinger)
    }

    fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.lines.read_line(&mut line)? > 0, "the server closed a connection");
        Ok(line)
    }

    fn hear_until(&mut self, head: &str) -> Result<()> {
        while !self.hear()?.starts_with(head) {}
        Ok(())
    }

    /// Returns the sorted times of pings. With `answers`, it answers before each, so that an `OK` has to wait
    /// meanwhile.
    fn play(&mut self, answers: bool) -> Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(PINGS);
        while times.len() < PINGS {
            if answers {
                self.hear_until("GO ")?;
                writeln!(self.socket, "ANSWER :17")?;
            }
            let begin = Instant::now();
            writeln!(self.socket, "PING")?;
            ensure!(self.hear()? == "PONG\n", "PONG comes before what waits for the disk");
            times.push(begin.elapsed());
            if !answers {
                thread::sleep(Duration::from_millis(20));
            }
        }
        times.sort_unstable();
        Ok(times)
    }
}
