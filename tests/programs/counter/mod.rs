//! `counter_server`, `counter_client`, and the legacy ones in Python. The numbered sentences of their
//! protocol are tested in `tests/virtual/counter/`.

mod client;
mod files;
mod legacy;
mod log;
mod server;
mod state;
mod terminal;

use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;

use support::bare::{PATIENCE, connect, recv};

use crate::process::folder::Folder;
use crate::process::input::{Typist, typed};
use crate::process::programs::example;
use crate::process::{Line, Process};

struct Server {
    process: Process,
    address: String,
}

fn server_command(folder: &Folder, listen: &str) -> Command {
    let mut command = example("counter_server");
    command.args(["--listen", listen, "--log-file"]).arg(folder.path("server.log"));
    command
}

fn with_state(folder: &Folder, listen: &str) -> Command {
    let mut command = server_command(folder, listen);
    command.arg("--state").arg(folder.path("state"));
    command
}

impl Server {
    fn start(folder: &Folder) -> Server {
        Server::spawn(&mut server_command(folder, "127.0.0.1:0"))
    }

    fn spawn(command: &mut Command) -> Server {
        let mut process = Process::spawn(command);
        let says = "Waiting for new connections on ";
        let line = process.wait_for_line("address", |line| line.text.starts_with(says), PATIENCE);
        Server { process, address: line.text[says.len()..].to_owned() }
    }

    fn wait_for(&mut self, text: &str) {
        wait_for(&mut self.process, text);
    }

    fn stop(mut self) -> Process {
        self.process.signal("TERM");
        self.process.expect_exit(0, PATIENCE);
        self.process
    }
}

fn wait_for(process: &mut Process, text: &str) -> Line {
    process.wait_for_line(&format!("{text:?}"), |line| line.text.contains(text), PATIENCE)
}

struct Peer(TcpStream);

impl Peer {
    /// Sends `id` and reads the answer.
    fn begin(address: &str, id: &str) -> (Peer, String) {
        let mut peer = Peer(connect(address));
        peer.send(id);
        let answer = peer.recv();
        (peer, answer)
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).expect("the server is there");
    }

    /// Does one `recv(1024)`.
    fn recv(&mut self) -> String {
        let mut bytes = [0; 1024];
        let count = recv(&self.0, &mut bytes).expect("an answer in time");
        String::from_utf8(bytes[..count].to_vec()).expect("text")
    }
}

/// A counter_client with a simulated user at its standard input.
struct Client {
    process: Process,
    typist: Option<Typist>,
}

fn client_command(address: &str, options: &[&str]) -> Command {
    let mut command = example("counter_client");
    command.args(["--connect", address]).args(options);
    command
}

impl Client {
    fn start(address: &str, options: &[&str]) -> Client {
        let (process, typist) = typed(&client_command(address, options));
        Client { process, typist: Some(typist) }
    }

    fn type_line(&mut self, text: &str) {
        self.typist.as_mut().expect("somebody types").types(&format!("{text}\n"));
    }

    fn wait_for(&mut self, text: &str) -> String {
        wait_for(&mut self.process, text).text
    }
}
