//! The cost of another loop, compared with a program that has only the server's own loop: a loop around
//! `poll(2)` that waits for nothing else, and the programs of `src/bin/`.
//!
//! Each is a process of its own; the clients are blocking sockets in this one. All are on one core, where the
//! cost shows most. `strace` counts the system calls, without those of the clock.
//!
//! `cargo bench -p hosts`. With `--bench hosts -- --any-core` the system places the processes, which decides
//! more than anything else then. Linux only, because it pins processes and reads the system's figures about
//! them.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::ops::ControlFlow::Continue;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use argh::FromArgs as _;
use hosts::Options;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use taketurns::net::{Driver, Event, now};
use taketurns::protocol::turns::{TurnEvent, TurnServer};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The others are compared with the first one. The first two are in this program.
const HOSTS: [(&str, &str); 6] = [
    ("our own loop", OWN),
    ("poll(2)", IN_POLL),
    ("poll(2) and its input", env!("CARGO_BIN_EXE_in_poll")),
    ("tokio", env!("CARGO_BIN_EXE_in_tokio")),
    ("calloop", env!("CARGO_BIN_EXE_in_calloop")),
    ("thread and channel", env!("CARGO_BIN_EXE_on_thread")),
];

const OWN: &str = "serve";
const IN_POLL: &str = "serve-in-poll";

const ROUNDS: usize = 15;
const WARM_UP: usize = 200;
const HAND_OVERS: usize = 2_000;

const LAPSES: usize = 20;
const LAPSE_AFTER: Duration = Duration::from_millis(50);

/// Time for a host to come to rest. About 10 s after it has written anything, it checks once whether its
/// clients are still there.
const SETTLE: Duration = Duration::from_millis(1_000);
const IDLE: Duration = Duration::from_secs(5);

/// Both are even, so that the same client holds the turn at the end.
const FEW_TURNS: usize = 1_000;
const MANY_TURNS: usize = 3_000;

/// Far longer than a hand-over takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(program) = arguments.first().filter(|&first| [OWN, IN_POLL].contains(&first.as_str())) {
        let arguments: Vec<&str> = arguments[1..].iter().map(String::as_str).collect();
        let options = Options::from_args(&[program], &arguments).map_err(|exit| exit.output)?;
        return serve(&options, program == IN_POLL);
    }
    show_calls()?;
    if !arguments.iter().any(|argument| argument == "--any-core") {
        run_on_one_core()?;
    }
    show_idle()?;
    show_hand_overs("line clients", Framing::Line)?;
    show_hand_overs("raw clients", Framing::Raw)?;
    show_lapses()
}

fn show_calls() -> Result<()> {
    println!("system calls of a turn, two raw clients, counted over {} turns", MANY_TURNS - FEW_TURNS);
    for (name, program) in HOSTS {
        let calls = calls(program)?;
        let total: f64 = calls.values().sum();
        let shown: Vec<_> = calls.iter().map(|(call, count)| format!("{call} {count:.2}")).collect();
        println!("{name:<22} {total:>6.2}   {}", shown.join(", "));
    }
    Ok(())
}

/// One client has the turn but does not answer, the other one waits.
fn show_idle() -> Result<()> {
    let start = |(_, program): &(&str, &str)| Host::start(program, &[]);
    let mut hosts = HOSTS.iter().map(start).collect::<Result<Vec<_>>>()?;
    let pairs = hosts.iter().map(|host| Pair::join(&host.addr, Framing::Raw)).collect::<Result<Vec<_>>>()?;
    thread::sleep(SETTLE);
    let before = hosts.iter().map(Host::work).collect::<Result<Vec<_>>>()?;
    thread::sleep(IDLE);
    println!("\nidle for {IDLE:?}, a turn is held and a client waits");
    for ((name, _), (host, before)) in HOSTS.iter().zip(hosts.iter().zip(before)) {
        let Work { nanos, switches } = host.work()?;
        let (nanos, switches) = (nanos - before.nanos, switches - before.switches);
        println!("{name:<22} {switches:>6} switches {nanos:>9} ns of processor time");
    }
    drop(pairs);
    hosts.iter_mut().try_for_each(Host::end)
}

