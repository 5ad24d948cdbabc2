//! The echo server.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use log::{info, warn};
use memchr::memchr;

use super::{EchoEvent, EchoServerConfig, Stamp};
use crate::protocol::{CloseReason, ConnectionId, ConnectionMap, Links, Origin, Protocol};
use crate::time::{Alarm, Now, Timers, later};

/// The server side of the echo protocol, without sockets: a [`Protocol`].
///
/// # Examples
///
/// ```
/// use taketurns::protocol::echo::{EchoServer, EchoServerConfig};
///
/// let stamp = Box::new(|_| "2026-11-21 16:00:00".to_owned());
/// let server = EchoServer::new(EchoServerConfig::default(), stamp);
/// ```
pub struct EchoServer {
    config: EchoServerConfig,
    stamp: Stamp,
    clients: ConnectionMap<Client>,
    timers: Timers<ConnectionId>,
    draining: bool,
    events: VecDeque<EchoEvent>,
}

struct Client {
    peer: SocketAddr,
    /// The beginning of a message whose end has not come; at most `message_bytes_max` bytes and a line's end.
    partial: Vec<u8>,
    /// When this message began, or the connection was opened: from here patience counts.
    begun: Instant,
    alarm: Alarm,
}

/// Why a message is not echoed.
#[derive(Clone, Copy)]
enum Refusal {
    TooLong,
    TooSlow,
    NotUtf8,
}

impl EchoServer {
    /// A server without clients. `stamp` writes the time into its answers.
    #[must_use]
    pub fn new(config: EchoServerConfig, stamp: Stamp) -> EchoServer {
        EchoServer {
            config,
            stamp,
            clients: ConnectionMap::default(),
            timers: Timers::default(),
            draining: false,
            events: VecDeque::new(),
        }
    }

    /// Takes the message out that `client` has sent, and answers it.
    fn answer(&mut self, now: Now, id: ConnectionId, message: &[u8], links: &mut Links) {
        let Some(client) = self.clients.get(id) else { return };
        let peer = client.peer;
        let text = match std::str::from_utf8(message) {
            Ok(text) if message.len() <= self.config.message_bytes_max => text,
            Ok(_) => return self.refuse(id, Refusal::TooLong, links),
            Err(_) => return self.refuse(id, Refusal::NotUtf8, links),
        };
        info!("received from {peer}: \"{}\"", message.escape_ascii());
        let end = if self.config.keep_open { "\n" } else { "" };
        links.send_fmt(id, format_args!("Server received at {}: {text}{end}", (self.stamp)(now.wall)));
        info!("sent response to {peer}");
        self.events.push_back(EchoEvent::Answered { connection: id, bytes: message.len() });
        if !self.config.keep_open {
            self.dismiss(id, links);
        }
    }

    fn refuse(&mut self, id: ConnectionId, refusal: Refusal, links: &mut Links) {
        let Some(client) = self.clients.get(id) else { return };
        let max = self.config.message_bytes_max;
        match refusal {
            Refusal::TooLong => {
                warn!("{}: refused, more than {max} bytes", client.peer);
                links.send_fmt(id, format_args!("Error: the message is longer than {max} bytes\n"));
            }
            Refusal::TooSlow => {
                warn!("{}: refused, the message did not end in time", client.peer);
                links.send(id, b"Error: the message did not end in time\n");
            }
            Refusal::NotUtf8 => {
                warn!("{}: refused, not UTF-8", client.peer);
                links.send(id, b"Error: the message is not UTF-8\n");
            }
        }
        self.events.push_back(EchoEvent::Refused { connection: id });
        self.dismiss(id, links);
    }

    /// It has had its last word, and is not listened to any more.
    fn dismiss(&mut self, id: ConnectionId, links: &mut Links) {
        if let Some(mut client) = self.clients.remove(id) {
            self.timers.remove(&mut client.alarm, id);
            info!("connection closed with {}", client.peer);
            links.close(id);
        }
    }

