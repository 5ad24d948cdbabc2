//! The wires between clients and server. All but the plain one need the feature `wires`.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::str::FromStr;
use std::time::Duration;

use support::wire::End;

/// Long beyond anything that a busy machine and a tool make of some system calls.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Plain,
    WebSocket,
    Tls,
    /// A WebSocket within TLS.
    Both,
    /// TLS with certificates of clients.
    Mutual,
}

const NAMES: [(Wire, &str); 5] = [
    (Wire::Plain, "plain"),
    (Wire::WebSocket, "WebSocket"),
    (Wire::Tls, "TLS"),
    (Wire::Both, "both"),
    (Wire::Mutual, "mutual TLS"),
];

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        NAMES.iter().filter(|(wire, _)| wire == self).try_for_each(|(_, name)| f.write_str(name))
    }
}

impl FromStr for Wire {
    type Err = ();

    fn from_str(text: &str) -> Result<Wire, ()> {
        NAMES.iter().find(|(_, name)| *name == text).map(|&(wire, _)| wire).ok_or(())
    }
}

/// A client's connection, which blocks.
pub struct Stream {
    socket: TcpStream,
    /// Its end of the wire, unless that is plain.
    end: Option<End>,
}

impl Stream {
    /// Connects, and shakes hands.
    pub fn connect(server: SocketAddr, wire: Wire) -> io::Result<Stream> {
        let mut stream = Stream::begin(server, wire)?;
        stream.say_hello()?;
        while stream.end.as_ref().is_some_and(|end| !end.is_open()) {
            if stream.hear()? == 0 {
                return Err(io::Error::other("the server does not shake hands"));
            }
        }
        Ok(stream)
    }

    /// Connects, and says nothing yet.
    pub fn begin(server: SocketAddr, wire: Wire) -> io::Result<Stream> {
        let socket = TcpStream::connect(server)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(READ_TIMEOUT))?;
        Ok(Stream { socket, end: client::end(wire) })
    }

    /// Says that with which a handshake begins.
    pub fn say_hello(&mut self) -> io::Result<()> {
        match &mut self.end {
            None => Ok(()),
            Some(end) => self.socket.write_all(&std::mem::take(&mut end.wire)),
        }
    }

    /// Turns `text` into the bytes of the wire, which have to be said next.
    pub fn prepare(&mut self, text: &[u8]) -> Vec<u8> {
        match &mut self.end {
            None => text.to_vec(),
            Some(end) => {
                end.say(text);
                std::mem::take(&mut end.wire)
            }
        }
    }

    #[cfg(feature = "wires")]
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Whether something has come that was not read; does not wait for it.
    pub fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.socket.set_nonblocking(true)?;
        let peeked = self.socket.peek(bytes);
        self.socket.set_nonblocking(false)?;
        match peeked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            peeked => peeked,
        }
    }

    /// Reads once, and says what the wire wants to be said.
    fn hear(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 4096];
        let count = self.socket.read(&mut bytes)?;
        if let Some(end) = &mut self.end {
            end.hear(&mut bytes[..count]);
            self.socket.write_all(&std::mem::take(&mut end.wire))?;
        }
        Ok(count)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(end) = &mut self.end else { return self.socket.read(buffer) };
            if !end.plain.is_empty() {
                let count = end.plain.len().min(buffer.len());
                buffer[..count].copy_from_slice(&end.plain[..count]);
                end.plain.drain(..count);
                return Ok(count);
            }
            if end.is_over || self.hear()? == 0 {
                return Ok(0);
            }
        }
    }
}

impl Write for Stream {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let bytes = self.prepare(text);
        self.socket.write_all(&bytes).map(|()| text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(not(feature = "wires"))]
mod client {
    use super::{End, Wire};

    pub fn end(_: Wire) -> Option<End> {
        None
    }
}

#[cfg(not(feature = "wires"))]
pub mod server {
    use std::net::SocketAddr;

    use taketurns::net::{Driver, Error};
    use taketurns::protocol::turns::TurnServer;

    use super::Wire;

    pub fn listen(driver: &mut Driver<TurnServer>, _: Wire) -> Result<SocketAddr, Error> {
        driver.listen(([127, 0, 0, 1], 0).into())
    }
}

/// The files of both sides: each run of the benchmark writes them, and the servers that it starts read them.
#[cfg(feature = "wires")]
pub mod certificates {
    use std::path::Path;
    use std::{fs, io};

    const FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/certificates");

    pub fn write() -> io::Result<()> {
        secure::write(Path::new(FOLDER))
    }

    pub(super) fn read(name: &str) -> Vec<u8> {
        fs::read(Path::new(FOLDER).join(name)).expect("the benchmark has written it")
    }
}

#[cfg(feature = "wires")]
pub mod client {
    use std::sync::LazyLock;

    use support::wire::{WebClient, Within};
    use taketurns::engine::Wrapping;
    use taketurns::tls::{Connector, Identity};

    use super::certificates::read;
    use super::{End, Wire};

    static NAMELESS: LazyLock<Connector> =
        LazyLock::new(|| Connector::new(Some(&read("ca.pem")), None).expect("the file is good"));
    static BOB: LazyLock<Connector> = LazyLock::new(|| {
        let (certificates, key) = (read("bob.pem"), read("bob.key"));
        let identity = Identity { certificates: &certificates, key: &key };
        Connector::new(Some(&read("ca.pem")), Some(identity)).expect("the files are good")
    });

    pub fn end(wire: Wire) -> Option<End> {
        let web = || -> Box<dyn Wrapping> { Box::new(WebClient::new(None)) };
        let tls = |connector: &Connector| connector.wrap("127.0.0.1").expect("an address")();
        let wrapping = match wire {
            Wire::Plain => return None,
            Wire::WebSocket => web(),
            Wire::Tls => tls(&NAMELESS),
            Wire::Both => Box::new(Within { outer: tls(&NAMELESS), inner: web() }),
            Wire::Mutual => tls(&BOB),
        };
        Some(End::new(wrapping))
    }
}

#[cfg(feature = "wires")]
pub mod server {
    use std::net::SocketAddr;

    use taketurns::engine::Wrap;
    use taketurns::net::{Driver, Error};
    use taketurns::protocol::turns::TurnServer;
    use taketurns::tls::{Acceptor, Clients, Identity};
    use taketurns::web_socket::WebSocketConfig;

    use super::Wire;
    use super::certificates::read;

    pub fn listen(driver: &mut Driver<TurnServer>, wire: Wire) -> Result<SocketAddr, Error> {
        let addr = ([127, 0, 0, 1], 0).into();
        if matches!(wire, Wire::WebSocket | Wire::Both) {
            driver.offer_web_socket(WebSocketConfig::default()).expect("it names no origin");
        }
        if matches!(wire, Wire::Plain | Wire::WebSocket) {
            return driver.listen(addr);
        }
        driver.listen_wrapped(addr, accept(wire))
    }

    /// Makes the server's ends of a wire with TLS.
    pub fn accept(wire: Wire) -> Wrap {
        let (certificates, key, authorities) = (read("server.pem"), read("server.key"), read("ca.pem"));
        let clients = Clients { authorities: &authorities, revoked: None, are_required: true };
        let identity = Identity { certificates: &certificates, key: &key };
        let acceptor = Acceptor::new(identity, (wire == Wire::Mutual).then_some(clients));
        acceptor.expect("the files are good").wrap()
    }
}
