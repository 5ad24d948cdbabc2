//! The turn server: what happens to connections goes into the scheduler, what it decides comes out as writes (`hand_over.rs`).
//!
//! This file has what both framings share. Who may hold the turn is decided in [`crate::turn`]; what a connection may say
//! and is told, in `raw.rs` and `line.rs`.

use std::fmt;
use std::net::SocketAddr;

use log::{info, warn};

use super::codes::{Bye, Code};
use super::ledger::Ledger;
use super::line::LineClient;
use super::name::Name;
use super::raw::RawClient;
use super::reply::{Epoch, Reply, Secret};
use super::rooms::Rooms;
use super::seat::SeatData;
use super::{Framing, TurnCounts, TurnEvent, TurnServerConfig};
use crate::hint::unlikely;
use crate::protocol::{CloseReason, ConnectionId, ConnectionMap, Entropy, Links, Origin, Protocol};
use crate::protocol::{SHOWN_BYTES_MAX, is_shown};
use crate::time::{Instant, Now, Timers, earlier};
use crate::turn::{JoinError, RingId, Scheduler, SchedulerConfig, SeatId, Weight};

/// The server side of the turn protocol, without sockets: a [`Protocol`].
///
/// # Examples
///
/// ```
/// use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
///
/// let config = TurnServerConfig { min_clients: 3, ..TurnServerConfig::default() };
/// // In a program the bytes come from the operating system: `taketurns::net::os_entropy()`.
/// let server = TurnServer::new(config, Box::new(|bytes| bytes.fill(7)));
/// assert_eq!(server.scheduler().seats(), 0);
/// ```
pub struct TurnServer {
    pub(super) config: TurnServerConfig,
    pub(super) scheduler: Scheduler<SeatData>,
    pub(super) rooms: Rooms,
    pub(super) timers: Timers<ConnectionId>,
    pub(super) epoch: Epoch,
    pub(super) ledger: Ledger,
    pub(super) clients: ConnectionMap<Client>,
    /// Raw newcomers that were told to wait in this pass, or in the last.
    pub(super) waits: Vec<ConnectionId>,
    /// So many of `waits` are of the last pass, so that `WAIT` is written: the first ones.
    pub(super) waits_written: usize,
    /// When the server wants to be called, whatever its scheduler and its timers say.
    due: Option<Instant>,
    /// How many of `clients` are not about to be closed.
    open: usize,
    /// Connections closed with a reason of the server's.
    closings: u64,
    pub(super) drain: Drain,
    entropy: Entropy,
}

pub(super) enum Client {
    Raw(RawClient),
    Line(Box<LineClient>),
    /// It has had its last word, and is not listened to.
    Closing,
}

impl Client {
    fn observes(&self) -> bool {
        matches!(self, Client::Line(line) if line.observes())
    }

