//! The clients of many rings, on one poll. They answer every `GO` in the pass that brings it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use taketurns::mio::net::TcpStream;
use taketurns::mio::{Events, Interest, Poll, Token};

/// How long a pass waits before the server counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Two clients in each ring.
pub struct Crowd {
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    /// Clients that have a turn to answer.
    holders: Vec<usize>,
}

struct Client {
    socket: TcpStream,
    begun: Vec<u8>,
    is_welcome: bool,
    has_turn: bool,
}

impl Crowd {
    /// Joins one ring after another, whose names begin with `prefix`, and waits until each has a holder.
    pub fn join(server: SocketAddr, rings: usize, prefix: &str) -> Result<Crowd> {
        let (poll, events) = (Poll::new()?, Events::with_capacity(1024));
        let mut crowd = Crowd { poll, events, clients: Vec::new(), holders: Vec::new() };
        for nth in 0..2 * rings {
            let mut socket = std::net::TcpStream::connect(server).context("a client cannot connect")?;
            socket.set_nodelay(true)?;
            socket.write_all(format!("JOIN client{nth} ring={prefix}{}\n", nth / 2).as_bytes())?;
            socket.set_nonblocking(true)?;
            let mut socket = TcpStream::from_std(socket);
            crowd.poll.registry().register(&mut socket, Token(nth), Interest::READABLE)?;
            crowd.clients.push(Client { socket, begun: Vec::new(), is_welcome: false, has_turn: false });
            // The queue of a listener is short.
            while nth % 64 == 63 && crowd.clients.iter().any(|client| !client.is_welcome) {
                crowd.pass()?;
            }
        }
        while crowd.holders.len() < rings || crowd.clients.iter().any(|client| !client.is_welcome) {
            crowd.pass()?;
        }
        Ok(crowd)
    }

    /// Plays `turns` turns in all rings together, as fast as possible. Returns turns per second.
    pub fn rate(&mut self, turns: usize) -> Result<f64> {
        let (rings, begin) = (self.holders.len(), Instant::now());
        let mut answered = 0;
        while answered < turns {
            answered += self.answer()?;
            self.pass()?;
        }
        while self.holders.len() < rings {
            self.pass()?;
        }
        Ok(answered as f64 / begin.elapsed().as_secs_f64())
    }

    /// Plays `turns` hand-overs in one ring. Returns the sorted times from the holder's answer until the next
    /// holder has its `GO`.
    pub fn hand_overs(&mut self, turns: usize) -> Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(turns);
        for _ in 0..turns {
            let begin = Instant::now();
            self.answer()?;
            while self.holders.is_empty() {
                self.pass()?;
            }
            times.push(begin.elapsed());
        }
        times.sort_unstable();
        Ok(times)
    }

    fn answer(&mut self) -> Result<usize> {
        for &holder in &self.holders {
            let client = &mut self.clients[holder];
            client.has_turn = false;
            client.socket.write_all(b"ANSWER :17\n").context("an answer cannot be written")?;
        }
        let answered = self.holders.len();
        self.holders.clear();
        Ok(answered)
    }

    fn pass(&mut self) -> Result<()> {
        self.poll.poll(&mut self.events, Some(PATIENCE))?;
        ensure!(!self.events.is_empty(), "heard nothing for {PATIENCE:?}");
        for event in &self.events {
            let Token(nth) = event.token();
            let client = &mut self.clients[nth];
            client.read()?;
            if client.has_turn && !self.holders.contains(&nth) {
                self.holders.push(nth);
            }
        }
        Ok(())
    }
}

impl Client {
    fn read(&mut self) -> Result<()> {
        let mut buffer = [0; 1024];
        loop {
            let count = match self.socket.read(&mut buffer) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("a client cannot read"),
            };
            for piece in buffer[..count].split_inclusive(|&byte| byte == b'\n') {
                self.begun.extend_from_slice(piece);
                if piece.ends_with(b"\n") {
                    self.has_turn |= self.begun.starts_with(b"GO ");
                    self.is_welcome |= self.begun.starts_with(b"WELCOME ");
                    self.begun.clear();
                }
            }
        }
    }
}
