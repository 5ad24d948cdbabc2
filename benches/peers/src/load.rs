//! The clients of one server: blocking sockets, all on one thread, which answers for the holder of the turn.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// Clients in ring order.
pub struct Ring {
    clients: Vec<Client>,
    holder: usize,
}

struct Client {
    socket: TcpStream,
    answer: String,
}

impl Ring {
    /// Connects `clients` clients one by one, and waits until the first has the turn. A client that waits in
    /// vain for `patience` is an error.
    pub fn join(server: SocketAddr, clients: usize, patience: Duration) -> Result<Ring> {
        let join = |nth| {
            Client::join(server, nth, patience)
                .with_context(|| format!("client {nth} of {clients} cannot join"))
        };
        let mut clients = (0..clients).map(join).collect::<Result<Vec<_>>>()?;
        clients[0].expect("GO")?;
        Ok(Ring { clients, holder: 0 })
    }

    /// Plays a hand-over. Returns the time from before the holder's answer is written until the next client
    /// has read its `GO`.
    pub fn hand_over(&mut self) -> Result<Duration> {
        let next = (self.holder + 1) % self.clients.len();
        let begun = Instant::now();
        self.clients[self.holder].answer()?;
        self.clients[next].expect("GO")?;
        let took = begun.elapsed();
        self.holder = next;
        Ok(took)
    }
}

impl Client {
    fn join(server: SocketAddr, nth: usize, patience: Duration) -> Result<Client> {
        let socket = TcpStream::connect(server)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(patience))?;
        let mut client = Client { socket, answer: format!("Client{nth}:17") };
        client.expect("WAIT")?;
        Ok(client)
    }

    fn answer(&mut self) -> Result<()> {
        self.socket.write_all(self.answer.as_bytes()).context("an answer cannot be written")
    }

    fn expect(&mut self, signal: &str) -> Result<()> {
        let mut buffer = [0; 4];
        let heard = &mut buffer[..signal.len()];
        self.socket.read_exact(heard).with_context(|| format!("waited in vain for {signal}"))?;
        ensure!(heard == signal.as_bytes(), "heard {heard:?} instead of {signal}");
        Ok(())
    }
}
