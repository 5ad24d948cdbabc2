//! Taking and releasing a lock durably: a ring whose only seat asks, a Redis key with `appendfsync always`,
//! and a row of PostgreSQL. Each takes two exchanges, each of which is on disk before it is confirmed.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::Options;
use crate::commits::spread;
use crate::serve::{Kind, Server};

/// Numbers of simultaneous clients, each with a lock of its own.
const CLIENTS: [usize; 2] = [1, 16];

const PATIENCE: Duration = Duration::from_secs(20);

pub fn run(options: &Options, dir: &Path) -> Result<()> {
    println!("\n## A lock taken and given\n");
    let ours = Server::start(Kind::Journal, dir, 0)?;
    let redis = Daemon::redis(&dir.join("redis"))?;
    let postgres = Daemon::postgres(&dir.join("postgres"))?;
    let mut contenders: Vec<(&str, SocketAddr, Connect)> = vec![("taketurns", ours.addr, Ours::connect)];
    match &redis {
        Some(redis) => contenders.push(("Redis, appendfsync always", redis.addr, Redis::connect)),
        None => println!("SKIPPED: Redis, there is no redis-server (apt-get install redis-server).\n"),
    }
    match &postgres {
        Some(postgres) => contenders.push(("PostgreSQL", postgres.addr, Postgres::connect)),
        None => println!("SKIPPED: PostgreSQL, there is no postgres (apt-get install postgresql).\n"),
    }
    println!("| locks a second | {} |", CLIENTS.map(|clients| format!("{clients} clients")).join(" | "));
    println!("|---|---:|---:|");
    let mut rates = vec![vec![Vec::new(); CLIENTS.len()]; contenders.len()];
    for round in 0..options.rounds {
        for (of, (_, addr, connect)) in rates.iter_mut().zip(&contenders) {
            for (rates, &clients) in of.iter_mut().zip(&CLIENTS) {
                rates.push(rate(*addr, *connect, clients, options.commits, round)?);
            }
        }
    }
    for (of, (name, ..)) in rates.iter().zip(&contenders) {
        let cells = of.iter().map(|rates| {
            let [middle, low, high] = spread(rates.iter().copied());
            format!("{middle:.0} ({low:.0} to {high:.0})")
        });
        println!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    Ok(())
}

/// Takes and releases one lock.
trait Lock: Send {
    fn take(&mut self) -> Result<()>;
    fn give(&mut self) -> Result<()>;
}

type Connect = fn(SocketAddr, &str) -> Result<Box<dyn Lock>>;

/// Returns the locks taken and released per second by all clients together.
fn rate(addr: SocketAddr, connect: Connect, clients: usize, each: usize, round: usize) -> Result<f64> {
    let locks = (0..clients).map(|nth| connect(addr, &format!("lock-{clients}-{round}-{nth}")));
    let locks = locks.collect::<Result<Vec<_>>>()?;
    let begin = Instant::now();
    thread::scope(|scope| {
        let play = |mut lock: Box<dyn Lock>| {
            move || (0..each).try_for_each(|_| lock.take().and_then(|()| lock.give()))
        };
        let threads: Vec<_> = locks.into_iter().map(|lock| scope.spawn(play(lock))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })?;
    Ok((clients * each) as f64 / begin.elapsed().as_secs_f64())
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
    fn say(&mut self, text: &str) -> Result<()> {
        Ok(self.0.get_mut().write_all(text.as_bytes())?)
    }

    fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.0.read_line(&mut line)? > 0, "a server closed a connection");
        Ok(line)
    }

    fn hear_until(&mut self, head: &str) -> Result<()> {
        while !self.hear()?.starts_with(head) {}
        Ok(())
    }
}

struct Ours(Lines);

impl Ours {
    fn connect(addr: SocketAddr, name: &str) -> Result<Box<dyn Lock>> {
        let mut lines = Lines(BufReader::new(connected(addr)?));
        lines.say(&format!("JOIN holder ring={name} demand=ask\n"))?;
        lines.hear_until("WELCOME ")?;
        Ok(Box::new(Ours(lines)))
    }
}

impl Lock for Ours {
    fn take(&mut self) -> Result<()> {
        self.0.say("ASK\n")?;
        self.0.hear_until("GO ")
    }

    fn give(&mut self) -> Result<()> {
        self.0.say("ANSWER :17\n")?;
        self.0.hear_until("OK ")
    }
}

struct Redis {
    lines: Lines,
    take: String,
    give: String,
}

impl Redis {
    /// The lock of Redis's documentation: a value of one's own, a time to live, and release only by its
    /// owner.
    fn connect(addr: SocketAddr, name: &str) -> Result<Box<dyn Lock>> {
        const GIVE: &str =
            "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end";
        let command = |words: &[&str]| {
            let words = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
            let words: Vec<_> = words.collect();
            format!("*{}\r\n{}", words.len(), words.concat())
        };
        Ok(Box::new(Redis {
            lines: Lines(BufReader::new(connected(addr)?)),
            take: command(&["SET", name, "me", "NX", "PX", "30000"]),
            give: command(&["EVAL", GIVE, "1", name, "me"]),
        }))
    }
}

