//! `--spread`: rings that are spread over several servers by their names.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::time::Instant;

use support::bare::{PATIENCE, free_address};

use crate::process::programs::example;
use crate::process::{Line, Process, Reading};
use crate::programs::{LinePeer, Server, assert_counts, expect_one_complaint, field, turn_client};

/// Starts `count` servers that share all rings.
fn servers(count: usize) -> Vec<Server> {
    let addresses: Vec<_> = (0..count).map(|_| free_address()).collect();
    let spread = addresses.join(" ");
    let start = |(nth, address): (usize, &String)| {
        let part = (nth + 1).to_string();
        let args = ["--listen", address, "--clients", "1", "--spread", &spread, "--part", &part];
        Server::spawn(example("turn_server").args(args), Reading::All)
    };
    addresses.iter().enumerate().map(start).collect()
}

/// Returns the place of the server that has `ring`, as the server at `nth` sees it.
fn place_of(ring: &str, nth: usize, servers: &[Server]) -> usize {
    let mut peer = LinePeer::connect(&servers[nth].address, &format!("WATCH ring={ring}"));
    let said = peer.hears_next();
    if said.starts_with("WATCHING ") {
        return nth;
    }
    assert!(said.starts_with("BYE moved "), "{said}");
    let at = field(&said, "at");
    servers.iter().position(|server| server.address == at).expect("it is one of them")
}

#[test]
fn all_servers_agree_on_the_place_of_a_ring_and_a_new_one_takes_its_share_from_all() {
    let (three, two) = (servers(3), servers(2));
    let mut shares = [0; 3];
    for nth in 0..60 {
        let ring = format!("room-{nth}");
        let places: Vec<_> = (0..3).map(|asked| place_of(&ring, asked, &three)).collect();
        assert!(places.iter().all(|&place| place == places[0]), "{ring}: {places:?}");
        shares[places[0]] += 1;
        let before = place_of(&ring, 0, &two);
        assert!(places[0] == before || places[0] == 2, "{ring} went from {before} to {}", places[0]);
    }
    assert!(shares.iter().all(|&share| share >= 8), "{shares:?}");
}

/// Each client begins at the same server, and plays where its ring is.
#[test]
fn a_client_goes_where_its_ring_is() {
    let mut servers = servers(2);
    let address = servers[0].address.clone();
    for nth in 0..4 {
        let ring = format!("room-{nth}");
        let at = place_of(&ring, 0, &servers);
        let name = format!("Player{nth}");
        let options = ["--clients", "1", "--name", &name, "--ring", &ring, "--count", "3", "--pace", "0ms"];
        let mut client = turn_client(&address, &options);
        client.expect_exit(0, PATIENCE);
        assert_counts(&client.sent(), &[(&name, 1)], 1, 3);
        let word = format!("Received from {name}: 3");
        servers[at].process.wait_for_line(
            &word,
            |line| line.text.contains(&name) && line.text.ends_with('3'),
            PATIENCE,
        );
    }
    let lock = (0..).map(|nth| format!("lock-{nth}")).find(|ring| place_of(ring, 0, &servers) == 1);
    let mut lock_client = example("turn_lock");
    lock_client.args(["--connect", &address, "--ring", &lock.expect("one in two"), "--", "true"]);
    Process::spawn(&mut lock_client).expect_exit(0, PATIENCE);
}

/// Two servers that believe that the other one has all rings.
#[test]
fn servers_that_send_a_client_around_are_asked_again_after_a_pause() {
    let addresses = [free_address(), free_address()];
    let start = |own: usize, other: usize| {
        // The last of them has the ring, for both.
        let spread = format!("{} {} {}", addresses[own], addresses[other], addresses[other]);
        let args = ["--listen", &addresses[own], "--clients", "1", "--spread", &spread, "--part", "1"];
        Server::spawn(example("turn_server").args(args), Reading::All)
    };
    let servers = [start(0, 1), start(1, 0)];
    let is_elsewhere = |ring: &String| {
        servers.iter().all(|server| {
            let mut peer = LinePeer::connect(&server.address, &format!("WATCH ring={ring}"));
            peer.hears_next().starts_with("BYE moved ")
        })
    };
    let ring = (0..).map(|nth| format!("room-{nth}")).find(is_elsewhere).expect("one in three");
    let mut client = turn_client(&addresses[0], &["--clients", "1", "--ring", &ring]);
    // Those that it follows are no reason to warn.
    let warns = |line: &Line| line.text.contains("the server closes the connection: moved");
    client.wait_until("12 redirects", PATIENCE, |seen| {
        (seen.iter().filter(|line| warns(line)).count() == 2).then_some(())
    });
}

