//! Carries out what the scheduler has decided, in the order in which clients are to hear of it.

use log::info;

use super::codes::Skipped;
use super::reply::Reply;
use super::seat::SeatData;
use super::server::{Drain, TurnServer};
use super::{Answer, Framing, Shown, TurnEvent};
use crate::protocol::{ConnectionId, Links};
use crate::time::Now;
use crate::turn::{Ended, Grant, Outcome, Output, SeatId};

impl TurnServer {
    /// Carries out what the scheduler has decided.
    pub(super) fn pump(&mut self, now: Now, links: &mut Links) {
        while let Some(output) = self.scheduler.poll_output() {
            match &output {
                Output::HandOver { ended, granted } => {
                    self.hand_over(now, ended.as_ref(), granted.as_ref(), links);
                }
                Output::Retired { seat, data } => self.forget(*seat, data),
            }
        }
        if let Drain::Until(deadline) = self.drain
            && (now.instant >= deadline || self.scheduler.is_drained())
        {
            self.drain = Drain::Done;
            self.dismiss_all(now, links);
        }
    }

    /// T25: first the next holder hears that it may go, then the last one how its turn ended, then the observers; but
    /// on one connection an answer is confirmed before the next turn begins.
    fn hand_over(&mut self, now: Now, ended: Option<&Ended>, granted: Option<&Grant>, links: &mut Links) {
        let Some(ended) = ended else {
            return granted.into_iter().for_each(|granted| self.tell_granted(now, granted, links));
        };
        let client = self.note(ended);
        let one_connection = granted.is_some_and(|granted| granted.seat == ended.seat);
        if one_connection {
            self.tell_ended(client, ended, links);
        }
        if let Some(granted) = granted {
            self.tell_granted(now, granted, links);
        }
        if !one_connection {
            self.tell_ended(client, ended, links);
        }
        if self.config.framing == Framing::Line {
            self.tell_observers(ended, links);
        }
    }

    fn tell_granted(&mut self, now: Now, grant: &Grant, links: &mut Links) {
        let &Grant { seat, turn, deadline, .. } = grant;
        self.report(TurnEvent::Granted { seat, turn, deadline });
        let Some(id) = self.scheduler.data(seat).and_then(|data| data.client) else { return };
        match self.config.framing {
            Framing::Raw => self.raw_granted(now, id, grant, links),
            Framing::Line => self.line_granted(now, id, turn, deadline, links),
        }
        // Also before what was queued for the last holder earlier in the pass.
        links.hurry(id);
    }

    fn tell_ended(&mut self, client: Option<ConnectionId>, ended: &Ended, links: &mut Links) {
        match (client, self.config.framing) {
            (Some(id), Framing::Line) => Self::line_ended(id, ended, links),
            // Who has answered had been told that it may.
            (Some(_), Framing::Raw) if matches!(ended.outcome, Outcome::Answered(_)) => {}
            (Some(id), Framing::Raw) => self.raw_ended(id),
            (None, _) => {}
        }
    }

    /// Counts and reports a turn that ended; who sits on its seat.
    fn note(&mut self, ended: &Ended) -> Option<ConnectionId> {
        let &Ended { seat, turn, outcome } = ended;
        let data = self.scheduler.data(seat)?;
        let client = data.client;
        match (Skipped::of(outcome), data.name_ref()) {
            (Ok(number), Some(&name)) => {
                self.counts.accepted += 1;
                self.report(TurnEvent::Accepted { seat, turn, name, number });
            }
            (Ok(_), None) => debug_assert!(false, "an answer has a name"),
            (Err(how), name) => {
                match how {
                    Skipped::Passed => self.counts.passed += 1,
                    Skipped::Lapsed => self.counts.lapsed += 1,
                    Skipped::Gone => self.counts.gone += 1,
                }
                let name = name.copied();
                if how == Skipped::Lapsed {
                    info!("{} lapsed", Shown(seat, name));
                }
                self.report(TurnEvent::Skipped { seat, turn, name, how });
            }
        }
        client
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
        self.report(TurnEvent::Retired { seat, name: data.name() });
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
