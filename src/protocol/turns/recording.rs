//! Recording: the entries that a step changes, their values, and the replies that wait for them.

use super::TurnEvent;
use super::outbox::{Due, Outbox};
use super::server::TurnServer;
use crate::protocol::{ConnectionId, Links};
use crate::record::{
    Change, HostValue, Key, MetaValue, Record, RingEntry, RingState, RingValue, SeatValue, State,
};
use crate::session::{Bye, Name, Reply};
use crate::table::{LineIdentity, NamedRing, SeatData};
use crate::time::{Instant, Now};
#[cfg(feature = "status")]
use crate::turn::TurnNumber;
use crate::turn::{Grant, HeldClock, Moved, RingId, SeatId, SeatOrder};

/// Changed entries.
impl TurnServer {
    /// Notes that recorded state of `ring` changes.
    pub(super) fn note_ring(&mut self, ring: RingId) {
        let Some(outbox) = &mut self.outbox else { return };
        if let Some(&name) = self.table.ring_name(ring) {
            outbox.collect().others.insert(Key::Ring(name));
        }
    }

    /// Notes a new seat, which is kept with its ring if there is room.
    pub(super) fn note_joined(&mut self, seat: SeatId) {
        if self.outbox.is_some()
            && let Some(named_ring) = self.table.named_rings.of_ring(seat.ring())
        {
            self.table.named_rings.keep_with_ring(named_ring, seat);
        }
        self.note_seat(seat);
    }

    /// Notes that recorded state of `seat` and of its ring changes. Raw seats are not recorded.
    pub(super) fn note_seat(&mut self, seat: SeatId) {
        let Some(outbox) = &mut self.outbox else { return };
        let Some(named_ring) = self.table.named_rings.of_ring(seat.ring()) else { return };
        let NamedRing { name, with_ring, .. } = self.table.named_rings.get(named_ring);
        let collecting = outbox.collect();
        collecting.others.insert(Key::Ring(*name));
        if !with_ring.contains(&seat) && self.table.scheduler.data(seat).is_some_and(|data| !data.is_raw()) {
            collecting.seats.insert(Key::Seat(*name, seat.place()), seat);
        }
    }

    /// Notes that a turn ended or began. The next holder's entry does not change: the ring's lease names it.
    pub(super) fn note_moved(&mut self, moved: &Moved) {
        if self.outbox.is_none() {
            return;
        }
        if let Some(ended) = &moved.ended {
            self.note_ring(ended.seat.ring());
            self.note_seat(ended.seat);
        }
        if let Some(granted) = &moved.granted {
            self.note_ring(granted.seat.ring());
        }
    }

    /// Notes that `seat`, which was in the ring of `data`, is gone.
    pub(super) fn note_gone(&mut self, seat: SeatId, data: &SeatData) {
        let Some(outbox) = &mut self.outbox else { return };
        let NamedRing { name, with_ring, .. } = self.table.named_rings.get(data.named_ring);
        let ring = *name;
        let collecting = outbox.collect();
        collecting.others.insert(Key::Ring(ring));
        if !with_ring.contains(&seat) && !data.is_raw() {
            collecting.seats.insert(Key::Seat(ring, seat.place()), seat);
        }
        if !self.table.scheduler.has_ring(seat.ring()) {
            collecting.others.extend([Key::Meta, Key::Host(ring)]);
            outbox.hosts.remove(&ring);
        }
    }

    /// Notes the host's new state for `ring`.
    pub(super) fn note_host_state(&mut self, ring: RingId, state: &[u8]) {
        let Some(outbox) = &mut self.outbox else { return };
        if let Some(&name) = self.table.ring_name(ring) {
            outbox.collect().others.insert(Key::Host(name));
            outbox.hosts.insert(name, HostValue(state.to_vec()));
        }
    }
}

/// Values of entries.
impl TurnServer {
    /// Returns the state that outlives this server, as of `now`: the sum of all records.
    #[must_use]
    pub fn snapshot(&self, now: Now) -> State {
        let mut state = State::new(self.meta());
        for ring in self.table.scheduler.rings() {
            let Some((named_ring, value)) =
                self.table.named_rings.of_ring(ring).zip(self.ring_value(now, ring))
            else {
                continue;
            };
            let NamedRing { name, with_ring, .. } = self.table.named_rings.get(named_ring);
            let seats = self.table.scheduler.seats_of(ring);
            let seats = seats.filter_map(|view| Some((view.seat.place(), self.seat_value(view.seat)?)));
            let with_ring = with_ring.iter().map(SeatId::place).collect();
            let host = self.outbox.as_ref().and_then(|outbox| outbox.hosts.get(name)).cloned();
            state.rings.insert(*name, RingState { ring: value, seats: seats.collect(), with_ring, host });
        }
        state
    }