    /// Counts one more thing that it said and that was refused: the how many-th that was.
    fn count_refusal(&mut self) -> u32 {
        let refusals = match self {
            Client::Raw(raw) => &mut raw.refusals,
            Client::Line(line) => &mut line.refusals,
            Client::Closing => return 1,
        };
        *refusals = refusals.saturating_add(1);
        *refusals
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Drain {
    No,
    /// Holders may finish until then.
    Until(Instant),
    Done,
}

impl TurnServer {
    /// A server without clients. `entropy` makes the secrets that seats are resumed with, and the epoch.
    #[must_use]
    pub fn new(config: TurnServerConfig, mut entropy: Entropy) -> TurnServer {
        let mut epoch = [0; 8];
        entropy(&mut epoch);
        let scheduler = Scheduler::new(SchedulerConfig {
            min_seats: config.min_clients,
            // As many vacant ones again: a client that is away for a moment does not lose its seat to a full house.
            max_seats: config.max_clients.saturating_mul(2),
            max_rings: config.max_rings,
            turn_deadline: config.turn_deadline,
            seat_grace: config.seat_grace,
        });
        TurnServer {
            config,
            scheduler,
            rooms: Rooms::default(),
            timers: Timers::default(),
            epoch: Epoch(u64::from_be_bytes(epoch)),
            ledger: Ledger::default(),
            clients: ConnectionMap::default(),
            waits: Vec::new(),
            waits_written: 0,
            due: None,
            open: 0,
            closings: 0,
            drain: Drain::No,
            entropy,
        }
    }

    /// The limits and times in force.
    #[must_use]
    pub fn config(&self) -> &TurnServerConfig {
        &self.config
    }

    /// Who holds the turn, who waits, and for how long at most.
    #[must_use]
    pub fn scheduler(&self) -> &Scheduler<SeatData> {
        &self.scheduler
    }

    /// Tells this life of the server from others: with a turn's number it fences what is done in that turn.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Closes the connection `id`, with `BYE removed` in the line framing: its seat is vacant, and a turn that it holds goes on.
    /// The place is kept for the grace, and in the line framing who resumes it has it back: it is for the host to kick such a one again.
    /// To be called through [`Driver::act`](crate::net::Driver::act).
    pub fn kick(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        let bye = match self.config.framing {
            Framing::Raw => None,
            Framing::Line => Some(Bye::Removed),
        };
        self.dismiss(now, id, bye, links);
    }

    /// The name under which clients know `ring`.
    #[must_use]
    pub fn ring_name(&self, ring: RingId) -> Option<Name> {
        self.rooms.name_of(ring)
    }

    /// The seat that the client on connection `id` sits on: none for one that has not joined, that observes, or that is about to be closed.
    /// The way back is [`SeatData::connection`].
    #[must_use]
    pub fn seat_of(&self, id: ConnectionId) -> Option<SeatId> {
        match self.clients.get(id)? {
            Client::Raw(raw) => self.scheduler.seat_at(raw.spot()),
            Client::Line(line) => line.seat(),
            Client::Closing => None,
        }
    }

    /// Running counts.
    #[must_use]
    pub fn counts(&self) -> TurnCounts {
        self.ledger.counts
    }

    /// How many inputs were refused with `code`.
    #[must_use]
    pub fn refused_as(&self, code: Code) -> u64 {
        self.ledger.refused_as(code)
    }

    /// The number of clients that are connected and not about to be closed.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.open
    }

    pub(super) fn client(&mut self, id: ConnectionId) -> Option<&mut Client> {
        self.clients.get_mut(id)
    }

    pub(super) fn new_secret(&mut self) -> Secret {
        let mut bytes = [0; 16];
        (self.entropy)(&mut bytes);
        Secret(bytes)
    }

    /// A new seat at the end of the ring of `data.room`, which is made if there is none.
    pub(super) fn new_seat(&mut self, now: Now, weight: Weight, data: SeatData) -> Result<SeatId, JoinError> {
        let room = data.room;
        let joined = match self.rooms.room(room).ring {
            Some(ring) => self.scheduler.join(now.instant, ring, weight, data.clone()),
            None => Err(JoinError::UnknownRing),
        };
        let seat = match joined {
            // There was none, or its last seat had to make room for this one.
            Err(JoinError::UnknownRing) => self.scheduler.join_new_ring(now.instant, weight, data)?,
            joined => joined?,
        };
        self.rooms.room_mut(room).ring = Some(seat.ring());
        Ok(seat)
    }

    /// Logs, counts and reports bytes that were refused. Telling the client is the framing's.
    pub(super) fn refuse(&mut self, id: ConnectionId, code: Code, bytes: &[u8], links: &Links) {
        let Some((client, peer)) = self.clients.get_mut(id).zip(links.peer(id)) else { return };
        let nth = client.count_refusal();
        if is_shown(nth.into()) {
            let shown = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
            warn!("{peer}: refused ({code}; refusal {nth} of this connection): \"{}\"", shown.escape_ascii());
        }
        self.ledger.refused(id, peer, code);
    }

    /// Ends the dealings with a connection: its seat is vacant, its observing over, and it is not listened to any more.
    /// With `bye` that is the last it hears (line framing), otherwise it is closed at once.
    pub(super) fn dismiss(&mut self, now: Now, id: ConnectionId, bye: Option<Bye>, links: &mut Links) {
        if !self.release(now, id, links) {
            return;
        }
        match bye {
            Some(bye) => {
                if let Some(peer) = links.peer(id).filter(|_| bye != Bye::Left && bye != Bye::ShuttingDown) {
                    self.log_closing(peer, format_args!("{bye}: {}", bye.words()));
                }
                links.send_fmt(id, format_args!("{}\n", Reply::Bye(bye)));
                links.close(id);
            }
            None => links.abort(id),
        }
        self.pump(now, links);
    }

    /// Logs that a connection is closed with a reason of the server's, and why.
    pub(super) fn log_closing(&mut self, peer: SocketAddr, why: fmt::Arguments<'_>) {
        self.closings += 1;
        if is_shown(self.closings) {
            info!("{peer}: closed ({why}; {} so far)", self.closings);
        }
    }

    pub(super) fn dismiss_all(&mut self, now: Now, links: &mut Links) {
        let bye = match self.config.framing {
            Framing::Raw => None,
            Framing::Line => Some(Bye::ShuttingDown),
        };
        // Observers last: they hear how the turns of the others end.
        let (last, first): (Vec<_>, Vec<_>) = self
            .clients
            .iter()
            .map(|(id, client)| (id, client.observes()))
            .partition(|&(_, observes)| observes);
        for (id, _) in first.into_iter().chain(last) {
            self.dismiss(now, id, bye, links);
        }
    }

    /// Takes from a connection what it has; `false` if it had been done before.
    fn release(&mut self, now: Now, id: ConnectionId, links: &Links) -> bool {
        let Some(client) = self.clients.get_mut(id) else { return false };
        match std::mem::replace(client, Client::Closing) {
            Client::Closing => return false,
            Client::Raw(raw) => self.raw_left(now, id, raw, links),
            Client::Line(line) => self.line_left(now, id, *line),
        }
        self.open -= 1;
        true
    }

    /// Nobody sits on `seat` any more, if it was `id`.
    pub(super) fn unseat(&mut self, now: Now, id: ConnectionId, seat: SeatId) {
        if let Some(data) = self.scheduler.data_mut(seat)
            && data.client == Some(id)
        {
            data.client = None;
            let name = data.name();
            self.scheduler.vacate(now.instant, seat);
            self.ledger.report(TurnEvent::Vacated { seat, name });
        }
    }

    #[cold]
    fn note_waits(&mut self, now: Now) {
        self.waits_written = self.waits.len();
        self.settle_due(now.instant);
    }

    /// Sets `due` anew.
    #[cold]
    pub(super) fn settle_due(&mut self, now: Instant) {
        let drained = match self.drain {
            Drain::Until(deadline) => Some(deadline),
            Drain::No | Drain::Done => None,
        };
        self.due = earlier(drained, (self.waits_written > 0).then_some(now));
    }

    fn admit(&mut self, id: ConnectionId, client: Client) {
        self.clients.insert(id, client);
        self.open += 1;
    }

    /// Turns a new connection away.
    fn turn_away(&mut self, id: ConnectionId, peer: SocketAddr, bye: Bye, links: &mut Links) {
        self.ledger.counts.turned_away += 1;
        let nth = self.ledger.counts.turned_away;
        if is_shown(nth) {
            info!("{peer}: turned away ({bye}; {nth} so far), {} clients are connected", self.open);
        }
        match self.config.framing {
            Framing::Raw => links.abort(id),
            Framing::Line => {
                links.send_fmt(id, format_args!("{}\n", Reply::Bye(bye)));
                links.close(id);
            }
        }
    }
}

impl fmt::Debug for TurnServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnServer")
            .field("config", &self.config)
            .field("epoch", &self.epoch)
            .field("clients", &self.open)
            .field("seats", &self.scheduler.seats())
            .finish_non_exhaustive()
    }
}

