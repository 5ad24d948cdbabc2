//! Proposals: answers that the host judges.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};

use super::ledger::Answer;
use crate::session::Bye;
use crate::table::Mark;
use crate::turn::{HostError, SeatId, TurnNumber};

/// An answer that waits for the host's verdict.
///
/// The clock of its turn stands still meanwhile, for at most the ring's `judging_timeout`. Dropping a
/// proposal without a verdict refuses it, and this is logged.
#[must_use = "a proposal that is dropped without a verdict is refused"]
pub struct Proposal(Box<Proposed>);

struct Proposed {
    seat: SeatId,
    turn: TurnNumber,
    message: Box<[u8]>,
    /// The length of the name in front of a raw answer.
    name: usize,
    /// Lets the server notice that the proposal was dropped.
    _alive: Arc<()>,
}

impl Proposal {
    /// Returns the seat that answered.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!("config.rules.judging = Judging::Host;")]
    /// server.handle_bytes(now, ann, b"ANSWER :17\n", &mut links);
    /// let proposal = std::iter::from_fn(|| server.poll_event()).find_map(|event| match event {
    ///     TurnEvent::Proposed(proposal) => Some(proposal),
    ///     _ => None,
    /// });
    /// let proposal = proposal.expect("she has answered");
    /// assert_eq!(Some(proposal.seat()), server.seat_of(ann));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn seat(&self) -> SeatId {
        self.0.seat
    }

    /// Returns the turn.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!("config.rules.judging = Judging::Host;")]
    /// server.handle_bytes(now, ann, b"ANSWER :17\n", &mut links);
    /// let proposal = std::iter::from_fn(|| server.poll_event()).find_map(|event| match event {
    ///     TurnEvent::Proposed(proposal) => Some(proposal),
    ///     _ => None,
    /// });
    /// let proposal = proposal.expect("she has answered");
    /// assert_eq!(proposal.turn().get(), 1);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn turn(&self) -> TurnNumber {
        self.0.turn
    }

    /// Returns the answer; from a raw client, its whole message with the length of the name in front.
    pub(super) fn message(&self) -> (&[u8], usize) {
        (&self.0.message, self.0.name)
    }

    /// Returns the answer.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = two_clients!("config.rules.judging = Judging::Host;")]
    /// server.handle_bytes(now, ann, b"ANSWER :17\n", &mut links);
    /// let proposal = std::iter::from_fn(|| server.poll_event()).find_map(|event| match event {
    ///     TurnEvent::Proposed(proposal) => Some(proposal),
    ///     _ => None,
    /// });
    /// let proposal = proposal.expect("she has answered");
    /// assert_eq!(proposal.answer().number(), Some(17));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn answer(&self) -> Answer<'_> {
        match self.0.name {
            0 => Answer { raw_name: None, bytes: &self.0.message },
            name => Answer::raw(&self.0.message, name),
        }
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proposal")
            .field("seat", &self.0.seat)
            .field("turn", &self.0.turn)
            .field("bytes", &self.0.message.len())
            .finish_non_exhaustive()
    }
}

/// The host's decision on a [`Proposal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict<'a> {
    /// The answer counts.
    Accept {
        /// The seat that gets the next turn, if the host names one.
        next: Option<SeatId>,
        /// Words for the holder, sent with its `OK`.
        words: Option<&'a str>,
        /// The host's own state of the ring, such as a board: at most 64 KiB. With a store, it becomes
        /// durable together with the answer, and a restored server [returns
        /// it](super::TurnServer::host_state). `None` leaves the state as it is.
        state: Option<&'a [u8]>,
    },
    /// The answer does not count. The holder keeps its turn and is told why.
    Refuse {
        /// The reason, for the holder.
        words: &'a str,
    },
}

impl Verdict<'_> {
    /// The answer counts, and the order decides who is next.
    pub const ACCEPT: Verdict<'static> = Verdict::Accept { next: None, words: None, state: None };
}

/// A verdict that changed nothing.
#[derive(Debug)]
pub struct Unruled {
    /// The reason.
    pub error: HostError,
    /// The proposal, if it can still be ruled on.
    pub proposal: Option<Proposal>,
}

impl fmt::Display for Unruled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Unruled {}

/// The server's side of a proposal.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) turn: TurnNumber,
    pub(super) mark: Mark,
    /// The number of times the answer was sent on this connection; each copy gets a reply.
    pub(super) replies: u32,
    /// The step to take after the verdict.
    pub(super) after_turn: AfterTurn,
    alive: Weak<()>,
}

