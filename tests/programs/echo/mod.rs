//! `echo_server`, `echo_client`, and the legacy ones in Python. The numbered sentences of their protocol are
//! tested in `tests/virtual/echo/`.

mod client;
mod legacy;
mod server;
mod terminal;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use support::bare::{PATIENCE, connect};

use crate::process::input::redirected;
use crate::process::programs::example;
use crate::process::{Process, Stream};

/// The longest message.
const KIB64: usize = 64 * 1024;

struct Server {
    process: Process,
    address: String,
}

impl Server {
    fn start(options: &[&str]) -> Server {
        Server::spawn(example("echo_server").args(options).args(["--listen", "127.0.0.1:0"]))
    }

    fn spawn(command: &mut Command) -> Server {
        let mut process = Process::spawn(command);
        let address = process.wait_until("address", PATIENCE, |seen| {
            seen.iter().find_map(|line| Some(line.text.split_once("listening on ")?.1.to_owned()))
        });
        Server { process, address }
    }

    fn connect(&self) -> TcpStream {
        connect(&self.address)
    }

    /// Sends `bytes` and returns everything that the server answers before it closes.
    fn ask(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("the server reads");
        let mut heard = String::new();
        stream.read_to_string(&mut heard).expect("the server closes without a reset");
        heard
    }

    fn stop(mut self) {
        self.process.signal("TERM");
        self.process.expect_exit(0, PATIENCE);
    }
}

fn client_command(address: &str, message: &[&str]) -> Command {
    let mut command = example("echo_client");
    command.args(["--connect", address]).args(message);
    command
}

fn client(address: &str, message: &[&str]) -> Process {
    Process::spawn(&mut client_command(address, message))
}

/// Starts the client with its standard input redirected by the shell.
fn client_with_input(address: &str, redirection: &str) -> Process {
    redirected(&client_command(address, &[]), redirection)
}

/// Returns the text after the time in a line such as `Response: Server received at 2026-11-21 16:00:00:
/// Hello`.
fn echoed<'a>(line: &'a str, label: &str) -> Option<&'a str> {
    let (time, message) =
        line.strip_prefix(label)?.strip_prefix("Server received at ")?.split_at_checked(19)?;
    time.parse::<jiff::civil::DateTime>().ok()?;
    message.strip_prefix(": ")
}

fn responses(process: &Process) -> Vec<&str> {
    // On a pipe, the prompt is a line of its own.
    let lines = process.lines(Stream::Out);
    lines.into_iter().filter_map(|line| echoed(line, "Server response: ")).collect()
}
