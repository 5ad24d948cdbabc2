//! Clients of turn servers: any number on one loop, each with its own settings and its own connection.
//!
//! A client does not know what its turns are for: it tells its host about each turn, and the host
//! [answers](TurnClient::answer). The client does what every client needs: it joins, resumes its seat after a
//! lost connection, sends answers so that each counts at most once, reports their status, pings, and gives up
//! when coming back is of no use.
//!
//! The moment at which an answer counts depends on the framing. The raw framing has no confirmation, so there
//! an answer counts once it is written. In the line protocol it counts when `OK` arrives, or when the
//! `WELCOME` of a resumption confirms it. Its status is unknown only if the seat is gone by then, because the
//! server has begun another life or the seat's grace is over.

// player.rs  one client and its connection; hold.rs has the state of its turn
//  ├ raw.rs     both directions of the raw framing
//  ├ line.rs    requests of the line protocol, and its state
//  └ replies.rs messages of the server in the line protocol
// handle.rs  calls of the driver; clients.rs the set of clients
// command.rs, event.rs, config.rs  the host's side

mod clients;
mod command;
mod config;
mod event;
mod handle;
mod hold;
mod line;
mod player;
mod raw;
mod replies;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use slab::Slab;

pub use command::CommandError;
pub use config::{Bearer, ClientConfig, ConfigError, InvalidToken, SeatRequest};
pub use event::{AnswerStatus, ClientEvent, End, Farewell, Heard, News, Welcome};
pub use hold::ClientTurn;
use line::LineWire;
use player::{Context, Player};
use raw::RawWire;

use crate::protocol::{ConnectionMap, DialId, Links};
use crate::time::{Alarm, Now, Timers};
use crate::wire::Framing;

/// The id of a client of a [`TurnClient`]. It is never used again for another client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId {
    slot: u32,
    /// The number of clients added before this one, to tell it from others in the same slot.
    life: u32,
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}", self.life)
    }
}

struct Client {
    player: Player,
    wire: Wire,
    alarm: Alarm,
}

enum Wire {
    Raw(RawWire),
    Line(LineWire),
}

impl Client {
    /// Returns its parts, for a command that needs both a seat and the line protocol.
    fn seated_line(&mut self) -> Result<(&mut Player, &mut LineWire), CommandError> {
        match &mut self.wire {
            Wire::Raw(_) => Err(CommandError::NotInRaw),
            Wire::Line(_) if self.player.config.seat.is_none() => Err(CommandError::NoSeat),
            Wire::Line(line) => Ok((&mut self.player, line)),
        }
    }
}

/// The client side of the turn protocol, without sockets: a [`Protocol`](crate::protocol::Protocol).
///
/// The host [adds](Self::add) clients with their settings, [dials](crate::net::Driver::connect), and [assigns
/// each dial to a client](Self::dial), before the loop runs or while it does. From then on it gets
/// [`ClientEvent`]s, and acts through [`Driver::act`](crate::net::Driver::act).
///
/// # Examples
///
/// ```
/// use taketurns::protocol::turns::{ClientConfig, News, TurnClient};
/// use taketurns::protocol::{DialId, Links, Origin, Protocol};
/// use taketurns::time::Now;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut client = TurnClient::new();
/// let ann = client.add(ClientConfig::seat("ann".parse()?))?;
/// client.dial(ann, DialId(0));
///
/// // A test has no sockets: it says what a server says. A program gives the client to `net::EventLoop::new`, and dials.
/// let (now, server, mut links) = (Now::ORIGIN, ([127, 0, 0, 1], 5001).into(), Links::new(64 * 1024));
/// let id = links.open(server);
/// client.handle_open(now, id, server, Origin::Dialed(DialId(0)), &mut links);
/// assert_eq!(links.unsent(id), b"JOIN ann ring=main\n");
///
/// let welcome = "WELCOME ann seat=1 ring=main epoch=1f resume=000102030405060708090a0b0c0d0e0f\n";
/// client.handle_bytes(now, id, welcome.as_bytes(), &mut links);
/// client.handle_bytes(now, id, b"GO turn=1 within=30000\n", &mut links);
/// while let Some(event) = client.poll_event() {
///     if let News::Granted(turn) = event.news {
///         client.answer(now, &turn, b"e2 e4", &mut links)?;
///     }
/// }
/// assert!(links.unsent(id).ends_with(b"ANSWER turn=1 epoch=000000000000001f :e2 e4\n"));
/// # Ok(()) }
/// ```
///
/// A worker that fences its work in each turn, three times:
///
/// ```
/// # #[cfg(not(feature = "net"))]
/// # fn main() {}
/// # #[cfg(feature = "net")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use taketurns::net::{Event, EventLoop, now};
/// use taketurns::protocol::turns::{ClientConfig, ClientEvent, News, TurnClient};
/// # use taketurns::net::os_entropy;
/// # use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
/// # let mut config = TurnServerConfig::default();
/// # config.rules.min_seats = 1;
/// # let mut server = EventLoop::new(TurnServer::new(config, os_entropy())?)?;
/// # let addr = server.driver_mut().listen(([127, 0, 0, 1], 0).into())?;
/// # let stop = server.handle();
/// # let server = std::thread::spawn(move || server.run(|_, _| {}));
///
/// let mut event_loop = EventLoop::new(TurnClient::new())?;
/// let driver = event_loop.driver_mut();
/// let dial = driver.connect(now(), addr); // where the server listens
/// let worker = driver.protocol_mut().add(ClientConfig::seat("worker-1".parse()?))?;
/// driver.protocol_mut().dial(worker, dial);
///
/// let mut log = Vec::new();
/// event_loop.run(|driver, event| {
///     let Event::Protocol(ClientEvent { client, news, .. }) = event else { return };
///     match news {
///         News::Granted(turn) => {
///             let (epoch, number) = turn.fence.expect("the line protocol has both");
///             log.push(format!("{epoch} {number}: work"));
///             // A turn that is over by now is refused here, or by the server.
///             let _ = driver.act(now(), |worker, links| worker.answer(now(), &turn, b"done", links));
///         }
///         News::Accepted { .. } if log.len() == 3 => driver.drain(now()),
///         News::Ended { dial: Some(dial), .. } => driver.hang_up(dial),
///         _ => println!("{client}: {news:?}"),
///     }
/// })?;
/// assert!(log[2].ends_with(" 3: work"));
/// # stop.stop();
/// # server.join().expect("it does not panic")?;
/// # Ok(()) }
/// ```
pub struct TurnClient {
    clients: Slab<Client>,
    /// The number of clients ever added.
    lives: u32,
    by_connection: ConnectionMap<ClientId>,
    by_dial: BTreeMap<DialId, ClientId>,
    timers: Timers<ClientId>,
    /// Raw clients whose answer has been queued but not yet written.
    unwritten: Vec<ClientId>,
    is_draining: bool,
    events: VecDeque<ClientEvent>,
}