/// A step to take for a seat once its turn has moved on. A later one takes precedence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AfterTurn {
    /// None: the seat stays.
    Stay,
    /// Stop counting its raw client, which is on trial, until it speaks (L10).
    Rest,
    /// Retire the seat, because its client has left.
    Leave,
    /// Retire the seat with these words, because the host has cleared its ring.
    Clear(Box<str>),
    /// Retire the seat, because the host has removed it.
    Remove,
}

/// The proposals that wait for a verdict, at most one per ring. They are ordered by seat, so that the same
/// history always produces the same bytes.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    open: BTreeMap<SeatId, Open>,
    /// Whether any were reported since the last pass.
    pub(super) are_new: bool,
    /// Whether the host was just handed a proposal, and so may have dropped it.
    pub(super) may_be_dropped: bool,
}

impl Proposals {
    pub(super) fn add(
        &mut self,
        seat: SeatId,
        turn: TurnNumber,
        answer: Mark,
        message: &[u8],
        name: usize,
    ) -> Proposal {
        self.are_new = true;
        let alive = Arc::new(());
        let open = Open {
            turn,
            mark: answer,
            replies: 1,
            after_turn: AfterTurn::Stay,
            alive: Arc::downgrade(&alive),
        };
        self.open.insert(seat, open);
        Proposal(Box::new(Proposed { seat, turn, message: message.into(), name, _alive: alive }))
    }

    /// Defers a step until the verdict on the answer of `seat`. Returns `false` if none is awaited. A `LEAVE`
    /// does not undo a removal.
    pub(super) fn defer(&mut self, seat: SeatId, after_turn: AfterTurn) -> bool {
        let Some(open) = self.open.get_mut(&seat) else { return false };
        if after_turn > open.after_turn {
            open.after_turn = after_turn;
        }
        true
    }

    /// Lets a removal that was deferred refuse no name.
    pub(super) fn lift(&mut self, seat: SeatId) {
        if let Some(open) = self.open.get_mut(&seat).filter(|open| open.after_turn == AfterTurn::Remove) {
            open.after_turn = AfterTurn::Clear(Bye::Removed.words().into());
        }
    }

    /// Returns whether any proposal waits for a verdict.
    #[inline]
    pub(super) fn are_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Returns whether the host has dropped a proposal.
    pub(super) fn has_dropped(&self) -> bool {
        self.open.values().any(|open| open.alive.strong_count() == 0)
    }

    pub(super) fn get_mut(&mut self, seat: SeatId) -> Option<&mut Open> {
        self.open.get_mut(&seat)
    }

    pub(super) fn take(&mut self, seat: SeatId) -> Option<Open> {
        self.open.remove(&seat)
    }

    /// Takes a proposal that the host has dropped.
    pub(super) fn take_dropped(&mut self) -> Option<(SeatId, Open)> {
        let dropped =
            self.open.iter().find(|(_, open)| open.alive.strong_count() == 0).map(|(&seat, _)| seat)?;
        Some((dropped, self.open.remove(&dropped)?))
    }

    pub(super) fn seats(&self) -> Vec<SeatId> {
        self.open.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;
    use crate::turn::{Demand, Rules, Scheduler, SchedulerConfig, Weight};

    #[test]
    fn a_proposal_that_is_dropped_is_found() {
        let mut scheduler = Scheduler::new(SchedulerConfig::default()).expect("valid");
        let ring = scheduler.make_ring(Instant::ORIGIN, Rules::default()).expect("room");
        let (seat, _) = scheduler.join(Instant::ORIGIN, ring, Weight::ONE, Demand::Always, ()).expect("room");
        let turn = TurnNumber::new(1).expect("not 0");
        let mut proposals = Proposals::default();
        let proposal = proposals.add(seat, turn, Mark::of(b"17"), b"ann:17", 3);
        assert_eq!(
            (proposal.turn(), proposal.answer().raw_name, proposal.answer().number()),
            (turn, Some("ann"), Some(17))
        );
        assert!(proposals.take_dropped().is_none());
        drop(proposal);
        assert!(proposals.take_dropped().is_some_and(|(dropped, open)| dropped == seat && open.turn == turn));
        assert!(proposals.seats().is_empty());
    }
}
