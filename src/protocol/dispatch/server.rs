//! The dispatch server: ranks, the choice of a client for each command, and the gaps between messages to raw
//! clients.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use log::{Level, info};
use memchr::memchr;

use super::message::{COMMAND_BYTES_MAX, Command, MESSAGE_BYTES_MAX, Reply, Request};
use super::{DispatchCounts, DispatchEvent, DispatchServerConfig, Policy, Rank, Rejection};
use crate::protocol::{
    BuffersMin, CloseReason, ConnectionId, ConnectionMap, Links, Origin, Protocol, log_turned_away,
};
use crate::record::Record;
use crate::session::{Extent, FirstWord, Quoted, is_foreign};
use crate::time::{Alarm, Instant, Now, Timers};
use crate::wire::{Framing, LineError, RawMessage, split_line, split_raw};

/// The largest load that the raw framing can tell apart: the number of send times kept per client.
const LOAD_MAX: usize = 4096;

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
    /// Clients by rank. Those that have left stay until the end of the pass, when the others move up.
    ranks: Vec<ConnectionId>,
    /// If a client has left in this pass, the length of `ranks` at that time. The clients before that place
    /// are told their new ranks.
    told_before: Option<usize>,
    /// Clients that do not read now, and are told their ranks when they do.
    owed: Vec<ConnectionId>,
    counts: DispatchCounts,
    timers: Timers<ConnectionId>,
    draining: bool,
    events: VecDeque<DispatchEvent>,
    /// The number of rejections and refusals reported in this pass.
    reported: usize,
}

/// The most of these events per pass. A line of two bytes can be refused, so thousands of clients that send
/// nothing else could fill the memory.
const REPORTED_MAX: usize = 4096;

#[derive(Debug)]
struct Client {
    peer: SocketAddr,
    /// The rank that it was told, or will be told when it reads.
    rank: Rank,
    /// Its index in `ranks`.
    place: usize,
    /// Whether it is in `owed`.
    is_owed: bool,
    /// Whether it has sent a valid message.
    has_spoken: bool,
    /// Used until then, in the raw framing.
    first_word: FirstWord,
    input: Input,
    /// The times at which it was sent commands within the load window; at most the last 4,096 (raw framing,
    /// least-loaded).
    sent: VecDeque<Instant>,
    /// Commands that it has not done yet, and their senders (line framing).
    undone: BTreeMap<u64, ConnectionId>,
    /// The number of the last command for which it was chosen. A smaller number means longer ago.
    chosen: u64,
    /// Messages that wait for the gap (raw framing).
    waiting: VecDeque<Reply>,
    gap: Gap,
    alarm: Alarm,
}

/// R7: when the next message may be sent.
#[derive(Debug, Clone, Copy)]
enum Gap {
    /// A message was queued in the pass of this time. It is written when that pass ends, however long it
    /// takes, so the gap begins with the next pass.
    Begins(Instant),
    /// The gap lasts until this time.
    Lasts(Instant),
}

/// The state of a client's input within a line (line framing).
#[derive(Debug, Clone, Copy, Default)]
struct Input {
    /// Whether the rest of a line that was refused for its length is being skipped.
    skips: bool,
    /// The deadline for the end of a line that has begun.
    until: Option<Instant>,
}

impl DispatchServer {
    /// Creates a server without clients.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::protocol::dispatch::{DispatchServer, DispatchServerConfig};
    ///
    /// let server = DispatchServer::new(DispatchServerConfig { max_clients: 5, ..DispatchServerConfig::default() });
    /// assert_eq!(server.ranks().count(), 0);
    /// ```
    #[must_use]
    pub fn new(config: DispatchServerConfig) -> DispatchServer {
        DispatchServer {
            config,
            clients: ConnectionMap::default(),
            ranks: Vec::new(),
            told_before: None,
            owed: Vec::new(),
            counts: DispatchCounts::default(),
            timers: Timers::default(),
            draining: false,
            events: VecDeque::new(),
            reported: 0,
        }
    }

