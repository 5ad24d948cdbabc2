//! The raw framing, seen from the server: no delimiters, and clients that compare one `recv` with `==`.
//!
//! What makes it hard is that TCP may put two signals into one `recv`, and such a client understands neither. So `GO` is held
//! back for a while after `WAIT` (T5), at most one `GO` is unanswered on a connection (T11), and a turn whose `GO`
//! cannot be written yet still has its full deadline.

use super::TurnEvent;
use super::codes::Code;
use super::ledger::Ledger;
use super::reply::{GO, WAIT};
use super::request::{Answer, DEFAULT_RING};
use super::seat::SeatData;
use super::server::{Client, TurnServer};
use crate::hint::likely;
use crate::protocol::{ConnectionId, ConnectionMap, Links};
use crate::time::{Alarm, Instant, Now, Timers, earlier};
use crate::turn::{Answered, Grant, JoinError, Scheduler, SeatId, Spot, TurnNumber, Weight};
use crate::wire::{RawMessage, split_raw};

/// A seated client. As small as it can be: thousands of them wait.
#[derive(Debug)]
pub(super) struct RawClient {
    /// Somebody's as long as this client is there, so it is enough to say where it stands.
    seat: Spot,
    signal: Signal,
    /// How much of what it said was refused.
    pub(super) refusals: u32,
    /// Malformed answers in a row.
    strikes: u8,
    /// What most clients have nothing of most of the time.
    aside: Option<Box<Aside>>,
}

/// Where this connection stands with `GO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    /// It has been told that it waits, a moment ago: when that is written is not known.
    Told,
    /// It has answered every `GO`, or never had one.
    Quiet,
    /// It holds the turn, and hears of it at [`Aside::release`].
    HeldBack,
    /// A `GO` is on its way or unanswered; it is written when nothing is queued for this connection any more.
    Open,
    /// It answered too late: [`Aside::late`] counts in its seat's next turn.
    Answered,
}

/// What takes more than one readiness, and what has a time of its own.
#[derive(Debug)]
struct Aside {
    /// Bytes of an incomplete message, which were left unconsumed.
    left: usize,
    /// When the gather time of that message is over; `None` if it is.
    gather_until: Option<Instant>,
    /// That message began before its `GO` was written.
    is_early: bool,
    /// While [`Signal::HeldBack`].
    release: Option<Instant>,
    /// While [`Signal::Answered`].
    late: Option<Answer>,
    alarm: Alarm,
}

impl RawClient {
    pub(super) fn new(seat: SeatId) -> RawClient {
        RawClient { seat: seat.spot(), signal: Signal::Quiet, refusals: 0, strikes: 0, aside: None }
    }

    pub(super) fn spot(&self) -> Spot {
        self.seat
    }

    fn aside(&mut self) -> &mut Aside {
        self.aside.get_or_insert_with(|| {
            Box::new(Aside {
                left: 0,
                gather_until: None,
                is_early: false,
                release: None,
                late: None,
                alarm: Alarm::default(),
            })
        })
    }

    /// The answer to a `GO` counts if the seat holds the turn, which goes on then.
    fn take(
        &mut self,
        now: Now,
        answer: &Answer,
        scheduler: &mut Scheduler<SeatData>,
        ledger: &mut Ledger,
    ) -> Option<Answered> {
        let Answer { name, number } = answer;
        self.take_if(now, scheduler, |data, seat, turn| {
            data.rename(name);
            ledger.accepted(seat, turn, name, *number);
            Some(*number)
        })
    }

    /// The same for an answer under the name that the last one had, which need not be read again.
    #[inline(always)]
    fn take_again(
        &mut self,
        now: Now,
        message: &[u8],
        scheduler: &mut Scheduler<SeatData>,
        ledger: &mut Ledger,
    ) -> Option<Answered> {
        self.take_if(now, scheduler, |data, seat, turn| {
            let name = data.name_ref()?;
            let number = Answer::again(message, name)?;
            ledger.accepted(seat, turn, name, number);
            Some(number)
        })
    }

