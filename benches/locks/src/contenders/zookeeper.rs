//! The lock recipe of ZooKeeper: an ephemeral node with a number; the lowest number has the lock, and each
//! other client watches the node in front of its own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Client, Lock, connected};
use crate::daemon::{self, Daemon};
use crate::{DEADLINE, PATIENCE};

/// Where Debian has it.
const JAR: &str = "/usr/share/java/zookeeper.jar";

/// The session of a client that is alive: it would send pings, and needs none in this time.
const SESSION_MS: i32 = 600_000;

/// Starts so many servers. Of three, two have to write before anything counts.
pub fn start(dir: &Path, servers: usize) -> Result<Option<Daemon>> {
    let Some(java) = daemon::find("java", &[]).filter(|_| Path::new(JAR).is_file()) else { return Ok(None) };
    fs::create_dir(dir)?;
    let address = |_| daemon::free_address();
    let clients = (0..servers).map(address).collect::<Result<Vec<_>>>()?;
    let mut ensemble = String::new();
    if servers > 1 {
        for nth in 0..servers {
            let (peer, election) = (daemon::free_address()?, daemon::free_address()?);
            ensemble += &format!("server.{nth}={peer}:{}\n", election.port());
        }
    }
    let mut commands = Vec::new();
    for (nth, addr) in clients.into_iter().enumerate() {
        let data = dir.join(nth.to_string());
        fs::create_dir(&data)?;
        fs::write(data.join("myid"), nth.to_string())?;
        let config = format!(
            "tickTime=500\ninitLimit=20\nsyncLimit=10\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\n\
             maxClientCnxns=0\nmaxSessionTimeout={SESSION_MS}\nadmin.enableServer=false\n{ensemble}",
            data.display(),
            addr.port()
        );
        let file = data.join("zoo.cfg");
        fs::write(&file, config)?;
        let mut command = Command::new(&java);
        command.args(["-cp", JAR, "org.apache.zookeeper.server.quorum.QuorumPeerMain"]).arg(&file);
        commands.push((command, addr));
    }
    let daemon = Daemon::start_all(commands)?;
    // They listen before one of them leads.
    let (begin, client) = (Instant::now(), Client { lock: "first", nth: 0, of: 1, always: false });
    while let Err(error) = connect(daemon.addr, &client) {
        ensure!(begin.elapsed() < 3 * PATIENCE, "ZooKeeper takes no client: {error}");
        thread::sleep(Duration::from_millis(100));
    }
    Ok(Some(daemon))
}

// Requests, by their numbers in ZooKeeper's protocol.
const CREATE: i32 = 1;
const DELETE: i32 = 2;
const EXISTS: i32 = 3;
const GET_CHILDREN: i32 = 8;

const NO_NODE: i32 = -101;
const NODE_EXISTS: i32 = -110;
/// The number of a reply that is an event of a watch.
const EVENT: i32 = -1;

const EPHEMERAL_SEQUENTIAL: i32 = 3;

struct Session {
    socket: TcpStream,
    lock: String,
    /// The client's own node.
    node: String,
    /// The number of the last request.
    xid: i32,
    /// A watch has told of its event, perhaps before the reply to the request that set it.
    told: bool,
}

pub fn connect(addr: SocketAddr, &Client { lock, nth, .. }: &Client<'_>) -> Result<Box<dyn Lock>> {
    // The first client sends no pings where it will fail.
    let is_failing = lock.starts_with("dead") && nth == 0;
    let time = if is_failing { i32::try_from(DEADLINE.as_millis())? } else { SESSION_MS };
    let mut session = Session {
        socket: connected(addr)?,
        lock: format!("/{lock}"),
        node: String::new(),
        xid: 0,
        told: false,
    };
    let mut hello = Bytes::default();
    hello.number(0).long(0).number(time).long(0).blob(&[0; 16]).0.push(0);
    session.send(&hello)?;
    session.receive()?;
    let path = session.lock.clone();
    let (error, _) = session.call(CREATE, Bytes::default().create(&path, 0))?;
    ensure!(error == 0 || error == NODE_EXISTS, "ZooKeeper says {error}");
    Ok(Box::new(session))
}

impl Session {
    fn send(&mut self, message: &Bytes) -> Result<()> {
        let length = u32::try_from(message.0.len())?.to_be_bytes();
        Ok(self.socket.write_all(&[&length[..], &message.0].concat())?)
    }

