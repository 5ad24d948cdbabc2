//! The host's methods. They may be called in any pass, for any ring, and take effect at once.

use std::time::Duration;

use super::proposal::AfterTurn;
use super::server::{Session, TurnServer};
use super::{AccessRules, Admit, Framing, TurnConfigError};
use crate::protocol::{ConnectionId, Links};
use crate::session::line::{Role, Wants};
use crate::session::{Bye, Name, Reply};
use crate::table::AdmissionTerms;
use crate::target::Target;
use crate::time::Now;
use crate::turn::{HostError, RingId, Rules, SeatId};

/// Turns.
impl TurnServer {
    /// Ends the turn that is held in `ring`; its holder hears `LAPSED` with `how=skipped`.
    ///
    /// # Errors
    ///
    /// Returns [`HostError::NoTurn`] if no turn is held, and [`HostError::UnknownRing`] if there is no such
    /// ring.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// let ring = server.ring_named(&main).expect("Ann and Bob are in it");
    /// server.skip(now, ring, &mut links)?;
    /// assert!(hears(&links, ann).ends_with("LAPSED turn=1 how=skipped\n"));
    /// assert!(hears(&links, bob).starts_with("GO turn=2 within=30000\n"));
    /// # Ok(()) }
    /// ```
    pub fn skip(&mut self, now: Now, ring: RingId, links: &mut Links) -> Result<(), HostError> {
        let moved = self.table.scheduler.skip(now.instant, ring)?;
        self.apply_move(now, moved, None, links);
        Ok(())
    }

    /// Names the seat that gets the next turn: the holder, or a seat that waits. After that turn, the usual
    /// order continues.
    ///
    /// # Errors
    ///
    /// Returns [`HostError::Resting`], [`HostError::Away`] or [`HostError::UnknownSeat`] if the seat cannot
    /// be next.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// let again = server.seat_of(ann).expect("she has joined");
    /// server.name_next(again)?;
    /// server.handle_bytes(now, ann, b"ANSWER :e2 e4\n", &mut links);
    /// assert!(hears(&links, ann).ends_with("GO turn=2 within=30000\n"));
    /// # Ok(()) }
    /// ```
    pub fn name_next(&mut self, seat: SeatId) -> Result<(), HostError> {
        self.table.scheduler.name_next(seat)
    }

    /// Extends the turn that is held in `ring`; its holder hears `GO` with the new time.
    ///
    /// # Errors
    ///
    /// Returns [`HostError::NoTurn`] if no turn is held, and [`HostError::UnknownRing`] if there is no such
    /// ring.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// let ring = server.ring_named(&main).expect("Ann and Bob are in it");
    /// server.extend(now, ring, Duration::from_secs(60), &mut links)?;
    /// assert!(hears(&links, ann).ends_with("GO turn=1 within=90000\n"));
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

    /// Pauses `ring`: the clock of its turn stops, and no other turn is granted. Hearers are told, and so is
    /// the holder, which may still answer.
    ///
    /// # Errors
    ///
    /// Returns [`HostError::UnknownRing`] if there is no such ring.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// // Every ring stops for lunch.
    /// let rings: Vec<_> = server.scheduler().rings().collect();
    /// for ring in rings {
    ///     server.pause(now, ring, &mut links)?;
    /// }
    /// assert!(hears(&links, ann).ends_with("PAUSED main\n"));
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

    /// Ends a pause. The clock of the turn continues with the time that was left.
    ///
    /// # Errors
    ///
    /// Returns [`HostError::UnknownRing`] if there is no such ring.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// let ring = server.ring_named(&main).expect("Ann and Bob are in it");
    /// server.pause(now, ring, &mut links)?;
    /// server.resume(now, ring, &mut links)?;
    /// assert!(hears(&links, ann).ends_with("RESUMED main\nGO turn=1 within=30000\n"));
    /// # Ok(()) }
    /// ```
    pub fn resume(&mut self, now: Now, ring: RingId, links: &mut Links) -> Result<(), HostError> {
        if !self.table.scheduler.is_paused(ring) {
            return if self.table.scheduler.has_ring(ring) { Ok(()) } else { Err(HostError::UnknownRing) };
        }
        let moved = self.table.scheduler.resume(now.instant, ring)?;
        self.note_ring(ring);
        self.tell_ring(ring, links, |ring| Reply::Resumed { ring });
        if let Some((id, seat)) = self.line_holder(ring).filter(|_| moved.granted.is_none()) {
            self.say_go(now, id, seat, links);
        }
        self.apply_move(now, moved, None, links);
        Ok(())
    }

