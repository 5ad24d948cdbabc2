//! The instructions of a turn in user space.
//!
//! `valgrind` counts them, as the difference of two runs: see `calls.rs`. This includes the library, `mio`,
//! the allocator, and the C library up to the entry of a system call. It excludes the work of the kernel, and
//! the few dozen instructions for reading a clock, because under `valgrind` that is a system call too.

use std::io;

use taketurns::protocol::turns::Framing;

use super::calls::PAIR_GO;
use super::figure::Figure;
use super::process::{Tool, count_with};
use super::serve::Setting;

/// A multiple of all numbers of clients, so that both runs end with the same holder.
const FEW_TURNS: usize = 1_024;
// Far apart, because the number of connections accepted per pass varies between runs, and must not show.
const MANY_TURNS: usize = 17_408;

const RAW_MAX: f64 = 905.0;
/// The instructions that 254 more clients may add to a turn in the raw framing.
const GROWTH_MAX: f64 = 25.0;
const LINE_MAX: f64 = 2_136.0;
const GO_MAX: f64 = 1_900.0;

pub fn count() -> io::Result<Vec<Figure>> {
    let two = a_turn(Framing::Raw, 2)?;
    let many = a_turn(Framing::Raw, 256)?;
    let line = a_turn(Framing::Line, 2)?;
    let confirmed_by_go = a_turn_of(PAIR_GO)?;
    let figure = |what: &str, measured, allowed, advice: &str| Figure {
        what: what.to_owned(),
        measured,
        allowed,
        advice: advice.to_owned(),
    };
    let profile = "callgrind_annotate says where, before your change and after it";
    let scale = "find what looks at more than two clients";
    Ok(vec![
        figure("instructions a turn, raw, 2 clients", two, RAW_MAX, profile),
        figure("instructions a turn, raw, 256 clients", many, RAW_MAX + GROWTH_MAX, scale),
        figure("instructions a turn, raw, 256 clients more than 2", many - two, GROWTH_MAX, scale),
        figure("instructions a turn, line, 2 clients", line, LINE_MAX, profile),
        figure("instructions a turn, line, confirm=go, 2 clients", confirmed_by_go, GO_MAX, profile),
    ])
}

fn a_turn(framing: Framing, clients: usize) -> io::Result<f64> {
    a_turn_of(Setting::one_ring(framing, clients))
}

pub fn a_turn_of(setting: Setting) -> io::Result<f64> {
    let few = instructions(&count_with(Tool::Valgrind, setting, FEW_TURNS)?)?;
    let many = instructions(&count_with(Tool::Valgrind, setting, MANY_TURNS)?)?;
    Ok((many - few) / (MANY_TURNS - FEW_TURNS) as f64)
}

/// Returns the sum that callgrind writes among its records.
fn instructions(counted: &str) -> io::Result<f64> {
    let sum = counted.lines().find_map(|line| line.strip_prefix("summary:")?.trim().parse().ok());
    sum.ok_or_else(|| io::Error::other("no sum in what valgrind has written"))
}
