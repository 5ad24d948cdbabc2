//! Export: a state as lines of JSON, to read it or to move it to another format.
//!
//! The first line is the journal's, followed by rings, seats and host states. The last line counts them, so
//! that a truncated file is noticed. Times are in nanoseconds, bytes in hexadecimal.

use std::io::{self, BufRead, Read as _, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::Fault;
use super::identity::FORMAT;
use crate::record::{
    HOST_STATE_BYTES_MAX, HostValue, LastAnswer, LeaseValue, Mark, MetaValue, RingState, RingValue,
    SeatValue, SecretHash, Standing, State, Tag,
};
use crate::session::{Epoch, Name};
use crate::turn::{Demand, Demands, HoldMax, Judging, Rules, TurnNumber, Weight};

#[derive(Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "lowercase", deny_unknown_fields)]
enum Line {
    Journal {
        format: u64,
        epoch: String,
        forgotten_turn: u64,
    },
    Ring {
        ring: String,
        last_turn: u64,
        last_place: u64,
        virtual_time: [u64; 3],
        tags_given: u64,
        rules: RulesText,
        lease: Option<LeaseText>,
    },
    Seat {
        ring: String,
        place: u64,
        name: String,
        weight: u8,
        demand: DemandText,
        standing: StandingText,
        tag: [u64; 3],
        last_turn: Option<u64>,
        last_answer: Option<String>,
        last_answer_sha256: Option<String>,
        secret_sha256: String,
        used_secret_sha256: Option<String>,
    },
    Host {
        ring: String,
        state: String,
    },
    End {
        entries: usize,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesText {
    min_seats: usize,
    seats_max: Option<usize>,
    weight_max: u8,
    /// `None` for any demand.
    demand: Option<DemandText>,
    turn_deadline_ns: u64,
    hold_max: HoldText,
    turn_grace_ns: u64,
    seat_grace_ns: u64,
    host_judges: bool,
    judging_timeout_ns: u64,
    proposals_max: u16,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeaseText {
    place: u64,
    turn: u64,
    silent_ns: u64,
    /// `None` for no limit.
    hold_ns: Option<u64>,
    asks_again: bool,
    kept: bool,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum DemandText {
    Always,
    Ask,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StandingText {
    Resting,
    Waiting,
    Missed,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum HoldText {
    TurnDeadline,
    TimeNs(u64),
    Unlimited,
}

pub(super) fn write(state: &State, mut to: impl Write) -> io::Result<()> {
    let mut entries = 0;
    let mut put = |line: &Line| {
        entries += 1;
        serde_json::to_writer(&mut to, line)?;
        to.write_all(b"\n")
    };
    let MetaValue { epoch, forgotten_turn } = state.meta;
    put(&Line::Journal { format: FORMAT, epoch: epoch.to_string(), forgotten_turn })?;
    for (name, RingState { ring, seats, host, .. }) in &state.rings {
        put(&ring_text(name, ring))?;
        for (&place, seat) in seats {
            put(&seat_text(name, place, seat))?;
        }
        if let Some(HostValue(state)) = host {
            put(&Line::Host { ring: name.as_str().to_owned(), state: hex(state) })?;
        }
    }
    let end = serde_json::to_string(&Line::End { entries })?;
    writeln!(to, "{end}")?;
    to.flush()
}

/// The most bytes of a line: a host's state in hexadecimal has half of them.
const LINE_BYTES_MAX: u64 = 4 * HOST_STATE_BYTES_MAX as u64;

/// Reads a state line by line.
pub(super) fn read(mut from: impl BufRead) -> Result<State, Fault> {
    let (mut state, mut is_whole, mut last) = (None, false, 0);
    let mut text = String::new();
    for nth in 0.. {
        text.clear();
        let wrong = |what: String| Fault::Line { line: nth + 1, what };
        let count = from.by_ref().take(LINE_BYTES_MAX).read_line(&mut text);
        match count.map_err(|error| wrong(error.to_string()))? as u64 {
            0 => break,
            LINE_BYTES_MAX => return Err(wrong(format!("it has {LINE_BYTES_MAX} bytes or more"))),
            _ => last = nth + 1,
        }
        let line = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        match &mut state {
            _ if is_whole => return Err(wrong("it follows the last line".to_owned())),
            None => state = Some(begin(&line).map_err(wrong)?),
            Some(state) => is_whole = take(state, line, nth).map_err(wrong)?,
        }
    }
    let missing = || Fault::Line { line: last + 1, what: "the last line is missing".to_owned() };
    let state = state.filter(|_| is_whole).ok_or_else(missing)?;
    match state.contradiction() {
        Some((key, what)) => Err(Fault::Line { line: last, what: format!("entry {key}: {what}") }),
        None => Ok(state),
    }
}

fn begin(line: &Line) -> Result<State, String> {
    match line {
        // Formats 2 and 3 have the same lines.
        Line::Journal { format: 2 | 3 | FORMAT, epoch, forgotten_turn } => {
            let epoch: Epoch = epoch.parse().map_err(|error| format!("epoch: {error}"))?;
            Ok(State::new(MetaValue { epoch, forgotten_turn: *forgotten_turn }))
        }
        Line::Journal { format, .. } => {
            Err(format!("it has format {format}, but this program reads format {FORMAT}"))
        }
        _ => Err("the first entry must be that of the journal".to_owned()),
    }
}

/// Adds the line at index `nth`. Returns whether it was the last one.
fn take(state: &mut State, line: Line, nth: usize) -> Result<bool, String> {
    match line {
        Line::Journal { .. } => return Err("another journal begins here".to_owned()),
        Line::End { entries } if entries == nth => return Ok(true),
        Line::End { entries } => return Err(format!("{entries} entries were written, but {nth} were found")),
        Line::Ring { ring, last_turn, last_place, virtual_time, tags_given, rules, lease } => {
            let name = name(&ring)?;
            let (rules, lease) = (read_rules(&rules)?, lease.map(read_lease).transpose()?);
            let virtual_time = tag(virtual_time);
            let ring = RingValue { rules, last_turn, last_place, virtual_time, tags_given, lease };
            if state.rings.insert(name, RingState::new(ring)).is_some() {
                return Err(format!("ring {name} occurs twice"));
            }
        }
        Line::Host { ring, state: text } => {
            let ring =
                state.rings.get_mut(&name(&ring)?).ok_or("its ring is not among the lines before it")?;
            let value = unhex(&text).map(HostValue).ok_or("its state is not hexadecimal")?;
            let value = HostValue::decode(&value.encode()).map_err(|error| error.to_string())?;
            if ring.host.replace(value).is_some() {
                return Err("its host's state occurs twice".to_owned());
            }
        }
        line @ Line::Seat { .. } => {
            let (ring, place, seat) = read_seat(line)?;
            let ring = state.rings.get_mut(&ring).ok_or("its ring is not among the lines before it")?;
            if !ring.add_seat(place, seat) {
                return Err(format!("seat {place} occurs twice"));
            }
        }
    }
    Ok(false)
}

fn ring_text(name: &Name, ring: &RingValue) -> Line {
    let RingValue { rules, last_turn, last_place, virtual_time, tags_given, lease } = ring;
    let lease = lease.map(|LeaseValue { place, turn, silent, hold, asks_again, kept }| LeaseText {
        place,
        turn: turn.get(),
        silent_ns: nanos(silent),
        hold_ns: hold.map(nanos),
        asks_again,
        kept,
    });
    let rules = RulesText {
        min_seats: rules.min_seats,
        seats_max: rules.seats_max,
        weight_max: rules.weight_max.value(),
        demand: match rules.demands {
            Demands::Any => None,
            Demands::Only(demand) => Some(demand_text(demand)),
        },
        turn_deadline_ns: nanos(rules.turn_deadline),
        hold_max: match rules.hold_max {
            HoldMax::TurnDeadline => HoldText::TurnDeadline,
            HoldMax::Time(time) => HoldText::TimeNs(nanos(time)),
            HoldMax::Unlimited => HoldText::Unlimited,
        },
        turn_grace_ns: nanos(rules.turn_grace),
        seat_grace_ns: nanos(rules.seat_grace),
        host_judges: rules.judging == Judging::Host,
        judging_timeout_ns: nanos(rules.judging_timeout),
        proposals_max: rules.proposals_max,
    };
    Line::Ring {
        ring: name.as_str().to_owned(),
        last_turn: *last_turn,
        last_place: *last_place,
        virtual_time: numbers(*virtual_time),
        tags_given: *tags_given,
        rules,
        lease,
    }
}

fn read_rules(text: &RulesText) -> Result<Rules, String> {
    let rules = Rules {
        min_seats: text.min_seats,
        seats_max: text.seats_max,
        weight_max: weight(text.weight_max)?,
        demands: text.demand.map_or(Demands::Any, |demand| Demands::Only(read_demand(demand))),
        turn_deadline: Duration::from_nanos(text.turn_deadline_ns),
        hold_max: match text.hold_max {
            HoldText::TurnDeadline => HoldMax::TurnDeadline,
            HoldText::TimeNs(nanos) => HoldMax::Time(Duration::from_nanos(nanos)),
            HoldText::Unlimited => HoldMax::Unlimited,
        },
        turn_grace: Duration::from_nanos(text.turn_grace_ns),
        seat_grace: Duration::from_nanos(text.seat_grace_ns),
        judging: if text.host_judges { Judging::Host } else { Judging::Automatic },
        judging_timeout: Duration::from_nanos(text.judging_timeout_ns),
        proposals_max: text.proposals_max,
    };
    rules.check().map(|()| rules).map_err(|error| error.to_string())
}

fn read_lease(text: LeaseText) -> Result<LeaseValue, String> {
    let LeaseText { place, turn, silent_ns, hold_ns, asks_again, kept } = text;
    let turn = TurnNumber::new(turn).ok_or("turns count from 1")?;
    let (silent, hold) = (Duration::from_nanos(silent_ns), hold_ns.map(Duration::from_nanos));
    Ok(LeaseValue { place, turn, silent, hold, asks_again, kept })
}

fn seat_text(ring: &Name, place: u64, seat: &SeatValue) -> Line {
    let (whole, digest) = match seat.last.map(|last| last.mark) {
        None => (None, None),
        Some(Mark::Whole { len, bytes }) => (Some(hex(&bytes[..usize::from(len)])), None),
        Some(Mark::Digest(digest)) => (None, Some(hex(&digest))),
    };
    Line::Seat {
        ring: ring.as_str().to_owned(),
        place,
        name: seat.name.as_str().to_owned(),
        weight: seat.weight.value(),
        demand: demand_text(seat.demand),
        standing: match seat.standing {
            Standing::Resting => StandingText::Resting,
            Standing::Waiting => StandingText::Waiting,
            Standing::Missed => StandingText::Missed,
        },
        tag: numbers(seat.tag),
        last_turn: seat.last.map(|last| last.turn.get()),
        last_answer: whole,
        last_answer_sha256: digest,
        secret_sha256: hex(seat.current.bytes()),
        used_secret_sha256: seat.used.map(|used| hex(used.bytes())),
    }
}

fn read_seat(line: Line) -> Result<(Name, u64, SeatValue), String> {
    let Line::Seat {
        ring,
        place,
        name: text,
        weight: turns,
        demand,
        standing,
        tag: [whole, part, given],
        last_turn,
        last_answer,
        last_answer_sha256,
        secret_sha256,
        used_secret_sha256,
    } = line
    else {
        unreachable!("only seats are given")
    };
    let mark = match (last_answer, last_answer_sha256) {
        (None, None) => None,
        (Some(text), None) => {
            let answer = unhex(&text).filter(|answer| answer.len() <= 16);
            Some(Mark::of(&answer.ok_or("the last answer must be at most 16 bytes in hexadecimal")?))
        }
        (None, Some(text)) => Some(Mark::Digest(digest(&text)?)),
        (Some(_), Some(_)) => return Err("the last answer and its digest exclude each other".to_owned()),
    };
    let last = match (last_turn, mark) {
        (None, None) => None,
        (Some(turn), Some(mark)) => {
            Some(LastAnswer { turn: TurnNumber::new(turn).ok_or("turns count from 1")?, mark })
        }
        _ => return Err("a last turn needs a last answer, and a last answer a last turn".to_owned()),
    };
    let seat = SeatValue {
        name: name(&text)?,
        weight: weight(turns)?,
        demand: read_demand(demand),
        standing: match standing {
            StandingText::Resting => Standing::Resting,
            StandingText::Waiting => Standing::Waiting,
            StandingText::Missed => Standing::Missed,
        },
        tag: Tag { whole, part, given },
        last,
        current: SecretHash::new(digest(&secret_sha256)?),
        used: used_secret_sha256.map(|text| digest(&text).map(SecretHash::new)).transpose()?,
    };
    Ok((name(&ring)?, place, seat))
}

fn name(text: &str) -> Result<Name, String> {
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

fn weight(turns: u8) -> Result<Weight, String> {
    Weight::new(turns).ok_or_else(|| format!("a weight is 1 to 100, not {turns}"))
}

fn demand_text(demand: Demand) -> DemandText {
    match demand {
        Demand::Always => DemandText::Always,
        Demand::Ask => DemandText::Ask,
    }
}

fn read_demand(text: DemandText) -> Demand {
    match text {
        DemandText::Always => Demand::Always,
        DemandText::Ask => Demand::Ask,
    }
}

fn numbers(Tag { whole, part, given }: Tag) -> [u64; 3] {
    [whole, part, given]
}

fn tag([whole, part, given]: [u64; 3]) -> Tag {
    Tag { whole, part, given }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|&[high, low]| u8::try_from(digit(high)? << 4 | digit(low)?).ok()).collect()
}

fn digest(text: &str) -> Result<[u8; 16], String> {
    let bytes = unhex(text).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| format!("expected 32 hexadecimal digits, not {text:?}"))
}
