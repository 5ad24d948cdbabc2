//! The dispatch client: it has a rank, sends commands, and executes those that it receives by reporting them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::Rank;
use super::message::{self, Command, Reply};
use crate::protocol::{BuffersMin, CloseReason, ConnectionId, Links, Origin, Protocol};
use crate::record::Record;
use crate::session::Redacted;
use crate::time::{Alarm, Instant, Now, Timers};
use crate::wire::{Framing, split_line};

/// The shortest time between two commands in the raw framing, because an old server takes each `recv` for one
/// command.
const GAP: Duration = Duration::from_millis(10);
/// The most commands that may wait to be sent.
const WAITING_MAX: usize = 8192;
/// Line framing: no more commands are sent while more bytes than this wait to be written, because the driver
/// closes a peer that accepts too little.
const UNSENT_BYTES_MAX: usize = 32 * 1024;
/// The longest line accepted from a server.
const LINE_BYTES_MAX: usize = 1024;

/// The client side of ranked dispatch, without sockets: a [`Protocol`] for one connection.
#[derive(Debug)]
pub struct DispatchClient {
    framing: Framing,
    connection: Option<ConnectionId>,
    rank: Option<Rank>,
    waiting: VecDeque<Command>,
    ready_at: Option<Instant>,
    alarm: Alarm,
    timers: Timers<()>,
    events: VecDeque<DispatchClientEvent>,
}

/// An event of a [`DispatchClient`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DispatchClientEvent {
    /// The server gave the client its rank.
    Ranked(Rank),
    /// The client has moved up.
    NewRank(Rank),
    /// A command to execute. In the line framing, the server is told that it is done.
    Command(Command),
    /// A command came from a client of lower rank, and is not executed.
    FromBelow(Rank, Command),
    /// The server passed a command on (line framing).
    Accepted(u64),
    /// A command was executed (line framing).
    Done(u64),
    /// A command was rejected for this reason (line framing).
    Rejected(String),
    /// The server does not accept more clients.
    Full,
}

impl DispatchClient {
    /// Creates a client without a connection.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::protocol::dispatch::{DispatchClient, Framing};
    ///
    /// let client = DispatchClient::new(Framing::Line);
    /// assert_eq!(client.rank(), None, "it is not connected yet");
    /// ```
    #[must_use]
    pub fn new(framing: Framing) -> DispatchClient {
        DispatchClient {
            framing,
            connection: None,
            rank: None,
            waiting: VecDeque::new(),
            ready_at: None,
            alarm: Alarm::default(),
            timers: Timers::default(),
            events: VecDeque::new(),
        }
    }

    /// Returns the client's rank, once it has one.
    #[must_use]
    pub fn rank(&self) -> Option<Rank> {
        self.rank
    }

