//! The host's methods, for any pass and any ring. Each is carried out at once, in order with the rest.

use std::time::Duration;

use log::warn;

use super::carry::Accepted;
use super::proposal::{Open, Proposal, Then, Unruled, Verdict};
use super::server::{Session, TurnServer};
use super::{Admit, TurnConfigError, TurnEvent};
use crate::protocol::{ConnectionId, Links, is_shown};
use crate::session::line::{Role, Wants};
use crate::session::{Bye, Code, Name, Reply};
use crate::table::{LastAnswer, SeatData};
use crate::time::Now;
use crate::turn::{HostError, RingId, Rules, SeatId, TurnNumber};

/// Judging.
impl TurnServer {
    /// Rules on an answer. What the host has said before, by [`say_to_ring`](Self::say_to_ring) and the like, stands before the next `GO`.
    ///
    /// # Errors
    ///
    /// [`HostError::NotJudged`], when the turn is over; otherwise `next` cannot be next, and the proposal is given back to be ruled on.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::{Links, turns::{Proposal, TurnServer, Unruled, Verdict}};
    /// # use taketurns::{time::Now, turn::SeatId};
    /// # fn act(server: &mut TurnServer, now: Now, links: &mut Links, proposal: Proposal) -> Result<(), Unruled> {
    /// // Only numbers count. A number above 100 gives the same seat another turn.
    /// let (seat, number) = (proposal.seat(), proposal.answer().number());
    /// let verdict = match number {
    ///     Some(number) => Verdict::Accept { next: (number > 100).then_some(seat), words: None },
    ///     None => Verdict::Refuse { words: "a number, please" },
    /// };
    /// server.rule(now, proposal, verdict, links)?;
    /// # Ok(()) }
    /// ```
    pub fn rule(
        &mut self,
        now: Now,
        proposal: Proposal,
        verdict: Verdict<'_>,
        links: &mut Links,
    ) -> Result<(), Unruled> {
        let (seat, turn) = (proposal.seat(), proposal.turn());
        let is_open = self.proposals.get_mut(seat).is_some_and(|open| open.turn == turn);
        if !is_open {
            return Err(Unruled { error: HostError::NotJudged, proposal: None });
        }
        match verdict {
            Verdict::Accept { next, words } => self.accept(now, proposal, next, words, links),
            Verdict::Refuse { words } => {
                if let Some(open) = self.proposals.take(seat) {
                    self.refuse_proposal(now, seat, &open, (Code::Refused, Some(words)), links);
                }
                Ok(())
            }
        }
    }

    fn accept(
        &mut self,
        now: Now,
        proposal: Proposal,
        next: Option<SeatId>,
        words: Option<&str>,
        links: &mut Links,
    ) -> Result<(), Unruled> {
        let (seat, turn) = (proposal.seat(), proposal.turn());
        let judged = self.table.scheduler.judged(seat, turn);
        let moved = match judged.and_then(|judged| judged.accept(now.instant, next)) {
            Ok(moved) => moved,
            Err(error) => return Err(Unruled { error, proposal: Some(proposal) }),
        };
        let Some(open) = self.proposals.take(seat) else { return Ok(()) };
        if let Some(line) = self.table.scheduler.data_mut(seat).and_then(SeatData::line_identity_mut) {
            line.last = Some(LastAnswer { turn, mark: open.mark });
        } else if let Some(id) = self.table.scheduler.data(seat).and_then(|data| data.client)
            && let Some(Session::Raw(raw)) = self.sessions.get_mut(id)
        {
            raw.strikes = 0;
        }
        let (message, name) = proposal.message();
        let answer = Accepted { message, name, words, replies: open.replies };
        self.carry_out(now, moved, Some(answer), links);
        self.carry_out_then(now, seat, open.then, links);
        Ok(())
    }

