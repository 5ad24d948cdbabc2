//! Carries out what the scheduler has decided, in the order in which clients are to hear of it.

use log::info;

use super::codes::Skipped;
use super::name::Name;
use super::reply::Reply;
use super::seat::SeatData;
use super::server::{Drain, TurnServer};
use super::{Answer, Framing, Shown, TurnEvent};
use crate::hint::unlikely;
use crate::protocol::{ConnectionId, Links};
use crate::time::{Instant, Now};
use crate::turn::{Ended, Grant, HandOver, Outcome, Output, SeatId};

impl TurnServer {
    /// Carries out what the scheduler has decided.
    #[inline]
    pub(super) fn pump(&mut self, now: Now, links: &mut Links) {
        if unlikely(self.scheduler.has_output()) {
            self.carry_out_all(now, links);
        }
        if let Drain::Until(deadline) = self.drain {
            self.drain_until(now, deadline, links);
        }
    }

    #[inline(never)]
    fn carry_out_all(&mut self, now: Now, links: &mut Links) {
        while let Some(output) = self.scheduler.poll_output() {
            match output {
                Output::HandOver { ended, granted } => match self.config.framing {
                    Framing::Raw => self.raw_hand_over(now, &HandOver { ended, granted }, links),
                    Framing::Line => self.line_hand_over(now, ended, granted, links),
                },
                Output::Retired { seat, data } => self.forget(seat, &data),
            }
        }
    }

    #[cold]
    fn drain_until(&mut self, now: Now, deadline: Instant, links: &mut Links) {
        if now.instant >= deadline || self.scheduler.is_drained() {
            self.drain = Drain::Done;
            self.settle_due(now.instant);
            self.dismiss_all(now, links);
        }
    }

    /// T25: nobody but the next holder is told anything. A last holder that has not answered may still be waiting to be told of its turn.
    #[cold]
    fn raw_hand_over(&mut self, now: Now, hand_over: &HandOver, links: &mut Links) {
        if let Some(ended) = &hand_over.ended {
            self.note_ended(ended);
            if unlikely(!matches!(ended.outcome, Outcome::Answered(_)))
                && let Some(id) = self.client_on(ended.seat)
            {
                self.raw_ended(id);
            }
        }
        if let Some(grant) = &hand_over.granted {
            self.raw_grant(now, grant, links);
        }
    }

    /// The next holder is told that it may go.
    #[inline(always)]
    pub(super) fn raw_grant(&mut self, now: Now, grant: &Grant, links: &mut Links) {
        if let Some(id) = self.note_granted(grant) {
            self.raw_granted(now, id, grant, links);
        }
    }

    /// T25: first the next holder hears that it may go, then the last one how its turn ended, then the observers; but
    /// on one connection an answer is confirmed before the next turn begins.
    fn line_hand_over(&mut self, now: Now, ended: Option<Ended>, granted: Option<Grant>, links: &mut Links) {
        if let Some(ended) = &ended {
            self.note_ended(ended);
        }
        let client = ended.and_then(|ended| self.client_on(ended.seat));
        let one_connection =
            ended.is_some_and(|ended| granted.is_some_and(|granted| granted.seat == ended.seat));
        let tell_ended = |links: &mut Links| {
            if let (Some(id), Some(ended)) = (client, &ended) {
                TurnServer::line_ended(id, ended, links);
            }
        };
        if one_connection {
            tell_ended(links);
        }
        if let Some(grant) = granted
            && let Some(id) = self.note_granted(&grant)
        {
            self.line_granted(now, id, grant.turn, grant.deadline, links);
            links.hurry(id);
        }
        if !one_connection {
            tell_ended(links);
        }
        if let Some(ended) = &ended {
            self.tell_observers(ended, links);
        }
    }

    /// Reports a turn that began; who sits on its seat.
    #[inline(always)]
    fn note_granted(&mut self, grant: &Grant) -> Option<ConnectionId> {
        let &Grant { seat, turn, deadline, .. } = grant;
        self.ledger.report(TurnEvent::Granted { seat, turn, deadline });
        self.scheduler.data_at(seat.spot())?.client
    }

    fn client_on(&self, seat: SeatId) -> Option<ConnectionId> {
        self.scheduler.data(seat)?.client
    }

    /// Counts and reports a turn that ended.
    #[inline(always)]
    fn note_ended(&mut self, ended: &Ended) {
        let &Ended { seat, turn, outcome } = ended;
        let Some(data) = self.scheduler.data_at(seat.spot()) else { return };
        match (outcome, data.name_ref()) {
            (Outcome::Answered(number), Some(name)) => {
                self.ledger.accepted(seat, turn, name, number);
            }
            (_, name) => self.note_skipped(ended, name.copied()),
        }
    }

    #[cold]
    fn note_skipped(&mut self, ended: &Ended, name: Option<Name>) {
        let &Ended { seat, turn, outcome } = ended;
        let Err(how) = Skipped::of(outcome) else { return debug_assert!(false, "an answer has a name") };
        match how {
            Skipped::Passed => self.ledger.counts.passed += 1,
            Skipped::Lapsed => self.ledger.counts.lapsed += 1,
            Skipped::Gone => self.ledger.counts.gone += 1,
        }
        if how == Skipped::Lapsed {
            info!("{} lapsed", Shown(seat, name));
        }
        self.ledger.report(TurnEvent::Skipped { seat, turn, name, how });
    }

    fn tell_observers(&self, ended: &Ended, links: &mut Links) {
        let Some(data) = self.scheduler.data(ended.seat) else { return };
        let observers = &self.rooms.room(data.room).observers;
        let Some(name) = data.name().filter(|_| !observers.is_empty()) else { return };
        let turn = ended.turn;
        let reply = match Skipped::of(ended.outcome) {
            Ok(number) => Reply::Turn { turn, answer: Answer { name, number } },
            Err(how) => Reply::Skip { turn, name, how },
        };
        for &observer in observers {
            links.send_fmt(observer, format_args!("{reply}\n"));
        }
    }

    /// A seat left its ring: so does its name, and with the last one the ring.
    fn forget(&mut self, seat: SeatId, data: &SeatData) {
        self.ledger.report(TurnEvent::Retired { seat, name: data.name() });
        // Of seats that leave together, the first one finds their ring gone, and takes the room with it.
        let Some(room) = self.rooms.get_mut(data.room) else { return };
        if let Some(name) = data.name()
            && room.seats.get(&name) == Some(&seat)
        {
            room.seats.remove(&name);
        }
        if !self.scheduler.has_ring(seat.ring()) && room.ring == Some(seat.ring()) {
            room.ring = None;
            self.rooms.tidy(data.room);
        }
    }
}
