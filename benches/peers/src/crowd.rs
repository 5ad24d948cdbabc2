//! The clients of many rings: non-blocking sockets on one poll, which answer every `GO` in the pass that
//! brings it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::lines::Shape;

/// How long a pass waits before the server counts as failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most clients that join before their `WELCOME`s are awaited: fewer than any listener's queue holds.
const JOINS_MAX: usize = 100;

/// All clients of one server.
pub struct Crowd {
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    welcomed: usize,
    /// Clients that have a `GO` to answer.
    holders: Vec<usize>,
}

struct Client {
    socket: TcpStream,
    answer: String,
    /// An incomplete line.
    begun: Vec<u8>,
}

impl Crowd {
    /// Joins one ring after another, and waits until each has a holder.
    pub fn join(server: SocketAddr, shape: Shape) -> Result<Crowd> {
        let mut crowd = Crowd {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            clients: Vec::new(),
            welcomed: 0,
            holders: Vec::new(),
        };
        for nth in 0..shape.rings * shape.size {
            crowd.add(server, nth, nth / shape.size)?;
            while crowd.clients.len() >= crowd.welcomed + JOINS_MAX {
                crowd.pass()?;
            }
        }
        crowd.settle(shape.rings)?;
        Ok(crowd)
    }

    fn add(&mut self, server: SocketAddr, nth: usize, ring: usize) -> Result<()> {
        let mut socket = std::net::TcpStream::connect(server).context("a client cannot connect")?;
        socket.set_nodelay(true)?;
        socket.write_all(format!("JOIN Client{nth} ring=r{ring}\n").as_bytes())?;
        socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(socket);
        self.poll.registry().register(&mut socket, Token(nth), Interest::READABLE)?;
        self.clients.push(Client { socket, answer: "ANSWER :17\n".to_owned(), begun: Vec::new() });
        Ok(())
    }

    /// Lets all rings play `turns` turns together as fast as possible, and then stop. Returns how many there
    /// were in the end, and how long they took.
    pub fn play(&mut self, turns: usize) -> Result<(usize, Duration)> {
        let (rings, begun) = (self.holders.len(), Instant::now());
        let mut answered = 0;
        while answered < turns {
            answered += self.answer()?;
            self.pass()?;
        }
        self.settle(rings)?;
        Ok((answered, begun.elapsed()))
    }

    /// Answers for all holders.
    fn answer(&mut self) -> Result<usize> {
        for &holder in &self.holders {
            let Client { socket, answer, .. } = &mut self.clients[holder];
            socket.write_all(answer.as_bytes()).context("an answer cannot be written")?;
        }
        let answered = self.holders.len();
        self.holders.clear();
        Ok(answered)
    }

    /// Waits until `rings` clients hold a turn, so that the server has nothing left to do.
    fn settle(&mut self, rings: usize) -> Result<()> {
        while self.holders.len() < rings {
            self.pass()?;
        }
        ensure!(self.holders.len() == rings, "{} holders in {rings} rings", self.holders.len());
        Ok(())
    }

    fn pass(&mut self) -> Result<()> {
        self.poll.poll(&mut self.events, Some(PATIENCE))?;
        ensure!(
            !self.events.is_empty(),
            "heard nothing for {PATIENCE:?}, with {} holders",
            self.holders.len()
        );
        for event in &self.events {
            let Token(nth) = event.token();
            let heard = self.clients[nth].read()?;
            self.welcomed += heard.welcomes;
            self.holders.extend(std::iter::repeat_n(nth, heard.turns));
        }
        Ok(())
    }
}

/// The result of one read.
#[derive(Default)]
struct Heard {
    welcomes: usize,
    turns: usize,
}

impl Client {
    /// The buffer holds everything that can arrive, so one read empties the socket.
    fn read(&mut self) -> Result<Heard> {
        let mut buffer = [0; 1024];
        let count = match self.socket.read(&mut buffer) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Heard::default()),
            Err(error) => return Err(error).context("a client cannot read"),
        };
        ensure!(count < buffer.len(), "a server says more than one turn takes");
        Ok(self.take_lines(&buffer[..count]))
    }

    fn take_lines(&mut self, bytes: &[u8]) -> Heard {
        let mut heard = Heard::default();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.begun.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                heard.turns += usize::from(self.begun.starts_with(b"GO "));
                heard.welcomes += usize::from(self.begun.starts_with(b"WELCOME"));
                self.begun.clear();
            }
        }
        heard
    }
}
