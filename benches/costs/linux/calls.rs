//! The system calls of a turn.
//!
//! `strace` counts them, without readings of the clock. Two runs differ only in the number of turns, so their
//! difference belongs to the turns, and the start and end cancel out.

use std::collections::BTreeMap;
use std::io;

use taketurns::protocol::turns::Framing;

use super::figure::Figure;
use super::process::{Tool, count_with};
use super::processor;
use super::serve::Setting;

/// A multiple of all numbers of clients, so that both runs end with the same holder.
const FEW_TURNS: usize = 1_024;
const MANY_TURNS: usize = 3_072;

/// poll, read, write; and a hundredth for passes that something else has caused.
const RAW_MAX: f64 = 3.01;
/// In addition, one to write `OK` to another socket than `GO`.
pub const LINE_MAX: f64 = 4.01;
/// The next `GO` confirms an answer, so nothing else is written.
const GO_MAX: f64 = RAW_MAX;
/// Eight answers per pass share its poll: 3 + 1/8, and some tolerance for passes that were not full.
const LINE_BATCH_MAX: f64 = 3.2;

/// A write to each hearer. With the C library's 2 to take the memory of what is queued for them all, and to
/// give it back.
const HEARD_MAX: f64 = LINE_MAX + 16.0 + 2.2;

const PAIR_RAW: Setting = Setting::one_ring(Framing::Raw, 2);
pub const PAIR_LINE: Setting = Setting::one_ring(Framing::Line, 2);
pub const PAIR_GO: Setting = Setting { confirm_go: true, ..PAIR_LINE };
const HEARD: Setting = Setting { hearers: 16, payload: Some(8 * 1024), ..PAIR_LINE };
const EIGHT_RINGS: Setting = Setting { rings: 8, ..Setting::one_ring(Framing::Line, 16) };

pub fn count() -> io::Result<Vec<Figure>> {
    Ok(vec![
        figure("system calls a turn, raw", PAIR_RAW, RAW_MAX)?,
        figure("system calls a turn, line", PAIR_LINE, LINE_MAX)?,
        figure("system calls a turn, line, confirm=go", PAIR_GO, GO_MAX)?,
        // On one processor, the server runs after all eight have answered.
        processor::on_one(|| {
            figure("system calls a turn, line, 8 rings of 16", EIGHT_RINGS, LINE_BATCH_MAX)
        })?,
        figure("system calls a turn, line, 8 KiB that 16 hear", HEARD, HEARD_MAX)?,
    ])
}

pub fn figure(what: &str, setting: Setting, allowed: f64) -> io::Result<Figure> {
    let few = calls(&count_with(Tool::Strace, setting, FEW_TURNS)?);
    let many = calls(&count_with(Tool::Strace, setting, MANY_TURNS)?);
    let turns = (MANY_TURNS - FEW_TURNS) as f64;
    let a_turn = many.iter().map(|(call, &count)| {
        let before = few.get(call).copied().unwrap_or(0.0);
        (call, (count - before) / turns)
    });
    let a_turn: Vec<_> = a_turn.filter(|&(_, count)| count.abs() >= 0.005).collect();
    let shown: Vec<_> = a_turn.iter().map(|(call, count)| format!("{call} {count:.2}")).collect();
    Ok(Figure {
        what: what.to_owned(),
        measured: a_turn.iter().map(|&(_, count)| count).sum(),
        allowed,
        advice: format!("which of these is new? {}", shown.join(", ")),
    })
}

/// Returns the count of each system call in the table of `strace -c`: share, seconds, microseconds per call,
/// calls, possibly errors, name.
fn calls(table: &str) -> BTreeMap<String, f64> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let name = cells.last().filter(|&&name| name != "total")?;
        Some(((*name).to_owned(), cells.get(3)?.parse().ok()?))
    };
    table.lines().filter_map(row).collect()
}
