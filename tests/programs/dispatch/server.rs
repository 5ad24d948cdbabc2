//! `rank_server`: how it distributes commands, the clients that it turns away, its options and signals.

use std::io::Read as _;
use std::net::TcpListener;

use support::bare::PATIENCE;

use super::{Server, client_of, out, out_times};
use crate::process::input::typed;
use crate::process::programs::example;
use crate::process::{Line, Process, Stream};

#[test]
fn r04_r08_four_workers_get_three_of_twelve_commands_each() {
    for framing in ["raw", "line"] {
        let server = Server::start(&["--framing", framing, "--policy", "least-loaded"]);
        let (mut boss, mut typist) = typed(&client_of(&server.address, &["--framing", framing]));
        out(&mut boss, "Assigned rank: 0");
        let args = ["--framing", framing, "--stay"];
        let mut workers: Vec<_> = (1..5)
            .map(|rank| {
                let mut worker = Process::spawn(&mut client_of(&server.address, &args));
                out(&mut worker, &format!("Assigned rank: {rank}"));
                worker
            })
            .collect();
        let executes = |worker: &mut Process, times| {
            out_times(worker, "[Executing] i am danceing watch me dance", times);
        };
        if framing == "raw" {
            // Two commands that a worker reads at once are one, so each waits for the one before.
            for nth in 0..12 {
                typist.types("dance\n");
                executes(&mut workers[nth % 4], nth / 4 + 1);
            }
        } else {
            // A worker that is done early would get more than one that is late.
            workers.iter().for_each(|worker| worker.signal("STOP"));
            typist.types(&"dance\n".repeat(12));
            out(&mut boss, "Accepted as number 12");
            workers.iter().for_each(|worker| worker.signal("CONT"));
            workers.iter_mut().for_each(|worker| executes(worker, 3));
            (1..=12).for_each(|n| out(&mut boss, &format!("Number {n} is done")));
        }
        drop(typist);
        boss.expect_exit(0, PATIENCE);
        for worker in &mut workers {
            worker.wait_for_line("new rank", |line| line.text.contains("New rank"), PATIENCE);
            let shares = worker.lines(Stream::Out).iter().filter(|line| line.contains("[Executing]")).count();
            assert_eq!(shares, 3, "{framing}");
        }
    }
}

#[test]
fn r05_a_command_of_the_lowest_rank_is_rejected_and_logged() {
    let mut server = Server::start(&["--framing", "line"]);
    let (mut client, mut typist) = typed(&client_of(&server.address, &["--framing", "line"]));
    out(&mut client, "Assigned rank: 0");
    typist.types("dance\n");
    out(&mut client, "Rejected: lowest-rank");
    let is_it = |line: &Line| line.stream == Stream::Err && line.text.contains("[command rejected]");
    server.process.wait_for_line("[command rejected]", is_it, PATIENCE);
}

#[test]
fn r09_a_full_server_says_so_and_the_client_waits_for_a_place() {
    let server = Server::start(&["1"]);
    let (mut first, typist) = typed(&client_of(&server.address, &[]));
    out(&mut first, "Assigned rank: 0");
    let mut told = String::new();
    server.connect().read_to_string(&mut told).expect("told, then closed");
    assert_eq!(told, "Server full");
    let (mut second, _typist) = typed(&client_of(&server.address, &[]));
    out(&mut second, "Server full; trying again until there is a place");
    drop(typist);
    first.expect_exit(0, PATIENCE);
    out(&mut second, "Assigned rank: 0");
}

/// A server that was stopped for a moment learns about all of them in one pass.
#[test]
fn r06_many_clients_may_leave_at_once() {
    let mut server = Server::start(&["100", "--framing", "line"]);
    let mut clients: Vec<_> = (0..40).map(|_| server.connect()).collect();
    server.process.wait_for_line("40 clients", |line| line.text.starts_with("  39: "), PATIENCE);
    server.process.signal("STOP");
    clients.truncate(1);
    server.process.signal("CONT");
    let shown = |line: &Line| line.text.starts_with("[Disconnect]");
    server.process.wait_until("all are gone", PATIENCE, |seen| {
        (seen.iter().filter(|line| shown(line)).count() == 39).then_some(())
    });
    let mut newcomer = server.connect();
    let mut told = [0; 15];
    newcomer.read_exact(&mut told).expect("its rank");
    assert_eq!(&told, b"Your rank is 1\n");
    server.process.signal("TERM");
    server.process.expect_exit(0, PATIENCE);
}

#[test]
fn a06_a_signal_drains_the_server_and_ends_the_client() {
    for framing in ["raw", "line"] {
        let mut server = Server::start(&["--framing", framing]);
        let (mut client, _typist) = typed(&client_of(&server.address, &["--framing", framing]));
        out(&mut client, "Assigned rank: 0");
        let mut silent = server.connect();
        server.process.signal("TERM");
        server.process.expect_exit(0, PATIENCE);
        let mut text = String::new();
        let _ = silent.read_to_string(&mut text);
        client.wait_for_line("loss", |line| line.text.contains("Disconnected"), PATIENCE);
        client.signal("INT");
        client.expect_exit(0, PATIENCE);
    }
}

#[test]
fn a05_wrong_usage_ends_with_1() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().map(|addr| (addr.to_string(), taken)).expect("bound");
    for (args, why, code) in [
        (&["many"][..], "many", 2),
        (&["0"], "at least 1", 2),
        (&["-1"], "-1", 2),
        (&["--policy", "fair"], "next or least-loaded", 2),
        (&["--framing", "xml"], "xml", 2),
        (&["--listen", "127.0.0.1:99999"], "0 to 65535", 1),
        (&["--listen", &taken.0], "another with --listen", 1),
    ] {
        let mut server = Process::spawn(example("rank_server").args(args));
        server.expect_exit(code, PATIENCE);
        let said = server.lines(Stream::Err).join("\n");
        assert!(said.contains(why), "{args:?}: {said}");
    }
    for (args, why, code) in [
        (&["--connect", "nowhere"][..], "no port", 1),
        (&["--framing", "xml"], "xml", 2),
        (&["more"], "more", 2),
    ] {
        let mut client = Process::spawn(example("rank_client").args(args));
        client.expect_exit(code, PATIENCE);
        let said = client.lines(Stream::Err).join("\n");
        assert!(said.contains(why), "{args:?}: {said}");
    }
}
