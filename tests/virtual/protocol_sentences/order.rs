//! The order of turns: demands and weights; and no gain from coming and going (M8 to M12).

use support::network::World;
use support::{ms, secs};
use taketurns::turn::{Demand, Demands, HoldMax, Weight};

use super::start::{heads, holder, join, line_config, line_order, line_ring, refusal, resume, ruled, turn};

/// M8: an `ask` seat rests until it asks, and rests again after its turn. Meanwhile it counts as occupied.
#[test]
fn m08_a_seat_that_asks_has_one_turn_for_each_time() {
    let mut world = World::new(line_config(), 1);
    let ann = join(&mut world, "ann demand=ask");
    assert_eq!(ann.then, [""; 0], "it rests");
    let bob = join(&mut world, "bob");
    assert_eq!(bob.then, ["GO turn=1 within=30000"], "a resting seat counts, and is not waited for");
    world.say(bob.peer, "ANSWER :1");
    assert_eq!(world.heard(bob.peer), ["OK turn=1", "GO turn=2 within=30000"]);
    world.say(ann.peer, "ASK");
    assert_eq!(world.heard(ann.peer), ["WAIT ahead=1"]);
    world.say(ann.peer, "ASK");
    assert_eq!(world.heard(ann.peer), ["WAIT ahead=1"], "by a seat that waits it changes nothing");
    world.say(bob.peer, "ANSWER :2");
    assert_eq!(world.heard(ann.peer), ["GO turn=3 within=30000"]);
    world.heard(bob.peer);
    world.say(ann.peer, "ANSWER turn=3 :x");
    assert_eq!(world.heard(ann.peer), ["OK turn=3"]);
    assert_eq!(world.heard(bob.peer), ["GO turn=4 within=30000"]);
    world.say(bob.peer, "PASS");
    assert_eq!(world.heard(bob.peer), ["OK turn=4", "GO turn=5 within=30000"], "ann rests again");
}

/// M8: `ASK` by the holder requests one more turn, after the others.
#[test]
fn m08_a_holder_may_ask_for_one_more_turn() {
    let lock = ruled(|rules| (rules.min_seats, rules.demands) = (1, Demands::Only(Demand::Ask)));
    let (mut world, [ann, bob]) = line_ring(lock, ["ann", "bob"]);
    world.say(ann.peer, "ASK");
    assert_eq!(world.heard(ann.peer), ["GO turn=1 within=30000"]);
    world.say(bob.peer, "ASK");
    assert_eq!(world.heard(bob.peer), ["WAIT ahead=1"]);
    world.say(ann.peer, "ASK");
    assert_eq!(heads(&world.heard(ann.peer)).len(), 1);
    world.say(ann.peer, "PASS");
    world.say(bob.peer, "PASS");
    assert_eq!(world.heard(ann.peer), ["OK turn=1", "GO turn=3 within=30000"]);
    world.say(ann.peer, "PASS");
    assert_eq!((world.heard(ann.peer), turn(&world)), (vec!["OK turn=3".to_owned()], None));
}

