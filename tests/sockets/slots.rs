//! State of one connection never acts on another, though its slot or its seat is taken again.

use taketurns::net::DriverConfig;

use crate::loopback::{Act, End, PATIENCE, Peer};
use crate::servers::{joined, line_server, script};

/// mio promises only that *later* polls bring no event for a source that was deregistered. Where a slot is
/// used again within the batch, B's hang-up closes C.
#[test]
fn a_hang_up_of_a_kicked_client_does_not_hit_the_one_that_was_accepted_in_the_same_batch() {
    let (mut rig, addr) = script(DriverConfig::default());
    let (mut a, _) = rig.meet(addr);
    let (mut b, kicked) = rig.meet(addr);
    rig.driver.protocol_mut().when_told("kick", [Act::Abort(kicked)]);

    a.send("kick");
    let mut c = Peer::connect(addr);
    b.send("last words");
    b.reset();
    rig.pass(PATIENCE);
    let newcomer = rig.opened(c.local_addr()).expect("accepted in the same pass");
    assert!(rig.is_closed(kicked), "closed in the same pass");

    // The slot of B is used again from now on.
    let (mut d, last) = rig.meet(addr);
    for (peer, id) in [(&mut c, newcomer), (&mut d, last)] {
        peer.send("alive");
        rig.pass_until("heard", |rig| rig.driver.protocol().heard(id) == b"alive");
    }
    assert_eq!(rig.driver.connections(), 3);
}

#[test]
fn a_client_that_is_superseded_and_hangs_up_does_not_take_a_newcomer_with_it() {
    let (mut rig, addr) = line_server();
    let mut old = joined(&mut rig, addr, "ann");
    let secret = old.field("resume");
    let (mut new, _) = rig.meet(addr);

    new.send(format!("JOIN ann resume={secret}\n"));
    let mut newcomer = Peer::connect(addr);
    old.send("PING\n");
    old.finish_sending();
    rig.pass(PATIENCE);
    newcomer.send("JOIN bob\n");
    rig.hears(&mut newcomer, "WELCOME");
    rig.hears(&mut new, "WELCOME");
    assert_eq!(rig.ends(&mut old), End::Finished);
    new.send("PING\n");
    rig.hears(&mut new, "PONG");
}

#[test]
fn a_client_that_comes_back_before_its_old_end_is_noticed_takes_its_seat_with_the_secret() {
    let (mut rig, addr) = line_server();
    let mut old = joined(&mut rig, addr, "ann");
    let mut other = joined(&mut rig, addr, "bob");
    rig.hears(&mut old, "GO turn=1");
    let secret = old.field("resume");

    let (mut thief, _) = rig.meet(addr);
    thief.send("JOIN ann\n");
    rig.hears(&mut thief, "BYE name-taken");
    let (mut new, _) = rig.meet(addr);
    new.send(format!("JOIN ann resume={secret}\n"));
    rig.hears(&mut new, "GO turn=1");
    rig.hears(&mut old, "BYE superseded");
    old.send("ANSWER turn=1 :9\n");
    old.finish_sending();
    assert_eq!(rig.ends(&mut old), End::Finished);
    new.send("ANSWER turn=1 :1\n");
    rig.hears(&mut new, "OK turn=1");
    rig.hears(&mut other, "GO turn=2");
    assert_eq!(rig.notes, ["ann 1"]);
}
