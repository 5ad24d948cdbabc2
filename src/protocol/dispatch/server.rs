//! The dispatch server: who has which rank, who gets which command, and when a raw client may be written to again.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use log::{info, warn};

use super::message::{COMMAND_BYTES_MAX, Command, MESSAGE_BYTES_MAX, Reply, Request};
use super::{DispatchEvent, DispatchServerConfig, Policy, Rank, Rejection};
use crate::protocol::turns::Framing;
use crate::protocol::{CloseReason, ConnectionId, ConnectionMap, Links, Origin, Protocol};
use crate::time::{Alarm, Now, Timers, later};
use crate::wire::{LineDecoder, RawDecoder, RawMessage};

/// The server side of ranked dispatch, without sockets: a [`Protocol`].
///
/// # Examples
///
/// ```
/// use taketurns::protocol::dispatch::{DispatchServer, DispatchServerConfig, Policy};
///
/// let config = DispatchServerConfig { policy: Policy::LeastLoaded, ..DispatchServerConfig::default() };
/// let server = DispatchServer::new(config);
/// assert_eq!(server.ranks().count(), 0);
/// ```
#[derive(Debug)]
pub struct DispatchServer {
    config: DispatchServerConfig,
    clients: ConnectionMap<Client>,
    /// By rank.
    ranks: Vec<ConnectionId>,
    /// Commands that are accepted and not done (line framing).
    jobs: HashMap<u64, Job>,
    jobs_made: u64,
    /// Counts the commands dispatched: who was chosen longer ago has the smaller number.
    dispatched: u64,
    timers: Timers<ConnectionId>,
    draining: bool,
    events: VecDeque<DispatchEvent>,
}

#[derive(Debug)]
struct Client {
    peer: SocketAddr,
    rank: Rank,
    input: Input,
    /// When commands were sent to it, within the load window (raw framing).
    sent: VecDeque<Instant>,
    /// Commands that it has not done (line framing).
    undone: usize,
    /// The number of the last command that it was chosen for.
    chosen: u64,
    /// What waits for the gap, and when the gap is over (raw framing).
    waiting: VecDeque<Reply>,
    ready_at: Instant,
    alarm: Alarm,
}

#[derive(Debug)]
enum Input {
    Raw(RawDecoder),
    Line { decoder: LineDecoder, until: Option<Instant> },
}

#[derive(Debug, Clone, Copy)]
struct Job {
    sender: ConnectionId,
    worker: ConnectionId,
}

impl DispatchServer {
    /// A server without clients.
    #[must_use]
    pub fn new(config: DispatchServerConfig) -> DispatchServer {
        DispatchServer {
            config,
            clients: ConnectionMap::default(),
            ranks: Vec::new(),
            jobs: HashMap::new(),
            jobs_made: 0,
            dispatched: 0,
            timers: Timers::default(),
            draining: false,
            events: VecDeque::new(),
        }
    }

    /// Every client with its rank, the highest first.
    pub fn ranks(&self) -> impl Iterator<Item = (Rank, SocketAddr)> {
        self.ranks.iter().filter_map(|&id| self.clients.get(id)).map(|client| (client.rank, client.peer))
    }

    /// What one message means.
    fn request(&mut self, now: Now, id: ConnectionId, message: &[u8], links: &mut Links) {
        let request = std::str::from_utf8(message).ok().and_then(Request::parse);
        let is_line = self.config.framing == Framing::Line;
        match request {
            Some(Request::Command { claimed, command }) => {
                self.command(now, id, claimed, command, links);
            }
            Some(Request::Done(job)) if is_line => self.done(now, id, job, links),
            _ => {
                let Some(client) = self.clients.get(id) else { return };
                let peer = client.peer;
                let shown = &message[..message.len().min(128)];
                warn!(
                    "{peer}: refused, not a command of 1 to {COMMAND_BYTES_MAX} bytes: \"{}\"",
                    shown.escape_ascii()
                );
                self.events.push_back(DispatchEvent::Refused { peer });
                self.tell_rejected(now, id, Rejection::Malformed, links);
            }
        }
    }

