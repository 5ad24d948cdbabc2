//! Servers in Node.js: turns by socket.io, and a game of boardgame.io, whose clients speak socket.io too.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use super::{Client, Lock, connected};
use crate::DEADLINE;
use crate::daemon::{self, Daemon};

/// Starts one of the servers in `node/`; `None` if Node.js or its packages are missing.
pub fn start(script: &str) -> Result<Option<Daemon>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
    let has_packages = folder.join("node_modules").is_dir();
    let Some(node) = daemon::find("node", &[]).filter(|_| has_packages) else { return Ok(None) };
    let addr = daemon::free_address()?;
    let mut command = Command::new(node);
    command.env("NODE_ENV", "production").arg(folder.join(script)).arg(addr.port().to_string());
    command.arg(DEADLINE.as_secs().to_string());
    Daemon::start(command, addr).map(Some)
}

/// A client of socket.io, by WebSocket from the beginning.
struct Socket {
    web_socket: WebSocket<TcpStream>,
    /// The namespace, as it begins each message: empty, or with a comma behind it.
    namespace: &'static str,
}

impl Socket {
    fn to(addr: SocketAddr, namespace: &'static str) -> Result<Socket> {
        let url = format!("ws://{addr}/socket.io/?EIO=4&transport=websocket");
        let (web_socket, _) =
            tungstenite::client(url, connected(addr)?).map_err(|error| anyhow::anyhow!("{error}"))?;
        let mut socket = Socket { web_socket, namespace };
        // The engine opens, and then the namespace.
        ensure!(socket.hear()?.starts_with("0{"), "no session");
        socket.say(&format!("40{namespace}"))?;
        while !socket.hear()?.starts_with("40") {}
        Ok(socket)
    }

    fn say(&mut self, text: &str) -> Result<()> {
        Ok(self.web_socket.send(Message::text(text))?)
    }

    fn emit(&mut self, event: &Value) -> Result<()> {
        self.say(&format!("42{}{event}", self.namespace))
    }

    fn hear(&mut self) -> Result<String> {
        loop {
            match self.web_socket.read()? {
                // A ping of the engine.
                Message::Text(text) if text.as_str() == "2" => self.say("3")?,
                Message::Text(text) => return Ok(text.as_str().to_owned()),
                Message::Close(_) => bail!("a server closed a connection"),
                _ => {}
            }
        }
    }

    /// Returns the next event.
    fn event(&mut self) -> Result<Value> {
        loop {
            let message = self.hear()?;
            if let Some(event) = message.strip_prefix("42").and_then(|rest| rest.strip_prefix(self.namespace))
            {
                return Ok(serde_json::from_str(event)?);
            }
        }
    }
}

struct InQueue(Socket);

pub fn connect_to_socket_io(addr: SocketAddr, client: &Client<'_>) -> Result<Box<dyn Lock>> {
    let mut socket = Socket::to(addr, "")?;
    socket.emit(&json!(["join", client.lock]))?;
    Ok(Box::new(InQueue(socket)))
}

impl Lock for InQueue {
    fn ask(&mut self) -> Result<()> {
        self.0.emit(&json!(["ask"]))
    }

    fn wait(&mut self) -> Result<()> {
        while self.0.event()?[0] != "go" {}
        Ok(())
    }

    fn give(&mut self) -> Result<bool> {
        // With an acknowledgement.
        self.0.say(r#"420["give"]"#)?;
        loop {
            if let Some(was_its_turn) = self.0.hear()?.strip_prefix("430") {
                return Ok(was_its_turn == "[true]");
            }
        }
    }
}

/// A player. Its turn comes in the order of the numbers, whether it asks or not.
struct Player {
    socket: Socket,
    game: String,
    id: String,
    /// The number of the last state.
    state: u64,
    current: String,
}

pub fn connect_to_boardgame_io(addr: SocketAddr, client: &Client<'_>) -> Result<Box<dyn Lock>> {
    let &Client { lock, nth, of, .. } = client;
    let (socket, id) = (Socket::to(addr, "/turns,")?, nth.to_string());
    let mut player = Player { socket, game: lock.to_owned(), id, state: 0, current: String::new() };
    player.socket.emit(&json!(["sync", lock, player.id, null, of]))?;
    while player.current.is_empty() {
        player.hear()?;
    }
    Ok(Box::new(player))
}

impl Player {
    /// Takes the next state, of the whole game.
    fn hear(&mut self) -> Result<()> {
        let event = self.socket.event()?;
        let state = match event[0].as_str() {
            Some("sync") => &event[2]["state"],
            Some("update") => &event[2],
            _ => return Ok(()),
        };
        self.state = state["_stateID"].as_u64().with_context(|| format!("no state in {event}"))?;
        self.current = state["ctx"]["currentPlayer"].as_str().unwrap_or_default().to_owned();
        Ok(())
    }
}

impl Lock for Player {
    fn ask(&mut self) -> Result<()> {
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        while self.current != self.id {
            self.hear()?;
        }
        Ok(())
    }

    fn give(&mut self) -> Result<bool> {
        let before = self.state;
        let payload = json!({ "type": "act", "args": [], "playerID": self.id });
        let action = json!({ "type": "MAKE_MOVE", "payload": payload });
        self.socket.emit(&json!(["update", action, before, self.game, self.id]))?;
        while self.state == before {
            self.hear()?;
        }
        Ok(true)
    }
}
