//! Rings: their rules, last numbers and held turns; and the state that a host keeps for a ring.

use std::time::Duration;

use super::codec::{Malformed, Reader, Writer};
use super::seat::SeatValue;
use crate::turn::{Demand, Demands, HoldMax, Judging, LeaseValue, RingValue, Rules, Tag, TurnNumber, Weight};

impl Tag {
    pub(super) fn write(self, to: Writer) -> Writer {
        to.u64(self.whole).u64(self.part).u64(self.given)
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Tag, Malformed> {
        const FIELD: &str = "a position in virtual time";
        Ok(Tag { whole: from.u64(FIELD)?, part: from.u64(FIELD)?, given: from.u64(FIELD)? })
    }
}

impl LeaseValue {
    /// Writes a lease. No limit is written as the longest possible time.
    fn write(to: Writer, lease: &LeaseValue) -> Writer {
        to.u64(lease.place)
            .u64(lease.turn.get())
            .duration(lease.silent)
            .duration(lease.hold.unwrap_or(Duration::MAX))
            .u8(lease.asks_again.into())
            .u8(lease.kept.into())
    }

    fn read(from: &mut Reader<'_>) -> Result<LeaseValue, Malformed> {
        let place = from.u64("the place of the holder")?;
        let number = |from: &mut Reader<'_>| from.u64("the number of the held turn");
        let turn = from.sensible("the number of a turn", number, TurnNumber::new)?;
        let silent = from.duration("the time to be silent")?;
        let hold = from.duration("the time of the turn")?;
        let hold = (hold != Duration::from_nanos(u64::MAX)).then_some(hold);
        let asks_again = from.flag("whether it asks again")?;
        let kept = from.flag("whether the turn is kept")?;
        Ok(LeaseValue { place, turn, silent, hold, asks_again, kept })
    }
}

/// The most seats of a ring that are kept in its entry.
pub const SEATS_WITH_RING_MAX: usize = 4;

/// The value of [`Key::Ring`](super::Key::Ring): a ring, and up to [`SEATS_WITH_RING_MAX`] of its seats. They
/// stay there for as long as they exist; other seats have their own entries. So a hand-over in a small ring
/// changes one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingEntry {
    /// The ring.
    pub ring: RingValue,
    /// The seats, by ascending place.
    pub seats: Vec<(u64, SeatValue)>,
}

impl RingEntry {
    /// Returns the byte form.
    ///
    /// # Panics
    ///
    /// Panics if it has more than [`SEATS_WITH_RING_MAX`] seats.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let RingEntry { ring, seats } = self;
        assert!(
            seats.len() <= SEATS_WITH_RING_MAX,
            "{} seats are too many for the entry of a ring",
            seats.len()
        );
        let to = write_rules(Writer::new(), &ring.rules).u64(ring.last_turn).u64(ring.last_place);
        let to = ring.virtual_time.write(to).u64(ring.tags_given);
        let to = to.option(ring.lease.as_ref(), LeaseValue::write);
        let to = to.u8(u8::try_from(seats.len()).expect("few"));
        seats.iter().fold(to, |to, (place, seat)| seat.write(to.u64(*place))).finish()
    }

    /// Parses the byte form.
    ///
    /// # Errors
    ///
    /// Returns [`Malformed`], with the flaw and its position, if `bytes` are not such a value.
    pub fn decode(bytes: &[u8]) -> Result<RingEntry, Malformed> {
        let mut from = Reader::new(bytes)?;
        let ring = RingValue {
            rules: from.sensible("rules that can be kept", read_rules, |rules| {
                rules.check().is_ok().then_some(rules)
            })?,
            last_turn: from.u64("the last turn")?,
            last_place: from.u64("the last place")?,
            virtual_time: Tag::read(&mut from)?,
            tags_given: from.u64("the number of tags")?,
            lease: from.option("whether a turn is held", LeaseValue::read)?,
        };
        let count = from.one_of("a count of seats that fit", |count| {
            (usize::from(count) <= SEATS_WITH_RING_MAX).then_some(count)
        })?;
        let mut seats: Vec<(u64, SeatValue)> = Vec::new();
        for _ in 0..count {
            let place = |from: &mut Reader<'_>| from.u64("the place of a seat");
            let last = seats.last().map(|(place, _)| *place);
            let place = from.sensible("a place above the one before", place, |place| {
                last.is_none_or(|last| last < place).then_some(place)
            })?;
            seats.push((place, SeatValue::read(&mut from)?));
        }
        from.finish(RingEntry { ring, seats })
    }
}

fn write_rules(to: Writer, rules: &Rules) -> Writer {
    let to = to
        .count(rules.min_seats)
        .option(rules.seats_max, Writer::count)
        .u8(rules.weight_max.value())
        .u8(match rules.demands {
            Demands::Any => 0,
            Demands::Only(Demand::Always) => 1,
            Demands::Only(Demand::Ask) => 2,
        })
        .duration(rules.turn_deadline);
    let to = match rules.hold_max {
        HoldMax::TurnDeadline => to.u8(0),
        HoldMax::Time(time) => to.u8(1).duration(time),
        HoldMax::Unlimited => to.u8(2),
    };
    to.duration(rules.turn_grace)
        .duration(rules.seat_grace)
        .u8(match rules.judging {
            Judging::Automatic => 0,
            Judging::Host => 1,
        })
        .duration(rules.judging_timeout)
        .u64(rules.proposals_max.into())
}

fn read_rules(from: &mut Reader<'_>) -> Result<Rules, Malformed> {
    Ok(Rules {
        min_seats: from.count("the least seats")?,
        seats_max: from.option("a limit of seats", |from| from.count("the most seats"))?,
        weight_max: read_weight(from)?,
        demands: from.one_of("the demands of a ring", |byte| {
            [Demands::Any, Demands::Only(Demand::Always), Demands::Only(Demand::Ask)]
                .get(usize::from(byte))
                .copied()
        })?,
        turn_deadline: from.duration("the deadline of a turn")?,
        hold_max: match from.one_of("a limit of a turn", |byte| (byte <= 2).then_some(byte))? {
            0 => HoldMax::TurnDeadline,
            1 => HoldMax::Time(from.duration("the longest turn")?),
            _ => HoldMax::Unlimited,
        },
        turn_grace: from.duration("the grace of a turn")?,
        seat_grace: from.duration("the grace of a seat")?,
        judging: from.one_of("the judge of answers", |byte| {
            [Judging::Automatic, Judging::Host].get(usize::from(byte)).copied()
        })?,
        judging_timeout: from.duration("the time to judge")?,
        proposals_max: from.u16("the most proposals")?,
    })
}

pub(super) fn read_weight(from: &mut Reader<'_>) -> Result<Weight, Malformed> {
    from.one_of("a weight of 1 to 100", Weight::new)
}

/// The longest state that a host may keep for a ring, in bytes (M23).
pub const HOST_STATE_BYTES_MAX: usize = 64 * 1024;

/// The value of [`Key::Host`](super::Key::Host): the host's state of a ring. It is written together with the
/// answer to which it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostValue(pub Vec<u8>);

impl HostValue {
    /// Returns the byte form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        Writer::new().bytes(&self.0).finish()
    }

    /// Parses the byte form.
    ///
    /// # Errors
    ///
    /// Returns [`Malformed`], with the flaw and its position, if `bytes` are not such a value.
    pub fn decode(bytes: &[u8]) -> Result<HostValue, Malformed> {
        let mut from = Reader::new(bytes)?;
        let state = from.rest("a state of at most 65,536 bytes", HOST_STATE_BYTES_MAX)?.to_vec();
        from.finish(HostValue(state))
    }
}
