//! Each program with the legacy program on the other side.

use support::bare::PATIENCE;

use super::{Client, Server, wait_for, with_state};
use crate::process::folder::Folder;
use crate::process::programs::legacy;
use crate::process::{Process, Stream};

#[test]
fn c01_to_c04_legacy_clients_work_unchanged() {
    let folder = Folder::new();
    let mut server = Server::spawn(&mut with_state(&folder, "127.0.0.1:0"));
    let (host, port) = server.address.split_once(':').expect("HOST:PORT");
    let (host, port) = (host.to_owned(), port.to_owned());
    let start = |id: &str, options: &[&str]| {
        Some(Process::spawn(legacy("counter_client.py")?.args([&host, &port, id]).args(options)))
    };
    // One client at the real pace, and several without pauses.
    let Some(mut slow) = start("7", &[]) else { return };
    let mut fast: Vec<_> = ["17", "18", "19"].iter().filter_map(|id| start(id, &["--fast"])).collect();
    for client in &mut fast {
        wait_for(client, "start 0");
        client.wait_until("increments", PATIENCE, |lines| {
            (lines.iter().filter(|line| line.text.starts_with("increment ")).count() >= 5).then_some(())
        });
    }
    wait_for(&mut slow, "increment ");
    // It continues where it stopped.
    let last = fast.remove(0).kill(PATIENCE);
    assert!(last.is_empty());
    server.wait_for("client 17 at");
    let on_server = server.process.wait_until("a number", PATIENCE, |lines| {
        lines.iter().rev().find_map(|line| line.text.strip_prefix("client 17 sent ")?.parse::<i64>().ok())
    });
    let Some(mut again) = start("17", &["--fast"]) else { return };
    wait_for(&mut again, &format!("start {on_server}"));
    let process = server.stop();
    assert_eq!(process.lines(Stream::Out).iter().filter(|line| line.contains("refused")).count(), 0);
    wait_for(&mut again, "closed");
}

#[test]
fn c10_counter_client_works_with_a_legacy_server() {
    let Some(mut command) = legacy("counter_server.py") else { return };
    let mut server = Process::spawn(command.arg("0"));
    let port = server.wait_for_line("port", |line| line.stream == Stream::Out, PATIENCE).text;
    let mut client = Client::start(&format!("127.0.0.1:{port}"), &["--id", "17"]);
    client.type_line("c");
    wait_for(&mut server, "17 began 0");
    client.wait_for("Counting from 0");
    wait_for(&mut server, "17 asked ");
    client.wait_for("Counting by ");
    client.type_line("s");
    wait_for(&mut server, "17 closed");
    let last = server.wait_until("a number", PATIENCE, |lines| {
        lines.iter().rev().find_map(|line| line.text.strip_prefix("17 sent ").map(str::to_owned))
    });
    client.type_line("c");
    client.wait_for(&format!("Counting from {last}"));
    client.type_line("exit");
    client.process.expect_exit(0, PATIENCE);
    assert!(!server.lines(Stream::Out).iter().any(|line| line.starts_with("bad")), "it understood all");
}