/// Starts each host anew in each round, since some processes are faster than others of the same program.
fn show_hand_overs(clients: &str, framing: Framing) -> Result<()> {
    let mut plays = [(); HOSTS.len()].map(|()| Vec::new());
    for round in 0..ROUNDS {
        for nth in 0..HOSTS.len() {
            // Each of them begins a round equally often.
            let at = (nth + round) % HOSTS.len();
            let mut host = Host::start(HOSTS[at].1, &[])?;
            let mut pair = Pair::join(&host.addr, framing)?;
            plays[at].push(play(&host, &mut pair)?);
            drop(pair);
            host.end()?;
        }
    }
    println!(
        "\nhand-over of a turn, {clients}, {ROUNDS} rounds of {HAND_OVERS}: median (lowest to highest round), and the ratio to our own loop's"
    );
    println!(
        "{:<22} {:>28} {:>24} {:>24} {:>24}",
        "", "median of a round, us", "ratio", "processor, us", "ratio"
    );
    for ((name, _), of_host) in HOSTS.iter().zip(&plays) {
        let columns = [median, processor].map(|figure: fn(&Play) -> f64| {
            let ratios = of_host.iter().zip(&plays[0]).map(|(play, own)| figure(play) / figure(own));
            (Spread::of(of_host.iter().map(figure)), Spread::of(ratios))
        });
        let [(median, slower), (processor, dearer)] = columns;
        println!("{name:<22} {median:>28} {slower:>24} {processor:>24} {dearer:>24}");
    }
    Ok(())
}

fn show_lapses() -> Result<()> {
    println!("\nlapses of {LAPSES} turns after {LAPSE_AFTER:?}: how late the next client hears GO, ms");
    for (name, program) in HOSTS {
        let deadline = format!("{}ms", LAPSE_AFTER.as_millis());
        let mut host = Host::start(program, &["--turn-deadline", &deadline])?;
        let late = lapses(&host.addr)?;
        host.end()?;
        let mean = late.iter().sum::<f64>() / late.len() as f64;
        println!("{name:<22} {:<28} mean {mean:.2}", Spread::of(late));
    }
    Ok(())
}

/// Runs only the server's own loop, or a loop around `poll(2)` that waits for nothing else. The server ends
/// after its first client has left, so that it needs neither an input nor a thread.
fn serve(options: &Options, is_in_poll: bool) -> Result<()> {
    let mut event_loop = options.serve()?;
    let on_event = |driver: &mut Driver<TurnServer>, event| {
        options.print_event(driver.protocol(), &event);
        if matches!(event, Event::Protocol(TurnEvent::Away { .. })) {
            driver.drain(now());
        }
    };
    if !is_in_poll {
        return Ok(event_loop.run(on_event)?);
    }
    while let Continue(timeout) = event_loop.run_ready(on_event)? {
        let timeout = timeout.map(TryInto::try_into).transpose()?;
        poll(&mut [PollFd::new(&event_loop, PollFlags::IN)], timeout.as_ref())?;
    }
    Ok(())
}

fn median(play: &Play) -> f64 {
    play.median
}

fn processor(play: &Play) -> f64 {
    play.processor
}

struct Play {
    /// The median of the hand-overs, in µs.
    median: f64,
    /// The host's processor time per hand-over, in µs.
    processor: f64,
}

fn play(host: &Host, pair: &mut Pair) -> Result<Play> {
    for _ in 0..WARM_UP {
        pair.hand_over()?;
    }
    let before = host.work()?;
    let mut took = (0..HAND_OVERS).map(|_| pair.hand_over()).collect::<Result<Vec<_>>>()?;
    let nanos = host.work()?.nanos - before.nanos;
    took.sort();
    let median = took[HAND_OVERS / 2].as_secs_f64() * 1e6;
    Ok(Play { median, processor: nanos as f64 / 1e3 / HAND_OVERS as f64 })
}