impl Protocol for TurnServer {
    type Event = TurnEvent;

    fn handle_open(&mut self, now: Now, id: ConnectionId, peer: SocketAddr, _: Origin, links: &mut Links) {
        if !matches!(self.drain, Drain::No) {
            return self.turn_away(id, peer, Bye::ShuttingDown, links);
        }
        if self.open >= self.config.max_clients {
            return self.turn_away(id, peer, Bye::Full, links);
        }
        match self.config.framing {
            Framing::Raw => {
                let Ok(seat) = self.raw_seat(now, id) else {
                    return self.turn_away(id, peer, Bye::Full, links);
                };
                self.admit(id, Client::Raw(RawClient::new(seat)));
                self.raw_opened(now, id, seat, links);
            }
            Framing::Line => {
                self.admit(id, Client::Line(Box::new(LineClient::new(now, &self.config))));
                self.line_rearm(id);
            }
        }
    }

    #[inline(always)]
    fn handle_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        match self.config.framing {
            Framing::Raw => self.raw_bytes(now, id, bytes, links),
            Framing::Line => self.line_bytes(now, id, bytes, links),
        }
    }

    fn handle_end(&mut self, now: Now, id: ConnectionId, rest: &[u8], links: &mut Links) {
        match self.clients.get(id) {
            Some(Client::Raw(_)) => self.raw_gathered(now, id, rest, links),
            Some(Client::Line(_)) => self.line_ended_input(id, rest, links),
            Some(Client::Closing) | None => {}
        }
        if self.release(now, id, links) {
            links.close(id);
            self.pump(now, links);
        }
    }

    fn handle_closed(&mut self, now: Now, id: ConnectionId, _: CloseReason, links: &mut Links) {
        if self.release(now, id, links) {
            self.pump(now, links);
        }
        self.clients.remove(id);
    }

    fn handle_timeout(&mut self, now: Now, links: &mut Links) {
        self.raw_waits_written(now);
        self.scheduler.handle_timeout(now.instant);
        self.pump(now, links);
        while let Some(id) = self.timers.pop(now.instant) {
            match self.clients.get(id) {
                Some(Client::Raw(_)) => self.raw_timeout(now, id, links),
                Some(Client::Line(_)) => self.line_timeout(now, id, links),
                Some(Client::Closing) | None => {}
            }
        }
    }

    fn handle_flushed(&mut self, now: Now, _: &mut Links) {
        self.ledger.pass_ended();
        if unlikely(!self.waits.is_empty()) {
            self.note_waits(now);
        }
    }

    fn drain(&mut self, now: Now, links: &mut Links) {
        if let Drain::No = self.drain {
            self.drain = Drain::Until(now.instant + self.config.drain_timeout);
            self.settle_due(now.instant);
            self.scheduler.drain(now.instant);
            self.pump(now, links);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let due = earlier(self.scheduler.next_deadline(), self.timers.next());
        if unlikely(self.due.is_some()) { earlier(due, self.due) } else { due }
    }

    fn poll_event(&mut self) -> Option<TurnEvent> {
        self.ledger.next_event()
    }
}

