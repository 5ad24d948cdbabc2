//! The gap between two messages without an end, so that each is read by its own `recv` (R7).

use support::ms;
use taketurns::protocol::Protocol;
use taketurns::protocol::dispatch::Rejection;

use super::world::{NOTHING, World, assert_gaps, raw};

#[test]
fn r07_two_messages_never_come_in_one_recv() {
    let (mut world, peers) = World::with_clients(4, raw());
    for n in 0..5 {
        world.say(peers[1], format!("C 1 c{n}"));
    }
    world.leave(peers[0]);
    world.say(peers[1], "C 0 last");
    world.pass_time(ms(200));
    let heard = world.heard(peers[2]);
    assert_eq!(
        heard,
        [" 1 c0 1", " 1 c1 1", " 1 c2 1", " 1 c3 1", " 1 c4 1", "RYour rank is now 1", " 0 last 0"]
    );
    assert_gaps(&world);
    // Includes a rank right after the first one, and clients that come and go while messages wait.
    let new = world.connect();
    world.leave(peers[1]);
    world.leave(peers[2]);
    world.pass_time(ms(200));
    assert_eq!(world.heard(new), ["Your rank is 3", "RYour rank is now 1"], "only the newest rank waits");
    assert_gaps(&world);
}

/// A message is written at the end of its pass, here 15 ms late, which must not shorten the gap.
#[test]
fn r07_the_gap_begins_when_the_pass_of_a_message_is_over() {
    let (mut world, peers) = World::with_clients(2, raw());
    world.say(peers[0], "C 0 a");
    world.say(peers[0], "C 0 b");
    world.at += ms(15);
    world.server.handle_timeout(world.now(), &mut world.links);
    world.flush();
    assert_eq!(world.heard(peers[1]), [" 0 a 0"]);
    world.pass_time(ms(9));
    assert_eq!(world.heard(peers[1]), NOTHING);
    world.pass_time(ms(1));
    assert_eq!(world.heard(peers[1]), [" 0 b 0"]);
}

#[test]
fn r07_64_messages_wait_and_the_next_command_is_refused() {
    let (mut world, peers) = World::with_clients(3, raw());
    for n in 0..70 {
        world.say(peers[0], format!("C 0 c{n}"));
    }
    // One was sent at once, 64 wait, 5 are refused. The next rank waits in addition.
    assert_eq!(world.rejections(), [Rejection::Busy; 5]);
    assert_eq!(world.server.counts().rejected, 5);
    world.leave(peers[2]);
    world.pass_time(ms(1_000));
    let heard = world.heard(peers[1]);
    assert_eq!(heard.len(), 66);
    assert_eq!((heard[64].as_str(), heard[65].as_str()), (" 0 c64 0", "RYour rank is now 1"));
    assert_gaps(&world);
    assert!(!world.is_closed(peers[0]) && !world.is_closed(peers[1]), "no client is closed for our delay");
    world.say(peers[0], "C 0 again");
    world.pass_time(ms(20));
    assert_eq!(world.heard(peers[1]), [" 0 again 0"]);
}

#[test]
fn r07_waiting_messages_are_still_sent_when_the_server_drains() {
    let (mut world, peers) = World::with_clients(2, raw());
    for n in 0..10 {
        world.say(peers[0], format!("C 0 c{n}"));
    }
    world.drain();
    assert!(world.is_closed(peers[0]));
    world.pass_time(ms(500));
    assert_eq!(world.heard(peers[1]).len(), 10);
    assert!(world.is_closed(peers[1]));
    assert_gaps(&world);
    assert!(world.server.next_deadline().is_none(), "nothing is left behind");
}
