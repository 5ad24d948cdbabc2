//! An advisory lock, which belongs to a session, and a row that is updated. With PostgreSQL's protocol 3.0,
//! using simple queries.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Client, Lock, connected};
use crate::PATIENCE;
use crate::daemon::{self, Daemon};

/// Starts it. It refuses to run as root, so it runs as `postgres` or `nobody` then.
pub fn start(dir: &Path) -> Result<Option<Daemon>> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    let (Some(initdb), Some(program)) =
        (daemon::find("initdb", &folders), daemon::find("postgres", &folders))
    else {
        return Ok(None);
    };
    fs::create_dir(dir)?;
    let user = plain_user()?;
    let as_user = |program: &Path| {
        let mut command = Command::new(program);
        command.current_dir("/").stdout(Stdio::null());
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        command
    };
    if let Some((uid, gid)) = user {
        chown(dir, Some(uid), Some(gid))?;
    }
    let data = dir.join("data");
    let mut make = as_user(&initdb);
    make.args(["--auth=trust", "--username=postgres", "--no-sync", "-D"]).arg(&data);
    ensure!(make.stderr(Stdio::inherit()).status()?.success(), "initdb failed");
    let addr = daemon::free_address()?;
    let mut command = as_user(&program);
    command.arg("-D").arg(&data).args(["-p", &addr.port().to_string(), "-k", "", "-h", "127.0.0.1"]);
    command.args(["-c", "max_connections=1100"]);
    let daemon = Daemon::start(command, addr)?;
    let give_up = Instant::now() + PATIENCE;
    // It listens before it is ready.
    let mut postgres = loop {
        match Session::start(addr) {
            Ok(postgres) => break postgres,
            Err(_) if Instant::now() < give_up => thread::sleep(Duration::from_millis(50)),
            Err(error) => return Err(error),
        }
    };
    postgres.run("CREATE TABLE locks (name text PRIMARY KEY, holder text)")?;
    Ok(Some(daemon))
}

/// Returns the user to run as, if this is run by root.
fn plain_user() -> Result<Option<(u32, u32)>> {
    let id = Command::new("id").arg("-u").output().context("id")?;
    if id.stdout != b"0\n" {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let of = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Ok(Some(of("postgres").or_else(|| of("nobody")).context("no user to run PostgreSQL as")?))
}

/// The outcome of a statement.
#[derive(Default)]
struct Done {
    /// Such as `UPDATE 1`.
    tag: String,
    /// The last byte of the last row: of a truth value, `t` or `f`.
    last: Option<u8>,
}

struct Session {
    socket: TcpStream,
}

impl Session {
    fn start(addr: SocketAddr) -> Result<Session> {
        let mut session = Session { socket: connected(addr)? };
        let words = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0";
        session.socket.write_all(&u32::try_from(words.len() + 4)?.to_be_bytes())?;
        session.socket.write_all(words)?;
        session.settle()?;
        Ok(session)
    }

    /// Runs one statement as a transaction.
    fn run(&mut self, text: &str) -> Result<Done> {
        self.ask(text)?;
        self.settle()
    }

    fn ask(&mut self, text: &str) -> Result<()> {
        let mut message = vec![b'Q'];
        message.extend(u32::try_from(text.len() + 5)?.to_be_bytes());
        message.extend(text.as_bytes());
        message.push(0);
        Ok(self.socket.write_all(&message)?)
    }

    /// Reads until the server is ready for the next statement.
    fn settle(&mut self) -> Result<Done> {
        let mut done = Done::default();
        loop {
            let mut head = [0; 5];
            self.socket.read_exact(&mut head)?;
            let [kind, length @ ..] = head;
            let mut body = vec![0; usize::try_from(u32::from_be_bytes(length))? - 4];
            self.socket.read_exact(&mut body)?;
            match kind {
                b'Z' => return Ok(done),
                b'C' => done.tag = String::from_utf8_lossy(&body).trim_end_matches('\0').to_owned(),
                b'D' => done.last = body.last().copied(),
                b'E' => bail!("PostgreSQL says {}", String::from_utf8_lossy(&body).replace('\0', " ")),
                _ => {}
            }
        }
    }
}

struct Advisory {
    session: Session,
    lock: String,
}

pub fn connect_to_advisory(addr: SocketAddr, &Client { lock, .. }: &Client<'_>) -> Result<Box<dyn Lock>> {
    Ok(Box::new(Advisory { session: Session::start(addr)?, lock: lock.to_owned() }))
}

impl Lock for Advisory {
    fn ask(&mut self) -> Result<()> {
        self.session.ask(&format!("SELECT pg_advisory_lock(hashtext('{}'))", self.lock))
    }

    fn wait(&mut self) -> Result<()> {
        self.session.settle().map(drop)
    }

    fn give(&mut self) -> Result<bool> {
        let done = self.session.run(&format!("SELECT pg_advisory_unlock(hashtext('{}'))", self.lock))?;
        Ok(done.last == Some(b't'))
    }
}

struct Row {
    session: Session,
    lock: String,
    owner: String,
}

/// How often a client asks again for a row that another one has.
const ASKS_EVERY: Duration = Duration::from_millis(100);

/// The first client inserts the row.
pub fn connect_to_row(addr: SocketAddr, &Client { lock, nth, .. }: &Client<'_>) -> Result<Box<dyn Lock>> {
    let mut session = Session::start(addr)?;
    if nth == 0 {
        session.run(&format!("INSERT INTO locks VALUES ('{lock}', NULL)"))?;
    }
    Ok(Box::new(Row { session, lock: lock.to_owned(), owner: format!("client{nth}") }))
}

impl Row {
    fn update(&mut self, to: &str, from: &str) -> Result<bool> {
        let text = format!("UPDATE locks SET holder = {to} WHERE name = '{}' AND holder {from}", self.lock);
        Ok(self.session.run(&text)?.tag == "UPDATE 1")
    }
}

impl Lock for Row {
    fn ask(&mut self) -> Result<()> {
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        while !self.update(&format!("'{}'", self.owner), "IS NULL")? {
            thread::sleep(ASKS_EVERY);
        }
        Ok(())
    }

    fn give(&mut self) -> Result<bool> {
        self.update("NULL", &format!("= '{}'", self.owner))
    }
}
