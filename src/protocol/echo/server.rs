//! The echo server.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;

use memchr::memchr;

use super::{EchoEvent, EchoServerConfig, Stamp};
use crate::protocol::{
    BuffersMin, CloseReason, ConnectionId, ConnectionMap, Links, Origin, Protocol, log_turned_away,
    write_printable,
};
use crate::record::Record;
use crate::session::{Redacted, SHOWN_BYTES_MAX};
use crate::time::{Alarm, Instant, Now, Timers};

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
    /// Unconsumed bytes of a message that has begun but not ended. A larger count in the next call means that
    /// more has arrived.
    left: usize,
    /// When that message began, or the connection was opened: the idle time counts from here.
    begun: Instant,
    /// When the last bytes arrived: the gather time counts from here.
    heard: Instant,
    alarm: Alarm,
}

/// The reason why a message is not echoed.
#[derive(Clone, Copy)]
enum Refusal {
    TooLong,
    TooSlow,
    NotUtf8,
}

impl EchoServer {
    /// Creates a server without clients. `stamp` formats the time in its answers.
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

    /// Answers `message`, or says why it cannot.
    fn answer(&mut self, now: Now, id: ConnectionId, message: &[u8], links: &mut Links) {
        let Some(client) = self.clients.get(id) else { return };
        let peer = client.peer;
        let text = match std::str::from_utf8(message) {
            Ok(text) if message.len() <= self.config.message_bytes_max => text,
            Ok(_) => return self.refuse(id, Refusal::TooLong, links),
            Err(_) => return self.refuse(id, Refusal::NotUtf8, links),
        };
        log_line!(links, Info, "received from {peer}: \"{}\"", Shown(text));
        let end = if self.config.keep_open { "\n" } else { "" };
        links.send_fmt(id, format_args!("Server received at {}: {text}{end}", (self.stamp)(now.wall())));
        log_line!(links, Info, "sent response to {peer}");
        self.events.push_back(EchoEvent::Answered { connection: id, bytes: message.len() });
        if !self.config.keep_open {
            self.dismiss(id, links);
        }
    }

    fn refuse(&mut self, id: ConnectionId, refusal: Refusal, links: &mut Links) {
        let Some(client) = self.clients.get(id) else { return };
        let max = self.config.message_bytes_max;
        let why = match refusal {
            Refusal::TooLong => {
                links.send_fmt(id, format_args!("Error: the message is longer than {max} bytes\n"));
                format_args!("more than {max} bytes")
            }
            Refusal::TooSlow => {
                links.send(id, b"Error: the message did not end in time\n");
                format_args!("the message did not end in time")
            }
            Refusal::NotUtf8 => {
                links.send(id, b"Error: the message is not UTF-8\n");
                format_args!("not UTF-8")
            }
        };
        log_line!(links, Warn, "{}: refused, {why}", client.peer);
        self.events.push_back(EchoEvent::Refused { connection: id });
        self.dismiss(id, links);
    }

    /// Closes a client after its last message, and ignores its further input.
    fn dismiss(&mut self, id: ConnectionId, links: &mut Links) {
        if let Some(mut client) = self.clients.remove(id) {
            self.timers.remove(&mut client.alarm, id);
            log_line!(links, Info, "connection closed with {}", client.peer);
            links.close(id);
        }
    }

    /// Handles all bytes of a message that have arrived, which may be the whole message. Returns how many of
    /// them to discard.
    fn gather(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        let Some(client) = self.clients.get_mut(id) else { return bytes.len() };
        let message = bytes.trim_ascii_start();
        // Whitespace does not begin a message, and does not extend its time.
        if message.is_empty() {
            return bytes.len();
        }
        let has_more = bytes.len() > client.left;
        if client.left == 0 {
            client.begun = now.instant;
        }
        if has_more {
            client.heard = now.instant;
        }
        let is_silent = self.draining || !has_more && client.heard + self.config.gather_time <= now.instant;
        client.left = bytes.len();
        let lead = bytes.len() - message.len();
        let end = memchr(b'\n', message).map(|end| lead + end);
        let length = end.unwrap_or(bytes.len());
        if end.is_some() || is_silent || length < self.config.whole_bytes_max {
            self.answer(now, id, bytes[..length].trim_ascii(), links);
        } else if length > self.config.message_bytes_max.saturating_add(1) {
            self.refuse(id, Refusal::TooLong, links);
        }
        0
    }

    /// Answers a message that is complete.
    fn complete(&mut self, now: Now, id: ConnectionId, message: &[u8], links: &mut Links) {
        let message = message.trim_ascii();
        if !message.is_empty() {
            self.answer(now, id, message, links);
        }
    }

    /// Returns when silence completes the message of `client`.
    fn silent_at(&self, client: &Client) -> Option<Instant> {
        (!self.config.keep_open && client.left > 0).then(|| client.heard + self.config.gather_time)
    }

