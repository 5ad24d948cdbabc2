//! How line clients come and go: they join, resume, watch and leave, and make room for each other.

use std::net::{IpAddr, Ipv4Addr};

use super::access::{self, Claim};
use super::line::No;
use super::proposal::AfterTurn;
use super::recording::say;
use super::server::{Session, TurnServer};
use super::{Admission, Joining, TurnEvent};
use crate::protocol::{ConnectionId, Links};
use crate::session::line::{Admitting, Confirm, LineSession, Role, Seating, Wants};
use crate::session::raw::Trial;
use crate::session::{Bye, Join, Name, Reply, ReportedState, Secret, Token};
use crate::table::{AdmissionTerms, JoinRequest, LineIdentity, NamedRingId, NoSeat, SeatData};
use crate::time::Now;
use crate::turn::{SeatId, SeatState, SeatView, TurnNumber};

/// The words of `name-taken` if the seat's client is lost: the one that joins may be that client.
const NAME_IS_KEPT: &str =
    "that name is kept for its client, who resumes with its secret; else wait, or take another name";

impl TurnServer {
    pub(super) fn line_join(
        &mut self,
        now: Now,
        id: ConnectionId,
        join: &Join<'_>,
        links: &mut Links,
    ) -> Result<(), No> {
        let Some(terms) = self.line_access(now, id, join.ring, Some(join.name), join.token, links) else {
            return Ok(());
        };
        let seating = Seating { terms, ..Seating::of(join) };
        if join.resume.is_none() {
            // A refusal that leaves the connection open must come before the host is asked.
            if let Err(NoSeat::No(code, why)) = self.table.may_join(now.instant, &join_request(&seating)) {
                return Err((code, Some(why)));
            }
        }
        if self.config.admission == Admission::Host {
            let joining = Joining::of(id, join);
            self.line_admitting(now, id, Wants::Seat(seating), joining);
            return Ok(());
        }
        self.line_sit_down(now, id, &seating, &[], links)
    }

    /// Returns the terms that the rules have for a client. This check comes before all others, so that a
    /// client that is not admitted learns nothing before it is closed.
    fn line_access(
        &mut self,
        now: Now,
        id: ConnectionId,
        ring: Name,
        name: Option<Name>,
        token: Option<Token<'_>>,
        links: &mut Links,
    ) -> Option<AdmissionTerms> {
        let Some(access) = &mut self.access else { return Some(AdmissionTerms::default()) };
        let claim = Claim { ring, name, token: token.map(access::digest) };
        match access.check(&claim, links.transport(id)) {
            Ok(terms) => {
                access.admitted.insert(id, claim);
                Some(terms)
            }
            Err(why) => {
                self.forbid(now, id, why, links);
                None
            }
        }
    }

    /// Gives the client its seat, or tells it why it gets none.
    pub(super) fn line_sit_down(
        &mut self,
        now: Now,
        id: ConnectionId,
        seating: &Seating,
        words: &[Box<[u8]>],
        links: &mut Links,
    ) -> Result<(), No> {
        match seating.resume {
            Some(secret) => self.line_resume(now, id, seating, secret.ok(), words, links),
            None => return self.line_take_seat(now, id, seating, words, links),
        }
        Ok(())
    }

    fn line_take_seat(
        &mut self,
        now: Now,
        id: ConnectionId,
        seating: &Seating,
        words: &[Box<[u8]>],
        links: &mut Links,
    ) -> Result<(), No> {
        let address = address_of(id, links);
        let request = join_request(seating);
        // Only a client that will get a seat may cost another one its place.
        if self.table.may_join(now.instant, &request).is_ok() {
            // A seat whose client was never told about it, or whose name now belongs to another client.
            if let Some(before) = self.table.seat_named(&seating.ring, &seating.name) {
                self.retire_seat(now, before, links);
            }
            self.vacate_silent(now, &seating.ring, links);
            if self.table.has_room_for(address, &seating.ring) {
                self.make_room(now, &seating.ring, links);
            }
        }
        match self.table.join(now.instant, id, address, &request) {
            Ok((seat, secret, moved)) => {
                self.note_joined(seat);
                let hears = self.line_seated(id, seat, seating, secret, words, links);
                self.announce_seat(seat, links, |name| Reply::Joined { name, seat: seat.place() });
                self.line_hears(id, hears);
                let is_granted = moved.granted.is_some_and(|granted| granted.seat == seat);
                if !is_granted {
                    self.line_waits(id, seat, links);
                }
                self.apply_move(now, moved, None, links);
                Ok(())
            }
            Err(NoSeat::No(code, why)) => Err((code, Some(why))),
            Err(NoSeat::Bye(bye)) => {
                if matches!(bye, Bye::Full | Bye::RingFull) {
                    self.ledger.counts.turned_away += 1;
                }
                let seat = self.table.seat_named(&seating.ring, &seating.name);
                let has_lost_client = seat
                    .and_then(|seat| self.table.scheduler.data(seat))
                    .is_some_and(|data| data.client.is_none());
                let is_kept = bye == Bye::NameTaken && has_lost_client;
                self.say_goodbye(now, id, bye, None, is_kept.then_some(NAME_IS_KEPT), links);
                Ok(())
            }
        }
    }

