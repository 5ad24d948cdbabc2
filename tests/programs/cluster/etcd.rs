//! An etcd of three members on loopback.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use support::bare::{PATIENCE, free_address};

use crate::process::folder::Folder;
use crate::process::{Process, Reading};

pub(super) struct Etcd {
    folder: Folder,
    /// Where clients and other members find each.
    addresses: Vec<[String; 2]>,
    members: Vec<Option<Process>>,
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
        program()?;
        let addresses = (0..3).map(|_| [free_address(), free_address()]).collect();
        let mut etcd = Etcd { folder: Folder::new(), addresses, members: Vec::new() };
        etcd.members = (0..3).map(|nth| Some(etcd.spawn(nth, "new"))).collect();
        for nth in 0..3 {
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
        command.args(["--listen-client-urls", &format!("http://{client}")]);
        command.args(["--advertise-client-urls", &format!("http://{client}")]);
        command.args(["--listen-peer-urls", &format!("http://{peer}")]);
        command.args(["--initial-advertise-peer-urls", &format!("http://{peer}")]);
        command.args(["--initial-cluster", &cluster.collect::<Vec<_>>().join(",")]);
        command.args(["--initial-cluster-state", state, "--log-level", "info", "--logger", "zap"]);
        Process::spawn_reading(&mut command, Reading::All, Reading::All)
    }

    fn wait_for(&mut self, nth: usize) {
        let member = self.members[nth].as_mut().expect("it runs");
        let is_ready = |line: &crate::process::Line| line.text.contains("serving client traffic");
        member.wait_for_line("member that is ready", is_ready, PATIENCE);
    }

    /// The members, for `--etcd`.
    pub(super) fn urls(&self) -> String {
        let urls = self.addresses.iter().map(|[client, _]| format!("http://{client}"));
        urls.collect::<Vec<_>>().join(",")
    }

    /// The member that leads.
    pub(super) fn leader(&self) -> usize {
        let post = |client: &str| {
            use std::io::Read as _;
            let mut stream = std::net::TcpStream::connect(client).ok()?;
            let ask = "POST /v3/maintenance/status HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}";
            stream.write_all(ask.as_bytes()).ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            let value = |name: &str| {
                Some(answer.split_once(&format!("\"{name}\":\""))?.1.split('"').next()?.to_owned())
            };
            Some((value("member_id")?, value("leader")?))
        };
        let status = self.addresses.iter().map(|[client, _]| post(client));
        let leads =
            |status: Option<(String, String)>| status.is_some_and(|(member, leader)| member == leader);
        status.into_iter().position(leads).expect("a member leads")
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
        (0..3).for_each(|nth| self.signal(nth, signal));
    }
}