    /// The answer does not count: the holder hears why, and its clock goes on.
    fn refuse_proposal(
        &mut self,
        now: Now,
        seat: SeatId,
        open: &Open,
        (code, words): (Code, Option<&str>),
        links: &mut Links,
    ) {
        let Ok(judged) = self.table.scheduler.judged(seat, open.turn) else { return };
        let moved = judged.refuse(now.instant);
        let client = self.table.scheduler.data(seat).and_then(|data| data.client);
        if let Some(id) = client {
            self.tell_refused(now, id, seat, open, (code, words), links);
        }
        self.carry_out(now, moved, None, links);
        if let Some(id) = client {
            self.strike(now, id, moved.ended.is_none(), links);
        }
        self.carry_out_then(now, seat, open.then, links);
    }

    /// A raw client hears `GO` again, if the turn is still its own, or has been refused once too often.
    fn strike(&mut self, now: Now, id: ConnectionId, goes_on: bool, links: &mut Links) {
        match self.sessions.get(id) {
            Some(Session::Raw(_)) if goes_on => self.raw_strike(now, id, links),
            Some(Session::Raw(_)) => _ = self.raw_is_struck_out(now, id, links),
            _ => {}
        }
    }

    fn tell_refused(
        &mut self,
        now: Now,
        id: ConnectionId,
        seat: SeatId,
        open: &Open,
        (code, words): (Code, Option<&str>),
        links: &mut Links,
    ) {
        if !matches!(self.sessions.get(id), Some(Session::Line(_))) {
            return;
        }
        let turn = open.turn.get();
        let left = self.time_left(now, seat).filter(|(held, _)| held.get() == turn);
        let no = Reply::No { code, turn: Some(turn), within: left.map(|(_, within)| within), words };
        for _ in 0..open.replies {
            TurnServer::say(id, &no, links);
        }
    }

    /// Carries out what was put off until the turn of `seat` has moved on: its client left while its answer was judged, say.
    pub(super) fn carry_out_then(&mut self, now: Now, seat: SeatId, then: Then, links: &mut Links) {
        let id = self.table.scheduler.data(seat).and_then(|data| data.client);
        match then {
            Then::Stay => {}
            Then::Rest => self.carry_out_rest(now, seat, links),
            Then::Leave => match id {
                Some(id) => self.line_left_for_good(now, id, seat, links),
                None => self.retire_seat(now, seat, links),
            },
            Then::Remove => self.remove_now(now, seat, links),
        }
    }

    /// Refuses the answers whose proposals the host has dropped without a verdict.
    pub(super) fn refuse_dropped(&mut self, now: Now, links: &mut Links) {
        self.proposals.may_be_dropped = false;
        while let Some((seat, open)) = self.proposals.take_dropped() {
            self.note_not_judged(seat, open.turn);
            self.refuse_proposal(now, seat, &open, (Code::NotJudged, None), links);
        }
        self.settle_due(now.instant);
    }

    /// Refuses an answer that is still judged when the server stops.
    pub(super) fn refuse_unjudged(&mut self, now: Now, seat: SeatId, links: &mut Links) {
        if let Some(open) = self.proposals.take(seat) {
            self.note_not_judged(seat, open.turn);
            self.refuse_proposal(now, seat, &open, (Code::NotJudged, None), links);
        }
    }

    /// Logs, counts and reports an answer that ends without the host's verdict (M4).
    pub(super) fn note_not_judged(&mut self, seat: SeatId, turn: TurnNumber) {
        let nth = &mut self.ledger.counts.not_judged;
        *nth += 1;
        if is_shown(*nth) {
            warn!("{seat}: the answer to turn {turn} ends without a verdict of the host's ({nth} so far)");
        }
        self.ledger.report(TurnEvent::NotJudged { seat, turn });
    }
}

/// Turns.
impl TurnServer {
    /// Ends the turn that is held in `ring`; its holder hears `LAPSED` with `how=skipped`.
    ///
    /// # Errors
    ///
    /// When no turn is held.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::{Links, turns::TurnServer};
    /// # use taketurns::{time::Now, turn::HostError};
    /// # fn act(server: &mut TurnServer, now: Now, links: &mut Links) -> Result<(), Box<dyn std::error::Error>> {
    /// let ring = server.ring_named(&"main".parse()?).ok_or(HostError::UnknownRing)?;
    /// server.skip(now, ring, links)?;
    /// # Ok(()) }
    /// ```
    pub fn skip(&mut self, now: Now, ring: RingId, links: &mut Links) -> Result<(), HostError> {
        let moved = self.table.scheduler.skip(now.instant, ring)?;
        self.carry_out(now, moved, None, links);
        Ok(())
    }

