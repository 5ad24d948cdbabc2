//! Two servers that stand by for each other, an etcd of three members and four clients, all on this machine.
//! Kill the server that leads, and see how long the clients wait.
//!
//! ```text
//! cargo run --release --features etcd --example cluster        needs etcd: apt-get install etcd-server
//! ```

mod common;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use common::addresses;
use common::console::{Console, Happening};
use common::counting::{Count, Counting};
use common::options::{self, Extras};
use common::remote::Remote;
use common::server::Service;
use common::storage;
use log::LevelFilter;
use taketurns::net::{Event, now};
use taketurns::protocol::turns::{ClientConfig, TurnClient, TurnServerConfig};
use taketurns::time::Instant;

/// Show a server that takes over from another one: an etcd, two servers and four clients on this machine, and
/// commands on standard input: kill, end, quit.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    note = "kill ends the server that leads like kill -9, end like SIGTERM. Another one begins to stand by then."
)]
struct Options {
    /// run one of the servers, at this address (used internally)
    #[argh(option, arg_name = "addr")]
    serve: Option<String>,

    /// level of the log of servers and clients on standard error: off, error, warn, info, debug or trace.
    /// Default: error
    #[argh(option, arg_name = "level", default = "LevelFilter::Error", from_str_fn(common::level))]
    log_level: LevelFilter,
}

const MEMBERS: usize = 3;
const SERVERS: usize = 2;
const CLIENTS: usize = 4;

/// A time without an accepted answer that is worth a line.
const SILENCE: Duration = Duration::from_millis(300);

/// How often the number of turns is printed.
const REPORTS_EVERY: Duration = Duration::from_secs(1);

const HELP: &str = "kill - kill the server that leads; end - ask it to end; quit - end all of this";

fn main() -> ExitCode {
    let (options, extras): (Options, _) = options::with_extras(&[storage::OF_CLUSTERS]);
    common::logger::start(options.log_level);
    common::exit_code(match &options.serve {
        Some(addr) => serve(addr, &extras),
        None => show(&options),
    })
}

fn serve(addr: &str, extras: &Extras) -> Result<(), String> {
    let (config, listen) = (TurnServerConfig::default(), [addr.to_owned()]);
    match Service::listen_turns(config, &listen, extras)? {
        Some(service) => service.run(|_, _, _| {}),
        None => Ok(()),
    }
}

fn show(options: &Options) -> Result<(), String> {
    let mut console = Console::new(TurnClient::new(), "> ")?;
    let etcd = Etcd::start()?;
    let mut servers = Servers::start(options.log_level, etcd.urls.join(","))?;
    let remote = Remote::plain(addresses::target(&servers.addresses.join(","), "--connect")?);
    let mut counting = Counting::new(Duration::ZERO, None);
    for nth in 1..=CLIENTS {
        let name = format!("Client{nth}").parse().expect("a valid name");
        let added = counting.add(&mut console.driver, &remote, ClientConfig::seat(name), 1, 1);
        added.map_err(|error| error.to_string())?;
    }
    console.line(format_args!("{MEMBERS} members of an etcd, {SERVERS} servers, {CLIENTS} clients. {HELP}"));
    let (mut turns, mut heard, mut reported) = (0_u64, None::<Instant>, now().instant);
    let mut goes_on = true;
    while goes_on {
        console.prompt();
        let mut is_over = false;
        goes_on = console.pass(|screen, happening| match happening {
            Happening::Line(line) => match line.trim() {
                "kill" => screen.line(format_args!("{}", servers.end_leader("KILL"))),
                "end" => screen.line(format_args!("{}", servers.end_leader("TERM"))),
                "quit" => is_over = true,
                _ => screen.complain(format_args!("{HELP}")),
            },
            Happening::EndOfInput => is_over = true,
            Happening::Network(Event::Protocol(event)) => {
                let now = now();
                if !matches!(counting.handle(now, screen.driver, event), Some(Count::Sent(..))) {
                    return;
                }
                turns += 1;
                let silence =
                    heard.replace(now.instant).map(|last| now.instant.saturating_duration_since(last));
                if let Some(silence) = silence.filter(|silence| *silence > SILENCE) {
                    let leader = servers.leader().unwrap_or("nobody");
                    screen.line(format_args!("{silence:.1?} of silence; {leader} leads"));
                    servers.start_again();
                }
                if now.instant >= reported + REPORTS_EVERY {
                    reported = now.instant;
                    screen.line(format_args!("{turns} turns"));
                }
            }
            Happening::Network(_) => {}
        })?;
        goes_on &= !is_over;
    }
    console.finish();
    Ok(())
}