    /// Returns whether commands wait to be sent.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Returns whether so many commands wait that the host should stop reading more of them for now.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.waiting.len() > WAITING_MAX / 4
    }

    /// Sends `command` as soon as there is a connection and a rank to claim, and the gap after the last
    /// command is over.
    ///
    /// # Errors
    ///
    /// Returns the command if 8,192 are waiting already.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::protocol::Links;
    /// use taketurns::protocol::dispatch::{Command, DispatchClient, Framing};
    /// use taketurns::time::Now;
    ///
    /// let mut links = Links::new(64 * 1024); // in a program: those that `Driver::act` gives
    /// let mut client = DispatchClient::new(Framing::Line);
    /// client.send(Now::ORIGIN, "dance".parse()?, &mut links).expect("few commands wait");
    /// assert!(client.is_waiting() && !client.is_busy(), "until there is a connection");
    /// # Ok::<(), taketurns::protocol::dispatch::InvalidCommand>(())
    /// ```
    pub fn send(&mut self, now: Now, command: Command, links: &mut Links) -> Result<(), Command> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(command);
        }
        self.waiting.push_back(command);
        self.send_waiting(now, links);
        Ok(())
    }

    fn send_waiting(&mut self, now: Now, links: &mut Links) {
        let (Some(id), Some(rank)) = (self.connection, self.rank) else { return };
        while let Some(command) = self.waiting.front() {
            if links.unsent(id).len() >= UNSENT_BYTES_MAX {
                return;
            }
            if let Some(ready_at) = self.ready_at.filter(|&ready_at| ready_at > now.instant) {
                return self.timers.set(&mut self.alarm, (), Some(ready_at));
            }
            let end = if self.framing == Framing::Line { "\n" } else { "" };
            links.send_fmt(id, format_args!("C {rank} {}{end}", command.as_str()));
            self.waiting.pop_front();
            self.ready_at = (self.framing == Framing::Raw).then(|| now.instant + GAP);
        }
    }

    fn reply(&mut self, now: Now, id: ConnectionId, text: &str, links: &mut Links) {
        use DispatchClientEvent as Event;
        let event = match Reply::parse(text) {
            Some(Reply::Rank(rank)) => {
                links.confirm(id);
                self.rank = Some(rank);
                Event::Ranked(rank)
            }
            Some(Reply::NewRank(rank)) => {
                self.rank = Some(rank);
                Event::NewRank(rank)
            }
            Some(Reply::Execute(from, command)) if self.rank.is_some_and(|rank| from > rank) => {
                Event::FromBelow(from, command)
            }
            Some(Reply::Execute(_, command)) => Event::Command(command),
            Some(Reply::Job(job, command)) => {
                links.send_fmt(id, format_args!("D {job}\n"));
                Event::Command(command)
            }
            Some(Reply::Accepted(job)) => Event::Accepted(job),
            Some(Reply::Done(job)) => Event::Done(job),
            Some(Reply::Rejected(reason)) => Event::Rejected(reason),
            None if text == "Server full" => Event::Full,
            None => return self.unknown(now, id, text, links),
        };
        self.events.push_back(event);
        self.send_waiting(now, links);
    }

    /// A raw server may leave no gap between messages. A rank can be told apart from a message next to it;
    /// anything else is logged.
    fn unknown(&mut self, now: Now, id: ConnectionId, text: &str, links: &mut Links) {
        match message::split(text).filter(|_| self.framing == Framing::Raw) {
            Some((first, rest)) => {
                self.reply(now, id, first, links);
                self.reply(now, id, rest, links);
            }
            None => {
                log_line!(
                    links,
                    Warn,
                    "not a message of a rank server: \"{}\"",
                    Redacted::beginning(text.as_bytes())
                );
            }
        }
    }
}

impl Protocol for DispatchClient {
    type Event = DispatchClientEvent;

    fn handle_open(&mut self, _: Now, id: ConnectionId, _: SocketAddr, _: Origin, links: &mut Links) {
        if let Some(before) = self.connection.replace(id) {
            links.close(before);
        }
        self.rank = None;
    }

    fn handle_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        if self.connection != Some(id) {
            return bytes.len();
        }
        if self.framing == Framing::Raw {
            self.reply(now, id, &String::from_utf8_lossy(bytes), links);
            return bytes.len();
        }
        let mut used = 0;
        while links.may_go_on(id)
            && let Some(line) = split_line(&bytes[used..], LINE_BYTES_MAX)
        {
            used += line.used;
            match line.text {
                Ok(text) => self.reply(now, id, text, links),
                Err(_) => links.abort(id),
            }
        }
        used
    }

    fn handle_end(&mut self, _: Now, id: ConnectionId, _: &[u8], links: &mut Links) {
        links.close(id);
    }

    fn handle_closed(&mut self, _: Now, id: ConnectionId, _: CloseReason, _: &mut Links) {
        if self.connection == Some(id) {
            self.connection = None;
            self.rank = None;
        }
    }

    fn handle_timeout(&mut self, now: Now, links: &mut Links) {
        while self.timers.pop(now.instant).is_some() {
            if self.timers.ring(&mut self.alarm, (), now.instant) {
                self.send_waiting(now, links);
            }
        }
    }

    fn handle_flushed(&mut self, now: Now, links: &mut Links) {
        self.send_waiting(now, links);
    }

    fn drain(&mut self, _: Now, links: &mut Links) {
        if let Some(id) = self.connection {
            links.close(id);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn is_awaited(&self, id: ConnectionId) -> bool {
        self.connection == Some(id)
    }

    fn buffers_min(&self) -> BuffersMin {
        BuffersMin::default()
    }

    fn poll_event(&mut self) -> Option<DispatchClientEvent> {
        self.events.pop_front()
    }

    fn poll_record(&mut self, _: Now) -> Option<Record> {
        None
    }

    fn handle_durable(&mut self, _: Now, _: u64, _: &mut Links) {}
}
