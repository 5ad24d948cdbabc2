//! Clients that take their turns by themselves: any number of them on one loop, each on its own connection.
//!
//! What a client may take as accepted differs. In the raw framing nobody tells it, so a number counts once it is written,
//! and is never sent twice. In the line framing it counts when `OK` comes, or when the `WELCOME` of a resumption says
//! so. It is unknown only when the seat is gone meanwhile, because the server has begun another life (a new epoch) or the seat's
//! grace is over; then the number is sent again.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use log::{debug, info, warn};

use super::Framing;
use super::codes::{Bye, Code};
use super::name::Name;
use super::reply::{Epoch, GO, Reply, Secret, Signal, Signals, WAIT};
use super::request::{Answer, Request};
use crate::protocol::{CloseReason, ConnectionId, ConnectionMap, DialId, Links, Origin, Protocol};
use crate::time::{Alarm, Instant, Now, Timers};
use crate::turn::{TurnNumber, Weight};
use crate::wire::LineDecoder;

/// How long a server may take to answer `JOIN` before the client wonders, in its log.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(5);

/// What the clients of a [`TurnClient`] do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnClientConfig {
    /// How messages are told apart; must be the server's. Default raw.
    pub framing: Framing,
    /// The ring to join (line framing). Default `main`.
    pub ring: Name,
    /// How long a client pauses between two numbers. Default 1 s; zero is as fast as possible.
    pub pace: Duration,
    /// How many numbers each client has to get accepted; `None`, the default, for no end.
    pub count: Option<u64>,
    /// The longest line from a server. Default 1,024 bytes.
    pub line_bytes_max: usize,
}

impl Default for TurnClientConfig {
    fn default() -> Self {
        TurnClientConfig {
            framing: Framing::Raw,
            ring: super::DEFAULT_RING.parse().expect("the default ring's name is valid"),
            pace: Duration::from_secs(1),
            count: None,
            line_bytes_max: 1024,
        }
    }
}

/// What a host hears of a [`TurnClient`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// A number is accepted, as far as the client can know.
    Sent {
        /// Whose.
        name: Name,
        /// The number.
        number: i64,
    },
    /// The server refused something.
    Refused {
        /// Of which client.
        name: Name,
        /// Why.
        code: Code,
    },
    /// The server said why it closes the connection. Whatever it is, the driver connects again, with back-off, and the client resumes its seat or
    /// joins anew, also after [`Bye::Removed`]: a host that gives up says so by [`hang_up`](crate::net::Driver::hang_up).
    Bye {
        /// To which client.
        name: Name,
        /// Why.
        bye: Bye,
    },
    /// Every client has had its count accepted. The connections stay open until the host drains.
    Finished,
}

/// The client side of the turn protocol, without sockets: a [`Protocol`].
///
/// The n-th connection that the host [dials](crate::net::Driver::connect) is that of the n-th client [added](Self::add). One that has no
/// client is closed at once, and dialed again like any other that is lost.
///
/// It answers every `GO` by itself, with the next number. A program that has work to do in its turn, and needs the epoch and the turn's number
/// to fence it, puts a protocol of its own around it, as is [done with the server](super#when-the-number-is-a-move): that one reads each line by
/// [`Reply::parse`], takes the epoch from `WELCOME`, and hands a `GO` on when the work is done. Lines that it does not know it ignores.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use taketurns::protocol::turns::{Framing, TurnClient, TurnClientConfig};
/// use taketurns::protocol::{DialId, Links, Origin, Protocol};
/// use taketurns::time::Now;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = TurnClientConfig { framing: Framing::Line, pace: Duration::ZERO, ..TurnClientConfig::default() };
/// let mut client = TurnClient::new(config);
/// client.add("ann".parse()?, 17, 1);
///
/// // A test has no sockets. A program gives the client to `net::EventLoop::new`, and connects.
/// let (server, mut links) = (([127, 0, 0, 1], 5001).into(), Links::new(1024));
/// let id = links.open(server);
/// client.handle_open(Now::ORIGIN, id, server, Origin::Dialed(DialId(0)), &mut links);
/// assert_eq!(links.unsent(id), b"JOIN ann ring=main\n");
/// client.handle_bytes(Now::ORIGIN, id, b"SAY something new\nGO turn=1 within=30000\n", &mut links);
/// assert!(links.unsent(id).ends_with(b"ann:17 turn=1\n"));
/// # Ok(()) }
/// ```
pub struct TurnClient {
    config: TurnClientConfig,
    players: Vec<Player>,
    by_connection: ConnectionMap<usize>,
    timers: Timers<usize>,
    /// The players whose number has been queued and not been seen written (raw framing).
    unwritten: Vec<usize>,
    unfinished: usize,
    draining: bool,
    events: VecDeque<ClientEvent>,
}

