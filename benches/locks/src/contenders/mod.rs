//! The servers, and clients that take and give a lock of theirs.

pub mod etcd;
pub mod postgres;
pub mod redis;
pub mod taketurns;
pub mod zookeeper;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Result, ensure};

use crate::PATIENCE;
use crate::daemon::Daemon;

/// A client of one lock.
pub trait Lock: Send {
    /// Asks for it.
    fn ask(&mut self) -> Result<()>;

    /// Returns once this client has it.
    fn wait(&mut self) -> Result<()>;

    /// Gives it back; `false` if the server says that another client has it by now.
    fn give(&mut self) -> Result<bool>;
}

/// Connects the `nth` client of the lock with this name.
pub type Connect = fn(SocketAddr, lock: &str, nth: usize) -> Result<Box<dyn Lock>>;

/// A way to let clients act one at a time.
pub struct Contender {
    pub name: &'static str,
    pub daemon: Rc<Daemon>,
    connect: Connect,
    /// Whether clients wait at the server, so that those can be counted that do. The others ask again and
    /// again.
    pub queues: bool,
    /// Whether the lock moves only once that is on the disk.
    pub is_durable: bool,
}

impl Contender {
    pub fn connect(&self, lock: &str, nth: usize) -> Result<Box<dyn Lock>> {
        // Two contenders may be one server.
        let letters: String = self.name.chars().filter(char::is_ascii_alphanumeric).collect();
        (self.connect)(self.daemon.addr, &format!("{lock}-{letters}"), nth)
    }
}

/// Starts all servers that there are.
pub fn start(dir: &Path) -> Result<Vec<Contender>> {
    let mut contenders = Vec::new();
    let mut add = |name, daemon: &Option<Rc<Daemon>>, connect, queues, is_durable| {
        if let Some(daemon) = daemon {
            let daemon = Rc::clone(daemon);
            contenders.push(Contender { name, daemon, connect, queues, is_durable });
        }
    };
    let of = |name: &str, started: Result<Option<Daemon>>| -> Result<Option<Rc<Daemon>>> {
        let started = started?;
        if started.is_none() {
            println!("SKIPPED: {name} is not installed.\n");
        }
        Ok(started.map(Rc::new))
    };
    let ours = of("taketurns", taketurns::start().map(Some))?;
    let redis = of("redis-server", redis::start(&dir.join("redis"), false))?;
    let postgres = of("postgresql", postgres::start(&dir.join("postgres")))?;
    add("taketurns", &ours, taketurns::connect as Connect, true, false);
    add("Redis, a list with one baton", &redis, redis::connect_to_baton, true, false);
    add("Redis, the lock of its documentation", &redis, redis::connect_to_lock, false, false);
    add("PostgreSQL, an advisory lock", &postgres, postgres::connect_to_advisory, true, false);
    let kept = of("taketurns", taketurns::start_with_journal(&dir.join("turns")).map(Some))?;
    let synced = of("redis-server", redis::start(&dir.join("redis-synced"), true))?;
    let etcd = of("etcd-server", etcd::start(&dir.join("etcd"), 1))?;
    let cluster = of("etcd-server", etcd::start(&dir.join("cluster"), 3))?;
    let over = of("etcd-server", taketurns::start_over(etcd::start(&dir.join("over"), 3)?))?;
    let zookeeper = of("zookeeper", zookeeper::start(&dir.join("zookeeper")))?;
    add("taketurns with a journal", &kept, taketurns::connect, true, true);
    add("Redis, its lock, `appendfsync always`", &synced, redis::connect_to_lock, false, true);
    add("PostgreSQL, a row", &postgres, postgres::connect_to_row, false, true);
    add("etcd, its lock service, one member", &etcd, etcd::connect, true, true);
    add("taketurns over an etcd of three members", &over, taketurns::connect, true, true);
    add("etcd, its lock service, three members", &cluster, etcd::connect, true, true);
    add("ZooKeeper, its lock recipe, one server", &zookeeper, zookeeper::connect, true, true);
    Ok(contenders)
}

fn connected(addr: SocketAddr) -> Result<TcpStream> {
    let socket = TcpStream::connect(addr)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// A connection for lines.
struct Lines(BufReader<TcpStream>);

impl Lines {
    fn to(addr: SocketAddr) -> Result<Lines> {
        Ok(Lines(BufReader::new(connected(addr)?)))
    }

    fn say(&mut self, text: &str) -> Result<()> {
        Ok(self.0.get_mut().write_all(text.as_bytes())?)
    }

    fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.0.read_line(&mut line)? > 0, "a server closed a connection");
        Ok(line)
    }
}
