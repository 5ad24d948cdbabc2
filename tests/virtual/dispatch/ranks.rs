//! Ranks, and the choice of the client for a command (R1 to R6). When it is sent is tested in `gap.rs`, and
//! its fate in `line.rs`.

use support::ms;
use taketurns::protocol::dispatch::{COMMAND_BYTES_MAX, DispatchEvent, Policy, Rank, Rejection};

use super::world::{NOTHING, World, least_loaded, line, raw};

/// Parses a `recv` like the oldest client: the sender's rank is the first and last field, and the command is
/// between them.
fn legacy_cut(message: &str) -> (usize, usize, &str) {
    let fields: Vec<_> = message.split_whitespace().collect();
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{message:?} is no message"));
    (number(fields[0]), number(fields[fields.len() - 1]), &message[2..message.len() - 2])
}

// ---- R1 and R6: ranks ---------------------------------------------------------------------------------

#[test]
fn r01_ranks_are_given_by_arrival() {
    let mut world = World::new(raw());
    let peers = [(); 3].map(|()| world.connect());
    for (rank, peer) in peers.into_iter().enumerate() {
        assert_eq!(world.heard(peer), [format!("Your rank is {rank}")]);
    }
    let ranks: Vec<_> = world.server.ranks().map(|(rank, addr)| (rank.0, addr.port())).collect();
    assert_eq!(ranks, [(0, 1000), (1, 1001), (2, 1002)]);
    assert!(matches!(world.events[2], DispatchEvent::Ranked { rank: Rank(2), .. }));
}

#[test]
fn r06_everyone_below_moves_up_and_every_remaining_client_is_told() {
    for (config, end) in [(raw(), ""), (line(), "\n")] {
        let mut world = World::new(config);
        let peers = [(); 4].map(|()| world.connect());
        world.pass_time(ms(20));
        peers.iter().for_each(|&peer| drop(world.heard(peer)));
        world.leave(peers[1]);
        assert_eq!(world.heard(peers[0]), [format!("RYour rank is now 0{end}")]);
        assert_eq!(world.heard(peers[2]), [format!("RYour rank is now 1{end}")]);
        assert_eq!(world.heard(peers[3]), [format!("RYour rank is now 2{end}")]);
        assert!(world.is_closed(peers[1]));
        assert!(matches!(
            world.events[..],
            [.., DispatchEvent::Left { rank: Rank(1), .. }, DispatchEvent::MovedUp]
        ));
        // The next newcomer has the lowest rank.
        let new = world.connect();
        assert_eq!(world.heard(new), [format!("Your rank is 3{end}")]);
    }
}

/// Each client is told one new rank, however many leave in a pass: if 3,500 time out together, the others
/// must not get 3,500 messages each.
#[test]
fn r06_a_client_is_told_one_new_rank_however_many_leave_in_a_pass() {
    for (config, end) in [(raw(), ""), (line(), "\n")] {
        let (mut world, peers) = World::with_clients(1_000, config);
        let (gone, left): (Vec<_>, Vec<_>) = peers.iter().enumerate().partition(|(at, _)| at % 10 != 3);
        let gone: Vec<_> = gone.into_iter().map(|(_, &peer)| peer).collect();
        world.leave_together(&gone);
        for (rank, &(_, &peer)) in left.iter().enumerate() {
            assert_eq!(world.heard(peer), [format!("RYour rank is now {rank}{end}")]);
        }
        assert_eq!(
            world.server.ranks().map(|(rank, _)| rank.0).collect::<Vec<_>>(),
            (0..100).collect::<Vec<_>>()
        );
        let newcomer = world.connect();
        assert_eq!(world.heard(newcomer), [format!("Your rank is 100{end}")]);
    }
}