impl Default for TurnClient {
    fn default() -> Self {
        TurnClient::new()
    }
}

impl TurnClient {
    /// Creates a set without clients.
    ///
    /// # Examples
    ///
    /// ```
    /// let clients = taketurns::protocol::turns::TurnClient::new();
    /// assert_eq!(clients.clients().count(), 0);
    /// ```
    #[must_use]
    pub fn new() -> TurnClient {
        TurnClient {
            clients: Slab::new(),
            lives: 0,
            by_connection: ConnectionMap::default(),
            by_dial: BTreeMap::new(),
            timers: Timers::default(),
            unwritten: Vec::new(),
            is_draining: false,
            events: VecDeque::new(),
        }
    }

    fn insert(&mut self, config: ClientConfig) -> ClientId {
        self.lives = self.lives.wrapping_add(1);
        let entry = self.clients.vacant_entry();
        let slot = u32::try_from(entry.key()).expect("fewer than 2^32 clients");
        let id = ClientId { slot, life: self.lives };
        let wire = match config.framing {
            Framing::Raw => Wire::Raw(RawWire::default()),
            Framing::Line => Wire::Line(LineWire::default()),
        };
        entry.insert(Client { player: Player::new(id, config), wire, alarm: Alarm::default() });
        id
    }

    fn find(&mut self, client: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(client.slot as usize).filter(|found| found.player.id == client)
    }

    fn take_out(&mut self, client: ClientId) -> Option<Client> {
        self.find(client)?;
        Some(self.clients.remove(client.slot as usize))
    }

    /// Lets a client act, and afterwards updates its deadline.
    fn with<R>(
        &mut self,
        now: Now,
        id: ClientId,
        links: &mut Links,
        act: impl FnOnce(&mut Client, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let TurnClient { clients, events, timers, .. } = self;
        let client = clients.get_mut(id.slot as usize).filter(|found| found.player.id == id)?;
        let result = act(client, &mut Context { now, links, events });
        if let Wire::Line(line) = &client.wire {
            timers.set(&mut client.alarm, id, line.next_deadline());
        }
        Some(result)
    }

    /// Carries out a command of the host, unless the client has given up.
    fn act<R>(
        &mut self,
        now: Now,
        id: ClientId,
        links: &mut Links,
        act: impl FnOnce(&mut Client, &mut Context<'_>) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        let is_draining = self.is_draining;
        let result = self.with(now, id, links, |client, cx| {
            if is_draining || client.player.is_leaving || client.player.end.is_some() {
                return Err(CommandError::Ended);
            }
            act(client, cx)
        });
        result.unwrap_or(Err(CommandError::NoSuchClient))
    }
}

impl fmt::Debug for TurnClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnClient")
            .field("clients", &self.clients.len())
            .field("connected", &self.by_connection.len())
            .finish_non_exhaustive()
    }
}
