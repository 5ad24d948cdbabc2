//! The counter server.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;

use super::{CounterEvent, CounterId, CounterServerConfig, Parity, Record};
use crate::protocol::{
    BuffersMin, CloseReason, ConnectionId, ConnectionMap, Entropy, Links, Origin, Protocol, log_turned_away,
};
use crate::session::{Extent, Quoted, is_foreign};
use crate::time::{Alarm, Instant, Now, Timers};

/// The server side of the counter protocol, without sockets: a [`Protocol`].
///
/// # Examples
///
/// ```
/// use taketurns::protocol::counter::{CounterId, CounterServer, CounterServerConfig, Record};
///
/// let mut server = CounterServer::new(CounterServerConfig::default(), Box::new(|bytes| bytes.fill(7)));
/// server.restore(CounterId::new(17).unwrap(), Record { number: 42, random: None });
/// assert_eq!(server.records().count(), 1);
/// ```
pub struct CounterServer {
    config: CounterServerConfig,
    entropy: Entropy,
    clients: ConnectionMap<Client>,
    /// At most 10,001 entries.
    ids: BTreeMap<CounterId, IdState>,
    timers: Timers<ConnectionId>,
    is_draining: bool,
    refused: u64,
    refused_in_pass: usize,
    events: VecDeque<CounterEvent>,
}

#[derive(Default)]
struct IdState {
    record: Record,
    connection: Option<ConnectionId>,
}

struct Client {
    peer: SocketAddr,
    id: Option<CounterId>,
    /// Limits how long a client may take to send its id.
    alarm: Alarm,
}

/// The most refusals reported per pass, so that a flood of them does not fill the memory.
const REPORTED_MAX: usize = 64;

const TOO_LONG: &str = "a message that is too long";

impl CounterServer {
    /// Creates a server without records. `entropy` provides the random numbers, and is asked again after a
    /// byte above 249.
    #[must_use]
    pub fn new(config: CounterServerConfig, entropy: Entropy) -> CounterServer {
        CounterServer {
            config,
            entropy,
            clients: ConnectionMap::default(),
            ids: BTreeMap::new(),
            timers: Timers::default(),
            is_draining: false,
            refused: 0,
            refused_in_pass: 0,
            events: VecDeque::new(),
        }
    }

    /// Returns all records by id.
    pub fn records(&self) -> impl Iterator<Item = (CounterId, Record)> {
        self.ids.iter().map(|(&id, known)| (id, known.record))
    }

    /// Restores the record of `id`, for example from a file.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::counter::{CounterId, CounterServer, CounterServerConfig, Record};
    /// let mut server = CounterServer::new(CounterServerConfig::default(), Box::new(|bytes| bytes.fill(7)));
    /// let id = CounterId::new(7).expect("at most 10,000");
    /// let record = Record { number: 42, random: None };
    /// server.restore(id, record);
    /// assert_eq!(server.records().collect::<Vec<_>>(), [(id, record)]);
    /// ```
    pub fn restore(&mut self, id: CounterId, record: Record) {
        self.ids.entry(id).or_default().record = record;
    }

    /// Returns the number of messages that were refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Reads the id of a new client (C1), replies with its last number (C2), and closes an older connection
    /// of that id (C7).
    fn on_id(&mut self, connection: ConnectionId, bytes: &[u8], links: &mut Links) {
        let digits = std::str::from_utf8(bytes).ok().filter(|_| bytes.len() <= self.config.message_bytes_max);
        let Some(id) = digits.and_then(|text| text.parse().ok()).and_then(CounterId::new) else {
            self.refuse(connection, "a bad id", bytes);
            return self.dismiss(connection, links);
        };
        let known = self.ids.entry(id).or_default();
        let number = known.record.number;
        let older = known.connection.replace(connection);
        if let Some(older) = older {
            log_line!(links, Info, "client {id}: the newer connection wins");
            self.dismiss(older, links);
        }
        let Some(client) = self.clients.get_mut(connection) else { return };
        client.id = Some(id);
        self.timers.remove(&mut client.alarm, connection);
        self.events.push_back(CounterEvent::Began { peer: client.peer, id, number });
        links.send_fmt(connection, format_args!("{number}"));
    }

    /// C3, C4, C8: handles a number or a word.
    fn on_message(&mut self, connection: ConnectionId, id: CounterId, bytes: &[u8], links: &mut Links) {
        let text = std::str::from_utf8(bytes).unwrap_or("");
        if let Some(parity) = Parity::parse(text) {
            let random = self.random(parity);
            self.ids.entry(id).or_default().record.random = Some(random);
            links.send_fmt(connection, format_args!("{random}"));
            self.events.push_back(CounterEvent::Gave { id, parity, random });
        } else if let Ok(number) = text.parse() {
            self.ids.entry(id).or_default().record.number = number;
            self.events.push_back(CounterEvent::Counted { id, number });
        } else {
            self.refuse(connection, "a message that is neither a 64-bit number nor odd nor even", bytes);
        }
    }

    /// Returns a number from 0 to 99, with all odd or all even numbers equally likely.
    fn random(&mut self, parity: Parity) -> u8 {
        loop {
            let mut byte = [0];
            (self.entropy)(&mut byte);
            // 250 is the largest multiple of 50 that fits: larger bytes would favour the small numbers.
            if byte[0] < 250 {
                return byte[0] % 50 * 2 + u8::from(parity == Parity::Odd);
            }
        }
    }

