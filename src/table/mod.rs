//! Seats and their clients: names, rings, rules, hearers, secrets, and answers that count at most once. It
//! knows no framing.

mod mark;
mod named_rings;
mod seat;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

pub use mark::Mark;
pub(crate) use named_rings::{NamedRing, NamedRingId, NamedRings};
pub use seat::{LastAnswer, SeatData};
pub(crate) use seat::{LineIdentity, SeatName, Secrets};

use crate::hint::unlikely;
use crate::per_address::PerAddress;
use crate::protocol::{ConnectionId, Entropy};
use crate::record::{MetaValue, RingState, SeatValue, SecretHash};
use crate::session::{Bye, Code, Epoch, Fence, Name, Secret};
use crate::time::Instant;
use crate::turn::{
    Demand, HandOver, JoinError, Moved, Refusal, RingId, Rules, Scheduler, SeatId, SeatOrder, TurnNumber,
    Weight,
};

/// The seats of a server, and the rules for taking one.
pub(crate) struct Table {
    pub(crate) scheduler: Scheduler<SeatData>,
    pub(crate) named_rings: NamedRings,
    pub(crate) epoch: Epoch,
    /// The epoch as it is written.
    pub(crate) epoch_digits: [u8; 16],
    entropy: Entropy,
    addresses: PerAddress,
    /// The seats that raw clients left, by address, the longest-left first.
    left_by_raw: HashMap<IpAddr, VecDeque<SeatId>>,
}

/// The request of a client that joins a ring.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JoinRequest {
    pub(crate) name: Name,
    pub(crate) ring: Name,
    pub(crate) weight: Option<u64>,
    pub(crate) demand: Option<Demand>,
    pub(crate) terms: AdmissionTerms,
}

/// The terms of an admission, which override the rules of the ring and the requests of the client.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AdmissionTerms {
    pub(crate) weight: Option<Weight>,
    pub(crate) demand: Option<Demand>,
    /// The name belongs to exactly this client.
    pub(crate) owns_name: bool,
}

/// The seat that a raw client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawSeat {
    pub(crate) seat: SeatId,
    /// Another raw client had it before.
    pub(crate) is_back: bool,
    pub(crate) moved: Moved,
}

/// The reason why a client gets no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSeat {
    /// Refused; the client may try again on the same connection.
    No(Code, &'static str),
    /// Refused, and the connection is closed.
    Bye(Bye),
}

/// The outcome of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AnswerOutcome {
    /// It counts; the turn has moved on, and this client may be told at once.
    HandedOver(HandOver, Option<ConnectionId>),
    /// It counts; the turn has moved on.
    Accepted(Moved),
    /// The host judges it.
    Proposed(TurnNumber),
    /// It is the answer of the seat's last accepted turn, sent again.
    Repeated(TurnNumber),
}

impl Table {
    pub(crate) fn new(
        scheduler: Scheduler<SeatData>,
        seats_per_address_max: Option<usize>,
        mut entropy: Entropy,
    ) -> Table {
        let epoch = Epoch::random(&mut entropy);
        Table {
            scheduler,
            named_rings: NamedRings::default(),
            epoch,
            epoch_digits: epoch.digits(),
            entropy,
            addresses: PerAddress::new(seats_per_address_max),
            left_by_raw: HashMap::new(),
        }
    }

    /// Continues in the epoch of a state. Its turns are recorded.
    pub(crate) fn begin_from(&mut self, meta: &MetaValue) {
        (self.epoch, self.epoch_digits) = (meta.epoch, meta.epoch.digits());
        self.scheduler.enable_recording();
        self.scheduler.number_turns_above(meta.forgotten_turn);
    }

    /// Makes a ring as it was stored; returns `false` if it has no seat, and so is not made.
    pub(crate) fn restore(
        &mut self,
        now: Instant,
        name: Name,
        state: &RingState,
        return_time: Duration,
    ) -> Result<bool, JoinError> {
        let named_ring = self.named_rings.find_or_make(name);
        let seats = state.seats.iter().map(|(&place, &seat)| {
            let SeatValue { name, weight, demand, standing, tag, last, current, used } = seat;
            let secrets = Secrets { current, previous: used };
            let address = Ipv4Addr::UNSPECIFIED.into();
            let identity = LineIdentity { name, secrets, last, address, has_spoken: true };
            (SeatOrder { place, weight, demand, standing, tag }, SeatData::restored(named_ring, identity))
        });
        let Some((ring, seats)) = self.scheduler.restore(now, &state.ring, seats, return_time)? else {
            self.named_rings.tidy(now, named_ring);
            return Ok(false);
        };
        self.named_rings.set_ring(named_ring, Some(ring));
        for (seat, value) in seats.into_iter().zip(state.seats.values()) {
            self.named_rings.add_seat(&self.scheduler, named_ring, seat, &value.name);
            if state.with_ring.contains(&seat.place()) {
                self.named_rings.keep_with_ring(named_ring, seat);
            }
        }
        Ok(true)
    }

