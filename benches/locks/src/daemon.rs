//! A server's process, and how much memory it uses.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::PATIENCE;

/// A server, killed on drop.
pub struct Daemon {
    pub child: Child,
    pub addr: SocketAddr,
    /// Other members of its cluster, or the store that it needs.
    pub others: Vec<Daemon>,
}

impl Daemon {
    /// Starts a program, and waits until it listens on `addr`.
    pub fn start(mut command: Command, addr: SocketAddr) -> Result<Daemon> {
        let name = command.get_program().to_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let daemon = Daemon { child, addr, others: Vec::new() };
        ensure!(daemon.listens(), "{} does not listen", name.display());
        Ok(daemon)
    }

    /// Starts all members of a cluster, which wait for each other.
    pub fn start_all(commands: Vec<(Command, SocketAddr)>) -> Result<Daemon> {
        let mut members = Vec::new();
        for (mut command, addr) in commands {
            let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
            members.push(Daemon { child, addr, others: Vec::new() });
        }
        ensure!(members.iter().all(Daemon::listens), "a member of a cluster does not listen");
        let mut first = members.remove(0);
        first.others = members;
        Ok(first)
    }

    fn listens(&self) -> bool {
        let give_up = Instant::now() + PATIENCE;
        while TcpStream::connect(self.addr).is_err() {
            if Instant::now() > give_up {
                return false;
            }
            thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// Returns the bytes of memory that belong to the server alone, its children included.
    pub fn memory(&self) -> u64 {
        let id = self.child.id().to_string();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let own = processes.filter(|process| {
            let is_it = process.file_name() == *id;
            let stat = || fs::read_to_string(process.path().join("stat")).ok();
            is_it
                || stat().is_some_and(|stat| {
                    stat.rsplit(") ").next().is_some_and(|rest| rest.split(' ').nth(1) == Some(&id))
                })
        });
        let kilobytes = own.filter_map(|process| {
            let rollup = fs::read_to_string(process.path().join("smaps_rollup")).ok()?;
            let of = |name: &str| {
                let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
                line.trim().split(' ').next()?.parse::<u64>().ok()
            };
            Some(of("Private_Clean:")? + of("Private_Dirty:")?)
        });
        kilobytes.sum::<u64>() * 1024
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // PostgreSQL has child processes, which end with it.
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let give_up = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < give_up {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns an address whose port is probably unused.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

pub fn find(program: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folders.iter().cloned().chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}