struct Player {
    name: Name,
    number: i64,
    step: i64,
    left: Option<u64>,
    connection: Option<ConnectionId>,
    /// When the next number may be sent.
    paced_until: Option<Instant>,
    alarm: Alarm,
    wire: Wire,
}

enum Wire {
    Raw(RawWire),
    Line(LineWire),
}

#[derive(Default)]
struct RawWire {
    signals: Signals,
    /// That the server says other things was mentioned.
    is_puzzled: bool,
    /// A `GO` that has not been answered.
    has_turn: bool,
    /// The number is written once the link has written up to this mark.
    queued: Option<u64>,
}

struct LineWire {
    decoder: LineDecoder,
    /// The server has answered the `JOIN`.
    is_answered: bool,
    /// A `GO` that has not been answered.
    turn: Option<TurnNumber>,
    /// The turn for which the number was sent, while its fate is not known. Outlives the connection.
    in_flight: Option<TurnNumber>,
    /// The server's life and the seat's secret in it. Outlive the connection.
    seat: Option<(Epoch, Secret)>,
}

impl TurnClient {
    /// No clients yet.
    #[must_use]
    pub fn new(config: TurnClientConfig) -> TurnClient {
        TurnClient {
            config,
            players: Vec::new(),
            by_connection: ConnectionMap::default(),
            timers: Timers::default(),
            unwritten: Vec::new(),
            unfinished: 0,
            draining: false,
            events: VecDeque::new(),
        }
    }

    /// Adds a client that sends `start`, `start + step`, and so on, under `name`; in the line framing it has to be [a word](Name::is_word), or the
    /// server refuses it as malformed.
    pub fn add(&mut self, name: Name, start: i64, step: i64) {
        let wire = match self.config.framing {
            Framing::Raw => Wire::Raw(RawWire::default()),
            Framing::Line => Wire::Line(LineWire {
                decoder: LineDecoder::new(self.config.line_bytes_max),
                is_answered: false,
                turn: None,
                in_flight: None,
                seat: None,
            }),
        };
        let left = self.config.count;
        self.unfinished += usize::from(left != Some(0));
        self.players.push(Player {
            name,
            number: start,
            step,
            left,
            connection: None,
            paced_until: None,
            alarm: Alarm::default(),
            wire,
        });
    }

