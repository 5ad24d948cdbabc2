//! The outbox: whatever a record caused waits here until that record is durable.
//!
//! It stands in front of [`Links`] and of the host's events. Entries leave in the order in which they came,
//! so T25 holds across connections. An entry carries the number of the newest record when it came, which is
//! the record that caused it or a later one.
//!
//! A grant waits as such, and not as the bytes of its `GO`: the clock of the turn starts when it leaves
//! (M13). Until then the scheduler has the turn unreleased, so nothing that its seat says counts for it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::TurnEvent;
use crate::protocol::{ConnectionId, Links};
use crate::record::{Horizon, HostValue, Key};
use crate::session::{Bye, Name, Reply};
use crate::time::Instant;
use crate::turn::{Grant, RingId, SeatId, TurnNumber};

/// Events for the host that may wait. While more of them do, no client is seated, because a client that comes
/// and goes causes two of them each time, whatever the store does.
pub(super) const EVENTS_MAX: usize = 100_000;

pub(super) struct Outbox {
    pub(super) horizon: Horizon,
    /// The record that is being collected; its number is the next one.
    pub(super) collecting: Option<Collecting>,
    /// The entries, by the order in which they came.
    entries: BTreeMap<u64, Entry>,
    came: u64,
    /// The entries of each connection that has some.
    waiting: BTreeMap<ConnectionId, Waiting>,
    /// Grants that wait, at most one of each ring, and where their entries stand.
    untold: BTreeMap<RingId, (u64, Grant)>,
    events: usize,
    /// The names of seats that are gone, while the host has not heard of that.
    retired: VecDeque<(SeatId, Box<str>)>,
    /// The state that the host keeps for each ring.
    pub(super) hosts: BTreeMap<Name, HostValue>,
    /// The server stops, and waits for the store no longer than until then.
    pub(super) give_up_at: Option<Instant>,
}

/// The entries that the next record changes. Their values are read when it is handed out.
#[derive(Debug, Default)]
pub(super) struct Collecting {
    /// The seats under these keys had these ids.
    pub(super) seats: BTreeMap<Key, SeatId>,
    /// All other keys.
    pub(super) others: std::collections::BTreeSet<Key>,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<u64>,
    /// Its last word is among them.
    closes: bool,
}

#[derive(Debug)]
struct Entry {
    seq: u64,
    what: Due,
}

/// An entry, and the step that its release is.
#[derive(Debug)]
pub(super) enum Due {
    /// Bytes for a connection.
    Line(ConnectionId, Box<[u8]>),
    /// A connection is to be closed.
    Close(ConnectionId),
    /// A client that is back with the turn of its seat is to be told what is left of it.
    Go(ConnectionId, SeatId),
    /// A holder is to be told of its turn, and the clock starts.
    Grant(Grant),
    /// These hearers are to be told of it.
    Begin(Grant, Box<[ConnectionId]>),
    /// The host is to hear of an answer; the last field is the length of a raw name.
    Accepted(SeatId, TurnNumber, Box<[u8]>, usize),
    /// The host is to hear of it.
    Event(TurnEvent),
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

    /// The record that is being collected: it is the newest from now on.
    pub(super) fn collect(&mut self) -> &mut Collecting {
        self.collecting.get_or_insert_default()
    }

    /// The number of the newest record.
    fn newest(&self) -> u64 {
        self.horizon.last() + u64::from(self.collecting.is_some())
    }

    /// Whether all records are durable, and none is being collected.
    pub(super) fn is_all_durable(&self) -> bool {
        self.horizon.is_durable(self.newest())
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether too much waits for another client to be seated.
    pub(super) fn is_full(&self) -> bool {
        self.events > EVENTS_MAX
    }

    pub(super) fn has_some_of(&self, id: ConnectionId) -> bool {
        self.waiting.contains_key(&id)
    }

    /// Whether the holder of this turn is still to be told of it.
    pub(super) fn is_untold(&self, seat: SeatId, turn: TurnNumber) -> bool {
        self.untold.get(&seat.ring()).is_some_and(|(_, grant)| *grant == Grant { seat, turn })
    }

    pub(super) fn name_of_retired(&self, seat: SeatId) -> Option<&str> {
        self.retired.iter().find(|(retired, _)| *retired == seat).map(|(_, name)| &**name)
    }

    /// Whether `reply` has to wait for the newest record, or for what waits for `id` already.
    pub(super) fn holds(&self, id: ConnectionId, reply: &Reply<'_>) -> bool {
        match reply {
            // A client without one takes its server for dead and reconnects, which is one more record.
            Reply::Pong => false,
            Reply::No { .. } => self.has_some_of(id),
            Reply::Bye { code, .. } if *code != Bye::Left => self.has_some_of(id),
            _ => self.has_some_of(id) || !self.is_all_durable(),
        }
    }

    // Coming.

    pub(super) fn push_line(&mut self, id: ConnectionId, bytes: Box<[u8]>, links: &mut Links) {
        if self.may_wait(id, links) {
            links.hold(id, bytes.len());
            self.push_of(id, Due::Line(id, bytes));
        }
    }

    /// Closes `id` behind what waits for it.
    pub(super) fn push_close(&mut self, id: ConnectionId, links: &Links) {
        if self.may_wait(id, links) {
            self.push_of(id, Due::Close(id));
            self.waiting.entry(id).or_default().closes = true;
        }
    }

    pub(super) fn push_go(&mut self, id: ConnectionId, seat: SeatId, links: &Links) {
        if self.may_wait(id, links) {
            self.push_of(id, Due::Go(id, seat));
        }
    }

    fn may_wait(&self, id: ConnectionId, links: &Links) -> bool {
        links.is_open(id) && self.waiting.get(&id).is_none_or(|waiting| !waiting.closes)
    }

    fn push_of(&mut self, id: ConnectionId, due: Due) {
        let at = self.push(due);
        self.waiting.entry(id).or_default().entries.push_back(at);
    }

    /// A grant that waited already stands behind all entries from now on.
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

    // Leaving.

    /// The next entry whose record is durable.
    pub(super) fn pop(&mut self, links: &mut Links) -> Option<Due> {
        let entry = self.entries.first_entry()?;
        if !self.horizon.is_durable(entry.get().seq) {
            return None;
        }
        let due = entry.remove().what;
        match &due {
            Due::Line(id, bytes) => {
                links.let_go(*id, bytes.len());
                self.popped_of(*id);
            }
            Due::Close(id) | Due::Go(id, _) => self.popped_of(*id),
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

    /// The connection is gone, and what waits for it dies. An answer that it has given counts nevertheless.
    pub(super) fn forget(&mut self, id: ConnectionId) {
        for at in self.waiting.remove(&id).unwrap_or_default().entries {
            self.entries.remove(&at);
        }
    }

    /// Drops whatever waits. Returns the connections that were to hear something.
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
