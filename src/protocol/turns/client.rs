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
use super::asked::{Asked, ClientTurn, Fate, Grant, Over};
use super::codes::{Bye, Code};
use super::name::Name;
use super::player::{LineWire, Numbers, Player, RawWire, Wire};
use super::reply::{GO, Reply, Signal, WAIT};
use super::request::{Answer, Request};
use crate::protocol::{CloseReason, ConnectionId, ConnectionMap, DialId, Links, Origin, Protocol};
use crate::time::{Instant, Now, Timers};
use crate::turn::{Refusal, Weight};
use crate::wire::split_line;

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
    /// A client that [asks](TurnClient::add_asked) has the turn. The host does its work, and then calls [`TurnClient::answer`] or
    /// [`TurnClient::pass`].
    Granted(ClientTurn),
    /// Such a turn is over before the host has answered: it lapsed, the server has forgotten it, or the client drains. Whatever the host is
    /// doing in it, it does too late.
    Over(ClientTurn),
    /// The host's answer is not accepted. It is free for another turn.
    Lost {
        /// The turn that it was for.
        turn: ClientTurn,
        /// The number.
        number: i64,
        /// Whether it may have counted.
        fate: Fate,
    },
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
/// A client either answers every `GO` by itself, with the next number ([`add`](Self::add)), or asks the host, which has work to do in its turn
/// ([`add_asked`](Self::add_asked)). Lines that it does not know it ignores.
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
///
/// A worker that fences what it does in its turn:
///
/// ```
/// # #[cfg(not(feature = "net"))]
/// # fn main() {}
/// # #[cfg(feature = "net")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use taketurns::net::{Event, EventLoop, now};
/// use taketurns::protocol::turns::{ClientEvent, Framing, TurnClient, TurnClientConfig};
/// # use taketurns::net::os_entropy;
/// # use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
/// # let config = TurnServerConfig { framing: Framing::Line, min_clients: 1, ..TurnServerConfig::default() };
/// # let mut server = EventLoop::new(TurnServer::new(config, os_entropy()))?;
/// # let addr = server.driver_mut().listen(([127, 0, 0, 1], 0).into())?;
/// # let stop = server.handle();
/// # let server = std::thread::spawn(move || server.run(|_, _| {}));
///
/// let mut worker = TurnClient::new(TurnClientConfig { framing: Framing::Line, ..TurnClientConfig::default() });
/// worker.add_asked("ann".parse()?);
/// let mut event_loop = EventLoop::new(worker)?;
/// event_loop.driver_mut().connect(now(), addr); // where the server listens
/// let mut log = Vec::new();
/// event_loop.run(|driver, event| match event {
///     Event::Protocol(ClientEvent::Granted(turn)) => {
///         let (epoch, number) = turn.fence.expect("the line framing has both");
///         log.push(format!("{epoch} {number}: work"));
///         // A turn that is over by now is refused here, as it is by the server.
///         let _ = driver.act(now(), |worker, links| worker.answer(&turn, 17, links));
///     }
///     Event::Protocol(ClientEvent::Sent { .. }) if log.len() == 3 => driver.drain(now()),
///     _ => {}
/// })?;
/// assert!(log[2].ends_with(" 3: work"));
/// # stop.stop();
/// # server.join().expect("it does not panic")?;
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
    /// Turns that hosts were told of.
    granted: u64,
    draining: bool,
    events: VecDeque<ClientEvent>,
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
            granted: 0,
            draining: false,
            events: VecDeque::new(),
        }
    }

    /// Adds a client that sends `start`, `start + step`, and so on, under `name`; in the line framing it has to be [a word](Name::is_word), or the
    /// server refuses it as malformed.
    pub fn add(&mut self, name: Name, start: i64, step: i64) {
        let left = self.config.count;
        self.unfinished += usize::from(left != Some(0));
        self.add_player(name, Numbers::Counted { next: start, step, left });
    }

    /// Adds a client whose numbers are the host's: it hears [`ClientEvent::Granted`], does its work, and calls [`answer`](Self::answer). The pace
    /// and the count are not for this one. The name is as in [`add`](Self::add).
    pub fn add_asked(&mut self, name: Name) {
        self.unfinished += 1;
        self.add_player(name, Numbers::Asked(Asked::default()));
    }

    fn add_player(&mut self, name: Name, numbers: Numbers) {
        self.players.push(Player::new(name, numbers, self.config.framing));
    }

    /// Whether every client has had its count accepted. One that asks its host never has.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.unfinished == 0
    }

    /// Answers a turn that the host was [granted](ClientEvent::Granted). What becomes of the number is [`ClientEvent::Sent`] or
    /// [`ClientEvent::Lost`]. While the connection is lost the number is kept: it is sent if the same turn is still this client's when it is back.
    /// To be called through [`Driver::act`](crate::net::Driver::act).
    ///
    /// # Errors
    ///
    /// [`Refusal::StaleTurn`] if the turn is over or has been answered: nothing is sent.
    pub fn answer(&mut self, turn: &ClientTurn, number: i64, links: &mut Links) -> Result<(), Refusal> {
        self.asked(turn)?.answer(turn, number)?;
        if self.players[turn.client].has_turn(links) {
            self.send(turn.client, number, links);
        }
        Ok(())
    }

    /// Gives a turn up without a number. The raw framing has no word for that, so there the client hangs up, and connects again.
    /// To be called through [`Driver::act`](crate::net::Driver::act).
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer).
    pub fn pass(&mut self, turn: &ClientTurn, links: &mut Links) -> Result<(), Refusal> {
        self.asked(turn)?.pass(turn)?;
        self.players[turn.client].give_up(links);
        Ok(())
    }

    fn asked(&mut self, turn: &ClientTurn) -> Result<&mut Asked, Refusal> {
        match self.players.get_mut(turn.client).map(|player| &mut player.numbers) {
            Some(Numbers::Asked(asked)) if !self.draining => Ok(asked),
            _ => Err(Refusal::StaleTurn),
        }
    }

    /// Sends what `index` may send now, or sees to being called when it may, or asks the host.
    fn play(&mut self, now: Now, index: usize, links: &mut Links) {
        let player = &mut self.players[index];
        if self.draining || !player.has_turn(links) {
            return;
        }
        let number = match player.numbers {
            Numbers::Asked(_) => return self.ask(index, links),
            Numbers::Counted { left: Some(0), .. } => {
                // Out of numbers. The raw framing has no word for that.
                if let Wire::Line(_) = player.wire {
                    player.give_up(links);
                }
                return;
            }
            Numbers::Counted { next, .. } => next,
        };
        if let Some(until) = player.paced_until.filter(|&until| until > now.instant) {
            self.timers.set(&mut player.alarm, index, Some(until));
            return;
        }
        let pace = self.config.pace;
        player.paced_until = (!pace.is_zero()).then(|| now.instant + pace);
        self.send(index, number, links);
    }

    /// Tells the host of the turn of `index`, unless it knows.
    fn ask(&mut self, index: usize, links: &mut Links) {
        let player = &mut self.players[index];
        let Some(turn) = player.turn(index) else { return };
        let Numbers::Asked(asked) = &mut player.numbers else { return };
        match asked.grant(turn) {
            Grant::Known => {}
            Grant::Answered(number) => self.send(index, number, links),
            Grant::Passed => player.give_up(links),
            Grant::New(over) => {
                if let Wire::Line(line) = &mut player.wire {
                    line.in_flight = None;
                }
                self.report(over);
                self.events.push_back(ClientEvent::Granted(turn));
            }
        }
    }

    fn report(&mut self, over: Option<Over>) {
        self.events.extend(over.map(|over| match over {
            Over::Unanswered(turn) => ClientEvent::Over(turn),
            Over::Lost(turn, number, fate) => ClientEvent::Lost { turn, number, fate },
        }));
    }

    /// Answers the `GO` of `index`.
    fn send(&mut self, index: usize, number: i64, links: &mut Links) {
        let player = &mut self.players[index];
        let Some(id) = player.connection else { return };
        let answer = Answer { name: player.name, number };
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
    }

    /// The number of `index` is accepted, as far as it can know.
    fn accepted(&mut self, index: usize) {
        let player = &mut self.players[index];
        let name = player.name;
        match &mut player.numbers {
            Numbers::Asked(asked) => {
                self.events.extend(asked.accepted().map(|number| ClientEvent::Sent { name, number }));
            }
            Numbers::Counted { next, step, left } => {
                self.events.push_back(ClientEvent::Sent { name, number: *next });
                match next.checked_add(*step) {
                    Some(number) => (*next, *left) = (number, left.map(|left| left.saturating_sub(1))),
                    // There is no next number to send.
                    None => *left = Some(0),
                }
                if *left == Some(0) {
                    self.unfinished -= 1;
                    if self.unfinished == 0 {
                        self.events.push_back(ClientEvent::Finished);
                    }
                }
            }
        }
    }

    /// The turn of `index` is over, if it asks its host; `fate` is that of the number that the host has given.
    fn end(&mut self, index: usize, fate: Fate) {
        if let Numbers::Asked(asked) = &mut self.players[index].numbers {
            let over = asked.end(fate);
            self.report(over);
        }
    }

    /// The connection of a client is gone, or another one has taken its place.
    fn disconnect(&mut self, id: ConnectionId, links: &Links) {
        self.note_written(links);
        let Some(index) = self.by_connection.remove(id) else { return };
        let player = &mut self.players[index];
        player.connection = None;
        self.timers.remove(&mut player.alarm, index);
        self.unwritten.retain(|&unwritten| unwritten != index);
        // Without names and turn numbers there is no going on with it.
        if self.draining || matches!(player.wire, Wire::Raw(_)) {
            let fate = player.fate();
            self.end(index, fate);
        }
    }

    /// Raw numbers count once they are written.
    fn note_written(&mut self, links: &Links) {
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
                } else if !same_life {
                    self.end(index, if in_flight.is_some() { Fate::Unknown } else { Fate::Refused });
                }
            }
            Reply::Go { turn, within } => {
                (line.turn, line.within) = (Some(turn), Duration::from_millis(within));
                self.play(now, index, links);
            }
            Reply::Ok { turn } => {
                if line.in_flight == Some(turn) {
                    line.in_flight = None;
                    self.accepted(index);
                }
            }
            Reply::No { turn, code } => {
                self.events.push_back(ClientEvent::Refused { name, code });
                let is_over = matches!(code, Code::StaleTurn | Code::NotYourTurn);
                if is_over && line.in_flight.take_if(|in_flight| in_flight.get() == turn).is_some() {
                    self.end(index, Fate::Refused);
                }
            }
            Reply::Lapsed { turn } => {
                info!("{name}: turn {turn} lapsed");
                line.turn = line.turn.filter(|&held| held != turn);
                if let Numbers::Asked(asked) = &mut player.numbers {
                    let over = asked.lapsed(turn);
                    self.report(over);
                }
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

    /// Acts upon the lines that have ended; how many bytes these were.
    fn line_bytes(
        &mut self,
        now: Now,
        id: ConnectionId,
        index: usize,
        bytes: &[u8],
        links: &mut Links,
    ) -> usize {
        let mut used = 0;
        while links.may_go_on(id)
            && let Some(line) = split_line(&bytes[used..], self.config.line_bytes_max)
        {
            used += line.used;
            match line.text.map(Reply::parse) {
                Ok(Some(reply)) => self.line_reply(now, id, index, reply, links),
                Ok(None) => debug!("{id}: a line that is not known is ignored"),
                Err(error) => {
                    warn!("{id}: {error}; is this a turn server with the line framing?");
                    links.abort(id);
                }
            }
        }
        used
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
                if signal == Signal::Go && !std::mem::replace(&mut raw.has_turn, true) {
                    self.granted += 1;
                    raw.nth = self.granted;
                }
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
        // A host that has hung up and dials again may be here before the end of its last connection.
        if let Some(before) = self.players[index].connection {
            self.disconnect(before, links);
        }
        self.by_connection.insert(id, index);
        let player = &mut self.players[index];
        player.connection = Some(id);
        match &mut player.wire {
            Wire::Raw(raw) => *raw = RawWire::default(),
            Wire::Line(line) => {
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

    fn handle_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        match (self.by_connection.get(id), self.config.framing) {
            (None, _) => {}
            (Some(&index), Framing::Raw) => self.raw_bytes(now, id, index, bytes, links),
            (Some(&index), Framing::Line) => return self.line_bytes(now, id, index, bytes, links),
        }
        bytes.len()
    }

    fn handle_end(&mut self, _: Now, id: ConnectionId, _: &[u8], links: &mut Links) {
        links.close(id);
    }

    fn handle_closed(&mut self, _: Now, id: ConnectionId, _: CloseReason, links: &mut Links) {
        self.disconnect(id, links);
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
        self.note_written(links);
    }

    fn drain(&mut self, _: Now, links: &mut Links) {
        self.draining = true;
        for (id, _) in self.by_connection.iter() {
            links.close(id);
        }
        // Of the others the last is heard when their connections are gone.
        for index in 0..self.players.len() {
            if self.players[index].connection.is_none() {
                let fate = self.players[index].fate();
                self.end(index, fate);
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }
}