    /// R2 to R5: the command goes to a client of lower rank than the sender has, whatever it claims.
    fn command(&mut self, now: Now, id: ConnectionId, claimed: usize, command: Command, links: &mut Links) {
        let Some(sender) = self.clients.get(id) else { return };
        let from = sender.rank;
        if claimed != from.0 {
            info!("{}: claims rank {claimed}, has rank {from}", sender.peer);
        }
        let Some(worker) = self.receiver(now, from) else {
            return self.reject(now, id, from, Rejection::LowestRank, links);
        };
        if !self.has_room(worker) {
            return self.reject(now, id, from, Rejection::Busy, links);
        }
        self.dispatched += 1;
        let dispatched = self.dispatched;
        let Some(client) = self.clients.get_mut(worker) else { return };
        client.chosen = dispatched;
        let to = client.rank;
        self.events.push_back(DispatchEvent::Dispatched { from, to });
        match self.config.framing {
            Framing::Raw => {
                client.sent.push_back(now.instant);
                self.say(now, worker, Reply::Execute(from, command), links);
            }
            Framing::Line => {
                client.undone += 1;
                self.jobs_made += 1;
                let job = self.jobs_made;
                self.jobs.insert(job, Job { sender: id, worker });
                self.say(now, id, Reply::Accepted(job), links);
                self.say(now, worker, Reply::Job(job, command), links);
            }
        }
    }

    /// R4: who gets a command of the client of rank `from`.
    fn receiver(&mut self, now: Now, from: Rank) -> Option<ConnectionId> {
        let lower = &self.ranks[from.0 + 1..];
        match self.config.policy {
            Policy::Next => lower.first().copied(),
            Policy::LeastLoaded => {
                let window = self.config.load_window;
                for &id in lower {
                    let Some(client) = self.clients.get_mut(id) else { continue };
                    while client.sent.front().is_some_and(|&sent| later(sent, window) <= now.instant) {
                        client.sent.pop_front();
                    }
                }
                let load = |id: &ConnectionId| {
                    self.clients.get(*id).map(|client| (client.undone + client.sent.len(), client.chosen))
                };
                lower.iter().copied().min_by_key(load)
            }
        }
    }

    fn has_room(&self, worker: ConnectionId) -> bool {
        self.clients.get(worker).is_some_and(|client| match self.config.framing {
            Framing::Raw => client.waiting.len() < self.config.waiting_max,
            Framing::Line => client.undone < self.config.undone_max,
        })
    }

    fn reject(&mut self, now: Now, id: ConnectionId, from: Rank, reason: Rejection, links: &mut Links) {
        info!("[command rejected] of rank {from}: {reason}");
        self.events.push_back(DispatchEvent::Rejected { from, reason });
        self.tell_rejected(now, id, reason, links);
    }

    fn tell_rejected(&mut self, now: Now, id: ConnectionId, reason: Rejection, links: &mut Links) {
        if self.config.framing == Framing::Line {
            self.say(now, id, Reply::Rejected(reason.to_string()), links);
        }
    }

    /// `D {id}`: only the worker of a job can say that it is done.
    fn done(&mut self, now: Now, id: ConnectionId, job: u64, links: &mut Links) {
        match self.jobs.get(&job) {
            Some(&Job { sender, worker }) if worker == id => {
                self.jobs.remove(&job);
                if let Some(client) = self.clients.get_mut(id) {
                    client.undone -= 1;
                }
                self.say(now, sender, Reply::Done(job), links);
            }
            _ => self.tell_rejected(now, id, Rejection::Malformed, links),
        }
    }

    /// R7: writes `reply`, or has it wait until the gap behind the last message is over. Of two ranks that wait only the
    /// newer one is told.
    fn say(&mut self, now: Now, id: ConnectionId, reply: Reply, links: &mut Links) {
        let Some(client) = self.clients.get_mut(id) else { return };
        match self.config.framing {
            Framing::Line => links.send_fmt(id, format_args!("{reply}\n")),
            Framing::Raw => {
                if matches!(reply, Reply::NewRank(_)) {
                    client.waiting.retain(|waiting| !matches!(waiting, Reply::NewRank(_)));
                }
                client.waiting.push_back(reply);
                self.send_waiting(now, id, links);
            }
        }
    }

    fn send_waiting(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if client.ready_at <= now.instant
            && let Some(reply) = client.waiting.pop_front()
        {
            links.send_fmt(id, format_args!("{reply}"));
            client.ready_at = later(now.instant, self.config.signal_gap);
        }
        self.rearm(id);
    }

    fn rearm(&mut self, id: ConnectionId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let line = match client.input {
            Input::Line { until, .. } => until,
            Input::Raw(_) => None,
        };
        let gap = (!client.waiting.is_empty()).then_some(client.ready_at);
        self.timers.set(&mut client.alarm, id, line.or(gap));
    }