    /// Returns the holder of the turn in `ring`, if it speaks lines.
    fn line_holder(&self, ring: RingId) -> Option<(ConnectionId, SeatId)> {
        let seat = self.table.scheduler.held(ring)?.seat;
        let id = self.table.scheduler.data(seat)?.client?;
        matches!(self.sessions.get(id), Some(Session::Line(_))).then_some((id, seat))
    }

    /// Tells the holder and the hearers of a ring about a change to it.
    fn tell_ring(&mut self, ring: RingId, links: &mut Links, reply: impl for<'n> Fn(&'n str) -> Reply<'n>) {
        let Some(named_ring) = self.table.named_rings.of_ring(ring) else { return };
        let name = self.table.named_rings.get(named_ring).name;
        if let Some((id, _)) = self.line_holder(ring)
            && !self.table.named_rings.get(named_ring).hearers.contains(&id)
        {
            self.say(id, &reply(name.as_str()), links);
        }
        self.send_to_hearers(named_ring, &reply(name.as_str()), links);
    }

    /// Sets the rules of the ring `name`, whether or not it exists. Its current turn and seats keep theirs.
    ///
    /// # Errors
    ///
    /// Returns [`TurnConfigError`] if the rules would never grant or judge a turn. Nothing changes then.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// // Another ring is a lock: its seats rest until they ask, and one is enough.
    /// let lock: Name = "gpu0".parse()?;
    /// let mut rules = Rules::default();
    /// (rules.min_seats, rules.demands) = (1, Demands::Only(Demand::Ask));
    /// server.set_rules(now, lock, rules, &mut links)?;
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
            self.note_ring(ring);
            self.apply_move(now, moved, None, links);
        }
        self.table.named_rings.set_rules(name, rules);
        Ok(())
    }
}

/// Seats.
impl TurnServer {
    /// Removes a seat. Its client hears `BYE removed`, its secret becomes invalid, and its name is refused
    /// for the ring's `seat_grace`, or until [`lift`](Self::lift). If its answer is being judged, this
    /// happens after the verdict.
    ///
    /// # Errors
    ///
    /// Returns [`HostError::UnknownSeat`] if there is no such seat.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// let seat = server.seat_named(&main, &"ann".parse()?).expect("she has joined");
    /// server.remove(now, seat, &mut links)?;
    /// assert!(hears(&links, ann).contains("BYE removed"));
    /// assert_eq!(server.seat_named(&main, &"ann".parse()?), None);
    /// # Ok(()) }
    /// ```
    pub fn remove(&mut self, now: Now, seat: SeatId, links: &mut Links) -> Result<(), HostError> {
        if self.table.scheduler.data(seat).is_none() {
            return Err(HostError::UnknownSeat);
        }
        if !self.proposals.defer(seat, AfterTurn::Remove) {
            self.remove_now(now, seat, links);
        }
        Ok(())
    }

    pub(super) fn remove_now(&mut self, now: Now, seat: SeatId, links: &mut Links) {
        let Some(data) = self.table.scheduler.data(seat) else { return };
        let (named_ring, name) = (data.named_ring, data.name().copied());
        let grace = self.table.scheduler.rules(seat.ring()).map_or(Duration::ZERO, |rules| rules.seat_grace);
        if let Some(name) = name {
            self.table.named_rings.remove_name(now.instant, named_ring, name, now.instant + grace);
        }
        self.retire_with(now, seat, Bye::Removed.words(), links);
    }

    pub(super) fn retire_with(&mut self, now: Now, seat: SeatId, words: &str, links: &mut Links) {
        let client = self.table.scheduler.data(seat).and_then(|data| data.client);
        self.retire_seat(now, seat, links);
        if let Some(id) = client {
            self.say_goodbye(now, id, Bye::Removed, None, Some(words), links);
        }
    }

    /// Removes all seats of `ring`, for example at the end of a game. Each client hears `BYE removed` with
    /// `words`. No other seat gets the turn meanwhile, and no name is refused: the next client to join begins
    /// the ring again. A seat whose answer is being judged is removed after the verdict. Watchers stay.
    ///
    /// # Errors
    ///
    /// Returns [`HostError::UnknownRing`] if there is no such ring.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// let ring = server.ring_named(&main).expect("two clients have joined");
    /// server.clear_ring(now, ring, "ann wins", &mut links)?;
    /// assert!(hears(&links, bob).ends_with("BYE removed :ann wins\n"));
    /// # Ok(()) }
    /// ```
    pub fn clear_ring(
        &mut self,
        now: Now,
        ring: RingId,
        words: &str,
        links: &mut Links,
    ) -> Result<(), HostError> {
        if !self.table.scheduler.has_ring(ring) {
            return Err(HostError::UnknownRing);
        }
        let holder = self.table.scheduler.held(ring).map(|held| held.seat);
        let mut seats: Vec<_> = self.table.scheduler.seats_of(ring).map(|view| view.seat).collect();
        // The holder comes last, when nobody is left to get its turn.
        seats.sort_by_key(|&seat| Some(seat) == holder);
        for seat in seats {
            if !self.proposals.defer(seat, AfterTurn::Clear(words.into())) {
                self.retire_with(now, seat, words, links);
            }
        }
        Ok(())
    }