    /// The message ends at a line's end, wherever it comes; then the rest may begin another one.
    fn take_lines(&mut self, now: Now, id: ConnectionId, mut bytes: &[u8], links: &mut Links) {
        while let Some(end) = memchr(b'\n', bytes) {
            let (head, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            let Some(client) = self.clients.get_mut(id) else { return };
            let mut message = std::mem::take(&mut client.partial);
            message.extend_from_slice(head);
            let line = message.strip_suffix(b"\r").unwrap_or(&message);
            let line = if self.config.keep_open { line } else { line.trim_ascii() };
            if self.config.keep_open || !line.is_empty() {
                self.answer(now, id, line, links);
            }
        }
        let Some(client) = self.clients.get_mut(id) else { return };
        client.partial.extend_from_slice(bytes);
        if client.partial.len() > self.config.message_bytes_max + 1 {
            self.refuse(id, Refusal::TooLong, links);
        }
    }

    /// Whether `partial` is a message that silence completes.
    fn is_gathering(&self, client: &Client) -> bool {
        !self.config.keep_open && !client.partial.trim_ascii().is_empty()
    }

    fn rearm(&mut self, now: Now, id: ConnectionId) {
        let Some(client) = self.clients.get(id) else { return };
        let patience = later(client.begun, self.config.idle_timeout);
        let due = if self.is_gathering(client) {
            Some(later(now.instant, self.config.gather_time).min(patience))
        } else {
            // Between two lines a connection that is kept open may be silent.
            (!self.config.keep_open || !client.partial.is_empty()).then_some(patience)
        };
        if let Some(client) = self.clients.get_mut(id) {
            self.timers.set(&mut client.alarm, id, due);
        }
    }

    /// No more will come: what there is, is the message.
    fn complete(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let message = std::mem::take(&mut client.partial);
        let message = message.trim_ascii();
        if !message.is_empty() {
            self.answer(now, id, message, links);
        }
    }
}

impl Protocol for EchoServer {
    type Event = EchoEvent;

    fn handle_open(&mut self, now: Now, id: ConnectionId, peer: SocketAddr, _: Origin, links: &mut Links) {
        if self.draining || self.clients.len() >= self.config.max_clients {
            warn!("{peer}: turned away, {} clients are connected", self.clients.len());
            return links.abort(id);
        }
        info!("connection established with {peer}");
        let client = Client { peer, partial: Vec::new(), begun: now.instant, alarm: Alarm::default() };
        self.clients.insert(id, client);
        self.rearm(now, id);
    }

    fn handle_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) {
        if let Some(client) = self.clients.get_mut(id).filter(|client| client.partial.is_empty()) {
            client.begun = now.instant;
        }
        self.take_lines(now, id, bytes, links);
        let Some(client) = self.clients.get(id) else { return };
        let length = client.partial.trim_ascii().len();
        if !self.config.keep_open && length > 0 && length < self.config.whole_bytes_max {
            self.complete(now, id, links);
        }
        self.rearm(now, id);
    }

    fn handle_end(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        self.complete(now, id, links);
        self.dismiss(id, links);
    }

    fn handle_closed(&mut self, _: Now, id: ConnectionId, reason: CloseReason, _: &mut Links) {
        if let Some(mut client) = self.clients.remove(id) {
            self.timers.remove(&mut client.alarm, id);
            info!("connection closed with {}: {reason}", client.peer);
        }
    }

    fn handle_timeout(&mut self, now: Now, links: &mut Links) {
        while let Some(id) = self.timers.pop(now.instant) {
            let Some(client) = self.clients.get_mut(id) else { continue };
            if !self.timers.ring(&mut client.alarm, id, now.instant) {
                continue;
            }
            let out_of_patience = later(client.begun, self.config.idle_timeout) <= now.instant;
            let has_begun = !client.partial.is_empty();
            match (out_of_patience, has_begun) {
                (true, true) => self.refuse(id, Refusal::TooSlow, links),
                (true, false) => self.dismiss(id, links),
                (false, _) => self.complete(now, id, links),
            }
        }
    }

    fn drain(&mut self, _: Now, links: &mut Links) {
        self.draining = true;
        let all: Vec<_> = self.clients.iter().map(|(id, _)| id).collect();
        for id in all {
            self.dismiss(id, links);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn poll_event(&mut self) -> Option<EchoEvent> {
        self.events.pop_front()
    }
}