    #[inline(always)]
    fn take_if(
        &mut self,
        now: Now,
        scheduler: &mut Scheduler<SeatData>,
        note: impl FnOnce(&mut SeatData, SeatId, TurnNumber) -> Option<i64>,
    ) -> Option<Answered> {
        let answered = scheduler.answer_at(now.instant, self.seat, note)?;
        (self.signal, self.strikes) = (Signal::Quiet, 0);
        Some(answered)
    }

    /// Whether it has answered every `GO`, and so may be told that it may go.
    fn may_go(&self) -> bool {
        matches!(self.signal, Signal::Quiet | Signal::HeldBack)
    }

    /// Whether it has been told that it may go, and has not answered yet.
    #[inline]
    fn has_gone(&self, id: ConnectionId, links: &Links) -> bool {
        self.signal == Signal::Open && links.is_all_written(id)
    }

    /// Tells it that it may go, before what was queued for others earlier in the pass (T25); whether something stands aside that this
    /// puts an end to.
    #[inline]
    fn go(&mut self, id: ConnectionId, links: &mut Links) -> bool {
        links.send_static_first(id, GO);
        self.signal = Signal::Open;
        self.aside.is_some()
    }

    /// It hears of its turn at `release`, or later if that was said before.
    fn hold_back(&mut self, id: ConnectionId, release: Instant, timers: &mut Timers<ConnectionId>) {
        self.signal = Signal::HeldBack;
        let aside = self.aside();
        aside.release = aside.release.max(Some(release));
        self.settle(id, timers);
    }

    /// T11: it was allowed to say this, but too late for that turn.
    #[cold]
    fn keep(&mut self, answer: &Answer) {
        self.signal = Signal::Answered;
        self.aside().late = Some(*answer);
    }

    /// Arms the alarm for what stands aside, or drops it if that is nothing.
    fn settle(&mut self, id: ConnectionId, timers: &mut Timers<ConnectionId>) {
        let Some(aside) = &mut self.aside else { return };
        timers.set(&mut aside.alarm, id, earlier(aside.release, aside.gather_until));
        if aside.release.is_none() && aside.late.is_none() && aside.left == 0 {
            timers.remove(&mut aside.alarm, id);
            self.aside = None;
        }
    }
}

impl TurnServer {
    /// T1: the longest-vacant seat, or else a new one at the end of the ring.
    pub(super) fn raw_seat(&mut self, now: Now, id: ConnectionId) -> Result<SeatId, JoinError> {
        let room = self.rooms.find_or_make(DEFAULT_RING.parse().expect("the default ring's name is valid"));
        let ring = self.rooms.room(room).ring;
        if let Some(seat) = ring.and_then(|ring| self.scheduler.longest_vacant(ring)) {
            if let Some(data) = self.scheduler.data_mut(seat) {
                data.take_over(id);
            }
            self.scheduler.occupy(now.instant, seat);
            return Ok(seat);
        }
        self.new_seat(now, Weight::ONE, SeatData::nameless(id, room))
    }

    /// T4: whoever does not have the turn at once is told, once, that it waits.
    pub(super) fn raw_opened(&mut self, now: Now, id: ConnectionId, seat: SeatId, links: &mut Links) {
        self.ledger.report(TurnEvent::Seated { seat, connection: id, name: None });
        self.pump(now, links);
        if self.scheduler.held_by(seat).is_none() {
            links.send_static(id, WAIT);
            let release = now.instant + self.config.signal_gap;
            self.scheduler.hold_back(now.instant, seat, release);
            if let Some(raw) = raw(&mut self.clients, id) {
                raw.signal = Signal::Told;
            }
            self.waits.push(id);
        }
    }

