//! `rank_server`, `rank_client`, and the legacy ones in Python. The numbered sentences of their protocol are
//! tested in `tests/virtual/dispatch/`.

mod client;
mod legacy;
mod server;
mod terminal;

use std::net::TcpStream;
use std::process::Command;

use support::bare::{PATIENCE, connect};

use crate::process::programs::example;
use crate::process::{Process, Stream};

struct Server {
    process: Process,
    address: String,
}

impl Server {
    fn start(args: &[&str]) -> Server {
        Server::start_at("127.0.0.1:0", args)
    }

    fn start_at(address: &str, args: &[&str]) -> Server {
        let mut process = Process::spawn(example("rank_server").args(args).args(["--listen", address]));
        let bound =
            process.wait_for_line("address", |line| line.text.starts_with("Server listening on "), PATIENCE);
        let address = bound.text.trim_start_matches("Server listening on ").to_owned();
        Server { process, address }
    }

    fn connect(&self) -> TcpStream {
        connect(&self.address)
    }
}

fn client_of(address: &str, args: &[&str]) -> Command {
    let mut command = example("rank_client");
    command.args(["--connect", address]).args(args);
    command
}

fn out(process: &mut Process, text: &str) {
    out_times(process, text, 1);
}

/// Waits until a line has appeared this many times on standard output, with or without a prompt before it.
fn out_times(process: &mut Process, text: &str, times: usize) {
    process.wait_until(&format!("{times} times {text:?}"), PATIENCE, |seen| {
        let lines = seen.iter().filter(|line| line.stream == Stream::Out);
        let is_it = |line: &str| line.trim_start_matches("Enter command: ") == text;
        (lines.filter(|line| is_it(&line.text)).count() >= times).then_some(())
    });
}
