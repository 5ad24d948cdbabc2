//! The echo server.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;

use log::{info, warn};
use memchr::memchr;

use super::{EchoEvent, EchoServerConfig, Stamp};
use crate::protocol::{CloseReason, ConnectionId, ConnectionMap, Links, Origin, Protocol, write_printable};
use crate::protocol::{SHOWN_BYTES_MAX, is_shown};
use crate::time::{Alarm, Instant, Now, Timers};

/// No further line of a connection is answered while this would be exceeded: a client that reads, but sends many lines before it
/// does, is not one that does not read.
const UNSENT_BYTES_MAX: usize = 32 * 1024;

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
    /// Those whose next line waits for room, once each.
    waiting: Vec<ConnectionId>,
    /// There is room for a waiting line in the next pass, which is due at once.
    goes_on: Option<Instant>,
    draining: bool,
    /// Messages that were refused, and clients that were turned away: of both the log shows only some.
    refused: u64,
    turned_away: u64,
    events: VecDeque<EchoEvent>,
}

struct Client {
    peer: SocketAddr,
    /// What has come and is not answered. One message a connection: the beginning of one, never whitespace alone. Kept open: lines
    /// that wait for room, and the beginning of the next. At most `message_bytes_max` bytes, a line's end, and one read.
    partial: Vec<u8>,
    /// When the message in `partial` began, or the connection was opened: from here patience counts.
    begun: Instant,
    /// When the last piece came: from here silence counts.
    heard: Instant,
    /// It stands in `waiting`.
    waiting: bool,
    /// The peer has finished sending; once all is answered, the connection ends.
    ended: bool,
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
            waiting: Vec::new(),
            goes_on: None,
            draining: false,
            refused: 0,
            turned_away: 0,
            events: VecDeque::new(),
        }
    }

    /// Answers `message`, or says why not.
    fn answer(&mut self, now: Now, id: ConnectionId, message: &[u8], links: &mut Links) {
        let Some(client) = self.clients.get(id) else { return };
        let peer = client.peer;
        let text = match std::str::from_utf8(message) {
            Ok(text) if message.len() <= self.config.message_bytes_max => text,
            Ok(_) => return self.refuse(id, Refusal::TooLong, links),
            Err(_) => return self.refuse(id, Refusal::NotUtf8, links),
        };
        info!("received from {peer}: \"{}\"", Shown(text));
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
        self.refused += 1;
        if is_shown(self.refused) {
            warn!("{}: refused, {why}", client.peer);
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

    // One message a connection.

    /// `bytes` belong to the message; perhaps they end it.
    fn gather(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let mut lead = 0;
        if client.partial.is_empty() {
            lead = bytes.len() - bytes.trim_ascii_start().len();
            // Whitespace is nothing, and buys no time.
            if lead == bytes.len() {
                return;
            }
            client.begun = now.instant;
        }
        client.heard = now.instant;
        let end = memchr(b'\n', &bytes[lead..]).map(|end| lead + end);
        client.partial.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
        if end.is_some() || client.partial.len() < self.config.whole_bytes_max {
            self.complete(now, id, links);
        } else if client.partial.len() > self.config.message_bytes_max + 1 {
            self.refuse(id, Refusal::TooLong, links);
        }
    }

    /// What there is, is the message.
    fn complete(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let message = std::mem::take(&mut client.partial);
        let message = message.trim_ascii();
        if !message.is_empty() {
            self.answer(now, id, message, links);
        }
    }

    /// When silence completes the message of `client`.
    fn silent_at(&self, client: &Client) -> Option<Instant> {
        (!self.config.keep_open && !client.partial.is_empty()).then(|| client.heard + self.config.gather_time)
    }

    // A line after the other.

    /// Answers the lines that have ended, as far as there is room; at the end of the stream also the last one.
    fn answer_lines(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        let max = self.config.message_bytes_max + 1;
        let Some(client) = self.clients.get_mut(id) else { return };
        let ended = client.ended;
        let mut partial = std::mem::take(&mut client.partial);
        let mut taken = 0;
        let mut no_room = false;
        while taken < partial.len() {
            let rest = &partial[taken..];
            let Some(length) = memchr(b'\n', rest).or(ended.then_some(rest.len())) else { break };
            let unsent = links.unsent(id).len();
            no_room = unsent > 0 && unsent + length > UNSENT_BYTES_MAX;
            // Who sends that much more than it reads is answered anyway, and closed as one that does not read.
            if no_room && rest.len() <= max {
                break;
            }
            let line = &rest[..length];
            self.answer(now, id, line.strip_suffix(b"\r").unwrap_or(line), links);
            taken = partial.len().min(taken + length + 1);
            no_room = false;
            if !links.is_open(id) {
                return;
            }
        }
        partial.drain(..taken);
        let Some(client) = self.clients.get_mut(id) else { return };
        if taken > 0 {
            client.begun = now.instant;
        }
        if no_room {
            client.partial = partial;
            if !std::mem::replace(&mut client.waiting, true) {
                self.waiting.push(id);
            }
        } else if ended {
            self.dismiss(id, links);
        } else if partial.len() > max {
            self.refuse(id, Refusal::TooLong, links);
        } else {
            client.partial = partial;
        }
    }

    fn rearm(&mut self, id: ConnectionId) {
        let Some(client) = self.clients.get(id) else { return };
        let patience = client.begun + self.config.idle_timeout;
        let due = match self.silent_at(client) {
            Some(silent) => Some(silent.min(patience)),
            None if !self.config.keep_open => Some(patience),
            // Between two lines a connection that is kept open may be silent; where lines wait for room, it is for the driver to
            // say how long.
            None => (!client.partial.is_empty() && !client.waiting).then_some(patience),
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
            self.turned_away += 1;
            if is_shown(self.turned_away) {
                warn!("{peer}: turned away, {} clients are connected", self.clients.len());
            }
            return links.abort(id);
        }
        info!("connection established with {peer}");
        let client = Client {
            peer,
            partial: Vec::new(),
            begun: now.instant,
            heard: now.instant,
            waiting: false,
            ended: false,
            alarm: Alarm::default(),
        };
        self.clients.insert(id, client);
        self.rearm(id);
    }

    fn handle_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) {
        if self.config.keep_open {
            let Some(client) = self.clients.get_mut(id) else { return };
            if client.partial.is_empty() {
                client.begun = now.instant;
            }
            client.partial.extend_from_slice(bytes);
            self.answer_lines(now, id, links);
        } else {
            self.gather(now, id, bytes, links);
        }
        self.rearm(id);
    }

    fn handle_end(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        if self.config.keep_open {
            let Some(client) = self.clients.get_mut(id) else { return };
            client.ended = true;
            self.answer_lines(now, id, links);
            self.rearm(id);
        } else {
            self.complete(now, id, links);
            self.dismiss(id, links);
        }
    }

    fn handle_closed(&mut self, _: Now, id: ConnectionId, reason: CloseReason, _: &mut Links) {
        if let Some(mut client) = self.clients.remove(id) {
            self.timers.remove(&mut client.alarm, id);
            info!("connection closed with {}: {reason}", client.peer);
        }
    }

    fn handle_timeout(&mut self, now: Now, links: &mut Links) {
        self.goes_on = None;
        while let Some(id) = self.timers.pop(now.instant) {
            let Some(client) = self.clients.get_mut(id) else { continue };
            if !self.timers.ring(&mut client.alarm, id, now.instant) {
                continue;
            }
            let Some(client) = self.clients.get(id) else { continue };
            // Silence comes first: a server that was held up does not blame its client.
            if self.silent_at(client).is_some_and(|silent| silent <= now.instant) {
                self.complete(now, id, links);
            } else if client.partial.is_empty() {
                self.dismiss(id, links);
            } else {
                self.refuse(id, Refusal::TooSlow, links);
            }
        }
    }

    fn handle_flushed(&mut self, now: Now, links: &mut Links) {
        if self.waiting.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.waiting) {
            let Some(client) = self.clients.get_mut(id) else { continue };
            if !links.unsent(id).is_empty() {
                self.waiting.push(id);
                continue;
            }
            client.waiting = false;
            self.answer_lines(now, id, links);
            self.rearm(id);
            if self.clients.get(id).is_some_and(|client| client.waiting) {
                self.goes_on = Some(now.instant);
            }
        }
    }

    fn drain(&mut self, now: Now, links: &mut Links) {
        self.draining = true;
        let all: Vec<_> = self.clients.iter().map(|(id, _)| id).collect();
        for id in all {
            if !self.config.keep_open {
                self.complete(now, id, links);
            }
            self.dismiss(id, links);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        [self.goes_on, self.timers.next()].into_iter().flatten().min()
    }

    fn poll_event(&mut self) -> Option<EchoEvent> {
        self.events.pop_front()
    }
}

/// The beginning of a message, so that it can rearrange nothing around it in a log.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown(text) = self;
        let mut end = text.len().min(SHOWN_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        write_printable(&text[..end], f)?;
        if end < text.len() { f.write_str("...") } else { Ok(()) }
    }
}