/// Ranks change at the end of a pass. A command before that finds only clients that are still there.
#[test]
fn r06_a_command_in_the_pass_of_a_departure_goes_to_a_client_that_is_there() {
    let (mut world, peers) = World::with_clients(4, line());
    world.in_one_pass(|pass| {
        pass.leave(peers[1]);
        pass.say(peers[0], "C 0 a\n");
        pass.say(peers[3], "C 3 b\n");
        let _ = pass.connect();
        pass.say(peers[3], "C 3 c\n");
    });
    assert_eq!(world.lines(peers[0]), ["A 1", "RYour rank is now 0"]);
    assert_eq!(world.lines(peers[2]), ["C 1 a", "RYour rank is now 1"]);
    assert_eq!(world.lines(peers[3]), ["X lowest-rank", "A 2", "RYour rank is now 2"]);
    let newcomer = world.last_peer();
    assert_eq!(world.lines(newcomer), ["Your rank is 3", "C 2 c"], "it came after the departure");
}

/// The ranks of an hour would exceed the queue of a busy client. It is told its last rank when it reads.
#[test]
fn r06_a_client_that_does_not_read_is_told_its_rank_when_it_does() {
    let (mut world, peers) = World::with_clients(2, line());
    world.peers[peers[1].0].reads = false;
    for _ in 0..200 {
        world.say(peers[0], format!("C 0 {}\n", "x".repeat(900)));
    }
    for _ in 0..5_000 {
        let short = world.connect();
        world.leave(short);
    }
    world.leave(peers[0]);
    assert!(!world.is_closed(peers[1]));
    world.read_again(peers[1]);
    let lines = world.lines(peers[1]);
    assert_eq!(lines.last().map(String::as_str), Some("RYour rank is now 0"));
    assert!(lines.len() < 100, "{} lines", lines.len());
}

// ---- R2 to R5: who gets a command ---------------------------------------------------------------------

#[test]
fn r02_the_sender_has_the_rank_that_the_server_knows() {
    let (mut world, peers) = World::with_clients(3, raw());
    // A claim of 0 does not make rank 1 the highest, and no claim is too large.
    world.say(peers[1], "C 0 dance");
    assert_eq!(world.heard(peers[2]), [" 1 dance 1"]);
    for claim in ["7", "99999999999999999999999", "00"] {
        world.pass_time(ms(20));
        world.say(peers[0], format!("C {claim} sing"));
        assert_eq!(world.heard(peers[1]), [" 0 sing 0"], "claimed {claim}");
    }
    // A client that has moved up but still claims its first rank is served.
    world.leave(peers[0]);
    world.pass_time(ms(20));
    world.heard(peers[2]);
    world.say(peers[1], "C 1 jump");
    assert_eq!(world.heard(peers[2]), [" 0 jump 0"]);
    assert_eq!(world.server.counts().dispatched, 5);
}

#[test]
fn r03_the_legacy_receiver_finds_the_command_where_it_cuts() {
    let (mut world, peers) = World::with_clients(3, raw());
    for command in
        ["dance", "dance now", "x", "3 times", "add 1 2", "grüß dich", &"x".repeat(COMMAND_BYTES_MAX)]
    {
        world.pass_time(ms(20));
        world.say(peers[1], format!("C 1 {command}"));
        let heard = world.heard(peers[2]);
        assert_eq!(heard, [format!(" 1 {command} 1")]);
        assert!(heard[0].len() <= 1024, "one recv takes it whole");
        // Including the blank after the rank in front.
        assert_eq!(legacy_cut(&heard[0]), (1, 1, &*format!(" {command}")));
    }
}

#[test]
fn r04_next_is_the_closest_lower_rank() {
    let (mut world, peers) = World::with_clients(4, raw());
    for _ in 0..3 {
        world.say(peers[0], "C 0 a");
        world.say(peers[2], "C 2 b");
        world.pass_time(ms(20));
    }
    assert_eq!(world.heard(peers[1]), [" 0 a 0"; 3]);
    assert_eq!(world.heard(peers[3]), [" 2 b 2"; 3]);
    assert_eq!(world.heard(peers[2]), NOTHING);
}