    /// L10: retires a client on trial that let its turn lapse, such as a port scanner, when a full ring needs
    /// its place.
    pub(super) fn vacate_silent(&mut self, now: Now, ring: &Name, links: &mut Links) {
        let Some(of) = self.table.ring_named(ring).filter(|_| self.table.is_full(ring)) else { return };
        let silent = self.table.scheduler.seats_of(of).filter_map(|view| view.data.client).find(
            |&id| matches!(self.sessions.get(id), Some(Session::Raw(raw)) if raw.trial == Trial::Resting),
        );
        if let Some(silent) = silent {
            self.dismiss(now, silent, Bye::RingFull, links);
        }
    }

    /// Makes room for one more seat by retiring the seat that has been away for longest, or by forgetting the
    /// ring that was deserted first.
    pub(super) fn make_room(&mut self, now: Now, ring: &Name, links: &mut Links) {
        let config = self.table.scheduler.config();
        if self.table.scheduler.seats() >= config.max_seats
            && let Some(seat) = self.table.scheduler.longest_away()
        {
            self.retire_seat(now, seat, links);
        }
        let rings = self.table.scheduler.rings().count();
        if self.table.ring_named(ring).is_none()
            && rings >= self.table.scheduler.config().max_rings
            && let Some(deserted) = self.table.scheduler.longest_deserted()
        {
            let seats: Vec<_> = self.table.scheduler.seats_of(deserted).map(|view| view.seat).collect();
            seats.into_iter().for_each(|seat| self.retire_seat(now, seat, links));
        }
    }

    /// T22: the seat moves to this connection, in its old place, even if the old connection still seems
    /// alive.
    fn line_resume(
        &mut self,
        now: Now,
        id: ConnectionId,
        seating: &Seating,
        secret: Option<Secret>,
        words: &[Box<[u8]>],
        links: &mut Links,
    ) {
        let resumed = self.table.resume(id, &seating.ring, &seating.name, secret);
        let Some((seat, fresh, old)) = resumed else {
            return self.dismiss(now, id, Bye::BadSecret, links);
        };
        if let Some(old) = old {
            self.dismiss(now, old, Bye::Superseded, links);
        }
        let was_away = old.is_none();
        let held = self.time_left(now, seat);
        let moved = self.table.scheduler.occupy(now.instant, seat);
        self.note_seat(seat);
        if let Some(open) = self.proposals.get_mut(seat) {
            open.replies = 1;
        }
        let hears = self.line_seated(id, seat, seating, fresh, words, links);
        if was_away {
            self.announce_seat(seat, links, |name| Reply::Back { name });
        }
        self.line_hears(id, hears);
        let is_granted = moved.granted.is_some_and(|granted| granted.seat == seat);
        let is_judged = self.proposals.get_mut(seat).is_some();
        match held {
            _ if is_granted || is_judged => {}
            Some(_) => self.say_go(now, id, seat, links),
            None if self.table.scheduler.held_by(seat).is_some() => self.grant_behind_welcome(seat),
            None => self.line_waits(id, seat, links),
        }
        self.apply_move(now, moved, None, links);
    }

    /// Tells the connection about its seat and the others in its ring, and tells hearers about the newcomer.
    /// Returns the ring that the client wants to hear.
    fn line_seated(
        &mut self,
        id: ConnectionId,
        seat: SeatId,
        seating: &Seating,
        resume: Secret,
        words: &[Box<[u8]>],
        links: &mut Links,
    ) -> Option<NamedRingId> {
        let hears = seating.hears.then(|| self.table.named_rings.find_or_make(seating.ring));
        self.line_become(id, Role::Seated { seat, hears });
        if let Some(session) = self.line(id).filter(|_| seating.confirms_by_go) {
            session.confirm = Confirm::ByGo { is_owed: false };
        }
        let line = self.table.scheduler.data(seat).and_then(SeatData::line_identity);
        let last = line.and_then(|line: &LineIdentity| line.last).map(|last| last.turn);
        let judging = self.proposals.get_mut(seat).map(|open| open.turn);
        let welcome = Reply::Welcome {
            name: seating.name.as_str(),
            seat: seat.place(),
            ring: seating.ring.as_str(),
            epoch: self.table.epoch,
            resume,
            last,
            judging,
        };
        self.say(id, &welcome, links);
        self.report(TurnEvent::Seated { seat, connection: id });
        if let Some(named_ring) = hears {
            self.say_roster(id, named_ring, links);
        }
        self.line_welcomed(id, words, links);
        hears
    }

    /// Makes the client on `id` a hearer of `named_ring`, if there is one.
    fn line_hears(&mut self, id: ConnectionId, named_ring: Option<NamedRingId>) {
        if let Some(named_ring) = named_ring {
            self.table.named_rings.add_hearer(named_ring, id);
        }
    }

    /// Sends the host's words, right after the welcome.
    fn line_welcomed(&mut self, id: ConnectionId, words: &[Box<[u8]>], links: &mut Links) {
        for content in words {
            self.say(id, &Reply::Say { content }, links);
        }
    }

