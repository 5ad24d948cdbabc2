//! The servers, and clients that take and give a lock of theirs.

pub mod etcd;
pub mod node;
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

/// The `nth` client of a lock, `of` so many.
pub struct Client<'a> {
    pub lock: &'a str,
    pub nth: usize,
    pub of: usize,
    /// Whether it always wants the lock, so that a server may do without being asked.
    pub always: bool,
}

/// Connects a client.
pub type Connect = fn(SocketAddr, &Client<'_>) -> Result<Box<dyn Lock>>;

/// Servers that are compared with each other only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Memory,
    /// The lock moves only once that is on the disk.
    Disk,
    /// Frameworks for games, of Node.js.
    Games,
}

/// A way to let clients act one at a time.
pub struct Contender {
    pub name: &'static str,
    pub daemon: Rc<Daemon>,
    connect: Connect,
    /// Whether clients wait at the server, so that those can be counted that do. The others ask again and
    /// again.
    pub queues: bool,
    pub group: Group,
}

impl Contender {
    pub fn connect(&self, client: Client<'_>) -> Result<Box<dyn Lock>> {
        // Two contenders may be one server.
        let letters: String = self.name.chars().filter(char::is_ascii_alphanumeric).collect();
        let lock = format!("{}-{letters}", client.lock);
        (self.connect)(self.daemon.addr, &Client { lock: &lock, ..client })
    }
}

/// Starts all servers that there are.
pub fn start(dir: &Path) -> Result<Vec<Contender>> {
    let mut contenders = Vec::new();
    let mut add = |name, daemon: &Option<Rc<Daemon>>, connect, queues, group| {
        if let Some(daemon) = daemon {
            let daemon = Rc::clone(daemon);
            contenders.push(Contender { name, daemon, connect, queues, group });
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
    add("taketurns", &ours, taketurns::connect as Connect, true, Group::Memory);
    add("Redis, a list with one baton", &redis, redis::connect_to_baton, true, Group::Memory);
    add("Redis, the lock of its documentation", &redis, redis::connect_to_lock, false, Group::Memory);
    add("PostgreSQL, an advisory lock", &postgres, postgres::connect_to_advisory, true, Group::Memory);
    let kept = of("taketurns", taketurns::start_with_journal(&dir.join("turns")).map(Some))?;
    let synced = of("redis-server", redis::start(&dir.join("redis-synced"), true))?;
    let etcd = of("etcd-server", etcd::start(&dir.join("etcd"), 1))?;
    let cluster = of("etcd-server", etcd::start(&dir.join("cluster"), 3))?;
    let over = of("etcd-server", taketurns::start_over(etcd::start(&dir.join("over"), 3)?))?;
    let zookeeper = of("zookeeper", zookeeper::start(&dir.join("zookeeper"), 1))?;
    let ensemble = of("zookeeper", zookeeper::start(&dir.join("ensemble"), 3))?;
    add("taketurns with a journal", &kept, taketurns::connect, true, Group::Disk);
    add("Redis, its lock, `appendfsync always`", &synced, redis::connect_to_lock, false, Group::Disk);
    add("PostgreSQL, a row", &postgres, postgres::connect_to_row, false, Group::Disk);
    add("etcd, its lock recipe, one member", &etcd, etcd::connect, true, Group::Disk);
    add("taketurns over an etcd of three members", &over, taketurns::connect, true, Group::Disk);
    add("etcd, its lock recipe, three members", &cluster, etcd::connect, true, Group::Disk);
    add("ZooKeeper, its lock recipe, one server", &zookeeper, zookeeper::connect, true, Group::Disk);
    add("ZooKeeper, its lock recipe, three servers", &ensemble, zookeeper::connect, true, Group::Disk);
    let socket_io =
        of("node, or what it needs: npm install --prefix benches/locks/node", node::start("socket_io.cjs"))?;
    let boardgame_io = of("boardgame.io", node::start("boardgame_io.cjs"))?;
    add("socket.io, a queue and a timer", &socket_io, node::connect_to_socket_io, true, Group::Games);
    add("boardgame.io, a move each", &boardgame_io, node::connect_to_boardgame_io, true, Group::Games);
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