#[test]
fn r04_least_loaded_gives_12_commands_over_4_idle_clients_3_each() {
    let (mut world, peers) = World::with_clients(5, least_loaded(raw()));
    for n in 0..12 {
        world.say(peers[0], format!("C 0 c{n}"));
    }
    world.pass_time(ms(100));
    for (worker, &peer) in peers[1..].iter().enumerate() {
        let expected: Vec<_> = (0..3).map(|round| format!(" 0 c{} 0", 4 * round + worker)).collect();
        assert_eq!(world.heard(peer), expected);
    }

    // The same with jobs that are done at once, so that the load is always zero.
    let (mut world, peers) = World::with_clients(5, least_loaded(line()));
    let mut shares = [0; 5];
    for n in 1..=12 {
        world.say(peers[0], "C 0 dance\n");
        for worker in 1..5 {
            for job in world.lines(peers[worker]) {
                assert_eq!(job, format!("C {n} dance"));
                shares[worker] += 1;
                world.say(peers[worker], format!("D {n}\n"));
            }
        }
    }
    assert_eq!(shares, [0, 3, 3, 3, 3]);
}

#[test]
fn r04_load_is_the_number_of_undone_or_recent_commands() {
    // Line: the client that does its jobs gets all of them.
    let (mut world, peers) = World::with_clients(3, least_loaded(line()));
    world.say(peers[0], "C 0 a\nC 0 b\n");
    assert_eq!((world.lines(peers[1]), world.lines(peers[2])), (vec!["C 1 a".into()], vec!["C 2 b".into()]));
    for n in 3..8 {
        world.say(peers[2], format!("D {}\n", n - 1));
        world.say(peers[0], "C 0 c\n");
        assert_eq!(world.lines(peers[2]), [format!("C {n} c")]);
    }
    assert_eq!(world.lines(peers[1]), NOTHING);

    // Raw: rank 2 got one more within the last 10 s, from rank 1. So rank 1 gets the next ones until that
    // time is over.
    let (mut world, peers) = World::with_clients(3, least_loaded(raw()));
    world.say(peers[1], "C 1 x");
    world.say(peers[1], "C 1 x");
    world.pass_time(ms(9_900));
    assert_eq!(world.heard(peers[2]).len(), 2);
    world.say(peers[0], "C 0 a");
    world.say(peers[0], "C 0 b");
    world.pass_time(ms(50));
    assert_eq!((world.heard(peers[1]).len(), world.heard(peers[2]).len()), (2, 0));
    world.pass_time(ms(100));
    world.say(peers[0], "C 0 c");
    world.pass_time(ms(50));
    assert_eq!((world.heard(peers[1]).len(), world.heard(peers[2]).len()), (0, 1), "the window is over");
}

#[test]
fn r04_equal_clients_get_equal_shares_whoever_sends() {
    let (mut world, peers) = World::with_clients(6, least_loaded(raw()));
    for n in 0..60 {
        world.say(peers[n % 2], "C 0 x");
        world.pass_time(ms(20));
    }
    let shares: Vec<_> = peers.iter().map(|&peer| world.heard(peer).len()).collect();
    assert!(shares[1..].iter().all(|share| (11..=13).contains(share)), "{shares:?}");
}

#[test]
fn r05_the_lowest_rank_is_rejected() {
    let (mut world, peers) = World::with_clients(2, raw());
    world.say(peers[1], "C 1 dance");
    assert_eq!((world.heard(peers[0]), world.heard(peers[1])), (vec![], vec![]));
    assert_eq!(world.rejections(), [Rejection::LowestRank]);
    assert_eq!(world.server.counts().rejected, 1);

    let (mut world, peers) = World::with_clients(1, line());
    world.say(peers[0], "C 0 dance\n");
    assert_eq!(world.lines(peers[0]), ["X lowest-rank"]);
}

#[test]
fn r04_a_policy_has_a_name() {
    assert_eq!("next".parse(), Ok(Policy::Next));
    assert_eq!("least-loaded".parse(), Ok(Policy::LeastLoaded));
    let unknown = "random".parse::<Policy>().expect_err("there is none").to_string();
    assert!(unknown.contains("next or least-loaded"), "{unknown}");
}