    /// Answers complete lines while there is room. Returns how many bytes they took.
    fn answer_lines(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        let mut used = 0;
        let mut has_room = true;
        while has_room && let Some(length) = memchr(b'\n', &bytes[used..]) {
            self.answer_line(now, id, &bytes[used..used + length], links);
            used += length + 1;
            has_room = links.may_go_on(id);
        }
        let left = bytes.len() - used;
        let Some(client) = self.clients.get_mut(id) else { return used };
        if used > 0 || client.left == 0 {
            client.begun = now.instant;
        }
        // Lines that wait for room have no deadline here. The driver limits their wait.
        client.left = if has_room { left } else { 0 };
        if client.left > self.config.message_bytes_max.saturating_add(1) {
            self.refuse(id, Refusal::TooLong, links);
        }
        used
    }

    fn answer_line(&mut self, now: Now, id: ConnectionId, line: &[u8], links: &mut Links) {
        self.answer(now, id, line.strip_suffix(b"\r").unwrap_or(line), links);
    }

    fn rearm(&mut self, id: ConnectionId) {
        let Some(client) = self.clients.get(id) else { return };
        let patience = client.begun + self.config.idle_timeout;
        let due = match self.silent_at(client) {
            Some(silent) => Some(silent.min(patience)),
            None if !self.config.keep_open => Some(patience),
            // A connection that is kept open may stay silent between two lines.
            None => (client.left > 0).then_some(patience),
        };
        if let Some(client) = self.clients.get_mut(id) {
            self.timers.set(&mut client.alarm, id, due);
        }
    }
}

impl fmt::Debug for EchoServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EchoServer")
            .field("config", &self.config)
            .field("clients", &self.clients.len())
            .finish_non_exhaustive()
    }
}

impl Protocol for EchoServer {
    type Event = EchoEvent;

    fn handle_open(&mut self, now: Now, id: ConnectionId, peer: SocketAddr, _: Origin, links: &mut Links) {
        if self.draining || self.clients.len() >= self.config.max_clients {
            log_turned_away(peer, self.clients.len(), links);
            return links.abort(id);
        }
        log_line!(links, Info, "connection established with {peer}");
        let client =
            Client { peer, left: 0, begun: now.instant, heard: now.instant, alarm: Alarm::default() };
        self.clients.insert(id, client);
        self.rearm(id);
    }

    fn handle_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        let used = match self.config.keep_open {
            true => self.answer_lines(now, id, bytes, links),
            false => self.gather(now, id, bytes, links),
        };
        self.rearm(id);
        used
    }

    fn handle_end(&mut self, now: Now, id: ConnectionId, rest: &[u8], links: &mut Links) {
        match self.config.keep_open {
            true if rest.is_empty() => {}
            true => self.answer_line(now, id, rest, links),
            false => self.complete(now, id, rest, links),
        }
        self.dismiss(id, links);
    }

    fn handle_closed(&mut self, _: Now, id: ConnectionId, reason: CloseReason, links: &mut Links) {
        if let Some(mut client) = self.clients.remove(id) {
            self.timers.remove(&mut client.alarm, id);
            log_line!(links, Info, "connection closed with {}: {reason}", client.peer);
        }
    }

    fn handle_timeout(&mut self, now: Now, links: &mut Links) {
        while let Some(id) =
            self.clients.next_due(now.instant, &mut self.timers, |client| Some(&mut client.alarm))
        {
            let Some(client) = self.clients.get(id) else { continue };
            // Silence is checked first, so that a server that was held up does not blame its client.
            if self.silent_at(client).is_some_and(|silent| silent <= now.instant) {
                links.reread(id);
            } else if client.left == 0 {
                self.dismiss(id, links);
            } else {
                self.refuse(id, Refusal::TooSlow, links);
            }
        }
    }

    fn handle_flushed(&mut self, _: Now, _: &mut Links) {}

    /// An incomplete message is answered as it is.
    fn drain(&mut self, _: Now, links: &mut Links) {
        self.draining = true;
        let all: Vec<_> = self.clients.iter().map(|(id, client)| (id, client.left > 0)).collect();
        for (id, has_begun) in all {
            if has_begun && !self.config.keep_open {
                links.reread(id);
            } else {
                self.dismiss(id, links);
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn is_awaited(&self, _: ConnectionId) -> bool {
        false
    }

    /// Room for a message with its line end, and for an answer with its prefix.
    fn buffers_min(&self) -> BuffersMin {
        let message = self.config.message_bytes_max;
        BuffersMin { in_bytes: message.saturating_add(2), out_bytes: message.saturating_add(64) }
    }

    fn poll_event(&mut self) -> Option<EchoEvent> {
        self.events.pop_front()
    }

    fn poll_record(&mut self, _: Now) -> Option<Record> {
        None
    }

    fn handle_durable(&mut self, _: Now, _: u64, _: &mut Links) {}
}

/// The beginning of a message, escaped so that it cannot rearrange a log.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown(text) = self;
        // From a client that has reached the wrong server.
        let shown = Redacted::beginning(text.as_bytes());
        if shown.hides() {
            return shown.fmt(f);
        }
        let mut end = text.len().min(SHOWN_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        write_printable(&text[..end], f)?;
        if end < text.len() { f.write_str("...") } else { Ok(()) }
    }
}