/// M8: `REST` lets an `always` seat rest until it asks. A holder passes its turn and rests.
#[test]
fn m08_a_seat_may_rest() {
    let (mut world, [ann, bob, cid]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    world.say(bob.peer, "REST");
    assert_eq!(world.heard(bob.peer), ["OK"]);
    world.say(bob.peer, "REST");
    assert_eq!(world.heard(bob.peer), ["OK"], "it rests already");
    world.say(ann.peer, "REST");
    assert_eq!(
        world.heard(ann.peer),
        ["OK"],
        "without a turn, or an answer under way could be taken as confirmed"
    );
    assert_eq!(world.heard(cid.peer), ["GO turn=2 within=30000"]);
    assert_eq!(line_order(&mut world, std::slice::from_ref(&cid), 3), ["cid", "cid", "cid"]);
    world.heard(cid.peer);
    world.say(ann.peer, "ASK");
    world.say(bob.peer, "ASK");
    let members = [ann, bob, cid];
    assert_eq!(line_order(&mut world, &members, 6).join(" "), "cid ann bob cid ann bob", "always, as before");
}

/// M8: a ring's rules say which demands it allows. Without `demand=`, a seat gets the only one.
#[test]
fn m08_a_ring_may_allow_one_demand_only() {
    for (only, other) in [(Demand::Ask, "always"), (Demand::Always, "ask")] {
        let mut world = World::new(ruled(|rules| rules.demands = Demands::Only(only)), 1);
        let ann = world.connect();
        world.say(ann, &format!("JOIN ann demand={other}"));
        assert_eq!((refusal(&mut world, ann), world.is_open(ann)), ("out-of-range".to_owned(), true));
        world.say(ann, "JOIN ann");
        assert_eq!(world.heard(ann).len(), if only == Demand::Ask { 1 } else { 2 });
    }
}

/// M9: with equal weights, seats are served in order of arrival; seats that ask, in order of asking.
#[test]
fn m09_seats_that_ask_are_served_in_the_order_of_asking() {
    let lock = ruled(|rules| (rules.min_seats, rules.demands) = (1, Demands::Only(Demand::Ask)));
    for seed in 0..20 {
        let mut world = World::new(lock.clone(), seed);
        let members: Vec<_> = ('a'..='f').map(|name| join(&mut world, &name.to_string())).collect();
        let mut asked = Vec::new();
        let mut served = Vec::new();
        for _ in 0..200 {
            let at = world.rng.usize(0..members.len());
            world.heard(members[at].peer);
            if world.rng.bool() {
                world.say(members[at].peer, "ASK");
                let heard = world.heard(members[at].peer);
                if heard.iter().any(|line| line.starts_with("GO")) {
                    asked.push(at);
                } else if !asked[served.len()..].contains(&at) {
                    asked.push(at);
                    let ahead = format!("WAIT ahead={}", asked.len() - served.len() - 1);
                    assert_eq!(heard, [ahead], "seed {seed}");
                } else if asked[served.len()] == at {
                    // The holder asks for one more turn, after the others; that is not followed here.
                    world.say(members[at].peer, "REST");
                    served.push(at);
                }
            } else if let Some(&holder) = asked.get(served.len()) {
                world.say(members[holder].peer, "PASS");
                let heard = world.heard(members[holder].peer);
                assert!(heard.iter().any(|line| line.starts_with("OK turn=")), "seed {seed}: {heard:?}");
                served.push(holder);
            }
        }
        assert!(served.len() > 40, "seed {seed}");
    }
}

/// M9: a seat that is back before its turn keeps its place. One that missed its turn queues again, and an
/// `ask` seat still asks.
#[test]
fn m09_a_seat_that_is_away_keeps_its_place_until_its_turn_comes() {
    let (mut world, [ann, bob, cid]) = line_ring(line_config(), ["ann", "bob", "cid"]);
    world.reset(bob.peer);
    let bob = resume(&mut world, &bob);
    assert_eq!(bob.then, ["WAIT ahead=1"]);
    let members = [ann.clone(), bob.clone(), cid.clone()];
    assert_eq!(line_order(&mut world, &members, 3).join(" "), "ann bob cid");
    world.reset(bob.peer);
    world.say(ann.peer, "ANSWER :x");
    // Bob's turn has passed, and Cid has the turn.
    let bob = resume(&mut world, &bob);
    assert_eq!(bob.then, ["WAIT ahead=2"]);
    let members = [ann, bob, cid];
    assert_eq!(line_order(&mut world, &members, 4).join(" "), "cid ann bob cid");
}

/// M10: turns are granted while at least `min_seats` seats are occupied, including resting ones.
#[test]
fn m10_resting_seats_count_for_the_quorum() {
    let mut world = World::new(ruled(|rules| rules.min_seats = 3), 1);
    join(&mut world, "ann demand=ask");
    let bob = join(&mut world, "bob");
    assert_eq!(bob.then, ["WAIT ahead=0 needs=1"]);
    let cid = join(&mut world, "cid demand=ask");
    assert_eq!(world.heard(bob.peer), ["GO turn=1 within=30000"]);
    world.reset(cid.peer);
    world.say(bob.peer, "PASS");
    world.drive_for(secs(10));
    assert_eq!((world.heard(bob.peer), turn(&world)), (vec!["OK turn=1".to_owned()], None));
}

/// M9, M11: `w` turns for each turn of a weight-1 seat, spread evenly.
#[test]
fn m09_weights_share_the_turns_evenly() {
    let heavy = ruled(|rules| rules.weight_max = Weight::MAX);
    for weights in
        [vec![3, 1], vec![1, 1, 1, 1], vec![5, 2, 1], vec![2, 2, 2], vec![100, 1, 1], vec![7, 3, 3, 1]]
    {
        let mut world = World::new(heavy.clone(), 1);
        let names = weights.iter().zip('a'..);
        let members: Vec<_> =
            names.map(|(weight, name)| join(&mut world, &format!("{name} weight={weight}"))).collect();
        let total: usize = weights.iter().sum();
        line_order(&mut world, &members, 2 * total);
        let order = line_order(&mut world, &members, 10 * total);
        for (member, &weight) in members.iter().zip(&weights) {
            let turns: Vec<_> = (0..order.len()).filter(|&at| order[at] == member.name).collect();
            let (share, name) = (turns.len(), &member.name);
            assert!(share.abs_diff(10 * weight) <= 10, "{weights:?}: {name} had {share} of {}", order.len());
            let widest = turns.windows(2).map(|pair| pair[1] - pair[0]).max().expect("many turns");
            let most = (total - weight).div_ceil(weight) + weights.len();
            assert!(widest <= most, "{weights:?}: {name} waits {widest} turns, at most {most}");
        }
        if weights.iter().all(|weight| *weight == weights[0]) {
            assert!(order.windows(members.len() + 1).all(|lap| lap[0] == lap[members.len()]), "{order:?}");
        }
    }
}

/// M11: a weight above the ring's `weight_max`, by default 1, is refused.
#[test]
fn m11_the_ring_limits_weights() {
    for (max, weight, is_taken) in [
        (1, "1", true),
        (1, "2", false),
        (9, "9", true),
        (9, "10", false),
        (100, "101", false),
        (100, "0", false),
    ] {
        let mut world = World::new(ruled(|rules| rules.weight_max = Weight::new(max).expect("1 to 100")), 1);
        let peer = world.connect();
        world.say(peer, &format!("JOIN ann weight={weight}"));
        let heard = world.heard(peer);
        let verb = if is_taken { "WELCOME" } else { "NO out-of-range" };
        assert!(heard[0].starts_with(verb), "{weight} of {max}: {heard:?}");
    }
}

/// M12: joining under a new name before the old one disconnects gains nothing. An honest client gets about
/// every second turn.
#[test]
fn m12_fresh_names_gain_nothing() {
    let (mut world, [honest, mut crook]) = line_ring(line_config(), ["honest", "crook"]);
    let mut of_honest = 0;
    for round in 0..300 {
        let fresh = join(&mut world, &format!("crook{round}"));
        if round % 2 == 0 {
            world.reset(crook.peer);
        } else {
            world.say(crook.peer, "LEAVE");
        }
        crook = fresh;
        let holder = if holder(&world).as_deref() == Some("honest") { &honest } else { &crook };
        world.say(holder.peer, "ANSWER :1");
        of_honest = world.answers.iter().filter(|answer| answer.name == "honest").count();
        world.drive_for(ms(1));
    }
    let turns = turn(&world).unwrap_or_default();
    assert!(of_honest as u64 * 3 >= turns, "{of_honest} of {turns} turns");
}

/// M8, M13: a lock with `hold_max` none may be held for as long as it is renewed.
#[test]
fn m08_a_lock_is_held_while_it_is_renewed() {
    let lock = ruled(|rules| {
        (rules.min_seats, rules.demands, rules.hold_max) =
            (1, Demands::Only(Demand::Ask), HoldMax::Unlimited);
    });
    let (mut world, [ann, bob]) = line_ring(lock, ["ann", "bob"]);
    world.say(ann.peer, "ASK");
    world.say(bob.peer, "ASK");
    world.heard(ann.peer);
    for _ in 0..100 {
        world.drive_for(secs(20));
        world.say(ann.peer, "RENEW turn=1");
        assert_eq!(world.heard(ann.peer), ["GO turn=1 within=30000"]);
    }
    assert_eq!(world.heard(bob.peer), ["WAIT ahead=1"]);
    let ring = world.ring("main");
    assert_eq!(world.server().scheduler().waiting_bound(ring), None, "there is no bound");
    world.say(ann.peer, "REST");
    assert_eq!(world.heard(bob.peer), ["GO turn=2 within=30000"]);
}