    /// Whether every client has had its count accepted.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.unfinished == 0
    }

    /// Sends what `index` may send now, or sees to being called when it may.
    fn play(&mut self, now: Now, index: usize, links: &mut Links) {
        let pace = self.config.pace;
        let player = &mut self.players[index];
        let Some(id) = player.connection.filter(|_| !self.draining) else { return };
        if player.left == Some(0) {
            // Out of numbers. In the line framing the turn is given up; the raw one has no word for that.
            if let Wire::Line(line) = &mut player.wire
                && let Some(turn) = line.turn.take()
            {
                links.send_fmt(id, format_args!("{}\n", Request::Pass { fence: Some(Some(turn)) }));
            }
            return;
        }
        let has_turn = match &player.wire {
            Wire::Raw(raw) => raw.has_turn,
            Wire::Line(line) => line.turn.is_some(),
        };
        if !has_turn {
            return;
        }
        if let Some(until) = player.paced_until.filter(|&until| until > now.instant) {
            self.timers.set(&mut player.alarm, index, Some(until));
            return;
        }
        let answer = Answer { name: player.name, number: player.number };
        match &mut player.wire {
            Wire::Raw(raw) => {
                raw.has_turn = false;
                links.send_fmt(id, format_args!("{answer}"));
                raw.queued = Some(links.mark(id));
                self.unwritten.push(index);
            }
            Wire::Line(line) => {
                let turn = line.turn.take();
                line.in_flight = turn;
                links.send_fmt(id, format_args!("{}\n", Request::Answer { answer, fence: Some(turn) }));
            }
        }
        player.paced_until = (!pace.is_zero()).then(|| now.instant + pace);
    }

    /// The number of `index` is accepted, as far as it can know.
    fn accepted(&mut self, index: usize) {
        let player = &mut self.players[index];
        self.events.push_back(ClientEvent::Sent { name: player.name, number: player.number });
        let next = player.number.checked_add(player.step);
        player.number = next.unwrap_or(player.number);
        player.left = match next {
            Some(_) => player.left.map(|left| left.saturating_sub(1)),
            // There is no next number to send.
            None => Some(0),
        };
        if player.left == Some(0) {
            self.unfinished -= 1;
            if self.unfinished == 0 {
                self.events.push_back(ClientEvent::Finished);
            }
        }
    }

    fn line_reply(&mut self, now: Now, id: ConnectionId, index: usize, reply: Reply, links: &mut Links) {
        let player = &mut self.players[index];
        let name = player.name;
        let Wire::Line(line) = &mut player.wire else { return };
        line.is_answered = true;
        match reply {
            Reply::Welcome { epoch, resume, last, .. } => {
                links.confirm(id);
                let same_life = line.seat.is_some_and(|(known, _)| known == epoch);
                line.seat = Some((epoch, resume));
                let in_flight = line.in_flight.take();
                if same_life && in_flight.is_some_and(|turn| turn.get() == last) {
                    self.accepted(index);
                }
            }
            Reply::Go { turn, .. } => {
                line.turn = Some(turn);
                self.play(now, index, links);
            }
            Reply::Ok { turn } => {
                if line.in_flight == Some(turn) {
                    line.in_flight = None;
                    self.accepted(index);
                }
            }
            Reply::No { turn, code } => {
                let over = matches!(code, Code::StaleTurn | Code::NotYourTurn);
                line.in_flight = line.in_flight.filter(|in_flight| !(over && in_flight.get() == turn));
                self.events.push_back(ClientEvent::Refused { name, code });
            }
            Reply::Lapsed { turn } => {
                info!("{name}: turn {turn} lapsed; its number goes into the next one");
                line.turn = line.turn.filter(|&held| held != turn);
            }
            Reply::Bye(bye) => {
                if bye == Bye::BadSecret {
                    line.seat = None;
                }
                self.events.push_back(ClientEvent::Bye { name, bye });
            }
            Reply::Wait { .. }
            | Reply::Pong
            | Reply::Turn { .. }
            | Reply::Skip { .. }
            | Reply::Watching { .. } => {}
        }
    }

    fn line_bytes(&mut self, now: Now, id: ConnectionId, index: usize, bytes: &[u8], links: &mut Links) {
        let Wire::Line(line) = &mut self.players[index].wire else { return };
        let mut decoder = std::mem::replace(&mut line.decoder, LineDecoder::new(0));
        let mut input = bytes;
        while let Some(line) = decoder.next_line(&mut input) {
            match line.map(Reply::parse) {
                Ok(Some(reply)) => self.line_reply(now, id, index, reply, links),
                Ok(None) => debug!("{id}: a line that is not known is ignored"),
                Err(error) => {
                    warn!("{id}: {error}; is this a turn server with the line framing?");
                    links.abort(id);
                    break;
                }
            }
        }
        if let Wire::Line(line) = &mut self.players[index].wire {
            line.decoder = decoder;
        }
    }

    fn raw_bytes(&mut self, now: Now, id: ConnectionId, index: usize, bytes: &[u8], links: &mut Links) {
        let Wire::Raw(raw) = &mut self.players[index].wire else { return };
        let is_signal = |byte: &u8| GO.contains(byte) || WAIT.contains(byte);
        if !bytes.iter().all(is_signal) && !std::mem::replace(&mut raw.is_puzzled, true) {
            let said = bytes[..bytes.len().min(128)].escape_ascii();
            warn!(
                "the server says \"{said}\", which is neither GO nor WAIT: does it speak the line framing?"
            );
        }
        for &byte in bytes {
            if let Some(signal) = raw.signals.push(byte) {
                raw.has_turn |= signal == Signal::Go;
                links.confirm(id);
            }
        }
        self.play(now, index, links);
    }
}

