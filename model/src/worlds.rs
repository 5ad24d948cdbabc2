//! The worlds that are checked, each as small as its purpose allows.

use model::laws::Laws;
use taketurns::turn::Demand;

/// Three seats of equal weight in one ring, which plays while two are occupied. One of them comes back.
fn equal() -> Laws {
    Laws {
        name: "equal",
        min_seats: 2,
        max_seats: 3,
        max_rings: 1,
        deadline: 2,
        hold_max: Some(2),
        turn_grace: 0,
        seat_grace: 3,
        judging: 0,
        proposals: 2,
        weights: &[1],
        demands: &[Demand::Always],
        tells: false,
        hosts: false,
        connections: 4,
        ticks: 1,
        turns: 2,
        restarts: 0,
        return_time: 1,
    }
}

/// Returns all worlds.
pub fn all() -> Vec<Laws> {
    let three = Laws { connections: 3, ticks: 2, ..equal() };
    let alone = Laws { min_seats: 1, ticks: 2, ..three.clone() };
    vec![
        equal(),
        // More turns and more time, but fewer connections: graces end, and turns lapse one after another.
        Laws { name: "long", ticks: 4, turns: 3, ..three.clone() },
        // A seat with a larger weight gets more turns, and the others still get theirs.
        Laws { name: "weights", weights: &[1, 2], ticks: 1, ..three.clone() },
        // Two rings share the seats.
        Laws { name: "rings", min_seats: 1, max_rings: 2, ticks: 1, ..three.clone() },
        // Clocks that start when the holder is told.
        Laws { name: "told", tells: true, ticks: 2, ..three.clone() },
        // Seats that ask, and a holder that may renew without limit.
        Laws { name: "asking", demands: &[Demand::Ask], hold_max: None, turns: 3, ..alone.clone() },
        // The turn of a lost holder is kept for a while, or below quorum.
        Laws { name: "grace", turn_grace: 1, deadline: 3, hold_max: Some(3), ticks: 3, ..three.clone() },
        // The host judges answers, late or never, even of lost clients.
        Laws { name: "judged", judging: 1, turn_grace: 1, seat_grace: 2, ..alone.clone() },
        // The host skips, names, extends and pauses.
        Laws { name: "hosted", hosts: true, turns: 1, ticks: 1, ..alone },
        // The server dies, in whatever state, and its clients come back or do not.
        Laws {
            name: "restarted",
            restarts: 1,
            max_seats: 2,
            connections: 5,
            ticks: 3,
            turns: 2,
            ..three.clone()
        },
        Laws {
            name: "restarted-judged",
            restarts: 1,
            max_seats: 2,
            connections: 4,
            ticks: 2,
            judging: 1,
            turn_grace: 1,
            seat_grace: 2,
            min_seats: 1,
            ..three
        },
    ]
}