    /// Returns the state that the host gave with its last verdict in `ring`, in this life or an earlier one
    /// (M23). Returns `None` if it never gave one, and in a server without a store.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::net::{now, os_entropy};
    /// use taketurns::protocol::turns::{TurnServer, TurnServerConfig};
    /// use taketurns::record::State;
    ///
    /// # fn restored(state: &State) -> Result<(), Box<dyn std::error::Error>> {
    /// let server = TurnServer::restore(now(), TurnServerConfig::default(), os_entropy(), state)?;
    /// let board = server.host_state(&"main".parse()?).unwrap_or(b"---------"); // or a new game
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn host_state(&self, ring: &Name) -> Option<&[u8]> {
        Some(&self.outbox.as_ref()?.hosts.get(ring)?.0)
    }

    fn meta(&self) -> MetaValue {
        MetaValue { epoch: self.table.epoch, forgotten_turn: self.table.scheduler.last_turn(None) }
    }

    fn ring_value(&self, now: Now, ring: RingId) -> Option<RingValue> {
        self.table.scheduler.ring_value(now.instant, ring)
    }

    fn seat_value(&self, seat: SeatId) -> Option<SeatValue> {
        let LineIdentity { name, secrets, last, .. } = self.table.scheduler.data(seat)?.line_identity()?;
        let SeatOrder { weight, demand, standing, tag, .. } = self.table.scheduler.seat_order(seat)?;
        Some(SeatValue {
            name: *name,
            weight,
            demand,
            standing,
            tag,
            last: *last,
            current: secrets.current,
            used: secrets.previous,
        })
    }

    /// Returns the record that was collected, with the values as of `now`.
    pub(super) fn next_record(&mut self, now: Now) -> Option<Record> {
        let outbox = self.outbox.as_mut()?;
        let mut collected = outbox.collecting.take()?;
        let seq = outbox.horizon.number();
        for key in &collected.others {
            let Key::Ring(name) = key else { continue };
            let Some(named_ring) = self.table.named_rings.find(name).map(|id| self.table.named_rings.get(id))
            else {
                continue;
            };
            let Some(ring) = named_ring.ring else { continue };
            for seat in self.table.scheduler.take_passed_over(ring) {
                if !named_ring.with_ring.contains(&seat)
                    && self.table.scheduler.data(seat).is_some_and(|data| !data.is_raw())
                {
                    collected.seats.insert(Key::Seat(*name, seat.place()), seat);
                }
            }
        }
        let others = collected.others.iter().map(|key| (*key, self.value_of(now, key)));
        let seats = collected
            .seats
            .iter()
            .map(|(key, seat)| (*key, self.seat_value(*seat).map(|value| value.encode())));
        let change = |(key, value): (Key, Option<Vec<u8>>)| match value {
            Some(value) => Change::Put { key, value },
            None => Change::Delete { key },
        };
        Some(Record { seq, changes: others.chain(seats).map(change).collect() })
    }

    fn value_of(&self, now: Now, key: &Key) -> Option<Vec<u8>> {
        match key {
            Key::Meta => Some(self.meta().encode()),
            Key::Ring(name) => {
                let NamedRing { ring, with_ring, .. } =
                    self.table.named_rings.get(self.table.named_rings.find(name)?);
                let seats = with_ring.iter().filter_map(|&seat| Some((seat.place(), self.seat_value(seat)?)));
                let entry = RingEntry { ring: self.ring_value(now, (*ring)?)?, seats: seats.collect() };
                Some(entry.encode())
            }
            Key::Host(name) => Some(self.outbox.as_ref()?.hosts.get(name)?.encode()),
            Key::Seat(..) => None,
        }
    }
}

/// Replies that may have to wait.
impl TurnServer {
    /// Sends a message to a line client once the records that caused it are durable.
    #[inline]
    pub(super) fn say(&mut self, id: ConnectionId, reply: &Reply<'_>, links: &mut Links) {
        say(&mut self.outbox, id, reply, links);
    }

    /// Makes the host's words during judging wait for the record of its verdict, because they may belong to
    /// it.
    pub(super) fn expect_verdict(&mut self) {
        if let Some(outbox) = self.outbox.as_mut().filter(|_| self.proposals.are_open()) {
            outbox.collect();
        }
    }

    /// Closes a connection after everything that waits for it.
    pub(super) fn close(&mut self, id: ConnectionId, links: &mut Links) {
        match &mut self.outbox {
            Some(outbox) if outbox.has_some_of(id) => outbox.push_of(id, Due::Close(id), links),
            _ => links.close(id),
        }
    }

    /// Reports an event that a record may have caused.
    pub(super) fn report(&mut self, event: TurnEvent) {
        match &mut self.outbox {
            Some(outbox) if !outbox.is_all_durable() => outbox.push_event(event),
            _ => self.ledger.report(event),
        }
    }

