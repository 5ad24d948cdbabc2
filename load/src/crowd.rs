//! The sockets of many clients on one poll. The scenarios decide what they send.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{self, Shutdown, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

pub struct Crowd {
    poll: Poll,
    events: Events,
    /// Sockets by client number.
    sockets: Vec<Option<TcpStream>>,
    buffer: Vec<u8>,
}

/// Bytes that arrived for one client.
pub struct Heard {
    pub nth: usize,
    pub bytes: Vec<u8>,
    /// Whether the connection is over, and its socket closed.
    pub ended: bool,
}

impl Crowd {
    pub fn new(clients: usize) -> Result<Crowd> {
        let sockets = (0..clients).map(|_| None).collect();
        Ok(Crowd {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            sockets,
            buffer: vec![0; 16 * 1024],
        })
    }

    pub fn connect(&mut self, nth: usize, server: SocketAddr) -> Result<()> {
        let socket =
            net::TcpStream::connect(server).with_context(|| format!("client {nth} cannot connect"))?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(socket);
        self.poll.registry().register(&mut socket, Token(nth), Interest::READABLE)?;
        self.sockets[nth] = Some(socket);
        Ok(())
    }

    /// Lets client `nth` send `text`. If the server does not accept it, that shows at the next read.
    pub fn say(&mut self, nth: usize, text: &str) {
        if let Some(socket) = &mut self.sockets[nth] {
            let _ = socket.write(text.as_bytes());
        }
    }

    pub fn is_connected(&self, nth: usize) -> bool {
        self.sockets[nth].is_some()
    }

    pub fn connected(&self) -> usize {
        self.sockets.iter().flatten().count()
    }

    pub fn close(&mut self, nth: usize) {
        self.sockets[nth] = None;
    }

    pub fn half_close(&mut self, nth: usize) {
        if let Some(socket) = &self.sockets[nth] {
            let _ = socket.shutdown(Shutdown::Write);
        }
    }

    /// Closes by a reset, like a process that was killed with unread input.
    pub fn reset(&mut self, nth: usize) {
        if let Some(socket) = self.sockets[nth].take() {
            let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
        }
    }

    /// Waits for at most `patience`. Returns what arrived.
    pub fn pass(&mut self, patience: Duration) -> Result<Vec<Heard>> {
        match self.poll.poll(&mut self.events, Some(patience)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(Vec::new()),
            polled => polled?,
        }
        let mut all = Vec::new();
        for event in &self.events {
            let Token(nth) = event.token();
            let Some(socket) = &mut self.sockets[nth] else { continue };
            let heard = hear(nth, socket, &mut self.buffer);
            if heard.ended {
                self.sockets[nth] = None;
            }
            all.push(heard);
        }
        Ok(all)
    }
}

fn hear(nth: usize, socket: &mut TcpStream, buffer: &mut [u8]) -> Heard {
    let mut heard = Heard { nth, bytes: Vec::new(), ended: false };
    loop {
        match socket.read(buffer) {
            Ok(0) => heard.ended = true,
            Ok(count) => {
                heard.bytes.extend_from_slice(&buffer[..count]);
                continue;
            }
            Err(error) => heard.ended = error.kind() != ErrorKind::WouldBlock,
        }
        return heard;
    }
}