    /// Names the seat that gets the next turn: one that waits, or the holder. The order goes on after that turn.
    ///
    /// # Errors
    ///
    /// When the seat rests, is away, or does not exist.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::{Links, turns::TurnServer};
    /// # use taketurns::{time::Now, turn::HostError};
    /// # fn act(server: &mut TurnServer, now: Now, links: &mut Links) -> Result<(), Box<dyn std::error::Error>> {
    /// let bob = server.seat_named(&"main".parse()?, &"bob".parse()?).ok_or(HostError::UnknownSeat)?;
    /// match server.name_next(bob) {
    ///     Err(HostError::Away) => server.say_to_ring(&"main".parse()?, b"bob is not here", links),
    ///     named => named?,
    /// }
    /// # Ok(()) }
    /// ```
    pub fn name_next(&mut self, seat: SeatId) -> Result<(), HostError> {
        self.table.scheduler.name_next(seat)
    }

    /// Gives the turn that is held in `ring` more time; its holder hears `GO` with the new time.
    ///
    /// # Errors
    ///
    /// When no turn is held.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::{Links, turns::TurnServer};
    /// # use taketurns::{time::Now, turn::{HostError, RingId}};
    /// # fn act(server: &mut TurnServer, now: Now, links: &mut Links, ring: RingId) -> Result<(), HostError> {
    /// server.extend(now, ring, std::time::Duration::from_secs(30), links)?;
    /// # Ok(()) }
    /// ```
    pub fn extend(
        &mut self,
        now: Now,
        ring: RingId,
        by: Duration,
        links: &mut Links,
    ) -> Result<(), HostError> {
        self.table.scheduler.extend(now.instant, ring, by)?;
        if let Some((id, seat)) = self.line_holder(ring) {
            self.say_go(now, id, seat, links);
        }
        Ok(())
    }

