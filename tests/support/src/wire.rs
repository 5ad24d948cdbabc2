//! The client's ends of wires, without I/O: WebSocket, what is within another wire, and what has to be kept
//! while a handshake lasts. That of TLS is the library's own.

use std::io;

use taketurns::engine::{Input, Wrap, Wrapping};
use taketurns::protocol::Transport;

use crate::network::find_field;

/// The request with which a WebSocket begins.
pub const HEAD: &str = "GET / HTTP/1.1\r\nHost: 10.0.0.1:5001\r\nOrigin: http://10.0.0.1:5001\r\n\
                        Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                        Sec-WebSocket-Protocol: taketurns.line.1\r\n\
                        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const FIN: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Which wires there are, and what makes the ends of them that are the library's: this package is built
/// without the features for that.
#[derive(Debug, Clone, Copy)]
pub struct Wires {
    /// Makes the server's ends of WebSockets.
    pub web: fn() -> Wrap,
    pub tls: Option<Tls>,
}

#[derive(Debug, Clone, Copy)]
pub struct Tls {
    pub accept: fn() -> Wrap,
    pub connect: fn() -> Wrap,
}

/// The wire of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Plain,
    WebSocket,
    Tls,
    /// A WebSocket within TLS.
    Both,
}

impl Way {
    pub const ALL: [Way; 4] = [Way::Plain, Way::WebSocket, Way::Tls, Way::Both];

    pub fn is_secure(self) -> bool {
        matches!(self, Way::Tls | Way::Both)
    }
}

/// One end of a wire. What is said before the handshake is over waits for that.
#[derive(Debug)]
pub struct End {
    wrapping: Box<dyn Wrapping>,
    unsaid: Vec<u8>,
    /// To be sent.
    pub wire: Vec<u8>,
    /// What was heard.
    pub plain: Vec<u8>,
    /// Nothing more is said or heard.
    pub is_over: bool,
}

impl End {
    pub fn new(wrapping: Box<dyn Wrapping>) -> End {
        let mut end =
            End { wrapping, unsaid: Vec::new(), wire: Vec::new(), plain: Vec::new(), is_over: false };
        end.hear(&mut []);
        end
    }

    /// Takes in bytes of the wire.
    pub fn hear(&mut self, bytes: &mut [u8]) {
        if !self.is_over {
            let outcome = self.wrapping.unwrap(bytes, &mut self.plain, &mut self.wire);
            self.is_over = !matches!(outcome, Ok(Input::Open));
            self.go_on();
        }
    }

    /// Says `text`; of that which does not end a message, the rest has to follow.
    pub fn say(&mut self, text: &[u8]) {
        self.unsaid.extend_from_slice(text);
        self.go_on();
    }

    /// Says goodbye.
    pub fn finish(&mut self) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.wrapping.finish(&mut self.wire);
        }
    }

    pub fn is_open(&self) -> bool {
        !self.is_over && self.wrapping.transport().is_some()
    }

    fn go_on(&mut self) {
        while self.is_open() && !self.unsaid.is_empty() {
            let count = self.wrapping.wrap(&self.unsaid, &mut self.wire);
            if count == 0 {
                return;
            }
            self.unsaid.drain(..count);
        }
    }
}

/// A frame of a client.
pub fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let length = payload.len();
    let mut bytes = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..=125), _) => bytes.push(0x80 | length),
        (_, Ok(length)) => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Splits the first frame of a server off `bytes`: its first byte and its payload. `None` while it is not
/// complete.
pub fn take_frame(bytes: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (&first, rest) = bytes.split_first()?;
    let (&second, rest) = rest.split_first()?;
    let (length, head) = match second {
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).expect("it fits in memory"), 10),
        length => (usize::from(length), 2),
    };
    let payload = bytes.get(head..head + length)?.to_vec();
    bytes.drain(..head + length);
    Some((first, payload))
}

/// The client's end of a WebSocket: lines to messages, and back.
#[derive(Debug)]
pub struct WebClient {
    /// Cuts some messages into frames, and puts pings between these. Without it, each message is a frame.
    chance: Option<fastrand::Rng>,
    has_begun: bool,
    is_open: bool,
    is_over: bool,
    heard: Vec<u8>,
}

impl WebClient {
    pub fn new(chance: Option<fastrand::Rng>) -> WebClient {
        WebClient { chance, has_begun: false, is_open: false, is_over: false, heard: Vec::new() }
    }

