//! A connection that speaks the line protocol: its role, and its bytes cut into messages.

use super::request::Join;
use super::{Bye, InvalidHex, Name, Secret, Token};
use crate::table::{AdmissionTerms, NamedRingId};
use crate::time::{Alarm, Instant, earlier};
use crate::turn::{Demand, SeatId};
use crate::wire::message::{Limits, Line, LineError, split_line};

/// A mark that is never reached.
pub(crate) const UNMARKED: u64 = u64::MAX;

/// One connection that speaks the line protocol.
#[derive(Debug)]
pub(crate) struct LineSession {
    pub(crate) role: Role,
    pub(crate) alarm: Alarm,
    /// It has sent a valid line since it got a seat on this connection.
    pub(crate) has_spoken: bool,
    /// Its first line has arrived, and belonged to this protocol.
    pub(crate) has_begun: bool,
    /// It has sent a malformed line before it joined.
    pub(crate) has_erred: bool,
    /// How it learns that its answers count.
    pub(crate) confirm: Confirm,
    /// Bytes of a payload that are still to be skipped, its LF included.
    skip: usize,
    /// The deadline of a line or payload that has begun; `None` if none has.
    pub(crate) goes_on_until: Option<Instant>,
    /// The first `GO` of its turn is written once the link has written up to this mark, which is [`UNMARKED`]
    /// before it is queued.
    pub(crate) go_mark: u64,
}

/// How a client learns that its answers count (L14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Confirm {
    /// By an `OK` for each.
    AtOnce,
    /// By `last=` in its next `GO`. `is_owed`: the seat's last accepted answer has not been confirmed on this
    /// connection, and a `GO` is due.
    ByGo { is_owed: bool },
}

/// The role of a connection.
#[derive(Debug)]
pub(crate) enum Role {
    /// It has neither joined nor watched yet, and must do so before `until`.
    Newcomer { until: Instant },
    /// It waits for the host to admit it.
    Admitting(Box<Admitting>),
    /// It has a seat.
    Seated { seat: SeatId, hears: Option<NamedRingId> },
    /// It hears a ring without a seat.
    Hearing(NamedRingId),
}

/// The request of a connection that waits for the host's decision.
#[derive(Debug)]
pub(crate) struct Admitting {
    pub(crate) until: Instant,
    pub(crate) wants: Wants,
    /// Messages of the host, to be sent right after the welcome.
    pub(crate) words: Vec<Box<[u8]>>,
}

/// The request of a newcomer.
#[derive(Debug, Clone)]
pub(crate) enum Wants {
    /// A seat, new or resumed.
    Seat(Seating),
    /// To hear a ring.
    Hear(Name),
}

/// A `JOIN`, without the token, which only the host sees.
#[derive(Debug, Clone)]
pub(crate) struct Seating {
    pub(crate) name: Name,
    pub(crate) ring: Name,
    /// The secret of the seat to resume, or the error if it is invalid. Not as text, which `Debug` would
    /// show.
    pub(crate) resume: Option<Result<Secret, InvalidHex>>,
    pub(crate) weight: Option<u64>,
    pub(crate) demand: Option<Demand>,
    pub(crate) hears: bool,
    pub(crate) confirms_by_go: bool,
    pub(crate) terms: AdmissionTerms,
}

impl Seating {
    pub(crate) fn of(join: &Join<'_>) -> Seating {
        let Join { name, ring, resume, weight, demand, hears, confirms_by_go, .. } = *join;
        let (resume, terms) = (resume.map(str::parse), AdmissionTerms::default());
        Seating { name, ring, resume, weight, demand, hears, confirms_by_go, terms }
    }
}

/// The next step in the input.
#[derive(Debug)]
pub(crate) enum Step<'i> {
    /// The end of the message has not arrived.
    Incomplete,
    /// This many bytes were part of a payload that is skipped.
    Skipped(usize),
    /// A line, and its payload if it has one.
    Line(Line<'i>),
    /// The bytes are not a message.
    Broken(Bye),
}

impl LineSession {
    pub(crate) fn new(until: Instant) -> LineSession {
        LineSession {
            role: Role::Newcomer { until },
            alarm: Alarm::default(),
            has_spoken: false,
            has_begun: false,
            has_erred: false,
            confirm: Confirm::AtOnce,
            skip: 0,
            goes_on_until: None,
            go_mark: UNMARKED,
        }
    }

    /// Finds the next message in `input`.
    #[inline]
    pub(crate) fn step<'i>(&mut self, input: &'i [u8], limits: &Limits) -> Step<'i> {
        if self.skip > 0 {
            return self.skip_payload(input);
        }
        match split_line(input, limits) {
            Ok(Some(line)) => Step::Line(line),
            Ok(None) => Step::Incomplete,
            Err(LineError::TooLong) => Step::Broken(Bye::TooLong),
            Err(LineError::NotUtf8) => Step::Broken(Bye::NotUtf8),
            Err(LineError::Payload) => Step::Broken(Bye::Malformed),
        }
    }

    /// Skips the payload of `bytes` bytes that follows a refused line.
    pub(crate) fn skip(&mut self, bytes: usize) {
        // Saturation does no harm: no peer sends that much.
        self.skip = bytes.saturating_add(1);
    }

    #[cold]
    fn skip_payload<'i>(&mut self, input: &[u8]) -> Step<'i> {
        if input.is_empty() {
            return Step::Incomplete;
        }
        let count = input.len().min(self.skip);
        self.skip -= count;
        match self.skip {
            0 if input[count - 1] != b'\n' => Step::Broken(Bye::Malformed),
            _ => Step::Skipped(count),
        }
    }

    /// Whether a payload that is skipped has not ended.
    pub(crate) fn is_skipping(&self) -> bool {
        self.skip > 0
    }

    pub(crate) fn seat(&self) -> Option<SeatId> {
        match self.role {
            Role::Seated { seat, .. } => Some(seat),
            Role::Newcomer { .. } | Role::Admitting(_) | Role::Hearing(_) => None,
        }
    }

    /// Returns its seat, if it has sent something from there before and no message of it has begun.
    #[inline]
    pub(crate) fn seat_at_rest(&self) -> Option<SeatId> {
        match self.role {
            Role::Seated { seat, .. }
                if self.has_spoken && self.skip == 0 && self.goes_on_until.is_none() =>
            {
                Some(seat)
            }
            _ => None,
        }
    }

    /// Notes that an answer counted and a `GO` is due. Returns whether that will confirm the answer.
    #[inline]
    pub(crate) fn owe(&mut self) -> bool {
        match &mut self.confirm {
            Confirm::AtOnce => false,
            Confirm::ByGo { is_owed } => {
                *is_owed = true;
                true
            }
        }
    }

    /// Notes that the client is told that its last answer counted. Returns whether it was not told before.
    pub(crate) fn settle(&mut self) -> bool {
        match &mut self.confirm {
            Confirm::AtOnce => false,
            Confirm::ByGo { is_owed } => std::mem::take(is_owed),
        }
    }

    /// Returns whether it watches its ring without a seat.
    pub(crate) fn is_watching(&self) -> bool {
        matches!(self.role, Role::Hearing(_))
    }

    /// Returns the deadline of the connection, if it has one.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let hello = match &self.role {
            Role::Newcomer { until } => Some(*until),
            Role::Admitting(admitting) => Some(admitting.until),
            Role::Seated { .. } | Role::Hearing(_) => None,
        };
        earlier(hello, self.goes_on_until)
    }
}

/// The token for the host, kept until it has decided.
pub(crate) fn kept(token: Option<Token<'_>>) -> Option<Box<str>> {
    token.map(|token| token.expose().into())
}