/// Each ring has its loop, and its clients meet there, whatever they said meanwhile.
#[test]
fn a_server_of_three_loops_serves_each_ring_in_one_of_them() {
    let mut server = Server::start(&["--loops", "3", "--framing", "line"]);
    let mut epochs = BTreeSet::new();
    for nth in 0..12 {
        let ring = format!("room-{nth}");
        let [mut ann, mut bob] = ["ann", "bob"].map(|name| {
            let mut peer =
                LinePeer::connect(&server.address, &format!("JOIN {name} ring={ring}\nPING\nHURRY"));
            peer.hears("PONG");
            let welcome = peer.hears(&format!("WELCOME {name} "));
            peer.hears("NO malformed");
            (peer, welcome)
        });
        assert_eq!(field(&ann.1, "epoch"), field(&bob.1, "epoch"));
        epochs.insert(field(&ann.1, "epoch").to_owned());
        ann.0.hears("GO turn=1 ");
        ann.0.says(&format!("ANSWER turn=1 epoch={} :{ring}", field(&ann.1, "epoch")));
        bob.0.hears("GO turn=2 ");
        // She resumes, from the first loop again.
        let resume = format!("JOIN ann ring={ring} resume={}", field(&ann.1, "resume"));
        let mut ann = LinePeer::connect(&server.address, &resume);
        assert_eq!(field(&ann.hears("WELCOME ann "), "last"), "1");
    }
    assert_eq!(epochs.len(), 3, "each loop has an epoch of its own");
    let answers = |line: &Line| line.text.starts_with("ann sent: room-");
    server.process.wait_until("12 answers", PATIENCE, |seen| {
        (seen.iter().filter(|line| answers(line)).count() == 12).then_some(())
    });
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
}

/// [T32] All loops are drained together: each holder may still answer, and hears the end.
#[test]
fn holders_in_all_loops_may_finish_at_the_end() {
    let mut server = Server::start(&["--loops", "4", "--clients", "1"]);
    let mut holders: Vec<_> = (0..8)
        .map(|nth| {
            let mut peer = LinePeer::connect(&server.address, &format!("JOIN ann ring=room-{nth}"));
            let welcome = peer.hears("WELCOME ann ");
            peer.hears("GO turn=1 ");
            (peer, field(&welcome, "epoch").to_owned())
        })
        .collect();
    server.process.signal("TERM");
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(&server.address).is_ok() {
        assert!(Instant::now() < deadline, "it still listens");
        std::thread::yield_now();
    }
    for (peer, epoch) in &mut holders {
        peer.says(&format!("ANSWER turn=1 epoch={epoch} :42"));
    }
    for (peer, _) in &mut holders {
        peer.hears("OK turn=1");
        peer.hears("BYE shutting-down");
    }
    server.process.expect_exit(0, PATIENCE);
}

#[test]
fn a_spread_that_cannot_be_is_wrong_usage() {
    for (args, words) in [
        (&["--spread", "a:1 b:1"][..], "--spread and --part need each other"),
        (&["--part", "1"], "--spread and --part need each other"),
        (&["--spread", "a:1 b:1", "--part", "3"], "--spread names 2 servers, counted from 1"),
        (&["--spread", "a:1 b", "--part", "1"], "\"b\""),
        (&["--spread", "a:1 b:1", "--part", "1", "--framing", "raw"], "--loops need --framing line"),
        (&["--loops", "2", "--framing", "raw"], "--loops need --framing line"),
        (&["--loops", "0"], "--loops 0 is invalid"),
        (&["--loops", "2", "--journal", "/tmp"], "--loops and --journal exclude each other"),
    ] {
        let mut server = Process::spawn(example("turn_server").args(["--listen", "127.0.0.1:0"]).args(args));
        server.expect_exit(2, PATIENCE);
        let said = expect_one_complaint(&server);
        assert!(said.contains(words), "{said}");
    }
}
