//! The raw framing, seen from the server: no delimiters, and clients that compare one `recv` with `==`.
//!
//! What makes it hard is that TCP may put two signals into one `recv`, and such a client understands neither. So `GO` is held
//! back for a while after `WAIT` (T5), at most one `GO` is unanswered on a connection (T11), and a turn whose `GO`
//! cannot be written yet still has its full deadline.

use std::time::Instant;

use log::info;

use super::TurnEvent;
use super::codes::Code;
use super::reply::{GO, WAIT};
use super::request::{Answer, DEFAULT_RING};
use super::server::{Client, SeatData, Stage, TurnServer};
use crate::protocol::{ConnectionId, Links};
use crate::time::{Now, later};
use crate::turn::{Grant, JoinError, SeatId, Weight};
use crate::wire::{RawDecoder, RawMessage};

#[derive(Debug)]
pub(super) struct RawClient {
    seat: SeatId,
    decoder: RawDecoder,
    /// When the gather time of an incomplete message is over.
    gather_until: Option<Instant>,
    /// The message that is being gathered began before its `GO` was written.
    is_early: bool,
    signal: Signal,
    /// Malformed answers in a row.
    strikes: u8,
}

/// Where this connection stands with `GO`.
#[derive(Debug)]
enum Signal {
    /// It has answered every `GO`, or never had one.
    Quiet,
    /// It holds the turn, and hears of it then.
    HeldBack(Instant),
    /// A `GO` is on its way or unanswered; it is written once the link has written up to the mark.
    Open { mark: u64 },
    /// It answered too late: that answer counts in its seat's next turn.
    Answered(Box<Answer>),
}

impl RawClient {
    pub(super) fn new(seat: SeatId, message_bytes_max: usize) -> RawClient {
        let decoder = RawDecoder::new(message_bytes_max);
        RawClient { seat, decoder, gather_until: None, is_early: false, signal: Signal::Quiet, strikes: 0 }
    }

    pub(super) fn seat(&self) -> SeatId {
        self.seat
    }
}

impl TurnServer {
    /// T1: the longest-vacant seat, or else a new one at the end of the ring.
    pub(super) fn raw_seat(&mut self, now: Now, id: ConnectionId) -> Result<SeatId, JoinError> {
        let room = self.rooms.find_or_make(DEFAULT_RING.parse().expect("the default ring's name is valid"));
        let ring = self.rooms.room(room).ring;
        if let Some(seat) = ring.and_then(|ring| self.scheduler.longest_vacant(ring)) {
            if let Some(data) = self.scheduler.data_mut(seat) {
                data.client = Some(id);
                data.name = None;
            }
            self.scheduler.occupy(now.instant, seat);
            return Ok(seat);
        }
        self.new_seat(now, Weight::ONE, SeatData { client: Some(id), room, name: None, secrets: None })
    }

    /// T4: whoever does not have the turn at once is told, once, that it waits.
    pub(super) fn raw_opened(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        let Some(raw) = self.raw(id) else { return };
        let seat = raw.seat;
        self.report(TurnEvent::Seated { seat, connection: id, name: None });
        self.pump(now, links);
        if self.scheduler.held_by(seat).is_none() {
            links.send(id, WAIT);
            self.scheduler.hold_back(seat, later(now.instant, self.config.signal_gap));
        }
    }

    pub(super) fn raw_granted(&mut self, now: Now, id: ConnectionId, grant: &Grant, links: &mut Links) {
        let Some(raw) = self.raw(id) else { return };
        match std::mem::replace(&mut raw.signal, Signal::Quiet) {
            Signal::Answered(answer) => self.raw_take(now, id, &answer),
            Signal::Open { mark } => raw.signal = Signal::Open { mark },
            Signal::Quiet | Signal::HeldBack(_) if grant.release > now.instant => {
                raw.signal = Signal::HeldBack(grant.release);
                self.raw_rearm(id);
            }
            Signal::Quiet | Signal::HeldBack(_) => self.raw_go(id, links),
        }
    }

    /// The turn of `id` is over. If it has not been told of it, because the process stood still for longer than that turn lasted,
    /// it never will be.
    pub(super) fn raw_ended(&mut self, id: ConnectionId) {
        if let Some(raw) = self.raw(id)
            && let Signal::HeldBack(_) = raw.signal
        {
            raw.signal = Signal::Quiet;
            self.raw_rearm(id);
        }
    }

    /// An answer that was too late for its turn, if the connection goes before it could count in the next one.
    pub(super) fn unanswered(raw: &RawClient) -> Option<Answer> {
        match &raw.signal {
            Signal::Answered(answer) => Some(**answer),
            Signal::Quiet | Signal::HeldBack(_) | Signal::Open { .. } => None,
        }
    }

    pub(super) fn raw_bytes(&mut self, now: Now, id: ConnectionId, bytes: &[u8], links: &mut Links) {
        let gather_time = self.config.gather_time;
        let Some(raw) = self.raw(id) else { return };
        let has_gone = matches!(raw.signal, Signal::Open { mark } if links.is_written(id, mark));
        if raw.is_early && has_gone {
            self.raw_drop_early(id);
        }
        let Some(raw) = self.raw(id) else { return };
        if !raw.decoder.is_partial() {
            raw.is_early = !has_gone;
        }
        let message = raw.decoder.push(bytes, Answer::is_complete);
        let gathering = raw.decoder.is_partial();
        if gathering != raw.gather_until.is_some() {
            raw.gather_until = gathering.then(|| later(now.instant, gather_time));
            self.raw_rearm(id);
        }
        if let Some(message) = message {
            self.raw_message(now, id, &message, links);
        }
    }