    /// Returns every client with its rank, the highest first.
    pub fn ranks(&self) -> impl Iterator<Item = (Rank, SocketAddr)> {
        self.ranks.iter().filter_map(|&id| self.clients.get(id)).map(|client| (client.rank, client.peer))
    }

    /// Returns running counts.
    #[must_use]
    pub fn counts(&self) -> DispatchCounts {
        self.counts
    }

    /// Handles one message.
    fn request(&mut self, now: Now, id: ConnectionId, message: &[u8], links: &mut Links) {
        let request = std::str::from_utf8(message).ok().and_then(Request::parse);
        if let Some(client) = self.clients.get_mut(id).filter(|_| request.is_some()) {
            client.has_spoken = true;
        }
        let is_line = self.config.framing == Framing::Line;
        match request {
            Some(Request::Command { claimed, command }) => {
                self.command(now, id, claimed, command, links);
            }
            Some(Request::Done(job)) if is_line => self.done(now, id, job, links),
            _ => self.refuse(now, id, message, links),
        }
    }

    /// R10: refuses a message that is not a command. The client stays.
    fn refuse(&mut self, now: Now, id: ConnectionId, message: &[u8], links: &mut Links) {
        self.note_refused(id, message, links);
        self.tell_rejected(now, id, Rejection::Malformed, links);
    }