    /// Pauses `ring`: the clock of its turn stands, and no other turn is granted. Its holder, which may still answer, and the hearers are told.
    ///
    /// # Errors
    ///
    /// When there is no such ring.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::{Links, turns::TurnServer};
    /// # use taketurns::{time::Now, turn::HostError};
    /// # fn act(server: &mut TurnServer, now: Now, links: &mut Links) -> Result<(), HostError> {
    /// // Everything stops for lunch.
    /// let rings: Vec<_> = server.scheduler().rings().collect();
    /// for ring in rings {
    ///     server.pause(now, ring, links)?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn pause(&mut self, now: Now, ring: RingId, links: &mut Links) -> Result<(), HostError> {
        if self.table.scheduler.is_paused(ring) {
            return Ok(());
        }
        self.table.scheduler.pause(now.instant, ring)?;
        self.tell_ring(ring, links, |ring| Reply::Paused { ring });
        Ok(())
    }

    /// Ends a pause: the clock of the turn goes on with what was left.
    ///
    /// # Errors
    ///
    /// When there is no such ring.
    pub fn resume(&mut self, now: Now, ring: RingId, links: &mut Links) -> Result<(), HostError> {
        if !self.table.scheduler.is_paused(ring) {
            return if self.table.scheduler.has_ring(ring) { Ok(()) } else { Err(HostError::UnknownRing) };
        }
        let moved = self.table.scheduler.resume(now.instant, ring)?;
        self.tell_ring(ring, links, |ring| Reply::Resumed { ring });
        if let Some((id, seat)) = self.line_holder(ring).filter(|_| moved.granted.is_none()) {
            self.say_go(now, id, seat, links);
        }
        self.carry_out(now, moved, None, links);
        Ok(())
    }

    /// The holder of the turn in `ring`, if it speaks lines.
    fn line_holder(&self, ring: RingId) -> Option<(ConnectionId, SeatId)> {
        let seat = self.table.scheduler.held(ring)?.seat;
        let id = self.table.scheduler.data(seat)?.client?;
        matches!(self.sessions.get(id), Some(Session::Line(_))).then_some((id, seat))
    }

    /// Tells the holder and the hearers of a ring something about it.
    fn tell_ring(&mut self, ring: RingId, links: &mut Links, reply: impl for<'n> Fn(&'n str) -> Reply<'n>) {
        let Some(room) = self.table.rooms.of_ring(ring) else { return };
        let name = self.table.rooms.room(room).name;
        if let Some((id, _)) = self.line_holder(ring)
            && !self.table.rooms.room(room).hearers.contains(&id)
        {
            TurnServer::say(id, &reply(name.as_str()), links);
        }
        self.hear(room, &reply(name.as_str()), links);
    }

    /// Sets the rules of the ring `name`, whether or not it exists. Turns and seats that it has keep theirs.
    ///
    /// # Errors
    ///
    /// When no turn could ever be granted by these rules, or none be judged. Nothing has changed then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::{Links, turns::{TurnConfigError, TurnServer}};
    /// # use taketurns::{time::Now, turn::{Demand, Demands, Rules}};
    /// # fn act(server: &mut TurnServer, now: Now, links: &mut Links, lock: taketurns::protocol::turns::Name) -> Result<(), TurnConfigError> {
    /// // One ring is a lock: its seats rest until they ask, and one is enough.
    /// let mut rules = Rules::default();
    /// (rules.min_seats, rules.demands) = (1, Demands::Only(Demand::Ask));
    /// server.set_rules(now, lock, rules, links)?;
    /// # Ok(()) }
    /// ```
    pub fn set_rules(
        &mut self,
        now: Now,
        name: Name,
        rules: Rules,
        links: &mut Links,
    ) -> Result<(), TurnConfigError> {
        self.config.check_rules(&rules)?;
        if let Some(ring) = self.table.ring_named(&name) {
            let moved = self.table.scheduler.set_rules(now.instant, ring, rules.clone())?;
            self.carry_out(now, moved, None, links);
        }
        self.table.rooms.set_rules(name, rules);
        Ok(())
    }
}

/// Seats.
impl TurnServer {
    /// Removes a seat: its client hears `BYE removed`, its secret is worth nothing, and its name is refused for the ring's
    /// `seat_grace`, or until [`lift`](Self::lift). While its answer is judged, that happens after the verdict.
    ///
    /// # Errors
    ///
    /// When there is no such seat.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::{Links, turns::TurnServer};
    /// # use taketurns::{time::Now, turn::HostError};
    /// # fn act(server: &mut TurnServer, now: Now, links: &mut Links) -> Result<(), Box<dyn std::error::Error>> {
    /// let (main, ann) = ("main".parse()?, "ann".parse()?);
    /// let seat = server.seat_named(&main, &ann).ok_or(HostError::UnknownSeat)?;
    /// server.remove(now, seat, links)?;
    /// // A second chance, at once.
    /// server.lift(now, &main, &ann);
    /// # Ok(()) }
    /// ```
    pub fn remove(&mut self, now: Now, seat: SeatId, links: &mut Links) -> Result<(), HostError> {
        if self.table.scheduler.data(seat).is_none() {
            return Err(HostError::UnknownSeat);
        }
        if !self.proposals.defer(seat, Then::Remove) {
            self.remove_now(now, seat, links);
        }
        Ok(())
    }

    fn remove_now(&mut self, now: Now, seat: SeatId, links: &mut Links) {
        let Some(data) = self.table.scheduler.data(seat) else { return };
        let (client, room, name) = (data.client, data.room, data.name().copied());
        let grace = self.table.scheduler.rules(seat.ring()).map_or(Duration::ZERO, |rules| rules.seat_grace);
        if let Some(name) = name {
            self.table.rooms.remove_name(now.instant, room, name, now.instant + grace);
        }
        self.retire_seat(now, seat, links);
        if let Some(id) = client {
            self.dismiss(now, id, Bye::Removed, links);
        }
    }

