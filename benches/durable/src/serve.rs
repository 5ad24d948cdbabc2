//! Turn servers that differ in where their state is kept, each a process of its own.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use taketurns::journal::Journal;
use taketurns::mio::{Events, Poll};
use taketurns::net::{Driver, DriverConfig, EventLoop, TokenSpace, now, os_entropy, poll_timeout};
use taketurns::protocol::turns::{Framing, TurnServer, TurnServerConfig};
use taketurns::record::{Change, MetaValue, State};
use taketurns::session::Epoch;
use taketurns::store::{Lost, Store};

use crate::commits::Plain;

/// Where a server keeps its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In memory.
    Memory,
    /// In a journal.
    Journal,
    /// In memory, while the loop itself writes and syncs a file before it sends what a record caused.
    SyncInTheLoop,
    /// In a journal on a disk whose syncs take 50 ms longer.
    SlowJournal,
}

impl Kind {
    const ALL: [(Kind, &'static str); 4] = [
        (Kind::Memory, "memory"),
        (Kind::Journal, "journal"),
        (Kind::SyncInTheLoop, "sync-in-the-loop"),
        (Kind::SlowJournal, "slow-journal"),
    ];

    pub fn name(self) -> &'static str {
        Kind::ALL.iter().find(|(kind, _)| *kind == self).expect("each has a name").1
    }
}

pub fn kind(text: &str) -> Result<Kind, String> {
    let known = Kind::ALL.iter().find(|(_, name)| *name == text);
    known.map(|(kind, _)| *kind).ok_or_else(|| "no such kind of server".to_owned())
}

/// The additional time of a slow disk.
pub const SLOW: Duration = Duration::from_millis(50);

struct Slow(Journal);

impl Store for Slow {
    fn load(&mut self) -> Result<State, Lost> {
        self.0.load()
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<(), Lost> {
        std::thread::sleep(SLOW);
        self.0.commit(changes)
    }

    fn close(self) -> Result<(), Lost> {
        self.0.close()
    }
}

// The server's process.

/// Serves until it is killed.
pub fn run(kind: Kind, dir: &Path) -> Result<()> {
    let mut config = TurnServerConfig::default();
    config.framing = Some(Framing::Line);
    config.max_clients = 10_000;
    config.rules.min_seats = 1;
    match kind {
        Kind::Memory => serve(EventLoop::new(TurnServer::new(config, os_entropy())?)?),
        Kind::SyncInTheLoop => sync_in_the_loop(config, dir),
        Kind::Journal | Kind::SlowJournal => {
            let mut journal = Journal::open(&dir.join("journal"), Epoch(1))?;
            let server = TurnServer::restore(now(), config, os_entropy(), &journal.load()?)?;
            let mut event_loop = EventLoop::new(server)?;
            let patience = Duration::from_secs(10);
            match kind {
                Kind::SlowJournal => event_loop.store_in(Slow(journal), patience)?,
                _ => event_loop.store_in(journal, patience)?,
            }
            serve(event_loop)
        }
    }
}

fn announce(addr: SocketAddr) -> Result<()> {
    println!("{}", addr.port());
    std::io::stdout().flush()?;
    Ok(())
}

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn serve(mut event_loop: EventLoop<TurnServer>) -> Result<()> {
    announce(event_loop.driver_mut().listen(any_port())?)?;
    Ok(event_loop.run(|_, _| {})?)
}

/// Writes and syncs once for all records of a pass.
fn sync_in_the_loop(config: TurnServerConfig, dir: &Path) -> Result<()> {
    fs::create_dir(dir.join("loop"))?;
    let mut file = Plain::new(&dir.join("loop"))?;
    let state = State::new(MetaValue { epoch: Epoch(1), forgotten_turn: 0 });
    let server = TurnServer::restore(now(), config, os_entropy(), &state)?;
    let mut poll = Poll::new()?;
    let mut driver = Driver::new(poll.registry(), TokenSpace(1), server, DriverConfig::default())?;
    announce(driver.listen(any_port())?)?;
    let mut events = Events::with_capacity(1024);
    let mut durable = None;
    loop {
        let timeout =
            durable.map_or_else(|| poll_timeout(now(), driver.next_deadline()), |_| Some(Duration::ZERO));
        poll.poll(&mut events, timeout)?;
        let now = now();
        if let Some(upto) = durable.take() {
            driver.handle_durable(now, upto);
        }
        events.iter().for_each(|event| driver.handle_event(now, event));
        driver.finish_batch(now)?;
        while driver.poll_event().is_some() {}
        while let Some(record) = driver.poll_record(now) {
            durable = Some(record.seq);
        }
        if durable.is_some() {
            file.write()?;
        }
    }
}

// The parent's process.

/// A server's process, killed on drop.
pub struct Server {
    child: Child,
    pub addr: SocketAddr,
}

impl Server {
    /// Starts this program again, in a directory of its own below `dir`.
    pub fn start(kind: Kind, dir: &Path, nth: usize) -> Result<Server> {
        let dir = dir.join(format!("{}-{nth}", kind.name()));
        fs::create_dir(&dir)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--serve", kind.name(), "--dir"]).arg(&dir);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().expect("it is piped");
        let mut server = Server { child, addr: any_port() };
        let mut port = String::new();
        BufReader::new(stdout).read_line(&mut port)?;
        server.addr.set_port(port.trim().parse().context("a server did not say where it listens")?);
        Ok(server)
    }

    /// Returns the processor time that it has used.
    pub fn processor_time(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name of the program, in parentheses, may contain blanks. User and system time are the 14th and
        // 15th field, in hundredths of a second.
        let (_, fields) = stat.rsplit_once(')').context("a process without a name")?;
        let ticks: u64 =
            fields.split_whitespace().skip(11).take(2).map(|field| field.parse().unwrap_or(0)).sum();
        Ok(Duration::from_millis(10 * ticks))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