    fn refuse(&mut self, connection: ConnectionId, why: &str, bytes: &[u8]) {
        let Some(client) = self.clients.get_mut(connection) else { return };
        self.refused += 1;
        self.refused_in_pass += 1;
        if self.refused_in_pass <= REPORTED_MAX {
            let what = match bytes {
                b"" => why.to_owned(),
                bytes => format!("{why}: {}", Quoted(bytes)),
            };
            self.events.push_back(CounterEvent::Refused { peer: client.peer, id: client.id, what });
        }
    }

    /// Removes a client, and closes its connection.
    fn dismiss(&mut self, connection: ConnectionId, links: &mut Links) {
        self.forget(connection);
        links.close(connection);
    }

    /// Removes a client whose connection is closed.
    fn forget(&mut self, connection: ConnectionId) {
        let Some(mut client) = self.clients.remove(connection) else { return };
        self.timers.remove(&mut client.alarm, connection);
        let Some(id) = client.id else { return };
        if let Some(known) = self.ids.get_mut(&id).filter(|known| known.connection == Some(connection)) {
            known.connection = None;
        }
        self.events.push_back(CounterEvent::Ended { peer: client.peer, id });
    }

    /// Takes the id, one raw message up to a space or line end. Returns how many bytes it took.
    fn read_id(&mut self, connection: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        if is_foreign(bytes, Extent::Cut) {
            self.refuse(connection, "another protocol", bytes);
            self.dismiss(connection, links);
            return bytes.len();
        }
        let greeting = bytes.trim_ascii_start();
        let begin = bytes.len() - greeting.len();
        let length = greeting.iter().position(u8::is_ascii_whitespace).unwrap_or(greeting.len());
        if length > 0 {
            self.on_id(connection, &greeting[..length], links);
        }
        begin + length
    }

    /// Handles the messages after the greeting, each up to its space, while there is room. Returns how many
    /// bytes they took.
    fn take_messages(&mut self, connection: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        let mut used = 0;
        let max = self.config.message_bytes_max;
        while let Some(Client { id: Some(id), .. }) = self.clients.get(connection) {
            let (id, rest) = (*id, &bytes[used..]);
            let end = rest.iter().position(u8::is_ascii_whitespace);
            let message = &rest[..end.unwrap_or(rest.len())];
            if message.len() > max {
                let shown = if end.is_some() { message } else { &message[..max] };
                self.refuse(connection, TOO_LONG, shown);
                self.dismiss(connection, links);
            } else if end.is_none() {
                break;
            } else if !message.is_empty() {
                self.on_message(connection, id, message, links);
            }
            used += message.len() + usize::from(end.is_some());
            if !links.may_go_on(connection) {
                break;
            }
        }
        used
    }
}

impl fmt::Debug for CounterServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CounterServer")
            .field("config", &self.config)
            .field("clients", &self.clients.len())
            .field("ids", &self.ids.len())
            .finish_non_exhaustive()
    }
}

impl Protocol for CounterServer {
    type Event = CounterEvent;

    fn handle_open(&mut self, now: Now, id: ConnectionId, peer: SocketAddr, _: Origin, links: &mut Links) {
        if self.is_draining || self.clients.len() >= self.config.max_clients {
            log_turned_away(peer, self.clients.len(), links);
            return links.abort(id);
        }
        let mut client = Client { peer, id: None, alarm: Alarm::default() };
        let due = now.instant + self.config.hello_timeout;
        self.timers.set(&mut client.alarm, id, Some(due));
        self.clients.insert(id, client);
    }

    fn handle_bytes(&mut self, _: Now, connection: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        let greeting = match self.clients.get(connection) {
            Some(Client { id: None, .. }) => self.read_id(connection, bytes, links),
            _ => 0,
        };
        greeting + self.take_messages(connection, &bytes[greeting..], links)
    }

    fn handle_end(&mut self, _: Now, id: ConnectionId, _: &[u8], links: &mut Links) {
        self.dismiss(id, links);
    }

    fn handle_closed(&mut self, _: Now, id: ConnectionId, _: CloseReason, _: &mut Links) {
        self.forget(id);
    }

    fn handle_timeout(&mut self, now: Now, links: &mut Links) {
        while let Some(id) =
            self.clients.next_due(now.instant, &mut self.timers, |client| Some(&mut client.alarm))
        {
            self.refuse(id, "a client that sent no id in time", b"");
            self.dismiss(id, links);
        }
    }

    fn handle_flushed(&mut self, _: Now, _: &mut Links) {
        self.refused_in_pass = 0;
    }

    fn drain(&mut self, _: Now, links: &mut Links) {
        self.is_draining = true;
        let all: Vec<_> = self.clients.iter().map(|(id, _)| id).collect();
        for id in all {
            self.dismiss(id, links);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn is_awaited(&self, _: ConnectionId) -> bool {
        false
    }

    fn buffers_min(&self) -> BuffersMin {
        BuffersMin { in_bytes: self.config.message_bytes_max.saturating_add(1), out_bytes: 32 }
    }

    fn poll_event(&mut self) -> Option<CounterEvent> {
        self.events.pop_front()
    }

    fn poll_record(&mut self, _: Now) -> Option<crate::record::Record> {
        None
    }

    fn handle_durable(&mut self, _: Now, _: u64, _: &mut Links) {}
}