/// Returns how late turns lapse, in ms.
fn lapses(addr: &str) -> Result<Vec<f64>> {
    let mut clients = ["ann", "bob"].map(|name| -> Result<_> {
        let mut stream = connect(addr)?;
        stream.write_all(format!("JOIN {name}\n").as_bytes())?;
        Ok(BufReader::new(stream).lines())
    });
    let mut told = None;
    let mut late = Vec::new();
    while late.len() < LAPSES {
        for client in &mut clients {
            let lines = client.as_mut().map_err(|error| error.to_string())?;
            while !lines.next().ok_or("it ends")??.starts_with("GO ") {}
            let now = Instant::now();
            if let Some(before) = told.replace(now) {
                late.push((now.duration_since(before).as_secs_f64() - LAPSE_AFTER.as_secs_f64()) * 1e3);
            }
        }
    }
    Ok(late)
}

/// Two clients, one of which has the turn.
struct Pair {
    clients: [Client; 2],
    holder: usize,
}

impl Pair {
    fn join(addr: &str, framing: Framing) -> Result<Pair> {
        let join = |name| Client::join(addr, framing, name);
        let mut clients = [join("ann")?, join("bob")?];
        let holder = 0;
        clients[holder].await_turn()?;
        Ok(Pair { clients, holder })
    }

    /// Plays a hand-over. Returns the time from before the holder's answer is written until the other client
    /// has read its `GO`.
    fn hand_over(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        self.clients[self.holder].answer()?;
        self.holder = 1 - self.holder;
        self.clients[self.holder].await_turn()?;
        Ok(begun.elapsed())
    }
}

#[derive(Clone, Copy)]
enum Framing {
    Raw,
    Line,
}

struct Client {
    stream: BufReader<TcpStream>,
    framing: Framing,
    /// The bytes of its next answer.
    answer: Vec<u8>,
    /// In the line protocol, the end of its answers: epoch and text.
    tail: String,
    line: String,
}

impl Client {
    fn join(addr: &str, framing: Framing, name: &str) -> Result<Client> {
        let stream = BufReader::new(connect(addr)?);
        let answer = format!("{name}:1").into_bytes();
        let mut client = Client { stream, framing, answer, tail: String::new(), line: String::new() };
        match framing {
            Framing::Raw => client.expect(b"WAIT")?,
            Framing::Line => {
                client.stream.get_mut().write_all(format!("JOIN {name}\n").as_bytes())?;
                client.stream.read_line(&mut client.line)?;
                let epoch = client.line.split(' ').find(|word| word.starts_with("epoch="));
                client.tail = format!(" {} :1\n", epoch.ok_or("no epoch in its welcome")?);
            }
        }
        Ok(client)
    }

    fn await_turn(&mut self) -> Result<()> {
        if let Framing::Raw = self.framing {
            return self.expect(b"GO");
        }
        loop {
            self.line.clear();
            if self.stream.read_line(&mut self.line)? == 0 {
                return Err("the server has closed the connection".into());
            }
            if let Some(go) = self.line.strip_prefix("GO ") {
                let turn = go.split(' ').next().ok_or("no turn in its GO")?;
                self.answer.clear();
                return Ok(write!(self.answer, "ANSWER {turn}{}", self.tail)?);
            }
        }
    }

    fn answer(&mut self) -> io::Result<()> {
        self.stream.get_mut().write_all(&self.answer)
    }

    fn expect(&mut self, signal: &[u8]) -> Result<()> {
        let mut heard = [0; 4];
        let heard = &mut heard[..signal.len()];
        self.stream.read_exact(heard)?;
        if heard == signal { Ok(()) } else { Err(format!("heard {heard:?}").into()) }
    }
}

