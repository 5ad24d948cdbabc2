//! The lock service of etcd, through its JSON gateway.

use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{Client, Lines, Lock};
use crate::DEADLINE;
use crate::daemon::{self, Daemon};

/// Starts an etcd of so many members. Of three, two have to write before anything counts.
pub fn start(dir: &Path, members: usize) -> Result<Option<Daemon>> {
    let Some(program) = daemon::find("etcd", &[]) else { return Ok(None) };
    fs::create_dir(dir)?;
    let addresses = (0..members)
        .map(|_| Ok((daemon::free_address()?, daemon::free_address()?)))
        .collect::<Result<Vec<(SocketAddr, SocketAddr)>>>()?;
    let cluster: Vec<_> =
        addresses.iter().enumerate().map(|(nth, (_, peer))| format!("m{nth}=http://{peer}")).collect();
    let command = |(nth, (addr, peer)): (usize, &(SocketAddr, SocketAddr))| {
        let (clients, peers) = (format!("http://{addr}"), format!("http://{peer}"));
        let mut command = Command::new(&program);
        command.arg("--data-dir").arg(dir.join(format!("data{nth}")));
        command.args(["--name", &format!("m{nth}"), "--log-level", "error"]);
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", &cluster.join(",")]);
        (command, *addr)
    };
    Daemon::start_all(addresses.iter().enumerate().map(command).collect()).map(Some)
}

/// A session with a lease, as in etcd's own client.
struct Session {
    lines: Lines,
    lock: String,
    lease: String,
    key: Option<String>,
}

pub fn connect(addr: SocketAddr, &Client { lock, nth, .. }: &Client<'_>) -> Result<Box<dyn Lock>> {
    let mut session = Session {
        lines: Lines::to(addr)?,
        lock: BASE64_STANDARD.encode(lock),
        lease: String::new(),
        key: None,
    };
    // The lease of the first client is not renewed where that client will fail: it ends its lock. A client
    // that is alive renews its own, or has one that is long enough.
    let time = if lock.starts_with("dead") && nth == 0 { DEADLINE.as_secs() } else { 600 };
    session.post("/v3/lease/grant", &format!("{{\"TTL\":{time}}}"))?;
    session.lease = field(&session.reply()?, "ID")?;
    Ok(Box::new(session))
}

impl Session {
    fn post(&mut self, path: &str, body: &str) -> Result<()> {
        let length = body.len();
        self.lines
            .say(&format!("POST {path} HTTP/1.1\r\nHost: etcd\r\nContent-Length: {length}\r\n\r\n{body}"))
    }

    fn reply(&mut self) -> Result<String> {
        let head = self.lines.hear()?;
        let mut length = None;
        loop {
            let line = self.lines.hear()?;
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = Some(value.trim().parse()?);
            }
        }
        let mut body = vec![0; length.context("etcd gave no length")?];
        self.lines.0.read_exact(&mut body)?;
        let body = String::from_utf8(body)?;
        ensure!(head.contains(" 200 "), "etcd says {body}");
        Ok(body)
    }
}

/// Returns a text of an object in JSON, whose values need no escapes.
fn field(object: &str, name: &str) -> Result<String> {
    let rest = object.split_once(&format!("\"{name}\":\"")).with_context(|| format!("etcd says {object}"))?.1;
    Ok(rest.split('"').next().unwrap_or_default().to_owned())
}

impl Lock for Session {
    fn ask(&mut self) -> Result<()> {
        let body = format!("{{\"name\":\"{}\",\"lease\":\"{}\"}}", self.lock, self.lease);
        self.post("/v3/lock/lock", &body)
    }

    fn wait(&mut self) -> Result<()> {
        self.key = Some(field(&self.reply()?, "key")?);
        Ok(())
    }

    fn give(&mut self) -> Result<bool> {
        let key = self.key.take().context("it has no lock")?;
        self.post("/v3/lock/unlock", &format!("{{\"key\":\"{key}\"}}"))?;
        self.reply()?;
        // It does not say whether the key was still there.
        Ok(true)
    }
}
