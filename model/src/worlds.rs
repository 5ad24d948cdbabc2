//! The worlds that are checked: each as small as shows what it is for.

use model::laws::Laws;

/// Three seats of one weight in one ring, which plays while two are occupied. One of them comes back.
fn equal() -> Laws {
    Laws {
        name: "equal",
        min_seats: 2,
        max_seats: 3,
        max_rings: 1,
        deadline: 2,
        grace: 3,
        weights: &[1],
        holds_back: false,
        connections: 4,
        ticks: 2,
        turns: 2,
    }
}

/// Every world.
pub fn all() -> Vec<Laws> {
    let three = Laws { connections: 3, ..equal() };
    vec![
        equal(),
        // More turns and more time for fewer connections: graces end, and turns lapse one after the other.
        Laws { name: "long", ticks: 4, turns: 3, ..three.clone() },
        // Who has a larger weight has more turns, and the others still have theirs.
        Laws { name: "weights", weights: &[1, 2], ..three.clone() },
        // Two rings share the seats; those that nobody sits on make room.
        Laws { name: "rings", min_seats: 1, max_rings: 2, ticks: 1, ..three.clone() },
        // Grants that take effect later, and deadlines with them.
        Laws { name: "held back", holds_back: true, ticks: 1, ..three },
    ]
}