/// Processes that end with this program.
#[derive(Default)]
struct Processes(Vec<Child>);

impl Processes {
    fn start(&mut self, command: &mut Command) -> Result<(), String> {
        let program = command.get_program().to_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        self.0.push(child.map_err(|error| format!("cannot run {}: {error}", program.display()))?);
        Ok(())
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

struct Etcd {
    urls: Vec<String>,
    folder: PathBuf,
    members: Processes,
}

impl Etcd {
    fn start() -> Result<Etcd, String> {
        let folder = std::env::temp_dir().join(format!("taketurns-cluster-{}", std::process::id()));
        let urls = |of: Vec<SocketAddr>| of.iter().map(|addr| format!("http://{addr}")).collect::<Vec<_>>();
        let (clients, peers) = (urls(free_addresses(MEMBERS)?), urls(free_addresses(MEMBERS)?));
        let cluster: Vec<_> = peers.iter().enumerate().map(|(nth, url)| format!("m{nth}={url}")).collect();
        let mut etcd = Etcd { urls: clients, folder, members: Processes::default() };
        for (nth, (client, peer)) in etcd.urls.iter().zip(&peers).enumerate() {
            let mut command = Command::new("etcd");
            command.args(["--name", &format!("m{nth}"), "--data-dir"]).arg(etcd.folder.join(nth.to_string()));
            command.args(["--listen-client-urls", client, "--advertise-client-urls", client]);
            command.args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]);
            command.args(["--initial-cluster", &cluster.join(","), "--log-level", "fatal"]);
            let started = etcd.members.start(command.stderr(Stdio::null()));
            started
                .map_err(|error| format!("{error}; is etcd installed, as by apt-get install etcd-server?"))?;
        }
        Ok(etcd)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.members = Processes::default();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

struct Servers {
    etcd: String,
    level: LevelFilter,
    addresses: Vec<String>,
    running: Processes,
}

impl Servers {
    fn start(level: LevelFilter, etcd: String) -> Result<Servers, String> {
        let addresses = free_addresses(SERVERS)?.iter().map(SocketAddr::to_string).collect();
        let mut servers = Servers { etcd, level, addresses, running: Processes::default() };
        for nth in 0..SERVERS {
            let mut command = servers.command(nth)?;
            servers.running.start(&mut command)?;
        }
        Ok(servers)
    }

    /// This program again, as the server with this number.
    fn command(&self, nth: usize) -> Result<Command, String> {
        let program =
            std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let mut command = Command::new(program);
        command.args(["--serve", &self.addresses[nth], "--etcd", &self.etcd, "--cluster", "laptop"]);
        command.args(["--log-level", self.level.as_str()]);
        Ok(command)
    }

    /// Returns the address of the one that leads: only that one listens.
    fn leader(&self) -> Option<&str> {
        self.addresses.iter().map(String::as_str).find(|addr| TcpStream::connect(addr).is_ok())
    }

    /// Ends the one that leads by a signal. Returns words for the user.
    fn end_leader(&mut self, signal: &str) -> String {
        let Some(nth) = self.addresses.iter().position(|addr| TcpStream::connect(addr).is_ok()) else {
            return "nobody leads; wait for the next turn".to_owned();
        };
        let id = self.running.0[nth].id().to_string();
        match Command::new("kill").args(["-s", signal, &id]).status() {
            Ok(status) if status.success() => format!("sent SIG{signal} to {}", self.addresses[nth]),
            _ => format!("cannot send SIG{signal} to {id}"),
        }
    }

    /// Starts servers that have ended again, to stand by.
    fn start_again(&mut self) {
        for nth in 0..SERVERS {
            if matches!(self.running.0[nth].try_wait(), Ok(Some(_)))
                && let Ok(mut command) = self.command(nth)
                && let Ok(child) = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()
            {
                self.running.0[nth] = child;
            }
        }
    }
}

/// Returns addresses on loopback whose ports are probably unused.
fn free_addresses(count: usize) -> Result<Vec<SocketAddr>, String> {
    // All are bound at once, so that none is chosen twice.
    let listeners =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<Vec<_>, _>>();
    let addresses = listeners.and_then(|all| all.iter().map(TcpListener::local_addr).collect());
    addresses.map_err(|error| format!("no free port: {error}"))
}
