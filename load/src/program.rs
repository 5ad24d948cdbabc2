//! The programs under load as processes, and the system's figures about them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A `turn_server`, killed on drop.
pub struct Server {
    child: Child,
    pub addr: SocketAddr,
    accepted: Arc<AtomicU64>,
}

impl Server {
    pub fn start(listen: &str, args: &[&str]) -> Result<Server> {
        Server::spawn(Command::new(example("turn_server")?), listen, args)
    }

    /// Starts one whose memory is only what it holds. By default, glibc gives each thread a cache for freed
    /// memory, which fills for many minutes and looks like a leak.
    pub fn start_without_cache(listen: &str, args: &[&str]) -> Result<Server> {
        let mut command = Command::new(example("turn_server")?);
        command.env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0");
        Server::spawn(command, listen, args)
    }

    fn spawn(mut command: Command, listen: &str, args: &[&str]) -> Result<Server> {
        command.args(["--listen", listen, "--log-level", "error"]).args(args);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        said.read_line(&mut line)?;
        let addr = line.trim_end().strip_prefix("Server listening on ").and_then(|addr| addr.parse().ok());
        let Some(addr) = addr else {
            child.wait()?;
            anyhow::bail!("turn_server does not listen; perhaps it has said why");
        };
        let accepted = Arc::new(AtomicU64::new(0));
        let counter = accepted.clone();
        thread::spawn(move || count_accepted(said, &counter));
        Ok(Server { child, addr, accepted })
    }

    /// Returns how many numbers it has printed.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Returns its resident anonymous memory in bytes, without the system's memory for sockets.
    pub fn memory(&self) -> Result<f64> {
        anonymous_memory(&self.child)
    }

    pub fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// Waits until it has this many descriptors. Returns how long that took.
    pub fn await_descriptors(&self, wanted: usize, patience: Duration) -> Result<Duration> {
        let begun = Instant::now();
        loop {
            let count = self.descriptors()?;
            if count == wanted {
                return Ok(begun.elapsed());
            }
            ensure!(begun.elapsed() < patience, "{count} descriptors instead of {wanted} after {patience:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// `kill -9`.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Any of the servers, killed on drop.
pub struct Program {
    child: Child,
    pub addr: SocketAddr,
}

impl Program {
    /// Starts it on a port that was free a moment ago.
    pub fn start(name: &str, args: &[&str]) -> Result<Program> {
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(example(name)?);
        command.args(["--listen", &addr.to_string(), "--log-level", "off"]).args(args);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let program = Program { child, addr };
        let begun = Instant::now();
        while TcpStream::connect(addr).is_err() {
            ensure!(begun.elapsed() < Duration::from_secs(10), "{name} does not listen on {addr}");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(program)
    }

    /// See [`Server::memory`]; fails if it has ended.
    pub fn memory(&self) -> Result<f64> {
        anonymous_memory(&self.child)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn anonymous_memory(child: &Child) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no RssAnon in its status")?;
    Ok(kib.parse::<f64>()? * 1024.0)
}

/// Its output must be read, or it would block.
fn count_accepted(said: BufReader<ChildStdout>, accepted: &AtomicU64) {
    for line in said.lines().map_while(Result::ok) {
        accepted.fetch_add(u64::from(line.contains(" sent: ")), Ordering::Relaxed);
    }
}

/// A `turn_client` with many clients, killed on drop.
pub struct Clients(Child);

impl Clients {
    pub fn start(server: SocketAddr, args: &[&str]) -> Result<Clients> {
        let mut command = Command::new(example("turn_client")?);
        command.args(["--connect", &server.to_string(), "--log-level", "off"]).args(args);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Clients(quiet.spawn()?))
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

fn end(child: &mut Child) {
    // It may have ended already.
    let _ = child.kill();
    let _ = child.wait();
}

/// Returns an example, which is built into a directory next to this program.
fn example(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("examples").join(name);
    ensure!(path.exists(), "there is no {}: cargo build --release --examples", path.display());
    Ok(path)
}

/// Raises the limit of file descriptors as far as the system allows, also for child processes.
pub fn raise_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If this fails, a scenario reports how many clients fit.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Fails with advice if this process cannot have so many sockets.
pub fn ensure_descriptors(sockets: usize) -> Result<()> {
    let limit = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
    ensure!(
        limit.is_none_or(|limit| limit >= sockets + 100),
        "{sockets} clients need a limit of {} file descriptors: raise ulimit -n",
        sockets + 100
    );
    Ok(())
}
