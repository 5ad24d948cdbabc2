//! The clients of many rings: non-blocking sockets on one poll, which answer every `GO` in the pass that
//! brings it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::lines::{Shape, Speech};

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
    is_raw: bool,
    /// An incomplete line.
    begun: Vec<u8>,
}

impl Crowd {
    /// Joins one ring after another, and waits until each has a holder.
    pub fn join(server: SocketAddr, shape: Shape, speech: Speech) -> Result<Crowd> {
        let mut crowd = Crowd {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            clients: Vec::new(),
            welcomed: 0,
            holders: Vec::new(),
        };
        for nth in 0..shape.clients() {
            let ring = Some(nth / shape.size).filter(|ring| *ring < shape.rings);
            crowd.add(server, nth, ring, speech)?;
            while crowd.clients.len() >= crowd.welcomed + JOINS_MAX {
                crowd.pass()?;
            }
        }
        while crowd.welcomed < shape.clients() {
            crowd.pass()?;
        }
        crowd.settle(shape.rings)?;
        Ok(crowd)
    }

    /// Adds a client of `ring`; `None` for one that hears the first.
    fn add(&mut self, server: SocketAddr, nth: usize, ring: Option<usize>, speech: Speech) -> Result<()> {
        let mut socket = std::net::TcpStream::connect(server).context("a client cannot connect")?;
        socket.set_nodelay(true)?;
        let hello = match (speech, ring) {
            (_, None) => "WATCH ring=r0\n".to_owned(),
            (Speech::Raw, _) => String::new(),
            (Speech::Line, Some(ring)) => format!("JOIN Client{nth} ring=r{ring}\n"),
            (Speech::Confirm, Some(ring)) => format!("JOIN Client{nth} ring=r{ring} confirm=go\n"),
        };
        let answer = match speech {
            Speech::Raw => format!("Client{nth}:17"),
            Speech::Line | Speech::Confirm => "ANSWER :17\n".to_owned(),
        };
        socket.write_all(hello.as_bytes())?;
        socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(socket);
        self.poll.registry().register(&mut socket, Token(nth), Interest::READABLE)?;
        self.clients.push(Client { socket, answer, is_raw: speech == Speech::Raw, begun: Vec::new() });
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

/// Counts the signals of the raw framing. Each is written in one piece.
fn signals(bytes: &[u8]) -> Heard {
    let count = |signal: &[u8]| bytes.windows(signal.len()).filter(|at| *at == signal).count();
    Heard { welcomes: count(b"WAIT"), turns: count(b"GO") }
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
        let mut buffer = [0; 4096];
        let count = match self.socket.read(&mut buffer) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Heard::default()),
            Err(error) => return Err(error).context("a client cannot read"),
        };
        ensure!(count < buffer.len(), "a server says more than one turn takes");
        Ok(if self.is_raw { signals(&buffer[..count]) } else { self.take_lines(&buffer[..count]) })
    }

    fn take_lines(&mut self, bytes: &[u8]) -> Heard {
        let mut heard = Heard::default();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.begun.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                heard.turns += usize::from(self.begun.starts_with(b"GO "));
                let is_welcome =
                    [&b"WELCOME"[..], b"WATCHING"].iter().any(|verb| self.begun.starts_with(verb));
                heard.welcomes += usize::from(is_welcome);
                self.begun.clear();
            }
        }
        heard
    }
}
