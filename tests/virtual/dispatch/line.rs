//! The line framing: commands are accepted, done, and reported (R8). Invalid lines are tested in `limits.rs`.

use support::ms;
use taketurns::protocol::dispatch::DispatchServerConfig;

use super::world::{NOTHING, World, line, raw};

#[test]
fn r08_a_command_is_accepted_done_and_reported() {
    let (mut world, peers) = World::with_clients(2, line());
    world.say(peers[0], "C 0 dance now\r\n");
    assert_eq!(world.lines(peers[0]), ["A 1"]);
    assert_eq!(world.lines(peers[1]), ["C 1 dance now"]);
    world.say(peers[1], "D 1\n");
    assert_eq!(world.lines(peers[0]), ["O 1"]);
    // A job can be done only once.
    world.say(peers[1], "D 1\n");
    assert_eq!(world.lines(peers[1]), ["X malformed"]);
    assert_eq!(world.lines(peers[0]), NOTHING);
}

#[test]
fn r08_no_other_client_can_report_a_job_as_done() {
    let (mut world, peers) = World::with_clients(3, line());
    world.say(peers[0], "C 0 dance\n");
    world.lines(peers[0]);
    for forger in [0, 2] {
        world.say(peers[forger], "D 1\n");
        assert_eq!(world.lines(peers[forger]), ["X malformed"]);
    }
    world.say(peers[1], "D 1\n");
    assert_eq!(world.lines(peers[0]), ["O 1"]);
    assert_eq!(world.server.counts().refused, 2);
}

#[test]
fn r08_the_sender_is_told_in_order_about_a_worker_that_is_gone() {
    let (mut world, peers) = World::with_clients(3, line());
    world.say(peers[0], "C 0 a\nC 0 b\nC 0 c\n");
    world.say(peers[1], "D 2\n");
    world.lines(peers[0]);
    world.leave(peers[1]);
    assert_eq!(world.lines(peers[0]), ["X worker-gone 1", "X worker-gone 3", "RYour rank is now 0"]);
}

#[test]
fn r08_a_sender_that_is_gone_leaves_nothing_behind() {
    let config = DispatchServerConfig { undone_max: 4, ..line() };
    let (mut world, peers) = World::with_clients(2, config);
    world.say(peers[0], "C 0 a\n");
    world.leave(peers[0]);
    assert_eq!(world.lines(peers[1]), ["C 1 a", "RYour rank is now 0"]);
    // Its slot is used again, and the newcomer must not be sent the job's report.
    let new = world.connect();
    world.say(peers[1], "D 1\n");
    assert_eq!(world.lines(new), ["Your rank is 1"]);
    assert_eq!(world.lines(peers[1]), NOTHING);
    // The job no longer counts against its worker.
    for n in 2..6 {
        world.say(peers[1], "C 0 x\n");
        assert_eq!(world.lines(new), [format!("C {n} x")]);
    }
    world.say(peers[1], "C 0 x\n");
    assert_eq!(world.lines(peers[1]), ["A 2", "A 3", "A 4", "A 5", "X busy"]);
    world.say(new, "D 3\n");
    world.say(peers[1], "C 0 x\n");
    assert_eq!(world.lines(peers[1]), ["O 3", "A 6"]);
}

#[test]
fn r08_commands_that_raw_clients_cannot_send() {
    let (mut world, peers) = World::with_clients(2, raw());
    world.say(peers[1], "D 1");
    world.pass_time(ms(20));
    assert_eq!((world.heard(peers[0]), world.heard(peers[1])), (vec![], vec![]));
    assert_eq!(world.server.counts().refused, 1);
}

#[test]
fn r08_every_split_of_the_bytes_means_the_same() {
    let long = "y".repeat(2_000);
    let mut bytes = b"C 0 dance\r\nC 0 gr\xc3\xbc\xc3\x9f dich\nnonsense\n\nC 0 \xff\n".to_vec();
    bytes
        .extend_from_slice(format!("C 0 {long}\nC 0 {}\nC 0 end\nC 0 not ended", "z".repeat(961)).as_bytes());
    let play = |chunks: &[&[u8]]| {
        let (mut world, peers) = World::with_clients(2, line());
        chunks.iter().for_each(|chunk| world.say(peers[0], chunk));
        (world.lines(peers[0]), world.lines(peers[1]))
    };
    let whole = play(&[&bytes]);
    let malformed = "X malformed";
    assert_eq!(whole.0, ["A 1", "A 2", malformed, malformed, malformed, malformed, malformed, "A 3"]);
    assert_eq!(whole.1, ["C 1 dance", "C 2 grüß dich", "C 3 end"]);
    for cut in 1..bytes.len() {
        let (head, tail) = bytes.split_at(cut);
        assert_eq!(play(&[head, tail]), whole, "cut at {cut}");
    }
    for size in [1, 2, 3, 7, 984, 985] {
        assert_eq!(play(&bytes.chunks(size).collect::<Vec<_>>()), whole, "chunks of {size}");
    }
}