#[cfg(test)]
mod tests {
    use super::super::DEFAULT_RING;
    use super::super::ledger::REPORTED_MAX;
    use super::*;

    #[test]
    fn a_ring_s_name_is_forgotten_with_its_last_seat_and_observer() {
        let now = Now::ORIGIN;
        let config = TurnServerConfig { framing: Framing::Line, max_rings: 2, ..TurnServerConfig::default() };
        let mut server = TurnServer::new(config, Box::new(|bytes| bytes.fill(7)));
        assert_eq!(server.config().max_rings, 2);
        let mut links = Links::new(65_536);
        let mut ids = Vec::new();
        for hello in ["JOIN ann ring=a", "JOIN bob ring=b", "WATCH ring=b", "WATCH ring=c", "JOIN cid ring=d"]
        {
            let id = links.open(([127, 0, 0, 1], 9).into());
            server.handle_open(now, id, ([127, 0, 0, 1], 9).into(), Origin::Accepted, &mut links);
            server.handle_bytes(now, id, format!("{hello}\n").as_bytes(), &mut links);
            ids.push(id);
        }
        assert_eq!(server.rooms.len(), 3, "cid's would be a third ring");
        for (id, left) in ids.into_iter().zip([2, 2, 1, 0, 0]) {
            server.handle_bytes(now, id, b"LEAVE\n", &mut links);
            assert_eq!(server.rooms.len(), left);
        }
    }

    #[test]
    fn a_connection_is_asked_for_its_seat() {
        let (now, peer) = (Now::ORIGIN, SocketAddr::from(([127, 0, 0, 1], 9)));
        for (framing, hellos) in [(Framing::Raw, ["", ""]), (Framing::Line, ["JOIN ann\n", "JOIN bob\n"])] {
            let config = TurnServerConfig { framing, ..TurnServerConfig::default() };
            let (mut server, mut links) =
                (TurnServer::new(config, Box::new(|bytes| bytes.fill(7))), Links::new(65_536));
            let ids = hellos.map(|hello| {
                let id = links.open(peer);
                server.handle_open(now, id, peer, Origin::Accepted, &mut links);
                server.handle_bytes(now, id, hello.as_bytes(), &mut links);
                let seat = server.seat_of(id).expect("it has sat down");
                assert_eq!(server.scheduler().data(seat).and_then(SeatData::connection), Some(id));
                id
            });
            server.kick(now, ids[0], &mut links);
            assert_eq!(ids.map(|id| server.seat_of(id).map(|seat| seat.place())), [None, Some(2)]);
        }
    }