    fn put(&mut self, kind: u8, mut payload: &[u8], wire: &mut Vec<u8>) {
        let mut opcode = kind;
        loop {
            let mask = self.chance.as_mut().map_or([1, 2, 3, 4], |chance| chance.u32(..).to_be_bytes());
            let chance = self.chance.as_mut().filter(|_| kind < CLOSE);
            let cut =
                chance.and_then(|chance| (chance.u8(0..4) == 0).then(|| chance.usize(0..=payload.len())));
            let Some(cut) = cut else {
                return wire.extend(frame(FIN | opcode, payload, mask));
            };
            wire.extend(frame(opcode, &payload[..cut], mask));
            if self.chance.as_mut().is_some_and(|chance| chance.u8(0..4) == 0) {
                wire.extend(frame(FIN | PING, b"are you there", mask));
            }
            (opcode, payload) = (CONTINUATION, &payload[cut..]);
        }
    }
}

fn broken(words: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

impl Wrapping for WebClient {
    fn unwrap(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, wire: &mut Vec<u8>) -> io::Result<Input> {
        if !std::mem::replace(&mut self.has_begun, true) {
            wire.extend_from_slice(HEAD.as_bytes());
        }
        self.heard.extend_from_slice(bytes);
        if !self.is_open {
            let Some(end) = self.heard.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                return Ok(Input::Open);
            };
            if !self.heard.starts_with(b"HTTP/1.1 101 ") {
                return Err(broken("the WebSocket is refused"));
            }
            self.heard.drain(..end + 4);
            self.is_open = true;
        }
        while let Some((first, payload)) = take_frame(&mut self.heard) {
            match first ^ FIN {
                TEXT | BINARY => {
                    plain.extend(payload);
                    plain.push(b'\n');
                }
                CLOSE => {
                    self.finish(wire);
                    return Ok(Input::Ended);
                }
                PING => self.put(PONG, &payload, wire),
                PONG => {}
                _ => return Err(broken("a frame that no server sends")),
            }
        }
        Ok(Input::Open)
    }

    fn wrap(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> usize {
        let mut used = 0;
        while let Some(length) = plain[used..].iter().position(|&byte| byte == b'\n') {
            let (line, rest) = (&plain[used..used + length], &plain[used + length + 1..]);
            let text = String::from_utf8_lossy(line);
            let announced = find_field(&text, "bytes").and_then(|count| count.parse::<usize>().ok());
            let Some(payload) = announced.map(|count| rest.get(..=count)).unwrap_or(Some(&[])) else {
                break;
            };
            self.put(TEXT, line, wire);
            if let Some((_line_end, payload)) = payload.split_last() {
                self.put(BINARY, payload, wire);
            }
            used += length + 1 + payload.len();
        }
        used
    }

    fn finish(&mut self, wire: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.put(CLOSE, &1000_u16.to_be_bytes(), wire);
        }
    }

    fn transport(&self) -> Option<Transport> {
        let mut transport = Transport::default();
        transport.is_web_socket = true;
        self.is_open.then_some(transport)
    }
}

/// One wire within another, whose handshake comes first.
#[derive(Debug)]
pub struct Within {
    pub outer: Box<dyn Wrapping>,
    pub inner: Box<dyn Wrapping>,
}

impl Within {
    fn send(&mut self, mut between: &[u8], wire: &mut Vec<u8>) {
        while !between.is_empty() {
            between = &between[self.outer.wrap(between, wire)..];
        }
    }
}

impl Wrapping for Within {
    fn unwrap(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, wire: &mut Vec<u8>) -> io::Result<Input> {
        let (mut between, mut back) = (Vec::new(), Vec::new());
        let outer = self.outer.unwrap(bytes, &mut between, wire)?;
        if self.outer.transport().is_none() {
            return Ok(outer);
        }
        let inner = self.inner.unwrap(&mut between, plain, &mut back);
        self.send(&back, wire);
        inner.map(|inner| if outer == Input::Ended { outer } else { inner })
    }

    fn wrap(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> usize {
        let mut between = Vec::new();
        let used = self.inner.wrap(plain, &mut between);
        self.send(&between, wire);
        used
    }

    fn finish(&mut self, wire: &mut Vec<u8>) {
        let mut between = Vec::new();
        self.inner.finish(&mut between);
        self.send(&between, wire);
        self.outer.finish(wire);
    }

    fn transport(&self) -> Option<Transport> {
        Some(self.outer.transport()?.and(self.inner.transport()?))
    }
}