    /// T5: the `WAIT`s of the last pass are written by `now`. That may be long after that pass began, if the process stood still meanwhile, and the
    /// gap behind them begins no sooner.
    #[cold]
    pub(super) fn raw_waits_written(&mut self, now: Now) {
        if self.waits_written == 0 {
            return;
        }
        let release = now.instant + self.config.signal_gap;
        for id in self.waits.drain(..std::mem::take(&mut self.waits_written)) {
            let Some(raw) = raw(&mut self.clients, id) else { continue };
            let Some(seat) = self.scheduler.seat_at(raw.seat) else { continue };
            match self.scheduler.held_by(seat) {
                Some(_) => {
                    raw.hold_back(id, release, &mut self.timers);
                    self.scheduler.postpone(seat, release);
                }
                None => {
                    raw.signal = Signal::Quiet;
                    self.scheduler.hold_back(now.instant, seat, release);
                }
            }
        }
        self.settle_due(now.instant);
    }

    #[inline(always)]
    pub(super) fn raw_granted(&mut self, now: Now, id: ConnectionId, grant: &Grant, links: &mut Links) {
        match raw(&mut self.clients, id) {
            Some(raw) if likely(raw.may_go() && grant.release <= now.instant) => {
                if raw.go(id, links) {
                    self.raw_gone(id, links);
                }
            }
            _ => self.raw_granted_aside(now, id, grant.release),
        }
    }

    /// It cannot hear of its turn now.
    #[cold]
    fn raw_granted_aside(&mut self, now: Now, id: ConnectionId, release: Instant) {
        self.raw_waits_written(now);
        let Some(raw) = raw(&mut self.clients, id) else { return };
        match raw.signal {
            Signal::Answered => {
                let late = raw.aside.as_mut().and_then(|aside| aside.late.take());
                raw.settle(id, &mut self.timers);
                let seat = self.scheduler.seat_at(raw.seat);
                if let Some((seat, answer)) = seat.zip(late) {
                    self.raw_take_late(now, id, seat, &answer);
                }
            }
            Signal::Open => {}
            Signal::Told | Signal::Quiet | Signal::HeldBack => {
                raw.hold_back(id, release, &mut self.timers);
            }
        }
    }

    /// The turn of `id` is over without an answer. If it has not been told of it, because the process stood still for longer than
    /// that turn lasted, it never will be.
    pub(super) fn raw_ended(&mut self, id: ConnectionId) {
        if let Some(raw) = raw(&mut self.clients, id)
            && let (Signal::HeldBack, Some(aside)) = (raw.signal, &mut raw.aside)
        {
            aside.release = None;
            raw.signal = Signal::Quiet;
            raw.settle(id, &mut self.timers);
        }
    }

    /// The connection is gone or dismissed.
    pub(super) fn raw_left(&mut self, now: Now, id: ConnectionId, raw: RawClient, links: &Links) {
        if let Some(mut aside) = raw.aside {
            self.timers.remove(&mut aside.alarm, id);
            // It was too late for its turn, and the connection goes before it could count in the next one.
            if let Some(answer) = aside.late {
                self.refuse(id, Code::NotYourTurn, answer.to_string().as_bytes(), links);
            }
        }
        if let Some(seat) = self.scheduler.seat_at(raw.seat) {
            self.unseat(now, id, seat);
        }
    }