    /// Tells a seat that begins to wait how many come first. A seat that rests is told nothing.
    fn line_waits(&mut self, id: ConnectionId, seat: SeatId, links: &mut Links) {
        if self.table.scheduler.is_waiting(seat) {
            self.say_wait(id, seat, links);
        }
    }

    pub(super) fn line_wants_to_watch(
        &mut self,
        now: Now,
        id: ConnectionId,
        ring: Name,
        token: Option<Token<'_>>,
        links: &mut Links,
    ) {
        if self.line_access(now, id, ring, None, token, links).is_none() {
            return;
        }
        if self.config.admission == Admission::Host {
            let joining = Joining::to_watch(id, ring, token);
            return self.line_admitting(now, id, Wants::Hear(ring), joining);
        }
        self.line_watch(id, ring, &[], links);
    }

    pub(super) fn line_watch(
        &mut self,
        id: ConnectionId,
        ring: Name,
        words: &[Box<[u8]>],
        links: &mut Links,
    ) {
        let named_ring = self.table.named_rings.find_or_make(ring);
        let turn =
            TurnNumber::new(self.table.scheduler.last_turn(self.table.named_rings.get(named_ring).ring));
        self.line_become(id, Role::Hearing(named_ring));
        let watching = Reply::Watching { ring: ring.as_str(), epoch: self.table.epoch, turn };
        self.say(id, &watching, links);
        self.say_roster(id, named_ring, links);
        self.line_welcomed(id, words, links);
        self.line_hears(id, Some(named_ring));
    }

    /// Tells a new hearer about the seats of a ring.
    fn say_roster(&mut self, id: ConnectionId, named_ring: NamedRingId, links: &mut Links) {
        let named_ring = self.table.named_rings.get(named_ring);
        let seats = named_ring.ring.map(|ring| self.table.scheduler.roster(ring)).unwrap_or_default();
        for view in seats.iter().take(self.config.roster_max) {
            let name = self.table.name_of(view.seat).to_string();
            say(&mut self.outbox, id, &seat_line(&name, view), links);
        }
        let seats = seats.len();
        say(&mut self.outbox, id, &Reply::Seats { ring: named_ring.name.as_str(), seats }, links);
    }

    /// Gives up a seat, which ends its turn. If its answer is being judged, this waits for the verdict.
    pub(super) fn line_leave(&mut self, now: Now, id: ConnectionId, seat: SeatId, links: &mut Links) {
        if !self.proposals.defer(seat, AfterTurn::Leave) {
            self.line_left_for_good(now, id, seat, links);
        }
    }

    pub(super) fn line_left_for_good(&mut self, now: Now, id: ConnectionId, seat: SeatId, links: &mut Links) {
        self.retire_seat(now, seat, links);
        self.dismiss(now, id, Bye::Left, links);
    }

    /// Cleans up after a line connection that was closed or dismissed.
    pub(super) fn line_left(
        &mut self,
        now: Now,
        id: ConnectionId,
        mut session: LineSession,
        links: &mut Links,
    ) {
        self.timers.remove(&mut session.alarm, id);
        match session.role {
            Role::Newcomer { .. } | Role::Admitting(_) => {}
            Role::Seated { seat, hears } => {
                if let Some(named_ring) = hears {
                    self.table.named_rings.remove_hearer(named_ring, id);
                }
                self.unseat(now, id, seat, links);
                if let Some(named_ring) = hears {
                    self.table.named_rings.tidy(now.instant, named_ring);
                }
            }
            Role::Hearing(named_ring) => {
                self.table.named_rings.remove_hearer(named_ring, id);
                self.table.named_rings.tidy(now.instant, named_ring);
            }
        }
    }

    /// Asks the host whether to admit a client.
    fn line_admitting(&mut self, now: Now, id: ConnectionId, wants: Wants, joining: Joining) {
        let until = now.instant + self.config.hello_timeout;
        let admitting = Admitting { until, wants, words: Vec::new() };
        if let Some(session) = self.line(id) {
            session.role = Role::Admitting(Box::new(admitting));
            session.goes_on_until = None;
        }
        self.line_rearm(id);
        self.ledger.report(TurnEvent::Joining(Box::new(joining)));
    }
}

fn join_request(seating: &Seating) -> JoinRequest {
    let &Seating { name, ring, weight, demand, terms, .. } = seating;
    JoinRequest { name, ring, weight, demand, terms }
}

pub(super) fn address_of(id: ConnectionId, links: &Links) -> IpAddr {
    links.peer(id).map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip())
}

fn seat_line<'a>(name: &'a str, view: &SeatView<'_, SeatData>) -> Reply<'a> {
    let state = match view.state {
        SeatState::Waiting => ReportedState::Waiting,
        SeatState::Resting => ReportedState::Resting,
        SeatState::Holding => ReportedState::Holding,
        SeatState::Judged => ReportedState::Judged,
        SeatState::Away { .. } => ReportedState::Away,
    };
    let weight = Some(view.weight.value()).filter(|&weight| weight > 1);
    Reply::Seat { name, seat: view.seat.place(), state, weight }
}
