//! An etcd on loopback.

#![expect(
    clippy::disallowed_types,
    reason = "tests run on several threads, and some have to wait for others"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex, OnceLock};

use support::bare::{PATIENCE, free_address};

use crate::process::folder::Folder;
use crate::process::{Process, Reading};

/// The most that run at once. A machine with two processors cannot have more of them keep their times.
const AT_ONCE: usize = 3;

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// A place among those that run.
struct Place;

impl Place {
    fn wait() -> Place {
        let running = RUNNING.lock().expect("nobody panics with it");
        *ENDED.wait_while(running, |running| *running >= AT_ONCE).expect("nobody panics with it") += 1;
        Place
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *RUNNING.lock().expect("nobody panics with it") -= 1;
        ENDED.notify_one();
    }
}

pub(super) struct Etcd {
    folder: Folder,
    /// How clients find it: `http` or `https`.
    scheme: &'static str,
    /// Options of all members.
    options: Vec<String>,
    /// Where clients and other members find each.
    addresses: Vec<[String; 2]>,
    members: Vec<Option<Process>>,
    /// The last, so that it is free when they have ended.
    _place: Place,
}

/// Whether there is one; said loudly where not.
pub(super) fn is_there() -> bool {
    program().is_some()
}

/// The program; `None`, said loudly, where there is none.
fn program() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let program = std::env::var_os("ETCD").map_or_else(|| "etcd".into(), PathBuf::from);
        let version = Command::new(&program).arg("--version").stdout(Stdio::null()).status();
        version.is_ok_and(|status| status.success()).then_some(program)
    });
    if found.is_none() {
        // Not `eprintln!`: what a passing test says through that is hidden.
        let _ = writeln!(std::io::stderr(), "SKIPPED: etcd not found, no take-over is tested (etcd-server)");
    }
    found.clone()
}

impl Etcd {
    /// Three members; `None` where the program is missing.
    pub(super) fn start() -> Option<Etcd> {
        Etcd::of(3, "http", &[])
    }

    /// One member, for what has nothing to do with how many there are.
    pub(super) fn single(scheme: &'static str, options: &[&str]) -> Option<Etcd> {
        Etcd::of(1, scheme, options)
    }

    fn of(members: usize, scheme: &'static str, options: &[&str]) -> Option<Etcd> {
        program()?;
        let addresses = (0..members).map(|_| [free_address(), free_address()]).collect();
        let options = options.iter().copied().map(str::to_owned).collect();
        let (folder, members_yet, place) = (Folder::new(), Vec::new(), Place::wait());
        let mut etcd = Etcd { folder, scheme, options, addresses, members: members_yet, _place: place };
        etcd.members = (0..members).map(|nth| Some(etcd.spawn(nth, "new"))).collect();
        for nth in 0..members {
            etcd.wait_for(nth);
        }
        Some(etcd)
    }

    fn spawn(&self, nth: usize, state: &str) -> Process {
        let [client, peer] = &self.addresses[nth];
        let cluster =
            self.addresses.iter().enumerate().map(|(nth, [_, peer])| format!("m{nth}=http://{peer}"));
        let mut command = Command::new(program().expect("it was found"));
        command.args(["--name", &format!("m{nth}"), "--data-dir"]).arg(self.folder.path(&format!("m{nth}")));
        command.args(["--listen-client-urls", &format!("{}://{client}", self.scheme)]);
        command.args(["--advertise-client-urls", &format!("{}://{client}", self.scheme)]);
        command.args(["--listen-peer-urls", &format!("http://{peer}")]);
        command.args(["--initial-advertise-peer-urls", &format!("http://{peer}")]);
        command.args(["--initial-cluster", &cluster.collect::<Vec<_>>().join(",")]);
        command.args(["--initial-cluster-state", state, "--log-level", "info", "--logger", "zap"]);
        command.args(&self.options);
        Process::spawn_reading(&mut command, Reading::All, Reading::All)
    }

    fn wait_for(&mut self, nth: usize) {
        let member = self.members[nth].as_mut().expect("it runs");
        let is_ready = |line: &crate::process::Line| line.text.contains("serving client traffic");
        member.wait_for_line("member that is ready", is_ready, PATIENCE);
    }

    /// The members, for `--etcd`.
    pub(super) fn urls(&self) -> String {
        let urls = self.addresses.iter().map(|[client, _]| format!("{}://{client}", self.scheme));
        urls.collect::<Vec<_>>().join(",")
    }

    /// The member that leads.
    pub(super) fn leader(&self) -> usize {
        let leads = |nth: usize| {
            let status = self.ask_member(nth, "/v3/maintenance/status", "", "{}").ok()?;
            Some(value(&status, "member_id")? == value(&status, "leader")?)
        };
        (0..self.addresses.len()).position(|nth| leads(nth) == Some(true)).expect("a member leads")
    }

    /// Asks the first member through its gateway, and returns the answer. Only for plain HTTP.
    pub(super) fn ask(&self, path: &str, token: &str, body: &str) -> String {
        self.try_ask(path, token, body).unwrap_or_else(|refusal| panic!("{path}: {refusal}"))
    }

    /// The same; fails with the answer if that is a refusal.
    pub(super) fn try_ask(&self, path: &str, token: &str, body: &str) -> Result<String, String> {
        let answer = self.ask_member(0, path, token, body).expect("the member answers");
        if answer.split(' ').nth(1) == Some("200") { Ok(answer) } else { Err(answer) }
    }

    fn ask_member(&self, nth: usize, path: &str, token: &str, body: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(&self.addresses[nth][0])?;
        let length = body.len();
        // An empty token is a bad one.
        let token = if token.is_empty() { String::new() } else { format!("Authorization: {token}\r\n") };
        let head = format!("POST {path} HTTP/1.0\r\nContent-Length: {length}\r\n{token}\r\n");
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    pub(super) fn kill(&mut self, nth: usize) {
        let member = self.members[nth].take().expect("it runs");
        drop(member.kill(PATIENCE));
    }

    pub(super) fn restart(&mut self, nth: usize) {
        self.members[nth] = Some(self.spawn(nth, "existing"));
    }

    pub(super) fn signal(&self, nth: usize, signal: &str) {
        self.members[nth].as_ref().expect("it runs").signal(signal);
    }

    pub(super) fn signal_all(&self, signal: &str) {
        (0..self.members.len()).for_each(|nth| self.signal(nth, signal));
    }
}

/// The text of a field of an answer.
pub(super) fn value<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.split_once(&format!("\"{name}\":\""))?.1.split('"').next()
}