    /// Acts upon what one readiness brought, and what was left before; how many bytes are of no more use.
    #[inline(always)]
    pub(super) fn raw_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        let length_max = self.config.message_bytes_max;
        let raw = match raw(&mut self.clients, id) {
            Some(raw)
                if likely(raw.has_gone(id, links) && raw.aside.is_none() && bytes.len() <= length_max) =>
            {
                raw
            }
            _ => return self.raw_gather(now, id, bytes, links),
        };
        // Nearly always: one readiness, one answer, as the last one was.
        match raw.take_again(now, bytes, &mut self.scheduler, &mut self.ledger) {
            Some(answered) => {
                self.raw_go_on(now, &answered, links);
                bytes.len()
            }
            None => self.raw_other(now, id, bytes, links),
        }
    }

    /// One readiness, and something else than another answer under the same name.
    #[cold]
    fn raw_other(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        match Answer::from_bytes(bytes.trim_ascii()) {
            Ok(answer) => self.raw_answer(now, id, &answer, links),
            Err(_) => return self.raw_gather(now, id, bytes, links),
        }
        bytes.len()
    }

    #[cold]
    fn raw_answer(&mut self, now: Now, id: ConnectionId, answer: &Answer, links: &mut Links) {
        let Some(raw) = raw(&mut self.clients, id) else { return };
        match raw.take(now, answer, &mut self.scheduler, &mut self.ledger) {
            Some(answered) => self.raw_go_on(now, &answered, links),
            None => raw.keep(answer),
        }
    }

    /// T25: nobody but the next holder is told anything. The turn goes on from there, if that one had answered too late for its last one.
    #[inline(always)]
    fn raw_go_on(&mut self, now: Now, answered: &Answered, links: &mut Links) {
        if let Some(grant) = &answered.granted {
            self.raw_grant(now, grant, links);
        }
        self.pump(now, links);
    }

    /// T11: it counts in this turn.
    #[cold]
    fn raw_take_late(&mut self, now: Now, id: ConnectionId, seat: SeatId, answer: &Answer) {
        let taken = self.scheduler.answer(now.instant, seat, None, answer.number);
        debug_assert!(taken.is_ok(), "it holds the turn");
        if let Some(data) = self.scheduler.data_mut(seat) {
            data.rename(&answer.name);
        }
        if let Some(raw) = raw(&mut self.clients, id) {
            (raw.signal, raw.strikes) = (Signal::Quiet, 0);
        }
    }

    /// Takes bytes that may be a part of a message.
    #[cold]
    fn raw_gather(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        let early = self.raw_drop_early(id, bytes, links);
        let length_max = self.config.message_bytes_max;
        let fresh = now.instant + self.config.gather_time;
        let Some(raw) = raw(&mut self.clients, id) else { return bytes.len() };
        let has_gone = raw.has_gone(id, links);
        let aside = raw.aside();
        let bytes = &bytes[early..];
        let is_early = if aside.left == 0 { !has_gone } else { aside.is_early };
        let is_over = aside.left > 0 && aside.gather_until.is_none_or(|until| until <= now.instant);
        let message = split_raw(bytes, length_max, is_over, Answer::is_complete);
        if message == RawMessage::Partial {
            let gather_until = aside.gather_until.or(Some(fresh));
            (aside.left, aside.is_early, aside.gather_until) = (bytes.len(), is_early, gather_until);
            raw.settle(id, &mut self.timers);
            return early;
        }
        self.raw_forget(id);
        self.raw_message(now, id, message, is_early, links);
        early + bytes.len()
    }

    /// No more bytes will join the message in `rest`.
    pub(super) fn raw_gathered(&mut self, now: Now, id: ConnectionId, rest: &[u8], links: &mut Links) {
        let is_early = self.raw_forget(id);
        let message = split_raw(rest, self.config.message_bytes_max, true, |_| true);
        self.raw_message(now, id, message, is_early, links);
    }

    pub(super) fn raw_timeout(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        let Some(RawClient { aside: Some(aside), .. }) = raw(&mut self.clients, id) else { return };
        if !self.timers.ring(&mut aside.alarm, id, now.instant) {
            return;
        }
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now.instant);
        let (is_gathered, is_released) = (due(aside.gather_until), due(aside.release));
        if is_gathered {
            aside.gather_until = None;
            links.reread(id);
        }
        if is_released && raw(&mut self.clients, id).is_some_and(|raw| raw.signal == Signal::HeldBack) {
            self.raw_go(id, links);
        }
        if let Some(raw) = raw(&mut self.clients, id) {
            raw.settle(id, &mut self.timers);
        }
    }

    /// What one message means: the whole policy of the raw framing.
    fn raw_message(
        &mut self,
        now: Now,
        id: ConnectionId,
        message: RawMessage<'_>,
        is_early: bool,
        links: &mut Links,
    ) {
        if message == RawMessage::Nothing {
            return;
        }
        let Some(raw) = raw(&mut self.clients, id) else { return };
        let has_gone = raw.signal == Signal::Open && !is_early;
        let answer = match message {
            RawMessage::TooLong(_) => Err(Code::Malformed),
            message => Answer::from_bytes(message.bytes()),
        };
        match (has_gone, answer) {
            // T9: nothing counts that was said before its GO was written.
            (false, _) => self.refuse(id, Code::NotYourTurn, message.bytes(), links),
            (true, Ok(answer)) => self.raw_answer(now, id, &answer, links),
            (true, Err(code)) => {
                self.refuse(id, code, message.bytes(), links);
                self.raw_strike(now, id, links);
            }
        }
    }

    /// T8: the holder has another try, unless it has had enough of them. A malformed answer that came too late closes its
    /// `GO`, so that the client, which waits for the next one, hears of its seat's next turn.
    fn raw_strike(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        let strikes = self.config.strikes;
        let Some(raw) = raw(&mut self.clients, id) else { return };
        raw.strikes += 1;
        raw.signal = Signal::Quiet;
        let is_out = raw.strikes >= strikes;
        let seat = self.scheduler.seat_at(raw.seat);
        if is_out {
            if let Some(peer) = links.peer(id) {
                self.log_closing(peer, format_args!("{strikes} malformed answers in a row"));
            }
            self.dismiss(now, id, None, links);
        } else if seat.and_then(|seat| self.scheduler.held_by(seat)).is_some() {
            self.raw_go(id, links);
        }
    }

    fn raw_go(&mut self, id: ConnectionId, links: &mut Links) {
        if raw(&mut self.clients, id).is_some_and(|raw| raw.go(id, links)) {
            self.raw_gone(id, links);
        }
    }

    /// What stood aside until its `GO` does so no longer.
    #[cold]
    fn raw_gone(&mut self, id: ConnectionId, links: &mut Links) {
        let Some(raw) = raw(&mut self.clients, id) else { return };
        if let Some(aside) = &mut raw.aside {
            aside.release = None;
            if aside.is_early {
                links.reread(id);
            }
            raw.settle(id, &mut self.timers);
        }
    }

    /// T9: the beginning of a message that came before its `GO` does not count, and must not spoil the answer to it. How many of
    /// `bytes` belong to that.
    fn raw_drop_early(&mut self, id: ConnectionId, bytes: &[u8], links: &mut Links) -> usize {
        let Some(raw) = raw(&mut self.clients, id) else { return 0 };
        let has_go = raw.signal == Signal::Open;
        let early =
            raw.aside.as_deref().filter(|aside| has_go && aside.is_early).map_or(0, |aside| aside.left);
        if early > 0 {
            self.raw_forget(id);
            let message = &bytes[..early];
            self.refuse(id, Code::NotYourTurn, message.trim_ascii(), links);
        }
        early
    }

    /// Nothing is gathered any more; whether what was began before its `GO`.
    fn raw_forget(&mut self, id: ConnectionId) -> bool {
        let Some(raw) = raw(&mut self.clients, id) else { return false };
        let Some(aside) = &mut raw.aside else { return false };
        let is_early = aside.is_early;
        (aside.left, aside.gather_until, aside.is_early) = (0, None, false);
        raw.settle(id, &mut self.timers);
        is_early
    }
}