    /// R6: everyone below moves up, and every remaining client is told.
    fn remove(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        let Some(mut gone) = self.clients.remove(id) else { return };
        self.timers.remove(&mut gone.alarm, id);
        self.ranks.remove(gone.rank.0);
        self.events.push_back(DispatchEvent::Left { peer: gone.peer, rank: gone.rank });
        let lost: Vec<_> =
            self.jobs.iter().filter(|(_, job)| job.worker == id).map(|(&n, job)| (n, job.sender)).collect();
        for (job, sender) in lost {
            self.jobs.remove(&job);
            self.say(now, sender, Reply::Rejected(format!("worker-gone {job}")), links);
        }
        for rank in 0..self.ranks.len() {
            let id = self.ranks[rank];
            if let Some(client) = self.clients.get_mut(id) {
                client.rank = Rank(rank);
            }
            self.say(now, id, Reply::NewRank(Rank(rank)), links);
        }
    }

    fn line_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) {
        let Some(Client { input: Input::Line { decoder, .. }, .. }) = self.clients.get_mut(id) else {
            return;
        };
        let mut decoder = std::mem::replace(decoder, LineDecoder::new(0));
        let mut rest = bytes;
        let mut went_on = true;
        while let Some(line) = decoder.next_line(&mut rest) {
            went_on = false;
            match line {
                Ok(line) => self.request(now, id, line.as_bytes(), links),
                Err(error) => {
                    links.send_fmt(id, format_args!("X {error}\n"));
                    links.close(id);
                    return self.remove(now, id, links);
                }
            }
            if !links.is_open(id) {
                return;
            }
        }
        let fresh = later(now.instant, self.config.line_timeout);
        if let Some(Client { input: Input::Line { decoder: kept, until }, .. }) = self.clients.get_mut(id) {
            let going_on = until.filter(|_| went_on);
            *until = decoder.is_partial().then(|| going_on.unwrap_or(fresh));
            *kept = decoder;
        }
        self.rearm(id);
    }
}

impl Protocol for DispatchServer {
    type Event = DispatchEvent;

    fn handle_open(&mut self, now: Now, id: ConnectionId, peer: SocketAddr, _: Origin, links: &mut Links) {
        if self.draining || self.ranks.len() >= self.config.max_clients {
            info!("{peer}: turned away, {} clients are connected", self.ranks.len());
            let end = if self.config.framing == Framing::Line { "\n" } else { "" };
            links.send_fmt(id, format_args!("Server full{end}"));
            return links.close(id);
        }
        let rank = Rank(self.ranks.len());
        let input = match self.config.framing {
            Framing::Raw => Input::Raw(RawDecoder::new(MESSAGE_BYTES_MAX)),
            Framing::Line => Input::Line { decoder: LineDecoder::new(MESSAGE_BYTES_MAX), until: None },
        };
        self.ranks.push(id);
        self.clients.insert(
            id,
            Client {
                peer,
                rank,
                input,
                sent: VecDeque::new(),
                undone: 0,
                chosen: 0,
                waiting: VecDeque::new(),
                ready_at: now.instant,
                alarm: Alarm::default(),
            },
        );
        self.events.push_back(DispatchEvent::Ranked { peer, rank });
        self.say(now, id, Reply::Rank(rank), links);
    }

    fn handle_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) {
        let message = match self.clients.get_mut(id).map(|client| &mut client.input) {
            // R10: what one readiness brings is one command.
            Some(Input::Raw(decoder)) => match decoder.push(bytes, |_| true).or_else(|| decoder.take()) {
                Some(RawMessage::TooLong(start)) => {
                    return self.request(now, id, &[b"too long: ", &start[..]].concat(), links);
                }
                message => message,
            },
            Some(Input::Line { .. }) => return self.line_bytes(now, id, bytes, links),
            None => return,
        };
        if let Some(message) = message {
            self.request(now, id, message.bytes(), links);
        }
    }

    fn handle_end(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        self.remove(now, id, links);
        links.close(id);
    }

    fn handle_closed(&mut self, now: Now, id: ConnectionId, _: CloseReason, links: &mut Links) {
        self.remove(now, id, links);
    }

    fn handle_timeout(&mut self, now: Now, links: &mut Links) {
        while let Some(id) = self.timers.pop(now.instant) {
            let Some(client) = self.clients.get_mut(id) else { continue };
            if !self.timers.ring(&mut client.alarm, id, now.instant) {
                continue;
            }
            match client.input {
                Input::Line { until: Some(until), .. } if until <= now.instant => {
                    links.send(id, b"X line-timeout\n");
                    links.close(id);
                    self.remove(now, id, links);
                }
                _ => self.send_waiting(now, id, links),
            }
        }
    }

    fn drain(&mut self, _: Now, links: &mut Links) {
        self.draining = true;
        for (id, mut client) in std::mem::take(&mut self.clients).into_entries() {
            self.timers.remove(&mut client.alarm, id);
            links.close(id);
        }
        self.ranks.clear();
        self.jobs.clear();
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn poll_event(&mut self) -> Option<DispatchEvent> {
        self.events.pop_front()
    }
}
