//! The outbox: replies and events wait here until the record that caused them is durable.
//!
//! It stands in front of [`Links`] and of the host's events. Entries leave in the order of their arrival, so
//! T25 holds across connections. Each entry carries the number of the newest record at that time, which is
//! the record that caused it or a later one.
//!
//! A grant waits as a grant and not as the bytes of a `GO`, because the clock of the turn starts when it
//! leaves (M13). Until then the scheduler treats the turn as unreleased, so nothing that its seat sends
//! counts for it.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::TurnEvent;
use crate::protocol::{ConnectionId, Links};
use crate::record::{Horizon, HostValue, Key};
use crate::session::{Bye, Code, Name, Reply};
use crate::time::Instant;
use crate::turn::{Grant, RingId, SeatId, TurnNumber};

/// The most events that may wait for the host before new clients are refused a seat. A client that comes and
/// goes causes two events each time, however slow the store is.
pub(super) const EVENTS_MAX: usize = 100_000;

pub(super) struct Outbox {
    pub(super) horizon: Horizon,
    /// The record that is being collected. It will get the next number.
    pub(super) collecting: Option<Collecting>,
    /// Waiting entries, by order of arrival.
    entries: BTreeMap<u64, Entry>,
    came: u64,
    /// The waiting entries of each connection.
    waiting: BTreeMap<ConnectionId, Waiting>,
    /// Waiting grants, at most one per ring, and the positions of their entries.
    untold: BTreeMap<RingId, (u64, Grant)>,
    events: usize,
    /// The names of retired seats that the host has not heard about yet.
    retired: VecDeque<(SeatId, Box<str>)>,
    /// The state that the host keeps for each ring.
    pub(super) hosts: BTreeMap<Name, HostValue>,
    /// The deadline by which a stopping server gives up on its store.
    pub(super) give_up_at: Option<Instant>,
}

/// The keys that the next record changes. Their values are read when the record is handed out.
#[derive(Debug, Default)]
pub(super) struct Collecting {
    /// Keys of seats, with the ids of those seats.
    pub(super) seats: BTreeMap<Key, SeatId>,
    /// All other keys.
    pub(super) others: std::collections::BTreeSet<Key>,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<u64>,
    /// Whether one of them closes the connection.
    closes: bool,
}

#[derive(Debug)]
struct Entry {
    seq: u64,
    what: Due,
}

/// A waiting entry: the step to take when it is released.
#[derive(Debug)]
pub(super) enum Due {
    /// Bytes for a connection.
    Line(ConnectionId, Box<[u8]>),
    /// Close a connection.
    Close(ConnectionId),
    /// Tell a client how much time the turn of its seat has left.
    Go(ConnectionId, SeatId),
    /// Refuse something to a client, and tell it how much time its turn has left.
    No(ConnectionId, Refused<'static>),
    /// Tell a holder about its turn, and start the clock.
    Grant(Grant),
    /// Tell these hearers about a turn.
    Begin(Grant, Box<[ConnectionId]>),
    /// Report an answer to the host. The last field is the length of a raw name.
    Accepted(SeatId, TurnNumber, Box<[u8]>, usize),
    /// Report an event to the host.
    Event(TurnEvent),
}

/// A refusal, before the time is known that the turn has left.
#[derive(Debug)]
pub(super) struct Refused<'a> {
    /// The seat whose time the reply gives; `None` if it gives none.
    pub(super) seat: Option<SeatId>,
    pub(super) code: Code,
    pub(super) turn: Option<u64>,
    pub(super) words: Option<Cow<'a, str>>,
}

impl Refused<'_> {
    pub(super) fn kept(self) -> Refused<'static> {
        Refused { words: self.words.map(|words| Cow::Owned(words.into_owned())), ..self }
    }
}

/// The most bytes of a line that is only encoded when it leaves, without the words of the host.
const LINE_BYTES: usize = 128;

impl Due {
    /// Returns the bytes that count against the limit of the connection.
    fn bytes(&self) -> usize {
        match self {
            Due::Line(_, bytes) => bytes.len(),
            Due::Go(..) => LINE_BYTES,
            Due::No(_, refused) => LINE_BYTES + refused.words.as_ref().map_or(0, |words| words.len()),
            _ => 0,
        }
    }
}

impl Outbox {
    pub(super) fn new() -> Outbox {
        Outbox {
            horizon: Horizon::default(),
            collecting: None,
            entries: BTreeMap::new(),
            came: 0,
            waiting: BTreeMap::new(),
            untold: BTreeMap::new(),
            events: 0,
            retired: VecDeque::new(),
            hosts: BTreeMap::new(),
            give_up_at: None,
        }
    }

    /// Returns the record that is being collected, and begins one if there is none.
    pub(super) fn collect(&mut self) -> &mut Collecting {
        self.collecting.get_or_insert_default()
    }

    /// The number of the newest record.
    fn newest(&self) -> u64 {
        self.horizon.last() + u64::from(self.collecting.is_some())
    }

