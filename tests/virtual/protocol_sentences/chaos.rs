//! Hosts that do anything at any time, with clients that send anything: nothing panics, spins or is left over
//! (A2, M4, M17).

use support::network::{Peer, World};
use support::{ms, secs};
use taketurns::protocol::turns::{Admission, Admit, Framing, TurnCounts, Verdict};
use taketurns::turn::{Demand, Demands, HoldMax, Judging, RingId, SeatId, Weight};

use super::start::config;

/// Lets a client send a line of the protocol, which may or may not make sense now.
fn speak(world: &mut World, peer: Peer, secrets: &[String]) {
    let turn = world.server().scheduler().rings().next().map_or(0, |ring| {
        let scheduler = world.server().scheduler();
        scheduler.held(ring).map_or(scheduler.last_turn(Some(ring)), |held| held.turn.get())
    });
    let name = world.rng.u8(b'a'..=b'f') as char;
    let secret = match secrets.len() {
        0 => String::new(),
        count => format!(" resume={}", secrets[world.rng.usize(0..count)]),
    };
    let is_raw = world.config().framing == Some(Framing::Raw);
    let text = match world.rng.u8(0..20) {
        // A few words in capitals are enough there, because each ends its connection: it begins like an HTTP
        // request (L6).
        3..=11 | 15..=18 if is_raw => "a:2".to_owned(),
        0 => format!("JOIN {name}\n"),
        1 => format!("JOIN {name} hear=turns demand=ask\n"),
        2 => format!("JOIN {name}{secret}\n"),
        3 => format!("ANSWER turn={turn} :x\n"),
        4 => format!("ANSWER turn={turn} bytes=6\nLEAVE\n\n"),
        5 => "ANSWER :y\n".to_owned(),
        6 => "PASS\n".to_owned(),
        7 => "RENEW\n".to_owned(),
        8 => "ASK\n".to_owned(),
        9 => "REST\n".to_owned(),
        10 => "LEAVE\n".to_owned(),
        11 => "WATCH\n".to_owned(),
        12 => "a:1".to_owned(),
        13 => "a:".to_owned(),
        14 => "nonsense\n".to_owned(),
        15..=18 => format!("ANSWER turn={turn} :z\n"),
        _ => "PING\nPING\n".to_owned(),
    };
    world.queue_bytes(peer, text.as_bytes());
}

/// Lets the host act on a seat or ring, which may or may not exist.
fn rule(world: &mut World) {
    let rings: Vec<RingId> = world.server().scheduler().rings().collect();
    let Some(&ring) = rings.first() else { return };
    let seats: Vec<SeatId> = world.server().scheduler().seats_of(ring).map(|view| view.seat).collect();
    let seat = seats[world.rng.usize(0..seats.len())];
    let (main, what) = ("main".parse().expect("a name"), world.rng.u8(0..14));
    let mut rules = world.config().rules.clone();
    (rules.min_seats, rules.judging) =
        if what % 2 == 0 { (1, Judging::Host) } else { (3, Judging::Automatic) };
    let proposal = world.proposals.pop_front();
    let unused = world.act(|server, now, links| {
        // An impossible command is an error and changes nothing.
        let _ = match what {
            0 => server.skip(now, ring, links),
            1 => server.name_next(seat),
            2 => server.extend(now, ring, secs(7), links),
            3 => server.pause(now, ring, links),
            4 | 5 => server.resume(now, ring, links),
            6 => server.remove(now, seat, links),
            _ => Ok(()),
        };
        match (what, proposal) {
            (7, proposal) => {
                server.set_rules(now, main, rules, links).expect("valid");
                proposal
            }
            (8, proposal) => {
                server.say_to_seat(seat, b"hello", links).expect("short words");
                server.say_to_ring(&main, b"two\nlines", links).expect("short words");
                proposal
            }
            (9, proposal) => {
                if let Some(id) =
                    server.scheduler().data(seat).and_then(taketurns::protocol::turns::SeatData::connection)
                {
                    server.forbid(now, id, "go", links);
                }
                proposal
            }
            (10 | 11, Some(proposal)) => {
                let verdict = Verdict::Accept { next: Some(seat), words: Some("well"), state: None };
                server.rule(now, proposal, verdict, links).err().and_then(|unruled| unruled.proposal)
            }
            (12, Some(proposal)) => {
                let refused = server.rule(now, proposal, Verdict::Refuse { words: "no" }, links);
                refused.err().and_then(|unruled| unruled.proposal)
            }
            // The proposal is dropped without a verdict.
            (13, _) => None,
            (_, proposal) => proposal,
        }
    });
    if let Some(proposal) = unused {
        world.proposals.push_front(proposal);
    }
}