    fn receive(&mut self) -> Result<Vec<u8>> {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length)?;
        let mut message = vec![0; u32::from_be_bytes(length) as usize];
        self.socket.read_exact(&mut message)?;
        Ok(message)
    }

    fn request(&mut self, kind: i32, body: &Bytes) -> Result<()> {
        self.xid += 1;
        let mut message = Bytes::default();
        message.number(self.xid).number(kind).0.extend_from_slice(&body.0);
        self.send(&message)
    }

    /// Waits for the reply to the last request. Returns its error, and what follows.
    fn reply(&mut self) -> Result<(i32, Vec<u8>)> {
        loop {
            let mut message = self.receive()?;
            let body = message.split_off(16.min(message.len()));
            let (xid, error) = (number(&message)?, number(message.get(12..).context("a short reply")?)?);
            if xid == self.xid {
                return Ok((error, body));
            }
            self.told |= xid == EVENT;
        }
    }

    fn call(&mut self, kind: i32, body: &Bytes) -> Result<(i32, Vec<u8>)> {
        self.request(kind, body)?;
        self.reply()
    }

    /// Returns the node in front of this client's; `None` if it has the lock.
    fn predecessor(&mut self) -> Result<Option<String>> {
        let lock = self.lock.clone();
        let (error, body) = self.call(GET_CHILDREN, Bytes::default().text(&lock).flag(false))?;
        ensure!(error == 0, "ZooKeeper says {error}");
        let own = self.node.rsplit('/').next().unwrap_or_default().to_owned();
        let (count, mut rest) = (number(&body)?, &body[4..]);
        let mut before: Option<String> = None;
        for _ in 0..count {
            let (child, behind) = text(rest)?;
            rest = behind;
            if *child < *own && before.as_deref().is_none_or(|before| before < child) {
                before = Some(child.to_owned());
            }
        }
        Ok(before.map(|child| format!("{lock}/{child}")))
    }
}

impl Lock for Session {
    fn ask(&mut self) -> Result<()> {
        let path = format!("{}/n-", self.lock);
        self.request(CREATE, Bytes::default().create(&path, EPHEMERAL_SEQUENTIAL))
    }

    fn wait(&mut self) -> Result<()> {
        let (error, body) = self.reply()?;
        ensure!(error == 0, "ZooKeeper says {error}");
        text(&body)?.0.clone_into(&mut self.node);
        while let Some(before) = self.predecessor()? {
            self.told = false;
            match self.call(EXISTS, Bytes::default().text(&before).flag(true))?.0 {
                0 => {
                    while !self.told {
                        self.told = number(&self.receive()?)? == EVENT;
                    }
                }
                NO_NODE => {}
                error => bail!("ZooKeeper says {error}"),
            }
        }
        Ok(())
    }

    fn give(&mut self) -> Result<bool> {
        let node = std::mem::take(&mut self.node);
        // A session that has expired is closed.
        let deleted = self.call(DELETE, Bytes::default().text(&node).number(-1));
        Ok(deleted.is_ok_and(|(error, _)| error == 0))
    }
}

/// A message in the making.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn number(&mut self, number: i32) -> &mut Bytes {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn long(&mut self, number: i64) -> &mut Bytes {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn blob(&mut self, bytes: &[u8]) -> &mut Bytes {
        self.number(i32::try_from(bytes.len()).expect("a short text")).0.extend_from_slice(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Bytes {
        self.blob(text.as_bytes())
    }

    fn flag(&mut self, flag: bool) -> &mut Bytes {
        self.0.push(u8::from(flag));
        self
    }

    /// The body of a request for a node that anyone may do anything with.
    fn create(&mut self, path: &str, flags: i32) -> &mut Bytes {
        self.text(path).text("").number(1).number(31).text("world").text("anyone").number(flags)
    }
}

fn number(bytes: &[u8]) -> Result<i32> {
    Ok(i32::from_be_bytes(*bytes.first_chunk().context("a short reply")?))
}

/// Returns the text at the beginning, and the rest.
fn text(bytes: &[u8]) -> Result<(&str, &[u8])> {
    let length = usize::try_from(number(bytes)?)?;
    let (text, rest) = bytes[4..].split_at_checked(length).context("a short reply")?;
    Ok((str::from_utf8(text)?, rest))
}
