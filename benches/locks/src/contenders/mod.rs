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
    pub fn is_ours(&self) -> bool {
        self.name.starts_with("taketurns")
    }

    pub fn connect(&self, client: Client<'_>) -> Result<Box<dyn Lock>> {
        // Two contenders may be one server.
        let letters: String = self.name.chars().filter(char::is_ascii_alphanumeric).collect();
        let lock = format!("{}-{letters}", client.lock);
        (self.connect)(self.daemon.addr, &Client { lock: &lock, ..client })
    }
}

/// Starts the servers that there are, of those that a wanted contender needs.
pub fn start(dir: &Path, is_wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Contender>> {
    use Group::{Disk, Games, Memory};
    type Ways<'a> = &'a [(&'static str, Connect, bool, Group)];

    let mut contenders = Vec::new();
    let mut add = |program: &str, start: &dyn Fn() -> Result<Option<Daemon>>, ways: Ways<'_>| -> Result<()> {
        let wanted: Vec<_> = ways.iter().filter(|(name, ..)| is_wanted(name)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let Some(daemon) = start()?.map(Rc::new) else {
            println!("SKIPPED: {program} is not installed.\n");
            return Ok(());
        };
        contenders.extend(wanted.into_iter().map(|&(name, connect, queues, group)| {
            let daemon = Rc::clone(&daemon);
            Contender { name, daemon, connect, queues, group }
        }));
        Ok(())
    };
    let ours = taketurns::connect as Connect;
    add("taketurns", &|| taketurns::start().map(Some), &[("taketurns", ours, true, Memory)])?;
    add(
        "redis-server",
        &|| redis::start(&dir.join("redis"), false),
        &[
            ("Redis, a list with one baton", redis::connect_to_baton, true, Memory),
            ("Redis, the lock of its documentation", redis::connect_to_lock, false, Memory),
        ],
    )?;
    add(
        "postgresql",
        &|| postgres::start(&dir.join("postgres")),
        &[
            ("PostgreSQL, an advisory lock", postgres::connect_to_advisory, true, Memory),
            ("PostgreSQL, a row", postgres::connect_to_row, false, Disk),
        ],
    )?;
    add(
        "taketurns",
        &|| taketurns::start_with_journal(&dir.join("turns")).map(Some),
        &[("taketurns with a journal", ours, true, Disk)],
    )?;
    add(
        "redis-server",
        &|| redis::start(&dir.join("redis-synced"), true),
        &[("Redis, its lock, `appendfsync always`", redis::connect_to_lock, false, Disk)],
    )?;
    add(
        "etcd-server",
        &|| etcd::start(&dir.join("etcd"), 1),
        &[("etcd, its lock recipe, one member", etcd::connect, true, Disk)],
    )?;
    add(
        "etcd-server",
        &|| taketurns::start_over(etcd::start(&dir.join("over"), 3)?),
        &[("taketurns over an etcd of three members", ours, true, Disk)],
    )?;
    add(
        "etcd-server",
        &|| etcd::start(&dir.join("cluster"), 3),
        &[("etcd, its lock recipe, three members", etcd::connect, true, Disk)],
    )?;
    add(
        "zookeeper",
        &|| zookeeper::start(&dir.join("zookeeper"), 1),
        &[("ZooKeeper, its lock recipe, one server", zookeeper::connect, true, Disk)],
    )?;
    add(
        "zookeeper",
        &|| zookeeper::start(&dir.join("ensemble"), 3),
        &[("ZooKeeper, its lock recipe, three servers", zookeeper::connect, true, Disk)],
    )?;
    let from_npm = "node, or what it needs: npm install --prefix benches/locks/node";
    add(
        from_npm,
        &|| node::start("socket_io.cjs"),
        &[("socket.io, a queue and a timer", node::connect_to_socket_io, true, Games)],
    )?;
    add(
        from_npm,
        &|| node::start("boardgame_io.cjs"),
        &[("boardgame.io, a move each", node::connect_to_boardgame_io, true, Games)],
    )?;
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