fn admit(world: &mut World) {
    while let Some(joining) = world.joining.pop_front() {
        let mut admit = Admit::default();
        (admit.owns_name, admit.hears) = (world.rng.bool(), Some(world.rng.bool()));
        let is_admitted = world.rng.u8(0..4) > 0;
        world.act(|server, now, links| {
            server.say_to(joining.connection, b"welcome", links).expect("short words");
            if is_admitted {
                server.admit(now, joining.connection, &admit, links);
            }
        });
    }
}

fn play(framing: Option<Framing>, seed: u64) -> TurnCounts {
    let mut config = config(framing);
    let mut dice = fastrand::Rng::with_seed(seed);
    let rules = &mut config.rules;
    rules.turn_deadline = secs(3);
    rules.hold_max = [HoldMax::TurnDeadline, HoldMax::Time(secs(5)), HoldMax::Unlimited][dice.usize(0..3)];
    rules.judging = if dice.bool() { Judging::Host } else { Judging::Automatic };
    rules.turn_grace = secs(dice.u64(0..3));
    rules.seat_grace = secs(dice.u64(0..9));
    rules.weight_max = Weight::MAX;
    if framing == Some(Framing::Line) {
        config.admission = if dice.u8(0..4) == 0 { Admission::Host } else { Admission::Open };
        config.rules.demands = if dice.u8(0..4) == 0 { Demands::Only(Demand::Ask) } else { Demands::Any };
    }
    (config.max_clients, config.max_per_address, config.max_rings) = (6, Some(3), 2);
    let mut world = World::new(config, seed);
    (world.shuffling, world.chunking, world.crowded) = (true, framing != Some(Framing::Raw), dice.bool());
    let mut peers: Vec<Peer> = Vec::new();
    let mut secrets: Vec<String> = Vec::new();
    for _ in 0..200 {
        peers.retain(|&peer| world.is_open(peer));
        if peers.len() < 4 || world.rng.u8(0..10) == 0 {
            let host = world.rng.u8(1..4);
            world.next_address = Some([192, 0, 2, host].into());
            peers.push(world.connect_quietly());
            // Most begin like real clients; otherwise few would ever have a turn.
            if framing != Some(Framing::Raw) && world.rng.u8(0..4) > 0 {
                let name = world.rng.char('a'..='z');
                world.queue_bytes(peers[peers.len() - 1], format!("JOIN {name} hear=turns\n").as_bytes());
            }
        }
        let peer = peers[world.rng.usize(0..peers.len())];
        match world.rng.u8(0..20) {
            0 => world.reset_quietly(peer),
            1 => world.stop_reading(peer, 3),
            2 => world.read_again(peer),
            3 => world.break_writes(peer),
            4..=9 => rule(&mut world),
            _ => speak(&mut world, peer, &secrets),
        }
        if world.rng.bool() {
            let pause = world.rng.u64(0..700);
            world.drive_for(ms(pause));
        }
        admit(&mut world);
        let heard: Vec<String> = peers
            .iter()
            .map(|&peer| String::from_utf8_lossy(&world.heard_bytes(peer)).into_owned())
            .collect();
        let fresh = heard
            .iter()
            .flat_map(|heard| heard.lines())
            .filter_map(|line| support::network::find_field(line, "resume"));
        secrets.extend(fresh.map(str::to_owned));
        assert!(world.server().scheduler().seats() <= 12, "seed {seed}");
    }
    world.drain();
    world.drive_for(secs(15));
    assert_eq!((world.server().clients(), world.connections()), (0, 0), "seed {seed}: a drain ends");
    world.drive_for(secs(15));
    let scheduler = world.server().scheduler();
    assert_eq!((scheduler.seats(), scheduler.rings().count()), (0, 0), "seed {seed}: nothing is left");
    world.server().counts()
}

#[test]
fn a02_a_host_and_its_clients_do_anything_at_any_time() {
    for framing in [Some(Framing::Line), None, Some(Framing::Raw)] {
        let games: Vec<_> = (0..80).map(|seed| play(framing, seed)).collect();
        let total = |count: fn(&TurnCounts) -> u64| games.iter().map(count).sum::<u64>();
        let has_happened = [
            total(|counts| counts.accepted),
            total(|counts| counts.proposed),
            total(|counts| counts.not_judged),
            total(|counts| counts.lapsed),
            total(|counts| counts.skipped),
            total(|counts| counts.gone),
            total(|counts| counts.turned_away),
        ];
        assert!(has_happened.iter().all(|&count| count > 10), "{framing:?}: {has_happened:?}");
    }
}