impl fmt::Debug for TurnClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnClient")
            .field("config", &self.config)
            .field("clients", &self.players.len())
            .field("unfinished", &self.unfinished)
            .finish_non_exhaustive()
    }
}

impl Protocol for TurnClient {
    type Event = ClientEvent;

    fn handle_open(&mut self, now: Now, id: ConnectionId, _: SocketAddr, origin: Origin, links: &mut Links) {
        let index = match origin {
            Origin::Dialed(DialId(index)) if index < self.players.len() && !self.draining => index,
            _ => return links.abort(id),
        };
        self.by_connection.insert(id, index);
        let player = &mut self.players[index];
        player.connection = Some(id);
        match &mut player.wire {
            Wire::Raw(raw) => *raw = RawWire::default(),
            Wire::Line(line) => {
                line.decoder = LineDecoder::new(self.config.line_bytes_max);
                line.turn = None;
                line.is_answered = false;
                let due = now.instant + WELCOME_TIMEOUT;
                self.timers.set(&mut player.alarm, index, Some(due));
                let resume = line.seat.map(|(_, secret)| Some(secret));
                let ring = self.config.ring;
                let join = Request::Join { name: player.name, ring, resume, weight: Weight::ONE };
                links.send_fmt(id, format_args!("{join}\n"));
            }
        }
    }

    fn handle_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) {
        let Some(&index) = self.by_connection.get(id) else { return };
        match self.config.framing {
            Framing::Raw => self.raw_bytes(now, id, index, bytes, links),
            Framing::Line => self.line_bytes(now, id, index, bytes, links),
        }
    }

    fn handle_end(&mut self, _: Now, id: ConnectionId, links: &mut Links) {
        links.close(id);
    }

    fn handle_closed(&mut self, now: Now, id: ConnectionId, _: CloseReason, links: &mut Links) {
        self.handle_flushed(now, links);
        let Some(index) = self.by_connection.remove(id) else { return };
        let player = &mut self.players[index];
        player.connection = None;
        self.timers.remove(&mut player.alarm, index);
        self.unwritten.retain(|&unwritten| unwritten != index);
    }

    fn handle_timeout(&mut self, now: Now, links: &mut Links) {
        while let Some(index) = self.timers.pop(now.instant) {
            let player = &mut self.players[index];
            if self.timers.ring(&mut player.alarm, index, now.instant) {
                if let Wire::Line(LineWire { is_answered: false, .. }) = player.wire {
                    warn!("{}: the server does not answer: does it speak the raw framing?", player.name);
                }
                self.play(now, index, links);
            }
        }
    }

    fn handle_flushed(&mut self, _: Now, links: &mut Links) {
        let mut at = 0;
        while let Some(&index) = self.unwritten.get(at) {
            let Player { connection: Some(id), wire: Wire::Raw(raw), .. } = &mut self.players[index] else {
                self.unwritten.swap_remove(at);
                continue;
            };
            if raw.queued.is_some_and(|mark| links.is_written(*id, mark)) {
                raw.queued = None;
                self.unwritten.swap_remove(at);
                self.accepted(index);
            } else {
                at += 1;
            }
        }
    }

    fn drain(&mut self, _: Now, links: &mut Links) {
        self.draining = true;
        for (id, _) in self.by_connection.iter() {
            links.close(id);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }
}
