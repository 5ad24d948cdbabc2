//! The options of `turn_server` for its rings, and the output of answers.

use support::bare::PATIENCE;

use crate::programs::{LinePeer, RawPeer, Server, field, turn_client};

/// Connects two clients to the ring `main`. The first one holds the turn.
fn two(server: &Server) -> [LinePeer; 2] {
    let mut ann = LinePeer::connect(&server.address, "JOIN ann");
    ann.hears("WELCOME ");
    let mut bob = LinePeer::connect(&server.address, "JOIN bob");
    bob.hears("WAIT ");
    ann.hears("GO turn=1 ");
    [ann, bob]
}

/// [T7] "`{name} sent: {number}`", and an answer of any bytes is printed as harmless text.
#[test]
fn answers_are_printed_with_their_names_and_escaped() {
    let mut server = Server::start(&["--clients", "1"]);
    let mut ann = LinePeer::connect(&server.address, "JOIN ann");
    for ((answer, printed), turn) in [
        (":17", "17"),
        (":e2 e4, \"please\"", "e2 e4, \"please\""),
        (": ", " "),
        ("bytes=9\na\n\x1b[2Jb\r\x07", "a\\n\\u{1b}[2Jb\\r\\u{7}"),
    ]
    .into_iter()
    .zip(1..)
    {
        ann.hears(&format!("GO turn={turn} "));
        ann.says(&format!("ANSWER turn={turn} {answer}"));
        ann.hears(&format!("OK turn={turn}"));
        server.wait_for_output(&format!("ann sent: {printed}"));
    }
    // The seat is gone by the time its last answer is printed.
    ann.hears("GO turn=5 ");
    ann.says("ANSWER turn=5 :bye\nLEAVE");
    ann.hears("BYE left");
    server.wait_for_output("ann sent: bye");
    let mut raw = RawPeer::connect(&server.address);
    raw.answer_go("old client:0017");
    server.wait_for_output("old client sent: 0017");
}

#[test]
fn a_holder_may_renew_up_to_the_longest_turn() {
    let server = Server::start(&["--turn-deadline", "60s", "--hold-max", "90s"]);
    let [mut ann, _bob] = two(&server);
    ann.says("RENEW turn=1");
    let within: u64 = field(&ann.hears("GO turn=1 "), "within").parse().expect("milliseconds");
    assert!((59_000..=60_000).contains(&within), "{within}");
    let server = Server::start(&["--turn-deadline", "60s"]);
    let [mut ann, _bob] = two(&server);
    ann.says("RENEW turn=1");
    ann.hears("NO hold-max turn=1 ");
}

#[test]
fn a_holder_that_is_lost_keeps_its_turn_for_the_grace() {
    let server = Server::start(&["--clients", "1", "--turn-grace", "60s"]);
    let mut ann = LinePeer::connect(&server.address, "JOIN ann");
    let secret = field(&ann.hears("WELCOME "), "resume").to_owned();
    ann.hears("GO turn=1 ");
    let mut bob = LinePeer::connect(&server.address, "JOIN bob hear=turns");
    bob.hears("WAIT ");
    drop(ann);
    bob.hears("AWAY ann");
    let mut ann = LinePeer::connect(&server.address, &format!("JOIN ann resume={secret}"));
    ann.hears("GO turn=1 ");
    ann.says("ANSWER turn=1 :back");
    ann.hears("OK turn=1");
    bob.hears("BACK ann");
    bob.hears("GO turn=2 ");
}

#[test]
fn a_seat_is_gone_after_the_grace() {
    let server = Server::start(&["--clients", "1", "--seat-grace", "50ms"]);
    let mut watcher = LinePeer::connect(&server.address, "WATCH");
    let mut ann = LinePeer::connect(&server.address, "JOIN ann");
    ann.hears("GO ");
    drop(ann);
    watcher.hears("AWAY ann");
    watcher.hears("LEFT ann");
}

#[test]
fn seats_weights_and_demands_are_what_the_rules_allow() {
    let server = Server::start(&["--seats-max", "2", "--weight-max", "5", "--demand", "always"]);
    let join = |hello: &str| LinePeer::connect(&server.address, hello);
    join("JOIN ann weight=6").hears("NO out-of-range");
    join("JOIN ann demand=ask").hears("NO ");
    let mut ann = join("JOIN ann weight=5");
    ann.hears("WELCOME ");
    let mut bob = join("JOIN bob");
    bob.hears("WELCOME ");
    join("JOIN cid").hears("BYE ring-full");

    let server = Server::start(&["--demand", "ask", "--clients", "1"]);
    let mut ann = LinePeer::connect(&server.address, "JOIN ann");
    ann.hears("WELCOME ");
    ann.says("PING");
    ann.hears("PONG");
    assert!(!ann.has_heard("GO ") && !ann.has_heard("WAIT "));
    ann.says("ASK");
    ann.hears("GO turn=1 ");
}

/// [M12a] Proxies on the same machine connect from loopback, for any number of clients.
#[test]
fn loopback_has_no_limit_of_seats() {
    let server = Server::start(&["--max-per-address", "1", "--clients", "1"]);
    let _seated = ["ann", "bob", "cid"].map(|name| {
        let mut peer = LinePeer::connect(&server.address, &format!("JOIN {name}"));
        peer.hears("WELCOME ");
        peer
    });
}

#[test]
fn a_client_gets_turns_according_to_its_weight() {
    let mut server = Server::start(&["--weight-max", "3"]);
    let weighty = ["--clients", "1", "--name", "ann", "--weight", "3", "--pace", "0ms"];
    let _ann = turn_client(&server.address, &weighty);
    let mut bob =
        turn_client(&server.address, &["--clients", "1", "--name", "bob", "--count", "20", "--pace", "0ms"]);
    bob.expect_exit(0, PATIENCE);
    let sent = server.process.wait_for_sent(80, PATIENCE);
    let first = sent.iter().position(|sent| sent.name == "bob").expect("bob has had turns");
    let (ann, bob): (Vec<_>, Vec<_>) = sent[first..].iter().take(72).partition(|sent| sent.name == "ann");
    assert_eq!((ann.len(), bob.len()), (54, 18));
}
