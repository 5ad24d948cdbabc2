//! A server as a process: alone or under a counting tool, and the system's figures about it.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::rings::Rings;
use super::serve::Setting;

/// The tool under which the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    Strace,
    Valgrind,
}

impl Tool {
    pub fn name(self) -> &'static str {
        match self {
            Tool::Strace => "strace",
            Tool::Valgrind => "valgrind",
        }
    }

    pub fn is_missing(self) -> bool {
        let status = Command::new(self.name()).arg("--version").stdout(Stdio::null()).status();
        !status.is_ok_and(|status| status.success())
    }

    /// Returns a command that counts the activity of the program after it, into the file `counted`.
    fn command(self, counted: &Path) -> Command {
        let mut command = Command::new(self.name());
        match self {
            // Most machines read a clock without a system call, and on the others that is not the server's
            // fault.
            Tool::Strace => {
                command.args(["-f", "-c", "-e", "trace=!clock_gettime", "-o"]).arg(counted).arg("--")
            }
            Tool::Valgrind => command
                .args(["--quiet", "--tool=callgrind", "--demangle=no"])
                .arg(format!("--callgrind-out-file={}", counted.display())),
        };
        command
    }
}

/// A running server, killed on drop.
pub struct Server {
    child: Child,
    pub addr: SocketAddr,
}

impl Server {
    pub fn start(setting: Setting) -> io::Result<Server> {
        Server::spawn(Command::new(std::env::current_exe()?), setting)
    }

    fn spawn(mut command: Command, setting: Setting) -> io::Result<Server> {
        command.arg("serve").args(setting.to_args()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().expect("standard output is piped");
        BufReader::new(stdout).read_line(&mut line)?;
        match line.trim_end().parse() {
            Ok(addr) => Ok(Server { child, addr }),
            Err(_) => {
                child.wait()?;
                Err(io::Error::other(format!("{command:?} does not serve, perhaps it has said why")))
            }
        }
    }

    /// Returns the field of `/proc/PID/status` that begins with `key`, as a number.
    pub fn status(&self, key: &str) -> io::Result<u64> {
        let status = self.proc_file("status")?;
        let value = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        first_number(value.unwrap_or_default())
            .ok_or_else(|| io::Error::other(format!("no {key} in /proc/PID/status")))
    }

    /// Returns the time that it has run on a processor, in nanoseconds.
    pub fn run_time(&self) -> io::Result<u64> {
        first_number(&self.proc_file("schedstat")?)
            .ok_or_else(|| io::Error::other("no time in /proc/PID/schedstat"))
    }

    fn proc_file(&self, name: &str) -> io::Result<String> {
        let path = format!("/proc/{}/{name}", self.child.id());
        fs::read_to_string(&path).map_err(|error| io::Error::other(format!("{path}: {error}")))
    }

    /// Ends the server by letting a client leave, and waits for it.
    pub fn end(&mut self, rings: &mut Rings) -> io::Result<()> {
        rings.end()?;
        match self.child.wait()? {
            status if status.success() => Ok(()),
            status => Err(io::Error::other(format!("the server ended with {status}"))),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has already ended. Under a tool it ends with its clients.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// Returns the report of `tool` on a server that grants `turns` turns, from start to end.
pub fn count_with(tool: Tool, setting: Setting, turns: usize) -> io::Result<String> {
    let counted = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!(
        "costs-{}-{}",
        std::process::id(),
        tool.name()
    ));
    let mut command = tool.command(&counted);
    command.arg(std::env::current_exe()?);
    let mut server = Server::spawn(command, setting)?;
    let mut rings = Rings::seat(server.addr, setting)?;
    rings.play(turns)?;
    server.end(&mut rings)?;
    let text = fs::read_to_string(&counted)?;
    fs::remove_file(&counted)?;
    Ok(text)
}
