//! The state of one connection never affects another, even if its slot or seat is used again.

use taketurns::net::DriverConfig;

use crate::loopback::{Act, End, PATIENCE, Peer};
use crate::servers::{joined, line_server, script};

/// mio promises only that *later* polls bring no event for a source that was deregistered. If a slot were
/// reused within the batch, B's hang-up would close C.
#[test]
fn a_hang_up_of_a_kicked_client_does_not_hit_one_accepted_in_the_same_batch() {
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

    // From here on, B's slot is used again.
    let (mut d, last) = rig.meet(addr);
    for (peer, id) in [(&mut c, newcomer), (&mut d, last)] {
        peer.send("alive");
        rig.pass_until("heard", |rig| rig.driver.protocol().heard(id) == b"alive");
    }
    assert_eq!(rig.driver.connections(), 3);
}

#[test]
fn a_superseded_client_that_hangs_up_does_not_close_a_newcomer() {
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
fn a_client_resumes_its_seat_before_the_end_of_its_old_connection_is_noticed() {
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