    fn note_refused(&mut self, id: ConnectionId, message: &[u8], links: &mut Links) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let peer = client.peer;
        log_line!(
            links,
            Warn,
            "{peer}: refused, not a command of 1 to {COMMAND_BYTES_MAX} bytes: {}",
            Quoted(message)
        );
        self.counts.refused += 1;
        self.report_refusal(DispatchEvent::Refused { peer });
    }

    /// L6: returns whether the client speaks another protocol, such as a web page on the same machine.
    fn is_foreign(&mut self, id: ConnectionId, bytes: &[u8]) -> bool {
        let Some(client) = self.clients.get_mut(id).filter(|client| !client.has_spoken) else { return false };
        match self.config.framing {
            Framing::Line if bytes.len() <= MESSAGE_BYTES_MAX => is_foreign(bytes, Extent::Begun),
            Framing::Line => is_foreign(bytes, Extent::Cut),
            Framing::Raw => {
                client.first_word.take(bytes);
                client.first_word == FirstWord::Method || is_foreign(bytes, Extent::Cut)
            }
        }
    }

    /// L6: closes the client before anything after its first line counts.
    fn turn_out(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) {
        self.note_refused(id, bytes, links);
        self.remove(now, id, links);
        links.close(id);
    }

    /// R2 to R5: sends the command to a client below the sender's actual rank, whatever rank it claims.
    fn command(&mut self, now: Now, id: ConnectionId, claimed: Rank, command: Command, links: &mut Links) {
        let Some(sender) = self.clients.get_mut(id) else { return };
        let (from, place) = (sender.rank, sender.place);
        if claimed != from && links.may_log(Level::Info) {
            info!("{}: claims rank {claimed}, has rank {from}", sender.peer);
        }
        let Some(worker) = self.receiver(now, place) else {
            return self.reject(now, id, from, Rejection::LowestRank, links);
        };
        if !self.has_room(worker, links) {
            return self.reject(now, id, from, Rejection::Busy, links);
        }
        let Some(client) = self.clients.get_mut(worker) else { return };
        self.counts.dispatched += 1;
        let job = self.counts.dispatched;
        client.chosen = job;
        let to = client.rank;
        self.events.push_back(DispatchEvent::Dispatched { from, to });
        match self.config.framing {
            Framing::Raw => {
                if self.config.policy == Policy::LeastLoaded {
                    if client.sent.len() >= LOAD_MAX {
                        client.sent.pop_front();
                    }
                    client.sent.push_back(now.instant);
                }
                self.say(now, worker, Reply::Execute(from, command), links);
            }
            Framing::Line => {
                client.undone.insert(job, id);
                self.say(now, id, Reply::Accepted(job), links);
                self.say(now, worker, Reply::Job(job, command), links);
            }
        }
    }

    /// R4: returns the client that gets a command from the client at `place`.
    fn receiver(&mut self, now: Now, place: usize) -> Option<ConnectionId> {
        let DispatchServer { ranks, clients, .. } = self;
        let mut lower = ranks[place + 1..].iter().copied();
        match self.config.policy {
            Policy::Next => lower.find(|&id| clients.get(id).is_some()),
            Policy::LeastLoaded => {
                let window = self.config.load_window;
                for id in lower.clone() {
                    let Some(client) = clients.get_mut(id) else { continue };
                    while client.sent.front().is_some_and(|&sent| sent + window <= now.instant) {
                        client.sent.pop_front();
                    }
                }
                let load = |id| {
                    let client: &Client = clients.get(id)?;
                    Some((client.undone.len() + client.sent.len(), client.chosen, id))
                };
                lower.filter_map(load).min().map(|(.., id)| id)
            }
        }
    }

    /// Returns whether a worker can be sent one more command. While it is busy it does not read, and it must
    /// not be closed as a slow reader for that.
    fn has_room(&self, worker: ConnectionId, links: &Links) -> bool {
        let has_room = self.clients.get(worker).is_some_and(|client| match self.config.framing {
            Framing::Raw => client.waiting.len() < self.config.waiting_max,
            Framing::Line => client.undone.len() < self.config.undone_max,
        });
        has_room && !links.is_congested(worker)
    }

    fn reject(&mut self, now: Now, id: ConnectionId, from: Rank, reason: Rejection, links: &mut Links) {
        let Some(sender) = self.clients.get_mut(id) else { return };
        log_line!(links, Info, "[command rejected] of {} with rank {from}: {reason}", sender.peer);
        self.counts.rejected += 1;
        self.report_refusal(DispatchEvent::Rejected { from, reason });
        self.tell_rejected(now, id, reason, links);
    }

    fn report_refusal(&mut self, event: DispatchEvent) {
        self.reported += 1;
        if self.reported <= REPORTED_MAX {
            self.events.push_back(event);
        }
    }

    fn tell_rejected(&mut self, now: Now, id: ConnectionId, reason: Rejection, links: &mut Links) {
        if self.config.framing == Framing::Line {
            self.say(now, id, Reply::Rejected(reason.to_string()), links);
        }
    }

    /// `D {id}`: only the worker of a job can say that it is done.
    fn done(&mut self, now: Now, id: ConnectionId, job: u64, links: &mut Links) {
        match self.clients.get_mut(id).and_then(|worker| worker.undone.remove(&job)) {
            Some(sender) => self.say(now, sender, Reply::Done(job), links),
            None => self.refuse(now, id, format!("D {job}").as_bytes(), links),
        }
    }

    /// R7: writes `reply`, or keeps it until the gap after the last message is over. If two ranks wait, only
    /// the newer one is sent.
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
        match client.gap {
            Gap::Begins(pass) if pass < now.instant => {
                client.gap = Gap::Lasts(now.instant + self.config.signal_gap);
            }
            Gap::Lasts(until) if until <= now.instant => {
                if let Some(reply) = client.waiting.pop_front() {
                    links.send_fmt(id, format_args!("{reply}"));
                    client.gap = Gap::Begins(now.instant);
                }
            }
            _ => {}
        }
        if self.draining && client.waiting.is_empty() {
            links.close(id);
        }
        self.rearm(id);
    }

    fn rearm(&mut self, id: ConnectionId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let due = match self.config.framing {
            Framing::Line => client.input.until,
            Framing::Raw => match client.gap {
                Gap::Begins(pass) => Some(pass + Duration::from_nanos(1)),
                Gap::Lasts(until) => (!client.waiting.is_empty()).then_some(until),
            },
        };
        self.timers.set(&mut client.alarm, id, due);
    }

    /// R6: all clients below move up, and every remaining client is told once, at the end of the pass.
    fn remove(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        let Some(mut gone) = self.clients.remove(id) else { return };
        self.timers.remove(&mut gone.alarm, id);
        if self.draining {
            return;
        }
        self.told_before = Some(self.ranks.len());
        self.events.push_back(DispatchEvent::Left { peer: gone.peer, rank: gone.rank });
        for (job, sender) in gone.undone {
            self.say(now, sender, Reply::Rejected(format!("worker-gone {job}")), links);
        }
    }

    fn move_up(&mut self) {
        let Some(told_before) = self.told_before.take() else { return };
        self.events.push_back(DispatchEvent::MovedUp);
        for (place, id) in std::mem::take(&mut self.ranks).into_iter().enumerate() {
            let Some(client) = self.clients.get_mut(id) else { continue };
            client.place = self.ranks.len();
            client.rank = Rank(client.place);
            self.ranks.push(id);
            if place < told_before && !std::mem::replace(&mut client.is_owed, true) {
                self.owed.push(id);
            }
        }
    }

    /// Tells their rank to all that are owed it, except those that do not read: the ranks of an hour would
    /// close them as slow readers.
    fn tell_ranks(&mut self, now: Now, links: &mut Links) {
        for id in std::mem::take(&mut self.owed) {
            let Some(client) = self.clients.get_mut(id) else { continue };
            if links.is_congested(id) {
                self.owed.push(id);
            } else {
                client.is_owed = false;
                let rank = client.rank;
                self.say(now, id, Reply::NewRank(rank), links);
            }
        }
    }

    /// R10: the bytes of one readiness are one command.
    fn raw_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) {
        match split_raw(bytes, MESSAGE_BYTES_MAX, true, |_| true) {
            RawMessage::TooLong(start) => self.refuse(now, id, start, links),
            RawMessage::Whole(message) => self.request(now, id, message, links),
            RawMessage::Partial | RawMessage::Nothing => {}
        }
    }

    /// Handles complete lines while there is room. Returns how many bytes they took.
    fn line_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        let Some(&Client { input, .. }) = self.clients.get(id) else { return bytes.len() };
        let mut skips = input.skips;
        let mut used = 0;
        let mut has_ended = false;
        if skips {
            let end = memchr(b'\n', bytes);
            used = end.map_or(bytes.len(), |end| end + 1);
            (skips, has_ended) = (end.is_none(), end.is_some());
        }
        while !skips
            && links.may_go_on(id)
            && let Some(line) = split_line(&bytes[used..], MESSAGE_BYTES_MAX)
        {
            used += line.used;
            has_ended |= line.has_end;
            match line.text {
                Ok(text) => self.request(now, id, text.as_bytes(), links),
                Err(error) => {
                    skips = error == LineError::TooLong && !line.has_end;
                    self.refuse(now, id, error.to_string().as_bytes(), links);
                }
            }
        }
        let Some(client) = self.clients.get_mut(id) else { return used };
        let fresh = now.instant + self.config.line_timeout;
        let going_on = input.until.filter(|_| !has_ended);
        // Complete lines that wait for room have no deadline here. The driver limits their wait.
        let has_begun = skips || used < bytes.len() && links.may_go_on(id);
        client.input = Input { skips, until: has_begun.then(|| going_on.unwrap_or(fresh)) };
        self.rearm(id);
        used
    }
}

