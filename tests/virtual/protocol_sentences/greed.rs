//! Greedy clients of both kinds, and one that only answers: it never waits for more turns than there were
//! others in front of it (M12, L12).

use support::network::{Peer, World, field};
use support::{ms, secs};
use taketurns::protocol::turns::TurnEvent;
use taketurns::turn::SeatState;

use super::start::{auto_config, join};

/// Returns how many seats, including the holder, may have been in the queue.
fn standing(world: &World) -> usize {
    let ring = world.ring("main");
    let seats = world.server().scheduler().seats_of(ring);
    seats.filter(|view| view.state != SeatState::Resting).count()
}

/// Returns the next line of a greedy client: they join under new names, come back, rest, ask, pass and leave.
fn greedy_line(world: &mut World, step: u32, secrets: &[(String, String)]) -> String {
    match world.rng.u8(0..10) {
        0 | 1 => format!("JOIN x{step}\n"),
        2 => format!("JOIN x{step} demand=ask\nASK\n"),
        3 | 4 if !secrets.is_empty() => {
            let (name, secret) = &secrets[world.rng.usize(0..secrets.len())];
            format!("JOIN {name} resume={secret}\nPING\n")
        }
        5 => "REST\nASK\n".to_owned(),
        6 => "LEAVE\n".to_owned(),
        7 => "PASS\n".to_owned(),
        8 => "a:1".to_owned(),
        _ => "ANSWER :x\n".to_owned(),
    }
}

fn history(seed: u64) -> usize {
    let mut config = auto_config();
    config.rules.turn_deadline = secs(2);
    config.rules.seat_grace = secs(20);
    let mut world = World::new(config, seed);
    let ann = join(&mut world, "ann");
    join(&mut world, "bob");
    let seat = world.seat("ann");
    let mut greedy: Vec<Peer> = Vec::new();
    let mut secrets: Vec<(String, String)> = Vec::new();
    let (mut owed, mut others, mut turns) = (usize::MAX, 0, 0);
    for step in 0..300 {
        greedy.retain(|&peer| world.is_open(peer));
        if greedy.len() < 6 {
            world.next_address = Some([192, 0, 2, 1].into());
            greedy.push(world.connect_quietly());
        }
        let peer = greedy[world.rng.usize(0..greedy.len())];
        if world.rng.u8(0..5) == 0 {
            world.reset_quietly(peer);
        } else {
            let line = greedy_line(&mut world, step, &secrets);
            world.queue_bytes(peer, line.as_bytes());
        }
        let pause = world.rng.u64(0..600);
        world.drive_for(ms(pause));
        for &peer in &greedy {
            let heard = String::from_utf8_lossy(&world.heard_bytes(peer)).into_owned();
            for line in heard.lines().filter(|line| line.starts_with("WELCOME ")) {
                let name = line.split(' ').nth(1).expect("a name").to_owned();
                secrets.push((name, field(line, "resume").to_owned()));
            }
        }
        let granted: Vec<_> = world
            .new_events()
            .iter()
            .filter_map(|(_, event)| match event {
                TurnEvent::Granted { seat, .. } => Some(*seat),
                _ => None,
            })
            .collect();
        for granted in granted {
            if granted != seat {
                others += 1;
                continue;
            }
            assert!(others <= owed, "seed {seed}: {others} turns of others, {owed} owed");
            turns += 1;
        }
        if world.heard_lines(ann.peer).iter().any(|line| line.starts_with("GO ")) {
            world.say_line(ann.peer, "ANSWER :x");
            (owed, others) = (standing(&world) - 1, 0);
            // The next holder was granted its turn in the same pass.
            world.new_events();
            others += 1;
        }
    }
    turns
}

#[test]
fn m12_a_client_that_answers_waits_for_no_more_turns_than_were_ahead_of_it() {
    let turns: usize = (0..60).map(history).sum();
    assert!(turns > 500, "{turns}");
}
