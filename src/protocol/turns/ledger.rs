//! Events for the host, the answers that they refer to, and running counts.

use std::collections::VecDeque;

use super::TurnEvent;
use super::counts::TurnCounts;
use crate::hint::{likely, unlikely};
use crate::protocol::ConnectionId;
use crate::session::Code;
use crate::turn::{Grant, SeatId, TurnNumber};

/// The most refusals reported per pass. A line of two bytes can be refused, so thousands of clients that send
/// nothing else could fill the memory.
pub(super) const REPORTED_MAX: usize = 4096;

/// Names an accepted answer until the host has taken the events of its pass; see
/// [`TurnServer::answer`](super::TurnServer::answer).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AnswerId {
    start: u32,
    len: u32,
    pass: u32,
    /// The length of the name in front of a raw answer.
    name: u8,
}

/// An accepted answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Answer<'a> {
    /// The name that a raw client wrote in front of it; `None` for a client that joined under a name.
    pub raw_name: Option<&'a str>,
    /// The answer itself; from a raw client, the number as it was written.
    pub bytes: &'a [u8],
}

impl<'a> Answer<'a> {
    /// Returns the answer as text, if it is UTF-8.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::protocol::turns::Answer;
    ///
    /// assert_eq!(Answer { raw_name: None, bytes: b"e2 e4" }.text(), Some("e2 e4"));
    /// assert_eq!(Answer { raw_name: None, bytes: b"\xff" }.text(), None);
    /// ```
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes).ok()
    }

    /// Returns the answer as a number, if it is a decimal 64-bit one.
    ///
    /// # Examples
    ///
    /// ```
    /// use taketurns::protocol::turns::Answer;
    ///
    /// assert_eq!(Answer { raw_name: None, bytes: b"-17" }.number(), Some(-17));
    /// ```
    #[must_use]
    pub fn number(&self) -> Option<i64> {
        self.text()?.parse().ok()
    }

    /// Splits the message of a raw client, whose name has `name` bytes.
    pub(super) fn raw(message: &'a [u8], name: usize) -> Answer<'a> {
        let raw_name = message.get(..name).and_then(|name| std::str::from_utf8(name).ok());
        Answer { raw_name, bytes: message.get(name + 1..).unwrap_or_default() }
    }
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) counts: TurnCounts,
    /// The first event of the pass. It is nearly always the only one, and then takes no place in the queue.
    hand_over: Option<HandedOver>,
    events: VecDeque<TurnEvent>,
    /// The answers of this pass, end to end; at most the bytes that a pass reads.
    answers: Vec<u8>,
    pass: u32,
    /// The names of seats retired in this pass, for events that were reported before their end.
    retired: Vec<(SeatId, Box<str>)>,
    /// Whether the pass is over, so that the next answer is the first of another one.
    is_over: bool,
    /// Inputs refused, by the code that the client was told.
    refused: [u64; Code::ALL.len()],
    /// Refusals reported in this pass.
    reported: usize,
}

/// An answered turn that is still to be reported, and the turn that followed it.
#[derive(Debug, Clone, Copy)]
struct HandedOver {
    ended: Option<(SeatId, TurnNumber, AnswerId)>,
    granted: Grant,
}

impl Ledger {
    #[inline]
    pub(super) fn report(&mut self, event: TurnEvent) {
        if self.hand_over.is_some() {
            self.queue_hand_over();
        }
        if let TurnEvent::Ended { how, .. } = event {
            self.counts.note_ended(how);
        }
        self.events.push_back(event);
    }

    /// Moves it into the queue, because another event follows.
    #[cold]
    fn queue_hand_over(&mut self) {
        while let Some(event) = self.next_of_hand_over() {
            self.events.push_back(event);
        }
    }

    #[inline(always)]
    fn next_of_hand_over(&mut self) -> Option<TurnEvent> {
        let HandedOver { ended, granted } = self.hand_over.as_mut()?;
        if let Some((seat, turn, answer)) = ended.take() {
            return Some(TurnEvent::Accepted { seat, turn, answer });
        }
        let Grant { seat, turn } = *granted;
        self.hand_over = None;
        Some(TurnEvent::Granted { seat, turn })
    }

    /// Reports an answered turn together with the next one.
    #[inline(always)]
    pub(super) fn handed_over(
        &mut self,
        seat: SeatId,
        turn: TurnNumber,
        message: &[u8],
        name: usize,
        granted: Grant,
    ) {
        let ended = Some((seat, turn, self.keep(message, name)));
        if unlikely(self.hand_over.is_some()) {
            self.queue_hand_over();
        }
        self.hand_over = Some(HandedOver { ended, granted });
        if unlikely(!self.events.is_empty()) {
            self.queue_hand_over();
        }
    }