fn raw(clients: &mut ConnectionMap<Client>, id: ConnectionId) -> Option<&mut RawClient> {
    match clients.get_mut(id)? {
        Client::Raw(raw) => Some(raw),
        Client::Line(_) | Client::Closing => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::TurnServerConfig;
    use super::*;
    use crate::protocol::{Origin, Protocol as _};

    /// T5: the process stands still between reading the clock and writing.
    #[test]
    fn the_gap_begins_when_wait_is_written_however_long_that_pass_took() {
        let (begun, stop) = (Now::ORIGIN, Duration::from_millis(250));
        let config = TurnServerConfig::default();
        let (gap, deadline) = (config.signal_gap, config.turn_deadline);
        for is_granted_before in [true, false] {
            let mut server = TurnServer::new(config.clone(), Box::new(|bytes| bytes.fill(7)));
            let mut links = Links::new(65_536);
            let open = |now, server: &mut TurnServer, links: &mut Links| {
                let id = links.open(([127, 0, 0, 1], 9).into());
                server.handle_open(now, id, ([127, 0, 0, 1], 9).into(), Origin::Accepted, links);
                id
            };
            let id = open(begun, &mut server, &mut links);
            if is_granted_before {
                open(begun, &mut server, &mut links);
            }
            assert_eq!(links.unsent(id), WAIT);
            links.consume(id, WAIT.len());
            server.handle_flushed(begun, &mut links);
            assert_eq!(server.next_deadline(), Some(begun.instant), "it wants to know when that was");

            let mut now = begun;
            now.instant += stop;
            if !is_granted_before {
                open(now, &mut server, &mut links);
            }
            server.handle_timeout(now, &mut links);
            server.handle_flushed(now, &mut links);
            assert_eq!(links.unsent(id), b"", "granted before: {is_granted_before}");
            let seat = raw(&mut server.clients, id).expect("it is there").seat;
            let seat = server.scheduler.seat_at(seat).expect("it sits there");
            now.instant += gap;
            let held = server.scheduler.held_by(seat).expect("the ring has begun");
            assert_eq!(held.deadline, now.instant + deadline, "it has all of its time");
            server.handle_timeout(now, &mut links);
            assert_eq!(links.unsent(id), GO);
        }
    }

    /// The turn of nearly every client: no timer, and no room for what takes longer.
    #[test]
    fn a_go_that_need_not_wait_is_queued_at_once_and_leaves_nothing_aside() {
        let mut now = Now::ORIGIN;
        let config = TurnServerConfig::default();
        let gap = config.signal_gap;
        let mut server = TurnServer::new(config, Box::new(|bytes| bytes.fill(7)));
        let mut links = Links::new(65_536);
        let ids = [(); 3].map(|()| {
            let id = links.open(([127, 0, 0, 1], 9).into());
            server.handle_open(now, id, ([127, 0, 0, 1], 9).into(), Origin::Accepted, &mut links);
            links.consume(id, WAIT.len());
            id
        });
        server.handle_flushed(now, &mut links);
        server.handle_timeout(now, &mut links);
        // The gap behind everybody's WAIT is over now, and not longer ago.
        now.instant += gap;
        server.handle_timeout(now, &mut links);
        for turn in 0..6 {
            let (holder, next) = (ids[turn % 3], ids[(turn + 1) % 3]);
            assert_eq!(links.unsent(holder), GO);
            links.consume(holder, GO.len());
            server.handle_bytes(now, holder, b"a:1", &mut links);
            assert_eq!(links.unsent(next), GO, "turn {turn}");
            assert!(raw(&mut server.clients, next).is_some_and(|raw| raw.aside.is_none()), "turn {turn}");
        }
        // Who answers under the name of its last answer need not have it read again.
        let holder = raw(&mut server.clients, ids[0]).expect("it is there");
        assert!(holder.take_again(now, b"b:1", &mut server.scheduler, &mut server.ledger).is_none());
        assert!(holder.take_again(now, b"a:b", &mut server.scheduler, &mut server.ledger).is_none());
        assert!(holder.take_again(now, b"a:1", &mut server.scheduler, &mut server.ledger).is_some());
    }
}