    /// Lets a name that was [removed](Self::remove) join `ring` again.
    pub fn lift(&mut self, now: Now, ring: &Name, name: &Name) {
        if let Some(room) = self.table.rooms.find(ring) {
            self.table.rooms.room_mut(room).removed.remove(name);
            self.table.rooms.tidy(now.instant, room);
        }
    }

    /// Closes a connection with `BYE forbidden` and words. A seat that it has is away.
    pub fn forbid(&mut self, now: Now, id: ConnectionId, words: &str, links: &mut Links) {
        self.dismiss_with(now, id, Bye::Forbidden, Some(words), links);
    }

    /// Admits a client that [waits for the host](super::TurnEvent::Joining), on the host's terms. Nothing happens if it does not wait any more.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::{Links, turns::{Admit, Joining, TurnServer}};
    /// # use taketurns::{time::Now, turn::Weight};
    /// # fn act(server: &mut TurnServer, now: Now, links: &mut Links, joining: &Joining) -> Result<(), std::convert::Infallible> {
    /// let mut terms = Admit::default();
    /// match joining.token.as_deref() {
    ///     Some("staff") => terms.weight = Weight::new(3),
    ///     Some(_) => {}
    ///     None => {
    ///         server.forbid(now, joining.connection, "show a token", links);
    ///         return Ok(());
    ///     }
    /// }
    /// server.say_to(joining.connection, b"welcome", links);
    /// server.admit(now, joining.connection, &terms, links);
    /// # Ok(()) }
    /// ```
    pub fn admit(&mut self, now: Now, id: ConnectionId, admit: &Admit, links: &mut Links) {
        let until = now.instant + self.config.hello_timeout;
        let Some(session) = self.line(id).filter(|session| matches!(session.role, Role::Admitting(_))) else {
            return;
        };
        let Role::Admitting(admitting) = std::mem::replace(&mut session.role, Role::Newcomer { until })
        else {
            return;
        };
        self.line_rearm(id);
        match admitting.wants {
            Wants::Hear(ring) => self.line_watch(id, ring, &admitting.words, links),
            Wants::Seat(mut seating) => {
                seating.weight = admit.weight.map(|weight| weight.value().into()).or(seating.weight);
                seating.demand = admit.demand.or(seating.demand);
                seating.hears = admit.hears.unwrap_or(seating.hears);
                seating.owns_name = admit.owns_name;
                if let Err(no) = self.line_sit_down(now, id, &seating, &admitting.words, links) {
                    self.line_refuse(now, id, "JOIN", no, links);
                }
            }
        }
        links.reread(id);
    }

    // Words.

    /// Says something to the client of `seat`, if it is there and speaks lines: on the line if it fits, else as a payload.
    pub fn say_to_seat(&mut self, seat: SeatId, content: &[u8], links: &mut Links) {
        if let Some(id) = self.table.scheduler.data(seat).and_then(|data| data.client) {
            self.say_to(id, content, links);
        }
    }

    /// Says something to a connection that speaks lines. One that waits to be admitted hears it right behind its welcome.
    pub fn say_to(&mut self, id: ConnectionId, content: &[u8], links: &mut Links) {
        let Some(session) = self.line(id) else { return };
        match &mut session.role {
            Role::Admitting(admitting) => admitting.words.push(content.into()),
            _ => TurnServer::say(id, &Reply::Say { content }, links),
        }
    }

    /// Says something to all that hear the ring `name`: observers, and seats that joined with `hear=turns`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use taketurns::protocol::{Links, turns::{InvalidName, TurnServer}};
    /// # use taketurns::time::Now;
    /// # fn act(server: &mut TurnServer, now: Now, links: &mut Links) -> Result<(), InvalidName> {
    /// server.say_to_ring(&"main".parse()?, "the board:\n...\n...\n...".as_bytes(), links);
    /// # Ok(()) }
    /// ```
    pub fn say_to_ring(&mut self, name: &Name, content: &[u8], links: &mut Links) {
        if let Some(room) = self.table.rooms.find(name) {
            self.hear(room, &Reply::Say { content }, links);
        }
    }
}
