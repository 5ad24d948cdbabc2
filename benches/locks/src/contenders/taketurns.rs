//! A ring whose seats rest until they ask.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use taketurns::etcd::{Candidate, EtcdConfig, EtcdStore, Step};
use taketurns::journal::Journal;
use taketurns::net::{EventLoop, now, os_entropy};
use taketurns::protocol::turns::{Framing, TurnServer, TurnServerConfig};
use taketurns::session::Epoch;
use taketurns::store::Store;

use super::{Client, Lines, Lock};
use crate::daemon::Daemon;
use crate::{DEADLINE, Options, PATIENCE};

/// Starts this program again, as a server that keeps everything in memory.
pub fn start() -> Result<Daemon> {
    start_with(&[])
}

/// Starts one with a journal in `dir`.
pub fn start_with_journal(dir: &Path) -> Result<Daemon> {
    start_with(&["--dir".as_ref(), dir.as_ref()])
}

/// Starts one that leads in `etcd`, and has no other to stand by.
pub fn start_over(etcd: Option<Daemon>) -> Result<Option<Daemon>> {
    let Some(etcd) = etcd else { return Ok(None) };
    let members = std::iter::once(&etcd).chain(&etcd.others).map(|member| format!("http://{}", member.addr));
    let members = members.collect::<Vec<_>>().join(",");
    let mut server = start_with(&["--etcd".as_ref(), members.as_ref()])?;
    server.others.push(etcd);
    Ok(Some(server))
}

fn start_with(args: &[&OsStr]) -> Result<Daemon> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--serve").args(args);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().expect("it is piped");
    let mut daemon = Daemon { child, addr: (Ipv4Addr::LOCALHOST, 0).into(), others: Vec::new() };
    let mut port = String::new();
    BufReader::new(stdout).read_line(&mut port)?;
    daemon.addr.set_port(port.trim().parse().context("a server did not say where it listens")?);
    Ok(daemon)
}

/// Serves until it is killed.
pub fn serve(options: &Options) -> Result<()> {
    let mut config = TurnServerConfig::default();
    config.framing = Some(Framing::Line);
    config.rules.min_seats = 1;
    config.rules.turn_deadline = DEADLINE;
    let mut event_loop = match (&options.dir, &options.etcd) {
        (Some(dir), _) => kept_in(Journal::open(dir, Epoch(1))?, config)?,
        (_, Some(members)) => kept_in(elected(members)?, config)?,
        (None, None) => EventLoop::new(TurnServer::new(config, os_entropy())?)?,
    };
    let addr = event_loop.driver_mut().listen((Ipv4Addr::LOCALHOST, 0).into())?;
    println!("{}", addr.port());
    std::io::stdout().flush()?;
    Ok(event_loop.run(|_, _| {})?)
}

fn kept_in(mut store: impl Store, config: TurnServerConfig) -> Result<EventLoop<TurnServer>> {
    let server = TurnServer::restore(now(), config, os_entropy(), &store.load()?)?;
    let mut event_loop = EventLoop::new(server)?;
    event_loop.store_in(store, PATIENCE)?;
    Ok(event_loop)
}

fn elected(members: &str) -> Result<EtcdStore> {
    let members = members.split(',').map(str::to_owned).collect();
    let mut candidate = Candidate::new(EtcdConfig::new(members, "locks", "here"), os_entropy())?;
    loop {
        if let Step::Leads(store) = candidate.step()? {
            return Ok(store);
        }
    }
}

struct Ours {
    lines: Lines,
    /// It has every turn without asking.
    always: bool,
}

pub fn connect(addr: SocketAddr, &Client { lock, nth, always, .. }: &Client<'_>) -> Result<Box<dyn Lock>> {
    let mut lines = Lines::to(addr)?;
    let demand = if always { "always" } else { "ask" };
    lines.say(&format!("JOIN client{nth} ring={lock} demand={demand}\n"))?;
    while !lines.hear()?.starts_with("WELCOME ") {}
    Ok(Box::new(Ours { lines, always }))
}

impl Lock for Ours {
    fn ask(&mut self) -> Result<()> {
        if self.always { Ok(()) } else { self.lines.say("ASK\n") }
    }

    fn wait(&mut self) -> Result<()> {
        while !self.lines.hear()?.starts_with("GO ") {}
        Ok(())
    }

    fn give(&mut self) -> Result<bool> {
        self.lines.say("ANSWER :17\n")?;
        loop {
            match self.lines.hear()?.split(' ').next() {
                Some("OK") => return Ok(true),
                Some("NO") => return Ok(false),
                _ => {}
            }
        }
    }
}
