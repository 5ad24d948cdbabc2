//! Histories of the fair queue as text, made by another program, written in another language from the same
//! sentences.
//!
//! Each line is a step: `join SEAT WEIGHT`, `drop SEAT`, `back SEAT`, `rest SEAT`, `ask SEAT` (also by a seat
//! that missed its turn and comes back), `leave SEAT`, `end stays|drops|leaves` (what the holder does when
//! its turn ends), and `grant SEAT` (`-` if no seat gets the turn).

use super::history::{Act, History};
use super::{Law, Place};

/// One connected seat is enough for a turn, and no clock runs.
const LAW: Law =
    Law { min_seats: 1, deadline: 9, hold_max: None, turn_grace: 0, seat_grace: 9, judging: 0, proposals: 1 };

/// Plays `trace` and checks every grant in it. The ring is paused except during grants, because a trace ends
/// each turn before the next one is granted.
pub fn replay(trace: &str) {
    let mut history = History::new(LAW);
    let mut names: Vec<&str> = Vec::new();
    history.play(Act::Pause);
    for (at, line) in trace.lines().enumerate() {
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] == "join" {
            names.push(words[1]);
        }
        let seat = names.iter().position(|name| *name == words[1]);
        let known = || seat.unwrap_or_else(|| panic!("line {}: {line}", at + 1));
        let holder = history.oracle.turn.map(|turn| turn.seat);
        match (words[0], words[1]) {
            ("join", _) => {
                history.play(Act::Join { weight: words[2].parse().expect("a weight"), always: true });
            }
            ("drop", _) => history.play(Act::Drop(known())),
            ("back", _) => history.play(Act::Back(known())),
            ("rest", _) => history.play(Act::Rest(known())),
            ("ask", _) => {
                [Act::Back(known()), Act::Ask(known())].into_iter().for_each(|act| history.play(act));
            }
            ("leave", _) => history.play(Act::Leave(known())),
            ("end", "stays") => [Act::Tell, Act::Answer].into_iter().for_each(|act| history.play(act)),
            ("end", "drops") => history.play(Act::Drop(holder.expect("a turn is held"))),
            ("end", "leaves") => history.play(Act::Leave(holder.expect("a turn is held"))),
            ("grant", _) => {
                [Act::Resume, Act::Pause].into_iter().for_each(|act| history.play(act));
                let granted = history.oracle.turn.map(|turn| turn.seat);
                assert_eq!(granted, seat, "line {}: {line}", at + 1);
            }
            _ => panic!("line {}: {line}", at + 1),
        }
    }
    assert!(
        history.oracle.chairs.iter().any(|chair| chair.place != Place::Gone),
        "an empty trace says nothing"
    );
}
