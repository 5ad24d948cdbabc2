//! A ring whose seats rest until they ask.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use taketurns::journal::Journal;
use taketurns::net::{EventLoop, now, os_entropy};
use taketurns::protocol::turns::{Framing, TurnServer, TurnServerConfig};
use taketurns::session::Epoch;

use super::{Lines, Lock};
use crate::daemon::Daemon;
use crate::{DEADLINE, PATIENCE};

/// Starts this program again, as a server with a journal in `dir` if there is one.
pub fn start(dir: Option<&Path>) -> Result<Daemon> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--serve");
    if let Some(dir) = dir {
        command.arg("--dir").arg(dir);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().expect("it is piped");
    let mut daemon = Daemon { child, addr: (Ipv4Addr::LOCALHOST, 0).into() };
    let mut port = String::new();
    BufReader::new(stdout).read_line(&mut port)?;
    daemon.addr.set_port(port.trim().parse().context("a server did not say where it listens")?);
    Ok(daemon)
}

/// Serves until it is killed.
pub fn serve(dir: Option<&Path>) -> Result<()> {
    let mut config = TurnServerConfig::default();
    config.framing = Some(Framing::Line);
    config.rules.min_seats = 1;
    config.rules.turn_deadline = DEADLINE;
    let mut event_loop = match dir {
        None => EventLoop::new(TurnServer::new(config, os_entropy())?)?,
        Some(dir) => {
            use taketurns::store::Store as _;

            let mut journal = Journal::open(dir, Epoch(1))?;
            let server = TurnServer::restore(now(), config, os_entropy(), &journal.load()?)?;
            let mut event_loop = EventLoop::new(server)?;
            event_loop.store_in(journal, PATIENCE)?;
            event_loop
        }
    };
    let addr = event_loop.driver_mut().listen((Ipv4Addr::LOCALHOST, 0).into())?;
    println!("{}", addr.port());
    std::io::stdout().flush()?;
    Ok(event_loop.run(|_, _| {})?)
}

struct Ours(Lines);

pub fn connect(addr: SocketAddr, lock: &str, nth: usize) -> Result<Box<dyn Lock>> {
    let mut lines = Lines::to(addr)?;
    lines.say(&format!("JOIN client{nth} ring={lock} demand=ask\n"))?;
    while !lines.hear()?.starts_with("WELCOME ") {}
    Ok(Box::new(Ours(lines)))
}

impl Lock for Ours {
    fn ask(&mut self) -> Result<()> {
        self.0.say("ASK\n")
    }

    fn wait(&mut self) -> Result<()> {
        while !self.0.hear()?.starts_with("GO ") {}
        Ok(())
    }

    fn give(&mut self) -> Result<bool> {
        self.0.say("ANSWER :17\n")?;
        loop {
            match self.0.hear()?.split(' ').next() {
                Some("OK") => return Ok(true),
                Some("NO") => return Ok(false),
                _ => {}
            }
        }
    }
}