    /// Returns whether all records are durable and none is being collected.
    pub(super) fn is_all_durable(&self) -> bool {
        self.horizon.is_durable(self.newest())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns whether so many events wait that no other client may be seated.
    pub(super) fn is_full(&self) -> bool {
        self.events > EVENTS_MAX
    }

    pub(super) fn has_some_of(&self, id: ConnectionId) -> bool {
        self.waiting.contains_key(&id)
    }

    /// Returns whether the holder of this turn has not been told yet.
    pub(super) fn is_untold(&self, seat: SeatId, turn: TurnNumber) -> bool {
        self.untold.get(&seat.ring()).is_some_and(|(_, grant)| *grant == Grant { seat, turn })
    }

    pub(super) fn name_of_retired(&self, seat: SeatId) -> Option<&str> {
        self.retired.iter().find(|(retired, _)| *retired == seat).map(|(_, name)| &**name)
    }

    /// Returns whether `reply` waits for the newest record, or for something that already waits for `id`.
    pub(super) fn holds(&self, id: ConnectionId, reply: &Reply<'_>) -> bool {
        match reply {
            // Holding it back would make clients take the server for dead and reconnect, which is one more
            // record.
            Reply::Pong => false,
            Reply::No { .. } => self.has_some_of(id),
            Reply::Bye { code, .. } if *code != Bye::Left => self.has_some_of(id),
            _ => self.has_some_of(id) || !self.is_all_durable(),
        }
    }

    /// Queues an entry of connection `id`, unless a `Close` is queued for it already.
    pub(super) fn push_of(&mut self, id: ConnectionId, due: Due, links: &mut Links) {
        if !links.is_open(id) || self.waiting.get(&id).is_some_and(|waiting| waiting.closes) {
            return;
        }
        if due.bytes() > 0 {
            links.hold(id, due.bytes());
        }
        let closes = matches!(due, Due::Close(_));
        let at = self.push(due);
        let waiting = self.waiting.entry(id).or_default();
        waiting.entries.push_back(at);
        waiting.closes = closes;
    }

    /// Queues a grant. If it was already waiting, it moves to the end.
    pub(super) fn push_grant(&mut self, grant: Grant) {
        let at = self.push(Due::Grant(grant));
        if let Some((before, _)) = self.untold.insert(grant.seat.ring(), (at, grant)) {
            self.entries.remove(&before);
        }
    }

    pub(super) fn push_event(&mut self, event: TurnEvent) {
        self.events += 1;
        if let TurnEvent::Retired { seat, name } = &event {
            self.retired.push_back((*seat, name.clone()));
        }
        self.push(Due::Event(event));
    }

    pub(super) fn push_accepted(&mut self, seat: SeatId, turn: TurnNumber, message: &[u8], name: usize) {
        self.events += 1;
        self.push(Due::Accepted(seat, turn, message.into(), name));
    }

    pub(super) fn push(&mut self, what: Due) -> u64 {
        self.came += 1;
        self.entries.insert(self.came, Entry { seq: self.newest(), what });
        self.came
    }

    /// Removes the next entry whose record is durable.
    pub(super) fn pop(&mut self, links: &mut Links) -> Option<Due> {
        let entry = self.entries.first_entry()?;
        if !self.horizon.is_durable(entry.get().seq) {
            return None;
        }
        let due = entry.remove().what;
        match &due {
            Due::Line(id, _) | Due::Close(id) | Due::Go(id, _) | Due::No(id, _) => {
                links.let_go(*id, due.bytes());
                self.popped_of(*id);
            }
            Due::Grant(grant) => {
                self.untold.remove(&grant.seat.ring());
            }
            Due::Begin(..) => {}
            Due::Accepted(..) => self.events -= 1,
            Due::Event(event) => {
                self.events -= 1;
                if let TurnEvent::Retired { .. } = event {
                    self.retired.pop_front();
                }
            }
        }
        Some(due)
    }

    fn popped_of(&mut self, id: ConnectionId) {
        if let Some(waiting) = self.waiting.get_mut(&id) {
            waiting.entries.pop_front();
            if waiting.entries.is_empty() {
                self.waiting.remove(&id);
            }
        }
    }

    /// Drops everything that waits for a closed connection. Its answers still count.
    pub(super) fn forget(&mut self, id: ConnectionId) {
        for at in self.waiting.remove(&id).unwrap_or_default().entries {
            self.entries.remove(&at);
        }
    }

    /// Drops everything that waits. Returns the connections that were waiting.
    pub(super) fn clear(&mut self) -> Vec<ConnectionId> {
        self.entries.clear();
        self.untold.clear();
        self.retired.clear();
        self.events = 0;
        std::mem::take(&mut self.waiting).into_keys().collect()
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("horizon", &self.horizon)
            .field("entries", &self.entries.len())
            .field("connections", &self.waiting.len())
            .finish_non_exhaustive()
    }
}
