//! A server as a process of its own, so that its processor time can be told apart from that of the clients.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::machine;

/// The address on which every contender listens.
pub const ANY_PORT: &str = "127.0.0.1:0";

// The server's process.

/// Makes the system kill this process when its parent is gone.
pub fn end_with_parent() -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot ask to end with the parent process")
}

/// Tells the parent the port of this server.
pub fn announce(addr: SocketAddr) -> io::Result<()> {
    writeln!(io::stdout(), "{}", addr.port())?;
    io::stdout().flush()
}

// The parent's process.

/// A server's process, killed on drop.
pub struct Server {
    child: Child,
    pub addr: SocketAddr,
}

impl Server {
    /// Starts this program again, on `core`, with `args`.
    pub fn start(core: usize, args: &[&str]) -> Result<Server> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = machine::on_core(core, || command.spawn())??;
        let stdout = child.stdout.take().expect("it is piped");
        let mut server = Server { child, addr: (Ipv4Addr::LOCALHOST, 0).into() };
        let mut port = String::new();
        BufReader::new(stdout).read_line(&mut port)?;
        server.addr.set_port(port.trim().parse().context("it has not said on which port it listens")?);
        Ok(server)
    }

    /// Returns the processor time of all its threads so far. It is exact while they sleep.
    pub fn cpu(&self) -> Result<Duration> {
        Ok(self.cpu_by_thread()?.values().sum())
    }

    /// Returns the processor time of each of its threads so far.
    pub fn cpu_by_thread(&self) -> Result<BTreeMap<OsString, Duration>> {
        let mut used = BTreeMap::new();
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let thread = thread?;
            let statistics = fs::read_to_string(thread.path().join("schedstat"))?;
            let running = statistics.split(' ').next().unwrap_or_default();
            let nanos = running.parse().context("schedstat of a thread does not begin with a number")?;
            used.insert(thread.file_name(), Duration::from_nanos(nanos));
        }
        Ok(used)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