    /// Reports an answered turn. `message` is the answer; from a raw client, it is the whole message, with a
    /// name of `name` bytes.
    pub(super) fn accepted(&mut self, seat: SeatId, turn: TurnNumber, message: &[u8], name: usize) {
        let answer = self.keep(message, name);
        self.report(TurnEvent::Accepted { seat, turn, answer });
    }

    #[expect(clippy::cast_possible_truncation, reason = "both fit, because their sum does")]
    #[inline(always)]
    fn keep(&mut self, message: &[u8], name: usize) -> AnswerId {
        self.counts.accepted += 1;
        if self.is_over {
            self.begin_pass();
        }
        let (start, len) = (self.answers.len(), message.len());
        if unlikely(start + len > u32::MAX as usize) {
            // A pass reads far less than 4 GiB.
            return AnswerId { start: u32::MAX, len: 0, pass: self.pass, name: 0 };
        }
        let answer = AnswerId {
            start: start as u32,
            len: len as u32,
            pass: self.pass,
            name: u8::try_from(name).unwrap_or(0),
        };
        self.answers.extend_from_slice(message);
        answer
    }

    /// Reports a retired seat. Its name can still be found until the host has taken the events of this pass.
    pub(super) fn retired(&mut self, seat: SeatId, name: Box<str>) {
        if self.is_over {
            self.begin_pass();
        }
        self.retired.push((seat, name.clone()));
        self.report(TurnEvent::Retired { seat, name });
    }

    /// Returns the name of a seat that was retired since the last pass.
    pub(super) fn name_of_retired(&self, seat: SeatId) -> Option<&str> {
        self.retired.iter().find(|(retired, _)| *retired == seat).map(|(_, name)| &**name)
    }

    /// Keeps the buffer for the next pass, unless it has grown large.
    #[inline(always)]
    fn begin_pass(&mut self) {
        const KEPT_BYTES_MAX: usize = 64 * 1024;
        self.is_over = false;
        self.pass = self.pass.wrapping_add(1);
        if unlikely(self.answers.capacity() > KEPT_BYTES_MAX) {
            self.answers = Vec::new();
        }
        self.answers.clear();
        if unlikely(!self.retired.is_empty()) {
            self.retired = Vec::new();
        }
    }

    pub(super) fn answer(&self, id: AnswerId) -> Option<Answer<'_>> {
        let (start, end) = (id.start as usize, id.start as usize + id.len as usize);
        let message = self.answers.get(start..end).filter(|_| id.pass == self.pass)?;
        Some(match id.name {
            0 => Answer { raw_name: None, bytes: message },
            name => Answer::raw(message, usize::from(name)),
        })
    }

    /// Counts and reports an input that was refused with `code`.
    pub(super) fn refused(&mut self, connection: ConnectionId, code: Code) {
        self.counts.refused += 1;
        self.refused[code as usize] += 1;
        self.reported += 1;
        if self.reported <= REPORTED_MAX {
            self.report(TurnEvent::Refused { connection, code });
        }
    }

    pub(super) fn refused_as(&self, code: Code) -> u64 {
        self.refused[code as usize]
    }

    #[inline]
    pub(super) fn pass_ended(&mut self) {
        (self.reported, self.is_over) = (0, true);
    }

    #[inline]
    pub(super) fn next_event(&mut self) -> Option<TurnEvent> {
        if self.hand_over.is_some() {
            return self.next_of_hand_over();
        }
        if likely(self.events.is_empty()) { None } else { self.events.pop_front() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;
    use crate::turn::{Demand, Rules, Scheduler, SchedulerConfig, Weight};

    #[test]
    fn events_are_reported_in_order_whether_or_not_they_are_queued() {
        let now = Instant::ORIGIN;
        let mut scheduler = Scheduler::new(SchedulerConfig::default()).expect("rules that make sense");
        let ring = scheduler.make_ring(now, Rules::default()).expect("room");
        let (seat, _) = scheduler.join(now, ring, Weight::ONE, Demand::Always, ()).expect("room");
        let turn = |number| TurnNumber::new(number).expect("not 0");
        for script in ["h", "hh", "ah", "ha", "hah", "aah", "hhha"] {
            let (mut ledger, mut expected) = (Ledger::default(), String::new());
            for step in script.chars() {
                if step == 'h' {
                    ledger.handed_over(seat, turn(1), b"x", 0, Grant { seat, turn: turn(2) });
                    expected.push_str("AG");
                } else {
                    ledger.report(TurnEvent::Away { seat });
                    expected.push('a');
                }
            }
            let told: String = std::iter::from_fn(|| ledger.next_event())
                .map(|event| match event {
                    TurnEvent::Accepted { .. } => 'A',
                    TurnEvent::Granted { .. } => 'G',
                    _ => 'a',
                })
                .collect();
            assert_eq!(told, expected, "{script}");
        }
    }
}
