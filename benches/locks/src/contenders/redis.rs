//! A list that holds one baton, and the lock that Redis documents.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Client, Lines, Lock};
use crate::DEADLINE;
use crate::daemon::{self, Daemon};

/// How often redis-py's lock asks again.
const ASKS_EVERY: Duration = Duration::from_millis(100);

pub fn start(dir: &Path, is_synced: bool) -> Result<Option<Daemon>> {
    let Some(program) = daemon::find("redis-server", &[]) else { return Ok(None) };
    fs::create_dir(dir)?;
    let addr = daemon::free_address()?;
    let mut command = Command::new(program);
    command.args(["--bind", "127.0.0.1", "--port", &addr.port().to_string(), "--save", "", "--dir"]).arg(dir);
    if is_synced {
        command.args(["--appendonly", "yes", "--appendfsync", "always"]);
    }
    Daemon::start(command, addr).map(Some)
}

fn command(words: &[&str]) -> String {
    let encoded: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{encoded}", words.len())
}

struct Baton {
    lines: Lines,
    take: String,
    give: String,
}

/// The first client puts the baton there.
pub fn connect_to_baton(addr: SocketAddr, &Client { lock, nth, .. }: &Client<'_>) -> Result<Box<dyn Lock>> {
    let mut lines = Lines::to(addr)?;
    let give = command(&["RPUSH", lock, "baton"]);
    if nth == 0 {
        lines.say(&give)?;
        lines.hear()?;
    }
    Ok(Box::new(Baton { lines, take: command(&["BLPOP", lock, "0"]), give }))
}

impl Lock for Baton {
    fn ask(&mut self) -> Result<()> {
        self.lines.say(&self.take)
    }

    fn wait(&mut self) -> Result<()> {
        // An array of two strings: each is its length and itself.
        let head = self.lines.hear()?;
        ensure!(head == "*2\r\n", "Redis says {head:?}");
        (0..4).try_for_each(|_| self.lines.hear().map(drop))
    }

    fn give(&mut self) -> Result<bool> {
        self.lines.say(&self.give)?;
        let reply = self.lines.hear()?;
        ensure!(reply.starts_with(':'), "Redis says {reply:?}");
        // Nobody knows whose baton it was.
        Ok(true)
    }
}

struct Documented {
    lines: Lines,
    take: String,
    give: String,
}

/// A value of one's own, a time to live, and released only by its owner.
pub fn connect_to_lock(addr: SocketAddr, &Client { lock, nth, .. }: &Client<'_>) -> Result<Box<dyn Lock>> {
    const GIVE: &str =
        "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end";
    let owner = format!("client{nth}");
    let time = DEADLINE.as_millis().to_string();
    Ok(Box::new(Documented {
        lines: Lines::to(addr)?,
        take: command(&["SET", lock, &owner, "NX", "PX", &time]),
        give: command(&["EVAL", GIVE, "1", lock, &owner]),
    }))
}

impl Lock for Documented {
    fn ask(&mut self) -> Result<()> {
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        loop {
            self.lines.say(&self.take)?;
            match self.lines.hear()?.as_str() {
                "+OK\r\n" => return Ok(()),
                "$-1\r\n" => thread::sleep(ASKS_EVERY),
                other => anyhow::bail!("Redis says {other:?}"),
            }
        }
    }

    fn give(&mut self) -> Result<bool> {
        self.lines.say(&self.give)?;
        Ok(self.lines.hear()? == ":1\r\n")
    }
}