impl Lock for Redis {
    fn take(&mut self) -> Result<()> {
        self.lines.say(&self.take)?;
        let reply = self.lines.hear()?;
        ensure!(reply == "+OK\r\n", "Redis says {reply:?}");
        Ok(())
    }

    fn give(&mut self) -> Result<()> {
        self.lines.say(&self.give)?;
        let reply = self.lines.hear()?;
        ensure!(reply == ":1\r\n", "Redis says {reply:?}");
        Ok(())
    }
}

/// A connection with PostgreSQL's protocol 3.0, using simple queries.
struct Postgres {
    socket: TcpStream,
    name: String,
}

impl Postgres {
    fn connect(addr: SocketAddr, name: &str) -> Result<Box<dyn Lock>> {
        let mut postgres = Postgres::on(addr, name)?;
        postgres.query(&format!("INSERT INTO locks VALUES ('{name}', NULL)"))?;
        Ok(Box::new(postgres))
    }

    fn on(addr: SocketAddr, name: &str) -> Result<Postgres> {
        let mut socket = connected(addr)?;
        let words = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0";
        socket.write_all(&u32::try_from(words.len() + 4)?.to_be_bytes())?;
        socket.write_all(words)?;
        let mut postgres = Postgres { socket, name: name.to_owned() };
        postgres.settle()?;
        Ok(postgres)
    }

    /// Runs one statement as a transaction. Returns its tag, such as `UPDATE 1`.
    fn query(&mut self, text: &str) -> Result<String> {
        let mut message = vec![b'Q'];
        message.extend(u32::try_from(text.len() + 5)?.to_be_bytes());
        message.extend(text.as_bytes());
        message.push(0);
        self.socket.write_all(&message)?;
        self.settle()
    }

    /// Reads until the server is ready for the next query.
    fn settle(&mut self) -> Result<String> {
        let mut done = String::new();
        loop {
            let mut head = [0; 5];
            self.socket.read_exact(&mut head)?;
            let [kind, length @ ..] = head;
            let mut body = vec![0; usize::try_from(u32::from_be_bytes(length))? - 4];
            self.socket.read_exact(&mut body)?;
            match kind {
                b'Z' => return Ok(done),
                b'C' => done = String::from_utf8_lossy(&body).trim_end_matches('\0').to_owned(),
                b'E' => bail!("PostgreSQL says {}", String::from_utf8_lossy(&body).replace('\0', " ")),
                _ => {}
            }
        }
    }

    fn update(&mut self, to: &str, from: &str) -> Result<()> {
        let name = &self.name;
        let text = format!("UPDATE locks SET holder = {to} WHERE name = '{name}' AND holder {from}");
        let done = self.query(&text)?;
        ensure!(done == "UPDATE 1", "PostgreSQL says {done:?}");
        Ok(())
    }
}

impl Lock for Postgres {
    fn take(&mut self) -> Result<()> {
        self.update("'me'", "IS NULL")
    }

    fn give(&mut self) -> Result<()> {
        self.update("NULL", "= 'me'")
    }
}

/// Another server, killed on drop.
struct Daemon {
    child: Child,
    addr: SocketAddr,
}

impl Daemon {
    fn redis(dir: &Path) -> Result<Option<Daemon>> {
        let Some(program) = find("redis-server", &[]) else { return Ok(None) };
        fs::create_dir(dir)?;
        let addr = free_address()?;
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--port", &addr.port().to_string(), "--save", "", "--dir"]);
        command.arg(dir).args(["--appendonly", "yes", "--appendfsync", "always"]);
        Ok(Some(Daemon::start(command, addr)?))
    }

    /// PostgreSQL refuses to run as root, so it runs as `postgres` or `nobody` then.
    fn postgres(dir: &Path) -> Result<Option<Daemon>> {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
        let (Some(initdb), Some(program)) = (find("initdb", &folders), find("postgres", &folders)) else {
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
        let addr = free_address()?;
        let mut command = as_user(&program);
        command.arg("-D").arg(&data).args(["-p", &addr.port().to_string(), "-k", "", "-h", "127.0.0.1"]);
        let daemon = Daemon::start(command, addr)?;
        let give_up = Instant::now() + PATIENCE;
        // It listens before it is ready.
        let mut postgres = loop {
            match Postgres::on(addr, "") {
                Ok(postgres) => break postgres,
                Err(_) if Instant::now() < give_up => thread::sleep(Duration::from_millis(50)),
                Err(error) => return Err(error),
            }
        };
        postgres.query("CREATE TABLE locks (name text PRIMARY KEY, holder text)")?;
        Ok(Some(daemon))
    }

    fn start(mut command: Command, addr: SocketAddr) -> Result<Daemon> {
        let name = command.get_program().to_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let daemon = Daemon { child, addr };
        let give_up = Instant::now() + PATIENCE;
        while TcpStream::connect(addr).is_err() {
            ensure!(Instant::now() < give_up, "{} does not listen", name.display());
            thread::sleep(Duration::from_millis(20));
        }
        Ok(daemon)
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

/// Returns a port that is probably unused.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn find(program: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folders.iter().cloned().chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
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