    /// No more bytes will join the message that was begun.
    pub(super) fn raw_gathered(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        let Some(raw) = self.raw(id) else { return };
        raw.gather_until = None;
        if let Some(message) = raw.decoder.take() {
            self.raw_message(now, id, &message, links);
        }
    }

    pub(super) fn raw_timeout(&mut self, now: Now, id: ConnectionId, links: &mut Links) {
        let due = |at: Instant| at <= now.instant;
        if self.raw(id).is_some_and(|raw| raw.gather_until.is_some_and(due)) {
            self.raw_gathered(now, id, links);
        }
        if let Some(RawClient { signal: Signal::HeldBack(release), .. }) = self.raw(id)
            && due(*release)
        {
            self.raw_go(id, links);
        }
        self.raw_rearm(id);
    }

    /// What one message means: the whole policy of the raw framing.
    fn raw_message(&mut self, now: Now, id: ConnectionId, message: &RawMessage<'_>, links: &mut Links) {
        let Some(raw) = self.raw(id) else { return };
        let has_gone = matches!(raw.signal, Signal::Open { .. }) && !raw.is_early;
        let seat = raw.seat;
        let holds = self.scheduler.held_by(seat).is_some();
        let answer = match message {
            RawMessage::TooLong(_) => Err(Code::Malformed),
            message => Answer::from_bytes(message.bytes()),
        };
        match (has_gone, answer) {
            // T9: nothing counts that was said before its GO was written.
            (false, _) => self.refuse(id, Code::NotYourTurn, message.bytes()),
            (true, Ok(answer)) if holds => {
                self.raw_take(now, id, &answer);
                self.pump(now, links);
            }
            // T11: it was allowed to say this, but too late for that turn.
            (true, Ok(answer)) => self.raw_set(id, Signal::Answered(Box::new(answer))),
            (true, Err(code)) => {
                self.refuse(id, code, message.bytes());
                self.raw_strike(now, id, holds, links);
            }
        }
    }

    /// The seat of `id` holds the turn, and this is its answer.
    fn raw_take(&mut self, now: Now, id: ConnectionId, answer: &Answer) {
        let Some(raw) = self.raw(id) else { return };
        raw.signal = Signal::Quiet;
        raw.strikes = 0;
        let seat = raw.seat;
        if let Some(data) = self.scheduler.data_mut(seat) {
            data.name = Some(answer.name);
        }
        let taken = self.scheduler.answer(now.instant, seat, None, answer.number);
        debug_assert!(taken.is_ok(), "the holder may answer");
    }

    /// T8: the holder has another try, unless it has had enough of them. A malformed answer that came too late closes its
    /// `GO`, so that the client, which waits for the next one, hears of its seat's next turn.
    fn raw_strike(&mut self, now: Now, id: ConnectionId, holds: bool, links: &mut Links) {
        let strikes = self.config.strikes;
        let Some(raw) = self.raw(id) else { return };
        raw.strikes += 1;
        raw.signal = Signal::Quiet;
        if raw.strikes >= strikes {
            if let Some(client) = self.client(id) {
                info!("{}: closed after {strikes} malformed answers in a row", client.peer);
            }
            self.dismiss(now, id, None, links);
        } else if holds {
            self.raw_go(id, links);
        }
    }

    fn raw_go(&mut self, id: ConnectionId, links: &mut Links) {
        links.send(id, GO);
        self.raw_set(id, Signal::Open { mark: links.mark(id) });
        self.raw_drop_early(id);
    }

    /// T9: the beginning of a message that came before its `GO` does not count, and must not spoil the answer to it.
    fn raw_drop_early(&mut self, id: ConnectionId) {
        let Some(raw) = self.raw(id) else { return };
        raw.is_early = false;
        if let Some(message) = raw.decoder.take() {
            raw.gather_until = None;
            self.refuse(id, Code::NotYourTurn, message.bytes());
        }
    }

    fn raw_set(&mut self, id: ConnectionId, signal: Signal) {
        if let Some(raw) = self.raw(id) {
            raw.signal = signal;
        }
    }

    fn raw_rearm(&mut self, id: ConnectionId) {
        let Some(Client { alarm, stage: Stage::Raw(raw), .. }) = self.clients.get_mut(id) else { return };
        let release = match raw.signal {
            Signal::HeldBack(release) => Some(release),
            Signal::Quiet | Signal::Open { .. } | Signal::Answered(_) => None,
        };
        self.timers.set(alarm, id, [release, raw.gather_until].into_iter().flatten().min());
    }

    fn raw(&mut self, id: ConnectionId) -> Option<&mut RawClient> {
        match &mut self.client(id)?.stage {
            Stage::Raw(raw) => Some(raw),
            Stage::Line(_) | Stage::Closing => None,
        }
    }
}