impl Protocol for DispatchServer {
    type Event = DispatchEvent;

    fn handle_open(&mut self, now: Now, id: ConnectionId, peer: SocketAddr, _: Origin, links: &mut Links) {
        if self.draining || self.clients.len() >= self.config.max_clients {
            log_turned_away(peer, self.clients.len(), links);
            let end = if self.config.framing == Framing::Line { "\n" } else { "" };
            self.counts.turned_away += 1;
            links.send_fmt(id, format_args!("Server full{end}"));
            return links.close(id);
        }
        let (rank, place) = (Rank(self.clients.len()), self.ranks.len());
        self.ranks.push(id);
        self.clients.insert(
            id,
            Client {
                peer,
                rank,
                place,
                is_owed: false,
                has_spoken: false,
                first_word: FirstWord::default(),
                input: Input::default(),
                sent: VecDeque::new(),
                undone: BTreeMap::new(),
                chosen: 0,
                waiting: VecDeque::new(),
                gap: Gap::Lasts(now.instant),
                alarm: Alarm::default(),
            },
        );
        self.events.push_back(DispatchEvent::Ranked { peer, rank });
        self.say(now, id, Reply::Rank(rank), links);
    }

    fn handle_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        let is_foreign = !self.draining && self.is_foreign(id, bytes);
        match self.config.framing {
            _ if self.draining => {}
            _ if is_foreign => self.turn_out(now, id, bytes, links),
            Framing::Raw => self.raw_bytes(now, id, bytes, links),
            Framing::Line => return self.line_bytes(now, id, bytes, links),
        }
        bytes.len()
    }

    fn handle_end(&mut self, now: Now, id: ConnectionId, _: &[u8], links: &mut Links) {
        self.remove(now, id, links);
        links.close(id);
    }

    fn handle_closed(&mut self, now: Now, id: ConnectionId, _: CloseReason, links: &mut Links) {
        self.remove(now, id, links);
    }

    fn handle_timeout(&mut self, now: Now, links: &mut Links) {
        while let Some(id) =
            self.clients.next_due(now.instant, &mut self.timers, |client| Some(&mut client.alarm))
        {
            match self.clients.get(id).and_then(|client| client.input.until) {
                Some(until) if until <= now.instant => {
                    links.send(id, b"X line-timeout\n");
                    links.close(id);
                    self.remove(now, id, links);
                }
                _ => self.send_waiting(now, id, links),
            }
            // The others wait for the next pass: the queues are written first, so that no client that reads
            // is closed for them.
            if links.wants_flush(id) {
                return;
            }
        }
    }

    fn handle_flushed(&mut self, now: Now, links: &mut Links) {
        self.reported = 0;
        if !self.draining {
            self.move_up();
            self.tell_ranks(now, links);
        }
    }

    /// Commands that wait for the gap are still sent, because 64 of them take less than a second.
    fn drain(&mut self, now: Now, links: &mut Links) {
        self.draining = true;
        for id in std::mem::take(&mut self.ranks) {
            self.send_waiting(now, id, links);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn is_awaited(&self, _: ConnectionId) -> bool {
        false
    }

    fn buffers_min(&self) -> BuffersMin {
        BuffersMin::default()
    }

    fn poll_event(&mut self) -> Option<DispatchEvent> {
        self.events.pop_front()
    }

    fn poll_record(&mut self, _: Now) -> Option<Record> {
        None
    }

    fn handle_durable(&mut self, _: Now, _: u64, _: &mut Links) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refused_lines_is_counted_and_reported_in_part() {
        let now = Now::ORIGIN;
        let config = DispatchServerConfig { framing: Framing::Line, ..DispatchServerConfig::default() };
        let (mut server, mut links) = (DispatchServer::new(config), Links::new(usize::MAX));
        let id = links.open(([127, 0, 0, 1], 9).into());
        server.handle_open(now, id, ([127, 0, 0, 1], 9).into(), Origin::Accepted, &mut links);
        assert!(matches!(server.poll_event(), Some(DispatchEvent::Ranked { .. })));
        for pass in 1..=2 {
            server.handle_bytes(now, id, "x\n".repeat(REPORTED_MAX + 1).as_bytes(), &mut links);
            server.handle_flushed(now, &mut links);
            assert_eq!(std::iter::from_fn(|| server.poll_event()).count(), REPORTED_MAX);
            assert_eq!(server.counts().refused, pass * (REPORTED_MAX as u64 + 1));
        }
    }
}