    pub(crate) fn ring_named(&self, name: &Name) -> Option<RingId> {
        self.named_rings.get(self.named_rings.find(name)?).ring
    }

    pub(crate) fn seat_named(&self, ring: &Name, name: &Name) -> Option<SeatId> {
        self.named_rings.seat_named(&self.scheduler, self.named_rings.find(ring)?, name)
    }

    pub(crate) fn name_of(&self, seat: SeatId) -> SeatName<'_> {
        SeatName { seat, name: self.scheduler.data(seat).and_then(SeatData::name) }
    }

    pub(crate) fn ring_name(&self, ring: RingId) -> Option<&Name> {
        Some(&self.named_rings.get(self.named_rings.of_ring(ring)?).name)
    }

    /// Returns the rules of a ring, or those that it would have if it existed.
    pub(crate) fn rules_for(&self, name: &Name) -> &Rules {
        let existing = self.ring_named(name).and_then(|ring| self.scheduler.rules(ring));
        existing.or_else(|| self.named_rings.rules(name)).unwrap_or(&self.scheduler.config().rules)
    }

    /// Returns the weight and demand of the new seat, or the reason why there is none.
    pub(crate) fn may_join(&self, now: Instant, request: &JoinRequest) -> Result<(Weight, Demand), NoSeat> {
        let rules = self.rules_for(&request.ring);
        let weight = request.terms.weight.or_else(|| rules.weight(request.weight));
        let weight = weight.ok_or(NoSeat::No(Code::OutOfRange, "this ring does not give that weight"))?;
        let demand = request.terms.demand.or_else(|| rules.demand(request.demand));
        let demand = demand.ok_or(NoSeat::No(Code::OutOfRange, "this ring does not have that demand"))?;
        let named_ring = self.named_rings.find(&request.ring).map(|id| self.named_rings.get(id));
        let removed_until = named_ring.and_then(|named_ring| named_ring.removed.get(&request.name));
        if removed_until.is_some_and(|until| *until > now) {
            return Err(NoSeat::Bye(Bye::Removed));
        }
        match self.seat_named(&request.ring, &request.name) {
            Some(seat) if !self.is_free(seat, request.terms.owns_name) => Err(NoSeat::Bye(Bye::NameTaken)),
            _ => Ok((weight, demand)),
        }
    }

    /// Returns whether a client may take the name of `seat` without its secret.
    fn is_free(&self, seat: SeatId, owns_name: bool) -> bool {
        let has_spoken =
            self.scheduler.data(seat).and_then(SeatData::line_identity).is_none_or(|line| line.has_spoken);
        !self.scheduler.is_occupied(seat) && (owns_name || !has_spoken)
    }

    /// Whether a client from `address` would get a new seat in `ring`, if there is room for one at all.
    pub(crate) fn has_room_for(&self, address: IpAddr, ring: &Name) -> bool {
        self.addresses.has_room(address) && !self.is_full(ring)
    }

    /// Whether `ring` has as many seats as it may have.
    pub(crate) fn is_full(&self, ring: &Name) -> bool {
        let seats = self.ring_named(ring).map_or(0, |ring| self.scheduler.seat_count(ring));
        self.rules_for(ring).seats_max.is_some_and(|max| seats >= max)
    }

    /// Whether raw clients, whose demand is `always`, may have seats in `ring`.
    pub(crate) fn may_be_raw(&self, ring: &Name) -> bool {
        self.rules_for(ring).demand(Some(Demand::Always)).is_some()
    }

    /// Whether a raw client from `address` finds a seat that a client of the same address has left.
    pub(crate) fn has_left_by_raw(&self, address: IpAddr) -> bool {
        self.left_by_raw.get(&address).is_some_and(|left| !left.is_empty())
    }

    /// Gives a client a new seat under a free name, and its secret.
    pub(crate) fn join(
        &mut self,
        now: Instant,
        client: ConnectionId,
        address: IpAddr,
        request: &JoinRequest,
    ) -> Result<(SeatId, Secret, Moved), NoSeat> {
        let (weight, demand) = self.may_join(now, request)?;
        if !self.addresses.has_room(address) {
            return Err(NoSeat::Bye(Bye::Full));
        }
        let named_ring = self.named_rings.find_or_make(request.ring);
        let secret = self.new_secret();
        let secrets = Secrets { current: SecretHash::of(&secret), previous: None };
        let identity = LineIdentity { name: request.name, secrets, last: None, address, has_spoken: false };
        let data = SeatData::line(client, named_ring, identity);
        let joined = self.make_seat(now, named_ring, weight, demand, data);
        match joined {
            Ok((seat, moved)) => {
                self.named_rings.add_seat(&self.scheduler, named_ring, seat, &request.name);
                Ok((seat, secret, moved))
            }
            Err(error) => {
                self.named_rings.tidy(now, named_ring);
                Err(NoSeat::Bye(bye_of(error)))
            }
        }
    }

    /// Gives a raw client the seat that a client from its address left longest ago, or a new one.
    pub(crate) fn seat_raw(
        &mut self,
        now: Instant,
        client: ConnectionId,
        address: IpAddr,
        ring: Name,
    ) -> Result<RawSeat, Bye> {
        while let Some(seat) = self.left_by_raw.get_mut(&address).and_then(VecDeque::pop_front) {
            if let Some(data) = self.scheduler.data_mut(seat).filter(|data| data.client.is_none()) {
                data.take_over(client);
                return Ok(RawSeat { seat, is_back: true, moved: self.scheduler.occupy(now, seat) });
            }
        }
        if !self.may_be_raw(&ring) {
            return Err(Bye::Forbidden);
        }
        if !self.addresses.has_room(address) {
            return Err(Bye::Full);
        }
        let named_ring = self.named_rings.find_or_make(ring);
        let counted = self.addresses.is_limited().then_some(address);
        let data = SeatData::raw(client, named_ring, counted);
        match self.make_seat(now, named_ring, Weight::ONE, Demand::Always, data) {
            Ok((seat, moved)) => Ok(RawSeat { seat, is_back: false, moved }),
            Err(error) => {
                self.named_rings.tidy(now, named_ring);
                Err(bye_of(error))
            }
        }
    }

    fn make_seat(
        &mut self,
        now: Instant,
        named_ring: NamedRingId,
        weight: Weight,
        demand: Demand,
        data: SeatData,
    ) -> Result<(SeatId, Moved), JoinError> {
        let (ring, is_new) = match self.named_rings.get(named_ring).ring {
            Some(ring) => (ring, false),
            None => {
                let name = self.named_rings.get(named_ring).name;
                let rules = self.rules_for(&name).clone();
                (self.scheduler.make_ring(now, rules)?, true)
            }
        };
        let address = data.address();
        match self.scheduler.join(now, ring, weight, demand, data) {
            Ok(joined) => {
                self.named_rings.set_ring(named_ring, Some(ring));
                if let Some(address) = address {
                    self.addresses.add(address);
                }
                Ok(joined)
            }
            Err(error) => {
                if is_new {
                    self.scheduler.forget_unused(ring);
                }
                Err(error)
            }
        }
    }

    /// Moves the seat of `name` to another connection, if `secret` is its own; returns the seat, its new
    /// secret, and the previous connection.
    pub(crate) fn resume(
        &mut self,
        client: ConnectionId,
        ring: &Name,
        name: &Name,
        secret: Option<Secret>,
    ) -> Option<(SeatId, Secret, Option<ConnectionId>)> {
        let (seat, fresh) = (self.seat_named(ring, name), self.new_secret());
        let (seat, secret) = seat.zip(secret)?;
        let data = self.scheduler.data_mut(seat)?;
        let line = data.line_identity_mut()?;
        let Secrets { current, previous } = line.secrets;
        let used = SecretHash::of(&secret);
        let is_valid = (current == used) | previous.is_some_and(|previous| previous == used);
        if !is_valid {
            return None;
        }
        // The client may never receive the new secret, so the one that it used stays valid until it speaks.
        line.secrets = Secrets { current: SecretHash::of(&fresh), previous: Some(used) };
        Some((seat, fresh, data.client.replace(client)))
    }

    /// Notes that the client of `seat` has sent something valid. So it has its secret, and the previous one
    /// is invalid.
    #[inline]
    pub(crate) fn note_spoken(&mut self, seat: SeatId) {
        if let Some(line) = self.scheduler.data_mut(seat).and_then(SeatData::line_identity_mut) {
            line.has_spoken = true;
            line.secrets.previous = None;
        }
    }

    /// Takes an answer of a seat that was joined under a name.
    #[inline(always)]
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        seat: SeatId,
        fence: Fence,
        answer: &[u8],
    ) -> Result<AnswerOutcome, Code> {
        if unlikely(fence.epoch.is_some_and(|epoch| epoch != self.epoch)) {
            return Err(Code::StaleTurn);
        }
        let refusal = match self.scheduler.holding(seat, fence.turn) {
            Ok(mut holding) => {
                let turn = holding.turn();
                if unlikely(holding.is_judged_by_host()) {
                    let _ = holding.judge(now);
                    return Ok(AnswerOutcome::Proposed(turn));
                }
                if let Some(line) = holding.data().line_identity_mut() {
                    line.last = Some(LastAnswer { turn, mark: Mark::of(answer) });
                }
                return Ok(match holding.hand_over(now) {
                    Ok((handed, next)) => AnswerOutcome::HandedOver(handed, next.client),
                    Err(moved) => AnswerOutcome::Accepted(moved),
                });
            }
            Err(refusal) => refusal,
        };
        self.repeated(seat, fence, answer).ok_or(code_of(refusal))
    }

    /// Recognises an answer to an earlier turn that the seat sends again.
    #[cold]
    fn repeated(&self, seat: SeatId, fence: Fence, answer: &[u8]) -> Option<AnswerOutcome> {
        let last = self.scheduler.data(seat)?.line_identity()?.last?;
        let is_same = fence.turn == Some(last.turn.get()) && last.mark == Mark::of(answer);
        is_same.then_some(AnswerOutcome::Repeated(last.turn))
    }

    /// Notes that no client has `seat` any more. Its place is kept.
    pub(crate) fn leave_place(&mut self, now: Instant, seat: SeatId, address: IpAddr) -> Moved {
        if let Some(data) = self.scheduler.data_mut(seat) {
            data.client = None;
            if data.is_raw() {
                data.set_raw_address(address);
                self.left_by_raw.entry(address).or_default().push_back(seat);
            }
        }
        self.scheduler.vacate(now, seat)
    }

    /// Forgets everything about a seat that the scheduler has given up.
    pub(crate) fn forget(&mut self, now: Instant, seat: SeatId, data: &SeatData) {
        if let Some(address) = data.address() {
            if let Some(left) = self.left_by_raw.get_mut(&address) {
                // Nearly always it is the first one, because that one was left longest ago.
                match left.front() {
                    Some(first) if *first == seat => drop(left.pop_front()),
                    _ => left.retain(|other| *other != seat),
                }
                if left.is_empty() {
                    self.left_by_raw.remove(&address);
                }
            }
            self.addresses.remove(address);
        }
        if let Some(name) = data.name() {
            self.named_rings.remove_seat(data.named_ring, seat, name);
        }
        let named_ring = self.named_rings.get(data.named_ring);
        if !self.scheduler.has_ring(seat.ring()) && named_ring.ring == Some(seat.ring()) {
            self.named_rings.set_ring(data.named_ring, None);
            self.named_rings.tidy(now, data.named_ring);
        }
    }

    pub(crate) fn new_secret(&mut self) -> Secret {
        let mut bits = [0; 16];
        (self.entropy)(&mut bits);
        Secret::new(bits)
    }
}

fn bye_of(error: JoinError) -> Bye {
    match error {
        JoinError::RingFull => Bye::RingFull,
        JoinError::Draining => Bye::ShuttingDown,
        _ => Bye::Full,
    }
}

pub(crate) fn code_of(refusal: Refusal) -> Code {
    match refusal {
        Refusal::NotYourTurn => Code::NotYourTurn,
        Refusal::Judging => Code::Judging,
        Refusal::HoldMax => Code::HoldMax,
        _ => Code::StaleTurn,
    }
}
