//! A proxy that splits and delays the bytes that it forwards, at random from a seed.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use fastrand::Rng;

/// A proxy between clients and one server. It acts only in [`Proxy::step`].
pub struct Proxy {
    listener: TcpListener,
    server: SocketAddr,
    rng: Rng,
    lanes: Vec<Lane>,
    /// Lanes on which nothing moves any more: both ends are open, but isolated from each other.
    cut: Vec<Lane>,
}

/// One direction of one connection.
struct Lane {
    from: TcpStream,
    to: TcpStream,
    held: VecDeque<u8>,
    finished: bool,
}

impl Proxy {
    pub fn start(server: SocketAddr, seed: u64) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port 0 is free");
        listener.set_nonblocking(true).expect("a socket");
        Proxy { listener, server, rng: Rng::with_seed(seed), lanes: Vec::new(), cut: Vec::new() }
    }

    pub fn addr(&self) -> SocketAddr {
        self.listener.local_addr().expect("bound")
    }

    /// Cuts all connections without telling either end. New ones are still forwarded.
    pub fn cut(&mut self) {
        self.cut.append(&mut self.lanes);
    }

    /// Closes all connections to the server, without telling the clients.
    pub fn close_to_server(&mut self) {
        let to_server =
            self.lanes.iter().filter(|lane| lane.to.peer_addr().is_ok_and(|peer| peer == self.server));
        to_server.for_each(|lane| drop(lane.to.shutdown(std::net::Shutdown::Both)));
        self.cut();
    }

    /// Accepts new clients, and may forward a piece on each lane.
    pub fn step(&mut self) {
        while let Ok((client, _)) = self.listener.accept() {
            let server = TcpStream::connect(self.server).expect("the server listens");
            for stream in [&client, &server] {
                stream.set_nonblocking(true).expect("a socket");
                stream.set_nodelay(true).expect("a socket");
            }
            let again = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
            self.lanes.push(Lane::new(again(&client), again(&server)));
            self.lanes.push(Lane::new(server, client));
        }
        for lane in &mut self.lanes {
            lane.receive();
            if self.rng.u8(..3) > 0 {
                lane.pass_on(self.rng.usize(1..=7));
            }
        }
    }
}

impl Lane {
    fn new(from: TcpStream, to: TcpStream) -> Lane {
        Lane { from, to, held: VecDeque::new(), finished: false }
    }

    fn receive(&mut self) {
        let mut bytes = [0; 4096];
        match self.from.read(&mut bytes) {
            Ok(0) => self.finished = true,
            Ok(count) => self.held.extend(&bytes[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.finished = true,
        }
    }

    fn pass_on(&mut self, most: usize) {
        let piece: Vec<u8> = self.held.iter().copied().take(most).collect();
        if piece.is_empty() {
            if self.finished {
                // The other end may already be gone.
                let _ = self.to.shutdown(std::net::Shutdown::Write);
            }
            return;
        }
        let written = self.to.write(&piece).unwrap_or(0);
        self.held.drain(..written);
    }
}