fn connect(addr: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Returns how often a turn makes each system call, from two runs that differ only in the number of turns.
fn calls(program: &str) -> Result<BTreeMap<String, f64>> {
    let (few, many) = (count(program, FEW_TURNS)?, count(program, MANY_TURNS)?);
    let turns = (MANY_TURNS - FEW_TURNS) as f64;
    let of_a_turn = many.into_iter().map(|(call, count)| {
        let before = few.get(&call).copied().unwrap_or(0.0);
        (call, (count - before) / turns)
    });
    Ok(of_a_turn.filter(|(_, count)| count.abs() >= 0.005).collect())
}

/// Counts the system calls of a host from start to end.
fn count(program: &str, turns: usize) -> Result<BTreeMap<String, f64>> {
    let counted = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("hosts-{}", std::process::id()));
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-e", "trace=!clock_gettime", "-o"]).arg(&counted).arg("--");
    let mut host = Host::spawn(command, program, &[])?;
    let mut pair = Pair::join(&host.addr, Framing::Raw)?;
    for _ in 0..turns {
        pair.hand_over()?;
    }
    drop(pair);
    host.end()?;
    let table = fs::read_to_string(&counted)?;
    fs::remove_file(&counted)?;
    // Share, seconds, microseconds per call, calls, possibly errors, name.
    let row = |line: &str| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let name = cells.last().filter(|&&name| name != "total")?;
        Some(((*name).to_owned(), cells.get(3)?.parse().ok()?))
    };
    Ok(table.lines().filter_map(row).collect())
}

struct Host {
    process: Child,
    addr: String,
}

/// The work of a process, including all its threads.
struct Work {
    nanos: u64,
    switches: u64,
}

impl Host {
    fn start(program: &str, options: &[&str]) -> Result<Host> {
        Host::spawn(Command::new("env"), program, options)
    }

    /// Starts a program by a command that runs its last arguments.
    fn spawn(mut command: Command, program: &str, options: &[&str]) -> Result<Host> {
        match program {
            OWN | IN_POLL => command.arg(std::env::current_exe()?).arg(program),
            program => command.arg(program),
        };
        // Its input ends with this process, which ends it as well.
        let command = command
            .args(options)
            .args(["--listen", "127.0.0.1:0", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("it is piped")?).read_line(&mut line)?;
        let addr =
            line.trim_end().strip_prefix("Server listening on ").ok_or("it has not said where it listens")?;
        Ok(Host { addr: addr.to_owned(), process })
    }

    fn work(&self) -> Result<Work> {
        let mut work = Work { nanos: 0, switches: 0 };
        for thread in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let thread = thread?.path();
            let number =
                |text: &str| text.split_whitespace().next().and_then(|text| text.parse::<u64>().ok());
            work.nanos += number(&fs::read_to_string(thread.join("schedstat"))?).ok_or("no time")?;
            let status = fs::read_to_string(thread.join("status"))?;
            let switches = status.lines().filter_map(|line| line.split_once("voluntary_ctxt_switches:"));
            work.switches += switches.filter_map(|(_, count)| number(count)).sum::<u64>();
        }
        Ok(work)
    }

    fn end(&mut self) -> Result<()> {
        drop(self.process.stdin.take());
        let status = self.process.wait()?;
        if status.success() { Ok(()) } else { Err(format!("a host ended with {status}").into()) }
    }
}

/// Keeps this process, and everything that it starts from now on, on one core: the last one, because the
/// first ones serve most interrupts.
fn run_on_one_core() -> Result<()> {
    let allowed = sched_getaffinity(None)?;
    let last = (0..CpuSet::MAX_CPU).rev().find(|&core| allowed.is_set(core));
    let mut only = CpuSet::new();
    only.set(last.ok_or("this process may run on no core")?);
    Ok(sched_setaffinity(None, &only)?)
}

/// The median, the lowest and the highest of some figures.
struct Spread {
    median: f64,
    low: f64,
    high: f64,
}

impl Spread {
    fn of(figures: impl IntoIterator<Item = f64>) -> Spread {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Spread { median: sorted[sorted.len() / 2], low: sorted[0], high: sorted[sorted.len() - 1] }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Spread { median, low, high } = self;
        f.pad(&format!("{median:.2} ({low:.2} to {high:.2})"))
    }
}
