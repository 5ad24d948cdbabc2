//! Whose turn it is when weights differ and seats come and go, and how long anybody waits at most (T29).

use std::time::Duration;

use crate::start::{join, line_config, line_order, line_ring, raw_config, raw_ring};
use crate::world::{Peer, World, ms, secs};

/// T29: `w` turns for every one of a weight-1 seat, spread evenly; equal weights keep ring order.
#[test]
fn t29_weights_share_the_turns_evenly() {
    for weights in
        [vec![3, 1], vec![1, 1, 1, 1], vec![5, 2, 1], vec![2, 2, 2], vec![100, 1, 1], vec![7, 3, 3, 1]]
    {
        let mut world = World::new(line_config(), 1);
        let members: Vec<_> = weights
            .iter()
            .zip('a'..)
            .map(|(weight, name)| join(&mut world, &format!("{name} weight={weight}")))
            .collect();
        let total: usize = weights.iter().sum();
        // The first seats had turns before the last was there: a lap later that is forgotten.
        line_order(&mut world, &members, total);
        let order = line_order(&mut world, &members, 10 * total);
        for (member, &weight) in members.iter().zip(&weights) {
            let turns: Vec<_> = (0..order.len()).filter(|&at| order[at] == member.name).collect();
            let share = turns.len();
            assert!(
                share.abs_diff(10 * weight) <= 1,
                "{weights:?}: {} had {share} of {}",
                member.name,
                order.len()
            );
            let widest = turns.windows(2).map(|pair| pair[1] - pair[0]).max().expect("many turns");
            let even = total.div_ceil(weight);
            assert!(
                widest <= even + weights.len(),
                "{weights:?}: {} waits {widest} turns, evenly {even}",
                member.name
            );
        }
        if weights.iter().all(|weight| *weight == weights[0]) {
            let in_order = order.windows(members.len() + 1).all(|lap| lap[0] == lap[members.len()]);
            assert!(in_order, "ring order: {order:?}");
        }
    }
}

/// T29: between two turns of a weight-1 seat no other has more than its weight, also when seats come and go.
#[test]
fn t29_nobody_starves_when_seats_come_and_go() {
    for seed in 0..30 {
        let mut world = World::new(line_config(), seed);
        let mut members = vec![join(&mut world, "one"), join(&mut world, "heavy weight=9")];
        let mut since_one = 0;
        let mut allowed = 9;
        for round in 0..300 {
            match world.rng.u8(0..6) {
                0 if members.len() < 6 => {
                    let weight = world.rng.usize(1..=20);
                    members.push(join(&mut world, &format!("m{round} weight={weight}")));
                    allowed += weight;
                }
                1 if members.len() > 2 => {
                    let at = world.rng.usize(2..members.len());
                    let gone = members.swap_remove(at);
                    world.say(gone.peer, "LEAVE");
                }
                _ => {}
            }
            let order = line_order(&mut world, &members, 1);
            if order[0] == "one" {
                since_one = 0;
                let ring = world.server().scheduler().rings().next().expect("a ring");
                let bound = world.server().scheduler().waiting_bound(ring);
                allowed = usize::try_from(bound.as_secs() / 30).expect("small");
            } else {
                since_one += 1;
            }
            assert!(since_one <= allowed, "seed {seed}: {since_one} turns of others, {allowed} allowed");
        }
    }
}

/// A seat of weight 1 waits at most (sum of the others' weights) x `turn_deadline`, and that is attained.
#[test]
fn bounded_waiting_is_attained_and_exported() {
    let (mut world, members) = line_ring(line_config(), ["ann", "bob weight=3", "cid weight=2"]);
    let ring = world.server().scheduler().rings().next().expect("a ring");
    assert_eq!(world.server().scheduler().waiting_bound(ring), secs(5 * 30));
    let go_times = |world: &World| -> Vec<Duration> {
        let said = world.recvs(members[0].peer).iter();
        said.filter(|recv| recv.text().contains("GO turn=")).map(|recv| recv.at).collect()
    };
    // Nobody ever answers: every turn takes its 30 s.
    world.drive_for(secs(10 * 180));
    let times = go_times(&world);
    assert!(times.len() >= 10, "{times:?}");
    for pair in times.windows(2) {
        let waited = pair[1] - pair[0] - secs(30);
        assert!(waited <= secs(150), "waited {waited:?}: {times:?}");
    }
    let longest = world.server().scheduler().longest_wait(ring);
    assert_eq!((longest.waited, longest.bound), (secs(150), secs(150)));
}

/// In the raw framing strikes and the signal gap do not lengthen the bound, but for the gap before a release.
#[test]
fn bounded_waiting_holds_over_strikes_and_gaps() {
    let (mut world, [_a, b, _c]) = raw_ring(raw_config());
    let b_first = world.elapsed();
    for _ in 0..100 {
        world.drive_for(secs(1));
        for peer in [Peer(0), Peer(2)] {
            if !world.heard(peer).is_empty() && world.rng.bool() {
                world.say(peer, "bad:");
            }
        }
        if !world.heard(b).is_empty() {
            break;
        }
    }
    assert!(world.elapsed() - b_first <= secs(60) + ms(200), "strikes bring no new deadline");
}
