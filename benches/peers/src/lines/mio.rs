//! Bare `mio`: one read, and one write to each of two clients. No deadlines, no queue for slow readers.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};

use anyhow::{Result, ensure};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::{Shape, ring_of};
use crate::server::{ANY_PORT, announce};

const LISTENER: Token = Token(usize::MAX);

struct Client {
    socket: TcpStream,
    /// Its ring and its place there, once it has joined.
    seat: Option<(usize, usize)>,
    /// An incomplete line.
    begun: Vec<u8>,
}

#[derive(Default)]
struct Ring {
    /// Clients by place.
    clients: Vec<usize>,
    hearers: Vec<usize>,
    turn: u64,
}

struct Server {
    size: usize,
    clients: Slab<Client>,
    rings: Vec<Ring>,
    by_name: HashMap<String, usize>,
}

pub fn serve(shape: Shape) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(ANY_PORT.parse()?)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    announce(listener.local_addr()?)?;
    let clients = Slab::with_capacity(shape.clients());
    let mut server = Server { size: shape.size, clients, rings: Vec::new(), by_name: HashMap::new() };
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => server.accept(&listener, &poll)?,
                Token(id) => server.read(id)?,
            }
        }
    }
}

impl Server {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> Result<()> {
        loop {
            let mut socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            socket.set_nodelay(true)?;
            let entry = self.clients.vacant_entry();
            poll.registry().register(&mut socket, Token(entry.key()), Interest::READABLE)?;
            entry.insert(Client { socket, seat: None, begun: Vec::new() });
        }
    }

    /// A read that does not fill the buffer has emptied the socket.
    fn read(&mut self, id: usize) -> Result<()> {
        let mut buffer = [0; 256];
        let count = match self.clients[id].socket.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        ensure!(0 < count && count < buffer.len(), "a client left, or says more than one answer");
        let mut rest = &buffer[..count];
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let begun = std::mem::take(&mut self.clients[id].begun);
            match begun[..] {
                [] => self.hear(id, &rest[..end])?,
                _ => self.hear(id, &[&begun[..], &rest[..end]].concat())?,
            }
            rest = &rest[end + 1..];
        }
        self.clients[id].begun.extend_from_slice(rest);
        Ok(())
    }

    fn hear(&mut self, id: usize, line: &[u8]) -> Result<()> {
        match self.clients[id].seat {
            None => self.join(id, str::from_utf8(line)?),
            Some((ring, place)) => self.hand_over(id, ring, place),
        }
    }

    fn join(&mut self, id: usize, hello: &str) -> Result<()> {
        let name = ring_of(hello)?;
        let at = *self.by_name.entry(name.to_owned()).or_insert(self.rings.len());
        if at == self.rings.len() {
            self.rings.push(Ring::default());
        }
        let ring = &mut self.rings[at];
        if hello.starts_with("WATCH") {
            ring.hearers.push(id);
            self.clients[id].socket.write_all(b"WATCHING\n")?;
            return Ok(());
        }
        self.clients[id].seat = Some((at, ring.clients.len()));
        ring.clients.push(id);
        self.clients[id].socket.write_all(b"WELCOME\n")?;
        if ring.clients.len() == self.size {
            ring.turn = 1;
            self.clients[ring.clients[0]].socket.write_all(b"GO turn=1\n")?;
        }
        Ok(())
    }

    fn hand_over(&mut self, id: usize, ring: usize, place: usize) -> Result<()> {
        let ring = &mut self.rings[ring];
        let (answered, next) = (ring.turn, ring.clients[(place + 1) % self.size]);
        ring.turn += 1;
        self.clients[next].socket.write_all(format!("GO turn={}\n", ring.turn).as_bytes())?;
        self.clients[id].socket.write_all(format!("OK turn={answered}\n").as_bytes())?;
        if !ring.hearers.is_empty() {
            let turn = ring.turn;
            let heard =
                format!("TURN Client{id} turn={answered} :17\nBEGIN Client{next} turn={turn} within=30000\n");
            for &hearer in &ring.hearers {
                self.clients[hearer].socket.write_all(heard.as_bytes())?;
            }
        }
        Ok(())
    }
}