    /// Releases everything that waited for records up to `upto`.
    pub(super) fn release_durable(&mut self, now: Now, upto: u64, links: &mut Links) {
        if let Some(outbox) = &mut self.outbox {
            outbox.horizon.reach(upto);
        }
        while let Some(due) = self.outbox.as_mut().and_then(|outbox| outbox.pop(links)) {
            match due {
                Due::Line(id, bytes) => links.send(id, &bytes),
                Due::Close(id) => links.close(id),
                Due::Go(id, seat) => self.say_go_now(now, id, seat, links),
                Due::No(id, refused) => self.say_no_now(now, id, &refused, links),
                Due::Grant(grant) => self.grant_recorded(now, grant, links),
                Due::Begin(grant, hearers) => self.announce_recorded_begin(now, &grant, &hearers, links),
                Due::Accepted(seat, turn, message, name) => self.ledger.accepted(seat, turn, &message, name),
                Due::Event(TurnEvent::Retired { seat, name }) => self.ledger.retired(seat, name),
                Due::Event(event) => self.ledger.report(event),
            }
        }
    }

    /// Returns whether the grant of this turn waits for the store, so that nobody may know of it yet.
    #[cfg(feature = "status")]
    pub(crate) fn is_untold(&self, seat: SeatId, turn: TurnNumber) -> bool {
        self.outbox.as_ref().is_some_and(|outbox| outbox.is_untold(seat, turn))
    }

    /// Tells the client of `seat`, which is back, about a turn that waits for the store. Its welcome comes
    /// first.
    pub(super) fn grant_behind_welcome(&mut self, seat: SeatId) {
        let Some((outbox, held)) = self.outbox.as_mut().zip(self.table.scheduler.held_by(seat)) else {
            return;
        };
        if outbox.is_untold(seat, held.turn) {
            outbox.push_grant(Grant { seat, turn: held.turn });
        }
    }

    /// Tells the holder about its stored turn and starts the clock, unless the turn is over by now.
    fn grant_recorded(&mut self, now: Now, grant: Grant, links: &mut Links) {
        let Grant { seat, turn } = grant;
        let held = self.table.scheduler.held_by(seat).filter(|held| held.turn == turn);
        if held.is_none_or(|held| held.clock != HeldClock::Unreleased) {
            return;
        }
        match self.table.scheduler.data(seat).and_then(|data| data.client) {
            Some(_) => {
                if let Some(late) = self.tell_granted(now, grant, links) {
                    self.apply_late_answer(now, late, links);
                }
            }
            None => self.clock_starts_untold(now, seat),
        }
    }

    /// Tells these hearers about a turn whose holder has been told.
    fn announce_recorded_begin(
        &mut self,
        now: Now,
        grant: &Grant,
        hearers: &[ConnectionId],
        links: &mut Links,
    ) {
        let Some(named_ring) = self.table.scheduler.data(grant.seat).map(|data| data.named_ring) else {
            return;
        };
        let Some((turn, within)) = self.time_left(now, grant.seat).filter(|(turn, _)| *turn == grant.turn)
        else {
            return;
        };
        let name = self.table.name_of(grant.seat).to_string();
        let still_hear = &self.table.named_rings.get(named_ring).hearers;
        for &id in hearers.iter().filter(|id| still_hear.contains(id)) {
            say_now(id, &Reply::Begin { name: &name, turn, within }, links);
        }
    }

    /// Starts the clock of a turn whose holder went away before it was told, unless the store is still
    /// awaited. Otherwise it could come and go for ever without losing the turn.
    pub(super) fn clock_starts_untold(&mut self, now: Now, seat: SeatId) {
        let Some(outbox) = &self.outbox else { return };
        if let Some(held) = self.table.scheduler.held_by(seat).filter(|held| held.absent)
            && !outbox.is_untold(seat, held.turn)
        {
            self.table.scheduler.start(now.instant, seat, held.turn);
        }
    }

    /// Waits for the store until `until`, the last thing that a stopping server does.
    pub(super) fn wait_for_store(&mut self, until: Instant) {
        if let Some(outbox) = self.outbox.as_mut().filter(|outbox| !outbox.is_empty()) {
            outbox.give_up_at = Some(until);
        }
    }

    /// Drops everything that still waits when the store's time is up, and closes the connections.
    pub(super) fn give_up_on_store(&mut self, now: Now, links: &mut Links) {
        let Some(outbox) =
            self.outbox.as_mut().filter(|outbox| outbox.give_up_at.is_some_and(|at| at <= now.instant))
        else {
            return;
        };
        outbox.give_up_at = None;
        for id in outbox.clear() {
            links.let_all_go(id);
            say_now(id, &Reply::Bye { code: Bye::ShuttingDown, at: None, words: None }, links);
            links.close(id);
        }
        self.settle_due(now.instant);
    }
}

/// Like [`TurnServer::say`], for a reply that borrows from the server.
#[inline]
pub(super) fn say(outbox: &mut Option<Box<Outbox>>, id: ConnectionId, reply: &Reply<'_>, links: &mut Links) {
    match outbox {
        Some(outbox) if outbox.holds(id, reply) => {
            let mut bytes = Vec::new();
            reply.encode(&mut bytes);
            outbox.push_of(id, Due::Line(id, bytes.into()), links);
        }
        _ => say_now(id, reply, links),
    }
}

/// Sends a message to a line client at once, whatever else waits.
#[inline]
pub(super) fn say_now(id: ConnectionId, reply: &Reply<'_>, links: &mut Links) {
    reply.encode(links.draft());
    links.send_draft(id);
}