    /// Lets a name that was [removed](Self::remove) join `ring` again, also if its removal still waits for a
    /// verdict.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// let name = "ann".parse()?;
    /// let seat = server.seat_named(&main, &name).expect("she has joined");
    /// server.remove(now, seat, &mut links)?;
    /// // A second chance, at once.
    /// server.lift(now, &main, &name);
    /// # Ok(()) }
    /// ```
    pub fn lift(&mut self, now: Now, ring: &Name, name: &Name) {
        if let Some(seat) = self.seat_named(ring, name) {
            self.proposals.lift(seat);
        }
        if let Some(named_ring) = self.table.named_rings.find(ring) {
            self.table.named_rings.get_mut(named_ring).removed.remove(name);
            self.table.named_rings.tidy(now.instant, named_ring);
        }
    }

    /// Closes a connection with `BYE forbidden` and these words. If it has a seat, that seat is away.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// server.forbid(now, ann, "members only", &mut links);
    /// assert!(hears(&links, ann).ends_with("BYE forbidden :members only\n"));
    /// # Ok(()) }
    /// ```
    pub fn forbid(&mut self, now: Now, id: ConnectionId, words: &str, links: &mut Links) {
        self.ledger.counts.forbidden += 1;
        self.say_goodbye(now, id, Bye::Forbidden, None, Some(words), links);
    }

    /// Sends a client to another server: closes its connection with `BYE moved` and the address. If it has a
    /// seat here, that seat is away. Use it for rings that are served elsewhere, when a client
    /// [wants to join](super::TurnEvent::Joining) one. A client goes there at once. After five such
    /// steps in a row it pauses, and begins again at its own address.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// // Two servers that stand by for each other.
    /// server.redirect(now, ann, &"10.0.2.1:5001,10.0.2.2:5001".parse()?, &mut links);
    /// assert!(hears(&links, ann).contains("BYE moved at=10.0.2.1:5001,10.0.2.2:5001 :"));
    /// # Ok(()) }
    /// ```
    pub fn redirect(&mut self, now: Now, id: ConnectionId, at: &Target, links: &mut Links) {
        self.say_goodbye(now, id, Bye::Moved, Some(&at.to_string()), None, links);
    }

    /// Limits joining and watching to clients that `rules` allow. They are checked before the host is asked.
    /// Call it again when the file changes: a client whose rights are gone hears `BYE forbidden`, and its
    /// seat is away and cannot be resumed. A changed weight applies from the next `JOIN`.
    ///
    /// # Errors
    ///
    /// Returns [`TurnConfigError::AdmissionOfRawClients`] if the framing accepts raw clients, which give no
    /// name to decide on. The rules do not change then.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// // Both are here without a proof.
    /// server.set_access(now, "cert:ann ring=main".parse()?, &mut links)?;
    /// assert!(hears(&links, ann).ends_with("BYE forbidden :no token or certificate was presented\n"));
    /// # Ok(()) }
    /// ```
    pub fn set_access(
        &mut self,
        now: Now,
        rules: AccessRules,
        links: &mut Links,
    ) -> Result<(), TurnConfigError> {
        if self.config.framing != Some(Framing::Line) {
            return Err(TurnConfigError::AdmissionOfRawClients);
        }
        let access = self.access.get_or_insert_default();
        access.rules = rules;
        let is_in = |session: &Session| match session {
            Session::Line(line) => !matches!(line.role, Role::Newcomer { .. }),
            _ => false,
        };
        let lost = self.sessions.iter().filter(|(_, session)| is_in(session)).filter_map(|(id, _)| {
            let why = match access.admitted.get(&id) {
                Some(claim) => access.check(claim, links.transport(id)).err()?,
                // It joined before there were rules.
                None => "no token or certificate was presented",
            };
            Some((id, why))
        });
        let lost: Vec<_> = lost.collect();
        for (id, why) in lost {
            self.forbid(now, id, why, links);
        }
        Ok(())
    }