    #[test]
    fn who_observes_or_has_not_joined_has_no_seat() {
        let (now, peer) = (Now::ORIGIN, SocketAddr::from(([127, 0, 0, 1], 9)));
        let config = TurnServerConfig { framing: Framing::Line, ..TurnServerConfig::default() };
        let (mut server, mut links) =
            (TurnServer::new(config, Box::new(|bytes| bytes.fill(7))), Links::new(65_536));
        let id = links.open(peer);
        assert_eq!(server.seat_of(id), None, "a stranger");
        server.handle_open(now, id, peer, Origin::Accepted, &mut links);
        assert_eq!(server.seat_of(id), None, "a newcomer");
        server.handle_bytes(now, id, b"WATCH\n", &mut links);
        assert_eq!(server.seat_of(id), None, "an observer");
    }

    #[test]
    fn a_seat_s_name_is_forgotten_with_it() {
        let now = Now::ORIGIN;
        let config = TurnServerConfig { framing: Framing::Line, ..TurnServerConfig::default() };
        let mut server = TurnServer::new(config, Box::new(|bytes| bytes.fill(7)));
        let mut links = Links::new(65_536);
        for (hello, names) in [("JOIN ann\n", 1), ("JOIN bob\nLEAVE\n", 1), ("JOIN cid\n", 2)] {
            let id = links.open(([127, 0, 0, 1], 9).into());
            server.handle_open(now, id, ([127, 0, 0, 1], 9).into(), Origin::Accepted, &mut links);
            server.handle_bytes(now, id, hello.as_bytes(), &mut links);
            let main = server.rooms.find(&DEFAULT_RING.parse().expect("valid")).expect("ann is there");
            assert_eq!(server.rooms.room(main).seats.len(), names, "{hello}");
        }
    }

    #[test]
    fn a_flood_of_refused_lines_is_counted_and_reported_in_part() {
        let now = Now::ORIGIN;
        let config = TurnServerConfig { framing: Framing::Line, ..TurnServerConfig::default() };
        let mut server = TurnServer::new(config, Box::new(|bytes| bytes.fill(7)));
        let mut links = Links::new(usize::MAX);
        let id = links.open(([127, 0, 0, 1], 9).into());
        server.handle_open(now, id, ([127, 0, 0, 1], 9).into(), Origin::Accepted, &mut links);
        for pass in 1..=2 {
            server.handle_bytes(now, id, "x\n".repeat(REPORTED_MAX).as_bytes(), &mut links);
            server.handle_bytes(now, id, b"PASS\n", &mut links);
            server.handle_flushed(now, &mut links);
            assert_eq!(std::iter::from_fn(|| server.poll_event()).count(), REPORTED_MAX);
            assert_eq!(server.refused_as(Code::Malformed), pass * REPORTED_MAX as u64);
            assert_eq!((server.refused_as(Code::NotJoined), server.counts().refused), (pass, pass * 4097));
        }
    }

    #[test]
    fn a_client_that_the_host_kicks_loses_its_turn_but_not_its_place() {
        let now = Now::ORIGIN;
        let config = TurnServerConfig { framing: Framing::Line, ..TurnServerConfig::default() };
        let mut server = TurnServer::new(config, Box::new(|bytes| bytes.fill(7)));
        let mut links = Links::new(65_536);
        let [ann, bob] = ["JOIN ann\n", "JOIN bob\n"].map(|join| {
            let id = links.open(([127, 0, 0, 1], 9).into());
            server.handle_open(now, id, ([127, 0, 0, 1], 9).into(), Origin::Accepted, &mut links);
            server.handle_bytes(now, id, join.as_bytes(), &mut links);
            id
        });
        server.kick(now, ann, &mut links);
        let heard = |id| String::from_utf8_lossy(links.unsent(id)).into_owned();
        assert!(heard(ann).ends_with("BYE removed the server has removed this client\n"));
        assert!(!links.is_open(ann) && links.is_open(bob));
        assert_eq!((server.clients(), server.scheduler().seats()), (1, 2), "the seat is kept for the grace");
    }
}