    /// Admits a client that [waits for the host](super::TurnEvent::Joining), on the host's terms. Does
    /// nothing if the client no longer waits.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!("config.admission = Admission::Host;")]
    /// // Called for each `TurnEvent::Joining`.
    /// fn decide(server: &mut TurnServer, now: Now, joining: &Joining, links: &mut Links) {
    ///     let mut terms = Admit::default();
    ///     match joining.token.as_deref() {
    ///         Some("staff") => terms.weight = Weight::new(3),
    ///         Some(_) => {}
    ///         None => return server.forbid(now, joining.connection, "show a token", links),
    ///     }
    ///     server.admit(now, joining.connection, &terms, links);
    /// }
    /// let Some(TurnEvent::Joining(joining)) = server.poll_event() else { panic!("Ann wants to join") };
    /// decide(&mut server, now, &joining, &mut links);
    /// assert!(hears(&links, ann).ends_with("BYE forbidden :show a token\n"));
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
                let &Admit { weight, demand, hears, owns_name } = admit;
                let by_rule = seating.terms;
                seating.terms = AdmissionTerms {
                    weight: weight.or(by_rule.weight),
                    demand,
                    owns_name: owns_name || by_rule.owns_name,
                };
                seating.hears = hears.unwrap_or(seating.hears);
                if let Err(no) = self.line_sit_down(now, id, &seating, &admitting.words, links) {
                    self.line_refuse(now, id, "JOIN", no, links);
                }
            }
        }
        links.reread(id);
    }

    /// Sends words to the client of `seat`, if it is connected and speaks lines. They go on the line if they
    /// fit, otherwise into a payload.
    ///
    /// # Errors
    ///
    /// Returns [`HostError::TooLarge`] for more bytes than an answer may have
    /// ([`answer_bytes_max`](super::TurnServerConfig::answer_bytes_max)), because clients read no more.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// let seat = server.seat_of(bob).expect("he has joined");
    /// server.say_to_seat(seat, b"you are next", &mut links)?;
    /// assert!(hears(&links, bob).ends_with("SAY :you are next\n"));
    /// # Ok(()) }
    /// ```
    pub fn say_to_seat(&mut self, seat: SeatId, content: &[u8], links: &mut Links) -> Result<(), HostError> {
        match self.table.scheduler.data(seat).and_then(|data| data.client) {
            Some(id) => self.say_to(id, content, links),
            None => self.may_say(content),
        }
    }

    /// Sends words to a connection that speaks lines. A client that waits to be admitted gets them right
    /// after its welcome.
    ///
    /// # Errors
    ///
    /// Returns [`HostError::TooLarge`], as [`say_to_seat`](Self::say_to_seat) does.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// server.say_to(bob, b"two\nlines", &mut links)?;
    /// assert!(hears(&links, bob).ends_with("SAY bytes=9\ntwo\nlines\n"));
    /// # Ok(()) }
    /// ```
    pub fn say_to(&mut self, id: ConnectionId, content: &[u8], links: &mut Links) -> Result<(), HostError> {
        self.may_say(content)?;
        match self.line(id).map(|session| &mut session.role) {
            Some(Role::Admitting(admitting)) => admitting.words.push(content.into()),
            Some(_) => {
                self.expect_verdict();
                self.say(id, &Reply::Say { content }, links);
            }
            None => {}
        }
        Ok(())
    }

    /// Sends words to all hearers of the ring `name`: observers, and seats that joined with `hear=turns`.
    ///
    /// # Errors
    ///
    /// Returns [`HostError::TooLarge`], as [`say_to_seat`](Self::say_to_seat) does.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!()]
    /// server.say_to_ring(&main, b"the break is over", &mut links)?;
    /// assert!(hears(&links, bob).ends_with("SAY :the break is over\n"));
    /// assert!(!hears(&links, ann).contains("SAY"), "she has not joined with `hear=turns`");
    /// # Ok(()) }
    /// ```
    pub fn say_to_ring(&mut self, name: &Name, content: &[u8], links: &mut Links) -> Result<(), HostError> {
        self.may_say(content)?;
        if let Some(named_ring) = self.table.named_rings.find(name) {
            self.expect_verdict();
            self.send_to_hearers(named_ring, &Reply::Say { content }, links);
        }
        Ok(())
    }

    fn may_say(&self, content: &[u8]) -> Result<(), HostError> {
        if content.len() > self.config.answer_bytes_max { Err(HostError::TooLarge) } else { Ok(()) }
    }
}
